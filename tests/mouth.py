"""What the simulated avatar says, sample by sample, before it is on its way to anybody.

On a busy machine packets are late, and whoever hears them stretches a sound to cover that: how long it is, and whether
a part is missing, is measured here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heygen_avatar.simulator.sfu import SfuRoom
from heygen_avatar.simulator.stage import SAMPLE_RATE

LOUD = 1_000
"""Of int16: what is louder is sound."""

WINDOW = SAMPLE_RATE // 100


class Mouth:
    """Everything that is said in the simulator's own rooms, from when it is made."""

    def __init__(self, monkeypatch: Any) -> None:
        self._pieces: list[NDArray[np.int16]] = []
        original = SfuRoom.push_audio

        def push(room: SfuRoom, samples: NDArray[np.int16]) -> None:
            self._pieces.append(samples.copy())
            original(room, samples)

        monkeypatch.setattr(SfuRoom, "push_audio", push)

    @property
    def seconds(self) -> float:
        """From the beginning of the first sound to the end of the last one."""
        loud = self._loud()
        return 0.01 * (int(loud[-1]) - int(loud[0]) + 1) if len(loud) else 0.0

    @property
    def is_one_sound(self) -> bool:
        """Whether there is no gap between its beginning and its end."""
        loud = self._loud()
        return len(loud) > 0 and len(loud) == int(loud[-1]) - int(loud[0]) + 1

    def _loud(self) -> NDArray[np.intp]:
        """Which windows of 10 ms sound."""
        samples = np.concatenate([np.zeros(0, np.int16), *self._pieces]).astype(np.int32)
        whole = samples[: len(samples) // WINDOW * WINDOW].reshape(-1, WINDOW)
        return np.flatnonzero(np.abs(whole).max(axis=1, initial=0) > LOUD)
