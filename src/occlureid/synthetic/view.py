"""Where the rays of images end: on what was met, on the ground or on the wall behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from occlureid.synthetic.light import Light
from occlureid.synthetic.primitives import Array

__all__ = ["View", "per_image", "view_of"]


class View(NamedTuple):
    """What every pixel of B images looks at, before it is lit.

    Attributes:
        u: (B, 1, W) and v: (B, H, 1) slopes of the rays. depth: (B, H, W) of whatever is nearest, the surroundings included.
        ground: (B, H, W) whether ground and not wall is behind.
        x, y, z: (B, H, W) the nearest point, in the world.
        beyond: (B, H, W) metres along the wall, where there is no ground.
        behind: (B, H, W) depth of ground or wall.
    """

    u: Tensor
    v: Tensor
    depth: Tensor
    ground: Tensor
    x: Tensor
    y: Tensor
    z: Tensor
    beyond: Tensor
    behind: Tensor


def per_image(device: torch.device) -> Callable[[Array], Tensor]:
    """What turns values of images into tensors on a device."""
    return lambda values: torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)


def view_of(depth: Tensor, light: Light, window: Array) -> View:
    """Where the rays end.

    Args:
        depth: (B, H, W) the nearest of all layers, inf where only the surroundings are.
        light: the surroundings.
        window: (B, 4) as in ``cast``.
    """
    ready = per_image(depth.device)
    height, width = depth.shape[1:]
    u = ready(window[:, :1] + (np.arange(width) + 0.5) * (window[:, 2:3] / width))[:, None, :]
    v = ready(window[:, 1:2] + (np.arange(height) + 0.5) * (window[:, 3:] / height))[:, :, None]

    def scalar(values: Array) -> Tensor:
        return ready(values)[:, None, None]

    # up . ray is how fast a ray climbs; the camera looks along -z, so (0, -up_z, up_y) . ray is how fast it leaves.
    up_y, up_z = scalar(light.up[:, 1]), scalar(light.up[:, 2])
    climb, leave = up_y * v + up_z, up_z * v - up_y
    to_ground = torch.where(climb < -1e-4, -scalar(light.height) / climb, torch.inf)
    cos, sin = scalar(light.wall[:, 1]), scalar(light.wall[:, 2])
    nearing = leave * cos + u * sin
    to_wall = torch.where(nearing > 1e-4, scalar(light.wall[:, 0]) * cos / nearing, 1e4)
    ground = to_ground < to_wall
    behind = torch.minimum(to_ground, to_wall)
    nearest = torch.minimum(depth, behind)
    return View(
        u=u,
        v=v,
        depth=nearest,
        ground=ground,
        x=nearest * u,
        y=scalar(light.height) + nearest * climb,
        z=-(nearest * leave),
        beyond=behind * (u * cos - leave * sin),
        behind=behind,
    )
