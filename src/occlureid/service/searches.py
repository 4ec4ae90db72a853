"""Searches of several requests in one scan, and what is answered to each."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from occlureid.errors import DataError
from occlureid.gallery.bodyparts import BodyParts
from occlureid.gallery.crops import join_crops
from occlureid.gallery.hits import Hit, Reason, SearchResult
from occlureid.gallery.openset import Calibration, Level
from occlureid.gallery.records import Filter
from occlureid.gallery.rescore import rescore
from occlureid.service.batches import Batcher
from occlureid.service.models import CalibrationOut, LevelOut, PartOut, RegionOut
from occlureid.service.problems import refuse
from occlureid.service.search_models import Answer, Explanation, HitOut, PartReasonOut, ReasonOut, SearchOptions
from occlureid.service.settings import ServiceSettings
from occlureid.service.shelf import OpenGallery
from occlureid.types import Descriptor

__all__ = ["Searches", "calibration_out", "explain_pair", "parts_of", "stored"]


@dataclass(frozen=True, eq=False, slots=True)
class _Ask:
    gallery: OpenGallery
    query: Descriptor
    k: int
    filter: Filter
    calibration: Calibration | None


class Searches:
    """Searches galleries.

    Attributes:
        scans: how often a gallery was scanned.
        searches: how many searches those were.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.scans = 0
        self.searches = 0
        self._batcher: Batcher[_Ask, SearchResult] = Batcher(
            "search", self._work, most=settings.batch_queries, wait=settings.batch_seconds, queue=settings.queue,
            patience=settings.answer_seconds,
        )  # fmt: skip

    @property
    def waiting(self) -> int:
        """How many searches wait."""
        return self._batcher.waiting

    def start(self) -> None:
        """Begins to work."""
        self._batcher.start()

    def close(self) -> None:
        """Answers what waits, and ends."""
        self._batcher.close()

    def search(
        self, opened: OpenGallery, crops: Descriptor, options: SearchOptions, *, leave_out: Sequence[str], by: str
    ) -> Answer:
        """The nearest items to a person of whom there are some crops.

        Args:
            opened: where to search.
            crops: of the person.
            options: how many hits, and among which items.
            leave_out: ids that are no hits; the answer has as many hits all the same.
            by: who searches.

        Raises:
            DataError: a value of the options is not possible.
            FingerprintError: another model made the crops.
            ShapeError: the crops have another shape than the gallery.
            BusyError: too many others search.
            HTTPException: 404 if the gallery was deleted meanwhile.
        """
        wanted = Filter(
            cameras=_texts(options.cameras),
            not_cameras=_texts(options.not_cameras),
            persons=_texts(options.persons),
            since=options.since,
            until=options.until,
        )
        gone = {*options.not_ids, *leave_out}
        if opened.gallery.rule.spatial_weight == 0:
            crops = replace(crops, spatial=None, saliency=None)
        query = join_crops(opened.gallery.rule, crops)
        calibration = opened.calibration.current().calibration
        judging = None if calibration is None else calibration.at(len(crops))
        with opened.reading():
            result = self._batcher.ask(_Ask(opened, query, options.k + len(gone), wanted, judging))
        hits = [hit for hit in result.hits if hit.id not in gone][: options.k]
        absent = None if judging is None else judging.absent(hit.verdict for hit in hits)
        opened.gallery.audit.write(by, "search", count=len(hits), ids=[hit.id for hit in hits])
        return Answer(
            hits=[_hit(hit) for hit in hits],
            parts=parts_of(opened),
            searched=result.searched,
            incomparable=result.incomparable,
            exact=result.exact,
            coverage=result.coverage,
            damaged=result.damaged,
            damaged_ids=list(result.damaged_ids),
            absent=absent,
            calibration=calibration_out(calibration),
            level=None if judging is None else level_out(judging),
            no_verdict=None if calibration is None or judging is not None else calibration.limit(len(crops)),
        )

    def _work(self, asks: Sequence[_Ask]) -> list[SearchResult]:
        together: dict[object, list[int]] = defaultdict(list)
        for place, ask in enumerate(asks):
            spatial = None if ask.query.spatial is None else ask.query.spatial.shape
            sizes = ask.query.global_.shape, ask.query.parts.shape, spatial, ask.query.fingerprint
            together[id(ask.gallery), ask.k, ask.filter, ask.calibration, sizes].append(place)
        results: dict[int, SearchResult] = {}
        for places in together.values():
            first = asks[places[0]]
            queries = Descriptor.cat([asks[place].query for place in places])
            found = first.gallery.searcher.search(
                queries, k=first.k, filter=first.filter, calibration=first.calibration
            )
            self.scans += 1
            self.searches += len(places)
            results.update(zip(places, found, strict=True))
        return [results[place] for place in range(len(asks))]


def stored(opened: OpenGallery, ids: Sequence[str]) -> Descriptor:
    """The descriptors of stored items, in float32, with local vectors where the rule compares them.

    Raises:
        HTTPException: 404 if one is not there.
    """
    gallery = opened.gallery
    spatial = gallery.rule.spatial_weight > 0
    with opened.reading():
        try:
            found = gallery.spatial(ids) if spatial else gallery.descriptor(ids)
        except DataError:
            there = set(gallery.columns(Filter(ids=tuple(ids))).ids.to_pylist())
            missing = [one for one in ids if one not in there]
            if missing:
                raise refuse(404, f"gallery {opened.name} has no item {missing[0]!r}") from None
            raise
    return found.to(dtype=torch.float32)


def explain_pair(opened: OpenGallery, query: str, hit: str) -> Explanation:
    """Why two stored items are as far apart as they are.

    Raises:
        HTTPException: 404 if one is not there.
    """
    both = stored(opened, [query, hit])
    with opened.reading() as gallery:
        columns = gallery.columns(Filter(ids=(hit,)))
    if len(columns) != 1:
        raise refuse(404, f"gallery {opened.name} has no item {hit!r}")
    found = rescore(opened.gallery.rule, both[:1], columns, both[1:]).hit(0)
    return Explanation(distance=_finite(found.distance), parts=parts_of(opened), reason=_reason(found.reason))


def parts_of(opened: OpenGallery) -> list[PartOut]:
    """The parts that a gallery's rule compares, and where they lie."""
    if opened.gallery.rule.part_factor == 0 or opened.gallery.rule.spatial_weight == 1:
        return []
    return part_names(opened.gallery.shape.parts, opened.parts)


def part_names(count: int, parts: BodyParts) -> list[PartOut]:
    """Parts as the page shows them; numbered where nothing is known of them."""
    places: list[RegionOut | None] = [
        RegionOut(top=r.top, left=r.left, bottom=r.bottom, right=r.right) for r in parts.regions
    ]
    return [
        PartOut(name=name, region=place)
        for name, place in zip(parts.labels(count), places or [None] * count, strict=True)
    ]


def calibration_out(made: Calibration | None) -> CalibrationOut | None:
    """The thresholds as they are shown."""
    if made is None:
        return None
    levels = [level_out(level) for level in made.levels]
    return CalibrationOut(threshold=made.threshold, rate=made.rate, unit=made.unit, miss=made.miss, levels=levels)


def level_out(level: Level) -> LevelOut:
    """The thresholds for one number of crops, with shares for counts."""
    found = level.found / level.genuine if level.genuine else None
    missed = None if level.far is None else level.missed / level.genuine
    return LevelOut(images=level.images, threshold=level.threshold, far=level.far, found=found, missed=missed)


def _texts(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _reason(reason: Reason) -> ReasonOut:
    return ReasonOut(
        global_distance=_finite(reason.global_distance),
        global_weight=reason.global_weight,
        parts=[
            PartReasonOut(distance=_finite(p.distance), weight=p.weight, in_query=p.in_query, in_hit=p.in_hit)
            for p in reason.parts
        ],
        spatial_distance=_finite(reason.spatial_distance),
    )


def _hit(hit: Hit) -> HitOut:
    return HitOut(
        id=hit.id,
        distance=hit.distance,
        camera=hit.camera,
        person=hit.person,
        time=hit.time,
        probable=hit.probable,
        verdict=hit.verdict,
        reason=_reason(hit.reason),
    )
