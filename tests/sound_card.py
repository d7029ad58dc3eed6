"""A sound card that PulseAudio makes up, for programs that open the machine's microphone and loudspeaker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.programs import eventually

PULSE = ("pulseaudio", "pactl", "paplay", "parec")

PREAMBLE = """
import json, os, subprocess, sys, threading, time
import numpy as np
from heygen_avatar import *
from heygen_avatar.simulator import RecogniserSettings, Simulator

def play(path, sink="microphone"):
    return subprocess.Popen(["paplay", f"--device={sink}", path])

def loudness(samples, rate=48_000):
    samples = np.asarray(samples, float)
    return [float(np.sqrt(np.mean(part**2))) for part in np.split(samples, range(rate, len(samples), rate))]
"""


class SoundCard:
    """Two cables: what is played into ``microphone`` is what the microphone hears; ``speaker`` is the loudspeaker."""

    def __init__(self, home: Path) -> None:
        self._home = home
        home.chmod(0o700)
        socket = home / "socket"
        self.settings = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "PULSE_SERVER": f"unix:{socket}"}
        self.environment = {**os.environ, **self.settings}
        (home / ".asoundrc").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
        script = home / "script.pa"
        script.write_text(f"""
load-module module-native-protocol-unix socket={socket} auth-anonymous=1
load-module module-null-sink sink_name=microphone rate=48000 channels=1
load-module module-null-sink sink_name=speaker rate=48000 channels=1
set-default-sink speaker
set-default-source microphone.monitor
""")
        command = ["pulseaudio", "-n", "-F", str(script), "--daemonize=no", "--exit-idle-time=-1", "--log-level=error"]
        self._server = subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL)
        assert eventually(self._answers, 10), "PulseAudio did not start"

    def run(self, source: str, **environment: str) -> Any:
        """What a program of this source prints last, as JSON."""
        ran = subprocess.run(
            [sys.executable, "-c", PREAMBLE + textwrap.dedent(source)],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return json.loads(ran.stdout.splitlines()[-1])

    def say(self, sound: Path) -> None:
        """Play a sound file into the microphone, to its end."""
        subprocess.run(["paplay", "--device=microphone", str(sound)], env=self.environment, timeout=60, check=True)

    def close(self) -> None:
        self._server.terminate()
        self._server.wait(10)

    def _answers(self) -> bool:
        asked = subprocess.run(["pactl", "info"], env=self.environment, capture_output=True, check=False)
        return asked.returncode == 0


@contextmanager
def plugged_in(home: Path) -> Iterator[SoundCard]:
    """A sound card whose files lie in ``home``. Where there can be none, the test is skipped with the reason."""
    missing = [name for name in PULSE if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs PulseAudio ({', '.join(missing)} missing): apt install pulseaudio pulseaudio-utils")
    card = SoundCard(home)
    try:
        found = subprocess.run(
            [sys.executable, "-c", "import sounddevice; sounddevice.check_input_settings()"],
            env=card.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode != 0:
            pytest.skip(f"needs libportaudio2 and ALSA's way to PulseAudio (libasound2-plugins): {found.stderr[-200:]}")
        yield card
    finally:
        card.close()
