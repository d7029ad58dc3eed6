"""The command as a person or a script starts it: in a pipe, and on a terminal of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pexpect

COMMAND = [sys.executable, "-m", "heygen_avatar"]


def environment(simulator: Any = None, **more: str) -> dict[str, str]:
    """This process's, leading to ``simulator``, or to no account at all."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("HEYGEN_", "LIVEAVATAR_"))}
    if simulator is not None:
        for service in ("HEYGEN", "LIVEAVATAR"):
            ours[f"{service}_BASE_PATH"], ours[f"{service}_API_KEY"] = simulator.base_path, simulator.api_key
    return {**ours, **more}


def piped(
    *arguments: str, simulator: Any = None, typed: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command in a pipe."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        env=env or environment(simulator),
    )


def terminal(*arguments: str, simulator: Any = None, env: Mapping[str, str] | None = None) -> pexpect.spawn[str]:
    """Start the command on a pseudo-terminal."""
    import pexpect

    return pexpect.spawn(
        COMMAND[0],
        [*COMMAND[1:], *arguments],
        env={**(env or environment(simulator)), "TERM": "xterm"},  # type: ignore[arg-type]  # typeshed wants os._Environ
        encoding="utf-8",
        timeout=30,
        dimensions=(40, 120),
    )


def exit_code(command: pexpect.spawn[str]) -> int | None:
    """The exit code of a command that is about to end; what it still prints is read away, else it could not end."""
    import pexpect

    command.expect(pexpect.EOF)
    command.close()
    return command.exitstatus
