"""Frames for the caller's thread: blocking iterators over what the media loop delivers.

A reader's inbox is bounded: too slow a reader loses the oldest frames, which are counted, and never slows the session.
No livekit here; a reader attaches its inbox to a room, and lets go of it when it is closed, collected or over.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, cast

from ..deadline import SLICE, Deadline, check_timeout
from ..errors import InvalidRequestError, SessionClosedError, UsageError, WaitTimeoutError
from .frames import BYTES_PER_SAMPLE, AudioFrame, VideoFrame
from .sinks import Sink, Source

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AudioFrames", "VideoFrames", "snapshot"]

FRAME_TIMEOUT = 30.0
"""Seconds to wait for one frame where nothing else was asked for."""

F = TypeVar("F", VideoFrame, AudioFrame)


class _Inbox(Generic[F]):
    """Frames on their way from the media loop to one reader; the oldest go when it is full.

    A deque's ends are safe to use from two threads. The bell is a lock that is held while there is nothing new: waiting
    for it costs a third of what waiting on a condition does, and this happens a hundred times a second.
    """

    def __init__(self, capacity: int) -> None:
        self.dropped = 0
        self._capacity = capacity
        self._frames: deque[F] = deque()
        self._over = False
        self._bell = threading.Lock()
        self._bell.acquire()

    def add(self, frame: F) -> None:
        if len(self._frames) >= self._capacity:
            with contextlib.suppress(IndexError):  # the reader took it just now
                self._frames.popleft()
                self.dropped += 1
        self._frames.append(frame)
        self._ring()

    def end(self) -> None:
        self._over = True
        self._ring()

    def take(self, source: Source, timeout: float | None) -> F | None:
        """The oldest frame, or None where no more will come. Raises TimeoutError."""
        deadline = Deadline.never() if timeout is None else Deadline.after(timeout)
        while True:
            over = self._over  # asked first: what came before the end is still read
            with contextlib.suppress(IndexError):
                return self._frames.popleft()
            if over or not source.alive:
                return None
            if deadline.passed:
                raise TimeoutError
            self._bell.acquire(timeout=min(SLICE, deadline.left))

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # it rings already
            self._bell.release()


class _VideoInbox(_Inbox[VideoFrame]):
    """A sink for pictures: one place, the latest wins."""

    kind: Literal["video"] = "video"
    pixels: Literal["rgb24"] = "rgb24"
    backlog = 1

    def __init__(self, fps: float | None) -> None:
        super().__init__(1)
        self._interval = 0.0 if fps is None else 1.0 / fps
        self._due: float | None = None

    def put(self, data: memoryview, width: int, height: int, at: float) -> None:
        if self._interval:
            due = at if self._due is None else self._due
            # Half a frame of 60 fps early is on time: 30 fps thinned to 15 must not stumble over jitter.
            if at < due - 1 / 120:
                return
            self._due = (due if at - due < self._interval else at) + self._interval
        self.add(VideoFrame(width=width, height=height, timestamp=at, data=data))


class _AudioInbox(_Inbox[AudioFrame]):
    """A sink for sound: some seconds of it."""

    kind: Literal["audio"] = "audio"

    def __init__(self, sample_rate: int, num_channels: int, frame_ms: int, buffer: float) -> None:
        super().__init__(max(1, round(buffer * 1000 / frame_ms)))
        self.sample_rate = sample_rate
        self.num_channels = num_channels
        self.frame_ms = frame_ms
        self._next: float | None = None

    def put(self, data: memoryview, at: float) -> None:
        duration = len(data.cast("B")) / BYTES_PER_SAMPLE / self.num_channels / self.sample_rate
        # Sound is continuous: its time is counted in samples, from arrival only at the start and after a real gap.
        start = at - duration
        if self._next is not None and abs(start - self._next) < 1.0:
            start = self._next
        self._next = start + duration
        frame = AudioFrame(sample_rate=self.sample_rate, num_channels=self.num_channels, timestamp=start, data=data)
        self.add(frame)


class _Frames(Generic[F]):
    """What both readers have: iteration, ``read``, ``close``."""

    _what: str

    def __init__(self, source: Source, inbox: _Inbox[F], timeout: float | None) -> None:
        self._source = source
        self._inbox: _Inbox[F] = inbox
        self._timeout = timeout if timeout is None else check_timeout(timeout)
        self._closed = False
        self._reading = threading.Lock()
        # Holds the inbox and the room, never this object: a reader that is merely dropped detaches itself.
        sink = cast(Sink, inbox)
        self._detach: weakref.finalize[[Sink], _Frames[F]] = weakref.finalize(self, source.detach, sink)
        self._detach.atexit = False
        source.attach(sink)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> F:
        frame = self._take(self._timeout)
        if frame is None:
            raise StopIteration
        return frame

    def read(self, timeout: float | None = None) -> F:
        """The next frame.

        Args:
            timeout: seconds to wait at most; the reader's own timeout where None.

        Raises:
            WaitTimeoutError: no frame came in time.
            SessionClosedError: the session is over, and all its frames are read.
            UsageError: this reader is closed, or another thread is reading it.
        """
        timeout = self._timeout if timeout is None else check_timeout(timeout)
        if self._closed:
            raise UsageError(f"this reader of {self._what} is closed: open another one")
        frame = self._take(timeout)
        if frame is None:
            raise SessionClosedError(f"no more {self._what}: the session is over", reason="ended")
        return frame

    @property
    def dropped(self) -> int:
        """Frames lost because they were not read in time."""
        return self._inbox.dropped

    def close(self) -> None:
        """Stop receiving. Idempotent; another thread that waits for a frame is woken, its iteration ends."""
        self._closed = True
        self._detach()
        self._inbox.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'closed' if self._closed else 'open'}, {self.dropped} dropped>"

    def _take(self, timeout: float | None) -> F | None:
        if self._source.on_media_thread:
            raise UsageError(f"waiting for {self._what} on the media thread would wait for ever")
        if not self._reading.acquire(blocking=False):
            raise UsageError(f"another thread is reading these {self._what}: give each thread a reader of its own")
        try:
            return None if self._closed else self._inbox.take(self._source, timeout)
        except TimeoutError:
            raise WaitTimeoutError(f"no {self._what} came within {timeout:g} s; the session goes on") from None
        finally:
            self._reading.release()


class VideoFrames(_Frames[VideoFrame]):
    """The avatar's picture, frame by frame: ``for frame in frames``. The latest wins; what was not read is ``dropped``.

    Args:
        source: the session's room.
        fps: no more frames a second than this; all of them where None. Those left out do not count as dropped.
        timeout: seconds to wait for one frame before WaitTimeoutError; None waits until the session ends.

    The iteration ends with the session or with ``close()``. One thread reads one reader; there may be many readers.
    """

    _what = "pictures"

    def __init__(self, source: Source, *, fps: float | None = None, timeout: float | None = FRAME_TIMEOUT) -> None:
        if fps is not None and not fps > 0:
            raise InvalidRequestError(f"fps must be more than 0, not {fps!r}")
        inbox = _VideoInbox(fps)
        super().__init__(source, inbox, timeout)


class AudioFrames(_Frames[AudioFrame]):
    """The avatar's sound, piece by piece and without a gap: ``for frame in frames``.

    Args:
        source: the session's room.
        sample_rate: samples a second, 8000 to 96000; converted by the native library.
        num_channels: 1 or 2.
        frame_ms: milliseconds of one frame, 10 to 500; fewer, longer frames cost less.
        buffer: seconds that may wait to be read; of more, the oldest are lost and counted in ``dropped``.
        timeout: seconds to wait for one frame before WaitTimeoutError; None waits until the session ends.

    The iteration ends with the session or with ``close()``. One thread reads one reader; there may be many readers.
    """

    _what = "sounds"

    def __init__(
        self,
        source: Source,
        *,
        sample_rate: int = 48_000,
        num_channels: int = 1,
        frame_ms: int = 20,
        buffer: float = 10.0,
        timeout: float | None = FRAME_TIMEOUT,
    ) -> None:
        _check("sample_rate", sample_rate, 8_000, 96_000)
        _check("num_channels", num_channels, 1, 2)
        _check("frame_ms", frame_ms, 10, 500)
        if not buffer > 0:
            raise InvalidRequestError(f"buffer must be more than 0 seconds, not {buffer!r}")
        inbox = _AudioInbox(sample_rate, num_channels, frame_ms, buffer)
        super().__init__(source, inbox, timeout)


def snapshot(source: Source, *, timeout: float = 10.0) -> VideoFrame:
    """The next picture.

    Raises:
        WaitTimeoutError: none came in time.
        SessionClosedError: the session is over.
    """
    with VideoFrames(source, timeout=timeout) as frames:
        try:
            return frames.read()
        except WaitTimeoutError:
            raise WaitTimeoutError(
                f"no picture came within {timeout:g} s: check that the stream is ready (stream_ready) and that the "
                "network lets WebRTC's UDP through; the session goes on"
            ) from None


def _check(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidRequestError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
