"""Part labels that a run made for its own images, as the cues of a batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from occlureid.errors import ShapeError
from occlureid.types import Cues

__all__ = ["GuidedCues"]


@dataclass(frozen=True, eq=False, slots=True)
class GuidedCues:
    """Part labels of N images; takes the place of the part map and the foreground that a source of cues may give.

    ``ReidImages`` lays them over an image that has its final size already, before any augmentation: each pixel takes the label
    that holds its centre. So a label's edge stays an edge, whatever size the image is stored in and however it was cropped: it
    is enlarged once and never blurred, and every transform after that (flip, padding and crop, erasing, pasted obstacles) moves
    or clears whole pixels. All maps of a batch are exactly 0 or 1. A method whose own map is smaller by a whole factor gets
    the labels back by ``nearest-exact`` interpolation, up to half a cell where padding and crop shifted the image by less than a
    cell; area interpolation gives the share of a cell instead.

    What a transform clears (an erased rectangle, a pasted obstacle, the black margin) has neither part nor foreground: it is
    background, also in an image of which nothing is known, for it is known to be no person.

    Attributes:
        labels: (N, h, w) uint8 over the whole image, cropped where images are cropped: 0 background, 1 to ``parts`` the parts.
        known: (N,) bool; where False the foreground is 1 and the part map 0 everywhere.
        parts: the number of parts.
    """

    labels: Tensor
    known: Tensor
    parts: int

    def over(self, cues: Cues, index: int, size: tuple[int, int]) -> Cues:
        """An image's cues with part_map (parts, H, W) and foreground (H, W) from its labels; the parts have no sides.

        Args:
            cues: what else is known of the image, in its pixels.
            index: of the image.
            size: (height, width) of the image.

        Raises:
            ShapeError: there are no labels for this image.
        """
        if not 0 <= index < len(self.labels):
            raise ShapeError(f"there are labels for {len(self.labels)} images, got the index {index}")
        if not bool(self.known[index]):
            return replace(cues, part_map=torch.zeros(self.parts, *size), foreground=torch.ones(size), part_flip=())
        rows, columns = (
            (2 * torch.arange(pixels) + 1) * cells // (2 * pixels)  # the cell that holds the centre of each pixel
            for pixels, cells in zip(size, self.labels.shape[1:], strict=True)
        )
        labels = self.labels[index][rows[:, None], columns[None, :]]
        part_map = labels[None] == torch.arange(1, self.parts + 1, dtype=torch.uint8)[:, None, None]
        return replace(cues, part_map=part_map.float(), foreground=(labels > 0).float(), part_flip=())
