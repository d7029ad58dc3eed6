"""Takes the pictures of these pages: ``python -m docs.pictures.make [NAME ...]``, at the root of the checkout.

All is real: a JupyterLab on this machine, in Chromium, with an avatar of the simulator; its terminal is a
pseudo-terminal. What is shown is waited for, never drawn. Needs what the browser's tests need: ``pip install -e
".[dev]"``, Chromium, node, and ``npm ci --prefix tests/browser --ignore-scripts``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
from PIL import Image

from heygen_avatar.simulator import Simulator
from tests.browser.chromium import Browser
from tests.browser.chromium import missing as missing_browser
from tests.ears import write_wave
from tests.notebook.lab import CONTENT, DRIVER, FIND, FIND_ALL, Desk, Lab
from tests.notebook.lab import missing as missing_lab
from tests.simulator.sounds import silence, spoken

HERE = Path(__file__).parent

MOST_BYTES = 150_000

MARGIN = 16
"""Pixels below the last thing in a picture."""

QUESTION = "Hello, how are you today?"
START = """from heygen_avatar import StreamingAvatar

avatar = StreamingAvatar()
session = avatar.create_start_avatar(avatar_name="default", quality="high")
avatar"""
SAY = 'avatar.say("Good morning! I am live in this cell, and I speak while the next one waits for me.")'

SHOWN = f"{FIND}('.heygen-stage.shown')"
CAPTIONS = f"[...{FIND_ALL}('.heygen-caption')].at(-1)?.innerText"

TERMINAL = "jupyterapp.shell.currentWidget?.content"
LINES = f"""(screen =>
    Array.from({{length: screen.length}}, (_, at) => screen.getLine(at).translateToString().trimEnd()).filter(Boolean)
)({TERMINAL}._term.buffer.active)"""
"""What the terminal in front shows, without its empty lines."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m docs.pictures.make", description=__doc__)
    parser.add_argument("names", nargs="*", default=list(PICTURES), help=f"of {', '.join(PICTURES)}; all by default")
    names = parser.parse_args().names
    if reason := missing_lab() or missing_browser():
        raise SystemExit(reason)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        simulator = stack.enter_context(Simulator())
        keys = {"HEYGEN_API_KEY": simulator.api_key, "HEYGEN_BASE_PATH": simulator.base_path}
        lab = stack.enter_context(closing(Lab(folder, keys)))
        question = write_wave(folder / "question.wav", np.concatenate([silence(0.5), spoken(QUESTION)]))
        browser = stack.enter_context(closing(Browser(question, DRIVER)))
        for name in names:
            theme, take = PICTURES[name]
            with closing(Desk(lab, browser, theme=theme)) as desk:
                take(desk, HERE / f"{name}.png")
            print(f"{name}.png: {(HERE / f'{name}.png').stat().st_size // 1000} kB")


def notebook_speaking(desk: Desk, path: Path) -> None:
    """A cell waits in ``say()``, and the avatar speaks above it."""
    with closing(desk.open("avatar", [START, SAY])) as notebook:
        notebook.run(0)
        notebook.wait(SHOWN)
        notebook.start(1)
        notebook.wait(f"{CAPTIONS}.includes('live in this cell')")
        notebook.screenshot(path)
        foot = notebook.evaluate(f"{CONTENT}.widgets.at(-1).node.getBoundingClientRect().bottom")
    reduce(path, foot=round(foot) + MARGIN)


def notebook_held(desk: Desk, path: Path) -> None:
    """Somebody holds the button and has spoken; what was heard is a caption, and maybe the answer to it."""
    with closing(desk.open("avatar", [START, SAY])) as notebook:
        notebook.run(0)
        notebook.wait(SHOWN)
        notebook.run(1)
        notebook.hold(".heygen-talk")
        notebook.wait(f"{FIND}('.heygen-talk.held') && {FIND}('.heygen-caption.heygen-user')")
        notebook.screenshot(path, ".heygen-avatar")
        notebook.release()
    reduce(path)


def terminal(desk: Desk, path: Path) -> None:
    """Two commands, typed and answered."""
    shell = Shell(desk)
    shell.begin()
    shell.type('heygen-avatar say "Good morning! I am recorded as I speak." -o hello.mp4\r', until="$")
    shell.type("heygen-avatar chat --no-sound\r", until="you>")
    shell.type("Who are you?\r", until="you>")
    desk.order("screenshot", path=str(path), selector=".jp-Terminal")
    foot = desk.order(
        "evaluate", code=f"{LINES}.length * {TERMINAL}._term.element.offsetHeight / {TERMINAL}._term.rows"
    )
    shell.type("\x04", until="$")
    reduce(path, foot=round(foot) + 2 * MARGIN)


class Shell:
    """A terminal in JupyterLab, typed into."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def begin(self) -> None:
        """Open it, with an empty screen and folder and the shortest of prompts."""
        self._desk.command("terminal:create-new")
        self._wait(f"{TERMINAL}?.session?.connectionStatus === 'connected' && {TERMINAL}._term && {LINES}.length")
        programs = Path(sys.executable).parent  # a login shell has a PATH of its own
        self._send(f"cd $(mktemp -d); PATH={programs}:$PATH PS1='$ '; clear\r")
        self._wait(f"{LINES}.join() === '$'")

    def type(self, line: str, *, until: str) -> None:
        """Type a line, and wait until the last one on the screen is a bare prompt again."""
        before = self._desk.order("evaluate", code=f"{LINES}.at(-1)")
        self._send(line)
        self._wait(f"{LINES}.at(-1) !== {json.dumps(before)}")
        self._wait(f"{LINES}.at(-1) === {json.dumps(until)}")

    def _send(self, keys: str) -> None:
        message = json.dumps({"type": "stdin", "content": [keys]})
        self._desk.order("evaluate", code=f"void {TERMINAL}.session.send({message})")

    def _wait(self, code: str) -> None:
        self._desk.order("wait", code=code)


def reduce(path: Path, *, foot: int = 0) -> None:
    """Make a picture as small as pages want it, and cut off what is below ``foot``."""
    picture = Image.open(path).convert("RGB")
    if foot:
        picture = picture.crop((0, 0, picture.width, foot))
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{path.name} has {path.stat().st_size} bytes, more than {MOST_BYTES}")


PICTURES: dict[str, tuple[str, Callable[[Desk, Path], None]]] = {
    "notebook-speaking": ("light", notebook_speaking),
    "notebook-held": ("dark", notebook_held),
    "terminal": ("dark", terminal),
}
"""By file name: JupyterLab's theme, and what takes the picture."""

if __name__ == "__main__":
    main()
