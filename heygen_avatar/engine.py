"""The media thread: one asyncio loop on one daemon thread, shared by all avatars of the process.

Every ``livekit.rtc`` object and every websocket is made and used here; user code never runs here. Callers hand in
coroutines and wait for them in slices. Nothing in this module knows of sessions.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from .deadline import Deadline
from .errors import MediaError, UsageError, WaitTimeoutError

log = logging.getLogger("heygen_avatar.media")

T = TypeVar("T")


class Engine:
    """A loop thread that callers of any thread can use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop = asyncio.new_event_loop()
        self._pending: set[Future[Any]] = set()
        self._on_death: list[weakref.WeakMethod[Callable[[], None]]] = []
        self._dead = False

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run ``coroutine`` on the media thread; its future also ends when the thread dies."""
        loop = self._start()
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        with self._lock:
            self._pending.add(future)
            dead = self._dead
        future.add_done_callback(self._forget)
        if dead and not future.done():
            # The thread died between the start check and the hand-over: nobody else would ever end this future.
            self._fail(future)
        return future

    def call(self, coroutine: Coroutine[Any, Any, T], *, timeout: float, what: str) -> T:
        """Run ``coroutine`` and wait for its result. Past the deadline, or on Ctrl-C, it is cancelled.

        What must not be cancelled (``Room.connect``) has to be a task of its own that the coroutine only watches.

        Raises:
            UsageError: called on the media thread itself, where waiting could only deadlock.
            WaitTimeoutError: ``what`` was not done within ``timeout`` seconds.
        """
        if self.is_current():
            coroutine.close()
            raise UsageError(f"{what}: a blocking call on the media thread would wait for itself for ever")
        future = self.submit(coroutine)
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        try:
            if not Deadline.after(timeout).wait(done):
                raise WaitTimeoutError(f"{what} was not done within {timeout:g} s")
        finally:
            if not done.is_set():
                future.cancel()
        try:
            return future.result()
        except CancelledError:
            raise MediaError(f"{what} was cancelled, because the media thread is ending") from None

    def is_current(self) -> bool:
        """Whether the calling thread is the media thread."""
        return self._thread is not None and threading.get_ident() == self._thread.ident

    def warm_up(self) -> None:
        """Start the thread and load LiveKit's library on it, without waiting: 0.1 to 1 s beside the first REST call."""
        self._start()

    def when_dead(self, callback: Callable[[], None]) -> None:
        """Call the bound method ``callback`` (held weakly) if the thread dies, so that nobody waits for it."""
        with self._lock:
            self._on_death = [ref for ref in self._on_death if ref() is not None]
            self._on_death.append(weakref.WeakMethod(callback))

    def stop(self, timeout: float) -> None:
        """End the loop and its thread; what still ran is cancelled. Idempotent, bounded, for exit and for tests."""
        with self._lock:
            thread = self._thread
        if thread is None or not thread.is_alive() or self.is_current():
            return
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(self._loop.stop)
        thread.join(timeout)

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._dead:
                raise UsageError("the media thread of this process has ended; no session can be started any more")
            if self._thread is None:
                # Queued first, so that whatever is submitted meanwhile finds the library loaded.
                self._loop.call_soon(_load_livekit)
                self._thread = threading.Thread(target=self._run, name="heygen-media", daemon=True)
                self._thread.start()
        return self._loop

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._die()

    def _die(self) -> None:
        loop = self._loop
        with self._lock:
            self._dead = True
            watchers = [ref() for ref in self._on_death]
        with contextlib.suppress(Exception):
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
        with self._lock:
            pending = list(self._pending)
        for future in pending:
            self._fail(future)
        for watcher in watchers:
            if watcher is not None:
                try:
                    watcher()
                except Exception:
                    log.exception("telling a session that the media thread has ended failed")
        loop.close()

    def _forget(self, future: Future[Any]) -> None:
        with self._lock:
            self._pending.discard(future)

    @staticmethod
    def _fail(future: Future[Any]) -> None:
        with contextlib.suppress(Exception):  # somebody else ended it first
            future.set_exception(MediaError("the media thread has ended"))


def _load_livekit() -> None:
    """Import livekit and load its library here, then register our exit after its own.

    atexit runs last in, first out: sessions are stopped and rooms left before LiveKit disposes of itself.
    """
    try:
        from livekit.rtc._ffi_client import FfiClient

        _ = FfiClient.instance
    except Exception as error:
        # Whoever needs a room gets this error with its cause from the import there; the thread itself must live.
        log.warning("LiveKit's native library could not be loaded: %s", error)
    for callback in _at_exit:
        atexit.unregister(callback)
        atexit.register(callback)


_at_exit: list[Callable[[], None]] = []
_engine: Engine | None = None
_engine_lock = threading.Lock()


def at_exit(callback: Callable[[], None]) -> None:
    """Run ``callback`` at interpreter exit, before LiveKit disposes of itself."""
    _at_exit.append(callback)
    atexit.register(callback)


def engine() -> Engine:
    """The process's engine."""
    global _engine
    with _engine_lock:
        if _engine is None:
            _engine = Engine()
        return _engine


def running_engine() -> Engine | None:
    """The process's engine if there ever was one."""
    return _engine


def _after_fork() -> None:
    # The thread does not exist in the child, and a lock that another thread held at the fork would never open.
    global _engine, _engine_lock
    _engine = None
    _engine_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
