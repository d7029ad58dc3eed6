"""Picture, sound, data and reconnects, in the simulator's own rooms and in those of a real LiveKit server.

What the SDK makes of a room must not depend on who wrote the server. Without ``livekit-server`` the second half is
skipped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from livekit import rtc

from heygen_avatar import (
    DisconnectReason,
    Samples,
    SessionClosedError,
    SessionState,
    SpeechOutcome,
    StreamingAvatar,
    StreamingEvents,
    cleanup,
)
from heygen_avatar.engine import engine
from heygen_avatar.errors import InvalidRequestError
from heygen_avatar.liveavatar import LiveAvatarOptions
from heygen_avatar.simulator import Simulator
from tests.programs import eventually
from tests.simulator.sounds import RATE, spoken

LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen."

Kind = rtc.SimulateScenarioKind


@pytest.fixture
def make_avatar(any_simulator: Simulator) -> Iterator[Callable[..., StreamingAvatar]]:
    made: list[StreamingAvatar] = []

    def make(**settings: Any) -> StreamingAvatar:
        made.append(StreamingAvatar(api_key=any_simulator.api_key, base_path=any_simulator.base_path, **settings))
        return made[-1]

    yield make
    for avatar in made:
        avatar.stop_avatar()


@pytest.fixture
def avatar(make_avatar: Callable[..., StreamingAvatar]) -> StreamingAvatar:
    avatar = make_avatar()
    avatar.create_start_avatar(quality="low")
    return avatar


@pytest.fixture
def there(livekit_simulator: Simulator) -> Iterator[StreamingAvatar]:
    """An avatar in a room of the real server, with which things can be done that only that server does."""
    avatar = StreamingAvatar(api_key=livekit_simulator.api_key, base_path=livekit_simulator.base_path)
    avatar.create_start_avatar(quality="low")
    yield avatar
    avatar.stop_avatar()


def loudness(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(float) ** 2))) / 32_768


def room_of(avatar: StreamingAvatar) -> rtc.Room:
    connection = avatar._connection
    assert connection is not None
    return connection.wires.room._room


def provoke(avatar: StreamingAvatar, scenario: Any) -> None:
    """Let livekit bring about one of the misfortunes that it knows."""
    engine().call(room_of(avatar).simulate_scenario(scenario), timeout=20, what="provoking")


# -- picture and sound


def test_the_picture_has_the_quality_s_size_and_is_not_black(avatar: StreamingAvatar) -> None:
    with avatar.video_frames() as frames:
        shown = next(frame for frame in frames if frame.to_ndarray().mean() > 10)
    assert (shown.width, shown.height) == (640, 360)
    assert shown.to_ndarray().std() > 10


def test_the_avatar_sounds_while_it_talks_and_is_silent_after(avatar: StreamingAvatar) -> None:
    levels: list[float] = []
    with avatar.audio_frames() as frames:
        speaking = threading.Thread(target=avatar.say, args=("Hello there, how are you?",))
        speaking.start()
        while speaking.is_alive():
            levels.append(loudness(frames.read().samples))
        speaking.join()
        after = [loudness(frames.read().samples) for _ in range(50)]
    assert max(levels) > 0.02
    assert max(after[25:]) < 0.005


def test_a_recording_has_picture_and_sound(avatar: StreamingAvatar, tmp_path: Path) -> None:
    with avatar.record(tmp_path / "hello.mp4"):
        avatar.say("Hello there.")
    with av.open(str(tmp_path / "hello.mp4")) as movie:
        kinds = {stream.type for stream in movie.streams}
        pictures = sum(1 for _ in movie.decode(video=0))
    assert kinds == {"video", "audio"}
    assert pictures > 10


def test_a_snapshot_after_nobody_looked_is_a_new_one(avatar: StreamingAvatar) -> None:
    first = avatar.snapshot()
    avatar.say("Hello there, how are you today?")
    assert avatar.snapshot().timestamp - first.timestamp > 1.0


# -- data


def test_events_come_in_order_and_spell_the_text(avatar: StreamingAvatar) -> None:
    heard: list[Any] = []
    for event in ("avatar_start_talking", "avatar_talking_message", "avatar_end_message", "avatar_stop_talking"):
        avatar.on(event, heard.append)
    with avatar.expect(StreamingEvents.AVATAR_STOP_TALKING):
        speech = avatar.speak("Hello there, how are you?", task_type="repeat")
    assert eventually(lambda: heard and heard[-1].type == "avatar_stop_talking")
    assert heard[0].type == "avatar_start_talking"
    assert "".join(event.message for event in heard if event.type == "avatar_talking_message") == speech.text
    assert {event.task_id for event in heard} == {speech.task_id}


def test_a_message_by_data_packet_is_answered(make_avatar: Callable[..., StreamingAvatar]) -> None:
    avatar = make_avatar()
    avatar.create_start_avatar(quality="low", voice_chat_transport="livekit")
    assert avatar.ask("What is your name?").answer


def test_an_interrupted_speech_says_so(avatar: StreamingAvatar) -> None:
    with avatar.expect(StreamingEvents.AVATAR_START_TALKING):
        speech = avatar.speak(LONG, task_type="repeat")
    avatar.interrupt()
    assert speech.wait(10).outcome is SpeechOutcome.INTERRUPTED


def test_the_user_is_heard_by_a_track(make_avatar: Callable[..., StreamingAvatar]) -> None:
    avatar = make_avatar()
    avatar.create_start_avatar(quality="low", voice_chat_transport="livekit")
    with (
        avatar.expect(StreamingEvents.USER_STOP, timeout=20) as stopped,
        avatar.expect(StreamingEvents.USER_START, timeout=20) as started,
    ):
        avatar.start_voice_chat(source=Samples(spoken("Hello there. How are you?"), sample_rate=RATE))
    assert started.value.received_at < stopped.value.received_at
    avatar.close_voice_chat()


def test_a_liveavatar_in_full_mode_speaks(any_simulator: Simulator) -> None:
    avatar = StreamingAvatar(api_key=any_simulator.api_key, base_path=any_simulator.base_path, service="liveavatar")
    with avatar:
        avatar.create_start_avatar(liveavatar=LiveAvatarOptions(sandbox=True))
        assert avatar.say("Hello.").outcome is SpeechOutcome.SPOKEN


# -- ends


def test_stopping_ends_the_session_and_leaves_nothing_of_livekit(avatar: StreamingAvatar) -> None:
    avatar.stop_avatar()
    assert avatar.state is SessionState.DISCONNECTED
    assert not cleanup.open_sessions()


def test_a_session_that_the_service_ends_tells_so(avatar: StreamingAvatar, any_simulator: Simulator) -> None:
    import requests

    with avatar.expect(StreamingEvents.STREAM_DISCONNECTED) as ended:
        requests.post(
            f"{any_simulator.base_path}/v1/streaming.stop",
            json={"session_id": avatar.session_id},
            headers={"x-api-key": any_simulator.api_key},
            timeout=10,
        ).raise_for_status()
    assert ended.value.reason in (DisconnectReason.ROOM_DELETED, DisconnectReason.PARTICIPANT_REMOVED)
    with pytest.raises(SessionClosedError):
        avatar.say("Is anybody there?")


# -- reconnects, by what livekit itself brings about


@pytest.mark.parametrize(
    "scenario", [Kind.SIMULATE_SIGNAL_RECONNECT, Kind.SIMULATE_FULL_RECONNECT, Kind.SIMULATE_NODE_FAILURE]
)
def test_a_lost_connection_comes_back_and_the_avatar_goes_on(there: StreamingAvatar, scenario: Any) -> None:
    with there.expect(StreamingEvents.RECONNECTED, timeout=30), there.expect(StreamingEvents.RECONNECTING, timeout=30):
        provoke(there, scenario)
    assert eventually(lambda: there.state is SessionState.CONNECTED)
    assert there.say("Here I am again.").outcome is SpeechOutcome.SPOKEN


@pytest.mark.parametrize("scenario", [Kind.SIMULATE_SIGNAL_RECONNECT, Kind.SIMULATE_FULL_RECONNECT])
def test_readers_go_on_after_a_reconnect(there: StreamingAvatar, scenario: Any) -> None:
    with there.video_frames() as pictures, there.audio_frames() as sounds:
        before = pictures.read().timestamp
        sounds.read()
        with there.expect(StreamingEvents.RECONNECTED, timeout=30):
            provoke(there, scenario)
        came_back = next(frame for frame in pictures if frame.timestamp > before + 0.5)
        assert any(sound.timestamp > came_back.timestamp for sound, _ in zip(sounds, range(1500), strict=False))


def test_the_server_throwing_us_out_ends_the_session(there: StreamingAvatar) -> None:
    with there.expect(StreamingEvents.STREAM_DISCONNECTED, timeout=30) as ended:
        provoke(there, Kind.SIMULATE_SERVER_LEAVE)
    assert ended.value.reason is not DisconnectReason.CLIENT_INITIATED
    assert there.state is SessionState.DISCONNECTED


def test_faults_of_rooms_are_refused_where_the_rooms_are_somebody_elses(livekit_simulator: Simulator) -> None:
    with pytest.raises(InvalidRequestError, match="room_deleted"):
        livekit_simulator.inject({"kind": "room_deleted"})
