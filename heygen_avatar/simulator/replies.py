"""HTTP as HeyGen speaks it: envelopes around data, refusals with the service's codes, bodies read field by field, CORS.

Knows no session and no path. Whatever goes wrong in a handler leaves as JSON, never as a page or a traceback.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Reader = TypeVar("Reader", bound="Fields")

MISSING_PARAMETER = 40001
INVALID_PARAMETER = 40012


class Refusal(Exception):
    """A request is answered with an error: ``{"code": ..., "message": ...}`` and perhaps more keys."""

    def __init__(self, status: int, code: int, message: str, **more: object) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message, **more}


def success(data: object = None, **more: object) -> web.Response:
    """The envelope of ``/v1`` calls (heygen-streaming-v1 §1.0)."""
    return web.json_response({"code": 100, "message": "success", "data": data, **more})


def plain_success(data: object) -> web.Response:
    """The other envelope: ``create_token`` and the ``/v2`` calls (heygen-streaming-v1 §1.0)."""
    return web.json_response({"error": None, "data": data})


class Fields:
    """The fields of a JSON object, read with types and ranges. Null counts as absent; unknown ones are ignored.

    Every reading method raises a :class:`Refusal` that names the field and what it may be.
    """

    def __init__(self, values: Mapping[str, Any], prefix: str = "") -> None:
        self._values = values
        self._prefix = prefix

    def text(self, name: str, default: str = "") -> str:
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self._invalid(name, "a string")
        if not is_text(value):
            raise self._invalid(name, "text that UTF-8 can carry")
        return value

    def needed(self, name: str) -> str:
        value = self.text(name)
        if not value.strip():
            raise self._missing(name)
        return value

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        value = self.text(name, default)
        if value not in allowed:
            raise self._invalid(name, "one of " + ", ".join(sorted(allowed)))
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        value = self._values.get(name)
        if value is None:
            return None
        # NaN, which Python's JSON reads, fails the comparison.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise self._invalid(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def whole(self, name: str, low: int, high: int) -> int | None:
        value = self._values.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high):
            raise self._invalid(name, f"a whole number from {low} to {high}")
        return value

    def flag(self, name: str) -> bool:
        value = self._values.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._invalid(name, "true or false")
        return bool(value)

    def inner(self: Reader, name: str) -> Reader:
        """The fields of the object called ``name``; none if it is absent."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, dict):
            raise self._invalid(name, "an object")
        return type(self)(value or {}, f"{self._prefix}{name}.")

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def _missing(self, name: str) -> Refusal:
        return Refusal(400, MISSING_PARAMETER, f"{self._prefix}{name} is required")

    def _invalid(self, name: str, allowed: str) -> Refusal:
        return Refusal(400, INVALID_PARAMETER, f"invalid parameter: {self._prefix}{name} must be {allowed}")


def is_text(value: object) -> bool:
    """A string without half a UTF-16 pair, which JSON can spell and no encoding can carry on."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


async def read_json(request: web.Request) -> Any:
    """The request's body as JSON; an empty body reads as an empty object."""
    try:
        raw = await request.read()
        content = json.loads(raw, parse_float=_number) if raw.strip() else {}
    except web.HTTPRequestEntityTooLarge:
        raise Refusal(413, 413, "the body is too long") from None
    except (ValueError, RecursionError, web.RequestPayloadError):
        raise Refusal(400, INVALID_PARAMETER, "invalid parameter: the body is not JSON") from None
    if _is_deeper(content, _DEEPEST):
        raise Refusal(400, INVALID_PARAMETER, f"invalid parameter: the body has more than {_DEEPEST} levels")
    return content


def _number(literal: str) -> int | float:
    """JSON has one kind of number: 30.0 is as whole as 30."""
    value = float(literal)
    return int(value) if value.is_integer() else value


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in inner)


async def read_fields(request: web.Request) -> Fields:
    """The request's body, which must be a JSON object."""
    body = await read_json(request)
    if not isinstance(body, dict):
        raise Refusal(400, INVALID_PARAMETER, "invalid parameter: the body must be a JSON object")
    return Fields(body)


@web.middleware
async def answer_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refusals, unknown paths, wrong methods and our own failures all leave as an error envelope."""
    if request.method == "OPTIONS":
        # Browsers ask first for any path with our headers, and expect no authorization of that question.
        return web.Response(status=204)
    try:
        return await handler(request)
    except Refusal as refusal:
        return web.json_response(refusal.body, status=refusal.status)
    except web.HTTPException as error:
        # No published page gives codes for these; the status serves as the code.
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return web.json_response({"code": error.status, "message": error.reason}, status=error.status, headers=headers)
    except ConnectionResetError:
        raise
    except Exception:
        logger.exception("%s %s failed", request.method, request.path)
        return web.json_response({"code": 500, "message": "the simulator failed; see its log"}, status=500)


async def allow_browsers(request: web.Request, response: web.StreamResponse) -> None:
    """Let pages of any origin call us and read what we answer: the official clients run in browsers."""
    headers = response.headers
    # LiveAvatar's web SDK asks with credentials, and then browsers take no "*" for an answer.
    headers["Access-Control-Allow-Origin"] = request.headers.get("Origin", "*")
    headers["Access-Control-Allow-Credentials"] = "true"
    headers["Access-Control-Expose-Headers"] = _READABLE
    headers["Vary"] = "Origin"
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
        wanted = request.headers.get("Access-Control-Request-Headers")
        headers["Access-Control-Allow-Headers"] = wanted or "authorization, content-type, x-api-key"
        headers["Access-Control-Max-Age"] = "600"
        # A page from a public address may reach a loopback one only with this (Private Network Access).
        headers["Access-Control-Allow-Private-Network"] = "true"


class _NoHttp(logging.Filter):
    """What is no HTTP is its sender's mistake, and aiohttp's traceback of it would show the headers, keys and all."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, (HttpProcessingError, web.RequestPayloadError)):
            return True
        logger.info("a client sent what is no HTTP: %s", type(error).__name__)
        return False


server_logger = logging.getLogger(f"{__name__}.server")
"""Where aiohttp's server logs."""
server_logger.addFilter(_NoHttp())

_DEEPEST = 100  # what can just be read, at a thousand levels, could not be written or shown any more
_READABLE = "Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"
