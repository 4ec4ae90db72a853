"""From a run to a released model: half the bytes, no classifiers, the same output, a record and a card that agree."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from occlureid import methods
from occlureid.errors import DataError, MissingWeightsError, SettingsError, UsageError
from occlureid.models.heads import person_classifiers
from occlureid.zoo.card import BEGIN, END, block, new_card, renewed
from occlureid.zoo.catalogue import read_card, read_record
from occlureid.zoo.half import halve
from occlureid.zoo.pictures import canonical_pictures
from occlureid.zoo.record import ModelRecord, Score
from occlureid.zoo.release import release
from tests.zoo.conftest import SORN, STATEMENT, trained


def tensors(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    with safe_open(path, framework="pt") as file:
        return file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def test_a_released_file_is_halved_and_knows_no_person(runs: Path, zoo: Path) -> None:
    _, before = tensors(runs / "sorn" / "weights.safetensors")
    metadata, after = tensors(zoo / "sorn-tiny.safetensors")
    dropped = before.keys() - after.keys()
    assert dropped == person_classifiers(before)
    assert {name.rpartition(".")[0] for name in dropped} == {
        "global_neck.classifier",
        *(f"local_necks.{part}.classifier" for part in range(3)),
    }
    assert after["semantic_head.classify.weight"].dtype == torch.float16  # classifies pixels, not persons
    assert all(v.dtype == torch.float16 for v in after.values() if v.ndim > 1)
    assert all(v.dtype == torch.int64 for k, v in after.items() if k.endswith("num_batches_tracked"))
    assert json.loads(metadata["provenance"])["cues"]["source"] == "folders"  # the truth does not travel


def test_a_released_method_says_the_same(runs: Path, zoo: Path) -> None:
    first, second = (
        methods.restore(path) for path in (runs / "sorn" / "weights.safetensors", zoo / "sorn-tiny.safetensors")
    )
    images = torch.rand(3, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    one, other = first.describe(images), second.describe(images)
    assert torch.allclose(one.global_, other.global_, atol=0.02 * float(one.global_.abs().max()))
    assert not torch.equal(one.global_, other.global_)
    assert one.fingerprint != other.fingerprint
    assert second.fingerprint() == methods.restore(zoo / "sorn-tiny.safetensors").fingerprint()
    assert all(value.dtype != torch.float16 for value in second.state_dict().values())
    assert second.classes == 1


def test_only_released_files_may_lack_classifiers(zoo: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    metadata, state = tensors(zoo / "sorn-tiny.safetensors")
    save_file(state, tmp_path / "w.safetensors", {k: v for k, v in metadata.items() if k != "classifiers"})
    with pytest.raises(DataError, match="do not fit the settings"):
        methods.restore(tmp_path / "w.safetensors")
    del state["expand.weight"]
    save_file(state, tmp_path / "w.safetensors", metadata)
    with pytest.raises(DataError, match=r"expand\.weight"):
        methods.restore(tmp_path / "w.safetensors")


def test_what_half_precision_cannot_hold_stays() -> None:
    state = {
        "weight": torch.tensor([[1e-9, 1.0]]),
        "large.weight": torch.tensor([[1e6, 1.0]]),
        "norm.running_var": torch.tensor([1e-9, 1.0]),
        "other.running_var": torch.tensor([0.25, 0.5]),
        "count": torch.tensor(70_000),
    }
    halved, single = halve(state)
    assert single == ("large.weight", "norm.running_var")
    assert {name: value.dtype for name, value in halved.items()} == {
        "weight": torch.float16,
        "large.weight": torch.float32,
        "norm.running_var": torch.float32,
        "other.running_var": torch.float16,
        "count": torch.int64,
    }
    with pytest.raises(DataError, match="weight: holds numbers that are not finite"):
        halve({"weight": torch.tensor([torch.nan])})


def test_the_record_says_all(zoo: Path) -> None:
    record = read_record("sorn-tiny", zoo)
    content = (zoo / "sorn-tiny.safetensors").read_bytes()
    assert (record.bytes, record.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (record.task, record.method, record.size, record.seed) == ("embedder", "sorn", (64, 32), 7)
    method = methods.create("sorn", 1, record.settings)  # all that is needed to build it
    named = {name: v.numel() for name, v in method.named_parameters()}
    assert record.parameters == sum(n for name, n in named.items() if name not in person_classifiers(named))
    assert 0 < record.precision.change <= record.precision.bound
    assert record.data.worlds[0]["train_persons"] == 100
    assert record.headline() == "rank_1 25.0 %"
    assert set(record.canonical.values) == {"global", "parts", "visibility", "distances"}
    assert {len(rows) for rows in record.canonical.values.values()} == {len(canonical_pictures())}


def test_cue_models_bring_their_own_scores(zoo: Path) -> None:
    parser, landmarks = read_record("parser-tiny", zoo), read_record("landmarks-tiny", zoo)
    assert (parser.task, parser.method, landmarks.task) == ("parser", "light", "landmarks")
    assert parser.scores[0].values == {"mean_iou": 0.25, "pixel_accuracy": 0.5}
    assert parser.scores[0].measured_on == "12 held-out images of rendered worlds"
    assert landmarks.scores[-1].values == {"pck_0.05": 0.5}
    assert set(parser.canonical.values) == {"part_map"}
    assert set(landmarks.canonical.values) == {"keypoints"}


def test_cards_carry_the_records_figures_and_ones_own_words(runs: Path, zoo: Path, tmp_path: Path) -> None:
    card = read_card("sorn-tiny", zoo)
    assert card == new_card(read_record("sorn-tiny", zoo))
    assert "| 2 test persons of another world | mAP | 12.5 % |" in card
    assert "wheelchairs" in card
    assert "legal basis" in card
    (tmp_path / "x.md").write_text(card.replace("## Limits", "It likes red.\n\n## Limits"))
    better = replace(STATEMENT, scores=(Score(measured_on="a world", values={"rank_1": 0.5}),))
    release(runs / "sorn", "x", better, folder=tmp_path)
    text = read_card("x", tmp_path)
    assert "It likes red." in text
    assert "12.5 %" not in text
    assert "| a world | rank_1 | 50.0 % |" in text
    assert block(read_record("x", tmp_path)) in text
    for broken in (
        card.replace(BEGIN, ""),
        card + BEGIN,
        card.replace(BEGIN, "?").replace(END, BEGIN).replace("?", END),
    ):
        with pytest.raises(DataError, match="once, in this order"):
            renewed(broken, read_record("sorn-tiny", zoo))


def test_what_is_not_fit_for_release_is_refused(runs: Path, zoo: Path, tmp_path: Path) -> None:
    sorn = runs / "sorn"
    with pytest.raises(UsageError, match="a model 'sorn-tiny' already"):
        release(sorn, "sorn-tiny", STATEMENT, folder=zoo)
    with pytest.raises(UsageError, match="'sorn-tiny' is the default embedder already"):
        release(sorn, "other", replace(STATEMENT, default=True), folder=zoo)
    with pytest.raises(MissingWeightsError, match="no weights there"):
        release(tmp_path, "x", STATEMENT, folder=tmp_path)
    with pytest.raises(DataError, match=r"half precision changes .* more than 1e-09"):
        release(sorn, "x", STATEMENT, folder=tmp_path, bound=1e-9)
    with pytest.raises(SettingsError, match="scores"):
        release(sorn, "x", replace(STATEMENT, scores=()), folder=tmp_path)
    with pytest.raises(SettingsError, match="name"):
        release(sorn, "X Y", STATEMENT, folder=tmp_path)
    with pytest.raises(SettingsError, match="needs the cue keypoints to describe"):
        release(runs / "pgfa", "x", STATEMENT, folder=tmp_path)
    with pytest.raises(SettingsError, match="does not need the cue keypoints"):
        release(sorn, "x", replace(STATEMENT, cues={"keypoints": "landmarks-tiny"}), folder=zoo)
    assert not list(tmp_path.iterdir())
    assert not list(zoo.glob("*.partial"))


def test_nothing_of_where_and_from_what_it_was_trained_is_hidden(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    trained("sorn", SORN, weights, initial_weights="imagenet")
    with pytest.raises(DataError, match="not trained from random weights, but from 'imagenet'"):
        release(weights, "x", STATEMENT, folder=tmp_path / "zoo")
    data = STATEMENT.data.with_changes(initial_weights="a backbone trained on rendered worlds alone")
    record = release(weights, "x", replace(STATEMENT, data=data), folder=tmp_path / "zoo")
    assert record.training["initial_weights"] == record.data.initial_weights
    trained("sorn", SORN, weights, initial_weights="/data/somebody/backbone.pth")
    with pytest.raises(DataError, match=r"names '/data/somebody/backbone\.pth', a place on one machine"):
        release(weights, "y", replace(STATEMENT, data=data), folder=tmp_path / "zoo")
    trained("sorn", SORN, weights, train={})
    with pytest.raises(DataError, match="says nothing of its training"):
        release(weights, "z", STATEMENT, folder=tmp_path / "other")


def test_too_large_a_file_is_refused(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("occlureid.zoo.release.MOST_BYTES", 1000)
    with pytest.raises(DataError, match="at most 1,000 a file"):
        release(runs / "sorn", "x", STATEMENT, folder=tmp_path)
    monkeypatch.undo()
    (tmp_path / "large.safetensors").write_bytes(b"\0" * 2000)
    monkeypatch.setattr("occlureid.zoo.release.MOST_BYTES_IN_ALL", 12_000_000)
    release(runs / "sorn", "x", STATEMENT, folder=tmp_path)
    monkeypatch.setattr("occlureid.zoo.release.MOST_BYTES_IN_ALL", 11_000)
    with pytest.raises(DataError, match="2,000 of other models"):
        release(runs / "sorn", "x", STATEMENT, folder=tmp_path, overwrite=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not the record"),
        ("[]", "expected the record"),
        ("{}", "'name'"),
        ("\xff", "not the record"),
        pytest.param("[" * 100_000, "not the record", id="without-end"),
    ],
)
def test_damaged_records_are_clear_errors(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=message):
        ModelRecord.read(tmp_path / "x.json")
