"""Image files that somebody made to do harm, from a seed."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.service.crops import encoded, picture


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def webp(kind: bytes, body: bytes) -> bytes:
    inside = b"WEBP" + kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(inside)) + inside


def extended(width: int, height: int, flags: int = 0) -> bytes:
    return bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def animated(format: str) -> bytes:
    out = io.BytesIO()
    frames = [picture(n) for n in range(3)]
    frames[0].save(out, format, save_all=True, append_images=frames[1:], duration=40)
    return out.getvalue()


def jpeg_of_size(width: int, height: int) -> bytes:
    """A JPEG file whose header claims another size than it has."""
    data = bytearray(encoded(picture(1), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def with_orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return encoded(picture(5), "JPEG", exif=exif)


def crafted() -> Iterator[tuple[str, bytes]]:
    """What must be refused, one by one."""
    zeros = zlib.compress(bytes(2**22), 9)
    yield "empty", b""
    yield "text", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    yield "html", b"<html><body>a picture</body></html>"
    yield "gif", encoded(picture(1).convert("P"), "GIF")
    yield "animated gif", animated("GIF")
    yield "animated png", animated("PNG")
    yield "animated webp", animated("WEBP")
    yield "bmp", encoded(picture(1), "BMP")
    yield "tiff", encoded(picture(1), "TIFF")
    yield "png of 4 gigapixels", png(65_000, 65_000, zeros)
    yield "png of the largest size", png(2**31 - 1, 2**31 - 1, zeros)
    yield "png of no size", png(0, 0, zeros)
    yield "png just too large", png(4001, 4000, zeros)
    yield "png that says more than it has", png(3000, 3000, zlib.compress(bytes(100)))
    yield (
        "png with a text that unfolds",
        png(24, 48, zeros, chunk(b"zTXt", b"a\x00\x00" + zlib.compress(bytes(2**27), 9))),
    )
    yield (
        "png with a profile that unfolds",
        png(24, 48, b"", chunk(b"iCCP", b"a\x00\x00" + zlib.compress(bytes(2**27), 9))),
    )
    yield (
        "png without data",
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 24, 48, 8, 2, 0, 0, 0)) + chunk(b"IEND", b""),
    )
    yield "png of 16 bits", encoded(Image.fromarray(np.zeros((48, 24), np.uint16)), "PNG")
    yield "tiny png", encoded(picture(1, (7, 48)), "PNG")
    yield "jpeg of 4 gigapixels", jpeg_of_size(65_000, 65_000)
    yield "jpeg larger than its data", jpeg_of_size(3000, 3000)
    yield "jpeg of no size", jpeg_of_size(0, 0)
    yield "jpeg of a million scans", encoded(picture(1), "JPEG") + b"\xff\xda" * 10_000
    yield "cut jpeg", encoded(picture(1, (100, 200)), "JPEG")[:900]
    yield "webp with a huge canvas", webp(b"VP8X", extended(16_384, 16_384))
    yield "webp with the hugest canvas", webp(b"VP8X", extended(2**24, 2**24))
    yield "webp that says animated", webp(b"VP8X", extended(24, 48, 2))
    yield "webp lossless that is huge", webp(b"VP8L", b"\x2f" + (0x0FFFFFFF).to_bytes(4, "little") + bytes(20))
    yield "webp lossy that is huge", webp(b"VP8 ", bytes([0, 0, 0, 0x9D, 1, 0x2A]) + b"\xff\x3f\xff\x3f" + bytes(20))
    yield "webp of an unknown kind", webp(b"VP9 ", bytes(40))
    yield "short webp", b"RIFF\x04\x00\x00\x00WEBP"
    yield "large file", encoded(picture(1), "PNG") + bytes(8 * 2**20)
    yield "zip", b"PK\x03\x04" + bytes(100)
    yield "pdf", b"%PDF-1.7\n" + encoded(picture(1), "JPEG")
    yield "postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 24 48\n(/etc/passwd) (r) file\n"
    yield (
        "pickle",
        b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02ls\x94\x85\x94R\x94.",
    )


def harmless() -> Iterator[tuple[str, bytes]]:
    """What looks odd and must be taken."""
    yield "jpeg and zip", encoded(picture(1), "JPEG") + b"PK\x03\x04" + bytes(1000)
    yield "png and script", encoded(picture(1), "PNG") + b"<script>alert(1)</script>"
    yield "grey", encoded(picture(1).convert("L"), "PNG")
    yield "black and white", encoded(picture(1).convert("1"), "PNG")
    yield "palette with transparency", encoded(picture(1).convert("P"), "PNG", transparency=0)
    yield "transparent", encoded(picture(1).convert("RGBA"), "PNG")
    yield "cmyk", encoded(picture(1).convert("CMYK"), "JPEG")
    yield "progressive", encoded(picture(1), "JPEG", progressive=True)
    yield "webp", encoded(picture(1), "WEBP")
    yield "webp without loss", encoded(picture(1), "WEBP", lossless=True)
    yield "webp with transparency", encoded(picture(1).convert("RGBA"), "WEBP")
    yield "smallest", encoded(picture(1, (8, 8)), "PNG")
    for value in range(1, 9):
        yield f"orientation {value}", with_orientation(value)


def mutated(count: int, seed: int) -> Iterator[bytes]:
    """Valid files with damage: cut, bits turned, pieces doubled, swapped between files, numbers in headers changed."""
    draw = np.random.default_rng(seed)
    originals = [
        *(encoded(picture(n, (20 + n, 40)), format) for n in range(3) for format in ("PNG", "JPEG", "WEBP")),
        encoded(picture(3), "JPEG", progressive=True), encoded(picture(4), "WEBP", lossless=True), with_orientation(6),
        animated("WEBP"), animated("PNG"), encoded(picture(6).convert("P"), "PNG", transparency=1),
    ]  # fmt: skip
    for _ in range(count):
        data = bytearray(originals[draw.integers(len(originals))])
        for _ in range(int(draw.integers(1, 4))):
            _damage(data, draw, originals)
        yield bytes(data)


def _damage(data: bytearray, draw: np.random.Generator, originals: list[bytes]) -> None:
    if len(data) < 12:
        return
    start = int(draw.integers(len(data) - 8))
    match int(draw.integers(7)):
        case 0:
            del data[start:]
        case 1:
            for at in draw.integers(0, len(data), 8):
                data[at] ^= 1 << int(draw.integers(8))
        case 2:
            data[start:start] = data[start : start + int(draw.integers(1, 200))]
        case 3:
            other = originals[draw.integers(len(originals))]
            data[start:] = other[min(start, len(other) - 1) :]
        case 4:
            early = int(draw.integers(8, min(64, len(data) - 4)))
            data[early : early + 4] = bytes(draw.choice(np.array([0, 1, 0x7F, 0x80, 0xFF], np.uint8), 4))
        case 5:
            del data[start : start + int(draw.integers(1, 50))]
        case _:
            data[start : start + 8] = bytes(draw.integers(0, 256, 8, dtype=np.uint8))
