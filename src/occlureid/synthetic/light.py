"""The light of a place: sun, sky and what the ground sends back; who stands in whose shadow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from occlureid.synthetic.primitives import Array, dot3

__all__ = ["Daylight", "Light", "draw_daylight"]


@dataclass(frozen=True, slots=True)
class Daylight:
    """The light of one camera's place.

    Attributes:
        towards: (3,) unit vector towards the sun or lamp, in the world.
        key: (3,) its colour times strength. sky: (3,) the same of what comes from above on all sides.
        bounce: (3,) share of the light that the ground sends back up.
        edge: (3,) x and z direction and offset in metres of the shadow line of a building on the ground.
        leaves: how much of the ground leaves shade, in [0, 1]. built: how dark the building's shadow is, in [0, 1].
        soft: half the angle under which the light appears, as a tangent: what makes far shadows soft.
    """

    towards: Array
    key: Array
    sky: Array
    bounce: Array
    edge: Array
    leaves: float
    built: float
    soft: float

    def on_ground(self) -> Array:
        """(3,) light on level ground."""
        return np.asarray(self.sky + self.key * max(float(self.towards[1]), 0.0), dtype=np.float64)


_KINDS: tuple[tuple[float, tuple[float, float], tuple[float, float], Sequence[float], Sequence[float], float], ...] = (
    # climb in radians; strengths of key and sky; their colours; half angle
    (0.30, (0.55, 1.10), (1.00, 1.50), (1.00, 0.94, 0.83), (0.84, 0.95, 1.14), 0.012),  # sun
    (0.20, (0.50, 1.10), (0.50, 0.85), (1.00, 0.96, 0.90), (0.94, 1.00, 1.05), 0.05),  # haze
    (0.27, (0.80, 1.30), (0.08, 0.25), (1.00, 0.98, 0.96), (0.96, 1.00, 1.04), 0.30),  # overcast
    (0.13, (0.28, 0.50), (0.70, 1.10), (1.00, 0.74, 0.48), (0.80, 0.88, 1.10), 0.03),  # evening
    (0.10, (0.95, 1.40), (0.35, 0.60), (1.00, 0.86, 0.66), (1.00, 0.92, 0.80), 0.12),  # lamps indoors
)
_SKY = ((0.28, 0.42), (0.45, 0.62), (0.75, 0.95), (0.25, 0.40), (0.50, 0.72))
_PLAIN = Daylight(
    np.array([0.35, 0.79, 0.5]) / np.sqrt(0.35**2 + 0.79**2 + 0.5**2), np.full(3, 0.2), np.full(3, 0.75), np.full(3, 0.3),
    np.array([1.0, 0.0, 50.0]), 0.0, 0.0, 0.2,
)  # fmt: skip


def draw_daylight(random: np.random.Generator, variety: float) -> Daylight:
    """Sun, haze, clouds, evening or lamps.

    Args:
        random: the camera's generator.
        variety: 0 gives every place the same white light, 1 the drawn one, anything between a mixture.
    """
    kind = int(random.choice(len(_KINDS), p=[row[0] for row in _KINDS]))
    _, climbs, strengths, key_colour, sky_colour, soft = _KINDS[kind]
    angle, climb = random.uniform(-np.pi, np.pi), random.uniform(*climbs)
    towards = np.array([np.sin(angle) * np.cos(climb), np.sin(climb), np.cos(angle) * np.cos(climb)])
    if random.random() < 0.6:  # most cameras are hung with the sun behind them
        towards[2] = abs(towards[2])
    key = np.asarray(key_colour) * random.uniform(*strengths)
    sky = np.asarray(sky_colour) * random.uniform(*_SKY[kind])
    ground = random.uniform(0.18, 0.42) * np.clip(1.0 + random.normal(0.0, 0.06, 3), 0.8, 1.2)
    turn = random.uniform(-np.pi, np.pi)
    built, leaves = random.uniform(0.5, 0.95), random.uniform(0.2, 0.55)
    which = random.random()
    offset = random.uniform(-1.5, 1.5)
    mixed = towards * variety + _PLAIN.towards * (1.0 - variety)

    def mix(drawn: Array, plain: Array) -> Array:
        return np.asarray(plain + variety * (drawn - plain), dtype=np.float64)

    return Daylight(
        towards=mixed / np.sqrt(dot3(mixed, mixed)),
        key=mix(key, _PLAIN.key),
        sky=mix(sky, _PLAIN.sky),
        bounce=mix(ground, _PLAIN.bounce),
        edge=np.array([np.sin(turn), np.cos(turn), offset]),
        leaves=variety * leaves if kind in (0, 3) and which > 0.6 else 0.0,
        built=variety * built if kind in (0, 1, 3) and which < 0.55 else 0.0,
        soft=soft,
    )


@dataclass(frozen=True, slots=True)
class Light:
    """The surroundings of each of B images, in the frame of its camera where nothing else is said.

    Attributes:
        towards: (B, 3) unit vector towards the key light. up: (B, 3) the vertical.
        key, sky, bounce: (B, 3) colours times strengths: from the light, from above, from below.
        height: (B,) of the camera. wall: (B, 3) the wall behind: its distance, and the cosine and sine of its turn.
        haze: (B,) share of the light that a hundred metres of air add.
        camera: (B,) numbers of the cameras, for their backdrops.
        feet: (B, S, 5) x, z of both ankles of somebody in metres of the world, and 1; zeros for nobody.
        axis: (B, K, 2) x, z of the vertical axis of the image's person of each owner number.
        occlusion: how dark corners are, in [0, 1].
    """

    towards: Array
    up: Array
    key: Array
    sky: Array
    bounce: Array
    height: Array
    wall: Array
    haze: Array
    camera: NDArray[np.int64]
    feet: Array
    axis: Array
    occlusion: float
