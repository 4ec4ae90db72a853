"""Checkpoints: written so that a complete one is there at every moment, read without executing anything.

A checkpoint is an ordinary ``torch.save`` file of plain values and tensors. It is written beside its place, forced to
disk and then moved over the old one: a process killed at any instant leaves the old or the new file, never half of one.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import torch

from occlureid.errors import DataError, UsageError, reason
from occlureid.guidance import Guidance
from occlureid.training.settings import TrainSettings

__all__ = [
    "Checkpoint",
    "RunIdentity",
    "RunState",
    "check_same_run",
    "force_to_disk",
    "read_checkpoint",
    "write_checkpoint",
]

WITHOUT_EFFECT = frozenset(
    {"workers", "log_every", "checkpoint_every", "guidance_every", "on_corrupt", "accelerator", "devices", "nodes"}
)
"""Settings that may change on resume: they leave the weights alone; the last three count through ``RunIdentity``."""

ADDED_LATER = frozenset(
    {
        "box_jitter",
        "partial_probability",
        "background_probability",
        "background_pictures",
        "colour_jitter",
        "grey_probability",
        "blur_probability",
        "low_resolution_probability",
        "noise",
        "jpeg_probability",
        "average_decay",
        "sync_batch_norm",
        "gather_triplets",
    }
)
"""Settings that the first checkpoints do not have: such a run did what their defaults do."""


@dataclass(frozen=True)
class RunIdentity:
    """What two runs must share for one to continue the other.

    Attributes:
        method: the method's name.
        method_settings: the method's configuration, plain values.
        settings: the training settings, plain values.
        record: further plain values that the caller wants compared.
        labels: person to training label.
        data: checksum of the training samples.
        steps_per_epoch: steps in an epoch.
        processes: training processes; each normalises its own share of a batch, so their number counts.
        device: "cpu" or "cuda".
    """

    method: str
    method_settings: dict[str, Any]
    settings: dict[str, Any]
    record: dict[str, Any]
    labels: dict[str, int]
    data: str
    steps_per_epoch: int
    processes: int
    device: str


@dataclass
class RunState:
    """How far a run is.

    Attributes:
        step: steps done over the whole run.
        closed: epochs that are over, validation and all; a checkpoint may lie between an epoch's last step and that.
        log_bytes: length of the log at this moment; what lies behind is cut off on resume.
        best_epoch: the epoch, from 1, with the best validation score so far; 0 before any.
        best_score: its mAP in [0, 1]; -1 before any.
        skipped: images that could not be read and how often each was drawn.
        finished: the run is over and its weights are written.
    """

    step: int = 0
    closed: int = 0
    log_bytes: int = 0
    best_epoch: int = 0
    best_score: float = -1.0
    skipped: dict[str, int] = field(default_factory=dict)
    finished: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """All that a run continues from; the tensors by name in ``model``, the rest as torch's own ``state_dict``.

    ``guidance`` are the part labels in force, None for a method that makes none; ``average`` is the state of the weights'
    moving average (``WeightAverage.state``), None where nothing is averaged. ``first_weights`` is the record of what the run
    started from (``Filled``), empty where nothing was set.
    """

    identity: RunIdentity
    state: RunState
    model: dict[str, Any]
    optimiser: dict[str, Any]
    scaler: dict[str, Any]
    guidance: Guidance | None = None
    average: dict[str, Any] | None = None
    first_weights: dict[str, Any] = field(default_factory=dict)


def force_to_disk(path: Path) -> None:
    """Returns when a file's (or a folder's) content lies on the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint; the one that is already there stays whole until the new one is on disk.

    Raises:
        DataError: the file cannot be written (the disk is full, the folder is gone); the old checkpoint is untouched.
    """
    partial = path.with_name(path.name + ".partial")
    content = {
        "occlureid": "checkpoint 1",
        "identity": asdict(checkpoint.identity),
        "state": asdict(checkpoint.state),
        "model": dict(checkpoint.model),
        "optimiser": checkpoint.optimiser,
        "scaler": checkpoint.scaler,
    }
    if checkpoint.guidance is not None:
        content["guidance"] = _plain(checkpoint.guidance)
    if checkpoint.average is not None:
        content["average"] = checkpoint.average
    if checkpoint.first_weights:
        content["first_weights"] = json.dumps(checkpoint.first_weights)
    try:
        with partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        force_to_disk(path.parent)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise DataError(
            f"{path}: the checkpoint cannot be written ({error}); the previous one, if any, is untouched"
        ) from error


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads what ``write_checkpoint`` wrote, onto the CPU; every byte of it is checked, and nothing in it is executed.

    Raises:
        DataError: the file is missing, damaged, or not a checkpoint of this package.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not compare the checksums that torch.save writes
            damaged = archive.testzip()
        if damaged is not None:
            raise DataError(
                f"{path}: damaged checkpoint (the checksum of {damaged} is wrong); start again with overwrite"
            )
        content = torch.load(path, map_location="cpu", weights_only=True)
    except DataError:
        raise
    except Exception as error:  # a damaged file can make the unpickler fail in any way
        raise DataError(f"{path}: not a readable checkpoint ({reason(error)}); start again with overwrite") from error
    if not isinstance(content, dict) or content.get("occlureid") != "checkpoint 1":
        raise DataError(f"{path}: not a checkpoint of this package")
    tensors = {name: content.get(name) for name in ("model", "optimiser", "scaler")}
    if wrong := [name for name, value in tensors.items() if not isinstance(value, dict)]:
        raise DataError(f"{path}: not a checkpoint of this package: {', '.join(wrong)} missing")
    identity = RunIdentity(**_checked(path, RunIdentity, content.get("identity")))
    state = RunState(**_checked(path, RunState, content.get("state")))
    guidance = _guidance(path, content["guidance"], state.closed) if "guidance" in content else None
    average = content.get("average")
    if not isinstance(average, dict | None):
        raise DataError(f"{path}: not a checkpoint of this package: average is {str(average)[:200]}")
    first = _first_weights(path, content.get("first_weights", "{}"))
    return Checkpoint(identity, state, **tensors, guidance=guidance, average=average, first_weights=first)  # type: ignore[arg-type]


def _first_weights(path: Path, entry: Any) -> dict[str, Any]:
    try:
        found = json.loads(entry)
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: damaged record of its first weights: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: damaged record of its first weights: {str(found)[:200]}")
    return found


def _plain(guidance: Guidance) -> dict[str, Any]:
    return {
        "labels": guidance.labels.cpu().contiguous(),
        "known": guidance.known.cpu().contiguous(),
        "parts": guidance.parts,
        "epoch": guidance.epoch,
        "record": json.dumps(guidance.record, allow_nan=False),
    }


def _guidance(path: Path, entry: Any, closed: int) -> Guidance:
    kinds = {"labels": torch.Tensor, "known": torch.Tensor, "parts": int, "epoch": int, "record": str}
    if not isinstance(entry, dict) or entry.keys() != kinds.keys():
        raise DataError(f"{path}: damaged guidance: expected {', '.join(kinds)}, got {str(entry)[:200]}")
    for name, kind in kinds.items():
        value = entry[name]
        if type(value) is not kind:
            raise DataError(f"{path}: damaged guidance: {name} must be of type {kind.__name__}, got {str(value)[:200]}")
        # a tensor that is not laid out plainly may claim any number of elements, whatever the file holds
        plain = not isinstance(value, torch.Tensor) or (
            value.layout == torch.strided and value.device.type == "cpu" and value.is_contiguous() and value.numel() > 0
        )
        if not plain:
            raise DataError(f"{path}: damaged guidance: {name} must be a plain tensor that is not empty")
    try:
        record = json.loads(entry["record"])
        if not isinstance(record, dict) or not 0 <= entry["epoch"] <= closed:
            raise DataError(f"{path}: damaged guidance: epoch {entry['epoch']}, record {str(record)[:200]}")
        return Guidance(entry["labels"], entry["known"], entry["parts"], entry["epoch"], record)
    except (ValueError, RecursionError) as error:  # of JSON, and ShapeError
        raise DataError(f"{path}: damaged guidance: {error}") from error


def _checked(path: Path, cls: type, record: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    if not isinstance(record, dict) or record.keys() != {f.name for f in fields(cls)}:
        raise DataError(f"{path}: not a checkpoint of this package: its {cls.__name__} is {str(record)[:200]}")
    for name, value in record.items():
        if not isinstance(value, get_origin(hints[name]) or hints[name]):
            raise DataError(f"{path}: {cls.__name__}.{name} must be {hints[name]}, got {str(value)[:200]!r}")
    return record


def check_same_run(path: Path, stored: RunIdentity, current: RunIdentity, state: RunState) -> None:
    """Raises:
    UsageError: continuing would not give what an uninterrupted run gives; the message names what differs.
    """  # noqa: D205
    differing = _differences("", _comparable(stored), _comparable(current))
    epochs = current.settings["epochs"]
    if state.step > epochs * current.steps_per_epoch or (state.closed >= epochs and not state.finished):
        differing.append(f"settings.epochs ({epochs} now, while {state.step} steps are done already)")
    if differing:
        raise UsageError(
            f"{path}: belongs to a run that differs in: {'; '.join(differing)}. Continue with the same settings and "
            "data, train into another folder, or start again with overwrite"
        )


def _comparable(identity: RunIdentity) -> dict[str, Any]:
    record = asdict(identity)
    extendable = identity.settings.get("schedule") in (
        "step",
        "constant",
    )  # the cosine's every value depends on its end
    ignored = WITHOUT_EFFECT | {"epochs"} if extendable else WITHOUT_EFFECT
    settings = {k: v for k, v in TrainSettings().to_dict().items() if k in ADDED_LATER} | identity.settings
    record["settings"] = {k: v for k, v in settings.items() if k not in ignored}
    return record


def _differences(prefix: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    lines = []
    for key in sorted(old.keys() | new.keys()):
        before, now = old.get(key), new.get(key)
        if before == now:
            continue
        if key == "labels":
            lines.append(f"labels ({len(before or {})} persons before, {len(now or {})} now)")
        elif isinstance(before, Mapping) and isinstance(now, Mapping):
            lines.extend(_differences(f"{prefix}{key}.", before, now))
        else:
            lines.append(f"{prefix}{key} ({before!r} before, {now!r} now)")
    return lines
