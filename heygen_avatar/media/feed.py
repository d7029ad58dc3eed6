"""One track's frames into one sink: a task on the media loop that ends by being cancelled, and closes what it opened.

A ``VideoStream``'s reader never hears of the end (livekit 1.2.1), hence the cancelling.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from livekit import rtc

from .sinks import AudioSink, Sink, VideoSink

__all__ = ["Feed"]

CLOSE_TIMEOUT = 2.0
"""Seconds a native stream may take to end before it is abandoned."""

_PIXELS = {"rgb24": rtc.VideoBufferType.RGB24, "i420": rtc.VideoBufferType.I420}


class Feed:
    """Feeds ``sink`` from ``track`` until it is stopped. ``clock`` tells the seconds since the stream became ready."""

    def __init__(self, track: rtc.RemoteTrack, sink: Sink, clock: Callable[[float], float]) -> None:
        self.track = track
        pump = _pump_video(track, sink, clock) if sink.kind == "video" else _pump_audio(track, sink, clock)
        self.task = asyncio.get_running_loop().create_task(pump)

    def stop(self) -> None:
        """Give the sink nothing more. The native stream is closed by ``task``, which ends within ``CLOSE_TIMEOUT``."""
        self.task.cancel()


async def _pump_video(track: rtc.RemoteTrack, sink: VideoSink, clock: Callable[[float], float]) -> None:
    stream = rtc.VideoStream(track, capacity=sink.backlog, format=_PIXELS[sink.pixels])
    try:
        async for event in stream:
            frame = event.frame
            sink.put(frame.data, frame.width, frame.height, clock(_show_time(event.timestamp_us)))
    finally:
        await _close(stream)


async def _pump_audio(track: rtc.RemoteTrack, sink: AudioSink, clock: Callable[[float], float]) -> None:
    stream = rtc.AudioStream(
        track, sample_rate=sink.sample_rate, num_channels=sink.num_channels, frame_size_ms=sink.frame_ms
    )
    try:
        async for event in stream:
            sink.put(event.frame.data, clock(time.monotonic()))
    finally:
        await _close(stream)


def _show_time(timestamp_us: int) -> float:
    """The native time a frame is meant to be shown, which is free of the loop's jitter, where its clock is ours."""
    now = time.monotonic()
    shown = timestamp_us / 1e6
    return shown if abs(shown - now) < 1.0 else now


async def _close(stream: rtc.VideoStream | rtc.AudioStream) -> None:
    # Where the native end does not come (a dead network, a closing loop) the handle is disposed all the same, and the
    # stream's subscription goes with its last reference, which is ours.
    with contextlib.suppress(asyncio.TimeoutError, asyncio.CancelledError):
        await asyncio.wait_for(stream.aclose(), CLOSE_TIMEOUT)
