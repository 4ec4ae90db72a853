"""A world on disk: a folder that is whole or not there, whose JSON, pictures and table say what the world says."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from occlureid.data.truth import read_truth
from occlureid.errors import DataError, ShapeError
from occlureid.staging import remove_leftovers, staged_folder
from occlureid.synthetic import World, WorldSettings, contact_sheet, truth_sheet, write_world
from occlureid.synthetic import writer as writer_module
from occlureid.synthetic.body import PART_NAMES
from occlureid.synthetic.detector import pose_document
from occlureid.synthetic.palette import LABEL_COLOURS
from occlureid.synthetic.records import truth_record
from occlureid.synthetic.rendered import BOX_KINDS, LIP_NAMES, Rendered, number_others
from occlureid.synthetic.writer import FOLDERS, file_stem
from occlureid.types import KEYPOINT_NAMES

SMALL = WorldSettings(seed=5, train_persons=6, test_persons=4, cameras=2, size=(128, 64))
TINY = WorldSettings(
    seed=2,
    train_persons=1,
    test_persons=1,
    cameras=2,
    train_images=1,
    gallery_images=1,
    size=(64, 32),
    image_format="png",
)


@pytest.fixture(scope="module")
def queries():
    return World(SMALL).render("query", range(SMALL.count("query")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_world(SMALL, tmp_path_factory.mktemp("worlds") / "small")


def label_map(root, kind, path):
    """The labels of a PNG, and its mode."""
    with Image.open(root / kind / path.replace(".jpg", ".png")) as image:
        return np.array(image), image.mode


def crowd(people=((0, 1, 2), (3, 3, 0))) -> Rendered:
    """One image of six pixels with two other people, made up."""
    landmarks = torch.zeros(1, 18, 3)
    landmarks[0, 0] = torch.tensor([1.23456, -7.5, 1.0])
    others = torch.zeros(2, 18, 3)
    others[1, 4] = torch.tensor([2.5, 0.25, 1.0])
    shape = (1, len(people), len(people[0]))
    fractions = torch.tensor([[1.0, 0.123456789, 0.0, torch.nan, 1.0, 1.0, 0.5]], dtype=torch.float64)
    return Rendered(
        images=torch.zeros(1, 3, *shape[1:], dtype=torch.uint8),
        keypoints=landmarks,
        self_occluded=torch.arange(18)[None] == 3,
        parts=torch.zeros(shape, dtype=torch.uint8),
        lip=torch.zeros(shape, dtype=torch.uint8),
        people=torch.tensor([people], dtype=torch.uint8),
        visible_fraction=torch.tensor([1 / 3], dtype=torch.float64),
        part_visible_fraction=fractions,
        obstacles=("person",),
        persons=torch.tensor([12]),
        cameras=torch.tensor([3]),
        headings=torch.tensor([-1.5], dtype=torch.float64),
        others=(others,),
        other_persons=(torch.tensor([7, 12345]),),
        boxes=("visible",),
        scales=torch.tensor([2 / 3], dtype=torch.float64),
        indices=torch.tensor([41]),
    )


# --- the folder -------------------------------------------------------------------------------------------------------


def read_lines(root):
    return [json.loads(line) for line in (root / "truth.jsonl").read_text().splitlines()]


def test_every_written_file_can_be_read(folder):
    rows = read_lines(folder)
    assert len(rows) == sum(SMALL.count(split) for split in FOLDERS)
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    for row in rows:
        split_folder, name = row["path"].split("/")
        stem = name.removesuffix(".jpg")
        assert stem.startswith(f"{row['person']}_c{row['camera']}s1_")
        with Image.open(folder / row["path"]) as image:
            assert (image.size, image.mode, image.format) == ((64, 128), "RGB", "JPEG")
        for kind, expected_mode, labels in (
            ("parts", "L", len(PART_NAMES)),
            ("parsing", "P", len(LIP_NAMES)),
            ("masks", "P", 2 + len(row["others"])),
        ):
            values, mode = label_map(folder, kind, row["path"])
            assert (values.shape, mode) == ((128, 64), expected_mode)
            assert values.max() < labels
        document = json.loads((folder / "pose" / split_folder / f"{stem}.json").read_text())
        assert document["people"]
        for person in document["people"]:
            values = np.array(person["pose_keypoints_2d"]).reshape(18, 3)
            assert ((values >= 0) & (values <= (64, 128, 1))).all()
    assert {row["path"].split("/")[0] for row in rows} == set(FOLDERS.values())
    assert not list(folder.parent.glob(".*partial*"))


def test_the_truth_is_what_the_world_says(folder, queries):
    rows = {(row["split"], row["index"]): row for row in read_lines(folder)}
    for index in range(len(queries)):
        row = rows["query", index]
        assert row["visible_fraction"] == pytest.approx(float(queries.visible_fraction[index]), abs=1e-6)
        assert row["obstacle"] == queries.obstacles[index]
        np.testing.assert_allclose(np.array(row["landmarks"]), queries.keypoints[index].numpy(), atol=1e-3)
        for kind, labels in (("parts", queries.parts), ("parsing", queries.lip), ("masks", queries.people)):
            assert (label_map(folder, kind, row["path"])[0] == labels[index].numpy()).all()
        assert row["box"] == queries.boxes[index]
        assert row["box"] in BOX_KINDS
        assert row["scale"] == pytest.approx(float(queries.scales[index]), abs=1e-6)
        assert row["pixels"] == int((queries.people[index] == 1).sum()) >= int((queries.parts[index] > 0).sum()) > 0
        assert (queries.people[index][queries.parts[index] > 0] == 1).all()
        assert (queries.lip[index][queries.people[index] != 1] == 0).all()
        for number, other in enumerate(row["others"], start=2):
            assert other["pixels"] == int((queries.people[index] == number).sum())
        assert [other["person"] for other in row["others"]] == [f"{k:04d}" for k in queries.other_persons[index]]


def test_the_record_names_settings_and_counts(folder):
    record = json.loads((folder / "world.json").read_text())
    assert WorldSettings(**record["settings"]) == SMALL
    assert record["counts"] == {"bounding_box_train": 48, "query": 8, "bounding_box_test": 24}
    assert record["occlureid"]


def test_landmarks_without_noise_are_exact_and_confident_where_visible():
    settings = SMALL.with_changes(keypoint_noise=0)
    world = World(settings)
    shot = world.render("query", range(8))
    extra = 0
    for row in range(8):
        document = pose_document(settings, "query", shot, row)
        reported = int(((shot.others[row][..., 2] > 0).sum(1) >= 3).sum())
        assert len(document["people"]) == 1 + reported
        extra += reported
        exact = shot.keypoints[row].numpy()
        inside = (exact[:, 0] >= 0) & (exact[:, 0] <= 64) & (exact[:, 1] >= 0) & (exact[:, 1] <= 128)
        found = [np.array(person["pose_keypoints_2d"]).reshape(18, 3) for person in document["people"]]
        target = min(found, key=lambda values: np.abs(values - exact)[inside, :2].max())
        np.testing.assert_allclose(target[inside, :2], exact[inside, :2], atol=1e-3)
        assert (target[exact[:, 2] > 0, 2] >= 0.6).all()
        assert (target[exact[:, 2] == 0, 2] <= 0.15).all()
    assert extra > 0


def test_the_noise_of_landmarks_has_the_spread_asked_for():
    settings = SMALL.with_changes(keypoint_noise=0.02, passers_by=0, far_people=0, box_errors=0, occluded_gallery=0)
    world = World(settings)
    shot = world.render("gallery", range(24))
    off = []
    for row in range(24):
        values = np.array(pose_document(settings, "gallery", shot, row)["people"][0]["pose_keypoints_2d"]).reshape(
            18, 3
        )
        off.append((values - shot.keypoints[row].numpy())[shot.keypoints[row, :, 2].numpy() > 0][:, :2])
    spread = np.concatenate(off).std(axis=0)
    np.testing.assert_allclose(spread, 0.02 * 128, rtol=0.2)


def test_the_same_settings_again_change_nothing(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    calls = []
    assert write_world(SMALL, folder, progress=lambda done, total: calls.append(done)) == folder
    assert calls == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_other_settings_are_refused_and_named(folder):
    with pytest.raises(DataError, match=r"seed: there 5, wanted 9"):
        write_world(SMALL.with_changes(seed=9), folder)


@pytest.mark.parametrize(("name", "content"), [("notes.txt", "mine"), ("world.json", "[]"), ("world.json", "{")])
def test_a_folder_that_is_no_world_is_left_alone(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match="choose another folder"):
        write_world(SMALL, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == content


def test_a_world_of_an_older_format_is_refused(tmp_path):
    record = {"format": 0, "settings": SMALL.to_dict()}
    (tmp_path / "world.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match="format 0"):
        write_world(SMALL, tmp_path)


def test_an_interrupted_world_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(writer_module, "truth_record", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_world(SMALL, tmp_path / "world")
    assert list(tmp_path.iterdir()) == []


def test_progress_batch_and_png(tmp_path):
    calls = []
    (tmp_path / "world").mkdir()  # an empty folder is free to use
    root = write_world(TINY, tmp_path / "world", batch=1, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(k, 6) for k in range(1, 7)]
    shot = World(TINY).render("train", [0])
    path = root / "bounding_box_train" / f"{file_stem('train', 1, 1, 0)}.png"
    with Image.open(path) as image:
        assert (np.asarray(image) == shot.images[0].permute(1, 2, 0).numpy()).all()
    with pytest.raises(DataError, match="batch"):
        write_world(TINY, tmp_path / "other", batch=0)


# --- what a killed process leaves -------------------------------------------------------------------------------------


def left_behind(parent):
    return sorted(path for path in parent.iterdir() if ".partial-" in path.name)


WRITE_AND_WAIT = """
import sys
from occlureid.synthetic import WorldSettings, write_world
def wait(done, total):
    print("written", flush=True)
    sys.stdin.read()
write_world(WorldSettings(**{settings}), {root!r}, batch=1, progress=wait)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked")
def test_a_living_process_keeps_its_folder_and_a_killed_one_loses_it(tmp_path):
    root = tmp_path / "world"
    program = WRITE_AND_WAIT.format(settings=TINY.to_dict(), root=str(root))
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout.readline() == b"written\n"
            living = left_behind(tmp_path)
            assert len(living) == 1
            assert remove_leftovers(root) == []
            write_world(TINY, root)
            assert left_behind(tmp_path) == living
            assert any(living[0].rglob("*.png"))
        finally:
            os.kill(child.pid, signal.SIGKILL)
    assert left_behind(tmp_path) == living
    kept = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert remove_leftovers(tmp_path / "another") == []
    assert remove_leftovers(root) == living
    assert left_behind(tmp_path) == []
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == kept


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked")
def test_only_folders_of_this_name_are_cleared(tmp_path):
    for name in (
        ".a.partial-abcd1234",
        ".ab.partial-abcd1234",
        ".a.partial-mine",
        "a.partial-abcd1234",
        ".axpartial-abcd1234",
    ):
        (tmp_path / name / "inner").mkdir(parents=True)
    (tmp_path / ".a.partial-00000000").write_text("a file")
    (tmp_path / ".a.partial-11111111").symlink_to(tmp_path / ".ab.partial-abcd1234")
    before = set(tmp_path.iterdir())
    assert remove_leftovers(tmp_path / "a") == [tmp_path / ".a.partial-abcd1234"]
    assert before - set(tmp_path.iterdir()) == {tmp_path / ".a.partial-abcd1234"}


def test_a_folder_appears_when_it_is_whole(tmp_path):
    root = tmp_path / "deep" / "folder"
    with staged_folder(root) as partial:
        (partial / "file").write_text("content")
        assert not root.exists()
        with staged_folder(tmp_path / "deep" / "folder") as second:  # of a living process: its own folder
            assert second != partial
            assert partial.exists()
    assert [path.name for path in root.parent.iterdir()] == ["folder"]
    assert (root / "file").read_text() == "content"


def test_of_two_processes_that_write_the_same_world_the_second_finds_it_done(tmp_path):
    root, met = tmp_path / "world", []

    def meanwhile(done, total):
        if not met:
            met.append(write_world(TINY, root))

    assert write_world(TINY, root, batch=1, progress=meanwhile) == root
    assert met == [root]
    assert list(tmp_path.iterdir()) == [root]


def test_a_folder_that_fills_up_meanwhile_is_left_alone(tmp_path):
    root = tmp_path / "world"

    def meanwhile(done, total):
        root.mkdir(exist_ok=True)
        (root / "mine").write_text("mine")

    with pytest.raises(OSError, match="world"):
        write_world(TINY, root, progress=meanwhile)
    assert [path.name for path in root.rglob("*")] == ["mine"]
    assert list(tmp_path.iterdir()) == [root]


# --- the truth as JSON and as a table ---------------------------------------------------------------------------------


def test_the_record_of_an_image():
    record = truth_record("query", crowd(), 0, "query/x.jpg")
    assert record["landmarks"][0] == [1.235, -7.5, 1]
    assert record["part_visible_fractions"]["torso"] == 0.123457
    assert record["part_visible_fractions"]["lower_arm"] is None
    assert (record["person"], record["camera"], record["index"], record["size"]) == ("0012", "3", 41, [2, 3])
    assert (record["pixels"], record["box"], record["scale"]) == (1, "visible", 0.666667)
    assert [(other["person"], other["pixels"]) for other in record["others"]] == [("0007", 1), ("12345", 2)]
    assert record["others"][1]["landmarks"][4] == [2.5, 0.25, 1]
    assert record["self_occluded"] == [0, 0, 0, 1] + [0] * 14
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_json_and_table_give_the_same_values(tmp_path, monkeypatch):
    """A world in which every image has other people, parts that are hidden by the target itself, and odd numbers."""

    def with_crowd(split, shot, row, path):
        return truth_record(split, crowd(), 0, path) if row % 2 else truth_record(split, shot, row, path)

    monkeypatch.setattr(writer_module, "truth_record", with_crowd)
    root = write_world(TINY, tmp_path / "world")
    truth, table = read_truth(root), pq.read_table(root / "truth.parquet")
    rows = table.to_pylist()
    assert [row["path"] for row in rows] == list(truth)
    assert json.loads(table.schema.metadata[b"landmarks"]) == list(KEYPOINT_NAMES)
    crowds = 0
    for row, line in zip(rows, read_lines(root), strict=True):
        record = truth[row["path"]]
        for key in ("person", "camera", "visible_fraction", "obstacle", "heading", "box", "scale", "pixels"):
            assert row[key] == getattr(record, key), key
            assert row[key] is not None
        assert (row["split"], row["index"]) == (line["split"], line["index"])
        assert (row["height"], row["width"]) == record.size
        assert {name: row[f"{name}_visible_fraction"] for name in PART_NAMES[1:]} == record.part_visible_fractions
        assert row["self_occluded"] == record.self_occluded.tolist()
        for entry, told in ((row, record), *zip(row["others"], record.others, strict=True)):
            found = np.stack([entry["landmark_x"], entry["landmark_y"], entry["landmark_visible"]], axis=1)
            np.testing.assert_array_equal(found, told.landmarks)
        for entry, told in zip(row["others"], record.others, strict=True):
            assert (entry["person"], entry["pixels"]) == (told.person, told.pixels)
            crowds += 1
    assert crowds >= 6


def test_a_label_with_a_palette_is_its_index(folder):
    path = read_lines(folder)[0]["path"]
    with Image.open(folder / "masks" / path.replace(".jpg", ".png")) as image:
        labels, colours = np.array(image), np.array(image.convert("RGB"))
    assert (labels == 1).any()
    np.testing.assert_array_equal(colours, LABEL_COLOURS[labels])
    assert len({tuple(colour) for colour in LABEL_COLOURS[: len(LIP_NAMES)].tolist()}) == len(LIP_NAMES)


def test_people_of_whom_nothing_shows_are_dropped_and_the_others_move_up():
    people = torch.tensor([[0, 1, 4], [2, 2, 0]], dtype=torch.uint8)
    landmarks = torch.zeros(4, 18, 3)
    landmarks[3, 5, 2] = 1.0  # shows by a landmark alone
    landmarks[:, 0, 0] = torch.arange(4.0)
    numbered, kept, persons = number_others(people, landmarks, torch.tensor([10, 20, 30, 40]))
    assert numbered.tolist() == [[0, 1, 3], [2, 2, 0]]
    assert numbered.dtype == torch.uint8
    assert persons.tolist() == [10, 30, 40]
    assert kept[:, 0, 0].tolist() == [0.0, 2.0, 3.0]
    alone, nobody, none = number_others(people.clamp_max(1), landmarks[:0], persons[:0])
    assert alone.tolist() == [[0, 1, 1], [1, 1, 0]]
    assert (len(nobody), len(none)) == (0, 0)


def test_joined_renderings_keep_everything():
    one = crowd()
    both = Rendered.cat([one, one], [1, 0, 1])
    assert len(both) == 3
    assert both.boxes == ("visible",) * 3
    assert [persons.tolist() for persons in both.other_persons] == [[7, 12345]] * 3
    assert both.people.shape == both.lip.shape == (3, 2, 3)


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_a_contact_sheet_holds_every_image(queries):
    sheet = contact_sheet(queries.images, columns=3, gap=2)
    assert sheet.size == (3 * 66 + 2, 3 * 130 + 2)
    tile = np.asarray(sheet)[2:130, 68:132]
    assert (tile == queries.images[1].permute(1, 2, 0).numpy()).all()
    with pytest.raises(ShapeError, match="uint8"):
        contact_sheet(queries.images.float(), columns=3)


def test_a_truth_sheet_has_five_pictures_an_image(queries):
    sheet = truth_sheet(queries.pick([0, 1, 2]), across=2, height=128)
    again = truth_sheet(queries.pick([0, 1, 2]), across=2, height=128)
    assert sheet.width > 10 * 64
    assert sheet.height > 2 * 128
    assert sheet.tobytes() == again.tobytes()
    alone = truth_sheet(queries.pick([0]), height=128)
    corner = alone.crop((0, 0, alone.width // 10, alone.height))
    assert corner.tobytes() == sheet.crop((0, 0, alone.width // 10, alone.height)).tobytes()
    with pytest.raises(ShapeError, match="columns"):
        truth_sheet(queries, across=0)
