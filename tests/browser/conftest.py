"""Browsers for the tests of this folder, or the reason why there are none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from .chromium import Browser, missing


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[..., Browser]]:
    """Start a browser, with a sound file as its microphone or without; it is closed after the module's last test.

    Where none can run, the tests are skipped; but in CI they fail, for there it is CI that is at fault.
    """
    if reason := missing():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    with ExitStack() as running:

        def start(microphone: Path | None = None) -> Browser:
            return running.enter_context(closing(Browser(microphone)))

        yield start
