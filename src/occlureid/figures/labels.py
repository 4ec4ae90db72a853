"""The part labels that a training made for its images, epoch by epoch (HCGA's Fig. 9, 10), and how near to the truth they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.nn import functional as F

from occlureid.coparsing import score_parsing
from occlureid.cues import ExactCues
from occlureid.cues.overlay import PART_TINTS
from occlureid.data import CueSource, read_image
from occlureid.errors import DataError, UsageError
from occlureid.figures.seen import under
from occlureid.plots import contact_sheet, draw_labels, legend, lines_svg
from occlureid.training import GuidanceFile, read_guidance
from occlureid.training.batches import relative_paths
from occlureid.types import Sample

__all__ = ["guidance_chart", "guidance_figure", "guidance_files", "guidance_scores", "true_labels"]

_GROUPING = {1: "sorn2", 3: "hcga4", 4: "sgam5", 7: "sorn8"}
"""What so many parts are compared with, top to bottom; of other numbers only the foreground is."""


def guidance_files(run: Path | str) -> list[Path]:
    """The files of part labels in a run's folder, in the order of the epochs.

    Raises:
        DataError: there are none.
    """
    files = sorted(Path(run).glob("guidance/epoch_*.npz"))
    if not files:
        raise DataError(
            f"{run}: no files guidance/epoch_*.npz there; name the folder of a run whose method makes part labels, trained "
            "with train.guidance_every above 0"
        )
    return files


def guidance_figure(
    files: Sequence[Path],
    samples: Sequence[Sample],
    *,
    person: str | None = None,
    images: int = 6,
    epochs: int = 6,
    height: int = 160,
) -> Image.Image:
    """Draws the labels of one person's images: a row an image, a column an epoch; the background is dimmed.

    Args:
        files: of a run, see ``guidance_files``; as many as ``epochs`` are chosen evenly, the first and the last among them.
        samples: the images that were trained on, in any order.
        person: whose images; unless given, the one with most images that something is known of.
        images: rows, at most.
        epochs: columns of labels, at most.
        height: of each picture, in pixels.

    Raises:
        UsageError: ``images`` or ``epochs`` is below 1, or there are no training images of the person.
        DataError: a file is damaged, or is of other images.
    """
    if min(images, epochs) < 1:
        raise UsageError(f"images and epochs must be at least 1, got {images} and {epochs}")
    last = read_guidance(files[-1])
    found = _samples(files[-1], last, samples)
    chosen = _of_person(found, last, person, images)
    shown = _evenly(len(files), epochs)
    pictures = [read_image(found[row].path) for row in chosen]
    columns = [[(picture, found[row].path.stem[-14:]) for picture, row in zip(pictures, chosen, strict=True)]]
    parts = 1
    for index in shown:
        content = last if index == len(files) - 1 else read_guidance(files[index])
        _same_images(files[index], content, last)
        parts = max(parts, content.guidance.parts)
        columns.append([_labelled(picture, content, row) for picture, row in zip(pictures, chosen, strict=True)])
    panels = [column[row] for row in range(len(chosen)) for column in columns]
    sheet = contact_sheet([p for p, _ in panels], len(columns), [text for _, text in panels], height=height)
    return under(sheet, legend([f"part {number}" for number in range(1, parts + 1)], PART_TINTS))


def true_labels(root: Path | str, parts: int) -> tuple[CueSource, bool]:
    """The true part maps of a rendered world, in so many parts, and whether parts can be told: else only the foreground.

    Raises:
        MissingCueError: the world has no part maps.
    """
    grouping = _GROUPING.get(parts)
    if grouping is None:
        return ExactCues(root, {"foreground"}), False
    return ExactCues(root, {"part_map", "foreground"}, grouping=grouping), True


def guidance_scores(
    files: Sequence[Path], samples: Sequence[Sample], root: Path | str, *, images: int = 500
) -> list[dict[str, Any]]:
    """Compares the labels of each epoch with the true ones of a rendered world.

    Args:
        files: of a run, see ``guidance_files``.
        samples: the images that were trained on, in any order.
        root: of the world that they are of.
        images: looked at in each epoch, at most, evenly chosen.

    Returns:
        For each file ``epoch`` (trained with these labels, from 1), ``made`` (the epoch before which they were made, from 1),
        ``known`` (share of all images that something is known of), and what ``ParsingScores.to_json`` gives: ``images``
        (scored), ``foreground_iou``, ``mean_part_iou`` and ``part_iou``, the last two empty where parts cannot be told.

    Raises:
        DataError: a file is damaged, is of other images, or a true part map is missing.
        MissingCueError: the world has no part maps.
    """
    first = read_guidance(files[0])
    found = _samples(files[0], first, samples)
    rows = _evenly(len(found), images)
    source, told = true_labels(root, first.guidance.parts)
    size = (first.guidance.labels.shape[1], first.guidance.labels.shape[2])
    truth = torch.stack([_truth(source, found[row], size, told) for row in rows])
    scores = []
    for file in files:
        content = first if file == files[0] else read_guidance(file)
        _same_images(file, content, first)
        labels, known = content.guidance.labels[rows], content.guidance.known[rows]
        result = score_parsing(labels if told else labels.clamp(max=1), truth, known)
        known_of_all = round(float(content.guidance.known.float().mean()), 4)
        figures = result.to_json() if told else {**result.to_json(), "mean_part_iou": None, "part_iou": []}
        epochs = {"epoch": content.in_force + 1, "made": content.guidance.epoch + 1}
        scores.append({**epochs, "known": known_of_all, **figures})
    return scores


def guidance_chart(scores: Sequence[dict[str, Any]]) -> str:
    """What ``guidance_scores`` gives as curves by epoch, SVG text."""
    series = {
        "foreground": [score["foreground_iou"] for score in scores],
        "mean of the parts": [score["mean_part_iou"] for score in scores],
    }
    for part in range(len(scores[0]["part_iou"])):
        series[f"part {part + 1}"] = [score["part_iou"][part] for score in scores]
    curves = {
        name: [(float(s["epoch"]), value) for s, value in zip(scores, values, strict=True) if value is not None]
        for name, values in series.items()
    }
    curves = {name: points for name, points in curves.items() if points}
    marked = [scores[index]["epoch"] for index in _evenly(len(scores), 8)]
    return lines_svg(
        curves,
        ticks={float(epoch): str(epoch) for epoch in marked},
        x_label="epoch",
        title="Part labels against the true ones: intersection over union",
        name="guidance",
        mark_all=len(scores) <= 30,
    )


def _evenly(of: int, number: int) -> list[int]:
    """So many of the numbers below ``of``, the first and the last among them."""
    if number >= of or of == 1:
        return list(range(of))
    if number == 1:
        return [of - 1]
    return [index * (of - 1) // (number - 1) for index in range(number)]


def _samples(path: Path, content: GuidanceFile, samples: Sequence[Sample]) -> list[Sample]:
    """The samples of a file's images, in its order."""
    known = dict(zip(relative_paths(samples), samples, strict=True)) if samples else {}
    if missing := [image for image in content.images if image not in known]:
        raise DataError(
            f"{path}: its labels are of other images than the {len(known)} training images given; {len(missing)} are not among "
            f"them, first: {missing[0]}"
        )
    return [known[image] for image in content.images]


def _same_images(path: Path, content: GuidanceFile, other: GuidanceFile) -> None:
    if content.images != other.images:
        raise DataError(f"{path}: its labels are of other images than those of the other epochs")


def _of_person(found: Sequence[Sample], content: GuidanceFile, person: str | None, images: int) -> list[int]:
    known = content.guidance.known.tolist()
    if person is None:
        number = Counter(sample.person for sample, is_known in zip(found, known, strict=True) if is_known)
        number = number or Counter(sample.person for sample in found)
        person = min(number, key=lambda name: (-number[name], name))
    rows = [row for row, sample in enumerate(found) if sample.person == person]
    if not rows:
        some = ", ".join(sorted({sample.person for sample in found})[:8])
        raise UsageError(f"no training image shows person {person!r}; there are {some}, ...")
    return [rows[index] for index in _evenly(len(rows), images)]


def _labelled(picture: Image.Image, content: GuidanceFile, row: int) -> tuple[Image.Image, str]:
    name = f"epoch {content.in_force + 1}"
    if not bool(content.guidance.known[row]):
        return Image.blend(picture, Image.new("RGB", picture.size, (128, 128, 128)), 0.7), "unknown"
    return draw_labels(picture, content.guidance.labels[row].numpy(), PART_TINTS), name


def _truth(source: CueSource, sample: Sample, size: tuple[int, int], told: bool) -> torch.Tensor:
    """(parts, h, w) how much of each pixel of the labels is truly of each part; where parts cannot be told, of the person."""
    stored = read_image(sample.path)
    cues = source(sample, (stored.height, stored.width))
    maps = cues.require("part_map") if told else cues.require("foreground")[None]
    return F.adaptive_avg_pool2d(maps.float(), size)
