"""What an account has, resource by resource, in plain blocking calls: see :class:`heygen_avatar.Client`.

One class for each kind of thing, for both services. What only LiveAvatar has says so when it is asked of HeyGen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from .errors import InvalidRequestError, NotFoundError
from .models import Service
from .protocols import RestCall
from .records import (
    AvatarRecord,
    ContextRecord,
    CreditsRecord,
    LanguageRecord,
    SessionRecord,
    TranscriptPage,
    VoiceRecord,
    sound_of,
)
from .rest import RestClient

__all__ = ["Account", "Avatars", "Contexts", "Method", "Resource", "Sessions", "Voices", "given", "path_of"]

PAGE_SIZE = 100
"""The most that LiveAvatar gives at once (liveavatar §1.1)."""

Method = Literal["GET", "POST", "PATCH", "DELETE"]
K = TypeVar("K", AvatarRecord, VoiceRecord, SessionRecord)


class Resource:
    """How resources ask: with the account's key, and a deadline for each call."""

    def __init__(self, service: Service, rest: RestClient, timeout: float) -> None:
        self._service = service
        self._rest = rest
        self._timeout = timeout

    @property
    def _on_heygen(self) -> bool:
        return self._service is Service.HEYGEN

    def _call(
        self,
        method: Method,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Any:
        self._check_service()
        call = RestCall(
            name=f"{method} {path}",
            method=method,
            path=path,
            body=body,
            params=None if params is None else given(params),
            auth="key",
            # Whatever makes a thing could make it twice.
            repeat="unsent" if method == "POST" else "safe",
        )
        return self._rest.call(call, timeout=self._timeout)

    def _pages(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[Mapping[str, Any]]:
        """The rows of a LiveAvatar listing, page by page as they are asked for."""
        page, seen = 1, 0
        while True:
            data = self._call("GET", path, params={**(params or {}), "page": page, "page_size": PAGE_SIZE})
            rows = _rows(data, "results")
            yield from rows
            seen += len(rows)
            more = isinstance(data, Mapping) and data.get("next")
            if not rows or not more:
                return
            page += 1

    def _check_service(self) -> None:
        """Refuse what the client's service has not."""

    def _liveavatar_only(self, what: str) -> None:
        if self._on_heygen:
            raise InvalidRequestError(
                f"HeyGen's streaming has no {what}, LiveAvatar has: Client(service='liveavatar'); nothing was sent"
            )


class Avatars(Resource):
    """The avatars one may use."""

    def list(self, *, public: bool | None = None) -> Iterator[AvatarRecord]:
        """All, or only the public ones, or only the account's own."""
        if self._on_heygen:
            yield from self._of_heygen(public)
            return
        if public is not False:
            for row in self._pages("/v1/avatars/public"):
                yield AvatarRecord.of({**row, "is_public": True})
        if public is not True:
            yield from map(AvatarRecord.of, self._pages("/v1/avatars"))

    def get(self, avatar_id: str) -> AvatarRecord:
        """
        Raises:
            NotFoundError: there is none of this id.
        """
        if self._on_heygen:
            return _found(self.list(), avatar_id, "avatar")
        return AvatarRecord.of(self._call("GET", f"/v1/avatars/{path_of(avatar_id)}"))

    def update(self, avatar_id: str, *, name: str | None = None, default_voice_id: str | None = None) -> AvatarRecord:
        """Change an avatar of one's own."""
        self._liveavatar_only("call to change an avatar")
        changes = given({"name": name, "default_voice_id": default_voice_id})
        return AvatarRecord.of(self._call("PATCH", f"/v1/avatars/{path_of(avatar_id)}", body=changes))

    def delete(self, avatar_id: str) -> None:
        """Delete an avatar of one's own; its sessions end."""
        self._liveavatar_only("call to delete an avatar")
        self._call("DELETE", f"/v1/avatars/{path_of(avatar_id)}")

    def _of_heygen(self, public: bool | None) -> Iterator[AvatarRecord]:
        """HeyGen lists every revision of an avatar; the newest counts (v1 reference §1.11)."""
        newest: dict[str, AvatarRecord] = {}
        for avatar in AvatarRecord.all_of(self._call("GET", "/v1/streaming/avatar.list")):
            known = newest.get(avatar.id)
            if known is None or _age(known) <= _age(avatar):
                newest[avatar.id] = avatar
        for avatar in newest.values():
            if public is None or avatar.public is public:
                yield avatar


class Voices(Resource):
    """The voices one may use."""

    def list(self, *, public: bool | None = None) -> Iterator[VoiceRecord]:
        """All; on LiveAvatar also only the public ones, or only the account's own."""
        if self._on_heygen:
            if public is not None:
                self._liveavatar_only("word on which voices are public")
            yield from VoiceRecord.all_of(_rows(self._call("GET", "/v2/voices"), "voices"))
            return
        kinds = {None: ("public", "private"), True: ("public",), False: ("private",)}[public]
        for kind in kinds:
            yield from map(VoiceRecord.of, self._pages("/v1/voices", {"voice_type": kind}))

    def get(self, voice_id: str) -> VoiceRecord:
        """
        Raises:
            NotFoundError: there is none of this id.
        """
        if self._on_heygen:
            return _found(self.list(), voice_id, "voice")
        return VoiceRecord.of(self._call("GET", f"/v1/voices/{path_of(voice_id)}"))

    def rename(self, voice_id: str, name: str) -> VoiceRecord:
        """Give a voice of one's own another name, of 1 to 64 characters."""
        self._liveavatar_only("call to rename a voice")
        return VoiceRecord.of(self._call("PATCH", f"/v1/voices/{path_of(voice_id)}", body={"name": name}))

    def delete(self, voice_id: str) -> None:
        """Delete a voice of one's own."""
        self._liveavatar_only("call to delete a voice")
        self._call("DELETE", f"/v1/voices/{path_of(voice_id)}")

    def preview(self, voice_id: str) -> bytes:
        """A sound file with a sample of the voice."""
        self._liveavatar_only("sample of a voice by this call; VoiceRecord.preview_url may have one")
        return sound_of(self._call("GET", f"/v1/voices/{path_of(voice_id)}/preview"))

    def bind(self, provider_voice_id: str, *, secret_id: str, name: str | None = None) -> str:
        """Make a voice of another provider usable, and return its id. Each call makes another; the provider's id is not
        checked."""
        self._liveavatar_only("voices of other providers")
        body = given({"provider_voice_id": provider_voice_id, "secret_id": secret_id, "name": name})
        return VoiceRecord.of(self._call("POST", "/v1/voices/third_party", body=body)).id


class Contexts(Resource):
    """What avatars know and how they behave: LiveAvatar's contexts, HeyGen's knowledge bases."""

    _bases = "/v1/streaming/knowledge_base"

    def list(self) -> Iterator[ContextRecord]:
        if self._on_heygen:
            # Clients were seen to read either shape (v1 reference §1.12).
            yield from ContextRecord.all_of(_rows(self._call("GET", f"{self._bases}/list"), "list"))
            return
        yield from map(ContextRecord.of, self._pages("/v1/contexts"))

    def get(self, context_id: str) -> ContextRecord:
        return ContextRecord.of(self._call("GET", self._one(context_id)))

    def create(
        self, name: str, *, prompt: str, opening: str = "", links: Sequence[Mapping[str, str]] = ()
    ) -> ContextRecord:
        """Make one. ``opening`` is what the avatar says at a session's start; ``links`` have ``url`` and ``faq``."""
        path = f"{self._bases}/create" if self._on_heygen else "/v1/contexts"
        return ContextRecord.of(self._call("POST", path, body=self._content(name, prompt, opening, links)))

    def update(
        self, context_id: str, *, name: str, prompt: str, opening: str = "", links: Sequence[Mapping[str, str]] = ()
    ) -> ContextRecord:
        """Replace all of it: what is not given is empty."""
        method: Method = "POST" if self._on_heygen else "PATCH"
        body = self._content(name, prompt, opening, links)
        return ContextRecord.of(self._call(method, self._one(context_id), body=body))

    def delete(self, context_id: str) -> None:
        if self._on_heygen:
            self._call("POST", f"{self._one(context_id)}/delete")
        else:
            self._call("DELETE", self._one(context_id))

    def _one(self, context_id: str) -> str:
        return f"{self._bases if self._on_heygen else '/v1/contexts'}/{path_of(context_id)}"

    def _content(self, name: str, prompt: str, opening: str, links: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        if self._on_heygen:
            if links:
                self._liveavatar_only("links in a knowledge base")
            return {"name": name, "prompt": prompt, "opening": opening}
        content: dict[str, Any] = {"name": name, "prompt": prompt, "opening_text": opening or None}
        return {**content, "links": [dict(link) for link in links]} if links else content


class Sessions(Resource):
    """The account's sessions, whoever started them."""

    def active(self) -> Iterator[SessionRecord]:
        """Those that run, and cost."""
        if self._on_heygen:
            yield from SessionRecord.all_of(_rows(self._call("GET", "/v1/streaming.list"), "sessions"))
            return
        yield from map(SessionRecord.of, self._pages("/v1/sessions", {"type": "active"}))

    def history(self, *, avatar_id: str | None = None, context_id: str | None = None) -> Iterator[SessionRecord]:
        """Those that are over, the newest first."""
        if self._on_heygen:
            if avatar_id is not None or context_id is not None:
                self._liveavatar_only("history by avatar or context")
            yield from self._history_of_heygen()
            return
        chosen = {"type": "historic", "avatar_id": avatar_id, "context_id": context_id}
        yield from map(SessionRecord.of, self._pages("/v1/sessions", chosen))

    def get(self, session_id: str) -> SessionRecord:
        """
        Raises:
            NotFoundError: there is none of this id.
        """
        if self._on_heygen:
            return _found(self._history_of_heygen(), session_id, "session")
        data = self._call("GET", f"/v1/sessions/{path_of(session_id)}")
        if data is None:  # what the service answers in place of a 404
            raise _unknown(session_id, "session")
        return SessionRecord.of(data)

    def stop(self, session_id: str) -> None:
        """End a session: one that another program left open, say."""
        if self._on_heygen:
            self._call("POST", "/v1/streaming.stop", body={"session_id": session_id})
        else:
            self._call("POST", "/v1/sessions/stop", body={"session_id": session_id, "reason": "USER_CLOSED"})

    def transcript(self, session_id: str, *, start: int | None = None, end: int | None = None) -> TranscriptPage:
        """What was said, from the timestamp ``start`` to ``end``; look again from its ``next_timestamp``."""
        self._liveavatar_only("transcripts; an avatar that runs here has one of its own")
        params = {"start_timestamp": start, "end_timestamp": end}
        return TranscriptPage.of(self._call("GET", f"/v1/sessions/{path_of(session_id)}/transcript", params=params))

    def delete_events(self, session_id: str) -> None:
        """Delete for good what the service keeps of what was said."""
        self._liveavatar_only("stored events")
        self._call("DELETE", f"/v1/sessions/{path_of(session_id)}/events")

    def _history_of_heygen(self) -> Iterator[SessionRecord]:
        page = 1
        while True:
            data = self._call("GET", "/v2/streaming.list", params={"page": page, "page_size": PAGE_SIZE})
            rows = SessionRecord.all_of(_rows(data, "data"))
            yield from rows
            if len(rows) < PAGE_SIZE:
                return
            page += 1


class Account(Resource):
    """What the account has, and what the service speaks."""

    def credits(self) -> CreditsRecord:
        if not self._on_heygen:
            return CreditsRecord.of(self._call("GET", "/v1/users/credits"))
        data = self._call("GET", "/v2/user/remaining_quota")
        quota = CreditsRecord.of(
            {"credits_left": data.get("remaining_quota")} if isinstance(data, Mapping) else {}
        ).left
        return CreditsRecord(left=None if quota is None else quota / 60, raw=data if isinstance(data, Mapping) else {})

    def languages(self) -> Iterator[LanguageRecord]:
        self._liveavatar_only("list of languages; basic codes such as en and ja are taken")
        yield from LanguageRecord.all_of(self._call("GET", "/v1/languages"))


def _rows(data: object, name: str) -> list[Any]:
    """The rows of a listing, which come bare or in an object."""
    rows = data.get(name) if isinstance(data, Mapping) else data
    return rows if isinstance(rows, list) else []


def given(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if value is not None}


def path_of(identity: str) -> str:
    """An id as a part of a path."""
    if not isinstance(identity, str) or not identity.strip():
        raise InvalidRequestError(f"an id is a text that is not empty, not {identity!r}; nothing was sent")
    return quote(identity, safe="")


def _age(avatar: AvatarRecord) -> float:
    return avatar.created_at.timestamp() if avatar.created_at else 0.0


def _found(records: Iterator[K], identity: str, what: str) -> K:
    for record in records:
        if record.id == identity:
            return record
    raise _unknown(identity, what)


def _unknown(identity: str, what: str) -> NotFoundError:
    return NotFoundError(f"this account knows no {what} {identity!r}", status=404)
