"""What was said in one session, by both sides (liveavatar §1.2). Keeps and tells; hears nothing itself."""

from __future__ import annotations

import time
from typing import Any, Literal

from attrs import frozen

Role = Literal["user", "avatar"]


@frozen(kw_only=True)
class Remark:
    """One turn. Times are in milliseconds: the unit is not published."""

    role: Role
    text: str
    absolute: int
    relative: int

    def row(self) -> dict[str, Any]:
        return {
            "role": self.role,
            "transcript": self.text,
            "absolute_timestamp": self.absolute,
            "relative_timestamp": self.relative,
        }


class Transcript:
    """The turns of a session, in their order."""

    def __init__(self) -> None:
        self._began = _now()
        self.remarks: list[Remark] = []

    def add(self, role: Role, text: str) -> None:
        now = _now()
        self.remarks.append(Remark(role=role, text=text, absolute=now, relative=now - self._began))

    def forget(self) -> None:
        """Delete it for good."""
        self.remarks = []

    def since(self, start: int, end: int | None) -> list[Remark]:
        """The turns from ``start`` up to, but not at, ``end``."""
        return [
            remark for remark in self.remarks if start <= remark.absolute and (end is None or remark.absolute < end)
        ]

    def summary(self) -> str:
        """All of it, as it is remembered."""
        speakers = {"user": "The user said", "avatar": "The avatar said"}
        return "\n".join(f"{speakers[remark.role]}: {remark.text}" for remark in self.remarks)


def _now() -> int:
    return int(time.time() * 1000)
