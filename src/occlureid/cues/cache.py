"""One cache of cues on disk: what a provider found in an image is computed once, whoever asks and however often.

An entry is found by the sha256 of the image file's content and by the provider's fingerprint. By content, not by path and time:
a moved or copied dataset keeps its entries, the same file in query and gallery is computed once, a file that was replaced
under its old name and time is computed anew, and reading a crop costs far less than any network. Entries are written under
another name and renamed, so that a killed process leaves none that is half written, and several processes may compute the
same image at once: the last wins, with the same content. Each entry carries a checksum; a damaged one counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import struct
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from occlureid.data.images import check_stored
from occlureid.errors import DataError, OcclureidError, UsageError
from occlureid.types import CUE_NAMES, Cues

__all__ = ["CueCache", "image_key"]

_logger = logging.getLogger(__name__)

_MAGIC = b"occlureid-cues-1"
_HEADER = struct.Struct("!16s32sQ")  # what it is, sha256 of what follows, its size unpacked
_LARGEST_ENTRY = 2**30
_FINGERPRINT = re.compile(r"[\w.+-]{1,80}@[0-9a-f]{8,64}", re.ASCII)
_KEY = re.compile(r"[0-9a-f]{64}", re.ASCII)


def image_key(image: Path | str) -> str:
    """What an image file is called in a cache: the sha256 of its content, 64 hexadecimal digits.

    Raises:
        DataError: the file cannot be read.
    """
    check_stored(Path(image))
    try:
        with Path(image).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{image}: cannot be read ({error.strerror})") from error


class CueCache:
    """Cues by image and provider in a folder.

    The folder holds ``<fingerprint>/<first two digits>/<key>.cue``, and ``partial`` for what is being written.

    Args:
        root: the folder; made when the first entry is written.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def _entry(self, fingerprint: str, key: str) -> Path:
        if not _FINGERPRINT.fullmatch(fingerprint) or not _KEY.fullmatch(key):
            raise UsageError(
                f"a cache entry has a fingerprint like vitpose@0123abcd and a key of 64 hexadecimal digits, got "
                f"{fingerprint[:100]!r} and {key[:80]!r}"
            )
        return self.root / fingerprint / key[:2] / f"{key}.cue"

    def get(self, fingerprint: str, key: str) -> Cues | None:
        """The cues of an image, or None where there are none or they are damaged (which is logged).

        Args:
            fingerprint: of the provider.
            key: of the image; see ``image_key``.

        Raises:
            UsageError: the fingerprint or key is none.
        """
        path = self._entry(fingerprint, key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        try:
            return _unpack(data)
        except (OcclureidError, SafetensorError, zlib.error, struct.error, KeyError, ValueError) as error:
            _logger.warning("%s: damaged and computed again (%s)", path, str(error)[:160])
            return None

    def put(self, fingerprint: str, key: str, cues: Cues) -> None:
        """Stores the cues of one image, exactly: floats as they are, maps of whole 255ths in a byte each.

        Raises:
            UsageError: the fingerprint or key is none.
            DataError: the folder cannot be written.
        """
        path, partial = self._entry(fingerprint, key), self.root / "partial"
        try:
            for folder in (path.parent, partial):
                folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=key[:16], dir=partial)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_pack(cues))
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror})") from error

    def providers(self) -> dict[str, int]:
        """How many images each provider's fingerprint has entries of, sorted by fingerprint."""
        folders = self.root.iterdir() if self.root.is_dir() else ()
        found = sorted(f for f in folders if f.is_dir() and _FINGERPRINT.fullmatch(f.name))
        return {folder.name: sum(1 for _ in folder.glob("*/*.cue")) for folder in found}

    def clear(self, provider: str | None = None) -> int:
        """Deletes entries, and what killed processes left half written.

        Args:
            provider: a fingerprint, or the name in front of its "@"; None for all.

        Returns:
            How many entries were deleted.
        """
        deleted = 0
        for fingerprint, count in self.providers().items():
            if provider in (None, fingerprint, fingerprint.partition("@")[0]):
                shutil.rmtree(self.root / fingerprint)
                deleted += count
        shutil.rmtree(self.root / "partial", ignore_errors=True)
        return deleted

    def erase(self, images: Sequence[Path | str]) -> int:
        """Deletes all that is stored about some images, by any provider: what people may ask for who are in them.

        Args:
            images: image files, or keys (``image_key``) where the file is gone.

        Returns:
            How many entries were deleted.

        Raises:
            DataError: a file cannot be read.
        """
        deleted = 0
        for image in images:
            key = image if isinstance(image, str) and _KEY.fullmatch(image) else image_key(image)
            for fingerprint in self.providers():
                path = self._entry(fingerprint, key)
                deleted += path.is_file()
                path.unlink(missing_ok=True)
        return deleted


def _pack(cues: Cues) -> bytes:
    tensors: dict[str, Tensor] = {}
    for name in CUE_NAMES:
        value = getattr(cues, name)
        if value is None:
            continue
        value = value.detach().to("cpu", torch.float32).contiguous()
        bytes_ = (value * 255).round().clamp(0, 255)
        whole = name != "keypoints" and torch.equal(bytes_ / 255, value)
        tensors[name] = bytes_.to(torch.uint8) if whole else value
    payload = save(tensors, {"part_flip": json.dumps(cues.part_flip)})
    packed = zlib.compress(payload, 1)
    return _HEADER.pack(_MAGIC, hashlib.sha256(packed).digest(), len(payload)) + packed


def _unpack(data: bytes) -> Cues:
    magic, digest, size = _HEADER.unpack_from(data)
    packed = data[_HEADER.size :]
    if magic != _MAGIC or hashlib.sha256(packed).digest() != digest or size > _LARGEST_ENTRY:
        raise DataError("not an entry of this cache, or its checksum is wrong")
    payload = zlib.decompressobj().decompress(packed, size)
    tensors = {name: t.float() / 255 if t.dtype == torch.uint8 else t for name, t in load(payload).items()}
    header = json.loads(payload[8 : 8 + int.from_bytes(payload[:8], "little")])
    flip = tuple(json.loads(header["__metadata__"]["part_flip"]))
    return Cues(tensors.get("keypoints"), tensors.get("part_map"), tensors.get("foreground"), flip)
