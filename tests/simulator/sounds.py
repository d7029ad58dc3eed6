"""Sounds for those who listen: speech, and what is none. All 16 kHz, mono, int16."""

from __future__ import annotations

from functools import cache

import av
import numpy as np
from numpy.typing import NDArray

from heygen_avatar.simulator.stage import SAMPLE_RATE as STAGE_RATE
from heygen_avatar.simulator.voice import Delivery, load_voice

RATE = 16_000


@cache
def spoken(text: str) -> NDArray[np.int16]:
    """The text, said by the best voice that is installed."""
    return at_rate(load_voice().synthesize(text, Delivery()).samples, STAGE_RATE, RATE)


def silence(seconds: float) -> NDArray[np.int16]:
    return np.zeros(int(seconds * RATE), np.int16)


def hum(frequency: float, seconds: float, *, amplitude: int = 6000) -> NDArray[np.int16]:
    """A steady tone with an overtone, on a little noise, as from a machine."""
    time_axis = np.arange(int(seconds * RATE)) / RATE
    wave = np.sin(2 * np.pi * frequency * time_axis) + np.sin(4 * np.pi * frequency * time_axis) / 2
    noise = np.random.default_rng(1).normal(0, 50, len(time_axis))
    return (wave * amplitude + noise).astype(np.int16)


def click() -> NDArray[np.int16]:
    """A loud crack of 5 ms."""
    return np.random.default_rng(2).integers(-25_000, 25_000, RATE // 200).astype(np.int16)


def knock() -> NDArray[np.int16]:
    """A blow on the table: 50 ms of noise that dies away."""
    noise = np.random.default_rng(3).uniform(-1, 1, RATE // 20)
    return (noise * np.linspace(12_000, 0, len(noise))).astype(np.int16)


def at_rate(samples: NDArray[np.int16], rate: int, wanted: int) -> NDArray[np.int16]:
    """The same sound with another number of samples a second."""
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="s16", layout="mono", rate=wanted)
    return np.concatenate([piece.to_ndarray()[0] for piece in (*resampler.resample(frame), *resampler.resample(None))])
