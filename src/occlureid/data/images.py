"""Reading an image file that may be anything: the pixels, or an error that names the file."""

from __future__ import annotations

import math
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from occlureid.errors import DataError, ShapeError

__all__ = [
    "FORMATS",
    "LEAST_SIDE",
    "MAX_PIXELS",
    "OVERSHOOT",
    "check_pixels",
    "check_stored",
    "cut_box",
    "open_image",
    "read_image",
    "to_rgb",
]

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
"""The decoders that are tried, whatever the file's name says; the fewer, the less can go wrong."""

MAX_PIXELS = 50_000_000
"""An image with more is refused before it is decoded: a small file can unfold to fill the memory."""

LEAST_SIDE = 8
"""Pixels that a person's picture must have each way."""

OVERSHOOT = 0.5
"""Distance that a pixel may lie outside [0, 1]: bicubic resampling overshoots at edges, by 0.45 at most."""


def check_stored(path: Path) -> None:
    """Refuses pipes, sockets and devices, which may never end or never begin; files, folders and what is not there pass.

    Raises:
        DataError: the path is one of these.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DataError(f"{path}: a pipe, socket or device, not a file; remove it")


def open_image(path: Path, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """The image as the file stores it (any mode), fully decoded, turned upright as its EXIF orientation says.

    Tools that estimate poses read images upright too, so that cues and image agree.

    Args:
        path: the file.
        formats: the decoders to try, by Pillow's names.

    Raises:
        DataError: the file is missing, damaged, truncated, too large or not an image; it is named.
    """
    check_stored(path)
    try:
        with Image.open(path, formats=formats) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{path}: {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are read")
            image.load()
            return ImageOps.exif_transpose(image)
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such image") from error
    except Exception as error:  # decoders raise whatever a damaged file drives them to, bomb warnings included
        raise DataError(f"{path}: cannot be read as an image ({' '.join(str(error).split())[:160]})") from error


def read_image(path: Path | str) -> Image.Image:
    """The image in 8-bit RGB, fully decoded, upright.

    Grey, palette and CMYK images are converted, 16-bit grey is scaled to 8 bits; transparency is dropped, not blended.

    Raises:
        DataError: the file is missing, damaged, truncated, too large, not an image, or of a mode without a defined
            range (floating point); it is named.
    """
    path = Path(path)
    return to_rgb(open_image(path), str(path))


def to_rgb(image: Image.Image, name: str) -> Image.Image:
    """An image of any mode in 8-bit RGB, as ``read_image`` converts what a file holds; it is not turned.

    Args:
        image: decoded.
        name: what messages call it.

    Raises:
        DataError: it is of a mode without a defined range.
    """
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):  # 16-bit grey; some Pillow versions hand it out as 32-bit integers
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65_535:
            raise DataError(f"{name}: grey values from {values.min()} to {values.max()}; at most 16 bits are read")
        return Image.fromarray(np.round(values / 257.0).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise DataError(f"{name}: floating-point pixels have no defined range; convert the image to 8-bit RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    try:
        return image.convert("RGB")
    except (ValueError, OSError) as error:
        raise DataError(f"{name}: mode {image.mode} cannot be converted to RGB ({error})") from error


def cut_box(image: Image.Image, box: Sequence[float], name: str = "image") -> Image.Image:
    """The person in a larger picture.

    Args:
        image: upright.
        box: x0, y0, x1, y1 in its pixels; rounded to whole ones.
        name: what to call it in messages.

    Raises:
        DataError: the box is not inside the picture, or too small.
    """
    try:
        numbers = [float(value) for value in box]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise DataError(f"{name}: a box must be four finite numbers x0, y0, x1, y1, got {box!r}"[:400])
    x0, y0, x1, y1 = (round(value) for value in numbers)
    if not (0 <= x0 < x1 <= image.width and 0 <= y0 < y1 <= image.height):
        shares = "; these look like shares of the picture, and pixels are expected" if max(box) <= 1 else ""
        raise DataError(
            f"{name}: the box must satisfy 0 <= x0 < x1 <= {image.width} and 0 <= y0 < y1 <= {image.height} in whole pixels, "
            f"got {list(box)}{shares}"
        )
    if x1 - x0 < LEAST_SIDE or y1 - y0 < LEAST_SIDE:
        raise DataError(f"{name}: a box must be at least {LEAST_SIDE} pixels each way, got {list(box)}")
    return image.crop((x0, y0, x1, y1))


def check_pixels(images: Tensor) -> None:
    """Checks the values of float images: finite, and in [0, 1] but for ``OVERSHOOT``.

    Args:
        images: (B, 3, H, W) float.

    Raises:
        ShapeError: a value is none of an image; the first image concerned is named, and what its range suggests.
    """
    if images.numel() == 0:
        return
    low, high = torch.aminmax(images.flatten(1), dim=1)
    wrong = ~((low >= -OVERSHOOT) & (high <= 1 + OVERSHOOT))  # so that not-a-number is wrong
    if not bool(wrong.any()):
        return
    first = int(wrong.nonzero()[0])
    least, most = float(low[first]), float(high[first])
    found = f"image {first} of {len(images)} reaches from {least:g} to {most:g}"
    if not np.isfinite([least, most]).all():
        found, advice = (
            f"image {first} of {len(images)} has values that are not finite",
            "find out where they come from",
        )
    elif least < -OVERSHOOT:
        advice = "give it before it is normalised, the weights bring their own mean and deviation"
    else:
        advice = "divide it by 255" if most <= 255 * (1 + OVERSHOOT) else "scale it to [0, 1]"
    raise ShapeError(f"images must be RGB floats in [0, 1], but {found} ({int(wrong.sum())} such in all); {advice}")
