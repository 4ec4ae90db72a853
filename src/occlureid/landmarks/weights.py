"""A trained landmark network as one safetensors file: what it is, what it finds, how it was trained and how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from occlureid.errors import DataError
from occlureid.landmarks.settings import LandmarkSettings
from occlureid.landmarks.trainee import build_network
from occlureid.methods import Preprocess
from occlureid.models.landmarks import LandmarkNetwork
from occlureid.training.networks import FileKind, build_filled, read_network, reading, write_network
from occlureid.types import KEYPOINT_NAMES

__all__ = ["TrainedLandmarks", "load_landmarks", "save_landmarks"]

_KIND = FileKind("landmarks", "landmark network", "landmark network", "train-landmarks")


@dataclass(frozen=True)
class TrainedLandmarks:
    """A landmark network in evaluation mode and what belongs to it.

    Attributes:
        network: the network, its weights in float32.
        settings: what it is.
        preprocess: image size and normalisation.
        scores: how good it is on held-out images, plain values; empty where it was not judged.
        training: how it was trained, plain values.
    """

    network: LandmarkNetwork
    settings: LandmarkSettings
    preprocess: Preprocess
    scores: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


def save_landmarks(landmarks: TrainedLandmarks, path: Path | str) -> Path:
    """Writes the file, atomically; ``load_landmarks`` needs nothing else.

    Raises:
        DataError: it cannot be written.
    """
    about = {
        "architecture": landmarks.settings.backbone,
        "landmarks": json.dumps(KEYPOINT_NAMES),
    }
    return write_network(Path(path), _KIND, landmarks, about)


def load_landmarks(path: Path | str) -> TrainedLandmarks:
    """The network that ``save_landmarks`` wrote, on the CPU, in evaluation mode; nothing in the file is executed or fetched.

    Weights stored in half precision are read into float32.

    Raises:
        MissingWeightsError: there is no such file.
        DataError: the file is damaged, is no landmark network, finds other landmarks, or does not fit its settings.
    """
    path = Path(path)
    with reading(path, _KIND):
        metadata, state = read_network(path, _KIND)
        settings = LandmarkSettings.build(json.loads(metadata["settings"]))
        said = tuple(json.loads(metadata["landmarks"]))
        scores, training = (dict(json.loads(metadata.get(key, "{}"))) for key in ("scores", "training"))
    if said != KEYPOINT_NAMES:
        raise DataError(
            f"{path}: finds other landmarks: expected the {len(KEYPOINT_NAMES)} of this package "
            f"({', '.join(KEYPOINT_NAMES)}), got {', '.join(map(str, said))[:200]}; train it again"
        )
    network = build_filled(path, _KIND, lambda: build_network(settings), state)
    preprocess = Preprocess(settings.size, network.mean, network.std)
    return TrainedLandmarks(network, settings, preprocess, scores, training)
