"""HeyGen streaming v1 as the official TypeScript client 2.1.0 speaks it (v1 reference §1, §2, §5.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

from attrs import asdict

from ..events import (
    OWN_EVENTS,
    AvatarEndMessage,
    AvatarStartTalking,
    AvatarStopTalking,
    AvatarTalkingMessage,
    Event,
    UnknownEvent,
    UserEndMessage,
    UserSilence,
    UserStart,
    UserStop,
    UserTalkingMessage,
)
from ..models import (
    Service,
    SpeakRequest,
    StartAvatarRequest,
    StartAvatarResponse,
    TaskMode,
    TaskType,
    VoiceChatTransport,
)
from . import DataMessage, Envelope, Lifetime, ListedSession, RestCall, SocketMessage, WireError, pipecat, reading

__all__ = ["StreamingProtocol"]


class StreamingProtocol:
    """The v1 service: REST for commands, the chat socket or data packets for chat, data packets for events."""

    service = Service.HEYGEN
    avatar_identity = "heygen"
    greeting = None

    # -- a session's life

    def token(self, request: StartAvatarRequest) -> RestCall:
        return RestCall(name="streaming.create_token", path="/v1/streaming.create_token", body={}, auth="key")

    def read_token(self, data: Any) -> str:
        return reading.required(data, "token", "the reply to streaming.create_token")

    def new_session(self, request: StartAvatarRequest) -> RestCall:
        voice = request.voice
        elevenlabs = asdict(voice.elevenlabs_settings) if voice and voice.elevenlabs_settings else {}
        body = {
            "avatar_name": request.avatar_name,
            "quality": request.quality,
            "knowledge_base_id": request.knowledge_id,
            "knowledge_base": request.knowledge_base,
            "voice": {
                "voice_id": voice.voice_id if voice else None,
                "rate": voice.rate if voice else None,
                "emotion": voice.emotion if voice else None,
                "elevenlabs_settings": {**elevenlabs, "model_id": voice.model if voice else None},
            },
            "language": request.language,
            "version": "v2",
            "video_encoding": "H264",
            "source": "sdk",
            "disable_idle_timeout": request.disable_idle_timeout,
            "stt_settings": asdict(request.stt_settings) if request.stt_settings else None,
            "ia_is_livekit_transport": request.voice_chat_transport is VoiceChatTransport.LIVEKIT,
            "silence_response": request.use_silence_prompt,
            "activity_idle_timeout": request.activity_idle_timeout,
        }
        return RestCall(name="streaming.new", path="/v1/streaming.new", body=_without_none(body), repeat="unsent")

    def read_session(self, data: Any) -> StartAvatarResponse:
        session_id = reading.required(data, "session_id", "the reply to streaming.new")
        paid = data.get("is_paid")
        return StartAvatarResponse(
            session_id=session_id,
            access_token=reading.text(data, "access_token"),
            url=reading.text(data, "url"),
            is_paid=paid if isinstance(paid, bool) else None,
            session_duration_limit=reading.number(data, "session_duration_limit"),
            realtime_endpoint=reading.optional_text(data, "realtime_endpoint"),
            livekit_agent_token=reading.optional_text(data, "livekit_agent_token"),
            raw=data,
        )

    def prerequisite(self, request: StartAvatarRequest) -> RestCall | None:
        return None

    def read_prerequisite(self, request: StartAvatarRequest, data: Any) -> tuple[StartAvatarRequest, RestCall]:
        raise WireError("nothing was asked for")

    def session_of_token(self, token: str) -> StartAvatarResponse | None:
        return None

    def start(self, session: StartAvatarResponse) -> RestCall:
        # Not repeated blindly: a second start of a started session is answered with an error.
        return _session_call("start", session.session_id, repeat="unsent")

    def read_started(self, session: StartAvatarResponse, data: Any) -> StartAvatarResponse:
        return session

    def companions(self, session_id: str) -> tuple[str, ...]:
        return ()

    def lifetime(self, session: StartAvatarResponse) -> Lifetime:
        # What the service says at the limit is not known, and sessions of an hour were seen where 600 s are told.
        return Lifetime(duration=session.session_duration_limit or None, certain=False)

    def list_sessions(self) -> RestCall | None:
        return RestCall(name="streaming.list", method="GET", path="/v1/streaming.list", auth="key")

    def read_sessions(self, data: Any) -> tuple[ListedSession, ...]:
        rows = data.get("sessions") if isinstance(data, Mapping) else None
        return tuple(
            ListedSession(
                session_id=reading.text(row, "session_id"),
                created_at=reading.number(row, "created_at"),
                is_new=reading.text(row, "status") == "new",
            )
            for row in (rows if isinstance(rows, list) else ())
            if isinstance(row, Mapping)
        )

    def stop(self, session_id: str, *, reason: str = "USER_CLOSED") -> RestCall:
        return _session_call("stop", session_id)

    def keep_alive(self, session_id: str) -> RestCall:
        return _session_call("keep_alive", session_id)

    # -- commands

    def speak(self, session_id: str, request: SpeakRequest, transport: VoiceChatTransport) -> Envelope:
        """TALK + ASYNC goes over the chat channel, all else by REST (v1 reference §5.3)."""
        if request.task_type is TaskType.TALK and request.task_mode is TaskMode.ASYNC:
            if transport is VoiceChatTransport.LIVEKIT:
                return DataMessage(payload=_chat_text(request.text))
            return SocketMessage(payload=pipecat.text_frame(request.text))
        body = {
            "session_id": session_id,
            "text": request.text,
            "task_type": request.task_type.value,
            "task_mode": request.task_mode.value,
        }
        return RestCall(name="streaming.task", path="/v1/streaming.task", body=body, auth="either", repeat="unsent")

    def read_task(self, data: Any) -> tuple[str | None, float | None]:
        if not isinstance(data, Mapping):
            return None, None
        return reading.text(data, "task_id") or None, reading.number(data, "duration_ms")

    def interrupt(self, session_id: str) -> Envelope:
        return _session_call("interrupt", session_id)

    def start_listening(self, session_id: str) -> Envelope:
        return _session_call("start_listening", session_id)

    def stop_listening(self, session_id: str) -> Envelope:
        return _session_call("stop_listening", session_id)

    def push_to_talk(self, *, held: bool) -> Envelope:
        return DataMessage(payload=_chat_text("push_to_talk:start" if held else "push_to_talk:stop"))

    # -- the chat socket

    def socket_url(
        self, base_path: str, session: StartAvatarResponse, request: StartAvatarRequest, token: str
    ) -> str | None:
        """As the official client's (v1 reference §2.2), but with the base path's scheme and port."""
        query = {"session_id": session.session_id, "session_token": token}
        if request.voice_chat_transport is VoiceChatTransport.LIVEKIT:
            query["arch_version"] = "v2"
        query["silence_response"] = _flag(request.use_silence_prompt)
        query["push_to_talk"] = _flag(request.enable_push_to_talk)
        base = urlsplit(base_path)
        scheme = "ws" if base.scheme == "http" else "wss"
        return urlunsplit((scheme, base.netloc, base.path.rstrip("/") + _CHAT_PATH, urlencode(query), ""))

    # -- hearing

    def read_data(self, payload: bytes, topic: str, *, received_at: float) -> tuple[Event, ...]:
        return _read(payload, received_at)

    def read_socket(self, message: bytes | str, *, received_at: float) -> tuple[Event, ...]:
        return _read(message, received_at)


_CHAT_PATH = "/v1/ws/streaming.chat"


def _session_call(command: str, session_id: str, *, repeat: Literal["safe", "unsent"] = "safe") -> RestCall:
    name = f"streaming.{command}"
    return RestCall(name=name, path=f"/v1/{name}", body={"session_id": session_id}, auth="either", repeat=repeat)


def _chat_text(text: str) -> bytes:
    """A bare JSON text, quotes and all: what the official client publishes (v1 reference §2.3)."""
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")


def _flag(value: bool | None) -> str:
    return "true" if value else "false"


def _without_none(body: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON.stringify leaves out what is undefined: fields go, the objects that held them stay."""
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in body.items()
        if value is not None
    }


def _read(message: bytes | str, received_at: float) -> tuple[Event, ...]:
    source = reading.json_object(message)
    return () if source is None else (_event(source, received_at),)


def _event(source: Mapping[str, Any], received_at: float) -> Event:
    """An event from either channel: data packets name it by ``type``, the chat socket by ``event_type``."""
    name = reading.text(source, "type", "event_type")
    if not name:
        raise WireError("a JSON object without type or event_type")
    heard: dict[str, Any] = {"received_at": received_at, "raw": source}
    task_id = reading.text(source, "task_id")
    message_text = reading.text(source, "message")
    match name:
        case "avatar_start_talking":
            return AvatarStartTalking(task_id=task_id, **heard)
        case "avatar_stop_talking":
            return AvatarStopTalking(task_id=task_id, duration_ms=reading.number(source, "duration_ms"), **heard)
        case "avatar_talking_message":
            return AvatarTalkingMessage(task_id=task_id, message=message_text, **heard)
        case "avatar_end_message":
            return AvatarEndMessage(task_id=task_id, message=message_text, **heard)
        case "user_talking_message":
            return UserTalkingMessage(task_id=task_id, message=message_text, **heard)
        case "user_end_message":
            return UserEndMessage(task_id=task_id, message=message_text, **heard)
        case "user_start":
            return UserStart(**heard)
        case "user_stop":
            return UserStop(**heard)
        case "user_silence":
            times, count_down = reading.whole(source, "silence_times"), reading.number(source, "count_down") or 0
            return UserSilence(silence_times=times, count_down=count_down, **heard)
        case _:
            return UnknownEvent(event_type=f"server_{name}" if name in OWN_EVENTS else name, **heard)
