"""What cameras do to colours and sharpness: by hand where a hand can, and within bounds, repeatable and harmless elsewhere."""

import numpy as np
import pytest
import torch
from PIL import Image

from occlureid.data.photometric import Blur, ColourJitter, Grey, JpegArtefacts, LowResolution, Noise
from occlureid.data.transforms import Compose
from occlureid.errors import SettingsError, ShapeError
from occlureid.training.batches import augmentation
from occlureid.training.settings import TrainSettings
from occlureid.types import Cues

HEIGHT, WIDTH = 64, 32
NONE = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "balance": 0.0, "gamma": 0.0}
ACTING = {
    "colours": ColourJitter(),
    "grey": Grey(1.0),
    "focus": Blur(1.0, motion=0.0, sigma=(1.0, 8.0)),
    "movement": Blur(1.0, motion=1.0, length=(8.0, 30.0)),
    "far": LowResolution(1.0),
    "noise": Noise(0.2),
    "jpeg": JpegArtefacts(1.0),
}
CHANCES = [Grey, Blur, LowResolution, JpegArtefacts]


def rng(seed=0):
    return np.random.default_rng(seed)


def picture(height=HEIGHT, width=WIDTH):
    return torch.from_numpy(rng(5).random((3, height, width), dtype=np.float32))


def luma(image):
    return 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]


@pytest.mark.parametrize("name", ACTING)
@pytest.mark.parametrize("seed", range(4))
def test_image_stays_an_image_and_cues_stay_themselves(name, seed):
    image = picture()
    before, cues = image.clone(), Cues(keypoints=torch.ones(18, 3), foreground=torch.ones(HEIGHT, WIDTH))
    changed, after = ACTING[name](image, cues, rng(seed))
    assert after is cues
    assert torch.equal(image, before), "nothing is changed in place"
    assert changed.shape == image.shape
    assert changed.dtype == torch.float32
    assert 0.0 <= float(changed.min()) <= float(changed.max()) <= 1.0
    assert not torch.equal(changed, image)
    again, _ = ACTING[name](image, cues, rng(seed))
    assert torch.equal(changed, again)
    assert name == "grey" or not torch.equal(changed, ACTING[name](image, cues, rng(seed + 100))[0])


@pytest.mark.parametrize("name", ACTING)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 2)])
def test_smallest_images_survive(name, size):
    for seed in range(8):
        changed, _ = ACTING[name](picture(*size), Cues(), rng(seed))
        assert changed.shape == (3, *size)
        assert bool(torch.isfinite(changed).all())


@pytest.mark.parametrize("name", ACTING)
def test_pillow_images_are_taken_and_others_refused(name):
    pixels = (picture().permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    stored = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    from_pillow, from_tensor = (ACTING[name](given, Cues(), rng(1))[0] for given in (Image.fromarray(pixels), stored))
    assert torch.allclose(from_pillow, from_tensor, atol=1e-5)
    with pytest.raises(ShapeError, match="float of shape"):
        ACTING[name](torch.zeros(1, 8, 8), Cues(), rng())
    with pytest.raises(ShapeError, match="RGB"):
        ACTING[name](Image.new("L", (8, 8)), Cues(), rng())


@pytest.mark.parametrize("transform", CHANCES)
def test_the_chance_is_met(transform):
    image, draws = picture(128, 64), rng(3)
    changed = [not torch.equal(transform(0.3)(image, Cues(), draws)[0], image) for _ in range(200)]
    assert 0.2 < np.mean(changed) < 0.4
    assert transform(0.0)(image, Cues(), rng())[0] is image


# -- each by hand --------------------------------------------------------------------------------------------------------


def test_colours_without_jitter_are_the_same():
    assert torch.allclose(ColourJitter(**NONE)(picture(), Cues(), rng())[0], picture(), atol=1e-5)
    assert ColourJitter.of_strength(0.0) == ColourJitter(**NONE)
    assert ColourJitter.of_strength(1.0) == ColourJitter()


@pytest.mark.parametrize("seed", range(5))
def test_brightness_and_gamma_by_hand(seed):
    grey = torch.full((3, 4, 4), 0.25)
    draw = rng(seed).uniform(-1.0, 1.0, 8)
    bright, _ = ColourJitter(**{**NONE, "brightness": 0.5})(grey, Cues(), rng(seed))
    assert torch.allclose(bright, torch.full_like(grey, 0.25 * np.exp(0.5 * draw[0])), atol=1e-6)
    curved, _ = ColourJitter(**{**NONE, "gamma": 0.5})(grey, Cues(), rng(seed))
    assert torch.allclose(curved, torch.full_like(grey, 0.25 ** np.exp(0.5 * draw[3])), atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_contrast_and_saturation_keep_what_they_turn_about(seed):
    image = 0.4 + 0.2 * picture()
    harder, _ = ColourJitter(**{**NONE, "contrast": 0.4})(image, Cues(), rng(seed))
    factor = np.exp(0.4 * rng(seed).uniform(-1.0, 1.0, 8)[1])
    middle = luma(image).mean()
    assert torch.allclose(harder, middle + factor * (image - middle), atol=1e-5)
    vivid, _ = ColourJitter(**{**NONE, "saturation": 0.4})(image, Cues(), rng(seed))
    assert torch.allclose(luma(vivid), luma(image), atol=1e-5)
    factor = np.exp(0.4 * rng(seed).uniform(-1.0, 1.0, 8)[2])
    assert torch.allclose(vivid - luma(vivid), factor * (image - luma(image)), atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_hue_and_balance_keep_brightness(seed):
    image = 0.45 + 0.1 * picture()
    turned, _ = ColourJitter(**{**NONE, "hue": 0.5})(image, Cues(), rng(seed))
    assert torch.allclose(luma(turned), luma(image), atol=1e-4)
    assert not torch.allclose(turned, image, atol=1e-2)
    grey = torch.full((3, 4, 4), 0.5)
    assert torch.allclose(ColourJitter(**{**NONE, "hue": 0.5})(grey, Cues(), rng(seed))[0], grey, atol=1e-5)
    tinted, _ = ColourJitter(**{**NONE, "balance": 0.2})(grey, Cues(), rng(seed))
    assert torch.allclose(luma(tinted), luma(grey), atol=1e-5)
    gains = np.exp(0.2 * rng(seed).uniform(-1.0, 1.0, 8)[4:7])
    assert (tinted[:, 0, 0] / tinted[0, 0, 0]).tolist() == pytest.approx((gains / gains[0]).tolist(), abs=1e-5)


def test_hue_turns_red_towards_green_and_blue():
    red = torch.tensor([0.8, 0.1, 0.1])[:, None, None].expand(3, 2, 2).contiguous()
    found = {
        int(ColourJitter(**{**NONE, "hue": 0.5})(red, Cues(), rng(seed))[0][:, 0, 0].argmax()) for seed in range(30)
    }
    assert found == {0, 1, 2}


def test_grey_is_brightness():
    changed, _ = Grey(1.0)(picture(), Cues(), rng())
    for channel in changed:
        assert torch.allclose(channel, luma(picture()), atol=1e-6)


@pytest.mark.parametrize("motion", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_blur_spreads_a_point_and_keeps_its_light(motion, seed):
    image = torch.zeros(3, 65, 65)
    image[:, 32, 32] = 1.0
    blur = Blur(1.0, sigma=(8.0, 8.0), motion=motion, length=(40.0, 40.0))
    spread, _ = blur(image, Cues(), rng(seed))
    assert spread.sum((1, 2)).tolist() == pytest.approx([1.0] * 3, abs=1e-4)
    distance = torch.arange(65.0) - 32
    weights = spread[0] / spread[0].sum()
    assert float((weights.sum(0) * distance).sum()) == pytest.approx(0.0, abs=1e-3)
    assert float((weights.sum(1) * distance).sum()) == pytest.approx(0.0, abs=1e-3)
    along = (weights.sum(0) * distance.square()).sum() + (weights.sum(1) * distance.square()).sum()
    scale = 65 / 256  # a Gaussian has its variance twice, a line of length l has l^2 / 12, and the pixels' own share
    expected = 2 * (8 * scale) ** 2 if motion == 0.0 else (40 * scale) ** 2 / 12
    assert float(along) == pytest.approx(expected, rel=0.2)
    even = torch.full((3, 20, 10), 0.3)
    assert torch.allclose(blur(even, Cues(), rng(seed))[0], even, atol=1e-5), "edges do not darken"


def test_low_resolution_leaves_fewer_pixels():
    tall = LowResolution(1.0, (0.25, 0.25))
    image = picture()
    for seed in range(8):
        changed, _ = tall(image, Cues(), rng(seed))
        assert float(changed.std()) < 0.6 * float(image.std())
        assert float(changed.mean()) == pytest.approx(float(image.mean()), abs=0.02)
    assert torch.allclose(LowResolution(1.0, (1.0, 1.0))(image, Cues(), rng())[0], image, atol=1e-5)


@pytest.mark.parametrize("factor", [0.37, 0.61, 0.77])
def test_low_resolution_leaves_everything_in_its_place(factor):
    places = torch.arange(256.0) / 256
    image = torch.stack([places[:, None].expand(256, 128), places[:128].expand(256, 128), torch.zeros(256, 128)])
    for seed in range(6):  # all three ways to enlarge
        moved = (LowResolution(1.0, (factor, factor))(image, Cues(), rng(seed))[0] - image)[:, 16:-16, 16:-16]
        assert float(moved[0].mean() * 256) == pytest.approx(0.0, abs=0.1), "rows, in pixels"
        assert float(moved[1].mean() * 256) == pytest.approx(0.0, abs=0.1), "columns, in pixels"


def test_noise_has_the_strength_that_was_drawn():
    grey = torch.full((3, 128, 64), 0.5)
    kinds = set()
    for seed in range(12):
        found = Noise(0.1)(grey, Cues(), rng(seed))[0] - grey
        draws = rng(seed)
        assert float(found.std()) == pytest.approx(0.1 * draws.random(), rel=0.05)
        kinds.add(torch.equal(found[0], found[1]))
    assert kinds == {True, False}
    assert torch.equal(Noise(0.0)(grey, Cues(), rng())[0], grey)


def test_jpeg_of_low_quality_differs_more():
    image = picture()
    errors = [
        float((JpegArtefacts(1.0, (quality, quality))(image, Cues(), rng(2))[0] - image).square().mean())
        for quality in (5, 50, 100)
    ]
    assert errors[0] > errors[1] > errors[2] > 0
    outside = torch.full((3, 8, 8), 1.7)  # what lies beyond the range is cut off, and does not wrap
    assert float(JpegArtefacts(1.0)(outside, Cues(), rng())[0].min()) == 1.0


# -- settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ColourJitter(brightness=-0.1), "brightness"),
        (lambda: ColourJitter(gamma=float("nan")), "gamma"),
        (lambda: ColourJitter(hue=0.6), "hue"),
        (lambda: ColourJitter.of_strength(1.1), "strength"),
        (lambda: Grey(1.5), "p must"),
        (lambda: Blur(-0.1), "p must"),
        (lambda: Blur(motion=2.0), "motion"),
        (lambda: Blur(sigma=(2.0, 1.0)), "sigma"),
        (lambda: Blur(sigma=(float("nan"), 1.0)), "sigma"),
        (lambda: Blur(length=(1.0, 1e9)), "length"),
        (lambda: LowResolution(2.0), "p must"),
        (lambda: LowResolution(factor=(0.0, 0.5)), "factor"),
        (lambda: Noise(-1.0), "most"),
        (lambda: JpegArtefacts(quality=(0, 50)), "quality"),
        (lambda: JpegArtefacts(quality=(10, 101)), "quality"),
        (lambda: JpegArtefacts(quality=(10.5, 20)), "whole numbers"),
        (lambda: JpegArtefacts(float("nan")), "p must"),
        (lambda: TrainSettings(colour_jitter=1.5), "colour_jitter"),
        (lambda: TrainSettings(noise=-0.1), "noise"),
        (lambda: TrainSettings(box_jitter=0.3), "box_jitter"),
        (lambda: TrainSettings(background_pictures=0), "background_pictures"),
        (lambda: TrainSettings(jpeg_probability="often"), "jpeg_probability"),
    ],
)
def test_wrong_values_are_refused(make, message):
    with pytest.raises(SettingsError, match=message):
        make()


def test_settings_make_the_steps_in_order_and_are_off_by_default():
    plain = augmentation(TrainSettings(pad=4))
    assert names(plain) == ["HorizontalFlip", "PadCrop", "RandomErasing"]
    everything = TrainSettings(
        pad=4, box_jitter=0.1, background_probability=0.2, colour_jitter=0.5, grey_probability=0.1, blur_probability=0.2,
        low_resolution_probability=0.3, noise=0.03, jpeg_probability=0.4,
    )  # fmt: skip
    assert names(augmentation(everything)) == [
        "HorizontalFlip", "RandomBox", "BackgroundMixing", "PadCrop", "ColourJitter", "Grey", "Blur", "LowResolution",
        "Noise", "JpegArtefacts", "RandomErasing",
    ]  # fmt: skip
    step = dict(zip(names(augmentation(everything)), augmentation(everything).steps, strict=True))
    assert step["ColourJitter"] == ColourJitter.of_strength(0.5)
    given = [step[name].p for name in ("BackgroundMixing", "Grey", "Blur", "LowResolution", "JpegArtefacts")]
    assert given == [0.2, 0.1, 0.2, 0.3, 0.4]
    assert (step["Noise"].most, step["RandomBox"].jitter, step["RandomBox"].partial) == (0.03, 0.1, 0.0)
    assert names(augmentation(TrainSettings(partial_probability=0.1)))[1] == "RandomBox"


def names(steps: Compose) -> list[str]:
    return [type(step).__name__ for step in steps.steps]
