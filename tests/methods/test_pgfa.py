"""PGFA's equations, on cases small enough to work out by hand."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from occlureid import methods
from occlureid.errors import MissingCueError, SettingsError
from occlureid.matching import MatchRule, distance_matrix
from occlureid.methods.pgfa import PGFA, Output
from occlureid.types import Cues, Descriptor

SIZE = (96, 32)  # parts of 32 rows with p = 3


def make(**settings: Any) -> PGFA:
    built = methods.create("pgfa", 4, {"backbone": "resnet10t", "size": SIZE, "reduced": 8, **settings})
    assert isinstance(built, PGFA)
    return built


def landmarks(*points: tuple[float, float, float]) -> torch.Tensor:
    """(1, 18, 3) with the given points first and the rest not found."""
    keypoints = torch.zeros(1, 18, 3)
    for j, point in enumerate(points):
        keypoints[0, j] = torch.tensor(point)
    return keypoints


@pytest.mark.parametrize(
    ("settings", "confidence", "kept"),
    [
        ({}, 0.2, True),  # Eq. 2 keeps confidence >= gamma
        ({"confidence_rule": "above"}, 0.2, False),  # the released code keeps confidence > gamma
        ({}, 0.19, False),
        ({"confidence": 0.0}, 0.01, True),
        ({"confidence": 0.0}, 0.0, False),  # 0 means that the landmark was not found
    ],
)
def test_eq_2_threshold(settings: dict[str, Any], confidence: float, kept: bool) -> None:
    assert bool(make(**settings).kept(landmarks((5, 5, confidence)))[0, 0]) is kept


HIGH = (10.0, 10.0, 0.9)  # in the first part
MIDDLE = (10.0, 50.0, 0.9)
LOW = (10.0, 90.0, 0.9)


@pytest.mark.parametrize(
    ("settings", "points", "labels"),
    [
        ({}, [HIGH, HIGH, MIDDLE], [1, 1, 0]),
        ({}, [HIGH, MIDDLE, LOW], [1, 1, 1]),
        ({}, [MIDDLE, MIDDLE, LOW, (10, 10, 0.1)], [0, 1, 1]),  # an uncertain landmark says nothing
        ({"dropped_landmarks": "origin"}, [MIDDLE, MIDDLE, LOW, (10, 10, 0.1)], [1, 1, 1]),  # Eq. 2 and 5 to the letter
        ({}, [(1, 32.0, 0.9), HIGH, HIGH], [1, 1, 0]),  # the boundary belongs to the lower part ...
        ({"interval": "open"}, [(1, 32.0, 0.9), HIGH, HIGH], [1, 0, 0]),  # ... and to none in the released code
        ({}, [HIGH, HIGH], [1, 1, 1]),  # fewer than three landmarks: all parts count as visible
        ({"min_landmarks": 2}, [HIGH, HIGH], [1, 0, 0]),
        ({"min_landmarks": 0}, [(10, 10, 0.1)], [0, 0, 0]),
        ({"min_landmarks": 0}, [], [1, 1, 1]),  # no person found
        ({"parts": 6}, [HIGH, MIDDLE, LOW], [1, 0, 0, 1, 0, 1]),
        ({"parts": 1}, [HIGH, MIDDLE, LOW], [1]),
        ({"confidence": 0.95}, [HIGH, MIDDLE, LOW], [1, 1, 1]),  # nothing certain enough: too few landmarks
    ],
)
def test_eq_5_part_labels(
    settings: dict[str, Any], points: list[tuple[float, float, float]], labels: list[int]
) -> None:
    assert make(**settings).part_labels(landmarks(*points))[0].tolist() == labels


def test_heatmaps_are_gaussians_of_the_papers_code() -> None:
    built = make(size=(256, 128))
    keypoints = landmarks((64.0, 128.0, 0.9), (64.0, 128.0, 0.1))
    maps, used = built.heatmaps(keypoints, (256, 128))
    assert used[0, :3].tolist() == [True, False, False]
    assert float(maps[0, 1:].abs().sum()) == 0  # dropped or not found: zero maps
    sigma = 256 * 128 / 1000
    for row, column in ((128, 64), (100, 64), (200, 30)):
        expected = math.exp(-((row + 0.5 - 128) ** 2 + (column + 0.5 - 64) ** 2) / (2 * sigma**2))
        assert float(maps[0, 0, row, column]) == pytest.approx(expected, abs=1e-5)


def test_heatmaps_do_not_depend_on_the_input_size() -> None:
    small, large = make(size=(128, 64)), make(size=(256, 128))
    keypoints = landmarks((20.0, 40.0, 0.9))
    scaled = keypoints * torch.tensor([2.0, 2.0, 1.0])
    torch.testing.assert_close(
        small.heatmaps(keypoints, (8, 4))[0], large.heatmaps(scaled, (8, 4))[0], atol=2e-3, rtol=0
    )


def test_sigma_can_be_set() -> None:
    built = make(size=(256, 128), sigma=2.0)
    maps, _ = built.heatmaps(landmarks((64.5, 128.5, 0.9)), (256, 128))
    assert float(maps[0, 0, 128, 66]) == pytest.approx(math.exp(-(2**2) / (2 * 2**2)), abs=1e-5)


def test_an_image_without_a_person_is_looked_at_as_a_whole() -> None:
    maps, used = make().heatmaps(landmarks(), (6, 2))
    assert bool((maps == 1).all())
    assert bool(used.all())


class Fixed(nn.Module):
    """A backbone that gives a known map."""

    def __init__(self, features: torch.Tensor) -> None:
        super().__init__()
        self.features = features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.features


class Spy(nn.Module):
    """A head that keeps what it is given."""

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen = features
        return features, features


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_pose_guided_global_feature(sign: float) -> None:
    """GAP(F) beside the max over landmarks of GAP(M_j * F), by loops; dropped landmarks leave the max alone."""
    built = make().eval()
    features = sign * torch.rand(2, 5, 6, 2, generator=torch.Generator().manual_seed(0))
    built.backbone = Fixed(features)
    built.part_heads = nn.ModuleList(Spy() for _ in range(3))
    built.pose_head = Spy()
    keypoints = torch.cat([landmarks(HIGH, MIDDLE, (3, 60, 0.1)), landmarks((5, 70, 0.8), LOW)])
    built(torch.rand(2, 3, *SIZE), Cues(keypoints=keypoints))
    maps, used = built.heatmaps(keypoints, (6, 2))
    for b in range(2):
        for c in range(5):
            values = [
                sum(float(maps[b, j, y, x] * features[b, c, y, x]) for y in range(6) for x in range(2)) / 12
                for j in range(18)
                if bool(used[b, j])
            ]
            assert len(values) == 2
            assert float(built.pose_head.seen[b, 5 + c]) == pytest.approx(max(values), abs=1e-6)
            assert float(built.pose_head.seen[b, c]) == pytest.approx(float(features[b, c].mean()), abs=1e-6)
    for i, head in enumerate(built.part_heads):
        torch.testing.assert_close(head.seen, features[:, :, 2 * i : 2 * i + 2].mean((2, 3)))


def test_pose_of_nobody_certain_is_zero() -> None:
    built = make().eval()
    built.backbone = Fixed(torch.rand(1, 5, 6, 2))
    built.part_heads = nn.ModuleList(Spy() for _ in range(3))
    built.pose_head = Spy()
    built(torch.rand(1, 3, *SIZE), Cues(keypoints=landmarks((5, 5, 0.1))))
    assert built.pose_head.seen[0, 5:].tolist() == [0.0] * 5


@pytest.mark.parametrize("balance", [0.0, 0.2, 0.9, 1.0])
def test_eq_1_3_and_4_losses(balance: float) -> None:
    built = make(balance=balance)
    part_logits = torch.tensor([[[0.0, 0, 0, 0], [math.log(3), 0, 0, 0], [0, 0, 0, 0]]])
    pose_logits = torch.tensor([[math.log(5), 0, 0, 0]])
    nothing = torch.zeros(1, 3, 1)
    output = Output(nothing, nothing, part_logits, nothing[:, 0], pose_logits, torch.ones(1, 3))
    terms = built.losses(output, torch.tensor([0]), Cues())
    part = -math.log(1 / 4) - math.log(3 / 6) - math.log(1 / 4)  # a sum over the parts, not a mean
    assert terms["part"].item() == pytest.approx(balance * part, abs=1e-6)
    assert terms["pose"].item() == pytest.approx((1 - balance) * -math.log(5 / 8), abs=1e-6)


def unit(angle: float) -> list[float]:
    return [math.cos(math.radians(angle)), math.sin(math.radians(angle))]


def test_eq_6_to_8_by_hand() -> None:
    """Pose vectors 60 degrees apart; parts 0, 90 and 60 degrees apart; the query hides part 2, the gallery image part 3."""
    query = Descriptor(
        torch.tensor([unit(0)]), torch.tensor([[unit(0), unit(0), unit(0)]]), torch.tensor([[1.0, 0, 1]])
    )
    gallery = Descriptor(
        torch.tensor([unit(60)]), torch.tensor([[unit(0), unit(90), unit(60)]]), torch.tensor([[1.0, 1, 0]])
    )
    similarity = (1 * 1.0 + 0.5) / (1 + 1)  # (l_1 d_1 + d_pose) / (sum l + 1): only part 1 is shared
    found = distance_matrix(make().rule, query, gallery)
    assert float(found) == pytest.approx(1 - similarity, abs=1e-6)
    everything = (1.0 + 0.0 + 0.5 + 0.5) / 4
    assert float(distance_matrix(make(match="all_visible").rule, query, gallery)) == pytest.approx(
        1 - everything, abs=1e-6
    )
    assert float(distance_matrix(make(match="global_only").rule, query, gallery)) == pytest.approx(0.5, abs=1e-6)
    assert float(distance_matrix(make(match="parts_only").rule, query, gallery)) == pytest.approx(0.0, abs=1e-6)


def test_a_branch_that_is_not_trained_is_not_matched() -> None:
    assert make(balance=0.0).rule == make(match="global_only").rule == MatchRule(part_factor=0)
    assert make(balance=1.0).rule == make(match="parts_only").rule == MatchRule(global_weight=0)
    assert make().rule == MatchRule()


def test_describes_what_the_equations_compare() -> None:
    keypoints = landmarks(HIGH, HIGH, HIGH)
    images = torch.rand(1, 3, *SIZE)
    for feature, channels in (("reduced", 8), ("pooled", 512)):
        built = make(partial_test_feature=feature)
        described = built.describe(images, Cues(keypoints=keypoints))
        assert described.global_.shape == (1, 8)
        assert described.parts.shape == (1, 3, channels)
        assert described.visibility.tolist() == [[1, 0, 0]]
        output = built.eval()(images, Cues(keypoints=keypoints))
        torch.testing.assert_close(described.parts, getattr(output, feature).detach())


def test_training_without_landmarks_is_refused() -> None:
    with pytest.raises(MissingCueError, match="'keypoints'"):
        make()(torch.rand(1, 3, *SIZE), Cues())


@pytest.mark.parametrize(
    "wrong", [{"parts": 0}, {"balance": 1.1}, {"confidence": -0.1}, {"sigma": "wide"}, {"min_landmarks": 19}]
)
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"setting '{next(iter(wrong))}"):
        make(**wrong)
