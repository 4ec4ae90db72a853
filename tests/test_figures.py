"""Figures: pixels by hand, and sheets of what real methods see."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from occlureid import methods
from occlureid.cues.crop import Crop, CropSettings
from occlureid.data import ReidDataset, open_dataset
from occlureid.described import cue_source
from occlureid.errors import MissingCueError, ShapeError, UsageError
from occlureid.figures import method_figures
from occlureid.methods import Maps
from occlureid.plots import draw_crop, draw_heat, draw_labels, draw_visibilities, legend
from occlureid.types import Cues, Region

GREY = Image.new("RGB", (4, 8), (100, 100, 100))
RED, BLUE = (200, 0, 0), (0, 0, 200)
SMALL = {"backbone": "resnet10t", "size": (64, 32)}


def at(image: Image.Image, x: int, y: int) -> Any:
    return image.getpixel((x, y))


def test_labels_tint_their_pixels() -> None:
    labels = np.array([[0, 1], [2, 3]])
    drawn = draw_labels(GREY, labels, (RED, BLUE), strength=0.5)
    assert drawn.size == GREY.size
    assert (at(drawn, 0, 0), at(drawn, 1, 3)) == ((50, 50, 50), (50, 50, 50))
    assert at(drawn, 2, 3) == (150, 50, 50)
    assert at(drawn, 0, 4) == (50, 50, 150)
    assert at(drawn, 3, 7) == (150, 50, 50)  # the third label takes the first colour again
    assert at(GREY, 0, 0) == (100, 100, 100)


@pytest.mark.parametrize(
    ("labels", "tints"), [(np.zeros(3, int), (RED,)), (np.array([[-1]]), (RED,)), (np.zeros((0, 2), int), (RED,)),
                          (np.zeros((2, 2), int), ())],
)  # fmt: skip
def test_labels_that_are_no_map(labels: Any, tints: Any) -> None:
    with pytest.raises(ShapeError, match=r"shape \(h, w\)"):
        draw_labels(GREY, labels, tints)


def test_heat_goes_from_blue_to_red() -> None:
    values = np.array([[0.0, 0.5, 1.0, 7.0]])
    drawn = draw_heat(Image.new("RGB", (4, 1)), values, strength=1.0)
    assert [at(drawn, x, 0) for x in range(4)] == [(20, 24, 90), (90, 220, 160), (220, 40, 30), (220, 40, 30)]
    half = draw_heat(Image.new("RGB", (4, 1), (100, 100, 100)), values, strength=0.5)
    assert at(half, 0, 0) == (60, 62, 95)
    for wrong in (np.zeros(3), np.array([[np.nan]]), np.zeros((0, 1))):
        with pytest.raises(ShapeError, match="heat map"):
            draw_heat(GREY, wrong)


def test_visibilities_dim_what_is_not_compared() -> None:
    regions = (Region("upper", 0, 0, 0.5, 1), Region("lower", 0.5, 0, 1, 1))
    white = Image.new("RGB", (32, 64), (255, 255, 255))
    drawn = draw_visibilities(white, regions, [0.9, 0.05], [True, False], height=64)
    assert drawn.height == 64
    assert drawn.width > 32
    assert at(drawn, 16, 16) == (255, 255, 255)
    assert max(at(drawn, 17, 50)) < 200
    column = np.asarray(drawn)[:, 32:]
    assert (column[:32] < 128).any()  # a number beside each
    assert (column[32:] < 128).any()
    for wrong in ([0.9], [0.9, 0.5, 0.1]):
        with pytest.raises(ShapeError, match=r"one visibility a region \(2\)"):
            draw_visibilities(white, regions, wrong, [True, False])


def test_crop_dims_what_is_cut_away() -> None:
    picture = Image.new("RGB", (20, 40), (200, 200, 200))
    drawn = draw_crop(picture, (10, 5, 30, 15))
    assert drawn.size == picture.size
    assert at(drawn, 10, 20) == (200, 200, 200)
    assert max(at(drawn, 10, 5)) < 100
    assert at(drawn, 5, 10) == at(drawn, 14, 29) == (255, 209, 64)
    assert max(at(drawn, 15, 29)) < 100
    assert at(draw_crop(picture, None), 10, 5) == (200, 200, 200)
    for wrong in ((0, 0, 41, 20), (5, 5, 5, 9), (-1, 0, 4, 4)):
        with pytest.raises(ShapeError, match="within the image"):
            draw_crop(picture, wrong)


def test_legend_has_a_colour_a_name() -> None:
    drawn = np.asarray(legend(("head", "foot"), (RED, BLUE)))
    colours = {tuple(pixel) for pixel in drawn.reshape(-1, 3).tolist()}
    assert {RED, BLUE} <= colours
    with pytest.raises(ShapeError, match="names and colours"):
        legend((), (RED,))


# -- what methods see ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(rendered_world: Path) -> ReidDataset:
    return open_dataset(rendered_world)


def drawn(name: str, world: ReidDataset, crop: Crop | None = None, **settings: Any) -> dict[str, Image.Image]:
    method = methods.create(name, 2, {**SMALL, **settings})
    method.crop = crop
    if hasattr(method, "reference_areas"):
        method.reference_areas.fill_(0.1)
    cues = cue_source(method, world, world.query)
    return method_figures(method, world.query, cues, count=3)


def test_sorn_predicts_parts_and_looks_at_stripes(world: ReidDataset) -> None:
    settings = {"set_channels": 4, "semantic_channels": 8}
    sheets = drawn("sorn", world, **settings, channel_sets=2)
    assert set(sheets) == {"parts", "attention"}
    assert set(drawn("sorn", world, **settings, semantic_branch=False, global_branch=False, local_branch=True)) == {
        "parts"
    }
    more = drawn("sorn", world, **settings, channel_sets=3)["attention"]
    assert more.width * 3 == sheets["attention"].width * 4  # an image and its maps, for two images in a row


def test_sgam_is_given_parts_and_may_be_cropped(world: ReidDataset) -> None:
    assert set(drawn("sgam", world)) == {"parts"}
    crop = Crop(CropSettings(mode="box"), (0.1,) * 4)
    assert set(drawn("sgam", world, crop)) == {"parts", "crop"}
    assert set(drawn("baseline", world, crop)) == {"crop"}
    assert drawn("baseline", world) == {}


def test_the_maps_of_sorn(world: ReidDataset) -> None:
    images = torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    for labels, names in ((2, ("person",)), (5, ("head", "torso", "arm", "leg"))):
        method = methods.create("sorn", 2, {**SMALL, "labels": labels, "set_channels": 4, "semantic_channels": 8})
        maps = method.eval().maps(images, Cues())
        assert maps.labels is not None
        assert maps.attention is not None
        assert tuple(maps.labels.shape) == (2, 16, 8)
        assert tuple(maps.attention.shape) == (2, 3, 4, 2)
        assert bool(((maps.attention > 0) & (maps.attention < 1)).all())
        assert maps.names == names
        assert int(maps.labels.max()) <= len(names)
    assert methods.create("baseline", 2, SMALL).maps(images, Cues()) == Maps()


def test_what_cannot_be_drawn(world: ReidDataset) -> None:
    method = methods.create("pgfa", 2, SMALL)
    with pytest.raises(MissingCueError, match="keypoints"):
        method_figures(method, world.query)
    for samples, count in ((world.query, 0), ((), 3)):
        with pytest.raises(UsageError, match="figures need images"):
            method_figures(method, samples, count=count)
