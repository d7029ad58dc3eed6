"""Every example, as a user starts it: a program of its own, against the simulator."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from heygen_avatar.simulator import Simulator
from tests.simulator.sounds import RATE, spoken

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(simulator: Simulator, name: str, *arguments: str, folder: Path) -> str:
    """What the example prints; it must end well, say nothing on standard error, and leave no session."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={**os.environ, "HEYGEN_API_KEY": simulator.api_key, "HEYGEN_BASE_PATH": simulator.base_path},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert {entry["state"] for entry in simulator.sessions()} == {"closed"}
    return done.stdout


def test_every_example_is_run_by_a_test() -> None:
    here = Path(__file__).read_text("utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in here] == []


def test_hello(make_simulator: type[Simulator], tmp_path: Path) -> None:
    assert run(make_simulator(), "hello.py", folder=tmp_path) == "avatar: Hello, world!\n"


def test_demo(make_simulator: type[Simulator], tmp_path: Path) -> None:
    told = run(make_simulator(), "demo.py", "demo.mp4", folder=tmp_path)
    assert "avatar: Hello! I am an avatar" in told
    assert (tmp_path / "demo.mp4").stat().st_size > 10_000


def test_questions(make_simulator: type[Simulator], tmp_path: Path) -> None:
    told = run(make_simulator(), "questions.py", "What does photosynthesis do?", folder=tmp_path)
    assert "    Photosynthesis turns light" in told


def test_lesson(make_simulator: type[Simulator], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("First.\n\nSecond.\n")
    told = run(make_simulator(), "lesson.py", "a.txt", "a.mp4", folder=tmp_path)
    assert told.splitlines()[:2] == ["1/2  First.", "2/2  Second."]
    subtitles = (tmp_path / "a.srt").read_text().splitlines()
    assert [subtitles[2], subtitles[6]] == ["First.", "Second."]
    assert subtitles[1].split(" --> ")[1] == subtitles[5].split(" --> ")[0]
    assert (tmp_path / "a.mp4").stat().st_size > 10_000


def test_frames(make_simulator: type[Simulator], tmp_path: Path) -> None:
    told = run(make_simulator(), "frames.py", folder=tmp_path)
    assert "pictures of (480, 854, 3)" in told
    assert int(told.split("loudest sample ")[1].split(";")[0]) > 1_000
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_voice_chat(make_simulator: type[Simulator], tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="the simulated avatar needs ears")
    pytest.importorskip("espeakng_loader", reason="pocketsphinx does not understand the formant voice")
    with wave.open(str(tmp_path / "question.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(spoken("What is your name?").tobytes())
    told = run(make_simulator(), "voice_chat.py", "question.wav", folder=tmp_path)
    assert [line.split(":")[0] for line in told.splitlines()] == ["you", "avatar"]
