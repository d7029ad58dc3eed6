"""Waiting with an end: every blocking call of this package waits through here, in slices.

A lock wait on Windows before CPython 3.14 ignores Ctrl-C until it ends, so no single wait is longer than a slice.
"""

from __future__ import annotations

import math
import threading
import time

from attrs import frozen

from .errors import InvalidRequestError

SLICE = 0.1
"""The longest single wait, in seconds."""


@frozen
class Deadline:
    """A point on the monotonic clock by which a call has returned."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    @classmethod
    def never(cls) -> Deadline:
        """For iterations that the session's end ends: still taken in slices."""
        return cls(math.inf)

    @property
    def left(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        return self.left == 0.0

    def wait(self, flag: threading.Event) -> bool:
        """Wait for ``flag``; false when the deadline passed first."""
        while not flag.wait(min(SLICE, self.left)):
            if self.passed:
                return flag.is_set()
        return True

    def wait_on(self, condition: threading.Condition) -> bool:
        """Wait one slice on a held ``condition``; false once the deadline has passed."""
        if self.passed:
            return False
        condition.wait(min(SLICE, self.left))
        return True


def check_timeout(timeout: float) -> float:
    """``timeout`` in seconds as given to a public method, checked before anything is done.

    None is refused: a blocking call has a deadline. Where a method takes it for its own default, it says so itself.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 <= timeout < 1e7:
        raise InvalidRequestError(f"timeout must be a number of seconds, not {timeout!r}")
    return float(timeout)
