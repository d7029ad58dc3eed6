"""The media half of the facade: the avatar's picture and sound, as frames, as a snapshot, as a recording.

Importing this loads neither LiveKit nor numpy nor PyAV; asking for media does.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, cast

from . import cells
from .conversing import Conversing
from .deadline import check_timeout
from .errors import SessionError, UsageError

if TYPE_CHECKING:
    from .avatar import StreamingAvatar
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

    def display(self, *, width: int = 640, fps: float = 15) -> None:
        """Show the avatar live in the notebook cell that runs: picture, sound, captions, and buttons to talk to it.

        It plays on while cells run, until the session ends; the avatar as a cell's last expression does the same. Needs
        the extra ``notebook``. Where the front end shows no widgets, a still picture says so, and is renewed.

        Args:
            width: pixels that the picture is wide at most.
            fps: pictures a second at most; fewer are sent to a browser that is slower.

        Raises:
            SessionNotStartedError, SessionClosedError: there is no session to show.
            UsageError: this is no notebook.
        """
        connection, _ = self._live()
        if not cells.in_notebook():
            raise UsageError("display() is for a notebook's cell; elsewhere use video_frames() or record()")
        from .notebook import show

        show(cast("StreamingAvatar", self), connection, width=width, fps=fps)

    def _ipython_display_(self) -> None:
        try:
            self.display()
        except (SessionError, UsageError):
            print(repr(self))
