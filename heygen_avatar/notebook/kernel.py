"""The kernel that a display runs in: whether its main thread is free, and whose output a thread's prints are.

Knows ipykernel 6 and 7, and nothing of avatars.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Any

__all__ = ["CellOutput", "MainThread"]

BEAT = 0.25
BUSY = 1.0
"""Seconds without a beat after which a cell keeps the main thread."""


class MainThread:
    """Tells by a timer on the kernel's own loop whether a cell keeps its main thread.

    While one does, kernels without comm subshells hear nothing from their pages.
    """

    def __init__(self) -> None:
        self._beaten_at = self._free_since = time.monotonic()
        self._stopped = False
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:  # not called by a cell: nothing is known of its loop
            self._loop = None
        else:
            self._loop.call_later(BEAT, self._beat)

    @property
    def busy(self) -> bool:
        return self._loop is not None and time.monotonic() - self._beaten_at > BUSY

    @property
    def free_for(self) -> float:
        """Seconds since it was last kept."""
        return 0.0 if self.busy else time.monotonic() - self._free_since

    def stop(self) -> None:
        self._stopped = True

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._beaten_at > BUSY:
            self._free_since = now
        self._beaten_at = now
        if not self._stopped and self._loop is not None:
            self._loop.call_later(BEAT, self._beat)


class CellOutput:
    """Keeps the output of threads with the cell that runs.

    A kernel gives it to the message it handles, and a page that shows an avatar sends fifteen a second: what handlers
    print would be lost with them. So each such message is followed by :meth:`give_back`.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._parent: Any = None
        self._keep()
        shell.events.register("pre_run_cell", self._keep)

    def give_back(self) -> None:
        if self._parent is not None:
            self._shell.set_parent(self._parent)

    def close(self) -> None:
        with contextlib.suppress(ValueError):
            self._shell.events.unregister("pre_run_cell", self._keep)

    def _keep(self, *_: object) -> None:
        parent = self._shell.get_parent() if threading.current_thread() is threading.main_thread() else None
        if parent and parent.get("header", {}).get("msg_type") == "execute_request":
            self._parent = parent
