"""A session's life by the facade: every method against the simulator, over real REST, WebSockets and WebRTC."""

import threading

import psutil
import pytest

from heygen_avatar import (
    AuthenticationError,
    AvatarNotFoundError,
    ConcurrentSessionLimitError,
    DisconnectReason,
    SessionClosedError,
    SessionNotStartedError,
    SessionState,
    SpeechOutcome,
    StartAvatarRequest,
    StreamingAvatar,
    StreamingEvents,
    UsageError,
    stop_all,
)
from heygen_avatar.simulator import Limits
from tests.programs import eventually

from .records import session_of


def test_a_started_avatar_is_connected_and_known_to_the_service(simulator, avatar):
    assert avatar.state is SessionState.CONNECTED
    assert avatar.say("Hi.").outcome is SpeechOutcome.SPOKEN
    assert session_of(simulator, avatar)["state"] == "connected"


def test_starting_returns_what_the_service_said_of_the_session(make_avatar):
    avatar = make_avatar()
    session = avatar.create_start_avatar(quality="low")
    assert session.session_id == avatar.session_id
    assert session.url.startswith("ws://127.0.0.1:")
    assert session.session_duration_limit == 600
    assert session.access_token and session.access_token not in repr(session)


def test_stopping_ends_the_session_at_the_service(simulator, avatar):
    avatar.stop_avatar()
    assert avatar.state is SessionState.DISCONNECTED
    assert session_of(simulator, avatar)["state"] == "closed"


def sockets_to(simulator):
    """This process's connections to the simulator, which is in the same process."""
    port = int(simulator.base_path.rpartition(":")[2])
    connections = psutil.Process().net_connections("tcp")
    return [one for one in connections if one.raddr and one.raddr.port == port and one.status == "ESTABLISHED"]


def test_a_stopped_avatar_that_is_kept_keeps_no_socket_and_can_start_again(make_simulator, make_avatar):
    simulator = make_simulator()
    avatar = make_avatar(api_key=simulator.api_key, base_path=simulator.base_path)
    for _ in range(2):
        avatar.create_start_avatar(quality="low")
        assert avatar.say("Hi.").outcome is SpeechOutcome.SPOKEN
        assert sockets_to(simulator)
        avatar.stop_avatar()
        assert eventually(lambda: not sockets_to(simulator)), sockets_to(simulator)


def test_an_avatar_whose_session_the_service_has_ended_keeps_no_socket(make_simulator, make_avatar):
    simulator = make_simulator(limits=Limits(session_duration=1.5))
    avatar = make_avatar(api_key=simulator.api_key, base_path=simulator.base_path)
    avatar.create_start_avatar(quality="low")
    assert eventually(lambda: avatar.state is SessionState.DISCONNECTED)
    assert eventually(lambda: not sockets_to(simulator)), sockets_to(simulator)


def test_stopping_twice_or_without_a_session_does_nothing(make_avatar, avatar):
    avatar.stop_avatar()
    avatar.stop_avatar()
    unstarted = make_avatar()
    unstarted.stop_avatar()
    assert unstarted.state is SessionState.INACTIVE


def test_leaving_with_ends_the_session(simulator, make_avatar):
    with make_avatar() as avatar:
        avatar.create_start_avatar(quality="low")
    assert session_of(simulator, avatar)["state"] == "closed"


def test_an_exception_inside_with_ends_the_session_and_is_not_swallowed(simulator, make_avatar):
    with pytest.raises(ZeroDivisionError), make_avatar() as avatar:
        avatar.create_start_avatar(quality="low")
        1 / 0  # noqa: B018
    assert session_of(simulator, avatar)["state"] == "closed"


def test_a_second_start_ends_the_first_session(simulator, avatar):
    first = avatar.session_id
    avatar.create_start_avatar(quality="low")
    states = {entry["session_id"]: entry["state"] for entry in simulator.sessions()}
    assert states[first] == "closed"
    assert states[avatar.session_id] != "closed"


def test_handlers_survive_into_the_next_session(avatar):
    seen = []
    avatar.on(StreamingEvents.AVATAR_START_TALKING, seen.append)
    avatar.create_start_avatar(quality="low")
    avatar.say("Hi.")
    avatar.stop_avatar()
    assert len(seen) == 1


def test_new_session_and_start_session_are_the_two_halves_of_a_start(simulator, make_avatar):
    avatar = make_avatar()
    session = avatar.new_session(StartAvatarRequest(quality="low"))
    assert session_of(simulator, avatar)["state"] == "new"
    assert avatar.start_session().session_id == session.session_id
    assert avatar.state is SessionState.CONNECTED


def test_a_session_that_was_only_created_is_stopped_too(simulator, make_avatar):
    avatar = make_avatar()
    avatar.new_session(quality="low")
    avatar.stop_avatar()
    assert session_of(simulator, avatar)["state"] == "closed"


def test_a_session_made_elsewhere_can_be_started_here(simulator, make_avatar):
    backend, here = make_avatar(), make_avatar()
    request = StartAvatarRequest(quality="low")
    session = backend.new_session(request)
    here.start_avatar(request, session)
    assert here.session_id == session.session_id
    assert here.say("Hi.").outcome is SpeechOutcome.SPOKEN


def test_start_session_without_a_session_says_what_is_missing(make_avatar):
    with pytest.raises(SessionNotStartedError, match="new_session"):
        make_avatar().start_session()


def test_a_token_is_good_for_one_session(simulator, make_avatar):
    import requests

    reply = requests.post(
        f"{simulator.base_path}/v1/streaming.create_token", headers={"x-api-key": simulator.api_key}, timeout=5
    )
    avatar = make_avatar(token=reply.json()["data"]["token"], api_key=None)
    avatar.create_start_avatar(quality="low")
    with pytest.raises(AuthenticationError, match="fresh token"):
        avatar.create_start_avatar(quality="low")


def test_a_wrong_key_is_an_authentication_error_that_hides_the_key(make_avatar):
    with pytest.raises(AuthenticationError) as caught:
        make_avatar(api_key="not-the-key-of-anybody").create_start_avatar()
    assert caught.value.status == 401
    assert "not-the-key-of-anybody" not in str(caught.value)


def test_an_unknown_avatar_is_named_as_such_and_leaves_no_session(simulator, make_avatar):
    before = len(simulator.sessions())
    avatar = make_avatar()
    with pytest.raises(AvatarNotFoundError):
        avatar.create_start_avatar(avatar_name="nobody-knows-me")
    assert len(simulator.sessions()) == before
    assert avatar.session_id is None


def test_too_many_sessions_is_an_error_of_its_own(make_simulator, make_avatar):
    small = make_simulator(limits=Limits(concurrent_sessions=1))
    where = {"api_key": small.api_key, "base_path": small.base_path}
    make_avatar(**where).create_start_avatar(quality="low")
    with pytest.raises(ConcurrentSessionLimitError):
        make_avatar(**where).create_start_avatar(quality="low")


def test_a_start_that_is_too_slow_is_stopped_again(make_simulator, make_avatar):
    slow = make_simulator()
    slow.inject({"path": "/v1/streaming.start", "kind": "hang"})
    avatar = make_avatar(api_key=slow.api_key, base_path=slow.base_path)
    with pytest.raises(TimeoutError):
        avatar.create_start_avatar(quality="low", timeout=1.0)
    assert [entry["state"] for entry in slow.sessions()] == ["closed"]


def test_stopping_while_another_thread_starts_ends_the_start(make_simulator, make_avatar):
    slow = make_simulator()
    slow.inject({"path": "/v1/streaming.start", "kind": "delay", "seconds": 3})
    avatar = make_avatar(api_key=slow.api_key, base_path=slow.base_path)
    outcome = []

    def start():
        try:
            avatar.create_start_avatar(quality="low")
        except Exception as error:
            outcome.append(error)

    starter = threading.Thread(target=start)
    starter.start()
    while avatar.session_id is None:
        threading.Event().wait(0.01)
    avatar.stop_avatar()
    starter.join(10)
    assert isinstance(outcome[0], SessionClosedError) or "closed" in str(outcome[0])
    assert [entry["state"] for entry in slow.sessions()] == ["closed"]


def test_two_threads_cannot_start_one_avatar_at_once(make_simulator, make_avatar):
    slow = make_simulator()
    slow.inject({"path": "/v1/streaming.new", "kind": "delay", "seconds": 1})
    avatar = make_avatar(api_key=slow.api_key, base_path=slow.base_path)
    starter = threading.Thread(target=lambda: avatar.create_start_avatar(quality="low"))
    starter.start()
    while avatar.state is SessionState.INACTIVE and not avatar._starting.locked():
        threading.Event().wait(0.01)
    with pytest.raises(UsageError, match="another thread"):
        avatar.create_start_avatar(quality="low")
    starter.join(20)
    assert avatar.state is SessionState.CONNECTED


def test_stop_all_ends_every_session_of_the_process(simulator, make_avatar):
    avatars = [make_avatar(), make_avatar()]
    for avatar in avatars:
        avatar.create_start_avatar(quality="low")
    ended = stop_all()
    assert {avatar.session_id for avatar in avatars} <= set(ended)
    assert [session_of(simulator, avatar)["state"] for avatar in avatars] == ["closed", "closed"]
    assert avatars[0].state is SessionState.DISCONNECTED


def test_an_abandoned_avatar_ends_its_session_when_it_is_collected(simulator):
    import gc

    avatar = StreamingAvatar(api_key=simulator.api_key, base_path=simulator.base_path)
    avatar.on(StreamingEvents.STREAM_READY, lambda event, avatar=avatar: None)
    avatar.create_start_avatar(quality="low")
    session_id = avatar.session_id
    del avatar
    gc.collect()
    for _ in range(500):
        [session] = [entry for entry in simulator.sessions() if entry["session_id"] == session_id]
        if session["state"] == "closed":
            break
        threading.Event().wait(0.01)
    assert session["state"] == "closed"


def test_the_service_ending_the_session_is_told_and_closes_the_avatar(make_simulator, make_avatar):
    short = make_simulator(limits=Limits(session_duration=1.5))
    avatar = make_avatar(api_key=short.api_key, base_path=short.base_path)
    avatar.create_start_avatar(quality="low")
    event = avatar.wait_for(StreamingEvents.STREAM_DISCONNECTED, timeout=10)
    assert event.reason is DisconnectReason.ROOM_DELETED
    with pytest.raises(SessionClosedError, match="ended by the server"):
        avatar.speak("Hello?")
