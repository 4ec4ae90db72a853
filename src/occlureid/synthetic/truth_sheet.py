"""Images and all that is true of them side by side, to look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from occlureid.plots import contact_sheet
from occlureid.synthetic.palette import LABEL_COLOURS
from occlureid.synthetic.rendered import Rendered
from occlureid.types import KEYPOINT_NAMES

__all__ = ["LIMBS", "truth_sheet"]

_BONES = (
    ("nose", "neck"), ("neck", "right_shoulder"), ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
    ("neck", "left_shoulder"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
    ("neck", "right_hip"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
    ("neck", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
    ("nose", "right_eye"), ("right_eye", "right_ear"), ("nose", "left_eye"), ("left_eye", "left_ear"),
)  # fmt: skip
LIMBS: tuple[tuple[int, int], ...] = tuple((KEYPOINT_NAMES.index(a), KEYPOINT_NAMES.index(b)) for a, b in _BONES)
"""Pairs of landmarks that a line joins."""

_RIGHT, _LEFT, _MIDDLE = (255, 120, 80), (90, 190, 255), (255, 220, 90)
_DIM = 0.3
"""How bright the image stays under a label map."""


def truth_sheet(shot: Rendered, across: int = 1, height: int = 256) -> Image.Image:
    """Five pictures an image: itself, landmarks, the eight part classes, the twenty of LIP, and who is where.

    Landmarks are dots where visible and rings where hidden; the right side is orange, the left blue. Of other people the
    visible landmarks are drawn in the colour of their mask.

    Args:
        shot: the images; a few, in the order in which they are to appear.
        across: images in a row.
        height: of each picture, in pixels.

    Raises:
        ShapeError: ``across`` is not positive or ``height`` is below 8.
    """
    pictures: list[Image.Image] = []
    captions: list[str] = []
    for row in range(len(shot)):
        pixels = shot.images[row].permute(1, 2, 0).numpy()
        pictures += [
            Image.fromarray(np.ascontiguousarray(pixels)),
            _with_landmarks(pixels, shot, row, height),
            *(_overlay(pixels, labels[row]) for labels in (shot.parts, shot.lip, shot.people)),
        ]
        fraction, degrees = float(shot.visible_fraction[row]), np.degrees(float(shot.headings[row]))
        captions += [
            f"{shot.obstacles[row]}, {fraction:.2f} seen",
            f"heading {degrees:.0f} deg",
            f"parts, box {shot.boxes[row]}",
            f"LIP, scale {float(shot.scales[row]):.2f}",
            f"camera {int(shot.cameras[row])}, others {len(shot.others[row])}",
        ]
    return contact_sheet(pictures, 5 * across, captions, height=height)


def _overlay(pixels: NDArray[np.uint8], labels: Tensor) -> Image.Image:
    """The labels' colours on the dimmed image."""
    values = labels.numpy()
    shade = 0.55 + 0.45 * pixels.mean(axis=2, keepdims=True) / 255.0
    drawn = np.where((values > 0)[..., None], LABEL_COLOURS[values] * shade, pixels * _DIM)
    return Image.fromarray(drawn.astype(np.uint8))


def _with_landmarks(pixels: NDArray[np.uint8], shot: Rendered, row: int, height: int) -> Image.Image:
    picture = Image.fromarray((pixels * 0.6).astype(np.uint8))
    scale = 2.0 * height / picture.height  # drawn at twice the size, so that scaling down smooths the lines
    picture = picture.resize((round(picture.width * scale), 2 * height), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    for number, landmarks in enumerate(shot.others[row], start=2):
        red, green, blue = (int(value) for value in LABEL_COLOURS[number])
        for x, y, seen in (landmarks * landmarks.new_tensor([scale, scale, 1.0])).tolist():
            if seen:
                draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=(red, green, blue))
    points = (shot.keypoints[row] * shot.keypoints.new_tensor([scale, scale, 1.0])).tolist()
    for first, second in LIMBS:
        draw.line((*points[first][:2], *points[second][:2]), fill=_side(second), width=4)
    for k, (x, y, seen) in enumerate(points):
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=_side(k) if seen else (20, 20, 20), outline=_side(k), width=2)
    return picture


def _side(landmark: int) -> tuple[int, int, int]:
    name = KEYPOINT_NAMES[landmark]
    return _RIGHT if name.startswith("right") else _LEFT if name.startswith("left") else _MIDDLE
