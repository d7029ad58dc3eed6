"""The simulator's own calls, for tests outside its process, and what LiveKit clients ask of its rooms."""

from __future__ import annotations

from collections.abc import Mapping

from heygen_avatar.simulator.faults import CALL_KINDS, ORDERED_KINDS, SESSION_KINDS, SOCKET_KINDS
from heygen_avatar.simulator.openapi.streaming import REFUSAL
from heygen_avatar.simulator.openapi.vocabulary import (
    FLAG,
    NUMBER,
    OBJECT,
    PLAIN,
    TEXT,
    WHOLE,
    Call,
    array,
    choice,
    optional,
    record,
    whole,
)
from heygen_avatar.simulator.sessions import EndReason, State

_KINDS = choice((*CALL_KINDS, *SOCKET_KINDS, *SESSION_KINDS, *ORDERED_KINDS))
_SECONDS = {**NUMBER, "minimum": 0, "exclusiveMaximum": 1e9}
_COUNT = {**WHOLE, "minimum": 1}
_FAULT = {
    "type": "object",
    "properties": {
        "kind": _KINDS,
        "path": TEXT,
        "method": TEXT,
        "session": TEXT,
        "at": _SECONDS,
        "turn": {**WHOLE, "minimum": 0},
        "track": choice(("audio", "video", "both")),
        "nth": _COUNT,
        "times": optional(_COUNT),
        "after": FLAG,
        "seconds": _SECONDS,
        "status": whole(200, 599),
        "code": WHOLE,
        "message": TEXT,
        "retry_after": optional(_SECONDS),
    },
    "required": ["kind"],
    "additionalProperties": False,
}
_SEVERAL = {"type": "object", "properties": {"faults": array(_FAULT)}, "required": ["faults"]}
_IN_FORCE = array(record(kind=_KINDS, path=TEXT, calls=WHOLE, struck=WHOLE))
_SESSION = record(
    session_id=TEXT,
    service=choice(("heygen", "liveavatar")),
    state=choice(State),
    created_at=NUMBER,
    billable_seconds=WHOLE,
    end_reason=optional(choice(EndReason)),
    ignored_messages=WHOLE,
)

CALLS: Mapping[str, Call] = {
    "GET /simulator/sessions": Call(summary="Tell of every session.", answers={200: array(_SESSION)}),
    "GET /simulator/faults": Call(summary="Tell which faults are in force.", answers={200: _IN_FORCE}),
    "POST /simulator/faults": Call(
        summary="Plan faults.",
        body={"anyOf": [_FAULT, array(_FAULT), _SEVERAL]},
        answers={200: _IN_FORCE, 400: REFUSAL, 413: REFUSAL},
    ),
    "DELETE /simulator/faults": Call(summary="Let nothing go wrong any more.", answers={200: _IN_FORCE}),
    "GET /simulator/openapi.json": Call(summary="Describe all of this.", answers={200: OBJECT}),
    "GET /rtc": Call(
        summary="Open a room's signal socket.",
        query={"access_token": TEXT, "reconnect": TEXT, "sid": TEXT, "auto_subscribe": TEXT},
        answers={101: None, 400: REFUSAL, 401: REFUSAL, 404: REFUSAL},
    ),
    "GET /rtc/validate": Call(
        summary="Tell whether a token opens its room.",
        query={"access_token": TEXT},
        answers={200: TEXT, 401: TEXT, 404: TEXT},
        media=PLAIN,
    ),
    "GET /rtc/v1": Call(summary="Not there: clients use two peer connections.", answers={404: TEXT}, media=PLAIN),
    "GET /": Call(summary="Tell that the rooms are there.", answers={200: TEXT}, media=PLAIN),
}
