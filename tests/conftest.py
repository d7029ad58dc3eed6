"""What the whole suite shares: simulators to talk to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import hypothesis
import pytest

from heygen_avatar import cleanup
from heygen_avatar.simulator import Limits, Simulator
from tests.programs import eventually

# An example that is slow because the machine is busy is no failure.
hypothesis.settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy machine")

ROOMY = Limits(concurrent_sessions=1_000, credits=1e9)
"""No test meets a limit that it did not ask for."""


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No test leaves a paid session open, or a thread of ours but the shared media thread and simulators."""
    before = set(threading.enumerate())
    yield
    leftovers = eventually(lambda: not _leftovers(before), 5.0) or _leftovers(before)
    assert leftovers is True, f"left behind: {leftovers}"


def _leftovers(before: set[threading.Thread]) -> list[str]:
    threads = [
        thread.name
        for thread in set(threading.enumerate()) - before
        if thread.name.startswith("heygen-") and thread.name not in ("heygen-media", "heygen-simulator")
    ]
    return threads + [f"session {session.session_id}" for session in cleanup.open_sessions()]


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """One simulator for all tests that need no settings and plan no faults of their own."""
    with Simulator(limits=ROOMY) as shared:
        yield shared


@pytest.fixture
def make_simulator() -> Iterator[Callable[..., Simulator]]:
    """Start simulators with settings of the test's own; they are stopped when it ends."""
    with ExitStack() as started:

        def make(**settings: Any) -> Simulator:
            return started.enter_context(Simulator(**{"limits": ROOMY, **settings}))

        yield make
