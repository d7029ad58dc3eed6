"""Sound as a WAV file, for whoever takes files."""

from __future__ import annotations

import io
import wave

import numpy as np
from numpy.typing import NDArray


def as_wav(samples: NDArray[np.int16], sample_rate: int) -> bytes:
    """``samples``, (n,) int16, as the bytes of a file."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return content.getvalue()
