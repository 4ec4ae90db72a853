"""Files of cues and their images, one to one, and landmarks that lie in them: what does not fit is refused by name."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from occlureid import describe_dataset, methods, train
from occlureid.cli import main
from occlureid.cues import (
    CueSettings,
    Degradation,
    Degraded,
    PartFolder,
    PoseFolder,
    build_parsing,
    build_pose,
    sources_for,
)
from occlureid.cues.mirror import check_distinct
from occlureid.cues.placement import check_placement, displaced_share, spread_out
from occlureid.cues.roots import sources_for_dataset
from occlureid.data import open_dataset
from occlureid.data.dataset import ReidDataset
from occlureid.doctor import Finding
from occlureid.doctor.cue_files import check_cues
from occlureid.errors import DataError, MissingCueError
from occlureid.occlude import occlude
from occlureid.types import Cues, Protocol, Sample

SIZE = (64, 32)


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE[::-1], (90, 60, 30)).save(path, format="PNG")
    return path


def sample(root: Path, name: str) -> Sample:
    return Sample(root / name, "1", "1")


def body(scale=(1.0, 1.0), offset=(0.0, 0.0)):
    """18 landmarks of a person who fills an image of ``SIZE``, scaled and moved."""
    x, y = np.linspace(4, 28, 18), np.linspace(3, 62, 18)
    values = np.stack([x * scale[0] + offset[0], y * scale[1] + offset[1], np.full(18, 0.9)], axis=1)
    return {"people": [{"pose_keypoints_2d": values.ravel().tolist()}]}


def write(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def labels(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", SIZE[::-1], 1).save(path, format="PNG")


def dataset(root: Path, train=(), query=(), gallery=()) -> ReidDataset:
    splits = (tuple(sample(root, name) for name in names) for names in (train, query, gallery))
    return ReidDataset("own", root, *splits, Protocol("own"))


def written(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


# -- one file, one image ----------------------------------------------------------------------------------------------

PAIR = ("train/a/1/0001.jpg", "train/b/1/0001.jpg")
ALPHAPOSE = [{"image_id": "0001.jpg", "category_id": 1, "keypoints": [5.0, 5.0, 0.9] * 17, "score": 2.0}]
COCO = {
    "images": [{"id": 1, "file_name": "0001.jpg"}],
    "annotations": [{"image_id": 1, "keypoints": [5.0, 5.0, 2] * 17, "num_keypoints": 17}],
}
BY_LESS = {
    "flat": ("0001_keypoints.json", body()),
    "AlphaPose's list": ("alphapose-results.json", ALPHAPOSE),
    "AlphaPose's object": ("alphapose-results.json", {"0001.jpg": body()}),
    "sep-json": ("sep-json/0001.json", body()),
    "COCO's file_name": ("person_keypoints_a.json", COCO),
    "COCO's number": ("keypoints_a_results.json", [{**ALPHAPOSE[0], "image_id": 1}]),
}


@pytest.mark.parametrize("form", BY_LESS)
def test_what_names_an_image_by_less_than_its_path_must_fit_one(tmp_path, form):
    name, content = BY_LESS[form]
    write(tmp_path / "pose" / name, content)
    both = [sample(tmp_path, name) for name in PAIR]
    message = r"fits two images below .*, train/a/1/0001\.jpg and train/b/1/0001\.jpg"
    with pytest.raises(DataError, match=message):
        sources_for(tmp_path, ["keypoints"], both)
    # before anything is loaded, and even where the samples asked for are a part of the data set
    with pytest.raises(DataError, match=message):
        sources_for_dataset(dataset(tmp_path, PAIR[:1], PAIR[1:]), ["keypoints"], both[:1])
    with pytest.raises(DataError, match=message):
        build_pose([sample.path for sample in both], PoseFolder(tmp_path / "pose", tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert sources_for(tmp_path, ["keypoints"], both[:1])(both[0], SIZE).keypoints[0, 2] > 0
    codes = {found.code: found for found in examine_cues(dataset(tmp_path, PAIR[:1], PAIR[1:]))}
    assert "train/a/1/0001.jpg and train/b/1/0001.jpg" in codes["pose_shared"].what


def examine_cues(data: ReidDataset) -> list[Finding]:
    return list(check_cues(data))


def test_heatmaps_by_their_bare_names_too(tmp_path):
    (tmp_path / "pose").mkdir()
    np.save(tmp_path / "pose" / "0001.npy", np.ones((17, 4, 4), np.float32))
    with pytest.raises(DataError, match=r"0001\.npy: fits two images"):
        sources_for(tmp_path, ["keypoints"], [sample(tmp_path, name) for name in PAIR])


@pytest.mark.parametrize("name", ["a.png", "a.npy"])
@pytest.mark.parametrize("cue", ["part_map", "foreground"])
def test_part_maps_and_silhouettes_are_one_image_s(tmp_path, name, cue):
    if name.endswith("png"):
        labels(tmp_path / "parts" / "query" / name)
    else:
        (tmp_path / "parts/query").mkdir(parents=True)
        np.save(tmp_path / "parts/query" / name, np.ones((7, 4, 2), np.float32))
    both = [sample(tmp_path, "query/a.jpg"), sample(tmp_path, "query/a.png")]
    with pytest.raises(DataError, match=r"fits two images below .*, query/a\.jpg and query/a\.png"):
        sources_for(tmp_path, [cue], both)
    assert sources_for(tmp_path, [cue], both[:1]) is not None
    (found,) = [
        found
        for found in examine_cues(dataset(tmp_path, query=["query/a.jpg", "query/a.png"]))
        if "parts_" in found.code
    ]
    assert (found.code, found.level) == ("parts_shared", "error")


def test_names_that_keep_the_suffix_tell_images_apart(tmp_path):
    for suffix, shift in (("jpg", 0.0), ("png", 2.0)):
        write(tmp_path / "pose" / f"a.{suffix}.json", body(offset=(shift, 0)))
        picture(tmp_path / f"a.{suffix}")
    both = [sample(tmp_path, "a.jpg"), sample(tmp_path, "a.png")]
    source = sources_for(tmp_path, ["keypoints"], both)
    assert [float(source(one, SIZE).keypoints[0, 0]) for one in both] == [4.0, 6.0]


def test_paths_of_their_own_are_no_mixture(tmp_path):
    for place, shift in (("train/a/1/0001", 0.0), ("train/b/1/0001", 2.0)):
        write(tmp_path / "pose" / f"{place}_keypoints.json", body(offset=(shift, 0)))
    both = [sample(tmp_path, name) for name in PAIR]
    source = sources_for(tmp_path, ["keypoints"], both)
    assert [float(source(one, SIZE).keypoints[0, 0]) for one in both] == [4.0, 6.0]


def test_images_elsewhere_need_no_cues_here(tmp_path):
    write(tmp_path / "data/pose/query/a.json", body())
    elsewhere = Sample(tmp_path / "elsewhere" / "a.jpg", "1", "1")
    query = (sample(tmp_path / "data", "query/a.jpg"),)
    data = ReidDataset("own", tmp_path / "data", (), query, (elsewhere,), Protocol("own"))
    source = sources_for_dataset(data, ["keypoints"], data.query)
    assert source(data.query[0], SIZE).keypoints[0, 2] > 0


# -- one image, one file ----------------------------------------------------------------------------------------------


class Never:
    """A provider that must not be asked."""

    name, labels, cues, fingerprint = "never", "eanet8", frozenset({"keypoints", "part_map"}), "never@1"
    record = {"name": "never"}  # noqa: RUF012

    def __call__(self, images):
        raise AssertionError("computed before it was refused")


@pytest.mark.parametrize("build", [build_pose, build_parsing])
@pytest.mark.parametrize(("one", "other"), [("a.jpg", "a.png"), ("x.jpg", "x.jpg.jpg"), ("q/a.bmp", "q/a.jpg.png")])
def test_images_that_differ_in_the_suffix_only_are_refused_before_anything_is_computed(tmp_path, build, one, other):
    root = tmp_path / "images"
    for name in (one, other, "z.jpg"):
        picture(root / name)
    before = written(tmp_path)
    with pytest.raises(DataError, match=f"the images {one} and {other} differ in their suffixes only"):
        build(root, Never())
    assert written(tmp_path) == before
    found = {found.code: found for found in examine_cues(dataset(root, [one, other, "z.jpg"]))}
    assert f"the images {one} and {other}" in found["cue_names"].what
    check_distinct([sample(root, "a/x.jpg"), sample(root, "b/x.png"), sample(root, "a/x.y.jpg")], root)


def test_an_occluded_copy_is_refused_where_two_images_would_share_cues(tmp_path, rendered_world):
    root = tmp_path / "world"
    shutil.copytree(rendered_world, root)
    data = open_dataset(root)
    twin = data.query[0].path.with_suffix(".bmp")
    shutil.copy(data.query[0].path, twin)
    doubled = ReidDataset("own", root, (), (data.query[0], Sample(twin, "1", "1")), data.gallery, Protocol("own"))
    with pytest.raises(DataError, match="differ in their suffixes only"):
        occlude(doubled, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


# -- importing --------------------------------------------------------------------------------------------------------


def some_images(root: Path, count=4) -> list[Sample]:
    return [Sample(picture(root / "query" / f"{k}.png"), "1", "1") for k in range(count)]


@pytest.mark.parametrize("spoiled", [False, True])
def test_poses_that_fit_no_image_are_not_imported_as_nobody(tmp_path, spoiled):
    some_images(tmp_path / "data", 12)
    write(tmp_path / "other" / "somebody_else.json", body())
    source = PoseFolder(tmp_path / "other", tmp_path / "data")
    before = written(tmp_path)
    with pytest.raises(MissingCueError, match=r"other has a file for none of the 12 images .*nothing was written"):
        build_pose(tmp_path / "data", Degraded(source, Degradation(miss=0.5)) if spoiled else source)
    command = ["cues", "pose", str(tmp_path / "data"), "--provider", "import", "--from", str(tmp_path / "other")]
    assert main(command) == 4
    assert written(tmp_path) == before


def test_part_maps_that_fit_no_image_or_not_all(tmp_path, capsys):
    images = some_images(tmp_path / "data", 3)
    labels(tmp_path / "other" / "elsewhere.png")
    command = ["cues", "parsing", str(tmp_path / "data"), "--provider", "import", "--from", str(tmp_path / "other")]
    command += ["--labels", "eanet8"]
    before = written(tmp_path)
    assert main(command) == 4
    labels(tmp_path / "other" / "query" / "1.png")
    before = written(tmp_path)
    assert main(command) == 3
    assert "2 of 3 images have no part labels in the folder to import, first: " in capsys.readouterr().err
    assert written(tmp_path) == before
    assert main([*command, "--on-corrupt", "skip", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["images"], summary["without_file"], summary["skipped"]) == (1, 2, [])
    folder = PartFolder(tmp_path / "data" / "parts", tmp_path / "data")
    assert [folder.has(image) for image in images] == [False, True, False]


def test_no_file_is_counted_apart_from_nobody_found(tmp_path, capsys):
    images = some_images(tmp_path / "data", 4)
    write(tmp_path / "other" / "query" / "0.json", body())
    write(tmp_path / "other" / "query" / "1.json", {"people": []})
    command = [
        "cues",
        "pose",
        str(tmp_path / "data"),
        "--provider",
        "import",
        "--from",
        str(tmp_path / "other"),
        "--json",
    ]
    assert main(command) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["images"], summary["without_person"], summary["without_file"]) == (2, 1, 2)
    folder = PoseFolder(tmp_path / "data" / "pose", tmp_path / "data")
    assert [folder.has(image) for image in images] == [True, True, False, False]


def test_overwriting_leaves_no_file_of_the_other_maker_for_an_image(tmp_path):
    images = some_images(tmp_path / "data", 2)
    for name in ("0.png.json", "1.json", "1.npy"):
        write(tmp_path / "data/pose/query" / name, body(offset=(3, 0)))
    write(tmp_path / "other" / "query" / "0.json", body())
    build_pose(tmp_path / "data", PoseFolder(tmp_path / "other", tmp_path / "data"), overwrite=True)
    folder = PoseFolder(tmp_path / "data/pose", tmp_path / "data")
    assert float(folder(images[0], SIZE).keypoints[0, 0]) == 4.0
    assert not folder.has(images[1])


# -- landmarks are pixels ---------------------------------------------------------------------------------------------

UNITS = {"[0, 1]": ((1 / 32, 1 / 64), (0, 0)), "[-1, 1]": ((2 / 32, 2 / 64), (-1, -1)), "elsewhere": ((1, 1), (60, 0)),
         "four times": ((4, 4), (0, 0)), "above": ((1, 1), (0, -70))}  # fmt: skip


def posed(root: Path, scale, offset, count=6, sound=0) -> list[Sample]:
    images = some_images(root, count)
    for number, image in enumerate(images):
        document = body() if number < sound else body(scale, offset)
        write(root / "pose" / image.path.relative_to(root).with_suffix(".json"), document)
    return images


@pytest.mark.parametrize("unit", UNITS)
def test_landmarks_that_are_no_pixels_are_refused(tmp_path, unit):
    images = posed(tmp_path, *UNITS[unit])
    with pytest.raises(DataError, match=r"pose: in 6 of the 6 images looked at, most landmarks lie within a pixel"):
        sources_for(tmp_path, ["keypoints"], images)
    with pytest.raises(DataError, match="--keypoint_scale 0, not 3 or 4"):
        build_pose(tmp_path, PoseFolder(tmp_path / "pose", tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    data = dataset(tmp_path, query=[image.path.relative_to(tmp_path).as_posix() for image in images])
    (found,) = [found for found in examine_cues(data) if found.code.startswith("pose")]
    assert (found.code, found.level, found.number) == ("pose_displaced", "warning", 6)
    spoiled = CueSettings.build({"degrade": {"miss": 0.1}})
    with pytest.raises(DataError, match="most landmarks"):
        sources_for(tmp_path, ["keypoints"], images, settings=spoiled)


def test_training_and_describing_end_before_they_begin(tmp_path, rendered_world):
    root = tmp_path / "world"
    shutil.copytree(rendered_world, root)
    for path in (root / "pose").rglob("*.json"):
        document = json.loads(path.read_text())
        for person in document["people"]:
            values = np.array(person["pose_keypoints_2d"]).reshape(-1, 3) * [1 / 500, 1 / 500, 1]
            person["pose_keypoints_2d"] = values.ravel().tolist()
        path.write_text(json.dumps(document))
    world = open_dataset(root)
    with pytest.raises(DataError, match="most landmarks lie within a pixel of the corner"):
        train(world, tmp_path / "run", "demo-pgfa", {"initial_weights": "none"})
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    method = methods.create("pgfa", 2, {"backbone": "resnet10t", "size": [64, 32]}, seed=0)
    with pytest.raises(DataError, match="most landmarks lie within a pixel of the corner"):
        describe_dataset(method, world)


def test_a_few_displaced_images_are_no_reason(tmp_path):
    images = posed(tmp_path, *UNITS["[0, 1]"], count=8, sound=4)
    assert sources_for(tmp_path, ["keypoints"], images) is not None, "half of them"
    images = posed(tmp_path, *UNITS["[0, 1]"], count=8, sound=3)
    with pytest.raises(DataError, match="in 5 of the 8 images"):
        sources_for(tmp_path, ["keypoints"], images)
    assert sources_for(tmp_path, ["keypoints"], images[5:]) is not None, "three images tell too little"


def test_doctor_warns_where_training_need_not_refuse(tmp_path):
    # twice the size: knees and ankles lie below the image, all else within
    images = posed(tmp_path, (1, 1.5), (0, 0))
    data = dataset(tmp_path, query=[image.path.relative_to(tmp_path).as_posix() for image in images])
    assert "pose_displaced" in {found.code for found in examine_cues(data)}
    assert sources_for(tmp_path, ["keypoints"], images) is not None
    sound = posed(tmp_path / "sound", (1, 1), (0, 0))
    data = dataset(tmp_path / "sound", query=[image.path.relative_to(tmp_path / "sound").as_posix() for image in sound])
    assert "pose_displaced" not in {found.code for found in examine_cues(data)}


@pytest.mark.parametrize(
    ("places", "share"),
    [
        ([(4, 4), (5, 9)], None),
        ([(0.2, 0.9), (1, 1), (-0.5, -1)], 1.0),
        ([(0.2, 0.9), (1, 1), (1.5, 1)], 0.0),
        ([(4, 4), (33, 9), (8, 66)], 0.0),
        ([(4, 4), (34, 9), (8, 68)], 2 / 3),
        ([(4, -4), (-2, 9), (8, 6), (9, 9)], 0.5),
    ],
)
def test_the_share_of_displaced_landmarks(places, share):
    landmarks = np.zeros((18, 3))
    landmarks[: len(places)] = [(*place, 0.5) for place in places]
    landmarks[17] = [500.0, 500.0, 0.1]  # not found at the threshold
    assert displaced_share(landmarks, SIZE, 0.2) == share


def test_images_are_looked_at_from_all_over(tmp_path):
    many = [sample(tmp_path, f"{k}.jpg") for k in range(1000)]
    looked_at = spread_out(many, 5)
    assert [one.path.stem for one in looked_at] == ["0", "250", "500", "749", "999"]
    assert spread_out(many[:3], 5) == many[:3]
    assert spread_out([]) == []


def test_files_that_cannot_be_read_are_left_to_whoever_loads_them(tmp_path):
    images = posed(tmp_path, (1, 1), (0, 0))
    (tmp_path / "pose/query/0.json").write_text("{")
    images[1].path.write_bytes(b"no image")
    check_placement(PoseFolder(tmp_path / "pose", tmp_path), images)
    data = dataset(tmp_path, query=[image.path.relative_to(tmp_path).as_posix() for image in images])
    (found,) = [found for found in examine_cues(data) if found.code.startswith("pose")]
    assert (found.code, found.level, found.number) == ("pose_damaged", "error", 1)
    assert found.names[0].startswith("query/0.png: ")


# -- the package's own networks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "folder"), [("pose", "pose"), ("parsing", "parts")])
def test_what_doctor_advises_runs_as_printed(tmp_path, rendered_world, capsys, kind, folder):
    root = tmp_path / "my data"
    for image in open_dataset(rendered_world).query[:2]:
        for split in ("query", "gallery", "train"):
            to = root / split / image.path.name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(image.path, to)
    data = dataset(root, query=[f"query/{path.name}" for path in sorted((root / "query").iterdir())])
    for state in ("nothing", "some"):
        if state == "some":
            next((root / folder / "query").glob("*.*")).unlink()
        (found,) = [one for one in examine_cues(data) if one.code in (f"no_{folder}", f"{folder}_missing")]
        command = shlex.split(found.advice.split('"')[1])
        assert command[:3] == ["occlureid", "cues", kind]
        assert main(command[1:]) == 0
        capsys.readouterr()
        assert not [one for one in examine_cues(data) if one.code.startswith((f"no_{folder}", folder))]


def test_providers_and_models_go_together(tmp_path, capsys, monkeypatch):
    picture(tmp_path / "a.png")
    assert main(["cues", "pose", str(tmp_path), "--provider", "exact", "--model", "x"]) == 2
    assert "--model goes with --provider vitpose" in capsys.readouterr().err
    assert main(["cues", "parsing", str(tmp_path), "--model", str(tmp_path / "none")]) == 4
    assert "save_pretrained" in capsys.readouterr().err
    assert main(["cues", "pose", str(tmp_path), "--from", str(tmp_path)]) == 2
    assert "--provider import goes with --from" in capsys.readouterr().err
    monkeypatch.setattr("occlureid.zoo.catalogue.default_name", lambda task: None)
    assert main(["cues", "pose", str(tmp_path)]) == 4
    assert "holds no network for this; give --provider: vitpose" in capsys.readouterr().err


def test_cues_given_as_functions_are_still_written(tmp_path):
    images = some_images(tmp_path, 2)

    def source(image: Sample, size: tuple[int, int]) -> Cues:
        return Cues(keypoints=torch.full((18, 3), 0.5))

    assert build_pose([image.path for image in images], source, tmp_path / "out").images == 2
