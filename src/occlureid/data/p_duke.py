"""P-DukeMTMC-reID (Zhuo et al., ICME 2018): occluded and whole images of DukeMTMC-reID, in folders by kind and person."""

from __future__ import annotations

from pathlib import Path

from occlureid.data.body_folders import body_samples
from occlureid.data.dataset import Counts, ReidDataset
from occlureid.types import Protocol, Sample

__all__ = ["P_DUKE", "P_DUKE_COUNTS", "P_DUKE_FOLDERS", "read_p_duke"]

# The three splits as later papers quote them; they add up to the 24,143 images and 1,299 persons that the authors state.
P_DUKE_COUNTS = Counts(12_927, 665, 2_163, 634, 9_053, 634)

P_DUKE = Protocol("p-dukemtmc", ignore="none", junk=())
"""Query and gallery count as two cameras, whatever the names say, as all published evaluations have it."""

P_DUKE_FOLDERS: tuple[str, ...] = tuple(
    f"{split}/{kind}_body_images" for split in ("train", "test") for kind in ("occluded", "whole")
)


def read_p_duke(root: Path) -> ReidDataset:
    """``{train,test}/{occluded,whole}_body_images/<person>/*.jpg``: occluded test images are the queries, whole the gallery.

    A file's person is the number before the first ``_`` of its name. Its camera is what it shows, "occluded" or "whole".

    Raises:
        DataError: a folder is missing or empty, or a name does not say who.
    """

    def samples(place: str) -> tuple[Sample, ...]:
        kind = place.split("/")[1].removesuffix("_body_images")
        return tuple(Sample(s.path, s.person, kind) for s in body_samples(root / place, kind))

    train_occluded, train_whole, query, gallery = map(samples, P_DUKE_FOLDERS)
    return ReidDataset("p-dukemtmc", root, (*train_occluded, *train_whole), query, gallery, P_DUKE, P_DUKE_COUNTS)
