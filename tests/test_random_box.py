"""A box cut wrongly moves the picture and its cues alike, and says nothing about what lies beyond the picture."""

import numpy as np
import pytest
import torch

from occlureid.data.random_box import RandomBox
from occlureid.errors import SettingsError, ShapeError
from occlureid.types import Cues

HEIGHT, WIDTH = 80, 40


class Given:
    """A source of "random" numbers that were chosen: what ``uniform`` and ``random`` give, in order."""

    def __init__(self, *values, side=2):
        self.values, self.side = list(values), side

    def uniform(self, low, high, size=None):
        return np.array([self.values.pop(0) for _ in range(size)]) if size else self.values.pop(0)

    def random(self):
        return self.values.pop(0)

    def choice(self, count, p):
        assert count == len(p)
        return self.side


def person():
    """A block of the person's with a landmark in its middle, at (20, 40)."""
    image = torch.zeros(3, HEIGHT, WIDTH)
    image[0, 36:44, 16:24] = 1.0
    keypoints = torch.zeros(18, 3)
    keypoints[0] = torch.tensor([20.0, 40.0, 0.9])
    return image, Cues(
        keypoints, torch.stack([image[0], torch.zeros(HEIGHT, WIDTH)]), image[0].clone(), part_flip=(0, 1)
    )


def centre(weight):
    weight = weight.double()
    y = (weight.sum(1) * (torch.arange(weight.shape[0]) + 0.5)).sum() / weight.sum()
    x = (weight.sum(0) * (torch.arange(weight.shape[1]) + 0.5)).sum() / weight.sum()
    return torch.stack([x, y])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("partial", [0.0, 1.0])
def test_a_landmark_stays_on_its_pixel(seed, partial):
    image, cues = person()
    before = image.clone()
    moved, after = RandomBox(0.15, partial, (0.15, 0.3))(image, cues, np.random.default_rng(seed))
    assert torch.equal(image, before)
    assert moved.shape == image.shape
    assert torch.allclose(after.keypoints[0, :2].double(), centre(moved[0]), atol=0.1)
    assert torch.allclose(after.keypoints[0, :2].double(), centre(after.foreground), atol=0.5)
    assert after.keypoints[0, 2] == pytest.approx(0.9)
    assert torch.equal(after.part_map[0], after.foreground)
    assert set(after.part_map.unique().tolist()) == {0.0, 1.0}, "hard maps stay hard"
    again, _ = RandomBox(0.15, partial, (0.15, 0.3))(image, cues, np.random.default_rng(seed))
    assert torch.equal(moved, again)


def test_zoom_by_hand():
    image, cues = person()
    moved, after = RandomBox(0.25)(image, cues, Given(0.25, 0.25, -0.25, -0.25, 1.0))
    # the middle half, rows 20 to 60 and columns 10 to 30, twice as large: the block of 8 becomes one of 16
    assert after.keypoints[0].tolist() == pytest.approx([20.0, 40.0, 0.9])
    expected = torch.zeros(HEIGHT, WIDTH)
    expected[32:48, 12:28] = 1.0
    assert torch.equal(after.foreground, expected)
    assert torch.equal((moved[0] > 0.5).float(), expected)


def test_what_is_beyond_the_image_goes_on_as_it_ends_and_is_nobody():
    image = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    cues = Cues(torch.tensor([[20.0, 40.0, 0.9]]), torch.ones(1, HEIGHT, WIDTH), torch.ones(HEIGHT, WIDTH))
    moved, after = RandomBox(0.25)(image, cues, Given(-0.25, 0.0, -0.25, 0.0, 1.0))
    # 20 rows beyond the upper edge come in, 20 rows at the lower edge go
    assert torch.allclose(moved[:, :20], image[:, :1].expand(3, 20, WIDTH), atol=1e-6)
    assert torch.allclose(moved[:, 20:], image[:, :60], atol=1e-6)
    assert not after.foreground[:20].any()
    assert after.foreground[20:].all()
    assert not after.part_map[:, :20].any()
    assert after.keypoints[0].tolist() == pytest.approx([20.0, 60.0, 0.9])


@pytest.mark.parametrize(("side", "kept"), [(0, False), (1, False), (2, True), (3, True)])
def test_partial_box_by_hand(side, kept):
    """A landmark at a quarter of height and width is lost where half is cut off above or at the left."""
    cues = Cues(keypoints=torch.tensor([[10.0, 20.0, 0.9]]))
    image = torch.zeros(3, HEIGHT, WIDTH)
    _, after = RandomBox(0.0, 1.0, (0.5, 0.5))(image, cues, Given(0.0, 0.0, 0.0, 0.0, 0.0, 0.5, side=side))
    places = {2: [10.0, 40.0, 0.9], 3: [20.0, 20.0, 0.9]}
    assert after.keypoints[0].tolist() == pytest.approx(places[side] if kept else [0.0] * 3)


def test_nothing_to_do_changes_nothing():
    image, cues = person()
    same, after = RandomBox(0.0)(image, cues, np.random.default_rng(0))
    assert same is image
    assert after is cues
    bare, after = RandomBox(0.2)(image, Cues(), np.random.default_rng(0))
    assert (after.keypoints, after.part_map, after.foreground) == (None, None, None)
    assert not torch.equal(bare, image)


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (3, 7)])
def test_smallest_images_survive(size):
    for seed in range(20):
        cues = Cues(foreground=torch.ones(size))
        moved, after = RandomBox(0.25, 1.0, (0.7, 0.7))(torch.ones(3, *size), cues, np.random.default_rng(seed))
        assert torch.equal(moved, torch.ones(3, *size))
        assert after.foreground.shape == size


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"jitter": 0.3}, "jitter"),
        ({"jitter": -0.1}, "jitter"),
        ({"jitter": float("nan")}, "jitter"),
        ({"partial": 1.5}, "partial"),
        ({"cut": (0.0, 0.5)}, "cut"),
        ({"cut": (0.5, 0.2)}, "cut"),
        ({"cut": (0.5, 0.9)}, "cut"),
    ],
)
def test_wrong_values_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        RandomBox(**values)


def test_wrong_shapes_are_refused():
    image, _ = person()
    for cues in (Cues(foreground=torch.ones(8, 8)), Cues(keypoints=torch.zeros(2, 18, 3))):
        with pytest.raises(ShapeError):
            RandomBox()(image, cues, np.random.default_rng(0))
