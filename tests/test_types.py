"""The nouns: what they accept, what they refuse, and that saving loses nothing."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from occlureid.errors import DataError, FingerprintError, MissingCueError, ShapeError
from occlureid.types import KEYPOINT_FLIP, KEYPOINT_NAMES, Cues, Descriptor, Protocol, Region, Sample


def descriptor(n: int = 4, k: int = 3, fingerprint: str = "a@1", *, spatial: bool = False) -> Descriptor:
    g = torch.Generator().manual_seed(n + k)
    extra = (torch.rand(n, 5, 6, generator=g), torch.rand(n, 5, generator=g)) if spatial else (None, None)
    return Descriptor(
        torch.randn(n, 8, generator=g),
        torch.randn(n, k, 7, generator=g),
        torch.rand(n, k, generator=g),
        *extra,
        fingerprint,
    )


WRONG = [
    ({"global_": torch.zeros(4)}, r"global_ must have shape \(N, D\), got \(4,\)"),
    ({"parts": torch.zeros(3, 3, 7)}, r"parts must have shape \(N, K, C\) with N=4, got \(3, 3, 7\)"),
    ({"visibility": torch.zeros(4, 2)}, r"visibility must be float of shape \(N, K\) = \(4, 3\)"),
    ({"visibility": torch.zeros(4, 3, dtype=torch.bool)}, "visibility must be float"),
    ({"spatial": torch.zeros(4, 5, 6)}, "spatial and saliency come together"),
    ({"spatial": torch.zeros(4, 5, 6), "saliency": torch.zeros(4, 6)}, r"saliency must have shape \(N, T\) = \(4, 5\)"),
    ({"spatial": torch.zeros(3, 5, 6), "saliency": torch.zeros(3, 5)}, "spatial must have shape"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_descriptor_refuses_wrong_shapes(change: dict[str, torch.Tensor], message: str) -> None:
    good = {"global_": torch.zeros(4, 8), "parts": torch.zeros(4, 3, 7), "visibility": torch.zeros(4, 3)}
    with pytest.raises(ShapeError, match=message):
        Descriptor(**{**good, **change})


def test_descriptor_checks_values_and_names_the_image() -> None:
    good = descriptor()
    parts = good.parts.clone()
    parts[2, 1] = torch.nan
    hidden = good.visibility.clone()
    hidden[2, 1] = 0
    Descriptor(good.global_, parts, hidden).check()  # nobody looks at a hidden part
    with pytest.raises(ShapeError, match="parts must be finite where visible; image 2 of 4"):
        Descriptor(good.global_, parts, good.visibility).check()
    with pytest.raises(ShapeError, match=r"visibility must lie in \[0, 1\]; image 0"):
        Descriptor(good.global_, good.parts, good.visibility + 1).check()
    with pytest.raises(ShapeError, match="global_ must be finite"):
        Descriptor(good.global_ / 0, good.parts, good.visibility).check()
    s = descriptor(spatial=True)
    with pytest.raises(ShapeError, match="saliency must be finite and not negative"):
        Descriptor(s.global_, s.parts, s.visibility, s.spatial, s.saliency - 2).check()


def test_descriptor_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        descriptor().global_ = torch.zeros(1, 1)


@pytest.mark.parametrize("spatial", [False, True])
def test_descriptor_slices_and_joins(spatial: bool) -> None:
    whole = descriptor(6, spatial=spatial)
    joined = Descriptor.cat([whole[:2], whole[torch.tensor([2, 3])], whole[[4, 5]]])
    assert len(joined) == 6
    for name, tensor in whole._tensors().items():
        assert torch.equal(tensor, joined._tensors()[name])
    assert len(whole[torch.tensor([True, False, True, False, False, False])]) == 2
    with pytest.raises(ShapeError, match=r"write d\[3:4\]"):
        whole[3]


def test_descriptors_of_two_models_do_not_join() -> None:
    with pytest.raises(FingerprintError, match="described by a@1, the other by b@2"):
        Descriptor.cat([descriptor(), descriptor(fingerprint="b@2")])
    with pytest.raises(ShapeError, match="no descriptors"):
        Descriptor.cat([])


@pytest.mark.parametrize("spatial", [False, True])
def test_descriptor_survives_saving(tmp_path: Path, spatial: bool) -> None:
    whole = descriptor(spatial=spatial)
    whole.save(tmp_path / "d.safetensors")
    back = Descriptor.load(tmp_path / "d.safetensors")
    assert back.fingerprint == whole.fingerprint
    assert all(torch.equal(t, back._tensors()[n]) for n, t in whole._tensors().items())
    assert [p.name for p in tmp_path.iterdir()] == ["d.safetensors"]


def test_descriptor_load_refuses_what_is_not_one(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    with pytest.raises(DataError, match="cannot be read"):
        Descriptor.load(path)
    path.write_bytes(b"not a tensor file")
    with pytest.raises(DataError, match="cannot be read"):
        Descriptor.load(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(DataError, match="not a descriptor file"):
        Descriptor.load(path)
    save_file({"global_": torch.zeros(2, 2)}, path, metadata={"occlureid": "descriptor"})
    with pytest.raises(DataError, match="not a valid descriptor"):
        Descriptor.load(path)


def test_to_changes_the_type_but_not_of_visibility() -> None:
    half = descriptor(spatial=True).to(dtype=torch.bfloat16)
    assert half.global_.dtype == half.parts.dtype == torch.bfloat16
    assert half.visibility.dtype == torch.float32


def test_from_vectors_has_no_parts() -> None:
    d = Descriptor.from_vectors(torch.randn(3, 5), "x@1")
    assert d.parts.shape[:2] == (3, 0)
    assert d.visibility.shape == (3, 0)


def test_cues_stack_index_and_move() -> None:
    items = [Cues(keypoints=torch.full((18, 3), float(i)), foreground=torch.full((4, 2), float(i))) for i in range(3)]
    batch = Cues.stack(items)
    assert batch.names == {"keypoints", "foreground"}
    assert batch.keypoints is not None
    assert batch.keypoints.shape == (3, 18, 3)
    assert batch[1:].keypoints.shape == (2, 18, 3)
    assert batch.to("cpu").require("foreground")[2, 0, 0] == 2
    with pytest.raises(MissingCueError, match="'part_map' is needed, got only: foreground, keypoints"):
        batch.require("part_map")
    with pytest.raises(ShapeError, match="same cues"):
        Cues.stack([items[0], Cues()])
    with pytest.raises(ShapeError, match="no cues at all"):
        Cues.stack([])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"keypoints": torch.zeros(18, 2)}, r"keypoints must have shape"),
        ({"part_map": torch.zeros(4, 4)}, r"part_map must have shape"),
        ({"foreground": torch.zeros(4)}, r"foreground must have shape"),
        ({"keypoints": torch.zeros(2, 18, 3), "foreground": torch.zeros(3, 4, 4)}, "agree on the batch"),
        ({"part_map": torch.zeros(3, 4, 4), "part_flip": (0, 1)}, "part_flip must permute"),
    ],
)
def test_cues_refuse_wrong_shapes(values: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Cues(**values)


def test_sample_round_trip_and_refusals() -> None:
    sample = Sample(Path("query/1.jpg"), "0001", "2", time=5, visible_fraction=0.5, obstacle="car")
    assert Sample.from_json(sample.to_json()) == sample
    assert Sample.from_json({"path": "a.jpg", "person": "1", "camera": "2"}) == Sample(Path("a.jpg"), "1", "2")
    for record in ({"path": "a.jpg"}, {**sample.to_json(), "extra": 1}):
        with pytest.raises(DataError, match="a sample record needs"):
            Sample.from_json(record)
    with pytest.raises(DataError, match="needs a person and a camera"):
        Sample(Path("a.jpg"), "", "1")
    with pytest.raises(DataError, match="visible_fraction"):
        Sample(Path("a.jpg"), "1", "1", visible_fraction=1.5)


def test_protocol_round_trip_and_refusals() -> None:
    protocol = Protocol("x", ignore="none", junk=("-1", "9"), ranks=(1, 3), average_precision="trapezoid")
    assert Protocol.from_json(protocol.to_json()) == protocol
    with pytest.raises(DataError, match="ignore must be"):
        Protocol("x", ignore="some")
    with pytest.raises(DataError, match="ranks must be positive"):
        Protocol("x", ranks=(0,))
    with pytest.raises(DataError, match="average_precision"):
        Protocol("x", average_precision="area")
    with pytest.raises(DataError, match="not a protocol record"):
        Protocol.from_json({"name": "x", "junk": [], "ranks": [1], "extra": 1})


def test_region_must_have_an_area() -> None:
    with pytest.raises(ShapeError, match="region 'a'"):
        Region("a", 0.5, 0.0, 0.5, 1.0)


def test_convention_keypoints_flip_left_and_right() -> None:
    assert len(KEYPOINT_NAMES) == 18
    for i, j in enumerate(KEYPOINT_FLIP):
        assert KEYPOINT_FLIP[j] == i
        a, b = KEYPOINT_NAMES[i], KEYPOINT_NAMES[j]
        assert a.replace("left", "x").replace("right", "x") == b.replace("left", "x").replace("right", "x")
        assert (a == b) == (not a.startswith(("left", "right")))
