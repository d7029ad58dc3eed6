"""A source of frames that a test feeds by hand, at any speed, on a clock of its own."""

from __future__ import annotations

import threading

import av
import numpy as np

from heygen_avatar.media.sinks import Sink


class Hand:
    alive = True
    on_media_thread = False

    def __init__(self) -> None:
        self.sinks: list[Sink] = []
        self.attached = threading.Event()

    def attach(self, sink: Sink) -> None:
        self.sinks.append(sink)
        self.attached.set()

    def detach(self, sink: Sink) -> None:
        if sink in self.sinks:
            self.sinks.remove(sink)

    def show(self, *values: int, at: float = 0.0) -> None:
        """Small pictures, all bytes of one value."""
        for value in values:
            for sink in self.sinks:
                if sink.kind == "video":
                    sink.put(memoryview(bytes([value] * 12)), 2, 2, at)

    def show_colour(self, colour: tuple[int, int, int], width: int, height: int, at: float) -> None:
        """A picture of one colour, as an encoder wants it."""
        data = i420(colour, width, height)
        for sink in list(self.sinks):
            if sink.kind == "video":
                sink.put(data, width, height, at)

    def play(self, *values: int, at: float = 0.0) -> None:
        """Pieces of sound, all samples of one value; the first is complete at ``at``."""
        for sink in list(self.sinks):
            if sink.kind == "audio":
                for n, value in enumerate(values):
                    samples = np.full(sink.sample_rate * sink.frame_ms // 1000 * sink.num_channels, value, np.int16)
                    sink.put(memoryview(samples.tobytes()), at + n * sink.frame_ms / 1000)

    def hum(self, pitch: float, block: int, at: float) -> None:
        """The ``block``-th piece of a steady tone."""
        for sink in list(self.sinks):
            if sink.kind == "audio":
                size = sink.sample_rate * sink.frame_ms // 1000
                t = (np.arange(size) + block * size) / sink.sample_rate
                sink.put(memoryview((np.sin(2 * np.pi * pitch * t) * 8000).astype(np.int16).tobytes()), at)

    def end(self) -> None:
        for sink in list(self.sinks):
            sink.end()


def i420(colour: tuple[int, int, int], width: int, height: int) -> memoryview:
    """A picture of one colour in planar YUV without padding, BT.601 of limited range as libwebrtc gives it."""
    pixel = av.VideoFrame.from_ndarray(np.full((2, 2, 3), colour, np.uint8), format="rgb24").reformat(format="yuv420p")
    y, u, v = (bytes(plane)[0] for plane in pixel.planes)
    half = ((width + 1) // 2) * ((height + 1) // 2)
    return memoryview(bytes([y]) * (width * height) + bytes([u]) * half + bytes([v]) * half)
