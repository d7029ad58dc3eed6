"""One client's connection to a LITE session's WebSocket: its states, its frames, how it is closed (liveavatar §4).

What the commands do is in ``lite.py``.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Protocol

from aiohttp import web
from attrs import frozen

from heygen_avatar.simulator.faults import Fault, Faults
from heygen_avatar.simulator.json_socket import JsonSocket
from heygen_avatar.simulator.liveavatar.appearance import new_event_id


class SocketListener(Protocol):
    """The session that the socket belongs to."""

    def on_command(self, command: dict[str, Any]) -> None:
        """A message that is a JSON object."""

    def on_ignored(self) -> None:
        """A message that is dropped in silence."""


@frozen(kw_only=True)
class SocketFaults:
    """What is planned to go wrong with one connection."""

    late: Fault | None
    no_speak_events: Fault | None

    @classmethod
    def take(cls, faults: Faults, request: web.Request) -> SocketFaults:
        return cls(
            late=faults.take("late_connected", request),
            no_speak_events=faults.take("no_speak_events", request),
        )


class LiteSocket:
    """One connection, from ``new`` to ``disconnected``."""

    def __init__(self, listener: SocketListener, planned: SocketFaults, longest: int) -> None:
        self._listener = listener
        self._planned = planned
        self._longest = longest
        # Somewhat longer messages are read, so that they can be answered with an error before the socket closes.
        self._socket = JsonSocket(self._hear, longest=4 * longest)
        self._accepted = asyncio.get_running_loop().time()
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self.connected = False

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        """Serve the connection until either side closes it."""
        self.tell("session.state_updated", None, state="new")
        try:
            return await self._socket.run(request)
        finally:
            self.connected = False
            if self._timer is not None:
                self._timer.cancel()

    def connect(self) -> None:
        """The avatar is there: commands are obeyed from now on, or as late as was planned."""
        late = self._planned.late.seconds if self._planned.late else 0.0
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, self._accepted + late - loop.time()), self._connected)

    def _connected(self) -> None:
        if not self.connected and self._closing is None:
            self.connected = True
            self.tell("session.state_updated", None, state="connected")

    def tell(self, kind: str, source: str | None, **facts: Any) -> None:
        """Send an event in the form that all of them have (liveavatar §4.2)."""
        if self._planned.no_speak_events is not None and kind.startswith("agent.speak_"):
            return
        self._socket.tell({"type": kind, "event_id": new_event_id(), "source_event_id": source, **facts})

    def refuse(self, kind: str, message: str, event_id: str | None) -> None:
        """Send an error, which has a form of its own."""
        self._socket.tell({"type": "error", "error": {"type": kind, "message": message, "event_id": event_id}})

    def warn(self, kind: str, message: str) -> None:
        self._socket.tell({"type": "warning", "warning": {"type": kind, "message": message}})

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection. Idempotent."""
        await asyncio.shield(self.close_soon(code, reason))

    def close_soon(self, code: int, reason: str) -> asyncio.Task[None]:
        """Likewise, from where nobody can wait for it."""
        self.connected = False
        if self._closing is None:
            self._closing = asyncio.create_task(self._socket.close(code, reason), name="closing a LITE socket")
        return self._closing

    def _hear(self, frame: str | bytes) -> None:
        if not self.connected:
            self._listener.on_ignored()  # dropped without an answer (observed, liveavatar §4.1)
            return
        if len(frame) > self._longest:
            self.refuse("invalid_request_error", f"a message may have at most {self._longest} bytes", None)
            self.close_soon(1009, "message too big")
            return
        try:
            command = json.loads(frame)
        except (ValueError, RecursionError):
            command = None
        if isinstance(command, dict):
            self._listener.on_command(command)
        else:
            self.refuse("invalid_request_error", "a message must be a JSON object", None)
