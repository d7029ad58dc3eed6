"""The wire formats, pure: what to send for a command, and what was heard in bytes.

No I/O, no thread, no clock. A protocol writes envelopes; whoever has the wires carries them. What comes in is read into
typed events by ``read_data`` and ``read_socket``: any bytes at all give events, none, or :class:`WireError`. A protocol
belongs to one session and may remember what it has written and heard; it is told of one message at a time.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import field, frozen

from ..events import Event
from ..models import Service, SpeakRequest, StartAvatarRequest, StartAvatarResponse, VoiceChatTransport

__all__ = ["DataMessage", "Envelope", "Lifetime", "Protocol", "RestCall", "SocketMessage", "WireError"]


class WireError(ValueError):
    """What was heard makes no sense."""


@frozen(kw_only=True)
class RestCall:
    """An HTTP request.

    Attributes:
        name: what to call it in messages, such as ``streaming.new``.
        path: below the base path, with a leading slash.
        body: the JSON object to send, or None.
        params: the query.
        auth: ``"token"`` for the session's bearer token, ``"key"`` for the account's API key, ``"either"`` for the
            token and, where that is refused, the key: a token lives shorter (an hour was seen) than a session may.
        repeat: ``"safe"`` to send again after any passing failure; ``"unsent"`` only where the service certainly did
            not act on it.
    """

    name: str
    method: Literal["GET", "POST", "PATCH", "DELETE"] = "POST"
    path: str
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    params: Mapping[str, Any] | None = None
    auth: Literal["token", "key", "either"] = "token"
    repeat: Literal["safe", "unsent"] = "safe"


@frozen(kw_only=True)
class DataMessage:
    """A reliable data packet in the session's room.

    Attributes:
        task_id: the id of the spoken task in it, where the sender chooses that.
    """

    payload: bytes = field(repr=False)
    topic: str = ""
    task_id: str | None = None


@frozen(kw_only=True)
class SocketMessage:
    """A message on the session's socket: bytes go as a binary frame, text as a text frame."""

    payload: bytes | str = field(repr=False)


Envelope = RestCall | DataMessage | SocketMessage


@frozen(kw_only=True)
class Lifetime:
    """How long a session lives, in seconds, where the service may end it without a word; None where it tells.

    Attributes:
        duration: from its start on, whatever happens.
        idle: from the last activity on.
        certain: whether it is over then; else the service is asked.
    """

    duration: float | None = None
    idle: float | None = None
    certain: bool = True


@frozen(kw_only=True)
class ListedSession:
    """A session in the account's list of those that are open. ``is_new``: nobody has started it."""

    session_id: str
    created_at: float | None
    is_new: bool


class Protocol(typing.Protocol):
    """What a service must be able to say and to understand."""

    @property
    def service(self) -> Service: ...

    @property
    def avatar_identity(self) -> str:
        """The participant whose tracks are the avatar's picture and sound."""

    def token(self, request: StartAvatarRequest) -> RestCall | None:
        """Fetch a fresh session token with the account's key; None where creating the session gives it."""

    def read_token(self, data: Any) -> str: ...

    def prerequisite(self, request: StartAvatarRequest) -> RestCall | None:
        """What must be made before the session, for it alone."""

    def read_prerequisite(self, request: StartAvatarRequest, data: Any) -> tuple[StartAvatarRequest, RestCall]:
        """The request that makes use of it, and the call that removes it after the session."""

    def new_session(self, request: StartAvatarRequest) -> RestCall: ...

    def read_session(self, data: Any) -> StartAvatarResponse: ...

    def session_of_token(self, token: str) -> StartAvatarResponse | None:
        """The session that a token is already the token of; None where one has yet to be created with it."""

    def start(self, session: StartAvatarResponse) -> RestCall | None:
        """None where somebody else has started it."""

    def read_started(self, session: StartAvatarResponse, data: Any) -> StartAvatarResponse:
        """The session with what starting it added."""

    def companions(self, session_id: str) -> tuple[str, ...]:
        """Who else must be in the room before the session obeys."""

    def lifetime(self, session: StartAvatarResponse) -> Lifetime: ...

    def list_sessions(self) -> RestCall | None:
        """Ask for the account's open sessions; None where a session whose create call had no reply costs nothing."""

    def read_sessions(self, data: Any) -> tuple[ListedSession, ...]: ...

    def stop(self, session_id: str, *, reason: str = "USER_CLOSED") -> RestCall:
        """End the session. ``reason`` is for services that ask for one."""

    def keep_alive(self, session_id: str) -> RestCall | SocketMessage: ...

    def speak(self, session_id: str, request: SpeakRequest, transport: VoiceChatTransport) -> Envelope: ...

    def read_task(self, data: Any) -> tuple[str | None, float | None]:
        """Task id and duration in milliseconds from what a speak call answered."""

    def interrupt(self, session_id: str) -> Envelope: ...

    def start_listening(self, session_id: str) -> Envelope: ...

    def stop_listening(self, session_id: str) -> Envelope: ...

    def push_to_talk(self, *, held: bool) -> Envelope:
        """The button is held down, or let go."""

    def socket_url(
        self, base_path: str, session: StartAvatarResponse, request: StartAvatarRequest, token: str
    ) -> str | None:
        """The session's socket, or None where it has none. Holds the token: never show it."""

    @property
    def greeting(self) -> Callable[[bytes | str], bool] | None:
        """Tells the message by which the socket's other end says that it listens; None where it always does."""

    def read_data(self, payload: bytes, topic: str, *, received_at: float) -> tuple[Event, ...]: ...

    def read_socket(self, message: bytes | str, *, received_at: float) -> tuple[Event, ...]: ...
