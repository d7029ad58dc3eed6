"""Watches the whole suite for secrets that get out: into log records, errors, output, reports and files.

The simulator makes every key and token that the tests use, so nothing has to be guessed: what it made must not be seen
again anywhere but on the wire.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heygen_avatar.errors import APIError, HeyGenError
from heygen_avatar.simulator import Simulator
from heygen_avatar.simulator.accounts import Account
from heygen_avatar.simulator.liveavatar.tokens import Tokens
from heygen_avatar.simulator.sfu import Sfu

CHATTY = ("aioice", "aiortc", "asyncio", "PIL", "hypothesis", "websockets.client", "websockets.server")
"""Loggers that are not asked for their DEBUG records: those of WebRTC come with every packet, and the tests' own
websocket clients log what they send. The package's sockets log elsewhere."""

LARGEST_FILE = 64 * 2**20


class SecretWatch(logging.Handler):
    """Knows the secrets, and keeps where one was seen since it was last asked."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self._marks: set[str] = set()
        self._leaks: list[str] = []

    def learn(self, secret: str) -> None:
        # Whatever is shown of it: a token's ends say little, its middle and, of a JWT, its signature are the secret.
        if len(secret) < 16:
            return  # a test's own word for a key, such as "mine": seen elsewhere, it is no secret
        self._marks.add(secret[20:60] if len(secret) > 60 and "." not in secret else secret[-24:])

    def look(self, text: str, where: str) -> None:
        if any(mark in text for mark in self._marks):
            self._leaks.append(where)

    def look_into(self, folder: Path) -> None:
        for path in folder.rglob("*"):
            if path.is_file() and path.stat().st_size < LARGEST_FILE:
                self.look(path.read_bytes().decode("latin-1"), f"file {path.name}")

    def take(self) -> list[str]:
        leaks, self._leaks = self._leaks, []
        return leaks

    def emit(self, record: logging.LogRecord) -> None:
        # What a formatter would print: the message, the traceback with its chain, the stack.
        self.look(_formatter.format(record), f"log record of {record.name}, {record.pathname}:{record.lineno}")

    def install(self, patch: Any) -> None:
        """Learn every secret that is made from now on, and look at every error."""
        self._learn_from(patch, Account, "new_token")
        self._learn_from(patch, Sfu, "sign")
        self._learn_from(patch, Tokens, "issue")
        self._after(patch, Simulator, "__init__", lambda simulator: self.learn(simulator.api_key))
        for kind in (HeyGenError, APIError):
            self._after(patch, kind, "__init__", self._look_at_error)

    def _look_at_error(self, error: Exception) -> None:
        self.look(f"{error} {error!r} {vars(error)!r}", f"error {type(error).__name__}")

    def _learn_from(self, patch: Any, owner: type, name: str) -> None:
        original: Callable[..., str] = getattr(owner, name)

        @functools.wraps(original)
        def making(*args: Any, **fields: Any) -> str:
            secret = original(*args, **fields)
            self.learn(secret)
            return secret

        patch.setattr(owner, name, making)

    def _after(self, patch: Any, owner: type, name: str, look: Callable[[Any], None]) -> None:
        original: Callable[..., None] = getattr(owner, name)

        @functools.wraps(original)
        def doing(one: Any, *args: Any, **fields: Any) -> None:
            original(one, *args, **fields)
            look(one)

        patch.setattr(owner, name, doing)


_formatter = logging.Formatter("%(message)s")


def listen(watch: SecretWatch) -> None:
    """Give ``watch`` every log record from DEBUG on; what tests see of logging is set apart by pytest's log_level."""
    root = logging.getLogger()
    root.setLevel(logging.DEBUG)
    root.addHandler(watch)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.INFO)
    if os.environ.get("HEYGEN_API_KEY"):
        watch.learn(os.environ["HEYGEN_API_KEY"])
