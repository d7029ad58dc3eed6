from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heygen_avatar.media.timeline import RATE, Timeline

BLOCK = RATE // 50


def test_a_steady_sound_has_no_gap() -> None:
    timeline = Timeline()
    assert [timeline.sound(5 + n * 0.02, BLOCK) for n in range(4)] == [0, BLOCK, 2 * BLOCK, 3 * BLOCK]


def test_a_sound_that_begins_after_the_picture_is_preceded_by_silence() -> None:
    timeline = Timeline()
    assert timeline.picture(1.0) == 0
    assert timeline.sound(1.52, BLOCK) == RATE // 2


def test_a_picture_lies_where_the_sound_is_when_it_comes() -> None:
    timeline = Timeline()
    for n in range(1, 51):
        timeline.sound(n * 0.02, BLOCK)
    assert timeline.picture(1.0) == RATE


def test_a_sound_that_stops_for_long_leaves_silence_where_it_was_missing() -> None:
    timeline = Timeline()
    timeline.sound(0.02, BLOCK)
    assert timeline.sound(3.02, BLOCK) - 3 * RATE in range(-BLOCK // 5, 1)


def test_a_short_hiccup_leaves_the_sound_in_one_piece() -> None:
    timeline = Timeline()
    timeline.sound(0.02, BLOCK)
    assert timeline.sound(0.82, BLOCK) == BLOCK


def test_pictures_without_any_sound_are_followed_by_silence() -> None:
    timeline = Timeline()
    for n in range(300):
        last = timeline.picture(n / 25)
    assert 0 <= last - timeline.position <= 1.5 * RATE


def test_no_two_pictures_lie_at_the_same_place() -> None:
    timeline = Timeline()
    assert [timeline.picture(at) for at in (1.0, 1.0, 0.9)] == [0, 1, 2]


@given(late=st.lists(st.floats(0, 0.3), min_size=100, max_size=400))
def test_however_late_each_piece_comes_sound_is_unbroken_and_pictures_stay_with_it(late: list[float]) -> None:
    timeline = Timeline()
    arrived = 0.0
    for n, delay in enumerate(late):
        arrived = max(arrived, (n + 1) * 0.02 + delay)  # late, and never before the one ahead of it
        assert timeline.sound(arrived, BLOCK) == n * BLOCK
    shown_at = max(arrived, len(late) * 0.02)
    assert abs(timeline.picture(shown_at) - shown_at * RATE) <= 0.35 * RATE
