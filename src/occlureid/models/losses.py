"""Losses that several methods share: functions of plain tensors, scalar results, always attached to the graph."""

from __future__ import annotations

import torch
from torch import Tensor

from occlureid.errors import ShapeError

__all__ = ["batch_hard_triplet"]


def batch_hard_triplet(distances: Tensor, labels: Tensor, margin: float | None) -> Tensor:
    r"""The batch-hard triplet loss (Hermans et al., 2017, Eq. 5), meaned over the anchors that have both kinds of partner.

        L = mean_a [ max_{p: y_p = y_a, p != a} d(a, p) - min_{n: y_n != y_a} d(a, n) + margin ]_+

    Args:
        distances: (B, B), lower is closer.
        labels: (B,).
        margin: at least 0, or None for the soft margin log(1 + exp(.)).

    Returns:
        A scalar; 0, still attached to the graph, where no anchor has both a positive and a negative.

    Raises:
        ShapeError: the shapes do not fit.
    """
    count = labels.shape[0]
    if distances.shape != (count, count):
        raise ShapeError(f"distances must have shape (B, B) with B={count}, got {tuple(distances.shape)}")
    same = labels[:, None] == labels[None, :]
    other = torch.eye(count, dtype=torch.bool, device=labels.device).logical_not()
    positive, negative = same & other, ~same
    usable = positive.any(1) & negative.any(1)
    if not bool(usable.any()):
        return distances.sum() * 0.0
    hardest_positive = distances.masked_fill(~positive, -torch.inf).amax(1)[usable]
    hardest_negative = distances.masked_fill(~negative, torch.inf).amin(1)[usable]
    gap = hardest_positive - hardest_negative
    terms = torch.nn.functional.softplus(gap) if margin is None else (gap + margin).clamp_min(0)
    return terms.mean()
