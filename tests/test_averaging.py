"""The moving average of the weights: by hand, in a run that is cut, and never in the way of the training itself."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from occlureid.errors import DataError, SettingsError, UsageError
from occlureid.training import TrainSettings, read_checkpoint, train_method
from occlureid.training import loop as training_loop
from occlureid.training.averaging import WeightAverage
from occlureid.training.checkpoint import write_checkpoint
from occlureid.training.step import Updater
from occlureid.types import Sample
from tests.tiny_method import TinyMethod, make_method, make_samples

RUN = TrainSettings(
    epochs=3, batch_size=4, workers=0, lr=0.05, milestones=(2,), checkpoint_every=3, log_every=1, accelerator="cpu",
    average_decay=0.8,
)  # fmt: skip


def busy_method() -> TinyMethod:
    return make_method(6, norm=True, dropout=0.3)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return make_samples(tmp_path_factory.mktemp("averaging") / "images")


@pytest.fixture(scope="module")
def whole(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("averaging") / "whole"
    train_method(busy_method(), samples, RUN, out)
    return out


# -- by hand -------------------------------------------------------------------------------------------------------------


class PowerCut(Exception):
    """What ends a run here."""


def fail(tell: Callable[[Tensor], None], weight: Tensor) -> None:
    tell(weight)
    raise PowerCut


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False))


def averaged(module: nn.Module, average: WeightAverage) -> dict[str, Tensor]:
    with average.applied():
        return {name: value.clone() for name, value in module.state_dict().items()}


def test_average_by_hand() -> None:
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(8.0)
    average = WeightAverage(module, 0.15)
    found = []
    for value in (0.0, 2.0, 2.0):
        module.weight.data.fill_(value)
        average.update()
        found.append(averaged(module, average)["weight"].item())
    # the decays are 1/10, then 2/11 and 3/12, of which 0.15 is the least
    assert found == pytest.approx([0.8, 0.15 * 0.8 + 0.85 * 2, 0.15 * 1.82 + 0.85 * 2])
    assert average.updates == 3


def test_warm_up_averages_few_steps_at_first() -> None:
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.0)
    average = WeightAverage(module, 0.999)
    expected = 0.0
    for step in range(30):
        module.weight.data.fill_(float(step))
        average.update()
        decay = (1 + step) / (10 + step)
        expected = decay * expected + (1 - decay) * step
    assert averaged(module, average)["weight"].item() == pytest.approx(expected, rel=1e-5)


def test_statistics_are_averaged_and_counters_are_not() -> None:
    module = small()
    module.register_buffer("measured", torch.tensor([1.0]))
    average = WeightAverage(module, 0.5)
    start = {name: value.clone() for name, value in module.state_dict().items()}
    module(torch.tensor([[1.0, 2.0], [5.0, 9.0]]))
    with torch.no_grad():
        module[0].weight.add_(1.0)
        module.measured.fill_(7.0)  # type: ignore[operator]
    now = {name: value.clone() for name, value in module.state_dict().items()}
    average.update()
    found = averaged(module, average)
    for name in ("0.weight", "0.bias", "1.weight", "1.running_mean", "1.running_var"):
        torch.testing.assert_close(found[name], 0.1 * start[name] + 0.9 * now[name])
    assert not torch.equal(start["1.running_mean"], now["1.running_mean"])
    assert found["1.num_batches_tracked"] == now["1.num_batches_tracked"] == 1
    assert found["measured"] == 7.0
    torch.testing.assert_close(dict(module.state_dict()), now, rtol=0, atol=0)


def test_weights_come_back_after_an_error() -> None:
    module = small()
    average = WeightAverage(module, 0.5)
    with torch.no_grad():
        module[0].weight.add_(1 / 3)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    within = []
    with pytest.raises(PowerCut), average.applied():
        fail(within.append, module[0].weight.clone())
    assert not torch.equal(within[0], before["0.weight"])
    torch.testing.assert_close(dict(module.state_dict()), before, rtol=0, atol=0)


def test_without_decay_nothing_is_kept() -> None:
    module = small()
    average = WeightAverage(module, 0.0)
    average.update()
    average.load_state(None)
    with average.applied():
        module[0].weight.data.fill_(3.0)
    assert module[0].weight.eq(3.0).all(), "there is nothing to be put back"
    assert average.state() is None
    assert (average.active, average.updates) == (False, 0)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_wrong_decays_are_refused(decay: float) -> None:
    with pytest.raises(SettingsError, match="decay must"):
        WeightAverage(small(), decay)


def test_state_goes_on_as_if_nothing_had_been() -> None:
    one, other = small(), small()
    first = WeightAverage(one, 0.9)
    with torch.no_grad():
        one[0].weight.mul_(0.3)
        first.update()
        second = WeightAverage(other, 0.9)
        second.load_state(first.state())
        other.load_state_dict(one.state_dict())
        for module in (one, other):
            module[0].weight.add_(1.0)
    first.update()
    second.update()
    torch.testing.assert_close(averaged(one, first), averaged(other, second), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: None, "no average"),
        (lambda state: {}, "updates and weights"),
        (lambda state: {**state, "updates": -1}, "updates and weights"),
        (lambda state: {**state, "updates": True}, "updates and weights"),
        (lambda state: {**state, "weights": [1]}, "updates and weights"),
        (lambda state: {**state, "weights": {**state["weights"], "more": torch.zeros(1)}}, "'more' is in one alone"),
        (lambda state: {**state, "weights": {3: torch.zeros(1)}}, "in one alone"),
        (lambda state: {**state, "weights": {**state["weights"], "0.bias": 3}}, "0.bias must be.*got int"),
        (
            lambda state: {**state, "weights": {**state["weights"], "0.bias": torch.zeros(4)}},
            r"0.bias.*\(3,\), got .*\(4,\)",
        ),
        (lambda state: {**state, "weights": {**state["weights"], "0.bias": torch.zeros(3).long()}}, "0.bias.*int64"),
    ],
)
def test_foreign_states_are_refused_and_change_nothing(change: Any, message: str) -> None:
    module = small()
    average = WeightAverage(module, 0.9)
    before = averaged(module, average)
    state = average.state()
    with pytest.raises(DataError, match=message):
        average.load_state(change(state))
    torch.testing.assert_close(averaged(module, average), before, rtol=0, atol=0)
    with pytest.raises(DataError, match="an average"):
        WeightAverage(module, 0.0).load_state(state)


# -- in a run ------------------------------------------------------------------------------------------------------------


def test_run_keeps_the_average_of_its_steps(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights after each step, averaged here by hand in double precision, are those that the run leaves."""
    method, expected = busy_method(), {}
    names = [name for name, value in method.state_dict().items() if value.is_floating_point()]
    expected.update({name: method.state_dict()[name].double() for name in names})
    update = Updater.update

    def watched(self: Updater, *given: Any, step: int, **named: Any) -> Any:
        summary = update(self, *given, step=step, **named)
        decay = min(0.8, (1 + step) / (10 + step))
        for name in names:
            expected[name] = decay * expected[name] + (1 - decay) * method.state_dict()[name].double()
        return summary

    monkeypatch.setattr(Updater, "update", watched)
    result = train_method(method, samples, RUN, tmp_path)
    found = load_file(result.weights)
    for name in names:
        torch.testing.assert_close(found[name].double(), expected[name], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(dict(method.state_dict()), found, rtol=0, atol=0)
    stored = read_checkpoint(tmp_path / "checkpoint.pt")
    assert stored.average is not None
    assert stored.average["updates"] == result.steps == 12
    torch.testing.assert_close(
        found["classifier.weight"], stored.average["weights"]["classifier.weight"], rtol=0, atol=0
    )
    assert not torch.equal(stored.model["classifier.weight"], found["classifier.weight"])


def test_averaging_leaves_the_training_as_it_is(samples: list[Sample], whole: Path, tmp_path: Path) -> None:
    train_method(busy_method(), samples, RUN.with_changes(average_decay=0.0), tmp_path)
    plain, mean = read_checkpoint(tmp_path / "checkpoint.pt"), read_checkpoint(whole / "checkpoint.pt")
    assert plain.average is None
    torch.testing.assert_close(plain.model, mean.model, rtol=0, atol=0)
    torch.testing.assert_close(plain.optimiser, mean.optimiser, rtol=0, atol=0)
    weights = [load_file(folder / "weights.safetensors")["classifier.weight"] for folder in (tmp_path, whole)]
    assert not torch.equal(*weights)


@pytest.mark.parametrize("at", [0, 2, 4, 7, 11])
def test_resume_is_exact(samples: list[Sample], whole: Path, tmp_path: Path, at: int) -> None:
    update = Updater.update

    def cut(self: Updater, *given: Any, step: int, **named: Any) -> Any:
        if step == at:
            raise PowerCut
        return update(self, *given, step=step, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Updater, "update", cut)
        with pytest.raises(PowerCut):
            train_method(busy_method(), samples, RUN, tmp_path)
    train_method(busy_method(), samples, RUN, tmp_path, resume=True)
    first, second = (load_file(folder / "weights.safetensors") for folder in (whole, tmp_path))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    first_stored, second_stored = (read_checkpoint(folder / "checkpoint.pt") for folder in (whole, tmp_path))
    torch.testing.assert_close(first_stored.average, second_stored.average, rtol=0, atol=0)


def test_validation_scores_the_average(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = make_samples(tmp_path / "images")
    settings = RUN.with_changes(validation_fraction=0.4, validate_every=1, epochs=2, milestones=(1,))
    scored = []

    def score(method: TinyMethod, *_: Any) -> float:
        scored.append(method.classifier.weight.detach().clone())
        return float(len(scored))

    monkeypatch.setattr(training_loop, "score", score)
    result = train_method(make_method(4), samples, settings, tmp_path / "run")
    assert (result.epoch, len(scored)) == (2, 2)
    assert torch.equal(load_file(result.weights)["classifier.weight"], scored[1])
    stored = read_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert torch.equal(stored.average["weights"]["classifier.weight"], scored[1])  # type: ignore[index]
    assert not torch.equal(stored.model["classifier.weight"], scored[1])


def test_a_run_that_began_before_there_were_averages_goes_on(samples: list[Sample], tmp_path: Path) -> None:
    plain = RUN.with_changes(average_decay=0.0)
    train_method(busy_method(), samples, plain, tmp_path / "whole")
    train_method(busy_method(), samples, plain.with_changes(epochs=1, milestones=(2,)), tmp_path / "old")
    path = tmp_path / "old" / "checkpoint.pt"
    stored = read_checkpoint(path)
    later = ("average_decay", "colour_jitter", "noise", "background_pictures", "box_jitter", "jpeg_probability")
    settings = {key: value for key, value in stored.identity.settings.items() if key not in later}
    assert len(settings) == len(stored.identity.settings) - len(later)
    write_checkpoint(path, replace(stored, identity=replace(stored.identity, settings=settings)))
    for changes in ({"average_decay": 0.9}, {"noise": 0.1}):
        with pytest.raises(UsageError, match=rf"settings.{next(iter(changes))} \(0.0 before, 0\.\d now\)"):
            train_method(busy_method(), samples, plain.with_changes(**changes), tmp_path / "old", resume=True)
    train_method(busy_method(), samples, plain, tmp_path / "old", resume=True)
    first, second = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "old"))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_checkpoint_without_its_average_is_refused(samples: list[Sample], whole: Path, tmp_path: Path) -> None:
    stored = read_checkpoint(whole / "checkpoint.pt")
    unfinished = replace(stored, state=replace(stored.state, finished=False, closed=1, step=4))
    write_checkpoint(tmp_path / "checkpoint.pt", replace(unfinished, average=None))
    with pytest.raises(DataError, match="no average"):
        train_method(busy_method(), samples, RUN, tmp_path, resume=True)
    write_checkpoint(tmp_path / "checkpoint.pt", replace(unfinished, average=[1]))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="average is"):
        read_checkpoint(tmp_path / "checkpoint.pt")
