"""One websocket on the media loop: opened, listened to, and opened again within bounds when it is lost.

Carries what it is given and hands up what it hears; knows no message's meaning. Everything here runs on the media loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.protocol import State

from .errors import APIConnectionError, AuthenticationError, HeyGenError, SessionClosedError

log = logging.getLogger("heygen_avatar.media")

REOPEN_ATTEMPTS = 6
REOPEN_FIRST_PAUSE = 0.25
REOPEN_LONGEST_PAUSE = 4.0
ATTEMPT_TIMEOUT = 10.0
CLOSE_TIMEOUT = 2.0
MAX_MESSAGE = 2**20


class Channel:
    """A websocket to ``url`` that comes back when it is lost.

    ``hear`` gets each message; ``lost`` and ``found`` tell of an interruption and its end, and ``failed`` that it was
    given up, with the error. The URL may carry a token and is never shown.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        hear: Callable[[bytes | str], None],
        lost: Callable[[], None],
        found: Callable[[], None],
        failed: Callable[[HeyGenError], None],
    ) -> None:
        self._url = url
        self._name = name
        self._hear, self._lost, self._found, self._failed = hear, lost, found, failed
        self._socket: ClientConnection | None = None
        self._open = asyncio.Event()
        self._error: HeyGenError | None = None
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, or raise what the trouble is in words."""
        self._socket = await self._connect()
        self._open.set()
        self._task = asyncio.create_task(self._run(), name=f"{self._name}-listen")

    async def send(self, payload: bytes | str) -> None:
        """Send, waiting for the socket to come back if it is being reopened. The caller's deadline ends the wait."""
        while True:
            await self._open.wait()
            if self._error is not None:
                raise self._error
            assert self._socket is not None
            if self._socket.state is State.OPEN:
                break
            # The reader finds the loss too and clears the flag; until then this keeps the loop from spinning.
            self._open.clear()
        try:
            await self._socket.send(payload)
        except ConnectionClosed:
            # It was open a moment ago, so some of the message may have left: sending again could say it twice.
            raise APIConnectionError(
                f"the {self._name} broke while a message was being sent; whether it arrived is not known"
            ) from None

    async def close(self) -> None:
        """Close and stop listening. Bounded, idempotent."""
        self._closing = True
        self._error = self._error or SessionClosedError(f"the {self._name} is closed", reason="stopped here")
        self._open.set()
        if self._socket is not None:
            with suppress(Exception):
                await asyncio.wait_for(self._socket.close(), CLOSE_TIMEOUT)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CLOSE_TIMEOUT)

    async def _run(self) -> None:
        while not self._closing:
            await self._listen()
            if self._closing or not await self._reopen():
                return

    async def _listen(self) -> None:
        assert self._socket is not None
        with suppress(ConnectionClosed):
            async for message in self._socket:
                self._hear(message)

    async def _reopen(self) -> bool:
        self._open.clear()
        self._lost()
        pause = REOPEN_FIRST_PAUSE
        for attempt in range(1, REOPEN_ATTEMPTS + 1):
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, REOPEN_LONGEST_PAUSE)
            try:
                self._socket = await self._connect()
            except AuthenticationError as error:
                self._give_up(error)
                return False
            except HeyGenError as error:
                log.debug("%s: attempt %d to reopen failed: %s", self._name, attempt, error)
                if attempt == REOPEN_ATTEMPTS:
                    self._give_up(error)
            else:
                self._open.set()
                self._found()
                return True
        return False

    def _give_up(self, error: HeyGenError) -> None:
        self._error = error
        self._open.set()
        self._failed(error)

    async def _connect(self) -> ClientConnection:
        try:
            return await connect(
                self._url,
                open_timeout=ATTEMPT_TIMEOUT,
                close_timeout=CLOSE_TIMEOUT,
                max_size=MAX_MESSAGE,
                # Pings find a half-open socket; a generous answer time, since servers are slow to pong under load.
                ping_interval=20,
                ping_timeout=40,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            text = error.response.body.decode(errors="replace")[:2000] if error.response.body else ""
            if status in (401, 403):
                raise AuthenticationError(
                    "the token was refused", status=status, response_text=text, call=self._name
                ) from None
            raise APIConnectionError(f"the {self._name} at {self._place} was refused with HTTP {status}") from None
        except (OSError, TimeoutError, WebSocketException) as error:
            # `from None`: websockets' errors may quote the URL, and with it the token.
            raise APIConnectionError(
                f"the {self._name} at {self._place} could not be opened: {type(error).__name__}"
                + (f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else "")
            ) from None

    @property
    def _place(self) -> str:
        return urlsplit(self._url).netloc
