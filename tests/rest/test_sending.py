"""What leaves the REST client, on which threads, and what is refused before anything does."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from heygen_avatar import rest as rest_module
from heygen_avatar.deadline import Deadline
from heygen_avatar.errors import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    UsageError,
)
from heygen_avatar.protocols import RestCall
from heygen_avatar.rest import RestClient
from heygen_avatar.version import __version__
from tests.rude import (
    after,
    is_silent,
    says,
)

from .calls import BY_KEY, CREATE, FINE, KEY, SAFE, TOKEN, Ears, call_failing, rest_threads

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
