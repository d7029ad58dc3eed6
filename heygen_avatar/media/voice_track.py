"""The user's voice as a track of the room, on the media loop: published, fed, taken back.

Fed by one task: two at a time break the native queue (livekit 1.2.1). After a full reconnect livekit republishes the
track by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from livekit import rtc
from livekit.rtc.participant import PublishTrackError

from ..errors import MediaError, SessionClosedError

__all__ = ["SAMPLE_RATE", "VoiceTrack"]

logger = logging.getLogger(__name__)

SAMPLE_RATE = 48_000
"""What Opus works at, so that nothing is resampled natively."""

QUEUE_MS = 1_000
"""Sound that may wait natively. More than is sent ahead: a native thread that was held up takes what it has missed all
at once, and puts silence into a sound where there is not enough of it."""

FLOW_POLL = 0.02
"""Seconds between two looks whether packets go out. Of that LiveKit 1.2.1 tells nothing by itself: a track counts as
published while its connection is still being made, and as subscribed, where a service says so at all, likewise; the
room's connection states are those of its signalling. Its statistics know, and come only when they are asked for."""

SUBSCRIBED_WITHIN = 1.0
"""Seconds from the first packet on in which a service says that it listens, if it ever says so."""

CLOSE_TIMEOUT = 2.0


class VoiceTrack:
    """Made by ``MediaRoom.publish_voice``."""

    def __init__(self, participant: rtc.LocalParticipant) -> None:
        self._participant = participant
        self._source = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=QUEUE_MS)
        self._track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        self._publishing: asyncio.Task[rtc.LocalTrackPublication] | None = None
        self._over = False

    async def publish(self) -> None:
        """Put the track into the room. Cancelling this only stops watching; ``close`` takes the track back then.

        Raises:
            MediaError: the room does not take it.
        """
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        # A task of its own: a publish that is cancelled could leave the room's event task waiting (python-sdks #827).
        self._publishing = asyncio.get_running_loop().create_task(
            self._participant.publish_track(self._track, options), name="heygen-publish"
        )
        try:
            await asyncio.shield(self._publishing)
        except PublishTrackError as error:
            raise MediaError(f"the room does not take the user's voice: {error.message}") from None

    async def flowing(self) -> None:
        """Return when what is fed is heard: packets go out, and the service has subscribed, if it tells of that.

        Somebody has to feed it meanwhile. The caller's deadline ends the wait.
        """
        assert self._publishing is not None
        while not await self._sends():
            self._require_open()
            await asyncio.sleep(FLOW_POLL)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._publishing.result().wait_for_subscription(), SUBSCRIBED_WITHIN)
        self._require_open()

    async def capture(self, samples: bytes) -> None:
        """Say a frame of mono int16; waits only while the native queue is full.

        Raises:
            SessionClosedError: the room was left.
            MediaError: the native library does not take it.
        """
        self._require_open()
        frame = rtc.AudioFrame(samples, SAMPLE_RATE, 1, len(samples) // 2)
        try:
            await self._source.capture_frame(frame)
        except Exception as error:  # livekit's own have no class
            self._require_open()
            raise MediaError(f"the room does not take the user's voice: {error}") from None

    def drop(self) -> None:
        """Forget what was captured and is not sent yet."""
        if not self._over:
            self._source.clear_queue()

    def end(self) -> None:
        """The room is left: feed it no more."""
        self._over = True

    async def close(self) -> None:
        """Take the track back. Bounded, idempotent."""
        ended, self._over = self._over, True
        if not ended and self._publishing is not None:
            work = asyncio.get_running_loop().create_task(self._unpublish(self._publishing), name="heygen-unpublish")
            _kept.add(work)
            work.add_done_callback(_kept.discard)
            await asyncio.wait({work}, timeout=CLOSE_TIMEOUT)
        await self._source.aclose()

    async def _unpublish(self, publishing: asyncio.Task[rtc.LocalTrackPublication]) -> None:
        try:
            publication = await publishing
            # By its number of now: a full reconnect gives it another one.
            await self._participant.unpublish_track(publication.sid)
        except Exception as error:
            logger.debug("the voice track was not taken back: %s", error)

    async def _sends(self) -> bool:
        stats: list[Any] = await self._track.get_stats()
        return any(
            entry.outbound_rtp.sent.packets_sent > 0 for entry in stats if entry.WhichOneof("stats") == "outbound_rtp"
        )

    def _require_open(self) -> None:
        if self._over:
            raise SessionClosedError("the room was left", reason="left")


_kept: set[asyncio.Task[None]] = set()
"""Goodbyes that may outlive their caller: asyncio keeps no strong reference to a task."""
