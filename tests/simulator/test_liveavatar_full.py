"""FULL sessions over real WebRTC: the room, commands and events, contexts that shape the answers, transcripts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from heygen_avatar.simulator import Simulator

from .live_visitors import LiveCaller
from .sounds import silence, spoken

TEXT = "Hello there, this is the simulated avatar."


@pytest.fixture
def live(simulator: Simulator) -> LiveCaller:
    return LiveCaller(simulator)


# The room


def test_the_avatar_and_its_agent_are_in_the_room(live: LiveCaller) -> None:
    with live.attended() as (session, visitor):
        agent = f"liveavatar-agent-{session['session_id']}"
        visitor.until(lambda me: {"heygen", agent} <= set(me.room.remote_participants), "both of the cast")
        kinds = sorted(
            publication.kind for publication in visitor.room.remote_participants["heygen"].track_publications.values()
        )
        assert len(kinds) == len(set(kinds)) == 2
        assert not visitor.room.remote_participants[agent].track_publications
        assert (session["ws_url"], session["livekit_agent_token"]) == (None, None)


@pytest.mark.parametrize(
    ("quality", "size"),
    [("low", (640, 360)), ("medium", (854, 480)), ("high", (1280, 720)), ("very_high", (1920, 1080))],
)
def test_the_picture_is_as_large_as_was_asked_for(live: LiveCaller, quality: str, size: tuple[int, int]) -> None:
    with live.attended(video_settings={"quality": quality}) as (_, visitor):
        assert visitor.picture_size() == size


def test_a_session_can_be_started_once(live: LiveCaller) -> None:
    with live.attended() as (session, _):
        again = live.bearer(session["session_token"]).post("/v1/sessions/start")
        assert (again.status_code, again.json()["message"]) == (400, "Session is already started")


# Commands and events


def test_a_text_is_spoken_and_told_of_from_start_to_end(live: LiveCaller) -> None:
    with live.attended() as (session, visitor):
        visitor.command("avatar.speak_text", event_id="my-id", text=TEXT)
        visitor.until_heard("avatar.speak_ended")
    types = visitor.types()
    assert types[:2] == ["avatar.speak_started", "avatar.transcription"]
    assert set(types[2 : types.index("avatar.speak_ended")]) == {"avatar.transcription.chunk"}
    assert visitor.packets[1]["text"] == TEXT
    chunks = [packet["text"] for packet in visitor.packets if packet["event_type"] == "avatar.transcription.chunk"]
    assert "".join(chunks) == TEXT
    spoken_of = visitor.packets[: types.index("avatar.speak_ended") + 1]
    assert {packet["source_event_id"] for packet in spoken_of} == {"my-id"}
    assert {packet["session_id"] for packet in spoken_of} == {session["session_id"]}
    assert len({packet["event_id"] for packet in spoken_of}) == len(spoken_of)
    assert visitor.topics == {"agent-response"}
    assert visitor.senders == {f"liveavatar-agent-{session['session_id']}"}


def test_a_command_without_an_id_is_obeyed(live: LiveCaller) -> None:
    with live.attended() as (_, visitor):
        visitor.command("avatar.speak_text", text="Hello.")
        (ended,) = visitor.until_heard("avatar.speak_ended")
    assert ended["source_event_id"] is None


def test_an_interruption_stops_the_speech_and_drops_what_is_queued(live: LiveCaller) -> None:
    with live.attended() as (session, visitor):
        visitor.command("avatar.speak_text", event_id="1", text="On and on. " * 30)
        visitor.command("avatar.speak_text", event_id="2", text="Never said.")
        visitor.until_heard("avatar.speak_started")
        visitor.command("avatar.interrupt")
        (ended,) = visitor.until_heard("avatar.speak_ended")
        assert ended["source_event_id"] == "1"
        visitor.command("avatar.speak_text", event_id="3", text="Now.")
        started = visitor.until_heard("avatar.speak_started", count=2)
        assert [event["source_event_id"] for event in started] == ["1", "3"]
        visitor.until_heard("avatar.speak_ended", count=2)
        assert "Never said." not in dict(live.transcript(session["session_id"])).values()


def test_what_makes_no_sense_is_dropped_in_silence(live: LiveCaller) -> None:
    garbage = [b"", b"{", b"[]", b"\xff", b'"avatar.interrupt"', b"{}", b'{"event_type": 5}', b'{"event_type": "x"}']
    with live.attended() as (session, visitor):
        for payload in garbage:
            visitor.send_as_is(payload)
        visitor.command("avatar.speak_text", text="")
        visitor.command("avatar.speak_text", text=5)
        visitor.send_as_is(json.dumps({"event_type": "avatar.speak_text", "text": "Not here."}).encode(), topic="chat")
        visitor.command("avatar.speak_text", event_id="1", text="Hi.")
        visitor.until_heard("avatar.speak_ended")
        assert live.record(session["session_id"])["ignored_messages"] == len(garbage) + 2
    assert visitor.types().count("avatar.speak_started") == 1


# Answers


def test_without_a_context_the_user_is_understood_and_not_answered(live: LiveCaller) -> None:
    with live.attended() as (_, visitor):
        visitor.command("avatar.speak_response", event_id="1", text="What is your name?")
        (turn,) = visitor.until_heard("user.transcription")
        assert (turn["text"], turn["source_event_id"]) == ("What is your name?", "1")
        visitor.command("avatar.speak_text", event_id="2", text="Hi.")
        (started,) = visitor.until_heard("avatar.speak_started")
        assert started["source_event_id"] == "2"


def test_a_context_shapes_the_answers(live: LiveCaller) -> None:
    context = live.context(
        prompt="Your name is ${name}.", links=[{"url": "https://example.org", "faq": "The shop opens at nine."}]
    )
    with live.attended(avatar_persona={"context_id": context}, dynamic_variables={"name": "Zora"}) as (_, visitor):
        visitor.command("avatar.speak_response", event_id="1", text="What is your name?")
        visitor.command("avatar.speak_response", event_id="2", text="When does the shop open?")
        answers = visitor.until_heard("avatar.transcription", count=2)
    assert [(answer["text"], answer["source_event_id"]) for answer in answers] == [
        ("My name is Zora.", "1"),
        ("The shop opens at nine.", "2"),
    ]


def test_the_opening_text_is_said_first_with_its_variables_filled(live: LiveCaller) -> None:
    context = live.context(opening_text="Welcome, ${name}!")
    with live.attended(avatar_persona={"context_id": context}, dynamic_variables={"name": "Ada"}) as (_, visitor):
        visitor.until_heard("avatar.speak_ended")
    said = next(packet for packet in visitor.packets if packet["event_type"] == "avatar.transcription")
    assert (said["text"], said["source_event_id"]) == ("Welcome, Ada!", None)


def test_what_was_said_is_in_the_transcript_until_it_is_deleted(live: LiveCaller) -> None:
    persona = {"context_id": live.context()}
    with live.attended(avatar_persona=persona) as (session, visitor):
        visitor.command("avatar.speak_response", event_id="1", text="What is your name?")
        visitor.until_heard("avatar.speak_ended")
        session_id = session["session_id"]
        assert live.transcript(session_id) == [("user", "What is your name?"), ("avatar", "My name is Zora.")]
        path = f"/v1/sessions/{session_id}/transcript"
        whole = live.data("GET", path)
        assert whole["session_active"]
        later = live.data("GET", path, params={"start_timestamp": whole["next_timestamp"]})
        assert later["transcript_data"] == []
        assert later["next_timestamp"] == whole["next_timestamp"]
        live.data("DELETE", f"/v1/sessions/{session_id}/events")
        assert live.transcript(session_id) == []
    assert live.data("GET", path)["next_timestamp"] is None


def test_a_memory_of_a_past_session_is_known_in_the_next(live: LiveCaller) -> None:
    persona = {"context_id": live.context()}
    with live.attended(avatar_persona=persona) as (session, visitor):
        visitor.command("avatar.speak_text", event_id="1", text="The secret word is swordfish.")
        visitor.until_heard("avatar.speak_ended")
    first = session["session_id"]
    with live.attended(avatar_persona=persona, memory={"prev_session_id": first}) as (_, visitor):
        visitor.command("avatar.speak_response", event_id="2", text="What is the secret word?")
        (answer,) = visitor.until_heard("avatar.transcription")
    assert "swordfish" in answer["text"]
    (memory,) = [
        row for row in live.data("GET", "/v1/memory")["results"] if "swordfish" in row["memory_content_preview"]
    ]
    whole = live.data("GET", f"/v1/memory/{memory['id']}")
    assert [episode["session_id"] for episode in whole["session_episodes"]] == [first]
    assert live.create("/v1/memory", memory_type="session", session_id=first)["id"] == memory["id"]
    deleted = live.call("DELETE", f"/v1/memory/{memory['id']}")
    assert (deleted.status_code, deleted.content) == (204, b"")


@contextmanager
def language_model(answer: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An OpenAI-compatible endpoint: its URL, and what it was asked."""
    asked: list[dict[str, Any]] = []

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"path": self.path, "authorization": self.headers["Authorization"], **body})
            content = json.dumps({"choices": [{"message": {"role": "assistant", "content": answer}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", asked
        finally:
            server.shutdown()
            thread.join()


def test_a_language_model_of_ones_own_answers(live: LiveCaller) -> None:
    with language_model("Forty-two.") as (url, asked):
        secret = live.create("/v1/secrets", secret_name="k", secret_value="the-key", secret_type="OPENAI_API_KEY")
        model = live.create(
            "/v1/llm-configurations", display_name="d", model_name="deep", secret_id=secret["id"], base_url=url
        )
        persona = {"context_id": live.context(prompt="You know everything.")}
        with live.attended(avatar_persona=persona, llm_configuration_id=model["id"]) as (_, visitor):
            visitor.command("avatar.speak_response", event_id="1", text="What is the answer?")
            (answer,) = visitor.until_heard("avatar.transcription")
    assert answer["text"] == "Forty-two."
    (request,) = asked
    assert (request["path"], request["authorization"]) == ("/v1/chat/completions", "Bearer the-key")
    assert request["model"] == "deep"
    assert "You know everything." in request["messages"][0]["content"]


# The user's voice


def test_the_users_voice_is_told_of_transcribed_and_answered(live: LiveCaller) -> None:
    with live.attended(avatar_persona={"context_id": live.context()}) as (session, visitor):
        visitor.open_microphone()
        visitor.speak(silence(0.3), spoken("What is your name?"), silence(1.0))
        visitor.until_heard("avatar.speak_ended")
        types = [kind for kind in visitor.types() if kind.startswith("user.")]
        assert types[0] == "user.speak_started"
        assert types[-2:] == ["user.transcription", "user.speak_ended"]
        assert set(types[1:-2]) == {"user.transcription.chunk"}
        (turn,) = visitor.until_heard("user.transcription")
        assert live.transcript(session["session_id"])[0] == ("user", turn["text"])


def test_a_user_who_speaks_interrupts_the_avatar(live: LiveCaller) -> None:
    with live.attended() as (_, visitor):
        visitor.open_microphone()
        visitor.command("avatar.speak_text", event_id="1", text="On and on. " * 50)
        visitor.until_heard("avatar.speak_started")
        visitor.speak(spoken("Stop it please."), silence(0.3))
        visitor.until_heard("avatar.speak_ended")
        assert visitor.types().index("user.speak_started") < visitor.types().index("avatar.speak_ended")


def test_push_to_talk_hears_between_its_commands_only(live: LiveCaller) -> None:
    with live.attended(interactivity_type="PUSH_TO_TALK") as (_, visitor):
        visitor.open_microphone()
        visitor.speak(spoken("Nobody hears this."), silence(0.5))
        visitor.command("user.start_push_to_talk", event_id="1")
        (started,) = visitor.until_heard("user.push_to_talk_started")
        assert started["source_event_id"] == "1"
        assert "user.speak_started" not in visitor.types()
        visitor.speak(spoken("Somebody hears this."))
        visitor.command("user.stop_push_to_talk", event_id="2")
        visitor.until_heard("user.push_to_talk_stopped")
        visitor.until_heard("user.speak_ended")
    assert visitor.types().count("user.transcription") == 1


def test_push_to_talk_fails_where_it_makes_no_sense(live: LiveCaller) -> None:
    with live.attended() as (_, visitor):
        visitor.command("user.start_push_to_talk", event_id="1")
        visitor.command("user.stop_push_to_talk", event_id="2")
        assert visitor.until_heard("user.push_to_talk_start_failed")[0]["source_event_id"] == "1"
        assert visitor.until_heard("user.push_to_talk_stop_failed")[0]["source_event_id"] == "2"
    with live.attended(interactivity_type="PUSH_TO_TALK") as (_, visitor):
        for _ in range(2):
            visitor.command("user.start_push_to_talk")
        visitor.until_heard("user.push_to_talk_start_failed")
        assert visitor.types() == ["user.push_to_talk_started", "user.push_to_talk_start_failed"]


# Connectors


def connector_of(live: LiveCaller) -> dict[str, Any]:
    secret = live.create("/v1/secrets", secret_name="k", secret_value="v", secret_type="ELEVENLABS_API_KEY")
    return {"mode": "LITE", "elevenlabs_agent_config": {"secret_id": secret["id"], "agent_id": "agent_1"}}


def test_a_connectors_session_has_no_socket_and_talks_over_the_room(live: LiveCaller) -> None:
    with live.attended(**connector_of(live)) as (session, visitor):
        assert session["ws_url"] is None
        assert live.entry(session["session_id"])["mode"] == "LITE"
        visitor.command("avatar.speak_response", event_id="1", text="What is your name?")
        visitor.until_heard("avatar.speak_ended")


def test_an_elevenlabs_agents_events_and_commands_pass_through(live: LiveCaller) -> None:
    with live.attended(**connector_of(live)) as (_, visitor):
        command = {"event_id": "1", "elevenlabs_event_type": "user_message", "data": {"text": "Hello"}}
        visitor.command("elevenlabs_agent_command", **command)
        for kind in ("contextual_update", "user_activity", "client_tool_result"):
            visitor.command("elevenlabs_agent_command", elevenlabs_event_type=kind, data={"text": "x"})
        visitor.until_heard("avatar.speak_ended")
        passed = visitor.until_heard("elevenlabs_agent_event", count=3)
    assert [event["elevenlabs_event_type"] for event in passed] == [
        "conversation_initiation_metadata",
        "user_transcript",
        "agent_response",
    ]
    metadata = passed[0]["data"]
    assert metadata["conversation_initiation_metadata_event"]["conversation_id"].startswith("conv_")
    assert visitor.types().count("avatar.speak_started") == 1


def test_another_agent_drops_elevenlabs_commands(live: LiveCaller) -> None:
    with live.attended() as (session, visitor):
        visitor.command("elevenlabs_agent_command", elevenlabs_event_type="user_message", data={"text": "Hello"})
        visitor.command("avatar.speak_text", text="Hi.")
        visitor.until_heard("avatar.speak_ended")
        assert live.record(session["session_id"])["ignored_messages"] == 1
    assert "elevenlabs_agent_event" not in visitor.types()
