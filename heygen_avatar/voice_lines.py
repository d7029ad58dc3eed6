"""The two ways of a user's voice: frames on the chat socket, or a track in the room. On the media loop only.

A line carries the frames it is given and keeps no time: its feeder does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .errors import APIConnectionError, UsageError
from .protocols import pipecat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .media.voice_track import VoiceTrack
    from .wires import Wires

__all__ = ["Line", "SocketLine", "TrackLine"]


class Line(Protocol):
    """One voice chat's way to the service."""

    sample_rate: int
    frame_samples: int
    lead: float
    """Seconds that frames of a recorded sound are sent before they are due: for so long nobody hears that this process
    is held up, by another one or by code of its own that lets no thread of Python's run."""

    idle_lead: float
    """The same for silence, behind which a voice that comes now would have to wait."""

    catches_up: bool
    """Whether frames that are late are sent behind each other at once; where not, they are heard later."""

    async def open(self) -> None:
        """Make it ready to be fed.

        Raises:
            HeyGenError: it cannot be had.
        """

    async def flowing(self) -> None:
        """Return when what is fed is heard; somebody feeds it meanwhile."""

    async def send(self, frame: NDArray[np.int16]) -> None:
        """Send a frame of ``frame_samples``, waiting while the connection is being made again.

        Raises:
            HeyGenError: the session is over, or the connection given up.
        """

    def drop(self) -> None:
        """Let nothing more be heard of what was sent before it was due."""

    async def close(self) -> None:
        """Let go of it. Bounded, idempotent."""


class SocketLine:
    """Protobuf frames on the chat socket: 512 samples of 16 kHz each (v1 reference §2.2)."""

    sample_rate = 16_000
    frame_samples = 512
    lead = 0.0
    idle_lead = 0.0
    catches_up = True

    def __init__(self, wires: Wires) -> None:
        self._wires = wires

    async def open(self) -> None:
        if not self._wires.has_chat:
            raise UsageError("this session has no chat socket, so its voice must go by the livekit transport")

    async def flowing(self) -> None: ...

    async def send(self, frame: NDArray[np.int16]) -> None:
        payload = pipecat.audio_frame(frame.astype("<i2").tobytes(), sample_rate=self.sample_rate)
        try:
            await self._wires.send_socket(payload)
        except APIConnectionError:
            # It may have arrived: 32 ms heard twice do less harm than 32 ms missing. A socket that was given up raises
            # the same once more.
            await self._wires.send_socket(payload)

    def drop(self) -> None: ...

    async def close(self) -> None: ...


class TrackLine:
    """A microphone track in the room."""

    sample_rate = 48_000
    frame_samples = 480
    lead = 0.5
    idle_lead = 0.01
    catches_up = False

    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self._track: VoiceTrack | None = None

    async def open(self) -> None:
        await self._wires.room_ready()
        self._track = await self._wires.room.publish_voice()

    async def flowing(self) -> None:
        assert self._track is not None
        await self._track.flowing()

    async def send(self, frame: NDArray[np.int16]) -> None:
        assert self._track is not None
        await self._wires.room_ready()
        await self._track.capture(frame.tobytes())

    def drop(self) -> None:
        assert self._track is not None
        self._track.drop()

    async def close(self) -> None:
        if self._track is not None:
            await self._wires.room.take_voice_back(self._track)
