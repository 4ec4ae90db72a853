"""How a body stands, walks and holds itself, and how often each posture is met."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

__all__ = ["HOLDS", "Pose", "draw_pose"]

HOLDS: dict[str, tuple[float, float, float]] = {
    "carry": (0.150, 0.470, 0.005),
    "umbrella": (0.085, 0.700, 0.150),
    "strap": (0.080, 0.715, 0.095),
    "pocket": (0.086, 0.492, 0.010),
    "phone": (0.045, 0.715, 0.160),
    "ear": (0.110, 0.800, 0.095),
    "fold": (-0.035, 0.675, 0.108),
    "push": (0.120, 0.610, 0.185),
}
"""What a hand may do instead of swinging, as the wrist's place: outwards, up, forward, in body heights from the middle of an
upright body on the ground."""


@dataclass(frozen=True, slots=True)
class Pose:
    """How one body holds itself: angles in radians, lengths in body heights."""

    phase: float
    """Of the step: the left leg swings forward while its sine rises."""
    stride: float
    knee: float
    swing: float
    elbow_left: float
    elbow_right: float
    lean: float
    """How far the trunk leans forward, as a slope."""
    twist: float
    """How far the shoulders turn against the hips with every step."""
    head_yaw: float
    head_pitch: float
    """Downwards."""
    spread: float
    """How far the arms stand off the body."""
    turn: float = 0.0
    """How far the shoulders are turned against the hips, to the left."""
    tilt: float = 0.0
    """How far the trunk leans to the left, as a slope."""
    weight: float = 0.0
    """On which leg a standing body rests: 1 the left, -1 the right, 0 both."""
    stance: float = 0.0
    """How far a standing body's feet are apart, forwards."""
    left_held: float = 0.0
    """1 where the left wrist is at the place that follows, 0 where the arm swings."""
    left_out: float = 0.0
    left_up: float = 0.0
    left_ahead: float = 0.0
    right_held: float = 0.0
    right_out: float = 0.0
    right_up: float = 0.0
    right_ahead: float = 0.0

    def row(self) -> list[float]:
        """The values in order of declaration."""
        return [getattr(self, field.name) for field in fields(self)]

    def holding(self, left: str = "", right: str = "") -> Pose:
        """The same posture with hands that hold something.

        Args:
            left: one of ``HOLDS`` for the left hand, empty to leave it as it is.
            right: the same for the right hand.
        """
        values: dict[str, float] = {}
        for side, hold in (("left", left), ("right", right)):
            if hold:
                out, up, ahead = HOLDS[hold]
                values |= {f"{side}_held": 1.0, f"{side}_out": out, f"{side}_up": up, f"{side}_ahead": ahead}
        return replace(self, **values)


_HANDS: tuple[tuple[tuple[str, str], float], ...] = (
    (("", ""), 0.60), (("phone", ""), 0.06), (("", "phone"), 0.08), (("ear", ""), 0.03), (("", "ear"), 0.03),
    (("pocket", "pocket"), 0.05), (("pocket", ""), 0.03), (("", "pocket"), 0.03), (("fold", "fold"), 0.03),
    (("push", "push"), 0.02), (("strap", ""), 0.02), (("", "strap"), 0.02),
)  # fmt: skip
"""What free hands do, and how often."""


def draw_pose(random: np.random.Generator, left: str = "", right: str = "") -> Pose:
    """A posture as it is met on a street: mostly walking, sometimes standing, turning or leaning.

    Args:
        random: the generator of this posture.
        left: what the left hand has to hold, of ``HOLDS``; empty where it is free.
        right: the same for the right hand.
    """
    stands = random.random() < 0.22
    pace = 0.0 if stands else random.uniform(0.45, 1.1)
    lot = random.random()
    look = random.normal(0.0, 0.45 if stands else 0.22)
    pose = Pose(
        phase=random.uniform(0.0, 2 * np.pi),
        stride=0.42 * pace,
        knee=0.88 * pace,
        swing=0.45 * pace * random.uniform(0.6, 1.2),
        elbow_left=random.uniform(0.15, 0.5),
        elbow_right=random.uniform(0.15, 0.5),
        lean=random.uniform(-0.03, 0.05) + 0.04 * pace + (random.uniform(0.1, 0.45) if lot < 0.06 else 0.0),
        twist=0.14 * pace,
        head_yaw=float(np.clip(look, -1.0, 1.0)),
        head_pitch=random.normal(0.06, 0.10),
        spread=random.uniform(0.04, 0.14),
        turn=float(np.clip(0.5 * look + random.normal(0.0, 0.25 if stands else 0.06), -0.6, 0.6)),
        tilt=random.uniform(-0.12, 0.12) if 0.06 <= lot < 0.12 else random.normal(0.0, 0.012),
        weight=float(random.choice((-1.0, 0.0, 1.0), p=(0.35, 0.3, 0.35))) if stands else 0.0,
        stance=random.normal(0.0, 0.03) if stands else 0.0,
    )
    free = _HANDS[int(random.choice(len(_HANDS), p=[share for _, share in _HANDS]))][0]
    left, right = left or free[0], right or free[1]
    if "phone" in (left, right):
        pose = replace(pose, head_pitch=pose.head_pitch + 0.4, head_yaw=0.3 * pose.head_yaw)
    return pose.holding(left, right)
