"""Settings that contradict each other, or the data: every message names the one to change and a value that works."""

import re
from typing import Any

import pytest

from occlureid.config import parse_assignments
from occlureid.errors import DataError, SettingsError, UsageError
from occlureid.runs import RunSettings
from occlureid.training import TrainSettings
from occlureid.training.batches import make_batches
from occlureid.training.schedule import warn_of_unreached
from occlureid.types import Sample
from tests.tiny_method import make_samples


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Eighteen images of six persons."""
    return make_samples(tmp_path_factory.mktemp("training") / "images")


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 1, "warmup_epochs": 10},
        {"epochs": 3, "warmup_epochs": 3.5},
        {"milestones": [40, 20, 0]},
        {"momentum": 0},
        {"sampler": "identity", "batch_size": 30},
        {"sampler": "identity", "batch_size": 2, "instances": 3},
        {"paste_visible": [0.9, 0.4]},
    ],
    ids=str,
)
def test_each_setting_that_a_message_proposes_works(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as refused:
        RunSettings.build({"train": values})
    message = str(refused.value)
    assert message.startswith("settings of 'train': ")
    proposed = re.findall(r"train\.\w+=[^\s;,)]*(?:,[\d.]+\])?", message)
    assert proposed, message
    for assignment in proposed:
        RunSettings.build({"train": values}, parse_assignments([assignment]))


def test_a_milestone_that_is_never_reached_is_said(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_unreached(TrainSettings(epochs=41))
    warn_of_unreached(TrainSettings(epochs=1, schedule="cosine"))
    assert not caplog.records
    warn_of_unreached(TrainSettings(epochs=20, milestones=(10, 20, 40)))
    assert "ends after 20 epochs, before the learning rate falls at 20, 40; set train.milestones" in caplog.text


@pytest.mark.parametrize(
    ("settings", "world", "error"),
    [
        ({"batch_size": 32}, 1, DataError),
        ({"batch_size": 32}, 2, DataError),
        ({"batch_size": 32, "sampler": "identity"}, 1, DataError),
        ({"batch_size": 30, "sampler": "identity", "instances": 2}, 2, DataError),
        ({"batch_size": 10, "sampler": "identity", "instances": 2}, 2, UsageError),
    ],
)
def test_batches_that_cannot_be_filled_say_which_can(
    samples: list[Sample], settings: dict[str, Any], world: int, error: type[Exception]
) -> None:
    refused = TrainSettings(**settings)
    with pytest.raises(error) as message:
        make_batches(samples, refused, rank=0, world=world)
    proposed = re.findall(r"train\.(\w+)=(\w+)", str(message.value))
    assert proposed, str(message.value)
    for name, value in proposed:
        assert make_batches(samples, refused.with_changes(**{name: value}), rank=0, world=world).steps > 0
