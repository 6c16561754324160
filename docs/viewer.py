"""Draw docs/viewer.webp, the README's first picture: the viewer at three zooms.

bin/siren-encode samples/astronaut.png astronaut.siren
.venv/bin/python docs/viewer.py astronaut.siren

It needs playwright and Chromium, and takes what `siren-view` shows on a screen of 560 x 560.
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import siren_codec

OUT = Path(__file__).parent / "viewer.webp"
SIDE, GAP = 560, 12
WHEEL = (0, 7, 6)
"""Turns of the wheel before each shot, towards the eye."""
EYE = (245, 103)
DRAWN = """(async () => {
  const image = document.querySelector('siren-img');
  await image.decode();
  await image.drawn();
})()"""


def main(path: str) -> None:
    """Take the three shots and write them in a row."""
    row = Image.new("RGB", (3 * SIDE + 2 * GAP, SIDE), "white")
    with siren_codec.view(path, browser=False) as viewer, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": SIDE, "height": SIDE})
        page.set_default_timeout(90_000)
        page.goto(viewer.url)
        page.evaluate(DRAWN)
        page.mouse.move(*(SIDE / 512 * (one + 0.5) for one in EYE))
        for index, turns in enumerate(WHEEL):
            for _ in range(turns):
                page.mouse.wheel(0, -180)
            page.evaluate(DRAWN)
            page.wait_for_timeout(1500)
            shot = Image.open(io.BytesIO(page.screenshot()))
            row.paste(shot, (index * (SIDE + GAP), 0))
        browser.close()
    row.save(OUT, quality=85, method=6)


if __name__ == "__main__":
    main(sys.argv[1])
