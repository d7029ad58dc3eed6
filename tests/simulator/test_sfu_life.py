"""How participants of the simulator's rooms stay, come again, go and are thrown out; and that nothing stays behind."""

from __future__ import annotations

import asyncio
import threading

import psutil
import pytest
from livekit import rtc
from livekit.protocol import models
from livekit.protocol import rtc as wire

from heygen_avatar.simulator import client, signalling

from .guests import RED, SMALL, eventually, loud, meanwhile, on_a_loop, open_hall, play, show, silence, talk, tone

# Coming again


@on_a_loop
async def test_a_client_whose_websocket_is_cut_resumes_without_leaving() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        async with meanwhile(show(hall.room, RED)):
            await guest.have("frame")
            hall.room.drop_signal("client")
            await guest.have("reconnecting")
            await guest.have("reconnected")
            seen = len(guest.of("frame"))
            await guest.have("frame", count=seen + 5)
        assert not hall.listener.of("left") and not guest.of("disconnected")
        assert len(guest.of("track_published")) == 0, "the avatar's tracks are the same as before"


@on_a_loop
async def test_data_is_heard_once_and_both_ways_after_a_resume() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        await guest.room.local_participant.publish_data(b"before")
        await hall.listener.have("data")
        hall.room.drop_signal("client")
        await guest.have("reconnected")
        await guest.room.local_participant.publish_data(b"after")
        await hall.room.send_data(b"down")
        await guest.have("data")
        assert [data for _, data, _ in await hall.listener.have("data", count=2)] == [b"before", b"after"]


@on_a_loop
async def test_a_microphone_is_still_heard_long_after_a_resume() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        source, _ = await guest.speak()
        async with meanwhile(talk(source, tone(500, 60, rate=16_000))):
            await hall.listener.until(lambda: loud(hall.listener.heard()).any())
            hall.room.drop_signal("client")
            await guest.have("reconnected")
            # The client restarts ICE on this connection; credentials it did not like would show within 15 s.
            resumed = len(hall.listener.heard())
            await hall.listener.until(lambda: loud(hall.listener.heard()[resumed:]).sum() > 2000, timeout=30)
        assert not guest.of("disconnected") and len(guest.of("reconnecting")) == 1


@on_a_loop
async def test_what_happened_while_a_client_was_away_is_told_when_it_resumes() -> None:
    async with open_hall(avatar=None) as hall:
        guest = await hall.invite()
        hall.room.drop_signal("client")
        await hall.room.enter("heygen", video=SMALL, audio=True)
        await guest.have("participant_connected")
        async with meanwhile(show(hall.room, RED)):
            await guest.have("frame", count=3)
        assert [participant.identity for (participant,) in guest.of("participant_connected")] == ["heygen"]
        assert not guest.of("disconnected")


@on_a_loop
async def test_a_client_told_to_reconnect_comes_again_from_scratch() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        hall.room.demand_reconnect("client")
        await guest.have("reconnected", timeout=30)
        await hall.listener.have("joined", count=2)
        assert hall.listener.of("left") == [("client",)]
        async with meanwhile(show(hall.room, RED)):
            await guest.have("frame", count=3)
        assert not guest.of("disconnected")


@on_a_loop
async def test_a_client_that_simulates_a_reconnect_keeps_its_place() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        await guest.room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT)
        await guest.have("reconnected")
        await hall.room.send_data(b"still there?")
        await guest.have("data")
        assert not hall.listener.of("left")


@on_a_loop
async def test_a_client_that_stays_away_is_gone_after_the_grace_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RESUME_GRACE", 0.2)
    async with open_hall() as hall:
        witness = await hall.invite("witness")
        stranger = await hall.invite_stranger("stranger")
        await witness.have("participant_connected")
        hall.room.drop_signal("stranger")
        (gone,) = (await witness.have("participant_disconnected"))[0]
        assert gone.identity == "stranger"
        assert hall.room.clients == ["witness"]
        await stranger.have("closed")


@on_a_loop
async def test_a_client_that_never_pings_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signalling, "PING_TIMEOUT", 0.2)
    monkeypatch.setattr(client, "RESUME_GRACE", 0.1)
    async with open_hall() as hall:
        stranger = await hall.invite_stranger()
        await stranger.have("closed")
        await eventually(lambda: not hall.room.clients)
        assert hall.room.clients == []
        assert not stranger.of("leave")


@on_a_loop
async def test_who_resumes_without_being_known_is_told_to_come_again_from_scratch() -> None:
    async with open_hall() as hall:
        stranger = await hall.invite_stranger("stranger", query="&reconnect=1&sid=PA_unknown")
        leave = (await stranger.have("leave"))[0][0]
        assert (leave.action, leave.reason) == (wire.LeaveRequest.RECONNECT, models.STATE_MISMATCH)
        await stranger.have("closed")


# Going


@on_a_loop
async def test_a_deleted_room_tells_its_clients_so() -> None:
    async with open_hall() as hall:
        guests = [await hall.invite("first"), await hall.invite("second")]
        await hall.room.close()
        await hall.room.close()
        for guest in guests:
            assert await guest.have("disconnected") == [(rtc.DisconnectReason.ROOM_DELETED,)]
        assert hall.listener.of("left") == [("first",), ("second",)]


@on_a_loop
async def test_a_client_that_is_removed_is_told_so_and_the_others_stay() -> None:
    async with open_hall() as hall:
        guest, witness = await hall.invite("guest"), await hall.invite("witness")
        hall.room.remove("guest")
        assert await guest.have("disconnected") == [(rtc.DisconnectReason.PARTICIPANT_REMOVED,)]
        await witness.have("participant_disconnected")
        assert hall.listener.of("left") == [("guest",)]
        assert not witness.of("disconnected")


@on_a_loop
async def test_a_room_that_was_deleted_can_be_opened_again() -> None:
    async with open_hall() as hall:
        await hall.room.close()
        again = hall.sfu.create("room", hall.listener)
        await again.enter("heygen", audio=True)
        guest = await hall.invite()
        assert set(guest.room.remote_participants) == {"heygen"}


# What may go wrong, on demand


@on_a_loop
async def test_a_paused_picture_freezes_and_goes_on() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        async with meanwhile(show(hall.room, RED), play(hall.room, silence(30))):
            await guest.have("frame", count=5)
            hall.room.pause_media("heygen", kinds=["video"], paused=True)
            assert not hall.room.video_wanted
            await guest.have("sound", count=len(guest.of("sound")) + 20)
            frozen = len(guest.of("frame"))
            await guest.have("sound", count=len(guest.of("sound")) + 50)
            assert len(guest.of("frame")) == frozen
            hall.room.pause_media("heygen", kinds=["video"], paused=False)
            await guest.have("frame", count=frozen + 5)


@on_a_loop
async def test_one_track_can_be_taken_away() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        await guest.have("track_subscribed", count=2)
        await hall.room.unpublish("heygen", "video")
        publication, participant = (await guest.have("track_unpublished"))[0]
        assert (publication.kind, participant.identity) == (rtc.TrackKind.KIND_VIDEO, "heygen")
        async with meanwhile(play(hall.room, tone(440, 20))):
            await guest.until(lambda: loud(guest.heard()).any())


# What stays behind


@on_a_loop
async def test_a_closed_server_leaves_no_task_thread_or_socket_behind() -> None:
    await a_busy_room()  # The client library and the loop's executor keep some threads once started.
    before = remains()
    for _ in range(3):
        await a_busy_room()
    tasks, threads, files = remains()
    assert tasks == before[0]
    assert threads <= before[1]
    assert files <= before[2] + 2


async def a_busy_room() -> None:
    async with open_hall() as hall:
        guest, other = await hall.invite(), await hall.invite("other")
        source, _ = await guest.speak()
        async with meanwhile(
            show(hall.room, RED), play(hall.room, tone(440, 20)), talk(source, tone(500, 20, rate=16_000))
        ):
            await guest.have("frame", count=3)
            await hall.listener.have("microphone")
            hall.room.remove("other")
            await other.have("disconnected")


def remains() -> tuple[set[str], int, int]:
    tasks = {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    return tasks, sum("decoder" in t.name for t in threading.enumerate()), psutil.Process().num_fds()


@on_a_loop
async def test_clients_that_come_and_go_at_any_moment_make_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with open_hall() as hall:
        for delay in (0.0, 0.01, 0.02, 0.03, 0.05, 0.08):
            guest = await hall.invite_stranger(f"stranger {delay}")
            await guest.have("offer")
            await asyncio.sleep(delay)
            hall.room.remove(f"stranger {delay}")
            await guest.have("closed")
        for _ in range(3):
            guest_ = await hall.invite()
            await guest_.speak()
            await guest_.leave()
    assert not complaints
    assert not [
        record for record in caplog.records if record.name.startswith(("aiortc", "aioice", "heygen", "asyncio"))
    ]
