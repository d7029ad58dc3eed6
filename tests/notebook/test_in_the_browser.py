"""The avatar in JupyterLab, as a user sees and hears it: a real server, a real kernel, a real browser."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from heygen_avatar.simulator import Simulator
from tests.browser.chromium import Browser
from tests.programs import eventually

from .conftest import Open
from .lab import CONTENT, FIND, FIND_ALL, Desk, Lab, Notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]

START = """
from heygen_avatar import StreamingAvatar
avatar = StreamingAvatar()
session = avatar.create_start_avatar(avatar_name="default", quality="low")
"""
SHOW = START + "avatar.display()"
COUNTING = "One, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen, fourteen, fifteen."

LOUD = 0.01
"""RMS of full scale, -40 dB: a voice."""

SHOWN = f"{FIND}('.heygen-stage.shown')"
SPEAKING = f"{FIND}('.heygen-status').innerText === 'speaking'"
NO_SESSION_WITHIN = 3.0


def caption(words: str, *, speaker: str = "avatar") -> str:
    """Whether the page shows these words as the last that this side said."""
    return f"[...{FIND_ALL}('.heygen-caption.heygen-{speaker}')].at(-1)?.innerText.includes('{words}')"


def ended(cell: int) -> str:
    return f"{CONTENT}.widgets[{cell}].model.executionState !== 'running'"


def live(simulator: Simulator) -> list[str]:
    """The sessions that cost money now."""
    return [entry["session_id"] for entry in simulator.sessions() if entry["end_reason"] is None]


@pytest.fixture(scope="module")
def lasting(desk: Desk) -> Iterator[Notebook]:
    """A notebook with a live avatar, for all tests that leave it live."""
    cells = [
        SHOW,
        "avatar.say('Can you see and hear me?').outcome",
        f"avatar.say('{COUNTING}').outcome",
        "import time\nuntil = time.monotonic() + 3\nwhile time.monotonic() < until: pass",
        "avatar.on('avatar_talking_message', lambda event: print('heard:', event.message))\navatar.say('Yes.').outcome",
    ]
    with closing(desk.open("lasting", cells)) as notebook:
        notebook.run(0)
        notebook.wait(SHOWN)
        yield notebook


# What is seen and heard


def test_the_picture_moves(lasting: Notebook, tmp_path: Path) -> None:
    first = lasting.screenshot(tmp_path / "first.png", ".heygen-picture")
    assert eventually(lambda: lasting.screenshot(tmp_path / "next.png", ".heygen-picture") != first, 3.0)


def test_the_avatar_is_heard_in_the_page_and_captioned_while_a_cell_says_it(lasting: Notebook) -> None:
    lasting.start(1)
    lasting.wait(f"window.loudness() > {LOUD}")
    lasting.wait(caption("Can you"))
    assert lasting.running(1)
    lasting.wait(caption("Can you see and hear me?"))
    lasting.wait(f"{FIND_ALL}('.jp-OutputArea-output').length > 1")
    assert "SPOKEN" in lasting.text(1)


def test_the_picture_goes_on_while_a_cell_keeps_the_main_thread(lasting: Notebook, tmp_path: Path) -> None:
    lasting.start(3)
    assert eventually(lambda: lasting.running(3), 3.0)
    pictures = set()
    while lasting.running(3):
        pictures.add(lasting.screenshot(tmp_path / "picture.png", ".heygen-picture"))
    assert len(pictures) >= 4
    lasting.wait(ended(3))


def test_interrupt_silences_the_avatar_also_while_a_cell_waits_for_it(lasting: Notebook) -> None:
    lasting.start(2)
    lasting.wait(f"window.loudness() > {LOUD}")
    assert lasting.running(2)
    lasting.click(".heygen-interrupt")
    lasting.wait(ended(2), 3)
    lasting.wait("window.loudness() < 0.001", 3)
    assert "INTERRUPTED" in lasting.text(2)
    assert "fifteen" not in lasting.evaluate(f"{FIND}('.heygen-captions').innerText")


def test_what_the_user_says_while_the_button_is_held_is_answered(lasting: Notebook) -> None:
    lasting.wait(f"!({SPEAKING})")
    lasting.hold(".heygen-talk")
    try:
        lasting.wait(f"{FIND}('.heygen-talk').innerText === 'Speak now'")
        # Of what was heard, a busy machine understands only a part.
        lasting.wait(f"{FIND}('.heygen-caption.heygen-user')")
    finally:
        lasting.release()
    lasting.wait(SPEAKING)
    lasting.wait(f"window.loudness() > {LOUD}")
    assert lasting.evaluate(f"{FIND}('.heygen-talk').innerText") == "Hold to talk"
    assert lasting.evaluate(f"{FIND}('.heygen-note').innerText") == ""
    lasting.wait(f"!({SPEAKING})")


def test_a_muted_page_is_silent_until_it_is_unmuted(lasting: Notebook) -> None:
    lasting.click(".heygen-mute")
    lasting.start(1)
    lasting.wait(caption("hear me?"))
    assert lasting.loudness() == 0.0
    lasting.click(".heygen-mute")
    lasting.run(1)
    lasting.start(1)
    lasting.wait(f"window.loudness() > {LOUD}")
    lasting.wait(f"!({SPEAKING})")


def test_what_a_handler_prints_is_shown_in_the_cell_that_runs(lasting: Notebook) -> None:
    assert "heard: Yes." in lasting.run(4)


def test_a_handler_of_a_cell_that_is_run_again_is_replaced_and_the_cell_says_so(lasting: Notebook) -> None:
    lasting.run(4)
    shown = lasting.run(4)
    assert shown.count("heard: Yes.") == 1
    assert "Replaced 1 handler that was connected before: avatar_talking_message." in shown


# In the way of others


def test_one_cell_may_start_show_and_speak_and_is_interrupted_by_the_page(opened: Open, tmp_path: Path) -> None:
    notebook = opened(f"{SHOW}\navatar.say('{COUNTING}').outcome")
    notebook.start(0)
    notebook.wait(SHOWN)
    notebook.wait(f"window.loudness() > {LOUD}")
    assert notebook.running(0)
    notebook.click(".heygen-interrupt")
    notebook.wait(ended(0), 3)
    assert "INTERRUPTED" in notebook.text(0)


def test_a_front_end_that_can_say_nothing_while_a_cell_runs_is_sent_picture_and_sound(
    opened: Open, tmp_path: Path
) -> None:
    notebook = opened(SHOW, f"avatar.say('{COUNTING}')")
    notebook.evaluate("void (jupyterapp.serviceManager.kernels.commsOverSubshells = 'disabled')")
    try:
        notebook.run(0)
        notebook.wait(SHOWN)
        notebook.start(1)
        notebook.wait(caption("five"))
        pictures = {notebook.screenshot(tmp_path / "picture.png", ".heygen-picture") for _ in range(5)}
        assert len(pictures) >= 3
        notebook.wait(f"window.loudness() > {LOUD}")
        assert notebook.running(1)
        notebook.click("[data-command='notebook:interrupt-kernel']")
        notebook.wait(ended(1))
    finally:
        notebook.evaluate("void (jupyterapp.serviceManager.kernels.commsOverSubshells = 'perCommTarget')")


# What it costs


def test_nothing_is_decoded_for_a_page_that_shows_nothing(opened: Open) -> None:
    notebook = opened(SHOW, "print(len(avatar._live()[0].wires.room._subscriptions._sinks), 'readers')")
    notebook.run(0)
    notebook.wait(SHOWN)
    assert "2 readers" in notebook.run(1)
    notebook.evaluate(f"void ({CONTENT}.widgets[0].model.outputs.clear())")
    assert eventually(lambda: "0 readers" in notebook.run(1), 3.0)


# Stopping


def test_the_stop_button_ends_the_session_and_leaves_its_picture(opened: Open, simulator: Simulator) -> None:
    before = set(live(simulator))
    notebook = opened(SHOW)
    notebook.run(0)
    notebook.wait(SHOWN)
    assert len(set(live(simulator)) - before) == 1
    notebook.click(".heygen-stop")
    assert eventually(lambda: set(live(simulator)) == before, NO_SESSION_WITHIN)
    notebook.wait(f"{FIND}('.heygen-still img')?.naturalWidth > 0")
    assert re.search(r"The session has ended after \d+ s: stopped here\.", notebook.text(0))


def test_the_notebooks_stop_button_ends_a_wait_and_leaves_the_session(opened: Open, simulator: Simulator) -> None:
    notebook = opened(START, f"avatar.say('{COUNTING}')", "avatar.wait_for('user_start', timeout=60)", "avatar.state")
    notebook.run(0)
    for waiting in (1, 2):
        notebook.start(waiting)
        assert eventually(lambda cell=waiting: notebook.running(cell), 3.0)
        notebook.click("[data-command='notebook:interrupt-kernel']")
        notebook.wait(ended(waiting), 3)
        assert "KeyboardInterrupt" in notebook.text(waiting)
    assert "CONNECTED" in notebook.run(3)


def test_a_restarted_kernel_leaves_no_session(opened: Open, simulator: Simulator) -> None:
    before = set(live(simulator))
    notebook = opened(SHOW)
    notebook.run(0)
    assert len(set(live(simulator)) - before) == 1
    notebook.evaluate("void jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    assert eventually(lambda: set(live(simulator)) == before, NO_SESSION_WITHIN)


def test_a_killed_kernel_leaves_no_session(opened: Open, simulator: Simulator) -> None:
    before = set(live(simulator))
    notebook = opened(SHOW + "\nimport os\nprint('pid', os.getpid())")
    pid = int(notebook.run(0).split("pid ")[1].split()[0])
    assert len(set(live(simulator)) - before) == 1
    assert psutil.Process(pid).is_running()
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: set(live(simulator)) == before, NO_SESSION_WITHIN)


# Running again


def test_a_cell_that_is_run_again_replaces_its_session_and_says_so(opened: Open, simulator: Simulator) -> None:
    before = set(live(simulator))
    notebook = opened(SHOW, re.sub(r"\bavatar\b", "other", START))
    notebook.run(0)
    (first,) = set(live(simulator)) - before
    notebook.run(1)
    (other,) = set(live(simulator)) - before - {first}
    said = notebook.run(0)
    assert f"Session {first}, which an earlier run of this cell had started, was ended." in said
    now = set(live(simulator)) - before
    assert first not in now and other in now and len(now) == 2


# What is kept


def test_a_saved_notebook_holds_no_secret_and_no_picture_of_the_live_widget(opened: Open, simulator: Simulator) -> None:
    notebook = opened(
        SHOW,
        "avatar",
        "avatar.say('Hello.')",
        "session",
        "avatar.transcript",
        "avatar.speak('')",
        "import heygen_avatar\nheygen_avatar.StreamingAvatar(api_key='wrong').create_start_avatar()",
    )
    for cell in range(7):
        notebook.run(cell)
    notebook.wait(SHOWN)
    saved = notebook.save()
    assert simulator.api_key not in saved
    assert "AuthenticationError" in saved
    assert not re.search(r"eyJ[\w-]{10,}\.[\w-]{10,}", saved), "a LiveKit token"
    assert "image/jpeg" not in saved


def test_a_page_that_is_reloaded_shows_the_avatar_again(lab: Lab, browser: Browser) -> None:
    with closing(Desk(lab, browser, theme="dark")) as desk, closing(desk.open("reloaded", [SHOW])) as notebook:
        notebook.run(0)
        notebook.save()
        notebook.reload()
        notebook.wait(SHOWN)
        assert notebook.evaluate(f"{FIND}('.heygen-status').innerText") == "live"
