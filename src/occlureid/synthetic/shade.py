"""From what the rays met to linear light: cloth, ground and walls in the light of the camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from occlureid.synthetic.cast import Table
from occlureid.synthetic.pattern import albedo
from occlureid.synthetic.primitives import MATERIAL_COLUMNS, Array

__all__ = ["Light", "shade"]


@dataclass(frozen=True, slots=True)
class Light:
    """The surroundings of each of B images, in the frame of its camera.

    Attributes:
        towards: (B, 3) unit vector towards the light. up: (B, 3) the vertical.
        key, ambient: (B,) strengths. tint: (B, 3) white balance times exposure.
        height: (B,) of the camera. wall: (B,) its distance from the wall.
        ground, wall_material: (B, M).
        shadows: (B, S, 6) soft shadows on the ground: x, z of the middle, direction x, z, half length and half width
            along and across it, in metres of the world; a half width of 0 for none.
        softness: (B, 2) weight of the neighbours left and right, above and below, in [0, 0.25]: the lens.
    """

    towards: Array
    up: Array
    key: Array
    ambient: Array
    tint: Array
    height: Array
    wall: Array
    ground: Array
    wall_material: Array
    shadows: Array
    softness: Array


def shade(depth: Tensor, row: Tensor, ready: Table, light: Light, window: Array) -> Tensor:
    """Linear colours of every pixel.

    Args:
        depth: (B, H, W) the nearest of all layers.
        row: (B, H, W) its primitive, -1 where only ground and wall are.
        ready: the primitives.
        light: the surroundings.
        window: (B, 4) as in ``cast``.

    Returns:
        (B, 3, H, W) linear light, before the camera's sensor.
    """
    device = depth.device
    height, width = depth.shape[1:]

    def per_image(values: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)

    u = per_image(window[:, :1] + (np.arange(width) + 0.5) * (window[:, 2:3] / width))[:, None, :]
    v = per_image(window[:, 1:2] + (np.arange(height) + 0.5) * (window[:, 3:] / height))[:, :, None]
    colours = _surroundings(u, v, light, per_image)

    where = (row >= 0).nonzero(as_tuple=True)
    image = where[0]
    item = row[where].long()
    t, hit_u, hit_v = depth[where], u[image, 0, where[2]], v[image, where[1], 0]
    frame = [ready.columns[k, item] for k in range(9)]
    size = [ready.columns[k, item] for k in range(13, 16)]
    local = [
        t * (frame[3 * k] * hit_u + frame[3 * k + 1] * hit_v + frame[3 * k + 2]) - ready.columns[9 + k, item]
        for k in range(3)
    ]
    normal = _normal(local, size, ready, item)
    # A squeezed frame turns normals by its transpose.
    turned = [frame[c] * normal[0] + frame[3 + c] * normal[1] + frame[6 + c] * normal[2] for c in range(3)]
    inverse = 1.0 / (turned[0] * turned[0] + turned[1] * turned[1] + turned[2] * turned[2]).sqrt().clamp_min(1e-9)
    turned = [n * inverse for n in turned]
    towards, up = per_image(light.towards), per_image(light.up)
    lit = (turned[0] * towards[image, 0] + turned[1] * towards[image, 1] + turned[2] * towards[image, 2]).clamp_min(0.0)
    sky = turned[0] * up[image, 0] + turned[1] * up[image, 1] + turned[2] * up[image, 2]
    ray = (hit_u * hit_u + hit_v * hit_v + 1.0).sqrt()
    facing = -(turned[0] * hit_u + turned[1] * hit_v + turned[2]) / ray
    amount = (
        per_image(light.ambient)[image] * (0.72 + 0.28 * sky) * (0.62 + 0.38 * facing)
        + per_image(light.key)[image] * lit
    )
    values = [ready.material[k, item] for k in range(len(MATERIAL_COLUMNS))]
    for channel, colour in enumerate(albedo(values, *local)):
        colours[channel][where] = colour * amount
    return torch.stack(colours, dim=1)


def _normal(local: list[Tensor], size: list[Tensor], ready: Table, item: Tensor) -> list[Tensor]:
    """Outward normals in the local frame, not normalised: away from the axis for cones, along one axis for boxes."""
    sine, sharp, box = ready.columns[16, item], ready.columns[21, item], ready.columns[23, item] > 0
    axis = torch.minimum(((local[1] - sine * size[0]) * sharp).clamp_min(0.0), size[2])
    share = [(local[k] / size[k]).abs() for k in range(3)]
    x_side = (share[0] >= share[1]) & (share[0] >= share[2])
    y_side = ~x_side & (share[1] >= share[2])
    flat = [x_side, y_side, ~x_side & ~y_side]
    cone = [local[0], local[1] - axis, local[2]]
    return [torch.where(box, torch.where(flat[k], torch.sign(local[k]), 0.0), cone[k]) for k in range(3)]


def _surroundings(u: Tensor, v: Tensor, light: Light, per_image: Callable[[Array], Tensor]) -> list[Tensor]:
    """Ground and wall of every pixel, lit, with the soft shadows of what stands on the ground."""

    def scalar(values: Array) -> Tensor:
        return per_image(values)[:, None, None]

    up = [scalar(light.up[:, k]) for k in range(3)]
    # up . ray is how fast a ray climbs; the camera looks along -z, so (0, -up_z, up_y) . ray is how fast it leaves.
    climb, leave = up[1] * v + up[2], up[2] * v - up[1]
    to_ground = torch.where(climb < -1e-4, -scalar(light.height) / climb, torch.inf)
    to_wall = torch.where(leave > 1e-4, scalar(light.wall) / leave, 1e4)
    on_ground = to_ground < to_wall
    depth = torch.minimum(to_ground, to_wall)
    x = depth * u
    above = scalar(light.height) + depth * climb
    away = depth * leave
    shadow = torch.ones_like(x)
    for k in range(light.shadows.shape[1]):
        middle_x, middle_z, along_x, along_z, length, breadth = (scalar(light.shadows[:, k, c]) for c in range(6))
        off_x, off_z = x - middle_x, -away - middle_z
        ahead = (off_x * along_x + off_z * along_z) / length.clamp_min(1e-3)
        aside = (off_z * along_x - off_x * along_z) / breadth.clamp_min(1e-3)
        dark = (1.0 - ahead * ahead - aside * aside).clamp_min(0.0)
        shadow = shadow * (1.0 - 0.6 * torch.where(breadth > 0, dark, torch.zeros_like(dark)))
    towards = [scalar(light.towards[:, k]) for k in range(3)]
    straight = (up[0] * towards[0] + up[1] * towards[1] + up[2] * towards[2]).clamp_min(0.0)
    back = (up[1] * towards[2] - up[2] * towards[1]).neg().clamp_min(0.0)
    amount_ground = (scalar(light.ambient) + scalar(light.key) * straight) * shadow
    amount_wall = scalar(light.ambient) * 0.8 + scalar(light.key) * back * 0.8
    flat = torch.zeros_like(x)
    full = [
        torch.where(on_ground, scalar(light.ground[:, k]), scalar(light.wall_material[:, k]))
        for k in range(len(MATERIAL_COLUMNS))
    ]
    colours = albedo(full, x, torch.where(on_ground, flat, above), torch.where(on_ground, away, flat))
    amount = torch.where(on_ground, amount_ground, amount_wall)
    return [colour * amount for colour in colours]
