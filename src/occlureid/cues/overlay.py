"""Cues drawn over their images, on one sheet: a minute's look that no number replaces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from occlureid.cues.images import listed_images
from occlureid.data.dataset import ReidDataset
from occlureid.data.images import read_image
from occlureid.data.loader import CueSource
from occlureid.errors import ShapeError, UsageError
from occlureid.plots import contact_sheet
from occlureid.types import KEYPOINT_NAMES, Cues

__all__ = ["PART_TINTS", "draw_cues", "overlay_sheet"]

_BONES: tuple[tuple[str, str], ...] = (
    ("nose", "neck"), ("nose", "right_eye"), ("nose", "left_eye"), ("right_eye", "right_ear"), ("left_eye", "left_ear"),
    ("neck", "right_shoulder"), ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
    ("neck", "left_shoulder"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
    ("neck", "right_hip"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
    ("neck", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
)  # fmt: skip

_LEFT, _RIGHT, _MIDDLE, _DARK = (64, 160, 255), (255, 150, 40), (90, 220, 120), (20, 22, 26)

PART_TINTS: tuple[tuple[int, int, int], ...] = (
    (230, 60, 60), (60, 130, 240), (250, 190, 50), (70, 200, 110), (170, 90, 220), (60, 210, 220), (240, 120, 180),
    (150, 110, 60), (180, 220, 80), (110, 110, 230), (250, 140, 70), (80, 160, 130), (210, 60, 140), (130, 190, 250),
    (200, 170, 120), (100, 60, 160), (230, 220, 90), (60, 100, 90), (190, 190, 190), (120, 40, 40),
)  # fmt: skip


def _colour(*names: str) -> tuple[int, int, int]:
    if any(name.startswith("left") for name in names):
        return _LEFT
    return _RIGHT if any(name.startswith("right") for name in names) else _MIDDLE


def draw_cues(image: Image.Image, cues: Cues, *, height: int = 192, threshold: float = 0.2) -> Image.Image:
    """An image with its cues over it: parts tinted, the foreground's outside dimmed, landmarks with bones.

    The person's left is blue, the right orange.

    Args:
        image: any mode and size; not changed.
        cues: of this image, in its pixels.
        height: of the result.
        threshold: landmarks of lower confidence are not drawn.

    Returns:
        A new RGB image.

    Raises:
        ShapeError: the maps are not of the image's size, or the height is below 8.
    """
    if height < 8:
        raise ShapeError(f"height must be at least 8 pixels, got {height}")
    pixels = np.asarray(image.convert("RGB")).astype(np.float32)
    for name in ("part_map", "foreground"):
        cue = getattr(cues, name)
        if cue is not None and tuple(cue.shape[-2:]) != pixels.shape[:2]:
            raise ShapeError(f"{name} must be of the image's size {pixels.shape[:2]}, got {tuple(cue.shape[-2:])}")
    if cues.part_map is not None:
        for number, part in enumerate(cues.part_map.numpy()):
            tint = np.array(PART_TINTS[number % len(PART_TINTS)], dtype=np.float32)
            pixels += 0.55 * part[:, :, None] * (tint - pixels)
    elif cues.foreground is not None:
        pixels *= 0.3 + 0.7 * cues.foreground.numpy()[:, :, None]
    scale = height / image.height
    picture = Image.fromarray(pixels.round().astype(np.uint8)).resize(
        (max(1, round(image.width * scale)), height), Image.Resampling.BILINEAR
    )
    if cues.keypoints is not None and len(cues.keypoints) == len(KEYPOINT_NAMES):
        _draw_landmarks(picture, cues, scale, threshold)
    return picture


def _draw_landmarks(picture: Image.Image, cues: Cues, scale: float, threshold: float) -> None:
    draw = ImageDraw.Draw(picture)
    found = {
        name: (x * scale, y * scale)
        for name, (x, y, c) in zip(KEYPOINT_NAMES, cues.require("keypoints").tolist(), strict=True)
        if c > 0 and c >= threshold
    }
    for one, other in _BONES:
        if one in found and other in found:
            draw.line((*found[one], *found[other]), fill=_colour(one, other), width=2)
    for name, (x, y) in found.items():
        draw.ellipse((x - 2.5, y - 2.5, x + 2.5, y + 2.5), fill=_colour(name), outline=_DARK)


def overlay_sheet(
    images: ReidDataset | Path | Sequence[Path],
    source: CueSource,
    *,
    worst: Sequence[Path] = (),
    count: int = 32,
    columns: int = 8,
    height: int = 192,
    threshold: float = 0.2,
) -> Image.Image:
    """A contact sheet of images with their cues: half spread evenly over all, half the worst where these are given.

    Args:
        images: a dataset, a folder or image files, as for ``build_pose``.
        source: gives the cues.
        worst: as in a CueSummary; their captions are marked.
        count: images on the sheet, at most.
        columns: images in a row.
        height: of each image, in pixels.
        threshold: landmarks of lower confidence are not drawn.

    Raises:
        UsageError: there are no images, or ``count`` is below 1.
        DataError: an image or its cues cannot be read.
    """
    samples, _ = listed_images(images)
    if count < 1:
        raise UsageError(f"count must be at least 1, got {count}")
    by_path = {sample.path: sample for sample in samples}
    bad = [by_path[path] for path in worst if path in by_path][: count // 2]
    room = min(count - len(bad), len(samples))
    spread = [samples[round(step * (len(samples) - 1) / max(room - 1, 1))] for step in range(room)]
    chosen = [*((sample, "worst: ") for sample in bad), *((sample, "") for sample in spread if sample not in bad)]
    pictures, captions = [], []
    for sample, mark in chosen:
        image = read_image(sample.path)
        cues = source(sample, (image.height, image.width))
        pictures.append(draw_cues(image, cues, height=height, threshold=threshold))
        captions.append(f"{mark}{sample.path.stem[-14:]}")
    return contact_sheet(pictures, columns, captions, height=height)
