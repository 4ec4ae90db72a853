"""Columns of Arrow tables from tensors, and tensors, items and texts from columns."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlureid.errors import DataError
from occlureid.gallery.checksums import one_array
from occlureid.gallery.records import Columns, Item

__all__ = [
    "ITEM_COLUMNS",
    "ROW",
    "SCAN_COLUMNS",
    "columns_of",
    "fixed_lists",
    "flat_array",
    "items_of",
    "lists",
    "map_keys",
    "matrix",
    "same_sums",
    "spatial_of",
]

ITEM_COLUMNS = ("id", "camera", "person", "time", "source", "box")
SCAN_COLUMNS = ("id", "camera", "person", "time")
ROW = "_rowid"


def columns_of(found: pa.Table | pa.RecordBatch) -> Columns:
    """The scanned columns of rows of the table of items."""
    texts = [one_array(found.column(name)) for name in ("id", "camera", "person")]
    times = one_array(found.column("time")).to_numpy(zero_copy_only=False).astype(np.float64)
    rows = one_array(found.column(ROW)).to_numpy(zero_copy_only=False).astype(np.uint64)
    return Columns(rows, texts[0], texts[1], texts[2], times)


def items_of(found: pa.Table) -> list[Item]:
    """Rows of the table of items as items, with thumbnails if that column is there."""
    return [
        Item(**{**record, "box": None if record["box"] is None else tuple(record["box"])})
        for record in found.select([n for n in (*ITEM_COLUMNS, "thumbnail") if n in found.column_names]).to_pylist()
    ]


def same_sums(stored: pa.Array | pa.ChunkedArray, now: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """(N,) whether the stored checksums are those that the rows have now; a row without one was damaged when it was sealed."""
    column = one_array(stored)
    same: NDArray[np.bool_] = column.fill_null(0).to_numpy() == now
    there: NDArray[np.bool_] = column.is_valid().to_numpy(zero_copy_only=False)
    return same & there


def map_keys(ids: Sequence[str]) -> NDArray[np.int64]:
    """(N,) a number for each id, by which maps are found without reading all ids; two ids share one at most by rare chance."""
    digests = b"".join(hashlib.blake2b(one.encode(), digest_size=8).digest() for one in ids)
    return np.frombuffer(digests, dtype="<i8").astype(np.int64)


def spatial_of(found: pa.Table, size: int, where: str) -> tuple[Tensor, Tensor]:
    """(N, T, S) float16 and (N, T) float32 of rows of the table of maps.

    Raises:
        DataError: the rows do not all have T local vectors of the gallery's size.
    """
    spatial, saliency = (one_array(found.column(name)) for name in ("spatial", "saliency"))
    lengths = np.unique(np.diff(saliency.offsets.to_numpy()))
    widths = np.unique(np.diff(spatial.offsets.to_numpy()))
    if len(lengths) != 1 or len(widths) != 1 or widths[0] != lengths[0] * size:
        raise DataError(f"{where}: spatial maps of {lengths.tolist()} local vectors with {widths.tolist()} numbers")
    vectors, weights = spatial.flatten().to_numpy(), saliency.flatten().to_numpy()
    shape = (len(found), int(lengths[0]))
    return torch.from_numpy(vectors.copy()).reshape(*shape, size), torch.from_numpy(weights.copy()).reshape(shape)


def flat_array(values: Tensor, dtype: torch.dtype) -> pa.Array:
    """All numbers in a row."""
    return pa.array(values.detach().to("cpu", dtype).contiguous().numpy().ravel())


def fixed_lists(values: Tensor, dtype: torch.dtype) -> pa.Array:
    """(N, width) numbers as N lists of one length."""
    return pa.FixedSizeListArray.from_arrays(flat_array(values, dtype), values.shape[1])


def lists(values: Tensor, dtype: torch.dtype, kind: pa.DataType) -> pa.Array:
    """(N, ...) numbers as N lists."""
    offsets = np.arange(values.shape[0] + 1, dtype=np.int64) * math.prod(values.shape[1:])
    return pa.LargeListArray.from_arrays(pa.array(offsets), flat_array(values, dtype), type=kind)


def matrix(column: pa.Array | pa.ChunkedArray, width: int, dtype: type) -> NDArray[Any]:
    """(N, width) numbers of a column of N lists, in place."""
    flat: NDArray[Any] = one_array(column).flatten().to_numpy(zero_copy_only=False).astype(dtype, copy=False)
    return flat.reshape(-1, width)
