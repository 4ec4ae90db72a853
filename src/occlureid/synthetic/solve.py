"""How far an obstacle must come so that the wanted fraction of the target stays visible: found on coarse renderings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from occlureid.synthetic.camera import to_camera
from occlureid.synthetic.cast import cast, table
from occlureid.synthetic.obstacles import BORDER, NONE
from occlureid.synthetic.people import occluder_at, of_image, people
from occlureid.synthetic.primitives import Array, Primitives
from occlureid.synthetic.scene import Scene

__all__ = ["amounts_for"]

_COARSE = (80, 40)
_ROUNDS = 7
_CLOSE = 0.014
"""A visible fraction as near as this to the wanted one is taken: a coarse rendering tells no more."""

Mask = NDArray[np.bool_]


def _depth(
    things: Primitives, layer: int, rotation: Array, position: Array, window: Array, device: torch.device
) -> tuple[Array, Array]:
    """(B, H, W) the depth of things, and (B,) the pixels of them that lie outside; nothing melts, which takes long."""
    seen = replace(to_camera(things, rotation, position), group=np.zeros(len(things), dtype=np.int64))
    layers = cast(seen, np.full(len(seen), layer, dtype=np.int64), table(seen, device), window, _COARSE)
    return layers.depth[layer].cpu().numpy(), layers.outside.sum(dim=1).cpu().numpy()


def _of_images(things: Primitives, chosen: Sequence[int], images: int) -> Primitives:
    """The primitives of the chosen images, which are numbered anew."""
    rows = np.full(images, -1, dtype=np.int64)
    rows[list(chosen)] = np.arange(len(chosen))
    kept = things[rows[things.image] >= 0]
    return replace(kept, image=rows[kept.image])


def amounts_for(
    scenes: Sequence[Scene], bodies: Primitives, window: Array, rotation: Array, position: Array, device: torch.device
) -> tuple[list[float], Array]:
    """Solves each scene for its wanted visible fraction.

    Args:
        scenes: B scenes.
        bodies: the people in the world, without those in front.
        window: (B, 4) crops.
        rotation: (B, 3, 3) of the cameras.
        position: (B, 3) of the cameras.
        device: that renders.

    Returns:
        The amount of each scene's obstacle in [0, 1] (0 where there is none), and the windows, cut where the border hides
        the target. The wanted fraction is met as nearly as an 80 x 40 rendering tells; the exact one is measured later.
    """
    amounts = [0.0] * len(scenes)
    chosen = [k for k, scene in enumerate(scenes) if scene.obstacle != NONE]
    if not chosen:
        return amounts, window
    targets = _of_images(bodies[(bodies.owner == 0) & (bodies.label > 0)], chosen, len(scenes))
    surface, outside = _depth(targets, 0, rotation[chosen], position[chosen], window[chosen], device)
    total = np.maximum(np.isfinite(surface).sum(axis=(1, 2)) + outside, 1)

    window = window.copy()
    solid = []
    for row, k in enumerate(chosen):
        if scenes[k].obstacle == BORDER:
            window[k] = _cut(np.isfinite(surface[row]), int(total[row]), window[k], scenes[k])
        else:
            solid.append((row, k))
    searches = [_Search(scenes[k].wanted) for _, k in solid]
    fronts = _Fronts([scenes[k] for _, k in solid])
    for _ in range(_ROUNDS):
        open_ = [n for n, search in enumerate(searches) if not search.done]
        if not open_:
            break
        things = Primitives.cat([fronts.at(n, searches[n].next, slot) for slot, n in enumerate(open_)])
        images = [solid[n][1] for n in open_]
        front, _ = _depth(things, 1, rotation[images], position[images], window[images], device)
        for slot, n in enumerate(open_):
            row = solid[n][0]
            searches[n].found(float((surface[row] < front[slot]).sum() / total[row]))
    for (_, k), search in zip(solid, searches, strict=True):
        amounts[k] = search.best
    return amounts, window


class _Search:
    """The amount at which a fraction that falls from 1 meets the wanted one: first the end, then by false position.

    Attributes:
        next: the amount to be tried. best: the amount whose fraction came nearest. done: whether no more need be tried.
    """

    def __init__(self, wanted: float) -> None:
        self.wanted = wanted
        self.next, self.best, self.done = 1.0, 1.0, False
        self._low, self._low_fraction = 0.0, 1.0
        self._high, self._high_fraction = 1.0, 0.0
        self._nearest = np.inf

    def found(self, fraction: float) -> None:
        """Takes the visible fraction at ``next``."""
        off = abs(fraction - self.wanted)
        if off < self._nearest:
            self.best, self._nearest = self.next, off
        if fraction > self.wanted:
            if self.next == 1.0:  # it cannot hide more
                self.done = True
            self._low, self._low_fraction = self.next, fraction
        else:
            self._high, self._high_fraction = self.next, fraction
        self.done |= off < _CLOSE
        # Between the two nearest amounts by their slope, but never so near to one of them that nothing is learnt.
        fall = max(self._low_fraction - self._high_fraction, 1e-6)
        share = (self._low_fraction - self.wanted) / fall
        self.next = self._low + (self._high - self._low) * min(max(share, 0.2), 0.8)


class _Fronts:
    """What stands in front of each of some targets, at any amount; people are built once and moved."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self._scenes = scenes
        walkers = [(n, occluder_at(scene, 1.0)) for n, scene in enumerate(scenes) if scene.occluder is not None]
        self._bodies: dict[int, Primitives] = {}
        if walkers:
            bodies, _, _ = people([(walker, n, 1) for n, walker in walkers])
            self._bodies = {n: bodies[bodies.image == n] for n, _ in walkers}

    def at(self, n: int, amount: float, image: int) -> Primitives:
        """The n-th scene's obstacle, as that of an image."""
        scene = self._scenes[n]
        if scene.model is not None and scene.placement is not None:
            return of_image(scene.model.build(scene.placement, amount), image)
        body = self._bodies[n]
        (x, z), (end_x, end_z) = occluder_at(scene, amount).place, occluder_at(scene, 1.0).place
        return replace(of_image(body, image), origin=body.origin + np.array([x - end_x, 0.0, z - end_z]))


def _cut(there: Mask, total: int, window: Array, scene: Scene) -> Array:
    """The window without the side that holds all but the wanted share of the silhouette."""
    across = scene.edge in ("left", "right")
    counts = there.sum(axis=0 if across else 1).astype(np.float64)
    if scene.edge in ("top", "left"):
        counts = counts[::-1]
    reached = np.concatenate([[0.0], np.cumsum(counts)]) / total
    share = float(np.interp(scene.wanted, reached, np.linspace(0.0, 1.0, len(reached))))
    left, top, width, height = window
    if across:
        return np.array([left + (width * (1 - share) if scene.edge == "left" else 0.0), top, width * share, height])
    return np.array([left, top + (height * (1 - share) if scene.edge == "top" else 0.0), width, height * share])
