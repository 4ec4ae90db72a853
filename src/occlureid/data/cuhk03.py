"""CUHK03 in the new protocol (Zhong et al., CVPR 2017): Market-1501's folders, once for each kind of box.

Not the classic protocol: many gallery images a person, two cameras, and true matches of the query's camera are ignored.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from occlureid.data.box_folders import SPLIT_FOLDERS, read_boxes
from occlureid.data.dataset import Counts, ReidDataset
from occlureid.errors import DataError, UsageError
from occlureid.types import Protocol

__all__ = ["CUHK03_NP_COUNTS", "read_cuhk03_np"]

CUHK03_NP_COUNTS: dict[str, Counts] = {
    "detected": Counts(7_365, 767, 1_400, 700, 5_332, 700),
    "labeled": Counts(7_368, 767, 1_400, 700, 5_328, 700),
}
"""By how the boxes were made: by a detector, or by hand."""


def read_cuhk03_np(root: Path, boxes: Literal["detected", "labeled"] = "detected") -> ReidDataset:
    """``{detected,labeled}/{bounding_box_train,query,bounding_box_test}/0001_c1_1.png``: person 0001, camera 1.

    Args:
        root: the folder with ``detected`` and ``labeled``, or one of these itself.
        boxes: which of them to read.

    Raises:
        DataError: a folder is missing or empty, or a name does not say who and where.
        UsageError: ``boxes`` is neither of its values.
    """
    if boxes not in CUHK03_NP_COUNTS:
        raise UsageError(f"boxes must be one of {', '.join(CUHK03_NP_COUNTS)}, got {boxes!r}")
    name = f"cuhk03-np-{boxes}"
    inside = (root / boxes).is_dir()
    if not inside and not (root / SPLIT_FOLDERS[0]).is_dir():
        raise DataError(
            f"{root}: the layout {name!r} has {', '.join(SPLIT_FOLDERS)} in a folder {boxes}; it is not there"
        )
    dataset = read_boxes(root / boxes if inside else root, name, Protocol(name, junk=()), CUHK03_NP_COUNTS[boxes])
    return replace(dataset, root=root)
