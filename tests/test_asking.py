"""ask(): one question, one answer, in writing and aloud."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heygen_avatar import (
    MediaError,
    Samples,
    SessionClosedError,
    SessionNotStartedError,
    SpeechOutcome,
    StreamingAvatar,
    StreamingEvents,
    UsageError,
    WaitTimeoutError,
)
from heygen_avatar.simulator import Hearing, RecogniserSettings, Simulator
from tests.ears import tone, write_wave
from tests.simulator.sounds import silence, spoken

QUESTION = spoken("Hello there, how are you?")


@pytest.fixture(scope="module")
def service() -> Iterator[Simulator]:
    with Simulator(stt=RecogniserSettings(engine="none"), hearing=Hearing(pause=0.4)) as simulator:
        yield simulator


@pytest.fixture
def make_avatar(service: Simulator) -> Iterator[Callable[..., StreamingAvatar]]:
    made: list[StreamingAvatar] = []

    def make(simulator: Simulator = service, **wishes: Any) -> StreamingAvatar:
        made.append(StreamingAvatar(api_key=simulator.api_key, base_path=simulator.base_path))
        made[-1].create_start_avatar(**{"quality": "low", "knowledge_base": "Yes.", **wishes})
        return made[-1]

    yield make
    for avatar in made:
        avatar.stop_avatar()


@pytest.fixture(params=["websocket", "livekit"])
def avatar(make_avatar: Callable[..., StreamingAvatar], request: pytest.FixtureRequest) -> StreamingAvatar:
    """A started avatar, once for each transport."""
    return make_avatar(voice_chat_transport=request.param)


def test_a_written_question_is_answered(avatar: StreamingAvatar) -> None:
    exchange = avatar.ask("What is your name?")
    assert exchange.question == exchange.speech.text == "What is your name?"
    assert exchange.answer and str(exchange) == exchange.answer
    assert exchange.speech.outcome is SpeechOutcome.SPOKEN
    assert avatar.transcript[-1].text.strip() == exchange.answer


def test_a_spoken_question_is_answered_with_both_sides_text(avatar: StreamingAvatar, tmp_path: Path) -> None:
    exchange = avatar.ask(write_wave(tmp_path / "question.wav", QUESTION))
    user, answer = avatar.transcript
    assert (exchange.question, exchange.answer) == (user.text.strip(), answer.text.strip())
    assert exchange.question and exchange.answer
    assert exchange.speech.text == exchange.question
    assert (exchange.speech.task_id, exchange.speech.outcome) == (answer.task_id, SpeechOutcome.SPOKEN)


@pytest.mark.skipif(find_spec("pocketsphinx") is None, reason="needs the extra stt (pocketsphinx)")
@pytest.mark.skipif(find_spec("espeakng_loader") is None, reason="needs the extra voice (espeak-ng)")
def test_what_was_asked_aloud_is_understood(
    make_simulator: Callable[..., Simulator], make_avatar: Callable[..., StreamingAvatar]
) -> None:
    avatar = make_avatar(make_simulator(stt=RecogniserSettings(engine="pocketsphinx", deadline=60.0)))
    assert avatar.ask(Samples(spoken("How are you today?"), 16_000)).question == "how are you today"


def test_questions_follow_each_other_in_one_voice_chat(make_avatar: Callable[..., StreamingAvatar]) -> None:
    avatar = make_avatar()
    first = avatar.ask(Samples(QUESTION, 16_000))
    voice = avatar.voice_chat
    second = avatar.ask(Samples(QUESTION, 16_000))
    assert avatar.voice_chat is voice is not None
    assert first.speech.task_id != second.speech.task_id
    assert [turn.speaker for turn in avatar.transcript] == ["user", "avatar"] * 2


def test_a_question_after_a_pause_is_answered_to_its_end(make_avatar: Callable[..., StreamingAvatar]) -> None:
    avatar = make_avatar(knowledge_base="That takes some time to say, and so it can be interrupted.")
    exchange = avatar.ask(Samples(np.concatenate([QUESTION, silence(1.2), QUESTION]), 16_000))
    assert exchange.speech.outcome is SpeechOutcome.SPOKEN
    assert exchange.speech.task_id == avatar.transcript[-1].task_id
    assert [turn.speaker for turn in avatar.transcript].count("user") == 2
    assert exchange.question == "".join(turn.text for turn in avatar.transcript if turn.speaker == "user").strip()


def test_a_source_without_end_is_open_until_the_turn_is_over(avatar: StreamingAvatar) -> None:
    closed = threading.Event()

    class Open:
        """A microphone: speech, and then the room's silence, at the pace of the world."""

        sample_rate = 16_000
        live = True

        def __iter__(self) -> Iterator[Any]:
            sound = np.concatenate([QUESTION, silence(60)])
            try:
                yield from Samples(sound, 16_000)
            finally:
                closed.set()

    exchange = avatar.ask(Open())
    assert exchange.answer
    assert closed.wait(5)
    assert avatar.voice_chat is not None and avatar.voice_chat.utterance is None


def test_with_push_to_talk_the_button_is_held_while_the_sound_is_said(
    make_avatar: Callable[..., StreamingAvatar],
) -> None:
    avatar = make_avatar(voice_chat_transport="livekit", enable_push_to_talk=True)
    assert avatar.ask(Samples(QUESTION, 16_000)).answer


def test_an_interrupted_answer_is_returned_as_such(make_avatar: Callable[..., StreamingAvatar]) -> None:
    avatar = make_avatar(knowledge_base="That takes some time to say, so that it can be interrupted.")
    avatar.once(StreamingEvents.AVATAR_START_TALKING, lambda event: avatar.interrupt())
    assert avatar.ask(Samples(QUESTION, 16_000)).speech.outcome is SpeechOutcome.INTERRUPTED


def test_what_the_service_does_not_hear_is_told_in_time(make_avatar: Callable[..., StreamingAvatar]) -> None:
    avatar = make_avatar()
    with pytest.raises(WaitTimeoutError, match="has heard no speech"):
        avatar.ask(Samples(silence(0.5), 16_000), timeout=3)
    assert avatar.ask(Samples(QUESTION, 16_000)).answer


def test_a_question_whose_source_fails_raises_its_error(avatar: StreamingAvatar) -> None:
    def broken() -> Iterator[bytes]:
        yield tone(0.05).tobytes()
        raise OSError("the disk is gone")

    with pytest.raises(MediaError, match="the disk is gone"):
        avatar.ask(Samples(broken(), 16_000))


def test_the_end_of_the_session_ends_the_wait(avatar: StreamingAvatar) -> None:
    avatar.on(StreamingEvents.USER_START, lambda event: avatar.stop_avatar())
    with pytest.raises(SessionClosedError):
        avatar.ask(Samples(QUESTION, 16_000))


def test_asking_where_nobody_would_hear_is_an_error(
    service: Simulator, make_avatar: Callable[..., StreamingAvatar]
) -> None:
    with pytest.raises(SessionNotStartedError):
        StreamingAvatar(api_key=service.api_key, base_path=service.base_path).ask(Samples(QUESTION, 16_000))
    avatar = make_avatar()
    avatar.start_voice_chat(source=Samples(silence(0.1), 16_000), is_input_audio_muted=True)
    with pytest.raises(UsageError, match="muted"):
        avatar.ask(Samples(QUESTION, 16_000))


def test_asking_beside_an_open_microphone_is_an_error(make_avatar: Callable[..., StreamingAvatar]) -> None:
    class Open(Samples):
        live = True

    source = Open(sample_rate=16_000)
    avatar = make_avatar()
    avatar.start_voice_chat(source=source)
    with pytest.raises(UsageError, match="a microphone is open"):
        avatar.ask(Samples(QUESTION, 16_000))
