"""An examination of a dataset from top to bottom; nothing is changed, and whatever is wrong is a finding, not an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from occlureid.data.dataset import ReidDataset
from occlureid.data.lip import LIP_IMAGES, ParsingDataset, ParsingSample, find_lip, read_lip
from occlureid.data.readers import LAYOUTS, open_dataset
from occlureid.data.recognise import recognise
from occlureid.data.strays import set_aside
from occlureid.doctor.cue_files import check_cues
from occlureid.doctor.findings import LEVELS, Examination, Finding, finding
from occlureid.doctor.pictures import check_duplicates, check_files, image_paths, inspected, unlisted
from occlureid.doctor.splits import SPLITS, check_splits, named
from occlureid.errors import DataError, UsageError

__all__ = ["examine"]

Progress = Callable[[int, int], None]


def examine(
    path: Path | str,
    layout: str = "auto",
    *,
    images: bool = True,
    threads: int = 4,
    progress: Progress | None = None,
) -> Examination:
    """Examines a dataset: layout, counts, persons, cameras, junk, queries, cues, and every image file.

    Args:
        path: the dataset's folder, or a CSV file; LIP's folder too.
        layout: its layout, or "auto".
        images: open and decode every image; otherwise only names are looked at.
        threads: how many images are read at once.
        progress: called with the images done and their number in all.

    Raises:
        UsageError: there is no such layout, or ``threads`` is not positive.
    """
    path = Path(path)
    if threads < 1:
        raise UsageError(f"threads must be at least 1, got {threads}")
    if layout not in ("auto", *LAYOUTS):
        raise UsageError(f"no layout {layout!r}; choose auto or one of: {', '.join(LAYOUTS)}")
    if layout == "auto" and path.is_dir() and find_lip(path):
        return _examine_lip(path, images, threads, progress)
    with set_aside() as strays:
        try:
            name = recognise(path) if layout == "auto" and path.is_dir() else layout
        except DataError as error:
            return _ended(path, None, [_whole("layout", error, path), *_aside(strays, path)])
        try:
            dataset = open_dataset(path, name)
        except DataError as error:
            found = [_whole("reading" if name != "auto" else "layout", error, path), *_aside(strays, path)]
            checked = image_paths(path) if images and path.is_dir() else []
            found += check_files(inspected(checked, threads, progress), path)[0]
            return _ended(path, name if name != "auto" else None, found, images_checked=len(checked))
    return _examine_dataset(path, dataset, strays, images, threads, progress)


def _whole(code: str, error: DataError, path: Path) -> Finding:
    """The error that ended the reading, as a finding."""
    advice = "mend this and examine again: more may come to light"
    if not path.exists():
        advice = "give the path of a data set that is there"
    elif code == "layout" and path.is_dir():
        advice = "name the layout (--layout NAME), or lay the files out as one of those in the README's table"
    return Finding("error", code, str(error).removeprefix(f"{path}: "), advice)


def _aside(strays: list[DataError], path: Path) -> Iterator[Finding]:
    """The files and lines that were left out, as one finding."""
    advice = "mend, move or rename what is named, and examine again; the rest was examined without it"
    texts = [str(error).removeprefix(f"{path}: ") for error in strays]
    if len(texts) == 1:
        yield Finding("error", "reading", texts[0], advice)
    elif texts:
        yield finding("error", "reading", "{number} things cannot be read as they are and were left out", advice, texts)


def _ended(
    path: Path,
    layout: str | None,
    findings: Iterable[Finding],
    dataset: ReidDataset | None = None,
    images_checked: int = 0,
    whole: bool = True,
) -> Examination:
    ordered = tuple(sorted(findings, key=lambda found: LEVELS.index(found.level)))
    if dataset is None:
        return Examination(path, layout, ordered, images_checked=images_checked)
    counts = {name: int(number) for name, number in asdict(dataset.counts()).items()}
    cameras = {split: dict(sorted(Counter(s.camera for s in getattr(dataset, split)).items())) for split in SPLITS}
    return Examination(path, layout, ordered, counts, cameras, images_checked, dataset.checksum() if whole else None)


def _examine_dataset(
    path: Path,
    dataset: ReidDataset,
    strays: list[DataError],
    images: bool,
    threads: int,
    progress: Progress | None,
) -> Examination:
    found = [
        *_aside(strays, path),
        *check_splits(dataset, LAYOUTS[dataset.name]),
        *check_cues(dataset, contents=images),
    ]
    found += unlisted(dataset)
    listed = {sample.path for split in SPLITS for sample in getattr(dataset, split)}
    if strays:  # what could not be read as it is named may be damaged too
        listed |= set(image_paths(dataset.root))
    paths = sorted(listed) if images else []
    if images:
        more, digests = check_files(inspected(paths, threads, progress), dataset.root)
        found += [*more, *check_duplicates(dataset, digests)]
    return _ended(path, dataset.name, found, dataset, len(paths), whole=not strays)


def _examine_lip(path: Path, images: bool, threads: int, progress: Progress | None) -> Examination:
    try:
        dataset = read_lip(path)
    except DataError as error:
        return _ended(path, "lip", [_whole("reading", error, path)])
    found: list[Finding] = []
    for split, expected in LIP_IMAGES.items():
        if (number := len(getattr(dataset, split))) != expected:
            what = f"expected {expected} {split} images, found {number}"
            found.append(Finding("warning", "counts", what, "unpack the archives again, if you did not mean a subset"))
    samples = (*dataset.train, *dataset.validation)
    if images:
        found += _check_labels(dataset, samples, threads, progress)
    return _ended(path, "lip", found, images_checked=len(samples) if images else 0)


def _check_labels(
    dataset: ParsingDataset, samples: tuple[ParsingSample, ...], threads: int, progress: Progress | None
) -> Iterable[Finding]:
    sizes = {}
    files = []
    for file in inspected([sample.image for sample in samples], threads, progress):
        files.append(file)
        sizes[file.path] = file.size
    yield from check_files(files, dataset.root)[0]
    wrong = []
    for sample in samples:
        try:
            sample.read_labels(sizes[sample.image])
        except DataError as error:
            wrong.append(str(error).replace(str(sample.label_file), named(sample.label_file, dataset.root)))
    if wrong:
        what = "{number} files of labels are damaged, of another size than their image, or have labels beyond 19"
        yield finding("error", "labels", what, "unpack the archive again", wrong)
