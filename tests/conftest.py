"""What the whole suite shares: simulators to talk to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from heygen_avatar.simulator import Limits, Simulator

ROOMY = Limits(concurrent_sessions=1_000, credits=1e9)
"""No test meets a limit that it did not ask for."""


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
