"""Rays against primitives: for every pixel and layer, the nearest depth and the primitive that it belongs to.

The image is cut into cells of pixels. In every cell, each surface (a body's limb, or all that melts with nothing) has a tile of
its own: the primitives whose boxes on the screen touch the cell. All tiles meet their first primitive at once, then their
second, and so on, keeping the nearest; tiles of bodies are then melted (``surface``), and the tiles of a cell are merged. Each
pixel goes through the same additions, products, quotients and roots whatever else is in the batch, and no sum runs over a
batch: the result of an image is the same to the last bit in any company.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlureid.synthetic.primitives import BOX, Array, Primitives
from occlureid.synthetic.rays import SHELL, Table, box_depth, cone_depth, table
from occlureid.synthetic.surface import melt

__all__ = ["TILE", "Layers", "Table", "cast", "table"]

TILE = 16
"""Pixels along each side of a tile."""

_BLOCK = 768
"""Tiles that are met at once on a CPU: few enough for the intermediate results to stay in its caches."""

_NEAR = 0.3
"""Nothing nearer than this, in metres, is drawn."""


@dataclass(frozen=True, slots=True)
class Layers:
    """What the rays met.

    Attributes:
        depth: (L, B, H, W) metres along the optical axis, inf where nothing is.
        row: (L, B, H, W) int32 row of the primitive, -1 where nothing is.
        normal: (3, B, H, W) outward normal of the nearest surface of all layers in the camera frame, not of unit length; 0
            where nothing is, and where the primitive melts with nothing: its own shape tells the normal.
        outside: (B, P) int64 pixels of each label of layer 0 beyond the border of the image (P = 8).
        window: (B, 4) as given.
    """

    depth: Tensor
    row: Tensor
    normal: Tensor
    outside: Tensor
    window: Array


def _screen_boxes(
    primitives: Primitives, window: Array, size: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(N, 4) first and last tile column, first and last tile row; and (N,) whether the primitive lies before the camera."""
    axis = np.where((primitives.kind == BOX)[:, None], 0.0, primitives.frame[:, 1] * primitives.size[:, 2:])
    ends = np.stack([primitives.origin, primitives.origin + axis], axis=1)
    # A melted surface bulges beyond its primitives; the factor of the squeeze is that of the reach.
    melts = primitives.group > 0
    widest = np.where(melts, primitives.reach[:, 0] / primitives.size[:, 0], 1.0)
    bulge = np.where(melts, SHELL * primitives.blend * widest, 0.0)
    reaches = primitives.reach + bulge[:, None]
    depth = ends[..., 2] - reaches
    ahead = np.asarray((depth > _NEAR).all(axis=1), dtype=np.bool_)
    depth = np.maximum(depth, _NEAR)
    slope = ends[..., :2] / np.maximum(ends[..., 2:], _NEAR)
    # A sphere's outline reaches beyond radius / depth by the obliqueness of its direction.
    reach = reaches / depth * (1.0 + (slope * slope).sum(axis=-1))
    low, high = (slope - reach[..., None]).min(axis=1), (slope + reach[..., None]).max(axis=1)
    view = window[primitives.image]
    pixels = np.array([size[1], size[0]])
    first = np.floor((low - view[:, :2]) / view[:, 2:] * pixels / TILE)
    last = np.floor((high - view[:, :2]) / view[:, 2:] * pixels / TILE)
    limit = 4.0 * (pixels / TILE + 1)  # a silhouette beyond four images on any side is not followed
    first, last = np.clip(first, -limit, limit), np.clip(last, -limit, limit)
    return np.stack([first[:, 0], last[:, 0], first[:, 1], last[:, 1]], axis=1).astype(np.int64), ahead


@dataclass(frozen=True, slots=True)
class _Meetings:
    """Which tile meets which primitive, in which order.

    Attributes:
        tiles: (T,) the tiles that have such a primitive, those with the most first.
        ranks: the first primitive of every tile, the second of the first tiles, which have one, ...
    """

    tiles: NDArray[np.int64]
    ranks: list[NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """The cells with anything in them, and the tiles in which their surfaces are met."""

    cell_image: NDArray[np.int64]
    cell_layer: NDArray[np.int64]
    cell_x: NDArray[np.int64]
    cell_y: NDArray[np.int64]
    tile_cell: NDArray[np.int64]
    cones: _Meetings
    boxes: _Meetings
    melting: _Meetings


def _meetings(tile: NDArray[np.int64], item: NDArray[np.int64], tiles: int) -> _Meetings:
    count = np.bincount(tile, minlength=tiles)
    order = np.argsort(-count, kind="stable")[: int((count > 0).sum())]
    position = np.empty(tiles, dtype=np.int64)
    position[order] = np.arange(len(order))
    sorted_by_tile = np.argsort(position[tile], kind="stable")
    first = np.cumsum(count[order]) - count[order]
    rank = np.arange(len(tile)) - np.repeat(first, count[order])
    by_rank = sorted_by_tile[np.argsort(rank, kind="stable")]
    return _Meetings(order, np.split(item[by_rank], np.cumsum(np.bincount(rank))[:-1]) if len(tile) else [])


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
    cell = ((primitives.image[item] * 2 + layer[item]) * (2 * reach_y) + y + reach_y) * (2 * reach_x) + x + reach_x
    melts = primitives.group > 0
    surfaces, surface = np.unique(
        np.where(melts, (primitives.owner + 3) * 64 + primitives.group, 0), return_inverse=True
    )
    unique, tile = np.unique(cell * len(surfaces) + surface[item], return_inverse=True)
    cells, tile_cell = np.unique(unique // max(len(surfaces), 1), return_inverse=True)
    rest, cell_x = np.divmod(cells, 2 * reach_x)
    rest, cell_y = np.divmod(rest, 2 * reach_y)

    def meetings(chosen: NDArray[np.bool_]) -> _Meetings:
        return _meetings(tile[chosen[item]], item[chosen[item]], len(unique))

    boxy = primitives.kind == BOX
    return _Plan(
        rest // 2, rest % 2, cell_x - reach_x, cell_y - reach_y, tile_cell,
        meetings(~boxy & ~melts), meetings(boxy), meetings(melts),
    )  # fmt: skip


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
    count = len(plan.tile_cell)
    view = window[plan.cell_image]
    step = np.stack([view[:, 2] / size[1], view[:, 3] / size[0]], axis=1)
    inside = np.arange(TILE) + 0.5
    u = view[:, :1] + (plan.cell_x[:, None] * TILE + inside) * step[:, :1]
    v = view[:, 1:2] + (plan.cell_y[:, None] * TILE + inside) * step[:, 1:]
    u_rays = torch.from_numpy(u.astype(np.float32)).to(device)
    v_rays = torch.from_numpy(v.astype(np.float32)).to(device)

    depth = torch.full((count, TILE, TILE), torch.inf, device=device)
    row = torch.full((count, TILE, TILE), -1, dtype=torch.int32, device=device)
    normal = torch.zeros((3, count, TILE, TILE), device=device)
    block = _BLOCK if device.type == "cpu" else 1 << 15
    for meetings, meet in ((plan.cones, cone_depth), (plan.boxes, box_depth), (plan.melting, None)):
        for start in range(0, len(meetings.tiles), block):
            chosen = meetings.tiles[start : start + block]
            tiles = torch.from_numpy(chosen).to(device)
            items = [
                torch.from_numpy(rank[start : start + block]).to(device) for rank in meetings.ranks if len(rank) > start
            ]
            cells = torch.from_numpy(plan.tile_cell[chosen]).to(device)
            across, down = u_rays[cells][:, None, :], v_rays[cells][:, :, None]
            if meet is None:
                depth[tiles], row[tiles], normal[:, tiles] = melt(ready, items, across, down)
                continue
            best, best_row = depth[tiles], row[tiles]
            for rank in items:
                n = len(rank)
                found = meet(ready.columns[:, rank, None, None], across[:n], down[:n])
                nearer = found < best[:n]
                best_row[:n] = torch.where(nearer, rank.to(torch.int32)[:, None, None], best_row[:n])
                torch.minimum(best[:n], found, out=best[:n])
            depth[tiles], row[tiles] = best, best_row
    return _assemble(plan, depth, row, normal, ready, window, size)


def _merge(plan: _Plan, depth: Tensor) -> tuple[Tensor, Tensor]:
    """(C, TILE, TILE) nearest depth of the tiles of each cell, and the tile that it comes from."""
    device, cells = depth.device, len(plan.cell_image)
    order = np.argsort(plan.tile_cell, kind="stable")
    ordered = plan.tile_cell[order]
    start = np.r_[True, ordered[1:] != ordered[:-1]] if len(order) else np.zeros(0, dtype=bool)
    rank = np.arange(len(order)) - np.maximum.accumulate(np.where(start, np.arange(len(order)), 0))
    nearest = torch.full((cells, TILE, TILE), torch.inf, device=device)
    source = torch.zeros((cells, TILE, TILE), dtype=torch.int32, device=device)
    for k in range(int(rank.max()) + 1 if len(rank) else 0):
        tile = torch.from_numpy(order[rank == k]).to(device)
        cell = torch.from_numpy(ordered[rank == k]).to(device)
        found, best = depth[tile], nearest[cell]
        source[cell] = torch.where(found < best, tile.to(torch.int32)[:, None, None], source[cell])
        nearest[cell] = torch.minimum(found, best)
    return nearest, source


def _assemble(
    plan: _Plan, depth: Tensor, row: Tensor, normal: Tensor, ready: Table, window: Array, size: tuple[int, int]
) -> Layers:
    """Tiles to images; what lies beyond the border is only counted."""
    device, images = depth.device, len(window)
    columns, rows = -(-size[1] // TILE), -(-size[0] // TILE)
    cell_x, cell_y = torch.from_numpy(plan.cell_x).to(device), torch.from_numpy(plan.cell_y).to(device)
    cell_image, cell_layer = torch.from_numpy(plan.cell_image).to(device), torch.from_numpy(plan.cell_layer).to(device)
    nearest, source = _merge(plan, depth)
    # Where each pixel's values lie among those of all tiles; one place more, for nothing, comes last.
    pixel = torch.arange(TILE * TILE, dtype=torch.int32, device=device).reshape(TILE, TILE)
    place = torch.where(torch.isfinite(nearest), source * (TILE * TILE) + pixel, row.numel())
    rows_of = torch.cat([row.reshape(-1), row.new_full((1,), -1)])

    # Pixels of the target beyond the border: whole cells outside, and the parts of the last cells that the image cuts.
    steps = torch.arange(TILE, device=device)
    x, y = cell_x[:, None] * TILE + steps, cell_y[:, None] * TILE + steps
    beyond = ((x < 0) | (x >= size[1]))[:, None, :] | ((y < 0) | (y >= size[0]))[:, :, None]
    counted = beyond & torch.isfinite(nearest) & (cell_layer == 0)[:, None, None]
    where = counted.nonzero(as_tuple=True)
    label = ready.label[rows_of[place[where].long()].long()]
    outside = torch.bincount(cell_image[where[0]] * 8 + label, minlength=images * 8).reshape(images, 8)

    kept = ((cell_x >= 0) & (cell_x < columns) & (cell_y >= 0) & (cell_y < rows)).nonzero()[:, 0]
    slot = ((cell_layer[kept] * images + cell_image[kept]) * rows + cell_y[kept]) * columns + cell_x[kept]

    def picture(values: Tensor, fill: float) -> Tensor:
        flat = torch.full((2 * images * rows * columns, TILE, TILE), fill, dtype=values.dtype, device=device)
        flat[slot] = values[kept]
        whole = flat.reshape(2, images, rows, columns, TILE, TILE).transpose(3, 4)
        return whole.reshape(2, images, rows * TILE, columns * TILE)[:, :, : size[0], : size[1]]

    depths, places = picture(nearest, torch.inf), picture(place, row.numel())
    front = torch.where(depths[0] < depths[1], places[0], places[1]).long()
    normals = torch.cat([normal.reshape(3, -1), normal.new_zeros((3, 1))], dim=1)
    return Layers(depths, rows_of[places.long()], normals[:, front], outside, window)
