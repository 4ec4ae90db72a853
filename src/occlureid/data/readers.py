"""Opening a dataset by its folder: ``open_dataset("data/market")`` recognises the layout, or takes the one named.

Options that a layout's name does not say (seeds of splits, made-up cameras) are arguments of the readers themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from occlureid.data import box_folders as box
from occlureid.data.cuhk03 import CUHK03_NP_COUNTS, read_cuhk03_np
from occlureid.data.dataset import Counts, ReidDataset
from occlureid.data.msmt17 import MSMT17_COUNTS, read_msmt17
from occlureid.data.occluded_reid import (
    HALF_COUNTS,
    OCCLUDED_REID_COUNTS,
    read_occluded_reid,
    read_occluded_reid_half,
)
from occlureid.data.own_data import read_csv, read_folder
from occlureid.data.p_duke import P_DUKE_COUNTS, read_p_duke
from occlureid.data.partial import PARTIAL_ILIDS_COUNTS, PARTIAL_REID_COUNTS, read_partial_ilids, read_partial_reid
from occlureid.data.recognise import recognise
from occlureid.errors import DataError, UsageError

__all__ = ["LAYOUTS", "Layout", "open_dataset"]

_DUKE_IS_GONE = (
    "DukeMTMC was withdrawn by its authors in 2019: its people never agreed to it; look for another set, or ask the ethics "
    "board of your institution before you use or publish with images that you still have"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a dataset lies on disk.

    Attributes:
        name: what ``open_dataset(path, layout=...)`` takes.
        description: one line: folders, file names, protocol.
        read: the reader.
        expected: the counts that the authors published, or None.
        withdrawn: why nobody distributes the images any more; empty where they are still to be had.
        terms: what its authors allow, in short; empty for data of one's own.
        separate_ids: training and test images number their persons separately: equal numbers are different people.
    """

    name: str
    description: str
    read: Callable[[Path], ReidDataset]
    expected: Counts | None = None
    withdrawn: str = ""
    terms: str = ""
    separate_ids: bool = False


_BOXES = "bounding_box_train, query, bounding_box_test"
_RESEARCH = "for research; read the terms that came with the images"
_ACADEMIC = "for academic, not commercial, use"
_APPLICATION = "given out on application, for academic use, under an agreement that forbids passing it on"

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout(
            "market1501",
            f'Market-1501: {_BOXES} with files like 0002_c1s1_000451_03.jpg; person "-1" is junk, "0000" are negatives',
            box.read_market1501,
            box.MARKET1501_COUNTS,
            terms=_RESEARCH,
        ),
        Layout(
            "dukemtmc",
            f"DukeMTMC-reID (withdrawn): {_BOXES} with files like 0002_c1_f0044158.jpg",
            box.read_dukemtmc,
            box.DUKEMTMC_COUNTS,
            withdrawn=_DUKE_IS_GONE,
        ),
        Layout(
            "occluded-duke",
            "Occluded-DukeMTMC (withdrawn): as dukemtmc, other images; average precision by the trapezoid is quoted first",
            box.read_occluded_duke,
            box.OCCLUDED_DUKE_COUNTS,
            withdrawn=_DUKE_IS_GONE,
        ),
        Layout(
            "p-dukemtmc",
            "P-DukeMTMC-reID (withdrawn): {train,test}/{occluded,whole}_body_images; occluded queries, whole gallery",
            read_p_duke,
            P_DUKE_COUNTS,
            withdrawn=_DUKE_IS_GONE,
        ),
        Layout(
            "occluded-reid",
            "Occluded-REID, trained elsewhere: occluded_body_images (queries), whole_body_images, files like 002/002_01.tif",
            read_occluded_reid,
            OCCLUDED_REID_COUNTS,
            terms=_ACADEMIC,
        ),
        Layout(
            "occluded-reid-half",
            "Occluded-REID, trained on half of its persons (88 to 187): as occluded-reid; or train, query, test",
            read_occluded_reid_half,
            HALF_COUNTS,
            terms=_ACADEMIC,
        ),
        Layout(
            "partial-reid",
            "Partial-REID with occluded queries: occluded_body_images, whole_body_images, files like 001_003.jpg",
            read_partial_reid,
            PARTIAL_REID_COUNTS,
            terms=_RESEARCH,
        ),
        Layout(
            "partial-reid-cropped",
            "Partial-REID with queries cropped to the visible part: partial_body_images, whole_body_images",
            partial(read_partial_reid, query="cropped"),
            PARTIAL_REID_COUNTS,
            terms=_RESEARCH,
        ),
        Layout(
            "partial-ilids",
            "Partial-iLIDS with cropped queries: Probe/1.jpg and Gallery/1.jpg; one true match a query",
            read_partial_ilids,
            PARTIAL_ILIDS_COUNTS,
            terms=_RESEARCH,
        ),
        Layout(
            "partial-ilids-uncropped",
            "Partial-iLIDS with queries as they were: partial_iLIDS_Probe_nocrop/001.jpg and Gallery/1.jpg",
            partial(read_partial_ilids, query="uncropped"),
            PARTIAL_ILIDS_COUNTS,
            terms=_RESEARCH,
        ),
        Layout(
            "cuhk03-np-detected",
            f"CUHK03, new protocol, boxes by a detector: detected/ with {_BOXES} and files like 0001_c1_1.png",
            read_cuhk03_np,
            CUHK03_NP_COUNTS["detected"],
            terms=_RESEARCH,
        ),
        Layout(
            "cuhk03-np-labeled",
            "CUHK03, new protocol, boxes by hand: as cuhk03-np-detected, in labeled/",
            partial(read_cuhk03_np, boxes="labeled"),
            CUHK03_NP_COUNTS["labeled"],
            terms=_RESEARCH,
        ),
        Layout(
            "msmt17",
            "MSMT17 V1: train, test, and list_{train,val,query,gallery}.txt; the two training lists together",
            read_msmt17,
            MSMT17_COUNTS,
            terms=_APPLICATION,
            separate_ids=True,
        ),
        Layout(
            "msmt17-v2",
            "MSMT17 V2 (faces masked): as msmt17, in mask_train_v2 and mask_test_v2",
            partial(read_msmt17, version="v2"),
            MSMT17_COUNTS,
            terms=_APPLICATION,
            separate_ids=True,
        ),
        Layout(
            "synthetic",
            f"a rendered world: as market1501, with visible fraction and obstacle in {box.TRUTH_FILE}",
            box.read_synthetic,
        ),
        Layout(
            "folder",
            "one's own: {train,query,gallery}/<person>/<camera>/<any name>.jpg; train may be missing",
            read_folder,
        ),
        Layout(
            "csv",
            "one's own: a CSV file with the columns path, person, camera, split; split train may be missing",
            read_csv,
        ),
    )
}
"""Every layout by its name."""


def open_dataset(path: Path | str, layout: str = "auto") -> ReidDataset:
    """Reads a dataset: lists its files and checks their names; no image is opened.

    Args:
        path: the dataset's folder, or a CSV file.
        layout: a name of ``LAYOUTS``, or "auto" to recognise it. DukeMTMC-reID and Occluded-DukeMTMC name their files
            alike: "auto" takes the latter only where the images of all three splits are exactly as many as published.
            Where a folder can be read by several protocols (Occluded-REID, Partial-REID), "auto" does not choose.

    Raises:
        UsageError: there is no such layout.
        DataError: nothing is there, no layout or more than one fits, or the data is not what the layout says.
    """
    path = Path(path)
    if layout != "auto" and layout not in LAYOUTS:
        raise UsageError(f"no layout {layout!r}; choose auto or one of: {', '.join(LAYOUTS)}")
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    if path.is_file() != (layout == "csv") and not (layout == "auto" and path.suffix.lower() == ".csv"):
        wanted, got = ("a CSV file", "a folder") if layout == "csv" else ("a folder (or a CSV file)", "a file")
        if path.is_file() or layout == "csv":
            raise DataError(f"{path}: expected {wanted}, got {got}")
    return LAYOUTS[recognise(path) if layout == "auto" else layout].read(path)
