"""HTTP as LiveAvatar speaks it: envelopes, refusals, pages, bodies and queries read field by field.

It extends what ``simulator/replies.py`` does for HeyGen; it knows no path and no store.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from attrs import frozen

from heygen_avatar.simulator.replies import Fields, Refusal, is_text

SUCCESS = 1000
"""What the service really answers; its OpenAPI description says 100 (liveavatar §1.1)."""


def success(data: object = None, *, status: int = 200, message: str = "Success") -> web.Response:
    """The envelope around every answer (liveavatar §1.1). Pipecat's client insists on a message that is a string."""
    return web.json_response({"code": SUCCESS, "data": data, "message": message}, status=status)


def refusal(status: int, message: str) -> Refusal:
    """An error. Of its codes only 4000 for 400 and 4003 for 403 are known; the others are made likewise."""
    return Refusal(status, 3600 + status, message, data=None)


def not_found(what: str, identity: str) -> Refusal:
    """The refusal of a path that names nothing."""
    return refusal(404, f"{what} with id '{identity}' not found")


def foreign(what: str, identity: str) -> Refusal:
    """The refusal of a body that names what the account does not have, in words seen on the wire (liveavatar §1.1)."""
    return refusal(400, f"{what} with id '{identity}' not found in your space")


def invalid(location: Sequence[str], message: str, kind: str = "value_error") -> Refusal:
    """A validation error in FastAPI's form (liveavatar §1.1), with the message that the official client reads."""
    where = ".".join(location[1:]) or location[0]
    detail = [{"loc": list(location), "msg": message, "type": kind}]
    return Refusal(422, 4022, f"{where}: {message}", data=None, detail=detail)


def timestamp(seconds: float) -> str:
    """A moment as the service writes it: ISO 8601."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat()


class Body(Fields):
    """The fields of a request's JSON object; what is wrong is refused with 422."""

    @property
    def values(self) -> Mapping[str, Any]:
        """All of it, as it was sent."""
        return self._values

    def _missing(self, name: str) -> Refusal:
        return invalid(self._location(name), "Field required", "missing")

    def _invalid(self, name: str, allowed: str) -> Refusal:
        return invalid(self._location(name), f"must be {allowed}")

    def _location(self, name: str) -> list[str]:
        return ["body", *f"{self._prefix}{name}".split(".")]

    def short(self, name: str, longest: int, default: str | None = None) -> str:
        """A text of 1 to ``longest`` characters, needed unless there is a default."""
        value = self.needed(name) if default is None or name in self else default
        if len(value) > longest:
            raise self._invalid(name, f"a string of 1 to {longest} characters")
        return value

    def uuid(self, name: str) -> str:
        """A UUID, as a string; empty if absent."""
        value = self.text(name)
        if value and not is_uuid(value):
            raise self._invalid(name, "a valid UUID")
        return value.lower()

    def needed_uuid(self, name: str) -> str:
        """A UUID that must be there."""
        self.needed(name)
        return self.uuid(name)

    def items(self, name: str) -> list[Body]:
        """The objects of an array; none if it is absent."""
        values = self._values.get(name)
        if values is None:
            return []
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise self._invalid(name, "an array of objects")
        return [Body(value, f"{self._prefix}{name}.{index}.") for index, value in enumerate(values)]

    def texts(self, name: str) -> dict[str, str]:
        """An object whose values are strings; empty if it is absent."""
        values = self.inner(name)._values
        if not all(is_text(key) and is_text(value) for key, value in values.items()):
            raise self._invalid(name, "an object of strings")
        return dict(values)

    def given(self, name: str) -> bool:
        """Whether the field is there, if only as null."""
        return name in self._values


def is_uuid(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True


@frozen(kw_only=True)
class Page:
    """Which part of a list is asked for."""

    number: int
    size: int

    def of(self, rows: Sequence[Mapping[str, Any]], request: web.Request) -> web.Response:
        """That part, in the form of every paged list (liveavatar §1.1)."""
        start = (self.number - 1) * self.size
        more = start + self.size < len(rows)
        return success(
            {
                "count": len(rows),
                "next": str(request.url.update_query(page=self.number + 1)) if more else None,
                "previous": str(request.url.update_query(page=self.number - 1)) if self.number > 1 else None,
                "results": list(rows[start : start + self.size]),
            }
        )


def read_page(query: Mapping[str, str]) -> Page:
    """``page`` from 1, ``page_size`` from 1 to 100 (liveavatar §1.1)."""
    return Page(number=read_whole(query, "page", 1, 10**9, 1), size=read_whole(query, "page_size", 1, 100, 20))


def read_whole(query: Mapping[str, str], name: str, low: int, high: int, default: int) -> int:
    """A whole number of the query."""
    given = query.get(name, str(default))
    # Python refuses to read thousands of digits.
    if not (given.isascii() and given.isdigit() and len(given) <= len(str(high)) and low <= int(given) <= high):
        raise invalid(["query", name], f"must be a whole number from {low} to {high}")
    return int(given)
