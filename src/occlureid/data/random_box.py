"""The errors of a person detector: a box too large, too small or aside, or around a part of the person alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from occlureid.data.transforms import Picture, to_tensor
from occlureid.errors import SettingsError, ShapeError
from occlureid.types import Cues

__all__ = ["RandomBox"]

_SIDES = ("top", "left", "bottom", "right")
_CUT = (0.2, 0.15, 0.5, 0.15)
"""How often each side is the one from which a partial box cuts: feet are hidden or out of the picture most often."""


@dataclass(frozen=True, slots=True)
class RandomBox:
    """The image as another box would have cut it: each edge moved, then brought back to size.

    The box may reach beyond the image, which goes on there as it ends; what is beyond belongs to no part and is no
    foreground. Maps are moved by nearest neighbour, so that hard maps stay hard; the image is interpolated. A landmark
    outside the box counts as not found.

    Attributes:
        jitter: how far an edge moves at most, inwards and outwards, as a share of the image's height or width; uniform.
        partial: the chance that one side is cut off besides, most often the lower one.
        cut: least and greatest share of height or width that is cut off there.
    """

    jitter: float = 0.1
    partial: float = 0.0
    cut: tuple[float, float] = (0.15, 0.5)

    def __post_init__(self) -> None:
        if not 0.0 <= self.jitter <= 0.25:
            raise SettingsError(f"jitter must lie in [0, 0.25], got {self.jitter}")
        if not 0.0 <= self.partial <= 1.0:
            raise SettingsError(f"partial must lie in [0, 1], got {self.partial}")
        if not 0.0 < self.cut[0] <= self.cut[1] <= 0.7:
            raise SettingsError(f"cut must be a range within (0, 0.7], got {self.cut}")

    def __call__(self, image: Picture, cues: Cues, rng: np.random.Generator) -> tuple[Tensor, Cues]:
        """See ``Transform``."""
        image = to_tensor(image)
        height, width = image.shape[1:]
        for name, cue in (("part_map", cues.part_map), ("foreground", cues.foreground)):
            if cue is not None and tuple(cue.shape[-2:]) != (height, width):
                raise ShapeError(f"{name} must be of the image's size {(height, width)}, got {tuple(cue.shape)}")
        if cues.keypoints is not None and cues.keypoints.ndim != 2:
            raise ShapeError(f"keypoints of one image have shape (J, 3), got {tuple(cues.keypoints.shape)}")
        top, left, bottom, right = self._box(height, width, rng)
        if (top, left, bottom, right) == (0, 0, height, width):
            return image, cues
        rows, above, below = _within(top, bottom, height)
        columns, before, behind = _within(left, right, width)
        inside = F.pad(image[None, :, rows, columns], (before, behind, above, below), mode="replicate")
        moved = F.interpolate(inside, (height, width), mode="bilinear", align_corners=False)[0]
        return moved, _moved(cues, (top, left, bottom, right), (height, width))

    def _box(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Top, left, bottom, right in whole pixels; may reach beyond the image, and holds at least one pixel of it."""
        top, left, bottom, right = rng.uniform(-self.jitter, self.jitter, 4)
        bottom, right = 1.0 + bottom, 1.0 + right
        if rng.random() < self.partial:
            side, share = _SIDES[int(rng.choice(4, p=_CUT))], rng.uniform(*self.cut)
            if side == "top":
                top = share
            elif side == "bottom":
                bottom = 1.0 - share
            elif side == "left":
                left = share
            else:
                right = 1.0 - share
        upper, near = min(round(top * height), height - 1), min(round(left * width), width - 1)
        return upper, near, max(round(bottom * height), upper + 1, 1), max(round(right * width), near + 1, 1)


def _within(start: int, end: int, size: int) -> tuple[slice, int, int]:
    """What of a range lies within [0, size), one pixel at least, and how far it goes on before and behind that."""
    low, high = max(start, 0), min(end, size)
    return slice(low, high), low - start, end - high


def _moved(cues: Cues, box: tuple[int, int, int, int], size: tuple[int, int]) -> Cues:
    """The cues in the pixels of an image that was cut by a box and brought back to its size."""
    (top, left, bottom, right), (height, width) = box, size
    rows, row_known = _places(top, bottom, height)
    columns, column_known = _places(left, right, width)
    known = row_known[:, None] & column_known[None, :]

    def taken(cue: Tensor) -> Tensor:
        return cue.index_select(-2, rows).index_select(-1, columns) * known

    keypoints = cues.keypoints
    if keypoints is not None:
        x, y, confidence = keypoints.unbind(1)
        x, y = (x - left) * (width / (right - left)), (y - top) * (height / (bottom - top))
        keep = (confidence > 0) & (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
        keypoints = torch.stack([x, y, confidence], dim=1) * keep.unsqueeze(1)
    return replace(
        cues,
        keypoints=keypoints,
        part_map=None if cues.part_map is None else taken(cues.part_map),
        foreground=None if cues.foreground is None else taken(cues.foreground),
    )


def _places(start: int, end: int, size: int) -> tuple[Tensor, Tensor]:
    """(size,) the old pixel that holds each new pixel's centre, kept within the image; and whether it lay there."""
    places = start + (2 * torch.arange(size) + 1) * (end - start) // (2 * size)
    return places.clamp(0, size - 1), (places >= 0) & (places < size)
