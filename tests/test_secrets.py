"""The suite's own watch for secrets finds them, wherever they get out; and a whole session shows none."""

import logging

import pytest

from heygen_avatar import APIConnectionError, StreamingAvatar
from tests.programs import Program
from tests.secrecy import SecretWatch

SECRET = "eyJ0b2tlbiI6ICI1YzcwYmMzMDJiNzU5Mzc3ZTUzYWZkMDhkY2E0NmJkOSIsICJjcmVhdGVkX2F0IjogMTc5NTM5NDA3OH0="


@pytest.fixture
def watch():
    watch = SecretWatch()
    watch.learn(SECRET)
    return watch


@pytest.mark.parametrize("shown", [SECRET, SECRET[:-4], SECRET.replace("=", "%3D")], ids=["whole", "cut", "quoted"])
def test_a_secret_in_a_log_record_is_found(watch, shown):
    record = logging.LogRecord("any", logging.DEBUG, __file__, 1, "asking %s", (f"ws://host?token={shown}",), None)
    watch.emit(record)
    assert len(watch.take()) == 1


def test_a_secret_in_a_logged_traceback_is_found(watch):
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    watch.emit(logging.LogRecord("any", logging.ERROR, __file__, 1, "failed", (), info))
    assert len(watch.take()) == 1


def test_a_secret_in_an_error_is_found(watch):
    with pytest.MonkeyPatch.context() as patch:
        watch.install(patch)
        APIConnectionError(f"could not reach {SECRET}")
    assert watch.take() == ["error APIConnectionError"]


def test_a_secret_in_a_file_is_found(watch, tmp_path):
    (tmp_path / "recording.mp4").write_bytes(b"\0\0" + SECRET.encode() + b"\0")
    watch.look_into(tmp_path)
    assert watch.take() == ["file recording.mp4"]


def test_the_secrets_of_the_simulator_are_learnt_as_it_makes_them(make_simulator):
    watch = SecretWatch()
    with pytest.MonkeyPatch.context() as patch:
        watch.install(patch)
        simulator = make_simulator()
        with StreamingAvatar(api_key=simulator.api_key, base_path=simulator.base_path) as avatar:
            session = avatar.create_start_avatar(quality="low")
    for secret in (simulator.api_key, session.access_token, session.livekit_agent_token):
        watch.look(f"<{secret}>", "here")
        assert watch.take() == ["here"]
    watch.look(session.session_id, "an id is no secret")
    assert watch.take() == []


def test_a_program_that_logs_everything_shows_no_secret(make_simulator, monkeypatch):
    monkeypatch.setenv("LIVEKIT_RTC_DEBUG", "1")
    simulator = make_simulator()
    source = """
        import logging
        logging.basicConfig(level=logging.DEBUG)
        avatar.create_start_avatar(quality="low", voice_chat_transport="websocket")
        avatar.say("Hi.")
        avatar.snapshot()
        print(avatar, avatar._connection.session, vars(avatar))
        avatar.stop_avatar()
    """
    watch = SecretWatch()
    with pytest.MonkeyPatch.context() as patch:
        watch.install(patch)
        watch.learn(simulator.api_key)
        with Program(simulator, source) as program:
            code, out, err = program.finish()
    assert code == 0 and "rtc_engine" in err
    watch.look(out + err, "its output")
    assert watch.take() == []
