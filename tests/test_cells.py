"""Which run of a notebook cell replaces what another one has left."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from heygen_avatar import cells, cleanup
from heygen_avatar.cells import CellRun
from heygen_avatar.dispatch import Dispatcher


class Notebook:
    """A kernel's shell, as far as it says which message is being handled."""

    def __init__(self) -> None:
        self.parent: Any = {}
        self.said: list[str] = []

    def get_parent(self) -> Any:
        return self.parent

    def run(self, cell: str | None, message: str, *, kind: str = "execute_request") -> None:
        metadata = {} if cell is None else {"cellId": cell}
        self.parent = {"header": {"msg_type": kind, "msg_id": message}, "metadata": metadata}


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    shell = Notebook()
    monkeypatch.setattr(cells, "_shell", lambda: shell)
    monkeypatch.setattr(cells, "_say", shell.said.append)
    return shell


class Session:
    """A paid session that notes its end."""

    session_id = "some-session"
    ended = False

    def close(self, timeout: float, *, why: str = "") -> bool:
        self.ended = True
        cleanup.forget(self)
        return True


@pytest.fixture
def session(notebook: Notebook) -> Any:
    notebook.run("cell", "first")
    paid = Session()
    cleanup.register(paid)
    cells.remember_session(paid)
    yield paid
    cleanup.forget(paid)


def test_another_run_of_the_cell_ends_its_session(notebook: Notebook, session: Session) -> None:
    notebook.run("cell", "second")
    cells.end_sessions_of_earlier_runs()
    assert session.ended


@pytest.mark.parametrize(
    ("cell", "message", "kind"),
    [
        ("other cell", "second", "execute_request"),
        ("cell", "first", "execute_request"),
        (None, "second", "execute_request"),
        ("cell", "second", "comm_msg"),
    ],
    ids=["another cell", "the same run", "a run of no known cell", "a widget's message"],
)
def test_a_session_is_left_alone_by(
    notebook: Notebook, session: Session, cell: str | None, message: str, kind: str
) -> None:
    notebook.run(cell, message, kind=kind)
    cells.end_sessions_of_earlier_runs()
    assert not session.ended


def test_a_session_is_left_alone_by_a_thread_for_which_a_kernel_names_any_cell(
    notebook: Notebook, session: Session
) -> None:
    notebook.run("cell", "second")
    thread = threading.Thread(target=cells.end_sessions_of_earlier_runs)
    thread.start()
    thread.join()
    assert not session.ended


def test_outside_of_notebooks_no_cell_runs() -> None:
    assert cells.running() is None
    assert not cells.in_notebook()


def test_a_kernel_that_says_nothing_of_its_message_runs_no_known_cell(notebook: Notebook) -> None:
    assert cells.running() is None


def test_handlers_of_an_earlier_run_go_with_the_first_of_the_next(notebook: Notebook) -> None:
    sender = Session()
    dispatcher = Dispatcher(sender, threaded=False)
    notebook.run("other cell", "first")
    dispatcher.on("stream_ready", lambda event: None)
    for message in ("first", "second"):
        notebook.run("cell", message)
        dispatcher.on("user_start", lambda event: None)
        dispatcher.on("user_stop", lambda event: None)
    assert {name: len(dispatcher.signals[name].receivers) for name in ("stream_ready", "user_start", "user_stop")} == {
        "stream_ready": 1,
        "user_start": 1,
        "user_stop": 1,
    }


def test_a_cell_that_replaces_handlers_says_so_once(notebook: Notebook) -> None:
    sender = Session()
    dispatcher = Dispatcher(sender, threaded=False)
    for message in ("first", "second"):
        notebook.run("cell", message)
        dispatcher.on("user_start", lambda event: None)
        dispatcher.on("user_stop", lambda event: None)
        if message == "first":
            assert notebook.said == []
    assert notebook.said == ["Replaced 2 handlers that were connected before: user_start, user_stop."]


def test_a_handler_of_another_cell_is_left_alone_and_nothing_is_said(notebook: Notebook) -> None:
    sender = Session()
    dispatcher = Dispatcher(sender, threaded=False)
    for cell in ("one cell", "another cell"):
        notebook.run(cell, f"run of {cell}")
        dispatcher.on("user_start", lambda event: None)
    assert len(dispatcher.signals["user_start"].receivers) == 2
    assert notebook.said == []


def test_a_handler_that_another_cell_defines_anew_is_replaced_and_that_is_said(notebook: Notebook) -> None:
    sender = Session()
    dispatcher = Dispatcher(sender, threaded=False)
    for cell in ("one cell", "another cell"):
        notebook.run(cell, f"run of {cell}")
        defined: dict[str, Any] = {"__name__": "__main__"}
        exec("def greet(event): pass", defined)
        dispatcher.on("stream_ready", defined["greet"])
    assert len(dispatcher.signals["stream_ready"].receivers) == 1
    assert notebook.said == ["Replaced 1 handler that was connected before: stream_ready."]


def test_a_function_that_is_connected_again_is_connected_once(notebook: Notebook) -> None:
    sender = Session()
    dispatcher = Dispatcher(sender, threaded=False)
    heard: list[object] = []
    for message in ("first", "second"):
        notebook.run("cell", message)
        dispatcher.on("user_start", heard.append)
    assert len(dispatcher.signals["user_start"].receivers) == 1


def test_a_run_replaces_only_other_runs_of_its_cell() -> None:
    run = CellRun(cell="cell", message="second")
    assert run.replaces(CellRun(cell="cell", message="first"))
    assert not run.replaces(run)
    assert not run.replaces(CellRun(cell="other", message="first"))
    assert not run.replaces(None)
