"""How good a folder of cues looks: counts that show at once whether an estimator failed on these images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from occlureid.cues.keypoints import People
from occlureid.cues.partmaps import LabelArray

__all__ = ["CueSummary", "PartTally", "PoseTally"]

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_WORST = 24


@dataclass(frozen=True, slots=True)
class CueSummary:
    """What is in the cues of some images.

    Attributes:
        kind: "pose" or "parsing".
        images: images with cues.
        reused: of these, how many had been written by an earlier call.
        skipped: unreadable images and why, in the order met.
        without_file: images for which a folder of another tool, imported, has no file; they are not among ``images``.
        without_person: images with no landmark of confidence >= threshold, or with an empty part map.
        several_people: images with more than one person, of whom one is chosen (0 for part maps).
        threshold: the least confidence that counts.
        landmarks: mean number of landmarks (of 18) of confidence >= threshold, over all images.
        histogram: images with 0, 1, ..., 18 such landmarks; empty for part maps.
        confidence: quantiles of the confidence of all landmarks found at all, by name ("0.05", ...); empty for part maps.
        part_areas: mean share of the image that each part covers, over all images; empty for landmarks.
        part_seen: share of the images that show each part at all; empty for landmarks.
        worst: images, fewest landmarks or smallest person first.
    """

    kind: Literal["pose", "parsing"]
    images: int
    reused: int
    skipped: tuple[str, ...]
    without_person: int
    several_people: int = 0
    threshold: float = 0.0
    landmarks: float = 0.0
    histogram: tuple[int, ...] = ()
    confidence: Mapping[str, float] = field(default_factory=dict)
    part_areas: Mapping[str, float] = field(default_factory=dict)
    part_seen: Mapping[str, float] = field(default_factory=dict)
    worst: tuple[Path, ...] = ()
    without_file: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**asdict(self), "skipped": list(self.skipped), "histogram": list(self.histogram),
                "worst": [path.as_posix() for path in self.worst]}  # fmt: skip

    def __str__(self) -> str:
        """Some lines to read."""
        share = f" ({self.without_person / self.images:.1%})" if self.images else ""
        lines = [
            f"{self.images} images ({self.reused} done before), {len(self.skipped)} skipped",
            f"without a person: {self.without_person}{share}",
        ]
        if self.without_file:
            lines.append(f"without a file to import, and left out: {self.without_file}")
        if self.skipped:
            lines.append(f"first skipped: {self.skipped[0]}")
        if self.kind == "pose":
            lines.append(f"several people: {self.several_people}")
            lines.append(f"landmarks of confidence >= {self.threshold:g}: {self.landmarks:.1f} of 18 an image")
            lines.append("images by landmarks: " + " ".join(f"{n}:{c}" for n, c in enumerate(self.histogram) if c))
            quantiles = ", ".join(f"{float(name):.0%} {value:.2f}" for name, value in self.confidence.items())
            lines.append(f"confidence: {quantiles or 'no landmarks at all'}")
        else:
            lines.append("part            area  seen in")
            lines += [f"{name:<14} {area:6.1%}  {self.part_seen[name]:6.1%}" for name, area in self.part_areas.items()]
        return "\n".join(lines)


class PoseTally:
    """Counts the poses of images one by one.

    Args:
        threshold: the least confidence that counts.
        without_file: how many images are left out for want of a file.
    """

    def __init__(self, threshold: float, without_file: int = 0) -> None:
        self._threshold, self._without_file = threshold, without_file
        self._several = 0
        self._rows: list[tuple[int, float, Path]] = []
        # Confidences are counted in hundredths: a million images must not fill the memory.
        self._confidences = np.zeros(101, np.int64)

    def add(self, path: Path, people: People) -> None:
        """Counts an image's people."""
        self._several += len(people.landmarks) > 1
        if len(people.landmarks) == 0:
            self._rows.append((0, 0.0, path))
            return
        confidence = people.landmarks[people.chosen(self._threshold)][:, 2]
        found = confidence[confidence > 0]
        np.add.at(self._confidences, (found * 100).round().astype(int), 1)
        count = int((found >= self._threshold).sum())
        self._rows.append((count, float(confidence.mean()), path))

    def summary(self, reused: int, skipped: Sequence[str]) -> CueSummary:
        """What was counted."""
        counts = np.array([count for count, _, _ in self._rows], dtype=np.int64)
        total = int(self._confidences.sum())
        shares = np.cumsum(self._confidences)
        quantiles = {f"{q:g}": int(np.searchsorted(shares, q * total)) / 100 for q in _QUANTILES} if total else {}
        return CueSummary(
            "pose", len(counts), reused, tuple(skipped), int((counts == 0).sum()), self._several, self._threshold,
            landmarks=float(counts.mean()) if len(counts) else 0.0,
            histogram=tuple(int(n) for n in np.bincount(counts, minlength=19)),
            confidence=quantiles,
            worst=tuple(path for _, _, path in sorted(self._rows)[:_WORST]),
            without_file=self._without_file,
        )  # fmt: skip


class PartTally:
    """Counts the part maps of images one by one.

    Args:
        parts: the names of labels 1, 2, ...
        without_file: how many images are left out for want of a file.
    """

    def __init__(self, parts: Sequence[str], without_file: int = 0) -> None:
        self._parts, self._without_file = tuple(parts), without_file
        self._area, self._seen = np.zeros(len(parts)), np.zeros(len(parts), np.int64)
        self._rows: list[tuple[float, Path]] = []

    def add(self, path: Path, labels: LabelArray) -> None:
        """Counts an image's labels, (H, W), 0 for background."""
        pixels = np.bincount(labels.ravel(), minlength=len(self._parts) + 1)[1:]
        self._area += pixels / labels.size
        self._seen += pixels > 0
        self._rows.append((float(pixels.sum() / labels.size), path))

    def summary(self, reused: int, skipped: Sequence[str]) -> CueSummary:
        """What was counted."""
        count = len(self._rows)
        return CueSummary(
            "parsing", count, reused, tuple(skipped), sum(area == 0 for area, _ in self._rows),
            part_areas={n: float(a) / max(count, 1) for n, a in zip(self._parts, self._area, strict=True)},
            part_seen={n: int(s) / max(count, 1) for n, s in zip(self._parts, self._seen, strict=True)},
            worst=tuple(path for _, path in sorted(self._rows)[:_WORST]),
            without_file=self._without_file,
        )  # fmt: skip
