"""The page, in a real browser, against a real server and a rendered gallery."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from occlureid.gallery import Gallery
from occlureid.gallery.openset import Calibration
from occlureid.service.tokens import add_token
from tests.service.page_world import Colours, Shot, encoded, fill, make_world, running, take_shots

sync_api = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, Locator, Page, Route, expect  # noqa: E402

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"there is no {CHROMIUM}")

HOSTILE = {
    "id": '<img src=x onerror="window.hacked=1">',
    "camera": "<script>window.hacked=2</script>",
    "person": '"><svg onload=window.hacked=3>\u202e',
}
REPORT_VIOLATIONS = (
    "document.addEventListener('securitypolicyviolation', e => console.error('CSP', e.violatedDirective))"
)
KEEP_REQUESTS = """{
    const real = window.fetch;
    window.fetch = (address, options) => {
        const form = options.body instanceof FormData ? [...options.body] : null;
        const text = form ? form.find(([key]) => key === 'query')?.[1] : options.body;
        const files = form ? form.filter(([, value]) => value instanceof File).map(([, file]) => file.name) : [];
        if (text) window.sent = {...JSON.parse(text), files};
        return real(address, options);
    };
}"""
"""The browser shows the tests no body that holds files."""
PATIENCE = 60_000


@dataclass
class Street:
    """A server with galleries, and what is in them."""

    address: str
    shots: list[Shot]
    guarded: str
    tokens: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    folder = tmp_path_factory.mktemp("page")
    shots = take_shots(make_world(5, (96, 48)), "gallery", 20, (96, 48))
    file = folder / "tokens.json"
    tokens = {role: add_token(file, f"the-{role}", role) for role in ("search", "add", "admin")}
    method = Colours()
    threshold = Calibration(
        threshold=1e-4, far=1e-4, impostors=1000, false_positives=10, interval=(0.0, 0.1), genuine=100, found=96,
        found_interval=(0.9, 1.0), missed=4, rate=0.01, unit="pair", fingerprint=method.fingerprint(), rule=method.rule,
    )  # fmt: skip
    unsure = replace(threshold, threshold=1e-5, far=1.9, found=75, missed=3)
    with running(folder / "open") as address, running(folder / "guarded", tokens=file) as guarded:
        fill(address, "marked", shots[:8])
        threshold.save(folder / "open" / "marked" / "calibration.json")
        fill(address, "unsure", shots[:8])
        unsure.save(folder / "open" / "unsure" / "calibration.json")
        fill(address, "empty", [], retention=30 * 86_400)
        Gallery.create(
            folder / "open" / "foreign", fingerprint="other@0", rule=method.rule, global_size=8, parts=6, part_size=8
        )
        fill(address, "torn", shots[:3])
        (folder / "open" / "torn" / "calibration.json").write_text("{")
        fill(address, "street", shots)
        with pytest.MonkeyPatch.context() as patch:  # earlier versions took ids with bidirectional controls
            patch.setattr("occlureid.gallery.layout.check_id", lambda *_: None)
            fill(address, "hostile", [Shot(shots[0].image, {**HOSTILE, "time": 1000.0}), *shots[1:3]])
        fill(guarded, "kept", shots[:8], token=tokens["admin"])
        yield Street(address, shots, guarded, tokens)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


Opening = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser, street: Street) -> Iterator[Opening]:
    """Opens the page with a gallery; at the end nothing may have left the origin or gone wrong unseen."""
    contexts, faults, requests = [], [], []

    def open_page(gallery: str = "street", address: str = "", faulty: bool = False, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.add_init_script(REPORT_VIOLATIONS)
        page.add_init_script(KEEP_REQUESTS)
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        if not faulty:  # the browser itself logs each answer that is no success
            page.on("console", lambda line: faults.append(line.text) if line.type in ("error", "warning") else None)
        page.goto(address or street.address)
        if gallery:
            expect(page.locator("#camera-count")).to_have_text("all")
            page.select_option("#gallery", gallery)
            expect(page.locator("#state")).to_contain_text("no items yet" if gallery == "empty" else "named")
        return page

    expect.set_options(timeout=PATIENCE)
    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
    here = (street.address + "/", street.guarded + "/", "blob:" + street.address, "blob:" + street.guarded, "data:")
    assert [url for url in requests if not url.startswith(here)] == []
    assert requests


def choose(page: Page, image: Image.Image, name: str = "somebody.png") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": encoded(image)})


def search(page: Page, image: Image.Image) -> Locator:
    """The hits for a crop."""
    choose(page, image)
    expect(page.locator("#crops img")).to_have_count(1)
    page.click("#search")
    expect(page.locator(".hit").first).to_be_visible()
    return page.locator(".hit")


def choice(page: Page, hit: int, text: str, open: bool = True) -> Locator:
    """One entry of the menu of a hit."""
    card = page.locator(".hit").nth(hit)
    if open:
        card.locator(".menu summary").click()
    return card.locator(".menu").get_by_role("button", name=re.compile(f"^{text}"))


def ids(page: Page) -> list[str]:
    return page.locator(".hit .facts .name").all_inner_texts()


def sent(page: Page, press: Callable[[], object], path: str) -> dict[str, Any]:
    """The JSON of the request that something leads to, and the names of the files beside it."""
    with page.expect_response(f"**{path}") as caught:
        press()
    assert caught.value.status == 200
    found: dict[str, Any] = page.evaluate("window.sent")
    return found


def street_picture(shot: Shot, at: tuple[int, int]) -> Image.Image:
    picture = Image.new("RGB", (640, 400), (90, 110, 120))
    picture.paste(shot.image.resize((96, 192)), at)
    return picture


def test_a_picture_finds_its_item_and_says_why(opened: Opening, street: Street) -> None:
    page = opened()
    shot = street.shots[5]
    hits = search(page, shot.image)
    expect(hits).to_have_count(12)
    first = hits.first
    expect(first.locator("h3")).to_contain_text("distance 0.000")
    for text in (shot.fields["id"], shot.fields["camera"], "2026-01-05"):
        expect(first.locator(".facts")).to_contain_text(text)
    expect(first.locator("h3")).to_contain_text(shot.fields["person"])
    expect(page.locator("#status")).to_contain_text("12 hits among 20 items searched.")
    expect(page.locator(".hit .picture img")).to_have_count(12)
    expect(page.locator(".hit .picture svg")).to_have_count(12)
    expect(first.locator(".bars tr")).to_have_count(7)  # the whole and six parts
    assert page.locator("#notices .notice").count() == 0
    outlined = page.locator(".hit .picture rect.line").count()
    compared = page.locator(".hit .bars tr:not(.not)").count() - 12
    hidden = page.locator(".hit .picture rect.unseen, .hit .picture rect.alone").count()
    assert outlined == compared > 0
    assert hidden == page.locator(".hit .bars tr.not").count() == 12 * 6 - outlined > 0
    words = set(page.locator(".hit .bars tr.not td").all_inner_texts())
    assert words
    assert words <= {"not seen here", "not in your picture", "seen in neither", "does not count"}
    names = first.locator(".bars th").all_inner_texts()
    assert names == ["whole", "head", "shoulders", "chest", "hips", "thighs", "shins"]


def test_a_box_on_a_larger_picture(opened: Opening, street: Street) -> None:
    page = opened()
    choose(page, street_picture(street.shots[3], (200, 120)))
    stage = page.locator("#stage")
    expect(stage).to_be_visible()
    expect(page.locator("#boxes-use")).to_be_disabled()
    frame = stage.bounding_box()
    assert frame is not None
    scale = frame["width"] / 640
    page.mouse.move(frame["x"] + 200 * scale, frame["y"] + 120 * scale)
    page.mouse.down()
    page.mouse.move(frame["x"] + 250 * scale, frame["y"] + 200 * scale)
    page.mouse.move(frame["x"] + 296 * scale, frame["y"] + 312 * scale)
    page.mouse.up()
    label = page.locator(".box").get_attribute("aria-label") or ""
    _, width, height, x0, y0 = map(int, re.findall(r"\d+", label))
    assert (width, height, x0, y0) == pytest.approx((96, 192, 200, 120), abs=3)
    page.keyboard.press("ArrowRight")  # the new box has the focus
    expect(page.locator(".box")).not_to_have_attribute("aria-label", label)
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".box")).to_have_attribute("aria-label", label)
    page.click("#boxes-use")
    expect(page.locator("#crops img")).to_have_count(1)
    page.click("#search")
    expect(page.locator(".hit .facts .name").first).to_have_text(street.shots[3].fields["id"])


def test_boxes_by_keyboard_are_one_query(opened: Opening, street: Street) -> None:
    page = opened()
    choose(page, street_picture(street.shots[3], (200, 120)))
    page.locator("#boxes-add").press("Enter")
    page.locator("#boxes-add").press("Enter")
    expect(page.locator(".box")).to_have_count(2)
    for key in ("ArrowDown", "Shift+ArrowRight", "Delete"):
        page.keyboard.press(key)
    expect(page.locator(".box")).to_have_count(1)
    page.locator("#boxes-add").press("Enter")
    page.locator("#boxes-use").press("Enter")
    expect(page.locator("#crops img")).to_have_count(2)
    query = sent(page, lambda: page.click("#search"), "/search/images")
    assert query["files"] == ["picture-1", "picture-2"]  # not what the file is called


def test_filters(opened: Opening, street: Street) -> None:
    page = opened()
    wanted = street.shots[0].fields["camera"]
    page.click("#camera-panel summary")
    page.locator("#cameras label", has_text=wanted).locator("input").check()
    expect(page.locator("#camera-count")).to_have_text(re.compile(r"^1 of \d$"))
    hits = search(page, street.shots[1].image)
    expect(hits).to_have_count(sum(shot.fields["camera"] == wanted for shot in street.shots))
    expect(hits.locator(".facts", has_text=f"camera {wanted} ")).to_have_count(hits.count())
    page.fill("#since", "2027-01-01T00:00:00")
    page.click("#search")
    expect(page.locator("#status")).to_contain_text("Nothing passes the filters.")
    expect(hits).to_have_count(0)
    page.fill("#until", "2026-01-01T00:00:00")
    page.click("#search")
    expect(page.locator("#problem")).to_have_text("From must lie before until.")


def test_marks_join_the_search_or_leave_it(opened: Opening, street: Street) -> None:
    page = opened()
    search(page, street.shots[5].image)
    before = ids(page)
    choice(page, 1, "Same person").click()
    expect(page.locator(".hit").nth(1)).to_be_focused()
    choice(page, 2, "Somebody else").click()
    expect(page.locator(".hit h3").nth(1)).to_contain_text("✓ same person")
    expect(page.locator(".hit h3").nth(2)).to_contain_text("✗ somebody else")
    expect(page.locator("#marks")).to_have_text("1 marked as the same, 1 as somebody else")
    query = sent(page, lambda: page.click("#search-again"), "/search/images")
    assert query["items"] == [before[1]]
    assert query["not_ids"] == [before[2]]
    expect(page.locator("#crops li")).to_have_count(2)
    expect(page.locator("#again")).to_be_hidden()
    assert not {before[1], before[2]} & set(ids(page))
    expect(page.locator("#chart .mark.query")).to_have_count(1)
    expect(page.locator("#left-out")).to_contain_text("1 item of other people left out")
    page.locator("#crops li").first.get_by_role("button", name="Remove").click()
    again = sent(page, lambda: page.click("#search"), "/search/items")
    assert again["ids"] == [before[1]]


def test_keys(opened: Opening, street: Street) -> None:
    page = opened()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    search(page, street.shots[5].image)
    expect(page.locator("#results")).to_be_focused()
    first = ids(page)
    page.keyboard.press("ArrowDown")
    expect(page.locator(".hit").first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".hit").nth(1)).to_be_focused()
    page.keyboard.press("n")
    expect(page.locator(".hit [data-mark=not]").nth(1)).to_have_attribute("aria-pressed", "true")
    page.locator(".hit").nth(1).press("Tab")  # to its picture, then to its menu
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(choice(page, 1, "Somebody else", open=False)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".menu[open]")).to_have_count(0)
    expect(page.locator(".hit .menu summary").nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(page.locator(".hit").last).to_be_focused()
    page.keyboard.press("y")
    page.keyboard.press("y")  # takes it back
    expect(page.locator("#marks")).to_have_text("0 marked as the same, 1 as somebody else")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("n")  # does nothing below a dialog
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    expect(page.locator("#compare img")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.locator(".hit").last).to_be_focused()
    assert sent(page, lambda: page.keyboard.press("Enter"), "/search/images")["not_ids"] == [first[1]]
    mark = page.locator("#chart .mark[data-index='0']")
    mark.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".hit").first).to_be_focused()


def test_the_timeline_has_a_row_a_camera_and_leads_to_hits(opened: Opening, street: Street) -> None:
    page = opened()
    search(page, street.shots[5].image)
    cameras = set(
        page.locator(".hit .facts").evaluate_all("all => all.map(p => p.querySelector('.camera bdi').textContent)")
    )
    assert set(page.locator("#chart svg > text > title").all_text_contents()) == cameras
    expect(page.locator("#chart .mark")).to_have_count(12)
    page.locator("#chart .mark[data-index='7']").click()
    expect(page.locator(".hit").nth(7)).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone(opened: Opening, street: Street, scheme: str) -> None:
    page = opened(viewport={"width": 360, "height": 700}, has_touch=True, is_mobile=True, color_scheme=scheme)
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) <= 360
    choose(page, street_picture(street.shots[3], (200, 120)))
    frame = page.locator("#stage").bounding_box()
    assert frame is not None
    scale, touch = frame["width"] / 640, page.context.new_cdp_session(page)
    for kind, x, y in (("touchStart", 200, 120), ("touchMove", 260, 250), ("touchMove", 296, 312)):
        point = {"x": frame["x"] + x * scale, "y": frame["y"] + y * scale}
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator(".box")).to_be_focused()  # the finger is up
    assert page.evaluate(wide) <= 360
    page.tap("#boxes-use")
    page.tap("#search")
    expect(page.locator(".hit .facts .name").first).to_have_text(street.shots[3].fields["id"])
    page.locator(".hit .menu summary").first.tap()
    page.locator(".hit").first.get_by_role("button", name="Same person").tap()
    expect(page.locator("#search-again")).to_be_in_viewport()
    assert page.evaluate(wide) <= 360
    light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 246, 243)"
    assert light == (scheme == "light")


def test_hostile_texts_stay_texts(opened: Opening, street: Street) -> None:
    page = opened("hostile")
    search(page, street.shots[0].image)
    assert ids(page)[0] == HOSTILE["id"]
    expect(page.locator(".hit").first.locator(".facts")).to_contain_text(HOSTILE["camera"])
    expect(page.locator(".hit").first.locator("h3")).to_contain_text(HOSTILE["person"])
    page.locator(".hit").first.press("y")
    page.click("#search-again")
    expect(page.locator("#crops li")).to_have_count(2)
    page.click("#camera-panel summary")
    expect(page.locator("#cameras")).to_contain_text(HOSTILE["camera"])
    choice(page, 0, "Remove").click()
    page.get_by_role("button", name="Cancel").click()
    page.locator(".hit").first.press("c")
    expect(page.locator("#compare-title")).to_contain_text("Hit 1 of")
    page.keyboard.press("Escape")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x], script:not([src='page.js']), svg[onload]").count() == 0


def test_people_who_are_probably_not_there(opened: Opening, street: Street) -> None:
    page = opened("marked")
    expect(page.locator("#state")).to_contain_text("kept for ever")
    expect(page.locator("#state")).to_contain_text(
        "verdicts for one picture: match likely up to 0.000 (at most 1 % of pairs"
    )
    hits = search(page, street.shots[9].image)  # of somebody who is not in this gallery
    expect(page.locator("#notices")).to_contain_text("Probably not in the gallery: no hit is at 0.000 or nearer")
    expect(page.locator("#notices")).to_contain_text("all but 4 % of true pairs")
    expect(page.locator("#notices")).to_contain_text("1 % of pairs of different people")
    expect(hits.locator(".badge.unlikely")).to_have_count(8)
    page.click("#restart")
    hits = search(page, street.shots[2].image)
    expect(hits.first.locator(".badge").first).to_have_text("match likely")
    assert page.locator("#notices .notice").count() == 0
    hits.nth(1).press("y")
    page.click("#search-again")  # two pictures: nothing was measured for them
    expect(page.locator("#notices")).to_contain_text(
        "No verdict on these hits: the query has 2 images, and the thresholds were"
    )
    assert page.locator(".hit .badge:not(.marked)").count() == 0


def test_likely_matches_by_chance_are_told(opened: Opening, street: Street) -> None:
    page = opened("marked")

    def many(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "searched": 350})

    page.route("**/search/images", many)
    search(page, street.shots[2].image)
    expect(page.locator("#status")).to_contain_text(
        "About 4 items of other people can be called a likely match by chance."
    )


def test_between_the_thresholds_nothing_is_said_to_be_absent(opened: Opening, street: Street) -> None:
    page = opened("unsure")
    hits = search(page, street.shots[9].image)
    expect(hits.locator(".badge.uncertain")).to_have_count(8)
    expect(page.locator("#notices")).to_contain_text(
        "Uncertain: no hit is at 0.000 or nearer, where a match is likely; 25 % of true"
    )
    expect(page.locator("#notices")).not_to_contain_text("Probably not")


def test_a_threshold_that_is_damaged_is_told(opened: Opening, street: Street) -> None:
    page = opened("torn")
    expect(page.locator("#state")).to_contain_text("the thresholds that are there cannot be used")
    hits = search(page, street.shots[2].image)
    expect(hits).to_have_count(3)
    expect(page.locator("#notices")).to_contain_text("No hit gets a verdict: the calibration cannot be used: ")
    assert page.locator(".badge:not(.marked)").count() == 0


def test_an_empty_gallery_says_so(opened: Opening, street: Street) -> None:
    page = opened("empty")
    expect(page.locator("#state")).to_contain_text("kept for 30 days")
    expect(page.locator("#empty")).to_contain_text("The gallery “empty” is empty.")
    expect(page.locator("#empty")).to_contain_text("Add these pictures to the gallery")
    choose(page, street.shots[0].image)
    expect(page.locator("#crops img")).to_have_count(1)
    page.click("#search")
    expect(page.locator("#problem")).to_have_text("Gallery empty is empty: there is nobody to find in it yet.")


def test_a_gallery_of_other_weights_says_so(opened: Opening, street: Street) -> None:
    page = opened("")
    expect(page.locator("#gallery option[value=foreign]")).to_have_text("foreign (other weights)")
    page.select_option("#gallery", "foreign")
    expect(page.locator("#state")).to_contain_text("made with other weights than this service has")
    expect(page.locator("#empty")).to_contain_text("The gallery “foreign” was made with other weights.")
    expect(page.locator("#empty")).to_contain_text("start the service with the weights of this one")
    page.select_option("#gallery", "street")
    expect(page.locator("#empty")).to_contain_text("Choose a picture of a person.")


def test_two_pictures_side_by_side(opened: Opening, street: Street) -> None:
    page = opened()
    search(page, street.shots[5].image)
    choice(page, 1, "Compare").click()
    dialog = page.locator("#compare")
    expect(dialog.locator("img")).to_have_count(2)
    expect(dialog.locator("#compare-title")).to_contain_text("Hit 2 of 12")
    asked, hit = (page.locator(side).bounding_box() for side in ("#compare-query .picture", "#compare-hit .picture"))
    assert asked is not None
    assert hit is not None
    assert asked["y"] == pytest.approx(hit["y"], abs=2)
    assert asked["x"] + asked["width"] <= hit["x"]
    assert min(asked["height"], hit["height"]) > 300
    for side in ("#compare-query", "#compare-hit"):
        tags = [text.removesuffix(" not seen") for text in dialog.locator(f"{side} .tag").all_inner_texts()]
        assert tags == ["head", "shoulders", "chest", "hips", "thighs", "shins"]
    expect(dialog.locator(".bars tr")).to_have_count(7)
    page.keyboard.press("ArrowRight")
    expect(dialog.locator("#compare-title")).to_contain_text("Hit 3 of 12")
    page.keyboard.press("n")
    expect(dialog.locator("#compare-not")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(page.locator(".hit").nth(2)).to_be_focused()
    expect(page.locator("#marks")).to_have_text("0 marked as the same, 1 as somebody else")
    page.locator(".hit").nth(0).press("y")
    page.click("#search-again")
    expect(page.locator("#crops li")).to_have_count(2)
    expect(page.locator("#again")).to_be_hidden()
    page.locator(".hit").first.press("c")
    expect(dialog.locator("#compare-query")).to_contain_text("Your 2 pictures, searched as one")
    expect(dialog.locator("#compare-query img")).to_have_count(2)


def test_one_menu_a_card(opened: Opening, street: Street) -> None:
    page = opened()
    hits = search(page, street.shots[5].image)
    expect(hits.first.locator("button:visible")).to_have_count(1)  # the picture
    expect(hits.locator("summary")).to_have_count(12)
    choice(page, 0, "Compare")
    choice(page, 1, "Compare")
    expect(page.locator(".menu[open]")).to_have_count(1)
    page.locator("#hits-title").click()
    expect(page.locator(".menu[open]")).to_have_count(0)


def test_person_and_camera_are_louder_than_ids(opened: Opening, street: Street) -> None:
    first = search(opened(), street.shots[5].image).first
    sizes = [
        float(first.locator(part).evaluate("e => parseFloat(getComputedStyle(e).fontSize)"))
        for part in (".person", ".camera", ".name")
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 1.2 * sizes[2]
    assert first.locator(".person").inner_text() == street.shots[5].fields["person"]


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_results_come_into_view(opened: Opening, street: Street, size: tuple[int, int]) -> None:
    page = opened(viewport={"width": size[0], "height": size[1]})
    search(page, street.shots[5].image)
    expect(page.locator("#status")).to_be_in_viewport()
    expect(page.locator(".hit").first.locator(".picture")).to_be_in_viewport()
    order = page.evaluate(
        "[...document.querySelectorAll('#search, #hits, #filters')].map(e => e.id)"  # that of reading and of the tab key
    )
    assert order == (["search", "filters", "hits"] if size[0] > 832 else ["search", "hits", "filters"])
    page.locator("#k").fill("3")
    page.locator("#k").press("Enter")  # they belong to the search wherever they are
    expect(page.locator(".hit")).to_have_count(3)
    page.locator("#camera-panel summary").click()
    page.locator("#cameras input").first.check()
    page.click("#restart")
    expect(page.locator("#cameras input:checked")).to_have_count(0)
    expect(page.locator("#k")).to_have_value("12")


def test_damaged_items_are_counted_where_the_service_does(opened: Opening, street: Street) -> None:
    page = opened()

    def harm(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "damaged": 2, "damaged_ids": ["one", "<b>two"]})

    page.route("**/search/images", harm)
    search(page, street.shots[0].image)
    expect(page.locator("#notices")).to_have_text(
        "2 damaged items of the gallery were left out: one, <b>two. The command occlureid gallery verify says what to do."
    )


def test_a_part_of_the_gallery_is_not_passed_off_as_the_whole(opened: Opening, street: Street) -> None:
    page = opened()

    def halve(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "coverage": 0.9996, "exact": False, "incomparable": 3})

    page.route("**/search/images", halve)
    search(page, street.shots[0].image)
    expect(page.locator("#notices")).to_contain_text("Only 99.9 % of the gallery could be searched.")
    expect(page.locator("#notices")).to_contain_text("may not be the nearest")
    expect(page.locator("#status")).to_contain_text("3 items share nothing with your picture")


def test_tokens_and_roles(opened: Opening, street: Street) -> None:
    page = opened("", street.guarded, faulty=True)
    expect(page.locator("#problem")).to_contain_text("A token is needed")
    expect(page.locator("#token")).to_be_focused()
    buttons = {"search": None, "add": "Remove", "admin": "Remove or erase"}
    for role, text in buttons.items():
        page.locator("#token-panel").evaluate("panel => { panel.open = true }")
        page.fill("#token", street.tokens[role])
        page.press("#token", "Enter")
        expect(page.locator("#who")).to_contain_text(f"({role})")
        expect(page.locator("#add-panel")).to_be_visible(visible=role != "search")
        page.click("#restart")
        hits = search(page, street.shots[0].image)
        assert hits.first.locator(".picture img").get_attribute("src", timeout=PATIENCE)
        found = hits.first.locator(".actions button").all_text_contents()[4:]
        assert found == ([] if text is None else [text])
    assert page.evaluate("[localStorage.length, document.cookie, Object.keys(sessionStorage)]") == [0, "", ["token"]]
    assert page.input_value("#token") == ""


def test_items_are_added_and_erased(opened: Opening, street: Street) -> None:
    page = opened("marked")
    choose(page, street.shots[12].image, "walker.png")
    expect(page.locator("#crops img")).to_have_count(1)
    page.click("#add-panel summary")
    page.click("#add")
    expect(page.locator("#problem")).to_contain_text("An item needs an id and a camera.")
    page.fill("#add-id", "new")
    page.fill("#add-camera", "gate 9")
    page.fill("#add-person", "somebody new")
    page.fill("#add-time", "2026-01-06T10:00:00")
    page.click("#add")
    expect(page.locator("#status")).to_have_text("1 item added to marked.")
    page.click("#search")
    expect(page.locator(".hit .facts").first).to_contain_text("2026-01-06 10:00:00 UTC")
    choice(page, 0, "Remove").click()
    expect(page.locator("#confirm")).to_contain_text("takes every byte of it off the disk")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.get_by_role("button", name="Erase all of this person").click()
    expect(page.locator("#status")).to_have_text("1 item erased.")
    assert "new" not in ids(page)
    expect(page.locator("#known-cameras option[value='gate 9']")).to_have_count(0)


def test_errors_are_said_as_texts(opened: Opening, street: Street) -> None:
    page = opened(faulty=True)
    page.click("#search")
    expect(page.locator("#problem")).to_have_text("Choose a picture of the person first.")
    page.set_input_files("#file", {"name": "<b>.png", "mimeType": "image/png", "buffer": b"no picture"})
    expect(page.locator("#problem")).to_contain_text("<b>.png is not a picture that this browser can show")
    files = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": encoded(street.shots[n].image)} for n in range(18)]
    page.set_input_files("#file", [{"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}, *files])
    expect(page.locator("#crops img")).to_have_count(16)
    expect(page.locator("#problem p")).to_have_text(
        [
            "notes.txt is not a picture that this browser can show: choose a JPEG, PNG or WebP file.",
            "16.png was left out: at most 16 pictures and items make one search.",
            "17.png was left out: at most 16 pictures and items make one search.",
        ]
    )
    page.click("#restart")
    expect(page.locator("#problem")).to_be_hidden()
    choose(page, street.shots[0].image.resize((6, 12)))
    expect(page.locator("#crops img")).to_have_count(1)
    page.click("#search")
    expect(page.locator("#problem")).to_contain_text(
        "Refused (422): image 1: 6 x 12 pixels; expected at least 8 each way"
    )
    page.route("**/search/images", lambda route: route.abort())
    page.click("#search")
    expect(page.locator("#problem")).to_contain_text("The service cannot be reached.")
