"""A method of one's own: a module on Python's path or in the current folder, with or without a dot in its name."""

import sys
from pathlib import Path

import pytest

from occlureid import methods
from occlureid.cli import main
from occlureid.errors import DataError, UsageError

SMALL = {"backbone": "resnet10t", "size": (64, 32)}
MINE = "from occlureid.methods.baseline import Baseline\n\nclass Mine(Baseline):\n    pass\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with modules in it, none of which stays loaded."""
    (tmp_path / "plainmethod.py").write_text(f"import besidemethod\n{MINE}")
    (tmp_path / "besidemethod.py").write_text("")
    (tmp_path / "brokenmethod.py").write_text("def (\n")
    (tmp_path / "lackingmethod.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "foldermethod").mkdir()
    (tmp_path / "ownpack").mkdir()
    (tmp_path / "ownpack" / "inside.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    for name in ("plainmethod", "besidemethod", "ownpack", "ownpack.inside"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_module_of_the_current_folder(folder: Path) -> None:
    before = list(sys.path)
    assert methods.load("plainmethod").name() == "plainmethod"
    assert methods.load("ownpack.inside").name() == "ownpack.inside"
    assert sys.path == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absentmethod", "no method 'absentmethod'; choose one of: baseline.*or a module of your own"),
        ("plainmethod.py", "named without folder and suffix"),
        ("./plainmethod", "named without folder and suffix"),
        ("", "no method ''; choose one of"),
        ("plain-method", "no method 'plain-method'; choose one of"),
        (".plainmethod", "no method '.plainmethod'; choose one of"),
        ("foldermethod", "no method 'foldermethod'; choose one of"),
        ("brokenmethod", r"'brokenmethod' cannot be imported: .*brokenmethod\.py, line 1"),
        ("lackingmethod", "'lackingmethod' cannot be imported: .*nothing_of_this_name"),
        ("besidemethod", r"besidemethod must hold exactly one Method, found \[\]"),
        ("_header", "no method '_header'"),
    ],
)
def test_what_is_no_method_says_so(folder: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        methods.load(name)


def test_a_file_of_weights_does_not_choose_what_is_imported(folder: Path) -> None:
    methods.save(methods.create("plainmethod", 2, SMALL), folder / "w.safetensors")
    del sys.modules["plainmethod"]
    with pytest.raises(DataError, match="outside the package"):
        methods.restore(folder / "w.safetensors")
    assert "plainmethod" not in sys.modules
    assert methods.restore(folder / "w.safetensors", methods.load("plainmethod")).name() == "plainmethod"


def test_the_command_line_trains_it(folder: Path, rendered_world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["initial_weights=none", "model.backbone=resnet10t", "model.size=[64,32]", "train.epochs=1"]
    settings += ["train.batch_size=4", "train.workers=0", "train.accelerator=cpu", "train.milestones=[]"]
    command = ["train", str(rendered_world), "--method", "plainmethod", "--out", "run"]
    assert main([*command, *(word for one in settings for word in ("--set", one))]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "run/weights.safetensors"
    assert "method: plainmethod" in (folder / "run" / "settings.yaml").read_text()
    assert main(["methods", "plainmethod"]) == 0
