"""Trains a landmark network on rendered worlds, and judges it on held-out images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from occlureid.data.paste import Cutout
from occlureid.landmarks.provider import LandmarkProvider
from occlureid.landmarks.scores import LandmarkScores, score_landmarks
from occlureid.landmarks.settings import LandmarkRunSettings
from occlureid.landmarks.trainee import LandmarkTrainee
from occlureid.landmarks.weights import TrainedLandmarks, save_landmarks
from occlureid.landmarks.worlds import LandmarkDataset
from occlureid.models.backbone import load_imagenet_weights
from occlureid.training import settled, train_method
from occlureid.training.networks import fill_backbone, spread, write_scores

__all__ = ["LandmarkResult", "train_landmarks"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LandmarkResult:
    """What a finished training leaves.

    Attributes:
        folder: where it wrote.
        weights: ``landmarks.safetensors``, which ``load_landmarks`` and ``LandmarkProvider`` read.
        scores: on the held-out images.
        steps: steps done over the whole run.
        skipped: images that could not be read, and how often each was drawn.
    """

    folder: Path
    weights: Path
    scores: LandmarkScores
    steps: int
    skipped: dict[str, int]


def train_landmarks(
    data: LandmarkDataset,
    out: Path | str,
    *layers: Mapping[str, Any],
    obstacles: Sequence[Cutout] = (),
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
    bar: Callable[[int, int], None] | None = None,
    models: Mapping[str, Path] | None = None,
) -> LandmarkResult:
    """Trains a landmark network with the package's own training loop.

    ``out`` receives what every training writes (settings, log, events, checkpoint and the last weights to go on from), the
    network as ``landmarks.safetensors``, and its figures as ``scores.json``.

    Args:
        data: trained on its ``train``, judged by its ``validation``.
        out: the folder; made if it is not there.
        layers: settings (``LandmarkRunSettings``), later ones win; ``small_landmarks()`` is one.
        obstacles: to be pasted on images, where ``train.paste_obstacles`` asks for it.
        resume: go on from the checkpoint in ``out``: the weights become those of a run that was never interrupted.
        overwrite: start again although ``out`` holds a run.
        progress: show a bar for each epoch.
        bar: called with (images done, images in all) while the network is judged.
        models: files by names that ``initial_weights`` may give for them, such as those of the package's models.

    Raises:
        SettingsError: a setting is unknown or out of range, or obstacles are asked for and none are given.
        UsageError: ``out`` holds a run and neither ``resume`` nor ``overwrite`` is given, or what is resumed differs; or there
            are no held-out images.
        MissingWeightsError: the initial weights cannot be had.
        DataError: an image or the checkpoint is damaged.
        MissingCueError: backgrounds are to be mixed, and a world has no part maps.
    """
    settings, out = LandmarkRunSettings.build(*layers), Path(out)
    settings = settings.with_changes(train=settled(settings.train, out, resume=resume).to_dict())
    trainee = _trainee(settings)
    if not (resume and (out / "checkpoint.pt").exists()):
        trainee.provenance["first_weights"] = fill_backbone(
            settings.initial_weights, lambda file: load_imagenet_weights(trainee.network.backbone, file), models
        )
    cues = data.landmarks.with_foreground() if settings.train.background_probability > 0 else data.landmarks
    result = train_method(
        trainee, data.train, settings.train, out, cues=cues, obstacles=obstacles, resume=resume,
        overwrite=overwrite, progress=progress, record={"initial_weights": settings.initial_weights},
    )  # fmt: skip
    device = next(trainee.parameters()).device
    network = TrainedLandmarks(trainee.network.eval(), settings.landmarks, trainee.preprocess)
    held_out = {name: spread(samples, settings.validation_images) for name, samples in data.validation.items()}
    scores = score_landmarks(
        LandmarkProvider(network, device=device, batch_size=settings.train.batch_size), held_out, data.landmarks,
        threshold=settings.threshold, batch_size=settings.train.batch_size, progress=bar,
    )  # fmt: skip
    _log.info("%s: %s", out, scores.headline())
    record = {
        "data": {"worlds": list(data.worlds), "images": len(data.train), "judged_by": list(data.validation)},
        **settings.to_dict(),
        "first_weights": trainee.provenance.get("first_weights", {}),
    }
    whole = replace(network, scores=scores.to_json(), training=record)
    weights = save_landmarks(whole, out / "landmarks.safetensors")
    write_scores(out, scores.to_json())
    return LandmarkResult(out, weights, scores, result.steps, result.skipped)


def _trainee(settings: LandmarkRunSettings) -> LandmarkTrainee:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.train.seed)
        return LandmarkTrainee(settings.landmarks)
