"""Rays against primitives: for every pixel and layer, the nearest depth and the primitive that it belongs to.

What meets what is planned tile by tile (``plan``). Many tiles meet a primitive each at once and keep the nearest; tiles of
bodies are then melted (``surface``), and the tiles of a place on the screen are merged. Tiles lie along the last axis, so that
all of the arithmetic runs along long rows. Each pixel goes through the same additions, products, quotients and roots whatever
else is in the batch, and no sum runs over a batch: the result of an image is the same to the last bit in any company.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlureid.synthetic.plan import TILE, Meetings, Plan, plan_of
from occlureid.synthetic.primitives import Array, Primitives
from occlureid.synthetic.rays import Table, box_depth, cone_depth, replace_where_negative, table
from occlureid.synthetic.surface import melt

__all__ = ["Layers", "Table", "cast", "table"]

_BLOCK = 2048
"""Tiles that are met at once on a CPU: few enough for the intermediate results to stay in its caches."""

_PIXELS = TILE * TILE

_Meet = Callable[[Tensor, Tensor, Tensor], Tensor]


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
    plan = plan_of(primitives, layer, window, size)
    return _assemble(plan, _meet_all(plan, _Rays(plan, ready, window, size), ready), ready, window, size)


@dataclass(frozen=True, slots=True)
class _Tiles:
    """What was met in T tiles.

    Attributes:
        depth: (T, 64). row: (T, 64) int32, of the primitive; anything where nothing was met.
        normal: (3, M, 64) of the melted tiles, which come last.
    """

    depth: Tensor
    row: Tensor
    normal: Tensor


class _Rays:
    """The rays of all places of a plan, and what is met in blocks of tiles."""

    def __init__(self, plan: Plan, ready: Table, window: Array, size: tuple[int, int]) -> None:
        self.device = ready.columns.device
        self.block = _BLOCK if self.device.type == "cpu" else 1 << 15
        view = window[plan.image]
        inside = np.arange(TILE)[:, None] + 0.5
        u = view[:, 0] + (plan.x * TILE + inside) * (view[:, 2] / size[1])
        v = view[:, 1] + (plan.y * TILE + inside) * (view[:, 3] / size[0])
        self._u, self._v = (torch.from_numpy(slope.astype(np.float32)).to(self.device) for slope in (u, v))

    def blocks(
        self, meetings: Meetings, places: NDArray[np.int64]
    ) -> Iterator[tuple[slice, list[Tensor], Tensor, Tensor]]:
        """Some tiles at a time: which, their primitives rank by rank, and the slopes of their rays.

        Args:
            meetings: of n tiles.
            places: (n,) of each tile.
        """
        for start in range(0, len(places), self.block):
            stop = min(start + self.block, len(places))
            at = torch.from_numpy(places[start:stop]).to(self.device)
            across, down = self._u.index_select(1, at)[None, :, :], self._v.index_select(1, at)[:, None, :]
            yield slice(start, stop), _on(meetings.block(start, stop), self.device), across, down

    def found(
        self, meet: _Meet, columns: Tensor, ranks: list[Tensor], u: Tensor, v: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """For each rank its n primitives, and the depths (TILE, TILE, n) at which the first n tiles meet them.

        As many of the short last ranks as fit go through the arithmetic together.
        """
        while ranks:
            sizes = np.cumsum([len(items) for items in ranks])
            some = max(1, int(np.searchsorted(sizes, self.block, side="right")))
            together, ranks = ranks[:some], ranks[some:]
            pieces = [len(items) for items in together]
            across, down = (
                a if pieces == [a.shape[-1]] else torch.cat([a[..., :n] for n in pieces], dim=-1) for a in (u, v)
            )
            met = meet(columns.index_select(1, torch.cat(together)), across, down)
            yield from zip(together, torch.split(met, pieces, dim=-1), strict=True)


def _meet_all(plan: Plan, rays: _Rays, ready: Table) -> _Tiles:
    """Sends the rays through all tiles."""
    device = rays.device
    depth = torch.empty((len(plan.place), _PIXELS), device=device)
    row = torch.empty(depth.shape, dtype=torch.int32, device=device)
    first = 0
    for meetings, meet in ((plan.cones, cone_depth), (plan.boxes, box_depth)):
        last = first + len(meetings.tiles)
        for at, ranks, u, v in rays.blocks(meetings, plan.place[first:last]):
            best = torch.full((TILE, TILE, u.shape[-1]), torch.inf, device=device)
            best_row = torch.empty(best.shape, dtype=torch.int32, device=device)
            for items, found in rays.found(meet, ready.columns, ranks, u, v):
                nearest, rows = best[..., : len(items)], best_row[..., : len(items)]
                replace_where_negative(rows, items.int(), found - nearest)
                torch.minimum(nearest, found, out=nearest)
            _store(depth[first:last], best, at)
            _store(row[first:last], best_row, at)
        first = last

    start = torch.empty((len(plan.shells.tiles), _PIXELS), device=device)
    for at, ranks, u, v in rays.blocks(plan.shells, plan.shell_place):
        best = torch.full((TILE, TILE, u.shape[-1]), torch.inf, device=device)
        for items, found in rays.found(cone_depth, ready.shell, ranks, u, v):
            torch.minimum(best[..., : len(items)], found, out=best[..., : len(items)])
        _store(start, best, at)
    normal = torch.empty((3, *start.shape), device=device)
    for at, ranks, u, v in rays.blocks(plan.melting, plan.place[first:]):
        begun = start.index_select(0, torch.from_numpy(plan.shell_of[at]).to(device))
        melted = melt(ready, ranks, u, v, begun.t().contiguous().reshape(TILE, TILE, -1))
        _store(depth[first:], melted[0], at)
        _store(row[first:], melted[1], at)
        for axis in range(3):
            _store(normal[axis], melted[2][axis], at)
    return _Tiles(depth, row, normal)


def _on(ranks: Sequence[NDArray[np.int64]], device: torch.device) -> list[Tensor]:
    return [torch.from_numpy(items).to(device) for items in ranks]


def _store(into: Tensor, values: Tensor, at: slice) -> None:
    """Copies (TILE, TILE, n) to n rows."""
    into[at] = values.reshape(_PIXELS, -1).t()


def _merge(plan: Plan, depth: Tensor) -> tuple[Tensor, Tensor]:
    """(C, 64) nearest depth of the tiles of each place, and the tile that it comes from."""
    shape = (len(plan.image), _PIXELS)
    nearest = torch.full(shape, torch.inf, device=depth.device)
    source = torch.zeros(shape, dtype=torch.int32, device=depth.device)
    for tile in _on(plan.merged.block(0, len(nearest)), depth.device):
        found, best, origin = depth.index_select(0, tile), nearest[: len(tile)], source[: len(tile)]
        replace_where_negative(origin, tile.int()[:, None], found - best)
        torch.minimum(found, best, out=best)
    return nearest, source


def _assemble(plan: Plan, tiles: _Tiles, ready: Table, window: Array, size: tuple[int, int]) -> Layers:
    """Tiles to images; what lies beyond the border is only counted."""
    device, images = ready.columns.device, len(window)
    columns, rows = -(-size[1] // TILE), -(-size[0] // TILE)
    nearest, source = _merge(plan, tiles.depth)
    # Where each pixel's values lie among those of all tiles; one place more, for nothing, comes last.
    pixel = torch.arange(_PIXELS, dtype=torch.int32, device=device)
    nothing = tiles.row.numel()
    place = torch.where(nearest < torch.inf, source * _PIXELS + pixel, nothing)
    rows_of = torch.cat([tiles.row.reshape(-1), tiles.row.new_full((1,), -1)])

    # Pixels of the target beyond the border: whole tiles outside, and the parts of the last tiles that the image cuts.
    over = (plan.x < 0) | ((plan.x + 1) * TILE > size[1]) | (plan.y < 0) | ((plan.y + 1) * TILE > size[0])
    edge = np.flatnonzero(over & (plan.layer == 0))
    steps = np.arange(TILE)
    x, y = plan.x[edge, None] * TILE + steps, plan.y[edge, None] * TILE + steps
    beyond = ((x < 0) | (x >= size[1]))[:, None, :] | ((y < 0) | (y >= size[0]))[:, :, None]
    met = place[torch.from_numpy(edge).to(device)]
    image = torch.from_numpy(np.repeat(plan.image[edge], _PIXELS)).to(device).reshape(met.shape)
    counted = torch.from_numpy(beyond.reshape(-1, _PIXELS)).to(device) & (met < nothing)
    label = ready.label[rows_of[met[counted].long()].long()]
    outside = torch.bincount(image[counted] * 8 + label, minlength=images * 8).reshape(images, 8)

    kept = np.flatnonzero((plan.x >= 0) & (plan.x < columns) & (plan.y >= 0) & (plan.y < rows))
    slot = ((plan.layer[kept] * images + plan.image[kept]) * rows + plan.y[kept]) * columns + plan.x[kept]
    at, to = torch.from_numpy(kept).to(device), torch.from_numpy(slot).to(device)

    def picture(values: Tensor, fill: float) -> Tensor:
        flat = torch.full((2 * images * rows * columns, _PIXELS), fill, dtype=values.dtype, device=device)
        flat[to] = values.index_select(0, at)
        whole = flat.reshape(2, images, rows, columns, TILE, TILE).transpose(3, 4)
        return whole.reshape(2, images, rows * TILE, columns * TILE)[:, :, : size[0], : size[1]]

    depths, places = picture(nearest, torch.inf), picture(place, nothing)
    front = torch.where(depths[0] < depths[1], places[0], places[1])
    # Only melted tiles come with normals, and lie behind the others.
    none = tiles.normal.new_zeros((3, 1))
    normals = torch.cat([none, tiles.normal.reshape(3, -1), none], dim=1)
    front = (front - (nothing - tiles.normal[0].numel() - 1)).clamp_min_(0).reshape(-1)
    return Layers(
        depth=depths,
        row=rows_of.index_select(0, places.reshape(-1)).reshape(places.shape),
        normal=normals.index_select(1, front).reshape(3, *places.shape[1:]),
        outside=outside,
        window=window,
    )
