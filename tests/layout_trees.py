"""Small trees in the layouts of published data sets, made of rendered images: names and lists, and what lays them out."""

import shutil
from collections.abc import Iterable, Sequence
from itertools import cycle
from pathlib import Path

from PIL import Image

MARKET = (
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "bounding_box_train/0002_c2s1_000801_01.jpg",
    "bounding_box_train/0007_c1s3_077419_03.jpg",
    "bounding_box_train/0007_c2s3_077519_03.jpg",
    "query/0001_c1s1_001051_00.jpg",
    "query/0003_c2s1_001151_00.jpg",
    "bounding_box_test/0001_c2s1_000301_00.jpg",
    "bounding_box_test/0003_c1s1_000351_00.jpg",
    "bounding_box_test/0000_c1s1_000151_01.jpg",
    "bounding_box_test/-1_c1s1_000401_03.jpg",
)
DUKE = (
    "bounding_box_train/0001_c2_f0046182.jpg",
    "bounding_box_train/0001_c3_f0046282.jpg",
    "query/0005_c2_f0046985.jpg",
    "bounding_box_test/0005_c5_f0051341.jpg",
    "bounding_box_test/0003_c1_f0044158.jpg",
)
OCCLUDED_REID = tuple(
    f"{kind}_body_images/{person}/{person}_{index:02d}.tif"
    for person in ("001", "088", "187", "200")
    for kind in ("occluded", "whole")
    for index in (1, 2)
)
OCCLUDED_REID_RENAMED = tuple(
    f"{kind}_body_images/{person}_c{camera}_{index:02d}.tif"
    for person in ("001", "088")
    for kind, camera in (("occluded", 1), ("whole", 2))
    for index in (1, 2)
)
OCCLUDED_REID_SPLIT = ("train/001_c1_01.tif", "train/001_c2_01.tif", "query/002_c1_01.tif", "test/002_c2_01.tif")
PARTIAL_REID = tuple(
    f"{kind}_body_images/{person}_{index:03d}.jpg"
    for person in ("001", "002")
    for kind in ("occluded", "partial", "whole")
    for index in (1, 2)
)
PARTIAL_ILIDS = tuple(
    f"{folder}/{name}.jpg"
    for folder, names in (("Probe", "12"), ("Gallery", "12"), ("partial_iLIDS_Probe_nocrop", ("001", "002")))
    for name in names
)
P_DUKE = tuple(
    f"{split}/{kind}_body_images/{person}/{person}_c{camera}_f0046182.jpg"
    for split, person in (("train", "0001"), ("test", "0005"))
    for kind, camera in (("occluded", 2), ("whole", 2))
)
CUHK03 = tuple(
    f"{boxes}/{name}"
    for boxes in ("detected", "labeled")
    for name in (
        "bounding_box_train/0001_c1_1.png",
        "bounding_box_train/0001_c2_6.png",
        "query/0003_c1_1.png",
        "bounding_box_test/0003_c2_7.png",
    )
)
MSMT17_LISTS = {
    "list_train.txt": "0000/0000_000_01_0303morning_0015_0.jpg 0\n",
    "list_val.txt": "0000/0000_001_14_0303noon_0016_0.jpg 0\n",
    "list_query.txt": "0000/0000_000_02_0114afternoon_0009_1.jpg 0\n",
    "list_gallery.txt": "0000/0000_001_03_0114afternoon_0010_1.jpg 0\n",
}


def msmt17(root: Path, pictures: Sequence[Path], folders: tuple[str, str] = ("train", "test")) -> Path:
    """MSMT17 with one image a list."""
    for name, text in MSMT17_LISTS.items():
        folder = folders[name in ("list_query.txt", "list_gallery.txt")]
        lay(root, [f"{folder}/{line.split()[0]}" for line in text.splitlines()], pictures[len(name) :])
        (root / name).write_text(text)
    return root


LIP = tuple(
    f"TrainVal_{kind}/{split}_{what}/{name}{suffix}"
    for split, name in (("train", "77_471474"), ("val", "36_454991"))
    for kind, what, suffix in (("images", "images", ".jpg"), ("parsing_annotations", "segmentations", ".png"))
)


def lip(root: Path, pictures: Sequence[Path]) -> Path:
    """LIP with one image a split; every pixel's label is its column, modulo 20."""
    lay(root, [name for name in LIP if name.endswith(".jpg")], pictures)
    for split, name in (("train", "77_471474"), ("val", "36_454991")):
        folder = root / "TrainVal_images"
        (folder / f"{split}_id.txt").write_text(f"{name}\n")
        with Image.open(folder / f"{split}_images" / f"{name}.jpg") as picture:
            width, height = picture.size
        labels = Image.new("L", (width, height))
        labels.putdata([x % 20 for _ in range(height) for x in range(width)])
        to = root / "TrainVal_parsing_annotations" / f"{split}_segmentations" / f"{name}.png"
        to.parent.mkdir(parents=True, exist_ok=True)
        labels.save(to)
    return root


def lay(root: Path, names: Iterable[str], pictures: Sequence[Path]) -> Path:
    """Each name gets a picture of its own, as long as there are enough; converted where the name says another format."""
    for name, picture in zip(names, cycle(pictures), strict=False):
        to = root / name
        to.parent.mkdir(parents=True, exist_ok=True)
        if to.suffix == picture.suffix:
            shutil.copyfile(picture, to)
        else:
            with Image.open(picture) as image:
                image.save(to)
    return root
