"""Ranked lists, drawn parts and contact sheets as Pillow images, for a README or a notebook."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from occlureid.errors import ShapeError
from occlureid.types import Region

__all__ = ["RankedPicture", "contact_sheet", "draw_parts", "ranked_list_image"]

_SHARED = (255, 209, 64)
_DARK = (24, 26, 31)
_PAPER = (255, 255, 255)
_QUIET = (96, 102, 112)
_RIGHT = (22, 128, 71)
_WRONG = (196, 43, 43)


@dataclass(frozen=True, slots=True)
class RankedPicture:
    """One gallery image of a ranked list.

    Attributes:
        image: the picture.
        correct: True for a true match, False for another person, None where this is not known.
        captions: lines of text under the picture.
        weights: (K) the weight of each part in the distance; 0 for a part that the pair does not share.
        distances: (K) the distance of each part, or None not to write any.
    """

    image: Image.Image
    correct: bool | None = None
    captions: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    distances: tuple[float, ...] | None = None


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _scaled(image: Image.Image, height: int) -> Image.Image:
    if height < 8:
        raise ShapeError(f"height must be at least 8 pixels, got {height}")
    return image.convert("RGB").resize(
        (max(1, round(image.width * height / image.height)), height), Image.Resampling.LANCZOS
    )


def draw_parts(
    image: Image.Image,
    regions: Sequence[Region],
    weights: Sequence[float],
    distances: Sequence[float] | None = None,
    *,
    height: int = 192,
) -> Image.Image:
    """The image with its parts drawn: those with weight outlined, the others dimmed and hatched.

    Args:
        image: any mode and size; not changed.
        regions: (K) where the parts lie.
        weights: (K) the weight of each part; 0 for a part that the pair does not share.
        distances: (K) written to the right of each part with weight; None leaves the column out.
        height: of the result, in pixels; its width follows.

    Returns:
        A new RGB image.

    Raises:
        ShapeError: regions, weights and distances differ in length, or the height is below 8.
    """
    if len(weights) != len(regions) or (distances is not None and len(distances) != len(regions)):
        given = None if distances is None else len(distances)
        raise ShapeError(
            f"expected one weight and one distance a region ({len(regions)}), got {len(weights)} and {given}"
        )
    picture = _scaled(image, height)
    width = picture.width
    for region, weight in zip(regions, weights, strict=True):
        box = (
            round(region.left * width),
            round(region.top * height),
            round(region.right * width),
            round(region.bottom * height),
        )
        if weight <= 0 and box[2] > box[0] and box[3] > box[1]:
            veil = Image.blend(
                picture.crop(box), Image.new("RGB", (box[2] - box[0], box[3] - box[1]), (70, 74, 82)), 0.65
            )
            hatch = ImageDraw.Draw(veil)
            for offset in range(-veil.height, veil.width, max(6, height // 20)):
                hatch.line((offset, veil.height, offset + veil.height, 0), fill=(176, 180, 188), width=1)
            picture.paste(veil, box)
    draw = ImageDraw.Draw(picture)
    for region, weight in zip(regions, weights, strict=True):
        if weight > 0:
            corner = (round(region.left * width), round(region.top * height))
            other = (round(region.right * width) - 1, round(region.bottom * height) - 1)
            if other[0] > corner[0] and other[1] > corner[1]:
                draw.rectangle((*corner, *other), outline=_DARK, width=3)
                draw.rectangle((*corner, *other), outline=_SHARED, width=2)
    if distances is None:
        return picture
    font = _font(max(10, height / 14))
    sheet = Image.new("RGB", (width + round(font.getlength("0.000")) + 10, height), _PAPER)
    sheet.paste(picture, (0, 0))
    column = ImageDraw.Draw(sheet)
    for region, weight, distance in zip(regions, weights, distances, strict=True):
        label = f"{distance:.2f}" if weight > 0 and math.isfinite(distance) else "-"
        middle = (region.top + region.bottom) / 2 * height
        column.text((width + 6, middle), label, font=font, fill=_DARK if weight > 0 else _QUIET, anchor="lm")
    return sheet


def _mark(draw: ImageDraw.ImageDraw, x: float, y: float, correct: bool) -> None:
    """A tick or a cross, so that nobody depends on the colour of the frame; the default font has neither."""
    colour = _RIGHT if correct else _WRONG
    draw.ellipse((x, y, x + 16, y + 16), fill=colour)
    if correct:
        draw.line((x + 4, y + 8, x + 7, y + 12, x + 12, y + 5), fill=_PAPER, width=2)
    else:
        draw.line((x + 5, y + 5, x + 11, y + 11), fill=_PAPER, width=2)
        draw.line((x + 11, y + 5, x + 5, y + 11), fill=_PAPER, width=2)


def _tile(picture: Image.Image, captions: Sequence[str], correct: bool | None, rank: int | None) -> Image.Image:
    font, pad, head = _font(12), 6, 22 if rank is not None else 0
    width = max([picture.width, *(math.ceil(font.getlength(line)) for line in captions)]) + 2 * pad
    tile = Image.new("RGB", (width, head + picture.height + 2 * pad + 16 * len(captions)), _PAPER)
    draw = ImageDraw.Draw(tile)
    tile.paste(picture, (pad, head + pad))
    if rank is not None:
        draw.text((pad, 4), str(rank), font=font, fill=_QUIET)
    if correct is not None:
        colour, box = (
            (_RIGHT if correct else _WRONG),
            (pad - 3, head + pad - 3, pad + picture.width + 2, head + pad + picture.height + 2),
        )
        draw.rectangle(box, outline=colour, width=3)
        _mark(draw, width - pad - 17, 2, correct)
    for row, line in enumerate(captions):
        draw.text((pad, head + picture.height + 2 * pad + 16 * row), line, font=font, fill=_DARK)
    return tile


def ranked_list_image(
    query: Image.Image,
    results: Sequence[RankedPicture],
    *,
    regions: Sequence[Region] = (),
    query_captions: Sequence[str] = ("query",),
    height: int = 192,
) -> Image.Image:
    """A strip for a README or a notebook: the query, then its ranked gallery images with a tick or a cross each.

    Args:
        query: the query image.
        results: closest first.
        regions: (K) where the parts lie; empty draws no parts.
        query_captions: lines under the query.
        height: of each picture, in pixels.

    Raises:
        ShapeError: a result's weights or distances do not fit the regions.
    """
    tiles = [_tile(_scaled(query, height), query_captions, None, None)]
    for rank, result in enumerate(results, 1):
        parts = draw_parts(result.image, regions, result.weights, result.distances, height=height) if regions else None
        tiles.append(_tile(parts or _scaled(result.image, height), result.captions, result.correct, rank))
    gap = 18
    tall = max(tile.height for tile in tiles)
    strip = Image.new("RGB", (sum(t.width for t in tiles) + (gap if results else 0), tall), _PAPER)
    x = 0
    for index, tile in enumerate(tiles):
        strip.paste(tile, (x, 22 if index == 0 and results else 0))
        x += tile.width + (gap if index == 0 else 0)
    return strip


def contact_sheet(
    images: Sequence[Image.Image], columns: int, captions: Sequence[str] | None = None, *, height: int = 128
) -> Image.Image:
    """All images in rows of ``columns``, each scaled to ``height`` pixels, with a caption under each where given.

    Raises:
        ShapeError: no image, no column, or another number of captions than images.
    """
    if not images or columns < 1 or (captions is not None and len(captions) != len(images)):
        given = None if captions is None else len(captions)
        raise ShapeError(
            f"a contact sheet needs images, columns >= 1 and a caption each, got {len(images)}, {columns}, {given}"
        )
    lines = [()] * len(images) if captions is None else [(caption,) for caption in captions]
    tiles = [_tile(_scaled(image, height), line, None, None) for image, line in zip(images, lines, strict=True)]
    wide, tall = max(t.width for t in tiles), max(t.height for t in tiles)
    sheet = Image.new("RGB", (wide * min(columns, len(tiles)), tall * math.ceil(len(tiles) / columns)), _PAPER)
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % columns * wide, index // columns * tall))
    return sheet
