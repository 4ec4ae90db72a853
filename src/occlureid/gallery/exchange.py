"""A gallery as one Parquet file, and back; the file that comes back is hostile until checked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from occlureid.errors import DataError, FingerprintError, OcclureidError, ShapeError, reason
from occlureid.gallery.flush import sync
from occlureid.gallery.layout import Shape
from occlureid.gallery.maps import Maps
from occlureid.gallery.records import Item
from occlureid.gallery.rows import items_of, spatial_of
from occlureid.types import Descriptor

__all__ = ["read_parquet", "write_parquet"]

_BATCH = 512
_GROUP_BYTES = 4 << 30
_MARK = {b"occlureid": b"gallery items", b"format": b"1"}


def _schema(shape: Shape, *, maps: bool) -> pa.Schema:
    columns = list(shape.item_schema(sealed=False))
    if maps:
        columns += [shape.map_schema(sealed=False).field(name) for name in ("spatial", "saliency")]
    return pa.schema(columns, metadata={**_MARK, b"fingerprint": shape.fingerprint.encode()})


def write_parquet(path: Path, shape: Shape, batches: Iterable[pa.RecordBatch], maps: Maps | None) -> int:
    """Writes rows of the table of items, with their spatial maps, to a new file.

    Returns:
        How many.

    Raises:
        DataError: it cannot be written.
    """
    schema = _schema(shape, maps=maps is not None)
    partial = path.with_name(path.name + ".partial")
    count = 0
    try:
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            for batch in batches:
                rows = pa.Table.from_batches([batch]).select(shape.item_schema(sealed=False).names)
                if maps is not None:
                    found = maps.found(rows.column("id").to_pylist())
                    for name in ("spatial", "saliency"):
                        rows = rows.append_column(name, found.column(name))
                writer.write_table(rows.cast(schema))
                count += len(rows)
        sync(partial)
        os.replace(partial, path)  # noqa: PTH105
        sync(path.absolute().parent)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def read_parquet(path: Path, shape: Shape, now: float) -> Iterator[tuple[list[Item], Descriptor, list[float]]]:
    """Items, descriptors and when each was added, in batches.

    Args:
        path: what ``write_parquet`` wrote, perhaps.
        shape: of the gallery that it is for.
        now: no item was added later than this.

    Raises:
        FingerprintError: it is of another model.
        DataError: it is damaged, hostile or of another shape.
    """
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            _check_file(file, shape, path)
            for number in range(file.num_row_groups):
                for batch in file.iter_batches(_BATCH, row_groups=[number], use_threads=False):
                    batch.validate(full=True)
                    yield _parsed(pa.Table.from_batches([batch]), shape, now, path)
    except OcclureidError:
        raise
    except (OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as items of a gallery: {_line(error)}") from error


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [reason(error)])[0][:300]


def _check_file(file: Any, shape: Shape, path: Path) -> None:
    found: pa.Schema = file.schema_arrow
    metadata = found.metadata or {}
    if any(metadata.get(key) != value for key, value in _MARK.items()):
        raise DataError(f"{path}: not the items of a gallery (it lacks the mark that an export has)")
    expected = _schema(shape, maps=shape.local_size is not None)
    fingerprint = metadata.get(b"fingerprint", b"").decode("utf-8", "replace")
    if fingerprint != shape.fingerprint:
        raise FingerprintError(
            f"{path}: described by {fingerprint[:200]}, this gallery by {shape.fingerprint}; descriptors of two models cannot "
            "be compared"
        )
    if not found.remove_metadata().equals(expected.remove_metadata()):
        differing = [f.name for f in expected if f.name not in found.names or found.field(f.name).type != f.type]
        raise DataError(
            f"{path}: expected the columns {expected.names}, got {found.names}; of other type or missing: {differing}"
        )
    for number in range(file.num_row_groups):
        size = file.metadata.row_group(number).total_byte_size
        if not 0 <= size <= _GROUP_BYTES:
            raise DataError(
                f"{path}: row group {number} says that it has {size} bytes, at most {_GROUP_BYTES} are read"
            )


def _parsed(rows: pa.Table, shape: Shape, now: float, path: Path) -> tuple[list[Item], Descriptor, list[float]]:
    for field in rows.schema:
        if not field.nullable and rows.column(field.name).null_count:
            raise DataError(f"{path}: column {field.name} has rows without a value")
    added: list[float] = rows.column("added").to_pylist()
    if not all(np.isfinite(when) and 0 <= when <= now for when in added):
        raise DataError(f"{path}: an item was added at a time that is no time, or in the future")
    try:
        items = items_of(rows)
        descriptor = shape.vectors(rows)
        if shape.local_size is not None:
            spatial, saliency = spatial_of(rows, shape.local_size, "spatial")
            descriptor = replace(descriptor, spatial=spatial, saliency=saliency)
        shape.check(items, descriptor)
    except (DataError, ShapeError) as error:
        raise DataError(f"{path}: {error}") from error
    return items, descriptor, added
