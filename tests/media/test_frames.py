from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from heygen_avatar.errors import MissingExtraError
from heygen_avatar.media.frames import AudioFrame, VideoFrame

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 10


@pytest.fixture
def picture() -> VideoFrame:
    return VideoFrame(width=3, height=2, timestamp=1.5, data=PIXELS.tobytes())


def test_a_picture_becomes_rows_of_rgb(picture: VideoFrame) -> None:
    assert picture.to_ndarray().shape == (2, 3, 3)
    assert (picture.to_ndarray() == PIXELS).all()


def test_an_array_shares_the_frames_memory(picture: VideoFrame) -> None:
    assert np.shares_memory(picture.to_ndarray(), np.frombuffer(picture.data, np.uint8))


def test_an_array_cannot_change_the_frame(picture: VideoFrame) -> None:
    with pytest.raises(ValueError, match="read-only"):
        picture.to_ndarray()[0, 0, 0] = 1


def test_an_image_has_the_same_pixels(picture: VideoFrame) -> None:
    assert (np.asarray(picture.to_image()) == PIXELS).all()


def test_a_saved_picture_is_a_picture_again(picture: VideoFrame, tmp_path: Path) -> None:
    picture.save(tmp_path / "face.png")
    with Image.open(tmp_path / "face.png") as image:
        assert (np.asarray(image) == PIXELS).all()


def test_a_notebook_is_given_a_png(picture: VideoFrame) -> None:
    png = picture._repr_png_()
    assert png is not None
    assert (np.asarray(Image.open(io.BytesIO(png))) == PIXELS).all()


def test_without_pillow_the_extra_is_named(picture: VideoFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"heygen-avatar\[notebook\]"):
        picture.to_image()


def test_without_pillow_a_notebook_shows_the_plain_repr(picture: VideoFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert picture._repr_png_() is None


def test_a_repr_says_what_it_is_without_the_pixels(picture: VideoFrame) -> None:
    assert repr(picture) == "VideoFrame(width=3, height=2, timestamp=1.5)"


def test_stereo_sound_becomes_two_columns() -> None:
    frame = AudioFrame(sample_rate=48_000, num_channels=2, data=np.array([1, -1, 2, -2], np.int16).tobytes())
    assert frame.samples.tolist() == [[1, -1], [2, -2]]


def test_a_sound_knows_how_long_it_is() -> None:
    frame = AudioFrame(sample_rate=48_000, num_channels=2, data=bytes(4 * 480))
    assert (frame.num_samples, frame.duration) == (480, 0.01)


def test_frames_need_neither_livekit_nor_numpy_to_be_imported() -> None:
    script = "import sys, heygen_avatar.media.frames; print({'livekit', 'numpy', 'av'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"
