"""What is true of the images of a rendered world, as a file that anybody may have written."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlureid.data.truth import TRUTH_FILE, read_truth
from occlureid.errors import DataError

POINTS = [[float(k), k + 0.5, k % 2] for k in range(18)]
WHOLE = {
    "path": "query/0001_c2.jpg",
    "split": "query",
    "person": "0001",
    "camera": "2",
    "size": [256, 128],
    "visible_fraction": 0.5,
    "part_visible_fractions": {"head": 1, "torso": 0.25, "foot": None},
    "pixels": 12,
    "obstacle": "car",
    "heading": -3.141593,
    "box": "visible",
    "scale": 0.5,
    "landmarks": POINTS,
    "self_occluded": [0, 1] * 9,
    "others": [{"person": "0007", "pixels": 3, "landmarks": POINTS}, {"person": "0008", "landmarks": POINTS}],
}


def read_one(folder, record):
    text = record if isinstance(record, str) else json.dumps(record)
    (folder / TRUTH_FILE).write_text(text + "\n", encoding="utf-8")
    (found,) = read_truth(folder).values()
    return found


def test_every_value_arrives(tmp_path):
    found = read_one(tmp_path, WHOLE)
    for key in ("path", "person", "camera", "visible_fraction", "part_visible_fractions", "pixels", "obstacle", "box"):
        assert getattr(found, key) == WHOLE[key]
    assert (found.heading, found.scale, found.size, found.line) == (-3.141593, 0.5, (256, 128), 1)
    assert found.landmarks.dtype == np.float64
    assert found.landmarks.tolist() == POINTS
    assert found.self_occluded.dtype == bool
    assert found.self_occluded.tolist() == [False, True] * 9
    assert [(other.person, other.pixels) for other in found.others] == [("0007", 3), ("0008", None)]
    assert found.others[1].landmarks.tolist() == POINTS


@pytest.mark.parametrize("rest", [{}, dict.fromkeys(WHOLE.keys() - {"path"})], ids=["absent", "null"])
def test_only_the_path_must_be_there(tmp_path, rest):
    found = read_one(tmp_path, {**rest, "path": "query/x.jpg", "own": [1, 2]})
    assert found.path == "query/x.jpg"
    for key in ("person", "visible_fraction", "obstacle", "heading", "landmarks", "self_occluded", "scale", "size"):
        assert getattr(found, key) is None
    assert found.others == ()
    assert found.part_visible_fractions == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"person": 1}, "person must be text"),
        ({"camera": True}, "camera must be text"),
        ({"obstacle": ["car"]}, "obstacle must be text"),
        ({"box": {}}, "box must be text"),
        ({"visible_fraction": 1.01}, r"visible_fraction must be a number in \[0, 1\], got 1.01"),
        ({"visible_fraction": True}, "visible_fraction must be a number"),
        ({"visible_fraction": "0.5"}, "visible_fraction must be a number"),
        ({"visible_fraction": float("nan")}, "visible_fraction must be a number"),
        ({"visible_fraction": 10**400}, "visible_fraction must be a number"),
        ({"heading": 4}, "heading must be a number"),
        ({"heading": float("inf")}, "heading must be a number"),
        ({"scale": -0.1}, "scale must be a number"),
        ({"size": [256]}, "size must be"),
        ({"size": [256, 128.0]}, "size must be"),
        ({"size": [256, True]}, "size must be"),
        ({"size": [0, 128]}, "size must be"),
        ({"pixels": -1}, "pixels must be a count"),
        ({"pixels": 1.5}, "pixels must be a count"),
        ({"part_visible_fractions": [1]}, "part_visible_fractions must be an object"),
        ({"part_visible_fractions": {"head": 2}}, "part_visible_fractions must be an object"),
        ({"part_visible_fractions": {"head": float("nan")}}, "part_visible_fractions must be an object"),
        ({"landmarks": POINTS[:17]}, "landmarks must be 18 lists"),
        ({"landmarks": [*POINTS[:17], [1, 2]]}, "landmarks must be 18 lists"),
        ({"landmarks": [*POINTS[:17], ["1", "2", "1"]]}, "landmarks must be 18 lists"),
        ({"landmarks": [*POINTS[:17], [1.0, None, 1]]}, "landmarks must be 18 lists"),
        ({"landmarks": [*POINTS[:17], [1.0, float("inf"), 1]]}, "landmarks must be 18 lists"),
        ({"landmarks": [*POINTS[:17], [1.0, 10**400, 1]]}, "landmarks must be 18 lists"),
        ({"landmarks": [*POINTS[:17], [1.0, 2.0, 0.5]]}, "landmarks must be 18 lists"),
        ({"landmarks": "none"}, "landmarks must be 18 lists"),
        ({"self_occluded": [0] * 17}, "self_occluded must be a list of 18"),
        ({"self_occluded": [2] * 18}, "self_occluded must be a list of 18"),
        ({"others": {}}, "others must be a list of objects"),
        ({"others": [1]}, "others must be a list of objects"),
        ({"others": [{"person": "0007"}]}, "objects with person and landmarks"),
        ({"others": [{"landmarks": POINTS}]}, "objects with person and landmarks"),
        ({"others": [*WHOLE["others"][:1], {"person": 7}]}, "person 2 of others: person must be text"),
        ({"obstacle": json.loads("[" * 900 + "]" * 900)}, "obstacle must be text"),
        ({"path": 3}, "a JSON object with a path"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_a_wrong_value_is_named(tmp_path, change, message):
    with pytest.raises(DataError, match=rf"truth.jsonl:1: .*{message}"):
        read_one(tmp_path, {**WHOLE, **change})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.sampled_from(sorted(WHOLE)), JSON)
def test_whatever_stands_there_is_read_or_refused_by_name(tmp_path_factory, key, value):
    folder = tmp_path_factory.mktemp("truth")
    try:
        found = read_one(folder, {**WHOLE, key: value})
    except DataError as error:
        message = str(error)
    else:
        message = f"{TRUTH_FILE}:{found.line}:"
    assert f"{TRUTH_FILE}:1:" in message


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"path": ' + "9" * 5000 + "}", "\x00", '"text"', "null"])
def test_a_line_that_is_no_object_is_named(tmp_path, text):
    with pytest.raises(DataError, match=r"truth.jsonl:1: expected (one JSON object|a JSON object with a path)"):
        read_one(tmp_path, text)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path):
    with pytest.raises(DataError, match=r"truth.jsonl:1: expected one JSON object"):
        read_one(tmp_path, json.dumps({**WHOLE, "own": "x" * 200_000}))


def test_lines_are_counted_and_no_image_is_described_twice(tmp_path):
    lines = [json.dumps({**WHOLE, "path": path}) for path in ("a", "b", "a")]
    (tmp_path / TRUTH_FILE).write_text("\n".join(lines[:2]))
    assert {path: record.line for path, record in read_truth(tmp_path).items()} == {"a": 1, "b": 2}
    (tmp_path / TRUTH_FILE).write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"truth.jsonl:3: a was already described in line 1"):
        read_truth(tmp_path)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xfa"], ids=["missing", "not text"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / TRUTH_FILE).write_bytes(content)
    with pytest.raises(DataError, match=TRUTH_FILE):
        read_truth(tmp_path)
