"""A LITE session: the client's own sound, said by the avatar (liveavatar §4).

Chunks belong together by their order: the first after an end or an interruption opens an utterance. The ids that
clients give only tell, in the answers, what is answered.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from typing import Any

from aiohttp import web

from heygen_avatar.simulator.inflow import Inflow
from heygen_avatar.simulator.limits import Limits
from heygen_avatar.simulator.line import Line
from heygen_avatar.simulator.liveavatar.appearance import Appearance, Engagement, new_event_id
from heygen_avatar.simulator.liveavatar.lite_socket import LiteSocket, SocketFaults
from heygen_avatar.simulator.stage import SAMPLE_RATE, Stage, StageListener


class LiteAppearance(Appearance):
    """The avatar that says what comes over the session's socket."""

    def __init__(self, engagement: Engagement, open_stage: Callable[[StageListener], Stage], limits: Limits) -> None:
        super().__init__(engagement, open_stage)
        self._limits = limits
        self._socket: LiteSocket | None = None
        self._entered = False
        self._utterances: dict[str, Utterance] = {}
        self._open: Utterance | None = None
        self._state = "idle"
        self._listening = False
        self._commands: dict[str, Callable[[dict[str, Any], str | None], None]] = {
            "agent.speak": self._speak,
            "agent.speak_end": self._speak_end,
            "agent.interrupt": self._interrupt,
            "agent.start_listening": lambda command, source: self._listen(True),
            "agent.stop_listening": lambda command, source: self._listen(False),
            "session.keep_alive": lambda command, source: None,
            # The official Python starter announces its format; nothing documents it or shows an answer.
            "start": lambda command, source: None,
        }
        self.session.close_with(self._hang_up)

    # The socket.

    async def converse(self, request: web.Request, planned: SocketFaults) -> web.WebSocketResponse:
        """Serve a connection until it closes. It takes the place of the one before (liveavatar §4)."""
        former, self._socket = self._socket, LiteSocket(self, planned, self._limits.liveavatar_message_size)
        socket = self._socket
        if former is not None:
            former.close_soon(1000, "replaced by a new connection")
        self.session.visitor_came()
        if self._entered:
            socket.connect()
        try:
            return await socket.run(request)
        finally:
            self.session.visitor_went()
            if self._socket is socket:
                self._socket = None

    def on_entered(self) -> None:
        self._entered = True
        if self._socket is not None:
            self._socket.connect()

    def say_goodbye(self) -> None:
        self._tell("session.state_updated", None, state="disconnected")

    async def _hang_up(self) -> None:
        if self._socket is not None:
            await self._socket.close(1000, "session ended")

    def _tell(self, kind: str, source: str | None, **facts: Any) -> None:
        if self._socket is not None and not self.fell_silent:
            self._socket.tell(kind, source, **facts)

    # Commands.

    def on_ignored(self) -> None:
        self.session.ignored_messages += 1

    def on_command(self, command: dict[str, Any]) -> None:
        if not self.session.is_open or self.fell_silent:
            self.on_ignored()
            return
        self.session.touch()
        kind, source = command.get("type"), command.get("event_id")
        source = source if isinstance(source, str) else None
        if isinstance(kind, str) and kind in self._commands:
            self._commands[kind](command, source)
        else:
            self._refuse(f"unknown type: {kind!r}", source)

    def _refuse(self, message: str, source: str | None) -> None:
        if self._socket is not None:
            self._socket.refuse("invalid_request_error", message, source)

    def _speak(self, command: dict[str, Any], source: str | None) -> None:
        if "audio" not in command:
            self._refuse("audio is required", source)
            return
        if self._append(command["audio"], source):
            self._tell("agent.audio_buffer_appended", source)

    def _speak_end(self, command: dict[str, Any], source: str | None) -> None:
        # The end may carry a last piece (late docs, liveavatar §4.1).
        if command.get("audio") and not self._append(command["audio"], source):
            return
        if self._open is None:
            if self._socket is not None:
                self._socket.warn("no_open_utterance", "agent.speak_end without an agent.speak before it")
            return
        self._open.seal()
        self._open = None
        self._tell("agent.audio_buffer_committed", source)

    def _append(self, audio: object, source: str | None) -> bool:
        try:
            pcm = base64.b64decode(audio, validate=True) if isinstance(audio, str) else None
        except (binascii.Error, ValueError):
            pcm = None
        if pcm is None:
            self._refuse("audio must be base64", source)
            return False
        if self._open is None:
            self._open = self._new_utterance(source)
        self._open.append(pcm)
        return True

    def _new_utterance(self, source: str | None) -> Utterance:
        line = self.performer.play(new_event_id())
        utterance = self._utterances[line.task_id] = Utterance(
            line, source, self._starve, self._limits.liveavatar_starvation
        )
        self.watch(line.result)
        line.result.add_done_callback(lambda _: self._utterances.pop(line.task_id, None))
        return utterance

    def _starve(self, utterance: Utterance) -> None:
        """The client is too slow in the middle of what it says (late docs, liveavatar §4.1)."""
        if self._socket is not None and not self.fell_silent:
            message = "no audio to go on with: send it ahead of real time, and agent.speak_end at its end"
            self._socket.refuse("video_starvation", message, utterance.source)

    def _interrupt(self, command: dict[str, Any], source: str | None) -> None:
        self._tell("agent.audio_buffer_cleared", source)
        self._open = None
        self.performer.interrupt()

    def _listen(self, listening: bool) -> None:
        """Take a pose; while the avatar talks it waits."""
        self._listening = listening
        self.performer.set_listening(listening)
        if self._state != "talking":
            self._change_state(self._resting)

    # What the avatar does (PerformerListener).

    def on_speech_started(self, task_id: str) -> None:
        source = self._utterances[task_id].source
        self._change_state("talking", source)
        self._tell("agent.speak_started", source)

    def on_speech_chunk(self, task_id: str, text: str) -> None:
        """The client's sound has no text."""

    def on_speech_text_ended(self, task_id: str, text: str) -> None:
        """Likewise."""

    def on_speech_ended(self, task_id: str, duration_ms: float, interrupted: bool) -> None:
        source = self._utterances[task_id].source
        self._tell("agent.speak_interrupted" if interrupted else "agent.speak_ended", source)
        self._change_state(self._resting, source)

    @property
    def _resting(self) -> str:
        return "listening" if self._listening else "idle"

    def _change_state(self, state: str, source: str | None = None) -> None:
        former, self._state = self._state, state
        if state != former:
            self._tell("agent.state_updated", source, previous_state=former, new_state=state)


class Utterance:
    """One utterance as it comes in, watched for a sender that is too slow."""

    def __init__(
        self, line: Line, source: str | None, on_starving: Callable[[Utterance], None], patience: float
    ) -> None:
        self.source = source
        self._line = line
        self._inflow = Inflow(line)
        self._on_starving = on_starving
        self._patience = patience
        self._timer: asyncio.TimerHandle | None = None
        self._watch()

    def append(self, pcm: bytes) -> None:
        """Add a piece."""
        self._inflow.append(pcm)
        self._watch()

    def seal(self) -> None:
        """Nothing more will come."""
        self._inflow.seal()

    def _watch(self) -> None:
        """Look again when all that is there must have sounded, and a little more."""
        if self._timer is not None:
            self._timer.cancel()
        seconds = self._line.pending / SAMPLE_RATE + self._patience
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        if self._line.complete:
            return
        if self._line.started and not self._line.ready:
            self._on_starving(self)  # once, until more comes
        else:
            self._watch()
