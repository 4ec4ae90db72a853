"""Co-parsing: losses by hand, many decoders against one after another, what labels become, and what goes wrong."""

import builtins
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occlureid.coparsing import (
    ClusterSettings,
    CoparseSettings,
    ParsingScores,
    PartSettings,
    PersonImages,
    cluster_parts,
    coparse,
    decoders,
    score_parsing,
)
from occlureid.coparsing.decoders import decoder_bytes, image_order, initial_kernels, room, train_decoders
from occlureid.coparsing.labels import background_labels, label_parts, reassign
from occlureid.coparsing.layers import convolve, from_rows, normalise, to_rows, to_tiles
from occlureid.coparsing.losses import background_loss, local_loss, person_losses, semantic_loss
from occlureid.coparsing.stream import coparse_batches
from occlureid.errors import SettingsError, ShapeError, UsageError
from occlureid.runs import read_recipe
from tests.reference import coparsing as reference
from tests.trained import Figures

ONE = torch.ones(1, 1)


def person(
    label: int, images: int, channels: int = 8, size: tuple[int, int] = (12, 8), cameras: int = 2
) -> PersonImages:
    random = torch.Generator().manual_seed(100 * label + images)
    coarse = torch.randn(images, channels, max(size[0] // 3, 2), max(size[1] // 3, 2), generator=random)
    features = F.interpolate(coarse, size=size, mode="bilinear").relu()
    order = torch.randperm(images, generator=random).tolist()
    return PersonImages(
        label,
        features,
        tuple(str(i % cameras) for i in range(images)),
        tuple(order),
        torch.arange(images) + 1000 * label,
    )


def by_person(parsings):
    return {parsing.person: parsing for parsing in parsings}


# -- losses -----------------------------------------------------------------------------------------------------------------


def test_semantic_loss_is_the_cross_entropy_with_the_likeliest_label() -> None:
    scores = torch.tensor([[2.0, 0.0], [0.0, 1.0]]).view(1, 1, 1, 2, 2)
    expected = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(-1))]
    labels = scores.argmax(-1)
    assert float(semantic_loss(scores, labels, ONE)) == pytest.approx(sum(expected) / 2)
    assert float(semantic_loss(scores, labels, ONE, "sum")) == pytest.approx(sum(expected))
    padded = torch.cat([scores, torch.full_like(scores, 3.0)], 1)
    assert float(semantic_loss(padded, padded.argmax(-1), torch.tensor([[1.0, 0.0]]))) == pytest.approx(
        sum(expected) / 2
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"diagonal_weight": 0.0}, 4.5 + 2.5),  # downwards 3 and 6, to the right 1 and 4
        ({}, 4.5 + 2.5 + 7 + 2),  # the diagonals 8 - 1 and 4 - 2
        ({"diagonal_weight": 0.5}, 4.5 + 2.5 + 4.5),
        ({"norm": 2}, 22.5 + 8.5 + 49 + 4),
        ({"reduction": "sum"}, 9 + 5 + 7 + 2),
        ({"radius": 5}, 4.5 + 2.5 + 7 + 2),  # nothing is two pixels apart
    ],
)
def test_local_loss_by_hand(options: dict, expected: float) -> None:
    scores = torch.tensor([[1.0, 2.0], [4.0, 8.0]]).view(1, 1, 2, 2, 1)
    assert float(local_loss(scores, ONE, **options)) == pytest.approx(expected)
    filled = torch.cat([scores, 100 * scores], 1)
    assert float(local_loss(filled, torch.tensor([[1.0, 0.0]]), **options)) == pytest.approx(expected)


def test_radius_five_adds_pixels_two_apart() -> None:
    line = torch.tensor([0.0, 1.0, 5.0]).view(1, 1, 1, 3, 1)
    assert float(local_loss(line, ONE)) == pytest.approx((1 + 4) / 2)
    assert float(local_loss(line, ONE, radius=5)) == pytest.approx((1 + 4) / 2 + 5)


def test_background_loss_compares_neighbours_of_one_camera() -> None:
    scores = torch.tensor([0.0, 1.0, 5.0]).view(1, 3, 1, 1, 1).expand(1, 3, 2, 2, 1)
    assert float(background_loss(scores, torch.tensor([[1.0, 1.0]]))) == pytest.approx((1 + 4) / 2)
    assert float(background_loss(scores, torch.tensor([[0.0, 1.0]]))) == pytest.approx(4)
    assert float(background_loss(scores, torch.tensor([[1.0, 1.0]]), norm=2)) == pytest.approx((1 + 16) / 2)
    assert float(background_loss(scores, torch.tensor([[1.0, 1.0]]), reduction="sum")) == pytest.approx(4 * 5)
    assert float(background_loss(scores, torch.tensor([[0.0, 0.0]]))) == 0
    assert background_loss(scores[:, :1], torch.zeros(1, 0)).tolist() == [0]


def test_losses_add_up_with_their_weights() -> None:
    scores = torch.randn(2, 3, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    labels, images, pairs = scores.argmax(-1), torch.ones(2, 3), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    parts = semantic_loss(scores, labels, images), local_loss(scores, images), background_loss(scores, pairs)
    total = person_losses(scores, labels, images, pairs, CoparseSettings())
    torch.testing.assert_close(total, parts[0] + 2 * parts[1] + parts[2])
    alone = CoparseSettings(weight_local=0.0, weight_background=0.0)
    torch.testing.assert_close(person_losses(scores, labels, images, pairs, alone), parts[0])
    for number, cameras in enumerate(("aab", "aaa")):
        one = reference.losses(scores[number].permute(0, 3, 1, 2), list(cameras), CoparseSettings())
        torch.testing.assert_close(total[number], one)


# -- layers -----------------------------------------------------------------------------------------------------------------


def test_rows_and_maps_are_inverse() -> None:
    maps = torch.arange(2 * 3 * 8 * 12 * 2.0).view(2, 3, 8, 12, 2)
    rows = to_rows(maps)
    assert rows.shape == (2, 3 * 96, 2)
    assert torch.equal(from_rows(rows, (3, 8, 12)), maps)


def test_convolution_of_tiles_is_a_convolution_and_so_are_its_gradients() -> None:
    random = torch.Generator().manual_seed(1)
    maps = torch.randn(2, 3, 8, 12, 5, generator=random, requires_grad=True)
    kernels = torch.randn(2, 9, 5, 7, generator=random, requires_grad=True)
    weight = torch.randn(2, 3, 8, 12, 7, generator=random)
    found = from_rows(convolve(to_tiles(maps, torch.float32), kernels), (3, 8, 12))
    gradients = torch.autograd.grad((found * weight).sum(), (maps, kernels))
    each = [
        F.conv2d(maps[p].permute(0, 3, 1, 2), kernels[p].view(3, 3, 5, 7).permute(3, 2, 0, 1), padding=1)
        for p in range(2)
    ]
    expected = torch.stack(each).permute(0, 1, 3, 4, 2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for one, other in zip(gradients, torch.autograd.grad((expected * weight).sum(), (maps, kernels)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("rectify", [True, False])
def test_normalisation_counts_the_real_rows_of_each_person_alone(rectify: bool) -> None:
    random = torch.Generator().manual_seed(2)
    rows = torch.randn(2, 20, 3, generator=random) * 2 + 1
    scale, shift, weight = (torch.randn(shape, generator=random) for shape in ((2, 3), (2, 3), (2, 20, 3)))
    real = torch.ones(2, 20, 1)
    real[0, 13:] = 0
    inputs = [tensor.requires_grad_() for tensor in (rows, scale, shift)]
    found = normalise(*inputs, real, real.sum(1, keepdim=True), rectify)
    gradients = torch.autograd.grad((found * weight).sum(), inputs)
    assert not found[0, 13:].any()
    assert not gradients[0][0, 13:].any()
    for p, count in ((0, 13), (1, 20)):
        layer = nn.BatchNorm1d(3)
        with torch.no_grad():
            layer.weight.copy_(scale[p])
            layer.bias.copy_(shift[p])
        own = rows[p, :count].detach().requires_grad_()
        expected = layer(own).relu() if rectify else layer(own)
        torch.testing.assert_close(found[p, :count], expected)
        wanted = torch.autograd.grad((expected * weight[p, :count]).sum(), (own, layer.weight, layer.bias))
        torch.testing.assert_close(gradients[0][p, :count], wanted[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(gradients[1][p], wanted[1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(gradients[2][p], wanted[2], rtol=1e-4, atol=1e-5)


# -- decoders ---------------------------------------------------------------------------------------------------------------

SMALL = CoparseSettings(width=12, narrow=6, kernels=9, min_labels=3, steps=6)


@pytest.mark.trained
@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, (12, 8)),
        ({}, (10, 7)),  # sides that tiles do not divide
        ({"norm": 2, "radius": 5, "diagonal_weight": 0.5}, (12, 8)),
        ({"weight_local": 0.0, "initial": "torch"}, (12, 8)),
        ({"weight_background": 0.0}, (12, 8)),
    ],
)
def test_many_decoders_equal_one_after_another(
    changes: dict, size: tuple[int, int], figures: Figures, training_seed: int
) -> None:
    settings = SMALL.with_changes(**changes)
    persons = [person(label, images, size=size) for label, images in enumerate((5, 5, 5))]
    seed = 3 + training_seed
    for one, decoded in zip(persons, train_decoders(persons, settings, seed=seed), strict=True):
        labels, steps = reference.parse(one, settings, seed=seed)
        assert decoded.steps == steps
        # the two round differently, and a pixel between two labels may fall to either
        figures.above("labels in common", float((decoded.clusters == labels).float().mean()), 0.98)
        assert decoded.left == len(decoded.clusters.unique())


@pytest.mark.trained
def test_training_stops_at_few_labels_or_below(training_seed: int) -> None:
    one, seed = person(1, 5), 3 + training_seed
    settings = SMALL.with_changes(steps=40, min_labels=7)
    few = next(coparse([one], settings, seed=seed)).clusters_left  # 7, or less where two labels go in one step
    steps = {}
    for stop in ("at_most", "below"):
        changed = settings.with_changes(stop=stop, min_labels=few)
        found = next(coparse([one], changed, seed=seed))
        assert found.clusters_left <= (few if stop == "at_most" else few - 1)
        steps[stop] = found.steps
        before = next(coparse([one], changed.with_changes(steps=found.steps - 1), seed=seed))
        assert before.clusters_left > (few if stop == "at_most" else few - 1)
        assert found.steps == reference.parse(one, changed, seed=seed)[1]
    assert steps["at_most"] < steps["below"] < 40


@pytest.mark.trained
def test_persons_with_images_of_unequal_number_equal_the_reference(figures: Figures, training_seed: int) -> None:
    persons = [person(0, 17), person(1, 18)]
    assert room(17) == room(18) == 18
    for one, decoded in zip(persons, train_decoders(persons, SMALL, seed=training_seed), strict=True):
        labels, steps = reference.parse(one, SMALL, seed=training_seed)
        assert decoded.steps == steps
        figures.above("labels in common", float((decoded.clusters == labels).float().mean()), 0.98)


@pytest.mark.trained
def test_what_is_found_for_a_person_depends_on_nobody_else_and_not_on_memory(training_seed: int) -> None:
    persons = [person(label, images) for label, images in enumerate((17, 5, 18, 5, 3, 17))]
    settings = SMALL.with_changes(min_labels=7, steps=20)
    alone = {p.person: next(coparse([p], settings, seed=1 + training_seed)) for p in persons}
    assert len({parsing.steps for parsing in alone.values()}) > 1  # some leave their batch before others
    for memory in (1, 10**6, 10**9):
        found = by_person(coparse(reversed(persons), settings, seed=1 + training_seed, memory=memory))
        assert found.keys() == alone.keys()
        for label, parsing in found.items():
            assert torch.equal(parsing.clusters, alone[label].clusters)
            assert torch.equal(parsing.labels, alone[label].labels)
            assert parsing.steps == alone[label].steps


@pytest.mark.trained
def test_how_many_go_through_the_layers_at_once_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, training_seed: int
) -> None:
    persons = [person(label, 5) for label in range(5)]
    settings = SMALL.with_changes(min_labels=7, steps=20)
    pixels = room(5) * 12 * 8
    together = train_decoders(persons, settings, seed=1 + training_seed)
    for number in (1, 2):
        monkeypatch.setattr(decoders, "_LARGEST", number * pixels * settings.width * 9)
        for one, other in zip(train_decoders(persons, settings, seed=1 + training_seed), together, strict=True):
            assert torch.equal(one.clusters, other.clusters)
            assert one.steps == other.steps


def test_labels_stay_with_their_images_whatever_the_order() -> None:
    one = person(2, 6)
    order = torch.tensor([4, 0, 5, 1, 3, 2])
    other = PersonImages(
        2,
        one.features[order],
        tuple(one.cameras[i] for i in order),
        tuple(one.frames[i] for i in order),
        one.indices[order],
    )
    first, second = (next(coparse([p], SMALL, seed=0)) for p in (one, other))
    assert torch.equal(second.clusters, first.clusters[order])
    assert torch.equal(second.indices, one.indices[order])


def test_seed_and_person_fix_the_beginning() -> None:
    first = initial_kernels(8, SMALL, 0, 1)
    assert all(torch.equal(a, b) for a, b in zip(first, initial_kernels(8, SMALL, 0, 1), strict=True))
    for seed, label in ((1, 1), (0, 2)):
        assert not torch.equal(first[0], initial_kernels(8, SMALL, seed, label)[0])
    assert [tuple(kernel.shape) for kernel in first] == [(9, 8, 12), (12, 6), (9, 6, 12), (12, 9)]
    for kernel, inputs in zip(first, (72, 12, 54, 12), strict=True):
        assert 0.8 * math.sqrt(6 / inputs) < float(kernel.abs().max()) <= math.sqrt(6 / inputs)
    torch.testing.assert_close(
        initial_kernels(8, SMALL.with_changes(initial="torch"), 0, 1)[0], first[0] / math.sqrt(6)
    )
    one = person(0, 4)
    runs = [next(coparse([one], SMALL, seed=seed)).clusters for seed in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_features_are_neither_changed_nor_trained() -> None:
    one = person(0, 3)
    features = one.features.clone().requires_grad_()
    given = PersonImages(0, features, one.cameras, one.frames, one.indices)
    next(coparse([given], SMALL, seed=0))
    assert features.grad is None
    assert torch.equal(features, one.features)


def test_images_are_sorted_by_camera_then_frame() -> None:
    one = PersonImages(0, torch.ones(5, 1, 4, 4), tuple("baabb"), (9, 7, 3, 1, 1), torch.arange(5))
    assert image_order(one, "camera") == ([2, 1, 3, 4, 0], [True, False, True, True])
    assert image_order(one, "list") == ([0, 1, 2, 3, 4], [True] * 4)


@pytest.mark.trained
def test_products_in_bfloat16_find_about_the_same(figures: Figures, training_seed: int) -> None:
    one = person(0, 6)
    settings = SMALL.with_changes(steps=1)
    exact, rough = (
        train_decoders([one], settings.with_changes(precision=precision), seed=training_seed)[0].clusters
        for precision in ("float32", "bfloat16")
    )
    figures.above("labels in common", float((exact == rough).float().mean()), 0.9)


def test_sums_and_pairs_of_the_list_are_other_losses() -> None:
    one = person(0, 6)
    usual = next(coparse([one], SMALL, seed=0)).clusters
    for changes in ({"reduction": "sum", "lr": 1e-4}, {"pairs": "list"}):
        assert not torch.equal(next(coparse([one], SMALL.with_changes(**changes), seed=0)).clusters, usual)


def test_batches_keep_within_the_memory() -> None:
    persons = [person(label, 3 + label % 3) for label in range(30)]
    memory = decoder_bytes(6, 5, (8, 12, 8), SMALL)
    taken: list[int] = []

    def stream():
        for one in persons:
            taken.append(one.person)
            yield one

    sizes, seen = [], 0
    for batch in coparse_batches(stream(), SMALL, memory=memory):
        work = decoder_bytes(len(batch), len(batch[0]), (8, 12, 8), SMALL)
        held = sum(one.features.nbytes for one in batch)
        assert work + held <= memory
        assert len({room(len(one)) for one in batch}) == 1
        sizes.append((len(batch[0]), len(batch)))
        seen += held
        # beside what is done there is only what fits, and the person for whom there was no room
        assert sum(one.features.nbytes for one in persons[: len(taken)]) - seen <= memory + persons[2].features.nbytes
    assert sum(count for _, count in sizes) == 30
    assert max(count for _, count in sizes) > 1
    assert max(count for images, count in sizes if images == 5) <= 6
    assert {len(batch) for batch in coparse_batches(persons, SMALL, memory=1)} == {1}
    with pytest.raises(UsageError, match="memory must be at least 1"):
        next(coparse(persons, SMALL, seed=0, memory=0))


def test_a_decoder_that_needs_too_much_is_not_batched_with_another_shape() -> None:
    with pytest.raises(ShapeError, match="one shape and equal room"):
        train_decoders([person(0, 3), person(1, 3, size=(8, 8))], SMALL, seed=0)


@pytest.mark.parametrize("images", [1, 2, 7, 15, 16, 17, 31, 33, 100, 426])
def test_room_is_at_most_an_eighth_too_much(images: int) -> None:
    assert images <= room(images) <= images * 9 / 8
    assert room(room(images)) == room(images)


# -- degenerate persons -----------------------------------------------------------------------------------------------------


def test_a_person_with_one_image_is_not_parsed_unless_asked_for() -> None:
    (found,) = coparse([person(3, 1)], SMALL, seed=0)
    assert (found.reason, found.steps, found.clusters_left) == ("one image", 0, 0)
    assert not found.known.any()
    assert found.labels.shape == (1, 12, 8)
    assert not found.labels.any()
    (found,) = coparse([person(3, 1)], SMALL.with_changes(min_images=1), seed=0)
    assert found.steps > 0
    (found,) = coparse([person(3, 4)], SMALL.with_changes(min_images=5), seed=0)
    assert found.reason == "few images"


def test_pixels_that_are_all_alike_are_background() -> None:
    flat = PersonImages(0, torch.ones(3, 4, 8, 4), ("1",) * 3, (None,) * 3, torch.arange(3))
    # the border of the images is another neighbourhood, and may have labels of its own
    (found,) = coparse([flat], SMALL.with_changes(steps=40, min_labels=1), seed=0)
    assert not found.known.any()
    assert found.reason == "no foreground"


def test_features_that_are_not_finite_are_refused() -> None:
    one = person(7, 3)
    one.features[1, 2, 3, 4] = math.nan
    with pytest.raises(ShapeError, match="features of person 7 must be finite"):
        next(coparse([one], SMALL, seed=0))
    with pytest.raises(ShapeError, match="features of person 7 must be finite"):
        next(cluster_parts([one], seed=0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": torch.ones(3, 4, 8, 4, dtype=torch.long)}, "must be float"),
        ({"features": torch.ones(3, 4, 8)}, "must be float"),
        ({"cameras": ("1",)}, "3 images, but 1 cameras"),
        ({"indices": torch.arange(2)}, "3 images"),
        ({"person": -1}, "at least 0"),
    ],
)
def test_persons_are_checked(changes: dict, message: str) -> None:
    given = {"person": 0, "features": torch.ones(3, 4, 8, 4), "cameras": ("1",) * 3, "frames": (None,) * 3}
    with pytest.raises(ShapeError, match=message):
        PersonImages(**{**given, "indices": torch.arange(3), **changes})


# -- labels -----------------------------------------------------------------------------------------------------------------


def test_background_rules_by_hand() -> None:
    clusters = torch.full((2, 12, 6), 5, dtype=torch.uint8)
    clusters[:, 0, :4] = 1  # 8 pixels in a counted row; 2 * 6 / 2 = 6 are needed
    clusters[:, 1, :] = 2  # a row that is not counted: its 4 pixels at the sides are not more than 2 * 12 / 3 = 8
    clusters[:, 2:8, 0] = 3  # 12 at the sides, less those of row 3, which are counted there too
    assert background_labels(clusters, "released") == [1, 3, 5]
    # the two borders have 64 pixels
    rim = torch.ones(12, 6, dtype=torch.bool)
    rim[1:-1, 1:-1] = False
    assert int((clusters[:, rim] == 5).sum()) > 32 > int((clusters[:, rim] == 3).sum())
    assert background_labels(clusters, "perimeter") == [5]


def test_exactly_half_is_not_more_than_half() -> None:
    clusters = torch.zeros(1, 8, 8, dtype=torch.uint8)
    clusters[:, :, 4:] = 1
    assert background_labels(clusters, "perimeter") == []
    assert background_labels(clusters, "released") == [0, 1]


def test_parts_by_structure_and_by_mean() -> None:
    heights = {4: 10.0, 7: 14.9, 1: 15.0, 2: 29.9, 9: 30.0, 3: 40.0}  # thirds of 10: head up to 15, body up to 30
    assert label_parts(heights, 3, "structure") == {4: 1, 7: 1, 1: 2, 2: 2, 9: 3, 3: 3}
    assert label_parts(heights, 3, "auto") == label_parts(heights, 3, "structure")
    assert label_parts(heights, 3, "mean") == {4: 1, 7: 1, 1: 2, 2: 2, 9: 3, 3: 3}
    assert label_parts(heights, 5, "auto") == {4: 1, 7: 2, 1: 3, 2: 4, 9: 5, 3: 5}
    assert label_parts({8: 5.0, 2: 1.0}, 3, "mean") == {2: 2, 8: 3}
    assert label_parts({8: 5.0}, 3, "structure") == {8: 2}


def test_seven_labels_in_three_parts_are_two_two_and_three() -> None:
    """The released code's even division: part i begins at place floor((i - 1) n / k)."""
    found = label_parts({label: float(label) for label in range(7)}, 3, "mean")
    assert list(found.values()) == [1, 1, 2, 2, 3, 3, 3]
    for number, parts in ((5, 3), (7, 5), (32, 6), (6, 6), (3, 4)):
        edges = [number * part // parts for part in range(parts + 1)]
        expected = [part for part in range(1, parts + 1) for _ in range(edges[part] - edges[part - 1])]
        assert list(label_parts({label: float(label) for label in range(number)}, parts, "mean").values()) == expected


def test_structure_with_five_parts_fills_three() -> None:
    heights = {0: 0.0, 1: 4.9, 2: 5.0, 3: 19.9, 4: 20.0, 5: 50.0}  # steps of 10: head up to 5, body up to 20
    assert label_parts(heights, 5, "structure") == {0: 1, 1: 1, 2: 2, 3: 2, 4: 3, 5: 3}
    with pytest.raises(SettingsError, match="at least 3, got 2; set part_rule to mean"):
        PartSettings(parts=2, part_rule="structure")


def test_reassignment_orders_parts_and_knows_what_is_missing() -> None:
    clusters = torch.zeros(3, 16, 8, dtype=torch.uint8)
    clusters[:2, 2:4, 3:5], clusters[:2, 5:9, 2:6], clusters[:2, 10:15, 2:6] = 30, 11, 20
    labels, known, reason = reassign(clusters, PartSettings())
    assert labels[0, :, 3].tolist() == [0, 0, 1, 1, 0, 2, 2, 2, 2, 0, 3, 3, 3, 3, 3, 0]
    assert known.tolist() == [True, True, False]
    assert reason == "no foreground in some images"
    assert labels.dtype == torch.uint8


def test_reassignment_of_nothing_but_background_or_foreground() -> None:
    labels, known, reason = reassign(torch.full((2, 8, 8), 3, dtype=torch.uint8), PartSettings())
    assert reason == "no foreground"
    assert not labels.any()
    assert not known.any()
    stripes = torch.arange(8).view(1, 8, 1).expand(2, 8, 8).to(torch.uint8)
    labels, known, reason = reassign(stripes, PartSettings(background_rule="perimeter"))
    assert reason == "no background"
    assert known.all()
    assert labels.min() == 1
    spot = torch.zeros(2, 8, 8, dtype=torch.uint8)
    spot[:, 3:5, 3:5] = 1
    labels, _, reason = reassign(spot, PartSettings())
    assert reason == "one foreground label"
    assert set(labels.unique().tolist()) == {0, 2}


# -- clustering -------------------------------------------------------------------------------------------------------------


def toy() -> PersonImages:
    """Two images: weak background, and three strong regions from top to bottom, each along a channel of its own."""
    features = torch.full((2, 4, 12, 6), 0.05)
    for channel, rows in enumerate((slice(1, 3), slice(4, 7), slice(8, 11))):
        features[:, channel, rows, 2:4] = 2.0 + channel
    features[1] *= 10  # activations are relative to the strongest of the image
    return PersonImages(4, features, ("1", "2"), (0, 1), torch.tensor([8, 9]))


def test_clustering_finds_foreground_and_orders_parts() -> None:
    (found,) = cluster_parts([toy()], seed=0)
    expected = torch.zeros(2, 12, 6, dtype=torch.uint8)
    expected[:, 1:3, 2:4], expected[:, 4:7, 2:4], expected[:, 8:11, 2:4] = 1, 2, 3
    assert torch.equal(found.labels, expected)
    assert found.known.all()
    assert found.indices.tolist() == [8, 9]
    assert (found.reason, found.clusters_left) == ("", 4)
    (again,) = cluster_parts([toy()], seed=0)
    assert torch.equal(again.clusters, found.clusters)


def test_clustering_of_degenerate_persons() -> None:
    flat = PersonImages(0, torch.ones(2, 4, 8, 4), ("1", "1"), (0, 1), torch.arange(2))
    (found,) = cluster_parts([flat], seed=0)
    assert found.reason == "no background"
    assert not found.known.any()
    (found,) = cluster_parts([toy()], ClusterSettings(parts=5), seed=0)
    assert found.reason == "fewer parts"
    assert int(found.labels.max()) == 3
    partly = toy()
    partly.features[1] = 0
    (found,) = cluster_parts([partly], seed=0)
    assert found.known.tolist() == [True, False]


def test_clustering_without_scikit_learn_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"occlureid\[cluster\]"):
        next(cluster_parts([toy()], seed=0))


# -- scores -----------------------------------------------------------------------------------------------------------------


def test_scores_by_hand() -> None:
    truth = torch.tensor([[[0, 1, 1, 2]], [[2, 2, 2, 2]]])
    labels = torch.tensor([[[1, 1, 0, 2]], [[0, 0, 0, 0]]], dtype=torch.uint8)
    known = torch.tensor([True, False])
    found = score_parsing(labels, truth, known)
    assert found.images == 1
    assert found.foreground == pytest.approx(2 / 4)  # of four pixels, two are foreground in both
    assert found.parts == (pytest.approx(1 / 3), 1.0)
    assert found.mean == pytest.approx(2 / 3)
    assert score_parsing(labels, truth).parts == (pytest.approx(1 / 3), pytest.approx(1 / 5))
    both = found + score_parsing(labels[1:], truth[1:])
    assert both == score_parsing(labels, truth)
    assert "foreground 50.0%" in found.summary()
    assert found.to_json()["part_iou"] == list(found.parts)
    nothing = score_parsing(labels, truth, torch.tensor([False, False]), parts=2)
    assert (nothing.foreground, nothing.mean, nothing.images) == (None, None, 0)
    with pytest.raises(ShapeError, match="cannot be joined"):
        _ = nothing + ParsingScores(1, ((0,),))


def test_truth_of_another_size_is_brought_to_that_of_the_labels() -> None:
    labels = torch.tensor([[[0, 1], [2, 2]]], dtype=torch.uint8)
    large = labels.long().repeat_interleave(4, 1).repeat_interleave(6, 2)
    assert score_parsing(labels, large).mean == 1
    maps = torch.stack([(large == part).float() for part in (1, 2)], 1)
    assert score_parsing(labels, maps).mean == 1
    assert score_parsing(labels, maps * 0.4).foreground == 0  # the background is what fills most


@pytest.mark.parametrize(
    ("labels", "truth", "known"),
    [
        (torch.zeros(2, 4, 4), torch.zeros(2, 4, 4), None),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), torch.zeros(3, 4, 4), None),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), torch.zeros(2, 4, 4), torch.ones(3, dtype=torch.bool)),
        (torch.full((2, 4, 4), 3, dtype=torch.uint8), torch.zeros(2, 2, 4, 4), None),
    ],
)
def test_scores_check_what_they_get(labels: Tensor, truth: Tensor, known: Tensor | None) -> None:
    with pytest.raises(ShapeError):
        score_parsing(labels, truth, known)


def test_the_released_weights_of_the_local_loss_by_hand() -> None:
    """Its code adds 2 (vertical + horizontal) and, apart from these, 1 (both diagonals)."""
    scores = torch.tensor([[1.0, 2.0], [4.0, 8.0]]).view(1, 1, 2, 2, 1)
    labels, pairs = scores.argmax(-1), torch.zeros(1, 0)
    settings = CoparseSettings.build(read_recipe("hcga-released")["model"]["coparsing"])
    expected = 2 * (4.5 + 2.5) + 1 * (7 + 2)  # one channel is always the likeliest: no semantic loss
    assert float(person_losses(scores, labels, ONE, pairs, settings)) == pytest.approx(expected)


@pytest.mark.parametrize(("activation", "kept"), [("length", [1.0]), ("sigmoid", [0.4, 1.0])])
def test_foreground_by_activation_as_it_is_and_through_isps_sigmoid(activation: str, kept: list[float]) -> None:
    """Lengths 0.05, 0.4 and 1: 0.4 is nearer to 0.05, but 0.88 to 1.00 and not to 0.18."""
    lengths = torch.tensor([0.05, 0.4, 1.0]).repeat(4, 1)
    features = torch.stack([lengths, torch.zeros_like(lengths)])[None]
    one = PersonImages(3, features, ("1",), (0,), torch.arange(1))
    (found,) = cluster_parts([one], ClusterSettings.build({"parts": 1, "activation": activation}), seed=0)
    assert features[0, 0][found.labels[0] > 0].unique().tolist() == pytest.approx(kept)
