"""The microphones of a LiveKit room's participants, as the cast hears them: 48 kHz, mono, silence while muted.

Everything here runs on the simulator's loop.
"""

from __future__ import annotations

import asyncio
import logging

import numpy as np
from livekit import rtc

from heygen_avatar.simulator.stage import SAMPLE_RATE, StageListener

logger = logging.getLogger(__name__)


class LiveKitMicrophones:
    """Subscribes to every sound that is published in a room, and tells of it."""

    def __init__(self, listener: StageListener) -> None:
        self._listener = listener
        self._reading: dict[str, asyncio.Task[None]] = {}

    def listen(self, room: rtc.Room) -> None:
        """Hear whoever publishes in ``room``, which is about to be joined."""
        room.on("track_published", self._on_published)
        room.on("track_subscribed", self._on_subscribed)
        room.on("track_unpublished", self._on_unpublished)
        room.on("track_muted", lambda participant, publication: self._on_muted(participant, publication, muted=True))
        room.on("track_unmuted", lambda participant, publication: self._on_muted(participant, publication, muted=False))

    async def close(self) -> None:
        """Hear nobody any more. Idempotent."""
        tasks = list(self._reading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_published(self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant) -> None:
        if publication.kind == rtc.TrackKind.KIND_AUDIO:
            publication.set_subscribed(True)

    def _on_subscribed(
        self, track: rtc.RemoteTrack, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        if track.kind != rtc.TrackKind.KIND_AUDIO:
            return
        if publication.muted:
            self._listener.on_microphone_muted(participant.identity, True)
        task = asyncio.create_task(self._read(track, participant.identity), name=f"microphone {publication.sid}")
        self._reading[publication.sid] = task

    def _on_unpublished(self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant) -> None:
        task = self._reading.pop(publication.sid, None)
        if task is not None:
            task.cancel()
            self._listener.on_microphone_muted(participant.identity, True)

    def _on_muted(
        self, participant: rtc.RemoteParticipant, publication: rtc.RemoteTrackPublication, *, muted: bool
    ) -> None:
        if publication.kind == rtc.TrackKind.KIND_AUDIO:
            self._listener.on_microphone_muted(participant.identity, muted)

    async def _read(self, track: rtc.RemoteTrack, identity: str) -> None:
        stream = rtc.AudioStream(track, sample_rate=SAMPLE_RATE, num_channels=1)
        try:
            async for event in stream:
                self._listener.on_microphone(identity, np.frombuffer(event.frame.data, np.int16).copy())
        finally:
            await stream.aclose()
