"""How good a landmark network is, on images that it was not trained on: how near, and whether it knows what is hidden."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from occlureid.cues.providers import Provider
from occlureid.data.images import read_image
from occlureid.data.loader import CueSource
from occlureid.errors import UsageError
from occlureid.types import KEYPOINT_FLIP, KEYPOINT_NAMES, Sample

__all__ = ["PCK_SHARES", "LandmarkScores", "average_precision", "score_landmarks", "sides_told_apart"]

PCK_SHARES: tuple[float, float] = (0.05, 0.1)
"""How far off a landmark may be and still counts as right, as shares of the height of the person's box, which the image is."""

APART = 0.05
"""How far apart the left and the right landmark of a pair must be, as a share of the height, to be told from each other."""

Array = NDArray[np.float64]


def average_precision(confidence: Array, positive: NDArray[np.bool_]) -> float | None:
    """Area below the steps of precision over recall; equal confidences are one step.

    Args:
        confidence: (N,).
        positive: (N,).

    Returns:
        In [0, 1]; None where nothing is positive.
    """
    if not positive.any():
        return None
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(positive[order])
    last = np.append(np.diff(confidence[order]) != 0, True)  # of those with one confidence
    hits, counted = hits[last], np.flatnonzero(last) + 1
    gained = np.diff(hits, prepend=0)
    return float((gained * hits / counted).sum() / hits[-1])


def sides_told_apart(found: Array, truth: Array, heights: Array) -> float | None:
    """The share of landmarks that are found nearer to where they are than to where their partner of the other side is.

    Counted are those of which both are visible and ``APART`` from each other.

    Args:
        found: as in ``LandmarkScores.from_arrays``.
        truth: as there.
        heights: as there.

    Returns:
        In [0, 1], about 0.5 where left and right are guessed; None where no image shows such a pair.
    """
    partner = list(KEYPOINT_FLIP)
    places, visible = truth[:, :, :2], truth[:, :, 2] > 0
    others = places[:, partner]
    apart = np.hypot(*(places - others).transpose(2, 0, 1)) >= APART * heights[:, None]
    judged = visible & visible[:, partner] & apart
    if not judged.any():
        return None
    own, other = (np.hypot(*(found[:, :, :2] - there).transpose(2, 0, 1)) for there in (places, others))
    return float(((own < other) & (found[:, :, 2] > 0))[judged].mean())


@dataclass(frozen=True)
class LandmarkScores:
    """Figures over some images.

    Attributes:
        images: how many.
        visible_share: of all true landmarks, in [0, 1]; it is the average precision of knowing nothing.
        pck: for each of ``PCK_SHARES``, the share of visible landmarks found that near, whatever the confidence: for each
            name, in [0, 1]; None for one that no image shows.
        visibility: for each name, the average precision of "visible" by confidence.
        average_precision: the same over all landmarks together.
        threshold: the least confidence that counts as visible.
        precision: of the landmarks said to be visible, the share that is; None where none is said to be.
        recall: of the visible landmarks, the share said to be.
        sides: of those that could be taken for their partner of the other side, the share that are not (``sides_told_apart``).
        worlds: the figures of each world alone, where there are several.
    """

    images: int
    visible_share: float
    pck: dict[float, dict[str, float | None]]
    visibility: dict[str, float | None]
    average_precision: float
    threshold: float
    precision: float | None
    recall: float
    sides: float | None
    worlds: Mapping[str, LandmarkScores]

    @classmethod
    def from_arrays(
        cls,
        found: Array,
        truth: Array,
        heights: Array,
        threshold: float,
        worlds: Mapping[str, LandmarkScores] | None = None,
    ) -> LandmarkScores:
        """From what was found and what is true.

        Args:
            found: (N, 18, 3) x, y and confidence.
            truth: (N, 18, 3) x, y and 1 where visible, else 0.
            heights: (N,) of the images, in the same pixels.
            threshold: the least confidence that counts as visible.
            worlds: the figures of each world, if there are several.

        Raises:
            UsageError: there are no images, or nothing is visible in any.
        """
        visible = truth[:, :, 2] > 0
        if not visible.any():
            raise UsageError("a landmark network is judged by images with visible landmarks, and there are none")
        error = np.hypot(*(found - truth)[:, :, :2].transpose(2, 0, 1)) / heights[:, None]
        error[found[:, :, 2] <= 0] = np.inf
        seen = {name: visible[:, place] for place, name in enumerate(KEYPOINT_NAMES)}
        pck = {
            share: {
                name: float((error[:, place][seen[name]] <= share).mean()) if seen[name].any() else None
                for place, name in enumerate(KEYPOINT_NAMES)
            }
            for share in PCK_SHARES
        }
        confidence = found[:, :, 2]
        said = (confidence >= threshold) & (confidence > 0)
        whole = average_precision(confidence.ravel(), visible.ravel())
        return cls(
            images=len(truth),
            visible_share=float(visible.mean()),
            pck=pck,
            visibility={
                name: average_precision(confidence[:, place], seen[name]) for place, name in enumerate(KEYPOINT_NAMES)
            },
            average_precision=0.0 if whole is None else whole,
            threshold=threshold,
            precision=float(visible[said].mean()) if said.any() else None,
            recall=float(said[visible].mean()),
            sides=sides_told_apart(found, truth, heights),
            worlds=dict(worlds or {}),
        )

    def mean_pck(self, share: float) -> float:
        """The mean over the landmarks that some image shows, in [0, 1]."""
        there = [value for value in self.pck[share].values() if value is not None]
        return sum(there) / len(there)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "images": self.images,
            **{f"pck_{share:g}": self.mean_pck(share) for share in PCK_SHARES},
            "average_precision": self.average_precision,
            "visible_share": self.visible_share,
            "threshold": self.threshold,
            "precision": self.precision,
            "recall": self.recall,
            "sides": self.sides,
            "landmarks": {
                name: {
                    **{f"pck_{share:g}": self.pck[share][name] for share in PCK_SHARES},
                    "average_precision": self.visibility[name],
                }
                for name in KEYPOINT_NAMES
            },
            **({"worlds": {name: one.to_json() for name, one in self.worlds.items()}} if self.worlds else {}),
        }

    def headline(self) -> str:
        """One line: how near, and how well it tells visible from hidden."""
        near = ", ".join(f"PCK@{share:g} {self.mean_pck(share):.1%}" for share in PCK_SHARES)
        precision = "nothing" if self.precision is None else f"{self.precision:.1%}"
        return (
            f"{self.images} held-out images: {near}; visible landmarks: AP {self.average_precision:.1%} "
            f"({self.visible_share:.1%} are), at confidence {self.threshold:g} precision {precision}, recall {self.recall:.1%}; "
            f"left and right told apart: {'never asked' if self.sides is None else f'{self.sides:.1%}'}"
        )

    def summary(self) -> str:
        """The headline, that of each world, and a line for each landmark."""
        shares = " ".join(f"{f'PCK@{share:g}':>9}" for share in PCK_SHARES)
        lines = [self.headline(), *(f"  {name}: {one.headline()}" for name, one in self.worlds.items())]
        lines.append(f"  {'':<15}{shares} {'AP':>9}")
        for name in KEYPOINT_NAMES:
            values = [*(self.pck[share][name] for share in PCK_SHARES), self.visibility[name]]
            lines.append(
                f"  {name:<15}" + " ".join("   absent" if value is None else f"{value:>9.1%}" for value in values)
            )
        return "\n".join(lines)


def score_landmarks(
    provider: Provider,
    worlds: Mapping[str, Sequence[Sample]],
    truth: CueSource,
    *,
    threshold: float = 0.2,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> LandmarkScores:
    """Judges a landmark network, or any other provider of landmarks.

    Args:
        provider: of landmarks.
        worlds: images, by the name of their world.
        truth: gives their true landmarks, hidden ones with confidence 0.
        threshold: the least confidence that counts as visible.
        batch_size: images held in memory at once.
        progress: called with (images done, images in all).

    Raises:
        DataError: an image cannot be read.
        UsageError: there are no images, or nothing is visible in any.
    """
    total, done = sum(map(len, worlds.values())), 0
    parts: dict[str, tuple[Array, Array, Array]] = {}
    for name, samples in worlds.items():
        found, true, heights = [], [], []
        for start in range(0, len(samples), batch_size):
            batch = samples[start : start + batch_size]
            pictures = [np.array(read_image(sample.path)) for sample in batch]
            found += [cues.require("keypoints") for cues in provider(pictures)]
            for sample, picture in zip(batch, pictures, strict=True):
                true.append(truth(sample, (picture.shape[0], picture.shape[1])).require("keypoints"))
                heights.append(float(picture.shape[0]))
            done += len(batch)
            if progress:
                progress(done, total)
        if found:
            parts[name] = (
                torch.stack(found).double().numpy(), torch.stack(true).double().numpy(), np.array(heights)
            )  # fmt: skip
    if not parts:
        raise UsageError("a landmark network is judged by images, and there are none")
    each = {name: LandmarkScores.from_arrays(*arrays, threshold) for name, arrays in parts.items()}
    joined = [np.concatenate(arrays) for arrays in zip(*parts.values(), strict=True)]
    return LandmarkScores.from_arrays(joined[0], joined[1], joined[2], threshold, each if len(each) > 1 else None)
