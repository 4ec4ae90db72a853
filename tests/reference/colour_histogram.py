"""Matching people by the colours of their clothes alone: what the rendered world's nuisances must make useless."""

import torch
from torch import Tensor

STRIPES, BINS = 6, 16


def colour_histogram_descriptor(images: Tensor, shown: Tensor | None = None) -> Tensor:
    """Histograms of eight colour channels in six horizontal stripes, the colour half of ELF (Gray and Tao, ECCV 2008).

    The channels are R, G, B, hue, saturation, Y, Cb and Cr; hue counts as much as the pixel is saturated. Without masks, pixels
    count less towards the left and right edge, where the background is.

    Args:
        images: (N, 3, H, W) RGB, uint8 or float in [0, 1].
        shown: (N, H, W) bool, where the person is seen; a stripe without such a pixel agrees with no other.

    Returns:
        (N, 768) of length 1; the dot product of two is the mean Bhattacharyya coefficient of their histograms.
    """
    pixels = images.float() / 255.0 if images.dtype == torch.uint8 else images.float()
    count, _, height, width = pixels.shape
    red, green, blue = pixels.unbind(1)
    most, least = pixels.amax(1), pixels.amin(1)
    spread = most - least
    saturation = spread / most.clamp_min(1e-6)
    share = spread.clamp_min(1e-6)
    hue = torch.where(
        most == red,
        (green - blue) / share % 6,
        torch.where(most == green, (blue - red) / share + 2, (red - green) / share + 4),
    )
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    channels = (red, green, blue, hue / 6, saturation, luma, 0.5 + 0.564 * (blue - luma), 0.5 + 0.713 * (red - luma))
    across = torch.exp(-0.5 * ((torch.arange(width) + 0.5 - width / 2) / (width / 5)) ** 2).expand_as(red)
    if shown is not None:
        across = shown.float()
    stripe = torch.arange(height) * STRIPES // height
    rows = (torch.arange(count)[:, None, None] * STRIPES + stripe[None, :, None]) * BINS
    found = []
    for number, channel in enumerate(channels):
        bins = (channel * BINS).long().clamp(0, BINS - 1)
        weight = across * saturation if number == 3 else across
        histogram = torch.zeros(count * STRIPES * BINS).index_add_(0, (rows + bins).flatten(), weight.flatten())
        found.append(histogram.view(count, STRIPES, BINS))
    histograms = torch.stack(found, dim=1)
    histograms = histograms / histograms.sum(-1, keepdim=True).clamp_min(1e-6)
    return torch.nn.functional.normalize(histograms.flatten(1).sqrt(), dim=1)
