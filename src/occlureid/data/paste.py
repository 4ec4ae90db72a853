"""Obstacles laid over images that somebody else took, so that a wanted part of the person stays visible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from occlureid.data.transforms import Picture, to_tensor
from occlureid.errors import SettingsError, ShapeError
from occlureid.types import Cues

__all__ = ["Cutout", "PasteObstacle", "Pasted", "body_prior", "hide_cues", "paste"]

_TALL, _FEET = 0.92, 0.96
"""A person fills this share of an image's height; the soles are at this share of it."""

_ASPECT = 0.5
"""Width / height of the crop that an image was before it was brought to size."""

_STEPS = 10
_GREY = 0.40
"""Mean brightness, as a screen shows it, of an image in which a cutout is laid as it is."""


class Cutout(Protocol):
    """An obstacle without surroundings, as ``synthetic.sprites`` renders it.

    Attributes:
        kind: what it is. rgba: (H, W, 4) uint8, colours not multiplied by the opacity.
        person: pixels that a person beside it would be tall.
        low: height of its lower edge above the ground, as a share of a person's height.
        enters: how it comes before somebody.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def rgba(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def person(self) -> int: ...  # noqa: D102
    @property
    def low(self) -> float: ...  # noqa: D102
    @property
    def enters(self) -> Literal["side", "below", "above"]: ...  # noqa: D102


@dataclass(frozen=True, slots=True, eq=False)
class Pasted:
    """An image with an obstacle.

    Attributes:
        image: (3, H, W) float in [0, 1].
        hidden: (H, W) bool the pixels that the obstacle covers by half or more.
        visible: the share of the body outside them, in [0, 1].
    """

    image: Tensor
    hidden: Tensor
    visible: float


def body_prior(height: int, width: int) -> Tensor:
    """(H, W) bool: where a person stands in a usual crop: head, trunk with arms, two legs, in the middle.

    The shape is fixed: it stands in for a mask where there is none. It covers a third of the image.
    """
    y = ((torch.arange(height) + 0.5) / height)[:, None]
    x = ((torch.arange(width) + 0.5) / width)[None, :]

    def ellipse(middle_x: float, middle_y: float, half_x: float, half_y: float) -> Tensor:
        return ((x - middle_x) / half_x) ** 2 + ((y - middle_y) / half_y) ** 2 <= 1.0

    body = ellipse(0.5, 0.115, 0.115, 0.075)
    # The trunk is a barrel: an ellipse to the fourth power.
    body = body | (((x - 0.5) / 0.27) ** 4 + ((y - 0.345) / 0.175) ** 4 <= 1.0)
    for middle in (0.40, 0.60):
        leg = (y - 0.50) / 0.46
        body = body | ((leg >= 0) & (leg <= 1) & ((x - middle).abs() <= 0.115 - 0.045 * leg))
    return body


def hide_cues(cues: Cues, hidden: Tensor) -> Cues:
    """The cues of one image of which some pixels are covered: maps become 0 there, landmarks there count as not found.

    Args:
        cues: keypoints (J, 3), part_map (K, H, W), foreground (H, W).
        hidden: (H, W) bool.

    Raises:
        ShapeError: a map is not of the size of ``hidden``, or the keypoints are not of one image.
    """
    height, width = hidden.shape
    for name, cue in (("part_map", cues.part_map), ("foreground", cues.foreground)):
        if cue is not None and tuple(cue.shape[-2:]) != (height, width):
            raise ShapeError(f"{name} must be of the image's size {(height, width)}, got {tuple(cue.shape)}")
    keep = ~hidden
    keypoints = cues.keypoints
    if keypoints is not None:
        if keypoints.ndim != 2:
            raise ShapeError(f"keypoints of one image have shape (J, 3), got {tuple(keypoints.shape)}")
        column, row = keypoints[:, 0].floor().long(), keypoints[:, 1].floor().long()
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        covered = inside & hidden[row.clamp(0, height - 1), column.clamp(0, width - 1)]
        keypoints = keypoints * (~covered).unsqueeze(1)
    return replace(
        cues,
        keypoints=keypoints,
        part_map=None if cues.part_map is None else cues.part_map * keep,
        foreground=None if cues.foreground is None else cues.foreground * keep,
    )


def paste(
    image: Tensor,
    cutout: Cutout,
    body: Tensor,
    wanted: float,
    rng: np.random.Generator,
    *,
    stretch: float = 1.0,
) -> Pasted:
    """Lays an obstacle over an image: at a person's scale, in the image's brightness, as far as leaves the wanted part.

    It comes in from a side, from below or from above, as the cutout says, until the wanted share of the body is left, or
    as far as it goes.

    Args:
        image: (3, H, W) float in [0, 1].
        cutout: the obstacle.
        body: (H, W) where the person is, as weights; not zero everywhere.
        wanted: the share of the body that is to stay visible, in [0, 1].
        rng: draws scale, side, place, mirroring, brightness and blur.
        stretch: width of the cutout's pixels over their height, where the image was brought to another aspect.

    Raises:
        ShapeError: body and image are not of one size, or nobody is there.
    """
    height, width = image.shape[1:]
    if tuple(body.shape) != (height, width) or not bool(body.sum() > 0):
        raise ShapeError(f"body must be of the image's size {(height, width)} and not empty, got {tuple(body.shape)}")
    tall = _TALL * height * rng.uniform(0.95, 1.15)
    side, mirrored = rng.random() < 0.5, rng.random() < 0.5
    aside, down = rng.uniform(-0.12, 0.12), rng.uniform(0.0, 0.05)
    glare, coarse = rng.uniform(0.85, 1.15), rng.uniform(1.0, 2.5)
    laid = _scaled(cutout, tall, stretch, coarse, mirrored=mirrored)
    solid = (laid[3] >= 0.5).double()
    h, w = solid.shape
    people = body.double()
    middle = int((people.sum(0) * torch.arange(width)).sum() / people.sum() + aside * width) - w // 2
    ground = round((_FEET + down) * height - cutout.low * tall) - h
    start, end = {
        "side": ((ground, width if side else -w), (ground, middle)),
        "below": ((height, middle), (ground, middle)),
        "above": ((-h, middle), (max(ground, -h) + round(0.15 * height), middle)),
    }[cutout.enters]

    def at(amount: float) -> tuple[int, int]:
        return round(start[0] + amount * (end[0] - start[0])), round(start[1] + amount * (end[1] - start[1]))

    def left(amount: float) -> float:
        rows, columns, own_rows, own_columns = _overlap(at(amount), (h, w), (height, width))
        covered = (people[rows, columns] * solid[own_rows, own_columns]).sum()
        return float(1.0 - covered / people.sum())

    amount = _amount_for(left, wanted)
    rows, columns, own_rows, own_columns = _overlap(at(amount), (h, w), (height, width))
    piece = laid[:, own_rows, own_columns].to(image)
    gain = glare * min(max(float(image.mean()) / _GREY, 0.5), 1.35)
    image, hidden = image.clone(), torch.zeros(height, width, dtype=torch.bool)
    image[:, rows, columns] = image[:, rows, columns] * (1.0 - piece[3]) + (piece[:3] * gain).clamp_max(1.0)
    hidden[rows, columns] = piece[3] >= 0.5
    visible = float((people * ~hidden).sum() / people.sum())
    return Pasted(image.clamp(0.0, 1.0), hidden, visible)


def _scaled(cutout: Cutout, tall: float, stretch: float, coarse: float, *, mirrored: bool) -> Tensor:
    """(4, h, w) colours times opacity, and opacity, at a person's height; as blurred as pixels ``coarse`` times larger are."""
    rgba = torch.from_numpy(cutout.rgba.astype(np.float32) / 255.0).permute(2, 0, 1)
    if mirrored:
        rgba = rgba.flip(-1)
    rgba = torch.cat([rgba[:3] * rgba[3:], rgba[3:]])
    scale = tall / cutout.person
    size = max(1, round(rgba.shape[1] * scale)), max(1, round(rgba.shape[2] * scale * stretch))
    seen = max(1, round(size[0] / coarse)), max(1, round(size[1] / coarse))
    small = F.interpolate(rgba[None], seen, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(small, size, mode="bilinear", align_corners=False)[0].clamp(0.0, 1.0)


def _overlap(
    corner: tuple[int, int], own: tuple[int, int], whole: tuple[int, int]
) -> tuple[slice, slice, slice, slice]:
    """Rows and columns of the image that a cutout at a corner covers, and those of the cutout that cover them."""
    found = []
    for start, length, limit in zip(corner, own, whole, strict=True):
        low = min(max(start, 0), limit)
        high = max(min(start + length, limit), low)
        found.append((slice(low, high), slice(low - start, high - start)))
    (rows, own_rows), (columns, own_columns) = found
    return rows, columns, own_rows, own_columns


def _amount_for(left: Callable[[float], float], wanted: float) -> float:
    """The least amount in [0, 1] that leaves no more than is wanted, by halving; 1 if none does."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if left(middle) > wanted:
            low = middle
        else:
            high = middle
    return high


@dataclass(frozen=True, slots=True, eq=False)
class PasteObstacle:
    """With probability p, one of the cutouts is laid over the person, and the cues below it are hidden.

    The person is where the foreground or the part map of the cues says, or, where they say nothing, where ``body_prior`` does.

    Attributes:
        cutouts: the obstacles, each as likely.
        p: probability.
        visible_range: least and greatest share of the person that is to stay visible.
        hide: what the obstacle covers counts as hidden; False leaves the cues as they were made on the whole image.
    """

    cutouts: Sequence[Cutout]
    p: float = 0.5
    visible_range: tuple[float, float] = (0.4, 0.9)
    hide: bool = True

    def __post_init__(self) -> None:
        if not 0.0 <= self.p <= 1.0:
            raise SettingsError(f"p must lie in [0, 1], got {self.p}")
        if not 0.0 < self.visible_range[0] <= self.visible_range[1] < 1.0:
            raise SettingsError(f"visible_range must be a range within (0, 1), got {self.visible_range}")
        if not len(self.cutouts):
            raise SettingsError("there is no cutout to be laid over an image; render some with obstacle_sprites")

    def __call__(self, image: Picture, cues: Cues, rng: np.random.Generator) -> tuple[Tensor, Cues]:
        """See ``Transform``."""
        image = to_tensor(image)
        height, width = image.shape[1:]
        if rng.random() >= self.p:
            return image, cues
        cutout = self.cutouts[int(rng.integers(len(self.cutouts)))]
        wanted = float(rng.uniform(*self.visible_range))
        stretch = width / height / _ASPECT
        done = paste(image, cutout, _body(cues, height, width), wanted, rng, stretch=stretch)
        return done.image, hide_cues(cues, done.hidden) if self.hide else cues


def _body(cues: Cues, height: int, width: int) -> Tensor:
    """(H, W) weights: where the person is."""
    known = cues.foreground
    if known is None and cues.part_map is not None:
        known = cues.part_map.amax(dim=0)
    if known is None:
        return body_prior(height, width)
    if tuple(known.shape) != (height, width):
        raise ShapeError(f"maps of the cues must be of the image's size {(height, width)}, got {tuple(known.shape)}")
    somewhere = 0 < float(known.sum()) < known.numel()  # a foreground that is everywhere says nothing
    return known if somewhere else body_prior(height, width)
