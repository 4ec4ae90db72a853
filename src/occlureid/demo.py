"""The whole path in one page: a rendered world, two methods trained on it, descriptors, scores, a report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from occlureid import methods
from occlureid.config import merge
from occlureid.data import open_dataset
from occlureid.described import Described, describe_dataset, score
from occlureid.evaluation import Report
from occlureid.report import write_evaluation
from occlureid.runs import train
from occlureid.synthetic import WorldSettings, write_world
from occlureid.zoo.loaded import Embedder

__all__ = ["DEMO_WORLD", "demo"]

DEMO_WORLD = WorldSettings(train_persons=60, test_persons=30, size=(192, 96), train_images=4, gallery_images=2)
"""A world small enough to be rendered in seconds."""

FROM_ENCODER = 4
"""Epochs of a training that starts from weights of the package."""

Bar = Callable[[str], Callable[[int, int], None]]


def demo(
    out: Path | str,
    *,
    world: WorldSettings = DEMO_WORLD,
    recipes: tuple[str, ...] = ("demo-pgfa", "demo-baseline"),
    changes: dict[str, object] | None = None,
    initial_weights: str | None = None,
    device: str = "cpu",
    date: str = "",
    bar: Bar | None = None,
    shipped: Embedder | None = None,
    tell: Callable[[str], None] | None = None,
) -> Path:
    """Renders a world, trains each recipe on it, scores query against gallery, and writes a report.

    Given a trained embedder, it first describes the world with that, and writes ``first.html`` with its ranked lists, long before
    the trainings end; the report has it beside them.

    Every stage goes on from what is there already: a second call with the same settings neither
    renders nor trains again.

    Args:
        out: the folder for everything.
        world: what to render.
        recipes: what to train.
        changes: values to change in each recipe (``RunSettings``).
        initial_weights: a model of the package, from whose backbone all trainings start, for ``FROM_ENCODER`` epochs; None for
            the first weights and the epochs of the recipes.
        device: where to render and to describe; training takes what its own settings say.
        date: as the report prints it.
        bar: makes a progress bar, a function of (done, of), from a label; without it nothing is drawn.
        shipped: describes the world before anything is trained, as ``occlureid.load()`` gives it.
        tell: is given a line when the first report is written.

    Returns:
        The path of the HTML report.

    Raises:
        DataError: ``out`` holds another world.
        UsageError: ``out`` holds runs with other settings.
    """
    out = Path(out)
    start = {} if initial_weights is None else {"initial_weights": initial_weights, "train": {"epochs": FROM_ENCODER}}
    changes = merge(start, changes or {})
    root = write_world(world, out / "world", device=device, progress=bar("render the world") if bar else None)
    dataset = open_dataset(root)
    runs: dict[str, tuple[Described, Report]] = {}
    title = "occlureid demo: pedestrians of a rendered world"
    if shipped is not None:
        split_bar = partial(_describing, bar, shipped.name) if bar else None
        described = describe_dataset(shipped.method, dataset, cues=shipped.cues, device=device, bar=split_bar)
        runs[f"{shipped.name}, as it comes with the package"] = described, score(described)
        first = write_evaluation(out / "first.html", runs, title=f"{title}, before any training", date=date)
        if tell is not None:
            tell(f"first ranked lists, by {shipped.name} without any training: {first.resolve()}")
    for recipe in recipes:
        result = train(dataset, out / recipe, recipe, changes, resume=True, progress=bar is not None)
        split_bar = partial(_describing, bar, recipe) if bar else None
        described = describe_dataset(methods.restore(result.weights), dataset, device=device, bar=split_bar)
        described.save(out / recipe / "described")
        name = recipe.removeprefix("demo-")
        runs[name] = described, score(described)
        if described.query.parts.shape[1] and described.rule.visibility != "ignore":
            runs[f"{name}, all parts taken as visible"] = described, score(described, {"visibility": "ignore"})
    return write_evaluation(out / "report.html", runs, title=title, date=date)


def _describing(bar: Bar, recipe: str, split: str) -> Callable[[int, int], None]:
    return bar(f"{recipe}: describe {split}")
