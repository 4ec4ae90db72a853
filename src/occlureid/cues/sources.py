"""Where the cues of an image come from: folders beside the dataset that mirror its tree of images.

A cue source is called with a sample and its image's (height, width), and returns Cues in that image's pixels. For
``<root>/query/0002_c1.jpg`` the folders hold ``<root>/pose/query/0002_c1.json`` and ``<root>/parts/query/0002_c1.png``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from occlureid.cues.degraded import Degraded
from occlureid.cues.exact import ExactCues
from occlureid.cues.mirror import mirrored, stems
from occlureid.cues.part_folder import PartFolder
from occlureid.cues.placement import check_placement
from occlureid.cues.pose_folder import PoseFolder
from occlureid.cues.settings import CueSettings
from occlureid.data.loader import CueSource
from occlureid.errors import MissingCueError, UsageError
from occlureid.types import CUE_NAMES, CueName, Cues, Sample

__all__ = ["JoinedSources", "join_sources", "sources_for"]


@dataclass(frozen=True, slots=True)
class JoinedSources:
    """Several sources as one; made by ``join_sources``."""

    sources: tuple[CueSource, ...]

    def __call__(self, sample: Sample, size: tuple[int, int]) -> Cues:
        """The cues of all sources.

        Raises:
            UsageError: two sources give the same cue.
            DataError: as the sources do.
        """
        joined = Cues()
        for source in self.sources:
            cues = source(sample, size)
            if twice := joined.names & cues.names:
                raise UsageError(f"two sources give the cue {', '.join(sorted(twice))}; join sources of different cues")
            more = {name: getattr(cues, name) for name in cues.names}
            joined = replace(joined, **more, part_flip=cues.part_flip or joined.part_flip)
        return joined


def join_sources(sources: Sequence[CueSource]) -> CueSource | None:
    """One source of the cues of all; None of none."""
    if not sources:
        return None
    return sources[0] if len(sources) == 1 else JoinedSources(tuple(sources))


def sources_for(
    root: Path | str,
    needs: Iterable[CueName],
    samples: Sequence[Sample] = (),
    threshold: float | None = None,
    *,
    settings: CueSettings | None = None,
    images: Sequence[Sample] = (),
) -> CueSource | None:
    """The source of the cues that a method needs; None if it needs none.

    Args:
        root: the dataset's root, whose ``pose`` and ``parts`` folders are read unless the settings say otherwise.
        needs: names of cues.
        samples: if given, there must be a file for at least one of them: a folder whose names match nothing would
            otherwise pass for images in which nobody was found. Landmarks of most of them must lie within their images.
        threshold: see PoseFolder; that of the settings unless given.
        settings: where the cues come from, and how much they are spoiled.
        images: all of the data set, where the samples are a part of it: no two of them may share a file.

    Raises:
        MissingCueError: a folder is missing, is empty, or matches none of the samples; says what is expected where.
        UsageError: there is no such cue.
        SettingsError: the settings do not go together.
        DataError: ``truth.jsonl``, ``labels.json`` or a list is damaged, a file fits two images by its name, or landmarks are not
            in pixels of their images.
    """
    root, wanted = Path(root), frozenset(needs)
    settings = CueSettings() if settings is None else settings
    if unknown := wanted - set(CUE_NAMES):
        raise UsageError(f"no cue {sorted(unknown)[0]!r}; known: {', '.join(CUE_NAMES)}")
    if not wanted:
        return None
    source: CueSource | None
    if settings.source == "exact":
        source = ExactCues(root, wanted, labels=settings.labels or "eanet8", grouping=settings.grouping)
    else:
        source = _from_folders(root, wanted, samples, images, settings, threshold)
    return Degraded(source, settings.degrade, root) if source and settings.degrade.spoils else source


def _from_folders(
    root: Path,
    wanted: frozenset[CueName],
    samples: Sequence[Sample],
    images: Sequence[Sample],
    settings: CueSettings,
    threshold: float | None,
) -> CueSource | None:
    folder = root if settings.folder is None else Path(settings.folder)
    sources: list[PoseFolder | PartFolder] = []
    if "keypoints" in wanted:
        sources.append(PoseFolder(folder / "pose", root, settings.threshold if threshold is None else threshold))
    if maps := wanted - {"keypoints"}:
        sources.append(PartFolder(folder / "parts", root, maps, labels=settings.labels, grouping=settings.grouping))
    for source in sources:
        for image in images:
            if image.path.is_relative_to(root):
                source.has(image)  # an error where a file fits another image too
        if samples and not sum(source.has(sample) for sample in samples):
            raise MissingCueError(
                f"the cue {', '.join(sorted(source.cues))} is in {source.root} for none of the {len(samples)} images; "
                f"its files must be named as the images are below {root}, as in {_expected(source, samples[0])}"
            )
        if isinstance(source, PoseFolder):
            check_placement(source, samples)
    return join_sources(sources)


def _expected(source: PoseFolder | PartFolder, sample: Sample) -> Path:
    suffix = ".json" if isinstance(source, PoseFolder) else ".png"
    return source.root / (stems(mirrored(sample.path, source.image_root))[0] + suffix)
