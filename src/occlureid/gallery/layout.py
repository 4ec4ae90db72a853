"""How items and descriptors lie in Arrow tables: the shape of a gallery, its schemas, and the way there and back."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray

from occlureid.errors import DataError, FingerprintError, ShapeError, UsageError
from occlureid.gallery.checksums import MAP_SUM, RECORD_SUM, VECTOR_SUM, finite_halves, map_sums, record_sums, row_sums
from occlureid.gallery.records import Columns, Item
from occlureid.gallery.rows import ITEM_COLUMNS, columns_of, fixed_lists, lists, map_keys, matrix, same_sums
from occlureid.ids import check_id
from occlureid.matching import MatchRule
from occlureid.types import Descriptor

__all__ = ["Block", "Shape"]

FORMAT = "1"

_LARGEST = float(torch.finfo(torch.float16).max)


@dataclass(frozen=True, eq=False, slots=True)
class Block:
    """Some items of a gallery with their vectors.

    Attributes:
        columns: who, where and when, N items.
        descriptor: global_ (N, D) and parts (N, K, C) in half precision, visibility (N, K) in float32 as it was given, so that
            a threshold decides as before; without spatial maps.
        damaged: further items, whose vectors are not what was stored; they are left out above.
    """

    columns: Columns
    descriptor: Descriptor
    damaged: Columns = field(default_factory=Columns.empty)


@dataclass(frozen=True)
class Shape:
    """What all descriptors of one gallery have in common, kept in its metadata.

    Attributes:
        fingerprint: of the model.
        rule: how its descriptors are compared.
        global_size: D.
        parts: K, may be 0.
        part_size: C.
        local_size: S of the spatial maps, None where none are kept.
        retention: seconds that an item is kept, None for ever.
        key: of the digests in the audit log, 64 hexadecimal digits.

    Raises:
        UsageError: a value is out of range, or the rule needs spatial maps and none are to be kept.
    """

    fingerprint: str
    rule: MatchRule
    global_size: int
    parts: int
    part_size: int
    local_size: int | None = None
    retention: float | None = None
    key: str = field(default_factory=lambda: secrets.token_hex(32))

    def __post_init__(self) -> None:
        for name, least in (("global_size", 1), ("parts", 0), ("part_size", 0 if self.parts == 0 else 1)):
            _check_size(name, getattr(self, name), least)
        if self.local_size is not None:
            _check_size("local_size", self.local_size, 1)
        if self.local_size is None and self.rule.spatial_weight > 0:
            raise UsageError(
                "the rule compares spatial maps (spatial_weight > 0): give local_size, so that they are kept"
            )
        if not isinstance(self.fingerprint, str) or not 1 <= len(self.fingerprint) <= 1000:
            raise UsageError(f"fingerprint must be a text of 1 to 1000 characters, got {self.fingerprint!r}"[:300])
        if self.retention is not None:
            ok = isinstance(self.retention, int | float) and not isinstance(self.retention, bool)
            if not ok or not 0 < self.retention < 1e11:
                days = f"{self.retention / 86_400:g} days" if ok else repr(self.retention)
                raise UsageError(f"retention must be a positive time, got {days}")
        if len(self.key) != 64 or not set(self.key) <= set("0123456789abcdef"):
            raise UsageError("key must be 64 hexadecimal digits")

    # -- metadata ------------------------------------------------------------------------------------------------------

    def metadata(self) -> dict[bytes, bytes]:
        """As the metadata of an Arrow schema."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        content["rule"] = self.rule.to_json()
        return {b"occlureid": b"gallery", b"format": FORMAT.encode(), b"gallery": json.dumps(content).encode()}

    @classmethod
    def from_metadata(cls, metadata: dict[bytes, bytes] | None, where: str) -> Shape:
        """The inverse of ``metadata``.

        Raises:
            DataError: it is not the metadata of a gallery, or of one that a later version wrote.
        """
        metadata = metadata or {}
        if metadata.get(b"occlureid") != b"gallery":
            raise DataError(f"{where}: a Lance table, but not of a gallery")
        if metadata.get(b"format") != FORMAT.encode():
            found = metadata.get(b"format", b"").decode(errors="replace")
            raise DataError(f"{where}: a gallery of format {found!r}, this version reads {FORMAT!r}")
        try:
            content = json.loads(metadata[b"gallery"])
            return cls(**{**content, "rule": MatchRule.from_json(content["rule"])})
        except (KeyError, TypeError, ValueError, RecursionError, DataError, UsageError) as error:
            raise DataError(f"{where}: the metadata of this gallery is damaged: {error}") from error

    # -- schemas -------------------------------------------------------------------------------------------------------

    def item_schema(self, *, sealed: bool) -> pa.Schema:
        """Schema of the table of items, with checksums or, for galleries from before there were any, without."""
        columns = [
            pa.field("id", pa.string(), nullable=False),
            pa.field("camera", pa.string(), nullable=False),
            pa.field("person", pa.string()),
            pa.field("time", pa.float64()),
            pa.field("added", pa.float64(), nullable=False),
            pa.field("source", pa.string()),
            pa.field("box", pa.list_(pa.float64(), 4)),
            pa.field("thumbnail", pa.binary()),
            pa.field("global", pa.list_(pa.float16(), self.global_size), nullable=False),
        ]
        if self.parts:
            columns.append(pa.field("parts", pa.list_(pa.float16(), self.parts * self.part_size), nullable=False))
            columns.append(pa.field("visibility", pa.list_(pa.float32(), self.parts), nullable=False))
        if sealed:
            columns += [pa.field(VECTOR_SUM, pa.uint64()), pa.field(RECORD_SUM, pa.uint64())]
        return pa.schema(columns, metadata=self.metadata())

    def map_schema(self, *, sealed: bool) -> pa.Schema:
        """Schema of the table of spatial maps, with checksums or without."""
        half = pa.field("item", pa.float16(), nullable=False)
        single = pa.field("item", pa.float32(), nullable=False)
        columns = [
            pa.field("id", pa.string(), nullable=False),
            pa.field("key", pa.int64(), nullable=False),
            pa.field("spatial", pa.large_list(half), nullable=False),
            pa.field("saliency", pa.large_list(single), nullable=False),
        ]
        if sealed:
            columns.append(pa.field(MAP_SUM, pa.uint64()))
        return pa.schema(columns, metadata=self.metadata())

    @property
    def vector_columns(self) -> tuple[str, ...]:
        """The columns that hold descriptors."""
        return ("global", "parts", "visibility") if self.parts else ("global",)

    # -- there ---------------------------------------------------------------------------------------------------------

    def check(self, items: Sequence[Item], descriptor: Descriptor) -> None:
        """Whether these may be added.

        Raises:
            FingerprintError: another model made the descriptor.
            ShapeError: it has another shape, or a value that is not finite, out of range or too large for half precision.
            DataError: there are not as many items as descriptors, two of one id, or an id with invisible characters.
        """
        if descriptor.fingerprint != self.fingerprint:
            raise FingerprintError(
                f"this gallery was built with {self.fingerprint}, the items to add were described by "
                f"{descriptor.fingerprint or 'an unnamed model'}; descriptors of two models cannot be compared"
            )
        if len(items) != len(descriptor):
            raise DataError(f"expected one item for each descriptor, got {len(items)} for {len(descriptor)}")
        found = (descriptor.global_.shape[1], descriptor.parts.shape[1], descriptor.parts.shape[2])
        if found[:2] != (self.global_size, self.parts) or (self.parts and found[2] != self.part_size):
            raise ShapeError(
                f"expected global size D={self.global_size}, K={self.parts} parts of C={self.part_size}, "
                f"got D={found[0]}, K={found[1]}, C={found[2]}"
            )
        if self.local_size is not None:
            if descriptor.spatial is None:
                raise ShapeError(
                    f"this gallery keeps spatial maps of size S={self.local_size}; the descriptor has none"
                )
            if descriptor.spatial.shape[2] != self.local_size or descriptor.spatial.shape[1] < 1:
                shape = tuple(descriptor.spatial.shape)
                raise ShapeError(f"expected spatial maps (N, T, S) with T > 0 and S={self.local_size}, got {shape}")
        descriptor.check()
        for name in ("global_", "parts") if self.local_size is None else ("global_", "parts", "spatial"):
            too_large = (getattr(descriptor, name).abs() > _LARGEST).flatten(1).any(1)
            if name == "parts":
                too_large = ((descriptor.parts.abs() > _LARGEST).any(2) & (descriptor.visibility > 0)).any(1)
            if bool(too_large.any()):
                raise ShapeError(
                    f"{name} of item {items[int(too_large.nonzero()[0])].id!r} exceeds {_LARGEST:g}, the largest number that "
                    "half precision holds"
                )
        seen: set[str] = set()
        for item in items:
            if item.id in seen:
                raise DataError(f"two items to add have the id {item.id!r}; ids are unique in a gallery")
            seen.add(item.id)
            for name in ("id", "camera", "person"):
                check_id(name, getattr(item, name) or "")

    def item_table(
        self, items: Sequence[Item], descriptor: Descriptor, added: Sequence[float], *, sealed: bool
    ) -> pa.Table:
        """Checked items as a table, with their checksums if it has any."""
        schema = self.item_schema(sealed=False)
        columns: dict[str, Any] = {name: [getattr(i, name) for i in items] for name in (*ITEM_COLUMNS, "thumbnail")}
        columns["added"] = list(added)
        columns["global"] = fixed_lists(descriptor.global_, torch.float16)
        if self.parts:
            # Only parts that are not visible can still hold what is no number or too large.
            parts = descriptor.parts.where(descriptor.parts.abs() <= _LARGEST, 0.0)
            columns["parts"] = fixed_lists(parts.flatten(1), torch.float16)
            columns["visibility"] = fixed_lists(descriptor.visibility, torch.float32)
        arrays = [v if isinstance(v := columns[f.name], pa.Array) else pa.array(v, f.type) for f in schema]
        found = pa.Table.from_arrays(arrays, schema=schema)
        if not sealed:
            return found
        sums = [pa.array(self.vector_sums(found)), pa.array(record_sums(found))]
        return pa.Table.from_arrays([*arrays, *sums], schema=self.item_schema(sealed=True))

    def map_table(self, items: Sequence[Item], descriptor: Descriptor, *, sealed: bool) -> pa.Table:
        """The spatial maps of checked items as a table, with their checksums if it has any."""
        if descriptor.spatial is None or descriptor.saliency is None:
            raise ShapeError("the descriptor has no spatial maps")
        schema = self.map_schema(sealed=False)
        ids = [item.id for item in items]
        arrays = [
            pa.array(ids, pa.string()),
            pa.array(map_keys(ids)),
            lists(descriptor.spatial.flatten(1), torch.float16, schema.field("spatial").type),
            lists(descriptor.saliency, torch.float32, schema.field("saliency").type),
        ]
        found = pa.Table.from_arrays(arrays, schema=schema)
        if not sealed:
            return found
        return pa.Table.from_arrays([*arrays, pa.array(map_sums(found))], schema=self.map_schema(sealed=True))

    # -- back ----------------------------------------------------------------------------------------------------------

    def _matrices(self, found: pa.Table | pa.RecordBatch) -> list[NDArray[Any]]:
        """(N, D), (N, K C) and (N, K) numbers of rows of the table of items; the first alone where K is 0."""
        widths = (self.global_size, self.parts * self.part_size, self.parts)
        types = (np.float16, np.float16, np.float32)
        return [
            matrix(found.column(name), width, kind)
            for name, width, kind in zip(self.vector_columns, widths, types, strict=False)
        ]

    def vectors(self, found: pa.Table | pa.RecordBatch) -> Descriptor:
        """The descriptors of rows of the table of items, whatever they hold."""
        return self._descriptor(self._matrices(found), len(found))

    def _descriptor(self, matrices: list[NDArray[Any]], count: int) -> Descriptor:
        halves, *rest = (torch.from_numpy(one.copy()) for one in matrices)
        parts, visibility = rest or (halves.new_zeros(count, 0), torch.zeros(count, 0))
        shaped = parts.reshape(count, self.parts, self.part_size if self.parts else max(1, self.part_size))
        return Descriptor(halves, shaped, visibility, fingerprint=self.fingerprint)

    def vector_sums(self, found: pa.Table | pa.RecordBatch) -> NDArray[np.uint64]:
        """(N,) the checksums that the vectors of rows of the table of items have now."""
        return row_sums(*self._matrices(found))

    def intact(self, found: pa.Table | pa.RecordBatch) -> NDArray[np.bool_]:
        """(N,) for rows of the table of items whether their vectors are what was stored.

        Without checksums all that can be seen is a number that is not finite, or a visibility that is none.
        """
        return self._intact(found, self._matrices(found))

    @staticmethod
    def _intact(found: pa.Table | pa.RecordBatch, matrices: list[NDArray[Any]]) -> NDArray[np.bool_]:
        if VECTOR_SUM in found.schema.names:
            return same_sums(found.column(VECTOR_SUM), row_sums(*matrices))
        good = finite_halves(matrices[0])
        if len(matrices) > 1:
            visibility = matrices[2]
            good &= finite_halves(matrices[1]) & ((visibility >= 0) & (visibility <= 1)).all(1)
        return good

    def block(self, found: pa.Table | pa.RecordBatch) -> Block:
        """Rows of the table of items, with their row numbers, as a block; damaged ones apart."""
        matrices = self._matrices(found)
        columns, good = columns_of(found), self._intact(found, matrices)
        if good.all():
            return Block(columns, self._descriptor(matrices, len(found)))
        kept = [one[good] for one in matrices]
        return Block(columns[good], self._descriptor(kept, int(good.sum())), columns[~good])


def _check_size(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 1 << 20:
        raise UsageError(f"{name} must be a whole number of at least {least}, got {value!r}")
