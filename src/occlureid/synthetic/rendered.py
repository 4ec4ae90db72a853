"""What the world hands out: images, and all that is true of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from occlureid.synthetic.body import PART_NAMES

__all__ = ["BOX_KINDS", "LIP_NAMES", "Rendered", "number_others"]

LIP_NAMES: tuple[str, ...] = (
    "background",
    "hat",
    "hair",
    "glove",
    "sunglasses",
    "upper_clothes",
    "dress",
    "coat",
    "socks",
    "pants",
    "jumpsuits",
    "scarf",
    "skirt",
    "face",
    "left_arm",
    "right_arm",
    "left_leg",
    "right_leg",
    "left_shoe",
    "right_shoe",
)
"""The classes of Look into Person (LIP), by label; left is the person's left."""

BOX_KINDS: tuple[str, ...] = ("whole", "visible")
"""What a detector's box may be put around."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """N images and all that is true of them.

    Attributes:
        images: (N, 3, H, W) uint8, on the CPU.
        keypoints: (N, 18, 3) float32 x, y in pixels and 1 where the landmark is visible, else 0; exact, also where it lies
            outside the image or is hidden.
        self_occluded: (N, 18) bool: counted as visible, but on the far side of the person's own body.
        parts: (N, H, W) uint8 labels (``PART_NAMES``) of the visible target; what is worn counts as the part that it covers,
            what is held away from the body (umbrella, suitcase, handbag) is background.
        lip: (N, H, W) uint8 labels (``LIP_NAMES``) of the visible target; bags, umbrellas and suitcases are background.
        people: (N, H, W) uint8: 0 nobody, 1 the visible target, v >= 2 what is visible of the person in row v - 2 of ``others``;
            what a person carries is of that person, so the target's mask holds at least the pixels of ``parts``.
        visible_fraction: (N,) float64. part_visible_fraction: (N, 7) float64; see ``labels.Truth``.
        obstacles: what hides each target ("none", "car", ..., "person", "border").
        persons: (N,) numbers from 1; training and test persons share none. cameras: (N,) numbers from 1.
        headings: (N,) radians in (-pi, pi]; 0 faces the camera, +pi/2 the right edge of the image.
        others: for each image, (M, 18, 3) float32 landmarks of the other people of whom a pixel or a landmark shows.
        other_persons: for each image, (M,) int64 numbers of the persons in ``others``, who are of the same split and never
            the target.
        boxes: what the simulated detector put its box around: the "whole" person or the "visible" part.
        scales: (N,) float64 in (0, 1] the resolution that the camera saw, as a share of the image's; the rest is enlargement.
        indices: (N,) within the split.
    """

    images: Tensor
    keypoints: Tensor
    self_occluded: Tensor
    parts: Tensor
    lip: Tensor
    people: Tensor
    visible_fraction: Tensor
    part_visible_fraction: Tensor
    obstacles: tuple[str, ...]
    persons: Tensor
    cameras: Tensor
    headings: Tensor
    others: tuple[Tensor, ...]
    other_persons: tuple[Tensor, ...]
    boxes: tuple[str, ...]
    scales: Tensor
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


def number_others(people: Tensor, landmarks: Tensor, persons: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Drops the other people of whom nothing shows from an image's truth and closes the gaps in their numbers.

    Args:
        people: (H, W) uint8 as in ``Rendered.people``, v >= 2 being row v - 2 of the other two.
        landmarks: (M, 18, 3) float32 of all other people of the scene.
        persons: (M,) int64 their identities.

    Returns:
        The same three, of those people of whom a pixel or a landmark shows, in the same order.
    """
    values = torch.arange(2, 2 + len(persons))
    shows = (landmarks[..., 2] > 0).any(dim=1) | torch.isin(values, torch.unique(people).long())
    number = torch.cat([torch.tensor([0, 1]), torch.where(shows, 1 + shows.cumsum(0), 0)])
    return number[people.long()].to(torch.uint8), landmarks[shows], persons[shows]
