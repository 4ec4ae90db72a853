"""Images that are none: values, types and single things in place of several, refused at the one gate of every path."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from occlureid import methods
from occlureid.cues.providers import as_arrays
from occlureid.data.images import OVERSHOOT, check_pixels
from occlureid.errors import DataError, ShapeError, UsageError
from occlureid.methods import Method
from occlureid.zoo import load
from occlureid.zoo.loaded import CueModel, Embedder

PICTURE = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
BATCH = torch.from_numpy(PICTURE).permute(2, 0, 1)[None] / 255
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


@pytest.fixture(scope="module")
def method() -> Method[Any]:
    return methods.create("pcb", 3, {"backbone": "resnet10t", "size": (64, 32), "parts": 2}).eval()


def spoiled(value: float) -> Tensor:
    """Two images, of which one pixel of the second is another."""
    images = torch.cat([BATCH, BATCH])
    images[1, 2, 5, 7] = value
    return images


WRONG: list[tuple[Tensor, str]] = [
    (BATCH * 255, r"image 0 of 1 reaches from 0 to 255 \(1 such in all\); divide it by 255"),
    (BATCH * 65535, "scale it to"),
    (BATCH * 2 - 1, "image 0 of 1 reaches from -1 to 1 .*before it is normalised"),
    ((BATCH - MEAN) / STD, "before it is normalised"),
    (spoiled(torch.nan), r"image 1 of 2 has values that are not finite \(1 such in all\)"),
    (spoiled(torch.inf), "image 1 of 2 has values that are not finite"),
    (spoiled(-torch.inf), "image 1 of 2 has values that are not finite"),
    (spoiled(1 + OVERSHOOT + 0.01), r"image 1 of 2 reaches from 0 to 1\.51"),
    (spoiled(-OVERSHOOT - 0.01), r"image 1 of 2 reaches from -0\.51 to"),
    ((BATCH * 255).long(), "int64"),
    (BATCH > 0.5, "bool"),
    (BATCH[:, :1], "shape"),
    (BATCH[0], "shape"),
    (torch.cat([BATCH, BATCH[:, :1]], 1), "shape"),
]


@pytest.mark.parametrize(("images", "message"), WRONG)
def test_a_method_refuses_what_is_no_image(method: Method[Any], images: Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        method.describe(images)


@pytest.mark.parametrize(("images", "message"), WRONG)
@pytest.mark.parametrize("model", ["sorn-tiny", "landmarks-tiny", "parser-tiny"])
def test_a_model_refuses_what_is_no_image(zoo: Path, model: str, images: Tensor, message: str) -> None:
    loaded = load(model, folder=zoo)
    ask: Callable[[Any], Any] = loaded.describe if isinstance(loaded, Embedder) else loaded
    with pytest.raises(ShapeError, match=message):
        ask(images)


def test_what_a_method_takes_besides(method: Method[Any]) -> None:
    with pytest.raises(ShapeError, match="uint8"):
        method.describe((BATCH * 255).byte())
    with pytest.raises(ShapeError, match=r"must be a tensor of shape .*, got ndarray"):
        method.describe(PICTURE)  # type: ignore[arg-type]
    found = method.describe(BATCH)
    assert torch.allclose(method.describe(BATCH.double().float()).global_, found.global_)
    assert len(method.describe(torch.cat([BATCH, torch.zeros_like(BATCH), torch.ones_like(BATCH)]))) == 3


@pytest.mark.parametrize("antialias", [True, False])
def test_the_overshoot_of_resampling_passes(antialias: bool) -> None:
    random = torch.Generator().manual_seed(0)
    edges = torch.rand(8, 3, 24, 12, generator=random).round()  # black and white, nothing overshoots more
    beyond = 0.0
    for size in ((64, 32), (17, 9), (96, 48)):
        resized = F.interpolate(edges, size, mode="bicubic", antialias=antialias)
        check_pixels(resized)
        beyond = max(beyond, float((resized - resized.clamp(0, 1)).abs().max()))
    assert 0.05 < beyond < OVERSHOOT


SINGLE: list[tuple[Any, str]] = [
    ("crop.jpg", "the path 'crop.jpg'; give a list of paths"),
    (Path("crop.jpg"), "the path 'crop.jpg'; give a list of paths"),
    (Image.fromarray(PICTURE), "got one Pillow image; give a list"),
    (PICTURE, r"got one array of shape \(64, 32, 3\); give a list"),
    (PICTURE[..., 0], r"got one array of shape \(64, 32\)"),
    (PICTURE.tobytes(), r"got bytes \(open them with Pillow"),
    (bytearray(b"GIF89a"), r"got bytes \(open them with Pillow"),
    (None, "got none at all"),
    (7, "got a int"),
]


@pytest.mark.parametrize(("images", "message"), SINGLE)
@pytest.mark.parametrize("model", ["sorn-tiny", "landmarks-tiny", "parser-tiny"])
def test_one_is_not_several(zoo: Path, model: str, images: Any, message: str) -> None:
    loaded = load(model, folder=zoo)
    ask: Callable[[Any], Any] = loaded.describe if isinstance(loaded, Embedder) else loaded
    with pytest.raises(UsageError, match=f"images must be several, .*{message}"):
        ask(images)


@pytest.mark.parametrize("wrong", [None, 7, b"GIF89a", io.BytesIO(b""), BATCH[0]])
def test_a_list_with_something_else_in_it_names_the_place(zoo: Path, wrong: Any) -> None:
    model = load("sorn-tiny", folder=zoo)
    assert isinstance(model, Embedder)
    with pytest.raises(UsageError, match="image 1: it must be a path, a Pillow image or an"):
        model.describe([PICTURE, wrong])
    finder = load("landmarks-tiny", folder=zoo)
    assert isinstance(finder, CueModel)
    with pytest.raises((UsageError, ShapeError), match=r"image 1 must be an|an image must be uint8"):
        finder([PICTURE, wrong])


def test_arrays_of_other_shapes_and_types(zoo: Path) -> None:
    model = load("sorn-tiny", folder=zoo)
    assert isinstance(model, Embedder)
    four = np.concatenate([PICTURE, PICTURE[..., :1]], 2)
    for wrong in (PICTURE / 255, PICTURE.astype(np.int64), PICTURE[..., 0], four, PICTURE[:0]):
        with pytest.raises(ShapeError, match="an image must be uint8 of shape"):
            model.describe([wrong])
    for none in ([], torch.zeros(0, 3, 64, 32), np.zeros((0, 64, 32, 3), np.uint8), iter(())):
        with pytest.raises(DataError, match="no images to describe"):
            model.describe(none)
    with pytest.raises(ShapeError, match="shape"):
        model.describe(torch.zeros(1, 3, 0, 32))
    stacked = model.describe(np.stack([PICTURE, PICTURE]))
    assert torch.allclose(stacked.global_[1], model.describe([PICTURE]).global_[0], atol=1e-6)
    assert len(as_arrays(np.stack([PICTURE, PICTURE]))) == 2


def test_colours_are_red_green_blue(zoo: Path, tmp_path: Path) -> None:
    """An array is taken as Pillow reads a file: OpenCV's order gives other vectors, until it is turned."""
    model = load("sorn-tiny", folder=zoo)
    assert isinstance(model, Embedder)
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    by_file = model.describe([tmp_path / "a.png"]).global_
    as_opencv = np.ascontiguousarray(PICTURE[..., ::-1])
    assert torch.allclose(model.describe([as_opencv[..., ::-1]]).global_, by_file, atol=1e-6)
    assert not torch.allclose(model.describe([as_opencv]).global_, by_file, atol=1e-3)
