"""Names of parts from the method to the gallery's file and back."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from occlureid import methods
from occlureid.errors import DataError
from occlureid.gallery.bodyparts import BodyParts, read_parts, write_parts
from occlureid.models.stripes import stripe_regions

SMALL = {"backbone": "resnet18", "size": (64, 32)}


@pytest.mark.parametrize(
    ("name", "first", "last", "placed"),
    [
        ("pcb", "head", "feet", True),
        ("sorn", "head and chest", "shins and feet", True),
        ("pgfa", "head and chest", "shins and feet", True),
        ("sgam", "head", "shoes", False),
        ("hcga", "head", "lower body", False),
    ],
)
def test_parts_are_named_from_head_to_feet(tmp_path: Path, name: str, first: str, last: str, placed: bool) -> None:
    method = methods.create(name, 3, SMALL, seed=1)
    count = len(method.part_names())
    made = BodyParts.of(method.part_names(), method.regions, count)
    assert (made.names[0], made.names[-1]) == (first, last)
    assert len(set(made.names)) == count >= 3
    assert len(made.regions) == (count if placed else 0)
    write_parts(tmp_path, made)
    assert read_parts(tmp_path, count) == made
    assert made.labels(count) == list(made.names)


@pytest.mark.parametrize("count", range(1, 14))
def test_stripes_cover_the_picture(count: int) -> None:
    stripes = stripe_regions(count)
    assert [stripes[0].top, stripes[-1].bottom] == [0, 1]
    assert all(a.bottom == b.top for a, b in pairwise(stripes))
    assert len({stripe.name for stripe in stripes}) == count


def test_unknown_parts_are_numbered(tmp_path: Path) -> None:
    write_parts(tmp_path, BodyParts())
    assert not (tmp_path / "regions.json").exists()
    assert read_parts(tmp_path, 2).labels(2) == ["part 1", "part 2"]
    assert BodyParts.of(("head",), (), 2) == BodyParts()


@pytest.mark.parametrize(
    "content",
    ["", "3", "[3, 4]", '[{"name": "a"}]', '[{"name": "a"}, {"name": ""}]', '[{"name": "a"}, {"name": 3}]',
     '[{"name": "a"}, {"name": "b", "top": 0}]',
     '[{"name": "a"}, {"name": "b", "top": 0, "left": 0, "bottom": 1, "right": 1}]', "[" * 100_000,
     # names that move the cursor of a terminal, turn the text around, or cannot be written
     r'[{"name": "a"}, {"name": "\u001b[31mb"}]', r'[{"name": "a"}, {"name": "b\nc"}]',
     r'[{"name": "a"}, {"name": "\u202eb"}]', r'[{"name": "a"}, {"name": "\ud800"}]'],
)  # fmt: skip
def test_damaged_files_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "regions.json").write_text(content)
    with pytest.raises(
        DataError, match=r"regions\.json: .*the places of parts.*; without this file parts are shown as numbers"
    ):
        read_parts(tmp_path, 2)
    (tmp_path / "regions.json").write_text(json.dumps([{"name": "a"}, {"name": "b"}]))
    assert read_parts(tmp_path, 2) == BodyParts(("a", "b"))
