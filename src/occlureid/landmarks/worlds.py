"""Rendered worlds as images with true landmarks: one or several to train on, and one or several to judge by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from occlureid.cues.exact import TRUE_PART_FOLDERS, ExactCues
from occlureid.cues.part_folder import PartFolder
from occlureid.data.box_folders import read_synthetic
from occlureid.errors import DataError, UsageError
from occlureid.types import KEYPOINT_NAMES, CueName, Cues, Sample

__all__ = ["LandmarkDataset", "TrueLandmarks", "read_landmark_worlds"]


class TrueLandmarks:
    """True landmarks as a source of cues, held compactly: a hidden landmark has confidence 0, as ``ExactCues`` gives it.

    Args:
        worlds: the images of each world, by its folder.

    Attributes:
        cues: what it gives.

    Raises:
        DataError: ``truth.jsonl`` is damaged, or does not tell an image's landmarks.
        MissingCueError: there is no ``truth.jsonl``.
    """

    def __init__(self, worlds: Mapping[Path, Sequence[Sample]]) -> None:
        self.cues: frozenset[CueName] = frozenset({"keypoints"})
        self._roots = tuple(worlds)
        self._parts: tuple[PartFolder, ...] = ()
        self._rows: dict[Path, tuple[int, int]] = {}
        found: list[Tensor] = []
        for place, (root, samples) in enumerate(worlds.items()):
            exact = ExactCues(root, {"keypoints"})
            for sample in samples:
                self._rows[sample.path] = place, len(found)
                found.append(exact(sample, (1, 1)).require("keypoints"))
        self._landmarks = torch.stack(found) if found else torch.zeros(0, len(KEYPOINT_NAMES), 3)

    def with_foreground(self) -> TrueLandmarks:
        """The same source, giving the true foreground too, from the worlds' part maps; mixing backgrounds needs it.

        Raises:
            MissingCueError: a world has no part maps.
        """
        source = copy(self)
        source.cues = self.cues | {"foreground"}
        source._parts = tuple(
            PartFolder(root / TRUE_PART_FOLDERS["eanet8"], root, {"foreground"}, labels="eanet8")
            for root in self._roots
        )
        return source

    def __call__(self, sample: Sample, size: tuple[int, int]) -> Cues:
        """Keypoints (18, 3) of an image, and its foreground where that is asked for.

        Raises:
            DataError: it is none of these worlds', or its part map is missing or damaged.
        """
        if sample.path not in self._rows:
            raise DataError(f"{sample.path}: is not an image of the worlds that were read")
        place, row = self._rows[sample.path]
        foreground = self._parts[place](sample, size).foreground if self._parts else None
        return Cues(keypoints=self._landmarks[row].clone(), foreground=foreground)


@dataclass(frozen=True)
class LandmarkDataset:
    """Images to train a landmark network on, and others to judge it by.

    Attributes:
        worlds: names of the worlds that are trained on.
        train: the training images of these worlds, of nobody in particular, so that they make one class.
        validation: the images of the test splits, by the name of their world.
        landmarks: gives the true landmarks of all of them.
    """

    worlds: tuple[str, ...]
    train: tuple[Sample, ...]
    validation: Mapping[str, tuple[Sample, ...]]
    landmarks: TrueLandmarks


def read_landmark_worlds(
    train: Sequence[Path | str] | Path | str, validate: Sequence[Path | str] = ()
) -> LandmarkDataset:
    """Reads rendered worlds; a world's name is its folder's, with a number where several have it.

    Args:
        train: the worlds whose training images are learned from.
        validate: the worlds by whose test splits, of other people than their training splits, the network is judged; the
            first of ``train`` unless given.

    Raises:
        UsageError: no world is given, or one is given twice.
        DataError: a folder is no rendered world, or is damaged.
        MissingCueError: a world has no ``truth.jsonl``.
    """
    roots = [Path(root).absolute() for root in ([train] if isinstance(train, Path | str) else train)]
    judges = [Path(root).absolute() for root in validate] or roots[:1]
    for given in (roots, judges):
        if not given or len({root.resolve() for root in given}) < len(given):
            raise UsageError(
                f"worlds to train on or to validate by must be given, each once; got {list(map(str, given))}"
            )
    names: dict[Path, str] = {}
    every: dict[Path, tuple[Sample, ...]] = {}
    learned: list[Sample] = []
    validation: dict[str, tuple[Sample, ...]] = {}
    for root in dict.fromkeys([*roots, *judges]):
        number, names[root] = 1, root.name
        while list(names.values()).count(names[root]) > 1:
            number += 1
            names[root] = f"{root.name} {number}"
        world = read_synthetic(root)
        own = tuple(replace(sample, person="nobody", camera="none") for sample in world.train) if root in roots else ()
        held_out = (*world.query, *world.gallery) if root in judges else ()
        if root in judges and not held_out:
            raise DataError(f"{root}: a world to validate by has images in its query or gallery, this one has none")
        learned += own
        if held_out:
            validation[names[root]] = held_out
        every[root] = (*own, *held_out)
    return LandmarkDataset(tuple(names[root] for root in roots), tuple(learned), validation, TrueLandmarks(every))
