"""Checksums of what a gallery has acknowledged: a number an item, made when it is added and compared whenever it is read.

Lance hands out whatever its files hold; a byte that a disk has flipped in a vector changes distances, and nothing says so.
Loading a gallery must not become slow by looking, so that vectors are summed for all items of a block at once:

    sum(x) = sum_i w_i m(x_i)  mod 2^64,    m(x) = x XOR (x >> 29)

x_i are the item's bytes as 64-bit numbers, in the order of the columns and each column padded with zeros; w_i are fixed odd
numbers. m is one-to-one and w_i has an inverse, so that a change within one 64-bit number is always seen; changes in several
cancel with a chance of 2^-36 or less. Texts, times, boxes and thumbnails are read for few items at a time: BLAKE2b. Neither is a
signature: who can write the files can also write the sums.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

__all__ = [
    "MAP_SUM",
    "RECORD_SUM",
    "VECTOR_SUM",
    "finite_halves",
    "map_sums",
    "one_array",
    "record_sums",
    "row_sums",
    "texts_of",
]

VECTOR_SUM, RECORD_SUM, MAP_SUM = "vector_sum", "record_sum", "map_sum"
"""The columns that hold them: of global vector, parts and visibility; of all else in a row of items; of a row of maps."""

_RECORD = ("id", "camera", "person", "time", "added", "source", "box")
_WORD = 8
_STEP = 1 << 18
"""Bytes that are summed at a time: they stay in the processor's cache."""


@cache
def _weights(count: int) -> NDArray[np.uint64]:
    """(count,) the first of the fixed odd numbers."""
    size = 1 << max(8, (count - 1).bit_length())
    raw = hashlib.shake_256(b"occlureid gallery checksum 1").digest(_WORD * size)
    weights: NDArray[np.uint64] = np.frombuffer(raw, "<u8") | np.uint64(1)
    return weights[:count]


def _words(column: NDArray[Any]) -> NDArray[np.uint64]:
    """(N, width) numbers of any type as (N, words) 64-bit numbers."""
    raw = np.ascontiguousarray(column).view(np.uint8)
    short = -raw.shape[1] % _WORD
    if short:
        raw = np.pad(raw, ((0, 0), (0, short)))
    return raw.view("<u8")


def row_sums(*columns: NDArray[Any]) -> NDArray[np.uint64]:
    """The checksum of each row.

    Args:
        *columns: (N, width) numbers each, of any widths and types.

    Returns:
        (N,) uint64.
    """
    total = np.zeros(len(columns[0]), np.uint64)
    first = 0
    for column in columns:
        if not column.shape[1]:
            continue
        words = _words(column)
        weights = _weights(first + words.shape[1])[first:]
        rows = max(1, _STEP // (_WORD * words.shape[1]))
        for start in range(0, len(words), rows):
            some = words[start : start + rows]
            total[start : start + rows] += np.einsum("ij,j->i", some ^ (some >> np.uint64(29)), weights)
        first += words.shape[1]
    return total


def map_sums(found: pa.Table | pa.RecordBatch) -> NDArray[np.uint64]:
    """The checksum of each row of maps, whose lengths may differ where something is damaged.

    Args:
        found: (N) rows with the columns ``spatial`` and ``saliency``, lists of numbers.

    Returns:
        (N,) uint64.
    """
    lists = [one_array(found.column(name)) for name in ("spatial", "saliency")]
    offsets = [column.offsets.to_numpy() for column in lists]
    values = [column.values.to_numpy(zero_copy_only=False) for column in lists]
    sums = np.zeros(len(found), np.uint64)
    for row in range(len(found)):
        sums[row] = row_sums(*(v[o[row] : o[row + 1]][None] for v, o in zip(values, offsets, strict=True)))[0]
    return sums


def record_sums(found: pa.Table | pa.RecordBatch) -> NDArray[np.uint64]:
    """The checksum of id, camera, person, time, when it was added, source, box and thumbnail of each row.

    Args:
        found: (N) rows with these columns.

    Returns:
        (N,) uint64. Texts that are no UTF-8 any more get a sum that none was given.
    """
    columns = [texts_of(found.column(name)) for name in _RECORD]
    pictures = one_array(found.column("thumbnail")).to_pylist()
    records = zip(*columns, strict=True)
    sums = [_record_sum(record, picture) for record, picture in zip(records, pictures, strict=True)]
    return np.array(sums, np.uint64)


def _record_sum(record: Sequence[Any], picture: bytes | None) -> int:
    text = json.dumps(record, allow_nan=True, default=repr)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_WORD)
    digest.update(b"-" if picture is None else b"+" + picture)
    return int.from_bytes(digest.digest(), "little")


def texts_of(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """A column as Python values; texts that are no UTF-8 any more with their bytes escaped."""
    column = one_array(column)
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        raw = column.cast(pa.binary()).to_pylist()
        values = [None if one is None else one.decode("utf-8", "backslashreplace") for one in raw]
    return values


def finite_halves(halves: NDArray[np.float16]) -> NDArray[np.bool_]:
    """(N,) for (N, width) numbers in half precision whether all of a row are finite."""
    exponents = halves.view(np.uint16) & np.uint16(0x7C00)
    finite: NDArray[np.bool_] = (exponents != 0x7C00).all(1)
    return finite


def one_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column as one array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
