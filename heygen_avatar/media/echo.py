"""What the machine's loudspeakers play, for its microphones to take out again. No library here, and no sound card."""

from __future__ import annotations

import threading
from collections import deque

__all__ = ["machine_echo"]

KEPT = 50
"""Blocks kept for a microphone: half a second. More is wanted by none, fewer would be missed by a late one."""


class Echo:
    """Blocks of 10 ms, on their way from loudspeakers to microphones, on the sound library's threads.

    A machine has one air: every microphone of this process hears every loudspeaker of it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ears: set[Ear] = set()

    def played(self, player: object, block: bytes) -> None:
        """``player`` has just been given 10 ms of 48 kHz mono int16."""
        with self._lock:
            for ear in self._ears:
                ear._blocks.setdefault(id(player), deque(maxlen=KEPT)).append(block)

    def ended(self, player: object) -> None:
        """``player`` plays no more."""
        with self._lock:
            for ear in self._ears:
                ear._blocks.pop(id(player), None)

    def listen(self) -> Ear:
        """Hear what is played from now on."""
        ear = Ear(self)
        with self._lock:
            self._ears.add(ear)
        return ear


class Ear:
    """One microphone's part of it."""

    def __init__(self, echo: Echo) -> None:
        self._echo = echo
        self._blocks: dict[int, deque[bytes]] = {}

    def heard(self) -> list[bytes]:
        """What was played since this was asked last, block by block; several loudspeakers are mixed."""
        with self._echo._lock:
            length = max((len(blocks) for blocks in self._blocks.values()), default=0)
            parts = [[blocks.popleft() for blocks in self._blocks.values() if blocks] for _ in range(length)]
        return [part[0] if len(part) == 1 else _mixed(part) for part in parts]

    def close(self) -> None:
        """Hear no more."""
        with self._echo._lock:
            self._echo._ears.discard(self)


def _mixed(parts: list[bytes]) -> bytes:
    import numpy

    total = sum(numpy.frombuffer(part, numpy.int16).astype(numpy.int32) for part in parts)
    return bytes(numpy.clip(total, -32768, 32767).astype(numpy.int16).tobytes())


machine_echo = Echo()
