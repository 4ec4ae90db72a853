"""One crop has one Descriptor, by whatever way it comes in: file, box, picture, array, tensor, or alone in a batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from occlureid import methods
from occlureid.cues.crop import Crop, CropSettings
from occlureid.data import Tally
from occlureid.describing import Describer
from occlureid.errors import DataError, MissingCueError, UsageError
from occlureid.types import Descriptor, Sample
from occlureid.zoo.cue_models import model_cues

SETTINGS: dict[str, dict[str, Any]] = {
    "pcb": {"backbone": "resnet10t", "size": (64, 32), "parts": 3},
    "pgfa": {"backbone": "resnet10t", "size": (64, 32)},
    "sgam": {"backbone": "resnet10t", "size": (64, 32), "visibility": "fraction"},
}


@pytest.fixture(scope="module", params=SETTINGS)
def describer(request: pytest.FixtureRequest) -> Describer:
    """With the package's own networks for cues."""
    method = methods.create(request.param, 3, SETTINGS[request.param])
    return Describer(method, model_cues(method))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    paths = [folder / f"{number}.png" for number in range(3)]
    for path in paths:
        rows = np.repeat(draw.integers(0, 200, (4, 1, 3)), 32, axis=0)
        Image.fromarray((rows + draw.integers(0, 55, (128, 60, 3))).astype(np.uint8)).save(path)
    return paths


def assert_same(one: Descriptor, other: Descriptor) -> None:
    assert one.fingerprint == other.fingerprint
    for name in ("global_", "parts", "visibility"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-4, atol=1e-5)


def test_every_way_in_gives_the_same(describer: Describer, files: list[Path]) -> None:
    pictures = [Image.open(path).convert("RGB") for path in files]
    arrays = [np.array(picture) for picture in pictures]
    expected = describer.files(files)
    assert len(expected) == len(files)
    assert_same(describer.pictures(pictures), expected)
    assert_same(describer.pictures(arrays, batch_size=2), expected)
    assert_same(describer.pictures(files), expected)
    tensor = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
    assert_same(describer.tensor(tensor), expected)
    assert_same(describer.tensor(tensor / 255), expected)
    assert_same(describer.batch([describer.prepare(picture) for picture in pictures]), expected)
    assert_same(describer.files(files, batch_size=1), expected)
    whole, kept = describer.samples([Sample(path, "a", "b") for path in files], [None, (0, 0, 60, 128), None])
    assert kept == [0, 1, 2]
    assert_same(whole, expected)


def test_a_box_is_described_as_the_picture_cut_out(describer: Describer, files: list[Path]) -> None:
    box = (10.2, 20.0, 49.8, 108.0)
    cut = Image.open(files[0]).convert("RGB").crop((10, 20, 50, 108))
    boxed = describer.files([files[0], files[0]], [box, None], workers=1)
    assert_same(boxed[:1], describer.pictures([cut]))
    assert_same(boxed[1:], describer.files([files[0]]))
    assert not torch.allclose(boxed.global_[0], boxed.global_[1], atol=1e-3)


def test_the_shape_is_that_of_what_comes_out(describer: Describer, files: list[Path]) -> None:
    found, shape = describer.files(files[:1]), describer.shape
    assert (shape.global_size, shape.parts, shape.part_size) == (found.global_.shape[1], *found.parts.shape[1:])
    assert shape.local_size is None
    assert (describer.size, describer.fingerprint) == ((64, 32), found.fingerprint)


def test_what_cannot_be_read_is_named_or_left_out(describer: Describer, files: list[Path], tmp_path: Path) -> None:
    torn = tmp_path / "torn.png"
    torn.write_bytes(files[0].read_bytes()[:300])
    with pytest.raises(DataError, match=r"torn\.png"):
        describer.files([files[0], torn])
    outside = (0.0, 0.0, 500.0, 100.0)
    tally = Tally()
    found = describer.files(
        [files[0], torn, files[1], files[1]], [None, None, None, outside], on_corrupt="skip", tally=tally
    )
    assert_same(found, describer.files(files[:2]))
    assert set(tally.failed) == {1, 3}
    assert "torn.png" in tally.failed[1]
    assert "the box must satisfy" in tally.failed[3]
    with pytest.raises(UsageError, match="got 1 for 2 images"):
        describer.files(files[:2], [None])
    with pytest.raises(DataError, match="none of the 1 images"):
        describer.files([torn], on_corrupt="skip")


@pytest.mark.parametrize("name", ["pgfa", "sgam"])
def test_pictures_need_networks_for_their_cues(name: str, files: list[Path]) -> None:
    bare = Describer(methods.create(name, 3, SETTINGS[name]))
    for ask in (
        lambda: bare.pictures(files[:1]),
        lambda: bare.files(files[:1], [(0, 0, 30, 60)]),
        lambda: Describer(bare.method, lambda sample, size: pytest.fail("asked")).pictures(files[:1]),
    ):
        with pytest.raises(MissingCueError, match=r"needs the cue '(keypoints|part_map)'.*--cues.*baseline"):
            ask()


def test_a_method_with_a_crop_crops_pictures_and_boxes(files: list[Path]) -> None:
    method = methods.create("pcb", 3, SETTINGS["pcb"])
    method.crop = Crop(CropSettings(mode="rows", visibility="raw_sum", threshold=0.0, margin=0.0, least_area=0.0))
    describer = Describer(method, model_cues(method))
    cropped = describer.files(files)
    assert_same(describer.pictures(files), cropped)
    assert_same(describer.files(files, [(0, 0, 60, 128)] * 3), cropped)
    method.crop = None
    assert not torch.allclose(cropped.global_, Describer(method).files(files).global_, atol=1e-4)
