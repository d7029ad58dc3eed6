"""A picture and a piece of sound, as values.

No livekit, no threads; numpy and Pillow only inside the methods that need them, so importing this costs nothing.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from attrs import field, frozen

from ..errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = ["AudioFrame", "VideoFrame"]

BYTES_PER_SAMPLE = 2


def _read_only(data: bytes | bytearray | memoryview) -> memoryview:
    return memoryview(data).toreadonly().cast("B")


@frozen(kw_only=True, eq=False)
class VideoFrame:
    """One picture of the avatar.

    Attributes:
        width: pixels in a row.
        height: rows.
        timestamp: when it is to be shown, in seconds since the stream became ready.
        data: the pixels, RGB, three bytes each, row by row without padding; read-only.
    """

    width: int
    height: int
    timestamp: float
    data: memoryview = field(repr=False, converter=_read_only)

    def to_ndarray(self) -> NDArray[np.uint8]:
        """The pixels as (height, width, 3) uint8 RGB: a read-only view, not a copy. ``.copy()`` it to draw on it."""
        import numpy

        return numpy.frombuffer(self.data, numpy.uint8).reshape(self.height, self.width, 3)

    def to_image(self) -> Image:
        """The picture as a Pillow image.

        Raises:
            MissingExtraError: Pillow is not installed.
        """
        try:
            from PIL import Image
        except ImportError:
            raise MissingExtraError(extra="notebook", feature="VideoFrame.to_image()") from None
        return Image.frombytes("RGB", (self.width, self.height), self.data)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a file; its suffix says the format (``.png``, ``.jpg``, ...).

        Raises:
            MissingExtraError: Pillow is not installed.
            OSError: the file cannot be written.
            ValueError: the suffix is of no format that Pillow writes.
        """
        self.to_image().save(os.fspath(path))

    def _repr_png_(self) -> bytes | None:
        """The picture, for a notebook that shows this frame as a cell's result."""
        try:
            image = self.to_image()
        except MissingExtraError:
            return None  # the notebook shows the plain repr instead
        png = io.BytesIO()
        image.save(png, "PNG", compress_level=1)  # a quarter of the default's time for a slightly larger picture
        return png.getvalue()


@frozen(kw_only=True, eq=False)
class AudioFrame:
    """A piece of sound.

    Attributes:
        sample_rate: samples a second.
        num_channels: 1 or 2; two are interleaved in ``data``.
        timestamp: where it begins, in seconds since the stream became ready.
        data: the samples, int16 in the machine's byte order; read-only.
    """

    sample_rate: int
    num_channels: int = 1
    timestamp: float = 0.0
    data: memoryview = field(repr=False, converter=_read_only)

    @property
    def num_samples(self) -> int:
        """Samples of each channel."""
        return len(self.data) // (BYTES_PER_SAMPLE * self.num_channels)

    @property
    def duration(self) -> float:
        """How long it sounds, in seconds."""
        return self.num_samples / self.sample_rate

    @property
    def samples(self) -> NDArray[np.int16]:
        """The samples as (n, channels) int16: a read-only view, nothing is copied."""
        import numpy

        return numpy.frombuffer(self.data, numpy.int16).reshape(-1, self.num_channels)
