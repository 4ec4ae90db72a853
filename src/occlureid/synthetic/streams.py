"""Random numbers that belong to one image or one person, so that no batch, order or process can change them."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

__all__ = ["SPLITS", "Stream", "generator"]

SPLITS: tuple[str, ...] = ("train", "query", "gallery")
"""The splits of a world, in the order of their numbers. Query and gallery show the same persons."""


class Stream(IntEnum):
    """What a generator is for: each purpose draws from its own stream, so that adding a draw to one moves no other."""

    WARDROBE = 1
    CAMERA = 2
    OCCLUDED = 3
    PLACE = 4
    POSE = 5
    OBSTACLE = 6
    PASSER_BY = 7
    CROP = 8
    LIGHT = 9
    SENSOR = 10
    DETECTOR = 11
    ORDER = 12
    FAR = 13
    BOX = 14
    SCENERY = 15
    SPRITE = 16


def generator(seed: int, stream: Stream, *keys: int) -> np.random.Generator:
    """The generator of one purpose and one item.

    Args:
        seed: the world's seed.
        stream: the purpose.
        keys: what names the item (split number, index, attempt, ...), each not negative.
    """
    return np.random.default_rng([seed, int(stream), *keys])
