"""From pictures to descriptors, several requests' pictures at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from occlureid import methods
from occlureid.data import Resize
from occlureid.errors import MissingCueError
from occlureid.gallery.bodyparts import BodyParts
from occlureid.service.batches import Batcher
from occlureid.service.settings import ServiceSettings
from occlureid.types import Cues, Descriptor

__all__ = ["Describer", "DescriptorShape"]

_TOGETHER = 16
"""Images of one request that wait as one: others come between."""


@dataclass(frozen=True, slots=True)
class DescriptorShape:
    """The sizes of a method's descriptors, as a gallery needs them: D, K, C, and S where the rule compares local vectors."""

    global_size: int
    parts: int
    part_size: int
    local_size: int | None


class Describer:
    """Describes pictures with one method.

    Args:
        method: in evaluation mode; needs no cue to describe, and no crop.
        settings: how many pictures are described together.
        device: where it runs.

    Attributes:
        method: the method.
        fingerprint: of its weights.
        shape: of its descriptors.
        described: how many pictures it has described.

    Raises:
        MissingCueError: the method needs cues, which a picture of a stranger does not come with.
    """

    def __init__(self, method: methods.Method[Any], settings: ServiceSettings, device: str = "cpu") -> None:
        _check_cues(method)
        self.method = method.to(device).eval()
        self.fingerprint = method.fingerprint()
        self.described = 0
        self._device = device
        self._resize = Resize(*method.preprocess.size)
        self._batcher: Batcher[Tensor, Descriptor] = Batcher(
            "description", self._work, weight=len, most=settings.batch_images, wait=settings.batch_seconds,
            queue=settings.queue, patience=settings.answer_seconds,
        )  # fmt: skip
        sample = self._describe(torch.full((1, 3, *method.preprocess.size), 0.5))
        keeps_maps = method.rule.spatial_weight > 0 and sample.spatial is not None
        self.shape = DescriptorShape(
            sample.global_.shape[1],
            sample.parts.shape[1],
            sample.parts.shape[2],
            sample.spatial.shape[2] if keeps_maps and sample.spatial is not None else None,
        )

    @classmethod
    def restore(cls, weights: Path, settings: ServiceSettings, device: str = "cpu") -> Describer:
        """From a file of weights.

        Raises:
            MissingWeightsError: there is no such file.
            DataError: it is damaged.
            MissingCueError: its method needs cues.
        """
        return cls(methods.restore(weights), settings, device)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that pictures are resized to."""
        return self.method.preprocess.size

    @property
    def parts(self) -> BodyParts:
        """Names of the parts, and their places, where those are fixed."""
        return BodyParts.of(self.method.part_names(), self.method.regions, self.shape.parts)

    @property
    def waiting(self) -> int:
        """How many groups of pictures wait."""
        return self._batcher.waiting

    def start(self) -> None:
        """Begins to work."""
        self._batcher.start()

    def close(self) -> None:
        """Describes what waits, and ends."""
        self._batcher.close()

    def describe(self, pictures: Sequence[Image.Image]) -> Descriptor:
        """What the method says of N > 0 RGB crops.

        Raises:
            BusyError: too many others wait.
        """
        pieces = []
        for start in range(0, len(pictures), _TOGETHER):
            some = torch.stack([self._tensor(picture) for picture in pictures[start : start + _TOGETHER]])
            pieces.append(self._batcher.ask(some))
        return Descriptor.cat(pieces)

    def _tensor(self, picture: Image.Image) -> Tensor:
        return self._resize(picture, Cues(), np.random.default_rng(0))[0]  # the resize draws nothing

    def _work(self, groups: Sequence[Tensor]) -> list[Descriptor]:
        found = self._describe(torch.cat(list(groups)))
        self.described += len(found)
        ends = np.cumsum([len(group) for group in groups]).tolist()
        return [found[end - len(group) : end] for group, end in zip(groups, ends, strict=True)]

    def _describe(self, images: Tensor) -> Descriptor:
        return self.method.describe(images.to(self._device)).to("cpu", torch.float32).check()


def _check_cues(method: methods.Method[Any]) -> None:
    if method.crop is not None:
        raise MissingCueError(
            f"these weights of {method.name()!r} crop every image by its part maps, and an uploaded image comes with none; "
            "train without a crop to serve them"
        )
    if needed := sorted(method.needs.describe):
        others = [name for name in methods.available() if not methods.load(name).needs.describe]
        raise MissingCueError(
            f"method {method.name()!r} needs the cue {', '.join(map(repr, needed))} to describe, and an uploaded image comes "
            f"with none; serve the weights of one that needs none: {', '.join(others)}"
        )
