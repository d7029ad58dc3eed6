"""The media half of the facade: the avatar's picture and sound, as frames, as a snapshot, as a recording.

Importing this loads neither LiveKit nor numpy nor PyAV; asking for media does.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from .conversing import Conversing
from .deadline import check_timeout

if TYPE_CHECKING:
    from .media.frames import VideoFrame
    from .media.recorder import Recording
    from .media.streams import AudioFrames, VideoFrames


class Viewing(Conversing):
    """What one can do with what the avatar shows. :class:`StreamingAvatar` is the only one to inherit it."""

    def video_frames(self) -> VideoFrames:
        """Iterate over the avatar's picture as it comes: always the newest frame, missed ones are counted.

        The avatar's video is received and decoded only while somebody reads it.
        """
        from .media.streams import VideoFrames

        return VideoFrames(self._live()[0].wires.room)

    def audio_frames(self, *, sample_rate: int = 48_000, num_channels: int = 1, frame_ms: int = 20) -> AudioFrames:
        """Iterate over the avatar's sound as it comes, int16, resampled as asked; silence is sound too."""
        from .media.streams import AudioFrames

        room = self._live()[0].wires.room
        return AudioFrames(room, sample_rate=sample_rate, num_channels=num_channels, frame_ms=frame_ms)

    def snapshot(self, *, timeout: float = 10.0) -> VideoFrame:
        """The avatar's picture as it is now; shows itself in a notebook.

        Raises:
            MediaError, WaitTimeoutError: no picture came.
        """
        from .media.streams import snapshot

        check_timeout(timeout)
        return snapshot(self._live()[0].wires.room, timeout=timeout)

    def record(self, path: str | PathLike[str]) -> Recording:
        """Record picture and sound to an MP4 file until ``stop()``, the end of ``with``, or the session's end.

        Needs the extra ``record``. What is written can be played even if the process is killed.
        """
        from .media.recorder import Recording

        return Recording(self._live()[0].wires.room, path)
