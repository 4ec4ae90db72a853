"""The folder of a run: whose it is, what may be continued, what may be removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file

from occlureid import methods
from occlureid.errors import DataError, UsageError
from occlureid.methods import Method
from occlureid.training.checkpoint import (
    Checkpoint,
    RunIdentity,
    check_same_run,
    force_to_disk,
    read_checkpoint,
    write_checkpoint,
)

__all__ = ["RunFolder"]

FILES = ("checkpoint.pt", "weights.safetensors", "settings.yaml", "labels.json", "log.jsonl")
"""What a run writes, in the order in which it is removed: without its checkpoint the rest is not taken for a run."""


class RunFolder:
    """Where a run writes its checkpoint, chosen weights, settings, labels, log and events.

    Args:
        path: the folder; need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.pt"
        self.weights = path / "weights.safetensors"

    def open(self, identity: RunIdentity, *, resume: bool, overwrite: bool) -> Checkpoint | None:
        """Looks at what is there, without changing it.

        Returns:
            The checkpoint to continue from, or None for a start from the beginning.

        Raises:
            UsageError: a run is there that is neither to be continued nor overwritten, or differs from this one.
            DataError: the checkpoint is damaged, or the weights that it speaks of are gone.
        """
        if resume and self.checkpoint.exists():
            stored = read_checkpoint(self.checkpoint)
            check_same_run(self.checkpoint, stored.identity, identity, stored.state)
            if (stored.state.best_epoch or stored.state.finished) and not self.weights.exists():
                raise DataError(f"{self.weights}: gone, though the checkpoint chose them; start again with overwrite")
            return stored
        if resume and not self.weights.exists():
            return None  # what was interrupted before its first checkpoint begins again
        found = [name for name in FILES if (self.path / name).exists()]
        if found and not overwrite:
            raise UsageError(
                f"{self.path}: holds a run already ({', '.join(found)}){self._difference(identity)}; continue it with "
                "resume, start again with overwrite, or choose another folder"
            )
        return None

    def _difference(self, identity: RunIdentity) -> str:
        try:
            stored = read_checkpoint(self.checkpoint)
            check_same_run(self.checkpoint, stored.identity, identity, stored.state)
        except UsageError:
            return " with other settings or data"
        except DataError:
            return " without a readable checkpoint"
        return " with the same settings and data"

    def clear(self) -> None:
        """Makes the folder, or removes an old run's files from it, and nothing else.

        Raises:
            DataError: the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            found = (*self.path.glob("events/events.out.tfevents.*"), *self.path.glob("guidance/epoch_*.npz"))
            for old in (*(self.path / name for name in FILES), *found):
                old.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written ({error.strerror or error})") from error

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Replaces the checkpoint, atomically.

        Raises:
            DataError: it cannot be written; the old one is untouched.
        """
        write_checkpoint(self.checkpoint, checkpoint)

    def write_about(self, identity: RunIdentity) -> None:
        """Writes what a person wants to read: ``settings.yaml``, laid out as a recipe, and ``labels.json``."""
        recipe = {"method": identity.method, **identity.record}
        recipe |= {"model": identity.method_settings, "train": identity.settings}
        (self.path / "settings.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
        (self.path / "labels.json").write_text(json.dumps(identity.labels, indent=1) + "\n", encoding="utf-8")

    def write_weights(self, method: Method[Any]) -> None:
        """Replaces the chosen weights, atomically."""
        partial = self.weights.with_name("weights.safetensors.partial")
        methods.save(method, partial)
        force_to_disk(partial)
        partial.replace(self.weights)

    def read_weights(self, method: Method[Any]) -> None:
        """Puts the chosen weights into the method.

        Raises:
            DataError: the file is damaged or does not fit.
        """
        try:
            method.load_state_dict(load_file(self.weights), strict=True)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise DataError(f"{self.weights}: the chosen weights cannot be read back: {error}") from error
