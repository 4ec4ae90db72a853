"""Protocol of what describes a gallery's items, so that galleries need no model code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from occlureid.errors import UsageError
from occlureid.matching import MatchRule
from occlureid.types import Descriptor, Sample

__all__ = ["DescribesImages", "DescriptorSizes", "MakesDescriptors", "Values", "values_of"]

Values = tuple[str, MatchRule, int, int, int, int | None]
"""Fingerprint, rule, D, K, C and S of a gallery."""


class DescriptorSizes(Protocol):
    """Sizes of descriptors: D, K, C, and S of local vectors or None."""

    @property
    def global_size(self) -> int:
        """D, channels of the global vector."""
        ...

    @property
    def parts(self) -> int:
        """K, number of parts."""
        ...

    @property
    def part_size(self) -> int:
        """C, channels of a part's vector."""
        ...

    @property
    def local_size(self) -> int | None:
        """S, channels of local vectors; None where the rule compares none."""
        ...


class MakesDescriptors(Protocol):
    """Maker of descriptors, such as ``occlureid.describing.Describer``."""

    @property
    def fingerprint(self) -> str:
        """Name and hash of weights and settings."""
        ...

    @property
    def rule(self) -> MatchRule:
        """Rule by which its descriptors are compared."""
        ...

    @property
    def shape(self) -> DescriptorSizes:
        """Sizes of its descriptors."""
        ...


class DescribesImages(MakesDescriptors, Protocol):
    """Describer of images, as ``Gallery.add_images`` uses it."""

    def samples(self, samples: Sequence[Sample], /) -> tuple[Descriptor, list[int]]:
        """Descriptors of the images of samples, all of which must be readable."""
        ...

    def pictures(self, pictures: Iterable[Any], /) -> Descriptor:
        """Descriptors of image files and of pictures in memory."""
        ...


def values_of(like: MakesDescriptors | None, given: Sequence[Any]) -> Values:
    """Values of a new gallery: a describer's, or those given, in the order of ``Values``.

    Raises:
        UsageError: there are both, or of the first five not all, or it is no describer.
    """
    if like is not None:
        if any(value is not None for value in given):
            raise UsageError(
                "a gallery made like a describer takes fingerprint, rule and sizes from it; leave them out"
            )
        missing = [name for name in ("fingerprint", "rule", "shape") if not hasattr(like, name)]
        if missing or isinstance(like, type):
            raise UsageError(f"like must be a Describer, got {like!r}; make one of the method: Describer(method)"[:300])
        sizes = like.shape
        return like.fingerprint, like.rule, sizes.global_size, sizes.parts, sizes.part_size, sizes.local_size
    if any(value is None for value in given[:5]):
        raise UsageError(
            "a gallery is made like a describer, or with fingerprint, rule, global_size, parts and part_size"
        )
    fingerprint, rule, global_size, parts, part_size, local_size = given
    return fingerprint, rule, global_size, parts, part_size, local_size
