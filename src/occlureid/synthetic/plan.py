"""Which part of the screen meets which primitives, in which order: the lists that ``cast`` works through.

The image is cut into tiles. In every tile, each surface (the cones that melt with nothing, the boxes, and each limb of a body)
is met on its own. What melts into each other is chosen on a grid of twice the width, cell by cell: a tile of a melting surface
takes all the primitives that touch its cell, whether or not they touch the tile itself, but is left out where none of them does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from occlureid.synthetic.primitives import BOX, Array, Primitives
from occlureid.synthetic.rays import SHELL

__all__ = ["TILE", "Meetings", "Plan", "plan_of"]

TILE = 8
"""Pixels along each side of a tile."""

_CELL = 2
"""Tiles along each side of a cell of what melts."""

_NEAR = 0.3
"""Nothing nearer than this, in metres, is drawn."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Meetings:
    """Tiles that meet primitives, those with the most first.

    Attributes:
        tiles: (T,) which tiles.
        items: (P,) primitives: the first of every tile, then the second of the first tiles, which have one, and so on.
        counts: how many tiles have a first, a second, ... primitive; their sum is P.
    """

    tiles: Numbers
    items: Numbers
    counts: Numbers

    def block(self, start: int, stop: int) -> list[Numbers]:
        """The first, second, ... primitives of the tiles from ``start`` to ``stop``, as many as have one."""
        first = np.cumsum(self.counts) - self.counts
        return [
            self.items[begin + start : begin + min(stop, count)]
            for begin, count in zip(first.tolist(), self.counts.tolist(), strict=True)
            if count > start
        ]


@dataclass(frozen=True, slots=True)
class Plan:
    """The places on the screen with anything in them, and the tiles in which their surfaces are met.

    Attributes:
        image, layer, x, y: (C,) of each place: column and row count in tiles and may lie outside of the image.
        cones, boxes, melting: whom the tiles of each kind meet; the tiles are stored in this order, each kind in its own.
        place: (T,) of each stored tile.
        shells: which tiles the grown primitives of what melts touch. shell_place: the place of each of those tiles.
        shell_of: for each tile of ``melting``, which of ``shells`` it is.
        merged: places and their stored tiles; of what is equally near, the earlier wins.
    """

    image: Numbers
    layer: Numbers
    x: Numbers
    y: Numbers
    place: Numbers
    cones: Meetings
    boxes: Meetings
    melting: Meetings
    shells: Meetings
    shell_place: Numbers
    shell_of: Numbers
    merged: Meetings


def _screen_boxes(
    primitives: Primitives, window: Array, size: tuple[int, int]
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """(N, 2) first and (N, 2) last column and row in tiles, and (N,) whether the primitive lies before the camera."""
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
    return first, last, ahead


@dataclass(frozen=True, slots=True)
class _Grid:
    """Which squares of a grid over the screen each of some primitives touches."""

    item: Numbers
    x: Numbers
    y: Numbers


def _touched(first: Numbers, last: Numbers, rows: Numbers) -> _Grid:
    """All squares from first to last (N, 2) columns and rows of the primitives ``rows``."""
    first, last = first[rows], last[rows]
    wide, tall = np.maximum(last - first + 1, 0).T
    count = wide * tall
    row = np.repeat(np.arange(len(rows)), count)
    within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    down, right = np.divmod(within, wide[row])
    return _Grid(rows[row], first[row, 0] + right, first[row, 1] + down)


def _meetings(tile: Numbers, item: Numbers, tiles: int) -> Meetings:
    """From pairs of tiles and primitives; those of one tile keep their order."""
    count = np.bincount(tile, minlength=tiles)
    order = np.argsort(-count, kind="stable")[: int((count > 0).sum())]
    position = np.empty(tiles, dtype=np.int64)
    position[order] = np.arange(len(order))
    place = position[tile]
    by_tile = np.argsort(place, kind="stable")
    first = np.cumsum(count[order]) - count[order]
    rank = np.arange(len(tile)) - np.repeat(first, count[order])
    counts = np.bincount(rank)
    items = np.empty_like(item)
    items[(np.cumsum(counts) - counts)[rank] + place[by_tile]] = item[by_tile]
    return Meetings(order, items, counts)


def plan_of(primitives: Primitives, layer: Numbers, window: Array, size: tuple[int, int]) -> Plan:
    """The plan of a batch; arguments as of ``cast``."""
    pixels = np.array([size[1], size[0]])
    exact_first, exact_last, ahead = _screen_boxes(primitives, window, size)
    # A silhouette beyond four images on any side is not followed.
    limit = 4.0 * (pixels / (TILE * _CELL) + 1)
    first, last = (np.clip(np.floor(a / _CELL), -limit, limit).astype(np.int64) for a in (exact_first, exact_last))
    fine_first = np.clip(exact_first, _CELL * first, _CELL * first + _CELL - 1).astype(np.int64)
    fine_last = np.clip(exact_last, _CELL * last, _CELL * last + _CELL - 1).astype(np.int64)
    inner = layer > 0  # only the target is followed beyond the border
    for low, high, side in ((first, last, TILE * _CELL), (fine_first, fine_last, TILE)):
        squares = -(-pixels // side)
        low[inner], high[inner] = np.clip(low[inner], 0, squares), np.clip(high[inner], -1, squares - 1)

    melts, boxy = primitives.group > 0, primitives.kind == BOX
    surfaces, surface = np.unique(
        np.where(melts, (primitives.owner + 3) * 64 + primitives.group, boxy), return_inverse=True
    )
    kinds = max(len(surfaces), 1)
    reach = 5 * _CELL * (-(-pixels // (TILE * _CELL)) + 2)

    def number(image: Numbers, layer: Numbers, x: Numbers, y: Numbers) -> Numbers:
        """Of each square of a grid; they rise with images, layers, rows and columns."""
        return np.asarray(((image * 2 + layer) * (2 * reach[1]) + y + reach[1]) * (2 * reach[0]) + x + reach[0])

    def of_grid(grid: _Grid) -> Numbers:
        """Of each surface in each square."""
        square = number(primitives.image[grid.item], layer[grid.item], grid.x, grid.y)
        return np.asarray(square * kinds + surface[grid.item])

    fine = _touched(fine_first, fine_last, np.flatnonzero(ahead))
    unique, tile = np.unique(of_grid(fine), return_inverse=True)
    places, place = np.unique(unique // kinds, return_inverse=True)
    rest, x = np.divmod(places, 2 * reach[0])
    rest, y = np.divmod(rest, 2 * reach[1])
    image, x, y = rest // 2, x - reach[0], y - reach[1]

    def meetings(chosen: NDArray[np.bool_]) -> Meetings:
        pairs = chosen[fine.item]
        return _meetings(tile[pairs], fine.item[pairs], len(unique))

    cones, square_ones, shells = meetings(~boxy & ~melts), meetings(boxy), meetings(melts)
    # What melts meets all that touches its cell.
    coarse = _touched(first, last, np.flatnonzero(ahead & melts))
    in_cells = of_grid(coarse)
    by_cell = np.argsort(in_cells, kind="stable")
    cells, begin, count = np.unique(in_cells[by_cell], return_index=True, return_counts=True)
    soft = np.sort(shells.tiles)
    at = place[soft]
    cell = np.searchsorted(
        cells, number(image[at], rest[at] % 2, x[at] // _CELL, y[at] // _CELL) * kinds + unique[soft] % kinds
    )
    row = np.repeat(np.arange(len(soft)), count[cell])
    within = np.arange(len(row)) - np.repeat(np.cumsum(count[cell]) - count[cell], count[cell])
    melting = _meetings(soft[row], coarse.item[by_cell[begin[cell][row] + within]], len(unique))

    # Tiles are stored in the order in which they are worked through.
    order = np.concatenate([cones.tiles, square_ones.tiles, melting.tiles])
    stored = np.empty(len(unique), dtype=np.int64)
    stored[order] = np.arange(len(order))
    merged = _meetings(place, stored, len(places))
    rank = np.empty(len(places), dtype=np.int64)
    rank[merged.tiles] = np.arange(len(places))
    drawn = np.empty(len(unique), dtype=np.int64)
    drawn[shells.tiles] = np.arange(len(shells.tiles))
    return Plan(
        image=image[merged.tiles], layer=rest[merged.tiles] % 2, x=x[merged.tiles], y=y[merged.tiles],
        place=rank[place[order]], cones=cones, boxes=square_ones, shells=shells, melting=melting,
        shell_place=rank[place[shells.tiles]], shell_of=drawn[melting.tiles], merged=merged,
    )  # fmt: skip
