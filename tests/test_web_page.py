"""The browser's side, in Debian's Chromium: <siren-img>, the service worker, siren-view's page."""

import base64
import io
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import make_field
from goldens import GOLDEN
from PIL import Image, ImageCms

import siren_codec
from siren_codec import stream, viewer
from siren_codec.picture import Picture, colours, save_bytes
from siren_codec.stream import format
from siren_codec.viewer.page import decoder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LAYERS = (GOLDEN / "rgb_8_layers.siren").read_bytes()
WIDTH, HEIGHT = 88, 64
BROKEN = LAYERS[:40] + bytes([LAYERS[40] ^ 1]) + LAYERS[41:]
ARGUMENTS = ("--no-sandbox", "--enable-unsafe-swiftshader")
"""With WebGL that is emulated: the split view needs it, the pictures are the worker's then."""

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Debian's Chromium, driven by playwright, whose own browsers are not needed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="there is no playwright here")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no Chromium here")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    """A page of 400 x 300; any error on its console that is not of the network fails the test."""
    context = browser.new_context(viewport={"width": 400, "height": 300})
    context.set_default_timeout(20_000)
    found = context.new_page()
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    yield found
    context.close()
    # The browser itself says so of what is broken, as of an <img>.
    assert [each for each in errors if not each.startswith("Failed to load resource")] == []


@dataclass
class Site:
    """A server of this machine; a path in `held` is answered up to so many bytes at first."""

    url: str
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    release: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)

    def add(self, path: str, data: bytes | str, kind: str = "application/octet-stream") -> None:
        """Serve bytes, or a text, at a path."""
        self.files[path] = (kind, data.encode() if isinstance(data, str) else data)

    def page(self, body: str) -> str:
        """Serve a page that has siren-img.js, and return its address."""
        script = '<script type="module" src="siren-img.js"></script>'
        self.add("/page.html", f"<!doctype html><title>page</title>{script}{body}", "text/html")
        return f"{self.url}page.html"


@pytest.fixture
def site() -> Iterator[Site]:
    """A server with siren.js, its priors and some pictures."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            if self.path not in found.files:
                self.send_error(404)
                return
            kind, data = found.files[self.path]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            first = found.held.get(self.path, len(data))
            self.wfile.write(data[:first])
            self.wfile.flush()
            if first < len(data):
                found.release.wait(20)
                self.wfile.write(data[first:])

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        found = Site(f"http://127.0.0.1:{server.server_port}/")
        for name in ("siren.js", "siren-img.js", "siren-sw.js"):
            found.add(f"/{name}", decoder(name), "text/javascript")
        for name in ("prior-1.bin", "prior-2.bin"):
            found.add(f"/{name}", decoder(name))
        found.add("/a.siren", LAYERS)
        found.add("/broken.siren", BROKEN)
        found.add("/a.png", _png(siren_codec.decode(LAYERS)), "image/png")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield found
        found.release.set()
        server.shutdown()


def _png(pixels: npt.NDArray[Any]) -> bytes:
    return save_bytes(Picture(np.atleast_3d(pixels)), "PNG")[0]


def _decoded(page: "Page", selector: str = "siren-img") -> None:
    """Wait until an element has all of its picture, and has drawn it."""
    page.evaluate(
        """async (selector) => {
          const element = document.querySelector(selector);
          await element.decode();
          await element.drawn();
        }""",
        selector,
    )


def _canvas(page: "Page", selector: str = "siren-img") -> Pixels:
    """Return what an element's canvas holds, (height, width, 4)."""
    url: str = page.evaluate(
        """(selector) => {
          const { shadowRoot } = document.querySelector(selector);
          return shadowRoot.querySelector('canvas').toDataURL();
        }""",
        selector,
    )
    return _of_url(url)


def _of_url(url: str) -> Pixels:
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return np.array(image.convert("RGBA"))


def _shot(page: "Page", selector: str) -> Pixels:
    with Image.open(io.BytesIO(page.locator(selector).screenshot())) as image:
        return np.array(image.convert("RGB"))


def _difference(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> int:
    return int(np.abs(one[..., :3].astype(int) - other[..., :3]).max())


# As img.

STYLES = (
    "",
    "width: 50px",
    "height: 100px",
    "width: 120px; height: 40px",
    "max-width: 40px",
    "width: 50%; height: auto",
    "display: block",
    "padding: 3px 5px; border: 2px solid; width: 60px",
    "box-sizing: border-box; padding: 5px; width: 60px",
    "min-height: 90px",
    "float: left",
    "position: absolute; left: 0; right: 0; top: 0",
)
ATTRIBUTES = ('width="44"', 'height="32"', 'width="100" height="20"', 'width="25%"')


def test_it_is_as_large_as_img(page: "Page", site: Site) -> None:
    pairs = [f'style="{style}"' for style in STYLES] + list(ATTRIBUTES)
    body = "".join(
        f'<div style="position: relative; width: 300px; height: 150px">'
        f'<{name} src="a.{kind}" alt="" {how}></{name}></div>'
        for how in pairs
        for name, kind in (("img", "png"), ("siren-img", "siren"))
    )
    page.goto(site.page(body))
    page.evaluate(
        "() => Promise.all([...document.querySelectorAll('img, siren-img')].map(e => e.decode()))"
    )
    sizes: list[list[float]] = page.evaluate(
        """() => [...document.querySelectorAll('img, siren-img')].map((e) => {
          const { left, width, height } = e.getBoundingClientRect();
          return [left, width, height, e.width, e.height, e.naturalWidth, e.naturalHeight];
        })"""
    )
    for how, expected, found in zip(pairs, sizes[::2], sizes[1::2], strict=True):
        # Of 40 pixels at most, img takes 39.97.
        assert found == pytest.approx(expected, abs=0.05), how


def test_its_size_is_that_of_now(page: "Page", site: Site) -> None:
    """As img's: what is changed counts at once, and without a box it is the picture's."""
    body = "".join(
        f'<{name} src="a.{kind}" alt="" style="padding: 3px"></{name}>'
        for name, kind in (("img", "png"), ("siren-img", "siren"))
    )
    page.goto(site.page(body))
    expected, found = page.evaluate(
        """async () => {
          const found = [];
          for (const e of document.querySelectorAll('img, siren-img')) {
            await e.decode();
            const sizes = [];
            for (const style of ['width: 41px', 'height: 33px', 'display: none']) {
              e.style.cssText = `padding: 3px; ${style}`;
              sizes.push([e.width, e.height]);
            }
            found.push(sizes);
          }
          return found;
        }"""
    )
    assert found == expected


PLACED = (
    "object-fit: fill",
    "object-fit: contain",
    "object-fit: cover; object-position: left top",
    "object-fit: none; object-position: right 10px bottom 5px",
    "object-fit: scale-down; object-position: 0 100%",
    "object-fit: contain; object-position: calc(100% - 7px) 50%; padding: 10px",
)


def test_it_lies_in_its_box_as_img(page: "Page", site: Site) -> None:
    smooth = make_field(width=WIDTH, height=HEIGHT, first_omega_0=5, omega_0=5)
    site.add("/s.siren", stream.write(smooth))
    site.add("/s.png", _png(smooth.render()), "image/png")
    shared = "width: 150px; height: 160px; background: #f0f"
    body = "".join(
        f'<img src="s.png" alt="" style="{shared}; {style}">'
        f'<siren-img src="s.siren" alt="" style="{shared}; {style}"></siren-img><br>'
        for style in PLACED
    )
    page.goto(site.page(body))
    page.evaluate(
        """async () => {
          for (const element of document.querySelectorAll('siren-img')) {
            await element.decode();
            await element.drawn();
          }
        }"""
    )
    for index, style in enumerate(PLACED):
        expected = _shot(page, f"img >> nth={index}")
        found = _shot(page, f"siren-img >> nth={index}")
        assert expected.shape == found.shape
        edges = [np.argwhere((shot != [255, 0, 255]).any(-1)) for shot in (expected, found)]
        assert (edges[0].min(0) == edges[1].min(0)).all(), style
        assert (edges[0].max(0) == edges[1].max(0)).all(), style
        # The browser enlarges the decoded pixels.
        assert np.abs(_block_means(expected) - _block_means(found)).max() < 5, style


def _block_means(shot: Pixels) -> npt.NDArray[np.float64]:
    height, width = shot.shape[0] // 10, shot.shape[1] // 10
    blocks = shot[: 10 * height, : 10 * width].reshape(height, 10, width, 10, 3)
    means: npt.NDArray[np.float64] = np.mean(blocks, (1, 3), dtype=np.float64)
    return means


def test_load_and_what_img_has(page: "Page", site: Site) -> None:
    page.goto(site.page(""))
    events = page.evaluate(
        """async () => {
          const element = document.createElement('siren-img');
          const events = [element.complete];
          for (const kind of ['layer', 'load', 'error']) {
            element.addEventListener(kind, () => events.push(kind, element.complete));
          }
          element.src = 'a.siren';
          element.alt = 'A picture';
          document.body.append(element);
          events.push(element.complete);
          await element.decode();
          return [events, element.src, element.currentSrc, element.loading, element.colours];
        }"""
    )
    address = f"{site.url}a.siren"
    # The file's profile is none that there is.
    assert events[1:] == [address, address, "eager", "unknown"]
    assert events[0][:2] == [True, False]
    assert events[0][-2:] == ["load", True]
    assert "error" not in events[0]
    # Who does not see it hears of it.
    assert page.get_by_role("img", name="A picture").count() == 1
    _decoded(page)
    assert _difference(_canvas(page), siren_codec.decode(LAYERS)) <= 2


@pytest.mark.parametrize(
    ("source", "message"),
    [("broken.siren", ""), ("none.siren", "404"), ("", "expected the address of a file")],
)
def test_what_is_broken(page: "Page", site: Site, source: str, message: str) -> None:
    page.goto(site.page("<p></p>"))
    found: list[Any] = page.evaluate(
        """async (source) => {
          const element = document.createElement('siren-img');
          element.alt = 'The alternative';
          element.setAttribute('src', source);
          const failed = new Promise((resolve) => element.addEventListener('error', resolve));
          document.querySelector('p').append(element);
          const { message } = await failed;
          const reason = await element.decode().catch((error) => error.name);
          return [message, reason, element.complete, element.naturalWidth, element.error.message];
        }""",
        source,
    )
    assert message in found[0]
    assert "\n" not in found[0]
    assert found[1:] == ["EncodingError", True, 0, found[0]]
    assert page.get_by_text("The alternative").is_visible()
    page.evaluate("document.querySelector('siren-img').src = 'a.siren'")
    _decoded(page)
    assert page.get_by_text("The alternative").count() == 0


def test_lazy_pictures_wait(page: "Page", site: Site) -> None:
    page.goto(
        site.page(
            '<siren-img id="near" loading="lazy" src="a.siren"></siren-img>'
            '<div style="height: 5000px"></div>'
            '<siren-img id="far" loading="lazy" src="a.siren?far"></siren-img>'
        )
    )
    site.files["/a.siren?far"] = site.files["/a.siren"]
    _decoded(page, "#near")
    assert "/a.siren?far" not in site.asked
    page.evaluate("document.querySelector('#far').scrollIntoView()")
    _decoded(page, "#far")
    assert "/a.siren?far" in site.asked


# Layers as they come.


def _end_of_first_layer() -> int:
    """Return how many bytes of LAYERS a first layer needs."""
    _, sections = format.parse(LAYERS)
    payload = sections[format.Section.LAYER]
    return LAYERS.index(payload) + len(payload)


def test_coarse_layers_come_first(page: "Page", site: Site) -> None:
    site.held["/a.siren"] = _end_of_first_layer() + 10
    page.goto(site.page('<siren-img src="a.siren"></siren-img>'))
    page.wait_for_function("document.querySelector('siren-img').picture !== null")
    page.evaluate("document.querySelector('siren-img').drawn()")
    coarse = _canvas(page)
    first_level: int = page.evaluate("document.querySelector('siren-img').picture.firstLevel")
    assert first_level > 0
    assert page.evaluate("document.querySelector('siren-img').complete") is False
    # The profile comes before the layers.
    assert page.evaluate("document.querySelector('siren-img').colours") == "unknown"
    field = siren_codec.open(LAYERS[: site.held["/a.siren"]], partial=True)
    assert field.first_level == first_level
    assert _difference(coarse, field.render()) <= 2
    site.release.set()
    _decoded(page)
    assert page.evaluate("document.querySelector('siren-img').picture.firstLevel") == 0
    assert _difference(_canvas(page), siren_codec.decode(LAYERS)) <= 2
    assert _difference(_canvas(page), coarse) > 2


def test_two_pictures_come_and_go(page: "Page", site: Site) -> None:
    site.add("/b.siren", (GOLDEN / "grey_8.siren").read_bytes())
    page.goto(
        site.page('<siren-img id="a" src="a.siren"></siren-img><siren-img id="b" src="b.siren">')
    )
    _decoded(page, "#a")
    _decoded(page, "#b")
    grey = siren_codec.decode(site.files["/b.siren"][1])
    assert _difference(_canvas(page, "#b"), np.atleast_3d(grey)) <= 2
    assert _difference(_canvas(page, "#a"), siren_codec.decode(LAYERS)) <= 2
    # A move within the page takes nothing away.
    page.evaluate("document.body.prepend(document.querySelector('#b'))")
    assert page.evaluate("document.querySelector('#b').complete")
    after: list[list[Any]] = page.evaluate(
        """async () => {
          const elements = [...document.querySelectorAll('siren-img')];
          const held = elements.map(({ picture, shadowRoot }) =>
            [picture, shadowRoot.querySelector('canvas')]);
          for (const element of elements) element.remove();
          await Promise.resolve();
          const closed = (picture) => picture.render().then(() => 'open', (e) => e.message);
          return Promise.all(held.map(async ([picture, canvas]) =>
            [await closed(picture), canvas.width, canvas.isConnected]));
        }"""
    )
    assert after == [["expected a picture, found a closed one", 0, False]] * 2
    # And back again.
    page.evaluate("document.body.innerHTML = '<siren-img src=a.siren></siren-img>'")
    _decoded(page)


# Zooming.

ZOOMABLE = (
    '<siren-img zoomable src="a.siren" alt="A picture" '
    'style="position: absolute; left: 20px; top: 10px; width: 352px; height: 256px"></siren-img>'
)


@dataclass(frozen=True)
class View:
    x: float
    y: float
    width: float
    height: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place in the picture of a point of ZOOMABLE's page."""
        return self.x + (x - 20) / 352 * self.width, self.y + (y - 10) / 256 * self.height


def _view(page: "Page") -> View:
    """Return what is seen when nothing moves any more."""
    page.evaluate("document.querySelector('siren-img').drawn()")
    return View(**page.evaluate("document.querySelector('siren-img').view"))


HOME = View(0, 0, WIDTH, HEIGHT)


@pytest.fixture
def zoomable(page: "Page", site: Site) -> "Page":
    page.goto(site.page(ZOOMABLE))
    _decoded(page)
    return page


def test_the_wheel_zooms_around_the_pointer(zoomable: "Page") -> None:
    assert _view(zoomable) == HOME
    zoomable.mouse.move(100, 70)
    place = HOME.at(100, 70)
    for _ in range(6):
        zoomable.mouse.wheel(0, -200)
    near = _view(zoomable)
    assert near.width == pytest.approx(WIDTH * np.exp(-6 * 200 * 0.0015), rel=1e-6)
    assert near.at(100, 70) == pytest.approx(place, abs=1e-6)
    for _ in range(9):
        zoomable.mouse.wheel(0, 200)
    assert _view(zoomable) == HOME


def test_at_home_the_wheel_is_the_page_s(page: "Page", site: Site) -> None:
    page.goto(site.page(f'<div style="height: 3000px">{ZOOMABLE}</div>'))
    _decoded(page)
    page.mouse.move(100, 70)
    page.mouse.wheel(0, 100)
    page.wait_for_function("scrollY > 0")
    assert _view(page) == HOME


def test_dragging_moves_as_far_as_the_edges(zoomable: "Page") -> None:
    zoomable.mouse.dblclick(196, 138)
    start = _view(zoomable)
    assert (start.width, start.height) == (WIDTH / 2, HEIGHT / 2)
    place = start.at(200, 100)
    zoomable.mouse.move(200, 100)
    zoomable.mouse.down()
    zoomable.mouse.move(170, 120, steps=3)
    assert _view(zoomable).at(170, 120) == pytest.approx(place, abs=1e-6)
    zoomable.mouse.move(390, 290, steps=3)
    zoomable.mouse.up()
    assert _view(zoomable) == View(0, 0, WIDTH / 2, HEIGHT / 2)
    zoomable.mouse.move(100, 100)
    assert _view(zoomable) == View(0, 0, WIDTH / 2, HEIGHT / 2)


def test_two_fingers_zoom(zoomable: "Page") -> None:
    touch = zoomable.context.new_cdp_session(zoomable)

    def send(kind: str, *points: tuple[int, int]) -> None:
        touches = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    places = HOME.at(150, 100), HOME.at(250, 180)
    send("touchStart", (150, 100))
    send("touchStart", (150, 100), (250, 180))
    for k in range(1, 6):
        send("touchMove", (150 - 10 * k, 100 - 8 * k), (250 + 10 * k, 180 + 8 * k))
    send("touchEnd")
    found = _view(zoomable)
    assert found.at(100, 60) == pytest.approx(places[0], abs=0.5)
    assert found.at(300, 220) == pytest.approx(places[1], abs=0.5)


def test_the_keyboard_is_enough(zoomable: "Page") -> None:
    zoomable.keyboard.press("Tab")
    for _ in range(4):
        zoomable.keyboard.press("+")
    near = _view(zoomable)
    assert near.width == pytest.approx(WIDTH / 4)
    assert near.at(196, 138) == pytest.approx((WIDTH / 2, HEIGHT / 2))
    zoomable.keyboard.press("ArrowRight")
    zoomable.keyboard.press("ArrowDown")
    moved = _view(zoomable)
    assert moved.x == pytest.approx(near.x + near.width / 8)
    assert moved.y == pytest.approx(near.y + near.height / 8)
    zoomable.keyboard.press("-")
    assert _view(zoomable).width == pytest.approx(moved.width * np.sqrt(2))
    zoomable.keyboard.press("0")
    assert _view(zoomable) == HOME
    # And the buttons, by their names.
    zoomable.keyboard.press("Tab")
    zoomable.keyboard.press("Enter")
    assert _view(zoomable).width == pytest.approx(WIDTH / 2)
    zoomable.get_by_role("button", name="Reset zoom").click()
    assert _view(zoomable) == HOME


def test_what_is_zoomed_is_the_function(zoomable: "Page") -> None:
    zoomable.evaluate("document.querySelector('siren-img').zoomBy(4, 96, 64)")
    view = _view(zoomable)
    assert view == View(18, 12, 22, 16)
    field = siren_codec.open(LAYERS)
    expected = field.render((352, 256), crop=(18, 12, 22, 16))
    assert _difference(_canvas(zoomable), expected) <= 2


def test_a_zoomed_picture_keeps_its_middle_when_its_box_changes(zoomable: "Page") -> None:
    zoomable.evaluate("document.querySelector('siren-img').zoomBy(4, 88, 64)")
    before = _view(zoomable)
    zoomable.evaluate(
        """async () => {
          document.querySelector('siren-img').style.width = '300px';
          await new Promise((resolve) => setTimeout(resolve, 200));
        }"""
    )
    after = _view(zoomable)
    assert after.x + after.width / 2 == pytest.approx(before.x + before.width / 2)
    assert after.width == pytest.approx(before.width * 300 / 352)


# Colours.


def test_profiles(page: "Page", site: Site) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profiles = [
        (srgb, "srgb"),
        (colours.profile_of_cicp(bytes([12, 13, 0, 1]), grey=False), "display-p3"),
        (colours.profile_of_cicp(bytes([9, 13, 0, 1]), grey=False), "unknown"),
        (colours.profile_of_cicp(bytes([1, 8, 0, 1]), grey=False), "unknown"),
        (b"not a profile", "unknown"),
    ]
    fields = [make_field(width=20, height=10, metadata={"icc": icc or b""}) for icc, _ in profiles]
    for index, field_ in enumerate(fields):
        site.add(f"/{index}.siren", stream.write(field_))
    images = [f'<siren-img id="i{k}" src="{k}.siren" alt=""></siren-img>' for k in range(5)]
    page.goto(site.page("".join(images)))
    for index, (_, expected) in enumerate(profiles):
        _decoded(page, f"#i{index}")
        element = page.locator(f"#i{index}")
        assert element.evaluate("(e) => e.colours") == expected
        marked = element.evaluate("(e) => e.hasAttribute('data-unmanaged-colours')")
        assert marked == (expected == "unknown")
        numbers = np.array(
            element.evaluate(
                """(e) => {
                  const context = e.shadowRoot.querySelector('canvas').getContext('2d');
                  return [...context.getImageData(0, 0, 20, 10).data];
                }"""
            )
        )
        # In the canvas's own space they are the picture's.
        assert _difference(numbers.reshape(10, 20, 4), fields[index].render()) <= 2


# The service worker.


def _with_service_worker(page: "Page", site: Site, body: str) -> None:
    page.goto(site.page(""))
    page.evaluate(
        """async () => {
          await navigator.serviceWorker.register('siren-sw.js');
          if (navigator.serviceWorker.controller) return;
          await new Promise((resolve) =>
            navigator.serviceWorker.addEventListener('controllerchange', resolve, { once: true }));
        }"""
    )
    page.goto(site.page(body))


def _img(page: "Page", selector: str) -> Pixels:
    """Return the pixels of an <img>."""
    url: str = page.evaluate(
        """async (selector) => {
          const image = document.querySelector(selector);
          await image.decode();
          const canvas = document.createElement('canvas');
          [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
          canvas.getContext('2d').drawImage(image, 0, 0);
          return canvas.toDataURL();
        }""",
        selector,
    )
    return _of_url(url)


def test_a_service_worker_makes_pngs_for_img(page: "Page", site: Site) -> None:
    profile = colours.profile_of_cicp(bytes([12, 13, 0, 1]), grey=False)
    assert profile is not None
    field = make_field(width=20, height=10, metadata={"icc": profile})
    site.add("/p.siren", stream.write(field))
    _with_service_worker(
        page,
        site,
        '<img id="a" src="a.siren" alt=""><img id="broken" src="broken.siren" alt="">'
        '<img id="none" src="none.siren" alt=""><siren-img src="a.siren" alt=""></siren-img>',
    )
    assert _difference(_img(page, "#a"), siren_codec.decode(LAYERS)) <= 2
    for name in ("#broken", "#none"):
        page.wait_for_function(f"document.querySelector('{name}').complete")
        assert page.evaluate(f"document.querySelector('{name}').naturalWidth") == 0
    # What scripts fetch is the file.
    _decoded(page)
    assert page.evaluate(
        "fetch('a.siren').then((r) => r.arrayBuffer()).then((b) => b.byteLength)"
    ) == len(LAYERS)
    png = page.evaluate(
        """async () => {
          const cross = new Image();
          const shown = new Promise((resolve) => { cross.onload = resolve; });
          cross.src = 'p.siren';
          await shown;
          const canvas = document.createElement('canvas');
          [canvas.width, canvas.height] = [20, 10];
          const context = canvas.getContext('2d', { colorSpace: 'display-p3' });
          context.drawImage(cross, 0, 0);
          return [...context.getImageData(0, 0, 20, 10, { colorSpace: 'display-p3' }).data];
        }"""
    )
    # In its own space the numbers are the picture's.
    found = np.array(png, np.uint8).reshape(10, 20, 4)
    assert _difference(found, field.render()) <= 3


# siren-view's page.


@pytest.fixture
def shown(page: "Page", tmp_path: Path) -> "Iterator[Page]":
    """The page with two pictures, the first one decoded."""
    first, second = tmp_path / "first.siren", tmp_path / "second.siren"
    first.write_bytes(LAYERS)
    second.write_bytes((GOLDEN / "rgb_8_grid.siren").read_bytes())
    with siren_codec.view(first, second, browser=False) as viewer_:
        page.goto(viewer_.url)
        _decoded(page)
        yield page


def test_the_page_s_list_and_drops(shown: "Page", tmp_path: Path) -> None:
    assert shown.title() == "first.siren \u2013 siren-view"
    assert shown.locator("#size").inner_text().startswith(f"{WIDTH} \u00d7 {HEIGHT} \u00b7 7.2 kB")
    shown.keyboard.press("]")
    _decoded(shown)
    assert shown.title().startswith("second.siren")
    shown.get_by_role("button", name="first.siren").click()
    _decoded(shown)
    assert shown.title().startswith("first.siren")
    (tmp_path / "b.siren").write_bytes(BROKEN)
    shown.set_input_files("#files", [GOLDEN / "grey_8.siren", tmp_path / "b.siren"])
    _decoded(shown)
    assert shown.title().startswith("grey_8.siren")
    shown.keyboard.press("[")
    _decoded(shown)
    shown.keyboard.press("]")
    shown.keyboard.press("]")
    shown.locator("#trouble").wait_for()
    assert shown.locator("#trouble").inner_text().startswith("b.siren: ")
    shown.keyboard.press("]")
    _decoded(shown)
    assert not shown.locator("#trouble").is_visible()


def test_the_page_s_readout(shown: "Page") -> None:
    field = siren_codec.open(LAYERS)
    view = shown.evaluate("document.querySelector('siren-img').view")
    shown.mouse.move(360, 161)
    x = view["x"] + 360 / 400 * view["width"] - 0.5
    y = view["y"] + 161 / 300 * view["height"] - 0.5
    assert shown.locator("#place").inner_text() == f"{x:.1f}, {y:.1f}"
    colour = np.rint(np.clip(field.at(x, y), 0, 255)).astype(int)
    assert shown.locator("#values").inner_text() == " ".join(map(str, colour))
    shown.keyboard.press("g")
    lengths = np.hypot(*np.moveaxis(field.gradient(x, y), -1, 0))
    assert [f"{value:.1f}" for value in lengths] == shown.locator("#values").inner_text().split()[
        1:4
    ]
    shown.keyboard.press("l")
    laplacian = [f"{value:.1f}".replace("-", "\u2212") for value in field.laplacian(x, y)]
    assert laplacian == shown.locator("#values").inner_text().split()[1:4]
    assert shown.get_by_role("button", name="Laplacian").get_attribute("aria-pressed") == "true"


def test_the_page_s_grid_and_split(shown: "Page") -> None:
    zoom = shown.evaluate("document.querySelector('siren-img').scale")
    assert not shown.locator("#grid").is_visible()
    before = int(np.ceil(2 * np.log2(8 / zoom)))
    for _ in range(before):
        shown.keyboard.press("+")
    shown.evaluate("document.querySelector('siren-img').drawn()")
    assert shown.locator("#grid").is_visible()
    shown.keyboard.press("p")
    assert not shown.locator("#grid").is_visible()
    shown.keyboard.press("s")
    shown.locator("#other").wait_for()
    _compare_split(shown)
    shown.keyboard.press("s")
    assert not shown.locator("#other").is_visible()
    shown.keyboard.press("?")
    assert shown.get_by_role("dialog").is_visible()
    shown.keyboard.press("Escape")
    assert not shown.get_by_role("dialog").is_visible()


def _compare_split(page: "Page") -> None:
    """Check that the enlargement is Pillow's bicubic one of the decoded picture."""
    view = View(**page.evaluate("document.querySelector('siren-img').view"))
    url = page.evaluate(
        """() => new Promise((resolve) => {
          const canvas = document.querySelector('#other canvas');
          window.dispatchEvent(new Event('resize'));
          resolve(canvas.toDataURL());
        })"""
    )
    found = _of_url(url)
    field = siren_codec.open(LAYERS)
    box = (view.x, view.y, view.x + view.width, view.y + view.height)
    # As floats, for between rows and columns Pillow clips bytes.
    channels = [Image.fromarray(c.astype(np.float32)) for c in np.moveaxis(field.render(), -1, 0)]
    sized = [c.resize((400, 300), Image.Resampling.BICUBIC, box) for c in channels]
    expected = np.rint(np.clip(np.stack([np.asarray(c) for c in sized], -1), 0, 255))
    assert _difference(found, expected) <= 2


def test_an_html_file_needs_no_network(browser: "Browser", page: "Page", tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    source = tmp_path / "a.siren"
    source.write_bytes((GOLDEN / "rgb_8_prior_1.siren").read_bytes())
    path.write_text(viewer.page(source), encoding="utf-8")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    page.context.set_offline(True)
    page.goto(path.as_uri())
    _decoded(page)
    field = siren_codec.open(source)
    scale = page.evaluate("document.querySelector('siren-img').scale")
    page.evaluate(f"document.querySelector('siren-img').zoomBy({64 / scale})")
    page.evaluate("document.querySelector('siren-img').drawn()")
    view = page.evaluate("document.querySelector('siren-img').view")
    assert view["width"] == pytest.approx(400 / 64)
    xs = view["x"] + (np.arange(400) + 0.5) / 64 - 0.5
    ys = view["y"] + (np.arange(300) + 0.5) / 64 - 0.5
    inside = (xs[None] > -0.5) & (xs[None] < field.width - 0.5)
    inside = inside & (ys[:, None] > -0.5) & (ys[:, None] < field.height - 0.5)
    expected = np.rint(np.clip(field.at(xs[None], ys[:, None]), 0, 255))
    found = _canvas(page)
    assert np.abs(found[..., :3].astype(int) - expected)[inside].max() <= 2
    assert set(asked) <= {"file", "data", "blob"}


def test_a_fragment_in_a_notebook(page: "Page", site: Site) -> None:
    field = siren_codec.open(GOLDEN / "rgb_8_prior_1.siren")
    site.add("/page.html", f"<!doctype html><title>x</title>{viewer.html(field)}", "text/html")
    page.goto(f"{site.url}page.html")
    frame = page.frame_locator("iframe")
    frame.locator("siren-img").evaluate("async (e) => { await e.decode(); await e.drawn(); }")
    size = page.locator("iframe").bounding_box()
    assert size is not None
    assert (size["width"], size["height"]) == (field.width, field.height)
    assert site.asked == ["/page.html"] or site.asked == ["/page.html", "/favicon.ico"]
