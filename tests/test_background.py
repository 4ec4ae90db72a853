"""Another background behind a person: the person stays, and nothing happens where nobody knows where the person is."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from occlureid import runs
from occlureid.data.background import BackgroundMixing, background_pictures, without_person
from occlureid.data.dataset import ReidDataset
from occlureid.data.loader import ReidImages
from occlureid.errors import MissingCueError, SettingsError, ShapeError
from occlureid.training import train_method
from occlureid.training.settings import TrainSettings
from occlureid.types import Cues, Protocol
from tests.tiny_method import make_method, make_samples

HEIGHT, WIDTH = 64, 32
RED, BLUE = (
    torch.tensor([n, 0, m], dtype=torch.uint8).view(3, 1, 1).expand(3, 40, 20) for n, m in ((255, 0), (0, 255))
)


def rng(seed=0):
    return np.random.default_rng(seed)


def person():
    """A green person on grey."""
    image, foreground = torch.full((3, HEIGHT, WIDTH), 0.5), torch.zeros(HEIGHT, WIDTH)
    foreground[10:60, 8:24] = 1.0
    image[:, foreground > 0] = torch.tensor([0.0, 1.0, 0.0])[:, None]
    return image, Cues(foreground=foreground)


def inner(foreground):
    """What lies further than a pixel from the other side."""
    edge = torch.nn.functional.max_pool2d(foreground[None, None], 3, 1, 1)[0, 0]
    core = -torch.nn.functional.max_pool2d(-foreground[None, None], 3, 1, 1)[0, 0]
    return core == 1, edge == 0


@pytest.mark.parametrize("seed", range(4))
def test_person_stays_and_background_goes(seed):
    image, cues = person()
    before = image.clone()
    changed, after = BackgroundMixing((RED,), 1.0, texture=0.0, blend=0.0)(image, cues, rng(seed))
    assert after is cues
    assert torch.equal(image, before)
    core, outside = inner(cues.foreground)
    assert torch.equal(changed[:, core], image[:, core])
    assert torch.allclose(changed[:, outside], torch.tensor([1.0, 0.0, 0.0])[:, None].expand(3, int(outside.sum())))
    again, _ = BackgroundMixing((RED,), 1.0, texture=0.0, blend=0.0)(image, cues, rng(seed))
    assert torch.equal(changed, again)


def test_blend_keeps_a_part_of_the_old_background():
    image, cues = person()
    _, outside = inner(cues.foreground)
    shares = []
    for seed in range(20):
        changed, _ = BackgroundMixing((RED,), 1.0, texture=0.0, blend=1.0)(image, cues, rng(seed))
        share = 2.0 * (changed[0, outside] - 0.5)  # from 0.5 to 1
        assert float(share.std()) < 1e-5
        shares.append(float(share[0]))
    assert 0.3 <= min(shares) < 0.5
    assert 0.8 < max(shares) <= 1.0


def test_textures_are_smooth_within_bounds_and_never_twice_the_same():
    image, cues = person()
    found = []
    for seed in range(20):
        changed, _ = BackgroundMixing((), 1.0, blend=0.0)(image, cues, rng(seed))
        assert 0.0 <= float(changed.min()) <= float(changed.max()) <= 1.0
        found.append(changed[:, :8].clone())
    assert all(not torch.equal(a, b) for n, a in enumerate(found) for b in found[:n])
    flat = [float(part.flatten(1).std(dim=1).max()) < 1e-4 for part in found]
    assert any(flat)
    assert not all(flat)


def test_pictures_and_textures_are_both_drawn():
    image, cues = person()
    mixing = BackgroundMixing((RED, BLUE), 1.0, texture=0.3, blend=0.0)
    kinds = [tuple(mixing(image, cues, rng(seed))[0][:, 0, 0].tolist()) for seed in range(60)]
    pure = [kind for kind in kinds if kind in ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0))]
    assert len(set(pure)) == 2
    assert 25 < len(pure) < 55


@pytest.mark.parametrize(
    "foreground", [None, torch.zeros(HEIGHT, WIDTH), torch.ones(HEIGHT, WIDTH)], ids=["none", "nobody", "everywhere"]
)
def test_nothing_is_changed_where_the_person_is_not_known(foreground):
    image, _ = person()
    parts = torch.ones(1, HEIGHT, WIDTH)
    assert BackgroundMixing((RED,), 1.0)(image, Cues(part_map=parts, foreground=foreground), rng())[0] is image


def test_the_chance_is_met():
    image, cues = person()
    draws = rng()
    changed = [not torch.equal(BackgroundMixing((RED,), 0.3)(image, cues, draws)[0], image) for _ in range(200)]
    assert 0.2 < np.mean(changed) < 0.4
    assert BackgroundMixing((RED,), 0.0)(image, cues, rng())[0] is image


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"p": 1.5}, SettingsError, "p must"),
        ({"texture": -0.1}, SettingsError, "texture"),
        ({"blend": float("nan")}, SettingsError, "blend"),
        ({"pictures": (torch.rand(3, 4, 4),)}, ShapeError, "uint8"),
        ({"pictures": (torch.zeros(3, 0, 4, dtype=torch.uint8),)}, ShapeError, "uint8"),
    ],
)
def test_wrong_values_are_refused(values, error, message):
    with pytest.raises(error, match=message):
        BackgroundMixing(**{"pictures": (RED,), **values})


def test_wrong_shapes_are_refused():
    image, _ = person()
    with pytest.raises(ShapeError, match="foreground must be"):
        BackgroundMixing((RED,), 1.0)(image, Cues(foreground=torch.ones(8, 8)), rng())
    with pytest.raises(ShapeError, match="of the image's size"):
        without_person(image, torch.ones(8, 8))
    with pytest.raises(ShapeError, match="no background"):
        without_person(image, torch.ones(HEIGHT, WIDTH))


# -- the people are taken out --------------------------------------------------------------------------------------------


def test_person_gives_way_to_the_colours_around():
    image, cues = person()
    filled = without_person(image, cues.foreground)
    assert torch.allclose(filled, torch.full_like(image, 0.5), atol=1e-5)
    image[:, :, 12:] = 0.9
    image[:, cues.foreground > 0] = 0.0
    filled = without_person(image, cues.foreground)
    known = torch.nn.functional.max_pool2d(cues.foreground[None, None], 5, 1, 2)[0, 0] == 0
    assert torch.allclose(filled[:, known], image[:, known])
    assert 0.5 - 1e-5 <= float(filled.min()) <= float(filled.max()) <= 0.9 + 1e-5
    assert float(filled[0, 30, 22]) > float(filled[0, 30, 9])


@pytest.mark.parametrize("size", [(1, 9), (9, 1), (7, 13), (6, 6)])
def test_any_size_is_filled(size):
    foreground = torch.zeros(size)
    foreground[-1, -1] = 1.0
    filled = without_person(torch.full((3, *size), 0.25), foreground)
    assert torch.allclose(filled, torch.full((3, *size), 0.25), atol=1e-6)


def block(sample, size):
    """A person in the middle of every image; but the images of person 0000 have no background."""
    foreground = torch.ones(size) if sample.person == "0000" else torch.zeros(size)
    foreground[size[0] // 4 :, size[1] // 3 : 2 * size[1] // 3] = 1.0
    return Cues(foreground=foreground)


def test_backgrounds_are_decided_by_the_seed(tmp_path):
    samples = make_samples(tmp_path / "images")
    samples[4].path.write_bytes(b"no image")
    images = ReidImages(samples, size=(24, 12), cues=block)
    first, again, other = (background_pictures(images, 5, seed) for seed in (0, 0, 1))
    assert len(first) == 5
    assert all(picture.shape == (3, 24, 12) and picture.dtype == torch.uint8 for picture in first)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert len(background_pictures(images, 100, 0)) == 18 - 3 - 1, "three have no background, one cannot be read"


@pytest.mark.parametrize("cues", [None, lambda sample, size: Cues(foreground=torch.ones(size))])
def test_images_without_backgrounds_are_refused(tmp_path, cues):
    images = ReidImages(make_samples(tmp_path / "images"), size=(24, 12), cues=cues)
    with pytest.raises(MissingCueError, match=r"foreground.*background_probability"):
        background_pictures(images, 4, 0)


# -- in training ---------------------------------------------------------------------------------------------------------

RUN = TrainSettings(
    epochs=2, batch_size=4, lr=0.05, schedule="constant", workers=0, accelerator="cpu", background_probability=0.7,
    background_pictures=4,
)  # fmt: skip


def test_a_run_that_mixes_goes_on_as_if_it_had_never_stopped(tmp_path):
    samples = make_samples(tmp_path / "images")

    def weights(out, settings, **options):
        return load_file(train_method(make_method(6), samples, settings, tmp_path / out, cues=block, **options).weights)

    whole = weights("whole", RUN)
    weights("cut", RUN.with_changes(epochs=1))
    torch.testing.assert_close(weights("cut", RUN, resume=True), whole, rtol=0, atol=0)
    plain = weights("plain", RUN.with_changes(background_probability=0.0))
    assert any(not torch.equal(plain[name], whole[name]) for name in whole)
    with pytest.raises(MissingCueError, match="foreground"):
        train_method(make_method(6), samples, RUN, tmp_path / "none")


def test_a_run_asks_for_the_foreground_where_its_settings_do(tmp_path, monkeypatch):
    samples = tuple(make_samples(tmp_path / "images"))
    dataset = ReidDataset("folder", tmp_path, samples, samples[:1], samples[1:], Protocol("folder"))
    asked = []
    monkeypatch.setattr(runs, "sources_for_dataset", lambda _, wanted, *__, **___: asked.append(wanted) or block)
    monkeypatch.setattr(runs, "train_method", lambda *_, **options: asked.append(options["cues"]))
    for changes in ({}, {"background_probability": 0.0}):
        layers = {"method": "tests.tiny_method", "initial_weights": "none", "train": {**RUN.to_dict(), **changes}}
        runs.train(dataset, tmp_path / "out", layers)
    assert asked == [{"foreground"}, block, None]
