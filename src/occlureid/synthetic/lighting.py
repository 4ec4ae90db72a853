"""The light of a batch of images: that of their cameras at their moments, in the frames of their crops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from occlureid.synthetic.camera import Camera
from occlureid.synthetic.light import Light
from occlureid.synthetic.primitives import Array, dot3
from occlureid.synthetic.scene import Scene
from occlureid.types import KEYPOINT_NAMES

__all__ = ["light_of"]

_LEFT, _RIGHT = KEYPOINT_NAMES.index("left_ankle"), KEYPOINT_NAMES.index("right_ankle")


def light_of(
    scenes: Sequence[Scene],
    views: Sequence[Camera],
    landmarks: Array,
    image: NDArray[np.int64],
    owner: NDArray[np.int64],
    occlusion: float,
) -> Light:
    """The surroundings of images.

    Args:
        scenes: B scenes.
        views: B cameras.
        landmarks: (F, 18, 3) of all their people, in the world.
        image: (F,) whose image each is.
        owner: (F,) number of each within the image.
        occlusion: how dark corners are, in [0, 1].
    """
    rotation = np.stack([view.rotation() for view in views])
    towards = np.stack([scene.light for scene in scenes])
    sun = np.array([scene.sun for scene in scenes])[:, None]
    key, sky = sun * np.stack([view.light.key for view in views]), np.stack([view.light.sky for view in views])
    # What the ground sends back is a share of what comes down.
    bounce = np.stack([view.light.bounce for view in views]) * (sky + key * np.maximum(towards[:, 1:2], 0.0))
    most = int(owner.max()) + 1
    feet, axis = np.zeros((len(scenes), most, 5)), np.zeros((len(scenes), most, 2))
    feet[image, owner] = np.column_stack(
        [
            landmarks[:, _LEFT, 0],
            landmarks[:, _LEFT, 2],
            landmarks[:, _RIGHT, 0],
            landmarks[:, _RIGHT, 2],
            np.ones(len(image)),
        ]
    )
    axis[image, owner] = landmarks[:, 1, [0, 2]]
    turn = np.array([view.backdrop.turn for view in views])
    return Light(
        towards=np.stack([dot3(rotation[:, row], towards) for row in range(3)], axis=-1),
        up=rotation[:, :, 1],
        key=key,
        sky=sky,
        bounce=bounce,
        height=np.array([view.height for view in views]),
        wall=np.stack([[view.backdrop.distance for view in views], np.cos(turn), np.sin(turn)], axis=1),
        haze=np.array([view.backdrop.haze for view in views]),
        camera=np.array([scene.camera for scene in scenes], dtype=np.int64),
        feet=feet,
        axis=axis,
        occlusion=occlusion,
    )
