"""What a session is to be: the body of ``POST /v1/sessions/token``, checked and understood (liveavatar §1.2).

An order is complete: all that it names has been looked up, so that nothing can be missing when the session starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

from attrs import field, frozen

from heygen_avatar.simulator.brain import Brain, BrainSettings, load_brain
from heygen_avatar.simulator.limits import Limits
from heygen_avatar.simulator.liveavatar.answers import Body, foreign, invalid, refusal
from heygen_avatar.simulator.liveavatar.library import (
    SANDBOX_AVATAR,
    Avatar,
    Context,
    LanguageModel,
    Library,
    VoiceAgent,
    new_id,
)
from heygen_avatar.simulator.scene import Part
from heygen_avatar.simulator.stage import VideoFormat
from heygen_avatar.simulator.studio import Studio
from heygen_avatar.simulator.voice import Delivery

Connector = Literal["", "elevenlabs", "openai", "gemini", "cartesia"]

CONNECTORS: Mapping[str, Connector] = {
    "elevenlabs_agent_config": "elevenlabs",
    "openai_realtime_config": "openai",
    "gemini_realtime_config": "gemini",
    "cartesia_agent_config": "cartesia",
}


@frozen(kw_only=True)
class LiveKitRoom:
    """A room of the client's own, and the token with which the avatar is to join it."""

    url: str
    name: str
    token: str = field(repr=False)


@frozen(kw_only=True)
class Order:
    """A session that may be started once."""

    session_id: str = field(factory=new_id)
    mode: Literal["FULL", "LITE"]
    avatar: Avatar
    part: Part
    sandbox: bool
    duration: float
    credits_per_minute: float
    context_id: str = ""
    opening: str = ""
    push_to_talk: bool = False
    connector: Connector = ""
    room: LiveKitRoom | None = None
    body: Mapping[str, Any] = field(repr=False)

    @property
    def has_socket(self) -> bool:
        """The client sends its own sound, over a WebSocket."""
        return self.mode == "LITE" and not self.connector


class OrderDesk:
    """Takes orders. ``recall`` gives what is remembered, by a past session's id, or a memory's, or both."""

    def __init__(self, studio: Studio, library: Library, recall: Callable[[str, str], str]) -> None:
        self._studio = studio
        self._library = library
        self._recall = recall

    def take(self, body: Body) -> Order:
        """Understand a token request.

        Raises:
            Refusal: it is wrong, or names what the account has not.
        """
        mode = body.choice("mode", ("FULL", "LITE"), "FULL")
        agent = self._agent(body.inner("voice_agent")) if "voice_agent" in body else None
        if mode == "LITE" or (agent is not None and agent.kind != "liveavatar_agent"):
            return self._lite(body, agent)
        return self._full(body, agent)

    def _full(self, body: Body, agent: VoiceAgent | None) -> Order:
        if agent is not None and "avatar_persona" in body:
            raise invalid(["body", "voice_agent"], "avatar_persona and voice_agent exclude each other")
        persona = body.inner("avatar_persona") if agent is None else Body(agent.configuration, "voice_agent.")
        if agent is None and "avatar_persona" not in body:
            raise invalid(["body", "avatar_persona"], "Field required", "missing")
        avatar, sandbox, duration = self._common(body)
        context = self._context(persona)
        variables = _read_variables(body)
        remembered = self._remembered(body.inner("memory"))
        if context is not None:
            _check_variables(context, variables)
        knowledge = "" if context is None else "\n".join(filter(None, [context.knowledge(variables), remembered]))
        settings = self._llm(body)
        # Without a context the service is in "restricted mode": it hears, and answers nothing (liveavatar §2).
        brain = None if context is None else load_brain(knowledge, settings)
        return Order(
            mode="FULL",
            avatar=avatar,
            part=self._part(body, self._delivery(persona, avatar), brain),
            sandbox=sandbox,
            duration=duration,
            credits_per_minute=0.0 if sandbox else self._studio.limits.liveavatar_full_price,
            context_id="" if context is None else context.id,
            opening="" if context is None else context.opening(variables),
            push_to_talk=body.choice("interactivity_type", INTERACTIVITY, INTERACTIVITY[0]) == "PUSH_TO_TALK",
            body=body.values,
        )

    def _lite(self, body: Body, agent: VoiceAgent | None) -> Order:
        avatar, sandbox, duration = self._common(body)
        if "agora_config" in body:
            raise refusal(400, "agora_config: this simulator cannot join Agora channels; use LiveKit")
        connector, context = self._connector(body, agent)
        knowledge = "" if context is None else context.knowledge({})
        return Order(
            mode="LITE",
            avatar=avatar,
            part=self._part(
                body,
                Delivery(voice_id=avatar.voice.id),
                load_brain(knowledge, self._studio.llm) if connector else None,
            ),
            sandbox=sandbox,
            duration=duration,
            credits_per_minute=0.0 if sandbox else self._studio.limits.liveavatar_lite_price,
            context_id="" if context is None else context.id,
            opening="" if context is None else context.opening({}),
            connector=connector,
            room=_read_room(body),
            body={**body.values, "mode": "LITE"},
        )

    def _common(self, body: Body) -> tuple[Avatar, bool, float]:
        """What both modes have: the avatar, whether it is a sandbox session, and how long it may last."""
        avatar_id = body.needed_uuid("avatar_id")
        sandbox = body.flag("is_sandbox")
        avatar = self._library.avatars.find(avatar_id)
        if avatar is None:
            raise foreign("Avatar", avatar_id)
        if sandbox and avatar_id != SANDBOX_AVATAR:
            raise refusal(400, f"Avatar with id '{avatar_id}' is not available in sandbox mode; use {SANDBOX_AVATAR}")
        return avatar, sandbox, _read_duration(body, self._studio.limits, sandbox=sandbox)

    def _part(self, body: Body, delivery: Delivery, brain: Brain | None) -> Part:
        video = _read_video(body.inner("video_settings"), self._studio.fps)
        return Part(video=video, voice=self._studio.voice, brain=brain, delivery=delivery)

    def _agent(self, reference: Body) -> VoiceAgent:
        identity = reference.needed("id")
        agent = self._library.agents.find(identity)
        if agent is None:
            raise foreign("Voice agent", identity)
        return agent

    def _context(self, persona: Body, name: str = "context_id") -> Context | None:
        identity = persona.uuid(name)
        context = self._library.contexts.find(identity)
        if identity and context is None:
            raise foreign("Context", identity)
        return context

    def _delivery(self, persona: Body, avatar: Avatar) -> Delivery:
        voice_id = persona.uuid("voice_id") or avatar.voice.id
        if self._library.voices.find(voice_id) is None:
            raise foreign("Voice", voice_id)
        persona.inner("stt_config").choice("provider", RECOGNIZERS, RECOGNIZERS[0])
        speed = _read_voice_settings(persona.inner("voice_settings"))
        return Delivery(rate=speed, voice_id=voice_id, language=persona.text("language") or "en")

    def _llm(self, body: Body) -> BrainSettings:
        identity = body.uuid("llm_configuration_id")
        if not identity:
            return self._studio.llm
        model = self._library.models.find(identity)
        if model is None:
            raise foreign("LLM configuration", identity)
        return self._settings_of(model)

    def _settings_of(self, model: LanguageModel) -> BrainSettings:
        # A deleted secret silently breaks what uses it (liveavatar §1.7): the endpoint is asked without a key.
        secret = self._library.secrets.find(model.secret_id)
        return BrainSettings(
            url=model.base_url or OPENAI_URL, key=secret.value if secret else "", model=model.model_name
        )

    def _remembered(self, reference: Body) -> str:
        previous, memory_id = reference.uuid("prev_session_id"), reference.uuid("session_memory_id")
        if not (previous or memory_id):
            return ""
        return self._recall(previous, memory_id)

    def _connector(self, body: Body, agent: VoiceAgent | None) -> tuple[Connector, Context | None]:
        if agent is not None:
            return cast(Connector, agent.kind.removesuffix("_agent")), None
        given = [name for name in CONNECTORS if name in body]
        if not given:
            return "", None
        if len(given) > 1 or "livekit_config" in body:
            raise refusal(400, f"{given[0]} excludes the other connectors and livekit_config")
        connector, settings = CONNECTORS[given[0]], body.inner(given[0])
        secret_id = settings.needed("secret_id")
        secret = self._library.secrets.find(secret_id)
        if secret is None or secret.kind != _SECRET_KINDS[connector]:
            raise foreign("Secret", secret_id)
        if connector in ("elevenlabs", "cartesia"):
            settings.needed("agent_id")
            return connector, None
        settings.number("temperature", *TEMPERATURES[connector])
        return connector, self._context(settings)


OPENAI_URL = "https://api.openai.com/v1"
"""Where a configuration without ``base_url`` asks (liveavatar §1.8)."""

INTERACTIVITY = ("CONVERSATIONAL", "PUSH_TO_TALK")
RECOGNIZERS = ("deepgram", "assembly_ai", "gladia", "elevenlabs")
_SECRET_KINDS = {
    "elevenlabs": "ELEVENLABS_API_KEY",
    "openai": "OPENAI_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "cartesia": "CARTESIA_API_KEY",
}
TEMPERATURES = {"openai": (0.6, 1.2), "gemini": (0.0, 2.0)}
VARIABLES, VARIABLE_LENGTH, VALUE_LENGTH = 50, 64, 1_000

# Pixels are not documented beyond 1080p, 720p, 480p and 360p (liveavatar §3.1).
QUALITIES = {
    "very_high": (1920, 1080, 4_000_000),
    "high": (1280, 720, 2_000_000),
    "medium": (854, 480, 1_000_000),
    "low": (640, 360, 500_000),
}


def _read_video(settings: Body, fps: int) -> VideoFormat:
    width, height, bitrate = QUALITIES[settings.choice("quality", QUALITIES, "high")]
    codec = cast(Literal["H264", "VP8"], settings.choice("encoding", ("H264", "VP8"), "H264"))
    return VideoFormat(width=width, height=height, bitrate=bitrate, fps=fps, codec=codec)


def _read_duration(body: Body, limits: Limits, *, sandbox: bool) -> float:
    longest = limits.liveavatar_sandbox_duration if sandbox else limits.liveavatar_session_duration
    wanted = body.whole("max_session_duration", 1, 10**6)
    if wanted is not None and wanted > longest:
        message = f"max_session_duration ({wanted}s) exceeds the maximum allowed ({longest:g}s)"  # seen: §1.1
        raise refusal(400, message)
    return longest if wanted is None else float(wanted)


def _read_room(body: Body) -> LiveKitRoom | None:
    if "livekit_config" not in body:
        return None
    config = body.inner("livekit_config")
    return LiveKitRoom(
        url=config.needed("livekit_url"),
        name=config.needed("livekit_room"),
        token=config.needed("livekit_client_token"),
    )


def _read_variables(body: Body) -> dict[str, str]:
    variables = body.texts("dynamic_variables")
    too_long = [name for name, value in variables.items() if len(name) > VARIABLE_LENGTH or len(value) > VALUE_LENGTH]
    if len(variables) > VARIABLES or too_long:
        limits = f"at most {VARIABLES} entries, names to {VARIABLE_LENGTH} and values to {VALUE_LENGTH} characters"
        raise invalid(["body", "dynamic_variables"], limits)
    return variables


def _check_variables(context: Context, variables: Mapping[str, str]) -> None:
    missing = [name for name in context.variables if name not in variables]
    if missing:
        raise refusal(400, f"dynamic_variables: the context requires {', '.join(missing)}")


def _read_voice_settings(settings: Body) -> float:
    """Check a provider's settings (liveavatar §1.2); what can be heard of them here is the speed."""
    if "provider" not in settings:
        return 1.0
    provider = settings.choice("provider", ("elevenLabs", "fish", "cartesia"), "")
    speed = settings.number("speed", 0.8, 1.2)
    if provider == "elevenLabs":
        for name in ("stability", "similarity_boost", "style"):
            settings.number(name, 0, 1)
        for name in ("use_speaker_boost", "apply_language_text_normalization"):
            settings.flag(name)
        settings.choice("model", ("eleven_flash_v2_5", "eleven_multilingual_v2"), "eleven_flash_v2_5")
    elif provider == "fish":
        settings.choice("model", ("s1", "s2"), "s2")
        settings.choice("latency_mode", ("normal", "balanced"), "balanced")
    return 1.0 if speed is None else speed
