"""SGAM's four regions of the body: from part maps of either kind, how much of an image each takes, and how visible it is."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from occlureid.cues.groupings import GROUPINGS, grouping_table
from occlureid.errors import ShapeError, UsageError

__all__ = ["REGIONS", "RegionVisibility", "body_regions", "region_scores", "region_visibility"]

REGIONS: tuple[str, ...] = GROUPINGS["sgam5"]
"""Head, upper body, lower body, shoes: the regions R_1 to R_4 of SGAM's Eq. 1, from top to bottom."""

RegionVisibility = Literal["area_ref", "fraction", "raw_sum"]
"""How a region's visibility follows from its probabilities (SGAM's Eq. 2), whose scale the paper leaves open:

- "area_ref": its area over its reference area (the mean over the training images), at most 1;
- "fraction": its area as a share of the image;
- "raw_sum": Eq. 2 to the letter, the sum over all pixels, which grows with the size of the image.
"""

_SEVEN = GROUPINGS["sorn8"]


def body_regions(part_map: Tensor) -> Tensor:
    """The maps of the four regions.

    Args:
        part_map: (..., K, H, W) in [0, 1]: with K = 4 the regions themselves (the grouping "sgam5"); with K = 7 the parts of
            "sorn8", of which those of one region add up.

    Returns:
        (..., 4, H, W) in [0, 1].

    Raises:
        ShapeError: another number of parts.
    """
    parts = part_map.shape[-3] if part_map.ndim >= 3 else 0
    if parts == len(REGIONS):
        return part_map
    if parts != len(_SEVEN):
        raise ShapeError(
            f"part_map must have the {len(REGIONS)} channels {', '.join(REGIONS)} (grouping sgam5) or the {len(_SEVEN)} "
            f"channels {', '.join(_SEVEN)} (grouping sorn8), got shape {tuple(part_map.shape)}"
        )
    table = grouping_table("eanet8", "sgam5")  # numbers from 1, for 0 is the background
    return torch.stack(
        [part_map[..., [label - 1 for label in table[region]], :, :].sum(-3) for region in REGIONS], -3
    ).clamp(max=1.0)


def region_visibility(areas: Tensor, reference: Tensor | None, reading: RegionVisibility) -> Tensor:
    """How visible each region is, in [0, 1].

    Args:
        areas: (..., 4) the regions' areas as shares of the image.
        reference: (4,) their reference areas, needed for "area_ref"; a region that has none (0) counts as not visible.
        reading: "raw_sum" gives the same as "fraction" here: the sum over the pixels, divided by their number.

    Raises:
        UsageError: "area_ref" without any reference area.
    """
    if reading != "area_ref":
        return areas.clamp(0, 1)
    if reference is None or not bool((reference > 0).any()):
        raise UsageError(
            "the visibility reading area_ref needs the regions' reference areas, which are measured on the training images "
            "before training; call calibrate, or choose the reading fraction"
        )
    reference = reference.to(areas)
    return torch.where(reference > 0, (areas / reference.clamp_min(1e-12)).clamp(0, 1), 0.0)


def region_scores(visibility: Tensor, reading: RegionVisibility, size: tuple[int, int]) -> Tensor:
    """The S_i that a threshold t_i is compared with: the visibility, times the number of pixels with "raw_sum" (Eq. 2)."""
    return visibility * (size[0] * size[1]) if reading == "raw_sum" else visibility
