"""Why two images are as far apart as they are: what each part contributed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from occlureid.errors import ShapeError
from occlureid.matching.kernel import check_pair, mix, part_weights, prepare_local, spatial_block, unit
from occlureid.matching.rule import MatchRule
from occlureid.types import Descriptor

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True, eq=False, slots=True)
class Explanation:
    """The distance of N pairs, taken apart.

    Attributes:
        distance: (N,) the distance that the rule gives, infinity where a pair has nothing to compare.
        global_distance: (N,) of the global vectors: 1 - cosine in [0, 2], or Euclidean.
        part_distances: (N, K) of the part vectors, likewise; infinity where the pair does not share the part.
        part_weights: (N, K) w_k = v_k^q v_k^g in [0, 1] as the rule takes them.
        spatial_distance: (N,) of the local vectors in [0, 2], or None where the rule does not use them.
    """

    distance: Tensor
    global_distance: Tensor
    part_distances: Tensor
    part_weights: Tensor
    spatial_distance: Tensor | None


def explain(rule: MatchRule, query: Descriptor, gallery: Descriptor) -> Explanation:
    """Takes apart the distances of N pairs: image i of the query with image i of the gallery.

    Args:
        rule: how images are compared.
        query: N images.
        gallery: N images of the same model.

    Returns:
        The distance of each pair, as ``distance_matrix`` gives it (to about 1e-6), and what it is made of; float32.

    Raises:
        FingerprintError: the descriptors come from two models.
        ShapeError: they differ in shape, number or device, or lack the local vectors that the rule needs.
    """
    check_pair(rule, query, gallery)
    if len(query) != len(gallery):
        raise ShapeError(
            f"explain compares row i with row i: gallery must have N={len(query)} images, got {len(gallery)}"
        )
    with torch.no_grad():
        weights = part_weights(rule, query.visibility).double() * part_weights(rule, gallery.visibility).double()
        hidden = weights == 0
        global_distance = _row_distance(rule, query.global_, gallery.global_)
        part_distances = _row_distance(rule, query.parts, gallery.parts).masked_fill(hidden, 0)
        distance = _combine(rule, global_distance, part_distances, weights)
        spatial = None
        if rule.spatial_weight > 0:
            rows = [_one_spatial(query[i : i + 1], gallery[i : i + 1]) for i in range(len(query))]
            spatial = torch.stack(rows) if rows else distance.new_empty(0)
            distance = spatial if rule.spatial_weight == 1 else mix(rule, distance, spatial)
    return Explanation(
        distance=distance.float(),
        global_distance=global_distance.float(),
        part_distances=part_distances.masked_fill(hidden, torch.inf).float(),
        part_weights=weights.float(),
        spatial_distance=None if spatial is None else spatial.float(),
    )


def _row_distance(rule: MatchRule, query: Tensor, gallery: Tensor) -> Tensor:
    query, gallery = query.double(), gallery.double()
    if rule.metric == "euclidean":
        distance: Tensor = torch.linalg.vector_norm(query - gallery, dim=-1)
        return distance
    return 1 - (unit(query) * unit(gallery)).sum(-1)


def _combine(rule: MatchRule, global_distance: Tensor, part_distances: Tensor, weights: Tensor) -> Tensor:
    """The rule as its docstring prints it, for pairs."""
    gamma, beta, parts = rule.global_weight, rule.part_factor, weights.shape[1]
    total = gamma + weights.sum(1)
    if rule.metric == "euclidean":
        distance = (gamma * global_distance + (weights * part_distances).sum(1)) / total
    else:
        near_global, near_parts = 1 - global_distance, 1 - part_distances
        if rule.form == "mean":
            distance = 1 - (gamma * near_global + beta * (weights * near_parts).sum(1)) / total
        else:
            shared = gamma * (1 + near_global) / 2 + beta * (weights * (1 + near_parts) / 2).sum(1)
            distance = gamma + beta * parts - shared
    return torch.where(total > 0, distance, torch.inf)


def _one_spatial(query: Descriptor, gallery: Descriptor) -> Tensor:
    local = prepare_local(query, "query", torch.float64), prepare_local(gallery, "gallery", torch.float64)
    return spatial_block(*local)[0, 0]
