"""Part labels that a method makes for its own training images while it is trained, and what it sees of the run to make them.

HCGA parses the images of each person together before an epoch and then learns from what it found. The loop asks a method for
such labels (``Method.guide``) before every epoch, keeps the last ones in the checkpoint, and hands them to the method as the
cues "part_map" and "foreground" of the images of a batch: they go through flip, crop, padding and erasing with their image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from occlureid.errors import ShapeError
from occlureid.types import Sample

__all__ = ["Guidance", "TrainingView"]


@dataclass(frozen=True, eq=False)
class Guidance:
    """Part labels of the N training images.

    Attributes:
        labels: (N, h, w) uint8 over the whole image: 0 background, 1 to ``parts`` the parts, top to bottom.
        known: (N,) bool; False where nothing could be said of an image. Its cues are then a foreground that covers it all and
            a part map that is empty: somebody, of whom no part is known.
        parts: the number of parts, without the background.
        epoch: the epoch, from 0, before which they were made; what their age is counted from.
        record: plain values for the log: times, memory, counts, quality.
    """

    labels: Tensor
    known: Tensor
    parts: int
    epoch: int
    record: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.labels.ndim != 3 or self.labels.dtype != torch.uint8:
            raise ShapeError(
                f"labels must be uint8 of shape (N, h, w), got {self.labels.dtype} {tuple(self.labels.shape)}"
            )
        if self.known.shape != self.labels.shape[:1] or self.known.dtype != torch.bool:
            raise ShapeError(
                f"known must be bool of shape (N,) with N={self.labels.shape[0]}, got {self.known.dtype} "
                f"{tuple(self.known.shape)}"
            )
        if not 1 <= self.parts <= 254:
            raise ShapeError(f"parts must lie in [1, 254], got {self.parts}")
        if self.labels.numel() and int(self.labels.max()) > self.parts:
            raise ShapeError(f"labels must lie in [0, {self.parts}], got {int(self.labels.max())}")


class TrainingView(Protocol):
    """What a method sees of the run that trains it: the training images without augmentation, and how far the run is."""

    @property
    def samples(self) -> Sequence[Sample]:
        """The N training images, in the order in which guidance counts them."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64 training labels of the persons."""

    @property
    def epoch(self) -> int:
        """The coming epoch, from 0; in ``conclude`` the number of epochs."""

    @property
    def seed(self) -> int:
        """The run's seed."""

    @property
    def rank(self) -> int:
        """This process, from 0."""

    @property
    def world(self) -> int:
        """The number of processes."""

    @property
    def device(self) -> torch.device:
        """Where the method is."""

    @property
    def previous(self) -> Guidance | None:
        """The guidance in force, None before the first."""

    def images(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Some images as ``describe`` gets them, (B, 3, H, W) on the device, and which could be read, (B,) bool."""

    def merge(self, labels: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Joins what the processes made: of each image the row of the process that knows it.

        Args:
            labels: (N, h, w) uint8, on any device; rows of images that this process has not worked on are not looked at.
            known: (N,) bool, what this process has worked on and can say something of.

        Returns:
            The same for all processes, on the CPU.
        """
