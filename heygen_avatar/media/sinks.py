"""What takes frames from a room: the contract between the media loop and its consumers.

A sink says what it wants to be given; the room has the native library convert to exactly that. ``put`` and ``end`` are
called on the media loop and must neither block nor raise. No livekit here.
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

__all__ = ["AudioSink", "Sink", "Source", "VideoSink"]


class VideoSink(Protocol):
    """A consumer of the avatar's picture."""

    @property
    def kind(self) -> Literal["video"]: ...

    @property
    def pixels(self) -> Literal["rgb24", "i420"]:
        """RGB for arrays, planar YUV for encoders; either without padding."""

    @property
    def backlog(self) -> int:
        """How many frames may wait for a busy media loop before the oldest is lost."""

    def put(self, data: memoryview, width: int, height: int, at: float) -> None:
        """One frame, to be shown ``at`` seconds after the stream became ready. The size may change at any time."""

    def end(self) -> None:
        """No frame will come any more: the session is over. Called once."""


class AudioSink(Protocol):
    """A consumer of the avatar's sound."""

    @property
    def kind(self) -> Literal["audio"]: ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def num_channels(self) -> int: ...

    @property
    def frame_ms(self) -> int:
        """Milliseconds of each frame."""

    def put(self, data: memoryview, at: float) -> None:
        """One frame of int16 samples, heard until ``at`` seconds after the stream became ready."""

    def end(self) -> None:
        """No frame will come any more: the session is over. Called once."""


Sink: TypeAlias = VideoSink | AudioSink


class Source(Protocol):
    """Where sinks are attached: a room, seen from any thread. Neither call blocks."""

    def attach(self, sink: Sink) -> None:
        """Give the sink the avatar's frames from now on, or tell it the end if the session is over."""

    def detach(self, sink: Sink) -> None:
        """Give it no more frames. Unknown sinks are ignored. Never raises: finalizers call it."""

    @property
    def alive(self) -> bool:
        """Whether the media loop still runs; where it does not, no sink will ever hear of the end."""

    @property
    def on_media_thread(self) -> bool:
        """Whether the caller runs on the media loop, where waiting for a frame would wait for ever."""
