"""Camera and light: every nuisance does what its setting says, at nothing it is off, and no image knows of another."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from occlureid.errors import SettingsError
from occlureid.synthetic import World, WorldSettings
from occlureid.synthetic.background import Atlas, draw_backdrop
from occlureid.synthetic.camera import draw_camera
from occlureid.synthetic.light import draw_daylight
from occlureid.synthetic.scene import SCALES
from occlureid.synthetic.sensor import NO_JPEG, Exposure, Tone, compress, draw_noise, expose

PLAIN = WorldSettings(
    seed=5, train_persons=8, test_persons=8, cameras=2, size=(96, 48), occluded_train=0, passers_by=0, far_people=0, box_errors=0,
    resolution=(1, 1), lighting=0, shadows=0, ambient_occlusion=0, background=0, colour_cast=0, tone=0, exposure=0,
    focus_blur=0, motion_blur=0, sensor_noise=0, sharpening=0, jpeg=(100, 100), crop_jitter=0.05, box_visible=0,
)  # fmt: skip
FULL = WorldSettings(seed=5, train_persons=8, test_persons=8, cameras=3, size=(96, 48))

SHOT = Exposure(np.ones(3), Tone(0.0, 1.0, 1.0, 0.0), 0.0, (0.0, 0.0), 0.0, 0.0, NO_JPEG)
STRENGTHS = {
    "lighting": 1.0, "shadows": 1.0, "ambient_occlusion": 1.0, "background": 1.0, "colour_cast": 0.2, "tone": 1.0,
    "exposure": 0.3, "focus_blur": 0.02, "motion_blur": 0.08, "sensor_noise": 0.05, "sharpening": 1.5,
    "jpeg": (20, 30), "far_people": 4, "passers_by": 3, "box_errors": 1.0, "resolution": (0.33, 0.34),
}  # fmt: skip


def render(settings, split="train", indices=range(0, 64, 7)):
    return World(settings).render(split, list(indices))


@pytest.fixture(scope="module")
def plain():
    return render(PLAIN)


@pytest.fixture(scope="module")
def street():
    """A linear picture with edges in both directions and flat parts, (1, 3, 64, 32)."""
    picture = torch.full((1, 3, 64, 32), 0.3)
    picture[:, 0, 16:40, 8:20] = 0.7
    picture[:, 2, 40:, :] = 0.05
    return picture


def shoot(linear, grain=None, **changes):
    return expose(linear, [replace(SHOT, **changes)], torch.zeros_like(linear) if grain is None else grain).float()


def edges(images, axis):
    return float(images.float().diff(dim=axis).square().mean())


# --- each setting is used, and off at nothing --------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), STRENGTHS.items(), ids=str)
def test_every_nuisance_changes_the_images(plain, name, value):
    changed = PLAIN.with_changes(**{name: value})
    if name == "shadows":  # a white, diffuse day casts none that one could see
        assert torch.equal(render(changed).images, plain.images)
        changed, plain = changed.with_changes(lighting=1), render(PLAIN.with_changes(lighting=1))
    shot = render(changed)
    assert not torch.equal(shot.images, plain.images)
    if name in {"far_people", "passers_by"}:
        assert sum(map(len, shot.others)) > 0
    elif name not in {"box_errors", "resolution"}:
        assert torch.equal(shot.parts, plain.parts), "what is true does not depend on how it is photographed"
        assert torch.equal(shot.keypoints, plain.keypoints)


def test_a_plain_world_is_plain(plain):
    assert not any(map(len, plain.others))
    assert set(plain.scales.tolist()) == {1.0}
    for bottom in plain.images[:, :, -1].float():
        ground = bottom.median(dim=1, keepdim=True).values
        alike = ((bottom - ground).abs() < 3).all(dim=0).float().mean()
        assert alike > 0.6, "without background the ground is plain, but for feet and luggage"


@pytest.mark.parametrize(
    "values",
    [{"resolution": (0.5, 0.4)}, {"resolution": (0.1, 1)}, {"jpeg": (90, 40)}, {"tone": 2}, {"motion_blur": -1}],
)
def test_impossible_nuisances_are_refused(values):
    with pytest.raises(SettingsError, match=next(iter(values))):
        WorldSettings(**values)


# --- the sensor, measured ------------------------------------------------------------------------------------------------


def test_focus_blur_takes_edges_away(street):
    sharp, soft, softer = (edges(shoot(street, blur=blur), 2) for blur in (0.0, 0.015, 0.03))
    assert softer < 0.8 * soft < 0.8 * sharp


def test_motion_smears_along_its_way_alone(street):
    still, moved = shoot(street), shoot(street, motion=(0.12, 0.0))
    assert edges(moved, 3) < 0.6 * edges(still, 3)
    assert edges(moved, 2) > 0.8 * edges(still, 2)


def test_blur_keeps_the_light():
    flat = torch.full((1, 3, 32, 16), 0.4)
    for changes in ({"blur": 0.05}, {"motion": (0.2, 0.1)}):
        assert (shoot(flat, **changes) - shoot(flat)).abs().max() <= 1


def test_noise_has_the_deviation_asked_for():
    flat = torch.full((1, 3, 128, 64), 0.25)  # the middle of the range after the curve
    noise = torch.from_numpy(draw_noise(np.random.default_rng(0), (128, 64)))[None]
    spread = [float(shoot(flat, noise, noise=strength).std()) / 255 for strength in (0.0, 0.02, 0.06)]
    assert spread[0] == 0
    assert 0.7 * 0.02 < spread[1] < 1.1 * 0.02
    assert spread[2] == pytest.approx(3 * spread[1], rel=0.1)


def test_noise_is_partly_coarse_and_coloured():
    noise = draw_noise(np.random.default_rng(1), (128, 64))
    colour = noise - noise.mean(axis=0)
    neighbours = (colour[:, :, 0::2] * colour[:, :, 1::2]).mean() / (colour * colour).mean()
    assert neighbours > 0.9
    assert 0.1 < colour.std() < noise.std()


def test_white_balance_and_tone_do_what_they_say(street):
    plain = shoot(street).mean(dim=(0, 2, 3))
    warm = shoot(street, tint=np.array([1.3, 1.0, 0.7])).mean(dim=(0, 2, 3))
    assert warm[0] > plain[0] + 5
    assert warm[2] < plain[2] - 5
    assert warm[1] == plain[1]

    def toned(**changes):
        return shoot(street, tone=replace(SHOT.tone, **changes))

    grey = toned(saturation=0.0)
    assert (grey.amax(dim=1) - grey.amin(dim=1)).max() <= 1
    assert toned(contrast=0.6).std() < 0.7 * shoot(street).std()
    assert toned(black=0.3).min() > 76
    assert toned(bend=0.4).mean() > shoot(street).mean() + 10


def test_sharpening_overshoots_at_edges(street):
    plain, sharp = shoot(street), shoot(street, sharpen=1.5)
    assert sharp.max() > plain.max() + 3
    assert torch.equal(sharp[..., :4, :4], plain[..., :4, :4])


def test_jpeg_leaves_its_blocks():
    random = np.random.default_rng(3)
    pictures = torch.from_numpy(random.integers(90, 166, (1, 3, 64, 64), dtype=np.uint8))
    same, hard = compress(pictures, [NO_JPEG], (64, 64)), compress(pictures, [12], (64, 64)).float()
    assert torch.equal(same, pictures)
    jumps = hard.diff(dim=3).abs().mean(dim=(0, 1, 2))
    seams = torch.arange(63) % 8 == 7
    assert jumps[seams].mean() > 1.5 * jumps[~seams].mean()


def test_low_resolution_takes_fine_detail_away():
    sharp, coarse = (render(PLAIN.with_changes(background=1, resolution=share)) for share in ((1, 1), (0.33, 0.34)))
    assert set(coarse.scales.tolist()) == {1 / 3}

    def fine(images):
        power = torch.fft.rfft2(images.float().mean(dim=1)).abs().square()
        rows = torch.fft.fftfreq(images.shape[2]).abs()[:, None] > 0.25
        return float(power[:, rows.expand(-1, power.shape[2])].mean())

    assert fine(coarse.images) < 0.5 * fine(sharp.images)
    torch.testing.assert_close(coarse.keypoints[..., :2], sharp.keypoints[..., :2], atol=1e-3, rtol=0)


# --- cameras, light, surroundings --------------------------------------------------------------------------------------


def test_cameras_differ_and_keep_what_they_are():
    cameras = [draw_camera(FULL, number) for number in range(6)]
    for name in ("height", "pitch", "near", "share"):
        assert len({getattr(camera, name) for camera in cameras}) == 6
    assert all(2.0 <= camera.height <= 6.0 for camera in cameras)
    assert np.std([camera.tint for camera in cameras], axis=0).min() > 0.02
    grounds = np.stack([camera.backdrop.ground.mean(axis=(0, 1)) for camera in cameras])
    assert np.ptp(grounds, axis=0).min() > 0.02
    again = draw_camera(FULL, 3)
    assert (again.backdrop.wall == cameras[3].backdrop.wall).all()
    assert (again.tint == cameras[3].tint).all()


def test_light_without_variety_is_white_and_everywhere_the_same():
    drawn = [draw_daylight(np.random.default_rng(k), 0.0) for k in range(8)]
    assert all((light.key == drawn[0].key).all() and np.ptp(light.sky) == 0 for light in drawn)
    assert all(light.built == light.leaves == 0 for light in drawn)
    varied = [draw_daylight(np.random.default_rng(k), 1.0) for k in range(40)]
    ratios = [light.key.mean() / light.sky.mean() for light in varied]
    assert min(ratios) < 0.35
    assert max(ratios) > 2.0
    assert max(light.key[0] / light.key[2] for light in varied) > 1.6, "some evenings are orange"
    for light in varied:
        np.testing.assert_allclose((light.towards**2).sum(), 1.0)


def test_shadows_and_corners_darken():
    sunny = PLAIN.with_changes(lighting=1)
    light, dark = render(sunny).images.float(), render(sunny.with_changes(shadows=1)).images.float()
    assert (dark - light).max() <= 1
    assert (light - dark).max() > 40
    flat, deep = render(PLAIN), render(PLAIN.with_changes(ambient_occlusion=1))
    change = deep.images.float() - flat.images.float()
    assert change.max() <= 1
    ground = (flat.parts == 0) & (torch.arange(96)[:, None] > 72)
    near_feet = torch.nn.functional.max_pool2d((flat.parts == 7).float()[:, None], 9, 1, 4)[:, 0] > 0
    change = change.mean(dim=1)
    assert change[ground & near_feet].mean() < 1.5 * change[ground & ~near_feet].mean() < 0


def test_without_background_all_is_of_one_colour():
    bare, full = (draw_backdrop(np.random.default_rng(2), 12.0, 0.1, amount) for amount in (0.0, 1.0))
    assert np.ptp(bare.ground, axis=(0, 1)).max() == 0
    assert np.ptp(bare.wall, axis=(0, 1)).max() == 0
    assert full.ground.std() > 0.02
    assert full.wall.std() > 0.02


def test_the_atlas_gives_back_what_was_painted():
    drops = [draw_backdrop(np.random.default_rng(k), 12.0, 0.0, 1.0) for k in (1, 2)]
    atlas = Atlas(drops, torch.device("cpu"))
    row, column = 100, 300
    along, across = torch.tensor(row * 0.032), torch.tensor((column - 256) * 0.032)
    shape = (2, 1, 1)
    found = atlas.colours(
        torch.tensor([1, 0])[:, None, None],
        torch.ones(shape, dtype=torch.bool),
        across.expand(shape),
        along.expand(shape),
    )
    for image, drop in enumerate((drops[1], drops[0])):
        got = torch.stack([channel[image, 0, 0] for channel in found]).numpy()
        np.testing.assert_allclose(got, drop.ground[row, column], atol=2e-3)
    first = torch.zeros(1, 1, 1, dtype=torch.int64)
    far = atlas.colours(first, first > 0, torch.full((1, 1, 1), 500.0), torch.full((1, 1, 1), 90.0))
    assert all(0 < float(channel) <= 1 for channel in far), "beyond its border a texture goes on"


# --- who is there, and what the detector cut ------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "query"])
def test_the_others_are_of_the_same_split_and_never_the_target(split):
    shot = render(FULL, split, range(24))
    first, count = FULL.persons(split)
    found = 0
    for person, others, numbers in zip(shot.persons.tolist(), shot.others, shot.other_persons, strict=True):
        assert len(others) == len(numbers)
        assert person not in numbers.tolist()
        assert all(first <= number < first + count for number in numbers.tolist())
        found += len(numbers)
    assert found > 12


def test_company_can_be_of_the_targets_own_circle():
    def share(alike):
        settings = FULL.with_changes(train_persons=24, company_alike=alike)
        world = World(settings)
        scenes = [world._scene("train", index, 0, False) for index in range(0, 288, 3)]
        pairs = [(s.target.person - 1, other.person - 1) for s in scenes for other in s.others]
        assert len(pairs) > 60
        return np.mean([a // 4 == b // 4 for a, b in pairs])

    assert share(1.0) == 1.0
    assert share(0.0) < 0.4


def test_the_only_person_of_a_split_is_alone():
    settings = FULL.with_changes(train_persons=1, occluded_train=1.0)
    shot = render(settings, "train", range(settings.count("train")))
    assert not any(map(len, shot.others))
    assert "person" not in shot.obstacles


def test_boxes_around_the_visible_part_are_cut_at_the_obstacle():
    settings = PLAIN.with_changes(test_persons=12, crop_jitter=0)
    indices = range(settings.count("query"))
    whole, tight = (render(settings.with_changes(box_visible=share), "query", indices) for share in (0, 1))
    assert set(whole.boxes) == {"whole"}
    wanted = torch.tensor([kind != "border" for kind in whole.obstacles])
    same = wanted & torch.tensor([a == b for a, b in zip(whole.obstacles, tight.obstacles, strict=True)])
    assert [box == "visible" for box in tight.boxes] == [kind != "border" for kind in tight.obstacles]

    def filled(shot):
        rows = (shot.parts > 0).any(dim=2)
        return torch.tensor([(there.nonzero()[-1] - there.nonzero()[0] + 1) / len(there) for there in rows])

    assert filled(tight)[same].min() > 0.9
    assert filled(whole)[same].min() < 0.75


def test_poor_boxes_are_larger_and_off():
    good, poor = (render(PLAIN.with_changes(box_errors=share, crop_jitter=0)) for share in (0, 1))
    height = [(shot.keypoints[:, 1, 1] - shot.keypoints[:, :, 1].amax(dim=1)).abs() for shot in (good, poor)]
    assert height[0].std() < height[1].std()
    assert (good.images != poor.images).flatten(1).any(dim=1).all()
    assert (poor.visible_fraction >= 0.95).all()


# --- one image, whatever the company ----------------------------------------------------------------------------------


def test_all_native_resolutions_occur_and_the_maps_have_full_size():
    shot = render(FULL, "train", range(0, 96, 3))
    assert set(shot.scales.tolist()) <= set(SCALES)
    assert len(set(shot.scales.tolist())) >= 3
    assert shot.parts.shape == shot.lip.shape == shot.people.shape == (32, 96, 48)
    assert (shot.people == 1)[shot.parts > 0].all()


@pytest.mark.parametrize("split", ["train", "query"])
def test_an_image_is_the_same_alone_and_in_any_company(split):
    indices = [0, 5, 11, 14, 17, 23]
    together = render(FULL, split, range(24)).pick(indices)
    backwards = render(FULL, split, indices[::-1]).pick(range(len(indices))[::-1])
    alone = [render(FULL, split, [index]) for index in indices]
    assert len(set(together.scales.tolist())) > 1
    for row, one in enumerate(alone):
        for name in ("images", "parts", "lip", "people", "keypoints", "scales", "visible_fraction"):
            assert torch.equal(getattr(one, name)[0], getattr(together, name)[row]), name
            assert torch.equal(getattr(one, name)[0], getattr(backwards, name)[row]), name
        assert one.boxes[0] == together.boxes[row]
        assert torch.equal(one.other_persons[0], together.other_persons[row])


def test_threads_change_neither_images_nor_the_number_of_threads():
    settings = FULL.with_changes(size=(64, 32))
    before = torch.get_num_threads()
    try:
        shots = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            shots.append(render(settings, "query", range(16)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(shots[0].images, shots[1].images)
    assert torch.equal(shots[0].parts, shots[1].parts)
