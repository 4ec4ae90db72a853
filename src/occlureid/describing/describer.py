"""The Describer: files, pictures in memory or tensors in, Descriptors out, with the cues that the method needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from occlureid import methods
from occlureid.arithmetic import Precision, resolve
from occlureid.cues.crop import ParsesAgain
from occlureid.cues.groupings import GROUPINGS
from occlureid.cues.networks import PictureCues
from occlureid.cues.providers import as_arrays, check_several
from occlureid.data.images import cut_box, read_image
from occlureid.data.loader import CueSource, Item, ReidImages, Tally, make_loader
from occlureid.data.samplers import Draw, OrderedBatches
from occlureid.data.transforms import Resize
from occlureid.describing.pictures import Picture, to_picture
from occlureid.errors import DataError, MissingCueError, ShapeError, UsageError
from occlureid.types import KEYPOINT_NAMES, Cues, Descriptor, Region, Sample

if TYPE_CHECKING:
    from occlureid.matching import MatchRule
    from occlureid.methods import Method

__all__ = ["Box", "Describer", "DescriptorShape", "Prepared", "arithmetic_of"]

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of an upright image, origin top left."""

_NOBODY = Sample(Path("picture"), "unknown", "unknown")


@dataclass(frozen=True, slots=True)
class DescriptorShape:
    """The sizes of a method's descriptors, as a gallery needs them: D, K, C, and S where the rule compares local vectors."""

    global_size: int
    parts: int
    part_size: int
    local_size: int | None


@dataclass(frozen=True, eq=False, slots=True)
class Prepared:
    """A picture ready for the network: (3, H, W) in [0, 1] at the method's size, its cues, and whether a wanted crop was made."""

    image: Tensor
    cues: Cues
    cropped: bool = True


def arithmetic_of(precision: str, device: str | torch.device) -> Literal["float32", "bfloat16"]:
    """Arithmetic for the precision that was asked for; ``arithmetic.resolve`` with the errors of describing.

    Raises:
        DataError: there is no such precision.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise DataError(f'precision must be "auto", "float32" or "bfloat16", got {precision!r}')
    return resolve(precision, device)


class Describer:
    """Describes crops of people by one method; the same crop gets the same Descriptor in any batch and by any of its ways in.

    Args:
        method: moved to ``device`` and left there; its mode is not changed.
        cues: gives the cues that the method needs to describe: a source of files, or networks (``zoo.cue_models.model_cues``),
            which alone know the cues of pictures in memory and of boxes.
        device: where the method runs; Descriptors are on the CPU.
        precision: "float32", "bfloat16" to run the network in mixed precision, or "auto" for the faster on the device.

    Attributes:
        method: the method.
        cues: the source of cues; None where none was given.
        device: where the method runs.
        precision: of the network, "float32" or "bfloat16".

    Raises:
        DataError: there is no such precision.
    """

    def __init__(
        self,
        method: Method[Any],
        cues: CueSource | None = None,
        *,
        device: str | torch.device = "cpu",
        precision: Precision = "float32",
    ) -> None:
        self.precision = arithmetic_of(precision, device)
        self.method = method.to(device)
        self.cues = cues
        self.device = device
        self._resize = Resize(*method.preprocess.size)

    @property
    def fingerprint(self) -> str:
        """Name and hash of the method's weights and settings."""
        return self.method.fingerprint()

    @property
    def rule(self) -> MatchRule:
        """Matching rule of the method's descriptors."""
        return self.method.rule

    @property
    def regions(self) -> tuple[Region, ...]:
        """Places of the parts in an image, where these are fixed."""
        return self.method.regions

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that pictures are resized to."""
        return self.method.preprocess.size

    @cached_property
    def shape(self) -> DescriptorShape:
        """Sizes of the descriptors, measured on a grey image in which nobody was found."""
        height, width = self.size
        grouping = self.method.cue_settings().grouping
        blank = Cues(
            keypoints=torch.zeros(1, len(KEYPOINT_NAMES), 3),
            part_map=torch.zeros(1, len(GROUPINGS[grouping]), height, width),
            foreground=torch.zeros(1, height, width),
        )
        needed = Cues(**{name: getattr(blank, name) for name in self.method.needs.describe})
        found = self.run(torch.full((1, 3, height, width), 0.5), needed)
        maps = self.rule.spatial_weight > 0 and found.spatial is not None
        return DescriptorShape(
            found.global_.shape[1],
            found.parts.shape[1],
            found.parts.shape[2],
            found.spatial.shape[2] if maps and found.spatial is not None else None,
        )

    def files(
        self,
        paths: Iterable[Path | str],
        boxes: Sequence[Box | None] | None = None,
        *,
        batch_size: int = 64,
        workers: int = 0,
        on_corrupt: Literal["fatal", "skip"] = "fatal",
        progress: Callable[[int, int], None] | None = None,
        tally: Tally | None = None,
    ) -> Descriptor:
        """Describes image files in order.

        Args:
            paths: N image files.
            boxes: of each the part to describe, None for the whole; cut out in memory.
            batch_size: images at a time; has no influence on the result.
            workers: processes that read images.
            on_corrupt: "fatal" raises on an unreadable image, "skip" leaves it out; ``tally.failed`` says which and why.
            progress: called with (images done, images in all).
            tally: counts the images, those left out, and those that were to be cropped and stayed whole.

        Raises:
            DataError: an image cannot be read or does not contain its box, and that is fatal; or none can.
            UsageError: there are not as many boxes as files, or the batch size is below 1.
            MissingCueError: the method needs a cue that is not there, or cannot be for a box.
        """
        check_several(paths)
        samples = [Sample(Path(path), "unknown", "unknown") for path in paths]
        return self.samples(
            samples,
            boxes,
            batch_size=batch_size,
            workers=workers,
            on_corrupt=on_corrupt,
            progress=progress,
            tally=tally,
        )[0]

    def samples(
        self,
        samples: Sequence[Sample],
        boxes: Sequence[Box | None] | None = None,
        *,
        batch_size: int = 64,
        workers: int = 0,
        on_corrupt: Literal["fatal", "skip"] = "fatal",
        progress: Callable[[int, int], None] | None = None,
        tally: Tally | None = None,
    ) -> tuple[Descriptor, list[int]]:
        """Describes the images of samples in order; as ``files``, with the indices of those that could be read.

        Raises:
            DataError, UsageError, MissingCueError: as ``files``.
        """
        if boxes is not None and len(boxes) != len(samples):
            raise UsageError(f"expected one box (or None) an image, got {len(boxes)} for {len(samples)} images")
        if not samples:
            raise DataError("there are no images to describe")
        if boxes is None or all(box is None for box in boxes):
            crop = self.method.cropping(self.cues, "describe")
            images = ReidImages(samples, size=self.size, cues=self.cues, crop=crop)
        else:
            images = _Boxes(samples, boxes, self)
        loader = make_loader(
            images, OrderedBatches(len(samples), batch_size), workers=workers, on_corrupt=on_corrupt, tally=tally
        )
        pieces: list[Descriptor] = []
        kept: list[int] = []
        done = 0
        with closing(loader):
            for batch in loader:
                done += len(batch.indices) + len(batch.skipped)
                if len(batch.indices):
                    pieces.append(self.run(batch.images, batch.cues))
                    kept.extend(batch.indices.tolist())
                if progress:
                    progress(done, len(samples))
        if not pieces:
            raise DataError(f"none of the {len(samples)} images could be described")
        return Descriptor.cat(pieces).check(), kept

    def pictures(self, pictures: Iterable[Picture], *, batch_size: int = 64) -> Descriptor:
        """Describes pictures in memory, in order.

        Args:
            pictures: N images of Pillow's or (H, W, 3) uint8 arrays in RGB (those of OpenCV are BGR), of any sizes; paths are
                read.
            batch_size: pictures at a time; has no influence on the result.

        Raises:
            DataError: there are none, or one cannot be decoded.
            ShapeError: an array is no image.
            UsageError: the batch size is below 1.
            MissingCueError: the method needs a cue, and ``cues`` are none or files.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}")
        pieces: list[Descriptor] = []
        waiting: list[Prepared] = []
        check_several(pictures)
        for index, picture in enumerate(pictures):
            try:
                waiting.append(self.prepare(to_picture(picture)))
            except UsageError as error:
                raise UsageError(f"image {index}: {error}") from error
            if len(waiting) == batch_size:
                pieces.append(self.batch(waiting))
                waiting = []
        if waiting:
            pieces.append(self.batch(waiting))
        if not pieces:
            raise DataError("there are no images to describe")
        return Descriptor.cat(pieces).check()

    def tensor(self, batch: Tensor, *, batch_size: int = 64) -> Descriptor:
        """Describes (N, 3, H, W) uint8 or float in [0, 1], of any height and width, RGB; as ``pictures`` of the same bytes.

        Raises:
            ShapeError: the tensor is no batch of images.
            MissingCueError, UsageError, DataError: as ``pictures``.
        """
        return self.pictures(as_arrays(batch), batch_size=batch_size)

    def prepare(self, picture: Image.Image) -> Prepared:
        """Computes the cues of an upright RGB picture, crops it where the method does, and resizes both.

        Raises:
            MissingCueError: the method needs a cue, and ``cues`` are none or files.
            ShapeError: cues do not fit the picture.
        """
        source = self._picture_cues(picture)
        crop = self.method.cropping(source, "describe")
        cropped = True
        if crop is not None:
            picture, cues, cropped = crop(_NOBODY, picture)
        else:
            cues = source(_NOBODY, (picture.height, picture.width)) if source is not None else Cues()
        image, cues = self._resize(picture, cues, np.random.default_rng(0))  # resizing draws nothing
        return Prepared(image, cues, cropped)

    def batch(self, prepared: Sequence[Prepared]) -> Descriptor:
        """Describes N > 0 prepared pictures as one batch."""
        images = torch.stack([one.image for one in prepared])
        return self.run(images, Cues.stack([one.cues for one in prepared]))

    def run(self, images: Tensor, cues: Cues) -> Descriptor:
        """Runs the network on (B, 3, H, W) RGB in [0, 1] of ``size`` and the cues of the batch; the result is on the CPU.

        Raises:
            MissingCueError: a needed cue is not there.
            ShapeError: images of another size.
        """
        kind = torch.device(self.device).type
        with torch.autocast(kind, torch.bfloat16) if self.precision == "bfloat16" else nullcontext():
            return self.method.describe(images.to(self.device), cues.to(self.device)).to("cpu")

    def _picture_cues(self, picture: Image.Image) -> PictureCues | None:
        wanted = self.method.wants("describe")
        if not wanted or (
            self.cues is None and self.method.crop is not None
        ):  # which ``cropping`` refuses in its own words
            return None
        source: object = self.cues
        if not isinstance(source, ParsesAgain):
            others = [name for name in methods.available() if not methods.load(name).needs.describe]
            raise MissingCueError(
                f"method {self.method.name()!r} needs the cue {', '.join(map(repr, sorted(wanted)))} to describe, and a picture "
                "that is no file or a box of a larger picture does not come with any; name networks that compute cues (--cues), "
                f"or choose a method that needs none: {', '.join(others)}"
            )
        return PictureCues(source, picture)


class _Boxes(ReidImages):
    """Parts of larger images, each prepared as a picture of its own; images without a box are described whole."""

    def __init__(self, samples: Sequence[Sample], boxes: Sequence[Box | None], describer: Describer) -> None:
        super().__init__(samples, size=describer.size)
        self._boxes = tuple(boxes)
        self._describer = describer

    def load(self, draw: Draw) -> Item:
        """One image, cut to its box.

        Raises:
            DataError: the image is damaged, or does not contain its box.
            MissingCueError: the method needs a cue that no network gives.
        """
        path, box = self.samples[draw.index].path, self._boxes[draw.index]
        picture = read_image(path)
        try:
            ready = self._describer.prepare(picture if box is None else cut_box(picture, box, str(path)))
        except ShapeError as error:
            raise DataError(f"{path}: the cues do not fit the image: {error}") from error
        return Item(ready.image, ready.cues, -1, draw.index, ready.cropped)
