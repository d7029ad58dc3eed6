"""The chat socket: its door, its frames, its end."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable

import numpy as np
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus

from heygen_avatar.simulator import Limits, Simulator
from heygen_avatar.simulator.chat import ChatSocket, read_frame

from .visitors import Caller, Visitor, chat_socket, chatting

# Frames are written by hand here: the same library at both ends would prove nothing.


def part(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(encoded) + bytes([value])


def text_frame(text: str) -> bytes:
    return part(1, part(3, text.encode()))


def audio_frame(samples: list[int], *, rate: int = 0, channels: int = 0) -> bytes:
    content = part(3, struct.pack(f"<{len(samples)}h", *samples))
    if rate:
        content += varint(4 << 3) + varint(rate)
    if channels:
        content += varint(5 << 3) + varint(channels)
    return part(2, content)


def test_a_text_frame_is_its_text() -> None:
    assert read_frame(text_frame("Grüße")) == "Grüße"


def test_an_audio_frame_is_its_samples_and_their_rate() -> None:
    frame = read_frame(audio_frame([1, -2, 32767], rate=24_000, channels=1))
    assert isinstance(frame, tuple)
    assert (frame[0].tolist(), frame[1]) == ([1, -2, 32767], 24_000)


def test_audio_that_says_no_more_is_16_kilohertz_mono() -> None:
    frame = read_frame(audio_frame([5, 6]))
    assert isinstance(frame, tuple)
    assert (frame[0].tolist(), frame[1]) == ([5, 6], 16_000)


def test_stereo_is_heard_as_mono() -> None:
    frame = read_frame(audio_frame([10, 20, -10, -20], channels=2))
    assert isinstance(frame, tuple)
    assert frame[0].tolist() == [15, -15]


@pytest.mark.parametrize(
    "frame",
    [b"", b"\xff\xff", part(2, part(3, b"odd")), part(3, part(3, b"a transcription")), part(1, part(3, b"\xff"))],
    ids=["empty", "no protobuf", "odd audio", "transcription", "no UTF-8"],
)
def test_anything_else_is_no_frame(frame: bytes) -> None:
    assert read_frame(frame) is None


@given(st.binary())
def test_no_bytes_break_the_reader(frame: bytes) -> None:
    read = read_frame(frame)
    assert read is None or isinstance(read, str) or isinstance(read[0], np.ndarray)


def test_an_event_goes_out_as_json_under_its_own_key() -> None:
    class Nobody:
        def on_chat_text(self, text: str) -> None: ...
        def on_chat_audio(self, samples: NDArray[np.int16], sample_rate: int) -> None: ...
        def on_chat_garbage(self) -> None: ...

    async def listen() -> list[str | bytes]:
        chat = ChatSocket(Nobody())
        application = web.Application()
        application.router.add_get("/", chat.run)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with connect_async(f"ws://127.0.0.1:{port}/") as client:
            chat.tell("user_start")
            chat.tell("user_silence", silence_times=1, count_down=10)
            heard = [await client.recv() for _ in range(2)]
            await chat.close()
        await runner.cleanup()
        return heard

    assert [json.loads(event) for event in asyncio.run(listen())] == [
        {"event_type": "user_start"},
        {"event_type": "user_silence", "silence_times": 1, "count_down": 10},
    ]


# The door


@pytest.mark.parametrize("token", ["", "wrong"])
def test_the_door_stays_shut_without_a_token(caller: Caller, token: str) -> None:
    session_id = caller.started()["session_id"]
    with pytest.raises(InvalidStatus) as refused:
        chat_socket(caller.simulator, session_id=session_id, session_token=token)
    assert refused.value.response.status_code == 401
    assert b'"code": 400112' in refused.value.response.body


def test_the_door_stays_shut_for_the_token_of_another_session(caller: Caller) -> None:
    mine, other = caller.started()["session_id"], caller.started()["session_id"]
    with pytest.raises(InvalidStatus) as refused:
        chat_socket(caller.simulator, session_id=other, session_token=caller.token(session_id=mine))
    assert refused.value.response.status_code == 401


def test_the_door_stays_shut_after_the_session(caller: Caller) -> None:
    session_id = caller.started()["session_id"]
    token = caller.token(session_id=session_id)
    caller.post("/v1/streaming.stop", session_id=session_id)
    with pytest.raises(InvalidStatus) as refused:
        chat_socket(caller.simulator, session_id=session_id, session_token=token)
    assert refused.value.response.status_code == 400
    assert b'"code": 10005' in refused.value.response.body


# What goes on


def test_a_text_is_answered_over_the_data_channel(caller: Caller) -> None:
    with caller.visited() as (session_id, visitor), chatting(caller, session_id) as socket:
        socket.send(text_frame("What is your name?"))
        visitor.until_heard("avatar_stop_talking")
        assert visitor.packets[0]["message"] == "What is your name?"
        assert "avatar_talking_message" in visitor.types()


def test_garbage_is_ignored_and_counted(caller: Caller) -> None:
    garbage: list[str | bytes] = ["a text", b"\xff\xff", b"", text_frame(""), text_frame("a" * 1001)]
    with caller.visited() as (session_id, visitor), chatting(caller, session_id) as socket:
        for message in garbage:
            socket.send(message)
        socket.send(text_frame("Hello"))
        visitor.until_heard("avatar_stop_talking")
        assert caller.record(session_id)["ignored_messages"] == len(garbage)


def test_texts_wait_for_a_client_that_is_still_on_its_way(caller: Caller) -> None:
    session = caller.started()
    visitor = Visitor()
    try:
        with chatting(caller, session["session_id"]) as socket:
            socket.send(text_frame("First"))
            socket.send(text_frame("Second"))
            socket.ping().wait(10)
            visitor.enter(session["url"], session["access_token"])
            asked = visitor.until_heard("user_talking_message", count=2)
            assert [packet["message"] for packet in asked] == ["First", "Second"]
    finally:
        visitor.leave()


def test_only_a_few_texts_wait(caller: Caller) -> None:
    session_id = caller.started()["session_id"]
    with chatting(caller, session_id) as socket:
        for _ in range(12):
            socket.send(text_frame("Hello"))
        socket.ping().wait(10)
        assert caller.record(session_id)["ignored_messages"] == 2


def test_the_opening_text_is_said_to_a_client_that_is_there(caller: Caller) -> None:
    with (
        caller.visited() as (session_id, visitor),
        chatting(caller, session_id, opening_text="Welcome!", arch_version="v2", silence_response="false"),
    ):
        visitor.until_heard("avatar_stop_talking")
        assert visitor.until_heard("avatar_talking_message")[0]["message"] == "Welcome!"


def test_the_users_voice_keeps_the_session_alive_and_their_silence_does_not(
    make_simulator: Callable[..., Simulator],
) -> None:
    caller = Caller(make_simulator(limits=Limits(idle_timeout=0.6)))
    spoken_to, muted = caller.started()["session_id"], caller.started()["session_id"]
    with chatting(caller, spoken_to) as voice, chatting(caller, muted) as silence:
        while caller.record(muted)["state"] != "closed":
            voice.send(audio_frame([8000, -8000] * 256))
            try:
                silence.send(audio_frame([0] * 512))
            except ConnectionClosed:
                break
        assert caller.await_state(muted, "closed")["end_reason"] == "idle_timeout"
        assert caller.record(spoken_to)["state"] == "connecting"


def test_the_socket_closes_with_the_session(caller: Caller) -> None:
    session_id = caller.started()["session_id"]
    with chatting(caller, session_id) as socket:
        caller.post("/v1/streaming.stop", session_id=session_id)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000


def test_the_session_goes_on_when_the_socket_closes(caller: Caller) -> None:
    with caller.visited() as (session_id, visitor):
        with chatting(caller, session_id) as socket:
            socket.send(text_frame("Hello"))
        visitor.until_heard("avatar_stop_talking")
        with chatting(caller, session_id) as socket:
            socket.send(text_frame("Hello again"))
            visitor.until_heard("avatar_stop_talking", count=2)
        told = [packet["message"] for packet in visitor.packets if packet["type"] == "user_talking_message"]
        assert told == ["Hello", "Hello again"]
        assert caller.record(session_id)["state"] == "connected"
