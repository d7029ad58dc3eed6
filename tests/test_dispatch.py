"""Events reach handlers in order, in their own thread; slow and failing handlers harm nobody else."""

import gc
import logging
import sys
import threading
import weakref

import pytest

from heygen_avatar import dispatch
from heygen_avatar.deadline import Deadline
from heygen_avatar.dispatch import Dispatcher, EventQueue, iterate
from heygen_avatar.errors import InvalidRequestError
from heygen_avatar.events import (
    AvatarStartTalking,
    AvatarTalkingMessage,
    EventsDropped,
    StreamDisconnected,
    UnknownEvent,
)


class Sender:
    """Stands where the avatar stands: blinker wants something that can be referenced weakly."""


@pytest.fixture
def sender():
    return Sender()


@pytest.fixture
def manual(sender):
    return Dispatcher(sender, threaded=False)


@pytest.fixture
def threaded(sender):
    dispatcher = Dispatcher(sender, threaded=True)
    dispatcher.start()
    yield dispatcher
    dispatcher.stop(Deadline.after(5))


def chunk(n):
    return AvatarTalkingMessage(task_id=str(n), message=f"{n}")


def test_handlers_get_the_event_in_the_order_it_was_heard(manual):
    seen = []
    manual.on("avatar_talking_message", lambda event: seen.append(event.message))
    for n in range(5):
        manual.publish(chunk(n))
    assert manual.run_handlers() == 5
    assert seen == ["0", "1", "2", "3", "4"]


def test_handlers_are_called_in_the_order_they_were_connected(manual):
    seen = []
    for n in range(20):
        manual.on("user_start", lambda event, n=n: seen.append(n))
    manual.publish(UnknownEvent(event_type="user_start"))
    manual.run_handlers()
    assert seen == list(range(20))


def test_the_same_handler_given_twice_is_called_once(manual):
    seen = []
    manual.on("avatar_start_talking", seen.append)
    manual.on("avatar_start_talking", seen.append)
    manual.publish(AvatarStartTalking())
    manual.run_handlers()
    assert len(seen) == 1


def test_a_lambda_survives_the_garbage_collector(manual):
    seen = []
    manual.on("avatar_start_talking", lambda event: seen.append(event))
    gc.collect()
    manual.publish(AvatarStartTalking())
    manual.run_handlers()
    assert len(seen) == 1


def test_off_takes_a_handler_off_and_says_whether_it_was_on(manual):
    seen = []
    manual.on("avatar_start_talking", seen.append)
    assert manual.off("avatar_start_talking", seen.append) is True
    assert manual.off("avatar_start_talking", seen.append) is False
    manual.publish(AvatarStartTalking())
    manual.run_handlers()
    assert seen == []


def test_a_once_handler_is_called_once(manual):
    seen = []
    manual.on("avatar_talking_message", seen.append, once=True)
    manual.publish(chunk(1))
    manual.publish(chunk(2))
    manual.run_handlers()
    assert [event.message for event in seen] == ["1"]


def test_a_handler_that_raises_is_logged_kept_and_does_not_stop_the_others(manual, caplog):
    seen = []

    def broken(event):
        raise RuntimeError("handler trouble")

    manual.on("avatar_start_talking", broken)
    manual.on("avatar_start_talking", seen.append)
    manual.publish(AvatarStartTalking())
    with caplog.at_level(logging.ERROR, logger="heygen_avatar.events"):
        manual.run_handlers()
    assert len(seen) == 1
    assert str(manual.last_handler_error) == "handler trouble"
    assert manual.handler_errors == 1
    assert "broken" in caplog.text


def test_a_coroutine_function_is_refused(manual):
    async def handler(event):
        pass

    with pytest.raises(InvalidRequestError, match="coroutine"):
        manual.on("avatar_start_talking", handler)


def test_handlers_may_come_and_go_while_they_run(manual):
    seen = []

    def first(event):
        seen.append("first")
        manual.off("avatar_start_talking", first)
        manual.on("avatar_start_talking", lambda event: seen.append("second"))

    manual.on("avatar_start_talking", first)
    manual.publish(AvatarStartTalking())
    manual.run_handlers()
    manual.publish(AvatarStartTalking())
    manual.run_handlers()
    assert seen == ["first", "second"]


def test_the_events_thread_has_a_name_and_is_not_the_callers(threaded):
    where, done = [], threading.Event()

    def handler(event):
        where.append(threading.current_thread().name)
        done.set()

    threaded.on("avatar_start_talking", handler)
    threaded.publish(AvatarStartTalking())
    assert done.wait(5)
    assert where[0].startswith("heygen-events-")


def test_stopping_handles_what_is_queued_and_ends_the_thread(sender):
    dispatcher = Dispatcher(sender, threaded=True)
    dispatcher.start()
    seen = []
    dispatcher.on("avatar_talking_message", lambda event: seen.append(event.message))
    for n in range(100):
        dispatcher.publish(chunk(n))
    dispatcher.stop(Deadline.after(5))
    assert len(seen) == 100
    assert not any(thread.name == dispatcher._thread.name for thread in threading.enumerate())


def test_stopping_inside_a_handler_does_not_wait_for_itself(threaded):
    done = threading.Event()

    def handler(event):
        threaded.stop(Deadline.after(30))
        done.set()

    threaded.on("avatar_start_talking", handler)
    threaded.publish(AvatarStartTalking())
    assert done.wait(5)


def test_a_new_session_starts_a_new_thread(sender):
    dispatcher = Dispatcher(sender, threaded=True)
    seen, done = [], threading.Event()
    dispatcher.on("avatar_start_talking", lambda event: (seen.append(event), done.set()))
    for _ in range(2):
        done.clear()
        dispatcher.start()
        dispatcher.publish(AvatarStartTalking())
        assert done.wait(5)
        dispatcher.stop(Deadline.after(5))
    assert len(seen) == 2


def test_a_handler_that_mentions_the_avatar_does_not_keep_it_alive():
    sender = Sender()
    sender.dispatcher = dispatcher = Dispatcher(sender, threaded=True)
    dispatcher.start()
    dispatcher.on("avatar_start_talking", lambda event, sender=sender: None)
    thread = dispatcher._thread
    gone = weakref.ref(sender)
    del sender, dispatcher
    gc.collect()
    assert gone() is None
    thread.join(5)
    assert not thread.is_alive()


def test_blinker_receivers_get_the_sender_and_the_event(manual, sender):
    seen = []

    def receiver(sender, event):
        seen.append((sender, event))

    manual.signals.avatar_start_talking.connect(receiver)
    event = AvatarStartTalking(task_id="1")
    manual.publish(event)
    manual.run_handlers()
    assert seen == [(sender, event)]


def test_waiters_get_an_event_before_any_handler_ran(manual):
    queue = manual.listen("avatar_start_talking")
    manual.publish(AvatarStartTalking(task_id="1"))
    assert queue.get(Deadline.after(0)).task_id == "1"
    manual.unlisten(queue)


def test_an_overflow_leaves_a_counted_gap_where_the_events_are_missing():
    queue = EventQueue()
    for n in range(dispatch.LIMIT + 7):
        queue.put(chunk(n))
    queue.put(StreamDisconnected())
    queue.close()
    events = list(iterate(queue, 0))
    assert [type(event) for event in events[-2:]] == [EventsDropped, StreamDisconnected]
    assert events[-2].count == 7
    assert [event.message for event in events[:-2]] == [str(n) for n in range(dispatch.LIMIT)]


def test_state_events_are_kept_when_chunks_overflow():
    queue = EventQueue()
    for n in range(3 * dispatch.LIMIT):
        queue.put(chunk(n))
        if n % 10 == 0:
            queue.put(AvatarStartTalking(task_id=str(n)))
    queue.close()
    events = list(iterate(queue, 0))
    starts = [event.task_id for event in events if isinstance(event, AvatarStartTalking)]
    kept = sum(isinstance(event, AvatarTalkingMessage) for event in events)
    dropped = sum(event.count for event in events if isinstance(event, EventsDropped))
    assert starts == [str(n) for n in range(0, 3 * dispatch.LIMIT, 10)]
    assert kept + dropped == 3 * dispatch.LIMIT


def test_none_of_100_000_events_is_lost_uncounted_and_order_is_kept(threaded):
    seen, dropped, done = [], [], threading.Event()
    threaded.on("avatar_talking_message", lambda event: seen.append(int(event.task_id)))
    threaded.on("events_dropped", lambda event: dropped.append(event.count))
    threaded.on("stream_disconnected", lambda event: done.set())
    for n in range(100_000):
        threaded.publish(chunk(n))
    threaded.publish(StreamDisconnected())
    assert done.wait(60)
    assert len(seen) + sum(dropped) == 100_000
    assert seen == sorted(seen)


def test_all_who_wait_for_one_queue_are_woken_by_its_end_and_share_its_events():
    queue, taken = EventQueue(), []

    def take():
        while (event := queue.get(Deadline.never())) is not None:
            taken.append(int(event.message))

    takers = [threading.Thread(target=take) for _ in range(4)]
    for taker in takers:
        taker.start()
    for n in range(900):
        queue.put(chunk(n))
    queue.close()
    for taker in takers:
        taker.join(5)
    assert not any(taker.is_alive() for taker in takers)
    assert sorted(taken) == list(range(900))


def test_an_iteration_ends_when_the_queue_is_closed(manual):
    queue = manual.listen()
    manual.publish(chunk(1))
    manual.end_listeners()
    assert [event.message for event in iterate(queue, None)] == ["1"]


def test_a_redefined_handler_replaces_its_earlier_self_at_the_prompt(manual, monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    seen = []
    for version in (1, 2):
        namespace = {"__name__": "__main__", "seen": seen, "version": version}
        exec("def on_start(event, version=version):\n    seen.append(version)", namespace)
        manual.on("avatar_start_talking", namespace["on_start"])
    manual.publish(AvatarStartTalking())
    manual.run_handlers()
    assert seen == [2]


def test_in_a_script_two_functions_of_one_name_are_two_handlers(manual):
    seen = []
    for version in (1, 2):
        namespace = {"__name__": "__main__", "seen": seen, "version": version}
        exec("def on_start(event, version=version):\n    seen.append(version)", namespace)
        manual.on("avatar_start_talking", namespace["on_start"])
    manual.publish(AvatarStartTalking())
    manual.run_handlers()
    assert seen == [1, 2]


def test_threads_may_connect_and_disconnect_while_events_are_sent(threaded):
    stop, trouble = threading.Event(), []

    def churn():
        while not stop.is_set():
            handler = [].append
            try:
                threaded.on("avatar_talking_message", handler)
                threaded.off("avatar_talking_message", handler)
            except Exception as error:
                trouble.append(error)
                return

    churners = [threading.Thread(target=churn) for _ in range(4)]
    for churner in churners:
        churner.start()
    done = threading.Event()
    threaded.on("stream_disconnected", lambda event: done.set())
    for n in range(5_000):
        threaded.publish(chunk(n))
    threaded.publish(StreamDisconnected())
    finished = done.wait(30)
    stop.set()
    for churner in churners:
        churner.join(5)
    assert finished and trouble == [] and threaded.handler_errors == 0


# -- slow handlers


def test_a_slow_handler_is_warned_of_once_and_named(manual, caplog, monkeypatch):
    monkeypatch.setattr(dispatch, "SLOW", 0.02)

    def dawdle(event):
        pause = threading.Event()
        pause.wait(0.05)

    manual.on("avatar_start_talking", dawdle)
    for number in range(3):
        manual.publish(AvatarStartTalking(task_id=str(number)))
    manual.run_handlers()
    [record] = [record for record in caplog.records if "takes more than" in record.getMessage()]
    assert "dawdle of avatar_start_talking" in record.getMessage()


def test_a_handler_that_never_returns_is_warned_of_when_the_next_event_is_heard(threaded, caplog, monkeypatch):
    monkeypatch.setattr(dispatch, "SLOW", 0.02)
    began, release = threading.Event(), threading.Event()

    def block(event):
        began.set()
        release.wait(10)

    threaded.on("avatar_start_talking", block)
    threaded.publish(AvatarStartTalking(task_id="1"))
    assert began.wait(5)
    release.wait(0.05)
    assert not caplog.records
    threaded.publish(AvatarStartTalking(task_id="2"))
    assert ["block" in record.getMessage() for record in caplog.records] == [True]
    release.set()


def test_a_quick_handler_is_not_warned_of(manual, caplog):
    manual.on("avatar_start_talking", lambda event: None)
    manual.publish(AvatarStartTalking(task_id="1"))
    manual.run_handlers()
    assert not caplog.records
