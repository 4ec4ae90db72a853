"""Which places of two images a method with local vectors matches (guided adaptive spatial matching of GASM, Eq. 6, 7)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from PIL import Image

from occlureid.data import CueSource, Draw, ReidImages
from occlureid.data.loader import Item
from occlureid.errors import UsageError
from occlureid.figures.seen import picture_of, under
from occlureid.matching import best_matches, distance_matrix
from occlureid.methods import Method
from occlureid.plots import MatchLine, contact_sheet, distance_scale, draw_matches
from occlureid.types import Cues, Descriptor, Sample

__all__ = ["grid_of", "match_figure"]

_HEIGHT = 288
_OTHERS = 16
"""Gallery images of other persons among which the nearest is looked for."""


@dataclass(frozen=True)
class _Seen:
    """An image as the method gets it, and its descriptor."""

    picture: Image.Image
    descriptor: Descriptor


def match_figure(
    method: Method[Any],
    query: Sequence[Sample],
    gallery: Sequence[Sample],
    cues: CueSource | None = None,
    *,
    count: int = 4,
    columns: int = 2,
    lines: int = 12,
    device: str | torch.device = "cpu",
) -> Image.Image | None:
    """Draws what the strongest places of some query images find in gallery images.

    Each query is drawn twice: beside an image of the same person, of another camera where there is one; and beside the image of
    somebody else that comes nearest by the method's rule, of 16 spread evenly over the gallery. Lines start at the places with
    the greatest saliency and end at their most similar place; their colour is the distance of the two vectors, 1 - cosine, by
    one scale for the whole sheet.

    Args:
        method: moved to ``device`` and left there.
        query: images to choose from, evenly; those of persons who are not in the gallery are left out.
        gallery: images to compare with.
        cues: gives the cues that the method needs to describe, see ``occlureid.described.cue_source``.
        count: queries on the sheet, at most.
        columns: pairs of images beside each other.
        lines: of a pair, at most.
        device: where the method runs.

    Returns:
        The sheet; None where the method has no local vectors, or there are no queries.

    Raises:
        UsageError: ``count``, ``columns`` or ``lines`` is below 1, no query has its person in the gallery, or the method keeps
            only some places of its map.
        MissingCueError: a needed cue is not there.
        DataError: an image or its cues cannot be read.
    """
    if min(count, columns, lines) < 1:
        raise UsageError(f"matches need count, columns and lines of at least 1, got {count}, {columns} and {lines}")
    method.to(device).eval()
    see = partial(_see, method, cues=cues, device=device)
    local = [seen.descriptor.spatial for seen in see(query[:1])]
    if not local or local[0] is None:
        return None
    grid = _grid(method, query[0], local[0].shape[1], cues, device)
    known = {s.person for s in gallery}
    queries = _spread([s for s in query if s.person in known], count)
    if not queries:
        raise UsageError(
            f"matches are drawn of queries whose person is in the gallery: none of {len(query)} queries is, with "
            f"{len(gallery)} gallery images"
        )
    pairs: list[tuple[_Seen, _Seen, str]] = []
    for sample in queries:
        (shown,) = see([sample])
        same = [s for s in gallery if s.person == sample.person and s.path != sample.path]
        same = [s for s in same if s.camera != sample.camera] or same
        others = _spread([s for s in gallery if s.person != sample.person], _OTHERS)
        for samples, who in ((same[:1], "same person"), (others, "somebody else")):
            if found := see(samples):
                there = Descriptor.cat([seen.descriptor for seen in found])
                distances = distance_matrix(method.rule, shown.descriptor, there)[0].tolist()
                best = min(range(len(found)), key=distances.__getitem__)
                pairs.append((shown, found[best], f"{who}: {round(distances[best], 3) + 0.0:.3f}"))
    if not pairs:
        raise UsageError("matches need gallery images other than the queries themselves")
    drawn = [_lines(first, second, lines, grid) for first, second, _ in pairs]
    values = [line.distance for each in drawn for line in each]
    span = (min(values, default=0.0), max(values, default=1.0))
    span = span if span[1] - span[0] > 1e-6 else (span[0], span[0] + 1e-3)
    panels = [
        draw_matches(first.picture, second.picture, each, span, height=_HEIGHT)
        for (first, second, _), each in zip(pairs, drawn, strict=True)
    ]
    sheet = contact_sheet(panels, columns, [caption for *_, caption in pairs], height=_HEIGHT)
    return under(sheet, distance_scale(span, "distance of two places"))


def grid_of(locations: int, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a map of so many places over an image: of all with this product, the one shaped most like it.

    Args:
        locations: T; place t is row t // width, column t % width.
        size: height and width of the image.
    """
    shape = math.log(size[0] / size[1])
    heights = [height for height in range(1, locations + 1) if locations % height == 0]
    best = min(heights, key=lambda height: abs(math.log(height * height / locations) - shape))
    return best, locations // best


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    number = min(count, len(samples))
    return [samples[index * len(samples) // number] for index in range(number)]


def _load(method: Method[Any], samples: Sequence[Sample], cues: CueSource | None) -> list[Item]:
    if not samples:
        return []
    images = ReidImages(samples, size=method.preprocess.size, cues=cues, crop=method.cropping(cues, "describe"))
    return [images.load(Draw(index, 0, index)) for index in range(len(samples))]


def _see(
    method: Method[Any], samples: Sequence[Sample], *, cues: CueSource | None, device: str | torch.device
) -> list[_Seen]:
    found = []
    for item in _load(method, samples, cues):
        batch = item.image[None].to(device), Cues.stack([item.cues]).to(device)
        found.append(_Seen(picture_of(item.image), method.describe(*batch).to("cpu")))
    return found


def _grid(
    method: Method[Any], sample: Sample, locations: int, cues: CueSource | None, device: str | torch.device
) -> tuple[int, int]:
    """The map that the places lie on: that of the method's attention, or the one with the shape of the image."""
    item = _load(method, [sample], cues)[0]
    with torch.inference_mode():
        attention = method.maps(item.image[None].to(device), Cues.stack([item.cues]).to(device)).attention
    if attention is None:
        return grid_of(locations, method.preprocess.size)
    height, width = attention.shape[-2:]
    if height * width != locations:
        raise UsageError(
            f"{method.name()} describes {locations} of the {height} x {width} places of its map, and nobody knows which; "
            "draw it with all of them (model.keep_locations=null)"
        )
    return height, width


def _lines(first: _Seen, second: _Seen, number: int, grid: tuple[int, int]) -> list[MatchLine]:
    """From the places of the first image with the greatest weight, as far as they have any."""
    matches = best_matches(first.descriptor, second.descriptor)
    strongest = torch.argsort(matches.weights, descending=True, stable=True)[:number].tolist()
    return [
        MatchLine(_place(t, grid), _place(int(matches.indices[t]), grid), float(matches.distances[t]))
        for t in strongest
        if int(matches.indices[t]) >= 0
    ]


def _place(t: int, grid: tuple[int, int]) -> tuple[float, float]:
    """x, y of the middle of a place, as shares of the image."""
    return (t % grid[1] + 0.5) / grid[1], (t // grid[1] + 0.5) / grid[0]
