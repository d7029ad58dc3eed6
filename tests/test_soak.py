"""The soak, with a short budget, and that it notices what it is there to notice."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import Any

import pytest

from benchmarks import soak
from benchmarks.lives import Life
from heygen_avatar import Speech, SpeechOutcome
from heygen_avatar.events import (
    AvatarStartTalking,
    AvatarStopTalking,
    AvatarTalkingMessage,
    DisconnectReason,
    Event,
    EventsDropped,
    StreamDisconnected,
    StreamReady,
)
from heygen_avatar.models import SpeakRequest

NOW = {"received_at": 0.0}
READY = StreamReady(session_id="s", **NOW)
GONE = StreamDisconnected(session_id="s", reason=DisconnectReason.CLIENT_INITIATED, **NOW)
START = AvatarStartTalking(task_id="t", **NOW)
WORDS = AvatarTalkingMessage(task_id="t", message="Yes.", **NOW)
STOP = AvatarStopTalking(task_id="t", **NOW)


def test_half_an_hour_of_four_users_sessions_leaves_nothing_behind_and_all_books_agree() -> None:
    """`python -m benchmarks.soak` runs it for as long as one likes."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", "--minutes", "0.5"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [sessions] = re.findall(r"(\d+) sessions", done.stdout)
    assert int(sessions) > 5
    assert "spoken" in done.stdout


def life(*events: Event, **facts: Any) -> Life:
    return Life("Somebody", session_id="s", events=list(events), **facts)


def test_a_life_in_order_is_in_order() -> None:
    assert list(soak.disorder(life(READY, START, WORDS, STOP, GONE))) == []


@pytest.mark.parametrize(
    ("events", "what"),
    [
        ((START, STOP, GONE), "0 beginnings"),
        ((READY, START, STOP), "0 ends"),
        ((READY, GONE, START), "avatar_start_talking came after the end"),
        ((READY, WORDS, START, STOP, GONE), "events of task t"),
        ((READY, START, STOP, WORDS, GONE), "events of task t"),
        ((READY, START, START, STOP, GONE), "events of task t"),
        ((READY, WORDS, STOP, GONE), "events of task t"),
        ((READY, EventsDropped(count=1, **NOW), GONE), "events were dropped"),
    ],
)
def test_events_out_of_order_are_noticed(events: tuple[Event, ...], what: str) -> None:
    [trouble] = soak.disorder(life(*events))
    assert what in trouble


def test_only_a_room_that_was_unheard_excuses_events_that_are_missing() -> None:
    assert list(soak.disorder(life(READY, WORDS, STOP, GONE, unheard=True))) == []


def speech() -> Speech:
    made = Speech(SpeakRequest(text="Hello."), lambda: None, "s")
    made.task_id = "t"
    return made


def test_a_speech_without_an_outcome_is_noticed() -> None:
    [trouble] = soak.unheard(life(speeches=[speech()]))
    assert "has no outcome" in trouble


def test_words_that_are_not_those_that_were_given_are_noticed() -> None:
    wrong = speech()
    wrong.outcome = SpeechOutcome.SPOKEN
    [trouble] = soak.disorder(life(READY, START, WORDS, STOP, GONE, speeches=[wrong]))
    assert "was told as 'Yes.'" in trouble


@pytest.mark.parametrize(
    ("record", "what"),
    [
        ({"end_reason": "idle_timeout", "billable_seconds": 11}, "ended by idle_timeout"),
        ({"end_reason": "stopped", "billable_seconds": 7}, "was billed 7 s and used from 10 to 12 s"),
        ({"end_reason": "stopped", "billable_seconds": 13}, "was billed 13 s"),
        (None, "unknown to the service"),
    ],
)
def test_books_that_differ_are_noticed(record: dict[str, Any] | None, what: str) -> None:
    now = time.monotonic()
    spent = life(asked_at=now, ready_at=now + 1, leaving_at=now + 11, over_at=now + 12, ends=frozenset({"stopped"}))
    [trouble] = soak.disagreement(spent, record, 60.0)
    assert what in trouble
