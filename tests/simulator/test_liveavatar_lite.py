"""LITE sessions: the client's own sound over the socket, heard in the room."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from heygen_avatar.simulator import Limits, Simulator
from tests.mouth import Mouth

from .guests import pitch, tone
from .live_visitors import LITE_RATE, PATIENCE, LiveCaller, LiveVisitor, as_base64, lite_socket

ROOMY = Limits(concurrent_sessions=1_000, credits=1e9)


@pytest.fixture
def live(simulator: Simulator) -> LiveCaller:
    return LiveCaller(simulator)


def note(seconds: float) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """A 440 Hz tone as clients send it."""
    return tone(440, seconds, rate=LITE_RATE)


# Sound


def test_a_tone_is_said_whole_and_heard_at_its_pitch(live: LiveCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    mouth = Mouth(monkeypatch)
    with live.attended(mode="LITE") as (session, visitor), lite_socket(session) as client:
        visitor.listen()
        sound = note(2.0)
        for piece in (sound[:9_600], sound[9_600:33_600], sound[33_600:]):  # 400 ms first, then by the second
            client.speak(piece, event_id="1")
        client.send("agent.speak_end", event_id="1")
        heard = visitor.until_quiet_after(1.5)
    loud = np.flatnonzero(np.abs(heard.astype(np.int32)) > 1000)
    assert mouth.is_one_sound
    assert mouth.seconds == pytest.approx(2.0, abs=0.03)
    assert pitch(heard[loud[0] : loud[-1]]) == pytest.approx(440, abs=1.5)


def test_an_utterance_is_told_of_from_its_first_piece_to_idle(live: LiveCaller) -> None:
    with live.attended(mode="LITE") as (session, _), lite_socket(session) as client:
        client.speak(note(0.4), event_id="a")
        client.speak(note(0.2), event_id="b")
        client.send("agent.speak_end", event_id="c")
        client.until("agent.state_updated", new_state="idle")
    told = [(event["type"], event["source_event_id"]) for event in client.events[2:]]
    buffers = [entry for entry in told if "buffer" in entry[0]]
    assert buffers == [
        ("agent.audio_buffer_appended", "a"),
        ("agent.audio_buffer_appended", "b"),
        ("agent.audio_buffer_committed", "c"),
    ]
    assert [entry for entry in told if "buffer" not in entry[0]] == [
        ("agent.state_updated", "a"),
        ("agent.speak_started", "a"),
        ("agent.speak_ended", "a"),
        ("agent.state_updated", "a"),
    ]
    states = [(event["previous_state"], event["new_state"]) for event in client.events if "new_state" in event]
    assert states == [("idle", "talking"), ("talking", "idle")]
    assert len({event["event_id"] for event in client.events}) == len(client.events)


def test_the_socket_goes_from_new_to_connected_to_disconnected(live: LiveCaller) -> None:
    with live.attended(mode="LITE") as (session, _), lite_socket(session) as client:
        live.stop(session["session_id"])
        client.until("session.state_updated", state="disconnected")
        with pytest.raises(ConnectionClosed) as closed:
            client.hear()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000
    assert [event["state"] for event in client.events] == ["new", "connected", "disconnected"]


def test_pieces_belong_together_by_their_order_and_need_no_ids(live: LiveCaller) -> None:
    with live.attended(mode="LITE") as (session, _), lite_socket(session) as client:
        client.send("start", encoding="pcm_s16le", sample_rate=24_000, channels=1)
        client.speak(note(0.2))
        client.speak(note(0.2))
        client.send("agent.speak_end", audio=as_base64(note(0.1)))
        client.speak(note(0.2))
        client.send("agent.speak_end")
        for _ in range(2):
            ended = client.until("agent.speak_ended")
            assert ended["source_event_id"] is None
    assert client.types().count("agent.speak_started") == 2
    assert "error" not in client.types()


def test_without_its_end_an_utterance_goes_on(make_simulator: Callable[..., Simulator]) -> None:
    live = LiveCaller(make_simulator(limits=Limits(liveavatar_starvation=0.2)))
    with live.attended(mode="LITE") as (session, _), lite_socket(session) as client:
        client.speak(note(0.2), event_id="1")
        error = client.until("error")["error"]
        assert (error["type"], error["event_id"]) == ("video_starvation", "1")
        assert "agent.speak_ended" not in client.types()
        client.speak(note(0.2), event_id="1")
        client.send("agent.speak_end", event_id="1")
        client.until("agent.speak_ended")


def test_an_interruption_clears_what_is_there(live: LiveCaller) -> None:
    with live.attended(mode="LITE") as (session, _), lite_socket(session) as client:
        client.speak(note(5.0), event_id="1")
        client.send("agent.speak_end", event_id="1")
        client.until("agent.speak_started")
        client.send("agent.interrupt", event_id="2")
        client.until("agent.state_updated", new_state="idle")
        told = [(event["type"], event["source_event_id"]) for event in client.events[-3:]]
        assert told == [
            ("agent.audio_buffer_cleared", "2"),
            ("agent.speak_interrupted", "1"),
            ("agent.state_updated", "1"),
        ]
        client.speak(note(0.2), event_id="3")
        assert client.until("agent.speak_started")["source_event_id"] == "3"


def test_an_interruption_of_nothing_is_acknowledged(live: LiveCaller) -> None:
    with live.attended(mode="LITE") as (session, _), lite_socket(session) as client:
        client.send("agent.interrupt", event_id=None)
        assert client.hear()["type"] == "agent.audio_buffer_cleared"


def test_listening_is_a_pose_taken_when_not_talking(live: LiveCaller) -> None:
    with live.attended(mode="LITE") as (session, _), lite_socket(session) as client:
        client.send("agent.start_listening", event_id="1")
        client.until("agent.state_updated", previous_state="idle", new_state="listening")
        client.speak(note(0.3))
        client.until("agent.speak_started")
        client.send("agent.stop_listening", event_id="2")
        client.send("agent.speak_end")
        client.until("agent.state_updated", previous_state="talking", new_state="idle")
        updates = [event for event in client.events if event["type"] == "agent.state_updated"]
        assert [update["new_state"] for update in updates] == ["listening", "talking", "idle"]


# Errors


@pytest.mark.parametrize(
    "message",
    ["", "{", "[]", '{"type": "agent.sing"}', '{"type": "agent.speak"}', '{"type": "agent.speak", "audio": "?"}', "{}"],
)
def test_what_makes_no_sense_is_answered_with_an_error(live: LiveCaller, message: str) -> None:
    with live.attended(mode="LITE") as (session, _), lite_socket(session) as client:
        client.connection.send(message)
        error = client.until("error")["error"]
        assert error["type"] == "invalid_request_error"
        assert error["message"]


def test_an_end_without_a_beginning_is_warned_of(live: LiveCaller) -> None:
    with live.attended(mode="LITE") as (session, _), lite_socket(session) as client:
        client.send("agent.speak_end", event_id="1")
        assert client.hear()["warning"]["message"]


def test_a_message_that_is_too_long_closes_the_socket(live: LiveCaller) -> None:
    with live.attended(mode="LITE") as (session, _), lite_socket(session) as client:
        client.speak(note(16.0))  # a megabyte as base64, and the rest of the message
        client.speak(note(17.0))
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                client.hear()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    (error,) = [event["error"] for event in client.events if event["type"] == "error"]
    assert error["type"] == "invalid_request_error"
    assert client.types().count("agent.audio_buffer_appended") == 1


def test_the_sockets_door_opens_for_an_open_lite_session_only(live: LiveCaller) -> None:
    with live.attended(mode="LITE") as (session, _), live.attended() as (full, _):
        others = [session["ws_url"].replace(session["session_id"], other) for other in (full["session_id"], "nowhere")]
        live.stop(session["session_id"])
        for url in (session["ws_url"], *others):
            with pytest.raises(InvalidStatus) as refused, connect(url, open_timeout=PATIENCE):
                pass
            assert refused.value.response.status_code == 404


# The room and the socket


def test_a_second_connection_takes_the_place_of_the_first(live: LiveCaller) -> None:
    with live.attended(mode="LITE") as (session, _), lite_socket(session) as first, lite_socket(session) as second:
        with pytest.raises(ConnectionClosed) as closed:
            first.hear()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000
        second.speak(note(0.2))
        second.until("agent.speak_started")


def test_a_session_goes_on_after_its_socket_was_lost(live: LiveCaller) -> None:
    with live.attended(mode="LITE") as (session, _):
        with lite_socket(session):
            pass
        with lite_socket(session) as client:
            client.speak(note(0.2), event_id="after")
            assert client.until("agent.speak_started")["source_event_id"] == "after"


def test_both_tokens_open_the_room(live: LiveCaller) -> None:
    with live.attended(mode="LITE") as (session, visitor):
        backend = LiveVisitor()
        try:
            backend.enter(session["livekit_url"], session["livekit_agent_token"])
            visitor.until(lambda me: "agent" in me.room.remote_participants, "the backend")
            assert set(backend.room.remote_participants) == {"heygen", "client"}
        finally:
            backend.leave()


# Faults


def test_connected_can_come_late_and_what_was_sent_before_is_dropped(make_simulator: Callable[..., Simulator]) -> None:
    live = LiveCaller(make_simulator())
    live.simulator.inject({"kind": "late_connected", "seconds": 0.5})
    with live.attended(mode="LITE") as (session, _), lite_socket(session, connected=False) as client:
        asked = time.monotonic()
        assert client.hear()["state"] == "new"
        client.speak(note(0.2))
        client.send("agent.speak_end")
        assert client.hear()["state"] == "connected"
        assert time.monotonic() - asked > 0.45
        client.speak(note(0.1), event_id="2")
        assert client.until("agent.speak_started")["source_event_id"] == "2"
        assert live.record(session["session_id"])["ignored_messages"] == 2


@pytest.mark.parametrize("code", [1000, 1011])
def test_the_socket_can_be_closed_with_a_code(make_simulator: Callable[..., Simulator], code: int) -> None:
    live = LiveCaller(make_simulator())
    live.simulator.inject({"kind": "socket_close", "path": "*/liveavatar/session/*", "code": code, "seconds": 0.2})
    with live.attended(mode="LITE") as (session, _):
        with lite_socket(session) as client, pytest.raises(ConnectionClosed) as closed:
            client.hear()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code
        with lite_socket(session) as client:
            client.speak(note(0.1))
            client.until("agent.speak_started")


def test_the_socket_can_be_dropped_before_it_is_connected(make_simulator: Callable[..., Simulator]) -> None:
    live = LiveCaller(make_simulator())
    live.simulator.inject(
        [
            {"kind": "late_connected", "seconds": 10},
            {"kind": "socket_close", "path": "*/liveavatar/session/*", "seconds": 0.1},
        ]
    )
    with live.attended(mode="LITE") as (session, _), lite_socket(session, connected=False) as client:
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                client.hear()
        assert closed.value.rcvd is None
    assert [event["state"] for event in client.events] == ["new"]


def test_the_speaking_events_can_be_left_out(make_simulator: Callable[..., Simulator]) -> None:
    live = LiveCaller(make_simulator())
    live.simulator.inject({"kind": "no_speak_events"})
    with live.attended(mode="LITE") as (session, _), lite_socket(session) as client:
        client.speak(note(0.2))
        client.send("agent.speak_end")
        client.until("agent.state_updated", new_state="idle")
    assert not [kind for kind in client.types() if kind.startswith("agent.speak_")]
