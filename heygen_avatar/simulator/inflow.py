"""A client's own sound on its way into a line: 24 kHz PCM in pieces of any length (heygen-streaming-v1 §2.4)."""

from __future__ import annotations

import av
import numpy as np
from numpy.typing import NDArray

from heygen_avatar.simulator.line import Line
from heygen_avatar.simulator.stage import SAMPLE_RATE

SENT_RATE = 24_000
"""Samples a second that clients send: int16, little-endian, mono."""


class Inflow:
    """Brings what a client says in one go to the stage's rate, without a seam between its pieces."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        self._rest = b""

    def append(self, pcm: bytes) -> None:
        """Add a piece, which may end in the middle of a sample."""
        pcm = self._rest + pcm
        whole = len(pcm) // 2 * 2
        self._rest = pcm[whole:]
        samples = np.frombuffer(pcm[:whole], "<i2").astype(np.int16)
        if not len(samples):
            return
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = SENT_RATE
        self.line.append(self._resampled(frame))

    def seal(self) -> None:
        """Nothing more will come."""
        self.line.append(self._resampled(None))  # the resampler still has the last milliseconds
        self.line.end()

    def _resampled(self, frame: av.AudioFrame | None) -> NDArray[np.int16]:
        pieces = [piece.to_ndarray().reshape(-1) for piece in self._resampler.resample(frame)]
        return np.concatenate(pieces).astype(np.int16, copy=False) if pieces else np.zeros(0, np.int16)
