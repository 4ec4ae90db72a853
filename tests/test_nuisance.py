"""The rendered world's nuisances matter: colours alone do not tell its persons apart, and what a network learns does."""

import colorsys

import numpy as np
import pytest
import torch

from occlureid import methods
from occlureid.cues.partmaps import read_part_labels
from occlureid.data import open_dataset, read_image
from occlureid.data.dataset import ReidDataset
from occlureid.described import describe_dataset, score
from occlureid.evaluation import Report, evaluate
from occlureid.runs import train
from occlureid.synthetic import WorldSettings, write_world
from tests.reference.colour_histogram import colour_histogram_descriptor

WORLD = WorldSettings(
    seed=3, train_persons=60, test_persons=40, cameras=3, gallery_images=2, size=(96, 48), occluded_query=0.5
)
BASELINE = {
    "method": "baseline",
    "initial_weights": "none",
    "model": {"backbone": "resnet10t", "size": [96, 32]},
    "train": {
        "epochs": 8, "batch_size": 32, "optimiser": "adamw", "lr": 0.001, "weight_decay": 0.01, "schedule": "cosine",
        "warmup_epochs": 1, "sampler": "identity", "instances": 4, "flip_probability": 0.5, "erasing_probability": 0.3,
        "workers": 0, "accelerator": "cpu",
    },
}  # fmt: skip


def by_colour(dataset: ReidDataset, masked: bool) -> Report:
    """A rendered world scored by colour histograms, of the whole image or of the exact silhouette."""

    def described(samples) -> torch.Tensor:
        pixels = [np.array(read_image(sample.path)) for sample in samples]
        shown = None
        if masked:
            files = [dataset.root / "masks" / s.path.parent.name / f"{s.path.stem}.png" for s in samples]
            shown = torch.from_numpy(np.stack([read_part_labels(file, parts=255) for file in files])) == 1
        return colour_histogram_descriptor(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), shown)

    distances = 1.0 - described(dataset.query) @ described(dataset.gallery).T
    return evaluate(distances, dataset.query, dataset.gallery, dataset.protocol, rule=None)


def mean_precision(report: Report, chosen: np.ndarray) -> float:
    return float(np.array([query.average_precision for query in report.queries])[chosen].mean())


def test_histograms_tell_plain_colours_apart_whatever_the_size():
    colours = [colorsys.hsv_to_rgb(hue, 0.8, 0.7) for hue in (0.02, 0.35, 0.62)]
    large = torch.tensor(colours)[:, :, None, None].expand(3, 3, 64, 32)
    found, smaller = colour_histogram_descriptor(large), colour_histogram_descriptor(large[..., ::2, ::2])
    assert found.shape == (3, 768)
    torch.testing.assert_close(found, smaller)
    torch.testing.assert_close(found, colour_histogram_descriptor((large * 255).round().byte()))
    near = found @ found.T
    torch.testing.assert_close(near.diagonal(), torch.ones(3))
    assert (near - torch.eye(3)).max() < 0.8
    upside_down = torch.cat([large[:1, :, :32], large[1:2, :, :32]], dim=2)
    other = colour_histogram_descriptor(torch.cat([upside_down, upside_down.flip(2)]))
    assert float(other[0] @ other[1]) < 0.8


def test_without_nuisances_the_colours_of_the_silhouette_are_enough_and_with_them_they_are_not(tmp_path):
    """The matcher is no straw man: what makes it fail is the world."""
    small = WORLD.with_changes(train_persons=1, test_persons=30)
    plain = small.with_changes(
        occluded_query=0, occluded_gallery=0, box_errors=0, crop_jitter=0, look_alike=0, passers_by=0, far_people=0,
        background=0, resolution=(1, 1), lighting=0, tone=0, shadows=0, ambient_occlusion=0, colour_cast=0, exposure=0,
        focus_blur=0, motion_blur=0, sensor_noise=0, sharpening=0, jpeg=(100, 100),
    )  # fmt: skip
    with_nuisances, without = (
        by_colour(open_dataset(write_world(world, tmp_path / name)), masked=True).average_precision
        for world, name in ((small, "small"), (plain, "plain"))
    )
    assert without > 0.8
    assert with_nuisances < 0.8 * without


@pytest.mark.trained
def test_colours_stay_far_below_a_trained_network(tmp_path, figures, training_seed):
    dataset = open_dataset(write_world(WORLD, tmp_path / "world"))
    colours = by_colour(dataset, masked=False)
    result = train(dataset, tmp_path / "run", BASELINE, {"train": {"seed": training_seed}})
    learned = score(describe_dataset(methods.restore(result.weights), dataset))
    hidden = np.array([sample.obstacle != "none" for sample in dataset.query])
    assert 0.4 < hidden.mean() < 0.6
    for name, chosen in (("hidden", hidden), ("whole", ~hidden)):
        gain = mean_precision(learned, chosen) / mean_precision(colours, chosen)
        figures.above(f"mAP of {name} queries, of that by colours", gain, 2.5)
