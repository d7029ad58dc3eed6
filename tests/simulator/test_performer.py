"""The performer's timeline: what is heard and told, when, and what an interruption does to it."""

from __future__ import annotations

import asyncio
import logging

import numpy as np
import pytest

from heygen_avatar.simulator.formant import FormantVoice
from heygen_avatar.simulator.performer import LoopClock, Performer
from heygen_avatar.simulator.stage import AVATAR_IDENTITY, BLOCK_SAMPLES
from heygen_avatar.simulator.voice import Delivery

from .theatre import LONG, SHORT, VIDEO, ListeningBrain, RecordingVoice, Theatre, on_stage


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


brain_of_the_unanswered = ListeningBrain()


@on_stage(brain=brain_of_the_unanswered)
async def test_the_brain_is_told_also_what_was_asked_and_never_answered(theatre: Theatre) -> None:
    theatre.performer.answer("a", "Why?")
    theatre.performer.interrupt()
    theatre.performer.answer("b", "How?")
    await theatre.until_heard("ended", "b")
    assert brain_of_the_unanswered.histories == [[("user", "Why?")]]


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
