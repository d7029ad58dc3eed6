"""Requests check themselves when they are made, and say what is allowed."""

import json
import math

import pytest
from attrs import NOTHING, asdict, exceptions, fields
from hypothesis import given
from hypothesis import strategies as st

from heygen_avatar.errors import InvalidRequestError
from heygen_avatar.models import (
    AvatarQuality,
    ElevenLabsModel,
    ElevenLabsSettings,
    SpeakRequest,
    StartAvatarRequest,
    StartAvatarResponse,
    STTProvider,
    STTSettings,
    TaskMode,
    TaskType,
    VoiceChatTransport,
    VoiceEmotion,
    VoiceSetting,
    request_of,
)


def refusal(make, *words):
    with pytest.raises(InvalidRequestError) as caught:
        make()
    message = str(caught.value)
    assert "nothing was sent" in message
    for word in words:
        assert word in message
    return message


# -- enums


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (AvatarQuality, "low medium high"),
        (VoiceEmotion, "excited serious friendly soothing broadcaster"),
        (ElevenLabsModel, "eleven_flash_v2_5 eleven_multilingual_v2"),
        (STTProvider, "deepgram gladia"),
        (TaskType, "talk repeat"),
        (TaskMode, "sync async"),
        (VoiceChatTransport, "livekit websocket"),
    ],
)
def test_the_enums_have_the_official_values_and_read_as_them(kind, values):
    assert [member.value for member in kind] == values.split()
    for member in kind:
        assert str(member) == member.value == member


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda value: StartAvatarRequest(quality=value), "quality"),
        (lambda value: StartAvatarRequest(voice_chat_transport=value), "voice_chat_transport"),
        (lambda value: VoiceSetting(emotion=value), "emotion"),
        (lambda value: VoiceSetting(model=value), "model"),
        (lambda value: STTSettings(provider=value), "provider"),
        (lambda value: SpeakRequest(text="Hi", task_type=value), "task_type"),
        (lambda value: SpeakRequest(text="Hi", task_mode=value), "task_mode"),
    ],
)
@pytest.mark.parametrize("value", ["ultra", "HIGH", "", 7, [], object])
def test_an_unknown_enum_value_is_refused_with_the_known_ones(make, field, value):
    refusal(lambda: make(value), f"{field} must be one of '")


def test_enum_values_may_be_given_as_texts():
    request = StartAvatarRequest(quality="high", voice=VoiceSetting(emotion="soothing"), voice_chat_transport="livekit")
    assert request.quality is AvatarQuality.HIGH
    assert request.voice.emotion is VoiceEmotion.SOOTHING
    assert request.voice_chat_transport is VoiceChatTransport.LIVEKIT
    assert SpeakRequest(text="Hi", task_type="repeat", task_mode="sync").task_type is TaskType.REPEAT


# -- numbers


NUMBERS = [
    (lambda value: VoiceSetting(rate=value), "rate", 0.5, 1.5),
    (lambda value: STTSettings(confidence=value), "confidence", 0, 1),
    (lambda value: ElevenLabsSettings(stability=value), "stability", 0, 1),
    (lambda value: ElevenLabsSettings(similarity_boost=value), "similarity_boost", 0, 1),
    (lambda value: ElevenLabsSettings(style=value), "style", 0, 1),
    (lambda value: StartAvatarRequest(activity_idle_timeout=value), "activity_idle_timeout", 30, 3600),
]


@pytest.mark.parametrize(("make", "field", "low", "high"), NUMBERS)
def test_a_number_may_be_either_end_of_its_range(make, field, low, high):
    assert getattr(make(low), field) == low
    assert getattr(make(high), field) == high


@pytest.mark.parametrize(("make", "field", "low", "high"), NUMBERS)
def test_a_number_outside_its_range_is_refused_with_the_range(make, field, low, high):
    for value in (low - 1, high + 1, -math.inf, math.inf, math.nan):
        refusal(lambda value=value: make(value), f"{field} must be a ", f"from {low} to {high}")


@pytest.mark.parametrize(("make", "field", "low", "high"), NUMBERS)
@pytest.mark.parametrize("value", ["1", True, [1], 1j])
def test_what_is_no_number_is_refused(make, field, low, high, value):
    refusal(lambda: make(value), f"{field} must be a ")


def test_an_idle_timeout_is_whole_seconds():
    refusal(lambda: StartAvatarRequest(activity_idle_timeout=60.5), "a whole number from 30 to 3600")


# -- texts, flags, parts


@pytest.mark.parametrize("text", ["", "   ", "\n\t", None, 7, b"Hi"])
def test_a_task_needs_a_text(text):
    refusal(lambda: SpeakRequest(text=text), "text must be a text that is not empty", "1 to 1,000 characters")


def test_a_task_takes_a_thousand_characters_and_no_more():
    assert len(SpeakRequest(text="x" * 1_000).text) == 1_000
    refusal(lambda: SpeakRequest(text="x" * 1_001), "1,001 characters", "1 to 1,000", "split it")


def test_a_task_without_more_is_talk_and_async():
    request = SpeakRequest(text="Hi")
    assert (request.task_type, request.task_mode) == (TaskType.TALK, TaskMode.ASYNC)


@pytest.mark.parametrize("name", ["", " ", None, 7])
def test_an_avatar_needs_a_name(name):
    refusal(lambda: StartAvatarRequest(avatar_name=name), "avatar_name must be a text that is not empty")


@pytest.mark.parametrize("field", ["knowledge_id", "knowledge_base", "language"])
@pytest.mark.parametrize("value", [7, b"en", ["en"]])
def test_what_is_no_text_is_refused(field, value):
    refusal(lambda: StartAvatarRequest(**{field: value}), f"{field} must be a text")


@pytest.mark.parametrize("field", ["disable_idle_timeout", "use_silence_prompt", "enable_push_to_talk"])
@pytest.mark.parametrize("value", ["true", 1, 0.0])
def test_what_is_no_flag_is_refused(field, value):
    refusal(lambda: StartAvatarRequest(**{field: value}), f"{field} must be True or False")


def test_a_speaker_boost_is_a_flag():
    refusal(lambda: ElevenLabsSettings(use_speaker_boost="yes"), "True or False")


def test_a_voice_id_is_a_text():
    refusal(lambda: VoiceSetting(voice_id=7), "voice_id must be a text")


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda: StartAvatarRequest(voice={"rate": 1}), "voice must be a VoiceSetting"),
        (lambda: StartAvatarRequest(stt_settings="deepgram"), "stt_settings must be a STTSettings"),
        (lambda: VoiceSetting(elevenlabs_settings={}), "elevenlabs_settings must be a ElevenLabsSettings"),
    ],
)
def test_a_part_of_the_wrong_type_is_refused_with_the_right_one(make, wanted):
    refusal(make, wanted)


def test_a_long_wrong_value_is_shown_in_part():
    assert len(refusal(lambda: StartAvatarRequest(quality="x" * 10_000))) < 300


class Spiteful:
    """Nothing that one may ask of a value works."""

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self):
        raise RuntimeError

    def __eq__(self, other):
        raise RuntimeError


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters()),
    st.binary(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.sampled_from(["high", "talk", "sync", "excited", "deepgram", "livekit", 0.5, 30, 10**5_000, object, Spiteful()]),
)


@pytest.mark.parametrize("kind", [StartAvatarRequest, SpeakRequest, VoiceSetting, ElevenLabsSettings, STTSettings])
@given(data=st.data())
def test_any_value_for_any_field_is_refused_in_words_or_can_be_sent(kind, data):
    optional = {each.name: VALUES for each in fields(kind) if each.default is not NOTHING}
    required = {each.name: VALUES for each in fields(kind) if each.default is NOTHING}
    values = data.draw(st.fixed_dictionaries(required, optional=optional))
    try:
        made = kind(**values)
    except InvalidRequestError:
        return
    assert json.dumps(asdict(made), allow_nan=False)


def test_requests_do_not_change():
    with pytest.raises(exceptions.FrozenInstanceError):
        SpeakRequest(text="Hi").text = "Ho"


def test_every_optional_field_may_be_left_out():
    request = StartAvatarRequest()
    left_out = {field.name for field in fields(StartAvatarRequest) if getattr(request, field.name) is None}
    assert left_out == {field.name for field in fields(StartAvatarRequest)} - {
        "avatar_name",
        "voice_chat_transport",
        "enable_push_to_talk",
    }


# -- an object or keywords


def test_a_request_may_be_given_as_an_object_or_as_its_fields():
    request = SpeakRequest(text="Hi")
    assert request_of(SpeakRequest, request, {}) is request
    assert request_of(SpeakRequest, None, {"text": "Hi"}) == request
    assert request_of(StartAvatarRequest, None, {}) == StartAvatarRequest()


@pytest.mark.parametrize(
    ("kind", "request_", "changes", "words"),
    [
        (SpeakRequest, SpeakRequest(text="Hi"), {"text": "Ho"}, "not both"),
        (SpeakRequest, StartAvatarRequest(), {}, "expected a SpeakRequest, not StartAvatarRequest"),
        (SpeakRequest, {"text": "Hi"}, {}, "expected a SpeakRequest, not dict"),
        (SpeakRequest, None, {}, "needs a text"),
        (SpeakRequest, None, {"text": "Hi", "taskType": "talk"}, "no field taskType; it has text, task_type"),
        (StartAvatarRequest, None, {"avatarName": "x"}, "no field avatarName"),
        (StartAvatarRequest, None, {"quality": "ultra"}, "one of 'low', 'medium', 'high'"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(kind, request_, changes, words):
    refusal(lambda: request_of(kind, request_, changes), words)


# -- responses


def test_a_responses_secrets_do_not_show():
    response = StartAvatarResponse(
        session_id="s-1",
        access_token="hidden-1",
        realtime_endpoint="wss://hidden-2",
        livekit_agent_token="hidden-3",
        raw={"x": "hidden-4"},
    )
    assert "s-1" in repr(response)
    assert "hidden" not in repr(response)
