"""The socket for one's own sound: the client sends speech as PCM, the avatar says it (heygen-streaming-v1 §2.4).

One :class:`SoundSocket` turns its JSON messages into orders to a speaker, and knows no session.
"""

from __future__ import annotations

import base64
import json
from typing import Protocol

import av
import numpy as np
from aiohttp import WSMsgType, web
from numpy.typing import NDArray

from heygen_avatar.simulator.line import Line
from heygen_avatar.simulator.stage import SAMPLE_RATE

SENT_RATE = 24_000
"""What clients send: 24 kHz, mono, int16 (heygen-streaming-v1 §2.4)."""


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
        self._line: Line | None = None
        self._resampler = _new_resampler()

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

    def _speak(self, samples: NDArray[np.int16]) -> None:
        if self._line is None or self._line.over:
            self._line = self._speaker.play()
            self._resampler = _new_resampler()
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.rate = SENT_RATE
        self._append(frame)

    def _end_speech(self) -> None:
        if self._line is not None:
            self._append(None)  # the resampler still has the last milliseconds
            self._line.end()
            self._line = None

    def _append(self, frame: av.AudioFrame | None) -> None:
        if self._line is not None:
            for piece in self._resampler.resample(frame):
                self._line.append(piece.to_ndarray().reshape(-1).astype(np.int16, copy=False))


def read_samples(audio: object) -> NDArray[np.int16]:
    """Base64 of int16 samples, at least one.

    Raises:
        ValueError: it is something else.
    """
    raw = base64.b64decode(audio, validate=True) if isinstance(audio, str) else b""
    if not raw or len(raw) % 2:
        raise ValueError("not a piece of sound")
    return np.frombuffer(raw, dtype="<i2")


def _new_resampler() -> av.AudioResampler:
    return av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
