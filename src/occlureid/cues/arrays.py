"""Arrays from ``.npy`` and ``.npz`` files that anybody may have written: numbers of a known shape, or a clear error."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from occlureid.errors import DataError

__all__ = ["LARGEST_ARRAY", "FloatMaps", "read_array"]

FloatMaps = np.ndarray[Any, np.dtype[np.float32]]

LARGEST_ARRAY = 256 * 2**20
"""Bytes of the largest array that is read, unpacked."""


def read_array(path: Path) -> FloatMaps:
    """An array of finite numbers: (channels, height, width), or (height, width) as one channel.

    Nothing is unpickled. The size is checked before memory is taken: that of an ``.npy`` by mapping the file (a header that
    promises more than the file holds is refused), that of an ``.npz`` by its table of contents. An ``.npz`` must hold
    exactly one array. Eight-bit integers are taken as 255ths, booleans as 0 and 1.

    Returns:
        (A, B, C) float32, none of them 0.

    Raises:
        DataError: the file is missing, damaged, too large, holds objects, or not two or three dimensions of finite numbers.
    """
    try:
        array = _unpacked(path) if path.suffix.lower() == ".npz" else _mapped(path)
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such array") from error
    except Exception as error:  # numpy and zipfile raise whatever a damaged file drives them to
        raise DataError(f"{path}: cannot be read as an array ({' '.join(str(error).split())[:160]})") from error
    if array.dtype.kind not in "fb" and array.dtype != np.uint8:
        raise DataError(f"{path}: expected floating-point numbers (or 8-bit ones, as 255ths), got {array.dtype}")
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise DataError(f"{path}: expected (channels, height, width), or (height, width), got shape {array.shape}")
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinity, which is refused below
        values = array.astype(np.float32)
    values = values.reshape(-1, *array.shape[-2:])
    if array.dtype == np.uint8:
        values /= 255.0
    if not np.isfinite(values).all():
        raise DataError(f"{path}: holds NaN or infinity (or numbers too large)")
    return values


def _too_large(path: Path) -> DataError:
    return DataError(f"{path}: larger than {LARGEST_ARRAY:,} bytes, the most that is read")


def _mapped(path: Path) -> np.ndarray[Any, Any]:
    if path.stat().st_size > LARGEST_ARRAY:
        raise _too_large(path)
    return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


def _unpacked(path: Path) -> np.ndarray[Any, Any]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if len(members) != 1:
        raise DataError(f"{path}: expected exactly one array, got {len(members)}")
    if members[0].file_size > LARGEST_ARRAY:
        raise _too_large(path)
    with np.load(path, allow_pickle=False) as content:
        array = content[content.files[0]]
    if not isinstance(array, np.ndarray):  # a member that is no array comes as bytes
        raise DataError(f"{path}: expected an array, got a file {members[0].filename[:80]!r}")
    return array
