"""A voice chat: from when the user can be heard until they cannot. Silence flows whenever nobody speaks.

The service learns of a turn's end by hearing silence, so a line is never simply quiet: while the user is muted, between
two utterances and while a source is late, frames of zeros are sent. One task on the media loop feeds the line.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING

from .deadline import Deadline, check_timeout
from .engine import engine
from .errors import HeyGenError, MediaError, SessionClosedError, UsageError, WaitTimeoutError
from .media.sources import as_source
from .utterance import Utterance
from .voice_lines import Line, SocketLine, TrackLine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .wires import Wires

__all__ = ["VoiceChat", "VoiceChatState"]

log = logging.getLogger("heygen_avatar.media")

TAIL = 0.3
"""Seconds of silence behind an utterance until it counts as said: what a button that is let go must not cut off."""

GAP = 1.0
"""Seconds of silence between two utterances: services take a turn for over after 0.5 to 0.8 s."""

PATIENCE = 0.1
"""Seconds that a live voice may be late before silence is heard instead."""

LATEST = 0.5
"""Seconds that a line that catches up may be late; what is later still is not made up for."""

CLOSE_TIMEOUT = 4.0


class VoiceChatState(str, Enum):
    """The official client's states."""

    INACTIVE = "inactive"
    STARTING = "starting"
    STARTED = "started"
    STOPPING = "stopping"

    def __str__(self) -> str:
        return self.value


class VoiceChat:
    """The user's voice in a session: what ``start_voice_chat()`` returns. Leaving ``with`` ends it.

    ::

        with avatar.start_voice_chat(source="question.wav") as voice:
            avatar.wait_for(StreamingEvents.AVATAR_STOP_TALKING)
            voice.speak("another.wav").wait()

    Its methods may be called from any thread and from handlers.
    """

    def __init__(self, wires: Wires, *, by_track: bool, muted: bool, report: Callable[[HeyGenError], None]) -> None:
        self._wires = wires
        self._by_track = by_track
        self._muted = muted
        self._report = report
        self._state = VoiceChatState.INACTIVE
        self._rate, self._frame = (
            (TrackLine.sample_rate, TrackLine.frame_samples)
            if by_track
            else (SocketLine.sample_rate, SocketLine.frame_samples)
        )
        self._utterances: deque[Utterance] = deque()
        self._quiet = 0.0
        self._stalled = False
        self._ahead: Utterance | None = None  # whose frames may have been sent, and not be heard yet
        self._error: HeyGenError | None = None
        self._feeder: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()  # of the media loop, to which it is bound when it is waited for

    @property
    def state(self) -> VoiceChatState:
        """Where it stands; inactive also once the session has ended."""
        return self._state

    @property
    def active(self) -> bool:
        """Whether the user can be heard."""
        return self._state is VoiceChatState.STARTED

    @property
    def muted(self) -> bool:
        """Whether silence is sent instead of what the source gives; the source goes on. True when inactive."""
        return self._muted or not self.active

    @property
    def utterance(self) -> Utterance | None:
        """What is being said, or waits to be said next; None when nothing does."""
        return self._utterances[0] if self._utterances else None

    def mute(self, muted: bool = True) -> None:
        """Send silence from the next frame on, or the voice again."""
        self._require_active()
        self._muted = muted
        self._look_again()

    def speak(self, sound: object, *, timeout: float = 10.0) -> Utterance:
        """Let the user say ``sound``, behind what they are saying; return when it is open, while it is being said.

        Its end is the end of the user's turn: silence follows it, and a second of that comes before the next one.

        Args:
            sound: a source, or a file's path.
            timeout: seconds that opening it may take.

        Raises:
            InvalidRequestError, MediaError, MissingExtraError: it is no sound that can be read; nothing was sent.
            UsageError: this voice chat is over, or a microphone is open, which has no end.
        """
        self._require_active()
        if any(utterance.live and not utterance.stopped for utterance in list(self._utterances)):
            raise UsageError("a microphone is open, and has no end: stop() its utterance first")
        utterance = self.prepare(sound, Deadline.after(check_timeout(timeout)))
        self.begin(utterance)
        return utterance

    def close(self) -> None:
        """End it: what is not said yet is dropped, a microphone is closed, the track is taken back. Idempotent."""
        utterances = list(self._utterances)
        if self._state is not VoiceChatState.INACTIVE:
            with contextlib.suppress(WaitTimeoutError):  # it goes on without us, and the room's end ends it too
                engine().call(self._close(), timeout=CLOSE_TIMEOUT, what="ending the voice chat")
        for utterance in utterances:
            utterance.join()

    def __enter__(self) -> VoiceChat:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<VoiceChat {self._state}{', muted' if self.active and self._muted else ''}>"

    # -- for the facade

    def prepare(self, sound: object, deadline: Deadline) -> Utterance:
        """Open a sound, sending nothing yet."""
        utterance = Utterance(
            as_source(sound), sample_rate=self._rate, frame_samples=self._frame, changed=self._look_again
        )
        utterance.open(deadline)
        return utterance

    def start(self, deadline: Deadline) -> None:
        """Return when the user is heard."""
        try:
            engine().call(self._start(), timeout=deadline.left, what="starting the voice chat")
        except WaitTimeoutError:
            raise WaitTimeoutError(
                "the voice chat was not heard by the service in time; it is closed again, the session goes on"
            ) from None

    def begin(self, utterance: Utterance) -> None:
        """Say it next."""
        self._utterances.append(utterance)
        if not self.active:  # it ended meanwhile, maybe without seeing this one
            utterance.finish(self._error)
            self._require_active()

    # -- on the media loop

    async def _start(self) -> None:
        self._state = VoiceChatState.STARTING
        self._loop = asyncio.get_running_loop()
        line: Line = TrackLine(self._wires) if self._by_track else SocketLine(self._wires)
        try:
            await line.open()
            self._quiet = GAP
            self._feeder = asyncio.create_task(self._feed(line), name="heygen-voice-feeder")
            await self._heard(line)
            self._state = VoiceChatState.STARTED
        except BaseException:
            await self._close()
            await line.close()
            raise

    async def _heard(self, line: Line) -> None:
        """Wait until the line flows, or for the end of its feeder, whose error it is then."""
        assert self._feeder is not None
        arrival = asyncio.create_task(line.flowing(), name="heygen-voice-flowing")
        try:
            await asyncio.wait({self._feeder, arrival}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            arrival.cancel()
            await asyncio.gather(arrival, return_exceptions=True)
        if self._error is not None:
            raise self._error
        arrival.result()

    async def _close(self) -> None:
        if self._state is VoiceChatState.INACTIVE:
            return
        self._state = VoiceChatState.STOPPING
        if self._feeder is None:
            self._state = VoiceChatState.INACTIVE
            return
        self._feeder.cancel()
        await asyncio.wait({self._feeder})

    async def _feed(self, line: Line) -> None:
        """Give the line a frame whenever one is due, until it is closed, by us or by the session's end."""
        import numpy

        clock = asyncio.get_running_loop().time
        silence = numpy.zeros(line.frame_samples, numpy.int16)
        seconds = line.frame_samples / line.sample_rate
        slack = LATEST if line.catches_up else 0.0
        error: HeyGenError = SessionClosedError("the voice chat was closed", reason="stopped here")
        due = clock()
        try:
            while True:
                await self._wait(due, line)
                if self._unwanted:
                    line.drop()
                    due = clock()
                frame = self._next(seconds)
                voice = None if self._muted else frame
                await line.send(silence if voice is None else voice)
                # Silence is hardly sent ahead: when it is, all that came before has been heard.
                self._ahead = None if voice is None else self._current
                due = max(due, clock() - slack) + seconds
        except HeyGenError as trouble:
            error = trouble
        except Exception as trouble:
            log.exception("the user's voice cannot be sent any more")
            error = MediaError(f"the user's voice cannot be sent any more: {trouble}")
        finally:
            self._end(error)
            await line.close()

    async def _wait(self, due: float, line: Line) -> None:
        """Return when a frame is to be sent, or when what was sent ahead is unwanted."""
        clock = asyncio.get_running_loop().time
        while not self._unwanted and (left := self._moment(due, line) - clock()) > 0:
            self._changed.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)
        current = self._current
        self._stalled = current is not None and current.live and not current.ready

    def _moment(self, due: float, line: Line) -> float:
        """When to send: a little before a frame is due; a live voice when it comes, even if late."""
        current = self._current
        if current is not None and current.live and not current.exhausted:
            if current.ready:
                return 0.0
            return due - line.idle_lead if self._stalled else due + PATIENCE
        ahead = current is not None and current.ready and not self._muted
        return due - (line.lead if ahead else line.idle_lead)

    @property
    def _unwanted(self) -> bool:
        """Whether what was sent ahead is not to be heard: the user was muted, or stopped its utterance."""
        return self._ahead is not None and (self._muted or self._ahead.stopped)

    @property
    def _current(self) -> Utterance | None:
        """The utterance whose turn it is."""
        if self._utterances and (self._quiet >= GAP or self._utterances[0].seconds):
            return self._utterances[0]
        return None

    def _look_again(self) -> None:
        """Told by any thread: a live voice came, or what was sent ahead may be unwanted."""
        if self._loop is None:  # nothing is sent yet
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
            self._loop.call_soon_threadsafe(self._changed.set)

    def _next(self, seconds: float) -> NDArray[np.int16] | None:
        """The utterance's next frame, or None for silence, which ends it when there is enough."""
        current = self._current
        if current is not None:
            frame = current.take()
            if frame is not None:
                self._quiet = 0.0
                return frame
            if current.exhausted and (self._quiet >= TAIL or not current.seconds):
                self._utterances.popleft()
                current.finish()
                if current.error is not None:
                    self._report(current.error)
        self._quiet += seconds
        return None

    def _end(self, error: HeyGenError) -> None:
        self._error = error
        self._state = VoiceChatState.INACTIVE
        while self._utterances:
            self._utterances.popleft().finish(error)

    def _require_active(self) -> None:
        if not self.active:
            raise UsageError("this voice chat is over: start_voice_chat() starts another one")
