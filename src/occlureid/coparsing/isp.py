"""The "+ISP" of HCGA's Table VI: part labels by clustering, with which HCGA's co-parsing is compared.

The cascaded clustering of Zhu et al., "Identity-Guided Human Semantic Parsing for Person Re-Identification" (ECCV 2020): all
pixels of one person are divided into foreground and background by how strongly they are activated, and those of the
foreground into parts by what their features are like; parts are numbered by their mean height.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from occlureid.coparsing.persons import PersonImages, PersonParsing
from occlureid.coparsing.settings import ClusterSettings
from occlureid.errors import ShapeError, UsageError

__all__ = ["cluster_parts"]


def cluster_parts(
    persons: Iterable[PersonImages], settings: ClusterSettings | None = None, *, seed: int
) -> Iterator[PersonParsing]:
    """Part labels for all images of each of some persons, by clustering.

    The activation of a pixel is the length x of its feature, as a share of the longest in its image, or with
    ``activation="sigmoid"`` 1 / (1 + exp(-5 (2 x - 1) - 3)) of it. k-means divides the activations into two; the stronger are
    foreground. Features of the foreground are brought to length one and divided by k-means into the parts, which are numbered
    from top to bottom by the mean row of their pixels.

    Args:
        persons: asked for one after another. Unlike co-parsing this works for a person with one image, too.
        settings: of the clustering.
        seed: of the run, at least 0; with a person's label it fixes where the clustering starts.

    Yields:
        One result a person, in the order given. ``clusters`` are the parts before they were put in order; ``steps`` is 0.

    Raises:
        UsageError: scikit-learn is not installed.
        ShapeError: a feature is not finite.
    """
    settings = settings or ClusterSettings()
    means = _k_means()
    for person in persons:
        state = int(np.random.SeedSequence((seed, person.person)).generate_state(1)[0])
        yield _cluster(person, settings, means, state)


def _k_means() -> Any:
    try:
        from sklearn.cluster import KMeans  # type: ignore[import-untyped]
    except ImportError as error:
        raise UsageError(
            "labels by clustering need scikit-learn; install it with: pip install 'occlureid[cluster]'"
        ) from error
    return KMeans


def _cluster(person: PersonImages, settings: ClusterSettings, means: Any, state: int) -> PersonParsing:
    features = person.features.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(features).all()):
        raise ShapeError(f"features of person {person.person} must be finite")
    count, _, height, width = features.shape

    def divide(values: Tensor, number: int) -> npt.NDArray[np.int64]:
        with (
            warnings.catch_warnings()
        ):  # fewer different values than clusters are fewer clusters, and no cause for alarm
            warnings.simplefilter("ignore")
            found = means(number, n_init=settings.restarts, max_iter=settings.iterations, random_state=state)
            labels: npt.NDArray[np.int64] = found.fit_predict(values.numpy()).astype(np.int64)
        return labels

    strength = features.norm(dim=1)
    strength = strength / strength.amax((1, 2), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    empty = torch.zeros(count, height, width, dtype=torch.uint8)
    nobody = torch.zeros(count, dtype=torch.bool)
    if float(strength.min()) == float(strength.max()):
        return PersonParsing(person.person, person.indices, empty, nobody, empty.clone(), 0, 1, "no background")
    if settings.activation == "sigmoid":
        strength = torch.sigmoid(5 * (2 * strength - 1) + 3)
    sides = torch.from_numpy(divide(strength.view(-1, 1), 2)).view_as(strength)
    stronger = int(strength[sides == 1].mean() > strength[sides == 0].mean())
    foreground = sides == stronger
    pixels = torch.nn.functional.normalize(features.permute(0, 2, 3, 1)[foreground], dim=1)
    number = min(settings.parts, len(pixels))
    parts = torch.from_numpy(divide(pixels, number))
    rows = torch.arange(height)[:, None].expand(count, height, width)[foreground].double()
    present = torch.bincount(parts).nonzero().flatten().tolist()
    ordered = sorted(present, key=lambda part: (float(rows[parts == part].mean()), part))
    table = torch.zeros(number, dtype=torch.uint8)
    for place, part in enumerate(ordered):
        table[part] = 1 + place
    labels, clusters = empty.clone(), empty.clone()
    labels[foreground] = table[parts]
    clusters[foreground] = (1 + parts).to(torch.uint8)
    known = foreground.flatten(1).any(1)
    reasons = ["fewer parts"] if len(present) < settings.parts else []
    reasons += ["no foreground in some images"] if not bool(known.all()) else []
    left = int((torch.bincount(clusters.flatten().long()) > 0).sum())
    return PersonParsing(person.person, person.indices, labels, known, clusters, 0, left, ", ".join(reasons))
