"""The quick look at many items: how far each is from a query at the least, from vectors rounded to bfloat16.

A search must read every vector, and reading is what takes the time; bfloat16 halves it. What comes out is no distance but a
lower bound of it that holds for certain, so that a search can prove which items cannot be among the nearest. With u = 2^-8
(the largest relative error of rounding a number to bfloat16), an item x = (x_1, ..., x_P) of pieces (global vector, parts, and
the weights that stand in A, see ``matching.kernel``), a query q, what is rounded with a hat, and the product accumulated in
float32 and returned in bfloat16 (or float32, which rounds less):

    |q . x - out| <= u' |out| + sum_p |x_p| (|q_p| rho_p + |q_p - q^_p| (1 + rho_p) + g |q^_p| (1 + rho_p))

rho_p = max_i |x_ip - x^_ip| / |x_ip| is measured when items are loaded (about u / 2.3; Cauchy-Schwarz does the rest), g covers
float32 sums of W numbers in any order, u' = u / (1 - u) the rounding of the result. For cosine rules |x_p| is the part's
weight, so that the bound is relative to the weights and a little more than 1 % of the distance's range at the worst. Weights
themselves (the denominator) are kept in float32. For Euclidean rules the same holds for every ||a||^2 + ||b||^2 - 2ab.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from occlureid.arithmetic import chosen
from occlureid.gallery.layout import Block
from occlureid.gallery.records import Columns
from occlureid.matching import MatchRule
from occlureid.matching.kernel import Ready, prepare
from occlureid.types import Descriptor

__all__ = ["Probe", "Shard", "lower_bounds", "prepare_probe", "prepare_shard", "row_bytes", "scan_rule"]

_ROUNDING = 2.0**-8
_RESULT = _ROUNDING / (1 - _ROUNDING) * 1.001
_FLOAT = 2.0**-23
_PREPARED = 1024
"""Rows that are made ready at a time: their float32 copies stay small."""
_WIDENED = 512
"""Rows that are widened to float32 at a time."""


@dataclass(frozen=True, eq=False, slots=True)
class Shard:
    """Some items as a scan holds them.

    Attributes:
        columns: n items.
        vectors: (n, W) bfloat16, one prepared row an item.
        weights: (n, 1 + K) float32.
        lengths: (n, P) float32 lengths of the pieces, or (n, 0) where they follow from the weights (cosine rules).
        rounding: (P,) rho, for this shard.
        exact: the descriptors in half precision, or None where they are read from the source when they are needed.
    """

    columns: Columns
    vectors: Tensor
    weights: Tensor
    lengths: Tensor
    rounding: Tensor
    exact: Descriptor | None

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, where: NDArray[Any]) -> Shard:
        """Some of the items, copied: whole numbers."""
        rows = torch.from_numpy(where)
        tensors = {name: getattr(self, name)[rows] for name in ("vectors", "weights", "lengths")}
        return replace(
            self, columns=self.columns[where], exact=None if self.exact is None else self.exact[rows], **tensors
        )

    @classmethod
    def cat(cls, shards: Sequence[Shard]) -> Shard:
        """All items in one shard."""
        exact = [shard.exact for shard in shards if shard.exact is not None]
        return cls(
            Columns.cat(shard.columns for shard in shards),
            torch.cat([shard.vectors for shard in shards]),
            torch.cat([shard.weights for shard in shards]),
            torch.cat([shard.lengths for shard in shards]),
            torch.stack([shard.rounding for shard in shards]).amax(0),
            Descriptor.cat(exact) if len(exact) == len(shards) else None,
        )

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        columns = self.columns
        texts = sum(int(texts.nbytes) for texts in (columns.ids, columns.cameras, columns.persons))
        own = sum(t.nbytes for t in (self.vectors, self.weights, self.lengths)) + texts + 16 * len(columns)
        kept = () if self.exact is None else (self.exact.global_, self.exact.parts, self.exact.visibility)
        return own + sum(t.nbytes for t in kept)


@dataclass(frozen=True, eq=False, slots=True)
class Probe:
    """Q queries, ready for a scan.

    Attributes:
        vectors: (Q, W) bfloat16.
        weights: (Q, 1 + K) float32.
        lengths: (Q, P) |q_p|.
        rounded: (Q, P) |q_p - q^_p|.
        pieces: (start, end) of each piece in ``vectors``, and its column in ``weights``.
    """

    vectors: Tensor
    weights: Tensor
    lengths: Tensor
    rounded: Tensor
    pieces: tuple[tuple[int, int, int], ...]

    def __len__(self) -> int:
        return len(self.vectors)


def scan_rule(rule: MatchRule) -> MatchRule:
    """The rule without spatial maps, by which a scan looks.

    Where local vectors alone decide, it also looks by the global vector: no pair may then count as having nothing to compare.
    (``matching.base_rule`` would look by the parts where there are some, which not all pairs share.)
    """
    if rule.spatial_weight == 1 and rule.global_weight == 0:
        return replace(rule, spatial_weight=0.0, global_weight=1.0)
    return replace(rule, spatial_weight=0.0)


def _pieces(rule: MatchRule, ready: Ready) -> tuple[tuple[int, int, int], ...]:
    """As in ``Probe``; the weights that stand in the row too are no piece."""
    found, start = [], 0
    for column, size in enumerate(ready.sizes):
        if rule.metric == "cosine" and (rule.global_weight if column == 0 else rule.part_factor) == 0:
            continue
        found.append((start, start + size, column))
        start += size
    return tuple(found)


def row_bytes(rule: MatchRule, item: Descriptor) -> tuple[int, int]:
    """Bytes that a shard holds of one item, without and with its descriptor in half precision (texts not counted)."""
    ready = prepare(scan_rule(rule), item[:0], "gallery", torch.float32)
    euclidean = 4 * ready.weights.shape[1] if rule.metric == "euclidean" else 0
    scanned = 2 * ready.vectors.shape[1] + 4 * ready.weights.shape[1] + euclidean
    return scanned, scanned + 2 * sum(ready.sizes) + 4 * item.parts.shape[1]


def prepare_shard(rule: MatchRule, block: Block, *, keep: bool) -> Shard:
    """Readies a block for scans by a rule without spatial maps; ``keep`` holds its descriptors too."""
    made = [_prepare(rule, block.descriptor[s : s + _PREPARED]) for s in range(0, len(block.columns), _PREPARED)]
    made = made or [_prepare(rule, block.descriptor)]
    vectors, weights, lengths, rounding = zip(*made, strict=True)
    return Shard(
        block.columns,
        torch.cat(vectors),
        torch.cat(weights),
        torch.cat(lengths),
        torch.stack(rounding).amax(0),
        block.descriptor if keep else None,
    )


def _prepare(rule: MatchRule, item: Descriptor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    ready = prepare(rule, item, "gallery", torch.float32)
    vectors = ready.vectors.bfloat16()
    lengths, rounded = _lengths(rule, ready, vectors)
    relative = (rounded / lengths.clamp_min(1e-30)).amax(0) if len(item) else lengths.new_zeros(lengths.shape[1])
    return vectors, ready.weights, lengths if rule.metric == "euclidean" else lengths[:, :0], relative * 1.001


def _lengths(rule: MatchRule, ready: Ready, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """(N, P) lengths of the pieces, and of what rounding changed."""
    parts = _pieces(rule, ready)
    change = ready.vectors - vectors.float()
    lengths = [torch.linalg.vector_norm(ready.vectors[:, a:b], dim=1) for a, b, _ in parts]
    rounded = [torch.linalg.vector_norm(change[:, a:b], dim=1) for a, b, _ in parts]
    return torch.stack(lengths, 1), torch.stack(rounded, 1)


def prepare_probe(rule: MatchRule, query: Descriptor) -> Probe:
    """Readies Q queries for scans by a rule without spatial maps."""
    ready = prepare(rule, query, "query", torch.float32)
    vectors = ready.vectors.bfloat16()
    return Probe(vectors, ready.weights, *_lengths(rule, ready, vectors), _pieces(rule, ready))


def lower_bounds(rule: MatchRule, probe: Probe, shard: Shard, rows: Tensor | None = None) -> Tensor:
    """(Q, n) float32, none larger than the distance by a rule without spatial maps; infinite where nothing can be compared.

    Args:
        rule: how the items are compared.
        probe: Q queries.
        shard: the items.
        rows: (n,) whole numbers, those of the shard's items that are looked at; all without.
    """
    vectors, weights, lengths = shard.vectors, shard.weights, shard.lengths
    if rows is not None:
        vectors, weights, lengths = vectors[rows], weights[rows], lengths[rows]
    shared = weights @ probe.weights.T
    if rule.metric == "euclidean":
        total = _euclidean(probe, vectors, weights, lengths, shard.rounding)
    else:
        product = _product(vectors, probe.vectors)
        total = product - product.abs().mul_(_RESULT).add_(weights @ _slack(rule, probe, shard.rounding).T)
    if rule.form == "sum":
        gamma, beta, count = rule.global_weight, rule.part_factor, weights.shape[1] - 1
        scale = gamma + beta * count
        low = scale - (gamma + beta * (shared - gamma) + shared - total) / 2
    else:
        scale = 0.0
        low = total / torch.where(shared > 0, shared, 1)
    low -= low.abs().add_(scale).mul_(32 * _FLOAT)  # of these last steps, and of a distance's own rounding
    return torch.where(shared > 0, low, torch.inf).T.contiguous()


def _product(vectors: Tensor, query: Tensor) -> Tensor:
    """(n, Q) float32 of values rounded to bfloat16. As a product by columns, also where there is one only: it was quickest.

    Where bfloat16 products are emulated, some rows at a time are widened and multiplied in float32, so that the copy stays in the
    processor's cache. A single column is no product of matrices, and quicker as it is on those processors too.
    """
    if len(query) == 1 or chosen(vectors.device) == "bfloat16":
        return (vectors @ query.T).float()
    found, columns = torch.empty(len(vectors), len(query)), query.float().T
    for some, out in zip(torch.split(vectors, _WIDENED), torch.split(found, _WIDENED), strict=True):
        torch.mm(some.float(), columns, out=out)
    return found


def _coefficients(probe: Probe, rounding: Tensor, width: int) -> Tensor:
    """(Q, P) what one unit of an item's length adds to the error."""
    own = probe.rounded * 1.001
    return probe.lengths * rounding + (own + (width + 64) * _FLOAT * (probe.lengths + own)) * (1 + rounding)


def _slack(rule: MatchRule, probe: Probe, rounding: Tensor) -> Tensor:
    """(Q, 1 + K) what one unit of an item's weight adds to the error of the product: of the piece and of the weight itself."""
    error = _coefficients(probe, rounding, probe.vectors.shape[1])
    # The weights stand in the rows as well, rounded on both sides unless they are 0 or 1
    both = 2 * _ROUNDING + _ROUNDING**2 if rule.visibility == "soft" else 0.0
    slack = probe.weights * (both + (probe.vectors.shape[1] + 64) * _FLOAT)
    gamma = rule.global_weight
    slack[:, 0] += abs(gamma - float(torch.tensor(gamma).bfloat16())) * 1.001
    slack[:, [column for _, _, column in probe.pieces]] += error
    return slack


def _euclidean(probe: Probe, vectors: Tensor, weights: Tensor, lengths: Tensor, rounding: Tensor) -> Tensor:
    """(n, Q) the least that the weighted sum of Euclidean distances can be."""
    total = weights.new_zeros(len(vectors), len(probe.vectors))
    error = _coefficients(probe, rounding, vectors.shape[1])
    for start, end, column in probe.pieces:
        product = _product(vectors[:, start:end], probe.vectors[:, start:end])
        here, there = lengths[:, column, None], probe.lengths[:, column]
        slack = product.abs().mul_(_RESULT).add_(here * error[:, column])
        both = here.square() + there.square()
        square = both - 2 * (product + slack) - 32 * _FLOAT * both
        total += square.clamp_min_(0).sqrt_() * (weights[:, column, None] * probe.weights[:, column])
    return total
