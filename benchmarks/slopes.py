"""What is left behind by a session that was started and stopped, many times over in one process."""

from __future__ import annotations

import gc
import threading
from typing import Any

from benchmarks.child import apart
from benchmarks.measure import Row, memory_mb, simulator, turns

WARMING_UP = 10
"""Cycles that fill caches and arenas, and do not count."""


def rows(*, quick: bool) -> list[Row]:
    rounds, cycles = (1, 10) if quick else (3, 80)
    with simulator() as address:
        ours, theirs = turns(
            rounds,
            lambda: apart(cycle_ours, cycles=WARMING_UP + cycles, **address.settings()),
            lambda: apart(cycle_plain, cycles=WARMING_UP + cycles, **address.settings()),
        )
    result = []
    for at, what, unit, digits in (
        (0, "threads", "a cycle", 3),
        (1, "descriptors", "a cycle", 3),
        (2, "memory", "kB a cycle", 1),
    ):
        result.append(
            Row(
                what=f"start and stop: {what} left behind",
                unit=unit,
                ours=[run[at] for run in ours],
                theirs=[run[at] for run in theirs],
                against="asyncio",
                digits=digits,
            )
        )
    return result


def cycle_ours(base_path: str, api_key: str, cycles: int) -> list[float]:
    """Threads, descriptors and kilobytes that each cycle adds."""
    from heygen_avatar import StreamingAvatar

    diary = _Diary()
    for _ in range(cycles):
        with StreamingAvatar(api_key=api_key, base_path=base_path) as avatar:
            avatar.create_start_avatar(quality="low")
            with avatar.video_frames() as frames:
                next(frames)
        diary.write()
    return diary.slopes()


def cycle_plain(base_path: str, api_key: str, cycles: int) -> list[float]:
    import asyncio

    from livekit import rtc

    from benchmarks.plain import PlainSession

    diary = _Diary()

    async def cycle() -> None:
        session = PlainSession(base_path, api_key)
        await session.start()
        stream = rtc.VideoStream(await session.track(rtc.TrackKind.KIND_VIDEO), format=rtc.VideoBufferType.RGB24)
        async for _ in stream:
            break
        await stream.aclose()
        await session.stop()

    async def cycle_on() -> None:
        for _ in range(cycles):
            await cycle()
            diary.write()

    asyncio.run(cycle_on())
    return diary.slopes()


class _Diary:
    """What the process holds after each cycle."""

    def __init__(self) -> None:
        import psutil

        self._process: Any = psutil.Process()
        self._pages: list[tuple[float, float, float]] = []

    def write(self) -> None:
        gc.collect()
        self._pages.append((threading.active_count(), self._process.num_fds(), 1000 * memory_mb()))

    def slopes(self) -> list[float]:
        return [slope([page[column] for page in self._pages[WARMING_UP:]]) for column in range(3)]


def slope(values: list[float]) -> float:
    """What each step adds, by Theil and Sen: the median over all pairs, which one outlier does not bend."""
    from statistics import median

    slopes = [
        (values[later] - values[early]) / (later - early)
        for early in range(len(values))
        for later in range(early + 1, len(values))
    ]
    return median(slopes)
