"""Rooms on the simulator's own port: a LiveKit server as far as a client of one avatar can tell.

An :class:`Sfu` checks tokens and leads clients to their rooms; an :class:`SfuRoom` is a :class:`~.stage.Stage` whose
cast (``cast.py``) and clients (``client.py``) it introduces to each other. Nothing here knows of avatars, tasks or
REST. Everything runs on one asyncio loop.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Literal

import av
import jwt
import numpy as np
from aiohttp import web
from livekit import api
from livekit.api.access_token import Claims
from livekit.protocol import models, rtc
from numpy.typing import NDArray

from .access import room_token
from .cast import Member, new_sid
from .client import Client, leave_request
from .signalling import Signal
from .stage import AVATAR_IDENTITY, StageListener, VideoFormat
from .tampering import Tampering
from .tracks import Feed

QUALITY_INTERVAL = 5.0
"""Seconds between two reports of connection quality."""

SPEAKER_INTERVAL = 0.3
"""Seconds over which loudness is judged to say who speaks."""

SPEAKER_LEVEL = 0.003
"""Loudness (RMS of full scale) above which a participant counts as speaking: -50 dB."""

log = logging.getLogger(__name__)


class Sfu:
    """All rooms of one simulator, on the aiohttp routes that LiveKit clients know."""

    def __init__(self, *, api_key: str, api_secret: str) -> None:
        self.base_url = ""
        """``ws://host:port``, set by the server once it listens."""
        self.on_client_ready: Callable[[], None] = lambda: None
        """Called when a client of any room hears data packets."""
        self._api_key = api_key
        self._api_secret = api_secret
        self._verifier = api.TokenVerifier(api_key, api_secret, leeway=datetime.timedelta(0))
        self._rooms: dict[str, SfuRoom] = {}
        self._expired: set[str] = set()

    def routes(self) -> list[web.RouteDef]:
        """What the server mounts. A client that finds no ``/rtc/v1`` falls back to two peer connections."""
        return [
            web.get("/rtc", self._connect),
            web.get("/rtc/validate", self._validate),
            web.get("/rtc/v1", _absent),
            web.get("/", _healthy),
        ]

    def create(self, room: str, listener: StageListener) -> SfuRoom:
        """Open a room; its name must be new."""
        if room in self._rooms:
            raise ValueError(f"room {room} exists already")
        self._rooms[room] = SfuRoom(self, room, listener)
        return self._rooms[room]

    async def close(self) -> None:
        """Delete every room. Idempotent."""
        await asyncio.gather(*(room.close() for room in list(self._rooms.values())))

    def sign(self, room: str, identity: str, *, ttl: float) -> str:
        """An access token to a room."""
        return room_token(api_key=self._api_key, api_secret=self._api_secret, room=room, identity=identity, ttl=ttl)

    def forget(self, room: str) -> None:
        self._rooms.pop(room, None)

    def room(self, name: str) -> SfuRoom | None:
        """The room of this name, while it is open."""
        return self._rooms.get(name)

    def expire(self, room: str) -> None:
        """The tokens to this room are good no more; who is in it stays."""
        self._expired.add(room)

    async def _validate(self, request: web.Request) -> web.Response:
        """What a client asks after a failed websocket, for a browser cannot read the handshake's status."""
        try:
            self._admit(request)
        except web.HTTPError as refusal:
            return web.Response(status=refusal.status, text=refusal.text, headers=_ANY_ORIGIN)
        return web.Response(text="success", headers=_ANY_ORIGIN)

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        room, claims = self._admit(request)
        signal = await Signal.accept(request)
        if request.query.get("reconnect") in ("1", "true"):
            await room.readmit(signal, claims, request.query.get("sid", ""))
        else:
            await room.admit(signal, claims, auto_subscribe=request.query.get("auto_subscribe", "1") in ("1", "true"))
        return signal.response

    def _admit(self, request: web.Request) -> tuple[SfuRoom, Claims]:
        """Whom the token names, and the room that it opens (livekit-server answers 401 and 404 likewise)."""
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        token = request.query.get("access_token") or bearer
        if not token:
            raise web.HTTPUnauthorized(text="no permissions to access the room: the access token is missing")
        try:
            claims = self._verifier.verify(token)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            raise web.HTTPUnauthorized(text=f"invalid token: {error}") from error
        if not (claims.video and claims.video.room_join and claims.video.room and claims.identity):
            raise web.HTTPUnauthorized(text="no permissions to access the room: the token lacks roomJoin, room or sub")
        if claims.video.room in self._expired:
            raise web.HTTPUnauthorized(text="invalid token: expired")
        room = self._rooms.get(claims.video.room)
        if room is None:
            raise web.HTTPNotFound(text=f"requested room does not exist: {claims.video.room}")
        return room, claims


class SfuRoom:
    """One room: a :class:`~.stage.Stage` for the cast, a LiveKit room for its clients."""

    def __init__(self, sfu: Sfu, name: str, listener: StageListener) -> None:
        self.name = name
        self._sfu = sfu
        self._listener = listener
        self._description = models.Room(sid=new_sid("RM"), name=name, creation_time=int(time.time()))
        self._cast: dict[str, Member] = {}
        self._clients: dict[str, Client] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._clocks = [asyncio.create_task(self._tell_speakers()), asyncio.create_task(self._tell_quality())]
        self._closed: asyncio.Task[None] | None = None
        self._last_way = ("", AVATAR_IDENTITY)
        self.tampering = Tampering()
        self._vanished = False

    # The stage

    @property
    def url(self) -> str:
        return self._sfu.base_url

    def token(self, identity: str, *, ttl: float = 86_400.0) -> str:
        return self._sfu.sign(self.name, identity, ttl=ttl)

    @property
    def clients(self) -> list[str]:
        """The identities of the clients in the room, also of those that cannot hear data packets yet."""
        return list(self._clients)

    @property
    def has_ready_client(self) -> bool:
        """Somebody is there who can hear data packets."""
        return any(client.ready for client in self._clients.values())

    @property
    def publishers(self) -> list[str]:
        """The identities of the cast who publish tracks."""
        return [identity for identity, member in self._cast.items() if member.feeds]

    async def enter(self, identity: str, *, video: VideoFormat | None = None, audio: bool = False) -> None:
        if identity in self._cast:
            raise ValueError(f"{identity} is on stage already")
        member = self._cast[identity] = Member(identity, video=video, audio=audio)
        self._tell(update=rtc.ParticipantUpdate(participants=[member.info]))
        self._offer_tracks()

    async def leave(self, identity: str) -> None:
        member = self._cast.pop(identity, None)
        if member is None:
            return
        self._offer_tracks()
        member.info.state = models.ParticipantInfo.DISCONNECTED
        member.info.version += 1
        self._tell(update=rtc.ParticipantUpdate(participants=[member.info]))
        await member.close()

    @property
    def video_wanted(self) -> bool:
        return any(feed.wanted for feed in self.feeds() if feed.kind == "video")

    def push_audio(self, samples: NDArray[np.int16]) -> None:
        for member in self._cast.values():
            if member.voice:
                member.voice.push(samples)

    def push_video(self, frame: av.VideoFrame) -> None:
        for member in self._cast.values():
            if member.picture:
                member.picture.push(frame)

    async def send_data(
        self, payload: bytes, *, topic: str = "", sender: str = AVATAR_IDENTITY, to: Sequence[str] = ()
    ) -> None:
        sid = self._cast[sender].info.sid if sender in self._cast else ""
        user = models.UserPacket(payload=payload, participant_sid=sid, participant_identity=sender)
        if topic:
            user.topic = topic
        packet = models.DataPacket(user=user, participant_sid=sid, participant_identity=sender)
        self._last_way = (topic, sender)
        for each in self.tampering.of(packet):
            self._pass_on(each, self._addressed(to), reliable=True)

    def remove(self, identity: str) -> None:
        if client := self._clients.get(identity):
            client.dismiss(models.PARTICIPANT_REMOVED)
            self.left(client)

    async def close(self) -> None:
        if not self._closed:
            self._closed = asyncio.create_task(self._close(), name=f"deleting room {self.name}")
        await asyncio.shield(self._closed)

    async def _close(self) -> None:
        self._sfu.forget(self.name)
        for clock in self._clocks:
            clock.cancel()
        for client in list(self._clients.values()):
            client.dismiss(models.ROOM_DELETED)
            self.left(client)
        for member in self._cast.values():
            await member.close()
        await asyncio.wait([*self._clocks, *self._tasks])

    # What may go wrong, on demand

    def drop_signal(self, identity: str) -> None:
        """Cut a client's websocket without a word: it resumes."""
        self._clients[identity].cut_signal()

    def demand_reconnect(self, identity: str) -> None:
        """Tell a client to come again from scratch (LeaveRequest action RECONNECT)."""
        self._clients[identity].dismiss(models.STATE_MISMATCH, rtc.LeaveRequest.RECONNECT)

    async def cut_ice(self, identity: str) -> None:
        """Take the network away under a client's peer connections, without a word."""
        await self._clients[identity].cut_ice()

    def supplant(self, identity: str) -> None:
        """Let a client go as if another of its identity had come."""
        self._clients[identity].dismiss(models.DUPLICATE_IDENTITY)
        self.left(self._clients[identity])

    async def interject(self, payload: bytes) -> None:
        """Send a data packet the way the cast sent its last."""
        topic, sender = self._last_way
        await self.send_data(payload, topic=topic, sender=sender)

    async def vanish(self) -> None:
        """From now on clients are told nothing more; they stay connected until the simulator ends."""
        self._vanished = True
        self.tampering.manner = "withheld"

    def pause_media(self, identity: str, *, kinds: Iterable[Literal["audio", "video"]], paused: bool) -> None:
        """Send nothing of a cast member's tracks while they stay published: a frozen picture, a silent voice."""
        for feed in self._cast[identity].feeds:
            if feed.kind in kinds:
                feed.pause(paused=paused)

    async def unpublish(self, identity: str, kind: Literal["audio", "video"]) -> None:
        """Take one of a cast member's tracks away."""
        feed = self._cast[identity].drop(kind)
        self._offer_tracks()
        self._tell(update=rtc.ParticipantUpdate(participants=[self._cast[identity].info]))
        await feed.close()

    def degrade(self, identity: str, quality: models.ConnectionQuality) -> None:
        """Tell a client, from the next report on, that its connection is this good."""
        self._clients[identity].quality = quality

    # Clients, as they come

    async def admit(self, signal: Signal, claims: Claims, *, auto_subscribe: bool) -> None:
        """A client joins; one of the same identity gives way to it."""
        if self._closed:  # while the websocket was being accepted
            await _turn_away(signal, models.ROOM_DELETED, rtc.LeaveRequest.DISCONNECT)
            return
        if former := self._clients.get(claims.identity):
            former.dismiss(models.DUPLICATE_IDENTITY)
            self.left(former)
        video = claims.video or api.VideoGrants()
        now = time.time()
        info = models.ParticipantInfo(
            sid=new_sid("PA"),
            identity=claims.identity,
            name=claims.name,
            metadata=claims.metadata,
            attributes=claims.attributes,
            state=models.ParticipantInfo.JOINED,
            joined_at=int(now),
            joined_at_ms=int(now * 1000),
            permission=models.ParticipantPermission(
                can_subscribe=video.can_subscribe,
                can_publish=video.can_publish,
                can_publish_data=video.can_publish_data,
            ),
        )
        client = self._clients[claims.identity] = Client(self, info, auto_subscribe=auto_subscribe)
        self.changed(client)
        await client.join(signal)

    async def readmit(self, signal: Signal, claims: Claims, sid: str) -> None:
        """A client resumes; one that cannot has to come again from scratch, as livekit-server says."""
        client = self._clients.get(claims.identity)
        if client and client.info.sid == sid and not client.is_lost:
            await client.resume(signal)
        else:
            await _turn_away(signal, models.STATE_MISMATCH, rtc.LeaveRequest.RECONNECT)

    # What a client needs of its room (client.ClientRoom)

    def feeds(self) -> list[Feed]:
        return [feed for member in self._cast.values() for feed in member.feeds]

    def describe(self) -> models.Room:
        self._description.num_participants = len(self._cast) + len(self._clients)
        return self._description

    def others(self, client: Client) -> list[models.ParticipantInfo]:
        cast = [member.info for member in self._cast.values()]
        return cast + [_seen_by_others(other.info) for other in self._clients.values() if other is not client]

    def became_ready(self, client: Client) -> None:
        self._listener.on_joined(client.info.identity)
        self._sfu.on_client_ready()

    def changed(self, client: Client) -> None:
        client.send(update=rtc.ParticipantUpdate(participants=[client.info]))
        self._tell(client, update=rtc.ParticipantUpdate(participants=[_seen_by_others(client.info)]))

    def left(self, client: Client) -> None:
        identity = client.info.identity
        if self._clients.get(identity) is not client:
            return
        del self._clients[identity]
        client.info.state = models.ParticipantInfo.DISCONNECTED
        client.info.version += 1
        self._tell(update=rtc.ParticipantUpdate(participants=[_seen_by_others(client.info)]))
        self._spawn(client.close())
        if client.ready:
            self._listener.on_left(identity)

    def heard_data(self, client: Client, packet: models.DataPacket, *, reliable: bool) -> None:
        """Pass a packet on under its sender's name; the cast hears it too unless it is addressed to others."""
        packet.participant_sid, packet.participant_identity = client.info.sid, client.info.identity
        to = list(packet.destination_identities)
        if packet.HasField("user"):
            user = packet.user
            user.participant_sid, user.participant_identity = client.info.sid, client.info.identity
            to += user.destination_identities
        self._pass_on(packet, [other for other in self._addressed(to) if other is not client], reliable=reliable)
        if packet.HasField("user") and (not to or self._cast.keys() & set(to)):
            self._listener.on_data(client.info.identity, packet.user.payload, packet.user.topic)

    def heard_microphone(self, client: Client, samples: NDArray[np.int16]) -> None:
        self._listener.on_microphone(client.info.identity, samples)

    def muted_microphone(self, client: Client, *, muted: bool) -> None:
        self._listener.on_microphone_muted(client.info.identity, muted)

    # Telling

    def _tell(self, but: Client | None = None, **message: Any) -> None:
        for client in () if self._vanished else self._clients.values():
            if client is not but:
                client.send(**message)

    def _addressed(self, identities: Iterable[str]) -> list[Client]:
        wanted = set(identities)
        return [client for identity, client in self._clients.items() if not wanted or identity in wanted]

    def _pass_on(self, packet: models.DataPacket, clients: Iterable[Client], *, reliable: bool) -> None:
        data = packet.SerializeToString()
        for client in clients:
            client.send_data(data, reliable=reliable)

    def _offer_tracks(self) -> None:
        for client in () if self._vanished else self._clients.values():
            client.offer_tracks()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_speakers(self) -> None:
        """Say who speaks while they do, and once when they stop."""
        speaking: set[str] = set()
        while True:
            await asyncio.sleep(SPEAKER_INTERVAL)
            levels = {m.info.sid: m.voice.loudness() for m in self._cast.values() if m.voice}
            active = {sid for sid, level in levels.items() if level >= SPEAKER_LEVEL}
            speakers = [
                models.SpeakerInfo(sid=sid, level=levels.get(sid, 0.0), active=sid in active)
                for sid in active | speaking
            ]
            speaking = active
            if speakers:
                self._tell(speakers_changed=rtc.SpeakersChanged(speakers=speakers))

    async def _tell_quality(self) -> None:
        while True:
            await asyncio.sleep(QUALITY_INTERVAL)
            for client in self._clients.values():
                client.send(connection_quality=self._qualities(client))

    def _qualities(self, client: Client) -> rtc.ConnectionQualityUpdate:
        sids = {member.info.sid: models.EXCELLENT for member in self._cast.values()}
        sids |= {other.info.sid: other.quality for other in self._clients.values()}
        return rtc.ConnectionQualityUpdate(
            updates=[
                rtc.ConnectionQualityInfo(participant_sid=sid, quality=quality, score=_SCORES[quality])
                for sid, quality in sids.items()
            ]
        )


def _seen_by_others(info: models.ParticipantInfo) -> models.ParticipantInfo:
    """A client without its tracks: they go to the avatar, who hears them, and to nobody else."""
    seen = models.ParticipantInfo()
    seen.CopyFrom(info)
    del seen.tracks[:]
    return seen


async def _turn_away(signal: Signal, reason: models.DisconnectReason, action: rtc.LeaveRequest.Action) -> None:
    signal.send(leave=leave_request(reason, action))
    await signal.close()


async def _healthy(request: web.Request) -> web.Response:
    """What livekit-server answers here; livekit-client asks, to have a connection open before it needs one."""
    return web.Response(text="OK", headers=_ANY_ORIGIN)


async def _absent(request: web.Request) -> web.Response:
    return web.Response(status=404, text="404 page not found", headers=_ANY_ORIGIN)


_ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}
_SCORES = {models.EXCELLENT: 5.0, models.GOOD: 3.5, models.POOR: 2.0, models.LOST: 0.0}
