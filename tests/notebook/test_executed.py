"""Notebooks that run without a front end, as in CI or behind a document build: kernels and what they leave behind."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from heygen_avatar.simulator import Simulator

from .conftest import needed
from .lab import missing

START = """
from heygen_avatar import StreamingAvatar
avatar = StreamingAvatar()
session = avatar.create_start_avatar(avatar_name="default", quality="low")
"""


Run = Callable[..., nbformat.NotebookNode]


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    needed(missing())


@pytest.fixture
def run(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run cells in a kernel of their own, to the end; what the notebook holds then."""
    from nbclient import NotebookClient

    monkeypatch.setenv("HEYGEN_API_KEY", simulator.api_key)
    monkeypatch.setenv("HEYGEN_BASE_PATH", simulator.base_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))

    def execute(*cells: str, allow_errors: bool = False) -> nbformat.NotebookNode:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
        NotebookClient(
            notebook, timeout=30, allow_errors=allow_errors, resources={"metadata": {"path": tmp_path}}
        ).execute()
        assert simulator.api_key not in nbformat.writes(notebook)
        return notebook

    return execute


def html(notebook: nbformat.NotebookNode, cell: int) -> str:
    return "".join(output.get("data", {}).get("text/html", "") for output in notebook.cells[cell].outputs)


def text(notebook: nbformat.NotebookNode, cell: int) -> str:
    return "".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for output in notebook.cells[cell].outputs
    )


def test_a_cell_talks_to_an_avatar_beside_the_kernels_own_loop(run: Run, simulator: Simulator) -> None:
    before = {entry["session_id"] for entry in simulator.sessions() if entry["end_reason"] is None}
    notebook = run(
        START + "import asyncio\nassert asyncio.get_running_loop().is_running()",
        "avatar.say('Hello.').outcome",
        "await asyncio.sleep(0)\navatar.ask('What is your name?')",
    )
    assert "SPOKEN" in text(notebook, 1)
    assert "simulated avatar" in text(notebook, 2)
    after = {entry["session_id"] for entry in simulator.sessions() if entry["end_reason"] is None}
    assert after == before, "a kernel that is shut down ends its session"


def test_without_a_widget_front_end_a_still_picture_says_why_and_is_renewed(run: Run) -> None:
    notebook = run(START + "avatar", "import asyncio\nawait asyncio.sleep(7.5)")
    shown = html(notebook, 0)
    assert re.search(r"data:image/jpeg;base64,[\w+/]{2000,}", shown)
    assert "shows no widgets" in shown


def test_without_anywidget_a_still_picture_says_what_to_install(run: Run) -> None:
    notebook = run(
        "import sys\nsys.modules['anywidget'] = None" + START + "avatar.display()",
        "import time\ntime.sleep(2)",
    )
    shown = html(notebook, 0)
    assert "data:image/jpeg;base64," in shown
    assert "pip install &quot;heygen-avatar[notebook]&quot;" in shown


def test_the_state_of_the_widget_says_nothing_of_the_session(run: Run) -> None:
    notebook = run(START + "avatar", "avatar.say('Hello.')")
    (state,) = (
        model["state"]
        for model in notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"].values()
        if model["model_module"] == "anywidget"
    )
    assert {name for name in state if not name.startswith("_")} <= {"layout", "tabbable", "tooltip", "width"}


def test_results_show_themselves(run: Run) -> None:
    notebook = run(
        START,
        "avatar.snapshot()",
        "with avatar.record('hello.mp4') as recording:\n    avatar.say('Hello <b>world</b>.')\nrecording",
        "avatar.transcript",
        "frame = avatar.transcript.to_dataframe()\nframe",
        "print(list(frame.columns), frame.text[0])",
    )
    (picture,) = notebook.cells[1].outputs
    assert picture.data["image/png"]
    assert "<video controls" in html(notebook, 2) and "data:video/mp4;base64," in html(notebook, 2)
    assert "Hello &lt;b&gt;world&lt;/b&gt;." in html(notebook, 3)
    assert "<table" in html(notebook, 4)
    assert "'speaker', 'text', 'started_at'" in text(notebook, 5)


def test_a_traceback_with_all_its_variables_shows_no_token(run: Run, simulator: Simulator) -> None:
    notebook = run(
        "%xmode Verbose" + START,
        "avatar.speak('')",
        "avatar.stop_avatar()\navatar.say('Too late.')",
        "StreamingAvatar().create_start_avatar(avatar_name='nobody')",
        allow_errors=True,
    )
    errors = [output for cell in notebook.cells for output in cell.outputs if output.output_type == "error"]
    assert [error.ename for error in errors] == ["InvalidRequestError", "SessionClosedError", "AvatarNotFoundError"]
    written = "\n".join(line for error in errors for line in error.traceback)
    assert "<hidden>" in written
    assert not re.search(r"eyJ[\w-]{20,}", written), "a session's token, or LiveKit's"


def test_in_a_notebook_without_cell_ids_a_session_is_never_replaced(run: Run, simulator: Simulator) -> None:
    notebook = run(
        "avatars = []\nfrom heygen_avatar import StreamingAvatar, stop_all",
        *["a = StreamingAvatar()\nsession = a.create_start_avatar(avatar_name='default')\navatars.append(a)"] * 2,
        "print([str(a.state) for a in avatars])\nids = stop_all()",
    )
    assert "['connected', 'connected']" in text(notebook, 3)


def test_an_avatar_without_a_session_is_shown_as_text(run: Run) -> None:
    notebook = run("from heygen_avatar import StreamingAvatar\navatar = StreamingAvatar()\navatar")
    assert text(notebook, 0).strip() == "<StreamingAvatar inactive>"


def test_outside_of_a_notebook_display_says_what_to_use(simulator: Simulator) -> None:
    program = f"""
from heygen_avatar import StreamingAvatar, UsageError
with StreamingAvatar(api_key={simulator.api_key!r}, base_path={simulator.base_path!r}) as avatar:
    avatar.create_start_avatar(avatar_name="default")
    try:
        avatar.display()
    except UsageError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert "record()" in done.stdout
