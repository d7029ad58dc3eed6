"""A long text becomes passages that a task may hold, with nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heygen_avatar.cli.passages import passages


def test_a_short_text_stays_whole() -> None:
    assert passages("Hello. How are you?") == ["Hello. How are you?"]


def test_a_blank_line_parts_and_a_line_break_does_not() -> None:
    assert passages("One\ntwo.\n \nThree.") == ["One two.", "Three."]


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    assert passages("One one. Two two. Three.", longest=18) == ["One one. Two two.", "Three."]


def test_a_long_sentence_is_cut_between_words_and_a_long_word_within() -> None:
    assert passages("aaa bbb ccccccccc", longest=7) == ["aaa bbb", "ccccccc", "cc"]


@given(st.text(), st.integers(1, 50))
def test_no_passage_is_empty_or_too_long_and_no_character_is_lost(text: str, longest: int) -> None:
    cut = passages(text, longest=longest)
    assert all(0 < len(passage) <= longest for passage in cut)
    assert "".join("".join(cut).split()) == "".join(text.split())
