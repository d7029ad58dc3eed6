"""The calls that the tests of this folder make, and how they hear of what became of them."""

import threading

import pytest

from heygen_avatar.errors import HeyGenError
from heygen_avatar.protocols import RestCall
from tests.rude import says

TOKEN = "token-0123456789"
KEY = "key-abcdefghij"

SAFE = RestCall(name="streaming.keep_alive", path="/v1/streaming.keep_alive", body={"session_id": "s"})
CREATE = RestCall(name="streaming.new", path="/v1/streaming.new", body={"quality": "high"}, repeat="unsent")
BY_KEY = RestCall(name="streaming.create_token", path="/v1/streaming.create_token", body={}, auth="key")
FINE = says({"code": 100, "message": "success", "data": {"session_id": "s-1"}})


def rest_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("heygen-rest-")]


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
