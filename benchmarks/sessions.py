"""Many sessions in one process, of which only the events are heard."""

from __future__ import annotations

import time
from contextlib import ExitStack

from benchmarks.child import apart
from benchmarks.measure import Row, Usage, memory_mb, simulator, turns

NUMBERS = (1, 8, 32)

SETTLING = 1.0


def rows(*, quick: bool) -> list[Row]:
    rounds, seconds = (1, 2.0) if quick else (4, 6.0)
    result = []
    with simulator() as address:
        for number in NUMBERS:
            settings = {"number": number, "seconds": seconds, **address.settings()}
            ours, theirs = turns(
                rounds,
                lambda: apart(listen_ours, **settings),  # noqa: B023
                lambda: apart(listen_plain, **settings),  # noqa: B023
            )
            for at, what, unit in ((0, "CPU", "% of a core"), (1, "memory", "MB")):
                result.append(
                    Row(
                        what=f"{number} event-only session{'s' if number > 1 else ''} in one process: {what}",
                        unit=unit,
                        ours=[run[at] for run in ours],
                        theirs=[run[at] for run in theirs],
                        against="asyncio",
                    )
                )
    return result


def listen_ours(base_path: str, api_key: str, number: int, seconds: float) -> list[float]:
    """CPU and memory of so many sessions in this process."""
    from heygen_avatar import StreamingAvatar

    with ExitStack() as stack:
        for _ in range(number):
            avatar = stack.enter_context(StreamingAvatar(api_key=api_key, base_path=base_path))
            avatar.create_start_avatar(quality="low")
        time.sleep(SETTLING)
        used = Usage()
        time.sleep(seconds)
        return [used.cpu_percent(), memory_mb()]


def listen_plain(base_path: str, api_key: str, number: int, seconds: float) -> list[float]:
    import asyncio

    from benchmarks.plain import PlainSession

    async def listen() -> list[float]:
        sessions = [PlainSession(base_path, api_key, subscribe=False) for _ in range(number)]
        for session in sessions:
            await session.start()
        await asyncio.sleep(SETTLING)
        used = Usage()
        await asyncio.sleep(seconds)
        result = [used.cpu_percent(), memory_mb()]
        for session in sessions:
            await session.stop()
        return result

    return asyncio.run(listen())
