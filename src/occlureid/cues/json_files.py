"""JSON from files that anybody may have written: bounded in size, without NaN and infinity, or a clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from occlureid.data.images import check_stored
from occlureid.errors import DataError

__all__ = ["read_json"]


def read_json(path: Path, largest: int) -> Any:
    """A JSON file of at most ``largest`` bytes, without NaN and infinity.

    Raises:
        DataError: the file cannot be read, is larger, or is not JSON.
    """
    check_stored(path)
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > largest:
        raise DataError(f"{path}: larger than {largest:,} bytes, the most that is read")
    try:
        return json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({str(error)[:160]})") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")
