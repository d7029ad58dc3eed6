"""The LiveAvatar half of the facade: sounds for a LITE avatar to say, words for the agent that an avatar speaks for.

What is the same on both of HeyGen's services is not here.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from .connection import Connection
from .deadline import Deadline, check_timeout
from .errors import InvalidRequestError
from .media.sources import as_source
from .models import SpeakRequest, TaskMode
from .protocols.full import FullProtocol
from .protocols.lite import LiteProtocol
from .recital import Recitals
from .speech import Speech
from .viewing import Viewing

__all__ = ["AgentLine", "Voicing"]

AUDIO_TIMEOUT = 600.0
"""Seconds that SYNC waits for a sound to be said, whose length is not known beforehand."""


class Voicing(Viewing):
    """What one can do with LiveAvatar's LITE avatars. :class:`StreamingAvatar` is the only one to inherit it."""

    def __init__(self, *, threaded: bool, timeout: float) -> None:
        super().__init__(threaded=threaded, timeout=timeout)
        self._recitals: Recitals | None = None
        self._reciting = threading.Lock()

    def speak_audio(
        self, sound: object, *, task_mode: TaskMode | str = TaskMode.ASYNC, timeout: float | None = None
    ) -> Speech:
        """Let a LITE avatar say ``sound``: what you give it is its voice, and its mouth follows.

        ::

            avatar.speak_audio("hello.wav").wait()
            avatar.speak_audio(Samples(my_tts(text), sample_rate=24_000))      # said while it is still being made

        ASYNC, the default, returns when the sound is open; it is read by a thread of its own while it is said. Sounds
        are said one after the other. SYNC returns when the avatar has stopped talking.

        Args:
            sound: a ``SoundFile`` or its path, ``Samples``, or anything that has a ``sample_rate`` and iterates over
                ``AudioFrame``; it is resampled to what the service wants.
            timeout: seconds: for opening the sound, and with SYNC for saying it (600 by default).

        Raises:
            InvalidRequestError, MissingExtraError, MediaError: this is no sound, or one that cannot be read.
            InvalidRequestError: this session is none of LiveAvatar's mode LITE; nothing was sent.
            SessionClosedError: the session ended, before or meanwhile.
            WaitTimeoutError: SYNC, and the avatar has not finished; it may still speak.
        """
        mode = SpeakRequest(text="-", task_mode=task_mode).task_mode
        connection, session = self._live()
        if not isinstance(connection.protocol, LiteProtocol):
            raise InvalidRequestError(
                "speak_audio() is for LiveAvatar's mode LITE (liveavatar=LiveAvatarOptions(mode='LITE')), and speak() "
                "for texts; nothing was sent"
            )
        source = as_source(sound)
        speech = Speech(SpeakRequest(text=repr(source)), self.interrupt, session.session_id)
        sync = mode is TaskMode.SYNC
        limit = check_timeout(timeout) if timeout is not None else AUDIO_TIMEOUT if sync else self._timeout
        deadline = Deadline.after(limit)
        with self._reciting:
            if self._recitals is None or self._recitals.connection is not connection:
                self._recitals = Recitals(connection)
        self._recitals.begin(source, speech, deadline)
        return speech.wait(deadline.left) if sync else speech

    def interrupt(self) -> None:
        """Silence the avatar; what is queued behind the running task is dropped. Nothing happens if it is silent."""
        connection, session = self._live()
        affected = connection.book.interrupting()
        try:
            if self._recitals is not None:
                # First: a piece that came after the interrupt would begin a new utterance.
                self._recitals.silence(Deadline.after(self._timeout))
            connection.carry(connection.protocol.interrupt(session.session_id), timeout=self._timeout)
        except BaseException:
            connection.book.not_interrupted(affected)
            raise
        connection.book.interrupted(affected)
        self._loudspeakers.silence()

    @property
    def elevenlabs(self) -> AgentLine:
        """The ElevenLabs agent that the avatar speaks for (``LiveAvatarOptions(connector=ElevenLabsAgent(...))``).

        Raises:
            InvalidRequestError: there is none in this session.
        """
        return AgentLine(self._live()[0], self._timeout)


class AgentLine:
    """What can be told to an ElevenLabs agent beside ``speak()``; its events come as :class:`ElevenLabsEvent`.

    Each command returns the id by which the service may refer to it.
    """

    def __init__(self, connection: Connection, timeout: float) -> None:
        if not isinstance(connection.protocol, FullProtocol) or not connection.protocol.has_elevenlabs_agent:
            raise InvalidRequestError("no ElevenLabs agent speaks in this session; nothing was sent")
        self._connection, self._protocol = connection, connection.protocol
        self._timeout = timeout

    def user_message(self, text: str) -> str:
        """Say something to the agent in the user's name."""
        return self._send("user_message", {"text": text})

    def contextual_update(self, text: str) -> str:
        """Let the agent know something, without an answer."""
        return self._send("contextual_update", {"text": text})

    def user_activity(self) -> str:
        """Tell the agent that the user is busy, so that it does not speak up."""
        return self._send("user_activity", None)

    def client_tool_result(
        self, tool_call_id: str, result: str, *, is_error: bool = False, call_event_id: str | None = None
    ) -> str:
        """Answer the agent's ``client_tool_call``.

        Args:
            call_event_id: the ``event_id`` of the :class:`ElevenLabsEvent` that brought the call.
        """
        data = {"tool_call_id": tool_call_id, "result": result, "is_error": is_error}
        return self._send("client_tool_result", data, source=call_event_id)

    def _send(self, kind: str, data: Mapping[str, Any] | None, *, source: str | None = None) -> str:
        session = self._connection.require_live()
        envelope = self._protocol.agent_command(session.session_id, kind, data, source=source)
        self._connection.carry(envelope, timeout=self._timeout)
        return envelope.task_id or ""
