"""What a surface looks like up close: stripes, panels, folds and blotches, from a material's columns and local coordinates."""

from __future__ import annotations

import torch
from torch import Tensor

from occlureid.synthetic.primitives import MATERIAL_COLUMNS

__all__ = ["albedo"]

_COLUMN = {name: k for k, name in enumerate(MATERIAL_COLUMNS)}


def _triangle(x: Tensor) -> Tensor:
    """A wave of period 1 in [0, 1] from operations that every device rounds alike."""
    return (2.0 * (x - torch.floor(x)) - 1.0).abs()


def _pattern(values: list[Tensor], x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Whether the second colour shows, and a factor of the brightness; ``values`` are the material's columns."""

    def column(name: str) -> Tensor:
        return values[_COLUMN[name]]

    duty = column("duty")
    wave = _triangle(column("wave_x") * x + column("wave_y") * y + column("wave_z") * z + column("wave_phase"))
    cross = _triangle(column("cross_x") * x + column("cross_y") * y + column("cross_z") * z + column("cross_phase"))
    second = (wave > duty) | (cross > duty) | ((x.abs() < column("panel")) & (z > 0))
    # Folds: two slanted waves, one bent by the other. Grain: blotches of two sizes.
    bend = _triangle(3.1 * x + 5.3 * y + 2.3 * z)
    folds = _triangle(4.7 * y - 6.1 * x + 3.9 * z + 0.8 * bend) - 0.5
    grain = _blotches(x, y, z, 21.0) + 0.6 * _blotches(x, y, z, 57.0)
    return second, 1.0 + column("folds") * (folds + bend - 0.5) + column("grain") * grain


def _blotches(x: Tensor, y: Tensor, z: Tensor, rate: float) -> Tensor:
    """A value in [-0.5, 0.5) for each cell of a grid of ``rate`` cells a metre, without visible order."""
    walk = torch.floor(x * rate) * 0.6180340 + torch.floor(y * rate) * 0.7548777 + torch.floor(z * rate) * 0.5698403
    walk = walk - torch.floor(walk)
    mixed = (walk + 3.1) * (walk + 7.7) * 113.7
    return mixed - torch.floor(mixed) - 0.5


def albedo(values: list[Tensor], x: Tensor, y: Tensor, z: Tensor) -> list[Tensor]:
    """Linear red, green, blue."""
    second, bright = _pattern(values, x, y, z)
    beyond = y > values[_COLUMN["cut"]]
    colours = []
    for channel in range(3):
        colour = torch.where(second, values[3 + channel], values[channel])
        colour = torch.where(beyond, values[6 + channel], colour)
        colours.append(colour * colour * bright)
    return colours
