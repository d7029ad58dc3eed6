"""Small programs run as real child processes, and looked at from the simulator's side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

PREAMBLE = """
import atexit, faulthandler, os, signal, sys, tempfile, threading, time
from heygen_avatar import *
avatar = StreamingAvatar()
def mark(word):
    print(word, flush=True)
"""


class Program:
    """A child process running ``source`` after PREAMBLE, with the simulator in its environment."""

    def __init__(self, simulator: Any, source: str, *, python: str = sys.executable) -> None:
        environment = {**os.environ, "HEYGEN_API_KEY": simulator.api_key, "HEYGEN_BASE_PATH": simulator.base_path}
        self.process = subprocess.Popen(
            [python, "-c", PREAMBLE + textwrap.dedent(source)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        # The whole group: a forked child that hangs holds our pipes open, and reading them would never end.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def wait_for_mark(self, word: str) -> None:
        """Return when the program has printed ``word``."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == word:
                return
        raise AssertionError(f"the program ended without {word!r}: {self.process.stderr.read()}")  # type: ignore[union-attr]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def finish(self, timeout: float = 30) -> tuple[int, str, str]:
        """Its exit code, and what else it printed."""
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            out, err = self.process.communicate()
            raise AssertionError(f"the program did not end within {timeout} s: {out}\n{err}") from None
        return self.process.returncode, out, err


def eventually(condition: Callable[[], Any], timeout: float = 10.0) -> Any:
    """The first true value of ``condition``, or its last one at the deadline."""
    ticker = threading.Event()
    for _ in range(int(timeout / 0.02)):
        if value := condition():
            return value
        ticker.wait(0.02)
    return condition()


def states(simulator: Any) -> list[str]:
    """The states of all sessions this simulator ever had."""
    return [entry["state"] for entry in simulator.sessions()]
