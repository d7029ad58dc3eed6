"""A sound and picture file being written, by PyAV (extra ``record``). One thread at a time; knows nothing of sessions.

MP4 is written in fragments of about a second, each complete in itself: what was written before a crash can be played.
"""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InvalidRequestError, MediaError, MissingExtraError
from .timeline import RATE

try:
    import av
    from av.video.reformatter import VideoReformatter
except ImportError:
    raise MissingExtraError(extra="record", feature="record()") from None

__all__ = ["AUDIO_ONLY", "FORMATS", "Movie"]

AUDIO_ONLY = frozenset({".m4a", ".wav"})
FORMATS = {".mp4": "mp4", ".m4a": "mp4", ".mov": "mov", ".mkv": "matroska", ".wav": "wav"}

FRAGMENTED = {
    "movflags": "+empty_moov+frag_keyframe+default_base_moof",
    "frag_duration": "1000000",
    "flush_packets": "1",
    "max_interleave_delta": "1000000",
}
KEYFRAME_EVERY = 30
"""Pictures: a second or so, which is what a crash may cost."""

WITHOUT_PICTURE = 5 * RATE
"""How much sound is held back for the first picture, whose size the file's head needs."""

ASSUMED_SIZE = (1280, 720)
"""Of a picture that has still not come after that; those that come are scaled."""

_TIME_BASE = Fraction(1, RATE)
_BT601 = 6  # libwebrtc's pictures are BT.601 of limited range, and to_ndarray() reads them as such
_LIMITED = 1


class Movie:
    """A file that takes pictures and sounds at positions in samples, in order within each kind.

    Raises:
        InvalidRequestError: the suffix is of no format that can be written.
        MediaError: the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        suffix = self.path.suffix.lower()
        if suffix not in FORMATS:
            raise InvalidRequestError(
                f"cannot record to {self.path.name!r}: the suffix must be one of {', '.join(FORMATS)}"
            )
        self.audio_only = suffix in AUDIO_ONLY
        self.pictures = 0
        self.samples = 0
        self._video: Any = None
        self._audio: Any = None
        self._held: list[tuple[memoryview, int]] = []
        self._held_until = 0
        self._last_picture: Any = None
        self._scaler = VideoReformatter()
        options = FRAGMENTED if FORMATS[suffix] in ("mp4", "mov") else {}
        try:
            self.path.open("wb").close()  # PyAV opens it with the first write only, which is too late to tell
            self._container = av.open(str(self.path), "w", format=FORMATS[suffix], options=options)
        except OSError as error:
            raise MediaError(f"cannot record to {self.path}: {error.strerror or error}") from None

    def picture(self, data: memoryview, width: int, height: int, position: int) -> None:
        """Show an I420 picture from ``position`` on. One of another size than the first is scaled to it."""
        if self._audio is None:
            self._open((width, height))
        if self._video is None:
            return
        frame = _yuv_frame(data, width, height)
        if (width, height) != (self._video.width, self._video.height):
            size = {"width": self._video.width, "height": self._video.height}
            # A scaler of our own, without threads: the one that frames share has some, and a process that is forked
            # beside this recording would wait for them for ever.
            frame = self._scaler.reformat(frame, **size, interpolation="BILINEAR", threads=1)
        self._show(frame, position)

    def sound(self, data: memoryview, position: int) -> None:
        """Int16 mono samples at ``position``; silence is put in before them where the sound so far ends earlier."""
        if self._audio is None and not self.audio_only:
            self._held.append((data, position))
            self._held_until = position + len(data.cast("B")) // 2
            if self._held_until < WITHOUT_PICTURE:
                return
            self._open(ASSUMED_SIZE)
            return
        if self._audio is None:
            self._open(None)
        self._sound(data, position)

    def silence_until(self, position: int) -> None:
        """Fill the sound with silence up to ``position``, if it ends earlier."""
        while self._audio is not None and self.samples < position:
            piece = np.zeros(min(position - self.samples, RATE), np.int16)
            self._encode_sound(piece)

    def close(self) -> None:
        """Make sound and picture of equal length, and finish the file. An empty one is removed.

        Raises:
            MediaError: nothing had been recorded.
        """
        if self._audio is None and self._held:
            self._open(None)
        if self._audio is None:
            self._container.close()
            self.path.unlink(missing_ok=True)
            raise MediaError(f"nothing was recorded to {self.path}: neither picture nor sound came")
        self._even_out()
        for stream in filter(None, (self._video, self._audio)):
            self._container.mux(stream.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Let go of the file after a write failed; what was written stays."""
        with contextlib.suppress(OSError):  # the error that led here says more
            self._container.close()

    def _open(self, size: tuple[int, int] | None) -> None:
        if size is not None:
            self._video = self._video_stream(*size)
        self._audio = self._container.add_stream(
            "pcm_s16le" if self.path.suffix.lower() == ".wav" else "aac", rate=RATE
        )
        self._audio.layout = "mono"
        self._audio.format = "s16" if self.path.suffix.lower() == ".wav" else "fltp"
        held, self._held = self._held, []
        for data, position in held:
            self._sound(data, position)

    def _video_stream(self, width: int, height: int) -> Any:
        try:
            av.Codec("libx264", "w")
            codec, options = "libx264", {"preset": "ultrafast", "tune": "zerolatency", "crf": "23"}
        except ValueError:  # a PyAV built without it
            codec, options = "mpeg4", {"qscale": "4"}
        stream: Any = self._container.add_stream(codec, rate=30, options=options)
        stream.width, stream.height = width // 2 * 2, height // 2 * 2  # 4:2:0 halves both
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = _TIME_BASE
        context.gop_size = KEYFRAME_EVERY
        context.colorspace = context.color_primaries = context.color_trc = _BT601
        context.color_range = _LIMITED
        return stream

    def _show(self, frame: Any, position: int) -> None:
        frame.pts = position
        frame.time_base = _TIME_BASE
        self._container.mux(self._video.encode(frame))
        self._last_picture = frame
        self.pictures += 1

    def _sound(self, data: memoryview, position: int) -> None:
        self.silence_until(position)
        self._encode_sound(np.frombuffer(data, np.int16))

    def _encode_sound(self, samples: np.ndarray[Any, np.dtype[np.int16]]) -> None:
        frame: Any = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.pts = self.samples
        frame.time_base = _TIME_BASE
        self.samples += samples.size
        self._container.mux(self._audio.encode(frame))

    def _even_out(self) -> None:
        if self._last_picture is None:
            return
        shown = self._last_picture.pts
        self.silence_until(shown)
        if self.samples - shown > RATE // 15:
            self._show(self._last_picture, self.samples - RATE // 30)


def _yuv_frame(data: memoryview, width: int, height: int) -> Any:
    frame: Any = av.VideoFrame(width, height, "yuv420p")
    frame.colorspace = frame.color_primaries = frame.color_trc = _BT601
    frame.color_range = _LIMITED
    half = ((width + 1) // 2, (height + 1) // 2)
    start = 0
    for plane, (columns, rows) in zip(frame.planes, ((width, height), half, half), strict=True):
        pixels = np.frombuffer(data, np.uint8, columns * rows, start).reshape(rows, columns)
        # The encoder's rows are padded for its vector instructions, libwebrtc's are not.
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:rows, :columns] = pixels
        start += columns * rows
    return frame
