"""One question and its answer, found in the events of both sides. Waits in the thread that asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from attrs import frozen

from .deadline import SLICE, Deadline
from .dispatch import Dispatcher, EventQueue
from .errors import WaitTimeoutError
from .events import (
    AvatarEndMessage,
    AvatarTalkingMessage,
    StreamDisconnected,
    UserEndMessage,
    UserStart,
    UserStop,
    UserTalkingMessage,
)
from .speech import Speech, SpeechBook, SpeechOutcome
from .utterance import Utterance

__all__ = ["Button", "Exchange", "ask_aloud", "ask_in_writing"]

TEXT_GRACE = 1.0
"""Seconds that the end of the answer's text may come after the end of its sound."""

_HEARD = (
    UserStart,
    UserTalkingMessage,
    UserEndMessage,
    UserStop,
    AvatarTalkingMessage,
    AvatarEndMessage,
    StreamDisconnected,
)


@frozen(kw_only=True, eq=False)
class Exchange:
    """What ``ask()`` returns. Printed, it is the answer.

    Attributes:
        question: what the user said, as the service understood it, or wrote.
        answer: what the avatar said.
        speech: the answer as a task: how it ended, how long it took.
    """

    question: str
    answer: str
    speech: Speech

    def __str__(self) -> str:
        return self.answer


class Button(Protocol):
    """Push-to-talk, where it is on."""

    def __call__(self, *, held: bool) -> None: ...


def ask_in_writing(dispatcher: Dispatcher, text: str, speak: Callable[[str], Speech], deadline: Deadline) -> Exchange:
    """Let the avatar answer ``text``; return when it has."""
    with _listening(dispatcher) as ear:
        speech = speak(text)
        while not speech.done:
            ear.listen(deadline)
            if deadline.passed and not speech.done:
                raise WaitTimeoutError(f"the avatar has not answered {text!r} in time; the session goes on")
        return ear.exchange(speech.wait(0.0), question=text)


def ask_aloud(
    dispatcher: Dispatcher,
    book: SpeechBook,
    *,
    say: Callable[[], Utterance],
    answer: Callable[[], Speech],
    button: Button | None,
    deadline: Deadline,
) -> Exchange:
    """Let the user say something; return when the avatar has answered it.

    A user who goes on after a pause that the service took for the end interrupts the answer; what counts is the answer
    to the last of it.
    """
    with _listening(dispatcher) as ear:
        speech = _awaited(book, answer)
        try:
            if button is not None:
                button(held=True)
            utterance = say()
            try:
                while True:
                    ear.listen(deadline)
                    if button is not None and utterance.done:
                        button(held=False)
                        button = None
                    if utterance.live and ear.turn_is_over:
                        utterance.stop()  # from here on, a microphone would hear the answer
                    if speech.done:
                        if speech.outcome is not SpeechOutcome.INTERRUPTED or ear.turn_is_over:
                            break
                        speech = _awaited(book, answer)
                    elif utterance.error is not None and not ear.turn_is_over:
                        raise utterance.error
                    elif deadline.passed:
                        raise WaitTimeoutError(_what_is_missing(ear, utterance))
            finally:
                if not utterance.done:
                    utterance.stop()
                if button is not None:
                    button(held=False)
        finally:
            book.failed(speech)
        speech.wait(0.0)
        return ear.exchange(speech)


def _awaited(book: SpeechBook, answer: Callable[[], Speech]) -> Speech:
    speech = answer()
    book.answers_the_user(speech)
    return speech


def _what_is_missing(ear: _Ear, utterance: Utterance) -> str:
    if ear.turn_is_over:
        return "the avatar has not answered in time; the session goes on"
    if ear.user_was_heard:
        return f"the service has not heard the end of {utterance!r} in time"
    return f"the service has heard no speech in {utterance!r} in time: is it loud enough, and is it speech?"


class _Ear:
    """What both sides have said since it began to listen."""

    def __init__(self, queue: EventQueue) -> None:
        self.user_was_heard = False
        self.turn_is_over = False
        self._queue = queue
        self._question: list[str] = []
        self._answers: dict[str, list[str]] = {}
        self._ended: set[str] = set()

    def listen(self, deadline: Deadline) -> None:
        """Take in what was heard, waiting a slice for the first."""
        wait = Deadline.after(min(SLICE, deadline.left))
        while (event := self._queue.get(wait)) is not None:
            wait = Deadline.after(0.0)
            match event:
                case UserStart():
                    self.user_was_heard, self.turn_is_over = True, False
                case UserTalkingMessage():
                    self.user_was_heard = True
                    self._question.append(event.message)
                case UserEndMessage() | UserStop():
                    self.turn_is_over = True
                case AvatarTalkingMessage():
                    self._answers.setdefault(event.task_id, []).append(event.message)
                case AvatarEndMessage():
                    self._ended.add(event.task_id)

    def exchange(self, speech: Speech, *, question: str | None = None) -> Exchange:
        """Both sides' words, when the last of them is there."""
        task_id = speech.task_id or ""
        grace = Deadline.after(TEXT_GRACE if speech.outcome is SpeechOutcome.SPOKEN else 0.0)
        while task_id not in self._ended and not grace.passed and not self._queue.closed:
            self.listen(grace)
        if question is None:
            question = speech.text = "".join(self._question).strip()
        answer = self._answers.get(task_id) or self._answers.get("", [])
        return Exchange(question=question, answer="".join(answer).strip(), speech=speech)


@contextmanager
def _listening(dispatcher: Dispatcher) -> Iterator[_Ear]:
    queue = dispatcher.listen(*(kind.name.value for kind in _HEARD if kind.name is not None))
    try:
        yield _Ear(queue)
    finally:
        dispatcher.unlisten(queue)
