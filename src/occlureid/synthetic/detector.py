"""Landmarks as a pose estimator would report them: AlphaPose's "open" JSON, with noise and confidences."""

from __future__ import annotations

from typing import Any

import numpy as np

from occlureid.synthetic.primitives import Array
from occlureid.synthetic.rendered import Rendered
from occlureid.synthetic.settings import WorldSettings
from occlureid.synthetic.streams import SPLITS, Stream, generator

__all__ = ["VISIBLE_CONFIDENCE", "pose_document"]

VISIBLE_CONFIDENCE, HIDDEN_CONFIDENCE = (0.60, 0.95), (0.0, 0.15)
"""Ranges from which confidences are drawn."""

_LEAST_LANDMARKS = 3
"""A pose estimator reports another person of whom it sees as many landmarks."""


def _person(random: np.random.Generator, landmarks: Array, size: tuple[int, int], spread: float) -> dict[str, Any]:
    height, width = size
    seen = landmarks[:, 2] > 0
    confidence = np.where(
        seen, random.uniform(*VISIBLE_CONFIDENCE, len(seen)), random.uniform(*HIDDEN_CONFIDENCE, len(seen))
    )
    # An estimator that cannot see a landmark guesses it, thrice as far off, and never outside its crop.
    off = random.normal(0.0, 1.0, (len(seen), 2)) * spread * np.where(seen, 1.0, 3.0)[:, None] * (2.0 * width, height)
    x = np.clip(landmarks[:, 0] + off[:, 0], 0.0, width)
    y = np.clip(landmarks[:, 1] + off[:, 1], 0.0, height)
    flat = np.stack([x, y, confidence], axis=1).round(4)
    return {"pose_keypoints_2d": [float(value) for value in flat.reshape(-1)]}


def pose_document(settings: WorldSettings, split: str, shot: Rendered, row: int) -> dict[str, Any]:
    """The JSON document of one image: the target and the other people of whom three landmarks show, in arbitrary order.

    With ``keypoint_noise`` 0 the landmarks that lie in the image are exact to four decimals.

    Args:
        settings: of the world.
        split: of the image.
        shot: the rendering that holds the image.
        row: its row there.
    """
    random = generator(settings.seed, Stream.DETECTOR, SPLITS.index(split), int(shot.indices[row]))
    others = shot.others[row]
    everybody = [shot.keypoints[row], *others[(others[..., 2] > 0).sum(dim=1) >= _LEAST_LANDMARKS]]
    people = [
        _person(random, landmarks.numpy().astype(np.float64), settings.size, settings.keypoint_noise)
        for landmarks in everybody
    ]
    return {"version": "AlphaPose v0.2", "people": [people[k] for k in random.permutation(len(people))]}
