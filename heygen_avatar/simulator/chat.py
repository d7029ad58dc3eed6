"""The chat socket of streaming v1: protobuf frames in, JSON events out (heygen-streaming-v1 §2.2).

One :class:`ChatSocket` reads one client's frames and writes one session's events. What the user's words and voice
mean is its listener's business. The frame's message type is built here, at run time, from the published layout.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from aiohttp import web
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from heygen_avatar.simulator.json_socket import JsonSocket

SAMPLE_RATE = 16_000
"""What clients send: 16 kHz, mono, int16 (heygen-streaming-v1 §2.2)."""


class ChatListener(Protocol):
    """Who hears what the user sends on the socket."""

    def on_chat_text(self, text: str) -> None:
        """The user wrote something to the avatar."""

    def on_chat_audio(self, samples: NDArray[np.int16], sample_rate: int) -> None:
        """A piece of the user's voice, (n,) int16, mono; zeros while the user is muted."""

    def on_chat_garbage(self) -> None:
        """Something came that is no frame, or a frame that is of no use."""


class ChatSocket:
    """One client's chat socket."""

    def __init__(self, listener: ChatListener) -> None:
        self._listener = listener
        self._socket = JsonSocket(self._hear)

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        """Serve the socket until either side closes it."""
        return await self._socket.run(request)

    def tell(self, event_type: str, **facts: Any) -> None:
        """Send an event; the key is ``event_type`` here, not ``type`` as on the data channel."""
        self._socket.tell({"event_type": event_type, **facts})

    async def close(self) -> None:
        """Close the socket: its session is over."""
        await self._socket.close(reason="session closed")

    def _hear(self, data: str | bytes) -> None:
        frame = read_frame(data) if isinstance(data, bytes) else None
        if isinstance(frame, str):
            self._listener.on_chat_text(frame)
        elif frame is not None:
            self._listener.on_chat_audio(*frame)
        else:
            self._listener.on_chat_garbage()


def read_frame(data: bytes) -> str | tuple[NDArray[np.int16], int] | None:
    """A frame's text, or its samples and their rate, or None for what is neither."""
    frame: Any = _Frame()
    try:
        frame.ParseFromString(data)
    except DecodeError:
        return None
    kind = frame.WhichOneof("frame")
    if kind == "text":
        return str(frame.text.text)
    if kind == "audio":
        return _read_audio(frame.audio)
    return None


def _read_audio(audio: Any) -> tuple[NDArray[np.int16], int] | None:
    channels = audio.num_channels or 1
    if len(audio.audio) % (2 * channels):
        return None
    samples = np.frombuffer(audio.audio, dtype="<i2").reshape(-1, channels)
    return samples.mean(axis=1).astype(np.int16), audio.sample_rate or SAMPLE_RATE


def _frame_class() -> type[Message]:
    # A pool of our own: other packages in the process may define pipecat.Frame for themselves.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_layout())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("pipecat.Frame"))


def _layout() -> descriptor_pb2.FileDescriptorProto:
    field = descriptor_pb2.FieldDescriptorProto
    layout = descriptor_pb2.FileDescriptorProto(name="pipecat/frames.proto", package="pipecat", syntax="proto3")
    for message, names in _MESSAGES.items():
        entry = layout.message_type.add(name=message)
        for number, (name, kind) in enumerate(names, start=1):
            entry.field.add(name=name, number=number, type=kind, label=field.LABEL_OPTIONAL)
    frame = layout.message_type.add(name="Frame")
    frame.oneof_decl.add(name="frame")
    for number, (name, message) in enumerate(_FRAME, start=1):
        frame.field.add(
            name=name,
            number=number,
            type=field.TYPE_MESSAGE,
            type_name=f".pipecat.{message}",
            label=field.LABEL_OPTIONAL,
            oneof_index=0,
        )
    return layout


_UINT64 = descriptor_pb2.FieldDescriptorProto.TYPE_UINT64
_UINT32 = descriptor_pb2.FieldDescriptorProto.TYPE_UINT32
_STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_BYTES = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
_HEAD = (("id", _UINT64), ("name", _STRING))
_MESSAGES = {
    "TextFrame": (*_HEAD, ("text", _STRING)),
    "AudioRawFrame": (*_HEAD, ("audio", _BYTES), ("sample_rate", _UINT32), ("num_channels", _UINT32)),
    "TranscriptionFrame": (*_HEAD, ("text", _STRING), ("user_id", _STRING), ("timestamp", _STRING)),
}
_FRAME = (("text", "TextFrame"), ("audio", "AudioRawFrame"), ("transcription", "TranscriptionFrame"))
_Frame = _frame_class()
