"""From what the rays met to linear light: cloth, ground and walls in the light of the camera."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from occlureid.synthetic.background import Atlas
from occlureid.synthetic.cast import Table
from occlureid.synthetic.light import Light
from occlureid.synthetic.lit import lit, spots_at
from occlureid.synthetic.picked import picked
from occlureid.synthetic.primitives import Array
from occlureid.synthetic.view import View, per_image, view_of

__all__ = ["View", "shade", "view_of"]

_TAPS = ((0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0), (0.6, 0.6), (0.6, -0.6), (-0.6, 0.6), (-0.6, -0.6), (0.25, 0.35),
         (-0.35, 0.25), (-0.25, -0.35), (0.35, -0.25))  # fmt: skip
"""Where the surroundings of a pixel are looked at for what darkens it, in units of the reach."""

_REACH = 0.045
"""How far that is, as a share of the image's height: about eight centimetres at the target."""

_POINTS = 1 << 15
"""Pixels on primitives that are lit at once on a CPU: few enough for the intermediate results to stay in its caches."""


def shade(
    row: Tensor, normal: Tensor, ready: Table, light: Light, view: View, sun: Tensor | None, atlas: Atlas
) -> Tensor:
    """Linear colours of every pixel.

    Args:
        row: (B, H, W) the primitive that is nearest, -1 where only ground and wall are.
        normal: (3, B, H, W) its normal as in ``Layers``: 0 where the primitive's own shape tells it.
        ready: the primitives.
        light: the surroundings.
        view: of ``view_of``.
        sun: (B, H, W) how much of the key light comes through, None for all of it.
        atlas: the backdrops of the cameras.

    Returns:
        (B, 3, H, W) linear light, before the camera's sensor.
    """
    corner = _corners(view.depth, light.occlusion) if light.occlusion > 0 else None
    colours = _surroundings(light, view, sun, corner, atlas)
    met = picked(row >= 0)
    for at in torch.split(met, _POINTS if row.device.type == "cpu" else max(len(met), 1)):
        spots = spots_at(at, row, view)
        for colour, there in zip(colours, lit(spots, normal, ready, light, view, sun, corner), strict=True):
            colour.view(-1).scatter_(0, at, there)
    return torch.stack(colours, dim=1)


def _corners(depth: Tensor, strength: float) -> Tensor:
    """Darkness of corners: a pixel that neighbours a little nearer to the camera is shut off from some of the sky.

    Args:
        depth: (B, H, W).
        strength: in [0, 1].

    Returns:
        (B, H, W) factor of the ambient light, at most 1.
    """
    reach = max(2.0, _REACH * depth.shape[1])
    total = torch.zeros_like(depth)
    height, width = depth.shape[1:]
    for right, down in _TAPS:
        x, y = round(right * reach), round(down * reach)
        rows, columns = slice(max(0, -y), height - max(0, y)), slice(max(0, -x), width - max(0, x))
        there = slice(max(0, y), height - max(0, -y)), slice(max(0, x), width - max(0, -x))
        step = depth[:, rows, columns] - depth[:, there[0], there[1]]
        # What is much nearer is another thing far before, not a neighbour that darkens.
        total[:, rows, columns] += (step * 6.0 - 0.2).clamp(0.0, 1.0) - (step * 1.5 - 0.5).clamp(0.0, 1.0)
    return 1.0 - (0.75 * strength / len(_TAPS)) * total


def _contact(light: Light, view: View) -> Tensor:
    """(B, H, W) factor of the ambient light on the ground, which is dark where feet stand."""
    ready = per_image(view.x.device)
    contact = torch.ones_like(view.x)
    for k in range(light.feet.shape[1] if light.occlusion > 0 else 0):
        some = np.flatnonzero(light.feet[:, k, 4] > 0)  # the images with as many people
        at = torch.from_numpy(some).to(view.x.device)
        left_x, left_z, right_x, right_z, weight = ready(light.feet[some, k].T)[:, :, None, None]
        step_x, step_z = right_x - left_x, right_z - left_z
        off_x, off_z = view.x.index_select(0, at) - left_x, view.z.index_select(0, at) - left_z
        along = ((off_x * step_x + off_z * step_z) / (step_x * step_x + step_z * step_z + 1e-6)).clamp_(0.0, 1.0)
        off_x, off_z = off_x.sub_(along * step_x), off_z.sub_(along * step_z)
        far = off_x.mul_(off_x).add_(off_z.mul_(off_z))
        dark = 0.40 * (1.0 - far * 28.0).clamp_min_(0.0) + 0.30 * (1.0 - far * 2.6).clamp_min_(0.0)
        contact.index_copy_(0, at, contact.index_select(0, at) * (1.0 - light.occlusion * weight * dark))
    return contact


def _surroundings(light: Light, view: View, sun: Tensor | None, corner: Tensor | None, atlas: Atlas) -> list[Tensor]:
    """Ground and wall of every pixel, lit."""
    ready = per_image(view.x.device)

    def scalar(values: Array) -> Tensor:
        return ready(values)[:, None, None]

    camera = torch.from_numpy(light.camera).to(view.x.device)[:, None, None]
    across = torch.where(view.ground, view.x, view.beyond)
    colours = atlas.colours(camera, view.ground, across, torch.where(view.ground, -view.z, view.y))
    contact = torch.where(view.ground, _contact(light, view), 1.0)
    if corner is not None:
        contact = contact * corner
    towards = [scalar(light.towards[:, k]) for k in range(3)]
    up = [scalar(light.up[:, k]) for k in range(3)]
    straight = (up[0] * towards[0] + up[1] * towards[1] + up[2] * towards[2]).clamp_min(0.0)
    # The wall looks back at the camera, turned a little.
    cos, sin = scalar(light.wall[:, 1]), scalar(light.wall[:, 2])
    back = ((up[2] * towards[1] - up[1] * towards[2]).neg() * cos - towards[0] * sin).clamp_min(0.0)
    direct = torch.where(view.ground, straight, back)
    if sun is not None:
        direct = direct * sun
    clear = 1.0 / (1.0 + scalar(light.haze) * 0.01 * view.behind)
    result = []
    for channel, colour in enumerate(colours):
        above, below, key = (scalar(values[:, channel]) for values in (light.sky, light.bounce, light.key))
        ambient = torch.where(view.ground, above, 0.5 * (above + below))
        amount = colour * (ambient * contact + key * direct)
        result.append(amount * clear + above * (1.0 - clear))
    return result
