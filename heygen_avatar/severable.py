"""HTTP connections whose request can be cut off from another thread, and that tell whether it may have been sent.

requests offers neither: its timeouts bound the wait for each byte, so that a server which trickles holds its thread
for ever; and its exceptions do not tell a request that never left from one whose answer was lost, which for a call that
costs money is the whole difference. Both are known at one place, where a connection sends.
"""

from __future__ import annotations

import errno
import os
import queue
import socket
import threading
import weakref
from contextlib import suppress
from types import TracebackType
from typing import Any

import requests.adapters
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import ProxyManager

__all__ = ["Adapter", "Line"]


class Line:
    """One request's hold on the socket it uses. ``with line:`` around the request, on the thread that makes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: Any = None
        self._cut = False
        self._sent = False

    @property
    def sent(self) -> bool:
        """Whether any byte of the request may have left. False is certain."""
        return self._sent

    @property
    def was_cut(self) -> bool:
        return self._cut

    def cut(self, *, only_unsent: bool = False) -> None:
        """End the request now, from any thread: what waits for the answer wakes, and what was not sent never will be.

        Nothing happens to a request that is over.
        """
        with self._lock:
            if only_unsent and self._sent:
                return
            self._cut = True
            if self._socket is not None:
                raw = self._socket if isinstance(self._socket, socket.socket) else getattr(self._socket, "socket", None)
                with suppress(OSError, AttributeError):  # closed meanwhile
                    # Not SSLSocket.shutdown(), which would take the TLS object away from the thread that reads.
                    socket.socket.shutdown(raw, socket.SHUT_RDWR)  # type: ignore[arg-type]

    def take(self, used: Any) -> None:
        """The request is about to go out on the socket ``used``."""
        with self._lock:
            if self._cut:
                raise ConnectionAbortedError(errno.ECONNABORTED, "given up before it was sent")
            self._socket, self._sent = used, True

    def let_go(self) -> None:
        """The socket is another request's from now on."""
        with self._lock:
            self._socket = None

    def __enter__(self) -> Line:
        _here.line = self
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        _here.line = None


class _Here(threading.local):
    line: Line | None = None


_here = _Here()


class _SeverableHTTP(HTTPConnection):
    line: Line | None = None

    def request(self, *args: Any, **how: Any) -> None:
        _take(self)
        super().request(*args, **how)


class _SeverableHTTPS(HTTPSConnection):
    line: Line | None = None

    def request(self, *args: Any, **how: Any) -> None:
        _take(self)
        super().request(*args, **how)


def _take(connection: _SeverableHTTP | _SeverableHTTPS) -> None:
    if connection.sock is None:
        connection.connect()  # now, while nothing is sent; http.client would do it while sending
    if _here.line is not None:
        _here.line.take(connection.sock)
        connection.line = _here.line


def _let_go(connection: Any) -> None:
    # Before the pool has it back: once another request can get this socket, a cut would hit the wrong one.
    line: Line | None = getattr(connection, "line", None)
    if line is not None:
        connection.line = None
        line.let_go()


class _Idle(queue.LifoQueue[Any]):
    """A pool's connections that wait for their next request.

    urllib3 empties it when the process exits, a forked one too: there a lock that another thread of the parent's held
    at the fork would never open, and the child never end.
    """

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        _idle.add(self)

    def renew_locks(self) -> None:
        waiting = self.queue
        super().__init__(self.maxsize)
        self.queue = waiting


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _SeverableHTTP
    QueueCls = _Idle

    def _put_conn(self, conn: Any) -> None:
        _let_go(conn)
        super()._put_conn(conn)


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _SeverableHTTPS
    QueueCls = _Idle

    def _put_conn(self, conn: Any) -> None:
        _let_go(conn)
        super()._put_conn(conn)


_POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _HTTPPool, "https": _HTTPSPool}


class Adapter(requests.adapters.HTTPAdapter):
    """Makes a requests session's connections severable, those through a proxy too. A forked child has its own: on those
    that it shares with its parent each would hear the other's answers."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        _adapters.add(self)

    def init_poolmanager(self, *args: Any, **how: Any) -> None:
        super().init_poolmanager(*args, **how)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: Any, **how: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **how)
        if isinstance(manager, ProxyManager):
            manager.pool_classes_by_scheme = _POOLS
        elif _here.line is not None:
            # A SOCKS proxy has connections of its own kind: nothing is known of them, so nothing is promised.
            _here.line.take(None)
        return manager


_idle: weakref.WeakSet[_Idle] = weakref.WeakSet()
_adapters: weakref.WeakSet[Adapter] = weakref.WeakSet()


def _after_fork() -> None:
    for idle in list(_idle):
        idle.renew_locks()  # first: the adapters' former pools end when they are let go, and empty them
    adapter: Any
    for adapter in list(_adapters):
        adapter.__setstate__(adapter.__getstate__())  # as if it had been pickled, and sent to another process


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
