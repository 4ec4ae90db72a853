"""Exact cues of a rendered world, and cues spoiled by chosen amounts: each knob does what it says, by as much as it says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from occlureid import methods
from occlureid.cues import CueSettings, Degradation, Degraded, ExactCues, PoseFolder, join_sources, sources_for
from occlureid.data import open_dataset
from occlureid.described import describe_dataset
from occlureid.errors import DataError, MissingCueError, SettingsError, UsageError
from occlureid.synthetic import WorldSettings, write_world
from occlureid.types import KEYPOINT_FLIP, Cues, Sample

SIZE = (96, 32)
MANY = [Sample(Path(f"images/{number}.jpg"), "1", "1") for number in range(400)]


def truth(sample: Sample, size: tuple[int, int]) -> Cues:
    """A made-up person: landmarks on a slope, seven bands of parts, four columns of background at either side."""
    k = torch.arange(18.0)
    keypoints = torch.stack([4 + k, 10 + 4 * k, torch.ones(18)], dim=1)
    keypoints[17] = 0.0
    maps = torch.zeros(7, *size)
    for part in range(7):
        maps[part, 6 + 12 * part : 18 + 12 * part, 4:-4] = 1.0
    return Cues(keypoints, maps, maps.sum(0))


class Crowd:
    """The same, with a second person in every image."""

    def __call__(self, sample: Sample, size: tuple[int, int]) -> Cues:
        return truth(sample, size)

    def people(self, sample: Sample):
        one = truth(sample, SIZE).keypoints.numpy().astype(np.float64)
        return np.stack([one, one + np.array([7.0, 0.0, 0.0]), np.zeros_like(one)])


def spoiled(source=truth, **rates) -> list[Cues]:
    degraded = Degraded(source, Degradation(**rates), "images")
    return [degraded(sample, SIZE) for sample in MANY]


def same(one: Cues, other: Cues) -> bool:
    return one.names == other.names and all(torch.equal(getattr(one, n), getattr(other, n)) for n in one.names)


EXACT = truth(MANY[0], SIZE)


def test_rates_of_zero_change_nothing():
    assert not Degradation().spoils
    assert not Degradation(seed=9).spoils
    assert all(same(cues, EXACT) for cues in spoiled())


def test_the_draws_depend_on_seed_and_relative_path_alone(tmp_path):
    rates = Degradation(jitter=0.02, miss=0.2, swap=0.3, no_person=0.1, boundary=0.02, seed=3)
    here, there = Degraded(truth, rates, "images"), Degraded(truth, rates, tmp_path)
    samples = MANY[:12]
    moved = [replace(sample, path=tmp_path / sample.path.name) for sample in samples]
    first = [here(sample, SIZE) for sample in samples]
    again = [there(sample, SIZE) for sample in reversed(moved)][::-1]
    assert all(same(one, other) for one, other in zip(first, again, strict=True))
    reseeded = Degraded(truth, rates.with_changes(seed=4), "images")
    assert not all(same(one, reseeded(sample, SIZE)) for one, sample in zip(first, samples, strict=True))
    alone = Degraded(lambda s, size: Cues(keypoints=truth(s, size).keypoints), rates, "images")
    assert all(torch.equal(alone(s, SIZE).keypoints, one.keypoints) for s, one in zip(samples, first, strict=True))


def test_jitter_has_its_standard_deviation_and_only_moves_what_was_found():
    shifts = torch.stack([cues.keypoints - EXACT.keypoints for cues in spoiled(jitter=0.05)])
    assert not shifts[:, 17].any()
    assert not shifts[:, :, 2].any()
    spread = shifts[:, :17, :2].std(dim=(0, 1), correction=0)
    assert torch.allclose(spread, torch.full((2,), 0.05 * SIZE[0]), rtol=0.04)
    assert float(shifts[:, :17, :2].mean().abs()) < 0.1


def test_missed_landmarks_are_as_many_as_said_and_nested_over_rates():
    few, many = ([c.keypoints[:17, 2] == 0 for c in spoiled(miss=rate)] for rate in (0.1, 0.3))
    assert torch.stack(few).float().mean() == pytest.approx(0.1, abs=0.012)
    assert torch.stack(many).float().mean() == pytest.approx(0.3, abs=0.018)
    assert all(bool((more | ~less).all()) for less, more in zip(few, many, strict=True))
    assert all(float(c.keypoints[:, 2].sum()) == 0 for c in spoiled(miss=1.0))


def test_swapped_sides():
    swapped = [torch.equal(c.keypoints, EXACT.keypoints[list(KEYPOINT_FLIP)]) for c in spoiled(swap=0.25)]
    kept = [torch.equal(c.keypoints, EXACT.keypoints) for c in spoiled(swap=0.25)]
    assert [a != b for a, b in zip(swapped, kept, strict=True)] == [True] * len(MANY)
    assert np.mean(swapped) == pytest.approx(0.25, abs=0.06)


def test_landmarks_of_another_person():
    taken = [float(c.keypoints[0, 0]) == 11.0 for c in spoiled(Crowd(), other_person=0.4)]
    assert np.mean(taken) == pytest.approx(0.4, abs=0.07)
    everybody = Degraded(join_sources([Crowd()]), Degradation(other_person=1.0))
    assert all(float(everybody(sample, SIZE).keypoints[0, 0]) == 11.0 for sample in MANY[:30])

    class Alone(Crowd):
        def people(self, sample):
            return super().people(sample)[:1]

    class Unknown(Crowd):
        def people(self, sample):
            return None

    for source in (Alone(), Unknown()):
        assert same(Degraded(source, Degradation(other_person=1.0))(MANY[0], SIZE), EXACT), "nobody else is there"
    with pytest.raises(SettingsError, match=r"degrade\.other_person needs a source that knows all people"):
        Degraded(truth, Degradation(other_person=0.1))


def test_nobody_is_found_in_as_many_images_as_said():
    results = spoiled(no_person=0.3)
    empty = [not c.keypoints.any() and not c.part_map.any() and not c.foreground.any() for c in results]
    assert np.mean(empty) == pytest.approx(0.3, abs=0.07)
    assert all(same(c, EXACT) for c, nobody in zip(results, empty, strict=True) if not nobody)


def test_dropped_parts_are_background():
    results = spoiled(miss=0.2)
    dropped = torch.stack([c.part_map.sum((1, 2)) == 0 for c in results])
    assert dropped.float().mean() == pytest.approx(0.2, abs=0.025)
    assert all(torch.equal(c.foreground, c.part_map.sum(0)) for c in results)


def test_confused_parts_take_another_name_and_stay_foreground():
    results = spoiled(swap=0.2)
    moved = torch.stack([(c.part_map * EXACT.part_map).sum((1, 2)) == 0 for c in results])
    assert moved.float().mean() == pytest.approx(0.2, abs=0.025)
    assert all(torch.equal(c.part_map.sum(0), EXACT.foreground) for c in results)
    assert all(torch.equal(c.foreground, EXACT.foreground) for c in results)


def test_edges_move_by_as_much_as_said():
    wrong = {}
    for rate in (0.01, 0.03):
        results = spoiled(boundary=rate)[:60]
        assert all(set(c.part_map.unique().tolist()) <= {0.0, 1.0} for c in results), "hard maps stay hard"
        assert all(float(c.part_map.sum(0).max()) <= 1.0 for c in results)
        # along the upper edge of the torso, how far the border is from where it belongs
        column = torch.stack([c.part_map[1, :, 16] for c in results])
        found = column.argmax(1).float() - 18
        wrong[rate] = float(found[column.any(1)].square().mean().sqrt())
        area = torch.stack([c.foreground.mean() for c in results]).mean()
        assert float(area) == pytest.approx(float(EXACT.foreground.mean()), rel=0.05)
    assert wrong[0.01] == pytest.approx(0.96, rel=0.5)
    assert wrong[0.03] == pytest.approx(2.88, rel=0.35)


def test_knobs_of_wrong_range():
    for name, value in (("jitter", -0.1), ("miss", 1.1), ("boundary", 0.6), ("seed", -1)):
        with pytest.raises(SettingsError, match=name):
            Degradation(**{name: value})


# -- exact cues -------------------------------------------------------------------------------------------------------


def world(root: Path) -> Path:
    """Two images of a made-up world: one person, and one behind another."""
    lines = []
    for number, others in ((1, []), (2, [5.0])):
        landmarks = [[4.0 + k, 10.0 + k, int(k % 3 > 0)] for k in range(18)]
        record = {
            "path": f"query/{number}.png", "person": "0001", "camera": "1", "landmarks": landmarks,
            "others": [{"person": "0002", "landmarks": [[x + k, 3.0, 1] for k in range(18)]} for x in others],
        }  # fmt: skip
        lines.append(json.dumps(record))
        for folder, label in (("query", 99), ("parts/query", 2), ("parsing/query", 14)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            values = np.zeros((24, 12), np.uint8)
            values[4:20, 3:9] = label
            Image.fromarray(values).save(root / folder / f"{number}.png")
    (root / "truth.jsonl").write_text("\n".join(lines) + "\n")
    return root


def test_exact_cues_are_the_truth(tmp_path):
    root = world(tmp_path)
    cues = ExactCues(root)(Sample(root / "query/1.png", "0001", "1"), (24, 12))
    for k in range(18):
        expected = [4.0 + k, 10.0 + k, 1.0] if k % 3 else [0.0, 0.0, 0.0]
        assert cues.keypoints[k].tolist() == expected
    assert cues.part_map.sum((1, 2)).tolist() == [0, 96, 0, 0, 0, 0, 0]
    assert torch.equal(cues.foreground, cues.part_map[1])
    lip = ExactCues(root, ["part_map"], labels="lip20", grouping="labels")
    assert lip.parts[13] == "left_arm"
    cues = lip(Sample(root / "query/1.png", "0001", "1"), (24, 12))
    assert cues.names == {"part_map"}
    assert float(cues.part_map[13].sum()) == 96
    people = ExactCues(root).people(Sample(root / "query/2.png", "0001", "1"))
    assert people.shape == (2, 18, 3)
    assert people[1, 0].tolist() == [5.0, 3.0, 1.0]


def test_exact_cues_that_are_not_there(tmp_path):
    with pytest.raises(MissingCueError, match=r"exact landmarks need .*truth\.jsonl, which only a rendered world has"):
        ExactCues(tmp_path, ["keypoints"])
    with pytest.raises(MissingCueError, match="parts, which is not there"):
        ExactCues(tmp_path, ["part_map"])
    with pytest.raises(SettingsError, match="eanet8 or lip20, not 'atr18'"):
        ExactCues(tmp_path, labels="atr18")
    with pytest.raises(UsageError, match="exact cues are any of"):
        ExactCues(tmp_path, [])
    root = world(tmp_path / "world")
    with pytest.raises(DataError, match=r"truth\.jsonl: tells no landmarks of query/3\.png"):
        ExactCues(root)(Sample(root / "query/3.png", "1", "1"), (24, 12))


def test_settings_choose_source_and_degradation(tmp_path):
    root = world(tmp_path)
    sample = Sample(root / "query/2.png", "0001", "1")
    needs = ["keypoints", "part_map"]
    exact = CueSettings(source="exact")
    plain = sources_for(root, needs, [sample], settings=exact)(sample, (24, 12))
    assert plain.names == {"keypoints", "part_map"}
    taken = exact.with_changes(degrade={"other_person": 1.0, "miss": 0.0})
    other = sources_for(root, needs, [sample], settings=taken)(sample, (24, 12))
    assert other.keypoints[0].tolist() == [5.0, 3.0, 1.0]
    assert torch.equal(other.part_map, plain.part_map)
    regions = sources_for(root, ["part_map"], settings=CueSettings(grouping="sgam5"))(sample, (24, 12))
    assert regions.part_map.sum((1, 2)).tolist() == [0, 96, 0, 0]
    assert sources_for(root, [], settings=exact) is None
    (root / "elsewhere/pose/query").mkdir(parents=True)
    people = [{"pose_keypoints_2d": [1.0, 2.0, 0.3] * 18}, {"pose_keypoints_2d": [3.0, 4.0, 0.9] * 9 + [0.0] * 27}]
    (root / "elsewhere/pose/query/2.json").write_text(json.dumps({"people": people}))
    for threshold, x in ((0.2, 1.0), (0.5, 3.0)):
        chosen = CueSettings(folder=str(root / "elsewhere"), threshold=threshold)
        assert float(sources_for(root, ["keypoints"], [sample], settings=chosen)(sample, (24, 12)).keypoints[0, 0]) == x
    spoilt = CueSettings(folder=str(root / "elsewhere"), degrade=Degradation(other_person=1.0))
    assert float(sources_for(root, ["keypoints"], settings=spoilt)(sample, (24, 12)).keypoints[0, 0]) == 3.0
    assert isinstance(
        sources_for(root, ["keypoints"], settings=CueSettings(folder=str(root / "elsewhere"))), PoseFolder
    )
    with pytest.raises(SettingsError, match="did you mean 'miss'"):
        CueSettings(degrade={"mis": 0.5})


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    settings = WorldSettings(seed=1, train_persons=2, test_persons=2, cameras=2, size=(64, 32))
    return write_world(settings, tmp_path_factory.mktemp("exact") / "world")


def test_a_rendered_world_gives_exact_cues(rendered):
    source = ExactCues(rendered)
    for path in sorted((rendered / "query").iterdir())[:4]:
        cues = source(Sample(path, "1", "1"), (64, 32))
        assert cues.part_map.shape == (7, 64, 32)
        seen = cues.keypoints[:, 2] > 0
        inside = (cues.keypoints[:, 0] >= 0) & (cues.keypoints[:, 0] <= 32) & (cues.keypoints[:, 1] <= 64)
        assert bool(inside[seen].all())
        assert torch.equal(cues.foreground, cues.part_map.sum(0))


def test_a_method_is_described_with_chosen_cues(rendered):
    """The whole way: settings, source, loader, method. Without landmarks PGFA takes all parts for visible."""
    method = methods.create("pgfa", 2, {"backbone": "resnet10t", "size": (64, 32)})
    dataset = open_dataset(rendered)
    exact = CueSettings(source="exact")
    blind = exact.with_changes(degrade={"no_person": 1.0})
    found = {name: describe_dataset(method, dataset, cues=settings) for name, settings in (("e", exact), ("b", blind))}
    assert not torch.equal(found["e"].query.global_, found["b"].query.global_), (
        "its global feature looks at landmarks too"
    )
    assert float(found["b"].query.visibility.min()) == 1
    assert found["b"].record["cues"]["degrade"]["no_person"] == 1.0
    assert "cues" not in describe_dataset(method, dataset).record
