"""What a failed HTTP request means, in words that hold nothing of the request: no URL, no header, no secret."""

from __future__ import annotations

import email.utils
import time
from urllib.parse import urlsplit

import requests
import urllib3.exceptions

__all__ = ["origin", "retry_after", "unreadable", "what_happened"]


def what_happened(error: Exception, *, sent: bool) -> tuple[str, bool]:
    """In words without any of the request's, and whether it is a matter of time."""
    inner = error.args[0] if error.args else None
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "could not be reached in time", True
    if isinstance(error, requests.exceptions.ReadTimeout) or isinstance(inner, urllib3.exceptions.ReadTimeoutError):
        return "did not answer in time", True
    if isinstance(error, requests.exceptions.ProxyError):
        return f"cannot be reached through the proxy: {_cause(error)}", False
    if isinstance(error, requests.exceptions.SSLError):
        return (f"broke the secure connection: {_cause(error)}" if sent else f"is not trusted: {_cause(error)}"), False
    if isinstance(error, requests.exceptions.ConnectionError):
        return (f"closed the connection: {_cause(error)}" if sent else f"cannot be reached: {_cause(error)}"), False
    if sent:
        return f"broke off its answer ({type(error).__name__})", False
    return f"is no usable address ({type(error).__name__})", False


def unreadable(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        return "an empty reply"
    if stripped.startswith("<"):
        return "a web page instead of JSON: a proxy, or a wrong base_path?"
    return "a reply that is not JSON or was cut off"


def origin(location: str) -> str:
    """Scheme and host of an address: the rest may hold what no message should."""
    try:
        parts = urlsplit(location)
        return f"{parts.scheme}://{parts.hostname}" if parts.hostname else "another path"
    except ValueError:
        return "no valid address"


def retry_after(header: str | None) -> float | None:
    """Seconds, from a number or an HTTP date."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), 86_400.0) if seconds == seconds else None


def _cause(error: BaseException) -> str:
    """The system's words from the depth of a requests exception, whose own text would quote the URL."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        current = current.__cause__ or current.__context__
    for deepest in reversed(seen):
        if isinstance(deepest, OSError) and deepest.strerror:
            return deepest.strerror
    return type(seen[-1]).__name__
