"""Cues that networks compute from images: for samples by their files, and for pictures that are no files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from PIL import Image

from occlureid.cues.crop import ParsesAgain
from occlureid.cues.providers import ProviderSource
from occlureid.types import Cues, Sample

__all__ = ["ModelCues", "PictureCues"]


@dataclass(frozen=True)
class ModelCues:
    """A source of cues that computes them from the images; ``zoo.cue_models.model_cues`` makes it.

    Attributes:
        sources: one a network, of different cues.
    """

    sources: tuple[ProviderSource, ...]

    def __call__(self, sample: Sample, size: tuple[int, int]) -> Cues:
        """The cues of an image of (height, width) ``size``.

        Raises:
            DataError: the image cannot be read.
        """
        return self._joined(lambda source: source(sample, size))

    def again(self, sample: Sample, picture: Image.Image, box: tuple[int, int, int, int]) -> Cues:
        """The cues of ``picture``, the part of a sample's image within ``box``, in its pixels."""
        return self._joined(lambda source: source.again(sample, picture, box))

    def _joined(self, ask: Callable[[ProviderSource], Cues]) -> Cues:
        joined = Cues()
        for source in self.sources:
            cues = ask(source)
            more = {name: getattr(cues, name) for name in cues.names}
            joined = replace(joined, **more, part_flip=cues.part_flip or joined.part_flip)
        return joined


@dataclass(frozen=True)
class PictureCues:
    """The cues of one picture in memory, as a source of cues: whatever the sample, they are the picture's.

    Attributes:
        source: computes them; without a cache, which goes by files.
        picture: RGB.
    """

    source: ParsesAgain
    picture: Image.Image

    def __call__(self, sample: Sample, size: tuple[int, int]) -> Cues:
        """The cues of the whole picture."""
        return self.source.again(sample, self.picture, (0, 0, self.picture.height, self.picture.width))

    def again(self, sample: Sample, picture: Image.Image, box: tuple[int, int, int, int]) -> Cues:
        """The cues of ``picture``, a part of it."""
        return self.source.again(sample, picture, box)
