"""From a finished training to a model that comes with the package: a file in half precision, a record, a card."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from occlureid.cues.providers import Provider
from occlureid.cues.settings import CueSettings
from occlureid.errors import DataError, SettingsError, UsageError
from occlureid.methods import Method, Preprocess, restore
from occlureid.models.heads import person_classifiers
from occlureid.training.checkpoint import force_to_disk
from occlureid.zoo.canonical import TOLERANCE, canonical_values, greatest_change
from occlureid.zoo.card import new_card, renewed
from occlureid.zoo.catalogue import FOLDER, SUFFIX, default_name, model_names
from occlureid.zoo.cue_models import kind_of, model_cues, open_provider
from occlureid.zoo.half import halve
from occlureid.zoo.loaded import CueModel, Embedder
from occlureid.zoo.pictures import canonical_pictures, rendered_pictures
from occlureid.zoo.record import (
    MOST_BYTES,
    MOST_BYTES_IN_ALL,
    Canonical,
    ModelRecord,
    Precision,
    Score,
    Task,
    TrainingData,
)

__all__ = ["BOUND", "Statement", "release", "scores_of"]

BOUND = 0.02
"""By how much half precision may change an output: of a vector, as a share of its length."""

_FILES = ("parser.safetensors", "landmarks.safetensors", "weights.safetensors")
"""What a run leaves, in the order in which it is looked for: the trainings of cue models leave weights.safetensors too."""

_TASKS: dict[str, Task] = {"method": "embedder", "parser": "parser", "landmarks": "landmarks"}


@dataclass(frozen=True)
class Statement:
    """What a run does not know of itself, and whoever releases it must say.

    Attributes:
        summary: what the model is, in a line.
        data: what it was trained on.
        command: how it was made.
        not_tried: what was not tried.
        scores: how good it is; those that a cue model's file holds of itself are added.
        cues: of an embedder that needs cues to describe: the models of the same folder that give them, by cue.
        licence: of the file.
        default: whether it is to be the default of its task.
    """

    summary: str
    data: TrainingData
    command: str
    not_tried: tuple[str, ...]
    scores: tuple[Score, ...] = ()
    cues: Mapping[str, str] | None = None
    licence: str = "MIT"
    default: bool = False


def release(
    run: Path,
    name: str,
    statement: Statement,
    *,
    folder: Path | None = None,
    bound: float = BOUND,
    overwrite: bool = False,
) -> ModelRecord:
    """Writes NAME.safetensors, NAME.json and NAME.md from a run's weights.

    The classifiers of the training's persons are left out, floating numbers are halved, and what the outputs lose by it is
    measured on computed and on rendered pictures. A card that is there keeps its words and gets the new figures.

    Args:
        run: the folder of a run of ``occlureid train``, ``train-parser`` or ``train-landmarks``, or its file of weights.
        name: of the model; small letters, digits and hyphens.
        statement: what the run does not know of itself.
        folder: gets the files; that of the package unless given.
        bound: the most that half precision may change; see ``greatest_change``.
        overwrite: replace a model of this name.

    Raises:
        MissingWeightsError: the run has no weights.
        DataError: they are damaged or not finite, change by more than the bound, make a file or all files together too large,
            or hold a path of the machine they were trained on.
        UsageError: there is a model of this name, or another default of its task.
        SettingsError: the record would not be valid: a name, a figure or a statement is missing or wrong.
    """
    folder, path = folder or FOLDER, _file_of(run)
    task = _TASKS[kind_of(path)]
    if name in model_names(folder) and not overwrite:
        raise UsageError(f"{folder}: there is a model {name!r} already; give another name, or overwrite it")
    other = default_name(task, folder)
    if statement.default and other not in (None, name):
        raise UsageError(f"{folder}: {other!r} is the default {task} already; take that from its record first")
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if task == "embedder":
        state = {key: value for key, value in state.items() if key not in person_classifiers(state)}
        metadata |= {"classes": "1", "classifiers": "left out"}
    metadata = _without_places(path, metadata)
    halved, single = halve(state)
    partial = folder / f"{name}{SUFFIX}.partial"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(halved, partial, metadata=metadata)
    try:
        record = _record(path, partial, name, task, metadata, statement, single, bound, folder)
        force_to_disk(partial)
        card = folder / f"{name}.md"
        text = renewed(card.read_text(encoding="utf-8"), record) if card.exists() else new_card(record)
        partial.chmod(0o644)  # the library makes files that only their owner may read; a package's are for everybody
        partial.replace(folder / f"{name}{SUFFIX}")
    finally:
        partial.unlink(missing_ok=True)
    record.write(folder / f"{name}.json")
    card.write_text(text, encoding="utf-8")
    return record


def _file_of(run: Path) -> Path:
    if run.is_dir():
        found = [run / name for name in _FILES if (run / name).is_file()]
        return found[0] if found else run / _FILES[-1]
    return run


def _without_places(path: Path, metadata: dict[str, str]) -> dict[str, str]:
    """The metadata without where cues came from in training: elsewhere they lie beside the images, or a model gives them.

    Raises:
        DataError: a path of this machine is left in it.
    """
    if "provenance" in metadata:
        provenance = json.loads(metadata["provenance"])
        if "cues" in provenance:
            cues = CueSettings.build(provenance["cues"])
            provenance["cues"] = cues.with_changes(source="folders", folder=None, degrade={}).to_dict()
        metadata = {**metadata, "provenance": json.dumps(provenance)}
    for key, value in metadata.items():
        if found := re.search(r'(?:^|["\s=])(/[\w.~-]+/[^\s"]*|~/[^\s"]*|[A-Za-z]:\\\\[^\s"]*)', value):
            raise DataError(
                f"{path}: its {key} names {found[1]!r}, a place on one machine, which is not to be given away"
            )
    return metadata


def _record(
    original: Path,
    halved: Path,
    name: str,
    task: Task,
    metadata: Mapping[str, str],
    statement: Statement,
    single: tuple[str, ...],
    bound: float,
    folder: Path,
) -> ModelRecord:
    """The record of a file that is about to be released, once it is known to be fit for it."""
    size = halved.stat().st_size
    others = sum(path.stat().st_size for path in folder.glob(f"*{SUFFIX}") if path.stem != name)
    if size > MOST_BYTES or size + others > MOST_BYTES_IN_ALL:
        raise DataError(
            f"{name}: {size:,} bytes, and {others:,} of other models; at most {MOST_BYTES:,} a file and {MOST_BYTES_IN_ALL:,} "
            "in all"
        )
    training, own_scores = _training(task, metadata)
    initial = str(training.get("initial_weights", "none"))
    if "seed" not in training.get("train", {}):
        raise DataError(f"{original}: says nothing of its training; release the weights of a finished run")
    if initial != "none" and statement.data.initial_weights == "none":
        raise DataError(
            f"{original}: was not trained from random weights, but from {initial!r}; only weights that have seen nothing but "
            "rendered images are released: say what these were (data.initial_weights)"
        )
    training["initial_weights"] = statement.data.initial_weights
    networks = [_network(path, task) for path in (original, halved)]
    _check_cues(original, networks[0], statement.cues or {})
    method = isinstance(networks[1], Method)
    record = ModelRecord.build(
        {
            "name": name,
            "task": task,
            "default": statement.default,
            "summary": statement.summary,
            "method": metadata["name"] if method else metadata.get("architecture", task),
            "parameters": _parameters(networks[1]),
            "size": _size(networks[1]),
            "settings": json.loads(metadata["config" if method else "settings"]),
            "training": training,
            "seed": training["train"]["seed"],
            "data": statement.data.to_dict(),
            "scores": [score.to_dict() for score in (*statement.scores, *own_scores)],
            "canonical": {"tolerance": TOLERANCE, "values": {"none": []}},
            "precision": {"bound": bound, "change": 0.0},
            "cues": dict(statement.cues or {}),
            "command": statement.command,
            "not_tried": statement.not_tried,
            "licence": statement.licence,
            "sha256": hashlib.sha256(halved.read_bytes()).hexdigest(),
            "bytes": size,
            "version": importlib.metadata.version("occlureid"),
        }
    )
    before, after = (_model(network, record, folder) for network in networks)
    pictures = canonical_pictures()
    large = pictures[0].shape[0] * 2, pictures[0].shape[1] * 2
    changes = [greatest_change(before, after, some) for some in (pictures, rendered_pictures(large))]
    change, output = max((value, key) for found in changes for key, value in found.items())
    if not change <= bound:
        raise DataError(
            f"{name}: half precision changes {output} by {change:.3g}, more than {bound:g}; find the tensor that does not bear "
            "it, or allow more"
        )
    return record.with_changes(
        canonical=Canonical(tolerance=TOLERANCE, values=canonical_values(after)),
        precision=Precision(bound=bound, change=change, single=single),
    )


def _training(task: Task, metadata: Mapping[str, str]) -> tuple[dict[str, Any], tuple[Score, ...]]:
    """How a model was trained, and the scores that its file holds."""
    if task == "embedder":
        provenance = dict(json.loads(metadata.get("provenance", "{}")))
        provenance.pop("model", None)  # are the record's settings
        return provenance, ()
    training = dict(json.loads(metadata.get("training", "{}")))
    training.pop(task, None)
    values = json.loads(metadata.get("scores", "{}"))
    figures = {key: value for key, value in values.items() if isinstance(value, float) and key != "threshold"}
    if "mean_iou" in figures:
        figures = {"mean_iou": figures.pop("mean_iou"), **figures}
    measured_on = f"{values.get('images', 'the')} held-out images of rendered worlds"
    return training, (Score(measured_on=measured_on, values=figures),) if figures else ()


def _network(path: Path, task: Task) -> Method[Any] | Provider:
    return restore(path) if task == "embedder" else open_provider(path)


def _check_cues(path: Path, network: Method[Any] | Provider, cues: Mapping[str, str]) -> None:
    needed = network.wants("describe") if isinstance(network, Method) else frozenset()
    if missing := needed - cues.keys():
        raise SettingsError(f"{path}: needs the cue {', '.join(sorted(missing))} to describe; say which model gives it")
    if more := cues.keys() - needed:
        raise SettingsError(f"{path}: does not need the cue {', '.join(sorted(more))} to describe")


def _model(network: Method[Any] | Provider, record: ModelRecord, folder: Path) -> Embedder | CueModel:
    if not isinstance(network, Method):
        return CueModel(record, network)
    return Embedder(record, network, model_cues(network, tuple(dict.fromkeys(record.cues.values())), folder=folder))


def _trained(provider: Any) -> Any:
    """The network of a provider and what belongs to it."""
    return provider.parser if provider.name == "parser" else provider.landmarks


def _size(network: Method[Any] | Provider) -> tuple[int, int]:
    found: Preprocess = network.preprocess if isinstance(network, Method) else _trained(network).preprocess
    return found.size


def _parameters(network: Method[Any] | Provider) -> int:
    """Numbers that were learnt, of those in the file."""
    whole = network if isinstance(network, Method) else _trained(network).network
    named = dict(whole.named_parameters())
    dropped = person_classifiers(named) if isinstance(network, Method) else frozenset()
    return sum(value.numel() for key, value in named.items() if key not in dropped)


def scores_of(measured_on: str, values: object) -> Score:
    """Figures from a JSON file, as a Score.

    Raises:
        DataError: they are not names and numbers.
    """
    if not isinstance(values, Mapping) or not all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values.values()
    ):
        raise DataError(f"scores on {measured_on!r} must be names and numbers, got {str(values)[:200]}")
    return Score(measured_on=measured_on, values=dict(values))
