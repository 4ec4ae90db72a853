"""How good part labels are where the truth is known: intersection over union of the foreground and of each part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from occlureid.errors import ShapeError

__all__ = ["ParsingScores", "score_parsing"]


@dataclass(frozen=True)
class ParsingScores:
    """Figures over all pixels of some images.

    Attributes:
        images: how many were counted.
        counts: (parts + 1) rows of as many pixel counts; rows are the truth, columns the labels, both from the background on.
    """

    images: int
    counts: tuple[tuple[int, ...], ...]

    def __add__(self, other: ParsingScores) -> ParsingScores:
        """The figures over the images of both."""
        if len(self.counts) != len(other.counts):
            raise ShapeError(f"scores of {len(self.counts) - 1} and {len(other.counts) - 1} parts cannot be joined")
        rows = zip(self.counts, other.counts, strict=True)
        counts = tuple(tuple(a + b for a, b in zip(one, two, strict=True)) for one, two in rows)
        return ParsingScores(self.images + other.images, counts)

    @property
    def foreground(self) -> float | None:
        """Intersection over union of the foreground in [0, 1]; None where neither truth nor labels have any."""
        total = sum(map(sum, self.counts))
        missed, invented = sum(row[0] for row in self.counts[1:]), sum(self.counts[0][1:])
        union = total - self.counts[0][0]
        return (union - missed - invented) / union if union else None

    @property
    def parts(self) -> tuple[float | None, ...]:
        """Intersection over union of each part in [0, 1]; None where neither truth nor labels have it."""
        found: list[float | None] = []
        for part in range(1, len(self.counts)):
            hit = self.counts[part][part]
            union = sum(self.counts[part]) + sum(row[part] for row in self.counts) - hit
            found.append(hit / union if union else None)
        return tuple(found)

    @property
    def mean(self) -> float | None:
        """Mean over the parts that have one; None where none has."""
        there = [value for value in self.parts if value is not None]
        return sum(there) / len(there) if there else None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "images": self.images,
            "foreground_iou": self.foreground,
            "mean_part_iou": self.mean,
            "part_iou": list(self.parts),
        }

    def summary(self) -> str:
        """One line."""

        def percent(value: float | None) -> str:
            return "absent" if value is None else f"{value:.1%}"

        each = ", ".join(map(percent, self.parts))
        return (
            f"IoU over {self.images} images: foreground {percent(self.foreground)}, parts {percent(self.mean)} ({each})"
        )


def score_parsing(
    labels: Tensor, truth: Tensor, known: Tensor | None = None, *, parts: int | None = None
) -> ParsingScores:
    """Compares part labels with true part maps, pixel by pixel of the labels.

    Args:
        labels: (n, h, w) uint8 or int64, 0 background, parts from 1.
        truth: of any height and width: (n, parts, H, W) float in [0, 1], averaged over each pixel of the labels, which then
            has the part that fills most of it, or the background where what the parts leave of 1 is more; or (n, H, W)
            integer labels like ``labels``, taken at the middle of each pixel.
        known: (n,) bool; images of which nothing is known are left out.
        parts: how many there are; needed only where the truth is labels, and there the largest in truth or labels unless given.

    Raises:
        ShapeError: shapes do not fit, or a label is beyond the parts.
    """
    if labels.ndim != 3 or labels.is_floating_point() or truth.ndim not in (3, 4) or len(truth) != len(labels):
        raise ShapeError(
            f"expected integer labels of shape (n, h, w) and truth of shape (n, parts, H, W) or (n, H, W), got {labels.dtype} "
            f"{tuple(labels.shape)} and {truth.dtype} {tuple(truth.shape)}"
        )
    if known is not None and known.shape != labels.shape[:1]:
        raise ShapeError(f"known must have shape ({len(labels)},), got {tuple(known.shape)}")
    size = (labels.shape[1], labels.shape[2])
    if truth.ndim == 4:
        parts = truth.shape[1]
        maps = F.adaptive_avg_pool2d(truth.float().cpu(), size)
        true = torch.cat([1 - maps.sum(1, keepdim=True), maps], 1).argmax(1)
    else:
        rows, columns = (
            ((torch.arange(out) + 0.5) * full / out).long() for out, full in zip(size, truth.shape[1:], strict=True)
        )
        true = truth.cpu().long()[:, rows][:, :, columns]
    said = labels.cpu().long()
    if known is not None:
        said, true = said[known.cpu()], true[known.cpu()]
    largest = int(max(said.max(), true.max())) if said.numel() else 0
    kinds = 1 + (largest if parts is None else parts)
    if largest >= kinds or (said.numel() and int(min(said.min(), true.min())) < 0):
        raise ShapeError(f"labels and truth must lie in [0, {kinds - 1}], got {largest}")
    counts = torch.bincount((true * kinds + said).flatten(), minlength=kinds * kinds).view(kinds, kinds)
    return ParsingScores(len(said), tuple(tuple(row) for row in counts.tolist()))
