"""Two images beside each other, with lines from places of one to places of the other, coloured by distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from occlureid.errors import ShapeError

__all__ = ["MatchLine", "distance_scale", "draw_matches"]

_PAPER, _DARK = (255, 255, 255), (24, 26, 31)
_STEPS = np.array([(40, 200, 90), (250, 220, 60), (230, 40, 40)], dtype=np.float64)
"""Of a distance, from the least over the middle to the greatest: green, yellow, red."""
_FINER = 2
"""Lines are drawn on a picture so many times larger and shrunk, for smooth edges."""


@dataclass(frozen=True, slots=True)
class MatchLine:
    """A line between two images.

    Attributes:
        start: x, y in the first image, as shares of its width and height.
        end: x, y in the second image, likewise.
        distance: what the line is coloured by.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    distance: float


def draw_matches(
    first: Image.Image,
    second: Image.Image,
    lines: Sequence[MatchLine],
    span: tuple[float, float],
    *,
    height: int = 288,
) -> Image.Image:
    """Both images, and the lines between them, the farthest first, so that the nearest lie on top.

    Args:
        first: any mode and size; not changed.
        second: likewise; its shape may differ.
        lines: between them.
        span: the distances that are green and red; values beyond are taken as the nearest.
        height: of the result, in pixels.

    Returns:
        A new RGB image: both images of this height, and a gap of a quarter of it.

    Raises:
        ShapeError: the height is below 8, a distance is not finite, the span is empty, or a line ends beyond an image.
    """
    _check(lines, span, height)
    tall, gap = height * _FINER, height * _FINER // 4
    pictures = [_scaled(image, tall) for image in (first, second)]
    sheet = Image.new("RGB", (pictures[0].width + gap + pictures[1].width, tall), _PAPER)
    left = pictures[0].width + gap
    sheet.paste(pictures[0], (0, 0))
    sheet.paste(pictures[1], (left, 0))
    draw, thick, dot = ImageDraw.Draw(sheet), max(2, tall // 190), max(3, tall // 110)
    for line in sorted(lines, key=lambda line: -line.distance):
        colour = _colour(line.distance, span)
        start = (line.start[0] * pictures[0].width, line.start[1] * tall)
        end = (left + line.end[0] * pictures[1].width, line.end[1] * tall)
        draw.line((*start, *end), fill=_DARK, width=thick + 2)
        draw.line((*start, *end), fill=colour, width=thick)
        for x, y in (start, end):
            draw.ellipse((x - dot - 1, y - dot - 1, x + dot + 1, y + dot + 1), fill=_DARK)
            draw.ellipse((x - dot, y - dot, x + dot, y + dot), fill=colour)
    return sheet.resize((sheet.width // _FINER, height), Image.Resampling.LANCZOS)


def distance_scale(span: tuple[float, float], text: str = "distance") -> Image.Image:
    """A line that says which colour is which distance.

    Raises:
        ShapeError: the span is empty.
    """
    _check((), span, 8)
    font = ImageFont.load_default(12)
    parts = [f"{text}  {span[0]:.2f}", f"{span[1]:.2f}"]
    widths = [math.ceil(font.getlength(part)) for part in parts]
    sheet = Image.new("RGB", (widths[0] + 120 + widths[1] + 28, 22), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((8, 11), parts[0], font=font, fill=_DARK, anchor="lm")
    x = 14 + widths[0]
    for column in range(120):
        draw.line((x + column, 5, x + column, 16), fill=_colour(column / 119, (0.0, 1.0)))
    draw.text((x + 126, 11), parts[1], font=font, fill=_DARK, anchor="lm")
    return sheet


def _check(lines: Sequence[MatchLine], span: tuple[float, float], height: int) -> None:
    if height < 8:
        raise ShapeError(f"height must be at least 8 pixels, got {height}")
    if not (all(map(math.isfinite, span)) and span[0] < span[1]):
        raise ShapeError(f"the span of distances must be (least, greatest) and finite, got {span}")
    for line in lines:
        inside = all(0 <= value <= 1 for value in (*line.start, *line.end))
        if not inside or not math.isfinite(line.distance):
            raise ShapeError(f"a line must have finite distance and end in both images, in shares of them, got {line}")


def _colour(distance: float, span: tuple[float, float]) -> tuple[int, int, int]:
    place = min(1.0, max(0.0, (distance - span[0]) / (span[1] - span[0]))) * (len(_STEPS) - 1)
    below = min(int(place), len(_STEPS) - 2)
    mixed = _STEPS[below] + (place - below) * (_STEPS[below + 1] - _STEPS[below])
    red, green, blue = (round(float(value)) for value in mixed)
    return red, green, blue


def _scaled(image: Image.Image, height: int) -> Image.Image:
    width = max(1, round(image.width * height / image.height))
    return image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
