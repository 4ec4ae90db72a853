"""Automatic cropping: boxes by hand, image and cues together, in front of any method, in training, query and gallery alike."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from occlureid import methods
from occlureid.cues import CueCache, CueSettings, ProviderSource
from occlureid.cues.crop import Crop, Cropping, CropSettings, ParsesAgain, measure_crop
from occlureid.data import ReidDataset, ReidImages
from occlureid.data.samplers import Draw
from occlureid.data.transforms import cut
from occlureid.described import describe_dataset
from occlureid.errors import DataError, MissingCueError, SettingsError, ShapeError, UsageError
from occlureid.runs import RunSettings, read_recipe, train
from occlureid.types import Cues, Protocol, Sample

SIZE = (40, 20)
WHOLE = (0.25,) * 4


def bands(shares: tuple[float, ...] = (1, 1, 1, 1)) -> torch.Tensor:
    """(4, 40, 20): ten rows a region, of which the left share is the region."""
    maps = torch.zeros(4, *SIZE)
    for region, share in enumerate(shares):
        maps[region, 10 * region : 10 * (region + 1), : round(share * SIZE[1])] = 1.0
    return maps


def crop(reference: tuple[float, ...] = WHOLE, **settings: Any) -> Crop:
    return Crop(CropSettings(**{"mode": "box", "margin": 0.0, **settings}), reference)


# -- the box -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "shares", "box"),
    [
        ({}, (1, 1, 1, 1), (0, 0, 40, 20)),
        ({}, (0, 0.5, 0.25, 0), (10, 0, 30, 10)),
        ({"mode": "rows"}, (0, 0.5, 0.25, 0), (10, 0, 30, 20)),
        ({"threshold": 0.3}, (0, 0.5, 0.25, 0), (10, 0, 20, 10)),  # the lower body is dropped
        ({"threshold": 0.5}, (0, 0.5, 0.25, 0), (10, 0, 20, 10)),  # reaches its threshold
        ({"threshold": (0.1, 0.6, 0.1, 0.1)}, (0, 0.5, 0.5, 0), (20, 0, 30, 10)),
        ({"threshold": 0.6}, (0.5, 0.5, 0.5, 0.5), None),
        ({}, (0, 0, 0, 0), None),
        ({"margin": 0.1}, (0, 0.5, 0.25, 0), (8, 0, 32, 11)),
        ({"margin": 1.0}, (0, 0.5, 0.5, 0), (0, 0, 40, 20)),  # no further than the image
        ({"least_area": 0.13}, (0, 0, 0, 0.5), None),  # the box is an eighth of the image
        ({"least_area": 0.12}, (0, 0, 0, 0.5), (30, 0, 40, 10)),
    ],
)
def test_boxes_by_hand(settings: dict[str, Any], shares: tuple[float, ...], box: Any) -> None:
    assert crop(**settings).box(bands(shares)) == box


def test_readings_of_the_score() -> None:
    shares = (0, 0.5, 0.25, 0)  # 0.125 and 0.0625 of the image, 100 and 50 pixels
    assert crop(reference=(), visibility="fraction", threshold=0.1).box(bands(shares)) == (10, 0, 20, 10)
    assert crop(reference=(), visibility="raw_sum", threshold=60.0).box(bands(shares)) == (10, 0, 20, 10)
    assert crop(reference=(), visibility="raw_sum", threshold=100.0).box(bands(shares)) == (10, 0, 20, 10)
    assert crop(reference=(0.25, 0.5, 0.0625, 0.25), threshold=0.5, least_area=0.0).box(bands(shares)) == (20, 0, 30, 5)


def test_the_box_is_that_of_the_likeliest_label() -> None:
    maps = bands((0, 1, 0, 0)) * 0.9
    maps[1] += 0.05  # faint everywhere, and counted in the area, but nowhere else the likeliest
    maps[2, 20:40] = 0.3
    assert crop().box(maps) == (10, 0, 20, 20)


def test_seven_parts() -> None:
    parts = torch.zeros(7, *SIZE)
    parts[1, 10:20], parts[2, 18:20] = 0.3, 0.3  # torso and upper arm are one region: only together likelier than none
    parts[6, 30:] = 1.0
    assert crop(reference=(0.1, 0.1, 0.1, 0.1)).box(parts) == (18, 0, 40, 20)
    with pytest.raises(ShapeError, match="7 channels head, torso"):
        crop().box(torch.zeros(5, *SIZE))


def test_off_in_yaml_is_off() -> None:
    assert CropSettings.build({"mode": False}).mode == "off"
    with pytest.raises(SettingsError, match="crops nothing"):
        Crop(CropSettings())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.1}, "at most 1 unless visibility is raw_sum"),
        ({"threshold": (0.1, 0.1, 0.1, -0.1)}, "must not be negative"),
        ({"threshold": (0.1, 0.1)}, "threshold"),
        ({"mode": "columns"}, "mode"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        CropSettings.build(settings)


def test_round_trip_and_damage() -> None:
    for made in (crop(threshold=(0.1, 0.2, 0.3, 0.4)), crop(reference=(), visibility="fraction")):
        assert Crop.from_json(json.loads(json.dumps(made.to_json()))) == made
    record = crop().to_json()
    for damaged in (
        None,
        [],
        {},
        {**record, "more": 1},
        {**record, "reference": [0.1]},
        {**record, "reference": [0.1, 0.1, 0.1, 7]},
        {**record, "reference": "abcd"},
        {**record, "settings": {"mode": "off"}},
        {**record, "settings": 3},
    ):
        with pytest.raises(DataError):
            Crop.from_json(damaged)


# -- images and cues together --------------------------------------------------------------------------------------------


def picture() -> Image.Image:
    """Red is the row, green the column."""
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(40)[:, None], np.arange(20)
    return Image.fromarray(pixels)


def test_cutting_moves_everything_together() -> None:
    keypoints = torch.zeros(18, 3)
    keypoints[0] = torch.tensor([12.5, 20.5, 0.9])
    keypoints[1] = torch.tensor([2.5, 20.5, 0.9])  # beside the box
    cues = Cues(keypoints=keypoints, part_map=bands(), foreground=torch.ones(SIZE), part_flip=())
    image, moved = cut(picture(), cues, (10, 5, 30, 20))
    assert np.array(image)[0, 0].tolist() == [10, 5, 0]
    assert (image.height, image.width) == (20, 15)
    assert moved.keypoints is not None
    torch.testing.assert_close(moved.keypoints[0], torch.tensor([7.5, 10.5, 0.9]))
    assert moved.keypoints[1:].count_nonzero() == 0
    assert moved.part_map is not None
    assert torch.equal(moved.part_map, bands()[:, 10:30, 5:])
    assert moved.foreground is not None
    assert moved.foreground.shape == (20, 15)
    for wrong in ((0, 0, 0, 5), (-1, 0, 5, 5), (0, 0, 41, 5), (0, 5, 5, 21)):
        with pytest.raises(ShapeError, match="must lie within the image"):
            cut(picture(), cues, wrong)


def sample(folder: Path, name: str = "0001_c1.png") -> Sample:
    picture().save(folder / name)
    return Sample(folder / name, person="0001", camera="1")


def test_loading_crops_and_counts(tmp_path: Path) -> None:
    shown = {"a.png": (0, 0, 1, 1), "b.png": (0, 0, 0, 0)}
    samples = [sample(tmp_path, name) for name in shown]

    def source(sample: Sample, size: tuple[int, int]) -> Cues:
        return Cues(part_map=bands(shown[sample.path.name]), foreground=torch.ones(size))

    images = ReidImages(samples, size=SIZE, crop=Cropping(crop(), source, frozenset({"foreground"})))
    cropped, whole = (images.load(Draw(index, 0, index)) for index in range(2))
    assert (cropped.cropped, whole.cropped) == (True, False)
    assert cropped.cues.names == whole.cues.names == {"foreground"}  # the part map was needed only to crop
    assert cropped.image.shape == whole.image.shape == (3, *SIZE)
    assert cropped.image[0].min() * 255 >= 18  # nothing of the upper half
    torch.testing.assert_close(whole.image[0, :, 0] * 255, torch.arange(40.0))


def test_a_part_map_of_another_size_names_the_image(tmp_path: Path) -> None:
    images = ReidImages(
        [sample(tmp_path)], size=SIZE, crop=Cropping(crop(), lambda sample, size: Cues(part_map=torch.ones(4, 9, 9)))
    )
    with pytest.raises(DataError, match=r"0001_c1.png: the cues do not fit the image"):
        images.load(Draw(0, 0, 0))
    with pytest.raises(DataError, match=r"0001_c1.png: part_map must be of the image's size"):
        measure_crop(
            CropSettings(mode="box"), [sample(tmp_path)], lambda sample, size: Cues(part_map=torch.ones(4, 9, 9))
        )


class Rows:
    """A parser: what an image's red says is the row, it takes for the upper body; all below row 30 for nothing."""

    name, labels, cues = "rows", "sgam5", frozenset({"part_map"})
    fingerprint = "rows@0123456789ab"
    record: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, images: Any) -> list[Cues]:
        found = []
        for image in images:
            self.seen.append(image.shape[:2])
            maps = torch.zeros(4, *image.shape[:2])
            maps[1] = torch.from_numpy((image[..., 0] >= 10) & (image[..., 0] < 30)).float() * 0.75
            found.append(Cues(part_map=maps / (1 if image.shape[0] == 40 else 3)))
        return found


@pytest.mark.parametrize("again", [True, False])
def test_what_is_left_is_parsed_again(tmp_path: Path, again: bool) -> None:
    parser, one = Rows(), sample(tmp_path)
    source = ProviderSource(parser, CueCache(tmp_path / "cache"), "sgam5")
    assert isinstance(source, ParsesAgain)
    cropping = Cropping(crop(parse_again=again), source, frozenset({"part_map"}))
    for _ in range(2):
        image, cues, cropped = cropping(one, picture())
        assert (image.height, image.width, cropped) == (20, 20, True)
        assert cues.part_map is not None
        torch.testing.assert_close(cues.part_map[1], torch.full((20, 20), 0.25 if again else 0.75), atol=0.01, rtol=0)
    assert parser.seen == ([(40, 20), (20, 20)] if again else [(40, 20)])  # the second time both are in the cache


def test_measuring_by_hand(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shown = {"a.png": (1, 1, 1, 1), "b.png": (0, 0.5, 0, 0), "c.png": (0, 0, 0, 0)}
    samples = [sample(tmp_path, name) for name in shown]

    def source(sample: Sample, size: tuple[int, int]) -> Cues:
        return Cues(part_map=bands(shown[sample.path.name]))

    steps: list[tuple[int, int]] = []
    with caplog.at_level(logging.INFO, logger="occlureid.cues.crop"):
        measured, counts = measure_crop(
            CropSettings(mode="rows"), samples, source, progress=lambda *done: steps.append(done)
        )
    assert measured.reference == pytest.approx((1 / 12, 1.5 / 12, 1 / 12, 1 / 12))
    assert counts == {"images": 3, "whole": 1}
    assert "1 of 3 training images show no region to keep and stay whole" in caplog.text
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert measure_crop(CropSettings(mode="rows", visibility="fraction"), samples, source)[0].reference == ()
    with pytest.raises(UsageError, match="show nobody"):
        measure_crop(CropSettings(mode="rows"), samples[2:], source)


# -- in front of any method ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ReidDataset:
    """Four persons by a colour of their own in the upper half, the lower half an obstacle of a random colour."""
    root = tmp_path_factory.mktemp("cropped")
    random = np.random.default_rng(0)
    splits: dict[str, list[Sample]] = {}
    for split, persons in (("train", range(4)), ("query", range(4, 6)), ("gallery", range(4, 7))):
        (root / split).mkdir()
        (root / "parts" / split).mkdir(parents=True)
        for person in persons:
            for camera in range(2):
                name = f"{person:04d}_c{camera}"
                pixels = random.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
                pixels[:20] = 40 * person
                Image.fromarray(pixels).save(root / split / f"{name}.png")
                labels = np.zeros(SIZE, np.uint8)
                if person != 6:  # in whom nothing is found
                    labels[:10], labels[10:20] = 1, 2
                Image.fromarray(labels).save(root / "parts" / split / f"{name}.png")
                splits.setdefault(split, []).append(Sample(root / split / f"{name}.png", str(person), str(camera)))
    (root / "parts" / "labels.json").write_text('{"labels": "sgam5"}')
    return ReidDataset(
        "toy", root, tuple(splits["train"]), tuple(splits["query"]), tuple(splits["gallery"]), Protocol("toy")
    )


SMALL: dict[str, Any] = {
    "initial_weights": "none",
    "model": {"backbone": "resnet10t", "size": [32, 16]},
    "train": {
        "epochs": 1, "batch_size": 4, "workers": 0, "lr": 0.01, "milestones": [1], "accelerator": "cpu",
        "schedule": "constant", "erasing_probability": 0.0,
    },
}  # fmt: skip


def run(dataset: ReidDataset, out: Path, method: str, **more: Any) -> Path:
    settings = {**SMALL, "method": method, **more}
    return train(dataset, out, settings).weights


@pytest.mark.parametrize("method", ["baseline", "sgam"])
def test_training_describing_and_the_weights_agree(dataset: ReidDataset, tmp_path: Path, method: str) -> None:
    weights = run(dataset, tmp_path / "run", method, crop={"mode": "box", "margin": 0.0})
    back = methods.restore(weights)
    assert back.crop is not None
    assert back.crop.reference == pytest.approx((0.25, 0.25, 0, 0))
    assert back.provenance["cropped"] == {"images": 8, "whole": 0}
    assert RunSettings.build(read_recipe(str(tmp_path / "run" / "settings.yaml"))).crop == back.crop.settings
    described = describe_dataset(back, dataset)
    assert described.record["crop"]["whole"] == {"query": 0, "gallery": 2}
    assert described.record["crop"]["settings"]["mode"] == "box"
    if method == "sgam":  # the regions fill what is left, twice what they were of the whole image
        assert back.state_dict()["reference_areas"].tolist() == pytest.approx([0.5, 0.5, 0, 0])
        assert described.query.visibility.tolist() == [pytest.approx([1, 1, 0, 0])] * 4
    # what is described are the upper halves: those of a person are the same in both cameras, whatever the obstacle
    torch.testing.assert_close(described.query.global_[0], described.query.global_[1])
    uncropped = run(dataset, tmp_path / "whole", method)
    assert methods.restore(uncropped).crop is None
    whole = describe_dataset(methods.restore(uncropped), dataset)
    assert "crop" not in whole.record
    assert not torch.allclose(whole.query.global_[0], whole.query.global_[1], rtol=1e-3)


def test_a_crop_counts_in_the_fingerprint(dataset: ReidDataset, tmp_path: Path) -> None:
    weights = run(dataset, tmp_path / "run", "baseline", crop={"mode": "rows"})
    built = methods.restore(weights)
    first = built.fingerprint()
    assert methods.restore(weights).fingerprint() == first
    built.crop = None
    assert built.fingerprint() != first


def test_resuming_needs_the_same_crop(dataset: ReidDataset, tmp_path: Path) -> None:
    settings = {**SMALL, "method": "sgam", "crop": {"mode": "box"}}
    first = load_file(train(dataset, tmp_path / "run", settings).weights)
    with pytest.raises(UsageError, match=r"record.crop"):
        train(dataset, tmp_path / "run", settings, {"crop": {"mode": "rows"}}, resume=True)
    longer = {"train": {"epochs": 2}}
    went_on = load_file(train(dataset, tmp_path / "run", settings, longer, resume=True).weights)
    whole = load_file(train(dataset, tmp_path / "whole", settings, longer).weights)
    torch.testing.assert_close(went_on, whole, rtol=0, atol=0)
    assert torch.equal(first["reference_areas"], whole["reference_areas"])


def test_cropping_without_part_maps(dataset: ReidDataset, tmp_path: Path) -> None:
    bare = ReidDataset("bare", tmp_path, dataset.train, dataset.query, dataset.gallery, dataset.protocol)
    with pytest.raises(MissingCueError, match=r"part_map need .*parts, which is not there"):
        run(bare, tmp_path / "run", "baseline", crop={"mode": "box"})
    built = methods.create("baseline", 2, SMALL["model"])
    built.crop = crop()
    with pytest.raises(MissingCueError, match="'baseline' are cropped, which needs the cue 'part_map'"):
        built.cropping(None, "describe")


def test_what_cues_a_method_asks_for() -> None:
    sgam, pgfa = (methods.create(name, 2, SMALL["model"]) for name in ("sgam", "pgfa"))
    assert (sgam.wants("train"), pgfa.wants("train", "describe")) == ({"part_map"}, {"keypoints"})
    pgfa.crop = crop()
    assert pgfa.wants("describe") == {"keypoints", "part_map"}
    assert (sgam.cue_settings().grouping, pgfa.cue_settings().grouping) == ("sgam5", "sgam5")
    assert methods.create("sorn", 2, {**SMALL["model"], "channel_sets": 1}).cue_settings().grouping == "sorn8"
    assert sgam.cue_settings(CueSettings(threshold=0.5)) == CueSettings(threshold=0.5, grouping="sgam5")
    assert sgam.cue_settings(CueSettings(grouping="sorn8")).grouping == "sorn8"


def test_a_damaged_crop_in_a_file(dataset: ReidDataset, tmp_path: Path) -> None:
    from safetensors import safe_open

    weights = run(dataset, tmp_path / "run", "baseline", crop={"mode": "box"})
    with safe_open(weights, framework="pt") as file:
        metadata = file.metadata()
    for content, message in (('{"settings": {}}', "its crop is damaged"), ("{", "cannot be restored")):
        save_file(load_file(weights), tmp_path / "w.safetensors", metadata={**metadata, "crop": content})
        with pytest.raises(DataError, match=message):
            methods.restore(tmp_path / "w.safetensors")


def test_cues_of_the_settings_serve_in_training_and_description(dataset: ReidDataset, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (dataset.root / "parts").rename(elsewhere)
    try:
        (tmp_path / "cues").mkdir()
        elsewhere.rename(tmp_path / "cues" / "parts")
        weights = run(dataset, tmp_path / "run", "sgam", cues={"folder": str(tmp_path / "cues")})
        described = describe_dataset(methods.restore(weights), dataset)
        assert described.record["cues"]["folder"] == str(tmp_path / "cues")
    finally:
        (tmp_path / "cues" / "parts").rename(dataset.root / "parts")
