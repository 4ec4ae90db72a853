"""Trains recipes on each of several datasets and scores each result on every test set, going on from what is there."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from occlureid.ablation.plan import Plan, label, plan
from occlureid.ablation.record import Outcome
from occlureid.ablation.scoring import CANNOT_RUN, Bar, Scoring, reason_of, replace_file
from occlureid.ablation.shard import Shard
from occlureid.data import ReidDataset
from occlureid.errors import DataError, OcclureidError, UsageError
from occlureid.runs import Row, RowSettings, train
from occlureid.transfer.record import Cell, Line, build_record, check_same_sets, heading
from occlureid.transfer.sets import check_sets
from occlureid.transfer.table import page

__all__ = ["Transfer", "transfer"]

_log = logging.getLogger(__name__)

_OWN_TROUBLE: tuple[type[OcclureidError], ...] = (*CANNOT_RUN, DataError)
"""What is the trouble of one training, or of one cell: the others go on."""


@dataclass(frozen=True)
class Transfer:
    """What ``transfer`` leaves.

    Attributes:
        folder: with a folder for each training set.
        record: what ``transfer.json`` holds; of a share of the trainings, what is known of their rows alone.
    """

    folder: Path
    record: dict[str, Any]

    @property
    def failed(self) -> dict[str, str]:
        """What could not be run, and why: rows that were not trained, cells that were not scored."""
        found: dict[str, str] = {}
        for row in self.record["rows"]:
            name = f"{row['recipe']} trained on {row['train']}" if row["train"] else row["recipe"]
            reasons = {test: cell["reason"] for test, cell in row["cells"].items() if cell["reason"]}
            if len(reasons) == len(row["cells"]) and len(set(reasons.values())) == 1:
                found[name] = next(iter(reasons.values()))
            else:
                found |= {f"{name}, tested on {test}": reason for test, reason in reasons.items()}
        return found


def transfer(
    training: Mapping[str, ReidDataset],
    test: Mapping[str, ReidDataset],
    recipes: Iterable[str],
    out: Path | str,
    *changes: Mapping[str, Any],
    weights: Mapping[str, Path | str] | None = None,
    resume: bool = True,
    device: str = "cpu",
    batch_size: int = 64,
    workers: int = 0,
    bar: Bar | None = None,
    shard: Shard | None = None,
) -> Transfer:
    """Measures how well what is learned on one dataset holds on another.

    Every recipe is trained once on every training set, which is all that its training gets to see: no image of a test set, nor
    of the query and gallery of its own, is opened before the weights are written, and nothing is chosen by them. Then the
    query and gallery of every test set are described and scored by that set's protocol.

    ``out`` receives a folder for each training set, in it one for each training (``train``), in it one for each test set with
    descriptors and scores; then ``transfer.json`` and ``transfer.md``, rewritten after each training. A second call goes on.
    A training or a cell that cannot be run (a cue is missing, an image cannot be read) is listed with the reason.

    Args:
        training: what is trained on, by name; in-domain where it is a test set too.
        test: what is scored, by name. Sets without training images are welcome.
        recipes: as ``ablation.plan`` takes them; differences are to the first. Rows that take the weights of another recipe
            share its training.
        out: the folder; made if it is not there.
        changes: values to change in every training (``RunSettings``); later ones win.
        weights: weights that are there already, by the name of their row.
        resume: go on from what an earlier call has left; False refuses a folder that holds one of the trainings.
        device: where images are described; training takes what its own settings say.
        batch_size: images described at a time.
        workers: processes that read images to be described.
        bar: makes progress bars; without it nothing is drawn.
        shard: run only this share of the trainings (and given weights), and write neither ``transfer.json`` nor
            ``transfer.md``; see ``ablation.ablate``.

    Raises:
        SettingsError: a recipe or a change is none.
        UsageError: as ``plan``; there is nothing to train on or to test; or ``out`` holds a training with other settings or data.
        MissingWeightsError: weights cannot be had.
        DataError: a set lacks what it is given for, or given weights are damaged.
        OcclureidError: the first trouble of all, where not a single cell could be scored.
    """
    names, given = list(recipes), dict(weights or {})
    if bool(names) != bool(training) or not (training or given):
        raise UsageError(
            "a matrix needs recipes with sets to train them on, or trained weights; got "
            f"{len(names)} recipes, {len(training)} training sets, {len(given)} weight files"
        )
    check_sets(training, test)
    for name in (*training, *test, *given):
        if name != Path(name).name:
            raise UsageError(f"the name of a set or of weights is that of a folder too, so it cannot be {name!r}")
    planned = plan(names, *changes) if names else Plan((), (), {})
    order = list(dict.fromkeys(row.recipe for name in names for row, _ in plan([name], *changes).rows))
    by_recipe = {row.recipe: row for row, _ in planned.rows}
    jobs = [("", name) for name in given]
    jobs += [(source, each.recipe) for source in training for each in planned.trainings]
    mine = shard.pick(jobs) if shard else tuple(jobs)
    rows = [Line("", Row(name, name, {}, {}, RowSettings())) for name in given]
    rows += [Line(source, by_recipe[recipe]) for source in training for recipe in order]
    rows = [line for line in rows if (line.source, line.row.train_as) in mine]
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    cells = _Cells(test, device, batch_size, workers, bar)
    outcomes: dict[Cell, Outcome] = {}
    errors: list[OcclureidError] = []
    head = heading(planned, training, test)
    check_same_sets(out / "transfer.json", head)
    record = build_record(head, planned, rows, outcomes)

    def note(found: Iterable[tuple[Cell, Outcome, OcclureidError | None]]) -> None:
        nonlocal record
        for cell, outcome, error in found:
            outcomes[cell] = outcome
            errors.extend([error] if error else [])
        record = build_record(head, planned, rows, outcomes)
        if shard is None:
            replace_file(out / "transfer.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
            replace_file(out / "transfer.md", page(record))

    for line in (line for line in rows if not line.source):
        note(cells.scored(Path(given[line.row.recipe]), line.source, [line.row], out / "given" / line.row.recipe))
    for source, dataset in training.items():
        for each in (each for each in planned.trainings if (source, each.recipe) in mine):
            folder = out / source / each.folder
            layers, show = (each.recipe, planned.changes), bar is not None
            try:
                # without query and gallery: what is not there cannot be looked at
                seen = replace(dataset, query=(), gallery=())
                file = train(seen, folder, *layers, resume=resume, progress=show).weights
            except _OWN_TROUBLE as error:
                _log.warning("%s cannot be trained on %s: %s", label(each.recipe), source, error)
                note(cells.untrained(source, each.rows, error))
            else:
                note(cells.scored(file, source, each.rows, folder))
    if errors and not any(outcome.report for outcome in outcomes.values()):
        raise errors[0]
    return Transfer(out, record)


@dataclass(frozen=True)
class _Cells:
    """Scores the cells of rows that take the same weights."""

    test: Mapping[str, ReidDataset]
    device: str
    batch_size: int
    workers: int
    bar: Bar | None

    def scored(
        self, weights: Path, source: str, rows: Sequence[Row], folder: Path
    ) -> Iterator[tuple[Cell, Outcome, OcclureidError | None]]:
        """Every test set in turn; its descriptors and scores go into a folder of its name below the training's."""
        for name, dataset in self.test.items():
            place = folder / f"on-{name}"
            scoring = Scoring(dataset, place, self.device, self.batch_size, self.workers, self.bar, _OWN_TROUBLE)
            title = " ".join(part for part in (source, label(rows[0].train_as), "on", name) if part)
            for recipe, outcome, error in scoring.outcomes(weights, rows, title):
                yield Cell(source, recipe, name), outcome, error

    def untrained(
        self, source: str, rows: Sequence[Row], error: OcclureidError
    ) -> Iterator[tuple[Cell, Outcome, OcclureidError | None]]:
        """All cells of rows whose training failed."""
        for row in rows:
            for name in self.test:
                yield Cell(source, row.recipe, name), Outcome(reason=reason_of(error)), error
