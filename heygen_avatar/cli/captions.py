"""The avatar's words on standard output, as they are spoken."""

from __future__ import annotations

import threading

import click

from heygen_avatar import AvatarTalkingMessage, StreamingAvatar, StreamingEvents


class Captions:
    """Prints what the avatar says, a line for each speech. Handlers print, in their thread; ``finish`` ends a line.

    Args:
        live: print each chunk as it comes; otherwise only whole lines.
    """

    def __init__(self, avatar: StreamingAvatar, *, live: bool, prefix: str = "") -> None:
        self._live = live
        self._prefix = prefix
        self._lock = threading.Lock()
        self._open = False
        self._printed = ""
        avatar.on(StreamingEvents.AVATAR_TALKING_MESSAGE, self._chunk)

    def begin(self) -> None:
        """A speech begins; chunks that come late from the one before are not shown."""
        with self._lock:
            self._open, self._printed = True, ""

    def finish(self, text: str) -> None:
        """It is over, and all of it was ``text``: print what is missing, and end the line."""
        with self._lock:
            self._open = False
            missing = text[len(self._printed) :] if text.startswith(self._printed) else ""
            if self._printed or missing:
                click.echo(("" if self._printed else self._prefix) + missing)

    def _chunk(self, event: AvatarTalkingMessage) -> None:
        with self._lock:
            if self._live and self._open:
                click.echo(event.message if self._printed else self._prefix + event.message.lstrip(), nl=False)
                self._printed += event.message if self._printed else event.message.lstrip()
