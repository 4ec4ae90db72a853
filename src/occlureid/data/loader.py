"""From samples to batches: decoding, cues and augmentation in worker processes, and a tally of what was unreadable."""

from __future__ import annotations

import logging
import signal
import weakref
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from occlureid.data.guided import GuidedCues
from occlureid.data.images import read_image
from occlureid.data.samplers import Draw, EpochBatches
from occlureid.data.transforms import Resize, Transform, to_tensor
from occlureid.errors import DataError, SettingsError, ShapeError
from occlureid.types import Cues, Sample

__all__ = [
    "Batch",
    "BatchLoader",
    "Collate",
    "Cropper",
    "CueSource",
    "Item",
    "ReidImages",
    "Skipped",
    "Tally",
    "make_loader",
]

CueSource = Callable[[Sample, tuple[int, int]], Cues]
"""Gives the cues of an image of the stated (height, width), in its pixels. Raises DataError where they are damaged."""

Cropper = Callable[[Sample, Image.Image], tuple[Image.Image, Cues, bool]]
"""Crops an image: gives what is left of it, the cues in its pixels, and whether anything could be cropped. Takes the place of a
source of cues. Raises DataError where the cues are damaged."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, slots=True)
class Item:
    """One image, ready: (3, H, W) in [0, 1], its cues, its training label (-1 without labels) and its index.

    ``cropped`` is False only where a crop was wanted and nothing of the image was to be kept: then it is whole.
    """

    image: Tensor
    cues: Cues
    label: int
    index: int
    cropped: bool = True


@dataclass(frozen=True, slots=True)
class Skipped:
    """An image that could not be read: its index, its path, and why."""

    index: int
    path: Path
    reason: str


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """B images and what belongs to them. B may be 0 where nothing could be read: then ``cues`` is empty too.

    Attributes:
        images: (B, 3, H, W) float in [0, 1].
        cues: of the B images.
        labels: (B,) long; -1 without labels.
        indices: (B,) long, into the samples.
        skipped: the images of this batch that could not be read; they have no row.
        uncropped: how many images were to be cropped, and stayed whole.
    """

    images: Tensor
    cues: Cues
    labels: Tensor
    indices: Tensor
    skipped: tuple[Skipped, ...] = ()
    uncropped: int = 0

    def __len__(self) -> int:
        return self.images.shape[0]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device; the indices stay."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=True),
            cues=self.cues.to(device),
            labels=self.labels.to(device, non_blocking=True),
        )


class ReidImages(Dataset[Item | Skipped]):
    """The samples as tensors of one size.

    What is random about an image depends on (seed, epoch, position) of its Draw alone: not on the worker, the number of
    processes, or where a run was resumed.

    Args:
        samples: what to load.
        size: (height, width) to resize to.
        labels: the training label of each person, from ``label_map``; None for describing.
        augment: transforms after the resize; None for describing.
        cues: where the cues come from; None for none.
        crop: crops images and gives their cues, in the place of ``cues``; None leaves them whole.
        seed: in [0, 2**63).

    Attributes:
        guided: part labels of the samples, whose maps take the place of those that cues or crop give; None for none.

    Raises:
        DataError: a sample's person has no label.
        SettingsError: a size or seed out of range.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        size: tuple[int, int],
        labels: Mapping[str, int] | None = None,
        augment: Transform | None = None,
        cues: CueSource | None = None,
        crop: Cropper | None = None,
        seed: int = 0,
    ) -> None:
        if not 0 <= seed < 2**63:
            raise SettingsError(f"seed must lie in [0, 2**63), got {seed}")
        lost = [s for s in samples if labels is not None and s.person not in labels]
        if lost:
            raise DataError(
                f"{lost[0].path}: person {lost[0].person!r} has no training label ({len(lost)} such images)"
            )
        self.samples = tuple(samples)
        self.size = size
        self.labels = labels
        self.resize = Resize(*size)
        self.augment = augment
        self.cues = cues
        self.crop = crop
        self.seed = seed
        self.guided: GuidedCues | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def load(self, draw: Draw) -> Item:
        """One image.

        Raises:
            DataError: the image or its cues are damaged; the file is named.
            MissingCueError: a cue is not there at all.
        """
        sample = self.samples[draw.index]
        rng = np.random.default_rng([self.seed, draw.epoch, draw.position])
        picture = read_image(sample.path)
        try:
            cropped = True
            if self.crop is not None:
                picture, cues, cropped = self.crop(sample, picture)
            else:
                cues = self.cues(sample, (picture.height, picture.width)) if self.cues is not None else Cues()
            image, cues = self.resize(picture, cues, rng)
            if self.guided is not None:
                cues = self.guided.over(cues, draw.index, self.size)
        except ShapeError as error:
            raise DataError(f"{sample.path}: the cues do not fit the image: {error}") from error
        if self.augment is not None:
            image, cues = self.augment(image, cues, rng)
        label = -1 if self.labels is None else self.labels[sample.person]
        return Item(to_tensor(image), cues, label, draw.index, cropped)

    def __getitem__(self, draw: Draw) -> Item | Skipped:
        """As ``load``, but what is damaged comes back as Skipped: the loader decides what that means."""
        try:
            return self.load(draw)
        except DataError as error:
            return Skipped(draw.index, self.samples[draw.index].path, str(error))


@dataclass(frozen=True, slots=True)
class Collate:
    """Items to a Batch; ``size`` is that of an empty one."""

    size: tuple[int, int]

    def __call__(self, items: Sequence[Item | Skipped]) -> Batch:
        """See Batch.

        Raises:
            ShapeError: the images differ in size or in the cues they have.
        """
        skipped = tuple(item for item in items if isinstance(item, Skipped))
        loaded = [item for item in items if isinstance(item, Item)]
        if not loaded:
            none = torch.empty(0, dtype=torch.long)
            return Batch(torch.empty(0, 3, *self.size), Cues(), none, none.clone(), skipped)
        return Batch(
            torch.stack([item.image for item in loaded]),
            Cues.stack([item.cues for item in loaded]),
            torch.tensor([item.label for item in loaded]),
            torch.tensor([item.index for item in loaded]),
            skipped,
            sum(not item.cropped for item in loaded),
        )


@dataclass(slots=True)
class Tally:
    """What went through the loaders of a run, counted in the main process.

    Attributes:
        images: how many were loaded.
        uncropped: how many of them were to be cropped, and stayed whole because nothing of them was to be kept.
        skipped: how often each unreadable file was met.
        reasons: why it could not be read.
        failed: the same by the index of the image, where an image may come several times with different boxes.
    """

    images: int = 0
    skipped: Counter[Path] = field(default_factory=Counter)
    reasons: dict[Path, str] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    uncropped: int = 0

    def add(self, batch: Batch) -> None:
        """Counts a batch."""
        self.images += len(batch)
        self.uncropped += batch.uncropped
        self.skipped.update(item.path for item in batch.skipped)
        self.reasons.update((item.path, item.reason) for item in batch.skipped)
        self.failed.update((item.index, item.reason) for item in batch.skipped)

    def summary(self) -> str:
        """One line: "128 images loaded, none skipped", or with the number and the first of the unreadable files."""
        if not self.skipped:
            return f"{self.images} images loaded, none skipped"
        first = min(self.skipped)
        return (
            f"{self.images} images loaded, {self.skipped.total()} skipped of {len(self.skipped)} unreadable files, "
            f"first: {self.reasons[first]}"
        )


def _leave_signals_to_the_main_process(worker: int) -> None:
    """Ctrl-C and a scheduler's SIGTERM reach every process of a group; the main one decides when workers end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class BatchLoader:
    """Iterates over the batches of an epoch; made by ``make_loader``.

    Workers live on from epoch to epoch. They are stopped by ``close``, by leaving an epoch early, or with the loader.
    """

    def __init__(
        self,
        images: ReidImages,
        batches: EpochBatches,
        workers: int,
        on_corrupt: Literal["fatal", "skip"],
        tally: Tally,
    ) -> None:
        self._images = images
        self._batches = batches
        self._workers = workers
        self._on_corrupt = on_corrupt
        self._loader: DataLoader[Any] | None = None
        self._running: weakref.ref[Generator[Batch, None, None]] | None = None
        self.tally = tally

    def set_epoch(self, epoch: int, start_step: int = 0) -> None:
        """Chooses the epoch, and the first batch of it (to resume in the middle)."""
        self._batches.set_epoch(epoch, start_step)

    def guide(self, guided: GuidedCues | None) -> None:
        """Gives the images other part labels, from the next epoch on.

        Workers are stopped: those that the next epoch starts have the labels. Shared memory would spare their start, a few
        hundredths of a second each, but labels could then not change their shape, and a container's small share of such
        memory, which the batches need, would end a run without a message.
        """
        self.close()
        self._images.guided = guided

    def close(self) -> None:
        """Stops the workers; iterating again starts new ones.

        Must be called where an exception leaves a loop over the batches. Its traceback keeps the loop's place, and with it the
        workers, which leave signals to the main process: at its end Python would wait for them for ever.
        """
        running = self._running() if self._running is not None else None
        if running is not None:
            running.close()
        self._loader = None

    def _open(self) -> DataLoader[Any]:
        return DataLoader(
            self._images,  # the batches yield Draws, not plain indices
            batch_sampler=self._batches,
            collate_fn=Collate(self._images.size),
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
            worker_init_fn=_leave_signals_to_the_main_process,
            generator=torch.Generator().manual_seed(self._images.seed),
        )

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        """The batches.

        Raises:
            DataError: a file could not be read, and that is fatal.
        """
        batches = self._batches_of_an_epoch()
        self._running = weakref.ref(batches)  # who leaves a loop early and forgets it stops the workers
        return batches

    def _batches_of_an_epoch(self) -> Generator[Batch, None, None]:
        if self._loader is None:
            self._loader = self._open()
        loaded, finished = iter(self._loader), False
        try:
            for batch in loaded:
                self._account(batch)
                yield batch
            finished = True
        finally:
            # An exception's traceback would keep this frame, and with it the workers, alive until Python's collector finds
            # them in any order, and torch then waits five seconds for each.
            del loaded
            if not finished:
                self._loader = None

    def _account(self, batch: Batch) -> None:
        self.tally.add(batch)
        for item in batch.skipped:
            if self._on_corrupt == "fatal":
                raise DataError(f'{item.reason}; repair or remove the file, or set on_corrupt to "skip"')
            _logger.warning("skipped: %s", item.reason)


def make_loader(
    images: ReidImages,
    batches: EpochBatches,
    *,
    workers: int = 0,
    on_corrupt: Literal["fatal", "skip"] = "fatal",
    tally: Tally | None = None,
) -> BatchLoader:
    """A loader of images in the order of ``batches``; it draws nothing from torch's global generator.

    Args:
        images: what to load.
        batches: which images make up each batch.
        workers: processes that load; 0 loads in this one. The batches are the same.
        on_corrupt: "fatal" ends at the first unreadable file with a DataError that names it; "skip" leaves it out of
            its batch, logs it and counts it. A batch may then have no rows.
        tally: counts what is loaded and skipped; share one among loaders to count a whole run.

    Raises:
        SettingsError: a value out of range.
    """
    if on_corrupt not in ("fatal", "skip"):
        raise SettingsError(f'on_corrupt must be "fatal" or "skip", got {on_corrupt!r}')
    if workers < 0:
        raise SettingsError(f"workers must not be negative, got {workers}")
    if batches.images != len(images):
        raise SettingsError(f"the batches are of {batches.images} images, the images are {len(images)}")
    return BatchLoader(images, batches, workers, on_corrupt, tally if tally is not None else Tally())
