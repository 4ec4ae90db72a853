"""Items, columns and filters: checked when made, and the same whether Python or Lance decides what passes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from occlureid.errors import DataError
from occlureid.gallery.records import Columns, Filter, Item
from occlureid.gallery.store import Gallery
from tests.gallery.crops import descriptor, new_gallery

NASTY = (
    "a",
    "A",
    "it's",
    "' OR 1=1 --",
    '"',
    "\\",
    "%",
    "a_",
    "日本",
    "e\u0301",
    "\u00e9",
    " ",
    "NULL",
    "a;DROP",
    "\\'",
    "''",
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ""}, "id must be a text of 1 to 200"),
        ({"id": "x" * 201}, "id must be a text of 1 to 200"),
        ({"id": 7}, "id must be a text"),
        ({"camera": "a\nb"}, "control characters"),
        ({"camera": "a\u2028b"}, "line ends"),
        ({"person": "\ud800"}, "control characters"),
        ({"person": ""}, "person must be"),
        ({"source": "s" * 2001}, "source must be"),
        ({"time": float("nan")}, "time must be a finite number"),
        ({"time": float("inf")}, "time must be a finite number"),
        ({"time": True}, "time must be"),
        ({"time": "now"}, "time must be"),
        ({"box": (0, 0, 1)}, "four numbers"),
        ({"box": "0011"}, "four numbers"),
        ({"box": (0, 0, 0, 1)}, "x0 < x1"),
        ({"box": (0, 0, 1, float("nan"))}, "box must be a finite"),
        ({"thumbnail": b"GIF89a"}, "JPEG"),
        ({"thumbnail": "\xff\xd8\xff"}, "JPEG"),
        ({"thumbnail": b"\xff\xd8\xff" + bytes(1 << 20)}, "at most 1048576 bytes"),
    ],
)
def test_an_item_is_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Item(**{"id": "x", "camera": "c", **changes})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cameras": "c1"}, "tuple of texts"),
        ({"persons": (1,)}, "person must be"),
        ({"ids": ("a\0",)}, "control"),
        ({"since": float("nan")}, "since must be"),
        ({"since": 2.0, "until": 2.0}, "since must be before until, got 1970-01-01T00:00:02Z and 1970-01-01T00:00:02Z"),
        ({"since": 9e10, "until": -9e10}, "since must be before until, got 4821-12-26T16:00:00Z and the year -882"),
    ],
)
def test_a_filter_is_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Filter(**values)


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    gallery = new_gallery(Path(tmp_path_factory.mktemp("filter")) / "gallery")
    times = (None, 0.0, -1.5, 1e9, 1e9 + 1e-6, 1e-300)
    items = [
        Item(f"{text}{number}", text, None if number % 4 == 0 else NASTY[-number], times[number % len(times)])
        for number, text in enumerate(NASTY)
    ]
    gallery.add(items, descriptor(len(items)), by="test")
    return gallery


texts = st.none() | st.lists(st.sampled_from(NASTY), max_size=3).map(tuple)
moments = st.none() | st.sampled_from((0.0, -1.5, 1e9, 1e9 + 1e-6, 1e-300, 5e-324))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cameras=texts, others=texts, persons=texts, since=moments, until=moments)
def test_lance_and_python_let_the_same_pass(
    nasty: Gallery, cameras: Any, others: Any, persons: Any, since: Any, until: Any
) -> None:
    if since is not None and until is not None and not since < until:
        until = None
    question = Filter(cameras, others, persons, None, since, until)
    everything = nasty.columns()
    expected = everything[question.mask(everything)].ids.to_pylist()
    assert nasty.columns(question).ids.to_pylist() == expected
    assert [item.id for item in nasty.items(question)] == expected
    assert question.everything == (question == Filter())


def test_a_filter_on_every_kind_of_condition(nasty: Gallery) -> None:
    columns = nasty.columns()
    ids = columns.ids.to_pylist()
    assert columns[Filter(cameras=("' OR 1=1 --",)).mask(columns)].ids.to_pylist() == ["' OR 1=1 --3"]
    assert Filter(not_cameras=("a",)).mask(columns).tolist() == [one != "a0" for one in ids]
    assert not Filter(cameras=()).mask(columns).any()
    assert Filter(not_cameras=()).mask(columns).all()
    assert Filter(since=1e9).mask(columns).tolist() == [time >= 1e9 for time in columns.times.tolist()]
    assert Filter(ids=("it's2",)).mask(columns).tolist() == [one == "it's2" for one in ids]


def test_columns_are_cut_and_joined(nasty: Gallery) -> None:
    columns = nasty.columns()
    joined = Columns.cat([columns[10:], columns[:10], columns[np.array([], np.int64)]])
    assert joined.ids.to_pylist() == columns.ids.to_pylist()[10:] + columns.ids.to_pylist()[:10]
    back = joined[np.argsort(joined.rows)]
    assert back.persons.to_pylist() == columns.persons.to_pylist()
    assert np.array_equal(back.times, columns.times, equal_nan=True)
    assert len(Columns.cat([])) == 0
    with pytest.raises(DataError, match="one length"):
        Columns(columns.rows[1:], columns.ids, columns.cameras, columns.persons, columns.times)
