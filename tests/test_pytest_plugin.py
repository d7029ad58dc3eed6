"""The pytest plugin, in pytest runs of its own, as a user has it: by its entry point."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(pytester: pytest.Pytester, source: str) -> pytest.RunResult:
    pytester.makepyfile(source)
    # Of the plugins that happen to be installed, this one alone is looked at.
    return pytester.runpytest_subprocess("-q", "-W", "error", "--strict-markers", "-p", "no:schemathesis", timeout=60)


def test_a_test_gets_a_running_avatar_that_ends_with_it(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        def test_it(heygen_avatar_session, heygen_simulator):
            assert heygen_avatar_session.say("Hi.").outcome == "spoken"
            assert [entry["state"] for entry in heygen_simulator.sessions()] == ["connected"]
        """,
    )
    result.assert_outcomes(passed=1)


def test_a_program_under_test_finds_the_simulator_by_its_environment(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        from heygen_avatar import StreamingAvatar

        def program():
            with StreamingAvatar() as avatar:
                avatar.create_start_avatar()

        def test_it(heygen_simulator):
            program()
            assert [entry["state"] for entry in heygen_simulator.sessions()] == ["closed"]
        """,
    )
    result.assert_outcomes(passed=1)


def test_an_avatar_that_is_kept_open_fails_its_test_and_is_stopped(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        from heygen_avatar import StreamingAvatar, cleanup

        kept = None

        def test_it(heygen_simulator):
            global kept
            kept = StreamingAvatar()
            kept.create_start_avatar()

        def test_the_next_one():
            assert cleanup.open_sessions() == []
        """,
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["left open: session *; use `with StreamingAvatar(...)`*"])


def test_an_avatar_that_is_forgotten_fails_its_test(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest
        from heygen_avatar import StreamingAvatar

        @pytest.mark.heygen_fault(kind="delay", path="/v1/streaming.stop", seconds=0.5)
        def test_it(heygen_simulator):
            StreamingAvatar().create_start_avatar()
        """,
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*left to the garbage collector*"])


def test_a_session_that_another_client_left_open_fails_the_test(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import requests

        def test_it(heygen_simulator):
            requests.post(
                heygen_simulator.base_path + "/v1/streaming.new",
                headers={"x-api-key": heygen_simulator.api_key}, json={"version": "v2"}, timeout=10,
            ).raise_for_status()
        """,
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["left open: session * of another process or client*"])


def test_a_session_of_a_wider_fixture_may_outlive_a_test(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest
        from heygen_avatar import StreamingAvatar
        from heygen_avatar.simulator import Simulator

        @pytest.fixture(scope="module")
        def avatar():
            with Simulator() as sim, StreamingAvatar(api_key=sim.api_key, base_path=sim.base_path) as avatar:
                avatar.create_start_avatar()
                yield avatar

        def test_one(avatar):
            avatar.keep_alive()

        def test_two(avatar):
            avatar.keep_alive()
        """,
    )
    result.assert_outcomes(passed=2)


def test_markers_plan_faults_and_settings(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest
        from heygen_avatar import ServerError, StreamingAvatar
        from heygen_avatar.simulator import Limits

        @pytest.mark.heygen_fault(kind="status", path="/v1/streaming.new", status=500, message="of ours")
        def test_fault(heygen_simulator):
            with StreamingAvatar() as avatar, pytest.raises(ServerError, match="of ours"):
                avatar.create_start_avatar()

        @pytest.mark.heygen_simulator(limits=Limits(session_duration=77))
        @pytest.mark.heygen_session(quality="low")
        def test_settings(heygen_avatar_session):
            assert heygen_avatar_session.snapshot().width == 640
            assert heygen_avatar_session._connection.session.session_duration_limit == 77
        """,
    )
    result.assert_outcomes(passed=2)


def test_a_fault_without_a_simulator_is_a_mistake_and_told(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest

        @pytest.mark.heygen_fault(kind="hang")
        def test_it():
            pass
        """,
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["the marker heygen_fault needs the fixture heygen_simulator"])


def test_it_loads_nothing_but_pytest_until_it_is_used(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import sys

        def test_it():
            assert "pytest_heygen_avatar" in sys.modules
            assert not {"heygen_avatar", "aiohttp", "livekit", "numpy", "requests"} & set(sys.modules)
        """,
    )
    result.assert_outcomes(passed=1)


def test_loading_it_takes_less_than_5_ms() -> None:
    program = (
        "import pytest, time\n"
        "began = time.process_time()\n"
        "import pytest_heygen_avatar\n"
        "print(time.process_time() - began)"
    )
    took = [float(subprocess.check_output([sys.executable, "-c", program], timeout=30)) for _ in range(5)]
    assert min(took) < 0.005, f"{min(took) * 1000:.1f} ms"
