"""Rendered bodies: limbs that grow out of the trunk, postures that hold, and the labels of what they wear."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from occlureid.synthetic import World, WorldSettings
from occlureid.synthetic.body import figures
from occlureid.synthetic.build import body_widths
from occlureid.synthetic.camera import to_camera
from occlureid.synthetic.cast import cast, table
from occlureid.synthetic.labels import truth
from occlureid.synthetic.pose import HOLDS, Pose, draw_pose
from occlureid.synthetic.primitives import CONE, Primitives, material, round_cones
from occlureid.synthetic.segments import ANCHORS, GROUPS, LIP, LIP_BEYOND, SEGMENTS
from occlureid.synthetic.skeleton import anchors
from occlureid.synthetic.worn import WORN_ROWS
from occlureid.types import KEYPOINT_NAMES

STANDING = Pose(0.0, 0.0, 0.0, 0.0, 0.2, 0.2, 0.0, 0.0, 0.0, 0.0, 0.1)
WALKING = replace(STANDING, phase=1.2, stride=0.42, knee=0.9, swing=0.4, twist=0.14)
TALL = 1.75
SIZE = (192, 96)
WINDOW = np.array([[-0.055, -0.11, 0.11, 0.22]])
OPTIONAL = {row[0] for row in WORN_ROWS} | {"hem", "skirt", "backpack", "left_strap", "right_strap", "long_hair"}
NAKED = np.array([segment.name not in OPTIONAL for segment in SEGMENTS])
ROWS = np.flatnonzero(NAKED)  # the segment of each primitive of one body


def bodies(poses, headings):
    """Bodies without clothes, one an image, nine metres before level cameras."""
    count, rows = len(poses), len(SEGMENTS)
    unit = anchors(np.array([pose.row() for pose in poses]), np.ones(count), np.ones(count))
    world, landmarks = figures(
        unit, np.full(count, TALL), np.tile([0.0, -9.0], (count, 1)), np.array(headings, dtype=float),
        np.ones((count, rows, 2)), np.tile(material((0.5, 0.5, 0.5)), (count, rows, 1)), np.tile(NAKED, (count, 1)),
        np.tile(LIP, (count, 1)), np.tile(LIP_BEYOND, (count, 1)), np.arange(count), np.zeros(count, dtype=np.int64),
    )  # fmt: skip
    rotation = np.tile(np.diag([1.0, -1.0, -1.0]), (count, 1, 1))
    return to_camera(world, rotation, np.tile([0.0, 0.9, 0.0], (count, 1))), landmarks


def rays(primitives, window=WINDOW, size=SIZE, images=1):
    ready = table(primitives, "cpu")
    layers = cast(primitives, np.zeros(len(primitives), dtype=np.int64), ready, np.tile(window, (images, 1)), size)
    return layers, ready


def plain(primitives):
    """The same primitives, which melt with nothing."""
    return replace(primitives, group=np.zeros_like(primitives.group))


def cones(*ends, radius=0.05, group=1, blend=0.05):
    """Cones of one radius between pairs of points (x, y) five metres away."""
    a, b = (np.array([[*end[k], 5.0] for end in ends]) for k in range(2))
    count = len(ends)
    return round_cones(
        a, b, np.full(count, radius), np.full(count, radius), hint=np.tile([0.0, 0.0, 1.0], (count, 1)),
        squeeze=np.ones((count, 2)), materials=np.tile(material((1, 1, 1)), (count, 1)), group=group, blend=blend,
        owner=0,
    )  # fmt: skip


def point_weights(primitives, points):
    """(K, N) 1 - distance / blend of each point to each cone, by searching its axis: slow and obvious."""
    steps = np.linspace(0.0, 1.0, 2001)
    result = []
    for row in range(len(primitives)):
        local = (points - primitives.origin[row]) @ primitives.frame[row].T
        first, second, length = primitives.size[row]
        axis = steps * length
        away = np.sqrt((local[:, :1] ** 2 + local[:, 2:] ** 2) + (local[:, 1:2] - axis) ** 2)
        result.append((away - (first + (second - first) * steps)).min(axis=1))
    return np.stack(result, axis=1)


# --- the surface ------------------------------------------------------------------------------------------------------

CLOSE = np.array([[-0.06, -0.06, 0.12, 0.12]])


def test_the_crease_between_two_limbs_is_gone():
    """Down the middle of a crossing of two rods: the slope of a plain union jumps, that of a melted one turns."""
    cross = cones(((-0.3, -0.2), (0.3, 0.2)), ((-0.3, 0.2), (0.3, -0.2)))

    def greatest_turn(primitives):
        depth = rays(primitives, CLOSE, (128, 128))[0].depth[0, 0].double().numpy()
        column = depth[50:78, 80]  # beside the middle: from one rod across the gusset to the other
        angle = np.degrees(np.arctan(np.diff(column) / (0.12 * 5 / 128)))
        return np.abs(np.diff(angle)).max()

    assert greatest_turn(plain(cross)) > 25
    assert greatest_turn(cross) < 12


def test_the_melted_surface_is_where_its_equation_says():
    angle = cones(((-0.2, 0.1), (0.0, 0.0)), ((0.0, 0.0), (0.2, 0.1)))
    layers, _ = rays(angle, CLOSE, (96, 96))
    depth = layers.depth[0, 0].double().numpy()
    down, right = np.nonzero(np.isfinite(depth))
    slopes = np.stack(
        [-0.06 + (right + 0.5) / 96 * 0.12, -0.06 + (down + 0.5) / 96 * 0.12, np.ones(len(right))], axis=1
    )
    weights = np.clip(1 - point_weights(angle, slopes * depth[down, right][:, None]) / 0.05, 0, None)
    off = np.abs(1 - (weights**4).sum(axis=1) ** 0.25) * 0.05
    assert len(off) > 800
    assert np.quantile(off, 0.97) < 2e-4
    assert off.max() < 2e-3
    assert (weights.min(axis=1) > 0.6).sum() > 100, "the two do melt here"


def test_normals_are_those_of_the_depths():
    body, _ = bodies([WALKING], [0.4])
    layers, _ = rays(body, np.array([[-0.03, -0.07, 0.06, 0.06]]), (256, 256))
    depth, normal = layers.depth[0, 0].double(), layers.normal[:, 0].double()
    step = 0.06 / 256
    slope = torch.from_numpy(-0.03 + (np.arange(256) + 0.5) * step)
    down = torch.from_numpy(-0.07 + (np.arange(256) + 0.5) * step)
    points = torch.stack([depth * slope[None], depth * down[:, None], depth])
    across, along = points[:, 1:-1, 2:] - points[:, 1:-1, :-2], points[:, 2:, 1:-1] - points[:, :-2, 1:-1]
    found = torch.cross(along, across, dim=0)
    given = normal[:, 1:-1, 1:-1]
    usable = torch.isfinite(found).all(dim=0) & (given.abs().sum(dim=0) > 0)
    usable &= (across[2].abs() < 0.02) & (along[2].abs() < 0.02)
    cosine = (found * given).sum(dim=0) / (found.norm(dim=0) * given.norm(dim=0)).clamp_min(1e-12)
    angles = torch.rad2deg(torch.acos(cosine[usable].clamp(-1, 1)))
    assert usable.sum() > 10_000
    assert angles.median() < 1.5
    assert angles.quantile(0.95) < 12


@pytest.mark.parametrize("heading", [0.0, 0.9, np.pi / 2, np.pi])
@pytest.mark.parametrize(
    "pose", [STANDING, WALKING, STANDING.holding("phone", "pocket")], ids=["stands", "walks", "phone"]
)
def test_the_smooth_outline_contains_the_plain_one(pose, heading):
    body, _ = bodies([pose], [heading])
    smooth, bare = rays(body)[0].depth[0, 0], rays(plain(body))[0].depth[0, 0]
    assert torch.isfinite(smooth[torch.isfinite(bare)]).all()
    grown = torch.isfinite(smooth).sum() / torch.isfinite(bare).sum()
    assert 1.0 <= grown < 1.06
    both = torch.isfinite(bare)
    behind = (smooth[both] - bare[both]).double()  # only rays that graze may be told wrongly, by less than they graze
    assert behind.quantile(0.998) < 1e-3
    assert behind.max() < 0.02


def test_an_arm_at_the_side_does_not_melt_into_the_trunk():
    """Every pixel of the arm is what it is without trunk, head and legs."""
    body, _ = bodies([STANDING], [0.0])
    arm = body.group == GROUPS.index("left_arm")
    whole, alone = rays(body)[0], rays(body[arm])[0]
    shown = torch.from_numpy(np.isin(whole.row[0, 0].numpy(), np.flatnonzero(arm)))
    assert shown.sum() > 300
    assert torch.equal(whole.depth[0, 0][shown], alone.depth[0, 0][shown])
    assert torch.equal(whole.normal[:, 0][:, shown], alone.normal[:, 0][:, shown])


def test_only_one_group_melts():
    gap = (((-0.15, -0.0565), (0.15, -0.0565)), ((-0.15, 0.0565), (0.15, 0.0565)))
    together = cones(*gap)
    apart = replace(together, group=np.array([1, 2]))
    middle = rays(together, CLOSE, (96, 96))[0].depth[0, 0, 47:49, 40:56]
    assert torch.isfinite(middle).all()
    layers = rays(apart, CLOSE, (96, 96))[0]
    assert torch.isinf(layers.depth[0, 0, 47:49, 40:56]).all()
    bare = rays(plain(together), CLOSE, (96, 96))[0]
    assert torch.equal(torch.isfinite(layers.depth), torch.isfinite(bare.depth))
    there = torch.isfinite(bare.depth)
    torch.testing.assert_close(layers.depth[there], bare.depth[there], atol=2e-3, rtol=0)


def test_bodies_do_not_depend_on_their_batch():
    random = np.random.default_rng(3)
    poses, headings = [draw_pose(random) for _ in range(5)], random.uniform(-3, 3, 5)
    batch, _ = bodies(poses, headings)
    many, _ = rays(batch, images=5)
    for k in range(5):
        one, _ = bodies(poses[k : k + 1], headings[k : k + 1])
        single, _ = rays(one)
        assert torch.equal(single.depth[:, 0], many.depth[:, k])
        assert torch.equal(single.normal[:, 0], many.normal[:, k])
        first = k * len(ROWS)
        expected = torch.where(many.row[0, k] >= 0, many.row[0, k] - first, -1)
        assert torch.equal(single.row[0, 0], expected)


def test_what_lies_beyond_the_border_is_counted_as_if_it_were_seen():
    body, _ = bodies([WALKING], [0.3])
    layers, ready = rays(body)
    upper, _ = rays(body, WINDOW * np.array([1, 1, 1, 0.5]), (96, 96))
    counted = torch.bincount(ready.label[layers.row[0][layers.row[0] >= 0].long()], minlength=8)
    shown = torch.bincount(ready.label[upper.row[0][upper.row[0] >= 0].long()], minlength=8)
    assert torch.equal(shown + upper.outside[0], counted)
    assert upper.outside.sum() > 500


# --- postures ---------------------------------------------------------------------------------------------------------


def many_poses():
    random = np.random.default_rng(11)
    drawn = [draw_pose(random) for _ in range(150)]
    held = [draw_pose(random, left, right) for left in HOLDS for right in ("", *HOLDS)]
    return drawn + held


@pytest.fixture(scope="module")
def postures():
    poses = many_poses()
    random = np.random.default_rng(12)
    unit = anchors(
        np.array([pose.row() for pose in poses]),
        random.uniform(0.88, 1.12, len(poses)),
        random.uniform(0.9, 1.1, len(poses)),
    )
    return poses, {name: unit[:, k] for k, name in enumerate(ANCHORS)}


def length(first, second):
    return np.sqrt(((first - second) ** 2).sum(-1))


@pytest.mark.parametrize("side", ["left", "right"])
def test_bones_keep_their_length(postures, side):
    _, points = postures
    for first, second, expected in (
        ("shoulder", "elbow", 0.172), ("elbow", "wrist", 0.145), ("hip", "knee", 0.243), ("knee", "ankle", 0.232),
    ):  # fmt: skip
        found = length(points[f"{side}_{first}"], points[f"{side}_{second}"])
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_everybody_stands_on_the_ground(postures):
    poses, points = postures
    soles = {"heel": 0.0235, "ball": 0.0212, "toe": 0.0158}
    lowest = {
        side: np.min([points[f"{side}_{end}"][:, 1] - sole for end, sole in soles.items()], axis=0)
        for side in ("left", "right")
    }
    np.testing.assert_allclose(np.minimum(lowest["left"], lowest["right"]), 0.0, atol=1e-9)
    standing = np.array([pose.stride == 0 for pose in poses])
    assert standing.sum() > 20
    both = np.maximum(lowest["left"], lowest["right"])
    assert both[standing].max() < 0.012, "who stands has both feet on the ground"
    assert both[~standing].max() > 0.03, "who walks lifts them"
    height = points["cranium"][:, 1] + 0.049
    assert ((height > 0.86) & (height < 1.03)).all()


def test_landmarks_lie_inside_the_body():
    random = np.random.default_rng(4)
    poses = [draw_pose(random) for _ in range(12)]
    body, landmarks = bodies(poses, np.zeros(12))
    seen = landmarks * [1.0, -1.0, -1.0] + [0.0, 0.9, 0.0]
    for k in range(12):
        away = point_weights(body[body.image == k], seen[k]).min(axis=1)
        for name, distance in zip(KEYPOINT_NAMES, away, strict=True):
            assert distance < (
                0.004 if name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear") else -0.01
            ), name


def test_a_head_is_two_fifteenths_of_the_height():
    points = dict(zip(ANCHORS, anchors(np.array([STANDING.row()]), np.ones(1), np.ones(1))[0], strict=True))
    crown, chin = points["cranium"][1] + 0.049, points["chin"][1] - 0.016
    assert crown == pytest.approx(1.0, abs=0.03)
    assert crown / (crown - chin) == pytest.approx(7.5, abs=0.5)


def test_hands_do_what_they_hold():
    poses = [STANDING.holding(hold, hold) for hold in HOLDS]
    unit = anchors(np.array([pose.row() for pose in poses]), np.ones(len(poses)), np.ones(len(poses)))
    at = {hold: {name: unit[k, ANCHORS.index(name)] for name in ANCHORS} for k, hold in enumerate(HOLDS)}
    for side, sign in (("left", 1), ("right", -1)):
        carrying = at["carry"]
        assert length(carrying[f"{side}_shoulder"], carrying[f"{side}_wrist"]) > 0.30, "an arm that carries is straight"
        up = at["umbrella"]
        assert up[f"{side}_wrist"][1] > up[f"{side}_elbow"][1]
        assert up[f"{side}_wrist"][2] > 0.1
        assert length(at["ear"][f"{side}_fingers"], at["ear"][f"{side}_ear"]) < 0.14
        assert at["fold"][f"{side}_wrist"][0] * sign < 0.0, "folded arms cross"
        pocket = at["pocket"][f"{side}_fingers"]
        assert abs(pocket[0]) < 0.1
        assert abs(pocket[2]) < 0.06
    free = STANDING.holding("", "phone")
    assert (free.left_held, free.right_held) == (0.0, 1.0)


def test_a_trunk_may_turn_against_the_hips_and_the_head_against_both():
    turned = replace(STANDING, turn=0.5, head_yaw=-0.8)
    points = dict(zip(ANCHORS, anchors(np.array([turned.row()]), np.ones(1), np.ones(1))[0], strict=True))

    def facing(left, right):
        across = points[left] - points[right]
        return np.arctan2(-across[2], across[0])

    assert facing("left_shoulder", "right_shoulder") == pytest.approx(0.5, abs=0.02)
    assert facing("left_hip", "right_hip") == pytest.approx(0.0, abs=0.05)
    assert facing("left_ear", "right_ear") == pytest.approx(-0.3, abs=0.02)


def test_postures_vary_and_what_is_carried_is_held():
    random = np.random.default_rng(0)
    poses = [draw_pose(random) for _ in range(400)]
    standing = np.mean([pose.stride == 0 for pose in poses])
    busy = np.mean([max(pose.left_held, pose.right_held) for pose in poses])
    assert 0.12 < standing < 0.35
    assert 0.25 < busy < 0.55
    assert any(pose.lean > 0.2 for pose in poses)
    for _ in range(20):
        held = draw_pose(random, "carry", "umbrella")
        assert (held.left_out, held.left_up, held.left_ahead) == HOLDS["carry"]
        assert (held.right_out, held.right_up, held.right_ahead) == HOLDS["umbrella"]


def test_builds_differ():
    names = [segment.name for segment in SEGMENTS]
    slim, heavy = body_widths(0.85, 1.0, 1.0), body_widths(1.25, 1.0, 1.0)
    broad, curved = body_widths(1.0, 1.08, 0.95), body_widths(1.0, 0.94, 1.06)
    belly, chest, arm = (names.index(name) for name in ("belly", "chest", "left_lower_arm"))
    assert heavy[belly] / slim[belly] > heavy[chest] / slim[chest] > heavy[arm] / slim[arm] == 1.0
    assert curved[names.index("waist")] < broad[names.index("waist")]
    assert curved[names.index("pelvis")] > broad[names.index("pelvis")]
    assert curved[names.index("left_deltoid")] < broad[names.index("left_deltoid")]
    assert (np.stack([slim, heavy, broad, curved]) > 0.7).all()


def test_every_group_is_known_and_nothing_loose_melts():
    for segment in SEGMENTS:
        assert segment.group in GROUPS
        assert (segment.blend > 0) == (segment.group != "")
        if segment.open:
            assert segment.group == ""
    melting = round_cones(
        np.zeros((1, 3)), np.ones((1, 3)), np.ones(1), np.ones(1), hint=np.array([[0.0, 0.0, 1.0]]),
        squeeze=np.ones((1, 2)), materials=material((1, 1, 1))[None], kind=CONE + 1, group=3, blend=0.1,
    )  # fmt: skip
    assert melting.group.tolist() == [0]


# --- labels -----------------------------------------------------------------------------------------------------------

PART_OF_LIP = {
    1: {1}, 2: {1, 2, 3}, 4: {1}, 13: {1}, 14: {3, 4}, 15: {3, 4}, 16: {5, 6}, 17: {5, 6}, 18: {6, 7}, 19: {6, 7},
}  # fmt: skip
"""Where LIP-20 and the parts must agree: long hair may fall on the trunk, boots reach up the leg."""


@pytest.fixture(scope="module")
def shot():
    settings = WorldSettings(seed=8, train_persons=20, test_persons=2, cameras=2, train_images=1, size=(128, 64))
    return World(settings).render("train", range(40))


def test_lip_and_parts_agree_where_they_must(shot):
    lip, parts = shot.lip, shot.parts
    assert lip.dtype == torch.uint8
    assert lip.shape == parts.shape
    assert (lip[parts == 0] == 0).all()
    assert int(lip.max()) <= 19
    for label, allowed in PART_OF_LIP.items():
        assert set(parts[lip == label].unique().tolist()) <= allowed, label
    assert {2, 5, 13, 14, 15, 18, 19} <= set(lip.unique().tolist())
    assert ((lip > 0) & (parts > 0)).sum() > 0.85 * (parts > 0).sum()


def test_the_people_map_shows_the_target_and_the_others(shot):
    assert torch.equal(shot.people == 1, shot.parts > 0)
    assert (shot.people > 1).any()


def test_left_and_right_are_the_persons_own():
    left, right = (GROUPS.index(f"{side}_foot") for side in ("left", "right"))
    for heading, sign in ((0.0, 1), (np.pi, -1)):
        body, _ = bodies([STANDING], [heading])
        layers, ready = rays(body)
        lip = torch.from_numpy(truth(layers, ready).lip[0])
        columns = [(lip == label).nonzero()[:, 1].float().mean() for label in (18, 19, 14, 15, 16, 17)]
        for own, other in zip(columns[::2], columns[1::2], strict=True):
            assert (own - other) * sign > 3
    assert {LIP[k] for k in ROWS if SEGMENTS[k].group == GROUPS[left]} == {18}
    assert {LIP[k] for k in ROWS if SEGMENTS[k].group == GROUPS[right]} == {19}


def test_skin_begins_where_the_sleeve_ends():
    """A rod with a cut in its middle: one label below, another above, at the same place as the colour."""
    rod = cones(((0.0, -0.2), (0.0, 0.2)), group=0, blend=0.0)
    rod = replace(
        rod, material=material((1, 1, 1), beyond=(0, 0, 0), cut=0.1)[None], label=np.array([3]), lip=np.array([5]),
        lip_beyond=np.array([14]),
    )  # fmt: skip
    layers, ready = rays(rod, CLOSE, (60, 60))
    known = truth(layers, ready)
    column = known.lip[0, :, 30]
    shown = np.flatnonzero(column)
    # The cut lies 0.1 m along the rod, at y = -0.1, on the rod's near side, 0.05 m nearer than its axis.
    border = 30 + (-0.1 / 4.95) / 0.12 * 60
    assert (column[shown[shown < border - 1]] == 5).all()
    assert (column[shown[shown > border + 1]] == 14).all()
    assert set(known.parts[0, shown, 30]) == {3}
    assert isinstance(rod, Primitives)
