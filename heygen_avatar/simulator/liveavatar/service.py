"""LiveAvatar as one thing that a server can mount: its stores, its sessions, its doors."""

from __future__ import annotations

from aiohttp import web

from heygen_avatar.simulator.liveavatar.door import Door
from heygen_avatar.simulator.liveavatar.library import Library
from heygen_avatar.simulator.liveavatar.sessions import SOCKET_PATH, SessionCalls
from heygen_avatar.simulator.liveavatar.tokens import Tokens
from heygen_avatar.simulator.studio import Studio


class LiveAvatar:
    """The service on the paths of ``api.liveavatar.com``."""

    def __init__(self, studio: Studio) -> None:
        tokens = Tokens(studio.limits.token_lifetime)
        self._door = Door(studio.account, tokens, studio.limits.liveavatar_calls_per_second)
        library = Library(studio.catalog.own_avatars, studio.catalog.own_voices)
        self._sessions = SessionCalls(studio, library, tokens)

    def routes(self) -> list[web.RouteDef]:
        """What the server mounts."""
        return [
            *(self._door.route(call) for call in self._sessions.calls()),
            web.get(SOCKET_PATH + "/{session_id}", self._sessions.converse),
        ]
