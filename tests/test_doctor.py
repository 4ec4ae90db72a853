"""The doctor: every finding provoked once, on small trees of rendered images."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occlureid.data import open_dataset
from occlureid.data.dataset import Counts
from occlureid.data.inspect import inspect_image
from occlureid.data.readers import LAYOUTS
from occlureid.doctor import Examination, Finding, examine, findings
from occlureid.errors import DataError, UsageError
from tests.layout_trees import DUKE, LIP, MARKET, OCCLUDED_REID_RENAMED, P_DUKE, PARTIAL_REID, lay, lip, msmt17

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"


@pytest.fixture
def market(tmp_path: Path, pictures: list[Path]) -> Path:
    return lay(tmp_path / "market", MARKET, pictures)


def codes(examination: Examination) -> dict[str, str]:
    return {found.code: found.level for found in examination.findings}


def found(examination: Examination, code: str) -> Finding:
    (only,) = [finding for finding in examination.findings if finding.code == code]
    return only


def test_a_sound_set_has_notes_only_beside_its_counts(market):
    examination = examine(market)
    assert codes(examination) == {
        "counts": "warning", "terms": "note", "distractors": "note", "junk": "note", "no_pose": "note", "no_parts": "note",
    }  # fmt: skip
    assert examination.exit_code == 0
    assert examination.layout == "market1501"
    assert examination.images_checked == 10
    assert examination.counts["gallery_images"] == 4
    assert examination.cameras["train"] == {"1": 2, "2": 2}
    assert examination.checksum == open_dataset(market).checksum()
    assert found(examination, "junk").names == (f"{GALLERY}/-1_c1s1_000401_03.jpg",)
    assert found(examination, "distractors").names == ("0000",)
    assert found(examination, "counts").number == 6
    assert "expected 12936 train images, found 4" in found(examination, "counts").names


def test_the_examination_as_json_and_as_text(market, monkeypatch):
    (market / QUERY / "0001_c1s1_001051_00.jpg").write_bytes(b"")
    examination = examine(market)
    record = json.loads(json.dumps(examination.to_dict()))
    assert record["layout"] == "market1501"
    assert record["exit_code"] == 3
    assert record["images_checked"] == 10
    assert record["cameras"]["query"] == {"1": 1, "2": 1}
    (empty,) = [entry for entry in record["findings"] if entry["code"] == "empty"]
    assert empty == {
        "level": "error",
        "code": "empty",
        "what": "1 image files have no bytes",
        "advice": "copy or download them again",
        "number": 1,
        "names": [f"{QUERY}/0001_c1s1_001051_00.jpg: has no bytes"],
    }
    assert [entry["level"] for entry in record["findings"]] == sorted(
        (entry["level"] for entry in record["findings"]), key=("error", "warning", "note").index
    )
    text = examination.summary()
    assert text.splitlines()[0] == f"{market}: market1501"
    assert "train: 4 images of 2 persons, cameras 1 (2), 2 (2)" in text
    assert (
        "error: empty: 1 image files have no bytes\n  - query/0001_c1s1_001051_00.jpg: has no bytes\n  -> copy" in text
    )
    assert "  - ... 3 more" in text, "of six counts three are shown"
    assert text.endswith("1 error, 1 warning, 5 notes")
    monkeypatch.setattr(findings, "KEPT", 2)
    kept = found(examine(market), "counts")
    assert kept.number == 6, "counts are few and all kept"
    (market / QUERY / "0003_c2s1_001151_00.jpg").write_bytes(b"")
    shutil.copy(market / QUERY / "0003_c2s1_001151_00.jpg", market / GALLERY / "0001_c2s1_000301_00.jpg")
    assert (found(examine(market), "empty").number, len(found(examine(market), "empty").names)) == (3, 2)


def test_names_alone_and_progress(market):
    assert examine(market, images=False).images_checked == 0
    seen: list[tuple[int, int]] = []
    examine(market, threads=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 10) for done in range(1, 11)]
    one = examine(market, threads=1)
    assert one.to_dict() == examine(market, threads=3).to_dict()
    for options, message in (({"threads": 0}, "threads must be"), ({"layout": "market"}, "no layout 'market'")):
        with pytest.raises(UsageError, match=message):
            examine(market, **options)


# -- layouts ----------------------------------------------------------------------------------------------------------


def test_what_is_no_layout_ends_the_examination(tmp_path, pictures):
    lay(tmp_path, ["photographs/a.jpg"], pictures)
    examination = examine(tmp_path)
    assert codes(examination) == {"layout": "error"}
    assert examination.layout is None
    assert "found photographs/" in examination.findings[0].what
    assert examination.summary().startswith(f"{tmp_path}: no layout recognised")
    assert codes(examine(tmp_path / "nothing")) == {"layout": "error"}
    assert codes(examine(tmp_path, "market1501")) == {"reading": "error"}
    assert codes(examine(lay(tmp_path / "partial", PARTIAL_REID, pictures))) == {"layout": "error"}


def test_a_stray_file_is_named_and_the_rest_examined_and_counted(market):
    sound = examine(market)
    (market / QUERY / "portrait.jpg").write_bytes(b"portrait")
    (market / GALLERY / "notes.txt").write_text("taken in May")
    examination = examine(market)
    assert codes(examination) == {**codes(sound), "reading": "error", "unreadable": "error", "unlisted": "note"}
    strays = found(examination, "reading")
    assert strays.number == 2
    assert "found 1 other entries, first: notes.txt" in strays.names[0]
    assert "first: portrait.jpg" in strays.names[1]
    assert examination.images_checked == 11
    assert examination.counts == sound.counts
    assert examination.cameras == sound.cameras
    assert examination.checksum is None, "what was left out is part of the data that a number would belong to"
    assert examination.exit_code == 3
    assert examine(market, images=False).images_checked == 0
    with pytest.raises(DataError, match=r"notes\.txt|portrait\.jpg"):
        open_dataset(market)


def test_images_are_looked_at_although_a_folder_is_missing(market):
    shutil.rmtree(market / QUERY)
    (market / GALLERY / "portrait.jpg").write_bytes(b"portrait")
    examination = examine(market, "market1501")
    assert codes(examination) == {"reading": "error", "unreadable": "error"}
    assert "there is no query" in found(examination, "reading").what
    assert examination.images_checked == 9
    assert examination.counts == {}


def test_junk_among_training_images_does_not_end_the_examination(market, pictures):
    lay(market, [f"{TRAIN}/-1_c1s1_009999_00.jpg"], pictures[20:])
    examination = examine(market, images=False)
    assert "person -1 marks junk and cannot be trained on; 1 images" in found(examination, "reading").what
    assert examination.counts["train_images"] == 4


def test_a_damaged_line_of_a_csv_file_does_not_end_the_examination(tmp_path, pictures):
    lay(tmp_path, ["a.jpg", "b.jpg", "c.jpg"], pictures)
    rows = ["path,person,camera,split", "a.jpg,1,x,train", "b.jpg,2,x,query", "c.jpg,2,y,gallery"]
    more = ["z.jpg,2,y,gallery", "c.jpg,2", 'c.jpg,"ann"x,y,gallery', "c.jpg,an\u202en,y,gallery", "c.jpg,2,y,test"]
    (tmp_path / "data.csv").write_text("\n".join(rows + more), encoding="utf-8")
    examination = examine(tmp_path / "data.csv")
    lines = found(examination, "reading").names
    assert [line.partition(": ")[0] for line in lines] == [f"{tmp_path}/data.csv:{number}" for number in range(5, 10)]
    assert (examination.images_checked, examination.counts["gallery_images"]) == (3, 1)


def test_damaged_lines_of_other_lists_do_not_end_the_examination(tmp_path, pictures, rendered_world):
    root = msmt17(tmp_path / "msmt", pictures)
    with (root / "list_gallery.txt").open("a") as file:
        file.write("0000/none_003_0114.jpg 0\n0000/0000_007_03_0114afternoon_0010_1.jpg 0\n")
    examination = examine(root, images=False)
    assert [name.split(": ")[0].rpartition(":")[2] for name in found(examination, "reading").names] == ["2", "3"]
    assert examination.counts["gallery_images"] == 1
    world = shutil.copytree(rendered_world, tmp_path / "world")
    lines = (world / "truth.jsonl").read_text().splitlines(keepends=True)
    (world / "truth.jsonl").write_text("".join(["{damaged\n", *lines[1:]]))
    examination = examine(world, images=False)
    assert found(examination, "reading").number == 2, "the line, and the image that now has none"
    assert any("truth.jsonl:1: expected one JSON object" in name for name in found(examination, "reading").names)
    assert examination.counts == examine(rendered_world, images=False).counts


def test_strays_beside_or_among_folders_of_persons(tmp_path, pictures):
    root = lay(
        tmp_path / "own", ["query/b/x/1.jpg", "gallery/b/x/2.jpg", "gallery/b/y/3.jpg", "gallery/c/y/4.jpg"], pictures
    )
    (root / "gallery" / "c" / "notes.txt").write_text("")
    examination = examine(root, images=False)
    assert "expected only folders, found 1 files, first: notes.txt" in found(examination, "reading").what
    assert examination.counts["gallery_images"] == 3
    small = lay(tmp_path / "small", PARTIAL_REID, pictures)
    (small / "whole_body_images" / "old").mkdir()
    (small / "whole_body_images" / "cover.jpg").write_bytes(b"cover")
    examination = examine(small, "partial-reid", images=False)
    assert found(examination, "reading").number == 3, (
        "a folder among images (by two checks), and a name without a number"
    )
    assert examination.counts["gallery_images"] == 4


def test_withdrawn_and_licensed_sets_say_so(tmp_path, pictures):
    for names in (DUKE, P_DUKE):
        withdrawn = found(examine(lay(tmp_path / names[0][:5], names, pictures), images=False), "withdrawn")
        assert withdrawn.level == "warning"
        assert "withdrawn by its authors in 2019" in withdrawn.what
    assert "on application" in found(examine(msmt17(tmp_path / "msmt", pictures), images=False), "terms").what


def test_a_csv_file_is_examined(tmp_path, pictures):
    lay(tmp_path, ["a.jpg", "b.jpg", "c.jpg"], pictures)
    rows = ["path,person,camera,split", "a.jpg,1,x,train", "b.jpg,2,x,query", "b.jpg,2,x,gallery", "c.jpg,2,y,gallery"]
    (tmp_path / "data.csv").write_text("\n".join(rows))
    examination = examine(tmp_path / "data.csv")
    assert examination.layout == "csv"
    assert examination.images_checked == 3
    assert codes(examination)["query_in_gallery_ignored"] == "note"
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "pose").mkdir()
    (tmp_path / "lists" / "pose" / "a.json").write_text("{}")
    (tmp_path / "lists" / "data.csv").write_text("\n".join(rows).replace(",x", ",1").replace("\n", f"\n{tmp_path}/"))
    elsewhere = codes(examine(tmp_path / "lists" / "data.csv"))
    assert "unlisted" not in elsewhere
    assert not [code for code in elsewhere if code.startswith("pose")], "cues mirror the images below the root alone"
    (tmp_path / "data.csv").write_text("path")
    assert codes(examine(tmp_path / "data.csv")) == {"layout": "error"}


def test_lip_is_examined(tmp_path, pictures):
    lip(tmp_path, pictures)
    examination = examine(tmp_path)
    assert examination.layout == "lip"
    assert [f.what for f in examination.findings] == [
        "expected 30462 train images, found 1", "expected 10000 validation images, found 1",
    ]  # fmt: skip
    assert examination.images_checked == 2
    Image.new("L", (32, 64), 25).save(tmp_path / LIP[1])
    Image.new("L", (5, 5)).save(tmp_path / LIP[3])
    labels = found(examine(tmp_path), "labels")
    assert labels.number == 2
    assert labels.names[0] == f"{LIP[1]}: expected labels from 0 to 19, found 25"
    assert "labels" not in codes(examine(tmp_path, images=False))
    (tmp_path / "TrainVal_images" / "train_id.txt").unlink()
    assert codes(examine(tmp_path)) == {"reading": "error"}


# -- persons, cameras, queries ----------------------------------------------------------------------------------------


def test_persons_on_both_sides(market, pictures):
    lay(market, [f"{TRAIN}/0001_c1s1_009999_00.jpg"], pictures[20:])
    examination = examine(market, images=False)
    assert found(examination, "persons_overlap").names == ("0001",)
    assert found(examination, "persons_overlap").level == "error"
    assert found(examination, "one_image").names == ("0001",)


def test_equal_numbers_may_be_different_people(tmp_path, pictures):
    assert "persons_overlap" not in codes(examine(msmt17(tmp_path, pictures)))


def test_training_persons_of_one_camera(market, pictures):
    lay(market, [f"{TRAIN}/0009_c1s1_000001_00.jpg", f"{TRAIN}/0009_c1s1_000002_00.jpg"], pictures[20:])
    assert found(examine(market, images=False), "one_camera_persons").names == ("0009",)


def test_queries_without_a_true_match_are_named(market, pictures):
    lay(market, [f"{QUERY}/0042_c1s1_000001_00.jpg", f"{QUERY}/0000_c1s1_000009_00.jpg"], pictures[20:])
    examination = examine(market, images=False)
    absent, hidden = found(examination, "query_not_in_gallery"), found(examination, "query_only_ignored")
    assert absent.names == (f"{QUERY}/0042_c1s1_000001_00.jpg (person 0042, camera 1)",)
    assert hidden.names == (f"{QUERY}/0000_c1s1_000009_00.jpg (person 0000, camera 1)",)
    assert "of the query's own camera" in hidden.what
    assert absent.level == hidden.level == "warning"
    for path in (market / GALLERY).glob("000[13]_*"):
        path.rename(path.with_name("0777" + path.name[4:]))
    worst = examine(market, images=False)
    assert found(worst, "query_not_in_gallery").number == 3
    assert found(worst, "query_not_in_gallery").level == found(worst, "query_only_ignored").level == "error"


def test_one_camera(tmp_path, pictures):
    names = [
        f"{folder}/{person}_c1_{k}.jpg" for folder, person in ((TRAIN, 1), (QUERY, 2), (GALLERY, 2)) for k in (1, 2)
    ]
    examination = examine(lay(tmp_path / "boxes", names, pictures), "market1501")
    assert "leaves no true match at all" in found(examination, "one_camera").what
    assert found(examination, "query_only_ignored").level == "error"
    own = lay(tmp_path / "own", ["train/a/x/1.jpg", "query/b/x/1.jpg", "gallery/b/x/2.jpg"], pictures)
    examination = examine(own)
    assert "ignores only its own file" in found(examination, "one_camera").what
    assert "query_only_ignored" not in codes(examination)
    shutil.rmtree(own / "gallery")
    shutil.copytree(own / "query", own / "gallery")
    again = examine(own)
    assert "query_in_gallery" in codes(again), "the same picture under two paths finds itself"
    for name in ("a", "b"):
        (own / f"{name}.jpg").write_bytes(pictures["ab".index(name)].read_bytes())
    rows = "path,person,camera,split\na.jpg,1,x,train\nb.jpg,2,x,query\nb.jpg,2,x,gallery\n"
    (own / "data.csv").write_text(rows)
    assert "is the query itself" in found(examine(own / "data.csv"), "query_only_ignored").what


def test_sets_to_evaluate_on_have_nothing_to_train_on(tmp_path, pictures):
    examination = examine(lay(tmp_path, OCCLUDED_REID_RENAMED, pictures), "occluded-reid")
    assert codes(examination)["no_training"] == "note"
    assert examination.exit_code == 0


def test_a_folder_of_another_person(tmp_path, pictures):
    root = lay(tmp_path, P_DUKE, pictures)
    lay(root, ["test/whole_body_images/0005/0006_c1_f0000001.jpg"], pictures[20:])
    strange = found(examine(root, images=False), "folder_person")
    assert strange.names == ("test/whole_body_images/0005/0006_c1_f0000001.jpg",)


def test_images_of_no_split(tmp_path, pictures):
    root = msmt17(tmp_path, pictures)
    lay(
        root,
        ["test/0000/0000_009_03_0114noon_0010_1.jpg", "pose/query/a.jpg", "masks/query/a.png", ".hidden/a.jpg"],
        pictures[20:],
    )
    assert found(examine(root, images=False), "unlisted").names == ("test/0000/0000_009_03_0114noon_0010_1.jpg",)


# -- image files ------------------------------------------------------------------------------------------------------


def test_damaged_images_by_kind(market, monkeypatch):
    files = sorted((market / GALLERY).iterdir()) + sorted((market / TRAIN).iterdir())
    half, text, empty, gone, floating, bomb, blank, png = files
    content = half.read_bytes()
    half.write_bytes(content[:40])
    assert (inspect_image(half).problem, inspect_image(half).format) == ("truncated", None)
    half.write_bytes(content[:-100])
    assert (inspect_image(half).problem, inspect_image(half).format) == ("truncated", "JPEG")
    text.write_text("an error page")
    empty.write_bytes(b"")
    gone.unlink()
    gone.symlink_to(market / "nowhere.jpg")
    assert inspect_image(gone).problem == "missing"
    gone.unlink()
    Image.fromarray(np.ones((64, 32), dtype=np.float32)).save(floating, format="TIFF")
    Image.new("RGB", (800, 800), "red").save(bomb)
    monkeypatch.setattr("occlureid.data.images.MAX_PIXELS", 10_000)
    monkeypatch.setattr("occlureid.data.inspect.MAX_PIXELS", 10_000)
    Image.new("RGB", (32, 64), "red").save(blank)
    with Image.open(png) as image:
        image.load()
    image.save(png, format="PNG")
    examination = examine(market)
    names = {f.code: f.names for f in examination.findings}
    assert [name.partition(":")[0] for name in names["truncated"]] == [f"{GALLERY}/{half.name}"]
    assert [name.partition(":")[0] for name in names["unreadable"]] == [f"{GALLERY}/{text.name}"]
    assert names["empty"] == (f"{GALLERY}/{empty.name}: has no bytes",)
    assert [name.partition(":")[0] for name in names["refused"]] == [f"{TRAIN}/{floating.name}", f"{TRAIN}/{bomb.name}"]
    assert names["blank"] == (f"{TRAIN}/{blank.name}",)
    assert names["suffix"] == (f"{TRAIN}/{png.name}: PNG",)
    assert {codes(examination)[code] for code in ("truncated", "unreadable", "empty", "refused")} == {"error"}
    assert examination.exit_code == 3


def test_a_file_that_vanishes_is_missing(market, monkeypatch):
    paths = sorted((market / QUERY).iterdir())

    def vanish(path, *args):
        paths[0].unlink(missing_ok=True)
        return inspect_image(path)

    monkeypatch.setattr("occlureid.doctor.pictures.inspect_image", vanish)
    assert found(examine(market), "missing").names == (f"{QUERY}/{paths[0].name}: No such file or directory",)


def test_files_beyond_all_measure_are_refused(market, monkeypatch):
    monkeypatch.setattr("occlureid.data.inspect._LARGEST_FILE", 10)
    assert found(examine(market), "refused").number == 10


def test_odd_sizes(market):
    wide, small = sorted((market / QUERY).iterdir())
    for path, size in ((wide, (90, 64)), (small, (11, 64))):
        with Image.open(path) as image:
            image.resize(size).save(path)
    assert found(examine(market), "odd_size").names == (
        f"{QUERY}/{wide.name}: 64 x 90 (height x width)",
        f"{QUERY}/{small.name}: 64 x 11 (height x width)",
    )


# -- duplicates -------------------------------------------------------------------------------------------------------


def test_duplicates_by_kind(market):
    first, second = sorted((market / TRAIN).iterdir())[:2]
    shutil.copy(first, second)
    query = market / QUERY / "0001_c1s1_001051_00.jpg"
    shutil.copy(query, market / GALLERY / "0001_c2s1_000301_00.jpg")
    shutil.copy(market / QUERY / "0003_c2s1_001151_00.jpg", market / GALLERY / "0000_c1s1_000151_01.jpg")
    shutil.copy(sorted((market / TRAIN).iterdir())[2], market / GALLERY / "0003_c1s1_000351_00.jpg")
    examination = examine(market)
    assert found(examination, "duplicate").names == (f"{TRAIN}/{second.name} is {TRAIN}/{first.name}",)
    assert found(examination, "query_in_gallery").names == (f"{QUERY}/{query.name}",)
    assert found(examination, "query_in_gallery").level == "error"
    assert found(examination, "duplicate_persons").names == (f"{QUERY}/0003_c2s1_001151_00.jpg (persons 0000, 0003)",)
    assert found(examination, "duplicate_across").names == (
        f"{TRAIN}/0007_c1s3_077419_03.jpg is {GALLERY}/0003_c1s1_000351_00.jpg",
    )


def test_queries_in_the_gallery_as_occluded_duke_has_them(tmp_path, pictures):
    root = lay(tmp_path, DUKE, pictures)
    shutil.copy(root / QUERY / "0005_c2_f0046985.jpg", root / GALLERY)
    examination = examine(root, "occluded-duke")
    ignored = found(examination, "query_in_gallery_ignored")
    assert (ignored.level, ignored.names) == ("note", (f"{QUERY}/0005_c2_f0046985.jpg",))
    assert "query_in_gallery" not in codes(examination)


def test_a_query_that_is_junk_in_the_gallery_is_ignored(market):
    shutil.copy(market / GALLERY / "-1_c1s1_000401_03.jpg", market / QUERY / "-1_c2s1_000401_03.jpg")
    examination = examine(market)
    assert "query_in_gallery_ignored" in codes(examination)
    assert found(examination, "query_not_in_gallery").number == 1


# -- cues -------------------------------------------------------------------------------------------------------------


def cue_files(root: Path, folder: str, suffix: str, names=MARKET) -> None:
    for name in names:
        to = (root / folder / name).with_suffix(suffix)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text('{"people": []}')


def test_images_without_cues_are_named(market):
    cue_files(market, "pose", ".json")
    cue_files(market, "parts", ".png")
    cue_files(market, "parsing", ".png")
    sound = codes(examine(market, images=False))
    assert not [code for code in sound if code.startswith(("pose", "parts", "parsing", "no_"))]
    (market / "pose" / MARKET[4]).with_suffix(".json").unlink()
    (market / "parts" / MARKET[5]).with_suffix(".png").unlink()
    (market / "parsing" / MARKET[6]).with_suffix(".png").unlink()
    examination = examine(market, images=False)
    assert found(examination, "pose_missing").names == (MARKET[4],)
    assert found(examination, "pose_missing").level == "warning"
    assert found(examination, "pose_missing").advice.startswith(f'run "occlureid cues pose {market} --overwrite"')
    assert found(examination, "parts_missing").names == (MARKET[5],)
    assert found(examination, "parts_missing").level == "error"
    assert MARKET[6] in found(examination, "parsing_labels").what


def test_cues_that_match_nothing_or_cannot_be_read(market):
    (market / "pose").mkdir()
    assert codes(examine(market, images=False))["pose_unusable"] == "error"
    cue_files(market, "pose/elsewhere", ".json", ["query/other.jpg"])
    (market / "parts").mkdir()
    examination = examine(market, images=False)
    assert found(examination, "pose_unmatched").number == found(examination, "parts_unmatched").number == 10
    (market / "pose" / "alphapose-results.json").write_text("{")
    assert codes(examine(market, images=False))["pose_unusable"] == "error"


def test_a_rendered_world_is_sound(rendered_world):
    examination = examine(rendered_world)
    assert examination.layout == "synthetic"
    assert examination.of_level("error") == ()
    assert examination.images_checked == sum(
        examination.counts[f"{split}_images"] for split in ("train", "query", "gallery")
    )


def test_published_counts_leave_no_finding(market, monkeypatch):
    dataset = open_dataset(market)
    monkeypatch.setattr("occlureid.data.box_folders.MARKET1501_COUNTS", dataset.counts())
    assert "counts" not in codes(examine(market, images=False))
    assert Counts() != LAYOUTS["market1501"].expected
