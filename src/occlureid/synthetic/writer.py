"""A world on disk, in Market-1501's layout, with landmarks, label maps and the truth beside it."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from occlureid.errors import DataError
from occlureid.staging import staged_folder
from occlureid.synthetic.body import PART_NAMES
from occlureid.synthetic.detector import pose_document
from occlureid.synthetic.palette import label_image
from occlureid.synthetic.records import person_text, table_schema, truth_record, write_table
from occlureid.synthetic.rendered import BOX_KINDS, LIP_NAMES, Rendered
from occlureid.synthetic.settings import WorldSettings
from occlureid.synthetic.streams import SPLITS
from occlureid.synthetic.world import World
from occlureid.types import KEYPOINT_NAMES

__all__ = ["FOLDERS", "file_stem", "write_world"]

FOLDERS: dict[str, str] = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
"""The folder of each split."""

_FORMAT = 2
"""Raised when the same settings begin to give another world."""

_LABEL_FOLDERS = ("parts", "parsing", "masks")
_ENCODERS = min(8, os.cpu_count() or 1)
"""Threads that compress and write images; Pillow lets others run meanwhile."""


def file_stem(split: str, person: int, camera: int, index: int) -> str:
    """Market-1501's file name without its suffix: person, camera and sequence, frame, box; frames are unique in a world."""
    return f"{person_text(person)}_c{camera}s1_{SPLITS.index(split) * 300_000 + index:06d}_01"


def write_world(
    settings: WorldSettings,
    root: Path | str,
    *,
    device: torch.device | str = "cpu",
    batch: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Renders a world to disk.

    Beside ``bounding_box_train``, ``query`` and ``bounding_box_test`` with the images, the folder gets, for each image,

    - ``pose/<folder>/<stem>.json``: landmarks as a pose estimator reports them (AlphaPose's open form, other people included);
    - ``parts/<folder>/<stem>.png``: 0 background, 1 head, 2 torso, 3 upper arm, 4 lower arm, 5 upper leg, 6 lower leg, 7 foot;
    - ``parsing/<folder>/<stem>.png``: the classes of Look into Person, ``LIP_NAMES`` (left is the person's left);
    - ``masks/<folder>/<stem>.png``: 0 nobody, 1 the target, 2 and on the other people, as the truth lists them,
      each with what they carry;

    the first two label maps show the visible target only, and in those with a palette the label is the palette's index. What
    is true of all images is in ``truth.jsonl`` (one object an image, sorted by path; ``records.truth_record``) and, with the
    same values, in the table ``truth.parquet`` (``records.table_schema``); settings, counts, names of labels and versions
    are in ``world.json``.

    It is written beside ``root`` under another name and renamed at the end, so an interrupted call leaves nothing that looks
    like a world; what a killed one leaves, the next call clears away.

    Args:
        settings: of the world.
        root: the folder to make. If it holds a world of the same settings already, nothing is done.
        device: that renders.
        batch: images rendered at once; does not change them.
        progress: called with the images written and their number in all.

    Returns:
        ``root``.

    Raises:
        DataError: ``root`` exists and is not a world of these settings, or ``batch`` is not positive.
    """
    root = Path(root)
    if batch < 1:
        raise DataError(f"batch must be at least 1, got {batch}")
    record = _record(settings)
    if root.exists() and _same_world(root, record):
        return root
    try:
        with staged_folder(root) as partial:
            _write(settings, partial, device, batch, progress)
            (partial / "world.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    except OSError:
        # Another process may have finished the same world first.
        if not (root / "world.json").is_file() or not _same_world(root, record):
            raise
    return root


def _record(settings: WorldSettings) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "occlureid": metadata.version("occlureid"),
        "settings": settings.to_dict(),
        "counts": {FOLDERS[split]: settings.count(split) for split in SPLITS},
        "persons": {"train": settings.train_persons, "test": settings.test_persons},
        "parts": list(PART_NAMES),
        "parsing": list(LIP_NAMES),
        "boxes": list(BOX_KINDS),
        "landmarks": list(KEYPOINT_NAMES),
    }


def _same_world(root: Path, record: dict[str, Any]) -> bool:
    """Whether ``root`` is this very world; False for an empty folder, which may be replaced."""
    if root.is_dir() and not any(root.iterdir()):
        return False
    advice = "choose another folder, or remove this one"
    path = root / "world.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{root} exists and is not a rendered world (no readable world.json: {error}); {advice}"
        ) from error
    if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
        raise DataError(f"{path} is not what write_world writes; {advice}")
    wanted, there = record["settings"], found["settings"]
    differing = sorted(key for key in wanted.keys() | there.keys() if wanted.get(key) != there.get(key))
    if differing:
        lines = ", ".join(f"{key}: there {there.get(key)!r}, wanted {wanted.get(key)!r}" for key in differing)
        raise DataError(f"{root} holds a world of other settings ({lines}); {advice}")
    if found.get("format") != record["format"]:
        raise DataError(
            f"{root} holds a world of format {found.get('format')!r}, this version writes {_FORMAT}; {advice}"
        )
    return True


def _write(
    settings: WorldSettings,
    root: Path,
    device: torch.device | str,
    batch: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    table_schema()  # fails now rather than after an hour, where the library for it is broken
    world = World(settings, device)
    total = sum(settings.count(split) for split in SPLITS)
    lines: list[tuple[str, str]] = []
    pending: deque[list[Future[tuple[str, str]]]] = deque()

    def collect() -> None:
        lines.extend(future.result() for future in pending.popleft())
        if progress is not None:
            progress(len(lines), total)

    with ThreadPoolExecutor(_ENCODERS) as pool:
        try:
            for split in SPLITS:
                for folder in (root, *(root / name for name in ("pose", *_LABEL_FOLDERS))):
                    (folder / FOLDERS[split]).mkdir(parents=True)
                count = settings.count(split)
                for start in range(0, count, batch):
                    shot = world.render(split, range(start, min(start + batch, count)))
                    pending.append(
                        [pool.submit(_write_image, settings, root, split, shot, k) for k in range(len(shot))]
                    )
                    if len(pending) > 1:  # the batch before this one was written while this one was rendered
                        collect()
            while pending:
                collect()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    lines.sort()
    (root / "truth.jsonl").write_text("".join(line + "\n" for _, line in lines), encoding="utf-8")
    write_table(root / "truth.jsonl", root / "truth.parquet")


def _write_image(settings: WorldSettings, root: Path, split: str, shot: Rendered, row: int) -> tuple[str, str]:
    """Writes the files of one image; returns its path relative to the root and its line of the truth."""
    folder = FOLDERS[split]
    stem = file_stem(split, int(shot.persons[row]), int(shot.cameras[row]), int(shot.indices[row]))
    path = f"{folder}/{stem}.{settings.image_format}"
    picture = Image.fromarray(np.ascontiguousarray(shot.images[row].permute(1, 2, 0).numpy()))
    if settings.image_format == "jpg":
        picture.save(root / path, quality=settings.jpeg_quality)
    else:
        picture.save(root / path)
    maps = (
        Image.fromarray(shot.parts[row].numpy()),
        label_image(shot.lip[row].numpy()),
        label_image(shot.people[row].numpy()),
    )
    for name, labels in zip(_LABEL_FOLDERS, maps, strict=True):
        labels.save(root / name / folder / f"{stem}.png")
    document = json.dumps(pose_document(settings, split, shot, row))
    (root / "pose" / folder / f"{stem}.json").write_text(document, encoding="utf-8")
    return path, json.dumps(truth_record(split, shot, row, path))
