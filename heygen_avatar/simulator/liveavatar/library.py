"""What the simulated LiveAvatar account owns or may use: avatars, voices, contexts, memories, secrets, models, agents.

Values and the shelves they stand on; no HTTP. Ids are UUIDs (liveavatar §1.1).
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

from attrs import evolve, field, frozen

from heygen_avatar.simulator.liveavatar.answers import is_uuid, timestamp

SANDBOX_AVATAR = "dd73ea75-1218-4ef3-92ce-606d5f7fbc0a"
"""Wayne, the only avatar of sandbox sessions (liveavatar §2)."""

SANDBOX_EMBED_AVATAR = "65f9e3c9-d48b-4118-b73a-4ae2e3cbb8f0"
"""The only avatar of sandbox embeds (liveavatar §2)."""


STORED_AGENT = "7f1d2c3b-4a59-4e68-8f70-a1b2c3d4e5f6"
"""The one voice agent there is: only the dashboard makes them (liveavatar §1.12). It has Ann's voice, no context."""


def new_id() -> str:
    return str(uuid.uuid4())


class Item(Protocol):
    """Something with an id that can stand on a shelf."""

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Item)


class Shelf(Generic[T]):
    """Things of one kind by their ids, in the order in which they came."""

    def __init__(self, *items: T) -> None:
        self._items = {item.id: item for item in items}

    def put(self, item: T) -> T:
        """Add a thing, or replace the one of its id."""
        self._items[item.id] = item
        return item

    def find(self, identity: str) -> T | None:
        return self._items.get(identity.lower())

    def remove(self, item: T) -> None:
        self._items.pop(item.id, None)

    def all(self) -> list[T]:
        """The oldest first."""
        return list(self._items.values())

    def newest_first(self) -> list[T]:
        return self.all()[::-1]


@frozen(kw_only=True)
class Voice:
    """A voice (liveavatar §1.4)."""

    id: str = field(factory=new_id)
    name: str
    gender: str
    language: str = "en"
    description: str | None = None
    tags: tuple[str, ...] = ()
    public: bool = True
    created_at: float = field(factory=time.time)
    updated_at: float = field(factory=time.time)

    def row(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "language": self.language,
            "gender": self.gender,
            "tags": list(self.tags),
            **_times(self),
        }


@frozen(kw_only=True)
class Avatar:
    """An avatar (liveavatar §1.3)."""

    id: str = field(factory=new_id)
    name: str
    voice: Voice
    public: bool = True
    created_at: float = field(factory=time.time)
    updated_at: float = field(factory=time.time)

    def row(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "space_id": None if self.public else _SPACE,
            "type": "VIDEO",
            "status": "ACTIVE",
            "name": self.name,
            "preview_url": None,
            "is_expired": False,
            "default_voice": {"id": self.voice.id, "name": self.voice.name},
            "is_1080p": True,
            **_times(self),
            "error_message": None,
        }


@frozen(kw_only=True)
class Link:
    """A page that a context knows of, and what is to be known from it."""

    id: str = field(factory=new_id)
    url: str
    faq: str

    def row(self) -> dict[str, Any]:
        return {"id": self.id, "url": self.url, "faq": self.faq}


@frozen(kw_only=True)
class Context:
    """A persona's knowledge (liveavatar §1.5)."""

    id: str = field(factory=new_id)
    name: str
    prompt: str
    opening_text: str | None
    links: tuple[Link, ...] = ()
    created_at: float = field(factory=time.time)
    updated_at: float = field(factory=time.time)

    def summary(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, **_times(self)}

    def row(self) -> dict[str, Any]:
        return {
            **self.summary(),
            "prompt": self.prompt,
            "opening_text": self.opening_text,
            "links": [link.row() for link in self.links],
            "required_dynamic_variables": list(self.variables),
        }

    @property
    def variables(self) -> tuple[str, ...]:
        """The names found as ``${name}``, each once, in their order."""
        return tuple(dict.fromkeys(_VARIABLE.findall(f"{self.opening_text or ''}\n{self.prompt}")))

    def opening(self, values: Mapping[str, str]) -> str:
        return _filled(self.opening_text or "", values)

    def knowledge(self, values: Mapping[str, str]) -> str:
        """All that the avatar is to know: the prompt and what the links' pages say."""
        return "\n".join([_filled(self.prompt, values), *(link.faq for link in self.links)])


@frozen(kw_only=True)
class Episode:
    """What a memory keeps of one session."""

    session_id: str
    summary: str
    created_at: float = field(factory=time.time)

    def row(self, number: int) -> dict[str, Any]:
        return {
            "session_id": self.session_id,
            "sequence_num": number,
            "summary": self.summary,
            "created_at": timestamp(self.created_at),
        }


@frozen(kw_only=True)
class Memory:
    """What is remembered of past sessions (liveavatar §1.6)."""

    id: str = field(factory=new_id)
    episodes: tuple[Episode, ...]
    created_at: float = field(factory=time.time)
    updated_at: float = field(factory=time.time)

    @property
    def content(self) -> str:
        return "\n".join(episode.summary for episode in self.episodes)

    def summary(self) -> dict[str, Any]:
        preview = self.content[:_PREVIEW_LENGTH] or None
        return {"id": self.id, "memory_type": "session", "memory_content_preview": preview, **_times(self)}

    def created_row(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "memory_type": "session",
            "memory_content": self.content,
            "created_at": timestamp(self.created_at),
        }

    def row(self) -> dict[str, Any]:
        episodes = [episode.row(number) for number, episode in enumerate(self.episodes, start=1)]
        return {**self.created_row(), **_times(self), "session_episodes": episodes}


@frozen(kw_only=True)
class Secret:
    """A key of another service (liveavatar §1.7)."""

    id: str = field(factory=new_id)
    name: str
    value: str = field(repr=False)
    kind: str
    created_at: float = field(factory=time.time)

    def row(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "secret_name": self.name,
            "secret_type": self.kind,
            "created_at": timestamp(self.created_at),
        }


@frozen(kw_only=True)
class LanguageModel:
    """An OpenAI-compatible endpoint that answers for the avatar (liveavatar §1.8)."""

    id: str = field(factory=new_id)
    display_name: str
    model_name: str
    secret_id: str
    base_url: str | None = None
    created_at: float = field(factory=time.time)
    updated_at: float = field(factory=time.time)

    def summary(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "display_name": self.display_name,
            "model_name": self.model_name,
            "secret_id": self.secret_id,
        }

    def row(self) -> dict[str, Any]:
        return {**self.summary(), "base_url": self.base_url, **_times(self)}


@frozen(kw_only=True)
class VoiceAgent:
    """An agent as the dashboard makes them: a stored persona, or a connector's configuration (liveavatar §1.12)."""

    id: str = field(factory=new_id)
    kind: str
    configuration: Mapping[str, Any]

    def row(self) -> dict[str, Any]:
        return {"id": self.id, "agent_type": self.kind, "agent_configuration": dict(self.configuration)}


class Library:
    """All shelves of the account. ``own_avatars`` and ``own_voices`` are ids that your code asks for."""

    def __init__(self, own_avatars: tuple[str, ...] = (), own_voices: tuple[str, ...] = ()) -> None:
        voices = [Voice(name=own, gender="unknown", public=False, id=own.lower()) for own in own_voices if is_uuid(own)]
        avatars = [Avatar(name=own, voice=_ANN, public=False, id=own.lower()) for own in own_avatars if is_uuid(own)]
        self.voices = Shelf(*_VOICES, *voices)
        self.avatars = Shelf(*_AVATARS, *avatars)
        self.contexts: Shelf[Context] = Shelf()
        self.memories: Shelf[Memory] = Shelf()
        self.secrets: Shelf[Secret] = Shelf()
        self.models: Shelf[LanguageModel] = Shelf()
        self.agents = Shelf(_AGENT)


class _Dated(Protocol):
    @property
    def created_at(self) -> float: ...
    @property
    def updated_at(self) -> float: ...


D = TypeVar("D", Voice, Avatar, Context, LanguageModel)


def changed(item: D, **changes: Any) -> D:
    """The same thing with other contents, updated now."""
    return evolve(item, **changes, updated_at=time.time())


def _times(item: _Dated) -> dict[str, str]:
    return {"created_at": timestamp(item.created_at), "updated_at": timestamp(item.updated_at)}


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: values.get(match[1], match[0]), text)


_VARIABLE = re.compile(r"\$\{([^{}$]{1,64})\}")
_PREVIEW_LENGTH = 200
_SPACE = "5f0c2f0e8e5d4a5b9d3f6a7b8c9d0e1f"
_FOUNDED = 1_760_000_000.0


def _voice(name: str, gender: str, language: str = "en", description: str | None = None) -> Voice:
    # Ids that are the same in every process: a script that names one keeps working.
    identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.voices.simulator"))
    return Voice(
        id=identity,
        name=name,
        gender=gender,
        language=language,
        description=description,
        created_at=_FOUNDED,
        updated_at=_FOUNDED,
    )


def _avatar(name: str, voice: Voice, identity: str = "", *, public: bool = True) -> Avatar:
    identity = identity or str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.avatars.simulator"))
    return Avatar(id=identity, name=name, voice=voice, public=public, created_at=_FOUNDED, updated_at=_FOUNDED)


_ANN = _voice("Ann", "female", description="Warm and clear")
_WAYNE = _voice("Wayne", "male", description="Calm and low")
_VOICES = (
    _ANN,
    _WAYNE,
    _voice("Hanna", "female", "de"),
    _voice("Diego", "male", "es"),
    _voice("Claire", "female", "fr"),
)
_AVATARS = (
    _avatar("Wayne", _WAYNE, SANDBOX_AVATAR),
    _avatar("Ann Therapist", _ANN, SANDBOX_EMBED_AVATAR),
    # What Pipecat's client asks for unless it is told otherwise.
    _avatar("Judy", _ANN, "1c690fe7-23e0-49f9-bfba-14344450285b"),
    _avatar("Shawn Therapist", _WAYNE),
    _avatar("June HR", _ANN),
    _avatar("Simulated Sam", _WAYNE, public=False),
)
_AGENT = VoiceAgent(
    id=STORED_AGENT,
    kind="liveavatar_agent",
    configuration={"voice_id": _ANN.id, "language": "en", "context_id": None},
)
