"""Matching by local vectors: each location of the query against its most similar one in the gallery image (GASM Eq. 4).

With x the local vectors and S their saliency, of a query q and a gallery image g whose maps may differ in size:

    distance = sum_t (S_t^q / sum_t' S_t'^q) min_u (1 - cos(x_t^q, x_u^g))

A location whose saliency is exactly 0 does not exist, on either side: it is left out of sum and minimum, whatever its vector
holds, also not-a-number. An image without any location is infinitely far from everything.

The query's locations are gathered one after the other, without gaps; the gallery's are moved up and cut at the largest number
that an image has, and rows that are left over are put farther away than anything. One matrix product then gives all distances
1 - s of some gallery images (its rows) to some query locations (its columns): the constant 1 lies in the vectors, so that a
product whose *result* is rounded (bfloat16) is rounded relative to the distance. The minimum over an image's rows runs along
the columns while the product is still in the processor's cache. In bfloat16 the constant is 1 + 1/64, taken off again after
the minimum: so every number is positive, rounded vectors longer than 1 or not, and the minimum may compare bits as integers,
several times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, isqrt
from typing import Literal

import torch
from torch import Tensor

from occlureid.errors import ShapeError
from occlureid.matching.kernel import unit
from occlureid.matching.locations import local_vectors
from occlureid.matching.rule import MatchRule
from occlureid.types import Descriptor

__all__ = [
    "GalleryLocations",
    "QueryLocations",
    "fill_spatial",
    "prepare_gallery",
    "prepare_query",
    "spatial_block",
]

_FAR = 4.0
"""Stands for the distance to a location that does not exist: beyond every distance, and not infinite, as 0 times it is 0."""

_LIFT = 1 / 64
"""What bfloat16 distances are lifted by: rounded vectors are at most 1 + 2^-8 long, so that 1 - s is never below -2^-6."""

_PRODUCT = 1024 * 1024
"""Numbers of one matrix product on a processor: large enough for its full speed, small enough to stay in the cache."""

_COLUMNS = 64
"""The minimum runs quickest over whole vectors of columns."""

_ALIGNMENT = 8
"""Matrix products are quickest when their sides are multiples of some vectors; more would cost more than it gains here."""

_PREPARED = 2 * 1024 * 1024
"""Bytes of intermediate results while vectors are prepared, likewise."""


@dataclass(frozen=True, slots=True)
class QueryLocations:
    """The existing locations of Q query images, R in all.

    Attributes:
        vectors: (R, W) vectors -u of length 1, with a column for the constant 1 of 1 - s.
        owner: (R,) the image of each, ascending.
        weights: (R,) its share of its image's saliency.
        known: (Q,) whether an image has any location.
    """

    vectors: Tensor
    owner: Tensor
    weights: Tensor
    known: Tensor


@dataclass(frozen=True, slots=True)
class GalleryLocations:
    """The existing locations of G gallery images, moved up.

    Attributes:
        vectors: (G, T, W) vectors u of length 1 with a column for the constant; rows beyond an image's last location are 0
            there and far away in the constant.
        known: (G,) whether an image has any location.
    """

    vectors: Tensor
    known: Tensor


def prepare_query(item: Descriptor, dtype: torch.dtype, step: int = 0) -> QueryLocations:
    """Readies the local vectors of Q query images.

    Args:
        item: the images.
        dtype: of the product.
        step: how many locations are worked on at a time, without gradient; 0 works on all at once, with gradient.

    Raises:
        ShapeError: there are no local vectors.
    """
    spatial, saliency = local_vectors(item)
    exists = saliency != 0
    owner, places = exists.nonzero(as_tuple=True)
    compute = _compute(dtype)
    weights = saliency[owner, places].to(compute)
    total = saliency.sum(1, dtype=compute)
    vectors = _vectors(spatial, owner, places, None, -1.0, dtype, step)
    return QueryLocations(vectors, owner, weights / total[owner], exists.any(1))


def prepare_gallery(item: Descriptor, dtype: torch.dtype, step: int = 0) -> GalleryLocations:
    """Readies the local vectors of G gallery images; arguments and errors as of ``prepare_query``."""
    spatial, saliency = local_vectors(item)
    exists = saliency != 0
    counts = exists.sum(1)
    most = int(counts.max()) if counts.numel() else 0
    device = exists.device
    places = torch.arange(most, device=device).expand(len(item), most)
    present = None
    if bool((counts < spatial.shape[1]).any()):
        present = (places < counts[:, None]).flatten()
        places = exists.sort(dim=1, descending=True, stable=True).indices[:, :most]
    images = torch.arange(len(item), device=device)[:, None].expand(-1, most)
    vectors = _vectors(spatial, images.flatten(), places.flatten(), present, 1.0, dtype, step)
    return GalleryLocations(vectors.view(len(item), most, vectors.shape[1]), counts > 0)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _compute(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype == torch.bfloat16 else dtype


def _vectors(
    spatial: Tensor,
    images: Tensor,
    places: Tensor,
    present: Tensor | None,
    sign: float,
    dtype: torch.dtype,
    step: int,
) -> Tensor:
    """(R, W) the vectors at (image, place), ready for the product; those not ``present`` are far away."""
    if step == 0:
        return _some_vectors(spatial, images, places, present, sign, dtype)
    result = torch.empty(len(images), _aligned(spatial.shape[2] + 1), dtype=dtype, device=spatial.device)
    for start in range(0, len(images), step):
        some = slice(start, start + step)
        there = None if present is None else present[some]
        result[some] = _some_vectors(spatial, images[some], places[some], there, sign, dtype)
    return result


def _some_vectors(
    spatial: Tensor, images: Tensor, places: Tensor, present: Tensor | None, sign: float, dtype: torch.dtype
) -> Tensor:
    rows = spatial[images, places].to(_compute(dtype))
    rows = rows if present is None else torch.where(present[:, None], rows, 0)
    norm = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    if not torch.is_grad_enabled() and len(norm) and not isfinite(float(norm.amax())):
        side = "query" if sign < 0 else "gallery"  # one such number would reach the other images of its block
        raise ShapeError(
            f"the {side}'s local vectors must be finite wherever saliency is not 0; check() names the image"
        )
    tail = rows.new_zeros(len(rows), _aligned(rows.shape[1] + 1) - rows.shape[1])
    constant = 1 + _LIFT if dtype == torch.bfloat16 and sign > 0 else 1.0
    tail[:, 0] = constant if present is None else torch.where(present, constant, _FAR)
    return torch.cat([unit(rows, norm) * sign, tail], 1).to(dtype)


def spatial_block(query: QueryLocations, gallery: GalleryLocations) -> Tensor:
    """(Q, G) distances of all images at once, with gradient; infinite where one of the two has no location.

    Needs R G T numbers at once: for losses, and for few images.
    """
    images, others = len(query.known), len(gallery.known)
    known = query.known[:, None] & gallery.known
    if len(query.owner) == 0 or gallery.vectors.shape[1] == 0:
        return query.weights.new_full((images, others), torch.inf)
    nearest = _nearest(query.vectors, gallery.vectors)
    return torch.where(known, _shares(query.owner, query.weights, images) @ nearest.T, torch.inf)


def _nearest(query: Tensor, gallery: Tensor, buffer: Tensor | None = None) -> Tensor:
    """(R, W) query and (G, T, W) gallery vectors to (G, R) distances to the nearest location of each image, float32 at least."""
    images, places, _ = gallery.shape
    rows = gallery.flatten(0, 1)
    if buffer is None:
        apart = rows @ query.T
    else:
        apart = torch.mm(rows, query.T, out=buffer[: len(rows) * len(query)].view(len(rows), len(query)))
    apart = apart.view(images, places, len(query))
    if apart.dtype != torch.bfloat16:
        return apart.amin(1)
    return apart.view(torch.int16).amin(1).view(torch.bfloat16).float().sub_(_LIFT)


def _shares(owner: Tensor, weights: Tensor, images: int) -> Tensor:
    """(images, R) the weights, each in the row of its image."""
    columns = torch.arange(len(owner), device=owner.device)
    return weights.new_zeros(images, len(owner)).index_put((owner, columns), weights)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the work is cut, so that it keeps within its memory.

    Attributes:
        query, gallery: images that are held ready.
        step: locations that are made ready at a time.
        rows, columns: gallery images and query locations of one matrix product.
        product: the numbers that it has.
    """

    query: int
    gallery: int
    step: int
    rows: int
    columns: int
    product: int


def _plan(query: Descriptor, gallery: Descriptor, memory: int, dtype: torch.dtype) -> _Plan:
    """Half for the queries, a quarter for the gallery, a sixteenth to make vectors ready, and an eighth for the product.

    What is left is for the matrix product itself. A number of the product may cost 12 bytes: the number itself, its minimum
    (as many where images have a single location), and the weights.
    """
    (_, places, size), (_, other_places, _) = local_vectors(query)[0].shape, local_vectors(gallery)[0].shape
    width = _aligned(size + 1)
    location = width * dtype.itemsize + 64
    product = max(memory // 8 // 12, other_places, 1)
    if query.global_.device.type == "cpu":  # elsewhere large products are the quick ones
        product = max(min(product, _PRODUCT), other_places)
    rows = _between(isqrt(product) // max(other_places, 1), len(gallery))
    columns = max(1, product // max(rows * other_places, 1))
    return _Plan(
        query=_between(memory // 2 // (places * location + 1), len(query)),
        gallery=_between(memory // 4 // (other_places * location + 1), len(gallery)),
        step=max(1, min(memory // 16, _PREPARED) // (32 * width)),
        rows=rows,
        columns=columns if columns < _COLUMNS else columns // _COLUMNS * _COLUMNS,
        product=product,
    )


def _between(wanted: int, most: int) -> int:
    return max(1, min(wanted, most))


def fill_spatial(
    rule: MatchRule,
    query: Descriptor,
    gallery: Descriptor,
    memory: int,
    precision: Literal["float32", "bfloat16"],
    out: Tensor,
) -> None:
    """Writes the distances by local vectors to ``out`` (Q, G), or mixes them into the distances that it holds.

    Works on blocks that need no more than ``memory`` bytes beside ``out``, or those of a single pair of images. The queries
    are made ready once; the gallery too where it fits, otherwise once for each block of queries.

    Raises:
        ShapeError: a location that exists has a vector that is not finite.
    """
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    plan = _plan(query, gallery, memory, dtype)
    if rule.spatial_weight == 1:
        out.zero_()
    else:
        out.mul_(1 - rule.spatial_weight)
    buffer = torch.empty(plan.product, dtype=dtype, device=out.device)
    fits = plan.gallery >= len(gallery)
    kept = prepare_gallery(gallery, dtype, plan.step) if fits else None
    for top in range(0, len(query), plan.query):
        down = slice(top, top + plan.query)
        ready = prepare_query(query[down], dtype, plan.step)
        for left in range(0, len(gallery), plan.gallery):
            across = slice(left, left + plan.gallery)
            other = kept if kept is not None else prepare_gallery(gallery[across], dtype, plan.step)
            _add(ready, other, rule.spatial_weight, plan, buffer, out[down, across])
            del other  # before the next ones are made
        del ready


def _add(
    query: QueryLocations, gallery: GalleryLocations, factor: float, plan: _Plan, buffer: Tensor, out: Tensor
) -> None:
    """Adds ``factor`` times the distances to ``out``."""
    for start in range(0, len(query.owner) if gallery.vectors.shape[1] else 0, plan.columns):
        some = slice(start, start + plan.columns)
        owner = query.owner[some]
        first, last = int(owner[0]), int(owner[-1])
        shares = _shares(owner - first, query.weights[some] * factor, last + 1 - first)
        for left in range(0, len(gallery.known), plan.rows):
            across = slice(left, left + plan.rows)
            nearest = _nearest(query.vectors[some], gallery.vectors[across], buffer)
            out[first : last + 1, across].addmm_(shares, nearest.T)
    out.masked_fill_(~query.known[:, None], torch.inf)
    out.masked_fill_(~gallery.known, torch.inf)
