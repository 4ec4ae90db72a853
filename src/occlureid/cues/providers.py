"""What computes cues from images alone, and the same as a source of cues, through a cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from occlureid.cues.cache import CueCache, image_key
from occlureid.cues.groupings import grouping_table
from occlureid.cues.partmaps import group_probabilities
from occlureid.data.images import check_pixels, read_image
from occlureid.errors import ShapeError, UsageError
from occlureid.types import CueName, Cues, Sample

__all__ = [
    "ImageArray",
    "Provider",
    "ProviderSource",
    "as_arrays",
    "cached_cues",
    "check_several",
    "fingerprint_of",
    "kind_of_value",
    "weights_checksum",
]

ImageArray = np.ndarray[Any, np.dtype[np.uint8]]


@runtime_checkable
class Provider(Protocol):
    """Computes cues from single-person crops.

    Attributes:
        name: short, such as "vitpose".
        cues: which cues it gives.
        labels: the label set of its part maps (a name of ``LABEL_SETS``, all its parts), or None for landmarks.
        record: all that its result depends on, as JSON values: name, model, weights' checksum, settings.
        fingerprint: the name and a hash of the record, such as "vitpose@0123abcd4567".
    """

    name: str
    cues: frozenset[CueName]
    labels: str | None
    record: dict[str, Any]
    fingerprint: str

    def __call__(self, images: Sequence[ImageArray] | Tensor) -> list[Cues]:
        """The cues of each image, in its pixels; the same whatever other images are in the batch.

        Args:
            images: (H, W, 3) uint8 RGB arrays of any sizes, or (B, 3, H, W) uint8 or float in [0, 1].

        Raises:
            UsageError, ShapeError: as ``as_arrays``.
        """
        ...


def fingerprint_of(record: dict[str, Any]) -> str:
    """The name in a provider's record, and a hash of the whole."""
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    return f"{record['name']}@{digest[:12]}"


def weights_checksum(model: nn.Module) -> str:
    """sha256 over the names, types, shapes and values of a model's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        stored = value.detach().cpu().contiguous()
        digest.update(f"{name} {stored.dtype} {tuple(stored.shape)}".encode())
        digest.update(stored.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def as_arrays(images: Sequence[ImageArray] | Tensor) -> list[ImageArray]:
    """Images as (H, W, 3) uint8 arrays.

    Args:
        images: several; in RGB, which the order of channels cannot show: OpenCV's are BGR.

    Raises:
        UsageError: they are not several, or one is neither an array nor a tensor.
        ShapeError: they are neither (H, W, 3) uint8 arrays nor (B, 3, H, W) of uint8, or of floats in [0, 1].
    """
    check_several(images)
    if isinstance(images, Tensor):
        if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
            raise ShapeError(f"images must have shape (B, 3, H, W), got {tuple(images.shape)}")
        if images.is_floating_point():
            check_pixels(images)
            images = (images * 255).round().clamp(0, 255)
        elif images.dtype != torch.uint8:
            raise ShapeError(f"images must be uint8, or float in [0, 1], got {images.dtype}")
        return list(images.to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy())
    arrays = list(images)
    for index, image in enumerate(arrays):
        if not isinstance(image, np.ndarray | Tensor):
            raise UsageError(f"image {index} must be an (H, W, 3) uint8 array in RGB, got {kind_of_value(image)}")
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ShapeError(f"an image must be uint8 of shape (H, W, 3), got {image.dtype} {tuple(image.shape)}")
    return arrays


def check_several(images: Any) -> None:
    """Checks that images come as several: a list, another iterable, or a tensor or array with a dimension for them.

    Raises:
        UsageError: it is a single image, its path or its bytes, or nothing of the kind.
    """
    single = isinstance(images, str | bytes | bytearray | memoryview | Path | Image.Image)
    single |= isinstance(images, np.ndarray) and images.ndim < 4 and images.dtype.kind in "uifb"
    if isinstance(images, str | Path):
        raise UsageError(f"images must be several, got the path {str(images)!r}; give a list of paths")
    if single or not isinstance(images, Iterable):
        raise UsageError(
            f"images must be several, got {kind_of_value(images)}; give a list of paths or images, or one (B, 3, H, W) tensor"
        )


def kind_of_value(value: Any) -> str:
    """A thing of the wrong kind, in words for a message."""
    if value is None:
        return "none at all"
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes (open them with Pillow: Image.open(io.BytesIO(...)))"
    if isinstance(value, np.ndarray):
        return f"one array of shape {value.shape}"
    return "one Pillow image" if isinstance(value, Image.Image) else f"a {type(value).__name__}"


def cached_cues(provider: Provider, paths: Sequence[Path], cache: CueCache | None = None) -> list[Cues]:
    """The cues of image files, from the cache where it has them; what is computed is stored there.

    Raises:
        DataError: an image cannot be read, or the cache cannot be written.
    """
    keys = [image_key(path) for path in paths] if cache else [""] * len(paths)
    found = [cache.get(provider.fingerprint, key) if cache else None for key in keys]
    missing = [row for row, cues in enumerate(found) if cues is None]
    computed = provider([np.array(read_image(paths[row])) for row in missing]) if missing else []
    for row, cues in zip(missing, computed, strict=True):
        found[row] = cues
        if cache:
            cache.put(provider.fingerprint, keys[row], cues)
    return [cues for cues in found if cues is not None]


class ProviderSource:
    """A provider as a source of cues for training and description, one image at a time, through a cache.

    Args:
        provider: computes the cues.
        cache: keeps them; without one, every image is computed whenever it is asked for.
        grouping: the regions that part maps are given as, a name of ``GROUPINGS``, or "labels" for the parser's own.

    Raises:
        SettingsError: there is no such grouping, or the provider's labels are too coarse for it.
    """

    def __init__(self, provider: Provider, cache: CueCache | None = None, grouping: str = "sorn8") -> None:
        self.provider, self.cache, self.grouping = provider, cache, grouping
        self.cues = provider.cues
        if provider.labels is not None:
            grouping_table(provider.labels, grouping)

    def __call__(self, sample: Sample, size: tuple[int, int]) -> Cues:
        """The cues of an image of (height, width) ``size``.

        Raises:
            DataError: the image cannot be read, or the cache cannot be written.
        """
        return self._grouped(cached_cues(self.provider, [sample.path], self.cache)[0], size)

    def again(self, sample: Sample, picture: Image.Image, box: tuple[int, int, int, int]) -> Cues:
        """The cues of ``picture``, the part of a sample's image within ``box``, in its pixels.

        Raises:
            DataError: the image cannot be read, or the cache cannot be written.
        """
        fingerprint = self.provider.fingerprint
        place = f"{image_key(sample.path)} {' '.join(map(str, box))}" if self.cache else ""
        key = hashlib.sha256(place.encode()).hexdigest()
        cues = self.cache.get(fingerprint, key) if self.cache else None
        if cues is None:
            cues = self.provider([np.array(picture)])[0]
            if self.cache:
                self.cache.put(fingerprint, key, cues)
        return self._grouped(cues, (picture.height, picture.width))

    def _grouped(self, cues: Cues, size: tuple[int, int]) -> Cues:
        if cues.part_map is None or self.provider.labels is None or self.grouping == "labels":
            return cues
        background = (1 - cues.part_map.sum(0, keepdim=True)).clamp(0, 1)
        every = torch.cat([background, cues.part_map]).numpy()
        maps = group_probabilities(every, self.provider.labels, self.grouping, size)
        return replace(cues, part_map=maps, part_flip=())
