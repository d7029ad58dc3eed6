"""LiveAvatar's own web client, unmodified, against the simulator: FULL, push-to-talk, LITE, an ElevenLabs agent."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from heygen_avatar.simulator import Simulator
from tests.simulator.live_visitors import LiveCaller

from .chromium import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Browser]) -> Browser:
    return launch()


@pytest.fixture
def live(simulator: Simulator) -> LiveCaller:
    return LiveCaller(simulator)


@contextmanager
def visiting(browser: Browser, live: LiveCaller, order: dict[str, Any], **config: Any) -> Iterator[Page]:
    """A page whose client has started the session that was ordered; it is stopped in the end."""
    page = browser.open(permissions=["microphone"])
    try:
        token = live.order(**order)["session_token"]
        page.arrive_at_liveavatar(token=token, base_path=live.simulator.base_path, **config)
        page.call("start")
        page.hear("session.stream_ready")
        yield page
        page.call("stop")
        page.hear("session.disconnected")
    finally:
        print(page.report())
        page.close()


def told(page: Page, kind: str) -> list[str]:
    return [event["type"] for event in page.events() if event["type"].startswith(kind)]


def test_a_text_is_spoken_told_of_and_seen(browser: Browser, live: LiveCaller) -> None:
    with visiting(browser, live, {}) as page:
        event_id = page.call("repeat", "Hello from the browser.")
        page.hear("avatar.speak_started", source_event_id=event_id)
        page.wait_until_loud(0.01)
        page.hear("avatar.speak_ended", source_event_id=event_id)
        assert page.hear("avatar.transcription")["detail"]["text"] == "Hello from the browser."
        picture = page.picture()
        assert (picture["width"], picture["height"]) == (640, 360)
        assert picture["colours"] > 100


def test_a_message_is_answered_and_an_interruption_obeyed(browser: Browser, live: LiveCaller) -> None:
    with visiting(browser, live, {"avatar_persona": {"context_id": live.context()}}) as page:
        event_id = page.call("message", "What is your name?")
        page.hear("avatar.speak_ended", source_event_id=event_id)
        assert page.hear("avatar.transcription")["detail"]["text"] == "My name is Zora."
        event_id = page.call("repeat", "On and on. " * 30)
        page.hear("avatar.speak_started", source_event_id=event_id)
        page.call("interrupt")
        page.hear("avatar.speak_ended", source_event_id=event_id)


def test_push_to_talk_starts_and_stops(browser: Browser, live: LiveCaller) -> None:
    order = {"interactivity_type": "PUSH_TO_TALK"}
    with visiting(browser, live, order, voiceChat={"mode": "PUSH_TO_TALK"}) as page:
        page.call("voiceChat.startPushToTalk")
        page.hear("user.speak_started")
        assert told(page, "user.speak") == ["user.speak_started"]
        page.call("voiceChat.stopPushToTalk")
        page.hear("user.speak_ended")
        assert told(page, "user.speak") == ["user.speak_started", "user.speak_ended"]


def test_the_clients_own_sound_is_played_in_lite_mode(browser: Browser, live: LiveCaller) -> None:
    tone = (np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000) * 8000).astype("<i2")
    with visiting(browser, live, {"mode": "LITE"}) as page:
        page.call("repeatAudio", base64.b64encode(tone.tobytes()).decode())
        page.hear("avatar.speak_started")
        page.wait_until_loud(0.05)
        page.hear("avatar.speak_ended")
        assert told(page, "avatar.speak") == ["avatar.speak_started", "avatar.speak_ended"]


def test_an_elevenlabs_agent_is_talked_to(browser: Browser, live: LiveCaller) -> None:
    secret = live.create("/v1/secrets", secret_name="k", secret_value="v", secret_type="ELEVENLABS_API_KEY")
    order = {"mode": "LITE", "elevenlabs_agent_config": {"secret_id": secret["id"], "agent_id": "a"}}
    with visiting(browser, live, order, kind="elevenlabs") as page:
        page.call("sendUserMessage", "Hello")
        heard = page.hear("elevenlabs_agent_event", elevenlabs_event_type="user_transcript")["detail"]["data"]
        page.hear("avatar.speak_ended")
        answer = page.hear("elevenlabs_agent_event", elevenlabs_event_type="agent_response")["detail"]["data"]
        assert heard["user_transcription_event"] == {"user_transcript": "Hello"}
        assert answer["agent_response_event"]["agent_response"].startswith("Hello!")


def test_a_session_that_the_service_ends_is_noticed(browser: Browser, live: LiveCaller) -> None:
    with visiting(browser, live, {}) as page:
        (entry, *_) = live.data("GET", "/v1/sessions", params={"type": "active"})["results"]
        live.stop(entry["id"], reason="IDLE_TIMEOUT")
        assert page.hear("session.disconnected")["detail"] == "SERVER_INITIATED"
        assert page.hear("session.stopped")["detail"]["stop_reason"] == "IDLE_TIMEOUT"
