"""The voice half of the facade: the user speaks, and the avatar can be heard.

It checks and waits; sources are read by utterances, sound is carried by voice chats.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import evolve

from .deadline import Deadline, check_timeout
from .dispatch import Dispatcher
from .engine import engine
from .errors import HeyGenError, InvalidRequestError, SessionNotStartedError, UsageError, WaitTimeoutError
from .events import ErrorOccurred, Event, StreamingEvents, UserStart
from .hearing import Hearing
from .models import Service, StartAvatarResponse, VoiceChatTransport

if TYPE_CHECKING:
    from .asking import Button
    from .connection import Connection
    from .media.loudspeaker import Playback
    from .media.sources import SoundSource
    from .voice_chat import VoiceChat

VOICE_TIMEOUT = 15.0
"""Seconds in which a voice chat is heard by the service: 0.3 to 0.6 are usual, more where the network is slow."""


class Conversing(Hearing):
    """What one can do with both sides' voices. :class:`StreamingAvatar` is the only one to inherit it."""

    def __init__(self, *, threaded: bool, timeout: float) -> None:
        super().__init__(threaded=threaded, timeout=timeout)
        self._voice: VoiceChat | None = None
        self._voice_changes = threading.Lock()
        self._loudspeakers = _Loudspeakers()
        self._dispatcher.tap(self._loudspeakers.hear)

    def start_voice_chat(
        self,
        use_silence_prompt: bool | None = None,
        is_input_audio_muted: bool = False,
        source: object | None = None,
        *,
        timeout: float = VOICE_TIMEOUT,
    ) -> VoiceChat:
        """Let the user speak; return when the service hears them. A voice chat that runs is ended first.

        The avatar answers what it hears until :meth:`close_voice_chat`, the end of ``with`` on what is returned, or the
        session's end. Between sounds, and while muted, silence is sent: by it a service knows that a turn is over.

        The user's turn is told of as ``user_start``, ``user_talking_message`` (one or more), ``user_end_message`` and
        ``user_stop``, then the answer as ``avatar_start_talking``, its text, ``avatar_stop_talking``. With the livekit
        transport they come in this order, on one channel. With the websocket transport ``user_start`` and ``user_stop``
        come by the chat socket and the others by the room: each channel is in order, but either may be ahead of the
        other by milliseconds, so that ``user_stop`` may come before the words or after ``avatar_start_talking``.

        Barge-in is the service's: when it hears the user while the avatar speaks, ``user_start`` comes, the avatar
        falls silent with an ``avatar_stop_talking``, and that speech's outcome is INTERRUPTED. What :meth:`play` plays
        falls silent at ``user_start`` already.

        Args:
            use_silence_prompt: let the avatar speak up when the user says nothing. This is a session's property, given
                best to :meth:`create_start_avatar`: sent with the session's creation, and again with each chat socket.
                Given here and different, the chat socket is opened anew to ask for it (``reconnecting`` and
                ``reconnected`` of channel "chat" are heard); a service that goes by the creation alone heeds it not.
            is_input_audio_muted: begin with silence, until :meth:`unmute_input_audio`.
            source: what the user says: a ``Microphone`` (the default, extra ``audio``), a ``SoundFile`` or its path,
                ``Samples``, or anything that has a ``sample_rate`` and iterates over ``AudioFrame``. When it ends, the
                user's turn ends, not the voice chat: ``speak()`` of what is returned says more.
            timeout: seconds for opening source and line.

        Raises:
            SessionNotStartedError, SessionClosedError: there is no session to speak to.
            InvalidRequestError, MissingExtraError, MediaError: the source cannot be read; nothing was sent.
            WaitTimeoutError: the service did not hear within ``timeout`` seconds.
        """
        deadline = Deadline.after(check_timeout(timeout))
        if use_silence_prompt is not None and not isinstance(use_silence_prompt, bool):
            raise InvalidRequestError(f"use_silence_prompt must be True, False or None, not {use_silence_prompt!r}")
        connection, _ = self._live()
        if source is None:
            from .media.microphone import Microphone

            source = Microphone()
        with self._one_voice_change():
            self._end_voice_chat()
            if use_silence_prompt is not None and use_silence_prompt != bool(connection.request.use_silence_prompt):
                _prompt_silent_user(connection, use_silence_prompt, deadline.left)
            return self._open_voice_chat(connection, source, deadline, muted=is_input_audio_muted)

    def close_voice_chat(self) -> None:
        """End the voice chat; the microphone is closed, and unpublished. Nothing happens if there is none."""
        with self._one_voice_change():
            self._end_voice_chat()

    def mute_input_audio(self) -> None:
        """Send silence instead of the user's voice.

        Raises:
            UsageError: there is no voice chat.
        """
        self._speaking().mute(True)

    def unmute_input_audio(self) -> None:
        """Send the user's voice again.

        Raises:
            UsageError: there is no voice chat.
        """
        self._speaking().mute(False)

    @property
    def is_input_audio_muted(self) -> bool:
        """Whether the user cannot be heard: muted, or no voice chat."""
        return self._voice is None or self._voice.muted

    @property
    def voice_chat(self) -> VoiceChat | None:
        """The voice chat that runs, or None."""
        return self._voice if self._voice is not None and self._voice.active else None

    def push_to_talk_start(self) -> None:
        """Hold the button: the user is heard from now on.

        Raises:
            UsageError: the session was started without ``enable_push_to_talk=True`` or without the livekit transport,
                there is no voice chat, or the service refuses.
        """
        self._push(held=True)

    def push_to_talk_stop(self) -> None:
        """Let the button go: the user's turn is over. Raises what :meth:`push_to_talk_start` does."""
        self._push(held=False)

    def play(self, device: int | str | None = None) -> Playback:
        """Play the avatar's voice on the machine's loudspeaker until ``stop()``, the end of ``with`` or of the session.

        An interrupt, also the user's who barges in, silences it at once. Microphones of this process take it as the
        echo to cancel. Needs the extra ``audio``.

        Args:
            device: the loudspeaker's number or part of its name; the system's default where None.

        Raises:
            MissingExtraError: sounddevice or PortAudio is not installed.
            MediaError: there is no such loudspeaker, or it cannot be opened.
        """
        connection, _ = self._live()
        from .media.loudspeaker import Playback

        playback = Playback(connection.wires.room, device=device)
        self._loudspeakers.add(playback)
        return playback

    # -- inside

    def _live(self) -> tuple[Connection, StartAvatarResponse]:
        connection = self._connection
        if connection is None:
            raise SessionNotStartedError("there is no session yet: call create_start_avatar() first")
        return connection, connection.require_live()

    def _open_voice_chat(
        self, connection: Connection, source: object | None, deadline: Deadline, *, muted: bool
    ) -> VoiceChat:
        from .voice_chat import VoiceChat

        voice = VoiceChat(
            connection.wires,
            by_track=_by_track(connection),
            muted=muted,
            report=_reporter(self._dispatcher),
        )
        utterance = None if source is None else voice.prepare(source, deadline)
        try:
            voice.start(deadline)
        except BaseException:
            if utterance is not None:
                utterance.stop()
                utterance.join()
            raise
        self._voice = voice
        if utterance is not None:
            voice.begin(utterance)
        return voice

    def _voice_for_asking(self, source: SoundSource, deadline: Deadline) -> tuple[VoiceChat, Button | None]:
        """The voice chat that runs, or one that is started for this; and the button to hold, if there is one."""
        connection, _ = self._live()
        button = self._push if connection.request.enable_push_to_talk else None
        if button is not None and getattr(source, "live", False):
            raise UsageError("with push-to-talk, ask() cannot know when to let the button go for a microphone")
        with self._one_voice_change():
            voice = self.voice_chat or self._open_voice_chat(connection, None, deadline, muted=False)
        if voice.muted:
            raise UsageError("the voice chat is muted, so nobody would hear the question: unmute_input_audio() first")
        return voice, button

    def _end_voice_chat(self) -> None:
        voice, self._voice = self._voice, None
        if voice is not None:
            voice.close()

    def _speaking(self) -> VoiceChat:
        self._live()
        voice = self.voice_chat
        if voice is None:
            raise UsageError("there is no voice chat: call start_voice_chat() first")
        return voice

    def _push(self, *, held: bool) -> None:
        connection, _ = self._live()
        if not _by_track(connection):
            raise UsageError('push-to-talk needs create_start_avatar(voice_chat_transport="livekit", ...)')
        if not connection.request.enable_push_to_talk:
            raise UsageError("push-to-talk needs create_start_avatar(enable_push_to_talk=True, ...)")
        self._speaking()
        envelope = connection.protocol.push_to_talk(held=held)
        if connection.protocol.service is Service.HEYGEN:
            connection.carry(envelope, timeout=self._timeout)
            return
        # LiveAvatar answers, and hears nothing of what is said before it has (its reference §3.5).
        answer = StreamingEvents.PUSH_TO_TALK_STARTED if held else StreamingEvents.PUSH_TO_TALK_STOPPED
        refusal = StreamingEvents.PUSH_TO_TALK_FAILED
        answers = self._dispatcher.listen(answer.value, refusal.value, StreamingEvents.STREAM_DISCONNECTED.value)
        try:
            connection.carry(envelope, timeout=self._timeout)
            heard = answers.get(Deadline.after(self._timeout))
        finally:
            self._dispatcher.unlisten(answers)
        connection.require_live()
        if heard is None:
            raise WaitTimeoutError(f"the service has not answered push-to-talk within {self._timeout:g} s")
        if heard.type == refusal.value:
            state = "held already" if held else "not held"
            raise UsageError(f"the service refuses push-to-talk: the button is {state}, as far as it knows")

    @contextmanager
    def _one_voice_change(self) -> Iterator[None]:
        if not self._voice_changes.acquire(blocking=False):
            raise UsageError("another thread is starting or ending this avatar's voice chat")
        try:
            yield
        finally:
            self._voice_changes.release()


def _by_track(connection: Connection) -> bool:
    """Whether the user's voice goes by a track of the room; LiveAvatar knows no other way (its reference §3.1)."""
    livekit = connection.request.voice_chat_transport is VoiceChatTransport.LIVEKIT
    return livekit or connection.protocol.service is Service.LIVEAVATAR


def _prompt_silent_user(connection: Connection, wanted: bool, timeout: float) -> None:
    """Ask for prompts to a silent user, or for none, by opening the chat socket anew: its query says it."""
    connection.request = evolve(connection.request, use_silence_prompt=wanted)
    url = connection.chat_url()
    if url is None or connection.protocol.service is not Service.HEYGEN:
        raise UsageError(f"session {connection.session_id} has no chat socket, which asks for silence prompts")
    engine().call(connection.wires.move_chat(url), timeout=timeout, what="opening the chat socket anew")


class _Loudspeakers:
    """What plays the avatar, silenced when the avatar is interrupted. Holds the avatar not."""

    def __init__(self) -> None:
        self._playing: list[Playback] = []

    def add(self, playback: Playback) -> None:
        self._playing = [each for each in self._playing if each.playing] + [playback]

    def hear(self, event: Event) -> None:
        if isinstance(event, UserStart):
            self.silence()

    def silence(self) -> None:
        """Drop what waits to be played."""
        for playback in self._playing:
            playback.silence()


def _reporter(dispatcher: Dispatcher) -> Callable[[HeyGenError], None]:
    """Publishes an error, holding neither dispatcher nor avatar: what runs on the media loop must not keep them."""
    listener = weakref.ref(dispatcher)

    def report(error: HeyGenError) -> None:
        alive = listener()
        if alive is not None:
            alive.publish(ErrorOccurred(error=error, received_at=time.time()))

    return report
