"""A room on a LiveKit server as a :class:`~.stage.Stage`: one of the cast comes as an ordinary participant.

It has the one token it was given, so it can admit nobody and throw nobody out: the room is somebody else's
(``livekit_rooms.py`` has rooms of our own there). Everything here runs on the simulator's loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import av
import numpy as np
from livekit import rtc
from numpy.typing import NDArray

from heygen_avatar.simulator.livekit_microphones import LiveKitMicrophones
from heygen_avatar.simulator.stage import AVATAR_IDENTITY, BLOCK_SAMPLES, SAMPLE_RATE, StageListener, VideoFormat

logger = logging.getLogger(__name__)

VIDEO_TRACK, AUDIO_TRACK = "avatar", "avatar-audio"
"""What the tracks are called in a client's own room (observed, liveavatar §3.1)."""


class LiveKitStage:
    """The room that ``token`` opens on the server at ``url``.

    With ``hears``, clients' microphones are subscribed and listened to.
    """

    def __init__(self, url: str, token: str, listener: StageListener, *, hears: bool = False) -> None:
        self._url = url
        self._token = token
        self._listener = listener
        self._microphones = LiveKitMicrophones(listener) if hears else None
        self._room: rtc.Room | None = None
        self._here: set[str] = set()
        self._picture: rtc.VideoSource | None = None
        self._voice: rtc.AudioSource | None = None
        self._blocks: asyncio.Queue[NDArray[np.int16] | None] = asyncio.Queue()
        self._speaking: asyncio.Task[None] | None = None
        self._silenced = False

    @property
    def url(self) -> str:
        return self._url

    def token(self, identity: str, *, ttl: float = 86_400.0) -> str:
        """The room's owner gives out its tokens.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"the room at {self._url} is not ours: its owner gives {identity} a token")

    async def enter(self, identity: str, *, video: VideoFormat | None = None, audio: bool = False) -> None:
        """Join and publish, under the identity that the token says."""
        # Made here, for a room belongs to the loop it is made on.
        self._room = rtc.Room()
        self._room.on("participant_active", self._on_arrival)
        self._room.on("participant_disconnected", self._on_departure)
        self._room.on("data_received", self._on_data)
        if self._microphones is not None:
            self._microphones.listen(self._room)
        await self._room.connect(self._url, self._token, rtc.RoomOptions(auto_subscribe=False))
        if video is not None:
            await self._publish_picture(video)
        if audio:
            await self._publish_voice()
        for participant in list(self._room.remote_participants.values()):
            self._on_arrival(participant)

    async def _publish_picture(self, video: VideoFormat) -> None:
        assert self._room is not None
        self._picture = rtc.VideoSource(video.width, video.height)
        track = rtc.LocalVideoTrack.create_video_track(VIDEO_TRACK, self._picture)
        options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_CAMERA,
            simulcast=False,
            video_codec=rtc.VideoCodec.H264 if video.codec == "H264" else rtc.VideoCodec.VP8,
            video_encoding=rtc.VideoEncoding(max_bitrate=video.bitrate, max_framerate=video.fps),
        )
        await self._room.local_participant.publish_track(track, options)

    async def _publish_voice(self) -> None:
        assert self._room is not None
        self._voice = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=_QUEUED_MS)
        track = rtc.LocalAudioTrack.create_audio_track(AUDIO_TRACK, self._voice)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False)
        await self._room.local_participant.publish_track(track, options)
        self._speaking = asyncio.create_task(self._speak_forever(self._voice), name="voice in a LiveKit room")

    async def leave(self, identity: str) -> None:
        """Leave the room: nobody else of the cast is in it."""
        await self.close()

    @property
    def video_wanted(self) -> bool:
        """Somebody is there; whether they look, the server does not tell."""
        return self._room is not None and bool(self._room.remote_participants)

    def push_audio(self, samples: NDArray[np.int16]) -> None:
        if self._voice is not None and self._blocks.qsize() < _QUEUED_MS // _BLOCK_MS:
            self._blocks.put_nowait(samples)

    def push_video(self, frame: av.VideoFrame) -> None:
        if self._picture is not None:
            pixels = frame.to_ndarray()
            self._picture.capture_frame(
                rtc.VideoFrame(frame.width, frame.height, rtc.VideoBufferType.I420, pixels.tobytes())
            )

    async def send_data(
        self, payload: bytes, *, topic: str = "", sender: str = AVATAR_IDENTITY, to: Sequence[str] = ()
    ) -> None:
        """Send a packet; its sender is who the token says."""
        if self._room is not None and not self._silenced:
            await self._room.local_participant.publish_data(payload, topic=topic, destination_identities=list(to))

    def remove(self, identity: str) -> None:
        """Nobody can be thrown out of a room that is not ours."""

    async def vanish(self) -> None:
        self._silenced = True

    async def close(self) -> None:
        """Leave; the room itself is the client's. Idempotent."""
        room, self._room = self._room, None
        if room is None:
            return
        if self._speaking is not None and self._voice is not None:
            # What was said is still on its way: the track runs behind by its queue.
            self._blocks.put_nowait(None)
            await self._speaking
            await self._voice.wait_for_playout()
        if self._microphones is not None:
            await self._microphones.close()
        await self._unpublish(room)
        await room.disconnect()
        if self._voice is not None:
            await self._voice.aclose()
        if self._picture is not None:
            await self._picture.aclose()
            self._picture = None

    async def _unpublish(self, room: rtc.Room) -> None:
        # livekit 1.2.1 keeps the memory of a track whose room ends under it (rust-sdks #1443).
        for sid in list(room.local_participant.track_publications):
            try:
                await room.local_participant.unpublish_track(sid)
            except Exception as error:  # the server has ended the room first
                logger.debug("track %s was not unpublished: %s", sid, error)

    def _on_arrival(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity not in self._here:
            self._here.add(participant.identity)
            self._listener.on_joined(participant.identity)

    def _on_departure(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity in self._here:
            self._here.discard(participant.identity)
            self._listener.on_left(participant.identity)

    def _on_data(self, packet: rtc.DataPacket) -> None:
        # A server may pass on a packet before it tells of who sent it; the sender has no name then.
        identity = packet.participant.identity if packet.participant is not None else ""
        self._listener.on_data(identity, packet.data, packet.topic or "")

    async def _speak_forever(self, voice: rtc.AudioSource) -> None:
        while (samples := await self._blocks.get()) is not None:
            await voice.capture_frame(rtc.AudioFrame(samples.tobytes(), SAMPLE_RATE, 1, len(samples)))


_BLOCK_MS = 1000 * BLOCK_SAMPLES // SAMPLE_RATE
_QUEUED_MS = 200
