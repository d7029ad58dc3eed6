"""The words in which a call is described: its fields, its answers, and who may make it (JSON Schema 2020-12).

They only build values; what is described is in the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from attrs import field, frozen

Schema = Mapping[str, Any]

Access = Literal["key", "token", "key or token", "anybody"]
"""Which credential a call wants."""

JSON = "application/json"
PLAIN = "text/plain"


TEXT: Schema = {"type": "string"}
# Spelled out, for each language's \s means something else.
_WHITE_SPACE = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
WORDS: Schema = {"type": "string", "pattern": f"[^{_WHITE_SPACE}]"}
"""A text that says something: not white space alone."""
SOMETHING: Schema = {"type": "string", "minLength": 1}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
NULL: Schema = {"type": "null"}
UUID: Schema = {"type": "string", "format": "uuid"}
MOMENT: Schema = {"type": "string", "format": "date-time"}
OBJECT: Schema = {"type": "object"}


@frozen(kw_only=True)
class Call:
    """One method of one path.

    Attributes:
        summary: what it does, in one sentence.
        access: who may make it.
        variable: what stands where its path has a name in braces.
        query: what may stand in its query.
        needed: those of the query that must.
        body: the JSON that it reads.
        answers: what each status comes with; a WebSocket's ``101`` comes with None.
        media: the type of its answers.
    """

    summary: str
    access: Access = "anybody"
    variable: Schema = SOMETHING
    query: Mapping[str, Schema] = field(factory=dict)
    needed: tuple[str, ...] = ()
    body: Schema | None = None
    answers: Mapping[int, Schema | None]
    media: str = JSON


def words(longest: int) -> Schema:
    """A text that says something in at most so many characters."""
    return {**WORDS, "maxLength": longest}


def whole(low: int, high: int) -> Schema:
    return {**WHOLE, "minimum": low, "maximum": high}


def number(low: float, high: float) -> Schema:
    return {**NUMBER, "minimum": low, "maximum": high}


def choice(values: Iterable[str]) -> Schema:
    return {"type": "string", "enum": list(values)}


def constant(value: str | int) -> Schema:
    return {"const": value}


def named(name: str) -> Schema:
    """One of the document's schemas that have a name."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def optional(schema: Schema) -> Schema:
    """The same, or null."""
    return NULL if schema == NULL else {"anyOf": [schema, NULL]}


def record(**fields: Schema) -> Schema:
    """An object of an answer: these fields, all of them, and no others."""
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def at_times(schema: Schema, **fields: Schema) -> Schema:
    """The same object, which has these fields too at times."""
    return {**schema, "properties": {**schema["properties"], **fields}}


def fields(needed: Mapping[str, Schema] | None = None, /, **more: Schema) -> Schema:
    """An object that is read: the fields it must have, and those that may be null or absent. Others are ignored."""
    needed = needed or {}
    properties = {**needed, **{name: optional(schema) for name, schema in more.items()}}
    return {"type": "object", "properties": properties, "required": list(needed)}
