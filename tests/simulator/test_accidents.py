"""Accidents on demand: what befalls open sockets and running sessions, as real clients see it, and when."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import requests
from livekit import rtc
from websockets.exceptions import ConnectionClosed

from heygen_avatar.simulator import Limits, Simulator
from heygen_avatar.simulator.accidents import HUGE, Accidents
from heygen_avatar.simulator.faults import Planned

from .visitors import PATIENCE, Caller, Visitor, chatting

CHAT = "/v1/ws/streaming.chat"


@pytest.fixture
def own_caller(make_simulator: Callable[..., Simulator]) -> Iterator[Caller]:
    """A caller of a simulator where anything may happen."""
    yield Caller(make_simulator())


class Witness(Visitor):
    """A visitor who also keeps what livekit tells, and packets that are not JSON."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.raw: list[bytes] = []
        self.qualities: list[int] = []
        super().__init__()

    async def _make(self) -> rtc.Room:
        room = await super()._make()
        for name in ("reconnecting", "reconnected", "track_unpublished"):
            room.on(name, self._note(name))
        room.on("connection_quality_changed", self._grade)
        return room

    def _grade(self, participant: rtc.Participant, quality: int) -> None:
        """Keep what is told of the visitor's own connection."""
        if isinstance(participant, rtc.LocalParticipant):
            with self._changed:
                self.qualities.append(quality)
                self._changed.notify_all()

    def _note(self, name: str) -> Callable[..., None]:
        def note(*_: object) -> None:
            with self._changed:
                self.told.append(name)
                self._changed.notify_all()

        return note

    def _heard(self, packet: rtc.DataPacket) -> None:
        with self._changed:
            self.raw.append(packet.data)
            self._changed.notify_all()

    def until_told(self, name: str) -> None:
        self.until(lambda me: name in me.told, f"{name}, among {self.told},")  # type: ignore[attr-defined]

    def types(self) -> list[str]:
        return [str(len(data)) for data in self.raw]


@pytest.fixture
def witness(own_caller: Caller) -> Iterator[Witness]:
    """Somebody in the room of the caller's only session."""
    session = own_caller.started()
    witness = Witness()
    try:
        witness.enter(session["url"], session["access_token"])
        own_caller.await_state(session["session_id"], "connected")
        yield witness
    finally:
        witness.leave()


def the_session(caller: Caller) -> str:
    return str(caller.simulator.sessions()[0]["session_id"])


def struck(caller: Caller) -> list[int]:
    return [record["struck"] for record in caller.simulator.fault_calls()]


# -- sockets


@pytest.mark.parametrize("code", [0, 1011])
def test_an_open_socket_can_be_closed_with_a_code_or_cut(own_caller: Caller, witness: Witness, code: int) -> None:
    with chatting(own_caller, the_session(own_caller)) as socket:
        own_caller.simulator.inject({"kind": "socket_close", "path": CHAT, "code": code, "message": "planned"})
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(PATIENCE)
    assert (closed.value.rcvd.code if closed.value.rcvd else 0) == code


def test_a_socket_to_come_can_be_cut_some_time_after_its_handshake(own_caller: Caller, witness: Witness) -> None:
    own_caller.simulator.inject({"kind": "socket_close", "path": CHAT, "seconds": 0.3})
    began = time.monotonic()
    with chatting(own_caller, the_session(own_caller)) as socket, pytest.raises(ConnectionClosed):
        socket.recv(PATIENCE)
    assert time.monotonic() - began >= 0.3


def test_a_silent_socket_takes_everything_and_answers_nothing(own_caller: Caller, witness: Witness) -> None:
    with chatting(own_caller, the_session(own_caller)) as socket:
        assert socket.ping().wait(PATIENCE)
        own_caller.simulator.inject({"kind": "socket_silent", "path": CHAT})
        while struck(own_caller) == [0]:
            socket.ping().wait(0.01)
        assert not socket.ping().wait(0.5)
        with pytest.raises(TimeoutError):
            socket.recv(0.1)
        own_caller.simulator.clear_faults()
        with pytest.raises(ConnectionClosed):
            socket.recv(PATIENCE)


def test_garbage_on_a_socket_is_a_protocol_error_to_its_client(own_caller: Caller, witness: Witness) -> None:
    with chatting(own_caller, the_session(own_caller)) as socket:
        own_caller.simulator.inject({"kind": "socket_garbage", "path": CHAT})
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(PATIENCE)
    assert closed.value.sent is not None and closed.value.sent.code == 1002


def test_nonsense_on_a_socket_comes_as_messages(own_caller: Caller, witness: Witness) -> None:
    with chatting(own_caller, the_session(own_caller)) as socket:
        own_caller.simulator.inject({"kind": "socket_nonsense", "path": CHAT})
        assert [socket.recv(PATIENCE) for _ in range(4)] == ["", "{", "[1, 2]", '"text"']


@pytest.mark.parametrize(
    "plan", [{"kind": "status", "status": 503}, {"kind": "lost"}, {"kind": "hang", "seconds": 0.1}], ids=str
)
def test_a_sockets_handshake_can_fail_like_any_call(
    own_caller: Caller, witness: Witness, plan: dict[str, object]
) -> None:
    own_caller.simulator.inject({"path": CHAT, **plan})
    with (
        pytest.raises(Exception, match=r"503|did not receive|closed|EOF"),
        chatting(own_caller, the_session(own_caller)),
    ):
        pass
    with chatting(own_caller, the_session(own_caller)) as socket:
        assert socket.ping().wait(PATIENCE)


# -- sessions


def test_a_lost_signal_connection_is_resumed(own_caller: Caller, witness: Witness) -> None:
    own_caller.simulator.inject({"kind": "signal_lost"})
    witness.until_told("reconnected")
    assert own_caller.record(the_session(own_caller))["state"] == "connected"


def test_clients_can_be_told_to_come_again(
    own_caller: Caller, witness: Witness, caplog: pytest.LogCaptureFixture
) -> None:
    own_caller.simulator.inject({"kind": "room_restarted"})
    witness.until_told("reconnected")
    assert "restarting connection" in caplog.text


def test_a_silent_signal_connection_is_found_out_by_its_pings(
    monkeypatch: pytest.MonkeyPatch, own_caller: Caller
) -> None:
    monkeypatch.setattr("heygen_avatar.simulator.client.PING_INTERVAL", 1)
    monkeypatch.setattr("heygen_avatar.simulator.client.PING_TIMEOUT", 2)
    session, witness = own_caller.started(), Witness()
    try:
        witness.enter(session["url"], session["access_token"])
        own_caller.simulator.inject({"kind": "socket_silent", "path": "/rtc*"})
        witness.until_told("reconnected")
        assert [name for name in witness.told if name.startswith("re")] == ["reconnecting", "reconnected"]
        assert own_caller.record(session["session_id"])["state"] == "connected"
    finally:
        witness.leave()


@pytest.mark.parametrize("track", ["audio", "video"])
def test_a_track_can_be_taken_back(own_caller: Caller, witness: Witness, track: str) -> None:
    own_caller.simulator.inject({"kind": "track_unpublished", "track": track})
    witness.until_told("track_unpublished")
    [avatar] = witness.room.remote_participants.values()
    wanted = rtc.TrackKind.KIND_VIDEO if track == "audio" else rtc.TrackKind.KIND_AUDIO
    assert [publication.kind for publication in avatar.track_publications.values()] == [wanted]


@pytest.mark.parametrize(
    ("kind", "reason"), [("duplicate_identity", 2), ("participant_removed", 4), ("room_deleted", 5)]
)
def test_a_client_can_be_sent_away_for_a_reason(own_caller: Caller, witness: Witness, kind: str, reason: int) -> None:
    own_caller.simulator.inject({"kind": kind})
    witness.until(lambda me: me.disconnect_reason is not None, "the end")
    assert witness.disconnect_reason == reason
    assert own_caller.record(the_session(own_caller))["state"] == "connected"  # nobody stopped it


def test_a_sessions_tokens_can_expire(own_caller: Caller, witness: Witness) -> None:
    session_id = the_session(own_caller)
    holder = Caller(own_caller.simulator, token=own_caller.token(session_id=session_id))
    assert holder.post("/v1/streaming.keep_alive", session_id=session_id).status_code == 200
    own_caller.simulator.inject({"kind": "token_expired"})
    until_struck(own_caller)
    assert holder.post("/v1/streaming.keep_alive", session_id=session_id).status_code == 401
    assert own_caller.post("/v1/streaming.keep_alive", session_id=session_id).status_code == 200
    own_caller.simulator.inject({"kind": "signal_lost"})
    witness.until(lambda me: me.disconnect_reason is not None, "the end of a client whose token is refused")


def test_a_silent_server_answers_nothing_until_the_plan_is_cleared(own_caller: Caller, witness: Witness) -> None:
    with chatting(own_caller, the_session(own_caller)) as socket:
        own_caller.simulator.inject({"kind": "server_silent"})
        until_struck(own_caller)
        assert not socket.ping().wait(0.3)
        with pytest.raises(TimeoutError):
            call_briefly(own_caller)
        own_caller.simulator.clear_faults()
        assert own_caller.get("/v1/streaming.list").status_code == 200


def test_packets_can_be_malformed_huge_or_unknown(own_caller: Caller, witness: Witness) -> None:
    own_caller.simulator.inject([{"kind": "packet_malformed"}, {"kind": "packet_huge"}, {"kind": "packet_unknown"}])
    witness.until(lambda me: any(b"future" in data for data in me.raw), "an unknown event")  # type: ignore[attr-defined]
    witness.until(lambda me: max(map(len, me.raw)) > HUGE, "a huge packet")  # type: ignore[attr-defined]
    assert b"{" in witness.raw


@pytest.mark.parametrize(
    ("kind", "beginning"),
    [
        ("packets_twice", ["avatar_start_talking", "avatar_start_talking"]),
        ("packets_swapped", ["avatar_talking_message", "avatar_start_talking"]),
    ],
)
def test_packets_can_come_twice_or_swapped(
    own_caller: Caller, witness: Witness, kind: str, beginning: list[str]
) -> None:
    own_caller.simulator.inject({"kind": kind})
    until_struck(own_caller)
    own_caller.post("/v1/streaming.task", session_id=the_session(own_caller), text="Hi.")
    witness.until(lambda me: len(me.raw) >= 4, "the packets")  # type: ignore[attr-defined]
    assert [json.loads(data)["type"] for data in witness.raw[:2]] == beginning


def test_a_client_can_be_told_that_its_connection_is_poor(monkeypatch: pytest.MonkeyPatch, own_caller: Caller) -> None:
    monkeypatch.setattr("heygen_avatar.simulator.sfu.QUALITY_INTERVAL", 0.2)
    session, witness = own_caller.started(), Witness()
    try:
        witness.enter(session["url"], session["access_token"])
        own_caller.simulator.inject({"kind": "quality_poor"})
        poor = rtc.ConnectionQuality.QUALITY_POOR
        witness.until(lambda me: poor in me.qualities, "a report of poor quality")  # type: ignore[attr-defined]
        assert witness.qualities[-1] == poor
    finally:
        witness.leave()


def test_a_silent_end_ends_the_session_in_the_books_alone(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator(limits=Limits(session_duration=1.5)))
    caller.simulator.inject({"kind": "silent_end"})
    session, witness = caller.started(), Witness()
    try:
        witness.enter(session["url"], session["access_token"])
        caller.await_state(session["session_id"], "closed")
        answer = caller.post("/v1/streaming.keep_alive", session_id=session["session_id"])
        assert (answer.status_code, answer.json()["code"]) == (400, 10005)
        assert witness.disconnect_reason is None
        assert len(witness.room.remote_participants) == 1
    finally:
        witness.leave()


# -- when


def test_a_fault_can_wait_for_a_turn_of_the_avatar(own_caller: Caller, witness: Witness) -> None:
    own_caller.simulator.inject({"kind": "packet_unknown", "turn": 2})
    session_id = the_session(own_caller)
    own_caller.post("/v1/streaming.task", session_id=session_id, text="Hi.")
    assert struck(own_caller) == [0]
    own_caller.post("/v1/streaming.task", session_id=session_id, text="Hi.")
    assert struck(own_caller) == [1]


def test_a_fault_can_wait_for_an_age_of_the_session(own_caller: Caller) -> None:
    own_caller.simulator.inject({"kind": "signal_lost", "at": 1.5})
    session, witness = own_caller.started(), Witness()
    made = time.monotonic()
    try:
        witness.enter(session["url"], session["access_token"])
        witness.until_told("reconnecting")
        assert time.monotonic() - made > 1.3
    finally:
        witness.leave()


def test_what_is_planned_waits_for_its_moment_and_does_not_look_at_the_clock_meanwhile(
    monkeypatch: pytest.MonkeyPatch, own_caller: Caller, witness: Witness
) -> None:
    looks = 0
    look = Accidents._look

    def counted(accidents: Accidents, planned: Planned) -> float:
        nonlocal looks
        looks += 1
        return look(accidents, planned)

    monkeypatch.setattr(Accidents, "_look", counted)
    age = time.time() - own_caller.record(the_session(own_caller))["created_at"]
    own_caller.simulator.inject([{"kind": "packet_unknown", "at": age + 1.0}, {"kind": "signal_lost", "turn": 100}])
    witness.until(lambda me: me.raw, "the packet")  # type: ignore[attr-defined]
    assert struck(own_caller) == [1, 0]
    assert 2 <= looks < 12, "for two faults: when they are planned, and when the time has come"


def test_a_fault_can_name_its_session(own_caller: Caller, witness: Witness) -> None:
    own_caller.simulator.inject({"kind": "room_deleted", "session": "another"})
    own_caller.simulator.inject({"kind": "packet_unknown", "session": the_session(own_caller)})
    witness.until(lambda me: me.raw, "the packet")  # type: ignore[attr-defined]
    assert struck(own_caller) == [0, 1]
    assert witness.disconnect_reason is None


def until_struck(caller: Caller) -> None:
    """Return when what was planned has happened."""
    pause = threading.Event()
    deadline = time.monotonic() + PATIENCE
    while struck(caller)[-1] == 0:
        assert time.monotonic() < deadline, "it did not happen"
        pause.wait(0.01)
    pause.wait(0.05)


def call_briefly(caller: Caller) -> None:
    try:
        requests.get(caller.simulator.base_path + "/v1/streaming.list", timeout=0.3)
    except requests.ReadTimeout:
        raise TimeoutError from None
