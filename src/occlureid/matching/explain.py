"""Why two images are as far apart as they are: what each part contributed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from occlureid.errors import ShapeError
from occlureid.matching.kernel import check_pair, mix, part_weights, unit
from occlureid.matching.locations import local_vectors
from occlureid.matching.rule import MatchRule
from occlureid.types import Descriptor

__all__ = ["Explanation", "LocationMatches", "best_matches", "explain"]


_BY_LOCATIONS = MatchRule(part_factor=0, spatial_weight=1)


@dataclass(frozen=True, eq=False, slots=True)
class LocationMatches:
    """What each location of a query image found in a gallery image, to draw lines between them.

    Attributes:
        indices: (T_q,) int64, the most similar location of the gallery image, the first of several; -1 where the query has
            no such location (its saliency is 0), and everywhere if the gallery image has none.
        distances: (T_q,) 1 - cosine in [0, 2] to it, infinite where there is none.
        weights: (T_q,) share of the query's saliency, summing to 1; 0 where the query has no such location.
    """

    indices: Tensor
    distances: Tensor
    weights: Tensor

    @property
    def distance(self) -> float:
        """What the rule calls the distance by local vectors: the weighted mean, infinite where one image has no location."""
        found = self.indices >= 0
        return float((self.weights[found] * self.distances[found]).sum()) if bool(found.any()) else float("inf")


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
            pairs = [best_matches(query[i : i + 1], gallery[i : i + 1]) for i in range(len(query))]
            spatial = torch.tensor([pair.distance for pair in pairs], dtype=torch.float64, device=distance.device)
            distance = spatial if rule.spatial_weight == 1 else mix(rule, distance, spatial)
    return Explanation(
        distance=distance.float(),
        global_distance=global_distance.float(),
        part_distances=part_distances.masked_fill(hidden, torch.inf).float(),
        part_weights=weights.float(),
        spatial_distance=None if spatial is None else spatial.float(),
    )


def best_matches(query: Descriptor, gallery: Descriptor) -> LocationMatches:
    """For each location of one query image, its most similar location of one gallery image, in float64.

    Args:
        query: one image, with (1, T_q, S) local vectors.
        gallery: one image of the same model, with (1, T_g, S) local vectors; T may differ.

    Raises:
        FingerprintError: the descriptors come from two models.
        ShapeError: there is not one image on each side, or they lack local vectors or differ in their length.
    """
    check_pair(_BY_LOCATIONS, query, gallery)
    if len(query) != 1 or len(gallery) != 1:
        raise ShapeError(f"best_matches compares one image with one, got {len(query)} and {len(gallery)}")
    (vectors, saliency), (others, other_saliency) = local_vectors(query), local_vectors(gallery)
    with torch.no_grad():
        here, there = saliency[0] != 0, (other_saliency[0] != 0).nonzero()[:, 0]
        indices = torch.full((len(here),), -1, device=here.device)
        distances = torch.full((len(here),), torch.inf, dtype=torch.float64, device=here.device)
        weights = torch.where(here, saliency[0].double() / saliency[0].sum(dtype=torch.float64), 0)
        if bool(here.any()) and len(there):
            nearest = (1 - unit(vectors[0, here].double()) @ unit(others[0, there].double()).T).min(1)
            indices[here], distances[here] = there[nearest.indices], nearest.values
    return LocationMatches(indices, distances, weights)


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
