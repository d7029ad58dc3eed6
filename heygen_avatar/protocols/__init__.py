"""The wire formats, pure: what to send for a command, and what was heard in bytes.

No I/O, no thread, no clock. A protocol writes envelopes; whoever has the wires carries them. What comes in is read into
typed events by ``read_data`` and ``read_socket``: any bytes at all give an event, None, or :class:`WireError`.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

from ..events import Event
from ..models import Service, SpeakRequest, StartAvatarRequest, StartAvatarResponse, VoiceChatTransport

__all__ = ["DataMessage", "Envelope", "Protocol", "RestCall", "SocketMessage", "WireError"]


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
        auth: ``"token"`` for the session's bearer token, ``"key"`` for the account's API key.
        repeat: ``"safe"`` to send again after any passing failure; ``"unsent"`` only where the service certainly did
            not act on it.
    """

    name: str
    method: Literal["GET", "POST", "PATCH", "DELETE"] = "POST"
    path: str
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    params: Mapping[str, Any] | None = None
    auth: Literal["token", "key"] = "token"
    repeat: Literal["safe", "unsent"] = "safe"


@frozen(kw_only=True)
class DataMessage:
    """A reliable data packet in the session's room."""

    payload: bytes = field(repr=False)
    topic: str = ""


@frozen(kw_only=True)
class SocketMessage:
    """A message on the session's socket: bytes go as a binary frame, text as a text frame."""

    payload: bytes | str = field(repr=False)


Envelope = RestCall | DataMessage | SocketMessage


class Protocol(typing.Protocol):
    """What a service must be able to say and to understand."""

    service: Service
    avatar_identity: str

    def token(self, request: StartAvatarRequest) -> RestCall:
        """Fetch a fresh session token with the account's key."""

    def read_token(self, data: Any) -> str: ...

    def new_session(self, request: StartAvatarRequest) -> RestCall: ...

    def read_session(self, data: Any) -> StartAvatarResponse: ...

    def start(self, session: StartAvatarResponse) -> RestCall: ...

    def read_started(self, session: StartAvatarResponse, data: Any) -> StartAvatarResponse:
        """The session with what starting it added."""

    def stop(self, session_id: str) -> RestCall: ...

    def keep_alive(self, session_id: str) -> RestCall: ...

    def speak(self, session_id: str, request: SpeakRequest, transport: VoiceChatTransport) -> Envelope: ...

    def read_task(self, data: Any) -> tuple[str | None, float | None]:
        """Task id and duration in milliseconds from what a speak call answered."""

    def interrupt(self, session_id: str) -> Envelope: ...

    def start_listening(self, session_id: str) -> Envelope: ...

    def stop_listening(self, session_id: str) -> Envelope: ...

    def socket_url(
        self, base_path: str, session: StartAvatarResponse, request: StartAvatarRequest, token: str
    ) -> str | None:
        """The session's socket, or None where it has none. Holds the token: never show it."""

    def read_data(self, payload: bytes, topic: str, *, received_at: float) -> Event | None: ...

    def read_socket(self, message: bytes | str, *, received_at: float) -> Event | None: ...
