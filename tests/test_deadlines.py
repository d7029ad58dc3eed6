"""No call outlives its deadline by more than half a second, whatever the service does; nobody waits for the dead."""

import time

import pytest

from heygen_avatar import HeyGenError, StreamingAvatar, cleanup, stop_all
from tests.programs import Program, eventually

DEADLINE = 0.6
LATE = 0.5


def where(simulator):
    return {"api_key": simulator.api_key, "base_path": simulator.base_path}


def until(deadline, call):
    """How long ``call`` takes beyond its deadline, and what it raised."""
    began = time.monotonic()
    error = None
    try:
        call()
    except HeyGenError as caught:
        error = caught
    return time.monotonic() - began - deadline, error


def test_no_call_of_a_running_session_outlives_its_deadline(make_simulator):
    simulator = make_simulator()
    avatar = StreamingAvatar(**where(simulator), timeout=DEADLINE)
    avatar.create_start_avatar(quality="low", timeout=30)
    speech = avatar.speak("A text that is never spoken to its end, since nobody hears it.", task_type="repeat")
    simulator.inject({"kind": "server_silent"})
    assert eventually(lambda: simulator.fault_calls()[0]["struck"])

    calls = {
        "keep_alive": avatar.keep_alive,
        "interrupt": avatar.interrupt,
        "start_listening": avatar.start_listening,
        "stop_listening": avatar.stop_listening,
        "speak": lambda: avatar.speak("Hi.", task_type="repeat"),
        "speak, SYNC": lambda: avatar.speak("Hi.", task_type="repeat", task_mode="sync", timeout=DEADLINE),
        "speak, TALK and SYNC": lambda: avatar.speak("Hi.", task_mode="sync", timeout=DEADLINE),
        "ask": lambda: avatar.ask("Hi.", timeout=DEADLINE),
        "say": lambda: avatar.say("Hi.", timeout=DEADLINE),
        "Speech.wait": lambda: speech.wait(DEADLINE),
        "wait_for": lambda: avatar.wait_for("user_start"),
        "events": lambda: list(avatar.events(timeout=DEADLINE)),
        "video_frames": lambda: avatar.video_frames().read(DEADLINE),
        "snapshot": lambda: avatar.snapshot(timeout=DEADLINE),
        "stop_all": lambda: stop_all(DEADLINE),
        "stop_avatar": lambda: avatar.stop_avatar(timeout=DEADLINE),
        "stop_avatar again": lambda: avatar.stop_avatar(timeout=DEADLINE),
        "a second start": lambda: avatar.create_start_avatar(quality="low", timeout=DEADLINE),
    }
    late = {name: until(DEADLINE, call) for name, call in calls.items()}
    assert {name: over for name, (over, _) in late.items() if over > LATE} == {}
    assert [name for name, (_, error) in late.items() if error is None] == ["events", "stop_all"]
    simulator.clear_faults()
    avatar.stop_avatar()


@pytest.mark.parametrize(
    "path", ["/v1/streaming.create_token", "/v1/streaming.new", "/v1/streaming.start", "/rtc*", "/v1/ws/*"]
)
def test_no_start_outlives_its_deadline(make_simulator, path):
    simulator = make_simulator()
    simulator.inject({"kind": "hang", "path": path, "times": None, "seconds": 3.0})
    avatar = StreamingAvatar(**where(simulator))
    late, error = until(DEADLINE, lambda: avatar.create_start_avatar(quality="low", timeout=DEADLINE))
    assert isinstance(error, TimeoutError)
    assert late < LATE
    simulator.clear_faults()
    assert eventually(lambda: not cleanup.open_sessions())
    assert all(entry["state"] == "closed" for entry in simulator.sessions())


def test_a_start_whose_previous_session_cannot_be_stopped_keeps_its_deadline(make_simulator):
    simulator = make_simulator()
    avatar = StreamingAvatar(**where(simulator))
    avatar.create_start_avatar(quality="low")
    simulator.inject({"kind": "hang", "path": "/v1/streaming.stop", "times": None})
    late, error = until(DEADLINE, lambda: avatar.create_start_avatar(quality="low", timeout=DEADLINE))
    assert isinstance(error, TimeoutError)
    assert late < LATE
    simulator.clear_faults()
    avatar.stop_avatar()


def test_the_death_of_the_media_thread_wakes_everybody(make_simulator):
    """Waiters of every kind, in a process of their own: without its media thread it is of no more use."""
    source = """
        from heygen_avatar.engine import engine
        avatar.create_start_avatar(quality="low")
        speech = avatar.speak("A text that takes the avatar a while to say, and a while longer.", task_type="repeat")
        waits = {
            "wait_for": lambda: avatar.wait_for("user_start", timeout=60),
            "events": lambda: [None for _ in avatar.events()],
            "Speech.wait": lambda: speech.wait(60),
            "say": lambda: avatar.say("Hello.", timeout=60),
            "video": lambda: [None for _ in avatar.video_frames()],
            "audio": lambda: [None for _ in avatar.audio_frames()],
        }
        ended = {}
        def run(name, wait):
            try:
                wait()
                ended[name] = "ended"
            except HeyGenError as error:
                ended[name] = type(error).__name__
        threads = [threading.Thread(target=run, args=each, daemon=True) for each in waits.items()]
        for thread in threads:
            thread.start()
        avatar.snapshot()
        engine().stop(5)
        until = time.monotonic() + 3
        for thread in threads:
            thread.join(max(0, until - time.monotonic()))
        for name in waits:
            print(name, ended.get(name, "WAITS"))
        try:
            avatar.interrupt()
        except SessionClosedError:
            print("refused")
    """
    simulator = make_simulator()
    with Program(simulator, source) as program:
        code, out, err = program.finish()
    assert code == 0, err
    told = dict(line.rsplit(" ", 1) for line in out.splitlines() if " " in line)
    assert told == {
        "wait_for": "SessionClosedError",
        "events": "ended",
        "Speech.wait": "SessionClosedError",
        "say": "SessionClosedError",
        "video": "ended",
        "audio": "ended",
    }
    assert out.splitlines()[-1] == "refused"
    assert eventually(lambda: [entry["state"] for entry in simulator.sessions()] == ["closed"])
