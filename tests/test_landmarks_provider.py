"""The landmark network's file, and its use as a provider of cues: in Python, by command, and by PGFA."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from occlureid.cli import main
from occlureid.cues import CueCache, PoseFolder, Provider, build_pose
from occlureid.cues.providers import weights_checksum
from occlureid.data import open_dataset
from occlureid.errors import DataError, MissingWeightsError, SettingsError, ShapeError
from occlureid.landmarks import LandmarkProvider, LandmarkSettings, TrainedLandmarks, load_landmarks, save_landmarks
from occlureid.landmarks.trainee import LandmarkTrainee
from occlureid.types import KEYPOINT_FLIP, KEYPOINT_NAMES

SIZE = (64, 32)


def random_network(**changes: Any) -> TrainedLandmarks:
    settings = LandmarkSettings.build({"backbone": "test_resnet", "size": SIZE, "width": 16, **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trainee = LandmarkTrainee(settings)
        torch.nn.init.normal_(trainee.network.draw.weight, std=1.0)  # sees something somewhere
    return TrainedLandmarks(trainee.network.eval(), settings, trainee.preprocess)


@pytest.fixture
def pictures() -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((64, 32), (91, 40), (7, 5), (64, 32))]


def test_the_file_and_what_it_says(tmp_path: Path) -> None:
    made = replace(random_network(), scores={"pck_0.05": 0.5}, training={"train": {"epochs": 1}})
    path = save_landmarks(made, tmp_path / "landmarks.safetensors")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert (metadata["occlureid"], metadata["architecture"]) == ("landmarks", "test_resnet")
    assert json.loads(metadata["landmarks"]) == list(KEYPOINT_NAMES)
    assert json.loads(metadata["size"]) == [64, 32]
    back = load_landmarks(path)
    assert (back.settings, back.preprocess, back.scores) == (made.settings, made.preprocess, made.scores)
    assert back.training == made.training
    assert weights_checksum(back.network) == weights_checksum(made.network)
    assert not back.network.training
    assert [entry.name for entry in tmp_path.iterdir()] == ["landmarks.safetensors"]
    with pytest.raises(DataError, match="cannot be written"):
        save_landmarks(made, tmp_path / "landmarks.safetensors" / "below.safetensors")


def test_half_precision_is_read_into_single(tmp_path: Path, pictures: Any) -> None:
    made = random_network()
    path = save_landmarks(made, tmp_path / "whole.safetensors")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    halved = {key: value.half() if value.is_floating_point() else value for key, value in load_file(path).items()}
    save_file(halved, tmp_path / "half.safetensors", metadata=metadata)
    half = load_landmarks(tmp_path / "half.safetensors")
    assert {value.dtype for value in half.network.parameters()} == {torch.float32}
    whole, other = (LandmarkProvider(one).heatmaps(pictures[:1])[0] for one in (made, half))
    torch.testing.assert_close(whole, other, rtol=0, atol=0.01 * float(whole.abs().max()))


def test_files_that_are_no_landmark_network(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match="no landmark network there"):
        load_landmarks(tmp_path / "none.safetensors")
    path = save_landmarks(random_network(), tmp_path / "landmarks.safetensors")
    state = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()

    def refused(message: str, tensors: dict[str, torch.Tensor] | None = None, **changes: str | None) -> None:
        kept = {key: value for key, value in {**metadata, **changes}.items() if value is not None}
        save_file(state if tensors is None else tensors, path, metadata=kept)
        with pytest.raises(DataError, match=message) as caught:
            load_landmarks(path)
        assert str(path) in str(caught.value)

    refused("not a landmark network", occlureid="parser")
    refused("not a landmark network", occlureid=None)
    refused("cannot be read as a landmark network", settings=None)
    refused("cannot be read as a landmark network", settings="{")
    refused("cannot be read as a landmark network", settings='{"width": 100000000}')
    refused("cannot be read as a landmark network", settings="[1]")
    refused("cannot be read as a landmark network", settings="[" * 100_000)
    refused("cannot be read as a landmark network", settings='{"backbone": "nonsense"}')
    refused("cannot be read as a landmark network", scores="7")
    refused("finds other landmarks: expected the 18.*got nose, hand", landmarks='["nose", "hand"]')
    refused("cannot be read as a landmark network", landmarks="7")
    refused("weights do not fit its settings", {key: value for key, value in state.items() if "draw" not in key})
    other = random_network(width=8).network.state_dict()
    refused("weights do not fit its settings", {key: value.contiguous() for key, value in other.items()})
    path.write_bytes(b"\x80\x04nothing good")
    with pytest.raises(DataError, match="cannot be read as a landmark network"):
        load_landmarks(path)


def test_a_provider_like_any_other(pictures: Any) -> None:
    network = random_network()
    provider = LandmarkProvider(network, batch_size=3)
    assert isinstance(provider, Provider)
    assert (provider.labels, provider.cues) == (None, {"keypoints"})
    for picture, cues in zip(pictures, provider(pictures), strict=True):
        keypoints = cues.require("keypoints")
        assert keypoints.shape == (18, 3)
        assert keypoints.dtype == torch.float32
        found = keypoints[keypoints[:, 2] > 0]
        assert len(found)
        limits = torch.tensor([picture.shape[1], picture.shape[0], 1.0])
        assert bool(((found >= 0) & (found <= limits)).all())
        alone = provider([picture])[0].require("keypoints")
        torch.testing.assert_close(alone, keypoints, rtol=1e-3, atol=1e-3)
    # the same picture in four times the size has its landmarks at four times the place
    plain = [np.full((*size, 3), (90, 160, 40), np.uint8) for size in ((64, 32), (256, 128))]
    small, large = (cues.require("keypoints") for cues in provider(plain))
    assert bool((small[:, 2] > 0).any())
    torch.testing.assert_close(small * torch.tensor([4.0, 4.0, 1.0]), large, rtol=1e-4, atol=1e-3)
    with pytest.raises(ShapeError):
        provider([pictures[0][..., 0]])
    with pytest.raises(SettingsError, match="batch_size"):
        LandmarkProvider(network, batch_size=0)
    with pytest.raises(SettingsError, match="precision"):
        LandmarkProvider(network, precision="float8")  # type: ignore[arg-type]
    assert provider([]) == []


def test_precision_and_the_flip_test(pictures: Any) -> None:
    network = random_network()
    plain, coarse = LandmarkProvider(network), LandmarkProvider(network, precision="bfloat16")
    whole, rough = plain.heatmaps(pictures[:1])[0], coarse.heatmaps(pictures[:1])[0]
    assert rough.dtype == torch.float32
    torch.testing.assert_close(whole, rough, rtol=0, atol=0.05 * float(whole.abs().max()))
    assert not torch.equal(whole, rough)
    both = LandmarkProvider(network, flip_test=True)
    mirrored = np.ascontiguousarray(pictures[0][:, ::-1])
    one, other = (both.heatmaps([picture])[0] for picture in (pictures[0], mirrored))
    torch.testing.assert_close(one.flip(2)[list(KEYPOINT_FLIP)], other, rtol=0, atol=1e-4)
    assert len({provider.fingerprint for provider in (plain, coarse, both)}) == 3


def test_the_fingerprint_is_of_weights_and_settings() -> None:
    provider = LandmarkProvider(random_network())
    assert provider.fingerprint == LandmarkProvider(random_network(), batch_size=3).fingerprint
    assert provider.fingerprint.startswith("landmarks@")
    changed = random_network()
    with torch.no_grad():
        next(changed.network.parameters()).add_(0.1)
    assert LandmarkProvider(changed).fingerprint != provider.fingerprint
    assert LandmarkProvider(random_network(peak_weight=1)).fingerprint != provider.fingerprint


def test_its_landmarks_as_files(rendered_world: Path, tmp_path: Path) -> None:
    provider = LandmarkProvider(random_network())
    samples = open_dataset(rendered_world, "market1501").query
    paths = [sample.path for sample in samples]
    build_pose(paths, provider, tmp_path, cache=CueCache(tmp_path / "cache"))
    folder = PoseFolder(tmp_path / "pose", paths[0].parent)
    for sample in samples:
        with Image.open(sample.path) as image:
            picture = np.array(image.convert("RGB"))
        expected = provider([picture])[0].require("keypoints")
        found = folder(sample, picture.shape[:2]).require("keypoints")
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_from_images_to_pgfa_by_command(
    rendered_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "landmarks"
    command = [
        "train-landmarks", str(rendered_world), "--validate", str(rendered_world), "--small", "--out", str(out),
        "--set", "train.epochs=1", "--set", "train.workers=0", "--set", "train.batch_size=4", "--set", "train.warmup_epochs=0",
        "--set", "landmarks.size=[64,32]", "--set", "landmarks.backbone=test_resnet", "--set", "train.accelerator=cpu",
        "--set", "train.paste_obstacles=1", "--set", "train.paste_sprites=2",
    ]  # fmt: skip
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "PCK@0.05" in printed
    assert printed.splitlines()[-1] == str(out / "landmarks.safetensors")
    assert load_landmarks(out / "landmarks.safetensors").settings.stride == 4
    assert main(command) == 2  # a finished run is not overwritten without a word
    assert main([*command, "--resume"]) == 0
    bare = tmp_path / "bare"
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        shutil.copytree(rendered_world / folder, bare / folder)
    capsys.readouterr()
    weights = str(out / "landmarks.safetensors")
    assert main(["cues", "pose", str(bare), "--provider", weights, "--precision", "bfloat16"]) == 0
    dataset = open_dataset(bare, "market1501")
    assert all(PoseFolder(bare / "pose", bare).has(sample) for sample in (*dataset.train, *dataset.query))
    run = [
        "train", str(bare), "--recipe", "pgfa", "--out", str(tmp_path / "pgfa"), "--set", "initial_weights=none",
        "--set", "model.backbone=resnet10t", "--set", "model.size=[96,32]", "--set", "train.epochs=1",
        "--set", "train.batch_size=4", "--set", "train.workers=0", "--set", "train.accelerator=cpu",
        "--set", "train.milestones=[]",
    ]  # fmt: skip
    assert main(run) == 0
    capsys.readouterr()
    assert main(["train-landmarks", str(tmp_path), "--out", str(tmp_path / "x")]) == 3
    assert main(["cues", "pose", str(bare), "--provider", str(tmp_path / "none.safetensors")]) == 4
    assert main(["cues", "parsing", str(bare), "--provider", weights]) == 3
    capsys.readouterr()
    assert main(["cues", "pose", str(bare), "--provider", "landmarks"]) == 2
    assert "or a file .safetensors of train-landmarks" in capsys.readouterr().err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train-landmarks", "--help"])
    assert "example:\n  occlureid train-landmarks" in capsys.readouterr().out
