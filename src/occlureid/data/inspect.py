"""One image file looked at for what is wrong with it, without an error: for a check of a whole dataset."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import Image

from occlureid.data.images import FORMATS, MAX_PIXELS, check_stored, read_image
from occlureid.errors import DataError

__all__ = ["Inspected", "Problem", "inspect_image"]

Problem = Literal["missing", "empty", "unreadable", "truncated", "refused"]
"""missing: there is no such file, or it may not be read; empty: no bytes; unreadable: no image of a known format;
truncated: begins as an image, but its pixels cannot be decoded; refused: an image that ``read_image`` does not take."""

_SUFFIXES = {
    "JPEG": {".jpg", ".jpeg"},
    "PNG": {".png"},
    "BMP": {".bmp"},
    "TIFF": {".tif", ".tiff"},
    "WEBP": {".webp"},
}
# How files of these formats begin; BMP's two letters would fit many a text.
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*")
_LARGEST_FILE = 256_000_000


@dataclass(frozen=True, slots=True)
class Inspected:
    """What an image file is.

    Attributes:
        path: the file.
        problem: what is wrong with it, or None.
        reason: the same in words; empty without a problem.
        digest: sha256 of the file's bytes, in hexadecimal; empty where it could not be read.
        size: (height, width) upright, or None where there is a problem.
        format: Pillow's name of the format found ("JPEG"), or None where none was recognised.
        blank: every pixel has one colour.
    """

    path: Path
    problem: Problem | None = None
    reason: str = ""
    digest: str = ""
    size: tuple[int, int] | None = None
    format: str | None = None
    blank: bool = False

    @property
    def wrong_suffix(self) -> bool:
        """The file's name says another format than its content."""
        return self.format is not None and self.path.suffix.lower() not in _SUFFIXES[self.format]


def inspect_image(path: Path) -> Inspected:
    """Reads and decodes one file; whatever is wrong with it comes back, nothing is raised for it."""
    try:
        check_stored(path)
    except DataError as error:
        return Inspected(path, "refused", str(error).removeprefix(f"{path}: "))
    try:
        if path.stat().st_size > _LARGEST_FILE:
            return Inspected(path, "refused", f"larger than {_LARGEST_FILE:,} bytes")
        content = path.read_bytes()
    except OSError as error:
        return Inspected(path, "missing", error.strerror or "cannot be read")
    if not content:
        return Inspected(path, "empty", "has no bytes")
    return _decoded(path, content, hashlib.sha256(content).hexdigest())


def _decoded(path: Path, content: bytes, digest: str) -> Inspected:
    """The inspection of a file that could be read."""
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as header:
            found, pixels = header.format, header.width * header.height
    except Exception:  # decoders raise whatever a damaged file drives them to
        if content.startswith(_BEGINNINGS) or content[8:12] == b"WEBP":
            return Inspected(
                path, "truncated", "begins as an image, and ends or is damaged before its size is told", digest
            )
        return Inspected(path, "unreadable", f"is no image of the formats {', '.join(FORMATS)}", digest)
    try:
        image = read_image(path)
    except DataError as error:
        reason = str(error).removeprefix(f"{path}: ")
        refused = pixels > MAX_PIXELS or "cannot be read" not in reason
        return Inspected(path, "refused" if refused else "truncated", reason, digest, format=found)
    red, green, blue = image.split()
    return Inspected(
        path,
        digest=digest,
        size=(image.height, image.width),
        format=found,
        blank=all(low == high for low, high in (band.getextrema() for band in (red, green, blue))),
    )
