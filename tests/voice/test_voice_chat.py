"""The user's voice end to end: from sources of all kinds, over both transports, to what the service hears of it."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heygen_avatar import (
    InvalidRequestError,
    MediaError,
    Samples,
    SessionClosedError,
    SessionNotStartedError,
    SoundFile,
    SpeechOutcome,
    StreamingAvatar,
    StreamingEvents,
    UsageError,
    VoiceChatState,
    WaitTimeoutError,
)
from heygen_avatar.media.frames import AudioFrame
from heygen_avatar.simulator import Hearing, RecogniserSettings, Simulator
from heygen_avatar.simulator.faults import Fault
from tests.ears import Ears, pieces, tone, whole, write_wave
from tests.programs import eventually
from tests.simulator.sounds import spoken

TRANSPORTS = ("websocket", "livekit")
LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen."


@pytest.fixture
def make_avatar(service: Simulator) -> Iterator[Callable[..., StreamingAvatar]]:
    made: list[StreamingAvatar] = []

    def make(simulator: Simulator = service, **wishes: Any) -> StreamingAvatar:
        made.append(StreamingAvatar(api_key=simulator.api_key, base_path=simulator.base_path))
        made[-1].create_start_avatar(**{"quality": "low", **wishes})
        return made[-1]

    yield make
    for avatar in made:
        avatar.stop_avatar()


@pytest.fixture(params=TRANSPORTS)
def avatar(make_avatar: Callable[..., StreamingAvatar], request: pytest.FixtureRequest) -> StreamingAvatar:
    """A started avatar, once for each transport."""
    return make_avatar(voice_chat_transport=request.param)


@pytest.fixture
def silent() -> Iterator[Samples]:
    """A user who says nothing."""
    source = Samples(sample_rate=16_000)
    yield source
    source.close()


# -- what is heard


def test_a_sound_file_is_heard_completely_and_ends_the_turn(
    avatar: StreamingAvatar, ears: Ears, tmp_path: Path
) -> None:
    path = write_wave(tmp_path / "question.wav", spoken("Hello there, how are you?"), 16_000)
    with avatar.expect(StreamingEvents.AVATAR_STOP_TALKING, timeout=30) as answered:
        voice = avatar.start_voice_chat(source=SoundFile(path))
        utterance = voice.utterance
    assert answered.value.duration_ms > 0
    assert utterance.wait().error is None
    assert voice.active
    assert [turn.speaker for turn in avatar.transcript] == ["user", "avatar"]


def test_the_events_of_a_turn_come_in_the_documented_order(avatar: StreamingAvatar) -> None:
    heard: list[str] = []
    names = ["user_start", "user_talking_message", "user_end_message", "user_stop", "avatar_start_talking"]
    for name in names:
        avatar.on(name, lambda event: heard.append(event.type))
    avatar.ask(Samples(spoken("Hello there, how are you?"), 16_000))
    if avatar._connection.request.voice_chat_transport == "livekit":
        assert list(dict.fromkeys(heard)) == names
    by_socket = [name for name in heard if name in ("user_start", "user_stop")]
    by_room = [name for name in heard if name not in by_socket]
    assert by_socket == ["user_start", "user_stop"]
    assert list(dict.fromkeys(by_room)) == ["user_talking_message", "user_end_message", "avatar_start_talking"]


def test_not_a_sample_is_lost_on_the_chat_socket(make_avatar: Callable[..., StreamingAvatar], ears: Ears) -> None:
    noise = np.random.default_rng(1).integers(-20_000, 20_000, 30_000).astype(np.int16)
    avatar = make_avatar(voice_chat_transport="websocket")
    avatar.start_voice_chat(source=Samples(noise, 16_000)).utterance.wait()
    ears.wait_until(lambda: len(np.flatnonzero(ears.samples)) > 29_990)
    start = int(np.flatnonzero(ears.samples)[0]) - int(np.flatnonzero(noise)[0])
    assert ears.samples[start : start + len(noise)].tolist() == noise.tolist()
    assert ears.rates == {16_000}


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_no_part_of_a_sound_of_any_rate_is_lost(avatar: StreamingAvatar, ears: Ears, rate: int) -> None:
    avatar.start_voice_chat(source=Samples(tone(1.5, rate), rate)).utterance.wait()
    ears.wait_for_the_end()
    assert ears.sounds == [whole(1.5)]


def test_what_is_pushed_is_heard_while_it_is_pushed(avatar: StreamingAvatar, ears: Ears) -> None:
    source = Samples(sample_rate=24_000)
    utterance = avatar.start_voice_chat(source=source).utterance
    source.push(tone(0.5, 24_000))
    ears.wait_until(lambda: ears.loud_seconds > 0.3)
    assert not utterance.done
    source.push(tone(0.5, 24_000))
    source.end()
    utterance.wait()
    ears.wait_for_the_end()
    assert ears.loud_seconds == whole(1.0)


def test_several_sounds_follow_each_other_as_turns_of_their_own(avatar: StreamingAvatar, ears: Ears) -> None:
    voice = avatar.start_voice_chat(source=Samples(tone(0.4), 16_000))
    second, third = voice.speak(Samples(tone(0.6), 16_000)), voice.speak(Samples(tone(0.8), 16_000))
    third.wait()
    ears.wait_until(lambda: len(ears.sounds) == 3)
    ears.wait_for_the_end()
    assert ears.sounds == [whole(length) for length in (0.4, 0.6, 0.8)]
    assert second.done and voice.utterance is None and voice.active


def test_silence_flows_while_nobody_speaks(avatar: StreamingAvatar, ears: Ears, silent: Samples) -> None:
    avatar.start_voice_chat(source=silent)
    ears.wait_for_more(1.0)
    assert ears.sounds == []


def test_while_muted_silence_is_heard_and_the_source_goes_on(avatar: StreamingAvatar, ears: Ears) -> None:
    voice = avatar.start_voice_chat(source=Samples(pieces(tone(3.0)), 16_000), is_input_audio_muted=True)
    utterance = voice.utterance
    assert avatar.is_input_audio_muted
    ears.wait_for_more(1.0)
    assert ears.loud_seconds == 0
    avatar.unmute_input_audio()
    ears.wait_until(lambda: ears.loud_seconds > 0.5)
    avatar.mute_input_audio()
    utterance.wait()
    ears.wait_for_more(0.3)
    assert 0.5 < ears.loud_seconds < 2.0
    assert utterance.seconds == 3.0


def test_the_user_who_barges_in_interrupts_the_avatar(avatar: StreamingAvatar) -> None:
    voice = avatar.start_voice_chat(source=Samples(tone(0.1), 16_000))
    voice.utterance.wait()
    speech = avatar.speak(LONG, task_type="repeat")
    avatar.wait_for(StreamingEvents.AVATAR_TALKING_MESSAGE)
    with avatar.expect(StreamingEvents.USER_START):
        voice.speak(Samples(spoken("Please stop, I have a question."), 16_000))
    assert speech.wait(10).outcome is SpeechOutcome.INTERRUPTED


def test_a_source_of_one_s_own_is_read_on_a_thread_of_its_own(avatar: StreamingAvatar, ears: Ears) -> None:
    threads: set[str] = set()

    class Own:
        sample_rate = 16_000

        def __iter__(self) -> Iterator[AudioFrame]:
            for piece in pieces(tone(0.5)):
                threads.add(threading.current_thread().name)
                yield AudioFrame(sample_rate=16_000, data=piece.tobytes())

    avatar.start_voice_chat(source=Own()).utterance.wait()
    ears.wait_for_the_end()
    assert ears.sounds == [whole(0.5)]
    assert len(threads) == 1 and threads.pop().startswith("heygen-voice-")


# -- sources that go wrong


def test_what_a_source_gave_before_it_raised_is_heard_and_the_error_is_told(
    avatar: StreamingAvatar, ears: Ears
) -> None:
    def broken() -> Iterator[bytes]:
        yield tone(0.5).tobytes()
        raise KeyError("the voice is gone")

    with avatar.expect(StreamingEvents.ERROR) as told:
        voice = avatar.start_voice_chat(source=Samples(broken(), 16_000))
        utterance = voice.utterance
    with pytest.raises(MediaError, match="KeyError: 'the voice is gone'") as failure:
        utterance.wait()
    assert isinstance(failure.value.__cause__, KeyError)
    assert told.value.error is failure.value
    ears.wait_for_the_end()
    assert ears.sounds == [whole(0.5)]
    voice.speak(Samples(tone(0.3), 16_000)).wait()


def test_a_source_that_stalls_is_heard_as_silence_until_it_goes_on(avatar: StreamingAvatar, ears: Ears) -> None:
    go_on = threading.Event()

    def stalling() -> Iterator[bytes]:
        yield tone(0.5).tobytes()
        go_on.wait(20)
        yield tone(0.5).tobytes()

    utterance = avatar.start_voice_chat(source=Samples(stalling(), 16_000)).utterance
    ears.wait_until(lambda: len(ears.sounds) == 1 and ears.seconds > 2)
    with pytest.raises(WaitTimeoutError, match="has given nothing for"):
        utterance.wait(0.5)
    go_on.set()
    utterance.wait()
    ears.wait_until(lambda: len(ears.sounds) == 2)
    ears.wait_for_the_end()
    assert len(ears.sounds) == 2 and ears.loud_seconds == whole(1.0)


def test_a_generator_that_gives_nothing_is_told_as_an_error(avatar: StreamingAvatar) -> None:
    with avatar.expect(StreamingEvents.ERROR) as told:
        utterance = avatar.start_voice_chat(source=Samples(iter([b""]), 16_000)).utterance
    with pytest.raises(MediaError, match="gave no sound"):
        utterance.wait()
    assert "gave no sound" in str(told.value.error)


@pytest.mark.parametrize(
    ("source", "kind"),
    [("/nowhere/question.wav", MediaError), (b"\0\0", InvalidRequestError), (42, InvalidRequestError)],
)
def test_a_source_that_cannot_be_read_is_refused_before_anything_is_sent(
    make_avatar: Callable[..., StreamingAvatar], ears: Ears, source: Any, kind: type[Exception]
) -> None:
    avatar = make_avatar(voice_chat_transport="livekit")
    with pytest.raises(kind):
        avatar.start_voice_chat(source=source)
    assert avatar.voice_chat is None and not ears.rates


def test_a_source_that_cannot_be_opened_leaves_the_voice_chat_that_ran(
    make_avatar: Callable[..., StreamingAvatar], silent: Samples
) -> None:
    voice = make_avatar().start_voice_chat(source=silent)
    with pytest.raises(MediaError, match="No such file"):
        voice.speak("/nowhere/question.wav")
    assert voice.active


def test_frames_of_another_rate_than_promised_are_an_error(make_avatar: Callable[..., StreamingAvatar]) -> None:
    class Liar:
        sample_rate = 16_000

        def __iter__(self) -> Iterator[AudioFrame]:
            yield AudioFrame(sample_rate=44_100, data=bytes(882))

    with pytest.raises(MediaError, match=r"16,000 Hz.*44,100 Hz"):
        make_avatar().start_voice_chat(source=Liar()).utterance.wait()


def test_stopping_an_utterance_ends_its_source_and_not_the_voice_chat(avatar: StreamingAvatar, ears: Ears) -> None:
    closed = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield tone(0.1).tobytes()
        finally:
            closed.set()

    voice = avatar.start_voice_chat(source=Samples(endless(), 16_000))
    ears.wait_until(lambda: ears.loud_seconds > 0.3)
    utterance = voice.utterance
    utterance.stop()
    assert closed.wait(5)
    utterance.wait(5)
    assert voice.active and utterance.error is None


def test_closing_ends_a_source_that_waits_for_more(avatar: StreamingAvatar, silent: Samples) -> None:
    utterance = avatar.start_voice_chat(source=silent).utterance
    avatar.close_voice_chat()
    with pytest.raises(SessionClosedError, match="voice chat was closed"):
        utterance.wait()
    with pytest.raises(UsageError, match="has ended"):
        silent.push(b"\0\0")


def test_a_source_whose_code_is_stuck_holds_up_nobody(
    make_avatar: Callable[..., StreamingAvatar], caplog: pytest.LogCaptureFixture
) -> None:
    is_stuck, let_go = threading.Event(), threading.Event()

    def stuck() -> Iterator[bytes]:
        yield tone(0.1).tobytes()
        is_stuck.set()
        let_go.wait(30)

    avatar = make_avatar()
    avatar.start_voice_chat(source=Samples(stuck(), 16_000))
    assert is_stuck.wait(10)
    try:
        avatar.close_voice_chat()
        assert "does not come to an end" in caplog.text
    finally:
        let_go.set()


# -- beginning and ending


def test_before_a_session_there_is_nobody_to_speak_to(service: Simulator) -> None:
    avatar = StreamingAvatar(api_key=service.api_key, base_path=service.base_path)
    assert avatar.is_input_audio_muted
    for call in (avatar.start_voice_chat, avatar.mute_input_audio, avatar.push_to_talk_start, avatar.play):
        with pytest.raises(SessionNotStartedError):
            call()
    avatar.close_voice_chat()


def test_the_end_of_the_session_ends_the_voice_chat(avatar: StreamingAvatar, silent: Samples) -> None:
    voice = avatar.start_voice_chat(source=silent)
    utterance = voice.utterance
    avatar.stop_avatar()
    with pytest.raises(SessionClosedError):
        utterance.wait(5)
    assert eventually(lambda: voice.state is VoiceChatState.INACTIVE, 5)
    assert avatar.voice_chat is None and avatar.is_input_audio_muted
    for call in (avatar.start_voice_chat, avatar.mute_input_audio, avatar.unmute_input_audio):
        with pytest.raises(SessionClosedError):
            call()
    with pytest.raises(UsageError, match="is over"):
        voice.speak(Samples(b"\0\0", 16_000))


def test_muting_without_a_voice_chat_is_an_error(make_avatar: Callable[..., StreamingAvatar]) -> None:
    avatar = make_avatar()
    for call in (avatar.mute_input_audio, avatar.unmute_input_audio):
        with pytest.raises(UsageError, match=r"start_voice_chat\(\)"):
            call()
    assert avatar.is_input_audio_muted


def test_starting_again_ends_the_first_one(avatar: StreamingAvatar, ears: Ears, silent: Samples) -> None:
    first = avatar.start_voice_chat(source=silent)
    second = avatar.start_voice_chat(source=Samples(tone(0.5), 16_000))
    assert not first.active and avatar.voice_chat is second
    second.utterance.wait()
    ears.wait_for_the_end()
    assert ears.sounds == [whole(0.5)]


def test_closing_takes_the_track_back(make_avatar: Callable[..., StreamingAvatar], ears: Ears, silent: Samples) -> None:
    avatar = make_avatar(voice_chat_transport="livekit")
    with avatar.start_voice_chat(source=silent):
        participant = avatar._connection.wires.room._room.local_participant
        assert len(participant.track_publications) == 1
    assert not participant.track_publications
    assert avatar.voice_chat is None


def test_an_unread_voice_chat_does_not_keep_its_avatar(service: Simulator) -> None:
    avatar = StreamingAvatar(api_key=service.api_key, base_path=service.base_path)
    session_id = avatar.create_start_avatar(quality="low").session_id
    voice = avatar.start_voice_chat(source=Samples(pieces(tone(60.0)), 16_000))
    gone = weakref.ref(avatar)
    del avatar
    gc.collect()
    assert gone() is None

    def closed() -> bool:
        return next(entry for entry in service.sessions() if entry["session_id"] == session_id)["state"] == "closed"

    assert eventually(lambda: closed() and not voice.active, 10)


# -- push-to-talk


def test_only_what_is_said_while_the_button_is_held_is_answered(make_avatar: Callable[..., StreamingAvatar]) -> None:
    avatar = make_avatar(voice_chat_transport="livekit", enable_push_to_talk=True)
    question = spoken("Hello there, how are you?")
    heard: list[str] = []
    for name in ("user_start", "user_stop"):
        avatar.on(name, lambda event: heard.append(event.type))
    voice = avatar.start_voice_chat(source=Samples(question, 16_000))
    voice.utterance.wait()
    assert heard == []
    with avatar.expect(StreamingEvents.AVATAR_STOP_TALKING, timeout=30):
        avatar.push_to_talk_start()
        voice.speak(Samples(question, 16_000)).wait()
        avatar.push_to_talk_stop()
    assert heard == ["user_start", "user_stop"]


def test_push_to_talk_where_it_cannot_work_says_why(
    make_avatar: Callable[..., StreamingAvatar], silent: Samples
) -> None:
    for wishes, words in (
        ({"enable_push_to_talk": True}, 'voice_chat_transport="livekit"'),
        ({"voice_chat_transport": "livekit"}, "enable_push_to_talk=True"),
        ({"voice_chat_transport": "livekit", "enable_push_to_talk": True}, r"start_voice_chat\(\)"),
    ):
        avatar = make_avatar(**wishes)
        for call in (avatar.push_to_talk_start, avatar.push_to_talk_stop):
            with pytest.raises(UsageError, match=words):
                call()


# -- silence prompts, and wires that break


@pytest.mark.parametrize("at_start", [True, False])
def test_silence_prompts_are_asked_for_at_the_start_or_with_the_voice_chat(
    make_simulator: Callable[..., Simulator],
    make_avatar: Callable[..., StreamingAvatar],
    silent: Samples,
    at_start: bool,
) -> None:
    simulator = make_simulator(hearing=Hearing(silence=0.2, silence_count_down=0.2))
    avatar = make_avatar(simulator, use_silence_prompt=at_start)
    if at_start:
        avatar.wait_for(StreamingEvents.USER_SILENCE)
    else:
        with avatar.expect(StreamingEvents.USER_SILENCE) as silence:
            avatar.start_voice_chat(use_silence_prompt=True, source=silent)
        assert silence.value.silence_times >= 1


def test_a_lost_chat_socket_holds_a_sound_up_and_loses_nothing_before_and_after(
    make_simulator: Callable[..., Simulator], make_avatar: Callable[..., StreamingAvatar], ears: Ears
) -> None:
    simulator = make_simulator(stt=RecogniserSettings(engine="none"))
    simulator.inject(Fault(kind="socket_close", path="/v1/ws/*", seconds=1.0, code=0))
    avatar = make_avatar(simulator, voice_chat_transport="websocket")
    with avatar.expect(StreamingEvents.RECONNECTED):
        utterance = avatar.start_voice_chat(source=Samples(tone(3.0), 16_000)).utterance
    utterance.wait()
    ears.wait_for_the_end()
    assert ears.loud_seconds == pytest.approx(3.0, abs=0.15)


@pytest.mark.parametrize("fault", ["signal_lost", "room_restarted"])
def test_a_room_that_is_connected_again_hears_the_user_again(
    make_simulator: Callable[..., Simulator],
    make_avatar: Callable[..., StreamingAvatar],
    ears: Ears,
    silent: Samples,
    fault: Any,
) -> None:
    simulator = make_simulator(stt=RecogniserSettings(engine="none"))
    avatar = make_avatar(simulator, voice_chat_transport="livekit")
    voice = avatar.start_voice_chat(source=Samples(tone(0.2), 16_000))
    voice.utterance.wait()
    ears.wait_for_the_end()
    with avatar.expect(StreamingEvents.RECONNECTED):
        simulator.inject(Fault(kind=fault))
    before = ears.loud_seconds
    voice.speak(Samples(tone(1.0), 16_000)).wait()
    ears.wait_until(lambda: ears.loud_seconds > before)
    ears.wait_for_the_end()
    assert ears.loud_seconds - before == whole(1.0)
