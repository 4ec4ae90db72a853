"""The rendered world: the same pixels in any batch, true depth, exact labels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from occlureid.errors import DataError, SettingsError
from occlureid.synthetic import World, WorldSettings
from occlureid.synthetic.body import KEYPOINT_ANCHORS, PART_NAMES, Pose, anchors
from occlureid.synthetic.camera import to_camera
from occlureid.synthetic.cast import cast, table
from occlureid.synthetic.labels import truth
from occlureid.synthetic.obstacles import models_of
from occlureid.synthetic.people import crop_windows, people
from occlureid.synthetic.primitives import Primitives, boxes, material, round_cones
from occlureid.synthetic.scene import Walker
from occlureid.synthetic.wardrobe import outfit
from occlureid.types import KEYPOINT_NAMES

SMALL = WorldSettings(seed=5, train_persons=6, test_persons=4, cameras=2, size=(128, 64))
STANDING = Pose(0.0, 0.0, 0.0, 0.0, 0.2, 0.2, 0.0, 0.0, 0.0, 0.0, 0.1)


@pytest.fixture(scope="module")
def world():
    return World(SMALL)


@pytest.fixture(scope="module")
def queries(world):
    return world.render("query", range(SMALL.count("query")))


@pytest.fixture(scope="module")
def gallery(world):
    return world.render("gallery", range(SMALL.count("gallery")))


def distance_to(mask, points):
    """For each (x, y), the distance in pixels to the nearest centre of a true pixel."""
    rows, columns = np.nonzero(mask)
    centres = np.stack([columns + 0.5, rows + 0.5], axis=1)
    return np.sqrt(((points[:, None] - centres[None]) ** 2).sum(-1)).min(1)


# --- the same seed and index, the same pixels -------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("split", ["train", "query"])
def test_an_image_does_not_depend_on_its_batch(world, split, batch):
    reference = world.render(split, range(8))
    fresh = World(SMALL)
    for start in range(0, 8, batch):
        part = fresh.render(split, range(start, min(start + batch, 8)))
        for row, index in enumerate(part.indices.tolist()):
            assert torch.equal(part.images[row], reference.images[index])
            assert torch.equal(part.keypoints[row], reference.keypoints[index])
            assert torch.equal(part.parts[row], reference.parts[index])
            assert part.visible_fraction[row] == reference.visible_fraction[index]


def test_images_come_in_the_order_asked_for_and_may_repeat(world):
    shot = world.render("train", [9, 2, 9])
    assert shot.indices.tolist() == [9, 2, 9]
    assert torch.equal(shot.images[0], shot.images[2])
    assert not torch.equal(shot.images[0], shot.images[1])


def test_another_seed_gives_another_world(world):
    other = World(SMALL.with_changes(seed=6)).render("train", [0])
    assert not torch.equal(other.images, world.render("train", [0]).images)


@pytest.mark.parametrize("size", [(192, 64), (384, 128), (100, 50)])
def test_any_size_shows_the_same_scene(world, size):
    small, sized = world.render("train", [3]), World(SMALL.with_changes(size=size)).render("train", [3])
    assert sized.images.shape == (1, 3, *size)
    assert sized.parts.shape == (1, *size)
    scale = torch.tensor([size[1] / 64, size[0] / 128])
    torch.testing.assert_close(sized.keypoints[..., :2], small.keypoints[..., :2] * scale, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("split", "indices"), [("test", [0]), ("train", []), ("train", [48]), ("train", [-1])])
def test_wrong_splits_and_indices_are_named(world, split, indices):
    with pytest.raises(DataError, match=r"train, query, gallery|0 to 47"):
        world.render(split, indices)


# --- landmarks and parts ----------------------------------------------------------------------------------------------


def test_visible_landmarks_lie_on_the_visible_target(queries, gallery):
    for shot in (queries, gallery):
        for row in range(len(shot)):
            seen = shot.keypoints[row][shot.keypoints[row, :, 2] > 0]
            far = distance_to(shot.parts[row].numpy() > 0, seen[:, :2].numpy())
            assert far.max() < 3.0, shot.obstacles[row]


def test_hidden_landmarks_are_off_the_visible_target_or_outside(queries):
    hidden_in_image = 0
    for row in range(len(queries)):
        for x, y, seen in queries.keypoints[row].tolist():
            if not seen and 0 <= x < 64 and 0 <= y < 128:
                hidden_in_image += 1
                assert queries.parts[row, int(y), int(x)] == 0
    assert hidden_in_image > 20


def test_the_right_shoulder_is_left_in_the_image_of_a_frontal_person(world):
    headings, shoulders = [], []
    shot = world.render("train", range(48))
    right, left = KEYPOINT_NAMES.index("right_shoulder"), KEYPOINT_NAMES.index("left_shoulder")
    for row in range(len(shot)):
        headings.append(float(shot.headings[row]))
        shoulders.append(float(shot.keypoints[row, left, 0] - shot.keypoints[row, right, 0]))
    front, back = np.abs(headings) < 0.7, np.abs(headings) > 2.4
    assert front.sum() >= 3
    assert back.sum() >= 3
    assert (np.array(shoulders)[front] > 0).all()
    assert (np.array(shoulders)[back] < 0).all()


def test_a_person_who_walks_away_hides_the_own_face(world, gallery):
    """Those who look over their shoulder are left out: what counts is where the head faces."""
    poses = [world._scene("gallery", index, 0, False).target.pose for index in gallery.indices.tolist()]
    ahead = torch.tensor([abs(pose.turn + pose.head_yaw) < 0.4 for pose in poses])
    nose, shoulder = KEYPOINT_NAMES.index("nose"), KEYPOINT_NAMES.index("left_shoulder")
    whole = ahead & (gallery.visible_fraction >= 0.95)
    away, towards = whole & (gallery.headings.abs() > 2.4), whole & (gallery.headings.abs() < 0.7)
    rightwards = whole & ((gallery.headings - np.pi / 2).abs() < 0.5)
    assert min(away.sum(), towards.sum()) >= 2
    assert gallery.self_occluded[away][:, nose].all()
    assert not gallery.self_occluded[towards][:, nose].any()
    assert rightwards.any()
    assert not gallery.self_occluded[rightwards][:, KEYPOINT_NAMES.index("right_shoulder")].any()
    assert gallery.self_occluded[rightwards][:, shoulder].all()


def test_each_landmark_belongs_to_its_part():
    points = dict(
        zip(
            KEYPOINT_NAMES,
            anchors(np.array([STANDING.row()]), np.ones(1), np.ones(1))[0, KEYPOINT_ANCHORS],
            strict=True,
        )
    )
    order = ["nose", "neck", "left_shoulder", "left_elbow", "left_hip", "left_knee", "left_ankle"]
    heights = [points[name][1] for name in order]
    assert heights == sorted(heights, reverse=True)
    assert points["left_shoulder"][0] > 0 > points["right_shoulder"][0]
    assert points["nose"][2] > 0


def test_feet_stand_on_the_ground_in_every_phase():
    poses = np.stack([replace(STANDING, phase=phase, stride=0.45, knee=0.9).row() for phase in np.linspace(0, 6.2, 25)])
    unit = anchors(poses, np.ones(25), np.ones(25))
    ankles = unit[:, [KEYPOINT_NAMES.index("left_ankle"), KEYPOINT_NAMES.index("right_ankle")], 1]
    assert ankles.min() > 0.0
    assert (ankles.min(axis=1) < 0.15).all()
    assert (unit[:, KEYPOINT_NAMES.index("nose"), 1] > 0.8).all()


def test_an_unhidden_person_shows_every_part_from_head_to_foot(world):
    shot = world.render("train", range(24))
    for row in torch.nonzero(shot.visible_fraction >= 0.999).flatten().tolist():
        labels = shot.parts[row]
        assert {1, 2, 5, 6, 7} <= set(labels.unique().tolist())
        rows = [float(torch.nonzero(labels == part)[:, 0].float().mean()) for part in (1, 2, 5, 6, 7)]
        assert rows == sorted(rows)


def test_the_part_map_has_a_channel_for_each_part(queries):
    maps = queries.part_map()
    assert maps.shape == (len(queries), 7, 128, 64)
    assert torch.equal(maps.sum(1) > 0, queries.parts > 0)


# --- depth and visible fraction ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stage(world):
    """One standing person before a level camera, ten metres away, and a crop around them."""
    look = replace(world.appearance("train", 0), bottom="straight", bag="none", luggage="none")
    body, _, _ = people([(Walker(1, outfit(look), STANDING, (0.0, -10.0), 0.0), 0, 0)])
    rotation, position = np.array([[[1.0, 0, 0], [0, -1.0, 0], [0, 0, -1.0]]]), np.array([[0.0, 1.0, 0.0]])
    scene = world._scene("train", 0, 0, False)
    window = crop_windows(body, [scene], rotation, position, 0.5)
    return body, rotation, position, window


def board(z, low=0.0, high=4.0, left=-3.0, right=3.0):
    """An upright board across the view at depth -z."""
    centre, half = (
        np.array([[(left + right) / 2, (low + high) / 2, z]]),
        np.array([[(right - left) / 2, (high - low) / 2, 0.01]]),
    )
    return boxes(centre, half, np.zeros(1), materials=material((0.5, 0.5, 0.5))[None])


def look_at(stage, *things, window=None, size=(128, 64)):
    body, rotation, position, crop = stage
    seen = to_camera(Primitives.cat([body, *things]), rotation, position)
    ready = table(seen, "cpu")
    crop = crop if window is None else window
    layers = cast(seen, (seen.owner != 0).astype(np.int64), ready, crop, size)
    return truth(layers, ready), layers


def test_an_obstacle_behind_hides_nothing_and_one_in_front_all(stage):
    assert look_at(stage, board(-11.0))[0].visible_fraction[0] == 1.0
    assert look_at(stage, board(-9.0))[0].visible_fraction[0] == 0.0


def test_the_visible_fraction_is_the_ratio_of_counted_pixels(stage):
    alone, _ = look_at(stage)
    hidden, _ = look_at(stage, board(-9.0, low=0.0, high=0.9))
    whole, shown = (alone.parts > 0).sum(), (hidden.parts > 0).sum()
    assert 0 < shown < whole
    assert hidden.visible_fraction[0] == shown / whole
    for part in range(1, len(PART_NAMES)):
        expected = (hidden.parts == part).sum() / (alone.parts == part).sum()
        assert hidden.part_visible_fraction[0, part - 1] == expected
    assert hidden.part_visible_fraction[0, 0] == 1.0
    assert hidden.part_visible_fraction[0, 6] == 0.0


@pytest.mark.parametrize("cut", [0.25, 0.5])
def test_the_border_hides_too(stage, cut):
    """Halving the window and the image together leaves the pixels where they were: an exact reference."""
    _, _, _, window = stage
    alone, _ = look_at(stage)
    rows = int(128 * (1 - cut))
    upper = window * np.array([1, 1, 1, rows / 128])
    shown, _ = look_at(stage, window=upper, size=(rows, 64))
    assert shown.visible_fraction[0] == (alone.parts[:, :rows] > 0).sum() / (alone.parts > 0).sum()


def test_depth_is_true_metres(stage):
    _, layers = look_at(stage, board(-9.0))
    torch.testing.assert_close(layers.depth[1], torch.full_like(layers.depth[1], 8.99), atol=1e-4, rtol=0)
    target = layers.depth[0][torch.isfinite(layers.depth[0])]
    assert 9.5 < target.min() < target.max() < 10.5


def test_a_sphere_has_the_depth_and_the_outline_of_a_sphere():
    """A cone of equal radii and hardly any length, looked at along its side, against the formula of a sphere."""
    ball = round_cones(
        np.array([[0.0, -1e-6, 5.0]]), np.array([[0.0, 1e-6, 5.0]]), np.array([1.0]), np.array([1.0]),
        hint=np.array([[0.0, 0.0, 1.0]]), squeeze=np.ones((1, 2)), materials=material((1, 1, 1))[None],
    )  # fmt: skip
    window = np.array([[-0.4, -0.4, 0.8, 0.8]])
    layers = cast(ball, np.zeros(1, dtype=np.int64), table(ball, "cpu"), window, (64, 64))
    slope = torch.from_numpy(-0.4 + (np.arange(64) + 0.5) / 64 * 0.8)
    u, v = slope[None, :], slope[:, None]
    square = u * u + v * v + 1
    root = 25 - square * 24
    expected = torch.where(root >= 0, (5 - root.clamp_min(0).sqrt()) / square, torch.inf)
    clear = root.abs() > 0.05  # the very outline is a matter of rounding
    torch.testing.assert_close(layers.depth[0, 0][clear], expected[clear].float(), atol=1e-3, rtol=0)


# --- the protocol -----------------------------------------------------------------------------------------------------


def test_occluded_images_have_the_protocols_shares():
    settings = WorldSettings(train_persons=50, test_persons=20, cameras=4)
    world = World(settings)
    shares = {"train": 0.09, "query": 1.0, "gallery": 0.10}
    assert {split: int(world.occluded(split).sum()) for split in shares} == {
        split: round(share * settings.count(split)) for split, share in shares.items()
    }
    assert (World(settings).occluded("train") == world.occluded("train")).all()
    assert (World(settings.with_changes(seed=1)).occluded("train") != world.occluded("train")).any()


def test_fractions_and_obstacles_agree_with_the_protocol(world, queries, gallery):
    low, high = SMALL.visible_range
    assert ((queries.visible_fraction >= low) & (queries.visible_fraction <= high)).all()
    assert "none" not in queries.obstacles
    hidden = torch.from_numpy(world.occluded("gallery"))
    assert (gallery.visible_fraction[~hidden] >= 0.95).all()
    assert (gallery.visible_fraction[hidden] <= high).all()
    assert [kind != "none" for kind in gallery.obstacles] == hidden.tolist()
    known = {model.kind for model in models_of(test=True)} | {"person", "border"}
    assert set(queries.obstacles) <= known


def test_persons_are_disjoint_and_every_query_has_a_match_in_another_camera(world, queries, gallery):
    train = world.render("train", range(0, SMALL.count("train"), 8))
    assert set(train.persons.tolist()).isdisjoint(gallery.persons.tolist())
    assert set(queries.persons.tolist()) == set(gallery.persons.tolist())
    for person, camera in zip(queries.persons, queries.cameras, strict=True):
        assert ((gallery.persons == person) & (gallery.cameras != camera)).any()


def test_a_person_keeps_the_clothes_in_every_camera():
    """Mean colour of the visible torso, in cameras of like light and tone: nearer between the two of one person than between
    two persons."""
    settings = WorldSettings(
        seed=1,
        test_persons=16,
        cameras=2,
        size=(64, 32),
        occluded_gallery=0,
        look_alike=0,
        lighting=0,
        tone=0,
        exposure=0,
    )
    shot = World(settings).render("gallery", range(settings.count("gallery")))
    colours = {}
    for person in shot.persons.unique().tolist():
        for camera in (1, 2):
            rows = (shot.persons == person) & (shot.cameras == camera)
            clothes = (shot.parts[rows] == 2) | (shot.parts[rows] == 5)
            colours[person, camera] = shot.images[rows].permute(0, 2, 3, 1)[clothes].float().mean(0)
    first = torch.stack([v for (_, camera), v in colours.items() if camera == 1])
    second = torch.stack([v for (_, camera), v in colours.items() if camera == 2])
    distance = torch.cdist(first, second)
    own = distance.diagonal().mean()
    others = distance[~torch.eye(len(first), dtype=torch.bool)].mean()
    assert own < 0.6 * others


def test_some_persons_are_dressed_alike():
    def alike(share):
        world = World(WorldSettings(train_persons=80, look_alike=share))
        looks = [world.appearance("train", k) for k in range(80)]
        return sum(looks[k].upper == looks[k - k % 4].upper for k in range(80) if k % 4)

    assert alike(0.0) == 0
    assert alike(1.0) > 30


def test_training_and_test_persons_have_their_own_wardrobes(world):
    assert world.appearance("query", 0) == world.appearance("gallery", 0)
    assert world.appearance("query", 0) != world.appearance("train", 0)


def test_nuisances_can_be_switched_off():
    plain = WorldSettings(
        sensor_noise=0,
        colour_cast=0,
        exposure=0,
        passers_by=0,
        far_people=0,
        crop_jitter=0,
        box_errors=0,
        resolution=(1, 1),
        size=(64, 32),
        occluded_train=0,
    )
    shot = World(plain).render("train", range(6))
    assert all(len(others) == 0 for others in shot.others)
    assert (shot.visible_fraction >= 0.95).all()  # one's own luggage hides a little
    noisy = World(plain.with_changes(sensor_noise=0.1)).render("train", range(6))
    assert not torch.equal(noisy.images, shot.images)
    assert torch.equal(noisy.parts, shot.parts)
    cast_of_colour = World(plain.with_changes(colour_cast=0.2)).render("train", range(6))
    assert not torch.equal(cast_of_colour.images, shot.images)


@pytest.mark.parametrize(
    "values", [{"visible_range": (0.5, 0.52)}, {"cameras": 1}, {"size": (8, 8)}, {"train_person": 3}]
)
def test_impossible_settings_are_refused(values):
    with pytest.raises(SettingsError, match=next(iter(values))):
        WorldSettings(**values)
