"""Bodies and obstacles in the light: the colours of the pixels that see a primitive."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from occlureid.synthetic.light import Light
from occlureid.synthetic.pattern import surface
from occlureid.synthetic.primitives import Array
from occlureid.synthetic.rays import Table
from occlureid.synthetic.view import View

__all__ = ["Spots", "lit", "spots_at"]


class Spots(NamedTuple):
    """Some of the pixels that see a primitive: which, whose, and where on it; (P,) each.

    Attributes:
        at: places in a (B, H, W) picture. image: of each. item: its primitive.
        t, u, v: depth and slopes of the ray. footprint: the width of a pixel there, in metres.
    """

    at: Tensor
    image: Tensor
    item: Tensor
    t: Tensor
    u: Tensor
    v: Tensor
    footprint: Tensor

    def of(self, picture: Tensor) -> Tensor:
        """The values (P,) of a picture (B, H, W)."""
        return picture.reshape(-1).index_select(0, self.at)

    def each(self, values: Array) -> tuple[Tensor, ...]:
        """The values (P,) of the images, column by column of (B, C)."""
        columns = torch.from_numpy(np.ascontiguousarray(values.T, dtype=np.float32)).to(self.at.device)
        return columns.index_select(1, self.image).unbind()


def spots_at(at: Tensor, row: Tensor, view: View) -> Spots:
    """The spots at some places of the picture of rows (B, H, W)."""
    height, width = row.shape[1:]
    line = at // width
    image = line // height
    t = view.depth.reshape(-1).index_select(0, at)
    pixel = (view.u[:, 0, 1] - view.u[:, 0, 0]).index_select(0, image)
    return Spots(
        at=at,
        image=image,
        item=row.reshape(-1).index_select(0, at).long(),
        t=t,
        u=view.u.reshape(-1).index_select(0, image * width + at % width),
        v=view.v.reshape(-1).index_select(0, line),
        footprint=t * pixel,
    )


def lit(
    spots: Spots, normal: Tensor, ready: Table, light: Light, view: View, sun: Tensor | None, corner: Tensor | None
) -> list[Tensor]:
    """Linear red, green and blue of spots, (P,) each."""
    item, t, u, v = spots.item, spots.t, spots.u, spots.v
    columns = ready.columns.index_select(1, item)
    frame = columns[:9]
    local = [t * (frame[3 * k] * u + frame[3 * k + 1] * v + frame[3 * k + 2]) - columns[9 + k] for k in range(3)]
    own = _normal(local, columns)
    # A squeezed frame turns normals by its transpose. Melted surfaces come with a normal of their own.
    given = normal.reshape(3, -1).index_select(1, spots.at)
    melted = (given[0] != 0) | (given[1] != 0) | (given[2] != 0)
    turned = [
        torch.where(melted, given[c], frame[c] * own[0] + frame[3 + c] * own[1] + frame[6 + c] * own[2])
        for c in range(3)
    ]
    turned = _unit(turned)
    painted, bump = surface(ready.material, item, local, spots.footprint)
    # The relief of cloth bends the normal, and turns with the frame as it does.
    turned = _unit([turned[c] + frame[c] * bump[0] + frame[3 + c] * bump[1] + frame[6 + c] * bump[2] for c in range(3)])
    towards, up = spots.each(light.towards), spots.each(light.up)
    direct = (turned[0] * towards[0] + turned[1] * towards[1] + turned[2] * towards[2]).clamp_min(0.0)
    sky = turned[0] * up[0] + turned[1] * up[1] + turned[2] * up[2]
    ray = (u * u + v * v + 1.0).sqrt()
    facing = -(turned[0] * u + turned[1] * v + turned[2]) / ray
    open_sky = (0.5 + 0.5 * sky) * (0.80 + 0.20 * facing)
    closed = _inner(spots, light, view, turned, up, ready) if light.occlusion > 0 else None
    if corner is not None and closed is not None:
        closed = closed * spots.of(corner)
    if sun is not None:
        direct = direct * spots.of(sun)
    clear = 1.0 / (1.0 + spots.each(light.haze[:, None])[0] * 0.01 * t)
    result = []
    for colour, key, high, low in zip(
        painted, spots.each(light.key), spots.each(light.sky), spots.each(light.bounce), strict=True
    ):
        ambient = low + (high - low) * open_sky
        if closed is not None:
            ambient = ambient * closed
        amount = colour * (ambient + key * direct)
        result.append(amount * clear + high * (1.0 - clear))
    return result


def _unit(vector: list[Tensor]) -> list[Tensor]:
    inverse = 1.0 / (vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2]).sqrt().clamp_min(1e-9)
    return [n * inverse for n in vector]


def _inner(
    spots: Spots, light: Light, view: View, turned: list[Tensor], up: tuple[Tensor, ...], ready: Table
) -> Tensor:
    """Ambient light on bodies: less where they face their own axis (inner legs, inner arms), downwards, and near the ground."""
    owner = ready.owner.index_select(0, spots.item)
    axes = torch.from_numpy(np.ascontiguousarray(light.axis.reshape(-1, 2).T, dtype=np.float32)).to(owner.device)
    axis = axes.index_select(1, spots.image * light.axis.shape[1] + owner.clamp_min(0))
    x, z = spots.of(view.x) - axis[0], spots.of(view.z) - axis[1]
    # In the world, right is the camera's right; away from the camera is minus z.
    back = turned[1] * up[2] - turned[2] * up[1]
    inward = -(x * turned[0] - z * back) / (x * x + z * z + 0.01).sqrt()
    dark = 0.42 * inward.clamp(0.0, 1.0) + 0.22 * (1.0 - spots.of(view.y) * 2.2).clamp(0.0, 1.0)
    return torch.where(owner >= 0, 1.0 - light.occlusion * dark, 1.0)


def _normal(local: list[Tensor], columns: Tensor) -> list[Tensor]:
    """Outward normals in the local frame, not normalised: away from the axis for cones, along one axis for boxes."""
    size, sine, sharp, box = columns[13:16], columns[16], columns[21], columns[23] > 0
    axis = torch.minimum(((local[1] - sine * size[0]) * sharp).clamp_min(0.0), size[2])
    share = [(local[k] / size[k]).abs() for k in range(3)]
    x_side = (share[0] >= share[1]) & (share[0] >= share[2])
    y_side = ~x_side & (share[1] >= share[2])
    flat = [x_side, y_side, ~x_side & ~y_side]
    cone = [local[0], local[1] - axis, local[2]]
    return [torch.where(box, torch.where(flat[k], torch.sign(local[k]), 0.0), cone[k]) for k in range(3)]
