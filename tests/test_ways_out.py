"""Every way out of a program ends its paid session: real processes, seen from the service's side."""

import signal
from contextlib import ExitStack

import pytest

from tests.programs import Program, eventually, states

START = "avatar.create_start_avatar(quality='low')\n"


@pytest.fixture
def own(make_simulator):
    return make_simulator()


@pytest.fixture
def run(own):
    with ExitStack() as programs:
        yield lambda source: programs.enter_context(Program(own, source))


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        pytest.param("pass", 0, id="falling off the end"),
        pytest.param("sys.exit(7)", 7, id="sys.exit"),
        pytest.param("raise RuntimeError('trouble')", 1, id="an exception"),
        pytest.param("avatar.stop_avatar()", 0, id="stop_avatar"),
        pytest.param("avatar.say('Hi.')", 0, id="after speaking"),
        pytest.param("list(zip(range(3), avatar.video_frames()))", 0, id="while frames are read"),
        pytest.param(
            "threading.Thread(target=list, args=(avatar.events(),), daemon=True).start()",
            0,
            id="while a thread reads events",
        ),
        pytest.param("del avatar", 0, id="forgetting the avatar"),
        pytest.param(
            "avatar.on('avatar_start_talking', lambda event: time.sleep(60)); avatar.speak('Hi', task_type='repeat')",
            0,
            id="while a handler hangs",
        ),
    ],
)
def test_the_session_ends_with_the_program(own, run, ending, code):
    program = run(START + ending)
    returncode, _, err = program.finish()
    assert returncode == code
    assert states(own) == ["closed"]
    if code in (0, 7):
        assert err == ""


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        pytest.param({"path": "/v1/streaming.create_token", "kind": "delay", "seconds": 2}, START, id="token"),
        pytest.param({"path": "/v1/streaming.new", "kind": "delay", "seconds": 2}, START, id="new"),
        pytest.param({"path": "/v1/streaming.start", "kind": "delay", "seconds": 2}, START, id="start"),
        pytest.param({"path": "/v1/ws/streaming.chat", "kind": "delay", "seconds": 2}, START, id="chat socket"),
    ],
)
def test_ctrl_c_while_starting_leaves_no_session(own, run, fault, body):
    own.inject(fault)
    program = run("mark('go')\n" + body)
    program.wait_for_mark("go")
    assert eventually(lambda: any(fault["calls"] for fault in own.fault_calls()))
    program.send(signal.SIGINT)
    returncode, _, err = program.finish(15)
    assert returncode != 0
    assert "KeyboardInterrupt" in err
    assert eventually(lambda: all(state == "closed" for state in states(own)), 5)


@pytest.mark.parametrize(
    "doing",
    [
        pytest.param(
            "mark('go'); avatar.say('One two three four five six seven eight nine ten eleven.')", id="speaking"
        ),
        pytest.param("mark('go'); avatar.wait_for('user_silence', timeout=60)", id="waiting"),
        pytest.param("mark('go'); [None for frame in avatar.video_frames()]", id="reading frames"),
        pytest.param("mark('go'); [None for event in avatar.events()]", id="iterating events"),
        pytest.param("r = avatar.record(tempfile.mktemp('.mp4')); mark('go'); time.sleep(60)", id="recording"),
    ],
)
def test_ctrl_c_in_a_running_session_ends_it_soon(own, run, doing):
    program = run(START + doing)
    program.wait_for_mark("go")
    program.send(signal.SIGINT)
    returncode, _, err = program.finish(10)
    assert returncode == -signal.SIGINT or returncode == 130 or returncode == 1
    assert err.strip().endswith("KeyboardInterrupt")
    assert states(own) == ["closed"]


def test_ctrl_c_inside_with_ends_the_session_and_can_be_caught(own, run):
    program = run(
        """
        try:
            with avatar:
                avatar.create_start_avatar(quality="low")
                mark("go")
                avatar.wait_for("user_silence", timeout=60)
        except KeyboardInterrupt:
            mark("caught")
        """,
    )
    program.wait_for_mark("go")
    program.send(signal.SIGINT)
    returncode, out, err = program.finish(10)
    assert (returncode, out.strip(), err) == (0, "caught", "")
    assert states(own) == ["closed"]


def test_sigterm_ends_the_session_and_the_process_dies_of_it(own, run):
    program = run(START + "mark('go'); time.sleep(60)")
    program.wait_for_mark("go")
    program.send(signal.SIGTERM)
    returncode, _, _ = program.finish(10)
    assert returncode == -signal.SIGTERM
    assert states(own) == ["closed"]


def test_a_users_own_sigterm_handler_is_left_alone(own, run):
    program = run(
        """
        signal.signal(signal.SIGTERM, lambda *_: (mark("mine"), sys.exit(3)))
        avatar.create_start_avatar(quality="low")
        mark("go")
        time.sleep(60)
        """,
    )
    program.wait_for_mark("go")
    program.send(signal.SIGTERM)
    returncode, out, _ = program.finish(10)
    assert (returncode, out.strip()) == (3, "mine")
    assert states(own) == ["closed"]


def test_a_forked_child_leaves_the_parents_session_alone_and_says_why_it_cannot_use_it(own, run):
    program = run(
        START
        + """
child = os.fork()
if child == 0:
    faulthandler.dump_traceback_later(15, exit=True)
    try:
        avatar.speak("from the child")
    except UsageError as error:
        mark("fork" if "fork" in str(error) else str(error))
    sys.exit(0)
os.waitpid(child, 0)
mark(str(avatar.say("Hi.").outcome))
""",
    )
    returncode, out, err = program.finish()
    assert returncode == 0, err
    assert out.split() == ["fork", "spoken"]
    assert states(own) == ["closed"]


def test_a_child_ends_that_was_forked_while_other_threads_of_its_parent_were_busy(own, run):
    program = run(
        START
        + """
from heygen_avatar import engine
pools = avatar._rest._session.get_adapter("http://").poolmanager
connections = pools.connection_from_url(os.environ["HEYGEN_BASE_PATH"]).pool
# What a thread in the midst of a call holds, and what none of the child's will ever let go of.
busy = [pools.pools.lock, connections.mutex, engine._loading, engine._engine_lock]
for lock in busy:
    lock.acquire()
child = os.fork()
if child == 0:
    faulthandler.dump_traceback_later(15, exit=True)
    sys.exit(0)
for lock in busy:
    lock.release()
mark(str(os.waitpid(child, 0)[1]))
mark(str(avatar.say("Hi.").outcome))
""",
    )
    returncode, out, err = program.finish()
    assert returncode == 0, err
    assert out.split() == ["0", "spoken"], err


def test_a_forked_childs_calls_take_connections_of_their_own(own, run):
    program = run(
        """
client = Client()
count = len(list(client.avatars.list()))
adapter = client._rest._session.get_adapter("http://")
former = adapter.poolmanager
former.pools.lock.acquire()  # as a thread does that is in the midst of a call
child = os.fork()
if child == 0:
    faulthandler.dump_traceback_later(15, exit=True)
    mark(str(adapter.poolmanager is not former and len(list(client.avatars.list())) == count))
    sys.exit(0)
former.pools.lock.release()
mark(str(os.waitpid(child, 0)[1]))
mark(str(adapter.poolmanager is former and len(list(client.avatars.list())) == count))
""",
    )
    returncode, out, err = program.finish()
    assert returncode == 0, err
    assert out.split() == ["True", "0", "True"], err


@pytest.mark.parametrize(
    "start",
    [
        "StreamingAvatar().start_avatar(session=session)",
        "StreamingAvatar().create_start_avatar()",
        "StreamingAvatar().new_session()",
        "avatar.start_avatar(session=session)",
        "avatar.start_session()",
    ],
)
def test_every_start_is_refused_in_a_forked_child_before_the_service_hears_of_it(own, run, start):
    own.inject({"kind": "delay", "path": "/v1/streaming.*", "nth": 100})  # never strikes, and counts the calls
    program = run(
        f"""
avatar.create_start_avatar(quality="low")
avatar.stop_avatar()
session = avatar.new_session(quality="low")
child = os.fork()
if child == 0:
    faulthandler.dump_traceback_later(15, exit=True)
    try:
        {start}
    except UsageError as error:
        mark("fork" if "fork" in str(error) else str(error))
    os._exit(0)
os.waitpid(child, 0)
mark("stop")
time.sleep(60)
""",
    )
    program.wait_for_mark("fork")
    program.wait_for_mark("stop")
    [calls] = [record["calls"] for record in own.fault_calls()]
    # Token, new, start, stop; token, new: all of them the parent's.
    assert calls == 6
    program.send(signal.SIGTERM)
    program.finish()
    assert states(own) == ["closed", "closed"]


def test_a_fork_beside_a_simulator_and_a_recording_comes_back(own, run, tmp_path):
    # A child frees what the threads that it has not got had kept; freed there, PyAV's scalers wait for such threads.
    program = run(
        f"""
        from heygen_avatar.simulator import Simulator
        with Simulator() as beside:
            avatar = StreamingAvatar(api_key=beside.api_key, base_path=beside.base_path)
            avatar.create_start_avatar(quality="low")
            with avatar.record({str(tmp_path / "recorded.mp4")!r}):
                avatar.say("Hi.")
                child = os.fork()
                if child == 0:
                    faulthandler.dump_traceback_later(15, exit=True)
                    os._exit(0)
                mark(f"child {{os.waitpid(child, 0)[1]}}")
            avatar.stop_avatar()
        """,
    )
    returncode, out, err = program.finish()
    assert (returncode, out.strip()) == (0, "child 0"), err
