"""Trains, describes and scores the rows of ablation tables on one dataset, each stage once, going on from what is there."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from occlureid import methods
from occlureid.ablation.plan import Training, label, plan
from occlureid.ablation.record import Outcome, build_record
from occlureid.ablation.table import page
from occlureid.data import ReidDataset
from occlureid.described import Described, describe_dataset, score
from occlureid.errors import DataError, MissingCueError, OcclureidError, SettingsError
from occlureid.evaluation import Report
from occlureid.matching import MatchRule
from occlureid.methods import Method
from occlureid.runs import Row, train
from occlureid.training import DivergedError

__all__ = ["Ablation", "Bar", "ablate"]

_log = logging.getLogger(__name__)

Bar = Callable[[str], Callable[[int, int], None]]
"""Makes a progress bar, a function of (done, of), from a label."""

_CANNOT_RUN = (MissingCueError, SettingsError, DivergedError)
"""What is one row's own trouble: the others go on. Anything else ends the call, which can be repeated once it is mended."""


@dataclass(frozen=True)
class Ablation:
    """What ``ablate`` leaves.

    Attributes:
        folder: with a folder for each training.
        record: what ``ablation.json`` holds.
    """

    folder: Path
    record: dict[str, Any]

    @property
    def failed(self) -> dict[str, str]:
        """The rows that could not be run, and why."""
        return {row["recipe"]: row["reason"] for row in self.record["rows"] if row["reason"]}


def ablate(
    dataset: ReidDataset,
    recipes: Iterable[str],
    out: Path | str,
    *changes: Mapping[str, Any],
    resume: bool = True,
    device: str = "cpu",
    batch_size: int = 64,
    workers: int = 0,
    bar: Bar | None = None,
) -> Ablation:
    """Runs the rows of ablation tables and writes them beside the papers' figures.

    ``out`` receives a folder for each training, in it one of descriptors for each change of the model that rows make
    (``described``), and beside these the scores; then ``ablation.json`` and ``ablation.md``, rewritten after each training.
    Descriptors and scores are kept if weights, data, rule and crop are those of this call. A row that cannot be run (a cue is
    missing, a setting does not fit, the training diverged) is listed with the reason.

    Args:
        dataset: trained on its training split, scored by its query and gallery.
        recipes: recipes of the package, folders of them ("ablations/sorn"), YAML files, or folders of YAML files.
        out: the folder; made if it is not there.
        changes: values to change in every training (``RunSettings``); later ones win.
        resume: go on from what an earlier call has left; False refuses a folder that holds one of the trainings.
        device: where images are described; training takes what its own settings say.
        batch_size: images described at a time.
        workers: processes that read images to be described.
        bar: makes progress bars; without it nothing is drawn.

    Raises:
        SettingsError: a recipe or a change is none.
        UsageError: as ``plan``; or ``out`` holds a training with other settings or data.
        MissingWeightsError: the initial weights cannot be had.
        DataError: an image, a cue or a checkpoint is damaged.
        MissingCueError, SettingsError, DivergedError: of the first row, where not a single one could be run.
    """
    planned, out = plan(recipes, *changes), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    outcomes: dict[str, Outcome] = {}
    errors: list[OcclureidError] = []
    record: dict[str, Any] = {}
    for training in planned.trainings:
        describing = _Describing(dataset, out / training.folder, device, batch_size, workers, bar)
        try:
            if training.settings.cues.source == "exact" and training.settings.cues.folder is not None:
                raise SettingsError(
                    f"its cues come from the folder {training.settings.cues.folder!r}, but cues.source was set to exact"
                )
            layers = (training.recipe, planned.changes)
            show = bar is not None
            weights = train(dataset, out / training.folder, *layers, resume=resume, progress=show).weights
        except _CANNOT_RUN as error:
            _log.warning("%s cannot be trained: %s", label(training.recipe), error)
            outcomes |= {row.recipe: Outcome(reason=_reason(error)) for row in training.rows}
            errors.append(error)
        else:
            for recipe, outcome, failure in _scored(training, weights, describing):
                outcomes[recipe] = outcome
                errors += [failure] if failure else []
        record = build_record(planned, dataset, outcomes)
        _write(out / "ablation.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
        _write(out / "ablation.md", page(record))
    if errors and not any(outcome.report for outcome in outcomes.values()):
        raise errors[0]
    return Ablation(out, record)


def _scored(
    training: Training, weights: Path, describing: _Describing
) -> Iterator[tuple[str, Outcome, OcclureidError | None]]:
    """The outcome of each row of a training, those that change the model alike after each other."""
    groups: dict[str, list[Row]] = {}
    for row in training.rows:
        groups.setdefault(_digest(row.model) if row.model else "", []).append(row)
    for digest, rows in groups.items():
        method = methods.restore(weights, changes=rows[0].model)
        folder = describing.out / (f"described-{digest}" if digest else "described")
        described: Described | None = None
        for row in rows:
            rule = MatchRule.from_json({**method.rule.to_json(), **row.rule})
            path = folder.with_name(f"scores-{_digest({'described': folder.name, 'rule': rule.to_json()})}.json")
            report = describing.known_report(path, method, rule)
            try:
                if report is None:
                    described = described or describing.described(folder, method, label(training.recipe))
                    report = score(described, row.rule)
                    _write(path, report.to_json())
                yield row.recipe, Outcome(_without_lists(report), method.fingerprint()), None
            except _CANNOT_RUN as error:
                _log.warning("%s cannot be described: %s", label(row.recipe), error)
                yield row.recipe, Outcome(reason=_reason(error)), error


@dataclass(frozen=True)
class _Describing:
    """Describes and scores with the weights of one training, or reads back what was there."""

    dataset: ReidDataset
    out: Path
    device: str
    batch_size: int
    workers: int
    bar: Bar | None

    def described(self, folder: Path, method: Method[Any], name: str) -> Described:
        if (folder / "described.json").is_file():
            try:
                old = Described.load(folder)
                if self._same(old.record, method):
                    return old
            except (DataError, KeyError, TypeError) as error:
                _log.warning("%s is made again: %s", folder, error)
        found = describe_dataset(
            method,
            self.dataset,
            bar=partial(_labelled, self.bar, name) if self.bar else None,
            device=self.device,
            batch_size=self.batch_size,
            workers=self.workers,
        )
        found.save(folder)
        return found

    def known_report(self, path: Path, method: Method[Any], rule: MatchRule) -> Report | None:
        """The report that an earlier call has written, if it is of these weights, this data and this rule."""
        if not path.is_file():
            return None
        try:
            report = Report.from_json(path.read_text(encoding="utf-8"))
            return report if report.rule == rule and self._same(report.provenance, method) else None
        except (OSError, UnicodeDecodeError, DataError, KeyError, TypeError) as error:
            _log.warning("%s is made again: %s", path, error)
            return None

    def _same(self, record: Mapping[str, Any], method: Method[Any]) -> bool:
        there = record["fingerprint"], record["data"]["checksum"]
        return there == (method.fingerprint(), self.dataset.checksum())


def _without_lists(report: Report) -> Report:
    """The report without its ranked lists, of which no table tells: there may be a hundred rows of thousands of queries."""
    lean = (replace(query, matches=(), distances=(), right=()) for query in report.queries)
    return replace(report, queries=tuple(lean))


def _labelled(bar: Bar, name: str, split: str) -> Callable[[int, int], None]:
    return bar(f"{name}: describe {split}")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def _write(path: Path, text: str) -> None:
    """Replaces a file, atomically."""
    partial_path = path.with_name(path.name + ".partial")
    partial_path.write_text(text, encoding="utf-8")
    partial_path.replace(path)
