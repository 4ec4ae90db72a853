"""How bodies of the same size differ: slim or heavy, broad in the shoulders or in the hips."""

from __future__ import annotations

import numpy as np

from occlureid.synthetic.primitives import Array
from occlureid.synthetic.segments import SEGMENTS

__all__ = ["body_widths"]

_SHAPES: dict[str, tuple[float, float, float]] = {
    "pelvis": (0.97, 0.09, 0.10), "seat": (0.96, 0.14, 0.25), "haunch": (0.98, 0.07, 0.10),
    "waist": (1.02, -0.13, 0.55), "belly": (1.00, -0.12, 1.20), "chest": (1.03, -0.09, 0.20), "breast": (0.94, 0.40, 0.50),
    "trapezius": (1.08, -0.20, 0.00), "yoke": (1.04, -0.10, 0.00), "deltoid": (1.06, -0.14, 0.00),
    "axilla": (1.04, -0.10, 0.10), "upper_arm": (1.04, -0.12, 0.20), "lower_arm": (1.03, -0.08, 0.00),
    "forearm": (1.04, -0.10, 0.00), "hand": (1.04, -0.10, 0.00), "finger": (1.04, -0.10, 0.00),
    "thigh": (0.98, 0.06, 0.20), "neck": (1.07, -0.17, 0.25), "chin": (1.04, -0.12, 0.30), "shoe": (1.03, -0.08, 0.00),
    "toecap": (1.03, -0.08, 0.00),
}  # fmt: skip
"""Of each shape: its width on a straight figure, what is added on a curved one, and what a heavy one has more."""

_ROWS = np.array(
    [_SHAPES.get(segment.name.removeprefix("left_").removeprefix("right_"), (1.0, 0.0, 0.0)) for segment in SEGMENTS]
)


def body_widths(build: float, shoulder: float, hip: float) -> Array:
    """(S,) factors of the radii of each segment, besides the one that ``build`` is for all.

    Args:
        build: factor of all widths; above 1 the waist and the belly grow faster than the rest.
        shoulder: factor of the distance between the shoulders.
        hip: factor of the distance between the hips; far above ``shoulder`` on a curved figure.
    """
    curved = float(np.clip(0.5 + (hip - shoulder) / 0.25, 0.0, 1.0))
    return np.asarray(_ROWS[:, 0] + _ROWS[:, 1] * curved + _ROWS[:, 2] * (build - 1.0))
