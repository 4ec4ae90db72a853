"""Which images make up each batch: a pure function of seed and epoch, the same in every process.

Every process computes the global batches, and process r of w takes rows [r B/w, (r+1) B/w) of each: neighbours stay
together (the images of one person, which a metric loss compares), the union over the processes is the global batch, and
the number of processes changes neither the batches nor an image's randomness.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from occlureid.errors import DataError, UsageError

__all__ = ["BalancedBatches", "Draw", "EpochBatches", "OrderedBatches", "ShuffledBatches"]

_ORDER_STREAM = 1  # a fourth word keeps the order's random stream apart from those of the images, which have three


@dataclass(frozen=True, slots=True)
class Draw:
    """One image of one batch.

    Attributes:
        index: of the image in its list of samples.
        epoch: from 0.
        position: its place in the epoch over all processes; (seed, epoch, position) seeds everything random about it.
    """

    index: int
    epoch: int
    position: int


class EpochBatches(Sampler[list[Draw]], ABC):
    """Base of the batch samplers: iterating yields this process's rows of each batch of the current epoch.

    Args:
        images: how many there are.
        batch_size: over all processes together.
        seed: in [0, 2**63).
        rank: of this process.
        world: the number of processes.

    Raises:
        UsageError: a number is out of its range, or the batch cannot be shared evenly.
    """

    def __init__(self, images: int, batch_size: int, *, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        if images < 1 or batch_size < 1:
            raise UsageError(
                f"batches need at least one image and one row, got {images} images, batch_size {batch_size}"
            )
        if not 0 <= rank < world:
            raise UsageError(f"rank must lie in [0, world), got rank {rank} of world {world}")
        if not 0 <= seed < 2**63:
            raise UsageError(f"seed must lie in [0, 2**63), got {seed}")
        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0
        self.start_step = 0

    def set_epoch(self, epoch: int, start_step: int = 0) -> None:
        """Chooses the epoch, from 0, and the first batch of it: earlier ones are passed over without loading an image.

        Raises:
            UsageError: a number is out of range.
        """
        if epoch < 0 or not 0 <= start_step <= self.steps:
            raise UsageError(
                f"epoch must not be negative and start_step lie in [0, {self.steps}], got {epoch}, {start_step}"
            )
        self.epoch, self.start_step = epoch, start_step

    @property
    @abstractmethod
    def steps(self) -> int:
        """The number of batches in a whole epoch, the same in every process and epoch."""

    @abstractmethod
    def batches(self, epoch: int) -> list[list[int]]:
        """The indices of every global batch of an epoch."""

    def order_generator(self, epoch: int) -> np.random.Generator:
        """The generator of an epoch's order."""
        return np.random.default_rng([self.seed, epoch, 0, _ORDER_STREAM])

    def __len__(self) -> int:
        """The batches that iterating will yield: those of an epoch, less those passed over."""
        return self.steps - self.start_step

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, start = self.epoch, self.start_step
        for step, batch in enumerate(self.batches(epoch)):
            if step >= start:
                first, end = (len(batch) * r // self.world for r in (self.rank, self.rank + 1))
                place = step * self.batch_size
                yield [Draw(index, epoch, place + row) for row, index in enumerate(batch[first:end], start=first)]


def _check_shares(what: str, number: int, world: int) -> None:
    if number % world:
        raise UsageError(
            f"{what} must be a multiple of the {world} processes, so that each weighs the same; got {number}"
        )


class OrderedBatches(EpochBatches):
    """Every image once, in order: for describing. The last batch may be smaller, and empty in some processes."""

    def __init__(self, images: int, batch_size: int, *, rank: int = 0, world: int = 1) -> None:
        super().__init__(images, batch_size, rank=rank, world=world)

    @property
    def steps(self) -> int:
        """The number of batches."""
        return -(-self.images // self.batch_size)

    def batches(self, epoch: int) -> list[list[int]]:
        """The same in every epoch."""
        starts = range(0, self.images, self.batch_size)
        return [list(range(start, min(start + self.batch_size, self.images))) for start in starts]


class ShuffledBatches(EpochBatches):
    """Every image once an epoch, shuffled.

    Args:
        images: how many there are.
        batch_size: over all processes; a multiple of ``world``.
        seed: in [0, 2**63).
        rank: of this process.
        world: the number of processes.
        drop_last: leave out an incomplete last batch (other images each epoch), as PGFA's code does. Otherwise that
            batch is shared as evenly as it goes, and may be empty in some processes.

    Raises:
        UsageError: a number is out of its range, or the batch cannot be shared evenly.
        DataError: there are fewer images than one batch, and incomplete batches are left out.
    """

    def __init__(
        self, images: int, batch_size: int, *, seed: int = 0, rank: int = 0, world: int = 1, drop_last: bool = True
    ) -> None:
        super().__init__(images, batch_size, seed=seed, rank=rank, world=world)
        _check_shares("batch_size", batch_size, world)
        if drop_last and images < batch_size:
            raise DataError(
                f"{images} images do not fill one batch of {batch_size}; take a smaller batch, or keep incomplete ones"
            )
        self.drop_last = drop_last

    @property
    def steps(self) -> int:
        """The number of batches in an epoch."""
        return self.images // self.batch_size if self.drop_last else -(-self.images // self.batch_size)

    def batches(self, epoch: int) -> list[list[int]]:
        """The shuffled images, cut into batches."""
        order = self.order_generator(epoch).permutation(self.images).tolist()
        return [order[step * self.batch_size : (step + 1) * self.batch_size] for step in range(self.steps)]


class BalancedBatches(EpochBatches):
    """P persons with K images each in a batch (PxK), person by person.

    An epoch is ``rounds`` rounds. In each round all N persons are shuffled and taken P at a time; the N mod P that
    remain are left out of that round. So a person is in at most one batch a round, and an epoch has
    rounds * floor(N / P) batches. A person gives K different images, or, with only n < K, each of them floor(K/n) or
    ceil(K/n) times.

    Args:
        persons: the person of each image.
        persons_per_batch: P, over all processes; a multiple of ``world``, so that no person is torn apart.
        images_per_person: K.
        rounds: how often a person appears in an epoch. About (images of a person) / K visits all images.
        seed: in [0, 2**63).
        rank: of this process.
        world: the number of processes.

    Raises:
        UsageError: a number is out of its range, or the persons cannot be shared evenly.
        DataError: there are fewer than P persons.
    """

    def __init__(
        self,
        persons: Sequence[str],
        persons_per_batch: int,
        images_per_person: int,
        *,
        rounds: int = 1,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if min(persons_per_batch, images_per_person, rounds) < 1:
            raise UsageError(
                "persons_per_batch, images_per_person and rounds must be positive, got "
                f"{persons_per_batch}, {images_per_person}, {rounds}"
            )
        super().__init__(len(persons), persons_per_batch * images_per_person, seed=seed, rank=rank, world=world)
        _check_shares("persons_per_batch", persons_per_batch, world)
        groups: dict[str, list[int]] = {}
        for index, person in enumerate(persons):
            groups.setdefault(person, []).append(index)
        if len(groups) < persons_per_batch:
            raise DataError(
                f"{len(groups)} persons do not fill one batch of {persons_per_batch}; take fewer persons a batch"
            )
        self.groups = [np.array(groups[person]) for person in sorted(groups)]
        self.persons_per_batch = persons_per_batch
        self.images_per_person = images_per_person
        self.rounds = rounds

    @property
    def steps(self) -> int:
        """The number of batches in an epoch."""
        return self.rounds * (len(self.groups) // self.persons_per_batch)

    def batches(self, epoch: int) -> list[list[int]]:
        """Each batch person by person: rows [i K, (i+1) K) are one person."""
        rng = self.order_generator(epoch)
        taken: list[list[int]] = []
        for _ in range(self.rounds):
            order = rng.permutation(len(self.groups))
            for start in range(0, len(order) - self.persons_per_batch + 1, self.persons_per_batch):
                chosen = order[start : start + self.persons_per_batch]
                taken.append([index for person in chosen for index in self._images(self.groups[person], rng)])
        return taken

    def _images(self, group: np.ndarray, rng: np.random.Generator) -> list[int]:
        repeats = -(-self.images_per_person // len(group))
        shuffled = np.concatenate([rng.permutation(group) for _ in range(repeats)])
        return [int(index) for index in shuffled[: self.images_per_person]]
