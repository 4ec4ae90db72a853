"""Set the thresholds of a calibration from distances whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Literal

import torch
from torch import Tensor

from occlureid.errors import ShapeError, UsageError
from occlureid.gallery.openset import MISS, Calibration, Level
from occlureid.matching import MatchRule

__all__ = ["calibrate", "wilson"]

_95_PERCENT = 1.959964
"""Standard deviations to each side that hold 95 % of a normal distribution."""
_ROUNDING = 1 + 1e-12
"""Keeps a share of a count that is a whole number from falling below it in floating point."""


def calibrate(
    genuine: Tensor,
    impostor: Tensor,
    *,
    rate: float,
    fingerprint: str,
    rule: MatchRule,
    unit: Literal["pair", "search"] = "pair",
    miss: float = MISS,
    several: Mapping[int, tuple[Tensor, Tensor]] | None = None,
) -> Calibration:
    """The largest threshold with which at most a share ``rate`` of the impostors passes, and the distance of the last doubt.

    Args:
        genuine: (N,) distances of images of the same person; infinite ones count as not found.
        impostor: (M,) distances of images of two people; infinite ones count as told apart. With unit "search", the distance
            of the nearest item in each of M searches for somebody who is not in the gallery.
        rate: the false-positive rate to keep, in (0, 1).
        fingerprint: of the model.
        rule: of the comparison.
        unit: what an impostor's distance is of.
        miss: the share of the genuine distances that may lie beyond ``far``, in (0, 1). ``far`` needs at least 1 / miss of
            them, and that no larger share is infinite.
        several: the same two of queries of 2 images and more of one person, by their number. Here genuine distances may be
            missing, and numbers with too few impostors to keep the rate are left out, and all beyond them.

    Raises:
        ShapeError: the distances are not one row of numbers each, or one is not a number.
        UsageError: a share is out of range, or there are too few impostors of one image to set it: fewer than 1 / rate.
    """
    for name, share in (("false-positive rate", rate), ("share of genuine distances to miss", miss)):
        if not 0 < share < 1:
            raise UsageError(f"the {name} must lie in (0, 1), got {share}")
    if len(genuine) == 0:
        raise ShapeError("genuine distances must be numbers of shape (N,) with N > 0, got none")
    levels = [_level(1, genuine, impostor, rate, miss, None)]
    for images, (same, other) in sorted((several or {}).items()):
        if math.floor(rate * len(other) * _ROUNDING) < 1 or not bool(other.isfinite().any()):
            break
        levels.append(_level(images, same, other, rate, miss, levels[-1]))
    first = {field.name: getattr(levels[0], field.name) for field in fields(Level)}
    return Calibration(
        **first, rate=rate, unit=unit, miss=miss, fingerprint=fingerprint, rule=rule, several=tuple(levels[1:])
    )


def _level(images: int, genuine: Tensor, impostor: Tensor, rate: float, miss: float, fewer: Level | None) -> Level:
    """The thresholds for one number of images: no larger, and no less far, than those for fewer images.

    Images that are much the same (a person standing before a camera) count for fewer than they are.
    """
    for name, values in (("genuine", genuine), ("impostor", impostor)):
        if values.ndim != 1 or bool(values.isnan().any()):
            raise ShapeError(f"{name} distances must be numbers of shape (N,) with N > 0, got {tuple(values.shape)}")
    allowed = math.floor(rate * len(impostor) * _ROUNDING)
    if allowed < 1:
        raise UsageError(
            f"a false-positive rate of {rate:g} needs at least {math.ceil(1 / rate)} impostor distances, got {len(impostor)}"
        )
    impostor, genuine = impostor.double().sort().values, genuine.double().sort().values
    threshold = _threshold(impostor, allowed)
    if fewer is not None:
        threshold = min(threshold, fewer.threshold)
    far = _far(genuine, threshold, miss)
    if fewer is not None:
        far = None if far is None or fewer.far is None else max(far, fewer.far)
    passed, found = int((impostor <= threshold).sum()), int((genuine <= threshold).sum())
    return Level(
        images=images, threshold=threshold, far=far,
        impostors=len(impostor), false_positives=passed, interval=wilson(passed, len(impostor)),
        genuine=len(genuine), found=found, found_interval=wilson(found, len(genuine)),
        missed=0 if far is None else int((genuine > far).sum()),
    )  # fmt: skip


def _far(genuine: Tensor, threshold: float, miss: float) -> float | None:
    """The smallest distance beyond the threshold that no more than a share ``miss`` of the sorted distances exceeds."""
    if len(genuine) * miss * _ROUNDING < 1:
        return None
    last = float(genuine[math.ceil(len(genuine) * (1 - miss) / _ROUNDING) - 1])
    return max(last, threshold) if math.isfinite(last) else None


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
    if of == 0:
        return 0.0, 1.0
    z2 = _95_PERCENT**2
    share, scale = count / of, 1 + z2 / of
    middle = (share + z2 / (2 * of)) / scale
    half = _95_PERCENT * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)
