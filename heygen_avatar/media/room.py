"""One session's LiveKit room, on the media loop: joins, sends and hears data, subscribes what somebody consumes.

Everything here runs on the media loop but ``attach``, ``detach`` and the properties. Knows nothing of HeyGen's
messages: payloads go in and out as bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from livekit import rtc
from livekit.rtc.participant import PublishDataError

from ..errors import (
    APIConnectionError,
    InvalidRequestError,
    SessionClosedError,
    SessionNotStartedError,
    SessionStartError,
    WaitTimeoutError,
)
from ..events import ConnectionQuality, DisconnectReason
from . import native_log
from .sinks import Sink
from .subscriptions import KINDS, Kind, Subscriptions
from .voice_track import VoiceTrack

__all__ = ["MAX_DATA_BYTES", "MediaRoom", "RoomListener"]

logger = logging.getLogger(__name__)

MAX_DATA_BYTES = 15 * 1024
"""Of one reliable data packet (docs.livekit.io/transport/data/packets)."""

ASK_AGAIN_AFTER = 0.5
"""Seconds before a subscription that brought no track is asked for again."""

LEAVE_TIMEOUT = 3.0
"""Seconds the native disconnect may take; on a half-open network it may take for ever."""

SEND_RETRY_WINDOW = 5.0
"""Seconds after connecting in which a packet may fail because the way up is not open yet, and is tried again."""

SEND_RETRY_AFTER = 0.3

_KINDS: dict[Kind, int] = {"video": rtc.TrackKind.KIND_VIDEO, "audio": rtc.TrackKind.KIND_AUDIO}

_QUALITIES = {
    rtc.ConnectionQuality.QUALITY_EXCELLENT: ConnectionQuality.GOOD,
    rtc.ConnectionQuality.QUALITY_GOOD: ConnectionQuality.GOOD,
    rtc.ConnectionQuality.QUALITY_POOR: ConnectionQuality.BAD,
    rtc.ConnectionQuality.QUALITY_LOST: ConnectionQuality.BAD,
}


class RoomListener(Protocol):
    """What a room tells. Called on the media loop; must not block."""

    def on_data(self, payload: bytes, topic: str, identity: str | None) -> None:
        """A data packet was heard; ``identity`` is None where a server sent it, not a participant."""

    def on_stream_ready(self) -> None:
        """The avatar has published a picture and a sound. Once."""

    def on_quality(self, quality: ConnectionQuality) -> None:
        """Our own connection got better or worse."""

    def on_reconnecting(self) -> None:
        """The connection is lost, and being made again."""

    def on_reconnected(self) -> None:
        """The connection is back."""

    def on_disconnected(self, reason: DisconnectReason) -> None:
        """The room is left for good. Once, last, and only if it was ever connected."""


_abandoned: set[asyncio.Task[None]] = set()
"""Goodbyes nobody answered: asyncio keeps no strong reference to a task."""


class MediaRoom:
    """A room, made on the media loop. ``connect`` once, ``disconnect`` when done."""

    def __init__(self, listener: RoomListener, *, avatar_identity: str = "heygen") -> None:
        native_log.quiet()
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._avatar_identity = avatar_identity
        self._room = rtc.Room()
        self._connected_at: float | None = None
        self._ready_at: float | None = None
        self._quality = ConnectionQuality.UNKNOWN
        self._leaving: asyncio.Task[None] | None = None
        self._ended = False
        self._subscriptions = Subscriptions(self._publication, self._since_ready)
        self._arrivals: set[asyncio.Event] = set()
        self._voices: set[VoiceTrack] = set()
        self._handlers = self._listen()

    # -- joining and leaving ------------------------------------------------------------------------------------------

    async def connect(self, url: str, token: str, *, attempt_timeout: float) -> None:
        """Join the room; each of livekit's four attempts may take ``attempt_timeout`` seconds.

        Never cancel this: a native connect goes on and, unanswered, ends in livekit ending the process (python-sdks
        #784). Run it as a task of its own; ``disconnect()`` makes it leave as soon as it has joined.

        Raises:
            SessionStartError: the server is not there, does not answer or refuses the token.
        """
        options = rtc.RoomOptions(auto_subscribe=False, connect_timeout=attempt_timeout)
        try:
            await self._room.connect(url, token, options)
        except rtc.ConnectError as error:
            self._finish()
            raise SessionStartError(_why(error.message, url, token)) from None
        except BaseException:
            self._finish()
            raise
        self._connected_at = time.monotonic()
        if self._leaving is not None:
            await self._leave()
            return
        self._review()

    @property
    def trouble(self) -> str:
        """What keeps ``connect`` from being done, in a few words as livekit last logged it; empty where it did not."""
        complaint = native_log.last_complaint()
        return _cause(complaint) or complaint

    async def disconnect(self) -> None:
        """Leave the room. Idempotent, takes ``LEAVE_TIMEOUT`` at most; while still connecting it returns at once."""
        if self._leaving is None:
            self._leaving = self._loop.create_task(self._leave())
        await asyncio.shield(self._leaving)

    @property
    def connected(self) -> bool:
        """Whether the room is joined and not left, also while it is reconnecting."""
        return self._connected_at is not None and not self._ended

    async def _leave(self) -> None:
        self._subscriptions.end()  # readers need not wait for a connect that will lead to nothing
        if not self.connected:
            return
        await self._subscriptions.closed()
        # Unpublished first: livekit 1.2.1 keeps the memory of a track whose room ends under it (rust-sdks #1443).
        for voice in list(self._voices):
            await self.take_voice_back(voice)
        goodbye = self._loop.create_task(self._room.disconnect())
        _, late = await asyncio.wait({goodbye}, timeout=LEAVE_TIMEOUT)
        if late:
            logger.warning("the room did not answer the goodbye within %g s and is left without it", LEAVE_TIMEOUT)
            _abandoned.add(goodbye)
            goodbye.add_done_callback(_abandoned.discard)
        self._end(DisconnectReason.CLIENT_INITIATED)

    def _end(self, reason: DisconnectReason) -> None:
        if self._ended:
            return
        self._finish()
        self._listener.on_disconnected(reason)

    def _finish(self) -> None:
        self._ended = True
        for voice in self._voices:
            voice.end()
        for name, handler in self._handlers.items():
            self._room.off(name, handler)
        self._subscriptions.end()
        for arrival in self._arrivals:
            arrival.set()

    # -- data ---------------------------------------------------------------------------------------------------------

    async def send_data(self, payload: bytes, topic: str = "") -> None:
        """Send a reliable packet to everyone in the room.

        Raises:
            InvalidRequestError: the payload is larger than ``MAX_DATA_BYTES``.
            SessionNotStartedError: the room is not joined yet.
            SessionClosedError: the room was left.
            APIConnectionError: the packet could not be sent; the session goes on.
        """
        if len(payload) > MAX_DATA_BYTES:
            raise InvalidRequestError(
                f"a message of {len(payload):,} bytes is too large: a packet takes {MAX_DATA_BYTES:,}; nothing was sent"
            )
        while True:
            joined_at = self._require_connected()
            early = time.monotonic() - joined_at < SEND_RETRY_WINDOW
            try:
                await self._room.local_participant.publish_data(payload, reliable=True, topic=topic)
                return
            except PublishDataError as error:
                self._require_connected()
                if not early:
                    # The session may well live on: whether its room comes back, the room's own events will tell.
                    message = f"the room did not take the message: {error.message}"
                    raise APIConnectionError(message, sent=False) from None
            # Just after joining the way up may not be open yet (client-sdk-android #721); what failed was not sent.
            await asyncio.sleep(SEND_RETRY_AFTER)

    def _require_connected(self) -> float:
        """When the room was joined."""
        if self._ended:
            raise SessionClosedError("the room was left", reason="left")
        if self._connected_at is None:
            raise SessionNotStartedError("the room is not joined yet")
        return self._connected_at

    # -- the user's voice ---------------------------------------------------------------------------------------------

    async def publish_voice(self) -> VoiceTrack:
        """Publish a track for the user's voice; give it to ``take_voice_back`` when done.

        Raises:
            SessionClosedError: the room was left.
            MediaError: the room does not take it.
        """
        self._require_connected()
        voice = VoiceTrack(self._room.local_participant)
        self._voices.add(voice)
        try:
            await voice.publish()
        except BaseException:
            await self.take_voice_back(voice)
            raise
        return voice

    async def take_voice_back(self, voice: VoiceTrack) -> None:
        """Unpublish the track. Bounded, idempotent."""
        self._voices.discard(voice)
        await voice.close()

    async def wait_for_participant(self, predicate: Callable[[str], bool], timeout: float) -> str:
        """The identity of the first participant that ``predicate`` says yes to, present or yet to come.

        Raises:
            SessionClosedError: the room was left meanwhile.
            WaitTimeoutError: nobody came within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        arrival = asyncio.Event()
        self._arrivals.add(arrival)
        try:
            while True:
                arrival.clear()
                self._require_connected()
                for identity in self._room.remote_participants:
                    if predicate(identity):
                        return identity
                try:
                    await asyncio.wait_for(arrival.wait(), deadline - time.monotonic())
                except asyncio.TimeoutError:
                    raise WaitTimeoutError(f"the participant did not join the room within {timeout:g} s") from None
        finally:
            self._arrivals.discard(arrival)

    # -- sinks --------------------------------------------------------------------------------------------------------

    def add_sink(self, sink: Sink) -> None:
        """Give ``sink`` the avatar's frames of its kind, from when they can be had until the room is left."""
        self._subscriptions.add(sink)
        self._review()

    def remove_sink(self, sink: Sink) -> None:
        """Give ``sink`` no more frames. After the last one of its kind, the track is not sent to us any more."""
        self._subscriptions.remove(sink)
        self._review()

    def attach(self, sink: Sink) -> None:
        """``add_sink`` from any thread."""
        try:
            self._loop.call_soon_threadsafe(self.add_sink, sink)
        except RuntimeError:  # the loop is closed: the process is ending
            sink.end()

    def detach(self, sink: Sink) -> None:
        """``remove_sink`` from any thread, also from a finalizer."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and everything with it
            self._loop.call_soon_threadsafe(self.remove_sink, sink)

    @property
    def alive(self) -> bool:
        """Whether the media loop runs; where it does not, nobody will be told anything any more."""
        return self._loop.is_running()

    @property
    def on_media_thread(self) -> bool:
        """Whether the caller is on the media loop."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _review(self) -> None:
        if not self.connected:
            return
        if self._ready_at is None:
            if any(self._publication(kind) is None for kind in KINDS):
                return
            self._ready_at = time.monotonic()
            self._listener.on_stream_ready()
        self._subscriptions.review()

    def _publication(self, kind: Kind) -> rtc.RemoteTrackPublication | None:
        avatar = self._room.remote_participants.get(self._avatar_identity)
        if avatar is None:
            return None
        of_kind = [each for each in avatar.track_publications.values() if each.kind == _KINDS[kind]]
        return of_kind[-1] if of_kind else None  # the newest, where an old one is not yet taken back

    def _since_ready(self, at: float) -> float:
        assert self._ready_at is not None
        return at - self._ready_at

    # -- what livekit tells -------------------------------------------------------------------------------------------

    def _listen(self) -> dict[Any, Callable[..., None]]:
        handlers: dict[Any, Callable[..., None]] = {
            "participant_connected": self._on_arrival,
            "participant_active": self._on_arrival,
            "participant_disconnected": self._on_change,
            "track_published": self._on_change,
            "track_unpublished": self._on_change,
            "track_subscribed": self._on_change,
            "track_unsubscribed": self._on_change,
            "track_subscription_failed": self._on_refused,
            "data_received": self._on_data,
            "connection_quality_changed": self._on_quality,
            "reconnecting": self._listener.on_reconnecting,
            "reconnected": self._on_reconnected,
            "disconnected": self._on_disconnected,
        }
        guarded = {name: _guarded(name, handler) for name, handler in handlers.items()}
        for name, handler in guarded.items():
            self._room.on(name, handler)
        return guarded

    def _on_arrival(self, *_: object) -> None:
        for arrival in self._arrivals:
            arrival.set()
        self._review()

    def _on_change(self, *_: object) -> None:
        self._review()

    def _on_refused(self, participant: rtc.RemoteParticipant, sid: str, error: str) -> None:
        logger.warning("the avatar's track %s could not be subscribed: %s; trying again", sid, error)
        self._ask_again()

    def _on_reconnected(self) -> None:
        self._ask_again()
        self._listener.on_reconnected()

    def _ask_again(self) -> None:
        self._subscriptions.ask_again()
        self._loop.call_later(ASK_AGAIN_AFTER, self._review)

    def _on_data(self, packet: rtc.DataPacket) -> None:
        identity = packet.participant.identity if packet.participant is not None else None
        self._listener.on_data(packet.data, packet.topic or "", identity)

    def _on_quality(self, participant: rtc.Participant | None, quality: rtc.ConnectionQuality) -> None:
        if participant is None or participant.identity != self._room.local_participant.identity:
            return
        ours = _QUALITIES.get(quality, ConnectionQuality.UNKNOWN)
        if ours is not self._quality:
            self._quality = ours
            self._listener.on_quality(ours)

    def _on_disconnected(self, reason: int) -> None:
        self._end(DisconnectReason(reason))


def _guarded(name: str, handler: Callable[..., None]) -> Callable[..., None]:
    # A TypeError escapes livekit's emitter and keeps the other handlers from being called; one of ours never shall.
    def call(*args: object) -> None:
        try:
            handler(*args)
        except Exception:
            logger.exception("hearing %s from the room failed", name)

    # livekit's emitter inspects each handler's signature at each event, which takes as long as reading a packet does;
    # one that is given is not inspected.
    call.__signature__ = _ANY_ARGUMENTS  # type: ignore[attr-defined]
    return call


_ANY_ARGUMENTS = inspect.Signature([inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)])


_CAUSES = (
    ("connection refused", "nothing listens there (connection refused)"),
    ("401", "it refused the access token (401): the token is wrong, expired, or of another server"),
    ("403", "it forbids this (403): the token does not allow to join this room"),
    ("404", "there is no LiveKit server at this address (404)"),
    ("lookup address", "its name is not known (DNS)"),
    ("timed out", "it did not answer in time"),
    ("relative url", "the address is not a ws:// or wss:// URL"),
)


def _why(native: str, url: str, token: str) -> str:
    """livekit's untyped words as a sentence; the token is taken out, a server may have echoed it."""
    host = url.split("?")[0]
    words = native_log.redacted(native, token)
    return f"the room at {host} is out of reach: {_cause(native) or 'it could not be joined'} (livekit: {words})"


def _cause(native: str) -> str:
    return next((text for key, text in _CAUSES if key in native.lower()), "")
