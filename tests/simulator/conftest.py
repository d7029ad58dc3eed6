"""A caller of the shared simulator who leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from heygen_avatar.simulator import Simulator

from .visitors import Caller


@pytest.fixture
def caller(simulator: Simulator) -> Iterator[Caller]:
    """Calls with the API key; what sessions the test left open are stopped."""
    caller = Caller(simulator)
    yield caller
    for record in simulator.sessions():
        if record["state"] not in ("closing", "closed"):
            caller.post("/v1/streaming.stop", session_id=record["session_id"])
