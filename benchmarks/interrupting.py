"""From the call that interrupts a talking avatar to silence in the ear of whoever listens."""

from __future__ import annotations

import threading
import time

from benchmarks.child import apart
from benchmarks.measure import Row, simulator, turns

LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen. " * 3

LOUD = 500
"""The peak, of 32,767, from which on a piece of sound is not silence."""

QUIET_FOR = 0.2
"""Seconds without a loud sample that are no pause between two words."""

TALKING_FOR = 0.7
"""Seconds that the avatar has been heard before it is interrupted."""


def rows(*, quick: bool) -> list[Row]:
    rounds, times = (1, 2) if quick else (6, 4)
    with simulator() as address:
        ours, theirs = turns(
            rounds,
            lambda: apart(interrupt_ours, times=times, **address.settings()),
            lambda: apart(interrupt_plain, times=times, **address.settings()),
        )
    return [
        Row(
            what="interrupt to silence",
            unit="ms",
            ours=[one for run in ours for one in run],
            theirs=[one for run in theirs for one in run],
            against="asyncio",
        )
    ]


class Ear:
    """When something loud was heard, first and last."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.since = 0.0
        self.last = 0.0

    def hear(self, peak: int) -> None:
        if peak < LOUD:
            return
        with self._changed:
            self.last = time.perf_counter()
            self.since = self.since or self.last
            self._changed.notify_all()

    def forget(self) -> None:
        self.since = 0.0

    def talks(self) -> bool:
        return bool(self.since) and time.perf_counter() - self.since > TALKING_FOR

    def silent(self) -> bool:
        return time.perf_counter() - self.last > QUIET_FOR


def interrupt_ours(base_path: str, api_key: str, times: int) -> list[float]:
    """Milliseconds from the call to the last loud sound."""
    from heygen_avatar import StreamingAvatar

    ear, result = Ear(), []

    def listen(avatar: StreamingAvatar) -> None:
        for frame in avatar.audio_frames(frame_ms=10):
            ear.hear(int(abs(frame.samples).max()))

    with StreamingAvatar(api_key=api_key, base_path=base_path) as avatar:
        avatar.create_start_avatar(quality="low")
        listener = threading.Thread(target=listen, args=(avatar,), daemon=True)
        listener.start()
        for _ in range(times):
            ear.forget()
            avatar.speak(LONG, task_type="repeat")
            while not ear.talks():
                time.sleep(0.005)
            began = time.perf_counter()
            avatar.interrupt()
            while not ear.silent():
                time.sleep(0.005)
            result.append(max(0.0, 1000 * (ear.last - began)))
    listener.join(5)
    return result


def interrupt_plain(base_path: str, api_key: str, times: int) -> list[float]:
    import asyncio

    import numpy as np
    from livekit import rtc

    from benchmarks.plain import PlainSession

    ear = Ear()

    async def listen(session: PlainSession) -> None:
        track = await session.track(rtc.TrackKind.KIND_AUDIO)
        stream = rtc.AudioStream(track, sample_rate=48_000, num_channels=1, frame_size_ms=10)
        try:
            async for event in stream:
                ear.hear(int(abs(np.frombuffer(event.frame.data, np.int16)).max()))
        finally:
            await stream.aclose()

    async def interrupt() -> list[float]:
        session, result = PlainSession(base_path, api_key), []
        await session.start()
        listener = asyncio.create_task(listen(session))
        for _ in range(times):
            ear.forget()
            task = {"session_id": session.session_id, "text": LONG, "task_type": "repeat", "task_mode": "async"}
            await session.post("streaming.task", task)
            while not ear.talks():
                await asyncio.sleep(0.005)
            began = time.perf_counter()
            await session.post("streaming.interrupt", {"session_id": session.session_id})
            while not ear.silent():
                await asyncio.sleep(0.005)
            result.append(max(0.0, 1000 * (ear.last - began)))
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
        await session.stop()
        return result

    return asyncio.run(interrupt())
