"""What an avatar tells: one frozen class for each event, under its seed name.

No I/O, no threads, no clock. Protocols make these of what was heard; handlers, waiters and the transcript get them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from typing import Any, ClassVar

from attrs import field, frozen

__all__ = [
    "AudioBufferChanged",
    "AvatarEndMessage",
    "AvatarStartTalking",
    "AvatarStateChanged",
    "AvatarStopTalking",
    "AvatarTalkingMessage",
    "ConnectionQuality",
    "ConnectionQualityChanged",
    "DisconnectReason",
    "ElevenLabsEvent",
    "ErrorOccurred",
    "Event",
    "EventsDropped",
    "PushToTalkFailed",
    "PushToTalkStarted",
    "PushToTalkStopped",
    "Reconnected",
    "Reconnecting",
    "ServiceWarning",
    "SessionExpiring",
    "SessionStopped",
    "StreamDisconnected",
    "StreamReady",
    "StreamingEvents",
    "UnknownEvent",
    "UserEndMessage",
    "UserSilence",
    "UserStart",
    "UserStop",
    "UserTalkingMessage",
]


class StreamingEvents(str, Enum):
    """The names of the events: the twelve of ``@heygen/streaming-avatar`` 2.1.0, this package's, LiveAvatar's."""

    AVATAR_START_TALKING = "avatar_start_talking"
    AVATAR_STOP_TALKING = "avatar_stop_talking"
    AVATAR_TALKING_MESSAGE = "avatar_talking_message"
    AVATAR_END_MESSAGE = "avatar_end_message"
    USER_TALKING_MESSAGE = "user_talking_message"
    USER_END_MESSAGE = "user_end_message"
    USER_START = "user_start"
    USER_STOP = "user_stop"
    USER_SILENCE = "user_silence"
    STREAM_READY = "stream_ready"
    STREAM_DISCONNECTED = "stream_disconnected"
    CONNECTION_QUALITY_CHANGED = "connection_quality_changed"
    RECONNECTING = "reconnecting"
    RECONNECTED = "reconnected"
    EVENTS_DROPPED = "events_dropped"
    ERROR = "error"
    SESSION_EXPIRING = "session_expiring"
    SESSION_STOPPED = "session_stopped"
    PUSH_TO_TALK_STARTED = "push_to_talk_started"
    PUSH_TO_TALK_STOPPED = "push_to_talk_stopped"
    PUSH_TO_TALK_FAILED = "push_to_talk_failed"
    AVATAR_STATE_CHANGED = "avatar_state_changed"
    AUDIO_BUFFER_CHANGED = "audio_buffer_changed"
    SERVICE_WARNING = "service_warning"
    ELEVENLABS_EVENT = "elevenlabs_event"

    def __str__(self) -> str:
        return self.value


OWN_EVENTS = frozenset(
    {
        "stream_ready",
        "stream_disconnected",
        "connection_quality_changed",
        "reconnecting",
        "reconnected",
        "events_dropped",
        "error",
        "session_expiring",
        "session_stopped",
        "push_to_talk_started",
        "push_to_talk_stopped",
        "push_to_talk_failed",
        "avatar_state_changed",
        "audio_buffer_changed",
        "service_warning",
        "elevenlabs_event",
    }
)
"""The names no server uses (LiveAvatar tells some of it in words of its own): an event that claims one of them comes as
``server_<name>``, so that nobody is misled."""


class ConnectionQuality(str, Enum):
    """How well the media flows (TypeScript's three values; LiveKit's POOR and LOST are BAD)."""

    UNKNOWN = "UNKNOWN"
    GOOD = "GOOD"
    BAD = "BAD"

    def __str__(self) -> str:
        return self.value


class DisconnectReason(IntEnum):
    """Why the room was left, by LiveKit's numbers. A session that HeyGen ends shows as ROOM_DELETED."""

    UNKNOWN_REASON = 0
    CLIENT_INITIATED = 1
    DUPLICATE_IDENTITY = 2
    SERVER_SHUTDOWN = 3
    PARTICIPANT_REMOVED = 4
    ROOM_DELETED = 5
    STATE_MISMATCH = 6
    JOIN_FAILURE = 7
    MIGRATION = 8
    SIGNAL_CLOSE = 9
    ROOM_CLOSED = 10
    USER_UNAVAILABLE = 11
    USER_REJECTED = 12
    SIP_TRUNK_FAILURE = 13
    CONNECTION_TIMEOUT = 14
    MEDIA_FAILURE = 15
    AGENT_ERROR = 16

    @classmethod
    def _missing_(cls, value: object) -> DisconnectReason:
        return cls.UNKNOWN_REASON

    @property
    def text(self) -> str:
        """The reason in words, for messages."""
        return _REASON_TEXT.get(self, self.name.lower().replace("_", " "))


_REASON_TEXT = {
    DisconnectReason.CLIENT_INITIATED: "stopped here",
    DisconnectReason.DUPLICATE_IDENTITY: "another client joined with the same token",
    DisconnectReason.PARTICIPANT_REMOVED: "ended by the server",
    DisconnectReason.ROOM_DELETED: "ended by the server",
    DisconnectReason.ROOM_CLOSED: "ended by the server",
}


@frozen(kw_only=True)
class Event:
    """What all events have.

    Attributes:
        type: the event's name, as given to ``on()``.
        received_at: when it was heard, in seconds since the epoch.
        raw: the JSON as it was heard; empty for events of this package's own.
        event_id, source_event_id: LiveAvatar's ids of the event and of the command that brought it about; None where
            the service gives none.
    """

    name: ClassVar[StreamingEvents | None] = None

    received_at: float = 0.0
    raw: Mapping[str, Any] = field(factory=dict, repr=False, eq=False)
    event_id: str | None = field(default=None, repr=False)
    source_event_id: str | None = field(default=None, repr=False)

    @property
    def type(self) -> str:
        return "" if self.name is None else self.name.value


@frozen(kw_only=True)
class AvatarStartTalking(Event):
    """The avatar began to speak the task ``task_id``."""

    name = StreamingEvents.AVATAR_START_TALKING
    task_id: str = ""


@frozen(kw_only=True)
class AvatarStopTalking(Event):
    """The avatar fell silent: the task was spoken or interrupted. ``duration_ms`` is None where none was given.

    ``interrupted`` is true where the service says so; most do not tell the one from the other.
    """

    name = StreamingEvents.AVATAR_STOP_TALKING
    task_id: str = ""
    duration_ms: float | None = None
    interrupted: bool = False


@frozen(kw_only=True)
class AvatarTalkingMessage(Event):
    """A piece of what the avatar says; pieces are joined without a separator."""

    name = StreamingEvents.AVATAR_TALKING_MESSAGE
    task_id: str = ""
    message: str = ""


@frozen(kw_only=True)
class AvatarEndMessage(Event):
    """The text of a task is complete, the sound may go on. ``message`` is the whole text where the service gives it."""

    name = StreamingEvents.AVATAR_END_MESSAGE
    task_id: str = ""
    message: str = ""


@frozen(kw_only=True)
class UserTalkingMessage(Event):
    """A piece of what the user was heard to say."""

    name = StreamingEvents.USER_TALKING_MESSAGE
    task_id: str = ""
    message: str = ""


@frozen(kw_only=True)
class UserEndMessage(Event):
    """What the user said is complete. ``message`` is the whole text where the service sends it."""

    name = StreamingEvents.USER_END_MESSAGE
    task_id: str = ""
    message: str = ""


@frozen(kw_only=True)
class UserStart(Event):
    """The user began to speak."""

    name = StreamingEvents.USER_START


@frozen(kw_only=True)
class UserStop(Event):
    """The user fell silent."""

    name = StreamingEvents.USER_STOP


@frozen(kw_only=True)
class UserSilence(Event):
    """The user has said nothing for a while (only with ``use_silence_prompt``, only on the chat socket)."""

    name = StreamingEvents.USER_SILENCE
    silence_times: int = 0
    count_down: float = 0


@frozen(kw_only=True)
class StreamReady(Event):
    """The avatar is in the room with picture and sound. Its frames may be read from now on."""

    name = StreamingEvents.STREAM_READY
    session_id: str = ""


@frozen(kw_only=True)
class StreamDisconnected(Event):
    """The session's room is left for good: the last event of a session."""

    name = StreamingEvents.STREAM_DISCONNECTED
    session_id: str = ""
    reason: DisconnectReason = DisconnectReason.UNKNOWN_REASON


@frozen(kw_only=True)
class ConnectionQualityChanged(Event):
    """The media flows better or worse than before."""

    name = StreamingEvents.CONNECTION_QUALITY_CHANGED
    quality: ConnectionQuality = ConnectionQuality.UNKNOWN


@frozen(kw_only=True)
class Reconnecting(Event):
    """A connection was lost and is being made again; ``channel`` is ``room`` or ``chat``."""

    name = StreamingEvents.RECONNECTING
    channel: str = "room"


@frozen(kw_only=True)
class Reconnected(Event):
    """The connection is back."""

    name = StreamingEvents.RECONNECTED
    channel: str = "room"


@frozen(kw_only=True)
class EventsDropped(Event):
    """Handlers were too slow: they missed ``count`` events. State and terminal events are never among them."""

    name = StreamingEvents.EVENTS_DROPPED
    count: int = 0


@frozen(kw_only=True)
class ErrorOccurred(Event):
    """Something failed that no call was waiting for: a keep-alive, a lost chat socket, a packet that made no sense."""

    name = StreamingEvents.ERROR
    error: Exception = field(factory=lambda: RuntimeError("unknown"))


@frozen(kw_only=True)
class SessionExpiring(Event):
    """The session will end in ``seconds_left`` unless, for IDLE_TIMEOUT, something happens: keep_alive(), say.

    Told by this package's own clock, since LiveAvatar says nothing before, and at times nothing at the end.
    """

    name = StreamingEvents.SESSION_EXPIRING
    seconds_left: float = 0.0
    reason: str = ""


@frozen(kw_only=True)
class SessionStopped(Event):
    """The session is over, and why, in LiveAvatar's words (:class:`SessionEndReason`). StreamDisconnected follows."""

    name = StreamingEvents.SESSION_STOPPED
    reason: str = "UNKNOWN"


@frozen(kw_only=True)
class PushToTalkStarted(Event):
    """The user is heard from now on."""

    name = StreamingEvents.PUSH_TO_TALK_STARTED


@frozen(kw_only=True)
class PushToTalkStopped(Event):
    """The user is not heard any more; what was said is transcribed and answered."""

    name = StreamingEvents.PUSH_TO_TALK_STOPPED


@frozen(kw_only=True)
class PushToTalkFailed(Event):
    """The service would not ``start`` or ``stop`` hearing the user; it gives no reason."""

    name = StreamingEvents.PUSH_TO_TALK_FAILED
    action: str = "start"


@frozen(kw_only=True)
class AvatarStateChanged(Event):
    """A LITE avatar is ``idle``, ``listening`` or ``talking``."""

    name = StreamingEvents.AVATAR_STATE_CHANGED
    state: str = ""
    previous_state: str = ""


@frozen(kw_only=True)
class AudioBufferChanged(Event):
    """What a LITE avatar was sent to say was ``appended``, ``committed`` (it is complete) or ``cleared``."""

    name = StreamingEvents.AUDIO_BUFFER_CHANGED
    task_id: str = ""
    change: str = ""


@frozen(kw_only=True)
class ServiceWarning(Event):
    """The service warns of something, which goes on all the same."""

    name = StreamingEvents.SERVICE_WARNING
    kind: str = ""
    message: str = ""


@frozen(kw_only=True)
class ElevenLabsEvent(Event):
    """An event of the ElevenLabs agent that the avatar speaks for, passed through: its type, and all it says."""

    name = StreamingEvents.ELEVENLABS_EVENT
    elevenlabs_type: str = ""
    data: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class UnknownEvent(Event):
    """An event this version does not know, under the name the server gave it: nothing heard is lost."""

    event_type: str

    @property
    def type(self) -> str:
        return self.event_type
