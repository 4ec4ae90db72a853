"""Upper garments: cloth, pattern, prints, trims and bulk of each segment that they cover."""

from __future__ import annotations

import numpy as np

from occlureid.synthetic.appearance import Appearance
from occlureid.synthetic.colours import Colour
from occlureid.synthetic.drape import Layer, across, around, scaled, span, up
from occlureid.synthetic.materials import Print, Strap, Trim, dressed, material
from occlureid.synthetic.segments import Segment

__all__ = ["LONG_HEM", "darker", "has_skirt", "upper_layer", "upper_lip", "wears_hem"]

UPPER_SLOTS = frozenset({"waist", "chest", "shoulder", "hem", "upper_arm", "lower_arm", "tail"})

_UPPER_CLOTHES, _DRESS, _COAT, _SKIN = 5, 6, 7, -1
_OUTER = ("jacket", "puffer", "coat")
_FOLDS = {
    "tshirt": 0.17,
    "shirt": 0.19,
    "jumper": 0.15,
    "hoodie": 0.20,
    "jacket": 0.20,
    "puffer": 0.10,
    "coat": 0.17,
    "dress": 0.16,
}
_GRAIN = {
    "tshirt": 0.02,
    "shirt": 0.02,
    "jumper": 0.07,
    "hoodie": 0.04,
    "jacket": 0.03,
    "puffer": 0.0,
    "coat": 0.06,
    "dress": 0.02,
}

LONG_HEM = ("hoodie", "jacket", "puffer", "coat", "jumper")
"""Garments that always hang over the hips."""


def darker(colour: Colour, factor: float = 0.6) -> Colour:
    """A shade for seams and edges; of what is nearly black, a lighter one."""
    red, green, blue = (c * factor if sum(colour) > 0.5 else c + 0.04 for c in colour)
    return red, green, blue


def upper_lip(look: Appearance) -> int:
    """The LIP-20 label of the upper garment."""
    return _COAT if look.garment in _OUTER else _DRESS if look.garment == "dress" else _UPPER_CLOTHES


def has_skirt(look: Appearance) -> bool:
    """Whether a skirt or the skirt of a dress is worn."""
    return look.garment == "dress" or look.bottom in ("skirt", "long_skirt")


def wears_hem(look: Appearance) -> bool:
    """Whether the upper garment hangs over the hips; over a skirt only a jacket or a coat does."""
    if has_skirt(look):
        return look.garment in (*_OUTER, "hoodie")
    return look.garment in LONG_HEM or (look.garment in ("tshirt", "shirt") and look.loose > 1.02)


def _cloth(look: Appearance, segment: Segment) -> tuple[Colour, dict[str, object]]:
    """The colour and the pattern of the upper garment on a segment."""
    height = look.height
    options: dict[str, object] = {
        "folds": _FOLDS[look.garment],
        "grain": _GRAIN[look.garment],
        "fold_phase": look.crease * 5.0 + 0.37 * len(segment.name),
    }
    arm = segment.slot in ("upper_arm", "lower_arm")
    colour = look.upper
    if arm and look.sleeve == "coloured":
        return look.upper_second, options
    level, aside = up(segment, height), around(segment, height)
    rate = 1.0 / look.period
    second = look.upper_second
    if look.pattern == "stripes_across":
        options |= {"second": second, "wave": scaled(level, rate), "duty": 0.55}
    elif look.pattern == "stripes_along":
        options |= {"second": second, "wave": scaled(aside, rate, 0.25), "duty": 0.70}
    elif look.pattern == "checks":
        options |= {
            "second": second,
            "wave": scaled(level, 1.5 * rate),
            "cross": scaled(aside, 1.5 * rate, 0.25),
            "duty": 0.70,
        }
    elif look.pattern == "dots":
        options |= {
            "second": second,
            "wave": scaled(level, 1.6 * rate),
            "cross": scaled(aside, 1.6 * rate),
            "duty": 0.45,
            "mode": "dots",
        }
    elif look.pattern == "gradient":
        # One wave from the hem to the shoulder.
        options |= {
            "second": second,
            "wave": scaled(level, 0.5 / (0.36 * height), -0.5 * 0.47 / 0.36 + 0.5),
            "mode": "blend",
        }
    elif look.pattern == "blocks":
        if segment.slot in ("shoulder", "upper_arm"):
            colour = second
        elif segment.slot in ("chest", "waist", "lower_arm") and look.period > 0.1:
            # Everything above the middle of the chest.
            options |= {"second": second, "wave": scaled(level, 0.25, 0.75 - 0.25 * 0.715 * height), "duty": 0.5}
    if look.garment == "puffer":
        options |= {"relief": 0.55, "folds": 0.08}
        if look.pattern == "plain":
            options |= {"wave": scaled(level, 10.5), "duty": 1.0}
    return colour, options


def _width(look: Appearance, segment: Segment) -> tuple[float, float]:
    """Factors of the radii: sleeves that cover the elbow, a trunk with room."""
    room = look.build * look.loose
    if segment.slot == "upper_arm":
        return (look.build * 1.02, look.build * 1.12) if look.sleeve == "short" else (room, room * 1.12)
    if segment.slot == "lower_arm":
        return (look.build * 0.93, look.build * 0.93) if look.sleeve == "short" else (room * 1.09, room * 1.20)
    if segment.slot == "hem":
        flare = 1.12 if has_skirt(look) else 1.0
        return room * 0.95 * flare, room * max(look.hip, 1.0) * flare
    if segment.slot == "tail":
        return room * max(look.hip, 1.0) * 1.02, room * 1.05
    return room, room


def _on_trunk(look: Appearance, segment: Segment, row: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Layer:
    """Prints, the open front or the zip, and the strap of a shoulder bag."""
    height, lip = look.height, upper_lip(look)
    chest, build = 0.715 * height, look.build
    sizes = {"box": (0.085, 0.075), "disc": (0.075, 0.075), "letters": (0.125, 0.06), "ring": (0.085, 0.085)}
    prints = [
        Print(kind, chest - 0.01, sizes[kind][0] * build * grow, sizes[kind][1] * build * grow, ink)
        if kind != "none"
        else None
        for kind, ink, grow in ((look.front, look.front_ink, 1.0), (look.back, look.back_ink, 1.25))
    ]
    panel, panel_colour = 0.0, look.inner
    if look.open:
        panel = 0.052 * build
    elif look.garment in ("jacket", "puffer", "coat", "shirt"):
        panel, panel_colour = 0.007, darker(look.upper)
    strap = None
    if look.bag == "shoulder_bag":
        # From the shoulder on the other side down to the bag.
        slope = -look.bag_side * (0.075 + 0.115) / (0.30 * height)
        strap = Strap(
            slope,
            look.bag_side * 0.115 - slope * (0.52 * height - 1.0),
            0.019,
            0.50 * height,
            darker(look.bag_colour, 0.8),
        )
    trim = (
        Trim(1.0, 0.0, (span(segment) - 0.012) * height, darker(look.upper))
        if segment.slot in ("hem", "tail")
        else None
    )
    worn = dressed(
        row,
        across=across(segment, height),
        up=up(segment, height),
        panel=panel,
        panel_colour=panel_colour,
        front=prints[0] if not look.open else None,
        back=prints[1],
        strap=strap,
        trim=trim,
    )
    return Layer(worn, lip, lip, _width(look, segment))


def upper_layer(look: Appearance, segment: Segment) -> Layer:
    """What the upper garment makes of a segment that it covers."""
    colour, options = _cloth(look, segment)
    height, lip = look.height, upper_lip(look)
    if segment.slot not in ("upper_arm", "lower_arm"):
        return _on_trunk(look, segment, material(colour, **options))  # type: ignore[arg-type]
    width = _width(look, segment)
    if look.sleeve == "short":
        cut = 0.112 * height if segment.slot == "upper_arm" else -99.0
        row = material(colour, **options, beyond=look.skin, cut=cut)  # type: ignore[arg-type]
        trim = Trim(1.0, 0.0, cut - 0.012, darker(colour)) if segment.slot == "upper_arm" else None
        return Layer(dressed(row, trim=trim), lip, _SKIN, width)
    row = material(colour, **options)  # type: ignore[arg-type]
    trim = Trim(1.0, 0.0, 0.138 * height, darker(colour)) if segment.slot == "lower_arm" else None
    return Layer(dressed(row, trim=trim), lip, lip, width)
