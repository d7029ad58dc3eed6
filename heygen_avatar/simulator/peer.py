"""One client's media wires, server's end: the connection that carries to it and the one that carries from it.

LiveKit's older signalling (``/rtc``, "v0") has two: the *subscriber* connection, which the server offers, and the
*publisher* connection, which the client offers when it first publishes. Data packets travel on channels ``_reliable``
and ``_lossy`` of both. Nothing here parses a packet or knows a participant.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable, Collection
from typing import Any, cast

import aioice
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamTrack
from aiortc.sdp import SessionDescription

from .tracks import Feed, Outlet

RELIABLE, LOSSY = "_reliable", "_lossy"
H264_PROFILE = "42e01f"
QUEUED_PACKETS = 500
"""Data packets kept for a client whose channel is not open yet."""
BUFFERED_BYTES = 4 * 1024 * 1024
"""Bytes that may wait in a data channel before a client counts as stuck and packets to it are dropped."""

DataHandler = Callable[[bytes, bool], None]
"""Told each packet heard, and whether it came on the reliable channel."""

log = logging.getLogger(__name__)


class Subscriber:
    """The connection to a client: tracks it subscribes to and data packets. Never two offers in flight."""

    def __init__(
        self, *, send_offer: Callable[[str, int], None], on_ready: Callable[[], None], on_data: DataHandler
    ) -> None:
        self._send_offer = send_offer
        self._pc = _connection()
        self._lanes = {
            True: _Lane(self._pc.createDataChannel(RELIABLE, ordered=True), on_ready),
            False: _Lane(self._pc.createDataChannel(LOSSY, ordered=False, maxRetransmits=0)),
        }
        for reliable, lane in self._lanes.items():
            _listen(lane.channel, on_data, reliable=reliable)
        # The tracks to come share this transport; unless told so, aiortc closes it as superfluous once they do.
        cast(Any, self._pc.sctp)._bundled = True
        self._feeds: list[Feed] = []
        self._disabled: set[str] = set()
        self._sections: list[_Section] = []
        self._retired: list[_Section] = []
        self._offer_id = 0
        self._answer: asyncio.Future[str] | None = None
        self._changed = asyncio.Event()
        self._changed.set()
        self._work = asyncio.create_task(self._negotiate(), name="subscriber")

    def carry(self, feeds: Collection[Feed]) -> None:
        """These tracks and no others; negotiated when they differ from what is carried."""
        if list(feeds) == self._feeds:
            return
        self._feeds = list(feeds)
        for section in [section for section in self._sections if section.feed not in self._feeds]:
            section.retire()
            self._sections.remove(section)
            self._retired.append(section)
        self._changed.set()

    def disable(self, track_sid: str, *, disabled: bool) -> None:
        """Send nothing of a track for now, without negotiation."""
        (self._disabled.add if disabled else self._disabled.discard)(track_sid)
        for section in self._sections:
            if section.feed.sid == track_sid:
                section.outlet.disable(disabled=disabled)

    def send(self, packet: bytes, *, reliable: bool) -> None:
        self._lanes[reliable].send(packet)

    def answer(self, sdp: str, offer_id: int) -> None:
        """The client's answer; one to an earlier offer (after a resume) is ignored. Old clients send no id."""
        if self._answer and not self._answer.done() and offer_id in (0, self._offer_id):
            self._answer.set_result(sdp)

    def resend_offer(self) -> None:
        """The signal connection was replaced: an offer or its answer may have been lost with the old one."""
        if self._answer and not self._answer.done():
            self._send_offer(self._pc.localDescription.sdp, self._offer_id)

    @property
    def is_lost(self) -> bool:
        """Its network is gone, and comes back only with a new connection: aiortc cannot restart ICE."""
        return any(
            transport.state in ("failed", "closed")
            for transport in {section.sender.transport.transport for section in self._pc.getTransceivers()}
            | ({self._pc.sctp.transport.transport} if self._pc.sctp else set())
        )

    async def cut(self) -> None:
        """Take its network away."""
        await _cut(self._pc)

    async def close(self) -> None:
        await _end(self._work)
        for section in self._sections:
            section.outlet.unplug()
        await _close(self._pc)

    async def _negotiate(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            carried = [section.feed for section in self._sections]
            self._sections += [_Section(self._pc, feed) for feed in self._feeds if feed not in carried]
            try:
                await self._exchange()
            except Exception as error:  # whatever aiortc makes of an answer that a stranger wrote
                log.warning("the client's answer could not be used: %r", error)
                continue
            # aiortc starts no sender that is negotiated while its transport is still being connected.
            await _settled(self._pc)

    async def _exchange(self) -> None:
        offer = await self._pc.createOffer()
        _stay_on_loopback(self._pc)
        await self._pc.setLocalDescription(offer)
        self._offer_id += 1
        self._answer = asyncio.get_running_loop().create_future()
        self._send_offer(self._pc.localDescription.sdp, self._offer_id)
        sdp = await self._answer
        await self._pc.setRemoteDescription(RTCSessionDescription(_without_candidates(sdp), "answer"))
        for section in self._sections:
            if section.transceiver.currentDirection == "sendonly":
                section.outlet.disable(disabled=section.feed.sid in self._disabled)
                section.outlet.plug(section.feed)
        retired, self._retired = self._retired, []
        for section in retired:
            await section.transceiver.sender.stop()


class _Section:
    """One subscription of a track: a media section of the connection.

    It is used once: livekit 1.2.1 tells nobody of a track in a section that carried one before.
    """

    def __init__(self, pc: RTCPeerConnection, feed: Feed) -> None:
        self.feed = feed
        self.outlet = Outlet(feed.kind)
        self.transceiver = pc.addTransceiver(self.outlet, direction="sendonly")
        wanted = {f"{feed.kind}/{feed.codec}".lower(), f"{feed.kind}/rtx"}
        self.transceiver.setCodecPreferences(
            [
                codec
                for codec in RTCRtpSender.getCapabilities(feed.kind).codecs
                if codec.mimeType.lower() in wanted
                # Constrained baseline, the H.264 profile that every WebRTC client decodes (RFC 7742 §6.2).
                and codec.parameters.get("profile-level-id", H264_PROFILE) == H264_PROFILE
            ]
        )
        sender = cast(Any, self.transceiver.sender)
        # A LiveKit client reads from the stream id whose track it is (livekit-client: unpackStreamId).
        sender._stream_id = f"{feed.owner_sid}|{feed.sid}"
        sender._track_id = feed.sid
        # aiortc would ask its own encoder, which only packs what a feed has encoded.
        sender._send_keyframe = feed.request_keyframe

    def retire(self) -> None:
        """Send nothing any more, and carry no track's name: livekit 1.2.1 dies of a name that is there twice."""
        self.outlet.unplug()
        self.transceiver.direction = "inactive"
        sender = cast(Any, self.transceiver.sender)
        sender._stream_id, sender._track_id = "-", str(uuid.uuid4())


class Publisher:
    """The connection from a client: its microphone and its data packets. Offers are answered one after the other.

    A track is known by the id that the client gave it (LiveKit's "cid").
    """

    def __init__(
        self,
        *,
        send_answer: Callable[[str, int], None],
        on_track: Callable[[str, MediaStreamTrack], None],
        on_track_ended: Callable[[str], None],
        on_data: DataHandler,
    ) -> None:
        self._send_answer = send_answer
        self._on_track = on_track
        self._on_track_ended = on_track_ended
        self._pc = _connection()
        self._offers: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self._heard: dict[str, str] = {}
        self._work = asyncio.create_task(self._answer_offers(), name="publisher")

        @self._pc.on("datachannel")
        def hear(channel: RTCDataChannel) -> None:
            _listen(channel, on_data, reliable=channel.label == RELIABLE)

    def offer(self, sdp: str, offer_id: int) -> None:
        self._offers.put_nowait((sdp, offer_id))

    async def cut(self) -> None:
        """Take its network away."""
        await _cut(self._pc)

    async def close(self) -> None:
        await _end(self._work)
        await _close(self._pc)

    async def _answer_offers(self) -> None:
        while True:
            sdp, offer_id = await self._offers.get()
            try:
                await self._accept(sdp)
            except Exception as error:  # whatever aiortc makes of an offer that a stranger wrote
                log.warning("the client's offer could not be used: %r", error)
                continue
            self._send_answer(self._pc.localDescription.sdp, offer_id)
            # aiortc starts no receiver that is negotiated while its transport is still being connected.
            await _settled(self._pc)

    async def _accept(self, sdp: str) -> None:
        self._follow_ice_restart(sdp)
        await self._pc.setRemoteDescription(RTCSessionDescription(_without_candidates(sdp), "offer"))
        for section in self._pc.getTransceivers():
            # A camera is of no use to an avatar: decline it, or aiortc would decode it.
            section.direction = "recvonly" if section.kind == "audio" else "inactive"
        _stay_on_loopback(self._pc)
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        self._compare_tracks(sdp)

    def _compare_tracks(self, sdp: str) -> None:
        """Tell which audio tracks the offer adds and which it takes away."""
        ids = {media.rtp.muxId: (media.msid or "").split(" ")[-1] for media in SessionDescription.parse(sdp).media}
        for section in self._pc.getTransceivers():
            mid = section.mid or ""
            heard = section.kind == "audio" and section.currentDirection == "recvonly"
            if heard and mid not in self._heard:
                self._heard[mid] = ids[mid]
                self._on_track(ids[mid], section.receiver.track)
            elif not heard and (track_id := self._heard.pop(mid, None)):
                self._on_track_ended(track_id)

    def _follow_ice_restart(self, sdp: str) -> None:
        """Take over the client's new ICE credentials: it restarts ICE whenever it resumes, aiortc never does.

        Both sides change theirs (RFC 8445 §9); our sockets stay, so media flows on until the client has a new pair.
        """
        username, password = _sdp_value(sdp, "ice-ufrag"), _sdp_value(sdp, "ice-pwd")
        for connection in _ice_connections(self._pc):
            if connection.remote_username and username and username != connection.remote_username:
                fresh = aioice.Connection(ice_controlling=False)
                connection._local_username = fresh.local_username
                connection._local_password = fresh.local_password
                connection.remote_username = username
                connection.remote_password = password


class _Lane:
    """A data channel to a client that may be sent to before it is open."""

    def __init__(self, channel: RTCDataChannel, on_open: Callable[[], None] | None = None) -> None:
        self.channel = channel
        self._early: deque[bytes] = deque()
        self._on_open = on_open
        channel.on("open", self._open)

    def send(self, packet: bytes) -> None:
        if self.channel.readyState == "connecting":
            if len(self._early) < QUEUED_PACKETS:
                self._early.append(packet)
            else:
                log.warning("a data packet of %d bytes is dropped: the client opens no data channel", len(packet))
            return
        # The transport goes down before the channel knows; sending then fails in a task of aiortc's own.
        if self.channel.readyState != "open" or self.channel.transport.transport.state != "connected":
            return
        if self.channel.bufferedAmount > BUFFERED_BYTES:
            log.warning("a data packet of %d bytes is dropped: the client does not read", len(packet))
            return
        try:
            self.channel.send(packet)
        except ValueError as error:
            log.warning("a data packet is dropped: %s", error)

    def _open(self) -> None:
        early, self._early = self._early, deque()
        if self._on_open:
            self._on_open()
        for packet in early:
            self.send(packet)


def _connection() -> RTCPeerConnection:
    """Without servers, for aiortc's default asks one of Google's who we are; one transport for everything."""
    return RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))


def _listen(channel: RTCDataChannel, on_data: DataHandler, *, reliable: bool) -> None:
    @channel.on("message")
    def hear(message: bytes | str) -> None:
        on_data(message.encode() if isinstance(message, str) else message, reliable)


def _ice_connections(pc: RTCPeerConnection) -> list[aioice.Connection]:
    transports = [section.receiver.transport.transport for section in pc.getTransceivers()]
    if pc.sctp:
        transports.append(pc.sctp.transport.transport)
    return list({id(transport): transport._connection for transport in transports}.values())


def _stay_on_loopback(pc: RTCPeerConnection) -> None:
    """Gather 127.0.0.1 alone: aioice would bind every address but that one, and a machine may have no other."""
    for connection in _ice_connections(pc):
        gather = aioice.Connection.get_component_candidates.__get__(connection)

        async def gather_loopback(
            component: int, addresses: list[str], timeout: int = 5, gather: Any = gather
        ) -> list[aioice.Candidate]:
            return cast("list[aioice.Candidate]", await gather(component, ["127.0.0.1"], timeout))

        cast(Any, connection).get_component_candidates = gather_loopback


def _without_candidates(sdp: str) -> str:
    """What a client says of its own addresses is not needed: it calls us, and we answer to where it calls from.

    A browser's are mDNS names, which aioice would look up in the local network.
    """
    return "".join(
        line
        for line in sdp.splitlines(keepends=True)
        if not line.startswith(("a=candidate:", "a=end-of-candidates", "a=remote-candidates"))
    )


def _sdp_value(sdp: str, attribute: str) -> str | None:
    prefix = f"a={attribute}:"
    return next((line[len(prefix) :].strip() for line in sdp.splitlines() if line.startswith(prefix)), None)


async def _settled(pc: RTCPeerConnection) -> None:
    """Wait until a connection is no longer being made: it stands, has failed or was closed."""
    settled = asyncio.Event()

    def look() -> None:
        if pc.connectionState not in ("new", "connecting"):
            settled.set()

    pc.on("connectionstatechange", look)
    look()
    await settled.wait()
    pc.remove_listener("connectionstatechange", look)


async def _close(pc: RTCPeerConnection) -> None:
    """Close without noise: aiortc's own connecting task fails unheard if the transport goes away under it."""
    if pc.connectionState == "connecting":
        for connection in _ice_connections(pc):
            await connection.close()
        try:
            await asyncio.wait_for(_settled(pc), 1)
        except asyncio.TimeoutError:
            log.warning("a peer connection did not stop connecting")
    await pc.close()


async def _cut(pc: RTCPeerConnection) -> None:
    """Close the sockets under a connection; its ends are not told."""
    for connection in _ice_connections(pc):
        await connection.close()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
