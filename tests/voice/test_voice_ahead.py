"""A recorded voice is sent before it is due: what that is good for, and that nobody hears what was taken back."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest

from heygen_avatar import Samples, StreamingAvatar
from heygen_avatar.simulator import Simulator
from tests.ears import Ears, tone, whole


@pytest.fixture
def avatar(service: Simulator) -> Iterator[StreamingAvatar]:
    """A started avatar that hears the user by the room: only there is a voice sent ahead."""
    avatar = StreamingAvatar(api_key=service.api_key, base_path=service.base_path)
    avatar.create_start_avatar(quality="low", voice_chat_transport="livekit")
    yield avatar
    avatar.stop_avatar()


def test_a_program_that_lets_no_other_thread_run_for_a_while_tears_no_sound(
    avatar: StreamingAvatar, ears: Ears
) -> None:
    utterance = avatar.start_voice_chat(source=Samples(tone(2.0), 16_000)).utterance
    ears.wait_until(lambda: ears.loud_seconds > 0.3)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(10.0)
    try:
        end = time.monotonic() + 0.35
        while time.monotonic() < end:
            pass
    finally:
        sys.setswitchinterval(usual)
    utterance.wait()
    ears.wait_for_the_end()
    assert ears.sounds == [whole(2.0)]


def test_what_was_sent_ahead_of_an_utterance_that_is_stopped_is_not_heard(avatar: StreamingAvatar, ears: Ears) -> None:
    utterance = avatar.start_voice_chat(source=Samples(tone(5.0), 16_000)).utterance
    ears.wait_until(lambda: ears.loud_seconds > 0.3)
    utterance.stop()
    utterance.wait()
    ears.wait_for_more(1.0)
    assert ears.loud_seconds < utterance.seconds - 0.2


def test_what_was_sent_ahead_is_not_heard_once_the_user_is_muted(avatar: StreamingAvatar, ears: Ears) -> None:
    voice = avatar.start_voice_chat(source=Samples(tone(1.5), 16_000))
    utterance = voice.utterance
    ears.wait_until(lambda: ears.loud_seconds > 0.2)
    sent = utterance.seconds
    voice.mute()
    utterance.wait()
    ears.wait_for_more(0.5)
    assert ears.loud_seconds < sent - 0.2
