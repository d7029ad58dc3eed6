"""One streaming v1 session's conversation: what the user's side sends becomes tasks, what the avatar does, events.

It stands between a session's life (``sessions.py``), its room (a :class:`Stage`), the avatar in it (a
:class:`Performer`) and the client's chat sockets. It speaks streaming v1's data packets; it knows no HTTP.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import numpy as np
from aiohttp import web
from attrs import field, frozen
from numpy.typing import NDArray

from heygen_avatar.simulator.chat import ChatSocket
from heygen_avatar.simulator.line import Line, Spoken
from heygen_avatar.simulator.listener import RATES
from heygen_avatar.simulator.scene import Part, Scene
from heygen_avatar.simulator.sessions import Closer, Session
from heygen_avatar.simulator.sound import SoundSocket
from heygen_avatar.simulator.stage import SAMPLE_RATE, Rooms
from heygen_avatar.simulator.voice_chat import Ears, Transport, VoiceChat

CLIENT_IDENTITY = "client"
"""The user's participant (heygen-streaming-v1 §3)."""

AGENT_IDENTITY = "agent"
"""The participant of a user's own backend, whose token is ``livekit_agent_token``."""


@frozen(kw_only=True)
class Task:
    """A task that was accepted. ``expected_ms`` is a guess at its length; ``spoken`` resolves when it is over."""

    task_id: str
    expected_ms: float
    spoken: asyncio.Future[Spoken] = field(eq=False)


@frozen(kw_only=True)
class TalkingPart(Part):
    """The avatar of a session that converses."""

    ears: Ears
    text_length: int


@frozen(kw_only=True)
class ChatTerms:
    """What a chat socket's address asks for (heygen-streaming-v1 §2.2)."""

    opening_text: str = ""
    """What the avatar says as soon as somebody is there."""
    push_to_talk: bool = False
    silence_prompts: bool = False


class Dialogue:
    """The conversation of one session. Everything here runs on the simulator's event loop."""

    def __init__(self, session: Session, part: TalkingPart, rooms: Rooms, *, silent_end: bool) -> None:
        self.session = session
        self._part = part
        self.stage = rooms.create(session.id, self)
        self._scene = Scene(session, self.stage, part, self)
        self._performer = self._scene.performer
        self._voice_chat = VoiceChat(self, part.ears)
        self._opening = ""
        self._early: list[str] = []
        self._sockets: set[ChatSocket | SoundSocket] = set()
        closers: tuple[Closer, ...] = (
            self._voice_chat.close,
            self._scene.leave,
            self.stage.close,
            self._close_sockets,
        )
        if silent_end:
            closers = (self.stage.vanish, self._voice_chat.close, self._scene.leave)
        for closer in closers:
            session.close_with(closer)

    async def start(self) -> None:
        """Bring the avatar into the room."""
        self.session.begin()
        await self._scene.enter()
        self.session.avatar_entered()
        self._catch_up()

    async def _close_sockets(self) -> None:
        await asyncio.gather(*(socket.close() for socket in self._sockets))

    # What the user's side asks for.

    def repeat(self, text: str) -> Task:
        """Say the text."""
        task_id = str(uuid.uuid4())
        return self._accept(task_id, text, self._performer.say(task_id, text))

    def talk(self, text: str) -> Task:
        """Answer the text, which is a turn of the user's and is told of as such."""
        task_id = str(uuid.uuid4())
        self._voice_chat.user_wrote()
        self.tell("user_talking_message", task_id=task_id, message=text)
        self.tell("user_end_message", task_id=task_id)
        return self._accept(task_id, text, self._performer.answer(task_id, text))

    def answer(self, task_id: str, text: str) -> None:
        """Answer what the user said aloud, unless they have left since."""
        if self.session.is_talkable:
            self._accept(task_id, text, self._performer.answer(task_id, text))

    def prompt(self, text: str) -> None:
        """Say something to a user who says nothing."""
        self.repeat(text)

    def play(self) -> Line:
        """Say the user's own sound, as it is appended to the line."""
        line = self._performer.play(str(uuid.uuid4()))
        self._keep_busy_for(line.result)
        return line

    def interrupt(self) -> None:
        """Fall silent and forget what is queued; nothing happens if there is nothing to say."""
        self._performer.interrupt()

    def keep_alive(self) -> None:
        """Somebody is there."""
        self.session.touch()

    def set_listening(self, listening: bool) -> None:
        """Take a listening pose, or leave it; the microphone is heard either way."""
        self._performer.set_listening(listening)

    @property
    def is_silent(self) -> bool:
        """Both sides are there, and the avatar has nothing to say."""
        return self.session.is_talkable and not self._performer.busy

    def _hear(self, samples: NDArray[np.int16], sample_rate: int, transport: Transport) -> None:
        """The user's voice. A sound that is not silence counts as activity, also where nobody listens to it."""
        if samples.size and int(np.abs(samples.astype(np.int32)).max()) > _SILENCE:
            self.session.touch()
        self._voice_chat.hear(samples, sample_rate, transport=transport)

    def _accept(self, task_id: str, text: str, spoken: asyncio.Future[Spoken]) -> Task:
        self._keep_busy_for(spoken)
        words = len(text.split())
        expected_ms = round(words * _WORD_MS / self._part.delivery.rate, 1)
        return Task(task_id=task_id, expected_ms=expected_ms, spoken=spoken)

    def _keep_busy_for(self, spoken: asyncio.Future[Spoken]) -> None:
        self._look_who_speaks()
        spoken.add_done_callback(lambda _: self._look_who_speaks())

    def _look_who_speaks(self) -> None:
        self.session.set_busy(self._performer.busy)
        self._voice_chat.look_for_silence()

    def _catch_up(self) -> None:
        """What waited for both the avatar and the user to be in the room."""
        if not self.session.is_talkable:
            return
        opening, early = self._opening, self._early
        self._opening, self._early = "", []
        if opening:
            self.repeat(opening)
        for text in early:
            self.talk(text)
        self._voice_chat.look_for_silence()

    # The sockets.

    async def converse(self, socket: ChatSocket, request: web.Request, terms: ChatTerms) -> web.WebSocketResponse:
        """Serve a chat socket until it closes."""
        self._opening = terms.opening_text
        self._catch_up()
        self._voice_chat.chat_opened(push_to_talk=terms.push_to_talk, silence_prompts=terms.silence_prompts)
        try:
            return await self.serve(socket, request)
        finally:
            self._voice_chat.chat_closed()

    async def serve(self, socket: ChatSocket | SoundSocket, request: web.Request) -> web.WebSocketResponse:
        """Serve a socket of the session until it closes."""
        self._sockets.add(socket)
        try:
            return await socket.run(request)
        finally:
            self._sockets.discard(socket)

    def tell_chats(self, event_type: str, **facts: Any) -> None:
        """Send an event to every chat socket of the session."""
        for socket in self._sockets:
            if isinstance(socket, ChatSocket):
                socket.tell(event_type, **facts)

    def on_chat_text(self, text: str) -> None:
        if not 0 < len(text.strip()) <= self._part.text_length:
            self.ignore()
        elif self.session.is_talkable:
            self.talk(text)
        elif self.session.is_open and len(self._early) < _EARLY_TEXTS:
            # The chat socket may be faster than the room; a text has no reply that could refuse it.
            self._early.append(text)
        else:
            self.ignore()

    def on_chat_audio(self, samples: NDArray[np.int16], sample_rate: int) -> None:
        if sample_rate in RATES:
            self._hear(samples, sample_rate, "websocket")
        else:
            self.ignore()

    def on_chat_garbage(self) -> None:
        self.ignore()

    def ignore(self) -> None:
        """Count a message that is of no use."""
        self.session.ignored_messages += 1

    # What happens in the room (StageListener).

    def on_joined(self, identity: str) -> None:
        if identity == CLIENT_IDENTITY:
            self.session.client_joined()
            self._catch_up()

    def on_left(self, identity: str) -> None:
        if identity == CLIENT_IDENTITY:
            self.session.client_left()
            self._voice_chat.look_for_silence()

    def on_data(self, identity: str, payload: bytes, topic: str) -> None:
        """A bare JSON string: a command that begins with ``push_to_talk:``, else chat (heygen-streaming-v1 §2.3)."""
        try:
            said = json.loads(payload)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, str):
            self.ignore()
        elif said in _PUSH_TO_TALK:
            self.session.touch()
            self._voice_chat.push(held=_PUSH_TO_TALK[said])
        else:
            self.on_chat_text(said)

    def on_microphone(self, identity: str, samples: NDArray[np.int16]) -> None:
        if identity == CLIENT_IDENTITY:
            self._hear(samples, SAMPLE_RATE, "livekit")

    def on_microphone_muted(self, identity: str, muted: bool) -> None:
        """Nothing is done about it: a muted microphone is silent."""

    # What the avatar does (PerformerListener): told to the room as data packets (heygen-streaming-v1 §2.1).

    def on_speech_started(self, task_id: str) -> None:
        self.tell("avatar_start_talking", task_id=task_id)

    def on_speech_chunk(self, task_id: str, text: str) -> None:
        self.tell("avatar_talking_message", task_id=task_id, message=text)

    def on_speech_text_ended(self, task_id: str, text: str) -> None:
        self.tell("avatar_end_message", task_id=task_id)

    def on_speech_ended(self, task_id: str, duration_ms: float, interrupted: bool) -> None:
        self.tell("avatar_stop_talking", task_id=task_id, duration_ms=duration_ms)

    def tell(self, event: str, **facts: Any) -> None:
        """Send an event to the room."""
        self._scene.tell(json.dumps({"type": event, **facts}).encode())


_SILENCE = 328  # 1 % of full scale: breath and hum of an open microphone stay below
_EARLY_TEXTS = 10  # kept for a client that is still on its way into the room
_WORD_MS = 400.0  # 150 words a minute
_PUSH_TO_TALK = {"push_to_talk:start": True, "push_to_talk:stop": False}  # whether the button is held then
