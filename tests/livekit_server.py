"""A real LiveKit server for the tests: found on the PATH or where ``go install`` puts it, run on this machine only."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

from tests.programs import eventually


def missing() -> str:
    """Why there is none to run; nothing if there is one."""
    return "" if _program() else "livekit-server is not on the PATH: docs/livekit-server.md says how to get one"


class LiveKitServer:
    """A running server. ``settings`` are what a :class:`Simulator` needs to perform in its rooms."""

    def __init__(self) -> None:
        ports = _free_ports(3)
        key, secret = "tests", secrets.token_hex(20)
        configuration = {
            "port": ports[0],
            "bind_addresses": ["127.0.0.1"],
            "rtc": {
                "tcp_port": ports[1],
                "udp_port": ports[2],
                "node_ip": "127.0.0.1",
                "use_external_ip": False,
                "enable_loopback_candidate": True,
                "interfaces": {"includes": ["lo", "lo0"]},
            },
            "keys": {key: secret},
            "logging": {"level": "error"},
        }
        self.settings = {
            "livekit_url": f"ws://127.0.0.1:{ports[0]}",
            "livekit_api_key": key,
            "livekit_api_secret": secret,
        }
        self._process = subprocess.Popen(
            [_program(), "--config-body", json.dumps(configuration)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._complaints: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._health = f"http://127.0.0.1:{ports[0]}/"
        if not eventually(self._answers, 20.0):
            self.close()
            raise AssertionError(f"livekit-server does not answer: {self._complaints}")

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self._health, timeout=1) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _read(self) -> None:
        assert self._process.stderr is not None
        self._complaints.extend(self._process.stderr)


def _program() -> str:
    gopath = os.environ.get("GOPATH") or Path.home() / "go"
    return shutil.which("livekit-server") or shutil.which("livekit-server", path=str(Path(gopath) / "bin")) or ""


def _free_ports(count: int) -> list[int]:
    taken = [socket.socket() for _ in range(count)]
    try:
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]
    finally:
        for one in taken:
            one.close()
