"""What the simulated service hears of a user, sample by sample, and sounds to say to it."""

from __future__ import annotations

import threading
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heygen_avatar.simulator import voice_chat

LOUD = 1_000
"""Of int16: what is louder is sound, what is softer is silence that a codec has been through."""


class Ears:
    """Everything that reaches the simulator's voice chats, from when it is made."""

    def __init__(self, monkeypatch: Any) -> None:
        self.rates: set[int] = set()
        self._pieces: list[NDArray[np.int16]] = []
        self._changed = threading.Condition()
        original = voice_chat.VoiceChat.hear

        def hear(chat: Any, samples: NDArray[np.int16], sample_rate: int, **how: Any) -> bool:
            with self._changed:
                self.rates.add(sample_rate)
                self._pieces.append(samples)
                self._changed.notify_all()
            return original(chat, samples, sample_rate, **how)

        monkeypatch.setattr(voice_chat.VoiceChat, "hear", hear)

    @property
    def samples(self) -> NDArray[np.int16]:
        with self._changed:
            return np.concatenate([np.zeros(0, np.int16), *self._pieces])

    @property
    def rate(self) -> int:
        [rate] = self.rates
        return rate

    @property
    def seconds(self) -> float:
        """How much was heard, silence too."""
        return len(self.samples) / self.rate if self.rates else 0.0

    @property
    def loud_seconds(self) -> float:
        """How much of it was sound, to 10 ms."""
        return 0.01 * int(np.count_nonzero(self._levels() > LOUD))

    @property
    def sounds(self) -> list[float]:
        """The lengths of the sounds heard; what is apart by less than 0.2 s is one."""
        loud = np.flatnonzero(self._levels() > LOUD)
        if not len(loud):
            return []
        parts = np.split(loud, np.flatnonzero(np.diff(loud) > 20) + 1)
        return [round(0.01 * (int(part[-1]) - int(part[0]) + 1), 2) for part in parts]

    def wait_until(self, true: Callable[[], bool], *, timeout: float = 20.0) -> None:
        end = time.monotonic() + timeout
        with self._changed:
            while not true():
                left = end - time.monotonic()
                assert left > 0, f"heard {self.seconds:.2f} s, of it sounds of {self.sounds} s"
                self._changed.wait(left)

    def wait_for_more(self, seconds: float) -> None:
        """Wait until so much more, sound or silence, was heard."""
        before = self.seconds
        self.wait_until(lambda: self.seconds >= before + seconds)

    def wait_for_the_end(self, silence: float = 0.2) -> None:
        """Wait until a sound was heard and so much silence behind it: its last packets may be late."""

        def ended() -> bool:
            levels = self._levels()
            loud = np.flatnonzero(levels > LOUD)
            return bool(len(loud)) and len(levels) - int(loud[-1]) > 100 * silence

        self.wait_until(ended)

    def _levels(self) -> NDArray[np.int16]:
        """The loudest sample of every 10 ms."""
        if not self.rates:
            return np.zeros(0, np.int16)
        step = self.rate // 100
        samples = self.samples
        whole = samples[: len(samples) // step * step].astype(np.int32)
        return np.abs(whole).reshape(-1, step).max(axis=1).astype(np.int16)


def tone(seconds: float, rate: int = 16_000, *, hertz: float = 300.0) -> NDArray[np.int16]:
    """A tone, loud all the way."""
    return (8_000 * np.cos(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


def whole(seconds: float) -> Any:
    """Equal to the length of a sound of which nothing is missing. On a busy machine a late packet may stretch it."""
    return pytest.approx(seconds + 0.05, abs=0.08)


def pieces(samples: NDArray[np.int16], size: int = 1_600) -> Iterator[NDArray[np.int16]]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def write_wave(path: Path, samples: NDArray[np.int16], rate: int = 16_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path
