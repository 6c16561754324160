"""The benchmarks of rate, zoom and effort: their own logic, with a stub in place of the codec."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import anchors, commands, efforts, rate_distortion, zoom
from benchmarks.commands import Numbers, Original, Row, Settings
from siren_codec.bench import commands as processes
from siren_codec.bench import published

SETTINGS = Settings(quality=50, effort=4, model="grid", fit_on="cpu")
STUB = """
import json, sys
from PIL import Image
source, target, *options = sys.argv[2:]
image = Image.open(source)
if sys.argv[1] == "encode":
    quality = float(options[options.index("-q") + 1])
    if quality == 13:
        sys.exit("siren-encode: bad luck")
    if quality < 99:
        image = image.quantize(int(quality)).convert("RGB")
    image.save(target, "PNG")
    size = len(open(target, "rb").read())
    print("something else")
    print(json.dumps({"bytes": size, "psnr": None, "seconds": 1}))
else:
    scale = int(options[options.index("--scale") + 1]) if "--scale" in options else 1
    image.resize((scale * image.width, scale * image.height), 0).save(target, "PNG")
"""


def make_picture(path: Path, seed: int = 0, width: int = 33) -> Path:
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, width * 24 * 3).reshape(24, width, 3)
    Image.fromarray((ramp + rng.uniform(0, 55, ramp.shape)).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two pictures, and a stub that stores PNGs of so many colours as the quality says."""
    stub = tmp_path / "stub.py"
    stub.write_text(STUB, encoding="utf-8")
    monkeypatch.setattr(processes, "ENCODE", (sys.executable, str(stub), "encode"))
    monkeypatch.setattr(processes, "DECODE", (sys.executable, str(stub), "decode"))
    monkeypatch.setattr(anchors, "CODECS", {"JPEG": anchors.CODECS["JPEG"]})
    return [make_picture(tmp_path / f"{seed}.png", seed) for seed in (1, 2)]


def row(image: str, quality: float, bpp: float, psnr: float, **more: Any) -> Row:
    return {
        "image": image,
        "quality": quality,
        "bytes": 100,
        "bpp": bpp,
        "psnr": psnr,
        "ssim": 0.9,
        "encode_s": 10 * quality,
        "decode_s": 1,
        **more,
    }


def jpeg(image: str, factor: float = 1) -> list[Row]:
    """JPEG of 1 bpp at 30 dB, twice as much for every 3 dB."""
    points = [(q, factor * 2 ** (q / 10 - 5), 30 + 3 * (q / 10 - 5)) for q in range(10, 91, 10)]
    return [row(image, *point, codec="JPEG") for point in points]


def about(rows: list[Row]) -> list[Row]:
    names = ("command", "date", "commit", "device", "torch")
    return [{**found, **dict.fromkeys(names, "x")} for found in rows]


def test_a_mean_curve_has_the_qualities_that_all_pictures_have() -> None:
    rows = [row("b", 50, 3, 34), row("a", 50, 1, 30), row("a", 24, 0.5, 28)]
    assert [mean.quality for mean in rate_distortion.mean_curve(rows, ["a"])] == [24, 50]
    (mean,) = rate_distortion.mean_curve(rows, ["a", "b"])
    assert mean == rate_distortion.Mean(50, bpp=2, psnr=32, ssim=0.9, encode_s=500, decode_s=1)
    rows[0]["ssim"] = None
    assert rate_distortion.mean_curve(rows, ["a", "b"])[0].ssim is None


def test_rates_against_a_curve() -> None:
    curve = [(1.0, 30.0), (2.0, 33.0)]
    assert rate_distortion.against(curve, bpp=0.5, psnr=30) == pytest.approx(-50)
    assert rate_distortion.against(curve, bpp=2, psnr=31.5) == pytest.approx(100 * (2**0.5 - 1))
    assert rate_distortion.against(curve, bpp=0.5, psnr=29.9) is None
    assert rate_distortion.against([], bpp=0.5, psnr=30) is None


def test_a_report_judges_every_picture_and_the_means() -> None:
    others = jpeg("a") + jpeg("b", 2)
    webp = [{**found, "codec": "WEBP", "bpp": 0.6 * found["bpp"]} for found in others]
    ours = [row("a", 50, 0.5, 30), row("b", 50, 1.3, 30), row("a", 60, 0.65, 30)]
    found = rate_distortion.report("x", ["a", "b"], about(ours), others + webp)
    assert found.curves["siren_codec"] == [(0.9, 30)]
    assert found.curves["JPEG"][4] == (1.5, 30)
    assert "COIN" not in found.curves
    page = rate_distortion.markdown(found)
    assert "| 50 | 0.900 | 30.00 | 0.9000 | -40.0% | +0.0% | - | 500.0 | 1.00 |" in page
    assert "| siren_codec | - | 0.900/30.00 |" in page
    assert "| WebP | -40.0% |" in page
    assert "| a | 50 | 100 | 0.500 | 30.00 | 0.9000 | -50.0% | yes | -16.7% | yes |" in page
    assert "| a | 60 | 100 | 0.650 | 30.00 | 0.9000 | -35.0% | yes | +8.3% | no |" in page
    assert "| b | 50 | 100 | 1.300 | 30.00 | 0.9000 | -35.0% | yes | +8.3% | no |" in page
    assert "Of 3 files, 3 take less than two thirds of JPEG's bits, and 1 less than WebP's" in page


def test_published_curves_stand_beside_all_of_kodak_alone() -> None:
    names = sorted(f"{name}.png" for name in published.KODAK)
    others = [found for name in names for found in jpeg(name)]
    assert "COIN" in rate_distortion.report("x", names, [], others).curves
    assert "COIN" not in rate_distortion.report("x", names[1:], [], others).curves


def test_bd_rates_leave_the_extreme_qualities_of_jpeg_out() -> None:
    others = [*jpeg("a"), row("a", 95, 999, 99, codec="JPEG")]
    curves = rate_distortion.report("x", ["a"], [], others).curves
    assert curves["JPEG"][-1] == (999, 99)
    assert curves["JPEG, qualities 10 to 90"] == curves["JPEG"][:-1]


def test_qualities_near_the_default_come_first() -> None:
    assert rate_distortion.order([24, 36, 50, 60, 64]) == [50, 60, 36, 64, 24]


@pytest.mark.parametrize("text", ["24,36.5,50,24", "24 36.5 50", "24, 36.5, 50"])
def test_numbers(text: str) -> None:
    assert Numbers(1, 100).convert(text, None, None) == (24, 36.5, 50)


@pytest.mark.parametrize("text", ["", "0", "101", "1,x", "nan"])
def test_numbers_refuse(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"expected 1\.\.100"):
        Numbers(1, 100).convert(text, None, None)


def test_originals_are_of_8_bits_and_have_names_of_their_own(tmp_path: Path) -> None:
    path = make_picture(tmp_path / "a.png")
    (found,) = commands.originals([path])
    assert (found.name, found.pixels.shape, len(found.sha256)) == ("a.png", (24, 33, 3), 12)
    with pytest.raises(click.ClickException, match="different names"):
        commands.originals([path, path])
    Image.fromarray(np.zeros((1, 20), np.uint8)).save(tmp_path / "grey.png")
    assert commands.originals([tmp_path / "grey.png"])[0].pixels.shape == (1, 20)
    Image.fromarray(np.zeros((20, 20), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(click.ClickException, match="8 bits"):
        commands.originals([tmp_path / "deep.png"])


def test_a_row_is_of_the_file_and_of_the_decoded_pixels(
    pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (original,) = commands.originals(pictures[:1])
    found = commands.measure(original, SETTINGS, tmp_path)
    file = tmp_path / "1-q50-e4-grid.siren"
    assert found["bytes"] == file.stat().st_size
    assert found["bpp"] == pytest.approx(8 * found["bytes"] / (24 * 33), abs=1e-5)
    decoded = np.asarray(Image.open(file), np.float64)
    mse = np.mean((decoded - original.pixels) ** 2)
    assert found["psnr"] == pytest.approx(10 * math.log10(255**2 / mse), abs=1e-4)
    assert "reported" in capsys.readouterr().err  # the stub always claims to be lossless
    lossless = Settings(**{**vars(SETTINGS), "quality": 99})
    assert commands.measure(original, lossless)["psnr"] == commands.MOST_PSNR
    assert capsys.readouterr().err == ""


def test_what_is_measured_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def measure(original: Original, settings: Settings, keep: Path | None) -> Row:
        if original.name == "bad":
            raise click.ClickException("no luck")
        made.append(original.name)
        return {"image": original.name, "sha256": original.sha256, **vars(settings)}

    monkeypatch.setattr(commands, "measure", measure)
    out = tmp_path / "new" / "rows.json"

    def run(*names: str, key: str = "k", settings: Settings = SETTINGS) -> list[str]:
        images = [Original(Path(name), np.zeros((1, 1), np.uint8), "0") for name in names]
        jobs = [(image, settings) for image in images]
        return commands.measure_all(jobs, out=out, key=key, about={"commit": "c"})

    assert run("a", "bad", "b") == ["bad, quality 50: no luck"]
    assert made == ["a", "b"]
    assert run("a", "b", "c") == []
    assert made == ["a", "b", "c"]
    run("a", key="another")
    run("a", settings=Settings(**{**vars(SETTINGS), "effort": 5}))
    assert made == ["a", "b", "c", "a", "a"]
    rows = commands.read_rows(out)
    assert [found["image"] for found in rows] == made
    assert {(found["key"], found["commit"]) for found in rows} == {("k", "c"), ("another", "c")}
    # A run that is held to the code ends when the code changes.
    keys = iter(["k1", "k1", "k2"])
    monkeypatch.setattr(commands, "code_key", lambda: next(keys))
    with pytest.raises(click.ClickException, match="changed under the run"):
        run("d", "e", key="k1")
    assert made[-1] == "d"


def test_a_rate_distortion_run(pictures: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out" / "x.json"
    arguments = [*map(str, pictures), "--qualities", "9,50", "--out", str(out), "--device", "cpu"]
    arguments += ["--anchors", str(tmp_path / "anchors.json"), "--name", "tiny", "--resume", "k"]
    result = CliRunner().invoke(rate_distortion.main, arguments)
    assert result.exit_code == 0, result.output
    page = out.with_suffix(".md").read_text(encoding="utf-8")
    assert page in result.output
    assert "# Rate and distortion: tiny" in page
    rows = json.loads(out.read_text(encoding="utf-8"))["results"]
    order = [(found["quality"], found["image"]) for found in rows]
    assert order == [(50, "1.png"), (50, "2.png"), (9, "1.png"), (9, "2.png")]
    cached = (tmp_path / "anchors.json").read_text(encoding="utf-8")
    assert len(json.loads(cached)["results"]) == 2 * 11
    with Image.open(out.with_suffix(".png")) as plot:
        assert plot.width == 990
    again = CliRunner().invoke(rate_distortion.main, [*arguments[:-2], "--summary"])
    assert page in again.output
    assert (tmp_path / "anchors.json").read_text(encoding="utf-8") == cached
    failed = CliRunner().invoke(rate_distortion.main, [*arguments, "--qualities", "13"])
    assert failed.exit_code == 1
    assert "2 failed; the first: 1.png, quality 13: siren-encode: bad luck" in failed.output


def test_an_efforts_run(pictures: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "efforts.json"
    arguments = [*map(str, pictures), "--efforts", "2,1", "--out", str(out), "--device", "cpu"]
    result = CliRunner().invoke(efforts.main, [*arguments, "--resume", "k"])
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text(encoding="utf-8"))["results"]
    assert [found["effort"] for found in rows] == [1, 1, 2, 2]
    expected = 1000 * (10 ** (-rows[0]["psnr"] / 10) + 1e-3 * rows[0]["bpp"])
    assert rows[0]["j"] == pytest.approx(expected, abs=1e-5)
    page = out.with_suffix(".md").read_text(encoding="utf-8")
    assert page.count("\n| 50 |") == 2


def test_the_cost_of_a_file() -> None:
    assert efforts.quality_lambda(50) == pytest.approx(1e-3)
    assert efforts.quality_lambda(58) == pytest.approx(5e-4)
    assert efforts.cost(psnr=30, bpp=0.5, quality=50) == pytest.approx(1.5)


def test_a_zoom_run(pictures: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "zoom.json"
    arguments = [*map(str, pictures), "--out", str(out), "--device", "cpu", "--quality", "99"]
    arguments += ["--scales", "2,3"]
    result = CliRunner().invoke(zoom.main, arguments)
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text(encoding="utf-8"))["results"]
    found = [(row["image"], row["scale"]) for row in rows]
    assert found == [("1.png", 2), ("2.png", 2), ("1.png", 3), ("2.png", 3)]
    assert rows[0]["psnr_small"] == commands.MOST_PSNR
    # The stub enlarges by repeating pixels.
    for row in (rows[0], rows[2]):
        scale = row["scale"]
        pixels = zoom.whole(commands.originals(pictures[:1])[0].pixels, scale)
        small = zoom.shrink(pixels, scale)
        nearest = small.repeat(scale, axis=0).repeat(scale, axis=1).astype(np.float64)
        expected = 10 * math.log10(255**2 / np.mean((nearest - pixels) ** 2))
        assert row["psnr_ours"] == pytest.approx(expected, abs=1e-4)
    assert out.with_suffix(".png").exists()
    page = out.with_suffix(".md").read_text(encoding="utf-8")
    assert page.count("| mean |") == 2
    assert "## 3 times the size" in page


def test_what_is_shrunk_is_rounded_means() -> None:
    pixels = np.array([[0, 1, 255, 255], [1, 0, 255, 255], [0, 0, 9, 9]], np.uint8)
    np.testing.assert_array_equal(zoom.shrink(zoom.whole(pixels, 2), 2), [[1, 255]])


def test_the_tile_that_differs_most() -> None:
    a = np.zeros((20, 31, 3), np.uint8)
    b = a.copy()
    b[12, 25], b[0, 0] = 200, 100
    assert zoom.most_different(a, b, 10) == (slice(10, 20), slice(20, 30))
    assert zoom.most_different(a, b, 50) == (slice(0, 50), slice(0, 50))
