"""The life of a session: tasks and events with a real client in the room, time limits, billing, the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from heygen_avatar.simulator import Limits, Simulator

from .visitors import Caller, Visitor

# Tasks and events


def test_a_session_is_connected_once_its_client_is_in_the_room(caller: Caller) -> None:
    session = caller.new()
    assert caller.record(session["session_id"])["state"] == "new"
    caller.post("/v1/streaming.start", session_id=session["session_id"])
    assert caller.record(session["session_id"])["state"] == "connecting"
    visitor = Visitor()
    try:
        visitor.enter(session["url"], session["access_token"])
        caller.await_state(session["session_id"], "connected")
    finally:
        visitor.leave()
        caller.post("/v1/streaming.stop", session_id=session["session_id"])


def test_a_client_may_come_before_the_avatar(caller: Caller) -> None:
    session = caller.new()
    visitor = Visitor()
    try:
        visitor.enter(session["url"], session["access_token"])
        assert caller.record(session["session_id"])["state"] == "new"
        caller.post("/v1/streaming.start", session_id=session["session_id"])
        caller.await_state(session["session_id"], "connected")
        assert list(visitor.room.remote_participants) == ["heygen"]
    finally:
        visitor.leave()
        caller.post("/v1/streaming.stop", session_id=session["session_id"])


def test_a_repeated_text_is_told_of_from_start_to_stop(caller: Caller) -> None:
    text = "Hello there, this is the simulated avatar."
    with caller.visited() as (session_id, visitor):
        answer = caller.post("/v1/streaming.task", session_id=session_id, text=text).json()["data"]
        (stop,) = visitor.until_heard("avatar_stop_talking")
    types = visitor.types()
    assert types[0] == "avatar_start_talking"
    assert types[-2:] == ["avatar_end_message", "avatar_stop_talking"]
    assert set(types[1:-2]) == {"avatar_talking_message"}
    chunks = [packet["message"] for packet in visitor.packets if packet["type"] == "avatar_talking_message"]
    assert "".join(chunks) == text
    assert {packet["task_id"] for packet in visitor.packets} == {answer["task_id"]}
    assert stop["duration_ms"] == answer["duration_ms"]


def test_a_sync_task_answers_when_the_speech_is_over(caller: Caller) -> None:
    with caller.visited() as (session_id, _):
        asked = time.monotonic()
        answer = caller.post("/v1/streaming.task", session_id=session_id, text="One two three four.").json()["data"]
        assert answer["duration_ms"] / 1000 <= time.monotonic() - asked


def test_an_async_task_answers_at_once(caller: Caller) -> None:
    with caller.visited() as (session_id, visitor):
        answer = caller.post("/v1/streaming.task", session_id=session_id, text="Hello.", task_mode="async").json()
        assert "avatar_stop_talking" not in visitor.types()
        assert answer["data"]["duration_ms"] > 0
        (start,) = visitor.until_heard("avatar_start_talking")
        assert start["task_id"] == answer["data"]["task_id"]


def test_tasks_are_spoken_one_after_the_other(caller: Caller) -> None:
    with caller.visited() as (session_id, visitor):
        ids = [
            caller.post("/v1/streaming.task", session_id=session_id, text=text, task_mode="async").json()["data"]
            for text in ("First.", "Second.")
        ]
        visitor.until_heard("avatar_stop_talking", count=2)
    turns = [
        (packet["type"], packet["task_id"])
        for packet in visitor.packets
        if packet["type"] in ("avatar_start_talking", "avatar_stop_talking")
    ]
    first, second = (answer["task_id"] for answer in ids)
    assert turns == [
        ("avatar_start_talking", first),
        ("avatar_stop_talking", first),
        ("avatar_start_talking", second),
        ("avatar_stop_talking", second),
    ]


@pytest.mark.parametrize("task_type", ["talk", "chat"])
def test_a_talk_task_is_answered_from_the_knowledge_base(caller: Caller, task_type: str) -> None:
    with caller.visited(knowledge_base="The shop opens at nine.") as (session_id, visitor):
        caller.post("/v1/streaming.task", session_id=session_id, text="When does the shop open?", task_type=task_type)
        visitor.until_heard("avatar_stop_talking")
    said = "".join(packet["message"] for packet in visitor.packets if packet["type"] == "avatar_talking_message")
    assert said == "The shop opens at nine."
    assert visitor.types()[:2] == ["user_talking_message", "user_end_message"]
    assert visitor.packets[0]["message"] == "When does the shop open?"


def test_a_stored_knowledge_base_shapes_the_answers(caller: Caller) -> None:
    made = caller.post("/v1/streaming/knowledge_base/create", name="Tea", prompt="Green tea costs four euros.").json()
    with caller.visited(knowledge_base_id=made["data"]["id"]) as (session_id, visitor):
        caller.post("/v1/streaming.task", session_id=session_id, text="What does green tea cost?", task_type="talk")
        visitor.until_heard("avatar_stop_talking")
    said = "".join(packet["message"] for packet in visitor.packets if packet["type"] == "avatar_talking_message")
    assert said == "Green tea costs four euros."


def test_an_interrupted_speech_stops_and_its_task_is_answered(caller: Caller) -> None:
    with caller.visited() as (session_id, visitor), ThreadPoolExecutor(1) as other:
        waiting = other.submit(caller.post, "/v1/streaming.task", session_id=session_id, text="On and on. " * 50)
        visitor.until_heard("avatar_start_talking")
        assert caller.post("/v1/streaming.interrupt", session_id=session_id).json()["code"] == 100
        (stop,) = visitor.until_heard("avatar_stop_talking")
        answer = waiting.result(10).json()["data"]
        assert (answer["task_id"], answer["duration_ms"]) == (stop["task_id"], stop["duration_ms"])
        assert "avatar_end_message" not in visitor.types()


def test_an_interruption_of_silence_does_nothing(caller: Caller) -> None:
    with caller.visited() as (session_id, visitor):
        assert caller.post("/v1/streaming.interrupt", session_id=session_id).json()["code"] == 100
        assert visitor.packets == []


def test_listening_poses_are_taken_and_left(caller: Caller) -> None:
    with caller.visited() as (session_id, _):
        assert caller.post("/v1/streaming.start_listening", session_id=session_id).json()["code"] == 100
        assert caller.post("/v1/streaming.stop_listening", session_id=session_id).json()["code"] == 100


def test_a_string_on_the_data_channel_is_talked_about(caller: Caller) -> None:
    with caller.visited() as (_, visitor):
        visitor.send(json.dumps("What is your name?").encode())
        visitor.until_heard("avatar_stop_talking")
        assert visitor.packets[0] == {
            "type": "user_talking_message",
            "task_id": visitor.packets[0]["task_id"],
            "message": "What is your name?",
        }


def test_other_packets_of_the_client_are_ignored_and_counted(caller: Caller) -> None:
    packets = [b"\xff", b"{}", b"null", b"", b'""', b"[" * 10_000, b'"' + b"a" * 1001 + b'"']
    with caller.visited() as (session_id, visitor):
        for packet in packets:
            visitor.send(packet)
        visitor.send(json.dumps("Hello").encode())
        visitor.until_heard("avatar_stop_talking")
        assert caller.record(session_id)["ignored_messages"] == len(packets)
        assert visitor.types().count("avatar_stop_talking") == 1


def test_a_push_to_talk_command_is_not_spoken_about(caller: Caller) -> None:
    with caller.visited() as (session_id, visitor):
        visitor.send(b'"push_to_talk:start"')
        visitor.send(b'"Hello"')
        visitor.until_heard("avatar_stop_talking")
        assert [packet["message"] for packet in visitor.until_heard("user_talking_message")] == ["Hello"]
        assert caller.record(session_id)["ignored_messages"] == 0


# The end


def test_stopping_deletes_the_room(caller: Caller) -> None:
    with caller.visited() as (session_id, visitor):
        caller.post("/v1/streaming.stop", session_id=session_id)
        visitor.until(lambda me: me.disconnect_reason is not None, "disconnected")
        assert visitor.disconnect_reason == 5
        assert caller.record(session_id)["end_reason"] == "stopped"


def test_a_task_that_waits_for_its_speech_learns_of_the_end(caller: Caller) -> None:
    with caller.visited() as (session_id, visitor), ThreadPoolExecutor(1) as other:
        waiting = other.submit(caller.post, "/v1/streaming.task", session_id=session_id, text="On and on. " * 50)
        visitor.until_heard("avatar_start_talking")
        caller.post("/v1/streaming.stop", session_id=session_id)
        answer = waiting.result(10)
        assert (answer.status_code, answer.json()["code"]) == (400, 10005)
        assert "avatar_stop_talking" in visitor.types()


def test_two_stops_at_once_end_the_session_once(caller: Caller) -> None:
    session_id = caller.started()["session_id"]
    with ThreadPoolExecutor(2) as callers:
        stops = [callers.submit(caller.post, "/v1/streaming.stop", session_id=session_id) for _ in range(2)]
        codes = [stop.result(10).json()["code"] for stop in stops]
    assert codes.count(100) == 1
    assert set(codes) <= {100, 10004, 10005}


# Time limits


def test_a_session_ends_when_nothing_happens_in_it(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator(limits=Limits(idle_timeout=0.3)))
    session_id = caller.started()["session_id"]
    assert caller.await_state(session_id, "closed")["end_reason"] == "idle_timeout"
    answer = caller.post("/v1/streaming.keep_alive", session_id=session_id)
    assert (answer.status_code, answer.json()["code"]) == (400, 10005)


def test_keep_alive_keeps_a_session_alive(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator(limits=Limits(idle_timeout=0.5)))
    session_id = caller.started()["session_id"]
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        assert caller.post("/v1/streaming.keep_alive", session_id=session_id).status_code == 200
    assert caller.await_state(session_id, "closed")["end_reason"] == "idle_timeout"


def test_speaking_is_no_idling(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator(limits=Limits(idle_timeout=0.8)))
    with caller.visited() as (session_id, _):
        answer = caller.post("/v1/streaming.task", session_id=session_id, text="One two three four five six seven.")
        assert answer.json()["data"]["duration_ms"] > 800
        assert caller.record(session_id)["end_reason"] is None


def test_a_sessions_own_idle_timeout_counts(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator(limits=Limits(idle_timeout=0.3)))
    patient = caller.started(activity_idle_timeout=30)["session_id"]
    endless = caller.started(disable_idle_timeout=True)["session_id"]
    caller.await_state(caller.started()["session_id"], "closed")
    assert {caller.record(session_id)["state"] for session_id in (patient, endless)} == {"connecting"}


def test_a_session_that_nobody_joins_ends(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator(limits=Limits(no_client_timeout=0.3)))
    session_id = caller.started()["session_id"]
    assert caller.await_state(session_id, "closed")["end_reason"] == "no_client"


def test_a_session_that_its_client_left_ends(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator(limits=Limits(no_client_timeout=3)))
    with caller.visited() as (session_id, visitor):
        visitor.leave()
        assert caller.await_state(session_id, "closed")["end_reason"] == "no_client"


def test_a_session_ends_at_its_longest_duration(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator(limits=Limits(session_duration=0.5)))
    session = caller.started(disable_idle_timeout=True)
    assert session["session_duration_limit"] == 0.5
    assert caller.await_state(session["session_id"], "closed")["end_reason"] == "duration_limit"


# Billing


def test_a_session_is_billed_from_the_start_and_for_thirty_seconds_at_least(
    make_simulator: Callable[..., Simulator],
) -> None:
    caller = Caller(make_simulator())
    caller.new()
    assert caller.simulator.billed_seconds == 30
    caller.new()
    assert caller.simulator.billed_seconds == 60


def test_a_session_is_billed_by_the_second_and_no_longer_once_it_ended(
    make_simulator: Callable[..., Simulator],
) -> None:
    caller = Caller(make_simulator(limits=Limits(billed_at_least=0, session_duration=1.2)))
    session_id = caller.new()["session_id"]
    assert caller.record(session_id)["billable_seconds"] == 1
    assert caller.await_state(session_id, "closed")["billable_seconds"] == 2


def test_a_session_that_ran_to_its_end_is_billed_for_that_and_not_for_how_late_a_timer_was(
    make_simulator: Callable[..., Simulator],
) -> None:
    caller = Caller(make_simulator(limits=Limits(billed_at_least=0, session_duration=1.0)))
    session_id = caller.new()["session_id"]
    assert caller.await_state(session_id, "closed")["billable_seconds"] == 1


# The limits themselves


def test_accelerated_limits_shorten_a_session_and_leave_its_price_as_it_was() -> None:
    usual = Limits()
    faster = usual.accelerated(60)
    assert (faster.session_duration, faster.idle_timeout, faster.token_lifetime) == (10.0, 2.0, 60.0)
    assert faster.session_duration * faster.credits_per_minute == usual.session_duration * usual.credits_per_minute
    assert faster.liveavatar_billed_by * faster.liveavatar_full_price == 60 * usual.liveavatar_full_price
    assert (faster.credits, faster.concurrent_sessions, faster.text_length) == (
        usual.credits,
        usual.concurrent_sessions,
        usual.text_length,
    )


def test_a_record_has_what_the_owner_wants_to_know(caller: Caller) -> None:
    session_id = caller.new()["session_id"]
    record = caller.record(session_id)
    assert record == {
        "session_id": session_id,
        "service": "heygen",
        "state": "new",
        "created_at": pytest.approx(time.time(), abs=30),
        "billable_seconds": 30,
        "end_reason": None,
        "ignored_messages": 0,
    }
    assert record in caller.simulator.sessions()
