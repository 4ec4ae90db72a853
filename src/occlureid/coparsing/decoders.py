"""HCNet's decoders (section III-B): one for each person, trained by its own losses, many persons as one batch.

The persons of a batch share every product, and nothing else: kernels, statistics, losses and the end of the training are each
person's own. A person's tensors have a size that follows from the number of its images alone (``room``), so that what comes out
for it does not depend on who else is in the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from occlureid.arithmetic import resolve
from occlureid.coparsing.layers import TILE, convolve, from_rows, normalise, product, to_rows, to_tiles
from occlureid.coparsing.losses import person_losses
from occlureid.coparsing.persons import PersonImages
from occlureid.coparsing.settings import CoparseSettings
from occlureid.errors import ShapeError

__all__ = ["Decoded", "decoder_bytes", "image_order", "initial_kernels", "room", "train_decoders"]


_IMAGES = 8
"""Images whose features are transformed at a time."""

_LARGEST = 2**25
"""Bytes of the largest tensor between two layers on a CPU: larger ones the allocator takes from the system and gives back each
time, and to touch them anew takes longer than to compute them."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a person's decoder ended with.

    Attributes:
        clusters: (n, h, w) uint8, on the CPU, images in the order given.
        steps: forward passes; the labels are those of the last.
        left: how many different labels there are.
    """

    clusters: Tensor
    steps: int
    left: int


def room(images: int) -> int:
    """For how many images a decoder has room that is to train on some: a little more than these, in steps of at most an eighth.

    Persons with equal room are put in one batch.
    """
    step: int = 2 ** max(0, math.floor(math.log2(images)) - 3)
    return -(-images // step) * step


def image_order(person: PersonImages, pairs: str) -> tuple[list[int], list[bool]]:
    """The order in which a person's images are compared, and which of them are compared with the next.

    Args:
        person: its cameras and frames; images of one camera and frame, and those without a frame, keep their order.
        pairs: "camera" to sort by camera and frame and compare within a camera, "list" for the order given, all neighbours.

    Returns:
        (n) indices, and (n - 1) flags.
    """
    if pairs == "list":
        return list(range(len(person))), [True] * (len(person) - 1)
    keys = [(c, f is not None, f or 0) for c, f in zip(person.cameras, person.frames, strict=True)]
    order = sorted(range(len(person)), key=lambda index: keys[index])
    return order, [person.cameras[a] == person.cameras[b] for a, b in pairwise(order)]


def initial_kernels(channels: int, settings: CoparseSettings, seed: int, person: int) -> list[Tensor]:
    """The four kernels that a person's decoder starts with; they follow from settings, seed and person alone.

    Returns:
        (9, q, width), (width, narrow), (9, narrow, width), (width, kernels) float32; of the first and third block the nine
        places row by row.
    """
    state = int(np.random.SeedSequence((seed, person)).generate_state(1, np.uint64)[0] >> np.uint64(1))
    random = torch.Generator().manual_seed(state)
    shapes = [
        (9, channels, settings.width),
        (settings.width, settings.narrow),
        (9, settings.narrow, settings.width),
        (settings.width, settings.kernels),
    ]
    gain = 6.0 if settings.initial == "kaiming" else 1.0
    drawn = []
    for shape in shapes:
        bound = math.sqrt(gain / math.prod(shape[:-1]))
        drawn.append((torch.rand(shape, generator=random) * 2 - 1) * bound)
    return drawn


def decoder_bytes(
    persons: int,
    images: int,
    shape: tuple[int, int, int],
    settings: CoparseSettings,
    device: str | torch.device = "cpu",
) -> int:
    """About how many bytes the training of some decoders takes, beside the features themselves.

    Args:
        persons: how many decoders.
        images: of each person.
        shape: q, h, w of the features.
        settings: of the decoders.
        device: where they are trained.
    """
    channels, height, width = shape
    pixels = room(images) * _whole(height) * _whole(width)
    tiles = pixels * channels * 36 // 16 * (2 if settings.precision == "bfloat16" else 4)
    weights = 4 * 40 * (channels + settings.narrow) * settings.width
    layers = 4 * pixels * (14 * settings.width + 10 * settings.narrow + 8 * settings.kernels)
    together = min(persons, _together(pixels, settings, torch.device(device)) or persons)
    filling = 4 * pixels * channels + 4 * min(_IMAGES, room(images)) * _whole(height) * _whole(width) * channels * 10
    return persons * (tiles + weights) + max(together * layers, filling)


def _together(pixels: int, settings: CoparseSettings, device: torch.device) -> int:
    """How many persons of so many pixels go through the layers at once; 0 for all."""
    return 0 if device.type != "cpu" else max(1, _LARGEST // (pixels * settings.width * 9))


def _whole(side: int) -> int:
    return -(-side // TILE) * TILE


class _Batch:
    """The decoders of some persons and what they see; those still in training stand first.

    Args:
        persons: with features of one shape (q, h, w), and equal room.
        settings: of the decoders.
        seed: of the run.
        device: where they are trained.
    """

    def __init__(
        self, persons: Sequence[PersonImages], settings: CoparseSettings, seed: int, device: torch.device
    ) -> None:
        self.settings = settings
        self.precision = getattr(torch, resolve(settings.precision, device))
        self.numbers = list(range(len(persons)))
        _, channels, self.height, self.width = persons[0].features.shape
        self.size = (room(len(persons[0])), _whole(self.height), _whole(self.width))
        tiles = math.prod(self.size) // TILE**2
        self.together = _together(math.prod(self.size), settings, device) or len(persons)
        self.tiles = torch.empty(len(persons), 36, tiles, channels, dtype=self.precision, device=device)
        real = torch.zeros(len(persons), *self.size, 1, device=device)
        self.images = torch.zeros(len(persons), self.size[0], device=device)
        self.pairs = torch.zeros(len(persons), self.size[0] - 1, device=device)
        for number, person in enumerate(persons):
            order, compared = image_order(person, settings.pairs)
            features = person.features.detach()[order].to(device)
            if not bool(torch.isfinite(features).all()):
                raise ShapeError(f"features of person {person.person} must be finite")
            self._fill(self.tiles[number : number + 1], features)
            real[number, : len(person), : self.height, : self.width] = 1
            self.images[number, : len(person)] = 1
            self.pairs[number, : len(person) - 1] = torch.tensor(compared, dtype=torch.float32)
        self.real = to_rows(real)
        self.padded = not bool(self.real.all())
        self.count = self.real.sum(1, keepdim=True)
        kernels = [initial_kernels(channels, settings, seed, person.person) for person in persons]
        self.weights = [torch.stack(each).to(device) for each in zip(*kernels, strict=True)]
        for kernel in self.weights[:4]:
            self.weights += [torch.ones(len(persons), kernel.shape[-1], device=device)]
            self.weights += [torch.zeros(len(persons), kernel.shape[-1], device=device)]
        self.velocities = [torch.zeros_like(weight) for weight in self.weights]

    def _fill(self, tiles: Tensor, features: Tensor) -> None:
        """Writes what the first block needs of a person's (n, q, h, w) features, some images at a time."""
        each = tiles.shape[2] // self.size[0]
        maps = torch.zeros(1, self.size[0], *self.size[1:], features.shape[1], device=tiles.device)
        maps[0, : len(features), : self.height, : self.width] = features.permute(0, 2, 3, 1)
        for start in range(0, self.size[0], _IMAGES):
            some = to_tiles(maps[:, start : start + _IMAGES], self.precision)
            tiles[:, :, start * each : start * each + some.shape[2]] = some

    def _scores(self, weights: Sequence[Tensor], where: slice) -> Tensor:
        """What some decoders say, given their weights: (P, room, h, w, C')."""
        real = self.real[where] if self.padded else None
        kernels, affine = weights[:4], weights[4:]

        def block(rows: Tensor, number: int) -> Tensor:
            scale, shift = affine[2 * number : 2 * number + 2]
            return normalise(rows, scale, shift, real, self.count[where], rectify=number < 3)

        rows = block(convolve(self.tiles[where], kernels[0]), 0)
        rows = block(product(rows, kernels[1], self.precision), 1)
        tiles = to_tiles(from_rows(rows, self.size), self.precision)
        rows = block(convolve(tiles, kernels[2]), 2)
        rows = block(product(rows, kernels[3], self.precision), 3)
        return from_rows(rows, self.size)[:, :, : self.height, : self.width]

    def step(self, last: bool) -> dict[int, tuple[Tensor, int]]:
        """One step of all that are in training; those that are done leave the batch.

        Args:
            last: whether there is no further step: then nothing is learnt from it.

        Returns:
            (n, h, w) uint8 labels, and how many different ones there are, of those that are done, by their number.
        """
        ended: dict[int, tuple[Tensor, int]] = {}
        places: list[int] = []
        for start in range(0, len(self.numbers), self.together):
            where = slice(start, min(start + self.together, len(self.numbers)))
            for place, labels, left in self._step(where, last):
                ended[self.numbers[place]] = labels, left
                places.append(place)
        for place in reversed(places):
            self._leave(place)
        return ended

    def _step(self, where: slice, last: bool) -> list[tuple[int, Tensor, int]]:
        """One step of some: place, labels, and number of labels of those that are done."""
        settings = self.settings
        leaves = [weight[where].detach().requires_grad_(not last) for weight in self.weights]
        scores = self._scores(leaves, where)
        labels = scores.detach().argmax(-1)
        left = self._count(labels, self.images[where])
        few = settings.min_labels if settings.stop == "at_most" else settings.min_labels - 1
        done = [number for number, count in enumerate(left) if last or count <= few]
        if len(done) < len(left):
            losses = person_losses(scores, labels, self.images[where], self.pairs[where], settings)
            torch.autograd.backward(losses.sum())
            self._learn(leaves, where)
        return [(where.start + number, labels[number].to("cpu", torch.uint8), left[number]) for number in done]

    def _count(self, labels: Tensor, images: Tensor) -> list[int]:
        """How many labels each person's images have."""
        kernels = self.settings.kernels
        seen = torch.where(images[:, :, None, None] > 0, labels, kernels).flatten(1)
        present = torch.zeros(len(labels), kernels + 1, dtype=torch.bool, device=labels.device)
        left: list[int] = present.scatter_(1, seen, True)[:, :kernels].sum(1).tolist()
        return left

    @torch.no_grad()
    def _learn(self, leaves: Sequence[Tensor], where: slice) -> None:
        """SGD with momentum."""
        for weight, velocity, leaf in zip(self.weights, self.velocities, leaves, strict=True):
            moved = velocity[where].mul_(self.settings.momentum)
            if leaf.grad is not None:
                moved += leaf.grad
            weight[where].sub_(moved, alpha=self.settings.lr)

    def _leave(self, place: int) -> None:
        """A person leaves: the last one takes the place, so that little is moved."""
        last = len(self.numbers) - 1
        if place != last:
            for tensor in (self.tiles, self.real, self.images, self.pairs, self.count, *self.weights, *self.velocities):
                tensor[place] = tensor[last]
            self.numbers[place] = self.numbers[last]
        self.numbers.pop()


def train_decoders(
    persons: Sequence[PersonImages], settings: CoparseSettings, *, seed: int, device: str | torch.device = "cpu"
) -> list[Decoded]:
    """Trains a decoder for each of some persons (Algorithm 1, steps 2 to 8), all at once.

    In each step the scores of all pixels, their labels and the losses are computed, and the decoders learn. A decoder whose
    images have few enough labels is done; the labels are those of that step, or of the last. The features are not changed.

    Args:
        persons: with features of one shape (q, h, w) and equal ``room``.
        settings: of the decoders.
        seed: with a person's label it fixes where the person's decoder starts.
        device: where they are trained.

    Returns:
        One result a person.

    Raises:
        ShapeError: there are no persons, they do not fit into one batch, or a feature is not finite.
    """
    kinds = {(room(len(person)), *person.features.shape[1:]) for person in persons}
    if len(kinds) != 1:
        raise ShapeError(
            f"one batch takes persons with features of one shape and equal room for their images, got {sorted(kinds)}"
        )
    batch = _Batch(persons, settings, seed, torch.device(device))
    found: dict[int, Decoded] = {}
    for step in range(1, settings.steps + 1):
        for number, (labels, left) in batch.step(last=step == settings.steps).items():
            order = image_order(persons[number], settings.pairs)[0]
            clusters = torch.empty(len(order), *labels.shape[1:], dtype=torch.uint8)
            clusters[order] = labels[: len(order)]
            found[number] = Decoded(clusters, step, left)
        if len(found) == len(persons):
            break
    return [found[number] for number in range(len(persons))]
