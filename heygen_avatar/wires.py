"""A session's room and chat socket, side by side on the media loop: connect, send, leave.

Which messages go where is the connection's to say; what they mean, the protocol's. Every coroutine here runs on the
media loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from .channel import Channel
from .ears import Ears
from .errors import HeyGenError, SessionClosedError, SessionStartError
from .media.room import MediaRoom
from .protocols import Protocol

log = logging.getLogger("heygen_avatar.media")

LONG = 3600.0
"""Seconds that nobody waits: each start has a deadline of its own."""

ATTEMPT_TIMEOUT = 5.0
"""Seconds that one of LiveKit's attempts to connect may take."""


class Wires:
    """Made and used on the media loop only."""

    def __init__(self, session_id: str, ears: Ears, protocol: Protocol) -> None:
        self.room = MediaRoom(ears, avatar_identity=protocol.avatar_identity)
        self._session_id = session_id
        self._ears = ears
        self._protocol = protocol
        self._chat: Channel | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._room_flows = asyncio.Event()
        self._left = asyncio.Event()

    async def connect(self, url: str, token: str, chat_url: str | None) -> None:
        """Join the room and open the chat socket, side by side; raise what went wrong with either.

        Cancelling this only stops watching: LiveKit may answer a cancelled connect by terminating the process, so the
        attempts are tasks of their own, and :meth:`disconnect` makes a room leave as soon as it has arrived.
        """
        chat = self._chat = None if chat_url is None else self._channel(chat_url)
        attempts = [self._task(self.room.connect(url, token, attempt_timeout=ATTEMPT_TIMEOUT), "room")]
        if chat is not None:
            attempts.append(self._task(chat.open(), "chat"))
        left = asyncio.create_task(self._left.wait())
        try:
            await _all_or(left, attempts)
        finally:
            left.cancel()
        if self._left.is_set():
            raise SessionClosedError(
                f"session {self._session_id} was stopped while it was being started", session_id=self._session_id
            )
        for attempt in attempts:
            if attempt.done() and (error := attempt.exception()) is not None:
                if isinstance(error, HeyGenError):
                    raise error
                raise SessionStartError(
                    f"session {self._session_id} could not be connected: {error}", session_id=self._session_id
                )
        self._room_flows.set()

    async def company(self) -> None:
        """Wait for whoever else has to be in the room. The caller's deadline ends the wait."""
        for companion in self._protocol.companions(self._session_id):
            await self.room.wait_for_participant(companion.__eq__, timeout=LONG)

    def _channel(self, url: str) -> Channel:
        greeting = self._protocol.greeting
        return Channel(
            url,
            name=f"chat socket of session {self._session_id}",
            hear=self._ears.hear_chat,
            lost=self._ears.chat_lost,
            found=self._ears.chat_found,
            failed=self._ears.trouble,
            greeting=greeting,
            # LiveAvatar's, which greets, is too slow to answer them under load (its own starter switches them off).
            pings=greeting is None,
        )

    async def send_data(self, payload: bytes, topic: str) -> None:
        """Send a data packet, waiting for the room if it is being reconnected."""
        await self.room_ready()
        await self.room.send_data(payload, topic)

    async def room_ready(self) -> None:
        """Wait while the room is being reconnected."""
        await self._room_flows.wait()
        if self._left.is_set():
            raise SessionClosedError(f"session {self._session_id} has ended", session_id=self._session_id)

    async def send_socket(self, payload: bytes | str) -> None:
        """Send on the chat socket, waiting for it if it is being reopened."""
        if self._chat is None:
            raise SessionClosedError(f"session {self._session_id} has no chat socket", session_id=self._session_id)
        await self._chat.send(payload)

    @property
    def has_chat(self) -> bool:
        """Whether this session has a chat socket."""
        return self._chat is not None

    async def move_chat(self, url: str) -> None:
        """Open the chat socket anew at ``url``, which asks for something else."""
        if self._chat is None:
            raise SessionClosedError(f"session {self._session_id} has no chat socket", session_id=self._session_id)
        await self._chat.move(url)

    def room_flows(self, flows: bool) -> None:
        """The room is connected, or is being reconnected."""
        if flows:
            self._room_flows.set()
        elif not self._left.is_set():
            self._room_flows.clear()

    def gone(self) -> None:
        """The room is left for good: nobody must wait for it."""
        self._left.set()
        self._room_flows.set()

    async def disconnect(self) -> None:
        """Leave both. Bounded by the parts; idempotent."""
        self.gone()
        parts: list[Coroutine[Any, Any, None]] = [self.room.disconnect()]
        if self._chat is not None:
            parts.append(self._chat.close())
        for outcome in await asyncio.gather(*parts, return_exceptions=True):
            if isinstance(outcome, Exception):
                log.debug("session %s: leaving: %s", self._session_id, outcome)

    def _task(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, name=f"heygen-{name}-{self._session_id}")
        self._tasks.add(task)
        task.add_done_callback(_seen(self._tasks))
        return task


def _seen(tasks: set[asyncio.Task[None]]) -> Callable[[asyncio.Task[None]], None]:
    def forget(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen, so that asyncio does not complain of one that came after the caller had left

    return forget


async def _all_or(first: asyncio.Task[Any], attempts: list[asyncio.Task[None]]) -> None:
    """Return when all attempts are done, one has failed, or ``first`` is done."""
    pending: set[asyncio.Task[Any]] = {first, *attempts}
    while not first.done() and not all(attempt.done() for attempt in attempts):
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if any(task.exception() is not None for task in done if not task.cancelled()):
            return
