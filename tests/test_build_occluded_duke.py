"""Occluded-DukeMTMC from a folder or a zip file of DukeMTMC-reID and three lists."""

import hashlib
import json
import os
import stat
import zipfile
from pathlib import Path

import pytest

from occlureid.data import build_occluded_duke, occluded_duke, open_dataset
from occlureid.data.dataset import Counts
from occlureid.errors import DataError, UsageError
from tests.layout_trees import DUKE, lay

LISTS = {
    "train.list": ["0001_c2_f0046182.jpg", "0003_c1_f0044158.jpg"],  # the second lies in bounding_box_test
    "query.list": ["0005_c5_f0051341.jpg", "0005_c2_f0046985.jpg"],  # the first lies in bounding_box_test
    "gallery.list": ["0005_c5_f0051341.jpg"],
}


@pytest.fixture
def duke(tmp_path: Path, pictures: list[Path]) -> Path:
    return lay(tmp_path / "DukeMTMC-reID", DUKE, pictures)


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    folder = tmp_path / "lists"
    folder.mkdir()
    for name, listed in LISTS.items():
        (folder / name).write_text("".join(f"{file}\n" for file in listed))
    return folder


def pack(duke: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(duke.rglob("*.jpg")):
            archive.write(file, file.relative_to(duke.parent))
    return path


def written(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.jpg"))}


def check_built(out: Path, duke: Path) -> None:
    """Each file has the content of the Duke file of its name."""
    files = written(out)
    assert list(files) == [
        "bounding_box_test/0005_c5_f0051341.jpg",
        "bounding_box_train/0001_c2_f0046182.jpg",
        "bounding_box_train/0003_c1_f0044158.jpg",
        "query/0005_c2_f0046985.jpg",
        "query/0005_c5_f0051341.jpg",
    ]
    content = {path.name: path.read_bytes() for path in duke.rglob("*.jpg")}
    assert all(data == content[Path(name).name] for name, data in files.items())
    assert sorted(p.name for p in out.iterdir()) == ["bounding_box_test", "bounding_box_train", "built.json", "query"]


def test_from_a_folder(tmp_path, duke, lists):
    seen: list[tuple[int, int]] = []
    out = tmp_path / "new" / "Occluded_Duke"
    progress = lambda done, total: seen.append((done, total))  # noqa: E731
    assert build_occluded_duke(duke, lists, out, published=False, progress=progress) == out
    check_built(out, duke)
    assert seen == [(done, 5) for done in range(1, 6)]
    record = json.loads((out / "built.json").read_text())
    assert record["lists"]["query.list"] == hashlib.sha256((lists / "query.list").read_bytes()).hexdigest()
    assert record["checksum"] == open_dataset(out, "occluded-duke").checksum()
    assert list(out.parent.iterdir()) == [out], "nothing is left beside it"
    assert stat.S_IMODE(out.stat().st_mode) == 0o755
    assert (out / "query/0005_c2_f0046985.jpg").stat().st_nlink == 1
    with pytest.raises(UsageError, match="is there already"):
        build_occluded_duke(duke, lists, out, published=False)


def test_from_the_folder_around_it_with_links(tmp_path, duke, lists, monkeypatch):
    out = build_occluded_duke(str(tmp_path), str(lists), str(tmp_path / "out"), files="link", published=False)
    check_built(out, duke)
    assert (out / "query/0005_c2_f0046985.jpg").samefile(duke / "query/0005_c2_f0046985.jpg")
    with pytest.raises(UsageError, match='files must be "copy" or "link"'):
        build_occluded_duke(duke, lists, tmp_path / "other", files="move", published=False)

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(DataError, match=r"cannot be linked to .* \(Invalid cross-device link\); copy instead"):
        build_occluded_duke(duke, lists, tmp_path / "other", files="link", published=False)
    assert not (tmp_path / "other").exists()


def test_from_a_zip_file(tmp_path, duke, lists):
    archive = pack(duke, tmp_path / "DukeMTMC-reID.zip")
    check_built(build_occluded_duke(archive, lists, tmp_path / "out", published=False), duke)
    with pytest.raises(UsageError, match="only the files of a folder can be linked"):
        build_occluded_duke(archive, lists, tmp_path / "other", files="link", published=False)


def test_only_the_published_lists_pass_unless_told_otherwise(tmp_path, duke, lists, monkeypatch):
    with pytest.raises(
        DataError, match=r"train.list: is not the published list: its sha256 begins with \w{8}, not dadffee7"
    ):
        build_occluded_duke(duke, lists, tmp_path / "out")
    sums = {
        folder: hashlib.sha256((lists / name).read_bytes()).hexdigest()
        for folder, name in occluded_duke.LIST_FILES.items()
    }
    monkeypatch.setattr(occluded_duke, "LIST_CHECKSUMS", {folder: digest[:8] for folder, digest in sums.items()})
    with pytest.raises(DataError, match="expected 15618 train images, found 2"):
        build_occluded_duke(duke, lists, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["DukeMTMC-reID", "lists"], "nothing half done is left"
    monkeypatch.setattr("occlureid.data.box_folders.OCCLUDED_DUKE_COUNTS", Counts(2, 2, 2, 1, 1, 1))
    for name in LISTS:  # line ends of another system are the same list
        (lists / name).write_bytes((lists / name).read_bytes().replace(b"\n", b"\r\n"))
    check_built(build_occluded_duke(duke, lists, tmp_path / "out"), duke)


def test_the_published_sums():
    assert occluded_duke.LIST_CHECKSUMS == {
        "bounding_box_train": "dadffee7", "query": "fb5e1b1a", "bounding_box_test": "0393fa86",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "query.list: there is no such list"),
        ("", "query.list: expected a name a line, the file is empty"),
        ("0005_c2_f0046985.jpg\n0005_c2_f0046985.jpg\n", "query.list:2: 0005_c2_f0046985.jpg was already listed in line 1"),
        ("../../0005_c2_f0046985.jpg\n", "query.list:1: expected a name like"),
        ("\n", "query.list:1: expected a name like"),
        (b"\xff\xfe", "query.list: cannot be read"),
        (b"0" * 4_000_001, "query.list: larger than 4,000,000 bytes"),
        ("0005_c2_f0000000.jpg\n", r"1 of 4 listed images are not in DukeMTMC-reID as it is here: query/0005_c2_f0000000.jpg;"),
        ("".join(f"0005_c2_f000000{k}.jpg\n" for k in range(4)), r"4 of 7 listed .*f0000002.jpg, \.\.\.; each was looked for"),
    ],
)  # fmt: skip
def test_wrong_lists_are_named(tmp_path, duke, lists, text, message):
    path = lists / "query.list"
    path.unlink()
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        build_occluded_duke(duke, lists, tmp_path / "out", published=False)
    assert not (tmp_path / "out").exists()


def test_wrong_sources_are_named(tmp_path, duke, lists):
    (tmp_path / "no.zip").write_bytes(b"PK\x03\x04 not a zip")
    for source, message in (
        (tmp_path / "nothing", "there is no such folder or zip file"),
        (lists, "expected the folder of DukeMTMC-reID"),
        (tmp_path / "no.zip", "cannot be read as a zip file"),
    ):
        with pytest.raises(DataError, match=message):
            build_occluded_duke(source, lists, tmp_path / "out", published=False)
    unreadable = duke / "query" / "0005_c2_f0046985.jpg"
    unreadable.unlink()
    unreadable.mkdir()
    with pytest.raises(DataError, match="1 of 5 listed images are not"):
        build_occluded_duke(duke, lists, tmp_path / "out", published=False)


# -- hostile archives -------------------------------------------------------------------------------------------------


def archive_with(path: Path, duke: Path, name: str, content: bytes, mode: int = 0) -> Path:
    """The archive of Duke with one member more."""
    pack(duke, path)
    member = zipfile.ZipInfo(name)
    member.external_attr = mode << 16
    member.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, content)
    return path


def test_members_that_nobody_asked_for_are_never_written(tmp_path, duke, lists):
    for number, name in enumerate(
        ("../../escape.jpg", "/absolute.jpg", "DukeMTMC-reID/query/extra.jpg", "query/../../x.jpg")
    ):
        archive = archive_with(tmp_path / f"{number}.zip", duke, name, b"gotcha")
        out = build_occluded_duke(archive, lists, tmp_path / "deep" / f"{number}", published=False)
        check_built(out, duke)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"gotcha"]


def test_a_path_that_climbs_is_written_to_its_place_all_the_same(tmp_path, duke, lists):
    (duke / "query" / "0005_c2_f0046985.jpg").rename(tmp_path / "kept.jpg")
    content = (tmp_path / "kept.jpg").read_bytes()
    archive = archive_with(tmp_path / "a.zip", duke, "../../../query/0005_c2_f0046985.jpg", content)
    out = build_occluded_duke(archive, lists, tmp_path / "deep" / "out", published=False)
    assert (out / "query/0005_c2_f0046985.jpg").read_bytes() == content
    assert not (tmp_path / "query").exists()


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"/etc/passwd", stat.S_IFLNK | 0o777, "is a link or a device, not a file"),
        (b"0" * 4_000_001, 0, "unfolds to more than 4,000,000 bytes"),
    ],
)
def test_hostile_members_are_refused(tmp_path, duke, lists, content, mode, message):
    (duke / "query" / "0005_c2_f0046985.jpg").unlink()
    archive = archive_with(tmp_path / "a.zip", duke, "D/query/0005_c2_f0046985.jpg", content, mode)
    with pytest.raises(DataError, match=f"0005_c2_f0046985.jpg {message}"):
        build_occluded_duke(archive, lists, tmp_path / "out", published=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["DukeMTMC-reID", "a.zip", "lists"]


def test_an_archive_that_has_a_file_twice_or_damaged(tmp_path, duke, lists):
    twice = archive_with(tmp_path / "twice.zip", duke, "other/query/0005_c2_f0046985.jpg", b"another")
    with pytest.raises(DataError, match=r"has query/0005_c2_f0046985.jpg twice: DukeMTMC-reID/.* and other/"):
        build_occluded_duke(twice, lists, tmp_path / "out", published=False)
    damaged = pack(duke, tmp_path / "damaged.zip")
    content = bytearray(damaged.read_bytes())
    with zipfile.ZipFile(damaged) as archive:
        place = archive.getinfo("DukeMTMC-reID/query/0005_c2_f0046985.jpg").header_offset
    content[place + 120] ^= 0xFF
    damaged.write_bytes(content)
    with pytest.raises(DataError, match=r"0005_c2_f0046985.jpg cannot be unpacked .*; fetch the archive again"):
        build_occluded_duke(damaged, lists, tmp_path / "out", published=False)


def test_too_much_in_all_is_refused(tmp_path, duke, lists, monkeypatch):
    monkeypatch.setattr(occluded_duke, "_LARGEST_SUM", 2_000)
    with pytest.raises(DataError, match="the images take more than 2,000 bytes"):
        build_occluded_duke(duke, lists, tmp_path / "out", published=False)
    assert not (tmp_path / "out").exists()
