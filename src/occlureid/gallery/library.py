"""The Lance library: loaded when it is first needed, and its errors in words of this package."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from occlureid.errors import DataError, DiskFullError, OcclureidError, UsageError

__all__ = ["clear_errors", "is_full", "lance"]

_FULL = (errno.ENOSPC, errno.EDQUOT)


def lance() -> Any:
    """The Lance library, loaded when it is first needed.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import lance as library
        import lance.fragment
        import lance.optimize
    except ModuleNotFoundError as error:
        raise UsageError(
            f"galleries need the package pylance ({error.name} is missing): pip install 'occlureid[gallery]'"
        ) from error
    return library


@contextmanager
def clear_errors(where: str) -> Iterator[None]:
    """Turns what Lance raises about a table into a DataError that says where.

    Raises:
        DataError: the table cannot be read or written.
    """
    try:
        yield
    except OcclureidError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, NotImplementedError) as error:
        kind = DiskFullError if is_full(error) else DataError
        raise kind(f"{where}: {_first_line(error)}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # a Rust panic is no Exception
            raise
        raise DataError(f"{where}: damaged: {_first_line(error)}") from error


def is_full(error: BaseException) -> bool:
    """True if something failed because there is no space left, also where Lance says so in words."""
    if isinstance(error, DiskFullError) or getattr(error, "errno", None) in _FULL:
        return True
    return any(f"(os error {number})" in str(error) for number in _FULL)


def _first_line(error: BaseException) -> str:
    # Lance begins its messages with the name of an error, and ends them with the place in its own source
    text = re.sub(r"^\w*Error\(\w+\): ", "", re.sub(r",? ?/\S*?/rust/\S+\.rs:\d+:\d+", "", str(error)))
    return (text or "Lance gives no reason").splitlines()[0][:300]
