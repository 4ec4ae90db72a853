"""The figures of an ablation as plain values: measured, printed in the paper, and their differences to the table's reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from occlureid.ablation.plan import Plan, label, title
from occlureid.data import ReidDataset
from occlureid.described import versions
from occlureid.errors import DataError
from occlureid.evaluation import Interval, Report, bootstrap_intervals
from occlureid.runs import Row

__all__ = ["FIGURES", "Outcome", "build_record", "measured", "paired"]

FIGURES = ("rank_1", "mAP")
"""Figures that are compared with the reference; rank_3, rank_5, rank_10 and mINP are recorded too."""

_RESAMPLES = 1000


@dataclass(frozen=True)
class Outcome:
    """What became of a row.

    Attributes:
        report: its scores; None where it could not be run.
        fingerprint: of the method as it was restored for this row.
        reason: why it could not be run.
    """

    report: Report | None = None
    fingerprint: str = ""
    reason: str = ""


def build_record(planned: Plan, dataset: ReidDataset, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """What ``ablation.json`` holds, JSON values only; all accuracies and differences in percent.

    Args:
        planned: the rows.
        dataset: on which they were run.
        outcomes: of the rows that are done, by recipe; the others are listed as not yet run.
    """
    references = {
        _table(row, training.settings.method): row.recipe for row, training in planned.rows if row.printed.reference
    }
    rows = []
    for row, training in planned.rows:
        outcome = outcomes.get(row.recipe, Outcome(reason="its turn has not come yet"))
        reference = next(
            (
                other
                for other, _ in planned.rows
                if other.recipe == references.get(_table(row, training.settings.method))
            ),
            None,
        )
        there = outcomes.get(reference.recipe) if reference and reference.recipe != row.recipe else None
        rows.append(
            {
                "recipe": label(row.recipe),
                "training": training.folder,
                "method": training.settings.method,
                "table": title(row),
                "place": row.printed.place,
                "name": row.printed.name or label(row.recipe),
                "reference": row.printed.reference,
                "model": row.model,
                "rule": row.rule,
                "fingerprint": outcome.fingerprint,
                "reported": _printed(row, dataset),
                "reason": outcome.reason,
                "arithmetic": arithmetic(outcome.report),
                **measured(outcome.report),
                "differences": _differences(row, outcome.report, reference, there.report if there else None, dataset),
            }
        )
    return {
        "occlureid": "ablation",
        "data": {"name": dataset.name, "checksum": dataset.checksum(), "counts": asdict(dataset.counts())},
        "average_precision": dataset.protocol.average_precision,
        "versions": versions(),
        "changes": planned.changes,
        "trainings": {
            training.folder: {"recipe": label(training.recipe), "settings": training.settings.to_dict()}
            for training in planned.trainings
        },
        "rows": rows,
    }


def _table(row: Row, method: str) -> tuple[str, str]:
    return method, row.printed.table


def _column(report: Report) -> str:
    """The definition of average precision that the dataset's literature quotes."""
    trapezoid = report.protocol.average_precision == "trapezoid"
    return "average_precision_trapezoid" if trapezoid else "average_precision"


def arithmetic(report: Report | None) -> dict[str, Any]:
    """Arithmetic in which a row was trained, described and compared, and on which processors, as far as its report knows."""
    if report is None:
        return {}
    about, training = report.provenance, report.provenance.get("training") or {}
    known = {
        "training": (training.get("train") or {}).get("precision"),
        "trained_on": training.get("processor"),
        "describing": about.get("precision"),
        "described_on": about.get("processor"),
        "distances": about.get("distance_precision"),
    }
    return {name: value for name, value in known.items() if value is not None}


def measured(report: Report | None) -> dict[str, Any]:
    """``measured`` and ``intervals`` of a report in percent, by the definition of mAP that its dataset's literature quotes."""
    if report is None:
        return {"measured": {}, "intervals": {}}
    column = _column(report)
    figures = {f"rank_{k}": report.rank(k) for k in (1, 3, 5, 10)}
    figures |= {"mAP": getattr(report, column), "mINP": report.inverse_negative_penalty}
    intervals = {name: report.intervals.get(key) for name, key in (("rank_1", "rank_1"), ("mAP", column))}
    return {
        "measured": {name: _percent(value) for name, value in figures.items()},
        "intervals": {name: _bounds(interval) for name, interval in intervals.items() if interval},
    }


def _printed(row: Row, dataset: ReidDataset) -> dict[str, float]:
    """The paper's figures of this data set; where it prints none of it, those of the set that its table is on."""
    return row.printed.printed(dataset.trained_on, dataset.name) or row.printed.reported


def _differences(
    row: Row, report: Report | None, reference: Row | None, other: Report | None, dataset: ReidDataset
) -> dict[str, Any]:
    """For each of FIGURES the measured difference to the reference, its paired 95 % interval, and the paper's."""
    if report is None or reference is None or other is None:
        return {}
    if [query.path for query in report.queries] != [query.path for query in other.queries]:
        raise DataError(f"{label(row.recipe)} and {label(reference.recipe)} were scored by different queries")
    return paired(report, other, _printed(row, dataset), _printed(reference, dataset))


def paired(
    report: Report, other: Report, printed: Mapping[str, float], printed_other: Mapping[str, float]
) -> dict[str, Any]:
    """The differences of two reports on the same queries, in percent, beside those that a paper prints.

    Args:
        report: of one row.
        other: of the row that it is compared with, with the same queries in the same order.
        printed: the paper's figures of the one, by name; empty where it prints none.
        printed_other: those of the other.

    Returns:
        For each of FIGURES: ``measured``; ``interval``, its 95 % interval from resampling the persons of the queries (None
        where there are too few); ``reported``, the paper's difference (None where it prints none).
    """
    columns, persons = {}, [query.person for query in report.queries if query.rank_1 is not None]
    for figure, key in (("rank_1", "rank_1"), ("mAP", _column(report))):
        values = [
            [getattr(query, key) for query in each.queries if query.rank_1 is not None] for each in (report, other)
        ]
        columns[figure] = np.subtract(*np.array(values, dtype=np.float64))
    intervals = bootstrap_intervals(columns, persons, seed=0, resamples=_RESAMPLES)
    found: dict[str, Any] = {}
    for figure in FIGURES:
        both = printed.get(figure), printed_other.get(figure)
        found[figure] = {
            "measured": _percent(float(columns[figure].mean())),
            "interval": _bounds(intervals[figure]) if figure in intervals else None,
            "reported": None if both[0] is None or both[1] is None else round(both[0] - both[1], 3),
        }
    return found


def _percent(value: float) -> float:
    return round(100 * value, 3)


def _bounds(interval: Interval) -> list[float]:
    return [_percent(interval.low), _percent(interval.high)]
