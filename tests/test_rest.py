"""The REST client against a real server that misbehaves on demand."""

import email.utils
import gc
import json
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heygen_avatar import rest as rest_module
from heygen_avatar.deadline import Deadline
from heygen_avatar.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    HeyGenError,
    RateLimitError,
    ServerError,
    SessionStateError,
    UsageError,
)
from heygen_avatar.protocols import RestCall, WireError
from heygen_avatar.rest import RestClient
from heygen_avatar.version import __version__
from tests.rude import (
    TRICKLES_BODY,
    TRICKLES_HEADERS,
    RudeServer,
    after,
    breaks_off,
    forgets_tls,
    hangs_up,
    is_silent,
    says,
    sends,
)

TOKEN = "token-0123456789"
KEY = "key-abcdefghij"

SAFE = RestCall(name="streaming.keep_alive", path="/v1/streaming.keep_alive", body={"session_id": "s"})
CREATE = RestCall(name="streaming.new", path="/v1/streaming.new", body={"quality": "high"}, repeat="unsent")
BY_KEY = RestCall(name="streaming.create_token", path="/v1/streaming.create_token", body={}, auth="key")
FINE = says({"code": 100, "message": "success", "data": {"session_id": "s-1"}})


def rest_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("heygen-rest-")]


@pytest.fixture
def server():
    server = RudeServer()
    yield server
    server.stop()


@pytest.fixture
def client(server):
    client = RestClient(server.base_path, token=TOKEN, api_key=KEY)
    yield client
    client.close()


@pytest.fixture(autouse=True)
def no_thread_stays():
    yield
    for thread in rest_threads():
        thread.join(5)
    assert not rest_threads()


@pytest.fixture
def quick(monkeypatch):
    """Retries without their pauses."""
    monkeypatch.setattr(rest_module, "FIRST_PAUSE", 0.001)


@pytest.fixture
def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Ears:
    """What ``receive`` and ``failed`` were told, on which thread."""

    def __init__(self):
        self.told = []
        self.threads = []
        self._event = threading.Event()

    def receive(self, data):
        self._hear(data)

    def failed(self, error):
        self._hear(error)

    def _hear(self, outcome):
        self.told.append(outcome)
        self.threads.append(threading.current_thread().name)
        self._event.set()

    def wait(self):
        assert self._event.wait(5)
        return self.told


def call_failing(client, call=SAFE, *, timeout=5.0, kind=HeyGenError, **how):
    with pytest.raises(kind) as caught:
        client.call(call, timeout=timeout, **how)
    return caught.value


# -- what is sent


def test_a_call_posts_its_body_as_json_with_the_session_token(server, client):
    client.call(SAFE, timeout=5)
    [heard] = server.heard
    assert (heard.method, heard.path, heard.json) == ("POST", "/v1/streaming.keep_alive", {"session_id": "s"})
    assert heard.headers["authorization"] == f"Bearer {TOKEN}"
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["user-agent"] == f"heygen-avatar/{__version__}"
    assert "x-api-key" not in heard.headers


def test_a_call_by_key_sends_the_key_alone(server, client):
    client.call(BY_KEY, timeout=5)
    [heard] = server.heard
    assert heard.headers["x-api-key"] == KEY
    assert "authorization" not in heard.headers
    assert heard.json == {}


def test_a_calls_own_token_goes_before_the_clients(server, client):
    client.call(SAFE, timeout=5, token="another-token")
    assert server.heard[0].headers["authorization"] == "Bearer another-token"


def test_a_query_is_url_encoded(server, client):
    client.call(RestCall(name="list", path="/v2/streaming.list", method="GET", params={"token": "a&b"}), timeout=5)
    [heard] = server.heard
    assert (heard.method, heard.path, heard.body) == ("GET", "/v2/streaming.list?token=a%26b", b"")


def test_a_path_in_the_base_path_is_kept(server):
    RestClient(f"{server.base_path}/behind/a/proxy/", token=TOKEN).call(SAFE, timeout=5)
    assert server.heard[0].path == "/behind/a/proxy/v1/streaming.keep_alive"


def test_calls_share_one_connection(server, client):
    for _ in range(5):
        client.call(SAFE, timeout=5)
    assert len({heard.came_from for heard in server.heard}) == 1


def test_a_netrc_entry_does_not_replace_the_token(server, client, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    client.call(SAFE, timeout=5)
    assert server.heard[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_a_call_spelled_out_is_what_would_be_sent(server, client, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for call in (SAFE, BY_KEY):
        spelled = client.spelled_out(call)
        client.call(call, timeout=5)
        heard = server.heard[-1]
        assert (spelled["method"], spelled["url"]) == (heard.method, server.base_path + heard.path)
        assert spelled["body"].encode() == heard.body
        sent = {name.lower(): value for name, value in spelled["headers"].items()}
        assert sent.items() <= heard.headers.items()
        assert ("authorization" in sent, "x-api-key" in sent) == (call is SAFE, call is BY_KEY)


def test_the_environments_proxy_is_used(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.base_path)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    RestClient("http://heygen.invalid", token=TOKEN).call(SAFE, timeout=5)
    assert server.heard[0].path == "http://heygen.invalid/v1/streaming.keep_alive"


def test_a_proxy_that_refuses_is_told_of_and_nothing_was_sent(closed_port, monkeypatch, quick):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    client = RestClient("http://heygen.invalid", token=TOKEN)
    error = call_failing(client, CREATE, kind=APIConnectionError)
    assert not error.sent
    assert "through the proxy" in str(error)
    client.close()


def test_what_needs_no_proxy_has_none(server, client, closed_port, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    client.call(SAFE, timeout=5)
    assert len(server.heard) == 1


def test_calls_of_many_threads_get_each_its_own_answer(server, client):
    def ask(number):
        return client.call(RestCall(name="echo", path="/echo", body={"n": number}), timeout=5)

    server.will(lambda visit: says({"code": 100, "data": visit.heard.json})(visit))
    with ThreadPoolExecutor(8) as pool:
        assert [reply["n"] for reply in pool.map(ask, range(40))] == list(range(40))


# -- what is refused before anything is sent


@pytest.mark.parametrize("secret", ["", "with space", "line\nbreak", "trailing\n", "ключ", "null\0", "tab\t", 7])
def test_a_secret_that_no_header_can_carry_is_refused_unshown(secret):
    with pytest.raises(ConfigurationError) as caught:
        RestClient("http://127.0.0.1", token=secret)
    assert str(secret).strip() == "" or str(secret) not in str(caught.value)


def test_a_calls_own_token_is_checked_too(server, client):
    call_failing(client, token="secret\r\nX-Evil: 1", kind=ConfigurationError)
    assert not server.heard


@pytest.mark.parametrize(
    "base_path",
    ["", "api.heygen.com", "ftp://api.heygen.com", "http://", "http://[1", "http://h:99999", "http://h:0", " http://h"],
)
def test_an_unusable_base_path_is_refused_with_an_example(base_path):
    with pytest.raises(ConfigurationError, match=r"https://api\.heygen\.com"):
        RestClient(base_path, token=TOKEN)


@pytest.mark.parametrize("base_path", ["http://me:secret@host", "http://host?secret=1", "http://host#secret", None])
def test_a_base_path_with_more_than_an_address_is_refused_unshown(base_path):
    with pytest.raises(ConfigurationError) as caught:
        RestClient(base_path, token=TOKEN)
    assert "secret" not in str(caught.value)


def test_a_call_by_key_without_a_key_says_what_to_give(server):
    error = call_failing(RestClient(server.base_path, token=TOKEN), BY_KEY, kind=ConfigurationError)
    assert "api_key=" in str(error)
    assert not server.heard


def test_a_call_without_any_time_is_not_sent(server, client):
    error = call_failing(client, timeout=0, kind=APITimeoutError)
    assert not error.sent
    assert not server.heard


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


# -- deadlines


@pytest.mark.parametrize("manner", [is_silent, TRICKLES_HEADERS, TRICKLES_BODY])
def test_the_deadline_holds_against_a_server_that_does_not_end(server, client, manner):
    server.will(manner)
    began = time.monotonic()
    error = call_failing(client, timeout=0.4, kind=APITimeoutError)
    assert 0.35 < time.monotonic() - began < 0.9
    assert error.sent
    for thread in rest_threads():
        thread.join(1)
    assert not rest_threads(), "the request was not cut off"


def test_the_deadline_covers_all_tries_together(server, client, monkeypatch):
    monkeypatch.setattr(rest_module, "FIRST_PAUSE", 0.1)
    server.will(sends(b"", 503), sends(b"", 503), is_silent)
    began = time.monotonic()
    call_failing(client, timeout=0.8, kind=APITimeoutError)
    assert time.monotonic() - began < 1.3


def test_what_was_not_sent_by_the_deadline_is_never_sent():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            # Linux takes one more than the backlog; then a connect just waits.
            client = RestClient(f"http://127.0.0.1:{port}", token=TOKEN)
            ears = Ears()
            error = call_failing(client, CREATE, timeout=0.3, kind=APITimeoutError, receive=ears.receive)
            assert not error.sent
            full.settimeout(5)
            full.accept()[0].close()
            for thread in rest_threads():
                thread.join(5)
            full.settimeout(0.2)
            try:
                late, _ = full.accept()
            except TimeoutError:
                return
            with late:
                late.settimeout(5)
                assert late.recv(100) == b""


def test_a_connection_given_up_on_does_not_disturb_the_next_call(server, client):
    server.will(is_silent, FINE)
    call_failing(client, timeout=0.2, kind=APITimeoutError)
    for _ in range(3):
        assert client.call(SAFE, timeout=5) == {"session_id": "s-1"}


# -- Ctrl-C: the server presses it, when it has the request


def press_ctrl_c(then):
    def manner(visit):
        os.kill(os.getpid(), signal.SIGINT)
        then(visit)

    return manner


def test_ctrl_c_ends_a_call_at_once_and_cuts_it_off(server, client):
    server.will(press_ctrl_c(is_silent))
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        client.call(SAFE, timeout=20)
    assert time.monotonic() - began < 2
    for thread in rest_threads():
        thread.join(1)
    assert not rest_threads()


def test_a_create_that_ctrl_c_left_alone_still_tells_of_its_session(server, client):
    answer, ears = threading.Event(), Ears()
    server.will(press_ctrl_c(after(answer, FINE)))
    with pytest.raises(KeyboardInterrupt):
        client.call(CREATE, timeout=20, receive=ears.receive, failed=ears.failed)
    assert not ears.told
    answer.set()
    assert ears.wait() == [{"session_id": "s-1"}]


def test_ctrl_c_during_a_pause_sends_nothing_more(server, client):
    server.will(press_ctrl_c(sends(b"", 503, Retry_After="3")), FINE)
    ears = Ears()
    with pytest.raises(KeyboardInterrupt):
        client.call(CREATE, timeout=20, receive=ears.receive, failed=ears.failed)
    [error] = ears.wait()
    assert isinstance(error, ServerError)
    assert len(server.heard) == 1


# -- who is told of the outcome


def test_the_outcome_is_told_on_the_calls_own_thread_before_the_caller_wakes(server, client):
    server.will(FINE)
    ears = Ears()
    assert client.call(CREATE, timeout=5, receive=ears.receive, failed=ears.failed) == {"session_id": "s-1"}
    assert ears.told == [{"session_id": "s-1"}]
    assert ears.threads[0].startswith("heygen-rest-")


def test_a_failure_is_told_too(server, client):
    server.will(says({"message": "Unauthorized", "code": 400112}, 401))
    ears = Ears()
    error = call_failing(client, CREATE, kind=AuthenticationError, receive=ears.receive, failed=ears.failed)
    assert ears.told == [error]


def test_a_call_that_cannot_begin_is_told_as_a_failure(server):
    ears = Ears()
    client = RestClient(server.base_path, token=TOKEN)
    error = call_failing(client, BY_KEY, kind=ConfigurationError, receive=ears.receive, failed=ears.failed)
    assert ears.told == [error]


@pytest.mark.parametrize("begins", [False, True])
def test_ctrl_c_while_the_thread_starts_leaves_one_outcome(server, client, monkeypatch, begins):
    start = threading.Thread.start

    def interrupted(thread):
        if begins:
            start(thread)
        raise KeyboardInterrupt

    server.will(FINE)
    ears = Ears()
    with monkeypatch.context() as patch:
        patch.setattr(rest_module.threading.Thread, "start", interrupted)
        # The server cannot start a thread either: it answers on the one it has.
        patch.setattr(server, "process_request", lambda request, address: server.finish_request(request, address))
        with pytest.raises(KeyboardInterrupt):
            client.call(CREATE, timeout=5, receive=ears.receive, failed=ears.failed)
        [outcome] = ears.wait()
    if server.heard:
        assert outcome == {"session_id": "s-1"}
    else:
        assert isinstance(outcome, (KeyboardInterrupt, APIConnectionError))


@pytest.mark.parametrize("late", [FINE, hangs_up, sends(b"", 500)])
def test_a_reply_that_comes_after_the_deadline_is_told_once(server, client, late):
    answer, ears = threading.Event(), Ears()
    server.will(after(answer, late))
    assert call_failing(
        client, CREATE, timeout=0.2, kind=APITimeoutError, receive=ears.receive, failed=ears.failed
    ).sent
    assert not ears.told
    answer.set()
    for thread in rest_threads():
        thread.join(5)
    assert len(ears.told) == 1


@pytest.mark.parametrize("manner", [TRICKLES_HEADERS, TRICKLES_BODY])
def test_a_trickle_that_somebody_must_hear_of_is_cut_off_too_in_the_end(server, client, monkeypatch, manner):
    monkeypatch.setattr(rest_module, "LATE", 0.2)
    ears = Ears()
    server.will(manner)
    call_failing(client, CREATE, timeout=0.2, kind=APITimeoutError, receive=ears.receive, failed=ears.failed)
    [error] = ears.wait()
    assert isinstance(error, APIConnectionError)
    assert error.sent


def test_an_endless_body_is_not_read_to_its_end(server, client, monkeypatch):
    def floods(visit):
        visit.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while not visit.server.leaving.is_set():
            visit.wfile.write(b"x" * 65_536)

    monkeypatch.setattr(rest_module, "MAX_BODY", 100_000)
    server.will(floods)
    began = time.monotonic()
    assert call_failing(client, CREATE, timeout=5, kind=APIConnectionError).sent
    assert time.monotonic() - began < 2


def test_a_reply_at_the_very_deadline_is_told_exactly_once(server, client):
    """The caller gives up while the reply comes in: whoever wins, the session's id is known to one who can stop it."""
    for round_ in range(40):
        ears = Ears()
        pause = threading.Event()

        def at_the_deadline(visit, pause=pause, delay=0.04 + round_ % 10 * 0.002):
            pause.wait(delay)
            FINE(visit)

        server.will(at_the_deadline)
        try:
            assert client.call(CREATE, timeout=0.05, receive=ears.receive, failed=ears.failed) == {"session_id": "s-1"}
        except APITimeoutError as error:
            assert error.sent
        assert ears.wait() == [{"session_id": "s-1"}]


def test_a_reply_that_makes_no_sense_to_its_receiver_is_a_connection_error(server, client):
    def receive(data):
        raise WireError("the reply holds no session_id")

    server.will(says({"code": 100, "data": {}}))
    error = call_failing(client, CREATE, kind=APIConnectionError, receive=receive)
    assert str(error) == "streaming.new: the reply holds no session_id"


def test_a_reply_can_be_waited_for_piecemeal(server, client):
    answer = threading.Event()
    server.will(after(answer, FINE))
    reply = client.begin(SAFE, timeout=5)
    assert not reply.wait(Deadline.after(0.05))
    assert not reply.done
    answer.set()
    assert reply.wait(Deadline.after(5))
    assert reply.result() == {"session_id": "s-1"}
    reply.abandon()


# -- closing


def test_a_closed_client_refuses_calls(server, client):
    client.close()
    call_failing(client, kind=UsageError)
    assert not server.heard


def test_closing_ends_a_call_that_is_under_way(server, client):
    server.will(is_silent)
    reply = client.begin(SAFE, timeout=20)
    assert server.visited.acquire(timeout=5)
    client.close()
    assert reply.wait(Deadline.after(2))
    with pytest.raises(APIConnectionError, match="given up"):
        reply.result()


def test_closing_leaves_a_create_that_somebody_must_hear_of(server, client):
    answer, ears = threading.Event(), Ears()
    server.will(after(answer, FINE))
    client.begin(CREATE, timeout=5, receive=ears.receive)
    assert server.visited.acquire(timeout=5)
    client.close()
    answer.set()
    assert ears.wait() == [{"session_id": "s-1"}]


# -- threads


def test_calls_run_on_named_daemon_threads(server, client):
    server.will(is_silent)
    reply = client.begin(SAFE, timeout=5)
    assert server.visited.acquire(timeout=5)
    [thread] = rest_threads()
    assert thread.daemon
    reply.abandon()


def test_where_no_thread_can_be_started_calls_run_inline(server, client, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    server.will(FINE)
    with monkeypatch.context() as shutdown:
        shutdown.setattr(rest_module.threading.Thread, "start", refuse)
        # The server cannot start a thread either: it answers on the one it has.
        shutdown.setattr(server, "process_request", lambda request, address: server.finish_request(request, address))
        ears = Ears()
        assert client.call(SAFE, timeout=5, receive=ears.receive) == {"session_id": "s-1"}
    assert ears.threads == [threading.current_thread().name]


def test_a_call_at_the_end_of_the_process_is_made(server):
    # From CPython 3.12 on, no thread can be started there.
    server.will(FINE)
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            f"""
import atexit
from heygen_avatar.protocols import RestCall
from heygen_avatar.rest import RestClient

client = RestClient({server.base_path!r}, token={TOKEN!r})
call = RestCall(name="streaming.stop", path="/v1/streaming.stop", body={{"session_id": "s"}})
atexit.register(lambda: print(client.call(call, timeout=5)))
""",
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (ran.stdout.strip(), ran.stderr) == ("{'session_id': 's-1'}", "")
    assert [heard.path for heard in server.heard] == ["/v1/streaming.stop"]


# -- secrets


def everything_told_by(error):
    """The error, what it is chained to, and all that hangs on them, as text."""
    texts, pending, seen = [], [error], set()
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        texts += [str(current), repr(current), repr(vars(current)), "".join(traceback.format_exception(current))]
        pending += [current.__cause__, current.__context__]
        for attribute in ("request", "response"):
            held = getattr(current, attribute, None)
            texts.append(repr(getattr(held, "headers", "")))
    return "\n".join(texts)


@pytest.mark.parametrize(
    "manner",
    [
        hangs_up,
        breaks_off,
        is_silent,
        sends(b"", 307, Location=f"http://elsewhere/?token={TOKEN}"),
        says({"message": f"invalid token {TOKEN}", "code": 400112}, 401),
        sends(TOKEN.encode(), 500),
    ],
)
def test_no_error_shows_the_token(server, client, manner):
    server.will(manner)
    assert TOKEN not in everything_told_by(call_failing(client, CREATE, timeout=0.5))


def test_a_secret_echoed_by_the_service_is_blacked_out_in_the_kept_body(server, client):
    server.will(says({"message": "no such key", "data": KEY}, 401))
    error = call_failing(client, BY_KEY, kind=AuthenticationError)
    assert KEY not in error.response_text
    assert "[redacted]" in error.response_text


ODD_TOKEN = "to/ken=with+odd"


@pytest.mark.parametrize(
    "echo",
    [
        pytest.param(rb"to\/ken=with+odd", id="slashes escaped as in JSON"),
        pytest.param(rb"to/ken\u003dwith\u002bodd", id="characters escaped as in JSON"),
        pytest.param(b"to%2Fken%3Dwith%2Bodd", id="as in a URL"),
    ],
)
def test_an_echoed_secret_is_blacked_out_however_it_is_spelled(server, echo):
    client = RestClient(server.base_path, token=ODD_TOKEN)
    server.will(sends(b'{"code": 400112, "message": "bad token ' + echo + b'"}', 401))
    error = call_failing(client, kind=AuthenticationError)
    assert error.message == "bad token [redacted]"
    assert echo.decode() not in everything_told_by(error)
    assert ODD_TOKEN not in everything_told_by(error)
    client.close()


def test_a_secret_echoed_as_the_requests_id_is_blacked_out(server, client):
    server.will(says({"message": "no"}, 400, X_Request_Id=TOKEN))
    assert call_failing(client, kind=APIError).request_id == "[redacted]"


def test_a_short_secret_does_not_garble_what_an_error_means(server):
    client = RestClient(server.base_path, token="1")
    server.will(says({"code": 10005, "message": "session state wrong: closed"}, 400))
    assert call_failing(client, kind=SessionStateError).code == 10005
    client.close()


def test_an_error_that_was_dealt_with_keeps_nothing_alive(server, client):
    class Avatar:
        pass

    def fail():
        avatar = Avatar()
        with suppress(APIError):
            client.call(SAFE, timeout=5)
        return weakref.ref(avatar)

    server.will(says({"code": 10005, "message": "session state wrong: closed"}, 400))
    gc.disable()
    try:
        assert fail()() is None, "its traceback is held by a cycle that only a garbage collection ends"
    finally:
        gc.enable()


def test_no_log_line_shows_a_secret_or_a_body(server, client, caplog, quick):
    caplog.set_level(logging.DEBUG)
    server.will(sends(b"the body", 503), FINE)
    client.call(SAFE, timeout=5)
    client.call(BY_KEY, timeout=5)
    assert caplog.records
    for hidden in (TOKEN, KEY, "the body", "session_id"):
        assert hidden not in caplog.text


def test_a_clients_repr_shows_where_it_goes_and_no_secret(client, server):
    assert repr(client) == f"<RestClient {server.base_path}>"


# -- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls_server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = RudeServer(context)
    yield server
    server.stop()


def test_a_tls_break_after_a_create_is_not_taken_for_a_failed_handshake(tls_server, certificate, monkeypatch, quick):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    tls_server.will(forgets_tls, FINE)
    error = call_failing(RestClient(tls_server.base_path, token=TOKEN), CREATE, kind=APIConnectionError)
    assert error.sent
    assert "broke the secure connection" in str(error)
    assert len(tls_server.heard) == 1


def test_a_call_over_tls_is_cut_off_at_its_deadline(tls_server, certificate, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    tls_server.will(TRICKLES_BODY)
    call_failing(RestClient(tls_server.base_path, token=TOKEN), timeout=0.5, kind=APITimeoutError)
    for thread in rest_threads():
        thread.join(1)
    assert not rest_threads()


def test_an_untrusted_certificate_is_refused_before_anything_is_sent(tls_server, quick):
    error = call_failing(RestClient(tls_server.base_path, token=TOKEN), CREATE, kind=APIConnectionError)
    assert not error.sent
    assert "certificate verify failed" in str(error)
    assert not tls_server.heard


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
