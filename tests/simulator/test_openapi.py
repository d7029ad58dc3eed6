"""The simulator's description of itself, and arbitrary requests made from it: each gets an answer as described."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from heygen_avatar.simulator import Limits, Simulator
from heygen_avatar.simulator.liveavatar.library import STORED_AGENT
from heygen_avatar.simulator.openapi.document import CALLS, describe
from heygen_avatar.simulator.replies import Fields
from tests.programs import eventually

from .live_visitors import WAYNE, LiveCaller
from .visitors import PATIENCE, Caller

FEW = Limits(concurrent_sessions=2, credits=1e9, liveavatar_calls_per_second=10**9)
"""Few rooms at once, and no rate of calls that is too high for a fuzzer."""

OWN_AVATAR, OWN_VOICE = "0f5e2d1c-7b0e-4a3a-9d0f-1f2e3d4c5b6a", "1a6f3e2d-8c1f-4b4b-8e1a-2a3f4e5d6c7b"
NOBODY: Mapping[str, str] = defaultdict(lambda: "00000000-0000-4000-8000-000000000000")
TOKEN_IN_QUERY = ("/v1/ws/streaming.chat",)
HERE = Path(__file__).parent
SECONDS = 280
"""A fuzzer takes ten, and many times that on a machine that is busy with other things."""
patiently = pytest.mark.timeout(SECONDS + 20)


@pytest.fixture
def fuzzed(caplog: pytest.LogCaptureFixture) -> Iterator[Simulator]:
    """A simulator of the test's own. Whatever it is asked, nothing in it fails, and nothing stays of it."""
    threads = _threads()
    with Simulator(limits=FEW, avatars=[OWN_AVATAR], voices=[OWN_VOICE]) as simulator:
        tasks = _tasks(simulator)
        yield simulator
        _end_all_sessions(simulator)
        assert eventually(lambda: _tasks(simulator) <= tasks, 10.0), f"left behind: {_tasks(simulator) - tasks}"
    assert _threads() <= threads
    failures = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR or record.exc_info]
    assert [record.getMessage() for record in failures] == []


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.name.startswith("Dummy-")}


def _tasks(simulator: Simulator) -> set[str]:
    """What runs on the simulator's loop, as rooms, avatars and sockets do; its clients' connections apart."""
    loop = simulator._loop
    assert loop is not None
    tasks = {str(task.get_coro()) for task in asyncio.all_tasks(loop)}
    return {task for task in tasks if "RequestHandler.start" not in task}


def _end_all_sessions(simulator: Simulator) -> None:
    caller = Caller(simulator)
    stops = {"heygen": "/v1/streaming.stop", "liveavatar": "/v1/sessions/stop"}
    for record in simulator.sessions():
        caller.post(stops[record["service"]], session_id=record["session_id"])
    assert {record["state"] for record in simulator.sessions()} <= {"closed"}


# The description


def test_the_description_has_every_route_and_no_other(simulator: Simulator) -> None:
    paths = Caller(simulator).get("/simulator/openapi.json").json()["paths"]
    described = {f"{method.upper()} {path}" for path, calls in paths.items() for method in calls}
    assert described == {name for calls in CALLS.values() for name in calls}


def test_the_description_tells_which_credential_opens_what(fuzzed: Simulator) -> None:
    description = Caller(fuzzed).get("/simulator/openapi.json").json()
    tokens = {"HeyGen": Caller(fuzzed).token, "LiveAvatar": lambda: LiveCaller(fuzzed).order()["session_token"]}
    for path, calls in description["paths"].items():
        for method, call in calls.items():
            (part,) = call["tags"]
            if part == "Simulator" or path in TOKEN_IN_QUERY:
                continue
            doors = {name for credential in call["security"] for name in credential} or {"key", "token", "none"}
            callers = {
                "key": Caller(fuzzed),
                "token": Caller(fuzzed, token=tokens[part]()),
                "none": Caller(fuzzed, headers={}),
            }
            answers = {name: caller.call(method, path.format_map(NOBODY)) for name, caller in callers.items()}
            assert {name for name, answer in answers.items() if answer.status_code != 401} == doors, (method, path)


def test_a_route_without_a_description_is_named() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response()

    application = web.Application()
    application.router.add_get("/v1/streaming.forgotten", answer)
    with pytest.raises(LookupError, match=r"GET /v1/streaming\.forgotten"):
        describe(application.router)


# Arbitrary requests


def fuzz(simulator: Simulator, folder: Path, *options: str, ids: dict[str, dict[str, str]] | None = None) -> None:
    """Let Schemathesis make requests from the description, good ones and bad ones, and judge the answers.

    ``ids`` are for the requests to name, by the part of the simulator and the name of the field.
    """
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(HERE / "schemathesis.toml")]
    ended = subprocess.run(
        [*command, "run", f"{simulator.base_path}/simulator/openapi.json", *options],
        cwd=folder,  # where it keeps its cache
        env={**os.environ, "PYTHONPATH": str(HERE.parent.parent), "FUZZED_IDS": json.dumps(ids or {})},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert ended.returncode == 0, ended.stdout[-10_000:] + ended.stderr[-2_000:]


def what_is_there(simulator: Simulator) -> dict[str, dict[str, str]]:
    """Ids of two sessions, and of all that the account keeps."""
    owner, live = Caller(simulator), LiveCaller(simulator)
    base = owner.post("/v1/streaming/knowledge_base/create", name="A base").json()["data"]["id"]
    secret = live.create("/v1/secrets", secret_type="ELEVENLABS_API_KEY", secret_name="Key", secret_value="a word")[
        "id"
    ]
    model = live.create("/v1/llm-configurations", display_name="M", model_name="m", secret_id=secret)["id"]
    session = live.begun()["session_id"]
    memory = live.create("/v1/memory", memory_type="session", session_id=session)["id"]
    return {
        "HeyGen": {
            "session_id": owner.started()["session_id"],
            "id": base,
            "knowledge_base_id": base,
            "avatar_id": "default",
            "voice_id": owner.get("/v2/voices").json()["data"]["voices"][0]["voice_id"],
        },
        "LiveAvatar": {
            "session_id": session,
            "prev_session_id": session,
            "avatar_id": OWN_AVATAR,
            "voice_id": OWN_VOICE,
            "default_voice_id": OWN_VOICE,
            "context_id": live.context(),
            "memory_id": memory,
            "session_memory_id": memory,
            "secret_id": secret,
            "config_id": model,
            "llm_configuration_id": model,
            "agent_id": STORED_AGENT,
        },
    }


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of all fields that were looked for in a body."""
    names: set[str] = set()

    class Noting(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            names.add(name)
            return super().get(name, default)

    original = Fields.__init__
    monkeypatch.setattr(Fields, "__init__", lambda self, values, prefix="": original(self, Noting(values), prefix))
    return names


def described_fields(schema: object) -> set[str]:
    if isinstance(schema, list):
        return {name for item in schema for name in described_fields(item)}
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", ())) | described_fields(list(schema.values()))


@patiently
@pytest.mark.parametrize(
    ("calls", "hard_to_reach"),
    [
        # The calls' old names lead to the same.
        (["--include-tag=HeyGen", "--exclude-path-regex=^/v1/realtime"], "use_speaker_boost"),
        # A plan of faults would spoil the other answers: it is fuzzed by itself.
        (["--exclude-tag=HeyGen", "--exclude-name=POST /simulator/faults"], "session_memory_id"),
    ],
    ids=["HeyGen", "LiveAvatar"],
)
def test_whatever_the_accounts_owner_sends_is_answered_as_described(
    fuzzed: Simulator, tmp_path: Path, read: set[str], calls: list[str], hard_to_reach: str
) -> None:
    ids = what_is_there(fuzzed)
    fuzz(fuzzed, tmp_path, "-H", f"X-Api-Key: {fuzzed.api_key}", *calls, ids=ids)
    states = {record["session_id"]: record["state"] for record in fuzzed.sessions()}
    assert states[ids["HeyGen"]["session_id"]] == states[ids["LiveAvatar"]["session_id"]] == "connecting"
    bodies = [call.body for calls_of_one in CALLS.values() for call in calls_of_one.values()]
    assert hard_to_reach in read <= described_fields(bodies)


@patiently
@pytest.mark.parametrize("service", ["HeyGen", "LiveAvatar"])
def test_whatever_a_sessions_token_is_used_for_is_answered_as_described(
    fuzzed: Simulator, tmp_path: Path, service: str
) -> None:
    tokens = {"HeyGen": Caller(fuzzed).token, "LiveAvatar": lambda: LiveCaller(fuzzed).order()["session_token"]}
    paths = {"HeyGen": r"^/v1/streaming\.", "LiveAvatar": "^/v1/sessions/"}
    bearer = f"Authorization: Bearer {tokens[service]()}"
    fuzz(fuzzed, tmp_path, "-H", bearer, "--phases=fuzzing", f"--include-path-regex={paths[service]}")
    assert [record["service"] for record in fuzzed.sessions()] == [service.lower()]


@patiently
def test_whatever_a_stranger_sends_is_answered_as_described_and_opens_nothing(
    fuzzed: Simulator, tmp_path: Path
) -> None:
    fuzz(fuzzed, tmp_path, "--phases=fuzzing", "--max-examples=2", "--exclude-name=POST /simulator/faults")
    assert fuzzed.sessions() == []


@patiently
def test_whatever_plan_of_faults_is_sent_is_answered_as_described(fuzzed: Simulator, tmp_path: Path) -> None:
    fuzz(fuzzed, tmp_path, "--include-name=POST /simulator/faults", "--max-examples=20")
    assert fuzzed.fault_calls()
    fuzzed.clear_faults()


# What no description can say


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


ODD_BODIES = {
    "no JSON": b"{",
    "a page": b"<html></html>",
    "no text": b"\xff\xfe\x00\xd8",
    "no object": b"[1, null]",
    "half a pair": b'{"session_id": "\\ud800", "text": "\\udfff", "name": "\\ud800", "path": "\\ud800"}',
    "no number": b'{"activity_idle_timeout": NaN, "max_session_duration": Infinity, "seconds": NaN}',
    "huge numbers": b'{"activity_idle_timeout": %b, "max_session_duration": -1e999, "at": 1e999}' % (b"9" * 5_000),
    "null everywhere": b'{"session_id": null, "text": null, "avatar_id": null, "name": null, "kind": null}',
    "nothing but depth": nested(100_000),
    "a field of depth": b'{"kind": "status", "session_id": %b}' % nested(900),
    "too much": b'{"text": "%b"}' % (b"a" * 2**20),
}


@pytest.mark.parametrize("body", ODD_BODIES.values(), ids=ODD_BODIES.keys())
def test_no_body_is_too_odd_for_a_described_answer(fuzzed: Simulator, body: bytes) -> None:
    caller = Caller(fuzzed)
    token = LiveCaller(fuzzed).order()["session_token"]
    for path, calls in caller.get("/simulator/openapi.json").json()["paths"].items():
        for method, call in calls.items():
            if "requestBody" in call:
                headers = {"Authorization": f"Bearer {token}"} if path.startswith("/v1/sessions/") else {}
                answer = caller.call(method, path, data=body, headers=headers)
                assert str(answer.status_code) in call["responses"], (method, path, answer.text)
                assert answer.headers["Content-Type"].startswith("application/json")
    fuzzed.clear_faults()


@pytest.mark.parametrize("levels", [99, 100, 500, *range(950, 1_000, 5), 20_000])
def test_json_is_refused_for_its_depth_before_that_does_harm(fuzzed: Simulator, levels: int) -> None:
    # What was read just so could not be written into a token, and not shown in a refusal.
    order = b'{"avatar_id": "%b", "mode": "LITE", "note": %b}' % (WAYNE.encode(), nested(levels))
    answer = Caller(fuzzed).call("POST", "/v1/sessions/token", data=order)
    assert answer.status_code == (200 if levels < 100 else 422)
    plan = b'{"kind": "status", "path": %b}' % nested(levels)
    assert Caller(fuzzed).call("POST", "/simulator/faults", data=plan).status_code == 400


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/streaming.new", 400), ("/v1/contexts", 422), ("/simulator/faults", 400)]
)
def test_a_body_that_is_not_packed_as_it_says_is_no_json(fuzzed: Simulator, path: str, status: int) -> None:
    answer = Caller(fuzzed).call("POST", path, data=b"{}", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == status
    assert "JSON" in answer.json()["message"]


@pytest.mark.parametrize("path", ["/v1/streaming.task", "/v1/sessions/keep-alive"])
@pytest.mark.parametrize("header", ["X-Api-Key", "Authorization"])
def test_a_credential_that_is_no_text_is_a_wrong_one(fuzzed: Simulator, path: str, header: str) -> None:
    stranger = Caller(fuzzed, headers={header: b"Bearer \xff\xed\xa0\x80"})  # type: ignore[dict-item]
    assert stranger.call("POST", path).status_code == 401


def test_what_is_no_http_is_refused_and_its_headers_are_not_logged(
    fuzzed: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.create_connection(("127.0.0.1", int(fuzzed.base_path.rpartition(":")[2])), timeout=PATIENCE) as client:
        client.sendall(f"GET /v2/voices HTTP/1.1\r\nX-Api-Key: {fuzzed.api_key}\x00\r\n\r\n".encode())
        assert client.recv(1 << 16).startswith(b"HTTP/1.0 400 ")
    assert "no HTTP: BadHttpMessage" in caplog.text
    assert fuzzed.api_key not in caplog.text


@pytest.mark.parametrize(
    "variables", [0, False, "", [], ["a"], {"a": 1}, {"a": None}, {"a": "\ud800"}, {"\ud800": "a"}]
)
def test_variables_are_texts_by_name_and_nothing_else(simulator: Simulator, variables: object) -> None:
    answer = LiveCaller(simulator).post(
        "/v1/sessions/token", avatar_id=WAYNE, avatar_persona={}, dynamic_variables=variables
    )
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "dynamic_variables"]


@pytest.mark.parametrize("page", ["page 0", "page -3", "page 1.5", "page", "page " + "9" * 4_000])
def test_a_page_token_that_was_never_given_out_is_refused(caller: Caller, page: str) -> None:
    token = base64.urlsafe_b64encode(page.encode()).decode()
    assert caller.get("/v2/streaming.list", token=token).status_code == 400


@pytest.mark.parametrize("timeout", ["30.0", "3e1"])
def test_a_number_is_whole_however_it_is_written(caller: Caller, timeout: str) -> None:
    body = f'{{"version": "v2", "activity_idle_timeout": {timeout}}}'
    assert caller.call("POST", "/v1/streaming.new", data=body).status_code == 200


@pytest.mark.parametrize("path", ["/v1/avatars/a{b}", "/v1/avatars/a%2Fb", "/v1/avatars/%ff"])
def test_an_unknown_id_is_refused_in_its_services_words_whatever_it_looks_like(simulator: Simulator, path: str) -> None:
    answer = LiveCaller(simulator).call("GET", path)
    assert (answer.status_code, answer.json()["code"], answer.json()["data"]) == (404, 4004, None)


@pytest.mark.parametrize(("path", "code"), [("/v1/streaming.task", 413), ("/v1/contexts", 4013)])
def test_a_body_that_is_too_long_is_refused_in_its_services_words(caller: Caller, path: str, code: int) -> None:
    answer = caller.call("POST", path, data=b" " * (2**20 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, code)


def test_a_fault_takes_true_for_no_number(simulator: Simulator) -> None:
    answer = Caller(simulator).post("/simulator/faults", kind="status", code=True)
    assert answer.status_code == 400
    assert "code must be a whole number" in answer.json()["message"]


def test_a_plan_is_a_list_and_no_object_of_faults(simulator: Simulator) -> None:
    answer = Caller(simulator).post("/simulator/faults", faults={})
    assert answer.status_code == 400
    assert "a list of faults" in answer.json()["message"]
