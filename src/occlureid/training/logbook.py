"""What a run writes down: one JSON object a line, and the same numbers as TensorBoard events."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from occlureid.errors import DataError

__all__ = ["Logbook"]

_log = logging.getLogger(__name__)


class Logbook:
    """Writes ``log.jsonl`` and ``events/`` in a run's folder; on resume both are cut back to the checkpoint.

    Args:
        folder: the run's folder, which exists.
        keep_bytes: how much of the log to keep; 0 for a new run.
        step: the step that the run continues from; TensorBoard hides later values of the interrupted process.
        active: False in processes other than the first: nothing is opened or written.

    Raises:
        DataError: the log cannot be opened.
    """

    def __init__(self, folder: Path, *, keep_bytes: int, step: int, active: bool) -> None:
        self._active = active
        if not active:
            return
        from torch.utils.tensorboard import SummaryWriter

        path = folder / "log.jsonl"
        try:
            self._file = path.open("ab")
            length = self._file.seek(0, os.SEEK_END)
            if length < keep_bytes:
                _log.warning(
                    "%s: shorter than at the checkpoint (%d bytes, was %d); goes on behind what is left",
                    path,
                    length,
                    keep_bytes,
                )
            self._file.truncate(min(length, keep_bytes))
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error
        self._events = SummaryWriter(str(folder / "events"), purge_step=step)

    def write(self, record: Mapping[str, Any], *, step: int, scalars: Mapping[str, float]) -> None:
        """Adds a line, and the scalars to TensorBoard at this step.

        Raises:
            DataError: the line cannot be written (the disk is full).
        """
        if not self._active:
            return
        try:
            self._file.write(json.dumps(record, allow_nan=False).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise DataError(f"{self._file.name}: cannot be written ({error.strerror or error})") from error
        for name, value in scalars.items():
            self._events.add_scalar(name, value, step)

    def settle(self) -> int:
        """Forces the log to disk.

        Returns:
            Its length in bytes; 0 in processes that do not write.
        """
        if not self._active:
            return 0
        self._file.flush()
        os.fsync(self._file.fileno())
        self._events.flush()
        return self._file.seek(0, os.SEEK_END)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._active:
            self._file.close()
            self._events.close()
