"""The commands, as a user runs them."""

import io
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import imagecodecs
import numpy as np
import pytest
from conftest import Command, make_field
from PIL import Image, ImageCms

import siren_codec
from siren_codec import cli, encoding, stream
from siren_codec.cli import decode, streams, usage
from siren_codec.cli.interrupt import Interruption
from siren_codec.encoding import Encoded
from siren_codec.options import TARGETS, Options
from siren_codec.picture import OUTPUT_FORMATS, Picture
from siren_codec.progress import Progress

GRID = ["--hidden-layers", "2", "--hidden-features", "8", "--steps", "10", "--device", "cpu"]
TINY = [*GRID, "--model", "coordinate"]
"""Much the quicker one: for what has nothing to do with the model."""


Wrap = Callable[[Callable[[Encoded], Encoded]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def data() -> bytes:
    y, x = np.mgrid[:12, :20]
    pixels = np.stack([x * 12, y * 20, x + y], axis=2).astype(np.uint8)
    return siren_codec.encode(pixels, hidden_layers=2, hidden_features=8, steps=10, device="cpu")


@pytest.fixture
def siren(data: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "picture.siren"
    path.write_bytes(data)
    return path


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.linear_gradient("L").resize((20, 12)).convert("RGB").save(path)
    return path


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def _is_one_line(text: str) -> bool:
    return text.count("\n") == 1 and "Traceback" not in text


@pytest.mark.parametrize("options", [GRID, TINY])
def test_round_trip(run: Command, png: Path, tmp_path: Path, options: list[str]) -> None:
    out = tmp_path / "out.siren"
    result = run("encode", png, out, *options)
    assert result.code == 0
    last = result.out.splitlines()[-1]
    assert last.startswith(f"out.siren: {out.stat().st_size} bytes, ")
    assert "bpp, PSNR" in last
    assert "\r" not in result.err
    assert run("decode", out) == (0, "", "")
    assert _size(tmp_path / "out.png") == (20, 12)


def test_part_of_a_file(run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = tmp_path / "cut.siren"
    cut.write_bytes(stream.write(make_field())[:-9])
    result = run("decode", cut)
    assert result.code == 1
    assert _is_one_line(result.err)
    assert not (tmp_path / "cut.png").exists()

    field = replace(make_field(features=(1, 1, 1)), first_level=2, whole=False)
    monkeypatch.setattr(stream, "read", lambda *_, partial: field if partial else None)
    said = "siren-decode: cut.png: the file is cut short: 2 of 3 levels are missing\n"
    assert run("decode", cut, "--partial") == (0, "", said)
    assert run("decode", cut, "--partial", "--force", "--quiet") == (0, "", "")


def test_a_file_that_has_lost_its_metadata(run: Command, tmp_path: Path) -> None:
    field = replace(make_field(), metadata={"exif": b"II*\0" + bytes(40)})
    cut, whole = tmp_path / "cut.siren", stream.write(field)
    cut.write_bytes(whole[:-9])
    said = "siren-decode: cut.png: the file is cut short: metadata may be missing\n"
    assert run("decode", cut, "--partial") == (0, "", said)
    cut.write_bytes(whole)
    assert run("decode", cut, "--partial", "--force") == (0, "", "")


def test_json_and_psnr_are_of_the_file(run: Command, png: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.siren"
    result = run("encode", png, out, "--json", "--quiet", *TINY)
    assert result.err == ""
    found = json.loads(result.out)
    assert found["bytes"] == out.stat().st_size
    assert found["bpp"] == 8 * out.stat().st_size / (20 * 12)
    decoded = siren_codec.decode(out.read_bytes()).astype(float)
    with Image.open(png) as image:
        mse = np.mean((decoded - np.asarray(image)) ** 2)
        assert found["max_error"] == np.abs(decoded - np.asarray(image)).max()
    assert found["psnr"] == pytest.approx(10 * np.log10(255**2 / mse))


@pytest.mark.parametrize(
    ("options", "unit"), [(GRID, "bits per latent"), (TINY, "bits per weight")]
)
def test_verbose_says_more(
    run: Command, png: Path, tmp_path: Path, options: list[str], unit: str
) -> None:
    result = run("encode", png, tmp_path / "out.siren", "-v", *options)
    assert unit in result.err
    assert "hidden_layers=2" in result.err
    decoded = siren_codec.decode((tmp_path / "out.siren").read_bytes()).astype(int)
    with Image.open(png) as image:
        largest = np.abs(decoded - np.asarray(image)).max()
    assert f"the largest error of a sample: {largest}\n" in result.err


@pytest.mark.parametrize(
    ("options", "model"), [([], "grid"), (["--model", "coordinate"], "coordinate")]
)
def test_grid_is_the_default(
    run: Command, png: Path, tmp_path: Path, options: list[str], model: str
) -> None:
    out = tmp_path / "out.siren"
    assert run("encode", png, out, *GRID, *options).code == 0
    assert siren_codec.info(out)["model"] == model


def test_quality_is_what_the_library_calls_so(run: Command, png: Path, tmp_path: Path) -> None:
    files = []
    for quality in (10, 90):
        out = tmp_path / f"{quality}.siren"
        assert run("encode", png, out, "-q", quality, "--seed", "3", *GRID).code == 0
        files.append(out.read_bytes())
        with Image.open(png) as image:
            assert files[-1] == siren_codec.encode(
                image,
                quality=quality,
                seed=3,
                hidden_layers=2,
                hidden_features=8,
                steps=10,
                device="cpu",
            )
    assert files[0] != files[1]


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (["--scale", "2"], (40, 24)),
        (["--scale", "0.5"], (10, 6)),
        (["--size", "7x9"], (7, 9)),
        (["--crop", "1,2,5,4"], (5, 4)),
        (["--crop", "1,2,5,4", "--scale", "3"], (15, 12)),
        (["--crop", "1,2,5,4", "--size", "8x8"], (8, 8)),
        (["--show", "gradient"], (20, 12)),
        (["--show", "laplacian", "--scale", "2"], (40, 24)),
    ],
)
def test_decode_options(
    run: Command, siren: Path, tmp_path: Path, options: list[str], size: tuple[int, int]
) -> None:
    out = tmp_path / "out.png"
    assert run("decode", siren, out, *options).code == 0
    assert _size(out) == size


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tiff", "bmp", "avif"])
def test_decode_formats(run: Command, siren: Path, tmp_path: Path, extension: str) -> None:
    out = tmp_path / f"out.{extension}"
    assert run("decode", siren, out).code == 0
    assert _size(out) == (20, 12)


def test_jpeg_xl(
    run: Command, siren: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jxl"
    assert run("decode", siren, out) == (0, "", "")
    assert imagecodecs.jpegxl_decode(out.read_bytes()).shape == (12, 20, 3)
    monkeypatch.setattr("siren_codec.picture.jpegxl.find_spec", lambda _: None)
    siren.write_bytes(b"not read, even")
    result = run("decode", siren, tmp_path / "b.jxl")
    assert result.code == 1
    assert "pip install" in result.err
    assert _is_one_line(result.err)
    assert not (tmp_path / "b.jxl").exists()


def test_info(run: Command, siren: Path) -> None:
    result = run("info", siren)
    assert result.code == 0
    assert "width                  20" in result.out
    assert "bytes, weights" in result.out
    found = json.loads(run("info", siren, "--json").out)
    assert found == {"input": str(siren), **siren_codec.info(siren)}


def test_info_of_grids(run: Command, siren: Path) -> None:
    found = siren_codec.info(siren)
    lines = run("info", siren).out.splitlines()
    of_grids = [line for line in lines if line.startswith("grid on level")]
    assert len(of_grids) == len(found["latents"]) > 0
    for line, grid in zip(of_grids, found["latents"], strict=True):
        assert line.split()[3:4] == [str(grid["level"])]
        assert f"{grid['shape'][0]}x{grid['shape'][1]}, {grid['bytes']} bytes" in line
    sections = {
        line.split()[1]: int(line.split()[2]) for line in lines if line.startswith("bytes, ")
    }
    assert sections == found["sections"]
    assert sum(sections.values()) == siren.stat().st_size
    assert any(line.startswith("layer context 0 weight") for line in lines)


def test_version_and_help(run: Command) -> None:
    for name in ("encode", "decode", "info"):
        assert run(name, "-V").out.startswith(f"siren-{name} {siren_codec.__version__}\nPython 3.")
        assert "Exit codes" in run(name, "--help").out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        (b"", "found an empty"),
        (b"GIF89a but not really", "found b'GIF8'"),
        (b"\x89SRN", "truncated"),
        (b"\x89SRN\x01" + bytes(40), "corrupt or truncated"),
    ],
)
@pytest.mark.parametrize("command", ["decode", "info"])
def test_bad_siren_files(
    run: Command, tmp_path: Path, command: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / "bad.siren"
    if content is not None:
        path.write_bytes(content)
    result = run(command, path)
    assert result.code == 1
    assert message in result.err
    assert str(path) in result.err
    assert _is_one_line(result.err)
    assert not (tmp_path / "bad.png").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        (b"", "found an empty file"),
        (b"not a picture", "not a picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), ""),
    ],
)
def test_bad_pictures(run: Command, tmp_path: Path, content: bytes | None, message: str) -> None:
    path, out = tmp_path / "bad.png", tmp_path / "out.siren"
    if content is not None:
        path.write_bytes(content)
    result = run("encode", path, out)
    assert result.code == 1
    assert message in result.err
    assert _is_one_line(result.err)
    assert not out.exists()


def test_truncated_picture(run: Command, png: Path, tmp_path: Path) -> None:
    png.write_bytes(png.read_bytes()[:60])
    result = run("encode", png, tmp_path / "out.siren")
    assert result.code == 1
    assert _is_one_line(result.err)


@pytest.mark.parametrize(
    "options",
    [
        ["--scale", "0"],
        ["--scale", "-1"],
        ["--scale", "nan"],
        ["--scale", "inf"],
        ["--scale", "two"],
        ["--size", "0x5"],
        ["--size", "5"],
        ["--size", "5x5", "--scale", "2"],
        ["--crop", "0,0,21,12"],
        ["--crop", "-1,0,5,5"],
        ["--crop", "0,0,0,5"],
        ["--crop", "1,2,3"],
        ["--show", "hessian"],
        ["--device", "tpu"],
        ["--unknown"],
    ],
)
def test_bad_decode_options(run: Command, siren: Path, tmp_path: Path, options: list[str]) -> None:
    result = run("decode", siren, *options)
    assert result.code == 2
    assert _is_one_line(result.err)
    assert not (tmp_path / "picture.png").exists()


@pytest.mark.parametrize("options", [["--scale", "1e4"], ["--scale", "2", "--max-pixels", "900"]])
def test_too_large_an_output(run: Command, siren: Path, options: list[str]) -> None:
    result = run("decode", siren, *options)
    assert result.code == 1
    assert "expected at most" in result.err
    assert _is_one_line(result.err)


@pytest.mark.parametrize(
    "options",
    [
        ["-q", "0"],
        ["-q", "101"],
        ["-q", "50.5"],
        ["--effort", "10"],
        ["--model", "jpeg"],
        ["--batch", "10"],
        ["--device", "tpu"],
        ["--hidden-layers", "0"],
        ["--hidden-features", "513"],
        ["--steps", "0"],
        ["--seed", "-1"],
    ],
)
def test_bad_encode_options(run: Command, png: Path, tmp_path: Path, options: list[str]) -> None:
    result = run("encode", png, tmp_path / "out.siren", *options)
    assert result.code == 2
    assert _is_one_line(result.err)


@pytest.mark.parametrize("command", ["encode", "decode", "info"])
def test_missing_arguments_are_a_usage_error(run: Command, command: str) -> None:
    result = run(command)
    assert result.code == 2
    assert _is_one_line(result.err)


def test_a_picture_over_the_limit(run: Command, png: Path, tmp_path: Path) -> None:
    result = run("encode", png, tmp_path / "out.siren", "--max-pixels", "239")
    assert result.code == 1
    assert "20x12: expected at most 239 pixels" in result.err


def test_nothing_is_overwritten_without_force(
    run: Command, png: Path, siren: Path, data: bytes
) -> None:
    result = run("encode", png, siren, *TINY)
    assert result.code == 1
    assert "exists already" in result.err
    assert siren.read_bytes() == data
    assert run("encode", png, siren, "--force", *TINY).code == 0
    assert siren.read_bytes() != data
    before = png.read_bytes()
    assert run("decode", siren).code == 1
    assert png.read_bytes() == before
    assert run("decode", siren, "-f").code == 0
    assert png.read_bytes() != before


def test_the_input_is_never_the_output(run: Command, png: Path) -> None:
    before = png.read_bytes()
    result = run("encode", png, png, "--force", *TINY)
    assert result.code == 1
    assert "is the input itself" in result.err
    assert png.read_bytes() == before


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_no_file_to_decode(run: Command, name: str) -> None:
    result = run("decode", name)
    assert result.code in (1, 2)
    assert _is_one_line(result.err)


@pytest.mark.parametrize("options", [[], ["-f"]])
def test_a_wrong_file_is_told_before_all_else(run: Command, png: Path, options: list[str]) -> None:
    before = png.read_bytes()
    for arguments in ([png], [png, png], [png, png.with_suffix(".jpg")]):
        result = run("decode", *arguments, *options)
        assert result.code == 1
        assert f"{png}: expected a .siren file" in result.err
        assert _is_one_line(result.err)
    assert png.read_bytes() == before
    assert run("decode", "missing.siren", png).err.startswith(
        "siren-decode: missing.siren: No such"
    )


def test_a_siren_file_has_no_other_picture_s_name(
    run: Command, png: Path, tmp_path: Path, no_fit: None
) -> None:
    png.with_name("there.jpg").write_bytes(b"a photograph")
    for name in ("out.png", "OUT.PNG", "out.heic", "there.jpg", "a.b.tif"):
        result = run("encode", png, tmp_path / name, "--force")
        assert result.code == 2
        extension = Path(name).suffix.lower()
        said = f"{tmp_path / name}: expected a name of a .siren file, found {extension}; "
        assert result.err == f"siren-encode: {said}several pictures take -o DIR\n"
    assert png.with_name("there.jpg").read_bytes() == b"a photograph"


@pytest.mark.parametrize("name", ["out", "out.siren", "OUT.SIREN", "out.xyz", "png", ".png"])
def test_other_names_of_a_siren_file(
    run: Command, png: Path, tmp_path: Path, altered: Wrap, name: str
) -> None:
    altered(lambda encoded: encoded)
    assert run("encode", png, tmp_path / name, *TINY).code == 0
    assert siren_codec.open(tmp_path / name).width == 20


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("linked", [False, True])
def test_a_checkpoint_is_neither_input_nor_output(
    run: Command, png: Path, tmp_path: Path, there: bool, linked: bool
) -> None:
    before, out, link = png.read_bytes(), tmp_path / "out.siren", tmp_path / "link"
    if there:
        out.write_bytes(b"old")
    for path, what in ((out, "OUT"), (png, "IN")):
        if linked:
            link.unlink(missing_ok=True)
            link.symlink_to(path)
        given = link if linked else path
        result = run("encode", png, out, "--force", "--checkpoint", given)
        assert result.code == 2
        assert f"--checkpoint {given}: expected another file than {what}" in result.err
        assert _is_one_line(result.err)
    assert png.read_bytes() == before
    assert out.exists() == there


@pytest.mark.usefixtures("no_fit")
def test_the_name_of_a_folder_is_no_file_s(
    run: Command, png: Path, siren: Path, tmp_path: Path
) -> None:
    before = set(tmp_path.iterdir())
    for arguments in (["encode", png, f"{tmp_path}/new/"], ["decode", siren, f"{tmp_path}/a.png/"]):
        result = run(*arguments)
        assert result.code == 1
        assert "expected the name of a file, found that of a folder" in result.err
        assert _is_one_line(result.err)
    assert set(tmp_path.iterdir()) == before


def test_a_folder_that_is_gone(
    run: Command, png: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    result = run("encode", png, "out.siren")
    assert (result.code, result.out) == (1, "")
    assert result.err == "siren-encode: out.siren: cannot be written: No such file or directory\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "out of memory"),
        (FileNotFoundError(2, "No such file", "a/b"), 1, "a/b: No such file"),
        (OSError(28, "No space left"), 1, "cannot write the output: No space left"),
    ],
)
def test_what_goes_wrong_while_a_command_is_loaded(
    run: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    def fail(_: str) -> NoReturn:
        raise error

    monkeypatch.setattr(cli, "import_module", fail)
    monkeypatch.setattr(streams, "forget", lambda _: None)
    assert run("info", "a.siren") == (code, "", f"siren-info: {said}\n")


# What a picture is written to, whose name says nothing


def _opened(data: bytes) -> tuple[str | None, tuple[int, int]]:
    with Image.open(io.BytesIO(data)) as image:
        return image.format, image.size


@pytest.mark.parametrize(
    ("options", "format_"),
    [([], "PNG"), (["--format", "jpg"], "JPEG"), (["--format", "TIFF", "-f"], "TIFF")],
)
def test_pipes_and_open_files(
    run: Command, siren: Path, tmp_path: Path, options: list[str], format_: str
) -> None:
    read, write = os.pipe()
    assert run("decode", siren, f"/dev/fd/{write}", *options) == (0, "", "")
    os.close(write)
    with open(read, "rb") as pipe:
        assert _opened(pipe.read()) == (format_, (20, 12))

    fifo, received = tmp_path / "fifo", list[bytes]()
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: received.append(fifo.read_bytes()), daemon=True)
    reader.start()
    assert run("decode", siren, fifo, *options) == (0, "", "")
    reader.join(timeout=10)
    assert _opened(received[0]) == (format_, (20, 12))


def test_standard_output_by_name(siren: Path, tmp_path: Path) -> None:
    """What is there already stays."""
    code = "from siren_codec.cli import decode_main; decode_main()"
    out = tmp_path / "out"
    out.write_bytes(b"before")
    with open(out, "ab") as file:
        command = [sys.executable, "-c", code, str(siren), "/dev/stdout", "--format", "bmp"]
        subprocess.run(command, stdout=file, check=True)
    data = out.read_bytes()
    assert data.startswith(b"before")
    assert _opened(data[6:]) == ("BMP", (20, 12))


def test_nowhere(run: Command, siren: Path, png: Path, altered: Wrap) -> None:
    assert run("decode", siren, "/dev/null") == (0, "", "")
    altered(lambda encoded: encoded)
    result = run("encode", png, "/dev/null", "--quiet", *TINY)
    assert (result.code, result.err) == (0, "")
    assert not Path("/dev/null").is_file()


def test_a_format_that_is_given(run: Command, siren: Path, tmp_path: Path) -> None:
    assert run("decode", siren, tmp_path / "picture", "--format", "webp").code == 0
    assert _opened((tmp_path / "picture").read_bytes())[0] == "WEBP"
    assert run("decode", siren, "--format", "jpg").code == 0
    assert _opened((tmp_path / "picture.jpg").read_bytes())[0] == "JPEG"
    assert run("decode", siren, tmp_path / "a.jpeg", "--format", "jpg").code == 0
    for arguments in ([tmp_path / "a.png", "--format", "jpg"], ["-r", "--format", "png"]):
        result = run("decode", siren, *arguments)
        assert result.code == 2
        assert _is_one_line(result.err)
    assert not (tmp_path / "a.png").exists()
    assert {f".{one}" for one in decode._EXTENSIONS} == set(OUTPUT_FORMATS)


def test_what_has_no_folder_has_no_picture_beside_it(run: Command, siren: Path) -> None:
    with open(siren, "rb") as file:
        result = run("decode", f"/dev/fd/{file.fileno()}")
    assert result.code == 2
    assert "expected OUT too" in result.err


def test_a_name_that_is_too_long(run: Command, tmp_path: Path) -> None:
    for arguments in (["encode", "n" * 300, tmp_path / "a.siren"], ["decode", "n" * 300]):
        result = run(*arguments)
        assert result.code == 1
        assert _is_one_line(result.err)


@pytest.mark.parametrize(
    ("main", "redirect"),
    [
        ("info_main", ">/dev/full"),
        ("decode_main", "- >/dev/full"),
        ("decode_main", "- >&-"),
        ("info_main", ">&-"),
    ],
)
def test_an_output_that_cannot_be_written(siren: Path, main: str, redirect: str) -> None:
    code = f"from siren_codec.cli import {main}; {main}()"
    command = f"{shlex.quote(sys.executable)} -c '{code}' {shlex.quote(str(siren))} {redirect}"
    done = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") <= 1
    if redirect != ">&-":
        assert done.returncode == 1


def test_endless_input_is_not_read(run: Command) -> None:
    result = run("info", "/dev/zero")
    assert result.code == 1
    assert "expected a .siren file" in result.err


def test_an_unwritable_output_is_found_before_the_fit(
    run: Command, png: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "encode_picture", lambda *_, **__: pytest.fail("the fit began"))
    for target in (tmp_path / "missing" / "out.siren", tmp_path, png / "out.siren"):
        result = run("encode", png, target)
        assert result.code == 1
        assert _is_one_line(result.err)


def test_an_unknown_extension_is_a_usage_error(run: Command, siren: Path, tmp_path: Path) -> None:
    result = run("decode", siren, tmp_path / "out.xyz")
    assert result.code == 2
    assert "expected an extension of .png" in result.err


def test_interruption_leaves_nothing(
    run: Command, png: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from siren_codec.fit import clock

    def interrupt(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(clock.Clock, "tick", interrupt)
    before = set(tmp_path.iterdir())
    result = run("encode", png, tmp_path / "out.siren", "--quiet", *TINY)
    assert result.code == 130
    assert result.err.strip() == "siren-encode: interrupted"
    assert set(tmp_path.iterdir()) == before


def test_a_failing_disk_leaves_nothing(
    run: Command, png: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    before = set(tmp_path.iterdir())
    result = run("encode", png, tmp_path / "out.siren", "--quiet", *TINY)
    assert result.code == 1
    assert "No space left on device" in result.err
    assert set(tmp_path.iterdir()) == before


def test_what_is_converted_is_said(run: Command, tmp_path: Path) -> None:
    path = tmp_path / "cmyk.tiff"
    Image.new("CMYK", (5, 4)).save(path)
    result = run("encode", path, tmp_path / "out.siren", *TINY)
    assert "cmyk.tiff: converted CMYK to RGB" in result.err


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20000", 20_000),
        ("20KB", 20_000),
        ("20kb", 20_000),
        ("20k", 20_000),
        ("1.5MB", 1_500_000),
        ("20KiB", 20_480),
        ("0.3KiB", 307),
        (".5k", 500),
        ("2 GB", 2 * 10**9),
        ("1Ti", 1 << 40),
        ("7B", 7),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert usage.Size().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "KB", "0", "0.4", "-1", "1.2.3", "20iB", "1e3", "20 XB", "∞"])
@pytest.mark.parametrize("option", ["--target-size", "--memory"])
def test_what_is_no_size(
    run: Command, png: Path, tmp_path: Path, no_fit: None, option: str, text: str
) -> None:
    result = run("encode", png, tmp_path / "out.siren", option, text)
    assert result.code == 2
    assert _is_one_line(result.err)


@pytest.fixture
def no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "encode_picture", lambda *_, **__: pytest.fail("the fit began"))


@pytest.fixture
def altered(monkeypatch: pytest.MonkeyPatch) -> Wrap:
    """Alter what `encode_picture` returns; what it was called with is in the list."""
    real, calls = encoding.encode_picture, []

    def alter(change: Callable[[Encoded], Encoded]) -> list[dict[str, Any]]:
        def encode_picture(picture: Picture, options: Options, **watch: Any) -> Encoded:
            calls.append({"picture": picture, "options": options, **watch})
            watch.pop("checkpoint", None)
            if options.target:
                targets: dict[str, Any] = dict.fromkeys(TARGETS)
                options = replace(options, quality=50, **targets)
            return change(real(picture, options, **watch))

        monkeypatch.setattr(encoding, "encode_picture", encode_picture)
        return calls

    return alter


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(
    "options",
    [
        ["-q", "50", "--target-bpp", "0.5"],
        ["-q", "50", "--target-size", "20KB"],
        ["-q", "50", "--target-psnr", "30"],
        ["--target-psnr", "30", "--target-bpp", "0.5"],
        ["--target-size", "1k", "--target-bpp", "0.5"],
        ["--target-size", "1k", "--model", "coordinate"],
        ["--target-bpp", "0"],
        ["--target-bpp", "nan"],
        ["--target-psnr", "-3"],
        ["--target-psnr", "inf"],
        ["--max-error", "0"],
        ["--max-error", "2.5"],
        ["--max-error", "3", "-q", "50"],
        ["--max-error", "3", "--model", "coordinate"],
        ["--alpha", "none"],
        ["-j", "2"],
        ["-j", "0"],
        ["--ray", "auto"],
        ["-r", "--checkpoint", "x"],
    ],
)
def test_contradictions_are_found_first(
    run: Command, png: Path, tmp_path: Path, options: list[str]
) -> None:
    """Before the picture is read, even."""
    png.write_bytes(b"not a picture")
    result = run("encode", png, tmp_path / "out.siren", *options)
    assert result.code == 2
    assert _is_one_line(result.err)
    assert not (tmp_path / "out.siren").exists()


def test_options_reach_the_encoder(run: Command, png: Path, tmp_path: Path, altered: Wrap) -> None:
    calls = altered(lambda encoded: encoded)
    for options, expected in (
        (["--target-bpp", "1.5"], {"target_bpp": 1.5, "quality": None}),
        (["--target-size", "1KiB", "--memory", "2GB"], {"target_size": 1024, "memory": 2 * 10**9}),
        (["--max-error", "7"], {"max_error": 7, "quality": None}),
        (["--target-psnr", "30", "--alpha", "lossless"], {"target_psnr": 30, "alpha": "lossless"}),
    ):
        assert run("encode", png, tmp_path / "o", "-f", *GRID, *options).code == 0
        found = calls[-1]["options"]
        assert {name: getattr(found, name) for name in expected} == expected
    saved = tmp_path / "saved"
    assert run("encode", png, tmp_path / "o", "-f", *TINY, "--checkpoint", saved).code == 0
    assert calls[-1]["checkpoint"] == saved


@pytest.mark.usefixtures("no_fit")
def test_a_checkpoint_that_cannot_be_written(run: Command, png: Path, tmp_path: Path) -> None:
    saved = tmp_path / "missing" / "saved"
    result = run("encode", png, tmp_path / "out.siren", "--checkpoint", saved)
    assert result.code == 1
    assert f"{saved}: cannot be written" in result.err
    assert _is_one_line(result.err)


def test_a_largest_error_that_is_out_of_reach(run: Command, tmp_path: Path) -> None:
    picture, out = tmp_path / "noise.png", tmp_path / "out.siren"
    noise = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    Image.fromarray(noise).save(picture)
    result = run("encode", picture, out, "--max-error", "1", "--json", "--quiet", *GRID)
    assert result.code == 3
    found = json.loads(result.out)
    assert found["missed"] == (
        f"target missed: expected errors of at most 1, found {found['max_error']}"
    )
    assert result.err == f"siren-encode: out.siren: {found['missed']}\n"
    decoded = siren_codec.decode(out.read_bytes()).astype(int)
    assert np.abs(decoded - noise).max() == found["max_error"]


def test_flat_artwork_had_better_be_a_webp(run: Command, tmp_path: Path) -> None:
    picture, out = tmp_path / "logo.png", tmp_path / "out.siren"
    Image.new("P", (40, 30), 3).save(picture)
    result = run("encode", picture, out, "--json", *TINY)
    found = json.loads(result.out)
    assert 0 < found["lossless_webp"] <= found["bytes"] == out.stat().st_size
    sizes = f"{found['lossless_webp']} bytes, this file {found['bytes']}"
    said = f"a lossless WebP of this picture takes {sizes}"
    assert result.err.count(f"siren-encode: logo.png: {said}\n") == 1
    assert result.err.count("converted P to RGB") == 1
    assert run("encode", picture, out, "-f", "--quiet", *TINY) == (0, "", "")


def test_a_photograph_had_not(run: Command, png: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(noise).save(png)
    result = run("encode", png, tmp_path / "out.siren", "--json", *TINY)
    assert json.loads(result.out)["lossless_webp"] is None
    assert "WebP" not in result.err


def test_a_target_that_is_missed(run: Command, png: Path, tmp_path: Path, altered: Wrap) -> None:
    altered(lambda encoded: replace(encoded, missed="expected 99 dB, reached 12 dB"))
    out = tmp_path / "out.siren"
    result = run("encode", png, out, "--target-psnr", "99", "--quiet", *GRID)
    assert result == (3, "", "siren-encode: out.siren: expected 99 dB, reached 12 dB\n")
    siren_codec.open(out)
    result = run("encode", png, out, "-f", "--target-psnr", "99", "--quiet", "--json", *GRID)
    assert result.code == 3
    assert json.loads(result.out)["missed"] == "expected 99 dB, reached 12 dB"


@pytest.mark.parametrize(
    ("psnr", "said"), [(41.234, ", alpha 41.23 dB, "), (math.inf, ", alpha lossless, ")]
)
def test_alpha_is_said(
    run: Command, png: Path, tmp_path: Path, altered: Wrap, psnr: float, said: str
) -> None:
    altered(lambda encoded: replace(encoded, alpha_psnr=psnr))
    assert said in run("encode", png, tmp_path / "a.siren", *TINY).out
    found = json.loads(run("encode", png, tmp_path / "b.siren", "--json", *TINY).out)
    assert found["alpha_psnr"] == (psnr if psnr < math.inf else None)


def test_strip(run: Command, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (5, 4)).save(
        picture, icc_profile=icc, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"
    )
    for options, kept in (([], True), (["--strip"], False)):
        out = tmp_path / "out.siren"
        assert run("encode", picture, out, "-f", *options, *TINY).code == 0
        assert ("icc" in siren_codec.info(out)["sections"]) == kept
        line = next(x for x in run("info", out).out.splitlines() if x.startswith("metadata"))
        metadata, rest = (int(word) for word in line.split() if word.isdigit())
        assert metadata + rest == out.stat().st_size
        assert (metadata >= len(icc)) == kept


@pytest.mark.parametrize("as_json", [False, True])
def test_pipes(png: Path, as_json: bool) -> None:
    """From standard input to standard output, as separate processes, messages on stderr alone."""
    options = ["--json"] if as_json else []

    def pipe(main: str, *arguments: str, stdin: bytes) -> "subprocess.CompletedProcess[bytes]":
        code = f"from siren_codec.cli import {main}; {main}()"
        command = [sys.executable, "-c", code, "-", *arguments, *options]
        return subprocess.run(command, input=stdin, capture_output=True, check=True)

    encoded = pipe("encode_main", "-", "-v", *TINY, stdin=png.read_bytes())
    assert siren_codec.open(encoded.stdout).width == 20
    if as_json:
        assert json.loads(encoded.stderr.splitlines()[-1])["output"] == "-"
        decoded = pipe("decode_main", "-", stdin=encoded.stdout)
        assert Image.open(io.BytesIO(decoded.stdout)).size == (20, 12)
        assert json.loads(decoded.stderr)["width"] == 20
    else:
        assert b"bpp, PSNR" in encoded.stderr
        decoded = pipe("decode_main", "--scale", "2", stdin=encoded.stdout)
        assert Image.open(io.BytesIO(decoded.stdout)).size == (40, 24)
        assert decoded.stderr == b""
        assert b"coordinate" in pipe("info_main", stdin=encoded.stdout).stdout


def test_decoding_says_little(run: Command, siren: Path, tmp_path: Path) -> None:
    result = run("decode", siren, "--json")
    found = json.loads(result.out)
    assert (found["input"], found["output"]) == (str(siren), str(siren.with_suffix(".png")))
    assert (found["width"], found["height"]) == (20, 12)
    grey = tmp_path / "grey.jpg"
    assert run("decode", siren, grey, "--quiet") == (0, "", "")


Signals = Callable[..., None]


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Signals:
    """Let signals arrive after the third step of a fit."""

    def arrive(*numbers: signal.Signals) -> None:
        real = encoding.encode_picture

        def encode_picture(picture: Picture, options: Options, **watch: Any) -> Encoded:
            progress = watch.pop("progress")

            def step(progress_: Progress) -> None:
                progress(progress_)
                if progress_.step == 3:
                    for number in numbers:
                        signal.raise_signal(number)

            return real(picture, options, progress=step, **watch)

        monkeypatch.setattr(encoding, "encode_picture", encode_picture)

    return arrive


LONG = ["--hidden-layers", "2", "--hidden-features", "8", "--steps", "100000", "--device", "cpu"]


def test_one_interruption_writes_the_best(
    run: Command, png: Path, tmp_path: Path, signals: Signals
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    signals(signal.SIGINT)
    out = tmp_path / "out.siren"
    result = run("encode", png, out, "--json", "--model", "coordinate", *LONG)
    assert result.code == 130
    assert "writing the best so far; Ctrl-C again to write nothing" in result.err
    assert json.loads(result.out)["interrupted"]
    assert siren_codec.open(out).width == 20
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize(
    "numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM,), (signal.SIGHUP,)]
)
def test_two_interruptions_leave_nothing(
    run: Command,
    png: Path,
    tmp_path: Path,
    signals: Signals,
    numbers: tuple[signal.Signals, ...],
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    signals(*numbers)
    files = set(tmp_path.iterdir())
    result = run("encode", png, tmp_path / "out.siren", "--quiet", "--model", "coordinate", *LONG)
    assert result.code == 130
    assert result.err.strip() == "siren-encode: interrupted"
    assert set(tmp_path.iterdir()) == files
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_interruption_before_the_fit_ends_at_once(
    run: Command, png: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        encoding, "encode_picture", lambda *_, **__: signal.raise_signal(signal.SIGINT)
    )
    result = run("encode", png, tmp_path / "out.siren", *TINY)
    assert result.code == 130
    assert not (tmp_path / "out.siren").exists()


def test_no_handler_where_there_may_be_none() -> None:
    before = signal.getsignal(signal.SIGINT)
    found = []

    def elsewhere() -> None:
        with Interruption("message"):
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [before]
    # What is started in the background by a script has the signal ignored, and is not ended by it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption("message"):
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def _encode(*arguments: object, before: str = "") -> list[str]:
    code = f"{before}\nfrom siren_codec.cli import encode_main; encode_main()"
    return [sys.executable, "-c", code, *map(str, arguments)]


def test_a_killed_encode_leaves_the_old_file(png: Path, siren: Path, data: bytes) -> None:
    often = "from siren_codec.cli import console; console.SECONDS_BETWEEN_LINES = 0"
    command = _encode(png, siren, "--force", *LONG, before=often)
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"siren-encode: picture.png: step 1/100000, ")
        process.kill()
    assert siren.read_bytes() == data
    # Killed in the middle of the writing, too; what is left over is in nobody's way.
    kill = "import os, signal; os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)"
    command = _encode(png, siren, "--force", *TINY, before=kill)
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    assert siren.read_bytes() == data
    left = [path for path in siren.parent.iterdir() if path.suffix == ".part"]
    assert [path.name[0] for path in left] == ["."]


def test_a_full_disk_is_one_line(png: Path, siren: Path, data: bytes) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (30, 30))"
    command = _encode(png, siren, "--force", "--quiet", *TINY, before=limit)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"siren-encode: {siren}: cannot be written: File too large\n"
    assert siren.read_bytes() == data
    assert {path.name for path in siren.parent.iterdir()} == {png.name, siren.name}
