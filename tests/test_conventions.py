"""What docs/conventions.md says, pinned: wrong conventions run correctly and are wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from occlureid.cues import gaussian_heatmaps
from occlureid.data import HorizontalFlip, Resize
from occlureid.matching import MatchRule, distance_matrix
from occlureid.models.heads import stripe_pool
from occlureid.synthetic import World, WorldSettings
from occlureid.types import KEYPOINT_NAMES, Cues, Descriptor

NOBODY = np.random.default_rng(0)


def dot(row: int, column: int, height: int = 8, width: int = 4) -> tuple[Image.Image, Cues]:
    """An image that is black but for one pixel, with every landmark on that pixel's centre."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[row, column] = 255
    keypoints = torch.tensor([column + 0.5, row + 0.5, 1.0]).repeat(len(KEYPOINT_NAMES), 1)
    return Image.fromarray(pixels), Cues(keypoints=keypoints)


def test_convention_sizes_are_height_width_and_points_are_x_y() -> None:
    image, cues = dot(6, 1)
    tensor, moved = Resize(32, 8)(image, cues, NOBODY)
    assert tensor.shape == (3, 32, 8)
    assert moved.require("keypoints")[0].tolist() == [1.5 * 2, 6.5 * 4, 1.0]
    brightest = divmod(int(tensor[0].argmax()), 8)
    assert brightest[0] in {25, 26}  # the pixel's centre lies at row 26.0, between two pixels
    assert brightest[1] in {2, 3}


def test_convention_images_are_rgb_in_0_1_channels_first() -> None:
    red = Image.new("RGB", (4, 8), (255, 0, 0))
    tensor, _ = Resize(8, 4)(red, Cues(), NOBODY)
    assert tensor[:, 0, 0].tolist() == [1.0, 0.0, 0.0]


def test_convention_flip_maps_x_to_width_minus_x_and_swaps_sides() -> None:
    image, _ = dot(6, 0)
    keypoints = torch.zeros(18, 3)
    left = KEYPOINT_NAMES.index("left_wrist")
    keypoints[left] = torch.tensor([0.5, 6.5, 1.0])
    tensor, cues = HorizontalFlip(1.0)(Resize(8, 4)(image, Cues(), NOBODY)[0], Cues(keypoints=keypoints), NOBODY)
    assert float(tensor[0, 6, 3]) == 1.0
    assert cues.require("keypoints")[KEYPOINT_NAMES.index("right_wrist")].tolist() == [3.5, 6.5, 1.0]
    assert float(cues.require("keypoints")[left].abs().sum()) == 0


def test_convention_pixel_centres_lie_at_one_half() -> None:
    keypoints = torch.tensor([[[2.5, 5.5, 1.0]]])
    heatmap = gaussian_heatmaps(keypoints, (8, 4), (8, 4), 1.0)[0, 0]
    assert divmod(int(heatmap.argmax()), 4) == (5, 2)
    assert float(heatmap[5, 2]) == 1.0
    assert float(heatmap[5, 1]) == float(heatmap[5, 3])


def test_convention_parts_are_ordered_top_to_bottom() -> None:
    features = torch.zeros(1, 1, 6, 2)
    features[:, :, :2] = 1.0
    assert stripe_pool(features, 3)[0, :, 0].tolist() == [1.0, 0.0, 0.0]


def test_convention_lower_is_closer() -> None:
    vectors = Descriptor.from_vectors(torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]))
    for rule in (MatchRule(part_factor=0), MatchRule(metric="euclidean", part_factor=0)):
        same, near, far = distance_matrix(rule, vectors[:1], vectors)[0].tolist()
        assert same < near < far


@pytest.mark.parametrize("side", ["left", "right"])
def test_convention_left_is_the_persons_left(side: str) -> None:
    """Who walks towards the camera has the left shoulder on the right of the image."""
    shot = World(WorldSettings(seed=3, size=(96, 48), occluded_train=0.0)).render("train", list(range(24)))
    facing = shot.keypoints[:, KEYPOINT_NAMES.index("nose"), 2] > 0.3
    left, right = (shot.keypoints[:, KEYPOINT_NAMES.index(f"{s}_shoulder"), 0] for s in ("left", "right"))
    both_ears = shot.self_occluded[:, [KEYPOINT_NAMES.index("left_eye"), KEYPOINT_NAMES.index("right_eye")]].sum(1) == 0
    chosen = facing & both_ears
    assert int(chosen.sum()) >= 3
    if side == "left":
        assert bool((left[chosen] > right[chosen]).float().mean() > 0.9)
    else:
        away = shot.self_occluded[:, KEYPOINT_NAMES.index("nose")] > 0
        assert int(away.sum()) >= 3
        assert bool((right[away] > left[away]).float().mean() > 0.7)


def test_the_page_exists_and_names_the_letters() -> None:
    text = (Path(__file__).parent.parent / "docs" / "conventions.md").read_text()
    for word in ("pixel centres", "`align_corners=False`", "top to bottom", "person's left", "infinity"):
        assert word in text
