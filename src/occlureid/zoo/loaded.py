"""A model that comes with the package, loaded: what it describes, and what its figures are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from occlureid import methods
from occlureid.cues.networks import ModelCues
from occlureid.cues.providers import ImageArray, Provider
from occlureid.describing import Describer, Picture
from occlureid.errors import DataError, UsageError
from occlureid.matching import MatchRule
from occlureid.methods import Method
from occlureid.types import Cues, Descriptor, Region
from occlureid.zoo.catalogue import checked_path, load
from occlureid.zoo.cue_models import kind_of, model_cues, open_provider
from occlureid.zoo.record import ModelRecord

__all__ = ["CueModel", "Embedder", "load_embedder", "open_model"]


@dataclass(frozen=True)
class Embedder:
    """Describes pictures of people.

    Attributes:
        record: what is known of it.
        method: the network, in evaluation mode.
        cues: the networks that give the cues which it needs; None where it needs none.
        device: where it runs.
    """

    record: ModelRecord
    method: Method[Any]
    cues: ModelCues | None = None
    device: str = "cpu"

    @property
    def name(self) -> str:
        """Of the model."""
        return self.record.name

    @property
    def rule(self) -> MatchRule:
        """How its descriptors are compared; as ``occlureid.distance_matrix`` takes it."""
        return self.method.rule

    @property
    def regions(self) -> tuple[Region, ...]:
        """Where its parts lie in an image, where that is fixed."""
        return self.method.regions

    def describe(self, images: Iterable[Picture] | Tensor, *, batch_size: int = 64) -> Descriptor:
        """What it says of some crops, each of one person, in order.

        Args:
            images: image files, images, or (B, 3, H, W) uint8 or float in [0, 1]; of any sizes, in RGB: of an array that OpenCV
                has read, ``array[..., ::-1]``.
            batch_size: images at a time; has no influence on the result.

        Raises:
            DataError: a file cannot be read, or there are no images.
            ShapeError: an array or a tensor is no image, or a tensor's values are not those of RGB.
            UsageError: they are not several, or one of them is neither a path nor an image.
        """
        if isinstance(images, Tensor):
            return self.describer.tensor(images, batch_size=batch_size)
        return self.describer.pictures(images, batch_size=batch_size)

    @property
    def describer(self) -> Describer:
        """Describes with this model, for callers of more than ``describe``: galleries, boxes, batches of a service."""
        return Describer(self.method, self.cues, device=self.device)


@dataclass(frozen=True)
class CueModel:
    """Finds parts or landmarks.

    Attributes:
        record: what is known of it.
        provider: gives the cues; goes wherever a provider does.
    """

    record: ModelRecord
    provider: Provider

    @property
    def name(self) -> str:
        """Of the model."""
        return self.record.name

    def __call__(self, images: Sequence[ImageArray] | Tensor) -> list[Cues]:
        """The cues of each image, in its pixels; (H, W, 3) uint8 arrays, or (B, 3, H, W) uint8 or float in [0, 1].

        Raises:
            ShapeError: the images are none.
        """
        return self.provider(images)


def open_model(record: ModelRecord, *, device: str = "cpu", folder: Path | None = None) -> Embedder | CueModel:
    """The model of a record; see ``occlureid.load``.

    Raises:
        MissingWeightsError: its file, or that of a model which it needs, is not there.
        MissingCueError: nothing gives a cue that it needs.
        DataError: a file is damaged, or not what the record says.
    """
    path = checked_path(record, folder)
    kind, expected = kind_of(path), {"embedder": "method"}.get(record.task, record.task)
    if kind != expected:
        raise DataError(f"{path}: the record says {record.task}, the file is of the kind {kind!r}")
    if record.task != "embedder":
        return CueModel(record, open_provider(path, device=device))
    method = methods.restore(path).to(device)
    named = tuple(dict.fromkeys(record.cues.values()))
    return Embedder(record, method, model_cues(method, named, device=device, folder=folder), device)


def load_embedder(name: str | None = None, *, device: str = "cpu", folder: Path | None = None) -> Embedder:
    """As ``occlureid.load``, for models that describe.

    Raises:
        UsageError: there is no such model, or it gives cues.
    """
    model = load(name, device=device, folder=folder)
    if not isinstance(model, Embedder):
        raise UsageError(f"{model.name!r} is a {model.record.task} model and describes nobody; name an embedder")
    return model
