"""The exact look at few items: the method's own rule on descriptors in half precision, and what it says of each part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlureid.gallery.hits import NAMED, Hit, PartReason, Reason, SearchResult
from occlureid.gallery.openset import Calibration
from occlureid.gallery.records import Columns
from occlureid.gallery.scan import scan_rule
from occlureid.matching import Explanation, MatchRule, distance_matrix, explain, part_weights
from occlureid.types import Descriptor

__all__ = ["Scores", "Tally", "rescore", "without_maps"]

_PAIRS = 512
"""Pairs that are compared at a time: their float64 copies stay small."""


def without_maps(item: Descriptor) -> Descriptor:
    """The same images without local vectors."""
    return replace(item, spatial=None, saliency=None)


@dataclass(frozen=True, eq=False, slots=True)
class Scores:
    """The exact distances of a query to some items, and how to make hits of them.

    Attributes:
        rule: that they were compared by.
        distances: (n,) float32, infinite where nothing can be compared.
        columns: n items.
        seen: (K,) which parts the query shows, (n, K) which parts the items show.
        base: what global vector and parts say.
        spatial: (n,) what local vectors say, where the rule asks them.
    """

    rule: MatchRule
    distances: NDArray[np.float32]
    columns: Columns
    seen: tuple[Tensor, Tensor]
    base: Explanation
    spatial: Tensor | None

    def hit(self, index: int) -> Hit:
        """One of the items, explained."""
        columns, time = self.columns, float(self.columns.times[index])
        return Hit(
            columns.ids[index].as_py(),
            float(self.distances[index]),
            columns.cameras[index].as_py(),
            columns.persons[index].as_py(),
            None if np.isnan(time) else time,
            self._reason(index),
        )

    def _reason(self, index: int) -> Reason:
        rule = self.rule
        spatial = None if self.spatial is None else float(self.spatial[index])
        if rule.spatial_weight == 1:
            return Reason(None, 0.0, (), spatial)
        distances, weights = self.base.part_distances[index].tolist(), self.base.part_weights[index].tolist()
        both = zip(distances, weights, self.seen[0].tolist(), self.seen[1][index].tolist(), strict=True)
        parts = tuple(PartReason(d if w > 0 else None, w, here, there) for d, w, here, there in both)
        used = rule.global_weight > 0
        global_distance = float(self.base.global_distance[index]) if used else None
        return Reason(global_distance, rule.global_weight, parts if rule.part_factor > 0 else (), spatial)


def rescore(rule: MatchRule, query: Descriptor, columns: Columns, items: Descriptor) -> Scores:
    """Compares one query with n items.

    Everything but local vectors is computed in float64, pair by pair: what a distance is does not depend on what else is
    compared, and items that are the same are equally far.

    Args:
        rule: how images are compared.
        query: one image, with local vectors if the rule compares them.
        columns: n items.
        items: their descriptors, likewise.
    """
    base = scan_rule(rule)
    bare, others = without_maps(query), without_maps(items)
    pieces = [
        explain(base, bare[torch.zeros(len(some), dtype=torch.int64)], some)
        for some in (others[start : start + _PAIRS] for start in range(0, max(1, len(items)), _PAIRS))
    ]
    found = pieces[0] if len(pieces) == 1 else _joined(pieces)
    distances, spatial = found.distance, None
    if rule.spatial_weight > 0:
        spatial = distance_matrix(replace(rule, spatial_weight=1.0), query, items)[0]
        share = rule.spatial_weight
        distances = spatial if share == 1 else ((1 - share) * distances.double() + share * spatial.double()).float()
    seen = part_weights(base, query.visibility)[0] > 0, part_weights(base, items.visibility) > 0
    return Scores(rule, distances.numpy(), columns, seen, found, spatial)


def _joined(pieces: list[Explanation]) -> Explanation:
    return Explanation(
        torch.cat([piece.distance for piece in pieces]),
        torch.cat([piece.global_distance for piece in pieces]),
        torch.cat([piece.part_distances for piece in pieces]),
        torch.cat([piece.part_weights for piece in pieces]),
        None,
    )


class Tally:
    """What is known of one query's answer while a search goes on."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._hits: list[Hit] = []
        self.worst = float("inf")
        self.searched = 0
        self.incomparable = 0
        self.exact = True
        self._damaged: dict[str, None] = {}

    def add(self, scores: Scores) -> None:
        """Takes further items into account."""
        found = np.flatnonzero(np.isfinite(scores.distances) & (scores.distances <= self.worst))
        self.incomparable += int(np.isinf(scores.distances).sum())
        if len(found) > self._k:  # equally far ones may all be needed, because of their ids
            found = found[scores.distances[found] <= np.partition(scores.distances[found], self._k - 1)[self._k - 1]]
        self._hits += [scores.hit(index) for index in found.tolist()]
        self._hits = sorted(self._hits, key=lambda hit: (hit.distance, hit.id))[: self._k]
        if len(self._hits) == self._k:
            self.worst = self._hits[-1].distance

    def leave_out(self, ids: Iterable[str]) -> None:
        """Notes items that are damaged."""
        self._damaged |= dict.fromkeys(ids)

    def result(self, calibration: Calibration | None) -> SearchResult:
        """The answer as it stands."""
        hits, absent = self._hits, None
        if calibration is not None:
            verdicts = [calibration.verdict(hit.distance) for hit in hits]
            hits = [replace(hit, probable=v == "likely", verdict=v) for hit, v in zip(hits, verdicts, strict=True)]
            absent = calibration.absent(verdicts)
        return SearchResult(
            tuple(hits), self.searched, self.incomparable, self.exact, 1.0, absent,
            len(self._damaged), tuple(self._damaged)[:NAMED],
        )  # fmt: skip
