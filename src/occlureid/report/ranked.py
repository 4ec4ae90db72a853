"""Ranked lists: which queries of a run are shown, and what the distance of each pair is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from occlureid.evaluation import QueryResult
from occlureid.matching import Explanation, explain, part_weights
from occlureid.report.run import Run
from occlureid.report.view import PartView, QueryView, ResultView
from occlureid.types import Region, Sample

__all__ = ["choose_queries", "query_view"]


def choose_queries(run: Run, wanted: int) -> tuple[list[int], list[int]]:
    """The indices of the ``wanted`` best and worst queries by precision at hits; none is in both lists."""
    scored = [i for i, result in enumerate(run.report.queries) if result.average_precision is not None]

    def key(index: int, sign: int) -> tuple[float, float, str]:
        visible, score = run.query[index].visible_fraction, run.report.queries[index].average_precision
        return sign * (score or 0.0), 1.0 if visible is None else visible, str(run.query[index].path)

    best = _one_a_person(sorted(scored, key=lambda i: key(i, -1)), run.query, wanted)
    rest = sorted(set(scored) - set(best), key=lambda i: key(i, 1))
    return best, _one_a_person(rest, run.query, wanted)


def _one_a_person(ordered: Sequence[int], samples: Sequence[Sample], wanted: int) -> list[int]:
    """The first ``wanted``, a second query of a person only where there are too few persons."""
    seen: set[str] = set()
    first: list[int] = []
    more: list[int] = []
    for index in ordered:
        (more if samples[index].person in seen else first).append(index)
        seen.add(samples[index].person)
    chosen = set([*first, *more][:wanted])
    return [index for index in ordered if index in chosen]


def query_view(run: Run, index: int, images: int) -> QueryView:
    """One query with the first ``images`` of its ranked list, each taken apart where the descriptors are known."""
    result = run.report.queries[index]
    return QueryView(
        sample=run.query[index],
        average_precision=result.average_precision or 0.0,
        first_match=result.first_match,
        parts=_query_parts(run, index),
        results=_results(run, index, result, images),
    )


def _compares_parts(run: Run) -> bool:
    rule = run.report.rule
    return rule is not None and rule.part_factor > 0 and rule.spatial_weight < 1


def _part_names(run: Run, parts: int) -> list[tuple[str, Region | None]]:
    return [(region.name, region) for region in run.regions] or [(f"part {k + 1}", None) for k in range(parts)]


def _query_parts(run: Run, index: int) -> tuple[PartView, ...]:
    rule = run.report.rule
    if run.descriptors is None or rule is None or not _compares_parts(run):
        return ()
    weights = part_weights(rule, run.descriptors[0].visibility[index : index + 1])[0].tolist()
    names = _part_names(run, len(weights))
    return tuple(PartView(name, float(w), None, region) for (name, region), w in zip(names, weights, strict=True))


def _results(run: Run, index: int, result: QueryResult, images: int) -> tuple[ResultView, ...]:
    matches = result.matches[:images]
    explanation = _explain(run, index, matches)
    shown = []
    for row, match in enumerate(matches):
        distance = result.distances[row]
        view = ResultView(
            rank=row + 1,
            sample=run.gallery[match],
            correct=result.right[row],
            distance=distance if math.isfinite(distance) else None,
            global_distance=_global_distance(run, explanation, row),
            parts=_pair_parts(run, explanation, row),
        )
        shown.append(view)
    return tuple(shown)


def _explain(run: Run, index: int, matches: Sequence[int]) -> Explanation | None:
    if run.descriptors is None or run.report.rule is None or not matches:
        return None
    query, gallery = run.descriptors
    same = torch.full((len(matches),), index, dtype=torch.long)
    return explain(run.report.rule, query[same], gallery[torch.tensor(matches, dtype=torch.long)])


def _global_distance(run: Run, explanation: Explanation | None, row: int) -> float | None:
    rule = run.report.rule
    if explanation is None or rule is None or rule.global_weight == 0 or rule.spatial_weight == 1:
        return None
    return float(explanation.global_distance[row])


def _pair_parts(run: Run, explanation: Explanation | None, row: int) -> tuple[PartView, ...]:
    if explanation is None or not _compares_parts(run):
        return ()
    weights, distances = explanation.part_weights[row].tolist(), explanation.part_distances[row].tolist()
    return tuple(
        PartView(name, weight, distance if math.isfinite(distance) else None, region)
        for (name, region), weight, distance in zip(_part_names(run, len(weights)), weights, distances, strict=True)
    )
