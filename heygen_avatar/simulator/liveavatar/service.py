"""LiveAvatar as one thing that a server can mount: its library, its sessions, its doors."""

from __future__ import annotations

from aiohttp import web

from heygen_avatar.simulator.liveavatar.appearance import Engagement
from heygen_avatar.simulator.liveavatar.desk import DeskCalls
from heygen_avatar.simulator.liveavatar.door import Door
from heygen_avatar.simulator.liveavatar.gallery import GalleryCalls
from heygen_avatar.simulator.liveavatar.library import Library
from heygen_avatar.simulator.liveavatar.minds import ContextCalls, KeyCalls, MemoryCalls
from heygen_avatar.simulator.liveavatar.orders import OrderDesk
from heygen_avatar.simulator.liveavatar.sessions import SOCKET_PATH, SessionCalls
from heygen_avatar.simulator.liveavatar.tokens import Tokens
from heygen_avatar.simulator.studio import Studio


class LiveAvatar:
    """The service on the paths of ``api.liveavatar.com``."""

    def __init__(self, studio: Studio) -> None:
        tokens = Tokens(studio.account, studio.limits.token_lifetime)
        self._door = Door(studio.account, tokens, studio.limits.liveavatar_calls_per_second)
        library = Library(studio.catalog.own_avatars, studio.catalog.own_voices)
        engagements: dict[str, Engagement] = {}
        memory = MemoryCalls(library, engagements)
        orders = OrderDesk(studio, library, memory.recall)
        self._sessions = SessionCalls(studio, orders, tokens, engagements)
        self._calls = [
            *self._sessions.calls(),
            *GalleryCalls(library, studio.voice, self._sessions.avatar_deleted).calls(),
            *ContextCalls(library).calls(),
            *memory.calls(),
            *KeyCalls(library).calls(),
            *DeskCalls(library, studio.sessions).calls(),
        ]

    def routes(self) -> list[web.RouteDef]:
        """What the server mounts."""
        return [
            *(self._door.route(call) for call in self._calls),
            web.get(SOCKET_PATH + "/{session_id}", self._sessions.converse),
        ]
