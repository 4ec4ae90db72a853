"""Whether the query's person is in the gallery at all: a threshold on distances, from validation pairs.

Images of the same person give genuine distances, images of two people impostor distances. The threshold is the largest with
which no more than a wanted share of the impostors passes. Two things can be called an impostor's distance, and the calibration
says which it was made of: that of a *pair*, so that a search of N items by somebody who is not there still finds about
N x rate items below the threshold; or that of the nearest item that a whole *search* found for somebody who is not there, so
that the rate is one of searches, of galleries as large as the one it was measured on.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from occlureid.errors import DataError, FingerprintError, ShapeError, UsageError
from occlureid.matching import MatchRule

__all__ = ["Calibration", "calibrate"]

_95_PERCENT = 1.959964
"""Standard deviations to each side that hold 95 % of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold, and what it was made from.

    Attributes:
        threshold: a hit at this distance or nearer is probably the same person.
        rate: the false-positive rate that was asked for, in (0, 1).
        unit: what the rate is a share of: "pair" or "search".
        impostors: how many impostor distances there were, those with nothing to compare included.
        false_positives: how many of those are at the threshold or nearer.
        interval: 95 % confidence interval of the false-positive rate (Wilson), for independent distances. Pairs that share
            images are not independent: the truth is wider.
        genuine: how many genuine distances there were, likewise.
        found: how many of those are at the threshold or nearer.
        found_interval: 95 % confidence interval of the share that is found.
        fingerprint: of the model.
        rule: of the comparison, as plain values.
    """

    threshold: float
    rate: float
    unit: Literal["pair", "search"]
    impostors: int
    false_positives: int
    interval: tuple[float, float]
    genuine: int
    found: int
    found_interval: tuple[float, float]
    fingerprint: str
    rule: MatchRule

    def __post_init__(self) -> None:
        numbers = (self.threshold, self.rate, *self.interval, *self.found_interval)
        counts = (self.impostors, self.false_positives, self.genuine, self.found)
        if any(isinstance(n, bool) or not isinstance(n, int | float) or not math.isfinite(n) for n in numbers):
            raise DataError(f"a calibration needs finite numbers, got {numbers}")
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in counts):
            raise DataError(f"a calibration needs counts of at least 0, got {counts}")
        if not 0 < self.rate < 1 or self.unit not in ("pair", "search"):
            raise DataError(
                f'rate must lie in (0, 1) and unit be "pair" or "search", got {self.rate} and {self.unit!r}'
            )
        if self.false_positives > self.impostors or self.found > self.genuine:
            raise DataError(f"a calibration cannot count more than there were, got {counts}")

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
            lists = {name: tuple(record[name]) for name in ("interval", "found_interval")}
            found = cls(**{**record, **lists, "rule": MatchRule.from_json(record["rule"])})
        except (TypeError, KeyError, OverflowError, ValueError) as error:
            raise DataError(f"not a calibration ({error}): {record}"[:500]) from error
        if len(found.interval) != 2 or len(found.found_interval) != 2 or not isinstance(found.fingerprint, str):
            raise DataError(f"not a calibration: {record}"[:500])
        return found

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
        return cls.from_json(record)


def calibrate(
    genuine: Tensor,
    impostor: Tensor,
    *,
    rate: float,
    fingerprint: str,
    rule: MatchRule,
    unit: Literal["pair", "search"] = "pair",
) -> Calibration:
    """The largest threshold with which at most a share ``rate`` of the impostors passes.

    Args:
        genuine: (N,) distances of images of the same person; infinite ones count as not found.
        impostor: (M,) distances of images of two people; infinite ones count as told apart. With unit "search", the distance
            of the nearest item in each of M searches for somebody who is not in the gallery.
        rate: the false-positive rate to keep, in (0, 1).
        fingerprint: of the model.
        rule: of the comparison.
        unit: what an impostor's distance is of.

    Raises:
        ShapeError: the distances are not one row of numbers each, or one is not a number.
        UsageError: the rate is out of range, or there are too few impostors to set it: fewer than 1 / rate.
    """
    for name, values in (("genuine", genuine), ("impostor", impostor)):
        if values.ndim != 1 or len(values) == 0 or bool(values.isnan().any()):
            raise ShapeError(f"{name} distances must be numbers of shape (N,) with N > 0, got {tuple(values.shape)}")
    if not 0 < rate < 1:
        raise UsageError(f"the false-positive rate must lie in (0, 1), got {rate}")
    allowed = math.floor(rate * len(impostor) * (1 + 1e-12))
    if allowed < 1:
        raise UsageError(
            f"a false-positive rate of {rate:g} needs at least {math.ceil(1 / rate)} impostor distances, got {len(impostor)}"
        )
    impostor = impostor.double().sort().values
    threshold = _threshold(impostor, allowed)
    passed, found = int((impostor <= threshold).sum()), int((genuine.double() <= threshold).sum())
    return Calibration(
        threshold, rate, unit, len(impostor), passed, wilson(passed, len(impostor)),
        len(genuine), found, wilson(found, len(genuine)), fingerprint, rule,
    )  # fmt: skip


def _threshold(impostor: Tensor, allowed: int) -> float:
    """The largest distance of the sorted ones at which no more than ``allowed`` pass; just below all if there is none."""
    finite = impostor[impostor.isfinite()]
    if len(finite) == 0:
        raise UsageError("no impostor distance is finite: nothing was compared, so that no threshold can be set")
    if allowed >= len(finite):
        return float(finite[-1])
    below = finite[:allowed][finite[:allowed] < finite[allowed]]
    if len(below):
        return float(below[-1])
    return float(torch.nextafter(finite[0], finite.new_tensor(-torch.inf)))


def wilson(count: int, of: int) -> tuple[float, float]:
    """95 % confidence interval of a share, from ``count`` of ``of`` independent trials (Wilson's score interval)."""
    z2 = _95_PERCENT**2
    share, scale = count / of, 1 + z2 / of
    middle = (share + z2 / (2 * of)) / scale
    half = _95_PERCENT * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)
