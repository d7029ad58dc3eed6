"""A rude server, a client of it, and no thread of a call left behind."""

import socket

import pytest

from heygen_avatar import rest as rest_module
from heygen_avatar.rest import RestClient
from tests.rude import RudeServer

from .calls import KEY, TOKEN, rest_threads


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
