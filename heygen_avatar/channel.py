"""One websocket on the media loop: opened, listened to, and opened again within bounds when it is lost.

Carries what it is given and hands up what it hears; knows no message's meaning. Everything here runs on the media loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import parse_qsl, quote, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.protocol import State

from .errors import APIConnectionError, APIError, APITimeoutError, HeyGenError, RateLimitError, SessionClosedError
from .protocols.api_errors import api_error

log = logging.getLogger("heygen_avatar.media")

REOPEN_ATTEMPTS = 6
REOPEN_FIRST_PAUSE = 0.25
REOPEN_LONGEST_PAUSE = 4.0
SETTLED = 10.0
"""Seconds after which an open socket counts as well again: one that is closed sooner has used up an attempt."""

ATTEMPT_TIMEOUT = 10.0
GREETING_TIMEOUT = 20.0
"""Seconds that the other end may take, once the socket is open, to say that it listens, where it says so."""

CLOSE_TIMEOUT = 2.0
PING_INTERVAL = 10.0
PING_TIMEOUT = 20.0
"""Seconds: how often a half-open socket is looked for, and how long a server under load may take to answer."""

MAX_MESSAGE = 2**20

# At DEBUG, websockets logs the request line, and with it the token: what it logs through here is never that.
_library_log = logging.getLogger("heygen_avatar.media.websocket")
_library_log.setLevel(logging.INFO)
_library_log.addFilter(lambda record: record.levelno > logging.DEBUG)


class Channel:
    """A websocket to ``url`` that comes back when it is lost.

    ``hear`` gets each message; ``lost`` and ``found`` tell of an interruption and its end, and ``failed`` that it was
    given up, with the error. The URL may carry a token and is never shown.

    Args:
        greeting: tells the message by which the other end says that it listens; until it has, nothing is sent. It is
            handed up too.
        pings: whether to look for a half-open socket with pings; not where the other end is too slow to answer them.
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
        greeting: Callable[[bytes | str], bool] | None = None,
        pings: bool = True,
    ) -> None:
        self._url = url
        self._name = name
        self._hear, self._lost, self._found, self._failed = hear, lost, found, failed
        self._greeting = greeting
        self._pings = pings
        self._socket: ClientConnection | None = None
        self._open = asyncio.Event()
        self._error: HeyGenError | None = None
        self._closing = False
        self._attempts = 0
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, once.

        Raises:
            APIError: the service refused; AuthenticationError where the token was not good.
            APIConnectionError: it could not be reached.
            SessionClosedError: :meth:`close` came first.
        """
        socket = await self._connect()
        if self._error is not None:  # close() came meanwhile, and had no socket to close
            await _end(socket)
            raise self._error
        self._socket = socket
        self._open.set()
        self._task = asyncio.create_task(self._run(), name=f"{self._name}-listen")

    async def send(self, payload: bytes | str) -> None:
        """Send, waiting for the socket to come back if it is being reopened. The caller's deadline ends the wait.

        Raises:
            APIConnectionError: it broke in the middle, or could not be opened again.
            SessionClosedError: it is closed.
        """
        while True:
            await self._open.wait()
            if self._error is not None:
                raise self._error
            socket = self._socket
            assert socket is not None
            if socket.state is State.OPEN:
                break
            # The reader finds the loss too and clears the flag; until then this keeps the loop from spinning.
            self._open.clear()
        with suppress(ConnectionClosed):
            await socket.send(payload)
            if socket.state is State.OPEN:  # websockets tells not every end that comes while a message drains
                return
        # It was open a moment ago, so some of the message may have left: sending again could say it twice.
        raise APIConnectionError(
            f"the {self._name} broke while a message was being sent; whether it arrived is not known"
        )

    async def move(self, url: str) -> None:
        """Leave for ``url``: as after a loss, but at once. The caller's deadline ends the wait.

        Raises:
            APIError, APIConnectionError: it could not be opened there within the usual attempts, and is given up.
            SessionClosedError: it is closed.
        """
        if self._error is not None:
            raise self._error
        self._url = url
        self._open.clear()
        if self._socket is not None:
            await _end(self._socket)
        await self._open.wait()
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        """Close and stop listening. Bounded, idempotent."""
        self._closing = True
        self._error = self._error or SessionClosedError(f"the {self._name} is closed", reason="stopped here")
        self._open.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CLOSE_TIMEOUT)
        if self._socket is not None:
            await _end(self._socket)

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        while not self._closing:
            opened = clock()
            await self._listen()
            if clock() - opened >= SETTLED:
                self._attempts = 0
            if self._closing or not await self._reopen():
                return

    async def _listen(self) -> None:
        assert self._socket is not None
        with suppress(ConnectionClosed):
            async for message in self._socket:
                self._take_in(message)

    def _take_in(self, message: bytes | str) -> None:
        try:
            self._hear(message)
        except Exception:
            log.exception("%s: a message could not be taken in", self._name)

    async def _reopen(self) -> bool:
        self._open.clear()
        self._lost()
        trouble: HeyGenError = APIConnectionError(f"the {self._name} at {self._place} is closed again and again")
        while self._attempts < REOPEN_ATTEMPTS:
            pause = min(REOPEN_FIRST_PAUSE * 2**self._attempts, REOPEN_LONGEST_PAUSE)
            self._attempts += 1
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            try:
                self._socket = await self._connect()
            except HeyGenError as error:
                log.debug("%s: attempt %d to reopen failed: %s", self._name, self._attempts, error)
                trouble = error
                if _is_final(error):
                    break
            else:
                self._open.set()
                self._found()
                return True
        self._error = trouble
        self._open.set()
        self._failed(trouble)
        return False

    async def _connect(self) -> ClientConnection:
        outcome = await self._attempt()
        if isinstance(outcome, HeyGenError):
            raise outcome
        self._socket = outcome  # from here on close() ends it, and with it the wait for the greeting
        if self._greeting is not None and not await self._greeted(outcome, self._greeting):
            await _end(outcome)
            raise self._error or APITimeoutError(
                f"the {self._name} at {self._place} was opened, but the other end did not say that it listens"
            )
        return outcome

    async def _greeted(self, socket: ClientConnection, greeting: Callable[[bytes | str], bool]) -> bool:
        async def greeted() -> bool:
            async for message in socket:
                self._take_in(message)
                if greeting(message):
                    return True
            return False

        try:
            return await asyncio.wait_for(greeted(), GREETING_TIMEOUT)
        except (asyncio.TimeoutError, ConnectionClosed):
            return False

    async def _attempt(self) -> ClientConnection | HeyGenError:
        """The socket, or the error as a value: raised outside of any ``except``, so that it drags no exception of
        websockets along, which may hold the URL, and with it the token."""
        try:
            return await connect(
                self._url,
                open_timeout=ATTEMPT_TIMEOUT,
                close_timeout=CLOSE_TIMEOUT,
                max_size=MAX_MESSAGE,
                ping_interval=PING_INTERVAL if self._pings else None,
                ping_timeout=PING_TIMEOUT,
                logger=_library_log,
            )
        except InvalidStatus as error:
            return self._refusal(error.response)
        except (TimeoutError, asyncio.TimeoutError):  # two classes before CPython 3.11
            return APITimeoutError(f"the {self._name} at {self._place} could not be opened in time")
        except Exception as error:
            words = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            return APIConnectionError(f"the {self._name} at {self._place} could not be opened: {words}")

    def _refusal(self, response: Response) -> HeyGenError:
        if response.status_code < 400:
            return APIConnectionError(
                f"the {self._name} at {self._place} answered HTTP {response.status_code}: no socket there"
            )
        body = (response.body or b"").decode("utf-8", "replace")
        return api_error(status=response.status_code, text=self._without_token(body), call=self._name)

    def _without_token(self, text: str) -> str:
        for name, value in parse_qsl(urlsplit(self._url).query):
            if "token" in name:
                text = text.replace(value, "[redacted]").replace(quote(value, safe=""), "[redacted]")
        return text

    @property
    def _place(self) -> str:
        return urlsplit(self._url).netloc


def _is_final(error: HeyGenError) -> bool:
    """Whether the service will say the same again: what it refuses, but not what it fails at or asks to wait for."""
    return isinstance(error, APIError) and error.status < 500 and not isinstance(error, RateLimitError)


async def _end(socket: ClientConnection) -> None:
    try:
        await asyncio.wait_for(socket.close(), CLOSE_TIMEOUT)
    except Exception:  # the other end takes nothing any more, so it cannot be told either
        socket.transport.abort()
