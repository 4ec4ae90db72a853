"""Which cues are there for which images."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from occlureid.cues import PartFolder, PoseFolder
from occlureid.cues.mirror import check_distinct
from occlureid.cues.placement import share_displaced, spread_out
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
_NETWORK = {
    "pose": "this package's network",
    "parts": "this package's network, which tells head, upper body, lower body and shoes apart",
}
_PARTLY = 0.2
_OFTEN = 0.1


def check_cues(dataset: ReidDataset, *, contents: bool = True) -> Iterator[Finding]:
    """The images without a file in ``<root>/pose`` and ``<root>/parts``, and in a rendered world's ``<root>/parsing``.

    What the files of part maps hold is not checked.

    Args:
        dataset: the dataset; the folders beside its own root are looked at.
        contents: read the landmarks too, and compare some of them with their images; otherwise only names are looked at.
    """
    every = {s.path: s for split in SPLITS for s in getattr(dataset, split) if s.path.is_relative_to(dataset.root)}
    samples = list(every.values())
    try:
        check_distinct(samples, dataset.root)
    except DataError as error:
        yield Finding("warning", "cue_names", f"no cues can be made: {error}", "rename one of each such pair of images")
    for folder in _KINDS:
        yield from _folder(dataset, folder, samples, contents)
    if all((dataset.root / folder).is_dir() for folder in (PARSING_FOLDER, *SPLIT_FOLDERS)):
        try:
            read_parsing_world(dataset.root)
        except DataError as error:
            yield Finding("warning", "parsing_labels", f"the labels for parsers are not complete: {error}")


def _folder(dataset: ReidDataset, folder: str, samples: list[Sample], contents: bool) -> Iterator[Finding]:
    cue, command, meaning = _KINDS[folder]
    root = dataset.root / folder
    if not root.exists():
        what = f"there is no folder {folder}: methods that need {cue} cannot be used"
        yield Finding("note", f"no_{folder}", what, f'nothing, or run "{command} {shlex.quote(str(dataset.root))}"')
        return
    # Of cues that something else has made, the command takes the place of only on request.
    occupied = root.is_dir() and any(not path.name.startswith(".") for path in root.iterdir())
    advice = f'run "{command} {shlex.quote(str(dataset.root))}{" --overwrite" * occupied}"'
    try:
        source = (
            PoseFolder(root, dataset.root) if folder == "pose" else PartFolder(root, dataset.root, grouping="labels")
        )
    except (MissingCueError, DataError) as error:
        mending = advice if isinstance(error, MissingCueError) else "mend that file, or move it elsewhere"
        yield Finding("error", f"{folder}_unusable", f"the cues in {root} cannot be read: {error}", mending)
        return
    try:
        has = [source.has(sample) for sample in samples]
    except DataError as error:
        advice = "give each image a file of its own, in folders named as those of the images"
        yield Finding("error", f"{folder}_shared", f"one file of cues fits several images: {error}", advice)
        return
    missing = [named(sample.path, dataset.root) for sample, there in zip(samples, has, strict=True) if not there]
    if missing and len(missing) == len(samples):
        what = f"{root} has a file for none of the {{number}} images: its names do not match theirs"
        advice = f"name its folders and files as those of the images, or {advice}"
        yield finding("error", f"{folder}_unmatched", what, advice, missing)
    elif missing:
        yield finding(
            "error" if folder == "parts" else "warning",
            f"{folder}_missing",
            f"{{number}} of {len(samples):,} images have no file in {folder}: {meaning}",
            f"{advice} to make all of them with {_NETWORK[folder]}, or the other tool again for these",
            missing,
        )
    if contents and isinstance(source, PoseFolder):
        yield from _landmarks(dataset, source, [sample for sample, there in zip(samples, has, strict=True) if there])


def _landmarks(dataset: ReidDataset, source: PoseFolder, samples: list[Sample]) -> Iterator[Finding]:
    """Files of landmarks that cannot be read, and landmarks that cannot be pixels of their images."""
    damaged, found = [], []
    for sample in samples:
        try:
            if (people := source.found(sample)) is not None and len(people.landmarks):
                found.append(sample)
        except DataError as error:
            damaged.append(f"{named(sample.path, dataset.root)}: {error}")
    if damaged:
        what = "{number} files of landmarks cannot be read"
        yield finding("error", "pose_damaged", what, "write them again; training and describing end there", damaged)
    shares = {sample: share for sample in spread_out(found) if (share := share_displaced(source, sample)) is not None}
    wrong = [named(sample.path, dataset.root) for sample, share in shares.items() if share >= _PARTLY]
    if len(wrong) > _OFTEN * len(shares):
        yield finding(
            "warning",
            "pose_displaced",
            f"in {{number}} of {len(shares):,} images looked at, a fifth or more of the landmarks lie outside the image, or all "
            "within one pixel of its corner: they are not in pixels of these images",
            "estimate them on these images as they are stored, and write pixels (OpenPose: --keypoint_scale 0, not 3 or 4)",
            wrong,
        )
