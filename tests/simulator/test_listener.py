"""The avatar's ears: which sounds are speech, when a turn begins and ends, and what is told of it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heygen_avatar.simulator import Hearing
from heygen_avatar.simulator.listener import Listener
from heygen_avatar.simulator.recogniser import Recogniser, StandInRecogniser, Utterance
from heygen_avatar.simulator.silence import SilenceClock

from .guests import Watch, on_a_loop
from .sounds import RATE, at_rate, click, hum, knock, silence, spoken

QUESTION = "What is the capital of France?"


class Notes(Watch):
    """What a listener tells."""

    def on_user_started(self) -> None:
        self.add("started")

    def on_user_chunk(self, text: str) -> None:
        self.add("chunk", text)

    def on_user_ended(self, text: str) -> None:
        self.add("ended", text)

    def on_user_stopped(self) -> None:
        self.add("stopped")

    def texts(self) -> list[str]:
        return [text for (text,) in self.of("ended")]

    def seconds(self) -> list[float]:
        """How long each turn was, as its stand-in says."""
        return [float(match[1]) for text in self.texts() if (match := re.match(r"\(([\d.]+) seconds", text))]


class PatientRecogniser(StandInRecogniser):
    """Understands what it is told to, when it is told to."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.utterances: list[Utterance] = []
        self.permission = asyncio.Event()
        self.permission.set()

    async def transcribe(self, utterance: Utterance) -> str:
        self.utterances.append(utterance)
        await self.permission.wait()
        return self.text


@asynccontextmanager
async def listening(
    *, recogniser: Recogniser | None = None, push_to_talk: bool = False, **hearing: Any
) -> AsyncIterator[tuple[Listener, Notes]]:
    notes = Notes()
    listener = Listener(
        notes, recogniser or StandInRecogniser(), Hearing(**hearing), push_to_talk=push_to_talk, language="en"
    )
    try:
        yield listener, notes
    finally:
        await listener.close()


async def all_told(listener: Listener) -> None:
    """Wait until what was heard has been told."""
    for _ in range(20):
        await asyncio.sleep(0)
    assert not listener.busy


def feed(listener: Listener, *sounds: NDArray[np.int16], rate: int = RATE, piece: int = 320) -> None:
    samples = np.concatenate(sounds)
    for start in range(0, len(samples), piece):
        listener.hear(samples[start : start + piece], rate)


# A turn


@on_a_loop
async def test_what_is_said_is_told_as_a_turn() -> None:
    async with listening() as (listener, notes):
        feed(listener, silence(0.5), spoken(QUESTION), silence(1))
        await all_told(listener)
        assert notes.kinds() == ["started", "chunk", "chunk", "ended", "stopped"]


@on_a_loop
async def test_the_chunks_are_a_few_words_each_and_joined_the_text_exactly() -> None:
    text = "One two  three four, five six seven."
    async with listening(recogniser=PatientRecogniser(text)) as (listener, notes):
        feed(listener, spoken(QUESTION), silence(1))
        await all_told(listener)
        chunks = [chunk for (chunk,) in notes.of("chunk")]
        assert chunks == ["One two  three ", "four, five six ", "seven."]
        assert notes.texts() == [text]


@on_a_loop
async def test_each_of_two_questions_is_a_turn() -> None:
    async with listening() as (listener, notes):
        feed(listener, spoken(QUESTION), silence(1), spoken(QUESTION), silence(1))
        await all_told(listener)
        assert [kind for kind in notes.kinds() if kind != "chunk"] == ["started", "ended", "stopped"] * 2


@on_a_loop
async def test_speech_is_noticed_within_150_milliseconds() -> None:
    speech = spoken(QUESTION)
    first = int(np.argmax(np.abs(speech.astype(np.int32)) > 1000))
    async with listening() as (listener, _):
        for start in range(0, len(speech), 320):
            listener.hear(speech[start : start + 320], RATE)
            if listener.busy:
                assert start + 320 - first <= 0.15 * RATE
                return
    raise AssertionError("it was not noticed at all")


@on_a_loop
async def test_the_turn_ends_after_the_pause_and_not_before() -> None:
    async with listening(pause=0.6) as (listener, notes):
        feed(listener, spoken(QUESTION), silence(0.4))
        await asyncio.sleep(0)
        assert notes.kinds() == ["started"]
        feed(listener, silence(0.3))
        await all_told(listener)
        assert notes.kinds()[-1] == "stopped"


@on_a_loop
async def test_a_short_pause_does_not_end_a_turn() -> None:
    async with listening(pause=0.6) as (listener, notes):
        feed(listener, spoken(QUESTION), silence(0.3), spoken(QUESTION), silence(1))
        await all_told(listener)
        assert len(notes.of("stopped")) == 1
        assert notes.seconds()[0] > 2 * len(spoken(QUESTION)) / RATE - 0.5


@on_a_loop
async def test_a_click_in_the_pause_does_not_prolong_it() -> None:
    async with listening(pause=0.6) as (listener, notes):
        feed(listener, spoken(QUESTION), silence(0.3), click(), silence(0.4))
        await all_told(listener)
        assert notes.kinds()[-1] == "stopped"


@on_a_loop
async def test_what_is_understood_begins_before_the_first_voice_and_ends_after_the_last() -> None:
    recogniser = PatientRecogniser("text")
    async with listening(recogniser=recogniser) as (listener, _):
        feed(listener, silence(2), spoken(QUESTION), silence(1))
        await all_told(listener)
    (utterance,) = recogniser.utterances
    loud = np.flatnonzero(np.abs(utterance.samples.astype(np.int32)) > 1000)
    assert 0.1 * RATE < loud[0] < 0.6 * RATE
    assert 0.1 * RATE < len(utterance.samples) - loud[-1] < 0.5 * RATE
    assert utterance.seconds == pytest.approx((loud[-1] - loud[0]) / RATE, abs=0.2)


@on_a_loop
async def test_a_turn_that_does_not_end_is_cut() -> None:
    async with listening(longest_turn=1.0) as (listener, notes):
        feed(listener, spoken(QUESTION), spoken(QUESTION), silence(1))
        await all_told(listener)
        assert len(notes.of("stopped")) > 2
        assert max(notes.seconds()) <= 1.0


@on_a_loop
async def test_a_turn_ends_when_its_sound_does_without_a_silence() -> None:
    async with listening(lost_sound=0.05) as (listener, notes):
        feed(listener, spoken(QUESTION))
        await notes.have("stopped")
        assert notes.seconds()[0] == pytest.approx(len(spoken(QUESTION)) / RATE, abs=0.4)
        feed(listener, spoken(QUESTION))
        await notes.have("stopped", count=2)


@on_a_loop
async def test_a_turn_begins_when_the_one_before_has_been_told_however_long_that_takes() -> None:
    recogniser = PatientRecogniser("text")
    recogniser.permission.clear()
    async with listening(recogniser=recogniser) as (listener, notes):
        feed(listener, spoken(QUESTION), silence(1), spoken(QUESTION), silence(1))
        await notes.have("started")
        assert listener.busy
        recogniser.permission.set()
        await notes.have("stopped", count=2)
        assert notes.kinds() == ["started", "chunk", "ended", "stopped"] * 2


@on_a_loop
async def test_after_closing_nothing_is_heard() -> None:
    async with listening() as (listener, notes):
        feed(listener, spoken(QUESTION))
        await listener.close()
        feed(listener, spoken(QUESTION), silence(1))
        assert not notes.of("stopped")


# What is no speech


@pytest.mark.parametrize(
    "sound",
    [
        silence(3),
        np.concatenate([click(), silence(1)]),
        np.concatenate([click(), silence(0.2)] * 10),
        np.concatenate([knock(), silence(0.3)] * 5),
        *(hum(frequency, 3) for frequency in (50, 60, 100, 440, 1000)),
        np.random.default_rng(3).normal(0, 60, 3 * RATE).astype(np.int16),
    ],
    ids=["silence", "click", "clicks", "knocks", "50 Hz", "60 Hz", "100 Hz", "440 Hz", "1 kHz", "breath"],
)
def test_other_sounds_are_no_speech(sound: NDArray[np.int16]) -> None:
    @on_a_loop
    async def listen() -> None:
        async with listening() as (listener, notes):
            feed(listener, silence(0.5), sound, silence(0.5))
            await all_told(listener)
            assert notes.kinds() == []
            feed(listener, spoken(QUESTION), silence(1))
            await notes.have("stopped")

    listen()


@on_a_loop
async def test_speech_is_heard_over_a_hum_and_its_end_too() -> None:
    speech = np.concatenate([silence(1), spoken(QUESTION), silence(1)])
    noisy = speech + hum(100, len(speech) / RATE, amplitude=500)[: len(speech)]
    async with listening() as (listener, notes):
        feed(listener, noisy.astype(np.int16))
        await all_told(listener)
        assert len(notes.of("stopped")) == 1
        assert notes.seconds()[0] == pytest.approx(len(spoken(QUESTION)) / RATE, abs=0.6)


# Sound as it comes


@pytest.mark.parametrize("piece", [1, 7, 441, 480, 960, 48_000])
def test_the_pieces_sound_comes_in_do_not_matter(piece: int) -> None:
    @on_a_loop
    async def listen() -> None:
        told = []
        for length in (piece, 320):
            async with listening() as (listener, notes):
                feed(listener, spoken(QUESTION), silence(1), piece=length)
                await all_told(listener)
                told.append(notes.events)
        assert told[0] == told[1]

    listen()


@pytest.mark.parametrize("rate", [8_000, 11_025, 24_000, 44_100, 48_000, 96_000])
def test_sound_of_any_rate_is_heard_at_its_pace(rate: int) -> None:
    @on_a_loop
    async def listen() -> None:
        speech = np.concatenate([spoken(QUESTION), silence(1)])
        async with listening() as (listener, notes):
            feed(listener, at_rate(speech, RATE, rate), rate=rate, piece=rate // 50)
            await all_told(listener)
            assert notes.seconds()[0] == pytest.approx(len(spoken(QUESTION)) / RATE, abs=0.4)

    listen()


@on_a_loop
async def test_the_rate_may_change() -> None:
    async with listening() as (listener, notes):
        feed(listener, spoken(QUESTION))
        feed(listener, at_rate(spoken(QUESTION), RATE, 48_000), rate=48_000)
        feed(listener, silence(1))
        await all_told(listener)
        assert notes.seconds()[0] == pytest.approx(2 * len(spoken(QUESTION)) / RATE, abs=0.4)


@pytest.mark.parametrize("rate", [0, 1, 7_999, 192_001, 2**32 - 1])
def test_an_absurd_rate_is_refused(rate: int) -> None:
    @on_a_loop
    async def listen() -> None:
        async with listening() as (listener, _):
            with pytest.raises(ValueError, match="samples a second"):
                listener.hear(silence(0.1), rate)

    listen()


@on_a_loop
async def test_a_piece_without_samples_is_nothing() -> None:
    async with listening() as (listener, notes):
        for rate in (RATE, 48_000):
            listener.hear(silence(0), rate)
        await all_told(listener)
        assert notes.kinds() == []


@on_a_loop
async def test_listening_to_a_quiet_room_costs_little() -> None:
    quiet = np.random.default_rng(4).normal(0, 30, 20 * 48_000).astype(np.int16)
    async with listening() as (listener, _):
        began = time.thread_time()
        feed(listener, quiet, rate=48_000, piece=960)
        assert time.thread_time() - began < 0.02 * 20


# Push-to-talk


@on_a_loop
async def test_before_the_button_is_held_nothing_is_heard() -> None:
    async with listening(push_to_talk=True) as (listener, notes):
        feed(listener, spoken(QUESTION), silence(1))
        await all_told(listener)
        assert notes.kinds() == []


@on_a_loop
async def test_a_turn_ends_when_the_button_is_let_go_without_a_pause() -> None:
    async with listening(push_to_talk=True, push_to_talk_tail=0) as (listener, notes):
        assert listener.start_push_to_talk()
        feed(listener, spoken(QUESTION))
        assert listener.stop_push_to_talk()
        await notes.have("stopped")
        feed(listener, spoken(QUESTION), silence(1))
        await all_told(listener)
        assert len(notes.of("started")) == 1


@on_a_loop
async def test_while_the_button_is_held_a_pause_is_only_a_pause() -> None:
    async with listening(push_to_talk=True) as (listener, notes):
        listener.start_push_to_talk()
        feed(listener, spoken(QUESTION), silence(3), spoken(QUESTION))
        listener.stop_push_to_talk()
        await notes.have("stopped")
        assert len(notes.of("started")) == 1
        assert notes.seconds()[0] > 5


@on_a_loop
async def test_a_button_held_in_silence_says_nothing() -> None:
    async with listening(push_to_talk=True, push_to_talk_tail=0) as (listener, notes):
        listener.start_push_to_talk()
        feed(listener, silence(2))
        listener.stop_push_to_talk()
        await all_told(listener)
        assert notes.kinds() == []


@on_a_loop
async def test_what_was_still_on_its_way_when_the_button_was_let_go_is_heard_and_no_more() -> None:
    speech = spoken(QUESTION)
    async with listening(push_to_talk=True, push_to_talk_tail=0.5) as (listener, notes):
        listener.start_push_to_talk()
        feed(listener, speech[: RATE // 2])
        listener.stop_push_to_talk()
        feed(listener, speech[RATE // 2 :])
        await notes.have("stopped")
        assert notes.seconds()[0] == pytest.approx(1.0, abs=0.1)


@on_a_loop
async def test_the_button_held_again_begins_another_turn() -> None:
    async with listening(push_to_talk=True) as (listener, notes):
        for _ in range(2):
            listener.start_push_to_talk()
            feed(listener, spoken(QUESTION))
            listener.stop_push_to_talk()
        await notes.have("stopped", count=2)
        assert [kind for kind in notes.kinds() if kind != "chunk"] == ["started", "ended", "stopped"] * 2


@on_a_loop
async def test_a_button_is_held_once_and_let_go_once() -> None:
    async with listening(push_to_talk=True) as (listener, _):
        assert not listener.stop_push_to_talk()
        assert [listener.start_push_to_talk(), listener.start_push_to_talk()] == [True, False]
        assert [listener.stop_push_to_talk(), listener.stop_push_to_talk()] == [True, False]


@on_a_loop
async def test_who_listens_always_has_no_button() -> None:
    async with listening() as (listener, notes):
        assert not listener.start_push_to_talk()
        assert not listener.stop_push_to_talk()
        feed(listener, spoken(QUESTION), silence(1))
        await notes.have("stopped")


@on_a_loop
async def test_push_to_talk_may_be_demanded_later_and_given_up_again() -> None:
    async with listening() as (listener, notes):
        listener.set_push_to_talk(True)
        feed(listener, spoken(QUESTION), silence(1))
        listener.set_push_to_talk(False)
        await all_told(listener)
        assert notes.kinds() == []
        feed(listener, spoken(QUESTION), silence(1))
        await notes.have("stopped")


# Silence


def clock(notes: Notes, **hearing: Any) -> SilenceClock:
    return SilenceClock(
        Hearing(**{"silence": 0.01, "silence_count_down": 0.01, **hearing}),
        on_silence=lambda times, count_down: notes.add("silence", times, count_down),
        on_over=lambda times: notes.add("over", times),
    )


async def time_for_a_silence() -> None:
    """Wait for as long as another clock of the same settings takes."""
    notes = Notes()
    clock(notes).run()
    await notes.have("over")


@on_a_loop
async def test_a_silence_is_remarked_upon_and_then_over() -> None:
    notes = Notes()
    clock(notes, silence_count_down=0.05).run()
    await notes.have("over")
    assert notes.events == [("silence", 1, 1), ("over", 1)]


@on_a_loop
async def test_the_count_down_is_in_whole_seconds() -> None:
    notes = Notes()
    silence_clock = clock(notes, silence_count_down=4.2)
    silence_clock.run()
    assert await notes.have("silence") == [(1, 5)]
    silence_clock.stop()


@on_a_loop
async def test_silences_in_a_row_are_counted_up_to_a_limit() -> None:
    notes = Notes()
    silence_clock = clock(notes, silence_prompts=2)
    for times in (1, 2):
        silence_clock.run()
        await notes.have("over", count=times)
    silence_clock.run()
    await time_for_a_silence()
    assert notes.of("silence") == [(1, 1), (2, 1)]


@on_a_loop
async def test_who_speaks_is_forgiven_all_silence() -> None:
    notes = Notes()
    silence_clock = clock(notes, silence_prompts=1)
    for times in (1, 2):
        silence_clock.run()
        await notes.have("over", count=times)
        silence_clock.forgive()
    assert [times for times, _ in notes.of("silence")] == [1, 1]


@on_a_loop
async def test_a_stopped_clock_remarks_nothing() -> None:
    notes = Notes()
    silence_clock = clock(notes)
    silence_clock.run()
    silence_clock.stop()
    await time_for_a_silence()
    assert notes.events == []
