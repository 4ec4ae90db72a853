"""The benchmark's world on disk, and the checksums that say whether it is the one that published figures belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from occlureid.benchmark.groups import Groups, query_groups
from occlureid.benchmark.settings import BenchmarkSettings
from occlureid.data import ReidDataset, open_dataset
from occlureid.synthetic import write_world

__all__ = ["KNOWN", "FixedWorld", "digest", "fixed_world", "image_checksum"]

KNOWN: dict[str, tuple[str, str]] = {
    "2f24733b157889f4934cd796ee115ee05529557abd5b8943a32e33aada63af84": (
        "be254bf01e3f4f37242948825a6148e8513cd7240f8b71aa763a18920668d74e",
        "88035a412dadb0c247aadc70c2bb0955bbe17bfffc6ed6563c9e43ed7750520e",
    )
}
"""By the digest of a world's settings: the checksums of its truth and of its images, where the figures in the docs were made."""


@dataclass(frozen=True)
class FixedWorld:
    """A world that is there.

    Attributes:
        dataset: its splits.
        settings: digest of the world's settings.
        truth: the dataset's checksum: paths, persons, cameras, visible fractions and obstacles.
        images: checksum of the image files' bytes.
        known: True where both are those that the docs' figures belong to, False where one is not, None where none are known
            for these settings.
    """

    dataset: ReidDataset
    settings: str
    truth: str
    images: str

    @cached_property
    def groups(self) -> Groups:
        """The groups of its queries."""
        return query_groups(self.dataset.root, self.dataset.query)

    @property
    def known(self) -> bool | None:
        """Whether it is bit for bit the published world."""
        expected = KNOWN.get(self.settings)
        return None if expected is None else expected == (self.truth, self.images)

    def sentence(self) -> str:
        """What the checksums say, in a sentence."""
        if self.known is None:
            return f"the world has settings of its own; its images have the checksum {self.images[:16]}"
        if self.known:
            return f"the world is the published one (checksum {self.images[:16]})"
        truth, images = KNOWN[self.settings]
        what = "image bytes" if truth == self.truth else "truth"
        return (
            f"the world is NOT bit for bit the published one: its {what} differ (here {self.truth[:16]} {self.images[:16]}, "
            f"published {truth[:16]} {images[:16]}); another processor, torch or Pillow may round otherwise. Figures made here "
            "compare with each other, and with published ones only as far as a few pixels do not matter"
        )


def fixed_world(
    settings: BenchmarkSettings,
    root: Path,
    *,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> FixedWorld:
    """Renders the world unless it is there, and takes its checksums.

    Args:
        settings: of the benchmark.
        root: the world's folder.
        device: that renders.
        progress: called with the images written and their number in all.

    Raises:
        DataError: the folder holds something else, or an image is gone.
    """
    dataset = open_dataset(write_world(settings.world, root, device=device, progress=progress))
    return FixedWorld(dataset, digest(settings.world.to_dict()), dataset.checksum(), image_checksum(dataset))


def image_checksum(dataset: ReidDataset) -> str:
    """sha256 over the paths and bytes of all image files, in the order of training, query and gallery."""
    found = hashlib.sha256()
    for sample in (*dataset.train, *dataset.query, *dataset.gallery):
        content = sample.path.read_bytes()
        found.update(f"{sample.path.relative_to(dataset.root).as_posix()}\t{len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()


def digest(values: object) -> str:
    """sha256 of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
