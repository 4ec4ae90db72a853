"""From proportions and posture to the anchor points of a body.

The frame of a body: x to the person's left, y up, z forward, in units of body height, the ground at y = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields

import numpy as np

from occlureid.synthetic.pose import Pose
from occlureid.synthetic.primitives import Array, dot3
from occlureid.synthetic.segments import ANCHORS
from occlureid.synthetic.worn import stand_luggage, worn_points

__all__ = ["anchors"]

_UPPER_ARM, _LOWER_ARM, _THIGH, _SHIN = 0.172, 0.145, 0.243, 0.232
"""Lengths of the bones, in body heights."""

_SOLES: tuple[tuple[str, float], ...] = (("heel", 0.0235), ("ball", 0.0212), ("toe", 0.0158))
"""The ends of a shoe and how far its sole lies below each."""


def _unit(vector: Array) -> Array:
    return np.asarray(vector / np.sqrt(dot3(vector, vector))[..., None])


def _bent(start: Array, target: Array, pole: Array, first: float, second: float) -> tuple[Array, Array]:
    """Two bones from ``start`` towards ``target``: the joint between them, on the side of ``pole``, and the end.

    The end is the target where the bones reach so far, else as near as they do.
    """
    reach = target - start
    distance = np.sqrt(dot3(reach, reach))
    along = reach / distance[:, None]
    distance = np.clip(distance, abs(first - second) + 1e-3, (first + second) * 0.998)
    near = (distance * distance + first * first - second * second) / (2 * distance)
    aside = np.sqrt(np.maximum(first * first - near * near, 0.0))
    side = _unit(pole - along * dot3(pole, along)[:, None])
    return start + along * near[:, None] + side * aside[:, None], start + along * distance[:, None]


def anchors(poses: Array, shoulder: Array, hip: Array) -> Array:
    """The anchor points of bodies of height 1, before they are turned and placed.

    Args:
        poses: (B, P) rows of ``Pose``.
        shoulder: (B,) factor of the distance between the shoulders.
        hip: (B,) factor of the distance between the hips.

    Returns:
        (B, J, 3) in the order of ``ANCHORS``; the lowest foot touches y = 0.
    """
    pose = dict(zip((field.name for field in fields(Pose)), poses.T, strict=True))
    phase, lean, yaw, pitch = pose["phase"], pose["lean"], pose["head_yaw"], pose["head_pitch"]
    zero = np.zeros_like(phase)
    points: dict[str, Array] = {}

    def point(x: Array | float, y: Array | float, z: Array | float) -> Array:
        return np.stack([zero + x, zero + y, zero + z], axis=-1)

    wave, weight = np.sin(phase), pose["weight"]
    # The shoulders turn against the hips; the trunk leans from the hips up. A hip sinks on the side that bears no weight, and
    # the trunk bends back over the foot that bears it.
    shoulder_turn, hip_turn = pose["twist"] * wave + pose["turn"], -0.6 * pose["twist"] * wave
    sway, drop = 0.022 * weight, 0.10 * weight
    side_lean = pose["tilt"] - 0.05 * weight

    def trunk(x: Array | float, y: float, z: Array | float) -> Array:
        share = (y - 0.52) / 0.257  # 0 at the hips, 1 at the shoulders
        turn = shoulder_turn * min(max(share, 0.0), 1.0) + hip_turn * (1.0 - min(max(share, 0.0), 1.0))
        roll = drop * (1.0 - share) - 0.05 * weight * share
        cos, sin = np.cos(turn), np.sin(turn)
        aside, ahead = x * cos + z * sin, z * cos - x * sin
        up = y - 0.52
        # A leaning trunk keeps its length: it sinks as it goes forward.
        shrink = 1.0 / np.sqrt(1.0 + lean * lean + side_lean * side_lean)
        return point(
            aside + (sway + side_lean * up * shrink), 0.52 + (up + roll * aside - lean * ahead) * shrink,
            ahead + lean * up * shrink,
        )  # fmt: skip

    points |= {
        "pelvis_low": trunk(0, 0.516, -0.002), "pelvis_high": trunk(0, 0.560, 0.000),
        "waist_low": trunk(0, 0.590, 0.002), "waist": trunk(0, 0.660, 0.003),
        "belly_low": trunk(0, 0.580, 0.016), "belly_high": trunk(0, 0.640, 0.012),
        "chest_low": trunk(0, 0.685, 0.003), "chest": trunk(0, 0.758, -0.002),
        "neck_base": trunk(0, 0.795, -0.010), "neck_mid": trunk(0, 0.836, -0.012),
        "neck_top": trunk(0, 0.878, 0.000), "neck": trunk(0, 0.822, 0.0),
        "hem_high": trunk(0, 0.625, 0.002), "hem_low": trunk(0, 0.480, 0.004),
        "skirt_high": trunk(0, 0.590, 0), "skirt_low": point(sway, 0.330, 0.005),
        "backpack_low": trunk(0, 0.620, -0.105), "backpack_high": trunk(0, 0.755, -0.105),
    }  # fmt: skip

    # Head: turned about the vertical, nodding, around the top of the neck.
    cos_yaw, sin_yaw = np.cos(yaw + shoulder_turn), np.sin(yaw + shoulder_turn)
    cos_pitch, sin_pitch = np.cos(pitch + 0.5 * lean), np.sin(pitch + 0.5 * lean)
    base = trunk(0, 0.890, 0.006)

    def head(x: float, y: float, z: float) -> Array:
        down, forward = y * cos_pitch - z * sin_pitch, z * cos_pitch + y * sin_pitch
        return base + point(x * cos_yaw + forward * sin_yaw, down, forward * cos_yaw - x * sin_yaw)

    points |= {
        "jaw": head(0, 0.010, 0.014), "cranium": head(0, 0.058, 0.000),
        "chin_in": head(0, 0.004, 0.020), "chin": head(0, -0.007, 0.036),
        "hair_low": head(0, 0.038, -0.020), "hair_high": head(0, 0.068, -0.008), "hair_tip": head(0, -0.065, -0.036),
        "nose_root": head(0, 0.045, 0.050), "nose": head(0, 0.029, 0.060),
    }  # fmt: skip

    for side, sign, offset in (("left", 1.0, 0.0), ("right", -1.0, np.pi)):
        points |= {
            f"{side}_eye_in": head(sign * 0.0165, 0.045, 0.0475), f"{side}_eye": head(sign * 0.0215, 0.045, 0.0465),
            f"{side}_brow_in": head(sign * 0.011, 0.0555, 0.0515), f"{side}_brow_out": head(sign * 0.027, 0.0555, 0.046),
            f"{side}_ear": head(sign * 0.045, 0.038, 0.000),
            f"{side}_ear_low": head(sign * 0.043, 0.027, 0.002), f"{side}_ear_high": head(sign * 0.0455, 0.043, -0.003),
            f"{side}_shoulder": trunk(sign * 0.102 * shoulder, 0.777, -0.004),
            f"{side}_shoulder_in": trunk(sign * 0.074 * shoulder, 0.785, -0.008),
            f"{side}_mouth": head(sign * 0.010, 0.0125, 0.0480),
            f"{side}_axilla": trunk(sign * 0.056 * shoulder, 0.735, 0.000),
            f"{side}_breast_in": trunk(sign * 0.036, 0.755, 0.018), f"{side}_breast": trunk(sign * 0.040, 0.722, 0.026),
            f"{side}_strap_low": trunk(sign * 0.072 * shoulder, 0.660, 0.066),
            f"{side}_strap_high": trunk(sign * 0.066 * shoulder, 0.805, 0.030),
            f"{side}_seat_low": trunk(sign * 0.038 * hip, 0.514, -0.024),
            f"{side}_seat_high": trunk(sign * 0.036 * hip, 0.545, -0.018),
            f"{side}_haunch": trunk(sign * 0.037 * hip, 0.552, 0.0), f"{side}_hip": trunk(sign * 0.048 * hip, 0.515, 0.0),
        }  # fmt: skip
        step = np.sin(phase + offset)
        _arm(points, pose, side, sign, step, shoulder, shoulder_turn, trunk, point)
        # Leg: the knee bends in early swing and is nearly straight at heel strike.
        thigh = 0.04 + pose["stride"] * step
        bend = 0.06 + pose["knee"] * np.maximum(0.0, np.cos(phase + offset + 0.33)) ** 2
        shin = thigh - bend
        knee = points[f"{side}_hip"] + _THIGH * _unit(point(0.01 * sign, -np.cos(thigh), np.sin(thigh)))
        ankle = knee + _SHIN * _unit(point(0.0, -np.cos(shin), np.sin(shin)))
        # Who stands has both feet on the ground: the one that bears the weight below the trunk, the other a little off.
        free = np.maximum(0.0, -sign * weight)
        standing = pose["stride"] == 0
        target = point(
            sway * 0.8 + sign * (0.050 * hip + 0.030 * free),
            0.044,
            0.012 + sign * pose["stance"] + 0.035 * free,
        )
        at_knee, at_ankle = _bent(points[f"{side}_hip"], target, point(0.25 * sign, 0, 1), _THIGH, _SHIN)
        knee, ankle = (np.where(standing[:, None], a, b) for a, b in ((at_knee, knee), (at_ankle, ankle)))
        shin = np.where(standing, 0.0, shin)
        points[f"{side}_knee"], points[f"{side}_ankle"] = knee, ankle
        shank = _unit(ankle - knee)
        points[f"{side}_calf"] = knee + 0.33 * (ankle - knee) + 0.010 * point(0, -shank[:, 2], shank[:, 1])
        # The foot: flat in stance, heel up behind, toes up in front, turned a little outwards.
        tilt = 0.9 * np.maximum(0.0, -shin - 0.15) - 0.55 * np.maximum(0.0, shin)
        ahead = _unit(point((0.14 + 0.25 * free) * sign, -np.sin(tilt), np.cos(tilt)))
        below = point(0, -np.cos(tilt), -np.sin(tilt))
        points[f"{side}_heel"] = ankle + 0.0215 * below - 0.022 * ahead
        points[f"{side}_ball"] = ankle + 0.0238 * below + 0.062 * ahead
        points[f"{side}_toe"] = ankle + 0.0290 * below + 0.092 * ahead
        points[f"{side}_tongue"] = ankle - 0.004 * below + 0.004 * ahead

    points |= worn_points(points, trunk, head)
    stacked = np.stack([points[name] for name in ANCHORS], axis=1)
    lowest = [
        stacked[:, ANCHORS.index(f"{side}_{end}"), 1] - sole for side in ("left", "right") for end, sole in _SOLES
    ]
    lowered = np.min(lowest, axis=0)
    stacked[..., 1] -= lowered[:, None]
    stand_luggage(stacked, ANCHORS, lowered)
    return stacked


def _arm(
    points: dict[str, Array],
    pose: Mapping[str, Array],
    side: str,
    sign: float,
    step: Array,
    shoulder: Array,
    turn: Array,
    trunk: Callable[[Array | float, float, Array | float], Array],
    point: Callable[[Array | float, Array | float, Array | float], Array],
) -> None:
    """Adds the points of one arm: it swings against the leg of its side, or its wrist is where a hold wants it."""
    start = points[f"{side}_shoulder"]
    cos, sin = np.cos(turn), np.sin(turn)

    def turned(x: Array | float, y: Array | float, z: Array | float) -> Array:
        return point(x * cos + z * sin, y, z * cos - x * sin)

    arm = 0.02 - pose["swing"] * step
    out = pose["spread"]
    upper = turned(np.sin(out) * sign, -np.cos(arm) * np.cos(out), np.sin(arm) * np.cos(out))
    bent = arm + pose[f"elbow_{side}"] + 0.45 * np.maximum(0.0, np.sin(arm))
    lower = _unit(turned((0.25 * np.sin(out) - 0.12) * sign, -np.cos(bent), np.sin(bent)))
    swung = start + _UPPER_ARM * upper
    # A held wrist is given where an upright body has it; it goes with the trunk.
    held = pose[f"{side}_held"][:, None] > 0
    middle = trunk(0, 0.777, 0.0)
    wrist = middle + turned(sign * pose[f"{side}_out"] * shoulder, pose[f"{side}_up"] - 0.777, pose[f"{side}_ahead"])
    pole = turned(0.45 * sign, -0.75, -0.45)
    at_elbow, at_wrist = _bent(start, wrist, pole, _UPPER_ARM, _LOWER_ARM)
    elbow = np.where(held, at_elbow, swung)
    wrist = np.where(held, at_wrist, swung + _LOWER_ARM * lower)
    along = _unit(wrist - elbow)
    inward = turned(-sign, 0, 0.6)
    inward = _unit(inward - along * dot3(inward, along)[:, None])
    points |= {
        f"{side}_elbow": elbow, f"{side}_wrist": wrist, f"{side}_forearm": elbow + 0.33 * (wrist - elbow),
        f"{side}_palm": wrist + 0.036 * along, f"{side}_fingers": wrist + 0.080 * along + 0.008 * inward,
        f"{side}_thumb_in": wrist + 0.016 * along + 0.010 * inward, f"{side}_thumb": wrist + 0.045 * along + 0.022 * inward,
    }  # fmt: skip
