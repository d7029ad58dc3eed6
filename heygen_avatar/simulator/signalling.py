"""One signal websocket of a LiveKit client: requests in, responses out, in order.

``SignalRequest`` and ``SignalResponse``, one protobuf message in each binary frame (livekit/protocol
``livekit_rtc.proto``). What a message means is not known here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import ClientConnectionResetError, WSMsgType, web
from google.protobuf.message import DecodeError
from livekit.protocol import rtc

PING_INTERVAL, PING_TIMEOUT = 5, 15
"""Seconds: how often a client is told to ping, and how long either side waits for the other."""

FLUSH_SECONDS = 1.0
"""How long the last messages to a client, and its farewell, may take."""

log = logging.getLogger(__name__)


class Signal:
    """A websocket that was accepted. Whoever reads :meth:`requests` to their end closes it."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._request = request
        self._socket = socket
        self._outbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._writer = asyncio.create_task(self._write(), name="signal writer")

    @classmethod
    async def accept(cls, request: web.Request) -> Signal:
        socket = web.WebSocketResponse(timeout=FLUSH_SECONDS)
        await socket.prepare(request)
        return cls(request, socket)

    @property
    def response(self) -> web.WebSocketResponse:
        """What aiohttp's handler has to return in the end."""
        return self._socket

    def send(self, **message: Any) -> None:
        """Queue one response, given as the field that it sets. Never blocks; lost if the websocket is."""
        self._outbox.put_nowait(rtc.SignalResponse(**message).SerializeToString())

    async def requests(self) -> AsyncIterator[rtc.SignalRequest]:
        """What the client asks, until its websocket ends or nothing, not even a ping, has come for a while."""
        while True:
            try:
                message = await self._socket.receive(timeout=PING_TIMEOUT)
            except asyncio.TimeoutError:
                log.info("a signal connection was silent for %d s and is given up", PING_TIMEOUT)
                return
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return
            try:
                yield rtc.SignalRequest.FromString(message.data)
            except (DecodeError, TypeError):
                log.warning("a signal message is ignored, it is no SignalRequest: %.80r", message.data)

    async def close(self) -> None:
        """Send what is queued, then say goodbye. Idempotent."""
        self._outbox.put_nowait(None)
        await asyncio.wait([self._writer], timeout=FLUSH_SECONDS)
        self._writer.cancel()
        await asyncio.wait([self._writer])
        await self._socket.close()

    def cut(self) -> None:
        """End it without a word, as a network does."""
        self._writer.cancel()
        if self._request.transport:
            self._request.transport.abort()

    async def _write(self) -> None:
        while (message := await self._outbox.get()) is not None:
            try:
                await self._socket.send_bytes(message)
            except (ClientConnectionResetError, ConnectionError):
                return
