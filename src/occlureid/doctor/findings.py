"""What an examination found: findings by level, each with what to do, as text and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from occlureid.errors import DataError

__all__ = ["KEPT", "LEVELS", "Examination", "Finding", "Level", "finding"]

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
"""error: numbers from this data would be wrong, or it cannot be read; warning: look at it before you trust them; note: good to
know."""

KEPT = 1_000
"""How many names a finding keeps; its number counts all."""

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        level: of ``LEVELS``.
        code: a name for programs ("truncated"); stays the same from version to version.
        what: one sentence.
        advice: what to do; may be empty for a note.
        number: how many images, persons or queries are concerned; 0 where it is about the whole.
        names: those concerned, sorted, at most ``KEPT``; images by their path below the dataset's root.
    """

    level: Level
    code: str
    what: str
    advice: str = ""
    number: int = 0
    names: tuple[str, ...] = ()

    def text(self) -> str:
        """The finding in a few lines."""
        lines = [f"{self.level}: {self.code}: {self.what}"]
        lines += [f"  - {name}" for name in self.names[:_SHOWN]]
        if self.number > _SHOWN and self.names:
            lines.append(f"  - ... {self.number - _SHOWN:,} more")
        if self.advice:
            lines += textwrap.wrap(f"-> {self.advice}", 116, initial_indent="  ", subsequent_indent="     ")
        return "\n".join(lines)


def finding(level: Level, code: str, what: str, advice: str = "", names: Iterable[str] = ()) -> Finding:
    """A finding about the named; ``{number}`` in ``what`` becomes their number."""
    ordered = sorted(names)
    return Finding(
        level, code, what.replace("{number}", f"{len(ordered):,}"), advice, len(ordered), tuple(ordered[:KEPT])
    )


@dataclass(frozen=True, slots=True)
class Examination:
    """The result of ``examine``.

    Attributes:
        path: what was examined.
        layout: its layout, or None where none was recognised.
        findings: errors first, then warnings, then notes.
        counts: images and persons of each split; empty where it could not be read.
        cameras: split to camera to number of images.
        images_checked: files opened and decoded; 0 where the pixels were not looked at.
        checksum: of the dataset's names and ids, or None.
    """

    path: Path
    layout: str | None
    findings: tuple[Finding, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    cameras: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    images_checked: int = 0
    checksum: str | None = None

    def of_level(self, level: Level) -> tuple[Finding, ...]:
        """The findings of one level."""
        return tuple(found for found in self.findings if found.level == level)

    @property
    def exit_code(self) -> int:
        """What a command ends with: 3, as for bad data, where there is an error; else 0."""
        return DataError.exit_code if self.of_level("error") else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the keys stay the same from version to version."""
        return {
            "path": str(self.path),
            "layout": self.layout,
            "counts": dict(self.counts),
            "cameras": {split: dict(found) for split, found in self.cameras.items()},
            "images_checked": self.images_checked,
            "checksum": self.checksum,
            "exit_code": self.exit_code,
            "findings": [asdict(found) | {"names": list(found.names)} for found in self.findings],
        }

    def summary(self) -> str:
        """The examination as text: what it is, every finding, and how many of each level."""
        lines = [f"{self.path}: {self.layout or 'no layout recognised'}"]
        for split, cameras in self.cameras.items():
            images, persons = self.counts[f"{split}_images"], self.counts[f"{split}_persons"]
            lines.append(f"  {split}: {images:,} images of {persons:,} persons, cameras {_listed(cameras) or 'none'}")
        if self.images_checked:
            lines.append(f"  {self.images_checked:,} image files opened and decoded")
        lines += [found.text() for found in self.findings]
        numbers = (_plural(len(self.of_level(level)), level) for level in LEVELS)
        return "\n".join([*lines, ", ".join(numbers)])


def _plural(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"


def _listed(cameras: Mapping[str, int]) -> str:
    shown = [f"{camera} ({images:,})" for camera, images in list(cameras.items())[:16]]
    return ", ".join(shown) + (f", ... {len(cameras) - 16} more" if len(cameras) > 16 else "")
