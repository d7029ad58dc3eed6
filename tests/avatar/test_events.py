"""Handlers, waits and iterations over what is heard."""

import threading

import pytest

from heygen_avatar import (
    SessionClosedError,
    StreamingEvents,
    UsageError,
    WaitTimeoutError,
)
from tests.programs import eventually

from .records import session_of


def test_the_events_of_a_speech_come_in_order_with_its_task_id(avatar):
    seen = []
    names = [
        StreamingEvents.AVATAR_START_TALKING,
        StreamingEvents.AVATAR_TALKING_MESSAGE,
        StreamingEvents.AVATAR_END_MESSAGE,
        StreamingEvents.AVATAR_STOP_TALKING,
    ]
    for name in names:
        avatar.on(name, seen.append)
    speech = avatar.say("Hello, world!")
    avatar.stop_avatar()
    assert list(dict.fromkeys(event.type for event in seen)) == [str(name) for name in names]
    assert {event.task_id for event in seen} == {speech.task_id}
    assert "".join(event.message for event in seen if event.type == "avatar_talking_message") == "Hello, world!"


def test_the_stream_is_ready_once_and_disconnected_last(make_avatar):
    avatar = make_avatar()
    seen = []
    for name in StreamingEvents:
        avatar.on(name, lambda event: seen.append(event.type))
    avatar.create_start_avatar(quality="low")
    avatar.say("Hi.")
    avatar.stop_avatar()
    assert seen.count("stream_ready") == 1
    assert seen.count("stream_disconnected") == 1
    assert seen[-1] == "stream_disconnected"


def test_expect_subscribes_before_the_block_acts(avatar):
    with avatar.expect(StreamingEvents.AVATAR_STOP_TALKING, timeout=10) as stopped:
        avatar.say("Hi.")
    assert stopped.value.duration_ms > 0


def test_expect_takes_a_condition(avatar):
    with avatar.expect("avatar_talking_message", timeout=10, where=lambda event: "world" in event.message) as chunk:
        avatar.speak("Hello, world!", task_type="repeat")
    assert "world" in chunk.value.message


def test_the_expected_event_is_not_there_inside_the_block(avatar):
    with pytest.raises(UsageError, match="after the with block"), avatar.expect("user_start") as expected:
        print(expected.value)


def test_waiting_in_vain_ends_at_the_deadline(avatar):
    with pytest.raises(WaitTimeoutError, match="user_silence"):
        avatar.wait_for(StreamingEvents.USER_SILENCE, timeout=0.1)


def test_waiting_ends_with_the_session(avatar):
    avatar.once(StreamingEvents.AVATAR_START_TALKING, lambda event: avatar.stop_avatar())
    with pytest.raises(SessionClosedError), avatar.expect(StreamingEvents.USER_SILENCE, timeout=30):
        avatar.speak("Hi.", task_type="repeat")


def test_events_iterates_until_the_session_has_ended(avatar):
    events = avatar.events()
    avatar.say("Hi.")
    avatar.stop_avatar()
    names = [event.type for event in events]
    assert names[0] == "avatar_start_talking"
    assert names[-1] == "stream_disconnected"


def test_handlers_may_call_blocking_methods(avatar):
    done = threading.Event()

    def reply(event):
        avatar.say("And this is from a handler.")
        done.set()

    avatar.once(StreamingEvents.AVATAR_STOP_TALKING, reply)
    avatar.say("First.")
    assert done.wait(20)
    assert [turn.text for turn in avatar.transcript] == ["First.", "And this is from a handler."]


def test_a_handler_may_stop_the_avatar_but_not_wait_for_its_end(simulator, avatar):
    outcome = []

    def handler(event):
        try:
            avatar.wait_for(StreamingEvents.STREAM_DISCONNECTED)
        except UsageError as error:
            outcome.append(error)
        avatar.stop_avatar()

    with avatar.expect(StreamingEvents.STREAM_DISCONNECTED, timeout=10):
        avatar.once(StreamingEvents.AVATAR_START_TALKING, handler)
        avatar.speak("Hi.", task_type="repeat")
    assert len(outcome) == 1
    # The room's end is heard while the stop call is still under way.
    assert eventually(lambda: session_of(simulator, avatar)["state"] == "closed")


def test_a_decorated_handler_stays_a_function(avatar):
    seen = []

    @avatar.on(StreamingEvents.AVATAR_START_TALKING)
    def handler(event):
        seen.append(event)

    avatar.say("Hi.")
    avatar.stop_avatar()
    handler("called directly")
    assert len(seen) == 2


def test_with_manual_dispatch_handlers_run_where_the_user_says(make_avatar):
    avatar = make_avatar(dispatch="manual")
    threads = []
    avatar.on(StreamingEvents.STREAM_READY, lambda event: threads.append(threading.current_thread()))
    avatar.create_start_avatar(quality="low")
    assert threads == []
    assert avatar.run_handlers(timeout=1) >= 1
    assert threads == [threading.current_thread()]


def test_run_handlers_is_refused_where_a_thread_runs_them(avatar):
    with pytest.raises(UsageError, match="manual"):
        avatar.run_handlers()
