"""The blocking facade: plain method calls on a HeyGen avatar, from scripts, notebooks and threads.

It checks what it is given and waits for what was asked, nothing else: the wires are the connection's, the events the
dispatcher's. All methods may be called from any thread and from handlers, save where a docstring says otherwise.
"""

from __future__ import annotations

import threading
import time
import warnings
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal

from . import cells, cleanup
from .asking import Exchange, ask_aloud, ask_in_writing
from .connection import Connection
from .deadline import Deadline, check_timeout
from .errors import (
    ConfigurationError,
    InvalidRequestError,
    SessionNotStartedError,
    UnsupportedOptionWarning,
    UsageError,
)
from .events import ConnectionQuality
from .media.sources import as_source
from .models import (
    Service,
    SpeakRequest,
    StartAvatarRequest,
    StartAvatarResponse,
    TaskMode,
    TaskType,
    request_of,
)
from .protocols.choice import Choice, choose
from .secret import hidden
from .services import rest_client
from .speech import Speech
from .stopping import STOP_TIMEOUT
from .tasks import give_task
from .voicing import Voicing

__all__ = ["StreamingAvatar"]

START_TIMEOUT = 60.0
"""Seconds a start may take: 6 to 8 are usual, a minute was seen (v1 reference §3)."""

AFTERMATH = 0.3
"""Seconds beyond its deadline that a start which failed waits for the session's stop call."""

SECONDS_A_CHARACTER = 0.2
"""What SYNC waits for a text of this length beyond ``timeout``: the slowest rate, and something queued before it."""

ANSWER_TIMEOUT = 60.0
"""Seconds that ask() waits for question and answer."""

KEEP_ALIVE = 60.0
"""Seconds between keep-alives, or half of a shorter ``activity_idle_timeout``."""


class StreamingAvatar(Voicing):
    """A HeyGen avatar that one talks to with plain calls.

    ::

        with StreamingAvatar(api_key="...") as avatar:
            avatar.on(StreamingEvents.AVATAR_TALKING_MESSAGE, lambda event: print(event.message))
            avatar.create_start_avatar(avatar_name="default")
            avatar.say("Hello, world!")

    Args:
        token: a session token, as ``streaming.create_token`` or LiveAvatar's ``sessions/token`` gives it: good for one
            session. LiveAvatar's also holds what the session was asked for.
        api_key: the account's key; a fresh token is fetched for each session. Default: ``$HEYGEN_API_KEY``, on
            LiveAvatar ``$LIVEAVATAR_API_KEY``.
        base_path: the service's URL. Default: ``$HEYGEN_BASE_PATH``, then ``https://api.heygen.com``; on LiveAvatar
            ``$LIVEAVATAR_BASE_PATH``, then ``https://api.liveavatar.com``.
        service: which of HeyGen's services: streaming, or its successor LiveAvatar.
        dispatch: ``"thread"`` calls handlers in a thread of their own; ``"manual"`` only in :meth:`run_handlers`.
        timeout: the deadline of each call in seconds, where the call names no other.
        keep_alive: inside ``with``, keep an idle session from being ended by the service.
        guardian: let a tiny process of its own stop the session should this one be killed.

    Raises:
        ConfigurationError: neither a token nor a key, or one that cannot be sent.
    """

    def __init__(
        self,
        token: str | None = None,
        *,
        api_key: str | None = None,
        base_path: str | None = None,
        service: Service | str = Service.HEYGEN,
        dispatch: Literal["thread", "manual"] = "thread",
        timeout: float = 30.0,
        keep_alive: bool = True,
        guardian: bool = True,
    ) -> None:
        rest = rest_client(service, token=token, api_key=api_key, base_path=base_path)
        if dispatch not in ("thread", "manual"):
            raise ConfigurationError(f"dispatch must be 'thread' or 'manual', not {dispatch!r}")
        check_timeout(timeout)
        super().__init__(threaded=dispatch == "thread", timeout=timeout)
        self._service = Service(service)
        self._token = hidden(token)
        self._keep_alive = keep_alive
        self._guarded = guardian
        self._inside_with = False
        self._rest = rest
        self._starting = threading.Lock()
        weakref.finalize(self, _collected, self._holder).atexit = False

    # -- a session's life

    def create_start_avatar(
        self, request: StartAvatarRequest | None = None, *, timeout: float = START_TIMEOUT, **fields: Any
    ) -> StartAvatarResponse:
        """Create a session and start it; return when the avatar is in the room with picture and sound.

        A session of this object that still runs is ended first. If anything fails on the way, Ctrl-C included, the new
        session is stopped again.

        Args:
            request: what to start with, or its fields as keywords (see :class:`StartAvatarRequest`).
            timeout: seconds for everything together.

        Raises:
            InvalidRequestError: a field is out of range; nothing was sent.
            AuthenticationError, AvatarNotFoundError, ConcurrentSessionLimitError, QuotaExceededError, APIError: the
                service refused.
            StartTimeoutError, SessionStartError: the session came, its media did not.
        """
        wanted = request_of(StartAvatarRequest, request, fields)
        deadline = Deadline.after(check_timeout(timeout))
        with self._one_start():
            connection = self._create(wanted, deadline)
            return self._start(connection, deadline)

    def new_session(
        self, request: StartAvatarRequest | None = None, *, timeout: float = START_TIMEOUT, **fields: Any
    ) -> StartAvatarResponse:
        """Create a session without starting it; :meth:`start_session` brings it to life.

        It is billed from now on, and remembered: stopping, leaving ``with`` or the end of the process end it.
        Takes and raises what :meth:`create_start_avatar` does.
        """
        wanted = request_of(StartAvatarRequest, request, fields)
        with self._one_start():
            connection = self._create(wanted, Deadline.after(check_timeout(timeout)))
            assert connection.session is not None
            return connection.session

    def start_avatar(
        self,
        request: StartAvatarRequest | None = None,
        session: StartAvatarResponse | None = None,
        *,
        timeout: float = START_TIMEOUT,
        **fields: Any,
    ) -> StartAvatarResponse:
        """Start a session that was created elsewhere, by a backend that keeps the key, say.

        Args:
            request: what it was created with, or its fields as keywords: the transport and push-to-talk matter here.
            session: what creating it returned.
        """
        wanted = request_of(StartAvatarRequest, request, fields)
        if not isinstance(session, StartAvatarResponse):
            raise InvalidRequestError("start_avatar() needs session=, a StartAvatarResponse; nothing was sent")
        deadline = Deadline.after(check_timeout(timeout))
        with self._one_start():
            current = self._connection
            if current is None or current.session_id != session.session_id or current.over:
                choice = choose(self._service, wanted, session=session)
                self._end_previous(deadline)
                current = self._new_connection(choice)
                current.adopt(session)
            return self._start(current, deadline)

    def start_session(self, *, timeout: float = START_TIMEOUT) -> StartAvatarResponse:
        """Start the session that :meth:`new_session` created.

        Raises:
            SessionNotStartedError: there is none; otherwise as :meth:`create_start_avatar`.
        """
        deadline = Deadline.after(check_timeout(timeout))
        with self._one_start():
            connection = self._connection
            if connection is None or connection.session is None:
                raise SessionNotStartedError("start_session() needs a session: call new_session() first")
            return self._start(connection, deadline)

    def stop_avatar(self, *, timeout: float = STOP_TIMEOUT) -> None:
        """End the session. The stop call goes first, then room and socket; what was queued for handlers is handled.

        Does nothing when there is no session. Called from a handler, it does not wait for that handler.

        Raises:
            HeyGenError: the service could not be told; it is told again at the end of the process.
        """
        check_timeout(timeout)
        connection = self._connection
        if connection is not None:
            connection.close(timeout)

    def keep_alive(self) -> None:
        """Reset the service's idle countdown (``activity_idle_timeout``)."""
        connection, session = self._live()
        connection.carry(connection.protocol.keep_alive(session.session_id), timeout=self._timeout)

    # -- talking

    def speak(
        self,
        text: str | SpeakRequest,
        *,
        task_type: TaskType | str | None = None,
        task_mode: TaskMode | str | None = None,
        timeout: float | None = None,
    ) -> Speech:
        """Let the avatar answer ``text`` (TALK, the default) or say it (REPEAT).

        ASYNC, the default, returns at once. SYNC returns when the avatar has stopped talking: ``outcome`` of what is
        returned says whether it spoke to the end or was interrupted.

        Args:
            text: 1 to 1,000 characters, or a :class:`SpeakRequest`.
            timeout: seconds that SYNC waits at most. Default: the avatar's timeout and 0.2 s for each character.

        Raises:
            InvalidRequestError: the text is empty or too long; nothing was sent.
            SessionClosedError: the session ended, before or meanwhile.
            WaitTimeoutError: SYNC, and the avatar has not finished; it may still speak.
            APIError, APIConnectionError: the service refused, or could not be reached.
        """
        request = _speak_request(text, task_type, task_mode)
        connection, session = self._live()
        envelope = connection.protocol.speak(session.session_id, request, connection.request.voice_chat_transport)
        speech = Speech(request, self.interrupt, session.session_id)
        if timeout is None:
            timeout = self._timeout + (SECONDS_A_CHARACTER * len(request.text) if _is_sync(request) else 0.0)
        deadline = Deadline.after(check_timeout(timeout))
        if request.task_type is TaskType.TALK:
            self._transcript.typed(request.text, time.time())
        give_task(connection, speech, envelope, deadline, wait=_is_sync(request))
        return speech

    def say(self, text: str, *, timeout: float | None = None) -> Speech:
        """Say exactly ``text`` and return when it is said: ``speak`` with REPEAT and SYNC."""
        return self.speak(text, task_type=TaskType.REPEAT, task_mode=TaskMode.SYNC, timeout=timeout)

    def ask(self, question: object, *, timeout: float = ANSWER_TIMEOUT) -> Exchange:
        """Ask the avatar something, and return what was understood and what it answered when it has answered.

        ::

            print(avatar.ask("Where are my keys?"))
            for file in sorted(Path("questions").glob("*.wav")):
                print(avatar.ask(file))

        Args:
            question: a text; or a sound, which is said aloud: a source (see :meth:`start_voice_chat`) or a file's
                ``Path``. A ``Microphone`` is open until the service hears the end of the user's turn. A voice chat is
                started where none runs, and goes on; with push-to-talk, the button is held while the sound is said.
            timeout: seconds for question and answer together.

        Raises:
            WaitTimeoutError: no answer in time; says how far it got.
            UsageError: the voice chat is muted, or a microphone is open in it.
            HeyGenError: what :meth:`speak` and :meth:`start_voice_chat` raise.
        """
        deadline = Deadline.after(check_timeout(timeout))
        if isinstance(question, str):
            return ask_in_writing(self._dispatcher, question, lambda text: self.speak(text, timeout=timeout), deadline)
        connection, session = self._live()
        source = as_source(question)
        voice, button = self._voice_for_asking(source, deadline)
        return ask_aloud(
            self._dispatcher,
            connection.book,
            say=lambda: voice.speak(source, timeout=deadline.left),
            answer=lambda: Speech(SpeakRequest(text=repr(source)), self.interrupt, session.session_id),
            button=button,
            deadline=deadline,
        )

    def start_listening(self) -> None:
        """Let the avatar take its listening pose (it does not turn a microphone on)."""
        connection, session = self._live()
        connection.carry(connection.protocol.start_listening(session.session_id), timeout=self._timeout)

    def stop_listening(self) -> None:
        """Let the avatar leave its listening pose."""
        connection, session = self._live()
        connection.carry(connection.protocol.stop_listening(session.session_id), timeout=self._timeout)

    # -- facts

    @property
    def connection_quality(self) -> ConnectionQuality:
        """How well the media flows, as last heard."""
        return ConnectionQuality.UNKNOWN if self._connection is None else self._connection.ears.quality

    def __enter__(self) -> StreamingAvatar:
        self._inside_with = True
        if self._connection is not None and not self._connection.over:
            self._keep_it_alive(self._connection)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._inside_with = False
        # After Ctrl-C the user wants out: closing is short then, and what it cannot do in time is done at exit.
        self.stop_avatar(timeout=3.0 if kind is not None and issubclass(kind, KeyboardInterrupt) else STOP_TIMEOUT)

    def __repr__(self) -> str:
        return f"<StreamingAvatar {self.state}{f', session {self.session_id}' if self.session_id else ''}>"

    # -- inside

    @contextmanager
    def _one_start(self) -> Iterator[None]:
        if not self._starting.acquire(blocking=False):
            raise UsageError("this avatar is being started by another thread; use one StreamingAvatar per session")
        try:
            from .engine import engine

            # Loads the native library and this while the service thinks; where no session can be started, it is said
            # here, when nothing has been made, taken over or ended yet.
            engine().warm_up("heygen_avatar.wires")
            yield
        finally:
            self._starting.release()

    def _end_previous(self, deadline: Deadline) -> None:
        cells.end_sessions_of_earlier_runs()
        if self._connection is not None:
            self._connection.close(min(STOP_TIMEOUT, deadline.left))
        self._transcript.clear()

    def _new_connection(self, choice: Choice) -> Connection:
        connection = Connection(
            rest=self._rest,
            token=self._token,
            protocol=choice.protocol,
            request=choice.request,
            dispatcher=self._dispatcher,
            guarded=self._guarded,
        )
        self._holder[:] = [connection]
        cells.remember_session(connection)
        return connection

    def _create(self, request: StartAvatarRequest, deadline: Deadline) -> Connection:
        choice = choose(self._service, request, token=self._token)
        for omitted in choice.omitted:
            # The caller of create_start_avatar() or new_session() is told.
            warnings.warn(omitted, UnsupportedOptionWarning, stacklevel=3)
        self._end_previous(deadline)
        connection = self._new_connection(choice)
        with _stopping_on_failure(connection, deadline):
            connection.create(deadline.left)
        return connection

    def _start(self, connection: Connection, deadline: Deadline) -> StartAvatarResponse:
        with _stopping_on_failure(connection, deadline):
            connection.start(deadline)
        if self._inside_with:
            self._keep_it_alive(connection)
        assert connection.session is not None
        return connection.session

    def _keep_it_alive(self, connection: Connection) -> None:
        if self._keep_alive and not connection.request.disable_idle_timeout:
            idle = connection.request.activity_idle_timeout or 2 * KEEP_ALIVE
            connection.keep_alive_every(min(KEEP_ALIVE, idle / 2))


@contextmanager
def _stopping_on_failure(connection: Connection, deadline: Deadline) -> Iterator[None]:
    """Stop a session whose start fails. The caller waits for that no longer than its deadline allows; what is not done
    by then goes on without it."""
    try:
        yield
    except BaseException as error:
        if cleanup.stop_in_background(connection, why="its start failed"):
            patience = 3.0 if isinstance(error, KeyboardInterrupt) else STOP_TIMEOUT
            Deadline.after(min(patience, max(deadline.left, AFTERMATH))).wait(connection.closed)
        raise


def _collected(holder: list[Connection]) -> None:
    """The avatar was garbage: end what it left open, in a thread, since a collection may happen anywhere."""
    for connection in holder:
        if not connection.over:
            cleanup.stop_in_background(connection, why="its avatar was garbage collected")


def _speak_request(
    text: str | SpeakRequest, task_type: TaskType | str | None, task_mode: TaskMode | str | None
) -> SpeakRequest:
    fields: Mapping[str, Any] = {
        name: value for name, value in (("task_type", task_type), ("task_mode", task_mode)) if value is not None
    }
    if isinstance(text, SpeakRequest):
        return request_of(SpeakRequest, text, fields)
    return request_of(SpeakRequest, None, {"text": text, **fields})


def _is_sync(request: SpeakRequest) -> bool:
    return request.task_mode is TaskMode.SYNC
