"""A trained parser as one safetensors file: what it is, what its labels mean, how it was trained and how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from occlureid.cues.groupings import label_set
from occlureid.errors import DataError
from occlureid.methods import Preprocess
from occlureid.models.parser import HumanParser
from occlureid.parsing.settings import ParserSettings
from occlureid.parsing.trainee import build_network
from occlureid.training.networks import FileKind, build_filled, read_network, reading, write_network

__all__ = ["TrainedParser", "load_parser", "save_parser"]

_KIND = FileKind("parser", "human parser", "parser", "train-parser")


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
    about = {
        "architecture": parser.settings.architecture,
        "classes": str(len(parser.labels)),
        "labels": json.dumps(parser.labels),
    }
    return write_network(Path(path), _KIND, parser, about)


def load_parser(path: Path | str) -> TrainedParser:
    """The parser that ``save_parser`` wrote, on the CPU, in evaluation mode; nothing in the file is executed or fetched.

    Raises:
        MissingWeightsError: there is no such file.
        DataError: the file is damaged, is no parser, has other classes than its settings say, or does not fit them.
    """
    path = Path(path)
    with reading(path, _KIND):
        metadata, state = read_network(path, _KIND)
        settings = ParserSettings.build(json.loads(metadata["settings"]))
        said = tuple(json.loads(metadata["labels"]))
        scores, training = (dict(json.loads(metadata.get(key, "{}"))) for key in ("scores", "training"))
    expected = label_set(settings.labels).labels
    if said != expected or metadata.get("classes") != str(len(expected)):
        raise DataError(
            f"{path}: a parser of other classes: expected the {len(expected)} of {settings.labels!r} "
            f"({', '.join(expected)}), got {metadata.get('classes')} ({', '.join(map(str, said))[:200]}); train it again"
        )
    network = build_filled(path, _KIND, lambda: build_network(settings), state)
    preprocess = Preprocess(settings.size, network.mean, network.std)
    return TrainedParser(network, settings, preprocess, scores, training)
