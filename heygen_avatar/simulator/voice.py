"""How the simulated avatar's words become sound: the voice protocol, its values, and the choice of a voice.

A voice turns a short text into samples and says when each word begins. It knows nothing of sessions, queues or rooms,
keeps no state between calls and may be slow: the performer calls it in a worker thread, a passage at a time.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Literal, Protocol

import av
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from heygen_avatar.errors import MissingExtraError
from heygen_avatar.simulator.stage import SAMPLE_RATE


@frozen(kw_only=True)
class Delivery:
    """How a text is to be said: what a session's ``voice`` settings and ``language`` ask for."""

    rate: float = 1.0
    emotion: str = ""
    voice_id: str = ""
    language: str = "en"


@frozen
class Word:
    """One word with the spaces that belong to it, and the sample at which it begins to sound."""

    text: str
    at: int


@frozen(eq=False)
class Speech:
    """A text as sound: (n,) int16, 48 kHz, mono. The words' texts, joined, are the text exactly."""

    samples: NDArray[np.int16]
    words: tuple[Word, ...]


class Voice(Protocol):
    """Something that can speak. Called from worker threads, perhaps from several at once."""

    def synthesize(self, text: str, delivery: Delivery) -> Speech:
        """Say ``text``. Any text: what cannot be spoken (a lone dash, an emoji) becomes a pause or nothing."""


def load_voice(name: Literal["auto", "espeak", "formant"] = "auto") -> Voice:
    """The voice of that name; ``auto`` is espeak-ng where the extra ``voice`` is installed, else the built-in one.

    Raises:
        MissingExtraError: espeak-ng was asked for by name and is not installed.
    """
    from heygen_avatar.simulator.formant import FormantVoice

    if name == "formant":
        return FormantVoice()
    try:
        # The only import of the GPL-licensed library: it is optional and stays so.
        from heygen_avatar.simulator.espeak import EspeakVoice

        return EspeakVoice()
    except (ImportError, OSError) as error:
        if name == "auto":
            return FormantVoice()
        raise MissingExtraError(extra="voice", feature="the simulator's espeak-ng voice") from error


@frozen(kw_only=True)
class Prosody:
    """What an emotion does to speech: factors on tempo, pitch, how far the pitch moves, and loudness."""

    tempo: float = 1.0
    pitch: float = 1.0
    movement: float = 1.0
    loudness: float = 1.0


EMOTIONS = MappingProxyType(
    {
        "excited": Prosody(tempo=1.15, pitch=1.25, movement=1.7, loudness=1.15),
        "serious": Prosody(tempo=0.92, pitch=0.85, movement=0.5),
        "friendly": Prosody(tempo=0.98, pitch=1.15, movement=1.25),
        "soothing": Prosody(tempo=0.82, pitch=0.92, movement=0.6, loudness=0.7),
        "broadcaster": Prosody(tempo=1.08, pitch=0.82, movement=1.35, loudness=1.15),
    }
)
"""The five emotions of a session's voice setting (heygen-streaming-v1 §5.2, VoiceEmotion)."""


def prosody(delivery: Delivery) -> Prosody:
    """The delivery's emotion in numbers; an emotion nobody knows is spoken plainly."""
    return EMOTIONS.get(delivery.emotion.lower(), Prosody())


def likeness(voice_id: str) -> int:
    """A number that is the same for the same voice id in every process, to choose timbre and pitch by."""
    return zlib.crc32(voice_id.encode())


def words_of(text: str) -> list[str]:
    """The text cut before each word: joined, the pieces are the text exactly."""
    return re.findall(r"\s*\S+\s*", text) or ([text] if text else [])


# Long enough for natural intonation, short enough that the first is ready well before anybody notices the wait.
_SHORTEST_PASSAGE = 60
_LONGEST_PASSAGE = 200
_SENTENCE_END = re.compile(r"(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bSt)[.!?…]+[\"'”’)\]]*\s+|[。！？]+\s*|\n+")
_PAUSE = re.compile(r"[,;:–—]\s+|[，、；：]")
_SPACE = re.compile(r"\s+")


def passages(text: str) -> Iterator[str]:
    """Cut a long text where a speaker would breathe: joined, the passages are the text exactly."""
    start = 0
    while start < len(text):
        end = start + _passage_length(text[start : start + _LONGEST_PASSAGE])
        yield text[start:end]
        start = end


def _passage_length(window: str) -> int:
    ends = [match.end() for match in _SENTENCE_END.finditer(window) if match.end() >= _SHORTEST_PASSAGE]
    if ends:
        return ends[0]
    if len(window) < _LONGEST_PASSAGE:
        return len(window)
    for breath in (_PAUSE, _SPACE):
        ends = [match.end() for match in breath.finditer(window) if match.end() >= _SHORTEST_PASSAGE]
        if ends:
            return ends[-1]
    return len(window)


def speech_at_stage_rate(samples: NDArray[np.int16], rate: int, words: Sequence[Word]) -> Speech:
    """Bring a voice's own sample rate to the stage's."""
    if not len(samples):
        return Speech(samples, tuple(Word(word.text, 0) for word in words))
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    blocks = [block.to_ndarray()[0] for block in (*resampler.resample(frame), *resampler.resample(None))]
    scale = SAMPLE_RATE / rate
    return Speech(np.concatenate(blocks), tuple(Word(word.text, round(word.at * scale)) for word in words))
