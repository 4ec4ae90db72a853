"""The wardrobe: clothes as they are met, every choice visible, front told from back, labels that say what is worn."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from occlureid.synthetic import World, WorldSettings
from occlureid.synthetic import appearance as looks
from occlureid.synthetic.camera import to_camera
from occlureid.synthetic.cast import cast, table
from occlureid.synthetic.colours import saturation
from occlureid.synthetic.labels import layer_of, truth
from occlureid.synthetic.materials import MATERIAL_COLUMNS, Trim, dressed, material
from occlureid.synthetic.pattern import surface
from occlureid.synthetic.people import people
from occlureid.synthetic.pose import HOLDS, Pose
from occlureid.synthetic.scene import Walker
from occlureid.synthetic.segments import SEGMENTS
from occlureid.synthetic.wardrobe import draw_appearance, outfit, resemble

STANDING = Pose(0.0, 0.0, 0.0, 0.0, 0.2, 0.2, 0.0, 0.0, 0.0, 0.0, 0.1)
SIZE = (192, 80)
FRONT, BACK = 0.0, np.pi
NAMES = [segment.name for segment in SEGMENTS]
GREY, RED, GREEN = (0.6, 0.6, 0.6), (0.7, 0.1, 0.1), (0.1, 0.6, 0.1)

PLAIN = looks.Appearance(
    height=1.75, build=1.0, shoulder=1.0, hip=1.0, skin=(0.84, 0.66, 0.53), hair=(0.2, 0.13, 0.09), hair_shape="short",
    beard=False, glasses=False, hat="none", hat_colour=RED, hood="none", scarf=None, garment="jumper", upper=GREY,
    upper_second=(0.1, 0.1, 0.3), pattern="plain", period=0.08, front="none", back="none", front_ink=RED, back_ink=GREEN,
    sleeve="long", open=False, inner=(0.9, 0.9, 0.9), loose=1.08, bottom="straight", lower=(0.15, 0.15, 0.16),
    socks=(0.9, 0.9, 0.9), shoe="low", shoes=(0.3, 0.2, 0.1), sole=(0.1, 0.1, 0.1), bag="none", bag_colour=GREEN, bag_size=1.0,
    bag_side=1, luggage="none", luggage_colour=RED, luggage_side=-1, crease=0.3,
)  # fmt: skip

CHOICES = {
    "hair_shape": looks.HAIR_SHAPES,
    "hat": looks.HATS,
    "hood": looks.HOODS,
    "garment": looks.GARMENTS,
    "pattern": looks.PATTERNS,
    "front": looks.PRINTED,
    "back": looks.PRINTED,
    "sleeve": looks.SLEEVES,
    "bottom": looks.BOTTOMS,
    "shoe": looks.SHOES,
    "bag": looks.BAGS,
    "luggage": looks.LUGGAGE,
}


def shown(look, heading):
    """What a camera meets of somebody who stands before it: layers, primitives, their truth and the window."""
    worn = outfit(look)
    walker = Walker(1, worn, STANDING.holding(*worn.carries), (0.0, -6.0), heading)
    bodies, _, _ = people([(walker, 0, 0)])
    pitch = 0.15
    cos, sin = np.cos(pitch), np.sin(pitch)
    rotation = np.array([[[1.0, 0.0, 0.0], [0.0, -cos, sin], [0.0, -sin, -cos]]])
    things = to_camera(bodies, rotation, np.array([[0.0, 1.8, 0.0]]))
    window = np.array([[-0.08, -0.17, 0.16, 0.384]])
    ready = table(things, "cpu")
    layers = cast(things, layer_of(things), ready, window, SIZE)
    return layers, ready, truth(layers, ready), window


def seen(look, heading):
    """Linear colours (H, W, 3) without light, part labels and LIP labels of somebody who stands before the camera."""
    layers, ready, known, window = shown(look, heading)
    depth = layers.depth.amin(dim=0)[0]
    row = torch.where(layers.depth[0, 0] < layers.depth[1, 0], layers.row[0, 0], layers.row[1, 0])
    where = row >= 0
    step = window[0, 2] / SIZE[1]
    u = torch.from_numpy(window[0, 0] + (np.arange(SIZE[1]) + 0.5) * step).float()[None].expand(SIZE)[where]
    v = torch.from_numpy(window[0, 1] + (np.arange(SIZE[0]) + 0.5) * step).float()[:, None].expand(SIZE)[where]
    item, t = row[where].long(), depth[where]
    c = ready.columns
    local = [t * (c[3 * k, item] * u + c[3 * k + 1, item] * v + c[3 * k + 2, item]) - c[9 + k, item] for k in range(3)]
    colours, _ = surface(ready.material, item, local, t * float(step))
    picture = torch.zeros(*SIZE, 3)
    picture[where] = torch.stack(colours, dim=-1)
    return picture, torch.from_numpy(known.parts[0]), torch.from_numpy(known.lip[0])


def reddish(picture):
    return int(((picture[..., 0] > 0.2) & (picture[..., 0] > 4 * picture[..., 1])).sum())


def greenish(picture):
    return int(((picture[..., 1] > 0.15) & (picture[..., 1] > 4 * picture[..., 0])).sum())


@pytest.fixture(scope="module")
def crowd():
    return [draw_appearance(np.random.default_rng([11, k])) for k in range(700)]


# --- how people dress -------------------------------------------------------------------------------------------------


def test_most_clothes_are_muted_and_a_few_are_not(crowd):
    tops = np.array([saturation(look.upper) for look in crowd])
    legs = np.array([saturation(look.lower) for look in crowd])
    assert (tops < 0.20).mean() > 0.75
    assert 0.05 < (tops > 0.30).mean() < 0.20
    assert (legs < 0.30).mean() > 0.90
    assert (legs > 0.35).any()


def test_much_is_black_grey_navy_and_white(crowd):
    dark = np.array([max(look.upper) < 0.2 for look in crowd])
    white = np.array([min(look.upper) > 0.7 for look in crowd])
    dark_legs = np.array([max(look.lower) < 0.36 for look in crowd])
    assert 0.15 < dark.mean() < 0.45
    assert 0.08 < white.mean() < 0.30
    assert dark_legs.mean() > 0.5


def test_plain_cloth_is_the_rule(crowd):
    assert 0.5 < np.mean([look.pattern == "plain" for look in crowd]) < 0.85


def test_skin_and_hair_span_the_human_range(crowd):
    skin = np.array([np.mean(look.skin) for look in crowd])
    assert skin.min() < 0.30
    assert skin.max() > 0.75
    assert (np.array([np.mean(look.hair) for look in crowd]) < 0.2).mean() > 0.5


@pytest.mark.parametrize(("name", "values"), CHOICES.items())
def test_every_choice_is_drawn(crowd, name, values):
    assert {getattr(look, name) for look in crowd} == set(values)


def test_the_same_stream_gives_the_same_person():
    first, second = (draw_appearance(np.random.default_rng([3, 9])) for _ in range(2))
    assert first == second
    assert first != draw_appearance(np.random.default_rng([3, 10]))


@pytest.mark.parametrize("changes", [1, 3])
def test_a_look_alike_differs_in_a_few_features(crowd, changes):
    groups = {name: number for number, group in enumerate(looks._FEATURES) for name in group}
    least = set()
    for k, look in enumerate(crowd[:80]):
        other = resemble(np.random.default_rng([5, k]), look, changes)
        # A print may change with the garment, and a hood comes down under a hat: those count as one more group.
        changed = {f.name for f in fields(look) if getattr(look, f.name) != getattr(other, f.name)}
        assert changed - groups.keys() <= {"crease"}
        touched = {groups[name] for name in changed & groups.keys() if name not in ("front", "back", "hood")}
        assert len(touched) <= changes
        least.add(len(touched))
    assert changes in least


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_outfit_is_whole(seed):
    look = draw_appearance(np.random.default_rng(seed))
    worn = outfit(look)
    count = len(SEGMENTS)
    assert worn.widths.shape == (count, 2)
    assert worn.materials.shape == (count, len(MATERIAL_COLUMNS))
    assert np.isfinite(worn.materials).all()
    assert (worn.widths[worn.active] > 0.5).all()
    assert (worn.widths[worn.active] < 2.8).all()
    assert set(worn.lip) | set(worn.lip_beyond) <= set(range(20))
    assert all(hold in ("", *HOLDS) for hold in worn.carries)
    bare = [name for name in ("head", "chest", "left_thigh", "right_hand") if not worn.active[NAMES.index(name)]]
    assert not bare


# --- every choice can be seen -----------------------------------------------------------------------------------------


COMPANIONS = {"tshirt": {"sleeve": "short"}, "hoodie": {"hood": "down"}}
"""What comes with a garment whenever it is drawn."""


@pytest.mark.parametrize(
    ("name", "value"), [(name, v) for name, values in CHOICES.items() for v in values if v != getattr(PLAIN, name)]
)
def test_every_choice_shows_from_the_front_or_the_back(name, value):
    changes = {name: value, **COMPANIONS.get(value, {})}
    changed = 0
    for heading in (FRONT, BACK):
        before, after = seen(PLAIN, heading)[0], seen(replace(PLAIN, **changes), heading)[0]
        changed += int(((before - after).abs().amax(-1) > 0.02).sum())
    assert changed > 25


def test_companions_are_always_drawn(crowd):
    for look in crowd:
        assert look.garment != "tshirt" or look.sleeve == "short"
        assert look.garment != "hoodie" or look.hood != "none"


@pytest.mark.parametrize("extra", [{"scarf": RED}, {"beard": True}, {"glasses": True}, {"open": True}])
def test_extras_show_from_the_front(extra):
    before, after = seen(PLAIN, FRONT)[0], seen(replace(PLAIN, **extra), FRONT)[0]
    assert int(((before - after).abs().amax(-1) > 0.02).sum()) > 8


@pytest.mark.parametrize("kind", ["box", "disc", "letters", "ring"])
def test_a_print_is_on_its_side_only(kind):
    both = replace(PLAIN, front=kind, back=kind)
    ahead, behind = seen(both, FRONT)[0], seen(both, BACK)[0]
    assert reddish(ahead) > 40
    assert greenish(ahead) == 0
    assert greenish(behind) > 40
    assert reddish(behind) == 0


def test_an_open_jacket_shows_the_shirt_in_front_only():
    jacket = replace(PLAIN, garment="jacket", open=True, inner=RED)
    assert reddish(seen(jacket, FRONT)[0]) > 100
    assert reddish(seen(jacket, BACK)[0]) == 0


def test_a_shoulder_strap_crosses_front_and_back():
    look = replace(PLAIN, bag="shoulder_bag")
    for heading in (FRONT, BACK):
        strap = seen(look, heading)[0]
        rows = np.flatnonzero(((strap[..., 1] > 0.1) & (strap[..., 1] > 3 * strap[..., 0])).any(dim=1).numpy())
        assert np.ptp(rows) > 45


def test_trousers_are_one_tube_and_wide_ones_wider():
    def radii(bottom, name):
        worn, row = outfit(replace(PLAIN, bottom=bottom)), NAMES.index(name)
        return SEGMENTS[row].radius_start * worn.widths[row, 0], SEGMENTS[row].radius_end * worn.widths[row, 1]

    for bottom in ("straight", "tight", "wide"):
        assert radii(bottom, "left_thigh")[1] == pytest.approx(radii(bottom, "left_shin")[0], rel=0.06)
    ends = [radii(bottom, "left_shin")[1] for bottom in ("tight", "straight", "wide")]
    assert ends == sorted(ends)
    assert ends[2] > 1.5 * ends[0]


# --- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"garment": "coat"}, 7), ({"garment": "jacket"}, 7), ({"garment": "tshirt", "sleeve": "short"}, 5),
        ({"garment": "dress"}, 6), ({"bottom": "skirt"}, 12), ({"bottom": "long_skirt"}, 12), ({"bottom": "shorts"}, 9),
        ({"hat": "cap"}, 1), ({"hair_shape": "bob"}, 2), ({"glasses": True}, 4), ({"scarf": RED}, 11),
        ({"bottom": "shorts"}, 8), ({}, 13), ({}, 18), ({}, 19),
    ],
)  # fmt: skip
def test_what_is_worn_has_its_lip_label(changes, label):
    lip = torch.stack([seen(replace(PLAIN, **changes), heading)[2] for heading in (FRONT, BACK)])
    assert int((lip == label).sum()) > 8


def test_sleeves_and_trousers_decide_how_much_skin_is_labelled():
    covered = seen(PLAIN, FRONT)[2]
    bare = seen(replace(PLAIN, garment="tshirt", sleeve="short", bottom="shorts"), FRONT)[2]
    for arm in (14, 15):
        assert (bare == arm).sum() > 2 * (covered == arm).sum() > 0
    for leg in (16, 17):
        assert (covered == leg).sum() == 0
        assert (bare == leg).sum() > 100


def test_the_persons_left_lies_right_in_a_frontal_image():
    lip = seen(replace(PLAIN, garment="tshirt", sleeve="short", bottom="shorts"), FRONT)[2]
    for left, right in ((14, 15), (16, 17), (18, 19)):
        middle = [float((lip == label).nonzero()[:, 1].float().mean()) for label in (left, right)]
        assert middle[0] > middle[1]


def test_bags_on_the_body_count_as_the_body_but_not_as_clothes():
    _, parts, lip = seen(replace(PLAIN, bag="backpack"), BACK)
    pack = (parts == 2) & (lip == 0)
    assert pack.sum() > 300


@pytest.mark.parametrize(("bag", "luggage"), [("none", "suitcase"), ("none", "umbrella"), ("handbag", "none")])
def test_what_hangs_from_a_hand_is_no_part_of_the_body(bag, luggage):
    look = replace(PLAIN, bag=bag, luggage=luggage)
    picture, parts, lip = seen(look, FRONT)
    carried = (picture.amax(-1) > 0) & (parts == 0)
    assert carried.sum() > 60
    assert (lip[carried] == 0).all()
    assert any(outfit(look).carries)


@pytest.mark.parametrize(("kind", "heading"), [("suitcase", BACK), ("umbrella", FRONT)])
def test_luggage_hides_its_owner_as_an_obstacle_does(kind, heading):
    fractions = [shown(look, heading)[2].visible_fraction[0] for look in (PLAIN, replace(PLAIN, luggage=kind))]
    assert fractions[0] == 1.0
    assert 0.7 < fractions[1] < 1.0


def test_a_world_of_travellers_can_be_rendered():
    class Station(World):
        def appearance(self, split, person):
            return replace(super().appearance(split, person), luggage="suitcase")

    world = Station(WorldSettings(seed=5, train_persons=4, test_persons=2, cameras=2, size=(96, 32)))
    shot = world.render("gallery", range(world.settings.count("gallery")))
    assert torch.equal(shot.people == 1, shot.parts > 0)


# --- surfaces ---------------------------------------------------------------------------------------------------------


def points(count, seed=0):
    drawn = np.random.default_rng(seed).uniform(-0.2, 0.2, (3, count)).astype(np.float32)
    return [torch.from_numpy(drawn[k]) for k in range(3)]


def look_at(rows, local, footprint):
    tables = torch.from_numpy(np.stack(rows, axis=1).astype(np.float32))
    item = torch.arange(len(local[0])) % len(rows)
    return surface(tables, item, local, torch.full_like(local[0], footprint))


def test_a_point_does_not_depend_on_its_company():
    worn = outfit(replace(PLAIN, pattern="dots", front="letters", bag="shoulder_bag", garment="puffer"))
    tables = torch.from_numpy(worn.materials.T.astype(np.float32))
    local, item = points(5000), torch.randint(len(SEGMENTS), (5000,), generator=torch.Generator().manual_seed(1))
    footprint = torch.linspace(0.001, 0.02, 5000)
    whole = surface(tables, item, local, footprint)
    for part in (slice(0, 1), slice(7, 1000), slice(1000, 5000)):
        some = surface(tables, item[part], [axis[part] for axis in local], footprint[part])
        for a, b in zip((*whole[0], *whole[1]), (*some[0], *some[1]), strict=True):
            assert torch.equal(a[part], b)


def test_folds_and_relief_bend_the_surface_and_skin_stays_smooth():
    local = points(400)
    _, smooth = look_at([material(GREY)], local, 0.005)
    assert all(bool((axis == 0).all()) for axis in smooth)
    for row in (material(GREY, folds=0.2), material(GREY, wave=(0, 8.0, 0, 0), duty=1.0, relief=0.4)):
        _, bent = look_at([row], local, 0.005)
        assert 0.02 < float(sum(axis * axis for axis in bent).sqrt().mean()) < 1.0
    _, below = look_at([material(GREY, folds=0.2, relief=0.3, wave=(0, 8.0, 0, 0), cut=-1.0)], local, 0.005)
    assert all(bool((axis == 0).all()) for axis in below)


def test_fine_noise_vanishes_where_pixels_are_wide():
    local = points(4000)
    near, far = (look_at([material(GREY, grain=0.3)], local, footprint)[0][0] for footprint in (0.001, 0.05))
    assert float(near.std()) > 1.2 * float(far.std()) > 0


def test_stripes_are_sharp_up_close_and_mixed_from_afar():
    row = material((0.2, 0.2, 0.2), second=(0.8, 0.8, 0.8), wave=(0, 25.0, 0, 0))
    near, far = (look_at([row], points(4000), footprint)[0][0].sqrt() for footprint in (0.0005, 0.05))
    mixed = [float(((shade > 0.25) & (shade < 0.75)).float().mean()) for shade in (near, far)]
    assert mixed[0] < 0.1
    assert mixed[1] > 0.9


def test_a_trim_is_where_it_says():
    row = dressed(material(GREY), trim=Trim(1.0, 0.0, 0.1, RED))
    local = points(500)
    red, green, _ = look_at([row], local, 0.005)[0]
    assert torch.equal(red > 4 * green, local[1] > 0.1)
