"""SGAM's equations, on cases small enough to work out by hand."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from occlureid import methods
from occlureid.cues.regions import body_regions, region_visibility
from occlureid.errors import MissingCueError, SettingsError, ShapeError, UsageError
from occlureid.matching import MatchRule, distance_matrix
from occlureid.methods.sgam import SGAM, Output
from occlureid.runs import RunSettings, read_recipe, read_row, recipes
from occlureid.types import Cues, Descriptor

SIZE = (64, 32)  # a feature map of 4 x 2 at last stride 1
CLASSES = 3


def make(**settings: Any) -> SGAM:
    built = methods.create("sgam", CLASSES, {"backbone": "resnet10t", "size": SIZE, "reduced": 8, **settings})
    assert isinstance(built, SGAM)
    return built


def calibrated(**settings: Any) -> SGAM:
    built = make(**settings)
    built.calibrate([Cues(part_map=banded())])
    return built


def banded(count: int = 1, shares: tuple[float, ...] = (1, 1, 1, 1)) -> torch.Tensor:
    """(B, 4, *SIZE): a quarter of the image's rows for each region, of which the left share is the region."""
    maps = torch.zeros(count, 4, *SIZE)
    for region, share in enumerate(shares):
        maps[:, region, 16 * region : 16 * (region + 1), : round(share * SIZE[1])] = 1.0
    return maps


def images(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def output(visibility: list[list[float]], part_logits: torch.Tensor | None = None) -> Output:
    count = len(visibility)
    logits = torch.zeros(count, 4, CLASSES) if part_logits is None else part_logits
    zeros = torch.zeros(count, 8)
    return Output(
        zeros, zeros, torch.zeros(count, CLASSES), torch.zeros(count, 4, 8), torch.zeros(count, 4, 8), logits,
        torch.tensor(visibility),
    )  # fmt: skip


# -- Eq. 1 and 2 ---------------------------------------------------------------------------------------------------------


def test_seven_parts_make_four_regions() -> None:
    parts = torch.zeros(7, 2, 2)
    parts[0, 0, 0] = 0.5
    parts[1:4, 0, 1] = torch.tensor([0.2, 0.3, 0.1])  # torso, upper arm, lower arm
    parts[4:6, 1, 0] = torch.tensor([0.7, 0.7])  # legs that add up to more than one
    parts[6, 1, 1] = 0.4
    regions = body_regions(parts)
    torch.testing.assert_close(
        torch.stack([regions[0, 0, 0], regions[1, 0, 1], regions[2, 1, 0], regions[3, 1, 1]]),
        torch.tensor([0.5, 0.6, 1.0, 0.4]),
    )
    assert regions.count_nonzero() == 4
    assert body_regions(regions) is regions


@pytest.mark.parametrize("shape", [(5, 2, 2), (19, 2, 2), (2, 2)])
def test_unknown_labels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"4 channels head, upper_body.*7 channels head, torso"):
        body_regions(torch.zeros(shape))


def test_visibility_by_hand() -> None:
    areas = torch.tensor([[0.05, 0.3, 0.0, 0.02]])
    reference = torch.tensor([0.1, 0.2, 0.3, 0.0])
    expected = {"area_ref": [[0.5, 1.0, 0.0, 0.0]], "fraction": [[0.05, 0.3, 0.0, 0.02]]}
    for reading, values in expected.items():
        torch.testing.assert_close(region_visibility(areas, reference, reading), torch.tensor(values))  # type: ignore[arg-type]
    torch.testing.assert_close(region_visibility(areas, None, "raw_sum"), areas)
    for missing in (None, torch.zeros(4)):
        with pytest.raises(UsageError, match=r"needs the regions' reference areas.*call calibrate"):
            region_visibility(areas, missing, "area_ref")


def test_reference_areas_are_means_over_images_not_batches() -> None:
    built = make()
    asked = []

    def cues() -> Iterator[Cues]:
        for count, shares in ((1, (1, 1, 1, 1)), (3, (0, 0.5, 1, 0))):
            asked.append(count)
            yield Cues(part_map=banded(count, shares))

    built.calibrate(cues())
    torch.testing.assert_close(built.reference_areas, torch.tensor([1 / 16, 2.5 / 16, 1 / 4, 1 / 16]))
    assert asked == [1, 3]


@pytest.mark.parametrize("settings", [{"visibility": "fraction"}, {"visibility": "raw_sum"}, {"balance": 1.0}])
def test_nothing_is_measured_that_is_not_needed(settings: dict[str, Any]) -> None:
    def cues() -> Iterator[Cues]:
        raise AssertionError("looked at the cues")
        yield

    make(**settings).calibrate(cues())


def test_without_calibration_nothing_is_made_up() -> None:
    with pytest.raises(UsageError, match="call calibrate"):
        make().describe(images(1), Cues(part_map=banded()))


def test_visibility_of_images() -> None:
    shares = (0.5, 1.0, 0.0, 1.0)
    cues = Cues(part_map=banded(1, shares))
    torch.testing.assert_close(calibrated().describe(images(1), cues).visibility, torch.tensor([shares]))
    for reading in ("fraction", "raw_sum"):
        built = make(visibility=reading)
        visibility = built.describe(images(1), cues).visibility
        torch.testing.assert_close(visibility, torch.tensor([shares]) / 4)
        pixels = 64 * 32 if reading == "raw_sum" else 1
        torch.testing.assert_close(built.scores(visibility), torch.tensor([shares]) / 4 * pixels)


def test_a_softmax_without_background_shares_it_out() -> None:
    maps = torch.zeros(1, 4, *SIZE)
    maps[0, 0], maps[0, 1] = 0.2, 0.1  # seven tenths are background
    maps[0, :, 0, 0] = 0.0  # only background here: a hard label
    got = make(regions_softmax="regions_only").probabilities(maps)
    torch.testing.assert_close(got[0, :, 5, 5], torch.tensor([2 / 3, 1 / 3, 0, 0]))
    assert got[0, :, 0, 0].count_nonzero() == 0
    logits = torch.randn(1, 5, *SIZE, generator=torch.Generator().manual_seed(1))
    of_five = logits.softmax(1)[:, 1:]
    torch.testing.assert_close(make(regions_softmax="regions_only").probabilities(of_five), logits[:, 1:].softmax(1))


# -- Eq. 3 ---------------------------------------------------------------------------------------------------------------


def test_weighted_pooling_by_hand() -> None:
    built = calibrated().eval()
    maps = banded(1, (1, 0.5, 0, 1))
    maps[0, 3] *= 0.5  # half sure everywhere: the mean is the same
    with torch.no_grad():
        features = built.backbone(built.preprocess.normalise(images(1)))
        pooled = built(images(1), Cues(part_map=maps)).pooled
    assert pooled is not None
    assert features.shape[2:] == (4, 2)
    torch.testing.assert_close(pooled[0, 0], features[0, :, 0].mean(1))
    torch.testing.assert_close(pooled[0, 1], features[0, :, 1, 0])
    assert pooled[0, 2].count_nonzero() == 0
    torch.testing.assert_close(pooled[0, 3], features[0, :, 3].mean(1))


def test_the_literal_denominator_counts_pixels_of_the_image() -> None:
    maps = Cues(part_map=banded())
    means, literal = (calibrated(denominator=kind).eval() for kind in ("map", "image"))
    with torch.no_grad():
        first, second = means(images(1), maps).pooled, literal(images(1), maps).pooled
    assert first is not None
    assert second is not None
    torch.testing.assert_close(second * 16 * 16, first)  # each cell of the map is 16 x 16 pixels


# -- Eq. 5 to 7 ----------------------------------------------------------------------------------------------------------


def test_gates_by_hand() -> None:
    visibility = torch.tensor([[0.05, 0.1, 0.6, 1.0]])
    expected = {"soft": [[0, 0, 0.5, 0.9]], "hard": [[0, 1.0, 1, 1]], "none": [[1.0, 1, 1, 1]]}
    for gate, weights in expected.items():
        torch.testing.assert_close(make(gate=gate).gates(visibility), torch.tensor(weights))
    own = make(threshold=[0.0, 0.2, 0.5, 0.9])
    torch.testing.assert_close(own.gates(visibility), torch.tensor([[0.05, 0.0, 0.1, 0.1]]))
    raw = make(visibility="raw_sum", threshold=100.0)
    torch.testing.assert_close(raw.gates(visibility), (visibility * 2048 - 100).clamp_min(0))


def test_loss_by_hand() -> None:
    built = make(balance=0.2)
    logits = torch.zeros(2, 4, CLASSES)
    logits[0, 3, 1] = math.log(2)  # 1/4, 1/2, 1/4
    terms = built.losses(output([[0.0, 0.1, 0.6, 1.0], [0.3, 0, 0, 0]], logits), torch.tensor([1, 2]), Cues())
    first = 0.5 * math.log(3) + 0.9 * math.log(2)
    second = 0.2 * math.log(3)
    assert terms["part"].item() == pytest.approx(0.8 * (first + second) / 2)
    assert terms["global"].item() == pytest.approx(0.2 * math.log(3))


@pytest.mark.parametrize(("gate", "silent"), [("soft", True), ("hard", True), ("none", False)])
def test_an_invisible_region_teaches_nothing(gate: str, silent: bool) -> None:
    built = calibrated(gate=gate).train()
    cues = Cues(part_map=banded(2, (1, 1, 1, 0)))
    built.losses(built(images(), cues), torch.tensor([0, 1]), cues)["part"].backward()
    gradients = [head.classifier.bias.grad for head in built.part_heads]
    assert all(gradient is not None for gradient in gradients)
    assert [bool(gradient.abs().sum() > 0) for gradient in gradients] == [True, True, True, not silent]  # type: ignore[union-attr]


def test_gates_are_constants() -> None:
    built = calibrated()
    maps = banded(2).requires_grad_()
    out = built.train()(images(), Cues(part_map=maps))
    assert out.visibility is not None
    assert not built.gates(out.visibility).requires_grad


@pytest.mark.parametrize(("balance", "term"), [(0.0, "part"), (1.0, "global")])
def test_one_branch_alone(balance: float, term: str) -> None:
    built = make(balance=balance)
    built.calibrate([Cues(part_map=banded())])
    cues = Cues(part_map=banded(2)) if balance < 1 else Cues()
    terms = built.losses(built.train()(images(), cues), torch.tensor([0, 1]), cues)
    assert set(terms) == {term}
    terms[term].backward()
    assert all(p.grad is not None for p in built.parameters())
    described = built.describe(images(), cues).check()
    if balance == 1:
        assert described.parts.shape[1] == 0
        assert not built.needs.train | built.needs.describe
        assert built.rule.part_factor == 0
    else:
        assert built.rule.global_weight == 0


# -- Eq. 4 ---------------------------------------------------------------------------------------------------------------


def descriptors(visibility: tuple[list[float], list[float]]) -> tuple[Descriptor, Descriptor]:
    """Two images whose global vectors are 5 apart and whose regions are 1, 2, 3 and 4 apart."""
    parts = torch.zeros(1, 4, 2)
    moved = parts.clone()
    moved[0, :, 0] = torch.tensor([1.0, 2, 3, 4])
    one = Descriptor(torch.zeros(1, 2), parts, torch.tensor([visibility[0]]))
    other = Descriptor(torch.tensor([[3.0, 4.0]]), moved, torch.tensor([visibility[1]]))
    return one, other


def test_matching_by_hand() -> None:
    query, gallery = descriptors(([1.0, 0.5, 0, 1], [0.5, 0.5, 1, 0]))
    expected = (0.5 * 1 + 0.25 * 2 + 5) / (0.5 + 0.25 + 1)
    assert distance_matrix(make().rule, query, gallery).item() == pytest.approx(expected)
    nothing = descriptors(([0.0] * 4, [1.0] * 4))
    assert distance_matrix(make().rule, *nothing).item() == pytest.approx(5)


def test_the_malfunctioning_and_other_rules() -> None:
    query, gallery = descriptors(([1.0, 0.5, 0, 1], [0.5, 0.5, 1, 0]))
    found = {
        match: distance_matrix(make(match=match).rule, query, gallery).item()
        for match in ("all_visible", "global_only", "parts_only")
    }
    expected = {"all_visible": (1 + 2 + 3 + 4 + 5) / 5, "global_only": 5, "parts_only": 1 / 0.75}
    assert found == pytest.approx(expected)
    assert make(match="shared").rule == MatchRule(metric="euclidean", visibility="soft")


def test_literal_sums_are_matched_as_printed() -> None:
    """S in pixels: the visibilities are shares, and the rule's weight makes up for it."""
    pixels = SIZE[0] * SIZE[1]
    query, gallery = descriptors(([0.2, 0.1, 0, 0.003], [0.1, 0.05, 0.2, 0]))
    sums = [float(a * b) * pixels**2 for a, b in zip(query.visibility[0], gallery.visibility[0], strict=True)]
    expected = (sum(s * d for s, d in zip(sums, (1, 2, 3, 4), strict=True)) + 5) / (sum(sums) + 1)
    built = make(visibility="raw_sum")
    assert distance_matrix(built.rule, query, gallery).item() == pytest.approx(expected)
    nothing = descriptors(([0.0] * 4, [1.0] * 4))
    assert distance_matrix(built.rule, *nothing).item() == pytest.approx(5)


def test_normalised_features() -> None:
    described = calibrated(normalise=True).describe(images(), Cues(part_map=banded(2)))
    torch.testing.assert_close(described.global_.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(described.parts.norm(dim=2), torch.ones(2, 4))
    assert described.parts.shape == (2, 4, 8)


# -- settings and cues ---------------------------------------------------------------------------------------------------


def test_one_reduction_for_all_is_one_set_of_weights() -> None:
    own, shared = make(), make(shared_reducer=True)
    count = {built: sum(p.numel() for p in built.parameters()) for built in (own, shared)}
    reduction = 512 * 8 + 8 + 2 * 8  # linear and batch norm
    assert count[own] - count[shared] == 4 * reduction
    shared.calibrate([Cues(part_map=banded())])
    cues = Cues(part_map=banded(2))
    torch.stack(list(shared.losses(shared(images(), cues), torch.tensor([0, 1]), cues).values())).sum().backward()
    assert all(p.grad is not None for p in shared.parameters())


def test_seven_part_maps_serve_as_well() -> None:
    built = calibrated()
    seven = torch.zeros(1, 7, *SIZE)
    for part, rows in zip((0, 2, 5, 6), range(0, 64, 16), strict=True):
        seven[0, part, rows : rows + 16] = 1.0
    first = built.describe(images(1), Cues(part_map=banded()))
    second = built.describe(images(1), Cues(part_map=seven))
    assert torch.equal(first.parts, second.parts)
    assert torch.equal(first.visibility, second.visibility)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 4, 32, 32), r"part_map must have shape \(B, K, 64, 32\), of the images' size, got \(1, 4, 32, 32\)"),
        ((1, 5, 64, 32), r"7 channels head, torso.*got shape \(1, 5, 64, 32\)"),
    ],
)
def test_part_maps_that_do_not_fit(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        calibrated().describe(images(1), Cues(part_map=torch.zeros(shape)))
    with pytest.raises(ShapeError, match=message):
        make().calibrate([Cues(part_map=torch.zeros(shape))])


def test_a_missing_part_map() -> None:
    with pytest.raises(MissingCueError, match="part_map"):
        calibrated().eval()(images(1), Cues())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.0}, r"threshold must lie in \[0, 1\)"),
        ({"threshold": [0.1, 0.1, -0.1, 0.1]}, r"threshold must lie in \[0, 1\)"),
        ({"threshold": [0.1, 0.1]}, "threshold"),
        ({"visibility": "raw_sum", "threshold": -1}, "not be negative"),
        ({"balance": 0.0, "match": "global_only"}, "none is left to match"),
        ({"balance": 1.0, "match": "parts_only"}, "none is left to match"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make(**settings)


def test_reference_areas_travel_with_the_weights(tmp_path: Any) -> None:
    built = calibrated()
    methods.save(built, tmp_path / "w.safetensors")
    back = methods.restore(tmp_path / "w.safetensors")
    assert torch.equal(back.reference_areas, built.reference_areas)  # type: ignore[arg-type]
    assert built.reference_areas.tolist() == pytest.approx([1 / 4] * 4)


# -- recipes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*recipes("ablations/sgam"), *recipes("ablations/pgfa")])
def test_the_rows_are_valid(name: str) -> None:
    row = read_row(name)
    folder = name.rpartition("/")[0]
    assert row.train_as in {"sgam", "pgfa", *recipes(folder)}
    assert row.printed.table
    assert row.printed.name
    assert all(0 < value < 100 for value in row.printed.reported.values())


@pytest.mark.parametrize(
    ("folder", "table", "count"),
    [
        ("sgam", "4", 3), ("sgam", "5", 4), ("sgam", "Fig. 6", 6),
        ("pgfa", "5", 6), ("pgfa", "Fig. 5", 6), ("pgfa", "Fig. 6a", 6), ("pgfa", "Fig. 6b", 5),
    ],
)  # fmt: skip
def test_the_rows_make_up_the_tables(folder: str, table: str, count: int) -> None:
    rows = [read_row(name) for name in recipes(f"ablations/{folder}")]
    found = sorted(row.printed.place for row in rows if row.printed.table == table)
    assert found == list(range(1, count + 1))


def test_what_the_rows_change() -> None:
    def settings(name: str) -> RunSettings:
        return RunSettings.build(read_recipe(f"ablations/sgam/{name}"))

    assert settings("table4-sgam-1").model["gate"] == "none"
    assert read_row("ablations/sgam/table4-sgam-2").rule == {"visibility": "ignore"}
    crops = {name: settings(f"table5-{name}").crop.mode for name in ("resnet50", "resnet50-crop", "sgam-no-crop")}
    assert crops == {"resnet50": "off", "resnet50-crop": "box", "sgam-no-crop": "off"}
    assert RunSettings.build(read_recipe("sgam")).crop.mode == "box"


def test_the_papers_training() -> None:
    """Section 4.2."""
    train = RunSettings.build(read_recipe("sgam")).train
    assert (train.epochs, train.optimiser, train.lr, train.milestones, train.decay) == (80, "sgd", 0.1, (40,), 0.1)
    assert min(train.flip_probability, train.pad, train.erasing_probability) > 0
