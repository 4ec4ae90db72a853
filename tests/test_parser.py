"""The human parser: its networks, its training and resume, its file, its figures by hand, and its use as a provider of cues."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from occlureid.cues import CueCache, PartFolder, Provider, ProviderSource, build_parsing
from occlureid.cues.providers import weights_checksum
from occlureid.data import ParsingDataset, ParsingSample
from occlureid.errors import DataError, MissingWeightsError, SettingsError, ShapeError, UsageError
from occlureid.models.backbone import Backbone
from occlureid.models.parser import HumanParser, load_parser_backbone
from occlureid.parsing import (
    ParserProvider,
    ParserRunSettings,
    ParserScores,
    ParserSettings,
    TrainedParser,
    load_parser,
    save_parser,
    score_parser,
    small_parser,
    train_parser,
)
from occlureid.parsing.trainee import ParserTrainee, PixelLabels, as_samples
from occlureid.types import Cues, Sample
from tests.trained import Figures

SIZE = (48, 24)
TINY: dict[str, Any] = {
    "parser": {"architecture": "light", "backbone": "resnet10t", "size": SIZE, "width": 16, "rates": [1, 2],
               "backbone_lr_factor": 1.0},
    "initial_weights": "none",
    "train": {"epochs": 2, "batch_size": 4, "workers": 0, "optimiser": "adamw", "lr": 0.003, "schedule": "constant",
              "milestones": [1], "accelerator": "cpu", "pad": 0, "erasing_probability": 0.0},
}  # fmt: skip
BANDS = ((2, (200, 60, 40)), (5, (40, 180, 60)), (9, (50, 60, 200)), (18, (220, 220, 60)))
"""Hair, upper clothes, pants, left shoe, each in a colour of its own."""


def paint(folder: Path, count: int, seed: int) -> tuple[ParsingSample, ...]:
    """People of four coloured bands before a grey wall, at places of their own."""
    random = np.random.default_rng(seed)
    samples = []
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.full((*SIZE, 3), 128, np.float64)
        labels = np.zeros(SIZE, np.uint8)
        top, left = int(random.integers(0, 9)), int(random.integers(1, 9))
        for band, (label, colour) in enumerate(BANDS):
            rows = slice(top + 10 * band, top + 10 * (band + 1))
            pixels[rows, left : left + 14], labels[rows, left : left + 14] = colour, label
        noisy = (pixels + random.normal(0, 12, pixels.shape)).clip(0, 255).astype(np.uint8)
        name = f"{seed}_{number:02d}"
        Image.fromarray(noisy).save(folder / "images" / f"{name}.png")
        Image.fromarray(labels).save(folder / "labels" / f"{name}.png")
        samples.append(ParsingSample(folder / "images" / f"{name}.png", folder / "labels" / f"{name}.png"))
    return tuple(samples)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ParsingDataset:
    root = tmp_path_factory.mktemp("painted")
    return ParsingDataset("painted", root, paint(root, 16, 0), paint(root, 6, 1))


@pytest.fixture(scope="module")
def trained(data: ParsingDataset, tmp_path_factory: pytest.TempPathFactory, training_seed: int) -> Any:
    settings = {"train": {"epochs": 20, "seed": training_seed}}
    return train_parser(data, tmp_path_factory.mktemp("parser") / "run", TINY, settings)


def random_parser(**settings: Any) -> TrainedParser:
    whole = ParserRunSettings.build(TINY, {"parser": settings}).parser
    trainee = ParserTrainee(whole)
    return TrainedParser(trainee.network.eval(), whole, trainee.preprocess)


# -- networks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auxiliary", [False, True])
def test_deeplabv3_is_torchvisions(auxiliary: bool) -> None:
    network = HumanParser("deeplabv3", 5, (64, 64), auxiliary=auxiliary)
    images = torch.zeros(2, 3, 64, 64)
    with torch.no_grad():
        logits, second = network.train()(images)
        assert logits.shape == (2, 5, 64, 64)
        assert network.backbone(images)["out"].shape == (2, 2048, 8, 8)  # an eighth
        assert (second is not None) == auxiliary
        assert network.eval()(images)[1] is None
    from torchvision.models.segmentation import deeplabv3_resnet50

    own = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=5, aux_loss=auxiliary).state_dict()
    renamed = {
        key.replace("head.", "classifier.", 1).replace("auxiliary.", "aux_classifier.", 1)
        for key in network.state_dict()
    }
    assert renamed == set(own)


@pytest.mark.parametrize(("backbone", "stride"), [("resnet10t", 8), ("resnet10t", 16), ("mobilenetv3_small_100", 8)])
def test_the_light_network(backbone: str, stride: Any) -> None:
    network = HumanParser("light", 5, (64, 32), backbone=backbone, stride=stride, width=8, rates=(1, 2))
    with torch.no_grad():
        assert network.backbone(torch.zeros(1, 3, 64, 32)).shape[2:] == (64 // stride, 32 // stride)
        assert network.eval()(torch.zeros(1, 3, 64, 32))[0].shape == (1, 5, 64, 32)
    with pytest.raises(SettingsError, match="has no model 'resnet10x'; near"):
        HumanParser("light", 5, (64, 32), backbone="resnet10x")


def test_first_weights_from_a_file(tmp_path: Path) -> None:
    source = Backbone("resnet50", (64, 64), last_stride=2)
    state = {name: tensor.contiguous() for name, tensor in source.net.state_dict().items()}
    save_file(state, tmp_path / "resnet50.safetensors")
    network = HumanParser("deeplabv3", 5, (64, 64))
    load_parser_backbone(network, (64, 64), str(tmp_path / "resnet50.safetensors"))
    assert torch.equal(network.backbone.state_dict()["layer4.2.conv3.weight"], source.net.layer4[2].conv3.weight)
    light = HumanParser("light", 5, (64, 32), backbone="resnet10t", width=8)
    with pytest.raises(MissingWeightsError):
        load_parser_backbone(light, (64, 32), str(tmp_path / "resnet50.safetensors"))


# -- training ------------------------------------------------------------------------------------------------------------


@pytest.mark.trained
def test_it_learns_and_says_how_well(trained: Any, figures: Figures) -> None:
    scores = trained.scores
    assert scores.images == 6
    figures.above("pixel accuracy", scores.pixel_accuracy, 0.75)  # on a map of 6 x 3; nothing but background has 0.51
    assert list(scores.iou) == ["background", "head", "upper_body", "lower_body", "shoes"]
    figures.above("least IoU of a region", min(value or 0 for value in scores.iou.values()), 0.4)
    assert json.loads((trained.folder / "scores.json").read_text()) == scores.to_json()
    stored = load_parser(trained.weights)
    assert stored.scores == scores.to_json()
    assert stored.training["data"] == {"name": "painted", "images": 16}
    assert stored.settings.size == SIZE
    assert trained.steps == 20 * 4


def test_resuming_equals_never_stopping(data: ParsingDataset, tmp_path: Path) -> None:
    busy = {"train": {"erasing_probability": 0.5, "pad": 2}}
    train_parser(data, tmp_path / "whole", TINY, busy)
    train_parser(data, tmp_path / "parts", TINY, busy, {"train": {"epochs": 1}})
    train_parser(data, tmp_path / "parts", TINY, busy, resume=True)
    whole, parts = (load_file(tmp_path / name / "parser.safetensors") for name in ("whole", "parts"))
    torch.testing.assert_close(whole, parts, rtol=0, atol=0)
    (tmp_path / "whole" / "parser.safetensors").unlink()  # killed after the last step
    again = train_parser(data, tmp_path / "whole", TINY, busy, resume=True)
    torch.testing.assert_close(load_file(again.weights), parts, rtol=0, atol=0)
    with pytest.raises(UsageError, match="holds a run already"):
        train_parser(data, tmp_path / "whole", TINY, busy)


def test_labels_and_flips(data: ParsingDataset) -> None:
    one = as_samples(data.train)[0]
    merged = PixelLabels(data.train, "sgam5")(one, SIZE)
    assert merged.part_map is not None
    assert merged.part_map.shape == (4, *SIZE)
    assert merged.part_map.flatten(1).sum(1).tolist() == [140] * 4
    assert merged.part_flip == ()  # no region has sides
    whole = PixelLabels(data.train, "lip20")(one, SIZE)
    assert whole.part_map is not None
    assert whole.part_map[[1, 4, 8, 17]].flatten(1).sum(1).tolist() == [140] * 4
    assert whole.part_flip[17:] == (18, 17)  # left and right shoe
    with pytest.raises(DataError, match="must be of the image's size"):
        PixelLabels(data.train, "sgam5")(one, (3, 3))


def test_the_loss_is_that_of_the_pixels() -> None:
    trainee = ParserTrainee(ParserRunSettings.build(TINY).parser)
    maps = torch.zeros(2, 4, *SIZE)
    maps[:, 1, :24] = 1.0
    output = trainee.train()(torch.rand(2, 3, *SIZE), Cues())
    terms = trainee.losses(output, torch.zeros(2, dtype=torch.long), Cues(part_map=maps))
    probability = output.logits.log_softmax(1)
    expected = -(probability[:, 2, :24].mean() + probability[:, 0, 24:].mean()) / 2
    torch.testing.assert_close(terms["pixels"], expected)
    trainee.config = trainee.config.with_changes(loss_average="classes")
    maps[:, 1, 12:24] = 0.0  # a quarter of the pixels, and half of the loss
    by_class = trainee.losses(output, torch.zeros(2, dtype=torch.long), Cues(part_map=maps))["pixels"]
    torch.testing.assert_close(by_class, -(probability[:, 2, :12].mean() + probability[:, 0, 12:].mean()) / 2)
    with pytest.raises(ShapeError, match=r"part_map must have shape \(2, 4, 48, 24\)"):
        trainee.losses(output, torch.zeros(2), Cues(part_map=maps[:, :3]))
    with pytest.raises(UsageError, match="describes nobody"):
        trainee.describe(torch.rand(1, 3, *SIZE))


def test_the_auxiliary_loss_and_every_gradient() -> None:
    settings = ParserSettings(size=(64, 64), auxiliary_weight=0.5)
    trainee = ParserTrainee(settings).train()
    maps = torch.zeros(2, 4, 64, 64)
    output = trainee(torch.rand(2, 3, 64, 64), Cues())
    terms = trainee.losses(output, torch.zeros(2), Cues(part_map=maps))
    assert set(terms) == {"pixels", "auxiliary"}
    (terms["pixels"] + terms["auxiliary"]).backward()
    assert all(parameter.grad is not None for parameter in trainee.parameters())
    backbone, rest = trainee.parameter_groups(0.1)
    assert (backbone["lr"], rest["lr"]) == (pytest.approx(0.01), 0.1)
    assert len(backbone["params"]) + len(rest["params"]) == len(list(trainee.parameters()))


def test_the_papers_settings_and_the_small_ones() -> None:
    paper = ParserRunSettings()
    assert (paper.parser.architecture, paper.parser.size, paper.train.batch_size) == ("deeplabv3", (320, 320), 16)
    assert (paper.train.lr, paper.train.milestones, paper.train.epochs) == (0.1, (40,), 80)
    small = ParserRunSettings.build(small_parser(), {"train": {"epochs": 3}})
    assert (small.parser.architecture, small.train.epochs, small.train.batch_size) == ("light", 3, 16)
    for changes, message in (
        ({"parser": {"labels": "atr18"}}, "parser.labels"),
        ({"parser": {"size": [8, 8]}}, "parser.size"),
        ({"parser": {"widht": 8}}, "did you mean 'width'"),
    ):
        with pytest.raises(SettingsError, match=message):
            ParserRunSettings.build(changes)


def test_no_network_is_asked_for_weights(data: ParsingDataset, tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match="there is no file"):
        train_parser(data, tmp_path / "run", TINY, {"initial_weights": str(tmp_path / "none.pth")})


# -- figures -------------------------------------------------------------------------------------------------------------


def test_scores_by_hand() -> None:
    counts = torch.tensor([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    scores = ParserScores.from_counts(counts, ("background", "head", "shoes"), 2)
    assert scores.pixel_accuracy == pytest.approx(9 / 12)
    assert scores.iou == {"background": pytest.approx(6 / 9), "head": pytest.approx(3 / 6), "shoes": None}
    assert scores.mean_iou == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert "shoes          absent" in scores.summary()
    with pytest.raises(UsageError, match="there are none"):
        ParserScores.from_counts(torch.zeros(3, 3), ("a", "b", "c"), 0)


def test_judged_at_the_images_own_size(data: ParsingDataset, trained: Any, tmp_path: Path) -> None:
    """Enlarged images and labels give nearly the same figures; a wrong label of a pixel counts as one pixel."""
    large = []
    for sample in data.validation:
        for path in (sample.image, sample.label_file):
            kind = Image.Resampling.BICUBIC if path is sample.image else Image.Resampling.NEAREST
            (tmp_path / path.parent.name).mkdir(exist_ok=True)
            Image.open(path).resize((48, 96), kind).save(tmp_path / path.parent.name / path.name)
        large.append(
            ParsingSample(tmp_path / "images" / sample.image.name, tmp_path / "labels" / sample.label_file.name)
        )
    steps: list[tuple[int, int]] = []
    scores = score_parser(
        ParserProvider(trained.weights), large, batch_size=4, progress=lambda *done: steps.append(done)
    )
    assert scores.pixel_accuracy == pytest.approx(trained.scores.pixel_accuracy, abs=0.03)
    assert steps == [(4, 6), (6, 6)]
    labels = np.zeros((96, 48), np.uint8)
    labels[0, 0] = 30
    Image.fromarray(labels).save(large[0].label_file)
    with pytest.raises(DataError, match="expected labels from 0 to 19, found 30"):
        score_parser(ParserProvider(trained.weights), large)


def test_some_of_the_held_out_images(data: ParsingDataset, tmp_path: Path) -> None:
    result = train_parser(data, tmp_path / "run", TINY, {"train": {"epochs": 1}, "validation_images": 2})
    assert result.scores.images == 2


def test_lips_own_labels(data: ParsingDataset, tmp_path: Path) -> None:
    settings = {"train": {"epochs": 1}, "parser": {"labels": "lip20"}}
    result = train_parser(data, tmp_path / "run", TINY, settings)
    assert list(result.scores.iou)[:3] == ["background", "hat", "hair"]
    source = ProviderSource(ParserProvider(result.weights), grouping="sgam5")
    cues = source(as_samples(data.train)[0], SIZE)
    assert cues.part_map is not None
    assert cues.part_map.shape == (4, *SIZE)


# -- the file ------------------------------------------------------------------------------------------------------------


def test_the_file_and_what_it_says(tmp_path: Path) -> None:
    made = replace(random_parser(), scores={"pixel_accuracy": 0.5}, training={"epochs": 1})
    path = save_parser(made, tmp_path / "parser.safetensors")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["labels"]) == ["background", "head", "upper_body", "lower_body", "shoes"]
    assert (json.loads(metadata["size"]), metadata["classes"]) == ([48, 24], "5")
    assert json.loads(metadata["mean"]) == list(made.preprocess.mean)
    back = load_parser(path)
    assert (back.settings, back.preprocess, back.scores) == (made.settings, made.preprocess, made.scores)
    assert weights_checksum(back.network) == weights_checksum(made.network)
    assert not back.network.training
    assert os.listdir(tmp_path) == ["parser.safetensors"]  # noqa: PTH208


def test_files_that_are_no_parser(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match="no parser there"):
        load_parser(tmp_path / "none.safetensors")
    path = save_parser(random_parser(), tmp_path / "parser.safetensors")
    state = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()

    def refused(message: str, tensors: dict[str, torch.Tensor] | None = None, **changes: str | None) -> None:
        kept = {key: value for key, value in {**metadata, **changes}.items() if value is not None}
        save_file(state if tensors is None else tensors, path, metadata=kept)
        with pytest.raises(DataError, match=message) as caught:
            load_parser(path)
        assert str(path) in str(caught.value)

    refused("not a human parser", occlureid="method")
    refused("not a human parser", occlureid=None)
    refused("cannot be read as a human parser", settings=None)
    refused("cannot be read as a human parser", settings="{")
    refused("cannot be read as a human parser", settings='{"labels": "atr18"}')
    refused("cannot be read as a human parser", settings='{"width": 100000000}')
    refused("cannot be read as a human parser", settings='{"architecture": "light", "backbone": "nonsense"}')
    refused("cannot be read as a human parser", labels="7")
    refused("cannot be read as a human parser", scores="7")
    refused(
        "a parser of other classes: expected the 5 of 'sgam5'.*got 5 .background, hand", labels='["background", "hand"]'
    )
    refused("a parser of other classes.*got 7", classes="7")
    other = random_parser(labels="lip20")
    refused("weights do not fit its settings", {k: v.contiguous() for k, v in other.network.state_dict().items()})
    refused("weights do not fit its settings", {key: value for key, value in state.items() if "head.4" not in key})
    path.write_bytes(b"\x80\x04nothing good")
    with pytest.raises(DataError, match="cannot be read as a human parser"):
        load_parser(path)


# -- the provider --------------------------------------------------------------------------------------------------------


def test_a_provider_like_any_other(data: ParsingDataset, trained: Any) -> None:
    provider = ParserProvider(trained.weights)
    assert isinstance(provider, Provider)
    assert (provider.labels, provider.cues) == ("sgam5", {"part_map", "foreground"})
    pictures = [np.array(Image.open(sample.image)) for sample in data.validation[:3]]
    pictures[1] = np.array(Image.fromarray(pictures[1]).resize((30, 61)))
    together = provider(pictures)
    for picture, cues in zip(pictures, together, strict=True):
        assert cues.part_map is not None
        assert cues.foreground is not None
        assert cues.part_map.shape == (4, *picture.shape[:2])
        assert float(cues.part_map.sum(0).max()) <= 1.01
        levels = cues.part_map * 255
        torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-3)
        alone = provider([picture])[0]
        torch.testing.assert_close(alone.part_map, cues.part_map, rtol=0, atol=1.5 / 255)
    with pytest.raises(ShapeError):
        provider([pictures[0][..., 0]])
    with pytest.raises(SettingsError, match="batch_size"):
        ParserProvider(trained.weights, batch_size=0)


def test_the_fingerprint_is_of_weights_and_settings(trained: Any) -> None:
    provider = ParserProvider(trained.weights)
    assert provider.fingerprint == ParserProvider(load_parser(trained.weights), batch_size=3).fingerprint
    assert provider.fingerprint.startswith("parser@")
    changed = load_parser(trained.weights)
    with torch.no_grad():
        next(changed.network.parameters()).add_(0.1)
    assert ParserProvider(changed).fingerprint != provider.fingerprint


@pytest.mark.trained
def test_its_part_maps_as_files(data: ParsingDataset, trained: Any, tmp_path: Path, figures: Figures) -> None:
    """``build_parsing`` writes them, ``PartFolder`` reads them back in SGAM's regions, and they are right."""
    provider = ParserProvider(trained.weights)
    folder = data.root / "images"
    build_parsing([sample.image for sample in data.validation], provider, tmp_path, cache=CueCache(tmp_path / "cache"))
    source = PartFolder(tmp_path / "parts", folder, grouping="sgam5")
    for (
        sample
    ) in data.validation:  # under AVX2 with seed 1: 0.182 in the worst image; 0.253 after 12 epochs, in place of 20
        one = Sample(sample.image, "1", "1")
        found = source(one, SIZE).part_map
        truth = PixelLabels(data.validation, "sgam5")(one, SIZE).part_map
        assert found is not None
        assert truth is not None
        figures.below("share of wrong pixels", float((found - truth).abs().sum(0).clamp(max=1).mean()), 0.25)
