"""Scores of a ranking in two stages: a shortlist of each query by the full rule, the rest of the gallery by the quick one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from occlureid.evaluation.metrics import Scores, score_blocks
from occlureid.evaluation.truth import Truth
from occlureid.matching import MatchRule, Precision, Shortlist, stream_order
from occlureid.types import Descriptor

__all__ = ["score_two_stages"]


def score_two_stages(
    rule: MatchRule,
    query: Descriptor,
    gallery: Descriptor,
    truth: Truth,
    shortlist: int,
    *,
    ranks: int = 50,
    top: int = 10,
    memory: int,
    precision: Precision = "float32",
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Scores Q queries by ``matching.stream_order``.

    What the protocol ignores is left off the shortlists, which it would fill (each query's own camera shows it best). Images of
    one full distance on a shortlist are ties as always, and so are images off it of one base distance.

    Args:
        rule: the full rule, with local vectors.
        query: Q images.
        gallery: G images.
        truth: of the queries.
        shortlist: how many gallery images are compared by the full rule.
        ranks: length of the curve.
        top: how many of the nearest images to name; those on the shortlist only, because others have no distance by the rule.
        memory: bytes of workspace.
        precision: of comparing.
        progress: called after each block with the number of queries done and Q.

    Raises:
        UsageError: the rule has no local vectors, or an option is out of range.
        ShapeError: descriptors do not go together.
        FingerprintError: the descriptors come from two models.
        DataError: a distance is not a number.
    """
    skip = [torch.from_numpy(np.concatenate([rows, truth.junk])) for rows in truth.ignored]
    found: list[Shortlist] = []

    def blocks() -> Iterator[tuple[slice, Tensor]]:
        for block in stream_order(rule, query, gallery, shortlist, skip=skip, memory=memory, precision=precision):
            some = block.shortlist
            found.append(Shortlist(some.indices[:, :top].clone(), some.distances[:, :top].clone()))
            yield block.rows, block.keys
            if progress is not None:
                progress(block.rows.stop, len(query))

    scores = score_blocks(blocks(), truth, ranks=ranks, top=top)
    nearest, distances = np.full_like(scores.nearest, -1), np.full_like(scores.nearest_distances, np.inf)
    done = 0
    for some in found:
        rows, columns = slice(done, done + len(some.indices)), slice(some.indices.shape[1])
        nearest[rows, columns], distances[rows, columns] = some.indices.cpu().numpy(), some.distances.cpu().numpy()
        done = rows.stop
    return replace(scores, nearest=nearest, nearest_distances=distances)
