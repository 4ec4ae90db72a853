"""Where the cues of a run come from, and how much they are spoiled on purpose: a part of a run's settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from occlureid.config import Settings

__all__ = ["CueSettings", "Degradation"]


class Degradation(Settings):
    """How bad cues are made, to measure what a method makes of bad cues; all 0 leaves them untouched."""

    seed: int = Field(0, ge=0, lt=2**63)
    """of all that is drawn; what is drawn for an image depends on this seed and the image's path alone"""
    jitter: float = Field(0.0, ge=0, le=1)
    """standard deviation of the landmarks' displacement, in x and in y, as a share of the image's height"""
    miss: float = Field(0.0, ge=0, le=1)
    """share of landmarks that are not found, and of parts whose pixels become background"""
    swap: float = Field(0.0, ge=0, le=1)
    """share of images whose left and right landmarks change places, and of parts that take the name of another part"""
    other_person: float = Field(0.0, ge=0, le=1)
    """share of images, of those that show other people, whose landmarks are another person's; needs exact cues"""
    no_person: float = Field(0.0, ge=0, le=1)
    """share of images in which nothing is found"""
    boundary: float = Field(0.0, ge=0, le=0.5)
    """standard deviation of the displacement of part maps' edges, as a share of the image's height"""

    @property
    def spoils(self) -> bool:
        """Whether any of it changes anything."""
        return any(value > 0 for name, value in self.to_dict().items() if name != "seed")


class CueSettings(Settings):
    """Where cues come from."""

    source: Literal["folders", "exact"] = "folders"
    """folders: the files in pose/ and parts/; exact: what is true of a rendered world, from its truth.jsonl and part maps"""
    folder: str | None = None
    """the folder that holds pose/ and parts/; the dataset's own unless given"""
    labels: str | None = None
    """the label set of the part maps; what parts/labels.json says unless given, and EANet's 8 labels without one"""
    grouping: str = "sorn8"
    """the regions that part maps are given as: sorn8, sorn5, sorn2, sgam5, hcga4, or labels for the parser's own parts"""
    threshold: float = Field(0.2, ge=0, le=1)
    """the least confidence that counts when one of several people is chosen"""
    degrade: Degradation = Degradation()
    """how much the cues are spoiled on purpose"""
