"""What a person looks like, from one generator: build, head, garments, belongings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from occlureid.synthetic.colours import Colour, cloth, contrasting, hair_colour, shoe_colour, skin_colour, trousers

__all__ = [
    "BAGS", "BOTTOMS", "GARMENTS", "HAIR_SHAPES", "HATS", "HOODS", "LUGGAGE", "PATTERNS", "PRINTED", "SHOES", "SLEEVES",
    "Appearance", "draw_appearance", "resemble",
]  # fmt: skip

HAIR_SHAPES = ("short", "cropped", "bald", "bob", "long", "ponytail", "bun", "afro")
HATS = ("none", "beanie", "cap", "brim")
HOODS = ("none", "down", "up")
GARMENTS = ("tshirt", "shirt", "jumper", "hoodie", "jacket", "puffer", "coat", "dress")
PATTERNS = ("plain", "stripes_across", "stripes_along", "checks", "blocks", "dots", "gradient")
PRINTED = ("none", "box", "disc", "letters", "ring")
SLEEVES = ("long", "short", "coloured")
BOTTOMS = ("straight", "tight", "wide", "shorts", "skirt", "long_skirt")
SHOES = ("low", "trainers", "boots")
BAGS = ("none", "backpack", "shoulder_bag", "handbag")
LUGGAGE = ("none", "suitcase", "umbrella")


@dataclass(frozen=True, slots=True)
class Appearance:
    """Everything by which a person can be told from others; colours as a screen shows them, in [0, 1].

    Attributes:
        height: metres. build: factor of all widths. shoulder, hip: factors of those distances.
        skin, hair: colours. hair_shape: one of ``HAIR_SHAPES``. beard, glasses: worn or not.
        hat: one of ``HATS``. hat_colour: its colour. hood: one of ``HOODS``. scarf: its colour, or None.
        garment: the upper garment, one of ``GARMENTS``. upper, upper_second: its colours.
        pattern: one of ``PATTERNS``. period: of stripes, checks and dots, in metres.
        front, back: what is printed there, of ``PRINTED``. front_ink, back_ink: in which colours.
        sleeve: one of ``SLEEVES``; "coloured" is long, in the second colour.
        open: whether it hangs open over a shirt of the colour ``inner``. loose: factor of the widths of the clothes.
        bottom: one of ``BOTTOMS``; a dress has its own. lower: its colour. socks: their colour.
        shoe: one of ``SHOES``. shoes, sole: colours.
        bag: one of ``BAGS``. bag_colour, bag_size: its colour and a factor of its size. bag_side: 1 left, -1 right.
        luggage: one of ``LUGGAGE``, held in a hand. luggage_colour: its colour. luggage_side: 1 left, -1 right.
        crease: where the folds of the clothes lie, in [0, 1).
    """

    height: float
    build: float
    shoulder: float
    hip: float
    skin: Colour
    hair: Colour
    hair_shape: str
    beard: bool
    glasses: bool
    hat: str
    hat_colour: Colour
    hood: str
    scarf: Colour | None
    garment: str
    upper: Colour
    upper_second: Colour
    pattern: str
    period: float
    front: str
    back: str
    front_ink: Colour
    back_ink: Colour
    sleeve: str
    open: bool
    inner: Colour
    loose: float
    bottom: str
    lower: Colour
    socks: Colour
    shoe: str
    shoes: Colour
    sole: Colour
    bag: str
    bag_colour: Colour
    bag_size: float
    bag_side: int
    luggage: str
    luggage_colour: Colour
    luggage_side: int
    crease: float


def _one_of(random: np.random.Generator, names: tuple[str, ...], weights: tuple[float, ...]) -> str:
    return str(names[int(random.choice(len(names), p=np.array(weights) / sum(weights)))])


_PATTERN_WEIGHTS: dict[str, tuple[float, ...]] = {
    "tshirt": (62, 13, 1, 1, 10, 4, 5),
    "shirt": (55, 3, 14, 22, 0, 5, 0),
    "jumper": (62, 16, 2, 5, 11, 1, 5),
    "hoodie": (74, 2, 0, 0, 20, 0, 4),
    "jacket": (76, 0, 0, 5, 18, 0, 2),
    "puffer": (80, 0, 0, 0, 20, 0, 0),
    "coat": (86, 0, 1, 9, 4, 0, 0),
    "dress": (56, 10, 3, 5, 8, 14, 6),
}
_LOOSE = {"tshirt": (0.98, 1.10), "shirt": (1.00, 1.10), "jumper": (1.03, 1.14), "hoodie": (1.06, 1.18), "jacket": (1.07, 1.18),
          "puffer": (1.16, 1.28), "coat": (1.09, 1.18), "dress": (0.98, 1.05)}  # fmt: skip

_BOTTOM_WEIGHTS: dict[tuple[bool, bool], tuple[float, ...]] = {
    (True, True): (22, 30, 12, 14, 14, 8),
    (False, True): (46, 6, 8, 40, 0, 0),
    (True, False): (30, 42, 14, 1, 8, 5),
    (False, False): (74, 12, 12, 2, 0, 0),
}
"""By whether somebody is slim, and whether it is summer."""


def draw_appearance(random: np.random.Generator) -> Appearance:
    """A person dressed as people are: mostly muted colours and plain cloth, in summer or in winter."""
    slim = random.random() < 0.5
    summer = random.random() < 0.45
    garment = _one_of(
        random,
        GARMENTS,
        (38, 16, 4, 4, 3, 0, 0, 9 if slim else 0) if summer else (4, 8, 14, 17, 25, 15, 14, 4 if slim else 0),
    )
    upper = cloth(random)
    pattern = _one_of(random, PATTERNS, _PATTERN_WEIGHTS[garment])
    printable = pattern in ("plain", "blocks", "gradient") and garment in ("tshirt", "jumper", "hoodie", "jacket")
    front = _one_of(random, PRINTED, (50, 14, 12, 18, 6)) if printable and garment != "jacket" else "none"
    back = _one_of(random, PRINTED, (68, 10, 7, 12, 3)) if printable else "none"
    rolled = garment in ("shirt", "dress") and summer and random.random() < 0.6
    sleeve = "short" if garment == "tshirt" or rolled else "coloured" if random.random() < 0.08 else "long"
    bottom = _one_of(random, BOTTOMS, _BOTTOM_WEIGHTS[slim, summer])
    shape = _one_of(random, HAIR_SHAPES, (10, 2, 0, 17, 34, 24, 10, 3) if slim else (56, 24, 8, 3, 3, 2, 1, 3))
    hat = _one_of(random, HATS, (86, 1, 10, 3) if summer else (82, 11, 6, 1))
    hood = "none"
    if garment in ("hoodie", "puffer") or (garment == "jacket" and random.random() < 0.35):
        hood = "up" if hat == "none" and random.random() < 0.14 else "down"
    bag = _one_of(random, BAGS, (46, 28, 16, 10 if slim else 2))
    side = 1 if random.random() < 0.5 else -1
    shoe = _one_of(random, SHOES, (30, 62, 8) if summer else (40, 42, 18))
    shoes = shoe_colour(random)
    return Appearance(
        height=random.normal(1.65 if slim else 1.77, 0.065),
        build=float(np.clip(random.normal(0.96 if slim else 1.04, 0.09), 0.80, 1.30)),
        shoulder=random.normal(0.94 if slim else 1.06, 0.035),
        hip=random.normal(1.05 if slim else 0.97, 0.04),
        skin=skin_colour(random),
        hair=hair_colour(random),
        hair_shape=shape,
        beard=bool(not slim and random.random() < 0.22),
        glasses=bool(random.random() < 0.12),
        hat=hat,
        hat_colour=cloth(random, 0.2),
        hood=hood,
        scarf=cloth(random, 0.3) if not summer and hood != "up" and random.random() < 0.16 else None,
        garment=garment,
        upper=upper,
        upper_second=contrasting(random, upper),
        pattern=pattern,
        period=float(random.choice((0.05, 0.08, 0.12, 0.18))),
        front=front,
        back=back,
        front_ink=contrasting(random, upper),
        back_ink=contrasting(random, upper),
        sleeve=sleeve,
        open=bool(garment in ("jacket", "coat", "puffer", "hoodie", "shirt") and random.random() < 0.36),
        inner=contrasting(random, upper),
        loose=random.uniform(*_LOOSE[garment]),
        bottom=bottom,
        lower=trousers(random),
        socks=(0.88, 0.88, 0.87) if random.random() < 0.5 else (0.10, 0.10, 0.11),
        shoe=shoe,
        shoes=shoes,
        sole=(0.90, 0.90, 0.88) if shoe == "trainers" and random.random() < 0.8 else (0.10, 0.09, 0.09),
        bag=bag,
        bag_colour=cloth(random, 0.22),
        bag_size=random.uniform(0.82, 1.18),
        bag_side=side,
        luggage=_one_of(random, LUGGAGE, (88, 8, 4)),
        luggage_colour=cloth(random, 0.3),
        luggage_side=-side,
        crease=random.random(),
    )


_FEATURES: tuple[tuple[str, ...], ...] = (
    ("lower",),
    ("bottom", "socks"),
    ("shoe", "shoes", "sole"),
    ("hair", "hair_shape", "beard", "glasses"),
    ("hat", "hat_colour", "scarf"),
    ("bag", "bag_colour", "bag_size", "bag_side", "luggage", "luggage_colour", "luggage_side"),
    ("upper_second", "inner", "front", "back", "front_ink", "back_ink"),
    ("garment", "pattern", "period", "sleeve", "open", "loose", "hood", "front", "back"),
    ("height", "build", "shoulder", "hip", "skin"),
    ("upper",),
)


def resemble(random: np.random.Generator, other: Appearance, changes: int = 3) -> Appearance:
    """Somebody who looks like ``other`` but for some features, as a colleague in the same jacket does.

    Args:
        random: the generator of the new person.
        other: the person to look like.
        changes: how many groups of features (trousers; shoes; hair; bag; ...) are drawn anew, 1 to 10. The folds of the
            cloth are one's own in any case.
    """
    own = draw_appearance(random)
    chosen = random.permutation(len(_FEATURES))[:changes]
    changed = {name: getattr(own, name) for group in chosen for name in _FEATURES[group]}
    looks = replace(other, crease=own.crease, **changed)
    # A hood belongs to its garment, and nothing is printed under a hood that is up with a hat on it.
    return replace(looks, hood="down") if looks.hood == "up" and looks.hat != "none" else looks
