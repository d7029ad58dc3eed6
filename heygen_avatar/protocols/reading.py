"""Reading what a wire brought, leniently: wrong types become defaults, nonsense becomes :class:`WireError`.

The services' field types are documented loosely and change: an event dropped for an odd number costs more than the
number does.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

from . import WireError


def json_object(message: bytes | str) -> Mapping[str, Any] | None:
    """The JSON object in ``message``; None for other JSON, which is no event.

    Raises:
        WireError: it is not JSON.
    """
    try:
        value = json.loads(message)
    except (ValueError, RecursionError) as error:
        # UnicodeDecodeError is a ValueError; a deep nesting is a RecursionError, and just as little of an event.
        raise WireError(f"not JSON ({type(error).__name__}), {len(message):,} bytes or characters") from None
    return value if isinstance(value, dict) else None


def text(source: Mapping[str, Any], *names: str) -> str:
    """The first of the named fields that holds a text or a number, as text; else an empty text."""
    for name in names:
        value = source.get(name)
        if isinstance(value, str):
            return printable(value)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
            return str(value)
    return ""


def number(source: Mapping[str, Any], name: str) -> float | None:
    """The named field as a finite number, or None."""
    value = source.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        as_float = float(value)
    except (ValueError, OverflowError):
        return None
    return as_float if math.isfinite(as_float) else None


def whole(source: Mapping[str, Any], name: str) -> int:
    """The named field as a whole number, else 0."""
    value = number(source, name)
    return 0 if value is None else int(value)


def required(source: Any, name: str, what: str) -> str:
    """The named field as text.

    Raises:
        WireError: it is missing or empty.
    """
    value = text(source, name) if isinstance(source, Mapping) else ""
    if not value:
        raise WireError(f"{what} has no {name}")
    return value


def jwt_claims(token: str) -> Mapping[str, Any]:
    """What a JSON web token claims, unverified: whoever issued it checks it. Empty where it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        # Without its padding, as tokens have it; Python's decoder ignores too much of it.
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=="))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def optional_text(source: Mapping[str, Any], name: str) -> str | None:
    return text(source, name) or None


def printable(value: str) -> str:
    """``value`` with half a surrogate pair, which JSON may escape but no codec and no print() takes, replaced."""
    if value.isascii():
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
