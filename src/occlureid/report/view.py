"""What the page shows, as plain records: the page and the JSON file are both made from these and from nothing else."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from occlureid.types import Region, Sample

__all__ = [
    "Count",
    "Figure",
    "Group",
    "PartView",
    "PrintedView",
    "QueryView",
    "ReportView",
    "ResultView",
    "RunView",
    "SheetView",
    "printable",
]


@dataclass(frozen=True, slots=True)
class Figure:
    """A rate in [0, 1] and its 95 % interval, where there is one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The queries of one bin of visible fraction or one kind of obstacle: how many, Rank-1 and mAP (None if 0)."""

    name: str
    count: int
    rate: float | None
    average_precision: float | None


@dataclass(frozen=True, slots=True)
class Count:
    """A number that must not be hidden, with its name and a sentence on what it means."""

    name: str
    value: int
    meaning: str


@dataclass(frozen=True, slots=True)
class PartView:
    """One part of a pair, or of a query: its weight, its distance if it has one, and its place where that is fixed."""

    name: str
    weight: float
    distance: float | None = None
    region: Region | None = None


@dataclass(frozen=True, slots=True)
class ResultView:
    """One ranked gallery image. A distance of None is infinite: the pair could not be compared."""

    rank: int
    sample: Sample
    correct: bool
    distance: float | None
    global_distance: float | None = None
    parts: tuple[PartView, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryView:
    """One query with the first images of its ranked list, ignored ones left out."""

    sample: Sample
    average_precision: float
    first_match: float | None
    parts: tuple[PartView, ...]
    results: tuple[ResultView, ...]


@dataclass(frozen=True, slots=True)
class SheetView:
    """A picture of what a method sees, and its title."""

    title: str
    path: Path


@dataclass(frozen=True, slots=True)
class PrintedView:
    """Figures that the paper prints of one of its recipes on this data: rates in [0, 1], named as the figures beside them."""

    recipe: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class RunView:
    """One run: a row of the tables, a line of the curves, and a panel of ranked lists."""

    name: str
    figures: Mapping[str, Figure]
    cmc: tuple[float, ...]
    counts: tuple[Count, ...]
    by_visible: tuple[Group, ...] = ()
    by_obstacle: tuple[Group, ...] = ()
    best: tuple[QueryView, ...] = ()
    worst: tuple[QueryView, ...] = ()
    without_match: tuple[str, ...] = ()
    rule: str = ""
    settings: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
    sheets: tuple[SheetView, ...] = ()
    printed: tuple[PrintedView, ...] = ()


@dataclass(frozen=True)
class ReportView:
    """The whole page."""

    title: str
    date: str
    facts: Mapping[str, str]
    notes: tuple[str, ...]
    runs: tuple[RunView, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; paths as text, infinite distances as null."""
        record = _plain(self)
        if not isinstance(record, dict):  # a dataclass always becomes a dict; this tells the type checker
            raise TypeError(type(record).__name__)
        return record


def _plain(value: object) -> object:
    if isinstance(value, Sample | Path):
        return value.to_json() if isinstance(value, Sample) else value.as_posix()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    names = getattr(type(value), "__dataclass_fields__", None)
    if names is not None:
        return {name: _plain(getattr(value, name)) for name in names}
    return value


def printable(text: object) -> str:
    r"""Text from outside, fit to be shown: control characters, undecodable bytes and marks that turn the writing
    direction become visible escapes (``\x1b``, ``\udcff``, ``\u202e``); line ends and tabs stay.
    """  # noqa: D205
    hidden = {"Cc", "Cs", "Cf", "Zl", "Zp", "Cn"}

    def shown(character: str) -> str:
        if character in "\n\t" or unicodedata.category(character) not in hidden:
            return character
        return character.encode("unicode_escape", "backslashreplace").decode("ascii")

    return "".join(shown(character) for character in str(text))
