"""siren.js draws what Python renders: under node, and in Chromium with WebGL2 and without."""

import base64
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from goldens import GOLDEN, GOLDEN_FILES

from siren_codec import decoding, stream

HERE = Path(__file__).parent / "web"
DIST = Path(__file__).parent.parent / "web" / "dist"
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium")
SCALES = (0.25, 1.0, 3.7)
ARGUMENTS = (
    *("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"),
    "--enable-unsafe-swiftshader",
)
Pixels = npt.NDArray[Any]


def python(name: str, scale: float) -> Pixels:
    """Return a golden file's (height, width, channels) pixels at a scale."""
    return np.atleast_3d(decoding.decode((GOLDEN / f"{name}.siren").read_bytes(), scale=scale))


def check(found: Pixels, expected: Pixels) -> None:
    """At most 1 level apart on 99.9% of the samples, and at most 2 anywhere.

    Of 16 bits, which are computed in float32 too, so many sixteenths of what is seen of 8 bits.
    """
    difference = np.abs(found.astype(int) - expected.astype(int))
    if expected.dtype == np.uint16:
        difference = difference / 16
    assert difference.max() <= 2
    assert np.mean(difference <= 1) >= 0.999


# Node


@pytest.mark.skipif(NODE is None, reason="there is no node here")
def test_plain_rendering(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    jobs, expected, points = [], [], {}
    for name in GOLDEN_FILES:
        data = (GOLDEN / f"{name}.siren").read_bytes()
        field = stream.read(data)
        images = [python(name, scale) for scale in SCALES]
        crop = 3, 2, field.width - 4, field.height - 5
        images.append(np.atleast_3d(decoding.decode(data, size=(7, 5), crop=crop)))
        sizes = [{"outWidth": image.shape[1], "outHeight": image.shape[0]} for image in images]
        sizes[-1] |= dict(zip(("x", "y", "width", "height"), crop, strict=True))
        points[name] = rng.uniform(-0.5, 1, (6, 2)) * (field.width - 0.6, field.height - 0.6)
        points[name] = np.maximum(points[name], -0.5)
        path, places = str(GOLDEN / f"{name}.siren"), points[name].tolist()
        jobs.append({"path": path, "samples": sizes, "points": places})
        expected.append(images)
    (tmp_path / "jobs").write_text(json.dumps(jobs))
    done = subprocess.run(
        [str(NODE), HERE / "render.mjs", tmp_path / "jobs", tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    samples = np.fromfile(tmp_path / "out", "<u2")
    for images in expected:
        for image in images:
            check(samples[: image.size].reshape(image.shape), image)
            samples = samples[image.size :]
    assert samples.size == 0
    for name, line in zip(GOLDEN_FILES, done.stdout.splitlines(), strict=True):
        field = stream.read((GOLDEN / f"{name}.siren").read_bytes())
        found, (x, y) = json.loads(line), points[name].T
        for kind in ("at", "gradient", "laplacian"):
            theirs = getattr(field, kind)(x, y)
            scale = np.abs(theirs).max() + 1
            np.testing.assert_allclose(found[kind], theirs, rtol=1e-9, atol=1e-9 * scale)


# Chromium

PAGE = """<!doctype html><title>siren.js</title><link rel="icon" href="data:,">
<script>
  // The contexts that siren.js gets, to lose one.
  window.contexts = [];
  const getContext = OffscreenCanvas.prototype.getContext;
  OffscreenCanvas.prototype.getContext = function (kind, ...rest) {
    const found = getContext.call(this, kind, ...rest);
    if (kind === 'webgl2' && found) contexts.push(found);
    return found;
  };
</script>
<script type="module">
  import * as siren from '/siren.js';
  const bytesOf = (data) => btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(''));
  const pixelsOf = (canvas) => {
    const { width, height } = canvas;
    return bytesOf(canvas.getContext('2d').getImageData(0, 0, width, height).data);
  };
  window.draw = async (name, sizes, options, show = 'colour') => {
    const picture = await siren.open(`/${name}.siren`);
    const renderer = new siren.Renderer(new OffscreenCanvas(1, 1), picture, options);
    const drawn = [];
    for (const [width, height] of sizes) {
      Object.assign(renderer.canvas, { width, height });
      if (!(await renderer.draw({ show }))) throw new Error('not drawn');
      drawn.push(pixelsOf(renderer.canvas));
    }
    const { isGpu } = renderer;
    renderer.close();
    const render = async ([outWidth, outHeight]) =>
      bytesOf((await picture.render({ outWidth, outHeight, show })).data);
    const rendered = show === 'colour' ? [] : await Promise.all(sizes.map(render));
    picture.close();
    return { drawn, rendered, isGpu };
  };
  window.lose = async (name) => {
    const picture = await siren.open(`/${name}.siren`);
    const renderer = new siren.Renderer(new OffscreenCanvas(40, 30), picture, { gpu: true });
    await renderer.draw();
    const before = pixelsOf(renderer.canvas);
    const restored = new Promise((resolve) => { renderer.onrestore = resolve; });
    for (const context of contexts) context.getExtension('WEBGL_lose_context').loseContext();
    await restored;
    Object.assign(renderer.canvas, { width: 40, height: 30 });
    await renderer.draw();
    return { same: before === pixelsOf(renderer.canvas), contexts: contexts.length };
  };
  window.trickle = async (name, cut) => {
    const bytes = new Uint8Array(await (await fetch(`/${name}.siren`)).arrayBuffer());
    const levels = [];
    let tell;
    const coarse = new Promise((resolve) => (tell = resolve));
    const stream = new ReadableStream({
      async start(controller) {
        for (let at = 0; at < bytes.length - cut; at += 300) {
          // What is missing from here on has layers as well.
          if (at > bytes.length - 3300) await coarse;
          controller.enqueue(bytes.slice(at, Math.min(at + 300, bytes.length - cut)));
        }
        controller.close();
      },
    });
    const onlayer = ({ firstLevel, whole }) => {
      levels.push([firstLevel, whole]);
      tell();
    };
    const picture = await siren.open(new Response(stream), { onlayer, partial: cut > 0 });
    return { levels, whole: picture.whole, metadata: Object.keys(picture.metadata) };
  };
  window.refuse = async (make) => {
    try {
      await make(siren);
      return 'opened';
    } catch ({ name, message }) {
      return `${name}: ${message}`;
    }
  };
  window.ready = true;
</script>"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the page, siren.js with its priors, and the golden files."""

    def do_GET(self) -> None:
        name = self.path.strip("/")
        folder = GOLDEN if name.endswith(".siren") else DIST
        found = PAGE.encode() if not name else b""
        if name and (folder / name).is_file():
            found = (folder / name).read_bytes()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/javascript" if name.endswith(".js") else "text/html")
        self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        self.wfile.write(found)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="there is no playwright here")
    if CHROMIUM is None:
        pytest.skip("there is no chromium here")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_function("window.ready")
        yield page
        browser.close()
    server.shutdown()
    server.server_close()
    expected = ("GPU stall", "Canvas2D: Multiple readback", "Failed to load resource")
    assert [line for line in said if not any(each in line for each in expected)] == []


def rgba(pixels: Pixels) -> Pixels:
    """Return pixels as a canvas shows them: RGBA of 8 bits."""
    if pixels.dtype == np.uint16:
        pixels = np.rint(pixels / 257)
    channels = pixels.shape[2]
    colours = pixels[:, :, : 1 if channels < 3 else 3]
    colours = np.broadcast_to(colours, (*pixels.shape[:2], 3))
    alpha = pixels[:, :, -1:] if channels % 2 == 0 else np.full_like(pixels[:, :, :1], 255)
    return np.concatenate([colours, alpha], axis=2)


def image(encoded: str, size: tuple[int, int]) -> Pixels:
    return np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(size[1], size[0], 4)


@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize("name", ["rgb_8_layers", "rgba_8_alpha", "grey_16_grid", "rgb_8_prior_2"])
def test_drawing(page: Any, name: str, gpu: bool) -> None:
    expected = [rgba(python(name, scale)) for scale in SCALES]
    sizes = [(each.shape[1], each.shape[0]) for each in expected]
    script = "([name, sizes, gpu]) => draw(name, sizes, { gpu })"
    found = page.evaluate(script, [name, sizes, gpu])
    assert found["isGpu"] is gpu
    for encoded, size, theirs in zip(found["drawn"], sizes, expected, strict=True):
        mine = image(encoded, size)
        # A canvas keeps colours times alpha: what is nearly transparent loses some.
        seen = theirs[:, :, 3] == 255
        check(mine[:, :, 3], theirs[:, :, 3])
        check(mine[seen], theirs[seen])


@pytest.mark.parametrize("show", ["gradient", "laplacian"])
def test_derivatives(page: Any, show: str) -> None:
    """By WebGL2 they are what the worker computes; its numbers are Python's (see above)."""
    sizes = [(22, 16), (130, 95)]
    script = "([name, sizes, show]) => draw(name, sizes, { gpu: true }, show)"
    found = page.evaluate(script, ["rgb_8_layers", sizes, show])
    assert found["isGpu"]
    for drawn, rendered, size in zip(found["drawn"], found["rendered"], sizes, strict=True):
        mine = image(drawn, size)
        check(mine, image(rendered, size))
        assert mine[:, :, :3].std() > 1


def test_a_lost_context(page: Any) -> None:
    found = page.evaluate("lose('rgb_8_layers')")
    assert found["same"]
    assert found["contexts"] >= 2


def test_layers_are_there_before_the_end(page: Any) -> None:
    found = page.evaluate("trickle('rgb_8_layers', 0)")
    levels = [level for level, _ in found["levels"]]
    assert levels == sorted(set(levels), reverse=True)
    assert levels[0] > levels[-1] == 0
    assert not any(whole for _, whole in found["levels"])
    assert found["whole"] is True
    assert sorted(found["metadata"]) == ["exif", "icc", "xmp"]
    cut = page.evaluate("trickle('rgb_8_layers', 3000)")
    assert cut["whole"] is False
    assert cut["levels"][-1] == [1, False]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        ("s.open(new Uint8Array([1, 2, 3]))", "SirenError: expected a .siren file"),
        ("s.open(new Blob(['']))", "SirenError: expected a .siren file"),
        ("s.open('/none.siren')", "SirenError: http"),
        ("s.open('http://127.0.0.1:1/')", "TypeError: "),
        ("s.open(7)", "SirenError: source: expected a URL"),
        ("s.open('/grey_8.siren', {signal: AbortSignal.abort()})", "AbortError: "),
        ("s.open('/grey_8.siren', {limits: {pixels: 9}})", "SirenError: 17x11: expected at most"),
        ("s.open('/grey_8.siren').then((p) => p.at(17, 0))", "SirenError: x = 17: expected"),
        ("s.open('/grey_8.siren').then((p) => p.render({width: -1}))", "SirenError: region: "),
    ],
)
def test_what_is_refused(page: Any, make: str, said: str) -> None:
    found = page.evaluate(f"refuse((s) => {make})")
    assert found.startswith(said), found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("priors", "said"),
    [("'/none'", "SirenError: http"), ("{}", "SirenError: priors: expected prior 1")],
)
def test_a_prior_that_cannot_be_had(page: Any, priors: str, said: str) -> None:
    page.reload()
    page.wait_for_function("window.ready")
    make = f"(s) => s.open('/rgb_8_prior_1.siren', {{ priors: {priors} }})"
    assert page.evaluate(f"refuse({make})").startswith(said)
    assert page.evaluate("draw('rgb_8_prior_1', [[3, 2]])")["drawn"]


def test_a_gpu_that_the_cpu_emulates_is_not_taken_unasked(page: Any) -> None:
    assert page.evaluate("draw('grey_8', [[3, 2]])")["isGpu"] is False
    assert page.evaluate("draw('grey_8', [[3, 2]], { gpu: true })")["isGpu"] is True
