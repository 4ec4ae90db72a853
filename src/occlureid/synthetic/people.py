"""Walkers as primitives in the world, and the crops around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from occlureid.synthetic.body import anchors, figures
from occlureid.synthetic.camera import to_camera, window_around
from occlureid.synthetic.primitives import Array, Primitives
from occlureid.synthetic.scene import Scene, Walker

__all__ = ["crop_windows", "occluder_at", "of_image", "people", "seen_heading"]


def people(walkers: Sequence[tuple[Walker, int, int]]) -> tuple[Primitives, Array, NDArray[np.int64]]:
    """Builds walkers, each given with its image and its owner number (0: the target).

    Returns:
        Primitives in the world, landmarks (F, 18, 3) in the world, and the image of each walker (F,).
    """
    who = [walker for walker, _, _ in walkers]
    outfits = [walker.outfit for walker in who]
    unit = anchors(
        np.array([walker.pose.row() for walker in who]),
        np.array([o.shoulder for o in outfits]),
        np.array([o.hip for o in outfits]),
    )
    image = np.array([k for _, k, _ in walkers], dtype=np.int64)
    primitives, landmarks = figures(
        unit,
        np.array([o.height for o in outfits]),
        np.array([walker.place for walker in who]),
        np.array([walker.heading for walker in who]),
        np.stack([o.widths for o in outfits]),
        np.stack([o.materials for o in outfits]),
        np.stack([o.active for o in outfits]),
        np.stack([o.lip for o in outfits]),
        np.stack([o.lip_beyond for o in outfits]),
        image,
        np.array([owner for _, _, owner in walkers], dtype=np.int64),
    )
    return primitives, landmarks, image


def occluder_at(scene: Scene, amount: float) -> Walker:
    """The person in front, who comes in from the placement's side: beside the target at 0, before it at 1.

    The scene must have an occluder.
    """
    if scene.occluder is None or scene.placement is None:
        raise TypeError("this scene has nobody in front of its target")
    return replace(scene.occluder, place=scene.placement.at((1.0 - amount) * 0.85))


def of_image(primitives: Primitives, image: int) -> Primitives:
    """The same primitives, as those of one image."""
    return replace(primitives, image=np.full(len(primitives), image, dtype=np.int64))


def seen_heading(walker: Walker) -> float:
    """The heading as the camera sees it, in (-pi, pi]: 0 towards the camera, +pi/2 towards the image's right edge."""
    x, z = walker.place
    turned = walker.heading - np.arctan2(-x, -z)
    return float(np.arctan2(np.sin(turned), np.cos(turned)))


def crop_windows(
    targets: Primitives, scenes: Sequence[Scene], rotation: Array, position: Array, aspect: float
) -> Array:
    """(B, 4) the crop of each scene, around its target's silhouette; ``targets`` are the targets' primitives in the world."""
    seen = to_camera(targets, rotation, position)
    ends = np.stack([seen.origin, seen.origin + seen.frame[:, 1] * seen.size[:, 2:]], axis=1)
    slope, reach = ends[..., :2] / ends[..., 2:], (seen.reach / ends[..., 2])[..., None]
    low, high = np.full((len(scenes), 2), np.inf), np.full((len(scenes), 2), -np.inf)
    np.minimum.at(low, seen.image, (slope - reach).min(axis=1))
    np.maximum.at(high, seen.image, (slope + reach).max(axis=1))
    return window_around(low, high, np.stack([scene.margins for scene in scenes]), aspect)
