"""Other backgrounds behind a person: of other training images, or made up; where the foreground is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from occlureid.data.loader import Item, ReidImages
from occlureid.data.samplers import Draw
from occlureid.data.transforms import Picture, to_tensor
from occlureid.errors import MissingCueError, SettingsError, ShapeError
from occlureid.types import Cues

__all__ = ["BackgroundMixing", "background_pictures", "without_person"]

_TRIES = 4
"""For each background that is wanted, at most so many images are looked at."""

_LEAST_BACKGROUND = 0.25
"""An image with less background is no source of one."""

_STREAM = 0xBAC6
"""Keeps the draw of the backgrounds apart from other draws of the same seed."""

_GRIDS = (1, 2, 4, 8, 16)


@dataclass(frozen=True, slots=True, eq=False)
class BackgroundMixing:
    """With probability p, what is behind the person is replaced by another background, or blended with it.

    The background is where the foreground of the cues is 0: obstacles in front of the person count as background. It
    comes from one of the pictures (a random part of it, perhaps mirrored), or is a texture of smooth random colours, from
    fine to a single colour. The edge between person and background is softened by a pixel. The cues come back as they
    are. **Nothing is changed where there is no foreground**: where the cues have none, where it is 0 everywhere (nobody
    is visible) or 1 everywhere (nothing is known).

    Attributes:
        pictures: (3, H, W) uint8 each, as ``background_pictures`` makes them; none for textures alone. Those of another
            size are brought to the image's.
        p: probability.
        texture: the chance that a new background is a texture, where there are pictures.
        blend: the chance that the new background is blended with the old, its share then uniform in [0.3, 1].
    """

    pictures: Sequence[Tensor]
    p: float = 0.3
    texture: float = 0.25
    blend: float = 0.4

    def __post_init__(self) -> None:
        for name in ("p", "texture", "blend"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        for picture in self.pictures:
            if picture.ndim != 3 or picture.shape[0] != 3 or picture.dtype != torch.uint8 or picture.numel() == 0:
                raise ShapeError(
                    f"a background must be uint8 of shape (3, H, W), got {picture.dtype} {tuple(picture.shape)}"
                )

    def __call__(self, image: Picture, cues: Cues, rng: np.random.Generator) -> tuple[Tensor, Cues]:
        """See ``Transform``."""
        image = to_tensor(image)
        height, width = image.shape[1:]
        known = cues.foreground
        if known is not None and tuple(known.shape) != (height, width):
            raise ShapeError(f"foreground must be of the image's size {(height, width)}, got {tuple(known.shape)}")
        if rng.random() >= self.p or known is None or float(known.max()) <= 0.0 or float(known.min()) >= 1.0:
            return image, cues
        if len(self.pictures) == 0 or rng.random() < self.texture:
            other = _texture(height, width, rng)
        else:
            other = _part(self.pictures[int(rng.integers(len(self.pictures)))], height, width, rng)
        share = rng.uniform(0.3, 1.0) if rng.random() < self.blend else 1.0
        soft = F.avg_pool2d(known.to(image)[None, None], 3, stride=1, padding=1, count_include_pad=False)[0]
        behind = (1.0 - soft).mul_(share)
        return torch.lerp(image, other.to(image), behind.expand_as(image)), cues


def _part(picture: Tensor, height: int, width: int, rng: np.random.Generator) -> Tensor:
    """(3, H, W) in [0, 1]: between half of a picture and all of it, brought to size, mirrored or not."""
    share = rng.uniform(0.5, 1.0)
    high, wide = (max(1, round(share * pixels)) for pixels in picture.shape[1:])
    top, left = (int(rng.integers(0, whole - n + 1)) for whole, n in zip(picture.shape[1:], (high, wide), strict=True))
    part = picture[:, top : top + high, left : left + wide].to(torch.float32).div_(255.0)
    part = F.interpolate(part[None], (height, width), mode="bilinear", align_corners=False)[0]
    return part.flip(-1) if rng.random() < 0.5 else part


def _texture(height: int, width: int, rng: np.random.Generator) -> Tensor:
    """(3, H, W) in [0, 1]: muted colours about one colour, interpolated from a grid of one to sixteen by half as many."""
    cells = _GRIDS[int(rng.integers(len(_GRIDS)))]
    shape = (cells, max(1, cells // 2))
    colour = rng.uniform(0.05, 0.95) + rng.uniform(-0.2, 0.2, (3, 1, 1))
    light, tint = rng.uniform(0.0, 0.4), rng.uniform(0.0, 0.15)
    grid = colour + light * rng.uniform(-1.0, 1.0, (1, *shape)) + tint * rng.uniform(-1.0, 1.0, (3, *shape))
    coarse = torch.from_numpy(grid.clip(0.0, 1.0).astype(np.float32))[None]
    return F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)[0]


def without_person(image: Tensor, foreground: Tensor) -> Tensor:
    """An image in which the person gives way to the colours around it, the smoother the further in.

    The background is averaged over ever larger cells; each pixel of the person, and two around it, gets the colour of
    the smallest cells about it that know one.

    Args:
        image: (3, H, W) float in [0, 1].
        foreground: (H, W) in [0, 1]; somewhere, by more than two pixels from there, it is below one half.

    Returns:
        (3, H, W) in [0, 1]; pixels of the background are as they were.

    Raises:
        ShapeError: the sizes differ, or there is no background.
    """
    if image.ndim != 3 or tuple(image.shape[1:]) != tuple(foreground.shape):
        raise ShapeError(
            f"the foreground must be of the image's size {tuple(image.shape[1:])}, got {tuple(foreground.shape)}"
        )
    known = (F.max_pool2d(foreground.to(image)[None, None], 5, stride=1, padding=2) < 0.5).to(image)
    if not bool(known.any()):
        raise ShapeError("there is no background in the image")
    levels = [(image[None] * known, known)]
    while max(levels[-1][1].shape[2:]) > 1:
        values, weight = levels[-1]
        half = (weight.shape[2] + 1) // 2, (weight.shape[3] + 1) // 2
        levels.append((F.adaptive_avg_pool2d(values, half), F.adaptive_avg_pool2d(weight, half)))
    values, weight = levels.pop()
    filled = values / weight
    for values, weight in reversed(levels):
        around = F.interpolate(filled, weight.shape[2:], mode="bilinear", align_corners=False)
        filled = values + (1.0 - weight) * around
    return filled[0].clamp(0.0, 1.0)


def background_pictures(images: ReidImages, count: int, seed: int) -> tuple[Tensor, ...]:
    """Backgrounds for ``BackgroundMixing``: images in an order that the seed decides, the people in them filled in.

    A function of the images, their cues and the seed; images that cannot be read, or show hardly any background, are
    passed over.

    Args:
        images: with a source of cues that gives the foreground, without augmentation.
        count: how many are wanted; fewer come where the images do not have them.
        seed: in [0, 2**63).

    Returns:
        (3, H, W) uint8 each, at least one.

    Raises:
        MissingCueError: none of the images looked at has a foreground with background about it.
    """
    order = np.random.default_rng([seed, _STREAM]).permutation(len(images))[: _TRIES * count]
    found: list[Tensor] = []
    for index in order:
        item = images[Draw(int(index), 0, 0)]
        if not isinstance(item, Item) or item.cues.foreground is None:
            continue
        foreground = item.cues.foreground
        if not 0.0 < float((foreground >= 0.5).float().mean()) <= 1.0 - _LEAST_BACKGROUND:
            continue
        try:
            picture = without_person(item.image, foreground)
        except ShapeError:  # all the background lies within two pixels of somebody
            continue
        found.append(picture.mul(255.0).round().to(torch.uint8))
        if len(found) == count:
            break
    if not found:
        raise MissingCueError(
            f"none of {len(order)} training images has the cue 'foreground' with background around it, which mixing "
            "backgrounds needs; give the cue, or set background_probability to 0"
        )
    return tuple(found)
