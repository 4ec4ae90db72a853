"""What people get hidden behind. Training and test use different models, so that nobody can learn the obstacle.

A model is a function of an *amount* in [0, 1]: at 0 it hides (nearly) nothing of the target, at 1 as much as it can. It slides
in from a side, grows from the ground, or comes down from above; the amount that gives a wanted visible fraction is then
looked up on a coarse rendering.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from occlureid.synthetic.primitives import Array, Primitives, boxes, material, round_cones

__all__ = ["BORDER", "NONE", "OBSTACLES", "PERSON", "Obstacle", "Placement", "models_of"]

NONE, BORDER, PERSON = "none", "border", "person"
"""Kinds that are no models: nothing hides the target, the image cuts it, another person stands in front."""

Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Placement:
    """One obstacle before it is built.

    Attributes:
        spot: (2,) x, z of the point on the ground in front of the target where it would hide most.
        right: (2,) unit vector on the ground that points right in the image there.
        side: -1 from the left, +1 from the right.
        tall: height of the target in metres.
        colour: (3,). size: factor about 1. yaw: radians off the image plane.
    """

    spot: Array
    right: Array
    side: float
    tall: float
    colour: Array
    size: float
    yaw: float

    def at(self, shift: float, back: float = 0.0) -> tuple[float, float]:
        """x, z after a shift to the placement's side, and back from the camera, in metres."""
        step = shift * self.side
        return float(self.spot[0] + self.right[0] * step), float(self.spot[1] + self.right[1] * step - back)


Builder = Callable[[Placement, float], Primitives]


def _box(
    place: Placement, shift: float, y: float, half: tuple[float, float, float], paint: Array, back: float = 0.0
) -> Primitives:
    x, z = place.at(shift, back)
    return boxes(np.array([[x, y, z]]), np.array([half]), np.array([place.yaw]), materials=paint[None])


def _post(
    place: Placement, shift: float, low: float, high: float, radii: tuple[float, float], paint: Array
) -> Primitives:
    x, z = place.at(shift)
    return round_cones(
        np.array([[x, low, z]]), np.array([[x, high, z]]), np.array([radii[0]]), np.array([radii[1]]),
        hint=np.array([[0.0, 0.0, 1.0]]), squeeze=np.ones((1, 2)), materials=paint[None],
    )  # fmt: skip


def _wheel(place: Placement, shift: float, radius: float, front: float) -> Primitives:
    x, z = place.at(shift, -front)
    across = np.array([[np.sin(place.yaw), 0.0, np.cos(place.yaw)]])
    start = np.array([[x, radius, z]]) - across * 0.08
    return round_cones(
        start, start + across * 0.12, np.array([radius]), np.array([radius * 0.9]), hint=np.array([[0.0, 1.0, 0.0]]),
        squeeze=np.ones((1, 2)), materials=material((0.07, 0.07, 0.08))[None],
    )  # fmt: skip


def _car(place: Placement, amount: float) -> Primitives:
    """A saloon car that drives in from the side."""
    shift = (1.0 - amount) * 3.0 * place.size
    s = place.size
    paint = material(place.colour)
    glass = material((0.13, 0.16, 0.18), second=place.colour, wave=(0.9, 0, 0, 0.05), duty=0.86)
    return Primitives.cat([
        _box(place, shift, 0.58 * s, (2.15 * s, 0.30 * s, 0.80), paint, 0.8),
        _box(place, shift + 0.15, 1.10 * s, (1.15 * s, 0.26 * s, 0.66), glass, 0.8),
        _box(place, shift + 0.15, 1.38 * s, (1.00 * s, 0.04, 0.62), paint, 0.8),
        _wheel(place, shift - 1.35 * s, 0.31 * s, 0.02), _wheel(place, shift + 1.35 * s, 0.31 * s, 0.02),
    ])  # fmt: skip


def _van(place: Placement, amount: float) -> Primitives:
    """A delivery van: taller, squarer, with a stripe."""
    shift = 2.9 - amount * 1.1
    side = material(place.colour, second=np.asarray(place.colour) * 0.45, wave=(0, 0.55, 0, 0.62), duty=0.80)
    return Primitives.cat([
        _box(place, shift, 1.10, (2.3, 0.85, 0.9), side, 0.9),
        _wheel(place, shift - 1.55, 0.36, 0.02), _wheel(place, shift + 1.55, 0.36, 0.02),
    ])  # fmt: skip


def _pole(place: Placement, amount: float) -> Primitives:
    """A steel pole or a pillar, hooped in two greys, that grows thick."""
    radius = 0.03 + 0.20 * amount * place.size
    paint = material(place.colour, second=np.asarray(place.colour) * 0.6, wave=(0, 0.9, 0, 0.2), duty=0.8)
    return _post(place, 0.06 * (1 - amount), 0.0, 4.5, (radius, radius * 0.9), paint)


def _trunk(place: Placement, amount: float) -> Primitives:
    """A tree trunk with a root collar."""
    radius = 0.03 + 0.23 * amount * place.size
    bark = material(
        place.colour, second=np.asarray(place.colour) * 0.55, wave=(7.0, 0.7, 5.0, 0.0), duty=0.7, grain=0.4
    )
    return Primitives.cat([
        _post(place, 0.04, 0.1, 4.2, (radius, radius * 0.75), bark), _post(place, 0.04, 0.0, 0.35, (radius * 1.25, radius), bark),
    ])  # fmt: skip


def _wall(place: Placement, amount: float) -> Primitives:
    """A long low wall of blocks."""
    high = 0.04 + 0.80 * place.tall * amount
    joints = material(
        place.colour, second=np.asarray(place.colour) * 0.7, wave=(1.8, 0, 0, 0.1), cross=(0, 3.5, 0, 0.5), duty=0.93
    )
    return Primitives.cat([
        _box(place, 0.0, high / 2, (6.0, high / 2, 0.10), joints),
        _box(place, 0.0, high, (6.0, 0.03, 0.14), material(np.asarray(place.colour) * 1.08)),
    ])  # fmt: skip


def _hedge(place: Placement, amount: float) -> Primitives:
    """A hedge: a leafy box with an uneven crest."""
    high = 0.04 + 0.72 * place.tall * amount
    leaves = material(
        place.colour,
        second=np.asarray(place.colour) * 0.6,
        wave=(5.1, 3.7, 0, 0),
        cross=(-4.3, 6.1, 0, 0.3),
        duty=0.62,
        grain=0.5,
    )
    items = [_box(place, 0.0, high / 2, (5.0, high / 2, 0.22), leaves)]
    for k in range(-4, 5):
        bulge = 0.10 + 0.05 * ((k * k * 7) % 5) / 5
        items.append(_post(place, 0.42 * k, high - 0.06, high + 0.02 * (k % 3), (bulge, bulge), leaves))
    return Primitives.cat(items)


def _fence(place: Placement, amount: float) -> Primitives:
    """A fence of upright planks with narrow gaps, and two rails."""
    high = 0.06 + 0.84 * place.tall * amount
    items = []
    for k in range(-12, 13):
        tone = material(np.asarray(place.colour) * (0.85 + 0.3 * ((k * 7) % 5) / 5), grain=0.2)
        items.append(_box(place, 0.17 * k, high / 2, (0.072, high / 2, 0.015), tone))
    rail = material(np.asarray(place.colour) * 0.7)
    items += [_box(place, 0.0, high * share, (2.2, 0.04, 0.02), rail, 0.04) for share in (0.25, 0.75)]
    return Primitives.cat(items)


def _sign(place: Placement, amount: float) -> Primitives:
    """A board on two legs that slides in before the upper body."""
    shift = (1.0 - amount) * 1.05
    face = material(place.colour, second=(0.92, 0.92, 0.90), wave=(0, 2.2, 0, 0.3), duty=0.75)
    leg = material((0.45, 0.46, 0.48))
    return Primitives.cat([
        _box(place, shift, 0.66 * place.tall, (0.48, 0.29 * place.tall, 0.02), face),
        _box(place, shift - 0.40, 0.22 * place.tall, (0.025, 0.24 * place.tall, 0.02), leg),
        _box(place, shift + 0.40, 0.22 * place.tall, (0.025, 0.24 * place.tall, 0.02), leg),
    ])  # fmt: skip


def _bin(place: Placement, amount: float) -> Primitives:
    """A tall round container on wheels, lid on top."""
    shift = (1.0 - amount) * 0.95
    high = 0.62 * place.tall * place.size
    ribs = material(place.colour, wave=(6, 0, 6, 0), second=np.asarray(place.colour) * 0.8)
    return Primitives.cat([
        _post(place, shift, 0.28, high - 0.22, (0.27, 0.34), ribs),
        _post(place, shift, high - 0.16, high - 0.05, (0.33, 0.28), material(np.asarray(place.colour) * 0.55)),
    ])  # fmt: skip


def _awning(place: Placement, amount: float) -> Primitives:
    """A striped awning or banner that hangs down before head and chest."""
    low = place.tall * (1.02 - 0.62 * amount)
    cloth = material(place.colour, second=(0.90, 0.88, 0.82), wave=(2.4, 0, 0, 0.2), duty=0.5, folds=0.2)
    return _box(place, 0.0, (low + 4.0) / 2, (3.0, (4.0 - low) / 2, 0.03), cloth)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One model.

    Attributes:
        name: of the model. kind: what ``truth.jsonl`` calls it. test: whether it belongs to the test splits.
        colours: those it comes in. build: see the module. gap: metres in front of the target, low and high.
    """

    name: str
    kind: str
    test: bool
    colours: tuple[Colour, ...]
    build: Builder
    gap: tuple[float, float]


OBSTACLES: tuple[Obstacle, ...] = (
    Obstacle("saloon", "car", False, ((0.60, 0.10, 0.10), (0.14, 0.22, 0.42), (0.66, 0.67, 0.68)), _car, (0.7, 1.3)),
    Obstacle("steel_pole", "pole", False, ((0.55, 0.57, 0.58), (0.35, 0.36, 0.38)), _pole, (0.5, 1.5)),
    Obstacle("block_wall", "wall", False, ((0.62, 0.60, 0.56), (0.52, 0.44, 0.40)), _wall, (0.6, 1.6)),
    Obstacle("box_hedge", "hedge", False, ((0.20, 0.33, 0.14), (0.28, 0.36, 0.16)), _hedge, (0.6, 1.4)),
    Obstacle("road_sign", "sign", False, ((0.10, 0.25, 0.55), (0.65, 0.12, 0.12)), _sign, (0.5, 1.4)),
    Obstacle("delivery_van", "car", True, ((0.90, 0.90, 0.88), (0.88, 0.72, 0.12), (0.30, 0.32, 0.34)), _van, (0.8, 1.5)),
    Obstacle("tree", "tree", True, ((0.34, 0.25, 0.18), (0.45, 0.38, 0.29)), _trunk, (0.5, 1.5)),
    Obstacle("plank_fence", "fence", True, ((0.50, 0.36, 0.22), (0.75, 0.73, 0.68)), _fence, (0.6, 1.6)),
    Obstacle("wheeled_bin", "bin", True, ((0.12, 0.30, 0.20), (0.80, 0.42, 0.10)), _bin, (0.6, 1.2)),
    Obstacle("awning", "awning", True, ((0.55, 0.12, 0.16), (0.12, 0.35, 0.34)), _awning, (0.5, 1.3)),
)  # fmt: skip


def models_of(test: bool) -> tuple[Obstacle, ...]:
    """The models of the training split, or of query and gallery; the two share neither model nor colour."""
    return tuple(model for model in OBSTACLES if model.test == test)
