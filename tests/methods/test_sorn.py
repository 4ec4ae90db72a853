"""SORN's equations, on cases small enough to work out by hand."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from occlureid import methods
from occlureid.cues import PART_NAMES
from occlureid.errors import DataError, MissingCueError, SettingsError, ShapeError
from occlureid.matching import MatchRule, distance_matrix
from occlureid.matching.kernel import part_weights
from occlureid.methods.sorn import SORN, Output, aggregation_maps, spatial_patch_contrast
from occlureid.types import Cues, Descriptor
from tests.trained import Figures

SIZE = (96, 32)  # a feature map of 6 x 2, a prediction of 24 x 8
NAMES = {part: number for number, part in enumerate(PART_NAMES)}


def make(**settings: Any) -> SORN:
    small = {"backbone": "resnet10t", "size": SIZE, "set_channels": 4, "semantic_channels": 8}
    built = methods.create("sorn", 4, {**small, **settings})
    assert isinstance(built, SORN)
    return built


def images(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def parts(**rows: tuple[int, int]) -> torch.Tensor:
    """(1, 7, 96, 32): each named part fills the rows from the first number to the second."""
    maps = torch.zeros(1, 7, *SIZE)
    for name, (top, bottom) in rows.items():
        maps[0, NAMES[name], top:bottom] = 1.0
    return maps


def nothing(**tensors: torch.Tensor) -> Output:
    empty = dict.fromkeys(
        ("local_pooled", "local", "local_logits", "global_pooled", "global_", "global_logits", "maps", "part_logits")
    )
    return Output(context=torch.zeros(1, 1), **{**empty, **tensors})  # type: ignore[arg-type]


# -- the global branch ---------------------------------------------------------------------------------------------------


def test_eq_2_to_4_by_hand() -> None:
    """Two sets of two channels on a map of 2 x 1."""
    features = torch.tensor([[[1.0], [2.0]], [[3.0], [0.0]], [[0.0], [5.0]], [[1.0], [1.0]]])[None]
    maps = aggregation_maps(features, 2)  # A_1 = (4, 2), A_2 = (1, 6); averages 3 and 3.5
    expected = [[1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))], [1 / (1 + math.exp(2.5)), 1 / (1 + math.exp(-2.5))]]
    torch.testing.assert_close(maps[0, :, :, 0], torch.tensor(expected))


def test_eq_5_by_hand() -> None:
    """M_1 has 0.5 + 0.25 outside its upper patch, M_2 has 0.125 + 1 outside its lower."""
    maps = torch.tensor([[[1.0, 0.75], [0.5, 0.25]], [[0.125, 1.0], [0.5, 0.0]]])[None]
    assert spatial_patch_contrast(torch.cat([maps, 2 * maps])).tolist() == [1.875, 3.75]


@pytest.mark.parametrize(
    ("sets", "height", "stripes"),
    [(3, 6, [0, 0, 1, 1, 2, 2]), (2, 3, [0, 1, 1]), (4, 6, [0, 1, 1, 2, 3, 3]), (3, 7, [0, 0, 1, 1, 1, 2, 2])],
)
def test_patches_of_eq_5_share_the_rows_out(sets: int, height: int, stripes: list[int]) -> None:
    """Each row belongs to exactly one patch, that which holds its centre (a centre on an edge: the lower)."""
    for row in range(height):
        lit = torch.zeros(1, sets, height, 2)
        lit[0, :, row] = 1.0
        assert float(spatial_patch_contrast(lit)) == 2 * (sets - 1)
        lit[0, stripes[row]] = 0.0
        assert float(spatial_patch_contrast(lit)) == 2 * (sets - 1)  # what was taken away lay in its own patch


def test_one_channel_set_makes_the_loss_zero() -> None:
    built = make(channel_sets=1)
    output = built.train()(images(), Cues())
    terms = built.losses(output, torch.tensor([0, 1]), Cues(part_map=torch.zeros(2, 7, *SIZE)))
    assert terms["spc"].item() == 0.0
    assert float(spatial_patch_contrast(aggregation_maps(torch.randn(2, 5, 6, 2), 1)).abs().sum()) == 0.0


def test_taking_the_same_from_all_activations_changes_nothing() -> None:
    features = torch.randn(2, 12, 6, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    shift = torch.linspace(-20, 5, 12, dtype=torch.float64).view(12, 1, 1)  # another for each channel
    before, after = (spatial_patch_contrast(aggregation_maps(f, 3)) for f in (features, features + shift))
    torch.testing.assert_close(before, after, atol=1e-4, rtol=0)


def test_activations_without_contrast_are_no_way_out() -> None:
    """At T_g = 0 the loss is that of knowing nothing, (N - 1) h w / 2, and its gradient leads away: up inside, down outside."""
    features = torch.zeros(1, 6, 6, 2, requires_grad=True)
    loss = spatial_patch_contrast(aggregation_maps(features, 3)).sum()
    assert loss.item() == (3 - 1) * 6 * 2 / 2
    loss.backward()
    inside = torch.zeros(3, 6, dtype=torch.bool)
    for n in range(3):
        inside[n, 2 * n : 2 * n + 2] = True
    # dL/dA = 1/4 ([outside] - share of the map that is outside)
    expected = torch.where(inside, -1 / 6, 1 / 12)[:, None, :, None].expand(3, 2, 6, 2).reshape(1, 6, 6, 2)
    torch.testing.assert_close(features.grad, expected)


def test_shrinking_activations_costs() -> None:
    """Where a map is below its average outside its patch, scaling T_g towards 0 raises the loss all the way to N - 1 halves."""
    features = torch.full((1, 6, 6, 2), -1.0)
    for n in range(3):
        features[:, 2 * n : 2 * n + 2, 2 * n : 2 * n + 2] = 0.5
    losses = [float(spatial_patch_contrast(aggregation_maps(features * s, 3))) for s in (8, 2, 1, 0.5, 0.1, 0.01, 0)]
    assert losses == sorted(losses)
    assert len(set(losses)) == len(losses)
    assert losses[-1] == 12


def test_suppressing_the_other_patches_activates_the_own() -> None:
    features = torch.zeros(1, 3, 6, 2)
    features[:, 0, 2:] = -3.0  # map 0, outside its patch: nothing is added inside
    maps = aggregation_maps(features, 3)[0, 0]
    assert bool((maps[:2] > 0.85).all())
    assert bool((maps[2:] < 0.3).all())


@pytest.mark.trained
def test_descent_lights_each_map_in_its_own_patch(figures: Figures) -> None:
    features = torch.zeros(1, 6, 6, 2, requires_grad=True)
    optimiser = torch.optim.SGD([features], 1.0)
    for _ in range(40):
        optimiser.zero_grad()
        spatial_patch_contrast(aggregation_maps(features, 3)).sum().backward()
        optimiser.step()
    maps = aggregation_maps(features.detach(), 3)[0].mean(2)
    for n in range(3):  # nothing is drawn: 0.998 and 0.045 with 1 and 2 threads and both instruction sets
        figures.above("least in its own patch", float(maps[n, 2 * n : 2 * n + 2].min()), 0.9)
        figures.below("most outside", float(torch.cat([maps[n, : 2 * n], maps[n, 2 * n + 2 :]]).max()), 0.2)


# -- the labels and the losses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(8, [1, 2, 3, 4, 5, 6, 7, 0]), (5, [1, 2, 3, 3, 4, 4, 4, 0]), (2, [1, 1, 1, 1, 1, 1, 1, 0])],
)
@pytest.mark.parametrize("resize", ["nearest", "area"])
def test_labels_are_grouped(labels: int, expected: list[int], resize: str) -> None:
    bands = parts(**{name: (12 * i, 12 * i + 12) for i, name in enumerate(PART_NAMES)})
    found = make(labels=labels, label_resize=resize).pixel_labels(bands, (24, 8))
    assert found.shape == (1, 24, 8)
    assert found[0, ::3, 0].tolist() == found[0, 2::3, 7].tolist() == expected


def test_shares_are_added_before_the_largest_is_taken() -> None:
    """A pixel of 0.3 upper and 0.3 lower arm, and 0.4 background, is arm where the two are one label."""
    maps = 0.3 * (parts(upper_arm=(0, 96)) + parts(lower_arm=(0, 96)))
    assert int(make(labels=8).pixel_labels(maps, (24, 8)).unique()) == 0
    assert int(make(labels=5).pixel_labels(maps, (24, 8)).unique()) == 3


def test_area_takes_the_label_of_most_of_the_pixel() -> None:
    maps = parts(head=(0, 3), torso=(3, 96))
    maps[0, :, :, 16:] = 0.0
    built = make(label_resize="area")
    assert built.pixel_labels(maps, (24, 8))[0, :2, 0].tolist() == [1, 2]
    flipped = built.pixel_labels(maps.flip(-1), (24, 8))
    assert torch.equal(flipped, built.pixel_labels(maps, (24, 8)).flip(-1))
    assert flipped[0, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("shape", [(1, 6, 96, 32), (1, 20, 96, 32), (1, 7, 96, 48), (1, 7, 24, 8), (7, 96, 32)])
def test_other_part_maps_are_refused(shape: tuple[int, ...]) -> None:
    built = make()
    logits = torch.zeros(1, 8, 24, 8)
    with pytest.raises(ShapeError, match=r"part_map must have shape \(B, 7, 96, 32\) with the parts head, torso"):
        built.losses(nothing(part_logits=logits), torch.tensor([0]), Cues(part_map=torch.zeros(shape)))


def test_eq_1_6_7_and_10_by_hand() -> None:
    local = torch.tensor([[[0.0, 0, 0, 0], [math.log(3), 0, 0, 0], [0, 0, 0, 0]]])
    part_logits = torch.zeros(1, 8, 24, 8)
    part_logits[:, 0, :12] = math.log(3)  # the upper half is taken for background, with 3 / 10
    maps = torch.full((1, 3, 6, 2), 0.5)
    output = nothing(
        local_logits=local, global_logits=torch.tensor([[math.log(5), 0, 0, 0]]), maps=maps, part_logits=part_logits
    )
    cues = Cues(part_map=parts(torso=(48, 96)))
    terms = make(label_smoothing=0.0).losses(output, torch.tensor([0]), cues)
    assert set(terms) == {"local", "global", "spc", "semantic"}
    assert terms["local"].item() == pytest.approx(2 * math.log(4) + math.log(2), abs=1e-6)  # a sum over the stripes
    assert terms["global"].item() == pytest.approx(0.75 * -math.log(5 / 8), abs=1e-6)
    assert terms["spc"].item() == pytest.approx(0.5 * 12)
    assert terms["semantic"].item() == pytest.approx(1.5 * (math.log(10 / 3) + math.log(8)) / 2, abs=1e-6)
    mean = make(spc_reduction="mean_pixels").losses(output, torch.tensor([0]), cues)
    assert mean["spc"].item() == pytest.approx(0.5 * 12 / (3 * 6 * 2))
    weighted = make(weight_global=2.0, weight_spc=0.0, weight_semantic=1.0, label_smoothing=0.0)
    other = weighted.losses(output, torch.tensor([0]), cues)
    assert other["global"].item() == pytest.approx(2 * -math.log(5 / 8), abs=1e-6)
    assert "spc" not in other
    assert other["semantic"].item() == pytest.approx(terms["semantic"].item() / 1.5, abs=1e-6)


def test_eq_9_by_hand() -> None:
    """With K = 8 and epsilon = 0.1: q is 1 - 7/80 for the label and 1/80 for the seven others."""
    part_logits = torch.zeros(1, 8, 24, 8)
    part_logits[:, 2] = math.log(3)  # torso with 3 / 10, the others with 1 / 10
    output = nothing(part_logits=part_logits)
    terms = make().losses(output, torch.tensor([0]), Cues(part_map=parts(torso=(0, 96))))
    expected = -((1 - 7 / 80) * math.log(3 / 10) + 7 / 80 * math.log(1 / 10))
    assert terms["semantic"].item() == pytest.approx(1.5 * expected, abs=1e-6)


CONFIGURATIONS: list[dict[str, Any]] = [
    {},
    {"local_branch": False},
    {"global_branch": False},
    {"semantic_branch": False},
    {"local_branch": False, "semantic_branch": False},
    {"global_branch": False, "semantic_branch": False},
    {"weight_spc": 0.0},
    {"channel_sets": 1},
    {"channel_sets": 4, "spc_reduction": "mean_pixels"},
    {"labels": 2, "label_smoothing": 0.0},
    {"labels": 5, "segmentation_average": "classes"},
    {"global_norm": False},
    {"norm_shift": False, "classifier_bias": False},
    {"last_stride": 2},
    {"parts": 5},
    {"backbone": "vit_tiny_patch16_224", "last_stride": 2},
]


@pytest.mark.parametrize("settings", CONFIGURATIONS, ids=str)
def test_gradients_reach_every_parameter(settings: dict[str, Any]) -> None:
    built = make(**settings).train()
    with torch.no_grad():
        for module in built.modules():  # residual branches start closed, and would stop the gradient in the first step
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.add_(0.5)
    bands = parts(**{name: (12 * i, 12 * i + 12) for i, name in enumerate(PART_NAMES)})
    cues = Cues(part_map=bands.expand(4, -1, -1, -1)) if built.needs.train else Cues()
    terms = built.losses(built(images(4), cues), torch.tensor([0, 0, 1, 2]), cues)
    torch.stack(list(terms.values())).sum().backward()
    trained = [(name, p) for name, p in built.named_parameters() if p.requires_grad]
    without = [name for name, p in trained if p.grad is None or not p.grad.abs().sum() > 0]
    described = built.describe(images()).check()
    if "vit" in settings.get("backbone", ""):
        without = [name for name in without if "net.norm" not in name]
    assert not without
    assert described.parts.shape[1] == (built.config.parts if built.config.local_branch else 0)


# -- what is visible, and what is matched --------------------------------------------------------------------------------


def predicted(*rows: int, columns: int = 8) -> torch.Tensor:
    """(1, 8, 24, 8) logits that say "torso" in the first columns of some rows."""
    logits = torch.zeros(1, 8, 24, 8)
    logits[:, 0] = 1.0
    for row in rows:
        logits[0, 2, row, :columns] = 2.0
    return logits


def test_eq_11_by_hand() -> None:
    """Stripes of 8 rows of 8: all, half of one row, and two rows of foreground."""
    logits = predicted(*range(8)).maximum(predicted(9, columns=4)).maximum(predicted(20, 23))
    logits[0, 6, 20, 3] = 9.0  # whichever part it is
    found = make().visibility(nothing(part_logits=logits), Cues())
    assert found[0].tolist() == [1.0, 4 / 64, 16 / 64]


@pytest.mark.parametrize(("parts_", "expected"), [(1, [0.5]), (2, [1.0, 0.0]), (5, [1.0, 1.0, 0.5, 0.0, 0.0])])
def test_eq_11_for_other_numbers_of_stripes(parts_: int, expected: list[float]) -> None:
    """24 rows in 5 stripes: the boundaries of adaptive pooling, rows 9 to 14 for the third, three of them seen."""
    found = make(parts=parts_).visibility(nothing(part_logits=predicted(*range(12))), Cues())
    assert found[0].tolist() == pytest.approx(expected)


def test_eq_12_keeps_what_reaches_the_threshold() -> None:
    visibility = torch.tensor([[0.0, 0.149, 0.15, 0.151, 1.0]])
    assert part_weights(make().rule, visibility)[0].tolist() == [0, 0, 1, 1, 1]
    assert part_weights(make(threshold=0.5).rule, visibility)[0].tolist() == [0, 0, 0, 0, 1]


def unit(angle: float) -> list[float]:
    return [math.cos(math.radians(angle)), math.sin(math.radians(angle))]


def test_eq_13_to_15_by_hand() -> None:
    """Global vectors 60 degrees apart, stripes 0, 90 and 60; the query hides stripe 2, the gallery image stripe 3."""
    query = Descriptor(
        torch.tensor([unit(0)]), torch.tensor([[unit(0), unit(0), unit(0)]]), torch.tensor([[0.9, 0.1, 0.4]])
    )
    gallery = Descriptor(
        torch.tensor([unit(60)]), torch.tensor([[unit(0), unit(90), unit(60)]]), torch.tensor([[0.2, 0.6, 0.14]])
    )
    rule = make().rule

    def distance(rule: MatchRule) -> float:
        return float(distance_matrix(rule, query, gallery))

    assert distance(rule) == pytest.approx(1 - (0.5 + 1.0) / (1 + 1), abs=1e-6)
    assert distance(replace(rule, threshold=0.1)) == pytest.approx(1 - (0.5 + 1.0 + 0.0 + 0.5) / 4, abs=1e-6)
    assert distance(replace(rule, threshold=0.3)) == pytest.approx(0.5, abs=1e-6)  # no stripe in common: global alone
    assert distance(make(match="all_visible").rule) == pytest.approx(1 - (0.5 + 1.0 + 0.0 + 0.5) / 4, abs=1e-6)
    assert distance(make(match="global_only").rule) == pytest.approx(0.5, abs=1e-6)
    assert distance(make(global_branch=False).rule) == pytest.approx(0.0, abs=1e-6)
    assert math.isinf(distance(make(global_branch=False, threshold=0.3).rule))


def test_the_rules_of_the_rows_are_those_of_the_settings() -> None:
    """Tables II and III: what ``match`` sets can be set on stored descriptors too."""
    rule = make().rule
    assert make(match="global_only").rule == replace(rule, part_factor=0.0) == make(local_branch=False).rule
    assert make(match="all_visible").rule == replace(rule, visibility="ignore")
    assert rule == MatchRule("cosine", "binary", 0.15)


@pytest.mark.parametrize(
    "settings", [{"local_branch": False, "global_branch": False}, {"global_branch": False, "match": "global_only"}]
)
def test_something_must_be_compared(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="nothing is left to compare"):
        make(**settings)


def test_settings_that_do_not_fit_are_named() -> None:
    with pytest.raises(SettingsError, match="channel_sets is 8, but a feature map of resnet10t has only 6 rows"):
        make(channel_sets=8)
    with pytest.raises(SettingsError, match="setting 'labels'"):
        make(labels=3)
    with pytest.raises(SettingsError, match="setting 'threshold'"):
        make(threshold=0.0)


def test_without_anything_that_says_so_nothing_is_hidden() -> None:
    described = make(semantic_branch=False).describe(images())
    assert described.visibility.tolist() == [[1.0] * 3] * 2


def test_visibility_from_a_parser() -> None:
    built = make(semantic_branch=False, visibility="parser")
    assert (built.needs.train, built.needs.describe) == (frozenset(), frozenset({"foreground"}))
    foreground = torch.zeros(2, *SIZE)
    foreground[0, :32] = 0.6  # the parser is more certain than not
    foreground[0, 32:64] = 0.4
    foreground[1, 60:68, :16] = 1.0
    found = built.describe(images(), Cues(foreground=foreground)).visibility
    torch.testing.assert_close(found, torch.tensor([[1.0, 0, 0], [0, 4 * 16 / 1024, 4 * 16 / 1024]]))
    with pytest.raises(MissingCueError, match="method 'sorn' needs the cue 'foreground' to describe"):
        built.describe(images())


def landmarks(*points: tuple[float, float]) -> torch.Tensor:
    """(1, 18, 3) with landmarks at some heights, each with a confidence."""
    keypoints = torch.zeros(1, 18, 3)
    for j, (y, confidence) in enumerate(points):
        keypoints[0, j] = torch.tensor([10.0, y, confidence])
    return keypoints


@pytest.mark.parametrize(
    ("settings", "points", "expected"),
    [
        ({}, [(5, 0.9), (10, 0.9), (40, 0.2)], [1, 1, 0]),
        ({}, [(5, 0.9), (31.9, 0.9), (32, 0.9)], [1, 1, 0]),  # the boundary belongs to the lower stripe
        ({}, [(5, 0.9), (10, 0.9), (40, 0.19)], [1, 1, 1]),  # too few landmarks say nothing
        ({"confidence": 0.1}, [(5, 0.9), (10, 0.9), (40, 0.19)], [1, 1, 0]),
        ({"min_landmarks": 0}, [(40, 0.9)], [0, 1, 0]),
        ({"min_landmarks": 0, "confidence": 0.0}, [], [1, 1, 1]),  # nobody was found
        ({"parts": 2}, [(5, 0.9), (10, 0.9), (40, 0.9)], [1, 0]),
    ],
)
def test_visibility_from_pose(settings: dict[str, Any], points: list[tuple[float, float]], expected: list[int]) -> None:
    built = make(semantic_branch=False, visibility="pose", **settings)
    assert built.needs.describe == {"keypoints"}
    assert built.describe(images(1), Cues(keypoints=landmarks(*points))).visibility[0].tolist() == expected


def test_needs_follow_the_settings() -> None:
    assert SORN.needs == make().needs
    assert make().needs.train == {"part_map"}
    assert make(visibility="pose").needs.describe == {"keypoints"}
    assert make(visibility="pose").needs.train == {"part_map"}
    assert make(visibility="parser", local_branch=False).needs.describe == frozenset()
    with pytest.raises(MissingCueError, match="needs the cue 'part_map' to train"):
        make().check_cues(Cues(), "train")


def test_what_says_what_is_seen_can_be_changed_on_restoring(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    methods.save(make(semantic_branch=False), path)
    posed = methods.restore(path, changes={"visibility": "pose"})
    assert posed.needs.describe == {"keypoints"}
    found = posed.describe(images(1), Cues(keypoints=landmarks((5, 0.9), (6, 0.9), (7, 0.9)))).visibility
    assert found[0].tolist() == [1, 0, 0]
    with pytest.raises(DataError, match="do not fit the settings"):
        methods.restore(path, changes={"semantic_branch": True})


def test_describes_what_the_equations_compare() -> None:
    for settings, shapes in (
        ({}, ((1, 12), (1, 3, 512))),
        ({"parts": 2, "channel_sets": 2}, ((1, 8), (1, 2, 512))),
        ({"global_branch": False}, ((1, 512), (1, 3, 512))),
        ({"local_branch": False}, ((1, 12), (1, 0, 1))),
    ):
        built = make(**settings)
        described = built.describe(images(1))
        assert (described.global_.shape, described.parts.shape) == shapes
        assert len(built.regions) == described.parts.shape[1]


@pytest.mark.parametrize("feature", ["normalised", "pooled"])
def test_which_side_of_the_batch_norm_is_matched(feature: str) -> None:
    built = make(test_feature=feature).eval()
    with torch.no_grad():
        for neck in (*built.local_necks, built.global_neck):
            neck.norm.running_mean.fill_(1.0)
        output = built(images(), Cues())
    described = built.describe(images())
    behind = feature == "normalised"
    torch.testing.assert_close(described.parts, output.local if behind else output.local_pooled)
    torch.testing.assert_close(described.global_, output.global_ if behind else output.global_pooled)
    torch.testing.assert_close(output.local, (output.local_pooled - 1) / math.sqrt(1 + 1e-5))


def test_the_papers_shapes() -> None:
    built = methods.create("sorn", 3).eval()
    assert isinstance(built, SORN)
    with torch.inference_mode():
        output = built(torch.zeros(1, 3, 384, 128), Cues())
    assert output.local is not None
    assert output.local.shape == (1, 3, 2048)
    assert output.global_ is not None
    assert output.global_.shape == (1, 3072)
    assert output.maps is not None
    assert output.maps.shape == (1, 3, 24, 8)
    assert output.part_logits is not None
    assert output.part_logits.shape == (1, 8, 96, 32)
    assert built.semantic_head.up[0].in_channels == 3072
