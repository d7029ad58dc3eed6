"""The hand-written chat frames against protobuf's own runtime, with the official client's message types."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import example, given
from hypothesis import strategies as st

from heygen_avatar.protocols import pipecat

UINT64, STRING, BYTES, UINT32 = 4, 9, 12, 13  # FieldDescriptorProto.Type


def _frame_class() -> Any:
    """``pipecat.Frame`` by v1 reference §2.2, made by protobuf itself from a description."""
    file = descriptor_pb2.FileDescriptorProto(name="frames.proto", package="pipecat", syntax="proto3")
    messages = {
        "TextFrame": [("id", UINT64), ("name", STRING), ("text", STRING)],
        "AudioRawFrame": [
            ("id", UINT64),
            ("name", STRING),
            ("audio", BYTES),
            ("sample_rate", UINT32),
            ("num_channels", UINT32),
        ],
        "TranscriptionFrame": [
            ("id", UINT64),
            ("name", STRING),
            ("text", STRING),
            ("user_id", STRING),
            ("timestamp", STRING),
        ],
    }
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            message.field.add(name=field, number=number, type=kind, label=1)  # type: ignore[arg-type]
    frame = file.message_type.add(name="Frame")
    frame.oneof_decl.add(name="frame")
    for number, (field, kind_name) in enumerate(zip(("text", "audio", "transcription"), messages, strict=True), 1):
        frame.field.add(name=field, number=number, type=11, label=1, type_name=f".pipecat.{kind_name}", oneof_index=0)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call]
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("pipecat.Frame"))


Frame = _frame_class()

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts)
@example("")
@example("x" * 127)
@example("x" * 128)
@example("x" * 20_000)
@example("\x00 zero, é two, € three, 😀 four bytes")
def test_a_text_is_decoded_as_what_was_put_in(text: str) -> None:
    frame = Frame.FromString(pipecat.text_frame(text))
    assert frame.WhichOneof("frame") == "text"
    assert frame.text.text == text
    assert (frame.text.id, frame.text.name) == (0, "")


@given(texts.filter(bool))
def test_a_text_is_encoded_byte_for_byte_as_protobuf_does(text: str) -> None:
    assert pipecat.text_frame(text) == Frame(text={"text": text}).SerializeToString()


@given(st.binary(), st.integers(1, 2**32 - 1), st.integers(1, 8))
@example(b"", 16_000, 1)
def test_sound_is_decoded_as_what_was_put_in(samples: bytes, sample_rate: int, num_channels: int) -> None:
    frame = Frame.FromString(pipecat.audio_frame(samples, sample_rate=sample_rate, num_channels=num_channels))
    assert frame.WhichOneof("frame") == "audio"
    assert (frame.audio.audio, frame.audio.sample_rate, frame.audio.num_channels) == (
        samples,
        sample_rate,
        num_channels,
    )


@given(st.binary(min_size=1), st.integers(1, 2**32 - 1), st.integers(1, 8))
def test_sound_is_encoded_byte_for_byte_as_protobuf_does(samples: bytes, sample_rate: int, num_channels: int) -> None:
    theirs = Frame(audio={"audio": samples, "sample_rate": sample_rate, "num_channels": num_channels})
    ours = pipecat.audio_frame(samples, sample_rate=sample_rate, num_channels=num_channels)
    assert ours == theirs.SerializeToString()


def test_sound_is_by_default_what_the_official_client_sends() -> None:
    # 512 samples of signed 16 bits, 16 kHz, one channel: 32 ms (v1 reference §2.2).
    frame = Frame.FromString(pipecat.audio_frame(bytes(1024)))
    assert (len(frame.audio.audio), frame.audio.sample_rate, frame.audio.num_channels) == (1024, 16_000, 1)


@pytest.mark.parametrize("half", ["\ud83d", "\ude00"])
def test_half_a_character_becomes_a_question_mark_instead_of_an_exception(half: str) -> None:
    assert Frame.FromString(pipecat.text_frame(f"a{half}b")).text.text == "a?b"
