"""Obstacles: of real size, disjoint between the splits, as near to the wanted visible fraction as asked; and sprites of them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from occlureid.errors import DataError, SettingsError
from occlureid.synthetic import World, WorldSettings
from occlureid.synthetic.camera import to_camera
from occlureid.synthetic.cast import cast, table
from occlureid.synthetic.labels import truth
from occlureid.synthetic.obstacles import KINDS, OBSTACLES, PERSON, Placement, draw_kind, draw_model, models_of
from occlureid.synthetic.people import crop_windows, people
from occlureid.synthetic.primitives import BOX, Primitives
from occlureid.synthetic.sprites import obstacle_sprites

EVERY = {
    "car", "pole", "tree", "hedge", "bench", "bin", "fence", "sign", "luggage", "umbrella", "person", "border",
}  # fmt: skip
SMALL = WorldSettings(
    seed=8,
    train_persons=8,
    test_persons=10,
    cameras=3,
    size=(96, 48),
    resolution=(1, 1),
    occluded_train=1.0,
    jpeg=(100, 100),
)
EYE, DISTANCE = 3.0, 10.0


def placed(model, chance=0.5, gap=0.8):
    return Placement(
        spot=np.array([0.0, gap - DISTANCE]), right=np.array([1.0, 0.0]), side=1.0, tall=1.75,
        colour=np.array(model.colours[0]), chance=chance, eye=EYE, ahead=gap / DISTANCE,
    )  # fmt: skip


@pytest.fixture(scope="module")
def world():
    return World(SMALL)


@pytest.fixture(scope="module")
def stage(world):
    """Six people ten metres before a camera at three metres, and crops around them."""
    scenes = [world._scene("train", 12 * k, 0, False) for k in range(6)]
    walkers = [replace(scene.target, place=(0.0, -DISTANCE)) for scene in scenes]
    bodies, _, _ = people([(walker, k, 0) for k, walker in enumerate(walkers)])
    pitch = np.arctan2(EYE - 0.9, DISTANCE)
    cos, sin = np.cos(pitch), np.sin(pitch)
    rotation = np.tile(np.array([[[1.0, 0, 0], [0, -cos, sin], [0, -sin, -cos]]]), (6, 1, 1))
    position = np.tile(np.array([[0.0, EYE, 0.0]]), (6, 1))
    window = crop_windows(bodies, scenes, rotation, position, 0.5)
    return bodies, rotation, position, window


def visible(stage, things, size=(64, 32)):
    bodies, rotation, position, window = stage
    copies = [replace(things, image=np.full(len(things), k)) for k in range(6)]
    seen = to_camera(Primitives.cat([bodies, *copies]), rotation, position)
    seen = replace(seen, group=np.zeros(len(seen), dtype=np.int64))
    ready = table(seen, "cpu")
    return truth(cast(seen, (seen.owner != 0).astype(np.int64), ready, window, size), ready).visible_fraction


def extent(things):
    """Lowest and highest corner in the world, over boxes exactly and over rods by their spheres' axes."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for k in range(len(things)):
        frame, size = things.frame[k], things.size[k]
        if things.kind[k] == BOX:
            reach = np.abs(frame.T * size).sum(axis=1)
            ends = [(things.origin[k], reach)]
        else:
            axes = np.linalg.inv(frame)  # columns: how far one local unit goes
            ends = [
                (things.origin[k] + axes[:, 1] * size[2] * end, np.sqrt((axes**2).sum(axis=1)) * size[end])
                for end in (0, 1)
            ]
        for middle, reach in ends:
            low, high = np.minimum(low, middle - reach), np.maximum(high, middle + reach)
    return low, high


# --- the models -------------------------------------------------------------------------------------------------------


def test_every_kind_has_models_in_both_splits():
    assert set(KINDS) == EVERY
    for test in (False, True):
        assert {model.kind for model in models_of(test)} == EVERY - {"person", "border"}
    assert len({model.name for model in OBSTACLES}) == len(OBSTACLES)


@pytest.mark.parametrize("model", OBSTACLES, ids=lambda model: model.name)
def test_every_obstacle_hides_more_as_it_comes(stage, model):
    seen = [visible(stage, model.build(placed(model), amount)) for amount in (0.0, 0.35, 0.7, 1.0)]
    assert (seen[0] > 0.8).all()
    assert all((later <= earlier + 0.06).all() for earlier, later in pairwise(seen))
    assert np.median(seen[-1]) <= model.least + 0.06, "what the catalogue says it can hide"


# length to the right, height, and depth of what stands there at its nominal size, in metres
SIZES = {
    "car": ((1.6, 5.4), (1.35, 2.5), (1.6, 5.4)),
    "bench": ((1.5, 2.3), (0.8, 1.3), (0.4, 1.2)),
    "bin": ((0.5, 1.6), (0.9, 1.5), (0.4, 1.3)),
    "luggage": ((0.5, 1.7), (0.8, 1.6), (0.2, 0.9)),
}


@pytest.mark.parametrize("model", OBSTACLES, ids=lambda model: model.name)
@pytest.mark.parametrize("chance", [0.1, 0.6])
def test_obstacles_have_the_size_of_the_real_thing(model, chance):
    low, high = extent(model.build(placed(model, chance), 1.0))
    assert low[1] > -0.45, "round ends may sink into the ground, nothing more"
    assert high[1] < 5.6
    for span, (least, greatest) in zip((high - low), SIZES.get(model.kind, ((0.05, 9.0),) * 3), strict=True):
        assert least <= span <= greatest


def lab(colours):
    """CIE L*a*b* of sRGB colours (N, 3) under D65."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x = (linear @ matrix.T) / np.array([0.9505, 1.0, 1.089])
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=-1)


def test_no_colour_of_the_test_obstacles_comes_near_one_of_training():
    random = np.random.default_rng(0)
    train, test = (
        lab(np.array([model.paint(random) for model in models_of(split) for _ in range(60)])) for split in (False, True)
    )
    nearest = np.sqrt(((train[:, None] - test[None]) ** 2).sum(-1)).min()
    assert nearest > 4.0, "a just noticeable difference is about 2.3"


def test_no_shape_of_the_test_obstacles_occurs_in_training(stage):
    """Structurally: few parts of the same size; and in what they hide: outlines of one kind that do not coincide."""
    _, rotation, position, _ = stage
    window = np.array([[-0.2, -0.2, 0.4, 0.4]])

    def look(model):
        things = model.build(placed(model), 1.0)
        seen = to_camera(things, rotation[:1], position[:1])
        layers = cast(seen, np.ones(len(seen), dtype=np.int64), table(seen, "cpu"), window, (64, 64))
        sizes = {(int(kind), *np.round(size, 3)) for kind, size in zip(things.kind, things.size, strict=True)}
        return sizes, torch.isfinite(layers.depth[1, 0])

    for kind in EVERY - {"person", "border"}:
        for train in models_of(False, (kind,)):
            for test in models_of(True, (kind,)):
                (sizes, outline), (other_sizes, other) = look(train), look(test)
                assert len(sizes & other_sizes) <= 0.2 * min(len(sizes), len(other_sizes)), (train.name, test.name)
                overlap = (outline & other).sum() / (outline | other).sum()
                assert overlap < 0.93, (train.name, test.name)
                assert train.build is not test.build


def test_a_kind_is_drawn_that_can_hide_as_much_as_is_wanted():
    random = np.random.default_rng(1)
    drawn = {draw_kind(random, KINDS, 0.3, test=False) for _ in range(300)}
    assert "bench" not in drawn
    assert {"person", "border", "hedge"} <= drawn
    assert {draw_kind(random, KINDS, 0.75, test=True) for _ in range(400)} == EVERY
    assert draw_kind(random, ("bench",), 0.3, test=False) == "bench", "the only one allowed, whatever it can do"
    model, place = draw_model(random, "bench", 0.3, (0.0, -9.0), 3.0, 1.7, test=False)
    assert model.kind == "bench"
    assert not model.test
    assert model.gap[0] <= 9.0 - np.hypot(*place.spot) <= model.gap[1] + 0.01


# --- the wanted visible fraction --------------------------------------------------------------------------------------


def test_the_wanted_fraction_is_met(world):
    scenes = [world._scene("query", index, 0, True) for index in range(30)]
    scenes += [world._scene("train", index, 0, True) for index in range(0, 96, 3)]
    got = world._render([replace(scene, scale=1.0) for scene in scenes], "query").visible_fraction.numpy()
    off = np.abs(got - [scene.wanted for scene in scenes])
    assert np.median(off) < 0.012
    assert np.quantile(off, 0.85) < 0.04
    assert np.mean([scene.wanted for scene in scenes]) == pytest.approx(got.mean(), abs=0.03)


@pytest.mark.parametrize("span", [(0.2, 0.26), (0.5, 0.55), (0.85, 0.93)])
def test_one_visible_fraction_can_be_asked_for(span):
    shot = World(SMALL.with_changes(visible_range=span)).render("query", range(0, 30, 2))
    fraction = shot.visible_fraction
    assert ((fraction >= span[0]) & (fraction <= span[1])).all()
    assert len(set(shot.obstacles)) > 2


def test_only_the_obstacles_asked_for_occur():
    shot = World(SMALL.with_changes(obstacles=("tree", "person"))).render("query", range(16))
    assert set(shot.obstacles) == {"tree", "person"}


@pytest.mark.parametrize("kinds", [("dragon",), (), ("car", "car")])
def test_obstacles_that_cannot_be_are_refused(kinds):
    with pytest.raises(SettingsError, match="obstacles"):
        WorldSettings(obstacles=kinds)


def test_whoever_stands_in_front_is_somebody_else_of_the_same_split():
    settings = SMALL.with_changes(obstacles=("person",), passers_by=0, far_people=0)
    shot = World(settings).render("query", range(12))
    first, count = settings.persons("query")
    assert set(shot.obstacles) == {PERSON}
    for person, others in zip(shot.persons.tolist(), shot.other_persons, strict=True):
        assert len(others) == 1
        assert others.item() != person
        assert first <= others.item() < first + count


def test_in_a_split_of_one_person_the_border_hides_instead():
    settings = SMALL.with_changes(obstacles=("person", "border"), test_persons=1)
    assert set(World(settings).render("query", range(3)).obstacles) == {"border"}


# --- sprites ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sprites():
    return obstacle_sprites(20, 5, 48)


def test_sprites_are_cut_out_with_soft_edges(sprites):
    for sprite in sprites:
        opacity = sprite.rgba[..., 3]
        assert sprite.rgba.dtype == np.uint8
        assert opacity[0].any()
        assert opacity[-1].any()
        assert opacity[:, 0].any()
        assert opacity[:, -1].any()
        assert (opacity == 255).any()
        assert ((opacity > 0) & (opacity < 255)).any()
        assert (sprite.rgba[opacity == 0] == 0).all()
        assert sprite.rgba[opacity == 255][:, :3].max() > 60
    people_tall = [sprite.rgba.shape[0] for sprite in sprites if sprite.kind == PERSON]
    assert people_tall
    assert all(38 <= tall <= 58 for tall in people_tall)
    assert all(sprite.enters == "below" for sprite in sprites if sprite.kind == "hedge")
    assert len({sprite.kind for sprite in sprites}) >= 6


def test_a_sprite_depends_on_its_place_and_the_seed_alone(sprites):
    again = obstacle_sprites(3, 5, 48)
    assert all((a.rgba == b.rgba).all() and a.kind == b.kind for a, b in zip(again, sprites, strict=False))
    other = obstacle_sprites(3, 6, 48)
    assert any(a.rgba.shape != b.rgba.shape or (a.rgba != b.rgba).any() for a, b in zip(other, again, strict=True))


def test_kinds_of_sprites_can_be_chosen():
    assert {sprite.kind for sprite in obstacle_sprites(3, 0, 32, kinds=("umbrella",), test=True)} == {"umbrella"}
    hanging = obstacle_sprites(2, 0, 32, kinds=("umbrella",))
    assert all(sprite.enters == "above" for sprite in hanging)
    assert [sprite.kind for sprite in obstacle_sprites(1, 0, 32, kinds=("person", "border"))] == ["person"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kinds": ("border",)}, "border"),
        ({"kinds": ("dragon",)}, "dragon"),
        ({"kinds": ()}, "none"),
        ({"size": 8}, "size"),
        ({"seed": -1}, "seed"),
    ],
)
def test_sprites_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        obstacle_sprites(**{"count": 1, "seed": 0, "size": 48, **arguments})
