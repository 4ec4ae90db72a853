"""The training loop: schedules by hand, interruption of every kind, one process against two, and the choice of an epoch."""

import json
import logging
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from occlureid.arithmetic import train_precision
from occlureid.config import read_yaml
from occlureid.data.dataset import ReidDataset
from occlureid.errors import DataError, MissingCueError, SettingsError, UsageError
from occlureid.methods import Needs
from occlureid.training import (
    DivergedError,
    TrainingStoppedError,
    TrainSettings,
    learning_rate_factor,
    read_checkpoint,
    split_validation,
    train_method,
    training_labels,
)
from occlureid.training.checkpoint import write_checkpoint
from occlureid.training.step import Updater, make_optimiser, step_seed
from occlureid.types import Protocol, Sample
from tests.tiny_method import TinyMethod, make_method, make_samples
from tests.trained import Figures
from tests.training_process import AVERAGED, TOGETHER, run_killed

ROOT = Path(__file__).parents[1]
TIMING = ("images_per_second", "train_seconds", "validation_seconds")
SMALL = TrainSettings(
    epochs=3, batch_size=4, workers=0, lr=0.05, milestones=(2,), checkpoint_every=3, log_every=1, accelerator="cpu"
)
STEPS = 12  # 18 images make 4 whole batches an epoch


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return make_samples(tmp_path_factory.mktemp("training") / "images")


@pytest.fixture(scope="module")
def whole(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted, with everything in it that a resume could get wrong."""
    out = tmp_path_factory.mktemp("training") / "whole"
    train_method(busy_method(), samples, SMALL, out)
    return out


def busy_method() -> TinyMethod:
    return make_method(6, norm=True, dropout=0.3)


def log_of(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMING} for line in lines]


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = (load_file(folder / "weights.safetensors") for folder in (one, other))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def assert_same_run(one: Path, other: Path) -> None:
    assert_same_weights(one, other)
    assert log_of(one) == log_of(other)
    first, second = read_checkpoint(one / "checkpoint.pt"), read_checkpoint(other / "checkpoint.pt")
    assert replace(first.state, log_bytes=0) == replace(second.state, log_bytes=0)
    torch.testing.assert_close(first.optimiser, second.optimiser, rtol=0, atol=0)


# -- settings and schedule -----------------------------------------------------------------------------------------------


def test_step_schedule_by_hand() -> None:
    settings = TrainSettings(epochs=10, milestones=(2, 4), decay=0.1)
    factors = [learning_rate_factor(settings, step, 5) for step in (0, 9, 10, 19, 20, 49)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_schedule_by_hand() -> None:
    settings = TrainSettings(epochs=4, schedule="cosine", final_factor=0.2)
    factors = [learning_rate_factor(settings, step, 2) for step in (0, 2, 4, 8)]
    assert factors == pytest.approx([1, 0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2, 0.6, 0.2])


def test_warm_up_by_hand() -> None:
    constant = TrainSettings(epochs=4, schedule="constant", warmup_epochs=2, warmup_factor=0.2)
    assert [learning_rate_factor(constant, step, 2) for step in (0, 1, 2, 4, 7)] == pytest.approx([0.2, 0.4, 0.6, 1, 1])
    cosine = TrainSettings(epochs=4, schedule="cosine", warmup_epochs=2, warmup_factor=0.2)
    assert [learning_rate_factor(cosine, step, 2) for step in (0, 3, 4, 6)] == pytest.approx([0.2, 0.8, 1, 0.5])


@given(
    st.sampled_from(["step", "cosine", "constant"]),
    st.floats(0, 4),
    st.floats(0, 1),
    st.integers(0, 200),
    st.integers(1, 20),
)
def test_factor_stays_within_bounds(schedule: Any, warm: float, start: float, step: int, per_epoch: int) -> None:
    settings = TrainSettings(epochs=5, schedule=schedule, milestones=(1, 3), warmup_epochs=warm, warmup_factor=start)
    assert 0 <= learning_rate_factor(settings, step, per_epoch) <= 1


def test_schedule_refuses_impossible_steps() -> None:
    with pytest.raises(UsageError, match="step >= 0"):
        learning_rate_factor(TrainSettings(), -1, 5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sampler": "identity", "batch_size": 30}, "multiple of instances.*30 and 4; take for example batch_size 28"),
        ({"sampler": "identity", "batch_size": 4}, "at least two persons"),
        ({"momentum": 0}, "nesterov needs momentum"),
        ({"milestones": [40, 20]}, "rising epochs"),
        ({"epochs": 5, "warmup_epochs": 5}, "warmup_epochs must be below epochs"),
        (
            {"epochs": 1, "warmup_epochs": 10},
            r"below epochs, got 10 and 1; set warmup_epochs=0 too .*, or epochs=11 or more",
        ),
        ({"epochs": 1, "warmup_epochs": 1.5}, r"got 1.5 and 1; set warmup_epochs=0 too .*, or epochs=2 or more"),
        ({"accelerator": "cpu", "precision": "16-mixed"}, "needs a GPU"),
        ({"learning_rate": 0.1}, "unknown setting 'learning_rate'"),
        ({"validation_fraction": 1.0}, "less than 1"),
        ({"average_decay": 1.0}, "average_decay.*less than 1"),
    ],
)
def test_settings_that_do_not_go_together(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        TrainSettings(**values)


def test_every_setting_is_documented() -> None:
    assert all(text for _, _, text in TrainSettings.describe_fields())


# -- a run ---------------------------------------------------------------------------------------------------------------


def test_run_learns_and_leaves_its_files(samples: list[Sample], whole: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    assert names == {"checkpoint.pt", "weights.safetensors", "settings.yaml", "labels.json", "log.jsonl", "events"}
    steps = [line for line in log_of(whole) if line["event"] == "step"]
    assert [line["step"] for line in steps] == list(range(1, STEPS + 1))
    assert [line["lr"] for line in steps] == pytest.approx([0.05] * 8 + [0.005] * 4)
    assert steps[0]["loss"] == pytest.approx(sum(steps[0]["terms"].values()), rel=1e-5)
    assert log_of(whole)[-1]["chosen_by"].startswith("last epoch")
    assert json.loads((whole / "labels.json").read_text()) == training_labels(samples, SMALL)


@pytest.mark.trained
def test_training_lowers_the_loss(samples: list[Sample], tmp_path: Path, figures: Figures, training_seed: int) -> None:
    steady = {"optimiser": "adam", "lr": 0.02, "erasing_probability": 0.0}
    settings = SMALL.with_changes(epochs=20, milestones=(16,), seed=training_seed, **steady)
    train_method(make_method(6, seed=1 + training_seed), samples, settings, tmp_path)
    losses = [line["loss"] for line in log_of(tmp_path) if line["event"] == "step"]
    # 0.233 in the worst of 5 seeds, 0.070 in the best, AVX-512
    figures.below("loss, of its first value", sum(losses[-4:]) / sum(losses[:4]), 0.5)


def test_result_holds_the_weights_and_settings_make_a_recipe(samples: list[Sample], tmp_path: Path) -> None:
    method = busy_method()
    result = train_method(method, samples, SMALL, tmp_path, record={"initial_weights": "none"})
    assert (result.epoch, result.score, result.steps) == (3, None, STEPS)
    assert "no training person was held out" in result.summary()
    assert not method.training
    recipe = read_yaml(tmp_path / "settings.yaml")
    assert TrainSettings.build(recipe["train"]) == SMALL.with_changes(precision=train_precision("auto", "cpu"))
    assert (recipe["model"], recipe["initial_weights"]) == (method.config.to_dict(), "none")


def test_random_state_of_the_caller_is_left_alone(samples: list[Sample], tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train_method(busy_method(), samples, SMALL, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": "adam", "lr": 0.01, "schedule": "cosine"},
        {"optimiser": "adamw", "lr": 0.01, "clip_norm": 0.1, "pad": 2, "schedule": "constant"},
        {"sampler": "identity", "instances": 2, "precision": "bf16-mixed"},
        {"average_decay": 0.9, "colour_jitter": 0.5, "noise": 0.05, "jpeg_probability": 0.5, "box_jitter": 0.1},
        {"workers": 1, "drop_last": False, "flip_probability": 0.0, "on_corrupt": "skip"},
    ],
    ids=lambda changes: next(iter(changes.values())),
)
def test_every_option_trains_and_resumes(samples: list[Sample], tmp_path: Path, changes: dict[str, Any]) -> None:
    settings = SMALL.with_changes(**changes)
    train_method(busy_method(), samples, settings, tmp_path / "whole")
    interrupt(samples, settings, tmp_path / "cut", at=5)
    train_method(busy_method(), samples, settings, tmp_path / "cut", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_method_gives_the_backbone_its_own_rate(samples: list[Sample]) -> None:
    optimiser = make_optimiser(busy_method(), SMALL)
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.005, 0.05])


def test_parameter_groups_must_be_complete() -> None:
    method = make_method(6)
    method.register_parameter("forgotten", torch.nn.Parameter(torch.zeros(1)))
    with pytest.raises(UsageError, match=r"every trainable parameter once.*forgotten"):
        make_optimiser(method, SMALL)


def test_step_seeds_differ() -> None:
    seeds = {step_seed(seed, step, rank) for seed in range(3) for step in range(20) for rank in range(4)}
    assert len(seeds) == 240
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_method_for_other_persons_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="made for 7 persons, expected 6"):
        train_method(make_method(7), samples, SMALL, tmp_path)


def test_missing_cue_is_named(samples: list[Sample], tmp_path: Path) -> None:
    method = make_method(6)
    method.needs = Needs(train=frozenset({"keypoints"}))
    with pytest.raises(MissingCueError, match="keypoints"):
        train_method(method, samples, SMALL, tmp_path)


def test_loss_that_is_not_finite_names_step_and_terms(samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"step 3: the loss is not finite \(identity [\d.]+, size nan\)"):
        train_method(make_method(6, fault="nan"), samples, SMALL, tmp_path)
    assert read_checkpoint(tmp_path / "checkpoint.pt").state.step == 0


def test_more_processes_than_the_batch_can_feed(samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="multiple of the 3 processes"):
        train_method(make_method(6), samples, SMALL.with_changes(devices=3), tmp_path)


# -- interruption --------------------------------------------------------------------------------------------------------


class PowerCut(Exception):
    """What the tests end a run with."""


def interrupt(samples: list[Sample], settings: TrainSettings, out: Path, at: int) -> None:
    """Starts a run that ends without warning before the step after ``at`` steps."""
    with pytest.MonkeyPatch.context() as patch:
        update = Updater.update

        def cut(self: Updater, share: Any, *, step: int, **named: Any) -> Any:
            if step == at:
                raise PowerCut
            return update(self, share, step=step, **named)

        patch.setattr(Updater, "update", cut)
        with pytest.raises(PowerCut):
            train_method(busy_method(), samples, settings, out, resume=True)


@pytest.mark.parametrize("at", [0, 1, 3, 4, 7, 8, 11])
def test_resume_after_a_cut_is_as_if_nothing_had_been(
    samples: list[Sample], whole: Path, tmp_path: Path, at: int
) -> None:
    interrupt(samples, SMALL, tmp_path, at)
    other = make_method(6, norm=True, dropout=0.3)
    with torch.no_grad():
        other.classifier.weight.add_(1.0)  # the checkpoint counts, not what the method held
    train_method(other, samples, SMALL, tmp_path, resume=True)
    assert_same_run(whole, tmp_path)


def test_many_cuts_one_after_the_other(samples: list[Sample], whole: Path, tmp_path: Path) -> None:
    for at in (2, 4, 5, 6, 10):
        interrupt(samples, SMALL, tmp_path, at)
    train_method(busy_method(), samples, SMALL, tmp_path, resume=True)
    assert_same_run(whole, tmp_path)


def test_kill_at_any_moment(tmp_path: Path) -> None:
    (tmp_path / "killed").mkdir()
    ended = process("-m", "tests.training_process", "killed", str(tmp_path / "killed"))
    kills, code = (int(word) for word in ended.stdout.split()[-2:])
    assert kills > 5
    assert code == 0
    run_killed(tmp_path / "whole")
    assert_same_run(tmp_path / "whole" / "run", tmp_path / "killed" / "run")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_finishes_the_step_and_writes_a_checkpoint(
    samples: list[Sample], whole: Path, tmp_path: Path, number: signal.Signals
) -> None:
    method = busy_method()
    method.register_forward_pre_hook(lambda *_: os.kill(os.getpid(), number) if method.passes == 4 else None)
    before = signal.getsignal(number)
    with pytest.raises(TrainingStoppedError, match=rf"stopped by {number.name} after step 5 \(epoch 2\).*resume"):
        train_method(method, samples, SMALL, tmp_path)
    assert signal.getsignal(number) is before
    assert read_checkpoint(tmp_path / "checkpoint.pt").state.step == 5
    train_method(busy_method(), samples, SMALL, tmp_path, resume=True)
    assert_same_run(whole, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_to_the_whole_group_spares_the_loading_workers(
    samples: list[Sample], whole: Path, tmp_path: Path, number: signal.Signals
) -> None:
    def to_all(*_: Any) -> None:
        if method.passes == 4:
            for child in multiprocessing.active_children():
                os.kill(child.pid or 0, number)
            os.kill(os.getpid(), number)

    method = busy_method()
    method.register_forward_pre_hook(to_all)
    with pytest.raises(TrainingStoppedError, match="stopped by"):
        train_method(method, samples, SMALL.with_changes(workers=1), tmp_path)
    train_method(busy_method(), samples, SMALL.with_changes(workers=1), tmp_path, resume=True)
    assert_same_run(whole, tmp_path)


@pytest.mark.parametrize("moment", ["within an epoch", "between two"])
def test_a_script_that_fails_ends_although_it_has_loading_workers(tmp_path: Path, moment: str) -> None:
    script = tmp_path / "fails.py"
    script.write_text(f"""
import pathlib, sys
from occlureid.training import TrainSettings, loop, train_method
from tests.tiny_method import make_method, make_samples

def fail(*_):
    raise ArithmeticError("boom")

method = make_method(6, norm=True, dropout=0.3)
if {moment == "within an epoch"}:
    method.register_forward_pre_hook(lambda *_: fail() if method.passes == 2 else None)
else:
    loop._Run.close_epoch = fail
folder = pathlib.Path({str(tmp_path)!r})
settings = TrainSettings(epochs=2, batch_size=4, workers=1, accelerator="cpu", milestones=(1,))
train_method(method, make_samples(folder / "images"), settings, folder / "run")
""")
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, script], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert "ArithmeticError: boom" in done.stderr


def test_finished_run_returns_at_once(samples: list[Sample], whole: Path) -> None:
    before = {path: path.read_bytes() for path in whole.iterdir() if path.is_file()}
    method = make_method(6, norm=True, dropout=0.3)
    result = train_method(method, samples, SMALL, whole, resume=True)
    assert (result.steps, method.passes) == (STEPS, 0)
    assert {path: path.read_bytes() for path in before} == before


def test_more_epochs_go_on_where_the_schedule_allows(samples: list[Sample], tmp_path: Path) -> None:
    longer = SMALL.with_changes(epochs=4)
    train_method(busy_method(), samples, longer, tmp_path / "whole")
    train_method(busy_method(), samples, SMALL, tmp_path / "two")
    result = train_method(busy_method(), samples, longer.with_changes(log_every=5), tmp_path / "two", resume=True)
    assert (result.epoch, result.steps) == (4, 16)
    assert_same_weights(tmp_path / "whole", tmp_path / "two")
    with pytest.raises(UsageError, match=r"settings.epochs \(2 now, while 16 steps are done"):
        train_method(busy_method(), samples, SMALL.with_changes(epochs=2), tmp_path / "two", resume=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.04}, r"settings.lr \(0.05 before, 0.04 now\)"),
        ({"seed": 1, "batch_size": 6}, r"settings.batch_size .*settings.seed .*steps_per_epoch"),
        ({"schedule": "cosine", "epochs": 4}, r"settings.epochs .*settings.schedule"),
    ],
)
def test_other_settings_are_refused(samples: list[Sample], whole: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train_method(busy_method(), samples, SMALL.with_changes(**changes), whole, resume=True)


def test_other_method_settings_data_and_records_are_refused(samples: list[Sample], whole: Path) -> None:
    with pytest.raises(UsageError, match=r"method_settings.norm \(True before, False now\)"):
        train_method(make_method(6, dropout=0.3), samples, SMALL, whole, resume=True)
    moved = [replace(samples[0], camera="9"), *samples[1:]]
    with pytest.raises(UsageError, match=r"differs in: data \("):
        train_method(busy_method(), moved, SMALL, whole, resume=True)
    with pytest.raises(UsageError, match=r"record.initial_weights \(None before, 'imagenet' now\)"):
        train_method(busy_method(), samples, SMALL, whole, resume=True, record={"initial_weights": "imagenet"})


def test_run_that_was_killed_before_its_first_checkpoint_begins_again(
    samples: list[Sample], whole: Path, tmp_path: Path
) -> None:
    for name in ("settings.yaml", "labels.json", "log.jsonl"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    with pytest.raises(UsageError, match="holds a run already"):
        train_method(busy_method(), samples, SMALL, tmp_path)
    train_method(busy_method(), samples, SMALL, tmp_path, resume=True)
    assert load_file(tmp_path / "weights.safetensors").keys() == load_file(whole / "weights.safetensors").keys()
    (tmp_path / "checkpoint.pt").unlink()
    with pytest.raises(UsageError, match=r"holds a run already \(weights\.safetensors"):  # they are worth something
        train_method(busy_method(), samples, SMALL, tmp_path, resume=True)


def test_run_is_not_overwritten_unless_told(samples: list[Sample], tmp_path: Path) -> None:
    train_method(busy_method(), samples, SMALL, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    weights = (tmp_path / "weights.safetensors").read_bytes()
    other = SMALL.with_changes(seed=3, epochs=2)
    with pytest.raises(
        UsageError, match=r"holds a run already .* with other settings or data; continue it with resume"
    ):
        train_method(busy_method(), samples, other, tmp_path)
    with pytest.raises(UsageError, match="with the same settings"):
        train_method(busy_method(), samples, SMALL, tmp_path)
    with pytest.raises(UsageError, match="give one of them"):
        train_method(busy_method(), samples, other, tmp_path, resume=True, overwrite=True)
    assert (tmp_path / "weights.safetensors").read_bytes() == weights
    train_method(busy_method(), samples, other, tmp_path, overwrite=True)
    assert (tmp_path / "weights.safetensors").read_bytes() != weights
    assert len(log_of(tmp_path)) == 8 + 2
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(list((tmp_path / "events").iterdir())) == 1


# -- checkpoints that are not what they should be ------------------------------------------------------------------------


def test_every_damaged_byte_region_is_found(samples: list[Sample], whole: Path, tmp_path: Path) -> None:
    content = (whole / "checkpoint.pt").read_bytes()
    path = tmp_path / "checkpoint.pt"
    with zipfile.ZipFile(whole / "checkpoint.pt") as archive:
        members = [info for info in archive.infolist() if info.file_size]
    for info in members:
        name_length, extra = content[info.header_offset + 26], content[info.header_offset + 28]
        extra += 256 * content[info.header_offset + 29]
        at = info.header_offset + 30 + name_length + extra + info.file_size // 2
        path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        with pytest.raises(DataError, match=r"checkpoint\.pt: (damaged|not a readable|not a)"):
            read_checkpoint(path)


@pytest.mark.parametrize("keep", [0, 1, 100, 5000, -1])
def test_torn_checkpoint_is_refused(samples: list[Sample], whole: Path, tmp_path: Path, keep: int) -> None:
    (tmp_path / "checkpoint.pt").write_bytes((whole / "checkpoint.pt").read_bytes()[:keep])
    with pytest.raises(DataError, match=r"not a readable checkpoint.*overwrite"):
        train_method(busy_method(), samples, SMALL, tmp_path, resume=True)


class Intruder:
    """Would write a file when a careless loader unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("content", [[1], {"occlureid": "checkpoint 1"}, {"model": {}}, "intruder"], ids=str)
def test_foreign_files_are_refused_and_not_executed(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save(Intruder(tmp_path / "executed") if content == "intruder" else content, path)
    with pytest.raises(DataError, match="checkpoint"):
        read_checkpoint(path)
    assert not (tmp_path / "executed").exists()


def test_wrong_types_inside_are_refused(whole: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(whole / "checkpoint.pt")
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, replace(checkpoint, state=replace(checkpoint.state, step="twelve")))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"RunState.step must be .*int"):
        read_checkpoint(path)


def test_state_of_another_shape_is_refused(samples: list[Sample], whole: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(whole / "checkpoint.pt")
    unfinished = replace(checkpoint.state, finished=False, closed=1, step=4)
    write_checkpoint(tmp_path / "checkpoint.pt", replace(checkpoint, state=unfinished, model={}))
    with pytest.raises(DataError, match="does not fit this method"):
        train_method(busy_method(), samples, SMALL, tmp_path, resume=True)


def test_chosen_weights_that_are_gone_are_missed(samples: list[Sample], tmp_path: Path) -> None:
    train_method(busy_method(), samples, SMALL, tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(DataError, match="cannot be read back"):
        train_method(busy_method(), samples, SMALL, tmp_path, resume=True)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(DataError, match="gone, though the checkpoint"):
        train_method(busy_method(), samples, SMALL, tmp_path, resume=True)


def test_failed_write_leaves_the_old_checkpoint(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = read_checkpoint(whole / "checkpoint.pt")
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, checkpoint)
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DataError, match=r"No space left.*previous one"):
        write_checkpoint(path, checkpoint)
    assert path.read_bytes() == before


def test_log_that_was_lost_does_not_end_a_run(
    samples: list[Sample], whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    interrupt(samples, SMALL, tmp_path, 5)
    (tmp_path / "log.jsonl").unlink()
    with caplog.at_level(logging.WARNING):
        train_method(busy_method(), samples, SMALL, tmp_path, resume=True)
    assert "shorter than at the checkpoint" in caplog.text
    assert_same_weights(whole, tmp_path)


# -- corrupt images ------------------------------------------------------------------------------------------------------


def test_corrupt_image_is_fatal_by_name_or_skipped_and_tallied(tmp_path: Path) -> None:
    samples = make_samples(tmp_path / "images")
    samples[4].path.write_bytes(b"not an image")
    settings = SMALL.with_changes(drop_last=False)
    with pytest.raises(DataError, match=samples[4].path.name):
        train_method(busy_method(), samples, settings, tmp_path / "run")
    skip = settings.with_changes(on_corrupt="skip")  # the same run may go on: what was learned so far is the same
    result = train_method(busy_method(), samples, skip, tmp_path / "run", resume=True)
    assert result.skipped == {str(samples[4].path): 3}
    lines = log_of(tmp_path / "run")
    assert [line["skipped"] for line in lines if line.get("skipped")] == [[str(samples[4].path)]] * 3
    assert lines[-1]["skipped_images"] == 1


def test_batch_without_readable_images_is_stepped_over(tmp_path: Path) -> None:
    samples = make_samples(tmp_path / "images", persons=2, cameras=2)
    for sample in samples[:3]:
        sample.path.write_bytes(b"")
    skip = TrainSettings.build(SMALL.to_dict(), {"batch_size": 2, "on_corrupt": "skip", "epochs": 4})
    samples_read = make_samples(tmp_path / "more", persons=2, cameras=2)
    train_method(make_method(2), [*samples, *samples_read], skip, tmp_path / "run")
    steps = [line for line in log_of(tmp_path / "run") if line["event"] == "step"]
    assert len(steps) == 16
    assert 0 < sum("stepped_over" in line for line in steps) < 16
    samples[3].path.write_bytes(b"")
    with pytest.raises(DataError, match="not one batch of two readable images"):
        train_method(make_method(2), samples, skip, tmp_path / "none")


# -- choosing the epoch --------------------------------------------------------------------------------------------------


@given(st.integers(4, 30), st.integers(1, 4), st.integers(1, 3), st.floats(0.01, 0.6), st.integers(0, 5))
def test_validation_split(persons: int, cameras: int, images: int, fraction: float, seed: int) -> None:
    samples = [
        Sample(Path(f"{p:03d}_{c}_{i}.png"), f"{p:03d}", str(c), visible_fraction=(0.5 if i == images - 1 else 1.0))
        for p in range(persons)
        for c in range(cameras)
        for i in range(images)
    ]
    if cameras == 1 or persons - max(2, round(fraction * persons)) < 2:
        with pytest.raises(DataError, match=r"held-out persons|fewer than two"):
            split_validation(samples, fraction, seed)
        return
    split = split_validation(samples, fraction, seed)
    assert split == split_validation(samples[::-1], fraction, seed)
    held_out = {s.person for s in (*split.query, *split.gallery)}
    assert held_out.isdisjoint(s.person for s in split.train)
    assert sorted((*split.train, *split.query, *split.gallery), key=lambda s: s.path) == samples
    assert len(held_out) == max(2, round(fraction * persons))
    assert len({(s.person, s.camera) for s in split.query}) == len(split.query)
    for query in split.query:
        assert query.visible_fraction == 0.5
        assert any(g.person == query.person and g.camera != query.camera for g in split.gallery)
    if images > 1:
        assert len(split.query) == len(held_out) * cameras


def test_no_validation_trains_on_everyone(samples: list[Sample]) -> None:
    split = split_validation(samples, 0.0, 0)
    assert (list(split.train), split.query, split.gallery) == (samples, (), ())


def test_one_camera_cannot_be_validated(samples: list[Sample]) -> None:
    with pytest.raises(DataError, match="none of the 2 held-out persons is seen by two cameras"):
        split_validation([s for s in samples if s.camera == "0"], 0.3, 0)


def test_best_epoch_is_kept_and_test_images_are_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = make_samples(tmp_path / "images", persons=8, images=2)
    gone = (Sample(tmp_path / "no such.png", "9", "1"),)
    dataset = ReidDataset("tiny", tmp_path, tuple(samples), gone, gone, Protocol("tiny"))
    settings = SMALL.with_changes(epochs=4, validation_fraction=0.4, validate_every=2)
    labels = training_labels(dataset, settings)
    assert len(labels) == 5
    scores = iter([0.7, 0.6])
    monkeypatch.setattr("occlureid.training.loop.score", lambda *_: next(scores))
    method = make_method(5)
    result = train_method(method, dataset, settings, tmp_path / "run")
    assert (result.epoch, result.score) == (2, 0.7)
    assert "chose epoch 2: mAP 70.0%" in result.summary()
    lines = [line for line in log_of(tmp_path / "run") if line["event"] == "epoch"]
    assert [line.get("validation_map") for line in lines] == [None, 0.7, None, 0.6]
    assert (lines[-1]["chosen_epoch"], lines[-1]["chosen_by"]) == (2, "validation")
    assert (
        read_checkpoint(tmp_path / "run" / "checkpoint.pt")
        .model["classifier.weight"]
        .ne(method.classifier.weight)
        .any()
    )


@pytest.mark.trained
def test_validation_scores_by_the_method_and_resumes(tmp_path: Path, figures: Figures) -> None:
    samples = make_samples(tmp_path / "images", persons=8, images=2)
    settings = SMALL.with_changes(validation_fraction=0.4, validate_every=1, epochs=3)
    method = make_method(5, norm=True, dropout=0.3)
    result = train_method(method, samples, settings, tmp_path / "whole")
    assert result.score is not None
    figures.above("mAP of the persons held out", result.score, 0.2)
    assert result.score <= 1
    method = make_method(5, norm=True, dropout=0.3)
    method.register_forward_pre_hook(lambda *_: os.kill(os.getpid(), signal.SIGTERM) if method.passes == 9 else None)
    with pytest.raises(TrainingStoppedError):
        train_method(method, samples, settings, tmp_path / "cut")
    train_method(make_method(5, norm=True, dropout=0.3), samples, settings, tmp_path / "cut", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


# -- several processes ---------------------------------------------------------------------------------------------------


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
    process(*launch, "tests.training_process", "together", str(tmp_path))
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert "different arithmetics (32-true, bf16-mixed, by rank)" in first["differing"] == second["differing"]
    assert not (tmp_path / "differing").exists()
    for name in ("plain", "dropout", "resumed", "skip"):
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
    torch.testing.assert_close(first["resumed"], first["dropout"], rtol=0, atol=0)
    assert log_of(tmp_path / "stopped") == log_of(tmp_path / "dropout")
    assert "stopped by" in first["message"]
    assert "after step 6" in first["message"]

    torch.testing.assert_close(first["averaged"], second["averaged"], rtol=0, atol=0)
    torch.testing.assert_close(first["averaged resumed"], first["averaged"], rtol=0, atol=0)
    torch.testing.assert_close(first["averaged resumed"], second["averaged resumed"], rtol=0, atol=0)

    alone = make_method(6)
    samples = make_samples(tmp_path / "images")[:17]  # the last batch, of 5, is shared as 2 and 3
    train_method(alone, samples, TOGETHER.with_changes(devices=1), tmp_path / "alone")
    torch.testing.assert_close(alone.state_dict(), first["plain"], rtol=1e-4, atol=1e-6)
    mean = make_method(6)
    train_method(mean, samples, AVERAGED.with_changes(devices=1), tmp_path / "averaged alone")
    torch.testing.assert_close(mean.state_dict(), first["averaged plain"], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(mean.classifier.weight, alone.classifier.weight, rtol=1e-2)
    losses = [[line["loss"] for line in log_of(tmp_path / name) if "loss" in line] for name in ("alone", "plain")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert first["skipped"] == second["skipped"]
    assert sum(first["skipped"].values()) == 5 * 3
    assert {Path(path).parent.name for path in first["skipped"]} == {"images0", "images1"}
    stepped_over = ["stepped_over" in line for line in log_of(tmp_path / "skip") if line["event"] == "step"]
    assert len(stepped_over) == 9
    assert any(stepped_over)
    assert not all(stepped_over)
