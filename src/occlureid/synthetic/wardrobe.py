"""What a person looks like, from one generator: build, skin, hair, garments, shoes, bag."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from occlureid.synthetic.body import SEGMENTS
from occlureid.synthetic.primitives import Array, material

__all__ = ["Appearance", "Outfit", "draw_appearance", "outfit", "resemble"]

Colour = tuple[float, float, float]

_MUTED_UPPER: tuple[Colour, ...] = (
    (0.10, 0.10, 0.11), (0.10, 0.10, 0.11), (0.20, 0.20, 0.22), (0.36, 0.36, 0.38), (0.58, 0.58, 0.58), (0.86, 0.86, 0.85),
    (0.90, 0.89, 0.86), (0.13, 0.16, 0.27), (0.23, 0.30, 0.43), (0.45, 0.53, 0.63), (0.66, 0.60, 0.49), (0.37, 0.37, 0.26),
    (0.31, 0.23, 0.18), (0.38, 0.16, 0.19), (0.24, 0.35, 0.35), (0.56, 0.45, 0.46),
)  # fmt: skip
_SATURATED: tuple[Colour, ...] = (
    (0.68, 0.20, 0.20), (0.78, 0.66, 0.28), (0.76, 0.45, 0.24), (0.22, 0.35, 0.62), (0.24, 0.46, 0.32), (0.76, 0.50, 0.58),
    (0.42, 0.30, 0.50), (0.32, 0.56, 0.60),
)  # fmt: skip
_LOWER: tuple[Colour, ...] = (
    (0.09, 0.09, 0.10), (0.09, 0.09, 0.10), (0.15, 0.18, 0.26), (0.24, 0.31, 0.43), (0.42, 0.50, 0.61), (0.32, 0.32, 0.34),
    (0.55, 0.55, 0.54), (0.62, 0.55, 0.43), (0.37, 0.30, 0.23), (0.36, 0.37, 0.27), (0.82, 0.81, 0.78),
)  # fmt: skip
_SHOES: tuple[Colour, ...] = (
    (0.08, 0.08, 0.09), (0.08, 0.08, 0.09), (0.88, 0.88, 0.87), (0.88, 0.88, 0.87), (0.36, 0.25, 0.17), (0.45, 0.45, 0.47),
    (0.70, 0.16, 0.15), (0.16, 0.24, 0.45),
)  # fmt: skip
_HAIR: tuple[Colour, ...] = (
    (0.06, 0.05, 0.05), (0.06, 0.05, 0.05), (0.17, 0.11, 0.08), (0.30, 0.20, 0.13), (0.58, 0.45, 0.26), (0.60, 0.60, 0.60),
)  # fmt: skip
_SKIN: tuple[Colour, ...] = (
    (0.91, 0.74, 0.64), (0.86, 0.68, 0.56), (0.78, 0.58, 0.45), (0.62, 0.43, 0.31), (0.42, 0.28, 0.20),
)  # fmt: skip

_PATTERNS = ("plain", "stripes_across", "stripes_along", "checks", "blocks", "open")
_BOTTOMS = ("trousers", "shorts", "skirt")


@dataclass(frozen=True, slots=True)
class Appearance:
    """Everything by which a person can be told from others; colours as a screen shows them, in [0, 1].

    Attributes:
        height: metres. build: factor of all widths. shoulder, hip: factors of those distances.
        pattern: of the upper garment: plain, stripes across or along, checks, two blocks, or open over a second colour.
        sleeve: "long", "short" or "coloured" (long, in the second colour).
        bottom: "trousers", "shorts" or "skirt".
        coat: whether the upper garment hangs over the hips. loose: factor of the widths of the clothes.
        long_hair, beanie, backpack: worn or not.
    """

    height: float
    build: float
    shoulder: float
    hip: float
    skin: Colour
    hair: Colour
    long_hair: bool
    beanie: Colour | None
    upper: Colour
    upper_second: Colour
    pattern: str
    period: float
    sleeve: str
    coat: bool
    loose: float
    lower: Colour
    bottom: str
    leg_width: float
    shoes: Colour
    backpack: Colour | None


def _pick(random: np.random.Generator, colours: tuple[Colour, ...], spread: float = 0.035) -> Colour:
    base = np.asarray(colours[int(random.integers(len(colours)))])
    shifted = np.clip(base + random.normal(0.0, spread) + random.normal(0.0, spread * 0.5, 3), 0.03, 0.95)
    return float(shifted[0]), float(shifted[1]), float(shifted[2])


def _cloth(random: np.random.Generator) -> Colour:
    return _pick(random, _SATURATED if random.random() < 0.20 else _MUTED_UPPER)


def _contrasting(random: np.random.Generator, colour: Colour) -> Colour:
    """A second colour that can be told from the first."""
    for _ in range(8):
        other = _cloth(random)
        if sum(abs(a - b) for a, b in zip(colour, other, strict=True)) > 0.45:
            return other
    return (0.90, 0.89, 0.87) if sum(colour) < 1.5 else (0.10, 0.10, 0.11)


def draw_appearance(random: np.random.Generator) -> Appearance:
    """A person dressed as people are: mostly muted colours and plain cloth."""
    upper = _cloth(random)
    pattern = str(random.choice(_PATTERNS, p=(0.46, 0.12, 0.05, 0.07, 0.13, 0.17)))
    slim = random.random() < 0.5
    long_hair = bool(random.random() < (0.6 if slim else 0.08))
    bottom = str(random.choice(_BOTTOMS, p=(0.70, 0.12, 0.18) if slim else (0.80, 0.20, 0.0)))
    summer = bottom == "shorts" or random.random() < 0.3
    sleeve = "short" if summer else ("coloured" if random.random() < 0.15 else "long")
    coat = bool(not summer and random.random() < 0.5)
    return Appearance(
        height=random.normal(1.66 if slim else 1.77, 0.06),
        build=float(np.clip(random.normal(0.96 if slim else 1.05, 0.08), 0.80, 1.28)),
        shoulder=random.normal(0.94 if slim else 1.06, 0.03),
        hip=random.normal(1.05 if slim else 0.97, 0.04),
        skin=_pick(random, _SKIN, 0.02),
        hair=_pick(random, _HAIR, 0.02),
        long_hair=long_hair,
        beanie=_cloth(random) if random.random() < 0.09 else None,
        upper=upper,
        upper_second=_contrasting(random, upper),
        pattern=pattern,
        period=float(random.choice((0.09, 0.13, 0.20))),
        sleeve=sleeve,
        coat=coat,
        loose=random.uniform(1.03, 1.17) if coat else random.uniform(0.97, 1.08),
        lower=_pick(random, _SATURATED if random.random() < 0.07 else _LOWER),
        bottom=bottom,
        leg_width=random.uniform(0.86, 1.15),
        shoes=_pick(random, _SHOES),
        backpack=_cloth(random) if random.random() < 0.24 else None,
    )


_FEATURES: tuple[tuple[str, ...], ...] = (
    ("lower",), ("shoes", "leg_width"), ("hair", "long_hair", "beanie"), ("backpack",), ("pattern", "upper_second", "period"),
    ("sleeve", "coat", "loose"), ("bottom", "leg_width"), ("height", "build", "shoulder", "hip", "skin"), ("upper",),
)  # fmt: skip


def resemble(random: np.random.Generator, other: Appearance, changes: int = 3) -> Appearance:
    """Somebody who looks like ``other`` but for some features, as a colleague in the same jacket does.

    Args:
        random: the generator of the new person.
        other: the person to look like.
        changes: how many groups of features (trousers; shoes; hair; bag; ...) are drawn anew, 1 to 9.
    """
    own = draw_appearance(random)
    chosen = random.permutation(len(_FEATURES))[:changes]
    return replace(other, **{name: getattr(own, name) for group in chosen for name in _FEATURES[group]})


@dataclass(frozen=True, slots=True)
class Outfit:
    """An appearance as the body wants it: one row a segment.

    Attributes:
        widths: (S,) factors of the radii. materials: (S, M). active: (S,) which segments are there.
    """

    height: float
    shoulder: float
    hip: float
    widths: Array
    materials: Array
    active: NDArray[np.bool_]


_TRUNK_BASES = {"pelvis": 0.505, "waist": 0.57, "chest": 0.672, "shoulder": 0.795, "hem": 0.625}
"""Where each garment segment begins in body heights, so that stripes run on from one to the next."""


def _upper_material(look: Appearance, slot: str) -> Array:
    height = look.height
    base = _TRUNK_BASES.get(slot, 0.0) * height
    rate = 1.0 / look.period
    down = slot in ("hem", "upper_arm", "lower_arm")
    across = (0.0, -rate if down else rate, 0.0, base * rate)
    along = (rate, 0.0, 0.0, 0.25)
    options: dict[str, object] = {"folds": 0.16 if look.loose > 1.02 else 0.10}
    colour = look.upper
    arm = slot in ("upper_arm", "lower_arm")
    if look.pattern == "stripes_across":
        options |= {"second": look.upper_second, "wave": across, "duty": 0.55}
    elif look.pattern == "stripes_along":
        options |= {"second": look.upper_second, "wave": along, "duty": 0.7}
    elif look.pattern == "checks":
        options |= {"second": look.upper_second, "wave": across, "cross": along, "duty": 0.72}
    elif look.pattern == "blocks":
        if slot in ("shoulder", "upper_arm"):
            colour = look.upper_second
        elif slot == "chest":
            options |= {"beyond": look.upper_second, "cut": 0.045 * height}
    elif look.pattern == "open" and not arm:
        options |= {"second": look.upper_second, "panel": 0.0 if slot == "shoulder" else 0.055}
    if arm and look.sleeve == "coloured":
        options = {"folds": 0.14}
        colour = look.upper_second
    if look.sleeve == "short" and arm:
        options |= {"beyond": look.skin, "cut": 0.105 * height if slot == "upper_arm" else -99.0}
    return material(colour, **options)  # type: ignore[arg-type]


def outfit(look: Appearance) -> Outfit:
    """The widths, materials and segments of an appearance."""
    bare = look.bottom == "shorts"
    skirt = look.bottom == "skirt"
    skin = material(look.skin)
    hair = material(look.beanie or look.hair, grain=0.25)
    legs = material(look.lower, folds=0.14)
    bag = material(look.backpack or (0.0, 0.0, 0.0), folds=0.08)
    slots = {
        "skin": skin,
        "neck": material(look.upper) if look.coat and look.beanie else skin,
        "hair": hair,
        "long_hair": material(look.hair, grain=0.3),
        "eye": material((0.08, 0.06, 0.05)),
        "backpack": bag,
        "shoe": material(look.shoes),
        "skirt": material(look.lower, folds=0.25),
        "pelvis": legs if not look.coat else _upper_material(look, "pelvis"),
        "thigh": material(look.lower, beyond=look.skin, cut=(0.02 if skirt else 0.195) * look.height, folds=0.14)
        if bare or skirt
        else legs,
        "shin": skin if bare or skirt else material(look.lower, beyond=look.skin, cut=0.222 * look.height, folds=0.16),
        **{
            slot: _upper_material(look, slot)
            for slot in ("waist", "chest", "shoulder", "hem", "upper_arm", "lower_arm")
        },
    }
    arm = look.loose if look.sleeve != "short" else 0.92
    leg = look.leg_width if not (bare or skirt) else 0.88
    bulk = {
        "": 1.0,
        "trunk": look.build * look.loose,
        "arms": look.build * arm,
        "legs": look.build * leg,
        "hem": look.build * max(look.loose, 1.08 if bare else leg, look.hip) * 1.03,
    }
    widths = np.array([bulk[s.bulk] for s in SEGMENTS])
    names = [s.name for s in SEGMENTS]
    if bare:
        for side in ("left", "right"):
            widths[names.index(f"{side}_thigh")] = look.build * 1.08
    # Clothes over clothes: a hem and a skirt must lie outside the pelvis whatever the build.
    widths[names.index("skirt")] = look.build * 1.06
    worn = {
        "hem": look.coat or look.loose > 1.0,
        "skirt": skirt,
        "backpack": look.backpack is not None,
        "left_strap": look.backpack is not None,
        "right_strap": look.backpack is not None,
        "long_hair": look.long_hair,
    }
    return Outfit(
        height=look.height,
        shoulder=look.shoulder * (0.5 + 0.5 * look.build),
        hip=look.hip,
        widths=widths,
        materials=np.stack([slots[s.slot] for s in SEGMENTS]),
        active=np.array([worn.get(s.name, True) for s in SEGMENTS]),
    )
