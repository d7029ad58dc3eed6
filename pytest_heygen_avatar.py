"""The pytest plugin: a simulator and a running avatar as fixtures, faults by marker, and no session left open.

pytest loads this in every run of everybody who has the package installed, so it imports nothing but pytest until a test
asks for something; that is also why it is a module of its own, beside the package, whose import costs more.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from heygen_avatar import StreamingAvatar
    from heygen_avatar.simulator import Simulator

PATIENCE = 4.0
"""Seconds that a session may take to end behind its test: a killed program's guardian needs up to three."""

_OPEN_AFTER_CALL = pytest.StashKey[list[Any]]()


def pytest_configure(config: pytest.Config) -> None:
    for marker in (
        "heygen_fault(**fields): plan a fault of heygen_simulator; the fields of heygen_avatar.simulator.Fault",
        "heygen_simulator(**settings): start the fixture heygen_simulator with these; the arguments of Simulator",
        "heygen_session(**fields): start the fixture heygen_avatar_session with these; those of create_start_avatar()",
    ):
        config.addinivalue_line("markers", marker)


@pytest.fixture
def heygen_simulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A local HeyGen of this test's own; the variables that name service and key lead to it."""
    from heygen_avatar.services import PLACES
    from heygen_avatar.simulator import Simulator

    with Simulator(**_of_marker(request, "heygen_simulator")) as simulator:
        for marker in reversed(list(request.node.iter_markers("heygen_fault"))):
            for fault in (*marker.args, *([marker.kwargs] if marker.kwargs else [])):
                simulator.inject(fault)
        for place in PLACES.values():
            monkeypatch.setenv(place.base_path_variable, simulator.base_path)
            monkeypatch.setenv(place.key_variable, simulator.api_key)
        yield simulator


@pytest.fixture
def heygen_avatar_session(request: pytest.FixtureRequest, heygen_simulator: Simulator) -> Iterator[StreamingAvatar]:
    """An avatar whose session runs in ``heygen_simulator``, and ends with the test."""
    from heygen_avatar import StreamingAvatar

    with StreamingAvatar(api_key=heygen_simulator.api_key, base_path=heygen_simulator.base_path) as avatar:
        avatar.create_start_avatar(**_of_marker(request, "heygen_session"))
        yield avatar


@pytest.fixture(autouse=True)
def _heygen_no_session_left_open(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a session open: with a real account, it would cost money from now on."""
    # Asked for here, the simulator is there when this is torn down, which is after all that needs the simulator.
    local = request.getfixturevalue("heygen_simulator") if "heygen_simulator" in request.fixturenames else None
    if local is None and request.node.get_closest_marker("heygen_fault"):
        pytest.fail("the marker heygen_fault needs the fixture heygen_simulator", pytrace=False)
    of_wider_fixtures = _open_sessions()
    yield
    left = [session for session in _open_sessions() if session not in of_wider_fixtures]
    unfinished = [
        f"session {session.session_id} (left to the garbage collector)"
        for session in request.node.stash.get(_OPEN_AFTER_CALL, [])
        if session not in left and session not in of_wider_fixtures and _was_collected(session)
    ]
    for session in left:
        collected = _was_collected(session)
        unfinished.append(f"session {session.session_id}" + (" (left to the garbage collector)" if collected else ""))
        session.close(PATIENCE)
    if local is not None:
        unfinished += [f"session {name} of another process or client" for name in _open_in(local)]
    if unfinished:
        pytest.fail(
            f"left open: {', '.join(unfinished)}; use `with StreamingAvatar(...)`, or call stop_avatar()",
            pytrace=False,
        )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, None]:
    """Note what is open when the test's function has returned: an avatar it forgot is being collected just then."""
    yield
    item.stash[_OPEN_AFTER_CALL] = _open_sessions()


def _of_marker(request: pytest.FixtureRequest, name: str) -> dict[str, Any]:
    marker = request.node.get_closest_marker(name)
    return {} if marker is None else dict(marker.kwargs)


def _open_sessions() -> list[Any]:
    """The sessions of this process that may cost money; none where nobody has loaded the package."""
    cleanup = sys.modules.get("heygen_avatar.cleanup")
    return [] if cleanup is None else list(cleanup.open_sessions())


def _was_collected(session: Any) -> bool:
    return "garbage collected" in getattr(session, "end_text", "")


def _open_in(simulator: Simulator) -> list[str]:
    """The sessions that are open in the simulator, once those that are ending have had the time to."""
    deadline = time.monotonic() + PATIENCE
    while True:
        left = [entry["session_id"] for entry in simulator.sessions() if entry["state"] not in ("closing", "closed")]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)
