"""The chat socket's ``pipecat.Frame`` messages, as far as a client writes them (proto3; v1 reference §2.2).

Two fields of two messages: written by hand, so that speaking a line does not load a protobuf runtime.
"""

from __future__ import annotations

_BYTES = 2  # protobuf's wire types
_VARINT = 0


def text_frame(text: str) -> bytes:
    """``Frame{text: TextFrame{text}}``; lone surrogates, which UTF-8 cannot carry, become question marks."""
    return _field(1, _field(3, text.encode("utf-8", "replace")))


def audio_frame(samples: bytes, *, sample_rate: int = 16_000, num_channels: int = 1) -> bytes:
    """``Frame{audio: AudioRawFrame{audio, sample_rate, num_channels}}`` of signed 16-bit little-endian samples."""
    return _field(2, _field(3, samples) + _number(4, sample_rate) + _number(5, num_channels))


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
