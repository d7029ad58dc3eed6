"""``python -m benchmarks.soak``: hours of sessions, by a clock that runs sixty times as fast as ours.

Every clock that a session has is accelerated: its longest duration, its idle time and the keep-alives against that, the
life of its tokens, its price, in the simulator (a process of its own) and in this package alike. A session of ten
minutes ends after ten seconds. Rooms, sockets, calls and media are real, and cannot be accelerated: a sentence takes as
long to say as ever, so that the avatar of such an hour says a sixtieth of what another would.

Four users (``lives.py``) live one session after the other until the time is over. Then the books are looked at:
whatever they do not agree about is printed, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import gc
import logging
import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import psutil
import requests
from attrs import define, field

from benchmarks.lives import USERS, Life, Notes
from benchmarks.measure import Address, memory_mb, simulator
from benchmarks.slopes import slope
from heygen_avatar import SpeechOutcome, avatar, cleanup, clock
from heygen_avatar.events import (
    AvatarEndMessage,
    AvatarStartTalking,
    AvatarStopTalking,
    AvatarTalkingMessage,
    Event,
    EventsDropped,
    StreamDisconnected,
    StreamReady,
)
from heygen_avatar.protocols import liveavatar
from heygen_avatar.simulator import Limits

LONGEST = {"session_duration": 600.0, "liveavatar_session_duration": 7200.0, "token_lifetime": 3600.0}

COUNTED = ("/v1/streaming.keep_alive", "/v1/sessions/keep-alive", "/v1/streaming.create_token", "/v1/sessions/token")

MANY = 200
"""Lives from which on a slope of memory means something: the first fill caches and arenas."""

MEMORY = 0.25
"""Megabytes that a life may leave behind in this process: livekit leaves some kilobytes, a fragmented heap the rest."""


DESCRIPTORS = 6
"""Descriptors that may be left in the end: livekit's native side keeps those of a connection that was cut, three and
now and then a socket, until the next one is, however many there were."""

OBJECTS = 50
"""Python objects that a life may leave behind; the notes of it are some."""


@define(eq=False)
class Soak:
    """One run."""

    address: Address
    speed: float
    seed: int
    notes: Notes = field(factory=Notes)
    lives: list[Life] = field(factory=list)
    outcomes: Counter[str] = field(factory=Counter)
    told: Counter[str] = field(factory=Counter)
    most_open: int = 0
    memory: list[float] = field(factory=list)
    simulators_memory: list[float] = field(factory=list)
    objects: list[float] = field(factory=list)
    """Of Python's: what is kept by mistake shows here before it shows in memory."""
    _over: threading.Event = field(factory=threading.Event)
    _lock: threading.Lock = field(factory=threading.Lock)

    def run(self, seconds: float) -> None:
        """Let the users live, and return when the last of them has gone."""
        self._count_calls()
        users = [
            kind(
                self.address,
                self.notes,
                seed=self.seed,
                speed=self.speed,
                stop=self._over,
                finished=self._finished,
            )
            for kind in USERS
        ]
        for user in users:
            user.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end and any(user.is_alive() for user in users):
            self.most_open = max(self.most_open, sum(record["state"] != "closed" for record in self.records()))
            self._over.wait(min(0.25, max(0.0, end - time.monotonic())))
        self._over.set()
        for user in users:
            user.join(120)
            if user.is_alive():
                self.notes.troubles.append(f"{user.name} does not end")

    def records(self) -> list[dict[str, Any]]:
        """The service's books."""
        return list(requests.get(f"{self.address.base_path}/simulator/sessions", timeout=30).json())

    def calls(self) -> dict[str, int]:
        """How often the service was called, by path."""
        faults = requests.get(f"{self.address.base_path}/simulator/faults", timeout=30).json()
        return {record["path"]: record["calls"] for record in faults if record["path"] in COUNTED}

    def _count_calls(self) -> None:
        # A fault that strikes nobody counts whom it might have struck.
        plan = [{"kind": "delay", "path": path, "nth": 10**9} for path in COUNTED]
        requests.post(f"{self.address.base_path}/simulator/faults", json=plan, timeout=10).raise_for_status()

    def _finished(self, life: Life) -> None:
        """A user has ended a session. On that user's thread."""
        for trouble in (*unheard(life), *disorder(life)):
            self.notes.trouble(life, trouble + f" [last: {[event.type for event in life.events[-9:]]}]")
        with self._lock:
            self.outcomes.update(str(speech.outcome or "failed with its socket") for speech in life.speeches)
            self.told.update(event.type for event in life.events)
            for event in life.events:
                if isinstance(event, StreamDisconnected):
                    life.heard_of_its_end_at = event.received_at - time.time() + time.monotonic()
            life.forget()
            self.lives.append(life)
            self.memory.append(memory_mb())
            self.simulators_memory.append(_simulators_memory())
            gc.collect()
            self.objects.append(len(gc.get_objects()))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=15.0, help="how long, by our clock (default: 15)")
    parser.add_argument("--speed", type=float, default=60.0, help="of the sessions' clocks (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the users' whims (default: 1)")
    options = parser.parse_args(arguments)
    logging.getLogger("heygen_avatar").setLevel(logging.ERROR)  # an accident is warned of, and there are hundreds
    with ExitStack() as stack:
        stack.enter_context(_accelerated(options.speed))
        address = stack.enter_context(simulator(*_limits(options.speed)))
        Soak(address, options.speed, options.seed).run(5.0)  # what is made once for all is there
        before = _descriptors()
        soak = Soak(address, options.speed, options.seed)
        known = {record["session_id"] for record in soak.records()}
        began = time.monotonic()
        soak.run(60 * options.minutes)
        minutes = (time.monotonic() - began) / 60
        records = [record for record in soak.records() if record["session_id"] not in known]
        lines, troubles = report(soak, records, minutes=minutes, descriptors=before)
    print("\n".join(lines))
    for trouble in troubles:
        print(f"WRONG: {trouble}")
    return 1 if troubles else 0


def report(
    soak: Soak, records: list[dict[str, Any]], *, minutes: float, descriptors: int
) -> tuple[list[str], list[str]]:
    """What was seen, and what of it is wrong."""
    lives, told = soak.lives, soak.told
    ends = Counter(record["end_reason"] for record in records)
    lived = sum(life.over_at - life.ready_at for life in lives if life.ready_at) * soak.speed / 3600
    billed = sum(record["billable_seconds"] for record in records)
    least, most = _used(lives, soak.speed)
    left, after = _left(descriptors)
    own, simulators, objects = _slope(soak.memory), _slope(soak.simulators_memory), _slope(soak.objects)
    lines = [
        f"{minutes:.1f} minutes at {soak.speed:g} times the speed, seed {soak.seed}: "
        f"{len(lives)} sessions, {lived:.1f} hours of theirs, {soak.most_open} open at once at most",
        f"ends: {_told(ends)}",
        f"calls: {_told(soak.calls())}",
        f"speeches: {sum(soak.outcomes.values())} ({_told(soak.outcomes)})",
        f"done: {_told(soak.notes.counts)}",
        f"events: {sum(told.values())}, of them {told['reconnected']} reconnected, {told['session_expiring']} expiring",
        f"billed: {billed} s; used: from {least:.0f} to {most:.0f} s",
        f"left: {', '.join(left) or 'no session, no thread'}; descriptors {descriptors} before, {after} after",
        f"memory: {memory_mb():.0f} MB, {1000 * own:+.0f} kB and {objects:+.0f} objects a session; "
        f"the simulator's {1000 * simulators:+.0f} kB",
    ]
    troubles = [*soak.notes.troubles, *(f"left behind: {what}" for what in left)]
    troubles += [trouble for life in lives for trouble in disagreement(life, _record(life, records), soak.speed)]
    troubles += _books(soak, lives, records)
    if after > descriptors + DESCRIPTORS:
        troubles.append(f"{after - descriptors} descriptors more than before")
    if len(lives) >= MANY and own > MEMORY:
        troubles.append(f"each session leaves {1000 * own:.0f} kB behind")
    if len(lives) >= MANY and objects > OBJECTS:
        troubles.append(f"each session leaves {objects:.0f} objects behind")
    return lines, troubles


def unheard(life: Life) -> Iterator[str]:
    """The speeches of which nobody knows how they ended."""
    for speech in life.speeches:
        if not speech.done or (speech.outcome is None and speech.error is None):
            yield f"{speech!r} has no outcome"


def disorder(life: Life) -> Iterator[str]:
    """What is wrong with the order of its events."""
    if not life.session_id:
        return
    kinds = [type(event) for event in life.events]
    if kinds.count(StreamReady) != 1 or kinds.count(StreamDisconnected) != 1:
        yield f"{kinds.count(StreamReady)} beginnings, {kinds.count(StreamDisconnected)} ends"
    elif kinds[-1] is not StreamDisconnected:
        yield f"{life.events[-1].type} came after the end"
    if EventsDropped in kinds:
        yield "events were dropped"
    tasks = list(_by_task(life.events))
    for task_id, events in tasks:
        ranks = [_RANKS[type(event)] for event in events]
        whole = ranks[0] == 0 and ranks.count(0) == 1 and ranks.count(2) <= 1
        if ranks != sorted(ranks) or not (whole or life.unheard):
            yield f"events of task {task_id or '(unnamed)'}: {', '.join(event.type for event in events)}"
    if not life.unheard:
        yield from _misquoted(life, dict(tasks))


def _by_task(events: list[Event]) -> Iterator[tuple[str, list[Event]]]:
    tasks: dict[str, list[Event]] = {}
    for event in events:
        if isinstance(event, _OF_A_TASK):
            # An answer to what was said aloud has no name on LiveAvatar: a start is then another's.
            if not event.task_id and isinstance(event, AvatarStartTalking) and (former := tasks.pop("", None)):
                yield "", former
            tasks.setdefault(event.task_id, []).append(event)
    yield from tasks.items()


def _misquoted(life: Life, tasks: Mapping[str, list[Event]]) -> Iterator[str]:
    for speech in life.speeches:
        if speech.outcome is not SpeechOutcome.SPOKEN or speech in life.answers or not speech.task_id:
            continue
        words = [event.message for event in tasks.get(speech.task_id, []) if isinstance(event, AvatarTalkingMessage)]
        # Of a sound that a LITE avatar says, no words are told.
        if words and "".join(words).strip() != speech.text.strip():
            yield f"{speech!r} was told as {''.join(words)!r}"


_RANKS: dict[type[Event], int] = {
    AvatarStartTalking: 0,
    AvatarTalkingMessage: 1,
    AvatarEndMessage: 1,
    AvatarStopTalking: 2,
}
_OF_A_TASK = (AvatarStartTalking, AvatarTalkingMessage, AvatarEndMessage, AvatarStopTalking)


def disagreement(life: Life, record: Mapping[str, Any] | None, speed: float) -> Iterator[str]:
    """Where what the service has noted of a session is not what it was."""
    if record is None:
        if life.session_id:
            yield f"{life} is unknown to the service"
        return
    if record["end_reason"] not in life.ends:
        yield f"{life} ended by {record['end_reason']}, not {' or '.join(sorted(life.ends))}"
    least, most = _seconds(life, speed)
    if not least <= record["billable_seconds"] <= most:
        yield f"{life} was billed {record['billable_seconds']} s and used from {least} to {most} s"


def _books(soak: Soak, lives: list[Life], records: list[dict[str, Any]]) -> Iterator[str]:
    """Where the service's books and ours differ."""
    still = [record["session_id"] for record in records if record["state"] != "closed"]
    if still:
        yield f"open in the end: {', '.join(still)}"
    ours = {life.session_id for life in lives}
    unknown = [record["session_id"] for record in records if record["session_id"] not in ours]
    if unknown:
        yield f"nobody knows of: {', '.join(unknown)}"
    if soak.most_open > len(USERS):
        yield f"{soak.most_open} sessions were open at once, for {len(USERS)} users"


def _record(life: Life, records: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((record for record in records if record["session_id"] == life.session_id), None)


def _seconds(life: Life, speed: float) -> tuple[int, int]:
    """The seconds that a life may be billed for: what it surely lived, and what it lived at most."""
    at_least = math.ceil(30.0 / speed)
    # Where the service has ended it, it did so before we heard of it; by how much is not known.
    lived = min(life.leaving_at, life.heard_of_its_end_at - HEARD_WITHIN) - life.ready_at
    return max(at_least, math.ceil(lived)), max(at_least, math.ceil(life.over_at - life.asked_at))


HEARD_WITHIN = 2.0
"""Seconds after its end within which a session's end is known here."""


def _used(lives: list[Life], speed: float) -> tuple[float, float]:
    spans = [_seconds(life, speed) for life in lives if life.session_id]
    return sum(least for least, _ in spans), sum(most for _, most in spans)


def _slope(values: list[float]) -> float:
    settled = values[len(values) // 4 :]
    return slope(settled) if len(settled) > 1 else 0.0


def _left(descriptors: int) -> tuple[list[str], int]:
    """Threads and sessions of ours that are still there, and how many descriptors, when both had time to go."""
    patience = time.monotonic() + 10
    while True:
        threads = [
            thread.name
            for thread in threading.enumerate()
            if thread.name.startswith("heygen-") and thread.name != "heygen-media"
        ]
        left = [*threads, *(f"session {session.session_id}" for session in cleanup.open_sessions())]
        after = _descriptors()
        if (not left and after <= descriptors) or time.monotonic() > patience:
            return left, after
        threading.Event().wait(0.1)


def _descriptors() -> int:
    gc.collect()
    return int(psutil.Process().num_fds()) if hasattr(psutil.Process(), "num_fds") else 0


def _simulators_memory() -> float:
    for child in psutil.Process().children():
        try:
            if "simulator" in child.cmdline():
                return float(child.memory_info().rss) / 1e6
        except psutil.Error:  # it has ended meanwhile
            continue
    return 0.0


def _limits(speed: float) -> list[str]:
    faster = Limits(**LONGEST).accelerated(speed)
    names = [name for name in Limits.__slots__ if name != "__weakref__"]
    changed = [name for name in names if getattr(faster, name) != getattr(Limits(), name)]
    return [part for name in changed for part in ("--limit", f"{name}={getattr(faster, name)}")]


def _accelerated(speed: float) -> ExitStack:
    """Let this package's own clocks run as fast as the service's."""
    stack = ExitStack()
    for module, name in ((avatar, "KEEP_ALIVE"), (clock, "WARNING"), (liveavatar, "IDLE_SECONDS")):
        ordinary = getattr(module, name)
        setattr(module, name, ordinary / speed)
        stack.callback(setattr, module, name, ordinary)
    return stack


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items(), key=lambda item: -item[1])) or "none"


if __name__ == "__main__":
    sys.exit(main())
