"""What is declared and what is pinned: every dependency has one version, and that version is one the package allows."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def declared() -> list[Requirement]:
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    found = map(Requirement, (*PROJECT["dependencies"], *extras))
    return [one for one in found if one.name != "occlureid"]


def pinned() -> dict[str, Version]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.+]*", line) for line in lines)
    found = {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in lines)}
    assert len(found) == len(lines)
    return found


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_every_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pinned()[canonicalize_name(requirement.name)])


def test_what_dependencies_need_is_pinned_too() -> None:
    """Walks what is installed here. What a package itself pins (torch its CUDA libraries) needs no line."""
    waiting, seen = declared(), set()
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if (name, *sorted(one.extras)) in seen:
            continue
        seen.add((name, *sorted(one.extras)))
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system or Python
        for text in needs:
            need = Requirement(text)
            wanted = need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *one.extras))
            if wanted and not any(part.operator == "==" for part in need.specifier):
                waiting.append(need)
    known = {name for name, *_ in seen}
    assert known > {"sympy", "starlette"}  # what torch and FastAPI need: the walk went somewhere
    assert known - pinned().keys() <= {canonicalize_name(name) for name in ("pip",)}


@pytest.mark.parametrize(
    ("name", "tried"),
    [("torch", ("2.6.0", "2.13.0+cpu", "2.14.1+cu130")), ("torchvision", ("0.21.0", "0.28.0", "0.29.1"))],
)
def test_releases_that_users_have_are_allowed(name: str, tried: tuple[str, ...]) -> None:
    [requirement] = [one for one in declared() if one.name == name]
    assert all(requirement.specifier.contains(version) for version in tried)
