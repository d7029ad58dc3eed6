"""The picture that goes with the performance: its pace, and that it follows."""

from __future__ import annotations

import av
import numpy as np

from .theatre import SHORT, Theatre, on_stage


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
