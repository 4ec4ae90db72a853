"""The point of it all, learned from scratch in half a minute: compare what both images show, and nothing else."""

from pathlib import Path

import numpy as np

from occlureid import methods
from occlureid.data import open_dataset
from occlureid.described import describe_dataset, score
from occlureid.runs import train
from occlureid.synthetic import WorldSettings, write_world


def test_matching_by_shared_parts_beats_taking_all_parts_as_visible(tmp_path: Path) -> None:
    settings = WorldSettings(seed=3, train_persons=40, test_persons=40, cameras=3, gallery_images=2, size=(96, 48))
    dataset = open_dataset(write_world(settings, tmp_path / "world"))
    small = {"model": {"size": [96, 32]}, "train": {"epochs": 8, "workers": 0, "accelerator": "cpu"}}
    result = train(dataset, tmp_path / "run", "demo-pgfa", small)
    described = describe_dataset(methods.restore(result.weights), dataset)
    shared, everything = score(described), score(described, {"visibility": "ignore"})

    chance = settings.gallery_images * (settings.cameras - 1) / len(dataset.gallery)
    assert shared.rank(1) > 5 * chance  # it has learned something

    hidden = (described.query.visibility.min(1).values < 1).numpy()
    assert hidden.mean() > 0.25
    by_shared, by_all = (
        np.array([query.average_precision for query in report.queries])[hidden] for report in (shared, everything)
    )
    assert by_shared.mean() > 1.1 * by_all.mean()
    assert shared.average_precision > everything.average_precision
