"""What becomes of a request on LiveAvatar: the migration map, field by field (liveavatar §6)."""

import pytest

from heygen_avatar.errors import ConfigurationError, InvalidRequestError
from heygen_avatar.liveavatar import (
    SANDBOX_AVATAR,
    CartesiaAgent,
    CartesiaVoice,
    ElevenLabsAgent,
    ElevenLabsVoice,
    FishVoice,
    GeminiLive,
    LiveAvatarMode,
    LiveAvatarOptions,
    LiveKitRoom,
    Memory,
    OpenAIRealtime,
    Persona,
    VideoSettings,
)
from heygen_avatar.models import (
    ElevenLabsModel,
    ElevenLabsSettings,
    Service,
    StartAvatarRequest,
    StartAvatarResponse,
    STTSettings,
    VoiceChatTransport,
    VoiceSetting,
)
from heygen_avatar.protocols.choice import choose
from heygen_avatar.protocols.full import FullProtocol
from heygen_avatar.protocols.lite import LiteProtocol
from heygen_avatar.protocols.streaming import StreamingProtocol
from heygen_avatar.protocols.token_request import DEFAULT_PROMPT, adapted, body, context_prompt
from tests.protocols.tokens import jwt

AVATAR = "0a0a0a0a-0000-4000-8000-000000000001"
VOICE = "0a0a0a0a-0000-4000-8000-000000000002"
CONTEXT = "0a0a0a0a-0000-4000-8000-000000000003"
SECRET = "0a0a0a0a-0000-4000-8000-000000000004"
LITE = LiveAvatarOptions(mode="LITE")


def request(**fields):
    return StartAvatarRequest(**{"avatar_name": AVATAR, **fields})


def sent(**fields):
    fitting, omitted = adapted(request(**fields))
    assert not omitted
    return body(fitting)


def test_the_least_request_is_a_full_session_with_an_empty_persona():
    assert sent() == {"mode": "FULL", "avatar_id": AVATAR, "is_sandbox": False, "avatar_persona": {}}


def test_every_field_of_heygens_has_its_place():
    assert sent(
        quality="medium",
        voice=VoiceSetting(
            voice_id=VOICE,
            rate=1.1,
            elevenlabs_settings=ElevenLabsSettings(
                stability=0.1, similarity_boost=0.2, style=0.3, use_speaker_boost=False
            ),
            model=ElevenLabsModel.ELEVEN_MULTILINGUAL_V2,
        ),
        knowledge_id=CONTEXT,
        language="ja",
        stt_settings=STTSettings(provider="gladia"),
        enable_push_to_talk=True,
    ) == {
        "mode": "FULL",
        "avatar_id": AVATAR,
        "is_sandbox": False,
        "video_settings": {"quality": "medium"},
        "avatar_persona": {
            "voice_id": VOICE,
            "context_id": CONTEXT,
            "language": "ja",
            "voice_settings": {
                "provider": "elevenLabs",
                "speed": 1.1,
                "stability": 0.1,
                "similarity_boost": 0.2,
                "style": 0.3,
                "use_speaker_boost": False,
                "model": "eleven_multilingual_v2",
            },
            "stt_config": {"provider": "gladia"},
        },
        "interactivity_type": "PUSH_TO_TALK",
    }


def test_liveavatars_own_options_have_their_place_too():
    options = LiveAvatarOptions(
        sandbox=True,
        persona=Persona(
            voice_id=VOICE,
            context_id=CONTEXT,
            language="de",
            voice_settings=FishVoice(speed=0.9, model="s1", latency_mode="normal"),
            stt_provider="assembly_ai",
        ),
        video=VideoSettings(quality="very_high", encoding="VP8"),
        max_session_duration=45,
        llm_configuration_id=SECRET,
        dynamic_variables={"name": "Ada"},
        memory=Memory(prev_session_id=CONTEXT),
    )
    assert sent(liveavatar=options) == {
        "mode": "FULL",
        "avatar_id": AVATAR,
        "is_sandbox": True,
        "video_settings": {"quality": "very_high", "encoding": "VP8"},
        "max_session_duration": 45,
        "avatar_persona": {
            "voice_id": VOICE,
            "context_id": CONTEXT,
            "language": "de",
            "voice_settings": {"provider": "fish", "speed": 0.9, "model": "s1", "latency_mode": "normal"},
            "stt_config": {"provider": "assembly_ai"},
        },
        "llm_configuration_id": SECRET,
        "dynamic_variables": {"name": "Ada"},
        "memory": {"prev_session_id": CONTEXT},
    }


def test_a_stored_agent_stands_in_for_a_persona():
    content = sent(liveavatar=LiveAvatarOptions(voice_agent_id="agent-7"))
    assert content["voice_agent"] == {"id": "agent-7"}
    assert "avatar_persona" not in content


def test_the_fields_of_a_cartesia_voice_are_sent_as_they_are():
    persona = Persona(voice_settings=CartesiaVoice(fields={"mood": "calm", "provider": "another"}))
    content = sent(liveavatar=LiveAvatarOptions(persona=persona))
    assert content["avatar_persona"]["voice_settings"] == {"mood": "calm", "provider": "cartesia"}


def test_the_sandbox_has_a_default_avatar():
    fitting, _ = adapted(StartAvatarRequest(liveavatar=LiveAvatarOptions(sandbox=True)))
    assert body(fitting)["avatar_id"] == SANDBOX_AVATAR


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"voice": VoiceSetting(emotion="excited")}, "voice.emotion"),
        ({"voice": VoiceSetting(rate=1.5)}, "voice.rate"),
        ({"stt_settings": STTSettings(provider="deepgram", confidence=0.5)}, "stt_settings.confidence"),
        ({"activity_idle_timeout": 600}, "activity_idle_timeout"),
        ({"disable_idle_timeout": True}, "disable_idle_timeout"),
        ({"use_silence_prompt": True}, "use_silence_prompt"),
        ({"liveavatar": LITE, "language": "en"}, "language"),
        ({"liveavatar": LITE, "knowledge_base": "Be kind."}, "knowledge_base"),
        ({"liveavatar": LITE, "enable_push_to_talk": True}, "enable_push_to_talk"),
    ],
)
def test_what_has_no_place_is_named(fields, named):
    fitting, omitted = adapted(request(**fields))
    assert [text.partition(":")[0].split()[0] for text in omitted] == [named]
    assert adapted(fitting)[1] == []


@pytest.mark.parametrize(("rate", "speed"), [(0.5, 0.8), (0.8, 0.8), (1.0, 1.0), (1.5, 1.2)])
def test_a_rate_beyond_the_range_becomes_the_nearest_speed(rate, speed):
    fitting, _ = adapted(request(voice=VoiceSetting(rate=rate)))
    assert body(fitting)["avatar_persona"]["voice_settings"] == {"provider": "elevenLabs", "speed": speed}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"avatar_name": "Wayne_20240711"}, "avatar_name must be the UUID"),
        ({"avatar_name": "default"}, "none is the default"),
        ({"knowledge_id": "kb-1"}, "knowledge_id must be a UUID"),
        ({"voice": VoiceSetting(voice_id="v-1")}, "voice.voice_id must be a UUID"),
        ({"knowledge_id": CONTEXT, "knowledge_base": "Be kind."}, "not both"),
        ({"language": "en", "liveavatar": LiveAvatarOptions(persona=Persona())}, "language or liveavatar.persona"),
        ({"voice": VoiceSetting(), "liveavatar": LiveAvatarOptions(voice_agent_id="a")}, "voice_agent_id, not both"),
        ({"quality": "low", "liveavatar": LiveAvatarOptions(video=VideoSettings())}, "quality or liveavatar.video"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields, words):
    with pytest.raises(InvalidRequestError, match=words):
        adapted(request(**fields))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_session_duration": 61, "sandbox": True}, "60 s at most"),
        ({"max_session_duration": 0}, "max_session_duration"),
        ({"dynamic_variables": {str(n): "" for n in range(51)}}, "50 entries"),
        ({"dynamic_variables": {"n" * 65: "v"}}, "64"),
        ({"dynamic_variables": {"n": "v" * 1001}}, "1000"),
        ({"dynamic_variables": {"n": 1}}, "dynamic_variables"),
        ({"mode": "HALF"}, "'FULL', 'LITE'"),
        ({"mode": "LITE", "persona": Persona()}, "persona is for mode FULL"),
        ({"mode": "FULL", "connector": CartesiaAgent(secret_id=SECRET, agent_id="a")}, "connector is for mode LITE"),
        ({"persona": Persona(), "voice_agent_id": "a"}, "persona or voice_agent_id"),
    ],
)
def test_options_are_checked_by_the_documented_limits(fields, words):
    with pytest.raises(InvalidRequestError, match=words):
        LiveAvatarOptions(**fields)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ElevenLabsVoice(speed=1.3), "0.8 to 1.2"),
        (lambda: ElevenLabsVoice(stability=1.1), "0 to 1"),
        (lambda: ElevenLabsVoice(model="eleven_v9"), "eleven_flash_v2_5"),
        (lambda: FishVoice(latency_mode="fast"), "'normal', 'balanced'"),
        (lambda: OpenAIRealtime(secret_id=SECRET, temperature=0.5), "0.6 to 1.2"),
        (lambda: OpenAIRealtime(secret_id=SECRET, voice="Puck"), "alloy"),
        (lambda: GeminiLive(secret_id=SECRET, voice="alloy"), "Zubenelgenubi"),
        (lambda: GeminiLive(secret_id="s"), "UUID"),
        (lambda: Persona(context_id="kb"), "UUID"),
        (lambda: VideoSettings(quality="4k"), "very_high"),
    ],
)
def test_each_option_says_its_range(make, words):
    with pytest.raises(InvalidRequestError, match=words):
        make()


# -- contexts


def test_a_prompt_becomes_a_context_of_the_session():
    protocol = FullProtocol(request(knowledge_base="Be kind."))
    call = protocol.prerequisite(request(knowledge_base="Be kind."))
    assert (call.method, call.path, call.auth) == ("POST", "/v1/contexts", "key")
    assert (call.body["prompt"], call.body["opening_text"]) == ("Be kind.", None)
    used, removal = protocol.read_prerequisite(request(knowledge_base="Be kind."), {"id": CONTEXT})
    assert body(used)["avatar_persona"] == {"context_id": CONTEXT}
    assert (removal.method, removal.path, removal.auth) == ("DELETE", f"/v1/contexts/{CONTEXT}", "key")


def test_without_knowledge_there_is_a_context_that_lets_the_avatar_answer():
    assert context_prompt(request()) == DEFAULT_PROMPT


@pytest.mark.parametrize(
    "fields",
    [
        {"knowledge_id": CONTEXT},
        {"liveavatar": LITE},
        {"liveavatar": LiveAvatarOptions(persona=Persona())},
        {"liveavatar": LiveAvatarOptions(voice_agent_id="a")},
    ],
)
def test_what_has_its_context_or_wants_none_gets_none(fields):
    assert FullProtocol(request(**fields)).prerequisite(request(**fields)) is None


# -- LITE


def test_a_lite_session_needs_no_persona():
    assert sent(liveavatar=LITE, quality="low") == {
        "mode": "LITE",
        "avatar_id": AVATAR,
        "is_sandbox": False,
        "video_settings": {"quality": "low"},
    }


def test_a_room_of_ones_own_is_named_without_the_users_token():
    room = LiveKitRoom(url="wss://lk", room="stage", avatar_token="for-the-avatar", user_token="for-us")
    assert sent(liveavatar=LiveAvatarOptions(mode="LITE", room=room))["livekit_config"] == {
        "livekit_url": "wss://lk",
        "livekit_room": "stage",
        "livekit_client_token": "for-the-avatar",
    }
    assert "for-" not in repr(room)


CONNECTORS = [
    (
        ElevenLabsAgent(secret_id=SECRET, agent_id="a", voice_id="v", dynamic_variables={"n": 1}),
        "elevenlabs_agent_config",
        {"secret_id": SECRET, "agent_id": "a", "voice_id": "v", "dynamic_variables": {"n": 1}},
    ),
    (
        OpenAIRealtime(secret_id=SECRET, context_id=CONTEXT, voice="cedar", temperature=0.7, model="gpt-realtime"),
        "openai_realtime_config",
        {
            "secret_id": SECRET,
            "context_id": CONTEXT,
            "voice": "cedar",
            "temperature": 0.7,
            "model": "gpt-realtime",
        },
    ),
    (GeminiLive(secret_id=SECRET, voice="Kore"), "gemini_realtime_config", {"secret_id": SECRET, "voice": "Kore"}),
    (
        CartesiaAgent(secret_id=SECRET, agent_id="a"),
        "cartesia_agent_config",
        {"secret_id": SECRET, "agent_id": "a"},
    ),
]


@pytest.mark.parametrize(("connector", "name", "config"), CONNECTORS)
def test_each_connector_has_its_config(connector, name, config):
    assert sent(liveavatar=LiveAvatarOptions(mode="LITE", connector=connector))[name] == config


# -- which protocol


def test_each_mode_has_its_protocol():
    assert isinstance(choose(Service.HEYGEN, StartAvatarRequest()).protocol, StreamingProtocol)
    assert isinstance(choose(Service.LIVEAVATAR, request()).protocol, FullProtocol)
    assert isinstance(choose(Service.LIVEAVATAR, request(liveavatar=LITE)).protocol, LiteProtocol)


@pytest.mark.parametrize(("connector", "name", "config"), CONNECTORS)
def test_a_connector_is_spoken_to_as_full_is(connector, name, config):
    options = LiveAvatarOptions(mode="LITE", connector=connector)
    assert isinstance(choose(Service.LIVEAVATAR, request(liveavatar=options)).protocol, FullProtocol)


def test_voice_goes_through_the_room_on_liveavatar():
    chosen = choose(Service.LIVEAVATAR, request()).request
    assert chosen.voice_chat_transport is VoiceChatTransport.LIVEKIT


def test_liveavatars_options_mean_nothing_to_heygen():
    with pytest.raises(InvalidRequestError, match=r"service=Service.LIVEAVATAR"):
        choose(Service.HEYGEN, StartAvatarRequest(liveavatar=LITE))


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        ({}, FullProtocol),
        ({"mode": "FULL"}, FullProtocol),
        ({"mode": "LITE"}, LiteProtocol),
        ({"mode": "LITE", "elevenlabs_agent_config": {"secret_id": SECRET, "agent_id": "a"}}, FullProtocol),
    ],
)
def test_a_token_says_itself_which_mode_it_is_for(order, kind):
    token = jwt(start_session_data=order)
    assert type(choose(Service.LIVEAVATAR, StartAvatarRequest(), token=token).protocol) is kind


def test_a_token_that_says_nothing_is_for_full():
    assert type(choose(Service.LIVEAVATAR, StartAvatarRequest(), token="opaque").protocol) is FullProtocol


def test_what_is_asked_for_beside_a_token_comes_too_late():
    chosen = choose(Service.LIVEAVATAR, StartAvatarRequest(quality="low"), token=jwt())
    assert chosen.omitted == ("all fields of the request: the token has its own",)


def test_a_session_made_elsewhere_needs_its_token():
    with pytest.raises(ConfigurationError, match="session_token"):
        choose(Service.LIVEAVATAR, StartAvatarRequest(), session=StartAvatarResponse(session_id="s"))
    chosen = choose(
        Service.LIVEAVATAR,
        StartAvatarRequest(),
        session=StartAvatarResponse(session_id="s", session_token=jwt(start_session_data={"mode": "LITE"})),
    )
    assert chosen.request.liveavatar.mode is LiveAvatarMode.LITE
