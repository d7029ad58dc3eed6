"""The avatar's ears: a user's sound becomes turns - when they begin, what was said, when they end.

A :class:`Listener` hears one user and tells a :class:`UserListener`. It knows no room, no wire and no avatar: what a
turn leads to is for the service to say. Everything here runs on the simulator's event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from typing import Protocol

import av
import numpy as np
from attrs import field, frozen
from attrs.validators import ge, gt
from numpy.typing import NDArray

from heygen_avatar.simulator.recogniser import Recogniser, Utterance
from heygen_avatar.simulator.stage import SAMPLE_RATE as STAGE_RATE
from heygen_avatar.simulator.vad import FRAME_SAMPLES, FRAME_SECONDS, SAMPLE_RATE, VoiceActivity
from heygen_avatar.simulator.voice import words_of

logger = logging.getLogger(__name__)

RATES = range(8_000, 192_001)
"""Sample rates that can be heard."""


@frozen(kw_only=True)
class Hearing:
    """How the simulated service listens. Every time is in seconds and may be a fraction.

    Attributes:
        shortest_speech: voice that must be heard, in a little more than this, until it counts as speech.
        pause: the silence after which the user has finished.
        longest_turn: after this a turn is over whether the user has finished or not.
        lost_sound: a turn is over when no sound, not even silence, arrives for so long.
        push_to_talk_tail: sound that is still on its way when the user lets go, and is heard.
        silence: how long nobody speaks until ``user_silence`` is told, where silence prompts are on.
        silence_count_down: how long it is from there to the avatar's prompt.
        silence_prompts: so often in a row the avatar prompts a user who does not speak.
    """

    shortest_speech: float = field(default=0.1, validator=gt(0.0))
    pause: float = field(default=0.6, validator=gt(0.0))
    longest_turn: float = field(default=60.0, validator=gt(0.0))
    lost_sound: float = field(default=1.0, validator=gt(0.0))
    push_to_talk_tail: float = field(default=0.3, validator=ge(0.0))
    silence: float = field(default=10.0, validator=gt(0.0))
    silence_count_down: float = field(default=5.0, validator=ge(0.0))
    silence_prompts: int = field(default=3, validator=ge(0))


class UserListener(Protocol):
    """Who is told what the user does, in order, on the loop. Must not block; may call the listener.

    A turn is told of as started, chunks (joined, they are the text exactly), ended, stopped. The text is known when
    the user has finished and was understood, so that all but the first of these come together, and whoever is told
    of the stop has the whole text. A turn begins when the one before has stopped, however fast the user goes on.
    """

    def on_user_started(self) -> None:
        """The user has begun to speak; an avatar that speaks should stop."""

    def on_user_chunk(self, text: str) -> None:
        """A few words of the turn."""

    def on_user_ended(self, text: str) -> None:
        """The last chunk was told; ``text`` is all of it, never empty."""

    def on_user_stopped(self) -> None:
        """The turn is over: it can be answered."""


class Listener:
    """Hears one user, always or, with ``push_to_talk``, while told to."""

    def __init__(
        self,
        listener: UserListener,
        recogniser: Recogniser,
        hearing: Hearing,
        *,
        language: str = "en",
        push_to_talk: bool = False,
    ) -> None:
        self._listener = listener
        self._recogniser = recogniser
        self._hearing = hearing
        self._language = language
        self._push_to_talk = push_to_talk
        self._open = not push_to_talk
        self._closing: asyncio.TimerHandle | None = None
        self._tail = 0.0  # seconds of sound that are still heard after the user let go
        self._loop = asyncio.get_running_loop()
        self._heard_at = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._happenings: asyncio.Queue[Utterance | None] = asyncio.Queue()  # a turn begins; a turn is over
        self._untold = 0
        self._teller = asyncio.create_task(self._tell_forever(), name="listener")
        self._forget()

    @property
    def busy(self) -> bool:
        """A turn has begun, and its end has not been told yet."""
        return self._turn is not None or self._untold > 0

    def set_push_to_talk(self, enabled: bool) -> None:
        """Listen while told to, or always. What was being said is over if that is a change."""
        if enabled != self._push_to_talk:
            self._shut()
            self._push_to_talk = enabled
            self._open = not enabled

    async def close(self) -> None:
        """Hear nothing more; a turn that is not over is forgotten. Idempotent."""
        self._open = False
        self._forget()
        self._teller.cancel()
        await asyncio.gather(self._teller, return_exceptions=True)

    def hear(self, samples: NDArray[np.int16], sample_rate: int = STAGE_RATE) -> None:
        """A piece of the user's sound, of any length: (n,) int16, mono. Ignored while a push-to-talk is not held."""
        if sample_rate not in RATES:
            raise ValueError(f"sound has from {RATES.start} to {RATES.stop - 1} samples a second, not {sample_rate}")
        if not self._open or not len(samples):
            return
        self._heard_at = self._loop.time()
        for frame in self._frames.cut(samples, sample_rate):
            self._take(frame)
            if self._closing is not None:
                self._tail -= FRAME_SECONDS
                if self._tail <= 0:
                    self._shut()
                    return

    def start_push_to_talk(self) -> bool:
        """The user holds the button: listen. False if this listener has no button, or it is held already."""
        if not self._push_to_talk or (self._open and self._closing is None):
            return False
        self._shut()
        self._open = True
        return True

    def stop_push_to_talk(self) -> bool:
        """The user lets go: the turn is over once the rest of its sound is here. False if the button was not held."""
        if not self._push_to_talk or not self._open or self._closing is not None:
            return False
        self._tail = self._hearing.push_to_talk_tail
        self._closing = self._loop.call_later(self._tail, self._shut)
        return True

    # From sound to utterances.

    def _forget(self) -> None:
        """Begin to listen anew."""
        for timer in (self._closing, self._watch):
            if timer is not None:
                timer.cancel()
        self._closing = self._watch = None
        self._frames = _Frames()
        self._activity = VoiceActivity(shortest_speech=self._hearing.shortest_speech, pause=self._hearing.pause)
        self._recent: deque[NDArray[np.int16]] = deque(maxlen=_LEAD_FRAMES + self._activity.needed_frames)
        self._turn: list[NDArray[np.int16]] | None = None
        self._lead = 0

    def _shut(self) -> None:
        """The button's window is over."""
        self._end_turn()
        self._open = False
        self._forget()

    def _take(self, frame: NDArray[np.int16]) -> None:
        speaking = self._activity.take(frame)
        if self._turn is None:
            self._recent.append(frame)
            if speaking:
                self._begin_turn()
            return
        self._turn.append(frame)
        # While the button is held, a pause is only a pause.
        finished = not speaking and not self._push_to_talk
        if finished or len(self._turn) * FRAME_SECONDS >= self._hearing.longest_turn:
            self._end_turn()

    def _begin_turn(self) -> None:
        self._turn = list(self._recent)
        self._lead = max(0, len(self._turn) - self._activity.needed_frames)
        self._recent.clear()
        self._tell_soon(None)
        if not self._push_to_talk:
            self._watch = self._loop.call_later(self._hearing.lost_sound, self._look_for_sound)

    def _end_turn(self) -> None:
        if self._turn is None:
            return
        frames, self._turn = self._turn, None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        quiet = min(self._activity.quiet_frames, len(frames) - 1)
        seconds = (len(frames) - self._lead - quiet) * FRAME_SECONDS
        kept = len(frames) - max(0, quiet - _TRAIL_FRAMES)
        utterance = Utterance(samples=np.concatenate(frames[:kept]), seconds=seconds, language=self._language)
        self._tell_soon(utterance)

    def _look_for_sound(self) -> None:
        """Who closes a microphone in mid-sentence sends no silence that would end it."""
        missing = self._loop.time() - self._heard_at
        if missing < self._hearing.lost_sound:
            self._watch = self._loop.call_later(self._hearing.lost_sound - missing, self._look_for_sound)
            return
        self._end_turn()
        self._forget()

    # From utterances to what is told.

    def _tell_soon(self, happening: Utterance | None) -> None:
        self._untold += 1
        self._happenings.put_nowait(happening)

    async def _tell_forever(self) -> None:
        """One task tells everything, so that turns stay apart."""
        while True:
            utterance = await self._happenings.get()
            try:
                await (self._tell_start() if utterance is None else self._tell_turn(utterance))
            except Exception:
                logger.exception("a turn of the user's went wrong")
            self._untold -= 1

    async def _tell_start(self) -> None:
        self._listener.on_user_started()
        await self._recogniser.prepare()

    async def _tell_turn(self, utterance: Utterance) -> None:
        text = await self._recogniser.transcribe(utterance)
        words = words_of(text)
        for start in range(0, len(words), _CHUNK_WORDS):
            self._listener.on_user_chunk("".join(words[start : start + _CHUNK_WORDS]))
        self._listener.on_user_ended(text)
        self._listener.on_user_stopped()


class _Frames:
    """Cuts sound of any rate, in pieces of any length, into what is judged."""

    def __init__(self) -> None:
        self._rate = 0
        self._resampler: av.AudioResampler | None = None
        self._rest = np.zeros(0, np.int16)

    def cut(self, samples: NDArray[np.int16], rate: int) -> Iterator[NDArray[np.int16]]:
        sound = np.concatenate([self._rest, *self._resampled(samples, rate)])
        for start in range(0, len(sound) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
            yield sound[start : start + FRAME_SAMPLES]
        self._rest = sound[len(sound) - len(sound) % FRAME_SAMPLES :]

    def _resampled(self, samples: NDArray[np.int16], rate: int) -> list[NDArray[np.int16]]:
        if rate == SAMPLE_RATE:
            return [samples]
        if self._resampler is None or rate != self._rate:
            self._rate = rate
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        return [
            piece.to_ndarray().reshape(-1).astype(np.int16, copy=False) for piece in self._resampler.resample(frame)
        ]


_LEAD_FRAMES = 15  # 300 ms before the first voice, for a word may begin without
_TRAIL_FRAMES = 10  # 200 ms after the last
_CHUNK_WORDS = 3
