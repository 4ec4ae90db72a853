"""Modules of methods: those of this package by file name, and others as Python finds them or in the current folder."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from occlureid.errors import UsageError

__all__ = ["available", "import_module"]

_PACKAGE = "occlureid.methods"


def available() -> list[str]:
    """The names of the methods in this package, sorted."""
    places = [str(Path(__file__).parent)]
    return sorted(m.name for m in pkgutil.iter_modules(places) if not m.name.startswith("_"))


def import_module(name: str) -> ModuleType:
    """The module that a method's name means: one of this package, else one that Python finds, last in the current folder.

    Raises:
        UsageError: there is none, or it cannot be imported.
    """
    if name in available():
        return importlib.import_module(f"{_PACKAGE}.{name}")
    own = f"choose one of: {', '.join(available())}, or a module of your own (my.module)"
    if name.endswith(".py") or os.sep in name:
        raise UsageError(f"no method {name!r}; {own}, named without folder and suffix")
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"no method {name!r}; {own}")
    with _current_folder():
        if "." not in name and not _is_there(name):
            raise UsageError(f"no method {name!r}; {own}; none is called so in {Path.cwd()} or on Python's path")
        try:
            return importlib.import_module(name)
        except (ImportError, SyntaxError) as error:
            raise UsageError(f"method {name!r} cannot be imported: {error}") from error


def _is_there(name: str) -> bool:
    try:
        found = importlib.util.find_spec(name)
    except ValueError:  # a module that was made by hand, such as __main__
        return False
    return found is not None and found.origin is not None  # a folder without __init__.py holds no method


@contextmanager
def _current_folder() -> Iterator[None]:
    """Lets modules of the current folder be imported, behind all others, while this lasts."""
    place = str(Path.cwd())
    sys.path.append(place)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for index in reversed(range(len(sys.path))):
            if sys.path[index] == place:
                del sys.path[index]
                break
