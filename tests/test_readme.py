"""The README tells the truth: its Python runs, its commands parse, its tables are current, its links lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from occlureid.cli import _parser
from occlureid.runs import RunSettings, read_recipe, recipes

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def blocks(language: str) -> list[str]:
    return [m for page in PAGES for m in re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), flags=re.S)]


def test_the_generated_tables_are_current() -> None:
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], check=False)
    assert done.returncode == 0, "run: make docs"


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.strip().splitlines()[0][:40])
def test_python_blocks_run(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2 if "Gallery.create" in code else 1):  # who tries it tries it again
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert "rank-1" in capfd.readouterr().out


def commands() -> list[str]:
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("occlureid ")]


@pytest.mark.parametrize("command", commands())
def test_commands_parse(command: str) -> None:
    assert _parser().parse_args(shlex.split(command)[1:]).command


def test_make_targets_of_the_first_screen_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    first_screen = (ROOT / "README.md").read_text().splitlines()[:40]
    targets = [line.split()[1] for line in first_screen if line.startswith("make ")]
    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{target}:", makefile, flags=re.M) for target in targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("name", recipes())
def test_recipes_are_valid_settings(name: str) -> None:
    from occlureid import methods

    settings = RunSettings.build(read_recipe(name))
    methods.load(settings.method).Config.build(settings.model)
    lines = (ROOT / "src" / "occlureid" / "recipes" / f"{name}.yaml").read_text().splitlines()
    assert lines[0].startswith("# ")


def test_the_papers_values() -> None:
    """Section 5.2 of PGFA, as the recipes give it."""
    pgfa, partial = (RunSettings.build(read_recipe(name)) for name in ("pgfa", "pgfa-partial"))
    assert (pgfa.model["size"], pgfa.model["parts"], pgfa.model["balance"], pgfa.model["confidence"]) == (
        [384, 128],
        3,
        0.2,
        0.2,
    )
    assert (pgfa.train.batch_size, pgfa.train.epochs, pgfa.train.lr, pgfa.train.milestones) == (32, 60, 0.1, (40,))
    assert (partial.model["parts"], partial.model["balance"], partial.train.lr) == (6, 0.9, 0.02)
    assert pgfa.initial_weights == partial.initial_weights == "imagenet"
