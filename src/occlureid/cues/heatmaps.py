"""Heatmaps of landmarks: Gaussians at the size of a feature map (PGFA, section 3.2), and those that estimators store."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from occlureid.cues.arrays import FloatMaps, read_array
from occlureid.cues.keypoints import FloatArray, to_landmarks
from occlureid.errors import DataError, ShapeError

__all__ = ["gaussian_heatmaps", "heatmap_peaks", "read_heatmaps"]


def gaussian_heatmaps(
    keypoints: Tensor,
    size: tuple[int, int],
    out: tuple[int, int],
    sigma: float | tuple[float, float],
    threshold: float = 0.0,
) -> Tensor:
    r"""A two-dimensional Gaussian at each landmark, in the image's size, then bilinearly down-sampled to ``out``.

        M_j(u, v) = exp(-((u - x_j)^2 / (2 sigma_x^2) + (v - y_j)^2 / (2 sigma_y^2))),   u, v at pixel centres (+0.5)

    Both the Gaussian and the resize (antialiased, as Pillow's bilinear one) are products of a vertical and a horizontal
    factor, so each factor is resized alone and no map of the image's size ever exists.

    Args:
        keypoints: (B, J, 3): x, y in pixels of an image of ``size``, and confidence.
        size: (H, W) of the image.
        out: (h, w) of the maps.
        sigma: the Gaussian's width in pixels of that image, or one for (vertical, horizontal).
        threshold: landmarks of lower confidence (Eq. 2), and those of confidence 0, have a map of zeros.

    Returns:
        (B, J, h, w) float in [0, 1], on the device and of the type of ``keypoints``.

    Raises:
        ShapeError: the keypoints are not (B, J, 3), or a size or sigma is not positive.
    """
    if keypoints.ndim != 3 or keypoints.shape[2] != 3 or not keypoints.is_floating_point():
        raise ShapeError(f"keypoints must be float of shape (B, J, 3), got {keypoints.dtype} {tuple(keypoints.shape)}")
    widths = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    if min(*size, *out) < 1 or not all(0 < width < math.inf for width in widths):
        raise ShapeError(f"sizes and sigma must be positive, got {size}, {out}, {sigma}")
    x, y, confidence = keypoints.unbind(2)
    rows = _profile(y, size[0], out[0], widths[0])
    columns = _profile(x, size[1], out[1], widths[1])
    kept = (confidence > 0) & (confidence >= threshold)
    return rows.unsqueeze(3) * columns.unsqueeze(2) * kept[:, :, None, None]


def _profile(centre: Tensor, size: int, out: int, sigma: float) -> Tensor:
    """(B, J, out): a one-dimensional Gaussian over ``size`` pixels, down-sampled to ``out``."""
    pixels = torch.arange(size, device=centre.device, dtype=centre.dtype) + 0.5
    exponent = ((pixels - centre.unsqueeze(2)) / sigma) ** 2 / 2
    # Beyond e^-40 the Gaussian counts as 0: such numbers change nothing, and their products would be too small for the
    # processor's fast path.
    gaussian = torch.exp(-exponent) * (exponent < 40)
    return gaussian @ _bilinear_weights(size, out, centre).T


def _bilinear_weights(size: int, out: int, like: Tensor) -> Tensor:
    """(out, size): each row a triangle as wide as the step between outputs (at least one pixel), summing to one."""
    scale = size / out
    places = (torch.arange(out, device=like.device, dtype=like.dtype) + 0.5) * scale
    pixels = torch.arange(size, device=like.device, dtype=like.dtype) + 0.5
    weights = (1 - (pixels - places.unsqueeze(1)).abs() / max(scale, 1.0)).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


def read_heatmaps(path: Path) -> FloatMaps:
    """The heatmaps of one image, as an estimator stored them in an ``.npy`` or ``.npz`` file.

    13 maps are GASM's (head, then COCO's shoulders to ankles), 17 are COCO's, 18 those of ``KEYPOINT_NAMES``. Values a little
    beyond [0, 1], as interpolation gives them, are clamped; beyond [-1, 2] they are no confidences.

    Returns:
        (J, h, w) float32 in [0, 1], J as in the file.

    Raises:
        DataError: the file is missing, damaged, not (J, h, w) with such a J, or not confidences.
    """
    maps = read_array(path)
    if maps.shape[0] not in (13, 17, 18):
        raise DataError(f"{path}: expected heatmaps (J, h, w) of 13, 17 or 18 landmarks, got shape {maps.shape}")
    if maps.min() < -1.0 or maps.max() > 2.0:
        raise DataError(f"{path}: heatmaps must lie in [0, 1], got {maps.min():g} to {maps.max():g}")
    return maps.clip(0.0, 1.0)


def heatmap_peaks(maps: FloatMaps, size: tuple[int, int]) -> FloatArray:
    """Landmarks at the peaks of heatmaps: the centre of the highest cell, a quarter of a cell towards its higher neighbours.

    A cell at the edge of a map has no neighbour beyond, and leans along that edge only.

    Args:
        maps: (J, h, w) in [0, 1] with J 13, 17 or 18, as ``read_heatmaps`` gives them; they cover the whole image.
        size: (H, W) of the image.

    Returns:
        (18, 3) float64 x, y in the image's pixels and the peak's value; zeros where a map is empty or does not exist. With
        13 maps the nose is the head, and eyes and ears are not found.

    Raises:
        DataError: J is another number.
    """
    joints, height, width = maps.shape
    places = maps.reshape(joints, -1).argmax(axis=1)
    rows, columns = np.divmod(places, width)
    every = np.arange(joints)

    def shift(one: FloatMaps, other: FloatMaps) -> FloatArray:
        return 0.25 * np.sign(other.astype(np.float64) - one)

    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)), mode="edge")
    down = shift(padded[every, rows, columns + 1], padded[every, rows + 2, columns + 1])
    right = shift(padded[every, rows + 1, columns], padded[every, rows + 1, columns + 2])
    # A cell at the edge has a neighbour on one side only, which tells nothing of where within the cell the peak is.
    down *= (rows > 0) & (rows < height - 1)
    right *= (columns > 0) & (columns < width - 1)
    x = (columns + 0.5 + right) * (size[1] / width)
    y = (rows + 0.5 + down) * (size[0] / height)
    return to_landmarks(np.stack([x, y, maps[every, rows, columns]], axis=1))
