"""An appearance as the body wants it: which shapes somebody wears, how wide they are and what they look like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from occlureid.synthetic.appearance import Appearance, draw_appearance, resemble
from occlureid.synthetic.belongings import BELONGING_SLOTS, belonging_layer, belonging_shapes, carried_by
from occlureid.synthetic.bottoms import LOWER_SLOTS, is_long_skirt, lower_layer, shoe_layer
from occlureid.synthetic.build import body_widths
from occlureid.synthetic.drape import Layer, plain
from occlureid.synthetic.garments import UPPER_SLOTS, has_skirt, upper_layer, wears_hem
from occlureid.synthetic.hair import head_layers, head_shapes
from occlureid.synthetic.primitives import Array
from occlureid.synthetic.segments import LIP, LIP_BEYOND, SEGMENTS, Segment
from occlureid.synthetic.worn import WORN_ROWS

__all__ = ["Appearance", "Outfit", "draw_appearance", "outfit", "resemble"]

_OPTIONAL = frozenset({"hem", "skirt", "backpack", "left_strap", "right_strap", "hair", "long_hair"}) | {
    row[0] for row in WORN_ROWS
}
"""The segments that not everybody has."""

_ABSENT = plain((0.0, 0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Outfit:
    """An appearance as the body wants it: one row a segment.

    Attributes:
        height: metres. shoulder, hip: factors of those distances.
        widths: (S, 2) factors of the radii at both ends. materials: (S, M). active: (S,) which segments are there.
        lip: (S,) label of each segment in LIP-20. lip_beyond: (S,) the same beyond the material's cut.
        carries: what the left and the right hand hold, of ``pose.HOLDS``: "" for nothing, "carry" or "umbrella".
    """

    height: float
    shoulder: float
    hip: float
    widths: Array
    materials: Array
    active: NDArray[np.bool_]
    lip: NDArray[np.int64]
    lip_beyond: NDArray[np.int64]
    carries: tuple[str, str]


def _shapes(look: Appearance) -> set[str]:
    """The optional segments that somebody has."""
    worn = {
        "hem": wears_hem(look),
        "tail": look.garment == "coat",
        "skirt": has_skirt(look) and look.garment != "coat",
        "skirt_below": is_long_skirt(look),
    }
    return head_shapes(look) | belonging_shapes(look) | {name for name, there in worn.items() if there}


def _layer(look: Appearance, segment: Segment, head: dict[str, Layer]) -> Layer:
    slot = segment.slot
    if slot in head:
        return head[slot]
    if slot in BELONGING_SLOTS:
        return belonging_layer(look, segment)
    if slot == "shoe":
        return shoe_layer(look, segment)
    if slot in UPPER_SLOTS:
        return upper_layer(look, segment)
    return lower_layer(look, segment) if slot in LOWER_SLOTS else plain(look.skin)


def outfit(look: Appearance) -> Outfit:
    """The widths, materials, segments and labels of an appearance."""
    shapes, head = _shapes(look), head_layers(look)
    active = [segment.name not in _OPTIONAL or segment.name in shapes for segment in SEGMENTS]
    layers = [
        _layer(look, segment, head) if there else _ABSENT for segment, there in zip(SEGMENTS, active, strict=True)
    ]
    return Outfit(
        height=look.height,
        shoulder=look.shoulder * (0.5 + 0.5 * look.build),
        hip=look.hip,
        widths=np.array([layer.width for layer in layers]) * body_widths(look.build, look.shoulder, look.hip)[:, None],
        materials=np.stack([layer.material for layer in layers]),
        active=np.array(active),
        lip=_labels([layer.lip for layer in layers], LIP),
        lip_beyond=_labels([layer.lip_beyond for layer in layers], LIP_BEYOND),
        carries=carried_by(look),
    )


def _labels(own: list[int], usual: tuple[int, ...]) -> NDArray[np.int64]:
    """The labels of an outfit; -1 stands for the segment's own."""
    return np.array([label if label >= 0 else other for label, other in zip(own, usual, strict=True)], dtype=np.int64)
