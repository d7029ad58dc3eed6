"""The simulated avatar's portrait: flat shapes drawn with Pillow, once for each picture size.

It only draws: a backdrop, and a head with a given mouth and given eyes. What moves when is :mod:`face`'s business.
Lengths are fractions of the picture's height, so that every size shows the same figure. Colours are flat, which costs
a video encoder little.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from attrs import frozen
from PIL import Image, ImageDraw

Eyes = Literal["open", "half", "closed", "attentive"]
Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom

HEAD_SIDE = 0.64
"""The head is drawn on a transparent square of this side..."""

HEAD_CENTRE = (0.0, 0.425)
"""... whose centre is here: to the right of the picture's middle, below its top."""

MOUTH_BOX: Box = (-0.085, 0.062, 0.085, 0.168)
"""Where the mouth is, from the head's centre."""

EYES_BOX: Box = (-0.15, -0.115, 0.15, 0.035)
"""Where eyes and brows are, from the head's centre."""

CAPTION_HEIGHT = 0.066
"""The strip at the bottom that is left to the caption."""


@frozen(kw_only=True)
class Palette:
    """The portrait's colours."""

    wall: str = "#dfe8f1"
    halo: str = "#cddcec"
    jacket: str = "#33466b"
    lapel: str = "#2a3a5a"
    shirt: str = "#f7f9fb"
    skin: str = "#f1c6a3"
    shade: str = "#dfa983"
    cheek: str = "#efb097"
    hair: str = "#503529"
    strand: str = "#5f4032"
    eye: str = "#fdfdfd"
    iris: str = "#5b7f5e"
    dark: str = "#2b211d"
    lip: str = "#c46a62"
    mouth: str = "#6f2630"
    tongue: str = "#d67c7c"
    caption: str = "#202732"


PALETTE = Palette()
_FINENESS = 3  # shapes are drawn this many times larger, then reduced: smooth edges


def draw_backdrop(width: int, height: int) -> Image.Image:
    """Everything that keeps still: wall, shoulders, neck, the caption's strip."""
    canvas = _Canvas((width, height), (0, 0), height, PALETTE.wall)
    middle = width / height / 2
    canvas.ellipse(middle, 0.47, 0.43, 0.43, PALETTE.halo)
    canvas.ellipse(middle, 0.52, 0.2, 0.25, PALETTE.hair)
    canvas.shape(
        _mirrored(middle, [(0.0, 0.76), (0.1, 0.765), (0.24, 0.81), (0.33, 0.89), (0.36, 1.02)]), PALETTE.jacket
    )
    canvas.shape(_mirrored(middle, [(0.0, 1.02), (0.115, 0.765), (0.085, 0.745), (0.0, 0.84)]), PALETTE.shirt)
    for side in (-1, 1):
        lapel = [(0.118, 0.755), (0.155, 0.79), (0.128, 0.85), (0.142, 0.865), (0.03, 1.02), (0.0, 1.02)]
        canvas.polygon([(middle + side * x, y) for x, y in lapel], PALETTE.lapel)
    canvas.shape(_mirrored(middle, [(0.0, 0.56), (0.078, 0.56), (0.08, 0.73), (0.1, 0.752), (0.0, 0.85)]), PALETTE.skin)
    canvas.shape(_mirrored(middle, [(0.0, 0.56), (0.078, 0.56), (0.079, 0.655), (0.0, 0.715)]), PALETTE.shade)
    canvas.polygon(
        [(0, 1 - CAPTION_HEIGHT), (2 * middle, 1 - CAPTION_HEIGHT), (2 * middle, 1), (0, 1)], PALETTE.caption
    )
    return canvas.finished()


def draw_head(height: int) -> Image.Image:
    """The head on its transparent square, without eyes and mouth, for a picture of that height."""
    canvas = _Canvas.of_box((-HEAD_SIDE / 2, -HEAD_SIDE / 2, HEAD_SIDE / 2, HEAD_SIDE / 2), height)
    _draw_skull(canvas)
    return canvas.finished()


def add_eyes(head: Image.Image, eyes: Eyes) -> Image.Image:
    """A copy of the head that has these eyes."""
    return _with_part(head, EYES_BOX, lambda canvas: _draw_eyes(canvas, eyes))


def add_mouth(head: Image.Image, openness: float) -> Image.Image:
    """A copy of the head that has a mouth: from 0, a smile, to 1, wide open."""
    return _with_part(head, MOUTH_BOX, lambda canvas: _draw_mouth(canvas, openness))


def _with_part(head: Image.Image, box: Box, paint: Callable[[_Canvas], None]) -> Image.Image:
    # Drawn on a canvas of its own: shapes are drawn large, and a whole head for each mouth would take long.
    canvas = _Canvas.of_box(box, round(head.height / HEAD_SIDE))
    paint(canvas)
    complete = head.copy()
    complete.alpha_composite(canvas.finished(), (head.width // 2 - canvas.left, head.height // 2 - canvas.top))
    return complete


def _draw_skull(canvas: _Canvas) -> None:
    canvas.ellipse(0, -0.06, 0.215, 0.235, PALETTE.hair)
    canvas.shape(_mirrored(0, [(0, -0.2), (0.205, -0.1), (0.222, 0.05), (0.2, 0.19), (0.13, 0.2)]), PALETTE.hair)
    for side in (-1, 1):
        canvas.ellipse(side * 0.178, 0.012, 0.026, 0.042, PALETTE.shade)
    face = [(0.0, -0.215), (0.11, -0.195), (0.168, -0.11), (0.172, 0.01), (0.155, 0.1), (0.1, 0.185), (0.0, 0.228)]
    canvas.shape(_mirrored(0, face), PALETTE.skin)
    for side in (-1, 1):
        canvas.ellipse(side * 0.108, 0.078, 0.034, 0.024, PALETTE.cheek)
    fringe = [(-0.19, 0.0), (-0.2, -0.13), (-0.13, -0.25), (0.0, -0.285), (0.14, -0.245), (0.2, -0.13), (0.19, 0.0)]
    parting = [(0.165, -0.06), (0.13, -0.125), (0.055, -0.155), (-0.02, -0.185), (-0.09, -0.13), (-0.155, -0.075)]
    canvas.shape([*fringe, *parting], PALETTE.hair)
    for sweep in ([(-0.03, -0.19), (-0.08, -0.23), (-0.145, -0.19)], [(0.0, -0.19), (0.07, -0.235), (0.15, -0.16)]):
        canvas.line(sweep, 0.006, PALETTE.strand)
    canvas.line([(0.006, -0.005), (0.018, 0.04), (0.012, 0.056), (-0.012, 0.056)], 0.007, PALETTE.shade)


def _draw_eyes(canvas: _Canvas, eyes: Eyes) -> None:
    for side in (-1, 1):
        _draw_eye(canvas, side, eyes)


def _draw_eye(canvas: _Canvas, side: int, eyes: Eyes) -> None:
    lift = 0.014 if eyes == "attentive" else 0.0
    brow = [(0.036, -0.068 - lift), (0.06, -0.079 - lift), (0.088, -0.0795 - lift), (0.114, -0.066 - lift)]
    canvas.line([(side * x, y) for x, y in brow], 0.012, PALETTE.hair)
    x, y = side * 0.075, -0.02
    if eyes == "closed":
        canvas.line([(x - 0.033, y + 0.004), (x, y + 0.016), (x + 0.033, y + 0.004)], 0.008, PALETTE.dark)
        return
    aperture = {"open": 0.0225, "half": 0.014, "attentive": 0.0275}[eyes]
    canvas.eye(x, y, 0.033, aperture)
    canvas.line([point for point in _oval(x, y, 0.034, aperture, 0) if point[1] < y], 0.008, PALETTE.dark)


def _draw_mouth(canvas: _Canvas, openness: float) -> None:
    middle = 0.108
    if openness <= 0:
        canvas.line([(-0.05, middle - 0.006), (-0.026, middle + 0.01), (0, middle + 0.0155), (0.026, middle + 0.01),
                     (0.05, middle - 0.006)], 0.0085, PALETTE.lip)  # fmt: skip
        return
    half_width = 0.052 - 0.008 * openness
    canvas.open_mouth(middle - 0.006, half_width, 0.012 + 0.036 * openness)


def _mirrored(middle: float, right: Sequence[Point]) -> list[Point]:
    """A closed outline from its right half; points on the axis are there once."""
    return [*((middle + x, y) for x, y in right), *((middle - x, y) for x, y in reversed(right) if x)]


class _Canvas:
    """Draws in fractions of the picture's height, smoothly."""

    def __init__(self, size: tuple[int, int], origin: tuple[int, int], unit: int, ground: str | None) -> None:
        self.left, self.top = origin
        self._size = size
        self._unit = unit
        large = (size[0] * _FINENESS, size[1] * _FINENESS)
        self._image = Image.new("RGB", large, ground) if ground else Image.new("RGBA", large, (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self._image)

    @classmethod
    def of_box(cls, box: Box, unit: int) -> _Canvas:
        """A transparent canvas for what lies in ``box``, in units around the head's centre; whole pixels."""
        left, top, right, bottom = (round(edge * unit) for edge in box)
        return cls((right - left, bottom - top), (-left, -top), unit, None)

    def finished(self) -> Image.Image:
        return self._image.resize(self._size, Image.Resampling.BOX)

    def polygon(self, points: Sequence[Point], fill: str) -> None:
        self._draw.polygon(self._pixels(points), fill=fill)

    def shape(self, points: Sequence[Point], fill: str) -> None:
        """A closed outline, rounded through the given points."""
        self._draw.polygon(self._pixels(_rounded([points[-1], *points, points[0], points[1]])), fill=fill)

    def line(self, points: Sequence[Point], width: float, fill: str) -> None:
        """A rounded stroke through the given points."""
        for x, y in _rounded([points[0], *points, points[-1]], steps=60):
            self.ellipse(x, y, width / 2, width / 2, fill)

    def ellipse(self, x: float, y: float, across: float, down: float, fill: str) -> None:
        self._draw.ellipse(self._pixels([(x - across, y - down), (x + across, y + down)]), fill=fill)

    def eye(self, x: float, y: float, across: float, down: float) -> None:
        """White, iris, pupil and a glint, seen through the opening of the lids."""

        def inside(pen: _Canvas) -> None:
            pen.ellipse(x, y, across, down, PALETTE.eye)
            pen.ellipse(x, y - 0.001, 0.0185, 0.0185, PALETTE.iris)
            pen.ellipse(x, y - 0.001, 0.0095, 0.0095, PALETTE.dark)
            pen.ellipse(x + 0.006, y - 0.008, 0.0048, 0.0048, PALETTE.eye)

        self._through(_oval(x, y, across, down, down), inside)

    def open_mouth(self, y: float, across: float, down: float) -> None:
        """Lips around an opening that shows teeth above and a tongue below."""
        upper = 0.006 + down * 0.16
        lip = 0.0075
        self.polygon(_oval(0, y, across + lip, upper + lip, down + lip), PALETTE.lip)

        def inside(pen: _Canvas) -> None:
            pen.ellipse(0, y, 1, 1, PALETTE.mouth)
            pen.ellipse(0, y + down * 1.05, across * 0.66, down * 0.5, PALETTE.tongue)
            pen.polygon([(-1, -1), (1, -1), (1, y - upper + 0.014), (-1, y - upper + 0.014)], PALETTE.eye)

        self._through(_oval(0, y, across, upper, down), inside)

    def _through(self, opening: Sequence[Point], paint: Callable[[_Canvas], None]) -> None:
        """Paint something that is seen only inside an outline."""
        stencil = Image.new("L", self._image.size, 0)
        ImageDraw.Draw(stencil).polygon(self._pixels(opening), fill=255)
        outside = self._image.copy()
        paint(self)
        self._image.paste(outside, mask=Image.eval(stencil, lambda value: 255 - value))

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        return [((self.left + x * self._unit) * _FINENESS, (self.top + y * self._unit) * _FINENESS) for x, y in points]


def _oval(x: float, y: float, across: float, up: float, down: float) -> list[Point]:
    """An ellipse whose upper and lower halves differ in height."""
    angles = [2 * math.pi * step / 72 for step in range(72)]
    return [(x + across * math.cos(a), y + math.sin(a) * (down if math.sin(a) > 0 else up)) for a in angles]


def _rounded(points: Sequence[Point], steps: int = 12) -> list[Point]:
    """A Catmull-Rom curve through all points but the first and the last, which only give it its direction."""
    curve: list[Point] = []
    for before, start, end, after in zip(points, points[1:], points[2:], points[3:], strict=False):
        for step in range(steps + 1):
            t = step / steps
            x = _spline(before[0], start[0], end[0], after[0], t)
            curve.append((x, _spline(before[1], start[1], end[1], after[1], t)))
    return curve


def _spline(before: float, start: float, end: float, after: float, t: float) -> float:
    slope = (end - before, 2 * before - 5 * start + 4 * end - after, 3 * start - before - 3 * end + after)
    return start + 0.5 * t * (slope[0] + t * (slope[1] + t * slope[2]))
