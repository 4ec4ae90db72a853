"""The colours of people: palettes weighted as clothes, skin and hair are met in a street."""

from __future__ import annotations

import numpy as np

__all__ = [
    "Colour",
    "cloth",
    "contrasting",
    "hair_colour",
    "pick",
    "saturation",
    "shoe_colour",
    "skin_colour",
    "trousers",
]

Colour = tuple[float, float, float]
Palette = tuple[tuple[float, Colour], ...]

_BLACK, _WHITE, _NAVY = (0.09, 0.09, 0.10), (0.88, 0.88, 0.87), (0.12, 0.15, 0.25)
_DARK_GREY, _GREY, _LIGHT_GREY = (0.22, 0.22, 0.24), (0.40, 0.40, 0.41), (0.64, 0.64, 0.64)
_BEIGE, _OLIVE, _BROWN = (0.69, 0.62, 0.51), (0.35, 0.36, 0.27), (0.32, 0.24, 0.19)
_DENIM_DARK, _DENIM, _DENIM_LIGHT = (0.17, 0.21, 0.31), (0.30, 0.38, 0.52), (0.52, 0.60, 0.70)

_SATURATED: Palette = (
    (3.0, (0.66, 0.14, 0.16)), (2.6, (0.16, 0.31, 0.64)), (1.6, (0.16, 0.42, 0.28)), (1.4, (0.84, 0.70, 0.20)),
    (1.3, (0.84, 0.42, 0.16)), (2.0, (0.82, 0.48, 0.58)), (1.0, (0.40, 0.26, 0.52)), (1.2, (0.20, 0.52, 0.58)),
)  # fmt: skip
_TOPS: Palette = (
    (24, _BLACK), (10, _DARK_GREY), (9, _GREY), (5, _LIGHT_GREY), (15, _WHITE), (3, (0.86, 0.82, 0.74)), (13, _NAVY),
    (3, _DENIM), (2, _DENIM_LIGHT), (5, _BEIGE), (3, _OLIVE), (3, _BROWN), (2, (0.34, 0.13, 0.17)), (1, (0.58, 0.47, 0.49)),
)  # fmt: skip
_TROUSERS: Palette = (
    (34, _BLACK), (13, _NAVY), (14, _DENIM_DARK), (12, _DENIM), (6, _DENIM_LIGHT), (5, _DARK_GREY), (4, _GREY), (5, _BEIGE),
    (4, (0.44, 0.40, 0.30)), (2, _BROWN), (3, _WHITE),
)  # fmt: skip
_SHOES: Palette = (
    (40, _BLACK), (22, (0.90, 0.90, 0.89)), (12, (0.30, 0.21, 0.15)), (10, _GREY), (5, _NAVY), (4, _BEIGE),
    (3, (0.66, 0.15, 0.15)), (2, (0.16, 0.31, 0.60)), (2, (0.80, 0.50, 0.60)),
)  # fmt: skip
_HAIR: Palette = (
    (42, (0.065, 0.055, 0.05)), (25, (0.15, 0.10, 0.075)), (14, (0.27, 0.18, 0.12)), (8, (0.60, 0.47, 0.28)),
    (7, (0.55, 0.55, 0.55)), (2, (0.44, 0.19, 0.09)), (2, (0.80, 0.79, 0.77)),
)  # fmt: skip
_SKIN: tuple[Colour, ...] = (
    (0.93, 0.78, 0.69), (0.90, 0.73, 0.62), (0.84, 0.66, 0.53), (0.76, 0.57, 0.43), (0.62, 0.44, 0.32), (0.46, 0.31, 0.22),
    (0.32, 0.21, 0.16),
)  # fmt: skip


def saturation(colour: Colour) -> float:
    """How far the strongest channel stands above the weakest, in [0, 1]."""
    return max(colour) - min(colour)


def pick(random: np.random.Generator, palette: Palette, spread: float = 0.14) -> Colour:
    """A colour of a palette, a little lighter or darker and a little off.

    Args:
        random: the generator.
        palette: weights and colours.
        spread: standard deviation of the logarithm of the brightness.
    """
    weights = np.array([weight for weight, _ in palette])
    base = np.asarray(palette[int(random.choice(len(palette), p=weights / weights.sum()))][1])
    shifted = np.clip(base * np.exp(random.normal(0.0, spread)) + random.normal(0.0, 0.012, 3), 0.03, 0.95)
    return float(shifted[0]), float(shifted[1]), float(shifted[2])


def cloth(random: np.random.Generator, saturated: float = 0.12) -> Colour:
    """The colour of a top, a hat or a bag.

    Args:
        random: the generator.
        saturated: the share of strong colours.
    """
    return pick(random, _SATURATED if random.random() < saturated else _TOPS)


def trousers(random: np.random.Generator) -> Colour:
    """The colour of trousers, shorts or a skirt: mostly black, navy and denim."""
    return pick(random, _SATURATED if random.random() < 0.025 else _TROUSERS)


def shoe_colour(random: np.random.Generator) -> Colour:
    """The colour of shoes: mostly black, then white and brown."""
    return pick(random, _SHOES)


def hair_colour(random: np.random.Generator) -> Colour:
    """The colour of hair: mostly black and brown, some grey, blond, red."""
    return pick(random, _HAIR, 0.18)


def skin_colour(random: np.random.Generator) -> Colour:
    """A tone of human skin, anywhere between the lightest and the darkest."""
    at = random.uniform(0.0, len(_SKIN) - 1.001) if random.random() < 0.6 else random.uniform(0.5, 3.5)
    low = int(at)
    mixed = np.asarray(_SKIN[low]) * (1 - at + low) + np.asarray(_SKIN[low + 1]) * (at - low)
    mixed = np.clip(mixed + random.normal(0.0, 0.008, 3), 0.05, 0.95)
    return float(mixed[0]), float(mixed[1]), float(mixed[2])


def contrasting(random: np.random.Generator, colour: Colour) -> Colour:
    """A second colour of cloth that can be told from the first."""
    for _ in range(8):
        other = cloth(random, 0.2)
        if sum(abs(a - b) for a, b in zip(colour, other, strict=True)) > 0.50:
            return other
    return _WHITE if sum(colour) < 1.5 else _BLACK
