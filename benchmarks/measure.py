"""What every benchmark shares: rounds that take turns, rows of a table, a simulator in a process of its own.

The machine is never quiet, so no number stands alone: both contenders do the same work in turns within one run, each
round gives one ratio, and a row tells the median of the ratios and the half that lies in their middle.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from attrs import field, frozen

__all__ = ["Address", "Row", "Spread", "Usage", "machine", "memory_mb", "simulator", "turns"]


@frozen(kw_only=True)
class Spread:
    """A median, and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        if len(values) == 1:
            return cls(median=values[0], low=values[0], high=values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median=median, low=low, high=high)


@frozen(kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        what: what was done.
        unit: of ``ours`` and ``theirs``, which have a value for each round.
        against: who the other contender is.
        goal: what the ratio shall not exceed (or, where ``more_is_better``, fall below); None where none was set.
    """

    what: str
    unit: str
    ours: list[float]
    theirs: list[float]
    against: str
    goal: float | None = None
    more_is_better: bool = False
    digits: int = 1
    ratio: Spread = field(init=False)

    @ratio.default
    def _ratio_of_rounds(self) -> Spread:
        rounds = zip(self.ours, self.theirs, strict=True)
        return Spread.of([mine / other for mine, other in rounds if other] or [float("nan")])

    @property
    def verdict(self) -> str:
        """Whether the goal is reached."""
        if self.goal is None:
            return ""
        reached = self.ratio.median >= self.goal if self.more_is_better else self.ratio.median <= self.goal
        return "yes" if reached else "no"


@frozen(kw_only=True)
class Address:
    """Where the simulator is."""

    base_path: str
    api_key: str = field(repr=False)

    def settings(self) -> dict[str, str]:
        """As arguments of a contender."""
        return {"base_path": self.base_path, "api_key": self.api_key}


@contextmanager
def simulator(*options: str) -> Iterator[Address]:
    """A simulator in a process of its own, with room for many sessions."""
    roomy = ["--limit", "concurrent_sessions=1000", "--limit", "credits=1000000"]
    command = [sys.executable, "-m", "heygen_avatar", "simulator", "--json", *roomy, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Address(**json.loads(process.stdout.readline()))
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def turns(rounds: int, ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[list[Any], list[Any]]:
    """The results of both, round by round. Who begins changes from round to round."""
    results: tuple[list[Any], list[Any]] = ([], [])
    for number in range(rounds):
        for who in (0, 1) if number % 2 == 0 else (1, 0):
            results[who].append((ours, theirs)[who]())
    return results


class Usage:
    """What this process has used since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._cpu = time.process_time()

    def cpu_percent(self) -> float:
        """Of one core, of all threads together."""
        return 100 * (time.process_time() - self._cpu) / (time.perf_counter() - self._began)


def memory_mb() -> float:
    """Resident memory of this process."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 1e6


def machine() -> list[str]:
    """Facts about where this runs, a line each."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("livekit", "aiohttp", "requests", "aiortc"))
    load = "" if not hasattr(os, "getloadavg") else f"{os.getloadavg()[0]:.1f}"
    return [
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores ({_processor()})",
        f"{platform.python_implementation()} {platform.python_version()}, {packages}",
        f"load average at the end of the run, the simulator and the contenders included: {load}",
    ]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as facts:
            names = [line.split(":", 1)[1].strip() for line in facts if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown processor"
