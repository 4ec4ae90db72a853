"""Round cones that melt into each other: the smooth skin over the primitives of one surface.

With the distance f_i of a point to primitive i and how far k_i that one melts, w_i = max(0, 1 - f_i / k_i), and the surface is
where F = 1 - (sum_i w_i^4)^(1/4) vanishes. Near one primitive alone that is its own surface; where two are equally near, the
surface bulges by 0.16 k; and all the way the normal, along sum_i w_i^3 grad w_i, turns without a crease.

A ray starts where it meets the primitives grown by the greatest bulge. A Newton step brings it near the surface, a parabola
through what was found at both places says whether, and where, it goes through. A ray that does not may still meet a
primitive farther on: that is looked up exactly, so that the smooth outline contains the plain one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from occlureid.synthetic.rays import Table, cone_depth

__all__ = ["melt"]

_FARTHEST_STEP = 0.08
"""Metres that a ray goes on at most from the grown primitives: about half a chord of a grown trunk at its outline."""

_FARTHEST_ROOT = 0.04
"""Metres from where the parabola was fitted to where it is believed."""


class _Near(NamedTuple):
    """What is found at points on rays near one primitive each, in the primitive's local frame."""

    weight: Tensor
    power: Tensor
    """weight^4."""
    pull: Tensor
    """weight^3 / (k * distance from the axis): turns the offset into weight^3 times gradient."""
    offset: tuple[Tensor, Tensor, Tensor]
    direction: tuple[Tensor, Tensor, Tensor]


def _near(columns: Tensor, inverse: Tensor, u: Tensor, v: Tensor, depth: Tensor) -> _Near:
    m00, m01, m02, m10, m11, m12, m20, m21, m22, k0, k1, k2 = columns[:12]
    dx, dy, dz = m00 * u + (m01 * v + m02), m10 * u + (m11 * v + m12), m20 * u + (m21 * v + m22)
    x, y, z = depth * dx - k0, depth * dy - k1, depth * dz - k2
    across = x * x + z * z
    # The nearest sphere of the round cone has its centre where the perpendicular of the slanted side meets the axis.
    axis = torch.minimum((y - columns[18] * across.sqrt()).clamp_min(0.0), columns[15])
    y = y - axis
    away = (across + y * y).sqrt().clamp_min(1e-6)
    weight = (1.0 - (away - columns[13] + columns[16] * axis) * inverse).clamp_min(0.0)
    square = weight * weight
    return _Near(weight, square * square, square * weight * inverse / away, (x, y, z), (dx, dy, dz))


def melt(ready: Table, ranks: list[Tensor], u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The smooth surfaces of tiles.

    Args:
        ready: the primitives.
        ranks: the first primitive of every tile, (n,); the second of the first tiles, which have one; and so on.
        u: (n, 1, T) slopes of the rays to the right.
        v: (n, T, 1) slopes downwards.

    Returns:
        Depth (n, T, T), inf where a ray misses; the nearest primitive (n, T, T) int32, -1 where a ray misses; and the
        normal (3, n, T, T) in the camera frame, of any length, 0 where a ray misses.
    """
    start = torch.full((len(u), v.shape[1], u.shape[2]), torch.inf, device=u.device)
    for items in ranks:
        n = len(items)
        found = cone_depth(ready.shell[:, items, None, None], u[:n], v[:n])
        torch.minimum(start[:n], found, out=start[:n])
    reached = torch.isfinite(start)
    start = torch.where(reached, start, 1.0)

    total, slope = torch.zeros_like(start), torch.zeros_like(start)
    for items in ranks:
        n = len(items)
        near = _near(ready.columns[:, items, None, None], ready.inverse[items, None, None], u[:n], v[:n], start[:n])
        total[:n] += near.power
        (x, y, z), (dx, dy, dz) = near.offset, near.direction
        slope[:n] += near.pull * (x * dx + y * dy + z * dz)
    root = total.sqrt().sqrt().clamp_min(1e-2)
    field, slope = 1.0 - root, slope / (root * root * root)
    step = (-field / slope.clamp_max(-1e-3)).clamp(-_FARTHEST_STEP, _FARTHEST_STEP)
    point = start + step

    smooth = _Smooth(ready, point)
    for items in ranks:
        n = len(items)
        smooth.add(items, slice(0, n), u[:n], v[:n])
    field_there, slope_there = smooth.field(u, v)
    # A parabola through both slopes and the last value: its least value says whether the ray goes through.
    bend = (slope_there - slope) / torch.where(step.abs() < 1e-5, torch.full_like(step, 1e-5), step)
    square = slope_there * slope_there - 2.0 * bend * field_there
    depth_of_root = square.clamp_min(0.0).sqrt()
    entering = 2.0 * field_there / (depth_of_root - slope_there).clamp_min(1e-6)
    turning = (-slope_there - depth_of_root) / bend.clamp_min(1e-6)
    further = torch.where(slope_there <= 0, entering, turning)
    hit = reached & (further.abs() <= _FARTHEST_ROOT)
    hit &= (field_there <= 0) | ((square >= 0) & ((slope_there < 0) | (bend > 0)))
    depth = torch.where(hit, point + further, torch.inf)
    row = torch.where(hit, smooth.row, -1)
    normal = torch.where(hit, smooth.normal, 0.0)
    _second_look(ready, ranks, u, v, reached & ~hit, depth, row, normal)
    return depth, row, normal


class _Smooth:
    """The field, its gradient and the nearest primitive at one point of each ray, gathered primitive by primitive."""

    def __init__(self, ready: Table, point: Tensor) -> None:
        self.ready = ready
        self.point = point
        self.total = torch.zeros_like(point)
        self.most = torch.zeros_like(point)
        self.row = torch.full(point.shape, -1, dtype=torch.int32, device=point.device)
        self.normal = torch.zeros((3, *point.shape), device=point.device)

    def add(self, items: Tensor, at: slice | Tensor, u: Tensor, v: Tensor) -> None:
        """Counts one primitive for each of some rays: a slice of tiles, or the rows of single rays."""
        spread = (None,) * (self.point.ndim - 1)
        columns = self.ready.columns[(slice(None), items, *spread)]
        near = _near(columns, self.ready.inverse[(items, *spread)], u, v, self.point[at])
        self.total[at] += near.power
        x, y, z = near.offset
        for k in range(3):
            self.normal[k, at] += near.pull * (columns[k] * x + columns[3 + k] * y + columns[6 + k] * z)
        nearer = near.weight > self.most[at]
        self.row[at] = torch.where(nearer, items.to(torch.int32)[(slice(None), *spread)], self.row[at])
        self.most[at] = torch.maximum(near.weight, self.most[at])

    def field(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """F, and how it changes with the depth."""
        root = self.total.sqrt().sqrt().clamp_min(1e-2)
        slope = self.normal[0] * u + self.normal[1] * v + self.normal[2]
        return 1.0 - root, slope / (root * root * root)


def _second_look(
    ready: Table, ranks: list[Tensor], u: Tensor, v: Tensor, lost: Tensor, depth: Tensor, row: Tensor, normal: Tensor
) -> None:
    """Rays that passed by the nearest grown primitive may meet the surface farther on; fills in what they meet."""
    tile, down, right = lost.nonzero(as_tuple=True)
    across, height = u[tile, 0, right], v[tile, down, 0]
    plain = torch.full_like(across, torch.inf)
    for items in ranks:
        at = (tile < len(items)).nonzero()[:, 0]
        found = cone_depth(ready.columns[:, items[tile[at]]], across[at], height[at])
        plain[at] = torch.minimum(plain[at], found)
    kept = torch.isfinite(plain)
    tile, down, right, plain, across, height = (a[kept] for a in (tile, down, right, plain, across, height))
    smooth = _Smooth(ready, plain)
    for items in ranks:
        at = (tile < len(items)).nonzero()[:, 0]
        smooth.add(items[tile[at]], at, across[at], height[at])
    field, slope = smooth.field(across, height)
    outward = (-field / slope.clamp_max(-1e-3)).clamp(-_FARTHEST_ROOT, 0.0)
    depth[tile, down, right] = plain + outward
    row[tile, down, right] = smooth.row
    normal[:, tile, down, right] = smooth.normal
