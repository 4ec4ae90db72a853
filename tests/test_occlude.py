"""An occluded copy: every image is there, what hides it is known, and nothing half-done is left behind."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from occlureid.cues import PartFolder, PoseFolder
from occlureid.data import open_dataset
from occlureid.data.dataset import ReidDataset
from occlureid.errors import DataError, SettingsError
from occlureid.occlude import occlude
from occlureid.occlude import run as module
from occlureid.synthetic import WorldSettings, write_world

WORLD = WorldSettings(
    seed=4, train_persons=2, test_persons=3, cameras=2, train_images=1, gallery_images=1, size=(96, 48),
    occluded_train=0, occluded_query=0, occluded_gallery=0,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _few_sprites():
    """A hundred sprites are rendered at each call; two dozen small ones do here."""
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "_SPRITES", 24)
    patch.setattr(module, "_SPRITE_SIZE", 64)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(WORLD, tmp_path_factory.mktemp("world") / "w")


@pytest.fixture(scope="module")
def copy(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("copy") / "occluded"
    calls = []
    made = occlude(open_dataset(world), out, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(k, 16) for k in range(1, 17)]
    return made


@pytest.fixture
def own(tmp_path):
    """Data of one's own without any cue: a folder a person, a folder a camera, PNG and JPEG."""
    random = np.random.default_rng(0)
    for split in ("train", "query", "gallery"):
        for person in ("anna", "bert"):
            for camera in ("door", "hall"):
                folder = tmp_path / "own" / split / person / camera
                folder.mkdir(parents=True)
                pixels = random.integers(60, 200, (80, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / ("a.png" if person == "anna" else "a.jpg"))
    return tmp_path / "own"


def test_the_copy_opens_with_the_same_samples(world, copy):
    before, after = open_dataset(world), open_dataset(copy.path)
    for split in ("train", "query", "gallery"):
        old, new = getattr(before, split), getattr(after, split)
        assert [(s.path.relative_to(world), s.person, s.camera, s.time) for s in old] == [
            (s.path.relative_to(copy.path), s.person, s.camera, s.time) for s in new
        ]
    assert (copy.images, copy.occluded) == (16, 6)
    assert "16 images, 6 occluded" in copy.summary()


def test_only_the_chosen_split_changes(world, copy):
    for path in world.glob("*/*.jpg"):
        same = path.read_bytes() == (copy.path / path.relative_to(world)).read_bytes()
        assert same == (path.parent.name != "query")
        with Image.open(copy.path / path.relative_to(world)) as image:
            assert (image.size, image.format) == ((48, 96), "JPEG")


def test_the_visible_fraction_is_counted_on_the_part_labels(world, copy):
    after = open_dataset(copy.path)
    old, new = PartFolder(world / "parts", world), PartFolder(copy.path / "parts", copy.path)
    before = {s.path.name: s for s in open_dataset(world).query}
    assert copy.by_mask == 6
    for sample in after.query:
        was = before[sample.path.name]
        whole = old(was, (96, 48)).foreground
        left = new(sample, (96, 48)).foreground
        assert (left <= whole).all()
        share = float(left.sum() / whole.sum())
        assert 0.3 <= share <= 0.8
        assert sample.visible_fraction == pytest.approx(share * was.visible_fraction, abs=1e-5)
        assert sample.obstacle in copy.by_kind
    assert {s.obstacle for s in after.gallery} == {"none"}


def test_landmarks_below_an_obstacle_are_not_found_any_more(world, copy):
    old, new = PoseFolder(world / "pose", world), PoseFolder(copy.path / "pose", copy.path)
    lost = 0
    for was, now in zip(open_dataset(world).query, open_dataset(copy.path).query, strict=True):
        before, after = old.people(was), new.people(now)
        hidden = (after == 0).all(axis=-1) & (before != 0).any(axis=-1)
        lost += hidden.sum()
        np.testing.assert_allclose(after[~hidden], before[~hidden], atol=1e-4)
        parts = np.asarray(Image.open(copy.path / "parts" / "query" / f"{now.path.stem}.png"))
        for x, y, confidence in after.reshape(-1, 3):
            if confidence >= 0.6 and parts[min(int(y), 95), min(int(x), 47)] == 0:
                assert (
                    np.asarray(Image.open(world / "parts" / "query" / f"{now.path.stem}.png"))[
                        min(int(y), 95), min(int(x), 47)
                    ]
                    == 0
                ), "a confident landmark on the person lies where the person is still seen"
    assert lost > 6


def test_the_record_says_what_was_asked_and_how_it_was_measured(copy):
    record = json.loads((copy.path / "occlusion.json").read_text())
    assert record["asked"] == {
        "splits": ["query"], "visible_range": [0.3, 0.8], "seed": 0, "test": True, "kinds": None,
    }  # fmt: skip
    assert record["measured"] == {"mask": 6, "prior": 0}
    assert record["layout"] == "synthetic"
    with (copy.path / "dataset.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert open_dataset(copy.path / "dataset.csv").query == open_dataset(copy.path).query


def test_an_image_does_not_depend_on_the_others(world, copy, tmp_path):
    whole = open_dataset(world)
    one = ReidDataset(
        whole.name, whole.root, whole.train, whole.query[2:3], whole.gallery, whole.protocol, whole.expected
    )
    made = occlude(one, tmp_path / "one")
    name = f"query/{whole.query[2].path.name}"
    assert (made.path / name).read_bytes() == (copy.path / name).read_bytes()
    other = occlude(one, tmp_path / "other", seed=1)
    assert (other.path / name).read_bytes() != (copy.path / name).read_bytes()


def test_data_of_ones_own_is_measured_by_the_fixed_figure(own, tmp_path):
    made = occlude(
        open_dataset(own), tmp_path / "out", splits=("query", "gallery"), visible_range=(0.5, 0.7), test=False
    )
    assert made.path == tmp_path / "out" / "dataset.csv"
    assert (made.images, made.occluded, made.by_mask) == (12, 8, 0)
    assert "8 estimated" in made.summary()
    after = open_dataset(made.path)
    for sample in (*after.query, *after.gallery):
        assert 0.5 <= sample.visible_fraction <= 0.7
        assert sample.obstacle in made.by_kind
        with Image.open(sample.path) as image:
            assert image.size == (40, 80)
            assert image.format == ("PNG" if sample.person == "anna" else "JPEG")
    assert all(sample.visible_fraction is None for sample in after.train)
    before = open_dataset(own)
    assert [s.person for s in after.query] == [s.person for s in before.query]


def test_a_png_keeps_every_pixel_that_is_not_hidden(own, tmp_path):
    made = occlude(open_dataset(own), tmp_path / "out", kinds=("person",))
    assert set(made.by_kind) == {"person"}
    place = "query/anna/door/a.png"
    old, new = (np.asarray(Image.open(root / place)).astype(int) for root in (own, tmp_path / "out"))
    same = (old == new).all(axis=-1)
    assert 0.2 < same.mean() < 0.95


def test_an_image_that_is_query_and_gallery_becomes_two(own, tmp_path):
    rows = ["path,person,camera,split"]
    for split in ("train", "query", "gallery"):
        for person in ("anna", "bert"):
            name = "a.png" if person == "anna" else "a.jpg"
            source = "gallery" if split == "query" else split
            rows += [f"{source}/{person}/{camera}/{name},{person},{camera},{split}" for camera in ("door", "hall")]
    (own / "list.csv").write_text("\n".join(rows) + "\n")
    made = occlude(open_dataset(own / "list.csv"), tmp_path / "out")
    after = open_dataset(made.path)
    assert (len(after.query), len(after.gallery)) == (4, 4)
    for query in after.query:
        place = query.path.relative_to(tmp_path / "out" / "query-occluded")
        assert (tmp_path / "out" / place).read_bytes() == (own / place).read_bytes()


def test_palettes_and_label_sets_of_part_labels_are_kept(own, tmp_path):
    labels = np.zeros((80, 40), dtype=np.uint8)
    labels[10:70, 12:28] = 5
    for split in ("train", "query", "gallery"):
        for person in ("anna", "bert"):
            for camera in ("door", "hall"):
                folder = own / "parts" / split / person / camera
                folder.mkdir(parents=True)
                image = Image.fromarray(labels).convert("P")
                image.putdata(labels.reshape(-1).tolist())
                image.save(folder / "a.png")
    (own / "parts" / "labels.json").write_text('{"labels": "lip20"}')
    dataset = open_dataset(own, "folder")
    made = occlude(dataset, tmp_path / "out")
    assert made.by_mask == 4
    assert json.loads((tmp_path / "out" / "parts" / "labels.json").read_text()) == {"labels": "lip20"}
    for sample in open_dataset(made.path).query:
        place = sample.path.relative_to(tmp_path / "out").with_suffix(".png")
        with Image.open(tmp_path / "out" / "parts" / place) as image:
            assert image.mode == "P"
            left = np.asarray(image)
        assert set(np.unique(left)) <= {0, 5}
        assert sample.visible_fraction == pytest.approx((left == 5).sum() / (labels == 5).sum(), abs=1e-5)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"splits": ("test",)}, SettingsError, "train, query, gallery"),
        ({"splits": ()}, SettingsError, "none"),
        ({"visible_range": (0.8, 0.3)}, SettingsError, "visible_range"),
        ({"visible_range": (0.0, 0.3)}, SettingsError, "visible_range"),
        ({"kinds": ("dragon",)}, DataError, "dragon"),
        ({"kinds": ("bench",), "visible_range": (0.05, 0.06)}, DataError, "no obstacle leaves 5% to 6%"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(own, tmp_path, values, error, message):
    with pytest.raises(error, match=message):
        occlude(open_dataset(own), tmp_path / "out", **values)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own"]


def test_a_folder_that_holds_something_is_left_alone(own, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not an empty folder"):
        occlude(open_dataset(own), tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert occlude(open_dataset(own), tmp_path / "empty").images == 12


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0 cut"])
def test_a_damaged_image_is_named_and_leaves_nothing(own, tmp_path, content):
    bad = own / "query" / "bert" / "hall" / "a.jpg"
    bad.write_bytes(content)
    with pytest.raises(DataError, match=r"query/bert/hall/a\.jpg"):
        occlude(open_dataset(own), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own"]


def test_part_labels_of_another_size_are_named(world, tmp_path):
    root = tmp_path / "w"
    shutil.copytree(world, root)
    victim = sorted((root / "parts" / "query").iterdir())[0]
    Image.new("L", (10, 10), 2).save(victim)
    with pytest.raises(DataError, match=victim.name):
        occlude(open_dataset(root), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_joined_dataset_is_refused(own, tmp_path):
    whole = open_dataset(own)
    joined = ReidDataset(
        whole.name, whole.root, whole.train, whole.query, whole.gallery, whole.protocol, more_roots=(tmp_path / "b",)
    )
    with pytest.raises(DataError, match="one folder"):
        occlude(joined, tmp_path / "out")


def test_arithmetic_is_the_loaders(own):
    """The pixels are those of 8-bit images: nothing is lost by going through [0, 1]."""
    values = torch.arange(256, dtype=torch.float32) / 255.0
    assert (values * 255.0 + 0.5).floor().tolist() == list(range(256))
