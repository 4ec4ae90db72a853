"""Names for the horizontal stripes of a picture of a standing person."""

from __future__ import annotations

from occlureid.types import Region

__all__ = ["stripe_regions"]

_NAMES: dict[int, tuple[str, ...]] = {
    1: ("whole body",),
    2: ("upper body", "lower body"),
    3: ("head and chest", "hips and thighs", "shins and feet"),
    4: ("head and shoulders", "chest and waist", "hips and thighs", "shins and feet"),
    5: ("head", "chest", "hips", "knees", "feet"),
    6: ("head", "chest", "waist", "thighs", "knees", "feet"),
    7: ("head", "shoulders", "waist", "hips", "thighs", "shins", "feet"),
    8: ("head", "shoulders", "chest", "waist", "hips", "thighs", "shins", "feet"),
}
"""The middle of each stripe on a person seen whole: chin at 0.15, hips at 0.5, knees at 0.75 of the height."""


def stripe_regions(count: int) -> tuple[Region, ...]:
    """The places of equally high stripes over the whole width, from top to bottom, named from head to feet.

    The names say where a stripe lies on a person who stands upright and is seen whole. Beyond 8 stripes they are numbers.
    """
    names = _NAMES.get(count) or tuple(f"stripe {i + 1} of {count}" for i in range(count))
    return tuple(Region(name, i / count, 0.0, (i + 1) / count, 1.0) for i, name in enumerate(names))
