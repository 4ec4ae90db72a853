"""What is true of a rendered image: visible fractions, part maps, and which landmarks show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlureid.synthetic.body import PART_NAMES
from occlureid.synthetic.cast import Layers, Table
from occlureid.synthetic.picked import picked
from occlureid.synthetic.primitives import MATERIAL_COLUMNS, Array, Primitives
from occlureid.types import KEYPOINT_NAMES

__all__ = ["SELF_OCCLUSION_DEPTH", "Truth", "landmarks_seen", "layer_of", "pixels_of", "truth"]

_CUT = MATERIAL_COLUMNS.index("cut")

SELF_OCCLUSION_DEPTH: Array = np.where(
    [any(w in name for w in ("nose", "eye", "ear")) for name in KEYPOINT_NAMES], 0.06, 0.20
)
"""(18,) A landmark deeper than this, in metres, below the body's own surface is on its far side: its own body hides it. The
landmarks of the face lie on the surface, the others in the middle of a limb or of the trunk."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Of B images.

    Attributes:
        parts: (B, H, W) uint8 labels of the target where it is visible, 0 elsewhere.
        lip: (B, H, W) uint8 the same in the labels of LIP-20; what is carried is 0 there.
        people: (B, H, W) uint8: 1 where the target is visible, k + 1 where the owner k is, another person; 0 elsewhere.
        visible_fraction: (B,) float64 visible pixels of the target / pixels of its whole silhouette, which is what would be
            seen without obstacles, other people and the image's border.
        part_visible_fraction: (B, 7) float64 the same for each part, among the pixels in which that part is the target's
            front; NaN for a part that the target itself hides wholly.
    """

    parts: NDArray[np.uint8]
    lip: NDArray[np.uint8]
    people: NDArray[np.uint8]
    visible_fraction: Array
    part_visible_fraction: Array


def layer_of(things: Primitives) -> NDArray[np.int64]:
    """(N,) the layer of each primitive: 0 for the body of the target and what it wears, 1 for all else.

    What the target only carries (a suitcase, an umbrella) is no part of it, and hides it as an obstacle does.
    """
    return np.asarray((things.owner != 0) | (things.label == 0), dtype=np.int64)


def truth(layers: Layers, ready: Table) -> Truth:
    """The truth of what was cast: layer 0 is the target, layer 1 all that may hide it."""
    images = layers.depth.shape[1]
    there = layers.row[0] >= 0
    shown = there & (layers.depth[0] < layers.depth[1])
    kinds = len(PART_NAMES)
    # Row -1 is nobody and nothing.
    of_row = torch.cat([ready.label.new_zeros(1), ready.label])
    labels = of_row.index_select(0, layers.row[0].reshape(-1) + 1).reshape(there.shape)
    offset = torch.arange(images, device=labels.device)[:, None, None] * kinds
    numbers = (labels + offset).reshape(-1)

    def count(pixels: Tensor) -> NDArray[np.int64]:
        found = torch.bincount(numbers.index_select(0, pixels), minlength=images * kinds)
        return np.asarray(found.reshape(images, kinds).cpu().numpy(), dtype=np.int64)

    seen = picked(shown)
    whole = count(picked(there)) + layers.outside.cpu().numpy()
    visible = count(seen)
    total = np.maximum(whole[:, 1:].sum(axis=1), 1)
    fractions = np.where(whole[:, 1:] > 0, visible[:, 1:] / np.maximum(whole[:, 1:], 1), np.nan)
    parts, lip = (torch.zeros(there.shape, dtype=torch.uint8, device=labels.device) for _ in range(2))
    parts.view(-1).scatter_(0, seen, labels.reshape(-1).index_select(0, seen).to(torch.uint8))
    lip.view(-1).scatter_(0, seen, _lip(layers, ready, seen).to(torch.uint8))
    nearest = torch.where(layers.depth[1] < layers.depth[0], layers.row[1], torch.where(shown, layers.row[0], -1))
    # What somebody carries has no part, and is nobody.
    person = torch.where(ready.label > 0, ready.owner + 1, 0).clamp_min(0).to(torch.uint8)
    person = torch.cat([person.new_zeros(1), person])
    people = person.index_select(0, nearest.reshape(-1) + 1).reshape(there.shape)
    return Truth(
        parts.cpu().numpy(), lip.cpu().numpy(), people.cpu().numpy(), visible[:, 1:].sum(axis=1) / total, fractions
    )


def _lip(layers: Layers, ready: Table, seen: Tensor) -> Tensor:
    """(M,) LIP-20 label of the pixels ``seen`` of layer 0, told apart along its primitive by the material's cut."""
    height, width = layers.depth.shape[2:]
    line, right = seen // width, seen % width
    down, image = line % height, line // height
    depth = layers.depth[0].reshape(-1).index_select(0, seen)
    row = layers.row[0].reshape(-1).index_select(0, seen)
    windows = torch.from_numpy(layers.window.astype(np.float32).T.copy()).to(depth.device)
    left, top, wide, tall = windows.index_select(1, image)
    u, v = left + (right + 0.5) * (wide / width), top + (down + 0.5) * (tall / height)
    m0, m1, m2 = ready.columns[3:6].index_select(1, row)
    along = depth * (m0 * u + m1 * v + m2) - ready.columns[10].index_select(0, row)
    beyond = along > ready.material[_CUT].index_select(0, row)
    return torch.where(beyond, ready.lip_beyond.index_select(0, row), ready.lip.index_select(0, row))


def pixels_of(points: Array, window: Array, size: tuple[int, int]) -> Array:
    """Projected points (B, J, 3) as x, y in pixels, (B, J, 2); the origin is the image's top left corner."""
    x = (points[..., 0] - window[:, None, 0]) / window[:, None, 2] * size[1]
    y = (points[..., 1] - window[:, None, 1]) / window[:, None, 3] * size[0]
    return np.stack([x, y], axis=-1)


def landmarks_seen(
    layers: Layers, image: NDArray[np.int64], points: Array, pixels: Array, is_target: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which landmarks an image shows.

    A landmark of the target is visible if it lies in the image and the target's surface in that pixel is not hidden by an
    obstacle or another person. The target's own body does not count against it; that is told apart by the second result.

    Args:
        layers: what was cast.
        image: (F,) the image of each figure.
        points: (F, 18, 3) u, v, depth.
        pixels: (F, 18, 2) from ``pixels_of``.
        is_target: (F,) whether the figure is the target of its image.

    Returns:
        visible (F, 18) and self-occluded (F, 18): visible, but on the far side of the own body.
    """
    height, width = layers.depth.shape[2:]
    x, y = np.floor(pixels[..., 0]), np.floor(pixels[..., 1])
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    column, row = np.where(inside, x, 0).astype(np.int64), np.where(inside, y, 0).astype(np.int64)
    at = tuple(
        torch.from_numpy(a).to(layers.depth.device)
        for a in (np.broadcast_to(image[:, None], x.shape).copy(), row, column)
    )
    own, other = (layers.depth[k][at].cpu().numpy().astype(np.float64) for k in range(2))
    depth = points[..., 2]
    surface = np.where(np.isfinite(own), own, depth)
    nearest = np.minimum(own, other)
    visible = inside & np.where(is_target[:, None], other >= surface, nearest >= depth - SELF_OCCLUSION_DEPTH)
    behind_self = visible & is_target[:, None] & (depth - surface > SELF_OCCLUSION_DEPTH)
    return visible, behind_self
