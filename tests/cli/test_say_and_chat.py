"""``say`` and ``chat``, against the simulator: in a pipe, on a terminal, and interrupted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from heygen_avatar.simulator import Limits, Simulator
from tests.cli.shell import environment, exit_code, piped, terminal
from tests.programs import eventually, states

unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")


def ended(simulator: Simulator) -> bool:
    return bool(eventually(lambda: set(states(simulator)) == {"closed"}))


def test_in_a_pipe_standard_output_is_what_was_said_and_nothing_else(simulator: Simulator) -> None:
    done = piped("say", "Hello there.", simulator=simulator)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello there.\n", "")


def test_a_dash_says_standard_input_with_a_pause_at_each_blank_line(simulator: Simulator) -> None:
    done = piped("say", "-", "--json", simulator=simulator, typed="One\nsentence.\n\n\nAnother one.\n")
    assert [turn["text"] for turn in json.loads(done.stdout)["transcript"]] == ["One sentence.", "Another one."]


def test_a_recording_holds_picture_and_sound(simulator: Simulator, tmp_path: Path) -> None:
    import av

    path = tmp_path / "hello.mp4"
    done = piped("say", "Hello there.", "-o", str(path), "--quality", "low", "--json", simulator=simulator)
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["output"]) == (0, str(path))
    with av.open(str(path)) as movie:
        assert (len(movie.streams.video), len(movie.streams.audio)) == (1, 1)
        assert movie.duration is not None
        assert movie.duration / 1e6 == pytest.approx(facts["seconds"], abs=0.3)


def test_no_session_is_left_when_it_has_spoken(make_simulator: type[Simulator]) -> None:
    simulator = make_simulator()
    piped("say", "Hi.", simulator=simulator)
    assert states(simulator) == ["closed"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["say", "  "], "nothing to say"),
        (["say", "Hi.", "--rate", "3"], "0.5<=x<=1.5"),
        (["say", "Hi.", "-o", "nowhere/a.mp4"], "there is no folder nowhere"),
        (["say", "Hi.", "-o", "a.txt"], ".mp4"),
        (["sing"], "No such command"),
    ],
)
def test_a_command_line_without_sense_costs_nothing_and_ends_with_2(
    make_simulator: type[Simulator], arguments: list[str], said: str
) -> None:
    simulator = make_simulator()
    done = piped(*arguments, simulator=simulator)
    assert (done.returncode, done.stdout, simulator.sessions()) == (2, "", [])
    assert said in done.stderr


def test_without_a_key_it_names_the_variable_and_ends_with_3() -> None:
    done = piped("say", "Hi.", env=environment())
    assert (done.returncode, done.stdout) == (3, "")
    assert "HEYGEN_API_KEY" in done.stderr


def test_a_key_that_is_not_accepted_is_never_shown_and_ends_with_3(simulator: Simulator) -> None:
    env = environment(simulator, HEYGEN_API_KEY="a-secret-of-mine")
    done = piped("--debug", "say", "Hi.", env=env)
    assert done.returncode == 3
    assert "a-secret-of-mine" not in done.stdout + done.stderr


def test_a_service_that_is_not_there_ends_with_4_and_names_the_doctor() -> None:
    done = piped("say", "Hi.", env=environment(HEYGEN_API_KEY="k", HEYGEN_BASE_PATH="http://127.0.0.1:9"))
    assert done.returncode == 4
    assert "heygen-avatar doctor" in done.stderr


def test_too_many_sessions_end_with_5_and_the_command_that_ends_them(make_simulator: type[Simulator]) -> None:
    simulator = make_simulator(limits=Limits(concurrent_sessions=0))
    done = piped("say", "Hi.", simulator=simulator)
    assert done.returncode == 5
    assert "sessions stop-all" in done.stderr


def test_a_session_that_the_service_ends_early_ends_with_6(make_simulator: type[Simulator]) -> None:
    simulator = make_simulator(limits=Limits(session_duration=2))
    done = piped("say", "word " * 60, simulator=simulator)
    assert done.returncode == 6, done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_extra_it_says_what_to_install() -> None:
    import subprocess

    program = (
        "import sys; sys.modules['click'] = None; from heygen_avatar.cli import main; sys.exit(main(['say', 'x']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert 'pip install "heygen-avatar[cli]"' in done.stderr


def test_in_a_pipe_each_line_is_a_question_and_each_line_an_answer(simulator: Simulator) -> None:
    done = piped("chat", "--no-sound", "--json", simulator=simulator, typed="Who are you?\n\nAnd who am I?\n")
    exchanges = [json.loads(line) for line in done.stdout.splitlines()]
    assert [exchange["question"] for exchange in exchanges] == ["Who are you?", "And who am I?"]
    assert all(exchange["answer"] for exchange in exchanges)
    assert done.stderr == ""


@unix
def test_on_a_terminal_one_types_reads_and_leaves_by_ctrl_d(make_simulator: type[Simulator]) -> None:
    simulator = make_simulator()
    chat = terminal("chat", "--no-sound", simulator=simulator)
    chat.expect("you> ")
    chat.sendline("Who are you?")
    chat.expect("avatar> .*simulated avatar.*\r\nyou> ")
    chat.sendeof()
    assert exit_code(chat) == 0
    assert states(simulator) == ["closed"]


@unix
def test_ctrl_c_while_it_answers_interrupts_the_answer_and_the_chat_goes_on(make_simulator: type[Simulator]) -> None:
    simulator = make_simulator()
    chat = terminal(
        "chat", "--no-sound", "--knowledge", "You tell. " + "A long story goes on. " * 40, simulator=simulator
    )
    chat.expect("you> ")
    chat.sendline("Say this: " + "word " * 60)
    chat.expect("avatar> ")
    chat.sendintr()
    chat.expect("you> ")
    chat.sendeof()
    assert exit_code(chat) == 0
    assert states(simulator) == ["closed"]


@unix
def test_ctrl_c_at_the_prompt_leaves_nothing_open_and_ends_with_130(make_simulator: type[Simulator]) -> None:
    simulator = make_simulator()
    chat = terminal("chat", "--no-sound", simulator=simulator)
    chat.expect("you> ")
    chat.sendintr()
    assert exit_code(chat) == 130
    assert ended(simulator)


@unix
def test_ctrl_c_while_it_speaks_leaves_nothing_open_and_ends_with_130(make_simulator: type[Simulator]) -> None:
    simulator = make_simulator()
    say = terminal("say", "word " * 100, simulator=simulator)
    say.expect("word word")
    say.sendintr()
    assert exit_code(say) == 130
    assert ended(simulator)


@unix
def test_on_a_terminal_it_tells_what_it_is_doing_and_wipes_that_away(simulator: Simulator) -> None:
    say = terminal("say", "Hi.", simulator=simulator)
    say.expect_exact("starting a session ...")
    say.expect_exact("\x1b[2K")
    say.expect_exact("Hi.")
    assert exit_code(say) == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_completion_script_for(shell: str) -> None:
    done = piped("completion", shell)
    assert done.returncode == 0
    assert f"_HEYGEN_AVATAR_COMPLETE={shell}_complete" in done.stdout


def test_the_shell_is_offered_the_words_that_fit() -> None:
    env = environment(_HEYGEN_AVATAR_COMPLETE="bash_complete", COMP_WORDS="heygen-avatar s", COMP_CWORD="1")
    done = piped(env=env)
    assert {"plain,say", "plain,simulator"} <= set(done.stdout.split())


@unix
def test_on_a_terminal_json_is_not_mixed_with_captions(simulator: Simulator) -> None:
    say = terminal("say", "Hi.", "--json", simulator=simulator)
    assert exit_code(say) == 0
    assert say.before is not None
    assert say.before.count("Hi.") == 1
