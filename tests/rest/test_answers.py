"""What the REST client makes of answers, whatever they are."""

import gc
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heygen_avatar.errors import (
    APIConnectionError,
    APIError,
    HeyGenError,
    ServerError,
    SessionStateError,
)
from heygen_avatar.rest import RestClient
from tests.rude import (
    RudeServer,
    breaks_off,
    hangs_up,
    says,
    sends,
)

from .calls import CREATE, SAFE, TOKEN, call_failing

# -- what comes back


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"code": 100, "message": "Success", "data": {"a": 1}}, 200),
        ({"code": 1000, "message": "ok", "data": {"a": 1}}, 201),
        ({"error": None, "data": {"a": 1}}, 200),
        ({"code": "100", "data": {"a": 1}}, 200),
    ],
)
def test_the_data_of_either_envelope_is_returned(server, client, body, status):
    server.will(says(body, status))
    assert client.call(SAFE, timeout=5) == {"a": 1}


def test_an_envelope_without_data_is_none(server, client):
    server.will(says({"code": 100, "message": "success"}))
    assert client.call(SAFE, timeout=5) is None


def test_no_content_is_none(server, client):
    server.will(sends(b"", 204))
    assert client.call(SAFE, timeout=5) is None


@pytest.mark.parametrize("body", [{"code": 10005, "message": "session state wrong: closed"}, {"error": "no"}])
def test_an_error_in_a_200_is_an_error(server, client, body):
    server.will(says(body))
    assert call_failing(client, kind=APIError).status == 200


def test_an_error_reply_becomes_its_class_with_its_facts(server, client):
    server.will(says({"code": 10005, "message": "session state wrong: closed"}, 400, X_Request_Id="r-1"))
    error = call_failing(client, kind=SessionStateError)
    assert (error.status, error.code, error.request_id) == (400, 10005, "r-1")
    assert error.message == "session state wrong: closed"
    assert json.loads(error.response_text)["code"] == 10005
    assert str(error).startswith(
        "streaming.keep_alive: session state wrong: closed (HTTP 400, code 10005, request r-1)"
    )


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        (sends(b""), "an empty reply"),
        (sends(b"<html><body>Sign in to the hotel's network</body></html>"), "web page"),
        (sends(b'{"code": 100, "data"'), "not JSON"),
        (sends(b"[" * 100_000), "not JSON"),
        (breaks_off, "broke off"),
        (hangs_up, "closed the connection"),
    ],
)
def test_an_unusable_answer_says_what_was_wrong_with_it(server, client, manner, words):
    server.will(manner)
    error = call_failing(client, CREATE, kind=APIConnectionError)
    assert error.sent
    assert words in str(error)
    assert str(error).startswith("streaming.new: 127.0.0.1:")
    assert len(server.heard) == 1


def test_a_gateways_web_page_is_a_server_error(server, client):
    server.will(sends(b"<html><h1>502 Bad Gateway</h1></html>", 502, Content_Type="text/html"))
    error = call_failing(client, CREATE, kind=ServerError)
    assert error.status == 502
    assert "web page" in error.message


def test_a_redirect_is_not_followed(server, client):
    other = RudeServer()
    try:
        server.will(sends(b"", 307, Location=f"{other.base_path}/v1/streaming.new?secret=1"))
        error = call_failing(client, CREATE, kind=APIConnectionError)
        assert not other.heard
    finally:
        other.stop()
    assert "http://127.0.0.1 (HTTP 307)" in str(error)
    assert "secret" not in str(error)


def test_a_refused_connection_is_certainly_unsent(closed_port, quick):
    error = call_failing(RestClient(f"http://127.0.0.1:{closed_port}", token=TOKEN), kind=APIConnectionError)
    assert not error.sent
    assert "Connection refused" in str(error)


def test_an_unknown_host_is_certainly_unsent(quick):
    error = call_failing(RestClient("http://heygen.invalid", token=TOKEN), kind=APIConnectionError)
    assert not error.sent
    assert "heygen.invalid" in str(error)


# -- anything at all


@given(
    status=st.integers(200, 599),
    body=st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda value: json.dumps(value).encode(),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(
                        st.sampled_from(["code", "message", "data", "error", "detail", "msg", "details", "loc"]),
                        inner,
                        max_size=4,
                    )
                ),
                max_leaves=8,
            ),
        ),
    ),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_status_with_any_body_gives_data_or_one_of_our_errors(server, client, status, body):
    server.will(sends(body, status))
    try:
        client.call(CREATE, timeout=0.2)
    except HeyGenError as error:
        str(error).encode()
        if isinstance(error, APIError):
            assert error.status == status


def test_a_dropped_client_leaves_no_open_socket(server):
    RestClient(server.base_path, token=TOKEN).call(SAFE, timeout=5)
    gc.collect()  # a socket left open would be a ResourceWarning, which the suite takes for an error
    assert server.heard
