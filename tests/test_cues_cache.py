"""The cache of cues: exact, by content, safe under several processes and after a kill, and erasable."""

import multiprocessing
import shutil
from pathlib import Path

import pytest
import torch

from occlureid.cues import CueCache
from occlureid.cues.cache import image_key
from occlureid.errors import DataError, UsageError
from occlureid.types import Cues

MAKER, OTHER = "vitpose@0123456789ab", "segformer@ba9876543210"


def cues(seed=0) -> Cues:
    generator = torch.Generator().manual_seed(seed)
    maps = (torch.rand(3, 8, 4, generator=generator) * 255).round() / 255
    return Cues(torch.rand(18, 3, generator=generator), maps, torch.rand(8, 4, generator=generator), (0, 2, 1))


def same(one: Cues, other: Cues) -> bool:
    tensors = all(torch.equal(getattr(one, name), getattr(other, name)) for name in one.names)
    return one.names == other.names and tensors and one.part_flip == other.part_flip


def image(folder: Path, content: bytes, name="a.jpg") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def test_what_is_stored_comes_back_bit_by_bit(tmp_path):
    cache, key = CueCache(tmp_path / "cache"), image_key(image(tmp_path, b"one"))
    assert cache.get(MAKER, key) is None
    for stored in (cues(), Cues(keypoints=torch.rand(18, 3) * 1e3), Cues(foreground=torch.rand(5, 3)), Cues()):
        cache.put(MAKER, key, stored)
        assert same(cache.get(MAKER, key), stored)
    assert cache.get(OTHER, key) is None, "another provider's"


def test_maps_of_whole_255ths_take_a_byte_each(tmp_path):
    cache = CueCache(tmp_path)
    generator = torch.Generator().manual_seed(0)
    soft = torch.rand(4, 64, 64, generator=generator)
    sizes = []
    for key, maps in (("a" * 64, soft), ("b" * 64, (soft * 255).round() / 255)):
        cache.put(MAKER, key, Cues(part_map=maps))
        assert torch.equal(cache.get(MAKER, key).part_map, maps)
        sizes.append((tmp_path / MAKER / key[:2] / f"{key}.cue").stat().st_size)
    assert sizes[1] < 4 * 64 * 64 * 1.1 < sizes[0]


def test_the_key_is_the_content(tmp_path):
    first, moved = image(tmp_path, b"one"), image(tmp_path, b"one", "b.png")
    assert image_key(first) == image_key(str(moved))
    first.write_bytes(b"two")
    assert image_key(first) != image_key(moved)
    with pytest.raises(DataError, match=r"none\.jpg: cannot be read"):
        image_key(tmp_path / "none.jpg")


@pytest.mark.parametrize("harm", ["truncated", "flipped", "empty", "foreign", "header"])
def test_damaged_entries_count_as_absent(tmp_path, caplog, harm):
    cache, key = CueCache(tmp_path), "c" * 64
    cache.put(MAKER, key, cues())
    path = tmp_path / MAKER / "cc" / f"{key}.cue"
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes({
        "truncated": data[:-3],
        "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "empty": b"",
        "foreign": b"something else altogether" * 9,
        "header": data[:10],
    }[harm])  # fmt: skip
    assert cache.get(MAKER, key) is None
    assert "damaged and computed again" in caplog.text
    cache.put(MAKER, key, cues())
    assert same(cache.get(MAKER, key), cues())


def test_an_entry_that_unfolds_to_more_than_it_says_is_cut_off(tmp_path):
    import hashlib
    import zlib

    from occlureid.cues.cache import _HEADER, _MAGIC

    cache, key = CueCache(tmp_path), "d" * 64
    packed = zlib.compress(bytes(10_000_000))
    path = tmp_path / MAKER / "dd" / f"{key}.cue"
    path.parent.mkdir(parents=True)
    for size in (100, 2**40):
        path.write_bytes(_HEADER.pack(_MAGIC, hashlib.sha256(packed).digest(), size) + packed)
        assert cache.get(MAKER, key) is None


def _write_many(root: str, worker: int) -> None:
    cache = CueCache(root)
    for repeat in range(6):
        for number in range(8):
            cache.put(MAKER, f"{number:064x}", cues(number))
            found = cache.get(MAKER, f"{(number + worker + repeat) % 8:064x}")
            assert found is None or same(found, cues((number + worker + repeat) % 8))


def test_several_processes_write_the_same_entries(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_many, args=(str(tmp_path), k)) for k in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    cache = CueCache(tmp_path)
    assert cache.providers() == {MAKER: 8}
    assert all(same(cache.get(MAKER, f"{number:064x}"), cues(number)) for number in range(8))
    assert list((tmp_path / "partial").iterdir()) == []


def test_what_a_killed_process_leaves_is_no_entry(tmp_path):
    cache = CueCache(tmp_path)
    cache.put(MAKER, "e" * 64, cues())
    (tmp_path / "partial" / "eeeeabcd").write_bytes(b"half")
    assert cache.providers() == {MAKER: 1}
    assert cache.clear(MAKER) == 1
    assert not (tmp_path / "partial").exists()


def test_clear_by_name_fingerprint_or_all(tmp_path):
    cache = CueCache(tmp_path / "not there yet")
    assert cache.providers() == {}
    assert cache.clear() == 0

    def fill():
        for number in range(3):
            cache.put(MAKER, f"{number:064x}", cues())
        cache.put(OTHER, "0" * 64, cues())

    for which, deleted, left in (("vitpose", 3, {OTHER: 1}), (OTHER, 1, {MAKER: 3}), (None, 4, {}), ("none", 0, None)):
        fill()
        assert cache.clear(which) == deleted
        assert left is None or cache.providers() == left


def test_a_folder_that_is_no_provider_is_left_alone(tmp_path):
    (tmp_path / "holiday pictures").mkdir()
    image(tmp_path / "holiday pictures", b"precious")
    CueCache(tmp_path).clear()
    assert (tmp_path / "holiday pictures" / "a.jpg").exists()


def test_erase_deletes_all_about_an_image_and_nothing_else(tmp_path):
    cache = CueCache(tmp_path / "cache")
    one, two = image(tmp_path, b"one"), image(tmp_path, b"two", "b.jpg")
    copy = tmp_path / "copy.jpg"
    shutil.copy(one, copy)
    for path in (one, two):
        for maker in (MAKER, OTHER):
            cache.put(maker, image_key(path), cues())
    assert cache.erase([copy]) == 2
    assert cache.get(MAKER, image_key(one)) is cache.get(OTHER, image_key(one)) is None
    assert cache.get(MAKER, image_key(two)) is not None
    assert cache.erase([image_key(two)]) == 2, "by its key, where the file is gone"
    with pytest.raises(DataError, match="cannot be read"):
        cache.erase([tmp_path / "gone.jpg"])


@pytest.mark.parametrize(
    ("maker", "key"), [("../up@01234567", "a" * 64), (MAKER, "../" + "a" * 61), ("none", "a" * 64)]
)
def test_names_cannot_leave_the_folder(tmp_path, maker, key):
    cache = CueCache(tmp_path)
    for call in (lambda: cache.get(maker, key), lambda: cache.put(maker, key, cues())):
        with pytest.raises(UsageError, match="a cache entry has"):
            call()


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        CueCache(tmp_path / "file").put(MAKER, "a" * 64, cues())
