"""Partial-REID (Zheng et al., ICCV 2015) and Partial-iLIDS (He et al., CVPR 2018): test sets without cameras.

Query images come in two forms, and their numbers do not compare: cropped to the visible part by hand, or as they were.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from occlureid.data.body_folders import Cameras, body_protocol, body_samples, check_cameras
from occlureid.data.dataset import Counts, ReidDataset
from occlureid.errors import DataError, UsageError

__all__ = [
    "ILIDS_FOLDERS",
    "PARTIAL_ILIDS_COUNTS",
    "PARTIAL_REID_COUNTS",
    "RANKS",
    "read_partial_ilids",
    "read_partial_reid",
]

PARTIAL_REID_COUNTS = Counts(0, 0, 300, 60, 300, 60)
PARTIAL_ILIDS_COUNTS = Counts(0, 0, 119, 119, 119, 119)

RANKS = (1, 3)
"""The ranks that the papers on these sets quote."""

ILIDS_FOLDERS: dict[str, tuple[str, ...]] = {
    "cropped": ("Probe", "query"),
    "uncropped": ("partial_iLIDS_Probe_nocrop",),
    "gallery": ("Gallery", "gallery"),
}
"""The names under which the query images, cropped and not, and the gallery images are passed around."""


def read_partial_reid(
    root: Path, query: Literal["occluded", "cropped"] = "occluded", cameras: Cameras = "split"
) -> ReidDataset:
    """Partial-REID: ``001_003.jpg`` is person 001's image 3; 300 queries, 300 whole images in the gallery, no training.

    Args:
        root: the folder with ``whole_body_images`` and the queries' folder.
        query: "occluded" takes ``occluded_body_images``, as PGFA, SORN and SGAM do; "cropped" takes
            ``partial_body_images``, as DSR, VPM and GASM do.
        cameras: what stands for the camera; see ``Cameras``. "index" ignores one of a query's five true matches.

    Raises:
        DataError: a folder is missing or empty, or a name does not say who.
        UsageError: an argument is none of its values.
    """
    check_cameras(cameras)
    if query not in ("occluded", "cropped"):
        raise UsageError(f'query must be "occluded" or "cropped", got {query!r}')
    name = "partial-reid" if query == "occluded" else "partial-reid-cropped"
    kind = "occluded" if query == "occluded" else "partial"
    queries = body_samples(root / f"{kind}_body_images", kind, cameras)
    gallery = body_samples(root / "whole_body_images", "whole", cameras)
    protocol = body_protocol(name, cameras, (*queries, *gallery), RANKS)
    return ReidDataset(name, root, (), queries, gallery, protocol, PARTIAL_REID_COUNTS)


def read_partial_ilids(root: Path, query: Literal["cropped", "uncropped"] = "cropped") -> ReidDataset:
    """Partial-iLIDS: ``Probe/1.jpg`` and ``Gallery/1.jpg`` are person 1; 119 of each, one true match, no training.

    The uncropped queries are numbered ``001.jpg``: persons are the numbers, without leading zeros.

    Args:
        root: the folder with ``Gallery`` (or ``gallery``) and the queries' folder.
        query: "cropped" takes ``Probe`` (or ``query``), "uncropped" takes ``partial_iLIDS_Probe_nocrop``.

    Raises:
        DataError: a folder is missing or empty, or a name does not say who.
        UsageError: ``query`` is neither of its values.
    """
    if query not in ("cropped", "uncropped"):
        raise UsageError(f'query must be "cropped" or "uncropped", got {query!r}')
    name = "partial-ilids" if query == "cropped" else "partial-ilids-uncropped"
    queries, gallery = (
        tuple(replace(sample, person=str(int(sample.person))) for sample in body_samples(_folder(root, what), kind))
        for what, kind in ((query, "partial"), ("gallery", "whole"))
    )
    protocol = body_protocol(name, "split", (*queries, *gallery), RANKS)
    return ReidDataset(name, root, (), queries, gallery, protocol, PARTIAL_ILIDS_COUNTS)


def _folder(root: Path, what: str) -> Path:
    names = ILIDS_FOLDERS[what]
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DataError(f"{root}: Partial-iLIDS has its {what} images in {' or '.join(names)}, which is not there")
