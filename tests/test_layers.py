"""Imports follow the arrows: the source is walked, imports inside functions and under TYPE_CHECKING included."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import occlureid

PACKAGE = Path(occlureid.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# what a layer may import of ours, by the first name below occlureid; a layer may always import itself
ALLOWED = {
    "errors": set(),
    "ids": {"errors"},
    "dates": set(),
    "arithmetic": {"errors"},
    "types": {"errors", "ids"},
    "staging": set(),
    "config": {"errors"},
    "guidance": {"errors", "types"},
    "matching": {"errors", "arithmetic", "types"},
    "evaluation": {"errors", "types", "matching"},
    "gallery": {"errors", "ids", "dates", "arithmetic", "types", "matching"},
    "plots": {"errors", "types", "matching"},
    "report": {"errors", "types", "matching", "evaluation", "plots", "described"},
    "data": {"errors", "ids", "types", "config", "guidance", "staging"},
    "cues": {"errors", "arithmetic", "types", "config", "data", "models", "plots"},
    "occlude": {"errors", "types", "data", "cues", "synthetic", "staging"},
    "doctor": {"errors", "types", "data", "cues", "evaluation"},
    "synthetic": {"errors", "types", "config", "plots", "staging"},
    "models": {"errors", "types", "config", "matching"},
    "methods": {"errors", "types", "config", "matching", "models", "data", "cues", "guidance", "coparsing"},
    "describing": {"errors", "arithmetic", "types", "matching", "data", "cues", "methods"},
    "described": {
        "errors",
        "arithmetic",
        "types",
        "matching",
        "evaluation",
        "data",
        "cues",
        "methods",
        "describing",
    },
    "training": {
        "errors",
        "arithmetic",
        "types",
        "config",
        "guidance",
        "data",
        "matching",
        "models",
        "evaluation",
        "methods",
        "described",
    },
    "coparsing": {"errors", "arithmetic", "types", "config", "guidance", "data", "cues", "methods", "plots"},
    "service": {"errors", "types", "config", "matching", "gallery", "data", "describing"},
    "scaleout": {
        "errors",
        "arithmetic",
        "types",
        "config",
        "matching",
        "gallery",
        "data",
        "cues",
        "models",
        "methods",
        "described",
    },
    "figures": {"errors", "types", "matching", "data", "cues", "coparsing", "methods", "training", "plots"},
    "printed": {"errors", "matching", "evaluation", "described", "methods", "runs"},
    "transfer": {"errors", "data", "described", "ablation", "runs"},
    "ablation": {
        "errors",
        "config",
        "matching",
        "evaluation",
        "data",
        "methods",
        "described",
        "training",
        "runs",
    },
    "benchmark": {
        "errors",
        "arithmetic",
        "types",
        "config",
        "matching",
        "evaluation",
        "gallery",
        "data",
        "cues",
        "synthetic",
        "methods",
        "described",
        "plots",
        "runs",
        "zoo",
    },
    "parsing": {"errors", "arithmetic", "types", "config", "data", "cues", "matching", "models", "methods", "training"},
    "landmarks": {
        "errors",
        "arithmetic",
        "types",
        "config",
        "data",
        "cues",
        "matching",
        "models",
        "methods",
        "training",
    },
    "zoo": {
        "errors",
        "types",
        "config",
        "matching",
        "data",
        "cues",
        "models",
        "methods",
        "training",
        "parsing",
        "landmarks",
        "synthetic",
        "describing",
    },
}


def imports(path: Path) -> list[str]:
    """Dotted names below occlureid that a module imports, wherever in the file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                found.append("relative import")
            elif node.module == "occlureid":
                found += [alias.name for alias in node.names]
            elif node.module and node.module.startswith("occlureid."):
                found.append(node.module.removeprefix("occlureid."))
        elif isinstance(node, ast.Import):
            found += [a.name.removeprefix("occlureid.") for a in node.names if a.name.startswith("occlureid.")]
    return found


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_follow_the_arrows(path: Path) -> None:
    own = layer(path)
    for name in imports(path):
        target = name.split(".")[0]
        assert name != "relative import", f"{path}: write the absolute name"
        if own not in ("cli", target):
            assert target not in {"cli", "service"}, (
                f"{path} imports {name}: nobody imports the command line or the service"
            )
        if own in ALLOWED:
            assert target == own or target in ALLOWED[own], (
                f"{path} imports {name}; {own} may import {sorted(ALLOWED[own])}"
            )


def test_methods_never_import_each_other() -> None:
    for path in (PACKAGE / "methods").glob("*.py"):
        others = [n for n in imports(path) if n.startswith("methods.") and not n.startswith("methods._")]
        assert not others, f"{path} imports {others}"


def test_every_layer_is_ruled() -> None:
    known = {*ALLOWED, "__init__", "cli", "runs", "demo", "occlude", "service"}
    assert {layer(path) for path in MODULES} <= known


def test_no_module_is_a_drawer() -> None:
    names = {path.stem for path in MODULES}
    assert not names & {"utils", "common", "misc", "helpers"}


def test_modules_stay_readable() -> None:
    long = {p.relative_to(PACKAGE).as_posix(): n for p in MODULES if (n := len(p.read_text().splitlines())) > 400}
    assert not long


@pytest.mark.parametrize(
    "statement", ["import occlureid", "import occlureid.cli; occlureid.cli._parser()", "import occlureid.config"]
)
def test_light_imports_stay_free_of_torch(statement: str) -> None:
    check = f"import sys; {statement}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_public_names_all_resolve() -> None:
    for name in occlureid.__all__:
        assert getattr(occlureid, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = occlureid.nonsense
