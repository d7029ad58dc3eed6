"""What an avatar is made with, and what is refused before anything is sent."""

import pytest

from heygen_avatar import (
    ConfigurationError,
    InvalidRequestError,
    SessionState,
    StartAvatarResponse,
    StreamingAvatar,
    stop_all,
)


def test_neither_token_nor_key_is_an_error_that_names_the_ways(monkeypatch):
    monkeypatch.delenv("HEYGEN_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="HEYGEN_API_KEY"):
        StreamingAvatar()


def test_the_environment_gives_key_and_base_path(simulator, monkeypatch):
    monkeypatch.setenv("HEYGEN_API_KEY", simulator.api_key)
    monkeypatch.setenv("HEYGEN_BASE_PATH", simulator.base_path)
    with StreamingAvatar() as avatar:
        avatar.create_start_avatar(quality="low")
        assert avatar.state is SessionState.CONNECTED


def test_an_argument_beats_the_environment(simulator, monkeypatch):
    monkeypatch.setenv("HEYGEN_API_KEY", "wrong")
    monkeypatch.setenv("HEYGEN_BASE_PATH", "http://127.0.0.1:1")
    with StreamingAvatar(api_key=simulator.api_key, base_path=simulator.base_path) as avatar:
        avatar.create_start_avatar(quality="low")
        assert avatar.state is SessionState.CONNECTED


@pytest.mark.parametrize("timeout", [-1, float("nan"), "ten", True])
def test_a_timeout_that_is_none_is_refused(avatar, timeout):
    with pytest.raises(InvalidRequestError, match="timeout"):
        avatar.wait_for("user_start", timeout=timeout)


@pytest.mark.parametrize(
    "call",
    [
        lambda avatar: avatar.create_start_avatar(timeout=None),
        lambda avatar: avatar.new_session(timeout=None),
        lambda avatar: avatar.start_session(timeout=None),
        lambda avatar: avatar.start_avatar(
            session=StartAvatarResponse(session_id="one", url="wss://a", access_token="b"), timeout=None
        ),
        lambda avatar: avatar.stop_avatar(timeout=None),
        lambda avatar: avatar.ask("Hi.", timeout=None),
        lambda avatar: avatar.start_voice_chat(timeout=None),
        lambda avatar: avatar.snapshot(timeout=None),
        lambda avatar: stop_all(timeout=None),
    ],
    ids=[
        "create_start_avatar",
        "new_session",
        "start_session",
        "start_avatar",
        "stop_avatar",
        "ask",
        "voice_chat",
        "snapshot",
        "all",
    ],
)
def test_none_is_no_deadline_for_a_call_that_has_to_have_one(call):
    # Nobody is there: whatever is sent ends in another error.
    avatar = StreamingAvatar(api_key="key", base_path="http://127.0.0.1:1")
    with pytest.raises(InvalidRequestError, match="timeout must be"):
        call(avatar)


def test_no_secret_shows_in_a_repr(simulator, avatar):
    shown = repr(avatar) + repr(avatar._rest) + repr(avatar._connection) + repr(avatar.signals)
    assert simulator.api_key not in shown
    assert avatar._connection._token not in shown
