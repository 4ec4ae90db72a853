"""What a parser wrote, labels or probabilities of any label set, to part maps with a channel a region."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from occlureid.cues.arrays import FloatMaps, read_array
from occlureid.cues.groupings import GROUPINGS, grouping_table, label_set
from occlureid.data.images import open_image
from occlureid.errors import DataError, SettingsError, ShapeError

__all__ = [
    "PART_NAMES",
    "LabelArray",
    "group_labels",
    "group_probabilities",
    "is_coloured",
    "part_map",
    "read_labels",
    "read_part_labels",
    "read_probabilities",
]

LabelArray = np.ndarray[Any, np.dtype[np.uint8]]

PART_NAMES: tuple[str, ...] = GROUPINGS["sorn8"]
"""Labels 1 to 7 (SORN, after EANet's part segmentation); 0 is background. Left and right are one part."""


def read_part_labels(path: Path, parts: int = len(PART_NAMES)) -> LabelArray:
    """The labels of a single-channel 8-bit PNG: 0 background, 1 to ``parts``.

    A palette is only there to look at: the label is the palette's index.

    Returns:
        (H, W) uint8.

    Raises:
        DataError: the file is missing, damaged, not a single-channel 8-bit PNG, or has a label beyond ``parts``.
    """
    image = open_image(path, formats=("PNG",))
    if image.mode not in ("L", "P"):
        raise DataError(f"{path}: expected a single-channel 8-bit PNG of part labels, got mode {image.mode}")
    labels = np.array(image, dtype=np.uint8)
    if int(labels.max()) > parts:
        raise DataError(f"{path}: expected labels from 0 (background) to {parts}, found {int(labels.max())}")
    return labels


def is_coloured(path: Path) -> bool:
    """True for a PNG that is a picture of labels in colour, rather than labels.

    Raises:
        DataError: it is missing, damaged, or no PNG.
    """
    return open_image(path, formats=("PNG",)).mode not in ("L", "P")


def part_map(labels: LabelArray, parts: int = len(PART_NAMES)) -> Tensor:
    """(K, H, W) float32, 1 where a pixel is of the part and 0 elsewhere; the background has no channel.

    Args:
        labels: (H, W), 0 for background, part k as k.
        parts: K.

    Raises:
        ShapeError: the labels are not (H, W).
    """
    if labels.ndim != 2:
        raise ShapeError(f"labels must have shape (H, W), got {labels.shape}")
    kinds = torch.arange(1, parts + 1).view(-1, 1, 1)
    return (torch.from_numpy(labels).unsqueeze(0) == kinds).to(torch.float32)


def read_labels(path: Path, labels: str) -> LabelArray:
    """The labels of a single-channel 8-bit PNG, of any label set but "fields".

    A silhouette ("mask") may have 0 and 1, or 0 to 255, of which those above 127 are the person.

    Args:
        path: the file.
        labels: a name of ``LABEL_SETS``.

    Returns:
        (H, W) uint8, the numbers of the label set.

    Raises:
        DataError: as ``read_part_labels``.
        SettingsError: there is no such label set, or it is stored in arrays only.
    """
    known = label_set(labels)
    if known.kind == "fields":
        raise SettingsError(f"{path}: {labels!r} are overlapping fields, which no label image can hold; expected .npy")
    if labels == "mask":
        mask = read_part_labels(path, 255)
        return (mask > (127 if int(mask.max()) > 1 else 0)).astype(np.uint8)
    return read_part_labels(path, len(known.labels) - 1)


def group_labels(values: LabelArray, labels: str, grouping: str) -> LabelArray:
    """(H, W) uint8: 0 background, k the k-th region of a grouping.

    Args:
        values: (H, W) numbers of the label set.
        labels: a name of ``LABEL_SETS``.
        grouping: a name of ``GROUPINGS``, or "labels".

    Raises:
        SettingsError: as ``grouping_table``.
    """
    table = grouping_table(labels, grouping)
    numbers = np.zeros(256, np.uint8)
    for number, (region, members) in enumerate(table.items(), start=1):
        if region != "background":
            numbers[list(members)] = number
    return numbers[values]


def read_probabilities(path: Path, labels: str, values: Literal["probability", "logits"] = "probability") -> FloatMaps:
    """Probability maps of a label set, from an ``.npy`` or ``.npz`` file.

    Channels come first or last (first, where both dimensions would do). Where the label set has a background, its channel
    may be there, as the first, or be left out; logits need it, for they are put through a softmax.

    Args:
        path: the file.
        labels: a name of ``LABEL_SETS``.
        values: what the file holds.

    Returns:
        (C, h, w) float32 in [0, 1], all the labels, background first; "fields" have none.

    Raises:
        DataError: the file is damaged, has another number of channels, or holds values that are no probabilities.
        SettingsError: there is no such label set, or fields are said to be logits.
    """
    known, maps = label_set(labels), read_array(path)
    if values == "logits" and known.kind == "fields":
        raise SettingsError(f"{path}: {labels!r} are confidences, not logits")
    count = len(known.labels)
    counts = (count,) if known.kind == "fields" or values == "logits" else (count, count - 1)
    if maps.shape[0] not in counts:
        maps = np.ascontiguousarray(np.moveaxis(maps, 2, 0))
    if maps.shape[0] not in counts:
        raise DataError(
            f"{path}: expected {' or '.join(str(c) for c in counts)} channels, first or last, for the labels "
            f"{labels!r}, got shape {read_array(path).shape}"
        )
    if values == "logits":
        powers = np.exp(maps - maps.max(axis=0, keepdims=True))
        maps = powers / powers.sum(axis=0, keepdims=True)
    if maps.min() < -0.01 or maps.max() > 1.01:
        raise DataError(
            f"{path}: probabilities must lie in [0, 1], got {maps.min():g} to {maps.max():g}; if they are logits, say so "
            'in labels.json ("values": "logits")'
        )
    maps = maps.clip(0.0, 1.0)
    if known.kind == "labels" and len(maps) == count - 1:
        maps = np.concatenate([(1.0 - maps.sum(axis=0, keepdims=True)).clip(0.0, 1.0), maps])
    return maps


def group_probabilities(maps: FloatMaps, labels: str, grouping: str, size: tuple[int, int]) -> Tensor:
    """Part maps of a grouping from the probability maps of a label set, resized to an image.

    The probability of a region is the sum of its labels', or the highest of overlapping fields. Maps of another size are
    resized bilinearly, with antialiasing.

    Args:
        maps: (C, h, w), as ``read_probabilities`` gives them.
        labels: a name of ``LABEL_SETS``.
        grouping: a name of ``GROUPINGS``, or "labels".
        size: (H, W).

    Returns:
        (K, H, W) float32 in [0, 1].

    Raises:
        SettingsError: as ``grouping_table``.
    """
    known, table = label_set(labels), grouping_table(labels, grouping)
    values = torch.from_numpy(maps)
    regions = []
    for region, members in table.items():
        if region == "background":
            continue
        rows = values[list(members)]
        if not members:
            regions.append(torch.zeros(values.shape[1:]))
        else:
            regions.append(rows.amax(0) if known.kind == "fields" else rows.sum(0))
    grouped = torch.stack(regions).clamp(0.0, 1.0)
    if grouped.shape[1:] != size:
        resized = F.interpolate(grouped[None], size, mode="bilinear", antialias=True, align_corners=False)
        grouped = resized[0].clamp(0.0, 1.0)
    return grouped
