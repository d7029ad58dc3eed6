"""A WebSocket of the simulator's that sends JSON: in order, without blocking who tells, with a proper goodbye.

What the client's frames mean is for whoever made it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import WSMsgType, web


class JsonSocket:
    """One client's socket. ``hear`` gets each text and binary frame; it must not block."""

    def __init__(self, hear: Callable[[str | bytes], None], *, longest: int = 1 << 20) -> None:
        self._hear = hear
        # A closing client has a second to say goodbye; the heartbeat finds out those that vanished.
        self._response = web.WebSocketResponse(timeout=1.0, heartbeat=30.0, max_msg_size=longest)
        self._outbox: asyncio.Queue[str | None] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self._closed_early = False

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        """Serve the socket until either side closes it."""
        await self._response.prepare(request)
        if self._closed_early:
            await self._response.close()
            return self._response
        self._writer = asyncio.create_task(self._write_forever(), name="socket writer")
        try:
            async for message in self._response:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    self._hear(message.data)
        finally:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        return self._response

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message after those before it; lost if the socket is."""
        self._outbox.put_nowait(json.dumps(message))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send what was told, then close."""
        if self._writer is None:
            self._closed_early = True  # before the handshake was answered
            return
        self._outbox.put_nowait(None)
        await asyncio.wait([self._writer], timeout=_FLUSH_SECONDS)
        await self._response.close(code=code, message=reason.encode())

    async def _write_forever(self) -> None:
        while (text := await self._outbox.get()) is not None:
            try:
                await self._response.send_str(text)
            except ConnectionError:
                return  # the reader sees the same and ends the socket


_FLUSH_SECONDS = 1.0
