"""Voice chat of streaming v1, from a real chat socket and a real LiveKit microphone to the avatar's answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from numpy.typing import NDArray
from websockets.sync.client import ClientConnection

from heygen_avatar.simulator import Hearing, Limits, RecogniserSettings, Simulator
from heygen_avatar.simulator.recogniser import StandInRecogniser
from heygen_avatar.simulator.voice_chat import Ears
from heygen_avatar.simulator.voice_chat import VoiceChat as SessionVoiceChat

from .guests import Watch, on_a_loop
from .sounds import RATE, at_rate, click, hum, silence, spoken
from .transcribers import transcriber
from .visitors import PATIENCE, Caller, Visitor, chatting

QUESTION = spoken("Hello there, how are you?")
PAUSE = silence(0.5)
"""Longer than the simulator waits for more."""

KNOWLEDGE = "Speech is silver."
"""A short answer to what the stand-in for a transcript says."""


def frame_class() -> Any:
    """pipecat.Frame with its audio alone, as heygen-streaming-v1 §2.2 lays it out."""
    field = descriptor_pb2.FieldDescriptorProto
    layout = descriptor_pb2.FileDescriptorProto(name="voice.proto", package="pipecat", syntax="proto3")
    audio = layout.message_type.add(name="AudioRawFrame")
    audio.field.add(name="audio", number=3, type=field.TYPE_BYTES)
    audio.field.add(name="sample_rate", number=4, type=field.TYPE_UINT32)
    audio.field.add(name="num_channels", number=5, type=field.TYPE_UINT32)
    frame = layout.message_type.add(name="Frame")
    frame.field.add(name="audio", number=2, type=field.TYPE_MESSAGE, type_name=".pipecat.AudioRawFrame")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(layout)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("pipecat.Frame"))


Frame = frame_class()


class ChatMicrophone:
    """A user's voice on the chat socket, sent faster than it sounds; 512 samples a frame, as official clients send."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    def send(self, *sounds: NDArray[np.int16], rate: int = RATE) -> None:
        samples = np.concatenate(sounds)
        for start in range(0, len(samples), 512):
            self.send_bytes(samples[start : start + 512].astype("<i2").tobytes(), rate)

    def send_until_heard(self, sound: NDArray[np.int16]) -> dict[str, Any]:
        """Say it again and again until that leads to an event: nothing tells when a button's packet has arrived."""
        for _ in range(100):
            self.send(sound)
            with suppress(TimeoutError):
                event: dict[str, Any] = json.loads(self._socket.recv(timeout=0.1))
                return event
        raise AssertionError("nobody listens")

    def send_bytes(self, audio: bytes, rate: int) -> None:
        frame = Frame()
        frame.audio.audio, frame.audio.sample_rate, frame.audio.num_channels = audio, rate, 1
        self._socket.send(frame.SerializeToString())

    def hears(self) -> dict[str, Any]:
        """The next event on the socket."""
        event: dict[str, Any] = json.loads(self._socket.recv(timeout=PATIENCE))
        return event

    def hears_nothing_more(self) -> None:
        self._socket.ping().wait(PATIENCE)
        with pytest.raises(TimeoutError):
            self._socket.recv(timeout=0)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(
        limits=Limits(credits=1e9), stt=RecogniserSettings(engine="none"), hearing=Hearing(pause=0.3)
    ) as simulator:
        yield simulator


@contextmanager
def voice_chat(caller: Caller, *, query: dict[str, str] | None = None, **fields: Any) -> Iterator[VoiceChat]:
    fields = {"knowledge_base": KNOWLEDGE, **fields}
    with caller.visited(**fields) as (session_id, visitor), chatting(caller, session_id, **(query or {})) as socket:
        yield VoiceChat(session_id, visitor, ChatMicrophone(socket))


class VoiceChat(NamedTuple):
    session_id: str
    visitor: Visitor
    chat: ChatMicrophone


def words(packets: list[dict[str, Any]], kind: str) -> str:
    return "".join(packet["message"] for packet in packets if packet["type"] == kind)


def is_answered(visitor: Visitor) -> list[dict[str, Any]]:
    """The packets up to the end of an answer."""
    visitor.until_heard("avatar_stop_talking")
    return visitor.packets


# On the chat socket


def test_on_the_chat_socket_a_turn_is_told_and_answered(caller: Caller) -> None:
    with voice_chat(caller) as (_, visitor, chat):
        chat.send(QUESTION, PAUSE)
        assert [chat.hears(), chat.hears()] == [{"event_type": "user_start"}, {"event_type": "user_stop"}]
        packets = is_answered(visitor)
    assert visitor.types()[:4] == [
        "user_talking_message",
        "user_talking_message",
        "user_end_message",
        "avatar_start_talking",
    ]
    assert re.fullmatch(r"\(1\.\d seconds of speech\)", words(packets, "user_talking_message"))
    assert words(packets, "avatar_talking_message") == KNOWLEDGE
    assert len({packet["task_id"] for packet in packets}) == 1


def test_a_second_turn_is_answered_as_the_first_was(caller: Caller) -> None:
    with voice_chat(caller) as (_, visitor, chat):
        for count in (1, 2):
            chat.send(QUESTION, PAUSE)
            assert [chat.hears()["event_type"], chat.hears()["event_type"]] == ["user_start", "user_stop"]
            visitor.until_heard("avatar_stop_talking", count=count)
        assert len({packet["task_id"] for packet in visitor.packets}) == 2


def test_a_sound_file_of_another_rate_is_heard(caller: Caller) -> None:
    with voice_chat(caller) as (_, visitor, chat):
        chat.send(at_rate(np.concatenate([QUESTION, PAUSE]), RATE, 44_100), rate=44_100)
        visitor.until_heard("user_end_message")
        assert re.fullmatch(r"\(1\.\d seconds of speech\)", words(visitor.packets, "user_talking_message"))


def test_a_click_and_a_hum_are_no_turn(caller: Caller) -> None:
    with voice_chat(caller) as (_, visitor, chat):
        chat.send(click(), PAUSE, hum(100, 2), PAUSE)
        chat.hears_nothing_more()
        chat.send(QUESTION, PAUSE)
        assert [chat.hears()["event_type"], chat.hears()["event_type"]] == ["user_start", "user_stop"]
        visitor.until_heard("user_end_message")


def test_frames_of_no_use_are_counted_and_the_next_are_heard(caller: Caller) -> None:
    with voice_chat(caller) as (session_id, _, chat):
        chat.send(QUESTION[:8000])
        chat.send_bytes(b"odd", RATE)
        chat.send_bytes(b"even", 1)
        chat.send_bytes(b"", 0)
        chat.send(QUESTION[8000:], PAUSE)
        assert [chat.hears()["event_type"], chat.hears()["event_type"]] == ["user_start", "user_stop"]
        chat.hears_nothing_more()
        assert caller.record(session_id)["ignored_messages"] == 2


def test_a_microphone_in_the_room_is_not_heard_in_the_socket_transport(caller: Caller) -> None:
    with voice_chat(caller) as (_, visitor, chat):
        visitor.open_microphone()
        visitor.speak(QUESTION, PAUSE)
        chat.hears_nothing_more()
        assert visitor.packets == []


# In the room


def test_in_the_room_a_turn_is_told_and_answered(caller: Caller) -> None:
    with voice_chat(caller, ia_is_livekit_transport=True) as (_, visitor, chat):
        visitor.open_microphone()
        visitor.speak(PAUSE, QUESTION, PAUSE)
        packets = is_answered(visitor)
        chat.hears_nothing_more()
    assert visitor.types()[:6] == [
        "user_start",
        "user_talking_message",
        "user_talking_message",
        "user_end_message",
        "user_stop",
        "avatar_start_talking",
    ]
    assert re.fullmatch(r"\(\d\.\d seconds of speech\)", words(packets, "user_talking_message"))
    assert packets[0] == {"type": "user_start"}
    assert packets[1]["task_id"] == packets[-1]["task_id"]


def test_a_muted_microphone_is_not_heard_until_it_is_unmuted(caller: Caller) -> None:
    with voice_chat(caller, ia_is_livekit_transport=True) as (_, visitor, _):
        microphone = visitor.open_microphone()
        visitor.speak(silence(0.2))
        microphone.mute()
        visitor.speak(QUESTION, PAUSE)
        assert visitor.packets == []
        microphone.unmute()
        visitor.speak(QUESTION, PAUSE)
        visitor.until_heard("user_stop")
        assert visitor.types().count("user_start") == 1


def test_sound_on_the_socket_is_not_heard_in_the_room_transport(caller: Caller) -> None:
    with voice_chat(caller, ia_is_livekit_transport=True) as (_, visitor, chat):
        chat.send(QUESTION, PAUSE)
        chat.hears_nothing_more()
        visitor.send(b'"Hello"')
        is_answered(visitor)
        assert "user_start" not in visitor.types()


# Interrupting


def test_the_avatar_falls_silent_when_the_user_begins_to_speak(caller: Caller) -> None:
    with voice_chat(caller) as (session_id, visitor, chat):
        caller.post("/v1/streaming.task", session_id=session_id, text="One sentence. " * 20, task_mode="async")
        visitor.until_heard("avatar_start_talking")
        chat.send(QUESTION)
        assert chat.hears() == {"event_type": "user_start"}
        (stop,) = visitor.until_heard("avatar_stop_talking")
        assert stop["duration_ms"] < 5000
        chat.send(PAUSE)
        visitor.until_heard("avatar_stop_talking", count=2)
        assert visitor.packets[-1]["task_id"] != stop["task_id"]


def test_the_answer_remembers_what_was_said_aloud(make_simulator: Callable[..., Simulator]) -> None:
    with transcriber((200, b'{"text": "My name is Alice."}')) as service:
        caller = Caller(make_simulator(stt=RecogniserSettings(url=service.url)))
        with voice_chat(caller) as (_, visitor, chat):
            chat.send(QUESTION, silence(1))
            is_answered(visitor)
            assert words(visitor.packets, "user_talking_message") == "My name is Alice."
            visitor.send(b'"What is my name?"')
            visitor.until_heard("avatar_stop_talking", count=2)
            assert words(visitor.packets, "avatar_talking_message").endswith("Your name is Alice.")


@pytest.mark.skipif(find_spec("pocketsphinx") is None, reason="needs the extra stt (pocketsphinx)")
@pytest.mark.skipif(find_spec("espeakng_loader") is None, reason="needs the extra voice (espeak-ng)")
def test_an_easy_question_is_understood_and_answered(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator(stt=RecogniserSettings(engine="pocketsphinx", deadline=PATIENCE)))
    with voice_chat(caller) as (_, visitor, chat):
        chat.send(PAUSE, spoken("How are you today?"), silence(1))
        packets = is_answered(visitor)
    assert words(packets, "user_talking_message") == "how are you today"
    assert words(packets, "avatar_talking_message").startswith("I am very well")


# Push-to-talk


def test_only_what_is_said_while_the_button_is_held_is_answered(caller: Caller) -> None:
    with voice_chat(caller, query={"push_to_talk": "true"}) as (_, visitor, chat):
        chat.send(QUESTION, PAUSE)
        chat.hears_nothing_more()
        visitor.send(b'"push_to_talk:start"')
        assert chat.send_until_heard(QUESTION) == {"event_type": "user_start"}
        visitor.send(b'"push_to_talk:stop"')
        assert chat.hears() == {"event_type": "user_stop"}
        is_answered(visitor)
        chat.send(QUESTION, PAUSE)
        chat.hears_nothing_more()


def test_in_the_room_too_the_button_must_be_held(caller: Caller) -> None:
    query = {"push_to_talk": "true"}
    with voice_chat(caller, query=query, ia_is_livekit_transport=True) as (_, visitor, _):
        visitor.open_microphone()
        visitor.speak(QUESTION, PAUSE)
        assert visitor.packets == []
        visitor.send(b'"push_to_talk:start"')
        visitor.speak(PAUSE, QUESTION)
        visitor.send(b'"push_to_talk:stop"')
        is_answered(visitor)
        assert visitor.types()[0] == "user_start"
        assert visitor.types().count("user_start") == 1


# Silence


@pytest.fixture
def hasty(make_simulator: Callable[..., Simulator]) -> Caller:
    """Calls a simulator that bears no long silence, and prompts twice."""
    hearing = Hearing(silence=0.2, silence_count_down=0.2, silence_prompts=2)
    return Caller(make_simulator(stt=RecogniserSettings(engine="none"), hearing=hearing))


def test_silence_is_told_on_the_socket_and_then_the_avatar_prompts(hasty: Caller) -> None:
    with voice_chat(hasty, query={"silence_response": "true"}) as (_, visitor, chat):
        for times in (1, 2):
            assert chat.hears() == {"event_type": "user_silence", "silence_times": times, "count_down": 1}
            visitor.until_heard("avatar_stop_talking", count=times)
        assert words(visitor.packets, "avatar_talking_message").startswith("Are you still there?")
        chat.send(QUESTION, silence(1))
        assert [chat.hears()["event_type"], chat.hears()["event_type"]] == ["user_start", "user_stop"]
        visitor.until_heard("avatar_stop_talking", count=3)
        assert chat.hears() == {"event_type": "user_silence", "silence_times": 1, "count_down": 1}


def test_in_the_room_silence_is_told_on_the_data_channel(hasty: Caller) -> None:
    with voice_chat(hasty, ia_is_livekit_transport=True, silence_response=True) as (_, visitor, chat):
        visitor.until_heard("avatar_stop_talking")
        assert visitor.packets[0] == {"type": "user_silence", "silence_times": 1, "count_down": 1}
        chat.hears_nothing_more()


def test_silence_is_borne_where_nobody_asked_for_prompts(hasty: Caller) -> None:
    with (
        voice_chat(hasty) as (_, quiet, chat),
        voice_chat(hasty, query={"silence_response": "true"}) as (_, prompted, _),
    ):
        prompted.until_heard("avatar_stop_talking")
        assert quiet.packets == []
        chat.hears_nothing_more()


class SilentPartner(Watch):
    """An avatar with nothing to say, and a note of what it is made to tell."""

    is_silent = True

    def tell(self, event: str, **facts: Any) -> None:
        self.add(event, facts)

    def tell_chats(self, event_type: str, **facts: Any) -> None:
        self.add(event_type, facts)

    def interrupt(self) -> None:
        self.add("interrupt")

    def answer(self, task_id: str, text: str) -> None:
        self.add("answer", text)

    def prompt(self, text: str) -> None:
        self.add("prompt", text)


@on_a_loop
async def test_who_holds_the_button_is_not_prompted_until_they_let_go() -> None:
    ears = Ears(
        hearing=Hearing(silence=0.05, silence_count_down=0.05),
        recogniser=StandInRecogniser(),
        transport="websocket",
        language="en",
        silence_prompts=True,
    )
    holding, waiting = SilentPartner(), SilentPartner()
    held, idle = SessionVoiceChat(holding, ears), SessionVoiceChat(waiting, ears)
    for voice_chat in (held, idle):
        voice_chat.chat_opened(push_to_talk=True, silence_prompts=False)
    held.push(held=True)
    await waiting.have("prompt")
    assert holding.events == []
    held.push(held=False)
    await holding.have("prompt")
    for voice_chat in (held, idle):
        await voice_chat.close()
