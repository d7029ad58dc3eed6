"""``avatars``, ``voices``, ``contexts``, ``sessions`` and ``doctor``, against the simulator."""

from __future__ import annotations

import json

import pytest
import requests

from heygen_avatar import Client, Service
from heygen_avatar.simulator import Limits, Simulator
from tests.cli.shell import environment, exit_code, piped, terminal
from tests.cli.test_say_and_chat import unix
from tests.programs import states


def opened(simulator: Simulator) -> str:
    """The id of a session that some other program has left open."""
    reply = requests.post(
        simulator.base_path + "/v1/streaming.new",
        headers={"x-api-key": simulator.api_key},
        json={"version": "v2"},
        timeout=10,
    )
    return str(reply.json()["data"]["session_id"])


@pytest.mark.parametrize("service", ["heygen", "liveavatar"])
def test_avatars_are_listed_by_id_in_columns_that_a_script_can_cut(simulator: Simulator, service: str) -> None:
    done = piped("avatars", "--service", service, simulator=simulator)
    with Client(api_key=simulator.api_key, base_path=simulator.base_path, service=service) as client:
        known = [avatar.id for avatar in client.avatars.list()]
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == known


def test_voices_of_one_language_as_json(simulator: Simulator) -> None:
    done = piped("voices", "--spoken", "german", "--json", simulator=simulator)
    assert [voice["name"] for voice in json.loads(done.stdout)] == ["Hanna"]


def test_contexts_are_listed(make_simulator: type[Simulator]) -> None:
    simulator = make_simulator()
    with Client(api_key=simulator.api_key, base_path=simulator.base_path) as client:
        made = client.contexts.create("Biology", prompt="Plants.")
    done = piped("contexts", simulator=simulator)
    assert done.stdout == f"{made.id}\tBiology\n"


@unix
def test_on_a_terminal_a_table_has_a_heading(simulator: Simulator) -> None:
    voices = terminal("voices", simulator=simulator)
    voices.expect("id +name +language +gender")
    assert exit_code(voices) == 0


def test_open_sessions_are_listed_shown_and_stopped(make_simulator: type[Simulator]) -> None:
    simulator = make_simulator()
    session = opened(simulator)
    assert [row["id"] for row in json.loads(piped("sessions", "list", "--json", simulator=simulator).stdout)] == [
        session
    ]
    assert json.loads(piped("sessions", "show", session, "--json", simulator=simulator).stdout)["id"] == session
    assert piped("sessions", "stop", session, simulator=simulator).stdout == f"{session}\n"
    assert states(simulator) == ["closed"]
    assert piped("sessions", "list", simulator=simulator).stdout == ""


def test_stop_all_stops_the_others_too_when_one_cannot_be_stopped(make_simulator: type[Simulator]) -> None:
    simulator = make_simulator()
    first, second = opened(simulator), opened(simulator)
    simulator.inject({"kind": "status", "path": "/v1/streaming.stop", "status": 403})
    done = piped("sessions", "stop-all", simulator=simulator)
    assert done.returncode == 3
    assert done.stdout.split() in ([first], [second])
    assert sorted(states(simulator)) == ["closed", "new"]
    piped("sessions", "stop-all", simulator=simulator)
    assert states(simulator) == ["closed", "closed"]


def test_stopping_a_session_that_is_not_known_says_so(simulator: Simulator) -> None:
    done = piped("sessions", "stop", "nobody", simulator=simulator)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("heygen-avatar: ")


def test_the_transcript_of_a_past_session_is_printed(make_simulator: type[Simulator]) -> None:
    from heygen_avatar import StreamingAvatar
    from heygen_avatar.liveavatar import LiveAvatarOptions

    simulator = make_simulator()
    account = {"api_key": simulator.api_key, "base_path": simulator.base_path}
    with StreamingAvatar(service=Service.LIVEAVATAR, **account) as avatar:  # type: ignore[arg-type]
        avatar.create_start_avatar(liveavatar=LiveAvatarOptions(sandbox=True))
        avatar.say("Remember this.")
        session = avatar.session_id
    done = piped("sessions", "transcript", str(session), "--service", "liveavatar", simulator=simulator)
    assert "avatar: Remember this." in done.stdout.splitlines()


def test_heygens_streaming_has_no_transcripts_and_says_who_has(simulator: Simulator) -> None:
    done = piped("sessions", "transcript", "any", simulator=simulator)
    assert done.returncode == 2
    assert "LiveAvatar" in done.stderr


def test_the_doctor_finds_a_simulator_in_order_and_shows_no_key(make_simulator: type[Simulator]) -> None:
    simulator = make_simulator(limits=Limits())
    session = opened(simulator)
    done = piped("doctor", "--json", simulator=simulator)
    found = {finding["about"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 0, done.stdout
    assert {"python", "livekit", "extras", "notebook"} <= set(found)
    assert found["HEYGEN_API_KEY"]["found"] == "set"
    assert found[simulator.base_path.removeprefix("http://")]["found"] == "reached"
    assert found["account"]["found"] == "the key is accepted, 9.9 credits are left"
    assert found["open sessions"]["found"] == session
    assert "stop-all" in found["open sessions"]["remedy"]
    assert simulator.api_key not in done.stdout + done.stderr


def test_the_doctor_names_what_keeps_sessions_from_working_and_what_to_do() -> None:
    done = piped("doctor", env=environment(HEYGEN_BASE_PATH="http://127.0.0.1:9"))
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert "NO  HEYGEN_API_KEY: not set" in lines
    unreached = next(
        number for number, line in enumerate(lines) if line.startswith("NO  127.0.0.1:9: it takes no conn")
    )
    assert "firewall" in lines[unreached + 1]
