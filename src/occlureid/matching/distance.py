"""Distances between many images: at once with gradient, or in chunks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from occlureid.arithmetic import Precision, resolve
from occlureid.errors import ShapeError, UsageError
from occlureid.matching.kernel import (
    Ready,
    Side,
    block,
    check_pair,
    exact_dtype,
    mix,
    prepare,
    row_width,
)
from occlureid.matching.rule import MatchRule
from occlureid.matching.spatial import fill_spatial, prepare_gallery, prepare_query, spatial_block
from occlureid.types import Descriptor

__all__ = ["MEMORY", "Precision", "distance_matrix", "pairwise_distances", "settled_precision", "stream_distances"]


MEMORY = 64 * 2**20
"""Bytes of workspace beside the output, unless told otherwise."""


def pairwise_distances(rule: MatchRule, query: Descriptor, gallery: Descriptor) -> Tensor:
    """All distances at once, with gradient: for losses on a batch.

    Memory grows with Q G (and Q G T^2 for local vectors); ``distance_matrix`` is for whole galleries.

    Args:
        rule: how images are compared.
        query: Q images.
        gallery: G images of the same model.

    Returns:
        (Q, G) distances, lower is closer; float64 for float64 vectors, otherwise float32. Pairs with nothing to compare are
        infinite and must be left out of a loss. Every gradient is finite, also that of a Euclidean distance of 0.

    Raises:
        FingerprintError: the descriptors come from two models.
        ShapeError: they differ in shape or device, or lack the local vectors that the rule needs.
    """
    check_pair(rule, query, gallery)
    result = exact_dtype(query.global_)
    dtype = torch.float64 if rule.metric == "euclidean" else result
    if rule.spatial_weight == 1:
        return _spatial(query, gallery, result)
    distance = block(rule, prepare(rule, query, "query", dtype), prepare(rule, gallery, "gallery", dtype)).to(result)
    return mix(rule, distance, _spatial(query, gallery, result)) if rule.spatial_weight > 0 else distance


def distance_matrix(
    rule: MatchRule,
    query: Descriptor,
    gallery: Descriptor,
    *,
    memory: int = MEMORY,
    precision: Precision = "float32",
    out: Tensor | None = None,
) -> Tensor:
    """All distances of a query set to a gallery, without gradient, in chunks of bounded memory.

    A distance depends on its pair only. Chunks change the order in which a processor adds, so that another ``memory``, gallery
    or order of images may change a finite distance by some 1e-7; which pairs are infinite never changes.

    Args:
        rule: how images are compared.
        query: Q images.
        gallery: G images of the same model.
        memory: bytes of workspace beside the descriptors and the output. One pair at least is worked on, whatever it needs.
        precision: "bfloat16" multiplies cosine vectors in bfloat16, faster where the processor can, and rounds a distance by
            up to about 1 %. Everything else stays float32; Euclidean distances are computed in float64. "auto" is bfloat16
            where this processor is faster in it (``occlureid.arithmetic``) and the rule allows it: figures then depend on the
            processor, which is why it is not the default.
        out: (Q, G) float32 to write to; also rows of a larger matrix.

    Returns:
        (Q, G) float32, lower is closer, infinity where a pair has nothing to compare.

    Raises:
        FingerprintError: the descriptors come from two models.
        ShapeError: they differ in shape or device, lack the local vectors that the rule needs, or have some that are not finite
            where saliency is not 0; or ``out`` does not fit.
        UsageError: memory is not positive, or the precision is unknown or does not go with the rule.
    """
    check_pair(rule, query, gallery)
    precision = settled_precision(rule, memory, precision, query.global_.device)
    shape = (len(query), len(gallery))
    if out is None:
        out = torch.empty(shape, dtype=torch.float32, device=query.global_.device)
    elif tuple(out.shape) != shape or out.dtype != torch.float32 or out.device != query.global_.device:
        raise ShapeError(
            f"out must be float32 of shape (Q, G) = {shape} on {query.global_.device}, "
            f"got {out.dtype} {tuple(out.shape)} on {out.device}"
        )
    with torch.no_grad():
        if rule.spatial_weight < 1:
            _fill_base(rule, query, gallery, memory, precision, out)
        if rule.spatial_weight > 0:
            fill_spatial(rule, query, gallery, memory, precision, out)
    return out


def stream_distances(
    rule: MatchRule,
    query: Descriptor,
    gallery: Descriptor,
    *,
    memory: int = MEMORY,
    precision: Precision = "float32",
) -> Iterator[tuple[slice, Tensor]]:
    """The rows of ``distance_matrix``, some at a time: the whole matrix never exists.

    Args:
        rule: how images are compared.
        query: Q images.
        gallery: G images of the same model.
        memory: bytes of workspace, the yielded rows included. One row at least is yielded, whatever it needs.
        precision: as in ``distance_matrix``.

    Yields:
        Which queries, and their distances (rows, G) in a buffer that the next block overwrites.

    Raises:
        FingerprintError: the descriptors come from two models.
        ShapeError: they differ in shape or device, or lack the local vectors that the rule needs.
        UsageError: memory is not positive, or the precision is unknown or does not go with the rule.
    """
    check_pair(rule, query, gallery)
    precision = settled_precision(rule, memory, precision, query.global_.device)
    rows = _between(memory // 2 // max(4 * len(gallery), 1), len(query))
    buffer = torch.empty((rows, len(gallery)), dtype=torch.float32, device=query.global_.device)
    rest = max(memory - buffer.nbytes, 1)
    for start in range(0, len(query), rows):
        some = slice(start, min(start + rows, len(query)))
        out = buffer[: some.stop - start]
        yield some, distance_matrix(rule, query[some], gallery, memory=rest, precision=precision, out=out)


def settled_precision(
    rule: MatchRule, memory: int, precision: str, device: torch.device
) -> Literal["float32", "bfloat16"]:
    """The arithmetic of the distances: "auto" is float32 where a rule does not bear bfloat16.

    Raises:
        UsageError: memory is not positive, or the precision is unknown or does not go with the rule.
    """
    if memory < 1:
        raise UsageError(f"memory must be a positive number of bytes, got {memory}")
    euclidean = rule.metric == "euclidean" and rule.spatial_weight < 1
    if precision == "bfloat16" and euclidean:
        raise UsageError('a Euclidean rule needs precision "float32": differences of squares do not survive bfloat16')
    return "float32" if precision == "auto" and euclidean else resolve(precision, device)


def _between(wanted: int, most: int) -> int:
    return max(1, min(wanted, most))


def _fill_base(
    rule: MatchRule, query: Descriptor, gallery: Descriptor, memory: int, precision: str, out: Tensor
) -> None:
    """Writes the distances by global vector and parts; a quarter of the memory is left to the matrix product itself."""
    dtype = torch.float64 if rule.metric == "euclidean" else getattr(torch, precision)
    row = row_width(rule, query) * dtype.itemsize + 8 * (1 + query.parts.shape[1])
    pair = 48 if rule.metric == "euclidean" else 16 if rule.global_weight > 0 and rule.form == "mean" else 24
    query_rows = _between(memory // 4 // row, len(query))
    gallery_rows = _between(min(memory // 8 // row, memory * 3 // 8 // (pair * query_rows)), len(gallery))
    step = _between(memory // 4 // (4 * row_width(rule, query) * max(4, dtype.itemsize)), 512)
    for top in range(0, len(query), query_rows):
        ready = _prepare_chunk(rule, query[top : top + query_rows], "query", dtype, step)
        for left in range(0, len(gallery), gallery_rows):
            other = _prepare_chunk(rule, gallery[left : left + gallery_rows], "gallery", dtype, step)
            block(rule, ready, other, out=out[top : top + query_rows, left : left + gallery_rows])


def _prepare_chunk(rule: MatchRule, item: Descriptor, side: Side, dtype: torch.dtype, step: int) -> Ready:
    """``prepare`` in steps of a few rows, whose intermediate results stay small."""
    first = prepare(rule, item[:step], side, dtype)
    if len(item) <= step:
        return first
    vectors = first.vectors.new_empty((len(item), first.vectors.shape[1]))
    weights = first.weights.new_empty((len(item), first.weights.shape[1]))
    vectors[:step], weights[:step] = first.vectors, first.weights
    for start in range(step, len(item), step):
        some = prepare(rule, item[start : start + step], side, dtype)
        vectors[start : start + step], weights[start : start + step] = some.vectors, some.weights
    return Ready(vectors, weights, first.sizes)


def _spatial(query: Descriptor, gallery: Descriptor, dtype: torch.dtype) -> Tensor:
    return spatial_block(prepare_query(query, dtype), prepare_gallery(gallery, dtype))
