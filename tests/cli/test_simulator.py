"""The command ``heygen-avatar``, as a real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from tests.livekit_server import LiveKitServer

WINDOWS = sys.platform == "win32"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "heygen_avatar", *arguments]


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command("simulator", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_its_first_line_in_json_says_how_to_call_it() -> None:
    with running("--json", "--api-key", "mine") as process:
        facts = json.loads(first_line(process))
        assert list(facts) == ["base_path", "api_key"]
        assert facts["api_key"] == "mine"
        answer = requests.post(
            facts["base_path"] + "/v1/streaming.create_token", headers={"x-api-key": "mine"}, timeout=10
        )
        assert answer.status_code == 200


def test_it_tells_people_the_lines_that_use_it() -> None:
    with running("--api-key", "mine") as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(6)]
    assert "    from heygen_avatar import StreamingAvatar\n" in told
    assert any('StreamingAvatar(api_key="mine", base_path="http://127.0.0.1:' in line for line in told)


@pytest.mark.skipif(WINDOWS, reason="Windows has no signals to send to another process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_peace(number: signal.Signals) -> None:
    with running("--json") as process:
        facts = json.loads(first_line(process))
        headers = {"x-api-key": facts["api_key"]}
        requests.post(facts["base_path"] + "/v1/streaming.new", headers=headers, json={"version": "v2"}, timeout=10)
        process.send_signal(number)
        output, errors = process.communicate(timeout=15)
    assert (process.returncode, output, errors) == (0, "", "")


def test_limits_can_be_set() -> None:
    with running("--json", "--limit", "concurrent_sessions=0", "--limit", "credits=1.5") as process:
        facts = json.loads(first_line(process))
        headers = {"x-api-key": facts["api_key"]}
        refused = requests.post(
            facts["base_path"] + "/v1/streaming.new", headers=headers, json={"version": "v2"}, timeout=10
        )
        quota = requests.get(facts["base_path"] + "/v2/user/remaining_quota", headers=headers, timeout=10)
    assert refused.json()["code"] == 10007
    assert quota.json()["data"]["remaining_quota"] == 90


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--limit", "patience=1"], "idle_timeout"),
        (["--limit", "idle_timeout=soon"], "NAME=NUMBER"),
        (["--limit", "idle_timeout=-1"], "idle_timeout"),
        (["--port", "70000"], "70000"),
    ],
)
def test_a_wrong_option_is_explained_without_a_traceback(arguments: list[str], said: str) -> None:
    ended = subprocess.run(command("simulator", *arguments), capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert ended.stderr.startswith("heygen-avatar: ")
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_without_the_extra_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['aiohttp'] = None; from heygen_avatar.cli import main; sys.exit(main(['simulator']))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert 'pip install "heygen-avatar[simulator]"' in ended.stderr
    assert "Traceback" not in ended.stderr


def test_its_help_needs_no_extra() -> None:
    program = (
        "import sys; sys.modules['aiohttp'] = None; from heygen_avatar.cli import main; main(['simulator', '--help'])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0
    assert "--json" in ended.stdout


def run_against_simulator(source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("simulator", "--", sys.executable, "-c", source), capture_output=True, text=True, timeout=30
    )


def test_a_program_runs_against_it_with_key_and_base_path_in_its_environment() -> None:
    done = run_against_simulator(
        "from heygen_avatar import StreamingAvatar\n"
        "with StreamingAvatar() as avatar:\n"
        "    avatar.create_start_avatar(quality='low')\n"
        "    print(avatar.state)"
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "connected", "")


def test_the_programs_exit_code_is_passed_on() -> None:
    assert run_against_simulator("raise SystemExit(7)").returncode == 7


def test_a_program_that_is_not_there_is_named() -> None:
    done = subprocess.run(command("simulator", "--", "no-such-program"), capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "no-such-program" in done.stderr and "Traceback" not in done.stderr


def test_it_performs_in_the_rooms_of_a_livekit_server(livekit_server: LiveKitServer) -> None:
    settings = livekit_server.settings
    environment = {
        **os.environ,
        "LIVEKIT_API_KEY": settings["livekit_api_key"],
        "LIVEKIT_API_SECRET": settings["livekit_api_secret"],
    }
    say = "\n".join(
        [
            "from heygen_avatar import StreamingAvatar",
            "with StreamingAvatar() as avatar:",
            "    print(avatar.create_start_avatar().url, avatar.say('Hi.').outcome)",
        ]
    )
    done = subprocess.run(
        command("simulator", "--livekit-url", settings["livekit_url"], "--", sys.executable, "-c", say),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == f"{settings['livekit_url']} spoken\n", done.stderr


def test_a_livekit_server_without_its_key_is_refused() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIVEKIT_")}
    done = subprocess.run(
        command("simulator", "--livekit-url", "ws://127.0.0.1:7880"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "livekit_api_secret, all three" in done.stderr
