"""Faults on demand: each kind as a client sees it, which calls are struck, how a plan is set and cleared."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from heygen_avatar.errors import InvalidRequestError, UsageError
from heygen_avatar.simulator import Fault, Simulator

from .visitors import Caller

LIST = "/v1/streaming.list"
NEW = "/v1/streaming.new"


@pytest.fixture
def own_caller(make_simulator: Callable[..., Simulator]) -> Iterator[Caller]:
    """A caller of a simulator that may go wrong as the test likes."""
    yield Caller(make_simulator())


def test_a_call_is_answered_with_the_planned_status(own_caller: Caller) -> None:
    own_caller.simulator.inject(Fault(kind="status", status=503, code=42, message="busy", retry_after=1.5))
    answer = own_caller.get(LIST)
    assert (answer.status_code, answer.json()) == (503, {"code": 42, "message": "busy"})
    assert answer.headers["Retry-After"] == "1.5"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert own_caller.get(LIST).status_code == 200


def test_a_planned_error_keeps_the_call_from_its_work(own_caller: Caller) -> None:
    own_caller.simulator.inject(Fault(kind="status", path=NEW))
    own_caller.post(NEW, version="v2")
    assert own_caller.simulator.sessions() == []


def test_an_answer_can_come_late(own_caller: Caller) -> None:
    own_caller.simulator.inject(Fault(kind="delay", seconds=0.3))
    asked = time.monotonic()
    assert own_caller.get(LIST).status_code == 200
    assert time.monotonic() - asked >= 0.3


def test_a_late_answer_is_that_of_one_call(own_caller: Caller) -> None:
    own_caller.simulator.inject(Fault(kind="delay", path=NEW, seconds=0.1))
    own_caller.post(NEW, version="v2")
    assert len(own_caller.simulator.sessions()) == 1


def test_an_answer_can_stay_away_until_the_plan_is_cleared(own_caller: Caller) -> None:
    own_caller.simulator.inject(Fault(kind="hang", path=LIST))
    with pytest.raises(requests.ReadTimeout):
        requests.get(own_caller.simulator.base_path + LIST, timeout=0.3)
    own_caller.simulator.inject(Fault(kind="hang", path=LIST))
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(own_caller.get, LIST)
        while own_caller.get("/simulator/faults").json()[1]["struck"] == 0:
            assert not waiting.done()
        own_caller.simulator.clear_faults()
        with pytest.raises(requests.ConnectionError):
            waiting.result(10)


def test_an_answer_can_stay_away_after_the_work_was_done(own_caller: Caller) -> None:
    own_caller.simulator.inject(Fault(kind="hang", path=NEW, after=True, seconds=0.2))
    with pytest.raises(requests.ConnectionError):
        own_caller.post(NEW, version="v2")
    assert [record["state"] for record in own_caller.simulator.sessions()] == ["new"]


def test_an_answer_can_break_off(own_caller: Caller) -> None:
    own_caller.simulator.inject(Fault(kind="cut"))
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        own_caller.get(LIST)


def test_an_answer_can_be_broken_json(own_caller: Caller) -> None:
    own_caller.simulator.inject(Fault(kind="malformed"))
    answer = own_caller.get(LIST)
    assert answer.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_an_answer_can_be_a_page(own_caller: Caller) -> None:
    own_caller.simulator.inject(Fault(kind="html", status=502))
    answer = own_caller.get(LIST)
    assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (502, "text/html")


def test_an_answer_can_be_lost_after_the_work_was_done(own_caller: Caller) -> None:
    own_caller.simulator.inject(Fault(kind="lost", path=NEW))
    with pytest.raises(requests.ConnectionError):
        own_caller.post(NEW, version="v2")
    assert len(own_caller.simulator.sessions()) == 1


def test_a_cut_connection_is_no_error_in_the_simulators_log(
    own_caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    for kind in ("lost", "cut"):
        own_caller.simulator.inject(Fault(kind=kind))
        with pytest.raises(requests.RequestException):
            own_caller.get(LIST)
    own_caller.simulator.stop()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_the_chosen_calls_are_struck_and_no_others(own_caller: Caller) -> None:
    own_caller.simulator.inject(Fault(kind="status", path="/v1/streaming.*", method="GET", nth=2, times=2))
    codes = [own_caller.get(LIST).status_code for _ in range(4)]
    assert codes == [200, 500, 500, 200]
    assert own_caller.post("/v1/streaming.create_token").status_code == 200
    assert own_caller.get("/v2/voices").status_code == 200


def test_a_fault_without_an_end_strikes_until_it_is_cleared(own_caller: Caller) -> None:
    own_caller.simulator.inject(Fault(kind="status", times=None))
    assert {own_caller.get(LIST).status_code for _ in range(3)} == {500}
    own_caller.simulator.clear_faults()
    assert own_caller.get(LIST).status_code == 200


def test_a_plan_can_be_set_read_and_cleared_over_http(own_caller: Caller) -> None:
    plan = {"faults": [{"kind": "status", "path": LIST, "status": 429, "retry_after": 2, "times": None}]}
    assert own_caller.post("/simulator/faults", **plan).status_code == 200
    answer = own_caller.get(LIST)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
    record = {"kind": "status", "path": LIST, "calls": 1, "struck": 1}
    assert own_caller.get("/simulator/faults").json() == own_caller.simulator.fault_calls() == [record]
    assert own_caller.call("DELETE", "/simulator/faults").status_code == 200
    assert own_caller.get(LIST).status_code == 200


@pytest.mark.parametrize(
    "plan",
    [
        {"faults": [{}]},
        {"faults": [{"kind": "earthquake"}]},
        {"faults": [{"kind": "status", "status": "many"}]},
        {"faults": [{"kind": "status", "nth": 0}]},
        {"faults": [{"kind": "delay", "seconds": -1}]},
        {"faults": [{"kind": "status", "unknown": 1}]},
        {"faults": "status"},
        {"faults": 5},
    ],
    ids=str,
)
def test_a_plan_that_makes_no_sense_is_refused(caller: Caller, plan: dict[str, object]) -> None:
    assert caller.post("/simulator/faults", **plan).status_code == 400
    with pytest.raises(InvalidRequestError):
        caller.simulator.inject(plan)


def test_a_simulator_that_does_not_run_takes_no_plan() -> None:
    with pytest.raises(UsageError):
        Simulator().inject(Fault(kind="lost"))


def test_a_hanging_call_does_not_keep_the_simulator_from_stopping() -> None:
    with ThreadPoolExecutor(1) as other:
        with Simulator() as simulator:
            caller = Caller(simulator)
            simulator.inject(Fault(kind="hang", path=LIST))
            waiting = other.submit(caller.get, LIST)
            while caller.get("/simulator/faults").json()[0]["struck"] == 0:
                assert not waiting.done()
            stopped = time.monotonic()
        assert time.monotonic() - stopped < 5
        with pytest.raises(requests.ConnectionError):
            waiting.result(10)
