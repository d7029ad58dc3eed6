"""Work in an interpreter of its own, so that no contender inherits what another has loaded, learnt or leaked."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["apart"]

LIMIT = 240.0
"""Seconds until a contender is taken for stuck."""


def apart(work: Callable[..., Any], **settings: Any) -> Any:
    """What ``work(**settings)`` returns in a fresh interpreter. Settings and result travel as JSON.

    ``work`` is a function of a module that imports neither contender when it is itself imported.
    """
    command = [sys.executable, "-m", "benchmarks.child", work.__module__, work.__qualname__, json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{work.__module__}.{work.__qualname__} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _main(module: str, name: str, settings: str) -> None:
    work = getattr(importlib.import_module(module), name)
    print(json.dumps(work(**json.loads(settings))), flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
