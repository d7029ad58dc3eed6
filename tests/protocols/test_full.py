"""LiveAvatar's FULL mode on the wire: a session's life, commands, events, and any bytes heard (liveavatar §1.2, §3)."""

import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygen_avatar.errors import InvalidRequestError
from heygen_avatar.events import (
    OWN_EVENTS,
    AvatarEndMessage,
    AvatarStartTalking,
    AvatarStopTalking,
    AvatarTalkingMessage,
    ElevenLabsEvent,
    Event,
    PushToTalkFailed,
    PushToTalkStarted,
    PushToTalkStopped,
    SessionStopped,
    UnknownEvent,
    UserEndMessage,
    UserStart,
    UserStop,
    UserTalkingMessage,
)
from heygen_avatar.liveavatar import ElevenLabsAgent, LiveAvatarOptions, Persona
from heygen_avatar.models import SpeakRequest, StartAvatarRequest, StartAvatarResponse, TaskType, VoiceChatTransport
from heygen_avatar.protocols import WireError
from heygen_avatar.protocols.full import FullProtocol
from tests.protocols.tokens import jwt

AVATAR = "0a0a0a0a-0000-4000-8000-000000000001"
SECRET = "0a0a0a0a-0000-4000-8000-000000000004"
SESSION = StartAvatarResponse(session_id="s-1", session_token="jwt")
LIVEKIT = VoiceChatTransport.LIVEKIT


def make(**options):
    return FullProtocol(StartAvatarRequest(avatar_name=AVATAR, liveavatar=LiveAvatarOptions(**options)))


@pytest.fixture
def protocol():
    return make()


@pytest.fixture
def elevenlabs():
    return make(mode="LITE", connector=ElevenLabsAgent(secret_id=SECRET, agent_id="a"))


def sent(message):
    assert message.topic == "agent-control"
    return json.loads(message.payload)


def heard(protocol, **message):
    return protocol.read_data(json.dumps(message).encode(), "agent-response", received_at=5.0)


# -- a session's life


def test_creating_goes_by_key_and_starting_by_the_sessions_token(protocol):
    call = protocol.new_session(StartAvatarRequest(avatar_name=AVATAR))
    assert (call.method, call.path, call.auth) == ("POST", "/v1/sessions/token", "key")
    started = protocol.start(SESSION)
    assert (started.method, started.path, started.auth, started.body) == ("POST", "/v1/sessions/start", "token", None)
    assert started.repeat == "unsent"


def test_the_token_reply_is_a_session_with_its_token(protocol):
    session = protocol.read_session({"session_id": "s-1", "session_token": "secret", "more": 1})
    assert (session.session_id, session.session_token) == ("s-1", "secret")
    assert "secret" not in repr(session)


def test_what_starting_adds_is_read(protocol):
    reply = {
        "session_id": "s-1",
        "livekit_url": "wss://room",
        "livekit_client_token": "join",
        "livekit_agent_token": None,
        "max_session_duration": 1200,
        "ws_url": None,
    }
    session = protocol.read_started(SESSION, reply)
    assert (session.url, session.access_token, session.session_duration_limit) == ("wss://room", "join", 1200.0)
    assert session.realtime_endpoint is None


@pytest.mark.parametrize("reply", [None, [], {}, {"livekit_url": None}, {"livekit_url": ""}])
def test_a_start_reply_without_a_room_makes_no_sense(protocol, reply):
    with pytest.raises(WireError):
        protocol.read_started(SESSION, reply)


def test_a_session_that_its_maker_has_started_is_not_started_again(protocol):
    assert protocol.start(StartAvatarResponse(session_id="s", url="wss://room", access_token="join")) is None


def test_a_token_is_that_of_a_session_which_it_may_name(protocol):
    assert protocol.session_of_token(jwt(session_id="s-9")).session_id == "s-9"
    nameless = protocol.session_of_token("opaque")
    assert (nameless.session_id, nameless.session_token) == ("", "opaque")


def test_stopping_gives_a_reason_and_the_session_if_it_is_known(protocol):
    assert protocol.stop("s-1").body == {"session_id": "s-1", "reason": "USER_CLOSED"}
    assert protocol.stop("", reason="IDLE_TIMEOUT").body == {"reason": "IDLE_TIMEOUT"}


def test_keep_alive_is_a_call(protocol):
    call = protocol.keep_alive("s-1")
    assert (call.path, call.body) == ("/v1/sessions/keep-alive", {"session_id": "s-1"})


def test_the_avatar_and_its_agent_must_come(protocol, elevenlabs):
    assert protocol.avatar_identity == "heygen"
    assert protocol.companions("s-1") == ("liveavatar-agent-s-1",)
    assert elevenlabs.companions("s-1") == ()


@pytest.mark.parametrize(
    ("told", "options", "duration"),
    [
        (600.0, {}, 600.0),
        (60.0, {"sandbox": True}, 60.0),
        (None, {"sandbox": True}, 60.0),
        (None, {"max_session_duration": 90}, 90.0),
        (None, {}, None),
        (0.0, {}, None),
    ],
)
def test_a_sessions_longest_duration_is_known_as_far_as_it_is_told(told, options, duration):
    session = StartAvatarResponse(session_id="s", session_duration_limit=told)
    lifetime = make(**options).lifetime(session)
    assert (lifetime.duration, lifetime.idle) == (duration, 300.0)


# -- commands


def test_repeat_and_talk_are_two_commands_with_ids_of_our_own(protocol):
    repeat = protocol.speak("s-1", SpeakRequest(text="Hi \N{GRINNING FACE}", task_type=TaskType.REPEAT), LIVEKIT)
    talk = protocol.speak("s-1", SpeakRequest(text="Hi"), LIVEKIT)
    assert sent(repeat) == {
        "event_id": repeat.task_id,
        "event_type": "avatar.speak_text",
        "text": "Hi \N{GRINNING FACE}",
    }
    assert sent(talk) == {"event_id": talk.task_id, "event_type": "avatar.speak_response", "text": "Hi"}
    assert uuid.UUID(repeat.task_id).version == 4
    assert repeat.task_id != talk.task_id


def test_half_a_surrogate_pair_does_not_keep_a_text_from_being_sent(protocol):
    assert sent(protocol.speak("s", SpeakRequest(text="a\ud83d"), LIVEKIT))["text"].startswith("a")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (lambda protocol: protocol.interrupt("s"), "avatar.interrupt"),
        (lambda protocol: protocol.start_listening("s"), "avatar.start_listening"),
        (lambda protocol: protocol.stop_listening("s"), "avatar.stop_listening"),
        (lambda protocol: protocol.push_to_talk(held=True), "user.start_push_to_talk"),
        (lambda protocol: protocol.push_to_talk(held=False), "user.stop_push_to_talk"),
    ],
)
def test_other_commands_have_no_content(protocol, command, name):
    message = command(protocol)
    assert sent(message) == {"event_id": message.task_id, "event_type": name}


def test_talk_without_a_context_is_refused_since_nobody_would_answer():
    mute = make(persona=Persona())
    with pytest.raises(InvalidRequestError, match="context_id"):
        mute.speak("s", SpeakRequest(text="Hi"), LIVEKIT)
    assert mute.speak("s", SpeakRequest(text="Hi", task_type="repeat"), LIVEKIT)


def test_an_elevenlabs_agent_is_asked_and_cannot_be_made_to_repeat(elevenlabs):
    message = elevenlabs.speak("s-1", SpeakRequest(text="Hi"), LIVEKIT)
    assert sent(message) == {
        "event_type": "elevenlabs_agent_command",
        "event_id": message.task_id,
        "session_id": "s-1",
        "source_event_id": None,
        "elevenlabs_event_type": "user_message",
        "data": {"text": "Hi"},
    }
    with pytest.raises(InvalidRequestError, match="REPEAT"):
        elevenlabs.speak("s-1", SpeakRequest(text="Hi", task_type="repeat"), LIVEKIT)


def test_an_agents_command_may_have_a_source_and_no_data(elevenlabs):
    message = sent(elevenlabs.agent_command("s-1", "user_activity", source="e-1"))
    assert message["source_event_id"] == "e-1"
    assert "data" not in message


def test_without_an_agent_there_is_nobody_to_pass_a_command_to(protocol):
    with pytest.raises(InvalidRequestError, match="no ElevenLabs agent"):
        protocol.agent_command("s-1", "user_activity")


# -- events

EVENTS = [
    ({"event_type": "avatar.speak_started"}, AvatarStartTalking()),
    ({"event_type": "avatar.speak_ended"}, AvatarStopTalking()),
    ({"event_type": "avatar.transcription.chunk", "text": "Hi, "}, AvatarTalkingMessage(message="Hi, ")),
    ({"event_type": "avatar.transcription_chunk", "text": "Hi, "}, AvatarTalkingMessage(message="Hi, ")),
    ({"event_type": "avatar.transcription", "text": "Hi, you."}, AvatarEndMessage(message="Hi, you.")),
    ({"event_type": "user.speak_started"}, UserStart()),
    ({"event_type": "user.speak_ended"}, UserStop()),
    ({"event_type": "user.transcription.chunk", "text": "He"}, UserTalkingMessage(message="He")),
    ({"event_type": "user.transcription_chunk", "text": "He"}, UserTalkingMessage(message="He")),
    ({"event_type": "user.transcription", "text": "Hello"}, UserEndMessage(message="Hello")),
    ({"event_type": "user.push_to_talk_started"}, PushToTalkStarted()),
    ({"event_type": "user.push_to_talk_stopped"}, PushToTalkStopped()),
    ({"event_type": "user.push_to_talk_start_failed"}, PushToTalkFailed(action="start")),
    ({"event_type": "user.push_to_talk_stop_failed"}, PushToTalkFailed(action="stop")),
    ({"event_type": "session.stopped", "stop_reason": "NO_CREDITS"}, SessionStopped(reason="NO_CREDITS")),
    ({"event_type": "session.stopped", "end_reason": "NEW_ONE"}, SessionStopped(reason="NEW_ONE")),
    ({"event_type": "session_stopped"}, SessionStopped(reason="UNKNOWN")),
    (
        {"event_type": "elevenlabs_agent_event", "elevenlabs_event_type": "ping", "data": {"n": 1}},
        ElevenLabsEvent(elevenlabs_type="ping", data={"n": 1}),
    ),
    ({"event_type": "elevenlabs_agent_event", "data": 7}, ElevenLabsEvent()),
    ({"event_type": "avatar.mood"}, UnknownEvent(event_type="avatar.mood")),
]


@pytest.mark.parametrize(("message", "event"), EVENTS)
def test_each_event_arrives_under_its_seed_name_with_liveavatars_ids(protocol, message, event):
    from attrs import evolve

    told = {**message, "event_id": "e-1", "session_id": "s-1", "source_event_id": "c-1"}
    (read,) = heard(protocol, **told)
    facts = {"received_at": 5.0, "event_id": "e-1", "source_event_id": "c-1"}
    if hasattr(event, "task_id"):
        facts["task_id"] = "c-1"
    assert read == evolve(event, **facts)
    assert read.raw == told


@pytest.mark.parametrize("name", sorted(OWN_EVENTS - {"session_stopped"}))
def test_a_server_cannot_speak_in_this_packages_name(protocol, name):
    (event,) = heard(protocol, event_type=name)
    assert event.type == f"server_{name}"


def test_a_task_is_known_by_its_source_then_by_an_id_of_ours(protocol):
    ours = protocol.speak("s", SpeakRequest(text="Hi"), LIVEKIT).task_id

    def task_of(**ids):
        return heard(protocol, event_type="avatar.speak_started", **ids)[0].task_id

    assert task_of(event_id="theirs", source_event_id=ours) == ours
    assert task_of(event_id="theirs", source_event_id="another's") == "another's"
    assert task_of(event_id=ours) == ours
    assert task_of(event_id="theirs", task={"id": ours}) == ours
    assert task_of(event_id="theirs") == ""
    assert task_of() == ""


def test_other_topics_are_not_the_agents(protocol):
    assert protocol.read_data(b'{"event_type": "avatar.speak_started"}', "lk.chat", received_at=1.0) == ()


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"{}", b'{"event_type": null}', b'{"event_type": [1]}'])
def test_what_makes_no_sense_is_a_wire_error(protocol, payload):
    with pytest.raises(WireError):
        protocol.read_data(payload, "agent-response", received_at=1.0)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([message["event_type"] for message, _ in EVENTS]) | VALUES
FIELDS = ("event_id", "source_event_id", "task", "text", "stop_reason", "end_reason", "data", "elevenlabs_event_type")
OBJECTS = st.fixed_dictionaries({"event_type": NAMES}, optional=dict.fromkeys(FIELDS, VALUES))


@given(message=OBJECTS)
def test_any_object_is_an_event_with_fields_of_their_types_or_a_wire_error(message):
    protocol = make()
    try:
        (event,) = heard(protocol, **message)
    except WireError:
        return
    assert isinstance(event, Event)
    repr(event).encode()
    assert isinstance(event.type, str) and event.type
    for name in ("task_id", "message", "reason", "elevenlabs_type"):
        assert isinstance(getattr(event, name, ""), str)


@given(payload=st.binary() | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_events_or_a_wire_error(payload):
    try:
        events = make().read_data(payload, "agent-response", received_at=1.0)
    except WireError as error:
        str(error).encode()
        return
    assert all(isinstance(event, Event) for event in events)


@given(data=VALUES | st.fixed_dictionaries({"session_id": VALUES, "session_token": VALUES, "livekit_url": VALUES}))
def test_any_reply_is_read_or_a_wire_error(data):
    protocol = make()
    request = StartAvatarRequest(avatar_name=AVATAR)
    for read, kind in (
        (protocol.read_session, StartAvatarResponse),
        (lambda reply: protocol.read_started(SESSION, reply), StartAvatarResponse),
        (lambda reply: protocol.read_prerequisite(request, reply), tuple),
    ):
        try:
            assert isinstance(read(data), kind)
        except WireError as error:
            str(error).encode()


@given(token=st.text() | VALUES.map(lambda value: jwt(session_id=value)))
def test_any_token_is_read_as_one(token):
    assert isinstance(make().session_of_token(token).session_id, str)
