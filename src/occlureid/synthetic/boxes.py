"""Boxes of a detector that saw only what shows: tight around the visible part, as a coarse rendering tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from occlureid.synthetic.camera import window_around
from occlureid.synthetic.cast import cast, table
from occlureid.synthetic.primitives import Array, Primitives
from occlureid.synthetic.scene import Scene

__all__ = ["visible_windows"]

_COARSE = (80, 40)


def visible_windows(
    scenes: Sequence[Scene], seen: Primitives, window: Array, aspect: float, device: torch.device
) -> Array:
    """The windows, those of scenes whose box is "visible" put around what shows of their targets.

    Args:
        scenes: B scenes.
        seen: everything of the images, in the frames of their cameras.
        window: (B, 4) crops around the whole people.
        aspect: the least width of a crop, as a share of its height.
        device: that renders.

    Returns:
        (B, 4) in slopes; a target of whom nothing shows keeps its crop.
    """
    chosen = [k for k, scene in enumerate(scenes) if scene.box == "visible"]
    if not chosen:
        return window
    number = np.full(len(scenes), -1, dtype=np.int64)
    number[chosen] = np.arange(len(chosen))
    things = seen[(number[seen.image] >= 0) & (seen.owner > -2)]
    # Nothing melts, which takes long: a box is not that exact.
    things = replace(things, image=number[things.image], group=np.zeros(len(things), dtype=np.int64))
    layers = cast(things, (things.owner != 0).astype(np.int64), table(things, device), window[chosen], _COARSE)
    shown = (layers.depth[0] < layers.depth[1]).cpu().numpy()
    result = window.copy()
    for row, k in enumerate(chosen):
        rows, columns = np.flatnonzero(shown[row].any(axis=1)), np.flatnonzero(shown[row].any(axis=0))
        if len(rows):
            left, top, width, height = window[k]
            step = np.array([width / _COARSE[1], height / _COARSE[0]])
            low = np.array([left, top]) + step * (columns[0], rows[0])
            high = np.array([left, top]) + step * (columns[-1] + 1, rows[-1] + 1)
            result[k] = window_around(low[None], high[None], np.maximum(scenes[k].margins, -0.02)[None], aspect)[0]
    return result
