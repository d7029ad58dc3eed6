"""How the values of the API check themselves when they are made: attrs validators and converters, shared by all models.

A refusal names the field, the allowed range and what was given, and says that nothing was sent.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, TypeVar

from attrs import Attribute

from .errors import InvalidRequestError

E = TypeVar("E", bound=Enum)

Check = Callable[[object, "Attribute[Any]", object], None]

LONGEST_SHOWN = 80


class Name(str, Enum):
    """An enum of the service's words, which print as themselves."""

    def __str__(self) -> str:
        return str(self.value)


def refusal(field_name: str, value: object, allowed: str) -> InvalidRequestError:
    """The error of a field that is not as it must be."""
    try:
        shown = repr(value)
    except Exception:  # an int of too many digits, or an object that cannot show itself
        shown = f"this {type(value).__name__}"
    if len(shown) > LONGEST_SHOWN:
        shown = shown[: LONGEST_SHOWN - 3] + "..."
    return InvalidRequestError(f"{field_name} must be {allowed}, not {shown}; nothing was sent")


def member(kind: type[E], field_name: str, value: object) -> E:
    """``value`` as a member of the enum ``kind``."""
    try:
        if isinstance(value, str):  # of anything else, Enum would ask whether it equals a member
            return kind(value)
        raise ValueError
    except ValueError:
        allowed = "one of " + ", ".join(repr(each.value) for each in kind)
        raise refusal(field_name, value, allowed) from None


def text(*, optional: bool = True, longest: int | None = None, remedy: str = "shorten it") -> Check:
    """A text; one that is too long is refused with its length and the ``remedy``."""
    allowed = "a text" if optional else "a text that is not empty"
    if longest is not None:
        allowed += f" of 1 to {longest:,} characters"

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if value is None and optional:
            return
        if not isinstance(value, str) or (not optional and not value.strip()):
            raise refusal(attribute.name, value, allowed)
        if longest is not None and len(value) > longest:
            raise InvalidRequestError(
                f"{attribute.name} has {len(value):,} characters, the service takes 1 to {longest:,}: "
                f"{remedy}; nothing was sent"
            )

    return check


def number(low: float, high: float, *, whole: bool = False) -> Check:
    allowed = f"a {'whole ' if whole else ''}number from {low:g} to {high:g}"
    kinds = (int,) if whole else (int, float)

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if value is None:
            return
        # bool is an int to Python, but never meant as one here; NaN fails the comparison.
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            raise refusal(attribute.name, value, allowed)

    return check


def flag(_: object, attribute: Attribute[Any], value: object) -> None:
    """A bool, or None."""
    if value is not None and not isinstance(value, bool):
        raise refusal(attribute.name, value, "True or False")


def instance(*kinds: type[object]) -> Check:
    names = " or ".join(f"a {kind.__name__}" for kind in kinds)

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if value is not None and not isinstance(value, kinds):
            raise refusal(attribute.name, value, names)

    return check


def identifier(*, optional: bool = True) -> Check:
    """A UUID, as text: what all of LiveAvatar's ids are (liveavatar §1.1)."""

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if not (value is None and optional) and not is_uuid(value):
            raise refusal(attribute.name, value, "a UUID, as LiveAvatar's ids are")

    return check


def is_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(uuid.UUID(value))
    except ValueError:
        return False


def mapping(kinds: Iterable[type[object]], *, entries: int, longest_name: int, longest_value: int) -> Check:
    """A mapping of names to values of ``kinds``, within limits of number and length."""
    kinds = tuple(kinds)
    allowed = (
        f"at most {entries} entries, with names of 1 to {longest_name} characters and values of at most {longest_value}"
    )

    def fits(name: object, value: object) -> bool:
        named = isinstance(name, str) and 0 < len(name) <= longest_name
        return named and isinstance(value, kinds) and len(str(value)) <= longest_value

    def check(_: object, attribute: Attribute[Any], values: object) -> None:
        if not isinstance(values, Mapping) or len(values) > entries:
            raise refusal(attribute.name, values, allowed)
        for name, value in values.items():
            if not fits(name, value):
                raise refusal(attribute.name, {name: value}, allowed)

    return check
