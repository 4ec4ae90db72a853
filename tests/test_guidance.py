"""Part labels that a method makes for its own images: when it is asked, what it sees, where they go, and what a kill costs."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from occlureid.cues.crop import Crop, CropSettings
from occlureid.data.guided import GuidedCues
from occlureid.data.loader import ReidImages, make_loader
from occlureid.data.paste import PasteObstacle, body_prior
from occlureid.data.samplers import Draw, OrderedBatches
from occlureid.data.transforms import IMAGENET_MEAN
from occlureid.errors import DataError, ShapeError, UsageError
from occlureid.guidance import Guidance, TrainingView
from occlureid.methods import Method
from occlureid.synthetic.sprites import Sprite
from occlureid.training import TrainSettings, read_checkpoint, read_guidance, train_method
from occlureid.training.batches import augmentation, relative_paths
from occlureid.training.checkpoint import write_checkpoint
from occlureid.training.folder import RunFolder
from occlureid.training.guidance_file import guidance_name, write_guidance
from occlureid.training.guiding import Guiding
from occlureid.training.processes import start_processes
from occlureid.training.step import Updater
from occlureid.training.view import RunView
from occlureid.types import Cues, Sample
from tests.guided_method import PARTS, GuidedMethod, make_guided
from tests.tiny_method import make_method, make_samples

ROOT = Path(__file__).parents[1]
SMALL = TrainSettings(
    epochs=3, batch_size=4, workers=0, lr=0.05, milestones=(2,), checkpoint_every=3, log_every=1, accelerator="cpu"
)
SIZE = (16, 8)
STEP = 60
"""Grey levels between the colours of two labels."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return make_samples(tmp_path_factory.mktemp("guidance") / "images")


@pytest.fixture(scope="module")
def whole(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GuidedMethod]:
    """A run that nothing interrupted."""
    out, method = tmp_path_factory.mktemp("guidance") / "whole", make_guided(6)
    train_method(method, samples, SMALL, out)
    return out, method


def log_of(folder: Path) -> list[dict[str, Any]]:
    timing = ("images_per_second", "train_seconds", "validation_seconds", "seconds")
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in timing} for line in lines]


def assert_same_guidance(one: Guidance | None, other: Guidance | None) -> None:
    assert one is not None
    assert other is not None
    assert torch.equal(one.labels, other.labels)
    assert torch.equal(one.known, other.known)
    assert (one.parts, one.epoch, one.record) == (other.parts, other.epoch, other.record)


def assert_same_run(one: Path, other: Path) -> None:
    weights = [load_file(folder / "weights.safetensors") for folder in (one, other)]
    torch.testing.assert_close(*weights, rtol=0, atol=0)
    assert log_of(one) == log_of(other)
    first, second = (read_checkpoint(folder / "checkpoint.pt") for folder in (one, other))
    assert replace(first.state, log_bytes=0) == replace(second.state, log_bytes=0)
    torch.testing.assert_close(first.model, second.model, rtol=0, atol=0)
    torch.testing.assert_close(first.optimiser, second.optimiser, rtol=0, atol=0)
    assert_same_guidance(first.guidance, second.guidance)


# -- labels as cues ------------------------------------------------------------------------------------------------------


def test_each_pixel_takes_the_label_that_holds_its_centre() -> None:
    labels = torch.tensor([[[0, 1], [2, 0], [1, 1]]], dtype=torch.uint8)
    cues = GuidedCues(labels, torch.ones(1, dtype=torch.bool), 2).over(Cues(), 0, (4, 3))
    # rows: centres at 1/8, 3/8, 5/8, 7/8 of three rows of cells; columns: 1/6, 1/2, 5/6 of two
    expected = torch.tensor([[0, 1, 1], [2, 0, 0], [2, 0, 0], [1, 1, 1]])
    assert torch.equal(cues.require("foreground"), (expected > 0).float())
    assert torch.equal(cues.require("part_map"), torch.stack([expected == 1, expected == 2]).float())
    smaller = GuidedCues(torch.arange(8, dtype=torch.uint8).reshape(1, 4, 2), torch.ones(1, dtype=torch.bool), 7)
    assert torch.equal(smaller.over(Cues(), 0, (2, 1)).require("part_map").argmax(0), torch.tensor([[2], [6]]))


def test_nothing_known_is_somebody_everywhere_and_no_part() -> None:
    labels = torch.ones(2, 4, 2, dtype=torch.uint8)
    guided = GuidedCues(labels, torch.tensor([True, False]), 3)
    cues = guided.over(Cues(foreground=torch.zeros(SIZE)), 1, SIZE)
    assert torch.equal(cues.require("foreground"), torch.ones(SIZE))
    assert torch.equal(cues.require("part_map"), torch.zeros(3, *SIZE))
    with pytest.raises(ShapeError, match="labels for 2 images, got the index 2"):
        guided.over(Cues(), 2, SIZE)


def test_other_cues_stay_and_given_maps_give_way() -> None:
    keypoints = torch.rand(18, 3)
    given = Cues(keypoints, torch.rand(2, *SIZE), torch.rand(SIZE), part_flip=(1, 0))
    guided = GuidedCues(torch.ones(1, 4, 2, dtype=torch.uint8), torch.ones(1, dtype=torch.bool), 3)
    cues = guided.over(given, 0, SIZE)
    assert torch.equal(cues.require("keypoints"), keypoints)
    assert cues.require("part_map").shape == (3, *SIZE)
    assert (cues.part_flip, float(cues.require("foreground").min())) == ((), 1.0)


def painted(folder: Path, count: int = 8, grid: tuple[int, int] = (8, 4)) -> tuple[list[Sample], Tensor]:
    """Images of the method's size whose grey tells each pixel's label, and their labels (N, h, w)."""
    folder.mkdir()
    labels = np.random.default_rng(3).integers(0, PARTS + 1, (count, *grid)).astype(np.uint8)
    samples = []
    for number, label in enumerate(labels):
        path = folder / f"{number}.png"
        pixels = np.kron(label, np.ones((SIZE[0] // grid[0], SIZE[1] // grid[1]), np.uint8)) * STEP
        Image.fromarray(pixels).convert("RGB").save(path)
        samples.append(Sample(path, str(number % 4), str(number // 4)))
    return samples, torch.from_numpy(labels)


def labels_of(cues: Cues) -> Tensor:
    """(B, H, W) from maps that must be exactly 0 or 1, and agree."""
    part_map, foreground = cues.require("part_map"), cues.require("foreground")
    assert set(part_map.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(part_map.sum(-3), foreground)
    return (part_map * torch.arange(1, part_map.shape[-3] + 1)[:, None, None]).sum(-3)


def labels_painted(images: Tensor) -> Tensor:
    """What the colours say; erased pixels have the mean colour, and are background as the black margin is."""
    erased = (images - torch.tensor(IMAGENET_MEAN)[:, None, None]).abs().amax(-3) < 1e-6
    return (images[..., 0, :, :] * 255 / STEP).masked_fill(erased, 0.0)


AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "flip": {"flip_probability": 1.0},
    "pad and crop": {"pad": 3},
    "erasing": {"erasing_probability": 1.0},
    "all": {"flip_probability": 0.5, "pad": 3, "erasing_probability": 0.5},
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_labels_stay_on_their_pixels(tmp_path: Path, name: str) -> None:
    samples, labels = painted(tmp_path / "images")
    none = {"flip_probability": 0.0, "erasing_probability": 0.0}
    augment = augmentation(TrainSettings.build(SMALL.to_dict(), none, AUGMENTATIONS[name]))
    images = ReidImages(samples, size=SIZE, augment=augment)
    images.guided = GuidedCues(labels, torch.ones(8, dtype=torch.bool), PARTS)
    changed = 0
    for index in range(8):
        plain = labels[index].repeat_interleave(2, 0).repeat_interleave(2, 1)
        for epoch in range(10):
            item = images.load(Draw(index, epoch, index))
            torch.testing.assert_close(labels_painted(item.image), labels_of(item.cues), rtol=0, atol=1e-5)
            changed += not torch.equal(labels_of(item.cues), plain.float())
    assert changed > 40  # the transforms did something


def test_a_pasted_obstacle_clears_the_labels_below_it(tmp_path: Path) -> None:
    samples, labels = painted(tmp_path / "images")
    rgba = np.zeros((40, 20, 4), np.uint8)
    rgba[..., 1], rgba[..., 3] = 255, 255  # nothing else is green
    cutout = Sprite("box", rgba, person=48, low=0.0, enters="below")
    images = ReidImages(samples, size=SIZE, augment=PasteObstacle([cutout], p=1.0))
    images.guided = GuidedCues(labels, torch.ones(8, dtype=torch.bool), PARTS)
    cleared = 0
    for index in range(8):
        item = images.load(Draw(index, 0, index))
        plain = labels[index].repeat_interleave(2, 0).repeat_interleave(2, 1).float()
        covered = labels_of(item.cues) != plain
        cleared += int(covered.sum())
        assert torch.equal(labels_of(item.cues)[covered], torch.zeros(int(covered.sum())))
        assert bool((item.image[1] > item.image[0])[covered].all())
    assert cleared > 20


def test_nobody_is_looked_for_where_the_foreground_is_everything() -> None:
    from occlureid.data.paste import _body

    assert torch.equal(_body(Cues(foreground=torch.ones(48, 16)), 48, 16), body_prior(48, 16))


def test_labels_are_of_the_cropped_image(tmp_path: Path) -> None:
    samples, labels = painted(tmp_path / "images", grid=(16, 8))
    top = torch.zeros(7, *SIZE)
    top[0, :8] = 1.0  # a head in the upper half: the lower is cut off
    method = make_method(4)
    method.crop = Crop(CropSettings(mode="rows", margin=0.0), (0.5, 0.0, 0.0, 0.0))
    images = ReidImages(samples, size=(8, 8), crop=method.cropping(lambda *_: Cues(part_map=top), "train"))
    images.guided = GuidedCues(labels[:, :8], torch.ones(8, dtype=torch.bool), PARTS)
    item = images.load(Draw(0, 0, 0))
    assert item.cropped
    torch.testing.assert_close(labels_painted(item.image), labels_of(item.cues), rtol=0, atol=1e-5)


@pytest.mark.parametrize("workers", [0, 1])
def test_workers_see_the_labels_of_the_moment(samples: list[Sample], workers: int) -> None:
    images = ReidImages(samples, size=SIZE)
    loader = make_loader(images, OrderedBatches(len(samples), 9), workers=workers)
    known = torch.ones(len(samples), dtype=torch.bool)
    for value, grid in ((1, (4, 2)), (2, (4, 2)), (3, (8, 8))):
        loader.guide(GuidedCues(torch.full((len(samples), *grid), value, dtype=torch.uint8), known, PARTS))
        assert [labels_of(batch.cues).unique().tolist() for batch in loader] == [[value], [value]]
    loader.guide(None)
    assert [batch.cues.names for batch in loader] == [frozenset(), frozenset()]
    loader.close()


# -- what a method sees --------------------------------------------------------------------------------------------------


def view_of(samples: list[Sample], **changes: Any) -> RunView:
    settings = SMALL.with_changes(**changes)
    labels = {person: number for number, person in enumerate(sorted({s.person for s in samples}))}
    return RunView(start_processes(settings), make_method(len(labels)), samples, labels, settings, None)


@pytest.mark.parametrize("workers", [0, 3])
def test_view_shows_images_as_they_are_described(samples: list[Sample], workers: int) -> None:
    view = view_of(samples, workers=workers, seed=5)
    images, read = view.images([7, 0, 7])
    plain = ReidImages(samples, size=SIZE)
    assert torch.equal(images, torch.stack([plain.load(Draw(i, 0, 0)).image for i in (7, 0, 7)]))
    assert read.tolist() == [True] * 3
    assert (view.seed, view.rank, view.world, view.device) == (5, 0, 1, torch.device("cpu"))
    assert list(view.samples) == samples
    assert view.labels.tolist() == [number // 3 for number in range(18)]
    assert view.images([])[0].shape == (0, 3, *SIZE)
    with pytest.raises(ShapeError, match=r"indices must lie in \[0, 18\), got \[18\]"):
        view.images([18])


def test_view_flags_what_cannot_be_read_or_ends(tmp_path: Path) -> None:
    samples = make_samples(tmp_path, persons=2, cameras=2)
    samples[1].path.write_bytes(b"no image")
    images, read = view_of(samples, on_corrupt="skip").images([0, 1])
    assert read.tolist() == [True, False]
    assert float(images[1].abs().max()) == 0
    with pytest.raises(DataError, match=rf"{samples[1].path.name}.*on_corrupt"):
        view_of(samples).images([0, 1])


def test_merge_of_one_process_clears_what_is_not_known(samples: list[Sample]) -> None:
    view = view_of(samples)
    labels, known = torch.ones(18, 2, 2, dtype=torch.uint8), torch.arange(18) % 2 == 0
    merged, found = view.merge(labels, known)
    assert torch.equal(found, known)
    assert torch.equal(merged.amax((1, 2)), known.to(torch.uint8))
    with pytest.raises(ShapeError, match=r"labels must be uint8 of shape \(N, h, w\) with N=18"):
        view.merge(labels[:4], known)
    with pytest.raises(ShapeError, match="known must be bool"):
        view.merge(labels, known.float())


# -- the alternation -----------------------------------------------------------------------------------------------------


def test_asked_once_an_epoch_and_logged_with_its_age(whole: tuple[Path, GuidedMethod]) -> None:
    out, method = whole
    assert method.asked == [(0, None), (1, 0), (2, 1)]
    lines = [line for line in log_of(out) if line["event"] == "guidance"]
    assert [(line["epoch"], line["step"], line["age"]) for line in lines] == [(1, 0, 0), (2, 4, 0), (3, 8, 0)]
    assert len({line["record"]["mean"] for line in lines}) == 3  # they follow the weights
    assert lines[0]["record"]["known"] == 14
    ends = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert all(line["train_seconds"] >= 0 for line in ends if line["event"] == "epoch")
    guidance = read_checkpoint(out / "checkpoint.pt").guidance
    assert guidance is not None
    assert (guidance.epoch, guidance.record) == (2, lines[-1]["record"])
    assert not (out / "guidance").exists()


def test_kept_guidance_grows_old(samples: list[Sample], tmp_path: Path) -> None:
    method = make_guided(6, every=2)
    train_method(method, samples, SMALL.with_changes(guidance_every=2), tmp_path)
    assert method.asked == [(0, None), (1, 0), (2, 0)]
    lines = [line for line in log_of(tmp_path) if line["event"] == "guidance"]
    assert [(line["age"], "record" in line) for line in lines] == [(0, True), (1, False), (0, True)]
    assert sorted(p.name for p in (tmp_path / "guidance").iterdir()) == ["epoch_0001.npz", "epoch_0003.npz"]


class Painted(GuidedMethod):
    """Reads the labels off the images' colours."""

    def label(self, view: TrainingView, indices: list[int]) -> tuple[Tensor, Tensor]:
        images, read = view.images(indices)
        return labels_painted(images).round().to(torch.uint8)[:, ::2, ::2], read


@pytest.mark.parametrize("workers", [0, 1])
def test_labels_reach_the_losses_on_their_pixels(tmp_path: Path, workers: int) -> None:
    samples, _ = painted(tmp_path / "images")

    class Method(Painted):
        def guide(self, view: TrainingView) -> Guidance | None:
            self.asked.append((view.epoch, None))
            labels, known = self.label(view, list(range(len(view.samples))))
            known[-1] = False
            return Guidance((labels + view.epoch) % (PARTS + 1), known, PARTS, view.epoch)

    method = make_guided(4, Method)
    settings = SMALL.with_changes(workers=workers, pad=2)
    train_method(method, samples, settings, tmp_path / "run")
    assert len(method.seen) == 6  # 8 images make two batches an epoch
    checked = 0
    for number, (images, cues) in enumerate(method.seen):
        epoch = number // 2
        unknown = (cues.require("part_map").sum(1) == 0) & (cues.require("foreground") == 1)
        colours = labels_painted(images)
        turned = (colours.round() + epoch) % (PARTS + 1)
        found = labels_of(Cues(part_map=cues.require("part_map"), foreground=cues.require("part_map").sum(1)))
        # in later epochs the labels are another turn of the colours; margins and erased pixels stay background
        cleared = (found == 0) & (colours == 0)
        agrees = (found == turned) | cleared | unknown
        assert bool(agrees.all()), f"step {number}"
        checked += int((~cleared & ~unknown).sum())
    assert checked > 1000


class PowerCut(Exception):
    """What the tests end a run with."""


def run_until(patched: type, name: str, moment: int, after: bool, start: Any) -> None:
    """Starts a run that ends without warning before or after the given call of a method of a class."""
    with pytest.MonkeyPatch.context() as patch:
        original, calls = getattr(patched, name), 0

        def cut(self: Any, *arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == moment and not after:
                raise PowerCut
            result = original(self, *arguments, **named)
            if calls == moment:
                raise PowerCut
            return result

        patch.setattr(patched, name, cut)
        with pytest.raises(PowerCut):
            start()


CUTS = [
    *((Updater, "update", moment, False) for moment in (1, 7, 9)),
    *((RunFolder, "write_checkpoint", moment, after) for moment in (2, 5) for after in (False, True)),
    *((GuidedMethod, "guide", 3, after) for after in (False, True)),
    *((GuidedMethod, "conclude", 1, after) for after in (False, True)),
]


@pytest.mark.parametrize(
    ("owner", "name", "moment", "after"), CUTS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_resume_is_as_if_nothing_had_been(
    samples: list[Sample],
    whole: tuple[Path, GuidedMethod],
    tmp_path: Path,
    owner: type,
    name: str,
    moment: int,
    after: bool,
) -> None:
    run_until(owner, name, moment, after, lambda: train_method(make_guided(6), samples, SMALL, tmp_path))
    method = make_guided(6)
    train_method(method, samples, SMALL, tmp_path, resume=True)
    assert_same_run(whole[0], tmp_path)
    asked = {1: [(1, 0), (2, 1)], 7: [(2, 1)], 9: []}  # new labels are in a checkpoint before the first step with them
    assert name != "update" or method.asked == asked[moment]


def test_resume_with_kept_guidance_and_other_files(samples: list[Sample], tmp_path: Path) -> None:
    def run(out: Path, **changes: Any) -> GuidedMethod:
        method = make_guided(6, every=2)
        train_method(method, samples, SMALL.with_changes(**changes), out, resume=True)
        return method

    run(tmp_path / "whole")
    run_until(Updater, "update", 8, False, lambda: run(tmp_path / "cut"))  # goes on in the second epoch
    run(tmp_path / "cut", guidance_every=1, workers=1)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    assert [p.name for p in (tmp_path / "cut" / "guidance").iterdir()] == ["epoch_0003.npz"]


def test_guidance_changes_nothing_that_the_training_draws(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Chatty(GuidedMethod):
        def guide(self, view: TrainingView) -> Guidance | None:
            found = super().guide(view)
            torch.rand(100)
            return found

    class Seeded(GuidedMethod):
        drawn: list[float] = []  # noqa: RUF012

        def guide(self, view: TrainingView) -> Guidance | None:
            self.drawn.append(float(torch.rand(1)))
            return super().guide(view)

    ask = Guiding.ask

    def watched(*arguments: Any) -> Any:
        before = torch.get_rng_state()
        found = ask(*arguments)
        assert torch.equal(torch.get_rng_state(), before)
        return found

    monkeypatch.setattr(Guiding, "ask", watched)

    def weights(kind: type[GuidedMethod]) -> dict[str, Tensor]:
        method = make_guided(6, kind)
        train_method(method, samples, SMALL, tmp_path / kind.__name__)
        return method.state_dict()

    plain = weights(GuidedMethod)
    torch.testing.assert_close(weights(Chatty), plain, rtol=0, atol=0)
    torch.manual_seed(99)
    torch.testing.assert_close(weights(Seeded), plain, rtol=0, atol=0)
    first = list(Seeded.drawn)
    Seeded.drawn.clear()
    train_method(make_guided(6, Seeded), samples, SMALL, tmp_path / "again")
    assert Seeded.drawn == first  # what it draws itself depends on seed and epoch alone
    assert len(set(first)) == 3


def test_methods_without_guidance_pay_nothing(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("a method without hooks was asked")

    monkeypatch.setattr(Method, "guide", never)
    monkeypatch.setattr(Method, "conclude", never)
    monkeypatch.setattr(RunView, "images", never)
    train_method(make_method(6), samples, SMALL.with_changes(guidance_every=1), tmp_path)
    assert read_checkpoint(tmp_path / "checkpoint.pt").guidance is None
    assert not (tmp_path / "guidance").exists()
    assert all(line["event"] != "guidance" for line in log_of(tmp_path))


@pytest.mark.parametrize(
    ("guidance", "message"),
    [
        (Guidance(torch.zeros(17, 4, 2, dtype=torch.uint8), torch.ones(17, dtype=torch.bool), 3, 0), "of the N=18"),
        (Guidance(torch.zeros(18, 4, 2, dtype=torch.uint8), torch.ones(18, dtype=torch.bool), 3, 1), "before epoch 0"),
        (
            Guidance(torch.zeros(18, 4, 2, dtype=torch.uint8), torch.ones(18, dtype=torch.bool), 3, 0, {"a": {1}}),
            "plain, finite values",
        ),
        (
            Guidance(torch.zeros(18, 4, 2, dtype=torch.uint8), torch.ones(18, dtype=torch.bool), 3, 0, {"a": np.nan}),
            "plain, finite values",
        ),
    ],
)
def test_guidance_that_does_not_fit_is_refused(
    samples: list[Sample], tmp_path: Path, guidance: Guidance, message: str
) -> None:
    class Wrong(GuidedMethod):
        def guide(self, view: TrainingView) -> Guidance | None:
            return guidance

    with pytest.raises(UsageError, match=message):
        train_method(make_guided(6, Wrong), samples, SMALL, tmp_path)


# -- the end of a run ----------------------------------------------------------------------------------------------------


def test_concluded_once_and_written(samples: list[Sample], whole: tuple[Path, GuidedMethod]) -> None:
    out, method = whole
    assert method.concluded == [3]
    written = load_file(out / "weights.safetensors")
    assert float(written["mean"].abs().min()) > 0
    with torch.inference_mode():
        plain = torch.stack([ReidImages(samples, size=SIZE).load(Draw(i, 0, 0)).image for i in range(18)])
        torch.testing.assert_close(method(plain, Cues()).vectors.mean(0), written["mean"])
    # the run's own state is that of a run which goes on
    assert float(read_checkpoint(out / "checkpoint.pt").model["mean"].abs().max()) == 0
    again = make_guided(6)
    train_method(again, samples, SMALL, out, resume=True)
    assert (again.concluded, again.asked) == ([], [])
    torch.testing.assert_close(again.mean, written["mean"])


def test_more_epochs_go_on_as_if_nothing_had_been_concluded(samples: list[Sample], tmp_path: Path) -> None:
    longer = SMALL.with_changes(epochs=4)
    train_method(make_guided(6), samples, longer, tmp_path / "whole")
    train_method(make_guided(6), samples, SMALL, tmp_path / "two")
    train_method(make_guided(6), samples, longer, tmp_path / "two", resume=True)
    weights = [load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "two")]
    torch.testing.assert_close(*weights, rtol=0, atol=0)


@pytest.mark.parametrize("cut", [False, True])
def test_the_chosen_weights_are_concluded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: bool) -> None:
    samples = make_samples(tmp_path / "images", persons=8, images=2)
    settings = SMALL.with_changes(epochs=4, validation_fraction=0.4, validate_every=2, checkpoint_every=0)
    chosen: dict[str, Tensor] = {}

    def score(method: GuidedMethod, *_: Any) -> float:
        if method.asked[-1:] == [(1, 0)]:
            chosen.update({key: value.clone() for key, value in method.state_dict().items()})
            return 0.7
        return 0.6

    monkeypatch.setattr("occlureid.training.loop.score", score)
    method = make_guided(5)
    if cut:
        run_until(
            GuidedMethod, "conclude", 1, True, lambda: train_method(make_guided(5), samples, settings, tmp_path / "run")
        )
    result = train_method(method, samples, settings, tmp_path / "run", resume=cut)
    assert result.epoch == 2
    assert method.concluded == [4]
    written = load_file(result.weights)
    assert float(written.pop("mean").abs().min()) > 0
    del chosen["mean"]
    torch.testing.assert_close(written, chosen, rtol=0, atol=0)
    last = read_checkpoint(tmp_path / "run" / "checkpoint.pt").model
    assert bool((last["classifier.weight"] != written["classifier.weight"]).any())


# -- files that are not what they should be ------------------------------------------------------------------------------


def test_checkpoint_without_guidance_still_loads(
    samples: list[Sample], whole: tuple[Path, GuidedMethod], tmp_path: Path
) -> None:
    checkpoint = read_checkpoint(whole[0] / "checkpoint.pt")
    del checkpoint.identity.settings["guidance_every"]  # as an earlier version wrote it
    write_checkpoint(tmp_path / "checkpoint.pt", replace(checkpoint, guidance=None))
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert "guidance" not in content
    assert read_checkpoint(tmp_path / "checkpoint.pt").guidance is None
    (tmp_path / "weights.safetensors").write_bytes((whole[0] / "weights.safetensors").read_bytes())
    method = make_guided(6)
    train_method(method, samples, SMALL.with_changes(epochs=4), tmp_path, resume=True)
    assert method.asked == [(3, None)]


def entry(**changes: Any) -> dict[str, Any]:
    labels, known = torch.ones(18, 4, 2, dtype=torch.uint8), torch.ones(18, dtype=torch.bool)
    return {"labels": labels, "known": known, "parts": 3, "epoch": 0, "record": "{}"} | changes


DAMAGED: dict[str, Any] = {
    "no mapping": [1],
    "a key too many": entry(more=1),
    "a key too few": {"labels": torch.zeros(1)},
    "labels of another type": entry(labels=torch.ones(18, 4, 2)),
    "labels of another shape": entry(labels=torch.ones(18, 8, dtype=torch.uint8)),
    "labels beyond the parts": entry(labels=torch.full((18, 4, 2), 4, dtype=torch.uint8)),
    "labels that claim to be large": entry(
        labels=torch.ones(1, 1, 1, dtype=torch.uint8).expand(10**6, 10**6, 10**6),
        known=torch.ones(1, dtype=torch.bool).expand(10**6),
    ),
    "sparse labels": entry(labels=torch.ones(18, 4, 2, dtype=torch.uint8).to_sparse()),
    "no labels": entry(labels=torch.ones(0, 4, 2, dtype=torch.uint8)),
    "known of another length": entry(known=torch.ones(17, dtype=torch.bool)),
    "known of another type": entry(known=torch.ones(18)),
    "parts": entry(parts=0),
    "parts as truth": entry(parts=True),
    "epoch": entry(epoch=-1),
    "an epoch to come": entry(epoch=4),
    "epoch as text": entry(epoch="1"),
    "a record that is no text": entry(record={}),
    "a record that is no JSON": entry(record="{"),
    "a record that is a list": entry(record="[]"),
    "a record without an end": entry(record="[" * 100_000),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_guidance_is_refused(whole: tuple[Path, GuidedMethod], tmp_path: Path, name: str) -> None:
    content = torch.load(whole[0] / "checkpoint.pt", weights_only=True)
    content["guidance"] = DAMAGED[name]
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(DataError, match=r"checkpoint\.pt: damaged guidance"):
        read_checkpoint(tmp_path / "checkpoint.pt")


def test_guidance_of_other_images_is_refused(
    samples: list[Sample], whole: tuple[Path, GuidedMethod], tmp_path: Path
) -> None:
    checkpoint = read_checkpoint(whole[0] / "checkpoint.pt")
    guidance = Guidance(torch.ones(5, 4, 2, dtype=torch.uint8), torch.ones(5, dtype=torch.bool), PARTS, 0)
    state = replace(checkpoint.state, finished=False, closed=1, step=5)
    write_checkpoint(tmp_path / "checkpoint.pt", replace(checkpoint, guidance=guidance, state=state))
    with pytest.raises(DataError, match="guidance is of 5 images, the run has 18"):
        train_method(make_guided(6), samples, SMALL, tmp_path, resume=True)


def test_guidance_by_epoch_in_files(samples: list[Sample], tmp_path: Path) -> None:
    settings = SMALL.with_changes(epochs=4, guidance_every=2)
    train_method(make_guided(6), samples, settings, tmp_path)
    files = sorted((tmp_path / "guidance").iterdir())
    assert [path.name for path in files] == ["epoch_0001.npz", "epoch_0003.npz", "epoch_0004.npz"]
    last = read_guidance(files[-1])
    assert_same_guidance(last.guidance, read_checkpoint(tmp_path / "checkpoint.pt").guidance)
    assert last.in_force == 3
    assert list(last.images) == relative_paths(samples) == [sample.path.name for sample in samples]
    (tmp_path / "guidance" / "mine.txt").write_text("mine")
    train_method(make_guided(6), samples, SMALL, tmp_path, overwrite=True)
    assert [path.name for path in (tmp_path / "guidance").iterdir()] == ["mine.txt"]


def about(**changes: Any) -> np.ndarray:
    good = {"occlureid": "guidance 1", "parts": 3, "epoch": 0, "in_force": 0, "record": {}}
    return np.array(json.dumps(good | changes))


def arrays(**changes: Any) -> dict[str, Any]:
    good = {
        "labels": np.ones((2, 4, 2), np.uint8),
        "known": np.ones(2, bool),
        "images": np.array(["a.png", "b.png"]),
        "about": about(),
    }
    return good | changes


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "an array too few": ({"labels": np.ones(3)}, "expected the arrays"),
    "labels of another type": (arrays(labels=np.ones((2, 4, 2))), "labels must be an array of kind 'u'"),
    "labels of sixteen bits": (arrays(labels=np.ones((2, 4, 2), np.uint16)), "damaged: labels must be uint8"),
    "labels beyond the parts": (arrays(labels=np.full((2, 4, 2), 9, np.uint8)), r"labels must lie in \[0, 3\]"),
    "objects": (arrays(images=np.array([Path("a"), None], dtype=object)), "cannot be read"),
    "names for other images": (arrays(images=np.array(["a.png"])), "labels of 2 images, names of 1"),
    "no JSON": (arrays(about=np.array("{")), "damaged"),
    "another format": (arrays(about=about(occlureid="x")), "not a file of part labels"),
    "parts": (arrays(about=about(parts=1.5)), "must be whole numbers"),
    "record": (arrays(about=about(record=3)), "record must hold names and values"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_of_part_labels_are_refused(tmp_path: Path, name: str) -> None:
    content, message = BROKEN[name]
    np.savez(tmp_path / "x.npz", **content)
    with pytest.raises(DataError, match=rf"x\.npz: .*{message}"):
        read_guidance(tmp_path / "x.npz")


def test_torn_and_missing_files_of_part_labels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / guidance_name(11)
    assert path.name == "epoch_0012.npz"
    with pytest.raises(DataError, match="there is no such file"):
        read_guidance(path)
    guidance = Guidance(torch.ones(2, 4, 2, dtype=torch.uint8), torch.ones(2, dtype=torch.bool), 3, 1, {"a": [1, 2.5]})
    write_guidance(path, guidance, 11, ["a.png", "b.png"])
    assert_same_guidance(read_guidance(path).guidance, guidance)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    monkeypatch.setattr("occlureid.training.guidance_file.LARGEST_FILE", 100)
    with pytest.raises(DataError, match="larger than 100 bytes"):
        read_guidance(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="cannot be read"):
        read_guidance(path)
    (tmp_path / "taken").write_text("a file where a folder should be")
    with pytest.raises(DataError, match="cannot be written"):
        write_guidance(tmp_path / "taken" / "epoch_0001.npz", guidance, 0, ["a.png", "b.png"])


# -- several processes ---------------------------------------------------------------------------------------------------


def test_two_processes_share_the_work_and_end_with_the_same(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tests.guided_method")
    ended = subprocess.run(
        [sys.executable, *launch, str(tmp_path)], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    torch.testing.assert_close(first["whole"], second["whole"], rtol=0, atol=0)
    assert first["asked"] == second["asked"] == [(0, None), (1, 0), (2, 1)]
    assert first["concluded"] == second["concluded"] == [3]
    labels, known, record = first["whole guidance"]
    assert json.loads(record)["here"] == 9  # half of the 18 images
    assert json.loads(record)["known"] == int(known.sum()) == 14
    assert int(labels.max()) <= PARTS  # the rows that a process did not work on hold 9
    labels, known, _ = first["merge guidance"]
    # nobody knows the first 4, both the next 5, where the first process speaks, and only the second knows the rest
    assert labels[:, 3, 1].tolist() == [0] * 4 + [1] * 5 + [2] * 9
    assert known.tolist() == [False] * 4 + [True] * 14
    for name in ("CutInGuide", "CutInEpoch"):
        assert_same_run(tmp_path / "whole", tmp_path / name)
        torch.testing.assert_close(first[name], first["whole"], rtol=0, atol=0)
        torch.testing.assert_close(second[name], first["whole"], rtol=0, atol=0)
    for seen in (first, second):
        assert seen["quarrel"].startswith("UsageError")
        assert "made different labels in different processes" in seen["quarrel"]
        assert "labels must have one size in all processes, got [[4, 2], [3, 2]]" in seen["refused"]
