"""From nothing to a session that is ready, and to its first picture.

The first start of a process counts from before the imports: one library loads while the other is thinking, so what an
import costs can hide in a start. The later ones are of a process that has done it before.
"""

from __future__ import annotations

import time

import requests

from benchmarks.child import apart
from benchmarks.measure import Address, Row, simulator, turns

NETWORK_DELAY = 0.1
"""Seconds that each answer is held back in the rows that imitate a distance."""

PLAIN = "asyncio, one after the other"


def rows(*, quick: bool) -> list[Row]:
    rounds, starts = (2, 3) if quick else (8, 6)
    with simulator() as near:
        rows = _rows(near, rounds, starts, "")
    with simulator() as far:
        delay = {"kind": "delay", "seconds": NETWORK_DELAY, "path": "/v1/*", "times": None}
        requests.post(f"{far.base_path}/simulator/faults", json=delay, timeout=10).raise_for_status()
        rows += _rows(far, rounds, starts, f", {1000 * NETWORK_DELAY:.0f} ms away")
    return rows


def _rows(address: Address, rounds: int, starts: int, where: str) -> list[Row]:
    ours, theirs = turns(
        rounds,
        lambda: apart(start_ours, count=starts, **address.settings()),
        lambda: apart(start_plain, count=starts, **address.settings()),
    )
    result = []
    for reached, at in (("ready", 0), ("first frame", 1)):
        for which, pick in (("first", slice(0, 1)), ("later", slice(1, None))):
            result.append(
                Row(
                    what=f"start to {reached}, {which}{where}",
                    unit="ms",
                    ours=[times[at] for run in ours for times in run[pick]],
                    theirs=[times[at] for run in theirs for times in run[pick]],
                    against=PLAIN,
                    goal=0.9,
                )
            )
    return result


def start_ours(base_path: str, api_key: str, count: int) -> list[list[float]]:
    """For each start, the milliseconds to ready and to the first frame."""
    result = []
    for _ in range(count):
        began = time.perf_counter()
        from heygen_avatar import StreamingAvatar

        with StreamingAvatar(api_key=api_key, base_path=base_path) as avatar:
            avatar.create_start_avatar(quality="low")
            ready = time.perf_counter()
            with avatar.video_frames() as frames:
                next(frames).to_ndarray()
                seen = time.perf_counter()
        result.append([1000 * (ready - began), 1000 * (seen - began)])
    return result


def start_plain(base_path: str, api_key: str, count: int) -> list[list[float]]:
    began = time.perf_counter()
    import asyncio

    import numpy as np
    from livekit import rtc

    from benchmarks.plain import PlainSession

    async def once(began: float) -> list[float]:
        session = PlainSession(base_path, api_key)
        await session.start()
        ready = time.perf_counter()
        stream = rtc.VideoStream(await session.track(rtc.TrackKind.KIND_VIDEO), format=rtc.VideoBufferType.RGB24)
        async for event in stream:
            frame = event.frame
            np.frombuffer(frame.data, np.uint8).reshape(frame.height, frame.width, 3)
            break
        seen = time.perf_counter()
        await stream.aclose()
        await session.stop()
        return [1000 * (ready - began), 1000 * (seen - began)]

    async def all_of_them() -> list[list[float]]:
        return [await once(began if number == 0 else time.perf_counter()) for number in range(count)]

    return asyncio.run(all_of_them())
