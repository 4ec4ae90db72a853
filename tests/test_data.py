"""Readers, images and loaders, on trees of tiny images."""

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from occlureid.cues import PoseFolder
from occlureid.data import (
    LAYOUTS,
    BalancedBatches,
    Compose,
    HorizontalFlip,
    OrderedBatches,
    PadCrop,
    RandomErasing,
    ReidImages,
    ShuffledBatches,
    Tally,
    box_folders,
    images,
    label_map,
    make_loader,
    open_dataset,
    read_image,
)
from occlureid.data.dataset import Counts
from occlureid.errors import DataError, SettingsError, UsageError
from occlureid.types import Cues, Sample

TRAIN, QUERY, GALLERY = box_folders.SPLIT_FOLDERS
MARKET = {
    TRAIN: ["0002_c1s1_000451_03.jpg", "0002_c2s1_000801_01.jpg", "0007_c3s3_077419_03.jpg"],
    QUERY: ["0001_c1s1_001051_00.jpg"],
    GALLERY: ["0001_c2s1_000301_00.jpg", "0000_c1s1_000151_01.jpg", "-1_c1s1_000401_03.jpg.jpg"],
}
DUKE = {
    TRAIN: ["0001_c2_f0046182.jpg"],
    QUERY: ["0005_c2_f0046985.jpg"],
    GALLERY: ["0005_c5_f0051341.jpg", "0003_c1_f0044158.jpg"],
}
fork_in_threads = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
few_cores = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


def paint(path: Path, size=(4, 8), mode="RGB", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path, **options)
    return path


def tree(root: Path, names: dict[str, list[str]]) -> Path:
    for folder, files in names.items():
        for name in files:
            paint(root / folder / name)
    return root


def changed(names: dict[str, list[str]], folder: str, *files: str) -> dict[str, list[str]]:
    return {**names, folder: [*names[folder], *files]}


# -- the layouts of the field -----------------------------------------------------------------------------------------


def test_market_is_recognised_and_read(tmp_path):
    (tree(tmp_path, MARKET) / QUERY / "Thumbs.db").touch()
    dataset = open_dataset(tmp_path)
    assert dataset.name == "market1501"
    first = dataset.train[0]
    assert (first.person, first.camera, first.time, first.path.name) == ("0002", "1", 451, "0002_c1s1_000451_03.jpg")
    assert [s.person for s in dataset.gallery] == ["-1", "0000", "0001"], "sorted by path"
    assert dataset.protocol.junk == ("-1",)
    assert dataset.protocol.ignore == "same_camera"
    assert dataset.protocol.average_precision == "hits"
    assert dataset.counts() == Counts(3, 2, 1, 1, 3, 2), "junk is counted among the images, not among the persons"
    assert dataset.expected == Counts(12_936, 751, 3_368, 750, 19_732, 751)
    with pytest.raises(DataError, match="expected 12936 train images, found 3"):
        dataset.check_counts()


def test_duke_is_recognised_and_read(tmp_path):
    dataset = open_dataset(str(tree(tmp_path, DUKE)))
    assert dataset.name == "dukemtmc"
    assert (dataset.query[0].person, dataset.query[0].camera, dataset.query[0].time) == ("0005", "2", 46985)
    assert dataset.protocol.junk == ()
    assert dataset.expected == Counts(16_522, 702, 2_228, 702, 17_661, 1_110)


def test_occluded_duke_is_taken_when_named_or_when_its_counts_fit(tmp_path, monkeypatch):
    tree(tmp_path, DUKE)
    named = open_dataset(tmp_path, layout="occluded-duke")
    assert named.name == "occluded-duke"
    assert named.protocol.average_precision == "trapezoid"
    assert named.protocol.ignore == "same_camera", "1,870 queries are in the gallery too"
    assert (named.expected.train_images, named.expected.query_images, named.expected.query_persons) == (
        15_618,
        2_210,
        519,
    )
    assert open_dataset(tmp_path).name == "dukemtmc"
    monkeypatch.setattr(box_folders, "OCCLUDED_DUKE_COUNTS", Counts(1, 1, 1, 1, 2, 2))
    assert open_dataset(tmp_path).name == "occluded-duke"


def test_own_data_in_the_market_layout_needs_only_person_and_camera(tmp_path):
    names = {TRAIN: ["12_c3.png", "12_c11_x.jpg"], QUERY: ["7_c1s2_000009_00.png"], GALLERY: ["7_c2 (copy).jpg"]}
    dataset = open_dataset(tree(tmp_path, names), layout="market1501")
    assert [(s.person, s.camera, s.time) for s in (*dataset.train, *dataset.query)] == [
        ("12", "11", None), ("12", "3", None), ("7", "1", 9),
    ]  # fmt: skip
    with pytest.raises(DataError, match="cannot tell the layout"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("names", "layout", "message"),
    [
        ({QUERY: MARKET[QUERY]}, "auto", "looked for bounding_box_train"),
        ({"inner/" + k: v for k, v in MARKET.items()}, "auto", r"did you mean .*inner\?"),
        ({**MARKET, **{k: MARKET[k] + DUKE[k] for k in (TRAIN,)}}, "auto", "cannot tell the layout"),
        ({QUERY: MARKET[QUERY]}, "market1501", "there is no bounding_box_train"),
        (changed(MARKET, QUERY, "portrait.jpg"), "market1501", "1 of 2 files are named otherwise, first: portrait.jpg"),
        (changed(MARKET, QUERY, "0001_c.jpg"), "auto", "first: 0001_c.jpg"),
        (DUKE, "market1501", "names files like 0002_c1s1_000451_03.jpg; 1 of 1"),
        (MARKET, "dukemtmc", "names files like 0002_c1_f0044158.jpg; 3 of 3"),
        (changed(MARKET, TRAIN, "-1_c1s1_000401_03.jpg"), "market1501", "cannot be trained on; 1 images"),
        (MARKET, "synthetic", "needs this file"),
        (MARKET, "folder", "the layout 'folder' has train, query, gallery"),
        (MARKET, "csv", "expected a CSV file, got a folder"),
    ],
)
def test_what_is_no_dataset_is_named(tmp_path, names, layout, message):
    for folder in names:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    with pytest.raises(DataError, match=message):
        open_dataset(tree(tmp_path, names), layout)


def test_both_kinds_of_folders_are_ambiguous(tmp_path):
    tree(tmp_path, MARKET)
    for split in ("train", "gallery"):
        (tmp_path / split).mkdir()
    with pytest.raises(DataError, match="name the layout"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, "market1501").name == "market1501"


def test_an_empty_split_and_a_missing_path(tmp_path):
    tree(tmp_path, MARKET)
    (tmp_path / QUERY / MARKET[QUERY][0]).unlink()
    with pytest.raises(DataError, match="query: expected images, found none"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        open_dataset(tmp_path / "nothing")
    with pytest.raises(DataError, match="expected a folder"):
        open_dataset(paint(tmp_path / "image.jpg"))
    with pytest.raises(UsageError, match="no layout 'market'; choose auto or one of: market1501, dukemtmc"):
        open_dataset(tmp_path, layout="market")


@pytest.mark.parametrize("stranger", ["notes.txt", "0001_c1s1_001051_01.gif", "folder/0001_c1s1_001051_01.jpg"])
def test_a_file_that_is_no_image_is_not_passed_over(tmp_path, stranger):
    tree(tmp_path, MARKET)
    (tmp_path / QUERY / stranger).parent.mkdir(exist_ok=True)
    (tmp_path / QUERY / stranger).touch()
    with pytest.raises(DataError, match=f"1 other entries, first: {stranger.split('/')[0]}"):
        open_dataset(tmp_path, "market1501")


def test_layouts_describe_themselves():
    assert set(LAYOUTS) == {
        "market1501", "dukemtmc", "occluded-duke", "p-dukemtmc", "occluded-reid", "occluded-reid-half",
        "partial-reid", "partial-reid-cropped", "partial-ilids", "partial-ilids-uncropped",
        "cuhk03-np-detected", "cuhk03-np-labeled", "msmt17", "msmt17-v2", "synthetic", "folder", "csv",
    }  # fmt: skip
    for name, layout in LAYOUTS.items():
        assert layout.name == name
        assert layout.description


# -- a rendered world -------------------------------------------------------------------------------------------------


def truth(names=MARKET, **changes) -> str:
    lines = [
        {"path": f"{folder}/{file}", "visible_fraction": 0.5, "obstacle": "car", "ray": [1]} | changes
        for folder, files in names.items()
        for file in files
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_a_rendered_world_brings_its_truth(tmp_path):
    tree(tmp_path, MARKET)
    (tmp_path / "truth.jsonl").write_text(truth())
    for layout in ("auto", "market1501", "synthetic"):
        dataset = open_dataset(tmp_path, layout)
        assert dataset.name == "synthetic"
        assert dataset.expected is None
        assert all((s.visible_fraction, s.obstacle) == (0.5, "car") for s in (*dataset.train, *dataset.gallery))
    dataset.check_counts()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"does not describe images that are there \(7, first: bounding_box_test/-1"),
        (truth() + '{"path": "query/none.jpg"}', "describes images that are not there .*query/none.jpg"),
        (truth() + truth(), ":8: .* already described in line 1"),
        (truth(person="0008"), "person '0008' contradicts the file name"),
        (truth(visible_fraction=1.5), ":1: visible_fraction must be"),
        (truth(visible_fraction="half"), ":1: visible_fraction must be"),
        (truth(visible_fraction=float("nan")), ":1: visible_fraction must be"),
        (truth(visible_fraction=True), ":1: visible_fraction must be"),
        (truth(obstacle=["car"]), ":1: obstacle must be text"),
        (truth() + "{\n", ":8: expected one JSON object"),
        (truth() + "[1]\n", ":8: expected a JSON object"),
        (truth() + "[" * 100_000 + "\n", ":8: expected one JSON object"),
    ],
)
def test_a_damaged_truth_is_named_by_line(tmp_path, text, message):
    tree(tmp_path, MARKET)
    (tmp_path / "truth.jsonl").write_text(text)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path)


# -- data of one's own ------------------------------------------------------------------------------------------------


def own_tree(root: Path, gallery_camera="side") -> Path:
    for split, person, camera in (
        ("train", "ann", "front"),
        ("query", "bo", "front"),
        ("gallery", "bo", gallery_camera),
    ):
        paint(root / split / person / camera / "any name.png")
    return root


def test_a_folder_of_ones_own(tmp_path, caplog):
    dataset = open_dataset(own_tree(tmp_path))
    assert dataset.name == "folder"
    assert (dataset.gallery[0].person, dataset.gallery[0].camera) == ("bo", "side")
    assert dataset.protocol.ignore == "same_camera"
    assert not caplog.records


def test_one_camera_changes_the_protocol_and_says_so(tmp_path, caplog):
    dataset = open_dataset(own_tree(tmp_path, gallery_camera="front"))
    assert dataset.protocol.ignore == "same_image"
    assert dataset.protocol.name == "folder, one camera"
    assert "one camera (front)" in caplog.text


def test_files_out_of_place_in_a_folder_of_ones_own(tmp_path):
    paint(own_tree(tmp_path) / "query" / "bo" / "a.jpg")
    with pytest.raises(DataError, match="expected only folders, found 1 files, first: a"):
        open_dataset(tmp_path)


def write_csv(root: Path, text: str, encoding="utf-8") -> Path:
    for name in "abc":
        paint(root / "pictures" / f"{name}.png")
    (root / "data.csv").write_text(text, encoding=encoding)
    return root / "data.csv"


HEADER = "path,person,camera,split\n"
ROWS = "pictures/a.png,1,x,train\npictures/b.png,2,x,query\npictures/c.png,2,y,gallery\n"


def test_a_csv_of_ones_own(tmp_path):
    text = (
        "split,path,person,camera,time,visible_fraction,obstacle\n"
        'train,pictures/a.png,"Doe, Jane",x,5,0.25,car\nquery,pictures/b.png,2,x,,,\n\n'
        "gallery,pictures/b.png,2,x,,,\ngallery,pictures/c.png,2,y,,1,\n"
    )
    dataset = open_dataset(write_csv(tmp_path, text, "utf-8-sig"))
    assert dataset.train == (Sample(tmp_path / "pictures/a.png", "Doe, Jane", "x", 5, 0.25, "car"),)
    assert len(dataset.gallery) == 2, "an image may be query and gallery"
    assert dataset.gallery[1].visible_fraction == 1.0
    assert dataset.root == tmp_path
    assert dataset.name == "csv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "data.csv:1: expected the columns path, person, camera, split, .* got nothing"),
        ("path,person,split\n", "data.csv:1: expected the columns"),
        ("path,person,camera,split,colour\n", "data.csv:1: expected the columns"),
        ("path,person,camera,split,path\n", "data.csv:1: expected the columns"),
        (HEADER + ROWS.replace("train", "test"), "data.csv:2: split must be one of train, query, gallery, got 'test'"),
        (HEADER + ROWS + "pictures/a.png,1,x\n", "data.csv:5: expected 4 fields, got 3"),
        (HEADER + ROWS + "pictures/z.png,1,x,train\n", "data.csv:5: there is no image pictures/z.png"),
        (HEADER + ROWS + "pictures/a.png,1,x,train\n", r"data.csv:5: pictures/a.png is already in line 2 \(train\)"),
        (HEADER + ROWS + "pictures/a.png,1,x,query\n", r"data.csv:5: pictures/a.png is already in line 2 \(train\)"),
        (HEADER + ROWS + "pictures/b.png,3,x,gallery\n", "data.csv:5: .* another person or camera in line 3"),
        (HEADER + ROWS + "pictures/b.png,,x,gallery\n", "data.csv:5: person must be text, got ''"),
        (HEADER + ROWS + "pictures/\0.png,1,x,gallery\n", "data.csv"),
        (HEADER + ROWS.replace(",1,x", ",-1,x"), "cannot be trained on"),
        (HEADER + ROWS.replace("query", "train"), "the split 'query' has no image"),
        (HEADER + '"' + ROWS, "is not a CSV file in UTF-8: unexpected end of data"),
        ("path,person,camera,split,time\n" + "pictures/a.png,1,x,train,noon\n", "data.csv:2: time must be"),
        (
            "path,person,camera,split,visible_fraction\n" + "pictures/a.png,1,x,train,nan\n",
            "data.csv:2: visible_fraction",
        ),
    ],
)
def test_a_damaged_csv_is_named_by_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        open_dataset(write_csv(tmp_path, text))


def test_a_csv_in_another_encoding(tmp_path):
    with pytest.raises(DataError, match="UTF-8"):
        open_dataset(write_csv(tmp_path, HEADER + ROWS.replace(",1,", ",é,"), "latin-1"), "csv")


# -- images -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "I;16"])
def test_any_mode_becomes_rgb(tmp_path, mode):
    image = read_image(paint(tmp_path / "a.png", (5, 7), mode))
    assert (image.mode, image.size) == ("RGB", (5, 7))


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("CMYK", "jpg"), ("CMYK", "tif"), ("I", "tif"), ("YCbCr", "jpg"), ("RGB", "webp"), ("L", "bmp")],
)
def test_other_formats_become_rgb(tmp_path, mode, suffix):
    assert read_image(paint(tmp_path / f"a.{suffix}", mode=mode)).mode == "RGB"


def test_sixteen_bits_are_scaled_and_transparency_is_dropped(tmp_path):
    values = np.array([[0, 65_535], [32_896, 257]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "grey.png")
    assert np.asarray(read_image(tmp_path / "grey.png"))[..., 0].tolist() == [[0, 255], [128, 1]]
    Image.new("RGBA", (2, 2), (10, 20, 30, 0)).save(tmp_path / "clear.png")
    assert read_image(tmp_path / "clear.png").getpixel((0, 0)) == (10, 20, 30)
    palette = Image.new("P", (2, 2))
    palette.putpalette([1, 2, 3, 4, 5, 6])
    palette.save(tmp_path / "palette.png", transparency=bytes([0, 255]))
    assert read_image(tmp_path / "palette.png").getpixel((0, 0)) == (1, 2, 3)


def test_exif_orientation_is_honoured(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    paint(tmp_path / "a.jpg", (6, 4), exif=exif)
    assert read_image(tmp_path / "a.jpg").size == (4, 6)


def test_damaged_images_are_named(tmp_path):
    whole = paint(tmp_path / "whole.jpg", (64, 64)).read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    cases = {
        "half.jpg": whole[: len(whole) // 2],
        "half.png": (tmp_path / "noise.png").read_bytes()[:4000],
        "empty.jpg": b"",
        "text.jpg": b"not an image",
        "page.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: cannot be read as an image"):
            read_image(tmp_path / name)
    with pytest.raises(DataError, match="jpg: there is no such image"):
        read_image(tmp_path / "none.jpg")
    Image.fromarray(np.ones((2, 2), dtype=np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(DataError, match="tif: floating-point"):
        read_image(tmp_path / "float.tif")
    Image.fromarray(np.full((2, 2), 70_000, dtype=np.int32)).save(tmp_path / "deep.tif")
    with pytest.raises(DataError, match="tif: grey values from 70000"):
        read_image(tmp_path / "deep.tif")


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 99)
    with pytest.raises(DataError, match="10 x 10 pixels; at most 99"):
        read_image(paint(tmp_path / "a.png", (10, 10)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # Pillow's own limit: an error from twice that on
    with pytest.raises(DataError, match="png: cannot be read"):
        read_image(tmp_path / "a.png")


# -- loaders ----------------------------------------------------------------------------------------------------------


def people(root: Path, number=6) -> list[Sample]:
    """Images of one grey value each, two of each person."""
    samples = []
    for index in range(number):
        path = root / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 8), (index * 10,) * 3).save(path)
        samples.append(Sample(path, f"person{index // 2}", str(index % 2)))
    return samples


AUGMENT = Compose((HorizontalFlip(), PadCrop(2), RandomErasing(fill="random")))


@fork_in_threads
@few_cores
def test_batches_are_the_same_with_and_without_workers_and_after_resuming(tmp_path):
    samples = people(tmp_path)
    labels = label_map(samples)

    def run(workers, epoch, start_step=0):
        data = ReidImages(samples, size=(16, 8), labels=labels, augment=AUGMENT, cues=constant_cues, seed=3)
        loader = make_loader(data, ShuffledBatches(6, 2, seed=3), workers=workers)
        loader.set_epoch(epoch, start_step)
        assert len(loader) == 3 - start_step
        return list(loader)

    alone, helped, resumed, other = run(0, 1), run(2, 1), run(0, 1, 2), run(0, 2)
    for one, two in zip(alone, helped, strict=True):
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.labels, two.labels)
        assert torch.equal(one.cues.keypoints, two.cues.keypoints)
    assert torch.equal(alone[2].images, resumed[0].images)
    assert not torch.equal(torch.cat([b.images for b in alone]), torch.cat([b.images for b in other]))
    assert alone[0].images.shape == (2, 3, 16, 8)
    assert sorted(torch.cat([b.indices for b in alone]).tolist()) == list(range(6))
    assert all(labels[samples[i].person] == label for b in alone for i, label in zip(b.indices, b.labels, strict=True))


def constant_cues(sample: Sample, size: tuple[int, int]) -> Cues:
    assert size == (8, 4)
    keypoints = torch.ones(18, 3) * torch.tensor([1.0, 6.0, 0.5])
    return Cues(keypoints=keypoints, foreground=torch.ones(size))


@fork_in_threads
@few_cores
def test_workers_serve_several_epochs(tmp_path):
    samples = people(tmp_path)
    batches = BalancedBatches([s.person for s in samples], 2, 2, seed=1)
    loader = make_loader(ReidImages(samples, size=(8, 4), seed=1), batches, workers=2)
    seen = []
    for epoch in range(3):
        loader.set_epoch(epoch)
        seen.append([b.indices.tolist() for b in loader])
    assert seen == [batches.batches(epoch) for epoch in range(3)]
    assert loader.tally.images == 12
    for _ in loader:
        break
    assert not multiprocessing.active_children(), "leaving an epoch early stops the workers"
    assert len(list(loader)) == 1


def test_the_global_generator_is_left_alone(tmp_path):
    state = torch.random.get_rng_state()
    numpy_state = np.random.get_state()[1].tolist()
    samples = people(tmp_path)
    list(make_loader(ReidImages(samples, size=(8, 4), augment=AUGMENT), ShuffledBatches(6, 2)))
    assert torch.equal(state, torch.random.get_rng_state())
    assert numpy_state == np.random.get_state()[1].tolist()


def test_describing_keeps_the_order_and_the_pixels(tmp_path):
    samples = people(tmp_path, 5)
    got = list(make_loader(ReidImages(samples, size=(8, 4)), OrderedBatches(5, 2)))
    assert [len(batch) for batch in got] == [2, 2, 1]
    assert torch.cat([b.indices for b in got]).tolist() == [0, 1, 2, 3, 4]
    assert torch.cat([b.labels for b in got]).tolist() == [-1] * 5
    levels = torch.cat([b.images for b in got]).amax((1, 2, 3)) * 255
    assert torch.allclose(levels, torch.arange(5) * 10.0)
    assert got[0].cues.names == frozenset()
    assert got[0].to("cpu").images.shape == (2, 3, 8, 4)


@fork_in_threads
@few_cores
@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_image_is_fatal_or_skipped_and_tallied(tmp_path, workers, caplog):
    samples = people(tmp_path)
    for broken in (1, 4, 5):
        samples[broken].path.write_bytes(b"broken")
    data = ReidImages(samples, size=(8, 4))
    with pytest.raises(DataError, match=r"1\.png: cannot be read as an image .*on_corrupt") as caught:
        list(make_loader(data, OrderedBatches(6, 2), workers=workers))
    assert "Traceback" not in str(caught.value)
    assert not multiprocessing.active_children(), "although the exception is still held"
    assert not caplog.records

    tally = Tally()
    loader = make_loader(data, OrderedBatches(6, 2), workers=workers, on_corrupt="skip", tally=tally)
    batches = list(loader)
    assert len(multiprocessing.active_children()) == workers, "workers live on for the next epoch"
    loader.close()
    assert not multiprocessing.active_children()
    assert [b.indices.tolist() for b in batches] == [[0], [2, 3], []]
    assert [[s.index for s in b.skipped] for b in batches] == [[1], [], [4, 5]]
    assert batches[2].images.shape == (0, 3, 8, 4)
    assert batches[2].labels.dtype == batches[0].labels.dtype == torch.long
    assert len(batches[2].to("cpu")) == 0
    assert caplog.text.count("skipped: ") == 3
    assert tally.images == 3
    assert dict(tally.skipped) == {samples[i].path: 1 for i in (1, 4, 5)}
    assert tally.summary().startswith("3 images loaded, 3 skipped of 3 unreadable files, first: ")
    assert "1.png" in tally.summary()
    assert Tally(2).summary() == "2 images loaded, none skipped"


def test_damaged_cues_count_as_damaged_images(tmp_path):
    samples = people(tmp_path / "images", 2)
    (tmp_path / "pose").mkdir()
    (tmp_path / "pose" / "0.json").write_text('{"people": 3}')
    data = ReidImages(samples, size=(8, 4), cues=PoseFolder(tmp_path / "pose", tmp_path / "images"))
    (batch,) = make_loader(data, OrderedBatches(2, 2), on_corrupt="skip")
    assert batch.indices.tolist() == [1]
    assert "0.json" in batch.skipped[0].reason
    assert batch.skipped[0].path == samples[0].path


def test_cues_of_another_size_are_named(tmp_path):
    data = ReidImages(people(tmp_path, 1), size=(8, 4), cues=lambda sample, size: Cues(foreground=torch.ones(3, 3)))
    with pytest.raises(
        DataError, match=r"0.png: the cues do not fit the image: foreground must be of the image's size"
    ):
        list(make_loader(data, OrderedBatches(1, 1)))


def test_wrong_loaders(tmp_path):
    samples = people(tmp_path, 2)
    data = ReidImages(samples, size=(8, 4))
    for options, message in (({"on_corrupt": "ignore"}, "on_corrupt"), ({"workers": -1}, "workers")):
        with pytest.raises(SettingsError, match=message):
            make_loader(data, OrderedBatches(2, 2), **options)
    with pytest.raises(SettingsError, match="batches are of 3 images, the images are 2"):
        make_loader(data, OrderedBatches(3, 2))
    with pytest.raises(DataError, match=r"person 'person0' has no training label \(2 such images\)"):
        ReidImages(samples, size=(8, 4), labels={})
    with pytest.raises(SettingsError, match="seed"):
        ReidImages(samples, size=(8, 4), seed=-1)
