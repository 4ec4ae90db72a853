"""The truth of an image as one JSON object, and of a world as one Parquet table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from occlureid.synthetic.body import PART_NAMES
from occlureid.synthetic.rendered import Rendered
from occlureid.types import KEYPOINT_NAMES

__all__ = ["person_text", "table_schema", "truth_record", "write_table"]

_ROWS = 4096
"""Rows of the table that are in memory at once."""


def truth_record(split: str, shot: Rendered, row: int, path: str) -> dict[str, Any]:
    """What is true of one image, ready for JSON.

    Args:
        split: of the image.
        shot: the rendering that holds the image.
        row: its row there.
        path: of the image file, relative to the world's root, with ``/``.

    Returns:
        An object with the keys of ``occlureid.data.truth.TruthRecord``, ``split`` and ``index``. Fractions and the heading have
        six decimals, landmarks three.
    """
    others = zip(shot.other_persons[row].tolist(), shot.others[row].tolist(), strict=True)
    counts = shot.people[row].flatten().bincount(minlength=2 + len(shot.others[row])).tolist()
    return {
        "path": path,
        "split": split,
        "index": int(shot.indices[row]),
        "person": person_text(int(shot.persons[row])),
        "camera": str(int(shot.cameras[row])),
        "size": list(shot.images.shape[2:]),
        "visible_fraction": round(float(shot.visible_fraction[row]), 6),
        "part_visible_fractions": {
            name: None if math.isnan(value) else round(value, 6)
            for name, value in zip(PART_NAMES[1:], shot.part_visible_fraction[row].tolist(), strict=True)
        },
        "pixels": counts[1],
        "obstacle": shot.obstacles[row],
        "heading": round(float(shot.headings[row]), 6),
        "box": shot.boxes[row],
        "scale": round(float(shot.scales[row]), 6),
        "landmarks": _landmarks(shot.keypoints[row].tolist()),
        "self_occluded": [int(value) for value in shot.self_occluded[row].tolist()],
        "others": [
            {"person": person_text(person), "pixels": pixels, "landmarks": _landmarks(landmarks)}
            for (person, landmarks), pixels in zip(others, counts[2:], strict=True)
        ],
    }


def person_text(person: int) -> str:
    """An identity as file names and records write it."""
    return f"{person:04d}"


def _landmarks(values: list[list[float]]) -> list[list[float]]:
    return [[round(x, 3), round(y, 3), int(seen)] for x, y, seen in values]


def table_schema() -> Any:
    """The columns of the table, a ``pyarrow.Schema``; its metadata name the landmarks."""
    import pyarrow as pa  # type: ignore[import-untyped]

    numbers, flags = pa.list_(pa.float64(), len(KEYPOINT_NAMES)), pa.list_(pa.bool_(), len(KEYPOINT_NAMES))
    landmarks = [("landmark_x", numbers), ("landmark_y", numbers), ("landmark_visible", flags)]
    columns = [
        ("path", pa.string()),
        ("split", pa.string()),
        ("index", pa.int32()),
        ("person", pa.string()),
        ("camera", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("visible_fraction", pa.float64()),
        *((f"{name}_visible_fraction", pa.float64()) for name in PART_NAMES[1:]),
        ("pixels", pa.int32()),
        ("obstacle", pa.string()),
        ("heading", pa.float64()),
        ("box", pa.string()),
        ("scale", pa.float64()),
        *landmarks,
        ("self_occluded", flags),
        ("others", pa.list_(pa.struct([("person", pa.string()), ("pixels", pa.int32()), *landmarks]))),
    ]
    return pa.schema(columns, metadata={"landmarks": json.dumps(KEYPOINT_NAMES)})


def write_table(truth: Path, path: Path) -> None:
    """Writes the records of a ``truth.jsonl`` as a Parquet table with a row an image, in the same order.

    Args:
        truth: the file to read, as ``truth_record`` fills it.
        path: the table to write.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    schema = table_schema()
    with truth.open(encoding="utf-8") as file, pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in _batches(_row(json.loads(line)) for line in file):
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(rows, _ROWS)):
        yield batch


def _row(record: dict[str, Any]) -> dict[str, Any]:
    height, width = record.pop("size")
    fractions = record.pop("part_visible_fractions")
    return {
        **_flat(record),
        "height": height,
        "width": width,
        **{f"{name}_visible_fraction": fractions[name] for name in PART_NAMES[1:]},
        "self_occluded": [bool(value) for value in record["self_occluded"]],
        "others": [_flat(other) for other in record["others"]],
    }


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """The record with its landmarks as three lists."""
    x, y, seen = zip(*record.pop("landmarks"), strict=True)
    return {**record, "landmark_x": x, "landmark_y": y, "landmark_visible": [bool(value) for value in seen]}
