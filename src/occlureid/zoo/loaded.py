"""A model that comes with the package, loaded: what it describes, and what its figures are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from occlureid import methods
from occlureid.cues.providers import ImageArray, Provider, as_arrays
from occlureid.data.images import read_image, to_rgb
from occlureid.data.transforms import Resize
from occlureid.errors import DataError, UsageError
from occlureid.matching import MatchRule
from occlureid.methods import Method
from occlureid.types import Cues, Descriptor, Region, Sample
from occlureid.zoo.catalogue import checked_path, load
from occlureid.zoo.cue_models import InHand, ModelCues, kind_of, model_cues, open_provider
from occlureid.zoo.record import ModelRecord

__all__ = ["CueModel", "Embedder", "Picture", "describe_pictures", "load_embedder", "open_model"]

Picture = Path | str | Image.Image | ImageArray
"""An image file by its path, or an image: one of Pillow's, or (H, W, 3) uint8. One that Pillow has opened is taken like its file,
upright and with 16 bits brought to 8."""

_NOBODY = Sample(Path("picture"), "unknown", "unknown")


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
            images: image files, images, or (B, 3, H, W) uint8 or float in [0, 1]; of any sizes.
            batch_size: images at a time; has no influence on the result.

        Raises:
            DataError: a file cannot be read, or there are no images.
            ShapeError: an array or a tensor is no image.
        """
        return describe_pictures(self.method, images, self.cues, batch_size=batch_size, device=self.device)


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


def describe_pictures(
    method: Method[Any],
    images: Iterable[Picture] | Tensor,
    cues: ModelCues | None = None,
    *,
    batch_size: int = 64,
    device: str = "cpu",
) -> Descriptor:
    """Describes pictures that need be no files; arguments and errors as ``Embedder.describe``.

    Args:
        method: in evaluation mode, on ``device``.
        images: the pictures.
        cues: gives those that the method needs.
        batch_size: pictures at a time.
        device: where the method is.

    Raises:
        UsageError: the batch size is below 1.
        MissingCueError: the method needs a cue, and nothing gives it.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}")
    if isinstance(images, str | Path):
        raise UsageError(f"images must be several, got the path {str(images)!r}; give a list of paths")
    pieces: list[Descriptor] = []
    waiting: list[tuple[Tensor, Cues]] = []
    resize, rng = Resize(*method.preprocess.size), np.random.default_rng(0)  # resizing draws nothing

    def flush() -> None:
        if waiting:
            batch = Cues.stack([one for _, one in waiting]).to(device)
            tensors = torch.stack([image for image, _ in waiting]).to(device)
            pieces.append(method.describe(tensors, batch).to("cpu"))
            waiting.clear()

    for image in as_arrays(images) if isinstance(images, Tensor) else images:
        picture = _picture(image)
        source = InHand(cues, picture) if cues is not None else None
        cropping = method.cropping(source, "describe")
        if cropping is not None:
            picture, found, _ = cropping(_NOBODY, picture)
        else:
            found = source(_NOBODY, (picture.height, picture.width)) if source is not None else Cues()
        waiting.append(resize(picture, found, rng))
        if len(waiting) == batch_size:
            flush()
    flush()
    if not pieces:
        raise DataError("there are no images to describe")
    return Descriptor.cat(pieces).check()


def _picture(image: Picture) -> Image.Image:
    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, Image.Image):
        if image.format:  # as it comes from a file; what was made of one (a crop) is as its maker wants it
            try:
                image = ImageOps.exif_transpose(image)
            except Exception as error:  # it is decoded only now; see ``open_image``
                raise DataError(f"a {image.format} image that Pillow opened cannot be decoded: {error}") from error
        return to_rgb(image, "a Pillow image")
    return Image.fromarray(as_arrays([image])[0])
