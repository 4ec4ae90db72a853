"""The files of an occluded copy: an image in its own format, and the cues beside it without what is hidden."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from occlureid.cues.mirror import check_distinct, stems
from occlureid.cues.part_folder import LABELS_FILE, PartFolder
from occlureid.cues.pose_folder import PoseFolder
from occlureid.data.images import open_image
from occlureid.errors import DataError
from occlureid.types import Sample

__all__ = ["CueFiles", "save_image"]

_QUALITY = 95


def save_image(image: Image.Image, target: Path, sample: Sample) -> None:
    """Writes an image in the format that its name says: JPEG of quality 95 without loss of colour resolution, others exactly.

    Raises:
        DataError: it cannot be written; the image that it is a copy of is named.
    """
    try:
        if target.suffix.lower() in (".jpg", ".jpeg"):
            image.save(target, format="JPEG", quality=_QUALITY, subsampling=0)
        elif target.suffix.lower() == ".webp":
            image.save(target, format="WEBP", lossless=True)
        else:
            image.save(target)
    except (OSError, ValueError) as error:
        raise DataError(f"{sample.path}: its occluded copy cannot be written ({error})") from error


class CueFiles:
    """Copies the cues of a dataset into the copy of it.

    Args:
        own: root of the dataset, with ``pose`` and ``parts`` where it has them.
        copy: root of the copy.

    Attributes:
        parts: the part labels, or None.

    Raises:
        DataError, MissingCueError: a folder of cues is damaged or empty.
    """

    def __init__(self, own: Path, copy: Path) -> None:
        self._own, self._copy = own, copy
        self.parts = PartFolder(own / "parts", own, ("foreground",)) if (own / "parts").is_dir() else None
        self._pose = PoseFolder(own / "pose", own) if (own / "pose").is_dir() else None

    def check(self, samples: Sequence[Sample]) -> None:
        """Makes sure that no two of some images share a file of cues, here or in the copy.

        Raises:
            DataError: two do; both are named.
        """
        folders = [folder for folder in (self.parts, self._pose) if folder is not None]
        if folders:
            check_distinct(samples, self._own)
        for folder in folders:
            for sample in samples:
                folder.has(sample)

    def write(self, sample: Sample, place: PurePosixPath, hidden: Tensor | None) -> None:
        """Writes the landmarks and part labels of an image, without what is hidden. Arrays of probabilities are not copied.

        Args:
            sample: of the dataset.
            place: of the image in the copy, relative to its root.
            hidden: (H, W) bool, or None where nothing is.

        Raises:
            DataError: a file is damaged, or labels are not of the image's size.
        """
        stem = stems(place)[0]
        everybody = None if self._pose is None else self._pose.found(sample)
        if everybody is not None:
            people = everybody.landmarks
            if hidden is not None:
                height, width = hidden.shape
                column, row = np.floor(people[..., 0]).astype(int), np.floor(people[..., 1]).astype(int)
                inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
                below = hidden.numpy()[row.clip(0, height - 1), column.clip(0, width - 1)]
                people = people * ~(inside & below)[..., None]
            found: list[dict[str, Any]] = [
                {"pose_keypoints_2d": [float(v) for v in person.reshape(-1).round(4)]} for person in people
            ]
            for number in np.flatnonzero(everybody.targets):
                found[int(number)]["is_target"] = True
            target = self._target("pose", f"{stem}.json")
            target.write_text(json.dumps({"version": "AlphaPose v0.2", "people": found}), encoding="utf-8")
        labels = None if self.parts is None else self.parts.label_image(sample)
        if labels is None:
            return
        target = self._target("parts", f"{stem}.png")
        if hidden is None:
            shutil.copyfile(labels, target)
            return
        image = open_image(labels, formats=("PNG",))
        if (image.height, image.width) != tuple(hidden.shape):
            raise DataError(
                f"{labels}: part labels must be of the image's size {tuple(hidden.shape)}, got "
                f"{(image.height, image.width)}"
            )
        # Label 0 is the background in every label set.
        image.paste(0, (0, 0, image.width, image.height), Image.fromarray(hidden.numpy().astype(np.uint8) * 255))
        image.save(target)

    def finish(self) -> None:
        """What the folders say of themselves."""
        if (self._copy / "parts").is_dir() and (self._own / "parts" / LABELS_FILE).is_file():
            shutil.copyfile(self._own / "parts" / LABELS_FILE, self._copy / "parts" / LABELS_FILE)

    def _target(self, folder: str, name: str) -> Path:
        target = self._copy / folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target
