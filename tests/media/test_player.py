"""A recording as HTML that plays it."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import av
import numpy as np
import pytest

from heygen_avatar.media import player as module
from heygen_avatar.media.player import player


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A second of film, written in fragments as recordings are."""
    path = tmp_path / "<film>.mp4"
    with av.open(str(path), "w", options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}) as movie:
        stream = movie.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for shade in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), shade * 20, np.uint8))
            movie.mux(stream.encode(frame))
        movie.mux(stream.encode())
    return path


def test_a_film_is_held_whole_and_knows_how_long_it_is(film: Path) -> None:
    html = player(film)
    held = base64.b64decode(re.search("src='data:video/mp4;base64,([^']+)'", html)[1])  # type: ignore[index]
    assert html.startswith("<video controls")
    with av.open(io.BytesIO(held)) as movie:
        assert movie.duration == pytest.approx(1_000_000, abs=150_000)
        assert sum(1 for _ in movie.decode(video=0)) == 10
    assert b"moof" not in held


def test_the_name_cannot_be_taken_for_markup(film: Path) -> None:
    assert "<film>" not in player(film)


def test_a_film_that_is_too_large_for_a_notebook_is_named_instead(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 100)
    assert "open it in a player" in player(film)
    assert "base64" not in player(film)


def test_a_format_that_browsers_do_not_play_is_told(tmp_path: Path) -> None:
    assert "browsers do not play .mkv" in player(tmp_path / "film.mkv")


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    assert "cannot be shown: No such file or directory" in player(tmp_path / "film.mp4")


def test_a_broken_file_is_held_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"this is no film")
    assert base64.b64encode(b"this is no film").decode() in player(path)
