"""The report and its pictures: complete, escaped, self-contained, the same twice, and equal to the JSON beside it."""

import base64
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops

from occlureid.described import Described
from occlureid.errors import DataError, ShapeError, UsageError
from occlureid.evaluation import evaluate
from occlureid.matching import MatchRule
from occlureid.plots import (
    Bar,
    RankedPicture,
    bars_svg,
    cmc_svg,
    contact_sheet,
    draw_parts,
    lines_svg,
    ranked_list_image,
)
from occlureid.report import Run, write_evaluation, write_report
from occlureid.report.page import render
from occlureid.report.ranked import choose_queries, query_view
from occlureid.report.view import (
    Count,
    Figure,
    Group,
    PartView,
    QueryView,
    ReportView,
    ResultView,
    RunView,
    printable,
)
from occlureid.types import Descriptor, Protocol, Region, Sample

HALVES = (Region("upper", 0, 0, 0.5, 1), Region("lower", 0.5, 0, 1, 1))
EVIL = '<script>alert("1")</script>'
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Checks the nesting while reading, and keeps attributes, tags and the text outside style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []
        self.words = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def values(self, name: str, tag: str | None = None) -> list[str]:
        return [value for at, key, value in self.attributes if key == name and tag in (None, at)]


def picture(path: Path, colour: tuple[int, int, int] = (200, 40, 40), size: tuple[int, int] = (32, 64)) -> Path:
    Image.new("RGB", size, colour).save(path, format="PNG")
    return path


def parts(weights: tuple[float, ...], distances: tuple[float, ...] | None = None) -> tuple[PartView, ...]:
    return tuple(
        PartView(region.name, weight, None if distances is None else distances[i], region)
        for i, (region, weight) in enumerate(zip(HALVES, weights, strict=True))
    )


@pytest.fixture
def view(tmp_path: Path) -> ReportView:
    odd = picture(tmp_path / "a b&<i>'\"#%20é.png")
    mate = picture(tmp_path / "mate.png", (40, 200, 40))
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(b"\xff\xd8\xff\xe0 cut off")
    query = QueryView(
        Sample(odd, EVIL, "4", visible_fraction=0.4, obstacle="car"),
        0.75,
        1.0,
        parts((1, 0)),
        (
            ResultView(1, Sample(mate, EVIL, "1"), True, 0.125, 0.2, parts((1, 0), (0.05, math.inf))),
            ResultView(2, Sample(damaged, "7", "2"), False, 0.5, 0.4, parts((0.5, 0), (0.61, math.inf))),
            ResultView(3, Sample(tmp_path / "gone.png", "8", "2"), False, None, 0.4, parts((0, 0))),
        ),
    )

    def run(name: str, shift: float, lists: tuple[QueryView, ...]) -> RunView:
        figures = {
            n: Figure(v + shift, v + shift - 0.05, v + shift + 0.05) for n, v in (("Rank-1", 0.6), ("mAP (hits)", 0.5))
        }
        return RunView(
            name,
            figures,
            (0.6 + shift, 0.7 + shift, 0.75 + shift),
            (Count("Queries without a true match", 3, "left out"), Count("Pairs not comparable", 1234, "infinite")),
            (Group("0 to 50 %", 12, 0.25, 0.2), Group("50 to 100 %", 40, 0.7 + shift, 0.6)),
            (Group("car", 30, 0.5 + shift, 0.4),),
            best=lists,
            settings=f"name: {EVIL}\n",
            commands=("occlureid evaluate runs/a --report r.html",),
        )

    return ReportView(
        f"A report {EVIL}", "2026-01-02", {"Dataset": "world"}, ("Rendered: says nothing about photographs.",),
        (run("first", 0.1, (query,)), run(f"second {EVIL}", 0.0, ())),
    )  # fmt: skip


def test_the_page_is_well_formed_and_asks_nothing_of_the_outside(view):
    text = render(view)
    page = Page(text)
    for name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
        assert all(value.startswith(("#", "data:")) for value in page.values(name))
    assert "@import" not in text
    assert set(re.findall(r"url\(([^)]*)\)", text)) == {"#hatch"}
    assert set(re.findall(r"https?://[^\"' ]*", text)) <= {"http://www.w3.org/2000/svg"}
    assert "\r" not in text


def test_text_from_outside_never_becomes_markup(view):
    page = Page(render(view))
    assert page.tags.count("script") == 1
    assert page.words.count("<script>") >= 6
    assert "i" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]


def test_ids_are_unique_and_every_reference_is_there(view):
    page = Page(render(view))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    named = [
        word
        for name in ("aria-labelledby", "aria-describedby")
        for value in page.values(name)
        for word in value.split()
    ]
    used = [value[1:] for value in page.values("href") if value.startswith("#")]
    assert named
    assert used
    assert {*named, *used} <= set(ids)


def test_every_run_figure_count_and_note_is_on_the_page(view):
    page = Page(render(view))
    for run in view.runs:
        assert run.name in page.words
        for figure in run.figures.values():
            assert f"{figure.value * 100:.1f}" in page.words
            assert f"{figure.low * 100:.1f}–{figure.high * 100:.1f}" in page.words
    for words in (
        "1,234",
        "Queries without a true match",
        view.notes[0],
        "2026-01-02",
        "30 queries",
        "no image",
        "∞ global 0.400",
    ):
        assert words in page.words
    assert page.tags.count("image") == 2  # the damaged and the missing file have none


def test_the_figures_of_the_page_are_those_of_the_json(view):
    page, record = Page(render(view)), json.loads(json.dumps(view.to_json(), allow_nan=False))
    written = [float(value) for value in page.values("data-value")]
    figures = [figure["value"] for run in record["runs"] for figure in run["figures"].values()]
    counts = [count["value"] for run in record["runs"] for count in run["counts"]]
    assert sorted(written) == sorted(figures + counts)
    result = record["runs"][0]["best"][0]["results"][0]
    assert (result["distance"], result["parts"][0]["distance"], result["parts"][1]["distance"]) == (0.125, 0.05, None)


def test_the_best_figure_is_bold_and_equal_ones_both_are(view):
    assert render(view).count("<strong>") == 2
    tied = ReportView(
        view.title, "", {}, (), (view.runs[0], RunView("again", view.runs[0].figures, (), view.runs[0].counts))
    )
    assert render(tied).count("<strong>") == 4
    alone = ReportView(view.title, "", {}, (), view.runs[:1])
    assert render(alone).count("<strong>") == 0


def test_true_matches_have_a_symbol_and_words_and_parts_their_distance(view):
    text = render(view)
    page = Page(text)
    assert text.count('class="shot true"') == 1
    assert text.count('class="shot other"') == 2
    assert "✓ 1 true match" in page.words.replace("✓1", "✓ 1")
    assert "upper distance 0.05; lower not shared" in page.words
    assert ">0.05</text>" in text
    assert "×.50" in page.words
    # one shared part on the query and one on its match; nothing is drawn over a placeholder; one shared part in the key
    assert text.count('class="shared"') == 3


def test_the_same_view_gives_the_same_page(view):
    assert render(view) == render(view)


def test_each_image_is_stored_once(view):
    first = view.runs[0]
    twice = ReportView(
        view.title, "", {}, (), (first, RunView("copy", first.figures, (), first.counts, worst=first.best))
    )
    assert Page(render(twice)).tags.count("image") == 2
    assert render(twice).count("data:image/jpeg") == 2


def test_a_huge_image_is_not_decoded(view, tmp_path, monkeypatch):
    picture(tmp_path / "mate.png", size=(200, 200))
    assert Page(render(view)).tags.count("image") == 2
    monkeypatch.setattr("occlureid.report.page._MOST_PIXELS", 10_000)
    assert Page(render(view)).tags.count("image") == 1


def test_printable_shows_what_cannot_be_seen():
    assert printable("a\x1b[2J\u202eb\udcff") == "a\\x1b[2J\\u202eb\\udcff"
    assert printable("é 人 <b>\n\t") == "é 人 <b>\n\t"


def test_cmc_svg_draws_every_run_at_its_height():
    root = ElementTree.fromstring(cmc_svg({"a": [0.5, 0.75, 1.0], f"b {EVIL}": [0.5, 0.5, 0.5]}))
    lines = [line.get("points").split() for line in root.iter("{http://www.w3.org/2000/svg}polyline")]
    heights = [[float(point.split(",")[1]) for point in line] for line in lines]
    assert heights[0][0] == heights[1][0] == heights[1][2]
    assert heights[0][0] - heights[0][1] == pytest.approx(heights[0][1] - heights[0][2], abs=0.02)
    assert "a: rank 1 50.0 %" in root.find("{http://www.w3.org/2000/svg}desc").text
    assert f"b {EVIL}" in "".join(root.itertext())


@pytest.mark.parametrize("curves", [{}, {"a": []}, {"a": [1.2]}, {"a": [math.nan]}])
def test_cmc_svg_refuses_what_is_no_curve(curves):
    with pytest.raises(ShapeError):
        cmc_svg(curves)


def test_lines_svg_puts_points_where_they_belong_and_marks_what_was_measured():
    curves = {"a": [(0.0, 0.9), (0.02, 0.5), (0.1, 0.2)], "b": [(0.0, 0.3)]}
    svg = lines_svg(
        curves, ticks={0.0: "0", 0.05: "5 %", 0.1: "10 %"}, x_label="noise", title="t", name="n", mark_all=True
    )
    root = ElementTree.fromstring(svg)
    dots = [float(dot.get("cx")) for dot in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert len(dots) == 4
    assert (dots[1] - dots[0]) / (dots[2] - dots[0]) == pytest.approx(0.2, abs=0.01)
    assert "a: 90.0 % at 0, 50.0 % at 0.02, 20.0 % at 0.1" in root.find("{http://www.w3.org/2000/svg}desc").text
    assert "noise" in "".join(root.itertext())


@pytest.mark.parametrize("curves", [{}, {"a": []}, {"a": [(0, 1.2)]}, {"a": [(1, 0.5), (1, 0.6)]}])
def test_lines_svg_refuses_what_is_no_curve(curves):
    with pytest.raises(ShapeError):
        lines_svg(curves, ticks={}, x_label="", title="t", name="n")


def test_bars_are_as_long_as_their_values_and_say_how_many_queries():
    bars = {"a": [Bar(0.5, 4, 0.4, 0.6), None], "b": [Bar(1.0, 4), Bar(0.25, 1)]}
    root = ElementTree.fromstring(bars_svg(["near", "far"], bars, title="t", name="x"))
    widths = [float(r.get("width")) for r in root.iter("{http://www.w3.org/2000/svg}rect") if r.get("height") == "16"]
    assert widths == pytest.approx([widths[1] / 2, widths[1], widths[1] / 4], abs=0.01)
    words = "".join(root.itertext())
    for piece in ("4 queries", "1 query", "no query", "50.0 %", "25.0 %"):
        assert piece in words
    with pytest.raises(ShapeError, match="one bar a group"):
        bars_svg(["near"], bars, title="t")
    with pytest.raises(ShapeError, match="lie in"):
        bars_svg(["near"], {"a": [Bar(1.5, 1)]}, title="t")


def test_draw_parts_changes_only_what_it_should():
    plain = Image.new("RGB", (64, 128), (10, 200, 30))
    drawn = draw_parts(plain, HALVES, (1, 0), height=128)
    assert drawn.size == (64, 128)
    assert drawn.getpixel((32, 32)) == (10, 200, 30)
    assert drawn.getpixel((32, 0)) != (10, 200, 30)
    lower = ImageChops.difference(plain, drawn).crop((0, 64, 64, 128))
    assert lower.getextrema()[1][0] > 10  # every pixel of the part that is not shared is dimmed
    assert plain.getpixel((32, 100)) == (10, 200, 30)
    wide = draw_parts(plain, HALVES, (1, 1), (0.25, math.inf), height=128)
    assert wide.width > 64
    assert wide.getcolors(4096) is not None


@pytest.mark.parametrize(
    ("weights", "distances", "height"), [((1,), None, 64), ((1, 1), (0.1,), 64), ((1, 1), None, 4)]
)
def test_draw_parts_refuses_what_does_not_fit(weights, distances, height):
    with pytest.raises(ShapeError):
        draw_parts(Image.new("L", (8, 16)), HALVES, weights, distances, height=height)


def test_ranked_list_marks_right_and_wrong_differently():
    query = Image.new("RGB", (32, 64), (90, 90, 90))

    def strip(*correct: bool | None) -> Image.Image:
        return ranked_list_image(
            query, [RankedPicture(query, c, ("p",), (1, 0), (0.2, 0.3)) for c in correct], regions=HALVES
        )

    assert strip(True).tobytes() == strip(True).tobytes()
    assert len({strip(c).tobytes() for c in (True, False, None)}) == 3
    assert strip(True, False).width > strip(True).width
    assert strip().height > 0


def test_contact_sheet_has_rows_and_columns():
    images = [Image.new("RGB", (10, 20), (i * 40, 0, 0)) for i in range(5)]
    sheet = contact_sheet(images, 2, ["x"] * 5, height=20)
    one = contact_sheet(images[:1], 2, ["x"], height=20)
    assert sheet.size == (one.width * 2, one.height * 3)
    with pytest.raises(ShapeError):
        contact_sheet(images, 2, ["x"])
    with pytest.raises(ShapeError):
        contact_sheet([], 2)


def world(folder: Path, seed: int = 0) -> tuple[list[Sample], list[Sample], Descriptor, Descriptor]:
    """Six persons with two gallery images each, one junk image, and a query of each; the sixth has no true match."""
    generator = torch.Generator().manual_seed(seed)
    query, gallery = [], []
    for i in range(6):
        person = EVIL if i == 0 else f"{i}"
        path = picture(folder / f"q{i}.png", (40 * i, 90, 90))
        query.append(Sample(path, person, "1", visible_fraction=0.15 * (i + 1), obstacle="car" if i % 2 else "none"))
        camera = "1" if i == 5 else "2"
        gallery += [Sample(picture(folder / f"g{i}_{k}.png", (40 * i, 60, 60)), person, camera) for k in range(2)]
    gallery.append(Sample(picture(folder / "junk.png"), "-1", "2"))

    def descriptor(count: int) -> Descriptor:
        vectors = torch.randn(count, 8, generator=generator)
        visibility = (torch.rand(count, 2, generator=generator) > 0.4).float()
        return Descriptor(vectors, torch.randn(count, 2, 8, generator=generator), visibility, fingerprint="toy@1")

    return query, gallery, descriptor(len(query)), descriptor(len(gallery))


def evaluated(folder: Path, name: str = "toy", rule: MatchRule | None = None, seed: int = 0, **changes) -> Run:
    query, gallery, *descriptors = world(folder, seed)
    provenance = {
        "method": "toy",
        "data": {"name": "world", "checksum": "abc123"},
        "versions": {"torch": "2.13"},
        "x": EVIL,
    }
    protocol = Protocol("toy protocol")
    report = evaluate(
        tuple(descriptors), query, gallery, protocol, rule=rule or MatchRule(), resamples=20, provenance=provenance
    )
    run = Run(name, report, query, gallery, tuple(descriptors), HALVES, ("occlureid evaluate here",))
    return replace(run, **changes)


def test_write_report_says_what_the_evaluation_found(tmp_path):
    runs = [evaluated(tmp_path), evaluated(tmp_path, "global only", MatchRule(part_factor=0))]
    path = write_report(tmp_path / "made" / "a report.html", runs, date="today", notes=["Rendered."])
    page = Page(path.read_text(encoding="utf-8"))
    record = json.loads((tmp_path / "made" / "a report.json").read_text(encoding="utf-8"))
    for run in runs:
        report = run.report
        for value in (*report.ranks.values(), report.average_precision, report.average_precision_trapezoid):
            assert f"{value * 100:.1f}" in page.words
        shown = next(r for r in record["runs"] if r["name"] == run.name)
        assert shown["figures"]["mAP (hits)"]["value"] == report.average_precision
        assert shown["figures"]["Rank-1"]["low"] == report.intervals["rank_1"].low
        assert record["reports"][run.name]["curve"] == list(report.curve)
    counts = {count["name"]: count["value"] for count in record["runs"][0]["counts"]}
    assert counts["Queries without a true match"] == counts["Junk images"] == 1
    assert counts["Pairs ignored"] == 2
    for words in (
        "q5.png",
        "abc123",
        "torch 2.13",
        "occlureid evaluate here",
        "Rendered.",
        "today",
        "20 to 40 %",
        "car",
    ):
        assert words in page.words
    assert "For each query, those of the same person from the same camera (2 pairs)" in page.words
    assert "parts not compared" in page.words
    assert page.tags.count("script") == 1
    assert not list(tmp_path.rglob("*.partial"))


def test_ranked_lists_show_the_nearest_images_and_what_their_distance_is_made_of(tmp_path):
    run = evaluated(tmp_path, rule=MatchRule(visibility="soft"))
    best, worst = choose_queries(run, 2)
    scores = [run.report.queries[i].average_precision for i in (*best, *worst)]
    everyone = sorted(q.average_precision for q in run.report.queries if q.average_precision is not None)
    assert sorted(scores) == sorted([*everyone[:2], *everyone[-2:]])
    assert 5 not in (*best, *worst)
    for index in best:
        view, result = query_view(run, index, 4), run.report.queries[index]
        assert [r.sample for r in view.results] == [run.gallery[m] for m in result.matches[:4]]
        for shown, match, distance in zip(view.results, result.matches, result.distances, strict=False):
            weights = run.descriptors[0].visibility[index] * run.descriptors[1].visibility[match]
            assert [p.weight for p in shown.parts] == weights.tolist()
            near = shown.global_distance + sum(p.weight * (p.distance or 0) for p in shown.parts)
            assert near / (1 + float(weights.sum())) == pytest.approx(distance, abs=1e-5)
            assert shown.correct == (shown.sample.person == view.sample.person)
            assert [p.region for p in shown.parts] == list(HALVES)


def test_a_second_query_of_a_person_waits_until_every_person_had_one(tmp_path):
    run = evaluated(tmp_path)
    query = [replace(s, person="7") if i < 3 else s for i, s in enumerate(run.query)]
    same = replace(run, query=query)
    persons = [same.query[i].person for i in choose_queries(same, 3)[0]]
    assert sorted(persons) == ["3", "4", "7"]
    assert len(choose_queries(same, 4)[0]) == 4


def test_pairs_that_cannot_be_compared_and_parts_without_a_place(tmp_path):
    run = evaluated(tmp_path, rule=MatchRule(global_weight=0), regions=())
    hidden = [replace(d, visibility=torch.zeros_like(d.visibility)) for d in run.descriptors]
    rule = MatchRule(global_weight=0)
    report = evaluate(tuple(hidden), run.query, run.gallery, run.report.protocol, rule=rule, resamples=5)
    nothing = replace(run, name="nothing", report=report, descriptors=tuple(hidden))
    view = query_view(nothing, choose_queries(nothing, 1)[0][0], 3)
    assert [(r.distance, r.global_distance) for r in view.results] == [(None, None)] * 3
    text = write_report(tmp_path / "r.html", [nothing], queries=1, images=3).read_text(encoding="utf-8")
    assert Page(text).words.count("∞") >= 6
    assert "parts – · –" in Page(text).words
    plain = replace(nothing, descriptors=None)
    assert query_view(plain, 0, 3).results[0].parts == ()


def test_write_evaluation_gives_the_same_page_twice(tmp_path):
    run = evaluated(tmp_path)
    described = Described(
        *run.descriptors, tuple(run.query), tuple(run.gallery), run.report.rule, run.report.protocol, HALVES
    )  # fmt: skip
    paths = [
        write_evaluation(
            tmp_path / f"{i}" / "r.html", {"toy": (described, run.report)}, commands={"toy": ["occlureid x"]}
        )
        for i in range(2)
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].with_suffix(".json").read_bytes() == paths[1].with_suffix(".json").read_bytes()
    assert "occlureid x" in Page(paths[0].read_text(encoding="utf-8")).words
    with pytest.raises(UsageError, match="not there: toi"):
        write_evaluation(tmp_path / "r.html", {"toy": (described, run.report)}, commands={"toi": ["x"]})
    with pytest.raises(UsageError, match="sheets are given for runs that are not there: toi"):
        write_evaluation(tmp_path / "r.html", {"toy": (described, run.report)}, sheets={"toi": [tmp_path / "x.png"]})


def test_sheets_of_a_method_are_shown_and_a_damaged_one_is_named(tmp_path):
    run = evaluated(tmp_path)
    damaged = tmp_path / "crop.png"
    damaged.write_bytes(b"\x89PNG cut off")
    good = picture(tmp_path / "stripe_visibility.png", size=(4000, 100))
    page = Page(write_report(tmp_path / "r.html", [replace(run, sheets=(good, damaged))]).read_text(encoding="utf-8"))
    (shown,) = [uri for uri in page.values("src", "img") if uri.startswith("data:image/jpeg;base64,")]
    with Image.open(io.BytesIO(base64.b64decode(shown.partition(",")[2]))) as image:
        assert image.size == (1600, 40)
        assert np.abs(np.asarray(image).mean((0, 1)) - (200, 40, 40)).max() < 3
    assert "Stripe visibility" in page.words
    assert "crop.png cannot be shown" in page.words
    assert "What the methods see" not in Page(write_report(tmp_path / "s.html", [run]).read_text("utf-8")).words


def test_runs_that_do_not_go_together_are_refused(tmp_path):
    run = evaluated(tmp_path)
    other_query = replace(run, name="b", query=[replace(run.query[0], camera="9"), *run.query[1:]])
    other_protocol = replace(run, name="b", report=replace(run.report, protocol=Protocol("another")))
    for runs, words in (
        ([], "at least one run"),
        ([run, run], "different names"),
        ([run, other_query], "different query images"),
        ([run, other_protocol], "different protocols"),
    ):
        with pytest.raises(UsageError, match=words):
            write_report(tmp_path / "r.html", runs)
    with pytest.raises(UsageError, match=r"must end in \.html"):
        write_report(tmp_path / "r.txt", [run])
    with pytest.raises(UsageError, match="images at least 1"):
        write_report(tmp_path / "r.html", [run], images=0)
    with pytest.raises(DataError, match="6 query and 13 gallery"):
        replace(run, query=run.query[:2])
    with pytest.raises(DataError, match="descriptors"):
        replace(run, descriptors=run.descriptors[::-1])
    with pytest.raises(DataError, match="1 regions for 2 parts"):
        replace(run, regions=HALVES[:1])
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be written"):
        write_report(tmp_path / "file" / "r.html", [run])
    assert not list(tmp_path.glob("r.*"))


def test_names_that_are_no_text_can_be_written(tmp_path):
    run = evaluated(tmp_path)
    odd = [replace(s, path=Path("/nowhere/\udcff\x1b\u202e<img src=x onerror=y>.png")) for s in run.query]
    text = write_report(tmp_path / "r.html", [replace(run, query=odd)]).read_text(encoding="utf-8")
    page = Page(text)
    assert "\\udcff\\x1b\\u202e<img" in "".join(page.values("title"))
    assert "img" not in page.tags
