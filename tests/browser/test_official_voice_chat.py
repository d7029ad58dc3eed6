"""The voice chat of HeyGen's own browser client, with a microphone that plays a sound file, against the simulator."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from attrs import frozen

from heygen_avatar.simulator import RecogniserSettings, Simulator
from heygen_avatar.simulator.stage import SAMPLE_RATE
from heygen_avatar.simulator.voice import Delivery, load_voice

from .chromium import Browser
from .visits import message, types, visiting

pytestmark = pytest.mark.browser

each_transport = pytest.mark.parametrize("transport", ["websocket", "livekit"])

# What the user is taken to have said ends in "speech", and the answer is what is known of that.
AVATAR = {"avatarName": "default", "quality": "low", "knowledgeBase": "Speech is silver."}
COUNTING = "One, two, three, four, five, six, seven."


@frozen(kw_only=True)
class User:
    """Whom the browser's microphone plays: a second of silence, then speech, whenever it is opened."""

    browser: Browser
    seconds: float


@pytest.fixture(scope="module")
def user(launch: Callable[..., Browser], tmp_path_factory: pytest.TempPathFactory) -> User:
    speech = load_voice().synthesize("Hello, how are you today?", Delivery()).samples
    path: Path = tmp_path_factory.mktemp("microphone") / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        # The client publishes its LiveKit track before it mutes it: nobody speaks as early as that.
        file.writeframes(np.concatenate([np.zeros(SAMPLE_RATE, np.int16), speech]).tobytes())
    return User(browser=launch(microphone=path), seconds=len(speech) / SAMPLE_RATE)


@pytest.fixture
def simulator(make_simulator: Callable[..., Simulator]) -> Simulator:
    """Understands nothing, but says for how long the user spoke."""
    return make_simulator(stt=RecogniserSettings(engine="none"))


@each_transport
def test_a_user_who_speaks_interrupts_the_avatar_and_is_answered(
    user: User, simulator: Simulator, transport: str
) -> None:
    with visiting(user.browser, simulator) as page:
        page.call("createStartAvatar", {**AVATAR, "voiceChatTransport": transport})
        task_id = page.call("speak", {"text": COUNTING, "taskType": "repeat", "taskMode": "async"})["task_id"]
        page.hear("avatar_start_talking", task_id=task_id)
        page.call("startVoiceChat")
        page.hear("avatar_stop_talking", task_id=task_id)
        answer_id = page.hear("user_end_message")["detail"]["task_id"]
        page.hear("avatar_stop_talking", task_id=answer_id)
        page.call("closeVoiceChat")
        page.call("stopAvatar")
        events = page.events()
    assert "avatar_end_message" not in types(events, task_id=task_id)
    # Only these two travel on the chat socket in its transport; between two channels there is no order.
    assert [event["type"] for event in events if event["type"] in ("user_start", "user_stop")] == [
        "user_start",
        "user_stop",
    ]
    assert types(events, task_id=answer_id) == [
        "user_talking_message",
        "user_end_message",
        "avatar_start_talking",
        "avatar_talking_message",
        "avatar_end_message",
        "avatar_stop_talking",
    ]
    said = message(events, "user_talking_message")
    assert said.endswith(" seconds of speech)")
    assert float(said[1:].split()[0]) == pytest.approx(user.seconds, abs=0.4)
    assert message(events, "avatar_talking_message").endswith("Speech is silver.")


@each_transport
def test_a_muted_user_is_not_heard(user: User, simulator: Simulator, transport: str) -> None:
    with visiting(user.browser, simulator) as page:
        page.call("createStartAvatar", {**AVATAR, "voiceChatTransport": transport})
        task_id = page.call("speak", {"text": COUNTING, "taskType": "repeat", "taskMode": "async"})["task_id"]
        page.hear("avatar_start_talking", task_id=task_id)
        page.call("startVoiceChat", {"isInputAudioMuted": True})
        page.hear("avatar_stop_talking", task_id=task_id)
        page.call("stopAvatar")
        events = page.events()
    assert "avatar_end_message" in types(events, task_id=task_id)
    assert not [event for event in events if event["type"].startswith("user_")]
