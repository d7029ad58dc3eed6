"""A theatre for the performer's tests: a stage that keeps what it is given, in a time that the test moves."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import av
import numpy as np
from attrs import Factory, define
from numpy.typing import NDArray

from heygen_avatar.simulator.brain import Turn
from heygen_avatar.simulator.formant import FormantVoice
from heygen_avatar.simulator.performer import Performer
from heygen_avatar.simulator.stage import AVATAR_IDENTITY, BLOCK_SAMPLES, VideoFormat
from heygen_avatar.simulator.voice import Delivery, Speech

VIDEO = VideoFormat(width=320, height=240, bitrate=300_000, fps=25, codec="VP8")
SHORT = "Hello there, my friend."
LONG = "This is a sentence of a certain length, and it goes on. " * 18


class RecordingStage:
    """A room with nobody in it that keeps everything."""

    def __init__(self) -> None:
        self.blocks: list[NDArray[np.int16]] = []
        self.frames: list[av.VideoFrame] = []
        self.cast: set[str] = set()
        self.video_wanted = True

    url = "ws://127.0.0.1:1"

    def token(self, identity: str, *, ttl: float = 86_400.0) -> str:
        return identity

    async def enter(self, identity: str, *, video: VideoFormat | None = None, audio: bool = False) -> None:
        assert video is not None
        assert audio
        self.cast.add(identity)

    async def leave(self, identity: str) -> None:
        self.cast.remove(identity)

    def push_audio(self, samples: NDArray[np.int16]) -> None:
        assert samples.shape == (BLOCK_SAMPLES,)
        assert samples.dtype == np.int16
        self.blocks.append(samples)

    def push_video(self, frame: av.VideoFrame) -> None:
        self.frames.append(frame)

    async def send_data(
        self, payload: bytes, *, topic: str = "", sender: str = AVATAR_IDENTITY, to: Sequence[str] = ()
    ) -> None:
        raise AssertionError("the performer has no wire format of its own")

    def remove(self, identity: str) -> None:
        raise AssertionError("the performer throws nobody out")

    async def close(self) -> None:
        raise AssertionError("the performer does not own the room")

    def sound(self) -> NDArray[np.int16]:
        return np.concatenate(self.blocks)


class MovedClock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    async def sleep_until(self, when: float) -> None:
        if when <= self.now:
            await asyncio.sleep(0)
            return
        alarm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (when, next(self._order), alarm))
        await alarm

    async def advance(self, seconds: float) -> None:
        """Let time pass, and everybody do at each moment what they do then."""
        end = self.now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now = max(self.now, self._sleepers[0][0])
            self._wake()
            await settle()
        self.now = end

    async def jump(self, seconds: float) -> None:
        """Let time pass while nobody can do anything, as when the machine is busy elsewhere."""
        self.now += seconds
        self._wake()
        await settle()

    def _wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self.now:
            alarm = heapq.heappop(self._sleepers)[2]
            if not alarm.done():
                alarm.set_result(None)


class InlineExecutor(Executor):
    """Work in no time, from the point of view of a clock that stands still."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments, **keywords))
        except Exception as error:
            future.set_exception(error)
        return future


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@define(eq=False)
class Theatre:
    """A performer and all that it plays with. What it tells is kept with the number of blocks pushed until then."""

    stage: RecordingStage = Factory(RecordingStage)
    clock: MovedClock = Factory(MovedClock)
    told: list[tuple[Any, ...]] = Factory(list)
    told_at: list[int] = Factory(list)
    reaction: Callable[[str], None] = lambda name: None
    performer: Performer = None  # type: ignore[assignment]

    def on_speech_started(self, task_id: str) -> None:
        self._note("started", task_id)

    def on_speech_chunk(self, task_id: str, text: str) -> None:
        self._note("chunk", task_id, text)

    def on_speech_text_ended(self, task_id: str, text: str) -> None:
        self._note("text ended", task_id, text)

    def on_speech_ended(self, task_id: str, duration_ms: float, interrupted: bool) -> None:
        self._note("ended", task_id, duration_ms, interrupted)

    def _note(self, name: str, *details: Any) -> None:
        self.told.append((name, *details))
        self.told_at.append(len(self.stage.blocks))
        self.reaction(name)

    def chunks(self, task_id: str) -> list[str]:
        return [text for name, teller, *rest in self.told if name == "chunk" and teller == task_id for text in rest]

    def names(self, task_id: str) -> list[str]:
        return [name for name, teller, *_ in self.told if teller == task_id]

    def when(self, name: str, task_id: str) -> int:
        return next(at for at, note in zip(self.told_at, self.told, strict=True) if note[:2] == (name, task_id))

    async def until_heard(self, name: str, task_id: str) -> None:
        for _ in range(10_000):
            if name in self.names(task_id):
                return
            await self.clock.advance(0.02)
        raise AssertionError(f"{name} of {task_id} was never told")


def on_stage(**options: Any) -> Callable[[Callable[[Theatre], Awaitable[None]]], Callable[[], None]]:
    """Run an async test with a performer that has started, in a time that the test moves."""

    def decorate(scene: Callable[[Theatre], Awaitable[None]]) -> Callable[[], None]:
        async def evening() -> None:
            theatre = Theatre()
            settings: dict[str, Any] = {"video": VIDEO, "voice": FormantVoice(), **options}
            theatre.performer = Performer(
                theatre.stage, theatre, caption="session", clock=theatre.clock, executor=InlineExecutor(), **settings
            )
            await theatre.performer.start()
            try:
                await scene(theatre)
            finally:
                await theatre.performer.close()

        def test() -> None:
            asyncio.run(evening())

        test.__doc__ = scene.__doc__
        return test

    return decorate


class RecordingVoice(FormantVoice):
    """The built-in voice, and a list of what it was asked to say, how."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Delivery]] = []

    def synthesize(self, text: str, delivery: Delivery) -> Speech:
        self.asked.append((text, delivery))
        if "unspeakable" in text:
            raise RuntimeError("the voice broke")
        return super().synthesize(text, delivery)


class ListeningBrain:
    """Answers with its question, and keeps what it was told of the conversation."""

    def __init__(self) -> None:
        self.histories: list[list[tuple[str, str]]] = []
        self.patience = asyncio.Event()
        self.patience.set()

    async def reply(self, text: str, history: Sequence[Turn]) -> str:
        self.histories.append([(turn.speaker, turn.text) for turn in history])
        await self.patience.wait()
        return f"You asked: {text} I say: no."
