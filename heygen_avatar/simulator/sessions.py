"""The life of a session, whichever service it belongs to: states, time limits, billing, and how it ends.

No wire format, no room, no speech: who opens a session gives it what is to be closed with it. Everything here runs on
the simulator's event loop, but for the readings of :meth:`Session.record` and :class:`Sessions`, which any thread may
take.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any

from attrs import field, frozen

from heygen_avatar.simulator.limits import Limits

logger = logging.getLogger(__name__)

Closer = Callable[[], Awaitable[None]]


class State(str, Enum):
    """A session's state, as the service's list and its error messages name it."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSING = "closing"
    CLOSED = "closed"


class EndReason(str, Enum):
    """Why a session ended."""

    STOPPED = "stopped"
    IDLE = "idle_timeout"
    NO_CLIENT = "no_client"
    DURATION = "duration_limit"
    NO_CREDITS = "no_credits"
    AVATAR_DELETED = "avatar_deleted"
    HUNG_UP = "agent_hang_up"
    ABANDONED = "abandoned"
    FAILED = "failed"
    SIMULATOR_STOPPED = "simulator_stopped"


@frozen(kw_only=True)
class Terms:
    """What one session was opened under.

    Attributes:
        no_client_timeout: how long it lives without the user's participant.
        abandoned_timeout: how long it lives once all who came from the client's side, users or not, have gone.
        billed_at_least: the seconds that it costs in any case.
        billed_by: the seconds that it is billed by; begun ones count.
        credits_per_minute: what a billed minute costs.
        details: what its service's listings tell of it.
    """

    service: str
    duration: float
    idle_timeout: float
    no_client_timeout: float
    abandoned_timeout: float = math.inf
    billed_at_least: float
    billed_by: float = 1.0
    credits_per_minute: float
    details: Mapping[str, Any] = field(factory=dict)


class Session:
    """One session. Its clock runs, and is billed, from the moment it is made."""

    def __init__(self, terms: Terms, session_id: str = "", *, on_turn: Callable[[], None] = lambda: None) -> None:
        self.id = session_id or time_based_id()
        self.terms = terms
        self.state = State.NEW
        self.created_at = time.time()
        self.end_reason: EndReason | None = None
        self.ignored_messages = 0
        self.turns = 0
        """How often the avatar has got something to say."""
        self._on_turn = on_turn
        self._clients = 0
        self._visitors = 0
        self._abandoned_since = math.inf
        self._avatar_is_in = False
        self._busy = False
        self._began = self._active = self._alone_since = time.monotonic()
        self._ended: float | None = None
        self._refunded = False
        self._closers: list[Closer] = []
        self._closing: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    # What happens in a session.

    @property
    def is_open(self) -> bool:
        return self._closing is None

    @property
    def has_client(self) -> bool:
        """The user's participant is in the room."""
        return self._clients > 0

    @property
    def is_talkable(self) -> bool:
        """The avatar and the user are in the room: tasks are accepted (400006 was seen otherwise)."""
        return self.state is State.CONNECTED and self.has_client

    def touch(self) -> None:
        """Something happened that counts as activity: the idle time starts anew."""
        self._active = time.monotonic()

    def set_busy(self, busy: bool) -> None:
        """The avatar has something to say, or has said it all. While it has, the session is not idle."""
        begins, self._busy = busy and not self._busy, busy
        self.touch()
        self._arm()
        if begins:
            self.turns += 1
            self._on_turn()

    def begin(self) -> None:
        """The avatar is on its way: from ``new`` to ``connecting``."""
        self.state = State.CONNECTING

    def avatar_entered(self) -> None:
        """The avatar is in the room, heard and seen."""
        self._avatar_is_in = True
        self._advance()

    def client_joined(self) -> None:
        """The user's participant came. A second one of the same identity may come before the first is gone."""
        self._clients += 1
        self._advance()

    def client_left(self) -> None:
        """The user's participant went; the session waits for it for a while."""
        self._clients -= 1
        if not self._clients:
            self._alone_since = time.monotonic()
            self._arm()

    def visitor_came(self) -> None:
        """Somebody of the client's side is there: the user, their backend, a socket."""
        self._visitors += 1
        self._abandoned_since = math.inf

    def visitor_went(self) -> None:
        """Likewise, not any more."""
        self._visitors -= 1
        if not self._visitors:
            self._abandoned_since = time.monotonic()
            self._arm()

    def _advance(self) -> None:
        if self.state is State.CONNECTING and self._avatar_is_in and self.has_client:
            self.state = State.CONNECTED

    # How it ends.

    def close_with(self, closer: Closer) -> None:
        """Call ``closer`` when the session ends; closers run in the order they were given."""
        self._closers.append(closer)

    async def end(self, reason: EndReason) -> None:
        """End the session and return when all that belonged to it is closed. The first reason given counts."""
        await asyncio.shield(self._begin_to_close(reason))

    def end_soon(self, reason: EndReason) -> None:
        """Begin to end the session, from where nobody can wait for it."""
        self._begin_to_close(reason)

    def _begin_to_close(self, reason: EndReason, *, at: float | None = None) -> asyncio.Task[None]:
        if self._closing is None:
            self.state = State.CLOSING
            self.end_reason = reason
            self._ended = time.monotonic() if at is None else at
            if self._timer is not None:
                self._timer.cancel()
            self._closing = self._loop.create_task(self._close(), name=f"end of session {self.id}")
            logger.info("session %s ends: %s", self.id, reason.value)
        return self._closing

    async def _close(self) -> None:
        while self._closers:
            closer = self._closers.pop(0)
            try:
                await asyncio.wait_for(closer(), _CLOSING_SECONDS)
            except Exception:
                # The session is over all the same; a part that will not close must not keep the others open.
                logger.exception("session %s: something did not close", self.id)
        self.state = State.CLOSED

    # Its time limits: one timer, set for the earliest.

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.is_open:
            deadline, _ = self._next_deadline()
            seconds = min(max(0.0, deadline - time.monotonic()), _FAR)
            self._timer = self._loop.call_later(seconds, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        deadline, reason = self._next_deadline()
        if deadline <= time.monotonic():
            self._begin_to_close(reason, at=deadline)  # a timer that fires late makes nobody pay for another second
        else:
            self._arm()  # there was activity since the timer was set

    def _next_deadline(self) -> tuple[float, EndReason]:
        terms = self.terms
        deadlines = [(self._began + terms.duration, EndReason.DURATION)]
        if not self._busy:
            deadlines.append((self._active + terms.idle_timeout, EndReason.IDLE))
        if not self.has_client:
            deadlines.append((self._alone_since + terms.no_client_timeout, EndReason.NO_CLIENT))
        # A keep-alive from a backend is a sign of life too.
        deadlines.append((max(self._abandoned_since, self._active) + terms.abandoned_timeout, EndReason.ABANDONED))
        return min(deadlines)

    # What is told of it.

    @property
    def seconds(self) -> float:
        """How long it has lived."""
        return (time.monotonic() if self._ended is None else self._ended) - self._began

    @property
    def billable_seconds(self) -> int:
        """What it is billed for, from the moment it was made: 30 s at least, then by the second, on streaming v1."""
        if self._refunded:
            return 0
        terms = self.terms
        # A time that could not be paid for was not given.
        whole = math.floor if self.end_reason is EndReason.NO_CREDITS else math.ceil
        return math.ceil(whole(max(self.seconds, terms.billed_at_least) / terms.billed_by) * terms.billed_by)

    def refund(self) -> None:
        """It costs nothing: it could not be given."""
        self._refunded = True

    @property
    def credits(self) -> float:
        """What it costs so far."""
        return self.billable_seconds / 60 * self.terms.credits_per_minute

    def record(self) -> dict[str, Any]:
        """What the simulator's owner is told of it."""
        return {
            "session_id": self.id,
            "service": self.terms.service,
            "state": self.state.value,
            "created_at": self.created_at,
            "billable_seconds": self.billable_seconds,
            "end_reason": self.end_reason.value if self.end_reason else None,
            "ignored_messages": self.ignored_messages,
        }


class Sessions:
    """All sessions of the simulator's life, in the order in which they were made."""

    def __init__(self, limits: Limits) -> None:
        self.on_turn: Callable[[], None] = lambda: None
        """Called when the avatar of any session has got something to say."""
        self._limits = limits
        self._sessions: dict[str, Session] = {}

    def open(self, terms: Terms, session_id: str = "") -> Session:
        """Make a session, whose id may be known already.

        Whether the account may have one more is for the service to ask first, in its own words.
        """
        session = Session(terms, session_id, on_turn=lambda: self.on_turn())
        self._sessions[session.id] = session
        logger.info("session %s made", session.id)
        return session

    def find(self, session_id: str) -> Session | None:
        return self._sessions.get(session_id)

    def of(self, service: str) -> list[Session]:
        """The service's sessions, open and ended."""
        return [session for session in self.all() if session.terms.service == service]

    def all(self) -> list[Session]:
        return list(self._sessions.values())

    def is_full(self, service: str) -> bool:
        """No session more of the service may be open at once. One that is closing still counts."""
        open_sessions = sum(session.state is not State.CLOSED for session in self.of(service))
        return open_sessions >= self._limits.concurrent_sessions

    @property
    def billed_seconds(self) -> int:
        return sum(session.billable_seconds for session in self.all())

    def credits_left(self, service: str) -> float:
        """What is left of the account's credits with the service; never below nothing."""
        return max(0.0, self._limits.credits - sum(session.credits for session in self.of(service)))

    def is_overdrawn(self, service: str) -> bool:
        """More was used up than the account has."""
        return sum(session.credits for session in self.of(service)) > self._limits.credits

    async def end_all(self, reason: EndReason) -> None:
        await asyncio.gather(*(session.end(reason) for session in self.all()))


_CLOSING_SECONDS = 5.0
_FAR = 3600.0  # a timer cannot be set for never; it is set anew when it fires too early


def time_based_id() -> str:
    """A version 1 UUID, as the service's are, which does not give away this machine's network address."""
    random_node = secrets.randbits(48) | 1 << 40  # the multicast bit marks a node that is no address (RFC 9562, 6.10)
    return str(uuid.uuid1(node=random_node))
