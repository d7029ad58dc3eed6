"""What a session on LiveAvatar is asked for: HeyGen's fields and LiveAvatar's own, as the body of ``sessions/token``.

The table is the migration map's (liveavatar §6). What the service has no place for is named in words, never dropped in
silence; what it would refuse is refused here. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import asdict, evolve, fields_dict

from ..checks import is_uuid
from ..errors import InvalidRequestError
from ..liveavatar import (
    SANDBOX_AVATAR,
    CartesiaAgent,
    CartesiaVoice,
    Connector,
    ElevenLabsAgent,
    ElevenLabsVoice,
    GeminiLive,
    LiveAvatarMode,
    LiveAvatarOptions,
    OpenAIRealtime,
    Persona,
    VideoSettings,
    VoiceProvider,
)
from ..models import StartAvatarRequest, VoiceChatTransport, VoiceSetting

__all__ = ["DEFAULT_PROMPT", "adapted", "body", "connector_in", "context_prompt", "options_of"]

DEFAULT_PROMPT = "You are a helpful assistant. Answer briefly, in the language you are spoken to."
"""What an avatar answers by when nothing else was given. HeyGen's answers then too; LiveAvatar's would be silent."""

SLOWEST, FASTEST = 0.8, 1.2
"""The range of a voice's speed (liveavatar §1.2); HeyGen's rate goes from 0.5 to 1.5."""

_PERSONA_FIELDS = ("voice", "language", "knowledge_id", "knowledge_base", "stt_settings")

_CONNECTORS: dict[type[Connector], str] = {
    ElevenLabsAgent: "elevenlabs_agent_config",
    OpenAIRealtime: "openai_realtime_config",
    GeminiLive: "gemini_realtime_config",
    CartesiaAgent: "cartesia_agent_config",
}


def options_of(request: StartAvatarRequest) -> LiveAvatarOptions:
    return request.liveavatar or LiveAvatarOptions()


def adapted(request: StartAvatarRequest) -> tuple[StartAvatarRequest, list[str]]:
    """The request as LiveAvatar can fulfil it, and in words what it cannot.

    Raises:
        InvalidRequestError: it contradicts itself, or names what can only be HeyGen's.
    """
    options = options_of(request)
    omitted: list[str] = []
    if options.mode is LiveAvatarMode.LITE:
        request = _without_persona(request, omitted)
    else:
        _check_persona(request, options)
        request = _within_range(request, omitted)
    if options.video is not None and request.quality is not None:
        raise InvalidRequestError("give quality or liveavatar.video, not both; nothing was sent")
    for name in ("disable_idle_timeout", "activity_idle_timeout"):
        if getattr(request, name):
            omitted.append(
                f"{name}: LiveAvatar ends a session after 5 minutes without activity, and keep_alive() is the way on"
            )
    if request.use_silence_prompt:
        omitted.append("use_silence_prompt: LiveAvatar's avatar does not speak up by itself")
    return evolve(
        request,
        avatar_name=_avatar_id(request.avatar_name, options),
        disable_idle_timeout=None,
        activity_idle_timeout=None,
        use_silence_prompt=None,
        voice_chat_transport=VoiceChatTransport.LIVEKIT,
    ), omitted


def context_prompt(request: StartAvatarRequest) -> str | None:
    """What a context has to be created with for this session alone; None where it has one, or wants none."""
    options = options_of(request)
    chosen = options.persona or options.voice_agent_id or request.knowledge_id
    if chosen or options.mode is LiveAvatarMode.LITE:
        return None
    return request.knowledge_base or DEFAULT_PROMPT


def body(request: StartAvatarRequest) -> dict[str, Any]:
    """The body of ``sessions/token`` for an adapted request."""
    options = options_of(request)
    content: dict[str, Any] = {
        "mode": options.mode.value,
        "avatar_id": request.avatar_name,
        "is_sandbox": options.sandbox,
        "video_settings": _video(request, options.video),
        "max_session_duration": options.max_session_duration,
    }
    if options.mode is LiveAvatarMode.LITE:
        content |= _lite(options)
    else:
        content |= _full(request, options)
    return _given(content)


def _full(request: StartAvatarRequest, options: LiveAvatarOptions) -> dict[str, Any]:
    agent = options.voice_agent_id
    return {
        # A persona is required, if only an empty one, where no agent stands in for it.
        "avatar_persona": None if agent else _persona(options.persona or _persona_of(request)),
        "voice_agent": {"id": agent} if agent else None,
        "interactivity_type": "PUSH_TO_TALK" if request.enable_push_to_talk else None,
        "llm_configuration_id": options.llm_configuration_id,
        "dynamic_variables": dict(options.dynamic_variables) or None,
        "memory": _given(asdict(options.memory)) if options.memory else None,
    }


def _lite(options: LiveAvatarOptions) -> dict[str, Any]:
    if options.connector is not None:
        return {_CONNECTORS[type(options.connector)]: _connector(options.connector)}
    if options.room is not None:
        return {
            "livekit_config": {
                "livekit_url": options.room.url,
                "livekit_room": options.room.room,
                "livekit_client_token": options.room.avatar_token,
            }
        }
    return {}


def _connector(connector: Connector) -> dict[str, Any]:
    return _given(asdict(connector))


def connector_in(order: Mapping[str, Any]) -> Connector | None:
    """The connector that a body names, if it names one."""
    for kind, name in _CONNECTORS.items():
        config = order.get(name)
        if isinstance(config, Mapping):
            return kind(**{field: config[field] for field in fields_dict(kind) if field in config})
    return None


def _persona(persona: Persona) -> dict[str, Any]:
    return _given(
        {
            "voice_id": persona.voice_id,
            "context_id": persona.context_id,
            "language": persona.language,
            "voice_settings": _voice(persona.voice_settings) if persona.voice_settings else None,
            "stt_config": {"provider": persona.stt_provider.value} if persona.stt_provider else None,
        }
    )


def _voice(voice: VoiceProvider) -> dict[str, Any]:
    own = dict(voice.fields) if isinstance(voice, CartesiaVoice) else _given(asdict(voice))
    return {**own, "provider": voice.provider}


def _persona_of(request: StartAvatarRequest) -> Persona:
    voice, stt = request.voice, request.stt_settings
    return Persona(
        voice_id=voice.voice_id if voice else None,
        context_id=request.knowledge_id,
        language=request.language,
        voice_settings=_elevenlabs_of(voice) if voice else None,
        stt_provider=stt.provider.value if stt and stt.provider else None,
    )


def _elevenlabs_of(voice: VoiceSetting) -> ElevenLabsVoice | None:
    """HeyGen's fine tuning is that of ElevenLabs' voices."""
    tuning = asdict(voice.elevenlabs_settings) if voice.elevenlabs_settings else {}
    settings = ElevenLabsVoice(speed=voice.rate, model=voice.model, **tuning)
    return None if settings == ElevenLabsVoice() else settings


def _video(request: StartAvatarRequest, video: VideoSettings | None) -> dict[str, Any] | None:
    if video is not None:
        return _given(asdict(video)) or None
    return {"quality": request.quality.value} if request.quality else None


def _avatar_id(name: str, options: LiveAvatarOptions) -> str:
    if name == "default" and options.sandbox:
        return SANDBOX_AVATAR
    if not is_uuid(name):
        raise InvalidRequestError(
            f"avatar_name must be the UUID of one of LiveAvatar's avatars, not {name!r}: HeyGen's have other ids there "
            "and none is the default. Client(service=Service.LIVEAVATAR).avatars lists them; nothing was sent"
        )
    return name


def _check_persona(request: StartAvatarRequest, options: LiveAvatarOptions) -> None:
    given = [name for name in _PERSONA_FIELDS if getattr(request, name) is not None]
    stated = "persona" if options.persona else "voice_agent_id" if options.voice_agent_id else None
    if stated and given:
        raise InvalidRequestError(f"give {', '.join(given)} or liveavatar.{stated}, not both; nothing was sent")
    if request.knowledge_id is not None and request.knowledge_base is not None:
        raise InvalidRequestError(
            "give knowledge_id or knowledge_base, not both: a session on LiveAvatar has one context; nothing was sent"
        )
    voice_id = request.voice.voice_id if request.voice else None
    for name, value in (("knowledge_id", request.knowledge_id), ("voice.voice_id", voice_id)):
        if value is not None and not is_uuid(value):
            raise InvalidRequestError(
                f"{name} must be a UUID of LiveAvatar's, not {value!r}: what is HeyGen's has another id there, if any; "
                "nothing was sent"
            )


def _within_range(request: StartAvatarRequest, omitted: list[str]) -> StartAvatarRequest:
    voice, stt = request.voice, request.stt_settings
    if voice is not None and voice.emotion is not None:
        omitted.append("voice.emotion: LiveAvatar's voices have none to choose")
        voice = evolve(voice, emotion=None)
    if voice is not None and voice.rate is not None and not SLOWEST <= voice.rate <= FASTEST:
        nearest = min(max(voice.rate, SLOWEST), FASTEST)
        omitted.append(f"voice.rate {voice.rate:g}: LiveAvatar's goes from {SLOWEST} to {FASTEST}, so it is {nearest}")
        voice = evolve(voice, rate=nearest)
    if stt is not None and stt.confidence is not None:
        omitted.append("stt_settings.confidence: LiveAvatar has no such threshold")
        stt = evolve(stt, confidence=None)
    return evolve(request, voice=voice, stt_settings=stt)


def _without_persona(request: StartAvatarRequest, omitted: list[str]) -> StartAvatarRequest:
    """In LITE mode somebody else hears, thinks and speaks; push-to-talk is their business too."""
    given = [name for name in (*_PERSONA_FIELDS, "enable_push_to_talk") if getattr(request, name)]
    omitted += [f"{name}: in LITE mode LiveAvatar neither hears, nor answers, nor has a voice" for name in given]
    return evolve(
        request,
        voice=None,
        language=None,
        knowledge_id=None,
        knowledge_base=None,
        stt_settings=None,
        enable_push_to_talk=False,
    )


def _given(content: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None, and enums as their words."""
    return {name: getattr(value, "value", value) for name, value in content.items() if value is not None}
