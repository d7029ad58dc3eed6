"""The facade on LiveAvatar, end to end over real WebRTC; and one script on every service there is."""

from __future__ import annotations

import signal
import threading

import pytest
import requests

from heygen_avatar import (
    AuthenticationError,
    BadRequestError,
    Client,
    ConcurrentSessionLimitError,
    ConfigurationError,
    DisconnectReason,
    InvalidRequestError,
    LiveAvatarOptions,
    PushToTalkFailed,
    PushToTalkStarted,
    PushToTalkStopped,
    Samples,
    Service,
    SessionClosedError,
    SessionState,
    SpeechOutcome,
    StartTimeoutError,
    StreamingAvatar,
    StreamingEvents,
    TaskMode,
    TaskType,
    UnsupportedOptionWarning,
    UsageError,
    VoiceSetting,
)
from heygen_avatar.liveavatar import ElevenLabsAgent, Persona
from heygen_avatar.protocols import liveavatar as wire
from heygen_avatar.protocols.full import FullProtocol
from heygen_avatar.simulator import Limits, RecogniserSettings
from heygen_avatar.simulator.liveavatar.full import FullAppearance
from tests.programs import Program, eventually, states
from tests.services import FULL, LITE, STREAMING, WAYNE
from tests.simulator.sounds import spoken

TALKING = (StreamingEvents.STREAM_READY, StreamingEvents.AVATAR_START_TALKING, StreamingEvents.AVATAR_STOP_TALKING)

everywhere = pytest.mark.parametrize("house", [STREAMING, FULL, LITE], ids=["streaming", "full", "lite"])
where_it_answers = pytest.mark.parametrize("house", [STREAMING, FULL], ids=["streaming", "full"])


@pytest.fixture
def client(simulator):
    with Client(api_key=simulator.api_key, base_path=simulator.base_path, service=Service.LIVEAVATAR) as client:
        yield client


@pytest.fixture
def avatar(simulator):
    with FULL.started(simulator) as avatar:
        yield avatar


def record_of(simulator, avatar):
    [record] = [entry for entry in simulator.sessions() if entry["session_id"] == avatar.session_id]
    return record


def create(avatar, **fields):
    avatar.create_start_avatar(**{**FULL.start, **fields})


# -- one script, every service


@where_it_answers
def test_the_seeds_script_runs_with_another_constructor_line(simulator, house):
    heard = []
    with house.avatar(simulator) as avatar:
        for event in StreamingEvents:
            avatar.on(event, lambda event: heard.append((event.type, getattr(event, "task_id", ""))))
        session = avatar.create_start_avatar(**house.start, knowledge_base="Your name is Zora.", language="en")
        assert session.session_id == avatar.session_id
        repeated = avatar.speak("Hello, world!", task_type=TaskType.REPEAT, task_mode=TaskMode.SYNC)
        answered = avatar.speak("What is your name?", task_mode=TaskMode.SYNC)
        avatar.stop_avatar()
    assert (repeated.outcome, answered.outcome) == (SpeechOutcome.SPOKEN, SpeechOutcome.SPOKEN)
    assert [turn.speaker for turn in avatar.transcript] == ["avatar", "user", "avatar"]
    assert [turn.text.strip() for turn in avatar.transcript[:2]] == ["Hello, world!", "What is your name?"]
    assert "Zora" in avatar.transcript[2].text
    assert heard[0] == ("stream_ready", "")
    assert heard[-1] == ("stream_disconnected", "")
    of_first = [name for name, task in heard if task == repeated.task_id]
    assert of_first[0] == "avatar_start_talking"
    assert of_first[-1] == "avatar_stop_talking"
    assert {"avatar_talking_message", "avatar_end_message"} <= set(of_first)


@everywhere
def test_a_task_is_told_of_from_its_start_to_its_end(simulator, house):
    heard = []
    with house.avatar(simulator) as avatar:
        for name in TALKING:
            avatar.on(name, heard.append)
        avatar.create_start_avatar(**house.start)
        speech = house.say(avatar, 0.8)
        assert avatar.state is SessionState.CONNECTED
    assert speech.outcome is SpeechOutcome.SPOKEN
    assert [event.type for event in heard] == [name.value for name in TALKING]
    assert [event.task_id for event in heard[1:]] == [speech.task_id, speech.task_id]


@everywhere
def test_interrupting_ends_what_is_said_and_what_waits(simulator, house):
    with house.started(simulator) as avatar:
        with avatar.expect(StreamingEvents.AVATAR_START_TALKING):
            running = house.say(avatar, 20, mode="async")
        waiting = house.say(avatar, 20, mode="async")
        avatar.interrupt()
        assert running.wait(5).outcome is SpeechOutcome.INTERRUPTED
        assert waiting.wait(5).outcome is SpeechOutcome.INTERRUPTED
        assert house.say(avatar, 0.5).outcome is SpeechOutcome.SPOKEN


@everywhere
def test_poses_and_keep_alives_are_taken(simulator, house):
    with house.started(simulator) as avatar:
        avatar.start_listening()
        avatar.stop_listening()
        avatar.keep_alive()
        assert house.say(avatar, 0.3).outcome is SpeechOutcome.SPOKEN
        assert record_of(simulator, avatar)["ignored_messages"] == 0


@everywhere
def test_stopping_ends_the_session_at_the_service(simulator, house):
    with house.started(simulator) as avatar:
        picture = avatar.snapshot()
        assert picture.width > 0
    assert avatar.state is SessionState.DISCONNECTED
    assert record_of(simulator, avatar)["state"] == "closed"
    with pytest.raises(SessionClosedError, match="stopped here"):
        house.say(avatar, 0.1)


@everywhere
def test_too_many_sessions_is_an_error_of_its_own(make_simulator, house):
    small = make_simulator(limits=Limits(concurrent_sessions=1))
    with house.started(small), house.avatar(small) as second:
        with pytest.raises(ConcurrentSessionLimitError):
            second.create_start_avatar(**house.start)
        assert second.state is SessionState.DISCONNECTED


@everywhere
def test_a_session_made_by_a_backend_can_be_started_here(simulator, house):
    with house.avatar(simulator) as backend, house.avatar(simulator) as here:
        session = backend.new_session(**house.start)
        here.start_avatar(session=session)
        assert here.session_id == session.session_id
        assert house.say(here, 0.3).outcome is SpeechOutcome.SPOKEN


# -- a session's life on LiveAvatar


def test_a_started_session_is_told_of(avatar):
    session = avatar._connection.session
    assert session.url.startswith("ws://127.0.0.1:")
    assert session.session_duration_limit == 1200
    for secret in (session.session_token, session.access_token):
        assert secret and secret not in repr(session)


def test_the_key_and_the_address_come_from_the_environment(simulator, monkeypatch):
    monkeypatch.setenv("LIVEAVATAR_API_KEY", simulator.api_key)
    monkeypatch.setenv("LIVEAVATAR_BASE_PATH", simulator.base_path)
    monkeypatch.setenv("HEYGEN_API_KEY", "of-another-service")
    monkeypatch.setenv("HEYGEN_BASE_PATH", "http://127.0.0.1:9")
    with StreamingAvatar(service="liveavatar") as avatar:
        create(avatar)
        assert avatar.say("Hi.").outcome is SpeechOutcome.SPOKEN


def test_without_a_key_the_variable_is_named(monkeypatch):
    monkeypatch.delenv("LIVEAVATAR_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="LIVEAVATAR_API_KEY"):
        StreamingAvatar(service=Service.LIVEAVATAR)
    with pytest.raises(ConfigurationError, match="'heygen', 'liveavatar'"):
        StreamingAvatar(service="facebook")


def test_a_token_is_enough_for_its_session(simulator):
    reply = requests.post(
        f"{simulator.base_path}/v1/sessions/token",
        headers={"X-API-KEY": simulator.api_key},
        json={"mode": "FULL", "avatar_id": WAYNE, "avatar_persona": {}, "video_settings": {"quality": "low"}},
        timeout=5,
    ).json()["data"]
    with StreamingAvatar(
        token=reply["session_token"], base_path=simulator.base_path, service=Service.LIVEAVATAR
    ) as avatar:
        assert avatar.create_start_avatar().session_id == reply["session_id"]
        assert avatar.say("Hi.").outcome is SpeechOutcome.SPOKEN
    assert record_of(simulator, avatar)["state"] == "closed"


def test_a_key_of_another_service_is_an_authentication_error(simulator):
    with FULL.avatar(simulator, api_key="heygens-own") as avatar, pytest.raises(AuthenticationError) as caught:
        create(avatar)
    assert caught.value.status == 401
    assert "heygens-own" not in str(caught.value)


def test_an_unknown_avatar_is_refused_in_the_services_words(simulator):
    with FULL.avatar(simulator) as avatar, pytest.raises(BadRequestError, match="not found in your space"):
        create(avatar, avatar_name="0a0a0a0a-0000-4000-8000-00000000dead")


def test_heygens_avatar_names_are_refused_before_anything_is_sent(simulator):
    before = simulator.sessions()
    with FULL.avatar(simulator) as avatar, pytest.raises(InvalidRequestError, match="UUID"):
        create(avatar, avatar_name="Wayne_20240711")
    assert simulator.sessions() == before


def test_an_agent_that_does_not_come_fails_the_start_in_time(simulator, monkeypatch):
    monkeypatch.setattr(FullProtocol, "companions", lambda self, session_id: ("nobody",))
    with FULL.avatar(simulator) as avatar:
        with pytest.raises(StartTimeoutError, match="agent"):
            avatar.create_start_avatar(**FULL.start, timeout=2.0)
        assert record_of(simulator, avatar)["state"] == "closed"


def test_a_failed_start_call_leaves_nothing_open(make_simulator):
    poor = make_simulator()
    poor.inject({"path": "/v1/sessions/start", "kind": "lost"})
    with FULL.avatar(poor) as avatar:
        with pytest.raises(ConnectionError):
            create(avatar)
        assert [entry["state"] for entry in poor.sessions()] == ["closed"]


# -- what has no place


def test_what_has_no_place_is_warned_of_where_the_call_is(simulator):
    with FULL.avatar(simulator) as avatar:
        with pytest.warns(UnsupportedOptionWarning, match=r"voice\.emotion") as caught:
            avatar.create_start_avatar(**FULL.start, voice=VoiceSetting(emotion="excited"))
        assert caught[0].filename == __file__
        assert avatar.say("Hi.").outcome is SpeechOutcome.SPOKEN


def test_a_prompts_context_lives_as_long_as_its_session(simulator, client):
    before = {context.id for context in client.contexts.list()}
    with FULL.started(simulator, knowledge_base="Your name is Zora."):
        [made] = [context.id for context in client.contexts.list() if context.id not in before]
        assert client.contexts.get(made).prompt == "Your name is Zora."
    assert eventually(lambda: made not in {context.id for context in client.contexts.list()})


@pytest.mark.parametrize("path", ["/v1/sessions/token", "/v1/sessions/start"])
def test_a_prompts_context_is_removed_when_the_start_fails(make_simulator, path):
    failing = make_simulator()
    failing.inject({"path": path, "kind": "status", "status": 500, "times": None})
    with (
        FULL.avatar(failing) as avatar,
        Client(api_key=failing.api_key, base_path=failing.base_path, service=Service.LIVEAVATAR) as client,
    ):
        with pytest.raises(Exception, match="HTTP 500"):
            create(avatar, knowledge_base="Your name is Zora.")
        assert eventually(lambda: list(client.contexts.list()) == [])


def test_a_killed_program_leaves_neither_its_session_nor_its_context(make_simulator):
    simulator = make_simulator()
    program = """
        avatar = StreamingAvatar(
            service="liveavatar", api_key=os.environ["HEYGEN_API_KEY"], base_path=os.environ["HEYGEN_BASE_PATH"]
        )
        avatar.create_start_avatar(avatar_name=sys.argv[1], quality="low", knowledge_base="Your name is Zora.")
        mark("started")
        time.sleep(60)
    """.replace("sys.argv[1]", repr(WAYNE))
    with (
        Client(api_key=simulator.api_key, base_path=simulator.base_path, service=Service.LIVEAVATAR) as client,
        Program(simulator, program) as running,
    ):
        running.wait_for_mark("started")
        assert [context.name for context in client.contexts.list()] == [wire.CONTEXT_NAME]
        running.send(signal.SIGKILL)
        assert eventually(lambda: states(simulator) == ["closed"], 15)
        assert eventually(lambda: list(client.contexts.list()) == [], 15)


def test_without_a_context_talk_is_refused_since_nobody_would_answer(simulator):
    with FULL.started(simulator, liveavatar=LiveAvatarOptions(persona=Persona())) as avatar:
        with pytest.raises(InvalidRequestError, match="context_id"):
            avatar.speak("What is your name?")
        assert avatar.say("Hi.").outcome is SpeechOutcome.SPOKEN


def test_a_stored_context_opens_the_conversation_and_is_filled(simulator, client):
    context = client.contexts.create("greeter", prompt="Be kind.", opening="Welcome, ${name}!")
    options = LiveAvatarOptions(persona=Persona(context_id=context.id), dynamic_variables={"name": "Ada"})
    with FULL.avatar(simulator) as avatar:
        with avatar.expect(StreamingEvents.AVATAR_STOP_TALKING):
            create(avatar, liveavatar=options)
        assert [(turn.speaker, turn.text, turn.complete) for turn in avatar.transcript] == [
            ("avatar", "Welcome, Ada!", True)
        ]
    assert client.contexts.get(context.id).name == "greeter"
    client.contexts.delete(context.id)


# -- events of LiveAvatar's own


def test_push_to_talk_is_answered_by_events(simulator):
    silence = Samples(sample_rate=16_000)
    with FULL.started(simulator, enable_push_to_talk=True) as avatar:
        avatar.start_voice_chat(source=silence)
        with avatar.expect(StreamingEvents.PUSH_TO_TALK_STARTED) as started:
            avatar.push_to_talk_start()
        with avatar.expect(StreamingEvents.PUSH_TO_TALK_STOPPED) as stopped:
            avatar.push_to_talk_stop()
        with avatar.expect(StreamingEvents.PUSH_TO_TALK_FAILED) as failed, pytest.raises(UsageError, match="not held"):
            avatar.push_to_talk_stop()
    assert isinstance(started.value, PushToTalkStarted)
    assert isinstance(stopped.value, PushToTalkStopped)
    assert isinstance(failed.value, PushToTalkFailed) and failed.value.action == "stop"


def test_what_is_asked_aloud_with_the_button_held_is_heard_and_answered(make_simulator):
    hearing = make_simulator(stt=RecogniserSettings(engine="none"))
    with FULL.started(hearing, enable_push_to_talk=True, knowledge_base="Your name is Zora.") as avatar:
        exchange = avatar.ask(Samples(spoken("Hello there, how are you?"), 16_000))
        assert exchange.answer.strip()


def test_an_elevenlabs_agent_is_talked_to_and_heard(simulator, client):
    secret = client.secrets.create("mine", "key-of-elevenlabs", type="ELEVENLABS_API_KEY")
    options = LiveAvatarOptions(mode="LITE", connector=ElevenLabsAgent(secret_id=secret.id, agent_id="agent-1"))
    with FULL.started(simulator, liveavatar=options) as avatar:
        heard = []
        avatar.on(StreamingEvents.ELEVENLABS_EVENT, heard.append)
        assert avatar.speak("Hello there.", task_mode="sync").outcome is SpeechOutcome.SPOKEN
        with avatar.expect(StreamingEvents.ELEVENLABS_EVENT, where=lambda event: "agent" in event.elevenlabs_type):
            command = avatar.elevenlabs.user_message("And how are you?")
        avatar.elevenlabs.contextual_update("It is raining.")
        avatar.elevenlabs.user_activity()
        avatar.elevenlabs.client_tool_result("call-1", "sunny", call_event_id=heard[0].event_id)
        with pytest.raises(InvalidRequestError, match="REPEAT"):
            avatar.say("Hi.")
    [message] = [event for event in heard if event.data.get("user_transcription_event", {}).get("user_transcript")][1:]
    assert message.source_event_id == command
    assert message.elevenlabs_type == "user_transcript"


def test_only_a_session_with_an_agent_can_be_told_of_one(avatar):
    with pytest.raises(InvalidRequestError, match="no ElevenLabs agent"):
        avatar.elevenlabs  # noqa: B018


# -- how sessions end


def ended(avatar, within=10.0):
    """What is heard of the session's end."""
    heard = [event for event in avatar.events(timeout=within) if event.type.startswith(("session_", "stream_"))]
    return {event.type: event for event in heard}


def test_an_end_by_the_server_is_told_with_its_reason(make_simulator):
    brief = make_simulator(limits=Limits(liveavatar_session_duration=2.0))
    with FULL.started(brief) as avatar:
        heard = ended(avatar)
        assert heard["session_expiring"].reason == "MAX_DURATION_REACHED"
        assert heard["session_stopped"].reason == "MAX_DURATION_REACHED"
        assert heard["session_stopped"].raw
        assert heard["stream_disconnected"].reason is DisconnectReason.ROOM_DELETED
        with pytest.raises(SessionClosedError, match="MAX_DURATION_REACHED"):
            avatar.say("Hi.")


def test_a_session_that_ends_while_it_is_being_started_says_which_and_why(make_simulator, monkeypatch):
    async def stay_away(appearance):
        """The avatar is there, and the agent that hears commands never comes."""

    monkeypatch.setattr(FullAppearance, "enter_agent", stay_away)
    brief = make_simulator(limits=Limits(liveavatar_session_duration=1.5))
    with FULL.avatar(brief) as avatar:
        with pytest.raises(SessionClosedError, match="ended while it was being started") as caught:
            avatar.create_start_avatar(**FULL.start)
        assert caught.value.session_id == avatar.session_id
        assert caught.value.reason in str(caught.value) and caught.value.reason != "left"


def test_a_longest_duration_that_passes_without_a_word_is_ended_here(make_simulator):
    silent = make_simulator(limits=Limits(liveavatar_session_duration=2.0))
    silent.inject({"kind": "silent_end"})
    with FULL.started(silent) as avatar:
        heard = ended(avatar)
        assert 0 < heard["session_expiring"].seconds_left <= 0.5
        assert heard["session_stopped"].reason == "MAX_DURATION_REACHED"
        assert not heard["session_stopped"].raw
        with pytest.raises(SessionClosedError, match="longest duration of 2 s"):
            avatar.say("Hi.")
        assert eventually(lambda: record_of(silent, avatar)["state"] == "closed")
        with Client(api_key=silent.api_key, base_path=silent.base_path, service=Service.LIVEAVATAR) as client:
            assert client.sessions.get(avatar.session_id).end_reason == "MAX_DURATION_REACHED"


def test_an_idle_session_is_said_to_expire_and_ended(simulator, monkeypatch):
    monkeypatch.setattr(wire, "IDLE_SECONDS", 1.0)
    with FULL.avatar(simulator, keep_alive=False) as avatar:
        create(avatar)
        heard = ended(avatar)
        assert heard["session_expiring"].reason == "IDLE_TIMEOUT"
        with pytest.raises(SessionClosedError, match=r"keep_alive\(\)"):
            avatar.say("Hi.")


def test_what_happens_resets_the_idle_clock(simulator, monkeypatch):
    monkeypatch.setattr(wire, "IDLE_SECONDS", 2.0)
    with FULL.avatar(simulator) as avatar:
        create(avatar)
        for _ in range(3):
            event = avatar.wait_for(StreamingEvents.SESSION_EXPIRING)
            assert 0 < event.seconds_left <= 0.5
            avatar.keep_alive()
        assert avatar.state is SessionState.CONNECTED


def test_the_idle_clock_is_kept_from_running_out_inside_with(simulator, monkeypatch):
    monkeypatch.setattr(wire, "IDLE_SECONDS", 2.0)
    monkeypatch.setattr("heygen_avatar.avatar.KEEP_ALIVE", 0.3)
    expiring = threading.Event()
    with FULL.avatar(simulator) as avatar, avatar:
        avatar.on(StreamingEvents.SESSION_EXPIRING, lambda event: expiring.set())
        create(avatar)
        assert not expiring.wait(2.5)
        assert avatar.state is SessionState.CONNECTED
