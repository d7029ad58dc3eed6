"""A hall for the tests of the SFU: a server with one room, a listener on its stage, guests who come over the network.

Guests are real LiveKit clients, but for :class:`StrangeGuest`, who speaks the wire by hand to say what no client would.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, cast

import aiohttp
import av
import numpy as np
from aiohttp import web
from aiortc import RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from attrs import define, field
from livekit import rtc
from livekit.protocol import rtc as wire
from numpy.typing import NDArray

from heygen_avatar.simulator.sfu import Sfu, SfuRoom
from heygen_avatar.simulator.stage import BLOCK_SAMPLES, SAMPLE_RATE, VideoFormat

SMALL = VideoFormat(width=320, height=180, bitrate=400_000, fps=25, codec="H264")
NOTED: tuple[rtc.room.EventTypes, ...] = (
    "participant_connected",
    "participant_disconnected",
    "track_published",
    "track_unpublished",
    "reconnecting",
    "reconnected",
    "disconnected",
    "connection_quality_changed",
    "active_speakers_changed",
)
RED, BLUE = (200, 30, 30), (30, 30, 200)
SECRET = "a secret of more than thirty-two bytes"


def on_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a coroutine test on a loop of its own."""

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        asyncio.run(cast("Coroutine[None, None, None]", test(*args, **kwargs)))

    return run


class Watch:
    """Events as they come, and a way to wait for what they lead to."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self._changed = asyncio.Event()

    def add(self, *event: Any) -> None:
        self.events.append(event)
        self._changed.set()

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [event[1:] for event in self.events if event[0] == kind]

    async def until(self, reached: Callable[[], Any], *, timeout: float = 15) -> None:
        """Wait until a condition over what was seen holds."""
        deadline = time.monotonic() + timeout
        while not reached():
            self._changed.clear()
            left = deadline - time.monotonic()
            try:
                await asyncio.wait_for(self._changed.wait(), max(left, 0))
            except asyncio.TimeoutError:
                raise AssertionError(f"not reached in {timeout} s; seen: {self.kinds()}") from None

    async def have(self, kind: str, *, count: int = 1, timeout: float = 15) -> list[tuple[Any, ...]]:
        await self.until(lambda: len(self.of(kind)) >= count, timeout=timeout)
        return self.of(kind)

    def kinds(self) -> list[str]:
        return [str(event[0]) for event in self.events]


class Listener(Watch):
    """What the stage tells the performer."""

    def on_joined(self, identity: str) -> None:
        self.add("joined", identity)

    def on_left(self, identity: str) -> None:
        self.add("left", identity)

    def on_data(self, identity: str, payload: bytes, topic: str) -> None:
        self.add("data", identity, payload, topic)

    def on_microphone(self, identity: str, samples: NDArray[np.int16]) -> None:
        self.add("microphone", identity, samples)

    def on_microphone_muted(self, identity: str, muted: bool) -> None:
        self.add("muted", identity, muted)

    def heard(self) -> NDArray[np.int16]:
        """All of the microphones, one after the other."""
        pieces = [samples for _, samples in self.of("microphone")]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


@define(kw_only=True)
class Hall:
    sfu: Sfu
    room: SfuRoom
    listener: Listener
    http: str
    """``http://host:port`` of the server."""
    _guests: contextlib.AsyncExitStack = field(factory=contextlib.AsyncExitStack)

    async def invite(self, identity: str = "client", *, auto_subscribe: bool = True) -> Guest:
        """A LiveKit client in the room, who hears data packets already."""
        guest = Guest()
        joined = len(self.listener.of("joined"))
        await guest.enter(self.room.url, self.room.token(identity), auto_subscribe=auto_subscribe)
        self._guests.push_async_callback(guest.leave)
        await self.listener.have("joined", count=joined + 1)
        return guest

    async def invite_stranger(self, identity: str = "stranger", *, query: str = "") -> StrangeGuest:
        url = f"{self.room.url}/rtc?access_token={self.room.token(identity)}{query}"
        return await self._guests.enter_async_context(StrangeGuest(url))


@contextlib.asynccontextmanager
async def open_hall(*, avatar: VideoFormat | None = SMALL) -> AsyncIterator[Hall]:
    """A server with a room, in it the avatar if it has a picture; in the end everyone goes home."""
    sfu = Sfu(api_key="key", api_secret=SECRET)
    app = web.Application()
    app.add_routes(sfu.routes())
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    sfu.base_url = f"ws://127.0.0.1:{port}"
    listener = Listener()
    hall = Hall(sfu=sfu, room=sfu.create("room", listener), listener=listener, http=f"http://127.0.0.1:{port}")
    if avatar:
        await hall.room.enter("heygen", video=avatar, audio=True)
    try:
        yield hall
    finally:
        await hall._guests.aclose()
        await sfu.close()
        await runner.cleanup()


class Guest(Watch):
    """A LiveKit client and all it sees and hears."""

    def __init__(self) -> None:
        super().__init__()
        self.room = rtc.Room()
        self.sound: list[NDArray[np.int16]] = []
        self._readers: dict[str, asyncio.Task[None]] = {}
        for name in [
            "participant_connected",
            "participant_disconnected",
            "track_published",
            "track_unpublished",
            "reconnecting",
            "reconnected",
            "disconnected",
            "connection_quality_changed",
            "active_speakers_changed",
        ]:
            self.room.on(name, self._noting(name))
        self.room.on("track_subscribed", self._subscribed)
        self.room.on("track_unsubscribed", self._unsubscribed)
        self.room.on("data_received", self._data)

    async def enter(self, url: str, token: str, *, auto_subscribe: bool = True) -> None:
        await self.room.connect(url, token, rtc.RoomOptions(auto_subscribe=auto_subscribe))

    async def leave(self) -> None:
        await self.room.disconnect()
        for reader in self._readers.values():
            reader.cancel()
        await asyncio.gather(*self._readers.values(), return_exceptions=True)

    def publication(self, kind: str, identity: str = "heygen") -> rtc.RemoteTrackPublication:
        wanted = rtc.TrackKind.KIND_VIDEO if kind == "video" else rtc.TrackKind.KIND_AUDIO
        tracks = self.room.remote_participants[identity].track_publications.values()
        return next(publication for publication in tracks if publication.kind == wanted)

    async def speak(self, track_name: str = "mic") -> tuple[rtc.AudioSource, rtc.LocalAudioTrack]:
        """Publish a microphone track."""
        source = rtc.AudioSource(16_000, 1)
        track = rtc.LocalAudioTrack.create_audio_track(track_name, source)
        await self.room.local_participant.publish_track(
            track, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        )
        return source, track

    def heard(self) -> NDArray[np.int16]:
        return np.concatenate(self.sound) if self.sound else np.zeros(0, np.int16)

    def _noting(self, name: str) -> Callable[..., None]:
        def note(*values: Any) -> None:
            self.add(name, *values)

        return note

    def _data(self, packet: rtc.DataPacket) -> None:
        self.add("data", packet.data, packet.topic, packet.participant.identity if packet.participant else None)

    def _subscribed(self, track: rtc.Track, publication: rtc.TrackPublication, participant: rtc.Participant) -> None:
        read = self._watch if track.kind == rtc.TrackKind.KIND_VIDEO else self._hear
        self._readers[publication.sid] = asyncio.ensure_future(read(track))
        self.add("track_subscribed", publication, participant)

    def _unsubscribed(self, track: rtc.Track, publication: rtc.TrackPublication, participant: rtc.Participant) -> None:
        self._readers[publication.sid].cancel()
        self.add("track_unsubscribed", publication, participant)

    async def _watch(self, track: rtc.Track) -> None:
        stream = rtc.VideoStream(track, format=rtc.VideoBufferType.RGB24, capacity=1)
        try:
            async for event in stream:
                frame = event.frame
                self.add("frame", np.frombuffer(frame.data, np.uint8).reshape(frame.height, frame.width, 3))
        finally:
            await stream.aclose()

    async def _hear(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track)
        try:
            async for event in stream:
                self.sound.append(np.frombuffer(event.frame.data, np.int16).copy())
                self.add("sound", self.sound[-1])
        finally:
            await stream.aclose()


class StrangeGuest(Watch):
    """The signal websocket by hand: sends what it is told to, notes every response under its name."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    async def __aenter__(self) -> StrangeGuest:
        self._session = aiohttp.ClientSession()
        self.socket = await self._session.ws_connect(self._url)
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()
        await self._reader
        await self._session.close()

    async def connect(self) -> None:
        """Answer the server's first offer, and offer it a connection of our own with a data channel."""
        self.subscriber, self.publisher = RTCPeerConnection(), RTCPeerConnection()
        self.channels: dict[str, RTCDataChannel] = {}
        for pc in (self.subscriber, self.publisher):
            pc.on("track", lambda track: self.add("track", track))
            pc.on("datachannel", lambda channel: self.channels.__setitem__(channel.label, channel))
        offer = (await self.have("offer"))[0][0]
        await self.subscriber.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        await self.subscriber.setLocalDescription(await self.subscriber.createAnswer())
        await self.ask(answer=wire.SessionDescription(type="answer", sdp=self.subscriber.localDescription.sdp))
        channel = self.publisher.createDataChannel("_reliable")
        channel.on("open", lambda: self.add("open", channel))
        await self.publisher.setLocalDescription(await self.publisher.createOffer())
        await self.ask(offer=wire.SessionDescription(type="offer", sdp=self.publisher.localDescription.sdp))
        answer = (await self.have("answer"))[0][0]
        await self.publisher.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))
        await self.have("open")

    async def disconnect(self) -> None:
        await self.subscriber.close()
        await self.publisher.close()

    async def ask(self, **request: Any) -> None:
        await self.socket.send_bytes(wire.SignalRequest(**request).SerializeToString())

    async def _read(self) -> None:
        async for message in self.socket:
            response = wire.SignalResponse.FromString(message.data)
            kind = response.WhichOneof("message")
            self.add(kind, getattr(response, kind))
        self.add("closed")


async def eventually(condition: Callable[[], object], *, timeout: float = 10) -> None:
    """Wait for what nobody tells us of."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.001)


def tone(frequency: float, seconds: float, *, rate: int = SAMPLE_RATE, amplitude: int = 8000) -> NDArray[np.int16]:
    time_axis = np.arange(int(seconds * rate)) / rate
    return (np.sin(2 * np.pi * frequency * time_axis) * amplitude).astype(np.int16)


def silence(seconds: float) -> NDArray[np.int16]:
    return np.zeros(int(seconds * SAMPLE_RATE), np.int16)


def pitch(samples: NDArray[np.int16], *, rate: int = SAMPLE_RATE) -> float:
    """The strongest frequency."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * rate / len(samples)


def loud(samples: NDArray[np.int16], *, above: int = 1000, window: int = SAMPLE_RATE // 100) -> NDArray[np.bool_]:
    """For each window of 10 ms, whether it is loud."""
    windows = samples[: len(samples) // window * window].reshape(-1, window)
    return np.abs(windows.astype(np.int32)).max(axis=1) > above


async def play(room: SfuRoom, samples: NDArray[np.int16]) -> None:
    """Push sound in real time, 20 ms at a time."""
    started = time.monotonic()
    for index in range(len(samples) // BLOCK_SAMPLES):
        room.push_audio(samples[index * BLOCK_SAMPLES :][:BLOCK_SAMPLES])
        await asyncio.sleep(max(0, started + (index + 1) * 0.02 - time.monotonic()))


async def talk(source: rtc.AudioSource, samples: NDArray[np.int16]) -> None:
    """Speak into a microphone, at the pace that it takes."""
    for start in range(0, len(samples), 320):
        block = samples[start : start + 320]
        await source.capture_frame(rtc.AudioFrame(block.tobytes(), 16_000, 1, len(block)))


async def show(room: SfuRoom, colour: tuple[int, int, int], video: VideoFormat = SMALL) -> None:
    """Show a plain picture (RGB) for ever."""
    picture = np.full((video.height, video.width, 3), colour, np.uint8)
    while True:
        room.push_video(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p"))
        await asyncio.sleep(1 / video.fps)


@contextlib.asynccontextmanager
async def meanwhile(*works: Any) -> AsyncIterator[None]:
    """Do something until the block ends."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
