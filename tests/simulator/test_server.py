"""The simulator as a whole: starting, stopping, and what it leaves behind."""

from __future__ import annotations

import builtins
import importlib
import logging
import subprocess
import sys
import threading
import time
from typing import Any

import psutil
import pytest
import requests

from heygen_avatar.errors import ConfigurationError, MissingExtraError, UsageError
from heygen_avatar.simulator import Simulator

from .visitors import Caller, Visitor, chatting


def test_it_listens_while_it_runs_and_not_after() -> None:
    with Simulator() as simulator:
        assert requests.get(f"{simulator.base_path}/simulator/sessions", timeout=5).json() == []
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{simulator.base_path}/simulator/sessions", timeout=5)


def test_the_key_can_be_chosen_and_is_made_up_otherwise() -> None:
    assert Simulator(api_key="mine").api_key == "mine"
    assert Simulator().api_key != Simulator().api_key


def test_it_has_no_port_before_it_is_started() -> None:
    with pytest.raises(UsageError, match="start"):
        _ = Simulator().base_path


def test_it_is_started_once() -> None:
    with Simulator() as simulator, pytest.raises(UsageError, match="make a new one"):
        simulator.start()


def test_a_port_in_use_is_named() -> None:
    with Simulator() as first:
        port = int(first.base_path.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match=str(port)):
            Simulator(port).start()


def test_stopping_twice_or_before_the_start_does_nothing() -> None:
    before = threads_of_ours()
    simulator = Simulator()
    simulator.stop()
    simulator.start()
    simulator.stop()
    simulator.stop()
    assert threads_of_ours() == before
    with pytest.raises(requests.ConnectionError):
        requests.get(simulator.base_path, timeout=5)


def test_sessions_that_are_open_are_ended_when_it_stops() -> None:
    with Simulator() as simulator:
        Caller(simulator).started()
    (record,) = simulator.sessions()
    assert (record["state"], record["end_reason"]) == ("closed", "simulator_stopped")
    assert simulator.billed_seconds == 30


def threads_of_ours() -> set[threading.Thread]:
    """All but native ones of the LiveKit client's, which Python takes for its own once they have called it."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("Dummy-")}


def test_nothing_is_left_of_it() -> None:
    process = psutil.Process()
    visitor = Visitor()  # the LiveKit client's own threads and sockets are not the simulator's
    threads, connections = threads_of_ours(), len(process.net_connections())
    with Simulator() as simulator:
        caller = Caller(simulator)
        session = caller.started()
        visitor.enter(session["url"], session["access_token"])
        caller.await_state(session["session_id"], "connected")
        with chatting(caller, session["session_id"]):
            caller.post("/v1/streaming.task", session_id=session["session_id"], text="Hello", task_mode="async")
            started = time.monotonic()
            simulator.stop()
            assert time.monotonic() - started < 5
    visitor.leave()
    assert threads_of_ours() <= threads
    assert len(process.net_connections()) <= connections


def test_keys_and_tokens_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Simulator() as simulator:
        caller = Caller(simulator)
        token = caller.token()
        session = Caller(simulator, token=token).started()
        caller.post("/v1/streaming.stop", session_id=session["session_id"])
    assert session["session_id"] in caplog.text
    for secret in (simulator.api_key, token, session["access_token"]):
        assert secret not in caplog.text
        assert secret not in repr(simulator)


def test_a_program_that_forgets_to_stop_it_ends_without_a_word() -> None:
    program = "from heygen_avatar.simulator import Simulator; sim = Simulator(); sim.start()"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


def test_without_the_extra_its_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_aiohttp(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "aiohttp":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real_import(name, *rest)

    for module in [name for name in sys.modules if name.startswith("heygen_avatar.simulator")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", without_aiohttp)
    with pytest.raises(MissingExtraError, match=r'pip install "heygen-avatar\[simulator\]"') as missing:
        importlib.import_module("heygen_avatar.simulator")
    assert missing.value.extra == "simulator"
