"""A dataset as every stage sees it: three lists of samples, a protocol, and the counts that its authors published."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from occlureid.errors import DataError
from occlureid.types import Protocol, Sample

__all__ = ["Counts", "ReidDataset", "label_map"]


@dataclass(frozen=True, slots=True)
class Counts:
    """Images and persons of each split, junk left out of the persons; None where nobody published the number."""

    train_images: int | None = None
    train_persons: int | None = None
    query_images: int | None = None
    query_persons: int | None = None
    gallery_images: int | None = None
    gallery_persons: int | None = None


@dataclass(frozen=True)
class ReidDataset:
    """What a reader returns. The samples are sorted by path; ids and cameras are the dataset's own.

    Attributes:
        name: the layout ("market1501", ...).
        root: the folder read.
        train, query, gallery: the samples of each split.
        protocol: which gallery images a query ignores, and the ranks quoted.
        expected: the counts its authors published, or None for data of one's own.
        more_roots: further folders that training images come from, where several sets were joined.
        joined: the names of the sets that training images come from, where they were joined; empty for the set's own.
    """

    name: str
    root: Path
    train: tuple[Sample, ...]
    query: tuple[Sample, ...]
    gallery: tuple[Sample, ...]
    protocol: Protocol
    expected: Counts | None = None
    more_roots: tuple[Path, ...] = ()
    joined: tuple[str, ...] = ()

    @property
    def trained_on(self) -> tuple[str, ...]:
        """The names of the sets that its training images come from; none where it has none."""
        return (self.joined or (self.name,)) if self.train else ()

    @property
    def roots(self) -> tuple[Path, ...]:
        """Every folder that images come from; each has its own folders of cues."""
        return (self.root, *self.more_roots)

    def counts(self) -> Counts:
        """The counts found."""

        def persons(samples: Iterable[Sample]) -> int:
            return len({s.person for s in samples} - set(self.protocol.junk))

        return Counts(
            len(self.train),
            persons(self.train),
            len(self.query),
            persons(self.query),
            len(self.gallery),
            persons(self.gallery),
        )

    def count_differences(self) -> list[str]:
        """One line for each count that is not the published one; empty where all agree or none were published."""
        if self.expected is None:
            return []
        found = self.counts()
        lines = []
        for field in fields(Counts):
            want, got = getattr(self.expected, field.name), getattr(found, field.name)
            if want is not None and want != got:
                lines.append(f"{self.name} at {self.root}: expected {want} {field.name.replace('_', ' ')}, found {got}")
        return lines

    def check_counts(self) -> None:
        """Raises:
        DataError: a count is not the published one; all such counts are named.
        """  # noqa: D205
        if lines := self.count_differences():
            raise DataError("\n".join(lines))

    def checksum(self) -> str:
        """sha256 over the sorted relative paths, ids and cameras of all splits: names the data that a number belongs to.

        Where it is known how much of a person is visible and what hides the rest, that counts too: two rendered worlds of the
        same size have the same file names.
        """
        digest = hashlib.sha256()
        for split in ("train", "query", "gallery"):
            for s in getattr(self, split):
                root = next((root for root in self.roots if s.path.is_relative_to(root)), None)
                path = s.path.relative_to(root) if root is not None else s.path
                known = "" if s.visible_fraction is None else f"\t{s.visible_fraction!r}\t{s.obstacle}"
                digest.update(f"{split}\t{path.as_posix()}\t{s.person}\t{s.camera}{known}\n".encode())
        return digest.hexdigest()


def label_map(samples: Sequence[Sample]) -> dict[str, int]:
    """Training labels: the rank of each person among the sorted ids; the same in every process."""
    return {person: label for label, person in enumerate(sorted({s.person for s in samples}))}
