"""What only a LiveAvatar account has: secrets, language models, memories, embeds. See :class:`heygen_avatar.Client`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from .checks import Name, member
from .errors import InvalidRequestError
from .records import EmbedRecord, LLMConfigurationRecord, MemoryRecord, SecretRecord
from .resources import Resource, given, path_of

__all__ = ["Embeddings", "LLMConfigurations", "Memories", "SecretType", "Secrets"]


class SecretType(Name):
    """Whose key a secret is."""

    OPENAI_API_KEY = "OPENAI_API_KEY"
    ELEVENLABS_API_KEY = "ELEVENLABS_API_KEY"
    GEMINI_API_KEY = "GEMINI_API_KEY"
    CARTESIA_API_KEY = "CARTESIA_API_KEY"
    LLM_API_KEY = "LLM_API_KEY"


class LiveAvatarResource(Resource):
    """Something that HeyGen's streaming has not."""

    def _check_service(self) -> None:
        self._liveavatar_only(type(self).__name__.lower())


class Secrets(LiveAvatarResource):
    """Keys of other services that LiveAvatar keeps for the account. It never gives them back."""

    def list(self) -> Iterator[SecretRecord]:
        yield from SecretRecord.all_of(self._call("GET", "/v1/secrets"))

    def create(self, name: str, value: str, *, type: SecretType | str) -> SecretRecord:
        """Keep a key; ``name`` of 1 to 255 characters."""
        kind = member(SecretType, "type", type)
        body = {"secret_name": name, "secret_value": value, "secret_type": kind.value}
        made = self._call("POST", "/v1/secrets", body=body)
        return SecretRecord.of({"secret_type": kind.value, **made} if isinstance(made, Mapping) else made)

    def delete(self, secret_id: str) -> None:
        """Delete one. What uses it breaks, without a word."""
        self._call("DELETE", f"/v1/secrets/{path_of(secret_id)}")


class LLMConfigurations(LiveAvatarResource):
    """Language models of one's own, which answer in FULL mode: anything that is compatible with OpenAI's API."""

    def list(self) -> Iterator[LLMConfigurationRecord]:
        yield from LLMConfigurationRecord.all_of(self._call("GET", "/v1/llm-configurations"))

    def get(self, configuration_id: str) -> LLMConfigurationRecord:
        return LLMConfigurationRecord.of(self._call("GET", f"/v1/llm-configurations/{path_of(configuration_id)}"))

    def create(
        self, display_name: str, *, model_name: str, secret_id: str, base_url: str | None = None
    ) -> LLMConfigurationRecord:
        """Make one; without ``base_url`` it is OpenAI's."""
        body = {"display_name": display_name, "model_name": model_name, "secret_id": secret_id, "base_url": base_url}
        return LLMConfigurationRecord.of(self._call("POST", "/v1/llm-configurations", body=given(body)))

    def update(self, configuration_id: str, **changes: str) -> LLMConfigurationRecord:
        """Change display_name, model_name, secret_id, base_url."""
        unknown = sorted(set(changes) - {"display_name", "model_name", "secret_id", "base_url"})
        if unknown:
            raise InvalidRequestError(f"a language model has no {', '.join(unknown)}; nothing was sent")
        path = f"/v1/llm-configurations/{path_of(configuration_id)}"
        return LLMConfigurationRecord.of(self._call("PATCH", path, body=changes))

    def delete(self, configuration_id: str) -> None:
        self._call("DELETE", f"/v1/llm-configurations/{path_of(configuration_id)}")


class Memories(LiveAvatarResource):
    """What avatars remember of past FULL sessions."""

    def list(self) -> Iterator[MemoryRecord]:
        yield from map(MemoryRecord.of, self._pages("/v1/memory"))

    def get(self, memory_id: str) -> MemoryRecord:
        return MemoryRecord.of(self._call("GET", f"/v1/memory/{path_of(memory_id)}"))

    def create(self, session_id: str) -> MemoryRecord:
        """Remember a session that is over."""
        body = {"memory_type": "session", "session_id": session_id}
        return MemoryRecord.of(self._call("POST", "/v1/memory", body=body))

    def delete(self, memory_id: str) -> None:
        self._call("DELETE", f"/v1/memory/{path_of(memory_id)}")


class Embeddings(LiveAvatarResource):
    """Pages with an avatar, to put into one's own."""

    def create(
        self,
        avatar_id: str,
        context_id: str,
        *,
        voice_id: str | None = None,
        type: Literal["DEFAULT", "WIDGET"] = "DEFAULT",
        orientation: Literal["horizontal", "vertical"] = "horizontal",
        default_language: str | None = None,
        max_session_duration: int | None = None,
        sandbox: bool = False,
    ) -> EmbedRecord:
        """Make one. Its sessions cost as FULL ones do; there is no call to list or to delete it."""
        body = {
            "avatar_id": avatar_id,
            "context_id": context_id,
            "voice_id": voice_id,
            "type": type,
            "orientation": orientation,
            "default_language": default_language,
            "max_session_duration": max_session_duration,
            "is_sandbox": sandbox,
        }
        return EmbedRecord.of(self._call("POST", "/v2/embeddings", body=given(body)))
