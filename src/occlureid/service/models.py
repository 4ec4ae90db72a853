"""What the service is asked and what it answers: every field of every request and response.

Requests forbid unknown fields, take no number for a text and no text for a number, and know neither NaN nor infinity. Times are
seconds since 1970 UTC. Boxes are [x0, y0, x1, y1] in pixels, origin top left, of the picture turned upright.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

__all__ = [
    "About",
    "Added",
    "AuditEvent",
    "AuditPage",
    "AuditQuery",
    "CalibrationOut",
    "Count",
    "CropFields",
    "EraseRequest",
    "ExpireQuery",
    "Expired",
    "GalleryInfo",
    "GalleryList",
    "GalleryName",
    "GalleryStats",
    "Health",
    "Ids",
    "ItemOut",
    "ItemPage",
    "ItemsQuery",
    "JobError",
    "JobList",
    "JobOut",
    "LevelOut",
    "Limits",
    "NewGallery",
    "PartOut",
    "Problem",
    "RegionOut",
    "TakenOut",
]

MAX_IDS = 1000
"""The most ids of one request."""

MAX_CROPS = 16
"""The most crops that make one query."""

MAX_HITS = 100
"""The largest k."""

MAX_PAGE = 200
"""The most items or events of one page."""

MAX_DESCRIPTOR = 8_000_000
"""The most characters of a descriptor in base64."""

GALLERY_PATTERN = r"^[a-z0-9_-]{1,64}$"

GalleryName = Annotated[str, StringConstraints(pattern=GALLERY_PATTERN)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Time = Annotated[float, Field(ge=-1e11, le=1e11)]
Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]
Box = Annotated[list[Coordinate], Field(min_length=4, max_length=4)]
Role = Literal["search", "add", "admin"]


class Request(BaseModel):
    """What all requests have in common."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Response(BaseModel):
    """What all responses have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(Response):
    """Every answer that is not a success."""

    detail: str = Field(description="What was expected, what came, and what to do.")


# -- about the service -------------------------------------------------------------------------------------------------


class Health(Response):
    """Whether the service takes requests."""

    state: Literal["ready", "stopping"]


class RegionOut(Response):
    """Where a part lies in a crop, as fractions of its height and width."""

    top: float
    left: float
    bottom: float
    right: float


class PartOut(Response):
    """One part of the body that crops are compared by."""

    name: str
    region: RegionOut | None = Field(
        description="Where to outline it; null where the method's parts have no fixed place."
    )


class Limits(Response):
    """What the service takes at the most."""

    request_bytes: int = Field(description="Of one request with images.")
    json_bytes: int = Field(description="Of one request without.")
    image_bytes: int
    image_pixels: int
    images: int = Field(description="Images of one request that adds at once.")
    job_images: int = Field(description="Images of one request that adds as a job.")
    crops: int = Field(description="Crops that make one query.")
    k: int
    ids: int
    page: int


class About(Response):
    """The service, and who is asking."""

    version: str
    name: str = Field(description="Of the token that asks; local without tokens.")
    role: Role
    method: str
    fingerprint: str
    image_size: Annotated[list[int], Field(min_length=2, max_length=2)] = Field(
        description="Height and width that crops are resized to."
    )
    parts: list[PartOut] = Field(description="Top to bottom; empty if the method compares whole crops.")
    limits: Limits


# -- galleries ---------------------------------------------------------------------------------------------------------


class NewGallery(Request):
    """A gallery to make for the descriptors of the service's weights."""

    name: GalleryName
    retention: Annotated[float, Field(gt=0, lt=1e11)] | None = Field(
        None, description="Seconds that items are kept; null for ever."
    )


class GalleryInfo(Response):
    """One gallery of the list."""

    name: str
    items: int | None = Field(description="Null if it cannot be read.")
    fits: bool = Field(
        description="Whether the service's weights made its descriptors; else crops cannot be added nor searched."
    )
    problem: str | None = Field(description="Why it cannot be read, or not be searched with crops; null if it can.")


class GalleryList(Response):
    """All galleries, sorted by name."""

    galleries: list[GalleryInfo]


class LevelOut(Response):
    """The thresholds for queries of one number of crops."""

    images: int = Field(description="Crops that make the query.")
    threshold: float = Field(description="At this distance or nearer a match is likely.")
    far: float | None = Field(description="Beyond it a hit is probably somebody else; null where that cannot be told.")
    found: float | None = Field(description="Share of true pairs up to the threshold; null where none was measured.")
    missed: float | None = Field(description="Share of true pairs beyond far; null without it.")


class CalibrationOut(Response):
    """The thresholds that tell whether a hit is the same person."""

    threshold: float = Field(description="For queries of one crop.")
    rate: float = Field(description="The false-positive rate that it was set for.")
    unit: Literal["pair", "search"] = Field(description="What the rate is a share of.")
    miss: float = Field(description="Share of true pairs that was allowed beyond far.")
    levels: list[LevelOut] = Field(
        description="For one crop and for more. A query is judged by the first with as many crops or more; without one, by none."
    )


class GalleryStats(Response):
    """A gallery in numbers."""

    name: str
    fits: bool
    fingerprint: str
    items: int
    persons: int
    unnamed: int
    cameras: dict[str, int]
    first: float | None
    last: float | None
    version: int
    files: int
    bytes: int | None
    sealed: bool = Field(description="Whether every item has checksums, so that damage is seen.")
    retention: float | None
    parts: list[PartOut]
    calibration: CalibrationOut | None
    calibration_problem: str | None = Field(
        description="Why the threshold that is there cannot be used, so that no hit is called probable; null otherwise."
    )


# -- items -------------------------------------------------------------------------------------------------------------


class CropFields(Request):
    """What is said of one crop; one object an image, in the same order."""

    id: Text
    camera: Text
    person: Text | None = None
    time: Time | None = None
    source: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = Field(
        None, description="The picture or film that the crop is from, as text; never opened."
    )
    box: Box | None = Field(None, description="Where in the source the crop lies.")


class Added(Response):
    """What came of adding."""

    added: int
    present: int = Field(description="Items whose id was there already; left as they are.")
    version: int
    expired: int = Field(description="Older items that expired meanwhile.")
    overdue: int = Field(description="Older items that did not, because that is in doubt; the route expire says why.")


class ItemsQuery(BaseModel):
    """Which items to list."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    camera: Annotated[list[Text], Field(max_length=100)] | None = Field(
        None, description="One of these; may be repeated."
    )
    person: Annotated[list[Text], Field(max_length=100)] | None = Field(
        None, description="One of these; may be repeated."
    )
    since: Time | None = Field(None, description="Taken at or after.")
    until: Time | None = Field(None, description="Taken before.")
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50
    offset: Annotated[int, Field(ge=0, le=10**9)] = 0


class ItemOut(Response):
    """One item."""

    id: str
    camera: str
    person: str | None
    time: float | None
    source: str | None
    box: Annotated[list[float], Field(min_length=4, max_length=4)] | None


class ItemPage(Response):
    """Some items in the order of adding."""

    items: list[ItemOut]
    next: int | None = Field(description="The offset of the next page; null on the last.")


class Ids(Request):
    """Some items."""

    ids: Annotated[list[Text], Field(min_length=1, max_length=MAX_IDS)]


class EraseRequest(Request):
    """Items to erase: these, and all of a person."""

    ids: Annotated[list[Text], Field(max_length=MAX_IDS)] = []
    person: Text | None = None

    @model_validator(mode="after")
    def _something(self) -> EraseRequest:
        if not self.ids and self.person is None:
            raise ValueError("name at least one id, or a person")
        return self


class Count(Response):
    """How many items it was."""

    count: int


class TakenOut(Response):
    """Items that were taken out."""

    count: int = Field(description="How many items.")
    missing: list[str] = Field(description="Ids that were named and are not there; 404 where nothing is.")


class ExpireQuery(BaseModel):
    """Options of expiring."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sure: bool = Field(
        False,
        description="Also where the clock is far ahead of the newest item, or more than a tenth of the gallery would go.",
    )


class Expired(Response):
    """Items that expired."""

    count: int = Field(description="How many items.")
    future: list[str] = Field(
        description="The first hundred items that are from the future, by the clock: they would be kept too long."
    )


# -- audit and jobs ----------------------------------------------------------------------------------------------------


class AuditQuery(BaseModel):
    """Which events to give."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    item: Text | None = Field(None, description="Only those that concern this item.")
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50
    offset: Annotated[int, Field(ge=0, le=100_000)] = Field(0, description="Newer events to pass over.")


class AuditEvent(Response):
    """One line of the audit log."""

    time: str | None
    who: str | None
    action: str
    state: str | None
    count: int | None
    items: list[str] = Field(description="Digests of the ids that it was about.")
    details: dict[str, str | float | bool | None]


class AuditPage(Response):
    """Some events, the newest first."""

    events: list[AuditEvent]
    total: int


class JobError(Response):
    """One thing that a job could not do."""

    item: str | None
    message: str


class JobOut(Response):
    """A long job, and how far it is."""

    id: str
    kind: Literal["add", "compact"]
    gallery: str
    by: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    done: int
    of: int
    added: int
    present: int
    expired: int
    overdue: int
    errors: list[JobError] = Field(description="The first hundred.")
    error_count: int


class JobList(Response):
    """The jobs of this process, the newest first."""

    jobs: list[JobOut]
