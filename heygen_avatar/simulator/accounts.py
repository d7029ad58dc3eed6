"""The simulated account: its API key and the session tokens made with it. Knows no path and no session's state."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from collections.abc import Mapping

from attrs import define, field

from heygen_avatar.simulator.replies import Refusal


def unauthorized() -> Refusal:
    """What any bad, absent or foreign credential gets (heygen-streaming-v1 §1b)."""
    return Refusal(401, 400112, "Unauthorized")


@define(kw_only=True)
class Token:
    """A session token. ``session_id`` is the one session it may drive, once it belongs to one."""

    value: str = field(repr=False)
    expires: float
    session_id: str = ""


class Account:
    """Who may call."""

    def __init__(self, api_key: str, token_lifetime: float) -> None:
        self._api_key = api_key
        self._token_lifetime = token_lifetime
        self._tokens: dict[str, Token] = {}
        self._expired: set[str] = set()

    def new_token(self, session_id: str = "") -> str:
        """A session token, opaque to clients: base64 of JSON, as published logs show (heygen-streaming-v1 §1.1)."""
        now = time.monotonic()
        self._tokens = {value: token for value, token in self._tokens.items() if token.expires > now}
        content = json.dumps({"token": secrets.token_hex(16), "created_at": int(time.time())})
        value = base64.b64encode(content.encode()).decode()
        self._tokens[value] = Token(value=value, expires=now + self._token_lifetime, session_id=session_id)
        return value

    def expire(self, session_id: str) -> None:
        """The session's tokens, of whichever service it is, are good no more."""
        self._expired.add(session_id)
        for token in self._tokens.values():
            if token.session_id == session_id:
                token.expires = 0.0

    def has_expired(self, session_id: str) -> bool:
        """Whether :meth:`expire` was called for the session."""
        return session_id in self._expired

    def check_key(self, headers: Mapping[str, str]) -> None:
        """Admit the API key only."""
        if not self.is_key(headers):
            raise unauthorized()

    def check_key_or_token(self, headers: Mapping[str, str]) -> Token | None:
        """Admit the API key, which gives None, or a session token."""
        if self.is_key(headers):
            return None
        scheme, _, value = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise unauthorized()
        return self.check_token(value.strip())

    def check_token(self, value: str) -> Token:
        """Admit a session token that has not expired."""
        token = self._tokens.get(value)
        if token is None or token.expires <= time.monotonic():
            raise unauthorized()
        return token

    def is_key(self, headers: Mapping[str, str]) -> bool:
        """Whether the API key is given; how its absence is refused is each service's own."""
        given = headers.get("X-Api-Key", "")
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._api_key.encode())
