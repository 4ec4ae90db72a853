"""Pooling and classification heads that several methods share."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["BatchNormNeck", "ReducedClassifier", "person_classifiers", "stripe_pool", "stripes_with_points"]


def stripe_pool(features: Tensor, stripes: int) -> Tensor:
    """Average over horizontal stripes, top to bottom: (B, C, h, w) to (B, K, C) with K = ``stripes``.

    Where K does not divide h, the boundaries are those of adaptive pooling (neighbouring stripes may share a row).
    """
    return F.adaptive_avg_pool2d(features, (stripes, 1)).squeeze(3).transpose(1, 2)


def stripes_with_points(y: Tensor, counts: Tensor, stripes: int, height: int, *, top_open: bool = False) -> Tensor:
    """Which of the equal stripes of an image hold a point (PGFA Eq. 5).

    Args:
        y: (B, J) in pixels from the top.
        counts: (B, J) bool, the points that count.
        stripes: K.
        height: of the image, in pixels.
        top_open: a point exactly on a stripe's upper boundary is in no stripe, instead of in that one.

    Returns:
        (B, K) bool.
    """
    edges = torch.arange(stripes + 1, device=y.device) * (height / stripes)
    below_top = y[..., None] > edges[:-1] if top_open else y[..., None] >= edges[:-1]
    return (below_top & (y[..., None] < edges[1:]) & counts[..., None]).any(1)


class ReducedClassifier(nn.Module):
    """Reduces a feature and classifies it: (B, C) to the reduced (B, R) and logits (B, classes).

    ``kind`` "block" is dropout, linear, batch norm, dropout, linear, with the initialisation of PCB's and PGFA's released
    code; "conv" is the bare 1x1 convolution of the papers' text (a linear layer on a pooled vector), then the classifier.
    """

    def __init__(self, channels: int, reduced: int, classes: int, dropout: float = 0.5, kind: str = "block") -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(channels, reduced)]
        nn.init.kaiming_normal_(layers[0].weight, mode="fan_out")  # type: ignore[arg-type]
        nn.init.zeros_(layers[0].bias)  # type: ignore[arg-type]
        if kind == "block":
            norm = nn.BatchNorm1d(reduced)
            nn.init.normal_(norm.weight, 1.0, 0.02)
            layers = [nn.Dropout(dropout), *layers, norm]
        self.reduce = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout if kind == "block" else 0.0)
        self.classifier = nn.Linear(reduced, classes)
        nn.init.normal_(self.classifier.weight, std=0.001)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C) to (B, R) and (B, classes)."""
        reduced = self.reduce(features)
        return reduced, self.classifier(self.dropout(reduced))


class BatchNormNeck(nn.Module):
    """Batch norm, then a linear classifier; without learned shift and bias that of Luo et al., CVPR workshops 2019.

    Args:
        channels: C.
        classes: of the classifier.
        shift: whether the batch norm learns a shift.
        bias: whether the classifier has a bias.
        norm: False leaves the batch norm out.
    """

    def __init__(
        self, channels: int, classes: int, *, shift: bool = False, bias: bool = False, norm: bool = True
    ) -> None:
        super().__init__()
        self.norm: nn.Module = nn.Identity()
        if norm:
            layer = nn.BatchNorm1d(channels)
            layer.bias.requires_grad_(shift)
            self.norm = layer
        self.classifier = nn.Linear(channels, classes, bias=bias)
        nn.init.normal_(self.classifier.weight, std=0.001)
        if bias:
            nn.init.zeros_(self.classifier.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C) to the normalised (B, C) and logits (B, classes)."""
        normalised = self.norm(features)
        return normalised, self.classifier(normalised)


def person_classifiers(state: Iterable[str]) -> frozenset[str]:
    """The names of a method's state that only its losses look at: those of its classifiers of the training's persons.

    They are the layers named ``classifier``, as in the heads above, outside of the backbone. Nothing that describes may be called
    so: released weights come without them.
    """
    layers = {name: name.split(".")[:-1] for name in state}
    return frozenset(name for name, path in layers.items() if path[-1:] == ["classifier"] and path[0] != "backbone")
