"""How good a parser is: pixel accuracy, and the intersection over union of each class, on images that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from occlureid.cues.groupings import label_set
from occlureid.cues.partmaps import group_labels
from occlureid.data.images import read_image
from occlureid.data.lip import ParsingSample
from occlureid.errors import UsageError
from occlureid.parsing.provider import ParserProvider

__all__ = ["ParserScores", "score_parser"]


@dataclass(frozen=True)
class ParserScores:
    """Figures over all pixels of some images, each counted at the image's own size.

    Attributes:
        images: how many.
        pixel_accuracy: share of pixels with the right label, in [0, 1].
        iou: for each class, intersection over union in [0, 1]; None where neither truth nor prediction has it.
        mean_iou: the mean over the classes that have one.
    """

    images: int
    pixel_accuracy: float
    iou: dict[str, float | None]
    mean_iou: float

    @classmethod
    def from_counts(cls, counts: Tensor, labels: Sequence[str], images: int) -> ParserScores:
        """From (K, K) counts of pixels, rows the truth and columns the prediction.

        Raises:
            UsageError: no pixel was counted.
        """
        total = int(counts.sum())
        if total == 0:
            raise UsageError("a parser is judged by images, and there are none")
        right = counts.diagonal()
        union = (counts.sum(0) + counts.sum(1) - right).tolist()
        iou = {
            label: (int(hit) / int(whole) if whole else None)
            for label, hit, whole in zip(labels, right.tolist(), union, strict=True)
        }
        there = [value for value in iou.values() if value is not None]
        return cls(images, int(right.sum()) / total, iou, sum(there) / len(there))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "images": self.images, "pixel_accuracy": self.pixel_accuracy, "mean_iou": self.mean_iou, "iou": self.iou,
        }  # fmt: skip

    def summary(self) -> str:
        """A few lines: pixel accuracy, mean IoU, and that of each class."""
        lines = [
            f"{self.images} held-out images: pixel accuracy {self.pixel_accuracy:.1%}, mean IoU {self.mean_iou:.1%}"
        ]
        lines += [f"  {name:<14} {'absent' if value is None else f'{value:.1%}'}" for name, value in self.iou.items()]
        return "\n".join(lines)


def score_parser(
    provider: ParserProvider,
    samples: Sequence[ParsingSample],
    *,
    batch_size: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> ParserScores:
    """Judges a parser.

    Args:
        provider: the parser.
        samples: images and their LIP labels, which are merged into the parser's classes.
        batch_size: images held in memory at once.
        progress: called with (images done, images in all).

    Raises:
        DataError: an image or its labels cannot be read.
        UsageError: there are no images.
    """
    known = label_set(provider.parser.settings.labels)
    classes = len(known.labels)
    counts = torch.zeros(classes, classes, dtype=torch.long)
    grouping = "labels" if known.name == "lip20" else known.name
    for start in range(0, len(samples), batch_size):
        batch = samples[start : start + batch_size]
        pictures = [np.array(read_image(sample.image)) for sample in batch]
        for sample, picture, maps in zip(batch, pictures, provider.probabilities(pictures), strict=True):
            size = (picture.shape[0], picture.shape[1])
            truth = torch.from_numpy(group_labels(sample.read_labels(size), "lip20", grouping)).long()
            pairs = truth * classes + maps.argmax(0)
            counts += torch.bincount(pairs.flatten(), minlength=classes**2).view(classes, classes)
        if progress:
            progress(start + len(batch), len(samples))
    return ParserScores.from_counts(counts, known.labels, len(samples))
