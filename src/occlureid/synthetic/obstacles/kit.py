"""How an obstacle is put together: boxes and rods in a frame of its own, then set on the ground before the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from occlureid.synthetic.primitives import CONE, OPEN_CONE, Array, Primitives, boxes, round_cones

__all__ = ["Builder", "Colour", "Kit", "Placement", "Point", "darker"]

Colour = tuple[float, float, float]
Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one obstacle goes, and what is drawn of it by chance.

    Attributes:
        spot: (2,) x, z of the point on the ground in front of the target where it would hide most.
        right: (2,) unit vector on the ground that points right in the image there.
        side: -1 from the left, +1 from the right.
        tall: height of the target in metres.
        colour: (3,) of its paint, cloth or leaves.
        size: factor about 1 of what comes in several sizes.
        yaw: radians by which it is turned off the image plane.
        chance: in [0, 1), decides whatever else a model leaves open.
        eye: height of the camera in metres.
        ahead: how far the spot is from the target towards the camera, as a share of the whole way.
    """

    spot: Array
    right: Array
    side: float
    tall: float
    colour: Array
    size: float = 1.0
    yaw: float = 0.0
    chance: float = 0.5
    eye: float = 0.0
    ahead: float = 0.0

    def at(self, shift: float, back: float = 0.0) -> tuple[float, float]:
        """x, z after a shift to the placement's side, and back from the camera, in metres."""
        step = shift * self.side
        return (
            float(self.spot[0] + self.right[0] * step + self.right[1] * back),
            float(self.spot[1] + self.right[1] * step - self.right[0] * back),
        )

    def line(self, height: float) -> float:
        """The height at the spot of what hides the target's ``height``, seen from the camera, in metres."""
        return height * (1.0 - self.ahead) + self.eye * self.ahead

    def pick(self, count: int, salt: int = 1) -> int:
        """One of ``count`` choices, decided by chance; another ``salt`` decides another question."""
        return int(self.chance * 9973.0 * salt) % count


Builder = Callable[[Placement, float], Primitives]
"""An obstacle from its place and an amount in [0, 1]: at 0 it hides (nearly) nothing of the target, at 1 all it can."""


def darker(colour: Array | Sequence[float], by: float = 0.6) -> Array:
    """The colour times a factor."""
    return np.clip(np.asarray(colour, dtype=np.float64) * by, 0.0, 1.0)


class Kit:
    """Boxes and rods in the obstacle's own frame: x to the right, y up from the ground, z towards the camera, in metres."""

    def __init__(self) -> None:
        self._boxes: list[tuple[Point, Point, tuple[float, float], Array]] = []
        self._rods: list[tuple[Point, Point, float, float, Point, tuple[float, float], bool, Array]] = []

    def box(self, centre: Point, half: Point, paint: Array, *, tip: float = 0.0, lean: float = 0.0) -> None:
        """A box.

        Args:
            centre: in metres.
            half: half extents in metres.
            paint: a row of the material table.
            tip: radians by which its right end is raised.
            lean: radians by which its top is leant away from the camera.
        """
        self._boxes.append((centre, half, (tip, lean), paint))

    def rod(
        self,
        a: Point,
        b: Point,
        radius: float,
        paint: Array,
        *,
        end: float | None = None,
        squeeze: tuple[float, float] = (1.0, 1.0),
        hint: Point = (0.0, 0.0, 1.0),
        hollow: bool = False,
    ) -> None:
        """A round cone from a to b.

        Args:
            a: one end in metres.
            b: the other end.
            radius: at a, in metres.
            paint: a row of the material table.
            end: radius at b; as at a unless given.
            squeeze: factors of the radius along the rod's own x and z (``hint``).
            hint: the direction of its own z, as nearly as it can be.
            hollow: without the round ends.
        """
        self._rods.append((a, b, radius, radius if end is None else end, hint, squeeze, hollow, paint))

    def ball(self, centre: Point, radius: float, paint: Array, *, squeeze: tuple[float, float] = (1.0, 1.0)) -> None:
        """An ellipsoid: ``radius`` upwards, times ``squeeze`` sideways and towards the camera."""
        x, y, z = centre
        self.rod((x, y - 0.004, z), (x, y + 0.004, z), radius, paint, squeeze=squeeze)

    def at(self, place: Placement, shift: float = 0.0, back: float = 0.0, turn: float = 0.0) -> Primitives:
        """Everything collected, set down.

        Args:
            place: where.
            shift: metres to the placement's side.
            back: metres away from the camera.
            turn: radians about the vertical, besides the placement's own yaw.
        """
        x, z = place.at(shift, back)
        angle = place.yaw + turn
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        right_x, right_z = float(place.right[0]), float(place.right[1])
        across = (cos * right_x + sin * right_z, 0.0, cos * right_z - sin * right_x)
        near = (sin * right_x - cos * right_z, 0.0, sin * right_z + cos * right_x)
        axes = np.array([across, (0.0, 1.0, 0.0), near])
        origin = np.array([x, 0.0, z])

        def turned(points: Array) -> Array:
            return np.asarray(points[..., :1] * axes[0] + points[..., 1:2] * axes[1] + points[..., 2:] * axes[2])

        parts: list[Primitives] = []
        if self._boxes:
            centre, half, slopes, paints = (np.array(column) for column in zip(*self._boxes, strict=True))
            made = boxes(turned(centre) + origin, half, np.zeros(len(half)), materials=paints)
            made.frame[:] = turned(_tilted(slopes[:, 0], slopes[:, 1]))
            parts.append(made)
        if self._rods:
            a, b, radius, end, hint, squeeze, hollow, paints = (np.array(c) for c in zip(*self._rods, strict=True))
            parts.append(
                round_cones(
                    turned(a) + origin, turned(b) + origin, radius, end, hint=turned(hint), squeeze=squeeze,
                    materials=paints, kind=np.where(hollow, OPEN_CONE, CONE),
                )
            )  # fmt: skip
        return Primitives.cat(parts)


def _tilted(tip: Array, lean: Array) -> Array:
    """(N, 3, 3) the axes of boxes as rows: tipped about z, then leant about x."""
    zero = np.zeros_like(tip)
    x = np.stack([np.cos(tip), np.sin(tip) * np.cos(lean), -np.sin(tip) * np.sin(lean)], axis=-1)
    y = np.stack([-np.sin(tip), np.cos(tip) * np.cos(lean), -np.cos(tip) * np.sin(lean)], axis=-1)
    z = np.stack([zero, np.sin(lean), np.cos(lean)], axis=-1)
    return np.stack([x, y, z], axis=1)
