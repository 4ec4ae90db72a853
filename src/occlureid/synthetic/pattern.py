"""What a surface looks like up close, from a material's columns and local coordinates: stripes, prints, folds and grain.

Every pixel goes through elementwise operations alone, so that what it looks like never depends on its company. Rare features are
worked out only for the pixels that have them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from occlureid.synthetic.materials import MATERIAL_COLUMNS
from occlureid.synthetic.picked import picked

__all__ = ["surface"]

_COLUMN = {name: k for k, name in enumerate(MATERIAL_COLUMNS)}
_Triple = tuple[Tensor, Tensor, Tensor]


class _Rows:
    """The materials of P points, read column by column and only where asked for."""

    def __init__(self, table: Tensor, item: Tensor) -> None:
        self._table, self._item = table, item

    def __call__(self, name: str) -> Tensor:
        return self._table[_COLUMN[name]].index_select(0, self._item)

    def triple(self, prefix: str) -> _Triple:
        """The red, green and blue of a colour."""
        start = _COLUMN[f"{prefix}red"]
        red, green, blue = self._table[start : start + 3].index_select(1, self._item)
        return red, green, blue

    def plane(self, prefix: str, last: str, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """A linear function of the local coordinates."""
        return self(f"{prefix}_x") * x + self(f"{prefix}_y") * y + self(f"{prefix}_z") * z + self(last)

    def only(self, where: Tensor) -> _Rows:
        """The same of some points."""
        return _Rows(self._table, self._item.index_select(0, where))


def _triangle(x: Tensor) -> Tensor:
    """A wave of period 1 in [0, 1] from operations that every device rounds alike; 1 at whole numbers."""
    return (2.0 * (x - torch.floor(x)) - 1.0).abs()


def _smooth(x: Tensor) -> tuple[Tensor, Tensor]:
    """A round wave of period 1 in [0, 1], 1 at whole numbers, and its slope."""
    saw = 2.0 * (x - torch.floor(x)) - 1.0
    bent = saw.abs()
    return bent * bent * (3.0 - 2.0 * bent), 12.0 * saw * (1.0 - bent)


def _cells(x: Tensor, y: Tensor, z: Tensor, rate: float) -> Tensor:
    """A value in [-0.5, 0.5) for each cell of a grid of ``rate`` cells a metre, without visible order."""
    walk = torch.floor(x * rate) * 0.6180340 + torch.floor(y * rate) * 0.7548777 + torch.floor(z * rate) * 0.5698403
    walk = walk - torch.floor(walk)
    mixed = (walk + 3.1) * (walk + 7.7) * 113.7
    return mixed - torch.floor(mixed) - 0.5


def _grain(x: Tensor, y: Tensor, z: Tensor, footprint: Tensor) -> Tensor:
    """Fine noise: round waves that bend one another, and threads that vanish where a pixel is wider than they are."""
    first, _ = _smooth(7.3 * x + 4.1 * y - 5.9 * z)
    second, _ = _smooth(5.1 * z - 11.7 * x + 8.3 * y + 1.7 * first)
    third, _ = _smooth(13.9 * y + 9.7 * z + 17.3 * x + 1.3 * second)
    threads = _cells(x, y, z, 90.0) * (1.6 - 90.0 * footprint).clamp(0.0, 1.0)
    return 0.5 * (second + third - 1.0) + 0.3 * (third - 0.5) * first + 0.9 * threads


def _figure(rows: _Rows, x: Tensor, y: Tensor, z: Tensor, footprint: Tensor) -> tuple[Tensor, Tensor]:
    """The share of the second colour, which changes over the width of a pixel, and the change of brightness."""
    duty, mode = rows("duty"), rows("mode")
    sharp = 1.0 / (2.0 * footprint * _steepness(rows) + 1e-3)
    wave = _triangle(rows.plane("wave", "wave_phase", x, y, z))
    cross = _triangle(rows.plane("cross", "cross_phase", x, y, z))
    off, aside = 1.0 - wave, 1.0 - cross
    above = torch.where(mode == 0, torch.maximum(wave, cross), 1.0 - (off * off + aside * aside).sqrt()) - duty
    share = torch.where(mode == 2, wave, (above * sharp + 0.5).clamp(0.0, 1.0))
    return share, rows("grain") * _grain(x, y, z, footprint)


def _steepness(rows: _Rows) -> Tensor:
    """Periods a metre of the wave, about."""
    return rows("wave_x").abs() + rows("wave_y").abs() + rows("wave_z").abs()


def _blend(first: _Triple, second: _Triple, share: Tensor) -> _Triple:
    """Between two colours."""
    mixed = [a + share * (b - a) for a, b in zip(first, second, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def _where(mask: Tensor, first: _Triple, second: _Triple) -> _Triple:
    return (
        torch.where(mask, first[0], second[0]),
        torch.where(mask, first[1], second[1]),
        torch.where(mask, first[2], second[2]),
    )


def _folds(rows: _Rows, deep: Tensor, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, _Triple]:
    """The change of brightness in the folds of cloth, and the slope of its surface.

    Slanted waves, bent by slower ones and strong only where the slower ones crest, so that folds come in bundles.
    """
    start = rows("fold_phase")
    slow, slow_slope = _smooth(2.1 * x + 2.9 * y + 1.3 * z + start)
    fold, fold_slope = _smooth(5.3 * y - 4.7 * x + 2.9 * z + 1.1 * slow - 1.7 * start)
    # The height is deep * slow * fold, of which each wave carries the slope of what it bends.
    fold_slope = deep * 0.11 * slow * fold_slope
    slow_slope = slow_slope * (deep * 0.11 * fold + 1.1 * fold_slope)
    slope = (
        4.7 * fold_slope - 2.1 * slow_slope,
        -5.3 * fold_slope - 2.9 * slow_slope,
        -2.9 * fold_slope - 1.3 * slow_slope,
    )
    return deep * (1.4 * slow * fold - 0.45), slope


def surface(
    table: Tensor, item: Tensor, local: list[Tensor], footprint: Tensor
) -> tuple[list[Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Colour and relief of points on primitives.

    Args:
        table: (M, N) materials, a column of ``MATERIAL_COLUMNS`` each row.
        item: (P,) the primitive of each point.
        local: local x, y, z of each point in metres, (P,) each.
        footprint: (P,) the width of a pixel at each point, in metres; detail finer than that is left out.

    Returns:
        Linear red, green, blue, (P,) each; and the local x, y, z of what the relief adds to the unit normal, (P,) each.
    """
    x, y, z = local
    rows = _Rows(table, item)
    beyond = y > rows("cut")
    deep = torch.where(beyond, 0.0, rows("folds"))
    bright, bump = _folds(rows, deep, x, y, z)
    colour = rows.triple("")

    where = picked(rows("figured") > 0)
    if len(where):
        few = rows.only(where)
        at = (x.index_select(0, where), y.index_select(0, where), z.index_select(0, where))
        share, change = _figure(few, *at, footprint.index_select(0, where))
        mixed = _blend(few.triple(""), few.triple("second_"), share)
        for channel in range(3):
            colour[channel].scatter_(0, where, mixed[channel])
        bright.scatter_add_(0, where, change)
        _, rise = _smooth(few.plane("wave", "wave_phase", *at))
        rise = 0.33 * rise * few("relief")
        rise = torch.where(beyond.index_select(0, where), 0.0, rise / _steepness(few).clamp_min(1e-6))
        for axis, name in enumerate(("wave_x", "wave_y", "wave_z")):
            bump[axis].scatter_(0, where, bump[axis].index_select(0, where) - rise * few(name))

    colour = _dress(rows, colour, x, y, z)
    colour = _where(beyond, rows.triple("beyond_"), colour)
    return [c * c * (1.0 + bright) for c in colour], bump


def _dress(rows: _Rows, colour: _Triple, x: Tensor, y: Tensor, z: Tensor) -> _Triple:
    """Draws trims, panels, prints and straps over the cloth, in place."""
    where = picked(rows("trimmed") > 0)
    if len(where):
        few = rows.only(where)
        high, ahead = y.index_select(0, where), z.index_select(0, where)
        _paint(colour, where, few, few("trim_y") * high + few("trim_z") * ahead > few("trim_at"), "trim_")
    where = picked(rows("dressed") > 0)
    if len(where):
        few = rows.only(where)
        at = (x.index_select(0, where), y.index_select(0, where), z.index_select(0, where))
        across, up = few.plane("across", "across_at", *at), few.plane("up", "up_at", *at)
        ahead = at[2] > 0
        for name, side, sign in (("front", ahead, 1.0), ("back", ~ahead, -1.0)):
            _paint(colour, where, few, side & _printed(few, name, across * sign, up), f"{name}_")
        _paint(colour, where, few, ahead & (across.abs() < few("panel")), "panel_")
        middle = few("strap_at") + few("strap_slope") * (up - 1.0)
        inside = ((across - middle).abs() < few("strap_half")) & (up > few("strap_end"))
        _paint(colour, where, few, inside, "strap_")
    return colour


def _paint(colour: _Triple, where: Tensor, rows: _Rows, inside: Tensor, name: str) -> None:
    """Lays the colour ``name`` of some points, which are at ``where``, over those that are inside."""
    few = picked(inside)
    at = where.index_select(0, few)
    for channel, paint in zip(colour, rows.only(few).triple(name), strict=True):
        channel.scatter_(0, at, paint)


def _printed(rows: _Rows, name: str, across: Tensor, up: Tensor) -> Tensor:
    """Which points lie in the ink of a print."""
    kind = rows(f"{name}_kind")
    right, above = -across / rows(f"{name}_half"), (up - rows(f"{name}_up")) / rows(f"{name}_tall")
    box = (right.abs() < 1.0) & (above.abs() < 1.0)
    far = right * right + above * above
    # Letters: up to three lines of blocks, some left out.
    column, line = torch.floor(right * 4.5), torch.floor(above * 1.5)
    word = column * 0.6180340 + line * 0.7548777 + rows(f"{name}_half") * 37.0
    gap = (right * 4.5 - column < 0.22) | (above * 1.5 - line < 0.30)
    letters = box & ~gap & (word - torch.floor(word) > 0.25)
    return (
        ((kind == 1) & box)
        | ((kind == 2) & (far < 1.0))
        | ((kind == 3) & letters)
        | ((kind == 4) & (far < 1.0) & (far > 0.42))
    )
