"""Several levels of a backbone, the decoder on them, and the loss of pixel labels."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from occlureid.errors import SettingsError, ShapeError
from occlureid.models.backbone import Backbone, load_imagenet_weights
from occlureid.models.heads import BatchNormNeck
from occlureid.models.losses import pixel_cross_entropy
from occlureid.models.semantic_head import SemanticHead


@pytest.mark.parametrize(
    ("name", "last_stride", "expected"),
    [
        ("resnet50", 1, [(512, 12, 4), (1024, 6, 2), (2048, 6, 2)]),
        ("resnet50", 2, [(512, 12, 4), (1024, 6, 2), (2048, 3, 1)]),
        ("resnet10t", 1, [(128, 12, 4), (256, 6, 2), (512, 6, 2)]),
        ("vit_tiny_patch16_224", 2, [(192, 6, 2)] * 3),
        ("swin_tiny_patch4_window7_224", 2, [(192, 12, 4), (384, 6, 2), (768, 3, 1)]),  # keeps channels last
    ],
)
def test_the_last_levels(name: str, last_stride: int, expected: list[tuple[int, int, int]]) -> None:
    backbone = Backbone(name, (96, 32), last_stride, levels=3).eval()
    with torch.inference_mode():
        levels = backbone.pyramid(torch.rand(2, 3, 96, 32))
        assert torch.equal(backbone(torch.zeros(1, 3, 96, 32)), backbone.pyramid(torch.zeros(1, 3, 96, 32))[-1])
    assert [tuple(level.shape[1:]) for level in levels] == expected
    assert backbone.level_channels == tuple(channels for channels, _, _ in expected)
    assert (backbone.channels, *backbone.map_size) == expected[-1]


def test_more_levels_than_there_are() -> None:
    with pytest.raises(SettingsError, match="'resnet10t' gives no 6 feature maps"):
        Backbone("resnet10t", (64, 32), levels=6)


def test_initial_weights_fit_whatever_the_levels(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(1)
    file = tmp_path / "weights.safetensors"
    save_file(timm.create_model("resnet10t").state_dict(), file)
    backbones = [Backbone("resnet10t", (64, 32), levels=levels) for levels in (1, 3)]
    for backbone in backbones:
        load_imagenet_weights(backbone, file)
    first, second = (backbone.eval()(torch.ones(1, 3, 64, 32)) for backbone in backbones)
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("second", "third", "fourth"),
    [
        ((12, 4), (6, 2), (6, 2)),  # as in the paper
        ((12, 4), (6, 2), (3, 1)),  # last stride 2
        ((6, 2), (6, 2), (6, 2)),  # a transformer
        ((11, 3), (6, 2), (6, 2)),  # sizes that do not halve evenly
    ],
)
def test_the_head_quadruples_block_3(second: tuple[int, int], third: tuple[int, int], fourth: tuple[int, int]) -> None:
    head = SemanticHead((4, 8, 16), classes=5, width=6)
    maps = [torch.rand(2, channels, *size) for channels, size in zip((4, 8, 16), (second, third, fourth), strict=True)]
    assert head(*maps).shape == (2, 5, 24, 8)
    assert [layer[0].in_channels for layer in (head.up, head.up_again)] == [24, 10]


def test_pixel_cross_entropy_by_hand() -> None:
    """Three pixels of class 0, one of class 1; log-probabilities of (1/2, 1/2) and (3/4, 1/4)."""
    logits = torch.tensor([[[[0.0, 0.0], [0.0, math.log(3)]], [[0.0, 0.0], [0.0, 0.0]]]])
    labels = torch.tensor([[[0, 0], [1, 0]]])
    plain = [math.log(2)] * 3 + [-math.log(3 / 4)]
    assert float(pixel_cross_entropy(logits, labels)) == pytest.approx(sum(plain) / 4, abs=1e-6)
    # the last pixel with e = 0.2: q = (0.9, 0.1)
    smooth = -(0.9 * math.log(3 / 4) + 0.1 * math.log(1 / 4))
    assert float(pixel_cross_entropy(logits, labels, 0.2)) == pytest.approx((3 * math.log(2) + smooth) / 4, abs=1e-6)
    per_class = ((2 * math.log(2) - math.log(3 / 4)) / 3 + math.log(2)) / 2
    assert float(pixel_cross_entropy(logits, labels, average="classes")) == pytest.approx(per_class, abs=1e-6)
    alone = pixel_cross_entropy(logits, torch.zeros_like(labels), average="classes")  # an absent class counts nothing
    assert float(alone) == pytest.approx((3 * math.log(2) - math.log(3 / 4)) / 4, abs=1e-6)


def test_pixel_labels_of_another_size_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"labels must have shape \(B, h, w\).*got \(1, 2, 3\) and \(1, 4, 2, 2\)"):
        pixel_cross_entropy(torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 3, dtype=torch.long))


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("norm", [False, True])
def test_the_neck(shift: bool, bias: bool, norm: bool) -> None:
    neck = BatchNormNeck(4, 3, shift=shift, bias=bias, norm=norm).train()
    vectors = torch.rand(5, 4) * 3 + 1
    normalised, logits = neck(vectors)
    assert logits.shape == (5, 3)
    assert torch.equal(normalised, vectors) != norm
    trained = {name for name, parameter in neck.named_parameters() if parameter.requires_grad}
    expected = {"classifier.weight", *(["classifier.bias"] if bias else [])}
    assert trained == expected | ({"norm.weight"} if norm else set()) | ({"norm.bias"} if norm and shift else set())
