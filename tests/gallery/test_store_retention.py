"""A clock that jumps erases nothing by itself, and whatever expires is counted."""

from pathlib import Path

import pytest

from occlureid.errors import DataError, UsageError
from occlureid.gallery import Gallery, Item
from tests.gallery.crops import NOW, descriptor, new_gallery

DAY = 86_400.0


class Clock:
    """Seconds since 1970, by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def daily(path: Path, clock: Clock, days: int = 30, each: int = 1, retention: float = 30 * DAY) -> Gallery:
    """A gallery that got some items on each of some days, the last of them now."""
    gallery = new_gallery(path, retention=retention, clock=clock)
    clock.now = NOW - (days - 1) * DAY
    for day in range(days):
        gallery.add([Item(f"day {day} {n}", "c") for n in range(each)], descriptor(each, seed=day), by="test")
        clock.now = NOW - (days - 2 - day) * DAY
    clock.now = NOW
    return gallery


def test_a_clock_that_jumps_ahead_erases_nothing(tmp_path: Path) -> None:
    clock = Clock()
    gallery = daily(tmp_path / "g", clock, days=2, each=16)
    clock.now = NOW + 400 * DAY
    for _ in range(3):
        result = gallery.add([Item(f"later {clock.now}", "c")], descriptor(1), by="test")
        assert (result.added, result.expired, result.overdue) == (1, 0, 32)
        clock.now += 2 * 3600
    with pytest.raises(UsageError, match=r"32 items would expire, but 32 of 35 items are more than a tenth.*--yes"):
        gallery.expire(by="test")
    assert len(gallery) == 35
    clock.now = NOW  # put right again
    found = gallery.expiring()
    assert len(found) == 0
    assert [one.split()[0] for one in found.future] == ["later"] * 3
    assert gallery.erase(ids=found.future, by="test") == 3
    assert len(gallery) == 32


def test_a_clock_beyond_the_newest_item_is_in_doubt_even_for_one_item(tmp_path: Path) -> None:
    clock = Clock()
    gallery = daily(tmp_path / "g", clock, days=30)
    clock.now = NOW + 2.5 * DAY  # the tenth of the retention is three days
    assert len(gallery.expiring()) == 2
    assert gallery.expiring().doubt is None
    clock.now = NOW + 3.5 * DAY
    gallery.expire(NOW + 2.5 * DAY, by="test")
    found = gallery.expiring()
    assert (len(found), found.of) == (1, 28)
    assert found.doubt is not None
    assert "after the newest item (2027-01-15T08:00:00Z)" in found.doubt
    with pytest.raises(UsageError, match="which is 4 days after the newest item"):
        gallery.expire(by="test")
    assert gallery.expire(by="test", sure=True) == 1


def test_adding_lets_a_little_expire_and_counts_it(tmp_path: Path) -> None:
    clock = Clock()
    gallery = daily(tmp_path / "g", clock, days=30)
    clock.now = NOW + DAY + 60
    result = gallery.add([Item("new", "c"), Item("day 20 0", "c")], descriptor(2), by="test")
    assert (result.added, result.present, result.expired, result.overdue) == (1, 1, 1, 0)
    result = gallery.add([Item("newer", "c")], descriptor(1), by="test")  # at most once an hour
    assert (result.added, result.expired) == (1, 0)
    assert {one.id for one in gallery.items()} == {*(f"day {n} 0" for n in range(1, 30)), "new", "newer"}
    assert [e["count"] for e in gallery.audit.read() if (e["action"], e["state"]) == ("expire", "done")] == [1]


def test_a_clock_that_was_ahead_does_not_stop_expiry_once_it_is_right(tmp_path: Path) -> None:
    clock = Clock()
    gallery = daily(tmp_path / "g", clock, days=30)
    clock.now = NOW + 400 * DAY
    with pytest.raises(DataError, match="would expire at once"):
        gallery.add([Item("x", "c", time=NOW)], descriptor(1), by="test")
    gallery.add([Item("later", "c")], descriptor(1), by="test")
    clock.now = NOW + DAY + 60
    assert gallery.add([Item("new", "c")], descriptor(1), by="test").expired == 1


def test_items_of_a_gallery_without_retention_are_named_too(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "g")
    gallery.add([Item("soon", "c", time=NOW + DAY / 2), Item("far", "c", time=NOW + 2 * DAY)], descriptor(2), by="test")
    found = gallery.expiring()
    assert (len(found), found.doubt, found.future, found.newest) == (0, None, ("far",), NOW + DAY / 2)
