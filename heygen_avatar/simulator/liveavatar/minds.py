"""What LiveAvatar's avatars know and think with, over HTTP: contexts, memories, secrets, LLM configurations.

Liveavatar §1.5 to §1.8.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from heygen_avatar.simulator.liveavatar.answers import (
    Body,
    foreign,
    invalid,
    is_uuid,
    not_found,
    read_page,
    refusal,
    success,
)
from heygen_avatar.simulator.liveavatar.appearance import Engagement
from heygen_avatar.simulator.liveavatar.door import Call, Visit
from heygen_avatar.simulator.liveavatar.library import (
    Context,
    Episode,
    LanguageModel,
    Library,
    Link,
    Memory,
    Secret,
    changed,
    new_id,
)

SECRET_KINDS = ("OPENAI_API_KEY", "ELEVENLABS_API_KEY", "GEMINI_API_KEY", "CARTESIA_API_KEY", "LLM_API_KEY")
"""The last is in guides, not in the specification (liveavatar §1.7)."""


class ContextCalls:
    """Contexts."""

    def __init__(self, library: Library) -> None:
        self._contexts = library.contexts

    def calls(self) -> list[Call]:
        one = "/v1/contexts/{context_id}"
        return [
            Call(method="GET", path="/v1/contexts", access="key", handler=self._list),
            Call(method="POST", path="/v1/contexts", access="key", handler=self._create),
            Call(method="GET", path=one, access="key", handler=self._get),
            Call(method="PATCH", path=one, access="key", handler=self._update),
            Call(method="DELETE", path=one, access="key", handler=self._delete),
        ]

    async def _list(self, visit: Visit) -> web.Response:
        rows = [context.summary() for context in self._contexts.newest_first()]
        return read_page(visit.request.query).of(rows, visit.request)

    async def _create(self, visit: Visit) -> web.Response:
        return success(self._contexts.put(_read_context(await visit.body())).row())

    async def _get(self, visit: Visit) -> web.Response:
        return success(self._context(visit).row())

    async def _update(self, visit: Visit) -> web.Response:
        context = self._context(visit)
        new = _read_context(await visit.body())  # a full replacement: every field is required again
        whole = changed(context, name=new.name, prompt=new.prompt, opening_text=new.opening_text, links=new.links)
        return success(self._contexts.put(whole).row())

    async def _delete(self, visit: Visit) -> web.Response:
        self._contexts.remove(self._context(visit))
        return success()

    def _context(self, visit: Visit) -> Context:
        identity = visit.part("context_id")
        if not is_uuid(identity):
            raise invalid(["path", "context_id"], "must be a valid UUID", "uuid_parsing")
        context = self._contexts.find(identity)
        if context is None:
            raise not_found("Context", identity)
        return context


def _read_context(body: Body) -> Context:
    if not body.given("opening_text"):
        raise invalid(["body", "opening_text"], "Field required", "missing")
    links = [
        Link(url=link.needed("url"), faq=link.needed("faq"), id=link.uuid("id") or new_id())
        for link in body.items("links")
    ]
    return Context(
        name=body.needed("name"),
        prompt=body.needed("prompt"),
        opening_text=body.text("opening_text") or None,
        links=tuple(links),
    )


class MemoryCalls:
    """Memories of past FULL sessions."""

    def __init__(self, library: Library, engagements: Mapping[str, Engagement]) -> None:
        self._memories = library.memories
        self._engagements = engagements

    def calls(self) -> list[Call]:
        one = "/v1/memory/{memory_id}"
        return [
            Call(method="GET", path="/v1/memory", access="key", handler=self._list),
            Call(method="POST", path="/v1/memory", access="key", handler=self._create),
            Call(method="GET", path=one, access="key", handler=self._get),
            Call(method="DELETE", path=one, access="key", handler=self._delete),
        ]

    def recall(self, prev_session_id: str, session_memory_id: str) -> str:
        """What a session is to remember; a memory is built where there is none yet (liveavatar §1.6).

        Raises:
            Refusal: there is no such session or memory, or they are two different ones.
        """
        named = self._memories.find(session_memory_id)
        if session_memory_id and named is None:
            raise foreign("Memory", session_memory_id)
        former = self._memory_of(prev_session_id) if prev_session_id else None
        if named and former and named.id != former.id:
            raise refusal(400, "memory: prev_session_id and session_memory_id resolve to different memories")
        memory = named or former
        return memory.content if memory else ""

    def _memory_of(self, session_id: str) -> Memory:
        for memory in self._memories.newest_first():
            if any(episode.session_id == session_id for episode in memory.episodes):
                return memory
        return self._build(session_id)

    def _build(self, session_id: str) -> Memory:
        engagement = self._engagements.get(session_id)
        if engagement is None or engagement.order.mode != "FULL":
            raise foreign("FULL mode session", session_id)
        episode = Episode(session_id=session_id, summary=engagement.transcript.summary())
        return self._memories.put(Memory(episodes=(episode,)))

    async def _list(self, visit: Visit) -> web.Response:
        if visit.request.query.get("type", "session") != "session":
            raise invalid(["query", "type"], "must be session")
        rows = [memory.summary() for memory in self._memories.newest_first()]
        return read_page(visit.request.query).of(rows, visit.request)

    async def _create(self, visit: Visit) -> web.Response:
        body = await visit.body()
        body.needed("memory_type")
        body.choice("memory_type", ("session",), "session")
        return success(self._memory_of(body.needed_uuid("session_id")).created_row())

    async def _get(self, visit: Visit) -> web.Response:
        return success(self._memory(visit).row())

    async def _delete(self, visit: Visit) -> web.Response:
        self._memories.remove(self._memory(visit))
        return web.Response(status=204)

    def _memory(self, visit: Visit) -> Memory:
        memory = self._memories.find(visit.part("memory_id"))
        if memory is None:
            raise not_found("Memory", visit.part("memory_id"))
        return memory


class KeyCalls:
    """Secrets, and the LLM configurations that use them."""

    def __init__(self, library: Library) -> None:
        self._secrets = library.secrets
        self._models = library.models

    def calls(self) -> list[Call]:
        models, model = "/v1/llm-configurations", "/v1/llm-configurations/{config_id}"
        return [
            Call(method="GET", path="/v1/secrets", access="key", handler=self._list_secrets),
            Call(method="POST", path="/v1/secrets", access="key", handler=self._create_secret),
            Call(method="DELETE", path="/v1/secrets/{secret_id}", access="key", handler=self._delete_secret),
            Call(method="GET", path=models, access="key", handler=self._list_models),
            Call(method="POST", path=models, access="key", handler=self._create_model),
            Call(method="GET", path=model, access="key", handler=self._get_model),
            Call(method="PATCH", path=model, access="key", handler=self._update_model),
            Call(method="DELETE", path=model, access="key", handler=self._delete_model),
        ]

    async def _list_secrets(self, visit: Visit) -> web.Response:
        return success([secret.row() for secret in self._secrets.newest_first()])

    async def _create_secret(self, visit: Visit) -> web.Response:
        body = await visit.body()
        body.needed("secret_type")
        secret = Secret(
            name=body.short("secret_name", LABEL_LENGTH),
            value=body.needed("secret_value"),
            kind=body.choice("secret_type", SECRET_KINDS, ""),
        )
        self._secrets.put(secret)
        return success({"id": secret.id, "secret_name": secret.name})

    async def _delete_secret(self, visit: Visit) -> web.Response:
        secret = self._secrets.find(visit.part("secret_id"))
        if secret is None:
            raise not_found("Secret", visit.part("secret_id"))
        self._secrets.remove(secret)
        return success()

    async def _list_models(self, visit: Visit) -> web.Response:
        return success([model.summary() for model in self._models.newest_first()])

    async def _create_model(self, visit: Visit) -> web.Response:
        body = await visit.body()
        model = LanguageModel(
            display_name=body.short("display_name", LABEL_LENGTH),
            model_name=body.short("model_name", LABEL_LENGTH),
            secret_id=self._known_secret(body.short("secret_id", ID_LENGTH)),
            base_url=body.text("base_url") or None,
        )
        return success(self._models.put(model).row())

    async def _get_model(self, visit: Visit) -> web.Response:
        return success(self._model(visit).row())

    async def _update_model(self, visit: Visit) -> web.Response:
        model, body = self._model(visit), await visit.body()
        new = changed(
            model,
            display_name=body.short("display_name", LABEL_LENGTH, model.display_name),
            model_name=body.short("model_name", LABEL_LENGTH, model.model_name),
            secret_id=self._known_secret(body.text("secret_id")) if "secret_id" in body else model.secret_id,
            base_url=body.needed("base_url") if "base_url" in body else model.base_url,
        )
        return success(self._models.put(new).row())

    async def _delete_model(self, visit: Visit) -> web.Response:
        self._models.remove(self._model(visit))
        return success()

    def _model(self, visit: Visit) -> LanguageModel:
        model = self._models.find(visit.part("config_id"))
        if model is None:
            raise not_found("LLM configuration", visit.part("config_id"))
        return model

    def _known_secret(self, identity: str) -> str:
        if self._secrets.find(identity) is None:
            raise foreign("Secret", identity)
        return identity


LABEL_LENGTH = 255
ID_LENGTH = 36
