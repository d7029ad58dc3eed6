"""Who may call what, and how often: LiveAvatar's credentials by path, and its limits on the rate of calls."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from aiohttp import web
from attrs import define, frozen

from heygen_avatar.simulator.accounts import Account
from heygen_avatar.simulator.liveavatar.answers import Body, invalid, refusal
from heygen_avatar.simulator.liveavatar.tokens import Tokens
from heygen_avatar.simulator.replies import Refusal, read_json

Access = Literal["key", "token", "key or token", "anybody"]


@frozen(kw_only=True)
class Visit:
    """One call that was let in. ``session_id`` is that of the session token, if one was shown."""

    request: web.Request
    session_id: str

    async def body(self) -> Body:
        """The body, which must be a JSON object; an empty one reads as an empty object."""
        try:
            content = await read_json(self.request)
        except Refusal as refused:
            if refused.status == 413:
                raise refusal(413, str(refused)) from None
            raise invalid(["body"], "JSON decode error", "json_invalid") from None
        if not isinstance(content, dict):
            raise invalid(["body"], "must be a JSON object")
        return Body(content)

    def part(self, name: str) -> str:
        """A variable part of the path."""
        return self.request.match_info[name]


@frozen(kw_only=True)
class Call:
    """One endpoint."""

    method: str
    path: str
    access: Access
    handler: Callable[[Visit], Awaitable[web.Response]]


class Door:
    """Turns calls into routes with a doorkeeper."""

    def __init__(self, account: Account, tokens: Tokens, calls_per_second: int) -> None:
        self._account = account
        self._tokens = tokens
        self._rates = _Rates(calls_per_second)

    def route(self, call: Call) -> web.RouteDef:
        async def answer(request: web.Request) -> web.Response:
            window = self._rates.count(_caller(request), f"{call.method} {call.path}")
            try:
                if window.exceeded:
                    raise refusal(429, "Rate limit exceeded, please retry later")
                response = await call.handler(self._admit(request, call.access))
            except Refusal as refused:
                response = web.json_response(refused.body, status=refused.status)
            response.headers.update(window.headers())
            return response

        # aiohttp's own pattern has no braces; an id with one is as unknown as any other.
        return web.route(call.method, re.sub(r"{(\w+)}", r"{\1:[^/]+}", call.path), answer)

    def _admit(self, request: web.Request, access: Access) -> Visit:
        if access == "anybody" or ("key" in access and self._account.is_key(request.headers)):
            return Visit(request=request, session_id="")
        if "token" in access and ("X-Api-Key" not in request.headers or access == "token"):
            return Visit(request=request, session_id=self._tokens.read(request.headers))
        raise refusal(401, "Unauthorized: a valid API key is needed, as X-API-KEY")


def _caller(request: web.Request) -> str:
    """The credential that is shown, whether good or not, else the address (liveavatar §1.1)."""
    headers = request.headers
    shown = headers.get("X-Api-Key") or headers.get("Authorization")
    return hashlib.sha256(shown.encode(errors="surrogateescape")).hexdigest() if shown else str(request.remote)


@define(kw_only=True)
class _Window:
    """One caller's calls of one endpoint within one second of the clock."""

    second: int
    limit: int
    calls: int = 0

    @property
    def exceeded(self) -> bool:
        return self.calls > self.limit

    def headers(self) -> dict[str, str]:
        left = max(1, math.ceil(self.second + 1 - time.time()))
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(0, self.limit - self.calls)),
            "X-RateLimit-Reset": str(left),
        }
        return {**headers, "Retry-After": str(left)} if self.exceeded else headers


class _Rates:
    """Fixed windows of a second, for each caller and endpoint apart."""

    def __init__(self, calls_per_second: int) -> None:
        self._limit = calls_per_second
        self._windows: dict[tuple[str, str], _Window] = {}

    def count(self, caller: str, endpoint: str) -> _Window:
        second = int(time.time())
        if len(self._windows) > _MANY_WINDOWS:
            self._windows = {key: window for key, window in self._windows.items() if window.second == second}
        window = self._windows.get((caller, endpoint))
        if window is None or window.second != second:
            window = self._windows[caller, endpoint] = _Window(second=second, limit=self._limit)
        window.calls += 1
        return window


_MANY_WINDOWS = 1_000
