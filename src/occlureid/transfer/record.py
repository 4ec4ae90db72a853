"""The cells of the matrix as plain values: measured, printed in the paper, and their differences to the first recipe."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from occlureid.ablation.plan import Plan, label
from occlureid.ablation.record import Outcome, arithmetic, measured, paired
from occlureid.data import ReidDataset
from occlureid.described import versions
from occlureid.errors import DataError, UsageError
from occlureid.runs import Row
from occlureid.transfer.sets import is_one

__all__ = ["Cell", "Line", "build_record", "check_same_sets", "heading"]


@dataclass(frozen=True)
class Cell:
    """Where in the matrix: training set (empty for given weights), recipe, test set."""

    train: str
    recipe: str
    test: str


@dataclass(frozen=True)
class Line:
    """A row of the matrix: the name of its training set (empty for given weights), and the row of a recipe."""

    source: str
    row: Row


def heading(planned: Plan, training: Mapping[str, ReidDataset], test: Mapping[str, ReidDataset]) -> dict[str, Any]:
    """What a record says before its rows: the sets, which of them are one, and how all was trained.

    Args:
        planned: what is trained on each training set.
        training: the training sets by name.
        test: the test sets by name.
    """
    return {
        "occlureid": "transfer",
        "training_sets": {name: _data(dataset) for name, dataset in training.items()},
        "test_sets": {
            name: {**_data(dataset), "average_precision": dataset.protocol.average_precision}
            for name, dataset in test.items()
        },
        "in_domain": [
            [name, other]
            for name, dataset in training.items()
            for other, tested in test.items()
            if is_one(dataset, tested)
        ],
        "versions": versions(),
        "changes": planned.changes,
        "trainings": {
            each.folder: {"recipe": label(each.recipe), "settings": each.settings.to_dict()}
            for each in planned.trainings
        },
    }


def build_record(
    head: Mapping[str, Any], planned: Plan, lines: Sequence[Line], outcomes: Mapping[Cell, Outcome]
) -> dict[str, Any]:
    """What ``transfer.json`` holds, JSON values only; all accuracies and differences in percent.

    Args:
        head: what ``heading`` gives.
        planned: what is trained on each training set.
        lines: of the matrix; of each training set the first is what the others are compared with.
        outcomes: of the cells that are done; the others are listed as not yet run.
    """
    folders = {row.recipe: each.folder for row, each in planned.rows}
    rows = []
    for line in lines:
        first = next(other for other in lines if other.source == line.source)
        compared = bool(line.source) and first is not line
        rows.append(
            {
                "train": line.source,
                "recipe": label(line.row.recipe),
                "name": line.row.printed.name or label(line.row.recipe),
                "training": f"{line.source}/{folders[line.row.recipe]}" if line.source else "",
                "model": line.row.model,
                "rule": line.row.rule,
                "reference": bool(line.source) and not compared,
                "cells": {
                    name: {
                        "in_domain": [line.source, name] in head["in_domain"],
                        **_cell(line, first if compared else None, name, outcomes),
                    }
                    for name in head["test_sets"]
                },
            }
        )
    return {**head, "rows": rows}


def _cell(line: Line, first: Line | None, name: str, outcomes: Mapping[Cell, Outcome]) -> dict[str, Any]:
    """One cell; its differences are to the same cell of ``first``."""
    waiting = Outcome(reason="its turn has not come yet")
    outcome = outcomes.get(Cell(line.source, line.row.recipe, name), waiting)
    other = outcomes.get(Cell(first.source, first.row.recipe, name)) if first else None
    differences = {}
    if first and other and other.report and outcome.report:
        differences = paired(outcome.report, other.report, _printed(line, name), _printed(first, name))
    return {
        "fingerprint": outcome.fingerprint,
        "reported": _printed(line, name),
        "reason": outcome.reason,
        "arithmetic": arithmetic(outcome.report),
        **measured(outcome.report),
        "differences": differences,
    }


def _printed(line: Line, name: str) -> dict[str, float]:
    """What the paper prints of a cell, which is looked up by the names of the sets."""
    return line.row.printed.printed((line.source,), name)


def _data(dataset: ReidDataset) -> dict[str, Any]:
    place = hashlib.sha256(str(dataset.root.resolve()).encode()).hexdigest()[:12]
    counts = asdict(dataset.counts())
    return {"layout": dataset.name, "place": place, "checksum": dataset.checksum(), "counts": counts}


def check_same_sets(path: Path, head: Mapping[str, Any]) -> None:
    """Refuses a record of other sets under the same names: two rendered worlds may name all their images alike.

    Raises:
        UsageError: a set of that record lies elsewhere.
        DataError: the record is damaged.
    """
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        for kind in ("training_sets", "test_sets"):
            for name, data in there[kind].items():
                if name in head[kind] and head[kind][name]["place"] != data["place"]:
                    raise UsageError(
                        f"{path.parent} holds a matrix in which {name} is a set in another place; give another folder, or "
                        "rename the set's folder"
                    )
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read as a record ({error}); remove it to write a new one") from error
