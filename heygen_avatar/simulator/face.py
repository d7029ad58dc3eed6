"""The avatar's picture, frame by frame: a mouth that follows the sound, blinking, a little movement, a caption.

Encoding video takes most of the machine, so drawing must cost next to nothing: the portrait's pieces are drawn once
for each picture size, kept for every session of the process, and a frame only copies the pieces that changed. The
picture depends on nothing but the arguments of :meth:`Face.draw`; there is no clock in here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import av
import numpy as np
from attrs import frozen
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from heygen_avatar.simulator import portrait
from heygen_avatar.simulator.portrait import Eyes
from heygen_avatar.simulator.stage import VideoFormat

Expression = Literal["idle", "talking", "listening"]

Plane = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, right, bottom; even, as a colour sample covers two by two pixels


class Mouth:
    """How far the mouth is open, from the sound it makes: it opens at once and closes a little later."""

    def __init__(self) -> None:
        self.openness = 0.0

    def follow(self, samples: NDArray[np.int16]) -> None:
        """Hear the block of sound that is being said."""
        loudness = math.sqrt(float(np.mean(np.square(samples, dtype=np.float64))))
        decibels = 20 * math.log10(max(loudness, 1.0) / 32_768)
        target = min(1.0, max(0.0, (decibels - _SHUT_DB) / (_WIDE_DB - _SHUT_DB)))
        self.openness = max(target, self.openness * _CLOSING if self.openness > 0.02 else 0.0)


class Face:
    """One session's picture. Made in a worker thread, since the first of a size takes a while; drawn on the loop."""

    def __init__(self, video: VideoFormat, session: str = "") -> None:
        self._fps = video.fps
        self._pieces = _pieces(video.width, video.height)
        self._picture = _Picture(video.width, video.height)
        self._picture.paste(self._pieces.backdrop)
        self._caption = _Caption(self._picture, self._pieces, session[:_ID_LETTERS])
        self._shown: tuple[int, int, Eyes] | None = None
        self.draw(0, "idle", 0.0, "")

    def draw(self, number: int, expression: Expression, openness: float, task_id: str) -> av.VideoFrame:
        """The frame of that number. Number over frame rate is the time; ``openness`` is the mouth's, from 0 to 1."""
        seconds = number / self._fps
        pose = int(seconds / _SWAY_SECONDS * _POSES) % _POSES
        mouth = round(openness * (_MOUTHS - 1))
        eyes = _eyes(seconds, expression)
        if self._shown is None or self._shown[0] != pose:
            self._picture.paste(self._pieces.head(pose))
            self._shown = None
        if self._shown is None or self._shown[1:] != (mouth, eyes):
            self._picture.paste(self._pieces.mouth(pose, mouth))
            self._picture.paste(self._pieces.eyes(pose, eyes))
        self._shown = (pose, mouth, eyes)
        self._caption.write(number, expression, task_id[:_ID_LETTERS])
        return self._picture.frame()


_SHUT_DB, _WIDE_DB = -48.0, -17.0
_CLOSING = 0.75
_MOUTHS = 8
_POSES = 40
_SWAY_SECONDS = 6.4
_ID_LETTERS = 8
_FRAME_DIGITS = 6


def _eyes(seconds: float, expression: Expression) -> Eyes:
    """A blink every few seconds, at moments that look random and are not."""
    beat, moment = divmod(seconds, 3.1)
    since = moment - 0.4 - (int(beat) * 1.37) % 2.3
    if 0 <= since < 0.2:
        return "closed" if 0.05 <= since < 0.13 else "half"
    return "attentive" if expression == "listening" else "open"


@frozen(eq=False)
class _Piece:
    """A rectangle of a picture in the encoder's own colours (4:2:0), and where it belongs."""

    left: int
    top: int
    luma: Plane
    blue: Plane
    red: Plane


class _Picture:
    """The picture as it is now, in planes as wide as the codec library keeps them."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        layout = av.VideoFrame(width, height, "yuv420p").planes
        self._planes = [np.zeros((plane.height, plane.line_size), np.uint8) for plane in layout]

    @property
    def luma(self) -> Plane:
        return self._planes[0]

    def paste(self, piece: _Piece) -> None:
        left, top = piece.left, piece.top
        for plane, part in zip(self._planes, (piece.luma, piece.blue, piece.red), strict=True):
            plane[top : top + part.shape[0], left : left + part.shape[1]] = part
            left, top = piece.left // 2, piece.top // 2

    def frame(self) -> av.VideoFrame:
        """A copy, for an encoder that works on it while the next is being drawn."""
        frame = av.VideoFrame(*self._size, "yuv420p")
        for plane, pixels in zip(frame.planes, self._planes, strict=True):
            plane.update(pixels.tobytes())
        return frame


@lru_cache(maxsize=8)
def _pieces(width: int, height: int) -> _Pieces:
    return _Pieces(width, height)


class _Pieces:
    """All pieces of one picture size, drawn when they are first needed. Shared by the sessions of the process."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._backdrop = portrait.draw_backdrop(width, height)
        self._kept: dict[tuple[str, int, object], _Piece] = {}
        head = portrait.draw_head(height)
        self._mouths = [portrait.add_mouth(head, level / (_MOUTHS - 1)) for level in range(_MOUTHS)]
        kinds: tuple[Eyes, ...] = ("open", "half", "closed", "attentive")
        self._eyes = {eyes: portrait.add_eyes(head, eyes) for eyes in kinds}
        margin = 0.02
        half = portrait.HEAD_SIDE / 2
        self._head_box = self._box(-half, -half, half, half)
        self._mouth_box = self._box(*_grown(portrait.MOUTH_BOX, margin))
        self._eyes_box = self._box(*_grown(portrait.EYES_BOX, margin))
        self.strip: Box = (0, _even(height * (1 - portrait.CAPTION_HEIGHT) + 1), width, height)
        self.backdrop = _as_piece(self._backdrop, 0, 0)
        # As large as the strip allows, unless the picture is so narrow that its three texts would meet.
        self.font = ImageFont.load_default(max(8, round(min((height - self.strip[1]) * 0.5, width / 34))))
        self.digits = _drawn_digits(self.font, height - self.strip[1])
        for pose in range(_POSES):
            self.head(pose)

    def head(self, pose: int) -> _Piece:
        return self._keep("head", pose, 0, lambda: self._posed(self._mouths[0], self._head_box, pose))

    def mouth(self, pose: int, level: int) -> _Piece:
        return self._keep("mouth", pose, level, lambda: self._posed(self._mouths[level], self._mouth_box, pose))

    def eyes(self, pose: int, eyes: Eyes) -> _Piece:
        return self._keep("eyes", pose, eyes, lambda: self._posed(self._eyes[eyes], self._eyes_box, pose))

    def _keep(self, kind: str, pose: int, variant: object, draw: Callable[[], _Piece]) -> _Piece:
        # Two loops may draw the same piece at once; they are equal, and either may stay.
        key = (kind, pose, variant)
        if key not in self._kept:
            self._kept[key] = draw()
        return self._kept[key]

    def _posed(self, head: Image.Image, box: Box, pose: int) -> _Piece:
        """The part of the picture inside ``box`` with the head in that pose: shifted and turned a little."""
        turn = 2 * math.pi * pose / _POSES
        right, down = self._head_centre
        right += 0.005 * self._height * math.sin(turn)
        down += 0.004 * self._height * math.sin(2 * turn + 0.6)
        angle = math.radians(0.9) * math.sin(turn + 0.4)
        cos, sin = math.cos(angle), math.sin(angle)
        middle = head.width / 2
        # Maps a pixel of the box back to the head's own square (PIL.Image.transform, AFFINE).
        x, y = box[0] - right, box[1] - down
        matrix = (cos, sin, cos * x + sin * y + middle, -sin, cos, -sin * x + cos * y + middle)
        size = (box[2] - box[0], box[3] - box[1])
        posed = head.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        part = self._backdrop.crop(box)
        part.paste(posed, mask=posed)
        return _as_piece(part, box[0], box[1])

    @property
    def _head_centre(self) -> tuple[float, float]:
        return self._width / 2 + portrait.HEAD_CENTRE[0] * self._height, portrait.HEAD_CENTRE[1] * self._height

    def _box(self, left: float, top: float, right: float, bottom: float) -> Box:
        """Fractions of the height around the head's centre, as pixels of the picture."""
        x, y = self._head_centre
        low, high = x + left * self._height, x + right * self._height
        return (
            max(0, _even(low)),
            max(0, _even(y + top * self._height)),
            min(self._width, _even(high)),
            min(self._height, _even(y + bottom * self._height)),
        )


class _Caption:
    """The strip at the bottom: what is being done, session, task, frame number."""

    def __init__(self, picture: _Picture, pieces: _Pieces, session: str) -> None:
        self._pieces = pieces
        self._picture = picture
        left, top, right, bottom = pieces.strip
        self._strip = picture.luma[top:bottom, left:right]
        self._session = session
        self._height = bottom - top
        self._written: tuple[str, str] | None = None
        self._number_left = right - round(self._height * 0.5) - _FRAME_DIGITS * pieces.digits[0].shape[1]

    def write(self, number: int, expression: Expression, task_id: str) -> None:
        if self._written != (expression, task_id):
            self._picture.paste(self._label(expression, task_id))
            self._written = (expression, task_id)
        x = self._number_left
        for digit in f"{number % 10**_FRAME_DIGITS:0{_FRAME_DIGITS}}":
            glyph = self._pieces.digits[int(digit)]
            self._strip[:, x : x + glyph.shape[1]] = glyph
            x += glyph.shape[1]

    def _label(self, expression: Expression, task_id: str) -> _Piece:
        """The strip with everything but the number's digits."""
        left, top, right, bottom = self._pieces.strip
        image = Image.new("RGB", (right - left, bottom - top), portrait.PALETTE.caption)
        draw = ImageDraw.Draw(image)
        unit, font = self._height, self._pieces.font
        draw.ellipse((unit * 0.55, unit * 0.36, unit * 0.85, unit * 0.66), fill=_LAMPS[expression])
        draw.text((unit * 1.15, unit / 2), expression, _TEXT, font, anchor="lm")
        middle = [f"session {self._session}"] * bool(self._session) + [f"task {task_id}"] * bool(task_id)
        draw.text(((right - left) / 2, unit / 2), "     ".join(middle), _FAINT_TEXT, font, anchor="mm")
        draw.text((self._number_left - unit * 0.25, unit / 2), "frame", _FAINT_TEXT, font, anchor="rm")
        return _as_piece(image, left, top)


_TEXT = "#f2f4f7"
_FAINT_TEXT = "#aab4c3"
_LAMPS: dict[Expression, str] = {"idle": "#8391a5", "talking": "#4fc38a", "listening": "#5aa9f0"}


def _drawn_digits(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, height: int) -> list[Plane]:
    """The luma of 0 to 9, all as wide as the widest."""
    width = math.ceil(max(font.getlength(digit) for digit in "0123456789"))
    digits: list[Plane] = []
    for digit in "0123456789":
        image = Image.new("RGB", (width + width % 2, height + height % 2), portrait.PALETTE.caption)
        ImageDraw.Draw(image).text((width / 2, height / 2), digit, _TEXT, font, anchor="mm")
        digits.append(_as_piece(image, 0, 0).luma[:height])
    return digits


def _as_piece(image: Image.Image, left: int, top: int) -> _Piece:
    """RGB to limited-range BT.601 in 4:2:0, which is what aiortc's encoders expect of a yuv420p frame.

    Not by PyAV: from 19 on it keeps a scaler, and that scaler's threads, for each thread that ever converted a picture,
    and a forked child would wait for them for ever, for it frees what the threads it has not got had kept.
    """
    full = np.asarray(image.convert("YCbCr"), dtype=np.float32)  # full-range BT.601, as JPEG has it
    luma = 16 + full[:, :, 0] * (219 / 255)
    quarters = full[:, :, 1:].reshape(image.height // 2, 2, image.width // 2, 2, 2).mean(axis=(1, 3))
    blue, red = np.moveaxis(128 + (quarters - 128) * (224 / 255), 2, 0)
    return _Piece(left, top, _as_plane(luma), _as_plane(blue), _as_plane(red))


def _as_plane(values: NDArray[np.float32]) -> Plane:
    return np.rint(values).astype(np.uint8)


def _even(value: float) -> int:
    return 2 * round(value / 2)


def _grown(box: tuple[float, float, float, float], margin: float) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    return left - margin, top - margin, right + margin, bottom + margin
