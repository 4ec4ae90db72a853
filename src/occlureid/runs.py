"""A training run as one settings file: the method, where its weights start, its own settings, and how it is trained.

``recipes/`` holds the papers' runs; ``train(dataset, out, "pgfa")`` is what ``occlureid train`` calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from occlureid import methods
from occlureid.config import Settings, read_yaml
from occlureid.cues import sources_for
from occlureid.data.dataset import ReidDataset
from occlureid.errors import MissingWeightsError, SettingsError
from occlureid.models.backbone import Backbone, load_imagenet_weights
from occlureid.training import TrainResult, TrainSettings, train_method, training_labels

if TYPE_CHECKING:
    from occlureid.data import CueSource

__all__ = ["RunSettings", "initialise", "read_recipe", "recipes", "train"]


class RunSettings(Settings):
    """What a recipe holds."""

    method: str = "pgfa"
    """a method of this package, or the dotted name of a module of one's own"""
    initial_weights: str = "imagenet"
    """imagenet (fetched, or from timm's cache), none (random), or a weight file in timm's layout for the backbone"""
    model: dict[str, Any] = Field(default_factory=dict)
    """settings of the method; see "occlureid methods NAME" """
    train: TrainSettings = TrainSettings()
    """how it is trained"""


def recipes() -> list[str]:
    """The names of the recipes that come with the package, sorted."""
    folder = resources.files("occlureid") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_recipe(name: str) -> dict[str, Any]:
    """A recipe by its name, or any YAML file by its path, as plain values.

    Raises:
        SettingsError: there is neither such a recipe nor such a file.
    """
    if name in recipes():
        with resources.as_file(resources.files("occlureid") / "recipes" / f"{name}.yaml") as path:
            return read_yaml(path)
    if not Path(name).is_file():
        raise SettingsError(f"no recipe and no file {name!r}; recipes: {', '.join(recipes())}")
    return read_yaml(name)


def train(
    dataset: ReidDataset,
    out: Path | str,
    *layers: str | Mapping[str, Any],
    cues: CueSource | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> TrainResult:
    """Trains a method on a dataset's training split and leaves weights, settings and log in a folder.

    Args:
        dataset: its query and gallery are never looked at.
        out: the folder of the run.
        layers: recipes by name, YAML files by path, or values (``RunSettings``); later ones win.
        cues: where cues come from; the ``pose`` and ``parts`` folders below the dataset unless given.
        resume: go on from the folder's checkpoint.
        overwrite: replace a finished run with other settings.
        progress: draw progress bars.

    Raises:
        SettingsError: a setting is unknown, out of range, or not that of the run to be resumed.
        MissingCueError: the method needs a cue that is not there.
        MissingWeightsError: the initial weights cannot be had.
        DataError: an image or a checkpoint cannot be read.
    """
    settings = RunSettings.build(*(read_recipe(layer) if isinstance(layer, str) else layer for layer in layers))
    classes = len(training_labels(dataset, settings.train))
    method = methods.create(settings.method, classes, settings.model, seed=settings.train.seed)
    settings = settings.with_changes(model=method.config.to_dict())
    method.provenance = settings.to_dict()
    if cues is None and (method.needs.train or method.needs.describe):
        cues = sources_for(dataset.root, method.needs.train | method.needs.describe, dataset.train)
    if not (resume and (Path(out) / "checkpoint.pt").exists()):
        initialise(method, settings.initial_weights)
    return train_method(
        method, dataset, settings.train, Path(out), cues=cues, resume=resume, overwrite=overwrite, progress=progress,
        record={"initial_weights": settings.initial_weights},
    )  # fmt: skip


def initialise(method: methods.Method[Any], weights: str) -> None:
    """Gives a method's backbone its first weights.

    Raises:
        MissingWeightsError: they cannot be fetched or read.
    """
    if weights == "none":
        return
    if not isinstance(method.backbone, Backbone):
        raise MissingWeightsError(f"method {method.name()!r} has no timm backbone to fill; set initial_weights: none")
    if weights != "imagenet" and not Path(weights).is_file():
        raise MissingWeightsError(
            f"initial_weights must be imagenet, none or a weight file, and there is no file {weights!r}"
        )
    load_imagenet_weights(method.backbone, None if weights == "imagenet" else weights)
