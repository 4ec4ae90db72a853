"""Many images on one picture, to look at."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

from occlureid.errors import ShapeError

__all__ = ["contact_sheet"]


def contact_sheet(images: Tensor, columns: int, gap: int = 4) -> Image.Image:
    """Images in rows, left to right, on white.

    Args:
        images: (N, 3, H, W) uint8, N at least 1.
        columns: images in a row, at least 1.
        gap: pixels between images.

    Raises:
        ShapeError: the images are not of this shape and type, or there is no column.
    """
    if images.ndim != 4 or images.shape[1] != 3 or not len(images) or str(images.dtype) != "torch.uint8" or columns < 1:
        raise ShapeError(
            f"a contact sheet takes (N, 3, H, W) uint8 images and at least one column, got {images.dtype} "
            f"{tuple(images.shape)} and {columns} columns"
        )
    count, _, height, width = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, dtype=np.uint8)
    for k, image in enumerate(images.permute(0, 2, 3, 1).cpu().numpy()):
        top, left = gap + k // columns * (height + gap), gap + k % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return Image.fromarray(sheet)
