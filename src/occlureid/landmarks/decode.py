"""From heatmaps to landmarks: the highest cell, moved to the top of the hill within it."""

from __future__ import annotations

import torch
from torch import Tensor

from occlureid.errors import ShapeError

__all__ = ["decode_heatmaps"]

_LEAST = 1e-4  # below it a heatmap's logarithm is noise


def decode_heatmaps(maps: Tensor, size: tuple[int, int]) -> Tensor:
    r"""Places and confidences of landmarks; the confidence is the height of the peak.

    About its top a Gaussian's logarithm is a parabola. With D' and D'' the first and second differences of the logarithm at the
    highest cell m, the top lies at (Zhang et al., DARK, CVPR 2020, Eq. 8, here along each axis alone, without smoothing first)

        u = m - D' / D'',     |u - m| <= 1/2

    At the edge of a map there is no second difference, and the cell's centre is taken along that axis.

    Args:
        maps: (B, K, h, w), they cover the whole image.
        size: (H, W) of the image.

    Returns:
        (B, K, 3) float32: x, y in pixels of the image (pixel centres at +0.5), and the peak clamped to [0, 1]; zeros where
        nothing in the map is above 0.

    Raises:
        ShapeError: the maps are not (B, K, h, w), or the size is not positive.
    """
    if maps.ndim != 4 or 0 in maps.shape[2:] or min(size) < 1:
        raise ShapeError(
            f"heatmaps must have shape (B, K, h, w) and the image a size, got {tuple(maps.shape)} and {size}"
        )
    height, width = maps.shape[2:]
    flat = maps.float().flatten(2)
    peak, place = flat.max(2)
    row, column = place.div(width, rounding_mode="floor"), place % width
    logarithm = flat.clamp_min(_LEAST).log()

    def shift(coordinate: Tensor, step: int, length: int) -> Tensor:
        inside = (coordinate > 0) & (coordinate < length - 1)
        around = torch.stack([torch.where(inside, place + offset, place) for offset in (-step, 0, step)], 2)
        before, top, after = logarithm.gather(2, around).unbind(2)
        second = before + after - 2 * top
        moved = -0.5 * (after - before) / second.clamp_max(-1e-6)
        return torch.where(inside, moved.clamp(-0.5, 0.5), torch.zeros_like(moved))

    x = (column + 0.5 + shift(column, 1, width)) * (size[1] / width)
    y = (row + 0.5 + shift(row, width, height)) * (size[0] / height)
    landmarks = torch.stack([x, y, peak.clamp(0.0, 1.0)], 2)
    return landmarks * (peak > 0).unsqueeze(2)
