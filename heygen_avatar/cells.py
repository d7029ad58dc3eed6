"""Which notebook cell is running, and what its earlier runs have left.

A cell is known by the id that the notebook gives it, a run by the message that asked for it. Where either is missing
(a terminal, a thread, a front end that sends no ids), nothing is known and nothing is replaced. Does no I/O but saying
in the cell what was replaced.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from attrs import frozen

from . import cleanup
from .errors import HeyGenError

__all__ = ["CellRun", "end_sessions_of_earlier_runs", "in_notebook", "remember_session", "running", "tell_of_replaced"]

log = logging.getLogger("heygen_avatar.notebook")

END_TIMEOUT = 10.0


@frozen(kw_only=True)
class CellRun:
    """One run of one cell."""

    cell: str
    message: str

    def replaces(self, other: CellRun | None) -> bool:
        """Whether ``other`` is an earlier run of the same cell: not another cell's, and not this very run."""
        return other is not None and other.cell == self.cell and other.message != self.message


_runs: WeakKeyDictionary[cleanup.PaidSession, CellRun] = WeakKeyDictionary()


def in_notebook() -> bool:
    """Whether this is a notebook's kernel."""
    return _shell() is not None


def running() -> CellRun | None:
    """The run that the calling code belongs to, or None where that is not certain.

    Only the main thread is certain of it: to other threads, a kernel names whichever cell was run last.
    """
    shell = _shell()
    if shell is None or threading.current_thread() is not threading.main_thread():
        return None
    parent = shell.get_parent()
    if not isinstance(parent, Mapping) or not isinstance(parent.get("header"), Mapping):
        return None
    header, metadata = parent["header"], parent.get("metadata") or {}
    if header.get("msg_type") != "execute_request":  # a widget's callback, say
        return None
    cell = metadata.get("cellId")
    return CellRun(cell=str(cell), message=str(header.get("msg_id"))) if cell else None


def remember_session(session: cleanup.PaidSession) -> None:
    """Note which run has made ``session``."""
    run = running()
    if run is not None:
        _runs[session] = run


def end_sessions_of_earlier_runs() -> None:
    """End the sessions that earlier runs of the running cell have started, and say so in the cell."""
    run = running()
    if run is None:
        return
    for session in cleanup.open_sessions():
        if not run.replaces(_runs.get(session)):
            continue
        try:
            session.close(END_TIMEOUT, why="its notebook cell was run again")
        except HeyGenError as error:
            # It stays registered, and is stopped at the end of the kernel; this run's own session must not wait for it.
            _say(f"Session {session.session_id} of this cell's earlier run could not be ended yet: {error}")
        else:
            _say(f"Session {session.session_id}, which an earlier run of this cell had started, was ended.")


def tell_of_replaced(events: Sequence[str]) -> None:
    """Say in the running cell that its handlers of ``events`` have taken the place of others."""
    if running() is not None:
        handlers = "1 handler that was" if len(events) == 1 else f"{len(events)} handlers that were"
        _say(f"Replaced {handlers} connected before: {', '.join(dict.fromkeys(events))}.")


def _say(sentence: str) -> None:
    """Show ``sentence`` in the running cell."""
    log.info("%s", sentence)
    from IPython.display import display

    display({"text/plain": sentence}, raw=True)  # type: ignore[no-untyped-call]


def _shell() -> Any:
    """The notebook's shell; None where IPython does not run in a kernel. Loads nothing that is not loaded."""
    if "ipykernel" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return shell if hasattr(shell, "get_parent") else None
