"""What the services tell of an account's things: avatars, voices, contexts, sessions and so on, as values.

Both services' words for one thing are read into one attribute. Reading is lenient: wrong types become defaults, what is
not known stays in ``raw``. No I/O.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, TypeVar

from attrs import Attribute, field, fields, frozen

from .protocols import reading

__all__ = [
    "AvatarRecord",
    "ContextLink",
    "ContextRecord",
    "CreditsRecord",
    "EmbedRecord",
    "Episode",
    "LLMConfigurationRecord",
    "LanguageRecord",
    "MemoryRecord",
    "Remark",
    "SecretRecord",
    "SessionRecord",
    "TranscriptPage",
    "VoiceRecord",
]

R = TypeVar("R", bound="Record")


def _text(value: object) -> str:
    return reading.text({"": value}, "")


def _flag(value: object) -> bool:
    return value is True


def _number(value: object) -> float | None:
    return reading.number({"": value}, "")


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _moment(value: object) -> datetime | None:
    """ISO 8601, or seconds since the epoch."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
            return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, timezone.utc)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(filter(None, map(_text, value))) if isinstance(value, list) else ()


def _id_within(value: object) -> str:
    """An id, or the ``id`` of an object."""
    return reading.text(value, "id") if isinstance(value, Mapping) else _text(value)


def _said(*names: str, read: Callable[[Any], Any]) -> dict[str, Any]:
    """How an attribute is read: from the first of the ``names`` that is there."""
    return {"names": names, "read": read}


@frozen(kw_only=True)
class Record:
    """What all records have. ``raw`` is the JSON as it came."""

    raw: Mapping[str, Any] = field(factory=dict, repr=False, eq=False)

    @classmethod
    def of(cls: type[R], source: object) -> R:
        """Read one; anything at all gives a record."""
        values = source if isinstance(source, Mapping) else {}
        known: tuple[Attribute[Any], ...] = fields(cls)
        told = {
            attribute.name: attribute.metadata["read"](_first(values, attribute.metadata["names"]))
            for attribute in known
            if attribute.metadata
        }
        return cls(**told, raw=values)

    @classmethod
    def all_of(cls: type[R], sources: object) -> tuple[R, ...]:
        """Read a list of them."""
        return (
            tuple(cls.of(source) for source in sources if isinstance(source, Mapping))
            if isinstance(sources, list)
            else ()
        )


def _first(values: Mapping[str, Any], names: tuple[str, ...]) -> object:
    return next((values[name] for name in names if values.get(name) is not None), None)


@frozen(kw_only=True)
class AvatarRecord(Record):
    """An avatar; ``id`` is what ``avatar_name`` of a start takes."""

    id: str = field(default="", metadata=_said("id", "avatar_id", read=_text))
    name: str = field(default="", metadata=_said("name", "pose_name", read=_text))
    status: str = field(default="", metadata=_said("status", read=_text))
    type: str = field(default="", metadata=_said("type", read=_text))
    public: bool = field(default=False, metadata=_said("is_public", read=_flag))
    preview_url: str = field(default="", metadata=_said("preview_url", "normal_preview", read=_text))
    default_voice_id: str = field(default="", metadata=_said("default_voice", read=_id_within))
    is_1080p: bool = field(default=False, metadata=_said("is_1080p", read=_flag))
    is_expired: bool = field(default=False, metadata=_said("is_expired", read=_flag))
    error_message: str = field(default="", metadata=_said("error_message", read=_text))
    created_at: datetime | None = field(default=None, metadata=_said("created_at", read=_moment))


@frozen(kw_only=True)
class VoiceRecord(Record):
    """A voice; ``id`` is what ``VoiceSetting.voice_id`` takes."""

    id: str = field(default="", metadata=_said("id", "voice_id", read=_text))
    name: str = field(default="", metadata=_said("name", read=_text))
    language: str = field(default="", metadata=_said("language", read=_text))
    gender: str = field(default="", metadata=_said("gender", read=_text))
    description: str = field(default="", metadata=_said("description", read=_text))
    tags: tuple[str, ...] = field(default=(), metadata=_said("tags", read=_texts))
    preview_url: str = field(default="", metadata=_said("preview_audio", read=_text))
    supports_emotion: bool = field(default=False, metadata=_said("emotion_support", read=_flag))
    created_at: datetime | None = field(default=None, metadata=_said("created_at", read=_moment))


@frozen(kw_only=True)
class ContextLink(Record):
    """A page that a context knows of, and what is to be known from it."""

    id: str = field(default="", metadata=_said("id", read=_text))
    url: str = field(default="", metadata=_said("url", read=_text))
    faq: str = field(default="", metadata=_said("faq", read=_text))


@frozen(kw_only=True)
class ContextRecord(Record):
    """What an avatar knows and how it behaves: a context on LiveAvatar, a knowledge base on HeyGen.

    Listings may leave out prompt and opening; ``contexts.get(id)`` has them.
    """

    id: str = field(default="", metadata=_said("id", "knowledge_base_id", read=_text))
    name: str = field(default="", metadata=_said("name", read=_text))
    prompt: str = field(default="", metadata=_said("prompt", read=_text))
    opening: str = field(default="", metadata=_said("opening_text", "opening", read=_text))
    links: tuple[ContextLink, ...] = field(default=(), metadata=_said("links", read=ContextLink.all_of))
    required_dynamic_variables: tuple[str, ...] = field(
        default=(), metadata=_said("required_dynamic_variables", read=_texts)
    )
    created_at: datetime | None = field(default=None, metadata=_said("created_at", read=_moment))
    updated_at: datetime | None = field(default=None, metadata=_said("updated_at", read=_moment))


@frozen(kw_only=True)
class SessionRecord(Record):
    """A session that runs, or ran. ``duration`` in seconds."""

    id: str = field(default="", metadata=_said("id", "session_id", read=_text))
    status: str = field(default="", metadata=_said("status", read=_text))
    mode: str = field(default="", metadata=_said("mode", read=_text))
    source: str = field(default="", metadata=_said("source", "api_key_type", read=_text))
    sandbox: bool = field(default=False, metadata=_said("is_sandbox", read=_flag))
    duration: float | None = field(default=None, metadata=_said("duration", read=_number))
    credits_consumed: float | None = field(default=None, metadata=_said("credits_consumed", read=_number))
    avatar_id: str = field(default="", metadata=_said("avatar_id", read=_text))
    end_reason: str = field(default="", metadata=_said("end_reason", read=_text))
    created_at: datetime | None = field(default=None, metadata=_said("created_at", read=_moment))
    ended_at: datetime | None = field(default=None, metadata=_said("end_at", read=_moment))


@frozen(kw_only=True)
class Remark(Record):
    """What one side said. ``role`` is user or avatar; the timestamps' unit is not published."""

    role: str = field(default="", metadata=_said("role", read=_text))
    text: str = field(default="", metadata=_said("transcript", read=_text))
    absolute_timestamp: int | None = field(default=None, metadata=_said("absolute_timestamp", read=_whole))
    relative_timestamp: int | None = field(default=None, metadata=_said("relative_timestamp", read=_whole))


@frozen(kw_only=True)
class TranscriptPage(Record):
    """What was said in a session from some time on. ``next_timestamp`` is where the next look begins."""

    session_active: bool = field(default=False, metadata=_said("session_active", read=_flag))
    next_timestamp: int | None = field(default=None, metadata=_said("next_timestamp", read=_whole))
    remarks: tuple[Remark, ...] = field(default=(), metadata=_said("transcript_data", read=Remark.all_of))


@frozen(kw_only=True)
class SecretRecord(Record):
    """A key of another service that LiveAvatar keeps. It never tells the key itself."""

    id: str = field(default="", metadata=_said("id", read=_text))
    name: str = field(default="", metadata=_said("secret_name", read=_text))
    type: str = field(default="", metadata=_said("secret_type", read=_text))
    created_at: datetime | None = field(default=None, metadata=_said("created_at", read=_moment))


@frozen(kw_only=True)
class LLMConfigurationRecord(Record):
    """A language model of one's own that answers in FULL mode."""

    id: str = field(default="", metadata=_said("id", read=_text))
    display_name: str = field(default="", metadata=_said("display_name", read=_text))
    model_name: str = field(default="", metadata=_said("model_name", read=_text))
    secret_id: str = field(default="", metadata=_said("secret_id", read=_text))
    base_url: str = field(default="", metadata=_said("base_url", read=_text))
    created_at: datetime | None = field(default=None, metadata=_said("created_at", read=_moment))


@frozen(kw_only=True)
class Episode(Record):
    """What a memory keeps of one session."""

    session_id: str = field(default="", metadata=_said("session_id", read=_text))
    summary: str = field(default="", metadata=_said("summary", read=_text))
    created_at: datetime | None = field(default=None, metadata=_said("created_at", read=_moment))


@frozen(kw_only=True)
class MemoryRecord(Record):
    """What avatars remember of past sessions; a listing has only the beginning of its content."""

    id: str = field(default="", metadata=_said("id", read=_text))
    type: str = field(default="", metadata=_said("memory_type", read=_text))
    content: str = field(default="", metadata=_said("memory_content", "memory_content_preview", read=_text))
    episodes: tuple[Episode, ...] = field(default=(), metadata=_said("session_episodes", read=Episode.all_of))
    created_at: datetime | None = field(default=None, metadata=_said("created_at", read=_moment))


@frozen(kw_only=True)
class EmbedRecord(Record):
    """A page with an avatar to put into one's own: by its URL, or by the ``script`` (an iframe)."""

    id: str = field(default="", metadata=_said("embed_id", read=_text))
    url: str = field(default="", metadata=_said("url", read=_text))
    script: str = field(default="", metadata=_said("script", read=_text))
    orientation: str = field(default="", metadata=_said("orientation", read=_text))


@frozen(kw_only=True)
class LanguageRecord(Record):
    """A language and its code."""

    name: str = field(default="", metadata=_said("language", read=_text))
    code: str = field(default="", metadata=_said("code", read=_text))


@frozen(kw_only=True)
class CreditsRecord(Record):
    """What the account has left. HeyGen counts in sixtieths of a credit; here both are credits."""

    left: float | None = field(default=None, metadata=_said("credits_left", read=_number))


def sound_of(data: object) -> bytes:
    """The sound of a voice's preview; empty where there is none."""
    encoded = reading.text(data, "audio_base64") if isinstance(data, Mapping) else ""
    try:
        return base64.b64decode(encoded)
    except (binascii.Error, ValueError):
        return b""
