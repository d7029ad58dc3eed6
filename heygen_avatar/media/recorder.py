"""Recording a session to a file, on a thread of its own: neither the media loop nor the caller waits for an encoder.

Needs the extra ``record`` (PyAV). No livekit here: the recorder is a consumer like any other.
"""

from __future__ import annotations

import html
import itertools
import logging
import os
import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from attrs import frozen

from ..deadline import Deadline, check_timeout
from ..errors import MediaError, UsageError
from .sinks import Sink, Source
from .timeline import RATE, Timeline

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Recording"]

logger = logging.getLogger(__name__)

MAX_PICTURES = 60
"""Pictures that may wait for the encoder; beyond, the oldest are lost and counted."""

SOUND_MS = 20
MAX_SOUNDS = 10_000 // SOUND_MS
"""Sounds that may wait: ten seconds. Beyond, the oldest become silence."""

FLOW_TIMEOUT = 3.0
"""Seconds that starting waits for the first picture and sound, so that what is said next is recorded from its start."""

TAIL = 0.3
"""Seconds recorded after ``stop()``: when the avatar is said to have stopped, its last syllable is still on its way."""

STOP_TIMEOUT = 15.0

_numbers = itertools.count(1)


class Recording:
    """A recording that runs from its making until ``stop()``, the end of its ``with`` block, or the session's end.

    Making one waits (3 s at most) until picture and sound flow. A recording nobody keeps goes on to the session's end.

    Attributes:
        path: the file. ``.mp4``, ``.mov`` and ``.mkv`` hold both; ``.m4a`` and ``.wav`` only the sound.
        error: what went wrong while recording, or None. ``stop()`` raises it.

    Raises:
        MissingExtraError: PyAV is not installed.
        InvalidRequestError: the file's suffix is of no known format.
        MediaError: the file cannot be written.
    """

    def __init__(self, source: Source, path: str | os.PathLike[str]) -> None:
        from .movie import Movie

        if source.on_media_thread:
            raise UsageError("record() on the media thread would wait for itself")
        self._movie = Movie(path)
        self.path: Path = self._movie.path
        self.error: MediaError | None = None
        self._intake = _Intake(source, with_pictures=not self._movie.audio_only)
        self._done = threading.Event()
        thread = threading.Thread(target=self._run, name=f"heygen-recorder-{next(_numbers)}", daemon=True)
        thread.start()
        self._intake.open()
        try:
            self._intake.wait_for_flow(Deadline.after(FLOW_TIMEOUT))
        except BaseException:  # Ctrl-C: nobody will ever hold this object to stop it
            self._intake.finish(tail=0.0)
            raise

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Record the tail, finish the file. Idempotent: again it only waits, and raises what went wrong once more.

        Raises:
            MediaError: something could not be written, or the file was not finished within ``timeout`` seconds.
        """
        deadline = Deadline.after(check_timeout(timeout))
        self._intake.finish(tail=TAIL)
        if not deadline.wait(self._done):
            raise MediaError(f"the recording {self.path} was not finished within {timeout:g} s")
        if self.error is not None:
            raise self.error

    @property
    def active(self) -> bool:
        """Whether it still records."""
        return not self._done.is_set()

    @property
    def duration(self) -> float:
        """Seconds recorded so far."""
        return self._movie.samples / RATE

    @property
    def video_frames(self) -> int:
        """Pictures written."""
        return self._movie.pictures

    @property
    def audio_samples(self) -> int:
        """Samples written, at 48 kHz, mono."""
        return self._movie.samples

    @property
    def dropped(self) -> int:
        """Pictures lost because this machine encodes too slowly."""
        return self._intake.dropped

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
            return
        try:
            self.stop()
        except MediaError as failure:
            logger.warning("%s", failure)  # the block's own error is the news

    def __repr__(self) -> str:
        state = "recording" if self.active else "done" if self.error is None else f"failed: {self.error}"
        return f"<Recording {str(self.path)!r} {self.duration:.1f} s, {self.video_frames} frames, {state}>"

    def _repr_html_(self) -> str:
        """For a notebook that shows this as a cell's result: a player, with the file in it."""
        from .player import player

        if self.error is not None or self.active:
            return f"<p>{html.escape(repr(self)[1:-1])}</p>"
        return player(self.path)

    def _run(self) -> None:
        movie, intake = self._movie, self._intake
        try:
            while (item := intake.take()) is not None:
                if isinstance(item, _Picture):
                    movie.picture(item.data, item.width, item.height, item.position)
                    movie.silence_until(item.silence_until)
                else:
                    movie.sound(item.data, item.position)
            intake.close()
            movie.close()
        except MediaError as error:
            self.error = error
        except Exception as error:
            self.error = MediaError(f"recording to {self.path} failed: {getattr(error, 'strerror', None) or error}")
            self.error.__cause__ = error
            movie.abandon()
            logger.warning("%s; the recording is over, the session goes on", self.error)
        finally:
            intake.close()
            self._done.set()


@frozen(kw_only=True, eq=False)
class _Picture:
    order: int
    data: memoryview
    width: int
    height: int
    position: int
    silence_until: int


@frozen(kw_only=True, eq=False)
class _Sound:
    order: int
    data: memoryview
    position: int


class _Intake:
    """What came from the media loop and is not written yet, in order of arrival and bounded."""

    def __init__(self, source: Source, *, with_pictures: bool) -> None:
        self.dropped = 0
        self._source = source
        self._sinks: list[Sink] = [_SoundSink(self)]
        if with_pictures:
            self._sinks.append(_PictureSink(self))
        self._timeline = Timeline()
        self._pictures: deque[_Picture] = deque()
        self._sounds: deque[_Sound] = deque()
        self._flowing: set[str] = set()
        self._orders = itertools.count()
        self._over = False
        self._finish_at: int | None = None
        self._finish_by = Deadline.never()
        self._complained_at = float("-inf")
        self._changed = threading.Condition(threading.Lock())

    def open(self) -> None:
        for sink in self._sinks:
            self._source.attach(sink)

    def close(self) -> None:
        for sink in self._sinks:
            self._source.detach(sink)

    def wait_for_flow(self, deadline: Deadline) -> None:
        with self._changed:
            while len(self._flowing) < len(self._sinks) and not self._over and self._source.alive:
                if not deadline.wait_on(self._changed):
                    return

    def finish(self, *, tail: float) -> None:
        """Take no more than ``tail`` seconds of sound from now on."""
        with self._changed:
            if self._finish_at is None:
                self._finish_at = self._timeline.position + round(tail * RATE)
                # The tail is counted in sound; where none comes, it is not waited for.
                self._finish_by = Deadline.after(2 * tail)
                self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def picture(self, data: memoryview, width: int, height: int, at: float) -> None:
        with self._changed:
            if self._over:
                return
            position = self._timeline.picture(at)
            self._flowing.add("video")
            self._pictures.append(
                _Picture(
                    order=next(self._orders),
                    data=data,
                    width=width,
                    height=height,
                    position=position,
                    silence_until=self._timeline.position,
                )
            )
            if len(self._pictures) > MAX_PICTURES:
                self._pictures.popleft()
                self.dropped += 1
                self._complain()
            self._changed.notify_all()

    def sound(self, data: memoryview, at: float) -> None:
        with self._changed:
            if self._over:
                return
            position = self._timeline.sound(at, len(data.cast("B")) // 2)
            self._flowing.add("audio")
            self._sounds.append(_Sound(order=next(self._orders), data=data, position=position))
            if len(self._sounds) > MAX_SOUNDS:
                self._sounds.popleft()  # its place is filled with silence
                self._complain()
            if self._finish_at is not None and self._timeline.position >= self._finish_at:
                self._over = True
            self._changed.notify_all()

    def take(self) -> _Picture | _Sound | None:
        """The next to be written; None when there is no more and none will come."""
        with self._changed:
            while True:
                if self._finish_by.passed or not self._source.alive:
                    self._over = True
                if self._pictures or self._sounds:
                    break
                if self._over:
                    return None
                self._finish_by.wait_on(self._changed)
            if not self._sounds:
                return self._pictures.popleft()
            if not self._pictures or self._sounds[0].order < self._pictures[0].order:
                return self._sounds.popleft()
            return self._pictures.popleft()

    def _complain(self) -> None:
        now = time.monotonic()
        if now - self._complained_at > 1.0:
            self._complained_at = now
            logger.warning("recording cannot keep up: %d pictures lost so far", self.dropped)


class _PictureSink:
    kind: Literal["video"] = "video"
    pixels: Literal["i420"] = "i420"
    backlog = 8

    def __init__(self, intake: _Intake) -> None:
        self.put = intake.picture
        self.end = intake.end


class _SoundSink:
    kind: Literal["audio"] = "audio"
    sample_rate = RATE
    num_channels = 1
    frame_ms = SOUND_MS

    def __init__(self, intake: _Intake) -> None:
        self.put = intake.sound
        self.end = intake.end
