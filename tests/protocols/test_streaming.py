"""The v1 wire format: what the official client would send, and any bytes heard."""

import json
import subprocess
import sys
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygen_avatar.events import (
    OWN_EVENTS,
    AvatarEndMessage,
    AvatarStartTalking,
    AvatarStopTalking,
    AvatarTalkingMessage,
    Event,
    StreamingEvents,
    UnknownEvent,
    UserEndMessage,
    UserSilence,
    UserStart,
    UserStop,
    UserTalkingMessage,
)
from heygen_avatar.models import (
    AvatarQuality,
    ElevenLabsModel,
    ElevenLabsSettings,
    SpeakRequest,
    StartAvatarRequest,
    StartAvatarResponse,
    STTProvider,
    STTSettings,
    TaskType,
    VoiceChatTransport,
    VoiceEmotion,
    VoiceSetting,
)
from heygen_avatar.protocols import DataMessage, RestCall, SocketMessage, WireError
from heygen_avatar.protocols.streaming import StreamingProtocol

LIVEKIT, WEBSOCKET = VoiceChatTransport.LIVEKIT, VoiceChatTransport.WEBSOCKET
SESSION = StartAvatarResponse(session_id="s-1", access_token="jwt", url="wss://room")


@pytest.fixture(scope="module")
def protocol():
    return StreamingProtocol()


def sent_json(call):
    """The body as the REST client puts it on the wire."""
    return json.loads(json.dumps(call.body))


# -- a session's life


def test_create_token_goes_by_key_with_an_empty_object(protocol):
    call = protocol.token(StartAvatarRequest())
    assert (call.method, call.path, call.auth, call.body) == ("POST", "/v1/streaming.create_token", "key", {})


def test_the_token_is_read(protocol):
    assert protocol.read_token({"token": "t-1"}) == "t-1"


@pytest.mark.parametrize("data", [None, [], "t", {}, {"token": ""}, {"token": None}, {"token": {}}])
def test_a_token_reply_without_a_token_makes_no_sense(protocol, data):
    with pytest.raises(WireError, match="token"):
        protocol.read_token(data)


def test_the_least_new_call_has_the_official_clients_constants_and_empty_voice(protocol):
    call = protocol.new_session(StartAvatarRequest())
    assert call.path == "/v1/streaming.new"
    assert sent_json(call) == {
        "avatar_name": "default",
        "voice": {"elevenlabs_settings": {}},
        "version": "v2",
        "video_encoding": "H264",
        "source": "sdk",
        "ia_is_livekit_transport": False,
    }


def test_every_option_has_its_place_in_the_new_call(protocol):
    request = StartAvatarRequest(
        avatar_name="Wayne_20240711",
        quality=AvatarQuality.HIGH,
        voice=VoiceSetting(
            voice_id="v-1",
            rate=1.2,
            emotion=VoiceEmotion.EXCITED,
            elevenlabs_settings=ElevenLabsSettings(
                stability=0.1, similarity_boost=0.2, style=0.3, use_speaker_boost=False
            ),
            model=ElevenLabsModel.ELEVEN_FLASH_V2_5,
        ),
        knowledge_id="kb-1",
        knowledge_base="Be kind.",
        language="en",
        disable_idle_timeout=False,
        activity_idle_timeout=60,
        stt_settings=STTSettings(provider=STTProvider.GLADIA, confidence=0.5),
        use_silence_prompt=True,
        voice_chat_transport=LIVEKIT,
        enable_push_to_talk=True,
    )
    assert sent_json(protocol.new_session(request)) == {
        "avatar_name": "Wayne_20240711",
        "quality": "high",
        "knowledge_base_id": "kb-1",
        "knowledge_base": "Be kind.",
        "voice": {
            "voice_id": "v-1",
            "rate": 1.2,
            "emotion": "excited",
            "elevenlabs_settings": {
                "stability": 0.1,
                "similarity_boost": 0.2,
                "style": 0.3,
                "use_speaker_boost": False,
                "model_id": "eleven_flash_v2_5",
            },
        },
        "language": "en",
        "version": "v2",
        "video_encoding": "H264",
        "source": "sdk",
        "disable_idle_timeout": False,
        "stt_settings": {"provider": "gladia", "confidence": 0.5},
        "ia_is_livekit_transport": True,
        "silence_response": True,
        "activity_idle_timeout": 60,
    }


def test_a_model_without_other_settings_goes_into_elevenlabs_settings(protocol):
    request = StartAvatarRequest(voice=VoiceSetting(model=ElevenLabsModel.ELEVEN_MULTILINGUAL_V2))
    voice = sent_json(protocol.new_session(request))["voice"]
    assert voice == {"elevenlabs_settings": {"model_id": "eleven_multilingual_v2"}}


def test_the_reply_to_new_is_read_with_all_that_a_session_has(protocol):
    data = {
        "session_id": "s-1",
        "sdp": None,
        "access_token": "jwt",
        "url": "wss://room",
        "is_paid": True,
        "session_duration_limit": 600,
        "realtime_endpoint": "wss://own",
        "livekit_agent_token": "jwt-2",
    }
    session = protocol.read_session(data)
    assert session == StartAvatarResponse(
        session_id="s-1",
        access_token="jwt",
        url="wss://room",
        is_paid=True,
        session_duration_limit=600,
        realtime_endpoint="wss://own",
        livekit_agent_token="jwt-2",
    )
    assert session.raw == data
    assert "jwt" not in repr(session)


def test_odd_fields_do_not_cost_the_session_that_is_paid_for(protocol):
    data = {"session_id": 17, "is_paid": "yes", "session_duration_limit": "600", "url": None, "access_token": []}
    session = protocol.read_session(data)
    assert (session.session_id, session.is_paid, session.session_duration_limit) == ("17", None, 600.0)
    assert (session.url, session.access_token) == ("", "")


@pytest.mark.parametrize("data", [None, [], "s", {}, {"session_id": ""}, {"session_id": None}])
def test_a_reply_to_new_without_an_id_makes_no_sense(protocol, data):
    with pytest.raises(WireError, match="session_id"):
        protocol.read_session(data)


@pytest.mark.parametrize("name", ["stop", "keep_alive", "interrupt", "start_listening", "stop_listening"])
def test_commands_name_the_session_and_may_be_repeated(protocol, name):
    call = getattr(protocol, name)("s-1")
    assert call == RestCall(
        name=f"streaming.{name}", path=f"/v1/streaming.{name}", body={"session_id": "s-1"}, auth="either", repeat="safe"
    )


def test_start_names_the_session_and_adds_nothing_to_it(protocol):
    call = protocol.start(SESSION)
    assert (call.path, call.body) == ("/v1/streaming.start", {"session_id": "s-1"})
    assert protocol.read_started(SESSION, None) is SESSION


def test_what_costs_or_speaks_twice_is_repeated_only_if_unsent(protocol):
    spoken = protocol.speak("s-1", SpeakRequest(text="Hi", task_type=TaskType.REPEAT), WEBSOCKET)
    calls = [protocol.new_session(StartAvatarRequest()), protocol.start(SESSION), spoken]
    assert [call.repeat for call in calls] == ["unsent"] * 3


# -- speaking


@pytest.mark.parametrize("transport", [LIVEKIT, WEBSOCKET])
@pytest.mark.parametrize(("task_type", "task_mode"), [("repeat", "sync"), ("repeat", "async"), ("talk", "sync")])
def test_all_but_talk_async_goes_by_rest_with_type_and_mode(protocol, transport, task_type, task_mode):
    call = protocol.speak("s-1", SpeakRequest(text="Hi", task_type=task_type, task_mode=task_mode), transport)
    assert call.path == "/v1/streaming.task"
    assert sent_json(call) == {"session_id": "s-1", "text": "Hi", "task_type": task_type, "task_mode": task_mode}


def test_talk_async_is_a_bare_json_string_in_the_room(protocol):
    message = protocol.speak("s-1", SpeakRequest(text='Say "héllo" 👋'), LIVEKIT)
    assert message == DataMessage(payload='"Say \\"héllo\\" 👋"'.encode(), topic="")


def test_talk_async_is_a_protobuf_text_frame_on_the_chat_socket(protocol):
    message = protocol.speak("s-1", SpeakRequest(text="Hi"), WEBSOCKET)
    assert message == SocketMessage(payload=b"\x0a\x04\x1a\x02Hi")


def test_the_reply_to_a_task_is_read(protocol):
    assert protocol.read_task({"task_id": "t-1", "duration_ms": 812.5}) == ("t-1", 812.5)


@pytest.mark.parametrize("data", [None, {}, [], "t-1", {"task_id": "", "duration_ms": "long"}])
def test_a_task_reply_may_tell_nothing(protocol, data):
    assert protocol.read_task(data) == (None, None)


# -- the chat socket's address


def address(protocol, base_path="https://api.heygen.com", token="tok", **wanted):
    return protocol.socket_url(base_path, SESSION, StartAvatarRequest(**wanted), token)


def test_the_sockets_address_is_the_official_clients(protocol):
    assert address(protocol) == (
        "wss://api.heygen.com/v1/ws/streaming.chat"
        "?session_id=s-1&session_token=tok&silence_response=false&push_to_talk=false"
    )


def test_options_of_the_session_are_in_the_sockets_query(protocol):
    url = address(protocol, voice_chat_transport=LIVEKIT, use_silence_prompt=True, enable_push_to_talk=True)
    assert parse_qsl(urlsplit(url).query) == [
        ("session_id", "s-1"),
        ("session_token", "tok"),
        ("arch_version", "v2"),
        ("silence_response", "true"),
        ("push_to_talk", "true"),
    ]


@pytest.mark.parametrize(
    ("base_path", "beginning"),
    [
        ("http://localhost:8080", "ws://localhost:8080/v1/ws/"),
        ("https://host:8443/", "wss://host:8443/v1/ws/"),
        ("http://[::1]:80/behind/a/proxy", "ws://[::1]:80/behind/a/proxy/v1/ws/"),
    ],
)
def test_the_socket_keeps_scheme_port_and_path_of_the_base_path(protocol, base_path, beginning):
    assert address(protocol, base_path).startswith(beginning)


@given(token=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_any_token_survives_the_sockets_query(protocol, token):
    assert dict(parse_qsl(urlsplit(address(protocol, token=token)).query))["session_token"] == token


# -- hearing


HEARD = [
    ({"type": "avatar_start_talking", "task_id": "t"}, AvatarStartTalking(task_id="t")),
    (
        {"type": "avatar_stop_talking", "task_id": "t", "duration_ms": 3120},
        AvatarStopTalking(task_id="t", duration_ms=3120.0),
    ),
    ({"type": "avatar_stop_talking", "task_id": "t"}, AvatarStopTalking(task_id="t", duration_ms=None)),
    (
        {"type": "avatar_talking_message", "task_id": "t", "message": "Hi, "},
        AvatarTalkingMessage(task_id="t", message="Hi, "),
    ),
    ({"type": "avatar_end_message", "task_id": "t"}, AvatarEndMessage(task_id="t")),
    (
        {"type": "user_talking_message", "task_id": "t", "message": "Hello"},
        UserTalkingMessage(task_id="t", message="Hello"),
    ),
    ({"type": "user_end_message", "task_id": "t"}, UserEndMessage(task_id="t")),
    ({"type": "user_start"}, UserStart()),
    ({"type": "user_stop"}, UserStop()),
    (
        {"type": "user_silence", "silence_times": 2, "count_down": 7.5},
        UserSilence(silence_times=2, count_down=7.5),
    ),
]


@pytest.mark.parametrize(("said", "event"), HEARD)
def test_each_event_is_read_on_either_channel_under_either_key(protocol, said, event):
    for key in ("type", "event_type"):
        message = {key: said["type"], **{name: value for name, value in said.items() if name != "type"}}
        heard = [
            *protocol.read_data(json.dumps(message).encode(), "", received_at=5.0),
            *protocol.read_socket(json.dumps(message), received_at=5.0),
            *protocol.read_socket(json.dumps(message).encode(), received_at=5.0),
        ]
        assert len(heard) == 3
        for one in heard:
            assert type(one) is type(event)
            assert {**vars_of(one), "received_at": 0.0} == vars_of(event)
            assert one.raw == message
            assert one.received_at == 5.0


def vars_of(event):
    from attrs import asdict

    return asdict(event, filter=lambda attribute, _: attribute.name != "raw")


def test_every_event_that_a_server_sends_has_a_reader(protocol):
    assert {said["type"] for said, _ in HEARD} == {name.value for name in StreamingEvents} - OWN_EVENTS


def test_an_unknown_event_arrives_under_its_own_name(protocol):
    (event,) = protocol.read_data(b'{"type": "agent_mood", "mood": 7}', "", received_at=1.0)
    assert isinstance(event, UnknownEvent)
    assert (event.type, event.raw["mood"]) == ("agent_mood", 7)


@pytest.mark.parametrize("name", sorted(OWN_EVENTS))
def test_a_server_cannot_speak_in_this_packages_name(protocol, name):
    (event,) = protocol.read_data(json.dumps({"type": name}).encode(), "", received_at=1.0)
    assert isinstance(event, UnknownEvent)
    assert event.type == f"server_{name}"


@pytest.mark.parametrize("payload", [b"null", b'"push_to_talk:start"', b"17", b"[]", b"true"])
def test_json_that_is_no_object_is_no_event(protocol, payload):
    assert protocol.read_data(payload, "", received_at=1.0) == ()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"hello",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
        b"{}",
        b'{"type": null}',
        b'{"type": ""}',
        b'{"type": ["avatar_start_talking"]}',
    ],
)
def test_what_makes_no_sense_is_a_wire_error(protocol, payload):
    with pytest.raises(WireError):
        protocol.read_data(payload, "", received_at=1.0)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('"task_id": 17', {"task_id": "17"}),
        ('"task_id": null', {"task_id": ""}),
        ('"task_id": {}', {"task_id": ""}),
        ('"duration_ms": "812.5"', {"duration_ms": 812.5}),
        ('"duration_ms": NaN', {"duration_ms": None}),
        ('"duration_ms": 1e999', {"duration_ms": None}),
        (f'"duration_ms": {"9" * 400}', {"duration_ms": None}),
        ('"duration_ms": true', {"duration_ms": None}),
    ],
)
def test_fields_of_wrong_types_are_read_leniently(protocol, said, expected):
    (event,) = protocol.read_data(f'{{"type": "avatar_stop_talking", {said}}}'.encode(), "", received_at=1.0)
    assert {name: getattr(event, name) for name in expected} == expected


def test_half_a_surrogate_pair_is_made_printable(protocol):
    (event,) = protocol.read_data(b'{"type": "avatar_talking_message", "message": "a\\ud83d"}', "", received_at=1.0)
    assert event.message == "a\N{REPLACEMENT CHARACTER}"
    assert event.raw["message"] == "a\ud83d"


def test_an_escaped_pair_is_one_character(protocol):
    (event,) = protocol.read_data(
        b'{"type": "avatar_talking_message", "message": "\\ud83d\\ude00"}', "", received_at=1.0
    )
    assert event.message == "😀"


NAMES = st.sampled_from([name.value for name in StreamingEvents]) | st.text(max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "type": NAMES | VALUES,
        "event_type": NAMES | VALUES,
        "task_id": VALUES,
        "message": VALUES,
        "duration_ms": VALUES,
        "silence_times": VALUES,
        "count_down": VALUES,
    },
)


def assert_is_readable(read, message):
    try:
        events = read(message)
    except WireError as error:
        str(error).encode()
        return
    for event in events:
        assert isinstance(event, Event)
        repr(event).encode()


@given(payload=st.binary() | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_event_or_nothing_or_a_wire_error(protocol, payload):
    assert_is_readable(lambda heard: protocol.read_data(heard, "topic", received_at=1.0), payload)
    assert_is_readable(lambda heard: protocol.read_socket(heard, received_at=1.0), payload)


@given(text=st.text(st.characters()))
def test_any_text_is_an_event_or_nothing_or_a_wire_error(protocol, text):
    assert_is_readable(lambda heard: protocol.read_socket(heard, received_at=1.0), text)


@given(message=OBJECTS)
def test_any_object_is_an_event_or_a_wire_error_with_fields_of_their_types(protocol, message):
    try:
        (event,) = protocol.read_data(json.dumps(message).encode(), "", received_at=1.0)
    except WireError:
        return
    repr(event).encode()
    assert isinstance(event.type, str) and event.type
    assert isinstance(getattr(event, "task_id", ""), str)
    assert isinstance(getattr(event, "message", ""), str)
    assert isinstance(getattr(event, "duration_ms", None), float | None)
    assert isinstance(getattr(event, "silence_times", 0), int)
    assert isinstance(getattr(event, "count_down", 0), int | float)


@given(data=VALUES | st.fixed_dictionaries({"session_id": VALUES, "url": VALUES, "session_duration_limit": VALUES}))
def test_any_reply_is_read_or_a_wire_error(protocol, data):
    for read, kind in (
        (protocol.read_session, StartAvatarResponse),
        (protocol.read_token, str),
        (protocol.read_task, tuple),
    ):
        try:
            assert isinstance(read(data), kind)
        except WireError as error:
            str(error).encode()


def test_importing_the_format_loads_no_protobuf_livekit_or_numpy():
    code = (
        "import sys, heygen_avatar.protocols.streaming as wire; from heygen_avatar.models import *;"
        "wire.StreamingProtocol().speak('s', SpeakRequest(text='Hi'), VoiceChatTransport.WEBSOCKET);"
        "print([name for name in ('google.protobuf', 'livekit', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
