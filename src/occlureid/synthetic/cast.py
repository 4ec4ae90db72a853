"""Rays against primitives: for every pixel and layer, the nearest depth and the primitive that it belongs to.

The image is cut into tiles. Every primitive is listed in the tiles that its box on the screen touches; then all tiles meet
their first primitive at once, then their second, and so on, keeping the nearest. Each pixel goes through the same additions,
products, quotients and roots whatever else is in the batch, and no sum runs over a batch: the result of an image is the
same to the last bit in any company.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlureid.synthetic.primitives import BOX, OPEN_CONE, Array, Primitives

__all__ = ["TILE", "Layers", "Table", "cast", "table"]

TILE = 16
"""Pixels along each side of a tile."""

_BLOCK = 768
"""Tiles that are met at once on a CPU: few enough for the intermediate results to stay in its caches."""

_NEAR = 0.3
"""Nothing nearer than this, in metres, is drawn."""


@dataclass(frozen=True, slots=True)
class Table:
    """Primitives in the camera frame as float32 columns on the device that renders.

    Attributes:
        columns: (24, N): the frame (9), frame @ origin (3), depth of the origin, size (3), slope sine, 1 / cosine,
            sine / cosine, contact range low and high, 1 / squared cosine, and whether open.
        material: (M, N).
        label: (N,) int64.
    """

    columns: Tensor
    material: Tensor
    label: Tensor


def table(primitives: Primitives, device: torch.device | str) -> Table:
    """The primitives, in the camera frame, ready for rays."""
    frame, origin, size = primitives.frame, primitives.origin, primitives.size
    moved = [
        frame[:, r, 0] * origin[:, 0] + frame[:, r, 1] * origin[:, 1] + frame[:, r, 2] * origin[:, 2] for r in range(3)
    ]
    sine = (size[:, 0] - size[:, 1]) / size[:, 2]
    box = primitives.kind == BOX
    sine = np.where(box, 0.0, sine)
    cosine = np.sqrt(1.0 - sine * sine)
    columns = [
        *(frame[:, r, c] for r in range(3) for c in range(3)), *moved, origin[:, 2], *(size[:, k] for k in range(3)),
        sine, 1.0 / cosine, sine / cosine, sine * size[:, 0], size[:, 2] + sine * size[:, 1], 1.0 / (cosine * cosine),
        primitives.kind == OPEN_CONE, box,
    ]  # fmt: skip
    return Table(
        columns=torch.from_numpy(np.stack(columns).astype(np.float32)).to(device),
        material=torch.from_numpy(np.ascontiguousarray(primitives.material.T, dtype=np.float32)).to(device),
        label=torch.from_numpy(primitives.label).to(device),
    )


@dataclass(frozen=True, slots=True)
class Layers:
    """What the rays met.

    Attributes:
        depth: (L, B, H, W) metres along the optical axis, inf where nothing is.
        row: (L, B, H, W) int32 row of the primitive, -1 where nothing is.
        outside: (B, P) int64 pixels of each label of layer 0 beyond the border of the image (P = 8).
    """

    depth: Tensor
    row: Tensor
    outside: Tensor


def _screen_boxes(
    primitives: Primitives, window: Array, size: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(N, 4) first and last tile column, first and last tile row; and (N,) whether the primitive lies before the camera."""
    axis = np.where((primitives.kind == BOX)[:, None], 0.0, primitives.frame[:, 1] * primitives.size[:, 2:])
    ends = np.stack([primitives.origin, primitives.origin + axis], axis=1)
    depth = ends[..., 2] - primitives.reach
    ahead = np.asarray((depth > _NEAR).all(axis=1), dtype=np.bool_)
    depth = np.maximum(depth, _NEAR)
    slope = ends[..., :2] / np.maximum(ends[..., 2:], _NEAR)
    # A sphere's outline reaches beyond radius / depth by the obliqueness of its direction.
    reach = primitives.reach / depth * (1.0 + (slope * slope).sum(axis=-1))
    low, high = (slope - reach[..., None]).min(axis=1), (slope + reach[..., None]).max(axis=1)
    view = window[primitives.image]
    pixels = np.array([size[1], size[0]])
    first = np.floor((low - view[:, :2]) / view[:, 2:] * pixels / TILE)
    last = np.floor((high - view[:, :2]) / view[:, 2:] * pixels / TILE)
    limit = 4.0 * (pixels / TILE + 1)  # a silhouette beyond four images on any side is not followed
    first, last = np.clip(first, -limit, limit), np.clip(last, -limit, limit)
    return np.stack([first[:, 0], last[:, 0], first[:, 1], last[:, 1]], axis=1).astype(np.int64), ahead


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which tile meets which primitive, in which order."""

    tile_image: NDArray[np.int64]
    tile_layer: NDArray[np.int64]
    tile_x: NDArray[np.int64]
    tile_y: NDArray[np.int64]
    rounds: list[tuple[bool, NDArray[np.int64], NDArray[np.int64]]]
    """Whether boxes; tile rows, each at most once; primitive rows."""


def _plan(primitives: Primitives, layer: NDArray[np.int64], window: Array, size: tuple[int, int]) -> _Plan:
    span, ahead = _screen_boxes(primitives, window, size)
    columns, rows = -(-size[1] // TILE), -(-size[0] // TILE)
    inner = layer > 0  # only the target is followed beyond the border
    span[inner, :2] = np.clip(span[inner, :2], (0, -1), (columns, columns - 1))
    span[inner, 2:] = np.clip(span[inner, 2:], (0, -1), (rows, rows - 1))
    wide, tall = np.maximum(span[:, 1] - span[:, 0] + 1, 0), np.maximum(span[:, 3] - span[:, 2] + 1, 0)
    count = np.where(ahead, wide * tall, 0)
    item = np.repeat(np.arange(len(primitives)), count)
    within = np.arange(len(item)) - np.repeat(np.cumsum(count) - count, count)
    x, y = span[item, 0] + within % wide[item], span[item, 2] + within // wide[item]
    reach_x, reach_y = 5 * (columns + 2), 5 * (rows + 2)
    key = ((primitives.image[item] * 2 + layer[item]) * (2 * reach_y) + y + reach_y) * (2 * reach_x) + x + reach_x
    unique, tile = np.unique(key, return_inverse=True)
    rest, tile_x = np.divmod(unique, 2 * reach_x)
    rest, tile_y = np.divmod(rest, 2 * reach_y)
    rounds = []
    for boxy in (False, True):
        chosen = np.flatnonzero((primitives.kind[item] == BOX) == boxy)
        chosen = chosen[np.argsort(tile[chosen], kind="stable")]
        tiles = tile[chosen]
        start = np.r_[True, tiles[1:] != tiles[:-1]] if len(tiles) else np.zeros(0, dtype=bool)
        rank = np.arange(len(tiles)) - np.maximum.accumulate(np.where(start, np.arange(len(tiles)), 0))
        order = np.argsort(rank, kind="stable")
        for block in np.split(chosen[order], np.cumsum(np.bincount(rank))[:-1] if len(rank) else []):
            if len(block):
                rounds.append((boxy, tile[block], item[block]))
    return _Plan(rest // 2, rest % 2, tile_x - reach_x, tile_y - reach_y, rounds)


def _cone_depth(columns: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Depth at which rays meet round cones.

    Args:
        columns: (24, n, 1, 1) of ``Table``.
        u: (n, 1, T) slopes to the right.
        v: (n, T, 1) slopes downwards.

    Returns:
        (n, T, T), inf where a ray misses.
    """
    (m00, m01, m02, m10, m11, m12, m20, m21, m22, k0, k1, k2, near, radius_a, radius_b, length,
     _, secant, tangent, contact_low, contact_high, _, is_open, _) = columns  # fmt: skip
    dx, dy, dz = m00 * u + (m01 * v + m02), m10 * u + (m11 * v + m12), m20 * u + (m21 * v + m22)
    # Rays are followed from the depth of the cone's origin, which keeps float32 exact enough at any distance.
    ox = (near * m00) * u + ((near * m01) * v + (near * m02 - k0))
    oy = (near * m10) * u + ((near * m11) * v + (near * m12 - k1))
    oz = (near * m20) * u + ((near * m21) * v + (near * m22 - k2))
    a = dx * dx + dz * dz
    b = ox * dx + oz * dz
    c = ox * ox + oz * oz
    # The slanted side: distance from the axis = (radius_a - sine * y) / cosine.
    gap, rate = radius_a * secant - tangent * oy, tangent * dy
    side_a, side_b, side_c = a - rate * rate, b + gap * rate, c - gap * gap
    root = side_b * side_b - side_a * side_c
    depth = (-side_b - root.clamp_min(0.0).sqrt()) / side_a
    y = oy + depth * dy
    far = torch.full_like(depth, torch.inf)
    depth = torch.where((root >= 0) & (side_a > 0) & (y >= contact_low) & (y <= contact_high), depth, far)
    # The two end spheres.
    full_a, full_b = a + dy * dy, b + oy * dy
    full_c = c + oy * oy
    root = full_b * full_b - full_a * (full_c - radius_a * radius_a)
    ball = (-full_b - root.clamp_min(0.0).sqrt()) / full_a
    closed = is_open == 0
    depth = torch.where((root >= 0) & closed & (ball < depth), ball, depth)
    end_b = full_b - length * dy
    end_c = full_c - (2.0 * length) * oy + (length * length - radius_b * radius_b)
    root = end_b * end_b - full_a * end_c
    ball = (-end_b - root.clamp_min(0.0).sqrt()) / full_a
    depth = torch.where((root >= 0) & closed & (ball < depth), ball, depth)
    return depth.add(near)


def _box_depth(columns: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Depth at which rays meet boxes; shapes as in ``_cone_depth``."""
    enter, leave = torch.full_like(u + v, -torch.inf), torch.full_like(u + v, torch.inf)
    for axis in range(3):
        m0, m1, m2 = columns[3 * axis], columns[3 * axis + 1], columns[3 * axis + 2]
        direction = m0 * u + (m1 * v + m2)
        direction = torch.where(direction.abs() < 1e-9, torch.full_like(direction, 1e-9), direction)
        inverse = 1.0 / direction
        middle, half = columns[9 + axis] * inverse, columns[13 + axis] * inverse.abs()
        enter = torch.maximum(enter, middle - half)
        leave = torch.minimum(leave, middle + half)
    return torch.where((enter <= leave) & (enter > 0), enter, torch.full_like(enter, torch.inf))


def cast(
    primitives: Primitives, layer: NDArray[np.int64], ready: Table, window: Array, size: tuple[int, int]
) -> Layers:
    """Casts one ray through every pixel of every image.

    Args:
        primitives: in the camera frame.
        layer: (N,) 0 for the target, 1 for all else; the two are kept apart, so that it is known what hides what.
        ready: ``table(primitives, device)``.
        window: (B, 4) left, top, width, height of each image in slopes.
        size: (H, W) in pixels.

    Returns:
        The nearest primitive of each layer; see ``Layers``.
    """
    device = ready.columns.device
    plan = _plan(primitives, layer, window, size)
    count, images = len(plan.tile_image), len(window)
    view = window[plan.tile_image]
    step = np.stack([view[:, 2] / size[1], view[:, 3] / size[0]], axis=1)
    inside = np.arange(TILE) + 0.5
    u = view[:, :1] + (plan.tile_x[:, None] * TILE + inside) * step[:, :1]
    v = view[:, 1:2] + (plan.tile_y[:, None] * TILE + inside) * step[:, 1:]
    u_rays = torch.from_numpy(u.astype(np.float32)).to(device)
    v_rays = torch.from_numpy(v.astype(np.float32)).to(device)

    depth = torch.full((count, TILE, TILE), torch.inf, device=device)
    row = torch.full((count, TILE, TILE), -1, dtype=torch.int32, device=device)
    block = _BLOCK if device.type == "cpu" else 1 << 15
    for boxy, tiles_of_round, items_of_round in plan.rounds:
        meet = _box_depth if boxy else _cone_depth
        for start in range(0, len(tiles_of_round), block):
            tiles = torch.from_numpy(tiles_of_round[start : start + block]).to(device)
            items = torch.from_numpy(items_of_round[start : start + block]).to(device)
            found = meet(ready.columns[:, items, None, None], u_rays[tiles][:, None, :], v_rays[tiles][:, :, None])
            best = depth[tiles]
            nearer = found < best
            depth[tiles] = torch.where(nearer, found, best)
            row[tiles] = torch.where(nearer, items.to(torch.int32)[:, None, None], row[tiles])
    return _assemble(plan, depth, row, ready, images, size)


def _assemble(plan: _Plan, depth: Tensor, row: Tensor, ready: Table, images: int, size: tuple[int, int]) -> Layers:
    """Tiles to images; what lies beyond the border is only counted."""
    device = depth.device
    columns, rows = -(-size[1] // TILE), -(-size[0] // TILE)
    tile_x, tile_y = torch.from_numpy(plan.tile_x).to(device), torch.from_numpy(plan.tile_y).to(device)
    tile_image, tile_layer = torch.from_numpy(plan.tile_image).to(device), torch.from_numpy(plan.tile_layer).to(device)

    # Pixels of the target beyond the border: whole tiles outside, and the parts of the last tiles that the image cuts.
    steps = torch.arange(TILE, device=device)
    x, y = tile_x[:, None] * TILE + steps, tile_y[:, None] * TILE + steps
    beyond = ((x < 0) | (x >= size[1]))[:, None, :] | ((y < 0) | (y >= size[0]))[:, :, None]
    counted = beyond & (row >= 0) & (tile_layer == 0)[:, None, None]
    where = counted.nonzero(as_tuple=True)
    label = ready.label[row[where].long()]
    outside = torch.bincount(tile_image[where[0]] * 8 + label, minlength=images * 8).reshape(images, 8)

    kept = ((tile_x >= 0) & (tile_x < columns) & (tile_y >= 0) & (tile_y < rows)).nonzero()[:, 0]
    slot = ((tile_layer[kept] * images + tile_image[kept]) * rows + tile_y[kept]) * columns + tile_x[kept]

    def picture(values: Tensor, fill: float) -> Tensor:
        flat = torch.full((2 * images * rows * columns, TILE, TILE), fill, dtype=values.dtype, device=device)
        flat[slot] = values[kept]
        whole = flat.reshape(2, images, rows, columns, TILE, TILE).transpose(3, 4)
        return whole.reshape(2, images, rows * TILE, columns * TILE)[:, :, : size[0], : size[1]]

    return Layers(picture(depth, torch.inf), picture(row, -1), outside)
