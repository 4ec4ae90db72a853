"""Which locations of its map an image is compared by: maps of different sizes side by side, and only the salient locations.

A location whose saliency is exactly 0 does not exist (see ``spatial``), so that padding changes no distance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from occlureid.errors import ShapeError
from occlureid.types import Descriptor

__all__ = ["join_padded", "local_vectors", "pad_locations", "prune"]


def local_vectors(item: Descriptor) -> tuple[Tensor, Tensor]:
    """(N, T, S) local vectors and (N, T) saliency.

    Raises:
        ShapeError: there are none.
    """
    if item.spatial is None or item.saliency is None:
        raise ShapeError("local vectors are needed, but spatial is None")
    return item.spatial, item.saliency


def pad_locations(item: Descriptor, places: int) -> Descriptor:
    """The same images with maps of ``places`` locations; the new ones do not exist, so that no distance changes.

    Raises:
        ShapeError: there are no local vectors, or more than ``places`` already.
    """
    spatial, saliency = local_vectors(item)
    more = places - spatial.shape[1]
    if more < 0:
        raise ShapeError(f"T={spatial.shape[1]} locations cannot be padded to {places}; prune drops locations")
    return replace(item, spatial=F.pad(spatial, (0, 0, 0, more)), saliency=F.pad(saliency, (0, more)))


def join_padded(items: Iterable[Descriptor]) -> Descriptor:
    """Joins descriptors of the same model along N, whose maps may differ in size.

    Raises:
        FingerprintError: they come from different models.
        ShapeError: nothing to join, or an item has no local vectors.
    """
    items = list(items)
    most = max((local_vectors(item)[0].shape[1] for item in items), default=0)
    return Descriptor.cat(pad_locations(item, most) for item in items)


def prune(item: Descriptor, keep: int) -> Descriptor:
    """Only the ``keep`` most salient locations of each image, in their old order (of equally salient ones, the first).

    The query's saliency is then shared out among what is left.

    Args:
        item: N images with (N, T) saliency.
        keep: at least 1; with T or more nothing is dropped.

    Raises:
        ShapeError: there are no local vectors, or ``keep`` is not positive.
    """
    spatial, saliency = local_vectors(item)
    if keep < 1:
        raise ShapeError(f"at least 1 location must be kept, got keep={keep}")
    if keep >= spatial.shape[1]:
        return item
    places = saliency.sort(dim=1, descending=True, stable=True).indices[:, :keep].sort(dim=1).values
    images = torch.arange(len(item), device=places.device)[:, None]
    return replace(item, spatial=spatial[images, places], saliency=saliency[images, places])
