"""Trains, describes and scores the rows of ablation tables on one dataset, each stage once, going on from what is there."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occlureid.ablation.plan import label, plan
from occlureid.ablation.record import Outcome, build_record
from occlureid.ablation.scoring import CANNOT_RUN, Bar, Scoring, reason_of, replace_file
from occlureid.ablation.shard import Shard
from occlureid.ablation.table import page
from occlureid.data import ReidDataset
from occlureid.errors import OcclureidError, SettingsError
from occlureid.runs import train

__all__ = ["Ablation", "ablate"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ablation:
    """What ``ablate`` leaves.

    Attributes:
        folder: with a folder for each training.
        record: what ``ablation.json`` holds; of a share of the trainings, what is known of their rows alone.
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
    shard: Shard | None = None,
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
        shard: train, describe and score only this share of the trainings, and write neither ``ablation.json`` nor
            ``ablation.md``: processes with different shares may work in one folder at the same time, and a call without a
            share, once they have ended, writes the tables from what they have left.

    Raises:
        SettingsError: a recipe or a change is none.
        UsageError: as ``plan``; or ``out`` holds a training with other settings or data.
        MissingWeightsError: the initial weights cannot be had.
        DataError: an image, a cue or a checkpoint is damaged.
        MissingCueError, SettingsError, DivergedError: of the first row, where not a single one could be run.
    """
    planned, out = plan(recipes, *changes), Path(out)
    planned = planned.share(shard) if shard else planned
    out.mkdir(parents=True, exist_ok=True)
    outcomes: dict[str, Outcome] = {}
    errors: list[OcclureidError] = []
    record = build_record(planned, dataset, outcomes)
    for training in planned.trainings:
        scoring = Scoring(dataset, out / training.folder, device, batch_size, workers, bar)
        try:
            if training.settings.cues.source == "exact" and training.settings.cues.folder is not None:
                raise SettingsError(
                    f"its cues come from the folder {training.settings.cues.folder!r}, but cues.source was set to exact"
                )
            layers = (training.recipe, planned.changes)
            show = bar is not None
            weights = train(dataset, out / training.folder, *layers, resume=resume, progress=show).weights
        except CANNOT_RUN as error:
            _log.warning("%s cannot be trained: %s", label(training.recipe), error)
            outcomes |= {row.recipe: Outcome(reason=reason_of(error)) for row in training.rows}
            errors.append(error)
        else:
            for recipe, outcome, failure in scoring.outcomes(weights, training.rows, label(training.recipe)):
                outcomes[recipe] = outcome
                errors += [failure] if failure else []
        record = build_record(planned, dataset, outcomes)
        if shard is None:
            replace_file(out / "ablation.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
            replace_file(out / "ablation.md", page(record))
    if errors and not any(outcome.report for outcome in outcomes.values()):
        raise errors[0]
    return Ablation(out, record)
