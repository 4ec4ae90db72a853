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

from occlureid.synthetic.picked import picked
from occlureid.synthetic.rays import Table, cone_depth, replace_where_negative

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

    def part(self, at: slice) -> _Near:
        """The same of some of the points (M,)."""
        x, y, z = (values[at] for values in self.offset)
        dx, dy, dz = (values[at] for values in self.direction)
        return _Near(self.weight[at], self.power[at], self.pull[at], (x, y, z), (dx, dy, dz))


def _near(columns: Tensor, inverse: Tensor, u: Tensor, v: Tensor, depth: Tensor) -> _Near:
    m00, m01, m02, m10, m11, m12, m20, m21, m22, k0, k1, k2 = columns[:12]
    dx, dy, dz = m00 * u + (m01 * v + m02), m10 * u + (m11 * v + m12), m20 * u + (m21 * v + m22)
    x, y, z = (depth * dx).sub_(k0), (depth * dy).sub_(k1), (depth * dz).sub_(k2)
    across = (x * x).add_(z * z)
    # The nearest sphere of the round cone has its centre where the perpendicular of the slanted side meets the axis.
    axis = across.sqrt().mul_(columns[18]).neg_().add_(y).clamp_min_(0.0)
    torch.minimum(axis, columns[15], out=axis)
    y.sub_(axis)
    away = across.add_(y * y).sqrt_().clamp_min_(1e-6)
    weight = (1.0 - (away - columns[13]).add_(axis.mul_(columns[16])).mul_(inverse)).clamp_min_(0.0)
    square = weight * weight
    pull = (square * weight).mul_(inverse).div_(away)
    return _Near(weight, square.mul_(square), pull, (x, y, z), (dx, dy, dz))


def melt(ready: Table, ranks: list[Tensor], u: Tensor, v: Tensor, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The smooth surfaces of tiles.

    Args:
        ready: the primitives.
        ranks: the first primitive of every tile, (n,); the second of the first tiles, which have one; and so on.
        u: (1, T, n) slopes of the rays to the right.
        v: (T, 1, n) slopes downwards.
        start: (T, T, n) depth at which the rays meet the first of the grown primitives (``Table.shell``), inf for none.

    Returns:
        Depth (T, T, n), inf where a ray misses; the nearest primitive (T, T, n) int32, any where a ray misses; and the
        normal (3, T, T, n) in the camera frame, of any length.
    """
    reached = start < torch.inf
    start = torch.where(reached, start, 1.0)
    total, slope = torch.zeros_like(start), torch.zeros_like(start)
    for items in ranks:
        n = len(items)
        near = _near(
            ready.columns.index_select(1, items),
            ready.inverse.index_select(0, items),
            u[..., :n],
            v[..., :n],
            start[..., :n],
        )
        total[..., :n] += near.power
        (x, y, z), (dx, dy, dz) = near.offset, near.direction
        slope[..., :n] += x.mul_(dx).add_(y.mul_(dy)).add_(z.mul_(dz)).mul_(near.pull)
    root = _fourth_root(total)
    field, slope = 1.0 - root, slope / (root * root * root)
    step = (-field / slope.clamp_max(-1e-3)).clamp(-_FARTHEST_STEP, _FARTHEST_STEP)
    point = start + step

    smooth = _Smooth(ready, point)
    for items in ranks:
        n = len(items)
        smooth.add(items, u[..., :n], v[..., :n])
    field_there, slope_there = smooth.field(u, v)
    # A parabola through both slopes and the last value: its least value says whether the ray goes through.
    bend = (slope_there - slope) / torch.where(step.abs() < 1e-5, 1e-5, step)
    square = slope_there * slope_there - 2.0 * bend * field_there
    depth_of_root = square.clamp_min(0.0).sqrt()
    entering = 2.0 * field_there / (depth_of_root - slope_there).clamp_min(1e-6)
    turning = (-slope_there - depth_of_root) / bend.clamp_min(1e-6)
    further = torch.where(slope_there <= 0, entering, turning)
    hit = reached & (further.abs() <= _FARTHEST_ROOT)
    hit &= (field_there <= 0) | ((square >= 0) & ((slope_there < 0) | (bend > 0)))
    depth = torch.where(hit, point + further, torch.inf)
    _second_look(ready, ranks, u, v, reached & ~hit, depth, smooth.row, smooth.normal)
    return depth, smooth.row, smooth.normal


def _fourth_root(total: Tensor) -> Tensor:
    """At least 0.01. A root of 0 takes many times as long as any other, so nothing is left at 0."""
    return total.clamp_min(1e-12).sqrt_().sqrt_().clamp_min_(1e-2)


class _Smooth:
    """The field, its gradient and the nearest primitive at one point of each ray, gathered primitive by primitive."""

    def __init__(self, ready: Table, point: Tensor) -> None:
        self.ready = ready
        self.point = point
        self.total = torch.zeros_like(point)
        self.most = torch.zeros_like(point)
        self.row = torch.full(point.shape, -1, dtype=torch.int32, device=point.device)
        self.normal = torch.zeros((3, *point.shape), device=point.device)

    def add(self, items: Tensor, u: Tensor, v: Tensor) -> None:
        """Counts one primitive for each of the first (along the last axis) of the rays."""
        columns, n = self.ready.columns.index_select(1, items), len(items)
        self.count(items, columns, _near(columns, self.ready.inverse.index_select(0, items), u, v, self.point[..., :n]))

    def count(self, items: Tensor, columns: Tensor, near: _Near) -> None:
        """Counts what is found near one primitive of each of the first rays."""
        n = len(items)
        self.total[..., :n] += near.power
        x, y, z = near.offset
        for k in range(3):
            self.normal[k, ..., :n] += (
                (columns[k] * x).add_(columns[3 + k] * y).add_(columns[6 + k] * z).mul_(near.pull)
            )
        most, row = self.most[..., :n], self.row[..., :n]
        replace_where_negative(row, items.int(), most - near.weight)
        torch.maximum(near.weight, most, out=most)

    def field(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """F, and how it changes with the depth."""
        root = _fourth_root(self.total)
        slope = self.normal[0] * u + self.normal[1] * v + self.normal[2]
        return 1.0 - root, slope / (root * root * root)


def _second_look(
    ready: Table, ranks: list[Tensor], u: Tensor, v: Tensor, lost: Tensor, depth: Tensor, row: Tensor, normal: Tensor
) -> None:
    """Rays that passed by the nearest grown primitive may meet the surface farther on; fills in what they meet."""
    side, tiles = lost.shape[0], lost.shape[-1]
    ray = picked(lost.reshape(-1, tiles).t().contiguous())  # tile by tile: the first tiles have the most primitives
    tile, pixel = ray // (side * side), ray % (side * side)
    across, height = u[0, pixel % side, tile], v[pixel // side, 0, tile]
    # The ranks of so few rays go through the arithmetic together.
    counts, items = _of_rays(ranks, tile)
    found = cone_depth(ready.columns.index_select(1, items), _first(across, counts), _first(height, counts))
    plain = torch.full_like(across, torch.inf)
    for n, one in zip(counts, torch.split(found, counts), strict=True):
        torch.minimum(plain[:n], one, out=plain[:n])
    kept = picked(plain < torch.inf)
    tile, pixel, plain, across, height = (a.index_select(0, kept) for a in (tile, pixel, plain, across, height))
    counts, items = _of_rays(ranks, tile)
    columns = ready.columns.index_select(1, items)
    near = _near(
        columns, ready.inverse.index_select(0, items),
        _first(across, counts), _first(height, counts), _first(plain, counts),
    )  # fmt: skip
    smooth, start = _Smooth(ready, plain), 0
    for n in counts:
        at = slice(start, start + n)
        smooth.count(items[at], columns[:, at], near.part(at))
        start += n
    field, slope = smooth.field(across, height)
    outward = (-field / slope.clamp_max(-1e-3)).clamp(-_FARTHEST_ROOT, 0.0)
    depth[pixel // side, pixel % side, tile] = plain + outward
    row[pixel // side, pixel % side, tile] = smooth.row
    normal[:, pixel // side, pixel % side, tile] = smooth.normal


def _of_rays(ranks: list[Tensor], tile: Tensor) -> tuple[list[int], Tensor]:
    """How many rays, sorted by tile, have a first, a second, ... primitive, and those primitives one after the other."""
    counts = [int((tile < len(items)).sum()) for items in ranks]
    return counts, torch.cat([items.index_select(0, tile[:n]) for items, n in zip(ranks, counts, strict=True)])


def _first(values: Tensor, counts: list[int]) -> Tensor:
    """The first values, as many as each count says, one after the other."""
    return torch.cat([values[:n] for n in counts])
