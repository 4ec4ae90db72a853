"""Pictures in memory as 8-bit RGB, whatever they come as."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from occlureid.cues.providers import ImageArray, as_arrays, kind_of_value
from occlureid.data.images import read_image, to_rgb
from occlureid.errors import DataError, UsageError

__all__ = ["Picture", "to_picture"]

Picture = Path | str | Image.Image | ImageArray
"""An image file by its path, or an image: one of Pillow's, or (H, W, 3) uint8 in RGB (OpenCV's arrays are BGR). One that Pillow
has opened is taken like its file, upright and with 16 bits brought to 8."""


def to_picture(picture: Picture) -> Image.Image:
    """A picture as an upright 8-bit RGB image of Pillow's.

    Raises:
        DataError: a file cannot be read, or what Pillow has opened cannot be decoded.
        ShapeError: an array is no image.
        UsageError: it is neither a path nor an image.
    """
    if isinstance(picture, str | Path):
        return read_image(picture)
    if isinstance(picture, Image.Image):
        if picture.format:  # as it comes from a file; what was made of one (a crop) is as its maker wants it
            try:
                picture = ImageOps.exif_transpose(picture)
            except Exception as error:  # it is decoded only now; see ``open_image``
                raise DataError(f"a {picture.format} image that Pillow opened cannot be decoded: {error}") from error
        return to_rgb(picture, "a Pillow image")
    if not isinstance(picture, np.ndarray):
        raise UsageError(f"it must be a path, a Pillow image or an (H, W, 3) uint8 array, got {kind_of_value(picture)}")
    return Image.fromarray(as_arrays([picture])[0])
