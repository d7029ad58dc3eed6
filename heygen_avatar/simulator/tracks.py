"""The cast's tracks: each is encoded once, while anybody watches, and its packets go to every subscriber.

A :class:`Feed` is a published track; an :class:`Outlet` is the socket in one client's peer connection that it is
plugged into. Bitrate and keyframes are decided here: aiortc's own encoders know neither the asked bitrate
nor each other. Nothing here knows of rooms, signalling or SDP.
"""

from __future__ import annotations

import asyncio
import fractions
import logging
from collections import deque
from typing import Any, Literal

import av
import numpy as np
from aiortc.mediastreams import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE, MediaStreamError, MediaStreamTrack
from av.audio.codeccontext import AudioCodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from numpy.typing import NDArray

from .stage import SAMPLE_RATE, VideoFormat

VOICE_BITRATE = 48_000
"""Bits a second of the avatar's voice: transparent for mono speech in Opus."""

KEYFRAME_SPACING = 0.3
"""Seconds between two keyframes asked for, so that a lossy or crowded room does not turn into keyframes only."""

QUEUED_PACKETS = {"audio": 10, "video": 5}
"""Packets that wait for one subscriber's sender: 200 ms of either. A sender that falls further behind loses some."""

log = logging.getLogger(__name__)


class Outlet(MediaStreamTrack):
    """What aiortc sends in one media section of one client: the packets of the feed plugged in, or nothing.

    It outlives subscriptions, since aiortc's senders end for good when their track does.
    """

    def __init__(self, kind: Literal["audio", "video"]) -> None:
        super().__init__()
        self.kind = kind
        self.lost = 0
        self._feed: Feed | None = None
        self._disabled = False
        self._pulled = False
        self._needs_keyframe = True
        self._packets: deque[av.Packet[Any]] = deque()
        self._arrived = asyncio.Event()

    @property
    def live(self) -> bool:
        """Whether packets would reach the client: subscribed, connected, and not disabled."""
        return self._pulled and not self._disabled and self.readyState == "live"

    def plug(self, feed: Feed) -> None:
        if feed is self._feed:
            return
        self.unplug()
        self._feed = feed
        feed.outlets.add(self)
        self._restart()

    def unplug(self) -> None:
        if self._feed:
            self._feed.outlets.discard(self)
        self._feed = None
        self._packets.clear()

    def disable(self, *, disabled: bool) -> None:
        """Hold the packets back while the client does not look (UpdateTrackSettings.disabled)."""
        if disabled == self._disabled:
            return
        self._disabled = disabled
        self._restart()

    def put(self, packet: av.Packet[Any]) -> None:
        """Hand over a packet; without a keyframe to start from, a picture is of no use and is dropped."""
        if self.kind == "video" and self._needs_keyframe and not packet.is_keyframe:
            return
        self._needs_keyframe = False
        if len(self._packets) >= QUEUED_PACKETS[self.kind]:
            self.lost += len(self._packets)
            self._packets.clear()
            self._restart()
            return
        self._packets.append(packet)
        self._arrived.set()

    async def recv(self) -> av.Packet[Any]:
        """Called by aiortc's sender, for the first time when the connection stands."""
        if not self._pulled:
            self._pulled = True
            self._restart()
        while not self._packets:
            if self.readyState != "live":
                raise MediaStreamError
            self._arrived.clear()
            await self._arrived.wait()
        return self._packets.popleft()

    def stop(self) -> None:
        self.unplug()
        super().stop()
        self._arrived.set()

    def _restart(self) -> None:
        self._needs_keyframe = True
        if self._feed and self.live:
            self._feed.request_keyframe()


class Feed:
    """A published track: who publishes it, under which ids, and the outlets that carry it."""

    kind: Literal["audio", "video"]
    codec: str

    def __init__(self, *, owner_sid: str, sid: str) -> None:
        self.owner_sid = owner_sid
        self.sid = sid
        self.outlets: set[Outlet] = set()
        self._paused = False

    @property
    def wanted(self) -> bool:
        """Whether anybody would get a packet: if not, nothing is encoded."""
        return not self._paused and any(outlet.live for outlet in self.outlets)

    def pause(self, *, paused: bool) -> None:
        """Send nothing while the track stays published (fault injection)."""
        self._paused = paused
        if not paused:
            self.request_keyframe()

    def request_keyframe(self) -> None:
        """A subscriber has nothing to decode from. Of no concern to sound."""

    async def close(self) -> None:
        for outlet in list(self.outlets):
            outlet.unplug()

    def _send(self, packet: av.Packet[Any]) -> None:
        for outlet in self.outlets:
            if outlet.live:
                outlet.put(packet)


class VoiceFeed(Feed):
    """The avatar's voice: blocks of 20 ms to Opus packets, one each, at once."""

    kind = "audio"
    codec = "opus"

    def __init__(self, *, owner_sid: str, sid: str) -> None:
        super().__init__(owner_sid=owner_sid, sid=sid)
        self._encoder = _voice_encoder()
        self._sample = 0
        self._energy = 0.0
        self._heard = 0

    def push(self, samples: NDArray[np.int16]) -> None:
        """Encode on the spot: it takes a quarter of a millisecond, a trip to a thread would take longer."""
        timestamp = self._sample
        self._sample += len(samples)
        self._energy += float(np.square(samples, dtype=np.float64).sum())
        self._heard += len(samples)
        if not self.wanted:
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        frame.pts = timestamp
        for packet in self._encoder.encode(frame):
            packet.pts = timestamp
            packet.time_base = fractions.Fraction(1, SAMPLE_RATE)
            self._send(packet)

    def loudness(self) -> float:
        """The level since last asked, 0 to 1 (RMS of full scale)."""
        level = (self._energy / self._heard) ** 0.5 / 32768 if self._heard else 0.0
        self._energy, self._heard = 0.0, 0
        return level


class PictureFeed(Feed):
    """The avatar's picture: the newest frame is encoded in a worker thread; one that comes too early replaces it."""

    kind = "video"

    def __init__(self, *, owner_sid: str, sid: str, video: VideoFormat) -> None:
        super().__init__(owner_sid=owner_sid, sid=sid)
        self.codec = video.codec
        self.format = video
        self.late = 0
        """Frames dropped because the encoder was still busy with the ones before."""
        self._encoder = _picture_encoder(video)
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._waiting: tuple[av.VideoFrame, int] | None = None
        self._arrived = asyncio.Event()
        self._keyframe_wanted = False
        self._keyframe_sent = -KEYFRAME_SPACING
        self._frame = 0
        self._closed = False
        self._work = asyncio.create_task(self._encode_frames(), name=f"picture of {sid}")

    def push(self, frame: av.VideoFrame) -> None:
        if not self.wanted or self._closed:
            return
        if self._waiting:
            self.late += 1
        self._waiting = (frame, int((self._loop.time() - self._started) * VIDEO_CLOCK_RATE))
        self._arrived.set()

    def request_keyframe(self) -> None:
        self._keyframe_wanted = True

    async def close(self) -> None:
        """Wait for the frame in the encoder too: a codec must not be freed under a thread that uses it."""
        await super().close()
        self._closed = True
        self._arrived.set()
        await self._work

    async def _encode_frames(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._closed:
                return
            if not self._waiting:
                continue
            (frame, timestamp), self._waiting = self._waiting, None
            keyframe = self._take_keyframe_wish()
            try:
                packets = await self._loop.run_in_executor(None, self._encode, frame, keyframe)
            except (av.FFmpegError, ValueError):
                log.exception("a frame of %dx%d could not be encoded", frame.width, frame.height)
                continue
            for packet in packets:
                packet.pts = timestamp
                packet.time_base = VIDEO_TIME_BASE
                self._send(packet)

    def _take_keyframe_wish(self) -> bool:
        now = self._loop.time()
        if not self._keyframe_wanted or now - self._keyframe_sent < KEYFRAME_SPACING:
            return False
        self._keyframe_wanted = False
        self._keyframe_sent = now
        return True

    def _encode(self, frame: av.VideoFrame, keyframe: bool) -> list[av.Packet[Any]]:
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        frame.pts = self._frame
        frame.time_base = fractions.Fraction(1, self.format.fps)
        self._frame += 1
        return list(self._encoder.encode(frame))


def _voice_encoder() -> AudioCodecContext:
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.bit_rate = VOICE_BITRATE
    encoder.format = "s16"
    encoder.layout = "mono"
    encoder.sample_rate = SAMPLE_RATE
    encoder.time_base = fractions.Fraction(1, SAMPLE_RATE)
    encoder.options = {"application": "audio", "frame_duration": "20", "compression_level": "5"}
    return encoder


def _picture_encoder(video: VideoFormat) -> VideoCodecContext:
    """An encoder without delay: one frame in, one packet out, in constant bitrate over a second."""
    encoder = av.CodecContext.create("libx264" if video.codec == "H264" else "libvpx", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width = video.width
    encoder.height = video.height
    encoder.pix_fmt = "yuv420p"
    encoder.bit_rate = video.bitrate
    encoder.framerate = fractions.Fraction(video.fps, 1)
    encoder.time_base = fractions.Fraction(1, video.fps)
    encoder.gop_size = 10 * video.fps
    encoder.thread_count = 1
    rate = {"maxrate": str(video.bitrate), "bufsize": str(video.bitrate)}
    if video.codec == "H264":
        # Level 3.1 is what aiortc's profile-level-id 42e01f says. It ends at 1280x720; what is larger needs 4.0, and
        # every decoder of today takes it.
        level = "31" if video.width * video.height <= 1280 * 720 else "40"
        encoder.profile = "Baseline"
        encoder.options = rate | {"preset": "veryfast", "tune": "zerolatency", "level": level, "forced-idr": "1"}
    else:
        encoder.qmin, encoder.qmax = 4, 52
        encoder.options = rate | {
            "minrate": str(video.bitrate),
            "deadline": "realtime",
            "cpu-used": "-8",
            "lag-in-frames": "0",
            "static-thresh": "1",
        }
    return encoder
