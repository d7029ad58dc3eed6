"""LiveAvatar's LITE mode on the wire: what goes over the socket, and what its events say of each utterance (§4)."""

import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heygen_avatar.errors import InvalidRequestError, MediaError, SessionError
from heygen_avatar.events import (
    AudioBufferChanged,
    AvatarStartTalking,
    AvatarStateChanged,
    AvatarStopTalking,
    ErrorOccurred,
    Event,
    ServiceWarning,
    SessionStopped,
    UnknownEvent,
)
from heygen_avatar.liveavatar import LiveAvatarOptions, LiveKitRoom
from heygen_avatar.models import SpeakRequest, StartAvatarRequest, StartAvatarResponse, VoiceChatTransport
from heygen_avatar.protocols import WireError
from heygen_avatar.protocols.lite import LiteProtocol
from tests.protocols.tokens import jwt

AVATAR = "0a0a0a0a-0000-4000-8000-000000000001"
SESSION = StartAvatarResponse(session_id="s-1", session_token="jwt")
REPLY = {"session_id": "s-1", "livekit_url": "wss://room", "livekit_client_token": "join", "ws_url": "wss://socket/s-1"}


def make(**options):
    liveavatar = LiveAvatarOptions(mode="LITE", **options)
    return LiteProtocol(StartAvatarRequest(avatar_name=AVATAR, liveavatar=liveavatar))


@pytest.fixture
def protocol():
    return make()


def sent(message):
    return json.loads(message.payload)


def hear(protocol, kind, **message):
    return protocol.read_socket(json.dumps({"type": kind, **message}), received_at=5.0)


def turns(events):
    """What events say of talking: ``+`` where a task starts, ``-`` where it stops, ``!`` where it was interrupted."""
    signs = []
    for event in events:
        if isinstance(event, AvatarStartTalking):
            signs.append(f"+{event.task_id}")
        elif isinstance(event, AvatarStopTalking):
            signs.append(("!" if event.interrupted else "-") + event.task_id)
    return signs


def state(protocol, new, source=None):
    return turns(hear(protocol, "agent.state_updated", previous_state="idle", new_state=new, source_event_id=source))


def speak(protocol, what, source=None):
    return turns(hear(protocol, f"agent.speak_{what}", source_event_id=source))


# -- a session's life


def test_starting_brings_the_sockets_address(protocol):
    session = protocol.read_started(SESSION, REPLY)
    assert protocol.socket_url("https://api", session, StartAvatarRequest(), "token") == "wss://socket/s-1"
    assert "socket" not in repr(session)


def test_without_a_socket_a_lite_avatar_could_be_given_nothing_to_say(protocol):
    with pytest.raises(WireError, match="ws_url"):
        protocol.read_started(SESSION, {**REPLY, "ws_url": None})


def test_in_a_room_of_ones_own_the_avatar_is_who_its_token_says():
    room = LiveKitRoom(url="wss://mine", room="stage", avatar_token=jwt(sub="the-avatar"), user_token="mine")
    protocol = make(room=room)
    session = protocol.read_started(SESSION, {"session_id": "s-1", "ws_url": "wss://socket/s-1"})
    assert (session.url, session.access_token) == ("wss://mine", "mine")
    assert protocol.avatar_identity == "the-avatar"
    opaque = LiveKitRoom(url="wss://mine", room="stage", avatar_token="opaque", user_token="mine")
    assert make(room=opaque).avatar_identity == "heygen"


@pytest.mark.parametrize(
    ("message", "listens"),
    [
        ('{"type": "session.state_updated", "state": "connected"}', True),
        ('{"type": "session.state_updated", "state": "new"}', False),
        ('{"type": "agent.state_updated", "state": "connected"}', False),
        ("[]", False),
        ("nonsense", False),
        (b"\xff", False),
    ],
)
def test_the_other_end_listens_when_it_says_that_it_is_connected(protocol, message, listens):
    assert protocol.greeting(message) is listens


# -- commands


def test_an_utterance_is_chunks_and_an_end_of_one_id(protocol):
    utterance = protocol.new_utterance()
    assert sent(protocol.utterance_chunk(utterance, b"\x01\x02")) == {
        "type": "agent.speak",
        "event_id": utterance,
        "audio": base64.b64encode(b"\x01\x02").decode(),
    }
    assert sent(protocol.utterance_end(utterance)) == {"type": "agent.speak_end", "event_id": utterance}


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (lambda protocol: protocol.interrupt("s"), "agent.interrupt"),
        (lambda protocol: protocol.start_listening("s"), "agent.start_listening"),
        (lambda protocol: protocol.stop_listening("s"), "agent.stop_listening"),
        (lambda protocol: protocol.keep_alive("s"), "session.keep_alive"),
    ],
)
def test_other_commands_have_an_id_of_their_own(protocol, command, kind):
    first, second = sent(command(protocol)), sent(command(protocol))
    assert first["type"] == kind
    assert set(first) == {"type", "event_id"}
    assert first["event_id"] != second["event_id"]


def test_texts_are_refused_with_what_to_use(protocol):
    with pytest.raises(InvalidRequestError, match="speak_audio"):
        protocol.speak("s", SpeakRequest(text="Hi"), VoiceChatTransport.LIVEKIT)
    with pytest.raises(InvalidRequestError, match="does not hear"):
        protocol.push_to_talk(held=True)


# -- events


def test_talking_is_driven_by_the_state(protocol):
    one = protocol.new_utterance()
    protocol.utterance_end(one)
    assert state(protocol, "talking") == [f"+{one}"]
    assert state(protocol, "idle") == [f"-{one}"]


def test_speak_events_change_nothing_after_the_state_and_the_state_nothing_after_them(protocol):
    one, two = protocol.new_utterance(), protocol.new_utterance()
    assert state(protocol, "talking", one) == [f"+{one}"]
    assert speak(protocol, "started", one) == []
    assert speak(protocol, "ended", one) == [f"-{one}"]
    assert state(protocol, "idle", one) == []
    assert speak(protocol, "started", two) == [f"+{two}"]
    assert state(protocol, "talking", two) == []
    assert state(protocol, "idle", two) == [f"-{two}"]
    assert speak(protocol, "ended", two) == []


def test_an_avatar_that_goes_from_one_utterance_to_the_next_ends_the_one_before(protocol):
    one, two = protocol.new_utterance(), protocol.new_utterance()
    assert state(protocol, "talking") == [f"+{one}"]
    assert speak(protocol, "started", two) == [f"-{one}", f"+{two}"]
    assert speak(protocol, "ended", two) == [f"-{two}"]


def test_without_speak_events_rest_ends_all_that_was_sent_complete(protocol):
    one, two, three = (protocol.new_utterance() for _ in range(3))
    protocol.utterance_end(one)
    protocol.utterance_end(two)
    assert state(protocol, "talking") == [f"+{one}"]
    assert state(protocol, "idle") == [f"-{one}", f"-{two}"]
    assert state(protocol, "talking") == [f"+{three}"]


def test_with_speak_events_rest_ends_only_what_was_said(protocol):
    one, two = protocol.new_utterance(), protocol.new_utterance()
    protocol.utterance_end(one)
    protocol.utterance_end(two)
    assert speak(protocol, "started", one) == [f"+{one}"]
    assert state(protocol, "idle") == [f"-{one}"]
    assert speak(protocol, "started", two) == [f"+{two}"]


def test_an_interrupted_utterance_says_so_and_what_waited_is_forgotten(protocol):
    one, two = protocol.new_utterance(), protocol.new_utterance()
    assert state(protocol, "talking") == [f"+{one}"]
    (cleared,) = hear(protocol, "agent.audio_buffer_cleared")
    assert isinstance(cleared, AudioBufferChanged)
    assert speak(protocol, "interrupted", one) == [f"!{one}"]
    assert state(protocol, "idle") == []
    assert speak(protocol, "ended", one) == []  # some sessions end what they have interrupted
    three = protocol.new_utterance()
    assert state(protocol, "talking") == [f"+{three}"]
    assert two != three


def test_older_frames_name_the_utterance_in_event_id_or_task(protocol):
    one, two = protocol.new_utterance(), protocol.new_utterance()
    assert turns(hear(protocol, "agent.speak_started", event_id=one)) == [f"+{one}"]
    assert turns(hear(protocol, "agent.speak_ended", event_id="fresh", task={"id": one})) == [f"-{one}"]
    assert turns(hear(protocol, "agent.speak_started", event_id="fresh", source_event_id=two)) == [f"+{two}"]


def test_the_state_itself_is_told_too(protocol):
    (event,) = hear(protocol, "agent.state_updated", previous_state="idle", new_state="listening", event_id="e-1")
    assert event == AvatarStateChanged(
        state="listening", previous_state="idle", received_at=5.0, event_id="e-1", source_event_id=None
    )


@pytest.mark.parametrize("change", ["appended", "committed", "cleared"])
def test_the_buffers_answers_name_the_change_and_the_utterance(protocol, change):
    (event,) = hear(protocol, f"agent.audio_buffer_{change}", source_event_id="c-1")
    assert (event.change, event.task_id) == (change, "c-1")


@pytest.mark.parametrize("over", ["disconnected", "closed"])
def test_the_sessions_end_is_told_by_its_state(protocol, over):
    (event,) = hear(protocol, "session.state_updated", state=over)
    assert isinstance(event, SessionStopped)
    (other,) = hear(protocol, "session.state_updated", state="new")
    assert (type(other), other.type) == (UnknownEvent, "session.state_updated")


@pytest.mark.parametrize(
    ("told", "kind", "words"),
    [
        ({"type": "video_starvation", "message": "too slow"}, MediaError, "video_starvation: too slow"),
        ({"type": "invalid_request_error", "message": "no"}, SessionError, "invalid_request_error: no"),
        ({}, SessionError, "an error: without a reason"),
        (None, SessionError, "an error"),
        ("odd", SessionError, "an error"),
    ],
)
def test_errors_are_errors_and_warnings_warnings(protocol, told, kind, words):
    (event,) = hear(protocol, "error", error=told)
    assert isinstance(event, ErrorOccurred)
    assert type(event.error) is kind
    assert words in str(event.error)
    (warning,) = hear(protocol, "warning", warning=told)
    assert isinstance(warning, ServiceWarning)


TYPES = st.sampled_from(
    [
        "agent.state_updated",
        "agent.speak_started",
        "agent.speak_ended",
        "agent.speak_interrupted",
        "agent.audio_buffer_appended",
        "agent.audio_buffer_committed",
        "agent.audio_buffer_cleared",
        "session.state_updated",
        "error",
        "warning",
        "agent.mood",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("event_id", "source_event_id", "task", "new_state", "previous_state", "state", "error", "warning")


@example(message={"type": "session.state_updated", "state": []})
@given(message=st.fixed_dictionaries({"type": TYPES | VALUES}, optional=dict.fromkeys(FIELDS, VALUES)))
def test_any_object_is_events_with_fields_of_their_types_or_a_wire_error(message):
    try:
        events = make().read_socket(json.dumps(message), received_at=1.0)
    except WireError:
        return
    for event in events:
        assert isinstance(event, Event)
        repr(event).encode()
        assert isinstance(event.type, str) and event.type
        for name in ("task_id", "state", "change", "reason", "message"):
            assert isinstance(getattr(event, name, ""), str)


@given(message=st.binary() | st.text(st.characters()))
def test_any_message_is_events_or_a_wire_error(message):
    protocol = make()
    assert isinstance(protocol.greeting(message), bool)
    try:
        protocol.read_socket(message, received_at=1.0)
    except WireError as error:
        str(error).encode()


COURSE = st.lists(
    st.tuples(
        st.sampled_from(["new", "end", "talking", "idle", "listening", "started", "ended", "interrupted", "cleared"]),
        st.integers(0, 3),
    ),
    max_size=30,
)


@given(course=COURSE)
def test_whatever_the_course_of_events_starts_and_stops_take_turns(course):
    protocol, utterances, talking = make(), [], set()
    for what, number in course:
        named = utterances[number % len(utterances)] if utterances and number else None
        if what == "new":
            utterances.append(protocol.new_utterance())
        elif what == "end" and utterances:
            protocol.utterance_end(utterances[-1])
        elif what in ("talking", "idle", "listening"):
            signs = state(protocol, what, named)
        elif what == "cleared":
            hear(protocol, "agent.audio_buffer_cleared")
        elif what != "end":
            signs = speak(protocol, what, named)
        if what in ("new", "end", "cleared"):
            continue
        for sign in signs:
            if sign[0] == "+":
                assert not talking, "one starts while another is being said"
                talking.add(sign[1:])
            else:
                talking.discard(sign[1:])
