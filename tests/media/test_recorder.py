from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from attrs import frozen
from hand import Hand
from studio import BLUE, HEIGHT, PITCH, RED, WIDTH, Scene, pitch_of

from heygen_avatar.errors import InvalidRequestError, MediaError, MissingExtraError, UsageError
from heygen_avatar.media.recorder import MAX_PICTURES, Recording

from conftest import Guest  # isort: skip

SIZE = (64, 48)


@frozen
class Played:
    """A recording as a player would see it."""

    times: list[float]
    pictures: list[np.ndarray]
    sound: np.ndarray
    video_length: float
    audio_length: float


def play(path: Path) -> Played:
    with av.open(str(path)) as movie:
        frames = list(movie.decode(video=0)) if movie.streams.video else []
    with av.open(str(path)) as movie:
        sounds = [frame.to_ndarray() for frame in movie.decode(audio=0)]
        rate = movie.streams.audio[0].rate
    sound = np.concatenate(sounds, axis=1)[0] if sounds else np.zeros(0)
    if sound.dtype == np.int16:
        sound = sound / 32768
    with av.open(str(path)) as movie:
        packets = [packet for packet in movie.demux() if packet.size and packet.stream.type == "video"]
        ends = [float((packet.pts + packet.duration) * packet.time_base) for packet in packets]
    return Played(
        [frame.time for frame in frames],
        [frame.to_ndarray(format="rgb24") for frame in frames],
        sound,
        max(ends, default=0.0),
        sound.size / rate,
    )


def record(path: Path, seconds: float, *, hand: Hand, size: tuple[int, int] = SIZE, start: float = 0.0) -> Recording:
    """Record a red picture at 25 fps and a steady tone, as fast as it can be encoded."""
    flow = threading.Thread(target=_first_frames, args=(hand, size, start))
    flow.start()
    recording = Recording(hand, path)
    flow.join()
    perform(hand, recording, seconds, size=size, start=start)
    return recording


def _first_frames(hand: Hand, size: tuple[int, int], start: float) -> None:
    while len(hand.sinks) < 2:
        time.sleep(0.001)
    hand.hum(PITCH, 0, start + 0.02)
    hand.show_colour(RED, *size, at=start + 0.02)


def perform(hand: Hand, recording: Recording, seconds: float, *, size: tuple[int, int], start: float) -> None:
    for block in range(1, round(seconds * 50)):
        hand.hum(PITCH, block, start + (block + 1) * 0.02)
        if block % 2 == 0:
            hand.show_colour(RED, *size, at=start + (block + 1) * 0.02)
            while recording.active and recording.video_frames < block // 2 - 20:
                time.sleep(0.001)  # what is too fast for the encoder is dropped; that is another test's


@pytest.fixture
def hand() -> Hand:
    return Hand()


# -- what is in the file


def test_picture_and_sound_are_of_equal_length(hand: Hand, tmp_path: Path) -> None:
    with record(tmp_path / "a.mp4", 3.0, hand=hand) as recording:
        pass
    played = play(recording.path)
    assert played.audio_length == pytest.approx(3.0, abs=0.03)  # AAC comes in pieces of 21 ms
    assert played.video_length == pytest.approx(played.audio_length, abs=0.1)


def test_the_recording_counts_what_it_wrote(hand: Hand, tmp_path: Path) -> None:
    with record(tmp_path / "a.mp4", 2.0, hand=hand) as recording:
        pass
    assert (recording.audio_samples, recording.duration, recording.dropped) == (96_000, 2.0, 0)
    assert recording.video_frames == len(play(recording.path).times)


def test_the_sound_is_the_tone_without_a_gap(hand: Hand, tmp_path: Path) -> None:
    with record(tmp_path / "a.mp4", 2.0, hand=hand) as recording:
        pass
    sound = play(recording.path).sound[4800:90_000]
    assert pitch_of(sound, 48_000) == pytest.approx(PITCH, abs=1)
    assert np.abs(sound[: sound.size // 480 * 480].reshape(-1, 480)).max(axis=1).min() > 0.1


def test_the_picture_has_its_colour(hand: Hand, tmp_path: Path) -> None:
    with record(tmp_path / "a.mp4", 1.0, hand=hand) as recording:
        pass
    assert play(recording.path).pictures[5].mean(axis=(0, 1)) == pytest.approx(RED, abs=10)


def test_pictures_lie_where_they_came(hand: Hand, tmp_path: Path) -> None:
    with record(tmp_path / "a.mp4", 1.0, hand=hand) as recording:
        pass
    assert np.diff(play(recording.path).times)[1:-1] == pytest.approx(0.04, abs=0.002)


def test_a_size_that_is_odd_is_recorded_without_its_last_line(hand: Hand, tmp_path: Path) -> None:
    with record(tmp_path / "a.mp4", 0.5, hand=hand, size=(63, 47)) as recording:
        pass
    assert play(recording.path).pictures[0].shape == (46, 62, 3)


def test_pictures_that_change_size_are_scaled_to_the_first(hand: Hand, tmp_path: Path) -> None:
    recording = record(tmp_path / "a.mp4", 1.0, hand=hand)
    hand.show_colour(BLUE, 128, 96, at=1.02)
    hand.hum(PITCH, 50, 1.02)
    recording.stop()
    last = play(recording.path).pictures[-1]
    assert last.shape == (48, 64, 3)
    assert last.mean(axis=(0, 1)) == pytest.approx(BLUE, abs=10)


def test_a_picture_that_freezes_stays_to_the_end_of_the_sound(hand: Hand, tmp_path: Path) -> None:
    recording = record(tmp_path / "a.mp4", 1.0, hand=hand)
    for block in range(50, 150):
        hand.hum(PITCH, block, (block + 1) * 0.02)
    recording.stop()
    played = play(recording.path)
    assert (played.audio_length, played.video_length) == (pytest.approx(3.0, abs=0.05), pytest.approx(3.0, abs=0.1))


def test_a_sound_that_stops_is_silence_to_the_end_of_the_picture(hand: Hand, tmp_path: Path) -> None:
    recording = record(tmp_path / "a.mp4", 1.0, hand=hand)
    for n in range(1, 76):
        hand.show_colour(RED, *SIZE, at=1.0 + n / 25)
        while recording.active and recording.video_frames < n:
            time.sleep(0.001)
    recording.stop()
    played = play(recording.path)
    assert (played.audio_length, played.video_length) == (pytest.approx(4.0, abs=0.1), pytest.approx(4.0, abs=0.1))
    assert np.abs(played.sound[100_000:]).max() < 0.01


def test_only_the_sound_can_be_recorded(hand: Hand, tmp_path: Path) -> None:
    beside = threading.Thread(target=_sounds, args=(hand,))
    beside.start()
    with Recording(hand, tmp_path / "a.wav") as recording:
        beside.join()
    sound = play(recording.path).sound
    assert (sound.size, pitch_of(sound, 48_000)) == (48_000, pytest.approx(PITCH, abs=1))


def _sounds(hand: Hand) -> None:
    assert hand.attached.wait(5)
    for block in range(50):
        hand.hum(PITCH, block, (block + 1) * 0.02)


# -- what may go wrong


def test_without_pyav_the_extra_is_named(hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "heygen_avatar.media.movie", raising=False)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"heygen-avatar\[record\]"):
        Recording(hand, tmp_path / "a.mp4")
    assert hand.sinks == []


def test_an_unknown_suffix_is_refused_with_the_known_ones(hand: Hand, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"\.mp4, \.m4a"):
        Recording(hand, tmp_path / "a.gif")


def test_a_folder_that_is_not_there_is_told_at_once(hand: Hand, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="No such file or directory"):
        Recording(hand, tmp_path / "nowhere" / "a.mp4")
    assert hand.sinks == []


def test_recording_on_the_media_thread_is_refused(hand: Hand, tmp_path: Path) -> None:
    hand.on_media_thread = True
    with pytest.raises(UsageError, match="media thread"):
        Recording(hand, tmp_path / "a.mp4")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_ends_the_recording_and_is_told_at_its_stop(hand: Hand, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to("/dev/full")
    recording = record(tmp_path / "a.mp4", 3.0, hand=hand)
    with pytest.raises(MediaError, match="No space left"):
        recording.stop()
    assert (hand.sinks, recording.active, recording.error is not None) == ([], False, True)


def test_nothing_at_all_is_no_recording_and_leaves_no_file(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heygen_avatar.media.recorder.FLOW_TIMEOUT", 0.05)
    recording = Recording(hand, tmp_path / "a.mp4")
    with pytest.raises(MediaError, match="nothing was recorded"):
        recording.stop()
    assert not recording.path.exists()


def test_pictures_too_many_for_the_encoder_are_dropped_and_counted(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = record(tmp_path / "a.mp4", 0.2, hand=hand)
    gate = threading.Event()
    encode = recording._movie.sound
    monkeypatch.setattr(recording._movie, "sound", lambda *args: (gate.wait(10), encode(*args)))
    hand.hum(PITCH, 10, 0.22)
    for n in range(MAX_PICTURES + 40):
        hand.show_colour(RED, *SIZE, at=0.24 + n / 25)
    gate.set()
    recording.stop()
    assert 35 <= recording.dropped <= 45


def test_the_end_of_the_session_ends_the_recording(hand: Hand, tmp_path: Path) -> None:
    recording = record(tmp_path / "a.mp4", 1.0, hand=hand)
    hand.end()
    recording.stop()
    assert (hand.sinks, play(recording.path).audio_length) == ([], pytest.approx(1.0, abs=0.05))


def test_stopping_twice_is_fine(hand: Hand, tmp_path: Path) -> None:
    recording = record(tmp_path / "a.mp4", 0.5, hand=hand)
    recording.stop()
    recording.stop()
    assert not recording.active


def test_an_error_in_the_block_is_not_hidden(hand: Hand, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), record(tmp_path / "a.mp4", 0.5, hand=hand):
        _ = 1 / 0


def test_stop_keeps_what_is_heard_shortly_after(hand: Hand, tmp_path: Path) -> None:
    recording = record(tmp_path / "a.mp4", 1.0, hand=hand)
    stopping = threading.Thread(target=recording.stop)
    stopping.start()
    for block in range(50, 100):
        hand.hum(PITCH, block, (block + 1) * 0.02)
        time.sleep(0.002)
    stopping.join()
    assert recording.duration == pytest.approx(1.3, abs=0.1)


# -- over real WebRTC


def test_a_session_is_recorded_with_sound_and_picture_in_step(guest: Guest, tmp_path: Path) -> None:
    with Recording(guest.room, tmp_path / "a.mp4") as recording:
        time.sleep(3)  # what is recorded is time itself
    played = play(recording.path)
    assert recording.dropped == 0
    assert played.audio_length == pytest.approx(3.3, abs=0.4)
    assert played.video_length == pytest.approx(played.audio_length, abs=0.1)
    assert len(played.times) >= 65
    assert played.pictures[40].shape == (HEIGHT, WIDTH, 3)
    assert played.pictures[40].mean(axis=(0, 1)) == pytest.approx(RED, abs=12)
    sound = played.sound[24_000:-9_600]
    assert pitch_of(sound, 48_000) == pytest.approx(PITCH, abs=1)
    assert np.abs(sound[: sound.size // 480 * 480].reshape(-1, 480)).max(axis=1).min() > 0.05


def test_a_recording_begun_before_joining_begins_with_the_stream(visit: Callable[[], Guest], tmp_path: Path) -> None:
    guest = visit()
    joining = threading.Timer(0.5, guest.connect)
    joining.start()
    with Recording(guest.room, tmp_path / "a.mp4") as recording:
        joining.join()
        time.sleep(1)
    played = play(recording.path)
    assert played.audio_length == pytest.approx(1.3, abs=0.5)
    assert played.times[0] == pytest.approx(0, abs=0.2)


def test_a_recording_is_finished_when_the_server_ends_the_session(guest: Guest, scene: Scene, tmp_path: Path) -> None:
    recording = Recording(guest.room, tmp_path / "a.mp4")
    time.sleep(1)
    scene.close()
    recording.stop()
    assert play(recording.path).audio_length == pytest.approx(1.0, abs=0.4)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_what_was_recorded_before_a_kill_can_be_played(tmp_path: Path) -> None:
    script = f"""
        import sys, time
        sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
        from hand import Hand
        from test_recorder import record
        recording = record(__import__("pathlib").Path({str(tmp_path / "a.mp4")!r}), 5.0, hand=Hand())
        while recording.duration < 4.9:
            time.sleep(0.01)
        print("recorded", flush=True)
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "recorded\n"
        os.kill(child.pid, signal.SIGKILL)
    played = play(tmp_path / "a.mp4")
    assert played.audio_length > 3.0
    assert played.video_length > 3.0
    assert pitch_of(played.sound[4800:], 48_000) == pytest.approx(PITCH, abs=1)
