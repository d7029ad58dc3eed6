"""What Schemathesis does besides its own: it imports this module by the name that schemathesis.toml gives."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable
from typing import Any

import schemathesis

KNOWN: dict[str, dict[str, str]] = json.loads(os.environ.get("FUZZED_IDS", "{}"))
"""Ids of what is there, by the part of the simulator and the name of the field."""

MISSING_OR_INVALID = (40001, 40012)
LOOKED_UP = (
    "streaming avatar not support this voice",
    "knowledge base not found",
    "invalid parameter: knowledge_base_id is not one of",
    "invalid query parameter: token",
    "invalid query parameter: date_",  # not every date-time is in UTC and whole seconds
)
"""What streaming v1 refuses with the code of an invalid parameter though its form is good."""

NOBODY = "00000000-0000-4000-8000-000000000000"
IN_UUIDS = frozenset(
    {
        "session_id",
        "prev_session_id",
        "avatar_id",
        "voice_id",
        "context_id",
        "session_memory_id",
        "llm_configuration_id",
    }
)
"""What LiveAvatar's bodies take in this form alone; a text of another form is wrong on purpose."""

_all_known = frozenset(value for ids in KNOWN.values() for value in ids.values())
_turns = itertools.cycle((True, False))


@schemathesis.hook
def map_case(context: schemathesis.HookContext, case: schemathesis.Case) -> schemathesis.Case:
    """Let every other request name what is there, lest all end at the first look-up."""
    service = case.operation.tags[0]
    known = KNOWN.get(service, {})
    if next(_turns):
        in_uuids = IN_UUIDS if service == "LiveAvatar" else frozenset()
        _replace(case.path_parameters, lambda name, value: known.get(name, value))
        _replace(case.body, lambda name, value: known.get(name, value) if _is_id(value, name in in_uuids) else value)
    return case


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Let no request end what the others name: such ids come from lists, too."""
    if case.method == "DELETE" or case.path.endswith(("stop", "/delete")):
        for fields in (case.path_parameters, case.body):
            _replace(fields, lambda name, value: NOBODY if value in _all_known else value)


def _replace(fields: Any, new: Callable[[str, str], str]) -> None:
    if isinstance(fields, dict):
        for name, value in fields.items():
            if isinstance(value, str):
                fields[name] = new(name, value)
            _replace(value, new)


def _is_id(value: str, as_uuid: bool) -> bool:
    if as_uuid:
        return bool(re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value))
    return bool(value.strip()) and len(value) <= 36


@schemathesis.check
def good_form_is_taken(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """Streaming v1 has one status for all its refusals: its code says whether the form was wrong."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code != 400:
        return
    refusal = response.json()
    if refusal["code"] in MISSING_OR_INVALID and not refusal["message"].startswith(LOOKED_UP):
        raise AssertionError(f"a request as described is refused: {refusal['message']}")
