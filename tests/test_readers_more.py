"""Readers of the occluded, partial and large sets, joined training sets and LIP, on small trees of rendered images."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from occlureid.cues.roots import RootedSources, sources_for_dataset
from occlureid.data import (
    LAYOUTS,
    join_training,
    open_dataset,
    read_image,
    read_lip,
    read_parsing_world,
    with_training,
)
from occlureid.data.dataset import Counts, ReidDataset
from occlureid.data.lip import ParsingSample
from occlureid.data.msmt17 import read_msmt17
from occlureid.data.occluded_reid import read_occluded_reid, read_occluded_reid_half
from occlureid.data.partial import read_partial_ilids, read_partial_reid
from occlureid.errors import DataError, MissingCueError, UsageError
from occlureid.evaluation.truth import find_truth
from occlureid.types import Protocol, Sample
from tests.layout_trees import (
    CUHK03,
    LIP,
    MARKET,
    MSMT17_LISTS,
    OCCLUDED_REID,
    OCCLUDED_REID_RENAMED,
    OCCLUDED_REID_SPLIT,
    P_DUKE,
    PARTIAL_ILIDS,
    PARTIAL_REID,
    lay,
    lip,
    msmt17,
)


def said(samples) -> list[tuple[str, str, str]]:
    return [(sample.path.name, sample.person, sample.camera) for sample in samples]


def matches(dataset) -> list[int]:
    """True matches of each query under the dataset's protocol."""
    return [len(rows) for rows in find_truth(dataset.query, dataset.gallery, dataset.protocol).positives]


# -- Occluded-REID ----------------------------------------------------------------------------------------------------


def test_occluded_reid_across_domains(tmp_path, pictures):
    dataset = open_dataset(lay(tmp_path, OCCLUDED_REID, pictures), "occluded-reid")
    assert dataset.train == ()
    assert len(dataset.query) == len(dataset.gallery) == 8
    assert said(dataset.query)[0] == ("001_01.tif", "001", "occluded")
    assert said(dataset.gallery)[-1] == ("200_02.tif", "200", "whole")
    assert dataset.protocol.ignore == "none"
    assert dataset.protocol.junk == ()
    assert matches(dataset) == [2] * 8
    assert dataset.expected == Counts(0, 0, 1_000, 200, 1_000, 200)
    assert read_image(dataset.query[0].path).size == (32, 64), "TIFF is read"
    with pytest.raises(DataError, match="expected 1000 query images, found 8"):
        dataset.check_counts()


def test_the_image_number_can_stand_for_the_camera(tmp_path, pictures):
    dataset = read_occluded_reid(lay(tmp_path, OCCLUDED_REID, pictures), cameras="index")
    assert said(dataset.query)[:2] == [("001_01.tif", "001", "01"), ("001_02.tif", "001", "02")]
    assert dataset.protocol.ignore == "same_camera"
    assert dataset.protocol.name == "occluded-reid, image numbers as cameras"
    assert matches(dataset) == [1] * 8, "the gallery image of the same number is ignored"
    with pytest.raises(UsageError, match='cameras must be "split" or "index"'):
        read_occluded_reid(tmp_path, cameras="none")


def test_cameras_in_the_names_are_used(tmp_path, pictures):
    dataset = open_dataset(lay(tmp_path, OCCLUDED_REID_RENAMED, pictures), "occluded-reid")
    assert said(dataset.query)[0] == ("001_c1_01.tif", "001", "1")
    assert dataset.protocol.ignore == "same_camera"
    assert dataset.protocol.name == "occluded-reid, cameras of the file names"
    assert matches(dataset) == [2] * 4


def test_the_half_protocol_has_a_preset_and_seeds(tmp_path, pictures):
    lay(tmp_path, OCCLUDED_REID, pictures)
    preset = open_dataset(tmp_path, "occluded-reid-half")
    assert {s.person for s in preset.train} == {"088", "187"}, "both ends of 88 to 187"
    assert {s.person for s in preset.query} == {s.person for s in preset.gallery} == {"001", "200"}
    assert {s.camera for s in preset.train} == {"occluded", "whole"}
    assert preset.counts() == Counts(8, 2, 4, 2, 4, 2)
    assert preset.expected == Counts(1_000, 100, 500, 100, 500, 100)
    drawn = [frozenset(s.person for s in read_occluded_reid_half(tmp_path, seed=seed).train) for seed in range(8)]
    assert all(len(persons) == 2 for persons in drawn)
    assert len(set(drawn)) > 1
    assert frozenset(s.person for s in read_occluded_reid_half(tmp_path, seed=5).train) == drawn[5]
    with pytest.raises(UsageError, match="seed must not be negative"):
        read_occluded_reid_half(tmp_path, seed=-1)


def test_halves_that_are_made_already(tmp_path, pictures):
    dataset = open_dataset(lay(tmp_path, OCCLUDED_REID_SPLIT, pictures))
    assert dataset.name == "occluded-reid-half"
    assert said(dataset.gallery) == [("002_c2_01.tif", "002", "2")]
    assert len(dataset.train) == 2
    assert matches(dataset) == [1]
    with pytest.raises(UsageError, match="made already"):
        read_occluded_reid_half(tmp_path, seed=1)


def test_a_half_without_persons_is_named(tmp_path, pictures):
    lay(tmp_path, [name for name in OCCLUDED_REID if "/001/" in name], pictures)
    with pytest.raises(DataError, match="persons 88 to 187 to train on, no image is left for the training split"):
        open_dataset(tmp_path, "occluded-reid-half")
    with pytest.raises(DataError, match="a half drawn with seed 0"):
        read_occluded_reid_half(tmp_path, seed=0)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (OCCLUDED_REID[:2], "has the folders occluded_body_images and whole_body_images or query and gallery; neither"),
        ((*OCCLUDED_REID, "whole_body_images/loose.tif"), "got both; first file: loose.tif, first folder: 001"),
        (
            (*OCCLUDED_REID, "whole_body_images/001/portrait.tif"),
            "1 of 9 files are named otherwise, first: portrait.tif",
        ),
        (
            (*OCCLUDED_REID_RENAMED, "whole_body_images/001_03.tif"),
            r"4 of 5 names say a camera \(first: 001_c2_01.tif\), others do not \(first: 001_03.tif\)",
        ),
    ],
)
def test_a_wrong_tree_is_named(tmp_path, pictures, names, message):
    with pytest.raises(DataError, match=message):
        open_dataset(lay(tmp_path, names, pictures), "occluded-reid")


def test_folders_without_images_and_numbers_are_named(tmp_path, pictures):
    for kind in ("occluded", "whole"):
        (tmp_path / f"{kind}_body_images" / "001").mkdir(parents=True)
    with pytest.raises(DataError, match="expected images, found none"):
        open_dataset(tmp_path, "occluded-reid")
    lay(tmp_path, ["occluded_body_images/001/001.tif", "whole_body_images/001/001.tif"], pictures)
    assert matches(read_occluded_reid(tmp_path)) == [1]
    with pytest.raises(DataError, match="there is no number after the person"):
        read_occluded_reid(tmp_path, cameras="index")


# -- Partial-REID, Partial-iLIDS, P-DukeMTMC --------------------------------------------------------------------------


def test_partial_reid_with_either_queries(tmp_path, pictures):
    lay(tmp_path, PARTIAL_REID, pictures)
    for layout, folder in (("partial-reid", "occluded"), ("partial-reid-cropped", "partial")):
        dataset = open_dataset(tmp_path, layout)
        assert dataset.name == dataset.protocol.name == layout
        assert {s.path.parent.name for s in dataset.query} == {f"{folder}_body_images"}
        assert said(dataset.query)[0] == ("001_001.jpg", "001", folder)
        assert matches(dataset) == [2] * 4
        assert dataset.expected.query_images == 300
        assert dataset.protocol.ranks == (1, 3)
    quirk = read_partial_reid(tmp_path, "cropped", cameras="index")
    assert quirk.protocol.ranks == (1, 3)
    assert said(quirk.query)[0] == ("001_001.jpg", "001", "001")
    assert matches(quirk) == [1] * 4
    with pytest.raises(UsageError, match='query must be "occluded" or "cropped"'):
        read_partial_reid(tmp_path, "partial")


def test_partial_ilids_numbers_meet(tmp_path, pictures):
    lay(tmp_path, PARTIAL_ILIDS, pictures)
    cropped, uncropped = open_dataset(tmp_path, "partial-ilids"), open_dataset(tmp_path, "partial-ilids-uncropped")
    assert cropped.protocol.ranks == uncropped.protocol.ranks == (1, 3)
    assert said(cropped.query) == [("1.jpg", "1", "partial"), ("2.jpg", "2", "partial")]
    assert said(uncropped.query)[0] == ("001.jpg", "1", "partial"), "001 and 1 are one person"
    assert matches(cropped) == matches(uncropped) == [1, 1]
    assert uncropped.expected.gallery_persons == 119
    with pytest.raises(UsageError, match='query must be "cropped" or "uncropped"'):
        read_partial_ilids(tmp_path, "whole")


def test_the_folder_names_of_the_common_archive(tmp_path, pictures):
    lay(tmp_path, ["query/001_001.jpg", "gallery/001_002.jpg"], pictures)
    for layout in ("partial-ilids", "occluded-reid"):
        assert matches(open_dataset(tmp_path, layout)) == [1]


def test_partial_sets_without_their_folders(tmp_path, pictures):
    lay(tmp_path, ["whole_body_images/001_001.jpg", "Gallery/1.jpg"], pictures)
    with pytest.raises(DataError, match="occluded_body_images: there is no such folder"):
        open_dataset(tmp_path, "partial-reid")
    with pytest.raises(DataError, match="has its cropped images in Probe or query, which is not there"):
        open_dataset(tmp_path, "partial-ilids")


def test_p_duke_counts_kinds_as_cameras(tmp_path, pictures):
    dataset = open_dataset(lay(tmp_path, P_DUKE, pictures))
    assert dataset.name == "p-dukemtmc"
    assert said(dataset.train) == [
        ("0001_c2_f0046182.jpg", "0001", "occluded"),
        ("0001_c2_f0046182.jpg", "0001", "whole"),
    ]
    assert matches(dataset) == [1], "although the names say the same camera"
    assert LAYOUTS["p-dukemtmc"].withdrawn
    e = dataset.expected
    assert (e.train_images + e.query_images + e.gallery_images, e.train_persons + e.query_persons) == (24_143, 1_299)
    (tmp_path / P_DUKE[0]).unlink()
    with pytest.raises(DataError, match="expected images, found none"):
        open_dataset(tmp_path)


# -- CUHK03-NP, MSMT17 ------------------------------------------------------------------------------------------------


def test_cuhk03_np_by_kind_of_box(tmp_path, pictures):
    lay(tmp_path, CUHK03, pictures)
    for boxes, train in (("detected", 7_365), ("labeled", 7_368)):
        dataset = open_dataset(tmp_path, f"cuhk03-np-{boxes}")
        assert dataset.root == tmp_path
        assert dataset.query[0].path == tmp_path / boxes / "query" / "0003_c1_1.png"
        assert said(dataset.gallery) == [("0003_c2_7.png", "0003", "2")]
        assert dataset.expected.train_images == train
        assert matches(dataset) == [1]
        assert open_dataset(tmp_path / boxes).name == f"cuhk03-np-{boxes}", "the inner folder will do"
    with pytest.raises(DataError, match="in a folder labeled; it is not there"):
        open_dataset(tmp_path / "detected" / "query", "cuhk03-np-labeled")


@pytest.mark.parametrize(
    ("layout", "folders"), [("msmt17", ("train", "test")), ("msmt17-v2", ("mask_train_v2", "mask_test_v2"))]
)
def test_msmt17_by_its_lists(tmp_path, pictures, layout, folders):
    dataset = open_dataset(msmt17(tmp_path, pictures, folders))
    assert dataset.name == layout
    assert [(s.person, s.camera) for s in dataset.train] == [("0", "1"), ("0", "14")]
    assert said(dataset.query) == [("0000_000_02_0114afternoon_0009_1.jpg", "0", "2")]
    assert matches(dataset) == [1]
    assert dataset.expected == Counts(32_621, 1_041, 11_659, 3_060, 82_161, 3_060)
    assert LAYOUTS[layout].separate_ids
    alone = read_msmt17(tmp_path, "v1" if layout == "msmt17" else "v2", validation=False)
    assert len(alone.train) == 1
    assert alone.expected.train_images is None
    with pytest.raises(UsageError, match="version must be one of v1, v2"):
        read_msmt17(tmp_path, "v3")
    (tmp_path / folders[1]).rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=f"no {folders[1]}"):
        open_dataset(tmp_path, layout)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("list_query.txt", None, "list_query.txt: MSMT17 needs this list"),
        ("list_query.txt", "", "the file is empty"),
        ("list_query.txt", "\n", "list_query.txt:1: expected 0000/0000_000_01"),
        ("list_query.txt", MSMT17_LISTS["list_query.txt"] * 2, "list_query.txt:2: .* already listed in .*list_query.txt:1"),
        ("list_query.txt", "0000/0000_007_01_0303noon_0001_0.jpg 0\n", "list_query.txt:1: there is no image"),
        ("list_query.txt", "../../0000_007_01_0303noon_0001_0.jpg 0\n", "list_query.txt:1: expected"),
        ("list_query.txt", "/etc/0000_007_01_0303noon_0001_0.jpg 0\n", "list_query.txt:1: expected"),
        ("list_query.txt", "0000/0000_007_01_0303noon_0001_0.jpg zero\n", "list_query.txt:1: expected"),
        ("list_val.txt", MSMT17_LISTS["list_train.txt"], "list_val.txt:1: .* already listed in .*list_train.txt:1"),
        ("list_gallery.txt", b"\xff", "cannot be read"),
    ],
)  # fmt: skip
def test_a_damaged_list_is_named_by_line(tmp_path, pictures, file, text, message):
    msmt17(tmp_path, pictures)
    if text is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path)


# -- recognition ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "layouts"),
    [
        (OCCLUDED_REID, "occluded-reid, occluded-reid-half"),
        (OCCLUDED_REID_RENAMED, "occluded-reid, occluded-reid-half"),
        (PARTIAL_REID, "partial-reid-cropped, partial-reid"),
        (PARTIAL_ILIDS, "partial-ilids, partial-ilids-uncropped"),
        (CUHK03, "cuhk03-np-detected, cuhk03-np-labeled"),
        ((*CUHK03[:4], *P_DUKE), "cuhk03-np-detected, p-dukemtmc"),
        (("query/001_01.jpg", "gallery/001_02.jpg"), "occluded-reid, partial-ilids"),
        ([name.removeprefix("detected/") for name in CUHK03[:4]], "cuhk03-np-detected, cuhk03-np-labeled"),
    ],
)
def test_what_fits_several_layouts_names_them(tmp_path, pictures, names, layouts):
    with pytest.raises(DataError, match=f"fits 2 layouts, .*; name the layout: {re.escape(layouts)}$"):
        open_dataset(lay(tmp_path, names, pictures))


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        ([name for name in PARTIAL_REID if "partial" not in name], "partial-reid"),
        ([name for name in PARTIAL_REID if "occluded" not in name], "partial-reid-cropped"),
        ([name for name in PARTIAL_ILIDS if "nocrop" not in name], "partial-ilids"),
        ([name for name in PARTIAL_ILIDS if "Probe/" not in name], "partial-ilids-uncropped"),
        (CUHK03[:4], "cuhk03-np-detected"),
        (CUHK03[4:], "cuhk03-np-labeled"),
        (P_DUKE, "p-dukemtmc"),
    ],
)
def test_what_fits_one_layout_is_recognised(tmp_path, pictures, names, layout):
    assert open_dataset(lay(tmp_path, names, pictures)).name == layout


def test_what_fits_none_says_what_is_there(tmp_path, pictures):
    lay(tmp_path, [f"inner/{name}" for name in P_DUKE], pictures)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"looked for .*; found inner/, notes.txt; did you mean .*inner\?"):
        open_dataset(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder is empty"):
        open_dataset(tmp_path / "empty")
    lay(tmp_path / "own", ["query/ann/1.jpg", "gallery/ann/1.jpg"], pictures)
    with pytest.raises(DataError, match="no known layout"):
        open_dataset(tmp_path / "own")
    with pytest.raises(DataError, match="is LIP, which is for human parsers"):
        open_dataset(lip(tmp_path / "lip", pictures))


# -- several training sets --------------------------------------------------------------------------------------------


def test_joined_persons_and_cameras_never_meet(tmp_path, pictures):
    market = open_dataset(lay(tmp_path / "market", MARKET, pictures))
    again = open_dataset(lay(tmp_path / "again", MARKET, pictures))
    msmt = open_dataset(msmt17(tmp_path / "msmt", pictures))
    joined = join_training(market, msmt, again)
    assert len(joined) == 4 + 2 + 4
    assert {s.person for s in joined} == {
        "market1501:0002", "market1501:0007", "msmt17:0", "market1501.2:0002", "market1501.2:0007",
    }  # fmt: skip
    assert {s.camera for s in joined} == {
        "market1501:1", "market1501:2", "msmt17:1", "msmt17:14", "market1501.2:1", "market1501.2:2",
    }  # fmt: skip
    assert joined[0].path == market.train[0].path
    assert joined[0].time == market.train[0].time


def test_one_set_is_trained_on_and_another_evaluated(tmp_path, pictures):
    market = open_dataset(lay(tmp_path / "market", MARKET, pictures))
    occluded = open_dataset(lay(tmp_path / "occluded", OCCLUDED_REID, pictures), "occluded-reid")
    dataset = with_training(occluded, market)
    assert (dataset.name, dataset.root, dataset.protocol) == ("occluded-reid", occluded.root, occluded.protocol)
    assert (dataset.query, dataset.gallery) == (occluded.query, occluded.gallery)
    assert [s.person for s in dataset.train] == ["market1501:0002"] * 2 + ["market1501:0007"] * 2
    assert dataset.roots == (occluded.root, market.root)
    assert dataset.expected == Counts(None, None, 1_000, 200, 1_000, 200)
    both = with_training(market, market, open_dataset(lay(tmp_path / "more", MARKET, pictures)))
    assert both.roots == (market.root, tmp_path / "more")
    assert len(both.train) == 8


def test_the_checksum_tells_worlds_apart_whose_files_have_the_same_names(tmp_path):
    sums = []
    for visible in (0.4, 0.5, None):
        samples = tuple(
            Sample(tmp_path / f"{i}.jpg", str(i), "1", visible_fraction=visible, obstacle=None) for i in range(2)
        )
        sums.append(ReidDataset("world", tmp_path, samples, (), (), Protocol("p")).checksum())
    assert len(set(sums)) == 3


def test_the_checksum_of_a_joined_set_does_not_know_where_it_lies(tmp_path, pictures):
    sums = []
    for place in ("here", "there"):
        market = open_dataset(lay(tmp_path / place / "market", MARKET, pictures))
        occluded = open_dataset(lay(tmp_path / place / "occluded", OCCLUDED_REID, pictures), "occluded-reid")
        sums.append(with_training(occluded, market).checksum())
        assert sums[-1] not in (market.checksum(), occluded.checksum())
    assert sums[0] == sums[1]


def test_what_cannot_be_joined(tmp_path, pictures):
    market = open_dataset(lay(tmp_path / "market", MARKET, pictures))
    occluded = open_dataset(lay(tmp_path / "occluded", OCCLUDED_REID, pictures), "occluded-reid")
    with pytest.raises(UsageError, match="at least one training set"):
        with_training(market)
    with pytest.raises(UsageError, match="is given twice"):
        join_training(market, market)
    with pytest.raises(DataError, match="the layout 'occluded-reid' has no training images"):
        join_training(market, occluded)


def test_each_folder_has_its_own_cues(tmp_path, pictures):
    market = open_dataset(lay(tmp_path / "market", MARKET, pictures))
    inner = open_dataset(lay(tmp_path / "market" / "more", MARKET, pictures))
    for dataset, label in ((market, 1), (inner, 2)):
        for sample in dataset.train:
            to = dataset.root / "parts" / sample.path.relative_to(dataset.root).with_suffix(".png")
            to.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (32, 64), label).save(to)
    joined = with_training(market, market, inner)
    source = sources_for_dataset(joined, ["part_map"], joined.train)
    assert isinstance(source, RootedSources)
    assert source(market.train[0], (64, 32)).part_map[0].min() == 1
    assert source(inner.train[0], (64, 32)).part_map[1].min() == 1, "the innermost folder counts"
    assert torch.equal(source(joined.train[-1], (64, 32)).part_map, source(inner.train[-1], (64, 32)).part_map)
    with pytest.raises(DataError, match="is below none of"):
        source(Sample(tmp_path / "elsewhere.jpg", "1", "1"), (64, 32))
    assert sources_for_dataset(joined, [], joined.train) is None
    alone = sources_for_dataset(market, ["part_map"], market.train)
    assert alone(market.train[0], (64, 32)).part_map[0].min() == 1
    with pytest.raises(MissingCueError, match=re.escape(str(inner.root / "pose"))):
        sources_for_dataset(joined, ["keypoints"], joined.train)


# -- sets for parsers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nested", [False, True])
def test_lip_as_its_archives_unpack(tmp_path, pictures, nested):
    lip(tmp_path, pictures)
    if nested:
        for name in ("TrainVal_images", "TrainVal_parsing_annotations"):
            (tmp_path / name).rename(tmp_path / "kept")
            (tmp_path / name).mkdir()
            (tmp_path / "kept").rename(tmp_path / name / name)
    dataset = read_lip(str(tmp_path))
    assert dataset.name == "lip"
    (train,), (validation,) = dataset.train, dataset.validation
    assert train.image.name == "77_471474.jpg"
    assert validation.label_file.name == "36_454991.png"
    labels = train.read_labels((64, 32))
    assert labels.shape == (64, 32)
    assert labels.dtype == np.uint8
    assert labels[5].tolist() == [x % 20 for x in range(32)]


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("TrainVal_images/train_images", None, "LIP has TrainVal_images/train_images and"),
        ("TrainVal_parsing_annotations/val_segmentations", None, "val_segmentations: there is no such folder"),
        ("TrainVal_images/train_id.txt", None, "train_id.txt: LIP needs this list"),
        ("TrainVal_images/train_id.txt", "", "expected an id a line, the file is empty"),
        ("TrainVal_images/train_id.txt", "../secret\n", "train_id.txt:1: expected an id like 77_471474"),
        ("TrainVal_images/train_id.txt", "77_471474\n77_471474\n", "train_id.txt:2: 77_471474 was already listed in line 1"),
        ("TrainVal_images/train_id.txt", "1_1\n", "train_id.txt:1: there is no image of 1_1"),
        ("TrainVal_images/val_id.txt", b"\xff", "val_id.txt: cannot be read"),
        (LIP[3], None, "val_id.txt:1: there is no file of labels of 36_454991"),
    ],
)  # fmt: skip
def test_a_wrong_lip_is_named(tmp_path, pictures, path, text, message):
    lip(tmp_path, pictures)
    if text is None:
        (tmp_path / path).rename(tmp_path / "moved")
    else:
        (tmp_path / path).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        read_lip(tmp_path)


def test_wrong_labels_are_named(tmp_path, pictures):
    Image.new("L", (32, 64), 20).save(tmp_path / "beyond.png")
    Image.new("RGB", (32, 64)).save(tmp_path / "colours.png")
    palette = Image.new("L", (32, 64), 19)
    palette.putpalette([value for label in range(20) for value in (label * 10, 255 - label, label)])
    palette.save(tmp_path / "palette.png")
    for name, size, message in (
        ("beyond", None, "expected labels from 0 to 19, found 20"),
        ("colours", None, "expected a single-channel 8-bit PNG of labels, got mode RGB"),
        ("palette", (32, 64), r"\(height, width\) = \(32, 64\), got \(64, 32\)"),
        ("none", None, "there is no such image"),
    ):
        with pytest.raises(DataError, match=message):
            ParsingSample(pictures[0], tmp_path / f"{name}.png").read_labels(size)
    assert ParsingSample(pictures[0], tmp_path / "palette.png").read_labels((64, 32)).max() == 19


def test_a_rendered_world_is_read_for_parsers(tmp_path, pictures):
    lay(tmp_path, MARKET, pictures)
    with pytest.raises(DataError, match="parsing/bounding_box_train: there is no such folder of labels; render"):
        read_parsing_world(tmp_path)
    for name in MARKET:
        to = (tmp_path / "parsing" / name).with_suffix(".png")
        to.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (32, 64), 5).save(to)
    dataset = read_parsing_world(str(tmp_path))
    assert [s.image.parent.name for s in dataset.train] == ["bounding_box_train"] * 4
    assert [s.image.parent.name for s in dataset.validation] == ["bounding_box_test"] * 4 + ["query"] * 2
    assert dataset.validation[-1].label_file == tmp_path / "parsing/query/0003_c2s1_001151_00.png"
    assert dataset.validation[-1].read_labels((64, 32)).max() == 5
    dataset.train[0].label_file.unlink()
    with pytest.raises(DataError, match=r"has no labels in .*parsing/bounding_box_train; render the world again"):
        read_parsing_world(tmp_path)
    for path in (tmp_path / "query").iterdir():
        path.unlink()
    for path in (tmp_path / "bounding_box_test").iterdir():
        path.unlink()
    dataset.train[0].image.unlink()
    with pytest.raises(DataError, match="a rendered world has images in each of"):
        read_parsing_world(tmp_path)


def test_every_published_set_is_written_down():
    for name, layout in LAYOUTS.items():
        if layout.expected is not None:
            assert layout.withdrawn or layout.terms, name
    assert [name for name, layout in LAYOUTS.items() if layout.withdrawn] == ["dukemtmc", "occluded-duke", "p-dukemtmc"]
    assert all("withdrawn" in layout.description for layout in LAYOUTS.values() if layout.withdrawn)


def test_every_reader_hands_out_sorted_samples(tmp_path, pictures):
    trees = {
        "occluded-reid-half": OCCLUDED_REID, "partial-reid": PARTIAL_REID, "p-dukemtmc": P_DUKE, "cuhk03-np-labeled": CUHK03,
    }  # fmt: skip
    for layout, names in trees.items():
        dataset = open_dataset(lay(tmp_path / layout, names, pictures), layout)
        for samples in (dataset.train, dataset.query, dataset.gallery):
            paths = [sample.path.as_posix() for sample in samples]
            assert paths == sorted(paths)
            assert all(isinstance(path, Path) and path.is_file() for path in (s.path for s in samples))
