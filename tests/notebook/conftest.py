"""What the tests of this folder share: a JupyterLab, a browser with a microphone, notebooks that are open in it.

Where a part is missing, the tests are skipped; but in CI they fail, for there it is CI that is at fault.
"""

from __future__ import annotations

import os
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest

from heygen_avatar.simulator import Simulator
from heygen_avatar.simulator.stage import SAMPLE_RATE
from heygen_avatar.simulator.voice import Delivery, load_voice
from tests.browser.chromium import Browser
from tests.browser.chromium import missing as missing_browser

from .lab import DRIVER, Desk, Lab, Notebook
from .lab import missing as missing_lab

QUESTION = "Hello, how are you today?"
"""What the browser's microphone plays, half a second after it is opened."""

Open = Callable[..., Notebook]


def needed(reason: str) -> None:
    """Go on only where nothing is missing."""
    if reason:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@pytest.fixture(scope="module")
def lab(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    needed(missing_lab())
    keys = {"HEYGEN_API_KEY": simulator.api_key, "HEYGEN_BASE_PATH": simulator.base_path}
    with closing(Lab(tmp_path_factory.mktemp("lab"), keys)) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    needed(missing_browser())
    speech = load_voice().synthesize(QUESTION, Delivery()).samples
    microphone: Path = tmp_path_factory.mktemp("microphone") / "question.wav"
    with wave.open(str(microphone), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(np.concatenate([np.zeros(SAMPLE_RATE // 2, np.int16), speech]).tobytes())
    with closing(Browser(microphone, DRIVER)) as running:
        yield running


@pytest.fixture(scope="module")
def desk(lab: Lab, browser: Browser) -> Iterator[Desk]:
    with closing(Desk(lab, browser)) as page:
        yield page
        print("\n".join(["the page's console:", *page.console()]))


@pytest.fixture
def opened(desk: Desk, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Open a notebook of one's own; it is gone after the test, and its kernel too."""
    with ExitStack() as notebooks:

        def open_notebook(*cells: str) -> Notebook:
            return notebooks.enter_context(closing(desk.open(request.node.name[5:45], cells)))

        yield open_notebook
