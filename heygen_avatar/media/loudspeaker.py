"""The avatar's voice on the machine's loudspeaker: a sink whose sound the sound library's thread takes away.

Little is buffered, and a silence is the place to catch up, so that it never lags; an interrupt empties the buffer.
"""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType
from typing import Any, Literal

from .devices import BLOCK_SECONDS, RATE, device_errors, sound_library
from .echo import machine_echo
from .sinks import Source

__all__ = ["Playback"]

START_BLOCKS = 6
"""Blocks that must be there before it plays, and again after it ran dry: 60 ms of the network's unevenness."""

RELAXED_BLOCKS = 15
"""More than this is brought down in the next silence."""

MOST_BLOCKS = 100
"""Beyond a second, the oldest go, and are counted."""

QUIET = 100
"""The loudest sample of a block that counts as silence."""


class Playback:
    """The avatar, to be heard: what ``avatar.play()`` returns. Leaving ``with`` ends it.

    Attributes:
        dropped: blocks of 10 ms that were not played because the loudspeaker was late.
    """

    kind: Literal["audio"] = "audio"
    sample_rate = RATE
    num_channels = 1
    frame_ms = round(BLOCK_SECONDS * 1000)

    def __init__(self, room: Source, *, device: int | str | None = None) -> None:
        self.dropped = 0
        self._room = room
        self._lock = threading.Lock()
        self._blocks: deque[bytes] = deque()
        self._flowing = False
        self._over = False
        self._library = sound_library("play()")
        with device_errors(self._library, "the loudspeaker"):
            self._stream = self._library.RawOutputStream(
                device=device,
                samplerate=RATE,
                channels=1,
                dtype="int16",
                blocksize=round(RATE * BLOCK_SECONDS),
                # Not "low": its few milliseconds are gone while another thread of this process holds the interpreter.
                latency="high",
                callback=self._fill,
                finished_callback=self._finished,
            )
            self._stream.start()
        room.attach(self)

    @property
    def playing(self) -> bool:
        """Whether it has not ended, by ``stop()`` or with the session."""
        return bool(self._stream.active)

    def silence(self) -> None:
        """Drop what waits to be played."""
        with self._lock:
            self._blocks.clear()
            self._flowing = False

    def stop(self) -> None:
        """Play no more. Idempotent."""
        self._room.detach(self)
        self.silence()
        self._stream.close(ignore_errors=True)

    def __enter__(self) -> Playback:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Playback {'playing' if self.playing else 'ended'}, {self.dropped} dropped>"

    # -- a sink: on the media loop

    def put(self, data: memoryview, at: float) -> None:
        block = bytes(data)
        with self._lock:
            if len(self._blocks) > RELAXED_BLOCKS and _is_quiet(block):
                return
            self._blocks.append(block)
            if len(self._blocks) > MOST_BLOCKS:
                self._blocks.popleft()
                self.dropped += 1

    def end(self) -> None:
        self._over = True  # what is there is played, then the stream ends by itself

    # -- on the sound library's thread

    def _fill(self, out: Any, _frames: int, _time: Any, _status: Any) -> None:
        with self._lock:
            self._flowing = self._flowing or self._over or len(self._blocks) >= START_BLOCKS
            block = self._blocks.popleft() if self._flowing and self._blocks else b""
            self._flowing = self._flowing and bool(self._blocks)
        out[:] = block.ljust(len(out), b"\0")[: len(out)]
        machine_echo.played(self, bytes(out))
        if self._over and not block:
            raise self._library.CallbackStop

    def _finished(self) -> None:
        machine_echo.ended(self)


def _is_quiet(block: bytes) -> bool:
    import numpy

    samples = numpy.frombuffer(block, numpy.int16)
    return not samples.size or int(numpy.abs(samples.astype(numpy.int32)).max()) < QUIET
