"""What LiveAvatar's calls read: the JSON of their bodies."""

from __future__ import annotations

from heygen_avatar.simulator.liveavatar.desk import LANGUAGE_LENGTH, RATIOS
from heygen_avatar.simulator.liveavatar.gallery import NAME_LENGTH
from heygen_avatar.simulator.liveavatar.minds import ID_LENGTH, LABEL_LENGTH, SECRET_KINDS
from heygen_avatar.simulator.liveavatar.orders import (
    INTERACTIVITY,
    QUALITIES,
    RECOGNIZERS,
    TEMPERATURES,
    VALUE_LENGTH,
    VARIABLE_LENGTH,
    VARIABLES,
)
from heygen_avatar.simulator.liveavatar.sessions import STOP_REASONS
from heygen_avatar.simulator.openapi.vocabulary import (
    FLAG,
    NULL,
    TEXT,
    UUID,
    WORDS,
    Schema,
    array,
    choice,
    constant,
    fields,
    number,
    optional,
    whole,
    words,
)

END_REASONS = sorted(STOP_REASONS)
ORIENTATIONS = tuple(RATIOS)

_ID: Schema = {"anyOf": [UUID, {"type": "string", "maxLength": 0}]}
"""A UUID; an empty text counts as absent."""
_DURATION = whole(1, 10**6)

# A session's order.

_SPEED = {"speed": number(0.8, 1.2)}
_VOICE_SETTINGS: Schema = {
    "anyOf": [
        fields(provider=NULL),  # nothing else is read without a provider
        fields(
            {"provider": constant("elevenLabs")},
            **_SPEED,
            stability=number(0, 1),
            similarity_boost=number(0, 1),
            style=number(0, 1),
            use_speaker_boost=FLAG,
            apply_language_text_normalization=FLAG,
            model=choice(("eleven_flash_v2_5", "eleven_multilingual_v2")),
        ),
        fields(
            {"provider": constant("fish")},
            **_SPEED,
            model=choice(("s1", "s2")),
            latency_mode=choice(("normal", "balanced")),
        ),
        fields({"provider": constant("cartesia")}, **_SPEED),
    ]
}
_PERSONA = fields(
    context_id=_ID,
    voice_id=_ID,
    language=TEXT,
    stt_config=fields(provider=choice(RECOGNIZERS)),
    voice_settings=_VOICE_SETTINGS,
)
_AGENT = fields({"id": WORDS})
_COMMON: dict[str, Schema] = {
    "is_sandbox": FLAG,
    "max_session_duration": _DURATION,
    "video_settings": fields(quality=choice(QUALITIES), encoding=choice(("H264", "VP8"))),
}
_FULL_ONLY: dict[str, Schema] = {
    "mode": constant("FULL"),
    "interactivity_type": choice(INTERACTIVITY),
    "llm_configuration_id": _ID,
    "dynamic_variables": {
        "type": "object",
        "maxProperties": VARIABLES,
        "propertyNames": {"maxLength": VARIABLE_LENGTH},
        "additionalProperties": {"type": "string", "maxLength": VALUE_LENGTH},
    },
    "memory": fields(prev_session_id=_ID, session_memory_id=_ID),
}
_HOSTED = fields({"secret_id": WORDS, "agent_id": WORDS})
_REALTIME = {
    name: fields({"secret_id": WORDS}, temperature=number(low, high), context_id=_ID)
    for name, (low, high) in TEMPERATURES.items()
}
_ROOM = fields({"livekit_url": WORDS, "livekit_room": WORDS, "livekit_client_token": WORDS})
ORDER: Schema = {
    "anyOf": [
        fields({"avatar_id": UUID, "avatar_persona": _PERSONA}, **_COMMON, **_FULL_ONLY, voice_agent=NULL),
        fields({"avatar_id": UUID, "voice_agent": _AGENT}, **_COMMON, **_FULL_ONLY, avatar_persona=NULL),
        fields(
            {"avatar_id": UUID, "mode": constant("LITE")},
            **_COMMON,
            voice_agent=_AGENT,
            agora_config=NULL,  # this simulator cannot join Agora's channels
            livekit_config=_ROOM,
            elevenlabs_agent_config=_HOSTED,
            cartesia_agent_config=_HOSTED,
            openai_realtime_config=_REALTIME["openai"],
            gemini_realtime_config=_REALTIME["gemini"],
        ),
    ]
}
STOP = fields(session_id=_ID, reason=choice(END_REASONS))
KEEP_ALIVE = fields(session_id=_ID)

# What the account keeps.

AVATAR = fields(name=words(NAME_LENGTH), default_voice_id=TEXT)
VOICE = fields({"name": words(NAME_LENGTH)})
FOREIGN_VOICE = fields({"provider_voice_id": WORDS, "secret_id": WORDS}, name=words(NAME_LENGTH))
_LINK = fields({"url": WORDS, "faq": WORDS}, id=_ID)
CONTEXT = fields({"name": WORDS, "prompt": WORDS, "opening_text": optional(TEXT)}, links=array(_LINK))
MEMORY = fields({"memory_type": constant("session"), "session_id": UUID})
SECRET = fields({"secret_type": choice(SECRET_KINDS), "secret_name": words(LABEL_LENGTH), "secret_value": WORDS})
_LABELS = {"display_name": words(LABEL_LENGTH), "model_name": words(LABEL_LENGTH)}
MODEL = fields({**_LABELS, "secret_id": words(ID_LENGTH)}, base_url=TEXT)
MODEL_CHANGES = fields(**_LABELS, secret_id=TEXT, base_url=WORDS)
EMBED = fields(
    {"avatar_id": UUID, "context_id": UUID},
    voice_id=_ID,
    is_sandbox=FLAG,
    type=choice(("DEFAULT", "WIDGET")),
    max_session_duration=_DURATION,
    default_language={**TEXT, "maxLength": LANGUAGE_LENGTH},
    orientation=choice(RATIOS),
)
