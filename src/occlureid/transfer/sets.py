"""The datasets of a matrix: opened, named as its rows and columns are, and checked before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from occlureid.data import LAYOUTS, ReidDataset, open_dataset
from occlureid.errors import DataError, UsageError

__all__ = ["check_sets", "is_one", "open_sets"]


def open_sets(training: Sequence[str], test: Sequence[str]) -> tuple[dict[str, ReidDataset], dict[str, ReidDataset]]:
    """Opens datasets and names them: published sets by their layout, those of one's own and all that share a layout by folder.

    Args:
        training: folders or CSV files; ``LAYOUT=PATH`` where a layout cannot be told by what is in the folder.
        test: likewise; a set that is also trained on gets the same name.

    Returns:
        The training sets and the test sets by name, in the order given.

    Raises:
        UsageError: a set is given twice, or two sets would have one name.
        DataError: a set cannot be read.
    """
    opened: dict[tuple[Path, str], ReidDataset] = {}
    keys: dict[str, list[tuple[Path, str]]] = {"--train": [], "--test": []}
    for option, places in (("--train", training), ("--test", test)):
        for place in places:
            layout, path = _split(place)
            dataset = open_dataset(path, layout)
            key = path.resolve(), dataset.name
            if key in keys[option]:
                raise UsageError(f"{option} {path}: is given twice; a set is one row, or one column, of the matrix")
            keys[option].append(key)
            opened.setdefault(key, dataset)
    number = Counter(dataset.name for dataset in opened.values())
    names = {
        key: data.name if data.expected and number[data.name] == 1 else data.root.resolve().name
        for key, data in opened.items()
    }
    for name, times in Counter(names.values()).items():
        if times > 1:
            twice = [str(opened[key].root) for key, other in names.items() if other == name]
            raise UsageError(f"two sets would be called {name!r}: {' and '.join(twice)}; rename a folder")
    named = [{names[key]: opened[key] for key in keys[option]} for option in ("--train", "--test")]
    return named[0], named[1]


def _split(place: str) -> tuple[str, Path]:
    layout, equals, path = place.partition("=")
    if equals and layout in LAYOUTS and not Path(place).exists():
        return layout, Path(path)
    return "auto", Path(place)


def is_one(training: ReidDataset, test: ReidDataset) -> bool:
    """Whether two datasets are one, so that its own test split is scored: the ordinary, in-domain protocol."""
    return training.root.resolve() == test.root.resolve() and training.checksum() == test.checksum()


def check_sets(training: Mapping[str, ReidDataset], test: Mapping[str, ReidDataset]) -> None:
    """Looks at the lists of images alone; none is opened.

    Raises:
        UsageError: no set to test on, or one set under two names.
        DataError: a set lacks what it is given for, or an image is both trained on and tested with.
    """
    if not test:
        raise UsageError("there must be a set to test on, got none")
    for kind, sets in (("training", training), ("test", test)):
        places = [(name, data.root.resolve(), data.checksum()) for name, data in sets.items()]
        for index, (name, *place) in enumerate(places):
            if same := [other for other, *others in places[:index] if others == place]:
                raise UsageError(f"{same[0]} and {name} are one and the same {kind} set, {place[0]}; give it once")
    for name, dataset in training.items():
        if not dataset.train:
            raise DataError(f"{name} at {dataset.root}: has no training images; test on it, and train on another set")
    for name, dataset in test.items():
        if missing := [split for split in ("query", "gallery") if not getattr(dataset, split)]:
            raise DataError(
                f"{name} at {dataset.root}: has no {' and no '.join(missing)} images, so nothing can be scored on it; "
                "only train on it"
            )
    for name, dataset in training.items():
        trained = {sample.path.absolute() for sample in dataset.train}
        for other, tested in test.items():
            both = sorted(trained.intersection(s.path.absolute() for s in (*tested.query, *tested.gallery)))
            if both:
                raise DataError(
                    f"{len(both)} images of {name} are trained on and are query or gallery of {other}, first: {both[0]}"
                )
