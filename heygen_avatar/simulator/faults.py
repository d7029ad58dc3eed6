"""What may go wrong on demand: the plans, and the faults of the simulator's HTTP answers.

A plan is a list of :class:`Fault`; each names what it strikes, when, and what becomes of it. A test sets it by
``POST /simulator/faults`` or :meth:`Simulator.inject`. Nothing goes wrong unplanned. What befalls sessions and sockets
that are up is carried out in ``accidents.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

from aiohttp import web
from attrs import Attribute, define, field, fields_dict, frozen
from attrs.validators import in_, instance_of

from heygen_avatar.errors import InvalidRequestError
from heygen_avatar.simulator.replies import Handler

CallKind = Literal["status", "delay", "hang", "cut", "malformed", "html", "lost"]
"""What becomes of an HTTP answer."""

SocketKind = Literal["socket_close", "socket_silent", "socket_garbage", "socket_nonsense"]
"""What befalls an open WebSocket."""

SessionKind = Literal[
    "signal_lost",
    "room_restarted",
    "ice_cut",
    "media_stalled",
    "track_unpublished",
    "quality_poor",
    "duplicate_identity",
    "participant_removed",
    "room_deleted",
    "token_expired",
    "server_silent",
    "packet_malformed",
    "packet_huge",
    "packet_unknown",
    "packets_twice",
    "packets_lost",
    "packets_swapped",
]
"""What befalls a running session."""

OrderedKind = Literal["silent_end", "late_connected", "no_speak_events"]
"""What a session, or its LITE socket, is to do wrong from its beginning; the call that makes it is struck."""

Kind = Literal[CallKind, SocketKind, SessionKind, OrderedKind]

CALL_KINDS: tuple[str, ...] = get_args(CallKind)
SOCKET_KINDS: tuple[str, ...] = get_args(SocketKind)
SESSION_KINDS: tuple[str, ...] = get_args(SessionKind)
ORDERED_KINDS: tuple[str, ...] = get_args(OrderedKind)

_Check = Callable[[object, "Attribute[Any]", object], None]


def _seconds(_: object, attribute: Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise ValueError(f"{attribute.name} must be seconds, 0 or more")


def _count(_: object, attribute: Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{attribute.name} must be a whole number, 1 or more")


def _whole(_: object, attribute: Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{attribute.name} must be a whole number")


def _count_or_none_yet(fault: object, attribute: Attribute[Any], value: object) -> None:
    if value != 0 or isinstance(value, bool):
        _count(fault, attribute, value)


def _or_none(check: _Check) -> _Check:
    def check_if_given(fault: object, attribute: Attribute[Any], value: object) -> None:
        if value is not None:
            check(fault, attribute, value)

    return check_if_given


@frozen(kw_only=True)
class Fault:
    """One planned fault.

    Attributes:
        kind: what goes wrong.

            Calls, a WebSocket's handshake among them. ``status``: an error envelope with ``status``, ``code``,
            ``message``. ``delay``: the answer comes ``seconds`` later. ``hang``: no answer, until the plan is cleared
            or ``seconds`` have passed; then the connection is cut. ``cut``: the body breaks off in the middle.
            ``malformed``: JSON that is none. ``html``: a page, as a proxy sends it, with ``status``. ``lost``: the
            connection is cut instead of an answer.

            Open sockets of ``path``, ``seconds`` after their handshake. ``socket_close``: closed with ``code``, or cut
            if that is 0. ``socket_silent``: half open, nothing is read, sent or answered, pings neither.
            ``socket_garbage``: bytes that are no WebSocket frame. ``socket_nonsense``: messages nobody understands.

            Running sessions. ``signal_lost``: the room's signal connection is cut; clients resume. ``room_restarted``:
            clients are told to come again from scratch. ``ice_cut``: the peer connections' network is gone.
            ``media_stalled``: the ``track`` stays published and sends nothing, for ``seconds`` or for good.
            ``track_unpublished``. ``quality_poor``: the client is told that its connection is poor.
            ``duplicate_identity``: it gives way to another of its name. ``participant_removed``. ``room_deleted``: the
            room is, the session behind it goes on. ``token_expired``: the session's tokens and its room's are good no
            more. ``server_silent``: from now on no call is answered and no socket or room of any session says a word.
            ``packet_malformed``, ``packet_huge`` (200 kB), ``packet_unknown`` (an event of no known type): sent beside
            the session's own events. ``packets_twice``, ``packets_swapped``, ``packets_lost``: all its events from now
            on come two times, two and two in the wrong order, or not at all.

            From a session's beginning. ``silent_end``: a session of this call (``streaming.new``, LiveAvatar's start)
            ends without a word at its longest duration. On LiveAvatar's LITE socket: ``late_connected``: ``connected``
            comes ``seconds`` late; ``no_speak_events``: no ``agent.speak_*`` is sent.
        path: which paths it strikes: one, or a pattern with ``*``. Of no meaning for running sessions.
        method: which method, or any.
        session: the id of the session that it strikes, by itself or by its sockets; ``*`` for any.
        at: for sessions and sockets, not before the session has lived so many seconds.
        turn: likewise, not before its avatar has got something to say for the nth time.
        nth: the first call, socket or session struck, counted from when the plan was set.
        times: how many are struck; None for all that follow.
        after: the call does its work first; only the answer suffers. A ``lost`` answer to ``streaming.new`` leaves a
            session open that the client knows nothing of. Default: true for ``cut``, ``malformed``, ``lost``,
            ``delay``.
        retry_after: a ``Retry-After`` header, for 429 and 503.
    """

    kind: Kind = field(validator=in_((*CALL_KINDS, *SOCKET_KINDS, *SESSION_KINDS, *ORDERED_KINDS)))
    path: str = field(default="*", validator=instance_of(str))
    method: str = field(default="", validator=instance_of(str))
    session: str = field(default="*", validator=instance_of(str))
    at: float = field(default=0.0, validator=_seconds)
    turn: int = field(default=0, validator=_count_or_none_yet)
    track: Literal["audio", "video", "both"] = field(default="both", validator=in_(("audio", "video", "both")))
    nth: int = field(default=1, validator=_count)
    times: int | None = field(default=1, validator=_or_none(_count))
    after: bool = field(validator=instance_of(bool))
    seconds: float = field(default=0.0, validator=_seconds)
    status: int = field(default=500, validator=[instance_of(int), in_(range(200, 600))])
    code: int = field(default=0, validator=_whole)
    message: str = field(default="", validator=instance_of(str))
    retry_after: float | None = field(default=None, validator=_or_none(_seconds))

    @after.default
    def _after(self) -> bool:
        return self.kind in ("cut", "malformed", "lost", "delay")

    def matches(self, request: web.Request) -> bool:
        return self.method.upper() in ("", request.method) and fnmatchcase(request.path, self.path)


Plan = Fault | Mapping[str, Any] | Iterable[Fault | Mapping[str, Any]]


def read_plan(plan: object) -> list[Fault]:
    """A plan from faults, from their fields, or from the JSON ``{"faults": [...]}``.

    Raises:
        InvalidRequestError: a field is unknown, missing or out of range.
    """
    if isinstance(plan, Fault):
        return [plan]
    if isinstance(plan, Mapping):
        plan = plan.get("faults", [plan])
    if isinstance(plan, (str, bytes, Mapping)) or not isinstance(plan, Iterable):
        raise InvalidRequestError("a fault plan is a fault or a list of faults")
    return [entry if isinstance(entry, Fault) else _read_fault(entry) for entry in plan]


def _read_fault(entry: object) -> Fault:
    known = fields_dict(Fault)
    if not isinstance(entry, Mapping) or not all(name in known for name in entry):
        raise InvalidRequestError(f"a fault has the fields {', '.join(known)}")
    try:
        return Fault(**entry)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"not a fault: {error.args[0]}") from None


@define(eq=False)
class Planned:
    """A fault in force, with what it has seen and struck."""

    fault: Fault
    calls: int = 0
    struck: int = 0

    @property
    def is_used_up(self) -> bool:
        return self.struck == self.fault.times

    def strikes(self) -> bool:
        """Count a call, a socket or a session that the fault is for, and say whether it is one of those that fail."""
        self.calls += 1
        if self.calls < self.fault.nth or self.is_used_up:
            return False
        self.struck += 1
        return True


class Faults:
    """The plan in force, as a middleware of the simulator's application."""

    def __init__(self) -> None:
        self.silent = False
        """No call at all is answered."""
        self.changed = asyncio.Event()
        """Set when the plan is; whoever waits for that clears it."""
        self._plan: list[Planned] = []
        self._cleared = asyncio.Event()

    def add(self, faults: Iterable[Fault]) -> None:
        """Put faults into force beside those that are. Of several that strike one call, the first counts."""
        self._plan += [Planned(fault) for fault in faults]
        self.changed.set()

    def clear(self) -> None:
        """Nothing goes wrong from now on; calls that hang are cut."""
        self._plan = []
        self.silent = False
        self._cleared.set()
        self._cleared = asyncio.Event()
        self.changed.set()

    def planned(self, kinds: Container[str]) -> list[Planned]:
        """The faults of these kinds that may still strike."""
        return [planned for planned in self._plan if planned.fault.kind in kinds and not planned.is_used_up]

    @property
    def planned_at_all(self) -> bool:
        """There is a plan, used up or not."""
        return bool(self._plan)

    def record(self) -> list[dict[str, Any]]:
        """The faults in force, with the calls each has seen and struck."""
        return [
            {"kind": planned.fault.kind, "path": planned.fault.path, "calls": planned.calls, "struck": planned.struck}
            for planned in self._plan
        ]

    def take(self, kind: Kind, request: web.Request) -> Fault | None:
        """The fault of a session's kind that strikes this call, if one does: for who makes the session to obey."""
        matching = [planned for planned in self._plan if planned.fault.kind == kind and planned.fault.matches(request)]
        struck = [planned.fault for planned in matching if planned.strikes()]
        return struck[0] if struck else None

    def middleware(self) -> Any:
        @web.middleware
        async def strike(request: web.Request, handler: Handler) -> web.StreamResponse:
            fault = self._fault_for(request)
            return await handler(request) if fault is None else await self._strike(fault, request, handler)

        return strike

    def _fault_for(self, request: web.Request) -> Fault | None:
        if request.path.startswith("/simulator/"):
            return None  # else a plan for all paths could never be cleared
        if self.silent:
            return _SILENCE
        # Every fault counts every call it matches, also those that another one strikes.
        matching = [
            planned for planned in self._plan if planned.fault.kind in CALL_KINDS and planned.fault.matches(request)
        ]
        struck = [planned.fault for planned in matching if planned.strikes()]
        return struck[0] if struck else None

    async def _strike(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        # A WebSocket's handler does not return before the socket is closed: there, only the handshake can suffer.
        after = fault.after and "upgrade" not in request.headers.get("Connection", "").lower()
        answer = await handler(request) if after else None
        if fault.kind == "hang":
            await self._wait(fault.seconds or None, request)
            return _cut_off(request)
        if fault.seconds > 0:
            await self._wait(fault.seconds, request)
        if fault.kind == "delay":
            return await handler(request) if answer is None else answer
        if fault.kind == "lost":
            return _cut_off(request)
        if fault.kind == "cut":
            return await _half_an_answer(request, answer)
        return _broken_answer(fault)

    async def _wait(self, seconds: float | None, request: web.Request) -> None:
        """Wait out the seconds, but no longer than the plan is in force and the client is there."""
        waiting = asyncio.ensure_future(self._cleared.wait())
        deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
        try:
            while not waiting.done() and request.transport is not None and not request.transport.is_closing():
                left = _GLANCE if deadline is None else deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    return
                await asyncio.wait([waiting], timeout=min(left, _GLANCE))
        finally:
            waiting.cancel()


_SILENCE = Fault(kind="hang", times=None)
_GLANCE = 0.25  # how often a waiting call looks whether its client is still there: aiohttp does not tell


def _cut_off(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # never sent: there is no connection any more


async def _half_an_answer(request: web.Request, answer: web.StreamResponse | None) -> web.StreamResponse:
    body = answer.body if isinstance(answer, web.Response) else None
    whole = body if isinstance(body, bytes) and len(body) > 1 else b'{"code": 100, "message": "success", "data": null}'
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(whole))})
    await response.prepare(request)
    await response.write(whole[: len(whole) // 2])
    if request.transport is not None:
        request.transport.close()  # unlike abort(), this sends what was written
    return response


def _broken_answer(fault: Fault) -> web.Response:
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    if fault.kind == "malformed":
        return web.Response(body=b'{"code": 100, "data": {"session_', content_type="application/json", headers=headers)
    if fault.kind == "html":
        page = f"<html><head><title>{fault.status}</title></head><body>Bad gateway</body></html>"
        return web.Response(text=page, content_type="text/html", status=fault.status, headers=headers)
    body = {"code": fault.code or fault.status, "message": fault.message or "a fault that was asked for"}
    return web.json_response(body, status=fault.status, headers=headers)
