"""The folder of a benchmark: what it was made with, and the pieces of the result, each whole or not there.

Several processes may work in one folder. A training and what is measured of it are made by whoever holds the lock of its
folder; what concerns all is written under the lock of the whole. The system takes locks back from processes that die.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from occlureid.benchmark.fixed import digest
from occlureid.benchmark.measure import FIGURES, Columns
from occlureid.errors import DataError, UsageError

__all__ = ["Piece", "Pieces", "check_name", "replace_text", "write_json"]

_FORMAT = 1
"""Raised when the same settings begin to measure something else."""

_log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Piece:
    """One thing measured.

    Attributes:
        name: of the file.
        about: plain values on what was measured.
        rules: the scores of all queries, by the rule they were compared with ("whole" is the method's own).
    """

    name: str
    about: dict[str, Any]
    rules: dict[str, Columns]


@dataclass(frozen=True)
class Pieces:
    """The pieces in a folder.

    Attributes:
        folder: of the benchmark.
        of: digest of what every piece there was made with.
        queries: Q, the number of queries.
    """

    folder: Path
    of: str
    queries: int

    @staticmethod
    def precision(folder: Path) -> str | None:
        """The arithmetic of the trainings in a folder; None where none has been begun.

        Raises:
            DataError: what is there cannot be read.
        """
        path = folder / "benchmark.json"
        every = _read_object(path).get("every") if path.is_file() else None
        train = every.get("train") if isinstance(every, dict) else None
        found = train.get("precision") if isinstance(train, dict) else None
        return found if found in ("32-true", "bf16-mixed", "16-mixed") else None

    @classmethod
    def open(cls, folder: Path, made_with: dict[str, Any], queries: int) -> Pieces:
        """Opens the folder for pieces made with certain settings and data, which are written down at the first call.

        Raises:
            UsageError: the folder holds pieces made with others; the differences are named.
            DataError: what is there cannot be read.
        """
        path = folder / "benchmark.json"
        wanted = {"format": _FORMAT, **json.loads(json.dumps(made_with))}
        if path.is_file():
            there = _read_object(path)
            if there != wanted:
                lines = "; ".join(_differences(there, wanted))
                raise UsageError(
                    f"{folder} holds a benchmark made with other settings or data ({lines}); choose another folder, or "
                    "remove this one"
                )
        else:
            write_json(path, wanted)
        return cls(folder, digest(wanted), queries)

    def path(self, name: str) -> Path:
        """Where a piece lies."""
        return self.folder / "pieces" / f"{name}.json"

    def write(self, piece: Piece) -> None:
        """Writes a piece, atomically; scores have six decimals."""
        rules = {
            rule: {figure: np.round(columns[figure], 6).tolist() for figure in FIGURES}
            for rule, columns in piece.rules.items()
        }
        self.path(piece.name).parent.mkdir(exist_ok=True)
        write_json(self.path(piece.name), {"of": self.of, "about": piece.about, "rules": rules}, indent=None)

    def read(self, name: str) -> Piece | None:
        """A piece, or None where it is not there or was made with something else; or damaged, which is logged.

        Its checks are those of a file that may have been cut off or edited: nothing in it is trusted.
        """
        path = self.path(name)
        if not path.is_file():
            return None
        try:
            content = _read_object(path)
            if content.get("of") != self.of:
                return None
            rules = {
                rule: {figure: np.array(columns[figure], dtype=np.float64) for figure in FIGURES}
                for rule, columns in content["rules"].items()
            }
            shapes = {values.shape for columns in rules.values() for values in columns.values()}
            if shapes - {(self.queries,)}:
                raise ValueError(f"expected {self.queries} scores a figure")
            return Piece(name, dict(content["about"]), rules)
        except (DataError, KeyError, TypeError, ValueError, AttributeError) as error:
            _log.warning("%s is not used, and made again: damaged (%s)", path, error)
            return None

    def names(self, prefix: str) -> list[str]:
        """The names of the pieces that start so, sorted."""
        return sorted(path.stem for path in (self.folder / "pieces").glob(f"{prefix}*.json"))


def check_name(name: str) -> str:
    """Raises:
    UsageError: it cannot be the name of a file.
    """  # noqa: D205
    if not _NAME.fullmatch(name):
        raise UsageError(f"a name has 1 to 64 letters, digits, dots, hyphens and underscores, got {name!r}")
    return name


def write_json(path: Path, values: object, indent: int | None = 1) -> None:
    """Replaces a file, atomically. Two processes that write the same file must hold a lock."""
    replace_text(path, json.dumps(values, indent=indent, allow_nan=False) + "\n")


def replace_text(path: Path, text: str) -> None:
    """Replaces a file, atomically, as ``write_json``."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it, and it is made again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: damaged: expected a JSON object; remove it, and it is made again")
    return content


def _differences(there: Any, wanted: Any, above: str = "") -> list[str]:
    if isinstance(there, dict) and isinstance(wanted, dict):
        found = []
        for key in sorted(there.keys() | wanted.keys()):
            if there.get(key) != wanted.get(key):
                found += _differences(there.get(key), wanted.get(key), f"{above}.{key}" if above else key)
        return found
    return [f"{above}: there {there!r}, wanted {wanted!r}"]
