"""A sound or film file as HTML that plays it and holds it, so that a notebook shows it wherever it is opened."""

from __future__ import annotations

import base64
import html
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
        data = base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        return f"<p>{name} cannot be shown: {html.escape(error.strerror or str(error))}</p>"
    tag, kind = TYPES[path.suffix.lower()]
    return f"<{tag} controls style='max-width:640px;width:100%' src='data:{kind};base64,{data}'></{tag}><p>{name}</p>"
