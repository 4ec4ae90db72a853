"""The arithmetic of a training: chosen by the processor at its beginning, kept when it goes on elsewhere, and written down."""

from pathlib import Path

import pytest
import torch

import occlureid
from occlureid.arithmetic import FORCE, processor
from occlureid.config import read_yaml
from occlureid.data.dataset import ReidDataset
from occlureid.errors import DataError, UsageError
from occlureid.methods import restore
from occlureid.training import TrainSettings, read_checkpoint, train_method
from occlureid.training.checkpoint import write_checkpoint
from occlureid.types import Sample
from tests.test_training import SMALL, assert_same_run, busy_method, interrupt
from tests.tiny_method import make_samples

USED = {"float32": "32-true", "bfloat16": "bf16-mixed"}
OTHER = {"float32": "bfloat16", "bfloat16": "float32"}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return make_samples(tmp_path_factory.mktemp("precision") / "images")


def used(folder: Path) -> tuple[str, str]:
    """What the checkpoint and the settings file say."""
    stored = read_checkpoint(folder / "checkpoint.pt").identity.settings["precision"]
    return stored, read_yaml(folder / "settings.yaml")["train"]["precision"]


def test_auto_is_the_default() -> None:
    assert TrainSettings().precision == SMALL.precision == "auto"


@pytest.mark.parametrize("answer", ["float32", "bfloat16"])
def test_a_resumed_run_keeps_the_arithmetic_it_began_with(monkeypatch, samples, tmp_path, answer) -> None:
    monkeypatch.setenv(FORCE, answer)
    train_method(busy_method(), samples, SMALL, tmp_path / "whole")
    interrupt(samples, SMALL, tmp_path / "cut", at=5)
    monkeypatch.setenv(FORCE, OTHER[answer])  # it goes on where "auto" means the other
    train_method(busy_method(), samples, SMALL, tmp_path / "cut", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    assert used(tmp_path / "whole") == used(tmp_path / "cut") == (USED[answer],) * 2
    train_method(
        busy_method(), samples, SMALL, tmp_path / "whole", resume=True
    )  # finished: nothing is said of its settings


def test_the_two_answers_train_different_weights_and_auto_is_one_of_them(monkeypatch, samples, tmp_path) -> None:
    for answer, name in USED.items():
        monkeypatch.setenv(FORCE, answer)
        train_method(busy_method(), samples, SMALL, tmp_path / answer)
        monkeypatch.setenv(FORCE, OTHER[answer])
        train_method(busy_method(), samples, SMALL.with_changes(precision=name), tmp_path / name)
        assert_same_run(tmp_path / answer, tmp_path / name)
    one, other = (read_checkpoint(tmp_path / answer / "checkpoint.pt").model for answer in USED)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("began", ["32-true", "bf16-mixed"])
def test_a_run_begun_with_a_named_arithmetic_goes_on_with_auto(monkeypatch, samples, tmp_path, began) -> None:
    """As runs of earlier versions do, whose recipes named one."""
    named = SMALL.with_changes(precision=began)
    train_method(busy_method(), samples, named, tmp_path / "whole")
    interrupt(samples, named, tmp_path / "cut", at=5)
    monkeypatch.setenv(FORCE, "float32" if began == "bf16-mixed" else "bfloat16")
    train_method(busy_method(), samples, SMALL, tmp_path / "cut", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    assert used(tmp_path / "cut") == (began, began)


def test_another_arithmetic_by_name_is_refused(samples, tmp_path) -> None:
    named = SMALL.with_changes(precision="32-true")
    interrupt(samples, named, tmp_path, at=5)
    with pytest.raises(UsageError, match=r"settings.precision \('32-true' before, 'bf16-mixed' now\)"):
        train_method(busy_method(), samples, SMALL.with_changes(precision="bf16-mixed"), tmp_path, resume=True)


def test_a_run_of_a_gpu_is_refused_on_a_cpu_by_what_differs(samples, tmp_path) -> None:
    interrupt(samples, SMALL, tmp_path, at=5)
    stored = read_checkpoint(tmp_path / "checkpoint.pt")
    stored.identity.settings["precision"] = "16-mixed"
    write_checkpoint(tmp_path / "checkpoint.pt", stored)
    with pytest.raises(UsageError, match=r"settings.precision \('16-mixed' before"):
        train_method(busy_method(), samples, SMALL, tmp_path, resume=True)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04"])
def test_a_damaged_checkpoint_is_named_all_the_same(samples, tmp_path, content) -> None:
    interrupt(samples, SMALL, tmp_path, at=5)
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(DataError, match=r"checkpoint\.pt: not a readable checkpoint"):
        train_method(busy_method(), samples, SMALL, tmp_path, resume=True)


@pytest.mark.parametrize("answer", ["float32", "bfloat16"])
def test_weights_say_the_arithmetic_and_the_processor_they_were_trained_with(
    monkeypatch, rendered_world, tmp_path, answer
) -> None:
    world: ReidDataset = occlureid.open_dataset(rendered_world)
    changes = {
        "initial_weights": "none",
        "model": {"backbone": "resnet10t", "size": [64, 32]},
        "train": {
            "epochs": 1,
            "batch_size": 4,
            "sampler": "shuffle",
            "warmup_epochs": 0,
            "workers": 0,
            "accelerator": "cpu",
        },
    }
    monkeypatch.setenv(FORCE, answer)
    run = occlureid.train(world, tmp_path / "run", "baseline", changes)
    monkeypatch.setenv(FORCE, OTHER[answer])
    again = occlureid.train(world, tmp_path / "run", "baseline", changes, resume=True)
    assert again.weights == run.weights
    provenance = restore(run.weights).provenance
    assert (provenance["train"]["precision"], provenance["processor"]) == (USED[answer], processor())
