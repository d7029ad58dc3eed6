"""One session's wires, from its create call to its confirmed end: carries envelopes out, feeds what it hears.

It knows when a session lives and when it is over, and sees to it that it is stopped. What the envelopes mean is the
protocol's; whom the events reach is the dispatcher's. It never holds the user's avatar.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import cleanup, guardian
from .clock import KeepAlive, SessionClock
from .creation import Creation, understood
from .deadline import Deadline
from .dispatch import Dispatcher
from .ears import Ears
from .engine import at_exit, engine, running_engine
from .errors import (
    APIConnectionError,
    APIError,
    HeyGenError,
    SessionClosedError,
    SessionNotFoundError,
    SessionNotStartedError,
    SessionStateError,
    StartTimeoutError,
    UsageError,
    WaitTimeoutError,
)
from .events import DisconnectReason, SessionStopped, StreamDisconnected, StreamReady
from .liveavatar import SessionEndReason
from .models import SessionState, StartAvatarRequest, StartAvatarResponse
from .protocols import DataMessage, Envelope, Protocol, RestCall, SocketMessage
from .protocols.api_errors import says_over
from .rest import Reply, RestClient
from .speech import SpeechBook
from .stopping import STOP_TIMEOUT, Belongings, StopCall

if TYPE_CHECKING:
    from .wires import Wires

LEAVE_TIMEOUT = 4.0
"""Seconds that leaving room and socket may take; by then the session is stopped, so it costs nothing any more."""

END_IS_HEARD_WITHIN = 1.0
"""Seconds that the room's end may take to reach us after REST has told of it."""


class Connection:
    """A session. Its methods block, in any thread but the media thread; what its ears tell it comes from there."""

    def __init__(
        self,
        *,
        rest: RestClient,
        token: str | None,
        protocol: Protocol,
        request: StartAvatarRequest,
        dispatcher: Dispatcher,
        guarded: bool,
    ) -> None:
        self.rest = rest
        self._token = token
        self._guarded = guarded
        self._stop_call = StopCall(rest, protocol, guarded=guarded)
        self._creation = Creation(rest, protocol, taken=self._take, never_was=self._never_was)
        self._belongings = Belongings(rest, protocol, guarded=guarded)
        self.protocol = protocol
        self.request = request
        self.session: StartAvatarResponse | None = None
        self.book = SpeechBook("")
        self.ears = Ears(self, protocol, dispatcher)
        self.ready_at: float | None = None
        self._state = SessionState.INACTIVE
        self._dispatcher = weakref.ref(dispatcher)
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._answered = threading.Event()  # the create call has had its outcome
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._closed = threading.Event()
        self._closing = False
        self._costs_nothing = False
        self._end_reason: DisconnectReason | None = None
        self._end_text = ""
        self._stop_reason = SessionEndReason.USER_CLOSED.value
        self._closers: list[Callable[[], object]] = []
        self._wires: Wires | None = None
        self._missing = {"avatar", "company"}  # who has to come until the session is ready
        self._started_at = self._taken_at = 0.0
        self._clock: SessionClock | None = None
        self._keep_alive: KeepAlive | None = None

    # -- facts

    @property
    def session_id(self) -> str | None:
        return None if self.session is None else self.session.session_id

    @property
    def state(self) -> SessionState:
        return self._state

    @property
    def wires(self) -> Wires:
        """The room and the chat socket of a session that is ready."""
        self.require_live()
        assert self._wires is not None
        return self._wires

    @property
    def over(self) -> bool:
        return self._closing or self._ended.is_set()

    def require_live(self) -> StartAvatarResponse:
        """The session, or the error that says why there is none to command."""
        if self._pid != os.getpid():
            raise UsageError(
                f"session {self.session_id} belongs to the process that started it; after a fork, start one of its own"
            )
        if self.over:
            raise SessionClosedError(
                f"session {self.session_id} has ended ({self.end_text}); create_start_avatar() starts a new one",
                session_id=self.session_id,
                reason=self.end_text,
            )
        if self.session is None or not self._ready.is_set():
            raise SessionNotStartedError(
                "the session is not started yet: wait for create_start_avatar() to return", session_id=self.session_id
            )
        return self.session

    @property
    def end_text(self) -> str:
        """Why it ended, in words."""
        if self._end_text:
            return self._end_text
        return "stopped here" if self._end_reason is None else self._end_reason.text

    @property
    def closed(self) -> threading.Event:
        """Set when closing has done what it could in its time."""
        return self._closed

    # -- beginning

    def create(self, timeout: float) -> StartAvatarResponse:
        """Make the session. From before the call is sent, it is registered to be stopped."""
        cleanup.register(self)
        if self._guarded:
            guardian.prepare()
        deadline = Deadline.after(timeout)
        given = None if self._token is None else self.protocol.session_of_token(self._token)
        if given is not None:
            self._take(given)
            return given
        try:
            self._fetch_token(deadline)
            self.request = self._belongings.make(self.request, deadline)
        except BaseException:
            self._never_was()
            raise
        self._creation.make(self.request, self._token, deadline)
        if self.session is None:
            raise APIConnectionError("the service's reply to the create call names no session")
        return self.session

    def _fetch_token(self, deadline: Deadline) -> None:
        if self._token is None:
            self._token = self._creation.fetch_token(self.request, deadline)

    def adopt(self, session: StartAvatarResponse) -> None:
        """Take over a session that somebody else has created (a backend, say): ours to stop from now on."""
        cleanup.register(self)
        self._take(session)

    def _take(self, session: StartAvatarResponse) -> None:
        with self._lock:
            self.session, self._taken_at = session, time.monotonic()
            self._token = session.session_token or self._token
            self.book = SpeechBook(session.session_id)
            abandoned = self._closing
            self._answered.set()
        self._stop_call.guard(session.session_id, self._token)
        if abandoned:
            # close() came first and found no id to stop. Both look at _closing and session under the lock, so one of
            # the two always stops the session.
            cleanup.stop_in_background(self, why="its start was given up")

    def _never_was(self) -> None:
        self._costs_nothing = True
        self._state = SessionState.DISCONNECTED
        self._answered.set()
        cleanup.forget(self)
        guardian.not_needed()

    def start(self, deadline: Deadline) -> None:
        """Bring the session to life; return when the avatar is in the room with picture and sound, and hears commands.

        Order as the official client's: start call, room, chat socket; the last two side by side.
        """
        assert self.session is not None
        self._state = SessionState.CONNECTING
        if (dispatcher := self._dispatcher()) is not None:
            dispatcher.start()
        self._fetch_token(deadline)
        self._started_at = time.monotonic()
        self._start_call(self.session, deadline)
        engine().when_dead(self._on_engine_death)
        try:
            engine().call(self._connect(), timeout=deadline.left, what=f"connecting session {self.session_id}")
        except WaitTimeoutError:
            what = "its agent" if "avatar" not in self._missing else "its room or its socket"
            raise self._too_late(f"{what} could not be reached") from None
        except HeyGenError:
            if self.over:  # stopped by another thread; the wire that noticed first does not know why
                self._raise_ended_early()
            raise
        while not self._ready.is_set():
            if self.over:
                self._raise_ended_early()
            if deadline.passed:
                raise self._too_late("the avatar did not appear in the room")
            Deadline.after(min(0.1, deadline.left)).wait(self._ready)

    def _start_call(self, session: StartAvatarResponse, deadline: Deadline) -> None:
        call = self.protocol.start(session)
        if call is None:
            return
        try:
            self.session = understood(self.protocol.read_started, session, self._call(call, deadline.left))
        except SessionStateError:
            if self.over:  # stop_avatar() in another thread was faster
                self._raise_ended_early()
            raise
        if self.session.session_id != session.session_id:  # a token need not say whose it is
            self._stop_call.guard(self.session.session_id, self._token)

    def _too_late(self, what: str) -> StartTimeoutError:
        return StartTimeoutError(
            f"session {self.session_id} was not ready in time: {what}. It was stopped again; try a larger timeout=",
            session_id=self.session_id,
        )

    def _raise_ended_early(self) -> None:
        words = f"session {self.session_id} ended while it was being started ({self.end_text})"
        raise SessionClosedError(words, session_id=self.session_id, reason=self.end_text)

    async def _connect(self) -> None:
        from .wires import Wires

        assert self.session is not None
        if self.over:
            self._raise_ended_early()
        self._wires = Wires(self.session.session_id, self.ears, self.protocol)
        await self._wires.connect(self.session.url, self.session.access_token, self.chat_url())
        await self._wires.company()
        self._arrived("company")

    def chat_url(self) -> str | None:
        """The chat socket's address, where there is one. Holds the token: never show it."""
        assert self.session is not None
        return self.protocol.socket_url(self.rest.base_path, self.session, self.request, self._token or "")

    # -- carrying

    def carry(self, envelope: Envelope, *, timeout: float) -> Any:
        """Send ``envelope`` by the wire it is for; what a REST call answers is returned.

        While the room or the socket is being reconnected, this waits for it up to the deadline.
        """
        self.touch()
        deadline = Deadline.after(timeout)
        match envelope:
            case RestCall():
                try:
                    return self._call(envelope, timeout)
                except (SessionStateError, SessionNotFoundError) as error:
                    self.raise_if_over(error, deadline)
                    raise
            case DataMessage():
                what = f"sending a message to session {self.session_id}"
                sending = self.wires.send_data(envelope.payload, envelope.topic)
            case SocketMessage():
                what = f"sending on the chat socket of session {self.session_id}"
                sending = self.wires.send_socket(envelope.payload)
        try:
            return engine().call(sending, timeout=timeout, what=what)
        except WaitTimeoutError as error:
            if self.state is SessionState.RECONNECTING:
                raise WaitTimeoutError(f"{error}: its room is being reconnected") from None
            raise

    def begin(self, call: RestCall, *, timeout: float, receive: Callable[[Any], None]) -> Reply:
        """Send a REST call of this session without waiting for its reply."""
        return self.rest.begin(call, token=self._token, timeout=timeout, receive=receive)

    def _call(self, call: RestCall, timeout: float, **how: Any) -> Any:
        return self.rest.call(call, token=self._token, timeout=timeout, **how)

    def raise_if_over(self, error: APIError, deadline: Deadline) -> None:
        """A command was refused for the session's state: if that is because it has ended, say that instead."""
        if Deadline.after(min(END_IS_HEARD_WITHIN, deadline.left)).wait(self._ended):
            self.require_live()
        if says_over(error):
            self._gone(DisconnectReason.ROOM_DELETED, self._end_text or "ended by the server, without a word")
            self.require_live()

    def keep_alive_every(self, seconds: float) -> None:
        """Tell the service in the background that the session is still wanted, until it ends."""
        if self._keep_alive is None and self.session is not None:
            self._keep_alive = KeepAlive(
                lambda: self.carry(self.protocol.keep_alive(self.session_id or ""), timeout=min(seconds, STOP_TIMEOUT)),
                failed=self.ears.trouble,
                first=seconds - (time.monotonic() - self._taken_at),  # a start may take a minute
                every=seconds,
                ended=self._ended,
            )

    # -- what the ears tell: on the media thread

    def touch(self) -> None:
        if self._clock is not None:
            self._clock.touch()

    def avatar_came(self) -> None:
        self._arrived("avatar")

    def _arrived(self, who: str) -> None:
        self._missing.discard(who)
        if self._missing or self._ready.is_set() or self.over:
            return
        assert self.session is not None
        self._clock = SessionClock(
            self.protocol.lifetime(self.session),
            started_at=self._started_at,
            expiring=self.ears.expiring,
            expired=self._expired,
        )
        self._clock.run()
        self.ready_at = time.monotonic()
        self._state = SessionState.CONNECTED
        self._ready.set()
        self.ears.publish(StreamReady(session_id=self.session_id or "", received_at=time.time()))

    def _expired(self, reason: str, words: str) -> None:
        """The service should have ended the session by now, and may have, without a word."""
        if self.over:
            return
        if self.session is not None and not self.protocol.lifetime(self.session).certain:
            threading.Thread(target=self._ask_if_over, name=f"heygen-check-{self.session_id}", daemon=True).start()
            return
        self._stop_reason = reason
        self.ears.publish(SessionStopped(reason=reason, received_at=time.time()))
        self._gone(DisconnectReason.CLIENT_INITIATED, words)

    def _ask_if_over(self) -> None:
        with suppress(HeyGenError):  # what matters is concluded from the reply on the way
            self.carry(self.protocol.keep_alive(self.session_id or ""), timeout=STOP_TIMEOUT)

    def ended_by_service(self, event: SessionStopped) -> None:
        """The service says that it has ended the session; the room's end may follow, or take its time."""
        if not self.over:
            self._gone(DisconnectReason.ROOM_DELETED, f"ended by the server: {event.reason}")

    def _gone(self, reason: DisconnectReason, words: str) -> None:
        """The session is over, though nobody here has stopped it: make sure of it."""
        self._end_text = words
        self._finish(reason)
        cleanup.stop_in_background(self, why=words)

    def room_flows(self, flows: bool) -> None:
        if self._wires is not None:
            self._wires.room_flows(flows)
        former, new = SessionState.CONNECTED, SessionState.RECONNECTING
        if flows:
            former, new = new, former
        if self._state is former:
            self._state = new

    def room_lost(self, reason: DisconnectReason) -> None:
        self._finish(DisconnectReason.CLIENT_INITIATED if self._closing else reason)
        if self._wires is not None:
            self._wires.gone()
        if not self._closing:
            # A room that was lost says nothing of the session behind it, which may go on and cost: stop it.
            cleanup.stop_in_background(self, why=reason.text)

    def _on_engine_death(self) -> None:
        self._finish(DisconnectReason.UNKNOWN_REASON)
        if not self._closing:
            cleanup.stop_in_background(self, why="the media thread has ended")

    # -- ending

    def at_close(self, closer: Callable[[], object]) -> None:
        """Call ``closer``, which is quick, when the session is closed; never on the media thread."""
        self._closers.append(closer)
        if self.over:
            closer()

    def close(self, timeout: float = STOP_TIMEOUT, *, why: str = "stopped here") -> bool:
        """End the session: its stop call first, then room and socket, then the events thread.

        Idempotent; a second caller waits for the first, and tries the stop call again if it had failed.

        Raises:
            HeyGenError: the service could not be told to stop. The session stays registered and is tried again at exit.
        """
        if self._pid != os.getpid():
            return True
        deadline = Deadline.after(timeout)
        with self._lock:
            first, self._closing = not self._closing, True
            if first and not self._end_text and self._end_reason is None:
                self._end_text = why
        try:
            if first:
                self._close(deadline)
            else:
                dispatcher = self._dispatcher()
                if not self._closed.is_set() and not (dispatcher is not None and dispatcher.in_handler):
                    deadline.wait(self._closed)
                self._stop(deadline)
        finally:
            self.rest.hang_up()  # who keeps the avatar keeps no socket; its next session has new ones
        return self._costs_nothing

    def _close(self, deadline: Deadline) -> None:
        if self._state is not SessionState.DISCONNECTED:
            self._state = SessionState.DISCONNECTING
        try:
            self._stop(deadline)
        finally:
            for closer in self._closers:
                closer()
            removal = self._belongings.remove()
            try:
                self._leave(deadline)
            finally:
                if removal is not None:
                    removal.wait(deadline)
                self._finish(DisconnectReason.CLIENT_INITIATED)
                self._closed.set()
                dispatcher = self._dispatcher()
                if dispatcher is not None:
                    dispatcher.stop(Deadline.after(min(1.0, max(0.1, deadline.left))))

    def _stop(self, deadline: Deadline) -> None:
        if not self._answered.is_set():
            # Ctrl-C or a deadline during the create call: give the reply, and with it the id, a moment to come. If it
            # comes later still, the thread that receives it stops the session.
            deadline.wait(self._answered)
        if self._costs_nothing or self.session is None:
            return
        self._stop_call.make(self.session.session_id, self._token, deadline, reason=self._stop_reason)
        self._costs_nothing = True
        cleanup.forget(self)

    def _leave(self, deadline: Deadline) -> None:
        running = running_engine()
        if running is None or self._wires is None or running.is_current():
            return
        with suppress(HeyGenError):
            running.call(self._wires.disconnect(), timeout=max(0.1, min(deadline.left, LEAVE_TIMEOUT)), what="leaving")

    def _finish(self, reason: DisconnectReason) -> None:
        with self._lock:
            if self._ended.is_set():
                return
            self._end_reason = reason
            self._state = SessionState.DISCONNECTED
            self._ended.set()
        self.book.end(self.end_text)
        if self._clock is not None:
            self._clock.end()
        if self.session is not None:
            self.ears.publish(
                StreamDisconnected(session_id=self.session.session_id, reason=reason, received_at=time.time())
            )
        dispatcher = self._dispatcher()
        if dispatcher is not None:
            dispatcher.end_listeners()


def _close_all_at_exit() -> None:
    cleanup.stop_all()
    running = running_engine()
    if running is not None:
        running.stop(2.0)


at_exit(_close_all_at_exit)
