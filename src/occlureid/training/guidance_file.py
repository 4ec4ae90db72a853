"""The part labels of one epoch as a file, for figures and for scores by epoch."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from occlureid.errors import DataError
from occlureid.guidance import Guidance

__all__ = ["GuidanceFile", "guidance_name", "read_guidance", "write_guidance"]

LARGEST_FILE = 4 * 2**30
"""Bytes of all arrays of the largest file that is read, unpacked."""

_FORMAT = "guidance 1"
_KINDS = {"labels": ("u", 3), "known": ("b", 1), "images": ("U", 1), "about": ("U", 0)}


@dataclass(frozen=True, eq=False)
class GuidanceFile:
    """What a file of part labels holds.

    Attributes:
        guidance: the labels of N images; ``guidance.epoch`` is the one before which they were made, from 0.
        in_force: the epoch that was trained with them, from 0.
        images: the N images, as ``relative_paths`` of the training samples names them.
    """

    guidance: Guidance
    in_force: int
    images: tuple[str, ...]


def guidance_name(epoch: int) -> str:
    """The file of an epoch, from 0, in a run's folder: its number in the name counts from 1, as in the log."""
    return f"guidance/epoch_{epoch + 1:04d}.npz"


def write_guidance(path: Path, guidance: Guidance, in_force: int, images: Sequence[str]) -> None:
    """Writes a file, atomically; its folder is made.

    It holds ``labels`` (N, h, w) uint8, ``known`` (N,) bool, ``images`` (N,) text, and ``about``, JSON text with parts, epoch,
    in_force and record.

    Raises:
        DataError: it cannot be written.
    """
    about = {
        "occlureid": _FORMAT,
        "parts": guidance.parts,
        "epoch": guidance.epoch,
        "in_force": in_force,
        "record": guidance.record,
    }
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez_compressed(
                file,
                labels=guidance.labels.numpy(),
                known=guidance.known.numpy(),
                images=np.array(images, dtype=np.str_),
                about=np.array(json.dumps(about, allow_nan=False)),
            )
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error


def read_guidance(path: Path | str) -> GuidanceFile:
    """Reads what ``write_guidance`` wrote; nothing in it is executed.

    Raises:
        DataError: the file is missing, damaged, too large, or not a file of part labels.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
        if set(sizes) != {f"{name}.npy" for name in _KINDS}:
            raise DataError(f"{path}: expected the arrays {', '.join(_KINDS)}, got {', '.join(sizes)[:200]}")
        if sum(sizes.values()) > LARGEST_FILE:
            raise DataError(f"{path}: larger than {LARGEST_FILE:,} bytes, the most that is read")
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in _KINDS}
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f'{path}: there is no such file; train with "guidance_every" above 0') from error
    except Exception as error:  # numpy and zipfile raise whatever a damaged file drives them to
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())[:160]})") from error
    for name, (kind, dimensions) in _KINDS.items():
        array: Any = arrays[name]
        if not isinstance(array, np.ndarray) or array.dtype.kind != kind or array.ndim != dimensions:
            raise DataError(f"{path}: {name} must be an array of kind {kind!r} with {dimensions} dimensions")
    return _parsed(path, arrays)


def _parsed(path: Path, arrays: dict[str, Any]) -> GuidanceFile:
    try:
        about = json.loads(str(arrays["about"]))
        if about["occlureid"] != _FORMAT:
            raise DataError(f"{path}: not a file of part labels")
        numbers = {name: about[name] for name in ("parts", "epoch", "in_force")}
        if any(type(number) is not int or number < 0 for number in numbers.values()):
            raise DataError(f"{path}: parts, epoch and in_force must be whole numbers, got {numbers}")
        if not isinstance(about["record"], dict):
            raise DataError(f"{path}: record must hold names and values, got {str(about['record'])[:200]}")
        guidance = Guidance(
            torch.from_numpy(arrays["labels"]),
            torch.from_numpy(arrays["known"]),
            numbers["parts"],
            numbers["epoch"],
            about["record"],
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # ShapeError among them
        raise DataError(f"{path}: damaged: {error}") from error
    images = tuple(str(image) for image in arrays["images"])
    if len(images) != len(guidance.labels):
        raise DataError(f"{path}: labels of {len(guidance.labels)} images, names of {len(images)}")
    return GuidanceFile(guidance, numbers["in_force"], images)
