"""One client of a room: its participant, what it asks of the room and what it is told.

A client outlives its signal websocket by a grace time in which it may resume, and its two peer connections with it.
Which other participants there are and what becomes of its packets is the room's affair.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from aiortc.mediastreams import MediaStreamTrack
from google.protobuf.message import DecodeError
from livekit.protocol import models, rtc
from numpy.typing import NDArray

from .cast import new_sid
from .microphone import Microphone
from .peer import Publisher, Subscriber
from .signalling import PING_INTERVAL, PING_TIMEOUT, Signal
from .tracks import Feed

RESUME_GRACE = 10.0
"""Seconds a client without a websocket stays in the room, so that it may resume."""

SERVER = models.ServerInfo(version="1.8.0", protocol=15)
"""What the wire says we are: a livekit-server from before single peer connections (1.9.2)."""

log = logging.getLogger(__name__)


class ClientRoom(Protocol):
    """What a client needs of the room it is in."""

    def feeds(self) -> Sequence[Feed]:
        """The tracks there are to subscribe to."""

    def describe(self) -> models.Room: ...

    def others(self, client: Client) -> list[models.ParticipantInfo]: ...

    def became_ready(self, client: Client) -> None:
        """Data packets reach the client from now on."""

    def changed(self, client: Client) -> None:
        """The client's participant looks different to the others."""

    def left(self, client: Client) -> None:
        """The client is gone for good, by its own wish or because it stayed away."""

    def heard_data(self, client: Client, packet: models.DataPacket, *, reliable: bool) -> None: ...

    def heard_microphone(self, client: Client, samples: NDArray[np.int16]) -> None: ...

    def muted_microphone(self, client: Client, *, muted: bool) -> None: ...


class Client:
    """A participant on the network's side of the room."""

    def __init__(self, room: ClientRoom, info: models.ParticipantInfo, *, auto_subscribe: bool) -> None:
        self.info = info
        self.ready = False
        self.quality = models.EXCELLENT
        """What the client is told of its own connection; fault injection worsens it."""
        self._room = room
        self._auto_subscribe = auto_subscribe
        self._asked: dict[str, bool] = {}
        self._announced: dict[str, models.TrackInfo] = {}
        self._microphones: dict[str, Microphone] = {}
        self._last_sequence = 0
        self._signal: Signal | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._publisher = Publisher(
            send_answer=lambda sdp, id_: self.send(answer=rtc.SessionDescription(type="answer", sdp=sdp, id=id_)),
            on_track=self._track_began,
            on_track_ended=self._track_ended,
            on_data=self._packet_arrived,
        )
        self._subscriber = Subscriber(
            send_offer=lambda sdp, id_: self.send(offer=rtc.SessionDescription(type="offer", sdp=sdp, id=id_)),
            on_ready=self._became_ready,
            on_data=self._packet_arrived,
        )

    # What the room does

    async def join(self, signal: Signal) -> None:
        """Greet the client and serve it until its websocket ends."""
        self._signal = signal
        self.send(
            join=rtc.JoinResponse(
                room=self._room.describe(),
                participant=self.info,
                other_participants=self._room.others(self),
                server_version=SERVER.version,
                server_info=SERVER,
                subscriber_primary=True,
                ping_interval=PING_INTERVAL,
                ping_timeout=PING_TIMEOUT,
                enabled_publish_codecs=[models.Codec(mime="audio/opus")],
            )
        )
        self.offer_tracks()
        await self._serve(signal)

    async def resume(self, signal: Signal) -> None:
        """Serve the same client on a new websocket: its peer connections stand, its view of the room is made whole."""
        if self._grace:
            self._grace.cancel()
        if self._signal:
            self._signal.cut()
        self._signal = signal
        self.send(reconnect=rtc.ReconnectResponse(server_info=SERVER, last_message_seq=self._last_sequence))
        self.send(update=rtc.ParticipantUpdate(participants=[self.info, *self._room.others(self)]))
        self._subscriber.resend_offer()
        await self._serve(signal)

    def send(self, **message: Any) -> None:
        """Signal something; lost while the client has no websocket, since resuming tells the whole state."""
        if self._signal:
            self._signal.send(**message)

    def send_data(self, packet: bytes, *, reliable: bool) -> None:
        """Send a data packet; kept back until the client can hear it."""
        self._subscriber.send(packet, reliable=reliable)

    def offer_tracks(self) -> None:
        """Carry those of the room's tracks that the client subscribes to."""
        self._subscriber.carry(
            [feed for feed in self._room.feeds() if self._asked.get(feed.sid, self._auto_subscribe)],
        )

    def dismiss(
        self,
        reason: models.DisconnectReason,
        action: rtc.LeaveRequest.Action = rtc.LeaveRequest.DISCONNECT,
    ) -> None:
        """Tell the client to leave and why, or to come again."""
        self.send(leave=leave_request(reason, action))

    def cut_signal(self) -> None:
        """Drop the websocket without a word."""
        if self._signal:
            self._signal.cut()

    @property
    def is_lost(self) -> bool:
        """No media will reach it any more on the connections it has."""
        return self._subscriber.is_lost

    async def cut_ice(self) -> None:
        """Take the network away under both peer connections."""
        await self._publisher.cut()
        await self._subscriber.cut()

    async def close(self) -> None:
        """Let go of all that is the client's, once what was queued for it is sent. Idempotent."""
        if not self._closing:
            self._closing = asyncio.create_task(self._close(), name=f"closing of {self.info.identity}")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._grace:
            self._grace.cancel()
        if self._signal:
            await self._signal.close()
        for microphone in self._microphones.values():
            await microphone.close()
        await self._publisher.close()
        await self._subscriber.close()

    async def _serve(self, signal: Signal) -> None:
        try:
            async for request in signal.requests():
                self._obey(request)
        finally:
            if self._signal is signal and not self._closing:
                self._signal = None
                self._grace = asyncio.get_running_loop().call_later(RESUME_GRACE, self._room.left, self)
            await signal.close()

    # What the client asks

    def _obey(self, request: rtc.SignalRequest) -> None:
        match request.WhichOneof("message"):
            case "offer":
                self._publisher.offer(request.offer.sdp, request.offer.id)
            case "answer":
                self._subscriber.answer(request.answer.sdp, request.answer.id)
            case "add_track":
                self._announce(request.add_track)
            case "mute":
                self._mute(request.mute.sid, muted=request.mute.muted)
            case "subscription":
                self._subscribe(request.subscription)
            case "sync_state":
                self._subscribe(request.sync_state.subscription)
                self._disable(request.sync_state.track_sids_disabled, disabled=True)
            case "track_setting":
                self._disable(request.track_setting.track_sids, disabled=request.track_setting.disabled)
            case "ping":
                self.send(pong=_milliseconds())
            case "ping_req":
                self.send(pong_resp=rtc.Pong(last_ping_timestamp=request.ping_req.timestamp, timestamp=_milliseconds()))
            case "leave":
                self._room.left(self)
            case "trickle":
                pass  # The client finds us; see peer.py for why its own addresses do not matter.
            case other:
                log.debug("%s asks %s, which is ignored", self.info.identity, other)

    def _subscribe(self, wish: rtc.UpdateSubscription) -> None:
        sids = [*wish.track_sids, *(sid for tracks in wish.participant_tracks for sid in tracks.track_sids)]
        self._asked.update(dict.fromkeys(sids, wish.subscribe))
        self.offer_tracks()

    def _disable(self, sids: Sequence[str], *, disabled: bool) -> None:
        for sid in sids:
            self._subscriber.disable(sid, disabled=disabled)

    def _announce(self, wish: rtc.AddTrackRequest) -> None:
        """A track that the client is about to offer: it waits for our id of it first."""
        info = models.TrackInfo(
            sid=new_sid("TR"),
            type=wish.type,
            name=wish.name,
            source=wish.source,
            muted=wish.muted,
            stereo=wish.stereo,
            disable_dtx=wish.disable_dtx,
            width=wish.width,
            height=wish.height,
            mime_type="audio/opus" if wish.type == models.AUDIO else "",
        )
        self._announced[wish.cid] = info
        self.send(track_published=rtc.TrackPublishedResponse(cid=wish.cid, track=info))

    def _mute(self, sid: str, *, muted: bool) -> None:
        for info in self._announced.values():
            if info.sid == sid and info.muted != muted:
                info.muted = muted
                self._list_tracks()
                if sid in self._microphones:
                    self._microphones[sid].muted = muted
                    self._room.muted_microphone(self, muted=muted)

    # What its peer connections bring

    def _became_ready(self) -> None:
        if self.ready:
            return
        self.ready = True
        self.info.state = models.ParticipantInfo.ACTIVE
        self._changed()
        self._room.became_ready(self)

    def _track_began(self, cid: str, track: MediaStreamTrack) -> None:
        info = self._announced.get(cid)
        if info is None:
            log.warning("%s sends a track %s that it never announced", self.info.identity, cid)
            return
        self._microphones[info.sid] = Microphone(
            track, lambda samples: self._room.heard_microphone(self, samples), muted=info.muted
        )
        self._list_tracks()
        # The cast listens to every microphone; livekit-server tells a publisher of its first subscriber.
        self.send(track_subscribed=rtc.TrackSubscribed(track_sid=info.sid))

    def _track_ended(self, cid: str) -> None:
        info = self._announced.pop(cid, None)
        if info and (microphone := self._microphones.pop(info.sid, None)):
            microphone.stop()
            self._list_tracks()
            self._room.muted_microphone(self, muted=True)

    def _packet_arrived(self, data: bytes, reliable: bool) -> None:
        try:
            packet = models.DataPacket.FromString(data)
        except DecodeError:
            log.warning("a data packet of %s is ignored, it is no DataPacket: %.80r", self.info.identity, data)
            return
        # A client that resumes sends again what may have been lost, numbered (livekit_models.proto: sequence).
        if reliable and packet.sequence:
            if packet.sequence <= self._last_sequence:
                return
            self._last_sequence = packet.sequence
        self._room.heard_data(self, packet, reliable=reliable)

    def _list_tracks(self) -> None:
        del self.info.tracks[:]
        self.info.tracks.extend(info for info in self._announced.values() if info.sid in self._microphones)
        self.info.is_publisher = bool(self.info.tracks)
        self._changed()

    def _changed(self) -> None:
        self.info.version += 1
        self._room.changed(self)


def leave_request(reason: models.DisconnectReason, action: rtc.LeaveRequest.Action) -> rtc.LeaveRequest:
    """How a client is told to go; older ones look at can_reconnect."""
    return rtc.LeaveRequest(reason=reason, action=action, can_reconnect=action != rtc.LeaveRequest.DISCONNECT)


def _milliseconds() -> int:
    return int(time.time() * 1000)
