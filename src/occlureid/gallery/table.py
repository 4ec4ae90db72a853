"""One Lance table that survives a killed process and a power cut: what a commit names is on disk before the commit is made.

What Lance 14 does by itself: a commit is one new manifest beside the old ones, so that readers of an old version go on and a
process killed at any moment leaves the table as it was. What it does not: flush anything to disk, or remove the bytes of
deleted rows before files are rewritten and old versions cleared.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from occlureid.errors import BusyError, DataError
from occlureid.gallery.library import clear_errors, lance
from occlureid.gallery.rows import ROW

__all__ = ["ROWS_PER_FILE", "Table", "lance"]

T = TypeVar("T")

ROWS_PER_FILE = 32_768
"""Rows of a full data file: erasing one row rewrites one file."""

_ATTEMPTS = 6
_MANIFEST = re.compile(r"\d+\.manifest")


class Table:
    """A Lance table with stable row numbers, of which old versions may vanish at any time.

    Args:
        uri: folder or URL.
        flush: puts on disk what was written; called before and after every commit.
    """

    def __init__(self, uri: str, flush: Callable[[], object]) -> None:
        self.uri = uri
        self._flush = flush
        self._columns: frozenset[str] = frozenset()

    @classmethod
    def create(cls, uri: str, schema: pa.Schema, flush: Callable[[], object]) -> Table:
        """A new, empty table.

        Raises:
            DataError: it exists, or cannot be written.
        """
        with clear_errors(uri):
            lance().write_dataset(pa.Table.from_batches([], schema), uri, mode="create", enable_stable_row_ids=True)
        flush()
        return cls(uri, flush)

    # -- reading -------------------------------------------------------------------------------------------------------

    def latest(self) -> Any:
        """The newest version, as a Lance data set.

        Raises:
            DataError: there is no table, or it is damaged.
        """
        for attempt in range(_ATTEMPTS):
            try:
                with clear_errors(self.uri):
                    found = lance().dataset(self.uri)
                break
            except DataError:
                # Lance lists the manifests, then opens the newest: in between a writer may have committed and cleared it away
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(0.001 * 2**attempt)
        if found.version < 1 or not found.has_stable_row_ids:  # a manifest of zeros opens as an empty version 0
            raise DataError(f"{self.uri}: damaged, or not a table of a gallery: version {found.version} names no rows")
        return found

    def has(self, column: str) -> bool:
        """True if there is a column; those that there are do not go away.

        Raises:
            DataError: there is no table, or it is damaged.
        """
        if column not in self._columns:
            self._columns = frozenset(self.latest().schema.names)
        return column in self._columns

    def check(self, local: bool, *schemas: pa.Schema) -> None:
        """True if the table has one of these schemas and, on a local disk, all files that its newest version names, in full size.

        Raises:
            DataError: it does not.
        """
        for attempt in range(_ATTEMPTS):
            found = self.latest()
            if not any(found.schema.remove_metadata() == schema.remove_metadata() for schema in schemas):
                raise DataError(
                    f"{self.uri}: expected the columns {schemas[0].names} of their types, got {found.schema.names}"
                )
            wrong = None
            if local:
                newest = max(self.manifests(), default=0)
                wrong = self.wrong_file(found)
                if newest != found.version:
                    wrong = f"{self.uri}: damaged: the manifest of version {newest} says version {found.version}"
            if wrong is None:
                return
            if attempt == _ATTEMPTS - 1 or self.latest().version == found.version:  # not just cleared away meanwhile
                raise DataError(wrong)

    def manifests(self) -> dict[int, Path]:
        """The manifest of each version, of a table on a local disk."""
        found = [path for path in (Path(self.uri) / "_versions").iterdir() if _MANIFEST.fullmatch(path.name)]
        # Lance counts backwards from 2^64 - 1, so that a listing begins with the newest
        return {(1 << 64) - 1 - n if (n := int(path.stem)) >= 1 << 63 else n: path for path in found}

    def wrong_file(self, found: Any) -> str | None:
        """What is wrong with the data files that a version names, on a local disk; None if all are there in full size."""
        folder = Path(self.uri)
        for file in (file for fragment in found.get_fragments() for file in fragment.metadata.files):
            path = folder / "data" / file.path
            size = path.stat().st_size if path.is_file() else 0
            if file.file_size_bytes and size != file.file_size_bytes:
                return f"{path}: damaged: expected {file.file_size_bytes} bytes, got {size}"
        return None

    def read(self, question: Callable[[Any], T]) -> T:
        """Asks the newest version, again if that version is cleared away meanwhile.

        Raises:
            DataError: the table is damaged.
        """
        for attempt in range(_ATTEMPTS):
            version = -1
            try:
                found = self.latest()
                version = found.version
                with clear_errors(self.uri):
                    return question(found)
            except DataError:
                if attempt == _ATTEMPTS - 1 or (version >= 0 and self.latest().version == version):
                    raise
        raise DataError(f"{self.uri}: changed faster than it could be read")

    def select(self, columns: Sequence[str], where: str | None = None, **options: Any) -> pa.Table:
        """The rows that meet a condition, with their row numbers.

        Raises:
            DataError: the table is damaged.
        """
        return self.read(
            lambda d: d.scanner(columns=list(columns), filter=where, with_row_id=True, **options).to_table()
        )

    def rows(self) -> NDArray[np.uint64]:
        """All row numbers, sorted. No column is read."""
        return np.sort(_numbers(self.select([])))

    def batches(self, columns: Sequence[str], span: tuple[int, int | None], size: int) -> Iterator[pa.RecordBatch]:
        """The rows of a span of row numbers, each once, at most ``size`` at a time; goes on when versions are cleared away.

        Raises:
            DataError: the table is damaged.
        """
        seen: list[NDArray[np.uint64]] = []
        where = f"{ROW} >= {span[0]}" + ("" if span[1] is None else f" AND {ROW} < {span[1]}")
        for attempt in range(_ATTEMPTS):
            found = self.read(lambda dataset: dataset)
            done = np.concatenate(seen) if seen else None
            scanner = found.scanner(
                columns=list(columns), filter=where, with_row_id=True, batch_size=size, batch_readahead=4
            )
            try:
                with clear_errors(self.uri):
                    for batch in scanner.to_batches():
                        fresh = batch
                        numbers = _numbers(batch)
                        if done is not None:
                            mask = ~np.isin(numbers, done)
                            fresh, numbers = batch.filter(pa.array(mask)), numbers[mask]
                        seen.append(numbers)
                        for start in range(0, len(fresh), size):
                            yield fresh.slice(start, size)
                return
            except DataError:
                if attempt == _ATTEMPTS - 1 or self.latest().version == found.version:
                    raise

    # -- writing -------------------------------------------------------------------------------------------------------

    def append(self, rows: pa.Table) -> int:
        """Adds rows: written, flushed, committed, flushed.

        Returns:
            The version that has them.

        Raises:
            DataError: they cannot be written.
        """
        with clear_errors(self.uri):
            current = self.latest()
            fragments = lance().fragment.write_fragments(rows, current, max_rows_per_file=ROWS_PER_FILE)
            return self._commit(lance().LanceOperation.Append(fragments), current.version)

    def delete(self, rows: NDArray[np.uint64]) -> int:
        """Deletes rows by number; their bytes stay until ``compact``.

        Returns:
            How many were there.

        Raises:
            BusyError: other writers came first every time.
            DataError: the table cannot be written.
        """

        def attempt(current: Any) -> int:
            found = current.scanner(columns=[], with_row_id=True, with_row_address=True).to_table()
            numbers, owners = _numbers(found), found.column("_rowaddr").to_numpy() >> np.uint64(32)
            wanted = np.isin(numbers, rows)
            updated, emptied = [], []
            for owner in np.unique(owners[wanted]).tolist():
                there = numbers[wanted & (owners == owner)].tolist()
                left = current.get_fragment(owner).delete(f"{ROW} IN ({', '.join(map(str, there))})")
                if left is None:
                    emptied.append(owner)
                else:
                    updated.append(left)
            if updated or emptied:
                # The condition that Lance would note beside the commit names rows, never ids
                self._commit(lance().LanceOperation.Delete(updated, emptied, "rows by number"), current.version)
            return int(wanted.sum())

        return self._retried(attempt)

    def compact(self, after_each: Callable[[], None] | None = None) -> None:
        """Rewrites files that are small or have deleted rows.

        Args:
            after_each: if given, one file is rewritten at a time, and this done after it.

        Raises:
            BusyError: other writers came first every time.
            DataError: the table cannot be written.
        """

        def attempt(current: Any) -> bool:
            optimize = lance().optimize.Compaction
            options = {
                "target_rows_per_fragment": ROWS_PER_FILE,
                "materialize_deletions": True,
                "materialize_deletions_threshold": 0.0,
            }
            tasks = optimize.plan(current, options).tasks
            rewrites = [task.execute(current) for task in (tasks if after_each is None else tasks[:1])]
            if rewrites:
                self._flush()
                optimize.commit(current, rewrites)
                self._flush()
            return after_each is not None and len(tasks) > 1

        while self._retried(attempt):
            if after_each is not None:
                after_each()

    def clear(self, *, older_than: float, alone: bool) -> None:
        """Removes old versions, and the files that only they name.

        Args:
            older_than: seconds.
            alone: whether certainly nobody else is writing; then also what interrupted writers have left.

        Raises:
            DataError: the table cannot be written.
        """
        with clear_errors(self.uri):
            self.latest().cleanup_old_versions(older_than=timedelta(seconds=older_than), delete_unverified=alone)
        self._flush()

    def add_columns(
        self, made: Callable[[pa.RecordBatch], pa.RecordBatch], names: Sequence[str], read: Sequence[str]
    ) -> None:
        """Adds columns to all rows, in one commit: those that are there stay in their files.

        Args:
            made: from a batch of rows to the batch of their new columns.
            names: of the new columns.
            read: the columns that it needs.

        Raises:
            BusyError: other writers came first every time.
            DataError: the table cannot be written.
        """

        def attempt(current: Any) -> None:
            if set(names) <= set(current.schema.names):
                return
            changed, schema = [], None
            for fragment in current.get_fragments():
                metadata, schema = fragment.merge_columns(made, columns=list(read))
                changed.append(metadata)
            if schema is None:  # there is no row yet
                empty = made(pa.RecordBatch.from_pylist([], current.schema))
                joined = pa.schema([*current.schema, *empty.schema], metadata=current.schema.metadata)
                schema = lance().schema.LanceSchema.from_pyarrow(joined)
            self._commit(lance().LanceOperation.Merge(changed, schema), current.version)

        self._retried(attempt)

    def _commit(self, operation: Any, read_version: int) -> int:
        self._flush()
        version: int = lance().LanceDataset.commit(self.uri, operation, read_version=read_version).version
        self._flush()
        return version

    def _retried(self, attempt: Callable[[Any], T]) -> T:
        from lance.commit import CommitConflictError

        for _ in range(_ATTEMPTS):
            try:
                with clear_errors(self.uri):
                    return attempt(self.latest())
            except DataError as error:
                # Lance says "retryable" of some conflicts as CommitConflictError, of others in words
                if not isinstance(error.__cause__, CommitConflictError) and "conflict" not in str(error):
                    raise
        raise BusyError(f"{self.uri}: other writers came first {_ATTEMPTS} times; try again")


def _numbers(found: pa.Table | pa.RecordBatch) -> NDArray[np.uint64]:
    numbers: NDArray[np.uint64] = found.column(ROW).to_numpy().astype(np.uint64)
    return numbers
