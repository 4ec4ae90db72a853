"""A trained landmark network as one safetensors file: what it is, what it finds, how it was trained and how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from occlureid.errors import DataError, MissingWeightsError, SettingsError
from occlureid.landmarks.settings import LandmarkSettings
from occlureid.landmarks.trainee import build_network
from occlureid.methods import Preprocess
from occlureid.models.landmarks import LandmarkNetwork
from occlureid.training.checkpoint import force_to_disk
from occlureid.types import KEYPOINT_NAMES

__all__ = ["TrainedLandmarks", "load_landmarks", "save_landmarks"]


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
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    metadata = {
        "occlureid": "landmarks",
        "architecture": landmarks.settings.backbone,
        "landmarks": json.dumps(KEYPOINT_NAMES),
        "size": json.dumps(landmarks.preprocess.size),
        "mean": json.dumps(landmarks.preprocess.mean),
        "std": json.dumps(landmarks.preprocess.std),
        "settings": json.dumps(landmarks.settings.to_dict()),
        "scores": json.dumps(dict(landmarks.scores)),
        "training": json.dumps(dict(landmarks.training)),
    }
    state = {name: value.detach().cpu().contiguous() for name, value in landmarks.network.state_dict().items()}
    try:
        save_file(state, partial, metadata=metadata)
        force_to_disk(partial)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: the landmark network cannot be written ({error})") from error
    return path


def load_landmarks(path: Path | str) -> TrainedLandmarks:
    """The network that ``save_landmarks`` wrote, on the CPU, in evaluation mode; nothing in the file is executed or fetched.

    Weights stored in half precision are read into float32.

    Raises:
        MissingWeightsError: there is no such file.
        DataError: the file is damaged, is no landmark network, finds other landmarks, or does not fit its settings.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingWeightsError(
            f'{path}: no landmark network there; train one with "occlureid train-landmarks", or name another file'
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("occlureid") != "landmarks":
                raise DataError(f"{path}: not a landmark network (its metadata is {json.dumps(metadata)[:200]})")
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        settings = LandmarkSettings.build(json.loads(metadata["settings"]))
        said = tuple(json.loads(metadata["landmarks"]))
        scores, training = (dict(json.loads(metadata.get(key, "{}"))) for key in ("scores", "training"))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, SettingsError) as error:
        raise DataError(f"{path}: cannot be read as a landmark network: {error}") from error
    if said != KEYPOINT_NAMES:
        raise DataError(
            f"{path}: finds other landmarks: expected the {len(KEYPOINT_NAMES)} of this package "
            f"({', '.join(KEYPOINT_NAMES)}), got {', '.join(map(str, said))[:200]}; train it again"
        )
    try:
        network = build_network(settings)
    except SettingsError as error:
        raise DataError(f"{path}: cannot be read as a landmark network: {error}") from error
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise DataError(f"{path}: its weights do not fit its settings: {error}") from error
    preprocess = Preprocess(settings.size, network.mean, network.std)
    return TrainedLandmarks(network.eval(), settings, preprocess, scores, training)
