"""The layers of many decoders at once: 3 x 3 convolutions as products of tiles, and batch normalisation, for each person apart.

Pixels are rows. The map of an image is cut into tiles of 4 x 4 pixels; rows are ordered by their place within the tile first,
so that the maps of P persons with T tiles each are a tensor (P, 16 T, C), and a 1 x 1 convolution is a batched product with
(P, C, C').

A 3 x 3 convolution is Winograd's F(4 x 4, 3 x 3): 36 products a tile in place of 16 x 9, and what goes in takes 36 / 16 of its
size in place of 9 times. The features that the decoders see never change, so that their half of it is done once a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

__all__ = ["PLACES", "POINTS", "TILE", "convolve", "from_rows", "normalise", "product", "to_rows", "to_tiles"]

TILE = 4
"""Pixels that a tile is high and wide."""

PLACES = TILE * TILE
"""Pixels of a tile."""

POINTS = (TILE + 2) ** 2
"""Values of a transformed tile with its border: the products of one channel."""

_Matrix = Sequence[Sequence[float]]

# Winograd's matrices for the points 0, 1, -1, 2, -2 and infinity, so that an output y of a line of inputs d under a filter g
# is y = A [(G g) * (B d)].
_INPUT: _Matrix = [
    [4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1],
]  # fmt: skip
_FILTER: _Matrix = [
    [1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1],
]  # fmt: skip
_OUTPUT: _Matrix = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


def _apply(matrix: _Matrix, values: Tensor) -> Tensor:
    """A (k', k) matrix on both axes of (P, k k, ...) values, as (P, k' k', ...)."""
    line = torch.tensor(matrix, dtype=torch.float32, device=values.device)
    outputs, inputs = line.shape
    persons, _, *rest = values.shape
    across = torch.bmm(line.expand(persons, -1, -1), values.reshape(persons, inputs, -1))
    along = torch.bmm(line.expand(persons * outputs, -1, -1), across.view(persons * outputs, inputs, -1))
    return along.view(persons, outputs * outputs, *rest)


class _Patches(Function):
    """(P, n, H, W, C) maps, sides multiples of 4, to the (P, 36, T, C) pixels of each tile and its border, 0 outside."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        persons, images, height, width, channels = maps.shape
        ctx.shape = maps.shape
        high, wide = height // TILE, width // TILE
        padded = F.pad(maps, (0, 0, 1, 1, 1, 1))
        patches = maps.new_empty(persons, TILE + 2, TILE + 2, images, high, wide, channels)
        for y in range(TILE + 2):
            for x in range(TILE + 2):
                patches[:, y, x] = padded[:, :, y : y + height : TILE, x : x + width : TILE]
        return patches.view(persons, POINTS, -1, channels)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        persons, images, height, width, channels = ctx.shape
        patches = gradients[0].reshape(persons, TILE + 2, TILE + 2, images, height // TILE, width // TILE, channels)
        padded = patches.new_zeros(persons, images, height + 2, width + 2, channels)
        for y in range(TILE + 2):
            for x in range(TILE + 2):
                padded[:, :, y : y + height : TILE, x : x + width : TILE] += patches[:, y, x]
        return padded[:, :, 1:-1, 1:-1]


def to_rows(maps: Tensor) -> Tensor:
    """(P, n, H, W, C) maps whose sides are multiples of 4, as (P, 16 T, C) rows."""
    persons, images, height, width, channels = maps.shape
    tiles = maps.view(persons, images, height // TILE, TILE, width // TILE, TILE, channels)
    return tiles.permute(0, 3, 5, 1, 2, 4, 6).reshape(persons, -1, channels)


def from_rows(rows: Tensor, size: tuple[int, int, int]) -> Tensor:
    """The inverse of ``to_rows``: (P, n, H, W, C) maps of ``size`` (n, H, W)."""
    images, height, width = size
    tiles = rows.view(len(rows), TILE, TILE, images, height // TILE, width // TILE, -1)
    return tiles.permute(0, 3, 4, 1, 5, 2, 6).reshape(len(rows), images, height, width, -1)


def to_tiles(maps: Tensor, precision: torch.dtype) -> Tensor:
    """The half of a 3 x 3 convolution that its input goes through.

    Args:
        maps: (P, n, H, W, C) float32, sides multiples of 4; 0 is taken for what is outside.
        precision: of the products that follow.

    Returns:
        (P, 36, T, C).
    """
    patches: Tensor = _Patches.apply(maps)  # type: ignore[no-untyped-call]
    return _apply(_INPUT, patches).to(precision)


def product(left: Tensor, right: Tensor, precision: torch.dtype) -> Tensor:
    """The batched product of two tensors in a precision, as float32."""
    return torch.bmm(left.to(precision), right.to(precision)).float()


def convolve(tiles: Tensor, kernels: Tensor) -> Tensor:
    """A 3 x 3 convolution of each person's own, without bias.

    Args:
        tiles: (P, 36, T, C) of ``to_tiles``.
        kernels: (P, 9, C, C') float32, the nine places row by row.

    Returns:
        (P, 16 T, C') float32 rows.
    """
    persons = len(tiles)
    transformed = _apply(_FILTER, kernels)
    products = product(tiles.flatten(0, 1), transformed.flatten(0, 1), tiles.dtype)
    return _apply(_OUTPUT, products.view(persons, POINTS, -1, products.shape[2])).view(persons, -1, products.shape[2])


class _Normalise(Function):
    """Batch normalisation over the real rows of each person, with or without ReLU; rows that are not real become 0."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, scale: Tensor, shift: Tensor, real: Tensor | None, count: Tensor, rectify: bool
    ) -> Tensor:
        if real is not None:
            rows = rows * real
        unit = rows - rows.sum(1, keepdim=True) / count
        if real is not None:
            unit *= real
        inverse = (unit.square().sum(1, keepdim=True) / count + _EPSILON).rsqrt_()
        unit *= inverse
        result = torch.addcmul(shift[:, None], unit, scale[:, None])
        if rectify:
            result.relu_()
        if real is not None:
            result *= real
        ctx.save_for_backward(unit, scale, inverse, count, real, result if rectify else None)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        unit, scale, inverse, count, real, result = ctx.saved_tensors
        gradient = gradients[0]
        if result is not None:
            gradient = gradient * (result > 0)
        elif real is not None:
            gradient = gradient * real
        shift_gradient = gradient.sum(1, keepdim=True)
        scale_gradient = (gradient * unit).sum(1, keepdim=True)
        rows = gradient - shift_gradient / count
        rows.addcmul_(unit, scale_gradient / count, value=-1)
        rows *= scale[:, None] * inverse
        if real is not None:
            rows *= real
        return rows, scale_gradient[:, 0], shift_gradient[:, 0], None, None, None


_EPSILON = 1e-5


def normalise(rows: Tensor, scale: Tensor, shift: Tensor, real: Tensor | None, count: Tensor, rectify: bool) -> Tensor:
    """Batch normalisation with the statistics of each person's real rows, then ReLU where asked for.

    Args:
        rows: (P, R, C) float32; what stands in rows that are not real is not looked at.
        scale: (P, C), what normalised rows are multiplied by.
        shift: (P, C), what is added then.
        real: (P, R, 1) float32, 1 or 0; None where all rows are real.
        count: (P, 1, 1) float32, how many rows are real.
        rectify: whether ReLU follows.

    Returns:
        (P, R, C), 0 where a row is not real.
    """
    result: Tensor = _Normalise.apply(rows, scale, shift, real, count, rectify)  # type: ignore[no-untyped-call]
    return result
