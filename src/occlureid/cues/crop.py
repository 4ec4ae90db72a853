"""SGAM's automatic cropping (section 3.1): what an image shows of the visible regions of the body, in front of any method.

Yang et al., "Focus on the Visible Regions: Semantic-Guided Alignment Model for Occluded Person Re-Identification", score each of
four regions by its probabilities (Eq. 2), drop those below a threshold, and cut away the rest; how, the paper does not say. Here

1. the whole image is parsed, and a region is kept if its visibility reaches its threshold;
2. the box is the bounding box of the pixels whose likeliest label is a kept region, widened by a margin;
3. the image and all of its cues are cut to the box; a source that computes part maps looks at the cut image anew.

Where nothing is kept, or next to nothing, the whole image is taken, and counted. ``Crop`` is measured on the training images,
stored with the weights, and applied alike in training, query and gallery.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from PIL import Image
from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor

from occlureid.config import Settings
from occlureid.cues.regions import REGIONS, RegionVisibility, body_regions, region_scores, region_visibility
from occlureid.data.images import read_image
from occlureid.data.loader import CueSource
from occlureid.data.transforms import cut
from occlureid.errors import DataError, SettingsError, UsageError
from occlureid.types import CueName, Cues, Sample

__all__ = ["Box", "Crop", "CropSettings", "Cropping", "ParsesAgain", "measure_crop"]

_log = logging.getLogger(__name__)

Box = tuple[int, int, int, int]
"""top, left, bottom, right in pixels; the last row and column are left out."""


class CropSettings(Settings):
    """How images are cropped; the paper gives no numbers."""

    mode: Literal["off", "rows", "box"] = "off"
    """off: images stay whole; rows: cut above and below; box: cut on all four sides"""
    visibility: RegionVisibility = "area_ref"
    """a region's score: its area over its mean area in training (area_ref), as a share of the image (fraction), or in pixels
    (raw_sum, Eq. 2 to the letter)"""
    threshold: float | tuple[float, float, float, float] = 0.1
    """a region whose score is lower is dropped; one number, or one each for head, upper body, lower body and shoes"""
    margin: float = Field(0.05, ge=0, le=1)
    """the box is widened on each side by this share of its height or width"""
    least_area: float = Field(0.1, ge=0, le=1)
    """an image whose box, before the margin, is a smaller share of it stays whole"""
    parse_again: bool = True
    """look at the cut image anew, where the part maps are computed; false (and files of part maps) cuts the maps too"""

    @field_validator("mode", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML reads a bare off as false

    @model_validator(mode="after")
    def _in_range(self) -> CropSettings:
        values = self.thresholds()
        if min(values) < 0 or (self.visibility != "raw_sum" and max(values) > 1):
            raise PydanticCustomError(
                "settings", "threshold must not be negative, and at most 1 unless visibility is raw_sum"
            )
        return self

    def thresholds(self) -> tuple[float, ...]:
        """One threshold a region."""
        return (self.threshold,) * len(REGIONS) if isinstance(self.threshold, float) else self.threshold


@dataclass(frozen=True, slots=True)
class _Extent:
    """Where the regions are: shares of the image, and for each the box of the pixels whose likeliest label it is."""

    size: tuple[int, int]
    areas: tuple[float, ...]
    boxes: tuple[Box | None, ...]


def _extent(part_map: Tensor) -> _Extent:
    """Of the part map (K, H, W) of one image.

    Raises:
        ShapeError: its channels are not those of ``body_regions``.
    """
    regions = body_regions(part_map).float()
    likeliest = torch.cat([(1 - regions.sum(0, keepdim=True)).clamp_min(0), regions]).argmax(0)
    boxes: list[Box | None] = []
    for number in range(1, len(REGIONS) + 1):
        mask = likeliest == number
        rows, columns = mask.any(1).nonzero().flatten().tolist(), mask.any(0).nonzero().flatten().tolist()
        boxes.append((rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) if rows else None)
    height, width = regions.shape[1:]
    return _Extent((height, width), tuple(regions.mean((1, 2)).tolist()), tuple(boxes))


@dataclass(frozen=True, slots=True)
class Crop:
    """A crop that is ready to use: settings, and what was measured for them.

    Attributes:
        settings: the mode is "rows" or "box".
        reference: the regions' mean areas in the training images, as shares of the image; empty where not needed.
    """

    settings: CropSettings
    reference: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        needed = len(REGIONS) if self.settings.visibility == "area_ref" else 0
        if self.settings.mode == "off":
            raise SettingsError("a crop that is off crops nothing; set mode to rows or box")
        if len(self.reference) != needed or not all(0 <= area <= 1 for area in self.reference):
            raise DataError(f"reference must hold {needed} areas in [0, 1], got {self.reference}")

    def box(self, part_map: Tensor) -> Box | None:
        """What to keep of an image.

        Args:
            part_map: (4, H, W) or (7, H, W), see ``body_regions``.

        Returns:
            The box, within the image and with the margin; None where no region is kept, or too little of the image.

        Raises:
            ShapeError: the part map has other channels.
        """
        return self._decide(_extent(part_map))

    def _decide(self, extent: _Extent) -> Box | None:
        settings, (height, width) = self.settings, extent.size
        reference = torch.tensor(self.reference) if self.reference else None
        visibility = region_visibility(torch.tensor(extent.areas), reference, settings.visibility)
        scores = region_scores(visibility, settings.visibility, extent.size).tolist()
        kept = [
            box
            for box, score, threshold in zip(extent.boxes, scores, settings.thresholds(), strict=True)
            if box is not None and score >= threshold
        ]
        if not kept:
            return None
        top, left, bottom, right = (
            choose(box[side] for box in kept) for side, choose in enumerate((min, min, max, max))
        )
        if (bottom - top) * (right - left) < settings.least_area * height * width:
            return None
        above, beside = round(settings.margin * (bottom - top)), round(settings.margin * (right - left))
        rows = max(0, top - above), min(height, bottom + above)
        columns = (0, width) if settings.mode == "rows" else (max(0, left - beside), min(width, right + beside))
        return rows[0], columns[0], rows[1], columns[1]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"settings": self.settings.to_dict(), "reference": list(self.reference)}

    @classmethod
    def from_json(cls, record: Any) -> Crop:
        """The inverse of ``to_json``.

        Raises:
            DataError: the record is damaged.
        """
        try:
            if set(record) != {"settings", "reference"}:
                raise DataError(f"a crop has settings and reference, got {str(record)[:200]}")
            return cls(CropSettings.build(record["settings"]), tuple(float(area) for area in record["reference"]))
        except (TypeError, ValueError, AttributeError, SettingsError) as error:
            raise DataError(f"not a crop: {error}") from error


@runtime_checkable
class ParsesAgain(Protocol):
    """A source of cues that can look at a part of an image anew."""

    def again(self, sample: Sample, picture: Image.Image, box: Box) -> Cues:
        """The cues of ``picture``, the part of a sample's image within ``box``, in its pixels."""
        ...


@dataclass(frozen=True, slots=True)
class Cropping:
    """Crops images and cues as they are loaded (``ReidImages``); the cues come from ``source`` and are dropped unless needed.

    Attributes:
        crop: where to cut.
        source: gives the cues of whole images, the part map among them.
        keep: the cues to hand on.
    """

    crop: Crop
    source: CueSource
    keep: frozenset[CueName] = frozenset()

    def __call__(self, sample: Sample, picture: Image.Image) -> tuple[Image.Image, Cues, bool]:
        """The image, its cues, and whether it was cropped: False where nothing of it was to be kept, and it is whole.

        Raises:
            DataError: the cues are damaged.
            MissingCueError: there is no part map.
            ShapeError: the part map is of another size, or of other parts.
        """
        cues = self.source(sample, (picture.height, picture.width))
        box = self.crop.box(cues.require("part_map"))
        if box is not None:
            picture, cues = cut(picture, cues, box)
            source: object = self.source
            if self.crop.settings.parse_again and isinstance(source, ParsesAgain):
                anew = source.again(sample, picture, box)
                changed = {name: getattr(anew, name) for name in anew.names}
                cues = replace(cues, **changed, part_flip=anew.part_flip if "part_map" in changed else cues.part_flip)
        dropped: dict[str, Any] = dict.fromkeys(cues.names - self.keep)
        if "part_map" in dropped:
            dropped["part_flip"] = ()
        return picture, replace(cues, **dropped), box is not None


def measure_crop(
    settings: CropSettings,
    samples: Sequence[Sample] | Iterable[Sample],
    source: CueSource,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Crop, dict[str, int]]:
    """A crop for a training set: measures the regions' reference areas, and counts what it does.

    Args:
        settings: the mode is "rows" or "box".
        samples: the training images; each is read once.
        source: gives their part maps.
        progress: called with (images done, images in all).

    Returns:
        The crop, and {"images": all, "whole": those with nothing to keep}, which is logged too.

    Raises:
        DataError: an image or its cues cannot be read.
        UsageError: there are no images, or no part map shows any region.
    """
    samples = tuple(samples)
    extents = []
    for number, sample in enumerate(samples, start=1):
        picture = read_image(sample.path)
        part_map = source(sample, (picture.height, picture.width)).require("part_map")
        if tuple(part_map.shape[-2:]) != (picture.height, picture.width):
            raise DataError(
                f"{sample.path}: part_map must be of the image's size {(picture.height, picture.width)}, "
                f"got {tuple(part_map.shape)}"
            )
        extents.append(_extent(part_map))
        if progress:
            progress(number, len(samples))
    means = [sum(extent.areas[region] for extent in extents) / max(1, len(extents)) for region in range(len(REGIONS))]
    if not any(means):
        raise UsageError(f"the part maps of the {len(samples)} training images show nobody, so nothing can be cropped")
    crop = Crop(settings, tuple(means) if settings.visibility == "area_ref" else ())
    whole = sum(crop._decide(extent) is None for extent in extents)
    _log.info(
        "crop %s: %d of %d training images show no region to keep and stay whole", settings.mode, whole, len(extents)
    )
    return crop, {"images": len(extents), "whole": whole}
