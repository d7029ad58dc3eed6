"""Who said what and when: message chunks joined into turns. Fed with events; does no I/O and reads no clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any, Literal, overload

from attrs import asdict, define, fields_dict, frozen

from .errors import MissingExtraError
from .events import (
    AvatarEndMessage,
    AvatarStopTalking,
    AvatarTalkingMessage,
    Event,
    StreamDisconnected,
    UserEndMessage,
    UserTalkingMessage,
)

if TYPE_CHECKING:
    import pandas

__all__ = ["Transcript", "Turn"]

Speaker = Literal["avatar", "user"]


@frozen(kw_only=True)
class Turn:
    """What one side said in one go.

    Attributes:
        speaker: ``"avatar"`` or ``"user"``.
        text: the chunks, joined.
        started_at, ended_at: when its first and its last part were heard, in seconds since the epoch.
        task_id: the service's id of the spoken task; empty where it gave none.
        complete: false while more may follow, and for a turn that was cut off.
    """

    speaker: Speaker
    text: str
    started_at: float
    ended_at: float
    task_id: str = ""
    complete: bool = False


@define
class _OpenTurn:
    speaker: Speaker
    task_id: str
    started_at: float
    ended_at: float
    chunks: list[str]
    complete: bool = False
    open: bool = True
    whole: bool = False  # its text was told at once, so that pieces of it that still come are nothing new
    echo: str | None = None  # of a typed turn: as much of it as the service has told back; None once that is over

    def freeze(self) -> Turn:
        return Turn(
            speaker=self.speaker,
            text="".join(self.chunks),
            started_at=self.started_at,
            ended_at=self.ended_at,
            task_id=self.task_id,
            complete=self.complete,
        )


class Transcript(Sequence[Turn]):
    """The conversation so far, as a sequence of turns. Printed, it is text; in a notebook, a table.

    May be read from any thread while it grows: each look is a snapshot.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: list[_OpenTurn] = []

    def hear(self, event: Event) -> None:
        """Take in an event; those that carry no words pass by."""
        match event:
            case AvatarTalkingMessage():
                self._chunk("avatar", event.task_id, event.message, event.received_at)
            case UserTalkingMessage():
                self._chunk("user", event.task_id, event.message, event.received_at)
            case AvatarEndMessage():
                self._end("avatar", event.task_id, event.message, event.received_at)
            case UserEndMessage():
                self._end("user", event.task_id, event.message, event.received_at)
            case AvatarStopTalking():
                self._close("avatar", event.task_id, event.received_at)
            case StreamDisconnected():
                self._close_all()

    def typed(self, text: str, at: float) -> None:
        """The user's side of a typed TALK. Whether the service tells it back is not documented: it stays one turn."""
        with self._lock:
            self._turns.append(_OpenTurn("user", "", at, at, [text], complete=True, open=False, echo=""))

    def clear(self) -> None:
        """Forget all turns."""
        with self._lock:
            self._turns.clear()

    def to_text(self) -> str:
        """One line a turn: ``avatar: Hello!``"""
        return "\n".join(f"{turn.speaker}: {turn.text}" for turn in self)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One dictionary a turn, with the attributes of :class:`Turn`: ready for JSON or a data frame."""
        return [asdict(turn) for turn in self]

    def to_dataframe(self) -> pandas.DataFrame:
        """One row a turn, with the attributes of :class:`Turn`; times as ``datetime64``, UTC.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MissingExtraError(extra="dataframe", feature="Transcript.to_dataframe()") from None
        frame = pandas.DataFrame(self.to_dicts(), columns=list(fields_dict(Turn)))
        for column in ("started_at", "ended_at"):
            frame[column] = pandas.to_datetime(frame[column], unit="s", utc=True)
        return frame

    # -- a sequence

    def snapshot(self) -> list[Turn]:
        """All turns as they are now."""
        with self._lock:
            return [turn.freeze() for turn in self._turns]

    @overload
    def __getitem__(self, index: int) -> Turn: ...
    @overload
    def __getitem__(self, index: slice) -> list[Turn]: ...
    def __getitem__(self, index: int | slice) -> Turn | list[Turn]:
        return self.snapshot()[index]

    def __len__(self) -> int:
        with self._lock:
            return len(self._turns)

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.snapshot())

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"<Transcript of {len(self)} turns>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{datetime.fromtimestamp(turn.started_at):%H:%M:%S}</td><td>{turn.speaker}</td>"
            f"<td style='text-align:left'>{escape(turn.text)}{'' if turn.complete else ' …'}</td></tr>"
            for turn in self
        )
        return f"<table><tr><th>time</th><th>speaker</th><th style='text-align:left'>text</th></tr>{rows}</table>"

    # -- hearing

    def _chunk(self, speaker: Speaker, task_id: str, text: str, at: float) -> None:
        with self._lock:
            if speaker == "user" and self._is_echo(task_id, text):
                return
            if (told := self._told_turn(speaker, task_id)) is not None:
                told.ended_at = at
                return
            turn = self._open_turn(speaker, task_id)
            if turn is None:
                turn = _OpenTurn(speaker, task_id, at, at, [])
                self._turns.append(turn)
            turn.chunks.append(text)
            turn.ended_at = at

    def _end(self, speaker: Speaker, task_id: str, full_text: str, at: float) -> None:
        with self._lock:
            if speaker == "user" and self._is_echo(task_id, full_text, ended=True):
                return
            turn = self._open_turn(speaker, task_id)
            if turn is None:
                if not full_text:
                    return
                turn = _OpenTurn(speaker, task_id, at, at, [])
                self._turns.append(turn)
            if full_text:  # the whole at the end repairs chunks that were lost
                turn.chunks = [full_text]
                turn.whole = speaker == "avatar"
            turn.ended_at, turn.complete, turn.open = at, True, False

    def _close(self, speaker: Speaker, task_id: str, at: float) -> None:
        with self._lock:
            if (told := self._told_turn(speaker, task_id)) is not None:
                told.ended_at, told.whole = at, False
            if (turn := self._open_turn(speaker, task_id)) is not None:
                turn.ended_at, turn.open = at, False

    def _close_all(self) -> None:
        with self._lock:
            for turn in reversed(self._turns):
                turn.open = False

    def _is_echo(self, task_id: str, heard: str, *, ended: bool = False) -> bool:
        """Whether this is a typed turn told back; if so, the turn learns its task."""
        for turn in self._turns[-16:]:
            if turn.echo is None or turn.task_id not in ("", task_id):
                continue
            typed = "".join(turn.chunks)
            echo = heard or turn.echo if ended else turn.echo + heard
            if echo and typed.strip().startswith(echo.strip()):
                turn.task_id, turn.echo = task_id, None if ended else echo
                return True
        return False

    def _told_turn(self, speaker: Speaker, task_id: str) -> _OpenTurn | None:
        """The turn that is being spoken though all of its text is known: LiveAvatar tells it first (its §3.4)."""
        for turn in reversed(self._turns[-16:]):
            if turn.whole and turn.speaker == speaker and turn.task_id == task_id:
                return turn
        return None

    def _open_turn(self, speaker: Speaker, task_id: str) -> _OpenTurn | None:
        # The few open turns are the newest: looking back a little keeps a long conversation cheap.
        for turn in reversed(self._turns[-16:]):
            if turn.open and turn.speaker == speaker and turn.task_id == task_id:
                return turn
        return None
