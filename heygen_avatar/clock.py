"""A session's clock: says before the service ends it, ends it where the service says nothing, and keeps it alive.

LiveAvatar was seen to let a session's longest duration pass without an event, a closed socket or any other word: the
avatar just fell silent. Nothing here knows a wire.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from .errors import HeyGenError
from .liveavatar import SessionEndReason
from .protocols import Lifetime

__all__ = ["KeepAlive", "SessionClock"]

WARNING = 15.0
"""Seconds before its end that a session is said to expire; of a short one, the last quarter."""

GRACE = 2.0
"""Seconds beyond its end in which the service may say itself that a session is over."""

_numbers = count(1)


class SessionClock:
    """Made and run on the media loop; ``touch`` and ``end`` may be called from any thread.

    Args:
        started_at: when the session began, on the monotonic clock.
        expiring: told how many seconds are left, and which end it will be.
        expired: told which end it is, and in words.
    """

    def __init__(
        self,
        lifetime: Lifetime,
        *,
        started_at: float,
        expiring: Callable[[float, str], None],
        expired: Callable[[str, str], None],
    ) -> None:
        self._lifetime = lifetime
        self._started_at = started_at
        self._touched_at = time.monotonic()
        self._expiring, self._expired = expiring, expired
        self._loop = asyncio.get_running_loop()
        self._touched = asyncio.Event()
        self._is_expiring = False
        self._tasks: list[asyncio.Task[None]] = []

    def run(self) -> None:
        if self._lifetime.duration is not None:
            self._tasks.append(asyncio.create_task(self._watch_duration(self._lifetime.duration)))
        if self._lifetime.idle is not None:
            self._tasks.append(asyncio.create_task(self._watch_idle(self._lifetime.idle)))

    def touch(self) -> None:
        """Something happened that the service counts as activity."""
        self._touched_at = time.monotonic()
        # The time is written before this is read, and read after this is written: one of the two threads sees it.
        if self._is_expiring:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._touched.set)

    def end(self) -> None:
        for task in self._tasks:
            with suppress(RuntimeError):  # the loop is closed, and the clock with it
                self._loop.call_soon_threadsafe(task.cancel)

    async def _watch_duration(self, seconds: float) -> None:
        end = self._started_at + seconds
        await _until(end - _notice(seconds))
        self._expiring(max(0.0, end - time.monotonic()), SessionEndReason.MAX_DURATION_REACHED.value)
        await _until(end + GRACE)
        self._expired(
            SessionEndReason.MAX_DURATION_REACHED.value,
            f"its longest duration of {seconds:g} s was reached; max_session_duration and the plan set it",
        )

    async def _watch_idle(self, seconds: float) -> None:
        while True:
            seen = self._touched_at
            await _until(seen + seconds - _notice(seconds))
            if self._touched_at != seen:
                continue
            self._expiring(max(0.0, seen + seconds - time.monotonic()), SessionEndReason.IDLE_TIMEOUT.value)
            if not await self._is_touched(seen, until=seen + seconds + GRACE):
                break
        self._expired(
            SessionEndReason.IDLE_TIMEOUT.value,
            f"idle for {seconds:g} s: call keep_alive(), or keep it open inside `with`",
        )

    async def _is_touched(self, seen: float, *, until: float) -> bool:
        """Whether anything happens after ``seen``, the last time that something did."""
        self._touched.clear()
        self._is_expiring = True
        try:
            if self._touched_at == seen:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._touched.wait(), until - time.monotonic())
        finally:
            self._is_expiring = False
        return self._touched_at != seen


class KeepAlive:
    """A thread that says again and again that a session is still wanted, until ``ended``.

    Args:
        first: seconds until the first time.
    """

    def __init__(
        self,
        tell: Callable[[], object],
        *,
        failed: Callable[[HeyGenError], None],
        first: float,
        every: float,
        ended: threading.Event,
    ) -> None:
        self._tell, self._failed, self._ended = tell, failed, ended
        self._first, self._every = max(0.0, first), every
        threading.Thread(target=self._run, name=f"heygen-keepalive-{next(_numbers)}", daemon=True).start()

    def _run(self) -> None:
        wait = self._first
        while not self._ended.wait(wait):
            wait = self._every
            try:
                self._tell()
            except HeyGenError as error:
                self._failed(error)


def _notice(seconds: float) -> float:
    return min(WARNING, seconds / 4)


async def _until(at: float) -> None:
    """Wait for a moment of the monotonic clock."""
    while (left := at - time.monotonic()) > 0:
        await asyncio.sleep(left)
