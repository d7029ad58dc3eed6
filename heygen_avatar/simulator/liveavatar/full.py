"""A FULL session's conversation: commands on ``agent-control``, events on ``agent-response`` (liveavatar §3).

Connectors talk over the same topics (liveavatar §5), so their sessions are conversations of this kind as well; what
only ElevenLabs agents know is in ``elevenlabs.py``.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from heygen_avatar.simulator.line import Spoken
from heygen_avatar.simulator.listener import Hearing, Listener
from heygen_avatar.simulator.liveavatar.appearance import Appearance, Engagement, new_event_id
from heygen_avatar.simulator.liveavatar.elevenlabs import ElevenLabsAgent
from heygen_avatar.simulator.recogniser import Recogniser
from heygen_avatar.simulator.stage import Stage, StageListener

logger = logging.getLogger(__name__)

CONTROL_TOPIC = "agent-control"
RESPONSE_TOPIC = "agent-response"


@frozen(kw_only=True)
class _Task:
    """One thing the avatar says: which command asked for it, and whether its text is known beforehand."""

    source: str | None
    text: str = ""


class FullAppearance(Appearance):
    """The avatar with its agent, who hears the commands and tells what happens."""

    def __init__(
        self,
        engagement: Engagement,
        open_stage: Callable[[StageListener], Stage],
        recogniser: Recogniser,
        hearing: Hearing,
    ) -> None:
        super().__init__(engagement, open_stage)
        self._listener = Listener(
            self,
            recogniser,
            hearing,
            language=self.order.part.delivery.language,
            push_to_talk=self.order.push_to_talk,
        )
        self.session.close_with(self._listener.close)
        self.agent_identity = f"liveavatar-agent-{self.session.id}"
        self._opening = self.order.opening
        self._heard = ""
        self._tasks: dict[str, _Task] = {}
        self._elevenlabs = ElevenLabsAgent(self) if self.order.connector == "elevenlabs" else None
        self._commands: dict[str, Callable[[dict[str, Any], str | None], None]] = {
            "avatar.interrupt": self._interrupt,
            "avatar.speak_text": self._speak_text,
            "avatar.speak_response": self._speak_response,
            "avatar.start_listening": lambda command, source: self.performer.set_listening(True),
            "avatar.stop_listening": lambda command, source: self.performer.set_listening(False),
            "user.start_push_to_talk": self._start_push_to_talk,
            "user.stop_push_to_talk": self._stop_push_to_talk,
        }

    async def enter_agent(self) -> None:
        await self.stage.enter(self.agent_identity)

    def on_entered(self) -> None:
        self._greet()

    def on_user_joined(self) -> None:
        self._greet()

    def _greet(self) -> None:
        """Say the context's opening text (liveavatar §1.5), once somebody is there to hear it."""
        if not self.session.is_talkable:
            return
        if self._elevenlabs is not None:
            self._elevenlabs.greet()
        opening, self._opening = self._opening, ""
        if opening:
            self.say(opening, None)

    def say_goodbye(self) -> None:
        # The official client reads stop_reason, the documentation says end_reason (liveavatar §3.4).
        reason = self.engagement.end_reason
        self.tell("session.stopped", None, stop_reason=reason, end_reason=reason)

    # Commands.

    def on_data(self, identity: str, payload: bytes, topic: str) -> None:
        if topic != CONTROL_TOPIC or self.fell_silent:
            return
        try:
            command = json.loads(payload)
        except (ValueError, RecursionError):
            command = None
        if not isinstance(command, dict) or not self.session.is_open:
            self.session.ignored_messages += 1
            return
        source = command.get("event_id")
        self.obey(command, source if isinstance(source, str) else None)

    def obey(self, command: dict[str, Any], source: str | None) -> None:
        """Do what a command asks for; what makes no sense is dropped in silence, as nothing documented says more."""
        kind = command.get("event_type")
        if kind == "elevenlabs_agent_command" and self._elevenlabs is not None:
            self.session.touch()
            self._elevenlabs.obey(command, source)
        elif isinstance(kind, str) and kind in self._commands:
            self.session.touch()
            self._commands[kind](command, source)
        else:
            self.session.ignored_messages += 1

    def _interrupt(self, command: dict[str, Any], source: str | None) -> None:
        self.performer.interrupt()

    def _speak_text(self, command: dict[str, Any], source: str | None) -> None:
        text = command.get("text")
        if isinstance(text, str) and text.strip():
            self.say(text, source)
        else:
            self.session.ignored_messages += 1

    def _speak_response(self, command: dict[str, Any], source: str | None) -> None:
        text = command.get("text")
        if isinstance(text, str) and text.strip():
            self.answer(text, source)
        else:
            self.session.ignored_messages += 1

    def _start_push_to_talk(self, command: dict[str, Any], source: str | None) -> None:
        started = self._listener.start_push_to_talk()
        self.tell("user.push_to_talk_started" if started else "user.push_to_talk_start_failed", source)

    def _stop_push_to_talk(self, command: dict[str, Any], source: str | None) -> None:
        stopped = self._listener.stop_push_to_talk()
        self.tell("user.push_to_talk_stopped" if stopped else "user.push_to_talk_stop_failed", source)

    # What the avatar does on command.

    def say(self, text: str, source: str | None) -> None:
        """Say a text as it is."""
        task_id = new_event_id()
        self._tasks[task_id] = _Task(source=source, text=text)
        self._await(self.performer.say(task_id, text))

    def answer(self, text: str, source: str | None) -> None:
        """Take a text as a turn of the user's, and answer it."""
        self._note(text, source)
        self._reply(text, source)

    def _note(self, text: str, source: str | None) -> None:
        self.engagement.transcript.add("user", text)
        self.tell("user.transcription", source, text=text)

    def _reply(self, text: str, source: str | None) -> None:
        """Answer, if there is a context to answer from (liveavatar §2)."""
        if self.order.part.brain is None:
            return
        task_id = new_event_id()
        self._tasks[task_id] = _Task(source=source)
        self._await(self.performer.answer(task_id, text))

    def _await(self, spoken: asyncio.Future[Spoken]) -> None:
        self.watch(spoken)
        spoken.add_done_callback(self._remember)

    def _remember(self, result: asyncio.Future[Spoken]) -> None:
        spoken = result.result()
        self._tasks.pop(spoken.task_id, None)
        if spoken.text.strip():
            self.engagement.transcript.add("avatar", spoken.text.strip())
            if self._elevenlabs is not None:
                self._elevenlabs.on_said(spoken.text.strip())

    # What the user says aloud (UserListener).

    def on_microphone(self, identity: str, samples: NDArray[np.int16]) -> None:
        super().on_microphone(identity, samples)
        if self.is_user(identity) and self.session.is_talkable and not self.fell_silent:
            self._listener.hear(samples)

    def on_user_started(self) -> None:
        self.tell("user.speak_started", None)
        self.performer.interrupt()

    def on_user_chunk(self, text: str) -> None:
        self.tell("user.transcription.chunk", None, text=text)

    def on_user_ended(self, text: str) -> None:
        self._heard = text
        self._note(text, None)

    def on_user_stopped(self) -> None:
        self.tell("user.speak_ended", None)
        if self.session.is_talkable:
            self._reply(self._heard, None)

    # What the avatar does (PerformerListener), told as events.

    def on_speech_started(self, task_id: str) -> None:
        task = self._tasks[task_id]
        self.tell("avatar.speak_started", task.source)
        if task.text:
            # Of a text that is said as it is, all is told at once (observed, liveavatar §3.4).
            self.tell("avatar.transcription", task.source, text=task.text)

    def on_speech_chunk(self, task_id: str, text: str) -> None:
        self.tell("avatar.transcription.chunk", self._tasks[task_id].source, text=text)

    def on_speech_text_ended(self, task_id: str, text: str) -> None:
        task = self._tasks[task_id]
        if not task.text:
            self.tell("avatar.transcription", task.source, text=text)

    def on_speech_ended(self, task_id: str, duration_ms: float, interrupted: bool) -> None:
        self.tell("avatar.speak_ended", self._tasks[task_id].source)

    def tell(self, event_type: str, source: str | None, **facts: Any) -> None:
        """Tell the room of an event, in the flat form that all of them have (liveavatar §3.2)."""
        event = {
            "event_id": new_event_id(),
            "event_type": event_type,
            "session_id": self.session.id,
            "source_event_id": source,
            **facts,
        }
        if not self.fell_silent:
            self.tell_room(RESPONSE_TOPIC, self.agent_identity, event)
