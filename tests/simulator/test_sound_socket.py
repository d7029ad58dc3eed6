"""The socket for one's own sound: orders in JSON, PCM that the avatar says at its pace."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from .visitors import PATIENCE, Caller, Visitor


@contextmanager
def sounding(caller: Caller, session_id: str) -> Iterator[ClientConnection]:
    endpoint = caller.simulator.base_path.replace("http", "ws", 1) + "/v2-alpha/interactive-avatar/session"
    with connect(f"{endpoint}/{session_id}", open_timeout=PATIENCE) as socket:
        yield socket


def order(kind: str, **more: str) -> str:
    return json.dumps({"type": kind, "event_id": "1", **more})


def sound(seconds: float) -> str:
    """A piece of a 440 Hz tone at 24 kHz."""
    time_axis = np.arange(int(seconds * 24_000)) / 24_000
    samples = (np.sin(2 * np.pi * 440 * time_axis) * 8000).astype("<i2")
    return order("agent.speak", audio=base64.b64encode(samples.tobytes()).decode())


@pytest.fixture
def visited(caller: Caller) -> Iterator[tuple[str, Visitor]]:
    with caller.visited() as session:
        yield session


def test_sound_is_said_for_as_long_as_it_lasts(caller: Caller, visited: tuple[str, Visitor]) -> None:
    session_id, visitor = visited
    with sounding(caller, session_id) as socket:
        socket.send(sound(0.5))
        socket.send(order("agent.speak_end"))
        (stop,) = visitor.until_heard("avatar_stop_talking")
    assert stop["duration_ms"] == pytest.approx(500, abs=5)
    assert visitor.types() == ["avatar_start_talking", "avatar_stop_talking"]


def test_sound_can_be_interrupted_and_begun_anew(caller: Caller, visited: tuple[str, Visitor]) -> None:
    session_id, visitor = visited
    with sounding(caller, session_id) as socket:
        socket.send(sound(10))
        visitor.until_heard("avatar_start_talking")
        socket.send(order("agent.interrupt"))
        (stop,) = visitor.until_heard("avatar_stop_talking")
        assert stop["duration_ms"] < 5000
        socket.send(sound(0.2))
        socket.send(order("agent.speak_end"))
        again = visitor.until_heard("avatar_stop_talking", count=2)[1]
    assert again["duration_ms"] == pytest.approx(200, abs=5)
    assert again["task_id"] != stop["task_id"]


def test_a_socket_that_closes_ends_its_speech(caller: Caller, visited: tuple[str, Visitor]) -> None:
    session_id, visitor = visited
    with sounding(caller, session_id) as socket:
        socket.send(sound(0.2))
        socket.ping().wait(PATIENCE)
    (stop,) = visitor.until_heard("avatar_stop_talking")
    assert stop["duration_ms"] >= 195  # and the silence until the close was noticed


def test_other_messages_are_ignored_and_counted(caller: Caller) -> None:
    session_id = caller.started()["session_id"]
    known = [order("agent.start_listening"), order("agent.stop_listening"), order("session.keep_alive")]
    garbage: list[str | bytes] = [
        "",
        "{",
        "[]",
        "null",
        b"bytes",
        order("agent.sing"),
        order("agent.speak"),
        order("agent.speak", audio="?"),
        order("agent.speak", audio="YQ=="),
    ]
    with sounding(caller, session_id) as socket:
        for message in [*known, *garbage]:
            socket.send(message)
        socket.ping().wait(PATIENCE)
        assert caller.record(session_id)["ignored_messages"] == len(garbage)


def test_its_door_opens_for_a_started_session_only(caller: Caller) -> None:
    for session_id, code in (("nowhere", 10006), (caller.new()["session_id"], 10001)):
        with pytest.raises(InvalidStatus) as refused, sounding(caller, session_id):
            pass
        assert json.loads(refused.value.response.body)["code"] == code


def test_it_closes_with_the_session(caller: Caller) -> None:
    session_id = caller.started()["session_id"]
    with sounding(caller, session_id) as socket:
        caller.post("/v1/streaming.stop", session_id=session_id)
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=PATIENCE)
