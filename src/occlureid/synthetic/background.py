"""What is behind the people of a camera: a painted ground and a painted wall, and where rays meet them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlureid.synthetic.painted import GROUNDS, WALLS, Painter, foliage, noise

__all__ = ["Atlas", "Backdrop", "draw_backdrop"]

TEXEL = 0.032
"""Metres along each side of a texel."""

_GROUND, _WALL = (640, 512), (200, 768)


@dataclass(frozen=True, slots=True)
class Backdrop:
    """Ground and wall of one camera.

    Attributes:
        ground: (640, 512, 3) float32 linear colours, x from the middle to both sides and z away from the camera.
        wall: (200, 768, 3) float32 the same, rows upwards from the ground.
        distance: of the wall straight ahead, in metres. turn: of the wall about the vertical, in radians.
        haze: share of the light that a hundred metres of air add.
    """

    ground: NDArray[np.float32]
    wall: NDArray[np.float32]
    distance: float
    turn: float
    haze: float

    def before_wall(self, x: float, z: float) -> tuple[float, float]:
        """The same place, or a nearer one in the same direction, half a metre before the wall."""
        reach = (0.97 * self.distance - 0.5) / (x * math.tan(self.turn) - z)
        return (x * reach, z * reach) if 0.0 < reach < 1.0 else (x, z)


def _coordinates(shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return (columns - shape[1] / 2) * np.float32(TEXEL), rows * np.float32(TEXEL)


def _pick(random: np.random.Generator, painters: Sequence[Painter], shares: Sequence[float]) -> Painter:
    return painters[int(random.choice(len(painters), p=shares))]


def draw_backdrop(random: np.random.Generator, distance: float, turn: float, amount: float) -> Backdrop:
    """Paints the surroundings of one camera.

    Args:
        random: the generator of this camera's scenery.
        distance: of the wall, in metres.
        turn: of the wall, in radians.
        amount: 0 leaves a plain ground and a plain wall of the mean colour, 1 paints all.
    """
    x, z = _coordinates(_GROUND)
    ground = _pick(random, GROUNDS, (0.32, 0.26, 0.16, 0.10, 0.16))(random, x, z)
    if random.random() < 0.55:  # a second ground beyond a kerb
        other = _pick(random, GROUNDS, (0.35, 0.15, 0.15, 0.35, 0.0))(random, x, z)
        angle = random.uniform(-0.5, 0.5) + random.choice((0.0, np.pi / 2))
        across = x * np.float32(np.cos(angle)) + z * np.float32(np.sin(angle))
        across = across - np.float32(random.choice(across[150:450, 100:400].ravel()))
        ground = np.where((across > 0)[..., None], other, ground)
        kerb = np.abs(across) < 0.09
        ground[kerb] = np.float32(random.uniform(0.45, 0.8)) * (1.0 + 0.05 * noise(random, _GROUND, 3)[kerb][:, None])
        ground[(across > 0.09) & (across < 0.2)] *= np.float32(0.75)
    x, y = _coordinates(_WALL)
    wall = _pick(random, WALLS, (0.14, 0.15, 0.13, 0.16, 0.12, 0.15, 0.15))(random, x, y)
    if random.random() < 0.6:  # shrubs at its foot
        crest = np.clip(0.5 * noise(random, (2, _WALL[1]), 40)[:1] + random.uniform(-0.4, 0.5), 0, 2)
        leaves = foliage(random, _WALL, random.uniform(0.8, 1.3))
        wall = np.where((y < crest + 0.1 * noise(random, _WALL, 6))[..., None], leaves, wall)
    wall = wall * (1.0 - 0.35 * np.clip(1.0 - y / 0.35, 0, 1))[..., None]  # it is dark where wall and ground meet
    return Backdrop(
        ground=_linear(ground, amount),
        wall=_linear(wall, amount),
        distance=distance,
        turn=turn,
        haze=random.uniform(0.0, 1.0) ** 2 * amount,
    )


def _linear(picture: NDArray[np.float32], amount: float) -> NDArray[np.float32]:
    light = np.clip(picture, 0.01, 1.0) ** 2
    mean = light.mean(axis=(0, 1), keepdims=True)
    return np.asarray(mean + np.float32(amount) * (light - mean), dtype=np.float32)


class Atlas:
    """The backdrops of all cameras in one table, looked up between texels.

    Args:
        backdrops: of the cameras, in order.
        device: that renders.
    """

    def __init__(self, backdrops: Sequence[Backdrop], device: torch.device) -> None:
        rows = [texture.reshape(-1, 3) for drop in backdrops for texture in (drop.ground, drop.wall)]
        self._planes = torch.from_numpy(np.concatenate(rows).T.copy()).to(device)
        self._each = _GROUND[0] * _GROUND[1] + _WALL[0] * _WALL[1]

    def colours(self, camera: Tensor, on_ground: Tensor, across: Tensor, along: Tensor) -> list[Tensor]:
        """Linear red, green and blue at points of grounds and walls; beyond its border a texture is mirrored.

        Args:
            camera: (B, 1, 1) int64 numbers.
            on_ground: (B, H, W) whether on the ground, else on the wall.
            across: (B, H, W) metres to the right of the middle.
            along: (B, H, W) metres away from the camera, or above the ground.
        """
        wide = torch.where(on_ground, float(_GROUND[1]), float(_WALL[1]))
        tall = torch.where(on_ground, float(_GROUND[0]), float(_WALL[0]))
        start = camera * self._each + torch.where(on_ground, 0, _GROUND[0] * _GROUND[1])
        column, row = _folded(across * (1.0 / TEXEL) + wide * 0.5, wide), _folded(along * (1.0 / TEXEL), tall)
        left, low = torch.floor(column), torch.floor(row)
        share_x, share_y = column - left, row - low
        stride = wide.long()
        corner = start + low.long() * stride + left.long()
        step_x, step_y = (left < wide - 1).long(), torch.where(low < tall - 1, stride, 0)
        above = corner + step_y
        around = [index.reshape(-1) for index in (corner, corner + step_x, above, above + step_x)]
        rest_x, rest_y = 1.0 - share_x, 1.0 - share_y
        colours = []
        for plane in self._planes:
            texels = [plane.index_select(0, index).reshape(across.shape) for index in around]
            low_mixed = texels[0].mul_(rest_x).add_(texels[1].mul_(share_x))
            high_mixed = texels[2].mul_(rest_x).add_(texels[3].mul_(share_x))
            colours.append(low_mixed.mul_(rest_y).add_(high_mixed.mul_(share_y)))
        return colours


def _folded(position: Tensor, length: Tensor) -> Tensor:
    """A position in texels, mirrored at both ends of a texture as often as it takes."""
    period = position / (2.0 * length)
    period = (period - torch.floor(period)) * 2.0
    return (torch.where(period > 1.0, 2.0 - period, period) * length).clamp_min(0.0).minimum(length - 1.0)
