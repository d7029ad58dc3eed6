"""A text of any length in passages that one task may hold. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from heygen_avatar.models import MAX_TEXT

_PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE = re.compile(r"(?<=[.!?…。！？])\s*")


def passages(text: str, *, longest: int = MAX_TEXT) -> list[str]:
    """The text in order, cut between paragraphs, in longer ones between sentences, at worst between words.

    A paragraph is a passage: the avatar pauses behind it. No passage is empty or longer than ``longest``.
    """
    return [passage for paragraph in _PARAGRAPH.split(text) for passage in _join(_pieces(paragraph, longest), longest)]


def _pieces(paragraph: str, longest: int) -> Iterator[str]:
    for sentence in _SENTENCE.split(" ".join(paragraph.split())):
        if len(sentence) <= longest:
            yield sentence
            continue
        for word in sentence.split():
            yield from (word[start : start + longest] for start in range(0, len(word), longest))


def _join(pieces: Iterator[str], longest: int) -> Iterator[str]:
    passage = ""
    for piece in pieces:
        joined = f"{passage} {piece}".strip()
        if len(joined) > longest:
            yield passage
            joined = piece
        passage = joined
    if passage:
        yield passage
