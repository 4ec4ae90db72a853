"""Loading by name: what is described, what is damaged, what is misspelt."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import occlureid
from occlureid.cues.networks import ModelCues
from occlureid.described import describe
from occlureid.errors import DataError, MissingCueError, MissingWeightsError, ShapeError, UsageError
from occlureid.types import Sample
from occlureid.zoo import default_name, load, model_names, weights_path
from occlureid.zoo.canonical import check_canonical
from occlureid.zoo.cue_models import model_cues
from occlureid.zoo.loaded import CueModel, Embedder, load_embedder


def test_the_default_embedder_describes_files_and_arrays_alike(shipped: Path, pictures: list[Path]) -> None:
    model = occlureid.load()
    assert isinstance(model, Embedder)
    assert (model.name, model.record.task) == ("sorn-tiny", "embedder")
    found = model.describe(pictures[:5])
    assert found.parts.shape[:2] == (5, 3)
    assert len(model.regions) == 3
    arrays = [np.array(Image.open(path).convert("RGB")) for path in pictures[:5]]
    same = torch.stack([torch.from_numpy(array) for array in arrays]).permute(0, 3, 1, 2)
    for images in ([str(path) for path in pictures[:5]], arrays, map(Image.fromarray, arrays), same):
        again = model.describe(images, batch_size=2)
        assert torch.allclose(again.global_, found.global_, atol=1e-5)
        assert again.fingerprint == found.fingerprint
    by_the_loader, kept = describe(model.method, [Sample(path, "a", "b") for path in pictures[:5]])
    assert kept == [0, 1, 2, 3, 4]
    assert torch.allclose(by_the_loader.global_, found.global_, atol=1e-5)
    assert occlureid.distance_matrix(model.rule, found, found).diagonal().max() < 1e-3


def test_a_picture_that_pillow_opened_is_taken_like_its_file(zoo: Path, pictures: list[Path], tmp_path: Path) -> None:
    model = load_embedder("sorn-tiny", folder=zoo)
    with Image.open(pictures[0]) as image:
        lying, grey = (
            image.convert("RGB").rotate(90, expand=True),
            np.asarray(image.convert("L")).astype(np.uint16) * 257,
        )
    orientation = Image.Exif()
    orientation[0x0112] = 6  # turned a quarter to the left: to be turned back
    lying.save(tmp_path / "turned.png", exif=orientation)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    for name in ("turned.png", "deep.png"):
        with Image.open(tmp_path / name) as image:
            opened = model.describe([image]).global_
        assert torch.equal(opened, model.describe([tmp_path / name]).global_), name
    deep = model.describe([Image.fromarray(grey)]).global_
    assert torch.equal(deep, model.describe([tmp_path / "deep.png"]).global_)
    with pytest.raises(DataError, match="no defined range"):
        model.describe([Image.fromarray(grey.astype(np.float32))])
    (tmp_path / "torn.png").write_bytes((tmp_path / "turned.png").read_bytes()[:900])
    with Image.open(tmp_path / "torn.png") as image, pytest.raises(DataError, match=r"PNG image .* cannot be decoded"):
        model.describe([image])


def test_a_method_that_needs_landmarks_gets_them_from_the_package(
    zoo: Path, pictures: list[Path], tmp_path: Path
) -> None:
    model = load("pgfa-tiny", folder=zoo)
    assert isinstance(model, Embedder)
    assert model.cues is not None
    found = model.describe(pictures[:3])
    samples = [Sample(path, "a", "b") for path in pictures[:3]]
    from_files, _ = describe(model.method, samples, cues=model.cues)
    assert torch.allclose(from_files.global_, found.global_, atol=1e-5)
    finder = load("landmarks-tiny", folder=zoo)
    assert isinstance(finder, CueModel)
    image = np.array(Image.open(pictures[0]).convert("RGB"))
    points = finder([image])[0].require("keypoints")
    assert torch.equal(model.cues(samples[0], image.shape[:2]).require("keypoints"), points)
    with pytest.raises(
        MissingCueError, match="needs the cue 'keypoints' to describe, and this package has no landmarks"
    ):
        model_cues(model.method, folder=tmp_path)


def test_cue_models_are_chosen_by_name_or_file(zoo: Path, runs: Path) -> None:
    pgfa, sorn = (load_embedder(name, folder=zoo).method for name in ("pgfa-tiny", "sorn-tiny"))
    by_name = model_cues(pgfa, ["landmarks-tiny"], folder=zoo)
    by_default = model_cues(pgfa, folder=zoo)
    by_file = model_cues(pgfa, [runs / "landmarks" / "landmarks.safetensors"], folder=zoo)
    assert isinstance(by_name, ModelCues)
    assert isinstance(by_default, ModelCues)
    assert isinstance(by_file, ModelCues)
    prints = [one.sources[0].provider.fingerprint for one in (by_name, by_default, by_file)]
    assert prints[0] == prints[1] != prints[2]  # the file is in single precision
    assert model_cues(sorn, folder=zoo) is None
    with pytest.raises(UsageError, match=r"parser-tiny gives foreground, part_map, and 'pgfa' needs keypoints"):
        model_cues(pgfa, ["parser-tiny"], folder=zoo)
    with pytest.raises(UsageError, match="no further cue"):
        model_cues(sorn, ["parser-tiny"], folder=zoo)
    with pytest.raises(UsageError, match="cues come from a parser"):
        model_cues(pgfa, ["sorn-tiny"], folder=zoo)


def test_a_cropped_method_crops_pictures_by_the_packages_parser(zoo: Path, runs: Path, pictures: list[Path]) -> None:
    from occlureid.cues.crop import Crop, CropSettings

    method = load_embedder("sorn-tiny", folder=zoo).method
    whole = describe(method, [Sample(pictures[0], "a", "b")])[0]
    settings = CropSettings(mode="rows", visibility="raw_sum", threshold=0.0, margin=0.0, least_area=0.0)
    method.crop = Crop(settings)
    cues = model_cues(method, folder=zoo)
    model = Embedder(load_embedder("sorn-tiny", folder=zoo).record, method, cues)
    found = model.describe(pictures[:2])
    from_files, _ = describe(method, [Sample(path, "a", "b") for path in pictures[:2]], cues=cues)
    assert torch.allclose(found.global_, from_files.global_, atol=1e-5)
    assert len(whole) == 1
    with pytest.raises(MissingCueError, match="are cropped"):
        Embedder(model.record, method).describe(pictures[:1])


def test_wrong_images_are_clear_errors(zoo: Path, pictures: list[Path], tmp_path: Path) -> None:
    model = load_embedder(folder=zoo)
    with pytest.raises(DataError, match="no images to describe"):
        model.describe([])
    with pytest.raises(UsageError, match="give a list of paths"):
        model.describe(str(pictures[0]))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no such image"):
        model.describe([tmp_path / "gone.jpg"])
    with pytest.raises(ShapeError, match="uint8"):
        model.describe([np.zeros((8, 8), np.uint8)])
    with pytest.raises(UsageError, match="batch_size"):
        model.describe(pictures[:1], batch_size=0)


def test_names(zoo: Path, tmp_path: Path, pictures: list[Path]) -> None:
    assert model_names(zoo) == ["landmarks-tiny", "parser-tiny", "pgfa-tiny", "sorn-tiny"]
    assert [default_name(task, zoo) for task in ("embedder", "parser", "landmarks")] == [
        "sorn-tiny",
        "parser-tiny",
        "landmarks-tiny",
    ]
    assert default_name("embedder", tmp_path) is None
    with pytest.raises(UsageError, match=r"did you mean 'sorn-tiny'\? there are: landmarks-tiny, parser-tiny"):
        load("sorn-tny", folder=zoo)
    with pytest.raises(UsageError, match="there are: none"):
        load("sorn-tiny", folder=tmp_path)
    with pytest.raises(MissingWeightsError, match="no default embedder"):
        load(folder=tmp_path)
    with pytest.raises(UsageError, match="describes nobody"):
        load_embedder("parser-tiny", folder=zoo)
    assert weights_path("sorn-tiny", zoo) == zoo / "sorn-tiny.safetensors"
    assert weights_path(pictures[0], zoo) == pictures[0]
    assert weights_path("runs/none/weights.safetensors", zoo) == Path("runs/none/weights.safetensors")
    with pytest.raises(UsageError, match="no model 'weights'"):
        weights_path("weights", zoo)


def test_damage_is_seen_before_anything_is_read(changed: Callable[..., Path]) -> None:
    folder = changed()
    path = folder / "sorn-tiny.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged: expected .* but its sha256 is"):
        load("sorn-tiny", folder=folder)
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"damaged: expected .* but it has [\d,]+ bytes"):
        load("sorn-tiny", folder=folder)
    path.unlink()
    with pytest.raises(MissingWeightsError, match="install the package again"):
        load("sorn-tiny", folder=folder)


def test_a_record_of_another_thing_is_an_error(changed: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="several models are the default parser: parser-tiny, sorn-tiny"):
        default_name("parser", changed(task="parser"))
    with pytest.raises(DataError, match="the record says parser, the file is of the kind 'method'"):
        load("sorn-tiny", folder=changed(task="parser"))
    with pytest.raises(DataError, match="is the record of 'another'"):
        load("sorn-tiny", folder=changed(name="another"))
    other = b"not weights at all"
    folder = changed(sha256=hashlib.sha256(other).hexdigest(), bytes=len(other))
    (folder / "sorn-tiny.safetensors").write_bytes(other)
    with pytest.raises(DataError, match="cannot be read as weights"):
        load("sorn-tiny", folder=folder)


def test_other_output_than_the_record_says_is_seen(changed: Callable[..., Path], zoo: Path) -> None:
    values = json.loads((zoo / "sorn-tiny.json").read_text())["canonical"]
    model = load("sorn-tiny", folder=zoo)
    check_canonical(model, model.record.canonical)
    values["values"]["global"][1][2] += 0.1
    with pytest.raises(DataError, match="value 2 of global for picture 1"):
        check_canonical(model, load("sorn-tiny", folder=changed(canonical=values)).record.canonical)
    del values["values"]["global"]
    with pytest.raises(DataError, match="its record has values of"):
        check_canonical(model, load("sorn-tiny", folder=changed(canonical=values)).record.canonical)
