"""LITE end to end: sounds in by the session's socket, out of the avatar's track; and all that comes in between."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from heygen_avatar import (
    InvalidRequestError,
    LiveAvatarOptions,
    MediaError,
    Samples,
    SessionClosedError,
    SpeechOutcome,
    StreamingEvents,
    WaitTimeoutError,
)
from heygen_avatar.liveavatar import LiveKitRoom
from tests.ears import write_wave
from tests.mouth import Mouth
from tests.programs import eventually
from tests.services import FULL, LITE, RATE, tone
from tests.simulator.guests import open_hall

LOUD = 1_500
WINDOW = 480
"""Samples at 48 kHz: 10 ms."""


@pytest.fixture
def mouth(monkeypatch):
    return Mouth(monkeypatch)


@pytest.fixture
def avatar(simulator):
    with LITE.started(simulator) as avatar:
        yield avatar


class Listener:
    """Hears the avatar's track in a thread of its own, until it has been silent for a while after a sound."""

    def __init__(self, avatar):
        self._pieces = []
        self._ready = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(avatar,), name="listener")
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self, avatar):
        with avatar.audio_frames() as frames:
            for frame in frames:
                self._ready.set()
                if self._over.is_set():
                    return
                self._pieces.append(frame.samples[:, 0].copy())

    def finish(self):
        """All that was heard, without the silence around it."""
        eventually(lambda: np.abs(np.concatenate(self._pieces[-25:])).max() < LOUD, 5)
        self._over.set()
        self._thread.join(5)
        heard = np.concatenate(self._pieces)
        whole = heard[: len(heard) // WINDOW * WINDOW].reshape(-1, WINDOW)
        windows = np.flatnonzero(np.abs(whole.astype(np.int32)).max(axis=1) > LOUD)
        return heard[windows[0] * WINDOW : (windows[-1] + 1) * WINDOW]


def pitch(samples):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.fft.rfftfreq(len(samples), 1 / 48_000)[spectrum.argmax()])


# -- what is heard


@pytest.mark.parametrize(("hertz", "rate"), [(440, 24_000), (300, 16_000), (1_000, 44_100)])
def test_a_tone_is_said_whole_and_heard_at_its_pitch(avatar, mouth, hertz, rate):
    listener = Listener(avatar)
    speech = avatar.speak_audio(Samples(tone(1.7, hertz, rate), rate), task_mode="sync")
    heard = listener.finish()
    assert speech.outcome is SpeechOutcome.SPOKEN
    assert abs(pitch(heard[len(heard) // 4 : 3 * len(heard) // 4]) - hertz) < 4
    assert mouth.seconds == pytest.approx(1.7, abs=0.03)
    assert mouth.is_one_sound


def test_a_files_path_is_a_sound(avatar, tmp_path):
    path: Path = write_wave(tmp_path / "hello.wav", tone(0.6, rate=16_000), 16_000)
    assert avatar.speak_audio(path, task_mode="sync").outcome is SpeechOutcome.SPOKEN
    assert avatar.speak_audio(str(path)).wait(10).outcome is SpeechOutcome.SPOKEN


def test_a_voice_that_is_still_being_made_is_said_meanwhile(avatar):
    more = threading.Event()

    def voice():
        yield tone(0.5)
        assert more.wait(10)
        yield tone(0.5)

    with avatar.expect(StreamingEvents.AVATAR_START_TALKING) as started:
        speech = avatar.speak_audio(Samples(voice(), RATE))
    assert started.value.task_id == speech.task_id
    assert not speech.done
    more.set()
    assert speech.wait(10).outcome is SpeechOutcome.SPOKEN


def test_sounds_are_said_one_after_the_other_in_their_order(avatar):
    heard = []
    avatar.on(StreamingEvents.AVATAR_START_TALKING, lambda event: heard.append(event.task_id))
    slow = Samples(sample_rate=RATE)
    first = avatar.speak_audio(slow)
    second = avatar.speak_audio(Samples(tone(0.3), RATE))
    slow.push(tone(0.5))
    slow.end()
    for speech in (first, second):
        assert speech.wait(10).outcome is SpeechOutcome.SPOKEN
    avatar.stop_avatar()  # by now the handlers have been called
    assert heard == [first.task_id, second.task_id]


def test_the_pieces_are_short_at_first_then_of_a_second_and_never_far_ahead(avatar):
    changes = []
    avatar.on(StreamingEvents.AUDIO_BUFFER_CHANGED, changes.append)
    sent = []
    original = avatar._connection.protocol.utterance_chunk
    avatar._connection.protocol.utterance_chunk = lambda utterance, piece: (
        sent.append(len(piece) / 2 / RATE),
        original(utterance, piece),
    )[1]
    speech = avatar.speak_audio(Samples(tone(7.0), RATE))
    assert eventually(lambda: sum(sent) > 4)
    assert not eventually(lambda: sum(sent) > 6.5, 1.0)
    assert speech.wait(15).outcome is SpeechOutcome.SPOKEN
    assert sent[0] == pytest.approx(0.4)
    assert sent[1:-1] == pytest.approx([1.0] * (len(sent) - 2))
    assert sum(sent) == pytest.approx(7.0, abs=0.01)
    avatar.stop_avatar()  # by now the handlers have been called
    assert [event.change for event in changes] == ["appended"] * len(sent) + ["committed"]


# -- what goes wrong


def test_interrupting_first_stops_the_sender(simulator, avatar):
    source = Samples(sample_rate=RATE)
    source.push(tone(1.0))
    with avatar.expect(StreamingEvents.AVATAR_START_TALKING):
        speech = avatar.speak_audio(source)
    heard = []
    avatar.on(StreamingEvents.AUDIO_BUFFER_CHANGED, lambda event: heard.append(event.change))
    avatar.interrupt()
    assert speech.wait(5).outcome is SpeechOutcome.INTERRUPTED
    assert avatar.speak_audio(Samples(tone(0.3), RATE), task_mode="sync").outcome is SpeechOutcome.SPOKEN
    avatar.stop_avatar()  # by now the handlers have been called
    assert heard[heard.index("cleared") :] == ["cleared", "appended", "committed"]


def test_a_speech_can_interrupt_itself(avatar):
    with avatar.expect(StreamingEvents.AVATAR_START_TALKING):
        speech = avatar.speak_audio(Samples(tone(10), RATE))
    speech.interrupt()
    assert speech.wait(5).outcome is SpeechOutcome.INTERRUPTED


def test_texts_are_refused_with_what_to_use(avatar):
    with pytest.raises(InvalidRequestError, match=r"speak_audio\(\)"):
        avatar.speak("Hello!")
    with pytest.raises(InvalidRequestError, match=r"speak_audio\(\)"):
        avatar.say("Hello!")


def test_a_full_avatar_takes_texts_and_no_sounds(simulator):
    with FULL.started(simulator) as avatar, pytest.raises(InvalidRequestError, match="mode LITE"):
        avatar.speak_audio(Samples(tone(0.1), RATE))


@pytest.mark.parametrize("sound", [b"\0\0", 7, np.zeros(10, np.int16)])
def test_what_is_no_sound_is_refused_at_once(avatar, sound):
    with pytest.raises(InvalidRequestError):
        avatar.speak_audio(sound)


def test_a_file_that_is_not_there_is_told_at_once(avatar):
    with pytest.raises(MediaError, match="cannot read"):
        avatar.speak_audio("/no/such/file.wav")


def test_a_source_that_fails_ends_its_speech_with_what_went_wrong(avatar):
    def voice():
        yield tone(0.6)
        raise OSError("the line is dead")

    with avatar.expect(StreamingEvents.ERROR) as told, avatar.expect(StreamingEvents.AVATAR_STOP_TALKING):
        speech = avatar.speak_audio(Samples(voice(), RATE))
    with pytest.raises(MediaError, match="the line is dead"):
        speech.wait(10)
    assert speech.error is told.value.error
    assert avatar.speak_audio(Samples(tone(0.3), RATE), task_mode="sync").outcome is SpeechOutcome.SPOKEN


def test_a_source_without_a_sound_says_so(avatar):
    with pytest.raises(MediaError, match="no sound"):
        avatar.speak_audio(Samples(iter(()), RATE), task_mode="sync", timeout=10)
    assert avatar.speak_audio(Samples(tone(0.3), RATE), task_mode="sync").outcome is SpeechOutcome.SPOKEN


def test_a_deadline_passes_and_the_avatar_goes_on(avatar):
    with pytest.raises(WaitTimeoutError, match="not finished"):
        avatar.speak_audio(Samples(tone(3), RATE), task_mode="sync", timeout=0.8)
    avatar.interrupt()


def test_stopping_ends_a_sound_that_is_still_being_made(simulator):
    source = Samples(sample_rate=RATE)
    with LITE.started(simulator) as avatar:
        speech = avatar.speak_audio(source)
        source.push(tone(0.5))
        avatar.stop_avatar()
        with pytest.raises(SessionClosedError):
            speech.wait(5)


# -- the socket


def test_a_session_is_ready_when_the_service_listens(make_simulator):
    late = make_simulator()
    late.inject({"kind": "late_connected", "seconds": 1.0})
    with LITE.started(late) as avatar:
        assert avatar.speak_audio(Samples(tone(0.3), RATE), task_mode="sync").outcome is SpeechOutcome.SPOKEN
        assert late.sessions()[0]["ignored_messages"] == 0


def test_a_service_that_never_listens_fails_the_start(make_simulator):
    deaf = make_simulator()
    deaf.inject({"kind": "late_connected", "seconds": 60})
    with LITE.avatar(deaf) as avatar:
        with pytest.raises(TimeoutError):
            avatar.create_start_avatar(**LITE.start, timeout=2.0)
        assert [entry["state"] for entry in deaf.sessions()] == ["closed"]


@pytest.mark.parametrize("code", [1000, 1011, 0])
def test_a_socket_that_is_lost_comes_back(make_simulator, code):
    shaky = make_simulator()
    shaky.inject({"kind": "socket_close", "path": "*/session/*", "code": code, "seconds": 0.5})
    with LITE.avatar(shaky) as avatar:
        back = threading.Event()
        avatar.on(StreamingEvents.RECONNECTED, lambda event: back.set())
        avatar.create_start_avatar(**LITE.start)
        assert back.wait(10)
        assert avatar.speak_audio(Samples(tone(0.3), RATE), task_mode="sync").outcome is SpeechOutcome.SPOKEN
        assert shaky.sessions()[0]["ignored_messages"] == 0


def test_a_sound_goes_on_over_a_socket_that_comes_back(make_simulator):
    shaky = make_simulator()
    shaky.inject({"kind": "socket_close", "path": "*/session/*", "code": 1011, "seconds": 1.5})
    with LITE.started(shaky) as avatar:
        with avatar.expect(StreamingEvents.RECONNECTED):
            speech = avatar.speak_audio(Samples(tone(6), RATE))
        assert speech.wait(15).outcome is SpeechOutcome.SPOKEN


def test_without_speak_events_the_state_tells_what_is_said(make_simulator):
    terse = make_simulator()
    terse.inject({"kind": "no_speak_events"})
    with LITE.started(terse) as avatar:
        heard = []
        for name in (StreamingEvents.AVATAR_START_TALKING, StreamingEvents.AVATAR_STOP_TALKING):
            avatar.on(name, lambda event: heard.append((event.type, event.task_id)))
        speech = avatar.speak_audio(Samples(tone(0.5), RATE), task_mode="sync")
        assert speech.outcome is SpeechOutcome.SPOKEN
        avatar.stop_avatar()  # by now the handlers have been called
        assert heard == [("avatar_start_talking", speech.task_id), ("avatar_stop_talking", speech.task_id)]


def test_in_a_room_of_ones_own_avatar_and_user_meet_by_the_tokens_made_for_them(simulator):
    # The simulator's rooms carry its own cast's tracks, not those of one client to another: that the avatar is then
    # seen and heard by its token's identity takes a LiveKit server. So they meet, and the start is given up.
    inside, met, over = threading.Event(), threading.Event(), threading.Event()
    hall = []

    async def keep_open():
        async with open_hall(avatar=None) as opened:
            hall.append(opened)
            inside.set()
            await opened.listener.have("joined", count=2)
            met.set()
            await asyncio.to_thread(over.wait, 60)

    keeper = threading.Thread(target=asyncio.run, args=(keep_open(),))
    keeper.start()
    try:
        assert inside.wait(10)
        room = LiveKitRoom(
            url=hall[0].room.url,
            room=hall[0].room.name,
            avatar_token=hall[0].room.token("my-avatar"),
            user_token=hall[0].room.token("me"),
        )
        with LITE.avatar(simulator) as avatar:
            giving_up = threading.Thread(target=lambda: met.wait(30) and avatar.stop_avatar())
            giving_up.start()
            with pytest.raises(SessionClosedError, match="while it was being started"):
                avatar.create_start_avatar(
                    avatar_name=LITE.start["avatar_name"], liveavatar=LiveAvatarOptions(mode="LITE", room=room)
                )
            giving_up.join(20)
            assert {identity for (identity,) in hall[0].listener.of("joined")} == {"my-avatar", "me"}
            assert avatar._connection.protocol.avatar_identity == "my-avatar"
    finally:
        over.set()
        keeper.join(20)
