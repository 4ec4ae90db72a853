"""Lower garments, socks and shoes."""

from __future__ import annotations

from occlureid.synthetic.appearance import Appearance
from occlureid.synthetic.colours import Colour
from occlureid.synthetic.drape import Layer, scaled, span, up
from occlureid.synthetic.garments import darker, has_skirt, upper_layer
from occlureid.synthetic.materials import Trim, dressed, material
from occlureid.synthetic.segments import Segment

__all__ = ["is_long_skirt", "lower_layer", "shoe_layer"]

LOWER_SLOTS = frozenset({"pelvis", "thigh", "shin", "skirt", "skirt_below"})

_DRESS, _SOCKS, _TROUSERS, _SKIRT, _OWN = 6, 8, 9, 12, -1
_LEFT_SHOE, _RIGHT_SHOE = 18, 19
_WIDTHS = {
    "tight": ((1.00, 1.06), (1.05, 1.10)),
    "straight": ((1.03, 1.12), (1.13, 1.42)),
    "wide": ((1.08, 1.34), (1.38, 1.82)),
}
"""Factors of the radii at both ends of thigh and shin: one tube from the hip to the shoe."""


def is_long_skirt(look: Appearance) -> bool:
    """Whether it hangs below the knee."""
    return has_skirt(look) and look.bottom == "long_skirt"


def _denim(colour: Colour) -> bool:
    return colour[2] - colour[0] > 0.06 and sum(colour) > 0.55


def _cloth(look: Appearance, segment: Segment) -> dict[str, object]:
    options: dict[str, object] = {
        "folds": 0.16 if look.bottom == "tight" else 0.22,
        "fold_phase": look.crease * 7.0 + 0.53 * len(segment.name),
    }
    if _denim(look.lower):
        # Washed out in front of the thigh, darker down to the knee.
        pale = tuple(min(0.95, c * 1.18 + 0.02) for c in look.lower)
        level = scaled(up(segment, look.height), 1.7, look.crease)
        options |= {"second": pale, "wave": level, "mode": "blend", "grain": 0.06}
    return options


def _bare_legs(look: Appearance, segment: Segment) -> Layer:
    """Legs under shorts or a skirt, with socks or boots; what a step lifts out of a skirt has the colour of the skirt."""
    height, build = look.height, look.build
    shorts = not has_skirt(look)
    label = _TROUSERS if shorts else _DRESS if look.garment == "dress" else _SKIRT
    cloth = look.upper if look.garment == "dress" else look.lower
    if segment.slot == "thigh":
        cut = (0.185 if shorts else 0.30 if is_long_skirt(look) else 0.02) * height
        row = material(cloth, beyond=look.skin, cut=cut, folds=0.18, fold_phase=look.crease)
        return Layer(row, label, _OWN, (build * (1.05 if shorts else 0.93), build * 0.97))
    if is_long_skirt(look):
        return Layer(material(cloth, beyond=look.skin, cut=0.135 * height), label, _OWN, (build * 0.97, build * 0.97))
    if look.shoe == "boots":
        row = material(look.skin, beyond=look.shoes, cut=0.10 * height)
        return Layer(row, _OWN, _shoe_label(segment), (build * 0.97, build * 1.20))
    row = material(look.skin, beyond=look.socks, cut=0.175 * height)
    return Layer(row, _OWN, _SOCKS, (build * 0.97, build * 0.97))


def _trousers(look: Appearance, segment: Segment) -> Layer:
    """Trousers of any width; tight ones are tucked into boots."""
    height, shin = look.height, segment.slot == "shin"
    start, end = (look.build * factor for factor in _WIDTHS[look.bottom][shin])
    if shin and look.shoe == "boots" and look.bottom == "tight":
        row = material(look.lower, **_cloth(look, segment), beyond=look.shoes, cut=0.115 * height)  # type: ignore[arg-type]
        return Layer(row, _TROUSERS, _shoe_label(segment), (start, look.build * 1.35))
    row = material(look.lower, **_cloth(look, segment))  # type: ignore[arg-type]
    if shin:
        row = dressed(row, trim=Trim(1.0, 0.0, 0.214 * height, darker(look.lower, 0.85)))
    return Layer(row, _TROUSERS, _TROUSERS, (start, end))


def _shoe_label(segment: Segment) -> int:
    return _LEFT_SHOE if segment.name.startswith("left") else _RIGHT_SHOE


def lower_layer(look: Appearance, segment: Segment) -> Layer:
    """What the lower garment makes of a segment that it covers."""
    if segment.slot in ("thigh", "shin"):
        return _bare_legs(look, segment) if has_skirt(look) or look.bottom == "shorts" else _trousers(look, segment)
    dress = look.garment == "dress"
    long = is_long_skirt(look)
    start, end = (1.01, 1.0) if segment.slot == "skirt_below" else (0.97, 0.97 if long else 1.06)
    width = (look.build * start, look.build * end)
    if segment.slot == "pelvis":
        if dress:
            return upper_layer(look, segment)
        row = material(look.lower, **_cloth(look, segment))  # type: ignore[arg-type]
        return Layer(row, _SKIRT if has_skirt(look) else _TROUSERS, -1, (look.build * 1.02, look.build * 1.02))
    if dress:
        return upper_layer(look, segment)._replace(width=width)
    options = _cloth(look, segment) | {"folds": 0.26}
    row = material(look.lower, **options)  # type: ignore[arg-type]
    row = dressed(row, trim=Trim(1.0, 0.0, (span(segment) - 0.010) * look.height, darker(look.lower)))
    return Layer(row, _SKIRT, _SKIRT, width)


def shoe_layer(look: Appearance, segment: Segment) -> Layer:
    """A shoe with its sole, which is what lies lowest."""
    sole = Trim(0.0, -1.0, (0.011 if look.shoe == "trainers" else 0.016) * look.height, look.sole)
    label = _shoe_label(segment)
    wide = 1.10 if look.shoe != "low" else 1.0
    return Layer(dressed(material(look.shoes), trim=sole), label, label, (wide, wide))
