"""Backbones by name, heads, losses, and torchvision beside a torch that its operators do not fit."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from occlureid.errors import MissingWeightsError, SettingsError, ShapeError
from occlureid.models.backbone import Backbone, load_imagenet_weights
from occlureid.models.heads import BatchNormNeck, ReducedClassifier, stripe_pool
from occlureid.models.ibn import InstanceBatchNorm
from occlureid.models.losses import batch_hard_triplet
from occlureid.models.torchvision_operators import declare_missing


@pytest.mark.parametrize(
    "statement",
    ["import timm", "from torchvision.models.segmentation import deeplabv3_resnet50 as d; d(weights_backbone=None)"],
)
def test_torchvision_imports_once_its_operators_are_declared(statement: str) -> None:
    declare = "from occlureid.models.torchvision_operators import declare_missing as d; a = d(); assert d() == a"
    code = f"{declare}; {statement}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_operators_are_declared_only_where_they_are_missing() -> None:
    declared = declare_missing()
    plain = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True, check=False)
    assert declared == (plain.returncode != 0)
    assert hasattr(torch.ops.torchvision, "nms")


@pytest.mark.parametrize(
    ("name", "last_stride", "expected"),
    [
        ("resnet18", 1, (512, 12, 4)),
        ("resnet18", 2, (512, 6, 2)),
        ("resnet10t", 1, (512, 12, 4)),  # the ResNet-D shortcut pools before it convolves
        ("mobilenetv3_small_050", 1, (288, 12, 4)),
        ("convnext_atto", 2, (320, 6, 2)),
        ("vit_tiny_patch16_224", 2, (192, 12, 4)),
    ],
)
def test_any_timm_backbone_gives_a_map(name: str, last_stride: int, expected: tuple[int, int, int]) -> None:
    backbone = Backbone(name, (192, 64), last_stride).eval()
    assert (backbone.channels, *backbone.map_size) == expected
    with torch.inference_mode():
        assert backbone(torch.zeros(2, 3, 192, 64)).shape == (2, *expected)


def test_sizes_that_do_not_halve_evenly() -> None:
    assert Backbone("resnet10t", (96, 48), 1).map_size == (6, 3)
    assert Backbone("resnet10t", (96, 48), 2).map_size == (3, 2)


def test_resnet50_at_the_papers_size() -> None:
    backbone = Backbone("resnet50", (384, 128), 1)
    assert (backbone.channels, *backbone.map_size) == (2048, 24, 8)
    names = {n for n, m in backbone.named_modules() if getattr(m, "stride", None) in {1, (1, 1)} and "layer4.0" in n}
    assert {"net.layer4.0.conv2", "net.layer4.0.downsample.0"} <= names
    assert all(getattr(m, "dilation", (1, 1)) in {1, (1, 1)} for m in backbone.modules())


def test_backbones_that_cannot_be_had_say_why() -> None:
    with pytest.raises(SettingsError, match=r"has no model 'resnet5O'; near: .*resnet"):
        Backbone("resnet5O", (64, 32))
    with pytest.raises(SettingsError, match="last stage cannot be kept at twice 6 x 2"):
        Backbone("convnext_atto", (192, 64), 1)


def test_imagenet_weights_come_by_timms_mechanism(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declare_missing()
    import timm

    torch.manual_seed(1)
    file = tmp_path / "weights.safetensors"
    save_file(timm.create_model("resnet10t").state_dict(), file)
    backbone = Backbone("resnet10t", (64, 32))
    before = backbone.net.state_dict()["conv1.0.weight"].clone()
    load_imagenet_weights(backbone, file)
    assert not torch.equal(before, backbone.net.state_dict()["conv1.0.weight"])
    assert backbone.map_size == (4, 2)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(MissingWeightsError, match="initial_weights: none"):
        load_imagenet_weights(backbone, tmp_path / "nowhere.safetensors")


def test_ibn_normalises_half_of_the_channels_image_by_image() -> None:
    torch.manual_seed(0)
    net = InstanceBatchNorm(6).train()
    features = torch.rand(3, 6, 8, 4)
    scaled = features * torch.tensor([0.4, 1, 1]).view(3, 1, 1, 1) + torch.tensor([0.2, 0, 0]).view(3, 1, 1, 1)
    one, other = net(features), net(scaled)
    assert torch.allclose(one[:, :3], other[:, :3], atol=1e-3)
    assert not torch.allclose(one[:, 3:], other[:, 3:], atol=1e-1)
    assert torch.allclose(one[:, 3:].mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    backbone = Backbone("resnet10t_ibn_a", (64, 32), 1, 3).train()
    plain = Backbone("resnet10t", (64, 32), 1, 3)
    assert (backbone.map_size, backbone.level_channels) == (plain.map_size, plain.level_channels)
    assert sum(p.numel() for p in backbone.parameters()) == sum(p.numel() for p in plain.parameters())
    changed = {name for name, m in backbone.named_modules() if isinstance(m, InstanceBatchNorm)}
    assert changed == {f"net.layer{i}.0.bn1" for i in (1, 2, 3)}


def test_ibn_is_for_residual_networks() -> None:
    with pytest.raises(SettingsError, match=r"'convnext_atto_ibn_a'.*take a ResNet"):
        Backbone("convnext_atto_ibn_a", (64, 32))
    with pytest.raises(SettingsError, match="has no model 'resnet5O'"):
        Backbone("resnet5O_ibn_a", (64, 32))


def test_published_ibn_weights_come_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(1)
    source, target = Backbone("resnet18_ibn_a", (64, 32)), Backbone("resnet18_ibn_a", (64, 32))
    state = {name: tensor.contiguous() for name, tensor in source.net.state_dict().items()}
    assert {"conv1.weight", "layer1.0.bn1.IN.weight", "layer3.1.bn1.BN.running_mean", "layer4.0.bn1.weight"} <= set(
        state
    )
    published = state | {"fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in published.items()}}, tmp_path / "ibn.pth")
    load_imagenet_weights(target, tmp_path / "ibn.pth")
    assert all(torch.equal(tensor, state[name]) for name, tensor in target.net.state_dict().items())
    with pytest.raises(MissingWeightsError, match="give a file"):
        load_imagenet_weights(target)
    save_file(
        {name: tensor for name, tensor in state.items() if name != "layer1.0.bn1.IN.weight"},
        tmp_path / "no.safetensors",
    )
    with pytest.raises(MissingWeightsError, match=r"no\.safetensors: not weights of.*layer1\.0\.bn1\.IN\.weight"):
        load_imagenet_weights(target, tmp_path / "no.safetensors")
    (tmp_path / "harm.pth").write_bytes(pickle.dumps(Harm()))
    with pytest.raises(MissingWeightsError, match="not weights of"):
        load_imagenet_weights(target, tmp_path / "harm.pth")


class Harm:
    """Would fail the test if unpickling executed it."""

    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("executed",)


def test_stripes_are_means_from_top_to_bottom() -> None:
    features = torch.arange(6.0).view(1, 1, 6, 1).expand(2, 3, 6, 4)
    assert stripe_pool(features, 3)[0, :, 0].tolist() == [0.5, 2.5, 4.5]
    assert stripe_pool(features, 4).shape == (2, 4, 3)  # 4 does not divide 6: adaptive boundaries
    assert stripe_pool(features, 4)[0, :, 0].tolist() == [0.5, 1.5, 3.5, 4.5]


@pytest.mark.parametrize(("kind", "norms"), [("block", 1), ("conv", 0)])
def test_reduced_classifier(kind: str, norms: int) -> None:
    head = ReducedClassifier(8, 4, 3, 0.5, kind)
    reduced, logits = head(torch.randn(5, 8))
    assert (reduced.shape, logits.shape) == ((5, 4), (5, 3))
    assert sum(isinstance(m, torch.nn.BatchNorm1d) for m in head.modules()) == norms


def test_neck_has_no_shift_and_no_bias() -> None:
    neck = BatchNormNeck(4, 3)
    assert not neck.norm.bias.requires_grad
    assert neck.classifier.bias is None


def slow_triplet(distances: torch.Tensor, labels: list[int], margin: float | None) -> float:
    terms = []
    for a, label in enumerate(labels):
        positive = [float(distances[a, j]) for j, other in enumerate(labels) if other == label and j != a]
        negative = [float(distances[a, j]) for j, other in enumerate(labels) if other != label]
        if positive and negative:
            gap = torch.tensor(max(positive) - min(negative))
            terms.append(float(torch.log1p(gap.exp())) if margin is None else max(0.0, float(gap) + margin))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("margin", [0.3, 0.0, None])
def test_batch_hard_triplet_equals_the_loop(margin: float | None) -> None:
    labels = [0, 0, 1, 1, 1, 2]
    distances = torch.rand(6, 6, generator=torch.Generator().manual_seed(0))
    found = batch_hard_triplet(distances, torch.tensor(labels), margin)
    assert float(found) == pytest.approx(slow_triplet(distances, labels, margin), abs=1e-6)


def test_triplet_without_triplets_is_zero_on_the_graph() -> None:
    distances = torch.rand(3, 3, requires_grad=True)
    loss = batch_hard_triplet(distances, torch.tensor([0, 0, 0]), 0.3)
    loss.backward()
    assert loss.item() == 0
    assert distances.grad is not None
    with pytest.raises(ShapeError, match=r"\(B, B\) with B=3, got \(3, 4\)"):
        batch_hard_triplet(torch.rand(3, 4), torch.tensor([0, 0, 1]), 0.3)
