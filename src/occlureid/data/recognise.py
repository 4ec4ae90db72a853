"""Which layout a folder has, by the names of the folders and files in it; what fits several is an error that names them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from occlureid.data import box_folders as box
from occlureid.data.body_folders import BODY_FOLDERS, has_camera
from occlureid.data.cuhk03 import CUHK03_NP_COUNTS
from occlureid.data.files import SUFFIX_PATTERN, entries, image_files
from occlureid.data.lip import find_lip
from occlureid.data.msmt17 import MSMT17_FOLDERS, MSMT17_LISTS
from occlureid.data.occluded_reid import SPLIT_ON_DISK
from occlureid.data.own_data import SPLITS
from occlureid.data.p_duke import P_DUKE_FOLDERS
from occlureid.data.partial import ILIDS_FOLDERS
from occlureid.errors import DataError

__all__ = ["recognise"]

_BOXES = ", ".join(box.SPLIT_FOLDERS)
_LOOKED_FOR = (
    f"{_BOXES} (Market-1501, DukeMTMC and CUHK03-NP layouts), {', '.join(SPLITS)} (one's own), {' and '.join(BODY_FOLDERS[::2])} "
    "(Occluded-REID, Partial-REID; P-DukeMTMC in train and test), Probe and Gallery (Partial-iLIDS), "
    f"{MSMT17_LISTS[0]} (MSMT17), or a CSV file"
)
_CUHK03_NAME = re.compile(rf"\d{{4}}_c[12]_\d{{1,3}}{SUFFIX_PATTERN}", re.ASCII)
_ENOUGH = 50


def recognise(path: Path) -> str:
    """The name of the one layout that a folder or file has; no image is opened.

    Raises:
        DataError: none fits, or several do: then they are named, to choose from.
    """
    if path.is_file():
        return "csv"
    if all((path / folder).is_dir() for folder in box.SPLIT_FOLDERS) and (path / box.TRUTH_FILE).is_file():
        return "synthetic"
    fits = list(_fits(path))
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise DataError(
            f"{path}: what is in it fits {len(fits)} layouts, which differ in what is trained on or what is a query; name "
            f"the layout: {', '.join(fits)}"
        )
    if find_lip(path):
        raise DataError(
            f"{path}: is LIP, which is for human parsers and names no persons; read it with data.lip.read_lip"
        )
    raise DataError(f"{path}: no known layout; looked for {_LOOKED_FOR}; {_found(path)}")


def _found(path: Path) -> str:
    """What is there instead, and a folder in it that may have been meant."""
    inside = entries(path)
    names = ", ".join(entry.name + ("/" if entry.is_dir() else "") for entry in inside[:8])
    there = f"found {names}{' ...' if len(inside) > 8 else ''}" if inside else "the folder is empty"
    meant = next((entry for entry in inside if entry.is_dir() and _looks_right(entry)), None)
    return f"{there}; did you mean {meant}?" if meant is not None else there


def _looks_right(path: Path) -> bool:
    if (path / box.SPLIT_FOLDERS[0]).is_dir() or (path / SPLITS[0]).is_dir():
        return True
    return any(_fits(path))


def _fits(path: Path) -> Iterator[str]:
    """Every layout whose folders are there."""

    def there(*folders: str) -> bool:
        return all((path / folder).is_dir() for folder in folders)

    if there(*box.SPLIT_FOLDERS):
        yield from _box_layouts(path)
    if there(*SPLITS) or (there(*SPLITS[1:]) and _has_cameras(path / "query")):
        yield "folder"
    elif there("query", "gallery") and all(name[:1].isdigit() for name in _first_names(path / "query") or "-"):
        # As one archive of the small sets has them: nothing tells them apart.
        yield from ("occluded-reid", "partial-ilids")
    yield from (f"cuhk03-np-{kind}" for kind in CUHK03_NP_COUNTS if there(f"{kind}/{box.SPLIT_FOLDERS[0]}"))
    yield from _body_layouts(path)
    if there(*P_DUKE_FOLDERS):
        yield "p-dukemtmc"
    if any((path / name).is_file() for name in MSMT17_LISTS):
        yield from ("msmt17" if v == "v1" else "msmt17-v2" for v, folders in MSMT17_FOLDERS.items() if there(*folders))
    if there("Gallery"):
        cropped, uncropped = ILIDS_FOLDERS["cropped"][:1], ILIDS_FOLDERS["uncropped"]
        yield from ["partial-ilids"] * there(*cropped) + ["partial-ilids-uncropped"] * there(*uncropped)
    if there(*SPLIT_ON_DISK) and any(has_camera(name) for name in _first_names(path / "query")):
        yield "occluded-reid-half"


def _body_layouts(path: Path) -> Iterator[str]:
    occluded, partial, whole = (path / folder for folder in BODY_FOLDERS)
    if not whole.is_dir():
        return
    if partial.is_dir():
        yield "partial-reid-cropped"
    if occluded.is_dir():
        inside = entries(occluded)[:_ENOUGH]
        # Occluded-REID has a folder a person, or cameras put into the names; Partial-REID has neither.
        if not partial.is_dir() and any(entry.is_dir() or has_camera(entry.name) for entry in inside):
            yield from ("occluded-reid", "occluded-reid-half")
        else:
            yield "partial-reid"


def _box_layouts(path: Path) -> Iterator[str]:
    names = [[file.name for file in image_files(path / folder)] for folder in box.SPLIT_FOLDERS]
    flat = [name for split in names for name in split]
    if flat and all(_CUHK03_NAME.fullmatch(name) for name in flat):
        kinds = [kind for kind in CUHK03_NP_COUNTS if path.name == kind] or list(CUHK03_NP_COUNTS)
        yield from (f"cuhk03-np-{kind}" for kind in kinds)
        return
    market, duke = sum(map(box.is_market_name, flat)), sum(map(box.is_duke_name, flat))
    if (market > 0) == (duke > 0):
        raise DataError(
            f"{path}: cannot tell the layout by the names of its {len(flat)} files: {market} are like "
            f"0002_c1s1_000451_03.jpg (market1501), {duke} like 0002_c1_f0044158.jpg (dukemtmc); name the layout "
            "(market1501 also reads <person>_c<camera>...)"
        )
    if market:
        yield "market1501"
        return
    published = box.OCCLUDED_DUKE_COUNTS
    occluded = [published.train_images, published.query_images, published.gallery_images]
    yield "occluded-duke" if [len(split) for split in names] == occluded else "dukemtmc"


def _has_cameras(folder: Path) -> bool:
    """True if it holds a folder a person and in that a folder a camera, as data of one's own without ``train`` does."""
    inner = [entry for entry in entries(folder) if entry.is_dir()][:_ENOUGH]
    return any(entry.is_dir() for person in inner for entry in entries(person))


def _first_names(folder: Path) -> list[str]:
    return [entry.name for entry in islice(entries(folder), _ENOUGH) if not entry.is_dir()]
