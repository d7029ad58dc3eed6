"""The register of paid sessions, and the ways out of a process that go through it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator

import pytest

from heygen_avatar import cleanup


class Session:
    """A paid session that ends as it is told to."""

    def __init__(self, session_id: str | None = "s1", *, fails: Exception | None = None) -> None:
        self.session_id = session_id
        self.fails = fails
        self.closed: list[tuple[float, str]] = []
        self.may_end = threading.Event()
        self.may_end.set()

    def close(self, timeout: float, *, why: str = "") -> bool:
        self.closed.append((timeout, why))
        if not self.may_end.wait(timeout):
            return False
        if self.fails is not None:
            raise self.fails
        cleanup.forget(self)
        return True


@pytest.fixture(autouse=True)
def nobody_elses() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    assert cleanup.open_sessions() == []
    yield
    for session in cleanup.open_sessions():
        cleanup.forget(session)
    signal.signal(signal.SIGTERM, handler)


def registered(*names: str, **how: Exception) -> list[Session]:
    sessions = [Session(name, **how) for name in names]
    for session in sessions:
        cleanup.register(session)
    return sessions


def test_stop_all_ends_every_session_and_names_them() -> None:
    sessions = registered("a", "b", "c")
    assert cleanup.stop_all() == ["a", "b", "c"]
    assert [len(session.closed) for session in sessions] == [1, 1, 1]
    assert cleanup.open_sessions() == []


def test_without_sessions_stop_all_has_nothing_to_do() -> None:
    assert cleanup.stop_all() == []


def test_a_session_that_could_not_be_stopped_stays_registered_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    (failing,) = registered("a", fails=RuntimeError("the service is down"))
    registered("b")
    with caplog.at_level(logging.WARNING, "heygen_avatar.cleanup"):
        assert cleanup.stop_all() == ["b"]
    assert cleanup.open_sessions() == [failing]
    assert "session a could not be stopped: the service is down" in caplog.text


def test_what_failed_is_tried_again_by_the_next_stop_all() -> None:
    (session,) = registered("a", fails=RuntimeError("down"))
    cleanup.stop_all()
    session.fails = None
    assert cleanup.stop_all() == ["a"]


def test_a_session_that_has_no_id_yet_is_ended_but_not_named() -> None:
    session = Session(None)
    cleanup.register(session)
    assert cleanup.stop_all() == []
    assert session.closed


def test_a_session_that_hangs_costs_the_others_nothing() -> None:
    hanging, other = registered("a", "b")
    hanging.may_end.clear()
    began = time.monotonic()
    assert cleanup.stop_all(0.3) == ["b"]
    assert time.monotonic() - began < 2
    assert other.closed[0][0] > 0.2
    assert cleanup.open_sessions() == [hanging]
    hanging.may_end.set()


def test_where_no_thread_can_be_started_each_session_has_its_share_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    hanging, other = registered("a", "b")
    hanging.may_end.clear()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert cleanup.stop_all(0.4) == ["b"]
    assert hanging.closed[0][0] <= 0.2
    assert other.closed[0][0] > 0.1


def test_a_session_that_was_confirmed_over_is_left_alone() -> None:
    (session,) = registered("a")
    cleanup.forget(session)
    cleanup.forget(session)
    assert cleanup.stop_all() == []
    assert session.closed == []


def test_registering_twice_is_registering_once() -> None:
    (session,) = registered("a")
    cleanup.register(session)
    assert cleanup.open_sessions() == [session]


def test_stopping_in_the_background_does_not_wait() -> None:
    (session,) = registered("a")
    session.may_end.clear()
    cleanup.stop_in_background(session, why="its avatar was garbage collected")
    assert cleanup.open_sessions() == [session]
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "heygen-cleanup-a"]
    session.may_end.set()
    thread.join(5)
    assert cleanup.open_sessions() == []
    assert session.closed[0][1] == "its avatar was garbage collected"


def test_a_failure_in_the_background_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    (session,) = registered("a", fails=RuntimeError("down"))
    session.may_end.clear()
    cleanup.stop_in_background(session, why="")
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "heygen-cleanup-a"]
    session.may_end.set()
    thread.join(5)
    assert "session a could not be stopped: down" in caplog.text


def test_a_session_registered_in_another_thread_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=registered, args=("a",))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before


# -- in processes of their own

PREAMBLE = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks beside threads
from heygen_avatar import cleanup

class Session:
    session_id = "s1"
    takes = 0.0

    def close(self, timeout, *, why=""):
        print(f"closed in {os.getpid() == parent and 'the parent' or 'the child'}", flush=True)
        threading.Event().wait(self.takes)
        cleanup.forget(self)
        return True

parent = os.getpid()
session = Session()

def terminate():
    os.kill(os.getpid(), signal.SIGTERM)

"""

unix = pytest.mark.skipif(os.name == "nt", reason="SIGTERM ends a Windows process without a handler")


def child(source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@unix
def test_sigterm_ends_the_sessions_and_the_process_still_dies_of_it() -> None:
    ran = child("""
        cleanup.register(session)
        terminate()
        print("survived")
    """)
    assert (ran.returncode, ran.stdout, ran.stderr) == (-signal.SIGTERM, "closed in the parent\n", "")


@unix
def test_sigterm_without_a_session_is_not_ours() -> None:
    ran = child("terminate()")
    assert (ran.returncode, ran.stdout, ran.stderr) == (-signal.SIGTERM, "", "")


@unix
def test_a_second_sigterm_does_not_cut_the_stopping_short() -> None:
    ran = child("""
        class Slow(Session):
            def close(self, timeout, *, why=""):
                terminate()
                terminate()
                return super().close(timeout, why=why)

        cleanup.register(Slow())
        terminate()
    """)
    assert (ran.returncode, ran.stdout, ran.stderr) == (-signal.SIGTERM, "closed in the parent\n", "")


@unix
def test_sigterm_is_obeyed_also_when_it_interrupts_the_register_itself() -> None:
    ran = child("""
        cleanup.SIGTERM_BUDGET = 0.1
        cleanup.register(session)
        with cleanup._lock:
            terminate()
            time.sleep(0)
        print("survived")
    """)
    assert (ran.returncode, ran.stderr) == (-signal.SIGTERM, "")


@unix
def test_a_session_that_hangs_does_not_keep_the_process_alive() -> None:
    ran = child("""
        cleanup.SIGTERM_BUDGET = 0.2
        Session.takes = 25
        cleanup.register(session)
        terminate()
    """)
    assert (ran.returncode, ran.stderr) == (-signal.SIGTERM, "")


@unix
def test_a_users_own_handler_is_left_alone() -> None:
    ran = child("""
        signal.signal(signal.SIGTERM, lambda number, frame: print("the user's"))
        cleanup.register(session)
        terminate()
        cleanup.forget(session)
    """)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "the user's\n", "")


@unix
def test_ignoring_sigterm_stays_ignoring_it() -> None:
    ran = child("""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        cleanup.register(session)
        terminate()
        cleanup.forget(session)
        print("goes on")
    """)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "goes on\n", "")


@unix
@pytest.mark.parametrize("ending", ["sys.exit(0)", "os._exit(0)", "terminate()"])
def test_a_forked_child_does_not_stop_the_parents_sessions(ending: str) -> None:
    ran = child(f"""
        cleanup.register(session)
        pid = os.fork()
        if pid == 0:
            cleanup.stop_all()
            {ending}
        os.waitpid(pid, 0)
        print("still open:", len(cleanup.open_sessions()), flush=True)
        cleanup.stop_all()
    """)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "still open: 1\nclosed in the parent\n", "")


@unix
def test_a_forked_childs_own_session_is_ended_by_its_sigterm() -> None:
    ran = child("""
        cleanup.register(session)
        pid = os.fork()
        if pid == 0:
            cleanup.register(Session())
            terminate()
        _, status = os.waitpid(pid, 0)
        print(os.WTERMSIG(status) == signal.SIGTERM)
        cleanup.forget(session)
    """)
    assert (ran.stdout, ran.stderr) == ("closed in the child\nTrue\n", "")


@unix
def test_a_fork_while_the_register_is_in_use_leaves_no_lock_behind() -> None:
    ran = child("""
        entered, leave = threading.Event(), threading.Event()

        def hold():
            with cleanup._lock:
                entered.set()
                leave.wait()

        threading.Thread(target=hold).start()
        entered.wait()
        pid = os.fork()
        if pid == 0:
            print(cleanup.stop_all(), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        leave.set()
    """)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")
