"""The avatar's performance: a queue of things to say becomes a timeline of sound, picture and events.

The performer pushes a block of sound every 20 ms and a frame at the format's pace, speaking or not, and tells its
listener what happens at the moment it can be heard. It knows no wire format and no session rules; it talks to a room
through a :class:`~heygen_avatar.simulator.stage.Stage`. Everything here runs on the simulator's event loop, except
that voices work in worker threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Protocol, TypeVar

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from heygen_avatar.simulator.brain import Brain, Turn
from heygen_avatar.simulator.face import Expression, Face, Mouth
from heygen_avatar.simulator.line import Block, Line, Spoken
from heygen_avatar.simulator.stage import AVATAR_IDENTITY, BLOCK_SAMPLES, SAMPLE_RATE, Stage, VideoFormat
from heygen_avatar.simulator.voice import Delivery, Voice, Word, passages

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


class PerformerListener(Protocol):
    """What the audience is to be told, in order, on the loop. Must not block; may call the performer.

    A line that is heard is told of as started, chunks (joined, they are the text exactly), text ended, ended. If it is
    cut off, the missing chunks and the text's end are not told, its end is. A line dropped unheard is not told of.
    """

    def on_speech_started(self, task_id: str) -> None:
        """The first block sounds now."""

    def on_speech_chunk(self, task_id: str, text: str) -> None:
        """These few words begin to sound now."""

    def on_speech_text_ended(self, task_id: str, text: str) -> None:
        """The last chunk was told; ``text`` is all of it. The sound goes on for a moment."""

    def on_speech_ended(self, task_id: str, duration_ms: float, interrupted: bool) -> None:
        """The last sample has sounded."""


class Clock(Protocol):
    """Where the performer's time comes from."""

    def time(self) -> float:
        """Seconds, monotonic."""

    async def sleep_until(self, when: float) -> None:
        """Return at ``when``, or at once if that is past."""


class LoopClock:
    """Real time: the running event loop's."""

    def time(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep_until(self, when: float) -> None:
        await asyncio.sleep(max(0.0, when - self.time()))


class Performer:
    """One avatar on one stage."""

    def __init__(
        self,
        stage: Stage,
        listener: PerformerListener,
        *,
        video: VideoFormat,
        voice: Voice,
        brain: Brain | None = None,
        caption: str = "",
        delivery: Delivery | None = None,
        clock: Clock | None = None,
        executor: Executor | None = None,
    ) -> None:
        self._stage = stage
        self._listener = listener
        self._video = video
        self._voice = voice
        self._brain = brain
        self._caption = caption
        self._delivery = delivery or Delivery()
        self._clock = clock or LoopClock()
        self._executor = executor

        self._lines: deque[Line] = deque()  # the first is on air once it has started
        self._scripts: deque[_Script] = deque()  # what is still to be put into sound, in the same order
        self._hungry = asyncio.Event()  # there may be something to put into sound
        self._conversation: deque[Turn | Line] = deque(maxlen=_REMEMBERED_TURNS)
        self._fading = np.zeros(0, np.int16)  # the end of what was cut off, for the next block
        self._mouth = Mouth()
        self._listening = False
        self._shown_task_id = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._writer: asyncio.Task[None] | None = None
        self.stalls = 0
        """How often the machine was too slow to keep real time."""

    async def start(self) -> None:
        """Enter the stage and begin to be heard and seen, silent and idle."""
        face, _ = await asyncio.gather(
            self._in_thread(lambda: Face(self._video, self._caption)),
            self._stage.enter(AVATAR_IDENTITY, video=self._video, audio=True),
        )
        self._tasks = [
            asyncio.create_task(self._sound_forever(), name="performer sound"),
            asyncio.create_task(self._show_forever(face), name="performer picture"),
        ]
        self._writer = asyncio.create_task(self._write_forever(), name="performer writer")

    async def close(self) -> None:
        """Cut off what is being said, stop sound and picture, leave the stage. Idempotent."""
        self.interrupt()
        tasks = [*self._tasks, *([self._writer] if self._writer else [])]
        self._tasks, self._writer = [], None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if tasks:
            await self._stage.leave(AVATAR_IDENTITY)

    def say(self, task_id: str, text: str, *, delivery: Delivery | None = None) -> asyncio.Future[Spoken]:
        """Queue a text to be said as it is. The future resolves when it was said, or cut off, or dropped."""
        return self._queue(task_id, text, None, delivery)

    def answer(self, task_id: str, question: str, *, delivery: Delivery | None = None) -> asyncio.Future[Spoken]:
        """Queue the brain's answer to ``question``. The future resolves as that of :meth:`say`."""
        if self._brain is None:
            raise ValueError("this performer has no brain to answer with: give it one, or use say()")
        return self._queue(task_id, question, self._brain, delivery)

    def play(self, task_id: str) -> Line:
        """Queue the caller's own sound: ``append()`` to the line, ``end()`` it; its ``result`` resolves as above.

        It starts with its first 20 ms. Sound that comes too late is heard as silence, and the line goes on.
        """
        line = Line(task_id, asyncio.get_running_loop().create_future())
        self._lines.append(line)
        return line

    def interrupt(self) -> bool:
        """Fall silent now and drop everything queued. False if there was nothing to interrupt."""
        lines, self._lines = self._lines, deque()
        # What the user has said stays said, though nobody answers it any more.
        self._conversation.extend(Turn(speaker="user", text=script.text) for script in self._scripts if script.brain)
        self._scripts.clear()
        if self._writer is not None and lines:
            # It may be waiting for a brain or a voice whose work nobody wants any more.
            self._writer.cancel()
            self._writer = asyncio.create_task(self._write_forever(), name="performer writer")
        for line in lines:
            self._finish(line, interrupted=True)
        return bool(lines)

    def set_listening(self, listening: bool) -> None:
        """Look attentive, or not, while not speaking."""
        self._listening = listening

    @property
    def speaking(self) -> bool:
        """A line is on air."""
        return bool(self._lines) and self._lines[0].started

    @property
    def busy(self) -> bool:
        """A line is on air or queued."""
        return bool(self._lines)

    def _queue(self, task_id: str, text: str, brain: Brain | None, delivery: Delivery | None) -> asyncio.Future[Spoken]:
        line = self.play(task_id)
        self._scripts.append(_Script(line, text, brain, delivery or self._delivery))
        self._hungry.set()
        return line.result

    # Writing: texts become sound, in order, a little ahead of time.

    async def _write_forever(self) -> None:
        while True:
            await self._until(lambda: bool(self._scripts))
            script = self._scripts.popleft()
            try:
                await self._write(script)
            except Exception:
                logger.exception("task %s cannot be spoken", script.line.task_id)
                script.line.break_off()

    async def _write(self, script: _Script) -> None:
        line, text = script.line, script.text
        if script.brain is not None:
            history = tuple(_as_turn(entry) for entry in self._conversation)
            self._conversation.append(Turn(speaker="user", text=text))
            text = await script.brain.reply(text, history)
        line.text = text
        self._conversation.append(line)
        for passage in passages(text):
            await self._until(lambda: sum(queued.pending for queued in self._lines) < _AHEAD_SAMPLES)
            speech = await self._in_thread(partial(self._voice.synthesize, passage, script.delivery))
            line.append(speech.samples, _phrases(speech.words))
        line.end()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._hungry.clear()
            await self._hungry.wait()

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    # Sound and events, block by block.

    async def _sound_forever(self) -> None:
        due = self._clock.time()
        while True:
            await self._clock.sleep_until(due)
            late = self._clock.time() - due
            if late > _TOLERATED_BLOCKS * _BLOCK_SECONDS:
                # Speech is delayed, not skipped or hurried: a burst would only overflow the jitter buffers.
                due += late
                self.stalls += 1
                level = logging.WARNING if self.stalls == 1 else logging.DEBUG
                logger.log(level, "sound was late by %d ms: the machine is too busy", late * 1000)
            due += _BLOCK_SECONDS
            try:
                self._sound_block()
            except Exception:
                logger.exception("a block of sound went wrong")

    def _sound_block(self) -> None:
        line = self._line_on_air()
        if line is None:
            self._push(np.zeros(0, np.int16))
            return
        block = line.take()
        self._push(block.samples)
        self._hungry.set()
        self._tell(line, block)

    def _line_on_air(self) -> Line | None:
        """The line that sounds in this block. The one before, if its last block has sounded, ends here."""
        while self._lines and self._lines[0].exhausted and (self._lines[0].started or self._lines[0].broken):
            line = self._lines.popleft()
            self._finish(line, interrupted=line.broken)
        if self._lines and (self._lines[0].started or self._lines[0].ready):
            return self._lines[0]
        return None

    def _push(self, samples: NDArray[np.int16]) -> None:
        block = np.zeros(BLOCK_SAMPLES, np.int32)
        block[: len(samples)] = samples
        block[: len(self._fading)] += self._fading
        self._fading = np.zeros(0, np.int16)
        sound = np.clip(block, -32_768, 32_767).astype(np.int16)
        self._mouth.follow(sound)
        self._stage.push_audio(sound)

    def _tell(self, line: Line, block: Block) -> None:
        # A listener may interrupt from inside any of these calls: then the line is over and nothing more is told.
        if not line.started:
            line.started = True
            self._shown_task_id = line.task_id
            self._listener.on_speech_started(line.task_id)
        for text in block.texts:
            if not line.over:
                self._listener.on_speech_chunk(line.task_id, text)
        if block.text_ended and not line.over:
            self._listener.on_speech_text_ended(line.task_id, line.said)

    def _finish(self, line: Line, *, interrupted: bool) -> None:
        if interrupted:
            rest = line.cut_off(_FADE_SAMPLES)
            self._fading = rest if line.started else self._fading
        line.finish(interrupted=interrupted)
        if line.started:
            self._listener.on_speech_ended(line.task_id, line.duration_ms, interrupted)

    # The picture.

    async def _show_forever(self, face: Face) -> None:
        begin, fps, number = self._clock.time(), self._video.fps, 0
        while True:
            # Late frames are left out, so that the number always tells the time since the start.
            number = max(number + 1, int((self._clock.time() - begin) * fps))
            await self._clock.sleep_until(begin + number / fps)
            if not self._stage.video_wanted:
                continue
            try:
                frame = face.draw(number, self._expression, self._mouth.openness, self._shown_task_id)
                self._stage.push_video(frame)
            except Exception:
                logger.exception("a frame went wrong")

    @property
    def _expression(self) -> Expression:
        if self.speaking:
            return "talking"
        return "listening" if self._listening else "idle"


_BLOCK_SECONDS = BLOCK_SAMPLES / SAMPLE_RATE
_TOLERATED_BLOCKS = 3
_FADE_SAMPLES = SAMPLE_RATE // 200  # 5 ms: too short to be heard as speech, long enough not to click
_AHEAD_SAMPLES = 8 * SAMPLE_RATE
_REMEMBERED_TURNS = 40
_PHRASE_WORDS = 3


@frozen(eq=False)
class _Script:
    """A line that still has to be written: a text, or a question for a brain."""

    line: Line
    text: str
    brain: Brain | None
    delivery: Delivery


def _as_turn(entry: Turn | Line) -> Turn:
    """What the avatar said counts as far as it was heard; what it is yet to say, in full."""
    if isinstance(entry, Turn):
        return entry
    return Turn(speaker="avatar", text=entry.said if entry.over else entry.text or "")


def _phrases(words: Sequence[Word]) -> list[Word]:
    """Join words as they are told: a few at a time, never across a comma or a full stop."""
    phrases: list[Word] = []
    count = 0
    for word in words:
        if count in (0, _PHRASE_WORDS) or phrases[-1].text.rstrip()[-1:] in _BREATHS:
            phrases.append(word)
            count = 1
        else:
            phrases[-1] = Word(phrases[-1].text + word.text, phrases[-1].at)
            count += 1
    return phrases


_BREATHS = (",", ";", ":", ".", "!", "?", "…")
