"""Where the cloth of each segment lies on a person who stands: what makes patterns run on from one segment to the next."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from occlureid.synthetic.materials import material
from occlureid.synthetic.pose import Pose
from occlureid.synthetic.primitives import Array, dot3
from occlureid.synthetic.segments import ANCHORS, Segment
from occlureid.synthetic.skeleton import anchors

__all__ = ["Layer", "Plane", "across", "around", "plain", "scaled", "span", "up"]

Plane = tuple[float, float, float, float]
"""Coefficients of local x, y, z in metres, and a constant."""


class Layer(NamedTuple):
    """What an outfit says of one segment."""

    material: Array
    lip: int = -1
    """LIP-20 label; -1 for the segment's own."""
    lip_beyond: int = -1
    """The same beyond the material's cut."""
    width: tuple[float, float] = (1.0, 1.0)
    """Factors of the radii at both ends."""


def plain(colour: tuple[float, float, float], lip: int = -1, **options: float) -> Layer:
    """A layer of one colour; ``options`` are those of ``material``."""
    return Layer(material(colour, **options), lip, lip)  # type: ignore[arg-type]


@cache
def _standing() -> Array:
    """(J, 3) anchor points of somebody of height 1 who stands straight."""
    one = np.ones(1)
    return np.asarray(anchors(np.zeros((1, len(Pose.__slots__))), one, one)[0])


@cache
def _frame(segment: Segment) -> tuple[Array, Array]:
    """The origin and the local axes, as rows times their squeeze, of a segment at rest, in body heights."""
    points = _standing()
    start, end = points[ANCHORS.index(segment.start)], points[ANCHORS.index(segment.end)]
    y = (end - start) / np.sqrt(dot3(end - start, end - start))
    hint = np.array([0.0, 1.0, 0.0] if segment.hint == "up" else [0.0, 0.0, 1.0])
    x = np.cross(y, hint)
    x /= np.sqrt(dot3(x, x))
    z = np.cross(x, y)
    return start, np.stack([x * segment.squeeze[0], y, z * segment.squeeze[1]])


def _plane(segment: Segment, axis: int, height: float) -> Plane:
    origin, axes = _frame(segment)
    return float(axes[0, axis]), float(axes[1, axis]), float(axes[2, axis]), float(origin[axis]) * height


def across(segment: Segment, height: float) -> Plane:
    """Metres to the person's left of the middle, for a person of that height in metres who stands."""
    return _plane(segment, 0, height)


def around(segment: Segment, height: float) -> Plane:
    """Metres around the body, about: to the left in front, backwards or forwards at the sides."""
    aside, ahead = _plane(segment, 0, height), _plane(segment, 2, height)
    return (
        aside[0] + 0.7 * ahead[0],
        aside[1] + 0.7 * ahead[1],
        aside[2] + 0.7 * ahead[2],
        aside[3] + 0.7 * ahead[3],
    )


def up(segment: Segment, height: float) -> Plane:
    """Metres above the ground, for a person of that height in metres who stands."""
    return _plane(segment, 1, height)


def span(segment: Segment) -> float:
    """The length of a segment at rest, in body heights."""
    points = _standing()
    line = points[ANCHORS.index(segment.end)] - points[ANCHORS.index(segment.start)]
    return float(np.sqrt(dot3(line, line)))


def scaled(plane: Plane, rate: float, phase: float = 0.0) -> Plane:
    """A plane as the wave of a material, of ``rate`` periods a metre and moved by ``phase`` periods."""
    return plane[0] * rate, plane[1] * rate, plane[2] * rate, plane[3] * rate + phase
