"""The paid sessions of this process, and every way out of it that ends them.

A session stands here from before its create call is sent until its stop call has succeeded: a leaked session costs
money by the second and is our worst bug. This module knows no wire; a session knows how to close itself.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Protocol

from .deadline import Deadline, check_timeout

log = logging.getLogger("heygen_avatar.cleanup")

EXIT_BUDGET = 10.0
"""Seconds that the end of the process may take for stopping sessions."""

SIGTERM_BUDGET = 5.0
"""The same when the process was told to terminate: supervisors kill after ten seconds or so."""


class PaidSession(Protocol):
    """A session that may cost money. Held strongly here, so it must not hold the user's avatar."""

    @property
    def session_id(self) -> str | None:
        """None while its create call is under way."""

    def close(self, timeout: float, *, why: str = ...) -> bool:
        """End it: the stop call first, then its connections. Idempotent; true when nothing is left that costs."""


_lock = threading.Lock()
_sessions: dict[int, PaidSession] = {}


def register(session: PaidSession) -> None:
    """From now on every way out of the process ends ``session``."""
    with _lock:
        _sessions[id(session)] = session
    _watch_sigterm()


def forget(session: PaidSession) -> None:
    """The service has confirmed that ``session`` costs nothing any more, or never existed."""
    with _lock:
        _sessions.pop(id(session), None)


def open_sessions() -> list[PaidSession]:
    """The sessions that may still cost money."""
    with _lock:
        return list(_sessions.values())


def stop_all(timeout: float = EXIT_BUDGET) -> list[str]:
    """End every session that this process started, side by side, and return the ids of those that ended in time.

    Safe to call at any time and from any thread; in a notebook, the big red button.
    """
    deadline = Deadline.after(check_timeout(timeout))
    sessions = open_sessions()
    ended: dict[int, str | None] = {}
    finished = [threading.Event() for _ in sessions]

    def end(number: int, budget: float) -> None:
        if _close(sessions[number], budget, why="stop_all()"):
            ended[number] = sessions[number].session_id
        finished[number].set()

    for number, session in enumerate(sessions):
        if not _in_thread(partial(end, number, deadline.left), session):
            # At interpreter shutdown no thread can be started: one after the other then, none at all the others' cost.
            end(number, deadline.left / (len(sessions) - number))
    for each in finished:
        deadline.wait(each)
    return [session_id for _, session_id in sorted(ended.items()) if session_id is not None]


def stop_in_background(session: PaidSession, *, why: str) -> bool:
    """End ``session`` from where nothing may block: a garbage collection, the media thread, a deadline that passed.

    False where no thread can be started any more: the process is about to end, and atexit ends the session.
    """
    return _in_thread(partial(_close, session, EXIT_BUDGET, why=why), session)


def _close(session: PaidSession, budget: float, *, why: str) -> bool:
    try:
        return session.close(budget, why=why)
    except Exception as error:
        log.warning("session %s could not be stopped: %s", session.session_id, error)
        return False


def _in_thread(work: Callable[[], object], session: PaidSession) -> bool:
    """Whether a thread for ``work`` could be started."""
    try:
        threading.Thread(target=work, name=f"heygen-cleanup-{session.session_id}", daemon=True).start()
    except RuntimeError:
        return False
    return True


def _watch_sigterm() -> None:
    """SIGTERM's default ends the process without running a line of Python, so it is given one: only where nobody else
    handles it, and only to end sessions before the default takes its course."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        with suppress(ValueError, OSError):  # an embedded or sub-interpreter
            signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, _: FrameType | None) -> None:
    try:
        signal.signal(number, signal.SIG_IGN)  # a second one changes nothing: the first is being obeyed
        # In a thread, since whatever this interrupted may hold a lock that ending a session needs.
        stopping = threading.Thread(target=stop_all, args=(SIGTERM_BUDGET,), name="heygen-cleanup", daemon=True)
        stopping.start()
        stopping.join(SIGTERM_BUDGET + 1)
    finally:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def _after_fork() -> None:
    # The parent's sessions are the parent's to stop; and its lock may have been held by a thread that is not here.
    global _lock
    _lock = threading.Lock()
    _sessions.clear()
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
