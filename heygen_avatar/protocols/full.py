"""LiveAvatar's FULL mode: commands and events by the room's data packets (liveavatar §3).

Connectors are LITE to the service and its bill, and talk like FULL (liveavatar §5): they are spoken to here too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidRequestError
from ..events import (
    OWN_EVENTS,
    AvatarEndMessage,
    AvatarStartTalking,
    AvatarStopTalking,
    AvatarTalkingMessage,
    ElevenLabsEvent,
    Event,
    PushToTalkFailed,
    PushToTalkStarted,
    PushToTalkStopped,
    SessionStopped,
    UnknownEvent,
    UserEndMessage,
    UserStart,
    UserStop,
    UserTalkingMessage,
)
from ..liveavatar import ElevenLabsAgent
from ..models import SpeakRequest, StartAvatarRequest, StartAvatarResponse, TaskType, VoiceChatTransport
from . import DataMessage, Envelope, RestCall, SocketMessage, WireError, reading
from .liveavatar import LiveAvatarSession

__all__ = ["FullProtocol"]

CONTROL_TOPIC = "agent-control"
RESPONSE_TOPIC = "agent-response"


class FullProtocol(LiveAvatarSession):
    """The avatar and its agent, who hears the commands and tells what happens."""

    greeting = None

    def __init__(self, request: StartAvatarRequest) -> None:
        super().__init__(request)
        persona = self.options.persona
        self._answers = persona is None or persona.context_id is not None

    @property
    def has_elevenlabs_agent(self) -> bool:
        return isinstance(self.options.connector, ElevenLabsAgent)

    def companions(self, session_id: str) -> tuple[str, ...]:
        # A connector's worker has no documented name, and the official client waits for nobody there.
        return () if self.options.connector else (f"liveavatar-agent-{session_id}",)

    def keep_alive(self, session_id: str) -> RestCall | SocketMessage:
        content = {"session_id": session_id}
        return RestCall(name="sessions/keep-alive", path="/v1/sessions/keep-alive", body=content, auth="either")

    # -- commands

    def speak(self, session_id: str, request: SpeakRequest, transport: VoiceChatTransport) -> Envelope:
        """REPEAT is speak_text, TALK speak_response (docs/faq/heygen-comparison)."""
        if self.has_elevenlabs_agent:
            if request.task_type is TaskType.REPEAT:
                raise InvalidRequestError(
                    "an ElevenLabs agent says what it decides to, so REPEAT is not to be had; TALK, the default, asks "
                    "it something. Nothing was sent"
                )
            return self.agent_command(session_id, "user_message", {"text": request.text})
        if request.task_type is TaskType.REPEAT:
            return self._command("avatar.speak_text", text=request.text)
        if not self._answers:
            # The service would neither answer nor say why (docs/full-mode/configuration: restricted mode).
            raise InvalidRequestError(
                "this session's persona has no context_id, without which LiveAvatar answers nothing: give it one, or "
                "say texts with REPEAT. Nothing was sent"
            )
        return self._command("avatar.speak_response", text=request.text)

    def interrupt(self, session_id: str) -> Envelope:
        return self._command("avatar.interrupt")

    def start_listening(self, session_id: str) -> Envelope:
        return self._command("avatar.start_listening")

    def stop_listening(self, session_id: str) -> Envelope:
        return self._command("avatar.stop_listening")

    def push_to_talk(self, *, held: bool) -> Envelope:
        """Answered by PushToTalkStarted or PushToTalkStopped, or else by PushToTalkFailed."""
        return self._command("user.start_push_to_talk" if held else "user.stop_push_to_talk")

    def agent_command(
        self, session_id: str, kind: str, data: Mapping[str, Any] | None = None, *, source: str | None = None
    ) -> DataMessage:
        """A command for the ElevenLabs agent behind the avatar, passed through (liveavatar §5.1)."""
        if not self.has_elevenlabs_agent:
            # The service drops it in silence.
            raise InvalidRequestError("no ElevenLabs agent speaks in this session; nothing was sent")
        content = {} if data is None else {"data": dict(data)}
        return self._command(
            "elevenlabs_agent_command",
            session_id=session_id,
            source_event_id=source,
            elevenlabs_event_type=kind,
            **content,
        )

    def _command(self, event_type: str, **content: Any) -> DataMessage:
        event_id = self.ids.new()
        message = {"event_id": event_id, "event_type": event_type, **content}
        payload = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
        return DataMessage(payload=payload, topic=CONTROL_TOPIC, task_id=event_id)

    # -- hearing

    def socket_url(
        self, base_path: str, session: StartAvatarResponse, request: StartAvatarRequest, token: str
    ) -> str | None:
        return None

    def read_data(self, payload: bytes, topic: str, *, received_at: float) -> tuple[Event, ...]:
        if topic != RESPONSE_TOPIC:
            return ()
        source = reading.json_object(payload)
        return () if source is None else (self._event(source, received_at),)

    def read_socket(self, message: bytes | str, *, received_at: float) -> tuple[Event, ...]:
        return ()

    def _event(self, source: Mapping[str, Any], received_at: float) -> Event:
        name = reading.text(source, "event_type")
        if not name:
            raise WireError("a JSON object without event_type")
        heard: dict[str, Any] = {
            "received_at": received_at,
            "raw": source,
            "event_id": reading.optional_text(source, "event_id"),
            "source_event_id": reading.optional_text(source, "source_event_id"),
        }
        task_id, text = self.ids.task_of(source), reading.text(source, "text")
        # The ElevenLabs page spells three of them otherwise than the wire does (liveavatar §9).
        match name:
            case "avatar.speak_started":
                return AvatarStartTalking(task_id=task_id, **heard)
            case "avatar.speak_ended":
                return AvatarStopTalking(task_id=task_id, **heard)
            case "avatar.transcription.chunk" | "avatar.transcription_chunk":
                return AvatarTalkingMessage(task_id=task_id, message=text, **heard)
            case "avatar.transcription":
                return AvatarEndMessage(task_id=task_id, message=text, **heard)
            case "user.transcription.chunk" | "user.transcription_chunk":
                return UserTalkingMessage(task_id=task_id, message=text, **heard)
            case "user.transcription":
                return UserEndMessage(task_id=task_id, message=text, **heard)
            case "user.speak_started":
                return UserStart(**heard)
            case "user.speak_ended":
                return UserStop(**heard)
            case "session.stopped" | "session_stopped":
                return SessionStopped(reason=reading.text(source, "stop_reason", "end_reason") or "UNKNOWN", **heard)
            case "elevenlabs_agent_event":
                data = source.get("data")
                kind = reading.text(source, "elevenlabs_event_type")
                return ElevenLabsEvent(elevenlabs_type=kind, data=data if isinstance(data, Mapping) else {}, **heard)
            case _:
                return _push_to_talk(name, heard) or _unknown(name, heard)


def _push_to_talk(name: str, heard: Mapping[str, Any]) -> Event | None:
    match name:
        case "user.push_to_talk_started":
            return PushToTalkStarted(**heard)
        case "user.push_to_talk_stopped":
            return PushToTalkStopped(**heard)
        case "user.push_to_talk_start_failed":
            return PushToTalkFailed(action="start", **heard)
        case "user.push_to_talk_stop_failed":
            return PushToTalkFailed(action="stop", **heard)
        case _:
            return None


def _unknown(name: str, heard: Mapping[str, Any]) -> Event:
    return UnknownEvent(event_type=f"server_{name}" if name in OWN_EVENTS else name, **heard)
