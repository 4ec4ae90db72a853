"""Every command that the doctor advises, run as it is printed."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from occlureid.cli import main
from occlureid.doctor import examine


@pytest.mark.parametrize("cues", ["none", "unmatched", "damaged"])
def test_what_the_doctor_says_to_run_runs(
    rendered_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], cues: str
) -> None:
    """For images without cues and beside unusable ones, in a folder with blanks in its name."""
    world = tmp_path / "a copy of the world"
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        shutil.copytree(rendered_world / folder, world / folder)
    if cues != "none":
        for folder, suffix in (("pose", "json"), ("parts", "png")):
            (world / folder / "query").mkdir(parents=True)
            (world / folder / "query" / f"other.{suffix}").write_text("{" if cues == "damaged" else '{"people": []}')
    advised: list[str] = []
    for finding in examine(world, "market1501").findings:
        advised += re.findall(r'"occlureid ([^"]*)"', finding.advice)
    assert len(advised) == 2, "one for landmarks, one for part maps"
    for command in advised:
        assert main(shlex.split(command)) == 0, f"{command}: {capsys.readouterr().err}"
    after = [finding for finding in examine(world, "market1501").findings if "occlureid cues" in finding.advice]
    assert not after


def test_what_the_doctor_says_to_run_for_a_csv_file_runs(
    rendered_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = sorted((rendered_world / "query").iterdir())[0]
    rows = ["path; person; camera; split"]
    for name, split in (("q.jpg", "query"), ("g.jpg", "gallery")):
        shutil.copy(query, tmp_path / name)
        rows.append(f'"{name}"; ann; {split}; {split}')
    (tmp_path / "data.csv").write_text("\n".join(rows))
    found = [one.advice for one in examine(tmp_path / "data.csv").findings]
    advised = [command for advice in found for command in re.findall(r'"occlureid ([^"]*)"', advice)]
    assert len(advised) == 2
    for command in advised:
        assert main(shlex.split(command)) == 0, f"{command}: {capsys.readouterr().err}"
    assert not [one for one in examine(tmp_path / "data.csv").findings if "occlureid cues" in one.advice]
