"""A small decoder that labels every pixel from three levels of a backbone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SemanticHead"]


class SemanticHead(nn.Module):
    """Two deconvolutions and a 1x1 convolution over the blocks 4 + 3 and 2 of a ResNet (SORN, section III-D).

        concat(block 3, block 4)        h x w    -> 3x3 deconvolution of stride 2, batch norm, ReLU
        concat(block 2, the result)    2h x 2w   -> 3x3 deconvolution of stride 2, batch norm, ReLU
        the result                     4h x 4w   -> 1x1 convolution to K classes

    A level of another size than this wants (a last stage of stride 2, a transformer, a size that does not halve evenly) is
    resized to it bilinearly; with a ResNet at last stride 1 on 384 x 128 nothing is.

    Args:
        channels: of the blocks 2, 3 and 4.
        classes: K, the background included.
        width: channels of both deconvolutions, which the paper does not give.
    """

    def __init__(self, channels: tuple[int, int, int], classes: int, width: int = 256) -> None:
        super().__init__()
        second, third, fourth = channels
        self.up = _deconvolution(third + fourth, width)
        self.up_again = _deconvolution(second + width, width)
        self.classify = nn.Conv2d(width, classes, 1)
        nn.init.normal_(self.classify.weight, std=0.001)
        nn.init.zeros_(self.classify.bias)  # type: ignore[arg-type]

    def forward(self, second: Tensor, third: Tensor, fourth: Tensor) -> Tensor:
        """Feature maps of the blocks 2, 3 and 4, (B, C_i, h_i, w_i), to logits (B, K, 4h, 4w), h x w that of block 3."""
        upper = self.up(torch.cat([third, _fit(fourth, third)], 1))
        logits: Tensor = self.classify(self.up_again(torch.cat([_fit(second, upper), upper], 1)))
        return logits


def _deconvolution(channels: int, width: int) -> nn.Sequential:
    """Doubles height and width exactly."""
    layer = nn.ConvTranspose2d(channels, width, 3, stride=2, padding=1, output_padding=1, bias=False)
    nn.init.normal_(layer.weight, std=0.001)
    return nn.Sequential(layer, nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def _fit(features: Tensor, other: Tensor) -> Tensor:
    """A feature map at the size of another."""
    size = other.shape[-2:]
    return features if features.shape[-2:] == size else F.interpolate(features, size, mode="bilinear")
