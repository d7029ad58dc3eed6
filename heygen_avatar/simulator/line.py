"""One line of the avatar's part: a growing piece of sound with text that falls due as it sounds.

A line only stores and hands out. Who fills it (a voice, a client's PCM) and who plays it (the performer's tick) are
elsewhere; both are on the simulator's loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from heygen_avatar.simulator.stage import BLOCK_SAMPLES, SAMPLE_RATE
from heygen_avatar.simulator.voice import Word


@frozen(kw_only=True)
class Spoken:
    """How a line ended: what was really said, for how long, and whether it was cut off (or never begun)."""

    task_id: str
    text: str
    duration_ms: float
    interrupted: bool


@frozen(eq=False)
class Block:
    """At most 20 ms of a line, the pieces of text that begin in it, and whether they are the last."""

    samples: NDArray[np.int16]
    texts: tuple[str, ...] = ()
    text_ended: bool = False


class Line:
    """Sound that is appended at one end and taken in blocks at the other. Its ``result`` resolves when it is over.

    Whoever awaits the ``result`` may be cancelled, and the result with it: that does not stop the line.
    """

    def __init__(self, task_id: str, result: asyncio.Future[Spoken]) -> None:
        self.task_id = task_id
        self.result = result
        self.text: str | None = None
        """All that is to be said, once that is known; None for sound without text."""
        self.said = ""
        """What has been said of it."""
        self.started = False
        self.complete = False
        self.broken = False
        """The rest of it cannot be had: it ends as an interrupted line does, where what there is of it ends."""
        self.over = False
        self.pending = 0
        """Samples that wait to be taken."""
        self._sounded = 0
        self._text_ended = False
        self._parts: deque[NDArray[np.int16]] = deque()
        self._appended = 0
        self._taken = 0
        self._cues: deque[Word] = deque()

    def append(self, samples: NDArray[np.int16], words: Sequence[Word] = ()) -> None:
        """Add sound, (n,) int16 48 kHz mono, with words whose times count from its own start.

        After :meth:`end`, and once the line is over, this does nothing: a sender need not know of an interruption.
        """
        if self.complete:
            return
        self._cues.extend(Word(word.text, self._appended + word.at) for word in words)
        if len(samples):
            self._parts.append(samples)
            self._appended += len(samples)
            self.pending += len(samples)

    def end(self) -> None:
        """Nothing more will be appended."""
        self.complete = True

    def break_off(self) -> None:
        """The rest cannot be had; what was appended is still heard."""
        self.complete = self.broken = True

    @property
    def ready(self) -> bool:
        """There is a block to take: a full one, or the last."""
        return self.pending >= BLOCK_SAMPLES or self.complete

    @property
    def exhausted(self) -> bool:
        """Everything was taken and nothing will come."""
        return self.complete and not self.pending and not self._cues

    @property
    def duration_ms(self) -> float:
        """How long it has sounded, pauses for want of samples included."""
        return self._sounded * 1000 / SAMPLE_RATE

    def take(self) -> Block:
        """The next block; silence, if the line has begun and whoever fills it is late."""
        if not self.ready:
            self._sounded += BLOCK_SAMPLES
            return Block(np.zeros(BLOCK_SAMPLES, np.int16))
        samples = self._cut(min(BLOCK_SAMPLES, self.pending))
        self._sounded += len(samples)
        last = self.complete and not self.pending
        texts: list[str] = []
        while self._cues and (last or self._cues[0].at < self._taken):
            texts.append(self._cues.popleft().text)
        self.said += "".join(texts)
        text_ends = self.complete and not self.broken and not self._cues and self.text is not None
        text_ended, self._text_ended = text_ends and not self._text_ended, text_ends
        return Block(samples, tuple(texts), text_ended)

    def finish(self, *, interrupted: bool) -> None:
        """The line is over: resolve its result."""
        self.over = True
        self.end()
        if not self.result.done():
            self.result.set_result(
                Spoken(task_id=self.task_id, text=self.said, duration_ms=self.duration_ms, interrupted=interrupted)
            )

    def cut_off(self, fade: int) -> NDArray[np.int16]:
        """Throw away what is left, but for up to ``fade`` samples that bring a sounding line to silence: these."""
        count = min(fade, self.pending) if self.started else 0
        rest = self._cut(count) * np.linspace(1.0, 0.0, count)
        self._sounded += count
        self.complete = True
        self.pending = 0
        self._parts.clear()
        self._cues.clear()
        return rest.astype(np.int16)

    def _cut(self, count: int) -> NDArray[np.int16]:
        pieces: list[NDArray[np.int16]] = []
        missing = count
        while missing:
            part = self._parts.popleft()
            pieces.append(part[:missing])
            if len(part) > missing:
                self._parts.appendleft(part[missing:])
            missing -= len(pieces[-1])
        self._taken += count
        self.pending -= count
        return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
