"""The head: skin, hair of any shape, beard, glasses, hats, hoods and scarves."""

from __future__ import annotations

import numpy as np

from occlureid.synthetic.appearance import Appearance
from occlureid.synthetic.colours import Colour
from occlureid.synthetic.drape import Layer, plain
from occlureid.synthetic.garments import darker, upper_lip

__all__ = ["head_layers", "head_shapes"]

_HAT, _HAIR, _SUNGLASSES, _SCARF, _FACE = 1, 2, 4, 11, 13
_SHAPES: dict[str, tuple[str, ...]] = {
    "short": ("hair",),
    "cropped": ("hair",),
    "bald": (),
    "bob": ("hair", "bob"),
    "long": ("hair", "long_hair"),
    "ponytail": ("hair", "ponytail"),
    "bun": ("hair", "bun"),
    "afro": ("hair", "afro"),
}
_HATS: dict[str, tuple[str, ...]] = {"none": (), "beanie": ("hat",), "cap": ("hat", "peak"), "brim": ("hat", "brim")}
_HOODS: dict[str, tuple[str, ...]] = {"none": (), "down": ("hood_down",), "up": ("hood_up",)}
_UNDER_A_HAT = frozenset({"hair", "bun", "afro"})


def head_shapes(look: Appearance) -> set[str]:
    """The names of the segments that a head wears."""
    shapes = set(_SHAPES[look.hair_shape]) | set(_HATS[look.hat]) | set(_HOODS[look.hood])
    if look.hat != "none":
        shapes -= _UNDER_A_HAT - {"hair"}
    if look.hood == "up":
        shapes -= {"bun", "afro", "ponytail", "bob"}
    worn = {"beard": look.beard, "glasses": look.glasses, "scarf": look.scarf is not None}
    return shapes | {name for name, there in worn.items() if there}


def _between(first: Colour, second: Colour, share: float) -> Colour:
    mixed = np.asarray(first) * (1 - share) + np.asarray(second) * share
    return float(mixed[0]), float(mixed[1]), float(mixed[2])


def head_layers(look: Appearance) -> dict[str, Layer]:
    """The layers of the head by slot."""
    cropped = look.hair_shape == "cropped"
    scalp = _between(look.hair, look.skin, 0.35) if cropped else look.hair
    strands = {"grain": 0.32, "folds": 0.10, "fold_phase": look.crease}
    hair = plain(look.hair, _HAIR, **strands)
    tight = 0.955 if cropped or look.hat != "none" else 1.0
    hooded = plain(look.upper, upper_lip(look), folds=0.24, fold_phase=look.crease)
    high_collar = look.garment in ("puffer", "coat", "jacket") and look.hood != "none"
    return {
        "neck": plain(look.upper, upper_lip(look), folds=0.1)._replace(width=(1.12, 1.12))
        if high_collar
        else plain(look.skin),
        "skin": plain(look.skin),
        "eye": plain((0.08, 0.06, 0.05)),
        "brow": plain(_between(look.hair, look.skin, 0.3)),
        "mouth": plain((0.80 * look.skin[0], 0.62 * look.skin[1], 0.62 * look.skin[2])),
        "hair": plain(scalp, _HAIR, **strands)._replace(width=(tight, tight)),
        "long_hair": hair,
        **dict.fromkeys(("bob", "ponytail", "bun", "afro"), hair),
        "beard": plain(_between(look.hair, look.skin, 0.25), _FACE, grain=0.3),
        "glasses": plain((0.07, 0.07, 0.08), _SUNGLASSES),
        "hat": plain(
            look.hat_colour, _HAT, folds=0.14, fold_phase=look.crease, grain=0.06 if look.hat == "beanie" else 0.0
        ),
        "peak": plain(darker(look.hat_colour, 0.85), _HAT),
        "brim": plain(look.hat_colour, _HAT, grain=0.05),
        "hood_up": hooded,
        "hood_down": hooded,
        "scarf": plain(look.scarf or look.upper, _SCARF, folds=0.30, fold_phase=look.crease, grain=0.08),
    }
