"""Providers from transformers, on tiny random models of the same classes, and providers as sources; all offline."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from occlureid.cues import CueCache, Provider, ProviderSource, TransformersParsing, TransformersPose
from occlureid.cues.cache import image_key
from occlureid.cues.groupings import LABEL_SETS, grouping_table
from occlureid.cues.providers import as_arrays, cached_cues, fingerprint_of
from occlureid.errors import DataError, MissingWeightsError, SettingsError, ShapeError
from occlureid.models.torchvision_operators import declare_missing
from occlureid.types import KEYPOINT_NAMES, Cues, Sample

pytest.importorskip("transformers", reason="the extra 'cues' is not installed")
pytest.importorskip("scipy", reason="the extra 'cues' is not installed")

SIZES = ((64, 32), (71, 29), (40, 40))


def pictures(count=3):
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*SIZES[k % 3], 3), dtype=np.uint8) for k in range(count)]


@pytest.fixture(scope="module")
def pose_model(tmp_path_factory):
    declare_missing()
    import transformers

    folder = tmp_path_factory.mktemp("vitpose")
    backbone = transformers.VitPoseBackboneConfig(
        image_size=[64, 48], patch_size=[16, 16], hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        mlp_ratio=2, out_indices=[1],
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.VitPoseForPoseEstimation(transformers.VitPoseConfig(backbone_config=backbone, num_labels=17))
    model.save_pretrained(folder)
    transformers.VitPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(folder)
    return str(folder)


def save_parser(folder: Path, names, seed=0) -> str:
    declare_missing()
    import transformers

    config = transformers.SegformerConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 8, 8], num_attention_heads=[1, 1, 1, 1], decoder_hidden_size=8,
        id2label=dict(enumerate(names)), label2id={name: number for number, name in enumerate(names)},
    )  # fmt: skip
    torch.manual_seed(seed)
    model = transformers.SegformerForSemanticSegmentation(config)
    with torch.no_grad():  # far from uniform, so that labels differ
        model.decode_head.classifier.weight.mul_(60)
    model.save_pretrained(folder)
    transformers.SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return str(folder)


ATR_NAMES = [name.capitalize().replace("_", "-") for name in LABEL_SETS["atr18"].labels]


@pytest.fixture(scope="module")
def parsing_model(tmp_path_factory):
    return save_parser(tmp_path_factory.mktemp("segformer"), ATR_NAMES)


# -- landmarks --------------------------------------------------------------------------------------------------------


def test_vitpose_gives_18_landmarks_whatever_the_batch(pose_model):
    provider = TransformersPose(pose_model, batch_size=2)
    assert isinstance(provider, Provider)
    found = provider(pictures())
    assert [cues.names for cues in found] == [{"keypoints"}] * 3
    for cues in found:
        assert cues.keypoints.shape == (18, 3)
        assert bool(torch.isfinite(cues.keypoints).all())
        assert 0 <= float(cues.keypoints[:, 2].min()) <= float(cues.keypoints[:, 2].max()) <= 1
    alone = [TransformersPose(pose_model)([picture])[0] for picture in pictures()]
    assert all(torch.allclose(a.keypoints, b.keypoints, atol=1e-3) for a, b in zip(found, alone, strict=True))
    shoulders = found[0].keypoints[[KEYPOINT_NAMES.index("left_shoulder"), KEYPOINT_NAMES.index("right_shoulder")]]
    assert torch.allclose(found[0].keypoints[1], shoulders.mean(0))
    assert provider([]) == []


@pytest.mark.parametrize("size", [(64, 32), (48, 48)])
def test_places_are_pixels_of_the_crop(pose_model, monkeypatch, size):
    """A peak at a known cell of the heatmaps comes back at the place that the processor took that cell from."""
    provider = TransformersPose(pose_model)
    maps = torch.zeros(1, 17, 16, 12)
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(12.0), indexing="ij")
    maps[0, 0] = torch.exp(-((rows - 7.5) ** 2 + (columns - 5.5) ** 2) / 4)  # between the middle cells: the middle
    maps[0, 5] = torch.exp(-((rows - 7.5) ** 2 + (columns - 5.5 - 2.75) ** 2) / 4)  # a quarter of 11 steps right of it
    monkeypatch.setattr(provider._model, "run", lambda *_, **__: SimpleNamespace(heatmaps=maps))
    keypoints = provider([np.zeros((*size, 3), np.uint8)])[0].keypoints
    # the whole crop, made as wide as the model's input is and 1.25 times as large, lies over the 12 columns
    width = max(size[1], size[0] * 48 / 64) * 1.25
    middle = [size[1] / 2 + 0.5, size[0] / 2 + 0.5]
    assert keypoints[0, :2].tolist() == pytest.approx(middle, abs=0.1)
    left = keypoints[KEYPOINT_NAMES.index("left_shoulder"), :2].tolist()
    assert left == pytest.approx([middle[0] + width / 4, middle[1]], abs=width * 0.03)
    assert float(keypoints[0, 2]) == pytest.approx(float(maps[0, 0].max()))
    assert not keypoints[14, 2], "an empty map is no landmark"


def test_places_that_are_none_were_not_found(pose_model, monkeypatch):
    provider = TransformersPose(pose_model)
    places = torch.full((17, 2), 5.0)
    places[0], places[1, 0], places[2, 1] = float("nan"), 1e4, -float("inf")
    person = {"keypoints": places, "scores": torch.full((17,), 1.5)}
    monkeypatch.setattr(provider._model.processor, "post_process_pose_estimation", lambda *_, **__: [[person]])
    keypoints = provider(pictures(1))[0].keypoints
    lost = {"nose", "left_eye", "right_eye"}
    for number, name in enumerate(KEYPOINT_NAMES):
        assert keypoints[number].tolist() == ([0, 0, 0] if name in lost else [5.5, 5.5, 1.0]), name


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_close_and_another_provider(pose_model, parsing_model, precision):
    for kind, model in ((TransformersPose, pose_model), (TransformersParsing, parsing_model)):
        full, half = kind(model), kind(model, precision=precision)
        assert full.fingerprint != half.fingerprint
        for one, other in zip(full(pictures()), half(pictures()), strict=True):
            if kind is TransformersPose:
                assert torch.allclose(one.keypoints[:, 2], other.keypoints[:, 2], atol=0.05)
            else:
                assert float((one.part_map - other.part_map).abs().mean()) < 0.02


def test_fingerprints_follow_weights_and_settings_not_places(pose_model, parsing_model, tmp_path):
    import shutil

    first = TransformersPose(pose_model, batch_size=3)
    assert first.fingerprint.startswith("vitpose@")
    assert first.fingerprint == TransformersPose(pose_model).fingerprint
    moved = shutil.copytree(pose_model, tmp_path / "moved")
    assert TransformersPose(str(moved)).fingerprint == first.fingerprint
    other = save_parser(tmp_path / "other", ATR_NAMES, seed=1)
    assert TransformersParsing(other).fingerprint != TransformersParsing(parsing_model).fingerprint
    assert fingerprint_of({"name": "a", "b": 1}) != fingerprint_of({"name": "a", "b": 2})


# -- part maps --------------------------------------------------------------------------------------------------------


def test_segformer_gives_the_parts_of_its_label_set(parsing_model):
    provider = TransformersParsing(parsing_model, batch_size=2)
    assert provider.labels == "atr18"
    for cues, picture in zip(provider(pictures()), pictures(), strict=True):
        assert cues.part_map.shape == (17, *picture.shape[:2])
        assert torch.equal((cues.part_map * 255).round() / 255, cues.part_map)
        assert float(cues.part_map.sum(0).max()) <= 1.04
        assert torch.allclose(cues.foreground, cues.part_map.sum(0).clamp(max=1), atol=1e-6)
        parts = LABEL_SETS["atr18"].parts
        assert parts[cues.part_flip[parts.index("left_shoe")]] == "right_shoe"


def test_labels_go_by_name_in_any_order(parsing_model, tmp_path):
    """The same weights with the last layer's rows and the names shuffled alike give the same maps."""
    import transformers

    order = torch.randperm(18, generator=torch.Generator().manual_seed(0)).tolist()
    model = transformers.SegformerForSemanticSegmentation.from_pretrained(parsing_model)
    with torch.no_grad():
        for weights in (model.decode_head.classifier.weight, model.decode_head.classifier.bias):
            weights.copy_(weights[order].clone())
    names = [ATR_NAMES[k].upper().replace("-", " ") for k in order]
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: number for number, name in enumerate(names)}
    model.save_pretrained(tmp_path)
    transformers.SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    ordered, shuffled = TransformersParsing(parsing_model), TransformersParsing(str(tmp_path))
    assert shuffled.labels == "atr18"
    for one, other in zip(ordered(pictures()), shuffled(pictures()), strict=True):
        assert torch.allclose(one.part_map, other.part_map, atol=1 / 255 + 1e-6)


def test_other_names_need_a_word(tmp_path):
    names = ["Background", *LABEL_SETS["lip20"].labels[1:9], "trousers", *LABEL_SETS["lip20"].labels[10:]]
    model = save_parser(tmp_path / "renamed", names)
    with pytest.raises(SettingsError, match=r"no label set .* nearest is 'lip20', which differs in trousers"):
        TransformersParsing(model)
    assert TransformersParsing(model, rename={"trousers": "Pants"}).labels == "lip20"
    unnamed = save_parser(tmp_path / "unnamed", [f"LABEL_{k}" for k in range(20)])
    assert TransformersParsing(unnamed, labels="lip20")(pictures(1))[0].part_map.shape[0] == 19
    with pytest.raises(SettingsError, match="has 20 labels, which are not those of 'atr18'"):
        TransformersParsing(unnamed, labels="atr18")


def test_nan_is_an_error(parsing_model, monkeypatch):
    provider = TransformersParsing(parsing_model)
    nothing = SimpleNamespace(logits=torch.full((1, 18, 16, 16), float("nan")))
    monkeypatch.setattr(provider._model, "run", lambda *_, **__: nothing)
    with pytest.raises(DataError, match="gives NaN; try precision float32"):
        provider(pictures(1))


# -- what can go wrong ------------------------------------------------------------------------------------------------


def test_missing_models_and_wrong_settings(pose_model, parsing_model, tmp_path):
    with pytest.raises(
        MissingWeightsError, match=r"nowhere: no weights of a VitPoseForPoseEstimation .*save_pretrained"
    ):
        TransformersPose(str(tmp_path / "nowhere"), local_only=True)
    with pytest.raises(MissingWeightsError, match="no weights of a Segformer"):
        TransformersParsing("nobody/nothing", local_only=True)
    with pytest.raises(SettingsError, match="precision must be one of"):
        TransformersPose(pose_model, precision="float8")
    with pytest.raises(SettingsError, match="batch_size at least 1"):
        TransformersParsing(parsing_model, batch_size=0)


def test_pickled_weights_are_not_loaded(pose_model, tmp_path):
    import shutil

    folder = shutil.copytree(pose_model, tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(MissingWeightsError, match=r"no weights .*safetensors"):
        TransformersPose(str(folder), local_only=True)


@pytest.mark.parametrize("lacking", ["transformers", "scipy"])
def test_without_the_extra_it_says_what_to_install(monkeypatch, lacking):
    present = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == lacking else present(name, *a))
    for kind in (TransformersPose, TransformersParsing):
        with pytest.raises(MissingWeightsError, match=rf"package {lacking}, .*pip install 'occlureid\[cues\]'"):
            kind()


def test_other_than_17_landmarks(tmp_path):
    import transformers

    backbone = transformers.VitPoseBackboneConfig(
        image_size=[32, 32],
        patch_size=[16, 16],
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        out_indices=[1],
    )
    config = transformers.VitPoseConfig(backbone_config=backbone, num_labels=21)
    transformers.VitPoseForPoseEstimation(config).save_pretrained(tmp_path)
    transformers.VitPoseImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    with pytest.raises(SettingsError, match="gives 21 landmarks; expected the 17 of COCO"):
        TransformersPose(str(tmp_path))


def test_images_as_arrays():
    arrays = pictures(2)
    assert as_arrays(arrays)[1] is arrays[1]
    batch = torch.from_numpy(np.stack([arrays[0]] * 2)).permute(0, 3, 1, 2)
    for images in (batch, batch / 255):
        assert all(np.array_equal(one, arrays[0]) for one in as_arrays(images))
    for images in (torch.zeros(3, 8, 8), [np.zeros((8, 8), np.uint8)], [np.zeros((8, 8, 3), np.float32)]):
        with pytest.raises(ShapeError, match=r"must (have|be)"):
            as_arrays(images)


# -- through the cache ------------------------------------------------------------------------------------------------


class Brightness:
    """A provider without a network: labels by brightness, and a note of what it was asked."""

    name, labels = "brightness", "sgam5"
    cues = frozenset({"part_map", "foreground"})
    record = {"name": "brightness"}  # noqa: RUF012
    fingerprint = fingerprint_of(record)

    def __init__(self):
        self.asked = 0

    def __call__(self, images):
        self.asked += len(images)
        grey = [torch.from_numpy(image.mean(2)) for image in images]
        maps = [torch.stack([((g // 64) == k).float() for k in range(4)]) for g in grey]
        return [Cues(part_map=m, foreground=m.sum(0)) for m in maps]


def save_all(folder: Path) -> list[Path]:
    for number, picture in enumerate(pictures()):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return sorted(folder.glob("*.png"))


def test_what_is_cached_is_not_computed_again(tmp_path):
    paths, cache, provider = save_all(tmp_path), CueCache(tmp_path / "cache"), Brightness()
    first = cached_cues(provider, paths[:2], cache)
    again = cached_cues(provider, paths, cache)
    assert provider.asked == 3
    assert all(torch.equal(a.part_map, b.part_map) for a, b in zip(first, again, strict=False))
    entry = next((tmp_path / "cache").rglob(f"{image_key(paths[1])}.cue"))
    entry.write_bytes(b"damaged")
    assert torch.equal(cached_cues(provider, paths[1:2], cache)[0].part_map, first[1].part_map)
    assert provider.asked == 4
    cached_cues(provider, paths)
    assert provider.asked == 7


def test_a_provider_is_a_source_of_grouped_cues(tmp_path):
    paths, provider = save_all(tmp_path), Brightness()
    sample = Sample(paths[1], "1", "1")
    own = ProviderSource(provider, CueCache(tmp_path / "cache"), grouping="labels")(sample, SIZES[1])
    whole = ProviderSource(provider, CueCache(tmp_path / "cache"), grouping="sorn2")(sample, SIZES[1])
    assert provider.asked == 1
    assert own.part_map.shape == (4, *SIZES[1])
    assert torch.equal(whole.part_map[0], own.part_map.sum(0))
    assert list(grouping_table("sgam5", "sorn2")) == ["person", "background"]
    with pytest.raises(SettingsError, match="do not tell the regions"):
        ProviderSource(provider, grouping="sorn8")


def test_networks_through_the_cache_give_the_same_bits(pose_model, parsing_model, tmp_path):
    paths, cache = save_all(tmp_path), CueCache(tmp_path / "cache")
    for provider in (TransformersPose(pose_model), TransformersParsing(parsing_model)):
        computed, cached = cached_cues(provider, paths, cache), cached_cues(provider, paths, cache)
        for one, other in zip(computed, cached, strict=True):
            assert one.names == other.names
            assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in one.names)
            assert one.part_flip == other.part_flip
