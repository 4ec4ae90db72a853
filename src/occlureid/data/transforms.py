"""Transforms of an image together with its cues: what moves a pixel moves its landmark, its part and its foreground.

Each is a frozen dataclass, called as ``transform(image, cues, rng) -> (image, cues)``. The image is a Pillow image or
an RGB tensor (3, H, W) in [0, 1]; what comes back is a tensor. All randomness comes from ``rng``, so that an image's
fate can be drawn again. Nothing is changed in place. Pixel centres lie at +0.5: a resize from width W to W' takes x to
x W'/W, a flip takes x to W - x. A landmark that was not found (confidence 0) is kept as (0, 0, 0).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from occlureid.errors import SettingsError, ShapeError
from occlureid.types import KEYPOINT_FLIP, Cues

__all__ = [
    "IMAGENET_MEAN",
    "Compose",
    "HorizontalFlip",
    "PadCrop",
    "Picture",
    "RandomErasing",
    "Resize",
    "Transform",
    "cut",
    "to_tensor",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
Picture = Image.Image | Tensor


class Transform(Protocol):
    """What every transform is."""

    def __call__(self, image: Picture, cues: Cues, rng: np.random.Generator) -> tuple[Tensor, Cues]:
        """Moves image and cues together.

        Args:
            image: Pillow RGB image, or (3, H, W) float in [0, 1].
            cues: of this one image, in its pixels.
            rng: the only source of randomness.

        Returns:
            (3, H', W') float in [0, 1], and the cues in its pixels.

        Raises:
            ShapeError: the image is not (3, H, W), or a map of the cues is not of the image's size.
        """
        ...


def to_tensor(image: Picture) -> Tensor:
    """(3, H, W) float32 in [0, 1] from a Pillow image; a tensor is only checked.

    Raises:
        ShapeError: not an RGB image.
    """
    if isinstance(image, Image.Image):
        if image.mode != "RGB":
            raise ShapeError(f"an image must be RGB, got mode {image.mode}")
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).to(torch.float32).div_(255.0)
    if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point():
        raise ShapeError(f"an image must be float of shape (3, H, W), got {image.dtype} {tuple(image.shape)}")
    return image


def _check(cues: Cues, height: int, width: int) -> None:
    """The cues must be those of one image of this size."""
    if cues.keypoints is not None and cues.keypoints.ndim != 2:
        raise ShapeError(f"keypoints of one image have shape (J, 3), got {tuple(cues.keypoints.shape)}")
    for name, dimensions, cue in (("part_map", 3, cues.part_map), ("foreground", 2, cues.foreground)):
        if cue is not None and (cue.ndim != dimensions or tuple(cue.shape[-2:]) != (height, width)):
            raise ShapeError(f"{name} must be of the image's size {(height, width)}, got {tuple(cue.shape)}")


def _with_maps(cues: Cues, change: Callable[[Tensor], Tensor]) -> Cues:
    """The cues with both maps changed; ``change`` works on the last two dimensions."""
    return replace(
        cues,
        part_map=None if cues.part_map is None else change(cues.part_map),
        foreground=None if cues.foreground is None else change(cues.foreground),
    )


def _with_landmarks(cues: Cues, x: Tensor, y: Tensor, keep: Tensor) -> Cues:
    """The cues with landmarks moved to x, y, and those not to ``keep`` marked as not found."""
    if cues.keypoints is None:
        return cues
    moved = torch.stack([x, y, cues.keypoints[:, 2]], dim=1)
    return replace(cues, keypoints=moved * (keep & (cues.keypoints[:, 2] > 0)).unsqueeze(1))


def _draw(rng: np.random.Generator, probability: float) -> bool:
    return bool(rng.random() < probability)


def _check_probability(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise SettingsError(f"p must lie in [0, 1], got {p}")


def cut(picture: Image.Image, cues: Cues, box: tuple[int, int, int, int]) -> tuple[Image.Image, Cues]:
    """A part of an image with its cues; a landmark outside is marked as not found.

    Args:
        picture: the image.
        cues: of this one image, in its pixels.
        box: top, left, bottom, right in pixels, within the image; the last row and column are left out.

    Raises:
        ShapeError: the box is empty or reaches beyond the image, or a map of the cues is not of the image's size.
    """
    top, left, bottom, right = box
    if not (0 <= top < bottom <= picture.height and 0 <= left < right <= picture.width):
        raise ShapeError(f"a box must lie within the image of {(picture.height, picture.width)}, got {box}")
    _check(cues, picture.height, picture.width)
    cues = _with_maps(cues, lambda cue: cue[..., top:bottom, left:right])
    if cues.keypoints is not None:
        x, y, _ = cues.keypoints.unbind(1)
        inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
        cues = _with_landmarks(cues, x - left, y - top, inside)
    return picture.crop((left, top, right, bottom)), cues


@dataclass(frozen=True, slots=True)
class Compose:
    """The steps, one after the other."""

    steps: tuple[Transform, ...]

    def __call__(self, image: Picture, cues: Cues, rng: np.random.Generator) -> tuple[Tensor, Cues]:
        """See ``Transform``."""
        for step in self.steps:
            image, cues = step(image, cues, rng)
        return to_tensor(image), cues


@dataclass(frozen=True, slots=True)
class Resize:
    """To (height, width): the image bicubic, the maps bilinear, both with antialiasing; the aspect is not kept.

    Hard part maps turn into the share of each pixel that a part covers; parts and background still sum to one.
    """

    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise SettingsError(f"a size must be at least (1, 1), got {(self.height, self.width)}")

    def __call__(self, image: Picture, cues: Cues, rng: np.random.Generator) -> tuple[Tensor, Cues]:
        """See ``Transform``; draws nothing."""
        size = (self.height, self.width)
        if isinstance(image, Image.Image):
            height, width = image.height, image.width
            resized = to_tensor(image.resize((self.width, self.height), Image.Resampling.BICUBIC))
        else:
            height, width = to_tensor(image).shape[1:]
            resized = F.interpolate(image[None], size, mode="bicubic", antialias=True, align_corners=False)[0].clamp(
                0, 1
            )
        _check(cues, height, width)

        def scaled(cue: Tensor) -> Tensor:
            stack = cue.reshape(1, -1, height, width)
            stack = F.interpolate(stack, size, mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
            return stack.reshape(*cue.shape[:-2], *size)

        cues = _with_maps(cues, scaled)
        if cues.keypoints is not None:
            x, y, confidence = cues.keypoints.unbind(1)
            cues = _with_landmarks(cues, x * (self.width / width), y * (self.height / height), confidence > 0)
        return resized, cues


@dataclass(frozen=True, slots=True)
class HorizontalFlip:
    """With probability p: left and right change places, in the picture and in the names of landmarks and parts."""

    p: float = 0.5

    def __post_init__(self) -> None:
        _check_probability(self.p)

    def __call__(self, image: Picture, cues: Cues, rng: np.random.Generator) -> tuple[Tensor, Cues]:
        """See ``Transform``.

        Raises:
            ShapeError: also if the keypoints are not the 18 of ``KEYPOINT_NAMES``: their sides are unknown.
        """
        image = to_tensor(image)
        height, width = image.shape[1:]
        _check(cues, height, width)
        if not _draw(rng, self.p):
            return image, cues
        cues = _with_maps(cues, lambda cue: cue.flip(-1))
        if cues.part_map is not None and cues.part_flip:
            cues = replace(cues, part_map=cues.part_map[list(cues.part_flip)])
        if cues.keypoints is not None:
            if len(cues.keypoints) != len(KEYPOINT_FLIP):
                raise ShapeError(f"a flip needs the {len(KEYPOINT_FLIP)} landmarks, got {len(cues.keypoints)}")
            x, y, confidence = cues.keypoints.unbind(1)
            cues = _with_landmarks(cues, width - x, y, confidence > 0)
            if cues.keypoints is not None:
                cues = replace(cues, keypoints=cues.keypoints[list(KEYPOINT_FLIP)])
        return image.flip(-1), cues


@dataclass(frozen=True, slots=True)
class PadCrop:
    """Black margins of ``padding`` pixels on all sides, then a crop of the old size at a random place.

    A landmark that leaves the image is marked as not found.
    """

    padding: int = 10

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise SettingsError(f"padding must not be negative, got {self.padding}")

    def __call__(self, image: Picture, cues: Cues, rng: np.random.Generator) -> tuple[Tensor, Cues]:
        """See ``Transform``."""
        image = to_tensor(image)
        height, width = image.shape[1:]
        _check(cues, height, width)
        pad = self.padding
        top, left = (int(n) for n in rng.integers(0, 2 * pad + 1, size=2))

        def moved(values: Tensor) -> Tensor:
            return F.pad(values, (pad, pad, pad, pad))[..., top : top + height, left : left + width]

        cues = _with_maps(cues, moved)
        if cues.keypoints is not None:
            x, y = cues.keypoints[:, 0] + (pad - left), cues.keypoints[:, 1] + (pad - top)
            cues = _with_landmarks(cues, x, y, (x >= 0) & (x <= width) & (y >= 0) & (y <= height))
        return moved(image), cues


@dataclass(frozen=True, slots=True)
class RandomErasing:
    """With probability p, one rectangle is painted over (Zhong et al., AAAI 2020), as an obstacle would hide it.

    Attributes:
        p: probability.
        area: smallest and largest share of the image that is erased.
        aspect: smallest and largest height / width of the rectangle.
        fill: "mean" paints the ImageNet mean (zero after normalisation), "random" paints noise, uniform in [0, 1].
        hide_cues: what the rectangle covers counts as hidden: part maps and foreground become 0 there, landmarks inside
            are marked as not found. False leaves the cues as they were made on the whole image: erasing then changes
            the image alone.
    """

    p: float = 0.5
    area: tuple[float, float] = (0.02, 0.4)
    aspect: tuple[float, float] = (0.3, 1 / 0.3)
    fill: Literal["mean", "random"] = "mean"
    hide_cues: bool = True

    def __post_init__(self) -> None:
        _check_probability(self.p)
        if not 0.0 < self.area[0] <= self.area[1] < 1.0:
            raise SettingsError(f"area must be a range within (0, 1), got {self.area}")
        if not 0.0 < self.aspect[0] <= self.aspect[1]:
            raise SettingsError(f"aspect must be a range of positive numbers, got {self.aspect}")
        if self.fill not in ("mean", "random"):
            raise SettingsError(f'fill must be "mean" or "random", got {self.fill!r}')

    def __call__(self, image: Picture, cues: Cues, rng: np.random.Generator) -> tuple[Tensor, Cues]:
        """See ``Transform``."""
        image = to_tensor(image)
        height, width = image.shape[1:]
        _check(cues, height, width)
        box = self._rectangle(height, width, rng) if _draw(rng, self.p) else None
        if box is None:
            return image, cues
        top, left, bottom, right = box
        image = image.clone()
        if self.fill == "mean":
            image[:, top:bottom, left:right] = image.new_tensor(IMAGENET_MEAN).view(3, 1, 1)
        else:
            noise = rng.random((3, bottom - top, right - left), dtype=np.float32)
            image[:, top:bottom, left:right] = torch.from_numpy(noise).to(image)
        return image, self._hidden(cues, box) if self.hide_cues else cues

    def _rectangle(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int] | None:
        """(top, left, bottom, right), or None where a hundred draws did not fit into the image."""
        for _ in range(100):
            area = rng.uniform(*self.area) * height * width
            aspect = rng.uniform(*self.aspect)
            h, w = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
            if 0 < h < height and 0 < w < width:
                top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
                return top, left, top + h, left + w
        return None

    @staticmethod
    def _hidden(cues: Cues, box: tuple[int, int, int, int]) -> Cues:
        top, left, bottom, right = box

        def cut(cue: Tensor) -> Tensor:
            cue = cue.clone()
            cue[..., top:bottom, left:right] = 0.0
            return cue

        cues = _with_maps(cues, cut)
        if cues.keypoints is not None:
            x, y, _ = cues.keypoints.unbind(1)
            inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
            cues = _with_landmarks(cues, x, y, ~inside)
        return cues
