"""What the simulated account can choose from: avatars, voices, and the knowledge bases it has stored."""

from __future__ import annotations

import secrets
from typing import Any

from attrs import evolve, field, frozen

from heygen_avatar.simulator.replies import INVALID_PARAMETER, Refusal

DEFAULT_AVATAR = "default"


@frozen(kw_only=True)
class Avatar:
    """One revision of an avatar, as ``streaming/avatar.list`` tells of it (heygen-streaming-v1 §1.11)."""

    avatar_id: str
    pose_name: str
    created_at: int = 1_720_000_000
    default_voice: str = ""
    status: str = "ACTIVE"

    def row(self) -> dict[str, Any]:
        return {
            "avatar_id": self.avatar_id,
            "created_at": self.created_at,
            "default_voice": self.default_voice,
            "is_public": self.avatar_id.endswith("_public"),
            "normal_preview": "",
            "pose_name": self.pose_name,
            "status": self.status,
        }


@frozen(kw_only=True)
class CatalogVoice:
    """A voice, as ``/v2/voices`` tells of it (heygen-streaming-v1 §1.13)."""

    voice_id: str
    name: str
    language: str = "English"
    gender: str
    support_interactive_avatar: bool = True

    def row(self) -> dict[str, Any]:
        return {
            "voice_id": self.voice_id,
            "name": self.name,
            "language": self.language,
            "gender": self.gender,
            "preview_audio": "",
            "support_pause": True,
            "emotion_support": True,
            "support_interactive_avatar": self.support_interactive_avatar,
        }


_ANN = CatalogVoice(voice_id="7194df66d861492fb6cc379e99905d22", name="Ann", gender="female")
_WAYNE = CatalogVoice(voice_id="b139a8ff59514ac8aa200ff8f98eb1a4", name="Wayne", gender="male")
_VOICES = (
    _ANN,
    _WAYNE,
    CatalogVoice(voice_id="20af42a44ad44b89b4f63e7a0a2c8b5e", name="Hanna", gender="female", language="German"),
    CatalogVoice(voice_id="4e8fa2c97c3f4c0f9e6c8f0b7c5d1a23", name="Diego", gender="male", language="Spanish"),
    CatalogVoice(
        voice_id="0f1d6b5e2b7a4c3d8e9fa0b1c2d3e4f5", name="Narrator", gender="male", support_interactive_avatar=False
    ),
)

# The ids are those that HeyGen's own demo and public clients use, so that their code runs unchanged.
_AVATARS = (
    Avatar(avatar_id="Ann_Therapist_public", pose_name="Ann Therapist", default_voice=_ANN.voice_id),
    Avatar(avatar_id="Shawn_Therapist_public", pose_name="Shawn Therapist", default_voice=_WAYNE.voice_id),
    Avatar(avatar_id="Bryan_FitnessCoach_public", pose_name="Bryan Fitness Coach", default_voice=_WAYNE.voice_id),
    Avatar(avatar_id="Dexter_Doctor_Standing2_public", pose_name="Dexter Doctor", default_voice=_WAYNE.voice_id),
    Avatar(avatar_id="Elenora_IT_Sitting_public", pose_name="Elenora IT", default_voice=_ANN.voice_id),
    Avatar(avatar_id="June_HR_public", pose_name="June HR", default_voice=_ANN.voice_id),
    # The real list has a row for each revision of an avatar.
    Avatar(avatar_id="Wayne_20240711", pose_name="Wayne", default_voice=_WAYNE.voice_id),
    Avatar(avatar_id="Wayne_20240711", pose_name="Wayne", default_voice=_WAYNE.voice_id, created_at=1_740_000_000),
    Avatar(
        avatar_id="Tyler-incasualsuit-20220721",
        pose_name="Tyler in Casual Suit",
        default_voice=_WAYNE.voice_id,
        created_at=1_658_000_000,
        status="INACTIVE",
    ),
)


@frozen(kw_only=True)
class KnowledgeBase:
    """A stored prompt that shapes the answers, with an opening line for the client to use."""

    id: str = field(factory=lambda: secrets.token_hex(16))
    name: str
    opening: str
    prompt: str

    def row(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "opening": self.opening, "prompt": self.prompt}


class Catalog:
    """The account's choice. ``avatar_ids`` and ``voice_ids`` are those of your own account that your code asks for."""

    def __init__(self, avatar_ids: tuple[str, ...] = (), voice_ids: tuple[str, ...] = ()) -> None:
        own_avatars = (Avatar(avatar_id=own, pose_name=own, default_voice=_ANN.voice_id) for own in avatar_ids)
        own_voices = (CatalogVoice(voice_id=own, name=own, gender="unknown") for own in voice_ids)
        self.own_avatars, self.own_voices = avatar_ids, voice_ids
        self.avatars = (*_AVATARS, *own_avatars)
        self.voices = {voice.voice_id: voice for voice in (*_VOICES, *own_voices)}
        self._knowledge: dict[str, KnowledgeBase] = {}

    def avatar(self, avatar_id: str) -> Avatar:
        """The newest revision of an avatar that may be used, or a refusal in the words users have reported."""
        if avatar_id == DEFAULT_AVATAR:
            return self.avatars[0]
        revisions = [avatar for avatar in self.avatars if avatar.avatar_id == avatar_id]
        if not revisions:
            raise Refusal(400, 10013, "avatar not found")
        newest = max(revisions, key=lambda avatar: avatar.created_at)
        if newest.status != "ACTIVE":
            message = "avatar version is deprecated, please update to v3+"
            raise Refusal(400, 10003, message, details="invalid avatar")
        return newest

    def voice(self, voice_id: str) -> CatalogVoice:
        """A voice that can be streamed, or a refusal in the words users have reported."""
        voice = self.voices.get(voice_id)
        if voice is None or not voice.support_interactive_avatar:
            raise Refusal(400, INVALID_PARAMETER, "streaming avatar not support this voice", details=voice_id)
        return voice

    def knowledge_bases(self) -> list[KnowledgeBase]:
        return list(self._knowledge.values())

    def knowledge_base(self, knowledge_id: str) -> KnowledgeBase | None:
        return self._knowledge.get(knowledge_id)

    def add_knowledge_base(self, *, name: str, opening: str, prompt: str) -> KnowledgeBase:
        knowledge = KnowledgeBase(name=name, opening=opening, prompt=prompt)
        self._knowledge[knowledge.id] = knowledge
        return knowledge

    def change_knowledge_base(self, knowledge: KnowledgeBase, **changes: str) -> KnowledgeBase:
        changed = evolve(knowledge, **changes)
        self._knowledge[knowledge.id] = changed
        return changed

    def remove_knowledge_base(self, knowledge: KnowledgeBase) -> None:
        self._knowledge.pop(knowledge.id, None)
