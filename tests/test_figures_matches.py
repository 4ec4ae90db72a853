"""Lines between matched places: pixels by hand, and a method whose places are told apart by their colour."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from occlureid.errors import ShapeError, UsageError
from occlureid.figures import match_figure, method_figures
from occlureid.figures import matched as figures
from occlureid.figures.matched import grid_of
from occlureid.matching import MatchRule
from occlureid.methods import Maps
from occlureid.plots import MatchLine, distance_scale, draw_matches
from occlureid.types import Cues, Descriptor, Sample
from tests.tiny_method import Config, TinyMethod

WHITE = Image.new("RGB", (32, 64), (255, 255, 255))


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3).tolist()}


def near(image: Image.Image, x: int, y: int, colour: tuple[int, int, int], by: int = 40) -> bool:
    pixel = np.asarray(image)[y, x].astype(int)
    return bool((abs(pixel - colour) <= by).all())


def test_lines_go_from_place_to_place_in_their_colour() -> None:
    lines = [MatchLine((0.5, 0.25), (0.5, 0.25), 0.1), MatchLine((0.5, 0.75), (0.5, 0.75), 0.9)]
    drawn = draw_matches(WHITE, WHITE, lines, (0.1, 0.9), height=640)
    assert drawn.size == (320 + 160 + 320, 640)
    green, red = (40, 200, 90), (230, 40, 40)
    for x in (160, 400, 640):  # its start, the gap, its end
        assert near(drawn, x, 160, green)
        assert near(drawn, x, 480, red)
    assert near(drawn, 400, 320, (255, 255, 255), 0)
    assert near(drawn, 40, 160, (255, 255, 255), 0)
    crossing = [MatchLine((0.5, 0.5), (0.5, 0.5), 0.1), MatchLine((0.5, 0.5), (0.5, 0.5), 5.0)]
    assert near(
        draw_matches(WHITE, WHITE, crossing, (0.1, 0.9), height=640), 400, 320, green
    )  # the nearest lies on top
    small = Image.new("RGB", (64, 32), (9, 9, 9))
    assert draw_matches(WHITE, small, [], (0, 1), height=64).size == (32 + 16 + 128, 64)
    assert WHITE.getpixel((16, 16)) == (255, 255, 255)


def test_the_scale_goes_from_green_to_red() -> None:
    assert {(40, 200, 90), (230, 40, 40)} <= colours(distance_scale((0.1, 0.5)))


@pytest.mark.parametrize(
    ("lines", "span", "height", "message"),
    [
        ([], (0.0, 1.0), 7, "at least 8 pixels"),
        ([], (1.0, 1.0), 64, "span of distances"),
        ([], (0.0, float("inf")), 64, "span of distances"),
        ([MatchLine((0, 0), (1.2, 0), 0.1)], (0.0, 1.0), 64, "end in both images"),
        ([MatchLine((0, 0), (1, 0), float("nan"))], (0.0, 1.0), 64, "finite distance"),
    ],
)
def test_lines_that_cannot_be_drawn(lines: Any, span: Any, height: int, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        draw_matches(WHITE, WHITE, lines, span, height=height)


@pytest.mark.parametrize(
    ("locations", "size", "grid"),
    [(192, (384, 128), (24, 8)), (8, (64, 32), (4, 2)), (28, (100, 50), (7, 4)), (1, (64, 32), (1, 1)), (16, (64, 64), (4, 4))],
)  # fmt: skip
def test_a_map_has_the_shape_of_its_image(locations: int, size: tuple[int, int], grid: tuple[int, int]) -> None:
    assert grid_of(locations, size) == grid


# -- a method whose local vectors are colours ----------------------------------------------------------------------------


class Patches(TinyMethod):
    """4 x 2 places of a 16 x 8 image; grey ones have no saliency."""

    rule = MatchRule(part_factor=0, spatial_weight=1)
    attentive = False

    def embed(self, images: Tensor, cues: Cues) -> Descriptor:
        places = F.avg_pool2d(images, 4).flatten(2).transpose(1, 2)
        none = images.new_zeros(len(images), 0)
        saliency = (places.amax(2) - places.amin(2)).round(decimals=3)
        return Descriptor(places.mean(1), none[:, :, None], none, places, saliency, fingerprint=self.fingerprint())

    def maps(self, images: Tensor, cues: Cues) -> Maps:
        heat = F.avg_pool2d(images, 4).amax(1, keepdim=True)
        return (
            Maps(attention=heat.repeat(1, 2, 1, 1), attention_names=("saliency", "mask")) if self.attentive else Maps()
        )


class Pruned(Patches):
    attentive = True

    def embed(self, images: Tensor, cues: Cues) -> Descriptor:
        whole = super().embed(images, cues)
        assert whole.spatial is not None
        assert whole.saliency is not None
        return Descriptor(
            whole.global_, whole.parts, whole.visibility, whole.spatial[:, :5], whole.saliency[:, :5], whole.fingerprint
        )


class Attentive(Patches):
    attentive = True


def picture(path: Path, places: dict[int, tuple[int, int, int]], person: str, camera: str) -> Sample:
    """An image of 4 x 2 grey places, some of them coloured."""
    pixels = np.full((16, 8, 3), 128, dtype=np.uint8)
    for t, colour in places.items():
        pixels[4 * (t // 2) : 4 * (t // 2) + 4, 4 * (t % 2) : 4 * (t % 2) + 4] = colour
    Image.fromarray(pixels).save(path)
    return Sample(path, person, camera)


RED, BLUE, GREEN = (220, 10, 10), (10, 10, 200), (10, 180, 10)


@pytest.fixture
def query(tmp_path: Path) -> Sample:
    return picture(tmp_path / "query.png", {0: RED, 5: BLUE}, "ann", "1")


@pytest.fixture
def gallery(tmp_path: Path) -> list[Sample]:
    return [
        picture(tmp_path / "same_camera.png", {2: GREEN}, "ann", "1"),
        picture(tmp_path / "same.png", {7: RED, 2: BLUE}, "ann", "2"),
        picture(tmp_path / "far.png", {1: GREEN}, "bob", "2"),
        picture(tmp_path / "nearer.png", {1: GREEN, 6: BLUE}, "bob", "2"),
    ]


def test_each_place_finds_its_colour(query: Sample, gallery: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[MatchLine]] = []
    captions: list[str] = []
    spans: set[tuple[float, float]] = set()

    def noted(first: Any, second: Any, lines: Any, span: Any, *, height: int) -> Image.Image:
        drawn.append(list(lines))
        spans.add(span)
        return draw_matches(first, second, lines, span, height=height)

    def sheet(panels: Any, columns: int, texts: list[str], *, height: int) -> Image.Image:
        captions.extend(texts)
        return Image.new("RGB", (10, 10))

    monkeypatch.setattr(figures, "draw_matches", noted)
    monkeypatch.setattr(figures, "contact_sheet", sheet)
    assert match_figure(Patches(Config(), 2), [query], gallery, lines=5) is not None
    same, other = drawn
    ends = {line.start: line.end for line in same}
    assert ends == {(0.25, 0.125): (0.75, 0.875), (0.75, 0.625): (0.25, 0.375)}  # red in 0 to 7, blue in 5 to 2
    assert all(line.distance == pytest.approx(0, abs=1e-6) for line in same)
    assert {line.start: line.end for line in other}[(0.75, 0.625)] == (
        0.25,
        0.875,
    )  # blue in 5 to 6 of the nearer image
    assert captions[0] == "same person: 0.000"
    assert captions[1].startswith("somebody else: 0.")
    ((low, high),) = spans  # one scale for the sheet
    assert low == pytest.approx(0, abs=1e-6)
    assert high == max(line.distance for line in other)
    drawn.clear()
    match_figure(Patches(Config(), 2), [query], gallery, lines=1)
    assert [len(lines) for lines in drawn] == [1, 1]
    assert drawn[0][0].start == (0.25, 0.125)  # red is the more salient


def test_sheets_of_matches_and_maps(query: Sample, gallery: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    method = Attentive(Config(), 2)
    sheet = match_figure(method, [query, query], gallery, count=2, columns=2)
    assert sheet is not None
    assert sheet.width > 2 * (144 + 72 + 144)
    captions: list[str] = []

    def noted(panels: Any, columns: int, texts: list[str], *, height: int) -> Image.Image:
        captions.extend(texts)
        return Image.new("RGB", (10, 10))

    monkeypatch.setattr("occlureid.figures.seen.contact_sheet", noted)
    assert set(method_figures(method, [query])) == {"attention"}
    assert captions == ["query", "saliency", "mask"]


def test_pairs_that_show_one_image_alone(query: Sample, gallery: list[Sample]) -> None:
    only_same = match_figure(Patches(Config(), 2), [query], gallery[:2], columns=2)
    both = match_figure(Patches(Config(), 2), [query], gallery, columns=2)
    assert only_same is not None
    assert both is not None
    assert only_same.width < both.width
    assert match_figure(TinyMethod(Config(), 2), [query], []) is None  # has no local vectors
    assert match_figure(Patches(Config(), 2), [], gallery) is None


def test_what_cannot_be_matched(query: Sample, gallery: list[Sample]) -> None:
    method = Patches(Config(), 2)
    with pytest.raises(UsageError, match="at least 1, got 1, 2 and 0"):
        match_figure(method, [query], gallery, count=1, lines=0)
    with pytest.raises(UsageError, match="none of 1 queries is, with 2 gallery images"):
        match_figure(method, [query], gallery[2:])
    with pytest.raises(UsageError, match=r"describes 5 of the 4 x 2 places .*keep_locations"):
        match_figure(Pruned(Config(), 2), [query], gallery)


def test_the_method_stays_as_it_was(query: Sample, gallery: list[Sample]) -> None:
    method = Patches(Config(norm=True), 2)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    match_figure(method, [query], gallery)
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
