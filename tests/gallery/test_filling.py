"""Images into a gallery made like a describer: samples, files and pictures in memory."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occlureid import methods
from occlureid.describing import Describer
from occlureid.errors import DataError, FingerprintError, UsageError
from occlureid.gallery import Gallery, Searcher
from occlureid.types import Sample


@pytest.fixture(scope="module")
def describer() -> Describer:
    return Describer(methods.create("pcb", 3, {"backbone": "resnet10t", "size": (64, 32), "parts": 3}))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    paths = [folder / f"{number}.png" for number in range(5)]
    for path in paths:
        Image.fromarray(draw.integers(0, 255, (48, 24, 3)).astype(np.uint8)).save(path)
    return paths


def test_a_gallery_made_like_a_describer_takes_samples_files_and_pictures(
    describer: Describer, files: list[Path], tmp_path: Path
) -> None:
    gallery = Gallery.create(tmp_path / "people", like=describer)
    assert (gallery.fingerprint, gallery.rule) == (describer.fingerprint, describer.rule)
    shape = describer.shape
    assert (gallery.shape.global_size, gallery.shape.parts, gallery.shape.part_size, gallery.shape.local_size) == (
        shape.global_size, shape.parts, shape.part_size, None,
    )  # fmt: skip
    told: list[int] = []
    result = gallery.add_images(
        [Sample(path, "ann", "door") for path in files[:3]], describer, together=2, progress=told.append
    )
    assert (result.added, result.present, told) == (3, 0, [2, 3])
    again = gallery.add_images(files[2:4], describer, camera="gate", person="bob")
    assert (again.added, again.present) == (1, 1)
    array = np.array(Image.open(files[4]))
    gallery.add_images([array], describer, ids=["five"])
    stored = {item.id: item for item in gallery.get(["0.png", "3.png", "five"])}
    assert (stored["0.png"].person, stored["0.png"].camera) == ("ann", "door")
    assert (stored["3.png"].person, stored["3.png"].camera) == ("bob", "gate")
    assert stored["3.png"].source == str(files[3])
    assert (stored["five"].person, stored["five"].camera, stored["five"].source) == (None, "unknown", None)
    found = Searcher(gallery).search(describer.files(files), k=1)
    assert [one.hits[0].id for one in found] == ["0.png", "1.png", "2.png", "3.png", "five"]


def test_wrong_fillings_are_clear_errors(describer: Describer, files: list[Path], tmp_path: Path) -> None:
    gallery = Gallery.create(tmp_path / "people", like=describer)
    with pytest.raises(UsageError, match="has no name"):
        gallery.add_images([np.zeros((48, 24, 3), np.uint8)], describer)
    with pytest.raises(UsageError, match="fewer ids"):
        gallery.add_images(files[:2], describer, ids=["a"])
    with pytest.raises(UsageError, match="more ids"):
        gallery.add_images(files[:1], describer, ids=["a", "b"], together=1)
    with pytest.raises(UsageError, match="together"):
        gallery.add_images(files[:1], describer, together=0)
    with pytest.raises(DataError, match=r"two images have the id '0\.png'"):
        gallery.add_images([files[1], files[0], files[0]], describer, together=1)
    with pytest.raises(DataError, match="no such image"):
        gallery.add_images([tmp_path / "gone.png"], describer)
    other = Describer(methods.create("pcb", 3, {"backbone": "resnet10t", "size": (64, 32), "parts": 3}, seed=1))
    with pytest.raises(FingerprintError, match="was made like"):
        gallery.add_images(files[:1], other)
    with pytest.raises(UsageError, match="leave them out"):
        Gallery.create(tmp_path / "two", like=describer, parts=3)
    with pytest.raises(UsageError, match="made like a describer"):
        Gallery.create(tmp_path / "two", fingerprint="pcb@0", parts=3)
