"""The benchmark's report: its figures are the rows', and it needs no network and no other file."""

import base64
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

import siren_codec
from siren_codec import metrics
from siren_codec.bench import comparison, published, report, tables
from siren_codec.bench.codecs import CODECS, Library, by_name
from siren_codec.bench.curves import Series, collect
from siren_codec.bench.pictures import Pixels
from siren_codec.bench.results import Row
from siren_codec.errors import UsageError


def crop(pixels: Any) -> Pixels:
    return np.array(pixels[60:100, 200:248], np.uint8)


ABOUT = {
    "device": "CPU of a test, 2 cores",
    "commit": "abc1234",
    "date": "2026-01-02 03:04 UTC",
    "command": "siren-bench --out <b>",
}
PICTURES = {
    "astronaut": crop(skimage.data.astronaut()),  # type: ignore[no-untyped-call]
    "cup & saucer": crop(skimage.data.coffee()),  # type: ignore[no-untyped-call]
}
QUALITIES = (20, 50, 80)


def make_row(
    image: str, codec: str, quality: float, data: bytes, decoded: Pixels, **more: Any
) -> dict[str, Any]:
    original = PICTURES[image]
    height, width = original.shape[:2]
    return {
        "image": image,
        "sha256": "0" * 64,
        "width": width,
        "height": height,
        "codec": codec,
        "version": "1.2",
        "settings": {"quality": quality},
        "bytes": len(data),
        "bpp": metrics.bpp(file_bytes=len(data), width=width, height=height),
        "psnr": metrics.psnr(reference=original, decoded=decoded),
        "ssim": metrics.ssim(reference=original, decoded=decoded),
        "ms_ssim": None,
        "encode_s": 0.125 * quality,
        "decode_s": 0.0625,
        "timing": "in process",
        "peak_mib": None,
        "decode_peak_mib": None,
        "sections": None,
        "file": f"{image}-{codec}-{quality}",
        **ABOUT,
        **more,
    }


def our_row(image: str, quality: int, out: Path) -> dict[str, Any]:
    data = siren_codec.encode(PICTURES[image], quality=quality, steps=2, device="cpu")
    info = siren_codec.info(data)
    grids = [{"level": grid["level"], "bytes": grid["bytes"]} for grid in info["latents"]]
    row = make_row(
        image,
        "grid",
        quality,
        data,
        siren_codec.decode(data),
        settings={"quality": quality, "effort": 1},
        timing="fresh process",
        peak_mib=321.5,
        decode_peak_mib=101.0,
        sections={**info["sections"], "grids": grids},
    )
    (out / row["file"]).write_bytes(data)
    return row


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def rows(out: Path) -> list[Row]:
    """Real files of two pictures: ours at two qualities, JPEG and AVIF at three."""
    found: list[Row] = []
    for image, pixels in PICTURES.items():
        for peer in CODECS:
            if isinstance(peer, Library) and peer.at_equal_size and not peer.missing:
                for quality in QUALITIES:
                    data = peer.encode(pixels, quality)
                    row = make_row(image, peer.name, quality, data, peer.decode(data))
                    found.append({**row, "version": peer.version})
        found += [our_row(image, quality, out) for quality in (30, 80)]
    return found


@pytest.fixture(scope="module")
def page(rows: list[Row], out: Path) -> str:
    path = report.write(rows, out, PICTURES)
    assert path == out / "report.html"
    return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """What the tests look at: attributes, pictures, and tables as lists of (text, attributes)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.images: list[dict[str, str]] = []
        self.tables: list[list[list[tuple[str, dict[str, str]]]]] = []
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.attributes += [(tag, name, value) for name, value in found.items()]
        if tag == "img":
            self.images.append(found)
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append(("", found))
            self._cell = True
        elif tag == "small" and self._cell:
            self.handle_data("|")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._cell:
            text, attributes = self.tables[-1][-1][-1]
            self.tables[-1][-1][-1] = (text + data, attributes)

    def table(self, heading: str) -> list[list[tuple[str, dict[str, str]]]]:
        """Return the first table that has this heading in its first line."""
        return next(
            table for table in self.tables if heading in [text.strip() for text, _ in table[0]]
        )


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    found = Page(page)
    loads = ("src", "srcset", "href", "xlink:href", "data", "action", "poster", "background")
    urls = {value for _, name, value in found.attributes if name in loads}
    assert any(url.startswith("data:image/") for url in urls)
    assert [url for url in urls if not url.startswith(("#", "data:"))] == []
    assert re.findall(r"url\((?!#)[^)]*\)|@import|https?://", page) == []
    ids = [value for _, name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = {url[1:] for url in urls if url.startswith("#")}
    assert targets <= set(ids)


def sections(page: str) -> list[str]:
    """Return the ids of a page's sections, which its links name all."""
    found = re.findall(r'<section id="(\w+)">', page)
    assert re.findall(r'<a href="#(\w+)">', page) == found
    return found


def test_the_page_links_what_it_has(page: str, rows: list[Row], tmp_path: Path) -> None:
    every = ["summary", "rd", "bd", "time", "bytes", "pictures", "results", "about"]
    assert sections(page) == every
    codecs = len({row["codec"] for row in rows})
    assert f"2 pictures, {codecs} codecs, {len(rows)} files." in page
    jpeg = [row for row in rows if row["codec"] == "jpeg"]
    assert "decoding is timed by a call within siren-bench" in page
    alone = report.write(jpeg, tmp_path, {}).read_text(encoding="utf-8")
    assert sections(alone) == ["rd", "time", "pictures", "results", "about"]


def test_every_result_is_in_the_table_as_it_is_in_its_row(page: str, rows: list[Row]) -> None:
    headings, *lines = Page(page).table("PSNR, dB")
    assert len(lines) == len(rows)
    names = ("bytes", "bpp", "psnr", "ssim", "ms_ssim", "encode_s", "decode_s")
    digits = dict(zip(names, (0, 4, 3, 4, 4, 4, 4), strict=True))
    labels = {"grid": "siren_codec (effort 1)", "jpeg": "JPEG", "avif": "AVIF"}
    by_place = {
        (row["image"], labels[row["codec"]], f"{row['settings']['quality']:g}"): row for row in rows
    }
    for line in lines:
        assert len(line) == len(headings)
        row = by_place.pop((line[0][0], line[1][0], line[2][0]))
        for text, attributes in line[3:-1]:
            value = row[attributes["data-key"]]
            if value is None:
                assert text == "–"  # noqa: RUF001
                continue
            assert float(attributes["data-value"]) == value
            places = digits.get(attributes["data-key"], 0)
            assert text.replace(",", "") == f"{value:.{places}f}"
        assert line[-1][0] == row["timing"]
    assert not by_place


def test_bd_rates_are_those_of_the_curves(page: str, rows: list[Row]) -> None:
    def curve(codec: str, image: str) -> list[tuple[float, float]]:
        same = [row for row in rows if (row["codec"], row["image"]) == (codec, image)]
        return [(row["bpp"], row["psnr"]) for row in same]

    against_jpeg = next(
        table for table in Page(page).tables if [cell[0] for cell in table[1][:1]] == ["astronaut"]
    )
    headings = [text.strip() for text, _ in against_jpeg[0]]
    column = headings.index("AVIF")
    for line in against_jpeg[1:3]:
        image = line[0][0]
        expected = metrics.bd_rate(reference=curve("jpeg", image), test=curve("avif", image))
        text, attributes = line[column]
        percent, _, covered = text.partition("|")
        assert percent == f"{expected:+.1f}%".replace("-", "\N{MINUS SIGN}")
        assert re.fullmatch(r"\d+\.\d to \d+\.\d dB", covered)
        assert ("less" if expected < 0 else "more") in attributes["class"].split()
    assert [line[0][0] for line in against_jpeg[1:]] == [*PICTURES, "mean of these", "mean curve"]


def test_bytes_by_section_are_those_of_the_files(page: str, rows: list[Row]) -> None:
    ours = [row for row in rows if row["codec"] == "grid"]
    headings, *lines = Page(page).table("weights")
    assert len(lines) == len(ours) == 4
    for line, row in zip(lines, ours, strict=True):
        found = {
            heading[0]: int(cell[0].replace(",", ""))
            for heading, cell in zip(headings[3:], line[3:], strict=True)
        }
        assert found.pop("file") == row["bytes"]
        assert found["weights"] == row["sections"]["weights"]
        # The cost of each grid is rounded.
        assert sum(found.values()) == pytest.approx(row["bytes"], abs=8)


def test_parts_of_a_file() -> None:
    sections = {
        "header": 40,
        "weights": 100,
        "layer_0": 50,
        "layer_1": 10,
        "icc": 5,
        "xmp": 2,
        "checksum": 4,
    }
    grids = [{"level": 0, "bytes": 30}, {"level": 1, "bytes": 8}, {"level": 1, "bytes": 9}]
    assert tables.parts({"sections": {**sections, "grids": grids}}) == {
        "header": 40,
        "weights": 100,
        "grid 0": 30,
        "grid 1": 17,
        "other latents": 13,
        "metadata": 7,
        "checksum": 4,
    }


def pixels_of(uri: str) -> Pixels:
    data = base64.b64decode(uri.partition("base64,")[2])
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def test_what_is_shown_is_what_the_files_decode_to(rows: list[Row], out: Path) -> None:
    image = "astronaut"
    row = next(row for row in rows if (row["image"], row["codec"]) == (image, "grid"))
    measured = [row for row in rows if row["image"] == image]
    found = comparison.compare(row, out, PICTURES[image], 32, measured)
    assert found.crop == (8, 4, 32, 32)
    window = np.s_[4:36, 8:40]
    versions = {version.key: version for version in found.versions}
    assert np.array_equal(pixels_of(versions["original"].uri), PICTURES[image][window])
    decoded = siren_codec.decode((out / row["file"]).read_bytes())
    assert np.array_equal(pixels_of(versions["grid"].uri), decoded[window])
    assert (versions["grid"].bytes, versions["grid"].psnr) == (row["bytes"], row["psnr"])
    jpeg = by_name("jpeg")
    assert isinstance(jpeg, Library)
    quality = int(versions["jpeg"].detail.removeprefix("quality "))
    sizes = {q: len(jpeg.encode(PICTURES[image], q)) for q in range(1, 96)}
    assert versions["jpeg"].bytes == sizes[quality]
    best = min(abs(size - row["bytes"]) for size in sizes.values())
    assert abs(sizes[quality] - row["bytes"]) == best
    # Between the pixels: the field itself, at the tile that is named.
    zoom = found.zoom
    tile = (zoom.x, zoom.y, zoom.width, zoom.height)
    ours = siren_codec.open(out / row["file"]).render(scale=4, crop=tile)
    shown = {version.key: pixels_of(version.uri) for version in zoom.versions}
    assert np.array_equal(shown["ours"], ours)
    assert shown["bicubic"].shape == ours.shape
    assert not np.array_equal(shown["bicubic"], ours)


def test_the_nearest_size_is_found_with_few_files() -> None:
    made = []

    def encode(quality: int) -> bytes:
        made.append(quality)
        return bytes(10 * quality)

    for length, known, quality in (
        (431, {}, 43),
        (436, {}, 44),
        (436, {40: 400, 50: 500}, 44),
        (1, {}, 1),
        (5000, {90: 900}, 95),
        (400, {40: 400, 30: 300}, 40),
    ):
        made.clear()
        found = comparison.nearest_in_size(encode, length, known)
        assert found == (quality, bytes(10 * quality))
        assert len(made) == len(set(made)) <= 8 - len(known)


def test_more_pictures_are_shown_smaller() -> None:
    sides = [comparison.side_for(count) for count in (0, 1, 4, 24, 1000)]
    assert sides == [768, 768, 768, 288, 128]


def line_of(codec: str, factor: float, image: str = "a", **settings: int) -> list[Row]:
    """A codec of `factor` bpp at 30 dB, twice as much for every 3 dB."""
    return [
        {
            "image": image,
            "codec": codec,
            "settings": {"quality": quality, **settings},
            "bpp": factor * 2 ** (quality / 10),
            "psnr": 30 + 3 * quality / 10,
            "ssim": None,
            "ms_ssim": None,
            "encode_s": 2.5 * factor,
            "timing": "fresh process" if "effort" in settings else "in process",
        }
        for quality in (0, 10, 20)
    ]


def test_losses_are_told_as_wins_are() -> None:
    rows = [
        *line_of("grid", 1, effort=4),
        *line_of("jpeg", 2),
        *line_of("avif", 0.8),
        *line_of("webp", 1.25),
    ]
    found = collect(rows)
    ours = Series("grid", 4)
    assert tables.findings(found, ours) == (
        "At equal PSNR siren_codec (effort 4) takes fewer bits than JPEG (−50.0%) and "  # noqa: RUF001
        "WebP (−20.0%) and more bits than AVIF (+25.0%). It takes 2.5 s (fresh process) to "  # noqa: RUF001
        "encode a picture, where the slowest of the others, JPEG, takes 5.0 s (in process)."
    )
    assert [(x.peer.codec, x.fewer, x.pictures) for x in tables.standings(found, ours)] == [
        ("jpeg", 1, 1),
        ("webp", 1, 1),
        ("avif", 0, 1),
    ]
    lines = dict(tables.mean_table(found, ()).lines)
    jpeg, _, avif = lines[ours.label]
    assert (jpeg.kind, avif.kind) == ("less", "more")
    assert [jpeg.strength, avif.strength] == pytest.approx([1, 0.5])
    assert avif.detail == "30.0 to 36.0 dB"


def test_curves_that_share_no_psnr_have_a_dash() -> None:
    above = [{**row, "psnr": row["psnr"] + 20} for row in line_of("grid", 1, effort=4)]
    found = collect([*above, *line_of("jpeg", 2)])
    (_, (cell,)) = tables.mean_table(found, ()).lines[0]
    assert (cell.text, cell.kind) == ("\N{EN DASH}", "")
    assert "No curve of another codec" in tables.findings(found, Series("grid", 4))


def test_a_mean_curve_has_the_qualities_that_all_pictures_have() -> None:
    rows = [*line_of("jpeg", 1, "a"), *line_of("jpeg", 3, "b")[1:]]
    found = collect(rows)
    assert [(mean.quality, mean.bpp) for mean in found.means[Series("jpeg")]] == [(10, 4), (20, 8)]


def test_what_cannot_be_shown_is_said(rows: list[Row], tmp_path: Path) -> None:
    text = report.write(rows, tmp_path, {"astronaut": PICTURES["astronaut"]}).read_text()
    assert "cup &amp; saucer: the original is not at hand." in text
    assert re.search(r"astronaut: .*astronaut-grid-\d+: No such file", text)
    assert "siren-bench --out &lt;b&gt;" in text
    assert not Page(text).images
    assert "published" not in text
    with pytest.raises(UsageError, match="expected results to report, found none"):
        report.write([], tmp_path, {})


def test_a_run_that_was_cut_short_has_a_report(rows: list[Row], tmp_path: Path) -> None:
    ours = next(row for row in rows if row["codec"] == "grid")
    jpeg = [row for row in rows if row["codec"] == "jpeg"]
    for few in (
        [ours],
        [{**ours, "image": "a"}, {**ours, "image": "b", "settings": {"quality": 7, "effort": 1}}],
        [ours, jpeg[0]],
        jpeg,
    ):
        text = report.write(few, tmp_path, {}).read_text(encoding="utf-8")
        assert len(Page(text).table("PSNR, dB")) == 1 + len(few)


def test_a_zoom_alone_has_a_report(rows: list[Row], tmp_path: Path) -> None:
    ours = next(row for row in rows if row["codec"] == "grid")
    ways = {
        way: {"psnr": psnr} for way, psnr in (("decoded", 28), ("bicubic", 27), ("lanczos", 26))
    }
    zoomed = {**ours, "settings": {"quality": 80, "effort": 1, "zoom": 2}, "enlarged": ways}
    text = report.write([zoomed, {**zoomed, "image": "b"}], tmp_path, {}).read_text()
    assert "2 pictures, 1 codec, 2 files." in text
    assert sections(text) == ["zoom", "about"]
    assert "siren_codec (effort 1)</dt>" in text
    headings, line = Page(text).table("decoded larger")
    assert [cell[0] for cell in line[1:4]] == ["2", "quality 80", "2"]
    assert [cell[0] for cell in line[-3:]] == ["28.00", "27.00", "26.00"]
    assert [cell[0].strip() for cell in headings[-3:]] == ["decoded larger", "bicubic", "Lanczos"]


def test_published_curves_stand_beside_all_of_kodak_only(
    page: str, rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "COIN" not in page
    named = [{**row, "image": "kodim05"} for row in rows if row["image"] == "astronaut"]
    assert "Dashed: Cool-chic 5.0.1, as" in report.write(named, tmp_path, {}).read_text("utf-8")
    monkeypatch.setattr(published, "KODAK", frozenset(PICTURES))
    text = report.write(rows, tmp_path, {}).read_text(encoding="utf-8")
    assert "COIN: Dupont et al. 2021" in text
    assert "as published for this picture" not in text
    table = next(x for x in Page(text).tables if x[-1][0][0].endswith(", published"))
    names = [line[0][0] for line in table[-len(published.PUBLISHED) :]]
    assert names == [f"{other.name}, published" for other in published.PUBLISHED]


def browser() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


def findings(page: str, folder: Path) -> dict[str, str]:
    """Return the attributes of <html> after a browser has opened the page."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --virtual-time-budget=4000 --dump-dom"
    flags += " --window-size=1200,1000"
    command = [str(browser()), *flags.split(), f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run(
        [*command, (folder / "page.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return {name: value for tag, name, value in Page(done.stdout).attributes if tag == "html"}


USE = """
<script>
addEventListener("load", () => {
  const find = (selector) => document.querySelector(selector);
  const say = (name, value) => (document.documentElement.dataset[name] = value);
  const button = find('.legend button[data-series="s-jpeg"]');
  button.click();
  const lines = [...document.getElementsByClassName("s-jpeg")];
  say("lines", lines.length);
  say("hidden", lines.filter((line) => line.style.display === "none").length);
  const heading = [...document.querySelectorAll(".sortable thead button")][3];
  heading.click();
  heading.click();
  const bytes = [...document.querySelectorAll('.sortable td[data-key="bytes"]')];
  say("sorted", bytes.map((cell) => cell.dataset.value).join(" "));
  const slider = find(".compare input[type=range]");
  slider.value = 25;
  slider.dispatchEvent(new Event("input"));
  say("at", find(".stage").style.getPropertyValue("--at"));
  const select = find(".compare select");
  select.value = 0;
  select.dispatchEvent(new Event("change"));
  say("left", find(".stage .left").dataset.key);
  find(".stage").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
  const pixels = find(".lenses canvas").getContext("2d").getImageData(0, 0, 1, 1).data;
  say("lens", pixels[3]);
  const edges = [...document.querySelectorAll(".compare .row")].flatMap((row) => {
    const lenses = row.querySelector(".lenses").getBoundingClientRect();
    const parts = [...row.querySelectorAll(".controls *")].map((x) => x.getBoundingClientRect());
    return parts.filter((part) => part.right > lenses.left && part.bottom > lenses.top);
  });
  say("covered", edges.length);
});
</script>
"""


@pytest.mark.skipif(browser() is None, reason="needs Chromium or Chrome")
def test_a_browser_shows_all_pictures_and_meets_no_error(
    page: str, rows: list[Row], tmp_path: Path
) -> None:
    data = findings(page.replace("</body>", USE + "</body>"), tmp_path)
    assert data["data-errors"] == ""
    assert data["data-ready"] == "yes"
    assert int(data["data-images"]) == len(Page(page).images) > 0
    assert data["data-broken"] == "0"
    assert int(data["data-hidden"]) == int(data["data-lines"]) > 0
    assert data["data-sorted"].split() == [
        str(size) for size in sorted((row["bytes"] for row in rows), reverse=True)
    ]
    assert (data["data-at"], data["data-left"], data["data-lens"]) == ("25%", "original", "255")
    # No control lies under the enlarged spots beside the picture.
    assert data["data-covered"] == "0"


@pytest.mark.skipif(browser() is None, reason="needs Chromium or Chrome")
def test_the_page_itself_tells_what_goes_wrong(page: str, tmp_path: Path) -> None:
    wrong = '<img src="data:image/png;base64,AAAA" alt=""><script>nothing()</script></body>'
    data = findings(page.replace("</body>", wrong), tmp_path)
    assert "nothing is not defined" in data["data-errors"]
    assert data["data-broken"] == "1"
