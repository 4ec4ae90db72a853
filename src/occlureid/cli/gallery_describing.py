"""Descriptors of crops for galleries, with cues from files or from the package's networks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from occlureid.cli.gallery_crops import UNKNOWN, Crop, has_cues
from occlureid.data import ReidDataset, Tally
from occlureid.described import cue_source
from occlureid.describing import Describer
from occlureid.errors import DataError
from occlureid.types import Descriptor, Protocol, Sample
from occlureid.zoo.cue_models import model_cues

__all__ = ["CropDescriber"]


class CropDescriber:
    """Describes crops of files and of boxes, with cues from where they are.

    Without networks in the describer, cues come from the folders of cues beside the images; where there are none, and for boxes
    of larger pictures, from the package's own networks.

    Args:
        describer: of the gallery's weights.
    """

    def __init__(self, describer: Describer) -> None:
        self.describer = describer
        self._computing: Describer | None = None

    def describe(
        self,
        root: Path,
        crops: Sequence[Crop],
        *,
        batch_size: int,
        on_corrupt: Literal["fatal", "skip"],
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[Descriptor | None, list[int], dict[str, str]]:
        """Describes crops whose cues, if there are files of them, lie below ``root``.

        Returns:
            The descriptors of those that could be read (None if none could), their numbers, and the ids of the others with why.

        Raises:
            DataError: one cannot be read, and that is fatal.
            MissingCueError: the method needs a cue that the folders lack, or that no network of the package gives.
        """
        samples = [Sample(crop.path, crop.item.person or UNKNOWN, crop.item.camera) for crop in crops]
        boxes = [crop.item.box for crop in crops]
        describer = self._with_cues(root, samples, boxed=any(boxes))
        tally = Tally()
        descriptor: Descriptor | None
        try:
            descriptor, kept = describer.samples(
                samples, boxes, batch_size=batch_size, on_corrupt=on_corrupt, progress=progress, tally=tally
            )
        except DataError:
            if tally.images or len(tally.failed) < len(samples):
                raise
            descriptor, kept = None, []
        if descriptor is not None and describer.rule.spatial_weight == 0:
            descriptor = replace(descriptor, spatial=None, saliency=None)
        return descriptor, kept, {crops[index].item.id: reason for index, reason in tally.failed.items()}

    def _with_cues(self, root: Path, samples: Sequence[Sample], *, boxed: bool) -> Describer:
        own, method = self.describer, self.describer.method
        if own.cues is not None or not method.wants("describe"):
            return own
        if has_cues(root) and not boxed:
            dataset = ReidDataset("crops", root, (), (), tuple(samples), Protocol("crops"))
            cues = cue_source(method, dataset, samples)
            return Describer(method, cues, device=own.device, precision=own.precision)
        if self._computing is None:
            networks = model_cues(method, device=str(own.device))
            names = ", ".join(source.provider.fingerprint for source in networks.sources) if networks else "none"
            print(f"cues: computed by {names} of this package, since no files hold them", file=sys.stderr)
            self._computing = Describer(method, networks, device=own.device, precision=own.precision)
        return self._computing
