"""docs/RESULTS.md and the README's table are those of the records; what the sections say."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import pytest
from click.testing import CliRunner

from benchmarks import comparisons, kodak, markdown, report, store
from siren_codec.bench.codecs import by_name
from siren_codec.bench.published import KODAK, PUBLISHED, by_image
from siren_codec.bench.results import Row
from siren_codec.metrics import bd_rate

ABOUT = {"device": "x", "commit": "c", "date": "2026-01-02", "command": "y"}


def test_pages_are_up_to_date() -> None:
    """If not: bin/bench report."""
    result = CliRunner().invoke(report.main, ["--check"])
    assert result.exit_code == 0, result.output
    page = report.RESULTS_PAGE.read_text(encoding="utf-8")
    for name in ("kodak.svg", "times.svg", "cameraman.png"):
        assert f"(results/{name})" in page
        assert (report.CURVES / name).is_file()


def test_drawings_stand_alone() -> None:
    for text in report.drawings().values():
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        assert not re.search(r"var\(|#fe[0-9a-f]{2}fe", text)


def test_no_record_names_a_place_of_its_machine() -> None:
    for path in store.RESULTS.glob("*.jsonl"):
        for row in store.rows_of(path.stem):
            assert not [word for word in row["command"].split() if word.startswith("/")]


def test_a_figure_that_was_typed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = tmp_path / "RESULTS.md"
    text = report.RESULTS_PAGE.read_text(encoding="utf-8")
    typed.write_text(re.sub(r"\d\.\d(?= \|)", "0.0", text, count=1), encoding="utf-8")
    monkeypatch.setattr(report, "RESULTS_PAGE", typed)
    result = CliRunner().invoke(report.main, ["--check"])
    assert result.exit_code == 1
    assert "RESULTS.md: expected what the records say" in result.output


def test_only_what_is_marked_is_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "TABLES", {"x": lambda: "| new |\n"})
    text = "a\n<!-- table: x -->\n\n| old |\n\n<!-- end -->\n| b |\n<!-- end -->\n"
    expected = "a\n<!-- table: x -->\n\n| new |\n\n<!-- end -->\n| b |\n<!-- end -->\n"
    assert report.rewritten(text) == expected
    assert report.rewritten("no table\n") == "no table\n"
    with pytest.raises(click.ClickException, match="expected a table of x, found y"):
        report.rewritten("<!-- table: y -->\n<!-- end -->\n")


def row(image: str, quality: float, bpp: float, psnr: float, **more: Any) -> dict[str, Any]:
    return {
        "image": image,
        "sha256": "0",
        "codec": "grid",
        "version": by_name("grid").version,
        "settings": {"quality": quality, "effort": 4},
        "width": 768,
        "height": 512,
        "bytes": round(bpp * 1000),
        "bpp": bpp,
        "psnr": psnr,
        "ssim": 0.9,
        "ms_ssim": None,
        "encode_s": 60.0,
        "decode_s": 1.0,
        "timing": "fresh process",
        "peak_mib": 500.0,
        "decode_peak_mib": 50.0,
        **ABOUT,
        **more,
    }


def jpeg(image: str, factor: float = 1) -> list[Row]:
    """JPEG of `factor` bpp at 30 dB, twice as much for every 3 dB."""
    return [
        row(
            image,
            quality,
            factor * 2 ** (quality / 10 - 5),
            30 + 3 * (quality / 10 - 5),
            codec="jpeg",
            settings={"quality": quality},
            timing="in process",
        )
        for quality in range(10, 91, 10)
    ]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder for records, and what fills one."""
    monkeypatch.setattr(store, "RESULTS", tmp_path)

    def write(name: str, rows: Iterable[Row]) -> None:
        text = "".join(json.dumps(one) + "\n" for one in rows)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")

    return write


def test_means_are_of_pictures_that_have_all_their_qualities() -> None:
    rows = [row(image, quality, 1, 30) for image in "abc" for quality in (36, 50)]
    assert comparisons.complete(rows) == (["a", "b", "c"], [36, 50])
    # One more quality of one picture is no reason to leave out the others.
    rows.append(row("a", 24, 1, 30))
    assert comparisons.complete(rows) == (["a", "b", "c"], [36, 50])
    rows += [row("b", 24, 1, 30), row("a", 14, 1, 30), row("b", 14, 1, 30)]
    assert comparisons.complete(rows) == (["a", "b"], [14, 24, 36, 50])
    assert comparisons.complete([]) == ([], [])


def test_a_record_that_is_not_whole_says_so(write: Any) -> None:
    ours = [
        row(name, q, 0.5 * 2 ** (q / 10 - 5), 30 + 3 * (q / 10 - 5))
        for name in "ab"
        for q in (40, 60)
    ]
    write("kodak24", [*jpeg("a"), *jpeg("b"), *jpeg("c"), *ours, row("c", 40, 1, 30)])
    text = comparisons.kodak24()
    about = "2 of the 24 Kodak pictures (768 x 512, or upright), `-q` 40, 60"
    assert f"{about}; the record is not whole yet" in text
    assert "22 pictures and `-q` 14, 24, 36, 50 are left out of all means" in text
    assert "| 40 | 0.250 | 27.00 | 0.9000 | – | -50.0% | – |" in text  # noqa: RUF001
    assert "| **siren_codec (effort 4)** | -50.0% |" in text
    assert "| JPEG (optimised, progressive) |  | -50.0% | 27.0 to 33.0 | -50.0% |" in text
    assert "C3, published" not in text
    brief = comparisons.brief()
    assert "| **siren_codec** (`-e 4`) | -50.0% |  |" in brief
    assert "| JPEG (optimised, progressive) |  | -50.0% |" in brief
    assert "2 of the 24 Kodak pictures" in brief


def test_no_curve_has_points_of_two_codecs(write: Any) -> None:
    ours = [row("a", q, q / 40, 20 + q / 4) for q in (24, 36, 50)]
    stale = [row("a", q, 9, 20, version="old") for q in (14, 60)]
    write("kodak24", [*jpeg("a"), *stale, *ours])
    assert comparisons.of_complete()[1] == (["a"], [24, 36, 50])
    other = [row("a", q, 9, 20, device="another") for q in (14, 60)]
    write("kodak24", [*jpeg("a"), *other, *ours])
    assert comparisons.of_complete()[1] == (["a"], [24, 36, 50])


def test_measures_of_the_eye(write: Any) -> None:
    def seen(rows: Iterable[Row], **more: float) -> list[Row]:
        return [
            {**one, "ms_ssim": 1 - 10 ** (-one["psnr"] / 30), "ssimulacra2": one["psnr"], **more}
            for one in rows
        ]

    ours = [row("a", q, 0.25 * 2 ** (q / 10 - 5), 30 + 3 * (q / 10 - 5)) for q in (30, 50, 70)]
    write("kodak24", [*seen(jpeg("a")), *seen(ours)])
    dashes = " | ".join(["-75.0%"] * 3)
    assert f"| JPEG (optimised, progressive) | {dashes} |" in comparisons.measures()
    write("kodak24", [*jpeg("a"), *ours])
    assert "| JPEG (optimised, progressive) | -75.0% | \N{EN DASH} |" in comparisons.measures()


def test_sections_without_rows_are_empty(write: Any) -> None:
    write("none", [])
    for section in (
        *(comparisons.kodak24, comparisons.pictures, comparisons.measures, comparisons.best),
        *(comparisons.efforts, comparisons.held_out, comparisons.zoom, comparisons.coordinate),
    ):
        assert section() == ""


def test_published_curves_stand_beside_all_of_kodak(write: Any) -> None:
    rows = [one for name in KODAK for one in jpeg(name)]
    rows += [row(name, q, 0.5 + q / 100, 30 + q / 10) for name in KODAK for q in kodak.QUALITIES]
    write("kodak24", rows)
    text = comparisons.kodak24()
    assert "All 24 [Kodak pictures]" in text
    assert "`-q` 14, 24, 36, 50, 60. Means" in text
    for one in PUBLISHED:
        assert f"{one.name}, published" in text
    assert "not whole" not in text


def test_cool_chic_by_picture_is_what_its_means_are_of() -> None:
    points = by_image()
    assert set(points) == KODAK
    published = next(one for one in PUBLISHED if one.name.startswith("Cool-chic"))
    for place, mean in enumerate(published.points):
        found = [sum(curve[place][axis] for curve in points.values()) / 24 for axis in (0, 1)]
        assert found == pytest.approx(mean, abs=0.005)


def test_efforts_are_compared_picture_by_picture(write: Any) -> None:
    image = "kodim05"
    write("kodak24", [*jpeg(image), row(image, 36, 0.5, 29), row(image, 50, 1, 32)])
    own = [row(image, 36, 0.4, 29, settings={"quality": 36, "effort": 9}, encode_s=2000.0)]
    write("efforts", own)
    text = comparisons.efforts()
    curve = [(one["bpp"], one["psnr"]) for one in jpeg(image)]
    expected = bd_rate(reference=curve, test=[(0.5, 29), (1, 32)])
    assert f"| 4 (default) | 1 | 36, 50 | {expected:+.1f}% | – |" in text  # noqa: RUF001
    rate = 100 * (0.4 / 2 ** (-1 / 3) - 1)
    assert f"| kodim05 | 9 | 0.400 | 29.00 | {rate:+.1f}% |" in text
    assert f"| **mean of 1** | 9 | 0.400 | 29.00 | {rate:+.1f}% |" in text


def test_zoom_and_the_coordinate_model(write: Any) -> None:
    assert comparisons.zoom() == comparisons.coordinate() == ""
    ways = {
        way: {"psnr": psnr} for way, psnr in (("decoded", 28), ("bicubic", 27), ("lanczos", 27.5))
    }
    settings = {"quality": 80, "effort": 4, "zoom": 2}
    write("zoom", [row(name, 80, 4, 37, settings=settings, enlarged=ways) for name in "ab"])
    assert "| mean of 2, 2 times | 4.000 | 37.00 | 28.00 | 27.00 | 27.50 |" in comparisons.zoom()
    write("kodak24", jpeg("a"))
    of_width = {"quality": 28, "effort": 4}
    write("coordinate", [row("a", 0, 0.13, 25, codec="coordinate", settings=of_width, bytes=7479)])
    # COIN's network has 7,479 weights: 8 bits each.
    assert (
        "| a | 7,479 | 0.130 | 8.00 | 25.00 | 60.0 | 18.00 dB, 62 bytes |"
        in comparisons.coordinate()
    )


def test_numbers_of_tables() -> None:
    assert [markdown.seconds(value) for value in (243.2, 64.43, 4.5, 0.112, 0.0321, 0.0076)] == [
        *("243", "64.4", "4.50", "0.11", "0.032", "0.0076")
    ]
    assert [markdown.percent(-12.34), markdown.percent(None)] == ["-12.3%", markdown.DASH]
