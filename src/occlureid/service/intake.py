"""Crops on their way into a gallery: checked, described, added."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from occlureid.errors import DataError
from occlureid.gallery.records import Item
from occlureid.gallery.store import AddResult
from occlureid.service.describer import BatchedDescriber
from occlureid.service.forms import Upload
from occlureid.service.models import CropFields
from occlureid.service.pictures import open_picture, thumbnail
from occlureid.service.problems import explain_invalid, refuse
from occlureid.service.settings import ServiceSettings
from occlureid.service.shelf import OpenGallery

__all__ = ["add_crops", "fields_of"]

_FIELDS = TypeAdapter(list[CropFields])


def fields_of(upload: Upload) -> list[CropFields]:
    """What an upload says of its images.

    Raises:
        HTTPException: 422 if it is not a JSON list of as many objects, an id comes twice, or a value is not possible.
    """
    try:
        fields = _FIELDS.validate_json(upload.text or "")
    except ValidationError as error:
        raise refuse(422, explain_invalid(error, "fields")) from error
    if len(fields) != len(upload.images):
        raise refuse(422, f"expected one object an image, got {len(fields)} objects and {len(upload.images)} images")
    seen: set[str] = set()
    for one in fields:
        if one.id in seen:
            raise refuse(422, f"fields: the id {one.id!r} comes twice")
        seen.add(one.id)
        _item(one, None)
    return fields


def add_crops(
    opened: OpenGallery,
    describer: BatchedDescriber,
    settings: ServiceSettings,
    fields: Sequence[CropFields],
    images: Sequence[bytes],
    *,
    by: str,
) -> AddResult:
    """Adds crops: all, or none.

    Raises:
        DataError: an image cannot be taken, or the gallery cannot take an item.
        FingerprintError: other weights made the gallery.
        BusyError: too many others describe or write.
    """
    opened.check_fit()
    pictures = [open_picture(data, settings, f"image {one.id!r}") for one, data in zip(fields, images, strict=True)]
    items = [_item(one, thumbnail(picture, settings.thumbnail)) for one, picture in zip(fields, pictures, strict=True)]
    descriptor = describer.describe(pictures)
    with opened.writing() as gallery:
        return gallery.add(items, descriptor, by=by)


def _item(fields: CropFields, picture: bytes | None) -> Item:
    box = fields.box
    if box is not None and len(box) != 4:
        raise DataError(f"box must be four numbers, got {len(box)}")
    return Item(
        id=fields.id,
        camera=fields.camera,
        person=fields.person,
        time=fields.time,
        source=fields.source,
        box=None if box is None else (box[0], box[1], box[2], box[3]),
        thumbnail=picture,
    )
