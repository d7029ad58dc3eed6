"""The life of a LiveAvatar session: what ends it, what is told of its end, what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from livekit import rtc

from heygen_avatar.simulator import Limits, Simulator

from .guests import tone
from .live_visitors import LITE_RATE, LiveCaller, LiveVisitor, lite_socket


def limited(make_simulator: Callable[..., Simulator], **limits: float) -> LiveCaller:
    return LiveCaller(make_simulator(limits=Limits(**{"credits": 1e9, "concurrent_sessions": 100, **limits})))  # type: ignore[arg-type]


def end_of(live: LiveCaller, session_id: str) -> str:
    live.await_state(session_id, "closed")
    return str(live.entry(session_id)["end_reason"])


# The end


def test_a_stop_is_told_to_the_room_before_it_is_deleted(simulator: Simulator) -> None:
    live = LiveCaller(simulator)
    with live.attended() as (session, visitor):
        live.stop(session["session_id"], reason="USER_DISCONNECTED")
        visitor.until(lambda me: me.disconnect_reason is not None, "the room's end")
        assert visitor.disconnect_reason == rtc.DisconnectReason.ROOM_DELETED
    (stopped,) = visitor.until_heard("session.stopped")
    assert (stopped["stop_reason"], stopped["end_reason"]) == ("USER_DISCONNECTED", "USER_DISCONNECTED")
    assert end_of(live, session["session_id"]) == "USER_DISCONNECTED"


def test_a_speech_that_the_end_cuts_off_ends_before_the_session(simulator: Simulator) -> None:
    live = LiveCaller(simulator)
    with live.attended() as (session, visitor):
        visitor.command("avatar.speak_text", event_id="1", text="On and on. " * 30)
        visitor.until_heard("avatar.speak_started")
        live.stop(session["session_id"])
        visitor.until_heard("session.stopped")
    assert visitor.types()[-2:] == ["avatar.speak_ended", "session.stopped"]


@pytest.mark.parametrize(
    ("body", "reason"), [(None, "USER_CLOSED"), ({}, "UNKNOWN"), ({"reason": "AGENT_HANG_UP"}, "AGENT_HANG_UP")]
)
def test_a_stops_reason_is_what_the_body_says(simulator: Simulator, body: object, reason: str) -> None:
    live = LiveCaller(simulator)
    session = live.begun()
    options = {} if body is None else {"json": body}
    live.bearer(session["session_token"]).data("POST", "/v1/sessions/stop", **options)
    assert live.entry(session["session_id"])["end_reason"] == reason


def test_a_reason_that_is_none_is_refused(simulator: Simulator) -> None:
    live = LiveCaller(simulator)
    session = live.begun()
    assert live.post("/v1/sessions/stop", session_id=session["session_id"], reason="BORED").status_code == 422
    live.stop(session["session_id"])


def test_stopping_twice_changes_nothing(simulator: Simulator) -> None:
    live = LiveCaller(simulator)
    session_id = live.begun()["session_id"]
    live.stop(session_id, reason="USER_CLOSED")
    live.stop(session_id, reason="UNKNOWN")
    assert live.entry(session_id)["end_reason"] == "USER_CLOSED"
    assert live.post("/v1/sessions/stop", session_id="3c0d4b3e-7b0e-4a3a-9d0f-1f2e3d4c5b6a").status_code == 404


def test_a_session_that_was_stopped_before_its_start_cannot_be_started(simulator: Simulator) -> None:
    live = LiveCaller(simulator)
    order = live.order()
    live.stop(order["session_id"])
    assert live.bearer(order["session_token"]).post("/v1/sessions/start").status_code == 404


def test_deleting_an_avatar_ends_its_sessions(make_simulator: Callable[..., Simulator]) -> None:
    avatar_id = "3c0d4b3e-7b0e-4a3a-9d0f-1f2e3d4c5b6a"
    live = LiveCaller(make_simulator(avatars=[avatar_id]))
    session_id = live.begun(avatar_id=avatar_id)["session_id"]
    live.data("DELETE", f"/v1/avatars/{avatar_id}")
    assert end_of(live, session_id) == "AVATAR_DELETED"


# Time limits


def test_a_session_ends_when_nothing_happens_in_it(make_simulator: Callable[..., Simulator]) -> None:
    live = limited(make_simulator, liveavatar_idle_timeout=0.4)
    session_id = live.begun()["session_id"]
    assert end_of(live, session_id) == "IDLE_TIMEOUT"
    assert live.post("/v1/sessions/keep-alive", session_id=session_id).status_code == 400


def test_keep_alive_keeps_a_session_alive(make_simulator: Callable[..., Simulator]) -> None:
    live = limited(make_simulator, liveavatar_idle_timeout=0.5, liveavatar_calls_per_second=10**6)
    session_id = live.begun()["session_id"]
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        assert live.post("/v1/sessions/keep-alive", session_id=session_id).status_code == 200
    assert end_of(live, session_id) == "IDLE_TIMEOUT"


def test_keep_alive_on_the_socket_keeps_a_lite_session_alive(make_simulator: Callable[..., Simulator]) -> None:
    live = limited(make_simulator, liveavatar_idle_timeout=0.8)
    with live.attended(mode="LITE") as (session, _), lite_socket(session) as client:
        until = time.monotonic() + 1.6
        while time.monotonic() < until:
            client.send("session.keep_alive")
            client.connection.ping().wait(5)
        assert live.record(session["session_id"])["end_reason"] is None


def test_a_session_ends_at_its_longest_duration(make_simulator: Callable[..., Simulator]) -> None:
    live = limited(make_simulator, liveavatar_session_duration=4)  # a busy machine takes a while to attend
    with live.attended() as (session, visitor):
        assert session["max_session_duration"] == 4
        (stopped,) = visitor.until_heard("session.stopped")
        assert stopped["stop_reason"] == "MAX_DURATION_REACHED"


def test_the_longest_duration_can_pass_in_silence(make_simulator: Callable[..., Simulator]) -> None:
    live = limited(make_simulator, liveavatar_session_duration=2)
    live.simulator.inject({"kind": "silent_end"})
    with live.attended(mode="LITE") as (session, _), lite_socket(session) as client:
        client.speak(tone(440, 10, rate=LITE_RATE), event_id="1")
        client.until("agent.speak_started")
        with pytest.raises(TimeoutError):
            client.connection.recv(timeout=3)
        assert live.record(session["session_id"])["end_reason"] is None
    assert "agent.speak_interrupted" not in client.types()


def test_a_session_that_nobody_joins_ends(make_simulator: Callable[..., Simulator]) -> None:
    live = limited(make_simulator, no_client_timeout=0.4)
    assert end_of(live, live.begun()["session_id"]) == "IDLE_TIMEOUT"


def test_an_agent_alone_is_nobody(make_simulator: Callable[..., Simulator]) -> None:
    live = limited(make_simulator, no_client_timeout=2)
    session = live.begun(mode="LITE")
    backend = LiveVisitor()
    try:
        backend.enter(session["livekit_url"], session["livekit_agent_token"])
        assert end_of(live, session["session_id"]) == "IDLE_TIMEOUT"
    finally:
        backend.leave()


def test_an_abandoned_session_is_reaped(make_simulator: Callable[..., Simulator]) -> None:
    live = limited(make_simulator, liveavatar_abandoned_timeout=0.4)
    with live.attended(mode="LITE") as (session, visitor):
        with lite_socket(session):
            pass
        assert live.record(session["session_id"])["end_reason"] is None  # the user is still in the room
        visitor.leave()
        assert end_of(live, session["session_id"]) == "ZOMBIE_SESSION_REAP"


# Account


def test_sessions_at_once_are_limited(make_simulator: Callable[..., Simulator]) -> None:
    live = limited(make_simulator, concurrent_sessions=1)
    first, second = live.begun(), live.order()
    guest = live.bearer(second["session_token"])
    answer = guest.post("/v1/sessions/start")
    assert answer.status_code == 403
    assert (answer.json()["code"], answer.json()["message"]) == (4003, "Session concurrency limit reached")
    live.stop(first["session_id"])
    assert guest.post("/v1/sessions/start").status_code == 201
    live.stop(second["session_id"])


def test_the_first_minute_must_be_affordable(make_simulator: Callable[..., Simulator]) -> None:
    live = limited(make_simulator, credits=1.5)
    full, lite = live.order(), live.order(mode="LITE")
    assert live.bearer(full["session_token"]).post("/v1/sessions/start").status_code == 402
    assert live.bearer(lite["session_token"]).post("/v1/sessions/start").status_code == 201
    live.stop(lite["session_id"])
    assert live.data("GET", "/v1/users/credits") == {"credits_left": "0.50"}


def test_a_token_alone_costs_nothing(make_simulator: Callable[..., Simulator]) -> None:
    live = limited(make_simulator, credits=10)
    live.order()
    assert live.data("GET", "/v1/users/credits") == {"credits_left": "10.00"}


@pytest.mark.parametrize(("mode", "price"), [("FULL", 2), ("LITE", 1)])
def test_a_begun_minute_is_paid_for(make_simulator: Callable[..., Simulator], mode: str, price: float) -> None:
    live = limited(make_simulator, credits=10)
    session_id = live.begun(mode=mode)["session_id"]
    live.stop(session_id)
    assert live.entry(session_id)["credits_consumed"] == price


def test_a_session_ends_when_the_account_cannot_pay_for_more(make_simulator: Callable[..., Simulator]) -> None:
    # A minute that lasts a second, and credits for two of them.
    live = limited(make_simulator, liveavatar_billed_by=1, credits=2 * 2 / 60)
    session_id = live.begun()["session_id"]
    assert end_of(live, session_id) == "NO_CREDITS"
    entry = live.entry(session_id)
    assert entry["duration"] == 2
    assert entry["credits_consumed"] == pytest.approx(4 / 60)
    assert live.data("GET", "/v1/users/credits") == {"credits_left": "0.00"}


# Lists


def test_sessions_are_listed_as_active_then_as_historic(make_simulator: Callable[..., Simulator]) -> None:
    live = LiveCaller(make_simulator())
    session_id = live.begun(mode="LITE")["session_id"]
    (entry,) = live.data("GET", "/v1/sessions", params={"type": "active"})["results"]
    assert (entry["id"], entry["mode"], entry["source"], entry["is_sandbox"]) == (session_id, "LITE", "API", False)
    assert "end_reason" not in entry
    assert live.data("GET", "/v1/sessions", params={"type": "historic"})["count"] == 0
    live.stop(session_id)
    (entry,) = live.data("GET", "/v1/sessions", params={"type": "historic"})["results"]
    assert entry == live.entry(session_id)
    assert entry["end_at"] >= entry["created_at"]
    assert live.data("GET", "/v1/sessions", params={"type": "active"})["count"] == 0


def test_sessions_are_listed_by_avatar_and_context(make_simulator: Callable[..., Simulator]) -> None:
    live = LiveCaller(make_simulator())
    context = live.context()
    with_context = live.begun(avatar_persona={"context_id": context})["session_id"]
    without = live.begun()["session_id"]
    chosen = live.data("GET", "/v1/sessions", params={"type": "active", "context_id": context})["results"]
    assert [entry["id"] for entry in chosen] == [with_context]
    both = live.data("GET", "/v1/sessions", params={"type": "active"})["results"]
    assert [entry["id"] for entry in both] == [without, with_context]
    assert live.data("GET", "/v1/sessions", params={"type": "active", "avatar_id": context})["count"] == 0
    for session_id in (with_context, without):
        live.stop(session_id)


def test_a_list_without_its_type_is_refused(simulator: Simulator) -> None:
    assert LiveCaller(simulator).call("GET", "/v1/sessions").status_code == 422


def test_the_owner_sees_which_service_a_session_belongs_to(simulator: Simulator) -> None:
    live = LiveCaller(simulator)
    session_id = live.begun()["session_id"]
    assert live.record(session_id)["service"] == "liveavatar"
    live.stop(session_id)


def test_the_two_services_count_apart(make_simulator: Callable[..., Simulator]) -> None:
    live = limited(make_simulator, concurrent_sessions=1, credits=10)
    session_id = live.begun()["session_id"]
    v1 = live.new()
    assert v1["session_id"]
    listed = live.get("/v1/streaming.list").json()["data"]["sessions"]
    assert [session["session_id"] for session in listed] == [v1["session_id"]]
    live.stop(session_id)
    live.post("/v1/streaming.stop", session_id=v1["session_id"])
