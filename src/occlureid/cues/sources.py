"""Where the cues of an image come from: folders beside the dataset that mirror its tree of images.

A cue source is called with a sample and its image's (height, width), and returns Cues in that image's pixels. For
``<root>/query/0002_c1.jpg`` the folders hold ``<root>/pose/query/0002_c1.json`` and ``<root>/parts/query/0002_c1.png``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from occlureid.cues.degraded import Degraded
from occlureid.cues.exact import ExactCues
from occlureid.cues.heatmaps import heatmap_peaks, read_heatmaps
from occlureid.cues.keypoints import FloatArray, choose_person, read_pose, read_pose_list
from occlureid.cues.mirror import mirrored, stems
from occlureid.cues.part_folder import PartFolder
from occlureid.cues.settings import CueSettings
from occlureid.data.images import read_image
from occlureid.data.loader import CueSource
from occlureid.errors import MissingCueError, UsageError
from occlureid.types import CUE_NAMES, KEYPOINT_NAMES, CueName, Cues, Sample

__all__ = ["POSE_LIST", "JoinedSources", "PoseCensus", "PoseFolder", "join_sources", "sources_for"]

POSE_LIST = "alphapose-results.json"
"""The name under which AlphaPose writes the poses of a whole folder of images."""

PROVIDER_FILE = "provider.json"
"""Directly in a folder of poses: what made them, where this package did."""

# COCO's annotations, and results as tools for COCO name them.
_LISTS = (POSE_LIST, "person_keypoints_*.json", "keypoints_*results*.json")

_POSE_ADVICE = (
    "run AlphaPose (--format open, or its default form) or OpenPose (--write_json) on the images and put its JSON "
    'there, in folders named as those of the images, or let "occlureid cues pose" make them'
)


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
    """Keypoints from AlphaPose, OpenPose or COCO JSON, or from heatmaps. An image without a detection has zeros.

    For the image ``query/a.jpg`` (below ``image_root``) the poses are, in this order, in ``query/a.json`` or
    ``query/a_keypoints.json`` (OpenPose's name) or, as heatmaps, in ``query/a.npy`` or ``query/a.npz``; in a list,
    ``query/alphapose-results.json`` or ``alphapose-results.json`` (or COCO's ``person_keypoints_*.json``,
    ``keypoints_*results*.json``), under its path, its name or, where that is a number, its number; or, where file names are
    unique, flat in ``a.json``.

    Args:
        root: the folder, or one JSON file that ``read_pose_list`` reads.
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
        found = self.root.rglob("*") if self.root.is_dir() else ()
        # Where an image has both, its JSON comes last and wins.
        for path in sorted(found, key=lambda path: (path.suffix == ".json", path)):
            place = PurePosixPath(path.relative_to(self.root).as_posix())
            if path.suffix in (".npy", ".npz"):
                self._files[place.with_suffix("").as_posix()] = path
            elif path.suffix != ".json" or place.as_posix() == PROVIDER_FILE:
                continue
            elif any(place.match(pattern) for pattern in _LISTS):
                self._lists.setdefault(place.parent.as_posix(), {}).update(read_pose_list(path))
            else:
                self._files[place.as_posix().removesuffix(".json").removesuffix("_keypoints")] = path
        if not self._files and not self._lists:
            what = "holds no JSON file (and no heatmaps)" if self.root.is_dir() else "is not there"
            raise MissingCueError(f"the cue 'keypoints' needs {self.root}, which {what}; {_POSE_ADVICE}")

    def people(self, sample: Sample, size: tuple[int, int] | None = None) -> FloatArray | None:
        """(P, 18, 3) everybody found in an image, or None where there is no file for it.

        Args:
            sample: the image.
            size: its (height, width), which heatmaps need; read from the image unless given.

        Raises:
            DataError: the file is damaged, or the image is not below ``image_root``.
        """
        found = self._find(sample)
        if not isinstance(found, Path):
            return found
        if found.suffix == ".json":
            return read_pose(found)
        if size is None:
            image = read_image(sample.path)
            size = image.height, image.width
        peaks = heatmap_peaks(read_heatmaps(found), size)
        return peaks[None] if (peaks[:, 2] > 0).any() else np.zeros((0, *peaks.shape))

    def has(self, sample: Sample) -> bool:
        """Whether there is a file or a list entry for an image; the file's content is not checked."""
        return self._find(sample) is not None

    def _find(self, sample: Sample) -> Path | FloatArray | None:
        """The file for an image, or the people whom a list names."""
        image = mirrored(sample.path, self.image_root)
        names = stems(image)
        for stem in names:
            if stem in self._files:
                return self._files[stem]
        number = (str(int(image.stem)),) if image.stem.isascii() and image.stem.isdigit() else ()
        for folder in image.parents:
            listed = self._lists.get(folder.as_posix(), {})
            for name in (image.relative_to(folder).as_posix(), image.name, *number):
                if name in listed:
                    return listed[name]
        flat = (PurePosixPath(stem).name for stem in names)
        return next((self._files[name] for name in flat if name in self._files), None)

    def __call__(self, sample: Sample, size: tuple[int, int]) -> Cues:
        """Keypoints (18, 3) float32 of the person whom the image is of.

        Raises:
            DataError: the file is damaged, or the image is not below ``image_root``.
        """
        people = self.people(sample, size)
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
    root: Path | str,
    needs: Iterable[CueName],
    samples: Sequence[Sample] = (),
    threshold: float | None = None,
    *,
    settings: CueSettings | None = None,
) -> CueSource | None:
    """The source of the cues that a method needs; None if it needs none.

    Args:
        root: the dataset's root, whose ``pose`` and ``parts`` folders are read unless the settings say otherwise.
        needs: names of cues.
        samples: if given, there must be a file for at least one of them: a folder whose names match nothing would
            otherwise pass for images in which nobody was found.
        threshold: see PoseFolder; that of the settings unless given.
        settings: where the cues come from, and how much they are spoiled.

    Raises:
        MissingCueError: a folder is missing, is empty, or matches none of the samples; says what is expected where.
        UsageError: there is no such cue.
        SettingsError: the settings do not go together.
        DataError: ``truth.jsonl`` or ``labels.json`` is damaged.
    """
    root, wanted = Path(root), frozenset(needs)
    settings = CueSettings() if settings is None else settings
    if unknown := wanted - set(CUE_NAMES):
        raise UsageError(f"no cue {sorted(unknown)[0]!r}; known: {', '.join(CUE_NAMES)}")
    if not wanted:
        return None
    source: CueSource | None
    if settings.source == "exact":
        source = ExactCues(root, wanted, labels=settings.labels or "eanet8", grouping=settings.grouping)
    else:
        source = _from_folders(root, wanted, samples, settings, threshold)
    return Degraded(source, settings.degrade, root) if source and settings.degrade.spoils else source


def _from_folders(
    root: Path, wanted: frozenset[CueName], samples: Sequence[Sample], settings: CueSettings, threshold: float | None
) -> CueSource | None:
    folder = root if settings.folder is None else Path(settings.folder)
    sources: list[PoseFolder | PartFolder] = []
    if "keypoints" in wanted:
        sources.append(PoseFolder(folder / "pose", root, settings.threshold if threshold is None else threshold))
    if maps := wanted - {"keypoints"}:
        sources.append(PartFolder(folder / "parts", root, maps, labels=settings.labels, grouping=settings.grouping))
    for source in sources:
        if samples and not any(source.has(sample) for sample in samples):
            raise MissingCueError(
                f"the cue {', '.join(sorted(source.cues))} is in {source.root} for none of the {len(samples)} images; "
                f"its files must be named as the images are below {root}, as in {_expected(source, samples[0])}"
            )
    return join_sources(sources)


def _expected(source: PoseFolder | PartFolder, sample: Sample) -> Path:
    suffix = ".json" if isinstance(source, PoseFolder) else ".png"
    return source.root / (stems(mirrored(sample.path, source.image_root))[0] + suffix)
