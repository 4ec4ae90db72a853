"""Opening a dataset by its folder: ``open_dataset("data/market")`` recognises the layout, or takes the one named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from occlureid.data import box_folders as box
from occlureid.data.dataset import Counts, ReidDataset
from occlureid.data.files import image_files
from occlureid.data.own_data import SPLITS, read_csv, read_folder
from occlureid.errors import DataError, UsageError

__all__ = ["LAYOUTS", "Layout", "open_dataset"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a dataset lies on disk.

    Attributes:
        name: what ``open_dataset(path, layout=...)`` takes.
        description: one line: folders, file names, protocol.
        read: the reader.
        expected: the counts that the authors published, or None.
    """

    name: str
    description: str
    read: Callable[[Path], ReidDataset]
    expected: Counts | None = None


_BOXES = "bounding_box_train, query, bounding_box_test"

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout(
            "market1501",
            f'Market-1501: {_BOXES} with files like 0002_c1s1_000451_03.jpg; person "-1" is junk, "0000" are negatives',
            box.read_market1501,
            box.MARKET1501_COUNTS,
        ),
        Layout(
            "dukemtmc",
            f"DukeMTMC-reID: {_BOXES} with files like 0002_c1_f0044158.jpg",
            box.read_dukemtmc,
            box.DUKEMTMC_COUNTS,
        ),
        Layout(
            "occluded-duke",
            "Occluded-DukeMTMC: as dukemtmc, other images; average precision by the trapezoid is quoted first",
            box.read_occluded_duke,
            box.OCCLUDED_DUKE_COUNTS,
        ),
        Layout(
            "synthetic",
            f"a rendered world: as market1501, with visible fraction and obstacle in {box.TRUTH_FILE}",
            box.read_synthetic,
        ),
        Layout("folder", "one's own: {train,query,gallery}/<person>/<camera>/<any name>.jpg", read_folder),
        Layout("csv", "one's own: a CSV file with the columns path, person, camera, split", read_csv),
    )
}
"""Every layout by its name."""


def open_dataset(path: Path | str, layout: str = "auto") -> ReidDataset:
    """Reads a dataset: lists its files and checks their names; no image is opened.

    Args:
        path: the dataset's folder, or a CSV file.
        layout: a name of ``LAYOUTS``, or "auto" to recognise it. DukeMTMC-reID and Occluded-DukeMTMC name their files
            alike: "auto" takes the latter only where the images of all three splits are exactly as many as published.

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
    return LAYOUTS[_recognise(path) if layout == "auto" else layout].read(path)


def _recognise(path: Path) -> str:
    if path.is_file():
        return "csv"
    boxes = all((path / folder).is_dir() for folder in box.SPLIT_FOLDERS)
    own = all((path / split).is_dir() for split in SPLITS)
    if boxes and own:
        raise DataError(f"{path}: has the folders of both {_BOXES} and {', '.join(SPLITS)}; name the layout")
    if own:
        return "folder"
    if not boxes:
        looked_for = f"{_BOXES} (Market-1501 and DukeMTMC layouts), or {', '.join(SPLITS)} (one's own), or a CSV file"
        inner = [p for p in sorted(path.iterdir()) if (p / box.SPLIT_FOLDERS[0]).is_dir() or (p / SPLITS[0]).is_dir()]
        hint = f"; did you mean {inner[0]}?" if inner else ""
        raise DataError(f"{path}: no known layout; looked for {looked_for}{hint}")
    if (path / box.TRUTH_FILE).is_file():
        return "synthetic"
    return _market_or_duke(path)


def _market_or_duke(path: Path) -> str:
    names = [[file.name for file in image_files(path / folder)] for folder in box.SPLIT_FOLDERS]
    flat = [name for split in names for name in split]
    market, duke = sum(map(box.is_market_name, flat)), sum(map(box.is_duke_name, flat))
    if (market > 0) == (duke > 0):
        raise DataError(
            f"{path}: cannot tell the layout by the names of its {len(flat)} files: {market} are like "
            f"0002_c1s1_000451_03.jpg (market1501), {duke} like 0002_c1_f0044158.jpg (dukemtmc); name the layout "
            "(market1501 also reads <person>_c<camera>...)"
        )
    if market:
        return "market1501"
    published = box.OCCLUDED_DUKE_COUNTS
    occluded = [published.train_images, published.query_images, published.gallery_images]
    return "occluded-duke" if [len(split) for split in names] == occluded else "dukemtmc"
