"""Trains a human parser on labelled pixels, and judges it on held-out images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from occlureid.data.lip import ParsingDataset
from occlureid.data.paste import Cutout
from occlureid.models.parser import load_parser_backbone
from occlureid.parsing.provider import ParserProvider
from occlureid.parsing.scores import ParserScores, score_parser
from occlureid.parsing.settings import ParserRunSettings
from occlureid.parsing.trainee import ParserTrainee, PixelLabels, as_samples
from occlureid.parsing.weights import TrainedParser, save_parser
from occlureid.training import settled, train_method
from occlureid.training.networks import fill_backbone, spread, write_scores

__all__ = ["ParserResult", "train_parser"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ParserResult:
    """What a finished training leaves.

    Attributes:
        folder: where it wrote.
        weights: ``parser.safetensors``, which ``load_parser`` and ``ParserProvider`` read.
        scores: on the held-out images.
        steps: steps done over the whole run.
        skipped: images that could not be read, and how often each was drawn.
    """

    folder: Path
    weights: Path
    scores: ParserScores
    steps: int
    skipped: dict[str, int]


def train_parser(
    data: ParsingDataset,
    out: Path | str,
    *layers: Mapping[str, Any],
    obstacles: Sequence[Cutout] = (),
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
    bar: Callable[[int, int], None] | None = None,
    models: Mapping[str, Path] | None = None,
) -> ParserResult:
    """Trains a parser with the package's own training loop.

    ``out`` receives what every training writes (settings, log, events, checkpoint and the last weights to go on from), the
    parser as ``parser.safetensors``, and its figures as ``scores.json``.

    Args:
        data: trained on its ``train``, judged by its ``validation``.
        out: the folder; made if it is not there.
        layers: settings (``ParserRunSettings``), later ones win; ``small_parser()`` is one.
        obstacles: to be pasted on images where ``train.paste_obstacles`` asks for it (``runs.training_obstacles``).
        resume: go on from the checkpoint in ``out``: the weights become those of a run that was never interrupted.
        overwrite: start again although ``out`` holds a run.
        progress: show a bar for each epoch.
        bar: called with (images done, images in all) while the parser is judged.
        models: files by names that ``initial_weights`` may give for them, such as those of the package's models.

    Raises:
        SettingsError: a setting is unknown or out of range.
        UsageError: ``out`` holds a run and neither ``resume`` nor ``overwrite`` is given, or what is resumed differs; or there
            are no held-out images.
        MissingWeightsError: the initial weights cannot be had.
        DataError: an image, its labels or the checkpoint is damaged.
    """
    settings, out = ParserRunSettings.build(*layers), Path(out)
    settings = settings.with_changes(train=settled(settings.train, out, resume=resume).to_dict())
    trainee = _trainee(settings)
    if not (resume and (out / "checkpoint.pt").exists()):
        trainee.provenance["first_weights"] = fill_backbone(
            settings.initial_weights,
            lambda file: load_parser_backbone(trainee.network, trainee.config.size, file),
            models,
        )
    result = train_method(
        trainee, as_samples(data.train), settings.train, out, cues=PixelLabels(data.train, settings.parser.labels),
        obstacles=obstacles, resume=resume, overwrite=overwrite, progress=progress,
        record={"initial_weights": settings.initial_weights},
    )  # fmt: skip
    device = next(trainee.parameters()).device
    parser = TrainedParser(trainee.network.eval(), settings.parser, trainee.preprocess)
    held_out = spread(data.validation, settings.validation_images)
    scores = score_parser(
        ParserProvider(parser, device=device, batch_size=settings.train.batch_size), held_out, progress=bar
    )
    _log.info("%s: %s", out, scores.summary())
    first = trainee.provenance.get("first_weights", {})
    record = {"data": {"name": data.name, "images": len(data.train)}, **settings.to_dict(), "first_weights": first}
    whole = TrainedParser(parser.network, settings.parser, parser.preprocess, scores.to_json(), record)
    weights = save_parser(whole, out / "parser.safetensors")
    write_scores(out, scores.to_json())
    return ParserResult(out, weights, scores, result.steps, result.skipped)


def _trainee(settings: ParserRunSettings) -> ParserTrainee:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.train.seed)
        return ParserTrainee(settings.parser)
