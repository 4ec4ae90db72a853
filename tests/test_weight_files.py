"""First weights from files: every tensor of the backbone is set, or nothing, with the first names that do not fit."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from occlureid import methods
from occlureid.cli.weights import named_models
from occlureid.errors import MissingWeightsError
from occlureid.models.backbone import Backbone, load_imagenet_weights
from occlureid.models.parser import HumanParser, load_parser_backbone
from occlureid.models.torchvision_operators import declare_missing
from occlureid.models.weight_files import Filled
from occlureid.runs import initialise
from occlureid.training import TrainSettings, train_method
from occlureid.training.networks import fill_backbone
from tests.tiny_method import make_method, make_samples

SIZE = (64, 32)
NAME = "resnet10t"
State = dict[str, Tensor]


def published(name: str = NAME) -> State:
    """The tensors of timm's classification network, every number another than in a new one."""
    declare_missing()
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return {key: value + 1 for key, value in timm.create_model(name).state_dict().items()}


@pytest.fixture(scope="module")
def state() -> State:
    return published()


def renamed(state: Mapping[str, Tensor], prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def fill(tmp_path: Path, content: Any, name: str = NAME) -> tuple[Filled, Backbone]:
    """A new backbone filled from a file of torch.save."""
    torch.save(content, tmp_path / "file.pth")
    backbone = Backbone(name, SIZE)
    return load_imagenet_weights(backbone, tmp_path / "file.pth"), backbone


def assert_refused(tmp_path: Path, content: Any, message: str, name: str = NAME) -> None:
    """The file is refused, and nothing of it is set."""
    torch.save(content, tmp_path / "file.pth")
    backbone = Backbone(name, SIZE)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    with pytest.raises(MissingWeightsError, match=rf"file\.pth: not weights of '{name}': {message}"):
        load_imagenet_weights(backbone, tmp_path / "file.pth")
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


WRAPPED: list[tuple[str, Callable[[State], Any]]] = [
    ("", lambda s: s),
    ("module.", lambda s: s),
    ("model.", lambda s: s),
    ("backbone.", lambda s: s),
    ("base.", lambda s: s),
    ("module.base.", lambda s: s),
    ("module.backbone.net.", lambda s: s),
    ("_orig_mod.module.model.", lambda s: s),
    ("", lambda s: {"state_dict": s, "epoch": 3}),
    ("module.", lambda s: {"model": s, "optimizer": {"lr": 0.1}}),
    ("backbone.", lambda s: {"model": {"state_dict": s}}),
]


@pytest.mark.parametrize(("prefix", "wrap"), WRAPPED)
def test_prefixes_and_wrappers_are_taken_off(
    state: State, tmp_path: Path, prefix: str, wrap: Callable[[State], Any]
) -> None:
    filled, backbone = fill(tmp_path, wrap(renamed(state, prefix)))
    own = backbone.net.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in own.items())
    assert filled == Filled(len(own), len(own), 2, prefix)  # fc.weight and fc.bias


def test_safetensors_go_by_their_content(state: State, tmp_path: Path) -> None:
    save_file(renamed(state, "module."), tmp_path / "no-suffix")
    assert load_imagenet_weights(Backbone(NAME, SIZE), tmp_path / "no-suffix").prefix == "module."
    torch.save(state, tmp_path / "other.safetensors")  # named wrongly
    assert load_imagenet_weights(Backbone(NAME, SIZE), tmp_path / "other.safetensors").unused == 2


def test_counters_of_batch_norm_may_be_absent_and_heads_beside(state: State, tmp_path: Path) -> None:
    bare = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    head = {"bottleneck.weight": torch.ones(512), "classifier.weight": torch.ones(3, 512)}
    filled, backbone = fill(tmp_path, renamed(bare, "base.") | head)
    counters = sum(name.endswith("num_batches_tracked") for name in backbone.net.state_dict())
    assert counters > 0
    assert filled == Filled(filled.of - counters, len(backbone.net.state_dict()), 4, "base.")
    half, _ = fill(tmp_path, {name: tensor.half() for name, tensor in bare.items()} | head)
    assert half.tensors == filled.tensors


def test_what_is_refused(state: State, tmp_path: Path) -> None:
    assert_refused(
        tmp_path, {"hello": torch.zeros(3)},
        r"it sets 0 of \d+ tensors; the first that is missing is 'conv1\.0\.weight', the first that is not used 'hello'",
    )  # fmt: skip
    unknown = renamed(state, "encoder_q.")
    assert_refused(
        tmp_path, unknown, r"it sets 0 of .* missing is 'conv1\.0\.weight', .* used 'encoder_q\.conv1\.0\.weight'"
    )
    gone = {name: tensor for name, tensor in state.items() if name != "layer3.0.bn2.running_var"}
    assert_refused(
        tmp_path,
        renamed(gone, "module."),
        r"it sets \d+ of .* is 'layer3\.0\.bn2\.running_var', .*'module\.fc\.weight'",
    )
    wide = state | {"layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1)}
    assert_refused(tmp_path, wide, r"'layer1\.0\.conv1\.weight' has shape \(64, 64, 1, 1\), expected \(64, 64, 3, 3\)")
    spoiled = state | {"layer2.0.bn1.weight": torch.full((128,), torch.nan)}
    assert_refused(tmp_path, spoiled, r"'layer2\.0\.bn1\.weight' holds values that are not finite")
    assert_refused(tmp_path, {"state_dict": {}}, "holds no tensors by name, also not below state_dict or model")
    assert_refused(tmp_path, {"epoch": 3}, "holds no tensors by name.*found 'epoch'")
    assert_refused(tmp_path, [torch.zeros(3)], "holds no tensors by name.*found a list")
    sparse = {name: tensor.to_sparse() if name == "conv1.0.weight" else tensor for name, tensor in state.items()}
    assert_refused(tmp_path, sparse, r"it sets .* missing is 'conv1\.0\.weight'")
    assert_refused(tmp_path, nn.Linear(2, 2), r"neither safetensors nor tensors .*save its state_dict\(\)")


def test_another_network_is_refused_both_ways(tmp_path: Path) -> None:
    shallow, deep = published("resnet18"), published("resnet34")
    assert_refused(tmp_path, shallow, r"it sets \d+ of .* missing is 'layer1\.2\.conv1\.weight'", "resnet34")
    # the deeper one has every tensor of the shallow one, by name and by shape
    assert all(deep[name].shape == tensor.shape for name, tensor in shallow.items())
    assert_refused(
        tmp_path, deep, r"it sets all .*\d+ more .* the first 'layer1\.2\.conv1\.weight'.*deeper", "resnet18"
    )
    assert_refused(tmp_path, published("convnext_atto"), "it sets 0 of .* missing is 'conv1", "resnet18")


@pytest.mark.parametrize(
    "name", ["convnext_atto", "mobilenetv3_small_100", "hrnet_w18_small", "test_vit", "test_efficientnet"]
)
def test_other_kinds_of_networks_are_filled_whole(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Their feature maps' tensors have other names than the published ones, or the published network has more."""
    torch.manual_seed(0)
    file = published(name)
    torch.save({"state_dict": renamed(file, "module.backbone.")}, tmp_path / "file.pth")
    backbone = Backbone(name, SIZE, last_stride=2)
    before = {key: value.clone() for key, value in backbone.net.state_dict().items()}
    with caplog.at_level(logging.WARNING):
        filled = load_imagenet_weights(backbone, tmp_path / "file.pth")
    assert not caplog.records
    assert filled.tensors == filled.of == len(before)
    assert filled.unused == len(file) - len(before) > 0
    values = [value for value in file.values() if value.numel()]
    for key, value in backbone.net.state_dict().items():
        assert (
            any(value.shape == other.shape and torch.equal(value, other) for other in values) or "pos_embed" in key
        ), key
        assert not torch.equal(value, before[key]), key
    lacking = {key: value for key, value in file.items() if "bias" not in key}
    torch.save(lacking, tmp_path / "file.pth")
    with pytest.raises(MissingWeightsError, match=r"missing is '[^']*bias'"):
        load_imagenet_weights(backbone, tmp_path / "file.pth")


def test_a_deeper_transformer_is_refused(tmp_path: Path) -> None:
    deeper = published("convnext_atto")
    deeper |= {name.replace("stages.2.blocks.0", "stages.2.blocks.9"): tensor for name, tensor in deeper.items()}
    torch.save(deeper, tmp_path / "file.pth")
    with pytest.raises(MissingWeightsError, match=r"of the same layers, the first 'stages\.2\.blocks\.9\."):
        load_imagenet_weights(Backbone("convnext_atto", SIZE, last_stride=2), tmp_path / "file.pth")


def test_a_parser_takes_what_a_method_takes(state: State, tmp_path: Path) -> None:
    torch.save({"model": renamed(state, "backbone.")}, tmp_path / "file.pth")
    light = HumanParser("light", 5, SIZE, backbone=NAME, width=8)
    assert load_parser_backbone(light, SIZE, str(tmp_path / "file.pth")).unused == 2
    assert torch.equal(light.backbone.net.state_dict()["conv1.0.weight"], state["conv1.0.weight"])  # type: ignore[union-attr, operator]
    torch.save({"hello": torch.zeros(3)}, tmp_path / "file.pth")
    for network in (light, HumanParser("deeplabv3", 5, SIZE)):
        with pytest.raises(MissingWeightsError, match="the first that is not used 'hello'"):
            load_parser_backbone(network, SIZE, str(tmp_path / "file.pth"))


def test_a_method_says_what_was_set(state: State, tmp_path: Path) -> None:
    pcb = methods.create("pcb", 3, {"backbone": NAME, "size": SIZE, "parts": 2}, seed=1)
    assert initialise(pcb, "none") == {}
    torch.save(renamed(state, "module."), tmp_path / "file.pth")
    found = initialise(pcb, str(tmp_path / "file.pth"))
    own = len(pcb.backbone.state_dict())
    assert found == {"tensors": own, "of": own, "unused": 2, "prefix": "module.", "part": "backbone"}
    methods.save(pcb, tmp_path / "weights.safetensors")
    baseline = methods.create("baseline", 3, {"backbone": NAME, "size": SIZE}, seed=2)
    rest = len(pcb.state_dict()) - own
    assert initialise(baseline, str(tmp_path / "weights.safetensors")) == {
        "tensors": own, "of": own, "unused": rest, "prefix": "backbone.net.", "part": "backbone",
    }  # fmt: skip
    assert torch.equal(baseline.backbone.state_dict()["net.conv1.0.weight"], state["conv1.0.weight"])
    again = methods.create("pcb", 5, {"backbone": NAME, "size": SIZE, "parts": 2}, seed=3)
    found = initialise(again, str(tmp_path / "weights.safetensors"))
    whole = len(again.state_dict())
    assert (found["part"], found["of"]) == ("method", whole)
    assert own < found["tensors"] < whole  # the classifiers are of other persons
    torch.save({"hello": torch.zeros(3)}, tmp_path / "hello.pth")
    with pytest.raises(MissingWeightsError, match="the first that is not used 'hello'"):
        initialise(pcb, str(tmp_path / "hello.pth"))


def test_networks_of_cues_take_files_by_names_of_models(state: State, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "file.pth")
    backbone = Backbone(NAME, SIZE)
    asked: list[str | None] = []

    def take(file: str | None) -> Filled:
        asked.append(file)
        return load_imagenet_weights(backbone, file)

    assert fill_backbone("none", take) == {}
    found = fill_backbone("some-model", take, {"some-model": tmp_path / "file.pth"})
    assert (found["tensors"], found["unused"]) == (len(backbone.net.state_dict()), 2)
    assert asked == [str(tmp_path / "file.pth")]
    with pytest.raises(MissingWeightsError, match="there is no file 'other-model'"):
        fill_backbone("other-model", take, {"some-model": tmp_path / "file.pth"})
    assert named_models("sorn-resnet10t")["sorn-resnet10t"].is_file()
    assert named_models("imagenet") == {}


def test_the_count_of_first_weights_outlives_a_resume(tmp_path: Path) -> None:
    samples, first = make_samples(tmp_path / "images"), {"tensors": 4, "of": 5}
    settings = TrainSettings(epochs=1, batch_size=6, workers=0, lr=0.05, milestones=(), accelerator="cpu")
    method = make_method(6)
    method.provenance["first_weights"] = first
    train_method(method, samples, settings, tmp_path / "run")
    again = make_method(6)
    result = train_method(again, samples, settings.with_changes(epochs=2), tmp_path / "run", resume=True)
    assert again.provenance["first_weights"] == first
    assert methods.restore(result.weights, type(again)).provenance["first_weights"] == first
