"""From the end of what a user says to when the service has heard it, and whether it has heard all of it.

A tone stands for the speech, so that its end is told to a sample. It comes from a file, or as from a microphone: ten
milliseconds at a time, when they would be spoken. The simulator is in this process, since only it knows what it hears.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
from livekit import rtc
from numpy.typing import NDArray

from benchmarks.measure import Row, turns
from benchmarks.plain import PlainSession
from heygen_avatar import SoundFile, StreamingAvatar
from heygen_avatar.media.frames import AudioFrame
from heygen_avatar.protocols import pipecat
from heygen_avatar.simulator import Limits, RecogniserSettings, Simulator, voice_chat

RATE = 48_000
SECONDS = 2.0
LOUD = 1_000
SETTLE = 1.5
"""Seconds of silence between two sounds: each is a turn of its own."""

ROOM, SOCKET = "a track in the room", "frames on the chat socket"


def rows(*, quick: bool) -> list[Row]:
    rounds = 2 if quick else 12
    result: list[Row] = []
    with ExitStack() as stack:
        heard = stack.enter_context(Heard())
        limits = Limits(concurrent_sessions=10, credits=1e9)
        simulator = stack.enter_context(Simulator(limits=limits, stt=RecogniserSettings(engine="none")))
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "tone.wav"
        write(path, tone())
        for way, transport, against in (
            (ROOM, "livekit", "livekit.rtc alone"),
            (SOCKET, "websocket", "aiohttp alone"),
        ):
            with Ours(simulator, heard, transport) as ours, Plain(simulator, heard, transport) as plain:
                for what, say, say_plainly in (
                    ("file", lambda: ours.file(path), lambda: plain.file(path)),
                    ("microphone", ours.microphone, plain.microphone),
                ):
                    mine, other = turns(rounds, say, say_plainly)
                    since = "its start until its end" if what == "file" else "its end until it"
                    result += _rows(f"a {what} by {way}", since, against, mine, other)
    return result


def _rows(what: str, since: str, against: str, ours: list[Any], theirs: list[Any]) -> list[Row]:
    return [
        Row(
            what=f"{what}: from {since} is heard",
            unit="ms",
            ours=[late for late, _ in ours],
            theirs=[late for late, _ in theirs],
            against=against,
        ),
        Row(
            what=f"{what}: sound that is heard",
            unit="ms",
            ours=[length for _, length in ours],
            theirs=[length for _, length in theirs],
            against=against,
            more_is_better=True,
            digits=0,
        ),
    ]


Outcome = tuple[float, float]
"""Milliseconds until the end of the sound was heard; milliseconds of sound that were heard."""


class Heard:
    """What the simulator's voice chats hear, loud parts only, with the time."""

    def __init__(self) -> None:
        self._loud: list[tuple[float, float]] = []  # when the last loud sample was heard, seconds of loud ones
        self._changed = threading.Condition()
        self._original = voice_chat.VoiceChat.hear

    def __enter__(self) -> Heard:
        heard = self

        def hear(chat: Any, samples: NDArray[np.int16], sample_rate: int, **how: Any) -> bool:
            heard._take(samples, sample_rate)
            return heard._original(chat, samples, sample_rate, **how)

        voice_chat.VoiceChat.hear = hear  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        voice_chat.VoiceChat.hear = self._original  # type: ignore[method-assign]

    def clear(self) -> None:
        with self._changed:
            self._loud.clear()

    def outcome(self, since: float) -> Outcome:
        """Of a sound, counted from ``since``, once nothing more of it comes."""
        with self._changed:
            while not self._loud or time.perf_counter() - self._loud[-1][0] < 0.5:
                self._changed.wait(0.1)
            return 1000 * (self._loud[-1][0] - since), 1000 * sum(seconds for _, seconds in self._loud)

    def _take(self, samples: NDArray[np.int16], rate: int) -> None:
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > LOUD)
        if len(loud):
            at = time.perf_counter() - (len(samples) - 1 - int(loud[-1])) / rate
            with self._changed:
                # By milliseconds, each of which is loud somewhere: a hole inside a piece shows.
                self._loud.append((at, 0.001 * len(np.unique(loud // (rate // 1000)))))
                self._changed.notify_all()


class Spoken:
    """The tone as from a microphone, each block when it has been spoken, then silence."""

    sample_rate = RATE
    live = True

    def __init__(self) -> None:
        self.ended = 0.0

    def __iter__(self) -> Iterator[AudioFrame]:
        sound = np.concatenate([tone(), np.zeros(RATE // 2, np.int16)])
        due = time.perf_counter()
        for start in range(0, len(sound), RATE // 100):
            due += 0.01
            time.sleep(max(0.0, due - time.perf_counter()))
            if start < SECONDS * RATE:
                self.ended = time.perf_counter()
            yield AudioFrame(sample_rate=RATE, data=sound[start : start + RATE // 100].tobytes())


class Ours:
    """This package."""

    def __init__(self, simulator: Simulator, heard: Heard, transport: str) -> None:
        self._heard = heard
        self._avatar = StreamingAvatar(api_key=simulator.api_key, base_path=simulator.base_path)
        self._avatar.create_start_avatar(quality="low", voice_chat_transport=transport)
        self._voice = self._avatar.start_voice_chat(source=_Short())

    def __enter__(self) -> Ours:
        return self

    def __exit__(self, *_: object) -> None:
        self._avatar.stop_avatar()

    def file(self, path: Path) -> Outcome:
        source = SoundFile(path)
        return self._say(source, lambda began: began)

    def microphone(self) -> Outcome:
        source = Spoken()
        return self._say(source, lambda began: source.ended)

    def _say(self, source: object, since: Callable[[float], float]) -> Outcome:
        time.sleep(SETTLE)
        self._heard.clear()
        began = time.perf_counter()
        self._voice.speak(source).wait()
        return self._heard.outcome(since(began))


class _Short:
    """Hardly a sound, to begin with."""

    sample_rate = RATE

    def __iter__(self) -> Iterator[AudioFrame]:
        yield AudioFrame(sample_rate=RATE, data=bytes(960))


class Plain:
    """What one writes without it: a source in the room that is fed, or frames that are sent in time."""

    def __init__(self, simulator: Simulator, heard: Heard, transport: str) -> None:
        self._heard = heard
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._by_track = transport == "livekit"
        self._run(self._start(simulator))

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._session.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def file(self, path: Path) -> Outcome:
        time.sleep(SETTLE)
        self._heard.clear()
        began = time.perf_counter()
        self._run(self._file(path))
        return self._heard.outcome(began)

    def microphone(self) -> Outcome:
        time.sleep(SETTLE)
        self._heard.clear()
        spoken = Spoken()
        self._run(self._microphone(spoken))
        return self._heard.outcome(spoken.ended)

    async def _start(self, simulator: Simulator) -> None:
        self._session = _Chatting(simulator.base_path, simulator.api_key, by_track=self._by_track)
        await self._session.start()
        if self._by_track:
            self._source = rtc.AudioSource(RATE, 1)
            track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
            options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
            await self._session.room.local_participant.publish_track(track, options)
            await self._feed(np.zeros(RATE, np.int16))

    async def _file(self, path: Path) -> None:
        rate = RATE if self._by_track else 16_000
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
        with av.open(str(path)) as container:
            pieces = [
                piece.to_ndarray()[0] for frame in container.decode(audio=0) for piece in resampler.resample(frame)
            ]
        pieces += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
        await self._feed(np.concatenate(pieces))

    async def _microphone(self, spoken: Spoken) -> None:
        blocks: asyncio.Queue[bytes | None] = asyncio.Queue()

        def read() -> None:
            for frame in spoken:
                self._loop.call_soon_threadsafe(blocks.put_nowait, bytes(frame.data))
            self._loop.call_soon_threadsafe(blocks.put_nowait, None)

        threading.Thread(target=read, daemon=True).start()
        resampler = rtc.AudioResampler(RATE, 16_000)
        held = b""
        while (block := await blocks.get()) is not None:
            if self._by_track:
                await self._source.capture_frame(rtc.AudioFrame(block, RATE, 1, len(block) // 2))
                continue
            held += b"".join(bytes(frame.data) for frame in resampler.push(bytearray(block)))
            while len(held) >= 1024:
                await self._session.chat.send_bytes(pipecat.audio_frame(held[:1024]))
                held = held[1024:]

    async def _feed(self, samples: NDArray[np.int16]) -> None:
        if self._by_track:
            for start in range(0, len(samples), RATE // 100):
                block = samples[start : start + RATE // 100]
                await self._source.capture_frame(rtc.AudioFrame(block.tobytes(), RATE, 1, len(block)))
            await self._source.wait_for_playout()
            return
        due = time.perf_counter()
        for start in range(0, len(samples), 512):
            await self._session.chat.send_bytes(pipecat.audio_frame(samples[start : start + 512].tobytes()))
            due += 0.032
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


class _Chatting(PlainSession):
    """A plain session whose voice goes by a transport."""

    def __init__(self, base_path: str, api_key: str, *, by_track: bool) -> None:
        super().__init__(base_path, api_key, subscribe=False)
        self._by_track = by_track

    @property
    def chat(self) -> aiohttp.ClientWebSocketResponse:
        assert self._chat is not None
        return self._chat

    async def post(
        self, name: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        if name == "streaming.new":
            body = {**(body or {}), "ia_is_livekit_transport": self._by_track}
        return await super().post(name, body, headers)


def tone() -> NDArray[np.int16]:
    """Loud in every quarter of a millisecond."""
    return (8_000 * np.cos(2 * np.pi * 1_000 * np.arange(round(SECONDS * RATE)) / RATE)).astype(np.int16)


def write(path: Path, samples: NDArray[np.int16]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
