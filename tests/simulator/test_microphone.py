"""A microphone track as it is heard: what becomes of packets that are late, and of times when none is sent."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from numpy.typing import NDArray

from heygen_avatar.simulator.microphone import LATEST, LONGEST_HOLE, PATIENCE, Microphone
from heygen_avatar.simulator.stage import SAMPLE_RATE

from .guests import on_a_loop

PACKET = 960
NOTHING = None
"""In a script: no packet comes for ``PATIENCE``."""

TICK = round(PATIENCE * SAMPLE_RATE)
LOUD, SOFT = np.full(PACKET, 8_000, np.int16), np.full(PACKET, 20, np.int16)


class Script(MediaStreamTrack):
    """A track whose packets come, or come late, as it is written: (time of the first sample, samples)."""

    kind = "audio"

    def __init__(self, *happenings: tuple[int, NDArray[np.int16]] | None) -> None:
        super().__init__()
        self.over = asyncio.Event()
        self._happenings = iter(happenings)

    async def recv(self) -> av.AudioFrame:
        try:
            happening = next(self._happenings)
        except StopIteration:
            self.over.set()
            raise MediaStreamError from None
        if happening is NOTHING:
            raise asyncio.TimeoutError
        pts, samples = happening
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, pts, Fraction(1, SAMPLE_RATE)
        return frame


async def heard(*happenings: tuple[int, NDArray[np.int16]] | None, muted: bool = False) -> list[int]:
    """All samples that were heard of a script."""
    pieces: list[NDArray[np.int16]] = []
    track = Script(*happenings)
    microphone = Microphone(track, pieces.append, muted=muted)
    await track.over.wait()
    await microphone.close()
    samples: list[int] = np.concatenate([np.zeros(0, np.int16), *pieces]).tolist()
    return samples


def joined(*parts: NDArray[np.int16] | int) -> list[int]:
    """Samples, and numbers of samples of silence between them."""
    pieces = [np.zeros(part, np.int16) if isinstance(part, int) else part for part in parts]
    samples: list[int] = np.concatenate(pieces).tolist()
    return samples


@on_a_loop
async def test_packets_that_follow_each_other_are_heard_as_they_are() -> None:
    assert await heard((0, LOUD), (PACKET, SOFT), (2 * PACKET, LOUD)) == joined(LOUD, SOFT, LOUD)


@on_a_loop
async def test_before_the_first_packet_nothing_is_heard() -> None:
    assert await heard(NOTHING, NOTHING, (0, LOUD)) == joined(LOUD)


@on_a_loop
async def test_a_packet_that_is_late_in_the_middle_of_a_sound_leaves_no_gap() -> None:
    assert await heard((0, LOUD), NOTHING, NOTHING, NOTHING, (PACKET, LOUD)) == joined(LOUD, LOUD)


@on_a_loop
async def test_where_the_sender_paused_in_a_sound_the_pause_is_heard_once_its_packets_tell() -> None:
    pause = 5_000
    assert await heard((0, LOUD), NOTHING, (PACKET + pause, LOUD)) == joined(LOUD, pause, LOUD)


@on_a_loop
async def test_silence_goes_on_by_the_clock_while_nothing_is_sent() -> None:
    assert await heard((0, SOFT), NOTHING, NOTHING) == joined(SOFT, TICK, TICK)


@on_a_loop
async def test_of_a_pause_only_that_is_filled_in_which_the_clock_has_not() -> None:
    pause = TICK + 1_500
    assert await heard((0, SOFT), NOTHING, (PACKET + pause, LOUD)) == joined(SOFT, pause, LOUD)


@on_a_loop
async def test_silence_that_was_late_is_not_heard_twice() -> None:
    late = [(PACKET * number, SOFT) for number in range(1, 9)]
    samples = await heard((0, SOFT), NOTHING, *late, (PACKET * 9, LOUD))
    assert len(samples) == PACKET * 10
    assert samples[-PACKET:] == LOUD.tolist()


@on_a_loop
async def test_of_a_sound_that_was_late_nothing_is_left_out() -> None:
    samples = await heard((0, SOFT), NOTHING, (PACKET, LOUD), (2 * PACKET, SOFT))
    assert samples == joined(SOFT, TICK, LOUD, SOFT)


@on_a_loop
async def test_a_sender_that_stops_in_the_middle_of_a_sound_falls_silent_in_the_end() -> None:
    waited = round(LATEST / PATIENCE)
    assert await heard((0, LOUD), *[NOTHING] * (waited - 1)) == joined(LOUD)
    assert await heard((0, LOUD), *[NOTHING] * waited) == joined(LOUD, waited * TICK)
    assert await heard((0, LOUD), *[NOTHING] * (waited + 1)) == joined(LOUD, (waited + 1) * TICK)


@on_a_loop
async def test_a_muted_microphone_is_silent_at_once_and_by_the_clock() -> None:
    assert await heard((0, LOUD), NOTHING, (PACKET + TICK, LOUD), muted=True) == joined(PACKET, TICK, PACKET)


@on_a_loop
@pytest.mark.parametrize("start", [PACKET + LONGEST_HOLE + 1, -1_000_000])
async def test_a_clock_that_was_set_anew_is_no_pause(start: int) -> None:
    assert await heard((0, LOUD), (start, LOUD)) == joined(LOUD, LOUD)
