"""``chat --microphone`` on a terminal and a sound card made of software: who speaks is understood and answered."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from attrs import frozen

from heygen_avatar.simulator import Simulator
from tests.cli.shell import environment, exit_code, piped, terminal
from tests.ears import write_wave
from tests.programs import states
from tests.simulator.sounds import spoken
from tests.sound_card import SoundCard, plugged_in

if TYPE_CHECKING:
    import pexpect

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals, and no PulseAudio"),
    pytest.mark.timeout(120),
]

QUESTION = "Hello there, how are you today?"
A_WORD_OF_IT = r"(?i)\b(hello|there|how|are|you|today)\b"
REPETITIONS = 3
"""On a busy machine the recogniser understands only a part, or nothing in time."""


@frozen(kw_only=True)
class Conversation:
    """Two questions, the second one left by Ctrl-C: what was written, and what was left behind."""

    question: str
    answer: str
    exit_code: int | None
    states: list[str]


@pytest.fixture(scope="module")
def sound_card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoundCard]:
    with plugged_in(tmp_path_factory.mktemp("pulse")) as card:
        yield card


@pytest.fixture(scope="module")
def conversation(sound_card: SoundCard, tmp_path_factory: pytest.TempPathFactory) -> Conversation:
    voice = write_wave(tmp_path_factory.mktemp("voice") / "question.wav", spoken(QUESTION))
    with Simulator() as simulator:
        chat = terminal("chat", "--microphone", env=environment(simulator, **sound_card.settings))
        chat.expect_exact("Speak. Ctrl-C ends the conversation.")
        for _ in range(REPETITIONS):
            question, answer = exchange(chat, lambda: sound_card.say(voice))
            if re.search(A_WORD_OF_IT, question):
                break
        sound_card.say(voice)
        chat.expect("you> ")
        chat.sendintr()
        return Conversation(question=question, answer=answer, exit_code=exit_code(chat), states=states(simulator))


def exchange(chat: pexpect.spawn[str], speak: Callable[[], None]) -> tuple[str, str]:
    """What the terminal shows of a question that is spoken, and of the answer."""
    speak()
    said = []
    for speaker in ("you", "avatar"):
        chat.expect(f"{speaker}> ([^\r]+)\r\n")
        said.append(chat.match.group(1))
    return said[0], said[1]


def test_what_is_said_is_understood(conversation: Conversation) -> None:
    assert re.search(A_WORD_OF_IT, conversation.question), conversation.question


def test_it_is_answered(conversation: Conversation) -> None:
    assert len(conversation.answer.split()) > 3


def test_ctrl_c_while_it_answers_leaves_nothing_open_and_ends_with_130(conversation: Conversation) -> None:
    assert conversation.exit_code == 130
    assert conversation.states == ["closed"]


def test_without_a_microphone_nothing_is_paid_for_and_the_devices_are_named(
    sound_card: SoundCard, make_simulator: Callable[..., Simulator]
) -> None:
    simulator = make_simulator()
    unplugged = {**sound_card.settings, "PULSE_SERVER": "unix:/nowhere"}
    done = piped("chat", "--microphone", env=environment(simulator, **unplugged))
    assert done.returncode != 0
    assert "Microphone() cannot be opened" in done.stderr
    assert simulator.sessions() == []
