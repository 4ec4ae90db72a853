"""How far an obstacle must come so that the wanted fraction of the target stays visible: looked up on a coarse rendering."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from occlureid.synthetic.camera import to_camera
from occlureid.synthetic.cast import Layers, cast, table
from occlureid.synthetic.obstacles import BORDER, NONE
from occlureid.synthetic.people import occluder_at, of_image, people
from occlureid.synthetic.primitives import Array, Primitives
from occlureid.synthetic.scene import Scene

__all__ = ["amounts_for"]

_COARSE = (64, 32)
_STEPS = np.linspace(0.0, 1.0, 9)


def _cast(
    things: Primitives, layer: int, rotation: Array, position: Array, window: Array, device: torch.device
) -> Layers:
    seen = to_camera(things, rotation, position)
    return cast(seen, np.full(len(seen), layer, dtype=np.int64), table(seen, device), window, _COARSE)


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
        the target. The wanted fraction is met as nearly as a 64 x 32 rendering tells; the exact one is measured later.
    """
    amounts = [0.0] * len(scenes)
    chosen = [k for k, scene in enumerate(scenes) if scene.obstacle != NONE]
    if not chosen:
        return amounts, window
    rows = np.full(len(scenes), -1, dtype=np.int64)
    rows[chosen] = np.arange(len(chosen))
    targets = bodies[(bodies.owner == 0) & (rows[bodies.image] >= 0)]
    targets.image[:] = rows[targets.image]
    alone = _cast(targets, 0, rotation[chosen], position[chosen], window[chosen], device)
    surface = alone.depth[0].cpu()
    total = np.maximum(torch.isfinite(surface).sum(dim=(1, 2)).numpy() + alone.outside.sum(dim=1).cpu().numpy(), 1)

    window = window.copy()
    for row, k in enumerate(chosen):
        if scenes[k].obstacle == BORDER:
            window[k] = _cut(torch.isfinite(surface[row]).numpy(), total[row], window[k], scenes[k])

    solid = [(row, k) for row, k in enumerate(chosen) if scenes[k].obstacle != BORDER]
    if solid:
        fractions = _fractions(scenes, solid, surface, total, window, rotation, position, device)
        for (_, k), fraction in zip(solid, fractions, strict=True):
            amounts[k] = _lookup(fraction, scenes[k].wanted)
    return amounts, window


def _fractions(
    scenes: Sequence[Scene],
    solid: list[tuple[int, int]],
    surface: torch.Tensor,
    total: np.ndarray[tuple[int], np.dtype[np.int64]],
    window: Array,
    rotation: Array,
    position: Array,
    device: torch.device,
) -> Array:
    """(S, steps) visible fraction of each target for each amount of its obstacle."""
    steps = len(_STEPS)
    things: list[Primitives] = []
    walkers = []
    for slot, (_, k) in enumerate(solid):
        scene = scenes[k]
        for step, amount in enumerate(_STEPS):
            if scene.model is not None and scene.placement is not None:
                things.append(of_image(scene.model.build(scene.placement, float(amount)), slot * steps + step))
            else:
                walkers.append((occluder_at(scene, float(amount)), slot * steps + step, 1))
    if walkers:
        things.append(people(walkers)[0])
    repeat = np.repeat([k for _, k in solid], steps)
    found = _cast(Primitives.cat(things), 1, rotation[repeat], position[repeat], window[repeat], device)
    front = found.depth[1].cpu().reshape(len(solid), steps, *_COARSE)
    behind = surface[[row for row, _ in solid]][:, None]
    visible = (behind < front).sum(dim=(2, 3)).numpy()
    return np.asarray(visible / total[[row for row, _ in solid], None], dtype=np.float64)


def _lookup(fractions: Array, wanted: float) -> float:
    """The amount at which the visible fraction first falls to the wanted one, between two steps by their slope."""
    below = np.flatnonzero(fractions <= wanted)
    if not len(below):
        return float(_STEPS[int(fractions.argmin())])
    step = int(below[0])
    if step == 0:
        return 0.0
    high, low = fractions[step - 1], fractions[step]
    return float(_STEPS[step - 1] + (high - wanted) / (high - low) * (_STEPS[step] - _STEPS[step - 1]))


def _cut(there: np.ndarray[tuple[int, int], np.dtype[np.bool_]], total: int, window: Array, scene: Scene) -> Array:
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
