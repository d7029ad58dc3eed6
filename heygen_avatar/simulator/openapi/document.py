"""The simulator's description of itself: an OpenAPI 3.1 document of the routes that it has mounted.

The paths and methods are the router's own; what is said of each is in the tables of the modules beside this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from heygen_avatar.simulator.openapi import grounds, liveavatar, streaming
from heygen_avatar.simulator.openapi.vocabulary import JSON, Access, Call, Schema
from heygen_avatar.version import __version__

DESCRIPTION_PATH = "/simulator/openapi.json"

CALLS: Mapping[str, Mapping[str, Call]] = {
    "HeyGen": streaming.CALLS,
    "LiveAvatar": liveavatar.CALLS,
    "Simulator": grounds.CALLS,
}
"""Every call, as ``"POST /v1/streaming.new"``, under the part of the simulator that it belongs to."""


def describe(router: web.UrlDispatcher) -> dict[str, Any]:
    """The document.

    Raises:
        LookupError: a route has no description.
    """
    known = {name: (part, call) for part, calls in CALLS.items() for name, call in calls.items()}
    paths: dict[str, dict[str, Any]] = {}
    for name in mounted(router):
        part, call = known[name]
        method, path = name.split(" ")
        paths.setdefault(path, {})[method.lower()] = _operation(name, part, call)
    return {
        "openapi": "3.1.0",
        "info": {"title": "HeyGen, simulated", "version": __version__, "description": _INTRODUCTION},
        "tags": [{"name": part} for part in CALLS],
        "paths": paths,
        "components": {"securitySchemes": _CREDENTIALS, "schemas": {**streaming.SCHEMAS, **liveavatar.SCHEMAS}},
    }


def mounted(router: web.UrlDispatcher) -> Iterator[str]:
    """The routes, as ``"GET /v2/voices"``. That GET answers HEAD too goes without saying."""
    for route in router.routes():
        if route.method != "HEAD" and route.resource is not None:
            yield f"{route.method} {route.resource.canonical}"


def _operation(name: str, part: str, call: Call) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "tags": [part],
        "summary": call.summary,
        "operationId": "_".join(re.findall(r"\w+", name)),
        "security": _security(call.access),
        "parameters": [*_path_parameters(name, call), *_query_parameters(call)],
        "responses": {str(status): _answer(status, schema, call.media) for status, schema in call.answers.items()},
    }
    if call.body is not None:
        # No call insists on a body: an empty one reads as an empty object.
        required = bool(call.body.get("required", True))
        operation["requestBody"] = {"required": required, "content": {JSON: {"schema": call.body}}}
    return operation


def _path_parameters(name: str, call: Call) -> list[dict[str, Any]]:
    return [
        {"name": part, "in": "path", "required": True, "schema": call.variable} for part in re.findall(r"{(\w+)}", name)
    ]


def _query_parameters(call: Call) -> list[dict[str, Any]]:
    return [
        {"name": part, "in": "query", "required": part in call.needed, "schema": schema}
        for part, schema in call.query.items()
    ]


def _answer(status: int, schema: Schema | None, media: str) -> dict[str, Any]:
    meaning = _MEANINGS.get(status, "It is done.")
    return (
        {"description": meaning} if schema is None else {"description": meaning, "content": {media: {"schema": schema}}}
    )


def _security(access: Access) -> list[dict[str, list[str]]]:
    return [{name: []} for name in ("key", "token") if name in access]


_INTRODUCTION = (
    "What the simulator answers on the paths of HeyGen's streaming v1, of LiveAvatar, and on its own. Any path takes "
    "OPTIONS, as browsers ask. A path or a method that does not exist is refused with 404 or 405 in the same form as "
    "everything else that fails: JSON with a code and a message."
)
_CREDENTIALS = {
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "The account's key."},
    "token": {"type": "http", "scheme": "bearer", "description": "A session token."},
}
_MEANINGS = {
    101: "The WebSocket is open.",
    400: "The request is wrong, or the session is in no state for it.",
    401: "The credential is missing or wrong.",
    402: "The account cannot pay for it.",
    403: "The account may not.",
    404: "There is no such thing.",
    413: "The body is too long.",
    422: "A field is missing or wrong.",
    429: "Too many calls; Retry-After says when to come again.",
}
