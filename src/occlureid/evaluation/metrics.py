"""Ranking metrics from distances, without ordering whole rows.

A query's scores depend only on how many gallery images are nearer than, or as near as, each of its right ones. So the
distances up to its last right image are sorted by value alone (many times faster than sorting indices) and the right images
are looked up in them. Ignored images are set to not-a-number, which is below nothing; ties are scored in expectation
(``ties``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from occlureid.errors import DataError, ShapeError
from occlureid.evaluation.ties import Groups, first_rank, hit_curve, inverse_last_rank, precision_sums
from occlureid.evaluation.truth import Truth

__all__ = ["Scores", "score_block", "score_blocks"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Scores:
    """The scores of Q queries; not-a-number where a query has no right image left in the gallery.

    Attributes:
        curve: (Q, R) probability of a right image among the first k, k = 1 ... R.
        average_precision: (Q,) mean of the precision at hits.
        average_precision_trapezoid: (Q,) mean of the precision before and after each hit (Market-1501's first evaluation).
        inverse_negative_penalty: (Q,) right images / position of the last of them.
        first_match: (Q,) expected position of the first right image.
        incomparable: (Q,) gallery images at infinite distance, ignored ones left out.
        nearest: (Q, top) gallery indices of the nearest images, ties in gallery order; -1 where there are no more.
        nearest_distances: (Q, top) their distances; infinity where there are no more.
    """

    curve: Floats
    average_precision: Floats
    average_precision_trapezoid: Floats
    inverse_negative_penalty: Floats
    first_match: Floats
    incomparable: Integers
    nearest: Integers
    nearest_distances: Floats

    @property
    def scored(self) -> npt.NDArray[np.bool_]:
        """(Q,) whether a query has a right image, and so counts in a mean."""
        return ~np.isnan(self.average_precision)


@dataclass(frozen=True, eq=False, slots=True)
class _Row:
    """What one sorted row tells: how many images are nearer than, and up to as near as, each right one; who is nearest."""

    before: Integers
    upto: Integers
    incomparable: int
    nearest: Integers
    distances: npt.NDArray[np.floating]


def score_block(distances: Tensor, truth: Truth, *, ranks: int = 50, top: int = 10, first_query: int = 0) -> Scores:
    """Scores some queries.

    Args:
        distances: (Q, G) of any float type, lower is closer; infinite ones are one last group of ties.
        truth: of these Q queries.
        ranks: R, the length of the curve; cut at G.
        top: how many of the nearest images to name.
        first_query: the number of the first of these queries, for messages.

    Raises:
        ShapeError: distances and truth do not go together.
        DataError: a distance is not a number; the message names query and gallery image.
    """
    if distances.ndim != 2 or tuple(distances.shape) != (len(truth), truth.gallery):
        raise ShapeError(
            f"distances must have shape (Q, G) = {(len(truth), truth.gallery)}, got {tuple(distances.shape)}"
        )
    if not distances.is_floating_point():
        raise ShapeError(f"distances must be floating point, got {distances.dtype}")
    if distances.dtype not in (torch.float32, torch.float64):
        distances = distances.float()
    values = distances.detach().cpu().numpy()
    rows = [
        _look_up(values[i], truth.positives[i], truth.ignored[i], truth.junk, top, first_query + i)
        for i in range(len(truth))
    ]
    return _score_rows(rows, min(ranks, truth.gallery), top)


def score_blocks(blocks: Iterable[tuple[slice, Tensor]], truth: Truth, *, ranks: int = 50, top: int = 10) -> Scores:
    """Scores all queries from blocks of rows, such as ``stream_distances`` yields, in order.

    Raises:
        ShapeError: the blocks do not cover the queries one after the other, or do not go with the truth.
        DataError: a distance is not a number.
    """
    done: list[Scores] = []
    reached = 0
    for rows, distances in blocks:
        if rows.start != reached:
            raise ShapeError(f"the next block of distances must begin at query {reached}, got {rows.start}")
        done.append(score_block(distances, truth[rows], ranks=ranks, top=top, first_query=reached))
        reached = rows.stop
    if reached != len(truth) or not done:
        raise ShapeError(f"blocks of distances must cover {len(truth)} queries (at least one), got {reached}")
    return Scores(**{f.name: np.concatenate([getattr(scores, f.name) for scores in done]) for f in fields(Scores)})


def _look_up(
    distances: npt.NDArray[np.floating], positives: Integers, ignored: Integers, junk: Integers, top: int, query: int
) -> _Row:
    kept = distances.copy()
    kept[ignored] = np.nan
    kept[junk] = np.nan
    dropped = len(ignored) + len(junk)
    if np.count_nonzero(np.isnan(kept)) != dropped:
        wrong = np.setdiff1d(np.flatnonzero(np.isnan(kept)), np.concatenate([ignored, junk]))
        raise DataError(
            f"the distance of query {query} to gallery image {wrong[0]} is not a number ({len(wrong)} in this row)"
        )
    few = min(top, len(kept) - dropped)
    found = np.sort(distances[positives])
    # Nothing beyond the last right image is needed, but for the nearest ones to name.
    reach = max(np.count_nonzero(kept <= found[-1]) if len(found) else 0, few)
    order = kept.copy()
    if 0 < reach < len(order) // 2:  # beyond half of the row, sorting all of it is as quick
        order.partition(reach - 1)
        order[:reach].sort()
    else:
        order.sort()
    near = order[:reach]
    nearest = np.flatnonzero(kept <= near[few - 1]) if few else np.empty(0, dtype=np.int64)
    nearest = nearest[np.argsort(kept[nearest], kind="stable")[:few]]
    return _Row(
        before=near.searchsorted(found, "left").astype(np.int64),
        upto=near.searchsorted(found, "right").astype(np.int64),
        incomparable=int(np.count_nonzero(kept == np.inf)),
        nearest=nearest,
        distances=kept[nearest],
    )


def _score_rows(rows: list[_Row], ranks: int, top: int) -> Scores:
    """All rows at once: their groups lie one after the other in flat arrays."""
    queries = len(rows)
    positives = np.array([len(row.before) for row in rows], dtype=np.int64)
    groups, owner = _groups(rows, positives)
    scored = np.flatnonzero(positives)
    first = np.searchsorted(owner, scored, "left")
    last = np.searchsorted(owner, scored, "right") - 1

    curve = np.full((queries, ranks), np.nan)
    hits, trapezoid, negative, match = (np.full(queries, np.nan) for _ in range(4))
    if len(scored):
        hits_sums, trapezoid_sums = precision_sums(groups)
        curve[scored] = hit_curve(groups[first], ranks)
        hits[scored] = np.add.reduceat(hits_sums, first) / positives[scored]
        trapezoid[scored] = np.add.reduceat(trapezoid_sums, first) / positives[scored]
        negative[scored] = positives[scored] * inverse_last_rank(groups[last])
        match[scored] = first_rank(groups[first])
    nearest = np.full((queries, top), -1, dtype=np.int64)
    nearest_distances = np.full((queries, top), np.inf)
    for index, row in enumerate(rows):
        nearest[index, : len(row.nearest)] = row.nearest
        nearest_distances[index, : len(row.nearest)] = row.distances
    incomparable = np.array([row.incomparable for row in rows], dtype=np.int64)
    return Scores(curve, hits, trapezoid, negative, match, incomparable, nearest, nearest_distances)


def _groups(rows: list[_Row], positives: Integers) -> tuple[Groups, Integers]:
    """The tie groups of all rows, nearest first in each row, and the row that each belongs to."""
    nothing = np.empty(0, dtype=np.int64)
    before = np.concatenate([nothing, *[row.before for row in rows]])
    upto = np.concatenate([nothing, *[row.upto for row in rows]])
    row = np.repeat(np.arange(len(rows)), positives)
    begins = np.ones(len(before), dtype=bool)
    begins[1:] = (before[1:] != before[:-1]) | (row[1:] != row[:-1])
    starts = np.flatnonzero(begins)
    right = np.diff(starts, append=len(before))
    owner = row[starts]
    hits = starts - (np.cumsum(positives) - positives)[owner]
    return Groups(before[starts], hits, upto[starts] - before[starts], right), owner
