"""What goes in and comes out of the parsing of one person: features of all images, labels of their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from occlureid.errors import ShapeError
from occlureid.types import Sample

__all__ = ["PersonImages", "PersonParsing"]


@dataclass(frozen=True, eq=False)
class PersonImages:
    """All images of one person.

    Attributes:
        person: training label, at least 0; with the run's seed it fixes where the person's decoder starts.
        features: (n, q, h, w) float, the features of each pixel, or its colours; not changed, and no gradient goes into them.
        cameras: (n) camera of each image.
        frames: (n) frame or time stamp of each image; where it is None the order given counts.
        indices: (n,) int64, which images these are: rows of the training set.
    """

    person: int
    features: Tensor
    cameras: tuple[str, ...]
    frames: tuple[int | None, ...]
    indices: Tensor

    def __post_init__(self) -> None:
        count = self.features.shape[0]
        if self.features.ndim != 4 or not self.features.is_floating_point() or 0 in self.features.shape:
            raise ShapeError(
                f"features of person {self.person} must be float of shape (n, q, h, w), none of them 0, got "
                f"{self.features.dtype} {tuple(self.features.shape)}"
            )
        if len(self.cameras) != count or len(self.frames) != count or self.indices.shape != (count,):
            raise ShapeError(
                f"person {self.person} has {count} images, but {len(self.cameras)} cameras, {len(self.frames)} frames and "
                f"indices of shape {tuple(self.indices.shape)}"
            )
        if self.person < 0:
            raise ShapeError(f"a person's label must be at least 0, got {self.person}")

    @classmethod
    def of(cls, person: int, features: Tensor, samples: Sequence[Sample], indices: Sequence[int]) -> PersonImages:
        """From the samples of the images, which know camera and time.

        Args:
            person: training label.
            features: (n, q, h, w).
            samples: (n) in the order of the features.
            indices: (n) rows of the training set.
        """
        return cls(
            person,
            features,
            tuple(sample.camera for sample in samples),
            tuple(sample.time for sample in samples),
            torch.as_tensor(list(indices), dtype=torch.long),
        )

    def __len__(self) -> int:
        return self.features.shape[0]


@dataclass(frozen=True, eq=False)
class PersonParsing:
    """What was found in the images of one person, on the CPU.

    Attributes:
        person: training label.
        indices: (n,) int64, as given.
        labels: (n, h, w) uint8: 0 background, 1 to ``parts`` the parts, top to bottom; 0 everywhere where nothing is known.
        known: (n,) bool; False for an image of which nothing can be said.
        clusters: (n, h, w) uint8, the labels before they became background and parts.
        steps: forward passes of the decoder, 0 where none was trained.
        clusters_left: how many different labels ``clusters`` has.
        reason: "" or why nothing, or less than usual, was found: "one image", "no background", "no foreground", ...
    """

    person: int
    indices: Tensor
    labels: Tensor
    known: Tensor
    clusters: Tensor
    steps: int
    clusters_left: int
    reason: str = ""
