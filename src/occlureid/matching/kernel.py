"""The one distance between two descriptors, as differentiable tensor code without chunks.

Losses, evaluation and search all end here. A descriptor is first made ready for its side of the comparison (``prepare``);
two ready descriptors give a block of distances (``block``), and no (Q, G, K) tensor ever exists. With w_k = v_k^q v_k^g, u a
vector scaled to length 1, gamma = ``global_weight`` and beta = ``part_factor``, one matrix product of concatenated vectors
gives the numerator of the cosine rule, and one of concatenated visibilities its denominator:

    A = [-gamma u_G, -beta v_1 u_1, ..., gamma, v_1, ...]^q . [u_G, v_1 u_1, ..., 1, v_1, ...]^g
      = gamma + sum_k w_k - gamma s_G - beta sum_k w_k s_k
    B = [gamma, v_1, ...]^q . [1, v_1, ...]^g = gamma + sum_k w_k

Form "mean" is A / B. The weights stand in A, and are not subtracted afterwards, so that a product whose *result* is rounded
(bfloat16) is rounded relative to the distance: near matches keep their order.

Three things are decided here. What is not visible is excluded before anything is computed from it, so that not-a-number in a
hidden part reaches neither a distance nor a gradient. A vector shorter than 1e-12 counts as zero and has similarity 0 to
everything. Euclidean distances come from float64 products, because ||a||^2 + ||b||^2 - 2ab cancels; those below about 1e-7
of the vectors' lengths are exactly 0, with gradient 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from occlureid.errors import ShapeError
from occlureid.matching.rule import MatchRule
from occlureid.types import Descriptor

__all__ = [
    "Ready",
    "Side",
    "block",
    "check_pair",
    "exact_dtype",
    "mix",
    "part_weights",
    "prepare",
    "row_width",
    "safe_root",
    "unit",
]

Side = Literal["query", "gallery"]

_ALIGNMENT = 32
"""Matrix products are quickest when the shared dimension is a multiple of the vector registers."""


@dataclass(frozen=True, slots=True)
class Ready:
    """One side of a comparison by global vector and parts.

    Attributes:
        vectors: (N, W) concatenated vectors.
        weights: (N, 1 + K) factors of the weights, the global vector's first.
        sizes: the lengths D, C, ..., C of the vectors as they lie in ``vectors`` (Euclidean rules only use them).
    """

    vectors: Tensor
    weights: Tensor
    sizes: tuple[int, ...]


def check_pair(rule: MatchRule, query: Descriptor, gallery: Descriptor) -> None:
    """Checks that two descriptors can be compared by a rule.

    Raises:
        FingerprintError: they come from two models.
        ShapeError: they differ in shape or device, a visibility lies outside [0, 1], or the rule needs local vectors that
            are not there.
    """
    query.check_same_model(gallery)
    spatial = rule.spatial_weight > 0
    for side, item in (("query", query), ("gallery", gallery)):
        if spatial and item.spatial is None:
            raise ShapeError(
                f"rule.spatial_weight is {rule.spatial_weight}, but the {side} has no local vectors; describe it with a method "
                "that gives them, or set spatial_weight to 0"
            )
        if not bool(((item.visibility >= 0) & (item.visibility <= 1)).all()):
            raise ShapeError(f"visibility must lie in [0, 1], the {side}'s does not")
    expected, got = _shapes(query, spatial), _shapes(gallery, spatial)
    if expected != got:
        raise ShapeError(f"gallery must have {expected}, as the query has; got {got}")
    if query.global_.device != gallery.global_.device:
        raise ShapeError(f"gallery must be on {query.global_.device}, as the query is; got {gallery.global_.device}")


def _shapes(item: Descriptor, spatial: bool) -> str:
    shapes = f"global_ (N, {item.global_.shape[1]}) and parts (N, {item.parts.shape[1]}, {item.parts.shape[2]})"
    return f"{shapes} and spatial (N, T, {item.spatial.shape[2]})" if spatial and item.spatial is not None else shapes


def exact_dtype(tensor: Tensor) -> torch.dtype:
    """The type to compute in: float64 for float64, otherwise float32."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def part_weights(rule: MatchRule, visibility: Tensor) -> Tensor:
    """The rule's v: (N, K) visibilities of any float type to (N, K) factors in [0, 1], float32 at least.

    The threshold is rounded to the type of the visibility, so that a part that lies exactly on it is visible in every type.
    """
    dtype = exact_dtype(visibility)
    if rule.part_factor == 0:
        return torch.zeros_like(visibility, dtype=dtype)
    if rule.visibility == "ignore":
        return torch.ones_like(visibility, dtype=dtype)
    if rule.visibility == "binary":
        threshold = torch.tensor(rule.threshold, dtype=visibility.dtype, device=visibility.device)
        return (visibility >= threshold).to(dtype)
    return visibility.to(dtype)


def unit(vectors: Tensor, norm: Tensor | None = None) -> Tensor:
    """Scales vectors to length 1 along the last dimension; zero stays zero. ``norm`` is their length, where it is known."""
    return _scaled(vectors, 1.0, norm)


def _norm(vectors: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return norm


def _scaled(vectors: Tensor, length: Tensor | float, norm: Tensor | None = None) -> Tensor:
    """The same in another length, in one multiplication; ``norm`` is their present length, where it is known."""
    return vectors * (length / (_norm(vectors) if norm is None else norm).clamp_min(1e-12))


def row_width(rule: MatchRule, item: Descriptor) -> int:
    """W, the length of a prepared row."""
    parts = item.parts.shape[1]
    if rule.metric == "euclidean":
        return sum(_sizes(item))
    wanted = [rule.global_weight > 0] + [rule.part_factor > 0] * parts
    return _aligned(sum(size for size, use in zip(_sizes(item), wanted, strict=True) if use) + 1 + parts)


def _sizes(item: Descriptor) -> tuple[int, ...]:
    return (item.global_.shape[1], *[item.parts.shape[2]] * item.parts.shape[1])


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def prepare(rule: MatchRule, item: Descriptor, side: Side, dtype: torch.dtype) -> Ready:
    """Readies N images for one side of the comparison.

    Args:
        rule: how they will be compared.
        item: the images.
        side: gamma and beta are put on the query's side.
        dtype: of the product of vectors. Weights are rounded to it too, so that numerator and denominator agree.

    Returns:
        Vectors (N, W) of ``dtype`` and weights (N, 1 + K), float32 at least.
    """
    compute = torch.float32 if dtype == torch.bfloat16 else dtype
    gamma, beta = (rule.global_weight, rule.part_factor) if side == "query" else (1.0, 1.0)
    visible = part_weights(rule, item.visibility).to(dtype).to(compute)
    weights = F.pad(visible, (1, 0), value=gamma)
    parts = item.parts.to(compute)
    norm = _norm(parts)
    if not bool(torch.isfinite(norm).all()):  # else a weight of 0 is enough to exclude
        parts = torch.where(visible[..., None] > 0, parts, 0)
        norm = _norm(parts)
    if rule.metric == "euclidean":
        return Ready(torch.cat([item.global_.to(compute), parts.flatten(1)], 1), weights, _sizes(item))

    sign = -1.0 if side == "query" else 1.0
    pieces = [_scaled(item.global_.to(compute), sign * gamma).to(dtype)] if rule.global_weight > 0 else []
    if rule.part_factor > 0:
        pieces.append(_scaled(parts, sign * beta * visible[..., None], norm).to(dtype).flatten(1))
    padding = row_width(rule, item) - sum(piece.shape[1] for piece in pieces) - weights.shape[1]
    vectors = torch.cat([*pieces, F.pad(weights, (0, padding)).to(dtype)], 1)
    return Ready(vectors, weights, _sizes(item))


def block(rule: MatchRule, query: Ready, gallery: Ready, out: Tensor | None = None) -> Tensor:
    """(Q, G) distances by global vector and parts, in the type of the weights; infinity where nothing can be compared.

    ``out`` receives the result too, where it is given (without gradient); the commonest rule then needs no copy.
    """
    shared = query.weights @ gallery.weights.T
    if rule.metric == "euclidean":
        total = torch.zeros_like(shared)
        for index, (q, g) in enumerate(_pieces(query, gallery)):
            total = total + _euclidean(q, g) * (query.weights[:, index, None] * gallery.weights[:, index])
    else:
        total = (query.vectors @ gallery.vectors.T).to(shared.dtype)
    if rule.form == "sum":
        gamma, beta, parts = rule.global_weight, rule.part_factor, query.weights.shape[1] - 1
        # In "sum", beta also scales the constant 1 of (1 + s)/2, which A holds unscaled: subtract A's share, add our own.
        similarity = shared - total  # gamma s_G + beta sum_k w_k s_k
        distance = (gamma + beta * parts) - (gamma + beta * (shared - gamma) + similarity) / 2
    elif rule.global_weight > 0:
        return torch.div(total, shared, out=out)
    else:
        distance = total / torch.where(shared > 0, shared, 1)
    distance = distance if rule.global_weight > 0 else torch.where(shared > 0, distance, torch.inf)
    return distance if out is None else out.copy_(distance)


def _pieces(query: Ready, gallery: Ready) -> Iterator[tuple[Tensor, Tensor]]:
    sizes = list(query.sizes)
    return zip(torch.split(query.vectors, sizes, 1), torch.split(gallery.vectors, sizes, 1), strict=True)


def _euclidean(query: Tensor, gallery: Tensor) -> Tensor:
    """(Q, C) and (G, C) to (Q, G) Euclidean distances; for float64, right to about 1e-7 of the vectors' lengths."""
    scale = query.square().sum(1)[:, None] + gallery.square().sum(1)
    return safe_root(scale - 2 * query @ gallery.T, floor=scale * (64 * torch.finfo(query.dtype).eps))


def safe_root(square: Tensor, floor: Tensor) -> Tensor:
    """The square root where ``square`` exceeds ``floor``, elsewhere 0 with gradient 0 (a root's own gradient is infinite)."""
    enough = square > floor
    return torch.where(enough, torch.where(enough, square, 1).sqrt(), 0)


def mix(rule: MatchRule, distance: Tensor, spatial: Tensor) -> Tensor:
    """(1 - lambda) distance + lambda spatial, for 0 < lambda < 1; infinite where either is."""
    return (1 - rule.spatial_weight) * distance + rule.spatial_weight * spatial
