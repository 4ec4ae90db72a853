"""A network that draws a heatmap for each landmark of a person: a light head on any timm backbone."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from occlureid.errors import SettingsError
from occlureid.models.backbone import Backbone

__all__ = ["LandmarkNetwork"]

_MAPS = {4: 4, 8: 3}  # of a model whose last map has a 32nd of the image's size, how many come down from which stride


class LandmarkNetwork(nn.Module):
    """Heatmaps of landmarks: (B, 3, H, W), normalised, to (B, K, H / stride, W / stride).

    What is learned is that of SimpleBaseline (Xiao, Wu, Wei, ECCV 2018, https://arxiv.org/abs/1804.06208): a heatmap a landmark,
    from the last map of a classification network, enlarged step by step. Its three deconvolutions take longer than a light
    backbone; here the coarser map is convolved, enlarged bilinearly and added to the next finer one of the backbone, both brought
    to ``width`` channels (Lin et al., Feature Pyramid Networks, CVPR 2017). Whether a hip is the left one depends on its side of
    the body *and* on whether the front is seen, neither of which says anything alone: without the convolutions on the coarse
    maps, a sum of maps cannot express it.

    Args:
        landmarks: K.
        size: (height, width) of the images, multiples of 32.
        backbone: timm name of a model whose maps have a 4th, an 8th, a 16th and a 32nd of the image's size.
        stride: how much smaller the heatmaps are than the image.
        width: channels of the head.

    Attributes:
        mean, std: the normalisation that the backbone's published weights expect.
        map_size: (h, w) of the heatmaps.

    Raises:
        SettingsError: there is no such backbone, or it has no such maps.
    """

    def __init__(
        self, landmarks: int, size: tuple[int, int], *, backbone: str, stride: Literal[4, 8] = 4, width: int = 64
    ) -> None:
        super().__init__()
        self.backbone = Backbone(backbone, size, last_stride=2, levels=_MAPS[stride])
        self.mean, self.std = self.backbone.mean, self.backbone.std
        self.map_size = (size[0] // stride, size[1] // stride)
        with torch.no_grad():
            found = tuple(self.backbone.eval().pyramid(torch.zeros(1, 3, *size))[0].shape[2:])
        self.backbone.train()
        if found != self.map_size:
            raise SettingsError(
                f"backbone {backbone!r} has no map of {self.map_size} for images of {size}: its finest of the last "
                f"{_MAPS[stride]} is {found}; take a model with strides 4, 8, 16 and 32, such as mobilenetv3_small_100"
            )
        self.sides = nn.ModuleList(_convolution(channels, width, 1) for channels in self.backbone.level_channels)
        self.joins = nn.ModuleList(
            nn.Sequential(nn.ReLU(), _convolution(width, width, 3), nn.ReLU(), _convolution(width, width, 3))
            for _ in self.sides[1:]
        )
        self.smooth = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            _convolution(width, width, 1),
            nn.ReLU(),
        )
        self.draw = nn.Conv2d(width, landmarks, 1)
        nn.init.normal_(self.draw.weight, std=0.001)
        if self.draw.bias is not None:
            nn.init.zeros_(self.draw.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), normalised, to heatmaps (B, K, h, w), about 1 at a visible landmark and 0 elsewhere; not clamped."""
        maps = [side(one) for side, one in zip(self.sides, self.backbone.pyramid(images), strict=True)]
        whole = maps.pop()
        for join, finer in zip(self.joins, reversed(maps), strict=True):
            whole = whole + join(whole)
            whole = finer + F.interpolate(whole, finer.shape[2:], mode="bilinear", align_corners=False)
        heatmaps: Tensor = self.draw(self.smooth(whole))
        return heatmaps


def _convolution(channels: int, width: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(width))
