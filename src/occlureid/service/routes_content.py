"""The routes about the content of one gallery: items, searches, explanations, the audit log, jobs that change it."""

from collections import deque
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Response
from pydantic import ValidationError

from occlureid.data.images import cut_box
from occlureid.gallery.records import Filter
from occlureid.gallery.store import Gallery
from occlureid.service.descriptors import read_descriptor
from occlureid.service.engine import Engine
from occlureid.service.forms import Upload, form_schema, upload_of
from occlureid.service.gate import needs
from occlureid.service.intake import add_crops, fields_of
from occlureid.service.models import (
    MAX_CROPS,
    Added,
    AuditEvent,
    AuditPage,
    AuditQuery,
    EraseRequest,
    Expired,
    ExpireQuery,
    Ids,
    ItemOut,
    ItemPage,
    ItemsQuery,
    JobOut,
    TakenOut,
    Text,
)
from occlureid.service.pictures import open_picture
from occlureid.service.problems import explain_invalid, refuse
from occlureid.service.routes import GalleryPath, Who
from occlureid.service.search_models import (
    Answer,
    ExplainRequest,
    Explanation,
    SearchByDescriptor,
    SearchByImages,
    SearchByItems,
)
from occlureid.service.searches import explain_pair, stored
from occlureid.service.shelf import OpenGallery
from occlureid.types import Descriptor

__all__ = ["add_content_routes"]

_FIELDS = "A JSON list of CropFields (id, camera, person, time, source, box), one an image, in the same order."
_QUERY = "A JSON object SearchByImages: k, filters, boxes and stored items."
_KNOWN = frozenset({"time", "who", "action", "state", "count", "items"})

ItemQuery = Annotated[Text, Query(description="The id of the item.")]


def add_content_routes(app: FastAPI, engine: Engine) -> None:
    """Adds these routes."""
    _add_items(app, engine)
    _add_removals(app, engine)
    _add_searches(app, engine)
    _add_audit(app, engine)
    _add_gallery_jobs(app, engine)


def _add_items(app: FastAPI, engine: Engine) -> None:
    most = engine.settings.images
    read = upload_of("fields", most, required=True)

    @app.get("/api/galleries/{gallery}/items", **needs("search"))
    def list_items(gallery: GalleryPath, query: Annotated[ItemsQuery, Query()]) -> ItemPage:
        """Items in the order of adding, page by page."""
        opened = engine.shelf.get(gallery)
        wanted = Filter(
            cameras=None if query.camera is None else tuple(query.camera),
            persons=None if query.person is None else tuple(query.person),
            since=query.since,
            until=query.until,
        )
        with opened.reading() as content:
            found = content.items(wanted, limit=query.limit + 1, offset=query.offset)
        more = len(found) > query.limit
        return ItemPage(
            items=[_item(item) for item in found[: query.limit]], next=query.offset + query.limit if more else None
        )

    @app.post(
        "/api/galleries/{gallery}/items",
        **needs("add", "images", **form_schema("fields", _FIELDS, most, required=True)),
    )
    def add_items(gallery: GalleryPath, caller: Who, upload: Annotated[Upload, Depends(read)]) -> Added:
        """Adds crops: all, or none. To add the same again changes nothing."""
        opened = engine.shelf.get(gallery)
        fields = fields_of(upload)
        result = add_crops(opened, engine.describer, engine.settings, fields, upload.images, by=caller.name)
        return Added(
            added=result.added,
            present=result.present,
            version=result.version,
            expired=result.expired,
            overdue=result.overdue,
        )

    @app.get("/api/galleries/{gallery}/item", **needs("search"))
    def describe_item(gallery: GalleryPath, id: ItemQuery) -> ItemOut:
        """One item."""
        opened = engine.shelf.get(gallery)
        found = _find(opened, id)
        return _item(found)

    @app.get("/api/galleries/{gallery}/thumbnail", response_class=Response, **_picture())
    def show_item(gallery: GalleryPath, id: ItemQuery) -> Response:
        """The picture of one item, a JPEG file."""
        opened = engine.shelf.get(gallery)
        _find(opened, id)
        with opened.reading() as content:
            picture = content.thumbnail(id)
        if picture is None:
            raise refuse(404, f"item {id!r} has no picture")
        return Response(picture, media_type="image/jpeg")


def _add_removals(app: FastAPI, engine: Engine) -> None:
    @app.post("/api/galleries/{gallery}/remove", **needs("add"))
    def remove_items(gallery: GalleryPath, which: Ids, caller: Who) -> TakenOut:
        """Takes items out of the gallery. Their bytes stay until erased. 404 if none of them is there."""
        with engine.shelf.get(gallery).writing() as content:
            missing = _missing(content, which.ids)
            return _taken_out(gallery, content.remove(which.ids, by=caller.name), missing)

    @app.post("/api/galleries/{gallery}/erase", **needs("admin"))
    def erase_items(gallery: GalleryPath, which: EraseRequest, caller: Who) -> TakenOut:
        """Takes items out of the gallery, and every byte of them off the disk: these, and all of a person.

        404 if nobody of them is there; what was removed before is off the disk then all the same.
        """
        with engine.shelf.get(gallery).writing() as content:
            missing = _missing(content, which.ids)
            if which.person is not None and not len(content.columns(Filter(persons=(which.person,)))):
                missing.append(which.person)
            return _taken_out(gallery, content.erase(ids=which.ids, person=which.person, by=caller.name), missing)

    @app.post("/api/galleries/{gallery}/expire", **needs("admin"))
    def expire_items(gallery: GalleryPath, query: Annotated[ExpireQuery, Query()], caller: Who) -> Expired:
        """Erases what is older than the gallery keeps items. 409 if that is in doubt, unless ``sure``; nothing is erased then."""
        with engine.shelf.get(gallery).writing() as content:
            found = content.expiring()
            if found.doubt is not None and not query.sure:
                raise refuse(
                    409,
                    f"{len(found)} items would expire, but {found.doubt}. Nothing was erased; to erase them, ask with sure",
                )
            count = content.expire(found.now, by=caller.name, sure=query.sure)
            return Expired(count=count, future=list(found.future[:100]))


def _missing(content: Gallery, ids: list[str]) -> list[str]:
    there = set(content.columns(Filter(ids=tuple(ids))).ids.to_pylist()) if ids else set()
    return [one for one in dict.fromkeys(ids) if one not in there]


def _taken_out(gallery: str, count: int, missing: list[str]) -> TakenOut:
    """Whoever names somebody who is not there must not take the answer for a success."""
    if not count:
        raise refuse(404, f"gallery {gallery} has nobody of those named: {', '.join(map(repr, missing[:5]))}")
    return TakenOut(count=count, missing=missing)


def _add_searches(app: FastAPI, engine: Engine) -> None:
    read = upload_of("query", MAX_CROPS, required=False)
    form = form_schema("query", _QUERY, MAX_CROPS, required=False)

    @app.post("/api/galleries/{gallery}/search/images", **needs("search", "images", **form))
    def search_by_images(gallery: GalleryPath, caller: Who, upload: Annotated[Upload, Depends(read)]) -> Answer:
        """The nearest items to a person in uploaded pictures: crops, or larger pictures with a box around the person."""
        opened = engine.shelf.get(gallery)
        options = _options(upload)
        opened.check_fit()
        crops = _described(engine, upload, options)
        if options.items:
            own = stored(opened, options.items)
            both = [crops, own] if opened.gallery.rule.spatial_weight > 0 else [_bare(crops), _bare(own)]
            crops = Descriptor.cat(both)
        return engine.searches.search(opened, crops, options, leave_out=options.items, by=caller.name)

    @app.post("/api/galleries/{gallery}/search/items", **needs("search"))
    def search_by_items(gallery: GalleryPath, query: SearchByItems, caller: Who) -> Answer:
        """The nearest items to a person of whom some items are stored."""
        opened = engine.shelf.get(gallery)
        leave_out = [] if query.include_query else query.ids
        return engine.searches.search(opened, stored(opened, query.ids), query, leave_out=leave_out, by=caller.name)

    @app.post("/api/galleries/{gallery}/search/descriptor", **needs("search", "descriptor"))
    def search_by_descriptor(gallery: GalleryPath, query: SearchByDescriptor, caller: Who) -> Answer:
        """The nearest items to a person of whom descriptors were made elsewhere, by the gallery's model."""
        opened = engine.shelf.get(gallery)
        crops = read_descriptor(query.descriptor, MAX_CROPS)
        return engine.searches.search(opened, crops, query, leave_out=[], by=caller.name)

    @app.post("/api/galleries/{gallery}/explain", **needs("search"))
    def explain_items(gallery: GalleryPath, pair: ExplainRequest) -> Explanation:
        """Why two stored items are as far apart as they are."""
        return explain_pair(engine.shelf.get(gallery), pair.query, pair.hit)


def _add_audit(app: FastAPI, engine: Engine) -> None:
    @app.get("/api/galleries/{gallery}/audit", **needs("admin"))
    def list_events(gallery: GalleryPath, query: Annotated[AuditQuery, Query()]) -> AuditPage:
        """Who searched, added, removed what, and when; the newest first."""
        opened = engine.shelf.get(gallery)
        total, newest = 0, deque[dict[str, Any]](maxlen=query.offset + query.limit)
        with opened.reading() as content:
            for event in content.audit.read(query.item):
                newest.append(event)
                total += 1
        wanted = list(reversed(newest))[query.offset :]
        return AuditPage(events=[_event(event) for event in wanted], total=total)


def _add_gallery_jobs(app: FastAPI, engine: Engine) -> None:
    most = engine.settings.job_images
    read = upload_of("fields", most, required=True)
    form = form_schema("fields", _FIELDS, most, required=True)

    @app.post("/api/galleries/{gallery}/jobs/add", status_code=202, **needs("add", "images", **form))
    def add_many(gallery: GalleryPath, caller: Who, upload: Annotated[Upload, Depends(read)]) -> JobOut:
        """Adds many crops as a job; one that cannot be taken is an error of the job and leaves the others alone."""
        opened = engine.shelf.get(gallery)
        return engine.jobs.add(opened, fields_of(upload), upload.images, caller.name)

    @app.post("/api/galleries/{gallery}/jobs/compact", status_code=202, **needs("admin"))
    def compact(gallery: GalleryPath, caller: Who) -> JobOut:
        """Joins small files, and takes what was removed off the disk, as a job."""
        return engine.jobs.compact(engine.shelf.get(gallery), caller.name)


def _options(upload: Upload) -> SearchByImages:
    try:
        options = SearchByImages.model_validate_json(upload.text or "{}")
    except ValidationError as error:
        raise refuse(422, explain_invalid(error, "query")) from error
    if options.boxes is not None and len(options.boxes) != len(upload.images):
        raise refuse(
            422, f"expected one box (or null) an image, got {len(options.boxes)} for {len(upload.images)} images"
        )
    return options


def _described(engine: Engine, upload: Upload, options: SearchByImages) -> Descriptor:
    pictures = []
    for number, data in enumerate(upload.images):
        name = f"image {number + 1}"
        picture = open_picture(data, engine.settings, name)
        box = None if options.boxes is None else options.boxes[number]
        pictures.append(picture if box is None else cut_box(picture, box, name))
    return engine.describer.describe(pictures)


def _bare(crops: Descriptor) -> Descriptor:
    """Without local vectors."""
    return Descriptor(crops.global_, crops.parts, crops.visibility, fingerprint=crops.fingerprint)


def _find(opened: OpenGallery, id: str) -> Any:
    wanted = Filter(ids=(id,))
    with opened.reading() as content:
        found = content.items(wanted, limit=1)
    if not found:
        raise refuse(404, f"gallery {opened.name} has no item {id!r}")
    return found[0]


def _item(item: Any) -> ItemOut:
    return ItemOut(
        id=item.id,
        camera=item.camera,
        person=item.person,
        time=item.time,
        source=item.source,
        box=None if item.box is None else list(item.box),
    )


def _picture() -> dict[str, Any]:
    keywords = needs("search")
    file = {
        "description": "A JPEG file.",
        "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
    }
    return {**keywords, "responses": {**keywords["responses"], 200: file}}


def _event(event: dict[str, Any]) -> AuditEvent:
    """An event of the log, which may hold anything if somebody else wrote it."""

    def text(name: str) -> str | None:
        return event[name] if isinstance(event.get(name), str) else None

    count, items = event.get("count"), event.get("items", [])
    plain = (str, float, int, bool, type(None))
    return AuditEvent(
        time=text("time"),
        who=text("who"),
        action=text("action") or "damaged",
        state=text("state"),
        count=count if isinstance(count, int) and not isinstance(count, bool) else None,
        items=[one for one in items if isinstance(one, str)],
        details={str(k): v for k, v in event.items() if k not in _KNOWN and isinstance(v, plain)},
    )
