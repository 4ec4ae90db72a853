"""Sheets of what a method sees: parts (SORN's Fig. 5), attention (its Fig. 4, GASM's Fig. 4), crops (SGAM's Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from occlureid.cues import draw_cues
from occlureid.cues.overlay import PART_TINTS
from occlureid.data import CueSource, Draw, ReidImages, read_image
from occlureid.errors import UsageError
from occlureid.methods import Maps, Method
from occlureid.plots import contact_sheet, draw_crop, draw_heat, draw_labels, draw_visibilities, legend
from occlureid.types import Cues, Sample

__all__ = ["HEIGHT", "method_figures", "picture_of", "under"]

HEIGHT = 192
"""Of one picture on a sheet, in pixels."""


def method_figures(
    method: Method[Any],
    samples: Sequence[Sample],
    cues: CueSource | None = None,
    *,
    count: int = 8,
    columns: int = 2,
    device: str | torch.device = "cpu",
) -> dict[str, Image.Image]:
    """Draws what a method makes of some images, spread evenly over those given.

    - "parts": each image as the method gets it, its parts (predicted, or those of the part map that it is given), and how much
      of each stripe is seen; stripes that do not count as visible are dimmed;
    - "attention": each image, and each of the method's attention maps over it;
    - "crop": each image as it is stored, with what is cut away dimmed, and the image as the method gets it.

    Args:
        method: moved to ``device`` and left there.
        samples: the images to choose from.
        cues: gives the cues that the method needs to describe, see ``occlureid.described.cue_source``.
        count: images on a sheet, at most.
        columns: images beside each other.
        device: where the method runs.

    Returns:
        The sheets that there is something to draw on, by name.

    Raises:
        UsageError: there are no images, or ``count`` or ``columns`` is below 1.
        MissingCueError: a needed cue is not there.
        DataError: an image or its cues cannot be read.
    """
    if not samples or count < 1 or columns < 1:
        raise UsageError(f"figures need images, count and columns, got {len(samples)}, {count} and {columns}")
    number = min(count, len(samples))
    chosen = [samples[index * len(samples) // number] for index in range(number)]
    cropping = method.cropping(cues, "describe")
    images = ReidImages(chosen, size=method.preprocess.size, cues=cues, crop=cropping)
    found: dict[str, list[tuple[Image.Image, str]]] = {"parts": [], "attention": [], "crop": []}
    names: tuple[str, ...] = ()
    method.to(device).eval()
    for index, sample in enumerate(chosen):
        item = images.load(Draw(index, 0, index))
        batch, batch_cues = item.image[None].to(device), Cues.stack([item.cues]).to(device)
        with torch.inference_mode():
            method.check_cues(batch_cues, "describe")
            maps = method.maps(batch, batch_cues)
        names = names or maps.names
        picture, name = picture_of(item.image), sample.path.stem[-14:]
        parts = _parts(method, picture, maps, item.cues, method.describe(batch, batch_cues).visibility[0])
        found["parts"] += [(picture, name), *parts] if parts else []
        if maps.attention is not None:
            heats = [draw_heat(picture, values) for values in maps.attention[0].float().cpu().numpy()]
            titles = maps.attention_names or [f"map {number}" for number, _ in enumerate(heats, 1)]
            found["attention"] += [(picture, name), *zip(heats, titles, strict=True)]
        if cropping is not None:
            stored = read_image(sample.path)
            box = cropping.crop.box(cropping.source(sample, (stored.height, stored.width)).require("part_map"))
            after = f"{item.image.shape[1]} x {item.image.shape[2]}" if box else "stays whole"
            found["crop"] += [(draw_crop(stored, box), name), (picture, after)]
    sheets = {key: _sheet(panels, len(chosen), columns) for key, panels in found.items() if panels}
    if names and "parts" in sheets:
        sheets["parts"] = under(sheets["parts"], legend(names, PART_TINTS))
    return sheets


def picture_of(image: Tensor) -> Image.Image:
    """An image as a method gets it, (3, H, W) RGB in [0, 1], as a picture."""
    return Image.fromarray((image.permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).numpy())


def _parts(
    method: Method[Any], picture: Image.Image, maps: Maps, cues: Cues, visibility: Tensor
) -> list[tuple[Image.Image, str]]:
    """The parts over the image, and the visibilities; empty where the method has neither."""
    panels = []
    seen = visibility.float().cpu().tolist()
    if maps.labels is not None:
        panels.append((draw_labels(picture, maps.labels[0].cpu().numpy(), PART_TINTS), "predicted"))
    elif cues.names:
        panels.append((draw_cues(picture, cues, height=picture.height), "given"))
    if seen and method.regions:
        bar = method.rule.threshold if method.rule.visibility == "binary" else np.finfo(np.float32).tiny
        visible = [method.rule.visibility == "ignore" or value >= bar for value in seen]
        panels.append((draw_visibilities(picture, method.regions, seen, visible, height=HEIGHT), "compared"))
    elif seen and panels:
        panels[-1] = (panels[-1][0], " ".join(f"{100 * value:.0f}" for value in seen) + " % seen")
    return panels


def _sheet(panels: Sequence[tuple[Image.Image, str]], images: int, columns: int) -> Image.Image:
    """The panels of each image beside each other, several images in a row."""
    each = len(panels) // images
    pictures, captions = [panel for panel, _ in panels], [caption for _, caption in panels]
    return contact_sheet(pictures, each * columns, captions, height=HEIGHT)


def under(sheet: Image.Image, line: Image.Image) -> Image.Image:
    """A sheet with a line below it."""
    joined = Image.new("RGB", (max(sheet.width, line.width), sheet.height + line.height), (255, 255, 255))
    joined.paste(sheet, (0, 0))
    joined.paste(line, (0, sheet.height))
    return joined
