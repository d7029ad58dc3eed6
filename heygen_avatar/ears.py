"""What one session hears, on the media thread: read by its protocol, told to its speeches and its avatar's dispatcher.

It decides nothing: what an event means for the session's life is for the session to say.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from typing import Protocol as Interface

from .errors import HeyGenError
from .events import (
    ConnectionQuality,
    ConnectionQualityChanged,
    DisconnectReason,
    ErrorOccurred,
    Event,
    Reconnected,
    Reconnecting,
    SessionExpiring,
    SessionStopped,
)
from .protocols import Protocol, WireError

if TYPE_CHECKING:
    from .dispatch import Dispatcher
    from .speech import SpeechBook

__all__ = ["Ears", "Life"]

log = logging.getLogger("heygen_avatar.session")


class Life(Interface):
    """The session's life, as far as what is heard has a bearing on it. All but ``touch`` run on the media thread."""

    @property
    def session_id(self) -> str | None: ...

    @property
    def over(self) -> bool: ...

    @property
    def book(self) -> SpeechBook: ...

    def touch(self) -> None:
        """Something happened: the session is not idle."""

    def avatar_came(self) -> None:
        """The avatar is in the room with picture and sound."""

    def room_flows(self, flows: bool) -> None:
        """The room is connected again, or is being reconnected."""

    def room_lost(self, reason: DisconnectReason) -> None:
        """The room is left for good."""

    def ended_by_service(self, event: SessionStopped) -> None:
        """The service says that the session is over."""


class Ears:
    """A session's listener for its room (``RoomListener``) and its chat socket."""

    def __init__(self, life: Life, protocol: Protocol, dispatcher: Dispatcher) -> None:
        self.quality = ConnectionQuality.UNKNOWN
        self._life = life
        self._protocol = protocol
        self._dispatcher = weakref.ref(dispatcher)

    def publish(self, event: Event) -> None:
        """Tell of ``event``. Also called from other threads, for events of our own."""
        self._life.book.hear(event)
        dispatcher = self._dispatcher()
        if dispatcher is not None:
            dispatcher.publish(event)

    def trouble(self, error: HeyGenError) -> None:
        """Tell of an error that no call waits for, unless it is the session's end that brought it about."""
        if not self._life.over:
            self.publish(ErrorOccurred(error=error, received_at=time.time()))

    def expiring(self, seconds_left: float, reason: str) -> None:
        """Tell that the session's clock runs out."""
        self.publish(SessionExpiring(seconds_left=seconds_left, reason=reason, received_at=time.time()))

    # -- the room

    def on_data(self, payload: bytes, topic: str, identity: str | None) -> None:
        self._hear(lambda at: self._protocol.read_data(payload, topic, received_at=at), "data packet")

    def on_stream_ready(self) -> None:
        self._life.avatar_came()

    def on_quality(self, quality: ConnectionQuality) -> None:
        self.quality = quality
        self.publish(ConnectionQualityChanged(quality=quality, received_at=time.time()))

    def on_reconnecting(self) -> None:
        self._life.room_flows(False)
        self.publish(Reconnecting(channel="room", received_at=time.time()))

    def on_reconnected(self) -> None:
        self._life.room_flows(True)
        self.publish(Reconnected(channel="room", received_at=time.time()))

    def on_disconnected(self, reason: DisconnectReason) -> None:
        self._life.room_lost(reason)

    # -- the chat socket

    def hear_chat(self, message: bytes | str) -> None:
        self._hear(lambda at: self._protocol.read_socket(message, received_at=at), "socket message")

    def chat_lost(self) -> None:
        if not self._life.over:  # the service closes the socket of a session that was stopped
            self.publish(Reconnecting(channel="chat", received_at=time.time()))

    def chat_found(self) -> None:
        self.publish(Reconnected(channel="chat", received_at=time.time()))

    def _hear(self, read: Callable[[float], Iterable[Event]], what: str) -> None:
        try:
            events = read(time.time())
        except WireError as error:
            log.warning("session %s: a %s made no sense and was left out: %s", self._life.session_id, what, error)
            return
        for event in events:
            self._life.touch()
            self.publish(event)
            if isinstance(event, SessionStopped):
                self._life.ended_by_service(event)
