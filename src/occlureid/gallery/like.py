"""Protocol of what describes a gallery's items, so that galleries need no model code."""

from __future__ import annotations

from typing import Protocol

from occlureid.matching import MatchRule

__all__ = ["DescriptorSizes", "MakesDescriptors"]


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
