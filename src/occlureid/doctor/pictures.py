"""What the files themselves tell: every image is read and decoded once, in several threads."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from occlureid.data.dataset import ReidDataset
from occlureid.data.files import IMAGE_SUFFIXES
from occlureid.data.inspect import Inspected, inspect_image
from occlureid.doctor.findings import Finding, Level, finding
from occlureid.doctor.splits import SPLITS, named
from occlureid.types import Protocol, Sample

__all__ = ["CUE_FOLDERS", "check_duplicates", "check_files", "image_paths", "inspected", "unlisted"]

CUE_FOLDERS: frozenset[str] = frozenset({"pose", "parts", "parsing", "masks"})
"""Folders beside the splits that hold no images of persons."""

# Images a task, so that threads do not wait for each other at each small image; tasks at once, so that memory is bounded.
_TASK = 16
_WINDOW = 64
_SMALLEST = (24, 12)
_WIDEST = 1.25

_PROBLEMS: dict[str, tuple[Level, str, str]] = {
    "missing": ("error", "{number} image files cannot be read at all", "check that they are there and may be read"),
    "empty": ("error", "{number} image files have no bytes", "copy or download them again"),
    "unreadable": (
        "error",
        "{number} files have an image's name, but hold no image of a known format",
        "copy or download them again, or convert them to JPEG or PNG",
    ),
    "truncated": (
        "error",
        "{number} images begin well, but end early or are damaged inside",
        "copy or download them again; describing leaves them out with --on-corrupt skip, training with --set "
        "train.on_corrupt=skip",
    ),
    "refused": (
        "error",
        "{number} images are of a kind that is not read (too large, or pixels without a defined range)",
        "convert them to 8-bit RGB",
    ),
}


def inspected(
    paths: Sequence[Path], threads: int, progress: Callable[[int, int], None] | None = None
) -> Iterator[Inspected]:
    """Each file's inspection, in order; few are in memory at a time.

    Args:
        paths: the files.
        threads: how many read at once.
        progress: called with the number of files done and of all.
    """
    Image.init()  # loads Pillow's decoders once, before several threads would
    tasks = [paths[start : start + _TASK] for start in range(0, len(paths), _TASK)]
    done = 0
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(tasks), _WINDOW):
            for some in pool.map(_inspect_some, tasks[start : start + _WINDOW]):
                for found in some:
                    done += 1
                    yield found
                    if progress is not None:
                        progress(done, len(paths))


def _inspect_some(paths: Sequence[Path]) -> list[Inspected]:
    return [inspect_image(path) for path in paths]


def image_paths(root: Path) -> list[Path]:
    """Every file below a folder that is named as an image, sorted; hidden and cue folders at its top are passed over."""
    found = []
    for folder, inner, files in os.walk(root):
        top = Path(folder) == root
        inner[:] = sorted(name for name in inner if not name.startswith(".") and not (top and name in CUE_FOLDERS))
        found += [
            Path(folder, name)
            for name in files
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")
        ]
    return sorted(found)


def unlisted(dataset: ReidDataset) -> Iterator[Finding]:
    """The images below the root that no split names."""
    known = {sample.path for split in SPLITS for sample in getattr(dataset, split)}
    if others := [path for path in image_paths(dataset.root) if path not in known]:
        yield finding(
            "note",
            "unlisted",
            "{number} images below the folder belong to no split as it is read now",
            "nothing, if they are of another protocol of the set; otherwise they are missing from its lists or lie in the "
            "wrong folder",
            (named(path, dataset.root) for path in others),
        )


def check_files(files: Iterable[Inspected], root: Path) -> tuple[list[Finding], dict[Path, str]]:
    """What is wrong with single files.

    Args:
        files: their inspections.
        root: that names in findings are below.

    Returns:
        The findings, and the digest of each file that is a whole image.
    """
    names: dict[str, list[str]] = defaultdict(list)
    digests: dict[Path, str] = {}
    for file in files:
        name = named(file.path, root)
        if file.problem is not None:
            names[file.problem].append(f"{name}: {file.reason}")
            continue
        digests[file.path] = file.digest
        if file.wrong_suffix:
            names["suffix"].append(f"{name}: {file.format}")
        if file.blank:
            names["blank"].append(name)
        height, width = file.size or (0, 0)
        if height < _SMALLEST[0] or width < _SMALLEST[1] or width > _WIDEST * height:
            names["odd_size"].append(f"{name}: {height} x {width} (height x width)")
    found = [
        finding(level, code, what, advice, names[code])
        for code, (level, what, advice) in _PROBLEMS.items()
        if names[code]
    ]
    if names["blank"]:
        what = "{number} images have one colour all over: nobody is in them"
        found.append(finding("warning", "blank", what, "look at them, and leave them out", names["blank"]))
    if names["suffix"]:
        what = "{number} images are of another format than their name says; they are read by what they are"
        found.append(finding("note", "suffix", what, "rename them, if other tools are to read them", names["suffix"]))
    if names["odd_size"]:
        what = f"{{number}} images are smaller than {_SMALLEST[0]} x {_SMALLEST[1]} pixels, or wider than they are high"
        found.append(finding("note", "odd_size", what, "see whether they are crops of one person", names["odd_size"]))
    return found, digests


def check_duplicates(dataset: ReidDataset, digests: dict[Path, str]) -> Iterator[Finding]:
    """The images whose files are the same, byte for byte.

    Args:
        dataset: the dataset.
        digests: of its whole images.
    """
    groups: dict[str, list[tuple[str, Sample]]] = defaultdict(list)
    for split in SPLITS:
        for sample in getattr(dataset, split):
            if sample.path in digests:
                groups[digests[sample.path]].append((split, sample))
    found: dict[str, set[str]] = defaultdict(set)
    for group in groups.values():
        if len(group) > 1:
            _sort_out(group, dataset, found)
    yield from (
        finding(level, code, what, advice, found[code]) for code, level, what, advice in _DUPLICATES if found[code]
    )


_DUPLICATES: tuple[tuple[str, Level, str, str], ...] = (
    (
        "duplicate_across",
        "error",
        "{number} images are trained on and tested on",
        "remove them from one side",
    ),
    (
        "query_in_gallery",
        "error",
        "{number} query images are in the gallery too, and the protocol lets them find themselves: numbers are too good",
        "remove them from the gallery, or give both copies the camera that they are of",
    ),
    (
        "duplicate_persons",
        "warning",
        "{number} images are of one person by one name and of another by another",
        "find out who it is",
    ),
    ("duplicate", "warning", "{number} images repeat another one of their split", "remove all but one"),
    (
        "query_in_gallery_ignored",
        "note",
        "{number} query images are in the gallery too; the protocol keeps each query from finding itself",
        "do not evaluate with made-up cameras: nearly every query would find itself first",
    ),
)


def _sort_out(group: list[tuple[str, Sample]], dataset: ReidDataset, found: dict[str, set[str]]) -> None:
    """Adds one group of equal files to the kinds of duplicates that it shows."""
    root = dataset.root
    first = named(group[0][1].path, root)
    tested = [named(sample.path, root) for split, sample in group if split != "train"]
    if tested and group[0][0] == "train":
        found["duplicate_across"].update(f"{first} is {name}" for name in tested)
    elif len({sample.person for _, sample in group}) > 1:
        persons = sorted({sample.person for _, sample in group})
        found["duplicate_persons"].add(f"{first} (persons {', '.join(persons)})")
    for split in SPLITS:
        same = [sample for of, sample in group if of == split]
        found["duplicate"].update(
            f"{named(sample.path, root)} is {named(same[0].path, root)}"
            for sample in same[1:]
            if sample.person == same[0].person
        )
    gallery = [sample for split, sample in group if split == "gallery"]
    for query in (sample for split, sample in group if split == "query"):
        for match in (sample for sample in gallery if sample.person == query.person):
            code = "query_in_gallery_ignored" if _ignored(query, match, dataset.protocol) else "query_in_gallery"
            found[code].add(named(query.path, root))


def _ignored(query: Sample, match: Sample, protocol: Protocol) -> bool:
    if match.person in protocol.junk:
        return True
    if protocol.ignore == "same_camera":
        return query.camera == match.camera
    return protocol.ignore == "same_image" and query.path == match.path
