"""Pictures as a page takes them: JPEG of a width, and a still with a sentence as HTML."""

from __future__ import annotations

import base64
import html
import io

from ..media.frames import VideoFrame

__all__ = ["jpeg", "still"]

QUALITY = 75
"""JPEG's; 80 looks no better here and is a fifth larger."""


def jpeg(frame: VideoFrame, *, width: int) -> bytes:
    """``frame`` with no more pixels than a page shows at ``width``."""
    image = frame.to_image()
    if (factor := frame.width // width) > 1:  # whole factors only: others cost more than the pixels they save
        image = image.reduce(factor)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def still(picture: bytes | None, sentence: str, *, width: int) -> str:
    """A picture that does not move, and why it does not."""
    image = ""
    if picture is not None:
        data = base64.b64encode(picture).decode()
        image = f"<img alt='the avatar' style='width:100%;border-radius:8px' src='data:image/jpeg;base64,{data}'>"
    words = f"<div style='margin-top:4px;font-size:90%;opacity:.8'>{html.escape(sentence)}</div>"
    return f"<div class='heygen-still' style='max-width:{width}px'>{image}{words}</div>"
