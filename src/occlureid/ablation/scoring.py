"""Describes and scores a dataset with the weights of one training, once for all rows that can share it."""

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
from occlureid.ablation.plan import label
from occlureid.ablation.record import Outcome
from occlureid.data import ReidDataset
from occlureid.described import Described, describe_dataset, score
from occlureid.errors import DataError, MissingCueError, OcclureidError, SettingsError
from occlureid.evaluation import Report
from occlureid.matching import MatchRule
from occlureid.methods import Method
from occlureid.runs import Row
from occlureid.training import DivergedError

__all__ = ["CANNOT_RUN", "Bar", "Scoring", "reason_of", "replace_file"]

_log = logging.getLogger(__name__)

Bar = Callable[[str], Callable[[int, int], None]]
"""Makes a progress bar, a function of (done, of), from a label."""

CANNOT_RUN: tuple[type[OcclureidError], ...] = (MissingCueError, SettingsError, DivergedError)
"""What is one row's own trouble: the others go on. Anything else ends the call, which can be repeated once it is mended."""


@dataclass(frozen=True)
class Scoring:
    """Where the descriptors and scores of one training on one dataset are kept, and how they are made.

    Descriptors and scores that are there already are taken if weights, data and rule are those of this call.

    Attributes:
        dataset: described and scored: its query and gallery.
        out: the folder; it gets a folder of descriptors for each change of the model that rows make, and the scores.
        device: where images are described.
        batch_size: images described at a time.
        workers: processes that read images.
        bar: makes progress bars; without it nothing is drawn.
        own_trouble: errors that are the outcome of a row; any other one is raised.
    """

    dataset: ReidDataset
    out: Path
    device: str = "cpu"
    batch_size: int = 64
    workers: int = 0
    bar: Bar | None = None
    own_trouble: tuple[type[OcclureidError], ...] = CANNOT_RUN

    def outcomes(
        self, weights: Path, rows: Iterable[Row], name: str
    ) -> Iterator[tuple[str, Outcome, OcclureidError | None]]:
        """The outcome of each row, those that change the model alike after each other, and the error where there was one.

        Args:
            weights: that the rows share.
            rows: what they change.
            name: said in progress bars.
        """
        groups: dict[str, list[Row]] = {}
        for row in rows:
            groups.setdefault(_digest(row.model) if row.model else "", []).append(row)
        for digest, members in groups.items():
            method = methods.restore(weights, changes=members[0].model)
            folder = self.out / (f"described-{digest}" if digest else "described")
            described: Described | None = None
            for row in members:
                rule = MatchRule.from_json({**method.rule.to_json(), **row.rule})
                path = folder.with_name(f"scores-{_digest({'described': folder.name, 'rule': rule.to_json()})}.json")
                report = self._known_report(path, method, rule)
                try:
                    if report is None:
                        described = described or self._described(folder, method, name)
                        report = score(described, row.rule)
                        replace_file(path, report.to_json())
                    yield row.recipe, Outcome(_without_lists(report), method.fingerprint()), None
                except self.own_trouble as error:
                    _log.warning("%s cannot be described: %s", label(row.recipe), error)
                    yield row.recipe, Outcome(reason=reason_of(error)), error

    def _described(self, folder: Path, method: Method[Any], name: str) -> Described:
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

    def _known_report(self, path: Path, method: Method[Any], rule: MatchRule) -> Report | None:
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


def reason_of(error: Exception) -> str:
    """An error's message in one line."""
    return " ".join(str(error).split())


def replace_file(path: Path, text: str) -> None:
    """Writes a file in place of the one that is there, atomically."""
    partial_path = path.with_name(path.name + ".partial")
    partial_path.write_text(text, encoding="utf-8")
    partial_path.replace(path)


def _without_lists(report: Report) -> Report:
    """The report without its ranked lists, of which no table tells: there may be a hundred rows of thousands of queries."""
    lean = (replace(query, matches=(), distances=(), right=()) for query in report.queries)
    return replace(report, queries=tuple(lean))


def _labelled(bar: Bar, name: str, split: str) -> Callable[[int, int], None]:
    return bar(f"{name}: describe {split}")


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
