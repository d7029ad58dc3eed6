"""The media thread: one asyncio loop on one daemon thread, shared by all avatars of the process.

Every ``livekit.rtc`` object and every websocket is made and used here; user code never runs here. Callers hand in
coroutines and wait for them in slices. Nothing in this module knows of sessions.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from .deadline import Deadline
from .errors import MediaError, UsageError, WaitTimeoutError

log = logging.getLogger("heygen_avatar.media")

T = TypeVar("T")

LAST_CALLBACKS = 0.05
"""Seconds that LiveKit's native threads have, after it was disposed of, to finish what they were saying to Python."""


class Engine:
    """A loop thread that callers of any thread can use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: set[Future[Any]] = set()
        self._on_death: list[weakref.WeakMethod[Callable[[], None]]] = []
        self._dead = False
        self._warmed_up: set[str] = set()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run ``coroutine`` on the media thread; its future also ends when the thread dies.

        Raises:
            UsageError: the thread has ended.
        """
        try:
            with self._lock:
                # Under the lock, so that a dying thread either refuses it here or still hears of it.
                future = asyncio.run_coroutine_threadsafe(coroutine, self._started())
                self._pending.add(future)
        except BaseException:
            coroutine.close()
            raise
        future.add_done_callback(self._forget)
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
        return threading.current_thread() is self._thread

    def warm_up(self, *modules: str) -> None:
        """Start the thread and load LiveKit's library on it, without waiting: 0.1 to 1 s beside the first REST call.

        Args:
            modules: what else is to be imported on it, by their full names, for whoever will need them.

        Raises:
            UsageError: no session can be started in this process, because the thread has ended, or because the process
                was forked from one that had loaded the library, whose native threads do not survive that.
        """
        if _livekit_pid not in (None, os.getpid()):
            raise UsageError(
                "this process was forked from one that had used an avatar, and LiveKit's native threads do not survive "
                "a fork: start it before the parent's first session, or with multiprocessing's \"spawn\""
            )
        with self._lock:
            loop = self._started()
            if not self._warmed_up.issuperset(modules):
                self._warmed_up.update(modules)
                loop.call_soon_threadsafe(_import, modules)

    def when_dead(self, callback: Callable[[], None]) -> None:
        """Call the bound method ``callback`` (held weakly) if the thread dies, so that nobody waits for it."""
        with self._lock:
            self._on_death = [ref for ref in self._on_death if ref() is not None]
            self._on_death.append(weakref.WeakMethod(callback))

    def stop(self, timeout: float) -> None:
        """End the loop and its thread; what still ran is cancelled. Idempotent, bounded, for exit and for tests."""
        with self._lock:
            thread, loop = self._thread, self._loop
        if thread is None or loop is None or self.is_current():
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout)

    def _started(self) -> asyncio.AbstractEventLoop:
        """The loop, with its thread running. Called with the lock held."""
        if self._dead:
            raise UsageError("the media thread of this process has ended; no session can be started any more")
        if self._loop is None:
            loop = asyncio.new_event_loop()
            # Queued first, so that whatever is submitted meanwhile finds the library loaded.
            loop.call_soon(_load_livekit)
            thread = threading.Thread(target=self._run, args=(loop,), name="heygen-media", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                loop.close()
                raise UsageError("no media thread can be started: the process is ending, or has too many") from None
            self._loop, self._thread = loop, thread
        return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            self._die(loop)

    def _die(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._dead = True
            watchers = [ref() for ref in self._on_death]
        with contextlib.suppress(Exception):
            loop.run_until_complete(_cancel_all())
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


def _import(modules: Iterable[str]) -> None:
    # What cannot be imported is the error of whoever needs it.
    with contextlib.suppress(Exception):
        for module in modules:
            importlib.import_module(module)


async def _cancel_all() -> None:
    await asyncio.sleep(0)  # what was submitted last becomes a task, and so is ended like the others
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=1.0)


def _load_livekit() -> None:
    """Import livekit and load its library here, then register our exit after its own.

    atexit runs last in, first out: sessions are stopped and rooms left before LiveKit disposes of itself.
    """
    global _livekit_pid
    try:
        from livekit.rtc._ffi_client import FfiClient

        with _loading:
            if _exiting:
                return
            _ = FfiClient.instance
            _livekit_pid = _livekit_pid or os.getpid()
    except Exception as error:
        # Whoever needs a room gets this error with its cause from the import there; the thread itself must live.
        log.warning("LiveKit's native library could not be loaded: %s", error)
    for callback in _at_exit:
        atexit.unregister(callback)
        atexit.register(callback)


def _dispose_livekit() -> None:
    """Dispose of the library ourselves if it came while the process was ending: an exit callback that is registered
    during exit is not run, and a library left to itself aborts the process when the interpreter goes."""
    global _exiting
    with _loading:
        _exiting = True
    client = sys.modules.get("livekit.rtc._ffi_client")
    if client is not None and client.FfiClient._instance is not None:
        client.FfiClient._instance._dispose()  # does nothing the second time
        # A native thread that is just calling back waits for the interpreter's lock: it gets it here, since it could
        # not unwind from being ended in there.
        time.sleep(LAST_CALLBACKS)


atexit.register(_dispose_livekit)  # before all others of ours, so it runs after them

_loading = threading.Lock()
_exiting = False

_livekit_pid: int | None = None
"""The process that loaded LiveKit's library."""

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


_of_parents: list[Engine] = []


def _after_fork() -> None:
    # The thread does not exist in the child, and a lock that another thread held at the fork would never open.
    global _engine, _engine_lock, _loading
    if _engine is not None:
        # Kept for good: closing its loop would take the parent's sockets out of the epoll set that both still share.
        _of_parents.append(_engine)
    _engine = None
    _engine_lock = threading.Lock()
    _loading = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
