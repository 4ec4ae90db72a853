"""The artefact between describing and scoring: complete, checked, and readable without model code."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from occlureid import methods
from occlureid.data import ReidDataset, open_dataset
from occlureid.described import Described, describe, describe_dataset, score
from occlureid.errors import DataError, MissingCueError, ShapeError
from occlureid.matching import MatchRule

SMALL = {"backbone": "resnet10t", "size": (64, 32)}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ReidDataset:
    root = tmp_path_factory.mktemp("described")
    for split, cameras in (("train", "12"), ("query", "1"), ("gallery", "23")):
        for person in ("a", "b", "c"):
            for camera in cameras:
                folder = root / split / person / camera
                folder.mkdir(parents=True)
                colour = {"a": (200, 30, 30), "b": (30, 200, 30), "c": (30, 30, 200)}[person]
                Image.new("RGB", (16, 32), colour).save(folder / "image.png")
    return open_dataset(root)


@pytest.fixture(scope="module")
def method() -> methods.Method[Any]:
    return methods.create("baseline", 3, SMALL)


def test_save_and_load_lose_nothing(dataset: ReidDataset, method: methods.Method[Any], tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    described = describe_dataset(
        method, dataset, bar=lambda split: lambda *done: calls.append((split, *done)), record={"more": 1}, batch_size=2
    )
    assert calls == [("query", 2, 3), ("query", 3, 3), ("gallery", 2, 6), ("gallery", 4, 6), ("gallery", 6, 6)]
    back = Described.load(described.save(tmp_path / "d"))
    assert torch.equal(back.query.global_, described.query.global_)
    assert torch.equal(back.gallery.global_, described.gallery.global_)
    assert (back.query_samples, back.gallery_samples) == (described.query_samples, described.gallery_samples)
    assert (back.rule, back.protocol, back.regions) == (described.rule, described.protocol, described.regions)
    assert back.record == json.loads(json.dumps(described.record))
    assert back.record["fingerprint"] == method.fingerprint()
    assert back.record["data"]["checksum"] == dataset.checksum()
    assert (back.record["more"], back.record["versions"]["torch"]) == (1, torch.__version__)
    assert score(back).to_json() == score(described).to_json()


def test_loading_and_scoring_need_no_model_code(
    dataset: ReidDataset, method: methods.Method[Any], tmp_path: Path
) -> None:
    folder = describe_dataset(method, dataset).save(tmp_path / "d")
    code = f"""
import sys
from occlureid.described import Described, score
score(Described.load({str(folder)!r}))
sys.exit([name for name in sys.modules if name.startswith(("occlureid.methods", "occlureid.models", "timm"))] or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_rule_can_be_changed_for_an_ablation(dataset: ReidDataset, method: methods.Method[Any]) -> None:
    described = describe_dataset(method, dataset)
    assert score(described, {"metric": "euclidean"}).rule == MatchRule(metric="euclidean", part_factor=0)
    with pytest.raises(DataError, match="not a matching rule"):
        score(described, {"metrik": "cosine"})


@pytest.mark.parametrize("batch_size", [1, 4])
def test_corrupt_images_are_fatal_or_named(
    dataset: ReidDataset, method: methods.Method[Any], tmp_path: Path, batch_size: int
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(dataset.query[0].path.read_bytes()[:40])
    samples = [dataset.query[0], type(dataset.query[0])(broken, "a", "1"), *dataset.query[1:]]
    with pytest.raises(DataError, match=r"broken\.png"):
        describe(method, samples, batch_size=batch_size)
    descriptor, kept = describe(method, samples, batch_size=batch_size, on_corrupt="skip")
    assert kept == [0, 2, 3]
    assert len(descriptor) == 3
    with pytest.raises(DataError, match="none of the 1 images could be described"):
        describe(method, samples[1:2], on_corrupt="skip")
    whole = ReidDataset("folder", tmp_path, dataset.train, tuple(samples), dataset.gallery, dataset.protocol)
    assert describe_dataset(method, whole, on_corrupt="skip").record["skipped"] == {
        "query": [str(broken)],
        "gallery": [],
    }


def test_bfloat16_is_close(dataset: ReidDataset, method: methods.Method[Any]) -> None:
    exact, _ = describe(method, dataset.query)
    rough, _ = describe(method, dataset.query, precision="bfloat16")
    assert rough.global_.dtype == torch.float32
    assert not torch.equal(exact.global_, rough.global_)
    assert float(torch.nn.functional.cosine_similarity(exact.global_, rough.global_).min()) > 0.99
    with pytest.raises(DataError, match="precision must be"):
        describe(method, dataset.query, precision="float8")


def test_a_method_that_needs_a_pose_says_so(dataset: ReidDataset) -> None:
    with pytest.raises(MissingCueError, match="keypoints"):
        describe_dataset(methods.create("pgfa", 3, SMALL), dataset)
    with pytest.raises(MissingCueError, match="method 'pgfa' needs the cue 'keypoints' to describe"):
        describe(methods.create("pgfa", 3, SMALL), dataset.query)


def test_damaged_folders_are_refused(dataset: ReidDataset, method: methods.Method[Any], tmp_path: Path) -> None:
    folder = describe_dataset(method, dataset).save(tmp_path / "d")
    path = folder / "described.json"
    content = json.loads(path.read_text())
    for change in ({"query": content["query"][:-1]}, {"rule": {"metric": "x"}}, {"regions": [{}]}, {"occlureid": "?"}):
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises((DataError, ShapeError)):
            Described.load(folder)
    path.write_text("{")
    with pytest.raises(DataError, match="damaged"):
        Described.load(folder)
    path.unlink()
    with pytest.raises(DataError, match='make it with "occlureid describe"'):
        Described.load(folder)
