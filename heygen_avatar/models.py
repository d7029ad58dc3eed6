"""The values of the API: enums, requests, responses. Each checks itself when made, and says the allowed range.

No I/O and no wire names here but the attributes' own: protocols translate them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import field, fields_dict, frozen

from .checks import Name, flag, instance, member, number, text
from .errors import InvalidRequestError
from .liveavatar import ElevenLabsModel, LiveAvatarOptions
from .secret import hidden

__all__ = [
    "AvatarQuality",
    "ElevenLabsModel",
    "ElevenLabsSettings",
    "STTProvider",
    "STTSettings",
    "Service",
    "SessionState",
    "SpeakRequest",
    "StartAvatarRequest",
    "StartAvatarResponse",
    "TaskMode",
    "TaskType",
    "VoiceChatTransport",
    "VoiceEmotion",
    "VoiceSetting",
]

MAX_TEXT = 1_000
"""Characters of one task (docs reference/limits)."""


class Service(Name):
    """Which of HeyGen's two services a session runs on."""

    HEYGEN = "heygen"
    LIVEAVATAR = "liveavatar"


class AvatarQuality(Name):
    """Size and bitrate of the picture: high 1280x720 at 2000 kbps, medium 854x480 at 1000, low 640x360 at 500."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class VoiceEmotion(Name):
    EXCITED = "excited"
    SERIOUS = "serious"
    FRIENDLY = "friendly"
    SOOTHING = "soothing"
    BROADCASTER = "broadcaster"


class STTProvider(Name):
    DEEPGRAM = "deepgram"
    GLADIA = "gladia"


class TaskType(Name):
    """REPEAT: the avatar says the text. TALK: it answers the text."""

    TALK = "talk"
    REPEAT = "repeat"


class TaskMode(Name):
    """SYNC: ``speak()`` returns when the avatar has stopped talking. ASYNC: it returns at once."""

    SYNC = "sync"
    ASYNC = "async"


class VoiceChatTransport(Name):
    """How the user's voice and chat text travel: the room's data and audio tracks, or the chat socket."""

    LIVEKIT = "livekit"
    WEBSOCKET = "websocket"


class SessionState(Name):
    """Where a session stands."""

    INACTIVE = "inactive"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    DISCONNECTING = "disconnecting"
    DISCONNECTED = "disconnected"


def _quality(value: AvatarQuality | str | None) -> AvatarQuality | None:
    return None if value is None else member(AvatarQuality, "quality", value)


def _emotion(value: VoiceEmotion | str | None) -> VoiceEmotion | None:
    return None if value is None else member(VoiceEmotion, "emotion", value)


def _model(value: ElevenLabsModel | str | None) -> ElevenLabsModel | None:
    return None if value is None else member(ElevenLabsModel, "model", value)


def _provider(value: STTProvider | str | None) -> STTProvider | None:
    return None if value is None else member(STTProvider, "provider", value)


def _transport(value: VoiceChatTransport | str) -> VoiceChatTransport:
    return member(VoiceChatTransport, "voice_chat_transport", value)


def _task_type(value: TaskType | str) -> TaskType:
    return member(TaskType, "task_type", value)


def _task_mode(value: TaskMode | str) -> TaskMode:
    return member(TaskMode, "task_mode", value)


@frozen(kw_only=True)
class ElevenLabsSettings:
    """Fine tuning of an ElevenLabs voice; stability, similarity_boost and style from 0 to 1."""

    stability: float | None = field(default=None, validator=number(0, 1))
    similarity_boost: float | None = field(default=None, validator=number(0, 1))
    style: float | None = field(default=None, validator=number(0, 1))
    use_speaker_boost: bool | None = field(default=None, validator=flag)


@frozen(kw_only=True)
class VoiceSetting:
    """The avatar's voice. ``rate`` from 0.5 to 1.5; ``model`` is the ElevenLabs model."""

    voice_id: str | None = field(default=None, validator=text())
    rate: float | None = field(default=None, validator=number(0.5, 1.5))
    emotion: VoiceEmotion | None = field(default=None, converter=_emotion)
    elevenlabs_settings: ElevenLabsSettings | None = field(default=None, validator=instance(ElevenLabsSettings))
    model: ElevenLabsModel | None = field(default=None, converter=_model)


@frozen(kw_only=True)
class STTSettings:
    """How the user's speech is recognised; ``confidence`` from 0 to 1 (the service's default: 0.55)."""

    provider: STTProvider | None = field(default=None, converter=_provider)
    confidence: float | None = field(default=None, validator=number(0, 1))


@frozen(kw_only=True)
class StartAvatarRequest:
    """What a session is started with; the fields of TypeScript's ``StartAvatarRequest`` in snake_case.

    Attributes:
        avatar_name: the avatar's id; ``"default"`` is the service's own choice.
        quality: the service's default is medium.
        voice: the avatar's voice; its own where absent.
        knowledge_id: a stored knowledge base that shapes the answers of TALK.
        knowledge_base: a system prompt, given directly.
        language: a basic code (``en``, ``ja``), no locale.
        disable_idle_timeout: deprecated by the service in favour of ``activity_idle_timeout``.
        activity_idle_timeout: seconds without activity after which the service ends the session, 30 to 3600
            (the service's default: 120).
        stt_settings: recognition of the user's speech.
        use_silence_prompt: let the avatar speak up when the user says nothing.
        voice_chat_transport: how voice and chat text travel; default the chat socket.
        enable_push_to_talk: hear the user only between push_to_talk_start() and push_to_talk_stop().
        liveavatar: what only LiveAvatar has (``Service.LIVEAVATAR``). There, ``avatar_name`` is an avatar's UUID,
            ``knowledge_id`` a context's, and ``docs/migration.md`` says what becomes of each other field.
    """

    avatar_name: str = field(default="default", validator=text(optional=False))
    quality: AvatarQuality | None = field(default=None, converter=_quality)
    voice: VoiceSetting | None = field(default=None, validator=instance(VoiceSetting))
    knowledge_id: str | None = field(default=None, validator=text())
    knowledge_base: str | None = field(default=None, validator=text())
    language: str | None = field(default=None, validator=text())
    disable_idle_timeout: bool | None = field(default=None, validator=flag)
    activity_idle_timeout: int | None = field(default=None, validator=number(30, 3600, whole=True))
    stt_settings: STTSettings | None = field(default=None, validator=instance(STTSettings))
    use_silence_prompt: bool | None = field(default=None, validator=flag)
    voice_chat_transport: VoiceChatTransport = field(
        default=VoiceChatTransport.WEBSOCKET,
        converter=_transport,
    )
    enable_push_to_talk: bool = field(default=False, validator=flag)
    liveavatar: LiveAvatarOptions | None = field(default=None, validator=instance(LiveAvatarOptions))


@frozen(kw_only=True)
class SpeakRequest:
    """One spoken task: ``text`` of 1 to 1,000 characters."""

    text: str = field(validator=text(optional=False, longest=MAX_TEXT, remedy="split it into several tasks"))
    task_type: TaskType = field(default=TaskType.TALK, converter=_task_type)
    task_mode: TaskMode = field(default=TaskMode.ASYNC, converter=_task_mode)


@frozen(kw_only=True)
class StartAvatarResponse:
    """What the service says of a session it made.

    Attributes:
        session_id: the session's id.
        access_token: the LiveKit token of the user's participant.
        url: the LiveKit server's ``wss://`` address.
        is_paid: whether the session runs under a paid plan.
        session_duration_limit: seconds after which the service ends the session.
        session_token: LiveAvatar's token of this session, good for starting, keeping and stopping it.
        realtime_endpoint: the socket for one's own audio, where offered (LiveAvatar's ``ws_url``).
        livekit_agent_token: a second LiveKit token, for an agent of one's own, where offered.
        raw: the reply as it came.
    """

    session_id: str
    access_token: str = field(default="", repr=False, converter=hidden)
    url: str = ""
    is_paid: bool | None = None
    session_duration_limit: float | None = None
    session_token: str = field(default="", repr=False, converter=hidden)
    realtime_endpoint: str | None = field(default=None, repr=False)
    livekit_agent_token: str | None = field(default=None, repr=False)
    raw: Mapping[str, Any] = field(factory=dict, repr=False, eq=False)


R = TypeVar("R", StartAvatarRequest, SpeakRequest)


def request_of(kind: type[R], request: R | None, changes: Mapping[str, Any]) -> R:
    """A request from an object or from its fields in keywords, never from both.

    Raises:
        InvalidRequestError: both were given, a field is unknown, missing, of a wrong type or out of range.
    """
    if request is not None:
        if changes:
            raise InvalidRequestError(f"give a {kind.__name__} or its fields in keywords, not both; nothing was sent")
        if not isinstance(request, kind):
            raise InvalidRequestError(f"expected a {kind.__name__}, not {type(request).__name__}; nothing was sent")
        return request
    known = fields_dict(kind)
    if unknown := sorted(set(changes) - set(known)):
        raise InvalidRequestError(
            f"{kind.__name__} has no field {', '.join(unknown)}; it has {', '.join(known)}; nothing was sent"
        )
    if kind is SpeakRequest and "text" not in changes:
        raise InvalidRequestError("speak() needs a text; nothing was sent")
    return kind(**changes)
