"""What is worn or carried, as shapes: hats, hair, hems and belongings, fixed to the head, the trunk and the hands."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from occlureid.synthetic.primitives import Array

__all__ = ["WORN_ROWS", "stand_luggage", "worn_points"]

_CARRIED, _HEAD, _TORSO, _UPPER_LEG, _LOWER_LEG = 0, 1, 2, 5, 6

Row = tuple[str, str, str, float, float, tuple[float, float], int, str, str, str, bool]


def _row(
    name: str,
    ends: tuple[str, str],
    radii: tuple[float, float],
    squeeze: tuple[float, float],
    label: int,
    *,
    slot: str = "",
    bulk: str = "",
    hint: str = "forward",
    hollow: bool = False,
) -> Row:
    return (name, *ends, *radii, squeeze, label, slot or name, bulk, hint, hollow)


def _sides(name: str, ends: tuple[str, str], *rest: object, **more: object) -> list[Row]:
    """The same left and right, in the slot of that name."""
    return [
        _row(f"{side}_{name}", (f"{side}_{ends[0]}", f"{side}_{ends[1]}"), *rest, slot=name, **more)  # type: ignore[arg-type]
        for side in ("left", "right")
    ]


WORN_ROWS: tuple[Row, ...] = (
    _row("hat", ("hat_low", "hat_high"), (0.0555, 0.050), (0.98, 1.13), _HEAD),
    _row("peak", ("peak_in", "peak_out"), (0.036, 0.032), (1.15, 0.16), _HEAD, hint="up"),
    _row("brim", ("brim_back", "brim_front"), (0.083, 0.083), (1.0, 0.09), _HEAD, hint="up"),
    _row("hood_up", ("hood_low", "hood_high"), (0.060, 0.061), (1.02, 1.04), _HEAD),
    _row("hood_down", ("left_hood", "right_hood"), (0.030, 0.030), (1.0, 1.15), _TORSO),
    _row("scarf", ("scarf_low", "scarf_high"), (0.047, 0.042), (1.08, 1.0), _HEAD),
    _row("bob", ("bob_high", "bob_low"), (0.049, 0.047), (1.16, 0.95), _HEAD),
    _row("ponytail", ("tail_high", "tail_low"), (0.021, 0.012), (1.0, 0.9), _HEAD),
    _row("bun", ("bun_in", "bun_out"), (0.026, 0.025), (1.0, 1.0), _HEAD),
    _row("afro", ("afro_low", "afro_high"), (0.072, 0.074), (1.05, 1.0), _HEAD),
    _row("beard", ("beard_low", "beard_high"), (0.0345, 0.032), (0.95, 1.12), _HEAD),
    _row("glasses", ("left_glass", "right_glass"), (0.0085, 0.0085), (0.8, 0.6), _HEAD, hint="up"),
    _row("tail", ("coat_high", "coat_low"), (0.094, 0.116), (1.16, 1.0), _UPPER_LEG, bulk="hem", hollow=True),
    _row(
        "skirt_below", ("skirt_seam", "skirt_end"), (0.124, 0.146), (1.12, 1.02), _LOWER_LEG, bulk="legs", hollow=True
    ),
    *_sides("bag", ("bag_low", "bag_high"), (0.056, 0.048), (0.45, 1.35), _TORSO),
    *_sides("handbag", ("handbag_high", "handbag_low"), (0.040, 0.048), (0.50, 1.35), _CARRIED),
    *_sides("handbag_grip", ("fingers", "handbag_high"), (0.006, 0.006), (1.0, 1.0), _CARRIED),
    *_sides("case", ("case_low", "case_high"), (0.064, 0.062), (1.20, 0.72), _CARRIED),
    *_sides("case_grip", ("case_high", "fingers"), (0.007, 0.006), (1.0, 1.0), _CARRIED),
    *_sides("case_wheels", ("wheel_in", "wheel_out"), (0.018, 0.018), (1.0, 1.0), _CARRIED),
    *_sides("canopy", ("canopy_back", "canopy_front"), (0.280, 0.280), (1.0, 0.36), _CARRIED, hint="up"),
    *_sides("shaft", ("fingers", "canopy_front"), (0.006, 0.006), (1.0, 1.0), _CARRIED),
)
"""Every shape that is worn or carried, as fields of ``segments.Segment``; a person has few of them at once."""

_LUGGAGE = ("case_low", "case_high", "wheel_in", "wheel_out")


def worn_points(
    points: Mapping[str, Array],
    trunk: Callable[[Array | float, float, Array | float], Array],
    head: Callable[[float, float, float], Array],
) -> dict[str, Array]:
    """The anchor points of ``WORN_ROWS``, (B, 3) each, in the frame of bodies of height 1.

    Args:
        points: the anchor points of the bodies so far, with ``left_fingers`` and ``right_fingers``.
        trunk: places a point (x, y, z) of the trunk.
        head: places a point (x, y, z) of the head, from the top of the neck.
    """
    found = {
        "hat_low": head(0, 0.079, -0.009), "hat_high": head(0, 0.085, -0.012),
        "peak_in": head(0, 0.082, 0.026), "peak_out": head(0, 0.070, 0.066),
        "brim_back": head(0, 0.080, -0.016), "brim_front": head(0, 0.078, 0.002),
        "hood_low": head(0, 0.024, -0.024), "hood_high": head(0, 0.072, -0.015),
        "left_hood": trunk(0.040, 0.836, -0.050), "right_hood": trunk(-0.040, 0.836, -0.050),
        "scarf_low": trunk(0, 0.826, 0.002), "scarf_high": trunk(0, 0.852, 0.004),
        "bob_high": head(0, 0.040, -0.020), "bob_low": head(0, -0.012, -0.016),
        "tail_high": head(0, 0.062, -0.066), "tail_low": head(0, -0.050, -0.080),
        "bun_in": head(0, 0.102, -0.052), "bun_out": head(0, 0.116, -0.056),
        "afro_low": head(0, 0.066, -0.031), "afro_high": head(0, 0.084, -0.022),
        "beard_low": head(0, -0.006, 0.017), "beard_high": head(0, 0.008, 0.016),
        "left_glass": head(0.027, 0.048, 0.0525), "right_glass": head(-0.027, 0.048, 0.0525),
        "coat_high": trunk(0, 0.535, 0.003), "coat_low": trunk(0, 0.315, 0.004),
        "skirt_seam": trunk(0, 0.390, 0.004), "skirt_end": trunk(0, 0.095, 0.008),
    }  # fmt: skip
    for side, sign in (("left", 1.0), ("right", -1.0)):
        hand = points[f"{side}_fingers"]
        found |= {
            f"{side}_bag_low": trunk(sign * 0.128, 0.475, -0.012),
            f"{side}_bag_high": trunk(sign * 0.124, 0.545, -0.012),
            f"{side}_handbag_high": hand + np.array([0.0, -0.055, 0.0]),
            f"{side}_handbag_low": hand + np.array([0.0, -0.105, 0.0]),
            f"{side}_case_low": trunk(sign * 0.215, 0.075, -0.115),
            f"{side}_case_high": trunk(sign * 0.205, 0.290, -0.105),
            f"{side}_wheel_in": trunk(sign * 0.150, 0.018, -0.120),
            f"{side}_wheel_out": trunk(sign * 0.275, 0.018, -0.120),
            f"{side}_canopy_back": head(sign * 0.055, 0.240, 0.000),
            f"{side}_canopy_front": head(sign * 0.055, 0.238, 0.030),
        }
    return found


def stand_luggage(stacked: Array, names: tuple[str, ...], ground: Array) -> None:
    """Puts what rolls on the ground back on it, in place, after a body has been lowered onto its feet.

    Args:
        stacked: (B, J, 3) anchor points.
        names: of the J points.
        ground: (B,) how far each body was lowered.
    """
    rows = [names.index(f"{side}_{name}") for side in ("left", "right") for name in _LUGGAGE]
    stacked[:, rows, 1] += ground[:, None]
