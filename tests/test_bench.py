"""siren-bench: adapters, rows, resuming, BD-rates, the command."""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import bjontegaard
import click
import numpy as np
import pytest
from PIL import Image

import siren_codec
from siren_codec import cli, metrics
from siren_codec.bench import bd, commands, measure, peers, pictures, published, run
from siren_codec.bench.cli import Choices, Numbers
from siren_codec.bench.measure import OurJob
from siren_codec.bench.peers import PEERS, Jpeg2000, Peer, PillowPeer
from siren_codec.bench.pictures import Original
from siren_codec.bench.results import Results, Row, latest
from siren_codec.bench.run import Plan
from siren_codec.errors import SirenError

GOLDEN = Path(__file__).parent / "golden" / "rgb_8_prior_1.siren"
JPEG = PEERS[0]
assert isinstance(JPEG, PillowPeer)
TWO_JPEGS = replace(JPEG, qualities=(10, 90))
PRESENT = [peer for peer in PEERS if not peer.missing]

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
    Image.new("RGB", (19, 14), (90, 90, 90)).save(target, "PNG")
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


def plan(*originals: Original, codecs: Sequence[str] = ("grid",), **more: Any) -> Plan:
    return Plan(originals=originals, codecs=codecs, peers=[TWO_JPEGS], **more)


def lines(out: Path) -> list[Row]:
    text = (out / "results.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


# Adapters


@pytest.mark.parametrize("peer", PRESENT, ids=lambda peer: peer.name)
def test_a_peer_makes_files_of_rising_rate_and_quality(peer: Peer) -> None:
    original = photo().pixels
    sizes, psnrs = [], []
    for quality in (peer.qualities[0], peer.qualities[-1]):
        data = peer.encode(original, quality)
        decoded = peer.decode(data)
        assert decoded.shape == original.shape
        assert decoded.dtype == np.uint8
        sizes.append(len(data))
        psnrs.append(metrics.psnr(reference=original, decoded=decoded))
    assert sizes[0] < sizes[1]
    assert psnrs[0] + 3 < psnrs[1]
    assert psnrs[1] > 28
    assert list(peer.qualities) == sorted(peer.qualities)
    assert any(digit in peer.version for digit in "0123456789")


def test_peers_have_names_of_their_own() -> None:
    names = [peer.name for peer in PEERS]
    assert names == ["jpeg", "webp", "avif", "jpeg2000", "jxl"]


def test_jpeg_2000_is_better_with_its_colour_transform() -> None:
    (peer,) = (peer for peer in PEERS if isinstance(peer, Jpeg2000))
    assert peer.options["mct"] == 1
    without = replace(peer, options={**peer.options, "mct": 0})
    original = photo(128, 128).pixels
    curves = []
    for codec in (without, peer):
        files = [codec.encode(original, quality) for quality in (28, 34, 40)]
        psnrs = [metrics.psnr(reference=original, decoded=codec.decode(file)) for file in files]
        curves.append(list(zip(map(len, files), psnrs, strict=True)))
    assert metrics.bd_rate(reference=curves[0], test=curves[1]) < -20


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
    assert measure.fidelity(pixels, pixels) == {"psnr": 99.0, "ssim": 1.0, "ms_ssim": 1.0}
    narrow = measure.fidelity(pixels[:, :175], noisy[:, :175])
    assert narrow["ms_ssim"] is None
    assert 0.5 < narrow["ssim"] < 1
    assert measure.fidelity(pixels[:10], noisy[:10])["ssim"] is None


def test_a_real_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command, with fresh processes of the codec; then once more, and after a kill."""
    source = tmp_path / "photo.png"
    Image.fromarray(photo().pixels).save(source)
    monkeypatch.setattr(peers, "PEERS", (TWO_JPEGS,))
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
    assert ours["decode_s"] > 0
    assert ours["encode_s"] > 0
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


def _main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["siren-bench", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.bench_main()
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_what_is_there_is_not_measured_again(stub: Path) -> None:
    small, other = Original("a", photo(19, 14).pixels), Original("b", photo(19, 14).pixels)
    wanted = plan(small, codecs=("jpeg", "grid"), qualities=(24,), efforts=(1, 4))
    assert run.measure(wanted, stub, count=2, shown=False) == []
    rows = lines(stub)
    assert [row["codec"] for row in rows] == ["jpeg", "jpeg", "grid", "grid"]
    assert sorted(row["settings"]["effort"] for row in rows[2:]) == [1, 4]
    assert rows[-1]["bytes"] == GOLDEN.stat().st_size
    run.measure(wanted, stub, shown=False)
    assert lines(stub) == rows
    # Another picture, and a file that is gone.
    (stub / rows[3]["file"]).unlink()
    run.measure(replace(wanted, originals=[small, other]), stub, shown=False)
    assert len(lines(stub)) == 4 + 1 + 4
    run.measure(wanted, stub, resume=False, shown=False)
    assert len(lines(stub)) == 9 + 4
    found = run.rows_of([small], stub)
    assert len(found) == 4
    assert {row["image"] for row in found} == {"a"}
    # What has been overwritten by a picture of the same name is in no report.
    (stub / found[0]["file"]).write_bytes(b"another")
    assert run.rows_of([small], stub) == found[1:]


def test_another_version_is_measured_again(stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Original("a", photo(19, 14).pixels)
    run.measure(plan(small, qualities=(24, 36)), stub, shown=False)
    monkeypatch.setattr(measure, "our_version", lambda: "2.0")
    monkeypatch.setattr(run, "our_version", lambda: "2.0")
    run.measure(plan(small, qualities=(24,)), stub, shown=False)
    assert len(lines(stub)) == 3
    # No curve has points of two versions.
    (row,) = run.rows_of([small], stub)
    assert (row["version"], row["settings"]["quality"]) == ("2.0", 24)


def test_a_failure_is_no_end(
    stub: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = Original("a", photo(19, 14).pixels), Original("b", photo(20, 14).pixels)
    failures = run.measure(plan(small, large, qualities=(13, 50)), stub)
    assert sorted(failures) == [
        "a grid quality 13 effort 4: siren-encode: bad luck",
        "b grid quality 13 effort 4: siren-encode: bad luck",
        "b grid quality 50 effort 4: expected pixels (14, 20, 3), found (14, 19, 3)",
    ]
    assert [row["image"] for row in lines(stub)] == ["a"]
    assert "bad luck" in capfd.readouterr().err
    (wanted,) = run.jobs(plan(small, qualities=(50,)))
    monkeypatch.setattr(measure, "our_version", lambda: "2.0")
    with pytest.raises(SirenError, match="changed under the run"):
        wanted.run(stub)


def test_a_library_that_fails_is_one_line(stub: Path) -> None:
    wide = Original("a", np.zeros((1, 16384, 3), np.uint8))
    webp = next(peer for peer in PEERS if peer.name == "webp")
    failures = run.measure(replace(plan(wide, codecs=("webp",)), peers=[webp]), stub, shown=False)
    assert len(failures) == len(webp.qualities)
    assert failures[0].startswith("a webp quality 1: ")


def test_what_siren_encode_is_asked_for() -> None:
    wanted = plan(photo(), codecs=("grid", "coordinate"), qualities=(36,), widths=(28,), steps=5)
    grid, coordinate = run.jobs(wanted)
    assert isinstance(grid, OurJob)
    assert isinstance(coordinate, OurJob)
    same = ["-e", "4", "--device", "cpu"]
    assert grid.options == ["--model", "grid", *same, "-q", "36", "--steps", "5"]
    network = ["--hidden-layers", "10", "--hidden-features", "28"]
    assert coordinate.options == ["--model", "coordinate", *same, *network, "--steps", "5"]
    assert coordinate.file == "files/photo/coordinate-e4-q28-s5.siren"


def row(image: str, codec: str, quality: float, bpp: float = 1, **more: Any) -> Row:
    found = {"image": image, "sha256": "0", "codec": codec, "settings": {"quality": quality}}
    return {**found, "version": "1", "bpp": bpp, "psnr": 30, **more}


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


def test_deltas_of_every_pair_by_picture_and_of_the_means() -> None:
    rows = [
        found
        for image, factor in (("a", 1), ("b", 3))
        for found in (
            *rows_of(image, "jpeg", [(factor * rate, psnr) for rate, psnr in POINTS]),
            *rows_of(image, "webp", [(factor * rate / 2, psnr) for rate, psnr in POINTS]),
            *rows_of(image, "avif", [(0.5, 50), (0.6, 51)]),
        )
    ]
    found = {(one.image, one.reference, one.test): one for one in bd.deltas(rows)}
    assert len(found) == 3 * 6
    for image in (None, "a", "b"):
        against_jpeg = found[image, "jpeg", "webp"]
        assert against_jpeg.percent == pytest.approx(-50)
        assert (against_jpeg.low, against_jpeg.high) == (26.67, 34.52)
        assert found[image, "webp", "jpeg"].percent == pytest.approx(100)
        assert found[image, "jpeg", "avif"].percent is None
        assert found[image, "jpeg", "avif"].low is None
    curves = bd.curves(rows)
    assert curves[None]["jpeg"][0] == pytest.approx((2 * 0.268, 26.67))
    first = bd.deltas(rows)[0]
    assert (first.image, first.reference) == (None, "jpeg")


def test_a_mean_curve_has_the_qualities_that_all_pictures_have() -> None:
    rows = [*rows_of("a", "jpeg", POINTS), *rows_of("b", "jpeg", POINTS[:3])]
    np.testing.assert_allclose(bd.curves(rows)[None]["jpeg"], POINTS[:3])
    assert len(bd.curves(rows)["a"]["jpeg"]) == 5
    assert bd.delta(reference=(), test=((1, 30),)) == (None, None, None)


def test_efforts_have_curves_of_their_own() -> None:
    rows = [
        row("a", "grid", 50, effort, settings={"quality": 50, "effort": effort})
        for effort in (1, 4)
    ]
    assert bd.curves(rows)["a"] == {"grid e1": ((1, 30),), "grid e4": ((4, 30),)}


def test_points_that_others_beat_are_left_out() -> None:
    points = [(3.0, 33.0), (1.0, 30.0), (2.0, 30.0), (1.0, 29.0), (4.0, 32.0)]
    assert bd.front(points) == ((1, 30), (3, 33))


def test_published_curves() -> None:
    assert {one.name for one in published.PUBLISHED} > {"COIN", "C3", "RECOMBINER"}
    for one in published.PUBLISHED:
        assert bd.front(one.points) == one.points
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
        (["--codecs", "jpeg,bpg"], "expected some of grid, jpeg, webp, avif"),
        (["--codecs", ","], "expected some of grid"),
        (["-q", "0,50"], "expected integers of 1 to 100, found '0,50'"),
        (["--effort", "1,x"], "expected integers of 1 to 9"),
        (["--crop", "0"], "0 is not in the range"),
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
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    monkeypatch.setattr(peers, "PEERS", (TWO_JPEGS, peers.JpegXl()))
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


def test_the_package_does_not_import_it() -> None:
    code = (
        "import sys, siren_codec, siren_codec.cli, siren_codec.encoding, siren_codec.decoding; "
        "print([name for name in sys.modules if name.startswith('siren_codec.bench')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
