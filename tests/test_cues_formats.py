"""Formats of landmarks and part maps beyond the first: COCO-17, heatmaps, label sets, probability arrays; and hostile files."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from occlureid.cues import GROUPINGS, LABEL_SETS, PartFolder, PoseFolder, grouping_table, heatmap_peaks, read_heatmaps
from occlureid.cues import arrays as arrays_module
from occlureid.cues.arrays import read_array
from occlureid.cues.groupings import part_flip
from occlureid.cues.keypoints import to_landmarks
from occlureid.cues.partmaps import group_labels, group_probabilities, read_labels, read_probabilities
from occlureid.cues.pose_files import read_pose, read_pose_list
from occlureid.errors import DataError, SettingsError
from occlureid.types import KEYPOINT_NAMES, Sample

JOINTS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
COCO_17 = ["nose", *(f"{side}_{joint}" for joint in JOINTS for side in ("left", "right"))]


def sample(root: Path, name: str) -> Sample:
    return Sample(root / name, "1", "1")


def coco(offset=0.0, confidence=0.8):
    """COCO's 17 landmarks, number k at (10 + k, 50 + k)."""
    return [value for k in range(17) for value in (10.0 + k + offset, 50.0 + k, confidence)]


def write(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


# -- COCO-17 ----------------------------------------------------------------------------------------------------------


def check_coco(landmarks, confidence=0.8):
    for name in KEYPOINT_NAMES:
        x, y, c = landmarks[KEYPOINT_NAMES.index(name)]
        k = 5.5 if name == "neck" else COCO_17.index(name)
        assert (x, y, c) == pytest.approx((10 + k, 50 + k, confidence)), name


@pytest.mark.parametrize(
    "form", [{"keypoints": coco()}, [{"keypoints": coco()}], [{"image_id": 3, "keypoints": coco()}]]
)
def test_one_image_in_coco_form(tmp_path, form):
    people = read_pose(write(tmp_path / "a.json", form))
    assert people.shape == (1, 18, 3)
    check_coco(people[0])
    assert read_pose(write(tmp_path / "b.json", [])).shape == (0, 18, 3)


def test_annotations_are_keyed_by_file_name_and_flags_become_confidences(tmp_path):
    values = coco(confidence=2)
    values[2], values[5] = 1, 0  # the nose is hidden, the left eye not there
    content = {
        "images": [{"id": 7, "file_name": "query/a.jpg"}, {"id": 8, "file_name": "b.jpg"}],
        "annotations": [{"image_id": 7, "keypoints": values}, {"image_id": 7, "keypoints": coco(100, 2)}],
    }
    path = write(tmp_path / "pose" / "person_keypoints_train.json", content)
    people = read_pose_list(path)
    assert set(people) == {"query/a.jpg"}
    assert people["query/a.jpg"].shape == (2, 18, 3)
    found = people["query/a.jpg"][0]
    assert found[KEYPOINT_NAMES.index("nose")].tolist() == [0, 0, 0]
    assert found[KEYPOINT_NAMES.index("left_eye")].tolist() == [0, 0, 0]
    assert found[KEYPOINT_NAMES.index("right_eye")].tolist() == [12, 52, 1]
    folder = PoseFolder(tmp_path / "pose", tmp_path)
    # the second person has more landmarks
    assert float(folder(sample(tmp_path, "query/a.jpg"), (8, 4)).keypoints[0, 0]) == 110.0
    assert not folder.has(sample(tmp_path, "b.jpg"))


def test_results_are_keyed_by_number(tmp_path):
    results = [{"image_id": 42, "category_id": 1, "keypoints": coco(), "score": 0.9}]
    write(tmp_path / "pose" / "keypoints_val_results_0.json", results)
    folder = PoseFolder(tmp_path / "pose", tmp_path)
    check_coco(folder(sample(tmp_path, "000000000042.jpg"), (8, 4)).keypoints.numpy())
    assert not folder.has(sample(tmp_path, "43.jpg"))
    assert PoseFolder(tmp_path / "pose", tmp_path).has(sample(tmp_path, "42.jpg"))
    with pytest.raises(DataError, match=r"entry '42': fits two images below .*, 000000000042\.jpg and 42\.jpg"):
        folder.has(sample(tmp_path, "42.jpg"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"annotations": []}, 'need a list "images"'),
        ({"annotations": [], "images": [{"id": 1}]}, "image 0 needs"),
        ({"annotations": [], "images": [{"id": [1], "file_name": "a"}]}, "image 0 needs"),
        ({"annotations": [], "images": [{"id": 1, "file_name": "a"}] * 2}, "image 1 needs"),
        (
            {"annotations": [{"image_id": 2, "keypoints": coco()}], "images": [{"id": 1, "file_name": "a"}]},
            "entry 0 needs",
        ),
        ({"annotations": [{"image_id": [], "keypoints": []}], "images": []}, "entry 0 needs"),
        ({"annotations": [{"image_id": 1, "keypoints": coco()}], "images": [{"id": 1, "file_name": "a"}]}, "0, 1 or 2"),
        (
            {"annotations": [{"image_id": 1, "keypoints": [1, 2]}], "images": [{"id": 1, "file_name": "a"}]},
            "got 2 values",
        ),
        ({"annotations": [{"image_id": 1, "keypoints": "x"}], "images": [{"id": 1, "file_name": "a"}]}, "got 'x'"),
    ],
)
def test_hostile_annotations_are_named(tmp_path, content, message):
    with pytest.raises(DataError, match=r"a\.json: .*" + message):
        read_pose_list(write(tmp_path / "a.json", content))


# -- heatmaps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("joints", [13, 17, 18])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_heatmaps_become_landmarks(tmp_path, joints, suffix):
    maps = np.zeros((joints, 12, 6), np.float16)
    for joint in range(joints):
        maps[joint, joint % 12, joint % 6] = 0.5
    (tmp_path / "pose").mkdir()
    path = tmp_path / "pose" / f"a{suffix}"
    np.save(path, maps) if suffix == ".npy" else np.savez(path, maps=maps)
    assert read_heatmaps(path).shape == (joints, 12, 6)
    found = PoseFolder(tmp_path / "pose", tmp_path)(sample(tmp_path, "a.jpg"), (48, 24)).keypoints
    order = {13: ["nose", *COCO_17[5:]], 17: COCO_17, 18: list(KEYPOINT_NAMES)}[joints]
    for number, name in enumerate(order):
        x, y, confidence = found[KEYPOINT_NAMES.index(name)].tolist()
        assert (x, y, confidence) == pytest.approx((4 * (number % 6) + 2, 4 * (number % 12) + 2, 0.5)), name
    missing = set(KEYPOINT_NAMES) - set(order) - {"neck"}
    assert all(float(found[KEYPOINT_NAMES.index(name)].abs().sum()) == 0 for name in missing)
    assert float(found[KEYPOINT_NAMES.index("neck"), 2]) == 0.5


def test_a_peak_leans_a_quarter_of_a_cell_to_its_higher_neighbour():
    maps = np.zeros((18, 5, 5), np.float32)
    maps[0, 2, 2], maps[0, 2, 3], maps[0, 1, 2] = 0.9, 0.4, 0.3
    x, y, confidence = heatmap_peaks(maps, (50, 50))[0]
    assert (x, y, confidence) == pytest.approx((27.5, 22.5, 0.9))
    assert not heatmap_peaks(maps, (50, 50))[1:].any(), "an empty map is no landmark"


def test_wrong_heatmaps(tmp_path):
    for maps, message in (
        (np.zeros((16, 4, 4)), "13, 17 or 18"),
        (np.full((17, 4, 4), 3.0), r"lie in \[0, 1\]"),
    ):
        np.save(tmp_path / "a.npy", maps)
        with pytest.raises(DataError, match=r"a\.npy: .*" + message):
            read_heatmaps(tmp_path / "a.npy")
    with pytest.raises(DataError, match="13, 17, 18, 25, 26, 133 or 136 landmarks, got 5"):
        to_landmarks(np.ones((5, 3)))


def test_json_wins_over_heatmaps_and_empty_maps_are_nobody(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((17, 4, 4)))
    Image.new("RGB", (8, 16)).save(tmp_path / "a.jpg")
    image = sample(tmp_path, "a.jpg")
    folder = PoseFolder(tmp_path, tmp_path)
    assert folder.people(image).shape == (0, 18, 3)
    assert folder.census([image]).without_person == 1
    write(tmp_path / "a.json", {"keypoints": coco()})
    check_coco(PoseFolder(tmp_path, tmp_path)(image, (16, 8)).keypoints.numpy())


# -- arrays -----------------------------------------------------------------------------------------------------------


def test_arrays_of_all_kinds(tmp_path):
    values = np.array([[[0, 51], [255, 102]]], np.uint8)
    for stored, expected in (
        (values, values / 255),
        (values > 60, values > 60),
        (values.astype(np.float16), values),
        (values[0].astype(np.float64), values),
    ):
        np.save(tmp_path / "a.npy", stored)
        read = read_array(tmp_path / "a.npy")
        assert read.dtype == np.float32
        assert np.allclose(read, expected)


def make_bad(path: Path, kind: str) -> None:
    if kind == "objects":
        np.save(path, np.array([[[None]]], dtype=object), allow_pickle=True)
    elif kind == "truncated":
        np.save(path, np.zeros((3, 40, 40)))
        path.write_bytes(path.read_bytes()[:200])
    elif kind == "promise":
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999, 99999, 99), }"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    elif kind == "text":
        path.write_text("[[1, 2]]")
    else:
        content = {
            "nan": np.full((1, 2, 2), np.nan), "huge": np.full((1, 2, 2), 1e300), "flat": np.zeros(4),
            "integers": np.zeros((1, 2, 2), np.int64), "none": np.zeros((0, 2, 2)), "complex": np.zeros((1, 2, 2), complex),
        }  # fmt: skip
        np.save(path, content[kind])


@pytest.mark.parametrize(
    "kind", ["objects", "truncated", "promise", "text", "nan", "huge", "flat", "integers", "none", "complex", "missing"]
)
def test_hostile_arrays_are_named(tmp_path, kind):
    if kind != "missing":
        make_bad(tmp_path / "a.npy", kind)
    with pytest.raises(DataError, match=r"a\.npy: "):
        read_array(tmp_path / "a.npy")


def test_archives_are_measured_before_they_are_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, maps=np.zeros((4, 500, 500), np.float32))
    assert read_array(path).shape == (4, 500, 500)
    monkeypatch.setattr(arrays_module, "LARGEST_ARRAY", 1000)
    with pytest.raises(DataError, match="larger than 1,000 bytes"):
        read_array(path)
    np.savez(path, a=np.zeros((1, 1, 1)), b=np.zeros((1, 1, 1)))
    with pytest.raises(DataError, match="exactly one array, got 2"):
        read_array(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("maps.npy", b"not an array")
    with pytest.raises(DataError, match=r"a\.npz: "):
        read_array(path)
    np.save(tmp_path / "b.npy", np.zeros((4, 500, 500), np.float32))
    with pytest.raises(DataError, match="larger than 1,000 bytes"):
        read_array(tmp_path / "b.npy")


# -- label sets and groupings -----------------------------------------------------------------------------------------

FITTING = [
    (labels, grouping)
    for labels in LABEL_SETS
    for grouping in (*GROUPINGS, "labels")
    if not (labels == "mask" and grouping in ("sorn8", "sorn5", "sgam5", "hcga4"))
    and not (labels == "sgam5" and grouping in ("sorn8", "sorn5"))
]


@pytest.mark.parametrize(("labels", "grouping"), FITTING)
def test_every_label_is_covered_exactly_once(labels, grouping):
    table = grouping_table(labels, grouping)
    members = sorted(number for numbers in table.values() for number in numbers)
    assert members == list(range(len(LABEL_SETS[labels].labels)))
    assert list(table)[-1] == "background"
    if grouping != "labels":
        assert tuple(table)[:-1] == GROUPINGS[grouping]


@pytest.mark.parametrize(("labels", "count"), [("eanet8", 8), ("lip20", 20), ("atr18", 18), ("pascal7", 7),
    ("densepose14", 15), ("densepose24", 25), ("sgam5", 5), ("mask", 2), ("bpbreid36", 36)])  # fmt: skip
def test_label_sets_have_their_published_number_of_labels(labels, count):
    known = LABEL_SETS[labels]
    assert len(known.labels) == len(set(known.labels)) == len(known.regions) == count
    assert (known.labels[0] == "background") == (known.kind == "labels")


def regions(labels, grouping):
    """label number -> region."""
    return {n: region for region, members in grouping_table(labels, grouping).items() for n in members}


def test_the_tables_of_the_papers():
    # methods' sources: EANet's fusion of DensePose's 14 parts, and SPReID's four regions of LIP
    densepose = {0: 0, 1: 2, 2: 4, 3: 4, 4: 7, 5: 7, 6: 5, 7: 5, 8: 6, 9: 6, 10: 3, 11: 3, 12: 4, 13: 4, 14: 1}
    eanet = LABEL_SETS["eanet8"].labels
    assert regions("densepose14", "sorn8") == {n: eanet[k] for n, k in densepose.items()}
    fine = {**dict.fromkeys((1, 2), 2), **dict.fromkeys((3, 4, 19, 20, 21, 22), 4), **dict.fromkeys((5, 6), 7)}
    fine |= {**dict.fromkeys(range(7, 11), 5), **dict.fromkeys(range(11, 15), 6), **dict.fromkeys(range(15, 19), 3)}
    fine |= {0: 0, 23: 1, 24: 1}
    assert regions("densepose24", "sorn8") == {n: eanet[k] for n, k in fine.items()}
    lip = {"head": (1, 2, 4, 13), "upper_body": (3, 5, 6, 7, 10, 11, 14, 15), "lower_body": (9, 12, 16, 17),
           "shoes": (8, 18, 19), "background": (0,)}  # fmt: skip
    assert grouping_table("lip20", "sgam5") == lip
    hcga = {**lip, "lower_body": (8, 9, 12, 16, 17, 18, 19)}
    assert grouping_table("lip20", "hcga4") == {name: n for name, n in hcga.items() if name != "shoes"}
    assert grouping_table("sgam5", "hcga4")["lower_body"] == (3, 4), "shoes are of the lower body"
    assert grouping_table("eanet8", "sorn5")["leg"] == (5, 6, 7), "a foot is of the leg"
    assert grouping_table("eanet8", "sorn2") == {"person": tuple(range(1, 8)), "background": (0,)}
    assert grouping_table("atr18", "sorn2")["background"] == (0, 16), "a bag is no part of the body"


def test_wrong_names_and_too_coarse_labels():
    with pytest.raises(SettingsError, match="no label set 'lip21'; known: eanet8, lip20"):
        grouping_table("lip21", "sorn8")
    with pytest.raises(SettingsError, match="no grouping 'nine'; known: sorn8"):
        grouping_table("lip20", "nine")
    with pytest.raises(SettingsError, match="'mask' do not tell the regions of 'sorn8' apart"):
        grouping_table("mask", "sorn8")


def test_sides_change_places_in_a_flip():
    assert part_flip(("head", "left_arm", "torso", "right_arm")) == (0, 3, 2, 1)
    assert part_flip(GROUPINGS["sorn8"]) == ()


def test_labels_are_grouped_pixel_by_pixel(tmp_path):
    values = np.arange(20, dtype=np.uint8).reshape(4, 5)
    Image.fromarray(values).save(tmp_path / "a.png")
    read = read_labels(tmp_path / "a.png", "lip20")
    grouped = group_labels(read, "lip20", "sgam5")
    names = ("background", *GROUPINGS["sgam5"])
    assert [names[k] for k in grouped.ravel()] == [regions("lip20", "sgam5")[n] for n in range(20)]
    with pytest.raises(DataError, match=r"from 0 \(background\) to 17, found 19"):
        read_labels(tmp_path / "a.png", "atr18")
    with pytest.raises(SettingsError, match=r"overlapping fields.*expected \.npy"):
        read_labels(tmp_path / "a.png", "bpbreid36")


@pytest.mark.parametrize("values", [[[0, 255, 128, 3]], [[0, 1, 1, 0]]])
def test_silhouettes(tmp_path, values):
    Image.fromarray(np.array(values, np.uint8)).save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png", "mask").tolist() == [[0, 1, 1, 0]]
    folder = PartFolder(tmp_path, tmp_path, ["foreground"], labels="mask")
    assert folder(sample(tmp_path, "a.jpg"), (1, 4)).foreground.tolist() == [[0, 1, 1, 0]]


# -- probability arrays -----------------------------------------------------------------------------------------------


def soft(count, size=(6, 4), seed=0):
    maps = np.random.default_rng(seed).random((count, *size)).astype(np.float32)
    return maps / maps.sum(0)


@pytest.mark.parametrize("layout", ["first", "last", "without background", "logits", "logits last"])
def test_probabilities_of_every_layout(tmp_path, layout):
    maps = soft(20)
    stored = {"first": maps, "last": maps.transpose(1, 2, 0), "without background": maps[1:], "logits": np.log(maps) + 3,
              "logits last": (np.log(maps) - 1).transpose(1, 2, 0)}[layout]  # fmt: skip
    np.save(tmp_path / "a.npy", stored)
    read = read_probabilities(tmp_path / "a.npy", "lip20", "logits" if "logits" in layout else "probability")
    assert np.allclose(read, maps, atol=1e-6)


def test_groups_of_probabilities_add_up_and_fields_take_the_highest():
    maps = soft(20)
    grouped = group_probabilities(maps, "lip20", "sgam5", (6, 4))
    for row, members in zip(grouped, list(grouping_table("lip20", "sgam5").values())[:-1], strict=True):
        assert np.allclose(row, maps[list(members)].sum(0), atol=1e-6)
    assert float(group_probabilities(maps, "lip20", "sorn8", (6, 4))[2].abs().sum()) == 0, "no label is an upper arm"
    fields = np.random.default_rng(1).random((36, 6, 4)).astype(np.float32)
    table = grouping_table("bpbreid36", "sorn8")
    grouped = group_probabilities(fields, "bpbreid36", "sorn8", (6, 4))
    assert np.allclose(grouped[0], fields[list(table["head"])].max(0))
    assert group_probabilities(fields, "bpbreid36", "sorn8", (24, 8)).shape == (7, 24, 8)


def test_wrong_probabilities(tmp_path):
    for stored, labels, values, message in (
        (soft(7), "lip20", "probability", r"expected 20 or 19 channels, first or last.*shape \(7, 6, 4\)"),
        (soft(19), "lip20", "logits", "expected 20 channels"),
        (soft(20) * 9, "lip20", "probability", r'say so in labels.json \("values": "logits"\)'),
        (soft(35), "bpbreid36", "probability", "expected 36 channels"),
    ):
        np.save(tmp_path / "a.npy", stored)
        with pytest.raises(DataError, match=message):
            read_probabilities(tmp_path / "a.npy", labels, values)
    np.save(tmp_path / "a.npy", soft(36))
    with pytest.raises(SettingsError, match="not logits"):
        read_probabilities(tmp_path / "a.npy", "bpbreid36", "logits")


# -- folders of part maps ---------------------------------------------------------------------------------------------


def test_a_folder_says_what_its_files_are(tmp_path):
    parts = tmp_path / "parts"
    write(parts / "labels.json", {"labels": "lip20", "values": "logits", "provider": {"name": "of no concern"}})
    maps = soft(20, (12, 6))
    np.save(parts / "a.npy", np.log(maps).transpose(1, 2, 0))
    image = sample(tmp_path, "a.jpg")
    cues = PartFolder(parts, tmp_path, grouping="sgam5")(image, (24, 12))
    assert cues.part_map.shape == (4, 24, 12)
    assert cues.foreground.shape == (24, 12)
    assert float(cues.part_map.max()) < 1, "soft maps stay soft"
    assert torch.allclose(cues.foreground, cues.part_map.sum(0), atol=1e-5)
    assert cues.part_flip == ()
    own = PartFolder(parts, tmp_path, grouping="labels")
    assert own.parts == LABEL_SETS["lip20"].labels[1:]
    flip = own(image, (24, 12)).part_flip
    assert [own.parts[k] for k in flip[-2:]] == ["right_shoe", "left_shoe"]
    with pytest.raises(DataError, match="expected 18 channels"):
        PartFolder(parts, tmp_path, labels="atr18")(image, (24, 12))


@pytest.mark.parametrize("name", ["a.jpg.confidence_fields.npy", "a.confidence_fields.npy", "a.npy"])
def test_confidence_fields_are_found_under_their_names(tmp_path, name):
    fields = np.random.default_rng(0).random((36, 9, 5)).astype(np.float32)
    (tmp_path / "parts/query").mkdir(parents=True)
    np.save(tmp_path / "parts/query" / name, fields)
    folder = PartFolder(tmp_path / "parts", tmp_path, labels="bpbreid36")
    assert folder.has(sample(tmp_path, "query/a.jpg"))
    cues = folder(sample(tmp_path, "query/a.jpg"), (36, 20))
    assert cues.part_map.shape == (7, 36, 20)
    assert torch.equal(cues.foreground, cues.part_map.amax(0))


def test_arrays_win_over_labels_and_labels_must_fit(tmp_path):
    Image.fromarray(np.ones((4, 3), np.uint8)).save(tmp_path / "a.png")
    image = sample(tmp_path, "a.jpg")
    with pytest.raises(DataError, match="must be of the image's size"):
        PartFolder(tmp_path, tmp_path)(image, (8, 6))
    np.savez_compressed(tmp_path / "a.npz", maps=np.full((7, 2, 2), 51, np.uint8))
    cues = PartFolder(tmp_path, tmp_path)(image, (8, 6))
    assert torch.allclose(cues.part_map, torch.tensor(0.2))
    assert torch.allclose(cues.foreground, torch.tensor(1.0)), "1.4 in all, clamped"


@pytest.mark.parametrize(
    ("content", "message"),
    [([], "expected a JSON object"), ({"labels": "lip"}, "no label set 'lip'"), ({"labels": 3}, "no label set '3'"),
     ({"values": "odds"}, '"values" must be')],
)  # fmt: skip
def test_hostile_settings_of_a_folder(tmp_path, content, message):
    write(tmp_path / "labels.json", content)
    with pytest.raises(DataError, match=r"labels\.json: .*" + message):
        PartFolder(tmp_path, tmp_path)


def test_settings_that_do_not_go_together(tmp_path):
    with pytest.raises(SettingsError, match="do not tell the regions"):
        PartFolder(tmp_path, tmp_path, labels="mask")
    with pytest.raises(SettingsError, match="no grouping 'four'"):
        PartFolder(tmp_path, tmp_path, grouping="four")
