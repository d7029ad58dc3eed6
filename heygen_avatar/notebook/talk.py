"""Hold to talk: the browser's microphone, from the page's messages into a voice chat.

A kernel on a remote machine has no microphone; the page does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..deadline import Deadline
from ..errors import HeyGenError
from ..media.sources import Samples

if TYPE_CHECKING:
    from ..avatar import StreamingAvatar
    from ..utterance import Utterance

__all__ = ["HoldToTalk"]

log = logging.getLogger("heygen_avatar.notebook")

VOICE_TIMEOUT = 15.0
"""Seconds in which a voice chat must be open."""

SAID_TIMEOUT = 10.0
"""Seconds in which the last of what was said must be sent after the button was let go."""

Order = Callable[["StreamingAvatar"], None]


class HoldToTalk:
    """One button in a page. ``obey`` is given what is to be done with the avatar, which may take its time."""

    def __init__(self, obey: Callable[[Order], None]) -> None:
        self._obey = obey
        self._turn: _Turn | None = None

    def start(self, sample_rate: int) -> None:
        """The button is held, and its microphone open."""
        self.end()
        self._turn = turn = _Turn(sample_rate)
        self._obey(turn.begin)

    def hear(self, sound: bytes) -> None:
        """A piece of what is said."""
        if self._turn is not None:
            self._turn.hear(sound)

    def end(self) -> None:
        """The button is let go."""
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.end()
            self._obey(turn.finish)


class _Turn:
    """What the user says while the button is held."""

    def __init__(self, sample_rate: int) -> None:
        self._voice = Samples(sample_rate=sample_rate)
        self._utterance: Utterance | None = None
        self._let_go: Callable[[], None] | None = None

    def hear(self, sound: bytes) -> None:
        try:
            self._voice.push(sound, timeout=0)
        except HeyGenError as error:  # the voice chat is gone, or half a minute behind: there is no way to catch up
            log.debug("a piece of the user's voice was left out: %s", error)

    def end(self) -> None:
        try:
            self._voice.end()
        except HeyGenError as error:
            log.debug("the user's voice ended oddly: %s", error)

    def begin(self, avatar: StreamingAvatar) -> None:
        voice, button = avatar._voice_for_asking(self._voice, Deadline.after(VOICE_TIMEOUT))
        if button is not None:
            button(held=True)
            self._let_go = lambda: button(held=False)
        self._utterance = voice.speak(self._voice)

    def finish(self, avatar: StreamingAvatar) -> None:
        try:
            # Only push-to-talk waits for the last word: without, silence behind it ends the user's turn.
            if self._utterance is not None and self._let_go is not None:
                self._utterance.wait(SAID_TIMEOUT)
        finally:
            if self._let_go is not None:
                self._let_go()
