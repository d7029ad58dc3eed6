"""What the soak's users do with their avatars, session after session, and what is noted of each session.

A user is a thread with a character: a few things that it does again and again in random order. Nothing is asserted
here; what was seen is judged in ``soak.py``.
"""

from __future__ import annotations

import math
import random
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import requests
from attrs import define, field
from numpy.typing import NDArray

from heygen_avatar import (
    APIConnectionError,
    HeyGenError,
    LiveAvatarOptions,
    Samples,
    Service,
    SessionClosedError,
    SessionState,
    Speech,
    StreamingAvatar,
    StreamingEvents,
    WaitTimeoutError,
)
from heygen_avatar.events import Event
from heygen_avatar.simulator.voice import Delivery, load_voice

from .measure import Address

WAYNE = "dd73ea75-1218-4ef3-92ce-606d5f7fbc0a"
"""One of LiveAvatar's public avatars."""

SHORT = ("Yes.", "Hello there.", "One, two, three.", "I see, thank you.")
LONG = "This is a text that takes the avatar a good while to say, so that there is time to interrupt it. " * 2
RATE = 24_000
PATIENCE = 30.0
"""Seconds that no speech, answer or reconnect may take on a busy machine."""


@define(eq=False)
class Life:
    """One session, and what was seen of it. Times are of the monotonic clock."""

    user: str
    session_id: str = ""
    asked_at: float = 0.0  # before its create call
    ready_at: float = 0.0  # after its start: it has lived since before this
    leaving_at: float = 0.0  # it lived until after this, or until its own end
    over_at: float = 0.0  # nothing of it is left
    ends: frozenset[str] = frozenset()
    """How it may have ended, in the simulator's words."""
    unheard: bool = False
    """What the service told for a moment was told to nobody: its room was joined anew, or LITE's socket was opened."""
    cut: bool = False
    """Its socket was cut: a text that was under way may be lost."""
    heard_of_its_end_at: float = math.inf
    speeches: list[Speech] = field(factory=list)
    answers: list[Speech] = field(factory=list)
    """Those of the speeches whose words are the avatar's own."""
    events: list[Event] = field(factory=list)

    def __str__(self) -> str:
        return f"{self.user}, session {self.session_id or '-'}"

    def forget(self) -> None:
        """Keep the figures: what it has heard and said would keep its avatar."""
        self.speeches, self.answers, self.events = [], [], []


class Notes:
    """What all users have seen and done. Any thread may write."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.troubles: list[str] = []
        self._lock = threading.Lock()

    def count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def trouble(self, life: Life, what: str) -> None:
        with self._lock:
            self.troubles.append(f"{life}: {what}")


class User(threading.Thread):
    """Lives one session after the other until ``stop`` is set.

    Args:
        speed: how many times as fast as ours the service's clock is.
        finished: told of each life when it is over, on this thread.
    """

    service = Service.HEYGEN
    fields: ClassVar[dict[str, Any]] = {"quality": "low"}
    keeps_alive = True
    longest = 600.0
    """Seconds of its own clock that the service lets a session live."""
    socket = "/v1/ws/streaming.chat"

    def __init__(
        self,
        address: Address,
        notes: Notes,
        *,
        seed: int,
        speed: float,
        stop: threading.Event,
        finished: Callable[[Life], None],
    ) -> None:
        super().__init__(name=f"soak-{type(self).__name__}", daemon=True)
        self._address = address
        self._notes = notes
        self._chance = random.Random(f"{seed} {self.name}")
        self._second = 1.0 / speed
        self._stop_event = stop
        self._finished = finished
        self._avatar: StreamingAvatar | None = None
        self._life = Life(type(self).__name__)
        self._folder = Path(tempfile.mkdtemp(prefix="soak-"))

    @property
    def actions(self) -> list[Callable[[StreamingAvatar], object]]:
        """What it does, the likelier the more often it stands here."""
        raise NotImplementedError

    def run(self) -> None:
        while not self._stop_event.is_set():
            self._life = life = Life(type(self).__name__)
            try:
                self._live(life)
            except Exception:
                self._notes.trouble(life, traceback.format_exc())
            life.over_at = time.monotonic()
            self._finished(life)
        self._avatar = None
        for file in self._folder.iterdir():
            file.unlink()
        self._folder.rmdir()

    # -- one life

    def _live(self, life: Life) -> None:
        with self._avatar_for(life) as avatar:
            note = life.events.append
            for name in StreamingEvents:
                avatar.on(name, note)
            try:
                life.asked_at = time.monotonic()
                avatar.create_start_avatar(**self.fields)
                life.ready_at, life.session_id = time.monotonic(), str(avatar.session_id)
                self._use(avatar, life)
                life.leaving_at = time.monotonic()
                avatar.stop_avatar()
            finally:
                life.leaving_at = life.leaving_at or time.monotonic()
                for name in StreamingEvents:
                    avatar.off(name, note)

    def _avatar_for(self, life: Life) -> StreamingAvatar:
        """The same avatar as last time, or one of its own, while the former becomes garbage."""
        if self._avatar is None or self._chance.random() < 0.3:
            self._notes.count("avatars")
            self._avatar = StreamingAvatar(
                service=self.service, keep_alive=self.keeps_alive, **self._address.settings()
            )
        return self._avatar

    def _use(self, avatar: StreamingAvatar, life: Life) -> None:
        """Do things with it until it ends, or until enough has been done."""
        life.ends = frozenset({"stopped", "duration_limit"})
        some = self._chance.random() * self.longest * self._second
        leave_at = time.monotonic() + (some if self._chance.random() < 0.5 else self.longest)
        while not self._stop_event.is_set() and time.monotonic() < leave_at:
            if avatar.state is SessionState.DISCONNECTED:
                return
            self._do(self._chance.choice(self.actions), avatar, life)

    def _do(self, action: Callable[[StreamingAvatar], object], avatar: StreamingAvatar, life: Life) -> None:
        try:
            action(avatar)
        except SessionClosedError:
            self._notes.count("ended under way")
        except HeyGenError as error:
            lost = (life.unheard or life.cut) and isinstance(error, WaitTimeoutError)
            broken = life.cut and isinstance(error, APIConnectionError)
            if lost or broken:
                self._notes.count(f"{type(error).__name__} after an accident")
            else:
                self._notes.trouble(life, f"{_name_of(action)}: {traceback.format_exc()}")
        else:
            self._notes.count(_name_of(action))

    # -- what users do

    def _wait(self, avatar: StreamingAvatar) -> None:
        """Say nothing for a few minutes of the service's clock."""
        self._stop_event.wait(self._chance.uniform(1, 4) * 60 * self._second)

    def _keep(self, speech: Speech, *, answer: bool = False) -> Speech:
        self._life.speeches.append(speech)
        if answer:
            self._life.answers.append(speech)
        return speech

    def _repeat(self, avatar: StreamingAvatar) -> None:
        self._keep(avatar.speak(self._chance.choice(SHORT), task_type="repeat")).wait(PATIENCE)

    def _interrupt(self, avatar: StreamingAvatar) -> None:
        speech = self._keep(avatar.speak(LONG, task_type="repeat"))
        self._stop_event.wait(self._chance.uniform(0.0, 1.5))
        avatar.interrupt()
        speech.wait(PATIENCE)

    def _queue(self, avatar: StreamingAvatar) -> None:
        speeches = [self._keep(avatar.speak(text, task_type="repeat")) for text in self._chance.sample(SHORT, 2)]
        for speech in speeches:
            speech.wait(PATIENCE)

    def _look(self, avatar: StreamingAvatar) -> None:
        avatar.snapshot(timeout=PATIENCE)

    def _record(self, avatar: StreamingAvatar) -> None:
        path = self._folder / "recorded.mp4"
        with avatar.record(path):
            self._repeat(avatar)
        if length_of(path) < 0.3 and not self._life.unheard:  # of a room that is joined anew nothing can be recorded
            self._notes.trouble(self._life, f"a recording of {length_of(path):.2f} s")

    def _ask_aloud(self, avatar: StreamingAvatar) -> None:
        exchange = avatar.ask(question(), timeout=PATIENCE)
        self._keep(exchange.speech, answer=True)
        if not exchange.answer:
            self._notes.trouble(self._life, f"no answer to {exchange.question!r}")

    # -- what befalls them

    def _signal_lost(self, avatar: StreamingAvatar) -> None:
        self._suffer("signal_lost")

    def _room_restarted(self, avatar: StreamingAvatar) -> None:
        self._life.unheard = True
        self._suffer("room_restarted")

    def _room_deleted(self, avatar: StreamingAvatar) -> None:
        self._suffer("room_deleted")
        with suppress(SessionClosedError):
            avatar.wait_for(StreamingEvents.STREAM_DISCONNECTED, timeout=PATIENCE)

    def _socket_cut(self, avatar: StreamingAvatar) -> None:
        self._life.cut = True
        if self.service is Service.LIVEAVATAR:
            # LITE is kept alive by its socket, and the seconds until that is opened again count as minutes of idleness.
            self._life.unheard = True
            self._life.ends |= {"idle_timeout"}
        self._suffer("socket_close", path=self.socket)

    def _suffer(self, kind: str, **how: Any) -> None:
        plan = {"kind": kind, "session": self._life.session_id, **how}
        url = f"{self._address.base_path}/simulator/faults"
        requests.post(url, json=plan, timeout=10).raise_for_status()


class Talker(User):
    """Streaming v1, ten minutes a session: written and spoken turns, recordings, accidents of every kind."""

    fields: ClassVar[dict[str, Any]] = {"quality": "low", "knowledge_base": "Yes, of course."}

    @property
    def actions(self) -> list[Callable[[StreamingAvatar], object]]:
        accidents = [self._signal_lost, self._socket_cut, self._room_restarted, self._room_deleted]
        often = [self._wait, self._repeat, self._interrupt, self._queue, self._talk]
        return [*often * 3, self._look, self._record, self._ask_aloud, self._chance.choice(accidents)]

    def _talk(self, avatar: StreamingAvatar) -> None:
        self._keep(avatar.speak("How are you?"), answer=True).wait(PATIENCE)


class Marathon(User):
    """LiveAvatar FULL, two hours a session, in the middle of which its token expires."""

    service = Service.LIVEAVATAR
    fields: ClassVar[dict[str, Any]] = {"avatar_name": WAYNE, "quality": "low", "knowledge_base": "Yes, of course."}
    longest = 7200.0

    @property
    def actions(self) -> list[Callable[[StreamingAvatar], object]]:
        often = [self._wait, self._wait, self._repeat, self._interrupt, self._queue, self._ask_aloud]
        return [*often * 3, self._look, self._record, self._signal_lost, self._room_restarted]


class Reciter(User):
    """LiveAvatar LITE: sounds that are said, interrupted, and cut off with their socket."""

    service = Service.LIVEAVATAR
    fields: ClassVar[dict[str, Any]] = {
        "avatar_name": WAYNE,
        "quality": "low",
        "liveavatar": LiveAvatarOptions(mode="LITE"),
    }
    longest = 7200.0
    socket = "/v2-alpha/liveavatar/session/*"

    @property
    def actions(self) -> list[Callable[[StreamingAvatar], object]]:
        often = [self._wait, self._recite, self._recite, self._interrupt]
        return [*often * 3, self._signal_lost, self._socket_cut]

    def _recite(self, avatar: StreamingAvatar) -> None:
        sound = Samples(tone(self._chance.uniform(0.2, 1.0)), RATE)
        self._keep(avatar.speak_audio(sound)).wait(PATIENCE)

    def _interrupt(self, avatar: StreamingAvatar) -> None:
        speech = self._keep(avatar.speak_audio(Samples(tone(5.0), RATE)))
        self._stop_event.wait(self._chance.uniform(0.0, 1.5))
        avatar.interrupt()
        speech.wait(PATIENCE)


class Sleeper(User):
    """Streaming v1 without keep-alives: says a word, then lets the service end the session for its silence."""

    keeps_alive = False

    @property
    def actions(self) -> list[Callable[[StreamingAvatar], object]]:
        return [self._repeat]

    def _use(self, avatar: StreamingAvatar, life: Life) -> None:
        life.ends = frozenset({"idle_timeout"})
        ended = threading.Event()
        avatar.once(StreamingEvents.STREAM_DISCONNECTED, lambda event: ended.set())
        try:
            self._repeat(avatar)
        except SessionClosedError:
            self._notes.count("ended under way")
        if not ended.wait(PATIENCE):
            self._notes.trouble(life, "it was not ended for its silence")


USERS = (Talker, Marathon, Reciter, Sleeper)


def _name_of(action: Callable[..., object]) -> str:
    return action.__name__.lstrip("_").replace("_", " ")


def tone(seconds: float) -> NDArray[np.int16]:
    return (8_000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)).astype(np.int16)


def question() -> Samples:
    """Something that a user says aloud."""
    global _question
    if _question is None:
        from heygen_avatar.simulator.stage import SAMPLE_RATE

        _question = Samples(load_voice().synthesize("Hello there, how are you?", Delivery()).samples, SAMPLE_RATE)
    return _question


_question: Samples | None = None


def length_of(path: Path) -> float:
    """Seconds that a film lasts."""
    import av

    with av.open(str(path)) as film:
        return float(film.duration or 0) / av.time_base
