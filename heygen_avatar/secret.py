"""Keys and tokens that do not show themselves: tracebacks that list variables (IPython's ``%xmode Verbose``, pytest,
error trackers) write down their repr. A leaf."""

from __future__ import annotations

from typing import overload

__all__ = ["Secret", "hidden"]


class Secret(str):
    """A string in all but its repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'<hidden>'"


@overload
def hidden(value: str) -> Secret: ...
@overload
def hidden(value: None) -> None: ...
def hidden(value: str | None) -> Secret | None:
    """``value`` as a secret."""
    return None if value is None else Secret(value)
