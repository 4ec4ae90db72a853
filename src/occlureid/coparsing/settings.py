"""How images of one person are parsed together: HCGA's HCNet and label reassignment, and ISP's clustering."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from occlureid.config import Settings

__all__ = ["ClusterSettings", "CoparseSettings", "PartSettings"]


class PartSettings(Settings):
    """What the labels of a decoder become: background, and parts from top to bottom (HCGA's CPLR)."""

    parts: int = Field(3, ge=1, le=20)
    """parts of the body, C - 1: the background is not among them"""
    background_rule: Literal["released", "perimeter"] = "released"
    """which labels are background, counted over all images: released, those with more pixels in the first, fourth, fourth last
    and last row than half a row an image, or more in the first and last column than a third of a column an image; perimeter,
    those with more pixels on the border than half of it (Algorithm 1)"""
    part_rule: Literal["auto", "structure", "mean"] = "auto"
    """which part a foreground label becomes: structure, head, body or legs by its height within the person (three parts or
    more, of which it fills three: the released code for every C); mean, by its rank in height; auto, structure where there are
    three parts, else mean"""

    @model_validator(mode="after")
    def _has_parts_enough(self) -> Self:
        if self.part_rule == "structure" and self.parts < 3:
            raise PydanticCustomError(
                "settings",
                f"part_rule structure tells head, body and legs apart, so that parts must be at least 3, got {self.parts}; "
                "set part_rule to mean",
            )
        return self


class CoparseSettings(PartSettings):
    """HCNet's decoders; the defaults are the paper's (section IV-A), its weights those for Occluded-Duke."""

    min_images: int = Field(2, ge=1)
    """persons with fewer images are not parsed: there is nothing that their images could have in common"""
    kernels: int = Field(32, ge=2, le=255)
    """labels that a decoder has to give, C'"""
    width: int = Field(64, ge=1, le=1024)
    """channels of the first and third block"""
    narrow: int = Field(32, ge=1, le=1024)
    """channels of the second block"""
    min_labels: int = Field(18, ge=1, le=255)
    """a decoder is left as it is once it uses so few labels, min_L"""
    stop: Literal["at_most", "below"] = "at_most"
    """whether exactly min_labels labels are few enough (at_most, the released code) or not (below, the paper)"""
    steps: int = Field(32, ge=1, le=10_000)
    """steps at most"""
    lr: float = Field(0.1, gt=0)
    """learning rate of SGD"""
    momentum: float = Field(0.9, ge=0, lt=1)
    """momentum of SGD"""
    norm: Literal[1, 2] = 1
    """p of the local and the background loss: 1, absolute differences; 2, squared ones"""
    weight_local: float = Field(2.0, ge=0)
    """weight of the local consistency, lambda_L; 0 leaves it out"""
    weight_background: float = Field(1.0, ge=0)
    """weight of the background grouping, lambda_B; 0 leaves it out"""
    radius: Literal[3, 5] = 3
    """side R of the window in which neighbours are compared: 3, one pixel apart; 5, two pixels apart as well"""
    diagonal_weight: float = Field(1.0, ge=0)
    """weight of diagonal neighbours as a share of that of vertical and horizontal ones, which is weight_local; 0 leaves them out.
    The released code gives the diagonals a weight of their own, DIAG_WEIGHT, which is this times weight_local"""
    pairs: Literal["camera", "list"] = "camera"
    """which images the background loss compares: camera, neighbours in time within one camera; list, neighbours in the order
    given, whatever their cameras (the released code)"""
    reduction: Literal["mean", "sum"] = "mean"
    """whether losses are means over pixels, channels and pairs (the released code, for which the weights were chosen) or sums
    (as printed)"""
    initial: Literal["kaiming", "torch"] = "kaiming"
    """bounds of the first kernels, uniform: kaiming, sqrt(6 / inputs) for ReLU (the paper's [43]); torch, 1 / sqrt(inputs),
    what PyTorch gives a convolution"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """of the products in the decoders; everything else is float32"""


class ClusterSettings(Settings):
    """ISP's cascaded clustering of the pixels of one person: foreground by activation, then parts."""

    parts: int = Field(3, ge=1, le=20)
    """parts of the body; the background is not among them"""
    activation: Literal["length", "sigmoid"] = "length"
    """what is divided into foreground and background: length, that of a pixel's feature as a share x of the longest in its image;
    sigmoid, 1 / (1 + exp(-5 (2 x - 1) - 3)), as ISP's released code by default, though not for Occluded-DukeMTMC"""
    iterations: int = Field(100, ge=1, le=10_000)
    """iterations of k-means at most"""
    restarts: int = Field(1, ge=1, le=100)
    """beginnings of k-means of which the best counts"""
