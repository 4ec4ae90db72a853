"""What a search is asked and what it answers; see ``models`` for what holds for all requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from occlureid.gallery.hits import Verdict
from occlureid.service.models import (
    MAX_CROPS,
    MAX_DESCRIPTOR,
    MAX_HITS,
    Box,
    CalibrationOut,
    LevelOut,
    PartOut,
    Request,
    Response,
    Text,
    Time,
)

__all__ = [
    "Answer",
    "ExplainRequest",
    "Explanation",
    "HitOut",
    "PartReasonOut",
    "ReasonOut",
    "SearchByDescriptor",
    "SearchByImages",
    "SearchByItems",
    "SearchOptions",
]


class SearchOptions(Request):
    """How to search, whatever by."""

    k: Annotated[int, Field(ge=1, le=MAX_HITS)] = 10
    cameras: Annotated[list[Text], Field(max_length=100)] | None = None
    not_cameras: Annotated[list[Text], Field(max_length=100)] | None = None
    persons: Annotated[list[Text], Field(max_length=100)] | None = None
    since: Time | None = Field(None, description="Taken at or after.")
    until: Time | None = Field(None, description="Taken before.")
    not_ids: Annotated[list[Text], Field(max_length=200)] = Field([], description="Items to leave out of the hits.")


class SearchByImages(SearchOptions):
    """The JSON beside uploaded images; all images and items together are one query: several crops of one person."""

    boxes: Annotated[list[Box | None], Field(max_length=MAX_CROPS)] | None = Field(
        None, description="One for each image: the person in it, null where the image is a crop already."
    )
    items: Annotated[list[Text], Field(max_length=MAX_CROPS)] = Field(
        [], description="Stored items of the same person."
    )


class SearchByItems(SearchOptions):
    """Stored items of one person as the query."""

    ids: Annotated[list[Text], Field(min_length=1, max_length=MAX_CROPS)]
    include_query: bool = Field(False, description="Whether these items may be among the hits.")


class SearchByDescriptor(SearchOptions):
    """The descriptors of some crops of one person as the query."""

    descriptor: Annotated[str, StringConstraints(min_length=1, max_length=MAX_DESCRIPTOR)] = Field(
        description="Base64 of a safetensors file as Descriptor.save writes it, of the gallery's model."
    )


class PartReasonOut(Response):
    """What one part said of a pair."""

    distance: float | None = Field(description="Null where the pair does not share the part.")
    weight: float = Field(description="In [0, 1]; 0 where the pair does not share the part.")
    in_query: bool = Field(description="Whether the query shows it.")
    in_hit: bool = Field(description="Whether the hit shows it.")


class ReasonOut(Response):
    """What a distance is made of."""

    global_distance: float | None
    global_weight: float
    parts: list[PartReasonOut] = Field(
        description="In the order of the answer's parts; empty where no part is compared."
    )
    spatial_distance: float | None


class HitOut(Response):
    """One item that was found."""

    id: str
    distance: float
    camera: str
    person: str | None
    time: float | None
    probable: bool | None = Field(description="Whether a match is likely; null without a verdict.")
    verdict: Verdict | None = Field(
        description="Null without a calibration, or where none was measured for so many crops. A hit beyond the threshold is "
        "unlikely only where few true pairs lie."
    )
    reason: ReasonOut


class Answer(Response):
    """The nearest items, the nearest first."""

    hits: list[HitOut]
    parts: list[PartOut] = Field(description="What the parts of each reason are called, and where to outline them.")
    searched: int = Field(description="Items that passed the filter.")
    incomparable: int = Field(description="Those of them that share nothing with the query.")
    exact: bool = Field(description="Whether these are for certain the nearest.")
    coverage: float = Field(description="Share of the gallery that was searched.")
    damaged: int = Field(
        description="Items that passed the filter and were left out, because they are not what was stored."
    )
    damaged_ids: list[str] = Field(description="The first 20 of them.")
    absent: bool | None = Field(description="Whether the person is probably not there; null without a verdict.")
    calibration: CalibrationOut | None
    level: LevelOut | None = Field(description="By what the hits were judged; null where they have no verdict.")
    no_verdict: str | None = Field(description="Why a gallery that has a calibration gives no verdict; null otherwise.")


class ExplainRequest(Request):
    """Two stored items to compare."""

    query: Text
    hit: Text


class Explanation(Response):
    """Why two items are as far apart as they are."""

    distance: float | None = Field(description="Null where they share nothing that can be compared.")
    parts: list[PartOut]
    reason: ReasonOut
