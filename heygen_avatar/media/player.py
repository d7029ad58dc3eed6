"""A sound or film file as HTML that plays it and holds it, so that a notebook shows it wherever it is opened."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

__all__ = ["player"]

MOST = 10_000_000
"""Bytes of a file that a notebook still holds; it is saved with a third more."""

TYPES = {
    ".mp4": ("video", "video/mp4"),
    ".m4a": ("audio", "audio/mp4"),
    ".wav": ("audio", "audio/wav"),
}
"""What browsers play, of what a recording can be."""


def player(path: Path) -> str:
    """A player of the file, or a sentence that says why there is none."""
    name = html.escape(str(path))
    if path.suffix.lower() not in TYPES:
        return f"<p>{name}: browsers do not play {html.escape(path.suffix)} files; record to .mp4 to see it here.</p>"
    try:
        size = path.stat().st_size
        if size > MOST:
            return (
                f"<p>{name} has {size / 1e6:.0f} MB, more than the {MOST / 1e6:.0f} MB that a notebook keeps: "
                "open it in a player.</p>"
            )
        data = base64.b64encode(_seekable(path)).decode()
    except OSError as error:
        return f"<p>{name} cannot be shown: {html.escape(error.strerror or str(error))}</p>"
    tag, kind = TYPES[path.suffix.lower()]
    return f"<{tag} controls style='max-width:640px;width:100%' src='data:{kind};base64,{data}'></{tag}><p>{name}</p>"


def _seekable(path: Path) -> bytes:
    """The file with an index: what is written in fragments, to survive a crash, tells no player how long it is."""
    if path.suffix.lower() == ".wav":
        return path.read_bytes()
    import av

    whole = io.BytesIO()
    try:
        with av.open(str(path)) as source, av.open(whole, "w", format="mp4") as target:
            streams = {stream: target.add_stream_from_template(stream) for stream in source.streams}
            for packet in source.demux():
                if packet.dts is not None:  # the last one of each stream is empty
                    packet.stream = streams[packet.stream]
                    target.mux(packet)
    except av.FFmpegError:
        return path.read_bytes()
    return whole.getvalue()
