"""What the avatar is given to say, and what becomes of it."""

import pytest

from heygen_avatar import (
    InvalidRequestError,
    SessionClosedError,
    SessionNotStartedError,
    SessionState,
    SpeakRequest,
    SpeechOutcome,
    StreamingEvents,
    TaskMode,
    TaskType,
    VoiceChatTransport,
    WaitTimeoutError,
)
from heygen_avatar.simulator import Limits

from .records import LONG, session_of


def test_say_returns_when_it_is_said(avatar):
    speech = avatar.say("Hello, world!")
    assert speech.outcome is SpeechOutcome.SPOKEN
    assert speech.task_id
    assert 300 < speech.duration_ms < 5_000


def test_an_asynchronous_repeat_returns_at_once_with_its_task_id(avatar):
    speech = avatar.speak("Hello, world!", task_type=TaskType.REPEAT)
    assert speech.task_id and not speech.done
    assert speech.wait(20).outcome is SpeechOutcome.SPOKEN


@pytest.mark.parametrize("transport", list(VoiceChatTransport))
def test_talk_goes_over_the_chat_channel_and_is_answered(make_avatar, transport):
    avatar = make_avatar()
    avatar.create_start_avatar(quality="low", voice_chat_transport=transport, knowledge_base="You are Ada.")
    speech = avatar.speak("What is your name?")
    assert speech.wait(20).outcome is SpeechOutcome.SPOKEN
    assert speech.task_id
    assert "Ada" in avatar.transcript[-1].text


def test_a_synchronous_talk_returns_with_the_answer_in_the_transcript(avatar):
    speech = avatar.speak(SpeakRequest(text="Good morning!", task_mode=TaskMode.SYNC))
    assert speech.done
    question, answer = avatar.transcript
    assert (question.speaker, question.text) == ("user", "Good morning!")
    assert answer.speaker == "avatar" and answer.complete


def test_tasks_are_spoken_in_the_order_they_were_given(avatar):
    speeches = [avatar.speak(text, task_type="repeat") for text in ("First.", "Second.", "Third.")]
    for speech in speeches:
        speech.wait(20)
    assert [turn.text for turn in avatar.transcript] == ["First.", "Second.", "Third."]


def test_interrupting_silences_the_avatar_and_drops_the_queue(avatar):
    with avatar.expect(StreamingEvents.AVATAR_START_TALKING):
        running = avatar.speak(LONG, task_type="repeat")
    queued = avatar.speak(LONG, task_type="repeat")
    running.interrupt()
    assert running.wait(5).outcome is SpeechOutcome.INTERRUPTED
    assert queued.wait(5).outcome is SpeechOutcome.INTERRUPTED


def test_a_synchronous_speech_interrupted_by_a_handler_says_so(avatar):
    avatar.once(StreamingEvents.AVATAR_TALKING_MESSAGE, lambda event: avatar.interrupt())
    assert avatar.say(LONG).outcome is SpeechOutcome.INTERRUPTED


def test_a_synchronous_speech_cut_off_by_the_sessions_end_says_so(avatar):
    avatar.once(StreamingEvents.AVATAR_START_TALKING, lambda event: avatar.stop_avatar())
    with pytest.raises(SessionClosedError):
        avatar.say(LONG)


def test_a_synchronous_speech_past_its_deadline_says_so_and_goes_on(avatar):
    with pytest.raises(WaitTimeoutError):
        avatar.say(LONG, timeout=0.5)
    assert avatar.state is SessionState.CONNECTED
    avatar.wait_for(StreamingEvents.AVATAR_STOP_TALKING, timeout=30)


def test_listening_keep_alive_and_interrupting_silence_are_accepted(simulator, avatar):
    avatar.start_listening()
    avatar.stop_listening()
    avatar.keep_alive()
    avatar.interrupt()
    assert session_of(simulator, avatar)["state"] == "connected"


def test_keep_alive_resets_the_idle_countdown(make_simulator, make_avatar):
    quick = make_simulator(limits=Limits(idle_timeout=1.0))
    avatar = make_avatar(api_key=quick.api_key, base_path=quick.base_path)
    avatar.create_start_avatar(quality="low")
    for _ in range(4):
        with pytest.raises(WaitTimeoutError):
            avatar.wait_for(StreamingEvents.STREAM_DISCONNECTED, timeout=0.5)
        avatar.keep_alive()
    assert avatar.state is SessionState.CONNECTED
    avatar.wait_for(StreamingEvents.STREAM_DISCONNECTED, timeout=5)


def test_the_first_keep_alive_is_due_since_the_session_was_made_however_long_its_start_took(
    make_simulator, make_avatar, monkeypatch
):
    monkeypatch.setattr("heygen_avatar.avatar.KEEP_ALIVE", 2.5)
    slow = make_simulator(limits=Limits(idle_timeout=4.0))
    slow.inject({"kind": "delay", "path": "/v1/streaming.start", "seconds": 2.0})
    with make_avatar(api_key=slow.api_key, base_path=slow.base_path) as avatar:
        avatar.create_start_avatar(quality="low")
        with pytest.raises(WaitTimeoutError):
            avatar.wait_for(StreamingEvents.STREAM_DISCONNECTED, timeout=3.0)
        assert avatar.state is SessionState.CONNECTED


@pytest.mark.parametrize(
    "call",
    [
        lambda avatar: avatar.speak("Hi"),
        lambda avatar: avatar.say("Hi"),
        lambda avatar: avatar.interrupt(),
        lambda avatar: avatar.keep_alive(),
        lambda avatar: avatar.start_listening(),
        lambda avatar: avatar.stop_listening(),
        lambda avatar: avatar.video_frames(),
        lambda avatar: avatar.audio_frames(),
        lambda avatar: avatar.snapshot(),
        lambda avatar: avatar.record("never.mp4"),
    ],
)
def test_calls_before_the_start_and_after_the_stop_say_so(make_avatar, call):
    avatar = make_avatar()
    with pytest.raises(SessionNotStartedError, match="create_start_avatar"):
        call(avatar)
    avatar.create_start_avatar(quality="low")
    avatar.stop_avatar()
    with pytest.raises(SessionClosedError, match=avatar.session_id):
        call(avatar)


@pytest.mark.parametrize("text", ["", "   ", "x" * 1001, None, 7])
def test_a_text_the_service_would_refuse_is_refused_before_it_is_sent(simulator, avatar, text):
    with pytest.raises(InvalidRequestError, match=r"1 to 1,000|1 to 1,000 characters"):
        avatar.speak(text)
    assert list(avatar.transcript) == []
