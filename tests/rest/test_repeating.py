"""When the REST client sends a call again, and when never."""

import email.utils
import logging
import time

import pytest

from heygen_avatar import rest as rest_module
from heygen_avatar.errors import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    RateLimitError,
    ServerError,
)
from heygen_avatar.protocols import RestCall
from heygen_avatar.rest import RestClient
from tests.rude import (
    breaks_off,
    hangs_up,
    says,
    sends,
)

from .calls import CREATE, FINE, SAFE, TOKEN, call_failing

# -- sending again


@pytest.mark.parametrize("manner", [sends(b"", 500), sends(b"", 503), sends(b"", 429), hangs_up, breaks_off])
def test_a_safe_call_is_sent_again_after_a_passing_failure(server, client, quick, manner):
    server.will(manner, manner, FINE)
    assert client.call(SAFE, timeout=5) == {"session_id": "s-1"}
    assert len(server.heard) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 501])
def test_a_refusal_is_not_argued_with(server, client, quick, status):
    server.will(sends(b"", status), FINE)
    assert call_failing(client, kind=APIError).status == status
    assert len(server.heard) == 1


@pytest.mark.parametrize("manner", [sends(b"", 500), sends(b"", 502), sends(b"", 503), hangs_up, breaks_off])
def test_a_create_that_may_have_happened_is_never_sent_again(server, client, quick, manner):
    server.will(manner, FINE)
    call_failing(client, CREATE)
    assert len(server.heard) == 1


@pytest.mark.parametrize("manner", [sends(b"", 429), sends(b"", 503, Retry_After="0")])
def test_a_create_refused_at_the_door_is_sent_again(server, client, quick, manner):
    server.will(manner, FINE)
    assert client.call(CREATE, timeout=5) == {"session_id": "s-1"}
    assert len(server.heard) == 2


def test_a_create_that_could_not_connect_is_tried_again(closed_port, quick, caplog):
    caplog.set_level(logging.DEBUG, "heygen_avatar.rest")
    call_failing(RestClient(f"http://127.0.0.1:{closed_port}", token=TOKEN), CREATE, kind=APIConnectionError)
    assert len([record for record in caplog.records if "attempt" in record.message]) == rest_module.ATTEMPTS


def test_a_task_from_before_the_media_side_had_seen_us_is_sent_again(server, client, quick):
    server.will(says({"code": 400006, "message": "Session is not in correct state"}, 400), FINE)
    client.call(RestCall(name="streaming.task", path="/v1/streaming.task", body={}, repeat="unsent"), timeout=5)
    assert len(server.heard) == 2


def test_tries_come_to_an_end(server, client, quick):
    server.will(sends(b"", 500))
    call_failing(client, kind=ServerError)
    assert len(server.heard) == rest_module.ATTEMPTS


def test_retry_after_is_waited_for(server, client):
    server.will(sends(b"", 429, Retry_After="0.3"), FINE)
    began = time.monotonic()
    client.call(CREATE, timeout=5)
    assert time.monotonic() - began >= 0.3


def test_a_retry_after_beyond_the_deadline_is_an_error_at_once(server, client):
    server.will(sends(b"", 429, Retry_After="60"), FINE)
    began = time.monotonic()
    error = call_failing(client, timeout=5, kind=RateLimitError)
    assert time.monotonic() - began < 2
    assert error.retry_after == 60
    assert "Try again in 60 s" in str(error)
    assert len(server.heard) == 1


def test_retry_after_may_be_a_date(server, client):
    later = email.utils.format_datetime(email.utils.localtime().replace(microsecond=0), usegmt=False)
    server.will(sends(b"", 429, Retry_After=later), FINE)
    assert client.call(CREATE, timeout=5) == {"session_id": "s-1"}
    in_an_hour = email.utils.formatdate(time.time() + 3600, usegmt=True)
    server.will(sends(b"", 429, Retry_After=in_an_hour))
    assert call_failing(client, kind=RateLimitError).retry_after == pytest.approx(3600, abs=5)


@pytest.mark.parametrize("nonsense", ["soon", "nan", "inf", "-5", "Mon, 99 Foo 2026"])
def test_a_nonsense_retry_after_does_no_harm(server, client, quick, nonsense):
    server.will(sends(b"", 429, Retry_After=nonsense), FINE)
    try:
        assert client.call(CREATE, timeout=5) == {"session_id": "s-1"}
    except RateLimitError as error:
        assert nonsense == "inf"
        assert error.retry_after is not None


# -- a token that is no longer good


def test_a_refused_token_gives_way_to_the_key_where_either_will_do(server, client):
    server.will(says({"code": 400112, "message": "Unauthorized"}, status=401), says({"code": 100, "data": {"n": 1}}))
    call = RestCall(name="streaming.keep_alive", path="/v1/streaming.keep_alive", body={}, auth="either")
    assert client.call(call, timeout=5, token="of-an-hour-ago") == {"n": 1}
    assert [heard.headers.get("authorization") for heard in server.heard] == ["Bearer of-an-hour-ago", None]
    assert server.heard[1].headers["x-api-key"] == client.api_key


def test_a_key_that_is_refused_too_is_not_asked_by_again(server, client):
    server.will(says({"code": 400112, "message": "Unauthorized"}, status=401))
    call = RestCall(name="streaming.keep_alive", path="/v1/streaming.keep_alive", body={}, auth="either")
    with pytest.raises(AuthenticationError):
        client.call(call, timeout=5, token="of-an-hour-ago")
    assert len(server.heard) == 2


def test_a_refused_token_is_final_where_only_a_token_will_do(server, client):
    server.will(says({"code": 400112, "message": "Unauthorized"}, status=401))
    with pytest.raises(AuthenticationError):
        client.call(
            RestCall(name="streaming.new", path="/v1/streaming.new", body={}), timeout=5, token="of-an-hour-ago"
        )
    assert len(server.heard) == 1
