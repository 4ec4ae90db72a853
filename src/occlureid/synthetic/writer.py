"""A world on disk, in Market-1501's layout, with landmarks, part maps and the truth beside it."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from occlureid.errors import DataError
from occlureid.synthetic.body import PART_NAMES
from occlureid.synthetic.detector import pose_document
from occlureid.synthetic.rendered import Rendered
from occlureid.synthetic.settings import WorldSettings
from occlureid.synthetic.streams import SPLITS
from occlureid.synthetic.world import World
from occlureid.types import KEYPOINT_NAMES

__all__ = ["FOLDERS", "file_stem", "write_world"]

FOLDERS: dict[str, str] = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
"""The folder of each split."""

_FORMAT = 1
"""Raised when the same settings begin to give another world."""


def file_stem(split: str, person: int, camera: int, index: int) -> str:
    """Market-1501's file name without its suffix: person, camera and sequence, frame, box; frames are unique in a world."""
    return f"{person:04d}_c{camera}s1_{SPLITS.index(split) * 300_000 + index:06d}_01"


def write_world(
    settings: WorldSettings,
    root: Path | str,
    *,
    device: torch.device | str = "cpu",
    batch: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Renders a world to disk.

    The folder gets ``bounding_box_train``, ``query`` and ``bounding_box_test`` with images, ``pose/<folder>/<stem>.json``
    (AlphaPose's open form, other people included), ``parts/<folder>/<stem>.png`` (labels 0 background, 1 head, 2 torso,
    3 upper arm, 4 lower arm, 5 upper leg, 6 lower leg, 7 foot; the visible target only), ``truth.jsonl`` (one object an
    image, sorted by path) and ``world.json`` (settings, counts, versions). It is written beside ``root`` under another name
    and renamed at the end, so an interrupted call leaves nothing that looks like a world.

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
    root.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{root.name}.partial-", dir=root.parent))
    try:
        _write(settings, partial, device, batch, progress)
        (partial / "world.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        partial.chmod(0o755)
        partial.rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root


def _record(settings: WorldSettings) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "occlureid": metadata.version("occlureid"),
        "settings": settings.to_dict(),
        "counts": {FOLDERS[split]: settings.count(split) for split in SPLITS},
        "persons": {"train": settings.train_persons, "test": settings.test_persons},
        "parts": list(PART_NAMES),
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
    world = World(settings, device)
    total, done = sum(settings.count(split) for split in SPLITS), 0
    lines: list[tuple[str, str]] = []
    for split in SPLITS:
        for folder in (root, root / "pose", root / "parts"):
            (folder / FOLDERS[split]).mkdir(parents=True)
        count = settings.count(split)
        for start in range(0, count, batch):
            shot = world.render(split, range(start, min(start + batch, count)))
            for row in range(len(shot)):
                path = _write_image(settings, root, split, shot, row)
                lines.append((path, json.dumps(_truth(split, shot, row, path))))
            done += len(shot)
            if progress is not None:
                progress(done, total)
    lines.sort()
    (root / "truth.jsonl").write_text("".join(line + "\n" for _, line in lines), encoding="utf-8")


def _write_image(settings: WorldSettings, root: Path, split: str, shot: Rendered, row: int) -> str:
    """Writes image, part map and landmarks; returns the image's path relative to the root."""
    folder = FOLDERS[split]
    stem = file_stem(split, int(shot.persons[row]), int(shot.cameras[row]), int(shot.indices[row]))
    path = f"{folder}/{stem}.{settings.image_format}"
    picture = Image.fromarray(np.ascontiguousarray(shot.images[row].permute(1, 2, 0).numpy()))
    if settings.image_format == "jpg":
        picture.save(root / path, quality=settings.jpeg_quality)
    else:
        picture.save(root / path)
    Image.fromarray(shot.parts[row].numpy()).save(root / "parts" / folder / f"{stem}.png")
    document = json.dumps(pose_document(settings, split, shot, row))
    (root / "pose" / folder / f"{stem}.json").write_text(document, encoding="utf-8")
    return path


def _truth(split: str, shot: Rendered, row: int, path: str) -> dict[str, Any]:
    def share(value: float) -> float | None:
        return None if math.isnan(value) else round(value, 6)

    landmarks = shot.keypoints[row].tolist()
    return {
        "path": path,
        "split": split,
        "index": int(shot.indices[row]),
        "person": f"{int(shot.persons[row]):04d}",
        "camera": str(int(shot.cameras[row])),
        "visible_fraction": round(float(shot.visible_fraction[row]), 6),
        "part_visible_fractions": {
            name: share(value)
            for name, value in zip(PART_NAMES[1:], shot.part_visible_fraction[row].tolist(), strict=True)
        },
        "obstacle": shot.obstacles[row],
        "heading": round(float(shot.headings[row]), 6),
        "landmarks": [[round(x, 3), round(y, 3), int(seen)] for x, y, seen in landmarks],
        "self_occluded": [int(value) for value in shot.self_occluded[row].tolist()],
    }
