"""siren-bench: the command."""

import math
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from benches import GRID, TWO_JPEGS, lines, photo
from conftest import Command
from PIL import Image

import siren_codec
from siren_codec.bench import codecs, pictures
from siren_codec.bench.codecs import Codec, by_name
from siren_codec.bench.pictures import Pixels
from siren_codec.bench.results import Results, Row
from siren_codec.cli import bench as command
from siren_codec.cli.bench import Choices, Numbers


def test_a_real_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Command) -> None:
    """Fresh processes of our codec, and a library."""
    source, out = tmp_path / "photo.png", tmp_path / "out"
    Image.fromarray(photo().pixels).save(source)
    _offer(monkeypatch, GRID, TWO_JPEGS)
    options = "--codecs jpeg,grid -q 30 --steps 2 --device cpu --crop 32 --quiet"
    ran = run("bench", source, "--out", out, *options.split())
    assert ran.code == 0
    assert [line.split("  ")[0] for line in ran.out.splitlines()[2:]] == ["grid e4 s2", "jpeg"]
    rows = lines(out)
    assert [row["codec"] for row in rows] == ["jpeg", "jpeg", "grid"]
    original = pictures.middle(photo(), 32)
    for row in rows:
        assert row["bytes"] == (out / row["file"]).stat().st_size
        assert row["bpp"] == pytest.approx(8 * row["bytes"] / (32 * 32), abs=1e-5)
        assert (row["image"], row["width"], row["height"]) == ("photo", 32, 32)
        assert row["sha256"] == original.sha256
        assert row["ms_ssim"] is None
    assert (rows[0]["timing"], rows[0]["sections"]) == ("in process", None)
    assert rows[0]["command"].startswith("siren-bench ")
    assert (out / "report.html").exists()
    _check_ours(rows[-1], out, original.pixels)


def _check_ours(ours: Row, out: Path, original: Pixels) -> None:
    """Hold a row of our codec against its file."""
    assert ours["settings"] == {"quality": 30, "effort": 4, "steps": 2}
    assert ours["file"] == "files/photo/grid-e4-q30-s2.siren"
    decoded = siren_codec.decode((out / ours["file"]).read_bytes())
    mse = np.mean(np.square(decoded.astype(np.float64) - original))
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


def test_after_a_kill_only_what_was_lost_is_measured_again(
    stub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Command
) -> None:
    source, results = tmp_path / "photo.png", stub / "results.jsonl"
    Image.fromarray(photo(19, 14).pixels).save(source)
    _offer(monkeypatch, GRID, TWO_JPEGS)
    options = "--codecs jpeg,grid -q 30 --device cpu --quiet --no-report"
    assert run("bench", source, "--out", stub, *options.split()).code == 0
    first, second, third = results.read_bytes().splitlines(keepends=True)
    results.write_bytes(first + third + second[:-9])
    assert run("bench", source, "--out", stub, *options.split()).code == 0
    assert results.read_bytes().startswith(first + third)
    assert [row["settings"]["quality"] for row in Results(results).rows] == [10, 30, 90]


def _offer(monkeypatch: pytest.MonkeyPatch, *offered: Codec) -> None:
    monkeypatch.setattr(command, "by_name", lambda name: by_name(name, offered))


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
    run: Command,
) -> None:
    ran = run("bench", *arguments)
    assert ran.code == 2
    assert expected in ran.err
    assert ran.err.count("\n") == 1


def test_lists_have_each_value_once() -> None:
    assert Numbers(range(1, 10)).convert("4, 1,4", None, None) == (4, 1)
    assert Choices(["a", "b"]).convert("b a b", None, None) == ("b", "a")
    with pytest.raises(click.BadParameter, match="expected some of a, b"):
        Choices(["a", "b"]).convert("c", None, None)


def test_without_the_extra_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, run: Command
) -> None:
    monkeypatch.setattr(
        "siren_codec.extras.find_spec", lambda name: None if name == "skimage" else name
    )
    said = "siren-bench: comparing needs skimage: pip install 'siren-codec[bench]'\n"
    assert run("bench") == (1, "", said)


def test_a_peer_that_is_missing_is_said_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Command
) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(photo().pixels).save(source)
    monkeypatch.setattr(codecs, "find_spec", lambda name: None)
    _offer(monkeypatch, TWO_JPEGS, by_name("jxl"))
    ran = run("bench", source, "--out", tmp_path, "--codecs", "jxl,jpeg", "--no-report")
    assert ran.code == 0
    assert "siren-bench: jxl is left out: imagecodecs is not installed\n" in ran.err
    heading, peer_names, jpeg = ran.out.splitlines()
    assert heading.startswith("bits at equal PSNR")
    assert peer_names.split() == ["against", "jpeg", "encode,", "s", "decode,", "s"]
    assert jpeg.split()[:2] == ["jpeg", "-"]
    assert {row["codec"] for row in lines(tmp_path)} == {"jpeg"}
    assert not (tmp_path / "report.html").exists()


def test_where_nothing_is_measured_it_says_why(
    stub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Command
) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(photo(19, 14).pixels).save(source)
    why = "photo grid quality 13 effort {}: siren-encode: bad luck\n"
    failed = run(
        *("bench", source, "--out", stub, "--codecs", "grid", "-q", "13", "-e", "1,4", "--quiet")
    )
    last = f"siren-bench: nothing was measured: {why.format(1)}"
    assert failed == (1, "", why.format(1) + why.format(4) + last)
    zoomed = run("bench", source, "--out", stub, "--codecs", "jpeg", "--zoom", "2", "--quiet")
    assert (zoomed.code, zoomed.out) == (1, "")
    assert "codecs other than ours are measured at --zoom 1 only" in zoomed.err
    monkeypatch.setattr(codecs, "find_spec", lambda name: None)
    absent = run("bench", source, "--out", stub, "--codecs", "jxl,jpegli", "--quiet")
    assert (absent.code, absent.out) == (1, "")
    assert absent.err.endswith("nothing was measured: jxl, jpegli cannot be used here\n")


def test_every_failure_is_told_though_quiet(stub: Path, tmp_path: Path, run: Command) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(photo(19, 14).pixels).save(source)
    options = "--codecs grid -q 13,50 -e 1,4 --no-report"
    for quiet in ([], ["--quiet"]):
        ran = run("bench", source, "--out", stub, *options.split(), *quiet)
        assert ran.code == 1
        assert ran.err.count(": siren-encode: bad luck\n") == 3
        assert ran.err.endswith(
            "siren-bench: 2 failed; the first: photo grid quality 13 effort 1: "
            "siren-encode: bad luck\n"
        )
        assert len(ran.out.splitlines()) == 4


def test_a_zoom_of_the_coordinate_model_has_a_width(
    stub: Path, tmp_path: Path, run: Command
) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(photo(39, 29).pixels).save(source)
    options = "--codecs grid -q 28 --zoom 2 --device cpu --no-report --quiet"
    told = run("bench", source, "--out", stub, *options.split()).out.splitlines()
    assert told[-1].startswith("siren_codec (effort 4), quality 28, 2 times larger: decoded ")
    (row,) = lines(stub)
    Results(stub / "results.jsonl").add({**row, "codec": "coordinate"})
    told = run("bench", source, "--out", stub, *options.split()).out.splitlines()
    assert told[-1].startswith("siren_codec without grids (effort 4), width 28, 2 times larger: ")


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
