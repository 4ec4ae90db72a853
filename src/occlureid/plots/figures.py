"""What a method sees, drawn over an image: labels of pixels, visibilities of stripes, maps of attention, crops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from occlureid.errors import ShapeError
from occlureid.plots.pictures import draw_parts
from occlureid.types import Region

__all__ = ["Colour", "draw_crop", "draw_heat", "draw_labels", "draw_visibilities", "legend"]

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

_DARK, _QUIET, _PAPER, _FRAME = (24, 26, 31), (96, 102, 112), (255, 255, 255), (255, 209, 64)
_STEPS = np.array([(20, 24, 90), (30, 130, 220), (90, 220, 160), (250, 220, 60), (220, 40, 30)], dtype=np.float32)
"""Of a heat map, from 0 to 1: dark blue over green and yellow to red."""


def draw_labels(
    image: Image.Image, labels: npt.NDArray[np.integer[Any]], tints: Sequence[Colour], *, strength: float = 0.6
) -> Image.Image:
    """The image with its pixels tinted by their labels; the background, label 0, is dimmed instead.

    Args:
        image: any mode and size; not changed.
        labels: (h, w) from 0, of any size; enlarged by the nearest pixel.
        tints: the colour of label 1, 2, ...; used again from the first where there are more labels.
        strength: of the tint, in [0, 1].

    Returns:
        A new RGB image of the image's size.

    Raises:
        ShapeError: the labels are no map, or there is a negative one.
    """
    if labels.ndim != 2 or labels.size == 0 or labels.min() < 0 or not tints:
        raise ShapeError(f"labels must have shape (h, w) and be at least 0, got {labels.dtype} {labels.shape}")
    indices = np.where(labels > 0, 1 + (labels - 1) % len(tints), 0).astype(np.uint8)
    enlarged = np.asarray(Image.fromarray(indices).resize(image.size, Image.Resampling.NEAREST))
    pixels = np.asarray(image.convert("RGB")).astype(np.float32)
    colours = np.array([(0, 0, 0), *tints], dtype=np.float32)[enlarged]
    mixed = pixels + strength * (colours - pixels)
    return Image.fromarray(mixed.round().astype(np.uint8))


def draw_heat(image: Image.Image, values: npt.NDArray[np.floating[Any]], *, strength: float = 0.55) -> Image.Image:
    """The image under a heat map: 0 is dark blue, 0.5 green, 1 red.

    Args:
        image: any mode and size; not changed.
        values: (h, w) in [0, 1], of any size; enlarged smoothly. Values beyond are taken as the nearest.
        strength: of the colour, in [0, 1].

    Returns:
        A new RGB image of the image's size.

    Raises:
        ShapeError: the values are no map, or not finite.
    """
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise ShapeError(f"a heat map must have shape (h, w) and be finite, got {values.dtype} {values.shape}")
    enlarged = Image.fromarray(values.astype(np.float32)).resize(image.size, Image.Resampling.BILINEAR)
    place = np.asarray(enlarged).clip(0, 1) * (len(_STEPS) - 1)
    below = np.minimum(place.astype(np.int64), len(_STEPS) - 2)
    share = (place - below)[..., None]
    colours = _STEPS[below] * (1 - share) + _STEPS[below + 1] * share
    pixels = np.asarray(image.convert("RGB")).astype(np.float32)
    return Image.fromarray((pixels + strength * (colours - pixels)).round().astype(np.uint8))


def draw_visibilities(
    image: Image.Image,
    regions: Sequence[Region],
    visibility: Sequence[float],
    visible: Sequence[bool],
    *,
    height: int = 192,
) -> Image.Image:
    """The image with its parts: those that count as visible are framed, the others dimmed; beside each how much is seen of it.

    Args:
        image: any mode and size; not changed.
        regions: (K) where the parts lie.
        visibility: (K) in [0, 1].
        visible: (K) whether the part is compared.
        height: of the result, in pixels.

    Returns:
        A new RGB image, wider than the image by a column of numbers.

    Raises:
        ShapeError: the lengths differ, or the height is below 8.
    """
    if len(visibility) != len(regions):
        raise ShapeError(f"expected one visibility a region ({len(regions)}), got {len(visibility)}")
    drawn = draw_parts(image, regions, [float(seen) for seen in visible], height=height)
    font = ImageFont.load_default(max(10, height / 14))
    sheet = Image.new("RGB", (drawn.width + math.ceil(font.getlength("100 %")) + 10, height), _PAPER)
    sheet.paste(drawn, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for region, value, seen in zip(regions, visibility, visible, strict=True):
        place = (drawn.width + 6, (region.top + region.bottom) / 2 * height)
        draw.text(place, f"{100 * value:.0f} %", font=font, fill=_DARK if seen else _QUIET, anchor="lm")
    return sheet


def draw_crop(image: Image.Image, box: tuple[int, int, int, int] | None) -> Image.Image:
    """The image before it is cropped: what is cut away is dimmed, and the rest framed.

    Args:
        image: any mode and size; not changed.
        box: top, left, bottom, right in pixels, the last row and column left out; None for an image that stays whole.

    Returns:
        A new RGB image of the image's size.

    Raises:
        ShapeError: the box is empty or reaches beyond the image.
    """
    top, left, bottom, right = (0, 0, image.height, image.width) if box is None else box
    if not (0 <= top < bottom <= image.height and 0 <= left < right <= image.width):
        raise ShapeError(f"a box must lie within the image of {(image.height, image.width)}, got {box}")
    whole = image.convert("RGB")
    picture = Image.blend(whole, Image.new("RGB", whole.size, _DARK), 0.65)
    picture.paste(whole.crop((left, top, right, bottom)), (left, top))
    ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), outline=_FRAME, width=2)
    return picture


def legend(names: Sequence[str], tints: Sequence[Colour]) -> Image.Image:
    """A line of names, each beside its colour.

    Raises:
        ShapeError: there are no names, or no tints.
    """
    if not names or not tints:
        raise ShapeError(f"a legend needs names and colours, got {len(names)} and {len(tints)}")
    font = ImageFont.load_default(12)
    widths = [math.ceil(font.getlength(name)) + 34 for name in names]
    sheet = Image.new("RGB", (sum(widths) + 8, 22), _PAPER)
    draw, x = ImageDraw.Draw(sheet), 8
    for number, (name, width) in enumerate(zip(names, widths, strict=True)):
        draw.rectangle((x, 5, x + 11, 16), fill=tints[number % len(tints)])
        draw.text((x + 16, 11), name, font=font, fill=_DARK, anchor="lm")
        x += width
    return sheet
