"""Data of one's own as people write it: CSV files of spreadsheets, sets without training images, ids, names of files."""

import json
import shutil
import unicodedata
from pathlib import Path

import pytest

from occlureid import methods
from occlureid.cli import main
from occlureid.data import open_dataset
from occlureid.data.csv_rows import csv_header, csv_rows
from occlureid.data.files import IMAGE_SUFFIXES
from occlureid.doctor import examine
from occlureid.errors import DataError
from occlureid.ids import check_id
from occlureid.types import Sample
from tests.layout_trees import CUHK03, DUKE, MARKET, MSMT17_LISTS, P_DUKE, PARTIAL_ILIDS, PARTIAL_REID, lay, msmt17

HIDDEN = {
    "right-to-left override": "a\u202en",
    "left-to-right mark": "ann\u200e",
    "isolate": "\u2066ann",
    "arabic letter mark": "a\u061cnn",
    "zero width space": "an\u200bn",
    "zero width joiner": "an\u200dn",
    "byte order mark": "\ufeffann",
    "soft hyphen": "an\u00adn",
    "tag": "ann\U000e0041",
    "hangul filler": "\u3164",
    "grapheme joiner": "a\u034fnn",
    "control": "an\x07n",
    "next line": "an\x85n",
    "line separator": "an\u2028n",
    "surrogate": "an\ud800n",
}
PLAIN = ("ann", "Doe, Jane", "O'Brien", "Zoë", "Zoe\u0308", "安娜", "عمر", "ann 1", "-1", "\u8fbb\U000e0100", "❤\ufe0f")


@pytest.mark.parametrize("id", HIDDEN.values(), ids=HIDDEN)
def test_an_id_that_does_not_read_as_it_is_stored_is_refused(id):
    with pytest.raises(DataError, match=r"person must not hold control characters .* U\+[0-9A-F]{4,5}, .* without it"):
        check_id("person", id)
    for place in ({"person": id, "camera": "x"}, {"person": "x", "camera": id}):
        with pytest.raises(DataError, match=r"crops/a\.jpg: (person|camera) must not hold"):
            Sample(Path("crops/a.jpg"), **place)


@pytest.mark.parametrize("id", PLAIN)
def test_other_ids_are_left_as_they_are(id):
    check_id("person", id)
    assert Sample(Path("a.jpg"), id, id).person == id


def test_every_control_of_writing_direction_is_refused():
    directions = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    found = [chr(code) for code in range(0x110000) if unicodedata.bidirectional(chr(code)) in directions]
    assert len(found) == 9
    for letter in found:
        with pytest.raises(DataError):
            check_id("id", letter)


def test_folders_named_with_hidden_characters_are_refused(tmp_path, pictures):
    root = lay(tmp_path, ["query/an\u202en/x/1.jpg", "gallery/ann/y/2.jpg"], pictures)
    with pytest.raises(DataError, match=r"1\.jpg: person must not hold .*U\+202E, right-to-left override"):
        open_dataset(root)


# -- CSV files --------------------------------------------------------------------------------------------------------

ROWS = (("q1.jpg", "entrance", "ann-1", "ann"), ("q2.jpg", "back, left", "bo-1", ""))
FORMS = {
    "plain": 'path,camera,id,person\nq1.jpg,entrance,ann-1,ann\nq2.jpg,"back, left",bo-1,\n',
    "blanks behind commas": (
        'path, camera, id, person\n"q1.jpg", "entrance", "ann-1", "ann"\n"q2.jpg", "back, left", "bo-1", ""\n'
    ),
    "blanks around quotes": (
        ' "path" , "camera","id" ,person \n  "q1.jpg"  ,"entrance" , "ann-1"\t, "ann"  \n'
        '"q2.jpg" , "back, left" ,bo-1,  \n'
    ),
    "semicolons": "path;camera;id;person\nq1.jpg;entrance;ann-1;ann\nq2.jpg;back, left;bo-1;\n",
    "semicolons and quotes": (
        '"path"; "camera"; "id"; "person"\n"q1.jpg"; "entrance"; "ann-1"; "ann"\n"q2.jpg";"back, left" ;"bo-1";""'
    ),
    "tabs": "path\tcamera\tid\tperson\nq1.jpg\tentrance\tann-1\tann\nq2.jpg\tback, left\tbo-1\t\n",
    "tabs and quotes": (
        '"path"\t "camera"\t"id" \t"person"\n"q1.jpg" \t"entrance"\t"ann-1"\t"ann" \nq2.jpg\tback, left\tbo-1\t""\n'
    ),
    "a byte order mark and Windows line ends": (
        '\ufeffPath,Camera,ID,Person\r\n"q1.jpg", "entrance" ,"ann-1","ann" \r\nq2.jpg,"back, left",bo-1,\r\n'
    ),
    "empty rows of a spreadsheet": (
        'path,camera,id,person\n,,,\nq1.jpg,entrance,ann-1,ann\n\nq2.jpg,"back, left",bo-1,\n,,,\n  \n'
    ),
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_fields_as_spreadsheets_and_people_write_them(tmp_path, text):
    (tmp_path / "crops.csv").write_text(text, encoding="utf-8", newline="")
    rows = [row for _, row in csv_rows(tmp_path / "crops.csv", ("path", "camera"), ("id", "person"))]
    assert [tuple(row[name] for name in ("path", "camera", "id", "person")) for row in rows] == list(ROWS)
    assert csv_header(tmp_path / "crops.csv") == ["path", "camera", "id", "person"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('q1.jpg,x,ann"1,', r"csv:3: id must not hold quotes, got ann\"1"),
        ('q1.jpg,x,"ann ""the first""",', r"csv:3: id must not hold quotes"),
        ("q1.jpg,x,1,'ann'", r"csv:3: person must not hold quotes, got 'ann'"),
        ("q1.jpg,\u201cx\u201d,1,ann", r"csv:3: camera must not hold quotes, got \u201cx\u201d"),
        ('q1.jpg,x,"ann"1,', r"csv:3: is not a CSV file .*look for a quote without its other"),
        ('q1.jpg,x,"ann,', r"csv:3: is not a CSV file .*unexpected end of data"),
        ("q1.jpg,x,1,ann,5", r"csv:3: expected 4 fields, got 5"),
        ("q1.jpg;x;1;ann", r"csv:3: expected 4 fields, got 1"),
        ("q1.jpg,x\u202e,1,ann", r"csv:3: camera must not hold control characters .*U\+202E"),
        ("q1.jpg,x,1\u200b,ann", r"csv:3: id must not hold control characters .*U\+200B"),
    ],
)
def test_rows_that_cannot_be_meant_are_named_by_line(tmp_path, row, message):
    (tmp_path / "crops.csv").write_text(f"path,camera,id,person\nq0.jpg,x,0,O'Brien\n{row}\n", encoding="utf-8")
    with pytest.raises(DataError, match=message):
        list(csv_rows(tmp_path / "crops.csv", ("path", "camera"), ("id", "person")))


def test_a_field_over_several_lines_is_known_by_its_first(tmp_path):
    (tmp_path / "crops.csv").write_text('path,camera\n"q\n1.jpg",x\nq2.jpg,y,z\n')
    with pytest.raises(DataError, match=r"csv:4: expected 2 fields, got 3"):
        list(csv_rows(tmp_path / "crops.csv", ("path", "camera"), ()))


@pytest.mark.parametrize(
    "text", [FORMS["blanks around quotes"], FORMS["semicolons and quotes"], FORMS["tabs and quotes"]]
)
def test_who_was_added_by_such_a_file_is_found_and_erased_by_name(tmp_path, pictures, text, capsys):
    lay(tmp_path, ["q1.jpg", "q2.jpg"], pictures)
    (tmp_path / "crops.csv").write_text(text, encoding="utf-8")
    weights = tmp_path / "weights.safetensors"
    methods.save(methods.create("pcb", 3, {"backbone": "resnet10t", "size": (64, 32), "parts": 3}), weights)
    people = str(tmp_path / "people")
    assert main(["gallery", "create", people, "--weights", str(weights)]) == 0
    assert main(["gallery", "add", people, str(tmp_path / "crops.csv"), "--weights", str(weights)]) == 0
    capsys.readouterr()
    search = ["gallery", "search", people, "--item", "bo-1", "--person", "ann", "--camera", "entrance", "--json"]
    assert main(search) == 0
    (answer,) = json.loads(capsys.readouterr().out)["queries"]
    assert [hit["id"] for hit in answer["hits"]] == ["ann-1"]
    assert main(["gallery", "erase", people, "--person", "ann", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"erased": 1, "missing": [], "items": 1}


def test_images_whose_names_would_be_hidden_ids_are_refused(tmp_path, pictures, capsys):
    lay(tmp_path / "crops", ["a\u202egpj.jpg"], pictures)
    weights = tmp_path / "weights.safetensors"
    methods.save(methods.create("pcb", 3, {"backbone": "resnet10t", "size": (64, 32), "parts": 3}), weights)
    people = str(tmp_path / "people")
    assert main(["gallery", "create", people, "--weights", str(weights)]) == 0
    assert main(["gallery", "add", people, str(tmp_path / "crops"), "--weights", str(weights)]) == 3
    assert "id must not hold control characters" in capsys.readouterr().err
    for option in ("--person", "--camera"):
        plain = lay(tmp_path / option, ["a.jpg"], pictures)
        assert main(["gallery", "add", people, str(plain), "--weights", str(weights), option, "an\u200bn"]) == 3


# -- names of files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", sorted({*IMAGE_SUFFIXES, *(one.upper() for one in IMAGE_SUFFIXES), ".Jpg"}))
@pytest.mark.parametrize(
    ("names", "layout"),
    [(MARKET, "market1501"), (DUKE, "dukemtmc"), (P_DUKE, "p-dukemtmc"), (PARTIAL_ILIDS[:4], "partial-ilids"),
     (CUHK03[:4], "cuhk03-np-detected"), (PARTIAL_REID, "partial-reid")],
)  # fmt: skip
def test_names_with_any_suffix_of_an_image_in_either_case(tmp_path, pictures, suffix, names, layout):
    root = lay(tmp_path, [str(Path(name).with_suffix(suffix)) for name in names], pictures)
    auto = "auto" if layout not in ("partial-reid",) else layout
    dataset = open_dataset(root, auto)
    assert dataset.name == layout
    plain = open_dataset(lay(tmp_path / "plain", names, pictures), layout)
    for split in ("train", "query", "gallery"):
        assert [(s.person, s.camera, s.time) for s in getattr(dataset, split)] == [
            (s.person, s.camera, s.time) for s in getattr(plain, split)
        ]


def test_market_names_that_end_twice_in_a_suffix(tmp_path, pictures):
    names = [name.replace(".jpg", ".JPG.jpg") for name in MARKET]
    assert open_dataset(lay(tmp_path, names, pictures)).name == "market1501"


@pytest.mark.parametrize("suffix", [".JPG", ".png", ".jpeg"])
def test_lists_of_msmt17_with_other_suffixes_marks_and_blanks(tmp_path, pictures, suffix):
    root = msmt17(tmp_path, pictures)
    for file in list(root.rglob("*.jpg")):
        file.rename(file.with_suffix(suffix))
    for name, text in MSMT17_LISTS.items():
        line = text.replace(".jpg ", f"{suffix}\t ").replace("\n", " \r\n")
        (root / name).write_text(f"\ufeff{line}\r\n\r\n", encoding="utf-8", newline="")
    dataset = open_dataset(root)
    assert dataset.name == "msmt17"
    assert [len(dataset.train), len(dataset.query), len(dataset.gallery)] == [2, 1, 1]
    assert dataset.query[0].person == "0"


# -- query and gallery alone ------------------------------------------------------------------------------------------


@pytest.fixture(params=["csv", "folder", "folder with an empty train"])
def without_training(request, tmp_path, pictures):
    root = tmp_path / "own"
    names = [f"query/{person}/x/1.jpg" for person in ("ann", "bo")]
    names += [f"gallery/{person}/y/{number}.jpg" for person in ("ann", "bo") for number in (2, 3)]
    lay(root, names, pictures)
    if request.param == "folder with an empty train":
        (root / "train").mkdir()
    if request.param != "csv":
        return root
    rows = [(name, *name.split("/")[1:3], name.split("/")[0]) for name in names]
    (root / "data.csv").write_text("\n".join(",".join(row) for row in [("path", "person", "camera", "split"), *rows]))
    return root / "data.csv"


def test_query_and_gallery_alone_are_described_scored_and_examined(without_training, tmp_path, capsys):
    dataset = open_dataset(without_training)
    assert dataset.name == ("csv" if without_training.suffix else "folder")
    assert [len(dataset.train), len(dataset.query), len(dataset.gallery)] == [0, 2, 4]
    examination = examine(without_training)
    assert examination.exit_code == 0
    assert "no_training" in {found.code for found in examination.findings}
    assert examination.images_checked == 6
    weights = tmp_path / "weights.safetensors"
    methods.save(methods.create("pcb", 3, {"backbone": "resnet10t", "size": (64, 32), "parts": 3}), weights)
    out = tmp_path / "described"
    assert main(["describe", str(without_training), "--weights", str(weights), "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(out), "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out).values()
    assert report["average_precision"] > 0


def test_training_on_query_and_gallery_alone_says_what_to_do(without_training, tmp_path, capsys):
    command = ["train", str(without_training), "--method", "baseline", "--out", str(tmp_path / "run")]
    assert main([*command, "--set", "initial_weights=none"]) in (2, 3)
    error = capsys.readouterr().err
    assert "no training images" in error
    assert "--also" in error


def test_query_or_gallery_must_be_there(tmp_path, pictures):
    root = lay(tmp_path, ["query/ann/x/1.jpg", "gallery/ann/y/1.jpg"], pictures)
    shutil.rmtree(root / "gallery")
    with pytest.raises(DataError, match="no gallery"):
        open_dataset(root, "folder")
    (root / "gallery").mkdir()
    with pytest.raises(DataError, match="the split 'gallery' has no image"):
        open_dataset(root, "folder")
