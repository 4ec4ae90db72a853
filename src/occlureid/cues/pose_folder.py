"""Landmarks from a folder that mirrors the images, or from lists in it, in the forms that pose tools write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from occlureid.cues.heatmaps import heatmap_peaks, read_heatmaps
from occlureid.cues.keypoints import FloatArray, People
from occlureid.cues.mirror import Claims, file_names, mirrored, without_image_suffix
from occlureid.cues.pose_files import PoseList, join_lists, read_image_names, read_people, read_people_list
from occlureid.data.images import read_image
from occlureid.errors import MissingCueError
from occlureid.types import KEYPOINT_NAMES, CueName, Cues, Sample

__all__ = ["POSE_LIST", "PROVIDER_FILE", "PoseCensus", "PoseFolder"]

POSE_LIST = "alphapose-results.json"
"""The name under which AlphaPose writes the poses of a whole folder of images."""

PROVIDER_FILE = "provider.json"
"""Directly in a folder of poses: what made them, where this package did."""

# COCO's annotations; results as COCO's tools, MMPose 0.x and MMPose 1.x name them.
_LISTS = (
    POSE_LIST, "person_keypoints_*.json", "keypoints_*results*.json", "result_keypoints.json", "*.keypoints.json",
)  # fmt: skip
# Files that may hold COCO's "images" beside results that only number them.
_NAMES = (
    "images.json", "annotations.json", "image_info*.json", "instances_*.json", "_annotations.coco.json",
)  # fmt: skip
# What tools put between an image's name and .json: OpenPose and KPR, OpenPifPaf.
_ENDINGS = ("_keypoints", ".predictions")
_BEGINNING = "results_"  # the demos of MMPose 1.x put it before
_CUT = "sep-json"  # AlphaPose's folder of files that have an image's name up to its first dot

_POSE_ADVICE = (
    "run AlphaPose (--format open, or its default form) or OpenPose (--write_json) on the images and put its JSON "
    'there, in folders named as those of the images, or let "occlureid cues pose" make them'
)


@dataclass(frozen=True, slots=True)
class PoseCensus:
    """Contents of a folder of poses for some images.

    Attributes:
        images: how many were looked at.
        without_file: images without a file or list entry; the estimators write none where they find nobody.
        without_person: images whose file names nobody.
        several_people: images with more than one person, of whom one was chosen.
    """

    images: int
    without_file: int
    without_person: int
    several_people: int


class PoseFolder:
    """Keypoints from the files of pose tools, or from heatmaps. An image without a detection has zeros.

    For the image ``query/a.jpg`` (below ``image_root``) the poses are, in this order, in ``query/a.json`` or
    ``query/a.jpg.json`` (or with ``_keypoints`` or ``.predictions`` before ``.json``, or ``results_`` before the name); as
    heatmaps, in ``query/a.npy`` or ``query/a.npz``; in a list, ``query/alphapose-results.json`` or ``alphapose-results.json``
    (or COCO's ``person_keypoints_*.json``, ``keypoints_*results*.json``, MMPose's ``result_keypoints.json``,
    ``*.keypoints.json``), under its path, its name or, where that is a number, its number; in AlphaPose's ``sep-json``; or,
    where file names are unique, flat in ``a.json``. Results that number their images take the names from the "images" of a COCO
    file beside them.

    What names an image by less than its path must fit one image only, of those asked for so far.

    Args:
        root: the folder, or one JSON file that ``read_pose_list`` reads.
        image_root: the folder that it mirrors.
        threshold: the least confidence (gamma) that counts when the person is chosen, in [0, 1].

    Raises:
        MissingCueError: there is no such folder, or it holds no JSON.
        DataError: a list file is damaged, or two lists in one folder name the same image.
    """

    cues: frozenset[CueName] = frozenset({"keypoints"})

    def __init__(self, root: Path | str, image_root: Path | str, threshold: float = 0.2) -> None:
        self.root, self.image_root, self.threshold = Path(root), Path(image_root), threshold
        self._files: dict[str, Path] = {}
        self._heatmaps: dict[str, Path] = {}
        self._other_suffix: dict[str, Path] = {}
        self._cut: dict[str, Path] = {}
        self._lists: dict[str, dict[str, tuple[Path, People]]] = {}
        self._claims = Claims(self.image_root)
        if self.root.is_file():
            listed = read_people_list(self.root)
            beside = sorted(self.root.parent.iterdir()) if listed.numbered else []
            named = [path for path in beside if path != self.root and _is_of(path.name, (*_LISTS, *_NAMES))]
            names = [(path, PoseList({}, names=read_image_names(path))) for path in named]
            self._lists["."] = join_lists([(self.root, listed), *names])
            return
        found = sorted(self.root.rglob("*")) if self.root.is_dir() else []
        self._sort_in([path for path in found if path.suffix.lower() in (".json", ".npy", ".npz")])
        if not self._files and not self._heatmaps and not self._cut and not self._lists:
            what = "holds no JSON file (and no heatmaps)" if self.root.is_dir() else "is not there"
            raise MissingCueError(f"the cue 'keypoints' needs {self.root}, which {what}; {_POSE_ADVICE}")

    def _sort_in(self, paths: list[Path]) -> None:
        """Notes which files there are, and reads the lists."""
        lists: dict[str, list[tuple[Path, PoseList]]] = {}
        shorter: dict[str, Path] = {}
        for path in paths:
            place = PurePosixPath(path.relative_to(self.root).as_posix())
            folder, stem = place.parent, place.with_suffix("").as_posix()
            if place.suffix.lower() != ".json":
                self._heatmaps[stem] = path
            elif place.as_posix() == PROVIDER_FILE:
                continue
            elif _is_of(place.name, _LISTS):
                lists.setdefault(folder.as_posix(), []).append((path, read_people_list(path)))
            elif _is_of(place.name, _NAMES) and (names := read_image_names(path)):
                lists.setdefault(folder.as_posix(), []).append((path, PoseList({}, names=names)))
            elif (self.root / folder).name == _CUT:
                above = folder.parent if folder.name == _CUT else folder
                self._cut[(above / place.stem).as_posix()] = path
            else:
                self._files[stem] = path
                ending = next((ending for ending in _ENDINGS if stem.endswith(ending)), "")
                shorter.setdefault(stem.removesuffix(ending), path)
                if other := without_image_suffix(stem.removesuffix(ending)):
                    self._other_suffix.setdefault(other, path)
                if place.name.startswith(_BEGINNING):
                    shorter.setdefault((folder / place.stem.removeprefix(_BEGINNING)).as_posix(), path)
        self._files = {**shorter, **self._files}
        self._lists = {folder: join_lists(files) for folder, files in lists.items()}

    def found(self, sample: Sample, size: tuple[int, int] | None = None) -> People | None:
        """Everybody found in an image, and who of them is the target; None where there is no file for it.

        Args:
            sample: the image.
            size: its (height, width), which heatmaps need; read from the image unless given.

        Raises:
            DataError: the file is damaged or another image's as well, or the image is not below ``image_root``.
        """
        found = self._find(sample)
        if not isinstance(found, Path):
            return found
        if found.suffix.lower() == ".json":
            return read_people(found)
        if size is None:
            image = read_image(sample.path)
            size = image.height, image.width
        peaks = heatmap_peaks(read_heatmaps(found), size)
        return People.of(peaks[None] if (peaks[:, 2] > 0).any() else np.zeros((0, *peaks.shape)))

    def people(self, sample: Sample, size: tuple[int, int] | None = None) -> FloatArray | None:
        """(P, 18, 3) everybody found in an image, or None where there is no file for it; as ``found``.

        Raises:
            DataError: as ``found``.
        """
        found = self.found(sample, size)
        return None if found is None else found.landmarks

    def has(self, sample: Sample) -> bool:
        """True if there is a file or a list entry for an image; the file's content is not checked.

        Raises:
            DataError: it is another image's as well, or the image is not below ``image_root``.
        """
        return self._find(sample) is not None

    def _find(self, sample: Sample) -> Path | People | None:
        """The file for an image, or the people whom a list names."""
        image = mirrored(sample.path, self.image_root)
        names = file_names(image)
        cut = image.name.partition(".")[0]
        for files in (self._files, self._heatmaps, self._other_suffix):
            if path := next((files[name] for name in names if name in files), None):
                return self._own(path, image)
        number = (str(int(image.stem)),) if image.stem.isascii() and image.stem.isdigit() else ()
        for folder in image.parents:
            listed = self._lists.get(folder.as_posix(), {})
            for name in (image.relative_to(folder).as_posix(), image.name, *number):
                if name in listed:
                    path, people = listed[name]
                    self._claims.claim(f"{path}: the entry {name!r}", image)
                    return people
        for folder in image.parents:
            if path := self._cut.get((folder / cut).as_posix()):
                return self._own(path, image)
        flat = [PurePosixPath(name).name for name in names]
        for files in (self._files, self._heatmaps, self._other_suffix):
            if path := next((files[name] for name in flat if name in files), None):
                return self._own(path, image)
        return None

    def _own(self, path: Path, image: PurePosixPath) -> Path:
        self._claims.claim(path, image)
        return path

    def __call__(self, sample: Sample, size: tuple[int, int]) -> Cues:
        """Keypoints (18, 3) float32 of the person whom the image is of.

        Raises:
            DataError: the file is damaged or another image's as well, or the image is not below ``image_root``.
        """
        people = self.found(sample, size)
        if people is None or len(people.landmarks) == 0:
            return Cues(keypoints=torch.zeros(len(KEYPOINT_NAMES), 3))
        chosen = people.landmarks[people.chosen(self.threshold)]
        return Cues(keypoints=torch.from_numpy(chosen).to(torch.float32))

    def census(self, samples: Iterable[Sample]) -> PoseCensus:
        """Counts what is there for some images, reading every file.

        Raises:
            DataError: a file is damaged.
        """
        found = [self.people(sample) for sample in samples]
        counts = [len(people) for people in found if people is not None]
        return PoseCensus(len(found), len(found) - len(counts), counts.count(0), sum(count > 1 for count in counts))


def _is_of(name: str, patterns: tuple[str, ...]) -> bool:
    place = PurePosixPath(name.lower())
    return any(place.match(pattern) for pattern in patterns)
