"""A member of the cast: a participant on the server's side of a room, and the tracks it publishes.

It is described here as a LiveKit client sees it, and holds the feeds that carry its sound and picture.
"""

from __future__ import annotations

import time
import uuid
from typing import Literal

from livekit.protocol import models

from .stage import VideoFormat
from .tracks import Feed, PictureFeed, VoiceFeed


class Member:
    """A member of the cast: a participant on the server's side, with the tracks it publishes."""

    def __init__(self, identity: str, *, video: VideoFormat | None, audio: bool) -> None:
        now = time.time()
        self.info = models.ParticipantInfo(
            sid=new_sid("PA"),
            identity=identity,
            name=identity,
            state=models.ParticipantInfo.ACTIVE,
            joined_at=int(now),
            joined_at_ms=int(now * 1000),
            is_publisher=bool(video or audio),
            permission=models.ParticipantPermission(can_subscribe=True, can_publish=True, can_publish_data=True),
        )
        self.picture: PictureFeed | None = None
        self.voice: VoiceFeed | None = None
        if video:
            self.picture = PictureFeed(owner_sid=self.info.sid, sid=new_sid("TR"), video=video)
            self.info.tracks.append(_picture_info(self.picture))
        if audio:
            self.voice = VoiceFeed(owner_sid=self.info.sid, sid=new_sid("TR"))
            self.info.tracks.append(_voice_info(self.voice))

    @property
    def feeds(self) -> list[Feed]:
        return [feed for feed in (self.picture, self.voice) if feed]

    def drop(self, kind: Literal["audio", "video"]) -> Feed:
        """Publish one track less."""
        feed = next(feed for feed in self.feeds if feed.kind == kind)
        if kind == "video":
            self.picture = None
        else:
            self.voice = None
        remaining = [track for track in self.info.tracks if track.sid != feed.sid]
        del self.info.tracks[:]
        self.info.tracks.extend(remaining)
        self.info.version += 1
        return feed

    async def close(self) -> None:
        for feed in self.feeds:
            await feed.close()


def _picture_info(feed: PictureFeed) -> models.TrackInfo:
    video = feed.format
    layer = models.VideoLayer(
        quality=models.VideoQuality.HIGH, width=video.width, height=video.height, bitrate=video.bitrate
    )
    mime = f"video/{video.codec}"
    return models.TrackInfo(
        sid=feed.sid,
        type=models.VIDEO,
        source=models.CAMERA,
        name="video",
        width=video.width,
        height=video.height,
        mime_type=mime,
        layers=[layer],
        codecs=[models.SimulcastCodecInfo(mime_type=mime, layers=[layer])],
        stream="camera",
    )


def _voice_info(feed: VoiceFeed) -> models.TrackInfo:
    return models.TrackInfo(
        sid=feed.sid,
        type=models.AUDIO,
        source=models.MICROPHONE,
        name="audio",
        mime_type="audio/opus",
        codecs=[models.SimulcastCodecInfo(mime_type="audio/opus")],
        stream="camera",
    )


def new_sid(prefix: str) -> str:
    """An id as livekit-server makes them: PA_ for participants, TR_ for tracks, RM_ for rooms."""
    return f"{prefix}_{uuid.uuid4().hex[:12]}"
