"""The levels of a backbone as one map: brought to one size, joined, reduced, and weighed by an attention (HCGA)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from occlureid.models.torchvision_operators import declare_missing

__all__ = ["Attention", "JoinedLevels", "SpatialAttention"]

Attention = Literal["spatial", "cbam", "none"]


class JoinedLevels(nn.Module):
    """Feature maps of several resolutions to one map of ``width`` channels.

        every level, bilinear    -> h x w
        joined                   -> sum of the C_i channels
        1x1 convolution, batch norm, ReLU, then the attention    -> ``width`` channels

    Args:
        channels: C_i of the levels, the finest first.
        width: channels of the reduced map.
        size: (h, w); None for that of the finest level.
        attention: "spatial" (``SpatialAttention``), "cbam" (Woo et al., 2018, https://arxiv.org/abs/1807.06521), or "none".

    Attributes:
        channels: of the joined map.
    """

    def __init__(
        self,
        channels: Sequence[int],
        width: int,
        size: tuple[int, int] | None = None,
        attention: Attention = "spatial",
    ) -> None:
        super().__init__()
        self.channels = sum(channels)
        self.size = size
        convolution = nn.Conv2d(self.channels, width, 1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        self.reduce = nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.attention = _attention(attention, width)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps (B, C_i, h_i, w_i) to the joined (B, sum of C_i, h, w) and the reduced (B, width, h, w)."""
        size = levels[0].shape[-2:] if self.size is None else self.size
        fitting = (level.shape[-2:] == torch.Size(size) for level in levels)
        joined = torch.cat(
            [
                level if fits else F.interpolate(level, size, mode="bilinear")
                for level, fits in zip(levels, fitting, strict=True)
            ],
            1,
        )
        reduced: Tensor = self.attention(self.reduce(joined))
        return joined, reduced


class SpatialAttention(nn.Module):
    """Weighs each place of a map by one number in (0, 1), found at half its resolution.

        3x3 convolution of stride 2 to one channel, batch norm, ReLU, bilinear to h x w, batch norm, sigmoid

    The 1x1 convolution of the original in front of the second batch norm would multiply a single channel by a number, of which
    the batch norm leaves the sign; it is left out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        convolution = nn.Conv2d(channels, 1, 3, stride=2, padding=1, bias=False)
        self.look = nn.Sequential(convolution, nn.BatchNorm2d(1), nn.ReLU(inplace=True))
        self.norm = nn.BatchNorm2d(1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) to the same, weighed."""
        coarse = F.interpolate(self.look(features), features.shape[-2:], mode="bilinear")
        return features * torch.sigmoid(self.norm(coarse))


def _attention(kind: Attention, channels: int) -> nn.Module:
    if kind == "none":
        return nn.Identity()
    if kind == "spatial":
        return SpatialAttention(channels)
    declare_missing()
    from timm.layers.cbam import CbamModule

    # the reduction of 16, without the rounding that would leave a narrow map eight channels
    return CbamModule(channels, rd_channels=max(1, channels // 16))
