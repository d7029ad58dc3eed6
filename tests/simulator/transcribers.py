"""A transcription service like OpenAI's on a port of its own: it notes what it is sent and says what it is told."""

from __future__ import annotations

import email
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import define, field, frozen


@frozen(kw_only=True)
class Upload:
    """One request."""

    path: str
    authorization: str
    parts: dict[str, bytes]
    """The multipart form's values by name."""


@define(kw_only=True)
class Transcriber:
    """What is answered next, and what was asked so far. An empty list of answers means: never answer."""

    answers: list[tuple[int, bytes]]
    url: str = ""
    uploads: list[Upload] = field(factory=list)
    closing: threading.Event = field(factory=threading.Event)

    def reply(self, upload: Upload) -> tuple[int, bytes]:
        self.uploads.append(upload)
        if not self.answers:
            self.closing.wait()
            return 503, b""
        return self.answers.pop(0)


@contextmanager
def transcriber(*answers: tuple[int, bytes]) -> Iterator[Transcriber]:
    service = Transcriber(answers=list(answers))

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            upload = Upload(
                path=self.path,
                authorization=self.headers.get("Authorization", ""),
                parts=_parts(self.headers["Content-Type"], body),
            )
            status, content = service.reply(upload)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Tests print enough."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        server.daemon_threads = True
        service.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield service
        finally:
            service.closing.set()
            server.shutdown()
            thread.join()


def _parts(content_type: str, body: bytes) -> dict[str, bytes]:
    form = email.message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    values: dict[str, bytes] = {}
    for part in form.walk():
        name = part.get_param("name", header="content-disposition")
        if isinstance(part, Message) and isinstance(name, str):
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            values[name] = content
    return values
