"""LiveAvatar over REST: doors, envelopes, errors, pages, stores."""

from __future__ import annotations

import base64
import io
import time
import uuid
import wave
from collections.abc import Callable
from typing import Any

import jwt
import numpy as np
import pytest
import requests

from heygen_avatar.simulator import Limits, Simulator
from heygen_avatar.simulator.liveavatar.library import STORED_AGENT

from .live_visitors import WAYNE, LiveCaller

SOME_ID = "3c0d4b3e-7b0e-4a3a-9d0f-1f2e3d4c5b6a"


@pytest.fixture
def live(simulator: Simulator) -> LiveCaller:
    return LiveCaller(simulator)


def refused(response: requests.Response) -> tuple[int, int, str]:
    """An error's status, code and message; its form is checked."""
    body = response.json()
    assert body["data"] is None
    return response.status_code, body["code"], body["message"]


# Doors


KEY_PATHS = [
    ("POST", "/v1/sessions/token"),
    ("GET", "/v1/sessions?type=active"),
    ("GET", f"/v1/sessions/{SOME_ID}"),
    ("GET", f"/v1/sessions/{SOME_ID}/transcript"),
    ("DELETE", f"/v1/sessions/{SOME_ID}/events"),
    ("GET", "/v1/avatars"),
    ("GET", f"/v1/avatars/{WAYNE}"),
    ("PATCH", f"/v1/avatars/{WAYNE}"),
    ("DELETE", f"/v1/avatars/{WAYNE}"),
    ("GET", "/v1/voices"),
    ("POST", "/v1/voices/third_party"),
    ("GET", f"/v1/voices/{SOME_ID}"),
    ("PATCH", f"/v1/voices/{SOME_ID}"),
    ("DELETE", f"/v1/voices/{SOME_ID}"),
    ("GET", f"/v1/voices/{SOME_ID}/preview"),
    ("GET", "/v1/contexts"),
    ("POST", "/v1/contexts"),
    ("GET", f"/v1/contexts/{SOME_ID}"),
    ("PATCH", f"/v1/contexts/{SOME_ID}"),
    ("DELETE", f"/v1/contexts/{SOME_ID}"),
    ("GET", "/v1/memory"),
    ("POST", "/v1/memory"),
    ("GET", f"/v1/memory/{SOME_ID}"),
    ("DELETE", f"/v1/memory/{SOME_ID}"),
    ("GET", "/v1/secrets"),
    ("POST", "/v1/secrets"),
    ("DELETE", f"/v1/secrets/{SOME_ID}"),
    ("GET", "/v1/llm-configurations"),
    ("POST", "/v1/llm-configurations"),
    ("GET", f"/v1/llm-configurations/{SOME_ID}"),
    ("PATCH", f"/v1/llm-configurations/{SOME_ID}"),
    ("DELETE", f"/v1/llm-configurations/{SOME_ID}"),
    ("GET", "/v1/users/credits"),
    ("POST", "/v2/embeddings"),
    ("GET", f"/v1/voice_agents/{SOME_ID}"),
]


@pytest.mark.parametrize(("method", "path"), KEY_PATHS)
def test_the_accounts_paths_open_for_its_key_alone(live: LiveCaller, method: str, path: str) -> None:
    stranger = LiveCaller(live.simulator, headers={})
    impostor = LiveCaller(live.simulator, headers={"X-API-KEY": "wrong"})
    guest = live.bearer(live.order()["session_token"])
    for caller in (stranger, impostor, guest):
        assert refused(caller.call(method, path))[:2] == (401, 4001)
    assert live.call(method, path).status_code != 401


def test_a_session_starts_with_its_token_and_not_with_the_key(live: LiveCaller) -> None:
    assert refused(live.post("/v1/sessions/start"))[:2] == (401, 4001)
    assert refused(live.bearer("no.such.token").post("/v1/sessions/start"))[:2] == (401, 4001)


@pytest.mark.parametrize("path", ["/v1/sessions/stop", "/v1/sessions/keep-alive"])
def test_stop_and_keep_alive_take_either_credential(live: LiveCaller, path: str) -> None:
    session = live.begun()
    assert live.post(path, session_id=session["session_id"]).status_code == 200
    session = live.begun()
    assert live.bearer(session["session_token"]).call("POST", path).status_code == 200
    assert refused(LiveCaller(live.simulator, headers={}).post(path, session_id=session["session_id"]))[0] == 401
    live.stop(session["session_id"])


def test_a_token_drives_no_other_session(live: LiveCaller) -> None:
    mine, other = live.order(), live.begun()
    guest = live.bearer(mine["session_token"])
    assert refused(guest.post("/v1/sessions/stop", session_id=other["session_id"]))[0] == 401
    live.stop(other["session_id"])


@pytest.mark.parametrize("path", ["/v1/avatars/public", "/v1/languages", "/v1/llm-models"])
def test_some_paths_are_open_to_anybody(live: LiveCaller, path: str) -> None:
    assert LiveCaller(live.simulator, headers={}).data("GET", path)


def test_a_session_token_expires(make_simulator: Callable[..., Simulator]) -> None:
    live = LiveCaller(make_simulator(limits=Limits(token_lifetime=0)))
    token = live.order()["session_token"]
    assert refused(live.bearer(token).post("/v1/sessions/start"))[0] == 401


# Form


def test_a_session_token_tells_what_it_was_made_for(live: LiveCaller) -> None:
    order = live.order(mode="LITE", max_session_duration=90)
    claims = jwt.decode(order["session_token"], options={"verify_signature": False})
    assert jwt.get_unverified_header(order["session_token"])["alg"] == "HS256"
    assert claims["session_id"] == order["session_id"] == str(uuid.UUID(order["session_id"]))
    assert claims["start_session_data"]["mode"] == "LITE"
    assert claims["start_session_data"]["max_session_duration"] == 90
    assert claims["exp"] == pytest.approx(time.time() + 3600, abs=60)


def test_a_wrong_body_is_refused_field_by_field(live: LiveCaller) -> None:
    response = live.post("/v1/sessions/token", avatar_persona={})
    assert refused(response)[:2] == (422, 4022)
    (detail,) = response.json()["detail"]
    assert detail["loc"] == ["body", "avatar_id"]
    assert detail["type"] == "missing"
    assert detail["msg"] in response.json()["message"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"null"])
def test_what_is_no_json_object_is_refused(live: LiveCaller, body: bytes) -> None:
    assert refused(live.call("POST", "/v1/contexts", data=body))[:2] == (422, 4022)


def test_a_list_comes_in_pages(make_simulator: Callable[..., Simulator]) -> None:
    live = LiveCaller(make_simulator())
    names = [live.context(name=f"Context {number}") for number in range(5)]
    first = live.data("GET", "/v1/contexts", params={"page_size": 2})
    assert (first["count"], first["previous"], len(first["results"])) == (5, None, 2)
    second = live.data("GET", first["next"].removeprefix(live.simulator.base_path))
    third = live.data("GET", second["next"].removeprefix(live.simulator.base_path))
    assert third["next"] is None
    back = live.data("GET", third["previous"].removeprefix(live.simulator.base_path))
    assert back == second
    listed = [row["id"] for page in (first, second, third) for row in page["results"]]
    assert listed == names[::-1]


@pytest.mark.parametrize(
    "query", [{"page": 0}, {"page": "x"}, {"page_size": 0}, {"page_size": 101}, {"page_size": -1}], ids=str
)
def test_a_page_that_cannot_be_is_refused(live: LiveCaller, query: dict[str, Any]) -> None:
    response = live.call("GET", "/v1/contexts", params=query)
    assert refused(response)[:2] == (422, 4022)
    assert response.json()["detail"][0]["loc"] == ["query", *query]


def test_every_answer_tells_the_rate_limit(live: LiveCaller) -> None:
    for response in (live.call("GET", "/v1/languages"), live.call("POST", "/v1/sessions/start")):
        headers = response.headers
        assert headers["X-RateLimit-Limit"] == "100"
        assert 0 <= int(headers["X-RateLimit-Remaining"]) < 100
        assert int(headers["X-RateLimit-Reset"]) == 1
        assert "Retry-After" not in headers


def test_too_many_calls_of_an_endpoint_within_a_second_are_refused(make_simulator: Callable[..., Simulator]) -> None:
    live = LiveCaller(make_simulator(limits=Limits(liveavatar_calls_per_second=2)))
    for _ in range(50):
        answers = [live.call("GET", f"/v1/avatars/{avatar}") for avatar in (WAYNE, SOME_ID, WAYNE)]
        if answers[2].status_code == 429:
            break
    assert refused(answers[2])[:2] == (429, 4029)
    assert int(answers[2].headers["Retry-After"]) >= 1
    assert answers[2].headers["X-RateLimit-Remaining"] == "0"


def test_another_endpoint_and_another_caller_have_a_budget_of_their_own(
    make_simulator: Callable[..., Simulator],
) -> None:
    live = LiveCaller(make_simulator(limits=Limits(liveavatar_calls_per_second=1)))
    guest = LiveCaller(live.simulator, headers={})
    for _ in range(50):
        pair = [live.call("GET", "/v1/languages") for _ in range(2)]
        others = [live.call("GET", "/v1/llm-models"), guest.call("GET", "/v1/languages")]
        assert all(other.status_code == 200 for other in others[:1])
        if pair[1].status_code == 429 and others[1].status_code == 200:
            return
    raise AssertionError("one caller's calls were counted as another's")


# Orders


def test_sandbox_sessions_are_waynes_and_last_a_minute(live: LiveCaller) -> None:
    others = live.data("GET", "/v1/avatars/public")["results"]
    other = next(avatar["id"] for avatar in others if avatar["id"] != WAYNE)
    wrong = live.post("/v1/sessions/token", avatar_id=other, is_sandbox=True, avatar_persona={})
    assert refused(wrong)[:2] == (400, 4000)
    too_long = live.post(
        "/v1/sessions/token", avatar_id=WAYNE, is_sandbox=True, avatar_persona={}, max_session_duration=600
    )
    assert refused(too_long) == (400, 4000, "max_session_duration (600s) exceeds the maximum allowed (60s)")
    session = live.begun(is_sandbox=True)
    assert session["max_session_duration"] == 60
    assert live.entry(session["session_id"])["credits_consumed"] == 0
    live.stop(session["session_id"])


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"avatar_id": "Wayne"}, 422),
        ({"avatar_id": SOME_ID}, 400),
        ({"mode": "CUSTOM"}, 422),
        ({"avatar_persona": None}, 422),
        ({"avatar_persona": {"context_id": SOME_ID}}, 400),
        ({"avatar_persona": {"voice_id": SOME_ID}}, 400),
        ({"avatar_persona": {"voice_settings": {"provider": "elevenLabs", "speed": 1.3}}}, 422),
        ({"avatar_persona": {"voice_settings": {"provider": "fish", "model": "s3"}}}, 422),
        ({"avatar_persona": {"voice_settings": {"provider": "espeak"}}}, 422),
        ({"avatar_persona": {"stt_config": {"provider": "pocketsphinx"}}}, 422),
        ({"avatar_persona": {}, "voice_agent": {"id": SOME_ID}}, 400),
        ({"video_settings": {"quality": "ultra"}}, 422),
        ({"video_settings": {"encoding": "AV1"}}, 422),
        ({"interactivity_type": "MUTE"}, 422),
        ({"llm_configuration_id": SOME_ID}, 400),
        ({"max_session_duration": 10**5}, 400),
        ({"max_session_duration": 0}, 422),
        ({"memory": {"session_memory_id": SOME_ID}}, 400),
        ({"memory": {"prev_session_id": SOME_ID}}, 400),
        ({"dynamic_variables": {"name": 5}}, 422),
        ({"dynamic_variables": {"name": "x" * 1001}}, 422),
        ({"dynamic_variables": {str(number): "x" for number in range(51)}}, 422),
        ({"mode": "LITE", "livekit_config": {"livekit_url": "wss://x"}}, 422),
        ({"mode": "LITE", "agora_config": {"agora_app_id": "x"}}, 400),
        ({"mode": "LITE", "elevenlabs_agent_config": {"secret_id": SOME_ID, "agent_id": "a"}}, 400),
        ({"mode": "LITE", "openai_realtime_config": {}}, 422),
    ],
    ids=str,
)
def test_a_wrong_order_is_refused(live: LiveCaller, fields: dict[str, Any], status: int) -> None:
    order = {"avatar_id": WAYNE, "avatar_persona": {}, **fields}
    assert refused(live.call("POST", "/v1/sessions/token", json=order))[:2] == (status, 3600 + status)


def test_an_order_with_all_that_there_is_is_taken(live: LiveCaller) -> None:
    voice = live.data("GET", "/v1/voices")["results"][0]["id"]
    settings = {"provider": "elevenLabs", "speed": 0.8, "stability": 0, "style": 1, "use_speaker_boost": False}
    order = live.order(
        avatar_persona={
            "voice_id": voice,
            "context_id": live.context(),
            "language": "en",
            "voice_settings": settings,
            "stt_config": {"provider": "deepgram"},
        },
        interactivity_type="PUSH_TO_TALK",
        video_settings={"quality": "very_high", "encoding": "VP8"},
        max_session_duration=60,
        dynamic_variables={"extra": "ignored"},
    )
    assert order["session_token"]


def test_what_a_context_needs_must_be_given(live: LiveCaller) -> None:
    context_id = live.context(prompt="Serve ${customer}.", opening_text="Hello ${customer} of ${city}!")
    persona = {"context_id": context_id}
    wrong = live.post(
        "/v1/sessions/token", avatar_id=WAYNE, avatar_persona=persona, dynamic_variables={"customer": "Ada"}
    )
    assert refused(wrong) == (400, 4000, "dynamic_variables: the context requires city")
    live.order(avatar_persona=persona, dynamic_variables={"customer": "Ada", "city": "Paris"})


# Stores


def test_avatars_are_public_or_ones_own(live: LiveCaller) -> None:
    public = live.data("GET", "/v1/avatars/public")
    own = live.data("GET", "/v1/avatars")
    assert public["count"] == len(public["results"]) > 1
    assert not {avatar["id"] for avatar in public["results"]} & {avatar["id"] for avatar in own["results"]}
    wayne = next(avatar for avatar in public["results"] if avatar["id"] == WAYNE)
    assert live.data("GET", f"/v1/avatars/{WAYNE}") == wayne
    assert (wayne["status"], wayne["type"], wayne["error_message"]) == ("ACTIVE", "VIDEO", None)
    assert live.data("GET", f"/v1/voices/{wayne['default_voice']['id']}")["name"] == wayne["default_voice"]["name"]


def test_ones_own_avatar_can_be_changed_and_deleted(make_simulator: Callable[..., Simulator]) -> None:
    live = LiveCaller(make_simulator(avatars=[SOME_ID]))
    voice = live.data("GET", "/v1/voices")["results"][-1]
    changed = live.data("PATCH", f"/v1/avatars/{SOME_ID}", json={"name": "Mine", "default_voice_id": voice["id"]})
    assert (changed["name"], changed["default_voice"]["id"]) == ("Mine", voice["id"])
    assert changed["updated_at"] > changed["created_at"]
    assert live.data("GET", f"/v1/avatars/{SOME_ID}") == changed
    assert live.data("DELETE", f"/v1/avatars/{SOME_ID}") is None
    assert refused(live.call("GET", f"/v1/avatars/{SOME_ID}"))[:2] == (404, 4004)


def test_public_avatars_cannot_be_changed(live: LiveCaller) -> None:
    assert refused(live.call("DELETE", f"/v1/avatars/{WAYNE}"))[:2] == (403, 4003)


def test_a_voice_can_be_heard_before_it_is_chosen(live: LiveCaller) -> None:
    voice = live.data("GET", "/v1/voices")["results"][0]
    preview = base64.b64decode(live.data("GET", f"/v1/voices/{voice['id']}/preview")["audio_base64"])
    with wave.open(io.BytesIO(preview)) as sound:
        assert sound.getnchannels() == 1
        samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
        assert 0.5 < len(samples) / sound.getframerate() < 10
    assert np.abs(samples.astype(int)).max() > 3000


def test_binding_a_third_partys_voice_is_what_was_seen_on_the_wire(make_simulator: Callable[..., Simulator]) -> None:
    live = LiveCaller(make_simulator())
    unknown = live.post("/v1/voices/third_party", provider_voice_id="x", secret_id=SOME_ID)
    assert refused(unknown) == (400, 4000, f"Secret with id '{SOME_ID}' not found in your space")
    secret = live.create("/v1/secrets", secret_name="k", secret_value="v", secret_type="CARTESIA_API_KEY")
    for _ in range(2):
        bound = live.post("/v1/voices/third_party", provider_voice_id="garbage", secret_id=secret["id"]).json()
        assert bound["message"] == "Voice imported successfully"
    private = live.data("GET", "/v1/voices", params={"voice_type": "private"})
    assert private["count"] == 2
    voice = live.data("GET", f"/v1/voices/{bound['data']['voice_id']}")
    assert voice["name"] == "Imported Voice: garbage"
    assert (voice["language"], voice["gender"], voice["tags"]) == ("en", "unknown", ["cartesia", "Imported"])
    renamed = live.data("PATCH", f"/v1/voices/{voice['id']}", json={"name": "Better"})
    assert renamed["name"] == "Better"
    assert refused(live.call("PATCH", f"/v1/voices/{voice['id']}", json={"name": "x" * 65}))[0] == 422
    live.data("DELETE", f"/v1/voices/{voice['id']}")
    assert refused(live.call("GET", f"/v1/voices/{voice['id']}"))[0] == 404


def test_contexts_are_created_read_replaced_and_deleted(live: LiveCaller) -> None:
    links = [{"url": "https://example.org", "faq": "We open at nine."}]
    made = live.create(
        "/v1/contexts", name="Shop", prompt="Sell ${thing}.", opening_text="Hi ${who}, hi ${who}!", links=links
    )
    assert made["required_dynamic_variables"] == ["who", "thing"]
    assert made["links"][0]["faq"] == "We open at nine."
    assert live.data("GET", f"/v1/contexts/{made['id']}") == made
    partly = live.call("PATCH", f"/v1/contexts/{made['id']}", json={"name": "Shop"})
    assert refused(partly)[0] == 422
    new = live.data(
        "PATCH", f"/v1/contexts/{made['id']}", json={"name": "Shop", "prompt": "Sell.", "opening_text": None}
    )
    assert (new["id"], new["prompt"], new["opening_text"], new["links"]) == (made["id"], "Sell.", None, [])
    assert live.data("DELETE", f"/v1/contexts/{made['id']}") is None
    assert refused(live.call("GET", f"/v1/contexts/{made['id']}"))[:2] == (404, 4004)
    assert refused(live.call("GET", "/v1/contexts/no-uuid"))[:2] == (422, 4022)


def test_a_context_without_an_opening_text_says_so(live: LiveCaller) -> None:
    response = live.post("/v1/contexts", name="n", prompt="p")
    assert response.json()["detail"][0]["loc"] == ["body", "opening_text"]


def test_secrets_are_listed_without_their_values(make_simulator: Callable[..., Simulator]) -> None:
    live = LiveCaller(make_simulator())
    made = [
        live.create("/v1/secrets", secret_name=name, secret_value="s3cret", secret_type="OPENAI_API_KEY")
        for name in ("first", "second")
    ]
    assert made[0].keys() == {"id", "secret_name"}
    listed = live.data("GET", "/v1/secrets")
    assert [row["secret_name"] for row in listed] == ["second", "first"]
    assert "s3cret" not in str(listed)
    assert live.data("DELETE", f"/v1/secrets/{made[0]['id']}") is None
    assert refused(live.call("DELETE", f"/v1/secrets/{made[0]['id']}"))[:2] == (404, 4004)
    wrong = live.post("/v1/secrets", secret_name="x", secret_value="v", secret_type="AWS_KEY")
    assert refused(wrong)[0] == 422


def test_llm_configurations_are_created_read_changed_and_deleted(make_simulator: Callable[..., Simulator]) -> None:
    live = LiveCaller(make_simulator())
    unknown = live.post("/v1/llm-configurations", display_name="d", model_name="m", secret_id=SOME_ID)
    assert refused(unknown)[:2] == (400, 4000)
    secret = live.create("/v1/secrets", secret_name="k", secret_value="v", secret_type="OPENAI_API_KEY")["id"]
    made = live.create("/v1/llm-configurations", display_name="d", model_name="m", secret_id=secret)
    assert made["base_url"] is None
    path = f"/v1/llm-configurations/{made['id']}"
    assert live.data("GET", path) == made
    assert live.data("PATCH", path, json={"base_url": "http://127.0.0.1/v1"})["base_url"] == "http://127.0.0.1/v1"
    assert [row["id"] for row in live.data("GET", "/v1/llm-configurations")] == [made["id"]]
    assert live.data("DELETE", path) is None
    assert refused(live.call("DELETE", path))[:2] == (404, 4004)


def test_credits_are_told_as_a_decimal_string(make_simulator: Callable[..., Simulator]) -> None:
    live = LiveCaller(make_simulator(limits=Limits(credits=7.5)))
    assert live.data("GET", "/v1/users/credits") == {"credits_left": "7.50"}
    live.stop(live.begun()["session_id"])
    assert live.data("GET", "/v1/users/credits") == {"credits_left": "5.50"}


def test_languages_have_names_and_codes(live: LiveCaller) -> None:
    assert {"language": "English", "code": "en"} in live.data("GET", "/v1/languages")


def test_an_embed_is_an_address_and_a_frame(live: LiveCaller) -> None:
    embed = live.create("/v2/embeddings", avatar_id=WAYNE, context_id=live.context(), orientation="vertical")
    assert embed["url"] == f"https://embed.liveavatar.com/v1/{embed['embed_id']}"
    assert embed["url"] in embed["script"]
    assert 'allow="microphone"' in embed["script"]
    assert embed["orientation"] == "vertical"
    assert refused(live.post("/v2/embeddings", avatar_id=WAYNE))[0] == 422


def test_a_stored_voice_agent_takes_the_place_of_a_persona(live: LiveCaller) -> None:
    agent = live.data("GET", f"/v1/voice_agents/{STORED_AGENT}")
    assert (agent["id"], agent["agent_type"]) == (STORED_AGENT, "liveavatar_agent")
    order = {"avatar_id": WAYNE, "voice_agent": {"id": STORED_AGENT}}
    assert live.create("/v1/sessions/token", **order)["session_token"]
    assert refused(live.post("/v1/sessions/token", **order, avatar_persona={}))[0] == 422


def test_an_unknown_voice_agent_is_not_found(live: LiveCaller) -> None:
    assert refused(live.call("GET", f"/v1/voice_agents/{SOME_ID}"))[:2] == (404, 4004)
