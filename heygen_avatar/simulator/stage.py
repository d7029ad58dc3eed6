"""The seam between a performance and the room it is given in.

A :class:`Stage` is one LiveKit room with a simulated cast. What performs (tasks, speech, events) knows nothing of
signalling or codecs; what carries (``sfu.py`` with aiortc, ``livekit.py`` on a real LiveKit server) knows nothing of
avatars. Everything here runs on the simulator's event loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import av
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

SAMPLE_RATE = 48_000
"""Samples a second of all audio that crosses a stage, both ways; mono, int16."""

BLOCK_SAMPLES = 960
"""Samples of one block of the cast's audio: 20 ms."""

AVATAR_IDENTITY = "heygen"
"""The avatar's participant identity (heygen-streaming-v1 §3, liveavatar §3.1)."""


@frozen(kw_only=True)
class VideoFormat:
    """What the avatar's camera sends: pixels, bits a second, frames a second, codec."""

    width: int
    height: int
    bitrate: int
    fps: int
    codec: Literal["H264", "VP8"]


class StageListener(Protocol):
    """What happens on a stage, told in order, on the simulator's loop. Must not block and must not raise."""

    def on_joined(self, identity: str) -> None:
        """A client's participant is in the room and can hear data packets."""

    def on_left(self, identity: str) -> None:
        """A client's participant is gone for good (a resumed signal connection is not a leave)."""

    def on_data(self, identity: str, payload: bytes, topic: str) -> None:
        """A client sent a data packet."""

    def on_microphone(self, identity: str, samples: NDArray[np.int16]) -> None:
        """A client's microphone track was heard: (n,) int16, 48 kHz, mono; silence while it is muted."""

    def on_microphone_muted(self, identity: str, muted: bool) -> None:
        """A client muted or unmuted its microphone track, or unpublished it (muted)."""


class Stage(Protocol):
    """One room, its cast on the server's side, its clients on the network's."""

    @property
    def url(self) -> str:
        """The ``ws://`` URL a LiveKit client connects to."""

    def token(self, identity: str, *, ttl: float = 86_400.0) -> str:
        """A LiveKit access token (JWT) for this room: join, publish, subscribe, publish data; valid ``ttl`` seconds."""

    async def enter(self, identity: str, *, video: VideoFormat | None = None, audio: bool = False) -> None:
        """A member of the cast joins and publishes what it is given: the avatar with tracks, an agent without."""

    async def leave(self, identity: str) -> None:
        """A member of the cast leaves; clients see its tracks unpublished and the participant disconnected."""

    @property
    def video_wanted(self) -> bool:
        """Whether any client is subscribed to the avatar's picture: if not, nothing need be drawn."""

    def push_audio(self, samples: NDArray[np.int16]) -> None:
        """Say one block, (960,) int16: 20 ms at 48 kHz. Called in real time, also for silence. Never blocks."""

    def push_video(self, frame: av.VideoFrame) -> None:
        """Show one yuv420p frame of the format's size, at the format's pace. Never blocks; a late one is dropped."""

    async def send_data(
        self, payload: bytes, *, topic: str = "", sender: str = AVATAR_IDENTITY, to: Sequence[str] = ()
    ) -> None:
        """Send a reliable data packet as ``sender`` to the clients named, or to all."""

    def remove(self, identity: str) -> None:
        """Throw a client out (its disconnect reason: PARTICIPANT_REMOVED)."""

    async def vanish(self) -> None:
        """From now on clients are told nothing more; they stay connected until the simulator ends."""

    async def close(self) -> None:
        """Delete the room: every client is told the reason ROOM_DELETED (5). Idempotent."""


class Rooms(Protocol):
    """Where a session's room is opened."""

    def create(self, room: str, listener: StageListener) -> Stage:
        """Open a room; its name must be new."""
