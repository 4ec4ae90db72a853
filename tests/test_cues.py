"""Cue files: both forms of AlphaPose, OpenPose, part labels, and what hostile or misplaced files end in."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from occlureid.cues import (
    PART_NAMES,
    PartFolder,
    PoseCensus,
    PoseFolder,
    choose_person,
    gaussian_heatmaps,
    join_sources,
    part_map,
    read_part_labels,
    read_pose,
    read_pose_list,
    sources_for,
)
from occlureid.cues import pose_files as pose_files_module
from occlureid.errors import DataError, MissingCueError, SettingsError, ShapeError, UsageError
from occlureid.types import KEYPOINT_NAMES, Cues, Sample

JOINTS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
COCO_17 = ["nose", *(f"{side}_{joint}" for joint in JOINTS for side in ("left", "right"))]
BODY_25 = [*KEYPOINT_NAMES[:8], "mid_hip", *KEYPOINT_NAMES[8:], *(f"foot_{number}" for number in range(6))]
PLACES = {name: [10.0 + number, 50.0 + number, 0.5 + number / 100] for number, name in enumerate(KEYPOINT_NAMES)}
PLACES["neck"] = [(PLACES["left_shoulder"][i] + PLACES["right_shoulder"][i]) / 2 for i in range(3)]
EXPECTED = np.array([PLACES[name] for name in KEYPOINT_NAMES])


def flat(names=KEYPOINT_NAMES, **changes):
    return [value for name in names for value in changes.get(name, PLACES.get(name, [1.0, 1.0, 1.0]))]


def person(found: int, x=1.0):
    """The flat list of somebody with the first ``found`` landmarks at x."""
    return [x, 2.0, 0.9] * found + [0.0, 0.0, 0.0] * (18 - found)


def write(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def openpose(*people):
    return {"version": 1.3, "people": [{"pose_keypoints_2d": values} for values in people]}


def alphapose(**images):
    return [
        {"image_id": image, "category_id": 1, "keypoints": values, "score": 2.5}
        for image, people in images.items()
        for values in people
    ]


# -- landmarks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [KEYPOINT_NAMES, COCO_17, BODY_25])
def test_every_order_becomes_the_18_landmarks(tmp_path, names):
    read = read_pose(write(tmp_path / "a.json", openpose(flat(names), flat(names))))
    assert read.shape == (2, 18, 3)
    assert np.allclose(read, EXPECTED)
    listed = read_pose_list(
        write(tmp_path / "list.json", alphapose(**{"b.jpg": [flat(names)], "c.jpg": [flat(names)] * 2}))
    )
    assert {image: people.shape for image, people in listed.items()} == {"b.jpg": (1, 18, 3), "c.jpg": (2, 18, 3)}
    assert np.allclose(listed["b.jpg"][0], EXPECTED)


def test_the_neck_needs_both_shoulders(tmp_path):
    read = read_pose(write(tmp_path / "a.json", openpose(flat(COCO_17, left_shoulder=[4.0, 5.0, 0.0]))))
    assert read[0, KEYPOINT_NAMES.index("neck")].tolist() == [0.0, 0.0, 0.0]
    assert read[0, KEYPOINT_NAMES.index("right_shoulder"), 2] > 0


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([3.0, 4.0, 0.0], [0.0, 0.0, 0.0]),
        ([0.0, 4.0, 0.7], [0.0, 0.0, 0.0]),
        ([3, 0, 0.7], [0.0, 0.0, 0.0]),
        ([3.0, 4.0, -0.01], [0.0, 0.0, 0.0]),
        ([3.0, 4.0, 1.07], [3.0, 4.0, 1.0]),
        ([-3.0, 400.0, 1], [-3.0, 400.0, 1.0]),
    ],
)
def test_zeros_were_not_found_and_confidences_are_clamped(tmp_path, given, kept):
    read = read_pose(write(tmp_path / "a.json", openpose(flat(nose=given))))
    assert read[0, 0].tolist() == kept


HOSTILE = [
    ([], "of 17, 18, 25, 26, 133 or 136 landmarks in one flat list, got 0 values"),
    ([1.0] * 53, "got 53 values"),
    ([1.0] * 57, "got 57 values"),
    ("[1, 2]", "got '"),
    (flat(nose=["1", 2, 3]), "expected numbers only, got '1'"),
    (flat(nose=[True, 2, 1]), "expected numbers only"),
    (flat(nose=[None, 2, 1]), "expected numbers only"),
    (flat(nose=[[1], 2, 1]), "expected numbers only, got a list"),
    (flat(nose=[1e7, 2, 1]), "within 1,000,000 pixels"),
    (flat(nose=[10**400, 2, 1]), "too large"),
    (flat(nose=[1, 2, 2.5]), r"confidences must lie in \[0, 1\], got .* to 2.5"),
    (flat(nose=[1, 2, -7]), r"confidences must lie in \[0, 1\], got -7 to"),
]


@pytest.mark.parametrize(("values", "message"), HOSTILE)
def test_hostile_landmarks_name_file_and_entry(tmp_path, values, message):
    path = write(tmp_path / "a.json", openpose(flat(), values))
    with pytest.raises(DataError, match=r"a\.json: person 1: .*" + message):
        read_pose(path)
    path = write(tmp_path / "list.json", alphapose(**{"x.jpg": [flat()], "y.jpg": [values]}))
    with pytest.raises(DataError, match=r"list\.json: entry 1 \('y.jpg'\): .*" + message):
        read_pose_list(path)


@pytest.mark.parametrize("reader", [read_pose, read_pose_list])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[" + "9" * 5000 + "]", "not JSON|entry 0"),
        ('{"people": [{"pose_keypoints_2d": [NaN]}]}', "NaN is not a number"),
        ('[{"image_id": "a", "keypoints": [-Infinity]}]', "-Infinity is not a number"),
        ('"people"', "expected a JSON"),
        ("null", "expected a JSON"),
        ('{"people": {"0": []}}', "expected a JSON"),
        ("[3]", "expected a JSON object|entry 0 needs"),
        ('[{"image_id": 3, "keypoints": []}]', "entry 0: expected x, y, confidence|entry 0 needs"),
        ('[{"image_id": "a.jpg"}]', "expected a JSON object|entry 0 needs"),
        ('{"people": [[1]]}', "person 0 has no|expected a JSON list"),
        ('{"people": [{"face": []}]}', "person 0 has no|expected a JSON list"),
    ],
)
def test_hostile_json_is_named(tmp_path, reader, text, message):
    with pytest.raises(DataError, match=r"a\.json: .*(" + message + ")"):
        reader(write(tmp_path / "a.json", text))


def test_a_huge_finite_exponent_is_no_coordinate(tmp_path):
    text = json.dumps(openpose(flat())).replace("10.0", "1e999", 1)
    with pytest.raises(DataError, match="coordinates must be finite"):
        read_pose(write(tmp_path / "a.json", text))


@pytest.mark.parametrize(("reader", "limit"), [(read_pose, "LARGEST_POSE"), (read_pose_list, "LARGEST_LIST")])
def test_files_have_a_largest_size(tmp_path, monkeypatch, reader, limit):
    monkeypatch.setattr(pose_files_module, limit, 100)
    with pytest.raises(DataError, match="larger than 100 bytes"):
        reader(write(tmp_path / "a.json", " " * 101))
    with pytest.raises(DataError, match="cannot be read"):
        reader(tmp_path / "none.json")


def test_nobody_is_an_empty_array(tmp_path):
    assert read_pose(write(tmp_path / "a.json", openpose())).shape == (0, 18, 3)
    assert read_pose_list(write(tmp_path / "b.json", [])) == {}


# -- the person whom the image is of ----------------------------------------------------------------------------------


def crowd(*confidences):
    people = np.zeros((len(confidences), 18, 3))
    for row, values in enumerate(confidences):
        people[row, : len(values), 2] = values
    return people


@pytest.mark.parametrize(
    ("people", "threshold", "ties", "expected"),
    [
        (crowd([0.9]), 0.2, "first", 0),
        (crowd([0.9], [0.3, 0.3]), 0.2, "first", 1),
        (crowd([0.9, 0.9], [0.1, 0.1, 0.1]), 0.2, "first", 0),
        (crowd([0.9, 0.9], [0.1, 0.1, 0.1]), 0.1, "first", 1),
        (crowd([0.2], [0.19, 0.19]), 0.2, "first", 0),
        (crowd([0.5, 0.5], [0.9, 0.9], [0.3]), 0.2, "first", 0),
        (crowd([0.5, 0.5], [0.9, 0.9], [0.3]), 0.2, "last", 1),
        (crowd([0.0] * 9, [0.4]), 0.0, "first", 1),
        (crowd([], []), 0.0, "first", 0),
    ],
)
def test_the_person_with_most_landmarks(people, threshold, ties, expected):
    assert choose_person(people, threshold, ties) == expected


@pytest.mark.parametrize(
    ("people", "threshold", "ties"),
    [(crowd(), 0.2, "first"), (crowd([1]), 1.2, "first"), (crowd([1]), 0.2, "largest"), (crowd([1])[0], 0.2, "first")],
)
def test_a_wrong_choice(people, threshold, ties):
    with pytest.raises(SettingsError, match="choose_person needs"):
        choose_person(people, threshold, ties)


# -- folders of poses -------------------------------------------------------------------------------------------------


def sample(root: Path, name: str) -> Sample:
    return Sample(root / name, "1", "1")


PLACEMENTS = {
    "mirrored": ("pose/query/a.json", openpose(person(5))),
    "OpenPose": ("pose/query/a_keypoints.json", openpose(person(5))),
    "flat": ("pose/a.json", openpose(person(5))),
    "list": ("pose/alphapose-results.json", alphapose(**{"a.jpg": [person(5)]})),
    "list of paths": ("pose/alphapose-results.json", alphapose(**{"query/a.jpg": [person(5)], "a.jpg": [person(2)]})),
    "list of a split": ("pose/query/alphapose-results.json", alphapose(**{"a.jpg": [person(5)]})),
}


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_poses_are_found_where_tools_put_them(tmp_path, placement):
    name, content = PLACEMENTS[placement]
    write(tmp_path / name, content)
    folder = PoseFolder(tmp_path / "pose", tmp_path)
    cues = folder(sample(tmp_path, "query/a.jpg"), (8, 4))
    assert cues.keypoints.shape == (18, 3)
    assert cues.keypoints.dtype == torch.float32
    assert torch.allclose(cues.keypoints, torch.tensor(person(5)).view(18, 3))
    assert folder.has(sample(tmp_path, "query/a.jpg"))
    lost = sample(tmp_path, "query/b.jpg")
    assert not folder.has(lost)
    assert torch.equal(folder(lost, (8, 4)).keypoints, torch.zeros(18, 3))


def test_a_single_list_file_and_a_doubled_suffix(tmp_path):
    path = write(tmp_path / "all.json", alphapose(**{"-1_c1.jpg.jpg": [person(3)]}))
    assert PoseFolder(path, tmp_path).has(sample(tmp_path, "gallery/-1_c1.jpg.jpg"))
    for stem in ("-1_c1", "-1_c1.jpg"):
        write(tmp_path / stem / f"{stem}.json", openpose(person(3)))
        folder = PoseFolder(tmp_path / stem, tmp_path)
        assert float(folder(sample(tmp_path, "-1_c1.jpg.jpg"), (8, 4)).keypoints[:, 2].sum()) > 2


def test_the_file_of_the_split_wins_over_one_of_the_same_name(tmp_path):
    write(tmp_path / "pose/query/a.json", openpose(person(5)))
    write(tmp_path / "pose/gallery/a.json", openpose(person(7)))
    folder = PoseFolder(tmp_path / "pose", tmp_path)
    found = [
        int((folder(sample(tmp_path, f"{s}/a.jpg"), (8, 4)).keypoints[:, 2] > 0).sum()) for s in ("query", "gallery")
    ]
    assert found == [5, 7]
    assert not folder.has(sample(tmp_path, "train/a.jpg"))


def test_several_people_and_the_census(tmp_path):
    write(tmp_path / "pose/a.json", openpose(person(5, x=1.0), person(9, x=2.0), person(9, x=3.0)))
    write(tmp_path / "pose/b.json", openpose())
    write(tmp_path / "pose/c.json", openpose(person(1)))
    folder = PoseFolder(tmp_path / "pose", tmp_path)
    assert folder(sample(tmp_path, "a.jpg"), (8, 4)).keypoints[0, 0] == 2.0
    assert torch.equal(folder(sample(tmp_path, "b.jpg"), (8, 4)).keypoints, torch.zeros(18, 3))
    census = folder.census([sample(tmp_path, f"{name}.jpg") for name in "abcde"])
    assert census == PoseCensus(images=5, without_file=2, without_person=1, several_people=1)


def test_the_threshold_decides_who_is_meant(tmp_path):
    doubtful = [1.0, 1.0, 0.3] * 9 + [0.0] * 27
    write(tmp_path / "pose/a.json", openpose(doubtful, person(5, x=2.0)))
    for threshold, x in ((0.2, 1.0), (0.5, 2.0)):
        folder = PoseFolder(tmp_path / "pose", tmp_path, threshold=threshold)
        assert folder(sample(tmp_path, "a.jpg"), (8, 4)).keypoints[0, 0] == x


def test_missing_poses_say_what_to_do(tmp_path):
    with pytest.raises(
        MissingCueError, match=r"'keypoints' needs .*pose, which is not there; run AlphaPose .* or OpenPose"
    ):
        PoseFolder(tmp_path / "pose", tmp_path)
    (tmp_path / "pose").mkdir()
    with pytest.raises(MissingCueError, match="holds no JSON file"):
        PoseFolder(tmp_path / "pose", tmp_path)
    write(tmp_path / "pose/a.json", openpose())
    with pytest.raises(DataError, match="is not below"):
        PoseFolder(tmp_path / "pose", tmp_path / "images")(sample(tmp_path, "a.jpg"), (8, 4))


# -- part labels ------------------------------------------------------------------------------------------------------


def write_labels(path: Path, labels, mode="L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.array(labels, dtype=np.uint8))
    if mode == "P":
        image.putpalette([value for k in range(8) for value in (255 - k, k, 9)])
    image.convert(mode).save(path)
    return path


LABELS = [[0, 1, 2], [3, 7, 0]]


@pytest.mark.parametrize("mode", ["L", "P"])
def test_part_labels_become_channels(tmp_path, mode):
    labels = read_part_labels(write_labels(tmp_path / "a.png", LABELS, mode))
    assert labels.tolist() == LABELS, "a palette is only there to look at"
    maps = part_map(labels)
    assert maps.shape == (len(PART_NAMES), 2, 3)
    assert maps.dtype == torch.float32
    for part in range(1, 8):
        assert torch.equal(maps[part - 1], (torch.tensor(LABELS) == part).float())
    with pytest.raises(ShapeError, match="labels must have shape"):
        part_map(labels[0])


def test_wrong_part_labels_are_named(tmp_path):
    cases = {
        "rgb.png": (lambda p: write_labels(p, LABELS, "RGB"), "got mode RGB"),
        "eight.png": (lambda p: write_labels(p, [[8]]), r"from 0 \(background\) to 7, found 8"),
        "text.png": (lambda p: p.write_text("labels"), "cannot be read as an image"),
        "none.png": (lambda p: p, "there is no such image"),
    }
    for name, (make, message) in cases.items():
        make(tmp_path / name)
        with pytest.raises(DataError, match=f"{name}: .*{message}"):
            read_part_labels(tmp_path / name)
    Image.new("L", (2, 2)).save(tmp_path / "jpeg.png", format="JPEG")
    with pytest.raises(DataError, match="cannot be read as an image"):
        read_part_labels(tmp_path / "jpeg.png")


def test_a_folder_of_part_labels(tmp_path):
    write_labels(tmp_path / "parts/query/a.png", LABELS)
    image = sample(tmp_path, "query/a.jpg")
    folder = PartFolder(tmp_path / "parts", tmp_path)
    cues = folder(image, (2, 3))
    assert cues.names == {"part_map", "foreground"}
    assert torch.equal(cues.foreground, cues.part_map.sum(0))
    assert PartFolder(tmp_path / "parts", tmp_path, ["foreground"])(image, (2, 3)).names == {"foreground"}
    with pytest.raises(DataError, match=r"\(height, width\) = \(3, 2\), got \(2, 3\)"):
        folder(image, (3, 2))
    with pytest.raises(DataError, match=r"b\.jpg: there are no part labels for it below .*parts"):
        folder(sample(tmp_path, "query/b.jpg"), (2, 3))
    with pytest.raises(UsageError, match="not \\['keypoints'\\]"):
        PartFolder(tmp_path / "parts", tmp_path, ["keypoints"])


# -- joining and finding ----------------------------------------------------------------------------------------------


def test_sources_are_joined(tmp_path):
    write(tmp_path / "pose/query/a.json", openpose(person(5)))
    write_labels(tmp_path / "parts/query/a.png", LABELS)
    image = sample(tmp_path, "query/a.jpg")
    source = sources_for(tmp_path, ["keypoints", "part_map", "foreground"], [image])
    assert source(image, (2, 3)).names == {"keypoints", "part_map", "foreground"}
    assert sources_for(tmp_path, ["part_map"])(image, (2, 3)).names == {"part_map"}
    assert sources_for(str(tmp_path), ["keypoints"])(image, (2, 3)).names == {"keypoints"}
    assert sources_for(tmp_path, []) is None
    assert join_sources([]) is None


def test_joined_sources_keep_the_flip_and_give_each_cue_once():
    def sided(sample, size):
        return Cues(part_map=torch.zeros(2, *size), part_flip=(1, 0))

    def whole(sample, size):
        return Cues(foreground=torch.zeros(size))

    image = Sample(Path("a.jpg"), "1", "1")
    for order in ([sided, whole], [whole, sided]):
        assert join_sources(order)(image, (2, 3)).part_flip == (1, 0)
    with pytest.raises(UsageError, match="two sources give the cue foreground"):
        join_sources([whole, whole])(image, (2, 3))


def test_missing_sources_say_what_is_expected_where(tmp_path):
    images = [sample(tmp_path, "query/a.jpg")]
    with pytest.raises(MissingCueError, match=r"'keypoints' needs .*pose"):
        sources_for(tmp_path, ["keypoints"])
    with pytest.raises(MissingCueError, match=r"part_map need .*parts, which is not there: a single-channel PNG"):
        sources_for(tmp_path, ["part_map"])
    with pytest.raises(UsageError, match="no cue 'depth'; known: keypoints, part_map, foreground"):
        sources_for(tmp_path, ["depth"])
    write(tmp_path / "pose/other/a.json", openpose())
    write_labels(tmp_path / "parts/a.png", LABELS)
    for need, expected in (("keypoints", "pose/query/a.json"), ("part_map", "parts/query/a.png")):
        with pytest.raises(MissingCueError, match=f"{need} is in .* for none of the 1 images; .* as in .*{expected}"):
            sources_for(tmp_path, [need], images)


# -- heatmaps ---------------------------------------------------------------------------------------------------------


def slow_heatmap(x, y, size, out, sigma):
    """One Gaussian at full size, resized by Pillow's bilinear filter."""
    rows, columns = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    full = np.exp(-((rows[:, None] - y) ** 2) / (2 * sigma[0] ** 2) - (columns - x) ** 2 / (2 * sigma[1] ** 2))
    small = Image.fromarray(full.astype(np.float32)).resize((out[1], out[0]), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(small))


@pytest.mark.parametrize("size", [(384, 128), (97, 41), (10, 4)])
@pytest.mark.parametrize("out", [(24, 8), (13, 5)])
@pytest.mark.parametrize("sigma", [8.192, (20.0, 5.0), 0.7])
def test_heatmaps_equal_the_slow_way(size, out, sigma):
    places = np.random.default_rng(0).uniform(-0.1, 1.1, (4, 2)) * [size[1], size[0]]
    keypoints = torch.tensor([[[*place, 0.9] for place in places]], dtype=torch.float32)
    maps = gaussian_heatmaps(keypoints, size, out, sigma)
    assert maps.shape == (1, 4, *out)
    widths = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    for found, (x, y) in zip(maps[0], places, strict=True):
        assert torch.allclose(found, slow_heatmap(x, y, size, out, widths), atol=2e-5)


def test_heatmaps_peak_at_the_landmark():
    maps = gaussian_heatmaps(torch.tensor([[[40.0, 200.0, 1.0]]]), (384, 128), (24, 8), 8.192)
    row, column = divmod(int(maps.flatten().argmax()), 8)
    assert (row, column) == (200 // 16, 40 // 16)
    assert 0.0 <= float(maps.min()) <= float(maps.max()) <= 1.0


def test_dropped_landmarks_have_maps_of_zeros():
    keypoints = torch.tensor([[[4.0, 4.0, c] for c in (0.0, 0.19, 0.2, 1.0)], [[1e6, -1e6, 1.0]] * 4])
    maps = gaussian_heatmaps(keypoints, (16, 8), (4, 2), 2.0, threshold=0.2)
    assert (maps[0].amax((1, 2)) > 0).tolist() == [False, False, True, True]
    assert float(maps[1].abs().sum()) == 0.0, "far outside the image"
    assert (gaussian_heatmaps(keypoints, (16, 8), (4, 2), 2.0)[0].amax((1, 2)) > 0).tolist() == [
        False,
        True,
        True,
        True,
    ]
    assert gaussian_heatmaps(keypoints[:0], (16, 8), (4, 2), 2.0).shape == (0, 4, 4, 2)


@pytest.mark.parametrize(
    ("keypoints", "size", "sigma", "message"),
    [
        (torch.zeros(4, 3), (8, 8), 1.0, r"shape \(B, J, 3\)"),
        (torch.zeros(1, 4, 3, dtype=torch.long), (8, 8), 1.0, "float"),
        (torch.zeros(1, 4, 3), (0, 8), 1.0, "positive"),
        (torch.zeros(1, 4, 3), (8, 8), 0.0, "positive"),
        (torch.zeros(1, 4, 3), (8, 8), (1.0, float("nan")), "positive"),
    ],
)
def test_wrong_heatmaps_are_named(keypoints, size, sigma, message):
    with pytest.raises(ShapeError, match=message):
        gaussian_heatmaps(keypoints, size, (4, 4), sigma)
