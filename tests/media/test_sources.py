from __future__ import annotations

import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from heygen_avatar.errors import InvalidRequestError, MediaError, UsageError, WaitTimeoutError
from heygen_avatar.media.frames import AudioFrame
from heygen_avatar.media.sources import MonoBlocks, Samples, SoundFile, SoundSource, as_source, close_source


def sine(seconds: float, rate: int, *, hertz: float = 440.0, peak: float = 0.5) -> NDArray[np.float32]:
    return (peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def heard(source: SoundSource) -> NDArray[np.int16]:
    return np.concatenate([frame.samples[:, 0] for frame in source])


def converted(sound: object, rate: int, block: int = 512) -> NDArray[np.int16]:
    with closing(MonoBlocks(sound, sample_rate=rate, block_samples=block)) as blocks:
        return np.concatenate(list(blocks))


def write_wave(path: Path, samples: NDArray[np.int16], rate: int, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


# -- samples in memory


def test_int16_comes_out_as_it_went_in() -> None:
    ramp = np.arange(-5000, 5000, dtype=np.int16)
    assert heard(Samples(ramp, 16_000)).tolist() == ramp.tolist()


def test_bytes_are_int16() -> None:
    ramp = np.arange(1000, dtype=np.int16)
    assert heard(Samples(ramp.tobytes(), 16_000)).tolist() == ramp.tolist()


def test_floats_reach_both_ends_of_the_range_and_are_clipped_beyond() -> None:
    floats = np.array([-1.5, -1.0, 0.0, 1.0, 1.5], np.float32)
    assert heard(Samples(floats, 16_000)).tolist() == [-32768, -32768, 0, 32767, 32767]


def test_several_channels_become_one() -> None:
    stereo = np.array([[100, 300], [-100, -300]], np.int16)
    assert heard(Samples(stereo, 16_000)).tolist() == [200, -200]
    assert heard(Samples(stereo.tobytes(), 16_000, num_channels=2)).tolist() == [200, -200]


def test_samples_in_memory_can_be_read_again() -> None:
    source = Samples(np.arange(10, dtype=np.int16), 16_000)
    assert heard(source).tolist() == heard(source).tolist()


def test_long_sound_comes_in_short_frames() -> None:
    frames = list(Samples(np.zeros(16_000, np.int16), 16_000))
    assert max(frame.duration for frame in frames) <= 0.1
    assert sum(frame.num_samples for frame in frames) == 16_000


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no sample"),
        (np.zeros(0, np.int16), "no sample"),
        (b"abc", "inside a sample"),
        (np.zeros((2, 16_000), np.int16), "(n, channels)"),
        (np.zeros(10, np.int32), "int32"),
        (np.array([0.0, 20_000.0]), "-1 to 1"),
        (np.array([0.0, np.nan], np.float32), "nan"),
        ("speech.wav", "a str"),
        (7, "an iterable"),
    ],
)
def test_what_is_no_sound_is_refused_at_once(data: Any, words: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        Samples(data, 16_000)
    assert words in str(refusal.value)


@pytest.mark.parametrize("rate", [0, -16_000, 7_999, 192_001, 16_000.0, "16k", True, None])
def test_a_rate_that_is_none_is_refused_at_once(rate: Any) -> None:
    with pytest.raises(InvalidRequestError, match="sample rate"):
        Samples(b"\0\0", rate)


# -- samples from a generator


def test_a_generator_may_cut_bytes_inside_a_sample() -> None:
    ramp = np.arange(100, dtype=np.int16)
    data = ramp.tobytes()
    assert heard(Samples((data[i : i + 3] for i in range(0, len(data), 3)), 16_000)).tolist() == ramp.tolist()


def test_a_generator_may_mix_arrays_and_bytes() -> None:
    pieces = [np.array([1, 2], np.int16), np.array([3], np.int16).tobytes(), np.array([0.0], np.float32)]
    assert heard(Samples((piece for piece in pieces), 16_000)).tolist() == [1, 2, 3, 0]


def test_a_generator_is_read_once_and_a_list_again_and_again() -> None:
    once, again = Samples(iter([b"\1\0"]), 16_000), Samples([b"\1\0"], 16_000)
    assert heard(once).tolist() == heard(again).tolist() == heard(again).tolist() == [1]
    with pytest.raises(UsageError, match="only once"):
        heard(once)


def test_what_a_generator_raises_reaches_the_reader_after_what_it_gave() -> None:
    def broken() -> Iterator[bytes]:
        yield b"\1\0"
        raise KeyError("the voice is gone")

    frames = iter(Samples(broken(), 16_000))
    assert next(frames).samples[0, 0] == 1
    with pytest.raises(KeyError, match="the voice is gone"):
        next(frames)


def test_a_generator_is_closed_when_reading_ends_early() -> None:
    closed = threading.Event()

    def voice() -> Iterator[bytes]:
        try:
            while True:
                yield bytes(320)
        finally:
            closed.set()

    with closing(MonoBlocks(Samples(voice(), 16_000), sample_rate=16_000, block_samples=160)) as blocks:
        next(blocks)
    assert closed.is_set()


def test_a_piece_that_is_no_sound_names_what_it_is() -> None:
    with pytest.raises(InvalidRequestError, match="not a int"):
        heard(Samples([1, 2, 3], 16_000))  # type: ignore[list-item]


def test_one_source_is_not_read_twice_at_a_time() -> None:
    source = Samples([b"\1\0", b"\2\0"], 16_000)
    first = iter(source)
    next(first)
    with pytest.raises(UsageError, match="being read"):
        next(iter(source))


# -- samples that are pushed


def test_what_is_pushed_is_read_until_the_end() -> None:
    source = Samples(sample_rate=16_000)
    for number in range(5):
        source.push(np.array([number], np.int16))
    source.end()
    assert heard(source).tolist() == [0, 1, 2, 3, 4]


def test_a_reader_waits_for_what_will_be_pushed() -> None:
    source = Samples(sample_rate=16_000)
    got: list[int] = []
    reader = threading.Thread(target=lambda: got.extend(heard(source).tolist()))
    reader.start()
    source.push(b"\7\0")
    source.end()
    reader.join(5)
    assert got == [7]


def test_pushing_more_than_is_read_waits_and_says_why_it_gives_up() -> None:
    source = Samples(sample_rate=8_000)
    source.push(np.zeros(30 * 8_000, np.int16))
    with pytest.raises(WaitTimeoutError, match="not being sent"):
        source.push(b"\1\0", timeout=0.05)


def test_a_push_that_waits_goes_on_when_somebody_reads() -> None:
    source = Samples(sample_rate=8_000)
    source.push(np.zeros(30 * 8_000, np.int16))
    pusher = threading.Thread(target=lambda: (source.push(b"\1\0"), source.end()))
    pusher.start()
    assert len(heard(source)) == 30 * 8_000 + 1
    pusher.join(5)


def test_pushing_after_the_end_is_an_error() -> None:
    source = Samples(sample_rate=16_000)
    source.end()
    with pytest.raises(UsageError, match="has ended"):
        source.push(b"\1\0")


def test_pushing_to_a_source_with_a_sound_of_its_own_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"push\(\)"):
        Samples(b"\1\0", 16_000).push(b"\1\0")


def test_closing_wakes_a_reader_that_waits() -> None:
    source = Samples(sample_rate=16_000)
    reader = threading.Thread(target=lambda: list(source))
    reader.start()
    close_source(source)
    reader.join(5)
    assert not reader.is_alive()


# -- files


def test_a_wave_file_is_read_sample_by_sample(tmp_path: Path) -> None:
    ramp = np.arange(-8000, 8000, dtype=np.int16)
    file = SoundFile(write_wave(tmp_path / "ramp.wav", ramp, 22_050))
    assert (file.sample_rate, round(file.duration or 0, 3)) == (22_050, round(16_000 / 22_050, 3))
    assert heard(file).tolist() == heard(file).tolist() == ramp.tolist()


def test_other_formats_and_channels_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "voice.ogg"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(
            np.repeat((sine(0.5, 48_000) * 32767).astype(np.int16), 2).reshape(1, -1), format="s16", layout="stereo"
        )
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    samples = heard(SoundFile(path))
    assert len(samples) == pytest.approx(24_000, abs=1_000)
    assert np.abs(samples[5_000:20_000]).max() == pytest.approx(16_384, rel=0.1)


def test_a_missing_file_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="No such file"):
        SoundFile(tmp_path / "nowhere.wav")


def test_a_file_that_is_no_sound_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("these are no samples")
    with pytest.raises(MediaError, match="cannot read"):
        SoundFile(tmp_path / "notes.wav")


def test_an_empty_sound_file_is_told_at_once(tmp_path: Path) -> None:
    path = write_wave(tmp_path / "empty.wav", np.zeros(0, np.int16), 16_000)
    with pytest.raises(MediaError, match=r"empty\.wav"):
        SoundFile(path)


def test_a_picture_without_sound_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(MediaError, match="no sound"):
        SoundFile(path)


# -- the rate that a wire needs


@pytest.mark.parametrize("from_rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("to_rate", [16_000, 24_000, 48_000])
def test_no_sample_is_lost_on_the_way_to_another_rate(from_rate: int, to_rate: int) -> None:
    samples = converted(Samples(sine(1.0, from_rate), from_rate), to_rate)
    assert len(samples) == to_rate
    wanted = sine(1.0, to_rate) * 32767
    error = samples[500:-500] - wanted[500:-500]
    assert np.sqrt(np.mean(error**2)) < 0.02 * np.sqrt(np.mean(wanted**2))


def test_all_blocks_but_the_last_have_the_size_asked_for() -> None:
    with closing(
        MonoBlocks(Samples(np.zeros(1_300, np.int16), 16_000), sample_rate=16_000, block_samples=512)
    ) as blocks:
        assert [len(block) for block in blocks] == [512, 512, 276]


def test_anything_with_a_rate_and_frames_is_a_source() -> None:
    class Own:
        sample_rate = 16_000

        def __iter__(self) -> Iterator[AudioFrame]:
            yield AudioFrame(sample_rate=16_000, num_channels=2, data=np.array([1, 3, 5, 7], np.int16).tobytes())

    assert converted(Own(), 16_000).tolist() == [2, 6]


def test_a_path_is_the_file_s_sound(tmp_path: Path) -> None:
    path = write_wave(tmp_path / "a.wav", np.array([1, 2, 3], np.int16), 16_000)
    assert converted(path, 16_000).tolist() == converted(str(path), 16_000).tolist() == [1, 2, 3]


def test_a_sound_without_a_rate_is_refused_with_what_to_do() -> None:
    for sound in (b"\0\0", np.zeros(5, np.int16), [b"\0\0"]):
        with pytest.raises(InvalidRequestError, match=r"Samples\(it, sample_rate\)"):
            as_source(sound)


def test_a_source_that_breaks_its_promise_is_told_what_is_wrong() -> None:
    class Liar:
        sample_rate = 16_000

        def __init__(self, *frames: Any) -> None:
            self.frames = frames

        def __iter__(self) -> Iterator[AudioFrame]:
            return iter(self.frames)

    with pytest.raises(MediaError, match="48,000 Hz"):
        converted(Liar(AudioFrame(sample_rate=48_000, data=b"\0\0")), 16_000)
    with pytest.raises(MediaError, match="a bytes where an AudioFrame was due"):
        converted(Liar(b"\0\0"), 16_000)


def test_importing_sources_loads_no_library() -> None:
    code = (
        "import sys, heygen_avatar, heygen_avatar.media.sources\n"
        "print([name for name in ('numpy', 'av', 'livekit', 'sounddevice') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
