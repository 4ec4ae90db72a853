"""Part maps from a folder that mirrors the images: label images or probability arrays of any label set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from occlureid.cues.groupings import GROUPINGS, grouping_table, label_set, part_flip
from occlureid.cues.json_files import read_json
from occlureid.cues.mirror import Claims, file_names, mirrored, without_image_suffix
from occlureid.cues.partmaps import (
    group_labels,
    group_probabilities,
    is_coloured,
    part_map,
    read_labels,
    read_probabilities,
)
from occlureid.errors import DataError, MissingCueError, SettingsError, UsageError
from occlureid.types import CueName, Cues, Sample

__all__ = ["LABELS_FILE", "PartFolder", "read_labels_file"]

LABELS_FILE = "labels.json"
"""In a folder of part maps: what its files hold, such as ``{"labels": "lip20", "values": "logits"}``."""

_LARGEST_SETTINGS = 2**20

_KINDS = ("fields", "fields of another suffix", ".npz", ".npy", ".png", "grey")  # the first that an image has is taken
_FIELDS = ".confidence_fields"  # what BPBReID puts between an image's name and .npy
_GREY = "_gray"  # what Graphonomy puts before .png for the labels, beside a picture of them


def read_labels_file(root: Path) -> tuple[str, Literal["probability", "logits"]]:
    """The label set of a folder, and what its arrays hold: from ``labels.json``, or ("eanet8", "probability") without one.

    Keys beyond "labels" and "values" are not read.

    Raises:
        DataError: the file is damaged, or names no label set.
    """
    path = root / LABELS_FILE
    if not path.is_file():
        return "eanet8", "probability"
    content = read_json(path, _LARGEST_SETTINGS)
    if not isinstance(content, dict):
        raise DataError(f'{path}: expected a JSON object such as {{"labels": "lip20"}}')
    labels, values = content.get("labels", "eanet8"), content.get("values", "probability")
    try:
        label_set(str(labels))
    except SettingsError as error:
        raise DataError(f"{path}: {error}") from error
    if values not in ("probability", "logits"):
        raise DataError(f'{path}: "values" must be "probability" or "logits", got {str(values)[:60]!r}')
    return str(labels), "logits" if values == "logits" else "probability"


class PartFolder:
    """Part maps (K, H, W) from the files of a parser, one an image, and the foreground that they make up.

    For the image ``query/a.jpg`` there is a single-channel PNG of labels ``query/a.png``, of the image's size (or
    ``query/a_gray.png``, beside a coloured ``query/a.png``, as Graphonomy writes both), or an array of probabilities
    (``query/a.npy``, ``query/a.npz``, or BPBReID's ``query/a.jpg.confidence_fields.npy``), of any size, which is resized and
    stays soft. Names may keep the image's suffix (``query/a.jpg.png``). Where there is an array it is taken. What the numbers
    mean stands in ``labels.json``. The files are those that are there when the folder is opened; each may be one image's only.

    Args:
        root: the folder.
        image_root: the folder that it mirrors.
        cues: what to give: "part_map", "foreground" (all that is not background), or both.
        labels: the label set, a name of ``LABEL_SETS``; of None, that in ``labels.json``, or "eanet8" without one.
        grouping: the regions wanted, a name of ``GROUPINGS``, or "labels" for the parser's own parts.

    Attributes:
        parts: the names of the K channels.

    Raises:
        MissingCueError: there is no such folder.
        UsageError: it cannot give such a cue.
        SettingsError: there is no such label set or grouping, or they do not go together.
        DataError: ``labels.json`` is damaged.
    """

    def __init__(
        self,
        root: Path | str,
        image_root: Path | str,
        cues: Iterable[CueName] = ("part_map", "foreground"),
        *,
        labels: str | None = None,
        grouping: str = "sorn8",
    ) -> None:
        self.root, self.image_root, self.cues = Path(root), Path(image_root), frozenset(cues)
        if not self.cues or not self.cues <= {"part_map", "foreground"}:
            raise UsageError(f"part labels give part_map and foreground, not {sorted(self.cues)}")
        if not self.root.is_dir():
            raise MissingCueError(
                f"the cues {', '.join(sorted(self.cues))} need {self.root}, which is not there: a single-channel PNG "
                "of part labels for each image (0 background, 1 head ... 7 foot), in folders named as those of the "
                'images; other label sets and arrays are named in its labels.json; "occlureid cues parsing" makes them'
            )
        stored, self._values = read_labels_file(self.root)
        self.labels = stored if labels is None else labels
        self._claims = Claims(self.image_root)
        self._found: dict[str, dict[str, Path]] = {kind: {} for kind in _KINDS}
        self._sort_in()
        # A silhouette has no parts to tell apart, but is all that a method needs which wants the foreground.
        self.grouping = grouping if "part_map" in self.cues else "sorn2"
        if self.grouping != "labels" and self.grouping not in GROUPINGS:
            raise SettingsError(f"no grouping {grouping!r}; known: {', '.join([*GROUPINGS, 'labels'])}")
        self.parts = tuple(name for name in grouping_table(self.labels, self.grouping) if name != "background")
        self._flip = part_flip(self.parts) if "part_map" in self.cues else ()

    def _sort_in(self) -> None:
        """Notes which files there are."""
        for path in sorted(self.root.rglob("*")):
            suffix = path.suffix.lower()
            if suffix not in (".npz", ".npy", ".png"):
                continue
            stem = path.relative_to(self.root).with_suffix("").as_posix()
            if suffix == ".npy" and stem.endswith(_FIELDS):
                self._found["fields"][stem.removesuffix(_FIELDS)] = path
                if other := without_image_suffix(stem.removesuffix(_FIELDS)):
                    self._found["fields of another suffix"].setdefault(other, path)
            if suffix == ".png" and stem.endswith(_GREY):
                self._found["grey"][stem.removesuffix(_GREY)] = path
            self._found[suffix][stem] = path

    def _file(self, sample: Sample, kinds: tuple[str, ...] = _KINDS) -> Path | None:
        image = mirrored(sample.path, self.image_root)
        names = file_names(image)
        for kind in kinds:
            name = next((name for name in names if name in self._found[kind]), None)
            if name is None:
                continue
            path = self._found[kind][name]
            if kind == ".png" and name in self._found["grey"] and is_coloured(path):
                path = self._found["grey"][name]
            self._claims.claim(path, image)
            return path
        return None

    def label_image(self, sample: Sample) -> Path | None:
        """The PNG of labels for an image, also where there is an array, which is taken before it; None where there is none.

        Raises:
            DataError: as ``has``.
        """
        return self._file(sample, (".png", "grey"))

    def has(self, sample: Sample) -> bool:
        """True if there is a file for an image.

        Raises:
            DataError: it is another image's as well, or the image is not below ``image_root``.
        """
        return self._file(sample) is not None

    def __call__(self, sample: Sample, size: tuple[int, int]) -> Cues:
        """The maps, of the image's size.

        Raises:
            DataError: the file is missing, damaged, another image's as well, or labels of another size than the image.
        """
        path = self._file(sample)
        if path is None:
            raise DataError(f"{sample.path}: there are no part labels for it below {self.root}")
        if path.suffix.lower() == ".png":
            labels = read_labels(path, self.labels)
            if labels.shape != size:
                raise DataError(
                    f"{path}: part labels must be of the image's size (height, width) = {size}, got {labels.shape}"
                )
            maps = part_map(group_labels(labels, self.labels, self.grouping), len(self.parts))
        else:
            probabilities = read_probabilities(path, self.labels, self._values)
            maps = group_probabilities(probabilities, self.labels, self.grouping, size)
        # Labels exclude each other, so their probabilities add up; fields overlap.
        overlap = label_set(self.labels).kind == "fields"
        foreground = maps.amax(0) if overlap else maps.sum(0).clamp(max=1.0)
        return Cues(
            part_map=maps if "part_map" in self.cues else None,
            foreground=foreground if "foreground" in self.cues else None,
            part_flip=self._flip,
        )
