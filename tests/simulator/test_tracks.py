"""The cast's tracks by themselves: what is encoded, when, and what a subscriber that falls behind loses."""

from __future__ import annotations

import asyncio

import av
import numpy as np
import pytest
from attrs import evolve

from heygen_avatar.simulator.stage import BLOCK_SAMPLES, VideoFormat
from heygen_avatar.simulator.tracks import QUEUED_PACKETS, Outlet, PictureFeed, VoiceFeed

from .guests import SMALL, on_a_loop, tone


async def opened(outlet: Outlet) -> asyncio.Task[object]:
    """An outlet from which a sender reads, as it does once its client is connected."""
    reading = asyncio.ensure_future(outlet.recv())
    await asyncio.sleep(0)
    return reading


def grey(video: VideoFormat, seed: int = 0) -> av.VideoFrame:
    """A frame of noise, which no encoder likes."""
    rng = np.random.default_rng(seed)
    return av.VideoFrame.from_ndarray(
        rng.integers(0, 255, (video.height * 3 // 2, video.width), np.uint8), format="yuv420p"
    )


@on_a_loop
async def test_a_voice_without_subscribers_is_not_encoded_and_its_clock_goes_on() -> None:
    feed, outlet = VoiceFeed(owner_sid="PA", sid="TR"), Outlet("audio")
    block = tone(440, 0.02)
    for _ in range(5):
        feed.push(block)
    outlet.plug(feed)
    reading = await opened(outlet)
    assert feed.wanted
    feed.push(block)
    packet = await reading
    assert packet.pts == 5 * BLOCK_SAMPLES


@on_a_loop
async def test_every_block_becomes_one_packet_of_its_time() -> None:
    feed, outlet = VoiceFeed(owner_sid="PA", sid="TR"), Outlet("audio")
    outlet.plug(feed)
    reading = await opened(outlet)
    times = []
    for index in range(10):
        feed.push(tone(440, 0.02))
        packet = await (reading if index == 0 else outlet.recv())
        times.append(packet.pts)
    assert times == [index * BLOCK_SAMPLES for index in range(10)]


@on_a_loop
async def test_what_a_stuck_subscriber_does_not_take_is_counted() -> None:
    feed, outlet = VoiceFeed(owner_sid="PA", sid="TR"), Outlet("audio")
    outlet.plug(feed)
    reading = await opened(outlet)
    for _ in range(QUEUED_PACKETS["audio"] + 5):
        feed.push(tone(440, 0.02))
    assert outlet.lost > 0
    await reading


@on_a_loop
async def test_loudness_is_that_of_the_sound_since_last_asked() -> None:
    feed = VoiceFeed(owner_sid="PA", sid="TR")
    feed.push(tone(440, 0.02, amplitude=16384))
    assert feed.loudness() == pytest.approx(0.5 / 2**0.5, rel=0.05)
    feed.push(np.zeros(BLOCK_SAMPLES, np.int16))
    assert feed.loudness() == 0


@on_a_loop
async def test_two_subscribers_get_the_same_packets_of_one_encoder() -> None:
    feed, outlets = PictureFeed(owner_sid="PA", sid="TR", video=SMALL), [Outlet("video"), Outlet("video")]
    for outlet in outlets:
        outlet.plug(feed)
    readings = [await opened(outlet) for outlet in outlets]
    feed.push(grey(SMALL))
    first, second = await asyncio.gather(*readings)
    assert first is second
    await feed.close()


@pytest.mark.parametrize("codec", ["H264", "VP8"])
@on_a_loop
async def test_a_subscriber_begins_with_a_keyframe_whenever_it_comes(codec: str) -> None:
    feed = PictureFeed(owner_sid="PA", sid="TR", video=evolve(SMALL, codec=codec))
    early, late = Outlet("video"), Outlet("video")
    early.plug(feed)
    reading = await opened(early)
    feed.push(grey(SMALL))
    assert (await reading).is_keyframe
    feed.push(grey(SMALL, 1))
    assert not (await early.recv()).is_keyframe
    late.plug(feed)
    reading = await opened(late)
    while not reading.done():
        feed.push(grey(SMALL, 2))
        await early.recv()
    assert (await reading).is_keyframe
    await feed.close()


@pytest.mark.parametrize("codec", ["H264", "VP8"])
@on_a_loop
async def test_the_bitrate_is_the_one_asked_for(codec: str) -> None:
    video = VideoFormat(width=640, height=360, bitrate=800_000, fps=30, codec="H264" if codec == "H264" else "VP8")
    feed, outlet = PictureFeed(owner_sid="PA", sid="TR", video=video), Outlet("video")
    outlet.plug(feed)
    reading = await opened(outlet)
    rng = np.random.default_rng(0)
    picture = np.full((540, 640), 128, np.uint8)
    sizes = []
    for index in range(90):
        picture[:360] = rng.integers(64, 192, (45, 80), np.uint8).repeat(8, 0).repeat(8, 1)
        feed.push(av.VideoFrame.from_ndarray(picture, format="yuv420p"))
        packet = await (reading if index == 0 else outlet.recv())
        sizes.append(packet.size)
    assert sum(sizes[30:]) * 8 / 2 == pytest.approx(800_000, rel=0.35)
    await feed.close()


@on_a_loop
async def test_a_frame_that_comes_while_another_waits_replaces_it() -> None:
    feed, outlet = PictureFeed(owner_sid="PA", sid="TR", video=SMALL), Outlet("video")
    outlet.plug(feed)
    reading = await opened(outlet)
    for seed in range(3):
        feed.push(grey(SMALL, seed))
    assert feed.late == 2
    await reading
    await feed.close()
