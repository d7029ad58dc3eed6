"""A line of the caller's own sound, as the performer plays it."""

from __future__ import annotations

import numpy as np
import pytest

from heygen_avatar.simulator.stage import BLOCK_SAMPLES

from .theatre import Theatre, on_stage


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
