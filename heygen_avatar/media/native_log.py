"""livekit's native log: kept out of the user's terminal, free of tokens, and its last complaint kept for our errors.

The native library logs through the logger ``livekit``, whether Python's logging is configured or not; unconfigured, a
refused connection prints a dozen lines into a notebook. A handler of ours stops that and changes nothing for a program
that configured logging: records go on to its handlers, without the tokens that an address in them may have.
"""

from __future__ import annotations

import logging
import re

__all__ = ["last_complaint", "quiet", "redacted"]

_SECRET = re.compile(r"(access_token|join_request|token)=[^&\s\"']+|\beyJ[\w-]+\.[\w-]+\.[\w-]+", re.IGNORECASE)


class _LastWords(logging.Handler):
    """Shows nothing; remembers the last warning."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "v1 path" not in text:  # older servers have none, which is no trouble
            self.text = text


def _redact(record: logging.LogRecord) -> bool:
    """Take tokens out of a record, and let it pass."""
    text = record.getMessage()
    clean = redacted(text)
    if clean != text:
        record.msg, record.args = clean, ()
    return True


_handler = _LastWords()


def quiet() -> None:
    """Put handler and filter in place; again and again does no harm."""
    native = logging.getLogger("livekit")
    native.addHandler(_handler)
    native.addFilter(_redact)
    _handler.text = ""


def last_complaint() -> str:
    """The last warning since ``quiet()``, without its address in the library and without secrets; maybe empty.

    It may be of another room of this process: good enough to explain a timeout, not to decide anything.
    """
    return redacted(_handler.text.rpartition(" - ")[2])


def redacted(text: str, *secrets: str) -> str:
    """The text without the secrets given, and without anything that looks like a token."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return _SECRET.sub(lambda match: f"{match[1]}=***" if match[1] else "***", text)
