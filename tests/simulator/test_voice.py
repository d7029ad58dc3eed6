"""Both voices, as the performer uses them: text in, sound and the words' times out."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from heygen_avatar.errors import MissingExtraError
from heygen_avatar.simulator.formant import FormantVoice
from heygen_avatar.simulator.stage import SAMPLE_RATE
from heygen_avatar.simulator.voice import EMOTIONS, Delivery, Speech, Voice, load_voice, passages

SENTENCE = "Good morning, everybody, and welcome to our little show!"
PLAIN = Delivery()

needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="the extra 'voice' is not installed"
)


@pytest.fixture(params=["formant", pytest.param("espeak", marks=needs_espeak)])
def voice(request: pytest.FixtureRequest) -> Voice:
    return load_voice(request.param)


def loudness(samples: NDArray[np.int16]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def pitch(samples: NDArray[np.int16]) -> float:
    """The median pitch in Hz of the loud parts, by autocorrelation."""
    windows = samples[: len(samples) // 2400 * 2400].reshape(-1, 2400).astype(np.float64)
    loud = windows[np.sqrt(np.mean(windows**2, axis=1)) > loudness(samples)]
    shortest, longest = SAMPLE_RATE // 450, SAMPLE_RATE // 60
    lags = [
        shortest + np.argmax(np.correlate(window, window, "full")[2399 + shortest : 2399 + longest]) for window in loud
    ]
    return float(SAMPLE_RATE / np.median(lags))


def brightness(samples: NDArray[np.int16]) -> float:
    """The mean frequency in Hz."""
    spectrum = np.abs(np.fft.rfft(samples.astype(np.float64)))
    return float(np.average(np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE), weights=spectrum))


def alike(one: Speech, other: Speech) -> bool:
    """Whether two utterances are the same to a listener: as long, as high, as loud, as bright."""
    return all(
        measure(one.samples) == pytest.approx(measure(other.samples), rel=0.05)
        for measure in (len, pitch, loudness, brightness)
    )


def test_the_words_joined_are_the_text(voice: Voice) -> None:
    text = "  Well –  1,234 times\n«wörld» 😀 … Привет!  "
    assert "".join(word.text for word in voice.synthesize(text, PLAIN).words) == text


def test_words_begin_one_after_another_within_the_sound(voice: Voice) -> None:
    speech = voice.synthesize(SENTENCE, PLAIN)
    begins = [word.at for word in speech.words]
    assert begins == sorted(set(begins))
    assert begins[0] >= 0
    assert begins[-1] < len(speech.samples)


def test_speech_can_be_heard(voice: Voice) -> None:
    speech = voice.synthesize(SENTENCE, PLAIN)
    assert speech.samples.dtype == np.int16
    assert loudness(speech.samples) > 1500
    assert np.abs(speech.samples.astype(int)).max() < 32_767


def test_speech_has_the_pace_of_speech(voice: Voice) -> None:
    words = len(SENTENCE.split())
    assert 1.5 < words / (len(voice.synthesize(SENTENCE, PLAIN).samples) / SAMPLE_RATE) < 4.5


def test_the_same_text_sounds_the_same_every_time(voice: Voice) -> None:
    first = voice.synthesize(SENTENCE, PLAIN)
    voice.synthesize("Something else.", Delivery(emotion="excited", rate=1.4, voice_id="x", language="de"))
    assert alike(first, voice.synthesize(SENTENCE, PLAIN))


def test_the_built_in_voice_gives_the_same_samples_every_time() -> None:
    first, again = (FormantVoice().synthesize(SENTENCE, PLAIN) for _ in range(2))
    np.testing.assert_array_equal(first.samples, again.samples)
    assert first.words == again.words


def test_a_higher_rate_is_shorter(voice: Voice) -> None:
    lengths = [len(voice.synthesize(SENTENCE, Delivery(rate=rate)).samples) for rate in (0.5, 1.0, 1.5)]
    assert lengths[0] > 1.5 * lengths[1] > 1.5 * 1.2 * lengths[2]


def test_every_emotion_sounds_different(voice: Voice) -> None:
    spoken = [voice.synthesize(SENTENCE, Delivery(emotion=emotion)) for emotion in ("", *EMOTIONS)]
    assert not any(alike(one, other) for one, other in itertools.combinations(spoken, 2))


def test_excitement_is_higher_and_faster_than_seriousness(voice: Voice) -> None:
    excited = voice.synthesize(SENTENCE, Delivery(emotion="Excited")).samples
    serious = voice.synthesize(SENTENCE, Delivery(emotion="serious")).samples
    assert pitch(excited) > 1.15 * pitch(serious)
    assert len(excited) < 0.9 * len(serious)


def test_soothing_is_quieter(voice: Voice) -> None:
    soothing = voice.synthesize(SENTENCE, Delivery(emotion="soothing")).samples
    assert loudness(soothing) < 0.85 * loudness(voice.synthesize(SENTENCE, PLAIN).samples)


def test_an_unknown_emotion_is_spoken_plainly(voice: Voice) -> None:
    assert alike(voice.synthesize(SENTENCE, Delivery(emotion="sarcastic")), voice.synthesize(SENTENCE, PLAIN))


def test_voice_ids_are_different_people(voice: Voice) -> None:
    people = [voice.synthesize(SENTENCE, Delivery(voice_id=voice_id)) for voice_id in ("anna", "bert", "carl")]
    assert not any(alike(one, other) for one, other in itertools.combinations(people, 2))


@pytest.mark.parametrize("text", ["", " ", "\n", "…", "-", "😀", "\x00\x01", "[[x]] <b>&amp;</b>"])
def test_anything_can_be_asked_for(voice: Voice, text: str) -> None:
    assert "".join(word.text for word in voice.synthesize(text, PLAIN).words) == text


@settings(deadline=None, max_examples=40)
@given(text=st.text(max_size=60), name=st.sampled_from(["formant", "auto"]))
def test_no_text_breaks_a_voice(text: str, name: str) -> None:
    speech = load_voice(name).synthesize(text, PLAIN)  # type: ignore[arg-type]
    assert "".join(word.text for word in speech.words) == text
    assert all(0 <= word.at <= len(speech.samples) for word in speech.words)


def test_voices_may_be_used_from_several_threads(voice: Voice) -> None:
    texts = [SENTENCE * count for count in (1, 2, 3) * 4]
    alone = [voice.synthesize(text, PLAIN) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: voice.synthesize(text, PLAIN), texts))
    assert all(alike(one, other) for one, other in zip(alone, together, strict=True))


@needs_espeak
def test_espeak_speaks_languages() -> None:
    voice = load_voice("espeak")
    text = "Computer, restaurant, hotel, international"
    spoken = [voice.synthesize(text, Delivery(language=language)) for language in ("en", "de", "fr-FR")]
    assert not any(alike(one, other) for one, other in itertools.combinations(spoken, 2))


@needs_espeak
def test_espeak_speaks_english_where_it_does_not_know_the_language() -> None:
    voice = load_voice("espeak")
    assert alike(voice.synthesize(SENTENCE, Delivery(language="tlh-Piqd")), voice.synthesize(SENTENCE, PLAIN))


@needs_espeak
def test_auto_is_espeak_where_it_is_installed() -> None:
    assert not isinstance(load_voice("auto"), FormantVoice)


@pytest.fixture
def without_espeak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "heygen_avatar.simulator.espeak", raising=False)
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)  # Python's own mark of a module that cannot be imported


@pytest.mark.usefixtures("without_espeak")
def test_auto_is_the_built_in_voice_elsewhere() -> None:
    assert isinstance(load_voice("auto"), FormantVoice)


@pytest.mark.usefixtures("without_espeak")
def test_asking_for_espeak_where_it_is_missing_names_the_extra() -> None:
    with pytest.raises(MissingExtraError, match="voice"):
        load_voice("espeak")


@given(text=st.text(alphabet=st.sampled_from("ab. !?\n,;Dr。…\"')"), max_size=700))
def test_passages_joined_are_the_text(text: str) -> None:
    assert "".join(passages(text)) == text


def test_passages_end_where_sentences_end() -> None:
    sentence = "Here is a sentence that is neither very long nor very short, I think. "
    assert list(passages(sentence * 3)) == [sentence] * 3


def test_a_title_does_not_end_a_passage() -> None:
    text = "The first person who came through the door that day was our good old Dr. Smith, and he was late."
    assert list(passages(text)) == [text]


def test_a_text_without_sentences_is_cut_between_words() -> None:
    pieces = list(passages("word " * 200))
    assert max(map(len, pieces)) <= 200
    assert all(piece.endswith(" ") for piece in pieces)
