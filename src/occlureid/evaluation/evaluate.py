"""From distances or descriptors to a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from occlureid.errors import DataError, ShapeError, UsageError
from occlureid.evaluation.metrics import Scores, score_blocks
from occlureid.evaluation.report import Counts, Interval, QueryResult, Report, Slice
from occlureid.evaluation.truth import Truth, find_truth
from occlureid.evaluation.two_stages import score_two_stages
from occlureid.matching import MEMORY, MatchRule, Precision, settled_precision, stream_distances
from occlureid.types import Descriptor, Protocol, Sample

__all__ = ["VISIBLE_BINS", "bootstrap_intervals", "evaluate"]

VISIBLE_BINS: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Edges of the bins of visible fraction; a bin holds its lower edge, the last one also its upper."""

_RANKS = 50
_ROWS = 256


def evaluate(
    source: Tensor | tuple[Descriptor, Descriptor],
    query: Sequence[Sample],
    gallery: Sequence[Sample],
    protocol: Protocol,
    *,
    rule: MatchRule | None,
    seed: int = 0,
    resamples: int = 1000,
    top: int = 10,
    memory: int = MEMORY,
    precision: Precision = "float32",
    shortlist: int | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Scores a query set against a gallery. Nothing here can be tuned on the test queries.

    Ties are scored in expectation over their orders, so that the order of files does not matter; pairs with nothing to compare
    (infinite distance) are one last group of ties, and are counted. Queries without a right image in the gallery are named and
    left out of every mean.

    Args:
        source: (Q, G) distances, lower is closer; or the descriptors of query and gallery, which are then compared in blocks,
            so that the matrix never exists.
        query: Q samples, in the order of the rows.
        gallery: G samples, in the order of the columns.
        protocol: which gallery images are ignored.
        rule: how descriptors are compared; with distances, how they came about, if that is known.
        seed: of the bootstrap.
        resamples: of the bootstrap, at least 1.
        top: how many of each query's nearest images the report names.
        memory: bytes of workspace for comparing descriptors.
        precision: of comparing descriptors; the report's provenance says which was used.
        shortlist: compare only so many gallery images of each query by the whole rule, those nearest without local vectors;
            they are ranked first, the rest after them as it is. Ignored images are not among them.
        provenance: settings, versions, checksums and the like, put into the report as they are; plain JSON values.
        progress: called after each block with the number of queries done and Q.

    Returns:
        The report.

    Raises:
        UsageError: descriptors come without a rule, or an option is out of range.
        ShapeError: distances or descriptors do not go with the samples.
        FingerprintError: the descriptors come from two models.
        DataError: a distance is not a number, or no query has a right image in the gallery.
    """
    if resamples < 1 or top < 1:
        raise UsageError(f"resamples and top must be at least 1, got {resamples} and {top}")
    arithmetic = None
    if rule is not None and not isinstance(source, Tensor):
        arithmetic = settled_precision(rule, memory, precision, source[0].global_.device)
    truth = find_truth(query, gallery, protocol)
    _check_scorable(query, truth, protocol)
    ranks = max(_RANKS, *protocol.ranks)
    if shortlist is None:
        blocks = _blocks(source, truth, rule, memory, precision)
        scores = score_blocks(_reported(blocks, len(query), progress), truth, ranks=ranks, top=top)
    else:
        known, pair = _descriptors(source, truth, rule)
        scores = score_two_stages(
            known, *pair, truth, shortlist, ranks=ranks, top=top, memory=memory, precision=precision, progress=progress
        )
    scored = scores.scored
    columns = {
        "rank_1": scores.curve[:, 0],
        "average_precision": scores.average_precision,
        "average_precision_trapezoid": scores.average_precision_trapezoid,
    }
    persons = [sample.person for sample, use in zip(query, scored, strict=True) if use]
    return Report(
        protocol=protocol,
        rule=rule,
        curve=tuple(scores.curve[scored].mean(0).tolist()),
        average_precision=float(scores.average_precision[scored].mean()),
        average_precision_trapezoid=float(scores.average_precision_trapezoid[scored].mean()),
        inverse_negative_penalty=float(scores.inverse_negative_penalty[scored].mean()),
        intervals=bootstrap_intervals(
            {name: column[scored] for name, column in columns.items()}, persons, seed=seed, resamples=resamples
        ),
        counts=Counts(
            query=len(query),
            gallery=len(gallery),
            scored=int(scored.sum()),
            junk=len(truth.junk),
            ignored=sum(len(rows) for rows in truth.ignored),
            incomparable=int(scores.incomparable.sum()),
        ),
        without_match=tuple(str(sample.path) for sample, use in zip(query, scored, strict=True) if not use),
        by_visible_fraction=_by_visible_fraction(query, scored, columns),
        by_obstacle=_by_obstacle(query, scored, columns),
        queries=tuple(_query_result(i, sample, gallery, scores) for i, sample in enumerate(query)),
        provenance={
            **(provenance or {}),
            **({"distance_precision": arithmetic} if arithmetic else {}),
            "bootstrap": {"seed": seed, "resamples": resamples, "unit": "person"},
        },
        shortlist=shortlist,
    )


def _check_scorable(query: Sequence[Sample], truth: Truth, protocol: Protocol) -> None:
    if not any(len(rows) for rows in truth.positives):
        first = f", first: {query[0].path} of person {query[0].person!r}" if query else ""
        raise DataError(
            f"none of {len(query)} queries has a right image among {truth.gallery} gallery images under protocol "
            f'{protocol.name!r} (ignore="{protocol.ignore}"){first}; check that both lists name persons and cameras alike'
        )


def _blocks(
    source: Tensor | tuple[Descriptor, Descriptor],
    truth: Truth,
    rule: MatchRule | None,
    memory: int,
    precision: Precision,
) -> Iterable[tuple[slice, Tensor]]:
    expected = (len(truth), truth.gallery)
    if isinstance(source, Tensor):
        if tuple(source.shape) != expected:
            raise ShapeError(f"distances must have shape (Q, G) = {expected} as the samples, got {tuple(source.shape)}")
        starts = range(0, len(truth), _ROWS)
        return ((slice(start, min(start + _ROWS, len(truth))), source[start : start + _ROWS]) for start in starts)
    known, pair = _descriptors(source, truth, rule)
    return stream_distances(known, *pair, memory=memory, precision=precision)


def _descriptors(
    source: Tensor | tuple[Descriptor, Descriptor], truth: Truth, rule: MatchRule | None
) -> tuple[MatchRule, tuple[Descriptor, Descriptor]]:
    if isinstance(source, Tensor):
        raise UsageError("a shortlist needs descriptors, which are compared in two stages; distances are final")
    if rule is None:
        raise UsageError("descriptors need a rule to be compared by; pass the method's rule, or distances")
    got, expected = (len(source[0]), len(source[1])), (len(truth), truth.gallery)
    if got != expected:
        raise ShapeError(f"query and gallery must have {expected} descriptors as the samples, got {got}")
    return rule, source


def _reported(
    blocks: Iterable[tuple[slice, Tensor]], total: int, progress: Callable[[int, int], None] | None
) -> Iterable[tuple[slice, Tensor]]:
    for rows, block in blocks:
        yield rows, block
        if progress is not None:
            progress(rows.stop, total)


def bootstrap_intervals(
    columns: Mapping[str, npt.NDArray[np.float64]], persons: Sequence[str], *, seed: int, resamples: int
) -> dict[str, Interval]:
    """95 % percentile intervals of means over queries, by resampling *persons* with all their queries.

    The queries of one person show the same clothes and often the same walk past the same obstacle, so that they succeed and
    fail together: resampling queries one by one would give intervals that are too narrow.

    Args:
        columns: scores (Q,) by name, without not-a-number.
        persons: (Q,) the person of each query.
        seed: of the random numbers.
        resamples: how many times the persons are drawn.

    Returns:
        An interval a column; none at all where there are fewer than two persons, which say nothing about their spread.
    """
    names, owner = np.unique(np.array(persons, dtype=str), return_inverse=True)
    if len(names) < 2:
        return {}
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    queries = draws @ np.bincount(owner)
    intervals = {}
    for name, column in columns.items():
        low, high = np.percentile(draws @ np.bincount(owner, weights=column) / queries, [2.5, 97.5])
        intervals[name] = Interval(float(low), float(high))
    return intervals


def _by_visible_fraction(
    query: Sequence[Sample], scored: npt.NDArray[np.bool_], columns: Mapping[str, npt.NDArray[np.float64]]
) -> tuple[Slice, ...]:
    known = np.array([np.nan if s.visible_fraction is None else s.visible_fraction for s in query])
    if np.isnan(known).all():
        return ()
    slices = []
    for low, high in pairwise(VISIBLE_BINS):
        inside = (known >= low) & ((known < high) if high < VISIBLE_BINS[-1] else (known <= high))
        slices.append(_slice(f"{low:.1f}-{high:.1f}", inside & scored, columns))
    return tuple(slices)


def _by_obstacle(
    query: Sequence[Sample], scored: npt.NDArray[np.bool_], columns: Mapping[str, npt.NDArray[np.float64]]
) -> tuple[Slice, ...]:
    obstacles = sorted({sample.obstacle for sample in query if sample.obstacle is not None})
    return tuple(
        _slice(name, np.array([sample.obstacle == name for sample in query]) & scored, columns) for name in obstacles
    )


def _slice(name: str, rows: npt.NDArray[np.bool_], columns: Mapping[str, npt.NDArray[np.float64]]) -> Slice:
    means = {key: float(column[rows].mean()) if rows.any() else None for key, column in columns.items()}
    return Slice(name=name, queries=int(rows.sum()), **means)


def _query_result(index: int, sample: Sample, gallery: Sequence[Sample], scores: Scores) -> QueryResult:
    found = scores.nearest[index] >= 0
    matches = tuple(scores.nearest[index][found].tolist())
    return QueryResult(
        path=str(sample.path),
        person=sample.person,
        rank_1=_known(scores.curve[index, 0]),
        average_precision=_known(scores.average_precision[index]),
        average_precision_trapezoid=_known(scores.average_precision_trapezoid[index]),
        first_match=_known(scores.first_match[index]),
        incomparable=int(scores.incomparable[index]),
        matches=matches,
        distances=tuple(scores.nearest_distances[index][found].tolist()),
        right=tuple(gallery[match].person == sample.person for match in matches),
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
