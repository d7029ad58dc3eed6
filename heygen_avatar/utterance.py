"""What the user says in one go: a source that is read on a thread of its own, ahead of the wire but never far.

The thread that reads may be held up by the source as long as it likes; the media loop takes what is there and never
waits. Knows no wire: it hands out frames of the size it was asked for.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING

from .deadline import Deadline, check_timeout
from .errors import HeyGenError, MediaError, WaitTimeoutError
from .media.sources import MonoBlocks, SoundSource, close_source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Utterance"]

log = logging.getLogger("heygen_avatar.media")

AHEAD = 2.0
"""Seconds that a source is read ahead of the wire."""

AHEAD_LIVE = 0.2
"""The same for a source that comes at the pace of the world: what waits here is delay."""

PRIMED = 0.06
"""Seconds that must be there before any are taken, so that a source that stutters does not chop words. Of a live one
nothing is held back: it has its pace."""

STALLED = 1.0
"""Seconds without a sample after which a message says so."""

END_TIMEOUT = 1.0
"""Seconds in which a source's thread ends after the source was closed, unless the source's own code is stuck."""

_numbers = count(1)


class Utterance:
    """A source on its way to the avatar: what ``VoiceChat.speak`` returns.

    Attributes:
        source: where the sound comes from.
        error: what went wrong with the source, or the end of the session; None if nothing did. What the source had
            given before was said all the same.
    """

    def __init__(
        self, source: SoundSource, *, sample_rate: int, frame_samples: int, changed: Callable[[], None]
    ) -> None:
        self.source = source
        self.error: HeyGenError | None = None
        self._sample_rate = sample_rate
        self._frame_samples = frame_samples
        self._capacity = self._frames_of(AHEAD_LIVE if self.live else AHEAD)
        self._needed = 1 if self.live else self._frames_of(PRIMED)
        self._tell = changed
        self._changed = threading.Condition()
        self._frames: deque[NDArray[np.int16]] = deque()
        self._primed = False
        self._stopped = False
        self._reading = False  # the source is open
        self._read = False  # to its end, or to an error
        self._sent = 0
        self._given_at = time.monotonic()
        self._opened = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"heygen-voice-{next(_numbers)}", daemon=True)

    @property
    def live(self) -> bool:
        """Whether the source comes at the pace of the world, and has no end of its own."""
        return bool(getattr(self.source, "live", False))

    @property
    def stopped(self) -> bool:
        """Whether it was ended before its source's end."""
        return self._stopped

    @property
    def seconds(self) -> float:
        """How much of it was sent, muted or not."""
        return self._sent / self._sample_rate

    @property
    def done(self) -> bool:
        """Whether all was sent and the silence behind it too, or it was stopped."""
        return self._done.is_set()

    def wait(self, timeout: float = 60.0) -> Utterance:
        """Wait until all of it is sent, with enough silence behind it that the service notices its end.

        Raises:
            MediaError: the source failed, or gave no sound.
            SessionClosedError: session or voice chat ended first.
            WaitTimeoutError: more is to come; the voice chat goes on.
        """
        if not Deadline.after(check_timeout(timeout)).wait(self._done):
            raise WaitTimeoutError(f"{self.source!r} is not all said after {timeout:g} s{self._stall()}")
        if self.error is not None:
            raise self.error
        return self

    def stop(self) -> None:
        """End it now; what was not sent yet is dropped. Idempotent, does not wait."""
        with self._changed:
            self._stopped = True
            self._frames.clear()
            self._changed.notify_all()
            unread = not self._read
        self._tell()
        if unread:
            close_source(self.source)

    def __repr__(self) -> str:
        state = f"failed: {self.error}" if self.error else "said" if self.done else "being said"
        return f"<Utterance of {self.source!r}, {self.seconds:.1f} s sent, {state}>"

    # -- for the voice chat: any thread

    def open(self, deadline: Deadline) -> None:
        """Begin to read; return when the source is open. What goes wrong from then on, ``wait`` tells.

        Raises:
            HeyGenError: it cannot be opened; nothing was sent.
        """
        self._thread.start()
        if not deadline.wait(self._opened):
            self.stop()
            raise WaitTimeoutError(f"{self.source!r} could not be opened in time; nothing was sent")
        if not self._reading and self.error is not None:
            raise self.error

    def join(self) -> None:
        """Wait a moment for the thread of a source that was stopped."""
        deadline = Deadline.after(END_TIMEOUT)
        while self._thread.is_alive() and self._thread is not threading.current_thread() and not deadline.passed:
            self._thread.join(min(0.1, deadline.left))
        if self._thread.is_alive():
            log.warning("%r does not come to an end; its thread %s is left to it", self.source, self._thread.name)

    # -- for the voice chat: the media loop

    def take(self) -> NDArray[np.int16] | None:
        """The next frame, the last one filled up with silence; None where none is there yet, or any more."""
        with self._changed:
            if not self._primed:
                self._primed = self._read or len(self._frames) >= self._needed
            if not self._primed or not self._frames:
                self._primed = False
                return None
            frame = self._frames.popleft()
            self._changed.notify_all()
        self._sent += len(frame)
        if len(frame) == self._frame_samples:
            return frame
        import numpy

        return numpy.pad(frame, (0, self._frame_samples - len(frame)))

    @property
    def ready(self) -> bool:
        """Whether there is a frame to take."""
        with self._changed:
            return bool(self._frames)

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will be taken."""
        with self._changed:
            return not self._frames and (self._read or self._stopped)

    def finish(self, error: HeyGenError | None = None) -> None:
        """It is over, or the wire is."""
        if self._done.is_set():
            return
        self.error = self.error or error
        self._done.set()
        self.stop()

    # -- reading: its own thread

    def _work(self) -> None:
        try:
            blocks = MonoBlocks(self.source, sample_rate=self._sample_rate, block_samples=self._frame_samples)
            with closing(blocks):
                self._reading = True
                self._opened.set()
                if not self._pass_on(blocks):
                    self.error = MediaError(f"{self.source!r} gave no sound")
        except HeyGenError as error:
            self.error = error
        except BaseException as error:  # the source's code is the user's: whatever it raises is told to who waits
            self.error = MediaError(f"{self.source!r} failed: {type(error).__name__}: {error}")
            self.error.__cause__ = error
        finally:
            with self._changed:
                self._read = True
            self._opened.set()

    def _pass_on(self, blocks: MonoBlocks) -> bool:
        """Whether there was any sound, or nobody wanted more."""
        given = 0
        for block in blocks:
            with self._changed:
                while len(self._frames) >= self._capacity and not self._stopped:
                    Deadline.never().wait_on(self._changed)
                if self._stopped:
                    return True
                self._frames.append(block)
                self._given_at = time.monotonic()
            if self.live:
                self._tell()
            given += len(block)
        return given > 0 or self._stopped

    def _frames_of(self, seconds: float) -> int:
        return max(1, math.ceil(seconds * self._sample_rate / self._frame_samples))

    def _stall(self) -> str:
        waiting = time.monotonic() - self._given_at
        return f"; it has given nothing for {waiting:.1f} s" if not self._read and waiting > STALLED else ""
