"""Colours for labels: a label map as a PNG that people can look at and programs can read."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["LABEL_COLOURS", "label_image"]

_GOLDEN = 0.618034


def _colour(label: int) -> tuple[int, int, int]:
    """Black for the background; then hues far apart from one label to the next, of three strengths in turn."""
    if label == 0:
        return 0, 0, 0
    value, saturation = ((1.0, 0.75), (0.75, 0.9), (0.95, 0.45))[label % 3]
    red, green, blue = colorsys.hsv_to_rgb((label - 1) * _GOLDEN % 1.0, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


LABEL_COLOURS: NDArray[np.uint8] = np.array([_colour(label) for label in range(256)], dtype=np.uint8)
"""(256, 3) the RGB colour of each label."""


def label_image(labels: NDArray[np.uint8]) -> Image.Image:
    """A picture with a palette, whose index in each pixel is the label.

    Args:
        labels: (H, W).
    """
    picture = Image.fromarray(np.ascontiguousarray(labels))
    picture.putpalette(LABEL_COLOURS.tobytes())
    return picture
