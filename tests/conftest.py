"""What the whole suite shares: simulators to talk to."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import hypothesis
import pytest

from heygen_avatar import cleanup
from heygen_avatar.simulator import Limits, Simulator
from tests.livekit_server import LiveKitServer
from tests.livekit_server import missing as livekit_server_missing
from tests.programs import eventually
from tests.secrecy import SecretWatch, listen

# An example that is slow because the machine is busy is no failure.
hypothesis.settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy machine")

ROOMY = Limits(concurrent_sessions=1_000, credits=1e9)
"""No test meets a limit that it did not ask for."""


_watch = SecretWatch()


@pytest.fixture(scope="session", autouse=True)
def secrets_are_watched() -> Iterator[None]:
    """Every key and token that the simulator makes is known from here on."""
    with pytest.MonkeyPatch.context() as patch:
        _watch.install(patch)
        listen(_watch)
        yield


@pytest.fixture(autouse=True)
def no_secret_gets_out(request: pytest.FixtureRequest) -> Iterator[None]:
    """No log record, error or file of a test shows a key or a token."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is not None:
        _watch.look_into(folder)
    leaks = _watch.take()
    assert not leaks, f"a secret is seen in: {', '.join(leaks)}"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Nor does what it printed, or the report of its failure; the test that runs next is blamed for it."""
    _watch.look("".join(text for _, text in report.sections) + report.longreprtext, f"report of {report.nodeid}")


def pytest_warning_recorded(warning_message: warnings.WarningMessage) -> None:
    _watch.look(str(warning_message.message), f"warning of {warning_message.filename}")


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


@pytest.fixture(scope="session")
def livekit_server() -> Iterator[LiveKitServer]:
    """A real LiveKit server; where there is none, the tests that want one are skipped."""
    if reason := livekit_server_missing():
        pytest.skip(reason)
    server = LiveKitServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def livekit_simulator(livekit_server: LiveKitServer) -> Iterator[Simulator]:
    """A simulator that performs in rooms of the real LiveKit server."""
    with Simulator(limits=ROOMY, **livekit_server.settings) as shared:
        yield shared


@pytest.fixture(params=["rooms of its own", "rooms of a LiveKit server"])
def any_simulator(request: pytest.FixtureRequest) -> Simulator:
    """The shared simulator, and the one on the real LiveKit server: what a client sees is the same."""
    where = "simulator" if request.param == "rooms of its own" else "livekit_simulator"
    simulator: Simulator = request.getfixturevalue(where)
    return simulator
