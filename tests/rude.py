"""An HTTP server over real sockets that answers as a test tells it to, politely or not."""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import frozen

Manner = Callable[["Visit"], None]


@frozen
class Heard:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    came_from: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Visit(BaseHTTPRequestHandler):
    """One connection; a manner writes to it what it likes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: RudeServer
    heard: Heard

    def setup(self) -> None:
        super().setup()
        self.server.connections.append(self.connection)

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        manners = self.server.manners
        manner = manners.popleft() if len(manners) > 1 else manners[0]
        self.heard = Heard(self.command, self.path, headers, body, self.client_address[1])
        self.server.heard.append(self.heard)
        self.server.visited.release()
        try:
            manner(self)
        except OSError:
            self.close_connection = True  # the caller left, as many tests want it

    do_GET = do_POST = do_PATCH = do_DELETE = answer

    def log_message(self, *_: Any) -> None:
        pass


class RudeServer(ThreadingHTTPServer):
    """Answers each request by the next of its manners; the last one stays."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.manners: deque[Manner] = deque([says({"code": 100, "message": "success", "data": None})])
        self.heard: list[Heard] = []
        self.visited = threading.Semaphore(0)
        self.leaving = threading.Event()
        self.connections: list[socket.socket] = []
        self._context = context
        super().__init__(("127.0.0.1", 0), Visit)
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="rude-server", daemon=True)
        self.thread.start()

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def base_path(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    def will(self, *manners: Manner) -> None:
        """Behave like this from now on."""
        self.manners = deque(manners)

    def stop(self) -> None:
        self.leaving.set()
        self.shutdown()
        self.server_close()
        self.thread.join(5)
        for connection in self.connections:
            connection.close()


def says(value: Any, status: int = 200, **headers: str) -> Manner:
    """Answer with JSON."""
    return sends(json.dumps(value).encode(), status, **{"Content_Type": "application/json", **headers})


def sends(body: bytes, status: int = 200, **headers: str) -> Manner:
    """Answer with these bytes."""

    def manner(visit: Visit) -> None:
        visit.send_response(status)
        for name, value in headers.items():
            visit.send_header(name.replace("_", "-"), value)
        if status not in (204, 304):
            visit.send_header("Content-Length", str(len(body)))
        visit.end_headers()
        if status not in (204, 304):
            visit.wfile.write(body)

    return manner


def after(event: threading.Event, then: Manner) -> Manner:
    """Answer when the test says so, or never."""

    def manner(visit: Visit) -> None:
        while not event.wait(0.02):
            if visit.server.leaving.is_set():
                return
        then(visit)

    return manner


def is_silent(visit: Visit) -> None:
    """Take the request, and say nothing."""
    visit.server.leaving.wait(20)
    visit.close_connection = True


def trickles(opening: bytes) -> Manner:
    """Begin an answer, and go on by one byte every 50 ms: no single read of the client ever waits long."""

    def manner(visit: Visit) -> None:
        visit.wfile.write(opening)
        while not visit.server.leaving.wait(0.05):
            visit.wfile.write(b"x")

    return manner


TRICKLES_HEADERS = trickles(b"HTTP/1.1 200 OK\r\nX-Filler: ")
TRICKLES_BODY = trickles(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")


def hangs_up(visit: Visit) -> None:
    """Take the request and reset the connection."""
    # SO_LINGER of zero makes close() a reset.
    visit.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visit.close_connection = True


def forgets_tls(visit: Visit) -> None:
    """Take the request and answer past the encryption, as a broken middlebox does."""
    os.write(visit.connection.fileno(), b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
    visit.close_connection = True


def breaks_off(visit: Visit) -> None:
    """Promise more than is sent."""
    visit.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"code": 100, "data": {"session_id"')
    visit.close_connection = True
