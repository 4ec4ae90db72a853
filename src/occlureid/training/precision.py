"""Settling of ``precision: auto`` for a run: the arithmetic that it began with, or the one that this processor is best at."""

from __future__ import annotations

from pathlib import Path

import torch

from occlureid.arithmetic import train_precision
from occlureid.training.settings import TrainSettings

__all__ = ["device_kind", "settled"]


def device_kind(settings: TrainSettings) -> str:
    """The kind of device that a run computes on: "cpu" or "cuda"."""
    if settings.accelerator == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return settings.accelerator


def settled(settings: TrainSettings, out: Path | str, *, resume: bool) -> TrainSettings:
    """The settings with the arithmetic that is used in place of "auto".

    A run that is resumed keeps the arithmetic it began with, on whatever processor it goes on. What is not "auto" stays, with a
    warning where bfloat16 is slower than float32.

    Args:
        settings: of the run.
        out: its folder.
        resume: whether it goes on from the checkpoint there.
    """
    began = _began_with(Path(out) / "checkpoint.pt") if resume and settings.precision == "auto" else None
    if began == "16-mixed" and device_kind(settings) == "cpu":
        began = None  # it began on a GPU, and is refused for that when its checkpoint is read
    wanted = settings if began is None else settings.with_changes(precision=began)
    return wanted.with_changes(precision=train_precision(wanted.precision, device_kind(settings)))


def _began_with(checkpoint: Path) -> str | None:
    """The arithmetic of a checkpoint; None where there is none, or it is damaged, which is said when it is read in full."""
    if not checkpoint.is_file():
        return None
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        found = content["identity"]["settings"]["precision"]
    except Exception:  # a damaged file can make the unpickler fail in any way
        return None
    return found if found in ("32-true", "bf16-mixed", "16-mixed") else None
