"""A training run as one settings file: the method, where its weights start, its own settings, and how it is trained.

``recipes/`` holds the papers' runs; ``train(dataset, out, "pgfa")`` is what ``occlureid train`` calls. A recipe may start from
another and give only what differs (``base: sorn``). ``recipes/ablations/`` holds the rows of the papers' ablation tables:

    base: sorn                           # a row with a training of its own: a recipe as any other
    model: {weight_spc: 0.0}

    train_as: ablations/sorn/no-spc      # a row that takes the weights of another recipe's training
    model: {visibility: pose}            # and changes settings when they are restored,
    rule: {part_factor: 0.0}             # or fields of the MatchRule when descriptors are scored

Both kinds may say what the paper prints (``row: {table: II, place: 1, name: ..., reported: {rank_1: 51.5, mAP: 41.6}}``), and one
row of a table that it is the whole method, with which the others are compared (``reference: true``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from occlureid import methods
from occlureid.arithmetic import processor
from occlureid.config import Settings, merge, read_yaml
from occlureid.cues.crop import CropSettings, measure_crop
from occlureid.cues.roots import sources_for_dataset
from occlureid.cues.settings import CueSettings
from occlureid.data.dataset import ReidDataset
from occlureid.errors import DataError, MissingWeightsError, SettingsError
from occlureid.matching import MatchRule
from occlureid.models.backbone import Backbone, load_imagenet_weights
from occlureid.models.heads import person_classifiers
from occlureid.models.weight_files import Filled
from occlureid.synthetic.sprites import Sprite, obstacle_sprites
from occlureid.training import TrainResult, TrainSettings, device_kind, settled, train_method, training_labels
from occlureid.zoo.catalogue import model_names, read_record, weights_path

if TYPE_CHECKING:
    from occlureid.data import CueSource

__all__ = [
    "Row",
    "RowSettings",
    "RunSettings",
    "initialise",
    "packaged",
    "read_recipe",
    "read_row",
    "recipes",
    "train",
    "training_obstacles",
]


_SPRITE_SIZE = 192
"""Pixels that a person beside a pasted obstacle is tall before it is brought to the image's scale."""


class RunSettings(Settings):
    """What a recipe holds."""

    method: str = "pgfa"
    """a method of this package, or the name of a module of one's own, on Python's path or in the current folder"""
    initial_weights: str = "imagenet"
    """imagenet (fetched, or from timm's cache), none (random), a weight file that holds every tensor of the backbone, the weights
    of another training (weights.safetensors: of the same method all that fits, of another its backbone), or the name of an
    embedder that comes with the package, whose backbone is taken"""
    model: dict[str, Any] = Field(default_factory=dict)
    """settings of the method; see "occlureid methods NAME" """
    cues: CueSettings = CueSettings()
    """where cues come from, in training and, unless told otherwise, when these weights describe"""
    crop: CropSettings = CropSettings()
    """how images are cropped before anything else; travels with the weights, and is the same in training, query and gallery"""
    train: TrainSettings = TrainSettings()
    """how it is trained"""


class RowSettings(Settings):
    """What a recipe says of its row in a paper's table, under ``row``."""

    table: str = ""
    """number of the table or figure"""
    place: int = 0
    """where the row stands in it"""
    name: str = ""
    """what the paper calls it"""
    reported: dict[str, float] = Field(default_factory=dict)
    """the paper's figures in percent: rank_1, rank_3, rank_5, rank_10, mAP; empty where they are only drawn. They are those on
    Occluded-DukeMTMC, or, with ``transferred``, on one of its sets"""
    transferred: dict[str, dict[str, dict[str, float]]] = Field(default_factory=dict)
    """the same by training set and test set: {market1501: {dukemtmc: {rank_1: 56.4, mAP: 36.5}}}"""
    reference: bool = False
    """whether this is the table's whole method in its default setting, which the other rows are compared with"""

    def printed(self, trained_on: Sequence[str], test: str) -> dict[str, float]:
        """The figures that the paper prints of one training and test set, by their layouts; empty where it prints none."""
        if len(trained_on) != 1:
            return {}
        if self.transferred:
            return self.transferred.get(trained_on[0], {}).get(test, {})
        return self.reported if trained_on[0] == test == "occluded-duke" else {}


@dataclass(frozen=True)
class Row:
    """One row of an ablation table.

    Attributes:
        recipe: the recipe that stands for the row.
        train_as: the recipe whose training gives its weights; the row's own name, or one that several rows share.
        model: settings to change when the weights are restored; none of them changes a layer.
        rule: fields of MatchRule to change when descriptors are scored.
        printed: what the paper prints.
    """

    recipe: str
    train_as: str
    model: dict[str, Any]
    rule: dict[str, Any]
    printed: RowSettings


def recipes(folder: str = "") -> list[str]:
    """The names of the recipes that come with the package, sorted: the papers' runs, or those of a folder.

    Args:
        folder: such as "ablations/sorn", whose recipes are then named "ablations/sorn/...".

    Raises:
        SettingsError: there is no such folder of recipes.
    """
    place = resources.files("occlureid") / "recipes"
    for part in folder.split("/") if folder else ():
        folders = {entry.name: entry for entry in place.iterdir() if entry.is_dir()}
        if part not in folders:
            raise SettingsError(
                f"no folder of recipes {folder!r}; known below it: {', '.join(sorted(folders)) or 'none'}"
            )
        place = folders[part]
    names = sorted(entry.name.removesuffix(".yaml") for entry in place.iterdir() if entry.name.endswith(".yaml"))
    return [f"{folder}/{name}" if folder else name for name in names]


def packaged(name: str) -> bool:
    """Whether a recipe comes with the package."""
    try:
        return name in recipes(name.rpartition("/")[0])
    except SettingsError:
        return False


def _read(name: str) -> dict[str, Any]:
    """A recipe as it stands in its file."""
    if packaged(name):
        with resources.as_file(resources.files("occlureid") / "recipes" / f"{name}.yaml") as path:
            return read_yaml(path)
    if not Path(name).is_file():
        raise SettingsError(f"no recipe and no file {name!r}; recipes: {', '.join(recipes())}")
    return read_yaml(name)


def _named(name: str, said: Any, key: str) -> str:
    """The recipe that another names under a key: one of the package, or a file beside it."""
    if not isinstance(said, str):
        raise SettingsError(f"recipe {name!r}: {key} must be the name of a recipe, got {said!r}")
    return said if packaged(said) or packaged(name) else str(Path(name).resolve().parent / said)


def read_recipe(name: str) -> dict[str, Any]:
    """A recipe by its name, or any YAML file by its path, as plain values, joined with the recipes that it starts from.

    ``base`` names a recipe of the package, or a file beside the one that names it.

    Raises:
        SettingsError: there is neither such a recipe nor such a file, it starts from itself, or it is not trained at all.
    """
    layers: list[dict[str, Any]] = []
    chain: list[str] = []
    current: str | None = name
    while current is not None:
        place = current if packaged(current) else str(Path(current).resolve())
        if place in chain:
            raise SettingsError(f"a recipe cannot start from itself: {' -> '.join([*chain, place])}")
        chain.append(place)
        content = _read(current)
        if "train_as" in content:
            raise SettingsError(
                f"recipe {current!r} is not trained: it takes the weights of {content['train_as']!r}, train that one"
            )
        content.pop("row", None)  # is said of this recipe alone, and not of those that start from it
        base = content.pop("base", None)
        layers.append(content)
        current = None if base is None else _named(current, base, "base")
    return merge(*reversed(layers))


def read_row(name: str) -> Row:
    """A recipe as a row of an ablation table: whose training it takes, and what it changes afterwards.

    Raises:
        SettingsError: there is no such recipe, it cannot be read, or its changes do not make settings or a rule.
    """
    content = _read(name)
    printed = RowSettings.build({} if content.get("row") is None else _mapping(name, content, "row"))
    if "train_as" not in content:
        settings = RunSettings.build(read_recipe(name))
        methods.load(settings.method).Config.build(settings.model)
        return Row(name, name, {}, {}, printed)
    if unknown := content.keys() - {"row", "train_as", "model", "rule"}:
        raise SettingsError(
            f"recipe {name!r}: beside train_as there may only be row, model and rule, which are changed afterwards; "
            f"got {', '.join(sorted(unknown))}"
        )
    trained = _named(name, content["train_as"], "train_as")
    settings = RunSettings.build(read_recipe(trained))
    model, rule = (_mapping(name, content, key) for key in ("model", "rule"))
    methods.load(settings.method).Config.build(settings.model, model)
    try:
        MatchRule.from_json({**MatchRule().to_json(), **rule})
    except DataError as error:
        raise SettingsError(f"recipe {name!r}: {error}") from error
    return Row(name, trained, model, rule, printed)


def _mapping(name: str, content: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = content.get(key, {})
    if not isinstance(value, dict):
        raise SettingsError(f"recipe {name!r}: {key} must hold settings and their values, got {value!r}")
    return value


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
        cues: where cues come from; as the settings say unless given. A crop needs part maps, whatever the method needs.
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
    if not dataset.train:
        raise DataError(
            f"{dataset.root}: the layout {dataset.name!r} has no training images; train on another set, or join one "
            "(with_training; on the command line --also PATH)"
        )
    # a plain copy: validated again, every cue setting would count as given, and a method would no longer choose its grouping
    settings = settings.model_copy(update={"train": settled(settings.train, out, resume=resume)})
    labels = training_labels(dataset, settings.train)
    method = methods.create(settings.method, len(labels), settings.model, seed=settings.train.seed)
    cue_settings = method.cue_settings(settings.cues)
    settings = settings.with_changes(model=method.config.to_dict(), cues=cue_settings.to_dict())
    method.provenance = {
        **settings.to_dict(),
        "processor": processor(device_kind(settings.train)),
        "trained_on": list(dataset.trained_on),
    }
    record: dict[str, Any] = {"initial_weights": settings.initial_weights}
    wanted = set(method.wants("train", "describe"))
    if settings.crop.mode != "off":
        wanted.add("part_map")
    if settings.train.background_probability > 0:
        wanted.add("foreground")
    if cues is None and wanted:
        cues = sources_for_dataset(dataset, wanted, dataset.train, settings=cue_settings)
    if cue_settings != method.cue_settings():
        record["cues"] = cue_settings.to_dict()
    if settings.crop.mode != "off" and cues is not None:
        method.crop, counts = measure_crop(settings.crop, dataset.train, cues)
        method.provenance["cropped"] = counts
        record["crop"] = settings.crop.to_dict()
    if not (resume and (Path(out) / "checkpoint.pt").exists()):
        method.provenance["first_weights"] = initialise(method, settings.initial_weights, labels)
    return train_method(
        method, dataset, settings.train, Path(out), cues=cues, obstacles=training_obstacles(settings.train), resume=resume,
        overwrite=overwrite, progress=progress,
        record=record,
    )  # fmt: skip


def training_obstacles(settings: TrainSettings) -> list[Sprite]:
    """Those to be pasted on training images: a function of the settings, so that a resumed run has the same."""
    if settings.paste_obstacles == 0:
        return []
    return obstacle_sprites(settings.paste_sprites, settings.seed, _SPRITE_SIZE)


def initialise(method: methods.Method[Any], weights: str, labels: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Gives a method its first weights.

    Args:
        method: changed in place.
        weights: as ``RunSettings.initial_weights``.
        labels: the label of each person that the method will be trained on; classifiers of persons come from another training
            only if its ``labels.json`` says the same.

    Returns:
        How many tensors of what were set (``Filled``), as plain values for the record; empty for "none".

    Raises:
        MissingWeightsError: they cannot be fetched or read, or are of another backbone.
        DataError: weights of another training are damaged.
    """
    if weights == "none":
        return {}
    backbone = method.backbone
    if not isinstance(backbone, Backbone):
        raise MissingWeightsError(f"method {method.name()!r} has no timm backbone to fill; set initial_weights: none")
    if weights == "imagenet":
        filled = load_imagenet_weights(backbone)
    elif Path(weights).is_file():
        name = methods.saved_name(weights)
        same_class = type(method) if name == method.name() else None  # it may live outside the package
        if (
            same_class is None and name not in methods.available()
        ):  # no training, or one whose class a file may not choose
            filled = load_imagenet_weights(backbone, weights)
        else:
            filled = _continue(method, backbone, methods.restore(weights, same_class), Path(weights), labels)
    elif weights in model_names():
        source = methods.restore(weights_path(weights)) if read_record(weights).task == "embedder" else None
        filled = _take_backbone(backbone, source, f"the model {weights!r}")
    else:
        raise MissingWeightsError(
            f"initial_weights must be imagenet, none, a weight file or an embedder of the package ({_embedders()}), and there is "
            f"no file {weights!r}"
        )
    return filled.to_json()


def _take_backbone(backbone: Backbone, source: methods.Method[Any] | None, label: str) -> Filled:
    """Fills a backbone from that of another method."""
    own = source.backbone if source is not None else None
    if source is None or not isinstance(own, Backbone) or own.name != backbone.name:
        has = f"a {own.name}" if isinstance(own, Backbone) else "no embedder"
        raise MissingWeightsError(
            f"{label} has {has}, the method is to have a {backbone.name}: set model.backbone, or other initial_weights"
        )
    state = own.net.state_dict()
    backbone.net.load_state_dict(state, strict=True)
    return Filled(len(state), len(state), len(source.state_dict()) - len(state), "backbone.net.")


def _continue(
    method: methods.Method[Any],
    backbone: Backbone,
    source: methods.Method[Any],
    file: Path,
    labels: Mapping[str, int] | None,
) -> Filled:
    """Goes on from another training: its backbone, and of the same method every tensor of the same name and shape."""
    filled = _take_backbone(backbone, source, str(file))
    if source.name() != method.name():
        return filled
    own, state, persons = method.state_dict(), source.state_dict(), file.with_name("labels.json")
    try:
        same = persons.is_file() and json.loads(persons.read_text(encoding="utf-8")) == labels
    except (OSError, ValueError) as error:
        raise DataError(f"{persons}: cannot be read: {error}") from error
    others = frozenset() if same else person_classifiers(state)
    fit = {
        name: tensor
        for name, tensor in state.items()
        if name not in others and name in own and own[name].shape == tensor.shape
    }
    method.load_state_dict(fit, strict=False)
    return Filled(len(fit), len(own), len(state) - len(fit), part="method")


def _embedders() -> str:
    """The names of the embedders that come with the package, for a message."""
    return ", ".join(name for name in model_names() if read_record(name).task == "embedder") or "it has none"
