"""Where the cues of an image come from: folders beside the dataset that mirror its tree of images.

A cue source is called with a sample and its image's (height, width), and returns Cues in that image's pixels. For
``<root>/query/0002_c1.jpg`` the folders hold ``<root>/pose/query/0002_c1.json`` and ``<root>/parts/query/0002_c1.png``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import torch

from occlureid.cues.keypoints import FloatArray, choose_person, read_pose, read_pose_list
from occlureid.cues.partmaps import part_map, read_part_labels
from occlureid.data.files import IMAGE_SUFFIXES
from occlureid.data.loader import CueSource
from occlureid.errors import DataError, MissingCueError, UsageError
from occlureid.types import CUE_NAMES, KEYPOINT_NAMES, CueName, Cues, Sample

__all__ = ["POSE_LIST", "JoinedSources", "PartFolder", "PoseCensus", "PoseFolder", "join_sources", "sources_for"]

POSE_LIST = "alphapose-results.json"
"""The name under which AlphaPose writes the poses of a whole folder of images."""

_POSE_ADVICE = (
    "run AlphaPose (--format open, or its default form) or OpenPose (--write_json) on the images and put its JSON "
    "there, in folders named as those of the images"
)


def _relative(image: Path, root: Path) -> PurePosixPath:
    if not image.is_relative_to(root):
        raise DataError(f"{image}: is not below {root}, so it has no place in a folder of cues that mirrors it")
    return PurePosixPath(image.relative_to(root).as_posix())


def _stems(path: PurePosixPath) -> list[str]:
    """The path without its suffix, and without further image suffixes (``a.jpg.jpg``): a/b.jpg -> a/b."""
    stems = [path.with_suffix("").as_posix()]
    while PurePosixPath(stems[-1]).suffix.lower() in IMAGE_SUFFIXES:
        stems.append(PurePosixPath(stems[-1]).with_suffix("").as_posix())
    return stems


@dataclass(frozen=True, slots=True)
class PoseCensus:
    """What a folder of poses holds for some images.

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
    """Keypoints from AlphaPose or OpenPose JSON. An image without a detection has keypoints of zeros.

    For the image ``query/a.jpg`` (below ``image_root``) the poses are, in this order, in ``query/a.json`` or
    ``query/a_keypoints.json`` (OpenPose's name); in ``query/alphapose-results.json`` or ``alphapose-results.json``,
    under its path or its name; or, where file names are unique, flat in ``a.json``.

    Args:
        root: the folder, or one JSON file in AlphaPose's list form.
        image_root: the folder that it mirrors.
        threshold: the least confidence (gamma) that counts when the person is chosen, in [0, 1].

    Raises:
        MissingCueError: there is no such folder, or it holds no JSON.
        DataError: a list file is damaged.
    """

    cues: frozenset[CueName] = frozenset({"keypoints"})

    def __init__(self, root: Path | str, image_root: Path | str, threshold: float = 0.2) -> None:
        self.root, self.image_root, self.threshold = Path(root), Path(image_root), threshold
        self._files: dict[str, Path] = {}
        self._lists: dict[str, dict[str, FloatArray]] = {}
        if self.root.is_file():
            self._lists["."] = read_pose_list(self.root)
            return
        for path in sorted(self.root.rglob("*.json")) if self.root.is_dir() else ():
            place = PurePosixPath(path.relative_to(self.root).as_posix())
            if place.name == POSE_LIST:
                self._lists[place.parent.as_posix()] = read_pose_list(path)
            else:
                self._files[place.as_posix().removesuffix(".json").removesuffix("_keypoints")] = path
        if not self._files and not self._lists:
            what = "holds no JSON file" if self.root.is_dir() else "is not there"
            raise MissingCueError(f"the cue 'keypoints' needs {self.root}, which {what}; {_POSE_ADVICE}")

    def people(self, sample: Sample) -> FloatArray | None:
        """(P, 18, 3) everybody found in an image, or None where there is no file for it.

        Raises:
            DataError: the file is damaged, or the image is not below ``image_root``.
        """
        found = self._find(sample)
        return read_pose(found) if isinstance(found, Path) else found

    def has(self, sample: Sample) -> bool:
        """Whether there is a file or a list entry for an image; the file's content is not checked."""
        return self._find(sample) is not None

    def _find(self, sample: Sample) -> Path | FloatArray | None:
        """The file for an image, or the people whom a list names."""
        image = _relative(sample.path, self.image_root)
        stems = _stems(image)
        for stem in stems:
            if stem in self._files:
                return self._files[stem]
        for folder in image.parents:
            listed = self._lists.get(folder.as_posix(), {})
            for name in (image.relative_to(folder).as_posix(), image.name):
                if name in listed:
                    return listed[name]
        flat = (PurePosixPath(stem).name for stem in stems)
        return next((self._files[name] for name in flat if name in self._files), None)

    def __call__(self, sample: Sample, size: tuple[int, int]) -> Cues:
        """Keypoints (18, 3) float32 of the person whom the image is of; ``size`` is not used.

        Raises:
            DataError: the file is damaged, or the image is not below ``image_root``.
        """
        people = self.people(sample)
        if people is None or len(people) == 0:
            return Cues(keypoints=torch.zeros(len(KEYPOINT_NAMES), 3))
        chosen = people[choose_person(people, self.threshold)]
        return Cues(keypoints=torch.from_numpy(chosen).to(torch.float32))

    def census(self, samples: Iterable[Sample]) -> PoseCensus:
        """Counts what is there for some images, reading every file.

        Raises:
            DataError: a file is damaged.
        """
        found = [self.people(sample) for sample in samples]
        counts = [len(people) for people in found if people is not None]
        return PoseCensus(len(found), len(found) - len(counts), counts.count(0), sum(count > 1 for count in counts))


class PartFolder:
    """Part maps (7, H, W) from PNG label files, one an image, and the foreground that they make up.

    Args:
        root: the folder: the labels of ``query/a.jpg`` are in ``query/a.png``.
        image_root: the folder that it mirrors.
        cues: what to give: "part_map", "foreground" (every pixel of some part), or both.

    Raises:
        MissingCueError: there is no such folder.
        UsageError: it cannot give such a cue.
    """

    def __init__(
        self, root: Path | str, image_root: Path | str, cues: Iterable[CueName] = ("part_map", "foreground")
    ) -> None:
        self.root, self.image_root, self.cues = Path(root), Path(image_root), frozenset(cues)
        if not self.cues or not self.cues <= {"part_map", "foreground"}:
            raise UsageError(f"part labels give part_map and foreground, not {sorted(self.cues)}")
        if not self.root.is_dir():
            raise MissingCueError(
                f"the cues {', '.join(sorted(self.cues))} need {self.root}, which is not there: a single-channel PNG "
                "of part labels for each image (0 background, 1 head ... 7 foot), in folders named as those of the images"
            )

    def _file(self, sample: Sample) -> Path | None:
        names = (self.root / f"{stem}.png" for stem in _stems(_relative(sample.path, self.image_root)))
        return next((path for path in names if path.is_file()), None)

    def has(self, sample: Sample) -> bool:
        """Whether there is a file for an image."""
        return self._file(sample) is not None

    def __call__(self, sample: Sample, size: tuple[int, int]) -> Cues:
        """The maps, of the image's size.

        Raises:
            DataError: the file is missing, damaged, or of another size than the image.
        """
        path = self._file(sample)
        if path is None:
            raise DataError(f"{sample.path}: there are no part labels for it below {self.root}")
        labels = read_part_labels(path)
        if labels.shape != size:
            raise DataError(
                f"{path}: part labels must be of the image's size (height, width) = {size}, got {labels.shape}"
            )
        return Cues(
            part_map=part_map(labels) if "part_map" in self.cues else None,
            foreground=torch.from_numpy(labels > 0).to(torch.float32) if "foreground" in self.cues else None,
        )


@dataclass(frozen=True, slots=True)
class JoinedSources:
    """Several sources as one; made by ``join_sources``."""

    sources: tuple[CueSource, ...]

    def __call__(self, sample: Sample, size: tuple[int, int]) -> Cues:
        """The cues of all sources.

        Raises:
            UsageError: two sources give the same cue.
            DataError: as the sources do.
        """
        joined = Cues()
        for source in self.sources:
            cues = source(sample, size)
            if twice := joined.names & cues.names:
                raise UsageError(f"two sources give the cue {', '.join(sorted(twice))}; join sources of different cues")
            more = {name: getattr(cues, name) for name in cues.names}
            joined = replace(joined, **more, part_flip=cues.part_flip or joined.part_flip)
        return joined


def join_sources(sources: Sequence[CueSource]) -> CueSource | None:
    """One source of the cues of all; None of none."""
    if not sources:
        return None
    return sources[0] if len(sources) == 1 else JoinedSources(tuple(sources))


def sources_for(
    root: Path | str, needs: Iterable[CueName], samples: Sequence[Sample] = (), threshold: float = 0.2
) -> CueSource | None:
    """The source of the cues that a method needs, from ``<root>/pose`` and ``<root>/parts``; None if it needs none.

    Args:
        root: the dataset's root.
        needs: names of cues.
        samples: if given, there must be a file for at least one of them: a folder whose names match nothing would
            otherwise pass for images in which nobody was found.
        threshold: see PoseFolder.

    Raises:
        MissingCueError: a folder is missing, is empty, or matches none of the samples; says what is expected where.
        UsageError: there is no such cue.
    """
    root, wanted = Path(root), frozenset(needs)
    if unknown := wanted - set(CUE_NAMES):
        raise UsageError(f"no cue {sorted(unknown)[0]!r}; known: {', '.join(CUE_NAMES)}")
    sources: list[PoseFolder | PartFolder] = []
    if "keypoints" in wanted:
        sources.append(PoseFolder(root / "pose", root, threshold))
    if maps := wanted - {"keypoints"}:
        sources.append(PartFolder(root / "parts", root, maps))
    for source in sources:
        if samples and not any(source.has(sample) for sample in samples):
            raise MissingCueError(
                f"the cue {', '.join(sorted(source.cues))} is in {source.root} for none of the {len(samples)} images; "
                f"its files must be named as the images are below {root}, as in {_expected(source, samples[0])}"
            )
    return join_sources(sources)


def _expected(source: PoseFolder | PartFolder, sample: Sample) -> Path:
    suffix = ".json" if isinstance(source, PoseFolder) else ".png"
    return source.root / (_stems(_relative(sample.path, source.image_root))[0] + suffix)
