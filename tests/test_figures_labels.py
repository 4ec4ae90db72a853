"""Part labels by epoch: which images and epochs are drawn, and their overlap with the truth of a rendered world."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from occlureid.cli import main
from occlureid.cues import ExactCues
from occlureid.data import ReidDataset, open_dataset, read_image
from occlureid.errors import DataError, UsageError
from occlureid.figures import guidance_chart, guidance_figure, guidance_files, guidance_scores
from occlureid.guidance import Guidance
from occlureid.training.batches import relative_paths
from occlureid.training.guidance_file import guidance_name, write_guidance

MAP = (16, 8)


@pytest.fixture(scope="module")
def world(rendered_world: Path) -> ReidDataset:
    return open_dataset(rendered_world)


def true_maps(world: ReidDataset, grouping: str) -> torch.Tensor:
    """(N, h, w) the part that fills most of each pixel, 0 for the background."""
    source = ExactCues(world.root, {"part_map"}, grouping=grouping)
    found = []
    for sample in world.train:
        stored = read_image(sample.path)
        parts = F.adaptive_avg_pool2d(source(sample, (stored.height, stored.width)).require("part_map"), MAP)
        found.append(torch.cat([1 - parts.sum(0, keepdim=True), parts]).argmax(0))
    return torch.stack(found).to(torch.uint8)


def write(
    run: Path, world: ReidDataset, epoch: int, labels: torch.Tensor, parts: int, known: torch.Tensor | None = None
) -> None:
    known = torch.ones(len(labels), dtype=torch.bool) if known is None else known
    guidance = Guidance(labels, known, parts, epoch)
    write_guidance(run / guidance_name(epoch), guidance, epoch, relative_paths(world.train))


@pytest.fixture
def run(world: ReidDataset, tmp_path: Path) -> Path:
    """Three epochs: no person at all, the truth with one image unknown, and the truth upside down."""
    truth = true_maps(world, "hcga4")
    known = torch.ones(len(truth), dtype=torch.bool)
    known[1] = False
    write(tmp_path / "run", world, 0, torch.zeros_like(truth), 3)
    write(tmp_path / "run", world, 1, truth, 3, known)
    write(tmp_path / "run", world, 2, truth.flip(1), 3)
    return tmp_path / "run"


def test_overlap_with_the_truth_by_epoch(run: Path, world: ReidDataset) -> None:
    scores = guidance_scores(guidance_files(run), world.train, world.root)
    assert [score["epoch"] for score in scores] == [1, 2, 3]
    none, all_, flipped = scores
    assert (none["foreground_iou"], none["mean_part_iou"], none["part_iou"]) == (0, 0, [0, 0, 0])
    assert (all_["foreground_iou"], all_["mean_part_iou"], all_["part_iou"]) == (1, 1, [1, 1, 1])
    assert (all_["images"], none["images"]) == (len(world.train) - 1, len(world.train))
    assert all_["known"] == pytest.approx(1 - 1 / len(world.train), abs=1e-4)
    truth = true_maps(world, "hcga4").numpy()
    both, either = np.logical_and(truth, truth[:, ::-1]).sum(), np.logical_or(truth, truth[:, ::-1]).sum()
    assert flipped["foreground_iou"] == pytest.approx(both / either)
    some = guidance_scores(guidance_files(run), world.train, world.root, images=2)
    assert [score["images"] for score in some] == [2, 2, 2]
    chart = guidance_chart(scores)
    assert "100.0 % at 2" in chart
    assert "part 3" in chart


def test_parts_that_cannot_be_told_count_as_the_person(world: ReidDataset, tmp_path: Path) -> None:
    truth = true_maps(world, "hcga4")
    write(tmp_path, world, 0, torch.where(truth > 0, 5, 0).to(torch.uint8), 5)
    (score,) = guidance_scores(guidance_files(tmp_path), world.train, world.root)
    assert score["foreground_iou"] == pytest.approx(1)
    assert (score["mean_part_iou"], score["part_iou"]) == (None, [])
    assert "mean" not in guidance_chart([score])


def test_a_row_an_image_and_a_column_an_epoch(run: Path, world: ReidDataset) -> None:
    files = guidance_files(run)
    person = world.train[0].person
    number = sum(sample.person == person for sample in world.train)
    whole = guidance_figure(files, world.train, person=person, height=64)
    fewer = guidance_figure(files, world.train, person=person, images=2, epochs=1, height=64)
    assert whole.width * 2 == fewer.width * 4  # three epochs and one, each with the image before them
    assert (whole.height - 22) * 2 == (fewer.height - 22) * number
    assert guidance_figure(files, world.train, images=1, epochs=2, height=64).height == 64 + 12 + 16 + 22


def test_the_person_with_most_known_images_is_drawn(world: ReidDataset, tmp_path: Path) -> None:
    persons = sorted({sample.person for sample in world.train})
    known = torch.tensor([sample.person == persons[1] for sample in world.train])
    write(tmp_path, world, 0, true_maps(world, "hcga4"), 3, known)
    files = guidance_files(tmp_path)
    chosen, named, other = (guidance_figure(files, world.train, person=who) for who in (None, persons[1], persons[0]))
    assert chosen.tobytes() == named.tobytes() != other.tobytes()
    write(tmp_path, world, 0, true_maps(world, "hcga4"), 3, torch.zeros_like(known))
    assert (
        guidance_figure(files, world.train).tobytes()
        == guidance_figure(files, world.train, person=persons[0]).tobytes()
    )


def test_what_cannot_be_drawn(run: Path, world: ReidDataset, tmp_path: Path) -> None:
    files = guidance_files(run)
    with pytest.raises(DataError, match=r"no files guidance/epoch_\*.npz"):
        guidance_files(tmp_path)
    with pytest.raises(UsageError, match="got 1 and 0"):
        guidance_figure(files, world.train, images=1, epochs=0)
    with pytest.raises(UsageError, match="no training image shows person 'nobody'"):
        guidance_figure(files, world.train, person="nobody")
    with pytest.raises(DataError, match="of other images than the 4 training images given"):
        guidance_figure(files, world.query[:4])
    with pytest.raises(DataError, match="than the 0 training images"):
        guidance_scores(files, (), world.root)
    fewer = Guidance(torch.zeros(1, *MAP, dtype=torch.uint8), torch.ones(1, dtype=torch.bool), 3, 1)
    write_guidance(files[1], fewer, 1, ["elsewhere.jpg"])
    for draw in (guidance_figure, lambda files, samples: guidance_scores(files, samples, world.root)):
        with pytest.raises(DataError, match="other images than those of the other epochs"):
            draw(files, world.train)
    files[2].write_bytes(b"damaged")
    with pytest.raises(DataError, match="epoch_0003"):
        guidance_figure(files, world.train)


def test_the_command_draws_a_run(
    run: Path, rendered_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures"
    command = ["figures", str(rendered_world), "--out", str(out)]
    assert main([*command, "--run", str(run), "--count", "2", "--epochs", "2"]) == 0
    names = ["labels.png", "labels.json", "labels.svg"]
    assert capsys.readouterr().out.splitlines() == [str(out / name) for name in names]
    assert [score["epoch"] for score in json.loads((out / "labels.json").read_text())] == [1, 2, 3]
    assert (out / "labels.svg").read_text().startswith("<svg")
    assert main([*command, "--count", "2"]) == 0  # without either, the package's default weights
    assert str(out / "parts.png") in capsys.readouterr().out.splitlines()
    assert main([*command, "--run", str(tmp_path)]) == 3
    assert "train.guidance_every" in capsys.readouterr().err
