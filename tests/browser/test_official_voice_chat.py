"""The voice chat of HeyGen's own browser client, with a microphone that plays a sound file, against the simulator."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from attrs import frozen

from heygen_avatar.simulator import Hearing, RecogniserSettings, Simulator
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
    """Whom the browser's microphone plays: some silence, then speech, whenever it is opened."""

    browser: Browser
    seconds: float


@pytest.fixture(scope="module")
def user(launch: Callable[..., Browser], tmp_path_factory: pytest.TempPathFactory) -> User:
    # The client publishes its LiveKit track before it mutes it: nobody speaks as early as that.
    return microphone(launch, tmp_path_factory, silence=1, says="Hello, how are you today?")


@pytest.fixture(scope="module")
def patient_user(launch: Callable[..., Browser], tmp_path_factory: pytest.TempPathFactory) -> User:
    """Speaks after the four seconds that the client waits for once its track is published, and then at length."""
    return microphone(launch, tmp_path_factory, silence=7, says=COUNTING)


def microphone(launch: Callable[..., Browser], folders: pytest.TempPathFactory, *, silence: int, says: str) -> User:
    speech = load_voice().synthesize(says, Delivery()).samples
    path: Path = folders.mktemp("microphone") / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(np.concatenate([np.zeros(silence * SAMPLE_RATE, np.int16), speech]).tobytes())
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


def test_a_user_is_heard_while_the_button_is_held_and_answered_when_it_is_let_go(
    patient_user: User, simulator: Simulator
) -> None:
    with visiting(patient_user.browser, simulator) as page:
        page.call("createStartAvatar", {**AVATAR, "voiceChatTransport": "livekit", "enablePushToTalk": True})
        page.call("startVoiceChat")
        page.call("pushToTalkStart")
        page.hear("user_start")
        page.call("pushToTalkStop")
        answer_id = page.hear("user_end_message")["detail"]["task_id"]
        page.hear("avatar_stop_talking", task_id=answer_id)
        page.call("stopAvatar")
        events = page.events()
    assert message(events, "avatar_talking_message").endswith("Speech is silver.")
    # What the user goes on to say once the button is let go is heard by nobody.
    assert [event["type"] for event in events].count("user_start") == 1
    said = message(events, "user_talking_message")
    assert 0 < float(said[1:].split()[0]) < patient_user.seconds


def test_a_user_is_not_heard_unless_the_button_is_held(patient_user: User, simulator: Simulator) -> None:
    with visiting(patient_user.browser, simulator) as page:
        page.call("createStartAvatar", {**AVATAR, "voiceChatTransport": "livekit", "enablePushToTalk": True})
        page.call("startVoiceChat")
        # Twice, so that the avatar speaks for longer than the user's silence lasts; whoever is heard would interrupt.
        for _ in range(2):
            task_id = page.call("speak", {"text": COUNTING, "taskType": "repeat", "taskMode": "async"})["task_id"]
            page.hear("avatar_stop_talking", task_id=task_id)
        page.call("stopAvatar")
        events = page.events()
    assert not [event for event in events if event["type"].startswith("user_")]
    assert [event["type"] for event in events].count("avatar_end_message") == 2


def test_a_user_who_says_nothing_is_told_so_and_prompted(user: User, make_simulator: Callable[..., Simulator]) -> None:
    simulator = make_simulator(hearing=Hearing(silence=0.5, silence_count_down=1.0, silence_prompts=1))
    with visiting(user.browser, simulator) as page:
        page.call("createStartAvatar", {**AVATAR, "useSilencePrompt": True})
        page.call("startVoiceChat", {"isInputAudioMuted": True})
        told = page.hear("user_silence")["detail"]
        prompt_id = page.hear("avatar_start_talking")["detail"]["task_id"]
        page.hear("avatar_stop_talking", task_id=prompt_id)
        page.call("stopAvatar")
        events = page.events()
    assert (told["silence_times"], told["count_down"]) == (1, 1)
    assert message(events, "avatar_talking_message")
