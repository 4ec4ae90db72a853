"""Single files and lines that a reader cannot take: an error, or set aside for an examination that goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from occlureid.errors import DataError

__all__ = ["set_aside", "stray"]

_collected: ContextVar[list[DataError] | None] = ContextVar("collected", default=None)


@contextmanager
def set_aside() -> Iterator[list[DataError]]:
    """Let readers within go on without what they cannot take; the errors come in the list, each once."""
    errors: list[DataError] = []
    token = _collected.set(errors)
    try:
        yield errors
    finally:
        _collected.reset(token)


def stray(error: DataError) -> None:
    """Raise the error of one file or line, unless such errors are set aside; the reader then goes on without it.

    Raises:
        DataError: the error given.
    """
    errors = _collected.get()
    if errors is None:
        raise error
    if str(error) not in map(str, errors[-1000:]):
        errors.append(error)
