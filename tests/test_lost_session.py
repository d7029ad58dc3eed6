"""A session whose create reply was lost is stopped if it is certainly ours, and no other ever is."""

import pytest
import requests

from heygen_avatar import APIConnectionError, StreamingAvatar
from heygen_avatar.models import StartAvatarRequest
from heygen_avatar.protocols.streaming import StreamingProtocol
from tests.programs import eventually

NEW = "/v1/streaming.new"


@pytest.fixture
def own(make_simulator):
    return make_simulator()


def begin(simulator, **settings):
    avatar = StreamingAvatar(base_path=simulator.base_path, **{"api_key": simulator.api_key, **settings})
    with pytest.raises(APIConnectionError):
        avatar.create_start_avatar(quality="low")
    return avatar


def somebody_elses(simulator, *, started=False):
    key = {"x-api-key": simulator.api_key}
    reply = requests.post(simulator.base_path + NEW, json={"version": "v2"}, headers=key, timeout=5)
    session_id = reply.json()["data"]["session_id"]
    if started:
        requests.post(
            f"{simulator.base_path}/v1/streaming.start", json={"session_id": session_id}, headers=key, timeout=5
        )
    return session_id


def states(simulator):
    return {entry["session_id"]: entry["state"] for entry in simulator.sessions()}


def told(caplog):
    return "not certain" in caplog.text or "no session that it had made" in caplog.text


def test_it_is_stopped_beside_sessions_that_others_have_started(own):
    other = somebody_elses(own, started=True)
    own.inject({"kind": "lost", "path": NEW})
    begin(own)
    assert eventually(lambda: sorted(states(own).values()) == ["closed", "connecting"])
    assert states(own)[other] == "connecting"


def test_a_strangers_new_session_is_left_alone_when_ours_was_never_made(own, caplog):
    """Just one session looks like ours, but our token was never used: it is not."""
    other = somebody_elses(own)
    own.inject({"kind": "lost", "path": NEW, "after": False})
    begin(own)
    assert eventually(lambda: told(caplog))
    assert states(own) == {other: "new"}


def test_nothing_is_stopped_where_two_may_be_the_one(own, caplog):
    somebody_elses(own)
    own.inject({"kind": "lost", "path": NEW})
    begin(own)
    assert eventually(lambda: told(caplog))
    assert set(states(own).values()) == {"new"}


def test_the_session_of_another_avatar_of_this_process_is_not_the_one(own):
    with StreamingAvatar(api_key=own.api_key, base_path=own.base_path) as other:
        other.new_session(quality="low")
        own.inject({"kind": "lost", "path": NEW})
        begin(own)
        assert eventually(lambda: sorted(states(own).values()) == ["closed", "new"])
        assert states(own)[other.session_id] == "new"


def test_where_nothing_was_made_nothing_is_asked_of_anybody(own, caplog):
    caplog.set_level("INFO")
    own.inject({"kind": "lost", "path": NEW, "after": False})
    begin(own)
    assert eventually(lambda: "no session that it had made" in caplog.text)
    assert own.sessions() == []


def test_without_the_accounts_key_it_is_said_that_a_session_may_be_open(own, caplog):
    token = StreamingAvatar(api_key=own.api_key, base_path=own.base_path)._rest.call(
        StreamingProtocol().token(StartAvatarRequest()), timeout=5
    )["token"]
    own.inject({"kind": "lost", "path": NEW})
    begin(own, api_key=None, token=token)
    assert eventually(lambda: told(caplog))
    assert list(states(own).values()) == ["new"]


def test_a_list_that_cannot_be_had_is_no_reason_to_stop_anything(own, caplog):
    own.inject({"kind": "lost", "path": NEW})
    own.inject({"kind": "status", "path": "/v1/streaming.list", "status": 403, "times": None})
    begin(own)
    assert eventually(lambda: told(caplog))
    assert list(states(own).values()) == ["new"]
