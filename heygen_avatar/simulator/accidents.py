"""What befalls sessions and sockets that are up: carries out the plans of ``faults.py`` when their moment has come.

It looks at every open session and WebSocket, whichever service they belong to: a session's room bears its id, and a
socket's request names it. It answers no call and plans nothing itself. Everything here runs on the simulator's loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any, Literal, cast

import jwt
from aiohttp import web
from attrs import define, field
from livekit.protocol import models

from heygen_avatar.simulator.accounts import Account
from heygen_avatar.simulator.faults import SESSION_KINDS, SOCKET_KINDS, Fault, Faults, Planned
from heygen_avatar.simulator.sessions import Session, Sessions
from heygen_avatar.simulator.sfu import Sfu, SfuRoom
from heygen_avatar.simulator.tampering import Manner

logger = logging.getLogger(__name__)

HANDSHAKE = 0.01
"""Seconds that a socket's handshake is given to leave, of which nothing tells when it has."""


@define(eq=False)
class _Socket:
    """An open WebSocket of a client's."""

    request: web.Request
    response: web.WebSocketResponse
    opened: float
    session: str
    """The id of the session it belongs to; empty where it names none."""
    silent: bool = field(default=False, init=False)

    @property
    def is_open(self) -> bool:
        return not self.response.closed and self.request.transport is not None

    async def close(self, code: int, message: str) -> None:
        if code:
            await self.response.close(code=code, message=message.encode())
        else:
            self.cut()

    def cut(self) -> None:
        """End it without a word, as a network does."""
        if self.request.transport is not None:
            self.request.transport.abort()

    def fall_silent(self) -> None:
        """Half open: the client's bytes are read no more, and ours, pongs too, never leave."""
        transport = cast(Any, self.request.transport)
        transport.pause_reading()
        transport.write = transport.writelines = lambda data: None
        self.silent = True

    def speak_garbage(self) -> None:
        """Bytes that no WebSocket frame begins with: reserved bits that nobody negotiated (RFC 6455 §5.2)."""
        if self.request.transport is not None:
            cast(Any, self.request.transport).write(b"\xff\xff\xff\xff garbage")

    async def speak_nonsense(self) -> None:
        for message in NONSENSE:
            if isinstance(message, str):
                await self.response.send_str(message)
            else:
                await self.response.send_bytes(message)


NONSENSE: tuple[str | bytes, ...] = ("", "{", "[1, 2]", '"text"', '{"no": "type"}', '{"type": 5}', b"\xff\xfe\x00")
"""Messages that no client of any service understands."""

_DEEP = b"[" * 100_000

HUGE = 200_000
"""Bytes of a packet that is much too large (LiveKit recommends 15 KiB, WebRTC stacks take 256 KiB)."""


class Accidents:
    """Brings about what is planned for sessions and sockets."""

    def __init__(self, faults: Faults, sessions: Sessions, sfu: Sfu, account: Account) -> None:
        self._faults = faults
        self._sessions = sessions
        self._sfu = sfu
        self._account = account
        self._sockets: list[_Socket] = []
        self._mend: list[Callable[[], None]] = []
        self._seen: dict[Planned, set[int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # Whatever a fault may wait for, but for time. The plan's own event serves for all of them.
        self._sessions.on_turn = self._sfu.on_client_ready = self._faults.changed.set
        self._watching = asyncio.create_task(self._watch(), name="simulator accidents")

    async def close(self) -> None:
        """Nothing more happens; what was broken for a time is mended."""
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        self._mend_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def notice(self, request: web.Request, response: web.StreamResponse) -> None:
        """A call is about to be answered (a signal of aiohttp's): if by a WebSocket, remember it."""
        if isinstance(response, web.WebSocketResponse):
            self._sockets = [socket for socket in self._sockets if socket.is_open]
            now = asyncio.get_running_loop().time()
            self._sockets.append(_Socket(request, response, now, _session_of(request)))
            self._faults.changed.set()

    # When

    async def _watch(self) -> None:
        while True:
            self._faults.changed.clear()
            plan = self._faults.planned((*SESSION_KINDS, *SOCKET_KINDS))
            if not plan and not self._faults.planned_at_all:
                self._mend_all()
            self._seen = {planned: self._seen.get(planned, set()) for planned in plan}
            next_in = min((self._look(planned) for planned in plan), default=math.inf)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._faults.changed.wait(), next_in if next_in < math.inf else None)

    def _look(self, planned: Planned) -> float:
        """Bring about what is due now; return the seconds until something may be due by the clock alone."""
        if planned.fault.kind in SOCKET_KINDS:
            return min((self._look_at_socket(planned, socket) for socket in self._sockets), default=math.inf)
        return min((self._look_at_session(planned, session) for session in self._sessions.all()), default=math.inf)

    def _look_at_socket(self, planned: Planned, socket: _Socket) -> float:
        fault = planned.fault
        wanted = socket.is_open and not socket.silent and fault.matches(socket.request)
        if not wanted or id(socket) in self._seen[planned]:
            return math.inf
        session = self._sessions.find(socket.session)
        age = asyncio.get_running_loop().time() - socket.opened
        left = max(max(fault.seconds, HANDSHAKE) - age, 0.0 if session is None else _due_in(fault, session))
        if left > 0.0:
            return left
        self._seen[planned].add(id(socket))
        if planned.strikes():
            self._spawn(self._strike_socket(fault, socket))
        return math.inf

    def _look_at_session(self, planned: Planned, session: Session) -> float:
        fault = planned.fault
        room = self._sfu.room(session.id)
        # Whatever happens to a session happens to somebody: to who is in its room.
        happens = session.is_open and room is not None and room.has_ready_client
        if not happens or id(session) in self._seen[planned]:
            return math.inf
        if (left := _due_in(fault, session)) > 0.0:
            return left
        self._seen[planned].add(id(session))
        if planned.strikes():
            logger.info("session %s suffers %s, as planned", session.id, fault.kind)
            self._spawn(self._strike_session(fault, session))
        return math.inf

    # What

    async def _strike_socket(self, fault: Fault, socket: _Socket) -> None:
        match fault.kind:
            case "socket_close":
                await socket.close(fault.code, fault.message)
            case "socket_silent":
                self._silence(socket)
            case "socket_garbage":
                socket.speak_garbage()
            case "socket_nonsense":
                await socket.speak_nonsense()

    async def _strike_session(self, fault: Fault, session: Session) -> None:
        room = self._sfu.room(session.id)
        if room is None:
            return
        match fault.kind:
            case "media_stalled":
                self._stall(room, fault)
            case "track_unpublished":
                for identity in room.publishers:
                    for kind in _kinds(fault):
                        await room.unpublish(identity, kind)
            case "room_deleted":
                await room.close()
            case "token_expired":
                self._account.expire(session.id)
                self._sfu.expire(session.id)
            case "server_silent":
                self._fall_silent()
            case "packet_malformed" | "packet_huge" | "packet_unknown":
                for payload in _payloads(fault.kind):
                    await room.interject(payload)
            case "packets_twice" | "packets_swapped" | "packets_lost":
                self._tamper(room, _MANNERS[fault.kind])
            case _:
                await self._strike_clients(fault, room)

    async def _strike_clients(self, fault: Fault, room: SfuRoom) -> None:
        for identity in room.clients:
            match fault.kind:
                case "signal_lost":
                    room.drop_signal(identity)
                case "room_restarted":
                    room.demand_reconnect(identity)
                case "ice_cut":
                    await room.cut_ice(identity)
                case "quality_poor":
                    room.degrade(identity, models.POOR)
                case "duplicate_identity":
                    room.supplant(identity)
                case "participant_removed":
                    room.remove(identity)

    def _stall(self, room: SfuRoom, fault: Fault) -> None:
        def pause(paused: bool) -> None:
            for identity in room.publishers:
                room.pause_media(identity, kinds=_kinds(fault), paused=paused)

        pause(True)
        self._mend.append(lambda: pause(False))
        if fault.seconds:
            asyncio.get_running_loop().call_later(fault.seconds, pause, False)

    def _fall_silent(self) -> None:
        self._faults.silent = True
        for socket in self._sockets:
            if socket.is_open:
                self._silence(socket)
        for session in self._sessions.all():
            room = self._sfu.room(session.id)
            if room is not None:
                self._stall(room, Fault(kind="media_stalled"))
                self._tamper(room, "withheld")

    def _tamper(self, room: SfuRoom, manner: Manner) -> None:
        def mend() -> None:
            room.tampering.manner = ""

        room.tampering.manner = manner
        self._mend.append(mend)

    def _silence(self, socket: _Socket) -> None:
        socket.fall_silent()
        self._mend.append(socket.cut)

    def _mend_all(self) -> None:
        mending, self._mend = self._mend, []
        for mend in mending:
            mend()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._struck)

    def _struck(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a planned fault could not be brought about", exc_info=error)


_MANNERS: dict[str, Manner] = {"packets_twice": "twice", "packets_swapped": "swapped", "packets_lost": "withheld"}


def _due_in(fault: Fault, session: Session) -> float:
    """Seconds until the session is old enough; for ever where it waits for something else."""
    if not fnmatchcase(session.id, fault.session) or session.turns < fault.turn:
        return math.inf
    return max(0.0, fault.at - session.seconds)


def _kinds(fault: Fault) -> tuple[Literal["audio", "video"], ...]:
    return ("audio", "video") if fault.track == "both" else (fault.track,)


def _payloads(kind: str) -> list[bytes]:
    """Packets that are out of the ordinary; events name their type by either service's key."""
    if kind == "packet_malformed":
        return [message.encode() if isinstance(message, str) else message for message in NONSENSE] + [_DEEP]
    name = "an_event_of_the_future" if kind == "packet_unknown" else "a_huge_event"
    event = {"type": name, "event_type": name}
    if kind == "packet_huge":
        event["filling"] = "x" * HUGE
    return [json.dumps(event).encode()]


def _session_of(request: web.Request) -> str:
    """The session that a socket's request names: in its query, in its path, or in its room's token."""
    named = request.query.get("session_id") or request.match_info.get("session_id")
    if named:
        return named
    token = request.query.get("access_token") or request.headers.get("Authorization", "").removeprefix("Bearer ")
    try:
        claims = jwt.decode(token, options={"verify_signature": False})  # whoever opened the socket has verified it
        return str(claims["video"]["room"])
    except (jwt.PyJWTError, LookupError, TypeError):
        return ""
