"""How much may be sent to pages that show the avatar, so that a slow, hidden or vanished one costs no memory.

Pictures are acknowledged; at most WINDOW of them are not. Knows pages by the names they give themselves, does no I/O,
and is told the time.
"""

from __future__ import annotations

import threading
from typing import Literal

from attrs import define

__all__ = ["Flow", "Kind"]

Kind = Literal["picture", "sound"]

WINDOW = 2
"""Pictures that may be on their way."""

LOST = 6.0
"""Seconds of silence after which a page is taken for gone. It answers to a message that is sent every two."""

STUCK = 2.5
"""Seconds of silence after which a page is not waited for where another one takes what is sent."""

BLIND_INTERVAL = 0.2
"""Seconds between pictures while pages cannot be heard, because a cell keeps the kernel's main thread."""

BLIND_SECONDS = 120.0
"""How long pictures and sound are sent without being able to hear whether anybody takes them."""


@define
class _Page:
    acknowledged: int
    heard_at: float
    wants: frozenset[Kind]


class Flow:
    """What is on its way to the pages, and what they want. Used by several threads."""

    def __init__(self, now: float) -> None:
        self._lock = threading.Lock()
        self._pages: dict[str, _Page] = {}
        self._newest = 0
        self._sent_at = float("-inf")
        self._heard_at = now
        self.ever_heard = False
        """Whether there ever was a page."""

    @property
    def newest(self) -> int:
        """The number of the last picture sent."""
        return self._newest

    def hear(self, page: str, acknowledged: int, now: float, wants: frozenset[Kind] | None = None) -> None:
        """A page has dealt with all pictures up to ``acknowledged``, and may say what it wants from now on."""
        with self._lock:
            known = self._pages.setdefault(page, _Page(0, now, frozenset(("picture", "sound"))))
            known.acknowledged = max(known.acknowledged, min(acknowledged, self._newest))
            known.heard_at = self._heard_at = now
            self.ever_heard = True
            if wants is not None:
                known.wants = wants

    def forget(self, page: str) -> None:
        """A page has said that it goes."""
        with self._lock:
            self._pages.pop(page, None)

    def wanted(self, kind: Kind, now: float, *, deaf: bool) -> bool:
        """Whether anybody would see or hear it. ``deaf``: pages cannot be heard at the moment."""
        with self._lock:
            if deaf:
                wanted = not self.ever_heard or any(kind in page.wants for page in self._pages.values())
                return wanted and now - self._heard_at < BLIND_SECONDS
            if not self.ever_heard:  # a page is about to come
                return now - self._heard_at < LOST
            return any(kind in page.wants for page in self._present(now))

    def may_send(self, now: float, *, deaf: bool) -> bool:
        """Whether another picture may be sent."""
        with self._lock:
            pages = self._present(now)
            awake = [page for page in pages if now - page.heard_at < STUCK] or pages
            if self._newest - min((page.acknowledged for page in awake), default=0) < WINDOW:
                return True
            return deaf and now - self._heard_at < BLIND_SECONDS and now - self._sent_at >= BLIND_INTERVAL

    def send(self, now: float) -> int:
        """The number of a picture that is sent now."""
        with self._lock:
            self._newest += 1
            self._sent_at = now
            return self._newest

    def _present(self, now: float) -> list[_Page]:
        return [page for page in self._pages.values() if now - page.heard_at < LOST]
