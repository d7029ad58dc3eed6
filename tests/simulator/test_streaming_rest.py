"""Streaming v1 over HTTP: who may call what, what is answered, what is refused."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable
from uuid import UUID

import pytest
import requests

from heygen_avatar.simulator import Limits, Simulator

from .visitors import Caller

UNAUTHORIZED = {"code": 400112, "message": "Unauthorized"}


def refusal(answer: requests.Response) -> tuple[int, int, str]:
    body = answer.json()
    return answer.status_code, body["code"], body["message"]


# Tokens and keys


def test_a_token_comes_in_the_envelope_of_version_2(caller: Caller) -> None:
    answer = caller.post("/v1/streaming.create_token")
    assert answer.status_code == 200
    assert answer.json() == {"error": None, "data": {"token": answer.json()["data"]["token"]}}


def test_a_token_needs_no_body(caller: Caller) -> None:
    assert caller.call("POST", "/v1/streaming.create_token").status_code == 200


def test_a_token_is_base64_of_a_json_object(caller: Caller) -> None:
    token = caller.token()
    assert token.startswith("eyJ0b2tlbi")
    assert "token" in json.loads(base64.b64decode(token))


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-api-key": "wrong"}, {"x-api-key": ""}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}],
)
def test_a_bad_credential_is_unauthorized(simulator: Simulator, headers: dict[str, str]) -> None:
    answer = Caller(simulator, headers=headers).post("/v1/streaming.new", version="v2")
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


def test_the_api_key_is_no_bearer_token(simulator: Simulator) -> None:
    answer = Caller(simulator, token=simulator.api_key).post("/v1/streaming.new", version="v2")
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/streaming.create_token"),
        ("GET", "/v1/streaming/avatar.list"),
        ("GET", "/v1/streaming.list"),
        ("GET", "/v2/streaming.list"),
        ("GET", "/v2/voices"),
        ("GET", "/v2/user/remaining_quota"),
        ("GET", "/v1/streaming/knowledge_base/list"),
        ("POST", "/v1/streaming/knowledge_base/create"),
    ],
)
def test_the_accounts_own_calls_take_no_session_token(caller: Caller, method: str, path: str) -> None:
    answer = Caller(caller.simulator, token=caller.token()).call(method, path)
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


def test_a_token_makes_one_session_only(caller: Caller) -> None:
    holder = Caller(caller.simulator, token=caller.token())
    assert holder.post("/v1/streaming.new", version="v2").status_code == 200
    assert refusal(holder.post("/v1/streaming.new", version="v2"))[:2] == (401, 400112)


def test_a_token_is_not_used_up_by_a_session_that_was_refused(caller: Caller) -> None:
    holder = Caller(caller.simulator, token=caller.token())
    assert holder.post("/v1/streaming.new", version="v2", quality="best").status_code == 400
    assert holder.post("/v1/streaming.new", version="v2").status_code == 200


def test_a_token_drives_its_own_session_on(caller: Caller) -> None:
    holder = Caller(caller.simulator, token=caller.token())
    session_id = holder.new()["session_id"]
    assert holder.post("/v1/streaming.keep_alive", session_id=session_id).status_code == 200


def test_a_token_drives_no_other_session(caller: Caller) -> None:
    holder = Caller(caller.simulator, token=caller.token())
    holder.new()
    answer = holder.post("/v1/streaming.keep_alive", session_id=caller.new()["session_id"])
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


def test_a_token_made_for_a_session_drives_it(caller: Caller) -> None:
    session_id = caller.new()["session_id"]
    holder = Caller(caller.simulator, token=caller.token(session_id=session_id, paid=True))
    assert holder.post("/v1/streaming.stop", session_id=session_id).status_code == 200


def test_a_token_expires(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator(limits=Limits(token_lifetime=0)))
    assert Caller(caller.simulator, token=caller.token()).post("/v1/streaming.new").status_code == 401


# Making a session


def test_a_new_session_has_the_published_fields(caller: Caller) -> None:
    answer = caller.post("/v1/streaming.new", version="v2", quality="high")
    body = answer.json()
    assert (body["code"], body["message"]) == (100, "success")
    data = body["data"]
    assert list(data) == [
        "session_id",
        "sdp",
        "access_token",
        "url",
        "ice_servers",
        "ice_servers2",
        "is_paid",
        "session_duration_limit",
        "realtime_endpoint",
        "livekit_agent_token",
    ]
    assert UUID(data["session_id"]).version == 1
    assert data["session_duration_limit"] == 600
    assert data["url"] == caller.simulator.base_path.replace("http", "ws", 1)


def test_the_users_livekit_token_is_for_client_in_the_room_of_the_sessions_name(caller: Caller) -> None:
    data = caller.new()
    payload = data["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (claims["sub"], claims["video"]["room"]) == ("client", data["session_id"])


@pytest.mark.parametrize("avatar", ["default", "Wayne_20240711", "Ann_Therapist_public"])
@pytest.mark.parametrize("field", ["avatar_id", "avatar_name"])
def test_an_avatar_goes_by_either_fields_name(caller: Caller, field: str, avatar: str) -> None:
    assert caller.post("/v1/streaming.new", version="v2", **{field: avatar}).status_code == 200


def test_an_unknown_avatar_is_not_found(caller: Caller) -> None:
    answer = caller.post("/v1/streaming.new", version="v2", avatar_id="nobody")
    assert refusal(answer) == (400, 10013, "avatar not found")


def test_an_avatar_of_an_old_version_is_refused(caller: Caller) -> None:
    answer = caller.post("/v1/streaming.new", version="v2", avatar_id="Tyler-incasualsuit-20220721")
    assert refusal(answer) == (400, 10003, "avatar version is deprecated, please update to v3+")


def test_avatars_and_voices_of_ones_own_can_be_named(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator(avatars=["mine"], voices=["my voice"]))
    answer = caller.post("/v1/streaming.new", version="v2", avatar_id="mine", voice={"voice_id": "my voice"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"quality": "best"},
        {"quality": 1},
        {"video_encoding": "AV1"},
        {"version": "v3"},
        {"activity_idle_timeout": 29},
        {"activity_idle_timeout": 3601},
        {"activity_idle_timeout": 60.5},
        {"activity_idle_timeout": True},
        {"activity_idle_timeout": "60"},
        {"disable_idle_timeout": "yes"},
        {"voice": "Ann"},
        {"voice": {"rate": 0.4}},
        {"voice": {"rate": 1.6}},
        {"voice": {"rate": float("nan")}},
        {"voice": {"emotion": "bored"}},
        {"voice": {"voice_id": "unknown"}},
        {"voice": {"elevenlabs_settings": {"stability": 2}}},
        {"stt_settings": {"provider": "whisper"}},
        {"stt_settings": {"confidence": 1.1}},
        {"language": "pt-BR"},
        {"knowledge_base_id": "unknown"},
        {"knowledge_base": ["a list"]},
        {"livekit_settings": {"url": "wss://example.com", "room": "r", "token": "t"}},
    ],
    ids=json.dumps,
)
def test_a_value_out_of_range_is_an_invalid_parameter(caller: Caller, fields: dict[str, object]) -> None:
    body = json.dumps({"version": "v2", **fields})
    answer = caller.call("POST", "/v1/streaming.new", data=body)
    assert refusal(answer)[:2] == (400, 40012)


@pytest.mark.parametrize(
    "fields",
    [
        {"activity_idle_timeout": 30},
        {"activity_idle_timeout": 3600},
        {"voice": {"rate": 0.5, "emotion": "Excited"}},
        {"voice": {"rate": 1.5, "elevenlabs_settings": {"model_id": "eleven_flash_v2_5", "style": 1}}},
        {"voice": {"elevenlabs_settings": {}}, "stt_settings": {"provider": "gladia", "confidence": 0.55}},
        {"quality": None, "language": None, "voice": None},
        {"source": "sdk", "ia_is_livekit_transport": True, "silence_response": False, "backstory": "unknown"},
    ],
    ids=json.dumps,
)
def test_values_within_range_null_and_unknown_fields_are_taken(caller: Caller, fields: dict[str, object]) -> None:
    assert caller.post("/v1/streaming.new", version="v2", **fields).status_code == 200


def test_only_so_many_sessions_may_be_open_at_once(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator(limits=Limits(concurrent_sessions=1)))
    first = caller.new()
    status, code, message = refusal(caller.post("/v1/streaming.new", version="v2"))
    assert (status, code) == (400, 10007)
    assert message.startswith("Concurrent limit reached")
    caller.post("/v1/streaming.stop", session_id=first["session_id"])
    assert caller.post("/v1/streaming.new", version="v2").status_code == 200


def test_an_account_without_credits_makes_no_session(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator(limits=Limits(credits=0)))
    assert refusal(caller.post("/v1/streaming.new", version="v2"))[:2] == (400, 10015)


# Driving a session

DRIVING = ["start", "task", "interrupt", "stop", "keep_alive", "start_listening", "stop_listening"]


@pytest.mark.parametrize("call", DRIVING)
def test_an_unknown_session_is_not_found(caller: Caller, call: str) -> None:
    answer = caller.post(f"/v1/streaming.{call}", session_id="nowhere", text="Hello")
    assert refusal(answer) == (400, 10006, "Session not found")


@pytest.mark.parametrize("call", DRIVING)
def test_a_stopped_session_is_in_the_wrong_state(caller: Caller, call: str) -> None:
    session_id = caller.started()["session_id"]
    assert caller.post("/v1/streaming.stop", session_id=session_id).json()["status"] == "success"
    answer = caller.post(f"/v1/streaming.{call}", session_id=session_id, text="Hello")
    assert refusal(answer) == (400, 10005, "session state wrong: closed")


@pytest.mark.parametrize("call", DRIVING)
def test_a_session_has_to_be_named(caller: Caller, call: str) -> None:
    assert refusal(caller.post(f"/v1/streaming.{call}")) == (400, 40001, "session_id is required")


def test_a_session_is_started_once(caller: Caller) -> None:
    session_id = caller.started()["session_id"]
    answer = caller.post("/v1/streaming.start", session_id=session_id)
    assert refusal(answer) == (400, 10002, "session state wrong: connecting")


def test_a_session_made_without_version_2_cannot_be_started(caller: Caller) -> None:
    session_id = caller.new(version=None)["session_id"]
    answer = caller.post("/v1/streaming.start", session_id=session_id)
    assert refusal(answer) == (400, 400006, "Invalid params")


@pytest.mark.parametrize("call", ["interrupt", "start_listening", "stop_listening"])
def test_an_avatar_that_has_not_started_takes_no_orders(caller: Caller, call: str) -> None:
    answer = caller.post(f"/v1/streaming.{call}", session_id=caller.new()["session_id"])
    assert refusal(answer) == (400, 10001, "session state wrong: new")


def test_a_task_before_the_client_is_in_the_room_is_refused(caller: Caller) -> None:
    answer = caller.post("/v1/streaming.task", session_id=caller.started()["session_id"], text="Hello")
    assert refusal(answer) == (400, 400006, "Session is not in correct state")


@pytest.mark.parametrize("text", ["", "  ", None])
def test_a_task_needs_a_text(caller: Caller, text: str | None) -> None:
    answer = caller.post("/v1/streaming.task", session_id=caller.started()["session_id"], text=text)
    assert refusal(answer) == (400, 40001, "text is required")


@pytest.mark.parametrize(
    "fields",
    [{"text": "a" * 1001}, {"text": 5}, {"text": "\ud800"}, {"task_type": "sing"}, {"task_mode": "later"}],
    ids=["long", "number", "half a character", "type", "mode"],
)
def test_a_task_out_of_range_is_an_invalid_parameter(caller: Caller, fields: dict[str, object]) -> None:
    session_id = caller.started()["session_id"]
    answer = caller.post("/v1/streaming.task", **{"session_id": session_id, "text": "Hello", **fields})
    assert refusal(answer)[:2] == (400, 40012)


def test_the_calls_of_2023_still_work(caller: Caller) -> None:
    session_id = caller.post("/v1/realtime.new", version="v2").json()["data"]["session_id"]
    for call in ("start", "stop"):
        assert caller.post(f"/v1/realtime.{call}", session_id=session_id).status_code == 200


# Listing


def test_active_sessions_are_listed_with_their_states(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator())
    new, started, stopped = caller.new(), caller.started(), caller.new()
    caller.post("/v1/streaming.stop", session_id=stopped["session_id"])
    listed = caller.get("/v1/streaming.list").json()["data"]["sessions"]
    assert [(row["session_id"], row["status"]) for row in listed] == [
        (new["session_id"], "new"),
        (started["session_id"], "connecting"),
    ]
    assert all(isinstance(row["created_at"], int) for row in listed)


def test_history_comes_in_pages_the_newest_first(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator())
    made = [caller.new(avatar_id="Wayne_20240711")["session_id"] for _ in range(3)]
    first = caller.get("/v2/streaming.list", page_size=2).json()
    assert (first["total"], first["page"], first["page_size"]) == (3, 1, 2)
    second = caller.get("/v2/streaming.list", page_size=2, token=first["next_pagination_token"]).json()
    assert second["next_pagination_token"] is None
    assert [row["session_id"] for row in first["data"] + second["data"]] == made[::-1]
    row = first["data"][0]
    assert (row["status"], row["avatar_id"], row["voice_name"]) == ("new", "Wayne_20240711", "Wayne")
    assert row["api_key_type"] == "api_key"


def test_history_is_filtered_by_state_and_date(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator())
    caller.new()
    stopped = caller.new()["session_id"]
    caller.post("/v1/streaming.stop", session_id=stopped)
    chosen = caller.get("/v2/streaming.list", status="closed").json()["data"]
    assert [row["session_id"] for row in chosen] == [stopped]
    assert caller.get("/v2/streaming.list", date_from="2100-01-01T00:00:00Z").json()["total"] == 0
    assert caller.get("/v2/streaming.list", date_to="2100-01-01T00:00:00Z").json()["total"] == 2


@pytest.mark.parametrize("query", [{"page": 0}, {"page_size": "ten"}, {"date_from": "yesterday"}, {"token": "?"}])
def test_a_bad_query_is_refused(caller: Caller, query: dict[str, object]) -> None:
    assert refusal(caller.get("/v2/streaming.list", **query))[:2] == (400, 40012)


# The account's own calls


def test_avatars_are_listed_with_every_revision(caller: Caller) -> None:
    rows = caller.get("/v1/streaming/avatar.list").json()["data"]
    assert [row["avatar_id"] for row in rows].count("Wayne_20240711") == 2
    assert set(rows[0]) == {
        "avatar_id",
        "created_at",
        "default_voice",
        "is_public",
        "normal_preview",
        "pose_name",
        "status",
    }


def test_every_avatars_default_voice_is_listed(caller: Caller) -> None:
    body = caller.get("/v2/voices").json()
    assert body["error"] is None
    voices = {voice["voice_id"] for voice in body["data"]["voices"] if voice["support_interactive_avatar"]}
    avatars = caller.get("/v1/streaming/avatar.list").json()["data"]
    assert {avatar["default_voice"] for avatar in avatars} <= voices


def test_the_quota_is_sixty_times_the_credits(make_simulator: Callable[..., Simulator]) -> None:
    caller = Caller(make_simulator(limits=Limits(credits=10, credits_per_minute=0.2, billed_at_least=60)))
    assert caller.get("/v2/user/remaining_quota").json()["data"]["remaining_quota"] == 600
    caller.new()
    assert caller.get("/v2/user/remaining_quota").json()["data"]["remaining_quota"] == 588


def test_a_knowledge_base_lives_from_its_creation_to_its_removal(caller: Caller) -> None:
    bases = "/v1/streaming/knowledge_base"
    made = caller.post(f"{bases}/create", name="Shop", opening="Welcome!", prompt="You sell tea.").json()
    assert made["code"] == 100
    path = f"{bases}/{made['data']['id']}"
    caller.post(path, prompt="You sell coffee.")
    expected = {"id": made["data"]["id"], "name": "Shop", "opening": "Welcome!", "prompt": "You sell coffee."}
    assert caller.get(path).json()["data"] == expected
    assert expected in caller.get(f"{bases}/list").json()["data"]
    assert caller.post("/v1/streaming.new", version="v2", knowledge_base_id=expected["id"]).status_code == 200
    assert caller.post(f"{path}/delete").json()["code"] == 100
    assert caller.get(path).status_code == 404


# HTTP


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"\xff\xfe", b"[" * 100_000, b"1" * 5_000])
def test_a_body_that_is_no_json_object_is_refused_in_the_envelope(caller: Caller, body: bytes) -> None:
    answer = caller.call("POST", "/v1/streaming.new", data=body)
    assert refusal(answer)[:2] == (400, 40012)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("GET", "/v1/streaming.new", 405), ("DELETE", "/v1/streaming.list", 405)],
)
def test_an_unknown_path_or_method_is_answered_in_json(caller: Caller, method: str, path: str, status: int) -> None:
    answer = caller.call(method, path, headers={"Accept": "text/html"})
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json()["code"] == status


def test_a_body_that_is_too_large_is_refused_in_json(caller: Caller) -> None:
    answer = caller.call("POST", "/v1/streaming.new", data=b" " * (2 << 20))
    assert (answer.status_code, answer.json()["code"]) == (413, 413)


@pytest.mark.parametrize("path", ["/v1/streaming.new", "/v1/nothing", "/simulator/sessions"])
def test_a_browsers_preflight_is_granted_for_every_path(simulator: Simulator, path: str) -> None:
    asked = {"Origin": "https://example.com", "Access-Control-Request-Headers": "authorization,x-api-key"}
    answer = requests.options(simulator.base_path + path, headers=asked, timeout=10)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://example.com"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization,x-api-key"
    assert answer.headers["Access-Control-Allow-Private-Network"] == "true"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize("path", ["/v1/streaming.list", "/v1/nothing"])
def test_a_page_may_read_every_answer_and_every_error(caller: Caller, path: str) -> None:
    assert caller.get(path).headers["Access-Control-Allow-Origin"] == "*"


def test_only_this_machine_can_reach_it(simulator: Simulator) -> None:
    port = int(simulator.base_path.rpartition(":")[2])
    # Any other address of the loopback network stands for an address of another interface.
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", port), timeout=5):
        pass
