"""One loop on one thread for all callers: what they hand in ends, whatever becomes of the thread."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from heygen_avatar import engine as engine_module
from heygen_avatar.engine import Engine
from heygen_avatar.errors import MediaError, UsageError, WaitTimeoutError


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.stop(5)


async def answer(value: object = 42) -> object:
    return value


async def forever(cancelled: threading.Event | None = None) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        if cancelled is not None:
            cancelled.set()


def child(source: str, *, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """A real Python process that runs ``source``."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, timeout=timeout, check=False
    )


def test_a_coroutine_runs_on_the_media_thread_and_its_result_comes_back(engine: Engine) -> None:
    async def where() -> str:
        return threading.current_thread().name

    assert engine.call(where(), timeout=20, what="asking") == "heygen-media"


def test_modules_are_warmed_up_on_the_media_thread(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_to_import.py").write_text("import threading\nwhere = threading.current_thread().name\n")
    monkeypatch.syspath_prepend(tmp_path)
    engine.warm_up("slow_to_import")
    engine.call(answer(), timeout=20, what="coming after the import")
    assert sys.modules.pop("slow_to_import").where == "heygen-media"


def test_a_module_that_cannot_be_imported_leaves_the_media_thread_alive(engine: Engine) -> None:
    engine.warm_up("no_module_of_this_name")
    assert engine.call(answer(), timeout=20, what="asking") == 42


def test_what_a_coroutine_raises_reaches_the_caller(engine: Engine) -> None:
    async def fail() -> None:
        raise LookupError("as it was")

    with pytest.raises(LookupError, match="as it was"):
        engine.call(fail(), timeout=20, what="failing")


def test_a_call_that_takes_too_long_is_cancelled_and_named(engine: Engine) -> None:
    engine.call(answer(), timeout=20, what="starting")
    cancelled = threading.Event()
    with pytest.raises(WaitTimeoutError, match=r"sitting was not done within 0\.05 s"):
        engine.call(forever(cancelled), timeout=0.05, what="sitting")
    assert cancelled.wait(5)


def test_a_blocking_call_on_the_media_thread_is_refused_instead_of_deadlocking(engine: Engine) -> None:
    async def call_itself() -> None:
        engine.call(answer(), timeout=20, what="asking itself")

    with pytest.raises(UsageError, match="asking itself: a blocking call on the media thread"):
        engine.call(call_itself(), timeout=20, what="asking")


def test_another_thread_is_never_taken_for_the_media_thread_that_ended(engine: Engine) -> None:
    # Threads' idents are given out again, most likely to the next thread.
    engine.call(answer(), timeout=20, what="starting")
    engine.stop(5)
    seen: list[bool] = []
    for _ in range(5):
        thread = threading.Thread(target=lambda: seen.append(engine.is_current()))
        thread.start()
        thread.join()
    assert seen == [False] * 5


def test_the_end_of_the_thread_wakes_those_who_wait(engine: Engine) -> None:
    running = threading.Event()

    async def wait() -> None:
        running.set()
        await forever()

    outcome: list[BaseException] = []

    def call() -> None:
        try:
            engine.call(wait(), timeout=60, what="sitting")
        except BaseException as error:
            outcome.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    assert running.wait(20)
    engine.stop(5)
    caller.join(5)
    assert [type(error) for error in outcome] == [MediaError]


def test_a_task_that_will_not_be_cancelled_does_not_hold_up_the_end(engine: Engine) -> None:
    running = threading.Event()
    let_go = threading.Event()

    async def stubborn() -> None:
        running.set()
        while not let_go.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    future = engine.submit(stubborn())
    assert running.wait(20)
    engine._loop.call_soon_threadsafe(engine._loop.stop)  # type: ignore[union-attr]
    with pytest.raises(MediaError, match="the media thread has ended"):
        future.result(10)
    let_go.set()


def test_what_is_submitted_after_the_end_is_refused_without_a_warning(engine: Engine) -> None:
    engine.call(answer(), timeout=20, what="starting")
    engine.stop(5)
    for hand_over in (
        lambda: engine.submit(answer()),
        lambda: engine.call(answer(), timeout=5, what="asking"),
        engine.warm_up,
    ):
        with pytest.raises(UsageError, match="has ended"):
            hand_over()


def test_nothing_that_is_submitted_while_the_thread_ends_waits_for_ever(engine: Engine) -> None:
    engine.call(answer(), timeout=20, what="starting")
    ready = threading.Barrier(5)
    outcomes: list[object] = []

    def flood() -> None:
        ready.wait()
        while True:
            try:
                outcomes.append(engine.call(answer(), timeout=20, what="asking"))
            except UsageError as error:
                outcomes.append(error)
                return
            except MediaError as error:
                outcomes.append(error)

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    ready.wait()
    engine.stop(10)
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert len([outcome for outcome in outcomes if isinstance(outcome, UsageError)]) == 4


class Watcher:
    def __init__(self) -> None:
        self.told = threading.Event()

    def tell(self) -> None:
        self.told.set()

    def fail(self) -> None:
        raise RuntimeError("a watcher's defect")


def test_watchers_are_told_of_the_end_and_one_that_fails_harms_no_other(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    failing, watcher = Watcher(), Watcher()
    engine.call(answer(), timeout=20, what="starting")
    engine.when_dead(failing.fail)
    engine.when_dead(watcher.tell)
    engine.stop(5)
    assert watcher.told.is_set()
    assert "a watcher's defect" in caplog.text


def test_watchers_are_not_kept_alive(engine: Engine) -> None:
    watcher = Watcher()
    told = watcher.told
    engine.when_dead(watcher.tell)
    del watcher
    engine.call(answer(), timeout=20, what="starting")
    engine.stop(5)
    assert not told.is_set()


def test_stopping_twice_or_before_the_start_is_harmless(engine: Engine) -> None:
    unused = Engine()
    unused.stop(1)
    assert unused.call(answer(), timeout=20, what="starting") == 42
    unused.stop(5)
    engine.call(answer(), timeout=20, what="starting")
    engine.stop(5)
    engine.stop(5)
    with pytest.raises(UsageError, match="has ended"):
        engine.submit(answer())


def test_the_media_thread_cannot_be_made_to_wait_for_its_own_end(engine: Engine) -> None:
    async def stop_itself() -> str:
        engine.stop(5)
        return "still here"

    assert engine.call(stop_itself(), timeout=20, what="stopping") == "still here"


def test_an_engine_nobody_uses_costs_no_file_descriptor_and_no_thread() -> None:
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    idle = Engine()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, descriptors)
    assert not idle.is_current()


def test_many_threads_that_need_the_engine_first_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_engine", None)
    ready = threading.Barrier(16)
    engines: list[Engine] = []
    names: list[object] = []

    def use() -> None:
        ready.wait()
        engine = engine_module.engine()
        engines.append(engine)
        names.append(engine.call(answer(threading.current_thread().name), timeout=20, what="asking"))

    threads = [threading.Thread(target=use, name=f"user-{n}") for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(set(engines)) == 1
    assert sorted(map(str, names)) == sorted(thread.name for thread in threads)
    engines[0].stop(5)


def test_a_thread_that_cannot_be_started_is_told_and_nothing_hangs(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(UsageError, match="no media thread can be started"):
            engine.submit(answer())
    assert engine.call(answer(), timeout=20, what="asking") == 42


def test_ctrl_c_in_a_call_cancels_it_and_leaves_the_engine_usable() -> None:
    ran = child("""
        import asyncio, os, signal, threading
        from heygen_avatar.engine import engine

        cancelled = threading.Event()

        async def sit():
            os.kill(os.getpid(), signal.SIGINT)
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        async def answer():
            return 42

        try:
            engine().call(sit(), timeout=60, what="sitting")
        except KeyboardInterrupt:
            assert cancelled.wait(5)
            print(engine().call(answer(), timeout=5, what="asking"))
    """)
    assert (ran.returncode, ran.stdout.split(), ran.stderr) == (0, ["42"], "")


def test_warming_up_loads_livekit_on_the_media_thread_without_waiting() -> None:
    ran = child("""
        import sys, threading
        import heygen_avatar
        from heygen_avatar.engine import engine

        importers = []

        class Witness:
            def find_spec(self, name, path=None, target=None):
                if name.startswith("livekit"):
                    importers.append(threading.current_thread().name)

        sys.meta_path.insert(0, Witness())

        async def loaded():
            return "livekit.rtc" in sys.modules

        engine().warm_up()
        print(engine().call(loaded(), timeout=20, what="asking"), set(importers))
    """)
    assert (ran.stdout.strip(), ran.stderr) == ("True {'heygen-media'}", "")


def test_without_its_native_library_the_thread_lives_and_the_trouble_is_logged() -> None:
    ran = child("""
        import logging, sys
        logging.basicConfig(format="%(message)s")
        sys.modules["livekit.rtc"] = None
        from heygen_avatar.engine import engine

        async def answer():
            return 42

        print(engine().call(answer(), timeout=20, what="asking"))
    """)
    assert (ran.returncode, ran.stdout.strip()) == (0, "42")
    assert "LiveKit's native library could not be loaded" in ran.stderr


FORKING = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")


@FORKING
def test_a_forked_child_has_an_engine_of_its_own_and_the_parents_goes_on() -> None:
    ran = child("""
        import gc, os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks beside threads
        from heygen_avatar import engine as module
        from heygen_avatar.engine import engine

        async def answer(value):
            return value

        print(engine().call(answer("parent"), timeout=20, what="asking"), flush=True)
        pid = os.fork()
        if pid == 0:
            gc.collect()
            print(engine().call(answer("child"), timeout=20, what="asking"), flush=True)
            sys.exit(0)
        _, status = os.waitpid(pid, 0)
        print(engine().call(answer("parent again"), timeout=20, what="asking"), status)
    """)
    assert (ran.stdout.splitlines(), ran.stderr) == (["parent", "child", "parent again 0"], "")


@FORKING
def test_a_child_forked_after_livekit_was_loaded_is_refused_a_session_before_it_costs() -> None:
    ran = child("""
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from heygen_avatar import UsageError
        from heygen_avatar.engine import engine

        async def answer():
            return 42

        engine().call(answer(), timeout=20, what="loading")
        pid = os.fork()
        if pid == 0:
            for _ in range(2):
                try:
                    engine().warm_up()
                except UsageError as error:
                    print(str(error)[:23], flush=True)
                engine().call(answer(), timeout=20, what="what needs no LiveKit")
            os._exit(0)
        os.waitpid(pid, 0)
    """)
    assert (ran.stdout.splitlines(), ran.stderr) == (["this process was forked"] * 2, "")


@FORKING
def test_a_child_forked_before_the_first_session_may_start_one() -> None:
    ran = child("""
        import os
        import heygen_avatar
        from heygen_avatar.engine import engine

        async def loaded():
            import livekit.rtc
            return "loaded"

        pid = os.fork()
        if pid == 0:
            engine().warm_up()
            print(engine().call(loaded(), timeout=20, what="asking"), flush=True)
            raise SystemExit
        os.waitpid(pid, 0)
    """)
    assert (ran.stdout.strip(), ran.stderr) == ("loaded", "")


def test_our_exit_comes_before_livekits_and_the_process_ends_clean() -> None:
    ran = child("""
        import atexit
        import heygen_avatar
        from heygen_avatar.engine import at_exit, engine

        @at_exit
        def ours():
            from livekit.rtc._ffi_client import FfiClient
            print("ours, LiveKit disposed of:", FfiClient._ffi_disposed, flush=True)

        async def answer():
            return 42

        engine().call(answer(), timeout=20, what="loading")
    """)
    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, "ours, LiveKit disposed of: False", "")


@pytest.mark.parametrize("seconds", [0, 0.1, 0.2])
def test_a_process_that_ends_while_livekit_is_being_loaded_ends_clean(seconds: float) -> None:
    ran = child(f"""
        import threading
        import heygen_avatar
        from heygen_avatar.engine import engine
        engine().warm_up()
        threading.Event().wait({seconds})
    """)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_library_that_came_too_late_for_its_own_exit_is_disposed_of_by_ours() -> None:
    # The order of a process that ends during the load: LiveKit registers its exit when exits already run.
    ran = child("""
        import atexit
        import heygen_avatar
        from heygen_avatar import engine as module

        def late():
            module._load_livekit()
            from livekit.rtc._ffi_client import FfiClient
            client = FfiClient.instance
            dispose = client._dispose
            client._dispose = lambda: (print("disposed of"), dispose())

        atexit.register(late)
    """)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "disposed of" in ran.stdout
