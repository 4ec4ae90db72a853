"""What a report is written from: one evaluated run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from occlureid.errors import DataError
from occlureid.evaluation import Report
from occlureid.types import Descriptor, Region, Sample

__all__ = ["Run"]


@dataclass(frozen=True, eq=False)
class Run:
    """One evaluated run.

    Attributes:
        name: as it stands in the tables; unique in a report.
        report: its figures.
        query, gallery: the samples that the report was made from, in the same order.
        descriptors: of query and gallery, to show what each pair's distance is made of; None shows the distance alone.
        regions: where the parts lie, to draw them; empty where that is not fixed.
        commands: command lines that made the run.
        sheets: pictures of what the method sees, as ``occlureid figures`` draws them; each is titled by its file's name.
    """

    name: str
    report: Report
    query: Sequence[Sample]
    gallery: Sequence[Sample]
    descriptors: tuple[Descriptor, Descriptor] | None = None
    regions: tuple[Region, ...] = ()
    commands: tuple[str, ...] = ()
    sheets: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        counts = self.report.counts
        if (len(self.query), len(self.gallery)) != (counts.query, counts.gallery):
            raise DataError(
                f"run {self.name!r}: the report is of {counts.query} query and {counts.gallery} gallery images, "
                f"got {len(self.query)} and {len(self.gallery)} samples"
            )
        if self.descriptors is not None:
            query, gallery = self.descriptors
            if (len(query), len(gallery)) != (counts.query, counts.gallery):
                raise DataError(
                    f"run {self.name!r}: the report is of {counts.query} query and {counts.gallery} gallery images, "
                    f"got {len(query)} and {len(gallery)} descriptors"
                )
            if self.regions and len(self.regions) != query.parts.shape[1]:
                raise DataError(f"run {self.name!r}: {len(self.regions)} regions for {query.parts.shape[1]} parts")
