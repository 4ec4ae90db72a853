"""CPLR of HCGA (Algorithm 1, steps 9 to 17): the labels of a decoder become background and parts of the body."""

from __future__ import annotations

import torch
from torch import Tensor

from occlureid.coparsing.settings import PartSettings

__all__ = ["background_labels", "label_parts", "reassign"]


def background_labels(clusters: Tensor, rule: str) -> list[int]:
    """The labels that are background: those that fill much of the images' edges.

    "released": of all n images together, more than n w / 2 pixels in the first, fourth, fourth last and last row, or more than
    n h / 3 pixels in the first and last column. "perimeter" (Algorithm 1): more than half of the n borders.

    Args:
        clusters: (n, h, w) integers from 0.
        rule: "released" or "perimeter".

    Returns:
        Sorted labels.
    """
    count, height, width = clusters.shape
    kinds = int(clusters.max()) + 1

    def found(pixels: Tensor, least: float) -> set[int]:
        counts = torch.bincount(pixels.flatten().long(), minlength=kinds)
        return {label for label, number in enumerate(counts.tolist()) if number > least}

    if rule == "perimeter":
        rim = torch.ones(height, width, dtype=torch.bool)
        rim[1:-1, 1:-1] = False
        return sorted(found(clusters[:, rim], count * int(rim.sum()) / 2))
    rows = sorted({row for row in (0, 3, height - 4, height - 1) if 0 <= row < height})
    columns = sorted({0, width - 1})
    return sorted(found(clusters[:, rows], count * width / 2) | found(clusters[:, :, columns], count * height / 3))


def label_parts(heights: dict[int, float], parts: int, rule: str) -> dict[int, int]:
    """Which part each foreground label becomes.

    "structure": the range of the heights has as many equal steps as there are parts; the upper half of the first is the head,
    from there to the end of the second is the body, the rest are legs; with more than three parts the others stay empty, as in
    HCGA's released code. "mean": the labels from top to bottom, divided evenly; part i of k takes those from place
    floor((i - 1) n / k) on, so that 7 labels in 3 parts are 2, 2 and 3, and of fewer labels than parts the upper parts go
    without. "auto": structure for three parts, else mean. Labels that all have one height cannot be told apart, and become the
    middle part under "structure".

    Args:
        heights: mean row of each label's pixels; larger is lower in the image.
        parts: how many there are; at least three for "structure".
        rule: "structure", "mean" or "auto".

    Returns:
        A part from 1, top to bottom, for each label.
    """
    if rule == "mean" or (rule == "auto" and parts != 3):
        ordered = sorted(heights, key=lambda label: (heights[label], label))
        return {label: -(-(place + 1) * parts // len(ordered)) for place, label in enumerate(ordered)}
    top, step = min(heights.values()), (max(heights.values()) - min(heights.values())) / parts
    if step == 0:
        return dict.fromkeys(heights, 2)
    return {
        label: 1 if height < top + step / 2 else 2 if height < top + 2 * step else 3
        for label, height in heights.items()
    }


def reassign(clusters: Tensor, settings: PartSettings) -> tuple[Tensor, Tensor, str]:
    """Background and parts of one person's images.

    Args:
        clusters: (n, h, w) uint8, labels of a decoder.
        settings: the rules.

    Returns:
        - (n, h, w) uint8 labels, 0 background, parts from 1;
        - (n,) bool, whether an image has any foreground: of one without nothing is known, for the person must be somewhere;
        - what was out of the ordinary: "no foreground", "no background", "one foreground label", "no foreground in some images",
          or "".
    """
    background = set(background_labels(clusters, settings.background_rule))
    values = clusters.long()
    kinds = int(values.max()) + 1
    rows = torch.arange(clusters.shape[1])[:, None].expand_as(values)
    counts = torch.bincount(values.flatten(), minlength=kinds)
    sums = torch.bincount(values.flatten(), weights=rows.flatten().double(), minlength=kinds)
    heights = {
        label: float(sums[label] / counts[label])
        for label in range(kinds)
        if int(counts[label]) and label not in background
    }
    if not heights:
        return torch.zeros_like(clusters), torch.zeros(len(clusters), dtype=torch.bool), "no foreground"
    table = torch.zeros(kinds, dtype=torch.uint8)
    for label, part in label_parts(heights, settings.parts, settings.part_rule).items():
        table[label] = part
    labels = table[values]
    known = (labels > 0).flatten(1).any(1)
    reasons = ["no background"] if not background else []
    reasons += ["one foreground label"] if len(heights) == 1 else []
    reasons += ["no foreground in some images"] if not bool(known.all()) else []
    return labels, known, ", ".join(reasons)
