"""What the names alone tell: counts, persons, cameras, junk, and the queries that nothing can be found for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from occlureid.data.dataset import ReidDataset
from occlureid.data.readers import Layout
from occlureid.doctor.findings import Finding, Level, finding
from occlureid.evaluation.truth import find_truth
from occlureid.types import Sample

__all__ = ["SPLITS", "check_splits", "named"]

SPLITS: tuple[str, ...] = ("train", "query", "gallery")


def named(path: Path, root: Path) -> str:
    """An image's name in a finding: its path below the root, where it is below it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def check_splits(dataset: ReidDataset, layout: Layout) -> Iterator[Finding]:
    """Every finding that needs no image to be opened.

    Args:
        dataset: the dataset.
        layout: what it was read as.
    """
    yield from _terms(layout)
    if differences := dataset.count_differences():
        yield Finding(
            "warning",
            "counts",
            f"{len(differences)} counts are not the published ones: numbers do not compare with the literature's",
            "if you meant a subset, nothing; otherwise unpack the archive again, and look for files left behind",
            len(differences),
            tuple(line.partition(": ")[2] for line in differences),
        )
    yield from _persons(dataset, layout)
    yield from _cameras(dataset)
    yield from _junk(dataset)
    yield from _queries(dataset)


def _terms(layout: Layout) -> Iterator[Finding]:
    if layout.withdrawn:
        yield Finding("warning", "withdrawn", f"this data set is withdrawn. {layout.withdrawn}")
    elif layout.terms:
        yield Finding("note", "terms", f"these images are {layout.terms}")


def _groups(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.person].append(sample)
    return groups


def _persons(dataset: ReidDataset, layout: Layout) -> Iterator[Finding]:
    train = _groups(dataset.train)
    junk = set(dataset.protocol.junk)
    tested = {sample.person for sample in (*dataset.query, *dataset.gallery)} - junk
    if not train:
        yield Finding(
            "note",
            "no_training",
            "there is nothing to train on: this set is there to evaluate on",
            "train on another one, named with --also of occlureid train (with_training in Python)",
        )
    if not layout.separate_ids and (both := train.keys() & tested):
        yield finding(
            "error",
            "persons_overlap",
            "{number} persons are trained on and tested on: numbers from this data say nothing about strangers",
            "move each person to one side; if equal numbers are different people, give them different ids",
            both,
        )
    if single := [person for person, samples in train.items() if len(samples) == 1]:
        yield finding(
            "note",
            "one_image",
            "{number} training persons have one image: a metric loss finds no second one to compare it with",
            "nothing, or leave them out",
            single,
        )
    if one := [p for p, samples in train.items() if len(samples) > 1 and len({s.camera for s in samples}) == 1]:
        yield finding(
            "note",
            "one_camera_persons",
            "{number} training persons are seen by one camera only: they teach nothing about the change of camera",
            names=one,
        )
    asked = {sample.person for sample in dataset.query}
    if spare := tested - asked:
        yield finding(
            "note", "distractors", "{number} gallery persons have no query: they are there to mislead", names=spare
        )
    if strange := [s for split in SPLITS for s in getattr(dataset, split) if _other_folder(s)]:
        yield finding(
            "warning",
            "folder_person",
            "{number} images lie in the folder of another person than their name says; the name counts, as in published code",
            "find out which of the two is right",
            {named(sample.path, dataset.root) for sample in strange},
        )


def _other_folder(sample: Sample) -> bool:
    """The image is ``<number>/<other number>_...``, and its person is the number in the name."""
    folder, name = sample.path.parent.name, sample.path.name.partition("_")[0]
    if not (folder.isascii() and folder.isdigit() and name.isascii() and name.isdigit()):
        return False
    return name == sample.person and int(folder) != int(name)


def _cameras(dataset: ReidDataset) -> Iterator[Finding]:
    cameras = {sample.camera for sample in (*dataset.query, *dataset.gallery)}
    if len(cameras) == 1:
        rule = (
            "a query then ignores only its own file, so that numbers come out far too good"
            if dataset.protocol.ignore == "same_image"
            else "the rule that a query ignores its own camera then leaves no true match at all"
        )
        yield Finding(
            "warning",
            "one_camera",
            f"query and gallery have one camera ({', '.join(cameras)}): {rule}",
            "give the images their cameras; if there is only one, read them as a folder or a CSV file of one's own, and say "
            "so wherever you quote a number",
        )


def _junk(dataset: ReidDataset) -> Iterator[Finding]:
    junk = [sample for sample in dataset.gallery if sample.person in dataset.protocol.junk]
    if junk:
        yield finding(
            "note",
            "junk",
            f"{{number}} gallery images are junk (person {', '.join(sorted({s.person for s in junk}))}) and left out of every "
            "ranking",
            names=(named(sample.path, dataset.root) for sample in junk),
        )


def _queries(dataset: ReidDataset) -> Iterator[Finding]:
    """The queries without a true match, by the reason."""
    truth = find_truth(dataset.query, dataset.gallery, dataset.protocol)
    present = {sample.person for sample in dataset.gallery} - set(dataset.protocol.junk)
    absent: list[str] = []
    hidden: list[str] = []
    for sample, positives in zip(dataset.query, truth.positives, strict=True):
        if len(positives) == 0:
            name = f"{named(sample.path, dataset.root)} (person {sample.person}, camera {sample.camera})"
            (hidden if sample.person in present else absent).append(name)
    level: Level = "error" if len(absent) + len(hidden) == len(dataset.query) else "warning"
    if absent:
        yield finding(
            level,
            "query_not_in_gallery",
            "{number} queries ask for persons of whom the gallery has no image; they cannot be scored",
            "add images of these persons to the gallery, or leave the queries out; check that both number persons alike",
            absent,
        )
    if hidden:
        why = {
            "same_camera": "is of the query's own camera, which the protocol ignores",
            "same_image": "is the query itself, which the protocol ignores",
        }.get(dataset.protocol.ignore, "is ignored")
        yield finding(
            level,
            "query_only_ignored",
            f"{{number}} queries have no true match left: every gallery image of their person {why}; they cannot be scored",
            "add gallery images of these persons from other cameras, or leave the queries out; if the names do not tell the "
            "cameras, see the layout's options",
            hidden,
        )
