"""The socket for one's own sound: the client sends speech as PCM, the avatar says it (heygen-streaming-v1 §2.4).

One :class:`SoundSocket` turns its JSON messages into orders to a speaker, and knows no session.
"""

from __future__ import annotations

import base64
import json
from typing import Protocol

from aiohttp import WSMsgType, web

from heygen_avatar.simulator.inflow import Inflow
from heygen_avatar.simulator.line import Line


class Speaker(Protocol):
    """The avatar, as far as this socket orders it about."""

    def play(self) -> Line:
        """Begin to say what will be appended to the line."""

    def interrupt(self) -> None:
        """Fall silent."""

    def set_listening(self, listening: bool) -> None:
        """Take a listening pose, or leave it."""

    def keep_alive(self) -> None:
        """The client is there."""

    def ignore(self) -> None:
        """Count a message that is of no use."""


class SoundSocket:
    """One client's socket for its own sound."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        # A second of this sound is 64 kB as base64; clients send a second or less at a time.
        self._response = web.WebSocketResponse(timeout=1.0, heartbeat=30.0, max_msg_size=4 << 20)
        self._inflow: Inflow | None = None

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        """Serve the socket until either side closes it."""
        await self._response.prepare(request)
        try:
            async for message in self._response:
                self._obey(message.data if message.type is WSMsgType.TEXT else "")
        finally:
            self._end_speech()  # else the avatar would wait for the rest of it for ever
        return self._response

    async def close(self) -> None:
        """Close the socket: its session is over."""
        await self._response.close(message=b"session closed")

    def _obey(self, message: str) -> None:
        self._speaker.keep_alive()
        try:
            order = json.loads(message)
            kind = order["type"]
            samples = read_samples(order["audio"]) if kind == "agent.speak" else None
        except (ValueError, LookupError, TypeError, RecursionError):
            self._speaker.ignore()
            return
        if samples is not None:
            self._speak(samples)
        elif kind == "agent.speak_end":
            self._end_speech()
        elif kind == "agent.interrupt":
            self._speaker.interrupt()
        elif kind == "agent.start_listening":
            self._speaker.set_listening(True)
        elif kind in ("agent.stop_listening", "agent.end_listening"):
            self._speaker.set_listening(False)
        elif kind != "session.keep_alive":
            self._speaker.ignore()

    def _speak(self, pcm: bytes) -> None:
        if self._inflow is None or self._inflow.line.over:
            self._inflow = Inflow(self._speaker.play())
        self._inflow.append(pcm)

    def _end_speech(self) -> None:
        if self._inflow is not None:
            self._inflow.seal()
            self._inflow = None


def read_samples(audio: object) -> bytes:
    """Base64 of int16 samples, at least one.

    Raises:
        ValueError: it is something else.
    """
    raw = base64.b64decode(audio, validate=True) if isinstance(audio, str) else b""
    if not raw or len(raw) % 2:
        raise ValueError("not a piece of sound")
    return raw
