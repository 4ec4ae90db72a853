"""The gallery's commands, run as a user runs them, on a rendered world and a tiny method with random weights."""

import errno
import io
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from occlureid import methods
from occlureid.cli import gallery_add, main
from occlureid.cli.gallery_describing import CropDescriber
from occlureid.gallery import Gallery, Item
from occlureid.synthetic import WorldSettings, write_world
from occlureid.types import Descriptor
from tests.gallery.crops import old_gallery, spoil

DAY = 86_400
SETTINGS = {"backbone": "resnet10t", "size": (64, 32), "parts": 3}
Said = pytest.CaptureFixture[str]


def run(*arguments: object) -> int:
    return main(["gallery", *map(str, arguments)])


def said(capsys: Said, *arguments: object) -> Any:
    """What a command prints as JSON."""
    capsys.readouterr()
    assert run(*arguments, "--json") == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = WorldSettings(
        train_persons=1, test_persons=4, cameras=2, train_images=1, gallery_images=1, size=(64, 32)
    )
    return write_world(settings, tmp_path_factory.mktemp("gallery") / "world")


@pytest.fixture(scope="module")
def weights(world: Path) -> Path:
    path = world.parent / "weights.safetensors"
    methods.save(methods.create("pcb", 3, SETTINGS), path)
    return path


@pytest.fixture(scope="module")
def _filled(world: Path, weights: Path) -> Path:
    folder = world.parent / "filled"
    assert run("create", folder, "--weights", weights, "--by", "test") == 0
    assert run("add", folder, world, "--weights", weights, "--thumbnails", "--by", "test") == 0
    return folder


@pytest.fixture
def people(_filled: Path, tmp_path: Path) -> Path:
    """A gallery of the world's eight gallery images, to do with as one likes."""
    return Path(shutil.copytree(_filled, tmp_path / "people"))


@pytest.fixture
def query(world: Path) -> Path:
    return sorted((world / "query").glob("*.jpg"))[0]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Five images of noise in a folder, and one in a folder in it."""
    draw = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png", "d.png", "more/e.png"):
        Image.fromarray(draw.integers(0, 255, (60, 40, 3), dtype=np.uint8)).save(folder / name)
    return folder


# -- filling -----------------------------------------------------------------------------------------------------------


def test_create_takes_everything_from_the_weights(weights: Path, tmp_path: Path, capsys: Said) -> None:
    assert run("create", tmp_path / "new", "--weights", weights, "--retention", 30) == 0
    assert "kept for 30 days" in capsys.readouterr().out
    gallery, method = Gallery.open(tmp_path / "new"), methods.restore(weights)
    assert (gallery.fingerprint, gallery.rule) == (method.fingerprint(), method.rule)
    assert gallery.shape.retention == 30 * DAY
    assert gallery.shape.parts == 3
    assert run("create", tmp_path / "new", "--weights", weights) == 3
    assert "there already" in capsys.readouterr().err
    assert run("create", tmp_path / "new", "--weights", weights, "--retention", 30, "--exist-ok") == 0
    assert run("create", tmp_path / "new", "--weights", weights, "--exist-ok") == 3
    assert "is there already, with retention of 30 days, not for ever; open it as it is" in capsys.readouterr().err
    assert run("create", tmp_path / "other", "--weights", tmp_path / "none.safetensors") == 4
    assert run("create", tmp_path / "other", "--weights", weights, "--retention", -1) == 2
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(("name", "more"), [("pgfa", {}), ("sgam", {"visibility": "fraction"})])
def test_create_for_methods_that_need_cues(name: str, more: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    methods.save(methods.create(name, 3, {"backbone": "resnet10t", "size": (64, 32), **more}), path)
    assert run("create", tmp_path / "gallery", "--weights", path) == 0
    assert Gallery.open(tmp_path / "gallery").shape.parts > 1


def test_add_a_dataset(people: Path, world: Path, weights: Path, capsys: Said) -> None:
    items = Gallery.open(people).items()
    assert len(items) == 8
    assert {item.camera for item in items} == {"1", "2"}
    assert len({item.person for item in items}) == 4
    assert all(item.id.startswith("bounding_box_test/") for item in items)
    again = said(capsys, "add", people, world, "--weights", weights)
    assert (again["added"], again["present"], again["items"]) == (0, 8, 8)
    more = said(capsys, "add", people, world, "--weights", weights, "--split", "query", "--layout", "synthetic")
    assert more["added"] == len(list((world / "query").glob("*.jpg")))


def test_thumbnails_are_kept_on_request(people: Path, pictures: Path, weights: Path) -> None:
    gallery = Gallery.open(people)
    small = gallery.thumbnail(gallery.items()[0].id)
    assert small is not None
    assert Image.open(io.BytesIO(small)).size == (32, 64)
    assert run("add", people, pictures / "a.png", "--weights", weights) == 0
    assert gallery.thumbnail("a.png") is None


def test_add_folders_and_files(people: Path, pictures: Path, weights: Path, capsys: Said) -> None:
    result = said(capsys, "add", people, pictures, "--weights", weights, "--camera", "gate", "--person", "ann")
    assert result["added"] == 5
    item = Gallery.open(people).get(["more/e.png"])[0]
    assert (item.camera, item.person, item.source) == ("gate", "ann", str(pictures / "more" / "e.png"))
    other = pictures.parent / "other"
    other.mkdir()
    shutil.copy(pictures / "b.png", other / "a.png")
    assert run("add", people, other / "a.png", "--weights", weights) == 0
    assert "1 ids belong to other images already, the first is 'a.png'" in capsys.readouterr().err
    assert said(capsys, "add", people, other / "a.png", "--weights", weights, "--prefix", "west/")["added"] == 1
    assert run("add", people, pictures, other, "--weights", weights) == 3
    assert "both have the id 'a.png'" in capsys.readouterr().err


def test_unreadable_images_are_named_and_counted(people: Path, pictures: Path, weights: Path, capsys: Said) -> None:
    (pictures / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nno more than that")
    assert run("add", people, pictures, "--weights", weights) == 0
    captured = capsys.readouterr()
    assert "4 items added, 0 were there already, 1 could not be read" in captured.out
    assert "left out 'b.png'" in captured.err
    assert run("add", people, pictures / "b.png", "--weights", weights) == 3
    assert run("add", people, pictures / "none.png", "--weights", weights) == 3
    assert len(Gallery.open(people)) == 12


def test_an_interrupted_add_goes_on(
    people: Path, pictures: Path, weights: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = []

    def describe(itself: CropDescriber, root: Path, crops: Any, **options: Any) -> Any:
        described.extend(crop.item.id for crop in crops)
        if len(described) == 4 and monkeypatched:
            raise KeyboardInterrupt
        return real(itself, root, crops, **options)

    real, monkeypatched = CropDescriber.describe, [True]
    monkeypatch.setattr(gallery_add, "TOGETHER", 2)
    monkeypatch.setattr(CropDescriber, "describe", describe)
    assert run("add", people, pictures, "--weights", weights) == 130
    assert "2 items were added; the same command goes on from there" in capsys.readouterr().err
    described.clear()
    monkeypatched.clear()
    assert said(capsys, "add", people, pictures, "--weights", weights)["added"] == 3
    assert described == ["c.png", "d.png", "more/e.png"]


def test_add_crops_of_a_csv_file(people: Path, pictures: Path, weights: Path, capsys: Said) -> None:
    listed = pictures / "crops.csv"
    listed.write_text(
        "path,camera,id,person,time,box\n"
        "a.png,gate,one,ann,2026-01-31T14:05:00+01:00,\n"
        "a.png,gate,,,1700000000.5,2 3 30 50\n"
        'a.png,hall,three,,,"5,5,25,55"\n',
        encoding="utf-8",
    )
    assert said(capsys, "add", people, listed, "--weights", weights, "--thumbnails")["added"] == 3
    gallery = Gallery.open(people)
    one, two, three = gallery.get(["one", "a.png@2,3,30,50", "three"])
    assert (one.person, one.time, one.box) == ("ann", 1769864700.0, None)
    assert (two.person, two.time, two.box) == (None, 1700000000.5, (2, 3, 30, 50))
    assert three.thumbnail is not None
    assert Image.open(io.BytesIO(three.thumbnail)).size == (20, 50)
    vectors = gallery.descriptor(["one", "three"]).global_
    assert not bool((vectors[0] == vectors[1]).all())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "expected the columns path and camera"),
        (b"path,camera\n", "there is no crop in it"),
        (b"path,person\na.png,ann\n", "expected the columns path and camera"),
        (b"path,camera,evil\na.png,gate,1\n", "expected the columns path and camera"),
        (b"path,camera\na.png\n", ":2: expected 2 fields"),
        (b"path,camera\nnone.png,gate\n", ":2: there is no image none.png"),
        (b"path,camera\na.png\0,gate\n", "a.png"),
        (b"path,camera\n" + b"x" * 5000 + b".png,gate\n", ":2: there is no image"),
        (b"path,camera\n" + b"x" * 20_000 + b",gate\n", "at most 10000 letters"),
        (b"path,camera\na.png,\n", ":2: camera must be a text"),
        (b"path,camera\na.png,\xff\xfe\n", "is not a CSV file in UTF-8"),
        (b'path,camera\n"a.png,gate\n', "is not a CSV file"),
        (b"path,camera,time\na.png,gate,tomorrow\n", ":2: time must be a date such as 2026-01-31"),
        (b"path,camera,time\na.png,gate,nan\n", ":2: time must be a finite number"),
        (b"path,camera,box\na.png,gate,1 2 3\n", ":2: box must be four numbers"),
        (b"path,camera,box\na.png,gate,1 2 inf 9\n", ":2: box must be four numbers"),
        (b"path,camera,box\na.png,gate,9 2 3 8\n", ":2: box must satisfy"),
        (b"path,camera,id\na.png,gate,x\nb.png,gate,x\n", "both have the id 'x'"),
        ("path,camera\na.png,ga\u2028te\n".encode(), "must not hold control characters or line ends"),
    ],
)
def test_hostile_csv_files(
    text: bytes, message: str, people: Path, pictures: Path, weights: Path, capsys: Said
) -> None:
    (pictures / "crops.csv").write_bytes(text)
    assert run("add", people, pictures / "crops.csv", "--weights", weights) == 3
    assert message in capsys.readouterr().err
    assert len(Gallery.open(people)) == 8


def test_a_box_beyond_its_picture_is_left_out(people: Path, pictures: Path, weights: Path, capsys: Said) -> None:
    (pictures / "crops.csv").write_text("path,camera,box\na.png,gate,0 0 400 50\nb.png,gate,0 0 40 50\n")
    result = said(capsys, "add", people, pictures / "crops.csv", "--weights", weights)
    assert result["added"] == 1
    assert "the box must satisfy" in result["unreadable"]["a.png@0,0,400,50"]


def test_other_weights_are_refused(people: Path, pictures: Path, query: Path, tmp_path: Path, capsys: Said) -> None:
    other = tmp_path / "other.safetensors"
    methods.save(methods.create("pcb", 3, SETTINGS, seed=1), other)
    for command in (("add", people, pictures), ("search", people, query)):
        assert run(*command, "--weights", other) == 3
        assert "give the weights that the gallery was created with" in capsys.readouterr().err
    assert run("add", people, pictures, "--weights", tmp_path / "none.safetensors") == 4


def test_an_image_of_a_dataset_finds_its_cues(
    world: Path, query: Path, tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "pgfa.safetensors"
    methods.save(methods.create("pgfa", 3, {"backbone": "resnet10t", "size": (64, 32)}), weights)
    assert run("create", tmp_path / "gallery", "--weights", weights) == 0
    assert said(capsys, "add", tmp_path / "gallery", world, "--weights", weights)["added"] == 8
    monkeypatch.chdir(query.parent)
    (answer,) = said(capsys, "search", tmp_path / "gallery", query.name, "--weights", weights)["queries"]
    assert len(answer["hits"]) > 0
    lonely = tmp_path / query.name
    shutil.copy(query, lonely)
    capsys.readouterr()
    assert run("search", tmp_path / "gallery", lonely, "--weights", weights) == 0
    assert "cues: computed by landmarks@" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "more"), [("pgfa", {}), ("sgam", {"visibility": "fraction"})])
def test_images_and_boxes_without_files_of_cues_get_them_from_the_packages_networks(
    name: str, more: dict[str, Any], pictures: Path, tmp_path: Path, capsys: Said
) -> None:
    weights = tmp_path / "weights.safetensors"
    methods.save(methods.create(name, 3, {"backbone": "resnet10t", "size": (64, 32), **more}), weights)
    assert run("create", tmp_path / "gallery", "--weights", weights) == 0
    (pictures / "crops.csv").write_text("path,camera,box\na.png,gate,0 0 30 50\n")
    assert run("add", tmp_path / "gallery", pictures / "crops.csv", "--weights", weights) == 0
    assert run("add", tmp_path / "gallery", pictures / "a.png", "--weights", weights) == 0
    assert "cues: computed by" in capsys.readouterr().err
    assert run("search", tmp_path / "gallery", pictures / "a.png", "--weights", weights, "-k", "2", "--json") == 0
    hits = json.loads(capsys.readouterr().out)["queries"][0]["hits"]
    assert [hit["id"] for hit in hits] == ["a.png", "a.png@0,0,30,50"]
    assert hits[0]["distance"] == pytest.approx(0, abs=1e-3)
    (pictures / "pose" / "elsewhere").mkdir(parents=True)  # files of cues that hold none of these images are a fault
    (pictures / "parts").mkdir()
    assert run("search", tmp_path / "gallery", pictures / "a.png", "--weights", weights) == 4
    assert "the cue" in capsys.readouterr().err


# -- searching ---------------------------------------------------------------------------------------------------------


def test_an_image_finds_itself(people: Path, world: Path, weights: Path, capsys: Said) -> None:
    image = sorted((world / "bounding_box_test").glob("*.jpg"))[3]
    (answer,) = said(capsys, "search", people, image, "--weights", weights, "-k", 3)["queries"]
    assert answer["hits"][0]["id"] == f"bounding_box_test/{image.name}"
    assert answer["hits"][0]["distance"] < 1e-3
    assert (len(answer["hits"]), answer["searched"], answer["exact"], len(answer["parts"])) == (3, 8, True, 3)
    assert run("search", people, image, "--weights", weights, "-k", 2, "--explain") == 0
    text = capsys.readouterr().out
    assert "rank  id" in text
    assert "compared" in text
    assert text.count("whole image") == 2 * (answer["hits"][0]["reason"]["global_distance"] is not None)


def test_filters(people: Path, pictures: Path, query: Path, weights: Path, capsys: Said) -> None:
    (pictures / "crops.csv").write_text("path,camera,time\na.png,gate,2026-01-31T14:05:00Z\nb.png,gate,2026-02-01\n")
    assert run("add", people, pictures / "crops.csv", "--weights", weights) == 0

    def found(*options: object) -> set[str]:
        (answer,) = said(capsys, "search", people, query, "--weights", weights, "-k", 20, *options)["queries"]
        return {f"{hit['camera']} {hit['person']}" for hit in answer["hits"]}

    person = Gallery.open(people).items()[0].person
    assert found("--camera", "gate") == {"gate None"}
    assert {one.split()[0] for one in found("--not-camera", "gate", "--not-camera", "2")} == {"1"}
    assert found("--person", person) == {f"1 {person}", f"2 {person}"}
    assert found("--since", "2026-01-31T15:05:00+01:00", "--until", "2026-02-01") == {"gate None"}
    assert found("--until", "1000") == set()
    assert run("search", people, query, "--weights", weights, "--since", "soon") == 2
    assert "--since must be" in capsys.readouterr().err
    assert run("search", people, "--item", "x", "--since", "2026-02-01", "--until", "2026-01-31T14:05") == 2
    assert "since must be before until, got 2026-02-01T00:00:00Z and 2026-01-31T14:05:00Z" in capsys.readouterr().err
    assert run("search", people, query, "--weights", weights, "--since", 5, "--until", 4) == 2


def test_search_by_stored_items_needs_no_weights(people: Path, capsys: Said) -> None:
    ids = [item.id for item in Gallery.open(people).items()]
    one, two = said(capsys, "search", people, "--item", ids[0], "--item", ids[1], "-k", 20)["queries"]
    assert {hit["id"] for hit in one["hits"]} == set(ids) - {ids[0]}
    assert {hit["id"] for hit in two["hits"]} == set(ids) - {ids[1]}
    (both,) = said(capsys, "search", people, "--item", ids[0], "--item", ids[1], "--together", "-k", 20)["queries"]
    assert {hit["id"] for hit in both["hits"]} == set(ids[2:])
    assert both["query"] == f"{ids[0]} + {ids[1]}"
    assert run("search", people, "--item", "nobody") == 3


def test_an_approximate_search_says_how_good_its_index_is(people: Path, capsys: Said) -> None:
    ids = [item.id for item in Gallery.open(people).items()]
    assert run("search", people, "--item", ids[0], "-k", 3, "--approximate", "--json") == 0
    printed = capsys.readouterr()
    assert re.search(rf"index of {len(ids)} items, .* finds (\d+\.\d)% of the 10 nearest", printed.err)
    (query,) = json.loads(printed.out)["queries"]
    assert not query["exact"]
    assert {hit["id"] for hit in query["hits"]} <= set(ids[1:])
    assert query["hits"]


def test_search_says_what_is_missing(people: Path, query: Path, weights: Path) -> None:
    assert run("search", people) == 2
    assert run("search", people, query) == 3, "the default embedder did not fill this gallery"
    assert run("search", people, query, "--item", "x", "--weights", weights) == 2
    assert run("search", people, query, "--weights", weights, "-k", 0) == 2
    assert run("search", query.parent, query, "--weights", weights) == 3


def test_the_sheet_outlines_and_greys(people: Path, world: Path, weights: Path, tmp_path: Path, capsys: Said) -> None:
    images = sorted((world / "query").glob("*.jpg"))[:2]
    sheet = tmp_path / "sheets" / "hits.png"
    assert run("search", people, *images, "--weights", weights, "-k", 3, "--sheet", sheet) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(sheet)
    two = np.asarray(Image.open(sheet).convert("RGB")).astype(int)
    assert run("search", people, *images, "--together", "--weights", weights, "-k", 3, "--sheet", sheet) == 0
    one = np.asarray(Image.open(sheet).convert("RGB")).astype(int)
    assert one.shape[0] < two.shape[0]
    outlined = (abs(two - (255, 209, 64)).sum(2) == 0).sum()
    assert outlined > 1000
    assert run("search", people, *images, "--weights", weights, "--sheet", tmp_path / "hits.nothing") == 2
    assert "a sheet cannot be written here" in capsys.readouterr().err


def test_a_sheet_without_thumbnails_takes_the_sources(
    people: Path, pictures: Path, weights: Path, tmp_path: Path
) -> None:
    assert run("add", people, pictures, "--weights", weights) == 0
    command = ["search", people, "--item", "a.png", "--weights", weights, "-k", 20, "--sheet"]
    assert run(*command, tmp_path / "with.png") == 0
    shutil.rmtree(pictures)
    assert run(*command, tmp_path / "without.png") == 0
    grey = (205, 208, 214)
    counts = [(np.asarray(Image.open(tmp_path / name)) == grey).all(2).sum() for name in ("with.png", "without.png")]
    assert counts[1] > counts[0] + 5 * 96 * 192 // 3


def test_damaged_regions_are_an_error(people: Path, capsys: Said) -> None:
    (people / "regions.json").write_text('[{"name": "head"}]')
    assert run("search", people, "--item", "x") == 3
    assert "the places of parts" in capsys.readouterr().err


# -- the threshold -----------------------------------------------------------------------------------------------------


def test_calibrate_on_the_gallery_itself(people: Path, query: Path, weights: Path, capsys: Said) -> None:
    made = said(capsys, "calibrate", people, "--rate", 0.2)
    assert (made["unit"], made["genuine"], made["impostors"]) == ("pair", 8, 48)
    assert made["false_positives"] <= 0.2 * 48
    (answer,) = said(capsys, "search", people, query, "--weights", weights, "-k", 8)["queries"]
    assert [hit["probable"] for hit in answer["hits"]] == [
        hit["distance"] <= made["threshold"] for hit in answer["hits"]
    ]
    assert run("calibrate", people, "--rate", 0.2, "--unit", "search", "--out", people.parent / "search.json") == 0
    assert "of 8 searches for somebody who is not there" in capsys.readouterr().out
    strict = said(capsys, "search", people, query, "--weights", weights, "--calibration", people.parent / "search.json")
    assert strict["queries"][0]["absent"] is not None
    assert run("search", people, query, "--weights", weights) == 0
    out = capsys.readouterr().out
    assert "match likely: " in out
    assert "about 2 of 8 items of other people can be a likely match by chance" in out
    both = sorted(query.parent.glob("*.jpg"))[:2]
    assert run("search", people, *both, "--together", "--weights", weights) == 0
    out = capsys.readouterr().out
    assert "no verdict: the query has 2 images, and the thresholds were measured with queries of one image" in out
    assert "verdict" not in out.splitlines()[1]
    assert run("calibrate", people, "--rate", 0.001) == 2
    assert run("calibrate", people, "--rate", 0.2, "--miss", 0) == 2
    assert run("calibrate", people, "--images", 1) == 2


def test_calibrate_on_validation_data(people: Path, world: Path, weights: Path, tmp_path: Path, capsys: Said) -> None:
    described = tmp_path / "described"
    assert main(["describe", str(world), "--weights", str(weights), "--out", str(described)]) == 0
    made = said(capsys, "calibrate", people, "--described", described, "--rate", 0.3, "--images", 3)
    assert made["genuine"] + made["impostors"] <= 9
    assert (people / "calibration.json").is_file()
    other = tmp_path / "other.safetensors"
    methods.save(methods.create("pcb", 3, SETTINGS, seed=1), other)
    assert main(["describe", str(world), "--weights", str(other), "--out", str(described), "--overwrite"]) == 0
    assert run("calibrate", people, "--described", described) == 3
    assert "describe the validation set with the gallery's weights" in capsys.readouterr().err


def test_calibrate_needs_names_in_two_cameras(pictures: Path, weights: Path, tmp_path: Path, capsys: Said) -> None:
    folder = tmp_path / "unnamed"
    assert run("create", folder, "--weights", weights) == 0
    assert run("add", folder, pictures / "a.png", "--weights", weights) == 0
    assert run("calibrate", folder) == 3
    assert "the persons of 0 items are known" in capsys.readouterr().err
    assert run("add", folder, pictures / "b.png", pictures / "c.png", "--person", "ann", "--weights", weights) == 0
    assert run("calibrate", folder) == 3
    assert "no person is known in two cameras" in capsys.readouterr().err


# -- taking out --------------------------------------------------------------------------------------------------------


def test_remove_and_erase(people: Path, capsys: Said) -> None:
    items = Gallery.open(people).items()
    assert run("remove", people, "--id", items[0].id) == 2  # nobody is there to answer
    assert "say --yes" in capsys.readouterr().err
    assert run("remove", people, "--yes") == 2
    assert run("remove", people, "--id", items[0].id, "--id", "nobody", "--id", "no one", "--yes", "--json") == 3
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"removed": 1, "items": 7, "missing": ["item 'nobody'", "item 'no one'"]}
    assert "there is no item 'nobody' (nor 1 more that were named)" in printed.err
    theirs = [item for item in items[1:] if item.person == items[-1].person]
    result = said(capsys, "erase", people, "--person", items[-1].person, "--yes")
    assert (result["erased"], result["items"]) == (len(theirs), 7 - len(theirs))
    files = b"".join(file.read_bytes() for file in people.rglob("*") if file.is_file())
    assert items[0].id.encode() not in files  # removed before, erased with the rest
    assert all(item.id.encode() not in files for item in theirs)
    for command in ("erase", "remove"):
        for named in (("--id", items[0].id), ("--person", "nobody")):
            assert run(command, people, *named, "--json") == 3  # there is nothing to ask about
            printed = capsys.readouterr()
            assert json.loads(printed.out)[f"{command}d".replace("ee", "e")] == 0
            assert "there is no item" in printed.err
    assert run("erase", people, "--person", '"ann"') == 3
    assert capsys.readouterr().out == "nobody was erased; what was removed before is off the disk too\n"


@pytest.mark.parametrize(("answer", "left"), [("y\n", 7), ("\n", 8), ("no\n", 8)])
@pytest.mark.parametrize("command", ["remove", "erase"])
def test_they_ask_first(command: str, answer: str, left: int, people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    assert run(command, people, "--id", Gallery.open(people).items()[0].id) == 0
    assert len(Gallery.open(people)) == left


def test_expire(people: Path, pictures: Path, weights: Path, tmp_path: Path, capsys: Said) -> None:
    assert run("expire", people) == 2
    assert run("create", tmp_path / "short", "--weights", weights, "--retention", 1) == 0
    assert run("add", tmp_path / "short", pictures, "--weights", weights) == 0
    assert said(capsys, "expire", tmp_path / "short") == {"expired": 0, "items": 5, "future": []}
    (pictures / "crops.csv").write_text("path,camera,id,time\na.png,gate,old,2020-01-01\n")
    assert run("add", tmp_path / "short", pictures / "crops.csv", "--weights", weights) == 3
    assert "would expire at once" in capsys.readouterr().err


def aged(folder: Path, weights: Path, count: int, old: int) -> Gallery:
    """A gallery of two days' retention, some of whose items are three days old."""
    assert run("create", folder, "--weights", weights, "--retention", 2) == 0
    moment = time.time() - 3 * DAY
    gallery = Gallery.open(folder, clock=lambda: moment)
    shape = gallery.shape

    def put(ids: list[str]) -> None:
        vectors = Descriptor(
            torch.ones(len(ids), shape.global_size),
            torch.ones(len(ids), shape.parts, shape.part_size),
            torch.ones(len(ids), shape.parts),
            fingerprint=gallery.fingerprint,
        )
        gallery.add([Item(one, "gate") for one in ids], vectors, by="test")

    put([f"old {n}" for n in range(old)])
    moment = time.time()
    gallery._expired_at = moment
    put([f"new {n}" for n in range(count - old)])
    return gallery


def test_expire_asks_where_the_clock_is_in_doubt(
    weights: Path, pictures: Path, tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "aged"
    gallery = aged(folder, weights, 20, 3)
    assert run("expire", folder) == 2
    assert "3 of 20 items are more than a tenth of the gallery" in capsys.readouterr().err
    added = said(capsys, "add", folder, pictures / "a.png", "--weights", weights)
    assert (added["expired"], added["overdue"], added["items"]) == (0, 3, 21)
    assert run("add", folder, pictures / "b.png", "--weights", weights) == 0
    assert "expire" in (warning := capsys.readouterr().err)
    assert "3 items are older than the gallery keeps items and are still there" in warning
    for answer, left in (("n\n", 22), ("y\n", 19)):
        terminal = io.StringIO(answer)
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", terminal)
        assert run("expire", folder) == 0
        assert len(gallery) == left


def test_expire_and_add_say_how_many_went(weights: Path, pictures: Path, tmp_path: Path, capsys: Said) -> None:
    gallery = aged(tmp_path / "one", weights, 30, 2)
    added = said(capsys, "add", tmp_path / "one", pictures / "a.png", "--weights", weights)
    assert (added["expired"], added["overdue"], added["items"]) == (2, 0, 29)
    aged(tmp_path / "two", weights, 30, 2)
    assert run("expire", tmp_path / "two") == 0
    assert "2 items expired and are erased" in capsys.readouterr().out
    aged(tmp_path / "three", weights, 30, 4)
    assert said(capsys, "expire", tmp_path / "three", "--yes")["expired"] == 4
    ahead = Gallery.open(tmp_path / "one", clock=lambda: time.time() + 400 * DAY)
    ahead._expired_at = ahead._clock()
    ahead.add([Item("later", "gate")], gallery.descriptor(["new 0"]), by="test")
    assert said(capsys, "expire", tmp_path / "one")["future"] == ["later"]
    assert said(capsys, "verify", tmp_path / "one")["future"] == ["later"]
    assert run("expire", tmp_path / "one") == 0
    assert "1 are from the future and will be kept too long: 'later'" in capsys.readouterr().out


# -- keeping -----------------------------------------------------------------------------------------------------------


def test_stats_and_compact(people: Path, capsys: Said) -> None:
    values = said(capsys, "stats", people)
    assert (values["items"], values["persons"], values["cameras"]) == (8, 4, {"1": 4, "2": 4})
    assert run("stats", people) == 0
    text = capsys.readouterr().out
    assert "pcb@" in text
    assert "camera  items" in text
    assert run("remove", people, "--id", Gallery.open(people).items()[0].id, "--yes") == 0
    sizes = said(capsys, "compact", people)
    assert sizes["bytes"] < sizes["bytes_before"]
    assert len(Gallery.open(people)) == 7


def test_export_and_import(people: Path, weights: Path, tmp_path: Path, capsys: Said) -> None:
    file = tmp_path / "people.parquet"
    assert said(capsys, "export", people, file)["exported"] == 8
    assert run("export", people, file) == 2
    assert run("export", people, file, "--overwrite") == 0
    assert pq.read_table(file).num_rows == 8
    assert run("create", tmp_path / "again", "--weights", weights) == 0
    assert said(capsys, "import", tmp_path / "again", file) == {
        "added": 8,
        "present": 0,
        "expired": 0,
        "overdue": 0,
        "items": 8,
    }
    assert said(capsys, "import", tmp_path / "again", file)["present"] == 8
    assert Gallery.open(tmp_path / "again").items() == Gallery.open(people).items()
    file.write_bytes(file.read_bytes()[:-100])
    assert run("import", tmp_path / "again", file) == 3


def test_verify_names_what_is_damaged(people: Path, tmp_path: Path, capsys: Said) -> None:
    assert said(capsys, "verify", people) == {"items": 8, "sealed": True, "damaged": {}, "future": []}
    gallery = Gallery.open(people)
    one = gallery.items()[2].id
    spoil(people, gallery.descriptor([one]).global_[0])
    assert run("verify", people, "--json") == 3
    printed = capsys.readouterr()
    assert json.loads(printed.out)["damaged"] == {one: ["vectors"]}
    assert "Copy the gallery from a backup, or erase them" in printed.err
    other = next(item.id for item in gallery.items() if item.id != one)
    assert run("search", people, "--item", one) == 3
    assert "is damaged: its vectors are not what was stored" in capsys.readouterr().err
    assert run("search", people, "--item", other, "-k", 20, "--sheet", tmp_path / "hits.png") == 0
    text = capsys.readouterr().out
    assert f"1 damaged items were left out: {one!r} (occlureid gallery verify {people})" in text
    (answer,) = said(capsys, "search", people, "--item", other, "-k", 20)["queries"]
    assert (len(answer["hits"]), answer["damaged"], answer["damaged_ids"]) == (6, 1, [one])
    result = said(capsys, "export", people, tmp_path / "out.parquet")
    assert (result["exported"], result["damaged"]) == (7, [one])
    assert run("erase", people, "--id", one, "--yes") == 0
    assert run("verify", people) == 0


def test_an_old_gallery_is_said_to_be_unprotected_until_it_is_sealed(
    weights: Path, tmp_path: Path, capsys: Said
) -> None:
    method = methods.restore(weights)
    old_gallery(tmp_path / "old", fingerprint=method.fingerprint(), rule=method.rule)
    assert run("stats", tmp_path / "old") == 0
    printed = capsys.readouterr()
    assert "damage to its files is not seen" in printed.err
    assert re.search("checksums +none", printed.out)
    assert not said(capsys, "verify", tmp_path / "old")["sealed"]
    assert said(capsys, "verify", tmp_path / "old", "--seal", "--by", "owner")["sealed"]
    assert run("stats", tmp_path / "old") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert re.search("checksums +yes", printed.out)


def test_a_gallery_that_cannot_be_written_is_searched_with_a_log_elsewhere(
    people: Path, tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, real = Gallery.open(people).items()[0].id, os.open

    def read_only(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if str(path).startswith(str(people)) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", read_only)
    assert run("search", people, "--item", one) == 3
    assert "the audit log cannot be written (Read-only file system)" in (message := capsys.readouterr().err)
    assert "--audit FILE" in message
    (answer,) = said(capsys, "search", people, "--item", one, "--audit", tmp_path / "log.jsonl")["queries"]
    assert len(answer["hits"]) == 7
    assert json.loads((tmp_path / "log.jsonl").read_text())["action"] == "search"


def test_audit_says_who_did_what(people: Path, query: Path, weights: Path, capsys: Said) -> None:
    gone = Gallery.open(people).items()[0].id
    assert run("search", people, query, "--weights", weights, "--by", "desk") == 0
    assert run("export", people, people.parent / "out.parquet", "--by", "desk") == 0
    assert run("erase", people, "--id", gone, "--yes", "--by", "privacy office") == 0
    done = [(e["who"], e["action"], e.get("count")) for e in said(capsys, "audit", people) if e["state"] == "done"]
    assert done == [
        ("test", "create", None),
        ("test", "add", 8),
        ("desk", "search", 8),
        ("desk", "export", 8),
        ("privacy office", "erase", 1),
    ]
    concerning = [event["action"] for event in said(capsys, "audit", people, "--item", gone)]
    assert concerning == ["add", "add", "search", "erase", "erase"]
    assert gone not in (people / "audit.jsonl").read_text()
    with (people / "audit.jsonl").open("a") as log:
        log.write('{"half')
    assert run("audit", people) == 0
    text = capsys.readouterr().out
    assert "privacy office" in text
    assert "damaged" in text


def test_the_user_of_the_process_is_named(people: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "eve")
    assert run("remove", people, "--id", "nobody", "--yes") == 3
    assert said(capsys, "audit", people)[-1]["who"] == "eve"
    assert run("remove", people, "--id", "nobody", "--yes", "--by", "") == 2


def test_an_audit_log_elsewhere(weights: Path, tmp_path: Path, capsys: Said) -> None:
    log = tmp_path / "log.jsonl"
    assert run("create", "memory://people", "--weights", weights) == 2
    assert "name a local file for the audit log" in capsys.readouterr().err
    assert run("create", tmp_path / "people", "--weights", weights, "--audit", log) == 0
    assert json.loads(log.read_text())["action"] == "create"


def test_nothing_to_do_prints_help(capsys: Said) -> None:
    assert run() == 2
    assert "erase" in capsys.readouterr().out
