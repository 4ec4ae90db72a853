"""Draws the pictures of the service's page in docs/images: ``python docs/page_pictures.py``.

A gallery is rendered and served to a browser without a window, in which somebody looks for a person, marks hits and searches
again. The method compares colours only: what is to be seen is the page. Needs the Python package playwright and a Chromium,
``/usr/bin/chromium`` unless another is named on the command line.

page.png: on a wide screen. page_phone.png: on a telephone, in the dark.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.service.page_world import encoded, fill, make_world, running, take_shots  # noqa: E402

from occlureid.cli import main as command  # noqa: E402

IMAGES = ROOT / "docs" / "images"
PERSONS = 40
SIZE = (256, 128)
HITS = 12
PATIENCE = 120_000
QUERY = 6
"""The query image that is looked for."""


def look(page: Page, picture: bytes, person: str, address: str, rounds: int) -> None:
    """Searches for a picture; in each round marks the first two hits with the keyboard, rightly, and then searches again."""
    page.goto(address)
    expect(page.locator("#gallery")).to_have_value("station")
    page.set_input_files("#file", {"name": "north-stairs.png", "mimeType": "image/png", "buffer": picture})
    page.wait_for_selector("#crops img")
    page.click("#search")
    expect(page.locator(".hit")).to_have_count(HITS)
    for number in range(rounds):
        if number:
            page.keyboard.press("Enter")
            expect(page.locator("#left-out, #crops li:nth-child(2)").locator("visible=true").first).to_be_visible()
            expect(page.locator("#again")).to_be_hidden()
        for hit in range(2):
            same = page.locator(".hit .person").nth(hit).inner_text() == person
            page.locator(".hit").nth(hit).press("y" if same else "n")
    expect(page.locator(".hit .picture img")).to_have_count(HITS)


def draw(browser: Browser, name: str, address: str, picture: bytes, person: str, phone: bool) -> None:
    """One picture."""
    size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 980}
    page = browser.new_page(
        viewport=size, color_scheme="dark" if phone else "light", has_touch=phone, device_scale_factor=2 if phone else 1
    )
    page.set_default_timeout(PATIENCE)
    look(page, picture, person, address, 0 if phone else 2)
    if phone:
        page.locator("#timeline").scroll_into_view_if_needed()
        page.evaluate("document.getElementById('results').scrollIntoView()")
    else:
        page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(700)
    target = IMAGES / name
    page.screenshot(path=target)
    page.close()
    with Image.open(target) as shot:
        shot.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)


def main() -> None:
    """Draws both."""
    expect.set_options(timeout=PATIENCE)
    chromium = sys.argv[1] if len(sys.argv) > 1 else "/usr/bin/chromium"
    world = make_world(PERSONS, SIZE)
    gallery = take_shots(world, "gallery", PERSONS * 4, SIZE)
    query = take_shots(world, "query", QUERY + 1, SIZE)[QUERY]
    with TemporaryDirectory() as folder, running(Path(folder)) as address:
        fill(address, "station", gallery)
        command(["gallery", "calibrate", str(Path(folder) / "station"), "--unit", "search", "--rate", "0.05"])
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for name, phone in (("page.png", False), ("page_phone.png", True)):
                draw(browser, name, address, encoded(query.image), query.fields["person"], phone)
            browser.close()


if __name__ == "__main__":
    main()
