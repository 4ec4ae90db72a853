"""Rows of CSV files as people and spreadsheets write them: commas, semicolons or tabs, quotes, blanks around fields."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from occlureid.data.strays import stray
from occlureid.errors import DataError
from occlureid.ids import check_id

__all__ = ["csv_header", "csv_rows"]

_DELIMITERS = (",", ";", "\t")
_LONGEST_FIELD = 10_000
_IDS = ("id", "person", "camera")
_QUOTES = re.compile('["\u201c\u201d\u201e\u201f\u00ab\u00bb]')


def csv_header(path: Path) -> list[str]:
    """The names of the columns: in lower case, without blanks and quotes around them.

    Raises:
        DataError: the file cannot be read, or is not UTF-8.
    """
    with _opened(path) as file:
        return _header(_first_line(path, file), ())[0]


def csv_rows(path: Path, required: Sequence[str], optional: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows below the header, each with the number of its first line, as in an editor; empty rows are passed over.

    Fields are separated by commas, semicolons or tabs: by what separates the names in the header. A field may stand in double
    quotes, with blanks around them. Blanks around a field and a byte order mark are no part of it.

    Args:
        path: the file, in UTF-8.
        required: columns that must be there.
        optional: columns that may be there.

    Raises:
        DataError: the file cannot be read, a column is missing or unknown, a row has more or fewer fields than the header or
            cannot be taken apart, or an id (of a person, a camera, an item) has quotes, control or invisible characters. Wrong
            rows are set aside where ``strays.set_aside`` collects them.
    """
    with _opened(path) as file:
        header, delimiter = _header(_first_line(path, file), required)
        unknown = set(header) - {*required, *optional}
        if not set(required) <= set(header) or unknown or len(set(header)) != len(header):
            needed = (", " if len(required) > 2 else " and ").join(required)
            raise DataError(
                f"{path}:1: expected the columns {needed}, and if known {', '.join(optional)}, each once, separated by "
                f"commas, semicolons or tabs; got {', '.join(header)[:200] or 'nothing'}"
            )
        reader = csv.reader(_lines(file, delimiter), delimiter=delimiter, skipinitialspace=True, strict=True)
        while True:
            line = reader.line_num + 2  # a quoted field may span lines: a row is known by its first
            try:
                row = [value.strip() for value in next(reader)]
            except StopIteration:
                return
            except UnicodeDecodeError as error:
                raise DataError(f"{path}: is not a CSV file in UTF-8: {error}") from error
            except csv.Error as error:
                stray(
                    DataError(f"{path}:{line}: is not a CSV file in UTF-8: {error}; look for a quote without its other")
                )
                continue
            if not any(row):
                continue
            if wrong := _wrong(header, row):
                stray(DataError(f"{path}:{line}: {wrong}"))
                continue
            yield line, dict(zip(header, row, strict=True))


def _opened(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _first_line(path: Path, file: TextIO) -> str:
    try:
        return file.readline()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not a CSV file in UTF-8: {error}") from error


def _header(line: str, required: Sequence[str]) -> tuple[list[str], str]:
    """The names in the first line, and what separates them: what gives all required ones, else most."""
    found = []
    for delimiter in _DELIMITERS:
        rows = csv.reader(_lines([line], delimiter), delimiter=delimiter, skipinitialspace=True)
        names = [name.strip().lower() for name in next(rows, [])]
        found.append((set(required) <= set(names), len(names), names, delimiter))
    _, _, names, delimiter = max(found, key=lambda one: one[:2])  # of equals the first
    return names, delimiter


def _lines(lines: Iterator[str] | TextIO | list[str], delimiter: str) -> Iterator[str]:
    """The lines without blanks behind closing quotes, which the csv module takes for an error."""
    blanks = " " if delimiter == "\t" else " \t"
    behind = re.compile(rf'"[{blanks}]+(?={re.escape(delimiter)}|[\r\n]*\Z)')
    return (behind.sub('"', line) for line in lines)


def _wrong(header: Sequence[str], row: Sequence[str]) -> str:
    """Faults of a row, empty if nothing is."""
    if len(row) != len(header):
        return f"expected {len(header)} fields, got {len(row)}"
    for name, value in zip(header, row, strict=True):
        if len(value) > _LONGEST_FIELD:
            return f"expected fields of at most {_LONGEST_FIELD} letters, {name} has {len(value)}"
        if name not in _IDS:
            continue
        if _QUOTES.search(value) or (len(value) > 1 and value[0] == value[-1] == "'"):
            return f'{name} must not hold quotes, got {value[:60]}; quote whole fields with " or none'
        try:
            check_id(name, value)
        except DataError as error:
            return str(error)
    return ""
