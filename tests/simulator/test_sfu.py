"""The simulator's rooms, seen and heard by real LiveKit clients over loopback."""

from __future__ import annotations

import asyncio
import datetime

import aiohttp
import numpy as np
import pytest
from attrs import evolve
from livekit import api, rtc
from livekit.protocol import models

from heygen_avatar.simulator.sfu import Sfu

from .guests import (
    BLUE,
    RED,
    SECRET,
    SMALL,
    Guest,
    Listener,
    eventually,
    loud,
    meanwhile,
    on_a_loop,
    open_hall,
    pitch,
    play,
    show,
    silence,
    tone,
)

# Coming in


@on_a_loop
async def test_a_client_finds_the_avatar_and_its_two_tracks() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        await guest.have("track_subscribed", count=2)
        avatar = guest.room.remote_participants["heygen"]
        found = {(p.name, p.kind, p.source, p.mime_type) for p in avatar.track_publications.values()}
        assert found == {
            ("video", rtc.TrackKind.KIND_VIDEO, rtc.TrackSource.SOURCE_CAMERA, "video/H264"),
            ("audio", rtc.TrackKind.KIND_AUDIO, rtc.TrackSource.SOURCE_MICROPHONE, "audio/opus"),
        }
        assert guest.room.name == "room"


@on_a_loop
async def test_a_client_is_announced_once_and_leaves_once() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        await guest.leave()
        await hall.listener.have("left")
        assert hall.listener.events == [("joined", "client"), ("left", "client")]


@on_a_loop
async def test_clients_see_each_other_come_and_go() -> None:
    async with open_hall() as hall:
        first = await hall.invite("first")
        second = await hall.invite("second")
        assert set(second.room.remote_participants) == {"heygen", "first"}
        (newcomer,) = (await first.have("participant_connected"))[0]
        assert newcomer.identity == "second"
        await second.leave()
        (gone,) = (await first.have("participant_disconnected"))[0]
        assert gone.identity == "second"


def forged(**changes: object) -> str:
    """A token that is wrong in one respect."""
    grants = api.VideoGrants(room_join=bool(changes.get("join", True)), room=str(changes.get("room", "room")))
    token = api.AccessToken(str(changes.get("key", "key")), str(changes.get("secret", SECRET)))
    ttl = changes.get("ttl", 60)
    assert isinstance(ttl, int)
    token = token.with_identity("client").with_grants(grants)
    return token.with_ttl(datetime.timedelta(seconds=ttl)).to_jwt()


WRONG_TOKENS = {
    "signature": (401, "invalid token", {"secret": "another secret of thirty-two bytes or so"}),
    "issuer": (401, "invalid token", {"key": "another key"}),
    "expired": (401, "invalid token", {"ttl": -5}),
    "grant": (401, "no permissions", {"join": False}),
    "room": (404, "does not exist", {"room": "elsewhere"}),
}


@pytest.mark.parametrize(("status", "text", "changes"), WRONG_TOKENS.values(), ids=WRONG_TOKENS)
@on_a_loop
async def test_a_wrong_token_is_refused_with_the_reason(status: int, text: str, changes: dict[str, object]) -> None:
    async with open_hall() as hall, aiohttp.ClientSession() as browser:
        for path in ("/rtc", "/rtc/validate"):
            answer = await browser.get(hall.http + path, params={"access_token": forged(**changes)})
            assert answer.status == status
            assert text in await answer.text()


@on_a_loop
async def test_a_browser_may_ask_from_anywhere_whether_its_token_is_valid() -> None:
    async with open_hall() as hall, aiohttp.ClientSession() as browser:
        answer = await browser.get(hall.http + "/rtc/validate", params={"access_token": hall.room.token("client")})
        assert (answer.status, await answer.text()) == (200, "success")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


@on_a_loop
async def test_a_livekit_client_cannot_connect_with_an_expired_token() -> None:
    async with open_hall() as hall:
        with pytest.raises(rtc.ConnectError):
            await Guest().enter(hall.room.url, forged(ttl=-5))


@on_a_loop
async def test_a_second_connection_of_the_same_identity_replaces_the_first() -> None:
    async with open_hall() as hall:
        first = await hall.invite()
        second = await hall.invite()
        assert (await first.have("disconnected"))[0] == (rtc.DisconnectReason.DUPLICATE_IDENTITY,)
        await hall.room.send_data(b"for the second")
        assert (await second.have("data"))[0][0] == b"for the second"
        assert [event[:2] for event in hall.listener.events] == [
            ("joined", "client"),
            ("left", "client"),
            ("joined", "client"),
        ]


@on_a_loop
async def test_two_rooms_of_a_server_know_nothing_of_each_other() -> None:
    async with open_hall() as hall:
        other_listener = Listener()
        other = hall.sfu.create("other", other_listener)
        guest, stranger = await hall.invite(), Guest()
        await stranger.enter(other.url, other.token("client"))
        await other_listener.have("joined")
        assert not stranger.room.remote_participants
        await stranger.leave()
        await other_listener.have("left")
        assert not guest.of("participant_connected") and not hall.listener.of("left")


# Picture and sound


@pytest.mark.parametrize("codec", ["H264", "VP8"])
@on_a_loop
async def test_the_picture_that_is_shown_is_seen(codec: str) -> None:
    video = evolve(SMALL, codec=codec)
    async with open_hall(avatar=video) as hall:
        guest = await hall.invite()
        async with meanwhile(show(hall.room, RED, video)):
            frames = await guest.have("frame", count=10)
    picture = frames[-1][0]
    assert picture.shape == (180, 320, 3)
    assert np.abs(picture.mean(axis=(0, 1)) - RED).max() < 12


@on_a_loop
async def test_a_tone_is_heard_at_its_pitch_and_in_its_length() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        await guest.have("track_subscribed", count=2)
        await play(hall.room, np.concatenate([silence(0.5), tone(440, 2), silence(0.5)]))
    heard = guest.heard()
    sounding = np.flatnonzero(loud(heard))
    # The client's jitter buffer may stretch a little when its machine is busy; what is sent is exact (test_tracks.py).
    assert abs(len(sounding) / 100 - 2) < 0.1
    assert sounding[-1] - sounding[0] + 1 == len(sounding), "there is a gap in the tone"
    middle = heard[(sounding[0] + 20) * 480 : (sounding[-1] - 20) * 480]
    assert abs(pitch(middle) - 440) < 2


@on_a_loop
async def test_silence_is_heard_within_a_fifth_of_a_second() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        await guest.have("track_subscribed", count=2)
        await play(hall.room, tone(440, 1))
        loop = asyncio.get_running_loop()
        interrupted = loop.time()
        async with meanwhile(play(hall.room, silence(5))):
            await guest.until(lambda: guest.sound and not loud(guest.sound[-1]).any())
        assert loop.time() - interrupted < 0.2


@on_a_loop
async def test_a_track_is_subscribed_and_unsubscribed_at_any_time() -> None:
    async with open_hall() as hall:
        guest = await hall.invite(auto_subscribe=False)
        async with meanwhile(show(hall.room, RED)):
            for round_ in (1, 2, 3):
                await eventually(lambda: not hall.room.video_wanted)
                seen = len(guest.of("frame"))
                guest.publication("video").set_subscribed(True)
                await guest.have("frame", count=seen + 5)
                assert hall.room.video_wanted
                guest.publication("video").set_subscribed(False)
                await guest.have("track_unsubscribed", count=round_)
    assert not guest.of("sound")


@on_a_loop
async def test_both_tracks_can_be_subscribed_one_after_the_other() -> None:
    async with open_hall() as hall:
        guest = await hall.invite(auto_subscribe=False)
        guest.publication("audio").set_subscribed(True)
        guest.publication("video").set_subscribed(True)
        async with meanwhile(show(hall.room, BLUE), play(hall.room, tone(300, 20))):
            await guest.until(lambda: loud(guest.heard()).any())
            (picture,) = (await guest.have("frame"))[-1]
        assert {publication.name for publication, _ in guest.of("track_subscribed")} == {"audio", "video"}
        assert picture.mean((0, 1)) == pytest.approx(BLUE, abs=12)


@on_a_loop
async def test_an_avatar_that_enters_later_is_seen_and_one_that_leaves_is_gone() -> None:
    async with open_hall(avatar=None) as hall:
        guest = await hall.invite()
        await hall.room.enter("heygen", video=SMALL, audio=True)
        async with meanwhile(show(hall.room, BLUE)):
            await guest.have("frame", count=3)
        await hall.room.leave("heygen")
        (gone,) = (await guest.have("participant_disconnected"))[0]
        assert gone.identity == "heygen"
        assert len(await guest.have("track_unpublished", count=2)) == 2
        assert not hall.room.video_wanted


@on_a_loop
async def test_an_avatar_can_leave_and_enter_again() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        async with meanwhile(show(hall.room, RED)):
            await guest.have("frame")
            await hall.room.leave("heygen")
            await guest.have("participant_disconnected")
            seen = len(guest.of("frame"))
            await hall.room.enter("heygen", video=SMALL, audio=True)
            await guest.have("frame", count=seen + 3)
        assert len(guest.of("participant_connected")) == len(guest.of("participant_disconnected")) == 1


@on_a_loop
async def test_a_member_of_the_cast_without_tracks_is_a_participant_too() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        await hall.room.enter("agent")
        (agent,) = (await guest.have("participant_connected"))[0]
        assert (agent.identity, agent.track_publications) == ("agent", {})


@on_a_loop
async def test_two_clients_watch_the_same_avatar() -> None:
    async with open_hall() as hall:
        guests = [await hall.invite("first"), await hall.invite("second")]
        async with meanwhile(show(hall.room, RED)):
            for guest in guests:
                (picture,) = (await guest.have("frame", count=5))[-1]
                assert picture.mean((0, 1)) == pytest.approx(RED, abs=12)


@on_a_loop
async def test_who_speaks_loudly_is_the_active_speaker_until_silence() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        async with meanwhile(play(hall.room, np.concatenate([tone(440, 1), silence(10)]))):
            await guest.until(lambda: ([],) in guest.of("active_speakers_changed"))
        (speakers,) = guest.of("active_speakers_changed")[0]
        assert [speaker.identity for speaker in speakers] == ["heygen"]


@on_a_loop
async def test_the_connection_s_quality_is_reported_as_it_was_set() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        hall.room.degrade("client", models.POOR)
        reports = await guest.have("connection_quality_changed", count=2)
        told = {participant.identity: quality for participant, quality in reports}
        assert told["client"] == rtc.ConnectionQuality.QUALITY_POOR


def test_a_room_s_name_is_given_once() -> None:
    async def create_twice() -> None:
        sfu = Sfu(api_key="key", api_secret=SECRET)
        sfu.create("room", Listener())
        try:
            with pytest.raises(ValueError, match="exists already"):
                sfu.create("room", Listener())
        finally:
            await sfu.close()

    asyncio.run(create_twice())
