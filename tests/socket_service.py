"""A real websocket server that does with its connections what a test says."""

from __future__ import annotations

import asyncio
import http
import logging

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

TOKEN = "eyJ0b2tlbiI6+secret/of=the=session"
QUOTED = "eyJ0b2tlbiI6%2Bsecret%2Fof%3Dthe%3Dsession"

QUIET = logging.getLogger("tests.service")
QUIET.disabled = True


class Service:
    """The other end: what it does with a connection is the test's to say."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self.heard: asyncio.Queue[bytes | str] = asyncio.Queue()
        self.refusals: list[tuple[int, str]] = []
        self.requests = 0
        self._server: Server | None = None
        self.port = 0

    async def __aenter__(self) -> Service:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()

    async def open(self) -> None:
        self._server = await serve(
            self._serve, "127.0.0.1", self.port, process_request=self._answer, close_timeout=1, logger=QUIET
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/ws/streaming.chat?session_id=s1&session_token={QUOTED}"

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests += 1
        if not self.refusals:
            return None
        status, body = self.refusals.pop(0) if len(self.refusals) > 1 else self.refusals[0]
        return connection.respond(http.HTTPStatus(status), body)

    async def _serve(self, connection: ServerConnection) -> None:
        await self.connections.put(connection)
        async for message in connection:
            await self.heard.put(message)
