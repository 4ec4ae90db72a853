"""Image and cues move together: a landmark stays on the pixel it was on, a map on the pixels it covered."""

import numpy as np
import pytest
import torch
from PIL import Image

from occlureid.data.transforms import (
    IMAGENET_MEAN,
    Compose,
    HorizontalFlip,
    PadCrop,
    RandomErasing,
    Resize,
    to_tensor,
)
from occlureid.errors import SettingsError, ShapeError
from occlureid.types import KEYPOINT_FLIP, KEYPOINT_NAMES, Cues

HEIGHT, WIDTH = 48, 24
LEFT_WRIST, RIGHT_WRIST = KEYPOINT_NAMES.index("left_wrist"), KEYPOINT_NAMES.index("right_wrist")


def rng(seed=0):
    return np.random.default_rng(seed)


def dot(row=20, column=5, landmark=LEFT_WRIST):
    """A black image with one red block of 4 x 4, a landmark at its centre, and maps that cover it."""
    image = torch.zeros(3, HEIGHT, WIDTH)
    image[0, row - 2 : row + 2, column - 2 : column + 2] = 1.0
    keypoints = torch.zeros(18, 3)
    keypoints[landmark] = torch.tensor([float(column), float(row), 0.9])
    parts = torch.zeros(2, HEIGHT, WIDTH)
    parts[0] = image[0]
    return image, Cues(keypoints, parts, image[0].clone(), part_flip=(1, 0))


def red_centre(image):
    """(x, y) of the mean red pixel, pixel centres at +0.5."""
    weight = image[0].double()
    y = (weight.sum(1) * (torch.arange(image.shape[1]) + 0.5)).sum() / weight.sum()
    x = (weight.sum(0) * (torch.arange(image.shape[2]) + 0.5)).sum() / weight.sum()
    return torch.stack([x, y])


def pillow(image):
    return Image.fromarray((image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))


TRANSFORMS = {
    "larger": Resize(96, 72),
    "smaller": Resize(16, 16),
    "odd": Resize(61, 31),
    "flip": HorizontalFlip(p=1.0),
    "crop": PadCrop(4),
    "all": Compose((Resize(96, 32), HorizontalFlip(p=1.0), PadCrop(2))),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("as_pillow", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_landmark_stays_on_its_pixel(name, as_pillow, seed):
    image, cues = dot()
    moved, after = TRANSFORMS[name](pillow(image) if as_pillow else image, cues, rng(seed))
    found = after.keypoints[after.keypoints[:, 2] > 0]
    assert len(found) == 1
    assert torch.allclose(found[0, :2].double(), red_centre(moved), atol=0.05)
    assert found[0, 2] == pytest.approx(0.9)
    assert after.foreground.shape == moved.shape[1:]
    covered = after.part_map.sum(0)
    assert torch.allclose(covered, after.foreground, atol=1e-6)
    assert torch.allclose(red_centre(covered[None]), red_centre(moved), atol=0.05)
    assert 0.0 <= float(covered.min()) <= float(covered.max()) <= 1.0
    assert 0.0 <= float(moved.min()) <= float(moved.max()) <= 1.0


@pytest.mark.parametrize("as_pillow", [False, True])
def test_resize_gives_the_size_and_scales_exactly(as_pillow):
    image, cues = dot(row=20, column=6)
    moved, after = Resize(96, 12)(pillow(image) if as_pillow else image, cues, rng())
    assert moved.shape == (3, 96, 12)
    assert moved.dtype == torch.float32
    assert after.keypoints[LEFT_WRIST].tolist() == pytest.approx([3.0, 40.0, 0.9])
    assert after.part_map.shape == (2, 96, 12)


def test_resize_of_pillow_and_tensor_agree():
    noise = rng().integers(80, 176, (64, 32, 3), dtype=np.uint8)  # no overshoot to clip between two passes
    picture = Image.fromarray(noise)
    for size in ((96, 48), (16, 8)):
        one, _ = Resize(*size)(picture, Cues(), rng())
        two, _ = Resize(*size)(to_tensor(picture), Cues(), rng())
        assert (one - two).abs().max() < 2 / 255, "Pillow rounds to 8 bits"


def test_resized_parts_and_background_still_sum_to_one():
    labels = torch.from_numpy(rng().integers(0, 3, (HEIGHT, WIDTH)))
    every = torch.stack([(labels == k).float() for k in range(3)])
    image = torch.zeros(3, HEIGHT, WIDTH)
    _, after = Resize(17, 50)(image, Cues(part_map=every), rng())
    assert torch.allclose(after.part_map.sum(0), torch.ones(17, 50), atol=1e-5)


def test_flip_swaps_the_sides():
    image, cues = dot(landmark=LEFT_WRIST)
    flipped, after = HorizontalFlip(p=1.0)(image, cues, rng())
    assert torch.equal(flipped, image.flip(2))
    assert after.keypoints[RIGHT_WRIST].tolist() == pytest.approx([WIDTH - 5.0, 20.0, 0.9])
    assert float(after.keypoints[LEFT_WRIST].abs().sum()) == 0.0
    assert float(after.part_map[0].sum()) == 0.0
    assert torch.equal(after.part_map[1], image[0].flip(1))
    _, unsided = HorizontalFlip(p=1.0)(image, Cues(part_map=cues.part_map), rng())
    assert torch.equal(unsided.part_map[0], image[0].flip(1)), "without sides the channels stay"


def test_flip_twice_is_the_identity():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, HEIGHT, WIDTH, generator=generator)
    keypoints = torch.rand(18, 3, generator=generator) * torch.tensor([WIDTH, HEIGHT, 1.0])
    keypoints[[3, 9]] = 0.0
    cues = Cues(keypoints, torch.rand(3, HEIGHT, WIDTH, generator=generator), torch.rand(HEIGHT, WIDTH), (0, 2, 1))
    flip = HorizontalFlip(p=1.0)
    again, after = flip(*flip(image, cues, rng()), rng())
    assert torch.equal(again, image)
    assert torch.allclose(after.keypoints, keypoints, atol=1e-5)
    assert torch.equal(after.part_map, cues.part_map)
    assert torch.equal(after.foreground, cues.foreground)
    assert [KEYPOINT_FLIP[KEYPOINT_FLIP[j]] for j in range(18)] == list(range(18))


def test_a_landmark_that_was_not_found_stays_nowhere():
    image, _ = dot()
    cues = Cues(keypoints=torch.zeros(18, 3))
    for transform in TRANSFORMS.values():
        assert float(transform(image, cues, rng())[1].keypoints.abs().sum()) == 0.0


def test_a_landmark_that_leaves_the_image_is_not_found():
    image, cues = dot(row=2, column=2)
    gone = 0
    for seed in range(40):
        moved, after = PadCrop(8)(image, cues, rng(seed))
        assert moved.shape == image.shape
        x, y, confidence = after.keypoints[LEFT_WRIST].tolist()
        if confidence == 0:
            gone += 1
            assert (x, y) == (0.0, 0.0)
            assert float(moved.sum()) < 16
        else:
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT
    assert 0 < gone < 40


def test_pad_crop_pads_with_black_and_zero_pads_nothing():
    image = torch.ones(3, HEIGHT, WIDTH)
    moved, after = PadCrop(10)(image, Cues(foreground=torch.ones(HEIGHT, WIDTH)), rng(1))
    assert set(moved.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(after.foreground, moved[0])
    assert torch.equal(PadCrop(0)(image, Cues(), rng())[0], image)


def erased(transform, cues=None, seed=0):
    image = torch.full((3, HEIGHT, WIDTH), 0.111)
    after, moved = transform(image, cues or Cues(), rng(seed))
    changed = (after != image).any(0)
    return after, moved, changed


@pytest.mark.parametrize("fill", ["mean", "random"])
def test_erasing_paints_one_rectangle_of_the_stated_size(fill):
    for seed in range(20):
        after, _, changed = erased(RandomErasing(p=1.0, area=(0.1, 0.2), aspect=(0.5, 2.0), fill=fill), seed=seed)
        rows, columns = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
        height, width = len(rows), len(columns)
        assert int(changed.sum()) == height * width, "a rectangle without holes"
        assert 0.08 < height * width / (HEIGHT * WIDTH) < 0.22
        assert 0.4 < height / width < 2.5
        inside = after[:, rows[0], columns[0]]
        if fill == "mean":
            assert torch.allclose(inside, torch.tensor(IMAGENET_MEAN))
        else:
            assert len(after[:, changed].unique()) > 0.9 * 3 * height * width
    assert 0.0 <= float(after.min()) <= float(after.max()) <= 1.0


@pytest.mark.parametrize("hide_cues", [True, False])
def test_erasing_hides_the_cues_that_it_covers_or_leaves_them(hide_cues):
    grid = torch.tensor([[x + 0.5, y + 0.5, 1.0] for x, y in zip(range(3, 21), range(0, 36, 2), strict=True)])
    ones = torch.ones(HEIGHT, WIDTH)
    cues = Cues(grid, ones.repeat(2, 1, 1), ones)
    _, after, changed = erased(RandomErasing(p=1.0, area=(0.3, 0.4), hide_cues=hide_cues), cues, seed=3)
    covered = torch.tensor([bool(changed[int(y), int(x)]) for x, y, _ in grid.tolist()])
    assert covered.any()
    assert not covered.all()
    if hide_cues:
        assert torch.equal(after.keypoints, grid * ~covered[:, None])
        assert torch.equal(after.foreground, (~changed).float())
        assert torch.equal(after.part_map, (~changed).float().repeat(2, 1, 1))
    else:
        assert after is cues
    assert float(ones.sum()) == HEIGHT * WIDTH, "the cues that came in are not changed"


def test_erasing_that_fits_nowhere_changes_nothing():
    assert not erased(RandomErasing(p=1.0, area=(0.9, 0.99), aspect=(50.0, 60.0)))[2].any()


@pytest.mark.parametrize("transform", [HorizontalFlip(0.5), RandomErasing(0.5)])
def test_probabilities(transform):
    image = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    hits = sum(not torch.equal(transform(image, Cues(), rng(seed))[0], image) for seed in range(200))
    assert 75 < hits < 125
    never = type(transform)(p=0.0)
    assert all(torch.equal(never(image, Cues(), rng(seed))[0], image) for seed in range(20))


def test_the_generator_alone_decides():
    image, cues = dot()
    before = image.clone(), cues.keypoints.clone(), cues.part_map.clone()
    steps = Compose((HorizontalFlip(), PadCrop(5), RandomErasing(fill="random")))
    one, two = (steps(image, cues, rng(7)) for _ in range(2))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1].keypoints, two[1].keypoints)
    assert any(not torch.equal(one[0], steps(image, cues, rng(seed))[0]) for seed in range(5))
    assert all(torch.equal(a, b) for a, b in zip(before, (image, cues.keypoints, cues.part_map), strict=True))


def test_no_step_still_makes_a_tensor():
    tensor, _ = Compose(())(Image.new("RGB", (3, 2), (255, 0, 51)), Cues(), rng())
    assert tensor.shape == (3, 2, 3)
    assert tensor[:, 0, 0].tolist() == pytest.approx([1.0, 0.0, 0.2])


@pytest.mark.parametrize("transform", [Resize(8, 8), HorizontalFlip(), PadCrop(), RandomErasing()])
@pytest.mark.parametrize(
    ("image", "cues", "message"),
    [
        (torch.zeros(1, 8, 8), Cues(), r"shape \(3, H, W\), got torch.float32 \(1, 8, 8\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), Cues(), "got torch.uint8"),
        (Image.new("L", (8, 8)), Cues(), "must be RGB, got mode L"),
        (torch.zeros(3, 8, 8), Cues(foreground=torch.zeros(8, 9)), r"foreground must be of the image's size \(8, 8\)"),
        (torch.zeros(3, 8, 8), Cues(part_map=torch.zeros(2, 9, 8)), "part_map must be of the image's size"),
        (torch.zeros(3, 8, 8), Cues(keypoints=torch.zeros(2, 18, 3)), r"keypoints of one image have shape \(J, 3\)"),
    ],
)
def test_what_does_not_fit_is_named(transform, image, cues, message):
    with pytest.raises(ShapeError, match=message):
        transform(image, cues, rng())


def test_a_flip_needs_to_know_the_sides():
    with pytest.raises(ShapeError, match="needs the 18 landmarks, got 13"):
        HorizontalFlip(p=1.0)(torch.zeros(3, 8, 8), Cues(keypoints=torch.zeros(13, 3)), rng())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Resize(0, 4), "size"),
        (lambda: HorizontalFlip(p=1.5), "p must lie"),
        (lambda: RandomErasing(p=-0.1), "p must lie"),
        (lambda: RandomErasing(area=(0.5, 0.2)), "area"),
        (lambda: RandomErasing(area=(0.0, 0.2)), "area"),
        (lambda: RandomErasing(aspect=(2.0, 1.0)), "aspect"),
        (lambda: RandomErasing(fill="white"), "fill"),
        (lambda: PadCrop(-1), "padding"),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises(SettingsError, match=message):
        make()
