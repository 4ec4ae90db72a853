"""From what the rays met to linear light: cloth, ground and walls in the light of the camera."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from occlureid.synthetic.background import Atlas
from occlureid.synthetic.cast import Table
from occlureid.synthetic.light import Light
from occlureid.synthetic.pattern import surface
from occlureid.synthetic.primitives import Array

__all__ = ["View", "shade", "view_of"]

_TAPS = ((0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0), (0.6, 0.6), (0.6, -0.6), (-0.6, 0.6), (-0.6, -0.6), (0.25, 0.35),
         (-0.35, 0.25), (-0.25, -0.35), (0.35, -0.25))  # fmt: skip
"""Where the surroundings of a pixel are looked at for what darkens it, in units of the reach."""

_REACH = 0.045
"""How far that is, as a share of the image's height: about eight centimetres at the target."""


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


def _per_image(device: torch.device) -> Callable[[Array], Tensor]:
    return lambda values: torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)


def view_of(depth: Tensor, light: Light, window: Array) -> View:
    """Where the rays end.

    Args:
        depth: (B, H, W) the nearest of all layers, inf where only the surroundings are.
        light: the surroundings.
        window: (B, 4) as in ``cast``.
    """
    per_image = _per_image(depth.device)
    height, width = depth.shape[1:]
    u = per_image(window[:, :1] + (np.arange(width) + 0.5) * (window[:, 2:3] / width))[:, None, :]
    v = per_image(window[:, 1:2] + (np.arange(height) + 0.5) * (window[:, 3:] / height))[:, :, None]

    def scalar(values: Array) -> Tensor:
        return per_image(values)[:, None, None]

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
    per_image = _per_image(row.device)
    corner = _corners(view.depth, light.occlusion) if light.occlusion > 0 else None
    colours = _surroundings(light, view, sun, corner, atlas, per_image)

    where = (row >= 0).nonzero(as_tuple=True)
    image = where[0]
    item = row[where].long()
    t, hit_u, hit_v = view.depth[where], view.u[image, 0, where[2]], view.v[image, where[1], 0]
    frame = [ready.columns[k, item] for k in range(9)]
    size = [ready.columns[k, item] for k in range(13, 16)]
    local = [
        t * (frame[3 * k] * hit_u + frame[3 * k + 1] * hit_v + frame[3 * k + 2]) - ready.columns[9 + k, item]
        for k in range(3)
    ]
    own = _normal(local, size, ready, item)
    # A squeezed frame turns normals by its transpose. Melted surfaces come with a normal of their own.
    given = [normal[c][where] for c in range(3)]
    melted = (given[0] != 0) | (given[1] != 0) | (given[2] != 0)
    turned = [
        torch.where(melted, given[c], frame[c] * own[0] + frame[3 + c] * own[1] + frame[6 + c] * own[2])
        for c in range(3)
    ]
    inverse = 1.0 / (turned[0] * turned[0] + turned[1] * turned[1] + turned[2] * turned[2]).sqrt().clamp_min(1e-9)
    turned = [n * inverse for n in turned]
    footprint = t * (view.u[:, 0, 1] - view.u[:, 0, 0])[image]
    painted, bump = surface(ready.material, item, local, footprint)
    # The relief of cloth bends the normal, and turns with the frame as it does.
    turned = [turned[c] + frame[c] * bump[0] + frame[3 + c] * bump[1] + frame[6 + c] * bump[2] for c in range(3)]
    inverse = 1.0 / (turned[0] * turned[0] + turned[1] * turned[1] + turned[2] * turned[2]).sqrt().clamp_min(1e-9)
    turned = [n * inverse for n in turned]
    towards, up = per_image(light.towards), per_image(light.up)
    lit = (turned[0] * towards[image, 0] + turned[1] * towards[image, 1] + turned[2] * towards[image, 2]).clamp_min(0.0)
    sky = turned[0] * up[image, 0] + turned[1] * up[image, 1] + turned[2] * up[image, 2]
    ray = (hit_u * hit_u + hit_v * hit_v + 1.0).sqrt()
    facing = -(turned[0] * hit_u + turned[1] * hit_v + turned[2]) / ray
    open_sky = (0.5 + 0.5 * sky) * (0.80 + 0.20 * facing)
    closed = _inner(light, view, turned, where, ready, item, per_image) if light.occlusion > 0 else None
    if corner is not None and closed is not None:
        closed = closed * corner[where]
    if sun is not None:
        lit = lit * sun[where]
    key, above, below = per_image(light.key), per_image(light.sky), per_image(light.bounce)
    clear = _clear(t, light, image, per_image)
    for channel, colour in enumerate(painted):
        low, high = below[image, channel], above[image, channel]
        ambient = low + (high - low) * open_sky
        if closed is not None:
            ambient = ambient * closed
        amount = colour * (ambient + key[image, channel] * lit)
        colours[channel][where] = amount * clear + high * (1.0 - clear)
    return torch.stack(colours, dim=1)


def _clear(depth: Tensor, light: Light, image: Tensor, per_image: Callable[[Array], Tensor]) -> Tensor:
    """The share of the light that the air between lets through."""
    return 1.0 / (1.0 + per_image(light.haze)[image] * 0.01 * depth)


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


def _inner(
    light: Light,
    view: View,
    turned: list[Tensor],
    where: tuple[Tensor, ...],
    ready: Table,
    item: Tensor,
    per_image: Callable[[Array], Tensor],
) -> Tensor:
    """Ambient light on bodies: less where they face their own axis (inner legs, inner arms), downwards, and near the ground."""
    owner = ready.owner[item]
    body = owner >= 0
    axis = per_image(light.axis)[where[0], owner.clamp_min(0)]
    x, z = view.x[where] - axis[:, 0], view.z[where] - axis[:, 1]
    # In the world, right is the camera's right; away from the camera is minus z.
    up = per_image(light.up)[where[0]]
    back = turned[1] * up[:, 2] - turned[2] * up[:, 1]
    inward = -(x * turned[0] - z * back) / (x * x + z * z + 0.01).sqrt()
    dark = 0.42 * inward.clamp(0.0, 1.0) + 0.22 * (1.0 - view.y[where] * 2.2).clamp(0.0, 1.0)
    return torch.where(body, 1.0 - light.occlusion * dark, 1.0)


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


def _surroundings(
    light: Light,
    view: View,
    sun: Tensor | None,
    corner: Tensor | None,
    atlas: Atlas,
    per_image: Callable[[Array], Tensor],
) -> list[Tensor]:
    """Ground and wall of every pixel, lit, dark where feet stand."""

    def scalar(values: Array) -> Tensor:
        return per_image(values)[:, None, None]

    camera = torch.from_numpy(light.camera).to(view.x.device)[:, None, None]
    across = torch.where(view.ground, view.x, view.beyond)
    colours = atlas.colours(camera, view.ground, across, torch.where(view.ground, -view.z, view.y))
    contact = torch.ones_like(view.x)
    for k in range(light.feet.shape[1] if light.occlusion > 0 else 0):
        left_x, left_z, right_x, right_z, weight = (scalar(light.feet[:, k, c]) for c in range(5))
        step_x, step_z = right_x - left_x, right_z - left_z
        off_x, off_z = view.x - left_x, view.z - left_z
        along = ((off_x * step_x + off_z * step_z) / (step_x * step_x + step_z * step_z + 1e-6)).clamp(0.0, 1.0)
        off_x, off_z = off_x - along * step_x, off_z - along * step_z
        far = off_x * off_x + off_z * off_z
        dark = 0.40 * (1.0 - far * 28.0).clamp_min(0.0) + 0.30 * (1.0 - far * 2.6).clamp_min(0.0)
        contact = contact * (1.0 - light.occlusion * weight * dark)
    contact = torch.where(view.ground, contact, torch.ones_like(contact))
    if corner is not None:
        contact = contact * corner
    towards = [scalar(light.towards[:, k]) for k in range(3)]
    up = [scalar(light.up[:, k]) for k in range(3)]
    straight = (up[0] * towards[0] + up[1] * towards[1] + up[2] * towards[2]).clamp_min(0.0)
    # The wall looks back at the camera, turned a little.
    cos, sin = scalar(light.wall[:, 1]), scalar(light.wall[:, 2])
    back = ((up[2] * towards[1] - up[1] * towards[2]).neg() * cos - towards[0] * sin).clamp_min(0.0)
    lit = torch.where(view.ground, straight, back)
    if sun is not None:
        lit = lit * sun
    clear = 1.0 / (1.0 + scalar(light.haze) * 0.01 * view.behind)
    result = []
    for channel, colour in enumerate(colours):
        above, below, key = (scalar(values[:, channel]) for values in (light.sky, light.bounce, light.key))
        ambient = torch.where(view.ground, above, 0.5 * (above + below))
        amount = colour * (ambient * contact + key * lit)
        result.append(amount * clear + above * (1.0 - clear))
    return result
