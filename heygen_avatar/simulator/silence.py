"""The patience with a user who says nothing: how long silence lasts until it is remarked upon, and how often.

It measures silence and is told who speaks; it hears nothing itself. The published event carries ``silence_times`` and
``count_down`` and says nothing of their meaning or timing (heygen-streaming-v1 §8.3), so this is what was chosen:
after ``Hearing.silence`` seconds in which neither side spoke the event says which silence in a row this is and in how
many seconds the avatar will prompt the user; after these it does.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from heygen_avatar.simulator.listener import Hearing


class SilenceClock:
    """Counts silences in a row. ``on_silence(times, count_down)`` comes first, then ``on_over(times)``."""

    def __init__(
        self, hearing: Hearing, *, on_silence: Callable[[int, int], None], on_over: Callable[[int], None]
    ) -> None:
        self._hearing = hearing
        self._on_silence = on_silence
        self._on_over = on_over
        self._times = 0
        self._timer: asyncio.TimerHandle | None = None

    def run(self) -> None:
        """Nobody speaks. If that is no news, the time goes on."""
        # After some prompts the user is taken to be away: prompts must not keep a session from becoming idle.
        if self._timer is None and self._times < self._hearing.silence_prompts:
            self._timer = asyncio.get_running_loop().call_later(self._hearing.silence, self._remark)

    def stop(self) -> None:
        """Somebody speaks, or there is nobody whose silence could be heard."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def forgive(self) -> None:
        """The user said something: the next silence is the first again."""
        self._times = 0
        self.stop()

    def _remark(self) -> None:
        self._times += 1
        count_down = self._hearing.silence_count_down
        self._timer = asyncio.get_running_loop().call_later(count_down, self._end)
        self._on_silence(self._times, math.ceil(count_down))

    def _end(self) -> None:
        self._timer = None
        self._on_over(self._times)
