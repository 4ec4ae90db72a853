"""Folders of cues for whole datasets: what is written, resumed, refused, counted and drawn."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from occlureid.cues import (
    CueCache,
    Degradation,
    Degraded,
    ExactCues,
    PartFolder,
    PoseFolder,
    build_parsing,
    build_pose,
    draw_cues,
    overlay_sheet,
)
from occlureid.cues.images import listed_images
from occlureid.cues.providers import fingerprint_of
from occlureid.data.dataset import ReidDataset
from occlureid.errors import DataError, ShapeError, UsageError
from occlureid.types import Cues, Protocol, Sample

SIZE = (24, 12)


def make_images(root: Path, count=6) -> list[Path]:
    paths = []
    for number in range(count):
        path = root / ("query" if number % 2 else "train") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE[::-1], (40 * number, 0, 0)).save(path)
        os.utime(path, ns=(10**18, 10**18))
        paths.append(path)
    return sorted(paths)


def number_of(image) -> int:
    return int(image[0, 0, 0]) // 40


class Maker:
    """A provider that reads everything off the red channel: image k has k landmarks and a person of k rows."""

    name, labels, cues = "maker", "eanet8", frozenset({"keypoints", "part_map", "foreground"})

    def __init__(self, version=1, break_at=None):
        self.record = {"name": "maker", "version": version}
        self.fingerprint = fingerprint_of(self.record)
        self.asked, self.break_at = [], break_at

    def __call__(self, images):
        found = []
        for image in images:
            number = number_of(image)
            self.asked.append(number)
            if number == self.break_at:
                raise KeyboardInterrupt
            keypoints = torch.zeros(18, 3)
            keypoints[:number] = torch.tensor([0.0, 5.0, 0.1 * number + 0.25])
            maps = torch.zeros(7, *SIZE)
            maps[1, :number] = 1.0
            found.append(Cues(keypoints, maps, maps.sum(0)))
        return found


def test_poses_are_written_and_counted(tmp_path):
    paths, steps = make_images(tmp_path), []
    summary = build_pose(tmp_path, Maker(), batch_size=4, threshold=0.5, progress=lambda *step: steps.append(step))
    assert steps == [(4, 6), (6, 6)]
    assert sorted(p.relative_to(tmp_path).as_posix() for p in (tmp_path / "pose").rglob("*.json")) == [
        "pose/provider.json", *(f"pose/query/{k}.json" for k in (1, 3, 5)), *(f"pose/train/{k}.json" for k in (0, 2, 4)),
    ]  # fmt: skip
    folder = PoseFolder(tmp_path / "pose", tmp_path)
    for path in paths:
        keypoints = folder(Sample(path, "1", "1"), SIZE).keypoints
        number = int(path.stem)
        assert int((keypoints[:, 2] > 0).sum()) == number, "a landmark at x = 0 is not lost"
        assert torch.allclose(keypoints[:number], torch.tensor([0.0, 5.0, 0.1 * number + 0.25]), atol=2e-4)
    # confidences 0.35, 0.45 are below the threshold: images 0, 1, 2 count as empty
    assert (summary.images, summary.reused, summary.without_person, summary.several_people) == (6, 0, 3, 0)
    assert summary.histogram == (3, 0, 0, 1, 1, 1, *[0] * 13)
    assert summary.landmarks == pytest.approx(12 / 6)
    assert summary.confidence["0.5"] == pytest.approx(0.65)
    assert summary.confidence["0.95"] == pytest.approx(0.75)
    assert [path.stem for path in summary.worst] == ["0", "1", "2", "3", "4", "5"]
    text = str(summary)
    assert "without a person: 3 (50.0%)" in text
    assert "2.0 of 18 an image" in text
    assert json.loads(json.dumps(summary.to_dict()))["histogram"][0] == 3


def test_part_maps_are_written_and_counted(tmp_path):
    paths = make_images(tmp_path)
    summary = build_parsing(tmp_path, Maker(), probabilities=True)
    folder = PartFolder(tmp_path / "parts", tmp_path)
    assert folder.labels == "eanet8"
    for path in paths:
        number = int(path.stem)
        labels = np.array(Image.open(tmp_path / "parts" / path.relative_to(tmp_path)))
        assert labels.shape == SIZE
        assert (labels[:number] == 2).all()
        assert not labels[number:].any()
        soft = folder(Sample(path, "1", "1"), SIZE)
        assert torch.equal(soft.part_map[1, :number], torch.ones(number, SIZE[1]))
        assert (tmp_path / "parts" / path.relative_to(tmp_path)).with_suffix(".npz").is_file()
    assert (summary.images, summary.without_person) == (6, 1)
    assert summary.part_areas["torso"] == pytest.approx(15 / 6 / SIZE[0])
    assert summary.part_seen == {**dict.fromkeys(summary.part_seen, 0.0), "torso": 5 / 6}
    assert summary.worst[0].stem == "0"
    assert "torso" in str(summary)


@pytest.mark.parametrize("build", [build_pose, build_parsing])
def test_an_interrupted_call_goes_on_where_it_stopped(tmp_path, build):
    make_images(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, Maker(break_at=4), batch_size=1)
    second = Maker()
    summary = build(tmp_path, second, batch_size=1)
    assert second.asked == [4], "query comes before train: 1, 3, 5, 0, 2 were done"
    assert (summary.images, summary.reused) == (6, 5)
    fresh = build(tmp_path, Maker(), tmp_path / "fresh")
    assert fresh.to_dict() == {**summary.to_dict(), "reused": 0}


def test_damaged_or_outdated_files_are_made_again(tmp_path):
    paths = make_images(tmp_path)
    build_pose(tmp_path, Maker())
    (tmp_path / "pose/query/1.json").write_text("{")
    (tmp_path / "pose/query/3.json").unlink()
    os.utime(paths[-1], ns=(2 * 10**18, 2 * 10**18))
    again = Maker()
    assert build_pose(tmp_path, again).reused == 3
    assert sorted(again.asked) == [1, 3, 4]
    build_parsing(tmp_path, Maker())
    with_probabilities = Maker()
    build_parsing(tmp_path, with_probabilities, probabilities=True)
    assert len(with_probabilities.asked) == 6, "their probabilities were not there"


def test_two_makers_do_not_share_a_folder(tmp_path):
    make_images(tmp_path)
    build_pose(tmp_path, Maker())
    with pytest.raises(UsageError, match=r"pose holds cues made by maker@\w+, not by maker@\w+; choose another folder"):
        build_pose(tmp_path, Maker(version=2))
    with pytest.raises(KeyboardInterrupt):
        build_pose(tmp_path, Maker(version=2, break_at=0), batch_size=1, overwrite=True)
    last = Maker(version=2)
    assert build_pose(tmp_path, last).reused == 3, "what the first maker left does not pass for the second's"
    assert sorted(last.asked) == [0, 2, 4]
    (tmp_path / "parts/query").mkdir(parents=True)
    with pytest.raises(UsageError, match="parts holds cues of unknown origin"):
        build_parsing(tmp_path, Maker())
    (tmp_path / "parts/labels.json").write_text("[]")
    with pytest.raises(UsageError, match="something unreadable"):
        build_parsing(tmp_path, Maker())


def test_a_cache_serves_every_folder(tmp_path):
    make_images(tmp_path / "one")
    make_images(tmp_path / "two")
    cache, maker = CueCache(tmp_path / "cache"), Maker()
    for name in ("one", "two"):
        build_pose(tmp_path / name, maker, cache=cache)
        build_parsing(tmp_path / name, maker, cache=cache)
    assert sorted(maker.asked) == [0, 1, 2, 3, 4, 5]


def test_unreadable_images(tmp_path):
    paths = make_images(tmp_path)
    paths[2].write_bytes(b"no image")
    with pytest.raises(DataError, match=r"5\.png: cannot be read as an image"):
        build_pose(tmp_path, Maker())
    summary = build_pose(tmp_path, Maker(), on_corrupt="skip")
    assert summary.images == 5
    assert len(summary.skipped) == 1
    assert "5.png" in summary.skipped[0]
    assert "first skipped" in str(summary)
    with pytest.raises(UsageError, match='on_corrupt must be "fatal" or "skip"'):
        build_pose(tmp_path, Maker(), on_corrupt="ignore")


def test_a_data_set_its_splits_and_lists_of_files(tmp_path):
    paths = make_images(tmp_path)
    samples = tuple(Sample(path, "1", "1") for path in paths)
    dataset = ReidDataset("own", tmp_path, samples[3:], samples[:3], samples[1:3], Protocol("own"))
    assert [s.path for s in listed_images(dataset)[0]] == paths, "an image of two splits is there once"
    assert listed_images(dataset)[1] == tmp_path
    assert build_pose(dataset, Maker(), tmp_path / "out").images == 6
    assert (tmp_path / "out/pose/query/1.json").is_file()
    assert [s.path for s in listed_images(paths[:2])[0]] == paths[:2]
    assert listed_images(paths[:2])[1] == tmp_path / "query"
    for hidden in (tmp_path / "parts/a.png", tmp_path / ".thumbs/a.png"):
        hidden.parent.mkdir()
        hidden.write_bytes(paths[0].read_bytes())
    assert [s.path for s in listed_images(tmp_path)[0]] == paths
    with pytest.raises(UsageError, match="there are no images"):
        build_pose([], Maker())
    with pytest.raises(DataError, match="no such folder"):
        build_pose(tmp_path / "none", Maker())


# -- sources instead of providers ------------------------------------------------------------------------------------


def test_folders_of_other_tools_are_imported(tmp_path):
    root, foreign = tmp_path / "data", tmp_path / "foreign"
    paths = make_images(root)
    foreign.mkdir()
    people = [[float(k + 1), 2.0, 0.9] * found + [0.0] * 3 * (17 - found) for k, found in enumerate((3, 17))]
    listed = [{"image_id": "1.png", "keypoints": person, "score": 1.0} for person in people]
    (foreign / "alphapose-results.json").write_text(json.dumps(listed))
    summary = build_pose(root, PoseFolder(foreign, root))
    assert (summary.images, summary.without_person, summary.several_people, summary.without_file) == (1, 0, 1, 5)
    assert "without a file to import, and left out: 5" in str(summary)
    imported = PoseFolder(root / "pose", root)
    assert imported.people(Sample(paths[0], "1", "1")).shape == (2, 18, 3), "everybody comes along"
    assert [imported.has(Sample(path, "1", "1")) for path in paths] == [True, *[False] * 5], (
        "no file does not become nobody"
    )
    again = build_pose(root, PoseFolder(foreign, root))
    assert (again.reused, again.without_file) == (1, 5)
    with pytest.raises(UsageError, match="read and written at once"):
        build_pose(root, PoseFolder(root / "pose", root))
    for path in paths:
        target = tmp_path / "lip" / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full(SIZE, 13, np.uint8)).save(target)
    lip = PartFolder(tmp_path / "lip", root, labels="lip20", grouping="labels")
    summary = build_parsing(root, lip)
    assert summary.part_areas["face"] == 1.0
    assert json.loads((root / "parts/labels.json").read_text())["labels"] == "lip20"
    cues = PartFolder(root / "parts", root, grouping="sgam5")(Sample(paths[0], "1", "1"), SIZE)
    assert float(cues.part_map[0].min()) == 1.0


@pytest.mark.parametrize(("grouping", "labels"), [("sorn8", "eanet8"), ("sgam5", "sgam5"), ("sorn2", "mask")])
def test_fields_are_imported_as_a_grouping(tmp_path, grouping, labels):
    root = tmp_path / "data"
    paths = make_images(root, 1)
    fields = np.full((36, 6, 3), 0.3, np.float32)
    fields[0, :2] = 0.9  # the nose, at the top; elsewhere nothing is likelier than the background
    (tmp_path / "masks/train").mkdir(parents=True)
    np.save(tmp_path / "masks/train/0.png.confidence_fields.npy", fields)
    source = PartFolder(tmp_path / "masks", root, labels="bpbreid36", grouping=grouping)
    summary = build_parsing(root, source, tmp_path / "out")
    assert json.loads((tmp_path / "out/parts/labels.json").read_text())["labels"] == labels
    values = np.array(Image.open(tmp_path / "out/parts" / paths[0].relative_to(root)))
    assert (values[:6] == 1).all()
    assert not values[12:].any()
    assert summary.without_person == 0
    with pytest.raises(UsageError, match="overlapping fields"):
        build_parsing(
            root, PartFolder(tmp_path / "masks", root, labels="bpbreid36", grouping="labels"), tmp_path / "two"
        )
    with pytest.raises(UsageError, match="those of no label set"):
        build_parsing(
            root, PartFolder(tmp_path / "masks", root, labels="bpbreid36", grouping="sorn5"), tmp_path / "two"
        )


def test_exact_and_degraded_cues_are_written(tmp_path):
    root = tmp_path / "world"
    paths = make_images(root)
    lines = []
    for path in paths:
        place = path.relative_to(root).as_posix()
        landmarks = [[2.0, 3.0, 1]] * 18
        others = [{"person": "2", "landmarks": [[4.0, 5.0, 1]] * 18}]
        lines.append(json.dumps({"path": place, "landmarks": landmarks, "others": others}))
        (root / "parts" / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full(SIZE, 3, np.uint8)).save(root / "parts" / place)
    (root / "truth.jsonl").write_text("\n".join(lines))
    exact = ExactCues(root, grouping="labels")
    summary = build_pose(root, exact, tmp_path / "exact")
    assert (summary.landmarks, summary.several_people) == (18.0, 0)
    assert len(PoseFolder(tmp_path / "exact/pose", root).people(Sample(paths[0], "1", "1"))) == 1, (
        "whom the image is of"
    )
    assert build_parsing(root, exact, tmp_path / "exact").part_areas["upper_arm"] == 1.0
    with pytest.raises(UsageError, match="read and written at once"):
        build_parsing(root, exact)
    spoiled = Degraded(exact, Degradation(no_person=1.0), root)
    assert build_pose(root, spoiled, tmp_path / "none").without_person == 6
    assert build_parsing(root, spoiled, tmp_path / "none").without_person == 6
    other = Degraded(exact, Degradation(other_person=1.0), root)
    summary = build_pose(root, other, tmp_path / "other")
    assert summary.several_people == 0, "only the one who is taken for the person"
    written = PoseFolder(tmp_path / "other/pose", root)(Sample(paths[0], "1", "1"), SIZE)
    assert written.keypoints[0].tolist() == [4.0, 5.0, 1.0]
    with pytest.raises(UsageError, match=r"other/pose holds cues made by degraded@"):
        build_pose(root, Degraded(exact, Degradation(other_person=0.5), root), tmp_path / "other")


def test_wrong_uses(tmp_path):
    make_images(tmp_path, 1)
    (tmp_path / "parts").mkdir()
    with pytest.raises(UsageError, match="PartFolder gives foreground, part_map, not keypoints"):
        build_pose(tmp_path, PartFolder(tmp_path / "parts", tmp_path))
    with pytest.raises(UsageError, match="batch_size must be at least 1"):
        build_pose(tmp_path, Maker(), batch_size=0)
    with pytest.raises(UsageError, match="of function with grouping 'labels' are those of no label set"):
        build_parsing(tmp_path, lambda sample, size: Cues())

    class Short(Maker):
        def __call__(self, images):
            return [Cues(part_map=torch.zeros(3, *SIZE)) for _ in images]

    with pytest.raises(UsageError, match="expected part maps of the 7 parts of 'eanet8', got 3"):
        build_parsing(tmp_path, Short(), tmp_path / "out")


# -- overlays ---------------------------------------------------------------------------------------------------------


def test_cues_are_drawn_where_they_are():
    image = Image.new("RGB", (40, 80), (120, 120, 120))
    plain = np.array(draw_cues(image, Cues(), height=80))
    assert (plain == 120).all()
    keypoints = torch.zeros(18, 3)
    keypoints[2], keypoints[3] = torch.tensor([10.0, 20.0, 0.9]), torch.tensor([10.0, 50.0, 0.9])
    keypoints[5] = torch.tensor([30.0, 20.0, 0.1])
    drawn = np.array(draw_cues(image, Cues(keypoints=keypoints), height=80)).astype(int)
    changed = (drawn != 120).any(2)
    assert changed[20, 10]
    assert changed[35, 10], "the bone"
    assert not changed[:, 20:].any(), "below the threshold"
    assert drawn[35, 10, 0] > drawn[35, 10, 2], "the person's right is orange"
    maps = torch.zeros(7, 80, 40)
    maps[0, :40] = 1.0
    tinted = np.array(draw_cues(image, Cues(part_map=maps), height=80))
    assert (tinted[:38] != 120).any(2).all()
    assert (tinted[42:] == 120).all()
    dimmed = np.array(draw_cues(image, Cues(foreground=maps[0]), height=80))
    assert (dimmed[:38] == 120).all()
    assert (dimmed[42:] == 36).all()
    with pytest.raises(ShapeError, match="foreground must be of the image's size"):
        draw_cues(image, Cues(foreground=torch.zeros(3, 3)))
    with pytest.raises(ShapeError, match="at least 8"):
        draw_cues(image, Cues(), height=4)


def test_a_sheet_shows_the_worst_and_a_spread(tmp_path):
    paths = make_images(tmp_path)
    seen = []

    def source(sample, size):
        seen.append(sample.path)
        return Cues(foreground=torch.ones(size))

    sheet = overlay_sheet(
        tmp_path, source, worst=[paths[4], paths[2], tmp_path / "elsewhere.png"], count=4, columns=2, height=48
    )
    assert seen == [paths[4], paths[2], paths[0], paths[5]]
    assert sheet.mode == "RGB"
    assert sheet.height > 2 * 48
    seen.clear()
    overlay_sheet(tmp_path, source, count=50, height=48)
    assert seen == paths
    seen.clear()
    overlay_sheet(tmp_path, source, count=1, height=48)
    assert seen == paths[:1]
    with pytest.raises(UsageError, match="count must be at least 1"):
        overlay_sheet(tmp_path, source, count=0)
