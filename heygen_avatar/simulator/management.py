"""The account's side of HeyGen's API over HTTP: avatars, voices, knowledge bases, quota. The API key only."""

from __future__ import annotations

from aiohttp import web

from heygen_avatar.models import Service
from heygen_avatar.simulator.accounts import Account
from heygen_avatar.simulator.catalog import Catalog, KnowledgeBase
from heygen_avatar.simulator.replies import INVALID_PARAMETER, Refusal, plain_success, read_fields, success
from heygen_avatar.simulator.sessions import Sessions


class Management:
    """The calls that need no session."""

    def __init__(self, account: Account, catalog: Catalog, sessions: Sessions) -> None:
        self._account = account
        self._catalog = catalog
        self._sessions = sessions

    def routes(self) -> list[web.RouteDef]:
        bases = "/v1/streaming/knowledge_base"
        return [
            web.get("/v1/streaming/avatar.list", self._avatars),
            web.get("/v2/voices", self._voices),
            web.get("/v2/user/remaining_quota", self._quota),
            web.get(f"{bases}/list", self._list_bases),
            web.post(f"{bases}/create", self._create_base),
            web.get(f"{bases}/{{id}}", self._get_base),
            web.post(f"{bases}/{{id}}", self._update_base),
            # Clients were seen with either way to delete (heygen-streaming-v1 §1.12).
            web.post(f"{bases}/{{id}}/delete", self._delete_base),
            web.delete(f"{bases}/{{id}}", self._delete_base),
        ]

    async def _avatars(self, request: web.Request) -> web.Response:
        self._account.check_key(request.headers)
        return success([avatar.row() for avatar in self._catalog.avatars])

    async def _voices(self, request: web.Request) -> web.Response:
        self._account.check_key(request.headers)
        return plain_success({"voices": [voice.row() for voice in self._catalog.voices.values()]})

    async def _quota(self, request: web.Request) -> web.Response:
        self._account.check_key(request.headers)
        # Docs of this call: the quota is 60 times the credits.
        quota = int(self._sessions.credits_left(Service.HEYGEN.value) * 60)
        return plain_success({"remaining_quota": quota, "details": {"api": quota}})

    async def _list_bases(self, request: web.Request) -> web.Response:
        self._account.check_key(request.headers)
        return success([base.row() for base in self._catalog.knowledge_bases()])

    async def _create_base(self, request: web.Request) -> web.Response:
        self._account.check_key(request.headers)
        fields = await read_fields(request)
        base = self._catalog.add_knowledge_base(
            name=fields.needed("name"), opening=fields.text("opening"), prompt=fields.text("prompt")
        )
        # Clients read the id under either name (heygen-streaming-v1 §1.12).
        return success({**base.row(), "knowledge_base_id": base.id})

    async def _get_base(self, request: web.Request) -> web.Response:
        return success(self._base(request).row())

    async def _update_base(self, request: web.Request) -> web.Response:
        base = self._base(request)
        fields = await read_fields(request)
        changes = {name: fields.text(name) for name in ("name", "opening", "prompt") if name in fields}
        return success(self._catalog.change_knowledge_base(base, **changes).row())

    async def _delete_base(self, request: web.Request) -> web.Response:
        self._catalog.remove_knowledge_base(self._base(request))
        return success()

    def _base(self, request: web.Request) -> KnowledgeBase:
        self._account.check_key(request.headers)
        base = self._catalog.knowledge_base(request.match_info["id"])
        if base is None:
            raise Refusal(404, INVALID_PARAMETER, "knowledge base not found")
        return base
