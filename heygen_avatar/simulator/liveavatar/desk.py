"""The rest of LiveAvatar's calls: credits, languages, models, embeds, voice agents (liveavatar §1.8 to §1.12)."""

from __future__ import annotations

from aiohttp import web

from heygen_avatar.models import Service
from heygen_avatar.simulator.liveavatar.answers import foreign, invalid, not_found, refusal, success
from heygen_avatar.simulator.liveavatar.door import Call, Visit
from heygen_avatar.simulator.liveavatar.library import SANDBOX_EMBED_AVATAR, Library, new_id
from heygen_avatar.simulator.sessions import Sessions


class DeskCalls:
    """The calls that need a shelf of the library at most."""

    def __init__(self, library: Library, sessions: Sessions) -> None:
        self._library = library
        self._sessions = sessions

    def calls(self) -> list[Call]:
        agent = "/v1/voice_agents/{agent_id}"
        return [
            Call(method="GET", path="/v1/users/credits", access="key", handler=self._credits),
            Call(method="GET", path="/v1/languages", access="anybody", handler=self._languages),
            Call(method="GET", path="/v1/llm-models", access="anybody", handler=self._models),
            Call(method="POST", path="/v2/embeddings", access="key", handler=self._embed),
            Call(method="GET", path=agent, access="key", handler=self._agent),
        ]

    async def _credits(self, visit: Visit) -> web.Response:
        left = self._sessions.credits_left(Service.LIVEAVATAR.value)
        return success({"credits_left": f"{left:.2f}"})

    async def _languages(self, visit: Visit) -> web.Response:
        return success([{"language": name, "code": code} for code, name in _LANGUAGES.items()])

    async def _models(self, visit: Visit) -> web.Response:
        # An object of unknown shape (liveavatar §1.8).
        return success({"models": [{"model_name": name, "provider": "openai"} for name in _MODELS]})

    async def _embed(self, visit: Visit) -> web.Response:
        """Describe an embed. There is no page behind its address here."""
        body = await visit.body()
        avatar_id, context_id = body.needed_uuid("avatar_id"), body.needed_uuid("context_id")
        if self._library.avatars.find(avatar_id) is None:
            raise foreign("Avatar", avatar_id)
        if self._library.contexts.find(context_id) is None:
            raise foreign("Context", context_id)
        voice_id = body.uuid("voice_id")
        if voice_id and self._library.voices.find(voice_id) is None:
            raise foreign("Voice", voice_id)
        if body.flag("is_sandbox") and avatar_id != SANDBOX_EMBED_AVATAR:
            raise refusal(400, f"Avatar with id '{avatar_id}' is not available in sandbox mode")
        body.choice("type", ("DEFAULT", "WIDGET"), "DEFAULT")
        body.whole("max_session_duration", 1, 10**6)
        if len(body.text("default_language")) > LANGUAGE_LENGTH:
            raise invalid(["body", "default_language"], f"must have at most {LANGUAGE_LENGTH} characters")
        orientation = body.choice("orientation", tuple(RATIOS), "horizontal")
        return success(_embed_of(new_id(), orientation))

    async def _agent(self, visit: Visit) -> web.Response:
        agent = self._library.agents.find(visit.part("agent_id"))
        if agent is None:
            raise not_found("Voice agent", visit.part("agent_id"))
        return success(agent.row())


def _embed_of(embed_id: str, orientation: str) -> dict[str, str]:
    url = f"https://embed.liveavatar.com/v1/{embed_id}"
    style = f"aspect-ratio: {RATIOS[orientation]};"
    script = f'<iframe src="{url}" allow="microphone" title="LiveAvatar Embed" style="{style}"></iframe>'
    return {"embed_id": embed_id, "url": url, "script": script, "orientation": orientation}


RATIOS = {"horizontal": "16/9", "vertical": "9/16"}
LANGUAGE_LENGTH = 5
_MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini")
_LANGUAGES = {
    "af": "Afrikaans",
    "ar": "Arabic",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "ca": "Catalan",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "gu": "Gujarati",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "kn": "Kannada",
    "ko": "Korean",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "ml": "Malayalam",
    "mr": "Marathi",
    "ms": "Malay",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sr": "Serbian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
