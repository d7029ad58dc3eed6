"""The performer on a stage that keeps what it is given, in a time that the test moves."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import av
import numpy as np
import pytest
from attrs import Factory, define
from numpy.typing import NDArray

from heygen_avatar.simulator.brain import Turn
from heygen_avatar.simulator.formant import FormantVoice
from heygen_avatar.simulator.performer import LoopClock, Performer
from heygen_avatar.simulator.stage import AVATAR_IDENTITY, BLOCK_SAMPLES, VideoFormat
from heygen_avatar.simulator.voice import Delivery, Speech

VIDEO = VideoFormat(width=320, height=240, bitrate=300_000, fps=25, codec="VP8")
SHORT = "Hello there, my friend."
LONG = "This is a sentence of a certain length, and it goes on. " * 18


class RecordingStage:
    """A room with nobody in it that keeps everything."""

    def __init__(self) -> None:
        self.blocks: list[NDArray[np.int16]] = []
        self.frames: list[av.VideoFrame] = []
        self.cast: set[str] = set()
        self.video_wanted = True

    url = "ws://127.0.0.1:1"

    def token(self, identity: str, *, ttl: float = 86_400.0) -> str:
        return identity

    async def enter(self, identity: str, *, video: VideoFormat | None = None, audio: bool = False) -> None:
        assert video is not None
        assert audio
        self.cast.add(identity)

    async def leave(self, identity: str) -> None:
        self.cast.remove(identity)

    def push_audio(self, samples: NDArray[np.int16]) -> None:
        assert samples.shape == (BLOCK_SAMPLES,)
        assert samples.dtype == np.int16
        self.blocks.append(samples)

    def push_video(self, frame: av.VideoFrame) -> None:
        self.frames.append(frame)

    async def send_data(
        self, payload: bytes, *, topic: str = "", sender: str = AVATAR_IDENTITY, to: Sequence[str] = ()
    ) -> None:
        raise AssertionError("the performer has no wire format of its own")

    def remove(self, identity: str) -> None:
        raise AssertionError("the performer throws nobody out")

    async def close(self) -> None:
        raise AssertionError("the performer does not own the room")

    def sound(self) -> NDArray[np.int16]:
        return np.concatenate(self.blocks)


class MovedClock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    async def sleep_until(self, when: float) -> None:
        if when <= self.now:
            await asyncio.sleep(0)
            return
        alarm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (when, next(self._order), alarm))
        await alarm

    async def advance(self, seconds: float) -> None:
        """Let time pass, and everybody do at each moment what they do then."""
        end = self.now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now = max(self.now, self._sleepers[0][0])
            self._wake()
            await settle()
        self.now = end

    async def jump(self, seconds: float) -> None:
        """Let time pass while nobody can do anything, as when the machine is busy elsewhere."""
        self.now += seconds
        self._wake()
        await settle()

    def _wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self.now:
            alarm = heapq.heappop(self._sleepers)[2]
            if not alarm.done():
                alarm.set_result(None)


class InlineExecutor(Executor):
    """Work in no time, from the point of view of a clock that stands still."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments, **keywords))
        except Exception as error:
            future.set_exception(error)
        return future


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@define(eq=False)
class Theatre:
    """A performer and all that it plays with. What it tells is kept with the number of blocks pushed until then."""

    stage: RecordingStage = Factory(RecordingStage)
    clock: MovedClock = Factory(MovedClock)
    told: list[tuple[Any, ...]] = Factory(list)
    told_at: list[int] = Factory(list)
    reaction: Callable[[str], None] = lambda name: None
    performer: Performer = None  # type: ignore[assignment]

    def on_speech_started(self, task_id: str) -> None:
        self._note("started", task_id)

    def on_speech_chunk(self, task_id: str, text: str) -> None:
        self._note("chunk", task_id, text)

    def on_speech_text_ended(self, task_id: str, text: str) -> None:
        self._note("text ended", task_id, text)

    def on_speech_ended(self, task_id: str, duration_ms: float, interrupted: bool) -> None:
        self._note("ended", task_id, duration_ms, interrupted)

    def _note(self, name: str, *details: Any) -> None:
        self.told.append((name, *details))
        self.told_at.append(len(self.stage.blocks))
        self.reaction(name)

    def chunks(self, task_id: str) -> list[str]:
        return [text for name, teller, *rest in self.told if name == "chunk" and teller == task_id for text in rest]

    def names(self, task_id: str) -> list[str]:
        return [name for name, teller, *_ in self.told if teller == task_id]

    def when(self, name: str, task_id: str) -> int:
        return next(at for at, note in zip(self.told_at, self.told, strict=True) if note[:2] == (name, task_id))

    async def until_heard(self, name: str, task_id: str) -> None:
        for _ in range(10_000):
            if name in self.names(task_id):
                return
            await self.clock.advance(0.02)
        raise AssertionError(f"{name} of {task_id} was never told")


def on_stage(**options: Any) -> Callable[[Callable[[Theatre], Awaitable[None]]], Callable[[], None]]:
    """Run an async test with a performer that has started, in a time that the test moves."""

    def decorate(scene: Callable[[Theatre], Awaitable[None]]) -> Callable[[], None]:
        async def evening() -> None:
            theatre = Theatre()
            settings: dict[str, Any] = {"video": VIDEO, "voice": FormantVoice(), **options}
            theatre.performer = Performer(
                theatre.stage, theatre, caption="session", clock=theatre.clock, executor=InlineExecutor(), **settings
            )
            await theatre.performer.start()
            try:
                await scene(theatre)
            finally:
                await theatre.performer.close()

        def test() -> None:
            asyncio.run(evening())

        test.__doc__ = scene.__doc__
        return test

    return decorate


class RecordingVoice(FormantVoice):
    """The built-in voice, and a list of what it was asked to say, how."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Delivery]] = []

    def synthesize(self, text: str, delivery: Delivery) -> Speech:
        self.asked.append((text, delivery))
        if "unspeakable" in text:
            raise RuntimeError("the voice broke")
        return super().synthesize(text, delivery)


class ListeningBrain:
    """Answers with its question, and keeps what it was told of the conversation."""

    def __init__(self) -> None:
        self.histories: list[list[tuple[str, str]]] = []
        self.patience = asyncio.Event()
        self.patience.set()

    async def reply(self, text: str, history: Sequence[Turn]) -> str:
        self.histories.append([(turn.speaker, turn.text) for turn in history])
        await self.patience.wait()
        return f"You asked: {text} I say: no."


@on_stage()
async def test_silence_is_pushed_every_20_ms_while_idle(theatre: Theatre) -> None:
    await theatre.clock.advance(1.0)
    assert len(theatre.stage.blocks) in (50, 51)
    assert not theatre.stage.sound().any()


@on_stage()
async def test_a_line_is_told_as_started_chunks_text_ended_ended_once_each(theatre: Theatre) -> None:
    theatre.performer.say("t", SHORT)
    await theatre.until_heard("ended", "t")
    names = theatre.names("t")
    assert names == ["started", *["chunk"] * (len(names) - 3), "text ended", "ended"]


@on_stage()
async def test_joined_chunks_are_the_text_exactly(theatre: Theatre) -> None:
    text = "  Two  spaces, a dash – and\na line. Then: «quotes», 1,234 and an emoji 😀 at the end  "
    theatre.performer.say("t", text)
    await theatre.until_heard("ended", "t")
    assert "".join(theatre.chunks("t")) == text
    assert ("text ended", "t", text) in theatre.told


@on_stage()
async def test_chunks_are_told_in_the_block_in_which_their_first_word_begins(theatre: Theatre) -> None:
    theatre.performer.say("t", SHORT)
    await theatre.until_heard("ended", "t")
    words = FormantVoice().synthesize(SHORT, Delivery()).words
    begins = {text: word.at for text in theatre.chunks("t") for word in words if text.startswith(word.text)}
    started = theatre.when("started", "t")
    told = [at - started for at, note in zip(theatre.told_at, theatre.told, strict=True) if note[0] == "chunk"]
    assert told == [at // BLOCK_SAMPLES for at in begins.values()]
    assert len(told) >= 2


@on_stage()
async def test_the_sound_is_the_voices_sound(theatre: Theatre) -> None:
    theatre.performer.say("t", SHORT)
    await theatre.until_heard("ended", "t")
    speech = FormantVoice().synthesize(SHORT, Delivery()).samples
    first = theatre.when("started", "t") - 1
    heard = theatre.stage.sound()[first * BLOCK_SAMPLES :][: len(speech)]
    np.testing.assert_array_equal(heard, speech)


@on_stage()
async def test_the_duration_is_that_of_the_sound(theatre: Theatre) -> None:
    spoken = theatre.performer.say("t", SHORT)
    await theatre.until_heard("ended", "t")
    samples = len(FormantVoice().synthesize(SHORT, Delivery()).samples)
    assert (await spoken).duration_ms == pytest.approx(samples / 48)


@on_stage()
async def test_the_end_is_told_when_the_last_block_has_sounded(theatre: Theatre) -> None:
    theatre.performer.say("t", SHORT)
    await theatre.until_heard("ended", "t")
    samples = len(FormantVoice().synthesize(SHORT, Delivery()).samples)
    assert theatre.when("ended", "t") - theatre.when("started", "t") == -(-samples // BLOCK_SAMPLES) - 1


@on_stage()
async def test_the_future_resolves_with_what_was_said(theatre: Theatre) -> None:
    spoken = theatre.performer.say("t", SHORT)
    await theatre.clock.advance(0.5)
    assert not spoken.done()
    await theatre.until_heard("ended", "t")
    result = await spoken
    assert (result.task_id, result.text, result.interrupted) == ("t", SHORT, False)


@on_stage()
async def test_queued_lines_are_said_in_order_without_a_gap(theatre: Theatre) -> None:
    for task_id in "abc":
        theatre.performer.say(task_id, SHORT)
    await theatre.until_heard("ended", "c")
    edges = [note[:2] for note in theatre.told if note[0] in ("started", "ended")]
    assert edges == [(edge, task_id) for task_id in "abc" for edge in ("started", "ended")]
    assert theatre.when("started", "b") - theatre.when("ended", "a") == 1


@on_stage()
async def test_an_interrupted_line_ends_at_once_and_is_silent_after_one_block(theatre: Theatre) -> None:
    theatre.performer.say("t", SHORT)
    await theatre.clock.advance(0.5)
    assert theatre.stage.blocks[-1].any()
    assert theatre.performer.interrupt()
    assert theatre.told[-1][0] == "ended"
    assert theatre.told[-1][3] is True
    before = len(theatre.stage.blocks)
    await theatre.clock.advance(0.1)
    assert not np.concatenate(theatre.stage.blocks[before + 1 :]).any()


@on_stage()
async def test_an_interruption_fades_so_that_it_does_not_click(theatre: Theatre) -> None:
    line = theatre.performer.play("t")
    line.append(np.full(48_000, 10_000, np.int16))
    await theatre.clock.advance(0.1)
    before = len(theatre.stage.blocks)
    theatre.performer.interrupt()
    await theatre.clock.advance(0.1)
    end = np.concatenate(theatre.stage.blocks[before - 1 :])
    assert np.abs(np.diff(end.astype(int))).max() < 100


@on_stage()
async def test_the_duration_of_an_interrupted_line_is_that_of_what_was_heard(theatre: Theatre) -> None:
    line = theatre.performer.play("t")
    line.append(np.full(48_000, 10_000, np.int16))
    await theatre.clock.advance(0.1)
    theatre.performer.interrupt()
    await theatre.clock.advance(0.1)
    heard = np.count_nonzero(theatre.stage.sound())
    assert (await line.result).duration_ms == pytest.approx(heard / 48, abs=0.1)


@on_stage()
async def test_an_interrupted_line_does_not_tell_the_end_of_its_text(theatre: Theatre) -> None:
    spoken = theatre.performer.say("t", SHORT)
    await theatre.clock.advance(0.3)
    theatre.performer.interrupt()
    await theatre.clock.advance(3.0)
    assert "text ended" not in theatre.names("t")
    assert (await spoken).text == "".join(theatre.chunks("t")) != SHORT


@on_stage()
async def test_an_interruption_drops_what_is_queued_without_a_word(theatre: Theatre) -> None:
    theatre.performer.say("a", SHORT)
    dropped = [theatre.performer.say("b", SHORT), theatre.performer.play("c").result]
    await theatre.clock.advance(0.3)
    theatre.performer.interrupt()
    await theatre.clock.advance(3.0)
    assert {note[1] for note in theatre.told} == {"a"}
    assert [(spoken.interrupted, spoken.duration_ms) for spoken in await asyncio.gather(*dropped)] == [(True, 0)] * 2


@on_stage()
async def test_there_is_nothing_to_interrupt_while_idle(theatre: Theatre) -> None:
    assert theatre.performer.interrupt() is False


@on_stage()
async def test_the_avatar_speaks_again_after_an_interruption(theatre: Theatre) -> None:
    theatre.performer.say("a", LONG)
    await theatre.clock.advance(0.3)
    theatre.performer.interrupt()
    theatre.performer.say("b", SHORT)
    await theatre.until_heard("ended", "b")
    assert "".join(theatre.chunks("b")) == SHORT


@on_stage()
async def test_who_stops_waiting_for_a_line_does_not_stop_the_line(theatre: Theatre) -> None:
    theatre.performer.say("t", SHORT).cancel()
    await theatre.until_heard("ended", "t")
    assert "".join(theatre.chunks("t")) == SHORT


@on_stage()
async def test_a_line_is_speaking_from_its_start_to_its_end(theatre: Theatre) -> None:
    performer = theatre.performer
    theatre.performer.say("t", SHORT)
    assert (performer.speaking, performer.busy) == (False, True)
    await theatre.until_heard("started", "t")
    assert (performer.speaking, performer.busy) == (True, True)
    await theatre.until_heard("ended", "t")
    assert (performer.speaking, performer.busy) == (False, False)


voice_of_long_text = RecordingVoice()


@on_stage(voice=voice_of_long_text)
async def test_a_long_text_starts_before_all_of_it_is_sound(theatre: Theatre) -> None:
    theatre.performer.say("t", LONG)
    await theatre.until_heard("started", "t")
    assert 0 < len(voice_of_long_text.asked) <= 6
    assert "".join(text for text, _ in voice_of_long_text.asked) != LONG


@on_stage()
async def test_a_long_text_has_no_pauses_for_want_of_sound(theatre: Theatre) -> None:
    spoken = theatre.performer.say("t", LONG)
    await theatre.until_heard("ended", "t")
    result = await spoken
    assert result.text == LONG
    assert result.duration_ms > 30_000
    voiced = np.abs(theatre.stage.sound()).reshape(-1, BLOCK_SAMPLES).max(axis=1) > 0
    gaps = "".join("x" if block else "." for block in voiced).strip(".")
    assert "." * 40 not in gaps  # the longest pause of a full stop is shorter


voice_of_deliveries = RecordingVoice()


@on_stage(voice=voice_of_deliveries, delivery=Delivery(rate=1.5))
async def test_a_session_has_its_own_delivery_and_a_line_may_differ(theatre: Theatre) -> None:
    theatre.performer.say("a", "One.")
    theatre.performer.say("b", "Two.", delivery=Delivery(emotion="excited"))
    await theatre.until_heard("ended", "b")
    assert voice_of_deliveries.asked == [("One.", Delivery(rate=1.5)), ("Two.", Delivery(emotion="excited"))]


@on_stage(voice=RecordingVoice())
async def test_a_line_that_cannot_be_spoken_is_given_up_and_the_next_is_said(theatre: Theatre) -> None:
    broken = theatre.performer.say("a", "unspeakable")
    theatre.performer.say("b", SHORT)
    await theatre.until_heard("ended", "b")
    assert (await broken).interrupted
    assert theatre.names("a") == []


@on_stage(voice=RecordingVoice())
async def test_a_line_that_breaks_in_the_middle_is_heard_until_there_and_ends_interrupted(theatre: Theatre) -> None:
    passage = "A sentence that is long enough to be a passage of its own, really. "
    theatre.performer.say("a", f"{passage}unspeakable")
    await theatre.until_heard("ended", "a")
    assert "".join(theatre.chunks("a")) == passage
    assert "text ended" not in theatre.names("a")
    assert theatre.told[-1][3] is True


@on_stage(brain=ListeningBrain())
async def test_an_answer_is_what_the_brain_replies(theatre: Theatre) -> None:
    theatre.performer.answer("t", "Why?")
    await theatre.until_heard("ended", "t")
    assert "".join(theatre.chunks("t")) == "You asked: Why? I say: no."


brain_of_two_questions = ListeningBrain()


@on_stage(brain=brain_of_two_questions)
async def test_the_brain_is_told_the_conversation_so_far(theatre: Theatre) -> None:
    theatre.performer.say("a", "Welcome.")
    theatre.performer.answer("b", "Why?")
    theatre.performer.answer("c", "How?")
    await theatre.until_heard("ended", "c")
    greeting, answer = ("avatar", "Welcome."), ("avatar", "You asked: Why? I say: no.")
    assert brain_of_two_questions.histories == [[greeting], [greeting, ("user", "Why?"), answer]]


brain_of_the_interrupted = ListeningBrain()


@on_stage(brain=brain_of_the_interrupted)
async def test_of_an_interrupted_answer_the_brain_is_told_only_what_was_heard(theatre: Theatre) -> None:
    theatre.performer.answer("a", "Why?")
    await theatre.clock.advance(0.3)
    theatre.performer.interrupt()
    theatre.performer.answer("b", "How?")
    await theatre.until_heard("ended", "b")
    assert brain_of_the_interrupted.histories[1] == [("user", "Why?"), ("avatar", "".join(theatre.chunks("a")))]
    assert "no." not in theatre.chunks("a")


brain_that_ponders = ListeningBrain()


@on_stage(brain=brain_that_ponders)
async def test_an_interruption_drops_an_answer_the_brain_is_still_thinking_about(theatre: Theatre) -> None:
    brain_that_ponders.patience.clear()
    answer = theatre.performer.answer("a", "Why?")
    await theatre.clock.advance(0.3)
    assert theatre.performer.interrupt()
    brain_that_ponders.patience.set()
    theatre.performer.say("b", SHORT)
    await theatre.until_heard("ended", "b")
    assert (await answer).interrupted
    assert theatre.names("a") == []


@on_stage()
async def test_an_answer_needs_a_brain(theatre: Theatre) -> None:
    with pytest.raises(ValueError, match="no brain"):
        theatre.performer.answer("t", "Why?")


@on_stage()
async def test_sound_that_is_played_comes_out_as_it_went_in(theatre: Theatre) -> None:
    sound = (np.sin(np.arange(50_000) / 20) * 12_000).astype(np.int16)
    line = theatre.performer.play("t")
    for part in np.array_split(sound, 7):
        line.append(part)
    line.end()
    await theatre.until_heard("ended", "t")
    first = theatre.when("started", "t") - 1
    np.testing.assert_array_equal(theatre.stage.sound()[first * BLOCK_SAMPLES :][: len(sound)], sound)
    assert theatre.names("t") == ["started", "ended"]
    assert (await line.result).duration_ms == pytest.approx(50_000 / 48)


@on_stage()
async def test_played_sound_starts_with_its_first_block_and_not_before(theatre: Theatre) -> None:
    line = theatre.performer.play("t")
    await theatre.clock.advance(0.2)
    line.append(np.ones(BLOCK_SAMPLES - 1, np.int16))
    await theatre.clock.advance(0.2)
    assert theatre.told == []
    line.append(np.ones(1, np.int16))
    await theatre.clock.advance(0.02)
    assert theatre.told == [("started", "t")]


@on_stage()
async def test_a_late_sender_is_heard_as_a_pause_and_its_line_goes_on(theatre: Theatre) -> None:
    line = theatre.performer.play("t")
    line.append(np.full(BLOCK_SAMPLES, 1, np.int16))
    await theatre.clock.advance(0.2)
    line.append(np.full(BLOCK_SAMPLES, 2, np.int16))
    line.end()
    await theatre.until_heard("ended", "t")
    assert theatre.names("t") == ["started", "ended"]
    sound = theatre.stage.sound()
    assert [np.count_nonzero(sound == value) for value in (1, 2)] == [BLOCK_SAMPLES, BLOCK_SAMPLES]
    first, last = np.flatnonzero(sound)[[0, -1]]
    assert (await line.result).duration_ms == pytest.approx((last + 1 - first) / 48)


@on_stage()
async def test_sound_appended_after_the_end_is_not_heard(theatre: Theatre) -> None:
    line = theatre.performer.play("t")
    line.append(np.ones(BLOCK_SAMPLES, np.int16))
    line.end()
    line.append(np.full(BLOCK_SAMPLES, 7, np.int16))
    await theatre.until_heard("ended", "t")
    assert not (theatre.stage.sound() == 7).any()


@on_stage()
async def test_sound_appended_after_an_interruption_is_not_heard(theatre: Theatre) -> None:
    line = theatre.performer.play("t")
    line.append(np.ones(4 * BLOCK_SAMPLES, np.int16))
    await theatre.clock.advance(0.02)
    theatre.performer.interrupt()
    line.append(np.full(BLOCK_SAMPLES, 7, np.int16))
    await theatre.clock.advance(0.2)
    assert not (theatre.stage.sound() == 7).any()


@on_stage()
async def test_a_text_without_anything_to_speak_is_told_completely(theatre: Theatre) -> None:
    spoken = theatre.performer.say("t", "😀")
    await theatre.until_heard("ended", "t")
    assert theatre.names("t") == ["started", "chunk", "text ended", "ended"]
    assert (await spoken).duration_ms == 0


@on_stage()
async def test_a_listener_may_interrupt_from_within(theatre: Theatre) -> None:
    def interrupt_at_once(name: str) -> None:
        if name == "started":
            theatre.performer.interrupt()

    theatre.reaction = interrupt_at_once
    theatre.performer.say("t", SHORT)
    await theatre.clock.advance(1.0)
    assert theatre.names("t") == ["started", "ended"]


@on_stage()
async def test_a_listener_may_say_more_when_a_line_ends(theatre: Theatre) -> None:
    def continue_once(name: str) -> None:
        if name == "ended" and not theatre.performer.busy and not theatre.chunks("b"):
            theatre.performer.say("b", SHORT)

    theatre.reaction = continue_once
    theatre.performer.say("a", SHORT)
    await theatre.until_heard("ended", "b")
    assert "".join(theatre.chunks("b")) == SHORT


@on_stage()
async def test_a_listener_that_raises_does_not_silence_the_avatar(theatre: Theatre) -> None:
    def fail(name: str) -> None:
        raise RuntimeError(name)

    theatre.reaction = fail
    spoken = theatre.performer.say("t", SHORT)
    await theatre.until_heard("ended", "t")
    assert not (await spoken).interrupted


@on_stage()
async def test_a_short_delay_is_made_up_for(theatre: Theatre) -> None:
    await theatre.clock.advance(0.2)
    before = len(theatre.stage.blocks)
    await theatre.clock.jump(0.06)
    assert len(theatre.stage.blocks) - before == 3
    assert theatre.performer.stalls == 0


@on_stage()
async def test_a_long_stall_is_counted_and_not_followed_by_a_burst(theatre: Theatre) -> None:
    await theatre.clock.advance(0.2)
    before = len(theatre.stage.blocks)
    await theatre.clock.jump(1.0)
    assert len(theatre.stage.blocks) - before == 1
    assert theatre.performer.stalls == 1


@on_stage()
async def test_frames_come_at_the_formats_pace_also_while_silent(theatre: Theatre) -> None:
    await theatre.clock.advance(2.0)
    assert len(theatre.stage.frames) in (49, 50)
    assert {(frame.width, frame.height, frame.format.name) for frame in theatre.stage.frames} == {(320, 240, "yuv420p")}


@on_stage()
async def test_nothing_is_drawn_while_nobody_looks(theatre: Theatre) -> None:
    theatre.stage.video_wanted = False
    await theatre.clock.advance(1.0)
    assert theatre.stage.frames == []


@on_stage()
async def test_frames_that_are_late_are_left_out(theatre: Theatre) -> None:
    await theatre.clock.advance(0.2)
    before = len(theatre.stage.frames)
    await theatre.clock.jump(1.0)
    assert len(theatre.stage.frames) - before <= 2


@on_stage()
async def test_the_mouth_moves_while_the_avatar_speaks(theatre: Theatre) -> None:
    def mouths(frames: list[av.VideoFrame]) -> float:
        pictures = np.stack([frame.to_ndarray(format="gray")[120:144, 142:178] for frame in frames]).astype(float)
        return float(pictures.std(axis=0).mean())

    await theatre.clock.advance(1.0)
    idle = mouths(theatre.stage.frames[-10:])
    theatre.performer.say("t", SHORT)
    await theatre.clock.advance(1.0)
    assert mouths(theatre.stage.frames[-10:]) > 3 * idle


@on_stage()
async def test_the_avatar_is_seen_to_listen(theatre: Theatre) -> None:
    await theatre.clock.advance(0.1)
    idle = theatre.stage.frames[-1].to_ndarray(format="gray")[:, :100]
    theatre.performer.set_listening(True)
    await theatre.clock.advance(0.1)
    listening = theatre.stage.frames[-1].to_ndarray(format="gray")[:, :100]
    assert (idle[-14:] != listening[-14:]).any()


def test_the_avatar_enters_with_tracks_and_leaves_when_closed() -> None:
    async def evening() -> None:
        theatre = Theatre()
        performer = Performer(theatre.stage, theatre, video=VIDEO, voice=FormantVoice())
        await performer.start()
        assert theatre.stage.cast == {AVATAR_IDENTITY}
        await performer.close()
        assert theatre.stage.cast == set()
        await performer.close()

    asyncio.run(evening())


@on_stage()
async def test_closing_ends_what_is_being_said(theatre: Theatre) -> None:
    spoken = theatre.performer.say("a", SHORT)
    queued = theatre.performer.say("b", SHORT)
    await theatre.clock.advance(0.3)
    await theatre.performer.close()
    assert theatre.told[-1][0] == "ended"
    assert (await spoken).interrupted
    assert (await queued).interrupted


@on_stage()
async def test_after_closing_nothing_is_pushed(theatre: Theatre) -> None:
    await theatre.performer.close()
    blocks, frames = len(theatre.stage.blocks), len(theatre.stage.frames)
    await theatre.clock.advance(1.0)
    assert (len(theatre.stage.blocks), len(theatre.stage.frames)) == (blocks, frames)


def test_in_real_time_a_line_takes_as_long_as_it_says() -> None:
    async def evening() -> tuple[float, float]:
        theatre = Theatre()
        performer = Performer(theatre.stage, theatre, video=VIDEO, voice=FormantVoice(), clock=LoopClock())
        await performer.start()
        try:
            loop = asyncio.get_running_loop()
            theatre.reaction = lambda name: moments.setdefault(name, loop.time())  # type: ignore[assignment]
            spoken = await performer.say("t", "Good morning.")
        finally:
            await performer.close()
        return moments["ended"] - moments["started"], spoken.duration_ms / 1000

    moments: dict[str, float] = {}
    taken, said = asyncio.run(evening())
    assert taken == pytest.approx(said, abs=0.25)


def test_a_stall_is_logged_once_for_all(caplog: pytest.LogCaptureFixture) -> None:
    @on_stage()
    async def scene(theatre: Theatre) -> None:
        for _ in range(3):
            await theatre.clock.jump(1.0)

    with caplog.at_level(logging.WARNING):
        scene()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
