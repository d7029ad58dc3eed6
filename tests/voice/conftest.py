"""Who hears the user: a simulated service, and ears that write down what came to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from heygen_avatar.simulator import RecogniserSettings, Simulator
from tests.ears import Ears


@pytest.fixture(scope="module")
def service() -> Iterator[Simulator]:
    """A simulator that answers at once, whatever it hears."""
    with Simulator(stt=RecogniserSettings(engine="none")) as simulator:
        yield simulator


@pytest.fixture
def ears(monkeypatch: pytest.MonkeyPatch) -> Ears:
    return Ears(monkeypatch)
