"""LiveAvatar's session calls: tokens, start, stop, keep-alive, lists, transcripts (liveavatar §1.2)."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, MutableMapping
from typing import Any

from aiohttp import web

from heygen_avatar.models import Service
from heygen_avatar.simulator.faults import Fault
from heygen_avatar.simulator.liveavatar.answers import (
    Body,
    invalid,
    not_found,
    read_page,
    read_whole,
    refusal,
    success,
    timestamp,
)
from heygen_avatar.simulator.liveavatar.appearance import (
    BACKEND_IDENTITY,
    CLIENT_IDENTITY,
    END_REASONS,
    Appearance,
    Engagement,
    watch_credits,
)
from heygen_avatar.simulator.liveavatar.door import Call, Visit
from heygen_avatar.simulator.liveavatar.full import FullAppearance
from heygen_avatar.simulator.liveavatar.lite import LiteAppearance
from heygen_avatar.simulator.liveavatar.lite_socket import SocketFaults
from heygen_avatar.simulator.liveavatar.orders import Order, OrderDesk
from heygen_avatar.simulator.liveavatar.tokens import Tokens
from heygen_avatar.simulator.livekit import LiveKitStage
from heygen_avatar.simulator.sessions import EndReason, State, Terms
from heygen_avatar.simulator.stage import Stage, StageListener
from heygen_avatar.simulator.studio import Studio

SERVICE = Service.LIVEAVATAR.value

SOCKET_PATH = "/v2-alpha/liveavatar/session"
"""Where the LITE socket is. Clients take it from ``ws_url``; the real one shares streaming v1's path (§4)."""


class SessionCalls:
    """The calls. ``engagements`` gets every session they make, by its id."""

    def __init__(
        self, studio: Studio, desk: OrderDesk, tokens: Tokens, engagements: MutableMapping[str, Engagement]
    ) -> None:
        self._studio = studio
        self._desk = desk
        self._tokens = tokens
        self._engagements = engagements
        self._orders: dict[str, tuple[Order, float]] = {}
        self._appearances: dict[str, Appearance] = {}

    def calls(self) -> list[Call]:
        one = "/v1/sessions/{session_id}"
        return [
            Call(method="POST", path="/v1/sessions/token", access="key", handler=self._token),
            Call(method="POST", path="/v1/sessions/start", access="token", handler=self._start),
            Call(method="POST", path="/v1/sessions/stop", access="key or token", handler=self._stop),
            Call(method="POST", path="/v1/sessions/keep-alive", access="key or token", handler=self._keep_alive),
            Call(method="GET", path="/v1/sessions", access="key", handler=self._list),
            Call(method="GET", path=one, access="key", handler=self._get),
            Call(method="GET", path=f"{one}/transcript", access="key", handler=self._transcript),
            Call(method="DELETE", path=f"{one}/events", access="key", handler=self._delete_events),
        ]

    # Making a session.

    async def _token(self, visit: Visit) -> web.Response:
        body = await visit.body()
        order = self._desk.take(body)
        now = time.monotonic()
        self._orders = {key: entry for key, entry in self._orders.items() if entry[1] > now}
        self._orders[order.session_id] = (order, now + self._studio.limits.token_lifetime)
        token = self._tokens.issue(order.session_id, order.body)
        return success({"session_id": order.session_id, "session_token": token})

    async def _start(self, visit: Visit) -> web.Response:
        order, _ = self._orders.get(visit.session_id, (None, 0.0))
        if visit.session_id in self._engagements:
            raise refusal(400, "Session is already started")  # as users report it (liveavatar §8.9)
        if order is None:
            raise not_found("Session", visit.session_id)
        self._check_account(order)
        appearance = self._open(order, silent_end=self._studio.faults.take("silent_end", visit.request))
        appearance.begin()
        return success(self._connection(appearance), status=201)

    def _check_account(self, order: Order) -> None:
        sessions, limits = self._studio.sessions, self._studio.limits
        if sessions.is_full(SERVICE):
            raise refusal(403, "Session concurrency limit reached")
        escrow = order.credits_per_minute * limits.liveavatar_billed_by / 60
        if sessions.credits_left(SERVICE) < escrow:
            raise refusal(402, "Insufficient credits: a session needs the credits of its first minute")

    def _open(self, order: Order, *, silent_end: Fault | None) -> Appearance:
        studio, limits = self._studio, self._studio.limits
        terms = Terms(
            service=SERVICE,
            duration=math.inf if silent_end else order.duration,
            idle_timeout=limits.liveavatar_idle_timeout,
            no_client_timeout=limits.no_client_timeout,
            abandoned_timeout=limits.liveavatar_abandoned_timeout,
            billed_at_least=limits.liveavatar_billed_by,
            billed_by=limits.liveavatar_billed_by,
            credits_per_minute=order.credits_per_minute,
        )
        session = studio.sessions.open(terms, order.session_id)
        engagement = self._engagements[session.id] = Engagement(order=order, session=session)
        appearance = self._appearances[session.id] = self._cast(engagement)
        session.close_with(self._forget_on_end(session.id))
        watch_credits(studio.sessions, session)
        if silent_end:
            appearance.fall_silent_after(order.duration)
        return appearance

    def _cast(self, engagement: Engagement) -> Appearance:
        def open_stage(listener: StageListener) -> Stage:
            room = engagement.order.room
            if room is not None:
                return LiveKitStage(room.url, room.token, listener)
            return self._studio.rooms.create(engagement.session.id, listener)

        if engagement.order.has_socket:
            return LiteAppearance(engagement, open_stage, self._studio.limits)
        return FullAppearance(engagement, open_stage, self._studio.recogniser, self._studio.hearing)

    def _forget_on_end(self, session_id: str) -> Any:
        async def forget() -> None:
            del self._appearances[session_id]

        return forget

    def _connection(self, appearance: Appearance) -> dict[str, Any]:
        order, stage = appearance.order, appearance.stage
        # Of a room of the client's own there is nothing to tell (liveavatar §1.2).
        ours, longest = order.room is None, order.duration
        return {
            "session_id": order.session_id,
            "livekit_url": stage.url if ours else None,
            "livekit_client_token": stage.token(CLIENT_IDENTITY) if ours else None,
            "livekit_agent_token": stage.token(BACKEND_IDENTITY) if ours and order.has_socket else None,
            "max_session_duration": int(longest) if longest == int(longest) else longest,
            "ws_url": f"{self._studio.sfu.base_url}{SOCKET_PATH}/{order.session_id}" if order.has_socket else None,
        }

    def avatar_deleted(self, avatar_id: str) -> None:
        """End the sessions of an avatar that is no more (liveavatar §2)."""
        for engagement in self._engagements.values():
            if engagement.order.avatar.id == avatar_id:
                engagement.session.end_soon(EndReason.AVATAR_DELETED)

    # Driving a session.

    async def _stop(self, visit: Visit) -> web.Response:
        body = await visit.body()
        reason = body.choice("reason", STOP_REASONS, "UNKNOWN") if visit.request.content_length else "USER_CLOSED"
        session_id = self._named(visit, body)
        if session_id not in self._engagements and self._orders.pop(session_id, None) is not None:
            return success()  # it was never started, and now cannot be
        engagement = self._engagement(session_id)
        if engagement.session.is_open:
            engagement.stop_reason = reason
        await engagement.session.end(EndReason.STOPPED)
        return success()

    async def _keep_alive(self, visit: Visit) -> web.Response:
        session = self._engagement(self._named(visit, await visit.body())).session
        if not session.is_open:
            raise refusal(400, "Session is not active")
        session.touch()
        return success()

    def _named(self, visit: Visit, body: Body) -> str:
        """The session that is meant: the token's, or that of the body, which a key has to name."""
        named = body.uuid("session_id") if visit.session_id else body.needed_uuid("session_id")
        if visit.session_id and named not in ("", visit.session_id):
            raise refusal(401, "Unauthorized: the session token belongs to another session")
        return visit.session_id or named

    def _engagement(self, session_id: str) -> Engagement:
        engagement = self._engagements.get(session_id.lower())
        if engagement is None:
            raise not_found("Session", session_id)
        return engagement

    async def converse(self, request: web.Request) -> web.StreamResponse:
        """The LITE socket: its URL is all that is needed (liveavatar §4)."""
        appearance = self._appearances.get(request.match_info["session_id"])
        if not isinstance(appearance, LiteAppearance) or not appearance.session.is_open:
            raise not_found("Session", request.match_info["session_id"])
        return await appearance.converse(request, SocketFaults.take(self._studio.faults, request))

    # What is told of sessions.

    async def _list(self, visit: Visit) -> web.Response:
        query = visit.request.query
        kind = query.get("type")
        if kind not in ("active", "historic"):
            raise invalid(["query", "type"], "must be one of active, historic")
        rows = [
            _entry(engagement)
            for engagement in reversed(list(self._engagements.values()))
            if engagement.session.is_open == (kind == "active") and _is_wanted(engagement, query)
        ]
        return read_page(query).of(rows, visit.request)

    async def _get(self, visit: Visit) -> web.Response:
        engagement = self._engagements.get(visit.part("session_id").lower())
        return success(_entry(engagement) if engagement else None)

    async def _transcript(self, visit: Visit) -> web.Response:
        engagement, query = self._engagement(visit.part("session_id")), visit.request.query
        start = read_whole(query, "start_timestamp", 0, 10**18, 0)
        end = read_whole(query, "end_timestamp", 0, 10**18, 0) if "end_timestamp" in query else None
        remarks = engagement.transcript.since(start, end)
        active = engagement.session.is_open
        following = remarks[-1].absolute + 1 if remarks else start
        return success(
            {
                "session_active": active,
                "next_timestamp": following if active else None,
                "transcript_data": [remark.row() for remark in remarks],
            }
        )

    async def _delete_events(self, visit: Visit) -> web.Response:
        self._engagement(visit.part("session_id")).transcript.forget()
        return success()


STOP_REASONS = frozenset({*END_REASONS.values(), "UNKNOWN", "USER_DISCONNECTED", "USER_CLOSED", "DISPATCH_FAILED"})


def _entry(engagement: Engagement) -> dict[str, Any]:
    session, order = engagement.session, engagement.order
    end = session.created_at + session.seconds
    entry = {
        "id": session.id,
        "created_at": timestamp(session.created_at),
        "updated_at": timestamp(end),
        "duration": round(session.seconds),
        "source": "API",
        "mode": order.mode,
        "is_sandbox": order.sandbox,
        "credits_consumed": session.credits,
    }
    if session.state in (State.CLOSING, State.CLOSED):
        entry |= {"end_at": timestamp(end), "end_reason": engagement.end_reason}
    return entry


def _is_wanted(engagement: Engagement, query: Mapping[str, str]) -> bool:
    order = engagement.order
    return (
        query.get("avatar_id", order.avatar.id) == order.avatar.id
        and query.get("context_id", order.context_id) == order.context_id
        and "embed_id" not in query  # no session here comes from an embed
    )
