"""A trained parser as one safetensors file: what it is, what its labels mean, how it was trained and how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from occlureid.cues.groupings import label_set
from occlureid.errors import DataError, MissingWeightsError, SettingsError
from occlureid.methods import Preprocess
from occlureid.models.parser import HumanParser
from occlureid.parsing.settings import ParserSettings
from occlureid.parsing.trainee import build_network
from occlureid.training.checkpoint import force_to_disk

__all__ = ["TrainedParser", "load_parser", "save_parser"]


@dataclass(frozen=True)
class TrainedParser:
    """A parser in evaluation mode and what belongs to it.

    Attributes:
        network: the network.
        settings: what it is.
        preprocess: image size and normalisation.
        scores: how good it is on held-out images, plain values; empty where it was not judged.
        training: how it was trained, plain values.
    """

    network: HumanParser
    settings: ParserSettings
    preprocess: Preprocess
    scores: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """What a pixel can be, in the order of the channels; the first is the background."""
        return label_set(self.settings.labels).labels


def save_parser(parser: TrainedParser, path: Path | str) -> Path:
    """Writes the file, atomically; ``load_parser`` needs nothing else."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    metadata = {
        "occlureid": "parser",
        "architecture": parser.settings.architecture,
        "classes": str(len(parser.labels)),
        "labels": json.dumps(parser.labels),
        "size": json.dumps(parser.preprocess.size),
        "mean": json.dumps(parser.preprocess.mean),
        "std": json.dumps(parser.preprocess.std),
        "settings": json.dumps(parser.settings.to_dict()),
        "scores": json.dumps(dict(parser.scores)),
        "training": json.dumps(dict(parser.training)),
    }
    state = {name: value.detach().cpu().contiguous() for name, value in parser.network.state_dict().items()}
    try:
        save_file(state, partial, metadata=metadata)
        force_to_disk(partial)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: the parser cannot be written ({error})") from error
    return path


def load_parser(path: Path | str) -> TrainedParser:
    """The parser that ``save_parser`` wrote, on the CPU, in evaluation mode; nothing in the file is executed or fetched.

    Raises:
        MissingWeightsError: there is no such file.
        DataError: the file is damaged, is no parser, has other classes than its settings say, or does not fit them.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingWeightsError(
            f'{path}: no parser there; train one with "occlureid train-parser", or name another file'
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("occlureid") != "parser":
                raise DataError(f"{path}: not a human parser (its metadata is {json.dumps(metadata)[:200]})")
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        settings = ParserSettings.build(json.loads(metadata["settings"]))
        said = tuple(json.loads(metadata["labels"]))
        scores, training = (dict(json.loads(metadata.get(key, "{}"))) for key in ("scores", "training"))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, SettingsError) as error:
        raise DataError(f"{path}: cannot be read as a human parser: {error}") from error
    expected = label_set(settings.labels).labels
    if said != expected or metadata.get("classes") != str(len(expected)):
        raise DataError(
            f"{path}: a parser of other classes: expected the {len(expected)} of {settings.labels!r} "
            f"({', '.join(expected)}), got {metadata.get('classes')} ({', '.join(map(str, said))[:200]}); train it again"
        )
    try:
        network = build_network(settings)
    except SettingsError as error:
        raise DataError(f"{path}: cannot be read as a human parser: {error}") from error
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise DataError(f"{path}: its weights do not fit its settings: {error}") from error
    preprocess = Preprocess(settings.size, network.mean, network.std)
    return TrainedParser(network.eval(), settings, preprocess, scores, training)
