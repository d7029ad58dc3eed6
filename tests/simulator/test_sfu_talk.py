"""What clients and cast say to each other in the simulator's rooms: data packets, microphones, and noise."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from livekit.protocol import models
from livekit.protocol import rtc as wire

from heygen_avatar.simulator.stage import SAMPLE_RATE

from .guests import SMALL, Guest, eventually, loud, meanwhile, on_a_loop, open_hall, pitch, talk, tone

# Data packets


@on_a_loop
async def test_a_packet_carries_its_topic_and_its_sender_both_ways() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        await hall.room.enter("agent")
        await guest.have("participant_connected")
        await hall.room.send_data(b"down", topic="agent-response", sender="agent")
        assert (await guest.have("data"))[0] == (b"down", "agent-response", "agent")
        await guest.room.local_participant.publish_data(b"up", topic="agent-control")
        assert (await hall.listener.have("data"))[0] == ("client", b"up", "agent-control")


@on_a_loop
async def test_packets_of_15_kib_come_through_whole_and_in_order() -> None:
    packets = [bytes([index]) * 15 * 1024 for index in range(40)]
    async with open_hall() as hall:
        guest = await hall.invite()
        for packet in packets:
            await hall.room.send_data(packet)
        assert [data for data, _, _ in await guest.have("data", count=40)] == packets
        for packet in packets:
            await guest.room.local_participant.publish_data(packet)
        assert [data for _, data, _ in await hall.listener.have("data", count=40)] == packets


@on_a_loop
async def test_a_packet_to_one_client_is_heard_by_no_other() -> None:
    async with open_hall() as hall:
        first, second = await hall.invite("first"), await hall.invite("second")
        await hall.room.send_data(b"private", to=["second"])
        await hall.room.send_data(b"public")
        assert [data for data, *_ in await second.have("data", count=2)] == [b"private", b"public"]
        assert [data for data, *_ in await first.have("data")] == [b"public"]


@on_a_loop
async def test_a_client_s_packet_reaches_the_cast_and_the_other_clients() -> None:
    async with open_hall() as hall:
        first, second = await hall.invite("first"), await hall.invite("second")
        await first.room.local_participant.publish_data(b"to all", topic="t")
        assert (await second.have("data"))[0] == (b"to all", "t", "first")
        assert (await hall.listener.have("data"))[0] == ("first", b"to all", "t")


@on_a_loop
async def test_a_client_s_packet_to_another_is_not_for_the_cast() -> None:
    async with open_hall() as hall:
        first, second = await hall.invite("first"), await hall.invite("second")
        await first.room.local_participant.publish_data(b"secret", destination_identities=["second"])
        await first.room.local_participant.publish_data(b"avatar", destination_identities=["heygen"])
        assert (await second.have("data"))[0][0] == b"secret"
        assert [data for _, data, _ in await hall.listener.have("data")] == [b"avatar"]


@on_a_loop
async def test_lossy_packets_come_through_too() -> None:
    async with open_hall() as hall:
        first, second = await hall.invite("first"), await hall.invite("second")
        await first.room.local_participant.publish_data(b"lossy", reliable=False)
        assert (await second.have("data"))[0][0] == b"lossy"
        assert (await hall.listener.have("data"))[0][1] == b"lossy"


@on_a_loop
async def test_packets_sent_before_a_client_can_hear_are_delivered_in_order_when_it_can() -> None:
    async with open_hall() as hall:
        guest = Guest()
        entering = asyncio.create_task(guest.enter(hall.room.url, hall.room.token("client")))
        await eventually(lambda: "client" in hall.room.clients)
        assert not hall.listener.of("joined")
        for index in range(5):
            await hall.room.send_data(b"%d" % index)
        await entering
        assert [data for data, *_ in await guest.have("data", count=5)] == [b"0", b"1", b"2", b"3", b"4"]
        await guest.leave()


# The microphone


@on_a_loop
async def test_a_client_s_microphone_is_heard_at_its_pitch_as_48_khz_mono() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        source, _ = await guest.speak()
        await talk(source, tone(500, 3, rate=16_000))
        await hall.listener.until(lambda: loud(hall.listener.heard()).sum() > 200)
    heard = hall.listener.heard()
    assert heard.dtype == np.int16
    sounding = np.flatnonzero(loud(heard))
    assert abs(pitch(heard[(sounding[0] + 50) * 480 : sounding[-1] * 480]) - 500) < 3
    assert np.abs(heard).max() == pytest.approx(8000, rel=0.2)


@on_a_loop
async def test_a_muted_microphone_is_heard_as_silence_in_real_time() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        source, track = await guest.speak()
        async with meanwhile(talk(source, tone(500, 30, rate=16_000))):
            await hall.listener.until(lambda: loud(hall.listener.heard()).any())
            track.mute()
            await hall.listener.have("muted")
            before = len(hall.listener.heard())
            await hall.listener.until(lambda: len(hall.listener.heard()) >= before + SAMPLE_RATE, timeout=3)
            assert not loud(hall.listener.heard()[before:]).any()
            track.unmute()
            await hall.listener.until(lambda: loud(hall.listener.heard()[before:]).any())
        assert hall.listener.of("muted") == [("client", True), ("client", False)]


@on_a_loop
async def test_a_microphone_that_is_unpublished_counts_as_muted_and_can_come_again() -> None:
    async with open_hall() as hall:
        guest = await hall.invite()
        for round_ in (1, 2):
            before = len(hall.listener.heard())
            source, track = await guest.speak()
            async with meanwhile(talk(source, tone(500, 30, rate=16_000))):
                await hall.listener.until(lambda before=before: loud(hall.listener.heard()[before:]).any())
                await guest.room.local_participant.unpublish_track(track.sid)
                await hall.listener.have("muted", count=round_)
        assert hall.listener.of("muted") == [("client", True)] * 2


# What no proper client does


@on_a_loop
async def test_bytes_that_are_no_request_are_ignored() -> None:
    async with open_hall() as hall:
        stranger = await hall.invite_stranger()
        for noise in (b"\xff\xff\xff", b"", bytes(range(256))):
            await stranger.socket.send_bytes(noise)
        await stranger.socket.send_str("no protobuf at all")
        await stranger.ask(update_layers=wire.UpdateVideoLayers())
        await stranger.ask(answer=wire.SessionDescription(type="answer", sdp="no sdp at all"))
        await stranger.ask(offer=wire.SessionDescription(type="offer", sdp="no sdp at all"))
        await stranger.ask(ping=1)
        await stranger.have("pong")
        assert hall.room.clients == ["stranger"]
        assert not stranger.of("leave") and not stranger.of("closed")


@on_a_loop
async def test_bytes_that_are_no_data_packet_are_ignored() -> None:
    async with open_hall() as hall:
        stranger = await hall.invite_stranger()
        await stranger.connect()
        channel = stranger.of("open")[0][0]
        for noise in (b"\xff\xff\xff", b"", "text", bytes(range(256))):
            channel.send(noise)
        channel.send(models.DataPacket(user=models.UserPacket(payload=b"sense")).SerializeToString())
        assert await hall.listener.have("data") == [("stranger", b"sense", "")]
        await stranger.disconnect()


@on_a_loop
async def test_a_packet_on_the_subscriber_connection_s_channel_is_heard_too() -> None:
    async with open_hall() as hall:
        stranger = await hall.invite_stranger()
        await stranger.connect()
        await eventually(lambda: "_reliable" in stranger.channels)
        packet = models.DataPacket(user=models.UserPacket(payload=b"sense", topic="t"))
        stranger.channels["_reliable"].send(packet.SerializeToString())
        assert await hall.listener.have("data") == [("stranger", b"sense", "t")]
        await stranger.disconnect()


@on_a_loop
async def test_a_packet_that_is_sent_again_after_a_resume_is_heard_once() -> None:
    async with open_hall() as hall:
        stranger = await hall.invite_stranger()
        await stranger.connect()
        channel = stranger.of("open")[0][0]
        for sequence in (1, 2, 1, 2, 3):
            user = models.UserPacket(payload=b"%d" % sequence)
            channel.send(models.DataPacket(user=user, sequence=sequence).SerializeToString())
        assert [data for _, data, _ in await hall.listener.have("data", count=3)] == [b"1", b"2", b"3"]
        await stranger.disconnect()


@on_a_loop
async def test_a_picture_that_the_client_disables_is_not_drawn_until_it_looks_again() -> None:
    async with open_hall() as hall:
        stranger = await hall.invite_stranger()
        await stranger.connect()
        await eventually(lambda: hall.room.video_wanted)
        join = stranger.of("join")[0][0]
        sids = [track.sid for track in join.other_participants[0].tracks]
        await stranger.ask(track_setting=wire.UpdateTrackSettings(track_sids=sids, disabled=True))
        await eventually(lambda: not hall.room.video_wanted)
        await stranger.ask(track_setting=wire.UpdateTrackSettings(track_sids=sids, disabled=False))
        await eventually(lambda: hall.room.video_wanted)
        assert hall.room.video_wanted
        await stranger.disconnect()


@on_a_loop
async def test_both_kinds_of_ping_are_answered() -> None:
    async with open_hall() as hall:
        stranger = await hall.invite_stranger()
        await stranger.ask(ping=1)
        await stranger.ask(ping_req=wire.Ping(timestamp=12))
        await stranger.have("pong")
        assert (await stranger.have("pong_resp"))[0][0].last_ping_timestamp == 12
        join = stranger.of("join")[0][0]
        assert (join.ping_interval, join.ping_timeout) == (5, 15)


@on_a_loop
async def test_only_loopback_addresses_are_offered() -> None:
    async with open_hall() as hall:
        stranger = await hall.invite_stranger()
        offer = (await stranger.have("offer"))[0][0].sdp
    addresses = {line.split()[4] for line in offer.splitlines() if line.startswith("a=candidate:")}
    assert addresses == {"127.0.0.1"}


@on_a_loop
async def test_no_second_offer_is_made_before_the_first_is_answered() -> None:
    async with open_hall() as hall:
        stranger = await hall.invite_stranger()
        await stranger.have("offer")
        await hall.room.leave("heygen")
        await hall.room.enter("heygen", video=SMALL, audio=True)
        await stranger.ask(ping=1)
        await stranger.have("pong")
        assert len(stranger.of("offer")) == 1
