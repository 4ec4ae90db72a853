"""The commands for data sets and cues, run as a user runs them."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from occlureid.cli import main
from occlureid.cues import CueCache, PartFolder, PoseFolder
from occlureid.data import open_dataset
from tests.layout_trees import OCCLUDED_REID, lay
from tests.test_build_occluded_duke import duke, lists  # noqa: F401 (fixtures)
from tests.test_cues_providers import parsing_model, pose_model  # noqa: F401 (fixtures)


def bare_copy(world: Path, root: Path) -> Path:
    """The images of a world, and nothing else."""
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        shutil.copytree(world / folder, root / folder)
    return root


def test_doctor_says_what_is_wrong_and_what_to_do(
    rendered_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(rendered_world)]) == 0
    assert "no errors" in capsys.readouterr().out
    broken = bare_copy(rendered_world, tmp_path / "broken")
    victim = sorted((broken / "query").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:200])
    assert main(["doctor", str(broken), "--layout", "market1501", "--json"]) == 3
    findings = {found["code"]: found for found in json.loads(capsys.readouterr().out)["findings"]}
    assert [name.split(":")[0] for name in findings["truncated"]["names"]] == [f"query/{victim.name}"]
    assert findings["truncated"]["advice"]
    assert main(["doctor", str(broken), "--layout", "market1501", "--names-only"]) == 0
    assert main(["doctor", str(tmp_path / "nowhere")]) == 3


def test_occlude_writes_a_copy_that_opens(
    rendered_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["occlude", str(rendered_world), "--out", str(tmp_path / "hidden"), "--visible", "0.4,0.7"]
    assert main([*command, "--kinds", "tree,bin", "--splits", "gallery"]) == 0
    assert "measured on part labels" in capsys.readouterr().out
    before, after = open_dataset(rendered_world), open_dataset(tmp_path / "hidden")
    assert [s.person for s in after.gallery] == [s.person for s in before.gallery]
    assert {s.obstacle for s in after.gallery} <= {"tree", "bin"}
    assert main(command) == 3  # the folder is there now
    assert main([*command[:-1], "0.4"]) == 2
    assert "two numbers such as 0.3,0.8" in capsys.readouterr().err


def test_occluded_duke_is_built(
    duke: Path,  # noqa: F811
    lists: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["occluded-duke", str(duke), "--lists", str(lists), "--out", str(tmp_path / "out")]
    assert main(command) == 3
    assert "dadffee7" in capsys.readouterr().err  # a list made up for a test is not the published one


def test_cues_from_a_model_through_a_cache(
    rendered_world: Path,
    pose_model: Path,  # noqa: F811
    parsing_model: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    images = bare_copy(rendered_world, tmp_path / "images")
    cache = tmp_path / "cache"
    command = ["cues", "pose", str(images), "--provider", "vitpose", "--model", str(pose_model), "--cache", str(cache)]
    assert main([*command, "--batch-size", "4"]) == 0
    shown = capsys.readouterr().out
    assert "landmarks" in shown
    assert shown.strip().endswith("contact_sheet.jpg")
    with Image.open(images / "pose" / "contact_sheet.jpg") as sheet:
        assert sheet.width > 200
    samples = open_dataset(images, "market1501").query
    assert all(PoseFolder(images / "pose", images).has(sample) for sample in samples)
    assert main([*command, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["reused"] == summary["images"] > 0

    parsing = [
        "cues",
        "parsing",
        str(images),
        "--provider",
        "segformer",
        "--model",
        str(parsing_model),
        "--probabilities",
    ]
    assert main([*parsing, "--cache", str(cache)]) == 0
    assert "area" in capsys.readouterr().out
    assert PartFolder(images / "parts", images).has(samples[0])

    held = sum(CueCache(cache).providers().values())
    assert main(["cues", "erase", str(cache), str(samples[0].path)]) == 0
    assert "2 entries removed" in capsys.readouterr().out
    assert main(["cues", "erase", str(cache), "--all"]) == 0
    assert f"{held - 2} entries removed" in capsys.readouterr().out


def test_exact_degraded_and_imported_cues(
    rendered_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cues"
    world = str(rendered_world)
    assert main(["cues", "pose", world, "--provider", "exact", "--out", str(out / "exact")]) == 0
    capsys.readouterr()
    spoiled = ["--provider", "degraded", "--set", "no_person=1", "--out", str(out / "bad"), "--json"]
    assert main(["cues", "pose", world, *spoiled]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["without_person"] == summary["images"] > 0
    lip = ["cues", "parsing", world, "--provider", "import", "--from", str(rendered_world / "parsing")]
    assert main([*lip, "--labels", "lip20", "--out", str(out / "lip")]) == 0
    sample = open_dataset(rendered_world).query[0]
    assert PartFolder(out / "lip" / "parts", rendered_world, grouping="labels").has(sample)
    assert main([*lip, "--out", str(out / "lip2")]) == 2
    assert "needs --labels" in capsys.readouterr().err


def test_a_set_without_training_images_takes_those_of_another(
    rendered_world: Path, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = lay(tmp_path / "occluded_reid", OCCLUDED_REID, pictures)
    small = ["initial_weights=none", "model.backbone=resnet10t", "model.size=[64,32]", "train.epochs=1"]
    small += ["train.workers=0", "train.accelerator=cpu", "train.batch_size=4", "train.instances=2"]
    settings = [word for one in small for word in ("--set", one)]
    command = ["train", str(target), "--layout", "occluded-reid", "--method", "baseline", *settings]
    assert main([*command, "--out", str(tmp_path / "none")]) == 3
    assert "has no training images" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "run"), "--also", str(rendered_world)]) == 0
    assert (tmp_path / "run" / "weights.safetensors").is_file()


WRONG = [
    (["cues"], 2, ""),
    (["cues", "pose", "{world}", "--provider", "openpose"], 2, "no provider 'openpose'; choose one of: vitpose"),
    (["cues", "pose", "{world}", "--provider", "import"], 2, "goes with --from FOLDER"),
    (["cues", "pose", "{world}", "--provider", "exact", "--set", "miss=1"], 2, "goes with --provider degraded"),
    (["cues", "pose", "{world}", "--provider", "degraded", "--set", "mis=1"], 2, "did you mean 'miss'"),
    (["cues", "pose", "{tmp}", "--provider", "exact"], 4, "truth.jsonl"),
    (["cues", "parsing", "{world}", "--provider", "segformer", "--model", "{tmp}/none"], 4, "save_pretrained"),
    (["cues", "erase", "{tmp}"], 2, "say what goes"),
    (["cues", "erase", "{tmp}/none", "--all"], 2, "there is no such folder"),
    (["train", "{world}", "--recipe", "pgfa", "--also", "{world}", "--out", "{tmp}/x"], 2, "is given twice"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), WRONG, ids=[" ".join(w[0][:4]) + w[2][:9] for w in WRONG])
def test_wrong_input_ends_with_one_clear_message(
    arguments: list[str],
    code: int,
    message: str,
    rendered_world: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([argument.format(world=rendered_world, tmp=tmp_path) for argument in arguments]) == code
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
