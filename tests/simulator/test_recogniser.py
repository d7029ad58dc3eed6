"""Understanding: an endpoint over real HTTP, pocketsphinx in its process, and the stand-in for both."""

from __future__ import annotations

import importlib.util
import io
import wave

import numpy as np
import pytest

from heygen_avatar.errors import MissingExtraError
from heygen_avatar.simulator import RecogniserSettings
from heygen_avatar.simulator.recogniser import (
    EndpointRecogniser,
    SphinxRecogniser,
    StandInRecogniser,
    Utterance,
    load_recogniser,
)
from heygen_avatar.simulator.voice import load_voice

from .guests import on_a_loop
from .sounds import RATE, silence, spoken
from .transcribers import transcriber

HUM = Utterance(samples=np.arange(RATE, dtype=np.int16), seconds=0.84, language="de")
STAND_IN = "(0.8 seconds of speech)"


def question(language: str = "en") -> Utterance:
    samples = np.concatenate([silence(0.3), spoken("How are you today?"), silence(0.2)])
    return Utterance(samples=samples, seconds=1.3, language=language)


@on_a_loop
async def test_the_endpoint_is_sent_a_sound_file_and_its_text_is_taken() -> None:
    with transcriber((200, b'{"text": " Guten Tag! "}')) as service:
        settings = RecogniserSettings(url=service.url, key="secret", model="small")
        assert await EndpointRecogniser(settings).transcribe(HUM) == "Guten Tag!"
    (upload,) = service.uploads
    assert (upload.path, upload.authorization) == ("/v1/audio/transcriptions", "Bearer secret")
    assert (upload.parts["model"], upload.parts["language"]) == (b"small", b"de")
    with wave.open(io.BytesIO(upload.parts["file"])) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        assert file.readframes(file.getnframes()) == HUM.samples.tobytes()


@pytest.mark.parametrize(
    "answer",
    [(500, b"no"), (200, b"no JSON"), (200, b"[]"), (200, b"{}"), (200, b'{"text": 1}'), (200, b'{"text": ""}')],
    ids=["error", "no JSON", "no object", "no text", "no string", "nothing understood"],
)
def test_an_endpoint_that_gives_no_text_is_stood_in_for(answer: tuple[int, bytes]) -> None:
    @on_a_loop
    async def ask() -> None:
        with transcriber(answer) as service:
            recogniser = EndpointRecogniser(RecogniserSettings(url=service.url))
            assert await recogniser.transcribe(HUM) == STAND_IN

    ask()


@on_a_loop
async def test_an_endpoint_that_does_not_answer_is_stood_in_for_after_the_deadline() -> None:
    with transcriber() as service:
        recogniser = EndpointRecogniser(RecogniserSettings(url=service.url, deadline=0.1))
        assert await recogniser.transcribe(HUM) == STAND_IN
        assert len(service.uploads) == 1


@on_a_loop
async def test_an_endpoint_that_nobody_serves_is_stood_in_for() -> None:
    with transcriber() as service:
        pass
    assert await EndpointRecogniser(RecogniserSettings(url=service.url)).transcribe(HUM) == STAND_IN


def test_an_endpoint_is_preferred_to_what_is_installed() -> None:
    assert isinstance(load_recogniser(RecogniserSettings(url="http://127.0.0.1:1")), EndpointRecogniser)


def test_nothing_is_understood_where_that_is_wanted() -> None:
    assert isinstance(load_recogniser(RecogniserSettings(engine="none")), StandInRecogniser)


def test_the_environment_names_an_endpoint() -> None:
    settings = RecogniserSettings.from_environment(
        {
            "HEYGEN_SIMULATOR_STT_URL": "http://127.0.0.1:1/v1",
            "HEYGEN_SIMULATOR_STT_KEY": "secret",
            "HEYGEN_SIMULATOR_STT_MODEL": "large",
        }
    )
    assert (settings.url, settings.key, settings.model) == ("http://127.0.0.1:1/v1", "secret", "large")
    assert "secret" not in repr(settings)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ValueError, match="engine"):
        RecogniserSettings(engine="telepathy")  # type: ignore[arg-type]


def test_without_its_extra_pocketsphinx_cannot_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"heygen-avatar\[stt\]"):
        load_recogniser(RecogniserSettings(engine="pocketsphinx"))
    assert isinstance(load_recogniser(RecogniserSettings()), StandInRecogniser)


needs_pocketsphinx = pytest.mark.skipif(
    importlib.util.find_spec("pocketsphinx") is None, reason="needs the extra stt (pocketsphinx)"
)


@needs_pocketsphinx
@on_a_loop
async def test_pocketsphinx_understands_the_same_speech_in_the_same_way_again() -> None:
    recogniser = SphinxRecogniser(deadline=30)
    texts = [await recogniser.transcribe(question()) for _ in range(2)]
    await recogniser.close()
    assert texts[0] == texts[1]
    if type(load_voice()).__name__ == "EspeakVoice":
        assert texts[0] == "how are you today"


@needs_pocketsphinx
@on_a_loop
async def test_pocketsphinx_knows_no_other_language_than_english() -> None:
    recogniser = SphinxRecogniser(deadline=30)
    assert await recogniser.transcribe(question("de")) == "(1.3 seconds of speech)"
    await recogniser.close()


@needs_pocketsphinx
@on_a_loop
async def test_where_pocketsphinx_hears_no_words_there_is_a_stand_in() -> None:
    recogniser = SphinxRecogniser(deadline=30)
    assert await recogniser.transcribe(Utterance(samples=silence(0.5), seconds=0.2)) == "(0.2 seconds of speech)"
    await recogniser.close()


@needs_pocketsphinx
@on_a_loop
async def test_a_pocketsphinx_that_takes_too_long_is_stood_in_for_and_begun_anew() -> None:
    recogniser = SphinxRecogniser(deadline=0.001)
    assert await recogniser.transcribe(question()) == "(1.3 seconds of speech)"
    recogniser._deadline = 30
    assert "seconds of speech" not in await recogniser.transcribe(question())
    await recogniser.close()


@needs_pocketsphinx
@on_a_loop
async def test_a_pocketsphinx_that_dies_is_stood_in_for_and_begun_anew() -> None:
    recogniser = SphinxRecogniser(deadline=30)
    await recogniser.prepare()
    assert recogniser._process is not None
    recogniser._process.kill()
    await recogniser._process.wait()
    assert await recogniser.transcribe(question()) == "(1.3 seconds of speech)"
    assert "seconds of speech" not in await recogniser.transcribe(question())
    await recogniser.close()


@needs_pocketsphinx
@on_a_loop
async def test_closing_ends_the_process() -> None:
    recogniser = SphinxRecogniser(deadline=30)
    await recogniser.prepare()
    process = recogniser._process
    assert process is not None
    await recogniser.close()
    assert process.returncode is not None
    await recogniser.close()
