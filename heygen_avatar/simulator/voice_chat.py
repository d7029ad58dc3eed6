"""Streaming v1's voice chat: which sound is heard, and what a user's turn is told as (heygen-streaming-v1 §2).

It stands between a session's :class:`~heygen_avatar.simulator.dialogue.Dialogue`, which owns the wires and the
avatar, and a :class:`Listener`. A turn is told of as ``user_start``, ``user_talking_message`` chunks,
``user_end_message``, ``user_stop``, in this order; the texts carry the task id of the answer that follows.
"""

from __future__ import annotations

import uuid
from typing import Any, Literal, Protocol

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from heygen_avatar.simulator.listener import Hearing, Listener
from heygen_avatar.simulator.recogniser import Recogniser
from heygen_avatar.simulator.silence import SilenceClock

Transport = Literal["websocket", "livekit"]


@frozen(kw_only=True)
class Ears:
    """What a session listens with. ``transport`` is where the user's sound and voice events travel."""

    hearing: Hearing
    recogniser: Recogniser
    transport: Transport
    language: str
    silence_prompts: bool


class Partner(Protocol):
    """The session's side of the conversation, as far as a voice needs it."""

    @property
    def is_silent(self) -> bool:
        """Both sides are there, and the avatar has nothing to say."""

    def tell(self, event: str, **facts: Any) -> None:
        """Tell the room, under the key ``type``."""

    def tell_chats(self, event_type: str, **facts: Any) -> None:
        """Tell the chat sockets, under the key ``event_type``."""

    def interrupt(self) -> None:
        """Fall silent."""

    def answer(self, task_id: str, text: str) -> None:
        """Answer what the user said."""

    def prompt(self, text: str) -> None:
        """Say something to a user who says nothing."""


class VoiceChat:
    """One session's voice chat."""

    def __init__(self, partner: Partner, ears: Ears) -> None:
        self._partner = partner
        self._ears = ears
        self._listener = Listener(self, ears.recogniser, ears.hearing, language=ears.language)
        self._silence = SilenceClock(ears.hearing, on_silence=self._tell_silence, on_over=self._prompt)
        self._prompts_wanted = ears.silence_prompts
        self._open_chats = 0
        self._task_id = ""
        self._text = ""

    async def close(self) -> None:
        """Hear nothing more."""
        self._silence.stop()
        await self._listener.close()

    def chat_opened(self, *, push_to_talk: bool, silence_prompts: bool) -> None:
        """A chat socket is there, with what its address asks for: it is what starts a conversation."""
        self._open_chats += 1
        self._prompts_wanted = silence_prompts or self._ears.silence_prompts
        self._listener.set_push_to_talk(push_to_talk)
        self.look_for_silence()

    def chat_closed(self) -> None:
        """A chat socket is gone."""
        self._open_chats -= 1
        self.look_for_silence()

    def hear(self, samples: NDArray[np.int16], sample_rate: int, *, transport: Transport) -> bool:
        """The user's sound; False if it came where this session does not listen."""
        if transport != self._ears.transport:
            return False
        self._listener.hear(samples, sample_rate)
        return True

    def push(self, *, held: bool) -> None:
        """The user holds the button or lets go; of no effect where nothing asked for push-to-talk."""
        if held and self._listener.start_push_to_talk():
            self._silence.forgive()
        elif not held and self._listener.stop_push_to_talk():
            self.look_for_silence()

    def user_wrote(self) -> None:
        """The user is there, if not to be heard."""
        self._silence.forgive()

    def look_for_silence(self) -> None:
        """Somebody has begun or ceased to speak, has come or gone."""
        if self._prompts_wanted and self._open_chats and self._partner.is_silent and not self._listener.busy:
            self._silence.run()
        else:
            self._silence.stop()

    # What the user does (UserListener).

    def on_user_started(self) -> None:
        self._silence.forgive()
        self._task_id, self._text = str(uuid.uuid4()), ""
        self._tell("user_start")
        self._partner.interrupt()

    def on_user_chunk(self, text: str) -> None:
        self._partner.tell("user_talking_message", task_id=self._task_id, message=text)

    def on_user_ended(self, text: str) -> None:
        self._text = text
        self._partner.tell("user_end_message", task_id=self._task_id)

    def on_user_stopped(self) -> None:
        self._tell("user_stop")
        self._partner.answer(self._task_id, self._text)

    # Silence.

    def _tell_silence(self, times: int, count_down: int) -> None:
        self._tell("user_silence", silence_times=times, count_down=count_down)

    def _prompt(self, times: int) -> None:
        self._partner.prompt(_PROMPTS[min(times, len(_PROMPTS)) - 1])

    def _tell(self, event: str, **facts: Any) -> None:
        # In the LiveKit transport on the data channel, else on the chat socket (heygen-streaming-v1 §2.1, §8.2).
        tell = self._partner.tell if self._ears.transport == "livekit" else self._partner.tell_chats
        tell(event, **facts)


_PROMPTS = ("Are you still there?", "I am listening, whenever you are ready.", "Just speak to me when you are back.")
