"""What a method sees of the run that trains it, when it makes part labels or measures something at the end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from occlureid.data.loader import CueSource, Item, ReidImages, Skipped
from occlureid.data.samplers import Draw
from occlureid.errors import DataError, ShapeError
from occlureid.guidance import Guidance
from occlureid.methods import Method
from occlureid.training.settings import TrainSettings
from occlureid.types import Sample

__all__ = ["RunView"]

_log = logging.getLogger(__name__)


class RunView:
    """A ``TrainingView``: the training images of a run, and where it stands.

    Attributes: those of ``TrainingView``; the run sets ``epoch`` and ``previous`` before it hands the view to the method.

    Args:
        fabric: launched.
        method: says how large images are and how they are cropped.
        samples: the images that are trained on.
        labels: person to label.
        settings: the seed, how many load images, and what a corrupt image does.
        cues: a crop takes its part maps from there.
    """

    def __init__(
        self,
        fabric: Fabric,
        method: Method[Any],
        samples: Sequence[Sample],
        labels: dict[str, int],
        settings: TrainSettings,
        cues: CueSource | None,
    ) -> None:
        self._fabric, self._settings = fabric, settings
        crop = method.cropping(cues, "describe")
        self._images = ReidImages(samples, size=method.preprocess.size, crop=crop)
        # a source of part maps, which a crop asks, may be a network: it is asked by one thread
        self._threads = max(1, settings.workers) if crop is None else 1
        self.samples: Sequence[Sample] = self._images.samples
        self.labels = torch.tensor([labels[sample.person] for sample in samples])
        self.epoch = 0
        self.previous: Guidance | None = None

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self._settings.seed

    @property
    def rank(self) -> int:
        """This process, from 0."""
        return self._fabric.global_rank

    @property
    def world(self) -> int:
        """The number of processes."""
        return self._fabric.world_size

    @property
    def device(self) -> torch.device:
        """Where the method is."""
        return self._fabric.device

    def images(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Some images as ``describe`` gets them: cropped and resized, without augmentation.

        They are read by as many threads as the settings have workers; the result does not depend on them.

        Args:
            indices: of the images, in [0, N), in any order.

        Returns:
            (B, 3, H, W) RGB in [0, 1] and (B,) bool, both on the device. An image that cannot be read is black, and False,
            where ``on_corrupt`` is "skip".

        Raises:
            DataError: an image cannot be read, and that is fatal; or it is cropped, and its cues are damaged.
            ShapeError: there is no such image.
        """
        if any(not 0 <= index < len(self.samples) for index in indices):
            raise ShapeError(f"indices must lie in [0, {len(self.samples)}), got {list(indices)[:20]}")
        draws = [Draw(int(index), 0, 0) for index in indices]
        if self._threads > 1 and len(draws) > 1:
            with ThreadPoolExecutor(self._threads) as threads:
                loaded = list(threads.map(self._images.__getitem__, draws))
        else:
            loaded = [self._images[draw] for draw in draws]
        images = torch.zeros(len(loaded), 3, *self._images.size)
        for row, item in enumerate(loaded):
            if isinstance(item, Item):
                images[row] = item.image
            else:
                self._account(item)
        read = torch.tensor([isinstance(item, Item) for item in loaded], dtype=torch.bool)
        return images.to(self.device), read.to(self.device)

    def _account(self, item: Skipped) -> None:
        if self._settings.on_corrupt == "fatal":
            raise DataError(f'{item.reason}; repair or remove the file, or set on_corrupt to "skip"')
        _log.warning("skipped: %s", item.reason)

    def merge(self, labels: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Joins what the processes made: of each image the row of the process that knows it, the first if several do.

        All processes call it alike, also those that have nothing to say.

        Args:
            labels: (N, h, w) uint8, on any device; of the same size in all processes.
            known: (N,) bool.

        Returns:
            Both, the same in all processes, on the CPU. Rows that nobody knows are 0.

        Raises:
            ShapeError: they are not of these shapes and types, or differ in size between processes.
        """
        count = len(self.samples)
        if labels.ndim != 3 or len(labels) != count or labels.dtype != torch.uint8:
            raise ShapeError(
                f"labels must be uint8 of shape (N, h, w) with N={count}, got {labels.dtype} {tuple(labels.shape)}"
            )
        if tuple(known.shape) != (count,) or known.dtype != torch.bool:
            raise ShapeError(f"known must be bool of shape (N,) with N={count}, got {known.dtype} {tuple(known.shape)}")
        labels, known = labels.to(self.device), known.to(self.device)
        if self.world > 1:
            sizes = torch.zeros(self.world, 2, dtype=torch.long, device=self.device)
            sizes[self.rank] = torch.tensor(labels.shape[1:])
            sizes = self._sum(sizes)
            if bool((sizes != sizes[0]).any()):
                raise ShapeError(f"labels must have one size in all processes, got {sizes.tolist()}")
            table = torch.zeros(self.world, count, dtype=torch.uint8, device=self.device)
            table[self.rank] = known
            table = self._sum(table)
            known = known & (table.argmax(0) == self.rank)  # the first of those that know it speaks
            labels = self._sum(labels * known[:, None, None])
            known = table.bool().any(0)
        return (labels * known[:, None, None]).cpu(), known.cpu()

    def _sum(self, values: Tensor) -> Tensor:
        return torch.as_tensor(self._fabric.all_reduce(values, reduce_op="sum"))
