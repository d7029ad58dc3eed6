"""LiveAvatar's LITE mode: one's own sound, said by the avatar, over the session's socket (liveavatar §4).

Whether the avatar talks is told by ``agent.state_updated``. ``agent.speak_*`` tells it too, before or after, or in some
sessions never (livekit/agents#7232): of the two, the one that comes first counts and the other changes nothing.
"""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from ..errors import HeyGenError, InvalidRequestError, MediaError, SessionError
from ..events import (
    OWN_EVENTS,
    AudioBufferChanged,
    AvatarStartTalking,
    AvatarStateChanged,
    AvatarStopTalking,
    ErrorOccurred,
    Event,
    ServiceWarning,
    SessionStopped,
    UnknownEvent,
)
from ..models import SpeakRequest, StartAvatarRequest, StartAvatarResponse, VoiceChatTransport
from . import Envelope, SocketMessage, WireError, reading
from .liveavatar import LiveAvatarSession

__all__ = ["SAMPLE_RATE", "LiteProtocol"]

SAMPLE_RATE = 24_000
"""Of the sound that is sent: signed 16 bit, little-endian, mono."""

_OVER = frozenset({"disconnected", "closed"})  # the late page's word, and the older one's


class LiteProtocol(LiveAvatarSession):
    """The avatar that says what it is sent. It remembers which utterances are on their way."""

    def __init__(self, request: StartAvatarRequest) -> None:
        super().__init__(request)
        if self.options.room is not None:
            # The avatar joins a room of one's own by the token that was made for it (liveavatar §3.1).
            claims = reading.jwt_claims(self.options.room.avatar_token)
            self.avatar_identity = reading.text(claims, "sub") or self.avatar_identity
        self._utterances: OrderedDict[str, bool] = OrderedDict()  # not yet said, and whether all of each was sent
        self._talking: str | None = None
        self._tells_of_speech = False

    def companions(self, session_id: str) -> tuple[str, ...]:
        return ()

    def read_started(self, session: StartAvatarResponse, data: Any) -> StartAvatarResponse:
        started = super().read_started(session, data)
        if started.realtime_endpoint is None:
            raise WireError("the reply to sessions/start has no ws_url, over which a LITE avatar gets its sound")
        return started

    # -- commands

    def keep_alive(self, session_id: str) -> SocketMessage:
        return self._command("session.keep_alive")

    def speak(self, session_id: str, request: SpeakRequest, transport: VoiceChatTransport) -> Envelope:
        raise InvalidRequestError(
            "a LITE avatar says sounds, not texts: make the sound of it and give it to speak_audio(), or start the "
            "session in mode FULL; nothing was sent"
        )

    def new_utterance(self) -> str:
        """An id for what is going to be sent, and said after what was sent before."""
        utterance = self.ids.new()
        self._utterances[utterance] = False
        return utterance

    def drop_utterance(self, utterance: str) -> None:
        """None of it will be sent."""
        self._utterances.pop(utterance, None)

    def utterance_chunk(self, utterance: str, samples: bytes) -> SocketMessage:
        """A piece of an utterance: below 1 MB when written, about a second is recommended."""
        return self._command("agent.speak", event_id=utterance, audio=base64.b64encode(samples).decode())

    def utterance_end(self, utterance: str) -> SocketMessage:
        """The utterance is complete: without it the avatar never falls silent."""
        if utterance in self._utterances:
            self._utterances[utterance] = True
        return self._command("agent.speak_end", event_id=utterance)

    def interrupt(self, session_id: str) -> Envelope:
        return self._command("agent.interrupt")

    def start_listening(self, session_id: str) -> Envelope:
        return self._command("agent.start_listening")

    def stop_listening(self, session_id: str) -> Envelope:
        return self._command("agent.stop_listening")

    def push_to_talk(self, *, held: bool) -> Envelope:
        raise InvalidRequestError("a LITE avatar does not hear the user, so no button lets it; nothing was sent")

    def _command(self, kind: str, *, event_id: str | None = None, **content: Any) -> SocketMessage:
        return SocketMessage(payload=json.dumps({"type": kind, "event_id": event_id or self.ids.new(), **content}))

    # -- hearing

    def socket_url(
        self, base_path: str, session: StartAvatarResponse, request: StartAvatarRequest, token: str
    ) -> str | None:
        return session.realtime_endpoint

    def greeting(self, message: bytes | str) -> bool:
        """Commands sent before are dropped in silence (liveavatar §4.1)."""
        try:
            source = reading.json_object(message)
        except WireError:
            return False
        return (
            source is not None and source.get("type") == "session.state_updated" and source.get("state") == "connected"
        )

    def read_data(self, payload: bytes, topic: str, *, received_at: float) -> tuple[Event, ...]:
        return ()

    def read_socket(self, message: bytes | str, *, received_at: float) -> tuple[Event, ...]:
        source = reading.json_object(message)
        if source is None:
            return ()
        name = reading.text(source, "type")
        if not name:
            raise WireError("a JSON object without type")
        heard: dict[str, Any] = {
            "received_at": received_at,
            "raw": source,
            "event_id": reading.optional_text(source, "event_id"),
            "source_event_id": reading.optional_text(source, "source_event_id"),
        }
        task_id = self.ids.task_of(source)
        match name:
            case "agent.state_updated":
                return self._state(source, task_id, heard)
            case "agent.speak_started":
                self._tells_of_speech = True
                return self._starts(task_id, heard)
            case "agent.speak_ended" | "agent.speak_interrupted":
                self._tells_of_speech = True
                return self._stops(task_id, heard, interrupted=name == "agent.speak_interrupted")
            case "agent.audio_buffer_appended" | "agent.audio_buffer_committed" | "agent.audio_buffer_cleared":
                return self._buffer(name.rpartition("_")[2], task_id, heard)
            case "session.state_updated" if reading.text(source, "state") in _OVER:
                return (SessionStopped(**heard),)
            case "error":
                return (ErrorOccurred(error=_error(source.get("error")), **heard),)
            case "warning":
                return (_warning(source.get("warning"), heard),)
            case _:
                return (UnknownEvent(event_type=f"server_{name}" if name in OWN_EVENTS else name, **heard),)

    def _state(self, source: Mapping[str, Any], task_id: str, heard: Mapping[str, Any]) -> tuple[Event, ...]:
        state, previous = reading.text(source, "new_state"), reading.text(source, "previous_state")
        changed = AvatarStateChanged(state=state, previous_state=previous, **heard)
        if state == "talking":
            return (changed, *self._starts(task_id, heard))
        stopped = self._stops(task_id, heard) if self._talking is not None else ()
        return (changed, *stopped, *self._said_unheard(heard))

    def _starts(self, task_id: str, heard: Mapping[str, Any]) -> tuple[Event, ...]:
        """What is said is the oldest that was sent, unless the event names another."""
        if self._talking is not None and task_id in ("", self._talking):
            return ()
        former = self._stops(self._talking, heard) if self._talking is not None else ()
        self._talking = task_id or next(iter(self._utterances), "")
        return (*former, AvatarStartTalking(task_id=self._talking, **heard))

    def _stops(self, task_id: str, heard: Mapping[str, Any], *, interrupted: bool = False) -> tuple[Event, ...]:
        task_id = task_id or self._talking or ""
        if task_id != self._talking and task_id not in self._utterances:
            return ()  # told before
        self._utterances.pop(task_id, None)
        if task_id == self._talking:
            self._talking = None
        return (AvatarStopTalking(task_id=task_id, interrupted=interrupted, **heard),)

    def _said_unheard(self, heard: Mapping[str, Any]) -> tuple[Event, ...]:
        """An avatar that does not tell of each speech goes from one to the next, and rests after the last."""
        if self._tells_of_speech:
            return ()
        said = [utterance for utterance, complete in self._utterances.items() if complete]
        return tuple(event for utterance in said for event in self._stops(utterance, heard))

    def _buffer(self, change: str, task_id: str, heard: Mapping[str, Any]) -> tuple[Event, ...]:
        if change == "cleared":
            # What was waiting is dropped and will send no event; what is being said will.
            for utterance in [each for each in self._utterances if each != self._talking]:
                del self._utterances[utterance]
        return (AudioBufferChanged(change=change, task_id=task_id, **heard),)


def _error(told: object) -> HeyGenError:
    source = told if isinstance(told, Mapping) else {}
    kind, message = reading.text(source, "type"), reading.text(source, "message")
    error = MediaError if kind == "video_starvation" else SessionError
    return error(f"the avatar reports {kind or 'an error'}: {message or 'without a reason'}")


def _warning(told: object, heard: Mapping[str, Any]) -> Event:
    source = told if isinstance(told, Mapping) else {}
    return ServiceWarning(kind=reading.text(source, "type"), message=reading.text(source, "message"), **heard)
