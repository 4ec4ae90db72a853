"""Uploads: multipart bodies with images and one JSON text, kept in memory (pictures of people do not go into temporary files)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from occlureid.service.problems import refuse

__all__ = ["Upload", "form_schema", "upload_of"]


@dataclass(frozen=True, slots=True)
class Upload:
    """What was uploaded.

    Attributes:
        images: the bytes of each file, unchecked.
        text: the JSON beside them, unchecked; None if there was none.
    """

    images: list[bytes]
    text: str | None


class _InMemory(MultiPartParser):
    spool_max_size = 2**40


def upload_of(field: str, most: int, *, required: bool) -> Callable[[Request], Awaitable[Upload]]:
    """A dependency that reads an upload.

    Args:
        field: the name of the JSON text.
        most: images.
        required: whether the JSON text must be there.
    """

    async def read(request: Request) -> Upload:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "multipart/form-data":
            raise refuse(415, "expected a body of multipart/form-data")
        parser = _InMemory(request.headers, request.stream(), max_files=most, max_fields=1, max_part_size=2**20)
        try:
            form = await parser.parse()
        except MultiPartException as error:
            status = 422 if "Too many files" in error.message else 400
            raise refuse(status, f"the multipart body cannot be read: {error.message}") from error
        except Exception as error:  # the parser raises whatever a damaged body drives it to
            raise refuse(400, "the multipart body is damaged") from error
        try:
            return await _sorted(form, field, required)
        finally:
            await form.close()

    return read


async def _sorted(form: FormData, field: str, required: bool) -> Upload:
    images: list[bytes] = []
    text: str | None = None
    for name, value in form.multi_items():
        if name == "images" and isinstance(value, UploadFile):
            images.append(await value.read())
        elif name == field and isinstance(value, str):
            text = value
        else:
            got = "a file" if isinstance(value, UploadFile) else "a text"
            raise refuse(422, f"expected files named images, and {field} as text; got {got} {name[:60]!r}")
    if not images:
        raise refuse(422, "expected at least one file named images")
    if required and text is None:
        raise refuse(422, f"expected the text {field!r}: JSON that says what the images are")
    return Upload(images, text)


def form_schema(field: str, description: str, most: int, *, required: bool) -> dict[str, Any]:
    """The OpenAPI description of such a body, for the keywords of a route."""
    properties = {
        "images": {
            "type": "array",
            "items": {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"},
            "minItems": 1,
            "maxItems": most,
            "description": "JPEG, PNG or WebP files.",
        },
        field: {"type": "string", "contentMediaType": "application/json", "description": description},
    }
    schema = {
        "type": "object",
        "properties": properties,
        "required": ["images", *([field] if required else [])],
        "additionalProperties": False,
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
