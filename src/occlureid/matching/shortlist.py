"""Two stages: all of the gallery by a quick rule, then only the nearest k of each query by the full one.

A distance is a function of its pair, whatever else the gallery holds; which images are on a shortlist is not. So what comes out
here is no matrix of distances, but either a shortlist with its distances, or an ordering: ``OrderBlock.keys`` sort as the two
stages rank, and are not distances.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from occlureid.errors import DataError, ShapeError, UsageError
from occlureid.matching.distance import MEMORY, Precision, distance_matrix
from occlureid.matching.kernel import check_pair
from occlureid.matching.rule import MatchRule
from occlureid.types import Descriptor

__all__ = ["OrderBlock", "Shortlist", "base_rule", "shortlist_distances", "stream_order"]


@dataclass(frozen=True, eq=False, slots=True)
class Shortlist:
    """The k gallery images of each of Q queries that are nearest by the base rule, in order of the full rule.

    Attributes:
        indices: (Q, k) int64 gallery indices, nearest first; -1 after the last, where fewer could be listed.
        distances: (Q, k) float32 distances by the full rule, ascending; infinity where a pair has nothing to compare, and
            where there is no image.
    """

    indices: Tensor
    distances: Tensor


@dataclass(frozen=True, eq=False, slots=True)
class OrderBlock:
    """How some queries rank the whole gallery: their shortlist by the full rule, then the rest by the base rule.

    Attributes:
        rows: which queries.
        keys: (rows, G) float64 that sort as the gallery ranks: on the shortlist the distance by the full rule, elsewhere
            something that grows with the distance by the base rule and lies above the whole shortlist. Infinite, and so last,
            where a pair has nothing to compare, and for skipped images. Not distances, but for the shortlist.
        shortlist: of these queries.
    """

    rows: slice
    keys: Tensor
    shortlist: Shortlist


def base_rule(rule: MatchRule) -> MatchRule:
    """The rule without local vectors, which is quick; the global vectors alone where nothing else is left of it.

    Raises:
        UsageError: the rule has no local vectors: there is nothing to save.
    """
    if rule.spatial_weight == 0:
        raise UsageError(
            "a shortlist is for rules that compare local vectors (spatial_weight above 0): "
            "this one compares the whole gallery quickly"
        )
    nothing_left = rule.global_weight == 0 and rule.part_factor == 0
    return replace(rule, spatial_weight=0.0, global_weight=1.0 if nothing_left else rule.global_weight)


def shortlist_distances(
    rule: MatchRule,
    query: Descriptor,
    gallery: Descriptor,
    k: int,
    *,
    skip: Sequence[Sequence[int] | Tensor] | None = None,
    memory: int = MEMORY,
    precision: Precision = "float32",
) -> Shortlist:
    """The full rule's distances to the k nearest gallery images by the base rule, for each query.

    Args:
        rule: the full rule, with local vectors.
        query: Q images.
        gallery: G images of the same model.
        k: at least 1; with G or more, all of the gallery. Of images at the same base distance the first are listed.
        skip: for each query, gallery indices that are not listed (those that a protocol ignores would only fill the list).
        memory: bytes of workspace beside descriptors and result, at least for one row of base distances and one pair.
        precision: as of ``distance_matrix``.

    Raises:
        UsageError: the rule has no local vectors, k or memory is not positive, or the precision does not go with the rule.
        ShapeError: descriptors do not go together, or ``skip`` does not go with them.
        FingerprintError: the descriptors come from two models.
        DataError: a base distance is not a number.
    """
    k = min(k, len(gallery))
    indices = torch.full((len(query), k), -1, device=query.global_.device)
    distances = torch.full((len(query), k), torch.inf, device=query.global_.device)
    for block in stream_order(rule, query, gallery, k, skip=skip, memory=memory, precision=precision):
        indices[block.rows], distances[block.rows] = block.shortlist.indices, block.shortlist.distances
    return Shortlist(indices, distances)


def stream_order(
    rule: MatchRule,
    query: Descriptor,
    gallery: Descriptor,
    k: int,
    *,
    skip: Sequence[Sequence[int] | Tensor] | None = None,
    memory: int = MEMORY,
    precision: Precision = "float32",
) -> Iterator[OrderBlock]:
    """How each query ranks the whole gallery in two stages, some queries at a time.

    With k of G or more it is the order of the full rule. Arguments and errors as of ``shortlist_distances``.

    Yields:
        Queries, one block after the other.
    """
    base = base_rule(rule)
    check_pair(rule, query, gallery)
    if k < 1 and len(gallery):
        raise UsageError(f"a shortlist holds at least 1 image, got k={k}")
    if memory < 1:
        raise UsageError(f"memory must be a positive number of bytes, got {memory}")
    if skip is not None and len(skip) != len(query):
        raise ShapeError(f"skip must have a list for each of {len(query)} queries, got {len(skip)}")
    # A pair's base distance is sorted with its index, and becomes a key of twice its size: a quarter of the memory for those.
    rows = max(1, memory // 4 // (40 * len(gallery) + 1))
    rest = max(1, memory * 3 // 4)
    for start in range(0, len(query), rows):
        some = slice(start, min(start + rows, len(query)))
        near = distance_matrix(base, query[some], gallery, memory=rest, precision=precision)
        if bool(near.isnan().any()):
            wrong = [int(i) for i in near.isnan().nonzero()[0]]
            raise DataError(f"the distance of query {start + wrong[0]} to gallery image {wrong[1]} is not a number")
        if skip is not None:
            for row, skipped in zip(near, skip[some], strict=True):
                row[torch.as_tensor(skipped, dtype=torch.long, device=row.device)] = torch.nan
        shortlist = _by_full_rule(rule, query[some], gallery, _nearest(near, k), rest, precision)
        yield OrderBlock(some, _keys(near, shortlist), shortlist)


def _nearest(near: Tensor, k: int) -> Tensor:
    """(rows, k) the gallery indices of the least of (rows, G) distances, ascending as indices; -1 last where there are fewer."""
    values, indices = near.sort(dim=1, stable=True)  # not-a-number comes after infinity
    beyond = near.shape[1]
    listed = indices[:, :k].masked_fill(values[:, :k].isnan(), beyond).sort(dim=1).values
    return listed.masked_fill(listed == beyond, -1)


def _by_full_rule(
    rule: MatchRule, query: Descriptor, gallery: Descriptor, indices: Tensor, memory: int, precision: Precision
) -> Shortlist:
    """The full distances of the listed images, gathered some at a time in half the memory, and the list in their order."""
    distances = torch.full(indices.shape, torch.inf, device=indices.device)
    tensors = (gallery.global_, gallery.parts, gallery.visibility, gallery.spatial, gallery.saliency)
    image = sum(t[:1].nbytes for t in tensors if t is not None)
    step = max(1, memory // 2 // (image + 16))
    for row in range(len(query)):
        listed = indices[row][indices[row] >= 0]
        for start in range(0, len(listed), step):
            some = listed[start : start + step]
            out = distances[row : row + 1, start : start + len(some)]
            half = max(1, memory // 2)
            distance_matrix(rule, query[row : row + 1], gallery[some], memory=half, precision=precision, out=out)
    values, order = distances.sort(dim=1, stable=True)  # images at one distance stay in gallery order, none at all last
    return Shortlist(indices.gather(1, order), values)


def _keys(near: Tensor, shortlist: Shortlist) -> Tensor:
    """(rows, G) base distances, not-a-number where skipped, and a shortlist to keys."""
    finite = near.isfinite()
    keys = torch.where(finite, near.double(), torch.inf)
    for row, (indices, distances) in enumerate(zip(shortlist.indices, shortlist.distances.double(), strict=True)):
        listed, found = indices >= 0, distances.isfinite()
        if bool(found.any()):
            keys[row] += distances[found].max() + 1 - keys[row].amin().clamp_max(0)  # the rest lies above the shortlist
        keys[row, indices[listed]] = distances[listed]
    return keys
