"""Cast shadows: of people and obstacles by a depth map from the light, of buildings by a line, of leaves by a pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from occlureid.synthetic.camera import to_camera
from occlureid.synthetic.cast import cast, table
from occlureid.synthetic.light import Daylight
from occlureid.synthetic.painted import clouds
from occlureid.synthetic.primitives import Array, Primitives

__all__ = ["leaf_pattern", "sunlight"]

_CELLS = 48
"""Cells along each side of a depth map."""

_HALF, _FAR_AWAY = 1.9, 60.0
"""A map covers this many metres on each side of the target, seen from a light this far away."""

_NEARBY, _SMALL = 3.0, 0.045
"""What stands farther from the target, in metres, or is smaller than this on a body, is left out of the map."""

_BIAS = 0.08
"""Metres that something must lie nearer to the light to shade a point: no surface shades itself."""

_TAPS = ((-0.8, -0.3), (0.3, -0.8), (0.8, 0.3), (-0.3, 0.8), (0.45, -0.1), (-0.1, 0.45), (-0.45, -0.6))
"""Where a soft shadow is sampled, in units of its penumbra."""

_LEAVES = 256
"""Cells along each side of the pattern of leaves; each is 4 cm wide."""

_WEAK = 0.35
"""A key light weaker than this share of the sky's casts no shadow that one could see."""


def leaf_pattern() -> Tensor:
    """(256, 256) float32 in [0, 1]: 1 where sun comes through leaves."""
    values = clouds(np.random.default_rng(20), (_LEAVES, _LEAVES), 13, 5)
    return torch.from_numpy(np.clip(0.5 + 1.6 * values, 0.0, 1.0).astype(np.float32))


@dataclass(frozen=True, slots=True)
class _Map:
    """Depths from the light, and the map's axes and place in the world, of some images."""

    depth: Tensor
    axes: Array
    place: Array


def _depth_map(things: Primitives, towards: Array, spot: Array, device: torch.device) -> _Map:
    forward = -towards
    flat = np.maximum(np.sqrt(towards[:, 0] ** 2 + towards[:, 2] ** 2), 1e-6)
    right = np.stack([towards[:, 2] / flat, np.zeros(len(flat)), -towards[:, 0] / flat], axis=1)
    axes = np.stack([right, np.cross(forward, right), forward], axis=1)
    place = np.stack([spot[:, 0], np.full(len(flat), 0.7), spot[:, 1]], axis=1) + towards * _FAR_AWAY
    # Nothing melts in a map this coarse: it would take long and not show.
    seen = replace(to_camera(things, axes, place), group=np.zeros(len(things), dtype=np.int64))
    half = _HALF / _FAR_AWAY
    window = np.tile(np.array([-half, -half, 2 * half, 2 * half]), (len(flat), 1))
    layers = cast(seen, np.ones(len(seen), dtype=np.int64), table(seen, device), window, (_CELLS, _CELLS))
    return _Map(layers.depth[1], axes, place)


def sunlight(
    points: Sequence[Tensor],
    things: Primitives,
    lights: Sequence[Daylight],
    towards: Array,
    spot: Array,
    leaves: Tensor,
) -> Tensor | None:
    """How much of the key light reaches each pixel.

    Args:
        points: x, y, z of the world, each (B, H, W).
        things: people and obstacles, in the world.
        lights: of the B places.
        towards: (B, 3) unit vectors towards the lights, in the world.
        spot: (B, 2) x, z of the targets.
        leaves: of ``leaf_pattern``.

    Returns:
        (B, H, W) in [0, 1], or None where every light is too weak to tell.
    """
    strong = np.array([light.key.mean() > _WEAK * light.sky.mean() for light in lights])
    rows = [int(k) for k in np.flatnonzero(strong)]
    if not rows:
        return None
    device = points[0].device
    number = np.full(len(lights), -1, dtype=np.int64)
    number[rows] = np.arange(len(rows))
    aside = things.origin[:, [0, 2]] - spot[things.image]
    near = (aside * aside).sum(axis=1) < _NEARBY**2
    casting = things[strong[things.image] & near & ((things.owner < 0) | (things.reach.max(axis=1) > _SMALL))]
    casting.image[:] = number[casting.image]
    found = _depth_map(casting, towards[rows], spot[rows], device)
    chosen = torch.tensor(rows, device=device)
    x, y, z = (values[chosen] for values in points)

    def scalar(values: Array) -> Tensor:
        return torch.from_numpy(np.asarray(values, dtype=np.float32)).to(device)[:, None, None]

    reached = _through_map(x, y, z, found, scalar(np.array([lights[k].soft for k in rows])))
    # Down along the light to the ground: there the shadow of a building has an edge and that of leaves a pattern.
    slope = [scalar(towards[rows, axis] / np.maximum(towards[rows, 1], 0.15)) for axis in (0, 2)]
    ground_x, ground_z = x - y * slope[0], z - y * slope[1]
    built, shade = np.array([lights[k].built for k in rows]), np.array([lights[k].leaves for k in rows])
    if (built > 0).any():
        edge = np.stack([lights[k].edge for k in rows])
        beyond = (ground_x - scalar(spot[rows, 0])) * scalar(edge[:, 0]) + (ground_z - scalar(spot[rows, 1])) * scalar(
            edge[:, 1]
        )
        reached = reached * (1.0 - scalar(built) * ((beyond - scalar(edge[:, 2])) * 5.0 + 0.5).clamp(0.0, 1.0))
    if (shade > 0).any():
        reached = reached * (1.0 - scalar(shade) * 2.0 * (1.0 - _pattern(leaves, ground_x, ground_z)).clamp(0.0, 0.5))
    result = torch.ones_like(points[0])
    result[chosen] = reached
    return result


def _pattern(leaves: Tensor, x: Tensor, z: Tensor) -> Tensor:
    """The pattern of leaves at points of the ground, which repeats every ten metres."""
    cell = []
    for value in (x, z):
        place = value * 25.0
        cell.append(place - torch.floor(place * (1.0 / _LEAVES)) * _LEAVES)
    first = [torch.floor(c).clamp(0, _LEAVES - 1) for c in cell]
    share = [c - f for c, f in zip(cell, first, strict=True)]
    column, row = (f.long() for f in first)
    right, below = (column + 1) % _LEAVES, (row + 1) % _LEAVES

    def at(row: Tensor, column: Tensor) -> Tensor:
        return leaves.reshape(-1).index_select(0, (row * _LEAVES + column).reshape(-1)).reshape(row.shape)

    above = at(row, column) * (1.0 - share[0]) + at(row, right) * share[0]
    under = at(below, column) * (1.0 - share[0]) + at(below, right) * share[0]
    return above * (1.0 - share[1]) + under * share[1]


def _through_map(x: Tensor, y: Tensor, z: Tensor, found: _Map, soft: Tensor) -> Tensor:
    """The share of the light that comes past people and obstacles; soft far behind them, sharp close by."""
    device = x.device

    def scalar(values: Array) -> Tensor:
        return torch.from_numpy(np.asarray(values, dtype=np.float32)).to(device)[:, None, None]

    place, axes = found.place, found.axes
    off = [x - scalar(place[:, 0]), y - scalar(place[:, 1]), z - scalar(place[:, 2])]
    right, down, depth = (
        off[0] * scalar(axes[:, k, 0]) + off[1] * scalar(axes[:, k, 1]) + off[2] * scalar(axes[:, k, 2])
        for k in range(3)
    )
    scale = _CELLS * _FAR_AWAY / (2 * _HALF)
    column, row = right / depth * scale + _CELLS / 2, down / depth * scale + _CELLS / 2
    image = torch.arange(len(x), device=device)[:, None, None] * (_CELLS * _CELLS)
    flat = found.depth.reshape(-1)

    def nearest(right: Tensor, down: Tensor) -> Tensor:
        inside = (right >= 0) & (right < _CELLS) & (down >= 0) & (down < _CELLS)
        index = image + down.long().clamp(0, _CELLS - 1) * _CELLS + right.long().clamp(0, _CELLS - 1)
        return torch.where(inside, flat.index_select(0, index.reshape(-1)).reshape(index.shape), torch.inf)

    first = nearest(column, row)
    # The farther what shades a point, the wider the rim of its shadow.
    gap = torch.where(torch.isfinite(first), depth - first, torch.full_like(depth, 0.8)).clamp(0.0, 3.0)
    rim = (gap * soft * (_CELLS / (2 * _HALF))).clamp(1.0, 9.0)
    limit = depth - _BIAS
    lit = (first >= limit).float()
    for across, along in _TAPS:
        lit = lit + (nearest(column + rim * across, row + rim * along) >= limit).float()
    return lit * (1.0 / (1 + len(_TAPS)))
