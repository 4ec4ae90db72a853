"""Losses that several methods share: functions of plain tensors, scalar results, always attached to the graph."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from occlureid.errors import ShapeError

__all__ = ["batch_hard_triplet", "pixel_cross_entropy"]


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


def pixel_cross_entropy(
    logits: Tensor, labels: Tensor, smoothing: float = 0.0, average: Literal["pixels", "classes"] = "pixels"
) -> Tensor:
    r"""Cross entropy of pixel labels with label smoothing (Szegedy et al., 2016): SORN's Eq. 7 to 9.

        L = - sum_k q_k log s_k,    q_k = 1 - (K - 1) e / K  for the pixel's label,  e / K  for the others

    Args:
        logits: (B, K, h, w), before the softmax.
        labels: (B, h, w) int64 in [0, K), or -1 for a pixel of which nothing is known: it is left out.
        smoothing: e in [0, 1); 0 is the plain cross entropy.
        average: "pixels" takes the mean over all pixels of the batch; "classes" the mean over the pixels of each class
            first and then over the classes that the batch shows, so that small parts weigh as much as the background.

    Returns:
        A scalar; 0, still attached to the graph, where nothing is known of any pixel.

    Raises:
        ShapeError: the shapes do not fit.
    """
    if logits.ndim != 4 or labels.shape != (logits.shape[0], *logits.shape[2:]):
        raise ShapeError(
            f"labels must have shape (B, h, w) for logits (B, K, h, w), got {tuple(labels.shape)} and {tuple(logits.shape)}"
        )
    terms = F.cross_entropy(logits, labels, label_smoothing=smoothing, ignore_index=-1, reduction="none")
    known = labels >= 0
    if average == "pixels":
        return terms.sum() / known.sum().clamp_min(1)
    terms, labels = terms[known], labels[known]
    count = torch.bincount(labels, minlength=logits.shape[1]).to(terms)
    return (terms / count[labels]).sum() / (count > 0).sum().clamp_min(1)
