"""The training images of a run as batches, chosen and augmented as the settings say."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from torch import Tensor

from occlureid.data.background import BackgroundMixing, background_pictures
from occlureid.data.guided import GuidedCues
from occlureid.data.loader import Batch, Cropper, CueSource, ReidImages, make_loader
from occlureid.data.paste import Cutout, PasteObstacle
from occlureid.data.photometric import Blur, ColourJitter, Grey, JpegArtefacts, LowResolution, Noise
from occlureid.data.random_box import RandomBox
from occlureid.data.samplers import BalancedBatches, EpochBatches, OrderedBatches, ShuffledBatches
from occlureid.data.transforms import Compose, HorizontalFlip, PadCrop, RandomErasing, Transform
from occlureid.errors import DataError, UsageError
from occlureid.guidance import Guidance
from occlureid.methods import Method
from occlureid.training.settings import TrainSettings
from occlureid.types import Cues, Sample

__all__ = ["Batches", "augmentation", "make_batches", "plain_cues", "relative_paths", "samples_checksum"]


def augmentation(
    settings: TrainSettings, obstacles: Sequence[Cutout] = (), backgrounds: Sequence[Tensor] = ()
) -> Compose:
    """What is done to an image and its cues in training; each step is left out where its setting is 0.

    In this order: flip, box, background, paste an obstacle, pad and crop; then what a camera does, colours, grey, blur,
    resolution, noise, JPEG; random erasing at last, so that what is erased is painted alike everywhere. The background
    comes before obstacles: it would replace them. A step that is left out draws no random number.

    Args:
        settings: say which steps, and how likely or strong each is.
        obstacles: to be pasted.
        backgrounds: (3, H, W) uint8 each, for ``BackgroundMixing``; without them it takes textures alone.

    Raises:
        SettingsError: obstacles are to be pasted, and there are none.
    """
    steps: list[Transform] = []
    if settings.flip_probability > 0:
        steps.append(HorizontalFlip(settings.flip_probability))
    if settings.box_jitter > 0 or settings.partial_probability > 0:
        steps.append(RandomBox(settings.box_jitter, settings.partial_probability))
    if settings.background_probability > 0:
        steps.append(BackgroundMixing(tuple(backgrounds), settings.background_probability))
    if settings.paste_obstacles > 0:
        steps.append(PasteObstacle(obstacles, settings.paste_obstacles, settings.paste_visible))
    if settings.pad > 0:
        steps.append(PadCrop(settings.pad))
    steps.extend(_photometric(settings))
    if settings.erasing_probability > 0:
        steps.append(RandomErasing(settings.erasing_probability, hide_cues=settings.erasing_hides_cues))
    return Compose(tuple(steps))


def _photometric(settings: TrainSettings) -> list[Transform]:
    """What happens to light on its way into a file, in its order."""
    steps: list[Transform] = []
    if settings.colour_jitter > 0:
        steps.append(ColourJitter.of_strength(settings.colour_jitter))
    if settings.grey_probability > 0:
        steps.append(Grey(settings.grey_probability))
    if settings.blur_probability > 0:
        steps.append(Blur(settings.blur_probability))
    if settings.low_resolution_probability > 0:
        steps.append(LowResolution(settings.low_resolution_probability))
    if settings.noise > 0:
        steps.append(Noise(settings.noise))
    if settings.jpeg_probability > 0:
        steps.append(JpegArtefacts(settings.jpeg_probability))
    return steps


def make_batches(samples: Sequence[Sample], settings: TrainSettings, *, rank: int, world: int) -> EpochBatches:
    """Which images make up each batch.

    An epoch of the identity sampler has as many rounds over the persons as visit about all images once.

    Raises:
        DataError: there are fewer images, or persons, than one batch takes.
        UsageError: the batch cannot be shared evenly among the processes.
    """
    batch = settings.batch_size
    if settings.sampler == "shuffle":
        if settings.drop_last and len(samples) < batch:
            fits = len(samples) // world * world
            instead = f"set train.batch_size={fits} or less, or " if fits >= 2 * world else ""
            raise DataError(
                f"{len(samples)} images do not fill one batch of {batch}; {instead}set train.drop_last=false to keep "
                "incomplete batches"
            )
        return ShuffledBatches(
            len(samples), settings.batch_size, seed=settings.seed, rank=rank, world=world, drop_last=settings.drop_last
        )
    persons = [sample.person for sample in samples]
    rounds = max(1, round(len(persons) / (len(set(persons)) * settings.instances)))
    per_batch, there = batch // settings.instances, len(set(persons))
    said = f"(train.batch_size {batch}, {settings.instances} images each)"
    if there < per_batch:
        fits = there // world * world
        instead = f"set train.batch_size={fits * settings.instances} or less" if fits >= 2 else "train on more persons"
        raise DataError(f"{there} persons do not fill one batch of {per_batch} persons {said}; {instead}")
    if per_batch % world:
        fits = -(-per_batch // world) * world
        raise UsageError(
            f"{world} processes cannot share a batch of {per_batch} persons {said} evenly; set for example "
            f"train.batch_size={fits * settings.instances}"
        )
    return BalancedBatches(
        persons, per_batch, settings.instances, rounds=rounds, seed=settings.seed, rank=rank, world=world
    )


class Batches:
    """One process's batches of every epoch.

    Args:
        samples: the training samples.
        labels: person to label.
        settings: sampler, augmentation, workers, what a corrupt image does.
        method: says the image size.
        cues: gives the cues of a sample.
        obstacles: to be pasted, where the settings ask for it.
        rank: of this process.
        world: the number of processes.

    Raises:
        DataError, UsageError: as ``make_batches``.
        SettingsError: as ``augmentation``.
        MissingCueError: backgrounds are to be mixed, and the cues do not tell background from person.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        labels: Mapping[str, int],
        settings: TrainSettings,
        method: Method[Any],
        cues: CueSource | None,
        *,
        obstacles: Sequence[Cutout] = (),
        rank: int,
        world: int,
    ) -> None:
        crop = method.cropping(cues, "train")
        images = ReidImages(
            samples,
            size=method.preprocess.size,
            labels=labels,
            augment=augmentation(settings, obstacles, self._backgrounds(samples, settings, method, cues, crop)),
            cues=cues,
            crop=crop,
            seed=settings.seed,
        )
        batches = make_batches(samples, settings, rank=rank, world=world)
        self.steps_per_epoch = batches.steps
        self._loader = make_loader(images, batches, workers=settings.workers, on_corrupt=settings.on_corrupt)

    @staticmethod
    def _backgrounds(
        samples: Sequence[Sample],
        settings: TrainSettings,
        method: Method[Any],
        cues: CueSource | None,
        crop: Cropper | None,
    ) -> tuple[Tensor, ...]:
        if settings.background_probability == 0:
            return ()
        plain = ReidImages(samples, size=method.preprocess.size, cues=cues, crop=crop)
        return background_pictures(plain, settings.background_pictures, settings.seed)

    def guide(self, guidance: Guidance) -> None:
        """Gives the images the part labels of a guidance, from the next epoch on."""
        self._loader.guide(GuidedCues(guidance.labels, guidance.known, guidance.parts))

    def epoch(self, epoch: int, start_step: int) -> Iterator[Batch]:
        """The batches of an epoch, from 0, from a step of it on: a function of these two numbers and the seed."""
        self._loader.set_epoch(epoch, start_step)
        return iter(self._loader)

    def close(self) -> None:
        """Stops the workers."""
        self._loader.close()


def plain_cues(
    samples: Sequence[Sample], settings: TrainSettings, method: Method[Any], cues: CueSource | None
) -> Iterator[Cues]:
    """The cues of the training images in order, as they are described: cropped, resized, without augmentation.

    Raises:
        DataError: an image or its cues cannot be read, and that is fatal.
        MissingCueError: the method needs a cue to train that is not there.
    """
    images = ReidImages(samples, size=method.preprocess.size, cues=cues, crop=method.cropping(cues, "train"))
    batches = OrderedBatches(len(samples), settings.batch_size)
    loader = make_loader(images, batches, workers=settings.workers, on_corrupt=settings.on_corrupt)
    with closing(loader):
        for batch in loader:
            if len(batch):
                method.check_cues(batch.cues, "train")
                yield batch.cues


def relative_paths(samples: Sequence[Sample]) -> list[str]:
    """The images' paths, relative to the folder that they share."""
    root = os.path.commonpath([sample.path.parent for sample in samples])
    return [os.path.relpath(sample.path, root) for sample in samples]


def samples_checksum(samples: Sequence[Sample]) -> str:
    """sha256 over the samples, their paths relative to the folder they share: moving the data does not change it."""
    lines = sorted(
        f"{path}\t{s.person}\t{s.camera}\t{s.visible_fraction}\n"
        for path, s in zip(relative_paths(samples), samples, strict=True)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
