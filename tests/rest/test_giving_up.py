"""Deadlines and Ctrl-C, and who is told of the outcome of a call whose caller has left."""

import os
import signal
import socket
import threading
import time

import pytest

from heygen_avatar import rest as rest_module
from heygen_avatar.deadline import Deadline
from heygen_avatar.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    ServerError,
)
from heygen_avatar.protocols import WireError
from heygen_avatar.rest import RestClient
from tests.rude import (
    TRICKLES_BODY,
    TRICKLES_HEADERS,
    after,
    hangs_up,
    is_silent,
    says,
    sends,
)

from .calls import BY_KEY, CREATE, FINE, SAFE, TOKEN, Ears, call_failing, rest_threads

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
