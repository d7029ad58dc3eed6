"""This process's side of the guardian: started with the first paid session, told of each, let go after the last.

What no code of a dying process can do (SIGKILL, ``os._exit``, a crash in native code, a killed kernel), the guardian
does: its standard input ends with us. See ``guardian_process.py``.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from requests.utils import DEFAULT_CA_BUNDLE_PATH

log = logging.getLogger("heygen_avatar.cleanup")

_PROGRAM = Path(__file__).with_name("guardian_process.py")
_PASSED_ON = ("PATH", "SYSTEMROOT", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")

END_TIMEOUT = 2.0
"""Seconds that a guardian which is let go may take to end before it is left to itself."""

_WINDOWS_FLAGS: int = getattr(subprocess, "CREATE_NO_WINDOW", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)

_lock = threading.Lock()
_process: subprocess.Popen[bytes] | None = None
_former: list[subprocess.Popen[bytes]] = []
"""Guardians that have been let go, and that nobody has seen end."""

_watched: dict[str, Mapping[str, Any]] = {}
"""What the guardian was told of each session that is not over. Holds secrets: never show it."""


def prepare() -> None:
    """Start the guardian in the background, beside the first call of a session: it is there when the reply comes."""
    with suppress(RuntimeError):  # at interpreter shutdown; there is nothing to guard any more
        threading.Thread(target=_ensure, name="heygen-guardian", daemon=True).start()


def watch(session_id: str, calls: Sequence[Mapping[str, Any]]) -> None:
    """From now on, should this process die, ``calls`` are made in turn until one is taken."""
    with _lock:
        if _started():
            # requests trusts this bundle; what the guardian's bare Python trusts differs between platforms.
            bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
            _watched[session_id] = {"watch": session_id, "calls": list(calls), "cafile": bundle}
            _tell(_watched[session_id])


def forget(session_id: str) -> None:
    """The session is over. The guardian ends with the last one."""
    with _lock:
        if session_id not in _watched:
            return
        del _watched[session_id]
        _tell({"forget": session_id})
        _end_if_idle()


def not_needed() -> None:
    """What it was prepared for did not come about. It ends if it has nothing else to watch."""
    with _lock:
        _end_if_idle()


def _end_if_idle() -> None:
    global _process
    if _watched or _process is None:
        return
    ending, _process = _process, None
    assert ending.stdin is not None
    with suppress(OSError):
        ending.stdin.close()
    # It ends by itself within milliseconds; waiting keeps it from becoming a zombie of ours.
    with suppress(subprocess.TimeoutExpired):
        ending.wait(END_TIMEOUT)
    _remember(ending)


def _remember(former: subprocess.Popen[bytes]) -> None:
    _former[:] = [each for each in (*_former, former) if each.poll() is None]


def _ensure() -> None:
    with _lock:
        _started()


def _started() -> bool:
    global _process
    if _process is not None and _process.poll() is None:
        return True
    python = _interpreter()
    if python is None:
        log.info("no guardian: %r is not a Python that could run one", sys.executable)
        return False
    environment = {name: value for name, value in os.environ.items() if name.upper() in _PASSED_ON}
    try:
        _process = subprocess.Popen(
            [python, "-I", "-S", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            bufsize=0,  # a buffer would be flushed again when it is collected, and complain that the guardian is gone
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Not ours: it would carry HEYGEN_API_KEY, and a PYTHON* variable could break the guardian.
            env=environment,
            cwd=_PROGRAM.anchor,
            # Out of the terminal's reach: Ctrl-C and a hang-up go to every process of our group.
            start_new_session=True,
            creationflags=_WINDOWS_FLAGS,
        )
    except OSError as error:
        log.warning("no guardian could be started (%s): a killed process would leave its sessions open", error)
        return False
    for message in _watched.values():  # the one before it was killed
        _tell(message)
    return _process is not None


def _tell(message: Mapping[str, Any]) -> None:
    global _process
    if _process is None:  # gone already
        return
    assert _process.stdin is not None
    try:
        _process.stdin.write(json.dumps(message).encode() + b"\n")
        _process.stdin.flush()
    except OSError:
        log.warning("the guardian is gone: a killed process would leave its sessions open")
        _remember(_process)
        _process = None


def _interpreter() -> str | None:
    """The Python to run it with. A frozen program or an embedding one would start itself again."""
    if getattr(sys, "frozen", False) or not sys.executable:
        return None
    return sys.executable if Path(sys.executable).name.lower().startswith(("python", "pypy")) else None


def _after_fork() -> None:
    # The child's copy of the pipe would keep the guardian waiting after the parent has died.
    global _lock, _process
    _lock = threading.Lock()
    _watched.clear()
    for each in _former:
        each.returncode = 0
    _former.clear()
    former, _process = _process, None
    if former is not None and former.stdin is not None:
        with suppress(OSError):
            # Led elsewhere rather than closed: the file object closes its descriptor when it is collected, by when the
            # number could be another file's.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, former.stdin.fileno(), inheritable=False)
            os.close(nowhere)
        former.returncode = 0  # it is the parent's child, not ours, as the others are: nothing here may wait for it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
