"""Where pictures and sounds lie on a recording's clock, which is the sound's: its samples are counted, never stretched.

Pure arithmetic on arrival times (seconds on any steady clock); positions are samples at ``RATE``. No I/O, no threads.
"""

from __future__ import annotations

__all__ = ["RATE", "Timeline"]

RATE = 48_000
"""Samples a second of everything recorded, and the unit of all positions."""

GAP = RATE
"""Silence is put in where the sound is behind by more than this; less is the jitter of a busy machine."""

AHEAD = GAP + RATE // 2
"""Pictures may be ahead of the sound by this; where there is no sound at all, silence follows at ``GAP``."""

DRIFT = 0.001
"""How much slower than the steady clock the sound's may run."""


class Timeline:
    """Positions for what arrives, in order of arrival."""

    def __init__(self) -> None:
        self.position = 0
        """The end of the sound so far, silence included."""
        self._zero: float | None = None
        self._heard_at: float | None = None
        self._shown = -1
        # How far the sound's clock is ahead of the arrival clock: the best seen, since arrival is late and never early.
        self._lead = 0.0

    def sound(self, at: float, samples: int) -> int:
        """Where to put ``samples`` that were complete at ``at``; beyond ``position``, silence belongs between."""
        if self._zero is None:
            self._zero = at - samples / RATE
        arrival = (at - self._zero) * RATE
        if self._heard_at is None:
            start = max(self.position, round(arrival) - samples)
        else:
            self._lead -= DRIFT * RATE * (at - self._heard_at)
            late = arrival + self._lead - (self.position + samples)
            start = self.position + (round(late) if late > GAP else 0)
        self._heard_at = at
        self.position = start + samples
        self._lead = max(self._lead, self.position - arrival)
        return start

    def picture(self, at: float) -> int:
        """Where to show a picture of ``at``, after the one before; then ``position`` is not far behind it."""
        if self._zero is None:
            self._zero = at
        position = max(self._shown + 1, round((at - self._zero) * RATE + self._lead))
        self._shown = position
        if position - self.position > AHEAD:
            self.position = position - GAP
        return position
