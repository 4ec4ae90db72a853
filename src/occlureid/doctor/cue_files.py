"""Which cues are there for which images."""

from __future__ import annotations

from collections.abc import Iterator

from occlureid.cues import PartFolder, PoseFolder
from occlureid.data.box_folders import SPLIT_FOLDERS
from occlureid.data.dataset import ReidDataset
from occlureid.data.lip import PARSING_FOLDER, read_parsing_world
from occlureid.doctor.findings import Finding, finding
from occlureid.doctor.splits import SPLITS, named
from occlureid.errors import DataError, MissingCueError
from occlureid.types import Sample

__all__ = ["check_cues"]

_KINDS = {
    "pose": ("keypoints", "occlureid cues pose", "nobody was found there, or the pose estimator stopped early"),
    "parts": ("part_map and foreground", "occlureid cues parsing", "loading any of them ends with an error"),
}


def check_cues(dataset: ReidDataset) -> Iterator[Finding]:
    """The images without a file in ``<root>/pose`` and ``<root>/parts``, and in a rendered world's ``<root>/parsing``.

    What the files hold is not checked.

    Args:
        dataset: the dataset; the folders beside its own root are looked at.
    """
    samples = {s.path: s for split in SPLITS for s in getattr(dataset, split) if s.path.is_relative_to(dataset.root)}
    for folder in _KINDS:
        yield from _folder(dataset, folder, list(samples.values()))
    if all((dataset.root / folder).is_dir() for folder in (PARSING_FOLDER, *SPLIT_FOLDERS)):
        try:
            read_parsing_world(dataset.root)
        except DataError as error:
            yield Finding("warning", "parsing_labels", f"the labels for parsers are not complete: {error}")


def _folder(dataset: ReidDataset, folder: str, samples: list[Sample]) -> Iterator[Finding]:
    cue, command, meaning = _KINDS[folder]
    root, advice = dataset.root / folder, f'run "{command} {dataset.root}"'
    if not root.exists():
        what = f"there is no folder {folder}: methods that need {cue} cannot be used"
        yield Finding("note", f"no_{folder}", what, f"nothing, or {advice}")
        return
    try:
        source = PoseFolder(root, dataset.root) if folder == "pose" else PartFolder(root, dataset.root)
    except (MissingCueError, DataError) as error:
        yield Finding("error", f"{folder}_unusable", f"the cues in {root} cannot be read: {error}", advice)
        return
    missing = [named(sample.path, dataset.root) for sample in samples if not source.has(sample)]
    if missing and len(missing) == len(samples):
        what = f"{root} has a file for none of the {{number}} images: its names do not match theirs"
        advice = f"name its folders and files as those of the images, or {advice}"
        yield finding("error", f"{folder}_unmatched", what, advice, missing)
    elif missing:
        yield finding(
            "error" if folder == "parts" else "warning",
            f"{folder}_missing",
            f"{{number}} of {len(samples):,} images have no file in {folder}: {meaning}",
            f"{advice} for the rest",
            missing,
        )
