"""A program that dies without a word still ends its session: real processes, really killed."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack

import psutil
import pytest

from heygen_avatar import PermissionDeniedError, StreamingAvatar, guardian
from tests.programs import Program, eventually, states

START = "avatar.create_start_avatar(quality='low')\n"
SOON = 3.0


@pytest.fixture
def own(make_simulator):
    return make_simulator()


@pytest.fixture
def run(own):
    with ExitStack() as programs:
        yield lambda source: programs.enter_context(Program(own, source))


def guardians_of(process):
    return [
        child for child in psutil.Process(process.pid).children() if "guardian_process" in " ".join(child.cmdline())
    ]


@pytest.mark.parametrize(
    "death",
    [
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", id="SIGKILL"),
        pytest.param("os._exit(0)", id="os._exit"),
        pytest.param("import ctypes; ctypes.string_at(0)", id="a crash in native code"),
    ],
)
def test_a_sudden_death_ends_the_session_within_three_seconds(own, run, death):
    program = run(START + death)
    program.finish()
    assert eventually(lambda: states(own) == ["closed"], SOON), states(own)


def test_all_sessions_of_a_killed_program_are_ended(own, run):
    program = run(
        START + "other = StreamingAvatar(); other.create_start_avatar(quality='low')\nmark('go')\ntime.sleep(60)"
    )
    program.wait_for_mark("go")
    program.send(signal.SIGKILL)
    assert eventually(lambda: states(own) == ["closed", "closed"], SOON), states(own)


def test_a_session_that_was_stopped_is_not_stopped_again(own, run):
    program = run(START + "avatar.stop_avatar()\nos._exit(0)")
    program.finish()
    assert [entry["end_reason"] for entry in own.sessions()] == ["stopped"]


def test_a_forked_child_does_not_keep_the_guardian_waiting(own, run):
    program = run(
        START + "child = os.fork()\nif child == 0:\n    time.sleep(8)\n    os._exit(0)\nmark('go')\ntime.sleep(60)"
    )
    program.wait_for_mark("go")
    program.send(signal.SIGKILL)
    assert eventually(lambda: states(own) == ["closed"], SOON), states(own)


def test_the_guardian_is_small_knows_no_secret_by_argv_or_environment_and_ends_with_its_purpose(own, run):
    program = run(START + "mark('go'); sys.stdin.readline(); avatar.stop_avatar(); mark('stopped'); time.sleep(60)")
    program.wait_for_mark("go")
    [guardian] = guardians_of(program.process)
    shown = json.dumps([guardian.cmdline(), guardian.environ()])
    assert own.api_key not in shown
    assert guardian.memory_info().rss < 15 * 2**20
    program.process.stdin.write("\n")
    program.process.stdin.flush()
    program.wait_for_mark("stopped")
    assert eventually(lambda: not guardian.is_running(), SOON)
    assert guardians_of(program.process) == []


def test_ctrl_c_for_the_whole_process_group_does_not_reach_it(own, run):
    program = run(START + "signal.signal(signal.SIGINT, signal.SIG_IGN); mark('go'); time.sleep(60)")
    program.wait_for_mark("go")
    [guardian] = guardians_of(program.process)

    assert os.getpgid(guardian.pid) != os.getpgid(program.process.pid)


def test_it_can_be_turned_off(own, run):
    program = run("avatar = StreamingAvatar(guardian=False)\n" + START + "mark('go'); sys.stdin.readline()")
    program.wait_for_mark("go")
    assert guardians_of(program.process) == []


def test_without_an_interpreter_to_run_it_sessions_go_on(own, monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    with StreamingAvatar(api_key=own.api_key, base_path=own.base_path) as avatar:
        avatar.create_start_avatar(quality="low")
    assert states(own) == ["closed"]


def test_a_dead_guardian_does_not_disturb_the_session(own, run):
    program = run(
        START + "mark('go'); sys.stdin.readline(); mark(str(avatar.say('Hi.').outcome)); avatar.stop_avatar()"
    )
    program.wait_for_mark("go")
    [guardian] = guardians_of(program.process)
    guardian.kill()
    program.process.stdin.write("\n")
    program.process.stdin.flush()
    returncode, out, err = program.finish()
    assert (returncode, out.strip(), err) == (0, "spoken", "")
    assert states(own) == ["closed"]


def test_the_next_session_starts_a_dead_guardian_anew_and_it_knows_of_the_others(own, run):
    program = run(
        START
        + """
mark('go')
sys.stdin.readline()
second = StreamingAvatar()
second.create_start_avatar(quality='low')
os._exit(0)
"""
    )
    program.wait_for_mark("go")
    [guardian] = guardians_of(program.process)
    guardian.kill()
    program.process.stdin.write("\n")
    program.process.stdin.flush()
    program.finish()
    assert eventually(lambda: states(own) == ["closed", "closed"], SOON)


def test_a_guardian_that_takes_its_time_to_end_is_nobodys_warning(own, monkeypatch):
    monkeypatch.setattr(guardian, "END_TIMEOUT", 0.0)
    for _ in range(2):
        with StreamingAvatar(api_key=own.api_key, base_path=own.base_path) as avatar:
            avatar.create_start_avatar(quality="low")
    assert len(guardian._former) <= 2
    for former in guardian._former:
        assert former.wait(5) == 0
    assert states(own) == ["closed", "closed"]


def test_its_program_needs_the_standard_library_alone():
    from heygen_avatar.guardian import _PROGRAM

    done = subprocess.run([sys.executable, "-I", "-S", str(_PROGRAM)], input=b"", capture_output=True, timeout=10)
    assert (done.returncode, done.stderr) == (0, b"")


def test_it_ends_when_the_session_it_was_prepared_for_was_refused(own):
    own.inject({"kind": "status", "path": "/v1/streaming.new", "status": 403, "times": None})
    own.inject({"kind": "delay", "path": "/v1/streaming.create_token", "seconds": 0.3})
    avatar = StreamingAvatar(api_key=own.api_key, base_path=own.base_path)
    with pytest.raises(PermissionDeniedError):
        avatar.create_start_avatar()
    assert guardian._process is None
