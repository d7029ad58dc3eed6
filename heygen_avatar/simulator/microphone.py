"""A client's microphone track, as the simulated avatar hears it: 48 kHz, mono, without holes.

Opus pauses while nobody speaks (DTX) and a muted track sends little or nothing; what listens for the end of a sentence
needs the silence too, so it is filled in at the pace of the clock. Not in the middle of a sound: packets that are
missing there are late, for nobody falls silent between two samples, and silence before them would tear a word apart.
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
"""Seconds without a packet after which silence goes on: more than a jitter buffer's hiccup."""

LATEST = 1.0
"""The same in the middle of a sound, which may have to wait for a machine that is busy. Longer than a pause between two
packets of a noise that Opus takes for silence (0.4 s)."""

LONGEST_HOLE = SAMPLE_RATE
"""Samples of a hole in the timestamps that are made good; a longer one is a clock that was set anew."""

QUIET = 328
"""Of int16, 1 %: what is softer is silence."""


class Microphone:
    """Reads one track until it ends, is told when it is muted, and passes the samples on."""

    def __init__(self, track: MediaStreamTrack, heard: Callable[[NDArray[np.int16]], None], *, muted: bool) -> None:
        self.track = track
        self.muted = muted
        self._heard = heard
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        self._expected: int | None = None
        self._silent = True
        self._missing = 0  # samples whose time has passed without a packet, and that were not made up for
        self._ahead = 0  # samples of silence that were heard by the clock, and that the timestamps have not come to
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
                    self._wait()
            except MediaStreamError:
                return
            else:
                assert isinstance(frame, av.AudioFrame)
                self._take(frame)

    def _wait(self) -> None:
        """No packet has come for another ``PATIENCE``."""
        self._missing += round(PATIENCE * SAMPLE_RATE)
        if self._silent or self.muted or self._missing >= LATEST * SAMPLE_RATE:
            silence, self._missing = self._missing, 0
            self._silent = True
            self._ahead += silence
            self._heard(np.zeros(silence, np.int16))

    def _take(self, frame: av.AudioFrame) -> None:
        self._missing = 0
        for piece in self._resampler.resample(frame):
            samples = piece.to_ndarray().reshape(-1).astype(np.int16, copy=False)
            start = piece.pts or 0
            if self._expected is not None:
                self._follow(start - self._expected)
            self._expected = start + len(samples)
            self._pass_on(np.zeros_like(samples) if self.muted else samples)

    def _follow(self, passed: int) -> None:
        """So many samples lie between this packet and the one before, by the sender's clock."""
        hole, self._ahead = passed - self._ahead, 0
        if 0 < hole <= LONGEST_HOLE:
            self._heard(np.zeros(hole, np.int16))
        elif -LONGEST_HOLE <= hole < 0:
            self._ahead = -hole

    def _pass_on(self, samples: NDArray[np.int16]) -> None:
        self._silent = int(np.abs(samples.astype(np.int32)).max(initial=0)) <= QUIET
        # Silence that was only late has been heard already; of a sound nothing is left out.
        heard_before = min(self._ahead, len(samples)) if self._silent else 0
        self._ahead = self._ahead - heard_before if self._silent else 0
        if heard_before < len(samples):
            self._heard(samples[heard_before:])
