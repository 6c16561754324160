"""Dry runs: what would be done, in about what time; nothing is written."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Command, make_field
from PIL import Image

from siren_codec import stream
from siren_codec.cli import forecast
from siren_codec.many.recipes import Encode
from siren_codec.options import Options
from siren_codec.picture import Picture


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siren_codec.field.threads.available_cores", lambda: 2)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.new("RGBA", (40, 30)).save(path)
    return path


def _all(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize(
    ("options", "least", "most"),
    [
        # docs/RESULTS.md has 19, 3.2 and 4.8 s.
        (Options(), 16, 24),
        (Options(effort=1), 2.5, 4),
        (Options(effort=2), 4, 6.5),
        (Options(target_size=9000), 24, 36),
    ],
)
def test_the_time_of_a_kodak_picture(options: Options, least: float, most: float) -> None:
    picture = Picture(np.zeros((512, 768, 3), np.uint8))
    assert least < forecast.of_picture(Encode(options), picture)["seconds"] < most


@pytest.mark.usefixtures("two_cores")
def test_steps_are_counted_where_they_are_given() -> None:
    picture = Picture(np.zeros((512, 768, 3), np.uint8))
    some, more = (
        forecast.of_picture(Encode(Options(steps=steps)), picture) for steps in (100, 1000)
    )
    assert some["steps"] == 100
    assert "effort" not in some
    assert more["seconds"] > 2 * some["seconds"]


@pytest.mark.parametrize("options", [Options(model="coordinate"), Options(device="cuda")])
def test_what_nobody_has_measured_is_not_foretold(options: Options) -> None:
    facts = forecast.of_picture(Encode(options), Picture(np.zeros((9, 9, 3), np.uint8)))
    assert facts["seconds"] is None
    assert forecast.line(facts).endswith("time not known")


def test_a_picture(run: Command, png: Path) -> None:
    before, out = _all(png.parent), png.with_suffix(".siren")
    result = run("encode", "-n", png, out, "-e", "1")
    assert (result.code, result.err) == (0, "")
    line = f"would make {out}: 40x30 RGBA of 8 bits, grid model, quality 50, effort 1, about 0:0"
    assert result.out.startswith(line)
    assert _all(png.parent) == before
    found = run("encode", "-n", "--json", png, out, "--max-error", "3").lines[0]
    assert found["dry_run"]
    assert not found["overwrites"]
    assert (found["width"], found["max_error"]) == (40, 3)
    out.write_bytes(b"old")
    assert "--force overwrites it" in run("encode", "-n", png, out).err
    assert "(would be overwritten)" in run("encode", "-n", "-f", png, out).out
    assert out.read_bytes() == b"old"
    png.write_bytes(b"no picture")
    assert run("encode", "-n", "-f", png, out).code == 1


def test_a_siren_file(run: Command, tmp_path: Path) -> None:
    source = tmp_path / "a.siren"
    source.write_bytes(stream.write(make_field()))
    result = run("decode", "-n", source, "--scale", "2", "--format", "tiff")
    line = f"would make {tmp_path / 'a.tiff'}: 32x24 RGB of 8 bits, TIFF, about 0:01\n"
    assert result == (0, line, "")
    found = run("decode", "-n", source, "--json").lines[0]
    assert (found["output"], found["format"]) == (str(tmp_path / "a.png"), "PNG")
    assert _all(tmp_path) == {source}
    assert run("decode", "-n", source, "--crop", "0,0,99,99").code == 2


@pytest.mark.parametrize("as_json", [False, True])
def test_a_folder(run: Command, png: Path, tmp_path: Path, as_json: bool) -> None:
    out = tmp_path / "out"
    (tmp_path / "in" / "b").mkdir(parents=True)
    png.rename(tmp_path / "in" / "b" / "a.png")
    (tmp_path / "in" / "bad.png").write_text("no picture")
    (tmp_path / "in" / "notes.txt").write_text("notes")
    result = run("encode", "-r", "-n", tmp_path / "in", out, *(["--json"] if as_json else []))
    assert result.code == 1
    assert not out.exists()
    last = result.err.splitlines()
    assert last[0].startswith("siren-encode: would make 1 in about 0:")
    assert last[0].endswith(", 1 would fail, 1 skipped")
    assert last[1].startswith(f"siren-encode: would fail: {tmp_path / 'in' / 'bad.png'}: ")
    assert len(last) == 2
    if as_json:
        made = [json.loads(line) for line in result.out.splitlines() if "dry_run" in line]
        assert [one["output"] for one in made] == [str(out / "b" / "a.siren")]
    else:
        assert result.out.startswith(f"would make {out / 'b' / 'a.siren'}: 40x30 RGBA")


def test_the_fit_is_not_imported(png: Path) -> None:
    code = """
import sys
from siren_codec.cli import encode_main
try:
    encode_main()
except SystemExit as stop:
    assert stop.code == 0
    assert not {"torch", "numba", "siren_codec.fit"} & set(sys.modules)
"""
    command = [sys.executable, "-c", code, "-n", str(png), str(png.with_suffix(".siren"))]
    subprocess.run(command, check=True, capture_output=True)
