"""What docs/reliability.md says of each fault is what happens: one test for each row, over real REST, sockets, WebRTC.

A test is named as its row. Where a row says "the session goes on", the avatar still speaks afterwards; where it says
"stopped", the simulator says so.
"""

import re
import time
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from attrs import evolve

from heygen_avatar import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    DisconnectReason,
    LiveAvatarOptions,
    ServerError,
    Service,
    SessionClosedError,
    SessionState,
    SpeechOutcome,
    StartAvatarRequest,
    VoiceChatTransport,
    WaitTimeoutError,
    channel,
    cleanup,
    guardian,
)
from heygen_avatar.protocols.choice import choose
from heygen_avatar.protocols.streaming import StreamingProtocol
from heygen_avatar.simulator import Limits
from heygen_avatar.simulator.faults import CALL_KINDS, ORDERED_KINDS, SESSION_KINDS, SOCKET_KINDS
from tests.programs import eventually
from tests.services import FULL, LITE, STREAMING
from tests.stand import Stand

TABLE = Path(__file__).parents[1] / "docs" / "reliability.md"
CHAT = "/v1/ws/streaming.chat"
KEEP_ALIVE = "/v1/streaming.keep_alive"


@pytest.fixture
def stand(make_simulator):
    stand = Stand(make_simulator())
    yield stand
    stand.simulator.clear_faults()
    with suppress(APIConnectionError, SessionClosedError):
        stand.avatar.stop_avatar()


@pytest.fixture
def up(stand):
    return stand.start()


# -- calls


def test_call_refused_in_passing(up):
    up.is_planned("status", path=KEEP_ALIVE, status=503, times=2)
    up.avatar.keep_alive()
    assert up.struck == 2
    up.goes_on()


def test_call_refused_for_good(up):
    up.is_planned("status", path=KEEP_ALIVE, status=500, times=None)
    with pytest.raises(ServerError):
        up.avatar.keep_alive()
    assert up.struck == 4
    up.goes_on()


def test_too_many_calls(up):
    up.is_planned("status", path=KEEP_ALIVE, status=429, retry_after=0.7)
    began = time.monotonic()
    up.avatar.keep_alive()
    assert time.monotonic() - began >= 0.7
    up.goes_on()


def test_answer_late(up):
    up.is_planned("delay", path=KEEP_ALIVE, seconds=0.5)
    began = time.monotonic()
    up.avatar.keep_alive()
    assert time.monotonic() - began >= 0.5
    up.goes_on()


def test_answer_never_comes(make_simulator):
    up = Stand(make_simulator(), timeout=1.0).start(timeout=30)
    up.is_planned("hang", path=KEEP_ALIVE, times=None)
    began = time.monotonic()
    with pytest.raises(APITimeoutError):
        up.avatar.keep_alive()
    assert time.monotonic() - began < 1.5
    up.simulator.clear_faults()
    up.goes_on()
    up.avatar.stop_avatar()


@pytest.mark.parametrize("kind", ["cut", "malformed", "html", "lost"])
def test_answer_unusable(up, kind):
    up.is_planned(kind, path=KEEP_ALIVE, status=502, times=2)
    up.avatar.keep_alive()
    assert up.struck == 2
    up.goes_on()


@pytest.mark.parametrize("kind", ["cut", "malformed", "lost"])
def test_task_reply_lost(up, kind):
    up.is_planned(kind, path="/v1/streaming.task")
    with pytest.raises(APIConnectionError):
        up.avatar.speak("One.", task_type="repeat")
    up.goes_on()
    started = up.told("avatar_start_talking")
    assert len(started) == 2, "said once, and not again"


@pytest.mark.parametrize("kind", ["cut", "malformed", "lost", "html"])
def test_create_reply_lost(stand, kind):
    stand.is_planned(kind, path="/v1/streaming.new", after=True, status=502)
    with pytest.raises((APIConnectionError, ServerError)):
        stand.start()
    stand.is_stopped()
    assert stand.simulator.sessions()[0]["end_reason"] == "stopped"


def test_create_reply_late(stand):
    stand.is_planned("delay", path="/v1/streaming.new", seconds=1.0)
    began = time.monotonic()
    with pytest.raises(APITimeoutError):
        stand.start(timeout=0.6)
    assert time.monotonic() - began < 1.1
    stand.is_stopped()


def test_create_reply_lost_and_not_certain(stand, caplog):
    """Another program of the account makes a session in the same moment: neither is touched."""
    new = f"{stand.simulator.base_path}/v1/streaming.new"
    key = {"x-api-key": stand.simulator.api_key}
    requests.post(new, json={"version": "v2"}, headers=key, timeout=5)
    stand.is_planned("lost", path="/v1/streaming.new")
    with pytest.raises(APIConnectionError):
        stand.start()
    assert eventually(lambda: "not certain" in caplog.text)
    assert [one["state"] for one in stand.simulator.sessions()] == ["new", "new"]


def test_start_reply_lost(stand):
    stand.is_planned("lost", path="/v1/streaming.start")
    with pytest.raises(APIConnectionError):
        stand.start()
    stand.is_stopped()


# -- the chat socket


def test_chat_socket_refused_at_the_start(stand):
    stand.is_planned("status", path=CHAT, status=503, times=None)
    with pytest.raises(ServerError):
        stand.start()
    stand.is_stopped()


@pytest.mark.parametrize("kind", ["socket_close", "socket_garbage"])
def test_chat_socket_lost(up, kind):
    up.suffers(kind, path=CHAT)
    up.hears("reconnecting", channel="chat")
    speech = up.avatar.speak("Hello.")
    up.hears("reconnected", channel="chat")
    assert speech.wait(20).outcome is SpeechOutcome.SPOKEN
    assert up.told("user_end_message") == ["user_end_message"], "sent once"
    up.goes_on()


def test_chat_socket_lost_and_refused(up):
    up.is_planned("status", path=CHAT, status=403, times=None)
    up.suffers("socket_close", path=CHAT)
    error = up.hears("error").error
    with pytest.raises(type(error)):
        up.avatar.speak("Hello.")
    up.goes_on()


def test_chat_socket_half_open(monkeypatch, stand):
    monkeypatch.setattr(channel, "PING_INTERVAL", 0.3)
    monkeypatch.setattr(channel, "PING_TIMEOUT", 0.3)
    up = stand.start()
    up.suffers("socket_silent", path=CHAT)
    up.hears("reconnecting", channel="chat")
    up.hears("reconnected", channel="chat")
    assert up.avatar.speak("Hello.").wait(20).outcome is SpeechOutcome.SPOKEN


def test_chat_socket_speaks_nonsense(up):
    up.suffers("socket_nonsense", path=CHAT)
    assert up.avatar.speak("Hello.").wait(20).outcome is SpeechOutcome.SPOKEN
    assert not up.told("reconnecting", "error")


# -- the room


@pytest.mark.parametrize("transport", list(VoiceChatTransport))
def test_signal_connection_lost(stand, transport):
    up = stand.start(voice_chat_transport=transport)
    up.avatar.speak("One.").wait(20)
    up.suffers("signal_lost")
    up.hears("reconnecting", channel="room")
    assert up.avatar.state is SessionState.RECONNECTING
    speech = up.avatar.speak("Two.")
    up.hears("reconnected", channel="room")
    assert speech.wait(20).outcome is SpeechOutcome.SPOKEN
    assert len(up.told("user_end_message")) == 2, "each sent once"
    assert up.avatar.state is SessionState.CONNECTED


def test_signal_connection_half_open(monkeypatch, stand):
    monkeypatch.setattr("heygen_avatar.simulator.client.PING_INTERVAL", 1)
    monkeypatch.setattr("heygen_avatar.simulator.client.PING_TIMEOUT", 2)
    up = stand.start()
    up.suffers("socket_silent", path="/rtc")
    up.hears("reconnecting", channel="room")
    up.hears("reconnected", channel="room")
    up.goes_on()


@pytest.mark.parametrize("transport", list(VoiceChatTransport))
def test_room_restarted(stand, transport):
    up = stand.start(voice_chat_transport=transport)
    with up.avatar.video_frames() as frames:
        frames.read(10)
        up.suffers("room_restarted")
        up.hears("reconnecting", channel="room")
        speech = up.avatar.speak("Two.")
        up.hears("reconnected", channel="room")
        assert speech.wait(20).outcome is SpeechOutcome.SPOKEN
        frames.read(10)


def test_ice_cut(up):
    up.suffers("ice_cut")
    up.hears("reconnecting", timeout=25, channel="room")
    up.hears("reconnected", timeout=25, channel="room")
    up.avatar.snapshot(timeout=10)
    up.goes_on()


def test_media_stalled(up):
    with up.avatar.video_frames() as frames:
        frames.read(10)
        up.suffers("media_stalled", track="video")
        with pytest.raises(WaitTimeoutError):
            for _ in range(60):
                frames.read(1.0)
        up.simulator.clear_faults()
        frames.read(10)
    up.goes_on()


def test_track_unpublished(up):
    with up.avatar.audio_frames() as sound, up.avatar.video_frames() as frames:
        frames.read(10)
        up.suffers("track_unpublished", track="video")
        with pytest.raises(WaitTimeoutError):
            for _ in range(60):
                frames.read(1.0)
        sound.read(5)
    up.goes_on()


def test_connection_poor(monkeypatch, stand):
    monkeypatch.setattr("heygen_avatar.simulator.sfu.QUALITY_INTERVAL", 0.2)
    up = stand.start()
    up.suffers("quality_poor")
    up.hears("connection_quality_changed", quality="BAD")
    up.goes_on()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("duplicate_identity", DisconnectReason.DUPLICATE_IDENTITY),
        ("participant_removed", DisconnectReason.PARTICIPANT_REMOVED),
        ("room_deleted", DisconnectReason.ROOM_DELETED),
    ],
)
def test_room_lost(up, kind, reason):
    up.avatar.speak("A text that takes the avatar a while to say, so that it is cut off.", task_type="repeat")
    up.suffers(kind)
    up.hears("stream_disconnected", reason=reason)
    with pytest.raises(SessionClosedError, match=reason.text):
        up.avatar.interrupt()
    up.is_stopped()


@pytest.mark.parametrize("house", [STREAMING, FULL, LITE], ids=["streaming", "FULL", "LITE"])
def test_token_expired(make_simulator, house):
    up = Stand(make_simulator(), service=house.service).start(**house.start)
    up.suffers("token_expired")
    up.avatar.keep_alive()
    up.avatar.interrupt()
    assert house.say(up.avatar, 0.5).outcome is SpeechOutcome.SPOKEN
    up.avatar.stop_avatar()
    up.is_stopped()


@pytest.mark.parametrize("house", [STREAMING, FULL, LITE], ids=["streaming", "FULL", "LITE"])
def test_token_expired_and_no_key(make_simulator, house):
    """What takes no REST call goes on: all that is said on LiveAvatar."""
    simulator = make_simulator()
    token = token_of(simulator, house)
    up = Stand(simulator, api_key=None, token=token, service=house.service)
    up.avatar.create_start_avatar()
    up.suffers("token_expired")
    if house is not STREAMING:
        assert house.say(up.avatar, 0.5).outcome is SpeechOutcome.SPOKEN
    if house is not LITE:  # whose socket keeps it alive
        with pytest.raises(AuthenticationError, match="api_key"):
            up.avatar.keep_alive()
    with pytest.raises(AuthenticationError, match="good for one session and for about an hour"):
        up.avatar.stop_avatar()
    # Nobody here can stop it any more; the service's idle timeout will.
    cleanup.forget(up.avatar._connection)
    guardian.forget(up.avatar.session_id)
    by_key = evolve(up.avatar._connection.protocol.stop(up.avatar.session_id), auth="key")
    Stand(simulator, service=house.service).avatar._rest.call(by_key, timeout=5)


def token_of(simulator, house):
    """What a backend that keeps the key hands out."""
    rest = Stand(simulator, service=house.service).avatar._rest
    if house is STREAMING:
        return rest.call(StreamingProtocol().token(StartAvatarRequest()), timeout=5)["token"]
    request = StartAvatarRequest(**house.start)
    return rest.call(choose(house.service, request).protocol.new_session(request), timeout=5)["session_token"]


def test_server_silent(up):
    up.suffers("server_silent")
    began = time.monotonic()
    with pytest.raises(APITimeoutError):
        up.avatar.speak("Hello.", task_type="repeat", timeout=0.7)
    assert time.monotonic() - began < 1.2
    began = time.monotonic()
    with pytest.raises(APITimeoutError):
        up.avatar.stop_avatar(timeout=0.7)
    assert time.monotonic() - began < 1.2
    up.simulator.clear_faults()
    up.avatar.stop_avatar()
    up.is_stopped()


# -- data packets


def test_packets_malformed(up, caplog):
    up.suffers("packet_malformed")
    up.goes_on()
    assert "made no sense and was left out" in caplog.text
    assert not up.told("error")


def test_packets_huge(up):
    up.suffers("packet_huge")
    assert len(up.hears("a_huge_event").raw["filling"]) == 200_000
    up.goes_on()


def test_packets_unknown(up):
    up.suffers("packet_unknown")
    assert up.hears("an_event_of_the_future").raw["type"] == "an_event_of_the_future"
    up.goes_on()


def test_packets_twice(up):
    up.suffers("packets_twice")
    up.goes_on()
    assert up.avatar.say("Again.", timeout=20).outcome is SpeechOutcome.SPOKEN
    # A speech is over with the first event of its end; the second follows it.
    assert eventually(lambda: len(up.told("avatar_stop_talking")) == 4), up.told("avatar_stop_talking")


def test_packets_lost(up):
    up.suffers("packets_lost")
    assert up.avatar.say("Hi.", timeout=20).outcome is SpeechOutcome.SPOKEN
    with pytest.raises(WaitTimeoutError):
        up.avatar.speak("Hi.", task_type="repeat").wait(2)
    up.simulator.clear_faults()
    up.goes_on()


def test_packets_out_of_order(up):
    up.suffers("packets_swapped")
    up.goes_on()
    assert up.avatar.say("Again, and then some more.", timeout=20).outcome is SpeechOutcome.SPOKEN


# -- the end


def test_silent_end(make_simulator):
    stand = Stand(make_simulator(limits=Limits(session_duration=3, credits=1e6)))
    stand.is_planned("silent_end")
    stand.start()
    stand.hears("session_expiring")
    assert stand.hears("stream_disconnected", timeout=15).reason is DisconnectReason.ROOM_DELETED
    with pytest.raises(SessionClosedError, match="without a word"):
        stand.avatar.keep_alive()
    stand.is_stopped()


@pytest.mark.parametrize("house", [FULL, LITE], ids=["FULL", "LITE"])
def test_silent_end_on_liveavatar(make_simulator, house):
    stand = Stand(make_simulator(limits=Limits(liveavatar_session_duration=3)), service=house.service)
    stand.is_planned("silent_end")
    stand.start(**house.start)
    stand.hears("session_expiring", reason="MAX_DURATION_REACHED")
    assert not stand.hears("session_stopped", reason="MAX_DURATION_REACHED").raw
    assert stand.hears("stream_disconnected").reason is DisconnectReason.CLIENT_INITIATED
    with pytest.raises(SessionClosedError, match="longest duration"):
        house.say(stand.avatar, 0.5)
    stand.is_stopped()


def test_connected_late(make_simulator):
    stand = lite(make_simulator)
    stand.is_planned("late_connected", seconds=1.0)
    began = time.monotonic()
    stand.start(liveavatar=LiveAvatarOptions(mode="LITE", sandbox=True))
    assert time.monotonic() - began >= 1.0
    stand.avatar.keep_alive()
    stand.avatar.stop_avatar()


def test_speech_events_missing(make_simulator):
    stand = lite(make_simulator)
    stand.is_planned("no_speak_events")
    stand.start(liveavatar=LiveAvatarOptions(mode="LITE", sandbox=True))
    assert eventually(lambda: stand.struck)
    stand.avatar.keep_alive()
    stand.avatar.stop_avatar()


def lite(make_simulator):
    return Stand(make_simulator(), service=Service.LIVEAVATAR)


# -- the table itself


def rows():
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| ") and "---" not in line]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {cell[0]: cell[1:] for cell in cells if cell[0] != "fault"}


def test_the_table_has_a_row_for_each_kind_of_fault():
    told = " ".join(cells[0] for cells in rows().values())
    kinds = {*CALL_KINDS, *SOCKET_KINDS, *SESSION_KINDS, *ORDERED_KINDS}
    assert {kind for kind in kinds if f"`{kind}`" not in told} == set()


def test_each_row_has_its_test_and_each_test_its_row():
    own = {"the table has a row for each kind of fault", "each row has its test and each test its row"}
    source = Path(__file__).read_text()
    tests = {name.replace("_", " ") for name in re.findall(r"^def test_(\w+)", source, re.MULTILINE)}
    assert tests - own == {re.sub(r"[^\w ]", "", name).lower() for name in rows()}
