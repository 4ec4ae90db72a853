"""The cues of a dataset whose images come from several folders: each folder has its own cues beside its images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from occlureid.cues.settings import CueSettings
from occlureid.cues.sources import sources_for
from occlureid.data.dataset import ReidDataset
from occlureid.data.loader import CueSource
from occlureid.errors import DataError
from occlureid.types import CueName, Cues, Sample

__all__ = ["RootedSources", "sources_for_dataset"]


@dataclass(frozen=True, slots=True)
class RootedSources:
    """A source for each folder of images; made by ``sources_for_dataset``.

    Attributes:
        sources: (folder, source of the images below it), the innermost folder first.
    """

    sources: tuple[tuple[Path, CueSource], ...]

    def __call__(self, sample: Sample, size: tuple[int, int]) -> Cues:
        """The cues from the source of the folder that the image is in.

        Raises:
            DataError: the image is in none of the folders; or as the source does.
        """
        for root, source in self.sources:
            if sample.path.is_relative_to(root):
                return source(sample, size)
        raise DataError(f"{sample.path}: is below none of {', '.join(str(root) for root, _ in self.sources)}")


def sources_for_dataset(
    dataset: ReidDataset,
    needs: Iterable[CueName],
    samples: Sequence[Sample],
    threshold: float | None = None,
    *,
    settings: CueSettings | None = None,
) -> CueSource | None:
    """As ``sources_for``, for the samples of a dataset that may come from several folders (``dataset.roots``).

    Args:
        dataset: the dataset.
        needs: names of cues.
        samples: those to be loaded; folders that hold none of them need no cues.
        threshold: see ``PoseFolder``; that of the settings unless given.
        settings: where the cues come from, and how much they are spoiled.

    No two images of the dataset, samples or not, may share a file of cues.

    Returns:
        None if nothing is needed.

    Raises:
        MissingCueError: as ``sources_for``, for any of the folders.
        UsageError: there is no such cue.
        DataError: as ``sources_for``.
    """
    needs = tuple(needs)
    roots = sorted(dataset.roots, key=lambda root: -len(root.parts))

    def grouped(samples: Iterable[Sample]) -> dict[Path, list[Sample]]:
        groups: dict[Path, list[Sample]] = {}
        for sample in samples:
            root = next((root for root in roots if sample.path.is_relative_to(root)), dataset.root)
            groups.setdefault(root, []).append(sample)
        return groups

    def source_of(root: Path) -> CueSource | None:
        return sources_for(
            root, needs, groups.get(root, []), threshold, settings=settings, images=everything.get(root, [])
        )

    groups, everything = grouped(samples), grouped((*dataset.train, *dataset.query, *dataset.gallery))
    if len(groups) <= 1:
        return source_of(next(iter(groups), dataset.root))
    found = [(root, source_of(root)) for root in roots if root in groups]
    sources = tuple((root, source) for root, source in found if source is not None)
    return RootedSources(sources) if sources else None
