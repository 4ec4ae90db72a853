"""Some output values of a model, by which it is told whether it still is what it was, and whether half precision changed it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlureid.cues.providers import ImageArray
from occlureid.errors import DataError
from occlureid.matching import distance_matrix
from occlureid.zoo.loaded import CueModel, Embedder
from occlureid.zoo.pictures import canonical_pictures
from occlureid.zoo.record import Canonical

__all__ = ["TOLERANCE", "canonical_values", "check_canonical", "greatest_change"]

TOLERANCE = 0.005
"""By which an output value may differ between machines: single precision leaves a hundredth of it, a pixel that falls to another
part up to a third of it."""

_KEPT = 8
"""Numbers of a vector that are kept, spread evenly over it."""


def canonical_values(model: Embedder | CueModel) -> dict[str, tuple[tuple[float, ...], ...]]:
    """Some output values for each of ``canonical_pictures``.

    Of an embedder numbers of the global vectors and of all parts' vectors, each of length 1, the visibilities, and the distances
    between the pictures by its rule (1 where nothing can be compared, divided by the greatest otherwise); of a parser the share
    of each part; of a landmark network places as shares of the image, and confidences.
    """
    pictures = canonical_pictures()
    found = _outputs(model, pictures)
    if isinstance(model, Embedder):
        descriptor = model.describe(pictures)
        distances = distance_matrix(model.rule, descriptor, descriptor).double()
        finite = torch.isfinite(distances)
        scale = distances[finite].abs().max().clamp_min(1e-6) if bool(finite.any()) else distances.new_tensor(1.0)
        found["distances"] = torch.where(finite, distances / scale, 1.0)
        for name in ("global", "parts"):
            if name in found:
                found[name] = _some(found[name])
    elif "part_map" in found:
        found = {"part_map": found["part_map"].mean((2, 3))}
    return {name: _rows(value) for name, value in found.items()}


def _some(vectors: Tensor) -> Tensor:
    """(..., C) to (..., at most 8), spread evenly."""
    length = vectors.shape[-1]
    return vectors[..., [number * length // min(_KEPT, length) for number in range(min(_KEPT, length))]]


def _rows(value: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(number, 6) for number in row) for row in value.double().flatten(1).tolist())


def _outputs(model: Embedder | CueModel, pictures: Sequence[ImageArray]) -> dict[str, Tensor]:
    """What a model says of pictures of one size, in numbers that can be compared: vectors have length 1, or 0."""
    if isinstance(model, Embedder):
        descriptor = model.describe(list(pictures))
        found = {"global": _unit(descriptor.global_)}
        if descriptor.parts.shape[1]:
            shown = descriptor.visibility[..., None] > 0
            found |= {"parts": _unit(descriptor.parts.where(shown, 0.0)), "visibility": descriptor.visibility}
        if descriptor.spatial is not None and descriptor.saliency is not None and model.rule.spatial_weight > 0:
            found["saliency"] = _unit(descriptor.saliency)
        return found
    cues = model(list(pictures))
    found = {}
    if all(one.part_map is not None for one in cues):
        found["part_map"] = torch.stack([one.require("part_map") for one in cues])
    if all(one.keypoints is not None for one in cues):
        height, width = pictures[0].shape[:2]
        found["keypoints"] = torch.stack([one.require("keypoints") for one in cues]) / torch.tensor(
            [width, height, 1.0]
        )
    return found


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors.float(), dim=-1)


def greatest_change(
    first: Embedder | CueModel, second: Embedder | CueModel, pictures: Sequence[ImageArray]
) -> dict[str, float]:
    """How much two models differ in what they say of some pictures of one size, at most, by output.

    Of vectors the length of the difference of the vectors of length 1; of visibilities the difference; of part maps the mean over
    an image's pixels of the greatest difference of a part; of landmarks the distance as a share of the image, where both models
    are at least half as sure as they are of their surest, and the difference in confidence.
    """
    one, other = _outputs(first, pictures), _outputs(second, pictures)
    found = {}
    for name, value in one.items():
        difference = (value - other[name]).double()
        if name in ("global", "parts", "saliency"):
            found[name] = float(difference.norm(dim=-1).max())
        elif name == "part_map":
            found[name] = float(difference.abs().amax(1).mean((1, 2)).max())
        elif name == "keypoints":
            sure = [part[..., 2] >= 0.5 * part[..., 2].max() for part in (value, other[name])]
            found["keypoints"] = float((difference[..., :2].norm(dim=-1) * (sure[0] & sure[1])).max())
            found["confidence"] = float(difference[..., 2].abs().max())
        else:
            found[name] = float(difference.abs().max())
    return found


def check_canonical(model: Embedder | CueModel, expected: Canonical) -> None:
    """Compares a model's output values with those of its record.

    Raises:
        DataError: an output is missing, or a value differs by more than the tolerance; the first is named.
    """
    found = canonical_values(model)
    if found.keys() != expected.values.keys():
        raise DataError(f"{model.name}: gives {sorted(found)}, its record has values of {sorted(expected.values)}")
    for name, rows in expected.values.items():
        now, then = (_array(values, f"{model.name}: {name}") for values in (found[name], rows))
        if now.shape != then.shape:
            raise DataError(f"{model.name}: {name} has the shape {now.shape}, in its record {then.shape}")
        difference = np.abs(now - then)
        if not difference.size or difference.max() <= expected.tolerance:
            continue
        place = np.unravel_index(difference.argmax(), difference.shape)
        raise DataError(
            f"{model.name}: value {int(place[1])} of {name} for picture {int(place[0])} is {now[place]:.6f}, its record says "
            f"{then[place]:.6f} (tolerance {expected.tolerance:g}): the file, or something that describing rests on, has changed"
        )


def _array(values: Sequence[Sequence[float]], what: str) -> NDArray[np.float64]:
    if len({len(row) for row in values}) > 1:
        raise DataError(f"{what}: rows of different lengths")
    return np.array(values, np.float64)
