"""HCNet's losses, Eq. 2 to 4: of what many decoders say, one scalar a person."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from occlureid.coparsing.settings import CoparseSettings

__all__ = ["background_loss", "local_loss", "person_losses", "semantic_loss"]


def _apart(one: Tensor, other: Tensor, norm: int) -> Tensor:
    """(P, n, ...) how far two maps are apart in each image, summed over pixels and channels, as (P, n)."""
    difference = one - other
    return (difference.abs() if norm == 1 else difference.square()).flatten(2).sum(2)


def semantic_loss(scores: Tensor, labels: Tensor, images: Tensor, reduction: str = "mean") -> Tensor:
    """L_sem (Eq. 3): the cross entropy of each pixel with its own most likely label.

    Args:
        scores: (P, n, h, w, C').
        labels: (P, n, h, w) int64, argmax of the scores.
        images: (P, n) float, 1 for an image and 0 for what only fills up the batch.
        reduction: "mean" over the pixels, or "sum".

    Returns:
        (P,).
    """
    each = F.cross_entropy(scores.flatten(0, 3), labels.flatten(), reduction="none").view(*images.shape, -1)
    total = (each.sum(2) * images).sum(1)
    return total if reduction == "sum" else total / (images.sum(1) * each.shape[2])


def local_loss(
    scores: Tensor,
    images: Tensor,
    *,
    radius: int = 3,
    norm: int = 1,
    diagonal_weight: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """L_local (Eq. 2): how far neighbouring pixels are apart, each pair once.

    The mean of the differences downwards, plus that to the right, plus ``diagonal_weight`` times those along the two
    diagonals; with radius 5 also those between pixels two apart. A direction in which the map is too small has none.

    Args:
        scores: (P, n, h, w, C').
        images: (P, n) float, 1 for an image and 0 for what only fills up the batch.
        radius: 3 or 5.
        norm: 1 for absolute differences, 2 for squared ones.
        diagonal_weight: of the diagonals; 0 leaves them out.
        reduction: "mean" over pixels and channels in each direction, or "sum".

    Returns:
        (P,).
    """
    height, width = scores.shape[2:4]
    total = scores.new_zeros(len(scores))
    for step in range(1, radius // 2 + 1):
        for down, right, weight in (
            (step, 0, 1.0),
            (0, step, 1.0),
            (step, step, diagonal_weight),
            (step, -step, diagonal_weight),
        ):
            if weight == 0 or down >= height or abs(right) >= width:
                continue
            left, start = max(right, 0), max(-right, 0)
            later = scores[:, :, down:, left : width - start]
            earlier = scores[:, :, : height - down, start : width - left]
            apart = (_apart(later, earlier, norm) * images).sum(1)
            if reduction == "mean":
                apart = apart / (images.sum(1) * later[0, 0].numel())
            total = total + weight * apart
    return total


def background_loss(scores: Tensor, pairs: Tensor, *, norm: int = 1, reduction: str = "mean") -> Tensor:
    """L_back (Eq. 4): how far neighbouring images of one camera are apart, pixel by pixel.

    Args:
        scores: (P, n, h, w, C'), images sorted so that neighbours stand beside each other.
        pairs: (P, n - 1) float, 1 where an image is compared with the next.
        norm: 1 for absolute differences, 2 for squared ones.
        reduction: "mean" over pairs, pixels and channels, or "sum".

    Returns:
        (P,); 0 for a person without pairs.
    """
    if pairs.shape[1] == 0:
        return scores.new_zeros(len(scores))
    total = (_apart(scores[:, 1:], scores[:, :-1], norm) * pairs).sum(1)
    return total if reduction == "sum" else total / (pairs.sum(1).clamp_min(1) * scores[0, 0].numel())


def person_losses(scores: Tensor, labels: Tensor, images: Tensor, pairs: Tensor, settings: CoparseSettings) -> Tensor:
    """L_HCNet (Eq. 5): L_sem + lambda_L L_local + lambda_B L_back, as (P,)."""
    total = semantic_loss(scores, labels, images, settings.reduction)
    if settings.weight_local:
        total = total + settings.weight_local * local_loss(
            scores,
            images,
            radius=settings.radius,
            norm=settings.norm,
            diagonal_weight=settings.diagonal_weight,
            reduction=settings.reduction,
        )
    if settings.weight_background:
        apart = background_loss(scores, pairs, norm=settings.norm, reduction=settings.reduction)
        total = total + settings.weight_background * apart
    return total
