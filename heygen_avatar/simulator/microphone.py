"""A client's microphone track, as the simulated avatar hears it: 48 kHz, mono, without holes.

Opus pauses while nobody speaks (DTX) and a muted track sends little or nothing; what listens for the end of a sentence
needs the silence too, so it is filled in at the pace of the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from numpy.typing import NDArray

from .stage import SAMPLE_RATE

PATIENCE = 0.1
"""Seconds without a packet after which silence is heard instead: more than a jitter buffer's hiccup."""

LONGEST_HOLE = SAMPLE_RATE
"""Samples of a hole in the timestamps that are made good; a longer one is a clock that was set anew."""


class Microphone:
    """Reads one track until it ends, is told when it is muted, and passes the samples on."""

    def __init__(self, track: MediaStreamTrack, heard: Callable[[NDArray[np.int16]], None], *, muted: bool) -> None:
        self.track = track
        self.muted = muted
        self._heard = heard
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        self._expected: int | None = None
        self._filled = 0
        self._work = asyncio.create_task(self._listen(), name="microphone")

    def stop(self) -> None:
        self._work.cancel()

    async def close(self) -> None:
        self._work.cancel()
        await asyncio.wait([self._work])

    async def _listen(self) -> None:
        while True:
            try:
                frame = await asyncio.wait_for(self.track.recv(), PATIENCE)
            except asyncio.TimeoutError:
                # Before the first packet nothing is connected yet, and there is no silence to hear.
                if self._expected is not None:
                    self._fill(int(PATIENCE * SAMPLE_RATE))
            except MediaStreamError:
                return
            else:
                assert isinstance(frame, av.AudioFrame)
                self._take(frame)

    def _take(self, frame: av.AudioFrame) -> None:
        for piece in self._resampler.resample(frame):
            samples = piece.to_ndarray().reshape(-1).astype(np.int16, copy=False)
            hole = (piece.pts or 0) - self._expected - self._filled if self._expected is not None else 0
            if 0 < hole <= LONGEST_HOLE:
                self._fill(hole)
            self._filled = 0
            self._expected = (piece.pts or 0) + len(samples)
            self._heard(np.zeros_like(samples) if self.muted else samples)

    def _fill(self, count: int) -> None:
        self._filled += count
        self._heard(np.zeros(count, np.int16))
