"""What one 720p30 session costs while its frames are read, its sound, or its events only; and how many frames come.

Each contender starts in an interpreter of its own, settles, and is watched for some seconds. The simulator draws and
encodes on the same machine, so a frame rate says what is left of it; the comparison is between two who had the same.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from benchmarks.child import apart
from benchmarks.measure import Row, Usage, memory_mb, simulator, turns

SETTLING = 1.5
"""Seconds until a stream runs evenly."""

PLAIN = "asyncio"

NAMES = {"frames": "frames read as RGB arrays", "audio": "sound only", "events": "events only"}


def rows(*, quick: bool) -> list[Row]:
    rounds, seconds = (1, 3.0) if quick else (7, 6.0)
    runs = {}
    with simulator("--fps", "30") as address:
        for use in NAMES:
            settings: dict[str, Any] = {"use": use, "seconds": seconds, **address.settings()}
            runs[use] = turns(
                rounds,
                lambda: apart(watch_ours, **settings),  # noqa: B023
                lambda: apart(watch_plain, **settings),  # noqa: B023
            )
    result = [
        Row(
            what=f"720p30 session, {name}: {what}",
            unit=unit,
            ours=[run[key] for run in runs[use][0]],
            theirs=[run[key] for run in runs[use][1]],
            against=PLAIN,
            goal=goal,
        )
        for use, name in NAMES.items()
        for key, what, unit, goal in (("cpu", "CPU", "% of a core", 1.05), ("memory", "memory", "MB", None))
    ]
    ours, theirs = runs["frames"]
    result.append(
        Row(
            what="720p30 session: RGB arrays a second",
            unit="frames/s",
            ours=[run["rate"] for run in ours],
            theirs=[run["rate"] for run in theirs],
            against=PLAIN,
            goal=0.95,
            more_is_better=True,
        )
    )
    result.append(
        Row(
            what="720p30 session, events only: CPU",
            unit="% of a core",
            ours=[run["cpu"] for run in runs["events"][0]],
            theirs=[run["cpu"] for run in ours],
            against="ours, frames read",
            goal=0.15,
        )
    )
    return result


def watch_ours(base_path: str, api_key: str, use: str, seconds: float) -> dict[str, float]:
    """CPU, memory and frames a second of a session that reads pictures and sound, sound, or neither."""
    from heygen_avatar import StreamingAvatar

    counts = [0, 0]

    def read_pictures(avatar: StreamingAvatar) -> None:
        for frame in avatar.video_frames():
            counts[0] += frame.to_ndarray().shape[0] > 0

    def read_sound(avatar: StreamingAvatar) -> None:
        for frame in avatar.audio_frames(frame_ms=10):
            counts[1] += frame.samples.shape[0] > 0

    with StreamingAvatar(api_key=api_key, base_path=base_path) as avatar:
        avatar.create_start_avatar(quality="high")
        readers = [read_pictures, read_sound][{"frames": 0, "audio": 1, "events": 2}[use] :]
        threads = [threading.Thread(target=reader, args=(avatar,), daemon=True) for reader in readers]
        for thread in threads:
            thread.start()
        time.sleep(SETTLING)
        used, before = Usage(), counts[0]
        time.sleep(seconds)
        result = {"cpu": used.cpu_percent(), "memory": memory_mb(), "rate": (counts[0] - before) / seconds}
    for thread in threads:
        thread.join(5)
    return result


def watch_plain(base_path: str, api_key: str, use: str, seconds: float) -> dict[str, float]:
    import asyncio

    import numpy as np
    from livekit import rtc

    from benchmarks.plain import PlainSession

    counts = [0, 0]

    async def read_pictures(session: PlainSession) -> None:
        track = await session.track(rtc.TrackKind.KIND_VIDEO)
        stream = rtc.VideoStream(track, capacity=1, format=rtc.VideoBufferType.RGB24)
        try:
            async for event in stream:
                frame = event.frame
                pixels = np.frombuffer(frame.data, np.uint8).reshape(frame.height, frame.width, 3)
                counts[0] += pixels.shape[0] > 0
        finally:
            await stream.aclose()

    async def read_sound(session: PlainSession) -> None:
        track = await session.track(rtc.TrackKind.KIND_AUDIO)
        stream = rtc.AudioStream(track, sample_rate=48_000, num_channels=1)
        try:
            async for event in stream:
                samples = np.frombuffer(event.frame.data, np.int16).reshape(-1, 1)
                counts[1] += samples.shape[0] > 0
        finally:
            await stream.aclose()

    async def watch() -> dict[str, float]:
        session = PlainSession(base_path, api_key, quality="high", subscribe=use == "frames")
        await session.start()
        if use == "audio":
            avatar = session.room.remote_participants["heygen"]
            for publication in avatar.track_publications.values():
                publication.set_subscribed(publication.kind == rtc.TrackKind.KIND_AUDIO)
        readers = [read_pictures, read_sound][{"frames": 0, "audio": 1, "events": 2}[use] :]
        tasks = [asyncio.create_task(reader(session)) for reader in readers]
        await asyncio.sleep(SETTLING)
        used, before = Usage(), counts[0]
        await asyncio.sleep(seconds)
        result = {"cpu": used.cpu_percent(), "memory": memory_mb(), "rate": (counts[0] - before) / seconds}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await session.stop()
        return result

    return asyncio.run(watch())
