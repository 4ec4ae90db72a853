"""Files as pose tools and parsers write them: fields, nesting and names are the tools' own, landmarks are made up here.

docs/cues.md has the versions and the sources of the forms.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from occlureid.cues import PartFolder, People, PoseFolder, build_pose
from occlureid.cues import pose_files as pose_files_module
from occlureid.cues.pose_files import read_image_names, read_people, read_people_list, read_pose, read_pose_list
from occlureid.errors import DataError
from occlureid.types import KEYPOINT_NAMES, Sample

JOINTS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
COCO_17 = ["nose", *(f"{side}_{joint}" for joint in JOINTS for side in ("left", "right"))]
FEET = [f"{side}_{part}" for part in ("big_toe", "small_toe", "heel") for side in ("left", "right")]
HALPE_26 = [*COCO_17, "head", "neck", "hip", *FEET]
HALPE_136 = [*HALPE_26, *(f"face_{k}" for k in range(68)), *(f"hand_{k}" for k in range(42))]
WHOLE_BODY_133 = [*COCO_17, *FEET, *(f"face_{k}" for k in range(68)), *(f"hand_{k}" for k in range(42))]
# no two names share a place; what is none of the 18 lies far off
PLACES = {name: (10.0 + k, 40.0 + 2 * k, 0.5 + k / 100) for k, name in enumerate(KEYPOINT_NAMES)}
MEAN_NECK = np.mean([PLACES["left_shoulder"], PLACES["right_shoulder"]], axis=0)
BODY = np.array([PLACES[name] for name in KEYPOINT_NAMES])
BODY_WITH_MEAN_NECK = BODY.copy()
BODY_WITH_MEAN_NECK[KEYPOINT_NAMES.index("neck")] = MEAN_NECK
BOX = [1.0, 2.0, 30.0, 60.0]


def triples(names, shift=0.0):
    return [[x + shift, y, c] for x, y, c in (PLACES.get(name, (900.0, 900.0, 0.9)) for name in names)]


def flat(names, shift=0.0):
    return [value for triple in triples(names, shift) for value in triple]


def write(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def image(root: Path, name: str) -> Sample:
    return Sample(root / name, "1", "1")


def keypoints(root: Path, name: str, threshold=0.2) -> np.ndarray:
    return PoseFolder(root / "pose", root, threshold)(image(root, name), (128, 64)).keypoints.numpy()


# -- AlphaPose (alphapose/utils/pPose_nms.py, write_json) --------------------------------------------------------------


def alphapose_object(kind, **people):
    """``alphapose-results.json`` of --format open and cmu: an object by image, with OpenPose's 18 landmarks."""
    group, key = {"open": ("people", "pose_keypoints_2d"), "cmu": ("bodies", "joints")}[kind]
    return {
        name: {"version": "AlphaPose v0.3", group: [{key: flat(KEYPOINT_NAMES, shift)} for shift in shifts]}
        for name, shifts in people.items()
    }


@pytest.mark.parametrize("kind", ["open", "cmu"])
def test_alphapose_results_as_an_object_by_image(tmp_path, kind):
    content = alphapose_object(kind, **{"0001_c1.jpg": [0.0], "0002.v2.jpg": [0.0, 200.0]})
    path = write(tmp_path / "pose" / "alphapose-results.json", content)
    listed = read_pose_list(path)
    assert {name: len(people) for name, people in listed.items()} == {"0001_c1.jpg": 1, "0002.v2.jpg": 2}
    assert np.allclose(keypoints(tmp_path, "query/0001_c1.jpg"), BODY)
    assert np.allclose(listed["0002.v2.jpg"][1, :, 0], BODY[:, 0] + 200)
    assert read_pose_list(write(tmp_path / "none.json", {})) == {}, "AlphaPose writes {} where it finds nobody at all"


@pytest.mark.parametrize("kind", ["open", "cmu"])
@pytest.mark.parametrize("folder", ["pose/sep-json", "pose/query/sep-json"])
def test_alphapose_cuts_the_names_in_sep_json_at_the_first_dot(tmp_path, kind, folder):
    content = alphapose_object(kind, **{"0002.v2.jpg": [0.0]})["0002.v2.jpg"]
    write(tmp_path / folder / "0002.json", content)
    assert np.allclose(keypoints(tmp_path, "query/0002.v2.jpg"), BODY)
    folder = PoseFolder(tmp_path / "pose", tmp_path)
    assert not folder.has(image(tmp_path, "query/0003.v2.jpg"))
    assert folder.has(image(tmp_path, "query/0002.v2.jpg"))
    with pytest.raises(DataError, match=r"0002\.json: fits two images .*, query/0002\.v2\.jpg and query/0002\.v3\.jpg"):
        folder.has(image(tmp_path, "query/0002.v3.jpg"))


def test_the_list_of_alphapose_wins_over_its_sep_json(tmp_path):
    # sep-json holds the last of the images with one name before the dot; the object has both
    content = alphapose_object("open", **{"a.1.jpg": [0.0], "a.2.jpg": [300.0]})
    write(tmp_path / "pose" / "alphapose-results.json", content)
    write(tmp_path / "pose" / "sep-json" / "a.json", content["a.2.jpg"])
    folder = PoseFolder(tmp_path / "pose", tmp_path)
    found = [float(folder(image(tmp_path, f"a.{k}.jpg"), (9, 9)).keypoints[0, 0]) for k in (1, 2)]
    assert found == [10.0, 310.0]


@pytest.mark.parametrize(
    ("names", "expected"), [(HALPE_26, BODY), (HALPE_136, BODY), (WHOLE_BODY_133, BODY_WITH_MEAN_NECK)]
)
def test_landmarks_of_halpe_and_of_the_whole_body(tmp_path, names, expected):
    entry = {"image_id": "a.jpg", "category_id": 1, "keypoints": flat(names), "score": 2.9, "box": BOX, "idx": [0.0]}
    write(tmp_path / "pose" / "alphapose-results.json", [entry])
    assert np.allclose(keypoints(tmp_path, "a.jpg"), expected)


# -- OpenPose ---------------------------------------------------------------------------------------------------------


def test_openpose_before_and_after_1_2(tmp_path):
    new = {"pose_keypoints_2d": flat(KEYPOINT_NAMES), "face_keypoints_2d": [], "hand_left_keypoints_2d": []}
    old = {"pose_keypoints": flat(KEYPOINT_NAMES), "face_keypoints": [], "hand_left_keypoints": []}
    for version, person in ((1.3, new), (1.0, old)):
        path = write(tmp_path / f"{version}.json", {"version": version, "people": [person]})
        assert np.allclose(read_pose(path), BODY[None])


# -- COCO -------------------------------------------------------------------------------------------------------------


def results(*numbers, names=COCO_17):
    return [{"image_id": n, "category_id": 1, "keypoints": flat(names, 100.0 * n), "score": 0.9} for n in numbers]


IMAGES = {
    "images": [{"id": n, "file_name": name, "height": 128, "width": 64} for n, name in ((1, "b.jpg"), (2, "a.jpg"))]
}


@pytest.mark.parametrize(
    ("beside", "content"),
    [
        ("images.json", IMAGES),
        ("image_info_test.json", IMAGES),
        ("annotations.json", {**IMAGES, "annotations": []}),
        (
            "person_keypoints_test.json",
            {**IMAGES, "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": BOX, "iscrowd": 0}]},
        ),
    ],
)
@pytest.mark.parametrize("name", ["keypoints_test_results_0.json", "result_keypoints.json", "test.keypoints.json"])
def test_results_by_number_take_the_names_beside_them(tmp_path, beside, content, name):
    write(tmp_path / "pose" / name, results(1, 2))
    write(tmp_path / "pose" / beside, content)
    for root in (tmp_path / "pose", tmp_path / "pose" / name):
        folder = PoseFolder(root, tmp_path)
        found = {n: float(folder(image(tmp_path, f"{n}.jpg"), (9, 9)).keypoints[0, 0]) for n in "ab"}
        assert found == {"a": 210.0, "b": 110.0}
        assert not folder.has(image(tmp_path, "1.jpg")), "the number is not the name"


def test_lists_beside_each_other_must_agree(tmp_path):
    write(tmp_path / "one" / "result_keypoints.json", results(1))
    write(tmp_path / "one" / "keypoints_test_results.json", results(1))
    with pytest.raises(DataError, match=r"result_keypoints\.json: '1' has poses in keypoints_test_results\.json too"):
        PoseFolder(tmp_path / "one", tmp_path)
    write(tmp_path / "two" / "images.json", IMAGES)
    write(tmp_path / "two" / "image_info.json", {"images": [{"id": 1, "file_name": "c.jpg"}]})
    with pytest.raises(DataError, match=r"images\.json: the image 1 is 'b\.jpg' here and 'c\.jpg' in a file beside it"):
        PoseFolder(tmp_path / "two", tmp_path)
    twice = {"images": [{"id": 1, "file_name": "c.jpg"}, {"id": 2, "file_name": "c.jpg"}]}
    with pytest.raises(DataError, match=r"images 1 and 2 have one file_name, 'c\.jpg'"):
        read_image_names(write(tmp_path / "three.json", twice))
    assert read_image_names(write(tmp_path / "four.json", [IMAGES])) == {}


def flagged(flag, names=COCO_17):
    return [value for x, y, _ in triples(names) for value in (x, y, flag)]


ANNOTATION = {"id": 5, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 900.0, "bbox": BOX}


def test_annotations_without_landmarks_are_passed_over(tmp_path):
    marked = {**ANNOTATION, "keypoints": flagged(2), "num_keypoints": 17}
    for unmarked in (
        ANNOTATION,
        {**ANNOTATION, "keypoints": []},
        {"image_id": 1, "category_id": 3, "segmentation": [[1, 2]]},
    ):
        content = {**IMAGES, "annotations": [unmarked, marked, unmarked]}
        listed = read_pose_list(write(tmp_path / "person_keypoints_a.json", content))
        assert {name: people.shape for name, people in listed.items()} == {"b.jpg": (1, 18, 3)}
        assert read_pose(write(tmp_path / "a.json", [unmarked, marked])).shape == (1, 18, 3)
    with pytest.raises(DataError, match='entry 0 needs "keypoints"'):
        read_pose(write(tmp_path / "a.json", [{"id": 3}]))
    with pytest.raises(DataError, match="got 0 values"):
        read_pose(write(tmp_path / "a.json", [{"bbox": BOX, "keypoints": [], "score": 0.5}]))


@pytest.mark.parametrize("kind", [int, float])
@pytest.mark.parametrize(
    "form",
    [
        lambda values: {"keypoints": values, "num_keypoints": 17},
        lambda values: [{**ANNOTATION, "keypoints": values, "num_keypoints": 17}],
        lambda values: [{**ANNOTATION, "keypoints": values}],
    ],
)
def test_a_hidden_landmark_of_coco_is_not_seen_in_files_of_one_image_either(tmp_path, form, kind):
    values = flagged(kind(2))
    values[2] = kind(1)  # the nose: labelled, but hidden
    values[5] = kind(0)
    (person,) = read_pose(write(tmp_path / "a.json", form(values)))
    (same,) = read_pose_list(
        write(tmp_path / "list.json", {**IMAGES, "annotations": [{**ANNOTATION, "keypoints": values}]})
    )["b.jpg"]
    assert np.array_equal(person, same)
    for name, confidence in (("nose", 0), ("left_eye", 0), ("right_eye", 1), ("left_ankle", 1)):
        assert person[KEYPOINT_NAMES.index(name), 2] == confidence, name


def test_a_person_of_whom_all_is_hidden_is_not_seen(tmp_path):
    path = write(tmp_path / "a.json", {"keypoints": flagged(1), "num_keypoints": 17})
    assert not read_pose(path).any()
    hidden, seen = ({**ANNOTATION, "keypoints": flagged(flag)} for flag in (1, 2))
    listed = [{**entry, "image_id": "b.jpg"} for entry in (hidden, seen)]
    one = read_pose(write(tmp_path / "b.json", [hidden, seen]))
    for people in (one, read_pose_list(write(tmp_path / "c.json", listed))["b.jpg"]):
        assert people[:, :, 2].tolist() == [[0.0] * 18, [1.0] * 18]


@pytest.mark.parametrize(
    "entry",
    [
        {"keypoints": flagged(1)},  # KPR's and other confidences of 0 and 1
        {"keypoints": flagged(1.0), "score": 0.7},  # results whose tool gives no confidence
        {"keypoints": flagged(0.97), "num_keypoints": 17},
    ],
)
def test_confidences_stay_confidences(tmp_path, entry):
    (person,) = read_pose(write(tmp_path / "a.json", [entry]))
    assert np.allclose(person[:, 2], entry["keypoints"][2])


# -- MMPose -----------------------------------------------------------------------------------------------------------


def mmpose(names=COCO_17, shift=0.0):
    rows = triples(names, shift)
    return {
        "keypoints": [[x, y] for x, y, _ in rows],
        "keypoint_scores": [c for _, _, c in rows],
        "bbox": [BOX],
        "bbox_score": 0.9,
    }


def test_mmpose_0_results(tmp_path):
    # result_keypoints.json of TopDownCocoDataset.evaluate
    entry = {"category_id": 1, "center": [20.0, 40.0], "image_id": 42, "keypoints": flat(COCO_17), "scale": [0.4, 0.6]}
    write(tmp_path / "pose" / "result_keypoints.json", [{**entry, "score": 0.8}])
    assert np.allclose(keypoints(tmp_path, "query/000042.jpg"), BODY_WITH_MEAN_NECK)


def test_mmpose_1_predictions(tmp_path):
    # pred_out_dir/NAME.json of the inferencer, and results_NAME.json of the demos
    write(tmp_path / "pose" / "a.json", [mmpose(), mmpose(shift=50.0)])
    write(
        tmp_path / "pose" / "results_b.json", {"meta_info": {"num_keypoints": 26}, "instance_info": [mmpose(HALPE_26)]}
    )
    people = read_pose(tmp_path / "pose" / "a.json")
    assert people.shape == (2, 18, 3)
    assert np.allclose(people[0], BODY_WITH_MEAN_NECK)
    assert np.allclose(keypoints(tmp_path, "query/b.jpg"), BODY)
    assert read_pose(write(tmp_path / "c.json", [])).shape == (0, 18, 3), "nobody was found"


# -- OpenPifPaf, KPR --------------------------------------------------------------------------------------------------


def test_openpifpaf(tmp_path):
    entry = {"keypoints": flat(COCO_17), "bbox": BOX, "score": 0.8, "category_id": 1}
    write(tmp_path / "pose/query/a.jpg.predictions.json", [entry])
    assert np.allclose(keypoints(tmp_path, "query/a.jpg"), BODY_WITH_MEAN_NECK)


def kpr(*people):
    """People as (landmarks found, is_target), those found at 1.0 as KPR's published annotations have them."""
    return [
        {
            "keypoints": [[20.0 + 9 * number, 30.0 + k, 1.0] if k < found else [0.0, 0.0, 0.0] for k in range(17)],
            "is_target": target,
        }
        for number, (found, target) in enumerate(people)
    ]


def test_the_target_that_kpr_flags_wins_over_the_occluder(tmp_path):
    content = kpr((17, False), (7, True), (17, False))
    write(tmp_path / "pose/query/a.jpg_keypoints.json", content)
    folder = PoseFolder(tmp_path / "pose", tmp_path)
    assert folder.people(image(tmp_path, "query/a.jpg")).shape == (3, 18, 3), "the others are still known"
    assert keypoints(tmp_path, "query/a.jpg")[0].tolist() == [29.0, 30.0, 1.0]
    assert keypoints(tmp_path, "query/a.jpg", threshold=1.0)[0, 0] == 29.0
    # without a target, and among several, the one with most landmarks
    write(tmp_path / "pose/query/a.jpg_keypoints.json", kpr((3, False), (5, False)))
    assert keypoints(tmp_path, "query/a.jpg")[0, 0] == 29.0
    write(tmp_path / "pose/query/a.jpg_keypoints.json", kpr((17, False), (5, True), (6, True)))
    assert keypoints(tmp_path, "query/a.jpg")[0, 0] == 38.0


def test_the_target_stays_the_target_when_poses_are_imported(tmp_path):
    Image.new("RGB", (64, 128)).save(tmp_path / "a.png")
    write(tmp_path / "kpr" / "a.png_keypoints.json", kpr((17, False), (7, True)))
    summary = build_pose(tmp_path, PoseFolder(tmp_path / "kpr", tmp_path))
    assert summary.several_people == 1
    assert summary.histogram.index(1) == 8, "the summary counts the target, with the neck"
    assert keypoints(tmp_path, "a.png")[0, 0] == 29.0
    people = read_people(tmp_path / "pose" / "a.json")
    assert people.targets.tolist() == [False, True]
    assert build_pose(tmp_path, PoseFolder(tmp_path / "kpr", tmp_path)).histogram.index(1) == 8, (
        "what was there is counted alike"
    )


def test_people_know_who_is_meant():
    landmarks = np.zeros((3, 18, 3))
    landmarks[1, :4, 2] = 0.9
    assert People.of(landmarks).chosen(0.2) == 1
    assert People(landmarks, np.array([True, False, False])).chosen(0.2) == 0


# -- hostile files ----------------------------------------------------------------------------------------------------

NESTED = "[" * 50_000 + "]" * 50_000
PAIRS = [[1.0, 2.0]] * 17


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"keypoints": PAIRS}], "expected x, y and a confidence of each landmark, got 2 numbers"),
        ([{"keypoints": PAIRS, "keypoint_scores": [0.5] * 16}], 'one of "keypoint_scores" a landmark, got 17 and 16 scores'),
        ([{"keypoints": PAIRS, "keypoint_scores": 0.5}], "got 17 and 0.5"),
        ([{"keypoints": PAIRS, "keypoint_scores": ["high"] * 17}], "expected numbers only, got 'high'"),
        ([{"keypoints": PAIRS, "keypoint_scores": [7.5] * 17}], r"confidences must lie in \[0, 1\]"),
        ([{"keypoints": [*PAIRS[:16], 5]}], "expected x, y, confidence of 17"),
        ([{"keypoints": [[[1, 2, 3]]] * 17}], "of each landmark, got 1 numbers"),
        ([{"keypoints": {"nose": [1, 2]}}], "got a dict"),
        ([{"keypoints": [[1, 2, {}]] * 17}], "expected numbers only, got a dict"),
        ([{"keypoints": [[1, 2, True]] * 17}], "expected numbers only"),
        ([{"keypoints": flat(COCO_17), "is_target": "yes"}], '"is_target" must be true or false, got \'yes\''),
        ({"bodies": [{"pose_keypoints_2d": flat(COCO_17)}]}, 'person 0 has no "joints"'),
        ({"people": [{"pose_keypoints": []}]}, "got 0 values"),
        ({"instance_info": [3]}, 'entry 0 needs "keypoints"'),
        ({"bodies": "none"}, "expected a JSON object with a list"),
        ('{"bodies": [{"joints": [NaN]}]}', "NaN is not a number"),
        ('{"keypoints": [1e999]}', "got 1 values"),
        (NESTED, "not JSON"),
        ('{"bodies": [{"joints": ' + NESTED + "}]}", "not JSON"),
    ],
)  # fmt: skip
def test_hostile_files_of_one_image(tmp_path, content, message):
    with pytest.raises(DataError, match=r"a\.json: .*" + message):
        read_people(write(tmp_path / "a.json", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a.jpg": {"people": [{"pose_keypoints_2d": [1, 2]}]}}, r"'a\.jpg': person 0: .* got 2 values"),
        ({"a.jpg": {"people": []}, "b.jpg": 3}, "expected a JSON list"),
        ({"images": [{"id": 1}]}, "image 0 needs"),
        ({"images": [{"id": True, "file_name": "a.jpg"}]}, "image 0 needs"),
        ([{"image_id": 1.5, "keypoints": flat(COCO_17), "score": 1.0}], "entry 0 needs"),
        ([{"image_id": "a.jpg", "keypoints": PAIRS}], "got 2 numbers"),
        (NESTED, "not JSON"),
    ],
)
def test_hostile_files_of_many_images(tmp_path, content, message):
    with pytest.raises(DataError, match=r"list\.json: .*" + message):
        read_people_list(write(tmp_path / "list.json", content))


def test_a_file_of_names_has_a_largest_size_too(tmp_path, monkeypatch):
    monkeypatch.setattr(pose_files_module, "LARGEST_LIST", 100)
    write(tmp_path / "images.json", " " * 101)
    with pytest.raises(DataError, match=r"images\.json: larger than 100 bytes"):
        PoseFolder(tmp_path, tmp_path)


# -- names ------------------------------------------------------------------------------------------------------------

POSE_NAMES = [
    "a.json", "a_keypoints.json", "a.jpg.json", "a.jpg_keypoints.json", "a.jpg.predictions.json", "a.predictions.json",
    "a.JSON", "a.jpg.JSON",
]  # fmt: skip


@pytest.mark.parametrize("folder", ["pose/query", "pose"])
@pytest.mark.parametrize("name", POSE_NAMES)
def test_names_of_files_of_landmarks(tmp_path, folder, name):
    write(tmp_path / folder / name, [{"keypoints": flat(COCO_17)}])
    assert np.allclose(keypoints(tmp_path, "query/a.jpg"), BODY_WITH_MEAN_NECK)


def test_kpr_and_bpbreid_write_jpg_for_images_of_any_suffix(tmp_path):
    for number, other in enumerate(("a", "b")):
        write(tmp_path / "pose/query" / f"{other}.jpg_keypoints.json", kpr((9 - number, True)))
        (tmp_path / "parts/query").mkdir(parents=True, exist_ok=True)
        fields = np.full((36, 9, 5), 0.2 + 0.1 * number, np.float32)
        np.save(tmp_path / "parts/query" / f"{other}.jpg.confidence_fields.npy", fields)
    pose = PoseFolder(tmp_path / "pose", tmp_path)
    parts = PartFolder(tmp_path / "parts", tmp_path, labels="bpbreid36")
    assert [len(pose.people(image(tmp_path, f"query/{name}.tif"))) for name in "ab"] == [1, 1]
    assert float(parts(image(tmp_path, "query/b.tif"), (9, 5)).foreground.max()) == pytest.approx(0.3)
    for folder, name in ((pose, "keypoints"), (parts, "confidence_fields")):
        assert folder.has(image(tmp_path, "query/a.tif"))
        with pytest.raises(DataError, match=rf"a\.jpg.{name}\..*: fits two images .*, query/a\.tif and query/a\.jpg"):
            folder.has(image(tmp_path, "query/a.jpg"))
    # each its own, where both have one
    write(tmp_path / "pose/query/a.tif_keypoints.json", kpr((3, True)))
    pose = PoseFolder(tmp_path / "pose", tmp_path)
    found = {suffix: pose.people(image(tmp_path, f"query/a.{suffix}")) for suffix in ("tif", "jpg")}
    assert {suffix: int((people[0, :, 2] > 0).sum()) for suffix, people in found.items()} == {"tif": 3, "jpg": 10}


@pytest.mark.parametrize("name", ["a.npy", "a.jpg.npy", "a.NPY", "a.jpg.npz"])
def test_names_of_heatmaps(tmp_path, name):
    maps = np.zeros((17, 12, 6), np.float32)
    maps[0, 3, 2] = 0.8
    (tmp_path / "pose/query").mkdir(parents=True)
    with (tmp_path / "pose/query" / name).open("wb") as file:
        (np.savez if name.endswith("z") else np.save)(file, maps)
    nose = PoseFolder(tmp_path / "pose", tmp_path)(image(tmp_path, "query/a.jpg"), (12, 6)).keypoints[0]
    assert nose.tolist() == pytest.approx([2.5, 3.5, 0.8])


def test_an_image_whose_name_ends_as_a_tool_ends_its_own(tmp_path):
    write(tmp_path / "pose" / "a_keypoints.json", [{"keypoints": flat(COCO_17)}])
    assert PoseFolder(tmp_path / "pose", tmp_path).has(image(tmp_path, "a_keypoints.jpg"))
    folder = PoseFolder(tmp_path / "pose", tmp_path)
    folder.has(image(tmp_path, "a.jpg"))
    with pytest.raises(DataError, match=r"fits two images .*, a\.jpg and a_keypoints\.jpg"):
        folder.has(image(tmp_path, "a_keypoints.jpg"))


def grey(path: Path, values, mode="L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).convert(mode).save(path, format="PNG")


@pytest.mark.parametrize("name", ["a.png", "a.jpg.png", "a.PNG", "a_gray.png", "a.jpg.npy", "a.NPY", "a.jpg.npz"])
def test_names_of_part_maps(tmp_path, name):
    path = tmp_path / "parts/query" / name
    if name.lower().endswith("png"):
        grey(path, [[1, 0], [0, 2]])
    else:
        path.parent.mkdir(parents=True)
        maps = np.zeros((7, 2, 2), np.float32)
        maps[0, 0, 0] = maps[1, 1, 1] = 1
        with path.open("wb") as file:
            (np.savez if name.endswith("z") else np.save)(file, maps)
    folder = PartFolder(tmp_path / "parts", tmp_path)
    assert folder.has(image(tmp_path, "query/a.jpg"))
    maps = folder(image(tmp_path, "query/a.jpg"), (2, 2)).part_map
    assert torch.equal(maps[:2].argmax(0), torch.tensor([[0, 0], [0, 1]]))
    assert float(maps.sum()) == 2


def test_the_grey_labels_of_graphonomy_beside_a_coloured_picture(tmp_path):
    grey(tmp_path / "parts/a.png", [[9, 9]], "RGB")
    grey(tmp_path / "parts/a_gray.png", [[3, 0]])
    folder = PartFolder(tmp_path / "parts", tmp_path)
    assert folder(image(tmp_path, "a.jpg"), (1, 2)).part_map[2].tolist() == [[1, 0]]
    # an image of that name keeps its own labels, and so does the other
    grey(tmp_path / "parts/a.png", [[0, 5]])
    folder = PartFolder(tmp_path / "parts", tmp_path)
    assert folder(image(tmp_path, "a.jpg"), (1, 2)).part_map[4].tolist() == [[0, 1]]
    assert folder(image(tmp_path, "a_gray.jpg"), (1, 2)).part_map[2].tolist() == [[1, 0]]
