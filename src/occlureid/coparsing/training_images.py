"""The training images of a run, parsed person by person: what a method that guides itself does before an epoch (HCGA)."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from occlureid.coparsing.persons import PersonImages, PersonParsing
from occlureid.guidance import Guidance, TrainingView

__all__ = ["ParsePersons", "parse_training_images", "share_out"]


class ParsePersons(Protocol):
    """``coparse``, or what else parses the images of persons, with its settings given."""

    def __call__(self, persons: Iterable[PersonImages], *, seed: int) -> Iterator[PersonParsing]:
        """The parsing of each person, in any order; persons are to be taken from the stream as they are needed."""


def share_out(images: Mapping[int, int], processes: int) -> list[list[int]]:
    """Shares persons out among processes, so that each gets about as many images.

    The person with most images goes first, to the process that has fewest by then. Those of a process keep this order, in which
    neighbours have similar numbers of images.

    Args:
        images: of each person, how many images there are.
        processes: at least 1.

    Returns:
        The persons of each process; the same for the same arguments.
    """
    shares: list[list[int]] = [[] for _ in range(processes)]
    load = [0] * processes
    for person in sorted(images, key=lambda person: (-images[person], person)):
        least = load.index(min(load))
        shares[least].append(person)
        load[least] += images[person]
    return shares


def parse_training_images(
    view: TrainingView,
    encode: Callable[[Tensor], Tensor],
    parse: ParsePersons,
    *,
    size: tuple[int, int],
    parts: int,
    batch_size: int,
) -> Guidance:
    """Parses the images of each training person together; the persons are shared out among the processes of the run.

    The features of one person after the other are computed as ``parse`` asks for them; never are those of all in memory.

    Args:
        view: of the run.
        encode: (B, 3, H, W) images as ``view.images`` gives them to the features (B, q, h, w) of their pixels, without gradient.
        parse: what makes labels of features.
        size: (h, w) of the features.
        parts: that the labels tell apart.
        batch_size: images to be encoded at once.

    Returns:
        The labels of all images. Nothing is known of an image that could not be read, or whose person's parsing says so.
        ``record`` holds: persons and images (of this process), seconds and peak_bytes (for each of the steps features, decoders
        and labels, of this process: on a GPU what tensors took at most, elsewhere the most that the process had ever taken by
        then), reasons (how many persons were found less of than usual, by why; "unreadable" has no image), labels_left and
        decoder_steps (means over the persons that a decoder was trained for, None without any); and of all processes together
        known (the share of images), shares (of the pixels of known images, by label), and unchanged (the share of pixels that
        have the label they had before, over the images known both times; None before the first).
    """
    members: dict[int, list[int]] = {}
    for index, person in enumerate(view.labels.tolist()):
        members.setdefault(person, []).append(index)
    own = share_out({person: len(indices) for person, indices in members.items()}, view.world)[view.rank]
    meter, reasons = _Meter(view.device), Counter[str]()

    def stream() -> Iterator[PersonImages]:
        for person in own:
            meter.turn("features")
            indices = members[person]
            pieces, kept = [], []
            for start in range(0, len(indices), batch_size):
                chunk = indices[start : start + batch_size]
                images, read = view.images(chunk)
                if bool(read.any()):
                    pieces.append(encode(images[read]))
                    kept += [index for index, there in zip(chunk, read.tolist(), strict=True) if there]
            meter.turn("decoders")
            if kept:
                yield PersonImages.of(person, torch.cat(pieces), [view.samples[index] for index in kept], kept)
            else:
                reasons["unreadable"] += 1

    labels = torch.zeros(len(view.samples), *size, dtype=torch.uint8)
    known = torch.zeros(len(view.samples), dtype=torch.bool)
    left: list[int] = []
    steps: list[int] = []
    meter.turn("decoders")
    # the run's seed and the epoch, neither of which may reach the other
    for parsing in parse(stream(), seed=(view.seed * 1_000_003 + view.epoch) % 2**63):
        meter.turn("labels")
        labels[parsing.indices] = parsing.labels.cpu()
        known[parsing.indices] = parsing.known.cpu()
        if parsing.reason:
            reasons[parsing.reason] += 1
        if parsing.steps:
            left.append(parsing.clusters_left)
            steps.append(parsing.steps)
        meter.turn("decoders")
    meter.turn("labels")
    labels, known = view.merge(labels, known)
    meter.turn("")
    record: dict[str, Any] = {
        "persons": len(own),
        "images": sum(len(members[person]) for person in own),
        "seconds": {name: round(seconds, 4) for name, seconds in meter.seconds.items()},
        "peak_bytes": dict(meter.peak_bytes),
        "reasons": dict(sorted(reasons.items())),
        "labels_left": sum(left) / len(left) if left else None,
        "decoder_steps": sum(steps) / len(steps) if steps else None,
        "known": round(float(known.double().mean()), 6),
        "shares": _shares(labels[known], parts),
        "unchanged": _unchanged(labels, known, view.previous),
    }
    return Guidance(labels, known, parts, view.epoch, record)


def _shares(labels: Tensor, parts: int) -> list[float]:
    counts = torch.bincount(labels.flatten().long(), minlength=parts + 1)
    return [round(share, 6) for share in (counts / counts.sum().clamp_min(1)).tolist()]


def _unchanged(labels: Tensor, known: Tensor, previous: Guidance | None) -> float | None:
    if previous is None or previous.labels.shape != labels.shape:
        return None
    both = known & previous.known
    same = labels[both] == previous.labels[both]
    return round(float(same.double().mean()), 6) if bool(both.any()) else None


class _Meter:
    """Seconds and peak memory of steps that take turns.

    Attributes:
        seconds, peak_bytes: of each step.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {"features": 0.0, "decoders": 0.0, "labels": 0.0}
        self.peak_bytes: dict[str, int] = dict.fromkeys(self.seconds, 0)
        self._cuda = device if device.type == "cuda" else None
        self._now = ""
        self._since = 0.0

    def turn(self, step: str) -> None:
        """Ends the present step, if any, and begins another; "" for none."""
        if self._cuda is not None:
            torch.cuda.synchronize(self._cuda)
        if self._now:
            self.seconds[self._now] += time.monotonic() - self._since
            self.peak_bytes[self._now] = max(self.peak_bytes[self._now], self._peak())
        if self._cuda is not None:
            torch.cuda.reset_peak_memory_stats(self._cuda)
        self._now, self._since = step, time.monotonic()

    def _peak(self) -> int:
        if self._cuda is not None:
            return int(torch.cuda.max_memory_allocated(self._cuda))
        try:
            import resource
        except ImportError:  # Windows
            return 0
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
