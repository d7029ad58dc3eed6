"""blinker signals that threads may share, and the named set of them that an avatar carries.

A plain blinker signal calls its receivers in the order of a hash and breaks when one thread connects while another
sends; these keep the order of connection and a lock. Nothing here calls a receiver.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, MutableSet
from typing import Any, TypeVar

import blinker

F = TypeVar("F", bound=Callable[..., Any])


class _OrderedSet(MutableSet[Any]):
    """As much of a set as blinker uses, in order of insertion."""

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self._items = dict.fromkeys(items)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, value: Any) -> None:
        self._items[value] = None

    def discard(self, value: Any) -> None:
        self._items.pop(value, None)

    def copy(self) -> _OrderedSet:
        return _OrderedSet(self._items)


class EventSignal(blinker.Signal):
    """A blinker signal with a lock and an order. Receivers are called as ``receiver(sender, event=event)``."""

    set_class = _OrderedSet  # type: ignore[assignment]

    def __init__(self, name: str) -> None:
        super().__init__(f"Sent with event= for each {name!r} that an avatar hears.")
        self.name = name
        # Re-entrant: a receiver that dies while the lock is held is disconnected by the garbage collector right there.
        self._lock = threading.RLock()

    def connect(self, receiver: F, sender: Any = blinker.ANY, weak: bool = True) -> F:
        with self._lock:
            return super().connect(receiver, sender, weak)

    def disconnect(self, receiver: Callable[..., Any], sender: Any = blinker.ANY) -> None:
        with self._lock:
            super().disconnect(receiver, sender)

    def _disconnect(self, receiver_id: Hashable, sender_id: Hashable) -> None:
        # Also the way by which blinker drops a receiver that was collected, in whatever thread collects.
        with self._lock:
            super()._disconnect(receiver_id, sender_id)

    def snapshot(self, sender: object) -> list[Callable[..., Any]]:
        """The receivers as they are now, in order of connection."""
        with self._lock:
            return list(self.receivers_for(sender))

    def __repr__(self) -> str:
        return f"<EventSignal {self.name!r}, {len(self.receivers)} receivers>"


class Signals:
    """An avatar's signals by the events' names: ``avatar.signals.avatar_start_talking.connect(receiver)``.

    Attribute and item access make a signal on first use, also for events this version does not know.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._signals: dict[str, EventSignal] = {}

    def __getitem__(self, name: str) -> EventSignal:
        with self._lock:
            return self._signals.setdefault(str(name), EventSignal(str(name)))

    def __getattr__(self, name: str) -> EventSignal:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def find(self, name: str) -> EventSignal | None:
        """The signal if anybody ever asked for it: sending must not make one for every name a server invents."""
        with self._lock:
            return self._signals.get(name)

    def __repr__(self) -> str:
        with self._lock:
            return f"<Signals {', '.join(self._signals) or 'none used yet'}>"
