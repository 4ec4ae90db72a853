"""Landmarks as Gaussian heatmaps at the size of a feature map (PGFA, section 3.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from occlureid.errors import ShapeError

__all__ = ["gaussian_heatmaps"]


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
