"""From linear light to the bytes of an image: lens, white balance, sensor curve and noise."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlureid.synthetic.shade import Light

__all__ = ["expose"]


def expose(linear: Tensor, light: Light, noise: NDArray[np.float32]) -> Tensor:
    """Lens, white balance, sensor curve and noise.

    Args:
        linear: (B, 3, H, W) linear light.
        light: the surroundings.
        noise: (B, 3, H, W) float32 added to the result, in [0, 1] of the sensor's range.

    Returns:
        (B, 3, H, W) uint8.
    """
    device = linear.device
    tint = torch.from_numpy(light.tint.astype(np.float32)).to(device)[:, :, None, None]
    soft = torch.from_numpy(light.softness.astype(np.float32)).to(device)[:, :, None, None, None]
    beside = torch.cat([linear[..., :1], linear[..., :-1]], -1) + torch.cat([linear[..., 1:], linear[..., -1:]], -1)
    image = linear * (1.0 - 2.0 * soft[:, 0]) + beside * soft[:, 0]
    over = torch.cat([image[..., :1, :], image[..., :-1, :]], -2) + torch.cat(
        [image[..., 1:, :], image[..., -1:, :]], -2
    )
    image = image * (1.0 - 2.0 * soft[:, 1]) + over * soft[:, 1]
    image = (image * tint).clamp_min(0.0).sqrt()
    # Highlights bend over instead of clipping; then the noise of the sensor.
    image = torch.where(image > 0.8, 1.0 - 0.04 / (image - 0.6).clamp_min(1e-3), image)
    image = image + torch.from_numpy(noise).to(device)
    return (image.clamp(0.0, 1.0) * 255.0 + 0.5).floor().to(torch.uint8)
