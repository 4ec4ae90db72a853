"""A pasted obstacle hides what it covers, in the picture and in the cues, and leaves the share that was asked for."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from occlureid import runs
from occlureid.data.dataset import ReidDataset
from occlureid.data.loader import ReidImages
from occlureid.data.paste import PasteObstacle, body_prior, hide_cues, paste
from occlureid.data.samplers import Draw
from occlureid.errors import SettingsError, ShapeError
from occlureid.training import train_method
from occlureid.training.batches import augmentation
from occlureid.training.settings import TrainSettings
from occlureid.types import Cues, Protocol, Sample
from tests.tiny_method import make_method, make_samples

HEIGHT, WIDTH = 64, 32


@dataclass(frozen=True)
class Block:
    """A cutout of one colour."""

    rgba: np.ndarray
    enters: str = "side"
    low: float = 0.0
    person: int = 64
    kind: str = "car"


def block(height=40, width=60, enters="side", low=0.0, opacity=255):
    rgba = np.zeros((height, width, 4), dtype=np.uint8)
    rgba[..., 0], rgba[..., 3] = 255, opacity
    return Block(rgba, enters, low)


BLOCKS = {"side": block(60, 70), "below": block(50, 90, "below"), "above": block(60, 90, "above", 0.2)}


def picture():
    image = torch.full((3, HEIGHT, WIDTH), 0.4)
    body = body_prior(HEIGHT, WIDTH)
    keypoints = torch.zeros(18, 3)
    keypoints[:, 0] = 16.0
    keypoints[:, 1] = torch.linspace(4, 60, 18)
    keypoints[:, 2] = 0.8
    halves = torch.stack([body & (torch.arange(HEIGHT)[:, None] < 32), body & (torch.arange(HEIGHT)[:, None] >= 32)])
    return image, Cues(keypoints, halves.float(), body.float(), part_flip=(0, 1))


def test_the_prior_is_a_person_in_the_middle():
    body = body_prior(128, 64)
    assert 0.3 < body.float().mean() < 0.4
    assert torch.equal(body, body.flip(-1))
    assert body[8:].any(dim=1)[:112].all()
    assert not body[:, 0].any()
    torch.testing.assert_close(body_prior(64, 32).float().mean(), body.float().mean(), atol=0.02, rtol=0)


@pytest.mark.parametrize("enters", list(BLOCKS))
@pytest.mark.parametrize("wanted", [0.35, 0.6, 0.85])
def test_the_wanted_share_stays_visible(enters, wanted):
    image, cues = picture()
    for seed in range(6):
        done = paste(image, BLOCKS[enters], cues.foreground, wanted, np.random.default_rng(seed))
        assert done.visible == pytest.approx(wanted, abs=0.07)
        counted = (cues.foreground.bool() & ~done.hidden).sum() / cues.foreground.sum()
        assert done.visible == pytest.approx(float(counted))


@pytest.mark.parametrize(("enters", "first", "last"), [("below", "bottom", "top"), ("above", "top", "bottom")])
def test_it_comes_from_where_it_should(enters, first, last):
    image, cues = picture()
    done = paste(image, BLOCKS[enters], cues.foreground, 0.7, np.random.default_rng(3))
    rows = {"top": done.hidden[0], "bottom": done.hidden[-1]}
    assert rows[first].all()
    assert not rows[last].any()


def test_from_a_side_it_touches_that_side_alone():
    image, cues = picture()
    sides = set()
    for seed in range(12):
        hidden = paste(image, BLOCKS["side"], cues.foreground, 0.7, np.random.default_rng(seed)).hidden
        left, right = bool(hidden[:, 0].any()), bool(hidden[:, -1].any())
        assert left != right
        sides.add(left)
    assert sides == {True, False}


def test_only_what_is_hidden_changes_and_it_takes_the_brightness_of_the_image():
    image, cues = picture()
    dark = paste(image * 0.3, BLOCKS["below"], cues.foreground, 0.5, np.random.default_rng(0))
    bright = paste(image, BLOCKS["below"], cues.foreground, 0.5, np.random.default_rng(0))
    assert torch.equal(dark.hidden, bright.hidden)
    middle = bright.hidden.clone()
    middle[:-20] = False  # away from the soft edge
    assert (bright.image[0][middle] > dark.image[0][middle] + 0.2).all()
    assert (bright.image[1][middle] < 1e-6).all()
    untouched = ~bright.hidden
    untouched[1:] &= ~bright.hidden[:-1]
    far = torch.zeros_like(untouched)
    far[:20] = True
    assert torch.equal(bright.image[:, far], image[:, far])


def test_cues_below_are_hidden_and_others_kept():
    _, cues = picture()
    hidden = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    hidden[30:] = True
    left = hide_cues(cues, hidden)
    below = cues.keypoints[:, 1] >= 30
    assert (left.keypoints[below] == 0).all()
    assert torch.equal(left.keypoints[~below], cues.keypoints[~below])
    assert not left.part_map[:, 30:].any()
    assert torch.equal(left.part_map[:, :30], cues.part_map[:, :30])
    assert torch.equal(left.foreground, left.part_map.amax(0))
    assert left.part_flip == cues.part_flip
    nobody = hide_cues(Cues(), hidden)
    assert not nobody.names
    outside = torch.tensor([[-3.0, 40.0, 0.5], [10.0, 90.0, 0.5]])
    assert torch.equal(hide_cues(Cues(keypoints=outside), hidden).keypoints, outside)


def test_the_transform_hides_by_the_cues_and_draws_from_its_generator_alone():
    image, cues = picture()
    transform = PasteObstacle(tuple(BLOCKS.values()), 1.0, (0.5, 0.6))
    first, left = transform(image, cues, np.random.default_rng(9))
    again, _ = transform(image, cues, np.random.default_rng(9))
    assert torch.equal(first, again)
    assert not torch.equal(first, transform(image, cues, np.random.default_rng(10))[0])
    assert 0.4 < float(left.foreground.sum() / cues.foreground.sum()) < 0.7
    assert torch.equal(image, picture()[0]), "nothing is changed in place"
    kept = PasteObstacle(tuple(BLOCKS.values()), 1.0, (0.5, 0.6), hide=False)(image, cues, np.random.default_rng(9))
    assert torch.equal(kept[0], first)
    assert torch.equal(kept[1].foreground, cues.foreground)


def test_without_cues_the_prior_says_where_the_person_is():
    image, cues = picture()
    transform = PasteObstacle((BLOCKS["below"],), 1.0, (0.5, 0.5))
    with_mask = transform(image, Cues(foreground=cues.foreground), np.random.default_rng(1))[0]
    without = transform(image, Cues(), np.random.default_rng(1))[0]
    by_parts = transform(image, Cues(part_map=cues.part_map), np.random.default_rng(1))[0]
    empty = transform(image, Cues(foreground=torch.zeros(HEIGHT, WIDTH)), np.random.default_rng(1))[0]
    assert torch.equal(with_mask, without)
    assert torch.equal(with_mask, by_parts)
    assert torch.equal(with_mask, empty)


def test_the_chance_is_met():
    image, cues = picture()
    transform = PasteObstacle((BLOCKS["side"],), 0.3)
    rng = np.random.default_rng(0)
    changed = [not torch.equal(transform(image, cues, rng)[0], image) for _ in range(200)]
    assert 0.2 < np.mean(changed) < 0.4
    assert not any(not torch.equal(PasteObstacle((BLOCKS["side"],), 0.0)(image, cues, rng)[0], image) for _ in range(5))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"p": 1.5}, "p must"),
        ({"visible_range": (0.0, 0.5)}, "visible_range"),
        ({"visible_range": (0.6, 0.5)}, "visible_range"),
        ({"cutouts": ()}, "no cutout"),
    ],
)
def test_wrong_settings_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        PasteObstacle(**{"cutouts": (BLOCKS["side"],), **values})


def test_wrong_shapes_are_refused():
    image, _ = picture()
    wrong = torch.ones(HEIGHT, WIDTH + 1)
    with pytest.raises(ShapeError, match="body"):
        paste(image, BLOCKS["side"], wrong, 0.5, np.random.default_rng(0))
    with pytest.raises(ShapeError, match="not empty"):
        paste(image, BLOCKS["side"], torch.zeros(HEIGHT, WIDTH), 0.5, np.random.default_rng(0))
    with pytest.raises(ShapeError, match="foreground"):
        hide_cues(Cues(foreground=wrong), torch.zeros(HEIGHT, WIDTH, dtype=torch.bool))
    with pytest.raises(ShapeError, match="keypoints"):
        hide_cues(Cues(keypoints=torch.zeros(2, 18, 3)), torch.zeros(HEIGHT, WIDTH, dtype=torch.bool))
    with pytest.raises(ShapeError, match="maps of the cues"):
        PasteObstacle((BLOCKS["side"],), 1.0)(image, Cues(foreground=wrong), np.random.default_rng(0))


# --- in training ------------------------------------------------------------------------------------------------------


def test_training_pastes_where_its_settings_ask_for_it(tmp_path):
    Image.new("RGB", (WIDTH, HEIGHT), (100, 100, 100)).save(tmp_path / "a.png")
    samples = [Sample(tmp_path / "a.png", "1", "1")]
    plain = TrainSettings(flip_probability=0, erasing_probability=0)
    pasting = plain.with_changes(paste_obstacles=1.0, paste_visible=(0.4, 0.6))

    def load(settings, position):
        images = ReidImages(
            samples, size=(HEIGHT, WIDTH), augment=augmentation(settings, tuple(BLOCKS.values())), seed=settings.seed
        )
        return images.load(Draw(0, 2, position)).image

    assert torch.equal(load(plain, 0), load(plain, 1))
    first = load(pasting, 0)
    assert not torch.equal(first, load(plain, 0))
    assert torch.equal(first, load(pasting, 0)), "the same draw of a resumed run gives the same image"
    assert not torch.equal(first, load(pasting, 1))
    with pytest.raises(SettingsError, match="no cutout"):
        augmentation(pasting)
    with pytest.raises(SettingsError, match="paste_visible"):
        TrainSettings(paste_visible=(0.5, 1.0))


RUN = TrainSettings(
    epochs=2, batch_size=4, lr=0.05, schedule="constant", workers=0, flip_probability=0, erasing_probability=0,
    accelerator="cpu", paste_obstacles=0.7, paste_sprites=2,
)  # fmt: skip


def test_a_run_that_pastes_goes_on_as_if_it_had_never_stopped(tmp_path):
    samples = make_samples(tmp_path / "images")
    blocks = tuple(BLOCKS.values())

    def weights(out, settings, **options):
        return load_file(train_method(make_method(6), samples, settings, tmp_path / out, **options).weights)

    whole = weights("whole", RUN, obstacles=blocks)
    weights("cut", RUN.with_changes(epochs=1), obstacles=blocks)
    torch.testing.assert_close(weights("cut", RUN, obstacles=blocks, resume=True), whole, rtol=0, atol=0)
    plain = weights("plain", RUN.with_changes(paste_obstacles=0.0))
    assert any(not torch.equal(plain[name], whole[name]) for name in whole)


def test_a_run_renders_the_obstacles_that_its_settings_ask_for(tmp_path, monkeypatch):
    samples = tuple(make_samples(tmp_path / "images"))
    dataset = ReidDataset("folder", tmp_path, samples, samples[:1], samples[1:], Protocol("folder"))
    given = []
    monkeypatch.setattr(runs, "train_method", lambda *values, **options: given.append(options["obstacles"]))
    for changes in ({}, {}, {"seed": 1}, {"paste_obstacles": 0.0}):
        layers = {"method": "tests.tiny_method", "initial_weights": "none", "train": {**RUN.to_dict(), **changes}}
        runs.train(dataset, tmp_path / "out", layers)
    first, again, other, none = given
    assert len(first) == 2
    assert all((a.rgba == b.rgba).all() for a, b in zip(first, again, strict=True))
    assert any(a.rgba.shape != b.rgba.shape or (a.rgba != b.rgba).any() for a, b in zip(first, other, strict=True))
    assert none == []
