"""What was said: an utterance becomes text, by an OpenAI-compatible endpoint, by pocketsphinx, or by a stand-in.

A recogniser gets sound and gives text. It knows no session, no turn and no wire of HeyGen's.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Literal, Protocol, get_args

import aiohttp
import numpy as np
from attrs import field, frozen
from attrs.validators import gt, in_
from numpy.typing import NDArray

from heygen_avatar.errors import MissingExtraError
from heygen_avatar.simulator import sphinx
from heygen_avatar.simulator.vad import SAMPLE_RATE
from heygen_avatar.simulator.wav import as_wav

logger = logging.getLogger(__name__)

Engine = Literal["auto", "pocketsphinx", "none"]


@frozen(kw_only=True, eq=False)
class Utterance:
    """What somebody said in one go: (n,) int16, 16 kHz, mono, with a little silence around ``seconds`` of speech."""

    samples: NDArray[np.int16]
    seconds: float
    language: str = "en"


@frozen(kw_only=True)
class RecogniserSettings:
    """Who understands the user: the endpoint at ``url``, if there is one, as in ``http://127.0.0.1:8000/v1``.

    Without an endpoint it is the ``engine``: ``auto`` takes pocketsphinx where the extra ``stt`` is installed;
    ``none`` understands nothing and says for how long the user spoke.
    """

    url: str = ""
    key: str = field(default="", repr=False)
    model: str = "whisper-1"
    deadline: float = field(default=10.0, validator=gt(0.0))
    engine: Engine = field(default="auto", validator=in_(get_args(Engine)))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> RecogniserSettings:
        """Read ``HEYGEN_SIMULATOR_STT_URL``, ``_KEY`` and ``_MODEL``."""
        return cls(
            url=environment.get("HEYGEN_SIMULATOR_STT_URL", ""),
            key=environment.get("HEYGEN_SIMULATOR_STT_KEY", ""),
            model=environment.get("HEYGEN_SIMULATOR_STT_MODEL", "") or "whisper-1",
        )


class Recogniser(Protocol):
    """Something that understands speech. It must not raise: an utterance always has a text, if only a stand-in."""

    async def prepare(self) -> None:
        """Somebody has begun to speak: there will be an utterance soon."""

    async def transcribe(self, utterance: Utterance) -> str:
        """What was said; never empty."""

    async def close(self) -> None:
        """Nobody will speak any more. Idempotent."""


def load_recogniser(settings: RecogniserSettings | None = None) -> Recogniser:
    """The recogniser of these settings, or of the environment's.

    Raises:
        MissingExtraError: pocketsphinx was asked for by name and is not installed.
    """
    settings = RecogniserSettings.from_environment() if settings is None else settings
    if settings.url:
        return EndpointRecogniser(settings)
    installed = importlib.util.find_spec("pocketsphinx") is not None
    if settings.engine == "pocketsphinx" and not installed:
        raise MissingExtraError(extra="stt", feature="the simulator's speech recognition")
    return SphinxRecogniser(settings.deadline) if installed and settings.engine != "none" else StandInRecogniser()


class StandInRecogniser:
    """Understands nothing, and says for how long the user spoke."""

    async def prepare(self) -> None:
        """Nothing to prepare."""

    async def transcribe(self, utterance: Utterance) -> str:
        return stand_in(utterance)

    async def close(self) -> None:
        """Nothing to close."""


def stand_in(utterance: Utterance) -> str:
    """The text of an utterance that nobody understood."""
    return f"({utterance.seconds:.1f} seconds of speech)"


class EndpointRecogniser:
    """Asks an OpenAI-compatible ``/audio/transcriptions`` endpoint; a stand-in where that does not answer."""

    def __init__(self, settings: RecogniserSettings) -> None:
        self._settings = settings

    async def prepare(self) -> None:
        """Nothing to prepare."""

    async def transcribe(self, utterance: Utterance) -> str:
        try:
            return await self._ask(utterance) or stand_in(utterance)
        except (aiohttp.ClientError, asyncio.TimeoutError, ValueError, LookupError, TypeError) as error:
            logger.warning("the speech recognition at %s gave no text: %r", self._settings.url, error)
            return stand_in(utterance)

    async def close(self) -> None:
        """Nothing to close."""

    async def _ask(self, utterance: Utterance) -> str:
        settings = self._settings
        form = aiohttp.FormData()
        form.add_field("file", as_wav(utterance.samples, SAMPLE_RATE), filename="speech.wav", content_type="audio/wav")
        for name, value in (
            ("model", settings.model),
            ("language", utterance.language),
            ("response_format", "json"),
        ):
            form.add_field(name, value)
        headers = {"Authorization": f"Bearer {settings.key}"} if settings.key else {}
        deadline = aiohttp.ClientTimeout(total=settings.deadline)
        # A session per question, as for the brain: nothing is left open when the avatar's session ends.
        url = f"{settings.url.rstrip('/')}/audio/transcriptions"
        async with (
            aiohttp.ClientSession(timeout=deadline, headers=headers) as http,
            http.post(url, data=form) as response,
        ):
            response.raise_for_status()
            text = (await response.json(content_type=None))["text"]
        if not isinstance(text, str):
            raise TypeError(f"the text is none: {text!r}")
        return text.strip()


class SphinxRecogniser:
    """Asks pocketsphinx, which has a process of its own from the first speech on (``sphinx.py`` says why).

    Its model knows English; of another language there is a stand-in. One utterance is understood at a time.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def prepare(self) -> None:
        async with self._turn:
            with contextlib.suppress(OSError):  # told of when there is an utterance
                await self._start()

    async def transcribe(self, utterance: Utterance) -> str:
        if utterance.language != "en":
            return stand_in(utterance)
        async with self._turn:
            try:
                return await asyncio.wait_for(self._ask(utterance), self._deadline) or stand_in(utterance)
            except (OSError, EOFError, asyncio.TimeoutError) as error:
                logger.warning("pocketsphinx gave no text: %r", error)
                await self._end()
                return stand_in(utterance)
            except asyncio.CancelledError:
                await self._end()  # its answer would be taken for the next one's
                raise

    async def close(self) -> None:
        await self._end()

    async def _ask(self, utterance: Utterance) -> str:
        process = await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        sound = _as_in_a_room(utterance.samples).astype("<i2").tobytes()
        process.stdin.write(sphinx.LENGTH.pack(len(sound)) + sound)
        await process.stdin.drain()
        (length,) = sphinx.LENGTH.unpack(await process.stdout.readexactly(sphinx.LENGTH.size))
        return (await process.stdout.readexactly(length)).decode()

    async def _start(self) -> asyncio.subprocess.Process:
        if self._process is None:
            if getattr(sys, "frozen", False) or not sys.executable:
                raise OSError("a frozen program has no Python that could run pocketsphinx")  # it would start itself
            pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, sphinx.__file__, stdin=pipe, stdout=pipe, stderr=nothing, creationflags=_NO_WINDOW
            )
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        # Reads what is left, so that its pipes are closed too.
        await process.communicate()


def _as_in_a_room(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """Add a little noise: the model was made in real rooms, and of a synthetic voice it misses half without."""
    noise = np.random.default_rng(0).normal(0.0, _ROOM_NOISE, len(samples))
    return (samples + noise).clip(-32_768, 32_767).astype(np.int16)


_ROOM_NOISE = 100.0  # RMS: -50 dB of full scale
_NO_WINDOW: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows would open a terminal for it
