"""What people carry: bags that are worn, and luggage and umbrellas that keep a hand busy."""

from __future__ import annotations

from occlureid.synthetic.appearance import Appearance
from occlureid.synthetic.drape import Layer, across, plain, scaled, span
from occlureid.synthetic.garments import darker
from occlureid.synthetic.materials import Trim, dressed, material
from occlureid.synthetic.segments import Segment

__all__ = ["belonging_layer", "belonging_shapes", "carried_by"]

BELONGING_SLOTS = frozenset(
    {
        "backpack", "bag", "handbag", "handbag_grip", "case", "case_grip", "case_wheels", "canopy", "shaft",
    }
)  # fmt: skip

_NOTHING = 0
_HELD: dict[str, tuple[str, ...]] = {
    "suitcase": ("case", "case_grip", "case_wheels"),
    "umbrella": ("canopy", "shaft"),
    "handbag": ("handbag", "handbag_grip"),
}


def _side(sign: int) -> str:
    return "left" if sign > 0 else "right"


def belonging_shapes(look: Appearance) -> set[str]:
    """The names of the segments that somebody carries."""
    shapes: set[str] = set()
    if look.bag == "backpack":
        shapes |= {"backpack", "left_strap", "right_strap"}
    elif look.bag == "shoulder_bag":
        shapes.add(f"{_side(look.bag_side)}_bag")
    elif look.bag == "handbag":
        shapes |= {f"{_side(look.bag_side)}_{name}" for name in _HELD["handbag"]}
    return shapes | {f"{_side(look.luggage_side)}_{name}" for name in _HELD.get(look.luggage, ())}


def carried_by(look: Appearance) -> tuple[str, str]:
    """What the left and the right hand hold, of ``pose.HOLDS``: "" nothing, "carry" what hangs or rolls, or "umbrella"."""
    busy = {1: "", -1: ""}
    if look.bag == "handbag":
        busy[look.bag_side] = "carry"
    if look.luggage != "none":
        busy[look.luggage_side] = "carry" if look.luggage == "suitcase" else "umbrella"
    return busy[1], busy[-1]


def belonging_layer(look: Appearance, segment: Segment) -> Layer:
    """What a segment of a bag, a suitcase or an umbrella looks like."""
    height, size = look.height, look.bag_size
    if segment.slot == "backpack":
        flap = Trim(1.0, 0.0, 0.65 * span(segment) * height, darker(look.bag_colour, 0.7))
        return Layer(
            dressed(material(look.bag_colour, folds=0.16, fold_phase=look.crease), trim=flap),
            _NOTHING,
            _NOTHING,
            (size, size),
        )
    if segment.slot in ("bag", "handbag"):
        edge = Trim(1.0, 0.0, 0.55 * span(segment) * height, darker(look.bag_colour, 0.8))
        return Layer(
            dressed(material(look.bag_colour, folds=0.12, fold_phase=look.crease), trim=edge),
            _NOTHING,
            _NOTHING,
            (size, size),
        )
    if segment.slot == "case":
        ribs = scaled(across(segment, height), 22.0)
        shell = material(
            look.luggage_colour, second=darker(look.luggage_colour, 0.8), wave=ribs, duty=0.84, relief=0.10
        )
        return Layer(shell, _NOTHING, _NOTHING)
    if segment.slot == "canopy":
        return plain(look.luggage_colour, _NOTHING, folds=0.04, fold_phase=look.crease)
    if segment.slot == "handbag_grip":
        return plain(darker(look.bag_colour, 0.8), _NOTHING)
    return plain((0.13, 0.13, 0.14), _NOTHING)
