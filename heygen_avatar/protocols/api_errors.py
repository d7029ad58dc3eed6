"""What a service's error reply means: both families of codes and bodies, read into the error tree. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import (
    APIError,
    AuthenticationError,
    AvatarNotFoundError,
    BadRequestError,
    ConcurrentSessionLimitError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    SessionNotFoundError,
    SessionStateError,
)
from .reading import printable

__all__ = ["api_error", "is_success"]

LONGEST_BODY = 2_000
LONGEST_MESSAGE = 500
LONGEST_CODE = 64

FIRST_ERROR_CODE = 4000
"""Both services' errors begin here. Success is below: 100 by both specifications, 1000 on LiveAvatar's wire, 0 where
clients of the knowledge bases saw it; other numbers may come, since the official v1 client looks at the status only."""

# v1 reference §1b; 4003 and 4000: liveavatar §1.1.
_BY_CODE: dict[int, type[APIError]] = {
    4003: ConcurrentSessionLimitError,
    10001: SessionStateError,
    10002: SessionStateError,
    10003: SessionStateError,
    10004: SessionStateError,
    10005: SessionStateError,
    10006: SessionNotFoundError,
    10007: ConcurrentSessionLimitError,
    10012: AvatarNotFoundError,
    10013: AvatarNotFoundError,
    10014: SessionStateError,
    10015: QuotaExceededError,
    40009: AuthenticationError,
    40102: AuthenticationError,
    400014: AvatarNotFoundError,
    400112: AuthenticationError,
    400123: RateLimitError,
    400140: RateLimitError,
    400562: PermissionDeniedError,
    400573: PermissionDeniedError,
    400599: PermissionDeniedError,
    400631: PermissionDeniedError,
    401056: AuthenticationError,
    401057: AuthenticationError,
}

# Some codes have two meanings (10003, 400006), some errors come with none: the words decide first.
_BY_WORDS: tuple[tuple[tuple[str, ...], type[APIError]], ...] = (
    (
        ("avatar version", "avatar not found", "avatar not allow", "invalid avatar", "not an interactive avatar"),
        AvatarNotFoundError,
    ),
    (("session state wrong", "not in correct state", "session full", "already started"), SessionStateError),
    (("session not found",), SessionNotFoundError),
    (("concurrent limit", "concurrency limit"), ConcurrentSessionLimitError),
    (("insufficient credit", "not enough credit", "no credits", "quota"), QuotaExceededError),
)

_BY_STATUS: dict[int, type[APIError]] = {
    401: AuthenticationError,
    402: QuotaExceededError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
}

_HINTS: dict[type[APIError], str] = {
    AuthenticationError: (
        "A session token is good for one session and for about an hour, and keys of HeyGen and LiveAvatar are not "
        "interchangeable: use a fresh token, or api_key="
    ),
    AvatarNotFoundError: "See which avatars this account may use in the service's avatar list",
    ConcurrentSessionLimitError: "stop_all() ends the sessions of this process; others end by their idle timeout",
    NotFoundError: "Check the id, and that base_path is that of the service",
    PermissionDeniedError: "Ask the account's administrator, or see what its plan includes",
    QuotaExceededError: "The account has no credits left",
    RateLimitError: "Call less often",
    ServerError: "Try again later; if it goes on, give the service's support the request id",
    SessionNotFoundError: "create_start_avatar() starts a new one",
    SessionStateError: "The session is not connected yet, or is over; create_start_avatar() starts a new one",
}


def is_success(body: Any) -> bool:
    """Whether the body of a 2xx reply says success too: ``{code, message, data}`` or ``{error, data}``."""
    if not isinstance(body, Mapping):
        return True
    if body.get("error"):
        return False
    code = _code(body)
    return not isinstance(code, int) or 0 <= code < FIRST_ERROR_CODE


def api_error(
    *,
    status: int,
    text: str,
    call: str = "",
    request_id: str | None = None,
    retry_after: float | None = None,
    hide: Callable[[str], str] = str,
) -> APIError:
    """The error that a reply of ``status`` and body ``text`` means. Any body gives one.

    ``hide`` takes secrets out of a text that is going to be shown; what the body means is read before.
    """
    body = _json(text)
    code = _code(body)
    words = printable(_message(body) or _first_line(text))
    kind = _kind(status, code, words.lower())
    message = hide(words)[:LONGEST_MESSAGE]
    facts: dict[str, Any] = {
        "status": status,
        "code": hide(code)[:LONGEST_CODE] if isinstance(code, str) else code,
        "response_text": _shown(text, body, hide)[:LONGEST_BODY],
        "request_id": request_id and hide(request_id),
        "retry_after": retry_after,
        "call": call,
        "hint": _HINTS.get(kind, ""),
    }
    if retry_after is not None and kind in (RateLimitError, ServerError):
        facts["hint"] = f"Try again in {retry_after:g} s"
    return kind(message, **facts)


def says_over(error: APIError) -> bool:
    """Whether the service says that the session is over for good (v1 reference §1b: 10004 closing, 10005 closed)."""
    return isinstance(error, SessionNotFoundError) or error.code in (10004, 10005) or "closed" in error.message.lower()


def _kind(status: int, code: int | str | None, words: str) -> type[APIError]:
    if status == 401:
        # Whatever else it names: a stop call that was not let in has not found the session to be over.
        return AuthenticationError
    for phrases, kind in _BY_WORDS if status < 500 else ():  # what failed may speak of anything
        # A 429's quota is one of calls for each second, not of credits.
        if any(phrase in words for phrase in phrases) and not (status == 429 and kind is QuotaExceededError):
            return kind
    if isinstance(code, int) and code in _BY_CODE:
        return _BY_CODE[code]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return ServerError if status >= 500 else BadRequestError


def _shown(text: str, body: Any, hide: Callable[[str], str]) -> str:
    """The body as it came, unless JSON's escapes kept a secret from being seen in it."""
    unescaped = "" if body is None else json.dumps(body, ensure_ascii=False)
    return hide(text) if hide(unescaped) == unescaped else hide(unescaped)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _code(body: Any) -> int | str | None:
    source = body if isinstance(body, Mapping) else {}
    nested = source.get("error")
    for holder in (source, nested if isinstance(nested, Mapping) else {}):
        code = holder.get("code")
        if isinstance(code, str) and code:
            return int(code) if code.isascii() and code.isdigit() and len(code) < 12 else printable(code)
        if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 10**12:
            return code
    return None


def _message(body: Any) -> str:
    """The service's words, wherever this body keeps them."""
    if not isinstance(body, Mapping):
        return ""
    error, data, detail = body.get("error"), body.get("data"), body.get("detail")
    candidates = [
        body.get("message"),
        body.get("msg"),
        error.get("message") if isinstance(error, Mapping) else error,
        _joined(data, "message"),
        _joined(detail, "msg") or detail,
    ]
    found = [candidate for candidate in candidates if isinstance(candidate, str) and candidate.strip()]
    # The list of what is wrong with each field says more than the general sentence above it.
    particular = _joined(data, "message") or _joined(detail, "msg")
    text = ": ".join(dict.fromkeys(part for part in (found[0] if found else "", particular) if part))
    details = body.get("details")
    if isinstance(details, str) and details and details not in text:
        text = f"{text} ({details})" if text else details
    return text


def _joined(entries: Any, name: str) -> str:
    if not isinstance(entries, list):
        return ""
    texts = []
    for entry in entries[:10]:
        if isinstance(entry, Mapping) and isinstance(entry.get(name), str):
            where = entry.get("loc")
            path = [str(part) for part in where if isinstance(part, (str, int))] if isinstance(where, list) else []
            texts.append(".".join(path) + " " + entry[name] if path else entry[name])
    return "; ".join(texts)


def _first_line(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        return "the service gave no reason"
    if stripped.startswith("<"):
        return "the reply is a web page, not the service's: a proxy, or a wrong base_path?"
    return stripped.splitlines()[0]
