from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hand import Hand

from heygen_avatar.errors import InvalidRequestError, SessionClosedError, UsageError, WaitTimeoutError
from heygen_avatar.media.streams import AudioFrames, VideoFrames, snapshot


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def beside() -> Iterator[Callable[[Callable[[], object]], threading.Thread]]:
    """Run something on another thread, which has ended when the test has."""
    threads: list[threading.Thread] = []

    def start(work: Callable[[], object]) -> threading.Thread:
        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return threads[-1]

    yield start
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


def test_a_reader_gets_what_is_shown(hand: Hand) -> None:
    frames = VideoFrames(hand)
    hand.show(7, at=1.25)
    frame = frames.read()
    assert (frame.width, frame.height, frame.timestamp, frame.to_ndarray()[0, 0].tolist()) == (2, 2, 1.25, [7, 7, 7])


def test_of_many_pictures_the_latest_is_read_and_the_others_are_counted(hand: Hand) -> None:
    frames = VideoFrames(hand)
    hand.show(1, 2, 3)
    assert (frames.read().data[0], frames.dropped) == (3, 2)


def test_an_iteration_ends_with_the_session_after_what_was_received(hand: Hand) -> None:
    frames = AudioFrames(hand)
    hand.play(1, 2, 3)
    hand.end()
    assert [int(frame.samples[0, 0]) for frame in frames] == [1, 2, 3]


def test_reading_after_the_session_says_so(hand: Hand) -> None:
    frames = VideoFrames(hand)
    hand.end()
    with pytest.raises(SessionClosedError, match="the session is over"):
        frames.read()


def test_a_frame_that_does_not_come_in_time_is_a_timeout(hand: Hand) -> None:
    with pytest.raises(WaitTimeoutError, match=r"no pictures came within 0\.05 s"):
        VideoFrames(hand).read(timeout=0.05)


def test_after_a_timeout_the_reader_still_reads(hand: Hand) -> None:
    frames = VideoFrames(hand)
    with pytest.raises(WaitTimeoutError):
        frames.read(timeout=0.01)
    hand.show(9)
    assert frames.read().data[0] == 9


def test_a_waiting_reader_is_woken_by_a_frame(hand: Hand, beside: Callable[..., threading.Thread]) -> None:
    frames = VideoFrames(hand, timeout=5)
    read: list[int] = []
    reader = beside(lambda: read.append(frames.read().data[0]))
    hand.show(4)
    reader.join(5)
    assert read == [4]


def test_closing_ends_an_iteration_on_another_thread(hand: Hand, beside: Callable[..., threading.Thread]) -> None:
    frames = VideoFrames(hand, timeout=None)
    reader = beside(lambda: list(frames))
    frames.close()
    reader.join(5)
    assert not reader.is_alive()


def test_leaving_the_with_block_detaches_the_reader(hand: Hand) -> None:
    with VideoFrames(hand):
        assert len(hand.sinks) == 1
    assert hand.sinks == []


def test_closing_twice_is_fine(hand: Hand) -> None:
    frames = VideoFrames(hand)
    frames.close()
    frames.close()
    assert hand.sinks == []


def test_reading_a_closed_reader_is_a_mistake(hand: Hand) -> None:
    frames = VideoFrames(hand)
    frames.close()
    with pytest.raises(UsageError, match="closed"):
        frames.read()


def test_a_forgotten_reader_detaches_itself(hand: Hand) -> None:
    VideoFrames(hand)
    gc.collect()
    assert hand.sinks == []


def test_two_threads_on_one_reader_are_told_apart(hand: Hand, beside: Callable[..., threading.Thread]) -> None:
    frames = VideoFrames(hand, timeout=5)
    begun = threading.Event()

    class Slow(Hand):
        @property
        def on_media_thread(self) -> bool:  # type: ignore[override]
            return False

        @property
        def alive(self) -> bool:  # type: ignore[override]
            begun.set()  # asked while waiting: the other thread is inside now
            return True

    frames._source = Slow()
    beside(lambda: list(frames))
    assert begun.wait(5)
    with pytest.raises(UsageError, match="another thread"):
        frames.read()
    frames.close()


def test_waiting_on_the_media_thread_is_refused(hand: Hand) -> None:
    hand.on_media_thread = True
    with pytest.raises(UsageError, match="media thread"):
        VideoFrames(hand).read()


def test_a_dead_media_thread_ends_the_iteration(hand: Hand) -> None:
    frames = VideoFrames(hand, timeout=None)
    hand.alive = False
    assert list(frames) == []


def test_fewer_frames_a_second_can_be_asked_for(hand: Hand) -> None:
    frames = VideoFrames(hand, fps=10)
    read = []
    for n in range(60):
        hand.show(n, at=n / 30)
        with contextlib.suppress(WaitTimeoutError):
            read.append(frames.read(timeout=0).data[0])
    assert (read, frames.dropped) == (list(range(0, 60, 3)), 0)


def test_frames_a_second_must_be_positive(hand: Hand) -> None:
    with pytest.raises(InvalidRequestError, match="fps"):
        VideoFrames(hand, fps=0)


@pytest.mark.parametrize("wrong", [{"sample_rate": 100}, {"num_channels": 3}, {"frame_ms": 1}, {"buffer": 0}])
def test_an_impossible_sound_is_refused(hand: Hand, wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidRequestError, match=next(iter(wrong))):
        AudioFrames(hand, **wrong)  # type: ignore[arg-type]
    assert hand.sinks == []


def test_sound_that_is_not_read_loses_its_oldest_and_counts_it(hand: Hand) -> None:
    frames = AudioFrames(hand, buffer=0.1)
    hand.play(*range(8))
    hand.end()
    assert ([int(frame.samples[0, 0]) for frame in frames], frames.dropped) == ([3, 4, 5, 6, 7], 3)


def test_the_time_of_sound_is_counted_in_samples(hand: Hand) -> None:
    frames = AudioFrames(hand)
    hand.play(1, at=1.02)
    hand.play(2, at=1.06)  # heard 20 ms late
    assert [round(frames.read().timestamp, 3) for _ in range(2)] == [1.0, 1.02]


def test_stereo_at_another_rate_is_what_the_source_is_asked_for(hand: Hand) -> None:
    frames = AudioFrames(hand, sample_rate=16_000, num_channels=2, frame_ms=10)
    hand.play(5)
    frame = frames.read()
    assert (frame.samples.shape, frame.sample_rate, frame.duration) == ((160, 2), 16_000, 0.01)


def test_a_snapshot_is_one_picture_and_leaves_nothing_attached(
    hand: Hand, beside: Callable[..., threading.Thread]
) -> None:
    def show() -> None:
        assert hand.attached.wait(5)
        hand.show(3)

    beside(show)
    assert (snapshot(hand, timeout=5).data[0], hand.sinks) == (3, [])


def test_a_snapshot_that_fails_says_what_to_check(hand: Hand) -> None:
    with pytest.raises(WaitTimeoutError, match="UDP"):
        snapshot(hand, timeout=0.01)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_ends_a_wait_for_a_frame() -> None:
    script = f"""
        import sys
        sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
        from hand import Hand
        from heygen_avatar.media.streams import VideoFrames
        frames = VideoFrames(Hand(), timeout=None)
        try:
            print("waiting", flush=True)
            frames.read()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    assert (out, err, child.returncode) == ("interrupted\n", "", 0)
