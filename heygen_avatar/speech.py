"""What becomes of a spoken task: the handle a user holds, and the book that matches the service's events to handles.

Fed with events and with the replies of the calls that made the tasks; does no I/O.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from attrs import define, field

from .deadline import Deadline, check_timeout
from .errors import HeyGenError, SessionClosedError, WaitTimeoutError
from .events import (
    AvatarEndMessage,
    AvatarStartTalking,
    AvatarStopTalking,
    AvatarTalkingMessage,
    Event,
    UserEndMessage,
    UserStart,
    UserStop,
)

if TYPE_CHECKING:
    from .models import SpeakRequest

__all__ = ["Speech", "SpeechOutcome"]

REPLY_GRACE = 2.0
"""Seconds a spoken task waits for the reply that confirms its id. Some replies never come (v1 reference §1.4)."""

REMEMBERED = 256
"""Tasks nobody here has claimed (answers to voice, mostly) whose events are kept, in case their reply is on its way."""


class SpeechOutcome(str, Enum):
    """How a speech ended."""

    SPOKEN = "spoken"
    INTERRUPTED = "interrupted"
    SESSION_ENDED = "session_ended"

    def __str__(self) -> str:
        return self.value


@define(eq=False)
class _Task:
    """What was heard of one task id."""

    task_id: str
    order: int
    started: bool = False
    words: str = ""
    text_ended: bool = False
    barged_in: bool = False
    stopped: bool = False
    cut_off: bool = False  # in the service's own words
    duration_ms: float | None = None

    def broke_off(self, text: str) -> bool:
        """Whether it stopped in the middle of ``text``: the session ended, say, or somebody else interrupted it."""
        # Without spaces, of which users saw some lost between two messages (v1 reference §2.1).
        said, wanted = "".join(self.words.split()), "".join(text.split())
        return bool(said) and not self.text_ended and said != wanted and wanted.startswith(said)


class Speech:
    """A task given to the avatar: what ``speak()`` returns.

    Attributes:
        text: what was asked to be said or answered.
        task_id: the service's id of the task. None until the service has named it: at once for REPEAT and for SYNC,
            with the first event for a TALK that went over the chat channel, which has no reply.
        outcome: None while pending, then how it ended.
        duration_ms: how long the avatar spoke, where the service says so.
        error: what went wrong with the sound that a LITE avatar was to say; what came before it was said all the same.
    """

    def __init__(self, request: SpeakRequest, interrupt: Callable[[], None], session_id: str) -> None:
        self.text = request.text
        self.task_id: str | None = None
        self.outcome: SpeechOutcome | None = None
        self.duration_ms: float | None = None
        self._verbatim = request.task_type.value == "repeat"
        self._interrupt = interrupt
        self._session_id = session_id
        self._started = threading.Event()
        self._done = threading.Event()
        self._end_reason = ""
        self._interrupted = False
        self.error: HeyGenError | None = None

    @property
    def started(self) -> bool:
        """Whether the avatar has begun to speak it."""
        return self._started.is_set()

    @property
    def done(self) -> bool:
        """Whether it is over, in whichever way."""
        return self._done.is_set()

    def wait(self, timeout: float = 60.0) -> Speech:
        """Wait until the avatar has spoken it or was interrupted; ``outcome`` says which.

        May be called from any thread but the media thread, also from a handler.

        Raises:
            SessionClosedError: the session ended first.
            MediaError: the sound that was to be said failed.
            WaitTimeoutError: neither happened within ``timeout`` seconds; the avatar may still speak.
        """
        if not Deadline.after(check_timeout(timeout)).wait(self._done):
            raise WaitTimeoutError(
                f"the avatar has not finished {self._named()} after {timeout:g} s; the session {self._session_id} goes "
                "on: wait again, or interrupt it"
            )
        if self.outcome is SpeechOutcome.SESSION_ENDED:
            raise SessionClosedError(
                f"session {self._session_id} ended ({self._end_reason}) before {self._named()} was spoken",
                session_id=self._session_id,
                reason=self._end_reason,
            )
        if self.error is not None:
            raise self.error
        return self

    def interrupt(self) -> None:
        """Stop the avatar if this speech is not over yet. Whatever else is queued is dropped with it.

        Raises:
            the errors of ``StreamingAvatar.interrupt``.
        """
        if not self.done:
            self._interrupt()

    def fail(self, error: HeyGenError, *, over: bool) -> None:
        """Its sound went wrong; ``over`` if nothing of it will be said."""
        self.error = error
        if over:
            self._done.set()

    def _named(self) -> str:
        text = self.text if len(self.text) <= 40 else self.text[:37] + "..."
        return f"{text!r}" + (f" (task {self.task_id})" if self.task_id else "")

    def __repr__(self) -> str:
        state = str(self.outcome) if self.outcome else "speaking" if self.started else "pending"
        return f"<Speech {self._named()} {state}>"


@define(eq=False)
class _Entry:
    speech: Speech
    sent_order: float
    in_flight: bool  # a reply is to come, and will name the task
    task: _Task | None = None
    stopped_at: float | None = field(default=None)


class SpeechBook:
    """The speeches of one session that are not over, and the tasks the service speaks of.

    A chat message has no reply, and the reply to a SYNC task comes when all is said, so a task that starts is given to
    the oldest speech that has none; a reply that names another task corrects this.
    """

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._lock = threading.Lock()
        self._order = 0
        self._tasks: OrderedDict[str, _Task] = OrderedDict()
        self._open: list[_Entry] = []
        self._end_reason: str | None = None

    # -- what we do

    def sent(self, speech: Speech, *, reply_follows: bool, task_id: str | None = None) -> None:
        """A task is about to go out. Called before sending, so that no event can be too early.

        Where the sender chooses the task's id, the speech has it from now on.
        """
        with self._lock:
            self._order += 1
            entry = _Entry(speech, self._order, reply_follows)
            self._open.append(entry)
            if task_id is not None:
                entry.task, speech.task_id = self._task(task_id), task_id
            if self._end_reason is not None:
                self._end(self._end_reason)

    def answers_the_user(self, speech: Speech) -> None:
        """The avatar will answer what the user is about to say aloud: the first task after the end of their turn."""
        with self._lock:
            self._open.append(_Entry(speech, math.inf, in_flight=False))
            if self._end_reason is not None:
                self._end(self._end_reason)

    def named(self, speech: Speech, task_id: str | None, duration_ms: float | None) -> None:
        """The reply came."""
        with self._lock:
            entry = self._find(speech)
            if entry is None:
                return
            entry.in_flight = False
            if task_id and (entry.task is None or entry.task.task_id != task_id):
                wrong, entry.task = entry.task, self._task(task_id)
                speech.task_id = task_id
                for other in self._open:
                    if other is not entry and other.task is entry.task:
                        other.task, other.speech.task_id = wrong, wrong.task_id if wrong else None
            if duration_ms is not None and speech.duration_ms is None:
                speech.duration_ms = duration_ms
            self._settle()

    def failed(self, speech: Speech) -> None:
        """It was never accepted."""
        with self._lock:
            self._open = [entry for entry in self._open if entry.speech is not speech]

    def interrupting(self) -> list[Speech]:
        """An interrupt is about to go out: what ends from now on was interrupted."""
        with self._lock:
            for entry in self._open:
                entry.speech._interrupted = True
            return [entry.speech for entry in self._open]

    def interrupted(self, speeches: list[Speech]) -> None:
        """The service took the interrupt: what had not begun was dropped from its queue and will send no event."""
        with self._lock:
            for entry in list(self._open):
                if entry.speech in speeches and not (entry.task and entry.task.started):
                    self._finish(entry, SpeechOutcome.INTERRUPTED)

    def not_interrupted(self, speeches: list[Speech]) -> None:
        """The service refused the interrupt."""
        with self._lock:
            for speech in speeches:
                speech._interrupted = False

    def end_unheard(self, speech: Speech) -> None:
        """It must be over, though that was not heard."""
        with self._lock:
            entry = self._find(speech)
            if entry is not None:
                self._finish(entry, SpeechOutcome.INTERRUPTED if speech._interrupted else SpeechOutcome.SPOKEN)

    def end(self, reason: str) -> None:
        """The session is over."""
        with self._lock:
            self._end(reason)

    def give_up_replies(self) -> None:
        """Let speeches end that were heard to end a while ago and whose reply never came."""
        with self._lock:
            self._settle()

    # -- what we hear

    def hear(self, event: Event) -> None:
        match event:
            case AvatarStartTalking() | AvatarTalkingMessage() | AvatarEndMessage() | AvatarStopTalking():
                with self._lock:
                    self._hear(event)
            case UserStart():
                with self._lock:
                    for task in self._tasks.values():
                        if task.started and not task.text_ended:
                            task.barged_in = True
            case UserEndMessage() | UserStop():
                with self._lock:
                    self._order += 1
                    for entry in self._open:
                        entry.sent_order = min(entry.sent_order, self._order)

    def _hear(self, event: AvatarStartTalking | AvatarTalkingMessage | AvatarEndMessage | AvatarStopTalking) -> None:
        task = self._task(event.task_id)
        match event:
            case AvatarStartTalking():
                task.started = True
            case AvatarTalkingMessage():
                task.words += event.message
            case AvatarEndMessage():
                task.text_ended = True
            case AvatarStopTalking():
                task.started = task.stopped = True
                task.duration_ms = event.duration_ms
                task.cut_off = event.interrupted
        self._settle()

    # -- matching

    def _task(self, task_id: str) -> _Task:
        task = self._tasks.get(task_id)
        # A service that names no task uses one empty id again and again: a new start is a new task.
        if task is None or (task_id == "" and task.stopped):
            self._order += 1
            task = self._tasks[task_id] = _Task(task_id, self._order)
            self._tasks.move_to_end(task_id)
            while len(self._tasks) > REMEMBERED:
                self._tasks.popitem(last=False)
        return task

    def _settle(self) -> None:
        claimed = {id(entry.task) for entry in self._open if entry.task is not None}
        waiting = [entry for entry in self._open if entry.task is None]
        if waiting:
            free = [task for task in self._tasks.values() if task.started and id(task) not in claimed]
            for entry in waiting:
                match_ = next((task for task in free if task.order > entry.sent_order), None)
                if match_ is not None:
                    free.remove(match_)
                    entry.task = match_
                    entry.speech.task_id = match_.task_id or None
        for entry in list(self._open):
            self._advance(entry)

    def _advance(self, entry: _Entry) -> None:
        task = entry.task
        if task is None:
            return
        if task.started:
            entry.speech._started.set()
        if not task.stopped:
            return
        if entry.in_flight:
            # The task is a guess until the reply confirms it; see REPLY_GRACE for the reply that never comes.
            now = time.monotonic()
            entry.stopped_at = entry.stopped_at or now
            if now - entry.stopped_at < REPLY_GRACE:
                return
        speech = entry.speech
        if task.duration_ms is not None:
            speech.duration_ms = task.duration_ms
        cut = (
            task.cut_off
            or speech._interrupted
            or (task.barged_in and not task.text_ended)
            or (speech._verbatim and task.broke_off(speech.text))
        )
        self._finish(entry, SpeechOutcome.INTERRUPTED if cut else SpeechOutcome.SPOKEN)

    def _finish(self, entry: _Entry, outcome: SpeechOutcome) -> None:
        self._open.remove(entry)
        if entry.task is not None:
            # Claimed for good: a later speech must not be given a task that is over.
            self._tasks.pop(entry.task.task_id, None)
        entry.speech.outcome = outcome
        entry.speech._done.set()

    def _end(self, reason: str) -> None:
        self._end_reason = reason
        for entry in list(self._open):
            entry.speech._end_reason = reason
            self._finish(entry, SpeechOutcome.SESSION_ENDED)

    def _find(self, speech: Speech) -> _Entry | None:
        return next((entry for entry in self._open if entry.speech is speech), None)
