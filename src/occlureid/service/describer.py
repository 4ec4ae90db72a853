"""Dynamic batching of descriptions: pictures of several requests go through the network as one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from occlureid.describing import Describer, Prepared
from occlureid.gallery.bodyparts import BodyParts
from occlureid.service.batches import Batcher
from occlureid.service.settings import ServiceSettings
from occlureid.types import Descriptor

__all__ = ["BatchedDescriber"]

_TOGETHER = 16
"""Images of one request that wait as one: others come between."""


class BatchedDescriber:
    """Describer for many threads at a time; cues and resizing in the caller's thread, the network in one of its own.

    Args:
        describer: describes pictures in memory; with networks for the cues that its method needs.
        settings: how many pictures are described together.

    Attributes:
        describer: the describer.
        fingerprint: of its weights.
        shape: of its descriptors.
        described: how many pictures it has described.

    Raises:
        MissingCueError: the method needs cues, and nothing computes them from a picture.
    """

    def __init__(self, describer: Describer, settings: ServiceSettings) -> None:
        self.describer = describer
        self.fingerprint = describer.fingerprint
        self.described = 0
        height, width = describer.size
        describer.prepare(Image.new("RGB", (width, height), (128, 128, 128)))  # fails here, not at the first request
        self.shape = describer.shape
        self._batcher: Batcher[list[Prepared], Descriptor] = Batcher(
            "description", self._work, weight=len, most=settings.batch_images, wait=settings.batch_seconds,
            queue=settings.queue, patience=settings.answer_seconds,
        )  # fmt: skip

    @property
    def parts(self) -> BodyParts:
        """Names of the parts, and their places, where those are fixed."""
        return BodyParts.of(self.describer.method.part_names(), self.describer.regions, self.shape.parts)

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
        """Describes N > 0 RGB crops.

        Raises:
            BusyError: too many others wait.
        """
        pieces = []
        for start in range(0, len(pictures), _TOGETHER):
            prepared = [self.describer.prepare(picture) for picture in pictures[start : start + _TOGETHER]]
            pieces.append(self._batcher.ask(prepared))
        return Descriptor.cat(pieces)

    def _work(self, groups: Sequence[list[Prepared]]) -> list[Descriptor]:
        found = self._describe([one for group in groups for one in group])
        self.described += len(found)
        ends = np.cumsum([len(group) for group in groups]).tolist()
        return [found[end - len(group) : end] for group, end in zip(groups, ends, strict=True)]

    def _describe(self, prepared: Sequence[Prepared]) -> Descriptor:
        return self.describer.batch(prepared).to("cpu", torch.float32).check()
