"""LiveAvatar's own options: what HeyGen streaming had no word for. Each checks itself when made.

They are given as ``StartAvatarRequest(liveavatar=LiveAvatarOptions(...))``. Attribute names are the service's own
(LiveAvatar reference §1.2, §5); how they are written for the wire is the protocols' business. No I/O here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import Attribute, field, frozen

from .checks import Name, flag, identifier, instance, mapping, member, number, refusal, text
from .errors import InvalidRequestError

__all__ = [
    "CartesiaAgent",
    "CartesiaVoice",
    "Connector",
    "ElevenLabsAgent",
    "ElevenLabsModel",
    "ElevenLabsVoice",
    "FishModel",
    "FishVoice",
    "GeminiLive",
    "LatencyMode",
    "LiveAvatarMode",
    "LiveAvatarOptions",
    "LiveKitRoom",
    "Memory",
    "OpenAIRealtime",
    "OpenAIVoice",
    "Persona",
    "SessionEndReason",
    "SpeechRecognizer",
    "VideoEncoding",
    "VideoQuality",
    "VideoSettings",
    "VoiceProvider",
]

SANDBOX_AVATAR = "dd73ea75-1218-4ef3-92ce-606d5f7fbc0a"
"""Wayne, the one avatar of the sandbox (docs/sandbox-mode)."""

SANDBOX_SECONDS = 60
"""How long a session of the sandbox lasts at most (docs/sandbox-mode)."""


class LiveAvatarMode(Name):
    """FULL: LiveAvatar hears, thinks and speaks. LITE: the avatar says the sound that one sends it."""

    FULL = "FULL"
    LITE = "LITE"


class VideoQuality(Name):
    """Very high is 1080p, high 720p, medium 480p, low 360p."""

    VERY_HIGH = "very_high"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class VideoEncoding(Name):
    """H264, or VP8, which the service is about to give up."""

    H264 = "H264"
    VP8 = "VP8"


class SpeechRecognizer(Name):
    """Who turns the user's speech into text; the service chooses where nobody is named."""

    DEEPGRAM = "deepgram"
    ASSEMBLY_AI = "assembly_ai"
    GLADIA = "gladia"
    ELEVENLABS = "elevenlabs"


class ElevenLabsModel(Name):
    """ElevenLabs' models, of which both of HeyGen's services know these two."""

    ELEVEN_FLASH_V2_5 = "eleven_flash_v2_5"
    ELEVEN_MULTILINGUAL_V2 = "eleven_multilingual_v2"


class FishModel(Name):
    S1 = "s1"
    S2 = "s2"


class LatencyMode(Name):
    """Normal takes about 500 ms, balanced about 300."""

    NORMAL = "normal"
    BALANCED = "balanced"


class OpenAIVoice(Name):
    ALLOY = "alloy"
    ASH = "ash"
    BALLAD = "ballad"
    CORAL = "coral"
    ECHO = "echo"
    FABLE = "fable"
    ONYX = "onyx"
    NOVA = "nova"
    SHIMMER = "shimmer"
    SAGE = "sage"
    VERSE = "verse"
    MARIN = "marin"
    CEDAR = "cedar"


_GEMINI_VOICES = """
Achernar Achird Algenib Algieba Alnilam Aoede Autonoe Callirrhoe Charon Despina Enceladus Erinome Fenrir Gacrux
Iapetus Kore Laomedeia Leda Orus Pulcherrima Puck Rasalgethi Sadachbia Sadaltager Schedar Sulafat Umbriel
Vindemiatrix Zephyr Zubenelgenubi
"""

GEMINI_VOICES = frozenset(_GEMINI_VOICES.split())


class SessionEndReason(Name):
    """Why a session ended, in the service's words; it may send others, which then arrive as plain texts."""

    UNKNOWN = "UNKNOWN"
    USER_DISCONNECTED = "USER_DISCONNECTED"
    SERVER_ERROR = "SERVER_ERROR"
    IDLE_TIMEOUT = "IDLE_TIMEOUT"
    NO_CREDITS = "NO_CREDITS"
    USER_CLOSED = "USER_CLOSED"
    AVATAR_DELETED = "AVATAR_DELETED"
    MAX_DURATION_REACHED = "MAX_DURATION_REACHED"
    ZOMBIE_SESSION_REAP = "ZOMBIE_SESSION_REAP"
    AGENT_HANG_UP = "AGENT_HANG_UP"
    DISPATCH_FAILED = "DISPATCH_FAILED"


def _elevenlabs_model(value: ElevenLabsModel | str | None) -> ElevenLabsModel | None:
    return None if value is None else member(ElevenLabsModel, "model", value)


def _fish_model(value: FishModel | str | None) -> FishModel | None:
    return None if value is None else member(FishModel, "model", value)


def _latency_mode(value: LatencyMode | str | None) -> LatencyMode | None:
    return None if value is None else member(LatencyMode, "latency_mode", value)


def _speech_recognizer(value: SpeechRecognizer | str | None) -> SpeechRecognizer | None:
    return None if value is None else member(SpeechRecognizer, "stt_provider", value)


def _video_quality(value: VideoQuality | str | None) -> VideoQuality | None:
    return None if value is None else member(VideoQuality, "quality", value)


def _video_encoding(value: VideoEncoding | str | None) -> VideoEncoding | None:
    return None if value is None else member(VideoEncoding, "encoding", value)


def _openai_voice(value: OpenAIVoice | str | None) -> OpenAIVoice | None:
    return None if value is None else member(OpenAIVoice, "voice", value)


def _mode(value: LiveAvatarMode | str) -> LiveAvatarMode:
    return member(LiveAvatarMode, "mode", value)


def _gemini_voice(_: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and value not in GEMINI_VOICES:
        raise refusal(attribute.name, value, "one of " + ", ".join(sorted(GEMINI_VOICES)))


_fraction = number(0, 1)
_speed = number(0.8, 1.2)


@frozen(kw_only=True)
class ElevenLabsVoice:
    """A voice of ElevenLabs. ``speed`` from 0.8 to 1.2; stability, similarity_boost and style from 0 to 1."""

    provider = "elevenLabs"

    speed: float | None = field(default=None, validator=_speed)
    stability: float | None = field(default=None, validator=_fraction)
    similarity_boost: float | None = field(default=None, validator=_fraction)
    style: float | None = field(default=None, validator=_fraction)
    use_speaker_boost: bool | None = field(default=None, validator=flag)
    model: ElevenLabsModel | None = field(default=None, converter=_elevenlabs_model)
    apply_language_text_normalization: bool | None = field(default=None, validator=flag)


@frozen(kw_only=True)
class FishVoice:
    """A voice of Fish Audio. ``speed`` from 0.8 to 1.2."""

    provider = "fish"

    speed: float | None = field(default=None, validator=_speed)
    model: FishModel | None = field(default=None, converter=_fish_model)
    latency_mode: LatencyMode | None = field(default=None, converter=_latency_mode)


@frozen(kw_only=True)
class CartesiaVoice:
    """A voice of Cartesia. Its fields are not published: ``fields`` are sent as they are."""

    provider = "cartesia"

    fields: Mapping[str, Any] = field(factory=dict, validator=instance(Mapping))


VoiceProvider: TypeAlias = ElevenLabsVoice | FishVoice | CartesiaVoice


@frozen(kw_only=True)
class Persona:
    """Who the avatar is in FULL mode. Without a ``context_id`` it says what it is told to, and answers nothing.

    Attributes:
        voice_id: a voice of LiveAvatar; the avatar's own where absent.
        context_id: what it knows and how it behaves: ``Client(...).contexts`` keeps them.
        language: a basic code (``en``, ``ja``); the service's default is English.
        voice_settings: fine tuning, by the voice's provider.
        stt_provider: who turns the user's speech into text.
    """

    voice_id: str | None = field(default=None, validator=identifier())
    context_id: str | None = field(default=None, validator=identifier())
    language: str | None = field(default=None, validator=text())
    voice_settings: VoiceProvider | None = field(
        default=None, validator=instance(ElevenLabsVoice, FishVoice, CartesiaVoice)
    )
    stt_provider: SpeechRecognizer | None = field(default=None, converter=_speech_recognizer)


@frozen(kw_only=True)
class VideoSettings:
    """The picture; in place of ``StartAvatarRequest.quality`` where that has no word for it."""

    quality: VideoQuality | None = field(default=None, converter=_video_quality)
    encoding: VideoEncoding | None = field(default=None, converter=_video_encoding)


@frozen(kw_only=True)
class Memory:
    """What the avatar remembers: of a past FULL session, or a stored memory. Both must come to the same."""

    prev_session_id: str | None = field(default=None, validator=identifier())
    session_memory_id: str | None = field(default=None, validator=identifier())


@frozen(kw_only=True)
class LiveKitRoom:
    """A LiveKit room of one's own, in which a LITE avatar is to appear.

    Attributes:
        url: the LiveKit server's ``wss://`` address.
        room: the room's name.
        avatar_token: the token with which the avatar joins; it may publish.
        user_token: the token with which this process joins, to see and hear the avatar; of another identity.
    """

    url: str = field(validator=text(optional=False))
    room: str = field(validator=text(optional=False))
    avatar_token: str = field(repr=False, validator=text(optional=False))
    user_token: str = field(repr=False, validator=text(optional=False))


@frozen(kw_only=True)
class ElevenLabsAgent:
    """The avatar speaks for an agent of ElevenLabs, whose key is the secret (type ELEVENLABS_API_KEY)."""

    secret_id: str = field(validator=identifier(optional=False))
    agent_id: str = field(validator=text(optional=False))
    voice_id: str | None = field(default=None, validator=text())
    dynamic_variables: Mapping[str, str | int | float | bool] | None = field(default=None, validator=instance(Mapping))


@frozen(kw_only=True)
class OpenAIRealtime:
    """The avatar speaks for OpenAI's realtime model; ``temperature`` from 0.6 to 1.2."""

    secret_id: str = field(validator=identifier(optional=False))
    context_id: str | None = field(default=None, validator=identifier())
    voice: OpenAIVoice | None = field(default=None, converter=_openai_voice)
    temperature: float | None = field(default=None, validator=number(0.6, 1.2))
    model: str | None = field(default=None, validator=text())


@frozen(kw_only=True)
class GeminiLive:
    """The avatar speaks for Google's live model; ``temperature`` from 0 to 2. Voices by their names, such as Puck."""

    secret_id: str = field(validator=identifier(optional=False))
    context_id: str | None = field(default=None, validator=identifier())
    voice: str | None = field(default=None, validator=_gemini_voice)
    temperature: float | None = field(default=None, validator=number(0, 2))
    model: str | None = field(default=None, validator=text())


@frozen(kw_only=True)
class CartesiaAgent:
    """The avatar speaks for an agent of Cartesia's Line."""

    secret_id: str = field(validator=identifier(optional=False))
    agent_id: str = field(validator=text(optional=False))


Connector: TypeAlias = ElevenLabsAgent | OpenAIRealtime | GeminiLive | CartesiaAgent


def _within_sandbox(options: LiveAvatarOptions, attribute: Attribute[Any], value: int | None) -> None:
    if options.sandbox and value is not None and value > SANDBOX_SECONDS:
        raise InvalidRequestError(
            f"{attribute.name} is {value}, and a session of the sandbox lasts {SANDBOX_SECONDS} s at most; "
            "nothing was sent"
        )


@frozen(kw_only=True)
class LiveAvatarOptions:
    """What a session on LiveAvatar may be started with beyond HeyGen's fields.

    Attributes:
        mode: FULL, the default, or LITE.
        sandbox: a free session of a minute with the avatar Wayne, for trying out.
        persona: in place of the fields voice, language, knowledge_id, knowledge_base and stt_settings.
        voice_agent_id: a stored agent in place of a persona.
        video: in place of the field quality.
        max_session_duration: seconds, up to what the plan allows; 60 in the sandbox.
        llm_configuration_id: the language model that answers in FULL mode.
        dynamic_variables: what ``${name}`` in the context stands for: 50 at most, names to 64, values to 1,000
            characters.
        memory: what a FULL session remembers.
        connector: an agent elsewhere that LITE speaks for; it hears the user by the room, and no sound is sent to it.
        room: a LiveKit room of one's own, for LITE without a connector.
    """

    mode: LiveAvatarMode = field(default=LiveAvatarMode.FULL, converter=_mode)
    sandbox: bool = field(default=False, validator=flag)
    persona: Persona | None = field(default=None, validator=instance(Persona))
    voice_agent_id: str | None = field(default=None, validator=text())
    video: VideoSettings | None = field(default=None, validator=instance(VideoSettings))
    max_session_duration: int | None = field(
        default=None, validator=[number(1, 1_000_000, whole=True), _within_sandbox]
    )
    llm_configuration_id: str | None = field(default=None, validator=identifier())
    dynamic_variables: Mapping[str, str] = field(
        factory=dict, validator=mapping((str,), entries=50, longest_name=64, longest_value=1_000)
    )
    memory: Memory | None = field(default=None, validator=instance(Memory))
    connector: Connector | None = field(
        default=None, validator=instance(ElevenLabsAgent, OpenAIRealtime, GeminiLive, CartesiaAgent)
    )
    room: LiveKitRoom | None = field(default=None, validator=instance(LiveKitRoom))

    def __attrs_post_init__(self) -> None:
        full_only = ("persona", "voice_agent_id", "llm_configuration_id", "dynamic_variables", "memory")
        lite_only = ("connector", "room")
        lite = self.mode is LiveAvatarMode.LITE
        for name in full_only if lite else lite_only:
            if getattr(self, name):
                other = LiveAvatarMode.FULL if lite else LiveAvatarMode.LITE
                raise InvalidRequestError(f"{name} is for mode {other}, and this is {self.mode}; nothing was sent")
        for one, other_name in (("persona", "voice_agent_id"), ("connector", "room")):
            if getattr(self, one) and getattr(self, other_name):
                raise InvalidRequestError(f"give {one} or {other_name}, not both; nothing was sent")

    @property
    def has_socket(self) -> bool:
        """Whether the avatar says the sound that it is sent: LITE, and nobody else speaks for it."""
        return self.mode is LiveAvatarMode.LITE and self.connector is None
