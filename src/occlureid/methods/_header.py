"""The file of a method, as far as it can be read without knowing the method."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from occlureid.cues.crop import Crop
from occlureid.errors import DataError, MissingWeightsError, UsageError

__all__ = ["NOT_UNDERSTOOD", "read_crop", "read_tensors", "saved_name"]

NOT_UNDERSTOOD: tuple[type[Exception], ...] = (
    OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError, RecursionError, UsageError,
)  # fmt: skip
"""What a weight file that is damaged, or made to do harm, raises while its content is looked at."""


def saved_name(path: Path | str) -> str | None:
    """The name of the method that ``save`` wrote into a file, by its header; None for a file of something else."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError):
        return None
    return metadata.get("name") if metadata.get("occlureid") == "method" else None


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of the file of a method.

    Raises:
        MissingWeightsError: there is no such file.
        DataError: it is the file of something else.
        OSError, SafetensorError: it is damaged.
    """
    if not path.is_file():
        raise MissingWeightsError(f'{path}: no weights there; train some with "occlureid train", or name another file')
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if metadata.get("occlureid") != "method":
        raise DataError(f"{path}: not the weights of a method (its metadata is {json.dumps(metadata)[:200]})")
    return metadata, state


def read_crop(path: Path, metadata: Mapping[str, str]) -> Crop | None:
    """The crop that belongs to the weights, if there is one; a DataError where it is damaged."""
    if "crop" not in metadata:
        return None
    try:
        return Crop.from_json(json.loads(metadata["crop"]))
    except DataError as error:
        raise DataError(f"{path}: its crop is damaged: {error}") from error
