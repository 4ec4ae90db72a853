"""Cues for whole datasets: a provider's (or another source's) cues as files that a method's run finds by itself.

Beside the images, ``pose/<mirror>.json`` and ``parts/<mirror>.png`` get what PoseFolder and PartFolder read. A call that was
interrupted, even killed, goes on where it stopped: files are written under another name and renamed, and those that are there
already, newer than their image and from the same provider, are kept.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from occlureid.cues.cache import CueCache
from occlureid.cues.degraded import Degraded
from occlureid.cues.groupings import label_set
from occlureid.cues.images import listed_images
from occlureid.cues.keypoints import People
from occlureid.cues.mirror_writer import MirrorWriter, write_file
from occlureid.cues.overlay import PART_TINTS
from occlureid.cues.part_folder import LABELS_FILE, PartFolder
from occlureid.cues.partmaps import LabelArray, read_labels
from occlureid.cues.placement import check_placement
from occlureid.cues.pose_files import read_people
from occlureid.cues.pose_folder import PROVIDER_FILE, PoseFolder
from occlureid.cues.providers import Provider
from occlureid.cues.summary import CueSummary, PartTally, PoseTally
from occlureid.data.dataset import ReidDataset
from occlureid.data.loader import CueSource
from occlureid.errors import DataError, MissingCueError, UsageError
from occlureid.types import Cues, Sample

__all__ = ["build_parsing", "build_pose"]

_LABELS_OF_GROUPING = {"sorn8": "eanet8", "sgam5": "sgam5", "sorn2": "mask"}


def build_pose(
    images: ReidDataset | Path | Sequence[Path],
    provider: Provider | CueSource,
    out: Path | None = None,
    *,
    cache: CueCache | None = None,
    batch_size: int = 64,
    threshold: float = 0.2,
    overwrite: bool = False,
    on_corrupt: Literal["fatal", "skip"] = "fatal",
    progress: Callable[[int, int], None] | None = None,
) -> CueSummary:
    """Writes ``<out>/pose/<mirror>.json``, AlphaPose's open form, for every image.

    Args:
        images: a dataset, a folder of images, or image files.
        provider: a provider; or a source of keypoints such as ExactCues, Degraded, or a PoseFolder, whose files of another
            tool are thereby imported, with everybody in them; images without a file there get none, and are counted.
        out: the folder that gets ``pose``; the dataset's root, or the folder of the images, unless given.
        cache: what the provider has computed before, anywhere.
        batch_size: images handed to the provider at once.
        threshold: the least confidence that the summary counts.
        overwrite: replace cues that something else has made.
        on_corrupt: "fatal" raises on an unreadable image, "skip" leaves it out and says so in the summary.
        progress: called with (images done, images in all).

    Raises:
        UsageError: there are no images, ``pose`` holds cues of another provider and ``overwrite`` is False, or the provider
            gives no keypoints, or would read the folder that it writes.
        MissingCueError: a folder of another tool's files has one for none of the images; nothing is written.
        DataError: an image cannot be read, a file cannot be written or fits two images, two images would share a file, or
            landmarks are not in pixels of their images.
    """
    samples, root = listed_images(images)
    _check(provider, "keypoints", batch_size)
    folder = (root if out is None else Path(out)) / "pose"
    absent = _absent(samples, provider)
    if isinstance(provider, PoseFolder):
        check_placement(provider, samples)
    tally = PoseTally(threshold, without_file=len(absent))

    def write(sample: Sample, cues: Cues, path: Path) -> None:
        people = People.of(cues.require("keypoints").double().numpy()[None])
        if isinstance(provider, PoseFolder) and (found := provider.found(sample)) is not None:
            # Another tool's poses are imported whole: who is meant is chosen when the cues are read.
            people = found
        kept = (people.landmarks[:, :, 2] > 0).any(axis=1)
        people = People(people.landmarks[kept], people.targets[kept])
        write_file(path, json.dumps(_pose_document(people)).encode())
        tally.add(sample.path, people)

    def reread(sample: Sample, path: Path) -> None:
        tally.add(sample.path, read_people(path))

    writer = MirrorWriter(provider, folder, root, ".json", PROVIDER_FILE, {}, write, reread)
    return tally.summary(*writer.run(samples, cache, batch_size, overwrite, on_corrupt, progress, absent))


def build_parsing(
    images: ReidDataset | Path | Sequence[Path],
    provider: Provider | CueSource,
    out: Path | None = None,
    *,
    cache: CueCache | None = None,
    batch_size: int = 32,
    probabilities: bool = False,
    overwrite: bool = False,
    on_corrupt: Literal["fatal", "skip"] = "fatal",
    progress: Callable[[int, int], None] | None = None,
) -> CueSummary:
    """Writes ``<out>/parts/<mirror>.png``, the likeliest label of each pixel, and ``parts/labels.json``, which says of what set.

    Args:
        images: a dataset, a folder of images, or image files.
        provider: a provider; or a source of part maps such as ExactCues, Degraded, or a PartFolder, whose files of another
            tool are thereby imported. A source gives the parts of its own label set (``grouping="labels"``), or of a grouping
            that is a label set (sorn8 is EANet's, sgam5 SGAM's, sorn2 a silhouette).
        out: the folder that gets ``parts``; the dataset's root, or the folder of the images, unless given.
        cache: what the provider has computed before, anywhere.
        batch_size: images handed to the provider at once.
        probabilities: write ``<mirror>.npz`` too: (K, H, W) in 255ths, which PartFolder prefers to the labels.
        overwrite: replace cues that something else has made.
        on_corrupt: "fatal" raises on an unreadable image, and on one without a file where another tool's are imported; "skip"
            leaves it out and says so in the summary.
        progress: called with (images done, images in all).

    Raises:
        UsageError: as ``build_pose``, or the parts are those of no label set.
        MissingCueError: as ``build_pose``.
        DataError: an image cannot be read, a file cannot be written or fits two images, or two images would share a file.
    """
    samples, root = listed_images(images)
    _check(provider, "part_map", batch_size)
    folder = (root if out is None else Path(out)) / "parts"
    labels, overlap = _label_set_of(provider)
    parts = label_set(labels).parts
    absent = _absent(samples, provider)
    if absent and on_corrupt == "fatal":
        raise DataError(
            f"{len(absent)} of {len(samples)} images have no part labels in the folder to import, first: {min(absent)}; make "
            'them too, or leave these images out (on_corrupt "skip")'
        )
    tally = PartTally(parts, without_file=len(absent))

    def write(sample: Sample, cues: Cues, path: Path) -> None:
        maps = cues.require("part_map")
        if len(maps) != len(parts):
            raise UsageError(f"expected part maps of the {len(parts)} parts of {labels!r}, got {len(maps)}")
        if probabilities:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, maps=(maps.clamp(0, 1) * 255).round().to(torch.uint8).numpy())
            write_file(path.with_suffix(".npz"), buffer.getvalue())
        values = _likeliest(maps, overlap)
        write_file(path, _label_image(values))
        tally.add(sample.path, values)

    def reread(sample: Sample, path: Path) -> None:
        if probabilities and not path.with_suffix(".npz").is_file():
            raise DataError(f"{path}: written without its probabilities")
        tally.add(sample.path, read_labels(path, labels))

    writer = MirrorWriter(provider, folder, root, ".png", LABELS_FILE, {"labels": labels}, write, reread)
    return tally.summary(*writer.run(samples, cache, batch_size, overwrite, on_corrupt, progress, absent))


def _absent(samples: Sequence[Sample], provider: Provider | CueSource) -> frozenset[Path]:
    """The images for which a folder to import has no file.

    Raises:
        MissingCueError: it has none at all.
        DataError: a file fits two images.
    """
    source = provider.source if isinstance(provider, Degraded) else provider
    if not isinstance(source, PoseFolder | PartFolder):
        return frozenset()
    absent = frozenset(sample.path for sample in samples if not source.has(sample))
    if len(absent) == len(samples):
        raise MissingCueError(
            f"{source.root} has a file for none of the {len(samples)} images below {source.image_root}, the first of them "
            f"{samples[0].path}; its files must be named as the images are, in folders named as theirs; nothing was written"
        )
    return absent


def _check(provider: Provider | CueSource, cue: str, batch_size: int) -> None:
    given = getattr(provider, "cues", None)
    if given is not None and cue not in given:
        raise UsageError(f"{type(provider).__name__} gives {', '.join(sorted(given))}, not {cue}")
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}")


def _label_set_of(provider: Provider | CueSource) -> tuple[str, bool]:
    """The label set that a provider's parts are, and whether they overlap."""
    source: object = provider.source if isinstance(provider, Degraded) else provider
    labels, grouping = getattr(source, "labels", None), getattr(source, "grouping", "labels")
    if labels is None or (grouping != "labels" and grouping not in _LABELS_OF_GROUPING):
        raise UsageError(f"the parts of {type(source).__name__} with grouping {grouping!r} are those of no label set")
    overlap = label_set(labels).kind == "fields"
    if overlap and grouping == "labels":
        raise UsageError(f"{labels!r} are overlapping fields, which no label image can hold; choose the grouping sorn8")
    return _LABELS_OF_GROUPING.get(grouping, labels), overlap


def _pose_document(people: People) -> dict[str, Any]:
    """AlphaPose's open form. A found landmark at exactly 0 would read as not found, so it moves by a ten-thousandth."""
    found = (people.landmarks[:, :, 2] > 0)[:, :, None]
    values = people.landmarks.round(4)
    values = np.where(found & (values == 0), 0.0001, np.where(found, values, 0.0))
    persons: list[dict[str, Any]] = [{"pose_keypoints_2d": person.ravel().tolist()} for person in values]
    for row in np.flatnonzero(people.targets):
        persons[int(row)]["is_target"] = True
    return {"version": "occlureid", "people": persons}


def _likeliest(maps: torch.Tensor, overlap: bool) -> LabelArray:
    """(H, W) uint8: the likeliest of the background (0) and the parts (1 to K)."""
    background = 1 - maps.amax(0) if overlap else (1 - maps.sum(0)).clamp(min=0.0)
    labels: LabelArray = torch.cat([background[None], maps]).argmax(0).to(torch.uint8).numpy()
    return labels


def _label_image(labels: LabelArray) -> bytes:
    image = Image.fromarray(labels)
    image.putpalette([0, 0, 0, *(value for tint in PART_TINTS for value in tint)])
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
