"""Which of the service's tasks belongs to which speech, and how each of them ends."""

import threading

import pytest

from heygen_avatar import speech as speech_module
from heygen_avatar.errors import SessionClosedError, WaitTimeoutError
from heygen_avatar.events import (
    AvatarEndMessage,
    AvatarStartTalking,
    AvatarStopTalking,
    AvatarTalkingMessage,
    UserStart,
)
from heygen_avatar.models import SpeakRequest
from heygen_avatar.speech import Speech, SpeechBook, SpeechOutcome


@pytest.fixture
def book():
    return SpeechBook("session-1")


def sent(book, text="hello", *, reply_follows=False):
    speech = Speech(SpeakRequest(text=text), interrupt=lambda: None, session_id="session-1")
    book.sent(speech, reply_follows=reply_follows)
    return speech


def spoken(book, task_id, duration_ms=100.0):
    book.hear(AvatarStartTalking(task_id=task_id))
    book.hear(AvatarTalkingMessage(task_id=task_id, message="x"))
    book.hear(AvatarEndMessage(task_id=task_id))
    book.hear(AvatarStopTalking(task_id=task_id, duration_ms=duration_ms))


def test_a_named_task_is_over_when_its_stop_is_heard(book):
    speech = sent(book, reply_follows=True)
    book.named(speech, "t1", None)
    assert not speech.done and speech.task_id == "t1"
    spoken(book, "t1", 1234.0)
    assert speech.wait(0).outcome is SpeechOutcome.SPOKEN
    assert speech.duration_ms == 1234.0


def test_events_that_overtake_the_reply_are_not_lost(book):
    speech = sent(book, reply_follows=True)
    spoken(book, "t1")
    assert not speech.done
    book.named(speech, "t1", None)
    assert speech.wait(0).outcome is SpeechOutcome.SPOKEN


def test_a_reply_that_never_comes_does_not_hold_up_a_speech_that_was_heard_to_end(book, monkeypatch):
    speech = sent(book, reply_follows=True)
    spoken(book, "t1")
    monkeypatch.setattr(speech_module, "REPLY_GRACE", 0.0)
    book.give_up_replies()
    assert speech.done and speech.task_id == "t1"


def test_chat_messages_are_matched_to_tasks_in_the_order_they_were_sent(book):
    first, second = sent(book, "one"), sent(book, "two")
    spoken(book, "a")
    assert first.done and first.task_id == "a" and not second.done
    spoken(book, "b")
    assert second.done and second.task_id == "b"


def test_a_task_that_began_before_the_message_is_not_its_task(book):
    book.hear(AvatarStartTalking(task_id="earlier"))
    speech = sent(book)
    book.hear(AvatarStopTalking(task_id="earlier"))
    assert not speech.done
    spoken(book, "mine")
    assert speech.task_id == "mine"


def test_a_reply_corrects_a_wrong_guess_and_the_other_speech_gets_its_own(book):
    asked, chatted = sent(book, "by rest", reply_follows=True), sent(book, "by chat")
    book.hear(AvatarStartTalking(task_id="of-chat"))
    assert asked.task_id == "of-chat"
    book.named(asked, "of-rest", None)
    assert asked.task_id == "of-rest" and chatted.task_id == "of-chat"
    spoken(book, "of-chat")
    assert chatted.done and not asked.done
    spoken(book, "of-rest")
    assert asked.done


def test_a_service_that_names_no_task_is_matched_by_order(book):
    first, second = sent(book, "one"), sent(book, "two")
    spoken(book, "")
    assert first.done and not second.done
    spoken(book, "")
    assert second.done and second.task_id is None


def test_a_running_speech_that_is_interrupted_ends_with_its_stop_event(book):
    speech = sent(book)
    book.hear(AvatarStartTalking(task_id="1"))
    affected = book.interrupting()
    book.interrupted(affected)
    assert not speech.done
    book.hear(AvatarStopTalking(task_id="1"))
    assert speech.wait(0).outcome is SpeechOutcome.INTERRUPTED


def test_a_queued_speech_ends_when_the_interrupt_was_taken(book):
    running, queued = sent(book), sent(book)
    book.hear(AvatarStartTalking(task_id="1"))
    book.interrupted(book.interrupting())
    assert queued.outcome is SpeechOutcome.INTERRUPTED
    assert running.outcome is None


def test_a_refused_interrupt_leaves_speeches_as_they_were(book):
    speech = sent(book)
    book.not_interrupted(book.interrupting())
    spoken(book, "1")
    assert speech.outcome is SpeechOutcome.SPOKEN


def test_a_speech_sent_after_the_interrupt_is_not_interrupted(book):
    sent(book)
    affected = book.interrupting()
    later = sent(book)
    book.interrupted(affected)
    spoken(book, "2")
    assert later.outcome is SpeechOutcome.SPOKEN


def test_the_user_cutting_in_is_an_interruption(book):
    speech = sent(book)
    book.hear(AvatarStartTalking(task_id="1"))
    book.hear(UserStart())
    book.hear(AvatarStopTalking(task_id="1"))
    assert speech.outcome is SpeechOutcome.INTERRUPTED


def test_the_user_speaking_after_the_text_was_complete_is_not(book):
    speech = sent(book)
    book.hear(AvatarStartTalking(task_id="1"))
    book.hear(AvatarEndMessage(task_id="1"))
    book.hear(UserStart())
    book.hear(AvatarStopTalking(task_id="1"))
    assert speech.outcome is SpeechOutcome.SPOKEN


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        (["One, two, "], SpeechOutcome.INTERRUPTED),
        (["One, two, ", "three."], SpeechOutcome.SPOKEN),  # though the end of the text is told late, or never
        (["Eins, zwei, "], SpeechOutcome.SPOKEN),  # a service that tells other words tells nothing by them
        ([], SpeechOutcome.SPOKEN),
    ],
)
def test_a_text_that_stops_in_the_middle_was_cut_off_whoever_did_it(book, words, outcome):
    """As by the session's end, of which the service tells after the speech's."""
    speech = Speech(SpeakRequest(text="One, two, three.", task_type="repeat"), lambda: None, "session-1")
    book.sent(speech, reply_follows=False)
    book.hear(AvatarStartTalking(task_id="1"))
    for message in words:
        book.hear(AvatarTalkingMessage(task_id="1", message=message))
    book.hear(AvatarStopTalking(task_id="1"))
    assert speech.outcome is outcome


def test_the_words_of_an_answer_are_not_those_of_its_question(book):
    speech = sent(book, "No, or yes?")
    book.hear(AvatarStartTalking(task_id="1"))
    book.hear(AvatarTalkingMessage(task_id="1", message="No,"))
    book.hear(AvatarStopTalking(task_id="1"))
    assert speech.outcome is SpeechOutcome.SPOKEN


def test_the_end_of_the_session_ends_all_speeches_and_says_why(book):
    speech = sent(book)
    book.end("idle for 120 s")
    with pytest.raises(SessionClosedError, match=r"session-1 ended \(idle for 120 s\)") as caught:
        speech.wait(0)
    assert caught.value.session_id == "session-1"
    assert speech.outcome is SpeechOutcome.SESSION_ENDED


def test_a_speech_sent_after_the_end_is_over_at_once(book):
    book.end("stopped here")
    assert sent(book).outcome is SpeechOutcome.SESSION_ENDED


def test_the_deadline_leaves_the_speech_pending(book):
    speech = sent(book, "a long story")
    with pytest.raises(WaitTimeoutError, match="a long story"):
        speech.wait(0.01)
    assert speech.outcome is None
    spoken(book, "1")
    assert speech.wait(0).outcome is SpeechOutcome.SPOKEN


def test_a_wait_in_another_thread_is_woken(book):
    speech = sent(book)
    outcomes = []
    waiter = threading.Thread(target=lambda: outcomes.append(speech.wait(10).outcome))
    waiter.start()
    spoken(book, "1")
    waiter.join(5)
    assert outcomes == [SpeechOutcome.SPOKEN]


def test_unclaimed_tasks_are_forgotten_after_a_while(book):
    for number in range(10 * speech_module.REMEMBERED):
        spoken(book, f"voice answer {number}")
    assert len(book._tasks) <= speech_module.REMEMBERED


def test_interrupting_a_speech_that_is_over_asks_nothing_of_the_service(book):
    calls = []
    speech = Speech(SpeakRequest(text="x"), interrupt=lambda: calls.append(1), session_id="s")
    book.sent(speech, reply_follows=False)
    spoken(book, "1")
    speech.interrupt()
    assert calls == []
