"""What it costs to import the package, against the libraries that plain code imports."""

from __future__ import annotations

import time

from benchmarks.child import apart
from benchmarks.measure import Row, turns


def rows(*, quick: bool) -> list[Row]:
    ours, theirs = turns(3 if quick else 15, lambda: apart(import_ours), lambda: apart(import_plain))
    return [Row(what="import", unit="ms", ours=ours, theirs=theirs, against="asyncio, livekit.rtc, aiohttp")]


def import_ours() -> float:
    began = time.perf_counter()
    import heygen_avatar  # noqa: F401

    return 1000 * (time.perf_counter() - began)


def import_plain() -> float:
    began = time.perf_counter()
    import asyncio  # noqa: F401

    import aiohttp  # noqa: F401
    from livekit import rtc  # noqa: F401

    return 1000 * (time.perf_counter() - began)
