"""What the package really ships: every file has its record and its card, and every model still says what its record says."""

import tomllib
from pathlib import Path

import pytest

from occlureid.zoo import load, read_card, read_record
from occlureid.zoo.canonical import check_canonical
from occlureid.zoo.card import BEGIN, END, block
from occlureid.zoo.catalogue import FOLDER, checked_path, default_name
from occlureid.zoo.record import MOST_BYTES, MOST_BYTES_IN_ALL

ROOT = Path(__file__).parents[2]
NAMES = sorted({path.stem for path in FOLDER.iterdir() if not path.name.startswith(".")})
SUFFIXES = {".safetensors", ".json", ".md"}


def incomplete(folder: Path) -> list[str]:
    """What is not a whole model: a file without a record, a record without a card, or anything else."""
    found: dict[str, set[str]] = {}
    for path in folder.iterdir():
        if not path.name.startswith("."):
            found.setdefault(path.stem, set()).add(path.suffix)
    return sorted(f"{name} {sorted(suffixes)}" for name, suffixes in found.items() if suffixes != SUFFIXES)


def test_every_file_has_its_record_and_card_and_the_reverse() -> None:
    assert not incomplete(FOLDER)


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_a_missing_file_would_be_seen(zoo: Path, tmp_path: Path, suffix: str) -> None:
    for path in zoo.iterdir():
        if path.name != f"sorn-tiny{suffix}":
            (tmp_path / path.name).touch()
    assert incomplete(tmp_path) == [f"sorn-tiny {sorted(SUFFIXES - {suffix})}"]


def test_sizes() -> None:
    sizes = [path.stat().st_size for path in FOLDER.glob("*.safetensors")]
    assert all(size <= MOST_BYTES for size in sizes)
    assert sum(sizes) <= MOST_BYTES_IN_ALL
    assert (MOST_BYTES, MOST_BYTES_IN_ALL) == (25_000_000, 60_000_000)


def test_the_wheel_takes_the_files_along() -> None:
    target = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert FOLDER.relative_to(ROOT).is_relative_to(target["packages"][0])
    ignored = (ROOT / ".gitignore").read_text().split()  # hatchling leaves out what git ignores
    assert not [
        line for line in ignored if "safetensors" in line or "weights" in line or line.endswith((".json", ".md"))
    ]


@pytest.mark.parametrize("task", ["embedder", "parser", "landmarks"])
def test_there_is_at_most_one_default(task: str) -> None:
    names = [name for name in NAMES if read_record(name).task == task]
    assert default_name(task) in (names or [None])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_says_what_its_record_says(name: str) -> None:
    model = load(name)
    check_canonical(model, model.record.canonical)


@pytest.mark.parametrize("name", NAMES)
def test_its_record_is_current(name: str) -> None:
    record = read_record(name)
    assert checked_path(record).stat().st_size == record.bytes
    assert record.data.origin == "rendered only"
    for cue_model in record.cues.values():
        assert read_record(cue_model).task != "embedder"


@pytest.mark.parametrize("name", NAMES)
def test_its_card_has_the_records_figures_and_all_sections(name: str) -> None:
    card = read_card(name)
    assert card[card.index(BEGIN) : card.index(END) + len(END)] == block(read_record(name))
    for heading in ("What it is for", "What it must not be used for", "What it was never shown", "Limits"):
        assert f"\n## {heading}\n" in card


def test_released_models_pass_the_same(zoo: Path) -> None:
    assert not incomplete(zoo)
    for name in ("sorn-tiny", "parser-tiny", "landmarks-tiny", "pgfa-tiny"):
        model = load(name, folder=zoo)
        check_canonical(model, model.record.canonical)
