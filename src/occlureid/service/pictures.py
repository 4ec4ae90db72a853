"""Pictures from strangers: bytes to an upright RGB image, or a message that says what is wrong with them.

Size and number of frames are looked at before anything is decoded, the size of a WebP file even before Pillow sees it (its
decoder sets memory aside for the canvas that the header claims). Only the three formats of cameras and browsers are taken. What
is kept of a picture is encoded anew, so that nothing of the file itself (metadata, a hidden second file) is stored or served.
"""

from __future__ import annotations

import io

from PIL import Image, ImageOps

from occlureid.data.images import LEAST_SIDE
from occlureid.errors import DataError
from occlureid.service.settings import ServiceSettings

__all__ = ["open_picture", "thumbnail"]

_FORMATS = ("JPEG", "PNG", "WEBP")
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
_SCANS = 64
"""Progressive JPEG files may repeat scans of the whole image without end; encoders write some ten."""
_EMPTIEST = 1000
"""Pixels of a JPEG file that one byte can stand for: even of a blank picture some 250. Its decoder fills up what is missing."""


def open_picture(data: bytes, settings: ServiceSettings, name: str = "image") -> Image.Image:
    """An uploaded file as an 8-bit RGB image, turned upright as its EXIF orientation says.

    Args:
        data: the file.
        settings: its bounds.
        name: what to call it in messages.

    Raises:
        DataError: it is empty, too large in bytes or pixels, too small, animated, damaged, or of another format or mode.
    """
    if not data:
        raise DataError(f"{name}: the file is empty; expected a JPEG, PNG or WebP file")
    if len(data) > settings.image_bytes:
        raise DataError(f"{name}: {len(data)} bytes; at most {settings.image_bytes} are taken")
    if data[:4] == b"RIFF":
        width, height, animated = _webp_header(data, name)
        _check_size(width, height, settings, name)
        if animated:
            raise DataError(f"{name}: animated; expected a single picture")
    if data[:2] == b"\xff\xd8" and data.count(b"\xff\xda") > _SCANS:
        raise DataError(f"{name}: a JPEG file of more than {_SCANS} scans; save it anew")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check_size(image.width, image.height, settings, name)
            # MPO is what some telephones write: a JPEG file with a second picture behind it, of which the first is meant
            if image.format != "MPO" and getattr(image, "is_animated", False):
                raise DataError(f"{name}: animated; expected a single picture")
            if image.format in ("JPEG", "MPO") and image.width * image.height > _EMPTIEST * len(data):
                raise DataError(
                    f"{name}: the header says {image.width} x {image.height} pixels, and most are not there"
                )
            if image.mode not in _MODES:
                raise DataError(f"{name}: mode {image.mode}; expected 8 bits a channel")
            image.load()
            upright = ImageOps.exif_transpose(image)
            if upright.mode == "P" and "transparency" in upright.info:
                upright = upright.convert("RGBA")
            return upright.convert("RGB")
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{name}: too large to decode") from error
    except Exception as error:  # decoders raise whatever a damaged file drives them to
        raise DataError(f"{name}: not a JPEG, PNG or WebP file that can be decoded") from error


def _check_size(width: int, height: int, settings: ServiceSettings, name: str) -> None:
    if width * height > settings.image_pixels:
        raise DataError(f"{name}: {width} x {height} pixels; at most {settings.image_pixels} in all are taken")
    if min(width, height) < LEAST_SIDE:
        raise DataError(f"{name}: {width} x {height} pixels; expected at least {LEAST_SIDE} each way")


def _webp_header(data: bytes, name: str) -> tuple[int, int, bool]:
    """Width and height of the canvas, and whether it is animated."""
    kind, start = data[12:16], 20
    if len(data) >= 30 and data[8:12] == b"WEBP":
        if kind == b"VP8X":
            width = 1 + int.from_bytes(data[start + 4 : start + 7], "little")
            height = 1 + int.from_bytes(data[start + 7 : start + 10], "little")
            return width, height, bool(data[start] & 2)
        if kind == b"VP8L":
            bits = int.from_bytes(data[start + 1 : start + 5], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), False
        if kind == b"VP8 ":
            sides = (int.from_bytes(data[start + at : start + at + 2], "little") & 0x3FFF for at in (6, 8))
            width, height = sides
            return width, height, False
    raise DataError(f"{name}: not a WebP file that can be decoded")


def thumbnail(image: Image.Image, most: int) -> bytes:
    """A small JPEG file of an image, of its aspect, of at most ``most`` pixels each way."""
    small = image.copy()
    small.thumbnail((most, most), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    small.save(out, format="JPEG", quality=85)
    return out.getvalue()
