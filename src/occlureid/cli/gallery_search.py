"""Searching a gallery from the command line: tables, JSON, explanations, and contact sheets."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image

from occlureid.cli.gallery_crops import Crop, Naming, collect, cut
from occlureid.cli.gallery_describing import CropDescriber
from occlureid.cli.gallery_place import beside, check_model, moment, named, opened, read_names, table, when, who
from occlureid.cli.gallery_place import say as say_values
from occlureid.cli.weights import describer_of
from occlureid.errors import DamagedError, DataError, UsageError
from occlureid.gallery import ApproximateSearcher, Filter, Gallery, Item
from occlureid.gallery.hits import VERDICTS, Hit, SearchResult
from occlureid.gallery.openset import Calibration
from occlureid.gallery.search import Searcher
from occlureid.plots import RankedPicture, contact_sheet, draw_parts, ranked_list_image
from occlureid.types import Descriptor, Region

__all__ = ["CALIBRATION", "search"]

CALIBRATION = "calibration.json"
"""The threshold of a gallery, in its folder."""

_HEIGHT = 192
_NAME_LENGTH = 26
_THUMBNAIL_PIXELS = 4_000_000


@dataclass(frozen=True, eq=False, slots=True)
class _Query:
    """One or more crops of a person: what to call them, what they look like to the method, and where the pictures are."""

    name: str
    crops: Descriptor
    shown: tuple[Crop | Item, ...]
    stored: tuple[str, ...] = ()
    """Ids of items that are the query itself, and no hits."""


def search(options: argparse.Namespace) -> int:
    """The command ``gallery search``."""
    if bool(options.images) == bool(options.item):
        raise UsageError("search by images or by --item ID: give one of the two")
    if options.k < 1:
        raise UsageError(f"-k must be at least 1, got {options.k}")
    gallery, by, wanted = opened(options), who(options), _filter(options)
    parts = read_names(gallery)
    queries = _stored(options, gallery) if options.item else _described(options, gallery)
    if options.together:
        queries = [_joined(queries)]
    searcher, calibration = _searcher(options, gallery), _calibration(options, gallery)
    results, judgements = [], []
    for query in queries:
        found = searcher.search_person(
            query.crops, k=options.k + len(query.stored), filter=wanted, calibration=calibration
        )
        judging = None if calibration is None else calibration.at(len(query.crops))
        judgements.append(judging)
        results.append(_without(found, query.stored, options.k, judging))
        gallery.audit.write(by, "search", count=len(results[-1].hits), ids=[hit.id for hit in results[-1].hits])
    names = parts.labels(gallery.shape.parts)
    values = [
        {"query": query.name, "parts": names, **found.to_json()} for query, found in zip(queries, results, strict=True)
    ]
    texts = [
        _text(query, found, names, options) + _judged(query, found.searched, judging, calibration)
        for query, found, judging in zip(queries, results, judgements, strict=True)
    ]
    say_values(options, {"gallery": gallery.path, "queries": values}, "\n\n".join(texts))
    if options.sheet:
        _sheet(options.sheet, gallery, queries, results, parts.regions)
        print(options.sheet, file=sys.stderr if options.json else sys.stdout)
    return 0


def _searcher(options: argparse.Namespace, gallery: Gallery) -> Searcher:
    """Exact, unless an index was asked for, which says how good it is."""
    if not options.approximate:
        return Searcher(gallery)
    searcher = ApproximateSearcher(gallery)
    report = searcher.report
    print(
        f"index of {report.items} items, {report.cells} cells for each vector, {report.probes} asked: it compares "
        f"{report.scanned:.1%} of the items and finds {report.recall:.1%} of the {report.k} nearest, measured with "
        f"{report.queries} stored items",
        file=sys.stderr,
    )
    return searcher


# -- the question ------------------------------------------------------------------------------------------------------


def _filter(options: argparse.Namespace) -> Filter:
    try:
        return Filter(
            cameras=tuple(options.camera) or None,
            not_cameras=tuple(options.not_camera) or None,
            persons=tuple(options.person) or None,
            since=None if options.since is None else moment(options.since, "--since"),
            until=None if options.until is None else moment(options.until, "--until"),
        )
    except DataError as error:
        raise UsageError(str(error)) from error


def _calibration(options: argparse.Namespace, gallery: Gallery) -> Calibration | None:
    if options.calibration is not None:
        return Calibration.load(options.calibration)
    own = beside(gallery, CALIBRATION)
    return Calibration.load(own) if own is not None and own.is_file() else None


def _described(options: argparse.Namespace, gallery: Gallery) -> list[_Query]:
    describer = describer_of(options)
    check_model(gallery, describer.method, options.weights)
    crop_describer, queries = CropDescriber(describer), []
    for group in collect(options.images, Naming()):
        descriptor, _, _ = crop_describer.describe(
            group.root, group.crops, batch_size=options.batch_size, on_corrupt="fatal"
        )
        if descriptor is None:  # it would have been an error
            continue
        for number, crop in enumerate(group.crops):
            queries.append(_Query(crop.item.id, descriptor[number : number + 1], (crop,)))
    return queries


def _stored(options: argparse.Namespace, gallery: Gallery) -> list[_Query]:
    ids = list(dict.fromkeys(options.item))
    read = gallery.spatial if gallery.rule.spatial_weight > 0 else gallery.descriptor
    found = read(ids).to(dtype=torch.float32)
    items = gallery.get(ids)
    return [_Query(id, found[n : n + 1], (items[n],), (id,)) for n, id in enumerate(ids)]


def _joined(queries: Sequence[_Query]) -> _Query:
    """All crops as one person's."""
    return _Query(
        " + ".join(query.name for query in queries),
        Descriptor.cat(query.crops for query in queries),
        tuple(one for query in queries for one in query.shown),
        tuple(id for query in queries for id in query.stored),
    )


def _without(found: SearchResult, ids: Sequence[str], k: int, judging: Calibration | None) -> SearchResult:
    hits = tuple(hit for hit in found.hits if hit.id not in ids)[:k]
    absent = None if judging is None else judging.absent(hit.verdict for hit in hits)
    return replace(found, hits=hits, absent=absent)


# -- the answer in words -----------------------------------------------------------------------------------------------


def _shared(hit: Hit, names: Sequence[str]) -> str:
    if not hit.reason.parts:
        return "-"
    named = zip(names, hit.reason.parts, strict=True)
    return ", ".join(name for name, part in named if part.weight > 0) or "none"


def _text(query: _Query, found: SearchResult, names: Sequence[str], options: argparse.Namespace) -> str:
    judged = found.absent is not None
    head = ("rank", "id", "distance", "person", "camera", "time", "shared parts", *(("verdict",) * judged))
    rows = [
        (
            rank, hit.id, f"{hit.distance:.4f}", hit.person, hit.camera, when(hit.time), _shared(hit, names),
            *(() if hit.verdict is None else (VERDICTS[hit.verdict],)),
        )
        for rank, hit in enumerate(found.hits, 1)
    ]  # fmt: skip
    notes = [f"{query.name}: {len(found.hits)} nearest of {found.searched} items searched"]
    if found.incomparable:
        notes.append(f"{found.incomparable} show nothing that the query shows")
    if found.damaged:
        notes.append(
            f"{found.damaged} damaged items were left out: {named(found.damaged_ids[: found.damaged])}"
            + (f" and {more} more" if (more := found.damaged - len(found.damaged_ids)) > 0 else "")
            + f" (occlureid gallery verify {options.gallery})"
        )
    if not found.exact:
        notes.append("a shortlist was compared in full; the ranking may lack others")
    lines = ["; ".join(notes), table(head, rows)] if rows else notes
    if found.absent:
        lines.append("probably not in the gallery: every hit lies where few images of one person do")
    if options.explain:
        lines += [_explained(rank, hit, names) for rank, hit in enumerate(found.hits, 1)]
    return "\n".join(lines)


def _judged(query: _Query, searched: int, judging: Calibration | None, calibration: Calibration | None) -> str:
    """The meaning of the verdicts, or why there are none."""
    if calibration is None:
        return ""
    if judging is None:
        return f"\nno verdict: {calibration.limit(len(query.crops))}"
    expected = round(judging.expected_false(searched)) if judging.unit == "pair" else 0
    chance = (
        f"\nabout {expected} of {searched} items of other people can be a likely match by chance" if expected else ""
    )
    return f"\n{judging.meaning()}{chance}"


def _explained(rank: int, hit: Hit, names: Sequence[str]) -> str:
    reason = hit.reason
    rows: list[tuple[object, ...]] = []
    if reason.global_distance is not None:
        rows.append(("whole image", f"{reason.global_distance:.4f}", f"{reason.global_weight:.2f}", "yes", "yes"))
    for name, part in zip(names, reason.parts, strict=False):
        distance = None if part.distance is None else f"{part.distance:.4f}"
        rows.append((name, distance, f"{part.weight:.2f}", _yes(part.in_query), _yes(part.in_hit)))
    if reason.spatial_distance is not None:
        rows.append(("local vectors", f"{reason.spatial_distance:.4f}", None, None, None))
    return f"\n{rank}. {hit.id}\n{table(('compared', 'distance', 'weight', 'in query', 'in hit'), rows)}"


def _yes(value: bool) -> str:
    return "yes" if value else "unseen"


# -- the answer in pictures --------------------------------------------------------------------------------------------


def _sheet(
    path: Path,
    gallery: Gallery,
    queries: Sequence[_Query],
    results: Sequence[SearchResult],
    regions: Sequence[Region],
) -> None:
    strips = [_strip(gallery, *pair, regions) for pair in zip(queries, results, strict=True)]
    sheet = Image.new("RGB", (max(s.width for s in strips), sum(s.height for s in strips)), (255, 255, 255))
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: a sheet cannot be written here ({error}); name a file such as hits.png") from error


def _strip(gallery: Gallery, query: _Query, found: SearchResult, regions: Sequence[Region]) -> Image.Image:
    asked = [_picture(one) or _missing() for one in query.shown]
    shown = asked[0] if len(asked) == 1 else contact_sheet(asked, len(asked), height=_HEIGHT)
    pictures = []
    for hit in found.hits:
        picture = _picture_of(gallery, hit.id)
        lines = [_short(hit.id), f"{hit.distance:.3f}, camera {_short(hit.camera, 10)}"]
        if hit.person is not None:
            lines.append(f"person {_short(hit.person, 18)}")
        if hit.verdict is not None:
            lines.append(VERDICTS[hit.verdict])
        weights = tuple(part.weight for part in hit.reason.parts) or (0.0,) * len(regions)
        distances = tuple(float("nan") if p.distance is None else p.distance for p in hit.reason.parts) or None
        pictures.append(RankedPicture(picture or _missing(), None, tuple(lines), weights, distances))
    compared = regions if any(hit.reason.parts for hit in found.hits) else ()
    if compared and found.hits and len(asked) == 1:
        seen = [float(part.in_query) for part in found.hits[0].reason.parts]
        shown = draw_parts(shown, compared, seen, height=_HEIGHT)
    title = (_short(query.name), *(("probably not here",) if found.absent else ()))
    return ranked_list_image(shown, pictures, regions=compared, query_captions=title, height=_HEIGHT)


def _picture_of(gallery: Gallery, id: str) -> Image.Image | None:
    """The picture of a stored item; none where it is damaged."""
    try:
        return _picture(gallery.get([id])[0])
    except DamagedError as error:
        print(error, file=sys.stderr)
        return None


def _picture(one: Crop | Item) -> Image.Image | None:
    """The thumbnail of an item, else what its source shows; None where there is neither any more."""
    if isinstance(one, Crop):
        return cut(one)
    if one.thumbnail is not None:
        try:
            with Image.open(io.BytesIO(one.thumbnail), formats=("JPEG",)) as image:
                return image.convert("RGB") if image.width * image.height <= _THUMBNAIL_PIXELS else None
        except Exception:  # decoders raise whatever damaged bytes drive them to
            return None
    source = None if one.source is None else Path(one.source)
    try:
        return cut(Crop(one, source)) if source is not None and source.is_file() else None
    except (DataError, OSError):
        return None


def _missing() -> Image.Image:
    """What stands for a picture that is not there."""
    return Image.new("RGB", (_HEIGHT // 2, _HEIGHT), (205, 208, 214))


def _short(text: str, most: int = _NAME_LENGTH) -> str:
    return text if len(text) <= most else "…" + text[1 - most :]
