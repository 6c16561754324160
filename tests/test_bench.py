"""siren-bench: adapters, rows, resuming, BD-rates, the command."""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bjontegaard
import click
import numpy as np
import pytest
from PIL import Image

import siren_codec
from siren_codec import cli, metrics
from siren_codec.bench import (
    codecs,
    commands,
    curves,
    environment,
    measure,
    pictures,
    published,
    run,
    tables,
)
from siren_codec.bench.codecs import CODECS, Codec, Jpeg2000, PillowCodec, Siren, by_name
from siren_codec.bench.curves import Series
from siren_codec.bench.pictures import Original
from siren_codec.bench.results import Results, Row, latest
from siren_codec.bench.run import Plan
from siren_codec.cli import bench as command
from siren_codec.cli.bench import Choices, Numbers
from siren_codec.errors import SirenError
from siren_codec.options import MODELS

GOLDEN = Path(__file__).parent / "golden" / "rgb_8_prior_1.siren"
JPEG = by_name("jpeg")
assert isinstance(JPEG, PillowCodec)
TWO_JPEGS = replace(JPEG, qualities=(10, 90))
GRID, COORDINATE = by_name("grid"), by_name("coordinate")
LIBRARIES = [codec for codec in CODECS if not codec.is_ours and not codec.missing]

STUB = """
import json, shutil, sys
what, golden, source, target, *options = sys.argv[1:]
if what == "encode":
    if options[options.index("-q") + 1] == "13":
        sys.exit("siren-encode: bad luck")
    shutil.copy(golden, target)
    print("something else")
    print(json.dumps({"bytes": 1}))
else:
    from PIL import Image
    scale = int(options[options.index("--scale") + 1]) if "--scale" in options else 1
    Image.new("RGB", (19 * scale, 14 * scale), (90, 90, 90)).save(target, "PNG")
"""


def photo(width: int = 48, height: int = 40) -> Original:
    """A part of the astronaut."""
    data = pytest.importorskip("skimage.data")
    return Original("photo", np.ascontiguousarray(data.astronaut()[80:][:height, 200:][:, :width]))


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, with commands that make a golden file of any picture, and grey of any file."""
    script = tmp_path / "stub.py"
    script.write_text(STUB, encoding="utf-8")
    for name in ("ENCODE", "DECODE"):
        command = (sys.executable, str(script), name.lower(), str(GOLDEN.resolve()))
        monkeypatch.setattr(commands, name, command)
    return tmp_path / "out"


def plan(
    *originals: Original,
    codecs: Sequence[Codec] = (GRID,),
    qualities: Sequence[int] = (50,),
    **more: Any,
) -> Plan:
    return Plan(originals=originals, codecs=codecs, qualities={"grid": qualities}, **more)


def lines(out: Path) -> list[Row]:
    text = (out / "results.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


# Adapters


@pytest.mark.parametrize("codec", LIBRARIES, ids=lambda codec: codec.name)
def test_a_library_makes_files_of_rising_rate_and_quality(codec: Codec) -> None:
    original = photo().pixels
    sizes, psnrs = [], []
    for quality in (codec.qualities[0], codec.qualities[-1]):
        data = codec.encode(original, quality)
        decoded = codec.decode(data)
        assert decoded.shape == original.shape
        assert decoded.dtype == np.uint8
        sizes.append(len(data))
        psnrs.append(metrics.psnr(reference=original, decoded=decoded))
    assert sizes[0] < sizes[1]
    assert psnrs[0] + 3 < psnrs[1]
    assert psnrs[1] > 28
    assert list(codec.qualities) == sorted(codec.qualities)
    assert any(digit in codec.version for digit in "0123456789")


def test_codecs_are_told_from_each_other() -> None:
    for names in zip(*((x.name, x.label, x.marker, *x.colours) for x in CODECS), strict=True):
        assert len(set(names)) == len(CODECS)
    assert [codec.name for codec in CODECS if codec.is_ours] == list(MODELS)
    with pytest.raises(SirenError, match=r"expected one of grid, .*, found bpg"):
        by_name("bpg")


def test_jpeg_2000_is_better_with_its_colour_transform() -> None:
    ours = by_name("jpeg2000")
    assert isinstance(ours, Jpeg2000)
    assert ours.options["mct"] == 1
    without = replace(ours, options={**ours.options, "mct": 0})
    original = photo(128, 128).pixels
    found = []
    for codec in (without, ours):
        files = [codec.encode(original, quality) for quality in (28, 34, 40)]
        psnrs = [metrics.psnr(reference=original, decoded=codec.decode(file)) for file in files]
        found.append(list(zip(map(len, files), psnrs, strict=True)))
    assert metrics.bd_rate(reference=found[0], test=found[1]) < -20


def test_jpeg_is_progressive_and_decoded_by_its_own_decoder_alone() -> None:
    data = TWO_JPEGS.encode(photo().pixels, 50)
    assert b"\xff\xc2" in data
    with pytest.raises(OSError, match="cannot identify"):
        replace(TWO_JPEGS, format="PNG").decode(data)


# Pictures


def test_pictures_are_rgb_of_8_bits_and_have_names_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photo().pixels).save(path)
    (found,) = pictures.load([path])
    assert found.name == "a"
    np.testing.assert_array_equal(found.pixels, photo().pixels)
    assert found.sha256 == photo().sha256
    assert found.sha256 != photo(47).sha256
    with pytest.raises(SirenError, match="different names, found a twice"):
        pictures.load([path, path])
    Image.new("L", (20, 20)).save(path)
    with pytest.raises(SirenError, match="expected RGB of 8 bits, found 1 channels of 8 bits"):
        pictures.load([path])


def test_bundled_pictures_are_colour_and_nothing_is_downloaded() -> None:
    pytest.importorskip("skimage")
    found = {original.name: original.pixels.shape for original in pictures.bundled()}
    assert found == {
        "astronaut": (512, 512, 3),
        "chelsea": (300, 451, 3),
        "coffee": (400, 600, 3),
    }


def test_what_is_shrunk_is_rounded_means() -> None:
    pixels = np.array([[0, 1, 255, 255], [1, 0, 255, 255], [0, 0, 9, 9]], np.uint8)[:, :, None]
    small = pictures.shrunk(pictures.whole(pixels, 2), 2)
    np.testing.assert_array_equal(small[:, :, 0], [[1, 255]])
    with pytest.raises(SirenError, match="expected at least 4 x 4 pixels, found 4 x 3"):
        pictures.whole(pixels, 4)


def test_the_middle_of_a_picture() -> None:
    pixels = np.arange(5 * 8 * 3, dtype=np.uint8).reshape(5, 8, 3)
    original = Original("a", pixels)
    np.testing.assert_array_equal(pictures.middle(original, 4).pixels, pixels[:4, 2:6])
    np.testing.assert_array_equal(pictures.middle(original, 6).pixels, pixels[:, 1:7])
    np.testing.assert_array_equal(pictures.middle(original, 9).pixels, pixels)


# Rows


def test_fidelity_leaves_out_what_a_picture_is_too_small_for() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (180, 176, 3), np.uint8)
    noisy = np.clip(pixels + np.int16(9), 0, 255).astype(np.uint8)
    whole = measure.fidelity(pixels, noisy)
    assert 0.9 < whole["ms_ssim"] < 1
    lossless = measure.fidelity(pixels, pixels)
    assert [lossless[name] for name in ("psnr", "ssim", "ms_ssim")] == [99, 1, 1]
    narrow = measure.fidelity(pixels[:, :175], noisy[:, :175])
    assert narrow["ms_ssim"] is None
    assert 0.5 < narrow["ssim"] < 1
    assert measure.fidelity(pixels[:10], noisy[:10])["ssim"] is None
    with pytest.raises(SirenError, match="expected pixels"):
        measure.fidelity(pixels, noisy[:10])


def test_ssimulacra2_is_measured_where_its_package_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(first: Any, second: Any) -> float:
        with Image.open(first) as one, Image.open(second) as other:
            return 100 - float(np.abs(np.asarray(one, float) - np.asarray(other, float)).max())

    monkeypatch.setitem(sys.modules, "ssimulacra2", SimpleNamespace(compute_ssimulacra2=compute))
    monkeypatch.setattr(measure, "find_spec", lambda name: name)
    pixels = photo(16, 16).pixels // 2
    assert measure.fidelity(pixels, pixels + np.uint8(3))["ssimulacra2"] == 97
    assert "ssimulacra2" not in measure.fidelity(pixels[:10], pixels[:10])


def test_a_real_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command, with fresh processes of the codec; then once more, and after a kill."""
    source = tmp_path / "photo.png"
    Image.fromarray(photo().pixels).save(source)
    _offer(monkeypatch, GRID, TWO_JPEGS)
    arguments = [str(source), "--out", str(tmp_path / "out"), "--codecs", "jpeg,grid"]
    arguments += ["-q", "30", "--steps", "2", "--device", "cpu", "--crop", "32", "--quiet"]
    out = tmp_path / "out"
    assert _main(monkeypatch, *arguments) == 0
    rows = lines(out)
    assert [row["codec"] for row in rows] == ["jpeg", "jpeg", "grid"]
    original = pictures.middle(photo(), 32)
    for row in rows:
        file = out / row["file"]
        assert row["bytes"] == file.stat().st_size
        assert row["bpp"] == pytest.approx(8 * row["bytes"] / (32 * 32), abs=1e-5)
        assert (row["image"], row["width"], row["height"]) == ("photo", 32, 32)
        assert row["sha256"] == original.sha256
        assert row["ms_ssim"] is None
    ours = rows[-1]
    assert ours["settings"] == {"quality": 30, "effort": 4, "steps": 2}
    assert ours["file"] == "files/photo/grid-e4-q30-s2.siren"
    decoded = siren_codec.decode((out / ours["file"]).read_bytes())
    mse = np.mean(np.square(decoded.astype(np.float64) - original.pixels))
    assert ours["psnr"] == pytest.approx(10 * math.log10(255**2 / mse), abs=1e-4)
    assert ours["timing"] == "fresh process"
    for which in ("encode", "decode"):
        assert 0 < ours[f"{which}_in_process_s"] < ours[f"{which}_s"]
    sections = {**ours["sections"]}
    grids = sections.pop("grids")
    assert sum(sections.values()) == ours["bytes"]
    assert grids[0] == {"level": 0, "bytes": grids[0]["bytes"]}
    assert sum(grid["bytes"] for grid in grids) == pytest.approx(sections["layer_0"], abs=20)
    if sys.platform == "linux":
        # An interpreter with numpy, and one with torch; this process holds other amounts.
        assert 15 < ours["decode_peak_mib"] < 150 < ours["peak_mib"] < 2000
    assert rows[0]["timing"] == "in process"
    assert rows[0]["sections"] is None
    assert rows[0]["command"].startswith("siren-bench ")
    assert (out / "report.html").exists()
    # Half a line, as a kill leaves it: that result is measured again, the others are not.
    results = out / "results.jsonl"
    whole = results.read_bytes()
    first, second, third = whole.splitlines(keepends=True)
    results.write_bytes(first + third + second[:-9])
    assert _main(monkeypatch, *arguments, "--no-report") == 0
    assert results.read_bytes().startswith(first + third)
    assert [row["settings"]["quality"] for row in lines(out)] == [10, 30, 90]


def _offer(monkeypatch: pytest.MonkeyPatch, *offered: Codec) -> None:
    monkeypatch.setattr(command, "by_name", lambda name: by_name(name, offered))


def _main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["siren-bench", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.bench_main()
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_what_is_there_is_not_measured_again(stub: Path) -> None:
    small, other = Original("a", photo(19, 14).pixels), Original("b", photo(19, 14).pixels)
    wanted = plan(small, codecs=(TWO_JPEGS, GRID), qualities=(24,), efforts=(1, 4))
    assert run.measure(wanted, stub, count=2) == []
    rows = lines(stub)
    assert [row["codec"] for row in rows] == ["jpeg", "jpeg", "grid", "grid"]
    assert sorted(row["settings"]["effort"] for row in rows[2:]) == [1, 4]
    assert rows[-1]["bytes"] == GOLDEN.stat().st_size
    run.measure(wanted, stub)
    assert lines(stub) == rows
    # Another picture, and a file that is gone.
    (stub / rows[3]["file"]).unlink()
    run.measure(replace(wanted, originals=[small, other]), stub)
    assert len(lines(stub)) == 4 + 1 + 4
    run.measure(wanted, stub, resume=False)
    assert len(lines(stub)) == 9 + 4
    found = run.rows_of([small], stub)
    assert len(found) == 4
    assert {row["image"] for row in found} == {"a"}
    # What has been overwritten by a picture of the same name is in no report.
    (stub / found[0]["file"]).write_bytes(b"another")
    assert run.rows_of([small], stub) == found[1:]


def test_another_version_is_measured_again(stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Original("a", photo(19, 14).pixels)
    run.measure(plan(small, qualities=(24, 36)), stub)
    monkeypatch.setattr(Siren, "version", "2.0")
    run.measure(plan(small, qualities=(24,)), stub)
    assert len(lines(stub)) == 3
    # No curve has points of two versions.
    (row,) = run.rows_of([small], stub)
    assert (row["version"], row["settings"]["quality"]) == ("2.0", 24)


def test_a_failure_does_not_end_a_run(stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = Original("a", photo(19, 14).pixels), Original("b", photo(20, 14).pixels)
    told: list[str] = []
    failures = run.measure(plan(small, large, qualities=(13, 50)), stub, say=told.append)
    assert sorted(failures) == [
        "a grid quality 13 effort 4: siren-encode: bad luck",
        "b grid quality 13 effort 4: siren-encode: bad luck",
        "b grid quality 50 effort 4: expected pixels (14, 20, 3), found (14, 19, 3)",
    ]
    assert [row["image"] for row in lines(stub)] == ["a"]
    assert set(failures) < set(told)
    (wanted,) = run.jobs(plan(small, qualities=(50,)))
    monkeypatch.setattr(Siren, "version", "2.0")
    with pytest.raises(SirenError, match="changed under the run"):
        wanted.run(stub)


def test_a_library_that_fails_is_one_line(stub: Path) -> None:
    wide = Original("a", np.zeros((1, 16384, 3), np.uint8))
    webp = by_name("webp")
    failures = run.measure(plan(wide, codecs=(webp,)), stub)
    assert len(failures) == len(webp.qualities)
    assert failures[0].startswith("a webp quality 1: ")


def test_what_siren_encode_is_asked_for() -> None:
    narrow = replace(COORDINATE, qualities=(28,))
    wanted = plan(photo(), codecs=(GRID, narrow), qualities=(36,), steps=5)
    grid, coordinate = run.jobs(wanted)
    assert isinstance(grid.codec, Siren)
    assert isinstance(coordinate.codec, Siren)
    same = ["-e", "4", "--device", "cpu"]
    asked = grid.codec.arguments(grid.settings, "cpu")
    assert asked == ["--model", "grid", *same, "-q", "36", "--steps", "5"]
    network = ["--hidden-layers", "10", "--hidden-features", "28"]
    asked = coordinate.codec.arguments(coordinate.settings, "cpu")
    assert asked == ["--model", "coordinate", *same, *network, "--steps", "5"]
    assert coordinate.file == "files/photo/coordinate-e4-q28-s5.siren"


def test_the_key_is_of_what_makes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "siren_codec"
    for name in ("fit/rate.py", "cli/console.py", "effort.py", "encoding.py", "options.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("a", encoding="utf-8")
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    before = environment.code_key()
    (package / "cli/console.py").write_text("b", encoding="utf-8")
    assert environment.code_key() == before
    (package / "fit/rate.py").write_text("b", encoding="utf-8")
    assert environment.code_key() != before


# Zoom


def test_a_zoom_compares_what_is_decoded_larger_with_the_picture(stub: Path) -> None:
    """The stub decodes to grey, at any scale, so that every enlargement is equally near."""
    original = Original("a", photo(39, 29).pixels)
    wanted = plan(original, codecs=(TWO_JPEGS, GRID), zooms=(2,))
    assert run.measure(wanted, stub) == []
    (found,) = lines(stub)
    assert found["settings"] == {"quality": 50, "effort": 4, "zoom": 2}
    assert (found["width"], found["height"]) == (19, 14)
    assert found["file"] == "files/a/grid-e4-q50-x2.siren"
    grey = np.full((28, 38, 3), 90, np.uint8)
    expected = measure.fidelity(pictures.whole(original.pixels, 2), grey)
    assert found["enlarged"] == dict.fromkeys(("decoded", "bicubic", "lanczos"), expected)
    small = pictures.shrunk(pictures.whole(original.pixels, 2), 2)
    assert found["psnr"] == measure.fidelity(small, grey[::2, ::2])["psnr"]
    # Two qualities of one scale are two lines, and a zoom has no curve.
    other = {**found, "settings": {**found["settings"], "quality": 80}, "bpp": found["bpp"] + 2}
    one, two = tables.zooms([found, {**found, "image": "b", "bpp": found["bpp"] + 1}, other])
    assert (one.series, one.scale, one.quality, one.pictures) == (Series("grid", 4), 2, 50, 2)
    assert (one.bpp, two.bpp) == (found["bpp"] + 0.5, found["bpp"] + 2)
    assert one.psnr == dict.fromkeys(("decoded", "bicubic", "lanczos"), expected["psnr"])
    assert curves.collect([found]).rows == {}


def row(image: str, codec: str, quality: float, bpp: float = 1, **more: Any) -> Row:
    found = {"image": image, "sha256": "0", "codec": codec, "settings": {"quality": quality}}
    about = {"version": "1", "psnr": 30, "ssim": None, "ms_ssim": None}
    return {**found, **about, "bpp": bpp, **more}


def test_half_a_line_is_dropped_and_a_strange_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.jsonl"
    results = Results(path)
    for quality in (1, 2):
        results.add(row("a", "jpeg", quality))
    whole = path.read_bytes()
    for cut in (1, 40, len(whole) // 2 - 1):
        path.write_bytes(whole[:-cut])
        assert [found["settings"]["quality"] for found in Results(path).rows] == [1]
        assert path.read_bytes() == whole[: len(whole) // 2]
    path.write_bytes(whole + b'{"image": "a"}\n')
    with pytest.raises(SirenError, match="line 3: expected a result, found"):
        Results(path)
    with pytest.raises(SirenError, match="Is a directory"):
        Results(tmp_path)


def test_the_last_row_of_a_measurement_counts() -> None:
    rows = [row("a", "jpeg", 1), row("a", "jpeg", 2), row("a", "jpeg", 1, 5)]
    assert [found["bpp"] for found in latest(rows)] == [1, 5]
    newer = [*rows, row("a", "jpeg", 3, 7, version="2"), row("a", "webp", 1)]
    assert [found["bpp"] for found in latest(newer)] == [7, 1]


# BD-rates

POINTS = [(0.268, 26.67), (0.458, 29.14), (0.615, 30.49), (0.865, 32.17), (1.315, 34.52)]
BETTER = [(0.112, 27.01), (0.246, 29.9), (0.491, 32.7), (0.875, 35.42)]


@pytest.mark.parametrize("test", [BETTER, POINTS[1:], [(2 * rate, psnr) for rate, psnr in BETTER]])
def test_bd_rates_are_those_of_the_bjontegaard_package(test: list[tuple[float, float]]) -> None:
    ours = metrics.bd_rate(reference=POINTS, test=test)
    arrays = [np.array(values) for curve in (POINTS, test) for values in zip(*curve, strict=True)]
    options = {"require_matching_points": False, "min_overlap": 0}
    pchip = bjontegaard.bd_rate(*arrays, method="pchip", **options)
    assert ours == pytest.approx(pchip, abs=1e-6)
    akima = bjontegaard.bd_rate(*arrays, method="akima", **options)
    assert ours == pytest.approx(akima, abs=1.5)


def rows_of(
    image: str, codec: str, points: Sequence[tuple[float, float]], **more: Any
) -> list[Row]:
    return [
        row(image, codec, quality, bpp, psnr=psnr, **more)
        for quality, (bpp, psnr) in enumerate(points)
    ]


def test_bd_rates_by_picture_and_of_the_means() -> None:
    rows = [
        found
        for image, factor in (("a", 1), ("b", 3))
        for found in (
            *rows_of(image, "jpeg", [(factor * rate, psnr) for rate, psnr in POINTS]),
            *rows_of(image, "webp", [(factor * rate / 2, psnr) for rate, psnr in POINTS]),
            *rows_of(image, "avif", [(0.5, 50), (0.6, 51)]),
        )
    ]
    found = curves.collect(rows)
    assert found.curves[Series("jpeg")][0] == pytest.approx((2 * 0.268, 26.67))
    for of_codecs in (found.curves, *found.by_image.values()):
        jpeg, webp, avif = (of_codecs[Series(name)] for name in ("jpeg", "webp", "avif"))
        difference = curves.bd_rate(reference=jpeg, test=webp)
        assert difference is not None
        assert difference == pytest.approx((-50, 26.67, 34.52))
        back = curves.bd_rate(reference=webp, test=jpeg)
        assert back is not None
        assert back.percent == pytest.approx(100)
        assert curves.bd_rate(reference=jpeg, test=avif) is None


def test_a_mean_curve_has_the_qualities_that_all_pictures_have() -> None:
    rows = [*rows_of("a", "jpeg", POINTS), *rows_of("b", "jpeg", POINTS[:3])]
    found = curves.collect(rows)
    np.testing.assert_allclose(found.curves[Series("jpeg")], POINTS[:3])
    assert len(found.by_image["a"][Series("jpeg")]) == 5
    assert curves.bd_rate(reference=(), test=((1, 30),)) is None


def test_efforts_have_curves_of_their_own() -> None:
    rows = [
        row("a", "grid", 50, effort, settings={"quality": 50, "effort": effort})
        for effort in (1, 4)
    ]
    found = curves.collect(rows)
    # The most effort comes first.
    assert list(found.by_image["a"]) == [Series("grid", 4), Series("grid", 1)]
    assert found.by_image["a"][Series("grid", 4)] == [(4, 30)]


def test_points_that_others_beat_are_left_out() -> None:
    points = [(3.0, 33.0), (1.0, 30.0), (2.0, 30.0), (1.0, 29.0), (4.0, 32.0)]
    assert curves.front(points) == ((1, 30), (3, 33))


def test_published_curves() -> None:
    assert {one.name for one in published.PUBLISHED} > {"COIN", "C3", "RECOMBINER"}
    for one in published.PUBLISHED:
        assert curves.front(one.points) == one.points
        assert len(one.points) >= 3
        assert one.source
    kodak = [f"kodim{number:02}" for number in range(1, 25)]
    assert published.applies(kodak)
    assert not published.applies(kodak[1:])
    assert not published.applies([*kodak, "astronaut"])


# The command


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--codecs", "jpeg,bpg"], "expected some of grid, coordinate, jpeg, webp, avif"),
        (["--codecs", ","], "expected some of grid"),
        (["-q", "0,50"], "expected integers of 1 to 100, found '0,50'"),
        (["--effort", "1,x"], "expected integers of 1 to 9"),
        (["--crop", "0"], "0 is not in the range"),
        (["--zoom", "17"], "expected integers of 1 to 16"),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert _main(monkeypatch, *arguments) == 2
    said = capfd.readouterr().err
    assert expected in said
    assert said.count("\n") == 1


def test_lists_have_each_value_once() -> None:
    assert Numbers(range(1, 10)).convert("4, 1,4", None, None) == (4, 1)
    assert Choices(["a", "b"]).convert("b a b", None, None) == ("b", "a")
    with pytest.raises(click.BadParameter, match="expected some of a, b"):
        Choices(["a", "b"]).convert("c", None, None)


def test_without_the_extra_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "siren_codec.extras.find_spec", lambda name: None if name == "skimage" else name
    )
    assert _main(monkeypatch) == 1
    assert capfd.readouterr().err == (
        "siren-bench: comparing needs skimage: pip install 'siren-codec[bench]'\n"
    )


def test_a_peer_that_is_missing_is_said_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(photo().pixels).save(source)
    monkeypatch.setattr(codecs, "find_spec", lambda name: None)
    _offer(monkeypatch, TWO_JPEGS, by_name("jxl"))
    arguments = [str(source), "--out", str(tmp_path), "--codecs", "jxl,jpeg", "--no-report"]
    assert _main(monkeypatch, *arguments) == 0
    said = capfd.readouterr()
    assert "siren-bench: jxl is left out: imagecodecs is not installed\n" in said.err
    heading, peer_names, jpeg = said.out.splitlines()
    assert heading.startswith("bits at equal PSNR")
    assert peer_names.split() == ["against", "jpeg", "encode,", "s", "decode,", "s"]
    assert jpeg.split()[:2] == ["jpeg", "-"]
    assert {row["codec"] for row in lines(tmp_path)} == {"jpeg"}
    assert not (tmp_path / "report.html").exists()


def test_nothing_of_it_imports_the_commands() -> None:
    code = """
import pkgutil, sys
from importlib import import_module
from siren_codec import bench
for module in pkgutil.iter_modules(bench.__path__):
    import_module(f"siren_codec.bench.{module.name}")
print([name for name in sys.modules if name.startswith("siren_codec.cli")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_package_does_not_import_it() -> None:
    code = (
        "import sys, siren_codec, siren_codec.cli, siren_codec.encoding, siren_codec.decoding; "
        "print([name for name in sys.modules if name.startswith('siren_codec.bench')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
