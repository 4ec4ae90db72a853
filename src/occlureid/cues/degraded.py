"""Cues spoiled on purpose, by chosen amounts: how a method's accuracy falls with them is its sensitivity to bad cues."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from occlureid.cues.keypoints import FloatArray
from occlureid.cues.settings import Degradation
from occlureid.data.loader import CueSource
from occlureid.errors import SettingsError
from occlureid.types import KEYPOINT_FLIP, KEYPOINT_NAMES, Cues, Sample

__all__ = ["Degraded"]

_WAVES = 12
"""Bumps in the displaced edge of a part map over the height of an image."""


@runtime_checkable
class _KnowsEverybody(Protocol):
    def people(self, sample: Sample) -> FloatArray | None: ...


def _everybody(source: CueSource) -> _KnowsEverybody | None:
    """The source, or the one among those joined in it, that knows all people of an image."""
    joined: Sequence[object] = getattr(source, "sources", (source,))
    for one in joined:
        if isinstance(one, _KnowsEverybody):
            return one
    return None


class Degraded:
    """Another source's cues with errors of the kinds that estimators and parsers make.

    What is drawn for an image depends on the seed and the image's path below ``root`` alone, and the same numbers are
    compared with whatever rates are set: what is lost at a rate of 0.1 is lost at 0.2 too, so that a curve over rates is one
    experiment. A kind of error whose rate is 0 changes no bit.

    Landmarks, in this order: nobody found (``no_person``); those of another person in the image (``other_person``, with
    chance only where there is one); left and right changed (``swap``, all of an image at once); each landmark lost
    (``miss``) or displaced (``jitter``, normally distributed, also over the image's edge). Part maps: nobody found; edges
    displaced by a smooth random field of root mean square ``boundary``; each part's pixels given to another part (``swap``) or
    to the background (``miss``). The foreground follows: it loses lost parts where the source gives part maps too.

    Args:
        source: gives the cues to spoil.
        settings: how much.
        root: the dataset's root, so that the draws do not depend on where it lies.

    Raises:
        SettingsError: ``other_person`` is wanted, and the source does not know the other people.
    """

    def __init__(self, source: CueSource, settings: Degradation, root: Path | str = ".") -> None:
        self.source, self.settings, self.root = source, settings, Path(root)
        self._people = _everybody(source)
        if settings.other_person > 0 and self._people is None:
            raise SettingsError(
                "degrade.other_person needs a source that knows all people of an image: a folder of poses, or the "
                "exact cues of a rendered world"
            )

    def _random(self, sample: Sample, stream: int) -> np.random.Generator:
        inside = sample.path.is_relative_to(self.root)
        place = (sample.path.relative_to(self.root) if inside else sample.path).as_posix()
        key = int.from_bytes(hashlib.sha256(place.encode()).digest()[:8], "big")
        return np.random.default_rng([self.settings.seed, key, stream])

    def __call__(self, sample: Sample, size: tuple[int, int]) -> Cues:
        """The spoiled cues.

        Raises:
            DataError: as the source.
        """
        cues = self.source(sample, size)
        nobody = self._random(sample, 0).random() < self.settings.no_person
        keypoints = cues.keypoints
        if keypoints is not None:
            keypoints = torch.zeros_like(keypoints) if nobody else self._landmarks(keypoints, sample, size)
        if nobody:
            maps, foreground = (
                None if cue is None else torch.zeros_like(cue) for cue in (cues.part_map, cues.foreground)
            )
        else:
            maps, foreground = self._maps(cues, sample, size)
        return Cues(keypoints, maps, foreground, cues.part_flip)

    def _landmarks(self, keypoints: Tensor, sample: Sample, size: tuple[int, int]) -> Tensor:
        settings, random = self.settings, self._random(sample, 1)
        other, choice, swapped = random.random(3)
        lost = random.random(len(keypoints))
        shift = random.normal(size=(len(keypoints), 2))
        result = keypoints.clone()
        if other < settings.other_person:
            others = self._others(sample, keypoints)
            if len(others):
                result = torch.from_numpy(others[int(choice * len(others))]).to(keypoints)
        if swapped < settings.swap and len(result) == len(KEYPOINT_NAMES):
            result = result[list(KEYPOINT_FLIP)]
        found = result[:, 2] > 0
        if settings.jitter > 0:
            moved = torch.from_numpy(shift * (settings.jitter * size[0])).to(keypoints)
            result[:, :2] += moved * found.unsqueeze(1)
        result[torch.from_numpy(lost < settings.miss)] = 0.0
        return result

    def _others(self, sample: Sample, keypoints: Tensor) -> FloatArray:
        """(P, 18, 3) people with any landmark, other than the one with these."""
        people = self._people.people(sample) if self._people is not None else None
        if people is None:
            return np.zeros((0, *keypoints.shape))
        own = keypoints.numpy()
        kept = [row for row in people if (row[:, 2] > 0).any() and not np.array_equal(row.astype(own.dtype), own)]
        return np.stack(kept) if kept else np.zeros((0, *keypoints.shape))

    def _maps(self, cues: Cues, sample: Sample, size: tuple[int, int]) -> tuple[Tensor | None, Tensor | None]:
        settings, random = self.settings, self._random(sample, 2)
        maps, foreground = cues.part_map, cues.foreground
        field = random.normal(size=(1, 2, _WAVES, _WAVES))
        if settings.boundary > 0:
            grid = _displaced(torch.from_numpy(field).to(torch.float32), size, settings.boundary * size[0])
            maps = None if maps is None else _sampled(maps, grid)
            foreground = None if foreground is None else _sampled(foreground.unsqueeze(0), grid).squeeze(0)
        if maps is None:
            return None, foreground
        count = len(maps)
        lost, confused, taken = (random.random(count) for _ in range(3))
        gone = torch.from_numpy(lost < settings.miss)
        if settings.swap > 0 and count > 1:
            # Part k goes to one of the others, each as likely.
            others = (np.arange(count) + 1 + (taken * (count - 1)).astype(int)) % count
            target = torch.from_numpy(np.where(confused < settings.swap, others, np.arange(count)))
            kept = maps * (~gone).view(-1, 1, 1)
            spoiled = torch.zeros_like(maps).index_add_(0, target, kept).clamp(max=1.0)
        else:
            spoiled = maps * (~gone).view(-1, 1, 1)
        if foreground is not None and bool(gone.any()):
            foreground = (foreground - maps[gone].sum(0)).clamp(min=0.0)
        return spoiled, foreground


def _displaced(field: Tensor, size: tuple[int, int], pixels: float) -> Tensor:
    """(1, H, W, 2): where each pixel is taken from, displaced by (1, 2, a, b) noise of this root mean square in x and y."""
    height, width = size
    # As many bumps to the pixel across as down, so that narrow images are not displaced in stripes.
    across = max(2, round(_WAVES * width / height))
    field = field[..., : min(across, _WAVES)]
    smooth = F.interpolate(field, size, mode="bicubic", align_corners=False)
    smooth = smooth / smooth.square().mean((2, 3), keepdim=True).sqrt() * pixels
    rows = (torch.arange(height) + 0.5).view(-1, 1) + smooth[0, 1]
    columns = (torch.arange(width) + 0.5).view(1, -1) + smooth[0, 0]
    return torch.stack([columns * (2 / width) - 1, rows * (2 / height) - 1], dim=2).unsqueeze(0)


def _sampled(maps: Tensor, grid: Tensor) -> Tensor:
    """(K, H, W) maps taken from the places of a grid; hard maps stay hard."""
    return F.grid_sample(maps.unsqueeze(0), grid, mode="nearest", padding_mode="border", align_corners=False)[0]
