"""LiveAvatar's session tokens: JWTs that carry the request they were made with (liveavatar §1.1)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

import jwt

from heygen_avatar.simulator.accounts import Account
from heygen_avatar.simulator.liveavatar.answers import refusal


class Tokens:
    """Makes the tokens, and admits those it made."""

    def __init__(self, account: Account, lifetime: float) -> None:
        self._account = account
        self._lifetime = lifetime
        self._secret = secrets.token_bytes(32)

    def issue(self, session_id: str, start_session_data: Mapping[str, Any]) -> str:
        """A token for one session. Official clients read its mode from ``start_session_data``, without verifying."""
        now = time.time()
        claims = {
            "session_id": session_id,
            "start_session_data": dict(start_session_data),
            "iat": now,
            "exp": now + self._lifetime,
        }
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def read(self, headers: Mapping[str, str]) -> str:
        """The session that the Bearer token of these headers is for."""
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise refusal(401, "Unauthorized: a session token is needed, as Authorization: Bearer <session_token>")
        try:
            claims = jwt.decode(token.strip(), self._secret, algorithms=["HS256"])
        except (jwt.PyJWTError, UnicodeError) as error:  # a header's bytes need not be text
            raise refusal(401, f"Unauthorized: invalid session token ({error})") from None
        session_id = str(claims["session_id"])
        if self._account.has_expired(session_id):
            raise refusal(401, "Unauthorized: invalid session token (Signature has expired)")
        return session_id
