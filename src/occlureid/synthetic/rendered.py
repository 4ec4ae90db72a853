"""What the world hands out: images, and all that is true of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from occlureid.synthetic.body import PART_NAMES

__all__ = ["Rendered"]


@dataclass(frozen=True, slots=True)
class Rendered:
    """N images and all that is true of them.

    Attributes:
        images: (N, 3, H, W) uint8, on the CPU.
        keypoints: (N, 18, 3) float32 x, y in pixels and 1 where the landmark is visible, else 0; exact, also where it lies
            outside the image or is hidden.
        self_occluded: (N, 18) bool: counted as visible, but on the far side of the person's own body.
        parts: (N, H, W) uint8 labels (``PART_NAMES``) of the visible target.
        visible_fraction: (N,) float64. part_visible_fraction: (N, 7) float64; see ``labels.Truth``.
        obstacles: what hides each target ("none", "car", ..., "person", "border").
        persons: (N,) numbers from 1; training and test persons share none. cameras: (N,) numbers from 1.
        headings: (N,) radians in (-pi, pi]; 0 faces the camera, +pi/2 the right edge of the image.
        others: for each image, (M, 18, 3) float32 landmarks of other people of whom at least three show.
        indices: (N,) within the split.
    """

    images: Tensor
    keypoints: Tensor
    self_occluded: Tensor
    parts: Tensor
    visible_fraction: Tensor
    part_visible_fraction: Tensor
    obstacles: tuple[str, ...]
    persons: Tensor
    cameras: Tensor
    headings: Tensor
    others: tuple[Tensor, ...]
    indices: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def part_map(self) -> Tensor:
        """(N, 7, H, W) float32, one channel a part, without the background: what ``Cues.part_map`` wants."""
        steps = torch.arange(1, len(PART_NAMES), dtype=torch.uint8)
        return (self.parts[:, None] == steps[None, :, None, None]).float()

    def pick(self, rows: Sequence[int]) -> Rendered:
        """Some of the images, in the order asked for."""
        return Rendered.cat([self], rows)

    @classmethod
    def cat(cls, items: Sequence[Rendered], rows: Sequence[int] | None = None) -> Rendered:
        """Joins renderings, and takes the given rows of the whole, all where none are given."""
        values: dict[str, object] = {}
        for field in fields(cls):
            parts = [getattr(item, field.name) for item in items]
            if isinstance(parts[0], tuple):
                joined = tuple(value for part in parts for value in part)
                values[field.name] = joined if rows is None else tuple(joined[row] for row in rows)
            else:
                tensor = torch.cat(parts)
                values[field.name] = tensor if rows is None else tensor[torch.as_tensor(list(rows), dtype=torch.long)]
        return cls(**values)  # type: ignore[arg-type]
