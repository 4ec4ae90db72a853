"""From the scores of single queries to figures with intervals, curves, differences, and the record of the whole benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from occlureid.benchmark.groups import Groups
from occlureid.benchmark.measure import FIGURES, WHOLE, Columns

__all__ = ["Entry", "Resampling", "differences", "entry_record", "noise_record"]

_IN_GROUPS = ("rank_1", "mAP_hits")
_REFERENCES = ("baseline", "pcb")
_SEED = 0

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Entry:
    """One line of the table: a method with its trainings, or descriptors of another origin.

    Attributes:
        name: of the line.
        kind: "method", "weights" or "descriptors".
        seeds: of the trainings; empty where there is nothing but one set of descriptors.
        rules: for each training the scores by rule, in the order of the seeds.
        about: plain values to be kept.
    """

    name: str
    kind: str
    seeds: tuple[int, ...]
    rules: tuple[Mapping[str, Columns], ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    def scores(self, figure: str, rule: str = WHOLE) -> Values:
        """(S, Q) the scores of S trainings."""
        return np.stack([columns[rule][figure] for columns in self.rules])


class Resampling:
    """95 % percentile intervals of means over queries, by resampling persons with all their queries.

    The same draws serve every figure, so that a difference of two is resampled as a pair. What is resampled is the mean over
    trainings: the interval says how far the choice of the test persons matters, the spread over seeds says it of training.

    Args:
        persons: (Q,) the person of each query.
        resamples: draws.
    """

    def __init__(self, persons: Sequence[str], resamples: int) -> None:
        names, self._owner = np.unique(np.array(persons, dtype=str), return_inverse=True)
        self._persons = len(names)
        even = np.full(len(names), 1 / len(names))
        self._draws = np.random.default_rng(_SEED).multinomial(len(names), even, size=resamples).astype(np.float64)

    def figure(self, scores: Values, rows: npt.NDArray[np.bool_] | None = None) -> dict[str, Any]:
        """Mean, interval, and the means of the single trainings.

        Args:
            scores: (S, Q) scores, or differences of scores, of S trainings.
            rows: (Q,) which queries count; all unless given.

        Returns:
            "mean"; "interval", [low, high] or None where fewer than two persons count; "seeds", the S means; "spread", their
            standard deviation, None for a single one.
        """
        rows = np.ones(scores.shape[1], dtype=bool) if rows is None else rows
        chosen, owner = scores[:, rows], self._owner[rows]
        seeds = chosen.mean(axis=1)
        counts = np.bincount(owner, minlength=self._persons)
        interval = None
        if (counts > 0).sum() > 1:
            sums = np.bincount(owner, weights=chosen.mean(axis=0), minlength=self._persons)
            drawn = self._draws @ counts
            means = (self._draws @ sums)[drawn > 0] / drawn[drawn > 0]
            interval = [round(float(bound), 6) for bound in np.percentile(means, [2.5, 97.5])]
        return {
            "mean": round(float(seeds.mean()), 6),
            "interval": interval,
            "seeds": [round(float(value), 6) for value in seeds],
            "spread": round(float(seeds.std(ddof=1)), 6) if len(seeds) > 1 else None,
        }

    def difference(self, scores: Values, rows: npt.NDArray[np.bool_] | None = None) -> dict[str, Any]:
        """As ``figure``, of differences query by query; "clear" where the interval leaves 0 out and all trainings agree."""
        found = self.figure(scores, rows)
        low, high = found["interval"] or (0.0, 0.0)
        signs = {float(np.sign(value)) for value in found["seeds"]}
        return {**found, "clear": (low > 0 or high < 0) and len(signs) == 1}


def entry_record(entry: Entry, groups: Groups, resampling: Resampling) -> dict[str, Any]:
    """All figures of an entry: overall, by group, and what each variant of its rule is worth."""
    record: dict[str, Any] = {"kind": entry.kind, "seeds": list(entry.seeds), **entry.about}
    record |= {figure: resampling.figure(entry.scores(figure)) for figure in FIGURES}
    record["groups"] = {
        axis: {
            name: {"queries": int(rows.sum())}
            | {figure: _without_seeds(resampling.figure(entry.scores(figure), rows)) for figure in _IN_GROUPS}
            for name, rows in named.items()
        }
        for axis, named in groups.items()
    }
    record["rules"] = {}
    for rule in entry.rules[0]:
        if rule != WHOLE:
            lost = {figure: entry.scores(figure, rule) - entry.scores(figure) for figure in _IN_GROUPS}
            record["rules"][rule] = {
                "rank_1": resampling.figure(entry.scores("rank_1", rule)),
                "mAP_hits": resampling.figure(entry.scores("mAP_hits", rule)),
                **_compared(lost, groups, resampling),
            }
    return record


def differences(entries: Mapping[str, Entry], groups: Groups, resampling: Resampling) -> list[dict[str, Any]]:
    """Every entry less the baseline, and less PCB, the stronger method without cues, query by query.

    Trainings are paired in the order of their seeds where both have as many, else each of the one with each of the other.
    """
    found = []
    for reference in _REFERENCES:
        for name, entry in entries.items():
            if reference in entries and name not in _REFERENCES[: _REFERENCES.index(reference) + 1]:
                values = {figure: _paired(entry, entries[reference], figure) for figure in _IN_GROUPS}
                found.append({"of": name, "to": reference, **_compared(values, groups, resampling)})
    return found


def noise_record(
    clean: Entry, spoiled: Mapping[str, Mapping[float, Entry]], resampling: Resampling
) -> dict[str, list[dict[str, Any]]]:
    """By fault, from the least rate on: the figures with spoiled cues, and what they lose.

    Args:
        clean: the method with its cues as they are.
        spoiled: by fault and rate, the same weights with spoiled cues: some of the trainings, the first ones.
        resampling: of the queries' persons.
    """
    return {
        fault: [
            {
                "rate": rate,
                "seeds": list(entry.seeds),
                **{figure: resampling.figure(entry.scores(figure)) for figure in _IN_GROUPS},
                "difference": {
                    figure: resampling.difference(entry.scores(figure) - _trainings(clean, entry.seeds, figure))
                    for figure in _IN_GROUPS
                },
            }
            for rate, entry in sorted(at.items())
        ]
        for fault, at in spoiled.items()
    }


def _trainings(entry: Entry, seeds: Sequence[int], figure: str) -> Values:
    return entry.scores(figure)[[entry.seeds.index(seed) for seed in seeds]]


def _paired(one: Entry, other: Entry, figure: str) -> Values:
    first, second = one.scores(figure), other.scores(figure)
    if len(first) != len(second):
        return (first[:, None] - second).reshape(-1, first.shape[1])
    return first - second


def _compared(values: Mapping[str, Values], groups: Groups, resampling: Resampling) -> dict[str, Any]:
    """Differences overall, by coarse visible fraction and by obstacle."""
    overall = {figure: resampling.difference(value) for figure, value in values.items()}
    by_axis = {
        axis: {
            name: {"queries": int(rows.sum()), **{f: resampling.difference(v, rows) for f, v in values.items()}}
            for name, rows in groups.get(axis, {}).items()
        }
        for axis in ("coarse", "obstacle", "second person", "truncation")
    }
    return {"difference": {**overall, "groups": by_axis}}


def _without_seeds(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"mean": found["mean"], "interval": found["interval"]}
