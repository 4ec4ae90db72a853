"""Landmarks that cannot be pixels of their images: scaled to [0, 1] or [-1, 1], or estimated on images of another size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from occlureid.cues.keypoints import FloatArray
from occlureid.cues.pose_folder import PoseFolder
from occlureid.data.images import open_image
from occlureid.errors import DataError
from occlureid.types import Sample

__all__ = ["check_placement", "displaced_share", "share_displaced", "spread_out"]

_LOOKED_AT = 200
_FEWEST_IMAGES = 4
_FEWEST_LANDMARKS = 3
_MARGIN = 0.05


def spread_out(samples: Sequence[Sample], count: int = _LOOKED_AT) -> list[Sample]:
    """At most so many of some samples, evenly spread over them."""
    kept = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    return [samples[int(row)] for row in kept]


def displaced_share(landmarks: FloatArray, size: tuple[int, int], threshold: float) -> float | None:
    """The share of the landmarks found that cannot be pixels of an image.

    That is all of them, where all lie within one pixel of the image's corner (|x|, |y| <= 1); else those that lie more than a
    twentieth of the image's width or height outside it.

    Args:
        landmarks: (18, 3) x, y in pixels and confidence.
        size: (H, W) of the image.
        threshold: the least confidence that counts as found.

    Returns:
        In [0, 1]; None for fewer than three landmarks, which tell nothing.
    """
    found = landmarks[(landmarks[:, 2] >= threshold) & (landmarks[:, 2] > 0), :2]
    if len(found) < _FEWEST_LANDMARKS:
        return None
    if np.abs(found).max() <= 1.0:
        return 1.0
    whole = np.array([size[1], size[0]], np.float64)
    outside = ((found < -_MARGIN * whole) | (found > (1 + _MARGIN) * whole)).any(axis=1)
    return float(outside.mean())


def share_displaced(folder: PoseFolder, sample: Sample) -> float | None:
    """``displaced_share`` of the person whom an image is of; None where nobody is found, or file or image cannot be read."""
    try:
        people = folder.found(sample)
        if people is None or len(people.landmarks) == 0:
            return None
        image = open_image(sample.path)
    except DataError:
        return None
    chosen = people.landmarks[people.chosen(folder.threshold)]
    return displaced_share(chosen, (image.height, image.width), folder.threshold)


def check_placement(folder: PoseFolder, samples: Sequence[Sample]) -> None:
    """Looks at up to 200 images and their landmarks; images and files that cannot be read are left to whoever loads them.

    Raises:
        DataError: in most of them (at least four) most landmarks cannot be pixels.
    """
    looked_at = [
        (sample, share) for sample in spread_out(samples) if (share := share_displaced(folder, sample)) is not None
    ]
    wrong = [sample for sample, share in looked_at if share > 0.5]
    if len(wrong) >= _FEWEST_IMAGES and 2 * len(wrong) > len(looked_at):
        raise DataError(
            f"{folder.root}: in {len(wrong)} of the {len(looked_at)} images looked at, most landmarks lie within a pixel of the "
            f"corner or outside the image, first in {wrong[0].path}; they must be in pixels of the image as it is stored: "
            "estimate them again on these images, and write pixels (OpenPose: --keypoint_scale 0, not 3 or 4)"
        )
