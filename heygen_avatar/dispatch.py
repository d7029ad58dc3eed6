"""The way of an event: heard on the media thread, given to whoever waits, then to the handlers in their own thread.

User code runs only in :meth:`Dispatcher.run_handlers`; the media thread merely appends to queues.
"""

from __future__ import annotations

import inspect
import logging
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

from attrs import define, frozen

from . import cells
from .cells import CellRun
from .deadline import SLICE, Deadline
from .errors import InvalidRequestError
from .events import Event, EventsDropped, StreamingEvents
from .signals import Signals

log = logging.getLogger("heygen_avatar.events")

Handler = Callable[[Any], object]

LIMIT = 1_000
"""Events that wait in one queue before those that can be missed are dropped and counted."""

STATE_LIMIT = 10 * LIMIT
"""Where even state events are dropped and counted: days of them, so only a server gone mad gets here."""

SLOW = 1.0
"""Seconds in a handler after which it is warned of: all events behind it wait."""

_TERMINAL = frozenset({"stream_disconnected", "error"})
_CAN_BE_MISSED = frozenset(
    {"avatar_talking_message", "user_talking_message", "user_silence", "connection_quality_changed"}
)
_KNOWN = frozenset(member.value for member in StreamingEvents)

_numbers = count(1)


def _can_be_missed(name: str) -> bool:
    return name in _CAN_BE_MISSED or name not in _KNOWN


@define
class _Gap:
    """Where in a queue events are missing, and how many."""

    count: int = 1


@frozen(kw_only=True, eq=False)
class _Connected:
    """A handler, and the run of the notebook cell that has connected it, where one has."""

    name: str
    handler: Handler
    receive: Callable[..., object]
    run: CellRun | None

    def replaces(self, other: _Connected) -> bool:
        """Whether ``other`` was connected by running the same cell, or defining the same function, before."""
        if self.run is not None and self.run.replaces(other.run):
            return True
        return self.name == other.name and _is_rerun(other.handler, self.handler)


class EventQueue:
    """A bounded queue of events: any thread puts, any may take; an overflow leaves a counted gap in its place.

    The bell is a lock that is held while there is nothing new: a condition takes several times as long to wake whoever
    waits, and most of an event's way to its handler is this.
    """

    def __init__(self, wanted: frozenset[str] | None = None) -> None:
        self._wanted = wanted
        self._items: deque[Event | _Gap] = deque()
        self._closed = False
        self._lock = threading.Lock()
        self._bell = threading.Lock()
        self._bell.acquire()

    def put(self, event: Event) -> None:
        name = event.type
        if self._wanted is not None and name not in self._wanted:
            return
        with self._lock:
            if self._closed:
                return
            limit = LIMIT if _can_be_missed(name) else STATE_LIMIT
            if len(self._items) < limit or name in _TERMINAL:
                self._items.append(event)
            elif isinstance(gap := self._items[-1], _Gap):
                gap.count += 1
            else:
                self._items.append(_Gap())
            self._ring()

    def get(self, deadline: Deadline | None) -> Event | None:
        """The next event; None when the deadline passed, or when the queue is closed and empty."""
        while True:
            with self._lock:
                item = self._items.popleft() if self._items else None
                if self._items or self._closed:
                    self._ring()  # somebody else may wait too, and one ringing wakes but one
                if item is not None or self._closed:
                    break
            if deadline is None:
                self._bell.acquire()
            elif deadline.passed:
                break
            else:
                self._bell.acquire(timeout=min(SLICE, deadline.left))
        return EventsDropped(count=item.count, received_at=time.time()) if isinstance(item, _Gap) else item

    def close(self) -> None:
        """No more events; what is queued can still be taken."""
        with self._lock:
            self._closed = True
            self._ring()

    def _ring(self) -> None:
        # Only ever with the lock held, so that nobody else can ring between the question and the ringing.
        if self._bell.locked():
            self._bell.release()

    @property
    def closed(self) -> bool:
        return self._closed

    def __len__(self) -> int:
        return len(self._items)


class Dispatcher:
    """One avatar's handlers, its waiters' queues, and the thread that calls the handlers.

    ``sender`` is what blinker receivers get as their first argument; it is held weakly, and so is this object by
    everything that runs: an avatar whose handlers mention it can still be collected.
    """

    def __init__(self, sender: object, *, threaded: bool) -> None:
        self.signals = Signals()
        self.handler_errors = 0
        self.last_handler_error: BaseException | None = None
        self._sender = weakref.ref(sender)
        self.threaded = threaded
        self._lock = threading.Lock()
        self._handlers: list[_Connected] = []
        self._taps: list[Callable[[Event], None]] = []
        self._listeners: list[EventQueue] = []
        self._queue = EventQueue()
        self._thread: threading.Thread | None = None
        self._local = threading.local()
        self._running: tuple[str, str, float] | None = None
        self._slow: set[str] = set()
        weakref.finalize(self, self._queue.close).atexit = False

    # -- hearing: the media thread, or whoever makes an event of our own

    def publish(self, event: Event) -> None:
        """Give ``event`` to taps and waiters at once and queue it for the handlers. Never blocks, runs no user code."""
        for tap in self._taps:
            tap(event)
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener.put(event)
        self._queue.put(event)
        self._watch_time()

    def tap(self, receiver: Callable[[Event], None]) -> None:
        """Let a part of this package (transcript, speeches) hear every event first; it must be quick and not raise."""
        self._taps.append(receiver)

    def listen(self, *names: str) -> EventQueue:
        """A queue of its own for the named events, or for all; the caller gives it back to :meth:`unlisten`."""
        queue = EventQueue(frozenset(names) or None)
        with self._lock:
            self._listeners.append(queue)
        return queue

    def unlisten(self, queue: EventQueue) -> None:
        with self._lock, suppress(ValueError):
            self._listeners.remove(queue)
        queue.close()

    def end_listeners(self) -> None:
        """The session is over: iterations end after what they have not seen yet."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener.close()

    # -- handlers

    def on(self, name: str, handler: Handler, *, once: bool = False) -> None:
        """Connect ``handler`` to the signal ``name``, strongly, one time however often it is given.

        In a notebook it takes the place of what earlier runs of the same cell have connected, and says so in the cell.
        """
        if not callable(handler):
            raise InvalidRequestError(f"a handler must be callable, not {handler!r}")
        if inspect.iscoroutinefunction(handler):
            raise InvalidRequestError(f"{_name_of(handler)} is a coroutine function; handlers are plain functions")

        def receive(_: object, event: Event) -> None:
            # Whoever takes it off the list may call it: two threads never both call a once-handler.
            if once and not self.off(name, handler):
                return
            handler(event)

        receive.__qualname__ = _name_of(handler)
        connected = _Connected(name=name, handler=handler, receive=receive, run=cells.running())
        with self._lock:
            replaced = [other for other in self._handlers if connected.replaces(other)]
            self._handlers = [other for other in self._handlers if other not in replaced]
            known = any(other.name == name and other.handler == handler for other in self._handlers)
            if not known:
                self._handlers.append(connected)
        for old in replaced:
            self.signals[old.name].disconnect(old.receive)
        if not known:
            self.signals[name].connect(receive, weak=False)
        if replaced:
            cells.tell_of_replaced([old.name for old in replaced])

    def off(self, name: str, handler: Handler) -> bool:
        """Disconnect ``handler``; false when it was not connected."""
        with self._lock:
            for entry in self._handlers:
                if entry.name == name and entry.handler == handler:
                    self._handlers.remove(entry)
                    break
            else:
                return False
        self.signals[name].disconnect(entry.receive)
        return True

    def run_handlers(self, timeout: float = 0.0) -> int:
        """Call the handlers of all queued events here; wait up to ``timeout`` for the first. Returns how many."""
        handled = 0
        deadline = Deadline.after(timeout)
        while (event := self._queue.get(deadline if handled == 0 else Deadline.after(0))) is not None:
            self._handle(event)
            handled += 1
        return handled

    def _handle(self, event: Event) -> None:
        signal = self.signals.find(event.type)
        sender = self._sender()
        if signal is None or sender is None:
            return
        self._local.depth = getattr(self._local, "depth", 0) + 1
        try:
            for receiver in signal.snapshot(sender):
                self._run(receiver, sender, event)
        finally:
            self._local.depth -= 1

    def _run(self, receiver: Callable[..., object], sender: object, event: Event) -> None:
        before, self._running = self._running, (_name_of(receiver), event.type, time.monotonic())
        try:
            receiver(sender, event=event)
        except Exception as error:
            self.handler_errors += 1
            self.last_handler_error = error
            log.exception("handler %s of %s failed", _name_of(receiver), event.type)
        finally:
            self._watch_time()
            self._running = before

    def _watch_time(self) -> None:
        """Warn of the handler that runs, once, if it has run for long. Looked at when it returns, and at each event
        that is heard meanwhile: one that blocks for ever never returns."""
        running = self._running
        if running is None:
            return
        name, event, since = running
        if time.monotonic() - since > SLOW and name not in self._slow:
            self._slow.add(name)
            log.warning(
                "handler %s of %s takes more than %g s: the events behind it wait, and may be dropped; hand long work "
                "to a thread of its own",
                name,
                event,
                SLOW,
            )

    # -- the events thread

    def start(self) -> None:
        """Start the events thread if there is to be one and none runs."""
        with self._lock:
            if not self.threaded or (self._thread is not None and not self._queue.closed):
                return
            if self._queue.closed:  # by the end of an earlier session
                self._queue = EventQueue()
                weakref.finalize(self, self._queue.close).atexit = False
            self._thread = threading.Thread(
                target=_run, args=(weakref.ref(self), self._queue), name=f"heygen-events-{next(_numbers)}", daemon=True
            )
            self._thread.start()

    def stop(self, deadline: Deadline) -> None:
        """End the events thread once it has handled what is queued; from inside a handler, without waiting."""
        with self._lock:
            thread = self._thread
        if thread is None:
            return
        self._queue.close()
        while thread.is_alive() and not self.in_handler and not deadline.passed:
            thread.join(min(0.1, deadline.left))
        if thread.is_alive() and not self.in_handler:
            log.warning("a handler still runs after the session has ended; its thread %s is left to it", thread.name)

    @property
    def in_handler(self) -> bool:
        """Whether the calling thread is inside a handler."""
        return getattr(self._local, "depth", 0) > 0


def _run(dispatcher: weakref.ref[Dispatcher], queue: EventQueue) -> None:
    # Holds the queue, never the dispatcher, while it waits: otherwise this thread would keep avatar and handlers alive.
    while (event := queue.get(None)) is not None:
        owner = dispatcher()
        if owner is None:
            return
        owner._handle(event)
        del owner


def iterate(queue: EventQueue, timeout: float | None) -> Iterator[Event]:
    """The events of ``queue`` as they come, until it is closed, or until ``timeout`` seconds bring none."""
    while True:
        event = queue.get(Deadline.never() if timeout is None else Deadline.after(timeout))
        if event is None:
            return
        yield event


def _name_of(handler: Callable[..., object]) -> str:
    return str(getattr(handler, "__qualname__", None) or repr(handler))


def _is_rerun(old: Handler, new: Handler) -> bool:
    """Whether ``new`` is ``old`` defined again by running a notebook cell or a line at the prompt once more."""
    if not (hasattr(sys, "ps1") or cells.in_notebook()):
        return False
    identity = (getattr(new, "__module__", None), getattr(new, "__qualname__", "<lambda>"))
    if identity[0] != "__main__" or "<" in identity[1]:  # a lambda or an inner function: not one thing by its name
        return False
    return identity == (getattr(old, "__module__", None), getattr(old, "__qualname__", None))
