"""Part labels from a parser, one small integer a pixel, to part maps with a channel a part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from occlureid.data.images import open_image
from occlureid.errors import DataError, ShapeError

__all__ = ["PART_NAMES", "LabelArray", "part_map", "read_part_labels"]

LabelArray = np.ndarray[Any, np.dtype[np.uint8]]

PART_NAMES: tuple[str, ...] = ("head", "torso", "upper_arm", "lower_arm", "upper_leg", "lower_leg", "foot")
"""Labels 1 to 7 (SORN, after EANet's part segmentation); 0 is background. Left and right are one part."""


def read_part_labels(path: Path, parts: int = len(PART_NAMES)) -> LabelArray:
    """The labels of a single-channel 8-bit PNG: 0 background, 1 to ``parts``.

    A palette is only there to look at: the label is the palette's index.

    Returns:
        (H, W) uint8.

    Raises:
        DataError: the file is missing, damaged, not a single-channel 8-bit PNG, or has a label beyond ``parts``.
    """
    image = open_image(path, formats=("PNG",))
    if image.mode not in ("L", "P"):
        raise DataError(f"{path}: expected a single-channel 8-bit PNG of part labels, got mode {image.mode}")
    labels = np.array(image, dtype=np.uint8)
    if int(labels.max()) > parts:
        raise DataError(f"{path}: expected labels from 0 (background) to {parts}, found {int(labels.max())}")
    return labels


def part_map(labels: LabelArray, parts: int = len(PART_NAMES)) -> Tensor:
    """(K, H, W) float32, 1 where a pixel is of the part and 0 elsewhere; the background has no channel.

    Args:
        labels: (H, W), 0 for background, part k as k.
        parts: K.

    Raises:
        ShapeError: the labels are not (H, W).
    """
    if labels.ndim != 2:
        raise ShapeError(f"labels must have shape (H, W), got {labels.shape}")
    kinds = torch.arange(1, parts + 1).view(-1, 1, 1)
    return (torch.from_numpy(labels).unsqueeze(0) == kinds).to(torch.float32)
