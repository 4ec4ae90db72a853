"""The nouns that the stages hand to each other: Sample, Cues, Descriptor, Protocol, Region.

All are frozen, validated on construction, and free of model code. Shapes use the letters of ``docs/conventions.md``:
N items, B batch, K parts, C part channels, D global, H W image, T local vectors, S their channels, J landmarks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from occlureid.errors import DataError, FingerprintError, MissingCueError, ShapeError
from occlureid.ids import check_id

__all__ = [
    "CUE_NAMES",
    "KEYPOINT_FLIP",
    "KEYPOINT_NAMES",
    "Cues",
    "Descriptor",
    "Protocol",
    "Region",
    "Sample",
]

CueName = Literal["keypoints", "part_map", "foreground"]
CUE_NAMES: tuple[CueName, ...] = ("keypoints", "part_map", "foreground")

KEYPOINT_NAMES: tuple[str, ...] = (
    "nose", "neck",
    "right_shoulder", "right_elbow", "right_wrist",
    "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle",
    "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
"""The 18 landmarks in OpenPose's COCO order; left is the person's left."""


def _flip_order(names: Sequence[str]) -> tuple[int, ...]:
    def partner(name: str) -> str:
        if name.startswith("left"):
            return "right" + name.removeprefix("left")
        return "left" + name.removeprefix("right") if name.startswith("right") else name

    return tuple(names.index(partner(name)) for name in names)


KEYPOINT_FLIP: tuple[int, ...] = _flip_order(KEYPOINT_NAMES)
"""Where each landmark comes from after a horizontal flip: left and right change places."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of one person, as its dataset names it; ids are checked by ``ids.check_id``.

    Attributes:
        path: the image file.
        person: the dataset's own identity, as text ("0002", "-1"); never re-indexed. Training labels live in a label map.
        camera: the dataset's own camera, as text ("1", "entrance").
        time: frame number or time stamp where the dataset has one.
        visible_fraction: the part of the person's silhouette that the image shows, in [0, 1], where it is known.
        obstacle: what hides the person ("car", "person", ..., "none"), where it is known.
    """

    path: Path
    person: str
    camera: str
    time: int | None = None
    visible_fraction: float | None = None
    obstacle: str | None = None

    def __post_init__(self) -> None:
        if not self.person or not self.camera:
            raise DataError(f"{self.path}: needs a person and a camera, got {self.person!r} and {self.camera!r}")
        check_id(f"{self.path}: person", self.person)
        check_id(f"{self.path}: camera", self.camera)
        if self.visible_fraction is not None and not 0.0 <= self.visible_fraction <= 1.0:
            raise DataError(f"{self.path}: visible_fraction must lie in [0, 1], got {self.visible_fraction}")

    def to_json(self) -> dict[str, Any]:
        """A plain dict, without the fields that are not known."""
        return {key: str(v) if key == "path" else v for key, v in asdict(self).items() if v is not None}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Sample:
        """The inverse of ``to_json``.

        Raises:
            DataError: the record has unknown or missing keys.
        """
        known = {f.name for f in fields(cls)}
        if not {"path", "person", "camera"} <= record.keys() or not record.keys() <= known:
            raise DataError(f"a sample record needs path, person, camera; {sorted(known)} fit, got {sorted(record)}")
        return cls(**{**record, "path": Path(record["path"])})


@dataclass(frozen=True, slots=True)
class Region:
    """Where a part lies in the image, to draw it: fractions of height and width, origin top left."""

    name: str
    top: float
    left: float
    bottom: float
    right: float

    def __post_init__(self) -> None:
        if not (0 <= self.top < self.bottom <= 1 and 0 <= self.left < self.right <= 1):
            raise ShapeError(
                f"region {self.name!r} must satisfy 0 <= top < bottom <= 1 and 0 <= left < right <= 1, got {self}"
            )


@dataclass(frozen=True, slots=True)
class Protocol:
    """Which gallery images a query is scored against, and what is reported.

    Attributes:
        name: the dataset and variant that the protocol belongs to.
        ignore: "same_camera" drops, for each query, gallery images of the same person *and* the same camera; "same_image"
            drops only the query's own file (one-camera data of one's own); "none" drops nothing (sets whose query and
            gallery share no camera).
        junk: persons whose gallery images are dropped for every query (Market-1501's "-1").
        ranks: the ranks of the CMC curve that are quoted.
        average_precision: the definition that the set's literature quotes first; both are always computed.
    """

    name: str
    ignore: Literal["same_camera", "same_image", "none"] = "same_camera"
    junk: tuple[str, ...] = ("-1",)
    ranks: tuple[int, ...] = (1, 5, 10)
    average_precision: Literal["hits", "trapezoid"] = "hits"

    def __post_init__(self) -> None:
        if self.ignore not in ("same_camera", "same_image", "none"):
            raise DataError(f'protocol.ignore must be "same_camera", "same_image" or "none", got {self.ignore!r}')
        if self.average_precision not in ("hits", "trapezoid"):
            raise DataError(f'protocol.average_precision must be "hits" or "trapezoid", got {self.average_precision!r}')
        if not self.ranks or min(self.ranks) < 1:
            raise DataError(f"protocol.ranks must be positive, got {self.ranks}")

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Protocol:
        """The inverse of ``to_json``.

        Raises:
            DataError: the record has unknown keys or values.
        """
        try:
            return cls(**{**record, "junk": tuple(record["junk"]), "ranks": tuple(record["ranks"])})
        except (TypeError, KeyError) as error:
            raise DataError(f"not a protocol record ({error}): {record}") from error


@dataclass(frozen=True, eq=False, slots=True)
class Cues:
    """What guides a method to the visible person: for one image, or for a batch with a leading dimension B.

    Attributes:
        keypoints: (J, 3) or (B, J, 3): x, y in pixels of the image that the cues accompany (origin top left, pixel
            centres at +0.5) and a confidence in [0, 1]. A landmark that was not found has confidence 0; an image in
            which no person was found has only zeros.
        part_map: (K, H, W) or (B, K, H, W) in [0, 1], one channel a part, without a background channel.
        foreground: (H, W) or (B, H, W) in [0, 1].
        part_flip: for each part channel, the channel it comes from after a horizontal flip; empty where no part has sides.
    """

    keypoints: Tensor | None = None
    part_map: Tensor | None = None
    foreground: Tensor | None = None
    part_flip: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.keypoints is not None and (self.keypoints.ndim not in (2, 3) or self.keypoints.shape[-1] != 3):
            raise ShapeError(f"keypoints must have shape (J, 3) or (B, J, 3), got {tuple(self.keypoints.shape)}")
        if self.part_map is not None and self.part_map.ndim not in (3, 4):
            raise ShapeError(f"part_map must have shape (K, H, W) or (B, K, H, W), got {tuple(self.part_map.shape)}")
        if self.foreground is not None and self.foreground.ndim not in (2, 3):
            raise ShapeError(f"foreground must have shape (H, W) or (B, H, W), got {tuple(self.foreground.shape)}")
        if len(set(self._batch_shapes())) > 1:
            raise ShapeError(f"cues must agree on the batch, got {self._batch_shapes()} for {sorted(self.names)}")
        if self.part_flip and (self.part_map is None or sorted(self.part_flip) != list(range(self.part_map.shape[-3]))):
            raise ShapeError(f"part_flip must permute the part channels, got {self.part_flip}")

    def _batch_shapes(self) -> list[tuple[int, ...]]:
        trailing = {"keypoints": 2, "part_map": 3, "foreground": 2}
        return [tuple(t.shape[: t.ndim - trailing[n]]) for n in CUE_NAMES if (t := getattr(self, n)) is not None]

    @property
    def names(self) -> frozenset[CueName]:
        """The cues that are there."""
        return frozenset(name for name in CUE_NAMES if getattr(self, name) is not None)

    def require(self, name: CueName) -> Tensor:
        """One cue that must be there.

        Raises:
            MissingCueError: it is not.
        """
        cue: Tensor | None = getattr(self, name)
        if cue is None:
            raise MissingCueError(f"the cue {name!r} is needed, got only: {', '.join(sorted(self.names)) or 'none'}")
        return cue

    @classmethod
    def stack(cls, items: Sequence[Cues]) -> Cues:
        """A batch from the cues of single images, which must all have the same kinds of cue.

        Raises:
            ShapeError: the items differ in the cues they have, in size or in channel order.
        """
        if not items:
            raise ShapeError("cannot stack no cues at all")
        first = items[0]
        if any(item.names != first.names or item.part_flip != first.part_flip for item in items):
            raise ShapeError(
                f"all images of a batch must have the same cues, got {sorted({tuple(sorted(i.names)) for i in items})}"
            )
        return cls(**{n: torch.stack([getattr(i, n) for i in items]) for n in first.names}, part_flip=first.part_flip)

    def __getitem__(self, index: int | slice | Tensor) -> Cues:
        """The cues of some images of a batch."""
        return replace(self, **{name: getattr(self, name)[index] for name in self.names})

    def to(self, device: torch.device | str) -> Cues:
        """The same cues on another device."""
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in self.names})


@dataclass(frozen=True, eq=False, slots=True)
class Descriptor:
    """What a method says of N images: all that matching, search and evaluation ever see.

    Attributes:
        global_: (N, D) one vector an image.
        parts: (N, K, C) one vector a part, ordered top to bottom; K may be 0.
        visibility: (N, K) float in [0, 1]: how much of each part the image shows.
        spatial: (N, T, S) local vectors, or None.
        saliency: (N, T) the weight of each local vector, non-negative, or None; comes with ``spatial``.
        fingerprint: names the method, its weights and its settings; descriptors of different fingerprints never meet.
    """

    global_: Tensor
    parts: Tensor
    visibility: Tensor
    spatial: Tensor | None = None
    saliency: Tensor | None = None
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if self.global_.ndim != 2:
            raise ShapeError(f"global_ must have shape (N, D), got {tuple(self.global_.shape)}")
        n = self.global_.shape[0]
        if self.parts.ndim != 3 or self.parts.shape[0] != n:
            raise ShapeError(f"parts must have shape (N, K, C) with N={n}, got {tuple(self.parts.shape)}")
        k = self.parts.shape[1]
        if self.visibility.shape != (n, k) or not self.visibility.is_floating_point():
            raise ShapeError(
                f"visibility must be float of shape (N, K) = {(n, k)}, got {self.visibility.dtype} {tuple(self.visibility.shape)}"
            )
        if (self.spatial is None) != (self.saliency is None):
            raise ShapeError("spatial and saliency come together, got only one of them")
        if self.spatial is not None and self.saliency is not None:
            if self.spatial.ndim != 3 or self.spatial.shape[0] != n:
                raise ShapeError(f"spatial must have shape (N, T, S) with N={n}, got {tuple(self.spatial.shape)}")
            if self.saliency.shape != self.spatial.shape[:2]:
                raise ShapeError(
                    f"saliency must have shape (N, T) = {tuple(self.spatial.shape[:2])}, got {tuple(self.saliency.shape)}"
                )
        if len({t.device for t in self._tensors().values()}) > 1:
            raise ShapeError("all tensors of a descriptor must be on one device")

    @classmethod
    def from_vectors(cls, vectors: Tensor, fingerprint: str = "") -> Descriptor:
        """(N, D) vectors as descriptors without parts."""
        count = vectors.shape[0]
        visibility = torch.zeros(count, 0, device=vectors.device)
        return cls(vectors, vectors.new_zeros(count, 0, 1), visibility, fingerprint=fingerprint)

    def _tensors(self) -> dict[str, Tensor]:
        names = ("global_", "parts", "visibility", "spatial", "saliency")
        return {name: t for name in names if (t := getattr(self, name)) is not None}

    def _changed(self, tensors: dict[str, Any]) -> Descriptor:
        return replace(self, **tensors)

    def check(self) -> Descriptor:
        """Checks the values too: finite vectors (of visible parts), visibility in [0, 1], saliency not negative.

        Returns:
            Itself, so that the call can be chained.

        Raises:
            ShapeError: a value is out of its range; the message names the first image concerned.
        """
        wrong = {
            "global_ must be finite": ~torch.isfinite(self.global_).all(1),
            "visibility must lie in [0, 1]": ~((self.visibility >= 0) & (self.visibility <= 1)).all(1),
            "parts must be finite where visible": (~torch.isfinite(self.parts).all(2) & (self.visibility > 0)).any(1),
        }
        if self.spatial is not None and self.saliency is not None:
            wrong["spatial must be finite"] = ~torch.isfinite(self.spatial).flatten(1).all(1)
            wrong["saliency must be finite and not negative"] = ~(
                torch.isfinite(self.saliency) & (self.saliency >= 0)
            ).all(1)
        for message, rows in wrong.items():
            if bool(rows.any()):
                raise ShapeError(
                    f"{message}; image {int(rows.nonzero()[0])} of {len(self)} is not ({int(rows.sum())} in all)"
                )
        return self

    def __len__(self) -> int:
        return self.global_.shape[0]

    def __getitem__(self, index: slice | Tensor | Sequence[int]) -> Descriptor:
        """Some of the images; always a Descriptor, so an int index is refused (use ``d[i : i + 1]``)."""
        if isinstance(index, int):
            raise ShapeError(
                f"index a Descriptor with a slice, a list or a tensor, got the int {index}; write d[{index}:{index + 1}]"
            )
        rows = index if isinstance(index, slice | Tensor) else torch.as_tensor(list(index), dtype=torch.long)
        return self._changed({name: t[rows] for name, t in self._tensors().items()})

    @classmethod
    def cat(cls, items: Iterable[Descriptor]) -> Descriptor:
        """Joins descriptors of the same model along N.

        Raises:
            FingerprintError: they come from different models.
            ShapeError: nothing to join, or the items differ in what they have.
        """
        items = list(items)
        if not items:
            raise ShapeError("cannot concatenate no descriptors at all")
        for item in items[1:]:
            items[0].check_same_model(item)
            if item._tensors().keys() != items[0]._tensors().keys():
                raise ShapeError(
                    f"descriptors differ in what they hold: {list(items[0]._tensors())} and {list(item._tensors())}"
                )
        return items[0]._changed({n: torch.cat([getattr(i, n) for i in items]) for n in items[0]._tensors()})

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Descriptor:
        """The same descriptors on another device or in another float type (visibility keeps float32)."""
        return self._changed(
            {n: t.to(device=device, dtype=None if n == "visibility" else dtype) for n, t in self._tensors().items()}
        )

    def check_same_model(self, other: Descriptor) -> None:
        """Raises:
        FingerprintError: the two were made by different methods, weights or settings.
        """  # noqa: D205
        if self.fingerprint != other.fingerprint:
            raise FingerprintError(
                f"one side was described by {self.fingerprint or 'an unnamed model'}, the other by "
                f"{other.fingerprint or 'an unnamed model'}; descriptors of two models cannot be compared"
            )

    def save(self, path: Path | str) -> None:
        """Writes a safetensors file, atomically."""
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        tensors = {name: t.detach().cpu().contiguous() for name, t in self._tensors().items()}
        save_file(tensors, partial, metadata={"occlureid": "descriptor", "fingerprint": self.fingerprint})
        partial.replace(path)

    @classmethod
    def load(cls, path: Path | str) -> Descriptor:
        """Reads what ``save`` wrote; nothing in the file is executed.

        Raises:
            DataError: the file is missing, damaged, or not a descriptor.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path}: cannot be read as descriptors ({error})") from error
        if metadata.get("occlureid") != "descriptor":
            raise DataError(f"{path}: not a descriptor file (its metadata is {json.dumps(metadata)})")
        try:
            return cls(**tensors, fingerprint=metadata.get("fingerprint", "")).check()
        except (TypeError, ShapeError) as error:
            raise DataError(f"{path}: not a valid descriptor: {error}") from error
