"""The picture: seen as pixels."""

from __future__ import annotations

import itertools
import time
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from heygen_avatar.simulator.face import Face, Mouth
from heygen_avatar.simulator.formant import FormantVoice
from heygen_avatar.simulator.stage import BLOCK_SAMPLES, VideoFormat
from heygen_avatar.simulator.voice import Delivery

CAPTION_TOP = 450  # of the 480 lines below
MOUTH = (slice(230, 290), slice(380, 474))
EYES = (slice(150, 225), slice(350, 504))


def video(width: int = 854, height: int = 480, fps: int = 25) -> VideoFormat:
    return VideoFormat(width=width, height=height, bitrate=1_000_000, fps=fps, codec="H264")


def pixels(frame: av.VideoFrame) -> NDArray[Any]:
    return frame.to_ndarray(format="gray").astype(int)


@pytest.mark.parametrize(
    "size", [(1280, 720), (854, 480), (640, 360), (1920, 1080), (720, 1280), (320, 240), (480, 480), (64, 48)]
)
def test_the_picture_has_the_formats_size(size: tuple[int, int]) -> None:
    frame = Face(video(*size), "session").draw(1, "idle", 0.0, "task")
    assert (frame.width, frame.height, frame.format.name) == (*size, "yuv420p")


def test_the_picture_is_bright_with_a_dark_strip_for_the_caption() -> None:
    picture = pixels(Face(video()).draw(0, "idle", 0.0, ""))
    assert picture[:CAPTION_TOP].mean() > 120
    assert picture[CAPTION_TOP:].mean() < 70


def test_the_mouth_opens_with_its_openness() -> None:
    face = Face(video())
    shut, half, wide = (pixels(face.draw(0, "talking", openness, "")) for openness in (0.0, 0.5, 1.0))
    dark = [np.count_nonzero(picture[MOUTH] < 80) for picture in (shut, half, wide)]
    assert dark[0] < dark[1] < dark[2]
    np.testing.assert_array_equal(shut[EYES], wide[EYES])


def test_the_mouth_opens_at_once_when_there_is_speech() -> None:
    speech = FormantVoice().synthesize("aaaa", Delivery()).samples
    mouth = Mouth()
    mouth.follow(speech[4 * BLOCK_SAMPLES : 5 * BLOCK_SAMPLES])
    assert mouth.openness > 0.6


def test_the_mouth_opens_further_for_louder_sound() -> None:
    quiet, loud = Mouth(), Mouth()
    quiet.follow(np.full(BLOCK_SAMPLES, 400, np.int16))
    loud.follow(np.full(BLOCK_SAMPLES, 4000, np.int16))
    assert 0 < quiet.openness < loud.openness <= 1


def test_the_mouth_is_shut_soon_after_the_sound() -> None:
    mouth = Mouth()
    mouth.follow(np.full(BLOCK_SAMPLES, 20_000, np.int16))
    for _ in range(15):
        mouth.follow(np.zeros(BLOCK_SAMPLES, np.int16))
    assert mouth.openness == 0


def test_two_frames_half_a_second_apart_always_differ_even_idle() -> None:
    face = Face(video(fps=30))
    pictures = [pixels(face.draw(number, "idle", 0.0, ""))[:CAPTION_TOP] for number in range(0, 30 * 20, 15)]
    for one, other in itertools.pairwise(pictures):
        assert np.count_nonzero(one != other) > 500


def test_the_avatar_blinks() -> None:
    face = Face(video())
    white = [np.count_nonzero(pixels(face.draw(number, "idle", 0.0, ""))[EYES] > 230) for number in range(25 * 8)]
    blinks = np.diff((np.array(white) < 0.3 * max(white)).astype(int)) == 1
    assert 2 <= np.count_nonzero(blinks) <= 5


def test_the_caption_shows_the_frames_number() -> None:
    face = Face(video())
    one, other = (pixels(face.draw(number, "idle", 0.0, "task")) for number in (50, 51))
    changed = np.argwhere(one != other)
    assert len(changed) > 10
    assert changed[:, 0].min() >= CAPTION_TOP
    assert changed[:, 1].min() > 854 * 0.8


def test_the_captions_number_depends_on_nothing_else() -> None:
    one, other = Face(video(), "one"), Face(video(), "other")
    for number in range(40):
        other.draw(number, "talking", 1.0, "something")
    shown = [pixels(face.draw(1234, "idle", 0.0, ""))[CAPTION_TOP:, 780:] for face in (one, other)]
    np.testing.assert_array_equal(shown[0], shown[1])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"session": "3f2a"}, {"session": "9c1b"}),
        ({"task_id": "3f2a"}, {"task_id": "9c1b"}),
        ({"expression": "idle"}, {"expression": "talking"}),
        ({"expression": "talking"}, {"expression": "listening"}),
    ],
)
def test_the_caption_tells_session_task_and_state(one: dict[str, Any], other: dict[str, Any]) -> None:
    def caption(session: str = "s", expression: Any = "idle", task_id: str = "t") -> NDArray[Any]:
        return pixels(Face(video(), session).draw(7, expression, 0.0, task_id))[CAPTION_TOP:]

    assert np.count_nonzero(caption(**one) != caption(**other)) > 20


def test_a_listening_face_looks_attentive() -> None:
    face = Face(video())
    idle, listening = (pixels(face.draw(0, state, 0.0, ""))[EYES] for state in ("idle", "listening"))
    assert np.count_nonzero(idle != listening) > 100


def test_a_frame_keeps_its_picture_while_the_next_is_drawn() -> None:
    face = Face(video())
    frame = face.draw(0, "idle", 0.0, "")
    before = pixels(frame)
    face.draw(60, "talking", 1.0, "task")
    np.testing.assert_array_equal(pixels(frame), before)


def test_sessions_of_one_size_do_not_draw_into_each_other() -> None:
    one, other = Face(video(), "same"), Face(video(), "same")
    before = pixels(one.draw(10, "idle", 0.0, ""))
    other.draw(99, "talking", 1.0, "task")
    np.testing.assert_array_equal(pixels(one.draw(10, "idle", 0.0, "")), before)


def test_the_same_arguments_give_the_same_picture() -> None:
    face = Face(video())
    before = pixels(face.draw(33, "talking", 0.5, "task"))
    face.draw(90, "listening", 0.0, "other")
    np.testing.assert_array_equal(pixels(face.draw(33, "talking", 0.5, "task")), before)


def test_drawing_costs_little() -> None:
    face = Face(video(1280, 720, 30))
    numbers = range(30 * 7)

    def draw_all() -> float:
        begin = time.thread_time()
        for number in numbers:
            face.draw(number, "talking", number % 8 / 7, "task")
        return (time.thread_time() - begin) / len(numbers)

    draw_all()
    assert draw_all() < 0.002
