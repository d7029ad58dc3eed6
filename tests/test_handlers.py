"""Handlers against a real session: raising, slow, blocking, calling everything, coming and going; very many events."""

import gc
import json
import threading
import time

import psutil
import pytest

from heygen_avatar import EventsDropped, SpeechOutcome, StreamingAvatar, StreamingEvents
from tests.programs import eventually
from tests.simulator.visitors import Visitor

STARTS, STOPS = StreamingEvents.AVATAR_START_TALKING, StreamingEvents.AVATAR_STOP_TALKING
OF_A_SPEECH = (STARTS, StreamingEvents.AVATAR_TALKING_MESSAGE, StreamingEvents.AVATAR_END_MESSAGE, STOPS)


@pytest.fixture
def avatar(simulator):
    with StreamingAvatar(api_key=simulator.api_key, base_path=simulator.base_path) as avatar:
        avatar.create_start_avatar(quality="low")
        yield avatar


def test_a_handler_that_raises_harms_neither_the_others_nor_the_session(avatar, caplog):
    heard = []

    @avatar.on(STARTS)
    def broken(event):
        raise KeyError("mine")

    avatar.on(STARTS, heard.append)
    for _ in range(2):
        assert avatar.say("Hi.").outcome is SpeechOutcome.SPOKEN
    assert eventually(lambda: len(heard) == 2)
    assert isinstance(avatar.last_handler_error, KeyError)
    assert "broken of avatar_start_talking failed" in caplog.text


def test_ten_seconds_in_a_handler_hold_up_the_events_behind_it_and_nothing_else(simulator, avatar, caplog):
    begun, over, never = threading.Event(), threading.Event(), threading.Event()
    handled, heard, took = [], [], []

    def slow(event):
        if not begun.is_set():
            begun.set()
            since = time.monotonic()
            never.wait(10)
            took.append(time.monotonic() - since)
            over.set()

    avatar.on(STARTS, slow)
    for name in OF_A_SPEECH:
        avatar.on(name, handled.append)
    listening = threading.Thread(target=heard.extend, args=(avatar.events(),))
    listening.start()
    with StreamingAvatar(api_key=simulator.api_key, base_path=simulator.base_path) as other:
        other.create_start_avatar(quality="low")
        other_handled = []
        other.on(STOPS, other_handled.append)
        avatar.speak("Begin.", task_type="repeat").wait(20)
        assert begun.is_set()
        rounds = 0
        with avatar.video_frames() as frames:
            while not over.is_set():
                before = len(handled)
                with avatar.expect(STOPS, timeout=8):
                    assert avatar.say("Hi.", timeout=8).outcome is SpeechOutcome.SPOKEN
                avatar.keep_alive()
                avatar.interrupt()
                assert frames.read(5).width
                assert other.say("Hi.", timeout=8).outcome is SpeechOutcome.SPOKEN
                if not over.is_set():
                    rounds += 1
                    assert len(handled) == before == 0
        assert rounds >= 2
        assert eventually(lambda: len(other_handled) >= rounds)
    last = avatar.say("The end.").task_id
    assert eventually(lambda: handled and handled[-1].type == STOPS and handled[-1].task_id == last)
    assert took[0] >= 10
    avatar.stop_avatar()
    listening.join(10)
    assert handled == [event for event in heard if event.type in OF_A_SPEECH]
    warnings = [message for message in caplog.messages if "slow of avatar_start_talking takes more than" in message]
    assert len(warnings) == 1


def test_a_handler_that_blocks_for_ever_does_not_keep_the_session_from_ending(simulator, caplog):
    began, never = threading.Event(), threading.Event()

    def block(event):
        began.set()
        never.wait()

    with StreamingAvatar(api_key=simulator.api_key, base_path=simulator.base_path) as avatar:
        avatar.on(STARTS, block)
        avatar.create_start_avatar(quality="low")
        avatar.say("Hi.")
        assert began.wait(5)
        ending = time.monotonic()
    assert time.monotonic() - ending < 3
    [entry] = [one for one in simulator.sessions() if one["session_id"] == avatar.session_id]
    assert entry["state"] == "closed"
    assert "a handler still runs" in caplog.text
    never.set()


def test_a_handler_may_call_every_method_of_the_avatar(avatar):
    outcome = []

    @avatar.once(STARTS)
    def everything(event):
        avatar.keep_alive()
        avatar.start_listening()
        avatar.stop_listening()
        outcome.append(avatar.snapshot().width)
        with avatar.video_frames() as frames:
            frames.read(10)
        avatar.speak("Hello?")
        avatar.interrupt()
        outcome.append(str(avatar.say("Hi.").outcome))
        outcome.append(str(avatar.state))
        avatar.on(STOPS, outcome.append)
        avatar.off(STOPS, outcome.append)
        outcome.append("done")

    avatar.speak("Begin.", task_type="repeat")
    assert eventually(lambda: "done" in outcome, 20), avatar.last_handler_error
    assert outcome == [640, "spoken", "connected", "done"]
    assert avatar.last_handler_error is None


def test_a_handler_may_stop_the_avatar_and_start_it_again(simulator, avatar):
    first, second = avatar.session_id, []

    @avatar.once(STARTS)
    def again(event):
        avatar.stop_avatar()
        avatar.create_start_avatar(quality="low")
        second.append(avatar.session_id)

    avatar.speak("Begin.", task_type="repeat")
    assert eventually(lambda: second, 20), avatar.last_handler_error

    def states():
        known = {entry["session_id"]: entry["state"] for entry in simulator.sessions()}
        return known[first], known[second[0]]

    assert eventually(lambda: states() == ("closed", "connected")), states()
    assert avatar.say("Hi.").outcome is SpeechOutcome.SPOKEN


def test_handlers_may_be_registered_and_removed_while_they_run(avatar):
    heard, over = [], threading.Event()

    def juggle():
        while not over.is_set():
            avatar.on(StreamingEvents.AVATAR_TALKING_MESSAGE, juggled)
            avatar.off(StreamingEvents.AVATAR_TALKING_MESSAGE, juggled)

    def juggled(event):
        avatar.off(StreamingEvents.AVATAR_TALKING_MESSAGE, juggled)

    avatar.on(StreamingEvents.AVATAR_TALKING_MESSAGE, heard.append)
    jugglers = [threading.Thread(target=juggle) for _ in range(2)]
    for juggler in jugglers:
        juggler.start()
    try:
        speech = avatar.say("one two three four five six")
    finally:
        over.set()
        for juggler in jugglers:
            juggler.join()
    assert eventually(lambda: "".join(event.message for event in heard).strip() == speech.text)
    assert avatar.last_handler_error is None


def test_of_events_through_a_real_data_channel_none_is_lost_uncounted(make_simulator):
    """Another participant of the room sends them as fast as WebRTC takes them."""
    simulator = make_simulator()
    with StreamingAvatar(api_key=simulator.api_key, base_path=simulator.base_path) as avatar:
        avatar.create_start_avatar(quality="low")
        count_all(avatar)


def count_all(avatar):
    count = 3_000
    seen, dropped = [], []
    avatar.on("counted", lambda event: seen.append(event.raw["n"]))
    avatar.on(StreamingEvents.EVENTS_DROPPED, lambda event: dropped.append(event.count))
    session = avatar._connection.session
    backend = Visitor()
    try:
        backend.enter(session.url, session.livekit_agent_token)
        backend.send_all([json.dumps({"type": "counted", "n": n}).encode() for n in range(count)])
        assert eventually(lambda: len(seen) + sum(dropped) >= count, 30), (len(seen), sum(dropped))
    finally:
        backend.leave()
    assert len(seen) + sum(dropped) == count
    assert seen == sorted(seen)


def test_100_000_events_at_full_speed_are_handled_or_counted_in_order_and_memory_stays_flat(avatar):
    count = 100_000
    listener = avatar._connection.wires.room._listener
    seen, dropped, gaps = 0, 0, []
    last = [-1]
    done = threading.Event()

    def on_counted(event):
        nonlocal seen
        seen += 1
        if event.raw["n"] <= last[0]:
            gaps.append(event.raw["n"])
        last[0] = event.raw["n"]

    def on_dropped(event: EventsDropped):
        nonlocal dropped
        dropped += event.count

    avatar.on("counted", on_counted)
    avatar.on(StreamingEvents.EVENTS_DROPPED, on_dropped)
    avatar.on("flood_over", lambda event: done.set())
    packets = [json.dumps({"type": "counted", "n": n, "filling": "x" * 100}).encode() for n in range(count)]
    gc.collect()
    before = psutil.Process().memory_info().rss

    def pour():
        for packet in packets:
            listener.on_data(packet, "", "heygen")

    pouring = threading.Thread(target=pour)
    pouring.start()
    pouring.join()
    grown = psutil.Process().memory_info().rss - before
    assert eventually(lambda: len(avatar._dispatcher._queue) == 0, 20)
    listener.on_data(b'{"type": "flood_over"}', "", "heygen")
    assert done.wait(20)
    assert seen + dropped == count
    assert gaps == []
    assert grown < 30 * 2**20
