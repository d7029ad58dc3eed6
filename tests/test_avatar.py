"""The facade end to end: every method against the simulator, over real REST, WebSockets and WebRTC."""

import threading

import psutil
import pytest

from heygen_avatar import (
    AuthenticationError,
    AvatarNotFoundError,
    ConcurrentSessionLimitError,
    ConfigurationError,
    DisconnectReason,
    InvalidRequestError,
    SessionClosedError,
    SessionNotStartedError,
    SessionState,
    SpeakRequest,
    SpeechOutcome,
    StartAvatarRequest,
    StartAvatarResponse,
    StreamingAvatar,
    StreamingEvents,
    TaskMode,
    TaskType,
    UsageError,
    VoiceChatTransport,
    WaitTimeoutError,
    stop_all,
)
from heygen_avatar.simulator import Limits
from tests.programs import eventually

LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen."


@pytest.fixture
def make_avatar(simulator):
    made = []

    def make(**settings):
        avatar = StreamingAvatar(**{"api_key": simulator.api_key, "base_path": simulator.base_path, **settings})
        made.append(avatar)
        return avatar

    yield make
    for avatar in made:
        avatar.stop_avatar()


@pytest.fixture
def avatar(make_avatar):
    avatar = make_avatar()
    avatar.create_start_avatar(avatar_name="default", quality="low")
    return avatar


def session_of(simulator, avatar):
    [session] = [entry for entry in simulator.sessions() if entry["session_id"] == avatar.session_id]
    return session


# -- a session's life


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


# -- talking


def test_say_returns_when_it_is_said(avatar):
    speech = avatar.say("Hello, world!")
    assert speech.outcome is SpeechOutcome.SPOKEN
    assert speech.task_id
    assert 300 < speech.duration_ms < 5_000


def test_an_asynchronous_repeat_returns_at_once_with_its_task_id(avatar):
    speech = avatar.speak("Hello, world!", task_type=TaskType.REPEAT)
    assert speech.task_id and not speech.done
    assert speech.wait(20).outcome is SpeechOutcome.SPOKEN


@pytest.mark.parametrize("transport", list(VoiceChatTransport))
def test_talk_goes_over_the_chat_channel_and_is_answered(make_avatar, transport):
    avatar = make_avatar()
    avatar.create_start_avatar(quality="low", voice_chat_transport=transport, knowledge_base="You are Ada.")
    speech = avatar.speak("What is your name?")
    assert speech.wait(20).outcome is SpeechOutcome.SPOKEN
    assert speech.task_id
    assert "Ada" in avatar.transcript[-1].text


def test_a_synchronous_talk_returns_with_the_answer_in_the_transcript(avatar):
    speech = avatar.speak(SpeakRequest(text="Good morning!", task_mode=TaskMode.SYNC))
    assert speech.done
    question, answer = avatar.transcript
    assert (question.speaker, question.text) == ("user", "Good morning!")
    assert answer.speaker == "avatar" and answer.complete


def test_tasks_are_spoken_in_the_order_they_were_given(avatar):
    speeches = [avatar.speak(text, task_type="repeat") for text in ("First.", "Second.", "Third.")]
    for speech in speeches:
        speech.wait(20)
    assert [turn.text for turn in avatar.transcript] == ["First.", "Second.", "Third."]


def test_interrupting_silences_the_avatar_and_drops_the_queue(avatar):
    with avatar.expect(StreamingEvents.AVATAR_START_TALKING):
        running = avatar.speak(LONG, task_type="repeat")
    queued = avatar.speak(LONG, task_type="repeat")
    running.interrupt()
    assert running.wait(5).outcome is SpeechOutcome.INTERRUPTED
    assert queued.wait(5).outcome is SpeechOutcome.INTERRUPTED


def test_a_synchronous_speech_interrupted_by_a_handler_says_so(avatar):
    avatar.once(StreamingEvents.AVATAR_TALKING_MESSAGE, lambda event: avatar.interrupt())
    assert avatar.say(LONG).outcome is SpeechOutcome.INTERRUPTED


def test_a_synchronous_speech_cut_off_by_the_sessions_end_says_so(avatar):
    avatar.once(StreamingEvents.AVATAR_START_TALKING, lambda event: avatar.stop_avatar())
    with pytest.raises(SessionClosedError):
        avatar.say(LONG)


def test_a_synchronous_speech_past_its_deadline_says_so_and_goes_on(avatar):
    with pytest.raises(WaitTimeoutError):
        avatar.say(LONG, timeout=0.5)
    assert avatar.state is SessionState.CONNECTED
    avatar.wait_for(StreamingEvents.AVATAR_STOP_TALKING, timeout=30)


def test_listening_keep_alive_and_interrupting_silence_are_accepted(simulator, avatar):
    avatar.start_listening()
    avatar.stop_listening()
    avatar.keep_alive()
    avatar.interrupt()
    assert session_of(simulator, avatar)["state"] == "connected"


def test_keep_alive_resets_the_idle_countdown(make_simulator, make_avatar):
    quick = make_simulator(limits=Limits(idle_timeout=1.0))
    avatar = make_avatar(api_key=quick.api_key, base_path=quick.base_path)
    avatar.create_start_avatar(quality="low")
    for _ in range(4):
        with pytest.raises(WaitTimeoutError):
            avatar.wait_for(StreamingEvents.STREAM_DISCONNECTED, timeout=0.5)
        avatar.keep_alive()
    assert avatar.state is SessionState.CONNECTED
    avatar.wait_for(StreamingEvents.STREAM_DISCONNECTED, timeout=5)


def test_the_first_keep_alive_is_due_since_the_session_was_made_however_long_its_start_took(
    make_simulator, make_avatar, monkeypatch
):
    monkeypatch.setattr("heygen_avatar.avatar.KEEP_ALIVE", 2.5)
    slow = make_simulator(limits=Limits(idle_timeout=4.0))
    slow.inject({"kind": "delay", "path": "/v1/streaming.start", "seconds": 2.0})
    with make_avatar(api_key=slow.api_key, base_path=slow.base_path) as avatar:
        avatar.create_start_avatar(quality="low")
        with pytest.raises(WaitTimeoutError):
            avatar.wait_for(StreamingEvents.STREAM_DISCONNECTED, timeout=3.0)
        assert avatar.state is SessionState.CONNECTED


@pytest.mark.parametrize(
    "call",
    [
        lambda avatar: avatar.speak("Hi"),
        lambda avatar: avatar.say("Hi"),
        lambda avatar: avatar.interrupt(),
        lambda avatar: avatar.keep_alive(),
        lambda avatar: avatar.start_listening(),
        lambda avatar: avatar.stop_listening(),
        lambda avatar: avatar.video_frames(),
        lambda avatar: avatar.audio_frames(),
        lambda avatar: avatar.snapshot(),
        lambda avatar: avatar.record("never.mp4"),
    ],
)
def test_calls_before_the_start_and_after_the_stop_say_so(make_avatar, call):
    avatar = make_avatar()
    with pytest.raises(SessionNotStartedError, match="create_start_avatar"):
        call(avatar)
    avatar.create_start_avatar(quality="low")
    avatar.stop_avatar()
    with pytest.raises(SessionClosedError, match=avatar.session_id):
        call(avatar)


@pytest.mark.parametrize("text", ["", "   ", "x" * 1001, None, 7])
def test_a_text_the_service_would_refuse_is_refused_before_it_is_sent(simulator, avatar, text):
    with pytest.raises(InvalidRequestError, match=r"1 to 1,000|1 to 1,000 characters"):
        avatar.speak(text)
    assert list(avatar.transcript) == []


# -- events


def test_the_events_of_a_speech_come_in_order_with_its_task_id(avatar):
    seen = []
    names = [
        StreamingEvents.AVATAR_START_TALKING,
        StreamingEvents.AVATAR_TALKING_MESSAGE,
        StreamingEvents.AVATAR_END_MESSAGE,
        StreamingEvents.AVATAR_STOP_TALKING,
    ]
    for name in names:
        avatar.on(name, seen.append)
    speech = avatar.say("Hello, world!")
    avatar.stop_avatar()
    assert list(dict.fromkeys(event.type for event in seen)) == [str(name) for name in names]
    assert {event.task_id for event in seen} == {speech.task_id}
    assert "".join(event.message for event in seen if event.type == "avatar_talking_message") == "Hello, world!"


def test_the_stream_is_ready_once_and_disconnected_last(make_avatar):
    avatar = make_avatar()
    seen = []
    for name in StreamingEvents:
        avatar.on(name, lambda event: seen.append(event.type))
    avatar.create_start_avatar(quality="low")
    avatar.say("Hi.")
    avatar.stop_avatar()
    assert seen.count("stream_ready") == 1
    assert seen.count("stream_disconnected") == 1
    assert seen[-1] == "stream_disconnected"


def test_expect_subscribes_before_the_block_acts(avatar):
    with avatar.expect(StreamingEvents.AVATAR_STOP_TALKING, timeout=10) as stopped:
        avatar.say("Hi.")
    assert stopped.value.duration_ms > 0


def test_expect_takes_a_condition(avatar):
    with avatar.expect("avatar_talking_message", timeout=10, where=lambda event: "world" in event.message) as chunk:
        avatar.speak("Hello, world!", task_type="repeat")
    assert "world" in chunk.value.message


def test_the_expected_event_is_not_there_inside_the_block(avatar):
    with pytest.raises(UsageError, match="after the with block"), avatar.expect("user_start") as expected:
        print(expected.value)


def test_waiting_in_vain_ends_at_the_deadline(avatar):
    with pytest.raises(WaitTimeoutError, match="user_silence"):
        avatar.wait_for(StreamingEvents.USER_SILENCE, timeout=0.1)


def test_waiting_ends_with_the_session(avatar):
    avatar.once(StreamingEvents.AVATAR_START_TALKING, lambda event: avatar.stop_avatar())
    with pytest.raises(SessionClosedError), avatar.expect(StreamingEvents.USER_SILENCE, timeout=30):
        avatar.speak("Hi.", task_type="repeat")


def test_events_iterates_until_the_session_has_ended(avatar):
    events = avatar.events()
    avatar.say("Hi.")
    avatar.stop_avatar()
    names = [event.type for event in events]
    assert names[0] == "avatar_start_talking"
    assert names[-1] == "stream_disconnected"


def test_handlers_may_call_blocking_methods(avatar):
    done = threading.Event()

    def reply(event):
        avatar.say("And this is from a handler.")
        done.set()

    avatar.once(StreamingEvents.AVATAR_STOP_TALKING, reply)
    avatar.say("First.")
    assert done.wait(20)
    assert [turn.text for turn in avatar.transcript] == ["First.", "And this is from a handler."]


def test_a_handler_may_stop_the_avatar_but_not_wait_for_its_end(simulator, avatar):
    outcome = []

    def handler(event):
        try:
            avatar.wait_for(StreamingEvents.STREAM_DISCONNECTED)
        except UsageError as error:
            outcome.append(error)
        avatar.stop_avatar()

    with avatar.expect(StreamingEvents.STREAM_DISCONNECTED, timeout=10):
        avatar.once(StreamingEvents.AVATAR_START_TALKING, handler)
        avatar.speak("Hi.", task_type="repeat")
    assert len(outcome) == 1
    assert session_of(simulator, avatar)["state"] == "closed"


def test_a_decorated_handler_stays_a_function(avatar):
    seen = []

    @avatar.on(StreamingEvents.AVATAR_START_TALKING)
    def handler(event):
        seen.append(event)

    avatar.say("Hi.")
    avatar.stop_avatar()
    handler("called directly")
    assert len(seen) == 2


def test_with_manual_dispatch_handlers_run_where_the_user_says(make_avatar):
    avatar = make_avatar(dispatch="manual")
    threads = []
    avatar.on(StreamingEvents.STREAM_READY, lambda event: threads.append(threading.current_thread()))
    avatar.create_start_avatar(quality="low")
    assert threads == []
    assert avatar.run_handlers(timeout=1) >= 1
    assert threads == [threading.current_thread()]


def test_run_handlers_is_refused_where_a_thread_runs_them(avatar):
    with pytest.raises(UsageError, match="manual"):
        avatar.run_handlers()


# -- set-up


def test_neither_token_nor_key_is_an_error_that_names_the_ways(monkeypatch):
    monkeypatch.delenv("HEYGEN_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="HEYGEN_API_KEY"):
        StreamingAvatar()


def test_the_environment_gives_key_and_base_path(simulator, monkeypatch):
    monkeypatch.setenv("HEYGEN_API_KEY", simulator.api_key)
    monkeypatch.setenv("HEYGEN_BASE_PATH", simulator.base_path)
    with StreamingAvatar() as avatar:
        avatar.create_start_avatar(quality="low")
        assert avatar.state is SessionState.CONNECTED


def test_an_argument_beats_the_environment(simulator, monkeypatch):
    monkeypatch.setenv("HEYGEN_API_KEY", "wrong")
    monkeypatch.setenv("HEYGEN_BASE_PATH", "http://127.0.0.1:1")
    with StreamingAvatar(api_key=simulator.api_key, base_path=simulator.base_path) as avatar:
        avatar.create_start_avatar(quality="low")
        assert avatar.state is SessionState.CONNECTED


@pytest.mark.parametrize("timeout", [-1, float("nan"), "ten", True])
def test_a_timeout_that_is_none_is_refused(avatar, timeout):
    with pytest.raises(InvalidRequestError, match="timeout"):
        avatar.wait_for("user_start", timeout=timeout)


@pytest.mark.parametrize(
    "call",
    [
        lambda avatar: avatar.create_start_avatar(timeout=None),
        lambda avatar: avatar.new_session(timeout=None),
        lambda avatar: avatar.start_session(timeout=None),
        lambda avatar: avatar.start_avatar(
            session=StartAvatarResponse(session_id="one", url="wss://a", access_token="b"), timeout=None
        ),
        lambda avatar: avatar.stop_avatar(timeout=None),
        lambda avatar: avatar.ask("Hi.", timeout=None),
        lambda avatar: avatar.start_voice_chat(timeout=None),
        lambda avatar: avatar.snapshot(timeout=None),
        lambda avatar: stop_all(timeout=None),
    ],
    ids=[
        "create_start_avatar",
        "new_session",
        "start_session",
        "start_avatar",
        "stop_avatar",
        "ask",
        "voice_chat",
        "snapshot",
        "all",
    ],
)
def test_none_is_no_deadline_for_a_call_that_has_to_have_one(call):
    # Nobody is there: whatever is sent ends in another error.
    avatar = StreamingAvatar(api_key="key", base_path="http://127.0.0.1:1")
    with pytest.raises(InvalidRequestError, match="timeout must be"):
        call(avatar)


def test_no_secret_shows_in_a_repr(simulator, avatar):
    shown = repr(avatar) + repr(avatar._rest) + repr(avatar._connection) + repr(avatar.signals)
    assert simulator.api_key not in shown
    assert avatar._connection._token not in shown
