"""The cues of a rendered world as they truly are: what no estimator can reach, and what all can be measured against."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from occlureid.cues.keypoints import FloatArray
from occlureid.cues.mirror import mirrored
from occlureid.cues.part_folder import PartFolder
from occlureid.data.truth import TRUTH_FILE, TruthRecord, read_truth
from occlureid.errors import DataError, MissingCueError, SettingsError, UsageError
from occlureid.types import CUE_NAMES, CueName, Cues, Sample

__all__ = ["TRUE_PART_FOLDERS", "ExactCues"]

TRUE_PART_FOLDERS: dict[str, str] = {"eanet8": "parts", "lip20": "parsing"}
"""Where a rendered world keeps the true labels of each label set."""


class ExactCues:
    """Landmarks from a world's ``truth.jsonl``, part maps from its label images.

    A landmark's confidence is its visibility: 1 where the image shows it, else 0 (and then its place is 0 too, as for any
    landmark that is not found). Part maps are those of the visible target.

    Args:
        root: of the world.
        cues: what to give.
        labels: the label set of the part maps: "eanet8" (in ``parts``) or "lip20" (in ``parsing``).
        grouping: the regions wanted; see ``PartFolder``.

    Raises:
        DataError: ``truth.jsonl`` is damaged.
        MissingCueError: there is no ``truth.jsonl``, or no folder of part maps.
        SettingsError: there is no such label set or grouping.
        UsageError: there is no such cue.
    """

    def __init__(
        self,
        root: Path | str,
        cues: Iterable[CueName] = CUE_NAMES,
        *,
        labels: str = "eanet8",
        grouping: str = "sorn8",
    ) -> None:
        self.root, self.cues, self.labels, self.grouping = Path(root), frozenset(cues), labels, grouping
        if not self.cues or not self.cues <= set(CUE_NAMES):
            raise UsageError(f"exact cues are any of {', '.join(CUE_NAMES)}, not {sorted(self.cues)}")
        if labels not in TRUE_PART_FOLDERS:
            raise SettingsError(f"exact part maps are of {' or '.join(TRUE_PART_FOLDERS)}, not {labels!r}")
        self._truth: dict[str, TruthRecord] = {}
        if "keypoints" in self.cues:
            if not (self.root / TRUTH_FILE).is_file():
                raise MissingCueError(
                    f"exact landmarks need {self.root / TRUTH_FILE}, which only a rendered world has; "
                    'render one with "occlureid synth"'
                )
            self._truth = read_truth(self.root)
        maps = self.cues - {"keypoints"}
        folder = self.root / TRUE_PART_FOLDERS[labels]
        self._parts = PartFolder(folder, self.root, maps, labels=labels, grouping=grouping) if maps else None

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the part map's channels."""
        return self._parts.parts if self._parts else ()

    def people(self, sample: Sample) -> FloatArray:
        """(P, 18, 3) visible landmarks of everybody in the image, the person whom it is of first.

        Raises:
            DataError: the truth does not know the image, or not its landmarks.
        """
        place = mirrored(sample.path, self.root).as_posix()
        record = self._truth.get(place)
        if record is None or record.landmarks is None:
            raise DataError(f"{self.root / TRUTH_FILE}: tells no landmarks of {place}; render the world again")
        people = np.stack([record.landmarks, *(other.landmarks for other in record.others)])
        people[people[:, :, 2] == 0] = 0.0
        return people

    def __call__(self, sample: Sample, size: tuple[int, int]) -> Cues:
        """The cues of an image.

        Raises:
            DataError: the truth does not know the image, or its part map is missing or damaged.
        """
        keypoints = None
        if "keypoints" in self.cues:
            keypoints = torch.from_numpy(self.people(sample)[0]).to(torch.float32)
        if self._parts is None:
            return Cues(keypoints=keypoints)
        maps = self._parts(sample, size)
        return Cues(keypoints, maps.part_map, maps.foreground, maps.part_flip)
