"""Occluded-DukeMTMC (Miao et al., ICCV 2019) from DukeMTMC-reID and the three lists that its authors published.

Only the lists may be passed on; who still has DukeMTMC-reID, and may use it, builds the set with them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from occlureid.data.box_folders import SPLIT_FOLDERS, is_duke_name, read_occluded_duke
from occlureid.errors import DataError, UsageError
from occlureid.staging import staged_folder

__all__ = ["LIST_CHECKSUMS", "LIST_FILES", "build_occluded_duke"]

LIST_FILES: dict[str, str] = dict(zip(SPLIT_FOLDERS, ("train.list", "query.list", "gallery.list"), strict=True))
"""The list of the files of each folder, one name a line."""

LIST_CHECKSUMS: dict[str, str] = dict(zip(SPLIT_FOLDERS, ("dadffee7", "fb5e1b1a", "0393fa86"), strict=True))
"""How the sha256 of each published list begins, in hexadecimal (of the list with one line feed a line)."""

_LARGEST_LIST = 4_000_000
_LARGEST_IMAGE = 4_000_000
_LARGEST_SUM = 4_000_000_000
_SHOWN = 3


def build_occluded_duke(
    source: Path | str,
    lists: Path | str,
    out: Path | str,
    *,
    files: Literal["copy", "link"] = "copy",
    published: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes the set's three folders.

    Each listed file is taken from the folder of DukeMTMC-reID of the same name, or else from its ``bounding_box_test``.
    The folder is made beside ``out`` under another name and renamed at the end: an interrupted call leaves nothing that
    looks like the set. Of a zip file only the listed images are read, each into its place; nothing else is unpacked.

    Args:
        source: the folder of DukeMTMC-reID, or one that it is directly in; or its zip file.
        lists: the folder of ``train.list``, ``query.list`` and ``gallery.list``.
        out: the folder to make.
        files: "copy", or "link": hard links to the files of a folder, which need no space.
        published: the lists must be the published ones, by checksum, and the counts with them; False builds from any.
        progress: called with the files done and their number in all.

    Returns:
        ``out``.

    Raises:
        UsageError: ``out`` exists, ``files`` is neither of its values, or a zip is to be linked.
        DataError: a list is missing, damaged or not the published one; an image is missing (all are counted), is no
            plain file or too large; the zip is damaged; or a link cannot be made there.
    """
    source, lists, out = Path(source), Path(lists), Path(out)
    if files not in ("copy", "link"):
        raise UsageError(f'files must be "copy" or "link", got {files!r}')
    if out.exists():
        raise UsageError(f"{out}: is there already; give the name of a new folder, or remove it")
    names = {folder: _read_list(lists, folder, published) for folder in SPLIT_FOLDERS}
    with contextlib.closing(_open_source(source)) as duke:
        if files == "link" and not isinstance(duke, _Folder):
            raise UsageError(f"{source}: only the files of a folder can be linked; copy, or unpack the zip first")
        places = _places(duke, names)
        with staged_folder(out) as partial:
            _write(duke, places, partial, files, progress)
            dataset = read_occluded_duke(partial)
            if published:
                dataset.check_counts()
            record = {"built_from": source.name, "checksum": dataset.checksum(), "lists": _sums(names)}
            (partial / "built.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return out


def _text(names: Sequence[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


def _sums(names: dict[str, list[str]]) -> dict[str, str]:
    return {LIST_FILES[folder]: hashlib.sha256(_text(listed)).hexdigest() for folder, listed in names.items()}


def _read_list(lists: Path, folder: str, published: bool) -> list[str]:
    """The names of a list; line ends of other systems do not count."""
    path = lists / LIST_FILES[folder]
    try:
        if path.stat().st_size > _LARGEST_LIST:
            raise DataError(f"{path}: larger than {_LARGEST_LIST:,} bytes, so it is no list of names")
        listed = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: there is no such list; the authors of Occluded-DukeMTMC publish {', '.join(LIST_FILES.values())}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    seen: dict[str, int] = {}
    for number, name in enumerate(listed, start=1):
        if not is_duke_name(name):
            raise DataError(f"{path}:{number}: expected a name like 0002_c1_f0044158.jpg, got {name[:60]!r}")
        if name in seen:
            raise DataError(f"{path}:{number}: {name} was already listed in line {seen[name]}")
        seen[name] = number
    if not listed:
        raise DataError(f"{path}: expected a name a line, the file is empty")
    checksum = hashlib.sha256(_text(listed)).hexdigest()
    if published and not checksum.startswith(LIST_CHECKSUMS[folder]):
        raise DataError(
            f"{path}: is not the published list: its sha256 begins with {checksum[:8]}, not {LIST_CHECKSUMS[folder]} "
            f"({len(listed):,} names); fetch it again, or say that it is meant to be another (published=False)"
        )
    return listed


class _Source(Protocol):
    """DukeMTMC-reID, wherever it lies."""

    def has(self, folder: str, name: str) -> bool:
        """Whether one of the three folders has such a file."""

    def copy(self, folder: str, name: str, to: Path) -> None:
        """Writes the file's content to a new file."""

    def close(self) -> None:
        """Closes what is open."""


class _Folder:
    def __init__(self, path: Path) -> None:
        inner = [path, *(sorted(p for p in path.iterdir() if p.is_dir()))]
        found = [p for p in inner if all((p / folder).is_dir() for folder in SPLIT_FOLDERS)]
        if not found:
            raise DataError(f"{path}: expected the folder of DukeMTMC-reID, with {', '.join(SPLIT_FOLDERS)}")
        self.path = found[0]

    def has(self, folder: str, name: str) -> bool:
        return (self.path / folder / name).is_file()

    def copy(self, folder: str, name: str, to: Path) -> None:
        try:
            shutil.copyfile(self.path / folder / name, to)
        except OSError as error:
            raise DataError(f"{self.path / folder / name}: cannot be copied ({error.strerror})") from error

    def close(self) -> None:
        pass

    def link(self, folder: str, name: str, to: Path) -> None:
        try:
            os.link(self.path / folder / name, to)
        except OSError as error:
            raise DataError(
                f"{self.path / folder / name}: cannot be linked to {to.parent} ({error.strerror}); copy instead"
            ) from error


class _Zip:
    """Members are only ever looked up by folder and name, and written where the caller says: no path of theirs is used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: cannot be read as a zip file ({error})") from error
        self.members: dict[tuple[str, str], zipfile.ZipInfo] = {}
        for member in self.archive.infolist():
            place = PurePosixPath(member.filename)
            key = (place.parent.name, place.name)
            if member.is_dir() or key[0] not in SPLIT_FOLDERS or not is_duke_name(key[1]):
                continue
            if key in self.members:
                self.archive.close()
                raise DataError(
                    f"{path}: has {'/'.join(key)} twice: {self.members[key].filename} and {member.filename}"
                )
            self.members[key] = member

    def close(self) -> None:
        self.archive.close()

    def has(self, folder: str, name: str) -> bool:
        return (folder, name) in self.members

    def copy(self, folder: str, name: str, to: Path) -> None:
        member = self.members[folder, name]
        where = f"{self.path}: {member.filename}"
        mode = member.external_attr >> 16
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise DataError(f"{where} is a link or a device, not a file; this is not the archive of DukeMTMC-reID")
        try:
            with self.archive.open(member) as stream:
                content = stream.read(_LARGEST_IMAGE + 1)
        except Exception as error:  # decompressors raise errors of their own
            raise DataError(f"{where} cannot be unpacked ({error}); fetch the archive again") from error
        if len(content) > _LARGEST_IMAGE:
            raise DataError(f"{where} unfolds to more than {_LARGEST_IMAGE:,} bytes, so it is no image of this set")
        to.write_bytes(content)


def _open_source(path: Path) -> _Source:
    if path.is_dir():
        return _Folder(path)
    if path.is_file():
        return _Zip(path)
    raise DataError(f"{path}: there is no such folder or zip file of DukeMTMC-reID")


def _places(duke: _Source, names: dict[str, list[str]]) -> list[tuple[str, str, str]]:
    """(folder to write, folder to take from, name) of each file."""
    places: list[tuple[str, str, str]] = []
    missing: list[str] = []
    for folder, listed in names.items():
        for name in listed:
            taken = next((place for place in (folder, SPLIT_FOLDERS[2]) if duke.has(place, name)), None)
            if taken is None:
                missing.append(f"{folder}/{name}")
            else:
                places.append((folder, taken, name))
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        raise DataError(
            f"{len(missing):,} of {len(missing) + len(places):,} listed images are not in DukeMTMC-reID as it is here: "
            f"{shown}; each was looked for in the folder of its name and in {SPLIT_FOLDERS[2]}"
        )
    return places


def _write(
    duke: _Source,
    places: list[tuple[str, str, str]],
    out: Path,
    files: str,
    progress: Callable[[int, int], None] | None,
) -> None:
    for folder in SPLIT_FOLDERS:
        (out / folder).mkdir()
    written = 0
    for done, (folder, taken, name) in enumerate(places, start=1):
        to = out / folder / name
        if files == "link" and isinstance(duke, _Folder):
            duke.link(taken, name, to)
        else:
            duke.copy(taken, name, to)
            written += to.stat().st_size
            if written > _LARGEST_SUM:
                raise DataError(f"the images take more than {_LARGEST_SUM:,} bytes; this is not DukeMTMC-reID")
        if progress is not None:
            progress(done, len(places))
