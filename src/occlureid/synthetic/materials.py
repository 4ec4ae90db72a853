"""The table of materials: one row a primitive says how its surface looks, whatever its shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BASE_COLUMNS",
    "MATERIAL_COLUMNS",
    "NO_PLANE",
    "NO_WAVE",
    "PRINTS",
    "WAVES",
    "Print",
    "Strap",
    "Trim",
    "dressed",
    "material",
]

_Array = NDArray[np.float64]
_Colour = Sequence[float] | _Array

_BASE = (
    "red", "green", "blue",
    "second_red", "second_green", "second_blue",
    "beyond_red", "beyond_green", "beyond_blue",
    "wave_x", "wave_y", "wave_z", "wave_phase",
    "cross_x", "cross_y", "cross_z", "cross_phase",
    "duty", "mode", "cut", "folds", "fold_phase", "grain", "relief", "figured",
)  # fmt: skip
_WORN = (
    "trimmed", "trim_y", "trim_z", "trim_at", "trim_red", "trim_green", "trim_blue",
    "dressed", "across_x", "across_y", "across_z", "across_at", "up_x", "up_y", "up_z", "up_at",
    "panel", "panel_red", "panel_green", "panel_blue",
    "front_kind", "front_up", "front_half", "front_tall", "front_red", "front_green", "front_blue",
    "back_kind", "back_up", "back_half", "back_tall", "back_red", "back_green", "back_blue",
    "strap_slope", "strap_at", "strap_half", "strap_end", "strap_red", "strap_green", "strap_blue",
)  # fmt: skip

_BARE = (0.0,) * len(_WORN)

BASE_COLUMNS: int = len(_BASE)
"""How many columns say all about what nobody wears: ground, walls, obstacles."""

MATERIAL_COLUMNS: tuple[str, ...] = _BASE + _WORN
"""What a material says; ``material`` documents the first columns, ``dressed`` those of garments."""

NO_WAVE = (0.0, 0.0, 0.0, 0.5)
"""A wave that stays at its trough, so that the second colour never shows."""

NO_PLANE = (0.0, 0.0, 0.0, 0.0)

WAVES: tuple[str, ...] = ("stripes", "dots", "blend")
"""How two waves make a pattern: stripes across each; dots where both crest; one colour fading into the other."""

PRINTS: tuple[str, ...] = ("none", "box", "disc", "letters", "ring")
"""What may be printed on a garment."""


def material(
    colour: _Colour,
    *,
    second: _Colour | None = None,
    beyond: _Colour | None = None,
    wave: Sequence[float] = NO_WAVE,
    cross: Sequence[float] = NO_WAVE,
    duty: float = 0.5,
    mode: str = "stripes",
    cut: float = 99.0,
    folds: float = 0.0,
    fold_phase: float = 0.0,
    grain: float = 0.0,
    relief: float = 0.0,
) -> _Array:
    """One row of a material table.

    Args:
        colour: red, green, blue in [0, 1] as a screen shows them.
        second: the colour of stripes; the first colour where not given.
        beyond: the colour where local y exceeds ``cut`` (skin below a sleeve); the first colour where not given.
        wave: periods a metre along local x, y, z, and a phase: stripes across that direction; ``NO_WAVE`` for none.
        cross: a second set of stripes, drawn over the first (checks).
        duty: the share of a period that keeps the first colour, in [0, 1].
        mode: one of ``WAVES``: how the waves show.
        cut: the local y in metres from which ``beyond`` holds.
        folds: how deep the folds of cloth are, about 0 to 0.3: they bend the light and darken their valleys.
        fold_phase: moves the folds, so that two sleeves do not fold alike.
        grain: how strongly fine noise varies the brightness (leaves, asphalt, wool), about 0 to 0.5.
        relief: how strongly the wave also bends the surface (quilts, pleats, ribs), about 0 to 0.5.
    """
    first = tuple(float(c) for c in colour)
    figured = tuple(wave) != NO_WAVE or tuple(cross) != NO_WAVE or grain != 0.0
    row = (
        *first,
        *(first if second is None else tuple(second)),
        *(first if beyond is None else tuple(beyond)),
        *wave,
        *cross,
        duty,
        WAVES.index(mode),
        cut,
        folds,
        fold_phase,
        grain,
        relief,
        float(figured),
        *_BARE,
    )
    return np.asarray(row, dtype=np.float64)


class Print(NamedTuple):
    """A figure on the front or on the back.

    ``kind`` is one of ``PRINTS``, ``up`` the height of its middle above the ground, ``half`` and ``tall`` are half its width
    and half its height, in metres.
    """

    kind: str
    up: float
    half: float
    tall: float
    colour: Sequence[float]


class Strap(NamedTuple):
    """A strap around the trunk where across = ``at`` + ``slope`` * (up - 1 metre), in metres.

    ``half`` is half its width, ``end`` how high above the ground it ends.
    """

    slope: float
    at: float
    half: float
    end: float
    colour: Sequence[float]


class Trim(NamedTuple):
    """Another colour where y * local y + z * local z > ``at``, in metres: cuffs, hems, the soles of shoes."""

    y: float
    z: float
    at: float
    colour: Sequence[float]


def dressed(
    row: _Array,
    *,
    across: Sequence[float] = NO_PLANE,
    up: Sequence[float] = NO_PLANE,
    panel: float = 0.0,
    panel_colour: _Colour = (0.0, 0.0, 0.0),
    front: Print | None = None,
    back: Print | None = None,
    strap: Strap | None = None,
    trim: Trim | None = None,
) -> _Array:
    """A material with what garments have on them.

    Args:
        row: of ``material``.
        across: coefficients of local x, y, z and a constant that give metres to the person's left of the middle.
        up: the same for metres above the ground, for a person who stands.
        panel: half the width in metres of a strip down the front (an open jacket, a zip); 0 for none.
        panel_colour: its colour.
        front: what is printed on the front, which is where local z is positive.
        back: what is printed on the back.
        strap: of a bag, around the trunk.
        trim: the edge of the garment.
    """
    none = Print("none", 0.0, 1.0, 1.0, (0.0, 0.0, 0.0))
    strap_row = (strap.slope, strap.at, strap.half, strap.end, *strap.colour) if strap else (0.0,) * 7
    worn = panel > 0 or any(item is not None for item in (front, back, strap))
    prints = [(PRINTS.index(p.kind), p.up, p.half, p.tall, *p.colour) for p in (front or none, back or none)]
    result = np.array(row, dtype=np.float64)
    result[BASE_COLUMNS:] = (
        float(trim is not None),
        *((trim.y, trim.z, trim.at, *trim.colour) if trim else (0.0,) * 6),
        float(worn), *across, *up, panel, *panel_colour, *prints[0], *prints[1], *strap_row,
    )  # fmt: skip
    return result
