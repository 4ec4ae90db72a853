"""Decide whether a query's person is in the gallery at all: thresholds on distances, from validation pairs.

Images of the same person give genuine distances, images of two people impostor distances. Two thresholds make three verdicts.
Up to ``threshold``, the largest distance that no more than a wanted share of the impostors reaches, a match is likely. Beyond
``far``, which no more than a wanted share of the genuine distances exceeds, it is probably none. Between the two a hit is
uncertain.

Two things can be called an impostor's distance, and the calibration says which it was made of: that of a *pair*, so that a
search of N items by somebody who is not there still finds about N x rate items below the threshold; or that of the nearest item
that a whole *search* found for somebody who is not there, so that the rate is one of searches, of galleries as large as the one
it was measured on.

Several query images are joined into one before they are compared (``crops``), which averages out what is peculiar to an image:
the person's own images come nearer, and so do everybody else's. Thresholds hold for the number of images that they were measured
with; ``Calibration.at`` gives those for a number of images, or None where none were measured.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from occlureid.errors import DataError, FingerprintError, UsageError
from occlureid.gallery.hits import Verdict
from occlureid.matching import MatchRule

__all__ = ["MISS", "Calibration", "Level"]

MISS = 0.05
"""Share of the genuine distances that may lie beyond ``far``, unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The two thresholds for queries of one number of images, and what they were made from.

    Attributes:
        images: how many images of a person make the query.
        threshold: at this distance or nearer a match is likely.
        far: beyond this distance a hit is probably somebody else, never below ``threshold``; None where that cannot be told.
        impostors: how many impostor distances there were, those with nothing to compare included.
        false_positives: how many of those are at the threshold or nearer.
        interval: 95 % confidence interval of the false-positive rate (Wilson), for independent distances. Pairs that share
            images are not independent: the truth is wider.
        genuine: how many genuine distances there were, likewise.
        found: how many of those are at the threshold or nearer.
        found_interval: 95 % confidence interval of the share that is found.
        missed: how many of the genuine distances lie beyond ``far``; 0 where that is None.
    """

    images: int = 1
    threshold: float
    far: float | None = None
    impostors: int
    false_positives: int
    interval: tuple[float, float]
    genuine: int
    found: int
    found_interval: tuple[float, float]
    missed: int = 0

    def __post_init__(self) -> None:
        numbers = (self.threshold, *self.interval, *self.found_interval, *(() if self.far is None else (self.far,)))
        counts = (self.images, self.impostors, self.false_positives, self.genuine, self.found, self.missed)
        if any(isinstance(n, bool) or not isinstance(n, int | float) or not math.isfinite(n) for n in numbers):
            raise DataError(f"a calibration needs finite numbers, got {numbers}")
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in counts) or self.images < 1:
            raise DataError(f"a calibration needs counts of at least 0, and at least one image, got {counts}")
        if len(self.interval) != 2 or len(self.found_interval) != 2:
            raise DataError(f"an interval needs two ends, got {self.interval} and {self.found_interval}")
        if not all(0 <= low <= high <= 1 for low, high in (self.interval, self.found_interval)):
            raise DataError(f"an interval is of shares, from 0 to 1, got {self.interval} and {self.found_interval}")
        if self.false_positives > self.impostors or max(self.found, self.missed) > self.genuine:
            raise DataError(f"a calibration cannot count more than there were, got {counts}")
        if self.far is not None and (self.far < self.threshold or self.genuine == 0):
            raise DataError(f"far needs genuine distances, and not to be nearer than the threshold, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration(Level):
    """The thresholds of a gallery: those for queries of one image, and, where they could be measured, of several.

    Attributes:
        rate: the false-positive rate that was asked for, in (0, 1).
        unit: what the rate is a share of: "pair" or "search".
        miss: the share of genuine distances that was allowed beyond ``far``, in (0, 1).
        fingerprint: of the model.
        rule: of the comparison, as plain values.
        several: the same for queries of more images, in rising order; empty in files of older versions, which therefore give
            no verdict on queries of several images.
    """

    rate: float
    unit: Literal["pair", "search"]
    miss: float = MISS
    fingerprint: str
    rule: MatchRule
    several: tuple[Level, ...] = ()

    def __post_init__(self) -> None:
        Level.__post_init__(self)
        for name, share in (("rate", self.rate), ("miss", self.miss)):
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
                raise DataError(f"{name} must lie in (0, 1), got {share!r}")
        if self.unit not in ("pair", "search"):
            raise DataError(f'unit must be "pair" or "search", got {self.unit!r}')
        if not isinstance(self.fingerprint, str):
            raise DataError(f"a fingerprint must be a text, got {self.fingerprint!r}")
        counts = [level.images for level in self.levels]
        if sorted(set(counts)) != counts:
            raise DataError(f"the numbers of images must rise, got {counts}")

    @property
    def levels(self) -> tuple[Level, ...]:
        """The thresholds for one number of images after the other, this one's first."""
        return self, *self.several

    def at(self, images: int) -> Calibration | None:
        """The thresholds for a query of some images of one person; None where none were measured.

        Between two numbers that were measured the larger one's hold: ``calibrate`` lets thresholds only fall and ``far``
        only rise with the number, so that they keep the promises of both neighbours. Beyond the largest there is nothing
        to go by.
        """
        level = next((one for one in self.levels if one.images >= images), None)
        if level is None:
            return None
        return replace(self, several=(), **{field.name: getattr(level, field.name) for field in fields(Level)})

    def verdict(self, distance: float) -> Verdict:
        """The word for a hit at this distance, of a query of ``images`` images."""
        if distance <= self.threshold:
            return "likely"
        return "uncertain" if self.far is None or distance <= self.far else "unlikely"

    def absent(self, verdicts: Iterable[Verdict | None]) -> bool:
        """True if the person is probably not among hits with these verdicts: all of them, if any, are unlikely."""
        return self.far is not None and all(verdict == "unlikely" for verdict in verdicts)

    def limit(self, images: int) -> str:
        """Say why queries of so many images get no verdict."""
        most = self.levels[-1].images
        measured = "one image" if most == 1 else f"at most {most} images"
        return f"the query has {images} images, and the thresholds were measured with queries of {measured}"

    def meaning(self) -> str:
        """The verdicts and their measured error rates in words."""
        of = "pairs of two people" if self.unit == "pair" else "searches for somebody who is not there"
        found = f", and {self.found / self.genuine:.0%} of true pairs" if self.genuine else ""
        images = "1 image" if self.images == 1 else f"up to {self.images} images"
        likely = f"match likely: {self.threshold:.4f} or nearer, as at most {100 * self.rate:g} % of {of} are{found}"
        if self.far is None:
            return f"{likely}; uncertain: all others (thresholds for queries of {images})"
        beyond = f"probably not: beyond {self.far:.4f}, as {100 * self.missed / self.genuine:.2g} % of true pairs are"
        return f"{likely}; {beyond}; uncertain: between (thresholds for queries of {images})"

    def check(self, fingerprint: str, rule: MatchRule) -> None:
        """Raises:
        FingerprintError: it was made with another model or another rule.
        """  # noqa: D205
        if (fingerprint, rule) != (self.fingerprint, self.rule):
            raise FingerprintError(
                f"this threshold was calibrated for {self.fingerprint or 'an unnamed model'} and {self.rule}, the gallery has "
                f"{fingerprint or 'an unnamed model'} and {rule}; calibrate again"
            )

    def expected_false(self, searched: int) -> float:
        """How many items below the threshold to expect among ``searched`` that all show other people.

        Raises:
            UsageError: the rate is one of searches; it says nothing of numbers.
        """
        if self.unit != "pair":
            raise UsageError('only a calibration on pairs says how many to expect; this one has unit "search"')
        return self.rate * searched

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Calibration:
        """The inverse of ``to_json``.

        Raises:
            DataError: the record has unknown or missing keys, or values out of range.
        """
        try:
            several = tuple(Level(**_tuples(one)) for one in record.get("several", ()))
            return cls(**{**_tuples(record), "rule": MatchRule.from_json(record["rule"]), "several": several})
        except (TypeError, KeyError, OverflowError, ValueError, AttributeError) as error:
            raise DataError(f"not a calibration ({error}): {record}"[:500]) from error

    def save(self, path: Path | str) -> None:
        """Writes a JSON file, atomically."""
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        partial.replace(path)

    @classmethod
    def load(cls, path: Path | str) -> Calibration:
        """Reads what ``save`` wrote.

        Raises:
            DataError: the file is missing, or no calibration.
        """
        try:
            record = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{path}: cannot be read as a calibration ({error})") from error
        if not isinstance(record, dict):
            raise DataError(f"{path}: expected a JSON object, got {type(record).__name__}")
        try:
            return cls.from_json(record)
        except DataError as error:
            raise DataError(f"{path}: {error}; calibrate again") from error


def _tuples(record: dict[str, Any]) -> dict[str, Any]:
    """A record of JSON with tuples where a level has tuples."""
    return {**record, **{name: tuple(record[name]) for name in ("interval", "found_interval")}}
